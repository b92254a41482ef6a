//! What a seed may do to the system that it runs.

use super::random::Random;
use crate::actor::Address;
use std::fmt;

/// What may go wrong in a simulation, at every place where it could: see
/// [`Sim::faults`](super::Sim::faults).
///
/// Mailboxes lose, reorder and double nothing in production, so no fault does: actors of one system
/// have no link between them that could. A [`Script`](super::Script) drops and delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A handler panics before it sees its message.
    Panic,
    /// A handler takes up to 10 s on the system's clock.
    Slow,
    /// A mailbox with room refuses a plan once, as a full one does.
    Full,
    /// An actor is left waiting for up to 64 turns while others have something to do.
    Late,
    /// The clock jumps ahead, by up to a day.
    Jump,
    /// An actor is stopped between two turns, whatever it does: see
    /// [`Handle::stop_now`](crate::Handle::stop_now).
    Stop,
    /// An actor is killed between two turns: see [`Handle::kill`](crate::Handle::kill).
    Kill,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Panic,
        Self::Slow,
        Self::Full,
        Self::Late,
        Self::Jump,
        Self::Stop,
        Self::Kill,
    ];

    /// The dead letters that it makes, by their causes' names.
    pub(super) fn letters(self) -> &'static [&'static str] {
        match self {
            Self::Panic => &["stopped", "ask failed", "quarantined"],
            Self::Full => &["full", "no room"],
            Self::Slow | Self::Jump => &["ask failed", "no room", "expired"],
            Self::Stop | Self::Kill => &["stopped", "ask failed"],
            Self::Late => &[],
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "the handler panics",
            Self::Slow => "the handler is slow",
            Self::Full => "a mailbox is full",
            Self::Late => "an actor is left waiting",
            Self::Jump => "the clock jumps",
            Self::Stop => "an actor is stopped",
            Self::Kill => "an actor is killed",
        })
    }
}

/// Which faults a simulation has, and how often.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) random: Random,
    kinds: Vec<Fault>,
    one_in: u64,
    spared: Vec<Address>,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(Random::new(0))
    }
}

impl Faults {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            kinds: Vec::new(),
            one_in: 1,
            spared: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, kinds: &[Fault], one_in: u64) {
        self.kinds = kinds.to_vec();
        self.one_in = one_in;
    }

    pub(super) fn spare(&mut self, actor: Address) {
        self.spared.push(actor);
    }

    pub(super) fn spares(&self, actor: Address) -> bool {
        self.spared.contains(&actor)
    }

    /// Whether this one happens now, to `actor` if to one.
    pub(super) fn happens(&mut self, fault: Fault, actor: Option<Address>) -> bool {
        self.kinds.contains(&fault)
            && !actor.is_some_and(|actor| self.spares(actor))
            && self.random.one_in(self.one_in)
    }
}
