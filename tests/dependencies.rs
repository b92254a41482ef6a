//! Dependencies by address: found when the actor is made, or an error that names them.

#![cfg(feature = "macros")]

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{Children, Strategy, Supervision, Supervisor};
use mainspring::{
    ActorPath, Cause, Component, Dependencies, DependencyError, PathError, SpawnError, Unresolved,
    actor_path,
};
use std::time::Duration;

#[derive(Clone, Copy, Dependencies)]
struct Needs {
    #[actor("actor://system/backend/main")]
    backend: ActorRef<Msg>,
    #[actor("actor://mainspring/log")]
    log: Option<ActorRef<Msg>>,
}

/// Passes numbers on.
#[derive(Clone, Copy)]
struct Front {
    needs: Needs,
}

impl Behavior for Front {
    type Machine = Tape;
    type Message = u64;
    fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
        let log = self.needs.log.map(|log| Plan::tell(log, Msg::Say(number)));
        mainspring::plan![
            Plan::tell(self.needs.backend, Msg::Say(number)),
            log.unwrap_or_default(),
        ]
    }
}

const FRONT: Component<Needs, Front> = Component::new(|needs| Front { needs });

fn named(system: &System, log: &Log, name: &str) -> Actor<Script> {
    let actor = system.prepare(Script, Tape::new(log)).name(name).start();
    actor.unwrap()
}

fn front(system: &System) -> Result<Actor<Front>, SpawnError> {
    FRONT.spawn(system, Tape::default())
}

#[test]
fn one_definition_makes_many_actors_with_what_they_depend_on() {
    let (system, _hand) = stepped();
    let (said, logged) = (Log::new(), Log::new());
    let _backend = named(&system, &said, "backend/main");
    let first = front(&system).unwrap();
    first.tell(1).unwrap();
    system.run_until_idle();
    let _log = named(&system, &logged, "log");
    let second = front(&system).unwrap();
    second.tell(2).unwrap();
    first.tell(3).unwrap();
    system.run_until_idle();
    let mut all = said.take();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
    assert_eq!(logged.take(), [2], "the first was made without a log");
}

#[test]
fn a_missing_dependency_is_an_error_that_names_it_and_its_path() {
    let (system, _hand) = stepped();
    let error = front(&system).err().unwrap();
    assert_eq!(
        error.to_string(),
        "dependency `backend` at actor://system/backend/main: no actor holds this name"
    );
    let SpawnError::Dependency(error) = error else {
        panic!("{error:?}");
    };
    let DependencyError {
        dependency,
        path,
        why,
        ..
    } = *error;
    assert_eq!(
        (dependency, path, why),
        (
            "backend",
            actor_path!("actor://system/backend/main"),
            Unresolved::NoActor
        )
    );
    assert_eq!(system.actors(), 0, "nothing was made");
}

#[test]
fn a_plan_makes_a_child_with_what_it_depends_on_or_fails_as_a_whole() {
    let (system, _hand) = stepped();
    let (said, log) = (Log::new(), Log::new());
    let parent = spawn(&system, &log);
    let make = || {
        does(|| {
            let child = FRONT.child::<Script>(Tape::default()).named("front");
            say(1).and(child.then(|child| Plan::tell(child, 7)))
        })
    };
    parent.tell(make()).unwrap();
    system.run_until_idle();
    assert!(log.said().is_empty(), "the turn failed");
    let [letter] = &system.dead_letters()[..] else {
        panic!("one dead letter");
    };
    let text = "a child could not be made: dependency `backend` at actor://system/backend/main: no \
                actor holds this name";
    assert_eq!(letter.cause.to_string(), text);
    assert!(matches!(
        &letter.cause,
        Cause::NotSpawned(SpawnError::Dependency(_))
    ));
    assert_eq!(system.actors(), 1);
    let _backend = named(&system, &said, "backend/main");
    parent.tell(make()).unwrap();
    system.run_until_idle();
    assert_eq!((log.take(), said.take()), (vec![1], vec![7]));
    // Whoever looks at a plan without a system makes nothing.
    assert_eq!(
        FRONT.child::<Script>(Tape::default()).child().address(),
        Plan::<Script>::spawn(Script, Tape::default())
            .child()
            .address()
    );
}

#[test]
fn a_supervised_component_looks_for_its_dependencies_at_each_start() {
    let (system, hand) = stepped();
    let (said, logged) = (Log::new(), Log::new());
    let spec = FRONT.child_spec("front", |_| Tape::default());
    let children = Children::new(Strategy::OneForOne, [spec.named("front")]);
    let mut story = system.events::<Supervision>(32);
    let supervisor = system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let crash = std::iter::from_fn(|| story.try_next()).find_map(|(_, event)| match event {
        Supervision::Crashed { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    let text = "panicked: dependency `backend` at actor://system/backend/main: no actor holds this \
                name";
    assert_eq!(crash.as_deref(), Some(text));
    // It waits for its next start, with its mailbox; what it needs comes meanwhile.
    let front = system.whereis::<u64>("front").unwrap();
    front.tell(1).unwrap();
    let _backend = named(&system, &said, "backend/main");
    hand.advance(Duration::from_secs(2));
    system.run_until_idle();
    assert_eq!(said.take(), [1]);
    // The next incarnation finds what has come since.
    let _log = named(&system, &logged, "log");
    front.tell(2).unwrap();
    system.run_until_idle();
    front.kill();
    system.run_until_idle();
    hand.advance(Duration::from_secs(4));
    front.tell(3).unwrap();
    system.run_until_idle();
    assert_eq!((said.take(), logged.take()), (vec![2, 3], vec![3]));
    assert!(supervisor.is_alive());
}

#[test]
fn an_actor_that_takes_other_messages_is_no_dependency_not_even_an_optional_one() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let _backend = named(&system, &log, "backend/main");
    let other = front(&system).unwrap();
    other.register("log").unwrap(); // takes numbers
    match front(&system).err() {
        Some(SpawnError::Dependency(error)) => {
            assert_eq!(error.dependency, "log");
            assert_eq!(error.why, Unresolved::OtherMessages);
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_path_of_another_system_is_not_found_in_this_one() {
    let log = Log::new();
    let path = actor_path!("actor://mainspring/log");
    let (system, _hand) = stepped();
    let actor = named(&system, &log, "log");
    assert_eq!(system.resolve(path), Ok(actor.actor()));
    let (other, _hand) = stepped_with(Config::builder().name("other"));
    let _same_name = named(&other, &log, "log");
    let found = other.resolve::<Msg>(path);
    assert_eq!(found, Err(Unresolved::OtherSystem));
    assert_eq!(
        other.resolve::<Msg>(actor_path!("actor://system/nobody")),
        Err(Unresolved::NoActor)
    );
}

#[test]
fn what_is_not_well_formed_is_no_path() {
    let long = format!("actor://a/{}", "x".repeat(256));
    let cases = [
        ("", PathError::NoScheme),
        ("actor:/a/b", PathError::NoScheme),
        ("Actor://a/b", PathError::NoScheme),
        ("actor:///b", PathError::NoSystem),
        ("actor://", PathError::NoSystem),
        ("actor://a", PathError::NoName),
        ("actor://a/", PathError::NoName),
        ("actor://a b/c", PathError::Character { at: 9 }),
        ("actor://a/b c", PathError::Character { at: 11 }),
        ("actor://a/b\n", PathError::Character { at: 11 }),
        ("actor://a//b", PathError::EmptyPart { at: 10 }),
        ("actor://a/b/", PathError::EmptyPart { at: 12 }),
        (&long, PathError::TooLong { bytes: 256 }),
    ];
    for (text, error) in cases {
        assert_eq!(ActorPath::parse(text), Err(error), "{text:?}");
    }
    for text in [
        &long[..long.len() - 1],
        "actor://a-1._/b/c.d?#",
        "actor://a/größe",
    ] {
        let path = ActorPath::parse(text).unwrap();
        assert_eq!(path.to_string(), text);
    }
    let error = PathError::Character { at: 9 }.to_string();
    assert!(error.ends_with("at byte 9"), "{error}");
}

#[test]
fn an_address_stays_valid_over_a_restart_of_the_dependency() {
    use mainspring::supervise::{Backoff, ChildSpec, Children, Strategy, Supervisor};
    quiet_panics();
    let (system, hand) = stepped();
    let log = Log::new();
    let tape = log.clone();
    let backend = ChildSpec::new("backend", move |_| (Script, Tape::new(&tape)))
        .named("backend/main")
        .backoff(Backoff::NONE);
    let children = Children::new(Strategy::OneForOne, [backend]);
    let _supervisor = system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let front = front(&system).unwrap();
    let backend = system.whereis::<Msg>("backend/main").unwrap();
    backend.tell(does(|| panic!("on purpose"))).ok().unwrap();
    system.run_until_idle();
    hand.advance(ms(1));
    front.tell(5).unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [5]);
}
