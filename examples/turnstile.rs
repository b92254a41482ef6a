//! A chart in Rust as an actor's machine, with a behavior that reads its states: a turnstile that
//! locks itself again, and asks for help after the third try without a coin.
//!
//! `cargo run --example turnstile --features macros`

use mainspring::Clock;
use mainspring::prelude::*;
use std::time::Duration;

/// What may happen to the turnstile.
enum Turn {
    Coin,
    Push,
    After(u8),
}

/// What it counts.
#[derive(Clone, Default)]
struct Counts {
    passed: u32,
    tries: u32,
}

mainspring::chart! {
    chart Turnstile(counts: Counts, event: Turn, after: Turn::After) {
        initial Working;
        state Working {
            initial Locked;
            state Locked {
                on Turn::Coin => Unlocked { counts.tries = 0 }
                on Turn::Push if counts.tries == 2 => Blocked;
                on Turn::Push => { counts.tries += 1 }
            }
            state Unlocked {
                on Turn::Push => Locked { counts.passed += 1 }
                after Duration::from_secs(10) => Locked;
            }
        }
        state Blocked { tags "help"; }
    }
}

#[derive(Clone, Copy)]
struct Attending;

enum Ask {
    Insert,
    Push(Reply<&'static str>),
    Passed(Reply<u32>),
}

impl Behavior for Attending {
    type Machine = Turnstile;
    type Message = Ask;
    fn on_message(&self, message: Ask, turnstile: Snapshot<Self>) -> Plan<Self> {
        match message {
            Ask::Insert => Plan::emit(Turn::Coin),
            Ask::Push(reply) => {
                let pushed = Plan::emit(Turn::Push);
                let was_open = turnstile.is(TurnstileState::Unlocked);
                pushed.and(Plan::reply_after(
                    reply,
                    move |now: &Turnstile| match was_open {
                        true => "passed",
                        false if now.has_tag("help") => "help is coming",
                        false => "locked",
                    },
                ))
            }
            Ask::Passed(reply) => Plan::reply(reply, turnstile.context().passed),
        }
    }
}

fn main() -> mainspring::Result {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock)?;
    let turnstile = system.spawn(Attending, Turnstile::new(Counts::default())?)?;
    let push = || -> mainspring::Result {
        let asked = turnstile.ask(Ask::Push);
        system.run_until_idle();
        println!("{}", asked.wait()?);
        Ok(())
    };
    push()?;
    turnstile.tell(Ask::Insert)?;
    push()?;
    turnstile.tell(Ask::Insert)?;
    system.run_until_idle();
    hand.advance(Duration::from_secs(11));
    system.run_until_idle();
    for _ in 0..3 {
        push()?;
    }
    let asked = turnstile.ask(Ask::Passed);
    system.run_until_idle();
    println!("{} passed", asked.wait()?);
    Ok(())
}
