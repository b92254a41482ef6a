//! Limits on what many workers take and give back: one shared count, and a purse for each worker
//! so that they seldom touch it.

use crate::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::cell::Cell;

/// How much of something is out, and how much may be.
///
/// The purses of `workers` workers may each hold back an eighth of a `workers`th of the limit, at
/// most 64; the count is exact to within that.
#[derive(Debug)]
pub(crate) struct Quota {
    taken: AtomicI64,
    max: i64,
    purse: i64,
}

/// What one worker took or gave back and has not told the quota yet.
#[derive(Debug, Default)]
pub(crate) struct Purse(Cell<i64>);

impl Quota {
    pub(crate) fn new(max: usize, workers: usize) -> Self {
        let max = max as i64;
        Self {
            taken: AtomicI64::new(0),
            max,
            purse: (max / (8 * workers as i64)).clamp(1, 64),
        }
    }

    /// Takes one from outside of workers, if there is one.
    pub(crate) fn take(&self) -> bool {
        if self.taken.fetch_add(1, Relaxed) < self.max {
            return true;
        }
        self.give_back();
        false
    }

    /// Gives one back that was taken from outside of workers.
    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Relaxed);
    }
}

impl Purse {
    /// Whether `count` more may be taken.
    pub(crate) fn has(&self, quota: &Quota, count: usize) -> bool {
        quota.taken.load(Relaxed) + self.0.get() + count as i64 <= quota.max
    }

    /// Takes `count`, or gives back when it is negative.
    #[inline(always)]
    pub(crate) fn add(&self, quota: &Quota, count: i64) {
        let held = self.0.get() + count;
        if held.abs() < quota.purse {
            self.0.set(held);
        } else {
            self.0.set(0);
            quota.taken.fetch_add(held, Relaxed);
        }
    }

    /// Tells the quota all.
    pub(crate) fn empty(&self, quota: &Quota) {
        quota.taken.fetch_add(self.0.take(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_is_exact_and_a_large_one_to_within_the_purses() {
        let small = Quota::new(3, 4);
        let purse = Purse::default();
        purse.add(&small, 3);
        assert!(!purse.has(&small, 1));
        assert!(!Purse::default().has(&small, 1));
        assert!(!small.take());
        purse.add(&small, -1);
        assert!(small.take());

        let large = Quota::new(100_000, 2);
        let purse = Purse::default();
        purse.add(&large, 63);
        assert_eq!(large.taken.load(Relaxed), 0);
        assert!(!purse.has(&large, 100_000 - 62));
        purse.empty(&large);
        assert_eq!(large.taken.load(Relaxed), 63);
    }
}
