//! Charts of the macro do what the kernel does, and are machines.
#![cfg(all(feature = "macros", feature = "xstate"))]

#[path = "common/said.rs"]
mod said;

use mainspring::chart::xstate::{Bindings, Compiled, Machine as Json};
use mainspring::chart::{Buffers, Event as Named, StepError, Value};
use mainspring::prelude::*;
use mainspring::{Cause, Clock};
use proptest::prelude::*;
use said::Words;
use std::time::Duration;

/// What both charts have: a log of their actions, and a number for the guards.
#[derive(Clone, Debug, Default, PartialEq)]
struct Log {
    said: Vec<&'static str>,
    level: u8,
}

impl Log {
    fn say(&mut self, word: &'static str) {
        self.said.push(word);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Signal {
    Go,
    Back,
    Level(u8),
    Again,
    Deep,
    Recall,
    RecallDeep,
    Block,
    Inner,
}

mainspring::chart! {
    #[derive(Debug)]
    chart Machine(log: Log, event: Signal, out: out) {
        initial Idle;
        entry { log.say("+root") }
        on Signal::Level(level) => { log.level = level; log.say("level") }
        on Signal::Recall => Shallow { log.say("recall") }
        on Signal::RecallDeep => Deepest { log.say("deep") }
        on Signal::Back => Idle { log.say("back") }
        on Signal::Block => { log.say("root") }

        state Idle {
            entry { log.say("+idle") }
            exit { log.say("-idle") }
            on Signal::Go if log.level > 2 => Fast { log.say("fast") }
            on Signal::Go => Work { log.say("go") }
            on Signal::Again => Idle { log.say("same") }
            on Signal::Deep => reenter Idle { log.say("anew") }
        }
        state Work {
            initial First;
            entry { log.say("+work") }
            exit { log.say("-work") }
            history Shallow;
            history deep Deepest => Second;
            on Signal::Again => Work { log.say("inside") }
            on Signal::Deep => reenter Fast { log.say("outside") }
            on Signal::Go => Second { log.say("second") }
            on Signal::Inner => { log.say("work") }
            done => Idle { log.say("done") }
            state First {
                initial Slow;
                entry { log.say("+first") }
                exit { log.say("-first") }
                on Signal::Block;
                state Slow {
                    entry { log.say("+slow") }
                    exit { log.say("-slow") }
                    on Signal::Go => Fast;
                }
                state Fast {
                    entry { log.say("+fast"); out.raise(Signal::Inner); }
                    exit { log.say("-fast") }
                    on Signal::Inner if log.level == 1 => First { log.say("inner") }
                    always if log.level == 4 => Ended { log.say("always") }
                }
            }
            state Second {
                entry { log.say("+second") }
                exit { log.say("-second") }
                on Signal::Go => Ended { log.say("end") }
                on Signal::Again => Slow { log.say("across") }
                always if log.level == 3 => Fast { log.level = 0; log.say("fall") }
            }
            final Ended {
                entry { log.say("+ended") }
                exit { log.say("-ended") }
            }
        }
    }
}

const SAME: &str = r##"{ "id": "m", "initial": "Idle", "entry": "+root",
    "on": {
        "Level": { "actions": ["set", "level"] },
        "Recall": { "target": ".Work.Shallow", "actions": "recall" },
        "RecallDeep": { "target": ".Work.Deepest", "actions": "deep" },
        "Back": { "target": ".Idle", "actions": "back" },
        "Block": { "actions": "root" }
    },
    "states": {
        "Idle": { "entry": "+idle", "exit": "-idle", "on": {
            "Go": [ { "target": "#Fast", "guard": "over2", "actions": "fast" },
                    { "target": "Work", "actions": "go" } ],
            "Again": { "target": "Idle", "actions": "same" },
            "Deep": { "target": "Idle", "reenter": true, "actions": "anew" } } },
        "Work": { "initial": "First", "entry": "+work", "exit": "-work",
            "on": {
                "Again": { "target": "Work", "actions": "inside" },
                "Deep": { "target": "#Fast", "reenter": true, "actions": "outside" },
                "Go": { "target": ".Second", "actions": "second" },
                "Inner": { "actions": "work" } },
            "onDone": { "target": "Idle", "actions": "done" },
            "states": {
                "Shallow": { "type": "history" },
                "Deepest": { "type": "history", "history": "deep", "target": "Second" },
                "First": { "initial": "Slow", "entry": "+first", "exit": "-first",
                    "on": { "Block": {} },
                    "states": {
                        "Slow": { "id": "Slow", "entry": "+slow", "exit": "-slow",
                            "on": { "Go": "Fast" } },
                        "Fast": { "id": "Fast", "entry": ["+fast", "raise"], "exit": "-fast",
                            "on": { "Inner": { "target": "#First", "guard": "is1", "actions": "inner" } },
                            "always": { "target": "#Ended", "guard": "is4", "actions": "always" } } },
                    "id": "First" },
                "Second": { "entry": "+second", "exit": "-second",
                    "on": { "Go": { "target": "Ended", "actions": "end" },
                            "Again": { "target": "#Slow", "actions": "across" } },
                    "always": { "target": "#Fast", "guard": "is3", "actions": ["zero", "fall"] } },
                "Ended": { "id": "Ended", "type": "final", "entry": "+ended", "exit": "-ended" } } } } }"##;

const WORDS: [&str; 26] = [
    "+root", "level", "recall", "deep", "back", "root", "+idle", "-idle", "fast", "go", "same",
    "anew", "+work", "-work", "inside", "outside", "second", "work", "done", "+first", "-first",
    "+slow", "-slow", "+fast", "-fast", "inner",
];
const MORE: [&str; 8] = [
    "always", "+second", "-second", "end", "across", "fall", "+ended", "-ended",
];

fn same() -> Compiled<Log> {
    let json = Json::parse(SAME).unwrap();
    let mut bindings = Bindings::<Log>::new()
        .action("set", |log, event, _| {
            log.level = event.data.field("level").and_then(Value::num).unwrap() as u8;
        })
        .action("zero", |log, _, _| log.level = 0)
        .scoped("raise", |scope, _| {
            scope.raise(Named::new("Inner"));
            Ok(())
        })
        .guard("over2", |log, _, _| log.level > 2)
        .guard("is1", |log, _, _| log.level == 1)
        .guard("is3", |log, _, _| log.level == 3)
        .guard("is4", |log, _, _| log.level == 4);
    for word in WORDS.into_iter().chain(MORE) {
        bindings = bindings.action(word, move |log, _, _| log.say(word));
    }
    bindings.compile(&json).unwrap()
}

fn named(signal: Signal) -> Named {
    match signal {
        Signal::Level(level) => Named::new("Level").field("level", Value::Num(f64::from(level))),
        other => Named::new(format!("{other:?}")),
    }
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        4 => Just(Signal::Go),
        1 => Just(Signal::Back),
        2 => (0u8..6).prop_map(Signal::Level),
        2 => Just(Signal::Again),
        2 => Just(Signal::Deep),
        2 => Just(Signal::Recall),
        2 => Just(Signal::RecallDeep),
        1 => Just(Signal::Block),
        1 => Just(Signal::Inner),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_macro_and_the_kernel_take_the_same_steps(signals in prop::collection::vec(signal(), 1..30)) {
        let loaded = same();
        let mut buffers = Buffers::default();
        let init = Named::new("xstate.init");
        let (mut instance, started) = loaded.chart.start(Log::default(), &init, &mut buffers);
        started.unwrap();
        let mut machine = Machine::new(Log::default()).unwrap();
        prop_assert_eq!(machine.context(), &instance.context);
        for (nth, &signal) in signals.iter().enumerate() {
            let event = named(signal);
            let class = loaded.chart.table().class(&event.name);
            let before = instance.clone();
            let expected = loaded.chart.step(&mut instance, class, &event, &mut buffers);
            let taken = machine.step(signal);
            prop_assert_eq!(taken.is_ok(), expected.is_ok(), "{} {:?}: {:?}", nth, signal, expected);
            if let (Ok(taken), Ok(expected)) = (taken, &expected) {
                prop_assert_eq!(taken, *expected, "{} {:?} in {:?}", nth, signal, before.context);
            }
            prop_assert_eq!(machine.context(), &instance.context, "{} {:?}", nth, signal);
            let leaf = loaded.path(instance.leaves()[0]);
            let leaf = leaf.rsplit('.').next().unwrap();
            prop_assert_eq!(format!("{:?}", machine.state()), leaf, "{} {:?}", nth, signal);
            for (name, state) in STATES {
                let id = loaded.model.states.iter().position(|s| s.key == name).unwrap();
                let active = loaded.chart.is_in(&instance, id as u32);
                prop_assert_eq!(machine.is(state), active, "{}", name);
            }
        }
    }
}

const STATES: [(&str, MachineState); 7] = [
    ("Idle", MachineState::Idle),
    ("Work", MachineState::Work),
    ("First", MachineState::First),
    ("Slow", MachineState::Slow),
    ("Fast", MachineState::Fast),
    ("Second", MachineState::Second),
    ("Ended", MachineState::Ended),
];

#[derive(Clone, Copy, Debug)]
enum Turn {
    Push,
    After(u8),
    Never,
}

mainspring::chart! {
    /// Turns back after a while, and ends after the third turn.
    #[derive(Clone, Debug)]
    chart Gate(turns: u32, event: Turn, after: Turn::After) {
        initial Locked;
        state Locked { tags "safe"; on Turn::Push => Unlocked { turns.add_assign(1) } }
        state Unlocked {
            after Duration::from_millis(u64::from(*turns) * 100) if *turns < 3 => Locked;
            after Duration::from_millis(400) => Worn;
            on Turn::Push => reenter Unlocked { turns.add_assign(1) }
        }
        final Worn;
    }
}

use std::ops::AddAssign;

mainspring::chart! {
    #[derive(Debug)]
    chart Circle(times: u32, event: u8) {
        initial A;
        state A { on 1 => B; on 2 => { times.add_assign(1) } }
        state B { always => C { times.add_assign(1) } }
        state C { always => B; }
    }
}

#[test]
fn its_delays_are_timers_of_its_actor_and_its_end_is_the_actors() {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let gate = system.spawn_machine(Gate::new(0).unwrap()).unwrap();
    let look = || {
        system.run_until_idle();
        let asked = gate.snapshot();
        system.run_until_idle();
        asked.wait().unwrap()
    };
    let ms = Duration::from_millis(1);
    assert!(look().has_tag("safe"));
    gate.tell(Turn::Push).unwrap();
    assert!(look().is(GateState::Unlocked) && !look().has_tag("safe"));
    hand.advance(99 * ms);
    assert!(look().is(GateState::Unlocked), "never early");
    hand.advance(3 * ms);
    assert!(look().is(GateState::Locked));
    hand.advance(500 * ms);
    assert!(
        look().is(GateState::Locked),
        "the other delay ended with its state"
    );
    gate.tell(Turn::Push).unwrap();
    gate.tell(Turn::Push).unwrap();
    gate.tell(Turn::Never).unwrap();
    assert_eq!(*look().context(), 3);
    hand.advance(350 * ms);
    assert!(
        look().is(GateState::Unlocked),
        "the guard of the first delay"
    );
    assert!(gate.is_alive());
    hand.advance(60 * ms);
    system.run_until_idle();
    assert!(!gate.is_alive());
}

#[test]
fn a_circle_of_always_ends_in_an_error_and_the_old_state() {
    let mut circle = Circle::new(7).unwrap();
    let max = mainspring::chart::run::MICROSTEPS_MAX;
    assert_eq!(circle.step(1), Err(StepError::Limit(max)));
    assert_eq!(circle.state(), CircleState::A);
    assert_eq!(*circle.context(), 7);
    assert_eq!(circle.step(2), Ok(true));
    assert_eq!(*circle.context(), 8);
    assert_eq!(circle.step(3), Ok(false));

    let (clock, _hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let actor = system.spawn_machine(circle).unwrap();
    actor.tell(1).unwrap();
    system.run_until_idle();
    assert!(actor.is_alive());
    let letters = system.dead_letters();
    assert!(matches!(letters[0].cause, Cause::Refused(_)), "{letters:?}");
}

struct Hello(ActorRef<String>);

mainspring::chart! {
    chart Greeter(greeted: u32, event: Hello, out: out) {
        initial Up;
        state Up {
            on Hello(to) if *greeted > 0 => { out.tell(to, "again".to_owned()); }
            on Hello(to) => { *greeted += 1; out.tell(to, "hello".to_owned()); }
        }
    }
}

#[test]
fn what_its_bodies_send_joins_the_turn() {
    let (clock, _hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let words = system.spawn_machine(Words::default()).unwrap();
    let greeter = system.spawn_machine(Greeter::new(0).unwrap()).unwrap();
    greeter.tell(Hello(words.actor())).unwrap();
    greeter.tell(Hello(words.actor())).unwrap();
    system.run_until_idle();
    let asked = words.snapshot();
    system.run_until_idle();
    assert_eq!(asked.wait().unwrap().0, ["hello", "again"]);
}
