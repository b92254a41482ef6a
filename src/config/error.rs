//! What is wrong with a configuration, all of it at once, and where each value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The program's own code.
    Code,
    /// Data read through serde.
    Data,
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, where one can be named.
        line: Option<u32>,
    },
    /// An environment variable.
    Env {
        /// The variable's name.
        name: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Code => f.write_str("code"),
            Self::Data => f.write_str("data"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::Env { name } => write!(f, "variable {name}"),
        }
    }
}

/// What kind of mistake a [`Problem`] is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// No such key.
    UnknownKey,
    /// The value is not of the key's type.
    WrongType,
    /// The value has the right type and is not allowed.
    OutOfRange,
    /// A source sets the same key twice.
    Duplicate,
    /// The program has locked the key against files and variables.
    Locked,
    /// Two values cannot both hold.
    Contradiction,
    /// This machine or this build cannot do it.
    Unsupported,
    /// A source cannot be read, or is not written in its language.
    Unreadable,
}

/// One thing that is wrong.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of mistake it is.
    pub kind: ProblemKind,
    /// The key, or nothing when the whole source is wrong.
    pub key: String,
    /// The value as it was written, cut to 80 characters; `""` is an empty one, and nothing none.
    pub value: String,
    /// Who said so.
    pub source: Source,
    /// What is wrong or what is expected.
    pub message: String,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, key: &str, source: Source, message: String) -> Self {
        Self {
            kind,
            key: shorten(key),
            value: String::new(),
            source,
            message,
        }
    }

    pub(super) fn with_value(mut self, value: &str) -> Self {
        self.value = match value {
            "" => "\"\"".to_owned(),
            value => shorten(value),
        };
        self
    }
}

/// At most 80 characters, none of which moves a terminal's cursor.
fn shorten(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(80).map(shown).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), self.value.as_str()) {
            ("", _) => write!(f, "{}: {}", self.source, self.message),
            (key, "") => write!(f, "{key} ({}): {}", self.source, self.message),
            (key, value) => write!(f, "{key} = {value} ({}): {}", self.source, self.message),
        }
    }
}

/// Everything that is wrong with a configuration.
///
/// Its text has a line for each problem: key, value, source, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
    left_out: usize,
}

impl ConfigError {
    /// The problems, in the order of the sources: code, files, environment, then contradictions.
    ///
    /// At most 100; see [`left_out`](Self::left_out).
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many more there were.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice() {
            return only.fmt(f);
        }
        let count = self.problems.len() + self.left_out;
        write!(f, "{count} problems in the configuration")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        if self.left_out > 0 {
            write!(f, "\n  and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Gathers problems; a hostile file cannot make it grow without end.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems {
    kept: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    const KEPT_MAX: usize = 100;

    pub(super) fn push(&mut self, problem: Problem) {
        if self.kept.len() < Self::KEPT_MAX {
            self.kept.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn into_result(self) -> Result<(), ConfigError> {
        if self.kept.is_empty() {
            return Ok(());
        }
        Err(ConfigError {
            problems: self.kept,
            left_out: self.left_out,
        })
    }
}

/// A configuration that works and is probably not what was meant.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key to look at first.
    pub key: String,
    /// What happens and what would avoid it.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
