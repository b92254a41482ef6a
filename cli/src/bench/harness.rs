//! Runs cases in interleaved rounds, each round in a process of its own.
//!
//! ```text
//!  round 1:  a/workers=1  a/workers=2  b/workers=1 …      forward
//!  round 2:  … b/workers=1  a/workers=2  a/workers=1      backward
//! ```
//!
//! - Interleaved, so that a slow minute of the machine falls on every case and not on one.
//! - In a process of its own, so that no round inherits memory, threads or pins from another, and
//!   one that crashes or hangs is reported beside the others.
//! - The cache-line round trip between two cores is measured in the same process, just before.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::json::Record;
use super::machine::{allowed_cpus, round_trip_ns};
use super::measure::Measure;
use super::meter::{Meter, Sample};
use super::progress::Progress;
use super::setting::Setting;
use super::workloads::{self, Workload, Wrong};

/// A workload and how to run it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) workload: &'static dyn Workload,
    pub(crate) setting: Setting,
}

impl Case {
    /// Its name in reports: `ping-pong/workers=2`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.workload.name(), self.setting)
    }

    /// Runs it once in this process: a warm-up, the round trip between cores, the measured run.
    ///
    /// # Errors
    ///
    /// [`Wrong`] of the run or of its warm-up.
    pub(crate) fn run_here(&self) -> Result<Sample, Wrong> {
        let mut meter = Meter::default();
        if self.workload.warms_up() {
            self.workload.run(&self.setting, &mut meter)?;
        }
        let trip = self.round_trip_ns();
        let sample = self.workload.run(&self.setting, &mut meter)?;
        let headline = self.workload.headline();
        if sample.figures.get(headline).is_none() {
            return Err(Wrong(format!(
                "its headline, {}, was not measured",
                headline.key()
            )));
        }
        Ok(match trip {
            Some(trip) if sample.figures.get(Measure::RoundTripNs).is_none() => {
                sample.with(Measure::RoundTripNs, trip)
            }
            _ => sample,
        })
    }

    /// Between the first two cores in use; `None` for one worker or one core.
    fn round_trip_ns(&self) -> Option<f64> {
        if self.setting.workers < 2 {
            return None;
        }
        let cpus = self.setting.cpus(&allowed_cpus());
        if cpus[0] == cpus[1] {
            None
        } else {
            round_trip_ns(cpus[0], cpus[1])
        }
    }
}

/// Where a round runs.
pub(crate) trait Runner {
    /// Runs `case` once.
    ///
    /// # Errors
    ///
    /// [`Wrong`] when the run's result was wrong, or when it crashed or hung.
    fn run(&self, case: &Case) -> Result<Sample, Wrong>;
}

/// Runs rounds in this process: for a profiler or a debugger.
pub(crate) struct InProcess;

impl Runner for InProcess {
    fn run(&self, case: &Case) -> Result<Sample, Wrong> {
        case.run_here()
    }
}

/// Runs each round in a new process of this program, for `limit` at most.
pub(crate) struct InChild {
    pub(crate) limit: Duration,
}

/// What the parent asks of the child, as an argument.
#[derive(Serialize, Deserialize)]
struct Order {
    workload: String,
    setting: Setting,
}

/// What the child answers, on its output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Sample(Sample),
    Wrong(String),
}

/// The subcommand a child is called with.
pub(crate) const CHILD_COMMAND: &str = "bench-round";

impl Runner for InChild {
    fn run(&self, case: &Case) -> Result<Sample, Wrong> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| Wrong(format!("{what}: {error}"));
        let order = Order {
            workload: case.workload.name().to_owned(),
            setting: case.setting.clone(),
        };
        let order = serde_json::to_string(&order).map_err(|e| wrong("its order", &e))?;
        let program = std::env::current_exe().map_err(|e| wrong("this program's path", &e))?;
        let child = Command::new(program)
            .args([CHILD_COMMAND, &order])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| wrong("its process did not start", &e))?;
        let output = self.wait(child)?;
        let answer = output.stdout.lines().last().unwrap_or_default();
        match serde_json::from_str(answer) {
            Ok(Answer::Sample(sample)) => Ok(sample),
            Ok(Answer::Wrong(reason)) => Err(Wrong(reason)),
            Err(_) => Err(Wrong(format!(
                "crashed ({}): {}",
                output.status,
                output.last_words()
            ))),
        }
    }
}

struct ChildOutput {
    status: String,
    stdout: String,
    stderr: String,
}

impl ChildOutput {
    /// The end of what the child said on its error output, on one line.
    fn last_words(&self) -> String {
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(4)..];
        if last.is_empty() {
            "without a word".to_owned()
        } else {
            last.join(" | ")
        }
    }
}

impl InChild {
    fn wait(&self, mut child: Child) -> Result<ChildOutput, Wrong> {
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let hung = stdout.recv_timeout(self.limit).map_or_else(
            |_| {
                // Killing fails only when it has ended by itself in this moment.
                let _ = child.kill();
                Err(Wrong(format!("hung: no result after {:?}", self.limit)))
            },
            Ok,
        );
        let status = child
            .wait()
            .map_or_else(|e| e.to_string(), |status| status.to_string());
        let stdout = hung?;
        let stderr = stderr.recv().unwrap_or_default();
        Ok(ChildOutput {
            status,
            stdout,
            stderr,
        })
    }
}

/// Reads `pipe` to its end on another thread.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks gives what came before; the answer is then missing or whole.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // Nobody waits when the child hung.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The child's side: runs the `order` and writes the answer.
///
/// # Errors
///
/// When the order cannot be read or the answer not written.
pub(crate) fn run_as_child(order: &str, output: &mut impl Write) -> Result<(), String> {
    let order: Order = serde_json::from_str(order).map_err(|e| format!("{CHILD_COMMAND}: {e}"))?;
    let workload = workloads::named(&order.workload)
        .ok_or_else(|| format!("{CHILD_COMMAND}: `{}` is no workload", order.workload))?;
    let answer = match (Case {
        workload,
        setting: order.setting,
    })
    .run_here()
    {
        Ok(sample) => Answer::Sample(sample),
        Err(Wrong(reason)) => Answer::Wrong(reason),
    };
    let answer = serde_json::to_string(&answer).map_err(|e| e.to_string())?;
    writeln!(output, "{answer}").map_err(|e| e.to_string())
}

/// Runs every case `rounds` times, interleaved, and returns their records in the order of `cases`.
///
/// A case that was wrong once is not run again.
pub(crate) fn run(
    cases: &[Case],
    rounds: usize,
    runner: &dyn Runner,
    progress: &mut dyn Progress,
) -> Vec<Record> {
    let mut records: Vec<Record> = cases.iter().map(Record::new).collect();
    progress.begin(cases.len() * rounds);
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let (case, record) = (&cases[index], &mut records[index]);
            if !record.wrong.is_empty() {
                progress.skipped();
                continue;
            }
            progress.running(round + 1, rounds, &record.id);
            match runner.run(case) {
                Ok(sample) => {
                    progress.done(round + 1, rounds, &record.id, &record.headline_of(&sample));
                    record.rounds.push(sample);
                }
                Err(Wrong(reason)) => {
                    progress.wrong(&record.id, &reason);
                    record.wrong.push(reason);
                }
            }
        }
    }
    progress.end();
    records
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::measure::Goal;
    use super::super::progress::Silent;
    use super::super::setting::Pin;
    use super::super::workloads::{Group, Sizes};
    use super::*;

    struct Fake(&'static str);

    impl Workload for Fake {
        fn name(&self) -> &'static str {
            self.0
        }
        fn group(&self) -> Group {
            Group::Messages
        }
        fn about(&self) -> &'static str {
            "It does nothing."
        }
        fn message(&self) -> &'static str {
            "nothing"
        }
        fn sizes(&self) -> Sizes {
            Sizes {
                usual: 10,
                quick: 1,
            }
        }
        fn goals(&self, workers: usize) -> Vec<Goal> {
            vec![Goal::new(Measure::NsPerMessage, 15.0 / workers as f64)]
        }
        fn run(&self, _: &Setting, _: &mut Meter) -> Result<Sample, Wrong> {
            Ok(Sample::default().with(Measure::P50Ns, 1.0))
        }
    }

    /// Writes down the order of runs; `broken` is wrong every time.
    #[derive(Default)]
    struct Log(RefCell<Vec<String>>);

    impl Runner for Log {
        fn run(&self, case: &Case) -> Result<Sample, Wrong> {
            self.0.borrow_mut().push(case.workload.name().to_owned());
            if case.workload.name() == "broken" {
                return Err(Wrong("sum is 3, must be 4".to_owned()));
            }
            let round = self.0.borrow().len() as f64;
            Ok(Sample::default().with(Measure::NsPerMessage, round))
        }
    }

    fn case(workload: &'static dyn Workload) -> Case {
        let setting = Setting {
            workers: 1,
            pin: Pin::None,
            size: 1,
            throughput: None,
            slice_ns: None,
            spin_ns: None,
        };
        Case { workload, setting }
    }

    #[test]
    fn rounds_are_interleaved_and_every_second_goes_backward() {
        let log = Log::default();
        let cases = [case(&Fake("a")), case(&Fake("b")), case(&Fake("c"))];
        let records = run(&cases, 3, &log, &mut Silent);
        assert_eq!(log.0.borrow().concat(), "abccbaabc");
        assert!(
            records
                .iter()
                .all(|record| record.rounds.len() == 3 && record.wrong.is_empty())
        );
        assert_eq!(
            records[0].summary(Measure::NsPerMessage).unwrap().median,
            6.0
        );
    }

    #[test]
    fn a_wrong_case_is_reported_once_and_the_others_go_on() {
        let log = Log::default();
        let records = run(
            &[case(&Fake("broken")), case(&Fake("a"))],
            3,
            &log,
            &mut Silent,
        );
        assert_eq!(
            log.0
                .borrow()
                .iter()
                .filter(|name| *name == "broken")
                .count(),
            1
        );
        assert_eq!(records[0].wrong, ["sum is 3, must be 4"]);
        assert_eq!(records[1].rounds.len(), 3);
    }

    #[test]
    fn a_run_without_its_headline_is_wrong() {
        let wrong = case(&Fake("a")).run_here().unwrap_err();
        assert!(wrong.0.contains("ns_per_message"), "{wrong}");
    }

    #[test]
    fn a_child_answers_with_its_sample() {
        let mut cases = vec![];
        let deque = workloads::named("deque").unwrap();
        cases.extend([case(deque)]);
        let order = Order {
            workload: "deque".to_owned(),
            setting: cases[0].setting.clone(),
        };
        let mut output = Vec::new();
        run_as_child(&serde_json::to_string(&order).unwrap(), &mut output).unwrap();
        match serde_json::from_slice(&output).unwrap() {
            Answer::Sample(sample) => {
                assert!(sample.figures.get(Measure::NsPerMessage).is_some());
            }
            Answer::Wrong(reason) => panic!("{reason}"),
        }
        assert!(run_as_child("{}", &mut output).is_err());
    }
}
