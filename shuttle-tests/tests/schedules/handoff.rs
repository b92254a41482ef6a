//! What waits behind a turn that does not end is done by others.

use super::*;
use common::{Log, Msg, act, does, spawn};
use mainspring::sync::mpsc::{Receiver, SyncSender, sync_channel};
use shuttle_tests::explore;
use std::sync::Mutex;

/// A turn that ends when the receiver gets something.
fn until_told(end: Receiver<u64>, log: Log) -> Msg {
    let end = Mutex::new(Some(end));
    does(move || {
        let end = end.lock().unwrap().take().unwrap();
        log.say(end.recv().unwrap());
        Plan::none()
    })
}

/// Tells the sender's end a number.
fn tells(end: SyncSender<u64>, number: u64) -> Msg {
    does(move || {
        end.send(number).unwrap();
        Plan::none()
    })
}

/// One worker, whose turn waits for an actor that only it could run: the seat goes to a spare.
#[test]
fn a_turn_may_wait_for_what_its_own_worker_has_still_to_run() {
    const ROUNDS: u64 = 2;
    static SPARES: Times = Times::new();
    let told = explore(
        "a_turn_may_wait_for_what_its_own_worker_has_still_to_run",
        || {
            let system = system(workers(1).watchdog_stuck(Duration::from_micros(100)));
            let (log, said) = (Log::new(), Log::new());
            let (stuck, other) = (spawn(&system, &log), spawn(&system, &said));
            let to = other.actor();
            for round in 0..ROUNDS {
                let (tell, told) = sync_channel(1);
                let waits = until_told(told, log.clone());
                stuck
                    .tell(act(move |me| {
                        let me = me.me();
                        Plan::tell(me, does(move || Plan::tell(to, Msg::Say(2 * round))))
                            .and(Plan::tell(
                                me,
                                does(move || Plan::tell(to, tells(tell, round))),
                            ))
                            .and(Plan::tell(me, waits))
                            .and(Plan::tell(
                                me,
                                does(move || Plan::tell(to, Msg::Say(2 * round + 1))),
                            ))
                    }))
                    .unwrap();
            }
            until("each turn ends", || log.len() as u64 == ROUNDS);
            until("all is said", || said.len() as u64 == 2 * ROUNDS);
            SPARES.add(u64::from(system.metrics().workers.len() > 1));
            end(system);
            assert_eq!(log.said(), (0..ROUNDS).collect::<Vec<_>>());
            assert_eq!(said.said(), (0..2 * ROUNDS).collect::<Vec<_>>());
        },
    );
    SPARES.reached("a spare takes the seat", told);
}

/// Timers of a worker in a turn that does not end.
#[test]
fn timers_of_a_stuck_worker_fire() {
    explore("timers_of_a_stuck_worker_fire", || {
        let system = system(workers(1).watchdog_stuck(Duration::from_micros(100)));
        let log = Log::new();
        let (stuck, other) = (spawn(&system, &log), spawn(&system, &Log::new()));
        let (tell, told) = sync_channel(1);
        let delay = Duration::from_millis(1);
        other
            .tell(does(move || Plan::after(1, delay, tells(tell, 5))))
            .unwrap();
        stuck.tell(until_told(told, log.clone())).unwrap();
        until("the turn ends", || log.len() == 1);
        end(system);
        assert_eq!(log.said(), [5]);
    });
}
