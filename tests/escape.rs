//! The escape hatch: after the commit, at most once, counted, and only with the right to it.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::{Cause, Escape};

fn escapes(system: &System) -> u64 {
    let metrics = system.metrics();
    metrics.workers.iter().map(|worker| worker.escapes).sum()
}

fn escape(right: Escape, log: &Log, number: u64) -> Plan<Script> {
    let log = log.clone();
    Plan::escape(right, move || log.say(number))
}

#[test]
fn it_is_called_after_all_the_rest_is_committed() {
    let (system, _) = stepped();
    let system = std::sync::Arc::new(system);
    let (log, seen) = (Log::new(), Log::new());
    let actor = spawn(&system, &log);
    let target = system.prepare(Script, Tape::default()).hold().unwrap();
    let (to, right) = (target.actor(), system.escape_hatch());
    let (from_outside, said, looked) = (
        std::sync::Arc::downgrade(&system),
        log.clone(),
        seen.clone(),
    );
    actor
        .tell(does(move || {
            let look = Plan::escape(right, move || {
                let system = from_outside.upgrade().unwrap();
                looked.say(system.counts(to).unwrap().queued);
                looked.say(said.len() as u64);
            });
            look.and(Plan::tell(to, Msg::Say(1))).and(say(1))
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!(seen.said(), [1, 1], "the message and the event are there");
    assert_eq!(escapes(&system), 1);
}

#[test]
fn a_turn_that_fails_calls_nothing_and_one_that_waits_calls_once() {
    let (system, _) = stepped();
    let log = Log::new();
    let actor = spawn(&system, &Log::new());
    let right = system.escape_hatch();
    let escaped = log.clone();
    let refused = does(move || escape(right, &escaped, 1).and(Plan::emit(Event::Refuse)));
    actor.tell(refused).unwrap();
    system.run_until_idle();
    assert!(log.said().is_empty());
    let target = system
        .prepare(Script, Tape::default())
        .capacity(1)
        .hold()
        .unwrap();
    let to = target.actor();
    target.tell(Msg::Say(0)).unwrap();
    let escaped = log.clone();
    let waits = does(move || escape(right, &escaped, 2).and(Plan::tell(to, Msg::Say(1))));
    actor.tell(waits).unwrap();
    system.run_until_idle();
    assert!(log.said().is_empty(), "there is no room for the message");
    let _target = target.start();
    system.run_until_idle();
    assert_eq!(log.said(), [2]);
    assert_eq!(escapes(&system), 1);
}

#[test]
fn several_are_called_in_order_whatever_one_of_them_does() {
    quiet_panics();
    let (system, _) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let actor = spawn(&system, &own);
    let right = system.escape_hatch();
    let escaped = log.clone();
    actor
        .tell(does(move || {
            let panics = Plan::escape(right, || panic!("on purpose"));
            let plan = escape(right, &escaped, 1).and(panics);
            plan.and(escape(right, &escaped, 2))
                .and(say(3))
                .and(Plan::stop())
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), own.said()), (vec![1, 2], vec![3]));
    assert_eq!(escapes(&system), 3);
    let panics: u64 = system
        .metrics()
        .workers
        .iter()
        .map(|worker| worker.panics)
        .sum();
    assert_eq!(panics, 1);
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn the_right_of_another_system_is_none() {
    let (system, _) = stepped();
    let (other, _) = stepped();
    let log = Log::new();
    let actor = spawn(&system, &Log::new());
    let (right, escaped) = (other.escape_hatch(), log.clone());
    actor
        .tell(does(move || escape(right, &escaped, 1)))
        .unwrap();
    system.run_until_idle();
    assert!(log.said().is_empty());
    assert_eq!(system.dead_letters()[0].cause, Cause::Foreign);
    assert_eq!(escapes(&system), 0);
}
