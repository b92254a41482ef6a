//! Mailboxes whose newest message takes the place of the oldest: bounded whatever the actor does,
//! in order, and with nothing lost from the counts.

mod common;
use common::*;
use mainspring::config::Overflow;
use mainspring::prelude::*;
use mainspring::{AskError, Cause, SendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;

fn dropping(system: &System, log: &Log, capacity: usize) -> Actor<Script> {
    let prepared = system.prepare(Script, Tape::new(log));
    let prepared = prepared.capacity(capacity).overflow(Overflow::DropOldest);
    prepared.start().unwrap()
}

#[test]
fn no_more_than_the_capacity_waits_while_the_actor_is_stuck_in_a_turn() {
    let system = threads(2);
    let log = Log::new();
    let stuck = dropping(&system, &log, 8);
    let (begun, wait_begun) = channel();
    let (go_on, wait_go_on) = channel::<()>();
    let act = does(move || {
        begun.send(()).unwrap();
        wait_go_on.recv().unwrap();
        Plan::none()
    });
    stuck.tell(act).unwrap();
    wait_begun.recv().unwrap();
    for n in 0..10_000 {
        stuck.tell(Msg::Say(n)).unwrap();
        let counts = system.counts(stuck.actor()).unwrap();
        let beyond = (n + 1).saturating_sub(8);
        assert_eq!(
            (counts.queued, counts.dead_lettered),
            (n + 2 - beyond, beyond)
        );
        assert_eq!(system.dead_letter_count(), beyond);
    }
    go_on.send(()).unwrap();
    until("it is at rest", || {
        system.counts(stuck.actor()).unwrap().queued == 0
    });
    assert_eq!(log.said(), (9_992..10_000).collect::<Vec<_>>());
    let counts = system.counts(stuck.actor()).unwrap();
    assert_eq!((counts.accepted, counts.handled), (10_001, 9));
    conserves(counts);
    let letters = system.dead_letters();
    assert!(!letters.is_empty());
    for letter in letters {
        assert_eq!(letter.cause, Cause::DroppedOldest);
        assert_eq!(letter.actor, stuck.actor().address());
    }
}

/// Counts its end.
struct Counted(Arc<AtomicU64>, u64);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn many_senders_lose_only_what_was_displaced_and_each_ones_messages_stay_in_order() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 2_000;
    let system = threads(2);
    let log = Log::new();
    let ended = Arc::new(AtomicU64::new(0));
    let target = dropping(&system, &log, 16);
    let to = target.actor();
    let message = |number, ended: &Arc<AtomicU64>| {
        let counted = Counted(ended.clone(), number);
        does(move || say(counted.1))
    };
    std::thread::scope(|scope| {
        for sender in 0..SENDERS / 2 {
            let (target, ended) = (&target, &ended);
            scope.spawn(move || {
                for n in 0..EACH {
                    target.tell(message(sender * EACH + n, ended)).unwrap();
                }
            });
        }
        for sender in SENDERS / 2..SENDERS {
            let actor = spawn(&system, &Log::new());
            for turn in 0..EACH / 10 {
                let ended = ended.clone();
                let act = does(move || {
                    (0..10).fold(Plan::none(), |plan, n| {
                        let number = sender * EACH + turn * 10 + n;
                        plan.and(Plan::tell(to, message(number, &ended)))
                    })
                });
                actor.tell_wait(act, ms(60_000)).unwrap();
            }
        }
    });
    until("all are through", || {
        let counts = system.counts(to).unwrap();
        counts.queued == 0 && counts.accepted == SENDERS * EACH
    });
    let counts = system.counts(to).unwrap();
    conserves(counts);
    let said = log.said();
    assert_eq!(said.len() as u64, counts.handled);
    assert_eq!(system.dead_letter_count(), counts.dead_lettered);
    until("each message ended", || {
        ended.load(Relaxed) == SENDERS * EACH
    });
    for sender in 0..SENDERS {
        let own: Vec<_> = said.iter().filter(|n| **n / EACH == sender).collect();
        assert!(own.is_sorted_by(|a, b| a < b), "sender {sender}");
    }
}

#[test]
fn an_actor_that_floods_itself_keeps_the_last() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = dropping(&system, &log, 4);
    let to = one.actor();
    let flood = does(move || {
        (0..100).fold(Plan::none(), |plan, n| {
            plan.and(Plan::tell(to, Msg::Say(n)))
        })
    });
    one.tell(flood).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [96, 97, 98, 99]);
    let counts = system.counts(to).unwrap();
    assert_eq!((counts.handled, counts.dead_lettered), (5, 96));
    conserves(counts);
}

#[test]
fn a_displaced_ask_is_refused() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = dropping(&system, &log, 2);
    let displaced = one.ask(Msg::Ping);
    one.tell(Msg::Say(1)).unwrap();
    one.tell(Msg::Say(2)).unwrap();
    assert!(matches!(displaced.wait(), Err(AskError::Refused)));
    system.run_until_idle();
    assert_eq!(log.said(), [1, 2]);
}

/// Its drop panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a displaced message goes off");
    }
}

#[test]
fn a_displaced_message_whose_drop_panics_does_not_reach_the_sender() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = dropping(&system, &log, 1);
    let bomb = Bomb;
    one.tell(does(move || {
        std::mem::forget(bomb);
        Plan::none()
    }))
    .unwrap();
    one.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1]);
    assert_eq!(system.dead_letter_count(), 1);
}

#[test]
fn what_waits_is_handled_before_a_stop_and_buried_by_a_kill() {
    let (system, _) = stepped();
    let log = Log::new();
    let (stops, dies) = (dropping(&system, &log, 2), dropping(&system, &log, 2));
    for n in 0..3 {
        stops.tell(Msg::Say(n)).unwrap();
        dies.tell(Msg::Say(10 + n)).unwrap();
    }
    assert_eq!(system.dead_letter_count(), 2);
    assert!(stops.stop());
    assert!(matches!(
        stops.tell(Msg::Say(7)),
        Err(SendError::Closed(Msg::Say(7)))
    ));
    assert!(dies.kill());
    system.run_until_idle();
    assert_eq!(log.take(), [1, 2]);
    assert_eq!(system.dead_letter_count(), 4);
    assert!(!stops.is_alive() && !dies.is_alive());
    // Their cells serve others, with and without a ring.
    let (usual, newest) = (spawn(&system, &log), dropping(&system, &log, 1));
    for n in 0..3 {
        usual.tell(Msg::Say(n)).unwrap();
        newest.tell(Msg::Say(10 + n)).unwrap();
    }
    system.run_until_idle();
    let mut said = log.said();
    said.sort_unstable();
    assert_eq!(said, [0, 1, 2, 12]);
    let counts = system.counts(newest.actor()).unwrap();
    assert_eq!((counts.accepted, counts.dead_lettered), (3, 2));
    conserves(counts);
}

#[test]
fn a_timer_that_takes_no_place_is_never_displaced() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = dropping(&system, &log, 1);
    one.tell(does(|| Plan::after("late", ms(5), Msg::Say(5))))
        .unwrap();
    system.run_until_idle();
    hand.advance(ms(5));
    for n in 10..20 {
        one.tell(Msg::Say(n)).unwrap();
    }
    system.run_until_idle();
    let mut said = log.said();
    said.sort_unstable();
    assert_eq!(said, [5, 19]);
}
