//! The promise: code outside actors can wait for room, for an end, for a copy of the state and for
//! the events, without holding a worker.

#![cfg(not(loom))]

use mainspring::config::Overflow;
use mainspring::prelude::*;
use mainspring::{Down, Events, Refusal, SendError};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

/// A sum that fails to be cloned at 13 and refuses 99.
struct Sum(u64);

impl Clone for Sum {
    fn clone(&self) -> Self {
        assert_ne!(self.0, 13, "no copies of 13");
        Self(self.0)
    }
}

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

fn system() -> System {
    System::with_config(Config::builder().workers(1).build().unwrap()).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    block(|context| future.as_mut().poll(context))
}

fn block<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn an_end_is_told_to_threads_and_tasks_also_when_it_was_before() {
    let system = system();
    let sum = system.spawn_machine(Sum(0)).unwrap();
    let mut early = sum.monitor();
    assert_eq!(early.wait_for(Duration::ZERO), None);
    let task = sum.monitor();
    sum.stop();
    let end = Down {
        actor: sum.actor().address(),
        exit: Exit::Normal,
    };
    assert_eq!(early.wait_for(LONG), Some(end.clone()));
    assert_eq!(block_on(task), end);
    assert_eq!(sum.monitor().wait().exit, Exit::Gone);
}

#[test]
fn a_snapshot_comes_after_the_messages_sent_before_it() {
    let system = system();
    let sum = system.spawn_machine(Sum(0)).unwrap();
    for number in 1..=100 {
        sum.tell(number).unwrap();
    }
    // 99 was refused.
    assert_eq!(sum.snapshot().wait().unwrap().0, 5050 - 99);
    assert_eq!(block_on(sum.snapshot()).unwrap().0, 5050 - 99);
}

#[test]
fn a_snapshot_that_panics_fails_alone_and_one_of_the_dead_says_so() {
    let system = system();
    let sum = system.spawn_machine(Sum(13)).unwrap();
    assert_eq!(sum.snapshot().wait().err(), Some(AskError::Panicked));
    sum.tell(1).unwrap();
    assert_eq!(sum.snapshot().wait().unwrap().0, 14);
    let end = sum.monitor();
    sum.stop();
    end.wait();
    assert_eq!(sum.snapshot().wait().err(), Some(AskError::Stopped));
}

#[test]
fn events_come_in_order_without_those_of_failed_turns_and_end_with_the_actor() {
    let system = system();
    let sum = system.spawn_machine(Sum(0)).unwrap();
    sum.tell(5).unwrap();
    let mut events = sum.events(8);
    for number in [1, 99, 2, 3] {
        sum.tell(number).unwrap();
    }
    assert_eq!(events.next(LONG), Some(1));
    assert_eq!(block(|context| events.poll_next(context)), Some(2));
    assert_eq!(events.next(LONG), Some(3));
    assert_eq!(events.try_next(), None);
    assert!(!events.has_ended());
    sum.stop();
    assert_eq!(block(|context| events.poll_next(context)), None);
    assert!(events.has_ended());
    assert_eq!(events.missed(), 0);
}

#[test]
fn a_slow_reader_misses_the_oldest_events_and_a_gone_one_is_forgotten() {
    let system = system();
    let sum = system.spawn_machine(Sum(0)).unwrap();
    let mut events = sum.events(2);
    let gone = sum.events(2);
    drop(gone);
    for number in 1..=5 {
        sum.tell(number).unwrap();
    }
    assert_eq!(sum.snapshot().wait().unwrap().0, 15);
    assert_eq!(
        (events.try_next(), events.try_next(), events.try_next()),
        (Some(4), Some(5), None)
    );
    assert_eq!(events.missed(), 3);
}

/// Handles its message only when it is let.
#[derive(Clone, Copy)]
struct Gated;

struct Gate(mpsc::Receiver<()>, u64);

impl Machine for Gate {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.0.recv().unwrap();
        self.1 = self.1 * 10 + number;
    }
}

enum Pass {
    Number(u64),
    Seen(Reply<u64>),
    /// What `tell_wait` says inside a turn.
    TellFull(mainspring::Handle<Pass>, Reply<bool>),
}

impl Behavior for Gated {
    type Machine = Gate;
    type Message = Pass;
    fn on_message(&self, pass: Pass, gate: Snapshot<Self>) -> Plan<Self> {
        match pass {
            Pass::Number(number) => Plan::emit(number),
            Pass::Seen(reply) => Plan::reply(reply, gate.1),
            Pass::TellFull(to, reply) => {
                let told = to.tell_wait(Pass::Number(9), LONG);
                let came_back = matches!(told, Err(SendError::Full(Pass::Number(9))));
                Plan::reply(reply, came_back)
            }
        }
    }
}

#[test]
fn who_waits_for_room_gets_it_in_time_or_the_message_back() {
    let system = system();
    let (open, gate) = mpsc::channel();
    let gated = system
        .prepare(Gated, Gate(gate, 0))
        .capacity(1)
        .start()
        .unwrap();
    gated.tell(Pass::Number(1)).unwrap();
    let late = gated.tell_wait(Pass::Number(2), Duration::from_millis(5));
    assert!(matches!(late, Err(SendError::Full(Pass::Number(2)))));
    let waiting = {
        let gated = gated.clone();
        thread::spawn(move || gated.tell_wait(Pass::Number(3), LONG).is_ok())
    };
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert!(waiting.join().unwrap());
    let seen = loop {
        match gated.ask(Pass::Seen).wait() {
            Err(AskError::Refused) => thread::yield_now(),
            answer => break answer,
        }
    };
    assert_eq!(seen, Ok(13));
}

#[test]
fn who_waits_for_room_learns_that_the_actor_has_stopped() {
    let system = system();
    let (open, gate) = mpsc::channel();
    let gated = system
        .prepare(Gated, Gate(gate, 0))
        .capacity(1)
        .start()
        .unwrap();
    gated.tell(Pass::Number(1)).unwrap();
    let waiting = {
        let gated = gated.clone();
        thread::spawn(move || gated.tell_wait(Pass::Number(3), LONG))
    };
    gated.stop();
    open.send(()).unwrap();
    assert!(matches!(
        waiting.join().unwrap(),
        Err(SendError::Closed(Pass::Number(3)))
    ));
}

#[test]
fn no_turn_waits_for_room() {
    let system = system();
    let (_open, gate) = mpsc::channel();
    let full = system
        .prepare(Gated, Gate(gate, 0))
        .capacity(1)
        .hold()
        .unwrap();
    full.tell(Pass::Number(1)).unwrap();
    let (_, gate) = mpsc::channel();
    let other = system.spawn(Gated, Gate(gate, 0)).unwrap();
    let to = system.handle(full.actor()).unwrap();
    assert_eq!(
        other.ask(|reply| Pass::TellFull(to, reply)).wait(),
        Ok(true)
    );
}

#[test]
fn a_tell_waits_where_the_mailbox_says_so_and_many_who_wait_all_get_through() {
    let system = system();
    let sum = system
        .prepare(Events::new(), Sum(0))
        .capacity(1)
        .overflow(Overflow::Wait)
        .start()
        .unwrap();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let sum = sum.clone();
            thread::spawn(move || (0..500).all(|_| sum.tell(1).is_ok()))
        })
        .collect();
    for sender in senders {
        assert!(sender.join().unwrap());
    }
    assert_eq!(sum.snapshot().wait().unwrap().0, 2_000);
    assert_eq!(system.dead_letter_count(), 0);
}

#[derive(Clone, Copy)]
struct Adding;

enum Add {
    Twice(u64, Reply<u64>),
    Refused(Reply<u64>),
    Panics(Reply<u64>),
    Stop(&'static str),
}

impl Behavior for Adding {
    type Machine = Sum;
    type Message = Add;
    fn on_message(&self, add: Add, before: Snapshot<Self>) -> Plan<Self> {
        let sum = |sum: &Sum| sum.0;
        match add {
            Add::Twice(number, reply) => {
                assert!(before.meta().is_ask);
                Plan::emit(number)
                    .and(Plan::reply_after(reply, sum))
                    .and(Plan::emit(number))
            }
            Add::Refused(reply) => Plan::emit(99).and(Plan::reply_after(reply, sum)),
            Add::Panics(reply) => {
                Plan::emit(1).and(Plan::reply_after(reply, |_| panic!("no value")))
            }
            Add::Stop(reason) => Plan::emit(1).and(Plan::stop_because(reason)),
        }
    }
}

#[test]
fn a_later_reply_sees_all_events_of_its_turn_or_none() {
    let system = system();
    let adding = system.spawn(Adding, Sum(0)).unwrap();
    assert_eq!(adding.ask(|reply| Add::Twice(2, reply)).wait(), Ok(4));
    let mut events = adding.events(4);
    assert_eq!(adding.ask(Add::Refused).wait(), Err(AskError::Panicked));
    assert_eq!(adding.ask(|reply| Add::Twice(3, reply)).wait(), Ok(10));
    let end = adding.monitor();
    assert_eq!(adding.ask(Add::Panics).wait(), Err(AskError::Panicked));
    assert_eq!(end.wait().exit, Exit::Panicked("no value".into()));
    let seen: Vec<_> = std::iter::from_fn(|| events.next(LONG)).collect();
    assert_eq!(seen, [3, 3], "nothing of the turn that panicked");
}

#[test]
fn a_stop_tells_its_reason() {
    let system = system();
    for reason in ["done", "late"] {
        let adding = system.spawn(Adding, Sum(0)).unwrap();
        let end = adding.monitor();
        adding.tell(Add::Stop(reason)).unwrap();
        assert_eq!(end.wait().exit, Exit::Stopped(reason.into()));
    }
    let plain = system.spawn_machine(Sum(0)).unwrap();
    let mut end = plain.monitor();
    plain.stop();
    let exit = block(|context| Pin::new(&mut end).poll(context)).exit;
    assert_eq!(exit, Exit::Normal);
}
