//! Two behaviors of one actor: it counts, and multiplies, and counts again, with the same state.
//!
//! `cargo run --example multiplier`

use mainspring::prelude::*;
use mainspring::{Context, assign, plan};

#[derive(Clone)]
struct Number {
    value: u64,
}

enum Do {
    Increment,
    Multiply { factor: u64 },
    SwitchToMultiplier(Reply<&'static str>),
    SwitchToCounter(Reply<&'static str>),
    Get(Reply<u64>),
}

#[derive(Clone, Copy)]
struct Counting;
impl Behavior for Counting {
    type Machine = Context<Number>;
    type Message = Do;
    fn on_message(&self, message: Do, number: Snapshot<Self>) -> Plan<Self> {
        match message {
            Do::Increment => Plan::emit(assign!(Number {
                value: |old| old.value + 1
            })),
            Do::SwitchToMultiplier(reply) => plan![
                Plan::become_(Multiplying),
                Plan::reply(reply, "switched to multiplier mode"),
            ],
            Do::Get(reply) => Plan::reply(reply, number.value),
            Do::Multiply { .. } | Do::SwitchToCounter(_) => Plan::unhandled(),
        }
    }
}

#[derive(Clone, Copy)]
struct Multiplying;
impl Behavior for Multiplying {
    type Machine = Context<Number>;
    type Message = Do;
    fn on_message(&self, message: Do, number: Snapshot<Self>) -> Plan<Self> {
        match message {
            Do::Multiply { factor } => Plan::emit(assign!(Number {
                value: |old| old.value * factor
            })),
            Do::SwitchToCounter(reply) => plan![
                Plan::become_(Counting),
                Plan::reply(reply, "switched to counter mode"),
            ],
            Do::Get(reply) => Plan::reply(reply, number.value),
            Do::Increment | Do::SwitchToMultiplier(_) => Plan::unhandled(),
        }
    }
}

fn main() -> mainspring::Result {
    let system = System::new()?;
    let number = system.spawn(Counting, Context::new(Number { value: 4 }))?;
    number.tell(Do::Increment)?;
    println!("{}", number.ask(Do::Get).wait()?);
    println!("{}", number.ask(Do::SwitchToMultiplier).wait()?);
    number.tell(Do::Multiply { factor: 3 })?;
    number.tell(Do::Increment)?; // not its message now
    println!("{}", number.ask(Do::Get).wait()?);
    println!("{}", number.ask(Do::SwitchToCounter).wait()?);
    number.tell(Do::Increment)?;
    println!("{}", number.ask(Do::Get).wait()?);
    println!("{} message was unhandled", system.dead_letter_count());
    Ok(())
}
