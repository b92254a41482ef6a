//! Three bugs that are put into the runtime, one at a time, are each found by the kit within a
//! minute, and the same seeds without them are clean. `.ci/run planted` builds it.

#![cfg(all(feature = "testkit", mainspring_planted, not(loom)))]

#[path = "common/world.rs"]
mod world;

use mainspring::testkit::{Fault, Planted, Sim, plant};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What the run of `seed` fails with.
fn failure(seed: u64) -> Option<String> {
    let mut sim = Sim::new(seed);
    let run = || {
        world::run(&mut sim, &[Fault::Full, Fault::Late]);
    };
    let payload = catch_unwind(AssertUnwindSafe(run)).err()?;
    Some(*payload.downcast::<String>().expect("a panic has a text"))
}

/// The first seed that finds `bug`, which it says by `says`.
fn is_found(bug: Planted, says: &str) {
    let began = Instant::now();
    plant(Some(bug));
    let found = (0..100_000)
        .take_while(|_| began.elapsed() < Duration::from_secs(60))
        .find_map(|seed| Some((seed, failure(seed)?)));
    let took = began.elapsed();
    plant(None);
    let (seed, text) = found.unwrap_or_else(|| panic!("{bug:?} was not found in {took:?}"));
    println!("{bug:?}: found after {} seeds, {took:?}: {text}", seed + 1);
    assert!(text.contains(says), "{text}");
    for seed in 0..=seed {
        assert_eq!(failure(seed), None, "seed {seed} without {bug:?}");
    }
}

#[test]
fn a_lost_wake_is_found() {
    is_found(Planted::LostWake, "a lost wake");
}

#[test]
fn a_timer_that_fires_after_its_cancel_is_found() {
    is_found(Planted::CanceledTimer, "no timer fires after its cancel");
}

#[test]
fn a_plan_that_is_half_committed_is_found() {
    is_found(Planted::HalfCommit, "a plan is committed as a whole");
}
