//! `mainspring chart check`: everything wrong with charts.

use std::path::PathBuf;
use std::process::ExitCode;

use mainspring::chart::check::{Problem, Severity};
use serde::Serialize;

use super::Failure;
use super::source::{Format, Source};

/// Report every problem of charts: file, line, what is wrong and what would be right.
///
/// Exit status: 0 when there are no errors (warnings are said); 1 when there are; 2 when a file
/// could not be read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The charts' files; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The files' format; told from their names or first characters if not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Warnings count as errors
    #[arg(long)]
    strict: bool,

    /// Print one JSON object a problem and kind of names needed, a line each
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    severity: &'static str,
    kind: &'static str,
    what: &'a str,
    instead: &'a str,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let (mut errors, mut warnings, mut unread) = (0, 0, false);
    for file in &args.files {
        let source = match Source::read(file, args.format) {
            Ok(source) => source,
            Err(failure) => {
                eprintln!("error: {failure}");
                unread = true;
                continue;
            }
        };
        let (summary, problems) = match source.model() {
            Ok((model, problems)) => {
                let transitions: usize = model.states.iter().map(|s| s.transitions.len()).sum();
                let names = |list: &[String]| {
                    let mut names = list.to_vec();
                    names.sort();
                    names.dedup();
                    names.len()
                };
                let summary = format!(
                    "{}: {} states, {transitions} transitions, {} actions, {} guards",
                    source.name,
                    model.states.len(),
                    names(&model.actions),
                    names(&model.guards)
                );
                (summary, problems)
            }
            Err(problem) => (format!("{}: not read", source.name), vec![problem]),
        };
        for problem in &problems {
            match problem.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            if args.json {
                print_json(&source.name, problem);
            } else {
                println!("{}", source.tell(std::slice::from_ref(problem)));
            }
        }
        if !args.json {
            println!("{summary}");
        }
        needs(args.json, &source);
    }
    if !args.json {
        println!("{errors} errors, {warnings} warnings");
    }
    if unread {
        return Ok(ExitCode::from(2));
    }
    let is_wrong = errors > 0 || (args.strict && warnings > 0);
    Ok(ExitCode::from(u8::from(is_wrong)))
}

/// Lists the names that the host has to give a meaning.
fn needs(json: bool, source: &Source) {
    let names = source.names();
    for kind in ["action", "guard", "delay", "actor"] {
        let list: Vec<&str> = (names.iter())
            .filter(|(k, _)| *k == kind)
            .map(|(_, name)| name.as_str())
            .collect();
        if list.is_empty() {
            continue;
        }
        if json {
            let row = serde_json::json!({
                "file": source.name, "severity": "note", "kind": "needs",
                "what": format!("{kind}s"), "names": list,
            });
            println!("{row}");
        } else {
            println!("{}: needs {kind}s: {}", source.name, list.join(", "));
        }
    }
}

fn print_json(file: &str, problem: &Problem) {
    let row = Row {
        file,
        line: problem.place.line,
        column: problem.place.column,
        severity: match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        kind: problem.kind,
        what: &problem.what,
        instead: &problem.instead,
    };
    println!(
        "{}",
        serde_json::to_string(&row).expect("a row of texts and numbers is JSON")
    );
}
