//! The system's own actor makes actors for whoever asks; links from the first turn on.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::{NameError, Spawn, SpawnError, SystemMessage};

/// A plan that asks the system's actor for one, which says 7; what comes of it is said.
fn asks_for_one(
    root: ActorRef<SystemMessage>,
    name: &'static str,
    log: &Log,
    parent: ActorRef<Msg>,
) -> Plan<Script> {
    let child = Spawn::new(Script, Tape::new(log))
        .named(name)
        .linked_to(parent);
    Plan::ask(root, |reply| SystemMessage::spawn(child, reply))
        .on_ok(|made| match made {
            Ok(child) => does(move || say(1).and(Plan::tell(child, Msg::Say(7)))),
            Err(SpawnError::Name(NameError::Taken(_))) => Msg::Say(2),
            Err(error) => does(move || panic!("{error}")),
        })
        .on_error(|error| does(move || panic!("{error}")))
}

#[test]
fn the_system_makes_actors_for_those_who_ask() {
    let (system, _hand) = stepped();
    let root = system.actor().unwrap().actor();
    assert_eq!(system.actor().unwrap().actor(), root, "there is one");
    let (log, child_log) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    for _ in 0..2 {
        let child_log = child_log.clone();
        one.tell(act(move |me| {
            asks_for_one(root, "child", &child_log, me.me())
        }))
        .unwrap();
        system.run_until_idle();
    }
    assert_eq!(log.said(), [1, 2], "made, and then the name was taken");
    assert_eq!(child_log.said(), [7]);
    assert_eq!(system.actors(), 3);
    // It is linked: the end of its parent is its own.
    let child = system.whereis::<Msg>("child").unwrap();
    let end = child.monitor();
    one.kill();
    system.run_until_idle();
    assert_eq!(end.wait().exit, Exit::Linked(one.actor().address()));
    // A parent that has ended has no children.
    let orphan = Spawn::new(Script, Tape::default()).linked_to(one.actor());
    let orphan = system
        .actor()
        .unwrap()
        .ask(|reply| SystemMessage::spawn(orphan, reply));
    system.run_until_idle();
    let orphan = orphan.wait().unwrap().unwrap();
    assert!(!system.handle(orphan).unwrap().is_alive());
    assert_eq!(system.actors(), 1);
}

#[test]
fn what_cannot_be_made_is_an_answer() {
    let (system, _hand) = stepped_with(Config::builder().max_actors(1));
    let root = system.actor().unwrap();
    let spawn = Spawn::new(Script, Tape::default());
    let made = root.ask(|reply| SystemMessage::spawn(spawn, reply));
    system.run_until_idle();
    let error = made.wait().unwrap().unwrap_err();
    assert_eq!(error, SpawnError::TooMany { limit: 1 });
    assert!(root.is_alive());
}

#[test]
fn many_threads_find_one_system_actor_and_a_stranger_of_that_name_is_an_error() {
    let system = threads(2);
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads = [0; 4].map(|_| scope.spawn(|| system.actor().unwrap().actor()));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert!(found.iter().all(|one| *one == found[0]));
    until("those that found the name taken are gone", || {
        system.actors() == 1
    });
    let (other, _hand) = stepped();
    let stranger = spawn(&other, &Log::new());
    stranger.register("system").unwrap();
    let taken = NameError::Taken(stranger.actor().address());
    assert_eq!(other.actor().unwrap_err(), SpawnError::Name(taken));
}

#[test]
fn a_child_may_be_linked_from_its_first_turn_on() {
    quiet_panics();
    for child_fails in [true, false] {
        let (system, _hand) = stepped();
        let parent = spawn(&system, &Log::new());
        parent
            .tell(does(move || {
                let tape = Tape::default().start(move |_| match child_fails {
                    true => Plan::emit(Event::Panic),
                    false => Plan::none(),
                });
                Plan::spawn(Script, tape).linked().named("child").into()
            }))
            .unwrap();
        let end = parent.monitor();
        system.run_until_idle();
        if child_fails {
            assert!(matches!(end.wait().exit, Exit::Linked(_)));
        } else {
            let child = system.whereis::<Msg>("child").unwrap();
            parent.kill();
            system.run_until_idle();
            assert!(!child.is_alive());
        }
        assert_eq!(system.actors(), 0);
    }
    // A child that is not linked lives on.
    let (system, _hand) = stepped();
    let parent = spawn(&system, &Log::new());
    parent
        .tell(does(|| Plan::spawn(Script, Tape::default()).into()))
        .unwrap();
    system.run_until_idle();
    parent.kill();
    system.run_until_idle();
    assert_eq!(system.actors(), 1);
}
