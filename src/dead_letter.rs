//! Dead letters: what could not be handled, why, and how often.

use crate::AskError;
use crate::SpawnError;
use crate::actor::{Address, Origin, Refusal};
use crate::plan::delivery::Undelivered;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Mutex, lock};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Why a message was not handled, or a turn failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The target had stopped, or stopped with the message in its mailbox.
    Stopped,
    /// The system shut down.
    Shutdown,
    /// The target's mailbox was full, and the sender's or the mailbox's policy drops.
    Full,
    /// The mailbox was full and drops its oldest message.
    DroppedOldest,
    /// The behavior said that it does not handle the message.
    Unhandled,
    /// The handler panicked.
    Panicked,
    /// The machine refused an event of the turn.
    Refused(Refusal),
    /// The turn's plan asks, and as many asks wait as `system.max_asks_in_flight` allows.
    TooManyAsks,
    /// The turn's plan arms a timer, and there are as many as `system.max_timers` allows.
    TooManyTimers,
    /// The turn's plan sends, and messages take as much as `system.memory_ceiling_bytes` allows.
    NoMemory,
    /// A target of the turn's plan had no room until the commit's deadline.
    NoRoom,
    /// The turn's plan named an actor of another system.
    Foreign,
    /// The turn's plan spawned an actor that could not be made.
    NotSpawned(SpawnError),
    /// An ask failed, and its plan named nothing for that case.
    AskFailed(AskError),
    /// A delivery was given up.
    Undelivered(Undelivered),
    /// The turn's plan keeps a behavior, and as many are kept as may be.
    TooManyBehaviors,
    /// The turn's plan puts a message aside, and as many are as the actor's mailbox has places.
    StashFull,
    /// It was a question whose asker's time was up before its turn.
    Expired,
    /// So many of its turns panicked, one after the other; it is in the
    /// [`Quarantine`](crate::Quarantine).
    Quarantined {
        /// How many.
        crashes: u32,
    },
    /// No active state of the machine's chart takes the event: it changed nothing. The message that
    /// brought it was handled.
    NotTaken {
        /// The event's name; that of its type, where the chart is one of [`chart!`](mod@crate::chart).
        event: Arc<str>,
        /// The chart's name; empty if it has none.
        chart: Arc<str>,
    },
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Cause {
    /// The causes' names, by index.
    const NAMES: [&str; 20] = [
        "stopped",
        "shutdown",
        "full",
        "dropped oldest",
        "unhandled",
        "panicked",
        "refused",
        "no room",
        "foreign",
        "not spawned",
        "ask failed",
        "too many asks",
        "too many timers",
        "no memory",
        "undelivered",
        "too many behaviors",
        "stash full",
        "expired",
        "quarantined",
        "not taken",
    ];

    /// Its name, as metrics have it.
    #[cfg(feature = "testkit")]
    pub(crate) fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    fn index(&self) -> usize {
        match self {
            Self::Stopped => 0,
            Self::Shutdown => 1,
            Self::Full => 2,
            Self::DroppedOldest => 3,
            Self::Unhandled => 4,
            Self::Panicked => 5,
            Self::Refused(_) => 6,
            Self::NoRoom => 7,
            Self::Foreign => 8,
            Self::NotSpawned(_) => 9,
            Self::AskFailed(_) => 10,
            Self::TooManyAsks => 11,
            Self::TooManyTimers => 12,
            Self::NoMemory => 13,
            Self::Undelivered(_) => 14,
            Self::TooManyBehaviors => 15,
            Self::StashFull => 16,
            Self::Expired => 17,
            Self::Quarantined { .. } => 18,
            Self::NotTaken { .. } => 19,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the actor has stopped"),
            Self::Shutdown => f.write_str("the system shut down"),
            Self::Full => f.write_str("the mailbox was full"),
            Self::DroppedOldest => f.write_str("a newer message took its place in a full mailbox"),
            Self::Unhandled => f.write_str("the behavior does not handle it"),
            Self::Panicked => f.write_str("the handler panicked"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::TooManyAsks => {
                f.write_str("as many asks wait as system.max_asks_in_flight allows")
            }
            Self::TooManyTimers => {
                f.write_str("as many timers are armed as system.max_timers allows")
            }
            Self::NoMemory => {
                f.write_str("messages take as much as system.memory_ceiling_bytes allows")
            }
            Self::NoRoom => f.write_str("a target had no room until the commit's deadline"),
            Self::Foreign => f.write_str("the plan named an actor of another system"),
            Self::NotSpawned(error) => write!(f, "a child could not be made: {error}"),
            Self::AskFailed(error) => write!(f, "an ask failed: {error}"),
            Self::Undelivered(undelivered) => undelivered.fmt(f),
            Self::Expired => f.write_str("the time of its asker was up"),
            Self::Quarantined { crashes } => {
                write!(
                    f,
                    "{crashes} of its turns panicked; it is in the quarantine"
                )
            }
            Self::NotTaken { event, chart } if chart.is_empty() => {
                write!(f, "no active state takes {event}")
            }
            Self::NotTaken { event, chart } => {
                write!(f, "no active state of {chart} takes {event}")
            }
            Self::TooManyBehaviors => f.write_str("as many behaviors are kept as may be"),
            Self::StashFull => {
                f.write_str("as many messages are put aside as the mailbox has places")
            }
        }
    }
}

/// One message that was not handled. The message itself is gone; its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Whom it was for, or whose turn failed.
    pub actor: Address,
    /// The message's type.
    pub message: &'static str,
    /// Why.
    pub cause: Cause,
    /// Where the message came from, where `system.origins` is on and it was sent.
    pub origin: Option<Origin>,
}

/// The latest dead letters, and the counts of all.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    latest: Mutex<VecDeque<DeadLetter>>,
    capacity: usize,
    counts: [AtomicU64; Cause::NAMES.len()],
}

impl DeadLetters {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            latest: Mutex::new(VecDeque::new()),
            capacity,
            counts: Default::default(),
        }
    }

    /// Counts a dead letter and keeps it until newer ones take its place. When another thread
    /// writes at this moment it is only counted.
    pub(crate) fn add(&self, letter: DeadLetter) {
        self.counts[letter.cause.index()].fetch_add(1, Relaxed);
        if self.capacity == 0 {
            return;
        }
        let Ok(mut latest) = self.latest.try_lock() else {
            return;
        };
        if latest.len() == self.capacity {
            latest.pop_front();
        }
        latest.push_back(letter);
    }

    /// The latest, oldest first.
    pub(crate) fn latest(&self) -> Vec<DeadLetter> {
        lock(&self.latest).iter().cloned().collect()
    }

    /// How many there were of each cause, by its name.
    pub(crate) fn by_cause(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        Cause::NAMES.into_iter().zip(counts)
    }

    /// How many there were in all.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}
