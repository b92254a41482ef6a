//! The promise: each limit of the configuration holds, says so, and lets go again.

#![cfg(not(loom))]

use mainspring::config::Builder;
use mainspring::prelude::*;
use mainspring::{Cause, Clock, ManualClock, SendError, SpawnError};
use std::time::Duration;

/// A machine that keeps the replies it got, and counts.
#[derive(Default)]
struct Kept {
    replies: Vec<Reply<u64>>,
    count: u64,
}

enum Event {
    Keep(Reply<u64>),
    LetGo,
    Count,
}

impl Machine for Kept {
    type Event = Event;
    fn apply(&mut self, event: Event) {
        match event {
            Event::Keep(reply) => self.replies.push(reply),
            Event::LetGo => self.replies.clear(),
            Event::Count => self.count += 1,
        }
    }
}

#[derive(Clone, Copy)]
struct Holding;

enum Message {
    Keep(Reply<u64>),
    LetGo,
    Answered,
    Count(Reply<u64>),
    /// Asks another so many questions in one turn.
    Ask(ActorRef<Message>, usize),
    Arm(u64),
    Cancel(u64),
    Tick,
    /// Tells another so many messages of 200 bytes in one turn.
    Tell(ActorRef<Message>, usize),
    Large([u64; 25]),
}

impl Behavior for Holding {
    type Machine = Kept;
    type Message = Message;
    fn on_message(&self, message: Message, kept: Snapshot<Self>) -> Plan<Self> {
        match message {
            Message::Keep(reply) => Plan::emit(Event::Keep(reply)),
            Message::LetGo => Plan::emit(Event::LetGo),
            Message::Large(zeros) if zeros != [0; 25] => Plan::unhandled(),
            Message::Answered | Message::Tick | Message::Large(_) => Plan::emit(Event::Count),
            Message::Count(reply) => Plan::reply(reply, kept.count),
            Message::Ask(to, count) => (0..count).fold(Plan::none(), |plan, _| {
                let ask = Plan::<Self>::ask(to, Message::Keep);
                plan.and(
                    ask.on_ok(|_| Message::Answered)
                        .on_error(|_| Message::Answered),
                )
            }),
            Message::Arm(key) => Plan::after(key, Duration::from_secs(1), Message::Tick),
            Message::Cancel(key) => Plan::cancel(key),
            Message::Tell(to, count) => (0..count).fold(Plan::none(), |plan, _| {
                plan.and(Plan::tell(to, Message::Large([0; 25])))
            }),
        }
    }
}

fn stepped(config: Builder) -> (System, ManualClock) {
    let (clock, hand) = Clock::manual();
    (
        System::stepped(config.build().unwrap(), clock).unwrap(),
        hand,
    )
}

fn holder(system: &System) -> Actor<Holding> {
    let actor = system.prepare(Holding, Kept::default()).capacity(32_768);
    actor.start().unwrap()
}

fn count(system: &System, actor: &Actor<Holding>) -> u64 {
    let ask = actor.ask(Message::Count);
    system.run_until_idle();
    ask.wait().unwrap()
}

fn last_cause(system: &System) -> Cause {
    system.dead_letters().pop().unwrap().cause
}

#[test]
fn asks_in_flight_are_bounded_inside_and_outside_together() {
    let (system, _) = stepped(Config::builder().max_asks_in_flight(4));
    let (asker, keeper) = (holder(&system), holder(&system));
    let tell = |count| {
        asker.tell(Message::Ask(keeper.actor(), count)).unwrap();
        system.run_until_idle();
    };
    tell(3);
    assert_eq!(system.dead_letter_count(), 0);
    tell(2);
    assert_eq!(last_cause(&system), Cause::TooManyAsks);
    let outside = keeper.ask(Message::Keep);
    assert_eq!(asker.ask(Message::Count).wait(), Err(AskError::Refused));
    tell(1);
    assert_eq!(system.counts(asker.actor()).unwrap().failed, 2);
    keeper.tell(Message::LetGo).unwrap();
    system.run_until_idle();
    assert_eq!(outside.wait(), Err(AskError::Dropped));
    assert_eq!(count(&system, &asker), 3, "each of the three asks ended");
    tell(4);
    assert_eq!(system.counts(asker.actor()).unwrap().failed, 2);
}

#[test]
fn the_asks_of_an_actor_that_ends_are_in_flight_no_more() {
    let (system, hand) = stepped(Config::builder().max_asks_in_flight(2));
    let keeper = holder(&system);
    for _ in 0..3 {
        let asker = holder(&system);
        asker.tell(Message::Ask(keeper.actor(), 2)).unwrap();
        system.run_until_idle();
        asker.kill();
        system.run_until_idle();
    }
    let asker = holder(&system);
    for _ in 0..3 {
        asker.tell(Message::Ask(keeper.actor(), 2)).unwrap();
        system.run_until_idle();
        hand.advance(Duration::from_secs(10));
        system.run_until_idle();
    }
    assert_eq!(count(&system, &asker), 6, "all timed out");
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn armed_timers_are_bounded() {
    let (system, hand) = stepped(Config::builder().max_timers(2));
    let actor = holder(&system);
    let tell = |message| {
        actor.tell(message).unwrap();
        system.run_until_idle();
    };
    tell(Message::Arm(1));
    tell(Message::Arm(2));
    tell(Message::Arm(3));
    assert_eq!(last_cause(&system), Cause::TooManyTimers);
    tell(Message::Cancel(1));
    tell(Message::Arm(3));
    hand.advance(Duration::from_secs(2));
    system.run_until_idle();
    assert_eq!(count(&system, &actor), 2);
    tell(Message::Arm(4));
    tell(Message::Arm(5));
    actor.kill();
    system.run_until_idle();
    let other = holder(&system);
    other.tell(Message::Arm(1)).unwrap();
    other.tell(Message::Arm(2)).unwrap();
    system.run_until_idle();
    assert_eq!(system.dead_letter_count(), 1);
}

#[test]
fn actors_are_bounded() {
    let (system, _) = stepped(Config::builder().max_actors(2));
    let (first, _second) = (holder(&system), holder(&system));
    assert_eq!(system.actors(), 2);
    let third = system.spawn(Holding, Kept::default());
    assert_eq!(third.err(), Some(SpawnError::TooMany { limit: 2 }));
    first.stop();
    system.run_until_idle();
    assert!(system.spawn(Holding, Kept::default()).is_ok());
}

#[test]
fn messages_from_outside_stay_below_the_ceiling_and_go_on_after_it() {
    let (system, _) = stepped(Config::builder().memory_ceiling_bytes(1 << 20));
    assert_eq!(system.memory_ceiling(), 1 << 20);
    let actor = holder(&system);
    let mut accepted = 0;
    let refused = loop {
        match actor.tell(Message::Large([0; 25])) {
            Ok(()) => accepted += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, SendError::Full(Message::Large(_))));
    let memory = system.metrics().memory;
    let held = memory.envelopes_bytes + memory.cells_bytes;
    assert!((1 << 20..(1 << 20) + 512).contains(&held), "{held}");
    system.run_until_idle();
    assert_eq!(count(&system, &actor), accepted);
    assert_eq!(system.dead_letter_count(), 0);
}

/// A system at its ceiling, with an actor that has the messages still to handle, so many.
fn at_the_ceiling() -> (System, Actor<Holding>, u64) {
    let (system, _) = stepped(Config::builder().memory_ceiling_bytes(1 << 20));
    let actor = holder(&system);
    let mut accepted = 0;
    while actor.tell(Message::Large([0; 25])).is_ok() {
        accepted += 1;
    }
    (system, actor, accepted)
}

#[test]
fn who_waits_at_the_ceiling_gets_through_once_memory_comes_back() {
    let (system, actor, accepted) = at_the_ceiling();
    let waiter = actor.clone();
    let limit = Duration::from_secs(600);
    let waiter =
        std::thread::spawn(move || waiter.tell_wait(Message::Large([0; 25]), limit).is_ok());
    while !waiter.is_finished() {
        system.run_until_idle();
        std::thread::yield_now();
    }
    assert!(waiter.join().unwrap());
    assert_eq!(count(&system, &actor), accepted + 1);
}

/// How long the calling thread has run, if the system says.
fn time_run() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns = text.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(ns))
}

#[test]
fn who_waits_at_the_ceiling_sleeps() {
    let (_system, actor, _) = at_the_ceiling();
    let (limit, before) = (Duration::from_millis(400), time_run());
    let refused = actor.tell_wait(Message::Large([0; 25]), limit);
    assert!(matches!(refused, Err(SendError::Full(Message::Large(_)))));
    // Eighty looks at the most, of microseconds each; one that spins has 400 ms, or its share.
    if let (Some(before), Some(after)) = (before, time_run()) {
        let ran = after - before;
        assert!(ran < limit / 10, "it ran for {ran:?} of {limit:?}");
    }
}

#[test]
fn turns_that_send_fail_at_the_ceiling_and_go_on_after_it() {
    let (system, _) = stepped(Config::builder().memory_ceiling_bytes(1 << 20));
    let sender = holder(&system);
    let held = system
        .prepare(Holding, Kept::default())
        .capacity(32_768)
        .hold()
        .unwrap();
    for _ in 0..10 {
        sender.tell(Message::Tell(held.actor(), 1_000)).unwrap();
    }
    system.run_until_idle();
    assert_eq!(last_cause(&system), Cause::NoMemory);
    let handled = system.counts(sender.actor()).unwrap().handled;
    assert!((1..10).contains(&handled), "{handled}");
    let queued = system.counts(held.actor()).unwrap().queued;
    assert_eq!(queued, handled * 1_000, "all of a plan or nothing");
    let held = held.start();
    system.run_until_idle();
    assert_eq!(count(&system, &held), queued);
    sender.tell(Message::Tell(held.actor(), 100)).unwrap();
    assert_eq!(count(&system, &sender), 0);
    assert_eq!(count(&system, &held), queued + 100);
}

#[test]
fn no_actor_is_made_beyond_the_ceiling() {
    let (system, _) = stepped(Config::builder().memory_ceiling_bytes(1 << 20));
    let error = loop {
        if let Err(error) = system.spawn(Holding, Kept::default()) {
            break error;
        }
    };
    assert_eq!(error, SpawnError::NoMemory);
    let cells = system.metrics().memory.cells_bytes;
    assert!(cells <= (1 << 20) + 64 * 128, "{cells}");
}
