//! The promise: what the metrics say adds up, and is what happened.

#![cfg(not(loom))]

use mainspring::prelude::*;
use mainspring::{Cause, Clock, Counts, Refusal};
use std::time::Duration;

struct Sum(u64);

impl Machine for Sum {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.0 += number;
    }
    fn try_apply(&mut self, number: u64) -> Result<(), Refusal> {
        if number == 99 {
            return Err(Refusal::new("no 99"));
        }
        self.apply(number);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Picky;

impl Behavior for Picky {
    type Machine = Sum;
    type Message = u64;
    fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
        match number {
            0 => Plan::unhandled(),
            7 => panic!("seven"),
            number => Plan::emit(number),
        }
    }
}

fn adds_up(counts: &Counts) -> bool {
    counts.accepted == counts.handled + counts.failed + counts.dead_lettered + counts.queued
}

#[test]
fn every_accepted_message_is_somewhere_also_those_of_the_dead() {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let living = system.spawn(Picky, Sum(0)).unwrap();
    let dying = system.spawn(Picky, Sum(0)).unwrap();
    let held = system.prepare(Picky, Sum(0)).hold().unwrap();
    for number in [1, 0, 99, 2] {
        living.tell(number).unwrap();
    }
    for number in [1, 7, 2, 3] {
        dying.tell(number).unwrap();
    }
    for number in 0..5 {
        held.tell(number).unwrap();
    }
    hand.advance(Duration::from_secs(10));
    let before = system.metrics();
    assert_eq!((before.totals().accepted, before.totals().queued), (13, 13));
    system.run_until_idle();
    let metrics = system.metrics();
    let picky = &metrics.types[0];
    assert!(picky.name.ends_with("Picky"), "{}", picky.name);
    assert_eq!((picky.alive, picky.spawned), (2, 3));
    assert_eq!(metrics.totals(), picky.counts);
    assert!(adds_up(&picky.counts), "{:?}", picky.counts);
    let Counts {
        accepted,
        handled,
        failed,
        dead_lettered,
        queued,
        ..
    } = picky.counts;
    assert_eq!(
        (accepted, handled, failed, dead_lettered, queued),
        (13, 3, 2, 3, 5)
    );
    // Little: 5 in the queue, 8 done in 10 seconds.
    assert_eq!(
        picky.queue_wait,
        Some(Duration::from_secs(10).mul_f64(5.0 / 8.0))
    );
    let dead: Vec<_> = metrics
        .dead_letters
        .iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(
        dead,
        [
            &("stopped", 2),
            &("unhandled", 1),
            &("panicked", 1),
            &("refused", 1)
        ]
    );
    assert_eq!(metrics.workers.len(), 1);
    assert_eq!(
        (metrics.workers[0].messages, metrics.workers[0].panics),
        (3, 1)
    );

    hand.advance(Duration::from_secs(2));
    living.tell(1).unwrap();
    living.tell(1).unwrap();
    system.run_until_idle();
    let step = system.metrics().since(&metrics);
    assert_eq!(step.span, Duration::from_secs(2));
    assert_eq!((step.totals().accepted, step.totals().handled), (2, 2));
    assert_eq!(step.types[0].queue_wait, Some(Duration::from_secs(5)));
    assert!(step.dead_letters.iter().all(|(_, count)| *count == 0));
    drop(held);
    system.run_until_idle();
    assert!(adds_up(&system.metrics().totals()));
    assert_eq!(system.metrics().types[0].alive, 1);
}

#[test]
fn workers_say_what_they_did() {
    let config = Config::builder()
        .workers(2)
        .dispatcher("side", |side| side.workers(1))
        .build()
        .unwrap();
    let system = System::with_config(config).unwrap();
    let side = system
        .prepare(Picky, Sum(0))
        .dispatcher("side")
        .start()
        .unwrap();
    for number in 100..1_100 {
        while side.tell(number).is_err() {
            std::thread::yield_now();
        }
    }
    let end = side.monitor();
    side.stop();
    end.wait();
    let metrics = system.metrics();
    let names: Vec<_> = metrics
        .workers
        .iter()
        .map(|w| (w.dispatcher.as_str(), w.index))
        .collect();
    assert_eq!(names, [("default", 0), ("default", 1), ("side", 0)]);
    let side = &metrics.workers[2];
    assert_eq!(side.messages, 1_000);
    assert!(side.turns > 0 && side.turns <= 1_001, "{}", side.turns);
    assert!((0.0..=1.0).contains(&side.busy_share()));
    assert_eq!(metrics.workers[0].messages + metrics.workers[1].messages, 0);
    assert!(metrics.memory.cells_bytes > 0);
    assert_eq!(metrics.memory.ceiling_bytes, system.memory_ceiling());
}

#[test]
fn each_cause_is_counted_under_its_own_name() {
    let (clock, _) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let one = system.spawn(Picky, Sum(0)).unwrap();
    one.tell(99).unwrap();
    system.run_until_idle();
    assert!(matches!(system.dead_letters()[0].cause, Cause::Refused(_)));
    let names: std::collections::HashSet<_> = system
        .metrics()
        .dead_letters
        .iter()
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(names.len(), system.metrics().dead_letters.len());
    assert!(names.contains("refused"));
}
