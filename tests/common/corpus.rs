//! The recorded traces beside the project, and what is known of them.

use mainspring::chart::conform::Report;
use std::path::{Path, PathBuf};

/// The folder of the corpora; none, and a word about it, where there is none.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/statechart-conformance");
    let folder = std::env::var_os("MAINSPRING_CHART_CORPUS").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: there is no corpus beside the project");
        return None;
    }
    Some(folder)
}

/// Fails for every outcome that is not as listed.
#[track_caller]
pub(crate) fn is_as_listed(report: &Report) {
    println!("{report}");
    let surprises = report.surprises(include_str!("../chart_exceptions.txt"));
    assert!(
        surprises.is_empty(),
        "{} surprises:\n{}",
        surprises.len(),
        surprises.join("\n")
    );
}
