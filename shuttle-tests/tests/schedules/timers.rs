//! Timers: never early, and never after they were cancelled.

use super::*;
use common::{Alive, Log, Msg, act, does, spawn};
use shuttle_tests::explore;
use std::sync::{Arc, Mutex};

const MS: Duration = Duration::from_millis(1);

/// Timers of actors on both workers' wheels.
#[test]
fn each_timer_fires_once_and_not_early() {
    explore("each_timer_fires_once_and_not_early", || {
        let system = system(workers(2));
        let lates = Arc::new(Mutex::new(Vec::new()));
        for delay in [0, 1, 3] {
            let (actor, lates) = (spawn(&system, &Log::new()), lates.clone());
            actor
                .tell(does(move || {
                    let begun = Instant::now();
                    let fires = does(move || {
                        let waited = begun.elapsed(); // before the lock: it is a step
                        lates.lock().unwrap().push((delay, waited));
                        Plan::none()
                    });
                    Plan::after(1, delay * MS, fires)
                }))
                .unwrap();
        }
        until("all have fired", || lates.lock().unwrap().len() == 3);
        end(system);
        let lates = lates.lock().unwrap();
        assert_eq!(lates.len(), 3);
        for &(delay, waited) in &*lates {
            // The turn's own clock was read before the handler's.
            assert!(
                waited + 3 * MS >= delay * MS,
                "{delay} ms: after {waited:?}"
            );
        }
    });
}

/// The cancel comes about when the timer does: it is handled before, or never.
#[test]
fn a_timer_is_not_handled_after_its_cancel() {
    static FIRED: Times = Times::new();
    static CANCELED: Times = Times::new();
    let told = explore("a_timer_is_not_handled_after_its_cancel", || {
        let system = system(workers(2));
        let (log, alive) = (Log::new(), Alive::new());
        let actors = [(); 3].map(|()| spawn(&system, &log));
        for actor in &actors {
            let kept = alive.one();
            actor
                .tell(does(move || {
                    let fires = act(move |_| {
                        let _kept = &kept;
                        common::say(1)
                    });
                    Plan::after(1, MS, fires)
                }))
                .unwrap();
        }
        thread::sleep(2 * MS);
        for actor in &actors {
            // Whoever is canceled says 2, and no 1 after it.
            actor
                .tell(does(|| Plan::cancel(1).and(common::say(2))))
                .unwrap();
        }
        until("all are canceled", || {
            log.said().iter().filter(|n| **n == 2).count() == 3
        });
        let fired = log.said().iter().filter(|n| **n == 1).count() as u64;
        thread::sleep(5 * MS);
        assert_eq!(log.said().iter().filter(|n| **n == 1).count() as u64, fired);
        until("no timer is kept", || alive.count() == 0);
        FIRED.add(fired);
        CANCELED.add(3 - fired);
        end(system);
    });
    FIRED.reached("a timer before its cancel", told);
    CANCELED.reached("a cancel before its timer", told);
}

/// Ticks until they are canceled, and none after the answer to it.
#[test]
fn ticks_come_until_they_are_canceled() {
    explore("ticks_come_until_they_are_canceled", || {
        let system = system(workers(2));
        let log = Log::new();
        let one = spawn(&system, &log);
        one.tell(does(|| Plan::every(1, MS, Msg::Say(1)))).unwrap();
        until("three ticks", || log.len() >= 3);
        let cancels = |reply| does(move || Plan::cancel(1).and(Plan::reply(reply, 0_u64)));
        assert_eq!(one.ask(cancels).wait(), Ok(0));
        let ticks = log.len();
        thread::sleep(5 * MS);
        assert_eq!(log.len(), ticks);
        end(system);
    });
}

/// The wheel is one worker's, the cancel comes on whichever worker runs the actor then.
#[test]
fn a_timer_canceled_on_another_worker_is_let_go() {
    explore("a_timer_canceled_on_another_worker_is_let_go", || {
        let system = system(workers(2));
        let alive = Alive::new();
        let actors = [(); 2].map(|()| spawn(&system, &Log::new()));
        for actor in &actors {
            let kept = alive.one();
            actor
                .tell(does(move || {
                    let fires = act(move |_| {
                        let _kept = &kept;
                        Plan::none()
                    });
                    Plan::after(1, LONG, fires)
                }))
                .unwrap();
            assert_eq!(actor.ask(Msg::Ping).wait(), Ok(7));
        }
        for actor in &actors {
            actor.tell(does(|| Plan::cancel(1))).unwrap();
        }
        until("no timer is kept", || alive.count() == 0);
        end(system);
    });
}
