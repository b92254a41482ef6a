//! A seed is a schedule.

use super::*;
use common::{Log, Msg, spawn};
use shuttle_tests::{Kind, Seed, trace};
use std::collections::HashSet;

fn ping() {
    let system = system(workers(2));
    let one = spawn(&system, &Log::new());
    assert_eq!(one.ask(Msg::Ping).wait(), Ok(7));
    end(system);
}

#[test]
fn a_seed_gives_the_same_schedule_again_and_another_seed_another() {
    for kind in [Kind::Random, Kind::Pct] {
        let run = |number| trace("a_seed", Seed { kind, number }, ping);
        let first: Vec<_> = (0..20).map(run).collect();
        let again: Vec<_> = (0..20).map(run).collect();
        assert_eq!(first, again);
        let different: HashSet<_> = first.iter().map(|trace| trace.hash).collect();
        assert!(different.len() > 10, "{different:?}");
    }
}
