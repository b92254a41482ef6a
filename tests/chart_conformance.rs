//! Every recorded trace of the corpora, as far as they are there, against the list of exceptions.

#![cfg(all(feature = "xstate", feature = "scxml"))]

use std::path::Path;

use mainspring::chart::conform::conform;

#[test]
fn the_corpora_run_as_recorded_but_for_the_listed_exceptions() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/statechart-conformance");
    let dir = match std::env::var_os("MAINSPRING_CHART_CORPUS") {
        Some(dir) => dir.into(),
        None => dir,
    };
    if !dir.is_dir() {
        println!("skipped: there is no corpus beside the project");
        return;
    }
    let report = conform(&dir).expect("the corpus can be read");
    println!("{report}");
    let surprises = report.surprises(include_str!("chart_exceptions.txt"));
    assert!(
        surprises.is_empty(),
        "{} surprises:\n{}",
        surprises.len(),
        surprises.join("\n")
    );
    assert!(!report.outcomes.is_empty(), "the corpus is empty");
}
