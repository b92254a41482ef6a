//! `mainspring chart`: tools for statecharts in files.

mod check;
mod conform;
mod convert;
mod draw;
mod paths;
mod run;
mod source;

use std::process::ExitCode;

use clap::Subcommand;

/// Check, draw, run and convert statecharts: XState v5 machines in JSON, and SCXML documents.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChartArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Check(check::CheckArgs),
    Draw(draw::DrawArgs),
    Run(run::RunArgs),
    Paths(paths::PathsArgs),
    Conform(conform::ConformArgs),
    Convert(convert::ConvertArgs),
}

/// Why a command ended: a text for the person, printed behind `error: `.
type Failure = String;

/// Runs the command. Exit status: 0; 1 when it found something wrong; 2 when it could not run.
pub(crate) fn run(args: &ChartArgs) -> ExitCode {
    let done = match &args.command {
        Command::Check(args) => check::run(args),
        Command::Draw(args) => draw::run(args),
        Command::Run(args) => run::run(args),
        Command::Paths(args) => paths::run(args),
        Command::Conform(args) => conform::run(args),
        Command::Convert(args) => convert::run(args),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::from(2)
    })
}
