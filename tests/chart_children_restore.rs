//! A chart that is saved with its children goes on with them where they were.
#![cfg(feature = "xstate")]

use mainspring::chart::value::{Start, Target};
use mainspring::chart::xstate::{Bindings, Machine as Json};
use mainspring::chart::{Effect, Event, Resume, SavedChild, Snapshot as Saved, Value};
use mainspring::prelude::*;
use mainspring::{ChartMachine, Child, Clock, Events, HostedChart, ManualClock};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

type Charts = mainspring::Actor<Events<ChartMachine<u64>>>;

fn stepped() -> (System, ManualClock) {
    let (clock, hand) = Clock::manual();
    (System::stepped(Config::default(), clock).unwrap(), hand)
}

fn chart(text: &str) -> HostedChart<u64> {
    let has = |name: &str| text.contains(&format!("\"{name}\""));
    let mut bindings = Bindings::<u64>::new();
    if has("src") {
        bindings = bindings.actor("worker");
    }
    if has("count") {
        bindings = bindings.action("count", |count, _, _| *count += 1);
    }
    if has("start") {
        bindings = bindings.action("start", |count, event, _| {
            *count = event
                .data
                .field("input")
                .and_then(Value::num)
                .unwrap_or(0.0) as u64;
        });
    }
    if has("pass") {
        bindings = bindings.scoped("pass", |steps, _| {
            let event = steps.event().clone();
            for id in ["work", "more"] {
                steps.effect(Effect::Send {
                    event: event.clone(),
                    target: Target::Child(id.into()),
                    delay_ms: None,
                    id: None,
                });
            }
            Ok(())
        });
    }
    if has("spawn") {
        bindings = bindings.scoped("spawn", |steps, _| {
            steps.effect(Effect::Start(Start {
                id: "more".into(),
                source: "worker".into(),
                embedded: None,
                input: Value::Num(40.0),
                autoforward: false,
                finalize: None,
            }));
            Ok(())
        });
    }
    HostedChart::from(bindings.compile(&Json::parse(text).unwrap()).unwrap())
}

/// Counts its ticks from its input on; done 50 ms after it began, or at `STOP`.
const WORKER: &str = r#"{ "id": "worker", "version": "3", "initial": "a", "states": {
    "a": { "on": { "TICK": { "actions": "count" }, "STOP": "b" }, "after": { "50": "b" } },
    "b": { "type": "final" } } }"#;

fn worker() -> HostedChart<u64> {
    chart(WORKER).kept()
}

fn with(parent: &str, worker: HostedChart<u64>) -> HostedChart<u64> {
    let input = |input: &Value| input.num().unwrap_or(0.0) as u64;
    chart(parent).child("worker", worker, input)
}

const PARENT: &str = r#"{ "id": "parent", "initial": "idle",
    "on": { "TICK": { "actions": "pass" }, "STOP": { "actions": "pass" } },
    "states": {
        "idle": { "on": { "GO": "busy", "SPAWN": { "actions": "spawn" } } },
        "busy": { "invoke": { "id": "work", "src": "worker", "onDone": "done" } },
        "done": {} } }"#;

fn deep(system: &System, actor: &Charts) -> Saved<u64> {
    let asked = actor.save();
    system.run_until_idle();
    let text = toml::to_string(&asked.wait().unwrap()).unwrap();
    toml::from_str(&text).unwrap()
}

fn look(system: &System, actor: &Charts) -> ChartMachine<u64> {
    system.run_until_idle();
    let asked = actor.snapshot();
    system.run_until_idle();
    asked.wait().unwrap()
}

fn only(saved: &Saved<u64>) -> &SavedChild {
    let [child] = &saved.children[..] else {
        panic!("{saved:?}")
    };
    child
}

fn state(child: &SavedChild) -> &Saved<Value> {
    child.snapshot.as_deref().expect("its state")
}

/// A parent whose child began 30 ms ago and had two ticks.
fn busy(system: &System, hand: &ManualClock, chart: &HostedChart<u64>) -> Charts {
    let parent = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    parent.tell(Event::new("GO")).unwrap();
    system.run_until_idle();
    hand.advance(30 * MS);
    parent.tell(Event::new("TICK")).unwrap();
    parent.tell(Event::new("TICK")).unwrap();
    parent
}

#[test]
fn an_invoked_charts_state_is_saved_with_its_parents_and_goes_on() {
    let (system, hand) = stepped();
    let chart = with(PARENT, worker());
    let first = busy(&system, &hand, &chart);
    let saved = deep(&system, &first); // its ticks are on their way when it is asked for
    let child = only(&saved);
    assert_eq!((&*child.id, &*child.source), ("work", "worker"));
    let inner = state(child);
    assert_eq!((&*inner.chart, &*inner.version), ("worker", "3"));
    assert_eq!(inner.context, Value::Num(2.0));
    assert_eq!(inner.delays[0].left_ms, 20);
    first.kill();
    system.run_until_idle();
    assert_eq!(system.actors(), 0);

    for (resume, left) in [(Resume::Remaining, 20), (Resume::Restart, 50)] {
        let restored = chart.restore(&saved, resume).unwrap();
        assert_eq!(restored.save(), saved, "also before it is an actor");
        let second = system.spawn_machine(restored).unwrap();
        system.run_until_idle();
        assert_eq!(system.actors(), 2);
        second.tell(Event::new("TICK")).unwrap();
        let again = deep(&system, &second);
        assert_eq!(
            state(only(&again)).context,
            Value::Num(3.0),
            "parent and child know each other"
        );
        hand.advance((left - 1) * MS);
        assert!(look(&system, &second).is("busy"), "{resume:?}");
        hand.advance(3 * MS);
        assert!(
            look(&system, &second).is("done"),
            "{resume:?}: its end is heard"
        );
        assert!(deep(&system, &second).children.is_empty());
        second.kill();
        system.run_until_idle();
    }
}

#[test]
fn children_of_children_and_spawned_ones_are_saved_too() {
    let (system, hand) = stepped();
    let chart = with(PARENT, with(PARENT, worker()).kept());
    let top = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    top.tell(Event::new("SPAWN")).unwrap();
    system.run_until_idle();
    let saved = deep(&system, &top);
    assert_eq!(only(&saved).input, Some(Value::Num(40.0)));
    assert_eq!(state(only(&saved)).leaves, ["parent.idle"]);

    // The one in the middle spawns a worker of its own.
    let middle = PARENT.replace(
        r#""initial": "idle""#,
        r#""initial": "idle", "entry": "spawn""#,
    );
    let chart = with(PARENT, with(&middle, worker()).kept());
    let first = busy(&system, &hand, &chart);
    let saved = deep(&system, &first);
    let inner = state(only(&saved));
    assert_eq!(inner.children[0].id, "more");
    assert_eq!(
        state(&inner.children[0]).context,
        Value::Num(42.0),
        "its input, and two ticks"
    );
    let before = system.actors();
    let second = system
        .spawn_machine(chart.restore(&saved, Resume::Remaining).unwrap())
        .unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), before + 3);
    second.tell(Event::new("TICK")).unwrap();
    let again = deep(&system, &second);
    assert_eq!(
        state(&state(only(&again)).children[0]).context,
        Value::Num(43.0)
    );
    second.kill();
    system.run_until_idle();
    assert_eq!(system.actors(), before, "they end with it");
}

#[test]
fn a_child_is_asked_after_all_that_its_parent_sent_it() {
    const COUNTING: &str = r#"{ "id": "worker", "initial": "a", "states": {
        "a": { "on": { "TICK": { "actions": "count" } } } } }"#;
    let system = System::new().unwrap();
    let middle = PARENT.replace(r#""initial": "idle""#, r#""initial": "busy""#);
    let chart = with(PARENT, with(&middle, chart(COUNTING).kept()).kept());
    let top = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    top.tell(Event::new("GO")).unwrap();
    let ticks = |saved: &Saved<u64>| {
        let middle = state(only(saved));
        state(&middle.children[0]).context.clone()
    };
    for told in 0..100 {
        let before = top.save();
        top.tell(Event::new("TICK")).unwrap();
        let after = top.save();
        assert_eq!(ticks(&before.wait().unwrap()), Value::Num(f64::from(told)));
        assert_eq!(
            ticks(&after.wait().unwrap()),
            Value::Num(f64::from(told + 1))
        );
    }
}

/// Lives until it is stopped.
#[derive(Clone, Copy)]
struct Idle;
impl mainspring::Behavior for Idle {
    type Machine = Nothing;
    type Message = ();
    fn on_message(&self, (): (), _: mainspring::Snapshot<'_, Self>) -> mainspring::Plan<Self> {
        mainspring::Plan::stop()
    }
}
struct Nothing;
impl Machine for Nothing {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

#[test]
fn what_has_no_state_starts_anew_with_its_input_and_what_had_ended_does_not() {
    let (system, hand) = stepped();
    // A chart that is not kept.
    let plain = with(PARENT, chart(WORKER));
    let first = system.spawn_machine(plain.machine(0).unwrap()).unwrap();
    first.tell(Event::new("SPAWN")).unwrap();
    first.tell(Event::new("TICK")).unwrap();
    system.run_until_idle();
    hand.advance(30 * MS);
    let saved = deep(&system, &first);
    assert_eq!(only(&saved).snapshot, None);
    assert_eq!(
        look(&system, &first).save(),
        saved,
        "as a snapshot alone says"
    );
    let second = system
        .spawn_machine(plain.restore(&saved, Resume::Remaining).unwrap())
        .unwrap();
    let before = system.actors();
    system.run_until_idle();
    assert_eq!(only(&deep(&system, &second)).input, Some(Value::Num(40.0)));
    hand.advance(48 * MS);
    system.run_until_idle();
    assert_eq!(
        system.actors(),
        before,
        "one child began anew, the other's time is over"
    );
    // An actor without a chart.
    let actor = chart(PARENT).actor("worker", |_, output| {
        Child::new(output.spawn(Idle, Nothing))
    });
    let first = system.spawn_machine(actor.machine(0).unwrap()).unwrap();
    first.tell(Event::new("GO")).unwrap();
    let saved = deep(&system, &first);
    assert_eq!(only(&saved).snapshot, None);
    let before = system.actors();
    let _second = system
        .spawn_machine(actor.restore(&saved, Resume::Remaining).unwrap())
        .unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), before + 2);
    // One whose end no state took.
    let silent = PARENT.replace(r#", "onDone": "done""#, "");
    let silent = with(&silent, worker());
    let first = busy(&system, &hand, &silent);
    first.tell(Event::new("STOP")).unwrap();
    system.run_until_idle();
    let saved = deep(&system, &first);
    assert_eq!(saved.leaves, ["parent.busy"]);
    assert!(saved.children.is_empty());
    let before = system.actors();
    let _second = system
        .spawn_machine(silent.restore(&saved, Resume::Remaining).unwrap())
        .unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), before + 1);
}

#[test]
fn a_child_that_ends_meanwhile_keeps_nobody_waiting() {
    let (system, hand) = stepped();
    let chart = with(PARENT, worker());
    let first = busy(&system, &hand, &chart);
    first.tell(Event::new("STOP")).unwrap();
    let saved = deep(&system, &first);
    assert!(look(&system, &first).is("done"));
    assert_eq!(
        saved.leaves,
        ["parent.busy"],
        "it has not heard of the end yet"
    );
    let second = system
        .spawn_machine(chart.restore(&saved, Resume::Remaining).unwrap())
        .unwrap();
    system.run_until_idle();
    hand.advance(52 * MS);
    assert!(look(&system, &second).is("done"), "it hears of it again");
}

#[test]
fn what_does_not_fit_a_child_is_refused_with_its_id() {
    let (system, hand) = stepped();
    let chart = with(PARENT, worker());
    let saved = deep(&system, &busy(&system, &hand, &chart));
    let refused = |chart: HostedChart<u64>, saved: &Saved<u64>| {
        let refused = chart.restore(saved, Resume::Remaining);
        refused.map(drop).unwrap_err().to_string()
    };
    let newer = self::chart(&WORKER.replace(r#""3""#, r#""4""#)).kept();
    assert_eq!(
        refused(with(PARENT, newer), &saved),
        r#"child "work": the snapshot is of "worker" version "3", the chart is "worker" version "4""#
    );
    let told = refused(with(PARENT, self::chart(WORKER)), &saved);
    assert_eq!(
        told,
        r#"child "work": its state cannot be read: its chart is not `kept`"#
    );
    let told = refused(self::chart(PARENT), &saved);
    assert_eq!(
        told,
        r#"child "work": no actor is bound to "worker"; there are none"#
    );
    let actor = self::chart(PARENT).actor("worker", |_, output| {
        Child::new(output.spawn(Idle, Nothing))
    });
    let told = refused(actor, &saved);
    assert!(
        told.contains(r#""worker" starts an actor, which has none"#),
        "{told}"
    );
    let mut odd = saved.clone();
    if let Some(inner) = &mut odd.children[0].snapshot {
        inner.context = Value::str("many");
    }
    let told = refused(with(PARENT, worker()), &odd);
    assert!(
        told.contains("invalid type: string \"many\", expected u64"),
        "{told}"
    );
}

#[cfg(feature = "scxml")]
#[test]
fn documents_inside_of_a_document_are_saved_with_it() {
    use mainspring::chart::{scxml, slots::Slots};
    const TEXT: &str = r##"<scxml version="1.0" name="outer" datamodel="ecmascript" initial="work">
  <datamodel><data id="got" expr="0"/></datamodel>
  <state id="work">
    <invoke type="scxml" id="k" autoforward="true">
      <content><scxml version="1.0" name="inner" datamodel="ecmascript" initial="c">
        <datamodel><data id="n" expr="1"/></datamodel>
        <state id="c">
          <transition event="more"><assign location="n" expr="n + 1"/></transition>
          <transition event="tell"><send target="#_parent" event="told"><param name="n" expr="n"/></send></transition>
          <transition event="ask.child"><send target="#_parent" event="told"><param name="n" expr="100"/></send></transition>
        </state>
      </scxml></content>
    </invoke>
    <transition event="told"><assign location="got" expr="_event.data.n"/></transition>
    <transition event="ask"><send target="#_k" event="ask.child"/></transition>
  </state>
</scxml>"##;
    let (system, _hand) = stepped();
    let document = scxml::compile(TEXT).unwrap();
    let place = document.names.iter().position(|n| **n == *"got").unwrap();
    let chart = HostedChart::from(document);
    let first = system
        .spawn_machine(chart.machine(Slots::default()).unwrap())
        .unwrap();
    first.tell(Event::new("more")).unwrap();
    let asked = first.save();
    system.run_until_idle();
    let text = toml::to_string(&asked.wait().unwrap()).unwrap();
    let saved: Saved<Slots> = toml::from_str(&text).unwrap();
    assert_eq!(saved.children[0].id, "k");
    first.kill();

    let second = system
        .spawn_machine(chart.restore(&saved, Resume::Remaining).unwrap())
        .unwrap();
    let got = || {
        system.run_until_idle();
        let asked = second.snapshot();
        system.run_until_idle();
        let machine = asked.wait().unwrap();
        machine.context().get(place).cloned()
    };
    second.tell(Event::new("more")).unwrap();
    second.tell(Event::new("tell")).unwrap();
    assert_eq!(
        got(),
        Some(Value::Num(3.0)),
        "its variable, its parent, and what is forwarded"
    );
    second.tell(Event::new("ask")).unwrap();
    assert_eq!(got(), Some(Value::Num(100.0)), "its parent knows it");
}
