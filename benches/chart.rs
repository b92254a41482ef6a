//! What does one event cost a loaded chart, beside a hand-written match?
//!
//! `cargo bench --bench chart --features xstate`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mainspring::chart::xstate::{Bindings, Compiled, Machine};
use mainspring::chart::{Buffers, Class, Event, Instance};

const FLAT: &str = r#"{ "id": "m", "initial": "a", "states": {
    "a": { "on": { "GO": { "target": "b", "guard": "open", "actions": "count" } } },
    "b": { "on": { "GO": { "target": "a", "actions": "count" } } } } }"#;

const DEEP: &str = r#"{ "id": "m", "initial": "a", "states": {
    "a": { "exit": "count", "initial": "x", "states": {
        "x": { "exit": "count", "initial": "i", "states": {
            "i": { "on": { "GO": { "target": "\#m.b.y.j", "actions": "count" } } } } } } },
    "b": { "entry": "count", "exit": "count", "initial": "y", "states": {
        "y": { "entry": "count", "exit": "count", "initial": "j", "states": {
            "j": { "on": { "GO": { "target": "\#m.a.x.i", "actions": ["count", "count", "count"] } } } } } } } } }"#;

const REGION: &str = r#"{ "initial": "a", "states": {
    "a": { "on": { "ALL": { "target": "b", "actions": "count" }, "ONE$": { "target": "b", "actions": "count" } } },
    "b": { "on": { "ALL": { "target": "a", "actions": "count" }, "ONE$": { "target": "a", "actions": "count" } } } } }"#;

fn regions() -> String {
    let regions: Vec<String> = (0..4)
        .map(|n| format!("\"r{n}\": {}", REGION.replace('$', &n.to_string())))
        .collect();
    format!(
        r#"{{ "id": "m", "type": "parallel", "states": {{ {} }} }}"#,
        regions.join(", ")
    )
}

/// The context: how many actions ran.
type Count = u64;

fn bound(text: &str) -> Compiled<Count> {
    let machine = Machine::parse(&text.replace("\\#", "#")).expect("the machine is JSON");
    let mut bindings = Bindings::new().action("count", |count, _, _| *count += 1);
    if text.contains("open") {
        bindings = bindings.guard("open", |count: &Count, _, _| *count < u64::MAX);
    }
    bindings.compile(&machine).expect("every name is bound")
}

fn started(chart: &Compiled<Count>) -> Instance<Count> {
    let mut buffers = Buffers::default();
    let init = Event::new("xstate.init");
    chart.chart.start(0, &init, &mut buffers).0
}

fn class(chart: &Compiled<Count>, name: &str) -> Class {
    chart.chart.table().class(name)
}

/// The flat chart by hand.
#[derive(Clone, Copy)]
struct Hand {
    state: u8,
    count: Count,
}

impl Hand {
    #[inline(never)]
    fn go(&mut self, event: u8) {
        match (self.state, event) {
            (0, 0) if self.count < u64::MAX => {
                self.count += 1;
                self.state = 1;
            }
            (1, 0) => {
                self.count += 1;
                self.state = 0;
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn deep(&mut self, event: u8) {
        match (self.state, event) {
            (0, 0) => {
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.state = 1;
            }
            (1, 0) => {
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.state = 0;
            }
            _ => {}
        }
    }
}

fn charts(c: &mut Criterion) {
    let mut group = c.benchmark_group("chart/event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("match/flat", |b| {
        let mut hand = Hand { state: 0, count: 0 };
        b.iter(|| black_box(&mut hand).go(black_box(0)));
    });
    group.bench_function("match/levels=3/actions=5", |b| {
        let mut hand = Hand { state: 0, count: 0 };
        b.iter(|| black_box(&mut hand).deep(black_box(0)));
    });
    let four = regions();
    for (name, text, event) in [
        ("loaded/flat", FLAT, "GO"),
        ("loaded/levels=3/actions=5", DEEP, "GO"),
        ("loaded/regions=4/moving=1", four.as_str(), "ONE2"),
        ("loaded/regions=4/moving=4", four.as_str(), "ALL"),
    ] {
        let chart = bound(text);
        let class = class(&chart, event);
        let event = Event::new(event);
        group.bench_function(name, |b| {
            let mut instance = started(&chart);
            let mut buffers = Buffers::default();
            b.iter(|| {
                chart
                    .chart
                    .step(black_box(&mut instance), class, &event, &mut buffers)
            });
        });
    }
    group.finish();

    // 4,096 machines in random order.
    let mut group = c.benchmark_group("chart/machines=4096");
    group.throughput(Throughput::Elements(4096));
    let order: Vec<usize> = (0..4096u64)
        .map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize)
        .collect();
    for (name, text, event) in [
        ("flat", FLAT, "GO"),
        ("levels=3/actions=5", DEEP, "GO"),
        ("regions=4/moving=1", four.as_str(), "ONE2"),
        ("regions=4/moving=4", four.as_str(), "ALL"),
    ] {
        let chart = bound(text);
        let class = class(&chart, event);
        let event = Event::new(event);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut all: Vec<_> = (0..4096).map(|_| started(&chart)).collect();
            let mut buffers = Buffers::default();
            b.iter(|| {
                for &at in &order {
                    let _ = chart.chart.step(&mut all[at], class, &event, &mut buffers);
                }
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("chart/states=10000");
    let mut states = String::new();
    for n in 0..10_000 {
        let comma = if n > 0 { "," } else { "" };
        let next = (n + 1) % 10_000;
        states += &format!(
            "{comma}\"s{n}\":{{\"on\":{{\"GO\":{{\"target\":\"s{next}\",\"actions\":\"count\"}}}}}}"
        );
    }
    let big = format!("{{\"id\":\"m\",\"initial\":\"s0\",\"states\":{{{states}}}}}");
    group.sample_size(10);
    group.bench_function("load", |b| b.iter(|| bound(&big)));
    let chart = bound(&big);
    let class = class(&chart, "GO");
    let event = Event::new("GO");
    group.bench_function("event", |b| {
        let mut instance = started(&chart);
        let mut buffers = Buffers::default();
        b.iter(|| chart.chart.step(&mut instance, class, &event, &mut buffers));
    });
    group.finish();
}

criterion_group!(benches, charts);
criterion_main!(benches);
