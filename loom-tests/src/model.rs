//! One exploration: runs a model in every interleaving within the bound and says how many.

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
/// `LOOM_MAX_PREEMPTIONS` in the environment replaces the two. Where `MAINSPRING_MODEL_LOG` names
/// a file, a line `name executions milliseconds bound` is added to it: the job counts those.
///
/// # Panics
///
/// When the body fails in some interleaving, deadlocks or leaks; and when there was only one
/// interleaving, since a model without concurrency checks nothing.
pub fn model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    explore(name, builder, body);
}

/// As [`model`] with a bound of its own, where two preemptions do not reach the race.
///
/// # Panics
///
/// As [`model`].
pub fn model_bound(name: &str, preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let asked = builder.preemption_bound.unwrap_or(preemptions);
    builder.preemption_bound = Some(asked.max(preemptions));
    explore(name, builder, body);
}

/// Runs `body` in every interleaving without a bound: for the smallest shapes only.
///
/// # Panics
///
/// As [`model`].
pub fn model_exhaustive(name: &str, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = None;
    explore(name, builder, body);
}

fn explore(name: &str, mut builder: loom::model::Builder, body: impl Fn() + Send + Sync + 'static) {
    builder.max_branches = builder.max_branches.max(BRANCHES_MAX);
    let bound = builder
        .preemption_bound
        .map_or_else(|| "none".to_owned(), |bound| bound.to_string());
    let executions = Arc::new(AtomicU64::new(0));
    let counter = executions.clone();
    let begun = Instant::now();
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        body();
    });
    let ms = begun.elapsed().as_millis();
    let executions = executions.load(Relaxed);
    println!("model {name}: {executions} executions, {ms} ms, bound {bound}");
    assert!(executions > 1, "model {name} has no concurrency to explore");
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
