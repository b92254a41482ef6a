//! The counter in full: up, down, reset with an answer, how many messages came, and an event for
//! whoever listens.
//!
//! `cargo run --example tally`

use mainspring::prelude::*;
use mainspring::{Output, plan};

#[derive(Clone, Default)]
struct Tally {
    count: i64,
    total_messages: u64,
    /// What the last turn found, for its news.
    before: i64,
}

#[derive(Clone, Debug)]
enum Counted {
    Up,
    Down,
    Reset,
    Looked,
    /// What subscribers hear, made of the state before and after.
    Changed {
        old: i64,
        new: i64,
    },
}

impl Machine for Tally {
    type Event = Counted;
    fn apply(&mut self, event: Counted) {
        self.before = self.count;
        match event {
            Counted::Up => self.count += 1,
            Counted::Down => self.count -= 1,
            Counted::Reset => self.count = 0,
            Counted::Looked | Counted::Changed { .. } => {}
        }
        self.total_messages += 1;
    }
    fn output(&mut self, output: &mut Output<Self>) {
        let (old, new) = (self.before, self.count);
        if old != new {
            output.emit(Counted::Changed { old, new });
        }
    }
}

#[derive(Clone, Copy)]
struct Counting;
enum Count {
    Increment,
    Decrement,
    Reset(Reply<&'static str>),
    Get(Reply<i64>),
}
impl Behavior for Counting {
    type Machine = Tally;
    type Message = Count;
    fn on_message(&self, message: Count, tally: Snapshot<Self>) -> Plan<Self> {
        match message {
            Count::Increment => Plan::emit(Counted::Up),
            Count::Decrement => Plan::emit(Counted::Down),
            Count::Reset(reply) => plan![
                Plan::emit(Counted::Reset),
                Plan::reply(reply, "reset complete"),
            ],
            Count::Get(reply) => {
                plan![Plan::emit(Counted::Looked), Plan::reply(reply, tally.count),]
            }
        }
    }
}

fn main() -> mainspring::Result {
    let system = System::new()?;
    let tally = system.spawn(Counting, Tally::default())?;
    let mut news = tally.events(16);
    tally.tell(Count::Increment)?;
    println!("Count is: {}", tally.ask(Count::Get).wait()?);
    tally.tell(Count::Increment)?;
    tally.tell(Count::Decrement)?;
    println!("{}", tally.ask(Count::Reset).wait()?);
    println!("Count is: {}", tally.ask(Count::Get).wait()?);
    println!("{} messages", tally.snapshot().wait()?.total_messages);
    while let Some(event) = news.try_next() {
        if let Counted::Changed { old, new } = event {
            println!("from {old} to {new}");
        }
    }
    Ok(())
}
