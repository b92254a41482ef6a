//! `mainspring chart draw`: a picture of a chart.

use std::path::PathBuf;
use std::process::ExitCode;

use mainspring::chart::draw::mermaid;
use mainspring::chart::svg::svg;

use super::Failure;
use super::source::{Source, SourceArgs};

/// Draw a chart as SVG, for light and dark screens and complete in one file, or as Mermaid.
///
/// Exit status: 0; 2 when the file is no chart or the drawing could not be written.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DrawArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Where to write it; standard output if not given
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Mermaid's stateDiagram-v2, as text
    #[arg(long)]
    mermaid: bool,
}

pub(super) fn run(args: &DrawArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&args.source.file, args.source.format)?;
    let model = source.sound()?;
    let drawing = if args.mermaid {
        mermaid(&model)
    } else {
        svg(&model)
    };
    match &args.output {
        None => print!("{drawing}"),
        Some(file) => {
            std::fs::write(file, drawing).map_err(|error| format!("{}: {error}", file.display()))?
        }
    }
    Ok(ExitCode::SUCCESS)
}
