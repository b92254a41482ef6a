//! Supervision: a counter that fails starts anew at its old address, with the messages it had, and
//! takes those that started after it along; one that fails too often ends its supervisor.
//!
//! `cargo run --example supervisor`

use mainspring::prelude::*;
use mainspring::supervise::{
    Backoff, ChildSpec, Children, Strategy, Supervision, Supervisor, SupervisorMessage,
};
use mainspring::{Clock, EventStream, ManualClock};
use std::time::Duration;

struct Count(u64);
impl Machine for Count {
    type Event = u64;
    fn apply(&mut self, by: u64) {
        self.0 += by;
    }
}

#[derive(Clone, Copy)]
struct Counting;
enum Add {
    Number(u64),
    Get(Reply<u64>),
}
impl Behavior for Counting {
    type Machine = Count;
    type Message = Add;
    fn on_message(&self, add: Add, count: Snapshot<Self>) -> Plan<Self> {
        match add {
            Add::Number(13) => panic!("13 brings bad luck"),
            Add::Number(number) => Plan::emit(number),
            Add::Get(reply) => Plan::reply(reply, count.0),
        }
    }
}

fn main() -> mainspring::Result {
    std::panic::set_hook(Box::new(|_| {})); // the supervisor's events tell of panics
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock)?;
    let child = |name: &str| {
        let backoff = Backoff {
            jitter: false,
            ..Backoff::default()
        };
        ChildSpec::new(name, |_| (Counting, Count(0)))
            .named(name)
            .intensity(2, Duration::from_secs(60))
            .backoff(backoff)
    };
    let children = ["first", "second", "third"].map(child);
    let supervisor = system.spawn(Supervisor, Children::new(Strategy::RestForOne, children))?;
    let mut story = supervisor.events(64);
    run(&system, &hand, 0, &mut story);

    let second = system.whereis::<Add>("second").expect("it has a name");
    second.tell(Add::Number(5))?;
    second.tell(Add::Number(13))?;
    second.tell(Add::Number(7))?; // waits in the mailbox for the next incarnation
    run(&system, &hand, 0, &mut story);
    run(&system, &hand, 1, &mut story);
    let count = second.ask(Add::Get);
    run(&system, &hand, 0, &mut story);
    println!("the second has {}", count.wait()?);

    for _ in 0..2 {
        second.tell(Add::Number(13))?;
        run(&system, &hand, 10, &mut story);
    }
    println!("its supervisor lives: {}", supervisor.is_alive());
    println!("it lives: {}", second.is_alive());
    assert!(supervisor.tell(SupervisorMessage::Stop).is_err());
    Ok(())
}

/// Lets time pass, runs what is ready, and prints what the supervisor did.
fn run(system: &System, hand: &ManualClock, seconds: u64, story: &mut EventStream<Supervision>) {
    system.run_until_idle();
    for _ in 0..seconds {
        hand.advance(Duration::from_secs(1));
        system.run_until_idle();
    }
    while let Some(event) = story.try_next() {
        match event {
            Supervision::Started { id, .. } => println!("{id} has started"),
            Supervision::Crashed { id, reason, .. } => println!("{id} crashed: {reason:?}"),
            Supervision::Restarting { id, delay, .. } => println!("{id} restarts in {delay:?}"),
            Supervision::Restarted {
                id, incarnation, ..
            } => println!("{id} has started anew, incarnation {incarnation}"),
            Supervision::Failed { id, .. } => println!("{id} failed too often"),
            _ => {}
        }
    }
}
