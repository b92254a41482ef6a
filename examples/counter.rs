//! The first program: an actor that counts. The README shows it just so.
#![cfg_attr(rustfmt, rustfmt_skip)]

use mainspring::prelude::*;

struct Counter(u64); // the machine: all of the actor's state
impl Machine for Counter {
    type Event = u64;
    fn apply(&mut self, by: u64) { self.0 += by } // only events change it
}

#[derive(Clone, Copy)] struct Counting; // the behavior: none of the state
enum Count { Add(u64), Get(Reply<u64>) }
impl Behavior for Counting {
    type Machine = Counter;
    type Message = Count;
    fn on_message(&self, message: Count, counter: Snapshot<Self>) -> Plan<Self> {
        match message {
            Count::Add(by) => Plan::emit(by),
            Count::Get(reply) => Plan::reply(reply, counter.0),
        }
    }
}

fn main() -> mainspring::Result {
    let system = System::new()?;
    let counter = system.spawn(Counting, Counter(0))?;
    counter.tell(Count::Add(1))?;
    println!("{}", counter.ask(Count::Get).wait()?); // 1
    Ok(())
}
