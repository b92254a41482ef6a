//! The command line.

use std::path::PathBuf;

use crate::runtimes::{self, Runtime};
use crate::workloads::{Size, Workload};

pub const USAGE: &str = "\
usage: bench-compare [--runtime NAME,…] [--workload NAME,…] [--workers N,…] [--rounds N] [--quick]
                     [--json FILE]

  --runtime   which runtimes, default: those that need no flag (see --list)
  --workload  which workloads, default: all
  --workers   worker threads, default: 1,2
  --rounds    runs of each, interleaved, default: 5
  --quick     a tenth of each load, and 3 rounds
  --json      also write one JSON object a row to FILE
  --list      print the names of runtimes and workloads";

/// What the command line asks for.
pub enum Command {
    Compare(Options),
    /// Run one workload once in this process: how a comparison starts its runs.
    Once(Once),
    List,
}

/// A comparison.
pub struct Options {
    pub runtimes: Vec<&'static Runtime>,
    pub workloads: Vec<Workload>,
    pub workers: Vec<usize>,
    pub rounds: usize,
    pub size: Size,
    pub json: Option<PathBuf>,
}

/// One run.
pub struct Once {
    pub runtime: &'static Runtime,
    pub workload: Workload,
    pub workers: usize,
    pub size: Size,
}

impl Once {
    /// The arguments that [`parse`] reads back.
    pub fn arguments(&self) -> Vec<String> {
        let size = if self.size == Size::Quick {
            "quick"
        } else {
            "full"
        };
        [
            "--once",
            self.runtime.name,
            self.workload.name(),
            &self.workers.to_string(),
            size,
        ]
        .map(String::from)
        .to_vec()
    }
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// The option and what it should have been.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut options = Options {
        runtimes: runtimes::ALL
            .iter()
            .filter(|runtime| runtime.by_default)
            .collect(),
        workloads: Workload::ALL.to_vec(),
        workers: vec![1, 2],
        rounds: 0,
        size: Size::Full,
        json: None,
    };
    while let Some(option) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("{option}: a value should follow"))
        };
        match option.as_str() {
            "--runtime" => options.runtimes = list(&value()?, runtime)?,
            "--workload" => options.workloads = list(&value()?, workload)?,
            "--workers" => options.workers = list(&value()?, |text| at_least_one(&option, text))?,
            "--rounds" => options.rounds = at_least_one(&option, &value()?)?,
            "--quick" => options.size = Size::Quick,
            "--json" => options.json = Some(value()?.into()),
            "--list" => return Ok(Command::List),
            "--once" => {
                return Ok(Command::Once(Once {
                    runtime: runtime(&value()?)?,
                    workload: workload(&value()?)?,
                    workers: at_least_one(&option, &value()?)?,
                    size: if value()? == "quick" {
                        Size::Quick
                    } else {
                        Size::Full
                    },
                }));
            }
            _ => return Err(format!("{option}: not an option\n\n{USAGE}")),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.size == Size::Quick { 3 } else { 5 };
    }
    Ok(Command::Compare(options))
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(item).collect()
}

fn at_least_one(option: &str, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or(format!("{option}: expected a number above 0, got '{text}'"))
}

fn runtime(name: &str) -> Result<&'static Runtime, String> {
    let found = runtimes::ALL.iter().find(|runtime| runtime.name == name);
    found.ok_or(format!(
        "runtime: '{name}' is none of those that --list prints"
    ))
}

fn workload(name: &str) -> Result<Workload, String> {
    let found = Workload::ALL
        .iter()
        .find(|workload| workload.name() == name);
    found.copied().ok_or(format!(
        "workload: '{name}' is none of those that --list prints"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn a_run_reads_back_its_own_arguments() {
        let once = Once {
            runtime: &runtimes::ALL[1],
            workload: Workload::FanIn,
            workers: 2,
            size: Size::Quick,
        };
        let Ok(Command::Once(read)) = parse(once.arguments()) else {
            panic!("one run")
        };
        assert_eq!(read.arguments(), once.arguments());
    }

    #[test]
    fn lists_and_defaults_are_read() {
        let Ok(Command::Compare(options)) = parsed("--runtime kameo,tokio --workers 4 --quick")
        else {
            panic!("a comparison")
        };
        let names: Vec<_> = options
            .runtimes
            .iter()
            .map(|runtime| runtime.name)
            .collect();
        assert_eq!(names, ["kameo", "tokio"]);
        assert_eq!((options.workers, options.rounds), (vec![4], 3));
        assert_eq!(options.workloads.len(), Workload::ALL.len());
    }

    #[test]
    fn a_wrong_value_is_named() {
        let wrong = [
            "--workers 0",
            "--runtime nobody",
            "--workload nothing",
            "--rounds",
            "--fast",
        ];
        for (line, name) in wrong
            .iter()
            .zip(["0", "nobody", "nothing", "--rounds", "--fast"])
        {
            let Err(error) = parsed(line) else {
                panic!("{line} was accepted")
            };
            assert!(error.contains(name), "{error}");
        }
    }
}
