//! What does a chart of 10,000 states cost: to load, and for one event beside a chart of 100?
//!
//! `cargo bench --bench large --features xstate,scxml`.

use criterion::{Criterion, criterion_group, criterion_main};
use mainspring::chart::scxml;
use mainspring::chart::xstate::{Bindings, Compiled, Machine};
use mainspring::chart::{Buffers, Event};

#[path = "../tests/common/large.rs"]
mod large;

use large::SHAPES;

fn machine(text: &str) -> Compiled<u64> {
    let machine = Machine::parse(text).expect("the machine is JSON");
    let bindings = Bindings::new().action("count", |count, _, _| *count += 1);
    bindings.compile(&machine).expect("every name is bound")
}

fn charts(c: &mut Criterion) {
    let mut group = c.benchmark_group("chart/load/states=10000");
    group.sample_size(10);
    for shape in SHAPES {
        let tree = shape.tree(10_000);
        let (json, xml) = (tree.xstate(), tree.scxml());
        group.bench_function(format!("xstate/{}", shape.name()), |b| {
            b.iter(|| machine(&json));
        });
        group.bench_function(format!("scxml/{}", shape.name()), |b| {
            b.iter(|| scxml::compile(&xml).expect("it is right"));
        });
    }
    group.finish();
    let mut group = c.benchmark_group("chart/event");
    for shape in SHAPES {
        for states in [100, 10_000] {
            let chart = machine(&shape.tree(states).xstate());
            let class = chart.chart.table().class("GO");
            let event = Event::new("GO");
            let init = Event::new("xstate.init");
            group.bench_function(format!("{}/states={states}", shape.name()), |b| {
                let mut buffers = Buffers::default();
                let (mut instance, started) = chart.chart.start(0, &init, &mut buffers);
                started.expect("it rests");
                b.iter(|| chart.chart.step(&mut instance, class, &event, &mut buffers));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, charts);
criterion_main!(benches);
