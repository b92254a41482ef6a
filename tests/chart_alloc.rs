//! In steady state an event costs no allocation, and a step that fails keeps the old state.

#![cfg(feature = "xstate")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mainspring::chart::xstate::{Bindings, CompileError, Machine};
use mainspring::chart::{Buffers, Event, StepError, Value};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MACHINE: &str = r##"{
    "id": "m", "type": "parallel",
    "states": {
        "work": {
            "initial": "a",
            "states": {
                "a": { "on": { "GO": { "target": "b", "actions": ["count", "tell"] } } },
                "b": {
                    "initial": "x", "onDone": "c",
                    "states": { "x": { "on": { "GO": "y" } }, "y": { "type": "final" } }
                },
                "c": { "always": { "target": "a", "guard": "even" }, "on": { "GO": "a" } }
            }
        },
        "watch": {
            "initial": "on",
            "states": {
                "h": { "type": "history" },
                "on": { "after": { "100": "off" }, "on": { "GO": { "target": "off", "actions": "count" } } },
                "off": { "on": { "GO": "on", "BACK": "#m.watch.h" } }
            }
        }
    }
}"##;

fn bindings() -> Bindings<u64> {
    Bindings::new()
        .action("count", |n, _, _| *n += 1)
        .scoped("tell", |scope, _| {
            scope.raise(Event::new("TOLD".to_owned()));
            Ok(())
        })
        .guard("even", |n: &u64, _, _| n.is_multiple_of(2))
}

#[test]
fn an_event_allocates_nothing_in_steady_state() {
    let machine = Machine::parse(MACHINE).unwrap();
    let quiet = bindings().scoped("tell", |_, _| Ok(()));
    let chart = quiet.compile(&machine).unwrap().chart;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(0, &Event::new("xstate.init"), &mut buffers);
    started.unwrap();
    let go = (chart.table().class("GO"), Event::new("GO"));
    let back = (chart.table().class("BACK"), Event::new("BACK"));
    let mut round = || {
        for (class, event) in [&go, &go, &back, &go] {
            chart
                .step(&mut instance, *class, event, &mut buffers)
                .unwrap();
            buffers.effects().clear();
        }
        instance.context
    };
    for _ in 0..64 {
        round(); // every buffer finds its size
    }
    let before = COUNT.with(Cell::get);
    let first = round();
    for _ in 0..1000 {
        round();
    }
    let after = COUNT.with(Cell::get);
    assert!(round() > first, "the chart moved");
    assert_eq!(after - before, 0, "allocations in 4,004 events");
}

#[test]
fn missing_and_surplus_names_are_all_listed_in_one_error() {
    let machine = Machine::parse(MACHINE).unwrap();
    let partly = Bindings::<u64>::new()
        .action("count", |_, _, _| ())
        .action("cuont", |_, _, _| ());
    let Err(CompileError::Names(error)) = partly.compile(&machine) else {
        panic!("names are missing");
    };
    let text = error.to_string();
    assert_eq!(
        text,
        "not bound: action \"tell\", guard \"even\"; bound but not used: action \"cuont\""
    );
}

#[test]
fn a_circle_of_eventless_transitions_ends_in_an_error_and_keeps_the_old_state() {
    let text = r#"{ "id": "m", "initial": "a", "states": {
        "a": { "on": { "GO": { "target": "b", "actions": "count" } } },
        "b": { "always": { "target": "c", "actions": "count" } },
        "c": { "always": { "target": "b", "actions": "count" } } } }"#;
    let machine = Machine::parse(text).unwrap();
    let bound = Bindings::<u64>::new().action("count", |n, _, _| *n += 1);
    let mut chart = bound.compile(&machine).unwrap().chart;
    chart.microsteps_max = 100;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(7, &Event::new("xstate.init"), &mut buffers);
    started.unwrap();
    let old = instance.clone();
    let go = Event::new("GO");
    let result = chart.step(&mut instance, chart.table().class("GO"), &go, &mut buffers);
    assert_eq!(result, Err(StepError::Limit(100)));
    assert_eq!(instance, old);
    assert!(chart.transition(&old, &go).is_err());
}

#[test]
fn a_failing_action_keeps_the_old_state() {
    let text = r#"{ "id": "m", "initial": "a", "states": {
        "a": { "on": { "GO": { "target": "b", "actions": ["count", "fail"] } } }, "b": {} } }"#;
    let machine = Machine::parse(text).unwrap();
    let bound = Bindings::<u64>::new()
        .action("count", |n, _, _| *n += 1)
        .scoped("fail", |_, _| {
            Err(mainspring::chart::Fault::thrown(Value::Num(3.0)))
        });
    let chart = bound.compile(&machine).unwrap().chart;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(7, &Event::new("xstate.init"), &mut buffers);
    started.unwrap();
    let old = instance.clone();
    let go = Event::new("GO");
    let result = chart.step(&mut instance, chart.table().class("GO"), &go, &mut buffers);
    assert!(matches!(result, Err(StepError::Fault(f)) if f.value == Value::Num(3.0)));
    assert_eq!(instance, old);
}

const REGIONS: &str = r#"{ "id": "m", "type": "parallel", "states": {
    "one": { "initial": "a", "states": {
        "a": { "on": { "GO": { "target": "b", "actions": "count" } } }, "b": {} } },
    "two": { "initial": "a", "states": {
        "a": { "on": { "GO": { "target": "b", "guard": "none", "actions": "perhaps" } } }, "b": {} } } } }"#;

#[test]
fn a_failing_action_in_one_region_keeps_the_old_state_of_all() {
    let machine = Machine::parse(REGIONS).unwrap();
    let bound = Bindings::<u64>::new()
        .action("count", |n, _, _| *n += 1)
        .guard("none", |_, _, _| true)
        .scoped("perhaps", |_, _| {
            Err(mainspring::chart::Fault::thrown(Value::Null))
        });
    let chart = bound.compile(&machine).unwrap().chart;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(7, &Event::new("xstate.init"), &mut buffers);
    started.unwrap();
    let old = instance.clone();
    let go = Event::new("GO");
    let result = chart.step(&mut instance, chart.table().class("GO"), &go, &mut buffers);
    assert!(matches!(result, Err(StepError::Fault(_))));
    assert_eq!(instance, old);
}

#[test]
fn every_regions_guard_is_asked_before_any_regions_action_runs() {
    let machine = Machine::parse(REGIONS).unwrap();
    let bound = Bindings::<u64>::new()
        .action("count", |n, _, _| *n += 1)
        .action("perhaps", |n, _, _| *n += 10)
        .guard("none", |n: &u64, _, _| *n == 0);
    let chart = bound.compile(&machine).unwrap().chart;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(0, &Event::new("xstate.init"), &mut buffers);
    started.unwrap();
    let old = instance.leaves().to_vec();
    let go = Event::new("GO");
    let taken = chart.step(&mut instance, chart.table().class("GO"), &go, &mut buffers);
    assert_eq!(taken, Ok(true));
    assert_eq!(instance.context, 11);
    assert!(
        instance
            .leaves()
            .iter()
            .zip(&old)
            .all(|(new, old)| new != old)
    );
}

#[cfg(feature = "macros")]
mod fused {
    mainspring::chart! {
        pub(super) chart Round(count: u64, event: u8, out: out) {
            initial A;
            on 0 => Back { *count += 1 }
            state A { on 1 => C { out.raise(2); } }
            state B {
                initial C;
                history Back;
                on 2 => D { *count += 1 }
                state C {}
                state D { always if count.is_multiple_of(2) => C { *count += 1 } on 1 => A; }
            }
        }
    }

    mainspring::chart! {
        pub(super) chart Regions(count: u64, event: u8, out: out) {
            initial P;
            on 9 => Kept;
            parallel P {
                history deep Kept;
                on 3 => reenter P;
                state Left {
                    initial A;
                    state A { on 1 => B { *count += 1; out.raise(2) } }
                    state B { on 1 => A { *count += 1 } }
                }
                state Right {
                    initial C;
                    history Back;
                    on 4 => Back { *count += 1 }
                    state C { on 2 => D { *count += 1 } }
                    state D { always if count.is_multiple_of(2) => C { *count += 1 } }
                }
            }
        }
    }
}

#[cfg(feature = "macros")]
#[test]
fn an_event_of_the_macros_chart_allocates_nothing_in_steady_state() {
    let mut chart = fused::Round::new(0).unwrap();
    let mut round = || {
        for event in [1, 2, 0, 1, 0, 1] {
            chart.step(event).unwrap();
        }
        *chart.context()
    };
    for _ in 0..64 {
        round(); // the queue finds its size
    }
    let before = COUNT.with(Cell::get);
    let first = round();
    for _ in 0..1000 {
        round();
    }
    let after = COUNT.with(Cell::get);
    assert!(round() > first + 2000, "the chart moved");
    assert_eq!(after - before, 0, "allocations in 6,006 events");
}

#[cfg(feature = "macros")]
#[test]
fn an_event_in_the_macros_regions_allocates_nothing_in_steady_state() {
    let mut chart = fused::Regions::new(0).unwrap();
    let mut round = || {
        for event in [1, 4, 1, 3, 1, 9, 7] {
            chart.step(event).unwrap();
        }
        *chart.context()
    };
    for _ in 0..64 {
        round(); // the buffers find their size
    }
    let before = COUNT.with(Cell::get);
    let first = round();
    for _ in 0..1000 {
        round();
    }
    let after = COUNT.with(Cell::get);
    assert!(round() > first + 4000, "the chart moved");
    assert_eq!(after - before, 0, "allocations in 7,007 events");
}
