//! One exploration: runs a model in every interleaving within the bound and says how many.

use mainspring::sync::look::writing;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The preemption bound of the standard shape (two threads and the main one).
const PREEMPTIONS: usize = 2;

/// Branch points in one execution; more means a loop that never yields.
const BRANCHES_MAX: usize = 10_000;

/// Runs `body` in every interleaving with at most two preemptions, and prints their number.
///
/// The search is done twice: with first looks that load, and with such that write (`sync::look`).
///
/// `LOOM_MAX_PREEMPTIONS` in the environment replaces the two. Where `MAINSPRING_MODEL_LOG` names
/// a file, a line `name executions milliseconds bound` is added to it: the job counts those.
///
/// # Panics
///
/// When the body fails in some interleaving, deadlocks or leaks; and when there was only one
/// interleaving, since a model without concurrency checks nothing.
pub fn model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    explore(name, |bound| bound.or(Some(PREEMPTIONS)), body);
}

/// As [`model`] with a bound of its own, where two preemptions do not reach the race.
///
/// # Panics
///
/// As [`model`].
pub fn model_bound(name: &str, preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let at_least = |bound: Option<usize>| Some(bound.unwrap_or(preemptions).max(preemptions));
    explore(name, at_least, body);
}

/// Runs `body` in every interleaving without a bound: for the smallest shapes only.
///
/// # Panics
///
/// As [`model`].
pub fn model_exhaustive(name: &str, body: impl Fn() + Send + Sync + 'static) {
    explore(name, |_| None, body);
}

/// `bound` makes the bound of what the environment says.
fn explore(
    name: &str,
    bound: impl Fn(Option<usize>) -> Option<usize>,
    body: impl Fn() + Send + Sync + 'static,
) {
    let (executions, body) = (Arc::new(AtomicU64::new(0)), Arc::new(body));
    let begun = Instant::now();
    let mut shown = String::new();
    for writes in [false, true] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = bound(builder.preemption_bound);
        builder.max_branches = builder.max_branches.max(BRANCHES_MAX);
        shown = builder
            .preemption_bound
            .map_or_else(|| "none".to_owned(), |bound| bound.to_string());
        let (counter, body) = (executions.clone(), body.clone());
        writing(writes);
        builder.check(move || {
            counter.fetch_add(1, Relaxed);
            body();
        });
    }
    writing(false);
    let bound = shown;
    let ms = begun.elapsed().as_millis();
    let executions = executions.load(Relaxed);
    println!("model {name}: {executions} executions, {ms} ms, bound {bound}");
    assert!(executions > 2, "model {name} has no concurrency to explore");
    if let Ok(path) = std::env::var("MAINSPRING_MODEL_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("MAINSPRING_MODEL_LOG names a writable file");
        // One write, so that models that run side by side do not mix their lines.
        log.write_all(format!("{name} {executions} {ms} {bound}\n").as_bytes())
            .expect("a line fits into the model log");
    }
}
