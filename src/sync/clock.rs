//! The clock: nanoseconds since it was made, from the system or moved by hand.
//!
//! ```text
//!   manual   a shared count of nanoseconds
//!   real     the processor's time-stamp counter, tied to `Instant`  (Linux on x86-64)
//!            `Instant`                                             (elsewhere)
//!
//!   counter  ──────┬───────────────┬───────────────┬──▶
//!                anchor          anchor          anchor      ns = offset + counter × rate
//!   Instant  ──────┴──── window ───┴───────────────┴──▶
//! ```
//!
//! Reading the counter takes half the time of `Instant::now`. It is used only where the processor
//! says that it never stops or changes speed, and the kernel keeps its own time by it (so has
//! found it to be the same on all cores). Its rate is measured once, over the first 20 ms. An
//! anchor is good for one window, 8 to 17 ms; the first reader after it reads `Instant` and sets
//! the next. So an error never adds up:
//!
//! - K1: a reading is at most [`Clock::ERROR_NS`] off `Instant`'s, however long the clock runs and
//!   whatever rate the system's time is slewed at.
//! - K2: one `Clock` used by one thread never goes back. Threads that read clones of it agree to
//!   twice that error.
//! - K3: a counter found off its rate (a virtual machine moved to another host) is given up for
//!   `Instant`.
//!
//! The atomics of this file carry no data of other threads, so all are relaxed; the anchor's
//! orders are in `anchor.rs`.

use std::time::Duration;

use super::Arc;
use super::atomic::{AtomicU64, Ordering};
use super::time::Instant;
use counter::Counter;

/// A monotonic clock that counts nanoseconds from 0. A clone counts from the same start.
///
/// Give each thread its own clone: what keeps a reading from going back is kept per `Clock`.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    /// The latest reading given.
    latest: AtomicU64,
}

#[derive(Clone, Debug)]
enum Source {
    Instant(Instant),
    Counter(Arc<Counter>),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// How far a reading may be from `Instant`'s: 17 microseconds when the system slews its time by
    /// 500 ppm one way while the rate is measured and the other way now, 2 for the samples.
    pub const ERROR_NS: u64 = 20_000;

    /// The system's clock, from 0 now.
    ///
    /// Reads a file of the kernel's where it may use the processor's counter; never waits.
    #[must_use]
    pub fn real() -> Self {
        match Counter::detect() {
            Some(counter) => Self::from(Source::Counter(Arc::new(counter))),
            None => Self::by_instant(),
        }
    }

    /// The system's clock by `Instant` alone: exact, and twice the cost to read.
    #[must_use]
    pub fn by_instant() -> Self {
        Self::from(Source::Instant(Instant::now()))
    }

    /// A clock at 0 that moves only by the hand that comes with it.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        let hand = ManualClock::new();
        (hand.clock(), hand)
    }

    /// Nanoseconds since the clock was made, never less than this `Clock` said before.
    #[must_use]
    #[inline]
    pub fn now_ns(&self) -> u64 {
        let now_ns = match &self.source {
            Source::Instant(start) => nanoseconds(start.elapsed()),
            Source::Counter(counter) => counter.now_ns(),
            Source::Manual(now_ns) => now_ns.load(Ordering::Relaxed),
        };
        let latest = self.latest.load(Ordering::Relaxed);
        if now_ns <= latest {
            return latest;
        }
        self.latest.store(now_ns, Ordering::Relaxed);
        now_ns
    }

    /// The time of day in milliseconds since 1970: the system's, which may be set back. For a clock
    /// that is moved by hand 1970 is when it stood at 0.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        if let Source::Manual(_) = self.source {
            return self.now_ns() / 1_000_000;
        }
        let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }

    fn from(source: Source) -> Self {
        Self {
            source,
            latest: AtomicU64::new(0),
        }
    }
}

impl Clone for Clock {
    fn clone(&self) -> Self {
        let latest = AtomicU64::new(self.latest.load(Ordering::Relaxed));
        Self {
            source: self.source.clone(),
            latest,
        }
    }
}

/// Moves the [`Clock`]s made from it; clones move the same ones.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now_ns: Arc<AtomicU64>,
}

impl ManualClock {
    /// A hand at 0.
    #[must_use]
    #[allow(clippy::new_without_default)] // a clock's start is worth naming
    pub fn new() -> Self {
        Self {
            now_ns: Arc::new(AtomicU64::new(0)),
        }
    }

    /// A clock moved by this hand.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::from(Source::Manual(self.now_ns.clone()))
    }

    /// Moves the clocks forward, at most to `u64::MAX` nanoseconds.
    pub fn advance(&self, by: Duration) {
        let by_ns = nanoseconds(by);
        let forward = |now_ns: u64| Some(now_ns.saturating_add(by_ns));
        let moved = self
            .now_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, forward);
        debug_assert!(moved.is_ok(), "the closure never refuses");
    }

    /// Sets the hand, back too: a clock then stands still until the hand has caught up.
    pub fn set_ns(&self, now_ns: u64) {
        self.now_ns.store(now_ns, Ordering::Relaxed);
    }
}

#[inline]
fn nanoseconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

/// The processor's time-stamp counter, tied to `Instant`.
#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    not(any(loom, miri, mainspring_shuttle))
))]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::fs;

    use super::nanoseconds;
    use crate::sync::anchor::{Anchor, Sample};
    use crate::sync::time::Instant;

    /// Counts within which both clocks must be read for a sample: 0.5 to 1 microsecond.
    const SAMPLE_COUNTS_MAX: u64 = 2_048;
    /// How often a sample that was interrupted is tried again.
    const SAMPLE_TRIES: u32 = 4;

    #[derive(Debug)]
    pub(super) struct Counter {
        start: Instant,
        anchor: Anchor,
    }

    impl Counter {
        /// The counter, where it is sound to use.
        pub(super) fn detect() -> Option<Self> {
            if !is_invariant() || !is_the_kernels_clock() {
                return None;
            }
            let start = Instant::now();
            Some(Self {
                start,
                anchor: Anchor::new(sample(start)?),
            })
        }

        #[inline]
        pub(super) fn now_ns(&self) -> u64 {
            self.anchor
                .read(count())
                .unwrap_or_else(|| self.now_ns_by_instant())
        }

        #[cold]
        fn now_ns_by_instant(&self) -> u64 {
            let now_ns = nanoseconds(self.start.elapsed());
            if self.anchor.wants_sample(now_ns)
                && let Some(now) = sample(self.start)
            {
                self.anchor.update(now);
            }
            now_ns
        }
    }

    #[inline]
    fn count() -> u64 {
        // SAFETY: every x86-64 processor has the instruction, and it only reads.
        unsafe { _rdtsc() }
    }

    /// Both clocks at once, `None` when the thread was interrupted each time.
    fn sample(start: Instant) -> Option<Sample> {
        (0..SAMPLE_TRIES).find_map(|_| {
            let before = count();
            let ns = nanoseconds(start.elapsed());
            let counts = count().wrapping_sub(before);
            let middle = before.wrapping_add(counts / 2);
            (counts <= SAMPLE_COUNTS_MAX).then_some(Sample { count: middle, ns })
        })
    }

    /// Whether the counter runs at one rate in all power states ("Advanced power management
    /// information", AMD64 Architecture Programmer's Manual volume 3, E.4.6).
    fn is_invariant() -> bool {
        const POWER_MANAGEMENT: u32 = 0x8000_0007;
        __cpuid(0x8000_0000).eax >= POWER_MANAGEMENT && __cpuid(POWER_MANAGEMENT).edx & 1 << 8 != 0
    }

    /// Whether the kernel trusts it: it watches the counter against another clock, compares it
    /// between the cores, and changes to another source when it is wrong.
    fn is_the_kernels_clock() -> bool {
        const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == "tsc")
    }
}

/// Elsewhere there is no counter to use.
#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    not(any(loom, miri, mainspring_shuttle))
)))]
mod counter {
    #[derive(Debug)]
    pub(super) enum Counter {}

    impl Counter {
        pub(super) fn detect() -> Option<Self> {
            None
        }

        pub(super) fn now_ns(&self) -> u64 {
            match *self {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_for_every_clone() {
        let (clock, hand) = Clock::manual();
        let clone = clock.clone();
        assert_eq!((clock.now_ns(), clone.now_ns()), (0, 0));
        hand.clone().advance(Duration::from_micros(3));
        assert_eq!(
            (clock.now_ns(), clone.now_ns(), hand.clock().now_ns()),
            (3_000, 3_000, 3_000)
        );
        hand.advance(Duration::MAX);
        assert_eq!(clock.now_ns(), u64::MAX);
    }

    #[test]
    fn a_clock_set_back_stands_still() {
        let (clock, hand) = Clock::manual();
        hand.set_ns(1_000);
        assert_eq!(clock.now_ns(), 1_000);
        hand.set_ns(400);
        assert_eq!((clock.now_ns(), clock.clone().now_ns()), (1_000, 1_000));
        assert_eq!(
            hand.clock().now_ns(),
            400,
            "a new clock has no reading to keep to"
        );
        hand.advance(Duration::from_nanos(601));
        assert_eq!(clock.now_ns(), 1_001);
    }

    #[test]
    fn the_real_clock_never_goes_back_and_stays_by_instant() {
        let before = Instant::now();
        let clock = Clock::real();
        let after = Instant::now();
        let mut latest = 0;
        let mut readings_ns = 0..;
        // Long enough for the rate to be measured and for several windows.
        while before.elapsed() < Duration::from_millis(120) {
            let least = nanoseconds(after.elapsed());
            let now_ns = clock.now_ns();
            let most = nanoseconds(before.elapsed());
            assert!(now_ns >= latest);
            assert!(
                now_ns + Clock::ERROR_NS >= least,
                "{now_ns} ns, at least {least}"
            );
            assert!(
                now_ns <= most + Clock::ERROR_NS,
                "{now_ns} ns, at most {most}"
            );
            latest = now_ns;
            readings_ns.next();
        }
        assert!(readings_ns.start > 100);
    }

    #[test]
    fn threads_agree_on_the_time() {
        let clock = Clock::real();
        // Each hands its reading to the next, which must not be behind it by more than two errors.
        let mut latest = 0;
        for _ in 0..50 {
            let clock = clock.clone();
            let now_ns = std::thread::spawn(move || clock.now_ns()).join().unwrap();
            assert!(now_ns + 2 * Clock::ERROR_NS >= latest);
            latest = now_ns;
        }
    }
}
