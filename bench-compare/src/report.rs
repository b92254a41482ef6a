//! Rows of figures, as a table for people and as JSON lines for programs.

use serde_json::{Value, json};

use crate::measure::median;

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

    fn cell(&self) -> String {
        format!(
            "{} ({}–{})",
            short(median(&self.values)),
            short(self.min()),
            short(self.max())
        )
    }
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
    line(label, runtimes.iter().map(|name| name.to_string()))
}

/// The lines of one workload and number of workers: a metric a line, a runtime a column.
pub fn lines(runtimes: &[&str], rows: &[Row]) -> Vec<String> {
    let mut metrics: Vec<&str> = Vec::new();
    for row in rows {
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    let of_metric = |metric: &&str| {
        let of: Vec<&Row> = rows.iter().filter(|row| row.metric == *metric).collect();
        let first = of[0];
        let label = format!(
            "{} {} {}w, {}",
            first.workload, metric, first.workers, first.unit
        );
        let cells = runtimes.iter().map(|&name| {
            let row = of.iter().find(|row| row.runtime == name);
            row.map_or(String::from("-"), |row| row.cell())
        });
        line(format!("{label:LABEL$}"), cells)
    };
    metrics.iter().map(of_metric).collect()
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
        let cells = ["2.00", "(1.00–3.00)", "-", "150", "(150–150)"];
        assert_eq!(
            fields,
            [&["ring", "time", "1w,", "ns/msg"][..], &cells].concat()
        );
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
