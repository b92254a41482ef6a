//! The first program: an actor that counts.

use mainspring::prelude::*;

#[derive(Default)]
struct Counter {
    count: u64,
}
enum Counted {
    Up,
}
impl Machine for Counter {
    type Event = Counted;
    fn apply(&mut self, _: Counted) {
        self.count += 1;
    }
}

#[derive(Clone, Copy)]
struct Counting;
enum Count {
    Increment,
    Get(Reply<u64>),
}
impl Behavior for Counting {
    type Machine = Counter;
    type Message = Count;
    fn on_message(&self, message: Count, counter: Snapshot<Self>) -> Plan<Self> {
        match message {
            Count::Increment => Plan::emit(Counted::Up),
            Count::Get(reply) => Plan::reply(reply, counter.count),
        }
    }
}

fn main() -> mainspring::Result {
    let system = System::new()?;
    let counter = system.spawn(Counting, Counter::default())?;
    counter.tell(Count::Increment)?;
    println!("{}", counter.ask(Count::Get).wait()?); // 1
    Ok(())
}
