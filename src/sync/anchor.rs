//! An anchor ties a fast counter of unknown rate to nanoseconds, for one window at a time.
//!
//! ```text
//!   counter  ──────┬───────────────┬───────────────┬──▶
//!                update          update          update      ns = offset + counter × rate
//!   sample   ──────┴──── window ───┴───────────────┴──▶
//! ```
//!
//! - N1: `read` answers only inside a window, by an offset from that window's sample or a later.
//! - N2: the rate is set once, before the first window.
//! - N3: when a sample shows that the rate no longer holds, no window ever starts again.
//!
//! | step   | operation       | order   | pairs with | if Relaxed, the model sees            |
//! |--------|-----------------|---------|------------|---------------------------------------|
//! | update | store of expiry | Release | read       | a new window with the old offset (N1) |
//! | read   | load of expiry  | Acquire | update     | a new window with the old offset (N1) |
//!
//! Writers hold the lock of `samples`. A reader may see an old window with a newer offset: that is
//! off by no more than the counter drifts in a window. Model: `loom-tests/tests/anchor.rs`.

use super::atomic::{AtomicU64, Ordering};
use super::{Mutex, load_own};

/// A counter tied to nanoseconds by samples of both; it reads no clock itself.
#[derive(Debug)]
pub struct Anchor {
    /// Nanoseconds in 2^32 counts.
    rate: AtomicU64,
    /// What to add to the scaled counter, modulo 2^64.
    offset: AtomicU64,
    /// The count at which the window ends.
    expiry: AtomicU64,
    /// Before this a sample changes nothing.
    sample_at_ns: AtomicU64,
    samples: Mutex<Samples>,
}

/// The counter and the nanoseconds at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The counter.
    pub count: u64,
    /// The nanoseconds.
    pub ns: u64,
}

#[derive(Debug)]
struct Samples {
    first: Sample,
    /// The start of the window, and with it the known rate.
    last: Option<Sample>,
}

impl Anchor {
    /// Counts for which an anchor is good: 8 to 17 ms at 4 to 2 GHz.
    pub const WINDOW: u64 = 1 << 25;
    /// How long the rate is measured: two samples, each half a microsecond off, give 50 ppm.
    pub const CALIBRATION_NS: u64 = 20_000_000;
    /// An estimate off by more than this and 1,000 ppm of the time since the last sample means
    /// that the rate has changed.
    const TRUST_NS: u64 = 20_000;

    /// An anchor that begins to measure the rate at `first`.
    #[must_use]
    pub fn new(first: Sample) -> Self {
        Self {
            rate: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            expiry: AtomicU64::new(0),
            sample_at_ns: AtomicU64::new(first.ns.saturating_add(Self::CALIBRATION_NS)),
            samples: Mutex::new(Samples { first, last: None }),
        }
    }

    /// The nanoseconds at `count`, `None` outside of the window.
    #[must_use]
    #[inline]
    pub fn read(&self, count: u64) -> Option<u64> {
        // Acquire: the offset of the sample that began this window, or a later one (N1).
        let expiry = self.expiry.load(Ordering::Acquire);
        if expiry.wrapping_sub(count).wrapping_sub(1) >= Self::WINDOW {
            return None;
        }
        Some(self.estimate(count, |place| place.load(Ordering::Relaxed)))
    }

    /// Whether a sample taken at `ns` is of use when `read` has no answer.
    #[must_use]
    pub fn wants_sample(&self, ns: u64) -> bool {
        ns >= self.sample_at_ns.load(Ordering::Relaxed)
    }

    /// Starts the next window at `now`; does nothing while another thread is at it.
    pub fn update(&self, now: Sample) {
        let Ok(mut samples) = self.samples.try_lock() else {
            return;
        };
        let holds = match samples.last {
            None => self.measure(samples.first, now),
            Some(last) => {
                let allowed_ns = Self::TRUST_NS + now.ns.saturating_sub(last.ns) / 1_000;
                self.estimate(now.count, load_own).abs_diff(now.ns) <= allowed_ns
            }
        };
        if !holds {
            self.sample_at_ns.store(u64::MAX, Ordering::Relaxed);
            self.expiry.store(0, Ordering::Relaxed); // its window is one that no counter reaches
            return;
        }
        samples.last = Some(now);
        let scaled = scale(now.count, load_own(&self.rate));
        self.offset
            .store(now.ns.wrapping_sub(scaled), Ordering::Relaxed);
        // Release: hands the rate and the offset to `read` (N1, N2).
        self.expiry
            .store(now.count.wrapping_add(Self::WINDOW), Ordering::Release);
    }

    /// Sets the rate from the two ends of the calibration; `false` for a counter that stood still.
    fn measure(&self, first: Sample, now: Sample) -> bool {
        let ns = u128::from(now.ns.saturating_sub(first.ns));
        let counts = u128::from(now.count.wrapping_sub(first.count));
        let rate = (ns << 32)
            .checked_div(counts)
            .and_then(|rate| u64::try_from(rate).ok());
        self.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
        rate.is_some()
    }

    /// `load` reads rate and offset: a writer, under the lock, reads its own.
    #[inline]
    fn estimate(&self, count: u64, load: impl Fn(&AtomicU64) -> u64) -> u64 {
        let scaled = scale(count, load(&self.rate));
        load(&self.offset).wrapping_add(scaled)
    }
}

/// Counts in nanoseconds, modulo 2^64.
#[inline]
fn scale(count: u64, rate: u64) -> u64 {
    ((u128::from(count) * u128::from(rate)) >> 32) as u64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A counter of `hz` whose nanoseconds are slewed by `slew_ppm`, sampled by whoever finds no
    /// window.
    struct Simulation {
        anchor: Anchor,
        hz: u64,
        count: u64,
        /// In 2^-32 ns, so that the rounding of single steps does not add up.
        true_time: u128,
    }

    impl Simulation {
        fn new(hz: u64, count: u64) -> Self {
            let anchor = Anchor::new(Sample { count, ns: 0 });
            Self {
                anchor,
                hz,
                count,
                true_time: 0,
            }
        }

        fn step(&mut self, counts: u64, slew_ppm: i64) {
            self.count = self.count.wrapping_add(counts);
            let scaled = (u128::from(counts) << 32) * 1_000_000_000 / u128::from(self.hz);
            self.true_time += scaled * (1_000_000 + slew_ppm) as u128 / 1_000_000;
        }

        fn true_ns(&self) -> u64 {
            (self.true_time >> 32) as u64
        }

        /// How far off a reading is now; a reading without a window is exact.
        fn error_ns(&self) -> u64 {
            let ns = self.true_ns();
            match self.anchor.read(self.count) {
                Some(read_ns) => read_ns.abs_diff(ns),
                None => {
                    if self.anchor.wants_sample(ns) {
                        self.anchor.update(Sample {
                            count: self.count,
                            ns,
                        });
                    }
                    0
                }
            }
        }

        fn has_window(&self) -> bool {
            self.anchor.read(self.count).is_some()
        }
    }

    #[test]
    fn an_error_never_adds_up() {
        // From a counter that wraps on the way, over an hour, under the most that Linux slews.
        for (hz, start) in [
            (2_000_000_000, 0),
            (2_600_000_000, u64::MAX - 1_000),
            (4_999_999_937, 7),
        ] {
            let mut time = Simulation::new(hz, start);
            let mut readings = 0;
            while time.true_ns() < 3_600_000_000_000 {
                let slew_ppm = if (time.true_ns() / 600_000_000_000).is_multiple_of(2) {
                    -500
                } else {
                    500
                };
                time.step(9_000_001, slew_ppm);
                assert!(time.error_ns() <= 17_000 + 100, "{} ns", time.error_ns());
                readings += u32::from(time.has_window());
            }
            assert!(readings > 400_000);
        }
    }

    #[test]
    fn there_is_no_window_before_the_rate_is_known() {
        let mut time = Simulation::new(3_000_000_000, 5);
        time.step(59_999_999, 0);
        assert_eq!((time.error_ns(), time.has_window()), (0, false));
        time.step(1_000, 0);
        assert_eq!((time.error_ns(), time.has_window()), (0, true));
    }

    #[test]
    fn a_window_ends_on_both_sides() {
        let mut time = Simulation::new(3_000_000_000, 1 << 40);
        time.step(70_000_000, 0);
        time.error_ns();
        let start = time.count;
        assert!(time.anchor.read(start).is_some());
        assert!(time.anchor.read(start + Anchor::WINDOW - 1).is_some());
        assert_eq!(time.anchor.read(start + Anchor::WINDOW), None);
        assert_eq!(time.anchor.read(start - 1), None, "a counter set back");
        assert_eq!(time.anchor.read(0), None);
    }

    #[test]
    fn a_long_pause_ends_the_window_but_not_the_trust() {
        let mut time = Simulation::new(3_000_000_000, 0);
        time.step(70_000_000, 0);
        time.error_ns();
        time.step(3_000_000_000 * 86_400, 500);
        assert!(!time.has_window());
        assert_eq!((time.error_ns(), time.has_window()), (0, true));
    }

    #[test]
    fn a_counter_that_changes_its_rate_or_jumps_is_given_up() {
        for change in [1_000_000_000, u64::MAX / 2, u64::MAX - 1_000_000_000] {
            let mut time = Simulation::new(3_000_000_000, 0);
            time.step(70_000_000, 0);
            time.error_ns();
            time.count = time.count.wrapping_add(change);
            assert_eq!((time.error_ns(), time.has_window()), (0, false));
            assert!(!time.anchor.wants_sample(time.true_ns()));
            time.step(1 << 34, 0);
            assert_eq!((time.error_ns(), time.has_window()), (0, false));
        }
    }

    #[test]
    fn a_counter_that_stands_still_is_given_up() {
        let anchor = Anchor::new(Sample { count: 9, ns: 0 });
        anchor.update(Sample {
            count: 9,
            ns: Anchor::CALIBRATION_NS,
        });
        assert_eq!(anchor.read(9), None);
        assert!(!anchor.wants_sample(Anchor::CALIBRATION_NS + 1));
    }
}
