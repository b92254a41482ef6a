//! A hierarchical timer wheel: one level for each byte of a tick.
//!
//! ```text
//!   wheel's tick   00 00 00 00 00 01 │2A│ 07      a deadline goes to the level of the highest
//!   deadline       00 00 00 00 00 01 │2C│ F0      byte in which it differs from the wheel's tick,
//!                                     ▲           into the slot that this byte names:
//!                                  level 1        level 1, slot 2C
//!
//!   when the tick reaches …01 2C 00, slot 2C cascades: this deadline moves to level 0, slot F0
//!   when it reaches …01 2C F0, that slot expires
//! ```
//!
//! Eight levels of 256 slots hold every `u64` tick, so nothing overflows, wraps or saturates. A
//! timer moves at most seven times before it fires; in a minute of milliseconds, once.
//!
//! - T1: each timer lies in the slot that the drawing gives it. So a lower slot number is an
//!   earlier deadline, the first slot in use says when to look again, timers of one deadline are
//!   always together, and jumping over slots not in use changes nothing.
//! - T2: timers fire in the order of their deadlines, those of one deadline in the order in which
//!   they were inserted, whatever the budgets and however the calls to [`advance`](Wheel::advance)
//!   fall. A deadline already past when it is inserted counts as the wheel's tick.
//! - T3: no timer fires before its deadline, none twice, and none that was cancelled.
//! - T4: a key is good for one timer only: an entry whose generations are used up is retired.
//!
//! While a cascade waits for the next call's budget, T1 fails for the slot it empties. `floor`
//! then sends what is inserted for that slot behind those that still wait in it (T2).
//!
//! Known as scheme 7 of G. Varghese and T. Lauck, "Hashed and hierarchical timing wheels", SOSP
//! 1987; placing by the highest differing digit, rather than by distance, is what gives T1.

use std::fmt;
use std::num::NonZeroU32;

use super::slots::{Chunks, Link, Linked, NONE, SLOTS, Slots};

const DIGIT_BITS: u32 = 8;
/// Slots in a level.
const SLOTS_PER_LEVEL: usize = 1 << DIGIT_BITS;
/// `floor` while no cascade waits.
const NO_CASCADE: u64 = 1;

const _: () = assert!(SLOTS == SLOTS_PER_LEVEL * (u64::BITS / DIGIT_BITS) as usize);
const _: () = assert!(size_of::<Option<TimerKey>>() == 8);
const _: () = assert!(size_of::<Entry<Box<u8>>>() == 32);

/// Names one timer of one [`Wheel`]; never valid again once that timer fired or was cancelled.
/// In another wheel it names nothing or any timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

impl TimerKey {
    /// Names no timer of any wheel.
    pub(crate) const NONE: Self = Self {
        index: NONE,
        generation: NonZeroU32::MAX,
    };
}

/// What [`Wheel::advance`] left.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Everything due by the given tick has fired.
    Done,
    /// The budget is used up and work for the given tick is left; the caller calls again.
    More,
}

/// The timers of one worker, unsynchronized.
///
/// 32 bytes a timer with a payload of one pointer, and 17 KiB in all.
/// Memory grows in pieces of 512 timers to the largest number of live ones and is then reused.
///
/// # Examples
///
/// ```
/// use mainspring::timer::{Advance, Wheel};
///
/// let mut wheel = Wheel::new(1_000);
/// let late = wheel.insert(1_500, "late");
/// wheel.insert(1_010, "soon");
/// assert_eq!(wheel.cancel(late), Some("late"));
/// assert_eq!(wheel.next_tick(), Some(1_010));
///
/// let mut fired = Vec::new();
/// let left = wheel.advance(1_020, 64, &mut |tick, name| fired.push((tick, name)));
/// assert_eq!(left, Advance::Done);
/// assert_eq!(fired, [(1_010, "soon")]);
/// ```
pub struct Wheel<T> {
    /// Everything due before this tick has fired; what is due at it may not have.
    tick: u64,
    /// The lowest unit of the level whose slot a cascade has partly emptied; else [`NO_CASCADE`].
    floor: u64,
    slots: Slots,
    entries: Chunks<Entry<T>>,
    /// Entries in no slot, linked by `next`.
    free: u32,
    len: usize,
}

struct Entry<T> {
    deadline: u64,
    /// Of the timer in this entry, or of the next one; it counts up when a timer leaves.
    generation: NonZeroU32,
    link: Link,
    value: Option<T>,
}

impl<T> Entry<T> {
    /// Its timer, of which the payload was taken, leaves: the entry, number `index`, is the first
    /// free one, with `free` after it. Returns which one is the first then.
    #[inline]
    fn leave(&mut self, free: u32, index: u32) -> u32 {
        self.generation = self.generation.saturating_add(1);
        // The last generation is never handed out (T4): an entry is lost every 2^32 timers.
        if self.generation == NonZeroU32::MAX {
            return free;
        }
        self.link.next = free;
        index
    }
}

impl<T> Linked for Entry<T> {
    #[inline]
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now_tick`.
    #[must_use]
    pub fn new(now_tick: u64) -> Self {
        Self::with_capacity(now_tick, 0)
    }

    /// An empty wheel that stands at `now_tick`, with memory for about `timers` live timers.
    #[must_use]
    pub fn with_capacity(now_tick: u64, timers: usize) -> Self {
        let mut wheel = Self {
            tick: now_tick,
            floor: NO_CASCADE,
            slots: Slots::new(),
            entries: Chunks::new(),
            free: NONE,
            len: 0,
        };
        while wheel.entries.len() < timers {
            wheel.grow();
        }
        wheel
    }

    /// How many timers wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer: `value` comes back from the first [`advance`](Self::advance) to
    /// `deadline_tick` or later. O(1); with a `cancel` about 7 ns when warm.
    ///
    /// A deadline before the wheel's tick counts as that tick, and fires at the next `advance`.
    ///
    /// # Panics
    ///
    /// With about `u32::MAX` timers live.
    #[inline]
    pub fn insert(&mut self, deadline_tick: u64, value: T) -> TimerKey {
        let deadline = deadline_tick.max(self.tick);
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let slot = self.slot_of(deadline, self.floor);
        let link = self.slots.append(&mut self.entries, slot, index);
        let entry = &mut self.entries[index];
        self.free = entry.link.next;
        entry.link = link;
        entry.deadline = deadline;
        let before = entry.value.replace(value);
        debug_assert!(before.is_none());
        std::mem::forget(before); // nothing to drop
        self.len += 1;
        TimerKey {
            index,
            generation: entry.generation,
        }
    }

    /// Cancels a timer and gives its payload back; `None` when it has fired or was cancelled.
    /// O(1).
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get_mut(key.index)?;
        if entry.generation != key.generation {
            return None;
        }
        // An empty entry has the generation of the timer to come: only another wheel's key fits it.
        let value = entry.value.take()?;
        let link = entry.link;
        self.free = entry.leave(self.free, key.index);
        self.slots.unlink(&mut self.entries, link);
        self.len -= 1;
        Some(value)
    }

    /// The deadline and payload of a timer that still waits.
    #[must_use]
    pub fn get(&self, key: TimerKey) -> Option<(u64, &T)> {
        let entry = self.entries.get(key.index)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.value.as_ref().map(|value| (entry.deadline, value))
    }

    /// The earliest tick at which `advance` has something to do, `None` when no timer waits.
    ///
    /// Never later than the earliest deadline. It is earlier while that deadline lies in a higher
    /// level: then `advance` at this tick moves timers and the next answer is nearer; at most
    /// seven such steps lead to the deadline itself. O(1).
    #[must_use]
    #[inline]
    pub fn next_tick(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        self.next_slot().map(|(_, start)| start)
    }

    /// Moves the wheel to `now_tick` and hands every timer due by then to `fire`, with its
    /// deadline, in the order T2 of the module.
    ///
    /// At most `budget` timers are fired or moved to a lower level; [`Advance::More`] says that
    /// some of the work for `now_tick` is left, which the next call takes up where this one
    /// stopped. The cost is that of the timers moved, however far the jump. A `now_tick` before
    /// one already reached counts as that one.
    ///
    /// # Panics
    ///
    /// Only if `fire` does. The wheel is then as if `fire` had returned and the budget run out.
    pub fn advance(
        &mut self,
        now_tick: u64,
        budget: usize,
        fire: &mut impl FnMut(u64, T),
    ) -> Advance {
        let now_tick = now_tick.max(self.tick);
        let mut left = budget;
        while let Some((slot, start)) = self.next_slot() {
            if start > now_tick {
                break;
            }
            self.tick = start;
            self.floor = NO_CASCADE;
            let level = slot / SLOTS_PER_LEVEL;
            if level == 0 {
                self.expire(slot, &mut left, fire);
            } else {
                self.cascade(slot, &mut left);
            }
            if self.slots.is_occupied(slot) {
                self.floor = 1 << (level as u32 * DIGIT_BITS);
                return Advance::More;
            }
        }
        self.tick = now_tick;
        Advance::Done
    }

    /// Cancels all timers and gives their payloads and deadlines back, in no particular order.
    ///
    /// Dropping the iterator early drops the payloads not taken.
    pub fn drain(&mut self) -> Drain<'_, T> {
        Drain {
            wheel: self,
            next: 0,
        }
    }

    /// Fires the timers of a slot of level 0 while `left` lasts.
    fn expire(&mut self, slot: usize, left: &mut usize, fire: &mut impl FnMut(u64, T)) {
        while *left > 0 {
            let Some(index) = self.slots.pop(&mut self.entries, slot) else {
                return;
            };
            *left -= 1;
            let (deadline, value) = self.release(index);
            fire(deadline, value);
        }
    }

    /// Moves the timers of a slot, whose first tick the wheel has reached, to lower levels while
    /// `left` lasts.
    fn cascade(&mut self, slot: usize, left: &mut usize) {
        while *left > 0 {
            let Some(index) = self.slots.pop(&mut self.entries, slot) else {
                return;
            };
            *left -= 1;
            let below = self.slot_of(self.entries[index].deadline, NO_CASCADE);
            let link = self.slots.append(&mut self.entries, below, index);
            self.entries[index].link = link;
        }
    }

    /// The slot for a deadline not before the wheel's tick (T1), in the level of `floor` at least.
    #[inline]
    fn slot_of(&self, deadline: u64, floor: u64) -> usize {
        let apart = (deadline ^ self.tick) | floor;
        let level = apart.ilog2() / DIGIT_BITS;
        slot_at(level, deadline)
    }

    /// The slot to empty next, and the tick at which to: that of the cascade that waits, else the
    /// first in use.
    #[inline]
    fn next_slot(&self) -> Option<(usize, u64)> {
        if self.floor != NO_CASCADE {
            return Some((
                slot_at(self.floor.ilog2() / DIGIT_BITS, self.tick),
                self.tick,
            ));
        }
        let slot = self.slots.first_occupied()?;
        let shift = (slot / SLOTS_PER_LEVEL) as u32 * DIGIT_BITS;
        let above = self.tick & (u64::MAX << shift << DIGIT_BITS);
        Some((slot, above | ((slot % SLOTS_PER_LEVEL) as u64) << shift))
    }

    /// More entries, all of them free.
    #[cold]
    fn grow(&mut self) {
        let first = self.entries.len();
        let mut before_free = self.free;
        self.entries.grow(|_| Entry {
            deadline: 0,
            generation: NonZeroU32::MIN,
            link: Link::new(),
            value: None,
        });
        let end = self.entries.len();
        assert!(end <= NONE as usize, "a wheel holds about {NONE} timers");
        // The lowest number comes out first.
        for index in (first as u32..end as u32).rev() {
            self.entries[index].link.next = before_free;
            before_free = index;
        }
        self.free = before_free;
    }

    /// Empties an entry that its slot no longer names.
    #[inline]
    fn release(&mut self, index: u32) -> (u64, T) {
        let entry = &mut self.entries[index];
        let value = entry
            .value
            .take()
            .expect("an entry named by a slot has a payload");
        self.free = entry.leave(self.free, index);
        self.len -= 1;
        (entry.deadline, value)
    }
}

/// The slot that `deadline` names in `level`.
#[inline]
fn slot_at(level: u32, deadline: u64) -> usize {
    let digit = (deadline >> (level * DIGIT_BITS)) as usize % SLOTS_PER_LEVEL;
    level as usize * SLOTS_PER_LEVEL + digit
}

/// Gives back the payloads of a wheel; see [`Wheel::drain`].
pub struct Drain<'a, T> {
    wheel: &'a mut Wheel<T>,
    /// Entries before this index are empty.
    next: u32,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = (u64, T);

    fn next(&mut self) -> Option<(u64, T)> {
        while let Some(entry) = self.wheel.entries.get(self.next) {
            let index = self.next;
            self.next += 1;
            if entry.value.is_some() {
                let link = entry.link;
                self.wheel.slots.unlink(&mut self.wheel.entries, link);
                return Some(self.wheel.release(index));
            }
        }
        None
    }
}

impl<T> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("tick", &self.tick)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wheel.fmt(f)
    }
}

#[cfg(test)]
mod tests;
