//! An event that no active state takes changes nothing, and is told as a dead letter.
#![cfg(all(feature = "macros", feature = "xstate"))]

use mainspring::chart::Event;
use mainspring::chart::xstate::{Bindings, Machine as Json};
use mainspring::prelude::*;
use mainspring::{Cause, ChildEnded, Clock, HostedChart, Invoked};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// The events and charts of the dead letters of this kind; there is no other kind.
fn not_taken(system: &System) -> Vec<(String, String)> {
    let letters = system.dead_letters().into_iter();
    let names = letters.map(|letter| match letter.cause {
        Cause::NotTaken { event, chart } => (event.to_string(), chart.to_string()),
        other => panic!("{other:?}"),
    });
    names.collect()
}

fn pair(event: &str, chart: &str) -> (String, String) {
    (event.to_owned(), chart.to_owned())
}

const LIGHT: &str = r#"{ "id": "light", "initial": "off", "states": {
    "off": { "on": { "SWITCH": "on", "FIX": { "guard": "never", "target": "on" } } },
    "on": { "invoke": { "id": "work", "src": "worker" }, "after": { "10": { "guard": "never" } },
            "on": { "SWITCH": "off", "FIX": {}, "TURN": { "actions": "lose" }, "*": {} } }
} }"#;

const WORKER: &str = r#"{ "id": "worker", "initial": "a", "states": {
    "a": { "after": { "5": "b" } }, "b": { "type": "final" } } }"#;

fn light() -> HostedChart<u64> {
    let parse = |text| Json::parse(text).unwrap();
    let light = Bindings::<u64>::new()
        .actor("worker")
        .guard("never", |_, _, _| false)
        .scoped("lose", |scope, _| {
            scope.effect(mainspring::chart::Effect::Send {
                event: Event::new("lost"),
                target: mainspring::chart::value::Target::Address("nobody".into()),
                delay_ms: None,
                id: None,
            });
            Ok(())
        });
    let worker = Bindings::<u64>::new().compile(&parse(WORKER)).unwrap();
    HostedChart::from(light.compile(&parse(LIGHT)).unwrap()).child("worker", worker.into(), |_| 0)
}

#[test]
fn an_event_that_no_state_of_a_loaded_chart_takes_is_a_dead_letter_and_its_message_is_handled() {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let light = system.spawn_machine(light().machine(0).unwrap()).unwrap();
    for name in ["DIM", "FIX", "SWITCH", "FIX", "DIM", "xstate.own", "SWITCH"] {
        light.tell(Event::new(name)).unwrap();
    }
    system.run_until_idle();
    let expected = [pair("DIM", "light"), pair("FIX", "light")];
    assert_eq!(not_taken(&system), expected, "a wildcard takes all");
    let letter = &system.dead_letters()[0];
    assert_eq!(letter.actor, light.actor().address());
    assert!(letter.message.ends_with("Event"), "{letter:?}");
    assert_eq!(
        letter.cause.to_string(),
        "no active state of light takes DIM"
    );
    let counts = system.counts(light.actor()).unwrap();
    assert_eq!((counts.accepted, counts.handled), (7, 7));
    let causes = system.metrics().dead_letters;
    assert!(causes.contains(&("not taken", 2)), "{causes:?}");

    light.tell(Event::new("SWITCH")).unwrap();
    system.run_until_idle();
    hand.advance(20 * MS);
    system.run_until_idle();
    assert_eq!(system.actors(), 1, "the child is done, the delay is over");
    assert_eq!(not_taken(&system), expected, "events of its own are none");
}

/// Gives its chart two events at once.
#[derive(Clone, Copy)]
struct Twice;
impl Behavior for Twice {
    type Machine = mainspring::ChartMachine<u64>;
    type Message = [&'static str; 2];
    fn on_message(&self, names: Self::Message, _: Snapshot<Self>) -> Plan<Self> {
        let [first, second] = names.map(|name| Plan::emit(Event::new(name)));
        first.and(second)
    }
}

#[test]
fn a_turn_that_fails_tells_nothing_of_the_events_that_no_state_took() {
    let (clock, _hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let light = system.spawn(Twice, light().machine(0).unwrap()).unwrap();
    light.tell(["DIM", "SWITCH"]).unwrap();
    system.run_until_idle();
    assert_eq!(not_taken(&system), [pair("DIM", "light")]);
    light.tell(["SWITCH", "DIM"]).unwrap();
    system.run_until_idle();
    assert_eq!(not_taken(&system).len(), 2, "it is off again");
    light.tell(["SWITCH", "TURN"]).unwrap();
    light.tell(["DIM", "FIX"]).unwrap();
    system.run_until_idle();
    let letters = system.dead_letters();
    assert!(matches!(letters[2].cause, Cause::Refused(_)), "{letters:?}");
    assert_eq!(
        letters.len(),
        5,
        "two of the last turn, none of the failed one"
    );
}

#[derive(Clone, Debug)]
enum Press {
    Go,
    Other,
    Due(u64),
    Ended(ChildEnded),
}

mainspring::chart! {
    #[derive(Clone, Debug)]
    chart Mute(count: u64, event: Press) {
        initial A;
        state A { on Press::Go => B { *count += 1 } }
        state B { on Press::Other; on Press::Go if *count > 5 => A; }
    }
}

mainspring::chart! {
    chart Speaking(count: u64, event: Press, out: out, after: Press::Due, invoke: Press::Ended) {
        initial A;
        entry { out.raise(Press::Other) }
        state A { on Press::Go => B { *count += 1 } }
        state B {
            invoke Job = Invoked::chart(Brief::new(()).unwrap());
            after 5 * MS if *count > 5 => A;
            on Press::Other;
        }
    }
}

mainspring::chart! {
    chart Regions(count: u64, event: Press, after: Press::Due, invoke: Press::Ended) {
        initial Both;
        parallel Both {
            state Left {
                initial A;
                state A { on Press::Go => B { *count += 1 } }
                state B {
                    invoke Job = Invoked::chart(Brief::new(()).unwrap());
                    after 5 * MS if *count > 5 => A;
                }
            }
            state Right { on Press::Other if *count > 0 => { *count += 1 } }
        }
    }
}

mainspring::chart! {
    chart Brief(context: (), event: Press, after: Press::Due) {
        initial A;
        state A { after MS => Over; }
        final Over;
    }
}

#[test]
fn an_event_that_no_state_of_a_macros_chart_takes_is_a_dead_letter() {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let event = std::any::type_name::<Press>();
    macro_rules! tells {
        ($chart:ident) => {{
            let before = not_taken(&system).len();
            let chart = system.spawn_machine($chart::new(0).unwrap()).unwrap();
            for press in [Press::Other, Press::Go, Press::Go, Press::Other] {
                chart.tell(press).unwrap();
            }
            system.run_until_idle();
            hand.advance(10 * MS);
            system.run_until_idle();
            let told = not_taken(&system).split_off(before);
            let once = pair(event, stringify!($chart));
            assert_eq!(told, [once.clone(), once], "before and after the move");
        }};
    }
    tells!(Mute);
    tells!(Speaking);
    tells!(Regions);
    assert_eq!(system.actors(), 3, "their children are done");

    let mut alone = Mute::new(0).unwrap();
    assert_eq!(alone.step(Press::Other), Ok(false));
    alone.apply(Press::Other);
    assert_eq!(
        system.dead_letter_count(),
        6,
        "out of a turn nobody is told"
    );
}

#[cfg(feature = "testkit")]
#[test]
fn in_a_simulation_an_event_that_no_state_takes_fails_the_test_unless_allowed() {
    let run = |allowed: bool| {
        let mut sim = mainspring::testkit::Sim::new(3);
        if allowed {
            sim.allow("not taken");
        }
        let mute = sim.system().spawn_machine(Mute::new(0).unwrap()).unwrap();
        mute.tell(Press::Go).unwrap();
        mute.tell(Press::Go).unwrap();
        sim.run_until_idle();
    };
    let caught = std::panic::catch_unwind(|| run(false)).unwrap_err();
    let text = caught.downcast::<String>().unwrap();
    assert!(text.contains("no active state of Mute takes"), "{text}");
    run(true);
}
