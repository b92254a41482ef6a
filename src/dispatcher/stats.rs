//! Counters that one worker writes and anybody reads: plain stores, free when nobody looks.

use super::sharing::LONG_NS;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sync::census::Tally;
use crate::sync::{Mutex, lock};
use std::sync::Arc;

/// A counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline(always)]
    pub(crate) fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Whose turn a worker is in; it alone writes.
#[derive(Debug)]
pub(crate) struct RunsCell(AtomicU32);

/// What a [`RunsCell`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Runs {
    /// It is in no turn.
    Nobody,
    /// Its thread has ended.
    Ended,
    /// The number of the actor's cell.
    Actor(u32),
}

impl Default for RunsCell {
    fn default() -> Self {
        Self(AtomicU32::new(Self::NOBODY))
    }
}

impl RunsCell {
    // No cell has these numbers: `system.max_actors` is less.
    const NOBODY: u32 = u32::MAX;
    const ENDED: u32 = u32::MAX - 1;

    #[inline(always)]
    pub(crate) fn set(&self, runs: Runs) {
        let number = match runs {
            Runs::Nobody => Self::NOBODY,
            Runs::Ended => Self::ENDED,
            Runs::Actor(number) => number,
        };
        self.0.store(number, Relaxed);
    }

    pub(crate) fn get(&self) -> Runs {
        match self.0.load(Relaxed) {
            Self::NOBODY => Runs::Nobody,
            Self::ENDED => Runs::Ended,
            number => Runs::Actor(number),
        }
    }
}

/// One worker's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerStats {
    pub(crate) turns: Counter,
    pub(crate) runs: RunsCell,
    /// When its timers are due next, as of its last look at the clock. 0 before the first.
    pub(crate) next_timer_ns: Counter,
    /// The watchdog's: the turn that it saw, and since when.
    pub(crate) seen_turns: Counter,
    pub(crate) seen_ns: Counter,
    pub(crate) messages: Counter,
    pub(crate) steals: Counter,
    pub(crate) parks: Counter,
    pub(crate) wakes: Counter,
    pub(crate) busy_ns: Counter,
    pub(crate) idle_ns: Counter,
    pub(crate) longest_turn_ns: Counter,
    pub(crate) queue: Counter,
    /// Time of a message, at the last look at the clock.
    pub(crate) message_ns: Counter,
    pub(crate) census: Tally,
    pub(crate) panics: Counter,
    pub(crate) overdraft: Counter,
    pub(crate) escapes: Counter,
    pub(crate) timers: Counter,
    pub(crate) long_turns: Counter,
    types: Mutex<Vec<Arc<TypeStats>>>,
}

impl WorkerStats {
    /// Whether its actors are worth moving only if that was found out.
    pub(crate) fn has_short_turns(&self) -> bool {
        self.message_ns.get() < LONG_NS
    }

    /// The counters of each actor type, by its number.
    pub(crate) fn types(&self) -> Vec<Arc<TypeStats>> {
        lock(&self.types).clone()
    }

    /// Makes counters up to number `type_number`.
    pub(crate) fn grow(&self, type_number: u16) -> Vec<Arc<TypeStats>> {
        let mut types = lock(&self.types);
        while types.len() <= usize::from(type_number) {
            types.push(Arc::default());
        }
        types.clone()
    }
}

/// One actor type's counters on one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct TypeStats {
    pub(crate) accepted: Counter,
    pub(crate) handled: Counter,
    pub(crate) failed: Counter,
    pub(crate) dead_lettered: Counter,
    pub(crate) ended: Counter,
}
