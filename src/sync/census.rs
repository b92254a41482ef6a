//! How many are alive, counted by those who bring them up and by those who bury them.
//!
//! ```text
//!   worker 1   born ▲▲▲▲    died ▼▼         alive = all born − all died
//!   worker 2   born ▲       died ▼▼▼            2nd ▲       ▲ 1st: read in this order
//!   outside    born ▲▲
//! ```
//!
//! Each counter has one writer, so that counting costs a plain store. Who reads them meets them at
//! different moments: an actor that is born on one worker and dies on the other while the reader
//! is between the two would count as dead only, and hide one that lives.
//!
//! - C1: whoever reads 0 may know that nobody lives who was born before the reading began, or of
//!   such a one: all deaths are read before any birth, and with a death one sees all births that
//!   came before it, those that the dead one brought about among them.
//!
//! | step  | operation      | order   | pairs with | if Relaxed, the model sees           |
//! |-------|----------------|---------|------------|--------------------------------------|
//! | died  | store of died  | Release | alive      | 0 while a child of the dead one lives |
//! | alive | loads of died  | Acquire | died       | the same                             |
//!
//! Model: `loom-tests/tests/census.rs`. Known bugs of this kind: pony #3551, #4583.

use super::atomic::{AtomicU64, Ordering};
use super::load_own;

/// One worker's births and deaths.
#[derive(Debug)]
pub struct Tally {
    born: AtomicU64,
    died: AtomicU64,
}

impl Tally {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            born: AtomicU64::new(0),
            died: AtomicU64::new(0),
        }
    }

    /// One more, before anybody can reach it. Only the tally's worker calls this.
    #[inline(always)]
    pub fn count_born(&self) {
        let born = load_own(&self.born);
        // Relaxed: what makes the newborn known orders this before its death.
        self.born.store(born + 1, Ordering::Relaxed);
    }

    /// One less, after all that it brought about. Only the tally's worker calls this.
    #[inline(always)]
    pub fn count_died(&self) {
        let died = load_own(&self.died);
        // Release: who sees this death sees the births before it (C1).
        self.died.store(died + 1, Ordering::Release);
    }

    /// How many were ever born on this worker.
    #[must_use]
    pub fn born(&self) -> u64 {
        self.born.load(Ordering::Relaxed)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// How many live: never 0 while somebody does that was born before, or of such a one (C1).
/// `born_outside` is how many others had been born.
#[must_use]
pub fn alive<'a>(
    tallies: impl Iterator<Item = &'a Tally> + Clone,
    born_outside: impl FnOnce() -> u64,
) -> u64 {
    let died = |tally: &Tally| tally.died.load(Ordering::Acquire);
    let died: u64 = tallies.clone().map(died).sum();
    let born: u64 = tallies.map(Tally::born).sum();
    (born + born_outside()).saturating_sub(died)
}
