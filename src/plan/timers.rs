//! Timers as plan steps: armed, replaced and cancelled by key, delivered to the actor itself.

use super::{Plan, Steps, flag};
use crate::actor::Behavior;
use crate::envelope::{Kind, Parcel};
use crate::timer::TimerKey as WheelKey;
use hashbrown::HashMap;
use std::time::Duration;

/// Names a timer of one actor. Arming a key again replaces its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub(crate) u64);

impl Key {
    /// A key by number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// A key by name: 64 bits of it, by FNV-1a, so that names cost nothing at run time. Two of a
    /// thousand names are the same key with a chance of one in 10^13.
    pub const fn named(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
            i += 1;
        }
        Self(hash)
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

/// What an interval does about ticks that passed while it could not fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// Leaves them out: the next tick is the next multiple of the period.
    #[default]
    Skip,
    /// Makes up for each, one after the other.
    Burst,
    /// Starts anew: the next tick is one period after this one was handled.
    Delay,
}

/// An interval's message and rule.
pub(crate) struct Repeat<M> {
    pub(crate) message: M,
    pub(crate) clone: fn(&M) -> M,
    pub(crate) period_ns: u64,
    pub(crate) missed: Missed,
}

/// An interval's tick on its way to its actor.
pub(crate) struct Tick {
    pub(crate) key: u64,
    pub(crate) seq: u64,
}

/// An actor's armed timers.
#[derive(Default)]
pub(crate) struct Timers {
    armed: HashMap<u64, Armed>,
    next_seq: u64,
}

/// One armed timer.
pub(crate) struct Armed {
    pub(crate) seq: u64,
    /// Whose wheel holds it.
    pub(crate) worker: u32,
    pub(crate) wheel_key: WheelKey,
    /// An interval's message, and when it is due, in nanoseconds.
    pub(crate) repeat: Option<(Parcel, u64)>,
}

impl Timers {
    /// A number for a timer that was never used before by this actor.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// Notes a timer; returns the one that it replaces.
    pub(crate) fn insert(&mut self, key: u64, armed: Armed) -> Option<Armed> {
        self.armed.insert(key, armed)
    }

    pub(crate) fn get_mut(&mut self, key: u64, seq: u64) -> Option<&mut Armed> {
        self.armed.get_mut(&key).filter(|armed| armed.seq == seq)
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<Armed> {
        self.armed.remove(&key)
    }

    /// Takes the timer off if it is this very one, so not cancelled nor replaced.
    pub(crate) fn take(&mut self, key: u64, seq: u64) -> Option<Armed> {
        self.get_mut(key, seq)?;
        self.armed.remove(&key)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Armed> {
        self.armed.drain().map(|(_, armed)| armed)
    }

    pub(crate) fn len(&self) -> usize {
        self.armed.len()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl<B: Behavior> Plan<B> {
    /// The actor gets `message` when `delay` has passed: never before, and within a tick (1 ms)
    /// after, plus its queue. A timer of the same key is replaced. It dies with the actor.
    pub fn after(key: impl Into<Key>, delay: Duration, message: B::Message) -> Self {
        let note = [key.into().0, nanoseconds(delay)];
        let step = Parcel::with_note(Kind::Timer, message, note);
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER | flag::LIMITED, 0),
        }
    }

    /// The actor gets a clone of `message` every `period`, the first after one; ticks that it
    /// misses are skipped. See [`Plan::every_with`].
    pub fn every(key: impl Into<Key>, period: Duration, message: B::Message) -> Self
    where
        B::Message: Clone,
    {
        Self::every_with(key, period, message, Missed::default())
    }

    /// As [`Plan::every`], with a rule for missed ticks. At most one tick is in the mailbox at a
    /// time. A period under a nanosecond counts as one.
    pub fn every_with(
        key: impl Into<Key>,
        period: Duration,
        message: B::Message,
        missed: Missed,
    ) -> Self
    where
        B::Message: Clone,
    {
        let period_ns = nanoseconds(period).max(1);
        let repeat = Repeat {
            message,
            clone: Clone::clone,
            period_ns,
            missed,
        };
        let step = Parcel::with_note(Kind::Interval, repeat, [key.into().0, period_ns]);
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER | flag::LIMITED, 0),
        }
    }

    /// Cancels the actor's timer of this key. From this turn's commit on its message is never
    /// handled, also if it was in the mailbox already. Nothing if there is no such timer.
    pub fn cancel(key: impl Into<Key>) -> Self {
        let step = Parcel::with_note(Kind::Cancel, (), [key.into().0, 0]);
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER, 0),
        }
    }
}
