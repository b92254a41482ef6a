//! `mainspring bench` from the outside: files, verdicts, exit status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for each test, empty at the start.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn bench(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainspring"));
    let command = command.arg("bench").args(arguments).current_dir(folder);
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const SMALL: [&str; 5] = ["deque", "plain-threads", "--quick", "--size", "2000"];

#[test]
fn a_run_prints_a_table_and_writes_both_files() {
    let folder = folder("both_files");
    let output = bench(&folder, &SMALL);
    assert!(output.status.success(), "{}", err(&output));
    assert!(
        out(&output).contains("plain-threads/workers=1"),
        "{}",
        out(&output)
    );
    assert!(
        err(&output).contains("round 3/3  deque/workers=1"),
        "{}",
        err(&output)
    );

    let lines = fs::read_to_string(folder.join("mainspring-bench.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["kind"], "run");
    assert!(lines.len() >= 3);
    for result in &lines[1..] {
        assert_eq!(result["rounds"].as_array().unwrap().len(), 3);
        assert_eq!(result["setting"]["size"], 2_000);
        assert!(result["rounds"][0]["ns_per_message"].as_f64().unwrap() > 0.0);
    }
    let page = fs::read_to_string(folder.join("mainspring-bench.html")).unwrap();
    assert!(page.contains("plain-threads") && !page.contains("http"));
}

/// The file with every figure of its rounds multiplied by `factor`.
fn scaled(file: &str, factor: f64) -> String {
    let scale_line = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        for round in line["rounds"].as_array_mut().into_iter().flatten() {
            // Equal rounds leave no spread: the verdict then rests on the factor alone.
            round["ns_per_message"] = (100.0 * factor).into();
        }
        line.to_string() + "\n"
    };
    file.lines().map(scale_line).collect()
}

#[test]
fn a_slower_run_is_named_and_fails_when_asked_to() {
    let folder = folder("slower");
    let output = bench(&folder, &SMALL);
    assert!(output.status.success(), "{}", err(&output));
    let run = fs::read_to_string(folder.join("mainspring-bench.jsonl")).unwrap();
    fs::write(folder.join("old.jsonl"), scaled(&run, 1.0)).unwrap();
    fs::write(folder.join("new.jsonl"), scaled(&run, 1.2)).unwrap();

    let compare = |old: &str, new: &str, also: &[&str]| {
        let arguments = ["--from", new, "--compare", old, "--no-files"];
        bench(&folder, &[&arguments, also].concat())
    };
    let slower = compare("old.jsonl", "new.jsonl", &["--fail-on-slower"]);
    assert_eq!(slower.status.code(), Some(1));
    assert!(
        out(&slower).contains("1.20 ×") && out(&slower).contains("slower"),
        "{}",
        out(&slower)
    );
    assert_eq!(
        compare("old.jsonl", "new.jsonl", &[]).status.code(),
        Some(0)
    );
    let faster = compare("new.jsonl", "old.jsonl", &["--fail-on-slower"]);
    assert_eq!(faster.status.code(), Some(0));
    assert!(out(&faster).contains("faster"), "{}", out(&faster));
    let same = compare("old.jsonl", "old.jsonl", &["--fail-on-slower"]);
    assert!(
        same.status.success() && out(&same).contains("no difference"),
        "{}",
        out(&same)
    );
}

#[test]
fn a_round_over_its_limit_is_hung_and_fails_the_run() {
    let folder = folder("hung");
    let output = bench(
        &folder,
        &[
            "asleep",
            "--workers",
            "1",
            "--size",
            "600000",
            "--limit",
            "50ms",
            "--no-files",
        ],
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(out(&output).contains("WRONG: hung"), "{}", out(&output));
}

#[test]
fn bad_arguments_end_before_anything_runs() {
    let folder = folder("bad_arguments");
    fs::write(folder.join("broken.jsonl"), "{}\n").unwrap();
    for (arguments, message) in [
        (
            &["dequee"][..],
            "error: WORKLOAD: `dequee` is unknown; nearest: deque",
        ),
        (
            &["--pin", "9999"],
            "error: --pin 9999: cpu 9999 is not allowed; allowed: ",
        ),
        (
            &["--compare", "none.jsonl"],
            "error: --compare none.jsonl: ",
        ),
        (
            &["--compare", "broken.jsonl"],
            "error: --compare broken.jsonl: line 1: ",
        ),
        (
            &["--workers", "0"],
            "invalid value '0' for '--workers <LIST>'",
        ),
    ] {
        let output = bench(&folder, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            err(&output).contains(message),
            "{arguments:?}: {}",
            err(&output)
        );
        assert!(!folder.join("mainspring-bench.jsonl").exists());
    }
}

#[test]
fn the_list_names_every_workload_and_group() {
    let output = bench(&folder("list"), &["--list"]);
    assert!(output.status.success());
    for name in [
        "baseline:",
        "cache-line",
        "deque",
        "std-mpsc",
        "plain-threads",
    ] {
        assert!(out(&output).contains(name), "{name} in\n{}", out(&output));
    }
}

/// Ten times more than is handled, for a time, in an address space of so many KiB.
#[cfg(target_os = "linux")]
#[test]
fn overload_keeps_within_a_small_address_space() {
    let folder = folder("address_space");
    let run = |kib: u32, name: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh"])
            .args([&kib.to_string(), env!("CARGO_BIN_EXE_mainspring")])
            .args(["bench", name, "--workers", "2", "--quick", "--no-files"])
            .current_dir(&folder);
        command.output().unwrap()
    };
    for name in ["reject", "wait", "drop-newest", "drop-oldest"] {
        let output = run(400_000, &format!("overload-{name}"));
        assert!(output.status.success(), "{name}: {}", err(&output));
    }
    assert!(
        !run(1_000, "overload-reject").status.success(),
        "the limit holds"
    );
}
