//! An actor whose plan meets a full mailbox waits, and every message arrives.

use mainspring::Config;
use mainspring::prelude::*;
use std::time::Duration;

const SOURCES: u64 = 16;
const EACH: u64 = 3_000;
const BURST: u64 = 5;

struct Source {
    left: u64,
    sink: ActorRef<Number>,
}
struct Sent(u64);
impl Machine for Source {
    type Event = Sent;
    fn apply(&mut self, sent: Sent) {
        self.left -= sent.0;
    }
}

#[derive(Clone, Copy)]
struct Sending;
struct GoOn;
impl Behavior for Sending {
    type Machine = Source;
    type Message = GoOn;
    fn on_message(&self, _: GoOn, source: Snapshot<Self>) -> Plan<Self> {
        let burst = source.left.min(BURST);
        let numbers = (0..burst).map(|n| Plan::tell(source.sink, Number::Next(source.left - n)));
        let plan = numbers.fold(Plan::emit(Sent(burst)), Plan::and);
        match source.left > burst {
            true => plan.and(Plan::tell(source.me(), GoOn)),
            false => plan,
        }
    }
}

#[derive(Default)]
struct Sink {
    count: u64,
    sum: u64,
}
enum Number {
    Next(u64),
    Seen(Reply<(u64, u64)>),
}
impl Machine for Sink {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.count += 1;
        self.sum += number;
    }
}

#[derive(Clone, Copy)]
struct Adding;
impl Behavior for Adding {
    type Machine = Sink;
    type Message = Number;
    fn on_message(&self, message: Number, sink: Snapshot<Self>) -> Plan<Self> {
        match message {
            Number::Next(n) => Plan::emit(n),
            Number::Seen(reply) => Plan::reply(reply, (sink.count, sink.sum)),
        }
    }
}

#[test]
fn no_sender_is_forgotten_at_a_full_mailbox() {
    for workers in [1, 2, 4] {
        let config = Config::builder().workers(workers).mailbox_capacity(8);
        let system = System::with_config(config.build().unwrap()).unwrap();
        let sink = system.spawn(Adding, Sink::default()).unwrap();
        for _ in 0..SOURCES {
            let source = Source {
                left: EACH,
                sink: sink.actor(),
            };
            system.spawn(Sending, source).unwrap().tell(GoOn).unwrap();
        }
        let began = std::time::Instant::now();
        let seen = loop {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{workers} workers hang"
            );
            match sink.ask(Number::Seen).wait() {
                Ok(seen) if seen.0 == SOURCES * EACH => break seen,
                Ok(_) | Err(AskError::Refused) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(seen.1, SOURCES * (EACH * (EACH + 1) / 2));
        assert_eq!(system.dead_letter_count(), 0);
    }
}
