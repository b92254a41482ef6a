//! The measured window of one round, and the sample it gives.
//!
//! ```text
//!  set up ──▶ window opens ──▶ the load ──▶ window closes ──▶ check ──▶ sample
//!               clock, allocations, processor time, peak of resident memory
//! ```

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::alloc;
use super::machine;
use super::measure::{Figures, Measure};
use super::memory::PeakWatch;

const OTHERS_WINDOW_MIN: Duration = Duration::from_millis(200);

/// Opens windows.
#[derive(Debug, Default)]
pub(crate) struct Meter(());

/// What was seen from the outside while a window was open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) elapsed: Duration,
    /// Processor time of all threads of the process.
    pub(crate) cpu: Duration,
    /// Processor time that others had of the whole machine; `None` where the system does not tell.
    pub(crate) others: Option<Duration>,
    pub(crate) allocations: u64,
    pub(crate) resident_peak_bytes: u64,
}

/// One round's figures, with the shape of its latencies where it has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Latency in ns at each quantile: `[0.99, 18240]`; quantiles ascend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) curve: Vec<(f64, f64)>,
}

/// The quantiles of a curve: even steps on an axis of nines.
const QUANTILES: [f64; 23] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995,
    0.998, 0.999, 0.9995, 0.9999, 0.99999, 0.999999,
];

impl Meter {
    /// Runs `load` in a window.
    pub(crate) fn window<T>(&mut self, load: impl FnOnce() -> T) -> (Window, T) {
        let watch = PeakWatch::begin();
        let busy = machine::busy_time();
        let allocations = alloc::allocations();
        let cpu = ProcessTime::now();
        let began = Instant::now();
        let result = load();
        let elapsed = began.elapsed();
        let cpu = cpu.elapsed();
        let allocations = alloc::allocations() - allocations;
        let others = machine::busy_time()
            .zip(busy)
            .map(|(after, before)| after.saturating_sub(before).saturating_sub(cpu));
        let window = Window {
            elapsed,
            cpu,
            others,
            allocations,
            resident_peak_bytes: watch.end(),
        };
        (window, result)
    }
}

impl Window {
    /// The sample of a window in which `messages` messages were handled.
    pub(crate) fn sample(&self, messages: u64) -> Sample {
        let elapsed = self.elapsed.as_secs_f64();
        let messages = messages as f64;
        self.bare_sample()
            .with(Measure::NsPerMessage, elapsed * 1e9 / messages)
            .with(Measure::MessagesPerS, messages / elapsed)
            .with(
                Measure::AllocationsPerMessage,
                self.allocations as f64 / messages,
            )
    }

    /// The sample of a window that is not about messages.
    pub(crate) fn bare_sample(&self) -> Sample {
        let resident = self.resident_peak_bytes as f64;
        let sample = Sample::default().with(Measure::ResidentPeakBytes, resident);
        match self.others {
            // The system counts in steps of 10 ms: a short window would show mere rounding.
            Some(others) if self.elapsed >= OTHERS_WINDOW_MIN => {
                let whole = self.elapsed.as_secs_f64() * machine::cpus() as f64;
                sample.with(Measure::OthersShare, others.as_secs_f64() / whole)
            }
            _ => sample,
        }
    }

    /// Processor time as a share of one core.
    pub(crate) fn cpu_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

impl Sample {
    pub(crate) fn with(mut self, measure: Measure, value: f64) -> Sample {
        self.figures.set(measure, value);
        self
    }

    /// Adds p50, p99 and p99.9 and the curve of `latencies`, recorded in ns.
    ///
    /// The curve ends where fewer than one value would lie beyond it; its last point is the
    /// greatest value.
    pub(crate) fn with_latencies(mut self, latencies: &Histogram<u64>) -> Sample {
        if latencies.is_empty() {
            return self;
        }
        let at = |quantile| latencies.value_at_quantile(quantile) as f64;
        let beyond = |quantile: f64| (1.0 - quantile) * latencies.len() as f64;
        let shown = QUANTILES
            .into_iter()
            .filter(|&quantile| beyond(quantile) >= 1.0);
        self.curve = shown.map(|quantile| (quantile, at(quantile))).collect();
        self.curve.push((1.0, latencies.max() as f64));
        self.with(Measure::P50Ns, at(0.5))
            .with(Measure::P99Ns, at(0.99))
            .with(Measure::P999Ns, at(0.999))
    }
}

/// A histogram for latencies in ns: three digits, from 1 ns to an hour, which longer ones count as
/// with `saturating_record`. A quarter of a megabyte.
pub(crate) fn latencies() -> Histogram<u64> {
    // A bound of its own: one that grows does so in `record` only, and saturates at 2.
    Histogram::new_with_bounds(1, HOUR_NS, 3)
        .expect("the bounds and three significant digits are within hdrhistogram's range")
}

const HOUR_NS: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_time_and_rate_a_message() {
        let window = Window {
            elapsed: Duration::from_millis(500),
            cpu: Duration::from_millis(750),
            others: Some(Duration::from_millis(250) * machine::cpus() as u32),
            allocations: 25,
            resident_peak_bytes: 4_096,
        };
        let figures = window.sample(100).figures;
        assert_eq!(figures.get(Measure::NsPerMessage), Some(5e6));
        assert_eq!(figures.get(Measure::MessagesPerS), Some(200.0));
        assert_eq!(figures.get(Measure::AllocationsPerMessage), Some(0.25));
        assert_eq!(figures.get(Measure::ResidentPeakBytes), Some(4_096.0));
        assert_eq!(figures.get(Measure::OthersShare), Some(0.5));
        assert_eq!(window.cpu_share(), 1.5);
    }

    #[test]
    fn a_window_without_messages_claims_nothing_a_message() {
        let (window, ()) = Meter::default().window(|| ());
        assert_eq!(window.sample(0).figures.get(Measure::NsPerMessage), None);
    }

    #[test]
    fn a_window_counts_what_its_load_allocates() {
        let load = || std::hint::black_box((0..1_000).map(Box::new).collect::<Vec<_>>());
        let (window, boxes) = Meter::default().window(load);
        assert!(window.allocations > boxes.len() as u64);
    }

    #[test]
    fn latencies_up_to_an_hour_keep_three_digits() {
        for ns in [1, 2_500, 1_000_000_000, HOUR_NS] {
            let mut histogram = latencies();
            histogram.saturating_record(ns);
            let off = histogram.max().abs_diff(ns);
            assert!(off <= ns / 1_000, "{ns} ns is off by {off}");
        }
        let mut histogram = latencies();
        histogram.saturating_record(u64::MAX);
        assert!(histogram.max() >= HOUR_NS);
    }

    #[test]
    fn the_curve_of_a_thousand_latencies_ends_at_the_greatest() {
        let mut histogram = latencies();
        for ns in 1..=1_000 {
            histogram.record(ns).unwrap();
        }
        let sample = Sample::default().with_latencies(&histogram);
        assert_eq!(sample.figures.get(Measure::P50Ns), Some(500.0));
        assert_eq!(sample.figures.get(Measure::P99Ns), Some(990.0));
        let quantiles: Vec<f64> = sample.curve.iter().map(|point| point.0).collect();
        assert!(quantiles.is_sorted() && !quantiles.contains(&0.9999));
        assert_eq!(sample.curve.last(), Some(&(1.0, 1_000.0)));
    }
}
