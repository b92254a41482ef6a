//! Actors that ask each other in a circle and all wait are found and named, in debug and test
//! builds; their asks end by their own time in all.

mod common;
use common::*;
use mainspring::AskCircle;
use mainspring::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whether this build looks for them.
const FINDS: bool = cfg!(any(debug_assertions, feature = "testkit"));

type Outcomes = Arc<Mutex<Vec<Result<u64, AskError>>>>;

/// A question for an actor that asks `next` before it answers, and so on; the last one keeps it.
fn around(next: &[ActorRef<Msg>], outcomes: &Outcomes) -> impl FnOnce(Reply<u64>) -> Msg + use<> {
    let (next, outcomes) = (next.to_vec(), outcomes.clone());
    move |reply| {
        does(move || match next.split_first() {
            None => Plan::emit(Event::Keep(Box::new(reply))),
            Some((first, rest)) => asks(*first, rest, &outcomes).and(keep(reply)),
        })
    }
}

fn keep(reply: Reply<u64>) -> Plan<Script> {
    Plan::emit(Event::Keep(Box::new(reply)))
}

/// A plan that asks `first` by [`around`].
fn asks(first: ActorRef<Msg>, rest: &[ActorRef<Msg>], outcomes: &Outcomes) -> Plan<Script> {
    let (ok, error) = (outcomes.clone(), outcomes.clone());
    Plan::ask(first, around(rest, outcomes))
        .on_ok(move |n| {
            ok.lock().unwrap().push(Ok(n));
            Msg::Say(0)
        })
        .on_error(move |e| {
            error.lock().unwrap().push(Err(e));
            Msg::Say(0)
        })
}

/// Lets so many actors ask each other in a circle: the first all others in turn, the last the first.
fn close_a_circle(actors: &[Actor<Script>], outcomes: &Outcomes) {
    let addresses: Vec<_> = actors.iter().map(|actor| actor.actor()).collect();
    let (mut next, noted) = (addresses[1..].to_vec(), outcomes.clone());
    next.push(addresses[0]);
    let begin = move || asks(next[0], &next[1..], &noted);
    actors[0].tell(does(begin)).unwrap();
}

fn found(system: &System) -> Vec<AskCircle> {
    let circles = system.ask_circles();
    assert!(FINDS || circles.is_empty());
    circles
}

#[test]
fn a_circle_is_named_within_a_second_and_ends_by_its_deadlines() {
    for length in [1, 2, 3, 64] {
        let (system, hand) = stepped();
        let actors: Vec<_> = (0..length).map(|_| spawn(&system, &Log::new())).collect();
        let outcomes = Outcomes::default();
        close_a_circle(&actors, &outcomes);
        system.run_until_idle();
        hand.advance(ms(400));
        system.run_until_idle();
        assert_eq!(found(&system), [], "it is young");
        hand.advance(ms(200));
        system.run_until_idle();
        let circles = found(&system);
        if FINDS {
            let [circle] = &circles[..] else {
                panic!("{length}: {circles:?}");
            };
            let mut named: Vec<_> = circle.actors.iter().map(|(actor, _)| *actor).collect();
            let mut all: Vec<_> = actors.iter().map(|actor| actor.actor().address()).collect();
            let shown = circle.to_string();
            for actor in &all {
                let name = format!("actor {actor} (ask_circles::common::Script) asks ");
                assert_eq!(shown.matches(&name).count(), 1, "{shown}");
            }
            named.sort_by_key(ToString::to_string);
            all.sort_by_key(ToString::to_string);
            assert_eq!(named, all);
        }
        // Five seconds, the system's own time for an ask.
        hand.advance(Duration::from_secs(5));
        system.run_until_idle();
        let outcomes = outcomes.lock().unwrap();
        assert_eq!(outcomes.len(), length);
        let timeouts = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(AskError::Timeout { .. })));
        assert!(timeouts, "{outcomes:?}");
        assert_eq!(found(&system).len(), usize::from(FINDS), "said once");
    }
}

#[test]
fn an_ask_that_is_answered_in_time_is_none() {
    let (system, hand) = stepped();
    let log = Log::new();
    let [a, b] = [(); 2].map(|()| spawn(&system, &log));
    // a asks b, which asks a and answers once it has that answer: nobody stands still.
    let (to_a, to_b) = (a.actor(), b.actor());
    let question = move |reply: Reply<u64>| {
        does(move || {
            Plan::ask(to_a, Msg::Ping)
                .on_ok(move |n| does(move || Plan::reply(reply, n + 1)))
                .on_error(|_| Msg::Say(0))
        })
    };
    for _ in 0..100 {
        let asks = move || {
            Plan::ask(to_b, question)
                .on_ok(Msg::Say)
                .on_error(|_| Msg::Say(0))
        };
        a.tell(does(asks)).unwrap();
        system.run_until_idle();
        hand.advance(ms(30));
        system.run_until_idle();
    }
    assert_eq!(log.take(), [8; 100]);
    assert_eq!(found(&system), []);
}

#[test]
fn a_chain_is_no_circle_and_an_end_breaks_one() {
    let (system, hand) = stepped();
    let outcomes = Outcomes::default();
    let actors: Vec<_> = (0..3).map(|_| spawn(&system, &Log::new())).collect();
    let addresses: Vec<_> = actors.iter().map(|actor| actor.actor()).collect();
    let (next, noted) = (addresses[1..].to_vec(), outcomes.clone());
    let chain = move || asks(next[0], &next[1..], &noted);
    actors[0].tell(does(chain)).unwrap();
    system.run_until_idle();
    hand.advance(Duration::from_secs(1));
    system.run_until_idle();
    assert_eq!(found(&system), []);
    close_a_circle(&actors, &outcomes);
    system.run_until_idle();
    actors[1].kill();
    system.run_until_idle();
    hand.advance(Duration::from_secs(1));
    system.run_until_idle();
    assert_eq!(found(&system), []);
}

#[test]
fn a_short_time_of_its_own_is_enough_to_be_found() {
    let (system, hand) = stepped();
    let a = spawn(&system, &Log::new());
    let to_a = a.actor();
    let asks = move || {
        Plan::ask(to_a, Msg::Keep)
            .timeout(ms(20))
            .on_ok_value(Msg::Say(1))
            .on_error_value(Msg::Say(2))
    };
    a.tell(does(asks)).unwrap();
    system.run_until_idle();
    hand.advance(ms(12));
    system.run_until_idle();
    assert_eq!(found(&system).len(), usize::from(FINDS));
}

#[test]
fn on_threads_a_circle_is_found_while_others_work() {
    if !FINDS {
        return;
    }
    let system = threads(2);
    let outcomes = Outcomes::default();
    let actors: Vec<_> = (0..3).map(|_| spawn(&system, &Log::new())).collect();
    close_a_circle(&actors, &outcomes);
    until("the circle is found", || !system.ask_circles().is_empty());
    assert_eq!(system.ask_circles()[0].actors.len(), 3);
}

#[cfg(feature = "testkit")]
mod simulated {
    use super::*;
    use mainspring::testkit::Sim;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn left_in(allow: bool) -> Result<usize, String> {
        let mut sim = Sim::new(1);
        if allow {
            sim.allow("ask circle");
        }
        let actors: Vec<_> = (0..2).map(|_| spawn(sim.system(), &Log::new())).collect();
        close_a_circle(&actors, &Outcomes::default());
        let run = AssertUnwindSafe(|| {
            sim.run_for(ms(900));
            sim.system().ask_circles().len()
        });
        catch_unwind(run).map_err(|payload| *payload.downcast::<String>().unwrap())
    }

    #[test]
    fn a_simulation_fails_for_a_circle_that_is_left_and_names_it() {
        quiet_panics();
        let said = left_in(false).unwrap_err();
        assert!(said.contains("a circle of asks is left: actor "), "{said}");
        assert_eq!(said.matches("common::Script").count(), 2, "{said}");
        assert_eq!(left_in(true), Ok(1));
    }
}
