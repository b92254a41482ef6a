//! Overload: ten times what an actor can handle, for a time.
//!
//! ```text
//!   offered ──┬── accepted ──┬── handled
//!             │              └── dropped, counted as dead letters
//!             └── refused, and given back to the sender
//! ```
//!
//! Memory must not grow while it lasts, and no message may be lost without a trace:
//! offered = refused + handled + dropped.

use std::thread;
use std::time::{Duration, Instant};

use mainspring::SendError;
use mainspring::config::Overflow;
use mainspring::prelude::*;

use super::super::measure::Measure;
use super::super::memory::resident_bytes;
use super::super::meter::{Meter, Sample};
use super::super::setting::Setting;
use super::stage::Stage;
use super::work::{steps, steps_in};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 4] {
    [&REFUSING, &WAITING, &DROPPING_NEWEST, &DROPPING_OLDEST]
}

/// One thread offers one actor ten messages in the time that the actor needs for one.
struct Overload {
    name: &'static str,
    about: &'static str,
    overflow: Overflow,
    /// Whether so many may be refused, and so many dropped.
    allows: fn(u64, u64) -> bool,
}

static REFUSING: Overload = Overload {
    name: "overload-reject",
    about: "A thread offers an actor ten times what it can handle (10 µs of work a message); a \
            full mailbox gives the message back.",
    overflow: Overflow::Reject,
    allows: |refused, dropped| refused > 0 && dropped == 0,
};

static WAITING: Overload = Overload {
    name: "overload-wait",
    about: "A thread offers an actor ten times what it can handle (10 µs of work a message); a \
            full mailbox lets the thread wait.",
    overflow: Overflow::Wait,
    allows: |refused, dropped| refused == 0 && dropped == 0,
};

static DROPPING_NEWEST: Overload = Overload {
    name: "overload-drop-newest",
    about: "A thread offers an actor ten times what it can handle (10 µs of work a message); a \
            full mailbox drops the new message.",
    overflow: Overflow::DropNewest,
    allows: |refused, dropped| refused == 0 && dropped > 0,
};

static DROPPING_OLDEST: Overload = Overload {
    name: "overload-drop-oldest",
    about: "A thread offers an actor ten times what it can handle (10 µs of work a message); a \
            full mailbox drops its oldest message.",
    overflow: Overflow::DropOldest,
    allows: |_, dropped| dropped > 0,
};

const TURN: Duration = Duration::from_micros(10);
const OFFERS_A_TURN: u64 = 10;
/// How much resident memory may grow in the second half of the time: by a mailbox that drops its
/// oldest, which takes 65,535 messages until the actor next looks at it. Without a bound a usual
/// run would grow by 50 MB.
const GROWTH_BYTES_MAX: u64 = 12 << 20;

impl Workload for Overload {
    fn name(&self) -> &'static str {
        self.name
    }

    fn group(&self) -> Group {
        Group::Work
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn message(&self) -> &'static str {
        "one message handled, with 10 µs of work"
    }

    /// In milliseconds.
    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 800,
            quick: 150,
        }
    }

    fn warms_up(&self) -> bool {
        false
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set_with(setting, |builder| builder.mailbox_overflow(self.overflow))?;
        let toiling = Toiling {
            steps_each: steps_in(TURN),
        };
        let actor = stage.system.spawn(toiling, Toiled::default())?;
        let time = Duration::from_millis(setting.size);
        let (window, outcome) = meter.window(|| offer(&actor, time));
        let (offered, refused, growth) = outcome?;
        let handled = handled_in_the_end(&stage, &actor)?;
        let dropped = stage.system.dead_letter_count();
        Wrong::unless_equal(
            "messages refused, handled or dropped",
            refused + handled + dropped,
            offered,
        )?;
        if !(self.allows)(refused, dropped) {
            return Err(Wrong(format!(
                "{refused} refused and {dropped} dropped is not what {:?} does",
                self.overflow
            )));
        }
        if growth > GROWTH_BYTES_MAX {
            return Err(Wrong(format!(
                "resident memory grew by {growth} bytes in the second half"
            )));
        }
        stage.clear()?;
        Ok(window.sample(handled).with(
            Measure::RefusedShare,
            (refused + dropped) as f64 / offered as f64,
        ))
    }
}

/// Offers messages for `time`. Returns how many, how many came back, and by how many bytes the
/// process grew in the second half.
fn offer(actor: &Actor<Toiling>, time: Duration) -> Result<(u64, u64, u64), Wrong> {
    let began = Instant::now();
    let (mut offered, mut refused) = (0, 0);
    let mut half = None;
    while began.elapsed() < time {
        if half.is_none() && began.elapsed() >= time / 2 {
            half = Some(resident_bytes());
        }
        let due = began + TURN * (offered / OFFERS_A_TURN) as u32;
        if Instant::now() < due {
            std::hint::spin_loop();
            continue;
        }
        for _ in 0..OFFERS_A_TURN {
            match actor.tell(Toil::Piece(offered)) {
                Ok(()) => {}
                Err(SendError::Full(_)) => refused += 1,
                Err(error) => return Err(error.into()),
            }
            offered += 1;
        }
    }
    let before = half.unwrap_or_else(resident_bytes);
    Ok((offered, refused, resident_bytes().saturating_sub(before)))
}

/// How many messages the actor has handled once it is through with all that it accepted: as the
/// system counts, and as the actor itself.
fn handled_in_the_end(stage: &Stage, actor: &Actor<Toiling>) -> Result<u64, Wrong> {
    let by_system = loop {
        let counts = stage.system.counts(actor.actor());
        let counts = counts.ok_or_else(|| Wrong("the actor has died".to_owned()))?;
        // At rest the counts are exact, and a question finds room.
        if counts.queued == 0 {
            break counts.handled;
        }
        thread::sleep(TURN);
    };
    let by_actor = actor.ask(Toil::Handled).wait()?;
    Wrong::unless_equal("what the system says was handled", by_system, by_actor)?;
    Ok(by_actor)
}

enum Toil {
    Piece(u64),
    Handled(Reply<u64>),
}

#[derive(Default)]
struct Toiled {
    count: u64,
    sum: u64,
}

/// The result of one piece.
struct Did(u64);

impl Machine for Toiled {
    type Event = Did;

    fn apply(&mut self, did: Did) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(did.0);
    }
}

#[derive(Clone, Copy)]
struct Toiling {
    steps_each: u64,
}

impl Behavior for Toiling {
    type Machine = Toiled;
    type Message = Toil;

    fn on_message(&self, message: Toil, toiled: Snapshot<Self>) -> Plan<Self> {
        match message {
            Toil::Piece(number) => Plan::emit(Did(steps(number, self.steps_each))),
            Toil::Handled(reply) => Plan::reply(reply, std::hint::black_box(&toiled).count),
        }
    }
}
