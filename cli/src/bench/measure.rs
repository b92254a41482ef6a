//! What can be measured, in which unit, and which way is better.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One figure of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    NsPerMessage,
    MessagesPerS,
    Seconds,
    P50Ns,
    P99Ns,
    P999Ns,
    LateP50Ns,
    LateP99Ns,
    ArmsPerS,
    CancelsPerS,
    RefusedShare,
    ShareOfIdeal,
    OverheadNs,
    CpuShare,
    AllocationsPerMessage,
    BytesEach,
    ResidentPeakBytes,
    RoundTripNs,
    OthersShare,
}

/// What a figure counts, so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Ns,
    Seconds,
    PerS,
    Bytes,
    Share,
    Count,
}

/// Which way a measure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// It describes the machine or the run, not the runtime.
    Neither,
}

use Better::{Higher, Lower, Neither};

impl Measure {
    /// Every measure, in the order reports show them.
    pub(crate) const ALL: [Measure; 19] = [
        Measure::NsPerMessage,
        Measure::MessagesPerS,
        Measure::Seconds,
        Measure::P50Ns,
        Measure::P99Ns,
        Measure::P999Ns,
        Measure::LateP50Ns,
        Measure::LateP99Ns,
        Measure::ArmsPerS,
        Measure::CancelsPerS,
        Measure::RefusedShare,
        Measure::ShareOfIdeal,
        Measure::OverheadNs,
        Measure::CpuShare,
        Measure::AllocationsPerMessage,
        Measure::BytesEach,
        Measure::ResidentPeakBytes,
        Measure::RoundTripNs,
        Measure::OthersShare,
    ];

    const fn row(self) -> (&'static str, &'static str, Unit, Better) {
        match self {
            Measure::NsPerMessage => ("ns_per_message", "time a message", Unit::Ns, Lower),
            Measure::MessagesPerS => ("messages_per_s", "messages/s", Unit::PerS, Higher),
            Measure::Seconds => ("seconds", "whole run", Unit::Seconds, Lower),
            Measure::P50Ns => ("p50_ns", "p50", Unit::Ns, Lower),
            Measure::P99Ns => ("p99_ns", "p99", Unit::Ns, Lower),
            Measure::P999Ns => ("p999_ns", "p99.9", Unit::Ns, Lower),
            Measure::LateP50Ns => ("late_p50_ns", "late by, p50", Unit::Ns, Lower),
            Measure::LateP99Ns => ("late_p99_ns", "late by, p99", Unit::Ns, Lower),
            Measure::ArmsPerS => ("arms_per_s", "armed/s", Unit::PerS, Higher),
            Measure::CancelsPerS => ("cancels_per_s", "canceled/s", Unit::PerS, Higher),
            Measure::RefusedShare => ("refused_share", "refused", Unit::Share, Neither),
            Measure::ShareOfIdeal => ("share_of_ideal", "share of ideal", Unit::Share, Higher),
            Measure::OverheadNs => ("overhead_ns", "overhead", Unit::Ns, Lower),
            Measure::CpuShare => ("cpu_share", "share of one core", Unit::Share, Lower),
            Measure::AllocationsPerMessage => (
                "allocations_per_message",
                "allocations a message",
                Unit::Count,
                Lower,
            ),
            Measure::BytesEach => ("bytes_each", "bytes each", Unit::Bytes, Lower),
            Measure::ResidentPeakBytes => ("resident_peak_bytes", "resident", Unit::Bytes, Lower),
            Measure::RoundTripNs => ("round_trip_ns", "cache-line round trip", Unit::Ns, Neither),
            Measure::OthersShare => ("others_share", "taken by others", Unit::Share, Neither),
        }
    }

    /// Its name in `mainspring-bench.jsonl`.
    pub(crate) const fn key(self) -> &'static str {
        self.row().0
    }

    /// Its name for people.
    pub(crate) const fn label(self) -> &'static str {
        self.row().1
    }

    pub(crate) const fn unit(self) -> Unit {
        self.row().2
    }

    pub(crate) const fn better(self) -> Better {
        self.row().3
    }

    pub(crate) fn from_key(key: &str) -> Option<Measure> {
        Measure::ALL
            .into_iter()
            .find(|measure| measure.key() == key)
    }

    /// Writes `value` in this measure's unit, three digits or so: `8.80 ns`, `120 M/s`, `64.2 MB`.
    pub(crate) fn write(self, value: f64) -> String {
        match self.unit() {
            Unit::Ns => nanoseconds(value),
            Unit::Seconds => nanoseconds(value * 1e9),
            Unit::PerS => format!("{}/s", with_prefix(value)),
            Unit::Bytes => bytes(value),
            Unit::Share => percent(value),
            Unit::Count => count(value),
        }
    }
}

/// The figures of one round, by measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, f64>", into = "BTreeMap<&'static str, f64>")]
pub(crate) struct Figures(BTreeMap<Measure, f64>);

impl Figures {
    pub(crate) fn get(&self, measure: Measure) -> Option<f64> {
        self.0.get(&measure).copied()
    }

    /// Sets `measure` unless `value` is infinite or not a number: JSON has no word for those.
    pub(crate) fn set(&mut self, measure: Measure, value: f64) {
        if value.is_finite() {
            self.0.insert(measure, value);
        }
    }
}

impl From<BTreeMap<String, f64>> for Figures {
    /// Leaves out what this version does not know, so that newer files can be compared.
    fn from(by_key: BTreeMap<String, f64>) -> Figures {
        let known = |(key, value): (String, f64)| Some((Measure::from_key(&key)?, value));
        Figures(by_key.into_iter().filter_map(known).collect())
    }
}

impl From<Figures> for BTreeMap<&'static str, f64> {
    fn from(figures: Figures) -> Self {
        figures
            .0
            .into_iter()
            .map(|(measure, value)| (measure.key(), value))
            .collect()
    }
}

/// A figure to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) measure: Measure,
    /// The worst value that meets it.
    pub(crate) bound: f64,
}

impl Goal {
    pub(crate) const fn new(measure: Measure, bound: f64) -> Goal {
        Goal { measure, bound }
    }

    pub(crate) fn is_met(&self, value: f64) -> bool {
        match self.measure.better() {
            Higher => value >= self.bound,
            Lower | Neither => value <= self.bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.measure.better() == Higher {
            '≥'
        } else {
            '≤'
        };
        write!(f, "{sign} {}", self.measure.write(self.bound))
    }
}

/// Three significant digits, without an exponent: `0.034`, `8.80`, `64.2`, `512`.
pub(crate) fn count(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.0005 => "< 0.001".to_owned(),
        size if size < 0.0995 => format!("{value:.3}"),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A time in ns, written in ns, µs, ms or s.
pub(crate) fn nanoseconds(ns: f64) -> String {
    scaled(ns, &[("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)])
}

/// Bytes, in decimal units: 1 MB is 1,000,000 bytes.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)])
}

/// A number with the prefix k, M or G: `59.2 M`.
pub(crate) fn with_prefix(value: f64) -> String {
    scaled(value, &[("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9)])
        .trim_end()
        .to_owned()
}

pub(crate) fn percent(share: f64) -> String {
    format!("{} %", count(share * 100.0))
}

fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    // 999.5 would be written as 1000.
    let fits = |&&(_, size): &&(&str, f64)| value.abs() < size * 999.5;
    let (unit, size) = units.iter().find(fits).unwrap_or(&units[units.len() - 1]);
    format!("{} {unit}", count(value / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_with_three_digits_and_a_unit() {
        let cases = [
            (Measure::NsPerMessage, 8.8, "8.80 ns"),
            (Measure::NsPerMessage, 999.7, "1.00 µs"),
            (Measure::P99Ns, 18_240.0, "18.2 µs"),
            (Measure::Seconds, 0.147, "147 ms"),
            (Measure::MessagesPerS, 120e6, "120 M/s"),
            (Measure::MessagesPerS, 512.0, "512/s"),
            (Measure::ResidentPeakBytes, 64_150_000.0, "64.2 MB"),
            (Measure::ShareOfIdeal, 0.999, "99.9 %"),
            (Measure::CpuShare, 0.0004, "0.040 %"),
            (Measure::AllocationsPerMessage, 0.0, "0"),
            (Measure::AllocationsPerMessage, 0.000_01, "< 0.001"),
        ];
        for (measure, value, written) in cases {
            assert_eq!(measure.write(value), written, "{}", measure.key());
        }
    }

    #[test]
    fn keys_are_unique_and_lead_back() {
        for measure in Measure::ALL {
            assert_eq!(Measure::from_key(measure.key()), Some(measure));
        }
    }

    #[test]
    fn a_goal_is_met_at_its_bound_and_on_its_better_side() {
        let lower = Goal::new(Measure::NsPerMessage, 15.0);
        assert!(lower.is_met(15.0) && lower.is_met(9.0) && !lower.is_met(15.1));
        let higher = Goal::new(Measure::MessagesPerS, 50e6);
        assert!(higher.is_met(50e6) && higher.is_met(60e6) && !higher.is_met(49e6));
        assert_eq!(lower.to_string(), "≤ 15.0 ns");
        assert_eq!(higher.to_string(), "≥ 50.0 M/s");
    }

    #[test]
    fn an_infinite_figure_is_left_out() {
        let mut figures = Figures::default();
        figures.set(Measure::P50Ns, f64::INFINITY);
        figures.set(Measure::P99Ns, 2.0);
        assert_eq!(
            (figures.get(Measure::P50Ns), figures.get(Measure::P99Ns)),
            (None, Some(2.0))
        );
    }
}
