//! The promises, message by message, in systems made of seeds: see `common/world.rs`.

#![cfg(all(feature = "testkit", not(loom)))]

#[path = "common/world.rs"]
mod world;

use mainspring::testkit::{self, Fault};
use std::cell::RefCell;
use std::collections::HashMap;

/// The seeds that found something, then `MAINSPRING_SEEDS` or as many as given.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let lines = include_str!("seeds/promises.txt").lines();
    let words = lines.filter_map(|line| line.split_whitespace().next());
    let found = words.filter(|word| *word != "#");
    let found = found.map(|seed| seed.parse().expect("a seed is a number"));
    let set = std::env::var("MAINSPRING_SEEDS").ok();
    let count = set.map_or(count, |set| {
        set.parse().expect("MAINSPRING_SEEDS is a number")
    });
    found.chain(0..count)
}

#[test]
fn every_message_by_its_number_keeps_the_promises() {
    let seen = RefCell::new(HashMap::new());
    testkit::simulate(seeds(5_000), |sim| {
        let faults: &[Fault] = if sim.random().one_in(4) {
            &[]
        } else {
            &Fault::ALL
        };
        for (what, count) in world::run(sim, faults) {
            *seen.borrow_mut().entry(what).or_default() += count;
        }
    });
    let seen: HashMap<_, u64> = seen.into_inner();
    println!("{seen:?}");
    if std::env::var_os("MAINSPRING_SEED").is_none() {
        for what in [
            "committed",
            "dead",
            "answered",
            "not answered",
            "due",
            "canceled",
            "ended",
            "restarted",
        ] {
            assert!(seen.contains_key(what), "no seed reached {what:?}");
        }
    }
}
