//! A chart's file: which format it is in, and what it says.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use mainspring::chart::Model;
use mainspring::chart::check::{Problem, Severity, check};
use mainspring::chart::{scxml, xstate};

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// An XState v5 machine, in JSON
    Xstate,
    /// A W3C SCXML document
    Scxml,
}

/// A file and the format it is in.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// The chart's file; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The file's format; told from its name or its first character if not given
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

/// A file's text.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) text: String,
}

impl Source {
    /// Reads a file.
    pub(crate) fn read(file: &Path, format: Option<Format>) -> Result<Self, super::Failure> {
        let is_input = file == Path::new("-");
        let name = if is_input {
            "standard input".to_owned()
        } else {
            file.display().to_string()
        };
        let bytes = if is_input {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map(|_| bytes)
        } else {
            std::fs::read(file)
        };
        let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            format!("{name}: byte {at} is not UTF-8; a chart is UTF-8 text")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let format = match format.or_else(|| guess(file, &text)) {
            Some(format) => format,
            None if text.trim().is_empty() => {
                return Err(format!(
                    "{name}: the file is empty; expected an XState machine (JSON) or an SCXML document"
                ));
            }
            None => {
                return Err(format!(
                    "{name}: neither JSON nor XML; expected an XState machine or an SCXML document \
                     (--format names it)"
                ));
            }
        };
        Ok(Self { name, format, text })
    }

    /// The chart, with all that is wrong with it.
    pub(crate) fn model(&self) -> Result<(Model, Vec<Problem>), Problem> {
        let model = match self.format {
            Format::Xstate => xstate::Machine::parse(&self.text)?.model(),
            Format::Scxml => scxml::model(&self.text)?,
        };
        let problems = check(&model);
        Ok((model, problems))
    }

    /// The names that the document leaves to its host, with their kind; SCXML leaves none.
    pub(crate) fn names(&self) -> BTreeSet<(&'static str, String)> {
        match self.format {
            Format::Xstate => {
                let machine = xstate::Machine::parse(&self.text);
                machine.map_or_else(|_| BTreeSet::new(), |machine| machine.names())
            }
            Format::Scxml => BTreeSet::new(),
        }
    }

    /// The chart, if it is sound; otherwise every error, a line each.
    pub(crate) fn sound(&self) -> Result<Model, super::Failure> {
        let (model, problems) = self.model().map_err(|problem| self.tell(&[problem]))?;
        let mut errors = problems;
        errors.retain(|problem| problem.severity == Severity::Error);
        if errors.is_empty() {
            Ok(model)
        } else {
            Err(self.tell(&errors))
        }
    }

    /// Problems as `FILE:LINE:COLUMN: what`, a line each.
    pub(crate) fn tell(&self, problems: &[Problem]) -> String {
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}:{problem}", self.name))
            .collect();
        lines.join("\n")
    }
}

fn guess(file: &Path, text: &str) -> Option<Format> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Some(Format::Xstate),
        Some("scxml" | "xml") => Some(Format::Scxml),
        _ => match text.trim_start().chars().next() {
            Some('{') => Some(Format::Xstate),
            Some('<') => Some(Format::Scxml),
            _ => None,
        },
    }
}
