//! The end of a system, whatever is under way.

use super::*;
use common::{Alive, Log, Msg, act, does, say, spawn};
use mainspring::SendError;
use mainspring::sync::shuttle::threads;
use shuttle_tests::explore;
use std::sync::Arc;

/// A message that goes round for ever, and makes an actor now and then.
fn round(to: ActorRef<Msg>, left: u64, kept: Arc<()>) -> Msg {
    act(move |me| {
        let next = round(me.me(), left.saturating_sub(1), kept.clone());
        let plan = Plan::tell(to, next);
        match left {
            0 => plan,
            _ => {
                let tape = Tape::default().keep(kept.clone());
                plan.and(
                    Plan::<Script>::spawn(Script, tape)
                        .then(move |child| Plan::tell(child, does(Plan::stop))),
                )
            }
        }
    })
}

/// Two actors that never come to rest, children under way, a timer and an ask that are open.
#[test]
fn a_shutdown_leaves_nobody_and_nothing() {
    explore("a_shutdown_leaves_nobody_and_nothing", || {
        let system = system(workers(2));
        let alive = Alive::new();
        let pair = [(); 2].map(|()| {
            let tape = Tape::new(&Log::new()).keep(alive.one());
            system.spawn(Script, tape).unwrap()
        });
        let [a, b] = pair.each_ref().map(|one| one.actor());
        pair[0].tell(round(b, 2, alive.one())).unwrap();
        let kept = alive.one();
        pair[1]
            .tell(does(move || {
                let fires = does(move || {
                    let _kept = &kept;
                    Plan::none()
                });
                Plan::after(1, LONG, fires).and(
                    Plan::<Script>::ask(a, Msg::Keep)
                        .on_ok(Msg::Say)
                        .on_error(|_| Msg::Say(0)),
                )
            }))
            .unwrap();
        let asked = pair[0].ask(Msg::Keep);
        let ended = pair[1].monitor();
        let end = system.shutdown(Duration::from_millis(20));
        assert_eq!(
            (end.actors_left, end.workers_stuck),
            (0, 0),
            "{:?}",
            end.late
        );
        assert!(asked.wait().is_err());
        assert!(ended.wait().exit.is_normal());
        drop(pair);
        assert_eq!(
            alive.count(),
            0,
            "what is left of messages, timers and machines"
        );
    });
}

/// Threads outside spawn and send while the system ends: refused, or done.
#[test]
fn work_from_outside_meets_a_shutdown() {
    static MADE: Times = Times::new();
    static REFUSED: Times = Times::new();
    let told = explore("work_from_outside_meets_a_shutdown", || {
        let alive = Alive::new();
        let system = system(workers(2));
        let first = spawn(&system, &Log::new());
        let outside = {
            let (first, kept) = (system.handle(first.actor()).unwrap(), alive.one());
            thread::spawn(move || {
                for _ in 0..3 {
                    let kept = kept.clone();
                    let told = first.tell(does(move || {
                        let tape = Tape::default().keep(kept.clone());
                        Plan::<Script>::spawn(Script, tape).into()
                    }));
                    match told {
                        Ok(()) => MADE.add(1),
                        Err(SendError::Closed(_)) => REFUSED.add(1),
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        };
        thread::yield_now();
        end(system);
        outside.join().unwrap();
        drop(first);
        assert_eq!(alive.count(), 0);
    });
    MADE.reached("a message in time", told);
    REFUSED.reached("a message too late", told);
}

/// The last of a system is dropped in a turn: nobody waits, and the workers end only when all that
/// was queued is handled and gone, what is made on the way too.
#[test]
fn a_shutdown_inside_an_actor_leaves_nobody_and_nothing() {
    const EACH: u64 = 2;
    explore(
        "a_shutdown_inside_an_actor_leaves_nobody_and_nothing",
        || {
            let alive = Alive::new();
            let system = system(workers(2));
            let log = Log::new();
            let others = [(); 3].map(|()| {
                let tape = Tape::new(&log).keep(alive.one());
                system.spawn(Script, tape).unwrap()
            });
            let tape = Tape::default().keep(alive.one());
            let last = system.spawn(Script, tape).unwrap();
            for other in &others {
                for number in 0..EACH {
                    let kept = alive.one();
                    other
                        .tell(does(move || {
                            let tape = Tape::default().keep(kept.clone());
                            say(number).and(Plan::<Script>::spawn(Script, tape))
                        }))
                        .unwrap();
                }
            }
            let shut = last.actor();
            let handle = system.handle(shut).unwrap();
            drop((others, last));
            handle
                .tell(act(move |_| {
                    let end = system.shutdown(LONG);
                    assert_eq!(end.workers_stuck, 0);
                    Plan::none()
                }))
                .unwrap();
            drop(handle);
            until("the workers end", || threads() == 0);
            assert_eq!(alive.count(), 0);
            assert_eq!(log.len() as u64, 3 * EACH);
        },
    );
}
