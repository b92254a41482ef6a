//! No message is lost without a word: accepted = handled + failed + dead-lettered + queued.

mod common;
use common::*;
use mainspring::config::{Overflow, WhenFull};
use mainspring::prelude::*;

/// A generator of numbers, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A turn at random: tells others, fails, asks, arms, waits.
fn turn(all: &[ActorRef<Msg>], random: &mut Random, depth: u64) -> Msg {
    let to = all[random.below(all.len() as u64) as usize];
    let other = all[random.below(all.len() as u64) as usize];
    let next = |random: &mut Random| match depth {
        0 => Msg::Say(1),
        depth => turn(all, random, depth - 1),
    };
    match random.below(16) {
        0 => does(|| Plan::emit(Event::Refuse)),
        1 => does(Plan::unhandled),
        2 => {
            let (a, b) = (next(random), next(random));
            does(move || say(1).and(Plan::tell(to, a)).and(Plan::tell(other, b)))
        }
        3 => {
            let messages: Vec<_> = (0..5).map(|_| next(random)).collect();
            does(move || {
                messages.into_iter().fold(Plan::none(), |plan, message| {
                    plan.and(Plan::tell(to, message))
                })
            })
        }
        4 => does(move || Plan::<Script>::ask(to, Msg::Ping).on_ok(Msg::Say).into()),
        5 => {
            let message = next(random);
            does(move || Plan::after(1, ms(1), message))
        }
        6 => act(|me| Plan::tell(me.me(), Msg::Say(2))),
        7 if depth == 0 => does(|| panic!("on purpose")),
        8 => {
            let message = next(random);
            does(move || say(1).and(Plan::stash(message)))
        }
        9 => does(Plan::unstash),
        10 => {
            let message = next(random);
            let backoff = mainspring::supervise::Backoff {
                first: ms(1),
                max: ms(2),
                ..Default::default()
            };
            let breaker = mainspring::Breaker {
                reset: ms(1),
                ..Default::default()
            };
            does(move || {
                let delivery = Plan::deliver(to, message).retry(2, backoff);
                delivery.breaker(breaker).on_failed(|_| Msg::Say(3)).into()
            })
        }
        11 => does(move || {
            let gather = Plan::<Script>::gather([to, other, to], Msg::Ping).timeout(ms(1));
            gather.on_done(|outcomes| Msg::Say(outcomes.len() as u64))
        }),
        _ => {
            let message = next(random);
            does(move || Plan::tell(to, message))
        }
    }
}

#[test]
fn every_accepted_message_is_accounted_for_whatever_happens() {
    quiet_panics();
    for seed in 1..60 {
        let overflow = [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest][seed % 3];
        let when_full = [WhenFull::Wait, WhenFull::Refuse, WhenFull::Drop][seed / 3 % 3];
        let (system, hand) = stepped_with(
            Config::builder()
                .mailbox_capacity(1 + seed % 5)
                .mailbox_overflow(overflow)
                .mailbox_when_full(when_full),
        );
        let mut random = Random(seed as u64);
        let actors: Vec<_> = (0..6).map(|_| spawn(&system, &Log::new())).collect();
        let all: Vec<_> = actors.iter().map(|actor| actor.actor()).collect();
        let mut accepted = vec![0; 6];
        for _ in 0..200 {
            let target = random.below(6) as usize;
            let message = turn(&all, &mut random, 3);
            accepted[target] += u64::from(actors[target].tell(message).is_ok());
            if random.below(3) == 0 {
                system.run_until_idle();
                hand.advance(ms(1));
            }
            for actor in &all {
                if let Some(counts) = system.counts(*actor) {
                    assert!(counts.accepted >= counts.queued, "seed {seed}: {counts:?}");
                }
            }
        }
        for _ in 0..20 {
            hand.advance(ms(10_000));
            system.run_until_idle();
        }
        for (actor, accepted) in all.iter().zip(accepted) {
            if let Some(counts) = system.counts(*actor) {
                assert_eq!(counts.queued, 0, "seed {seed}: {counts:?}");
                assert!(overflow == Overflow::DropNewest || counts.accepted >= accepted);
                conserves(counts);
            }
        }
        assert_eq!(
            system.shutdown(ms(30_000)),
            mainspring::Shutdown::default(),
            "seed {seed}"
        );
    }
}

#[test]
fn messages_to_the_dead_are_dead_letters_each_once() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    let dead = spawn(&system, &Log::new());
    dead.kill();
    system.run_until_idle();
    let to = dead.actor();
    one.tell(does(move || Plan::tell(to, Msg::Say(1)))).unwrap();
    one.tell(does(move || {
        Plan::tell(to, Msg::Say(1)).and(Plan::tell(to, Msg::Say(2)))
    }))
    .unwrap();
    for _ in 0..10 {
        one.tell(does(move || say(1).and(Plan::tell(to, Msg::Say(1)))))
            .unwrap();
    }
    system.run_until_idle();
    assert_eq!(system.dead_letter_count(), 13);
    assert!(system.dead_letters().iter().all(|letter| {
        letter.actor == to.address() && letter.cause == mainspring::Cause::Stopped
    }));
    assert_eq!(system.counts(one.actor()).unwrap().handled, 12);
}

#[test]
fn a_new_actor_in_an_old_cell_hears_nothing_meant_for_the_old_one() {
    let (system, _) = stepped();
    let log = Log::new();
    let sender = spawn(&system, &Log::new());
    let mut old = Vec::new();
    for _ in 0..300 {
        let one = spawn(&system, &log);
        old.push(one.actor());
        one.kill();
        system.run_until_idle();
    }
    let new: Vec<_> = (0..300).map(|_| spawn(&system, &log)).collect();
    system.run_until_idle();
    for to in old {
        sender
            .tell(does(move || {
                Plan::tell(to, Msg::Say(1)).and(Plan::stop_actor(to))
            }))
            .unwrap();
        assert!(!system.handle(to).unwrap().kill());
        assert!(system.handle(to).unwrap().tell(Msg::Say(1)).is_err());
        system.run_until_idle();
    }
    assert_eq!(log.said(), []);
    assert!(new.iter().all(|actor| actor.is_alive()));
}

#[test]
fn unhandled_messages_are_counted() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    one.tell(does(Plan::unhandled)).unwrap();
    system.run_until_idle();
    let counts = system.counts(one.actor()).unwrap();
    assert_eq!((counts.handled, counts.dead_lettered), (0, 1));
    conserves(counts);
}
