//! `mainspring chart conform`: the engine against recorded traces.

use std::path::PathBuf;
use std::process::ExitCode;

use mainspring::chart::conform::{Verdict, conform};

use super::Failure;

/// Run a corpus of charts with recorded traces (the folder layout of statechart-conformance) and
/// print what passed, failed and was skipped, by category.
///
/// Exit status: 0 when every failure is listed as an exception; 1 when one is not, or a listed
/// one passes; 2 when the corpus could not be read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConformArgs {
    /// The corpus's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// A list of known differences: `category/name: reason`, a line each
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,

    /// Say why each case was skipped
    #[arg(long)]
    skipped: bool,
}

pub(super) fn run(args: &ConformArgs) -> Result<ExitCode, Failure> {
    let dir = &args.dir;
    if !dir.is_dir() {
        return Err(format!("{}: no such folder", dir.display()));
    }
    let exceptions = match &args.exceptions {
        None => String::new(),
        Some(file) => {
            std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?
        }
    };
    let report = conform(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    if report.outcomes.is_empty() {
        return Err(format!(
            "{}: no cases; expected the folders scxml and xstate",
            dir.display()
        ));
    }
    print!("{report}");
    if args.skipped {
        for outcome in &report.outcomes {
            if let Verdict::Skip(why) = &outcome.verdict {
                println!("skipped {}/{}: {why}", outcome.category, outcome.name);
            }
        }
    }
    let surprises = report.surprises(&exceptions);
    for surprise in &surprises {
        println!("{surprise}");
    }
    let failed = report
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome.verdict, Verdict::Fail(_)))
        .count();
    println!(
        "{} cases, {failed} failed, {} not as listed",
        report.outcomes.len(),
        surprises.len()
    );
    Ok(ExitCode::from(u8::from(!surprises.is_empty())))
}
