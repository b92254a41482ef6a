//! Dumps: what each worker does, and who waits for what, told while it is so.

mod common;
use common::*;
use mainspring::config::WhenFull;
use mainspring::prelude::*;
use mainspring::{Activity, Dump, WorkerDump};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A turn that says that it has begun, and ends when it is let.
fn gate() -> (Msg, Receiver<()>, Sender<()>) {
    let ((begins, begun), (end, ends)) = (channel(), channel());
    let message = does(move || {
        begins.send(()).unwrap();
        let _ = ends.recv();
        Plan::none()
    });
    (message, begun, end)
}

fn worker(dump: &Dump, index: usize) -> &WorkerDump {
    &dump.dispatchers[0].workers[index]
}

fn path(name: &str) -> Option<String> {
    Some(format!("actor://mainspring/{name}"))
}

#[test]
fn a_stuck_handler_is_named_with_what_waits_behind_it() {
    let hour = Duration::from_secs(3_600);
    let config = Config::builder().workers(1).watchdog_stuck(hour);
    let system = System::with_config(config.build().unwrap()).unwrap();
    let log = Log::new();
    let tape = Tape::new(&log);
    let stuck = system.prepare(Script, tape).name("stuck").hold().unwrap();
    let behind = [spawn(&system, &log), spawn(&system, &log)];
    // Both have run and wait for messages.
    for one in &behind {
        assert_eq!(one.ask(Msg::Ping).wait(), Ok(7));
    }
    let (other, (enter, begun, end)) = (behind[0].actor(), gate());
    stuck
        .tell(does(move || {
            Plan::after(1, hour, Msg::Say(9)).and(Plan::tell(other, Msg::Say(1)))
        }))
        .unwrap();
    stuck.tell(enter).unwrap();
    let stuck = stuck.start(); // with both in one batch
    begun.recv().unwrap();
    behind[1].tell(Msg::Say(2)).unwrap();
    behind[1].tell(Msg::Say(3)).unwrap();

    let dump = system.dump();
    let only = worker(&dump, 0);
    assert_eq!(only.activity, Activity::Running, "{dump}");
    let actor = only.actor.as_ref().unwrap();
    assert_eq!(actor.actor, stuck.actor().address());
    assert_eq!(actor.path, path("stuck"));
    assert!(actor.behavior.ends_with("Script"), "{dump}");
    assert_eq!(dump.dispatchers[0].injector, 1, "{dump}");
    assert_eq!(only.fresh, 0, "{dump}");
    assert_eq!((dump.actors, dump.in_turns().count()), (3, 1));
    assert!(!dump.is_closing);
    let of = |actor: ActorRef<Msg>| {
        let mut backlogs = dump.backlogs.iter();
        backlogs.find(|one| one.actor.actor == actor.address())
    };
    let behind_1 = of(behind[1].actor()).unwrap();
    assert_eq!((behind_1.messages, behind_1.is_scheduled), (2, true));
    // The first message's plan was committed: its effect is with the worker until the end of the
    // batch, or on its queue if the machine was slow.
    assert!(of(other).unwrap().messages >= 1, "{dump}");
    let holds = [&only.slot, &only.unpublished_to].map(|actor| actor.as_ref().map(|it| it.actor));
    let is_held = holds.contains(&Some(other.address()));
    if cfg!(target_os = "linux") {
        assert_eq!(usize::from(is_held) + only.ready, 1, "{dump}");
    }
    let due = only.next_timer.unwrap();
    assert!(due <= hour + ms(1) && due > hour / 2, "{dump}");
    let text = dump.to_string();
    for part in ["worker 0: runs ", "actor://mainspring/stuck", "injector 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    end.send(()).unwrap();
    until("it sleeps", || {
        worker(&system.dump(), 0).activity == Activity::Asleep
    });
    let dump = system.dump();
    assert_eq!(worker(&dump, 0).actor, None);
    assert!(dump.backlogs.is_empty(), "{dump}");
    assert!(worker(&dump, 0).parks > 0);
    assert_eq!(log.len(), 3);
}

#[test]
fn a_turn_is_known_by_its_length_and_a_place_that_is_anothers_too() {
    let config = Config::builder().workers(1).watchdog_stuck(ms(1));
    let system = System::with_config(config.build().unwrap()).unwrap();
    let log = Log::new();
    let (stuck, other) = (spawn(&system, &log), spawn(&system, &log));
    let (enter, begun, end) = gate();
    stuck.tell(enter).unwrap();
    begun.recv().unwrap();
    until("the watchdog has seen the turn", || {
        let dump = system.dump();
        worker(&dump, 0).turn_for.is_some_and(|span| span > ms(1))
    });
    // Somebody waits: the place goes to a spare, where the system can look into a worker.
    other.tell(Msg::Say(1)).unwrap();
    if cfg!(target_os = "linux") {
        until("a spare did its work", || log.len() == 1);
        let dump = system.dump();
        let first = worker(&dump, 0);
        assert_eq!(first.activity, Activity::HandedOff, "{dump}");
        let actor = first.actor.as_ref().unwrap();
        assert_eq!(actor.actor, stuck.actor().address());
        until("the spare sleeps in its place", || {
            worker(&system.dump(), 1).activity == Activity::Asleep
        });
        end.send(()).unwrap();
        until("the first is a spare", || {
            worker(&system.dump(), 0).activity == Activity::Spare
        });
    } else {
        end.send(()).unwrap();
    }
}

#[test]
fn a_commit_that_waits_names_whose_room_it_waits_for() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let full = system.prepare(Script, Tape::new(&log)).name("full");
    let full = full.capacity(1).hold().unwrap();
    full.tell(Msg::Say(1)).unwrap();
    let waits = system.prepare(Script, Tape::new(&log)).name("waits");
    let waits = waits.when_full(WhenFull::Wait).start().unwrap();
    let target = full.actor();
    waits
        .tell(does(move || Plan::tell(target, Msg::Say(2))))
        .unwrap();
    system.run_until_idle();
    let inspector = system.inspector();
    let dump = inspector.dump().unwrap();
    assert_eq!(worker(&dump, 0).activity, Activity::Asleep, "{dump}");
    assert_eq!(dump.dispatchers[0].workers.len(), 1);
    let [waiting] = &dump.waiting[..] else {
        panic!("one waits: {dump}");
    };
    assert_eq!(waiting.actor.as_ref().unwrap().path, path("waits"));
    assert_eq!(waiting.target.path, path("full"));
    assert_eq!(waiting.places, 1);
    let of = |name| {
        let path = path(name);
        let found = dump.backlogs.iter().find(|one| one.actor.path == path);
        found.map(|one| (one.messages, one.is_scheduled)).unwrap()
    };
    // In hand, and nobody runs it before there is room.
    assert_eq!(of("waits"), (1, false));
    assert_eq!(of("full").0, 1);
    let text = dump.to_string();
    assert!(text.contains("waits for room: "), "{text}");
    assert!(text.contains("nobody is to run it"), "{text}");

    let full = full.start();
    system.run_until_idle();
    assert_eq!(log.said(), [1, 2]);
    let dump = system.dump();
    assert!(
        dump.waiting.is_empty() && dump.backlogs.is_empty(),
        "{dump}"
    );
    drop((full, waits));
    system.shutdown(ms(1_000));
    assert!(inspector.dump().is_none(), "it keeps nothing alive");
}
