//! A chart that is saved and restored goes on where it was, its delays by the rule that is named.
#![cfg(feature = "xstate")]

use mainspring::chart::value::Target;
use mainspring::chart::xstate::{Bindings, Machine as Json};
use mainspring::chart::{Event, Receiver, Resume, Snapshot as Saved, SnapshotError, Value};
use mainspring::prelude::*;
use mainspring::{ChartMachine, Clock, Events, HostedChart, ManualClock};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

type Count = u64;
type Charts = mainspring::Actor<Events<ChartMachine<Count>>>;

/// A stepped system whose clock says that it is so late.
fn at(now: Duration) -> (System, ManualClock) {
    let (clock, hand) = Clock::manual();
    hand.advance(now);
    let config = Config::default();
    (System::stepped(config, clock).unwrap(), hand)
}

fn look(system: &System, actor: &Charts) -> ChartMachine<Count> {
    system.run_until_idle(); // what is due first, so that the snapshot shows it
    let asked = actor.snapshot();
    system.run_until_idle();
    asked.wait().unwrap()
}

fn bind(text: &str) -> HostedChart<Count> {
    let send = |name: &str, target, delay_ms, id: Option<&str>| mainspring::chart::Effect::Send {
        event: Event::new(name).field("n", Value::Num(7.0)),
        target,
        delay_ms: Some(delay_ms),
        id: id.map(Into::into),
    };
    let lost = || mainspring::chart::Effect::Send {
        event: Event::new("lost"),
        target: Target::Address("nobody".into()),
        delay_ms: None,
        id: None,
    };
    // A name that the text does not have would be one too many.
    let has = |name: &str| text.contains(&format!("\"{name}\""));
    let mut bindings = Bindings::<Count>::new();
    if has("src") {
        bindings = bindings.actor("worker");
    }
    if has("count") {
        bindings = bindings.action("count", |count, _, _| *count += 1);
    }
    if has("add") {
        bindings = bindings.action("add", |count, event, _| {
            *count += event.data.field("n").and_then(Value::num).unwrap_or(100.0) as u64;
        });
    }
    if has("send") {
        bindings = bindings.scoped("send", move |scope, _| {
            scope.effect(send("NEXT", Target::Myself, 30, Some("next")));
            scope.effect(send("far", Target::Address("log".into()), 20, None));
            scope.effect(send("NEXT", Target::Myself, 25, None));
            Ok(())
        });
    }
    if has("cancel") {
        bindings = bindings.scoped("cancel", |scope, _| {
            scope.effect(mainspring::chart::Effect::Cancel("next".into()));
            Ok(())
        });
    }
    if has("lose") {
        bindings = bindings.scoped("lose", move |scope, _| {
            scope.effect(lost());
            Ok(())
        });
    }
    HostedChart::from(bindings.compile(&Json::parse(text).unwrap()).unwrap())
}

const DOOR: &str = r#"{
    "id": "door", "version": "2", "initial": "shut",
    "states": {
        "shut": { "on": { "OPEN": { "target": "open", "actions": "count" } } },
        "open": {
            "entry": "count",
            "after": { "100": { "target": "shut", "actions": "count" } },
            "on": { "SHUT": "shut" }
        }
    }
}"#;

/// What serde writes and reads.
fn through_text(saved: Saved<Count>) -> Saved<Count> {
    let text = toml::to_string(&saved).unwrap();
    toml::from_str(&text).unwrap()
}

/// A door that was opened 40 ms ago, when its system was 1 s old.
fn opened_and_saved() -> Saved<Count> {
    let (system, hand) = at(Duration::from_secs(1));
    let door = system
        .spawn_machine(bind(DOOR).machine(0).unwrap())
        .unwrap();
    door.tell(Event::new("OPEN")).unwrap();
    system.run_until_idle();
    hand.advance(40 * MS);
    through_text(look(&system, &door).save())
}

#[test]
fn a_snapshot_has_the_delays_with_what_is_left_of_them() {
    let saved = opened_and_saved();
    assert_eq!((&*saved.chart, &*saved.version), ("door", "2"));
    assert_eq!(saved.context, 2);
    let [delay] = &saved.delays[..] else {
        panic!("{saved:?}")
    };
    assert!(delay.event.starts_with("xstate.after.100"), "{delay:?}");
    assert_eq!(delay.to, Receiver::Myself);
    assert_eq!((delay.delay_ms, delay.left_ms), (100, 60));
    assert_eq!(delay.due_unix_ms, 1_100);
}

#[test]
fn a_restored_charts_delay_ends_by_the_rule_that_was_named() {
    let saved = opened_and_saved();
    for (resume, now_ms, left_ms) in [
        (Resume::Remaining, 1_040, 60),
        (Resume::Remaining, 9_000, 60),
        (Resume::Restart, 9_000, 100),
        (Resume::Absolute, 1_040, 60),
        (Resume::Absolute, 1_090, 10),
    ] {
        let (system, hand) = at(now_ms * MS);
        let door = bind(DOOR).restore(&saved, resume).unwrap();
        let door = system.spawn_machine(door).unwrap();
        let open = look(&system, &door);
        assert!(open.is("open"), "{resume:?} {now_ms}");
        assert_eq!(*open.context(), 2, "no entry action ran again");
        hand.advance((left_ms - 1) * MS);
        assert!(
            look(&system, &door).is("open"),
            "{resume:?} {now_ms}: never early"
        );
        hand.advance(3 * MS);
        let shut = look(&system, &door);
        assert!(shut.is("shut"), "{resume:?} {now_ms}");
        assert_eq!(*shut.context(), 3);
        assert!(shut.save().delays.is_empty());
    }
    let (system, hand) = at(9_000 * MS);
    let late = bind(DOOR).restore(&saved, Resume::Absolute).unwrap();
    let late = system.spawn_machine(late).unwrap();
    system.run_until_idle();
    hand.advance(2 * MS);
    assert!(look(&system, &late).is("shut"), "it was due long ago");
    assert_eq!(Resume::default(), Resume::Remaining);
}

#[test]
fn leaving_a_state_cancels_its_restored_delay() {
    let saved = opened_and_saved();
    let (system, hand) = at(Duration::ZERO);
    let door = bind(DOOR).restore(&saved, Resume::Remaining).unwrap();
    let door = system.spawn_machine(door).unwrap();
    door.tell(Event::new("SHUT")).unwrap();
    door.tell(Event::new("OPEN")).unwrap();
    system.run_until_idle();
    hand.advance(70 * MS);
    assert!(look(&system, &door).is("open"), "a whole new delay");
    hand.advance(32 * MS);
    assert!(look(&system, &door).is("shut"));
}

const SENDER: &str = r#"{ "id": "sender", "initial": "a", "states": { "a": {
    "entry": "send",
    "on": { "NEXT": { "actions": "add" }, "STOP": { "actions": "cancel" },
            "BAD": { "actions": ["count", "lose"] } }
} } }"#;

/// Keeps the names of the events that it is told.
#[derive(Clone, Default)]
struct Names(Vec<String>);
impl Machine for Names {
    type Event = String;
    fn apply(&mut self, name: String) {
        self.0.push(name);
    }
}

#[test]
fn delayed_events_keep_their_ids_data_and_receivers() {
    let (system, hand) = at(Duration::ZERO);
    let seen = system.spawn_machine(Names::default()).unwrap();
    let to = seen.actor();
    let chart = bind(SENDER).address("log", move |event, output| {
        output.tell(to, event.name.to_string());
    });
    let first = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    system.run_until_idle();
    hand.advance(10 * MS);
    first.tell(Event::new("BAD")).unwrap(); // it fails, and changes no delay
    let saved = through_text(look(&system, &first).save());
    let all = saved.delays.iter();
    let all: Vec<_> = all
        .map(|d| (&*d.event, d.id.as_deref(), d.left_ms))
        .collect();
    let (next, far) = (("NEXT", Some("next"), 20), ("far", None, 10));
    assert_eq!(all, [next, far, ("NEXT", None, 15)]);
    first.kill();

    let restored = || chart.restore(&saved, Resume::Remaining).unwrap();
    let [kept, cut] = [(); 2].map(|()| system.spawn_machine(restored()).unwrap());
    cut.tell(Event::new("STOP")).unwrap();
    system.run_until_idle();
    hand.advance(17 * MS);
    let midway = look(&system, &kept);
    assert_eq!(*midway.context(), 7, "one of two, with its data");
    let left: Vec<_> = midway
        .save()
        .delays
        .into_iter()
        .map(|d| d.left_ms)
        .collect();
    assert_eq!(left, [3], "what is over is not saved again");
    hand.advance(5 * MS);
    assert_eq!(*look(&system, &kept).context(), 14);
    assert_eq!(
        *look(&system, &cut).context(),
        7,
        "the other was cancelled by its id"
    );
    let names = seen.snapshot();
    system.run_until_idle();
    assert_eq!(names.wait().unwrap().0, ["far", "far"]);
}

#[test]
fn a_due_event_whose_turn_fails_is_over() {
    let (system, hand) = at(Duration::ZERO);
    let chart = bind(
        r#"{ "id": "m", "initial": "a", "states": {
            "a": { "after": { "5": { "target": "b", "actions": "lose" }, "50": "b" } }, "b": {} } }"#,
    );
    let actor = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    system.run_until_idle();
    hand.advance(7 * MS);
    let after = look(&system, &actor);
    assert!(after.is("a"));
    let left: Vec<_> = after.save().delays.iter().map(|d| d.delay_ms).collect();
    assert_eq!(left, [50]);
}

#[test]
fn what_an_active_state_invokes_starts_anew() {
    let parent = |parent: &str| {
        let worker = bind(
            r#"{ "id": "worker", "initial": "a", "states": {
                "a": { "after": { "50": "b" } }, "b": { "type": "final" } } }"#,
        );
        bind(parent).child("worker", worker, |_| 0)
    };
    const PARENT: &str = r#"{ "id": "parent", "initial": "idle", "states": {
        "idle": { "on": { "GO": "busy" } },
        "busy": { "entry": "count", "invoke": { "id": "work", "src": "worker", "onDone": "done" } },
        "done": {} } }"#;
    let (system, hand) = at(Duration::ZERO);
    let chart = parent(PARENT);
    let first = system.spawn_machine(chart.machine(0).unwrap()).unwrap();
    first.tell(Event::new("GO")).unwrap();
    system.run_until_idle();
    hand.advance(30 * MS);
    let saved = look(&system, &first).save();
    first.kill();
    system.run_until_idle();
    assert_eq!(system.actors(), 0);

    let second = chart.restore(&saved, Resume::default()).unwrap();
    let second = system.spawn_machine(second).unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), 2);
    hand.advance(40 * MS);
    assert!(look(&system, &second).is("busy"), "from its beginning");
    hand.advance(12 * MS);
    let done = look(&system, &second);
    assert!(done.is("done"));
    assert_eq!(*done.context(), 1, "the entry action ran once");
}

#[test]
fn one_that_is_done_stays_done_and_its_actor_ends() {
    let chart = || {
        bind(
            r#"{ "id": "m", "initial": "a", "states": {
                "a": { "on": { "END": "b" } }, "b": { "type": "final" } } }"#,
        )
    };
    let mut over = chart().machine(0).unwrap();
    over.apply(Event::new("END"));
    let saved = through_text(over.save());
    assert_eq!(saved.status, "done");
    let restored = chart().restore(&saved, Resume::Remaining).unwrap();
    assert_eq!(restored.status(), mainspring::chart::Status::Done);
    let (system, _hand) = at(Duration::ZERO);
    let actor = system.spawn_machine(restored).unwrap();
    system.run_until_idle();
    assert!(!actor.is_alive());
}

#[test]
fn a_snapshot_of_another_version_is_refused() {
    let saved = opened_and_saved();
    let other = bind(&DOOR.replace(r#""2""#, r#""3""#));
    let refused = other.restore(&saved, Resume::Remaining).unwrap_err();
    assert!(
        matches!(refused, SnapshotError::OtherChart { .. }),
        "{refused}"
    );
}

#[cfg(feature = "testkit")]
#[test]
fn a_machines_id_is_in_its_identity_its_snapshot_and_the_trace() {
    let machine = bind(DOOR).machine(0).unwrap();
    assert_eq!(machine.id(), Some("door"));
    assert_eq!(machine.save().chart, "door");
    assert_eq!(Names::default().id(), None, "a plain value has none");

    let mut sim = mainspring::testkit::Sim::new(1);
    let door = sim.system().spawn_machine(machine).unwrap();
    let names = sim.system().spawn_machine(Names::default()).unwrap();
    door.tell(Event::new("OPEN")).unwrap();
    names.tell("name".to_owned()).unwrap();
    sim.run_until_idle();
    let of = |what: &str| sim.trace().find(|ran| ran.behavior.contains(what)).unwrap();
    let [door, names] = ["ChartMachine", "Names"].map(of);
    assert_eq!(door.machine.as_deref(), Some("door"));
    assert!(door.to_string().contains(" with door)"), "{door}");
    assert_eq!(names.machine, None);
}
