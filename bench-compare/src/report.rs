//! Rows of figures, as a table for people and as JSON lines for programs.

use serde_json::{Value, json};

use crate::measure::median;
use crate::runtimes::OURS;

/// All rounds of one figure.
pub struct Row {
    pub runtime: &'static str,
    pub workload: &'static str,
    pub metric: String,
    pub workers: usize,
    pub unit: String,
    pub values: Vec<f64>,
    /// Measured between the same rounds, when there was more than one worker.
    pub cache_line_ns: Option<f64>,
}

impl Row {
    fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn max(&self) -> f64 {
        self.values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// As one object.
    pub fn json(&self) -> Value {
        json!({
            "runtime": self.runtime,
            "workload": self.workload,
            "metric": self.metric,
            "workers": self.workers,
            "unit": self.unit,
            "rounds": self.values,
            "median": median(&self.values),
            "min": self.min(),
            "max": self.max(),
            "cache_line_ns": self.cache_line_ns,
        })
    }

    /// Whether more of it is better; the units say so.
    fn is_gain(&self) -> bool {
        matches!(self.unit.as_str(), "M msg/s" | "M/s" | "of ideal")
    }

    fn cell(&self) -> String {
        format!(
            "{} ({}–{})",
            short(median(&self.values)),
            short(self.min()),
            short(self.max())
        )
    }
}

/// How [`OURS`] compares with the best of the others in one figure.
#[derive(Debug, PartialEq)]
pub struct Ratio {
    pub best: &'static str,
    /// How many times better our median is; below 1, the best peer's is better.
    pub times: f64,
    /// The least and the greatest ratio within one round.
    pub min: f64,
    pub max: f64,
}

impl Ratio {
    /// None without a figure of ours or of any other, or where one is not above 0.
    fn of(rows: &[&Row]) -> Option<Ratio> {
        let ours = rows.iter().find(|row| row.runtime == OURS)?;
        let others = rows.iter().filter(|row| row.runtime != OURS);
        let times = |(ours_value, other): (f64, f64)| match ours.is_gain() {
            true => ours_value / other,
            false => other / ours_value,
        };
        let to = |other: &&&Row| times((median(&ours.values), median(&other.values)));
        let best = others.min_by(|one, two| to(one).total_cmp(&to(two)))?;
        let all = ours.values.iter().chain(&best.values);
        if all.copied().any(|value| value <= 0.0) {
            return None;
        }
        // Rounds are pairs only where no run failed.
        let pairs = ours.values.iter().copied().zip(best.values.iter().copied());
        let rounds: Vec<f64> = match ours.values.len() == best.values.len() {
            true => pairs.map(times).collect(),
            false => vec![to(&best)],
        };
        Some(Ratio {
            best: best.runtime,
            times: to(&best),
            min: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            max: rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    fn cell(&self) -> String {
        let (times, min, max) = (short(self.times), short(self.min), short(self.max));
        format!("{times} ({min}–{max}) {}", self.best)
    }

    fn json(&self, row: &Row) -> Value {
        json!({
            "ratio_to_best": self.best,
            "workload": row.workload,
            "metric": row.metric,
            "workers": row.workers,
            "times": self.times,
            "min": self.min,
            "max": self.max,
        })
    }
}

/// The rows of each metric, in the order of the metrics.
fn by_metric(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut metrics: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match metrics.iter_mut().find(|of| of[0].metric == row.metric) {
            Some(of) => of.push(row),
            None => metrics.push(vec![row]),
        }
    }
    metrics
}

/// An object for each metric that [`OURS`] and another runtime have.
pub fn ratios(rows: &[Row]) -> Vec<Value> {
    let ratio = |of: Vec<&Row>| Some(Ratio::of(&of)?.json(of[0]));
    by_metric(rows).into_iter().filter_map(ratio).collect()
}

/// Three significant digits, or all of those before the point.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        above if above >= 100.0 => 0,
        above if above >= 10.0 => 1,
        above if above >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

const LABEL: usize = 40;
const CELL: usize = 23;

/// The line above the table.
pub fn header(runtimes: &[&str]) -> String {
    let label = format!("{:LABEL$}", "median (min–max)");
    let names = runtimes.iter().map(|name| name.to_string());
    line(label, names.chain([format!("{OURS}, times the best")]))
}

/// The lines of one workload and number of workers: a metric a line, a runtime a column, and last
/// how many times better than the best of the others ours is.
pub fn lines(runtimes: &[&str], rows: &[Row]) -> Vec<String> {
    let of_metric = |of: Vec<&Row>| {
        let first = of[0];
        let label = format!(
            "{} {} {}w, {}",
            first.workload, first.metric, first.workers, first.unit
        );
        let cells = runtimes.iter().map(|&name| {
            let row = of.iter().find(|row| row.runtime == name);
            row.map_or(String::from("-"), |row| row.cell())
        });
        let ratio = Ratio::of(&of).map_or(String::from("-"), |ratio| ratio.cell());
        line(format!("{label:LABEL$}"), cells.chain([ratio]))
    };
    by_metric(rows).into_iter().map(of_metric).collect()
}

fn line(label: String, cells: impl Iterator<Item = String>) -> String {
    cells
        .fold(label, |line, cell| line + &format!("{cell:CELL$}"))
        .trim_end()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(runtime: &'static str, metric: &str, values: &[f64]) -> Row {
        Row {
            runtime,
            workload: "ring",
            metric: metric.into(),
            workers: 1,
            unit: "ns/msg".into(),
            values: values.to_vec(),
            cache_line_ns: None,
        }
    }

    #[test]
    fn a_line_has_a_cell_for_every_runtime_also_for_one_without_the_figure() {
        let rows = [
            row("one", "time", &[3.0, 1.0, 2.0]),
            row("three", "time", &[150.0]),
        ];
        let lines = lines(&["one", "two", "three"], &rows);
        let fields: Vec<_> = lines[0].split_whitespace().collect();
        let cells = ["2.00", "(1.00–3.00)", "-", "150", "(150–150)", "-"];
        assert_eq!(
            fields,
            [&["ring", "time", "1w,", "ns/msg"][..], &cells].concat()
        );
    }

    #[test]
    fn ours_is_compared_with_the_best_of_the_others_round_by_round() {
        let cost = [
            row("slow", "time", &[90.0, 90.0, 90.0]),
            row(OURS, "time", &[10.0, 20.0, 20.0]),
            row("fast", "time", &[40.0, 50.0, 30.0]),
        ];
        let ratio = Ratio::of(&cost.iter().collect::<Vec<_>>());
        let (best, times, min, max) = ("fast", 2.0, 1.5, 4.0);
        assert_eq!(
            ratio,
            Some(Ratio {
                best,
                times,
                min,
                max
            })
        );
        assert!(lines(&["fast"], &cost)[0].ends_with("2.00 (1.50–4.00) fast"));
        assert_eq!(ratios(&cost)[0]["ratio_to_best"], json!("fast"));

        let rate = |name, value| Row {
            unit: "M msg/s".into(),
            ..row(name, "rate", &[value])
        };
        let rates = [rate("slow", 1.0), rate("fast", 8.0), rate(OURS, 4.0)];
        let ratio = Ratio::of(&rates.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((ratio.best, ratio.times), ("fast", 0.5));
    }

    #[test]
    fn a_figure_that_is_not_above_zero_has_no_ratio() {
        let rows = [row(OURS, "cpu", &[0.0]), row("other", "cpu", &[1.0])];
        assert_eq!(Ratio::of(&rows.iter().collect::<Vec<_>>()), None);
        assert_eq!(Ratio::of(&[&rows[0]]), None);
        assert_eq!(Ratio::of(&[&rows[1]]), None);
    }

    #[test]
    fn a_row_keeps_every_round() {
        let object = row("one", "time", &[3.0, 1.0, 2.0]).json();
        assert_eq!(object["rounds"], json!([3.0, 1.0, 2.0]));
        assert_eq!(
            (object["median"].as_f64(), object["min"].as_f64()),
            (Some(2.0), Some(1.0))
        );
        assert_eq!(object["max"].as_f64(), Some(3.0));
    }
}
