//! The `mainspring` binary: benches and tools of the actor runtime.

mod bench;
mod chart;
mod config;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: bench::alloc::Counting = bench::alloc::Counting;

#[derive(Parser)]
#[command(
    name = "mainspring",
    version,
    about = "Tools of the mainspring actor runtime"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(Box<bench::BenchArgs>),
    Chart(chart::ChartArgs),
    Config(config::ConfigArgs),
    /// One round of a case, for `bench`.
    #[command(name = bench::CHILD_COMMAND, hide = true)]
    BenchRound {
        order: String,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Chart(arguments) => chart::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::BenchRound { order } => bench::run_as_child(&order),
    }
}
