//! The README keeps what it says: its program, its links, its commands.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn first_program(page: &str) -> &str {
    let (_, rest) = page.split_once("```rust\n").expect("a Rust program");
    rest.split_once("```").expect("the program's end").0
}

#[test]
fn the_first_program_is_the_counter_example_in_at_most_25_lines() {
    let example = read("examples/counter.rs");
    let program: Vec<&str> = example
        .lines()
        .skip_while(|line| line.starts_with("//!") || line.starts_with("#!") || line.is_empty())
        .collect();
    let readme = read("README.md");
    assert_eq!(first_program(&readme).lines().collect::<Vec<_>>(), program);
    let lines = program.iter().filter(|line| !line.is_empty()).count();
    assert!(lines <= 25, "{lines} lines");
}

/// The pages for readers: those at the root and in `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/guide", "docs/decisions", "bench-compare"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

#[test]
fn every_link_between_pages_leads_to_a_file() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let file = page.parent().unwrap().join(path);
            assert!(file.exists(), "{}: no {target}", page.display());
        }
    }
}

#[test]
fn the_map_names_folders_that_are_there() {
    let readme = read("README.md");
    let (_, map) = readme.split_once("## The repository").unwrap();
    let rows: Vec<&str> = map.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 5);
    for row in rows {
        let places = row.split('|').nth(1).unwrap();
        for path in places.split('`').skip(1).step_by(2) {
            assert!(root().join(path).exists(), "no {path}");
        }
    }
}
