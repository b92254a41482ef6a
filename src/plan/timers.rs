//! Timers as plan steps: armed, replaced and cancelled by key, delivered to the actor itself.

use super::{Plan, Steps, flag};
use crate::actor::{Behavior, Origin};
use crate::dispatcher::effects::WheelEntry;
use crate::envelope::{Kind, Parcel};
use crate::timer::{Chunks, TimerKey};
use hashbrown::{DefaultHashBuilder, HashMap};
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

/// An actor's armed timers by key: in a list while they are few, and chained by hash for good once
/// they were more.
#[derive(Default)]
pub(crate) struct Timers {
    /// Empty once `many` is in use.
    few: Vec<Armed>,
    many: Many,
    /// What else is known of some timers, by key.
    extras: Option<Box<HashMap<u64, Extra>>>,
    next_seq: u64,
}

/// So many timers are looked through one by one.
const FEW: usize = 12;

/// One armed timer.
#[derive(Clone, Copy)]
pub(crate) struct Armed {
    pub(crate) key: u64,
    pub(crate) seq: u64,
    pub(crate) entry: WheelEntry,
    /// The next one of its chain, or of those out of use.
    next: u32,
}

const _: () = assert!(size_of::<Armed>() == 32);

impl Armed {
    /// A timer of `key` with a number that was not used before, in a wheel.
    pub(crate) const fn new(key: u64, seq: u64, entry: WheelEntry) -> Self {
        Self {
            key,
            seq,
            entry,
            next: NONE,
        }
    }
}

/// What only some timers have.
pub(crate) struct Extra {
    /// An interval's message. Its note's first number is when it is due, in nanoseconds.
    pub(crate) repeat: Option<Parcel>,
    /// That of the turn which armed it, where that is known.
    pub(crate) origin: Option<Box<Origin>>,
}

impl Timers {
    /// A number for a timer that was never used before by this actor.
    #[inline]
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// Keeps a timer. Returns the one of its key before it, if there is one.
    #[inline(always)]
    pub(crate) fn put(&mut self, armed: Armed) -> Option<Armed> {
        if self.many.is_in_use() {
            return self.many.put(armed);
        }
        self.put_few(armed)
    }

    #[inline(never)]
    fn put_few(&mut self, armed: Armed) -> Option<Armed> {
        if let Some(there) = self.few.iter_mut().find(|there| there.key == armed.key) {
            return Some(std::mem::replace(there, armed));
        }
        if self.few.len() < FEW {
            self.few.push(armed);
            return None;
        }
        for armed in std::mem::take(&mut self.few) {
            self.many.put(armed);
        }
        self.many.put(armed)
    }

    /// The timer of this key, and what else is known of it, if something is.
    pub(crate) fn find_with_extra(&mut self, key: u64) -> Option<(&mut Armed, &Extra)> {
        let armed = match self.many.is_in_use() {
            true => self.many.find(key),
            false => self.few.iter_mut().find(|armed| armed.key == key),
        };
        Some((armed?, self.extras.as_ref()?.get(&key)?))
    }

    /// Takes the timer of this key off.
    #[inline]
    pub(crate) fn remove(&mut self, key: u64) -> Option<Armed> {
        self.remove_if(key, |_| true)
    }

    /// Takes the timer off if it is this very one.
    #[inline]
    pub(crate) fn take(&mut self, key: u64, seq: u64) -> Option<Armed> {
        self.remove_if(key, |armed| armed.seq == seq)
    }

    #[inline(always)]
    fn remove_if(&mut self, key: u64, is_it: impl Fn(&Armed) -> bool) -> Option<Armed> {
        if self.many.is_in_use() {
            return self.many.remove(key, is_it);
        }
        let is_it = |armed: &Armed| armed.key == key && is_it(armed);
        let place = self.few.iter().position(is_it)?;
        Some(self.few.swap_remove(place))
    }

    /// Whether more is known of any timer.
    #[inline(always)]
    pub(crate) fn has_extras(&self) -> bool {
        self.extras.is_some()
    }

    /// Sets what else is known of the timer of this key. Returns what was of the one before it.
    #[cold]
    pub(crate) fn set_extra(&mut self, key: u64, extra: Option<Extra>) -> Option<Extra> {
        match extra {
            Some(extra) => self.extras.get_or_insert_default().insert(key, extra),
            None => self.take_extra(key),
        }
    }

    /// Takes what else is known of the timer of this key, which is off.
    #[inline]
    pub(crate) fn take_extra(&mut self, key: u64) -> Option<Extra> {
        self.extras.as_mut()?.remove(&key)
    }

    /// Takes all timers off, and all that is known of them.
    pub(crate) fn take_all(
        &mut self,
    ) -> (
        impl Iterator<Item = Armed> + use<>,
        impl Iterator<Item = Extra> + use<>,
    ) {
        let few = std::mem::take(&mut self.few).into_iter();
        let many = std::mem::take(&mut self.many).into_iter();
        let extras = self.extras.take().into_iter();
        (
            few.chain(many),
            extras.flat_map(|extras| extras.into_values()),
        )
    }

    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.len
    }
}

/// No timer.
const NONE: u32 = u32::MAX;

/// Timers by key, in chains by hash, of which there are two for each timer: whenever there is a
/// timer more, two chains are split (W. Litwin, "Linear hashing", VLDB 1980). A timer stays where it
/// is: none waits until all others have moved, and memory comes in pieces of one size.
struct Many {
    /// The first timer of each chain.
    chains: Chunks<u32, 256>,
    count: usize,
    /// The lowest 2^n - 1 not below the last chain's number.
    mask: usize,
    timers: Chunks<Armed, 64>,
    /// Places out of use.
    free: u32,
    len: usize,
    hasher: DefaultHashBuilder,
}

impl Default for Many {
    fn default() -> Self {
        Self {
            chains: Chunks::new(),
            count: 0,
            mask: 0,
            timers: Chunks::new(),
            free: NONE,
            len: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl Many {
    /// Whether there ever was a timer.
    #[inline(always)]
    fn is_in_use(&self) -> bool {
        self.count > 0
    }

    /// The chain for a key.
    #[inline(always)]
    fn chain_of(&self, key: u64) -> u32 {
        let number = self.hasher.hash_one(key) as usize & self.mask;
        let number = match number < self.count {
            true => number,
            false => number & (self.mask >> 1), // not split yet
        };
        number as u32
    }

    #[inline(always)]
    fn put(&mut self, armed: Armed) -> Option<Armed> {
        // Twice as many chains as timers: most have one or none.
        if 2 * self.len >= self.count {
            self.split();
            self.split();
        }
        if self.free == NONE {
            self.grow();
        }
        let chain = self.chain_of(armed.key);
        let first = &mut self.chains[chain];
        let mut place = *first;
        while place != NONE {
            let there = &mut self.timers[place];
            if there.key == armed.key {
                let next = there.next;
                return Some(std::mem::replace(there, Armed { next, ..armed }));
            }
            place = there.next;
        }
        let there = &mut self.timers[self.free];
        let next = std::mem::replace(first, self.free);
        self.free = there.next;
        *there = Armed { next, ..armed };
        self.len += 1;
        None
    }

    fn find(&mut self, key: u64) -> Option<&mut Armed> {
        let mut place = self.chains[self.chain_of(key)];
        while place != NONE {
            if self.timers[place].key == key {
                return Some(&mut self.timers[place]);
            }
            place = self.timers[place].next;
        }
        None
    }

    #[inline(always)]
    fn remove(&mut self, key: u64, is_it: impl Fn(&Armed) -> bool) -> Option<Armed> {
        let chain = self.chain_of(key);
        let (mut before, mut place) = (NONE, self.chains[chain]);
        while place != NONE {
            let there = &mut self.timers[place];
            let armed = *there;
            if armed.key != key {
                (before, place) = (place, armed.next);
                continue;
            }
            if !is_it(&armed) {
                return None;
            }
            there.next = std::mem::replace(&mut self.free, place);
            match before {
                NONE => self.chains[chain] = armed.next,
                _ => self.timers[before].next = armed.next,
            }
            self.len -= 1;
            return Some(armed);
        }
        None
    }

    /// One chain more: it gets about half of the timers of another.
    #[inline(never)]
    fn split(&mut self) {
        let last = self.count;
        if last == self.chains.len() {
            self.chains.grow(|_| NONE);
        }
        self.count += 1;
        self.mask |= last;
        if last == 0 {
            return;
        }
        let from = last - self.mask.div_ceil(2);
        let mut place = std::mem::replace(&mut self.chains[from as u32], NONE);
        while place != NONE {
            let Armed { key, next, .. } = self.timers[place];
            let chain = self.chain_of(key);
            self.timers[place].next = std::mem::replace(&mut self.chains[chain], place);
            place = next;
        }
    }

    /// More places, all of them out of use.
    #[cold]
    fn grow(&mut self) {
        let first = self.timers.len();
        let entry = WheelEntry {
            worker: 0,
            key: TimerKey::NONE,
        };
        self.timers.grow(|_| Armed::new(0, 0, entry));
        let end = self.timers.len();
        assert!(end <= NONE as usize, "an actor has about {NONE} timers");
        // The lowest number comes out first.
        for place in (first as u32..end as u32).rev() {
            self.timers[place].next = std::mem::replace(&mut self.free, place);
        }
    }

    /// All timers, in no particular order.
    fn into_iter(self) -> impl Iterator<Item = Armed> {
        let (mut chain, mut place) = (0, NONE);
        std::iter::from_fn(move || {
            while place == NONE {
                if chain as usize == self.count {
                    return None;
                }
                place = self.chains[chain];
                chain += 1;
            }
            let armed = self.timers[place];
            place = armed.next;
            Some(armed)
        })
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
        let step = Parcel::bare(Kind::Cancel, [key.into().0, 0]);
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

    /// Arms a timer of `key`, whose number is returned, in place of another that is returned too.
    fn arm(wheel: &mut Wheel<()>, timers: &mut Timers, key: u64) -> (u64, Option<u64>) {
        let seq = timers.next_seq();
        let entry = WheelEntry {
            worker: 0,
            key: wheel.insert(1, ()),
        };
        let replaced = timers.put(Armed::new(key, seq, entry));
        (seq, replaced.map(|armed| armed.seq))
    }

    fn extra() -> Option<Extra> {
        Some(Extra {
            repeat: Some(Parcel::new(Kind::Interval, ())),
            origin: None,
        })
    }

    #[test]
    fn timers_are_found_by_key_and_number_whether_few_or_many() {
        let mut wheel = Wheel::new(0);
        for count in [1, 3, FEW as u64, FEW as u64 + 1, 40, 1_000] {
            let mut timers = Timers::default();
            let seqs: Vec<_> = (0..count)
                .map(|key| arm(&mut wheel, &mut timers, key).0)
                .collect();
            assert_eq!(timers.len() as u64, count);
            assert_eq!(timers.many.is_in_use(), count > FEW as u64);
            for key in (0..count).rev() {
                let seq = seqs[key as usize];
                assert!(timers.take(key, seq + 1).is_none());
                let gone = match key % 2 {
                    0 => timers.take(key, seq),
                    _ => timers.remove(key),
                };
                assert_eq!(gone.map(|armed| armed.seq), Some(seq));
                assert!(timers.remove(key).is_none());
                assert!(timers.take(key, seq).is_none());
            }
            assert_eq!(timers.len(), 0);
            for key in 0..count {
                arm(&mut wheel, &mut timers, key);
            }
            assert_eq!(timers.take_all().0.count() as u64, count);
            assert_eq!(timers.len(), 0);
        }
    }

    #[test]
    fn what_else_is_known_of_a_timer_goes_with_it() {
        let mut wheel = Wheel::new(0);
        for count in [2, 40] {
            let mut timers = Timers::default();
            for key in 0..count {
                arm(&mut wheel, &mut timers, key);
            }
            assert!(timers.find_with_extra(1).is_none());
            assert!(timers.take_extra(1).is_none());
            assert!(timers.set_extra(1, None).is_none());
            assert!(timers.set_extra(1, extra()).is_none());
            let (armed, known) = timers.find_with_extra(1).expect("it was set");
            assert!(armed.key == 1 && known.repeat.is_some());
            assert!(timers.find_with_extra(0).is_none());
            assert!(timers.set_extra(1, extra()).is_some());
            assert!(timers.set_extra(1, None).is_some());
            assert!(timers.take_extra(1).is_none());
            assert!(timers.set_extra(0, extra()).is_none());
            let (all, extras) = timers.take_all();
            assert_eq!((all.count() as u64, extras.count()), (count, 1));
            assert!(timers.take_extra(0).is_none());
        }
    }

    #[test]
    fn timers_are_those_of_a_sorted_map_while_their_chains_split() {
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
                let (seq, replaced) = arm(&mut wheel, &mut timers, key);
                assert_eq!(replaced, model.insert(key, seq));
            } else {
                let gone = timers.remove(key).map(|armed| armed.seq);
                assert_eq!(gone, model.remove(&key));
            }
            assert_eq!(timers.len(), model.len());
        }
        assert!(model.len() > 2_000);
        let mut left: Vec<_> = timers
            .take_all()
            .0
            .map(|armed| (armed.key, armed.seq))
            .collect();
        left.sort_unstable();
        assert!(left.into_iter().eq(model));
        assert_eq!(timers.len(), 0);
        assert!(timers.remove(0).is_none());
    }
}
