//! What does one event cost a chart, of the macro and loaded, beside statig and a hand-written match?
//!
//! `cargo bench --bench chart --features xstate,macros`. After `npm ci` in `bench-compare/xstate`
//! XState on Node is in the same table: the pure function (`transition`) and a started actor.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mainspring::chart::xstate::{Bindings, Compiled, Machine};
use mainspring::chart::{Buffers, Class, Event, Instance};

#[path = "peers/statig.rs"]
mod statig_peer;

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

#[derive(Clone, Copy)]
enum Signal {
    Go,
    #[expect(dead_code, reason = "these charts do not take it")]
    Stay,
}

mainspring::chart! {
    chart Flat(count: Count, event: Signal) {
        initial A;
        state A { on Signal::Go if *count < u64::MAX => B { *count += 1 } }
        state B { on Signal::Go => A { *count += 1 } }
    }
}

fn up(count: &mut Count) {
    *count = black_box(*count + 1);
}

mainspring::chart! {
    chart Deep(count: Count, event: Signal) {
        initial A;
        state A {
            initial X;
            exit { up(count) }
            state X {
                initial I;
                exit { up(count) }
                state I { on Signal::Go => J { up(count); up(count); up(count) } }
            }
        }
        state B {
            initial Y;
            entry { up(count) }
            exit { up(count) }
            state Y {
                initial J;
                entry { up(count) }
                exit { up(count) }
                state J { on Signal::Go => I { up(count); up(count); up(count) } }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Moves {
    All,
    One(u8),
}

/// The regions' machines of [`regions`].
mod four {
    use super::{Count, Moves};

    mainspring::chart! {
        pub(super) chart Four(count: Count, event: Moves) {
            initial P;
            parallel P {
                state R0 {
                    initial A0;
                    state A0 { on Moves::All | Moves::One(0) => B0 { *count += 1 } }
                    state B0 { on Moves::All | Moves::One(0) => A0 { *count += 1 } }
                }
                state R1 {
                    initial A1;
                    state A1 { on Moves::All | Moves::One(1) => B1 { *count += 1 } }
                    state B1 { on Moves::All | Moves::One(1) => A1 { *count += 1 } }
                }
                state R2 {
                    initial A2;
                    state A2 { on Moves::All | Moves::One(2) => B2 { *count += 1 } }
                    state B2 { on Moves::All | Moves::One(2) => A2 { *count += 1 } }
                }
                state R3 {
                    initial A3;
                    state A3 { on Moves::All | Moves::One(3) => B3 { *count += 1 } }
                    state B3 { on Moves::All | Moves::One(3) => A3 { *count += 1 } }
                }
            }
        }
    }
}

#[inline(never)]
fn go_four(chart: &mut four::Four, event: Moves) {
    let _ = chart.step(event);
}

#[inline(never)]
fn go_flat(chart: &mut Flat, event: Signal) {
    let _ = chart.step(event);
}

#[inline(never)]
fn go_deep(chart: &mut Deep, event: Signal) {
    let _ = chart.step(event);
}

/// The flat chart by hand.
#[derive(Clone, Copy)]
struct Hand {
    state: u8,
    count: Count,
}

impl Hand {
    #[inline(never)]
    fn go(&mut self, event: Signal) {
        match (self.state, event) {
            (0, Signal::Go) if self.count < u64::MAX => {
                self.count += 1;
                self.state = 1;
            }
            (1, Signal::Go) => {
                self.count += 1;
                self.state = 0;
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn deep(&mut self, event: Signal) {
        match (self.state, event) {
            (0, Signal::Go) => {
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.count = black_box(self.count + 1);
                self.state = 1;
            }
            (1, Signal::Go) => {
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

/// XState in a process of Node's, which takes events and says how long they took.
struct Node {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Node {
    /// None where XState is not installed.
    fn start() -> Option<Self> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-compare/xstate");
        if !home.join("node_modules/xstate").exists() {
            println!("XState on Node is left out: `npm ci` in bench-compare/xstate installs it");
            return None;
        }
        let mut child = Command::new("node")
            .args(["chart.mjs", "--serve"])
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let asks = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Some(Self {
            child,
            asks,
            answers,
        })
    }

    fn take(&mut self, chart: &str, way: &str, events: u64) -> Duration {
        writeln!(self.asks, "{chart} {way} {events}").expect("node reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("node answers");
        Duration::from_nanos(line.trim().parse().expect("nanoseconds"))
    }

    fn end(mut self) {
        drop(self.asks);
        let status = self.child.wait().expect("node ends");
        assert!(status.success(), "{status}");
    }
}

fn charts(c: &mut Criterion) {
    let mut group = c.benchmark_group("chart/event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("match/flat", |b| {
        let mut hand = Hand { state: 0, count: 0 };
        b.iter(|| black_box(&mut hand).go(black_box(Signal::Go)));
    });
    group.bench_function("match/levels=3/actions=5", |b| {
        let mut hand = Hand { state: 0, count: 0 };
        b.iter(|| black_box(&mut hand).deep(black_box(Signal::Go)));
    });
    group.bench_function("macro/flat", |b| {
        let mut chart = Flat::new(0).expect("it rests");
        b.iter(|| go_flat(black_box(&mut chart), black_box(Signal::Go)));
    });
    group.bench_function("macro/levels=3/actions=5", |b| {
        let mut chart = Deep::new(0).expect("it rests");
        b.iter(|| go_deep(black_box(&mut chart), black_box(Signal::Go)));
    });
    for (name, event) in [
        ("macro/regions=4/moving=1", Moves::One(2)),
        ("macro/regions=4/moving=4", Moves::All),
    ] {
        group.bench_function(name, |b| {
            let mut chart = four::Four::new(0).expect("it rests");
            b.iter(|| go_four(black_box(&mut chart), black_box(event)));
        });
    }
    group.bench_function("statig/flat", |b| {
        let mut machine = statig_peer::flat();
        b.iter(|| statig_peer::go_flat(black_box(&mut machine), black_box(0)));
    });
    group.bench_function("statig/levels=3/actions=5", |b| {
        let mut machine = statig_peer::deep();
        b.iter(|| statig_peer::go_deep(black_box(&mut machine), black_box(0)));
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
    if let Some(mut node) = Node::start() {
        for chart in [
            "flat",
            "levels=3/actions=5",
            "regions=4/moving=1",
            "regions=4/moving=4",
        ] {
            for way in ["transition", "actor"] {
                group.bench_function(format!("xstate-node/{way}/{chart}"), |b| {
                    b.iter_custom(|events| node.take(chart, way, events));
                });
            }
        }
        node.end();
    }
    group.finish();

    // 4,096 machines in random order.
    let mut group = c.benchmark_group("chart/machines=4096");
    group.throughput(Throughput::Elements(4096));
    let order: Vec<usize> = (0..4096u64)
        .map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize)
        .collect();
    group.bench_function("statig/flat", |b| {
        let mut all: Vec<_> = (0..4096).map(|_| statig_peer::flat()).collect();
        b.iter(|| {
            for &at in &order {
                statig_peer::go_flat(&mut all[at], 0);
            }
        });
    });
    group.bench_function("statig/levels=3/actions=5", |b| {
        let mut all: Vec<_> = (0..4096).map(|_| statig_peer::deep()).collect();
        b.iter(|| {
            for &at in &order {
                statig_peer::go_deep(&mut all[at], 0);
            }
        });
    });
    for (name, text, event) in [
        ("loaded/flat", FLAT, "GO"),
        ("loaded/levels=3/actions=5", DEEP, "GO"),
        ("loaded/regions=4/moving=1", four.as_str(), "ONE2"),
        ("loaded/regions=4/moving=4", four.as_str(), "ALL"),
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
}

criterion_group!(benches, charts);
criterion_main!(benches);
