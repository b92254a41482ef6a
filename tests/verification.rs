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
