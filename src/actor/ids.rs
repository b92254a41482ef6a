//! Ids that handlers draw: never the same twice, and the same again for the same seed.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Where a system's workers have their ids from.
#[derive(Debug)]
pub(crate) struct Source {
    seed: u64,
    /// How many workers draw.
    workers: AtomicU64,
}

impl Source {
    /// One with a seed of its own.
    pub(crate) fn any() -> Self {
        Self::of(RandomState::new().hash_one(0))
    }

    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            workers: AtomicU64::new(0),
        }
    }

    /// The ids of a worker that is being made.
    pub(crate) fn next_worker(&self) -> Ids {
        Ids::new(self.seed, self.workers.fetch_add(1, Relaxed))
    }
}

/// The ids that one worker's turns draw.
///
/// - N1: two draws in one system differ: those of one worker in their lower half, which is a
///   bijection of the number of the draw; those of two with equal lower halves in their upper half,
///   which is a bijection of the worker.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u64,
    worker: u64,
    drawn: Cell<u64>,
}

impl Ids {
    /// Those of the worker that its system made as number `worker`, which no other has.
    pub(crate) fn new(seed: u64, worker: u64) -> Self {
        Self {
            seed,
            worker,
            drawn: Cell::new(0),
        }
    }

    pub(crate) fn draw(&self) -> u128 {
        let number = self.drawn.get();
        self.drawn.set(number.wrapping_add(1));
        let lower = splitmix(number ^ splitmix(self.seed));
        let upper = splitmix(self.worker ^ splitmix(lower.wrapping_add(self.seed)));
        u128::from(upper) << 64 | u128::from(lower)
    }

    /// What `act` draws is drawn again by whoever comes next.
    #[cfg(any(debug_assertions, feature = "testkit"))]
    pub(crate) fn lending<R>(&self, act: impl FnOnce() -> R) -> R {
        let drawn = self.drawn.get();
        let made = act();
        self.drawn.set(drawn);
        made
    }
}

/// Splitmix64's step, a bijection: G. Steele and others, "Fast splittable pseudorandom number
/// generators", 2014.
pub(crate) fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_million_draws_of_many_workers_are_all_different() {
        let mut seen = HashSet::new();
        for worker in 0..100 {
            let ids = Ids::new(7, worker);
            seen.extend((0..10_000).map(|_| ids.draw()));
        }
        assert_eq!(seen.len(), 1_000_000);
        let lower: HashSet<_> = seen.iter().map(|id| *id as u64).collect();
        assert_eq!(lower.len(), 10_000, "the same of each worker");
    }

    #[test]
    fn each_bit_is_set_in_about_half_of_the_ids() {
        let ids = Ids::new(0, 0);
        let mut set = [0_u32; 128];
        for _ in 0..10_000 {
            let id = ids.draw();
            (0..128).for_each(|bit| set[bit] += (id >> bit & 1) as u32);
        }
        assert!(
            set.iter().all(|&count| count.abs_diff(5_000) < 400),
            "{set:?}"
        );
    }
}
