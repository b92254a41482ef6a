//! What a turn costs, part by part, on one thread: `cargo bench --bench turn`.
//!
//! Each case runs in a stepped system, so that no wake and no other core is in the figure. A
//! figure is for one message.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mainspring::prelude::*;
use mainspring::timer::Clock;
use std::time::Duration;

#[derive(Default)]
struct Count(u64);
impl Machine for Count {
    type Event = ();
    fn apply(&mut self, (): ()) {
        self.0 += 1;
    }
}

enum Do {
    /// Nothing.
    Pass,
    /// One event.
    Event,
    /// One message to oneself, so many times in a row.
    Again(u64),
    /// An event and a message to oneself.
    EventAgain(u64),
    /// A message to another.
    Pass1(ActorRef<Do>),
    /// An event and two messages to another.
    Three(ActorRef<Do>),
    /// Asks the other so many times in a row.
    Ask(ActorRef<Do>, u64),
    Get(Reply<u64>),
    /// A child that ends at once.
    Child,
    Stop,
    /// Arms a timer and cancels it.
    Timer,
}

#[derive(Clone, Copy)]
struct Doing;
impl Behavior for Doing {
    type Machine = Count;
    type Message = Do;
    fn on_message(&self, message: Do, machine: Snapshot<Self>) -> Plan<Self> {
        match message {
            Do::Pass => Plan::none(),
            Do::Event => Plan::emit(()),
            Do::Again(0) | Do::EventAgain(0) | Do::Ask(_, 0) => Plan::none(),
            Do::Again(left) => Plan::tell(machine.me(), Do::Again(left - 1)),
            Do::EventAgain(left) => {
                Plan::emit(()).and(Plan::tell(machine.me(), Do::EventAgain(left - 1)))
            }
            Do::Pass1(other) => Plan::tell(other, Do::Pass),
            Do::Three(other) => Plan::emit(())
                .and(Plan::tell(other, Do::Pass))
                .and(Plan::tell(other, Do::Event)),
            Do::Ask(other, left) => Plan::<Self>::ask(other, Do::Get)
                .on_ok(move |_: u64| Do::Ask(other, left - 1))
                .into(),
            Do::Get(reply) => Plan::reply(reply, machine.0),
            Do::Child => {
                Plan::<Self>::spawn(Doing, Count(0)).then(|child| Plan::tell(child, Do::Stop))
            }
            Do::Stop => Plan::stop(),
            Do::Timer => Plan::after(1, Duration::from_secs(1), Do::Pass).and(Plan::cancel(1)),
        }
    }
}

const MESSAGES: u64 = 512;

fn turns(criterion: &mut Criterion) {
    let system = System::stepped(Config::default(), Clock::real()).unwrap();
    let one = system.spawn(Doing, Count(0)).unwrap();
    let other = system.spawn(Doing, Count(0)).unwrap();
    let other = other.actor();
    let mut group = criterion.benchmark_group("turn");
    group.throughput(Throughput::Elements(MESSAGES));
    let mut fill = |name: &str, make: &dyn Fn() -> Do| {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    for _ in 0..MESSAGES {
                        one.tell(make()).unwrap();
                    }
                },
                |()| system.run_until_idle(),
                BatchSize::PerIteration,
            );
        });
    };
    fill("nothing", &|| Do::Pass);
    fill("event", &|| Do::Event);
    fill("tell", &|| Do::Pass1(other));
    fill("steps=3", &|| Do::Three(other));
    fill("spawn+stop", &|| Do::Child);
    fill("timer arm+cancel", &|| Do::Timer);
    group.finish();

    let mut group = criterion.benchmark_group("chain");
    group.throughput(Throughput::Elements(MESSAGES));
    let mut chain = |name: &str, make: &dyn Fn() -> Do| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                one.tell(make()).unwrap();
                system.run_until_idle();
            });
        });
    };
    chain("self-tell", &|| Do::Again(MESSAGES));
    chain("event+self-tell", &|| Do::EventAgain(MESSAGES));
    chain("ask", &|| Do::Ask(other, MESSAGES));
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
