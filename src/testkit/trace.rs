//! What a simulation's turns were, for those who read a failure.

use super::fault::Fault;
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
        write!(
            f,
            "turn {turn} at {at:?}: actor {cell} ({behavior}), 1 of {among}, up to {batch}"
        )?;
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
