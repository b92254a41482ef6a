//! The table of checks: what it names exists, and runs with the seeds that it says.

use std::fs;
use std::path::Path;

#[test]
fn every_row_names_a_test_its_seeds_and_its_command() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/verification.md")).unwrap();
    // The sections after the table have no tests of that form.
    let (table, _) = page.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.ends_with("` |"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, check, seeds, command] = cells[..] else {
            panic!("four columns: {row}");
        };
        let command = command.trim_matches('`');
        let (_, target) = command.split_once(" --test ").expect(row);
        let (file, name) = target.split_once(' ').expect(row);
        assert_eq!(name, check);
        let text = fs::read_to_string(root.join("tests").join(file).with_extension("rs"));
        let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
        let start = format!("#[test]\nfn {check}() {{");
        let (_, rest) = text
            .split_once(&start)
            .unwrap_or_else(|| panic!("no {check} in {file}"));
        let (body, _) = rest.split_once("\n}").expect(row);
        match seeds.strip_suffix(" seeds") {
            Some(number) => {
                let number = number.replace(',', "_");
                assert!(body.contains(&format!("seeds({number})")), "{row}");
                assert!(command.contains("--features testkit"), "{row}");
            }
            None => assert_eq!(seeds, "none", "{row}"),
        }
        count += 1;
    }
    assert!(count >= 15, "{count} rows");
}

#[test]
fn every_known_bug_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/known-bugs.md")).unwrap();
    let mut last = 0;
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, _, test] = cells[..] else {
            panic!("four columns: {row}");
        };
        let number: u32 = number.parse().expect(row);
        assert!(last < number, "in order: {row}");
        last = number;
        let (file, name) = test.trim_start_matches('`').split_once("` ").expect(row);
        let text = fs::read_to_string(root.join(file)).expect(row);
        assert!(text.contains(&format!("fn {name}(")), "{row}");
        if file.ends_with("known_bugs.rs") {
            let (before, _) = text.split_once(&format!("fn {name}(")).expect(row);
            let (_, comment) = before.rsplit_once("\n\n").expect(row);
            assert!(comment.contains(&format!("No. {number},")), "{row}");
        }
    }
    assert!(last >= 100);
}

/// The models of `loom-tests/tests/NAME`, by what they are called in the calls.
fn models_in(text: &str) -> Vec<&str> {
    let calls = ["model(", "model_bound(", "model_exhaustive(", "line("];
    let mut models = Vec::new();
    for call in calls {
        for (at, _) in text.match_indices(call) {
            let starts_a_word = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let name = text[at + call.len()..].trim_start().strip_prefix('"');
            if let Some(name) = name.filter(|_| starts_a_word) {
                models.push(name.split('"').next().unwrap());
            }
        }
    }
    models
}

#[test]
fn every_protocol_names_its_models_and_each_has_mutants() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/verification.md")).unwrap();
    let (_, section) = page.split_once("\n## Protocols between threads\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mutants = fs::read_to_string(root.join("loom-tests/mutants.toml")).unwrap();

    let mut there = Vec::new();
    for entry in fs::read_dir(root.join("loom-tests/tests")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        there.extend(models_in(&text).into_iter().map(str::to_owned));
    }
    let mut named = Vec::new();
    for row in section
        .lines()
        .filter(|line| line.starts_with("| M") || line.starts_with("| clock"))
    {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, file, models] = cells[..] else {
            panic!("four columns: {row}");
        };
        let file = format!("src/sync/{}", file.trim_matches('`'));
        assert!(root.join(&file).is_file(), "{row}");
        let its = mutants.matches(&format!("file = \"{file}\"")).count();
        assert!(its >= 3, "{file} has {its} mutants");
        named.extend(models.split(", ").map(str::to_owned));
    }
    for number in (1..=20).chain([22]) {
        let row = |line: &str| {
            let numbers = line.trim_start_matches("| ").split(" | ").next();
            numbers.is_some_and(|all| all.split(", ").any(|one| one == format!("M{number}")))
        };
        assert!(section.lines().any(row), "no row of M{number}");
    }
    for sorted in [&mut there, &mut named] {
        sorted.sort_unstable();
        sorted.dedup();
    }
    assert_eq!(there, named, "all models, and no others");

    let count = mutants.matches("[[mutant]]").count();
    for figure in [
        format!("| {} models, ", there.len()),
        format!("| {count} mutants, 0 not"),
    ] {
        assert!(section.contains(&figure), "expected a run of {figure}");
    }
}

#[test]
fn every_scenario_of_the_whole_runtime_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/verification.md")).unwrap();
    let (_, section) = page.split_once("\n## The whole runtime by seed\n").unwrap();
    let (section, _) = section.split_once("\n| what |").unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    let cells = rows.map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap().1);
    let mut named: Vec<_> = cells.flat_map(|names| names.split(", ")).collect();
    let mut texts = Vec::new();
    for entry in fs::read_dir(root.join("shuttle-tests/tests/schedules")).unwrap() {
        texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let tests = texts
        .iter()
        .flat_map(|text| text.split("#[test]\nfn ").skip(1));
    let mut there: Vec<_> = tests.map(|test| test.split('(').next().unwrap()).collect();
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(named, there);
}

/// The days in a text, as `2026-11-27`.
fn days(text: &str) -> Vec<&str> {
    let is_day = |word: &&str| {
        let parts: Vec<_> = word.split('-').map(str::len).collect();
        parts == [4, 2, 2] && word.chars().all(|c| c.is_ascii_digit() || c == '-')
    };
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '-');
    words.filter(is_day).collect()
}

/// The word after `name` in a command.
fn after<'a>(command: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = command.split_once(&format!("{name} "))?;
    rest.split(' ').next()
}

#[test]
fn the_runs_before_a_release_name_what_is_there_and_their_last_day() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/verification.md")).unwrap();
    let (before, section) = page.split_once("\n## The runs before a release\n").unwrap();
    let ci = fs::read_to_string(root.join(".ci/run")).unwrap();
    let rows = section.lines().filter(|line| line.contains(" | `"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [_, command, last] = cells[..] else {
            panic!("three columns: {row}");
        };
        let &[day] = &days(last)[..] else {
            panic!("one day: {row}");
        };
        for other in before.lines().filter(|line| line.contains(command)) {
            assert!(
                days(other).contains(&day),
                "another day than in {other}: {row}"
            );
        }
        let command = command.trim_matches('`');
        if let Some(step) = after(command, ".ci/run") {
            assert!(ci.contains(&format!("\nstep_{step}() {{")), "{row}");
        } else if let Some(bin) = after(command, "--bin") {
            let package = after(command, "-p").expect(row);
            let file = root.join(package).join("src/bin").join(bin);
            assert!(file.with_extension("rs").is_file(), "{row}");
        } else if let Some(test) = after(command, "--test") {
            let file = root.join("tests").join(test).with_extension("rs");
            assert!(file.is_file(), "{row}");
        } else {
            let script = command.split(' ').next().unwrap();
            assert!(script == "cargo" || root.join(script).is_file(), "{row}");
        }
        count += 1;
    }
    assert!(count >= 10, "{count} rows");
}

#[test]
fn every_file_of_protocols_has_a_model() {
    // What has no protocol of its own: the door, its stand-ins, and what one thread does alone.
    const ALONE: [&str; 10] = [
        "clock", "deque", "jitter", "look", "mod", "orders", "scope", "shuttle", "spin", "tsan",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("src/sync")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let model = root
            .join("loom-tests/tests")
            .join(name)
            .with_extension("rs");
        assert_ne!(ALONE.contains(&name), model.is_file(), "{name}");
    }
}
