//! What it takes to load a chart grows as the chart does, in whatever shape it comes.

#![cfg(all(feature = "xstate", feature = "scxml"))]

use mainspring::chart::xstate::{Bindings, Machine};
use mainspring::chart::{Buffers, Event, scxml};

#[path = "common/counting.rs"]
mod counting;
#[path = "common/large.rs"]
mod large;

use counting::bytes_here;
use large::{SHAPES, Shape};

/// The bytes that a machine and a document of the shape allocate until they can run.
fn bytes(shape: Shape, states: usize) -> [u64; 2] {
    let tree = shape.tree(states);
    let (json, xml) = (tree.xstate(), tree.scxml());
    let before = bytes_here();
    let bindings = Bindings::new().action("count", |count: &mut u64, _, _| *count += 1);
    let machine = Machine::parse(&json).expect("it is JSON");
    let chart = bindings.compile(&machine).expect("every name is bound");
    let between = bytes_here();
    let document = scxml::compile(&xml).expect("it is right");
    let after = bytes_here();
    assert!(chart.chart.table().len() >= states);
    assert!(document.chart.table().len() >= states);
    [between - before, after - between]
}

#[test]
fn four_times_the_states_take_four_times_the_memory() {
    for shape in SHAPES {
        let (few, many) = (bytes(shape, 2_000), bytes(shape, 8_000));
        for (few, many) in few.into_iter().zip(many) {
            // Vectors grow by doubling, and a table is sparse from some size on.
            assert!(many < 6 * few, "{shape:?}: {few} bytes, then {many}");
        }
    }
}

#[test]
fn charts_of_every_shape_take_the_events_that_they_name() {
    for shape in SHAPES {
        for states in [300, 3_000] {
            let machine = Machine::parse(&shape.tree(states).xstate()).expect("it is JSON");
            let bindings = Bindings::new().action("count", |count: &mut u64, _, _| *count += 1);
            let chart = bindings
                .compile(&machine)
                .expect("every name is bound")
                .chart;
            let mut buffers = Buffers::default();
            let init = Event::new("xstate.init");
            let (mut instance, started) = chart.start(0, &init, &mut buffers);
            started.expect("it rests");
            let mut step = |name: &str| {
                let class = chart.table().class(name);
                let event = Event::new(name.to_owned());
                let taken = chart.step(&mut instance, class, &event, &mut buffers);
                let count = std::mem::take(&mut instance.context);
                (taken.expect("no action fails"), count)
            };
            let all = if shape == Shape::Regions { 100 } else { 1 };
            assert_eq!(step("GO"), (true, all), "{shape:?}");
            assert_eq!(step("GO"), (true, all), "{shape:?}");
            assert_eq!(step("NONE"), (false, 0), "{shape:?}");
            match shape {
                Shape::Root => {
                    assert_eq!(step("E1"), (true, 1));
                    assert_eq!(step("E11"), (true, 1));
                }
                Shape::Regions => assert_eq!(step("BACK7"), (true, 1)),
                _ => {}
            }
        }
    }
}
