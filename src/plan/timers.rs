//! Timers as plan steps: armed, replaced and cancelled by key, delivered to the actor itself.

use super::{Plan, Steps, flag};
use crate::actor::{Behavior, Origin};
use crate::dispatcher::effects::WheelEntry;
use crate::envelope::{Kind, Parcel};
use hashbrown::hash_table::{Entry, VacantEntry};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
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

/// An interval's tick: it waits in the wheel, goes to its actor, and is armed anew.
#[derive(Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) key: u64,
    pub(crate) seq: u64,
}

/// An actor's armed timers by key: in a list while they are few, in tables once they were more.
#[derive(Default)]
pub(crate) struct Timers {
    /// Empty while `many` is not.
    few: Vec<Armed>,
    many: Tables,
    next_seq: u64,
}

/// So many timers are looked through one by one.
const FEW: usize = 12;

/// One armed timer.
pub(crate) struct Armed {
    pub(crate) key: u64,
    pub(crate) seq: u64,
    pub(crate) entry: WheelEntry,
    /// An interval's message. Its note's first number is when it is due, in nanoseconds.
    pub(crate) repeat: Option<Parcel>,
    /// That of the turn which armed it, where that is known.
    pub(crate) origin: Option<Box<Origin>>,
}

impl Timers {
    /// A number for a timer that was never used before by this actor.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// Where the timer of this key is, or may be put.
    #[inline]
    pub(crate) fn place(&mut self, key: u64) -> Place<'_> {
        if self.many.len == 0 {
            if let Some(place) = self.few.iter().position(|armed| armed.key == key) {
                return Place::Taken(&mut self.few[place]);
            }
            if self.few.len() < FEW {
                return Place::Free(Free::Few(&mut self.few));
            }
            for armed in self.few.drain(..) {
                if let Place::Free(free) = self.many.place(armed.key) {
                    free.put(armed);
                }
            }
        }
        self.many.place(key)
    }

    /// The timer of this key.
    #[inline]
    pub(crate) fn find(&mut self, key: u64) -> Option<&mut Armed> {
        match self.many.len {
            0 => self.few.iter_mut().find(|armed| armed.key == key),
            _ => self.many.find(key),
        }
    }

    /// The same, if it is this very one, so not cancelled nor replaced.
    pub(crate) fn find_armed(&mut self, key: u64, seq: u64) -> Option<&mut Armed> {
        self.find(key).filter(|armed| armed.seq == seq)
    }

    /// Takes the timer of this key off.
    #[inline]
    pub(crate) fn remove(&mut self, key: u64) -> Option<Armed> {
        self.remove_if(|armed| armed.key == key, key)
    }

    /// Takes the timer off if it is this very one.
    #[inline]
    pub(crate) fn take(&mut self, key: u64, seq: u64) -> Option<Armed> {
        self.remove_if(|armed| armed.key == key && armed.seq == seq, key)
    }

    #[inline(always)]
    fn remove_if(&mut self, is_it: impl Fn(&Armed) -> bool, key: u64) -> Option<Armed> {
        if self.many.len > 0 {
            return self.many.remove(key, is_it);
        }
        let place = self.few.iter().position(is_it)?;
        Some(self.few.swap_remove(place))
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Armed> {
        self.few.drain(..).chain(self.many.drain())
    }

    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.len
    }
}

/// What is in the place of a key.
pub(crate) enum Place<'a> {
    Taken(&'a mut Armed),
    Free(Free<'a>),
}

/// A place for a timer whose key is not in use.
pub(crate) enum Free<'a> {
    Few(&'a mut Vec<Armed>),
    Many(VacantEntry<'a, Armed>, &'a mut usize),
}

impl Free<'_> {
    /// Puts the timer of the place's key there.
    #[inline]
    pub(crate) fn put(self, armed: Armed) {
        match self {
            Self::Few(few) => few.push(armed),
            Self::Many(place, len) => {
                *len += 1;
                place.insert(armed);
            }
        }
    }
}

/// Timers by key in small tables, one of which is split whenever there are more timers: none waits
/// until all others have moved, and memory comes in pieces of one size (W. Litwin, "Linear hashing",
/// VLDB 1980).
#[derive(Default)]
struct Tables {
    tables: Vec<HashTable<Armed>>,
    /// The lowest 2^n - 1 not below the last table's number.
    mask: usize,
    len: usize,
    hasher: DefaultHashBuilder,
}

/// Timers a table, in the mean, and how many each has room for at first: few tables have more.
const MEAN: usize = 40;
const ROOM: usize = 56;

impl Tables {
    #[inline]
    fn place(&mut self, key: u64) -> Place<'_> {
        if self.len >= self.tables.len() * MEAN {
            self.split();
        }
        let hash = self.hasher.hash_one(key);
        let number = number_of(hash, self.mask, self.tables.len());
        let hash_of = |armed: &Armed| self.hasher.hash_one(armed.key);
        match self.tables[number].entry(hash, |armed| armed.key == key, hash_of) {
            Entry::Occupied(taken) => Place::Taken(taken.into_mut()),
            Entry::Vacant(free) => Place::Free(Free::Many(free, &mut self.len)),
        }
    }

    #[inline]
    fn find(&mut self, key: u64) -> Option<&mut Armed> {
        let hash = self.hasher.hash_one(key);
        let number = number_of(hash, self.mask, self.tables.len());
        self.tables[number].find_mut(hash, |armed| armed.key == key)
    }

    #[inline(always)]
    fn remove(&mut self, key: u64, is_it: impl Fn(&Armed) -> bool) -> Option<Armed> {
        let hash = self.hasher.hash_one(key);
        let number = number_of(hash, self.mask, self.tables.len());
        let found = self.tables[number].find_entry(hash, is_it).ok()?;
        self.len -= 1;
        Some(found.remove().0)
    }

    /// One table more: it gets about half of the timers of another.
    #[cold]
    fn split(&mut self) {
        let last = self.tables.len();
        let mut table = HashTable::with_capacity(ROOM);
        if last > 0 {
            let (mask, hasher) = (self.mask | last, &self.hasher);
            let hash_of = |armed: &Armed| hasher.hash_one(armed.key);
            let from = &mut self.tables[last - mask.div_ceil(2)];
            for armed in from.extract_if(|armed| number_of(hash_of(armed), mask, last + 1) == last)
            {
                table.insert_unique(hash_of(&armed), armed, hash_of);
            }
            self.mask = mask;
        }
        self.tables.push(table);
    }

    fn drain(&mut self) -> impl Iterator<Item = Armed> {
        self.len = 0;
        self.tables.iter_mut().flat_map(HashTable::drain)
    }
}

/// The number of the table, of so many, for what hashes to `hash`: by bits of which a table itself
/// makes no use.
#[inline(always)]
fn number_of(hash: u64, mask: usize, tables: usize) -> usize {
    let number = (hash >> 24) as usize & mask;
    if number < tables {
        number
    } else {
        number & (mask >> 1) // not split yet
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
    use std::collections::BTreeMap;

    /// Arms a timer of `key`, whose number is returned.
    fn arm(wheel: &mut Wheel<()>, timers: &mut Timers, key: u64) -> u64 {
        let seq = timers.next_seq();
        let entry = WheelEntry {
            worker: 0,
            key: wheel.insert(1, ()),
        };
        let Place::Free(free) = timers.place(key) else {
            panic!("the key is not in use");
        };
        free.put(Armed {
            key,
            seq,
            entry,
            repeat: None,
            origin: None,
        });
        seq
    }

    #[test]
    fn timers_are_found_by_key_and_number_whether_few_or_many() {
        let mut wheel = Wheel::new(0);
        let mut timers = Timers::default();
        for count in [1, 3, FEW as u64, FEW as u64 + 1, 40, 1_000] {
            let seqs: Vec<_> = (0..count)
                .map(|key| arm(&mut wheel, &mut timers, key))
                .collect();
            assert_eq!(timers.len() as u64, count);
            for key in (0..count).rev() {
                let seq = seqs[key as usize];
                assert!(timers.find_armed(key, seq + 1).is_none());
                assert!(timers.take(key, seq + 1).is_none());
                assert_eq!(
                    timers.find_armed(key, seq).map(|armed| armed.seq),
                    Some(seq)
                );
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
            arm(&mut wheel, &mut timers, key);
        }
        assert_eq!(timers.drain().count(), 40);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn timers_are_those_of_a_sorted_map_while_their_tables_split() {
        let mut wheel = Wheel::new(0);
        let mut timers = Timers::default();
        let mut model = BTreeMap::new();
        let mut random = 42_u64;
        for step in 0..40_000_u64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = random % 6_000;
            // Grows, then shrinks, then grows again.
            if (random >> 32) % 10 < [8, 2, 8][(step / 14_000) as usize] {
                if let Place::Taken(armed) = timers.place(key) {
                    assert_eq!(Some(&armed.seq), model.get(&key));
                } else {
                    assert!(!model.contains_key(&key));
                    model.insert(key, arm(&mut wheel, &mut timers, key));
                }
            } else {
                let gone = timers.remove(key).map(|armed| armed.seq);
                assert_eq!(gone, model.remove(&key));
            }
            assert_eq!(timers.len(), model.len());
        }
        assert!(model.len() > 2_000);
        let mut left: Vec<_> = timers.drain().map(|armed| (armed.key, armed.seq)).collect();
        left.sort_unstable();
        assert!(left.into_iter().eq(model));
        assert_eq!(timers.len(), 0);
        assert!(timers.find(0).is_none());
    }
}
