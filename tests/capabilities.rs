//! The table of capabilities: every row once, and nothing done without something to show.

use std::fs;
use std::path::Path;

const ROWS: usize = 305;
/// The issues that open rows may name.
const ISSUES: [&str; 4] = ["issue 2", "issue 3", "issue 4", "issue 5"];

fn rows() -> Vec<[String; 3]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/capabilities.md");
    let page = fs::read_to_string(path).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| S"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let cells: [&str; 3] = cells
            .try_into()
            .unwrap_or_else(|_| panic!("columns: {row}"));
        cells.map(str::to_owned)
    })
    .collect()
}

#[test]
fn every_row_is_there_once_and_in_order() {
    let ids: Vec<String> = rows().into_iter().map(|[id, ..]| id).collect();
    let expected: Vec<String> = (1..=ROWS).map(|number| format!("S{number}")).collect();
    assert_eq!(ids, expected);
    assert!(rows().iter().all(|[_, what, _]| !what.is_empty()));
}

#[test]
fn every_state_names_what_shows_it_or_where_it_belongs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for [id, _, state] in rows() {
        if let Some(whose) = state.strip_prefix("open: ") {
            assert!(whose == "later" || ISSUES.contains(&whose), "{id}: {state}");
            continue;
        }
        let shown = state.strip_prefix("done: `");
        let (file, rest) = shown
            .and_then(|shown| shown.split_once('`'))
            .unwrap_or_else(|| panic!("{id}: {state}"));
        let text = fs::read_to_string(root.join(file))
            .unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
        let test = rest.trim();
        if !test.is_empty() && test != "(guide)" {
            assert!(
                text.contains(&format!("fn {test}()")),
                "{id}: no {test} in {file}"
            );
        } else if file.starts_with("tests/") {
            assert!(text.contains("#[test]"), "{id}: no test in {file}");
        }
    }
}
