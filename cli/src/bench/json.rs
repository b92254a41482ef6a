//! The JSON-lines file: the run on the first line, then one line a case. Schema:
//! `docs/bench-format.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::harness::Case;
use super::machine::Machine;
use super::measure::{Goal, Measure};
use super::meter::Sample;
use super::setting::Setting;
use super::stats::Summary;
use super::workloads::Group;

/// The version of the schema; it grows when a reader of the old one would misread the new one.
pub(crate) const SCHEMA: u32 = 1;

/// A whole run: what a report shows and a comparison reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The command line that made it.
    pub(crate) command: String,
    pub(crate) records: Vec<Record>,
}

/// All that is known of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) workload: String,
    pub(crate) group: Group,
    pub(crate) about: String,
    pub(crate) message: String,
    #[serde(with = "by_key")]
    pub(crate) headline: Measure,
    pub(crate) setting: Setting,
    #[serde(with = "goals")]
    pub(crate) goals: Vec<Goal>,
    pub(crate) rounds: Vec<Sample>,
    /// Why the case was wrong; empty when it was right.
    pub(crate) wrong: Vec<String>,
}

impl Record {
    pub(crate) fn new(case: &Case) -> Record {
        let workload = case.workload;
        Record {
            id: case.id(),
            workload: workload.name().to_owned(),
            group: workload.group(),
            about: workload.about().to_owned(),
            message: workload.message().to_owned(),
            headline: workload.headline(),
            setting: case.setting.clone(),
            goals: workload.goals(case.setting.workers),
            rounds: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// The summary of `measure` over the rounds; `None` unless every round has it.
    pub(crate) fn summary(&self, measure: Measure) -> Option<Summary> {
        let values: Option<Vec<f64>> = self
            .rounds
            .iter()
            .map(|sample| sample.figures.get(measure))
            .collect();
        Summary::of(&values?)
    }

    /// The measures of its rounds, in the order of reports.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        Measure::ALL
            .into_iter()
            .filter(|&measure| self.summary(measure).is_some())
            .collect()
    }

    /// The curve of latencies in ns by quantile: at each, the median of the rounds that have it.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let mut by_quantile: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (quantile, ns) in self.rounds.iter().flat_map(|sample| &sample.curve) {
            // The bits of a float that is not negative ascend with it.
            by_quantile
                .entry(quantile.max(0.0).to_bits())
                .or_default()
                .push(*ns);
        }
        let median = |(bits, values): (u64, Vec<f64>)| {
            Some((f64::from_bits(bits), Summary::of(&values)?.median))
        };
        by_quantile.into_iter().filter_map(median).collect()
    }

    /// The headline of one round, for people.
    pub(crate) fn headline_of(&self, sample: &Sample) -> String {
        let value = sample.figures.get(self.headline);
        value.map_or_else(String::new, |value| self.headline.write(value))
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Run {
        schema: u32,
        command: String,
        machine: Machine,
    },
    Result {
        #[serde(flatten)]
        record: Record,
        /// For readers without a statistics package at hand; not read back.
        #[serde(skip_deserializing)]
        summary: BTreeMap<&'static str, Quartiles>,
    },
}

#[derive(Serialize)]
struct Quartiles {
    min: f64,
    q1: f64,
    median: f64,
    q3: f64,
    max: f64,
}

impl Report {
    /// Writes the file's text.
    pub(crate) fn to_json_lines(&self) -> String {
        let (command, machine) = (self.command.clone(), self.machine.clone());
        let mut text = line(&Line::Run {
            schema: SCHEMA,
            command,
            machine,
        });
        for record in &self.records {
            let quartiles = |measure: Measure| {
                let Summary {
                    min,
                    q1,
                    median,
                    q3,
                    max,
                    ..
                } = record.summary(measure)?;
                Some((
                    measure.key(),
                    Quartiles {
                        min,
                        q1,
                        median,
                        q3,
                        max,
                    },
                ))
            };
            let summary = record
                .measures()
                .into_iter()
                .filter_map(quartiles)
                .collect();
            text += &line(&Line::Result {
                record: record.clone(),
                summary,
            });
        }
        text
    }

    /// Reads the file's text. Fields and measures this version does not know are left out.
    ///
    /// # Errors
    ///
    /// The first line that is not as expected, with its number, and what is wrong with it.
    pub(crate) fn from_json_lines(text: &str) -> Result<Report, String> {
        let mut report: Option<Report> = None;
        for (index, text) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let number = index + 1;
            let line = serde_json::from_str(text).map_err(|e| format!("line {number}: {e}"))?;
            match (line, &mut report) {
                (Line::Run { schema, .. }, _) if schema != SCHEMA => {
                    return Err(format!(
                        "line {number}: schema is {schema}, expected {SCHEMA}"
                    ));
                }
                (
                    Line::Run {
                        command, machine, ..
                    },
                    None,
                ) => {
                    report = Some(Report {
                        machine,
                        command,
                        records: Vec::new(),
                    });
                }
                (Line::Run { .. }, Some(_)) => {
                    return Err(format!("line {number}: a second run, expected a result"));
                }
                (Line::Result { record, .. }, Some(report)) => report.records.push(record),
                (Line::Result { .. }, None) => {
                    return Err(format!("line {number}: a result, expected the run first"));
                }
            }
        }
        report.ok_or_else(|| "the file is empty, expected a run on its first line".to_owned())
    }
}

fn line(line: &Line) -> String {
    let text = serde_json::to_string(line).expect("keys are strings and figures are finite");
    text + "\n"
}

mod by_key {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Measure;

    pub(super) fn serialize<S: Serializer>(measure: &Measure, to: S) -> Result<S::Ok, S::Error> {
        measure.key().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Measure, D::Error> {
        let key = String::deserialize(from)?;
        Measure::from_key(&key).ok_or_else(|| D::Error::custom(format!("`{key}` is no measure")))
    }
}

mod goals {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Goal, Measure};

    pub(super) fn serialize<S: Serializer>(goals: &[Goal], to: S) -> Result<S::Ok, S::Error> {
        let by_key: BTreeMap<&str, f64> = goals
            .iter()
            .map(|goal| (goal.measure.key(), goal.bound))
            .collect();
        by_key.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Goal>, D::Error> {
        let by_key = BTreeMap::<String, f64>::deserialize(from)?;
        let mut goals: Vec<Goal> = by_key
            .into_iter()
            .filter_map(|(key, bound)| Some(Goal::new(Measure::from_key(&key)?, bound)))
            .collect();
        goals.sort_by_key(|goal| goal.measure);
        Ok(goals)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::setting::Pin;
    use super::*;

    /// A record with one round for each of `ns`.
    pub(crate) fn record(workload: &str, workers: usize, ns: &[f64]) -> Record {
        let setting = Setting {
            workers,
            pin: Pin::Cpus(vec![0, 2]),
            size: 1_000,
            throughput: Some(64),
            slice_ns: None,
            spin_ns: Some(50_000),
        };
        let sample = |&ns: &f64| {
            let mut sample = Sample::default()
                .with(Measure::NsPerMessage, ns)
                .with(Measure::MessagesPerS, 1e9 / ns)
                .with(Measure::P99Ns, ns * 10.0)
                .with(Measure::ResidentPeakBytes, 5_242_880.0)
                .with(Measure::RoundTripNs, 64.0);
            sample.curve = vec![(0.0, 0.5), (0.5, ns), (0.99, ns * 10.0), (1.0, ns * 31.7)];
            sample
        };
        Record {
            id: format!("{workload}/{setting}"),
            workload: workload.to_owned(),
            group: Group::Messages,
            about: "One & <two>.".to_owned(),
            message: "one \"hop\"".to_owned(),
            headline: Measure::NsPerMessage,
            setting,
            goals: vec![Goal::new(Measure::NsPerMessage, 15.0)],
            rounds: ns.iter().map(sample).collect(),
            wrong: Vec::new(),
        }
    }

    pub(crate) fn report(records: Vec<Record>) -> Report {
        let machine = Machine {
            cpu: "Fast <One> & Co".to_owned(),
            cpus: 2,
            allowed_cpus: vec![0, 1],
            build: "release".to_owned(),
            ..Machine::default()
        };
        Report {
            machine,
            command: "mainspring bench --quick".to_owned(),
            records,
        }
    }

    #[test]
    fn a_report_survives_its_file() {
        let mut wrong = record("ring", 1, &[]);
        wrong.wrong.push("sum is 3,\nmust be 4".to_owned());
        let written = report(vec![record("ping-pong", 2, &[8.8, 9.1, 0.1 + 0.2]), wrong]);
        let text = written.to_json_lines();
        assert_eq!(text.lines().count(), 3);
        assert_eq!(Report::from_json_lines(&text), Ok(written));
    }

    #[test]
    fn a_line_holds_every_round_and_their_summary() {
        let text = report(vec![record("ping-pong", 2, &[8.0, 10.0, 9.0])]).to_json_lines();
        let result: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(result["kind"], "result");
        assert_eq!(result["rounds"].as_array().unwrap().len(), 3);
        assert_eq!(result["rounds"][1]["ns_per_message"], 10.0);
        assert_eq!(result["summary"]["ns_per_message"]["median"], 9.0);
        assert_eq!(result["goals"]["ns_per_message"], 15.0);
        assert_eq!(result["setting"]["pin"], "0,2");
    }

    #[test]
    fn what_a_newer_version_adds_is_left_out() {
        let text = report(vec![record("ping-pong", 2, &[8.0])]).to_json_lines();
        let newer = text.replace(
            "\"ns_per_message\":8.0",
            "\"ns_per_message\":8.0,\"joules\":3.0",
        );
        assert_ne!(newer, text);
        assert_eq!(
            Report::from_json_lines(&newer),
            Report::from_json_lines(&text)
        );
    }

    #[test]
    fn a_broken_file_is_refused_with_the_line() {
        let text = report(vec![record("ping-pong", 2, &[8.0])]).to_json_lines();
        let (run, result) = text.split_at(text.find('\n').unwrap() + 1);
        for (file, error) in [
            (
                String::new(),
                "the file is empty, expected a run on its first line",
            ),
            (
                result.to_owned(),
                "line 1: a result, expected the run first",
            ),
            (
                format!("{run}{run}"),
                "line 2: a second run, expected a result",
            ),
            (
                run.replace("\"schema\":1", "\"schema\":9"),
                "line 1: schema is 9, expected 1",
            ),
        ] {
            assert_eq!(Report::from_json_lines(&file), Err(error.to_owned()));
        }
        let cut = Report::from_json_lines(&text[..text.len() - 9]).unwrap_err();
        assert!(cut.starts_with("line 2: "), "{cut}");
    }

    #[test]
    fn the_curve_is_the_median_of_the_rounds() {
        let curve = record("ping-pong", 2, &[10.0, 30.0, 20.0]).curve();
        assert_eq!(
            curve,
            [(0.0, 0.5), (0.5, 20.0), (0.99, 200.0), (1.0, 634.0)]
        );
    }
}
