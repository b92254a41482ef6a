//! Runs the same workloads on several actor runtimes and compares them.
//!
//! ```text
//!   compare: for each workload, number of workers, round, runtime
//!              └─▶ a process of its own: start the runtime, warm up, run, check ─▶ figures
//! ```
//!
//! A process for each run: none inherits another's memory, threads or allocator state, and the peak
//! of memory is its own. Runtimes alternate within a round, so that the machine's drift hits all.

mod mainspring_actors;
mod measure;
mod options;
mod park;
mod peers;
mod report;
mod runtimes;
mod workloads;

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::process::{self, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use options::{Command, Once, Options};
use report::Row;
use runtimes::Runtime;
use workloads::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A run that takes longer is ended and reported.
const LIMIT: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let done = match options::parse(std::env::args().skip(1)) {
        Ok(Command::Compare(options)) => compare(&options),
        Ok(Command::Once(once)) => run_once(&once),
        Ok(Command::List) => list(),
        Err(wrong) => Err(wrong),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), String> {
    let runtimes = runtimes::ALL.iter().map(|runtime| {
        let flag = if runtime.by_default {
            ""
        } else {
            ", only by name"
        };
        format!(
            "runtime  {} ({} {}{flag})",
            runtime.name,
            runtime.package,
            runtimes::version(runtime.package)
        )
    });
    let workloads = Workload::ALL
        .iter()
        .map(|workload| format!("workload {}", workload.name()));
    runtimes
        .chain(workloads)
        .for_each(|line| println!("{line}"));
    Ok(())
}

/// Runs one workload here and prints its figures as one line.
fn run_once(once: &Once) -> Result<(), String> {
    let contender = (once.runtime.start)(once.workers);
    let figures = if once.workload.suits(&*contender) {
        once.workload.run(&*contender, once.size, once.workers)?
    } else {
        Vec::new()
    };
    let figures = figures
        .iter()
        .map(|metric| json!([metric.name, metric.value, metric.unit]));
    println!("{}", Value::Array(figures.collect()));
    // Nobody needs the orderly end of what may be a million actors.
    process::exit(0)
}

fn compare(options: &Options) -> Result<(), String> {
    let mut json = match &options.json {
        Some(path) => {
            Some(File::create(path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let names: Vec<&str> = options
        .runtimes
        .iter()
        .map(|runtime| runtime.name)
        .collect();
    println!("{}", report::header(&names));
    let mut failures = 0;
    for &workload in &options.workloads {
        for &workers in &options.workers {
            let (rows, failed) = all_rounds(options, workload, workers);
            failures += failed;
            report::lines(&names, &rows)
                .iter()
                .for_each(|line| println!("{line}"));
            if let Some(file) = &mut json {
                write_rows(file, &rows).map_err(|error| format!("--json: {error}"))?;
            }
        }
    }
    if failures == 0 {
        Ok(())
    } else {
        Err(format!("{failures} runs failed"))
    }
}

fn write_rows(file: &mut File, rows: &[Row]) -> io::Result<()> {
    let rows_and_ratios = rows.iter().map(Row::json).chain(report::ratios(rows));
    for object in rows_and_ratios {
        writeln!(file, "{object}")?;
    }
    Ok(())
}

/// All runtimes, round by round. Returns the rows and how many runs failed.
fn all_rounds(options: &Options, workload: Workload, workers: usize) -> (Vec<Row>, usize) {
    let (mut rows, mut failed) = (Vec::<Row>::new(), 0);
    let mut cache_line = Vec::new();
    for _ in 0..options.rounds {
        if workers > 1 {
            cache_line.push(measure::cache_line_round_trip_ns());
        }
        for &runtime in &options.runtimes {
            let once = Once {
                runtime,
                workload,
                workers,
                size: options.size,
            };
            match run_apart(&once) {
                Ok(figures) => add(&mut rows, runtime, workload, workers, figures),
                Err(error) => {
                    failed += 1;
                    eprintln!("{} {} {workers}w: {error}", runtime.name, workload.name());
                }
            }
        }
    }
    if !cache_line.is_empty() {
        let round_trip = measure::median(&cache_line);
        rows.iter_mut()
            .for_each(|row| row.cache_line_ns = Some(round_trip));
    }
    (rows, failed)
}

type Figure = (String, f64, String);

fn add(
    rows: &mut Vec<Row>,
    runtime: &Runtime,
    workload: Workload,
    workers: usize,
    figures: Vec<Figure>,
) {
    for (metric, value, unit) in figures {
        let known = rows
            .iter_mut()
            .find(|row| row.runtime == runtime.name && row.metric == metric);
        match known {
            Some(row) => row.values.push(value),
            None => rows.push(Row {
                runtime: runtime.name,
                workload: workload.name(),
                metric,
                workers,
                unit,
                values: vec![value],
                cache_line_ns: None,
            }),
        }
    }
}

/// Runs one workload in a process of its own.
fn run_apart(once: &Once) -> Result<Vec<Figure>, String> {
    let program = std::env::current_exe().map_err(|error| format!("the own program: {error}"))?;
    let mut child = process::Command::new(program)
        .args(once.arguments())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("a process for the run: {error}"))?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (ended, output) = mpsc::channel();
    thread::spawn(move || {
        let (mut line, mut complaint) = (String::new(), String::new());
        let _ = stdout.as_mut().map(|pipe| pipe.read_to_string(&mut line));
        let _ = stderr
            .as_mut()
            .map(|pipe| pipe.read_to_string(&mut complaint));
        let _ = ended.send((line, complaint));
    });
    let output = output.recv_timeout(LIMIT);
    if output.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    let (line, complaint) = output.map_err(|_| format!("not done after {} s", LIMIT.as_secs()))?;
    serde_json::from_str(&line).map_err(|_| complaint.trim().to_string())
}
