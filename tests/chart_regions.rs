//! The macro's parallel states, histories asked from inside, and charts as data.
#![cfg(all(feature = "macros", feature = "xstate"))]

#[path = "common/said.rs"]
mod said;

use mainspring::chart::check::check;
use mainspring::chart::lower::lower;
use mainspring::chart::model::Kind;
use mainspring::chart::paths::paths;
use mainspring::chart::xstate::{Bindings, Compiled, Machine as Json};
use mainspring::chart::{
    Ask, Buffers, Chart, Class, Event as Named, Logic, Model, Scope, StepError, Table, Value, draw,
    svg,
};
use mainspring::prelude::*;
use mainspring::{Cause, Clock};
use proptest::prelude::*;
use said::Log;
use std::convert::Infallible;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
enum Signal {
    Go,
    Back,
    Level(u8),
    Note(String),
    Jump,
    Recall,
    Inner,
    Stop,
}

mainspring::chart! {
    #[derive(Clone, Debug)]
    chart Plant(log: Log, event: Signal, out: out, states: at) {
        initial Idle;
        entry { log.say("+root") }
        on Signal::Level(level) => { log.level = level; log.say("level") }
        on Signal::Note(text) if text.len() > 2 => { log.say(&text) }
        on Signal::Stop => Idle { log.say("stop") }

        state Idle {
            entry { log.say("+idle") }
            exit { log.say("-idle") }
            on Signal::Go => Work { log.say("go") }
            on Signal::Jump => Hot & Shut { log.say("jump") }
            on Signal::Recall => Kept { log.say("recall") }
        }
        parallel Work {
            tags "busy";
            entry { log.say("+work") }
            exit { log.say("-work") }
            history deep Kept;
            on Signal::Back => reenter Work { log.say("again") }
            done => Idle { log.say("done") }
            state Heater {
                initial Cold;
                entry { log.say("+heater") }
                exit { log.say("-heater") }
                history Before;
                on Signal::Recall => Before { log.say("before") }
                state Cold {
                    entry { log.say("+cold") }
                    exit { log.say("-cold") }
                    on Signal::Go => Warm { log.say("warm") }
                }
                state Warm {
                    initial Low;
                    entry { log.say("+warm") }
                    exit { log.say("-warm") }
                    on Signal::Jump => Cold { log.say("cool") }
                    state Low {
                        entry { log.say("+low"); out.raise(Signal::Inner) }
                        exit { log.say("-low") }
                        on Signal::Go if log.level > 2 => Hot { log.say("hot") }
                        on Signal::Go => { log.say("not yet") }
                    }
                    state Hot {
                        entry { log.say("+hot") }
                        exit { log.say("-hot") }
                        on Signal::Go if at.is(PlantState::Shut) => Off { log.say("off") }
                    }
                }
                final Off {
                    entry { log.say("+off") }
                    exit { log.say("-off") }
                    on Signal::Go => Warm { log.say("anew") }
                }
            }
            state Valve {
                initial Open;
                entry { log.say("+valve") }
                exit { log.say("-valve") }
                state Open {
                    entry { log.say("+open") }
                    exit { log.say("-open") }
                    on Signal::Inner if log.level > 1 => Shut { log.say("shut") }
                    on Signal::Jump => Shut { log.say("slam") }
                    always if log.level == 4 => { log.level = 3; log.say("down") }
                }
                state Shut {
                    entry { log.say("+shut") }
                    exit { log.say("-shut") }
                    tags "tight";
                    on Signal::Inner => Open { log.say("open") }
                    on Signal::Jump if log.level == 1 => Closed { log.say("close") }
                    on Signal::Go if at.is(PlantState::Cold) => Open { log.say("with") }
                }
                final Closed { entry { log.say("+closed") } exit { log.say("-closed") } }
            }
        }
    }
}

const SAME: &str = r##"{ "id": "m", "initial": "Idle", "entry": "+root",
    "on": {
        "Level": { "actions": ["set", "level"] },
        "Note": { "guard": "long", "actions": "note" },
        "Stop": { "target": ".Idle", "actions": "stop" } },
    "states": {
        "Idle": { "entry": "+idle", "exit": "-idle", "on": {
            "Go": { "target": "Work", "actions": "go" },
            "Jump": { "target": ["Work.Heater.Warm.Hot", "Work.Valve.Shut"], "actions": "jump" },
            "Recall": { "target": "Work.Kept", "actions": "recall" } } },
        "Work": { "type": "parallel", "id": "Work", "entry": "+work", "exit": "-work",
            "on": { "Back": { "target": "#Work", "reenter": true, "actions": "again" } },
            "onDone": { "target": "Idle", "actions": "done" },
            "states": {
                "Kept": { "type": "history", "history": "deep" },
                "Heater": { "initial": "Cold", "entry": "+heater", "exit": "-heater",
                    "on": { "Recall": { "target": ".Before", "actions": "before" } },
                    "states": {
                        "Before": { "type": "history" },
                        "Cold": { "id": "Cold", "entry": "+cold", "exit": "-cold",
                            "on": { "Go": { "target": "Warm", "actions": "warm" } } },
                        "Warm": { "initial": "Low", "entry": "+warm", "exit": "-warm",
                            "on": { "Jump": { "target": "Cold", "actions": "cool" } },
                            "states": {
                                "Low": { "entry": ["+low", "raise"], "exit": "-low", "on": { "Go": [
                                    { "target": "Hot", "guard": "over2", "actions": "hot" },
                                    { "actions": "not yet" } ] } },
                                "Hot": { "entry": "+hot", "exit": "-hot", "on": {
                                    "Go": { "target": "#Off", "guard": { "in": "#Shut" }, "actions": "off" } } } } },
                        "Off": { "id": "Off", "type": "final", "entry": "+off", "exit": "-off",
                            "on": { "Go": { "target": "Warm", "actions": "anew" } } } } },
                "Valve": { "initial": "Open", "entry": "+valve", "exit": "-valve",
                    "states": {
                        "Open": { "entry": "+open", "exit": "-open",
                            "on": { "Inner": { "target": "Shut", "guard": "over1", "actions": "shut" },
                                    "Jump": { "target": "Shut", "actions": "slam" } },
                            "always": { "guard": "is4", "actions": ["three", "down"] } },
                        "Shut": { "id": "Shut", "entry": "+shut", "exit": "-shut",
                            "on": { "Inner": { "target": "Open", "actions": "open" },
                                    "Jump": { "target": "Closed", "guard": "is1", "actions": "close" },
                                    "Go": { "target": "Open", "guard": { "in": "#Cold" }, "actions": "with" } } },
                        "Closed": { "type": "final", "entry": "+closed", "exit": "-closed" } } } } } } }"##;

const WORDS: [&str; 40] = [
    "+root", "level", "stop", "+idle", "-idle", "go", "jump", "recall", "+work", "-work", "again",
    "done", "+heater", "-heater", "before", "+cold", "-cold", "warm", "+warm", "-warm", "cool",
    "+low", "-low", "hot", "not yet", "+hot", "-hot", "off", "+off", "-off", "+valve", "-valve",
    "+open", "-open", "shut", "slam", "down", "+shut", "-shut", "open",
];
const MORE: [&str; 5] = ["anew", "close", "with", "+closed", "-closed"];

fn text(event: &Named) -> &str {
    match event.data.field("text") {
        Some(Value::Str(text)) => text,
        other => panic!("a note has a text: {other:?}"),
    }
}

fn same() -> Compiled<Log> {
    let json = Json::parse(SAME).unwrap();
    let mut bindings = Bindings::<Log>::new()
        .action("set", |log, event, _| {
            log.level = event.data.field("level").and_then(Value::num).unwrap() as u8;
        })
        .action("note", |log, event, _| {
            log.say(text(event));
        })
        .action("three", |log, _, _| log.level = 3)
        .scoped("raise", |scope, _| {
            scope.raise(Named::new("Inner"));
            Ok(())
        })
        .guard("long", |_, event, _| text(event).len() > 2)
        .guard("over1", |log, _, _| log.level > 1)
        .guard("over2", |log, _, _| log.level > 2)
        .guard("is1", |log, _, _| log.level == 1)
        .guard("is4", |log, _, _| log.level == 4);
    for word in WORDS.into_iter().chain(MORE) {
        bindings = bindings.action(word, move |log, _, _| log.say(word));
    }
    bindings.compile(&json).unwrap()
}

fn named(signal: &Signal) -> Named {
    match signal {
        Signal::Level(level) => Named::new("Level").field("level", Value::Num(f64::from(*level))),
        Signal::Note(text) => Named::new("Note").field("text", Value::str(text)),
        other => Named::new(format!("{other:?}")),
    }
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        6 => Just(Signal::Go),
        1 => Just(Signal::Back),
        2 => (0u8..6).prop_map(Signal::Level),
        1 => prop_oneof![Just("ab"), Just("abc")].prop_map(|text| Signal::Note(text.to_owned())),
        4 => Just(Signal::Jump),
        2 => Just(Signal::Recall),
        2 => Just(Signal::Inner),
        1 => Just(Signal::Stop),
    ]
}

const STATES: [(&str, PlantState); 11] = [
    ("Idle", PlantState::Idle),
    ("Work", PlantState::Work),
    ("Heater", PlantState::Heater),
    ("Cold", PlantState::Cold),
    ("Warm", PlantState::Warm),
    ("Low", PlantState::Low),
    ("Hot", PlantState::Hot),
    ("Off", PlantState::Off),
    ("Valve", PlantState::Valve),
    ("Open", PlantState::Open),
    ("Shut", PlantState::Shut),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parallel_states_do_what_the_same_loaded_chart_does(signals in prop::collection::vec(signal(), 1..40)) {
        let loaded = same();
        let mut buffers = Buffers::default();
        let init = Named::new("xstate.init");
        let (mut instance, started) = loaded.chart.start(Log::default(), &init, &mut buffers);
        started.unwrap();
        let mut plant = Plant::new(Log::default()).unwrap();
        prop_assert_eq!(plant.context(), &instance.context);
        for (nth, signal) in signals.iter().enumerate() {
            let event = named(signal);
            let class = loaded.chart.table().class(&event.name);
            let expected = loaded.chart.step(&mut instance, class, &event, &mut buffers).unwrap();
            let taken = plant.step(signal.clone()).unwrap();
            prop_assert_eq!(taken, expected, "{} {:?}", nth, signal);
            prop_assert_eq!(plant.context(), &instance.context, "{} {:?}", nth, signal);
            let leaves = instance.leaves().iter().map(|&leaf| loaded.path(leaf));
            let leaves: Vec<_> = leaves.map(|path| path.rsplit('.').next().unwrap().to_owned()).collect();
            let own: Vec<_> = plant.states().map(|state| format!("{state:?}")).collect();
            prop_assert_eq!(own, leaves);
            for (name, state) in STATES {
                let id = loaded.model.states.iter().position(|s| s.key == name).unwrap();
                prop_assert_eq!(plant.is(state), loaded.chart.is_in(&instance, id as u32), "{}", name);
            }
        }
    }
}

/// Does what a model's texts say: the charts here are written so that this is little.
struct Texts(Model);

impl Logic for Texts {
    type Context = Log;
    type Event = Signal;
    type Effect = Infallible;
    type Fault = Infallible;

    fn class(&self, table: &Table, event: &Signal) -> Class {
        let name = format!("{event:?}");
        table.class(name.split('(').next().unwrap())
    }

    fn guard(&self, id: u32, ask: &Ask<'_, Self>) -> Result<bool, Infallible> {
        let level = ask.context.level;
        Ok(match &self.0.guards[id as usize][..] {
            "log.level > 2" => level > 2,
            "log.level == 1" => level == 1,
            "log.level == 3" => level == 3,
            "log.level == 4" => level == 4,
            "event is Signal::Level(5)" => *ask.event == Signal::Level(5),
            other => panic!("a guard of another text: {other}"),
        })
    }

    fn act(&self, id: u32, scope: &mut Scope<'_, Self>) -> Result<(), Infallible> {
        for part in self.0.actions[id as usize].split("; ") {
            match part.trim() {
                "log.level = level" => {
                    let Signal::Level(level) = *scope.event else {
                        panic!("another event");
                    };
                    scope.context.level = level;
                }
                "log.level = 0" => scope.context.level = 0,
                "out.raise(Signal::Inner)" => scope.raise(Signal::Inner),
                said => {
                    let word = said
                        .strip_prefix("log.say(\"")
                        .and_then(|s| s.strip_suffix("\")"));
                    scope.context.say(word.expect(said));
                }
            }
        }
        scope.touch();
        Ok(())
    }

    fn failure(&self, fault: Infallible) -> Option<Signal> {
        match fault {}
    }
}

mainspring::chart! {
    #[derive(Debug)]
    chart Track(log: Log, event: Signal, out: out) {
        initial Idle;
        entry { log.say("+root") }
        on Signal::Level(5) => { log.say("five") }
        on Signal::Level(level) => { log.level = level; log.say("level") }
        on Signal::Recall => Shallow { log.say("recall") }
        on Signal::Back | Signal::Stop => Idle { log.say("back") }
        state Idle {
            entry { log.say("+idle") }
            exit { log.say("-idle") }
            on Signal::Go if log.level > 2 => Fast { log.say("fast") }
            on Signal::Go => Work { log.say("go") }
            on Signal::Jump => reenter Idle { log.say("anew") }
        }
        state Work {
            initial First;
            entry { log.say("+work") }
            exit { log.say("-work") }
            history deep Shallow => Second;
            on Signal::Jump => reenter Fast { log.say("outside") }
            on Signal::Go => Second { log.say("second") }
            on Signal::Inner => { log.say("inner") }
            on Signal::Note(_) => Last { log.say("last") }
            final Last {
                entry { log.say("+last") }
                exit { log.say("-last") }
                on Signal::Note(_) => Second { log.say("on") }
            }
            state First {
                initial Slow;
                exit { log.say("-first") }
                state Slow { on Signal::Go => Fast; }
                state Fast {
                    entry { log.say("+fast"); out.raise(Signal::Inner) }
                    on Signal::Inner if log.level == 1 => First { log.say("in first") }
                    always if log.level == 4 => Second { log.say("always") }
                }
            }
            state Second {
                entry { log.say("+second") }
                always if log.level == 3 => { log.level = 0; log.say("fall") }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_chart_and_its_model_have_equal_traces(signals in prop::collection::vec(signal(), 1..40)) {
        let model = Track::model();
        prop_assert!(check(&model).is_empty(), "{:?}", check(&model));
        let chart = Chart::new(lower(&model), Texts(model));
        let mut buffers = Buffers::default();
        let (mut instance, started) = chart.start(Log::default(), &Signal::Stop, &mut buffers);
        started.unwrap();
        let mut track = Track::new(Log::default()).unwrap();
        for (nth, signal) in signals.iter().enumerate() {
            let class = chart.logic().class(chart.table(), signal);
            let expected = chart.step(&mut instance, class, signal, &mut buffers).unwrap();
            prop_assert_eq!(track.step(signal.clone()).unwrap(), expected, "{} {:?}", nth, signal);
            prop_assert_eq!(track.context(), &instance.context, "{} {:?}", nth, signal);
            let [leaf] = *instance.leaves() else { panic!("one leaf") };
            let id = &chart.logic().0.states[leaf as usize].id;
            prop_assert_eq!(&format!("{:?}", track.state()), id);
        }
    }
}

#[test]
fn a_model_can_be_checked_drawn_and_searched() {
    let model = Plant::model();
    assert_eq!(check(&model), []);
    assert_eq!(model.states[0].id, "Plant");
    let work = model.find("Work").unwrap() as usize;
    assert_eq!(model.states[work].kind, Kind::Parallel);
    assert_eq!(model.states[work].tags, ["busy"]);
    let picture = svg::svg(&model);
    assert!(
        picture.contains("Valve") && picture.contains("log.level &gt; 2"),
        "{picture}"
    );
    assert!(draw::mermaid(&model).contains("Heater"));
    let found = paths(&model, 1000);
    let shut = model.find("Shut").unwrap();
    assert!(found.states[shut as usize].is_some(), "{found:?}");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    Push,
    Round,
    After(u8),
}

mainspring::chart! {
    #[derive(Clone, Debug)]
    chart Gate(turns: u32, event: Turn, after: Turn::After) {
        initial Both;
        parallel Both {
            state Wing {
                initial Locked;
                state Locked { on Turn::Push => Unlocked { *turns += 1 } }
                state Unlocked { after Duration::from_millis(100) => Locked; }
            }
            state Wear {
                initial New;
                state New { after Duration::from_millis(250) => Old; }
                state Old { tags "old"; on Turn::Round => A; }
            }
        }
        state A { always => B { *turns += 1 } }
        state B {
            initial C;
            history H;
            always => H { *turns += 1 }
            state C { after Duration::from_millis(50) => Over; }
        }
        final Over;
    }
}

#[test]
fn each_region_has_its_delays_and_a_step_without_rest_changes_nothing() {
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
    gate.tell(Turn::Push).unwrap();
    assert!(look().is(GateState::Unlocked) && look().is(GateState::New));
    hand.advance(99 * ms);
    assert!(look().is(GateState::Unlocked), "never early");
    hand.advance(3 * ms);
    assert!(look().is(GateState::Locked) && !look().has_tag("old"));
    gate.tell(Turn::Push).unwrap();
    assert!(look().is(GateState::Unlocked));
    hand.advance(150 * ms);
    assert!(look().has_tag("old") && look().is(GateState::Locked));
    gate.tell(Turn::Round).unwrap();
    let after = look();
    let states: Vec<_> = after.states().collect();
    assert_eq!(states, [GateState::Locked, GateState::Old]);
    assert_eq!(*after.context(), 2);
    let letters = system.dead_letters();
    assert!(matches!(letters[0].cause, Cause::Refused(_)), "{letters:?}");
    assert!(gate.is_alive());

    let mut gate = Gate::new(7).unwrap();
    let max = mainspring::chart::run::MICROSTEPS_MAX;
    gate.step(Turn::After(1)).unwrap();
    assert!(gate.is(GateState::Old));
    assert_eq!(gate.step(Turn::Round), Err(StepError::Limit(max)));
    assert!(gate.is(GateState::Old) && gate.is(GateState::Locked));
    assert_eq!(*gate.context(), 7);
}

#[derive(Clone, Debug)]
enum Press {
    Push { force: u32, at: (u8, u8) },
    Pair(u8, u8),
    Code(u16),
    Rest,
}

mainspring::chart! {
    chart Keys(effects: Vec<String>, event: Press, out: context, states: event) {
        initial P;
        parallel P {
            state Left {
                initial A;
                state A {
                    on Press::Push { force, .. } if force > 9 => B { effects.push(format!("hard {force}")) }
                    on Press::Push { at: (row, _), .. } => { effects.push(format!("row {row}")) }
                    on code @ (Press::Code(1..=3) | Press::Pair(7, _)) => { effects.push(format!("{code:?}")) }
                    on Press::Rest => B { context.raise(Press::Code(9)) }
                }
                state B { on _ if event.is(KeysState::D) => A { effects.push("any".to_owned()) } }
            }
            state Right {
                initial C;
                state C { on Press::Code(9) | Press::Pair(_, 0) => D; on Press::Push { .. }; }
                state D { on other => C { effects.push(format!("{other:?}")) } }
            }
        }
    }
}

#[test]
fn an_event_goes_to_the_first_pattern_that_it_fits_in_each_region() {
    use KeysState::{A, B, C, D};
    let mut keys = Keys::new(Vec::new()).unwrap();
    let push = |force| Press::Push { force, at: (4, 2) };
    for (press, taken, states, said) in [
        (Press::Code(4), false, [A, C], None),
        (Press::Code(3), true, [A, C], Some("Code(3)")),
        (push(3), true, [A, C], Some("row 4")),
        (Press::Pair(7, 1), true, [A, C], Some("Pair(7, 1)")),
        (Press::Pair(7, 0), true, [A, D], Some("Pair(7, 0)")),
        (Press::Pair(1, 1), true, [A, C], Some("Pair(1, 1)")),
        (push(10), true, [B, C], Some("hard 10")),
        (Press::Code(1), false, [B, C], None),
        (Press::Code(9), true, [B, D], None),
        (Press::Code(9), true, [A, C], Some("Code(9)")),
        (Press::Rest, true, [B, D], None),
    ] {
        assert_eq!(keys.step(press.clone()).unwrap(), taken, "{press:?}");
        assert!(keys.states().eq(states), "{press:?}");
        if let Some(said) = said {
            assert_eq!(keys.context().last().unwrap(), said, "{press:?}");
        }
    }
    assert_eq!(keys.context().len(), 8, "{:?}", keys.context());
}
