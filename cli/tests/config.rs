//! `mainspring config` from the outside.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring"));
    let command = command.arg("config").args(arguments);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn the_environment_overrides_the_file_and_the_table_says_so() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config.toml");
    fs::write(&file, "[dispatcher]\nworkers = 1\nthroughput = 17\n").unwrap();
    let variables = [("MAINSPRING_DISPATCHER_THROUGHPUT", "23")];
    let arguments = ["--file", file.to_str().unwrap(), "--env"];
    let output = config(&arguments, &variables);
    assert!(output.status.success());
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |key: &str| {
        table
            .lines()
            .find(|line| line.contains(key))
            .unwrap()
            .to_owned()
    };
    assert!(row("dispatcher.throughput").contains("23"), "{table}");
    assert!(
        row("dispatcher.throughput").contains("MAINSPRING_"),
        "{table}"
    );
    assert!(row("dispatcher.workers").contains("config.toml"), "{table}");
}

#[test]
fn what_is_not_allowed_is_named_and_the_status_is_2() {
    let output = config(&["--env", "MINE"], &[("MINE_DISPATCHER_WORKERS", "none")]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("dispatcher.workers") && error.contains("none"),
        "{error}"
    );
}
