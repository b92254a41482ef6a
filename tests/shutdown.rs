//! Shutdown: drains, answers, ends; whatever handlers do.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{ChildSpec, Children, Strategy, Supervisor};
use mainspring::{Shutdown, SpawnError};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn shutdown_drains_what_was_accepted() {
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let log = Log::new();
        let mut accepted = 0;
        for _ in 0..10 {
            let one = spawn(&system, &log);
            for n in 0..100 {
                accepted += usize::from(one.tell(Msg::Say(n)).is_ok());
            }
        }
        assert_eq!(system.shutdown(LONG), Shutdown::default());
        assert_eq!(log.len(), accepted);
    }
}

#[test]
fn a_stepped_system_drains_too() {
    let (system, _) = stepped();
    let log = Log::new();
    let tape = Tape::new(&log).stop(|exit, _| {
        assert_eq!(*exit, Exit::Shutdown);
        say(2)
    });
    let one = system.spawn(Script, tape).unwrap();
    one.tell(Msg::Say(1)).unwrap();
    assert_eq!(system.shutdown(LONG), Shutdown::default());
    assert_eq!(log.said(), [1, 2]);
    assert!(one.tell(Msg::Say(3)).is_err());
    assert_eq!(one.ask(Msg::Ping).wait(), Err(AskError::Stopped));
}

#[test]
fn every_ask_is_answered_by_the_end() {
    for workers in [1, 2] {
        let system = threads(workers);
        let keeper = spawn(&system, &Log::new());
        let asks: Vec<_> = (0..100).map(|_| keeper.ask(Msg::Keep)).collect();
        let pings: Vec<_> = (0..100).map(|_| keeper.ask(Msg::Ping)).collect();
        assert_eq!(system.shutdown(LONG), Shutdown::default());
        for ask in asks {
            assert_eq!(ask.timeout(ms(0)).wait(), Err(AskError::Stopped));
        }
        for ping in pings {
            assert_eq!(ping.timeout(ms(0)).wait(), Ok(7));
        }
    }
}

/// A plan that spawns one more of the same kind, `left` times.
fn generations(log: Log, left: u64) -> Plan<Script> {
    let next = log.clone();
    let child = Tape::new(&log).start(move |_| match left {
        0 => Plan::none(),
        left => generations(next, left - 1),
    });
    say(left).and(Plan::<Script>::spawn(Script, child))
}

#[test]
fn actors_made_during_shutdown_end_with_it() {
    for workers in [0, 1, 2, 4] {
        let (system, log) = match workers {
            0 => (stepped().0, Log::new()),
            workers => (threads(workers), Log::new()),
        };
        // Made by the last plan of the last one: after everybody was told to stop.
        let first = {
            let log = log.clone();
            Tape::new(&log.clone()).stop(move |_, _| generations(log, 50))
        };
        system.spawn(Script, first).unwrap();
        let start = Instant::now();
        assert_eq!(
            system.shutdown(LONG),
            Shutdown::default(),
            "{workers} workers"
        );
        assert!(
            start.elapsed() < LONG / 2,
            "it did not wait for the deadline"
        );
        assert_eq!(log.len(), 51);
    }
}

#[test]
fn an_actor_that_never_runs_dry_is_stopped_at_the_deadline() {
    for workers in [0, 2] {
        let system = match workers {
            0 => stepped().0,
            workers => threads(workers),
        };
        fn again(me: ActorRef<Msg>) -> Plan<Script> {
            Plan::tell(me, act(|me| again(me.me())))
        }
        let one = spawn(&system, &Log::new());
        one.tell(act(|me| again(me.me()))).unwrap();
        let start = Instant::now();
        let result = system.shutdown(ms(100));
        assert_eq!(result, Shutdown::default());
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn a_handler_that_never_returns_is_reported_and_its_thread_left() {
    let system = threads(2);
    let log = Log::new();
    let one = spawn(&system, &log);
    let (entered, has_entered) = mpsc::channel();
    let (gate, wait) = mpsc::channel::<()>();
    one.tell(does(move || {
        entered.send(()).unwrap();
        let _ = wait.recv();
        Plan::none()
    }))
    .unwrap();
    has_entered.recv().unwrap();
    let other = spawn(&system, &log);
    other.tell(Msg::Say(1)).unwrap();
    let start = Instant::now();
    let result = system.shutdown(ms(100));
    assert_eq!((result.workers_stuck, result.actors_left), (1, 1));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(log.said(), [1], "the others were drained");
    drop(gate);
}

#[test]
fn a_system_dropped_in_a_handler_ends_without_deadlock() {
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let alive = Alive::new();
        let log = Log::new();
        for _ in 0..10 {
            let tape = Tape::new(&log).keep(alive.one());
            let one = system.spawn(Script, tape).unwrap();
            one.tell(Msg::Say(1)).unwrap();
        }
        let last = {
            let log = log.clone();
            Tape::new(&log.clone())
                .keep(alive.one())
                .stop(move |_, _| generations(log, 5))
        };
        system.spawn(Script, last).unwrap();
        let one = system
            .spawn(Script, Tape::new(&log).keep(alive.one()))
            .unwrap();
        let asked = one.ask(Msg::Keep);
        let handle = one.clone();
        handle
            .tell(does(move || {
                drop(system);
                Plan::none()
            }))
            .unwrap();
        until("every actor ends", || alive.count() == 0);
        assert_eq!(asked.wait(), Err(AskError::Stopped));
        until("all was drained", || log.len() == 16);
        assert!(handle.tell(Msg::Say(1)).is_err());
    }
}

#[test]
fn a_system_may_be_dropped_by_another_thread() {
    for workers in [1, 2] {
        let system = threads(workers);
        let log = Log::new();
        let one = spawn(&system, &log);
        one.tell(Msg::Say(1)).unwrap();
        std::thread::spawn(move || drop(system)).join().unwrap();
        assert_eq!(log.said(), [1]);
    }
}

#[test]
fn nobody_is_made_in_a_system_that_has_ended() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    let other = std::thread::scope(|_| one.clone());
    drop(system);
    assert!(!other.is_alive());
    assert!(other.ask(Msg::Ping).wait().is_err());
    let _ = SpawnError::Closed;
}

#[test]
fn waiting_commits_and_circles_end_with_the_system() {
    for workers in [0, 1, 2, 4] {
        let builder = Config::builder().mailbox_capacity(1);
        let system = match workers {
            0 => stepped_with(builder).0,
            workers => System::with_config(builder.workers(workers).build().unwrap()).unwrap(),
        };
        let actors: Vec<_> = (0..10).map(|_| spawn(&system, &Log::new())).collect();
        for (i, actor) in actors.iter().enumerate() {
            let next = actors[(i + 1) % 10].actor();
            let _ = actor.tell(does(move || {
                (0..4).fold(Plan::none(), |plan, n| {
                    plan.and(Plan::tell(next, Msg::Say(n)))
                })
            }));
        }
        assert_eq!(system.shutdown(LONG), Shutdown::default());
    }
}

#[test]
fn a_system_passes_between_threads_and_is_shared_by_them() {
    fn passes<T: Send + Sync>(_: &T) {}
    let (system, _) = stepped();
    passes(&system);
    let log = Log::new();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (system, log) = (&system, &log);
            scope.spawn(move || {
                spawn(system, log).tell(Msg::Say(n)).unwrap();
                system.run_until_idle();
            });
        }
    });
    assert_eq!(log.len(), 4);
}

/// Says its number when it stops.
fn last_word(log: &Log, number: u64) -> Tape {
    Tape::new(log).stop(move |_, _| say(number))
}

#[test]
fn a_shutdown_goes_by_the_tree_of_supervision() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let child = |number: u64| {
        let log = log.clone();
        let id = format!("child {number}");
        let make = move |_| (Script, last_word(&log, number));
        ChildSpec::new(&id, make).named(&id)
    };
    let inner = {
        let (three, four) = (child(3), child(4));
        let make = move |_| {
            let children = [three.clone(), four.clone()];
            (Supervisor, Children::new(Strategy::OneForOne, children))
        };
        ChildSpec::new("inner", make)
    };
    let children = [child(1), inner, child(5)];
    let _top = system
        .spawn(Supervisor, Children::new(Strategy::OneForAll, children))
        .unwrap();
    let _other = system.spawn(Script, last_word(&log, 9)).unwrap();
    system.run_until_idle();
    // What a child was sent before is handled first.
    let three = system.whereis::<Msg>("child 3").unwrap();
    three.tell(Msg::Say(30)).unwrap();
    let outcome = system.shutdown(LONG);
    assert!(outcome.is_clean(), "{outcome}");
    assert_eq!(
        log.said(),
        [30, 5, 4, 3, 1, 9],
        "reverse, the innermost first"
    );
}

#[test]
fn a_shutdown_tells_who_was_late_and_with_what() {
    let (system, _hand) = stepped();
    let (log, gone) = (Log::new(), spawn(&system, &Log::new()));
    gone.kill();
    system.run_until_idle();
    // Held, it never starts: nothing of it is done by the deadline.
    let busy = system.prepare(Script, Tape::new(&log)).hold().unwrap();
    busy.tell(Msg::Say(1)).unwrap();
    busy.tell(Msg::Say(2)).unwrap();
    let address = busy.actor().address();
    let outcome = system.shutdown(ms(20));
    assert!(!outcome.is_clean());
    assert_eq!(outcome.actors_left, 1);
    assert_eq!(outcome.messages_left(), 2);
    let [late] = &outcome.late[..] else {
        panic!("one was late: {outcome}");
    };
    assert_eq!((late.actor, late.messages), (address, 2));
    assert!(late.behavior.ends_with("Script"), "{}", late.behavior);
    assert!(outcome.to_string().contains(&address.to_string()));
}

/// Says when it is dropped.
struct Bomb(Log, u64);
impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

struct Armed(#[expect(dead_code, reason = "is dropped")] Bomb);
impl Machine for Armed {
    type Event = Bomb;
    fn apply(&mut self, _: Bomb) {}
}

#[test]
fn an_actor_held_beyond_its_systems_end_is_freed_with_its_messages() {
    for (workers, own, starts) in [
        (0, false, false),
        (0, false, true),
        (1, false, false),
        (2, false, true),
        (2, true, false),
        (2, true, true),
    ] {
        let system = match workers {
            0 => stepped().0,
            workers => threads(workers),
        };
        let log = Log::new();
        let held = system.prepare(mainspring::Events::new(), Armed(Bomb(log.clone(), 1)));
        let held = if own { held.own_thread() } else { held };
        let held = held.hold().unwrap();
        held.tell(Bomb(log.clone(), 2)).unwrap();
        held.tell(Bomb(log.clone(), 3)).unwrap();
        let down = held.monitor();
        let outcome = system.shutdown(ms(1));
        assert_eq!((outcome.actors_left, outcome.messages_left()), (1, 2));
        assert_eq!(log.len(), 0, "it is held still");
        let handle = (*held).clone();
        if starts {
            drop(held.start());
        } else {
            drop(held);
        }
        let mut dropped = log.said();
        dropped.sort_unstable();
        assert_eq!(dropped, [1, 2, 3], "{workers} workers, started: {starts}");
        assert_eq!(down.wait().exit, Exit::Killed);
        assert!(handle.tell(Bomb(log.clone(), 4)).is_err());
        assert_eq!(log.len(), 4, "it came back and was dropped here");
    }
}

#[test]
fn held_actors_that_are_dropped_while_the_system_ends_are_all_freed() {
    for workers in [0, 1, 2] {
        for round in 0..20 {
            let system = match workers {
                0 => stepped().0,
                workers => threads(workers),
            };
            let log = Log::new();
            let held: Vec<_> = (0..100)
                .map(|n| {
                    let armed = Armed(Bomb(log.clone(), n));
                    system
                        .prepare(mainspring::Events::new(), armed)
                        .hold()
                        .unwrap()
                })
                .collect();
            let (begin, began) = mpsc::channel();
            let dropper = std::thread::spawn(move || {
                for (n, one) in held.into_iter().enumerate() {
                    if n == round * 4 {
                        begin.send(()).unwrap();
                    }
                    drop(one);
                }
            });
            began.recv().unwrap();
            system.shutdown(ms(0));
            dropper.join().unwrap();
            let mut dropped = log.said();
            dropped.sort_unstable();
            assert_eq!(dropped, (0..100).collect::<Vec<_>>(), "{workers} workers");
        }
    }
}
