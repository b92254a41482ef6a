//! The check: what is wrong with a model, where, and what would be right.

use std::fmt;

use super::model::{Kind, Model, Place, State};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but most likely not as meant.
    Warning,
    /// It cannot run.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// The kind of problem, in a word: `target`, `initial`, `unreachable` …
    pub kind: &'static str,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub instead: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        if self.place.line > 0 {
            write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        }
        write!(f, "{severity} [{}]: {}", self.kind, self.what)?;
        if !self.instead.is_empty() {
            write!(f, "; {}", self.instead)?;
        }
        Ok(())
    }
}

/// Deeper nesting is refused: the runner's recursion follows it.
pub const DEPTH_MAX: u32 = 100;

/// Everything wrong with `model`: what the front end found, then what the tree shows.
pub fn check(model: &Model) -> Vec<Problem> {
    let mut problems = model.problems.clone();
    let mut report = |state: &State, kind, what: String, instead: &str| {
        problems.push(Problem {
            place: state.place,
            severity: Severity::Error,
            kind,
            what,
            instead: instead.to_owned(),
        });
    };
    let mut depths: Vec<u32> = Vec::with_capacity(model.states.len());
    for state in &model.states {
        let depth = state.parent.map_or(0, |p| depths[p as usize] + 1);
        depths.push(depth);
        if depth == DEPTH_MAX {
            let what = format!("{:?} is nested deeper than {DEPTH_MAX} levels", state.id);
            report(state, "depth", what, "split the chart and invoke its parts");
        }
        if state.kind == Kind::Compound && state.initial.targets.is_empty() {
            let known = model.problems.iter().any(|p| p.kind == "initial");
            if !known {
                let what = format!("{:?} has children but no initial state", state.id);
                report(state, "initial", what, "name the child it begins in");
            }
        }
    }
    problems
}

/// The number of edits between two words (Levenshtein 1966, one row at a time).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let cost = usize::from(ca != cb);
            let next = (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
