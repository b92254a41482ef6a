//! A loaded chart as an actor's machine: its turn, its timers, its children, its failures.
#![cfg(feature = "xstate")]

use mainspring::chart::slots::Slots;
use mainspring::chart::value::Fault;
use mainspring::chart::xstate::system::Worded;
use mainspring::chart::xstate::vocabulary::Vocabulary;
use mainspring::chart::xstate::{self, Bindings};
use mainspring::chart::{Event, Value};
use mainspring::prelude::*;
use mainspring::supervise::{ChildSpec, Children, Restart, Strategy, Supervisor};
use mainspring::{Cause, ChartMachine, Child, Clock, Events, HostedChart, ManualClock, Refusal};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn stepped() -> (System, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config = Config::builder().build().unwrap();
    (System::stepped(config, clock).unwrap(), hand)
}

fn parse(text: &str) -> xstate::Machine {
    xstate::Machine::parse(text).unwrap()
}

/// What a test's charts count.
type Count = u64;
type Actor = mainspring::Actor<Events<ChartMachine<Count>>>;

fn counting(text: &str) -> HostedChart<Count> {
    let bindings = Bindings::<Count>::new().action("count", |count, _, _| *count += 1);
    HostedChart::from(bindings.compile(&parse(text)).unwrap())
}

fn look(system: &System, actor: &Actor) -> ChartMachine<Count> {
    system.run_until_idle(); // what is due first, so that the snapshot shows it
    let asked = actor.snapshot();
    system.run_until_idle();
    asked.wait().unwrap()
}

/// Keeps the names of the events that it is told.
#[derive(Clone, Default)]
struct Names(Vec<String>);
impl Machine for Names {
    type Event = String;
    fn apply(&mut self, name: String) {
        self.0.push(name);
    }
}

const DOOR: &str = r#"{
    "id": "door", "initial": "shut",
    "states": {
        "shut": { "tags": ["dark"], "on": { "OPEN": { "target": "open", "actions": "count" } } },
        "open": {
            "after": { "100": { "target": "shut", "actions": "count" } },
            "on": { "SHUT": "shut", "PUSH": { "target": "open", "reenter": true } }
        }
    }
}"#;

#[test]
fn events_evolve_it_and_its_delays_are_timers_of_the_actor() {
    let (system, hand) = stepped();
    let door = system
        .spawn_machine(counting(DOOR).machine(0).unwrap())
        .unwrap();
    let shut = look(&system, &door);
    assert!(shut.is("shut") && shut.is("door.shut") && shut.has_tag("dark"));
    door.tell(Event::new("OPEN")).unwrap();
    let open = look(&system, &door);
    assert!(open.is("open") && !open.is("shut") && !open.has_tag("dark"));
    hand.advance(99 * MS);
    assert!(look(&system, &door).is("open"), "never early");
    hand.advance(3 * MS);
    let shut = look(&system, &door);
    assert!(shut.is("shut"));
    assert_eq!(*shut.context(), 2);
}

#[test]
fn leaving_a_state_cancels_its_delay_and_entering_again_starts_it_anew() {
    let (clock, hand) = Clock::manual();
    // A timer left behind would not leave room for those below: one, and one to replace it.
    let config = Config::builder().max_timers(2).build().unwrap();
    let system = System::stepped(config, clock).unwrap();
    let door = system
        .spawn_machine(counting(DOOR).machine(0).unwrap())
        .unwrap();
    door.tell(Event::new("OPEN")).unwrap();
    door.tell(Event::new("SHUT")).unwrap();
    assert!(look(&system, &door).is("shut"));

    door.tell(Event::new("OPEN")).unwrap();
    system.run_until_idle();
    hand.advance(60 * MS);
    door.tell(Event::new("PUSH")).unwrap();
    system.run_until_idle();
    hand.advance(60 * MS);
    assert!(look(&system, &door).is("open"));
    hand.advance(60 * MS);
    assert!(look(&system, &door).is("shut"));
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn a_timer_beyond_the_limit_fails_the_turn_and_keeps_the_old_state() {
    let (clock, _hand) = Clock::manual();
    let config = Config::builder().max_timers(1).build().unwrap();
    let system = System::stepped(config, clock).unwrap();
    let chart = counting(DOOR);
    let [first, second] =
        [0, 0].map(|count| system.spawn_machine(chart.machine(count).unwrap()).unwrap());
    first.tell(Event::new("OPEN")).unwrap();
    assert!(look(&system, &first).is("open"));
    second.tell(Event::new("OPEN")).unwrap();
    let after = look(&system, &second);
    assert!(after.is("shut"));
    assert_eq!(*after.context(), 0);
    assert_eq!(system.dead_letters()[0].cause, Cause::TooManyTimers);
    // The room that comes back is the second's.
    first.tell(Event::new("SHUT")).unwrap();
    second.tell(Event::new("OPEN")).unwrap();
    assert!(look(&system, &second).is("open"));
}

/// A chart that is told by messages of another type, and whose plans tell somebody too.
#[derive(Clone, Copy)]
struct Keeping {
    seen: ActorRef<String>,
}
enum Ask {
    Open,
    IsOpen(Reply<bool>),
}
impl Behavior for Keeping {
    type Machine = ChartMachine<Count>;
    type Message = Ask;
    fn on_message(&self, message: Ask, door: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            Ask::Open => {
                Plan::emit(Event::new("OPEN")).and(Plan::tell(self.seen, "plan".to_owned()))
            }
            Ask::IsOpen(reply) => Plan::reply(reply, door.is("open")),
        }
    }
}

fn telling(to: ActorRef<String>) -> HostedChart<Count> {
    let chart = parse(
        r#"{ "id": "m", "initial": "shut", "states": {
            "shut": { "on": { "OPEN": { "target": "open", "actions": "tell" } } },
            "open": { "entry": "raise", "on": { "INSIDE": "inner" } },
            "inner": { "after": { "10": "late" }, "on": { "OPEN": { "actions": "fail" } } },
            "late": {}
        } }"#,
    );
    let send = |name: &str| mainspring::chart::Effect::Send {
        event: Event::new(name),
        target: mainspring::chart::value::Target::Address("log".into()),
        delay_ms: None,
        id: None,
    };
    let compiled = Bindings::<Count>::new()
        .scoped("tell", move |scope, _| {
            scope.effect(send("chart"));
            Ok(())
        })
        .scoped("raise", |scope, _| {
            scope.assign(|count| *count += 1);
            scope.raise(Event::new("INSIDE"));
            Ok(())
        })
        .scoped("fail", move |scope, _| {
            scope.assign(|count| *count += 100);
            scope.effect(send("never"));
            Err(Fault::execution("no more"))
        })
        .compile(&chart)
        .unwrap();
    HostedChart::from(compiled).address("log", move |event, output| {
        output.tell(to, event.name.to_string());
    })
}

#[test]
fn what_the_chart_sends_joins_the_commit_before_the_plans_own_steps() {
    let (system, hand) = stepped();
    let seen = system.spawn_machine(Names::default()).unwrap();
    let chart = telling(seen.actor());
    let behavior = Keeping { seen: seen.actor() };
    let door = system.spawn(behavior, chart.machine(0).unwrap()).unwrap();
    door.tell(Ask::Open).unwrap();
    let asked = door.ask(Ask::IsOpen);
    system.run_until_idle();
    assert!(!asked.wait().unwrap(), "what it raised was taken at once");
    let names = seen.snapshot();
    system.run_until_idle();
    assert_eq!(names.wait().unwrap().0, ["chart", "plan"]);

    // Its timer is an event of the machine, not a message of the behavior.
    let look = || {
        system.run_until_idle();
        let asked = door.snapshot();
        system.run_until_idle();
        asked.wait().unwrap()
    };
    assert!(look().is("inner"));
    hand.advance(12 * MS);
    assert!(look().is("late"));
}

#[derive(Clone, Copy)]
struct Answering;
impl Behavior for Answering {
    type Machine = ChartMachine<Count>;
    type Message = Reply<u64>;
    fn on_message(&self, reply: Reply<u64>, _: Snapshot<'_, Self>) -> Plan<Self> {
        let opened = Plan::emit(Event::new("OPEN"));
        opened.and(Plan::reply_after(reply, |door: &ChartMachine<Count>| {
            *door.context()
        }))
    }
}

#[derive(Clone, Copy)]
struct Arming;
impl Behavior for Arming {
    type Machine = ChartMachine<Count>;
    type Message = ();
    fn on_message(&self, (): (), _: Snapshot<'_, Self>) -> Plan<Self> {
        Plan::emit(Event::new("OPEN")).and(Plan::after("mine", 500 * MS, ()))
    }
}

#[test]
fn every_kind_of_plan_carries_what_the_chart_asks_for() {
    let (system, hand) = stepped();
    let answering = system
        .spawn(Answering, counting(DOOR).machine(0).unwrap())
        .unwrap();
    let arming = system
        .spawn(Arming, counting(DOOR).machine(0).unwrap())
        .unwrap();
    let asked = answering.ask(|reply| reply);
    arming.tell(()).unwrap();
    system.run_until_idle();
    assert_eq!(asked.wait().unwrap(), 1);
    hand.advance(102 * MS);
    system.run_until_idle();
    let (first, second) = (answering.snapshot(), arming.snapshot());
    system.run_until_idle();
    assert!(first.wait().unwrap().is("shut"), "its timer was armed");
    assert!(second.wait().unwrap().is("shut"), "its timer was armed");
}

#[test]
fn a_failing_macrostep_sends_nothing_and_ends_the_actor_with_its_reason() {
    let (system, hand) = stepped();
    let seen = system.spawn_machine(Names::default()).unwrap();
    let chart = telling(seen.actor());
    let behavior = Keeping { seen: seen.actor() };
    let door = system.spawn(behavior, chart.machine(0).unwrap()).unwrap();
    let end = door.monitor();
    door.tell(Ask::Open).unwrap();
    door.tell(Ask::Open).unwrap();
    door.tell(Ask::Open).unwrap();
    system.run_until_idle();
    let refusal = Refusal::fatal("no more; the old state was kept");
    assert_eq!(end.wait().exit, Exit::Failed(refusal.clone()));
    let letters = system.dead_letters();
    let causes: Vec<_> = letters.iter().map(|letter| letter.cause.clone()).collect();
    assert_eq!(causes, [Cause::Refused(refusal), Cause::Stopped]);
    let names = seen.snapshot();
    system.run_until_idle();
    assert_eq!(
        names.wait().unwrap().0,
        ["chart", "plan"],
        "neither the plan nor the chart of the failed turn was heard"
    );
    hand.advance(12 * MS);
    system.run_until_idle(); // its delay ended with it
    assert_eq!(system.dead_letter_count(), 2);
}

#[test]
fn a_failing_guard_ends_the_actor_and_keeps_the_state_before_its_macrostep() {
    // `BAD` acts and enters `b` before its guard fails.
    let machine = parse(
        r#"{ "id": "m", "initial": "a", "context": { "n": 0 }, "states": {
            "a": { "on": {
                "GOOD": { "actions": ["inc:n", "log:good"] },
                "BAD": { "target": "b", "actions": ["inc:n", "log:bad"] } } },
            "b": { "entry": "log:+b", "after": { "5": "c" },
                "always": { "guard": "throwg", "target": "c" } },
            "c": { "entry": "log:+c" } } }"#,
    );
    let worded = Worded::new(&machine, Vocabulary::default()).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let says = said.clone();
    let chart = HostedChart::from(worded.compiled)
        .log(move |text, _| says.lock().unwrap().push(text.to_owned()));
    let failed = Refusal::fatal("the guard threw; the old state was kept");

    let mut alone = chart.machine(Slots::default()).unwrap();
    let stands =
        |machine: &ChartMachine<Slots>| (machine.is("a"), machine.context().get(0).cloned());
    let n = |n| Some(Value::Num(n));
    alone.begin();
    assert_eq!(alone.try_apply(Event::new("BAD")), Err(failed.clone()));
    alone.roll_back();
    assert_eq!(stands(&alone), (true, n(0.0)), "the state before it");
    alone.apply(Event::new("GOOD"));
    alone.apply(Event::new("BAD"));
    assert_eq!(stands(&alone), (true, n(1.0)), "and it goes on from there");

    let (system, hand) = stepped();
    let actor = system
        .spawn_machine(chart.machine(Slots::default()).unwrap())
        .unwrap();
    let end = actor.monitor();
    for name in ["GOOD", "BAD", "GOOD"] {
        actor.tell(Event::new(name)).unwrap();
    }
    system.run_until_idle();
    assert_eq!(end.wait().exit, Exit::Failed(failed.clone()));
    let letters = system.dead_letters();
    let causes: Vec<_> = letters.iter().map(|letter| letter.cause.clone()).collect();
    assert_eq!(causes, [Cause::Refused(failed), Cause::Stopped]);
    hand.advance(7 * MS);
    system.run_until_idle();
    assert_eq!(
        *said.lock().unwrap(),
        ["inc:n", "log:good"],
        "nothing of the failed turn"
    );
    assert_eq!(system.dead_letter_count(), 2, "nor a delay of it");
}

#[test]
fn a_bound_guard_that_fails_does_the_same() {
    // Its actions cannot fail, and `BAD` acts before the completion's guard is asked.
    let machine = parse(
        r#"{ "id": "m", "initial": "a", "states": {
            "a": { "initial": "x", "states": { "x": {}, "y": { "type": "final" } },
                "on": {
                    "GOOD": { "guard": { "type": "holds", "params": true }, "actions": "count" },
                    "BAD": { "target": ".y", "actions": "count" },
                    "WORSE": { "guard": { "not": "holds" },
                        "actions": "count" } },
                "onDone": { "guard": "holds", "target": "b" } },
            "b": {} } }"#,
    );
    let compiled = Bindings::<Count>::new()
        .action("count", |count, _, _| *count += 1)
        .try_guard("holds", |_, _, params| match params {
            mainspring::chart::Value::Bool(holds) => Ok(*holds),
            _ => Err(Fault::execution("no parameters")),
        })
        .compile(&machine)
        .unwrap();
    let mut buffers = Default::default();
    let init = Event::new("xstate.init");
    let (mut alone, started) = compiled.chart.start(0, &init, &mut buffers);
    started.unwrap();
    let mut give = |name: &str| {
        let class = compiled.chart.table().class(name);
        let event = Event::new(name);
        let step = compiled.chart.step(&mut alone, class, &event, &mut buffers);
        let step = step.map_err(|error| error.to_string());
        (step, alone.context, alone.leaves().to_vec())
    };
    let failed = || Err("no parameters; the old state was kept".to_owned());
    assert_eq!(give("GOOD"), (Ok(true), 1, vec![2]));
    assert_eq!(give("BAD"), (failed(), 1, vec![2]));
    assert_eq!(give("WORSE"), (failed(), 1, vec![2]));
    assert_eq!(give("GOOD"), (Ok(true), 2, vec![2]));

    let (system, _hand) = stepped();
    let chart = HostedChart::from(compiled);
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    let end = actor.monitor();
    actor.tell(Event::new("BAD")).unwrap();
    system.run_until_idle();
    let failed = Refusal::fatal("no parameters; the old state was kept");
    assert_eq!(end.wait().exit, Exit::Failed(failed));
}

/// Fails at `BAD`, and counts at `GOOD`.
fn fragile() -> HostedChart<Count> {
    let chart = parse(
        r#"{ "id": "fragile", "initial": "a", "states": {
            "a": { "on": { "GOOD": { "target": "b", "actions": "count" } } },
            "b": { "on": { "BAD": { "actions": ["count", "fail"] } } }
        } }"#,
    );
    let compiled = Bindings::<Count>::new()
        .action("count", |count, _, _| *count += 1)
        .scoped("fail", |_, _| Err(Fault::execution("broken")))
        .compile(&chart)
        .unwrap();
    HostedChart::from(compiled)
}

/// Gives its chart events, and says how that stands.
#[derive(Clone, Copy)]
struct Watching;
enum Watch {
    Give(&'static str),
    Look(Reply<(bool, Count)>),
}
impl Behavior for Watching {
    type Machine = ChartMachine<Count>;
    type Message = Watch;
    fn on_message(&self, message: Watch, chart: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            Watch::Give(name) => Plan::emit(Event::new(name)),
            Watch::Look(reply) => Plan::reply(reply, (chart.is("a"), *chart.context())),
        }
    }
}

#[test]
fn a_supervised_chart_that_fails_starts_anew_in_its_initial_state() {
    let (system, hand) = stepped();
    let chart = fragile();
    let make = move |incarnation| {
        let count = 10 * u64::from(incarnation);
        (Watching, chart.machine(count).unwrap())
    };
    let spec = ChildSpec::new("fragile", make).named("fragile");
    let children = Children::new(Strategy::OneForOne, vec![spec.restart(Restart::Transient)]);
    let _supervisor = system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let chart = system.whereis::<Watch>("fragile").unwrap();
    let look = || {
        let asked = chart.ask(Watch::Look);
        system.run_until_idle();
        asked.wait().unwrap()
    };
    chart.tell(Watch::Give("GOOD")).unwrap();
    assert_eq!(look(), (false, 11));
    chart.tell(Watch::Give("BAD")).unwrap();
    system.run_until_idle();
    hand.advance(Duration::from_secs(2));
    assert_eq!(look(), (true, 20), "the second incarnation");
}

#[test]
fn a_childs_failure_that_no_state_takes_climbs_until_supervision_hears_of_it() {
    let (system, hand) = stepped();
    let family = |on_error: &str| {
        let chart = parse(&format!(
            r#"{{ "id": "parent", "initial": "busy", "states": {{
                "busy": {{ "invoke": {{ "id": "work", "src": "worker" {on_error} }},
                           "entry": "send" }},
                "failed": {{}}
            }} }}"#
        ));
        let send = |name: &str| mainspring::chart::Effect::Send {
            event: Event::new(name),
            target: mainspring::chart::value::Target::Child("work".into()),
            delay_ms: Some(10),
            id: None,
        };
        let compiled = Bindings::<Count>::new()
            .actor("worker")
            .scoped("send", move |scope, _| {
                scope.effect(send("GOOD"));
                scope.effect(send("BAD"));
                Ok(())
            })
            .compile(&chart)
            .unwrap();
        HostedChart::from(compiled).child("worker", fragile(), |_| 0)
    };
    let (deaf, heedful) = (family(""), family(r#", "onError": "failed""#));
    let deaf = system.spawn_machine(deaf.machine(0).unwrap()).unwrap();
    let heedful = system.spawn_machine(heedful.machine(0).unwrap()).unwrap();
    let end = deaf.monitor();
    system.run_until_idle();
    assert_eq!(system.actors(), 4);
    hand.advance(12 * MS);
    assert!(look(&system, &heedful).is("failed"));
    let exit = end.wait().exit;
    assert!(matches!(exit, Exit::Failed(_)), "{exit:?}");
    assert!(exit.to_string().contains("broken"), "{exit}");
    assert_eq!(system.actors(), 1, "only who took the failure lives");
}

#[test]
fn what_a_chart_sends_goes_above_the_bound_and_is_counted() {
    let (system, _hand) = stepped();
    let seen = system
        .prepare(Events::new(), Names::default())
        .capacity(1)
        .start()
        .unwrap();
    let chart = telling(seen.actor());
    let behavior = Keeping { seen: seen.actor() };
    let door = system.spawn(behavior, chart.machine(0).unwrap()).unwrap();
    door.tell(Ask::Open).unwrap(); // its plan takes the one place
    system.run_until_idle();
    let names = seen.snapshot();
    system.run_until_idle();
    assert_eq!(names.wait().unwrap().0, ["chart", "plan"]);
    let metrics = system.metrics();
    assert_eq!(metrics.workers.iter().map(|w| w.overdraft).sum::<u64>(), 1);
}

const PARENT: &str = r#"{
    "id": "parent", "initial": "idle",
    "states": {
        "idle": { "on": { "GO": "busy" } },
        "busy": {
            "invoke": { "id": "work", "src": "worker",
                        "onDone": { "target": "done", "actions": "keep" },
                        "onError": "failed" },
            "on": { "LEAVE": "idle" }
        },
        "done": {}, "failed": {}
    }
}"#;

const WORKER: &str = r#"{
    "id": "worker", "initial": "waiting",
    "states": {
        "waiting": { "after": { "50": "finished" } },
        "finished": { "type": "final" }
    },
    "output": 7
}"#;

fn parent(child: impl FnOnce(HostedChart<Count>) -> HostedChart<Count>) -> HostedChart<Count> {
    let bindings = Bindings::<Count>::new()
        .actor("worker")
        .action("keep", |count, event, _| {
            *count = event
                .data
                .field("output")
                .and_then(Value::num)
                .unwrap_or(1.0) as u64;
        });
    child(HostedChart::from(bindings.compile(&parse(PARENT)).unwrap()))
}

#[test]
fn an_invoked_chart_is_a_child_that_ends_with_its_state() {
    let (system, hand) = stepped();
    let worker = counting_worker();
    let chart = parent(|parent| parent.child("worker", worker, |_| 0));
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    actor.tell(Event::new("GO")).unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), 2);
    actor.tell(Event::new("LEAVE")).unwrap();
    assert!(look(&system, &actor).is("idle"));
    assert_eq!(system.actors(), 1, "the child ended with its state");

    actor.tell(Event::new("GO")).unwrap();
    system.run_until_idle();
    hand.advance(52 * MS);
    let done = look(&system, &actor);
    assert!(done.is("done"));
    assert_eq!(*done.context(), 7, "the child's output");
    assert_eq!(system.actors(), 1);

    actor.tell(Event::new("GO")).unwrap();
    system.run_until_idle();
    assert!(actor.stop());
    system.run_until_idle();
    assert_eq!(system.actors(), 0);
}

fn counting_worker() -> HostedChart<Count> {
    HostedChart::from(Bindings::<Count>::new().compile(&parse(WORKER)).unwrap())
}

#[test]
fn a_child_ends_with_the_actor_whose_chart_started_it() {
    let (system, _hand) = stepped();
    let worker = counting_worker();
    let chart = parent(|parent| parent.child("worker", worker, |_| 0));
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    actor.tell(Event::new("GO")).unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), 2);
    assert!(actor.kill());
    system.run_until_idle();
    assert_eq!(system.actors(), 0);
}

/// Panics at its first message.
#[derive(Clone, Copy)]
struct Failing;
impl Behavior for Failing {
    type Machine = Names;
    type Message = ();
    fn on_message(&self, (): (), _: Snapshot<'_, Self>) -> Plan<Self> {
        panic!("no good")
    }
}

#[test]
fn a_child_that_panics_is_an_error_event() {
    let (system, _hand) = stepped();
    let chart = parent(|parent| {
        parent.actor("worker", |_, output| {
            let child = output.spawn(Failing, Names::default());
            output.tell(child, ());
            Child::new(child)
        })
    });
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    actor.tell(Event::new("GO")).unwrap();
    assert!(look(&system, &actor).is("failed"));
}

#[test]
fn an_actor_that_nobody_bound_fails_the_turn() {
    let (system, _hand) = stepped();
    let chart = parent(|parent| parent);
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    actor.tell(Event::new("GO")).unwrap();
    assert!(look(&system, &actor).is("idle"));
    let cause = system.dead_letters()[0].cause.to_string();
    assert!(cause.contains("no actor is bound to \"worker\""), "{cause}");
}

#[test]
fn an_initial_state_arms_its_delay_before_the_first_message() {
    let (system, hand) = stepped();
    let chart = counting(
        r#"{ "id": "m", "initial": "a", "states": {
            "a": { "after": { "5": { "target": "b", "actions": "count" } } }, "b": {} } }"#,
    );
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    system.run_until_idle();
    hand.advance(7 * MS);
    let after = look(&system, &actor);
    assert!(after.is("b"));
    assert_eq!(*after.context(), 1);
}

#[test]
fn a_delayed_event_for_another_is_sent_when_it_is_due_unless_cancelled() {
    let (system, hand) = stepped();
    let seen = system.spawn_machine(Names::default()).unwrap();
    let to = seen.actor();
    let later = |name: &str, id: &str| mainspring::chart::Effect::Send {
        event: Event::new(name),
        target: mainspring::chart::value::Target::Address("log".into()),
        delay_ms: Some(20),
        id: Some(id.into()),
    };
    let chart = parse(
        r#"{ "id": "m", "initial": "a", "states": { "a": {
            "entry": "later",
            "on": { "STOP": { "actions": "cancel" }, "BAD": { "actions": ["cancel", "lost"] } }
        } } }"#,
    );
    let compiled = Bindings::<Count>::new()
        .scoped("later", move |scope, _| {
            scope.effect(later("one", "1"));
            scope.effect(later("two", "2"));
            Ok(())
        })
        .scoped("cancel", |scope, _| {
            scope.effect(mainspring::chart::Effect::Cancel("1".into()));
            Ok(())
        })
        .scoped("lost", |scope, _| {
            scope.effect(mainspring::chart::Effect::Send {
                event: Event::new("lost"),
                target: mainspring::chart::value::Target::Address("nobody".into()),
                delay_ms: None,
                id: None,
            });
            Ok(())
        })
        .compile(&chart)
        .unwrap();
    let chart = HostedChart::from(compiled).address("log", move |event, output| {
        output.tell(to, event.name.to_string());
    });
    let [first, second] =
        [0, 0].map(|count| system.spawn_machine(chart.machine(count).unwrap()).unwrap());
    first.tell(Event::new("STOP")).unwrap();
    second.tell(Event::new("BAD")).unwrap(); // it fails, and cancels nothing
    system.run_until_idle();
    hand.advance(19 * MS);
    let heard = || {
        system.run_until_idle();
        let names = seen.snapshot();
        system.run_until_idle();
        let mut names = names.wait().unwrap().0;
        names.sort_unstable();
        names
    };
    assert!(heard().is_empty());
    hand.advance(3 * MS);
    assert_eq!(heard(), ["one", "two", "two"]);
}

#[test]
fn a_chart_that_is_done_ends_its_actor() {
    let (system, hand) = stepped();
    let actor = system
        .spawn_machine(counting_worker().machine(0).unwrap())
        .unwrap();
    system.run_until_idle();
    assert!(actor.is_alive());
    hand.advance(52 * MS);
    system.run_until_idle();
    assert!(!actor.is_alive());
}
