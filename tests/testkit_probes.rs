//! The promise: a probe says exactly what it got, and a stand-in does what its script says.

#![cfg(all(feature = "testkit", not(loom)))]

use mainspring::prelude::*;
use mainspring::testkit::{self, Probe, Script, Sim};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn told<M: Send + 'static>(sim: &Sim, to: ActorRef<M>, messages: impl IntoIterator<Item = M>) {
    let handle = sim.system().handle(to).expect("it lives");
    for message in messages {
        assert!(handle.tell(message).is_ok());
    }
}

fn failure(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it must fail");
    *payload.downcast::<String>().expect("a text")
}

#[test]
fn a_probe_knows_order_any_order_and_none() {
    testkit::simulate(0..20, |sim| {
        let probe = Probe::<u64>::start(sim.system()).unwrap();
        sim.run_until_idle();
        probe.expect_none();
        told(sim, probe.actor(), [1, 2, 2]);
        probe.expect_none(); // nobody has run
        sim.run_until_idle();
        probe.expect(&[1, 2, 2]);
        probe.expect_none();
        told(sim, probe.actor(), [3, 4, 3]);
        sim.run_until_idle();
        probe.expect_in_any_order(&[3, 3, 4]);
    });
}

#[test]
fn a_probe_says_what_is_missing_and_what_is_too_much() {
    let mut sim = Sim::new(1);
    let probe = Probe::<u64>::start(sim.system()).unwrap();
    let mut fails = |check: &dyn Fn(&Probe<u64>)| {
        told(&sim, probe.actor(), [1, 2]);
        sim.run_until_idle();
        failure(|| check(&probe))
    };
    let text = fails(&|probe| probe.expect(&[2, 1]));
    assert!(text.contains("got [1, 2], in order [2, 1]"), "{text}");
    let text = fails(&|probe| probe.expect_in_any_order(&[2, 3]));
    assert!(text.contains("missing: [3], not expected: [1]"), "{text}");
    let text = fails(&|probe| probe.expect_in_any_order(&[2, 1, 1]));
    assert!(text.contains("missing: [1], not expected: []"), "{text}");
    let text = fails(&|probe| probe.expect_none());
    assert!(text.contains("got [1, 2]"), "{text}");
}

#[test]
fn a_stand_in_follows_its_script_and_then_handles_nothing() {
    let mut sim = Sim::new(2);
    let probe = Probe::<u64>::start(sim.system()).unwrap();
    let to = probe.actor();
    let script = Script::<u64>::new()
        .answers(move |number| Plan::tell(to, number * 10))
        .drops()
        .delays(Duration::from_secs(5))
        .answers(move |number| Plan::tell(to, number + 1));
    let actor = script.start(sim.system()).unwrap();
    told(&sim, actor, [1, 2, 3]);
    sim.run_for(Duration::from_secs(4));
    probe.expect(&[10]);
    sim.run_for(Duration::from_secs(2));
    probe.expect(&[4]);
    told(&sim, actor, [9]);
    let text = failure(|| sim.run_until_idle());
    assert!(text.contains("unhandled"), "{text}");
    probe.expect_none();
}

#[test]
fn a_stand_in_that_panics_ends_and_fails_its_asker() {
    testkit::simulate(0..20, |sim| {
        sim.allow("panicked");
        let script = Script::<Reply<u64>>::new().panics();
        let actor = script.start(sim.system()).unwrap();
        let asked = sim.system().handle(actor).unwrap().ask(|reply| reply);
        sim.run_until_idle();
        assert_eq!(asked.wait(), Err(AskError::Panicked));
        assert_eq!(sim.counts(actor), None);
    });
}
