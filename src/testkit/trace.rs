//! What a simulation's turns were, for those who read a failure.

use super::fault::Fault;
use crate::actor::Origin;
use crate::dead_letter::DeadLetter;
use std::fmt;
use std::time::Duration;

/// One turn of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// The turn's number, from 1.
    pub turn: u64,
    /// When it ran, on the system's clock.
    pub at: Duration,
    /// The actor's place in its system; a later actor may come to have it.
    pub cell: u32,
    /// How many actors there were to choose from.
    pub among: usize,
    /// The most messages that it might handle.
    pub batch: u32,
    /// The actor's behavior.
    pub behavior: &'static str,
    /// The actor's machine by its [id](crate::Machine::id), if it has one.
    pub machine: Option<String>,
    /// What the seed did to it, or before it.
    pub faults: Vec<Fault>,
    /// What its handler got and decided, if the simulation is [explained](super::Sim::explain).
    pub heard: Vec<Heard>,
    /// What became a dead letter in it.
    pub dead_letters: Vec<DeadLetter>,
}

/// One message of a turn: who sent what, why, and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heard {
    /// The place of the actor that sent it: the actor's own, if it came from outside or from
    /// itself; none, if it is no message of an actor's.
    pub from: Option<u32>,
    /// Why the handler got it: `told`, `asked`, `a timer`, `an ask's outcome` and the like.
    pub why: &'static str,
    /// The message, as its `Debug` has it if [`Sim::show`](super::Sim::show) named its type, else
    /// the type.
    pub message: String,
    /// What the plan says, in its order.
    pub plan: Vec<String>,
    /// Where the message came from, if the system's `origins` are on.
    pub origin: Option<Origin>,
    /// The machine before and after the turn, if [`Sim::show`](super::Sim::show) named its type.
    pub machine: [Option<String>; 2],
    /// The stages that the turn went through, in the order in which it did: of `deliver`, `decide`,
    /// `admit`, `evolve` and `publish` those that it had. An admission is there once, at the first
    /// look for room.
    pub stages: Vec<&'static str>,
    /// What became of it: `committed`, `unhandled`, `failed`, `waits for room` and the like; none, if
    /// the handler panicked.
    pub outcome: Option<&'static str>,
}

impl Heard {
    /// The turn as a drawing, a stage a line.
    fn draw(&self, behavior: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = &self.machine;
        for (place, stage) in self.stages.iter().enumerate() {
            let arrow = if place == 0 { "  " } else { "▼ " };
            write!(f, "  {arrow}{stage:<8}")?;
            match *stage {
                "deliver" => {
                    match self.from {
                        Some(from) => write!(f, "{} by actor {from}: {}", self.why, self.message)?,
                        None => write!(f, "{}: {}", self.why, self.message)?,
                    }
                    if let Some(origin) = &self.origin {
                        write!(f, " ({origin})")?;
                    }
                }
                "decide" => {
                    write!(f, "{behavior}")?;
                    if let Some(before) = before {
                        write!(f, " sees {before}")?;
                    }
                    let plan = match self.plan.is_empty() {
                        true => "nothing".to_owned(),
                        false => self.plan.join(", "),
                    };
                    write!(f, " -> plan: {plan}")?;
                }
                "admit" => f.write_str("places in the targets' mailboxes")?,
                "evolve" => match after {
                    Some(after) => write!(f, "the machine is {after}")?,
                    None => f.write_str("the machine, by the plan's events")?,
                },
                _ => f.write_str("what the plan and the machine send")?,
            }
            writeln!(f)?;
        }
        writeln!(f, "  = {}", self.outcome.unwrap_or("the handler panicked"))
    }
}

/// A turn as a drawing; see [`Ran::diagram`].
#[derive(Clone, Copy, Debug)]
pub struct Diagram<'a>(&'a Ran);

impl fmt::Display for Diagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ran = self.0;
        write!(f, "turn {} at {:?}: actor {}", ran.turn, ran.at, ran.cell)?;
        if let Some(machine) = &ran.machine {
            write!(f, " with {machine}")?;
        }
        writeln!(f)?;
        ran.heard
            .iter()
            .try_for_each(|heard| heard.draw(ran.behavior, f))
    }
}

impl Ran {
    /// The turn as a drawing: of each message how it was delivered, what the handler saw and
    /// decided, and what the commit did, in the order in which it happened. Only in simulations that
    /// are [explained](super::Sim::explain).
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::testkit::Sim;
    ///
    /// #[derive(Debug)]
    /// struct Till(u64);
    /// impl Machine for Till {
    ///     type Event = u64;
    ///     fn apply(&mut self, cents: u64) { self.0 += cents }
    /// }
    /// #[derive(Debug)]
    /// enum Sale { Sell(u64), Note }
    /// #[derive(Clone, Copy)]
    /// struct Selling;
    /// impl Behavior for Selling {
    ///     type Machine = Till;
    ///     type Message = Sale;
    ///     fn on_message(&self, sale: Sale, till: Snapshot<Self>) -> Plan<Self> {
    ///         match sale {
    ///             Sale::Sell(cents) => Plan::emit(cents).and(Plan::tell(till.me(), Sale::Note)),
    ///             Sale::Note => Plan::none(),
    ///         }
    ///     }
    /// }
    ///
    /// let mut sim = Sim::new(1);
    /// sim.explain();
    /// sim.show::<Sale>();
    /// sim.show::<Till>();
    /// let till = sim.system().spawn(Selling, Till(40)).unwrap();
    /// till.tell(Sale::Sell(2)).unwrap();
    /// sim.run_until_idle();
    /// let first = sim.trace().find(|ran| !ran.heard.is_empty()).unwrap();
    /// let drawing = first.diagram().to_string();
    /// let drawing = drawing.split_once('\n').unwrap().1.replace(first.behavior, "Selling");
    /// assert!(drawing.starts_with("    deliver told by actor 0: Sell(2)
    ///   ▼ decide  Selling sees Till(40) -> plan: evolves, tells actor 0: Sale
    ///   ▼ admit   places in the targets' mailboxes
    ///   ▼ evolve  the machine is Till(42)
    ///   ▼ publish what the plan and the machine send
    ///   = committed
    /// "), "{drawing}");
    /// ```
    pub fn diagram(&self) -> Diagram<'_> {
        Diagram(self)
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{} by actor {from}: {}", self.why, self.message)?,
            None => write!(f, "{}: {}", self.why, self.message)?,
        }
        match self.plan.is_empty() {
            true => Ok(()),
            false => write!(f, " -> {}", self.plan.join(", ")),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            turn,
            at,
            cell,
            among,
            batch,
            behavior,
            ..
        } = self;
        write!(f, "turn {turn} at {at:?}: actor {cell} ({behavior}")?;
        if let Some(machine) = &self.machine {
            write!(f, " with {machine}")?;
        }
        write!(f, "), 1 of {among}, up to {batch}")?;
        for fault in &self.faults {
            write!(f, "\n    fault: {fault}")?;
        }
        for heard in &self.heard {
            write!(f, "\n    {heard}")?;
        }
        for letter in &self.dead_letters {
            write!(f, "\n    dead letter {}: {}", letter.message, letter.cause)?;
        }
        Ok(())
    }
}
