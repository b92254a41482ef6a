//! The time of a batch: read when first asked for, then the same for the whole batch.

use crate::actor::Origin;
use crate::actor::ids::Ids;
use crate::timer::Clock;
use std::cell::Cell;

/// A clock that stands still during a batch, and the rest of what a snapshot tells of a turn.
#[derive(Debug)]
pub(crate) struct BatchClock {
    clock: Clock,
    /// 0 until read in this batch.
    now_ns: Cell<u64>,
    /// Where the message in hand came from, if that is known.
    pub(crate) origin: Cell<Option<Origin>>,
    /// What handlers draw.
    pub(crate) ids: Ids,
}

impl BatchClock {
    pub(crate) fn new(clock: Clock, ids: Ids) -> Self {
        Self {
            clock,
            now_ns: Cell::new(0),
            origin: Cell::new(None),
            ids,
        }
    }

    /// Forgets the reading.
    #[inline(always)]
    pub(crate) fn begin(&self) {
        self.now_ns.set(0);
    }

    /// The batch's time, read at the first call.
    #[inline(always)]
    pub(crate) fn now_ns(&self) -> u64 {
        match self.now_ns.get() {
            0 => self.read(),
            now_ns => now_ns,
        }
    }

    /// The time, which is not the batch's.
    pub(crate) fn fresh(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Reads the clock anew.
    pub(crate) fn read(&self) -> u64 {
        let now_ns = self.clock.now_ns();
        self.now_ns.set(now_ns);
        now_ns
    }

    /// The time of day, see [`Clock::unix_ms`].
    pub(crate) fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }
}
