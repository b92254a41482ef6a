//! How long a tick is, and which way to round.

use std::num::NonZeroU64;
use std::time::Duration;

/// The length of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    tick_ns: NonZeroU64,
}

impl Resolution {
    /// One tick a millisecond.
    pub const MILLISECOND: Self = Self::new(NonZeroU64::new(1_000_000).unwrap());

    /// One tick every `tick_ns` nanoseconds.
    #[must_use]
    pub const fn new(tick_ns: NonZeroU64) -> Self {
        Self { tick_ns }
    }

    /// The tick that `now_ns` lies in: timers with this deadline or an earlier one are due.
    #[must_use]
    #[inline]
    pub fn tick(self, now_ns: u64) -> u64 {
        now_ns / self.tick_ns
    }

    /// The first tick that begins `delay` or more after `now_ns`: less than a tick late, never
    /// early. Beyond the last nanosecond of a `u64` (584 years) it is `u64::MAX`, which no clock
    /// reaches.
    #[must_use]
    #[inline]
    pub fn deadline(self, now_ns: u64, delay: Duration) -> u64 {
        u64::try_from(delay.as_nanos())
            .ok()
            .and_then(|delay_ns| now_ns.checked_add(delay_ns))
            .map_or(u64::MAX, |due_ns| self.deadline_at(due_ns))
    }

    /// The first tick that begins at `due_ns` or later.
    #[must_use]
    #[inline]
    pub(crate) fn deadline_at(self, due_ns: u64) -> u64 {
        due_ns.div_ceil(self.tick_ns.get())
    }

    /// When `tick` begins, in nanoseconds; `u64::MAX` when that is beyond a `u64`.
    #[must_use]
    #[inline]
    pub fn start_ns(self, tick: u64) -> u64 {
        tick.saturating_mul(self.tick_ns.get())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_deadline_is_never_early_and_less_than_a_tick_late(
            tick_ns in prop_oneof![Just(1), 1..2_000_000_u64, Just(1_000_000), Just(u64::MAX)],
            now_ns in prop_oneof![any::<u64>(), 0..1_u64 << 40],
            delay_ns in prop_oneof![any::<u64>(), 0..1_u64 << 40],
        ) {
            let resolution = Resolution::new(NonZeroU64::new(tick_ns).unwrap());
            let due_ns = u128::from(now_ns) + u128::from(delay_ns);
            let deadline = resolution.deadline(now_ns, Duration::from_nanos(delay_ns));
            if due_ns > u128::from(u64::MAX) {
                prop_assert_eq!(deadline, u64::MAX);
            } else {
                let start_ns = u128::from(deadline) * u128::from(tick_ns);
                prop_assert!(start_ns >= due_ns);
                prop_assert!(start_ns - due_ns < u128::from(tick_ns));
                prop_assert!(resolution.tick(now_ns) <= deadline);
            }
        }

        #[test]
        fn a_tick_is_due_from_its_start(tick in 0..1_u64 << 40, tick_ns in 2..1_u64 << 20) {
            let resolution = Resolution::new(NonZeroU64::new(tick_ns).unwrap());
            prop_assert_eq!(resolution.tick(resolution.start_ns(tick)), tick);
            prop_assert_eq!(resolution.tick(resolution.start_ns(tick + 1) - 1), tick);
        }
    }

    #[test]
    fn the_longest_delays_saturate() {
        let ms = Resolution::MILLISECOND;
        assert_eq!(ms.deadline(0, Duration::MAX), u64::MAX);
        assert_eq!(ms.deadline(1, Duration::from_nanos(u64::MAX)), u64::MAX);
        assert_eq!(
            ms.deadline(0, Duration::from_nanos(u64::MAX)),
            u64::MAX.div_ceil(1_000_000)
        );
        assert_eq!(ms.start_ns(u64::MAX), u64::MAX);
    }
}
