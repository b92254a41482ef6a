//! `mainspring config`: what a configuration amounts to on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use mainspring::config::{Config, ConfigError};

/// Show every key of the configuration: its value, where that came from, what is allowed.
///
/// Exit status: 0; 2 when the file or the environment holds what is not allowed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// A TOML file to read; may be repeated, a later one overrides
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Read the environment's variables that begin with PREFIX and `_`
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = "MAINSPRING")]
    env: Option<String>,
}

/// Prints the table, or every problem.
pub(crate) fn run(args: &ConfigArgs) -> ExitCode {
    match read(args) {
        Ok(config) => {
            println!("{}", config.explain());
            for warning in config.warnings() {
                eprintln!("warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn read(args: &ConfigArgs) -> Result<Config, ConfigError> {
    let mut builder = Config::builder();
    for file in &args.file {
        builder = builder.file(file);
    }
    if let Some(prefix) = &args.env {
        builder = builder.env(prefix);
    }
    builder.build()
}
