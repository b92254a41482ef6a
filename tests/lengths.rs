//! The examples of the text that the programming interface comes from are not longer here:
//! `docs/example-lengths.md` has the lines of both, this counts ours.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines of a behavior that are neither empty nor a comment.
fn lines_of(example: &str, behavior: &str) -> usize {
    let text = read(&format!("examples/{example}.rs"));
    let begin = format!("impl Behavior for {behavior} {{");
    let (_, from) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {behavior} in {example}"));
    let (inside, _) = from.split_once("\n}").expect("it ends");
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//")
    };
    // The first line, what is inside, and the last brace.
    2 + inside.lines().filter(is_code).count()
}

#[test]
fn no_behavior_is_longer_here_than_in_the_text() {
    let page = read("docs/example-lengths.md");
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| `examples/")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [place, theirs, ours] = cells[..] else {
            panic!("three columns: {row}");
        };
        let (file, behavior) = place.split_once("` ").expect(row);
        let example = file
            .trim_start_matches("`examples/")
            .trim_end_matches(".rs");
        let [theirs, written]: [usize; 2] = [theirs, ours].map(|cell| cell.parse().expect(row));
        let ours = lines_of(example, behavior);
        assert_eq!(ours, written, "{place}: the page is stale");
        assert!(
            ours * 10 <= theirs * 12,
            "{place}: {ours} lines, {theirs} in the text"
        );
        rows += 1;
    }
    assert_eq!(rows, 5);
}
