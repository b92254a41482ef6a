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

/// A machine whose wildcards have guards: behind one that does not hold, states above are asked.
#[derive(Clone, Copy, Debug)]
enum Wild {
    /// In each leaf, below a root that takes an event for every leaf.
    Leaves,
    /// In a state between such a root and the leaves.
    Between,
    /// As many in the root as there are leaves.
    Root,
}

impl Wild {
    fn xstate(self, states: usize) -> String {
        let wild = r#"{"guard":"open","actions":"count"}"#;
        let on = |nth: usize| {
            let next = (nth + 1) % states;
            let star = match self {
                Self::Leaves => format!(r#","*":{wild}"#),
                _ => String::new(),
            };
            format!(r#""s{nth}":{{"on":{{"GO{nth}":"s{next}"{star}}}}}"#)
        };
        let leaves: Vec<String> = (0..states).map(on).collect();
        let leaves = leaves.join(",");
        let to =
            |nth: usize| format!(r##""TO{nth}":{{"target":"#m.in.s{nth}","actions":"count"}}"##);
        let mut root: Vec<String> = (0..states).map(to).collect();
        let mut between = String::new();
        match self {
            Self::Leaves => {}
            Self::Between => between = format!(r#""on":{{"*":{wild}}},"#),
            Self::Root => root = vec![format!(r#""*":[{}]"#, vec![wild; states].join(","))],
        }
        format!(
            r#"{{"id":"m","initial":"in","on":{{{}}},"states":{{"in":{{{between}"initial":"s0","states":{{{leaves}}}}}}}}}"#,
            root.join(",")
        )
    }
}

#[test]
fn eventless_transitions_are_not_copied_into_every_leaf_below() {
    let load = |states: usize| {
        let leaf = |nth: usize| {
            let next = (nth + 1) % states;
            format!(r#""s{nth}":{{"on":{{"GO":{{"target":"s{next}","actions":"count"}}}}}}"#)
        };
        let leaves: Vec<String> = (0..states).map(leaf).collect();
        let always = |nth: usize| {
            format!(
                r#"{{"guard":{{"type":"is","params":{nth}}},"target":".in.s{nth}","actions":"jump"}}"#
            )
        };
        let always: Vec<String> = (0..states).map(always).collect();
        let json = format!(
            r#"{{"id":"m","initial":"in","always":[{}],"states":{{"in":{{"initial":"s0","states":{{{}}}}}}}}}"#,
            always.join(","),
            leaves.join(",")
        );
        let machine = Machine::parse(&json).expect("it is JSON");
        let bindings = Bindings::new()
            .action("count", |count: &mut u64, _, _| *count += 1)
            .action("jump", |count: &mut u64, _, _| *count += 1_000_000)
            // Of the second step on, the fortieth transition holds.
            .guard("is", |count: &u64, _, nth| {
                *count == 2 && nth.num() == Some(40.0)
            });
        let before = bytes_here();
        let chart = bindings.compile(&machine).expect("every name is bound");
        (bytes_here() - before, chart)
    };
    let ((few, _), (many, chart)) = (load(500), load(2_000));
    assert!(many < 6 * few, "{few} bytes, then {many}");

    let (chart, model) = (chart.chart, chart.model);
    let mut buffers = Buffers::default();
    let init = Event::new("xstate.init");
    let (mut instance, started) = chart.start(0, &init, &mut buffers);
    started.expect("it rests");
    let mut go = || {
        let class = chart.table().class("GO");
        let taken = chart.step(&mut instance, class, &Event::new("GO"), &mut buffers);
        assert_eq!(taken, Ok(true));
        let leaf = &model.states[instance.leaves()[0] as usize].id;
        (leaf.clone(), instance.context)
    };
    assert_eq!(go(), ("m.in.s1".to_owned(), 1));
    assert_eq!(go(), ("m.in.s40".to_owned(), 1_000_002), "from s2");
    assert_eq!(go(), ("m.in.s41".to_owned(), 1_000_003));
}

#[test]
fn wildcards_with_guards_are_not_copied_below_for_each_event_of_the_states_above() {
    for wild in [Wild::Leaves, Wild::Between, Wild::Root] {
        let load = |states: usize| {
            let json = wild.xstate(states);
            let machine = Machine::parse(&json).expect("it is JSON");
            let bindings = Bindings::new()
                .action("count", |count: &mut u64, _, _| *count += 1)
                .guard("open", |count: &u64, _, _| *count == 1);
            let before = bytes_here();
            let chart = bindings.compile(&machine).expect("every name is bound");
            (bytes_here() - before, chart.chart)
        };
        let ((few, _), (many, chart)) = (load(2_000), load(8_000));
        assert!(many < 6 * few, "{wild:?}: {few} bytes, then {many}");

        let mut buffers = Buffers::default();
        let init = Event::new("xstate.init");
        let (mut instance, started) = chart.start(0, &init, &mut buffers);
        started.expect("it rests");
        let mut step = |name: &str| {
            let class = chart.table().class(name);
            let event = Event::new(name.to_owned());
            let taken = chart.step(&mut instance, class, &event, &mut buffers);
            (taken.expect("no action fails"), instance.context)
        };
        assert_eq!(step("GO0"), (true, 0), "{wild:?}: the leaf is asked first");
        match wild {
            Wild::Root => assert_eq!(step("TO7"), (false, 0), "none of its guards holds"),
            _ => {
                assert_eq!(
                    step("TO7"),
                    (true, 1),
                    "{wild:?}: the root is asked behind a guard"
                );
                assert_eq!(step("GO7"), (true, 1), "{wild:?}: that led to s7");
                assert_eq!(step("TO9"), (true, 2), "{wild:?}: the wildcard is nearer");
                assert_eq!(step("GO8"), (true, 2), "{wild:?}: so it is s8 still");
                assert_eq!(
                    step("NONE"),
                    (false, 2),
                    "{wild:?}: no guard holds any more"
                );
            }
        }
    }
}
