//! The order of a turn, as a trace has it: deliver, decide, admit, evolve, publish, whatever way the
//! commit goes.
#![cfg(feature = "testkit")]

mod common;
use common::*;
use mainspring::config::Origins;
use mainspring::prelude::*;
use mainspring::testkit::{Ran, Sim};

/// The turns of scripted actors that got one of these messages.
fn traced(sim: &mut Sim, messages: impl IntoIterator<Item = (ActorRef<Msg>, Msg)>) -> Vec<Ran> {
    sim.explain();
    for (to, message) in messages {
        let to = sim.system().handle(to).unwrap();
        to.tell(message).unwrap();
    }
    sim.run_until_idle();
    sim.trace()
        .filter(|ran| !ran.heard.is_empty())
        .cloned()
        .collect()
}

/// The stages and the end of the first turn of an actor that does so.
fn stages(plan: impl FnOnce(ActorRef<Msg>) -> Plan<Script> + Send + 'static) -> (String, String) {
    let mut sim = Sim::new(1);
    for cause in ["refused", "unhandled", "stopped", "ask failed"] {
        sim.allow(cause);
    }
    let [a, b] = [(); 2].map(|()| spawn(sim.system(), &Log::new()).actor());
    let ran = traced(&mut sim, [(a, does(move || plan(b)))]);
    let heard = &ran[0].heard[0];
    let outcome = heard.outcome.expect("it did not panic");
    (heard.stages.join(" "), outcome.to_owned())
}

#[test]
fn a_turn_has_its_stages_in_order_whatever_it_says() {
    let rows: Vec<((String, String), &str, &str)> = vec![
        (stages(|_| Plan::none()), "", "committed"),
        (stages(|_| say(1)), "evolve", "committed"),
        (
            stages(|b| Plan::tell(b, Msg::Say(1))),
            "admit publish",
            "committed",
        ),
        (
            stages(|b| say(1).and(Plan::tell(b, Msg::Say(1)))),
            "admit evolve publish",
            "committed",
        ),
        (
            stages(|b| {
                Plan::tell(b, Msg::Say(1))
                    .and(say(1))
                    .and(Plan::tell(b, Msg::Say(2)))
                    .and(Plan::after(1, ms(1), Msg::Say(3)))
            }),
            "admit evolve publish",
            "committed",
        ),
        (
            stages(|b| {
                say(1).and(
                    Plan::<Script>::ask(b, Msg::Ping)
                        .on_ok_value(Msg::Say(1))
                        .on_error_value(Msg::Say(2)),
                )
            }),
            "admit evolve publish",
            "committed",
        ),
        (
            stages(|b| Plan::emit(Event::Refuse).and(Plan::tell(b, Msg::Say(1)))),
            "admit evolve",
            "failed",
        ),
        (stages(|_| Plan::unhandled()), "", "unhandled"),
        (
            stages(|_| say(1).and(Plan::stop())),
            "evolve",
            "committed, the actor stops",
        ),
    ];
    for ((stages, outcome), expected, ends) in rows {
        let expected = format!("deliver decide {expected}");
        assert_eq!(stages, expected.trim_end());
        assert_eq!(outcome, ends, "{stages}");
    }
}

#[test]
fn a_handler_that_panics_has_no_further_stage() {
    quiet_panics();
    let mut sim = Sim::new(1);
    sim.allow("panicked");
    let a = spawn(sim.system(), &Log::new()).actor();
    let ran = traced(&mut sim, [(a, does(|| panic!("on purpose")))]);
    let heard = &ran[0].heard[0];
    assert_eq!(heard.stages, ["deliver"]);
    assert_eq!(heard.outcome, None);
    let drawing = ran[0].diagram().to_string();
    assert!(drawing.ends_with("  = the handler panicked\n"), "{drawing}");
}

#[test]
fn a_trace_has_the_origins_of_a_chain() {
    let config = Config::builder().origins(Origins::On).build().unwrap();
    let mut sim = Sim::with_config(1, config);
    let [a, b] = [(); 2].map(|()| spawn(sim.system(), &Log::new()).actor());
    let ran = traced(&mut sim, [(a, does(move || Plan::tell(b, Msg::Say(1))))]);
    let [first, second] = [0, 1].map(|place| ran[place].heard[0].origin.unwrap());
    assert_eq!(second.causation, Some(first.id));
    assert_eq!(second.correlation, first.id);
    let drawing = ran[1].diagram().to_string();
    assert!(drawing.contains(&format!("({second})")), "{drawing}");
}
