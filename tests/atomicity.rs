//! A turn takes effect as a whole or not at all.

mod common;
use common::*;
use mainspring::config::WhenFull;
use mainspring::prelude::*;
use mainspring::{Cause, Config as C};
use std::time::Duration;

/// A plan that says 1, tells `other` 2, arms a timer, spawns a child and ends with `last`.
fn much(other: ActorRef<Msg>, children: Log, last: Plan<Script>) -> Plan<Script> {
    let child = Tape::new(&children).start(|_| say(9));
    say(1)
        .and(Plan::tell(other, Msg::Say(2)))
        .and(Plan::after("t", ms(1), Msg::Say(3)))
        .and(Plan::<Script>::spawn(Script, child).then(|child| Plan::tell(child, Msg::Say(4))))
        .and(last)
}

/// Runs `much(last)` and returns what the actor, its peer and its child said, and who lives.
fn outcome(
    last: impl FnOnce(ActorRef<Msg>) -> Plan<Script> + Send + 'static,
) -> (Vec<u64>, Vec<u64>, Vec<u64>, u64) {
    quiet_panics();
    let (system, hand) = stepped();
    let (mine, its, children) = (Log::new(), Log::new(), Log::new());
    let one = spawn(&system, &mine);
    let other = spawn(&system, &its);
    let (to, log) = (other.actor(), children.clone());
    assert!(
        one.tell(Msg::Do(Box::new(move |_| much(to, log, last(to)))))
            .is_ok()
    );
    system.run_until_idle();
    hand.advance(ms(10));
    system.run_until_idle();
    (mine.said(), its.said(), children.said(), system.actors())
}

#[test]
fn a_committed_turn_has_all_its_effects() {
    let (mine, its, children, live) = outcome(|_| Plan::none());
    assert_eq!(
        (mine, its, children, live),
        (vec![1, 3], vec![2], vec![9, 4], 3)
    );
}

#[test]
fn a_refused_event_undoes_the_whole_turn() {
    let (mine, its, children, live) = outcome(|_| say(5).and(Plan::emit(Event::Refuse)));
    assert_eq!((mine, its, children, live), (vec![], vec![], vec![], 2));
}

#[test]
fn a_panic_in_an_event_lets_nothing_out() {
    let (_, its, children, live) = outcome(|_| Plan::emit(Event::Panic));
    assert_eq!((its, children, live), (vec![], vec![], 1));
}

#[test]
fn a_panic_in_the_handler_lets_nothing_out() {
    let (mine, its, children, live) = outcome(|_| panic!("on purpose"));
    assert_eq!((mine, its, children, live), (vec![], vec![], vec![], 1));
}

#[test]
fn an_address_of_another_system_fails_the_whole_turn() {
    let (foreign, _) = stepped();
    let log = Log::new();
    let stranger = spawn(&foreign, &log).actor();
    let (mine, its, children, live) = outcome(move |_| Plan::tell(stranger, Msg::Say(6)));
    foreign.run_until_idle();
    assert_eq!((mine, its, children, live), (vec![], vec![], vec![], 2));
    assert_eq!(log.said(), []);
}

#[test]
fn a_single_message_to_another_system_fails_its_turn() {
    let (foreign, _) = stepped();
    let (log, mine) = (Log::new(), Log::new());
    let stranger = spawn(&foreign, &log).actor();
    let (system, _) = stepped();
    let one = spawn(&system, &mine);
    one.tell(does(move || say(1).and(Plan::tell(stranger, Msg::Say(6)))))
        .unwrap();
    system.run_until_idle();
    foreign.run_until_idle();
    assert_eq!((mine.said(), log.said()), (vec![], vec![]));
    assert_eq!(system.dead_letters()[0].cause, Cause::Foreign);
}

#[test]
fn more_actors_than_there_may_be_fail_the_whole_turn() {
    let (system, _) = stepped_with(C::builder().max_actors(3));
    let (log, its, children) = (Log::new(), Log::new(), Log::new());
    let one = spawn(&system, &log);
    let other = spawn(&system, &its).actor();
    let many = {
        let children = children.clone();
        does(move || {
            let child = || Plan::<Script>::spawn(Script, Tape::new(&children).start(|_| say(9)));
            say(1)
                .and(Plan::tell(other, Msg::Say(2)))
                .and(child())
                .and(child())
        })
    };
    one.tell(many).unwrap();
    system.run_until_idle();
    assert_eq!(
        (log.said(), its.said(), children.said()),
        (vec![], vec![], vec![])
    );
    assert_eq!(system.actors(), 2);
    assert!(matches!(
        system.dead_letters()[0].cause,
        Cause::NotSpawned(mainspring::SpawnError::TooMany { .. })
    ));
    // The places are free again: one child fits.
    let log_of_child = children.clone();
    one.tell(does(move || {
        Plan::<Script>::spawn(Script, Tape::new(&log_of_child).start(|_| say(9))).into()
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!((children.said(), system.actors()), (vec![9], 3));
}

#[test]
fn a_full_target_under_refuse_fails_the_whole_turn_and_no_place_is_lost() {
    let (system, _) = stepped_with(
        C::builder()
            .mailbox_capacity(2)
            .mailbox_when_full(WhenFull::Refuse),
    );
    let (mine, its) = (Log::new(), Log::new());
    let one = spawn(&system, &mine);
    let roomy = spawn(&system, &its).actor();
    let full = spawn(&system, &its);
    system.run_until_idle();
    one.tell(does(Plan::none)).unwrap();
    one.tell(act(move |me| {
        // Its own mailbox holds this message only: three more never fit.
        let me = me.me();
        say(1)
            .and(Plan::tell(roomy, Msg::Say(2)))
            .and(Plan::tell(roomy, Msg::Say(3)))
            .and(Plan::tell(me, Msg::Say(4)))
    }))
    .unwrap();
    full.tell(Msg::Say(10)).unwrap();
    full.tell(Msg::Say(11)).unwrap();
    let target = full.actor();
    let turn = move || {
        say(5)
            .and(Plan::tell(roomy, Msg::Say(6)))
            .and(Plan::tell(target, Msg::Say(7)))
    };
    // The turn comes before the full one's messages are handled: it is first on the queue.
    let early = system
        .spawn(Script, Tape::new(&mine).start(move |_| turn()))
        .unwrap();
    let _ = early;
    system.run_until_idle();
    let said = its.said();
    assert!(
        said.starts_with(&[2, 3]) || said.starts_with(&[10, 11]),
        "{said:?}"
    );
    for actor in [one.actor(), roomy, full.actor()] {
        let counts = system.counts(actor).unwrap();
        assert_eq!(counts.queued, 0, "no place is lost");
        conserves(counts);
    }
}

#[test]
fn failed_turns_of_a_batch_keep_no_leased_places() {
    let (system, _) = stepped_with(C::builder().mailbox_capacity(8));
    let (mine, its) = (Log::new(), Log::new());
    let one = spawn(&system, &mine);
    let other = spawn(&system, &its);
    let to = other.actor();
    for _ in 0..4 {
        let failing = does(move || Plan::emit(Event::Refuse).and(Plan::tell(to, Msg::Say(1))));
        one.tell(failing).unwrap();
        one.tell(does(move || Plan::tell(to, Msg::Say(2)))).unwrap();
    }
    system.run_until_idle();
    assert_eq!(its.said(), [2; 4]);
    let counts = system.counts(other.actor()).unwrap();
    assert_eq!((counts.accepted, counts.queued), (4, 0));
    let counts = system.counts(one.actor()).unwrap();
    assert_eq!((counts.handled, counts.failed), (4, 4));
    conserves(counts);
}

#[test]
fn the_events_of_a_turn_that_panics_reach_no_subscriber() {
    quiet_panics();
    let (system, _) = stepped();
    let (mine, its, heard) = (Log::new(), Log::new(), Log::new());
    let one = spawn(&system, &mine);
    let other = spawn(&system, &its);
    let listener = spawn(&system, &heard);
    for publisher in [one.actor(), other.actor()] {
        let subscribe = move || {
            Plan::subscribe::<Script>(publisher, |event| match event {
                Event::Say(number) => Msg::Say(number),
                _ => Msg::Say(0),
            })
        };
        listener.tell(does(subscribe)).unwrap();
    }
    system.run_until_idle();
    one.tell(does(|| say(1).and(Plan::emit(Event::Panic))))
        .unwrap();
    other.tell(Msg::Say(2)).unwrap();
    system.run_until_idle();
    assert_eq!(heard.said(), [2], "1 was never committed");
}

#[test]
fn replies_of_a_failed_turn_end_their_asks_as_failed() {
    quiet_panics();
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    let failing = |reply: Reply<u64>| {
        Msg::Do(Box::new(move |_| {
            Plan::emit(Event::Refuse).and(Plan::reply(reply, 1))
        }))
    };
    let ask = one.ask(failing).timeout(Duration::from_secs(1));
    system.run_until_idle();
    assert_eq!(ask.wait(), Err(AskError::Panicked));
}
