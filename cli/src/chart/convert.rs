//! `mainspring chart convert`: a chart in the other format.

use std::path::PathBuf;
use std::process::ExitCode;

use mainspring::chart::convert::{to_scxml, to_xstate};

use super::Failure;
use super::source::{Format, Source, SourceArgs};

/// Write a chart in the other format, where that can say it. What it cannot say is listed with
/// file, line, element and reason, and nothing is written.
///
/// Exit status: 0; 1 when the chart does not convert; 2 when the file is no chart.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// The format to write
    #[arg(long, value_name = "FORMAT")]
    to: Format,

    /// Where to write it; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ConvertArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&args.source.file, args.source.format)?;
    let converted = match (source.format, args.to) {
        (Format::Xstate, Format::Scxml) => {
            source.sound()?;
            to_scxml(&source.text)
        }
        (Format::Scxml, Format::Xstate) => {
            source.sound()?;
            to_xstate(&source.text)
        }
        (Format::Xstate, Format::Xstate) => {
            return Err(format!("{}: is an XState machine already", source.name));
        }
        (Format::Scxml, Format::Scxml) => {
            return Err(format!("{}: is an SCXML document already", source.name));
        }
    };
    let text = match converted {
        Ok(text) => text,
        Err(problems) => {
            println!("{}", source.tell(&problems));
            println!("{} reasons not to convert it", problems.len());
            return Ok(ExitCode::from(1));
        }
    };
    match &args.output {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}
