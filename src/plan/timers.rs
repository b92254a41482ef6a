//! Timers as plan steps: armed, replaced and cancelled by key, delivered to the actor itself.

use super::{Plan, Steps, flag};
use crate::actor::{Behavior, Origin};
use crate::dispatcher::effects::WheelEntry;
use crate::envelope::{Kind, Parcel};
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

/// What an actor gets once it has received nothing for a while.
pub(crate) struct Silence<M> {
    pub(crate) message: fn() -> M,
    pub(crate) after_ns: u64,
}

/// The key of the timer of an actor's receive time-out, which is no user's.
pub(crate) const SILENCE: u64 = Key::named("mainspring: receive time-out").0;

/// An interval's tick on its way to its actor.
pub(crate) struct Tick {
    pub(crate) key: u64,
    pub(crate) seq: u64,
}

/// An actor's armed timers by key: in a list while they are few, hashed once they were more.
#[derive(Default)]
pub(crate) struct Timers {
    /// Empty while `many` is not.
    few: Vec<(u64, Armed)>,
    many: HashMap<u64, Armed>,
    next_seq: u64,
}

/// So many timers are looked through one by one.
const FEW: usize = 12;

/// One armed timer.
pub(crate) struct Armed {
    pub(crate) seq: u64,
    pub(crate) entry: WheelEntry,
    /// An interval's message, and when it is due, in nanoseconds.
    pub(crate) repeat: Option<(Parcel, u64)>,
    /// That of the turn which armed it, where that is known.
    pub(crate) origin: Option<Box<Origin>>,
}

impl Timers {
    /// A number for a timer that was never used before by this actor.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// Notes a timer whose key is not in use.
    #[inline]
    pub(crate) fn insert(&mut self, key: u64, armed: Armed) {
        if self.few.len() < FEW && self.many.is_empty() {
            self.few.push((key, armed));
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(key, armed);
        }
    }

    #[inline]
    fn place(&self, key: u64) -> Option<usize> {
        self.few.iter().position(|timer| timer.0 == key)
    }

    pub(crate) fn get_mut(&mut self, key: u64, seq: u64) -> Option<&mut Armed> {
        let armed = match self.place(key) {
            Some(place) => &mut self.few[place].1,
            None => self.many.get_mut(&key)?,
        };
        (armed.seq == seq).then_some(armed)
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: u64) -> Option<Armed> {
        match self.place(key) {
            Some(place) => Some(self.few.swap_remove(place).1),
            None if self.many.is_empty() => None,
            None => self.many.remove(&key),
        }
    }

    /// Takes the timer off if it is this very one, so not cancelled nor replaced.
    #[inline]
    pub(crate) fn take(&mut self, key: u64, seq: u64) -> Option<Armed> {
        match self.place(key) {
            Some(place) if self.few[place].1.seq == seq => Some(self.few.swap_remove(place).1),
            Some(_) => None,
            None => {
                self.get_mut(key, seq)?;
                self.many.remove(&key)
            }
        }
    }

    /// The timer of the actor's receive time-out.
    pub(crate) fn silence(&mut self) -> Option<&mut Armed> {
        match self.place(SILENCE) {
            Some(place) => Some(&mut self.few[place].1),
            None => self.many.get_mut(&SILENCE),
        }
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Armed> {
        let many = self.many.drain().map(|(_, armed)| armed);
        self.few.drain(..).map(|(_, armed)| armed).chain(many)
    }

    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
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
            steps: Steps::one(step, flag::OWN | flag::LIMITED, 0),
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
            steps: Steps::one(step, flag::OWN | flag::LIMITED, 0),
        }
    }

    /// The actor gets what `message` makes once it has received nothing for `silence`, and again
    /// after each later time of that length, one for each: what it receives in between begins the
    /// time anew. Never early, and late as [`Plan::after`] is.
    ///
    /// All that it handles counts, answers, timers and `Down`s too; its own time-out does not, nor
    /// do snapshots and subscriptions from outside. It is one timer, which is not touched by what
    /// is received; that costs a look at the time. Actors without one pay nothing. Another replaces
    /// it, [`Plan::no_receive_timeout`] ends it, and so does the end of the incarnation.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use std::time::Duration;
    ///
    /// # #[derive(Clone, Default)]
    /// struct Session { open: bool }
    /// # impl Machine for Session { type Event = bool; fn apply(&mut self, open: bool) { self.open = open } }
    /// enum Line { Text(String), Quiet }
    /// #[derive(Clone, Copy)]
    /// struct Serving;
    /// impl Behavior for Serving {
    ///     type Machine = Session;
    ///     type Message = Line;
    ///
    ///     fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::emit(true).and(Plan::receive_timeout(Duration::from_secs(30), || Line::Quiet))
    ///     }
    ///
    ///     fn on_message(&self, line: Line, _: Snapshot<Self>) -> Plan<Self> {
    ///         match line {
    ///             Line::Text(_) => Plan::none(),
    ///             Line::Quiet => Plan::emit(false).and(Plan::no_receive_timeout()),
    ///         }
    ///     }
    /// }
    ///
    /// # fn main() -> mainspring::Result {
    /// let (clock, hand) = mainspring::Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let serving = system.spawn(Serving, Session::default())?;
    /// let is_open = || {
    ///     system.run_until_idle();
    ///     let asked = serving.snapshot();
    ///     system.run_until_idle();
    ///     asked.wait().map(|session| session.open)
    /// };
    /// for _ in 0..3 {
    ///     serving.tell(Line::Text("hello".into()))?;
    ///     assert!(is_open()?);
    ///     hand.advance(Duration::from_secs(29));
    /// }
    /// assert!(is_open()?);
    /// hand.advance(Duration::from_secs(2));
    /// assert!(!is_open()?);
    /// # Ok(()) }
    /// ```
    pub fn receive_timeout(silence: Duration, message: fn() -> B::Message) -> Self {
        let after_ns = nanoseconds(silence).max(1);
        let silence = Silence { message, after_ns };
        let step = Parcel::with_note(Kind::Interval, silence, [SILENCE, after_ns]);
        Self {
            event: None,
            steps: Steps::one(step, flag::OWN | flag::LIMITED, 0),
        }
    }

    /// Ends the actor's receive time-out: its message is never handled from this commit on. Nothing
    /// if there is none.
    pub fn no_receive_timeout() -> Self {
        Self::cancel(Key(SILENCE))
    }

    /// Cancels the actor's timer of this key. From this turn's commit on its message is never
    /// handled, also if it was in the mailbox already. Nothing if there is no such timer.
    pub fn cancel(key: impl Into<Key>) -> Self {
        let step = Parcel::with_note(Kind::Cancel, (), [key.into().0, 0]);
        Self {
            event: None,
            steps: Steps::one(step, flag::OWN, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::Wheel;

    #[test]
    fn timers_are_found_by_key_and_number_whether_few_or_many() {
        let mut wheel = Wheel::new(0);
        let mut timers = Timers::default();
        let mut arm = |timers: &mut Timers, key| {
            let seq = timers.next_seq();
            let entry = WheelEntry {
                worker: 0,
                key: wheel.insert(1, ()),
            };
            let armed = Armed {
                seq,
                entry,
                repeat: None,
                origin: None,
            };
            timers.insert(key, armed);
            seq
        };
        for count in [1, 3, FEW as u64, FEW as u64 + 1, 40] {
            let seqs: Vec<_> = (0..count).map(|key| arm(&mut timers, key)).collect();
            assert_eq!(timers.len() as u64, count);
            for key in (0..count).rev() {
                let seq = seqs[key as usize];
                assert!(timers.get_mut(key, seq + 1).is_none());
                assert!(timers.take(key, seq + 1).is_none());
                assert_eq!(timers.get_mut(key, seq).map(|armed| armed.seq), Some(seq));
                let gone = match key % 2 {
                    0 => timers.take(key, seq),
                    _ => timers.remove(key),
                };
                assert_eq!(gone.map(|armed| armed.seq), Some(seq));
                assert!(timers.remove(key).is_none());
                assert!(timers.take(key, seq).is_none());
            }
            assert_eq!(timers.len(), 0);
        }
        for key in 0..40 {
            arm(&mut timers, key);
        }
        assert_eq!(timers.drain().count(), 40);
        assert_eq!(timers.len(), 0);
    }
}
