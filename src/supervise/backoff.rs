//! How long a restart waits, and how many are within the budget.

use crate::actor::ids::splitmix;
use std::collections::VecDeque;
use std::time::Duration;

/// How many restarts of one child are allowed in a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts; the next one escalates.
    pub max: u32,
    /// The window.
    pub within: Duration,
}

impl Default for Intensity {
    /// [`Intensity::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Intensity {
    /// 3 in 30 s.
    pub const DEFAULT: Self = Self {
        max: 3,
        within: Duration::from_secs(30),
    };

    /// Whether one more restart at `now` is within the budget, given the earlier ones.
    pub(crate) fn allows(&self, earlier: &VecDeque<Duration>, now: Duration) -> bool {
        let recent = earlier
            .iter()
            .filter(|at| now.saturating_sub(**at) < self.within);
        recent.count() < self.max as usize
    }
}

/// How long restarts wait: `first`, doubled with each crash up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first restart.
    pub first: Duration,
    /// At most.
    pub max: Duration,
    /// Takes a seeded random part of the time instead, so that children that crashed together
    /// don't start together.
    pub jitter: bool,
    /// A child that ran this long counts as healthy: its next crash waits `first` again.
    pub healthy_after: Duration,
}

impl Default for Backoff {
    /// [`Backoff::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Backoff {
    /// 1 s doubling to 30 s with jitter; healthy after 30 s.
    pub const DEFAULT: Self = Self {
        first: Duration::from_secs(1),
        max: Duration::from_secs(30),
        jitter: true,
        healthy_after: Duration::from_secs(30),
    };

    /// No wait.
    pub const NONE: Self = Self {
        first: Duration::ZERO,
        max: Duration::ZERO,
        jitter: false,
        healthy_after: Duration::from_secs(30),
    };

    /// The wait before restart number `attempt`, from 1; with jitter `seed` decides which part.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(63);
        let factor = 1_u64 << doublings;
        let full = u64::try_from(self.first.as_nanos()).unwrap_or(u64::MAX);
        let max = u64::try_from(self.max.as_nanos()).unwrap_or(u64::MAX);
        let full = full.saturating_mul(factor).min(max);
        if !self.jitter {
            return Duration::from_nanos(full);
        }
        let random = splitmix(seed ^ u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The upper half of a product: a random part of `full`, without a bias worth naming.
        let part = (u128::from(random) * (u128::from(full) + 1)) >> 64;
        Duration::from_nanos(part as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_from_one_second_to_thirty() {
        let backoff = Backoff {
            jitter: false,
            ..Backoff::default()
        };
        let seconds: Vec<u64> = (1..=7).map(|n| backoff.delay(n, 0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.delay(u32::MAX, 0), backoff.max);
    }

    #[test]
    fn jitter_is_seeded_and_within_the_delay() {
        let (full, jittered) = (
            Backoff {
                jitter: false,
                ..Backoff::default()
            },
            Backoff::default(),
        );
        let mut low = 0;
        for seed in 0..1000 {
            let delay = jittered.delay(3, seed);
            assert!(delay <= full.delay(3, 0));
            assert_eq!(delay, jittered.delay(3, seed));
            low += u32::from(delay < full.delay(3, 0) / 2);
        }
        assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
    }

    #[test]
    fn the_budget_slides() {
        let budget = Intensity::default();
        let at = |seconds: &[u64]| seconds.iter().map(|s| Duration::from_secs(*s)).collect();
        assert!(budget.allows(&at(&[0, 1]), Duration::from_secs(2)));
        assert!(!budget.allows(&at(&[0, 1, 2]), Duration::from_secs(29)));
        assert!(budget.allows(&at(&[0, 1, 2]), Duration::from_secs(30)));
    }
}
