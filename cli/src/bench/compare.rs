//! Whether a run differs from an older one: medians against the spread of both.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Color};

use super::json::{Record, Report};
use super::measure::{Better, Measure, Unit, count};
use super::stats::Summary;
use super::table::new_table;

/// Fewer rounds have no spread to decide by.
const ROUNDS_MIN: usize = 3;

/// Beyond this ratio, the cores of two runs are not equally far apart.
const ROUND_TRIP_RATIO_MAX: f64 = 1.5;

/// The measures compared beside each case's headline.
const ALSO: [Measure; 6] = [
    Measure::P50Ns,
    Measure::P99Ns,
    Measure::AllocationsPerMessage,
    Measure::BytesEach,
    Measure::ResidentPeakBytes,
    Measure::ShareOfIdeal,
];

/// What two summaries of one measure say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// Within the spread of one of the runs, or within the threshold.
    NoDifference,
    /// Different, and so were the distances between the cores, the same way.
    CoresMoved,
    TooFewRounds,
    /// The two runs had different sizes.
    OtherSize,
    OnlyOld,
    OnlyNew,
    /// One of the runs was wrong.
    Wrong,
}

/// One row: a measure of a case in both runs.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) measure: Measure,
    pub(crate) is_headline: bool,
    pub(crate) old: Option<Summary>,
    pub(crate) new: Option<Summary>,
    pub(crate) verdict: Verdict,
}

/// Compares two summaries of `measure`.
///
/// They differ when each median lies outside of the other's middle half and the medians are
/// farther apart than `threshold`, a share of the old one.
pub(crate) fn verdict(measure: Measure, old: &Summary, new: &Summary, threshold: f64) -> Verdict {
    if old.rounds.min(new.rounds) < ROUNDS_MIN {
        return Verdict::TooFewRounds;
    }
    let apart = (new.median - old.median).abs();
    let is_lower = new.median < old.q1 && old.median > new.q3;
    let is_higher = new.median > old.q3 && old.median < new.q1;
    if !(is_lower || is_higher) || apart <= threshold * old.median.abs() {
        return Verdict::NoDifference;
    }
    match (measure.better(), is_lower) {
        (Better::Neither, _) => Verdict::NoDifference,
        (Better::Lower, true) | (Better::Higher, false) => Verdict::Better,
        (Better::Lower, false) | (Better::Higher, true) => Verdict::Worse,
    }
}

/// Compares every case of both runs: its headline always, other measures where they differ.
pub(crate) fn compare(old: &Report, new: &Report, threshold: f64) -> Vec<Row> {
    let mut rows = Vec::new();
    for record in &new.records {
        match old.records.iter().find(|old| old.id == record.id) {
            Some(before) => rows.extend(compare_case(before, record, threshold)),
            None => rows.push(lone(record, Verdict::OnlyNew)),
        }
    }
    for record in &old.records {
        if !new.records.iter().any(|new| new.id == record.id) {
            rows.push(lone(record, Verdict::OnlyOld));
        }
    }
    rows
}

/// Whether a case's headline became worse.
pub(crate) fn is_slower(rows: &[Row]) -> bool {
    rows.iter()
        .any(|row| row.is_headline && row.verdict == Verdict::Worse)
}

fn compare_case(old: &Record, new: &Record, threshold: f64) -> Vec<Row> {
    let cores_moved = cores_moved(old, new);
    let row = |measure: Measure| {
        let is_headline = measure == new.headline;
        let (before, after) = (old.summary(measure), new.summary(measure));
        let verdict = match (&before, &after) {
            _ if !old.wrong.is_empty() || !new.wrong.is_empty() => Verdict::Wrong,
            _ if old.setting.size != new.setting.size => Verdict::OtherSize,
            (Some(before), Some(after)) => match verdict(measure, before, after, threshold) {
                Verdict::Better if cores_moved == CoresMoved::Closer => Verdict::CoresMoved,
                Verdict::Worse if cores_moved == CoresMoved::Apart => Verdict::CoresMoved,
                verdict => verdict,
            },
            (None, _) => Verdict::OnlyNew,
            (_, None) => Verdict::OnlyOld,
        };
        Row {
            id: new.id.clone(),
            measure,
            is_headline,
            old: before,
            new: after,
            verdict,
        }
    };
    let mut rows = vec![row(new.headline)];
    let others = ALSO
        .into_iter()
        .filter(|&measure| measure != new.headline)
        .map(row);
    rows.extend(others.filter(|row| matches!(row.verdict, Verdict::Better | Verdict::Worse)));
    rows
}

fn lone(record: &Record, verdict: Verdict) -> Row {
    let summary = record.summary(record.headline);
    let (old, new) = if verdict == Verdict::OnlyOld {
        (summary, None)
    } else {
        (None, summary)
    };
    Row {
        id: record.id.clone(),
        measure: record.headline,
        is_headline: true,
        old,
        new,
        verdict,
    }
}

#[derive(PartialEq)]
enum CoresMoved {
    No,
    Closer,
    Apart,
}

fn cores_moved(old: &Record, new: &Record) -> CoresMoved {
    let trip = |record: &Record| Some(record.summary(Measure::RoundTripNs)?.median);
    match (trip(old), trip(new)) {
        (Some(old), Some(new)) if new > old * ROUND_TRIP_RATIO_MAX => CoresMoved::Apart,
        (Some(old), Some(new)) if old > new * ROUND_TRIP_RATIO_MAX => CoresMoved::Closer,
        _ => CoresMoved::No,
    }
}

impl Verdict {
    /// In words that fit `measure`: a time is faster, a size smaller.
    pub(crate) fn word(self, measure: Measure) -> &'static str {
        match (self, measure.unit()) {
            (Verdict::Better, Unit::Ns | Unit::Seconds | Unit::PerS) => "faster",
            (Verdict::Worse, Unit::Ns | Unit::Seconds | Unit::PerS) => "slower",
            (Verdict::Better, Unit::Bytes | Unit::Count) => "less",
            (Verdict::Worse, Unit::Bytes | Unit::Count) => "more",
            (Verdict::Better, Unit::Share) => "better",
            (Verdict::Worse, Unit::Share) => "worse",
            (Verdict::NoDifference, _) => "no difference",
            (Verdict::CoresMoved, _) => "undecided: the cores' distance changed too",
            (Verdict::TooFewRounds, _) => "undecided: fewer than 3 rounds",
            (Verdict::OtherSize, _) => "undecided: other size",
            (Verdict::OnlyOld, _) => "only in the old run",
            (Verdict::OnlyNew, _) => "only in the new run",
            (Verdict::Wrong, _) => "undecided: a run was wrong",
        }
    }
}

/// The rows as a table, under notes on what else differs between the runs.
pub(crate) struct Comparison<'a> {
    pub(crate) old: &'a Report,
    pub(crate) new: &'a Report,
    pub(crate) rows: &'a [Row],
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, old), (_, new)) in self
            .old
            .machine
            .facts()
            .iter()
            .zip(self.new.machine.facts())
        {
            if *old != new && matches!(*name, "processor" | "cores" | "build") {
                writeln!(f, "note: {name} was {old}, is {new}")?;
            }
        }
        let mut table = new_table();
        table.set_header([
            "case",
            "measure",
            "old",
            "±",
            "new",
            "±",
            "new / old",
            "verdict",
        ]);
        for row in self.rows {
            let median = |side: &Option<Summary>| {
                side.as_ref()
                    .map_or_else(String::new, |side| row.measure.write(side.median))
            };
            let spread = |side: &Option<Summary>| {
                side.as_ref()
                    .map_or_else(String::new, |side| super::measure::percent(side.spread()))
            };
            let ratio = match (&row.old, &row.new) {
                (Some(old), Some(new)) if old.median != 0.0 => {
                    format!("{} ×", count(new.median / old.median))
                }
                _ => String::new(),
            };
            let color = match row.verdict {
                Verdict::Better => Color::Green,
                Verdict::Worse => Color::Red,
                _ => Color::Reset,
            };
            let case = if row.is_headline { row.id.as_str() } else { "" };
            let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(case),
                Cell::new(row.measure.label()),
                right(median(&row.old)),
                right(spread(&row.old)),
                right(median(&row.new)),
                right(spread(&row.new)),
                right(ratio),
                Cell::new(row.verdict.word(row.measure)).fg(color),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::{record, report};
    use super::*;

    #[test]
    fn verdicts() {
        use Measure::{MessagesPerS, NsPerMessage, RoundTripNs};
        use Verdict::{Better, NoDifference, TooFewRounds, Worse};
        // Quartiles of five values are the second and the fourth.
        let base = [98.0, 99.0, 100.0, 101.0, 102.0];
        let shifted = |by: f64| base.map(|value| value * by).to_vec();
        for (name, measure, old, new, verdict) in [
            (
                "the same",
                NsPerMessage,
                base.to_vec(),
                base.to_vec(),
                NoDifference,
            ),
            (
                "a fifth less time",
                NsPerMessage,
                base.to_vec(),
                shifted(0.8),
                Better,
            ),
            (
                "a fifth more time",
                NsPerMessage,
                base.to_vec(),
                shifted(1.2),
                Worse,
            ),
            (
                "a fifth higher rate",
                MessagesPerS,
                base.to_vec(),
                shifted(1.2),
                Better,
            ),
            (
                "a fifth lower rate",
                MessagesPerS,
                base.to_vec(),
                shifted(0.8),
                Worse,
            ),
            (
                "beyond both spreads, within 3 %",
                NsPerMessage,
                base.to_vec(),
                shifted(1.025),
                NoDifference,
            ),
            (
                "the new run spreads over the old",
                NsPerMessage,
                base.to_vec(),
                vec![60.0, 90.0, 130.0, 140.0, 150.0],
                NoDifference,
            ),
            (
                "the old run spreads over the new",
                NsPerMessage,
                vec![60.0, 90.0, 130.0, 140.0, 150.0],
                base.to_vec(),
                NoDifference,
            ),
            (
                "two rounds",
                NsPerMessage,
                vec![1.0, 1.0],
                shifted(1.0),
                TooFewRounds,
            ),
            (
                "a fact of the machine",
                RoundTripNs,
                base.to_vec(),
                shifted(3.0),
                NoDifference,
            ),
            (
                "none, then some",
                Measure::AllocationsPerMessage,
                vec![0.0; 5],
                vec![1.0; 5],
                Worse,
            ),
            (
                "some, then none",
                Measure::AllocationsPerMessage,
                vec![1.0; 5],
                vec![0.0; 5],
                Better,
            ),
        ] {
            let (old, new) = (Summary::of(&old).unwrap(), Summary::of(&new).unwrap());
            assert_eq!(super::verdict(measure, &old, &new, 0.03), verdict, "{name}");
        }
    }

    fn rows(old: Vec<Record>, new: Vec<Record>) -> Vec<Row> {
        compare(&report(old), &report(new), 0.03)
    }

    #[test]
    fn cases_are_matched_by_name_and_size() {
        let before = vec![record("ring", 1, &[9.0; 3]), record("gone", 1, &[9.0; 3])];
        let mut resized = record("ring", 1, &[20.0; 3]);
        let rows_of = |new| rows(before.clone(), new);
        let verdicts = |rows: &[Row]| rows.iter().map(|row| row.verdict).collect::<Vec<_>>();
        let slower = rows_of(vec![resized.clone(), record("new", 1, &[1.0; 3])]);
        let headlines: Vec<_> = slower
            .iter()
            .filter(|row| row.is_headline)
            .map(|r| r.verdict)
            .collect();
        assert_eq!(
            headlines,
            [Verdict::Worse, Verdict::OnlyNew, Verdict::OnlyOld]
        );
        assert!(is_slower(&slower));
        resized.setting.size += 1;
        let other = rows_of(vec![resized]);
        assert_eq!(verdicts(&other), [Verdict::OtherSize, Verdict::OnlyOld]);
        assert!(!is_slower(&other));
    }

    #[test]
    fn a_slowdown_is_undecided_when_the_cores_moved_apart_and_only_then() {
        let old = record("pairs", 2, &[10.0; 3]);
        let mut new = record("pairs", 2, &[20.0; 3]);
        let moved = |new: &mut Record, trip: f64| {
            for sample in &mut new.rounds {
                sample.figures.set(Measure::RoundTripNs, trip);
            }
        };
        moved(&mut new, 230.0);
        assert_eq!(
            rows(vec![old.clone()], vec![new.clone()])[0].verdict,
            Verdict::CoresMoved
        );
        moved(&mut new, 28.0);
        assert_eq!(rows(vec![old], vec![new])[0].verdict, Verdict::Worse);
    }

    #[test]
    fn a_wrong_run_decides_nothing() {
        let mut new = record("ring", 1, &[1.0; 3]);
        new.wrong.push("sum".to_owned());
        assert_eq!(
            rows(vec![record("ring", 1, &[9.0; 3])], vec![new])[0].verdict,
            Verdict::Wrong
        );
    }

    #[test]
    fn the_table_shows_ratio_and_verdict() {
        let (old, new) = (
            report(vec![record("ring", 1, &[10.0; 3])]),
            report(vec![record("ring", 1, &[5.0; 3])]),
        );
        let rows = compare(&old, &new, 0.03);
        let text = Comparison {
            old: &old,
            new: &new,
            rows: &rows,
        }
        .to_string();
        assert!(text.contains("0.50 ×") && text.contains("faster"), "{text}");
    }
}
