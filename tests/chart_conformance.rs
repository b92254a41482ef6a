//! Every recorded trace of the corpora, as far as they are there, against the list of exceptions.

#![cfg(all(feature = "xstate", feature = "scxml"))]

#[path = "common/corpus.rs"]
mod corpus;

use mainspring::chart::conform::conform;

#[test]
fn the_corpora_run_as_recorded_but_for_the_listed_exceptions() {
    let Some(dir) = corpus::folder() else {
        return;
    };
    let report = conform(&dir).expect("the corpus can be read");
    corpus::is_as_listed(&report);
    assert!(!report.outcomes.is_empty(), "the corpus is empty");
}
