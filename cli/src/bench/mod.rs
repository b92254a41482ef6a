//! `mainspring bench`: runs workloads on real threads and reports what they cost.
//!
//! ```text
//!  arguments ─▶ cases ─▶ harness (interleaved rounds) ─▶ records ─┬▶ table     on the output
//!                                                                 ├▶ JSON lines
//!                                                                 ├▶ HTML
//!                                              older JSON lines ──┴▶ comparison
//! ```

pub(crate) mod alloc;
mod args;
mod compare;
mod harness;
mod html;
mod json;
mod machine;
mod measure;
mod memory;
mod meter;
mod plot;
mod progress;
mod setting;
mod stats;
mod table;
mod workloads;

use std::fs;
use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use args::BenchArgs;
pub(crate) use harness::CHILD_COMMAND;

use compare::Comparison;
use harness::{InChild, InProcess, Runner};
use json::Report;
use machine::Machine;

/// A case's headline became worse, and the caller asked to hear of it.
const SLOWER: u8 = 1;
/// The arguments cannot be followed.
const BAD_ARGUMENTS: u8 = 2;
/// A workload's result was wrong, or it crashed, or it hung.
const WRONG: u8 = 3;

/// Runs the benchmarks that `args` ask for and writes what they gave.
pub(crate) fn run(args: &BenchArgs) -> ExitCode {
    match try_run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(BAD_ARGUMENTS)
        }
    }
}

/// The child's side of a round.
pub(crate) fn run_as_child(order: &str) -> ExitCode {
    match harness::run_as_child(order, &mut stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(BAD_ARGUMENTS)
        }
    }
}

fn try_run(args: &BenchArgs) -> Result<u8, String> {
    if args.list {
        list();
        return Ok(0);
    }
    // Everything that can be refused is, before the first round.
    let cases = args.cases()?;
    let old = args
        .compare
        .as_deref()
        .map(|path| read("--compare", path))
        .transpose()?;
    let report = match &args.from {
        Some(path) => read("--from", path)?,
        None => {
            let machine = Machine::here();
            if machine.build == "debug" {
                eprintln!("warning: built with debug assertions; measure with --release");
            }
            let runner: &dyn Runner = if args.in_process {
                &InProcess
            } else {
                &InChild {
                    limit: args.limit.0,
                }
            };
            let mut progress = progress::for_stderr();
            let records = harness::run(&cases, args.rounds(), runner, &mut *progress);
            Report {
                machine,
                command: command_line(),
                records,
            }
        }
    };

    println!("{}", table::table(&report));
    if let Some(path) = args.json_path() {
        write("--json", path, &report.to_json_lines())?;
    }
    if let Some(path) = args.html_path() {
        write("--html", path, &html::page(&report))?;
    }
    let mut is_slower = false;
    if let Some(old) = &old {
        let rows = compare::compare(old, &report, args.threshold());
        println!(
            "\n{}",
            Comparison {
                old,
                new: &report,
                rows: &rows
            }
        );
        is_slower = compare::is_slower(&rows);
    }
    if report.records.iter().any(|record| !record.wrong.is_empty()) {
        return Ok(WRONG);
    }
    Ok(if is_slower && args.fail_on_slower {
        SLOWER
    } else {
        0
    })
}

fn list() {
    let mut group = None;
    for workload in workloads::all() {
        if group != Some(workload.group()) {
            group = Some(workload.group());
            println!("{}: {}", workload.group(), workload.group().about());
        }
        println!("  {:15} {}", workload.name(), workload.about());
        println!("  {:15} A message is {}.", "", workload.message());
    }
}

fn read(argument: &str, path: &Path) -> Result<Report, String> {
    let wrong = |error: String| format!("{argument} {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Report::from_json_lines(&text).map_err(wrong)
}

fn write(argument: &str, path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{argument} {}: {error}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The command line, with the program's name but not its folder.
fn command_line() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("mainspring".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
