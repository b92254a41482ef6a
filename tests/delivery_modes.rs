//! A delivery is tried again as often as its step says, goes by its target's breaker, and ends once.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::Backoff;
use mainspring::{
    Breaker, BreakerChange, BreakerState, Cause, FailureRate, Undeliverable, Undelivered,
};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// 10 ms, doubled up to 40 ms.
const BACKOFF: Backoff = Backoff {
    first: ms(10),
    max: ms(40),
    jitter: false,
    ..Backoff::NONE
};

/// What is said of a delivery that was given up: 1000 and its attempts.
fn lost(undelivered: Undelivered) -> Msg {
    Msg::Say(1_000 + u64::from(undelivered.attempts))
}

/// A target with one place, taken, that does not run yet.
fn full(system: &System, log: &Log) -> mainspring::Prepared<Script> {
    let held = system
        .prepare(Script, Tape::new(log))
        .capacity(1)
        .hold()
        .unwrap();
    held.tell(Msg::Say(0)).unwrap();
    held
}

fn undelivered(system: &System) -> Vec<Undelivered> {
    let causes = system.dead_letters().into_iter().map(|letter| letter.cause);
    causes
        .filter_map(|cause| match cause {
            Cause::Undelivered(undelivered) => Some(undelivered),
            _ => None,
        })
        .collect()
}

/// A delivery that is tried four times.
fn seven(to: ActorRef<Msg>) -> Plan<Script> {
    Plan::deliver(to, Msg::Say(7))
        .retry(3, BACKOFF)
        .on_failed(lost)
        .into()
}

/// Lets a stepped system come to rest at each of the next `steps` milliseconds.
fn pass(system: &System, hand: &mainspring::timer::ManualClock, steps: u64) {
    system.run_until_idle();
    for _ in 0..steps {
        hand.advance(ms(1));
        system.run_until_idle();
    }
}

#[test]
fn a_refused_delivery_is_tried_again_and_arrives_once() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = full(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    sender.tell(does(move || say(1).and(seven(to)))).unwrap();
    sender.tell(Msg::Say(2)).unwrap();
    pass(&system, &hand, 5);
    assert_eq!(own.said(), [1, 2], "the sender waits for nothing");
    let target = target.start();
    pass(&system, &hand, 4);
    assert_eq!(log.said(), [0], "the backoff is not over");
    pass(&system, &hand, 10);
    assert_eq!(log.said(), [0, 7]);
    pass(&system, &hand, 200);
    assert_eq!(log.said(), [0, 7]);
    assert_eq!(own.said(), [1, 2]);
    assert_eq!(system.dead_letter_count(), 0);
    conserves(system.counts(target.actor()).unwrap());
    conserves(system.counts(sender.actor()).unwrap());
}

#[test]
fn the_last_refusal_is_a_dead_letter_and_a_message_after_all_backoffs() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = full(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    sender.tell(does(move || seven(to))).unwrap();
    // 10, 20 and 40 ms, each within a tick.
    pass(&system, &hand, 69);
    assert_eq!(system.dead_letter_count(), 0);
    pass(&system, &hand, 5);
    assert_eq!(own.said(), [1_004]);
    let [last] = undelivered(&system)[..] else {
        panic!("{:?}", system.dead_letters());
    };
    assert_eq!((last.to, last.attempts), (to.address(), 4));
    assert_eq!(last.why, Undeliverable::Full);
    let text = "given up after 4 attempts: the mailbox of the target is full";
    assert_eq!(last.to_string(), text);
}

#[test]
fn a_target_that_has_ended_is_not_tried_again() {
    let (system, _hand) = stepped();
    let own = Log::new();
    let target = spawn(&system, &Log::new());
    let to = target.actor();
    let sender = spawn(&system, &own);
    target.stop();
    system.run_until_idle();
    sender.tell(does(move || seven(to))).unwrap();
    system.run_until_idle();
    assert_eq!(own.said(), [1_001]);
    assert_eq!(undelivered(&system)[0].why, Undeliverable::Stopped);
}

#[test]
fn a_plan_that_fails_delivers_nothing_and_loses_nothing_of_it() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = spawn(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    sender
        .tell(does(move || Plan::emit(Event::Refuse).and(seven(to))))
        .unwrap();
    pass(&system, &hand, 100);
    assert!(log.said().is_empty() && own.said().is_empty());
    assert!(undelivered(&system).is_empty());
}

#[test]
fn what_waits_ends_with_its_sender_and_is_a_dead_letter() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = full(&system, &log);
    let to = target.actor();
    let alive = Alive::new();
    let one = alive.one();
    let sender = spawn(&system, &own);
    sender
        .tell(does(move || {
            let message = does(move || {
                drop(one);
                say(7)
            });
            Plan::deliver(to, message)
                .retry(3, BACKOFF)
                .on_failed(lost)
                .into()
        }))
        .unwrap();
    pass(&system, &hand, 1);
    assert_eq!(alive.count(), 1);
    sender.stop();
    pass(&system, &hand, 1);
    assert_eq!(alive.count(), 0);
    assert_eq!(undelivered(&system)[0].why, Undeliverable::SenderEnded);
    let _target = target.start();
    pass(&system, &hand, 100);
    assert_eq!(log.said(), [0]);
    assert_eq!(undelivered(&system).len(), 1);
}

/// The correlations of what came.
type Seen = Arc<Mutex<Vec<Option<(mainspring::Address, u64)>>>>;

/// A delivery whose attempts are answered from number `answer_from` on.
fn acknowledged(to: ActorRef<Msg>, seen: &Seen, answer_from: usize) -> Plan<Script> {
    let seen = seen.clone();
    let delivery = Plan::deliver_acknowledged(to, move |reply: Reply<()>| {
        let seen = seen.clone();
        act(move |_| {
            let mut seen = seen.lock().unwrap();
            seen.push(reply.correlation());
            let number = seen.len();
            drop(seen);
            if number >= answer_from {
                return say(number as u64).and(Plan::reply(reply, ()));
            }
            Plan::emit(Event::Keep(Box::new(reply)))
        })
    });
    delivery
        .acknowledged_within(ms(5))
        .retry(3, BACKOFF)
        .on_failed(lost)
        .into()
}

#[test]
fn a_missing_acknowledgement_is_a_failed_attempt_and_the_correlation_stays() {
    let (system, hand) = stepped();
    let (log, own, seen) = (Log::new(), Log::new(), Seen::default());
    let target = spawn(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    let seen_too = seen.clone();
    sender
        .tell(does(move || acknowledged(to, &seen_too, 3)))
        .unwrap();
    pass(&system, &hand, 300);
    assert_eq!(
        log.said(),
        [3],
        "the third attempt is answered, no fourth comes"
    );
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].is_some() && seen.iter().all(|one| *one == seen[0]));
    assert_eq!(seen[0].unwrap().0, sender.actor().address());
    assert!(own.said().is_empty());
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn a_late_acknowledgement_ends_the_delivery_between_two_attempts() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = spawn(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    let kept: Arc<Mutex<Vec<Deferred<()>>>> = Arc::default();
    let keep = kept.clone();
    sender
        .tell(does(move || {
            let delivery = Plan::deliver_acknowledged(to, move |reply: Reply<()>| {
                let keep = keep.clone();
                act(move |_| {
                    keep.lock().unwrap().push(reply.defer());
                    Plan::none()
                })
            });
            delivery
                .acknowledged_within(ms(5))
                .retry(3, BACKOFF)
                .on_failed(lost)
                .into()
        }))
        .unwrap();
    pass(&system, &hand, 8); // the time of the first attempt is over, the backoff is not
    let first = kept.lock().unwrap()[0].clone();
    target
        .tell(does(move || Plan::reply_deferred(&first, ())))
        .unwrap();
    pass(&system, &hand, 300);
    assert_eq!(kept.lock().unwrap().len(), 1, "no second attempt");
    assert!(own.said().is_empty());
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn no_acknowledgement_at_all_is_a_dead_letter_with_the_reason() {
    let (system, hand) = stepped();
    let (log, own, seen) = (Log::new(), Log::new(), Seen::default());
    let target = spawn(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    let seen_too = seen.clone();
    sender
        .tell(does(move || acknowledged(to, &seen_too, usize::MAX)))
        .unwrap();
    pass(&system, &hand, 300);
    assert_eq!(seen.lock().unwrap().len(), 4);
    assert_eq!(own.said(), [1_004]);
    let why = undelivered(&system)[0].why;
    let timeout = matches!(
        why,
        Undeliverable::NotAcknowledged(AskError::Timeout { waited }) if waited >= ms(5)
    );
    assert!(timeout, "{why:?}");
}

const BREAKER: Breaker = Breaker {
    failures: 2,
    reset: ms(50),
    successes: 1,
    rate: None,
};

/// What is said of a breaker's change.
fn changed(change: BreakerChange) -> Msg {
    Msg::Say(match change.to {
        BreakerState::Closed => 100,
        BreakerState::Open => 101,
        BreakerState::HalfOpen => 102,
    })
}

fn guarded(to: ActorRef<Msg>, number: u64) -> Msg {
    does(move || {
        let delivery = Plan::deliver(to, Msg::Say(number));
        delivery
            .breaker(BREAKER)
            .on_failed(lost)
            .on_breaker(changed)
            .into()
    })
}

#[test]
fn a_breaker_opens_tries_and_closes_and_says_so() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = full(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    assert_eq!(system.breaker(to), BreakerState::Closed);
    for number in 1..=3 {
        sender.tell(guarded(to, number)).unwrap();
        system.run_until_idle();
    }
    // The second failure opens it; the third send does not reach the target.
    assert_eq!(own.take(), [1_001, 101, 1_001, 1_001]);
    assert_eq!(system.breaker(to), BreakerState::Open);
    assert_eq!(undelivered(&system)[2].why, Undeliverable::BreakerOpen);
    pass(&system, &hand, 51);
    assert_eq!(system.breaker(to), BreakerState::HalfOpen);
    sender.tell(guarded(to, 4)).unwrap();
    system.run_until_idle();
    assert_eq!(own.take(), [102, 101, 1_001], "the trial failed");
    assert_eq!(system.breaker(to), BreakerState::Open);
    let _target = target.start();
    pass(&system, &hand, 51);
    sender.tell(guarded(to, 5)).unwrap();
    system.run_until_idle();
    assert_eq!(own.take(), [102, 100]);
    assert_eq!(system.breaker(to), BreakerState::Closed);
    sender.tell(guarded(to, 6)).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [0, 5, 6]);
    assert!(own.said().is_empty());
    assert_eq!(system.metrics().breakers_opened, 2);
}

#[test]
fn a_breakers_changes_are_events_of_their_type() {
    let (system, hand) = stepped();
    let (log, own, heard) = (Log::new(), Log::new(), Log::new());
    let mut changes = system.events::<BreakerChange>(9);
    let listener = spawn(&system, &heard);
    listener
        .tell(does(|| {
            Plan::subscribe_all(|_, change: BreakerChange| changed(change))
        }))
        .unwrap();
    let target = full(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    // No `on_breaker`: the sender itself does not listen.
    let guarded = |number| {
        does(move || {
            let delivery = Plan::deliver(to, Msg::Say(number)).breaker(BREAKER);
            delivery.into()
        })
    };
    for number in 1..=3 {
        sender.tell(guarded(number)).unwrap();
        system.run_until_idle();
    }
    assert_eq!(heard.take(), [101]);
    let _target = target.start();
    pass(&system, &hand, 51);
    assert!(
        heard.said().is_empty(),
        "half-open is what the next send finds"
    );
    sender.tell(guarded(4)).unwrap();
    system.run_until_idle();
    assert_eq!(heard.take(), [102, 100]);
    use BreakerState::{Closed, HalfOpen, Open};
    let all: Vec<_> = std::iter::from_fn(|| changes.try_next())
        .map(|(whose, change)| {
            assert_eq!((whose, change.target), (to.address(), to.address()));
            (change.from, change.to)
        })
        .collect();
    assert_eq!(all, [(Closed, Open), (Open, HalfOpen), (HalfOpen, Closed)]);
    assert!(own.said().is_empty());
}

#[test]
fn a_breaker_opens_by_the_rate_of_failures_in_its_window() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = system.prepare(Script, Tape::new(&log)).capacity(4);
    let target = target.hold().unwrap();
    let to = target.actor();
    let sender = spawn(&system, &own);
    let breaker = Breaker {
        failures: u32::MAX,
        rate: Some(FailureRate {
            percent: 50,
            least: 6,
            within: ms(80),
        }),
        ..BREAKER
    };
    let send = |count: u64| {
        for number in 0..count {
            let guarded = does(move || {
                let delivery = Plan::deliver(to, Msg::Say(number)).breaker(breaker);
                delivery.into()
            });
            sender.tell(guarded).unwrap();
        }
        system.run_until_idle();
    };
    send(4 + 3);
    assert_eq!(system.breaker(to), BreakerState::Closed, "three of seven");
    send(1);
    assert_eq!(system.breaker(to), BreakerState::Open, "four of eight");
    // It closes with an empty window, whose old failures do not count.
    let target = target.start();
    system.run_until_idle();
    pass(&system, &hand, 51);
    send(1);
    assert_eq!(system.breaker(to), BreakerState::Closed);
    assert_eq!(log.said().len(), 5);
    target.kill();
    system.run_until_idle();
    send(5);
    assert_eq!(
        system.breaker(to),
        BreakerState::Closed,
        "fewer than `least`"
    );
    send(1);
    assert_eq!(system.breaker(to), BreakerState::Open);
}

#[test]
fn a_delivery_with_both_waits_until_the_breaker_lets_it_through() {
    let (system, hand) = stepped();
    let (log, own) = (Log::new(), Log::new());
    let target = full(&system, &log);
    let to = target.actor();
    let sender = spawn(&system, &own);
    sender
        .tell(does(move || {
            let delivery = Plan::deliver(to, Msg::Say(7)).retry(9, BACKOFF);
            delivery.breaker(BREAKER).on_failed(lost).into()
        }))
        .unwrap();
    pass(&system, &hand, 20);
    assert_eq!(system.breaker(to), BreakerState::Open);
    let _target = target.start();
    pass(&system, &hand, 30);
    assert_eq!(log.said(), [0], "open is open, also for one that has room");
    pass(&system, &hand, 300);
    assert_eq!(log.said(), [0, 7]);
    assert_eq!(system.breaker(to), BreakerState::Closed);
    assert!(own.said().is_empty());
}

#[test]
fn a_trial_whose_sender_ends_does_not_keep_the_breaker_half_open() {
    let (system, hand) = stepped();
    let log = Log::new();
    let target = spawn(&system, &log);
    let to = target.actor();
    let senders = [(); 2].map(|()| spawn(&system, &Log::new()));
    let unanswered = move || {
        does(move || {
            let delivery = Plan::deliver_acknowledged(to, Msg::Keep);
            let delivery = delivery.acknowledged_within(ms(5)).breaker(BREAKER);
            delivery.into()
        })
    };
    for _ in 0..2 {
        senders[0].tell(unanswered()).unwrap();
        pass(&system, &hand, 7);
    }
    assert_eq!(system.breaker(to), BreakerState::Open);
    pass(&system, &hand, 51);
    senders[0].tell(unanswered()).unwrap();
    pass(&system, &hand, 1);
    senders[0].kill();
    pass(&system, &hand, 1);
    assert_eq!(system.breaker(to), BreakerState::HalfOpen);
    let answered = does(move || {
        let delivery = Plan::deliver_acknowledged(to, Msg::Ping);
        delivery.breaker(BREAKER).into()
    });
    senders[1].tell(answered).unwrap();
    pass(&system, &hand, 1);
    assert_eq!(system.breaker(to), BreakerState::Closed);
}

#[test]
fn each_delivery_of_many_threads_is_handled_or_given_up_once() {
    const SENDERS: u64 = 8;
    const EACH: u64 = 50;
    let system = threads(4);
    let target_log = Log::new();
    let target = system
        .prepare(Script, Tape::new(&target_log))
        .capacity(2)
        .start()
        .unwrap();
    let to = target.actor();
    let given_up = Arc::new(AtomicU64::new(0));
    let quick = Backoff {
        first: ms(1),
        max: ms(2),
        jitter: true,
        ..Backoff::NONE
    };
    let senders: Vec<_> = (0..SENDERS).map(|_| spawn(&system, &Log::new())).collect();
    for number in 0..EACH {
        for (index, sender) in senders.iter().enumerate() {
            let given_up = given_up.clone();
            let number = index as u64 * EACH + number;
            let send = does(move || {
                let delivery = Plan::deliver(to, Msg::Say(number)).retry(2, quick);
                let failed = move |_| {
                    given_up.fetch_add(1, SeqCst);
                    Msg::Say(0)
                };
                delivery.on_failed(failed).into()
            });
            sender.tell(send).unwrap();
        }
    }
    let all = SENDERS * EACH;
    until("all are settled", || {
        target_log.len() as u64 + given_up.load(SeqCst) == all
    });
    let mut said = target_log.said();
    said.sort_unstable();
    said.dedup();
    assert_eq!(
        said.len() as u64 + given_up.load(SeqCst),
        all,
        "none came twice"
    );
    assert_eq!(system.dead_letter_count(), given_up.load(SeqCst));
    assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
}
