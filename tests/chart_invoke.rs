//! The macro's invocations, outputs, initial actions and metas do what the same loaded chart's do,
//! by matches and by the kernel.
#![cfg(all(feature = "macros", feature = "xstate", feature = "compute"))]

#[path = "common/said.rs"]
mod said;

use mainspring::chart::check::check;
use mainspring::chart::xstate::{Bindings, Compiled, Machine as Json};
use mainspring::chart::{Buffers, Effect, Event as Named, Status, Value};
use mainspring::prelude::*;
use mainspring::{Cause, ChildEnded, Clock, Events, Invoked, Parent};
use proptest::prelude::*;
use said::{Log, Words};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
enum Signal {
    Go,
    Back,
    Keep,
    Deep,
    Level(u8),
    Ended(ChildEnded),
}

/// The same states twice: alone, which become matches, and beside a region, which the kernel runs.
macro_rules! charts {
    ([$($head:tt)*] $($body:tt)*) => {
        mainspring::chart! {
            #[derive(Clone, Debug)]
            chart Flat($($head)*) {
                initial Main;
                state Main { $($body)* }
                final Over { output 7; }
                final Lost { output 9; }
            }
        }
        mainspring::chart! {
            #[derive(Clone, Debug)]
            chart Wide($($head)*) {
                initial Both;
                parallel Both {
                    state Main { $($body)* }
                    state Beside { initial Still; state Still {} }
                }
                final Over { output 7; }
                final Lost { output 9; }
            }
        }
    };
}

charts! {
    [log: Log, event: Signal, out: out, invoke: Signal::Ended, output: u8, meta: &'static str]
    initial Idle { log.say("*main") }
    entry { log.say("+main") }
    on Signal::Level(level) => { log.level = level; log.say("level") }
    state Idle {
        meta "at rest";
        entry { log.say("+idle") }
        exit { log.say("-idle") }
        on Signal::Go => Work { log.say("go") }
        on Signal::Keep => Kept { log.say("keep") }
        on Signal::Deep => Deepest { log.say("deep") }
        on Signal::Back => Other { log.say("other") }
        error Load if log.level == 1 => Lost;
    }
    state Work {
        meta "at work";
        initial First { log.say("*work") }
        history Kept;
        history deep Deepest => First;
        entry { log.say("+work") }
        exit { log.say("-work") }
        invoke Load = Invoked::task(|_| 5_u8);
        done Load(found) if *found > 3 => Second { log.level = *found; log.say("loaded") }
        done Load(2) => Ending { log.say("two") }
        error Load(why) if log.level > 0 => Idle { log.say(why) }
        on Signal::Back => reenter Work { log.say("again") }
        on Signal::Keep => Work { log.say("inside") }
        done(word) if log.level < 4 => Idle { log.say(word) }
        done(&"the other") => Over { log.say("over") }
        done => Lost { log.say("lost") }
        state First {
            initial Deep { log.say("*first") }
            entry { log.say("+first") }
            on Signal::Deep => First { log.say("first") }
            state Deep {
                initial Core { log.say("*deep") }
                on Signal::Go => Other { log.say("to other") }
                state Core { entry { log.say("+core") } exit { log.say("-core") } }
            }
            state Other { on Signal::Go => Second; }
        }
        state Second {
            entry { log.say("+second") }
            invoke Watch = Invoked::<Self, u8>::attempt(|_| Err::<u8, _>("nothing"));
            done Watch => First { log.say("watched") }
            error Watch(why) if log.level == 2 => { log.say(why) }
            on Signal::Go if log.level % 2 == 0 => Ending;
            on Signal::Go => Another;
        }
        final Ending { entry { log.say("+ending") } output "ended"; }
        final Another { output "the other"; }
    }
}

const MAIN: &str = r##"{ "initial": { "target": "Idle", "actions": "*main" }, "entry": "+main",
    "on": { "Level": { "actions": ["set", "level"] } },
    "states": {
        "Idle": { "id": "Idle", "entry": "+idle", "exit": "-idle", "on": {
            "Go": { "target": "Work", "actions": "go" },
            "Keep": { "target": "#Kept", "actions": "keep" },
            "Deep": { "target": "#Deepest", "actions": "deep" },
            "Back": { "target": "#Other", "actions": "other" },
            "xstate.error.actor.Load": { "target": "#Lost", "guard": "is1" } } },
        "Work": { "id": "Work", "initial": { "target": "First", "actions": "*work" },
            "entry": "+work", "exit": "-work",
            "invoke": { "id": "Load", "src": "load",
                "onDone": [ { "target": ".Second", "guard": "found", "actions": ["found", "loaded"] },
                            { "target": ".Ending", "guard": "two", "actions": "two" } ],
                "onError": { "target": "Idle", "guard": "over0", "actions": "why" } },
            "on": { "Back": { "target": "Work", "reenter": true, "actions": "again" },
                    "Keep": { "target": "Work", "actions": "inside" } },
            "onDone": [ { "target": "Idle", "guard": "under4", "actions": "output" },
                        { "target": "#Over", "guard": "other", "actions": "over" },
                        { "target": "#Lost", "actions": "lost" } ],
            "states": {
                "Kept": { "id": "Kept", "type": "history" },
                "Deepest": { "id": "Deepest", "type": "history", "history": "deep", "target": "First" },
                "First": { "id": "First", "initial": { "target": "Deep", "actions": "*first" },
                    "entry": "+first", "on": { "Deep": { "target": "First", "actions": "first" } },
                    "states": {
                        "Deep": { "initial": { "target": "Core", "actions": "*deep" },
                            "on": { "Go": { "target": "Other", "actions": "to other" } },
                            "states": { "Core": { "entry": "+core", "exit": "-core" } } },
                        "Other": { "id": "Other", "on": { "Go": "#Second" } } } },
                "Second": { "id": "Second", "entry": "+second",
                    "invoke": { "id": "Watch", "src": "watch",
                        "onDone": { "target": "First", "actions": "watched" },
                        "onError": { "guard": "is2", "actions": "why" } },
                    "on": { "Go": [ { "target": "Ending", "guard": "even" }, "Another" ] } },
                "Ending": { "type": "final", "entry": "+ending", "output": "ended" },
                "Another": { "type": "final", "output": "the other" } } } } }"##;

const WORDS: [&str; 30] = [
    "*main", "+main", "level", "+idle", "-idle", "go", "keep", "deep", "other", "*work", "+work",
    "-work", "loaded", "two", "again", "inside", "over", "lost", "*first", "+first", "first",
    "*deep", "to other", "+core", "-core", "+second", "watched", "+ending", "idle", "main",
];

fn same(is_wide: bool) -> Compiled<Log> {
    let states = match is_wide {
        false => format!(r#""initial": "Main", "states": {{ "Main": {MAIN}"#),
        true => format!(
            r#""initial": "Both", "states": {{ "Both": {{ "type": "parallel", "states": {{
                "Main": {MAIN},
                "Beside": {{ "initial": "Still", "states": {{ "Still": {{}} }} }} }} }}"#
        ),
    };
    let text = format!(
        r#"{{ "id": "m", {states},
            "Over": {{ "id": "Over", "type": "final" }},
            "Lost": {{ "id": "Lost", "type": "final" }} }} }}"#
    );
    let json = Json::parse(&text).unwrap();
    let given = |event: &Named, field: &str| event.data.field(field).cloned().unwrap_or_default();
    let number = move |event: &Named| given(event, "output").num();
    let mut bindings = Bindings::<Log>::new()
        .actor("load")
        .actor("watch")
        .action("set", |log, event, _| {
            log.level = event.data.field("level").and_then(Value::num).unwrap() as u8;
        })
        .action("found", move |log, event, _| {
            log.level = number(event).unwrap() as u8
        })
        .action("why", move |log, event, _| {
            log.say(given(event, "error").text().unwrap())
        })
        .action("output", move |log, event, _| {
            log.say(given(event, "output").text().unwrap())
        })
        .guard("found", move |_, event, _| {
            number(event).is_some_and(|n| n > 3.0)
        })
        .guard("two", move |_, event, _| number(event) == Some(2.0))
        .guard("other", move |_, event, _| {
            given(event, "output").text() == Some("the other")
        })
        .guard("over0", |log, _, _| log.level > 0)
        .guard("under4", |log, _, _| log.level < 4)
        .guard("is1", |log, _, _| log.level == 1)
        .guard("is2", |log, _, _| log.level == 2)
        .guard("even", |log, _, _| log.level % 2 == 0);
    for word in WORDS
        .into_iter()
        .filter(|word| text.contains(&format!("\"{word}\"")))
    {
        bindings = bindings.action(word, move |log, _, _| log.say(word));
    }
    bindings.compile(&json).unwrap()
}

fn named(signal: &Signal) -> Named {
    let Signal::Ended(ended) = signal else {
        return match signal {
            Signal::Level(level) => {
                Named::new("Level").field("level", Value::Num(f64::from(*level)))
            }
            other => Named::new(format!("{other:?}")),
        };
    };
    let id = ["Load", "Watch"][ended.invocation() as usize];
    match ended.why() {
        Some(why) => Named::new(format!("xstate.error.actor.{id}")).field("error", Value::str(why)),
        None => {
            let output = ended.output::<u8>().copied().unwrap();
            Named::new(format!("xstate.done.actor.{id}"))
                .field("output", Value::Num(f64::from(output)))
        }
    }
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        8 => Just(Signal::Go),
        3 => Just(Signal::Back),
        2 => Just(Signal::Keep),
        2 => Just(Signal::Deep),
        2 => (0u8..6).prop_map(Signal::Level),
        3 => (0u8..6).prop_map(|found| Signal::Ended(ChildEnded::done(Flat::LOAD, found))),
        1 => Just(Signal::Ended(ChildEnded::error(Flat::LOAD, "broken"))),
        1 => Just(Signal::Ended(ChildEnded::done(Flat::WATCH, 0_u8))),
        1 => Just(Signal::Ended(ChildEnded::error(Flat::WATCH, "lost sight"))),
    ]
}

/// Runs a chart of the macro beside the loaded one.
macro_rules! runs_beside {
    ($chart:ident, $is_wide:expr, $signals:expr) => {{
        let loaded = same($is_wide);
        let mut buffers = Buffers::default();
        let init = Named::new("xstate.init");
        let (mut instance, started) = loaded.chart.start(Log::default(), &init, &mut buffers);
        started.unwrap();
        let mut own = $chart::new(Log::default()).unwrap();
        prop_assert_eq!(own.context(), &instance.context);
        for (nth, signal) in $signals.iter().enumerate() {
            let event = named(signal);
            let class = loaded.chart.table().class(&event.name);
            let expected = loaded
                .chart
                .step(&mut instance, class, &event, &mut buffers);
            let taken = own.step(signal.clone()).unwrap();
            // A failure that nothing takes fails a loaded chart by itself, a macro's in its turn.
            let is_unhandled = expected.is_err();
            prop_assert_eq!(taken, expected.unwrap_or(false), "{} {:?}", nth, signal);
            let mut turn = own.clone();
            turn.begin();
            let refused = turn.try_apply(signal.clone()).is_err();
            if is_unhandled {
                prop_assert!(refused, "{} {:?}", nth, signal);
            }
            prop_assert_eq!(own.context(), &instance.context, "{} {:?}", nth, signal);
            let leaves = instance.leaves().iter().map(|&leaf| loaded.path(leaf));
            let leaves: Vec<_> = leaves
                .map(|path| path.rsplit('.').next().unwrap().to_owned())
                .collect();
            let states: Vec<_> = own.states().map(|state| format!("{state:?}")).collect();
            prop_assert_eq!(&states, &leaves, "{} {:?}", nth, signal);
            prop_assert_eq!(own.is_done(), instance.status() == Status::Done);
            let output = own
                .is_done()
                .then(|| if states[0] == "Over" { 7 } else { 9 });
            prop_assert_eq!(own.output().copied(), output);
        }
        let started = buffers.effects().iter();
        let started = started
            .filter(|effect| matches!(effect, Effect::Start(_)))
            .count();
        let said = own.context().said.iter();
        let entered = said
            .filter(|word| ["+work", "+second"].contains(&word.as_str()))
            .count();
        prop_assert_eq!(started, entered, "each entry invokes");
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn matches_do_what_the_same_loaded_chart_does(signals in prop::collection::vec(signal(), 1..30)) {
        runs_beside!(Flat, false, signals);
    }

    #[test]
    fn the_kernel_does_what_the_same_loaded_chart_does(signals in prop::collection::vec(signal(), 1..30)) {
        runs_beside!(Wide, true, signals);
    }
}

struct Nothing;
impl mainspring::Machine for Nothing {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

/// Says when it starts and stops; a short one ends by itself, a bad one badly.
#[derive(Clone, Copy)]
struct Probe {
    to: ActorRef<String>,
    life: Life,
}

#[derive(Clone, Copy, PartialEq)]
enum Life {
    Long,
    Short,
    Bad,
}

impl Behavior for Probe {
    type Machine = Nothing;
    type Message = ();
    fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
        assert!(self.life != Life::Bad, "a bad life");
        let says = Plan::tell(self.to, "starts".to_owned());
        match self.life {
            Life::Short => says.and(Plan::stop()),
            _ => says,
        }
    }
    fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> {
        Plan::none()
    }
    fn on_stop(&self, _: &Exit, _: Snapshot<Self>) -> Plan<Self> {
        Plan::tell(self.to, "stops".to_owned())
    }
}

fn probe<M: mainspring::Machine>(to: ActorRef<String>, life: Life) -> Invoked<M, ()> {
    Invoked::actor(Probe { to, life }, Nothing)
}

#[derive(Clone, Debug)]
enum Order {
    Watch,
    WatchNot,
    Add(u64),
    Pass(bool),
    Pair,
    Rest,
    Ended(ChildEnded),
}

mainspring::chart! {
    #[derive(Debug)]
    chart Adding(sum: u64, event: u64, out: out, output: String) {
        initial More;
        entry { if *sum > 0 { out.raise(0); } }
        state More {
            on 0 => Enough { *sum += 1 }
            on more => { *sum += more }
        }
        final Enough { output format!("in all {sum}"); }
    }
}

mainspring::chart! {
    #[derive(Clone, Debug)]
    chart Boss(context: (ActorRef<String>, u64, Vec<String>), event: Order, invoke: Order::Ended) {
        initial Free;
        on Order::Rest => Free;
        on Order::Watch => Busy;
        on Order::WatchNot => Never;
        on Order::Add(n) => Sums { context.1 = n }
        on Order::Pass(well) => Tries { context.1 = u64::from(well) }
        on Order::Pair => Two;
        state Free {}
        state Busy {
            invoke Watcher = probe(context.0, Life::Long);
            on Order::Add(_) => Short;
        }
        state Short {
            invoke Brief = probe(context.0, Life::Short);
            done Brief(()) => Bad { context.2.push("brief".to_owned()) }
        }
        state Bad {
            invoke Wild = probe(context.0, Life::Bad);
            done Wild => Free;
            error Wild(why) if !why.is_empty() => Free { context.2.push("wild".to_owned()) }
        }
        state Never {
            invoke Nobody = probe(context.0, Life::Long);
            on Order::Rest => Free;
        }
        state Sums {
            invoke Sum = Invoked::chart(Adding::new(context.1).unwrap());
            done Sum(text) => Free { context.2.push(text.clone()) }
        }
        state Tries {
            invoke Try = {
                let well = context.1 == 1;
                Invoked::attempt(move |_| if well { Ok(well) } else { Err("no luck") })
            };
            done Try(true) => Panics { context.2.push("well".to_owned()) }
            error Try("no luck") => Free { context.2.push("error".to_owned()) }
        }
        state Panics {
            invoke Panic = Invoked::<_, u8>::task(|_| panic!("of the job"));
            done Panic => Free;
            error Panic(why) => Free { context.2.push(why.to_owned()) }
        }
        parallel Two {
            state Left {
                initial Watched;
                state Watched {
                    invoke First = probe(context.0, Life::Long);
                    done First => Seen { context.2.push("first".to_owned()) }
                }
                state Seen {}
            }
            state Right { invoke Second = probe(context.0, Life::Long); }
        }
    }
}

mainspring::chart! {
    chart Lone(context: (ActorRef<String>, bool), event: Order, out: out, invoke: Order::Ended) {
        initial Watched;
        state Watched {
            invoke Watcher = probe(context.0, Life::Long);
            on Order::Watch => reenter Watched;
            on Order::WatchNot => Passing;
            on Order::Rest => Over;
        }
        state Passing {
            invoke Passed = probe(context.0, Life::Long);
            always => Rested;
        }
        state Rested { error Watcher(_) => Watched; }
        final Over;
    }
}

struct Stage {
    system: System,
    words: Actor<Events<Words>>,
}

impl Stage {
    fn new() -> Self {
        let (clock, _hand) = Clock::manual();
        let system = System::stepped(Config::default(), clock).unwrap();
        let words = system.spawn_machine(Words::default()).unwrap();
        Self { system, words }
    }

    fn words(&self) -> Vec<String> {
        self.system.run_until_idle();
        let asked = self.words.snapshot();
        self.system.run_until_idle();
        asked.wait().unwrap().0
    }

    /// What was said since, whoever was first.
    fn since(&self, place: usize) -> Vec<String> {
        let mut words = self.words().split_off(place);
        words.sort();
        words
    }

    fn see<B: Behavior<Machine: Clone>>(&self, actor: &Actor<B>) -> B::Machine {
        self.system.run_until_idle();
        let asked = actor.snapshot();
        self.system.run_until_idle();
        asked.wait().unwrap()
    }
}

#[test]
fn what_a_state_invokes_starts_with_it_ends_with_it_and_is_heard_of() {
    let stage = Stage::new();
    let boss = Boss::new((stage.words.actor(), 0, Vec::new())).unwrap();
    let boss = stage.system.spawn_machine(boss).unwrap();
    let said = || stage.see(&boss).context().2.clone();

    boss.tell(Order::Watch).unwrap();
    assert_eq!(stage.words(), ["starts"]);
    boss.tell(Order::Rest).unwrap();
    assert_eq!(stage.words(), ["starts", "stops"]);
    assert!(stage.see(&boss).is(BossState::Free), "no end is heard of");

    boss.tell(Order::Add(3)).unwrap();
    assert_eq!(said(), ["in all 4"]);
    boss.tell(Order::Pass(false)).unwrap();
    assert_eq!(said()[1..], ["error"]);
    boss.tell(Order::Pass(true)).unwrap();
    let heard = said();
    assert_eq!(heard[2], "well");
    assert!(heard[3].contains("of the job"), "{heard:?}");

    boss.tell(Order::Pair).unwrap();
    assert_eq!(stage.words()[2..], ["starts", "starts"]);
    boss.tell(Order::Rest).unwrap();
    assert_eq!(stage.words()[4..], ["stops", "stops"]);
    boss.tell(Order::Pair).unwrap();
    assert_eq!(stage.words().len(), 8);
    boss.tell(Order::Watch).unwrap();
    assert_eq!(stage.since(8), ["starts", "stops", "stops"]);
    boss.tell(Order::Add(0)).unwrap();
    assert_eq!(stage.since(11), ["starts", "stops", "stops"]);
    assert_eq!(said()[4..], ["brief", "wild"]);

    boss.tell(Order::Pair).unwrap();
    assert_eq!(stage.words()[14..], ["starts", "starts"]);
    boss.kill();
    assert_eq!(stage.words()[16..], ["stops", "stops"]);
}

#[test]
fn an_end_that_no_state_takes_changes_nothing_if_well_and_ends_the_actor_if_not() {
    let stage = Stage::new();
    let boss = Boss::new((stage.words.actor(), 0, Vec::new())).unwrap();
    let boss = stage.system.spawn_machine(boss).unwrap();
    boss.tell(Order::WatchNot).unwrap();
    assert!(stage.see(&boss).is(BossState::Never));
    boss.tell(Order::Ended(ChildEnded::done(Boss::NOBODY, ())))
        .unwrap();
    assert!(stage.see(&boss).is(BossState::Never));
    assert_eq!(stage.system.dead_letters().len(), 0);
    let lone = Lone::new((stage.words.actor(), true)).unwrap();
    let lone = stage.system.spawn_machine(lone).unwrap();
    let ends = [boss.monitor(), lone.monitor()];
    let gone = |invocation| Order::Ended(ChildEnded::error(invocation, "gone"));
    boss.tell(gone(Boss::NOBODY)).unwrap();
    lone.tell(gone(Lone::PASSED)).unwrap();
    stage.system.run_until_idle();
    for end in ends {
        let exit = end.wait().exit;
        assert!(
            matches!(&exit, Exit::Failed(why) if why.is_fatal() && why.to_string().contains("gone")),
            "{exit:?}"
        );
    }
    let letters = stage.system.dead_letters();
    assert_eq!(letters.len(), 2);
    assert!(
        letters
            .iter()
            .all(|letter| matches!(letter.cause, Cause::Refused(_))),
        "{letters:?}"
    );
}

#[test]
fn by_matches_too_a_child_starts_once_its_turn_is_over_and_ends_with_its_parent() {
    let stage = Stage::new();
    let lone = || Lone::new((stage.words.actor(), true)).unwrap();
    let first = stage.system.spawn_machine(lone()).unwrap();
    assert_eq!(
        stage.words(),
        ["starts"],
        "invoked before there was an actor"
    );
    first.tell(Order::Watch).unwrap();
    assert_eq!(stage.since(1), ["starts", "stops"]);
    first.tell(Order::WatchNot).unwrap();
    assert_eq!(
        stage.words()[3..],
        ["stops"],
        "a state that was passed starts nobody"
    );

    let second = stage.system.spawn_machine(lone()).unwrap();
    assert_eq!(stage.words()[4..], ["starts"]);
    second.tell(Order::Rest).unwrap();
    assert_eq!(stage.words()[5..], ["stops"]);
    assert!(!second.is_alive());
}

#[test]
fn states_say_what_they_are() {
    assert_eq!(FlatState::Idle.meta(), Some("at rest"));
    assert_eq!(FlatState::First.meta(), None);
    let mut flat = Flat::new(Log::default()).unwrap();
    flat.step(Signal::Go).unwrap();
    assert!(flat.meta().eq([(FlatState::Work, "at work")]));
    let mut wide = Wide::new(Log::default()).unwrap();
    assert!(wide.meta().eq([(WideState::Idle, "at rest")]));
    wide.step(Signal::Go).unwrap();
    assert!(wide.meta().eq([(WideState::Work, "at work")]));
}

#[test]
fn a_model_names_what_is_invoked() {
    for model in [Flat::model(), Wide::model()] {
        let found = check(&model);
        assert!(
            found.iter().all(|problem| problem.what.contains("Still")),
            "{found:?}"
        );
        for text in ["invoke Load", "stop Load"] {
            assert!(model.actions.iter().any(|action| action == text), "{text}");
        }
        assert!(model.guards.iter().any(|guard| guard == "output is 2"));
    }
}

#[derive(Clone, Debug)]
enum Heard {
    Start,
    Leave,
    Word(&'static str),
    Ended(ChildEnded),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Talk {
    Go,
    Due(u64),
}

mainspring::chart! {
    chart Talker(parent: Parent<Heard>, event: Talk, out: out, after: Talk::Due, output: &'static str) {
        initial First;
        entry { out.tell_parent(parent, Heard::Word("hello")); out.raise(Talk::Go) }
        state First { on Talk::Go => Second { out.tell_parent(parent, Heard::Word("first")) } }
        state Second {
            after Duration::from_millis(10) => Over { out.tell_parent(parent, Heard::Word("last")) }
        }
        final Over { output "over"; }
    }
}

macro_rules! listener {
    ($name:ident, $initial:ident, [$($before:tt)*], [$($around:tt)*]) => {
        mainspring::chart! {
            #[derive(Clone, Debug)]
            chart $name(heard: Vec<&'static str>, event: Heard, invoke: Heard::Ended) {
                initial $initial;
                $($before)* {
                    $($around)*
                    state Main {
                        initial Idle;
                        on Heard::Word(word) => { heard.push(word) }
                        state Idle { on Heard::Start => Hears; }
                        state Hears {
                            invoke Talks = Invoked::chart_with(|parent| Talker::new(parent).unwrap());
                            on Heard::Leave => Idle;
                            done Talks(word) => Idle { heard.push(word) }
                        }
                    }
                }
            }
        }
    };
}

listener!(Alone, Whole, [state Whole], [initial Main;]);
listener!(Beside, Both, [parallel Both], [state Still {}]);

#[test]
fn an_invoked_chart_tells_its_parent_before_its_end_and_nothing_once_its_state_was_left() {
    let mut talker = Talker::new(Parent::nobody()).unwrap();
    assert_eq!(
        talker.step(Talk::Due(0)),
        Ok(true),
        "a chart alone tells nobody"
    );

    macro_rules! hears {
        ($name:ident) => {{
            let (clock, hand) = Clock::manual();
            let system = System::stepped(Config::default(), clock).unwrap();
            let listener = system
                .spawn_machine($name::new(Vec::new()).unwrap())
                .unwrap();
            let heard = || {
                system.run_until_idle();
                let asked = listener.snapshot();
                system.run_until_idle();
                asked.wait().unwrap().context().clone()
            };
            listener.tell(Heard::Start).unwrap();
            assert_eq!(heard(), ["hello", "first"]);
            hand.advance(Duration::from_millis(12));
            assert_eq!(heard()[2..], ["last", "over"]);
            listener.tell(Heard::Start).unwrap();
            assert_eq!(heard()[4..], ["hello", "first"]);
            listener.tell(Heard::Leave).unwrap();
            system.run_until_idle();
            hand.advance(Duration::from_millis(12));
            assert_eq!(heard().len(), 6);
            assert_eq!(system.actors(), 1);
            assert_eq!(system.dead_letter_count(), 0);
        }};
    }
    hears!(Alone);
    hears!(Beside);
}
