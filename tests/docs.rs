//! What the docs of public items say: an example of each, compiled; their errors and panics are
//! clippy's to check, which the front page of the library asks for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` whose name ends with `ending`.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} in {folder}");
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The words of a text's programs, which are in fences that name no other language.
fn of_programs(text: &str, found: &mut BTreeSet<String>) {
    let mut is_program = false;
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.trim_start_matches("///").trim_start_matches("//!");
        let line = line.trim_start();
        match line.strip_prefix("```") {
            Some(_) if is_program => is_program = false,
            Some(kind) => is_program = matches!(kind, "" | "rust" | "no_run"),
            None if is_program => found.extend(words(line).map(str::to_owned)),
            None => {}
        }
    }
}

/// The names that the front page exports.
fn exported() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let (_, front) = text.split_once("mod front {").unwrap();
    let (front, _) = front.split_once("\n}").unwrap();
    words(front)
        .filter(|word| word.starts_with(char::is_uppercase))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_name_of_the_front_page_is_in_a_program_that_is_compiled() {
    let mut shown = BTreeSet::new();
    let docs = files("src", ".rs").into_iter();
    for path in docs.chain(files("docs/guide", ".md")) {
        of_programs(&fs::read_to_string(path).unwrap(), &mut shown);
    }
    of_programs(
        &fs::read_to_string(root().join("README.md")).unwrap(),
        &mut shown,
    );
    for path in files("examples", ".rs") {
        let text = fs::read_to_string(path).unwrap();
        shown.extend(words(&text).map(str::to_owned));
    }
    let names = exported();
    assert!(names.len() > 60, "{names:?}");
    let without: Vec<_> = names.difference(&shown).collect();
    assert!(without.is_empty(), "in no program: {without:?}");
}

#[test]
fn clippy_asks_for_the_errors_and_panics_of_public_functions() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for lint in ["clippy::missing_errors_doc", "clippy::missing_panics_doc"] {
        assert!(
            text.contains(lint),
            "the front page no longer asks for {lint}"
        );
    }
}
