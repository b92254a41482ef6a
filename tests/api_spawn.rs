//! The promise: an actor gets the mailbox, the name and the thread that it asks for, its address
//! before it starts, and nothing at all when one of them cannot be had.

#![cfg(not(loom))]

use mainspring::config::Overflow;
use mainspring::prelude::*;
use mainspring::{Cause, Down, NameError, Refusal, SendError, SpawnError};
use std::sync::mpsc;

/// Answers with the name of the thread that runs it, or makes children.
#[derive(Clone, Copy)]
struct Worker;

#[derive(Default)]
struct Heard(Vec<u64>);

impl Machine for Heard {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.0.push(number);
    }
    fn try_apply(&mut self, number: u64) -> Result<(), Refusal> {
        if number == 13 {
            return Err(Refusal::new("unlucky"));
        }
        self.apply(number);
        Ok(())
    }
}

enum Job {
    Note(u64),
    Notes(Reply<Vec<u64>>),
    Thread(Reply<String>),
    /// A named child that passes a question on to the actor given.
    Child(&'static str, Reply<ActorRef<Job>>),
    BadChild(fn(mainspring::SpawnStep<Worker, Worker>) -> mainspring::SpawnStep<Worker, Worker>),
    /// As `Child`, in a turn that the machine refuses.
    Refused(&'static str),
    AskThread(ActorRef<Job>, Reply<String>),
    Answer(String, Reply<String>),
    Stop,
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

impl Behavior for Worker {
    type Machine = Heard;
    type Message = Job;
    fn on_message(&self, job: Job, heard: Snapshot<Self>) -> Plan<Self> {
        match job {
            Job::Note(number) => Plan::emit(number),
            Job::Notes(reply) => Plan::reply(reply, heard.0.clone()),
            Job::Thread(reply) => Plan::reply(reply, thread_name()),
            Job::Child(name, reply) => Plan::<Self>::spawn(Worker, Heard::default())
                .named(name)
                .capacity(2)
                .then(|child| Plan::reply(reply, child)),
            Job::BadChild(options) => options(Plan::<Self>::spawn(Worker, Heard::default())).into(),
            Job::Refused(name) => {
                Plan::emit(13).and(Plan::<Self>::spawn(Worker, Heard::default()).named(name))
            }
            Job::AskThread(other, reply) => Plan::<Self>::ask(other, Job::Thread)
                .on_ok(move |name| Job::Answer(name, reply))
                .into(),
            Job::Answer(name, reply) => Plan::reply(reply, name),
            Job::Stop => Plan::stop(),
        }
    }
}

fn system() -> System {
    let config = Config::builder()
        .workers(1)
        .dispatcher("side", |side| side.workers(1))
        .build()
        .unwrap();
    System::with_config(config).unwrap()
}

#[test]
fn messages_sent_before_the_start_wait_and_come_in_order() {
    let system = system();
    let held = system.prepare(Worker, Heard::default()).hold().unwrap();
    for number in 0..5 {
        held.tell(Job::Note(number)).unwrap();
    }
    assert_eq!(system.counts(held.actor()).unwrap().handled, 0);
    let worker = held.start();
    assert_eq!(worker.ask(Job::Notes).wait(), Ok(vec![0, 1, 2, 3, 4]));
}

#[test]
fn an_actor_that_is_never_started_gives_all_back() {
    let system = system();
    let held = system
        .prepare(Worker, Heard::default())
        .name("n")
        .hold()
        .unwrap();
    let ask = held.ask(Job::Notes);
    let end = held.monitor();
    drop(held);
    assert_eq!(ask.wait(), Err(AskError::Stopped));
    assert!(matches!(
        end.wait(),
        Down {
            exit: Exit::Killed,
            ..
        }
    ));
    assert!(system.whereis::<Job>("n").is_none());
    assert_eq!(system.dead_letter_count(), 1);
}

#[test]
fn the_capacity_asked_for_is_exact() {
    let system = system();
    let held = system
        .prepare(Worker, Heard::default())
        .capacity(3)
        .hold()
        .unwrap();
    for number in 0..3 {
        held.tell(Job::Note(number)).unwrap();
    }
    assert!(matches!(
        held.tell(Job::Note(3)),
        Err(SendError::Full(Job::Note(3)))
    ));
    for bad in [0, 32_769, usize::MAX] {
        let refused = system
            .prepare(Worker, Heard::default())
            .capacity(bad)
            .start();
        assert_eq!(refused.err(), Some(SpawnError::Capacity(bad)));
    }
}

#[test]
fn a_mailbox_that_drops_the_newest_counts_what_it_dropped() {
    let system = system();
    let worker = system
        .prepare(Worker, Heard::default())
        .capacity(1)
        .overflow(Overflow::DropNewest)
        .hold()
        .unwrap();
    worker.tell(Job::Note(1)).unwrap();
    worker.tell(Job::Note(2)).unwrap();
    assert_eq!(system.dead_letters()[0].cause, Cause::Full);
    let worker = worker.start();
    // The one place may still be taken by the message in hand.
    let notes = loop {
        match worker.ask(Job::Notes).wait() {
            Err(AskError::Refused) => std::thread::yield_now(),
            answer => break answer,
        }
    };
    assert_eq!(notes, Ok(vec![1]));
}

#[test]
fn actors_run_on_the_dispatcher_that_they_name_and_talk_across() {
    let system = system();
    let here = system.spawn(Worker, Heard::default()).unwrap();
    let there = system
        .prepare(Worker, Heard::default())
        .dispatcher("side")
        .start()
        .unwrap();
    let ask = here.ask(|reply| Job::AskThread(there.actor(), reply));
    assert_eq!(ask.wait().unwrap(), "side-0");
    let ask = there.ask(|reply| Job::AskThread(here.actor(), reply));
    assert_eq!(ask.wait().unwrap(), "mainspring-0");
    let unknown = system
        .prepare(Worker, Heard::default())
        .dispatcher("none")
        .start();
    let error = unknown.err().unwrap();
    assert_eq!(error, SpawnError::NoDispatcher("none".to_owned()));
    assert_eq!(error.to_string(), "there is no dispatcher named \"none\"");
}

#[test]
fn an_own_thread_runs_one_actor_and_ends_with_it() {
    let system = system();
    for round in 0..20 {
        let own = system
            .prepare(Worker, Heard::default())
            .own_thread()
            .start()
            .unwrap();
        let name = own.ask(Job::Thread).wait().unwrap();
        assert!(name.contains("own"), "{name}");
        let child = own.ask(|reply| Job::Child("child", reply)).wait().unwrap();
        let child = system.handle(child).unwrap();
        assert_eq!(child.ask(Job::Thread).wait().unwrap(), "mainspring-0");
        let ends = [own.monitor(), child.monitor()];
        own.tell(Job::Stop).unwrap();
        child.stop();
        for end in ends {
            assert_eq!(end.wait().exit, Exit::Normal);
        }
        assert_eq!(system.actors(), 0, "round {round}");
    }
}

#[test]
fn a_name_finds_its_actor_by_the_right_type_only_and_is_free_before_the_end_is_known() {
    let system = system();
    let first = system
        .prepare(Worker, Heard::default())
        .name("one")
        .start()
        .unwrap();
    assert_eq!(system.whereis::<Job>("one").unwrap().actor(), first.actor());
    assert!(system.whereis::<u64>("one").is_none());
    assert!(system.whereis::<Job>("two").is_none());
    first.register("two").unwrap();
    assert!(system.whereis::<Job>("two").is_some());
    let taken = system.prepare(Worker, Heard::default()).name("one").start();
    let taken = taken.err().unwrap();
    assert_eq!(
        taken,
        SpawnError::Name(NameError::Taken(first.actor().address()))
    );
    let end = first.monitor();
    first.stop();
    end.wait();
    for name in ["one", "two"] {
        let again = system.prepare(Worker, Heard::default()).name(name).start();
        assert!(again.is_ok(), "{name}");
    }
}

#[test]
fn names_are_bounded_in_length_and_number() {
    let config = Config::builder().workers(1).names_max(2).build().unwrap();
    let system = System::with_config(config).unwrap();
    let worker = system.spawn(Worker, Heard::default()).unwrap();
    assert_eq!(worker.register(""), Err(NameError::Length(0)));
    assert_eq!(
        worker.register(&"n".repeat(256)),
        Err(NameError::Length(256))
    );
    worker.register(&"n".repeat(255)).unwrap();
    worker.register("a").unwrap();
    assert_eq!(worker.register("b"), Err(NameError::TooMany { limit: 2 }));
}

#[test]
fn a_child_gets_what_its_plan_asks_for() {
    let system = system();
    let parent = system.spawn(Worker, Heard::default()).unwrap();
    let child = parent.ask(|reply| Job::Child("kid", reply)).wait().unwrap();
    assert_eq!(system.whereis::<Job>("kid").unwrap().actor(), child);
}

#[test]
fn a_turn_whose_child_cannot_be_had_fails_and_leaves_nothing() {
    let system = system();
    let parent = system
        .prepare(Worker, Heard::default())
        .name("taken")
        .start()
        .unwrap();
    let taken = NameError::Taken(parent.actor().address());
    type Options =
        fn(mainspring::SpawnStep<Worker, Worker>) -> mainspring::SpawnStep<Worker, Worker>;
    let bad: [(Options, SpawnError); 3] = [
        (
            |child| child.on("none"),
            SpawnError::NoDispatcher("none".to_owned()),
        ),
        (|child| child.capacity(0), SpawnError::Capacity(0)),
        (|child| child.named("taken"), SpawnError::Name(taken)),
    ];
    for (options, error) in bad {
        parent.tell(Job::BadChild(options)).unwrap();
        assert_eq!(parent.ask(Job::Notes).wait(), Ok(vec![]));
        let letter = system.dead_letters().pop().unwrap();
        assert_eq!(letter.cause, Cause::NotSpawned(error));
    }
    parent.tell(Job::Refused("ghost")).unwrap();
    assert_eq!(parent.ask(Job::Notes).wait(), Ok(vec![]));
    assert!(system.whereis::<Job>("ghost").is_none());
    assert_eq!(system.dead_letter_count(), 4);
    let end = parent.monitor();
    parent.stop();
    end.wait();
    while system.actors() > 0 {
        std::thread::yield_now(); // the children that never ran end on their own
    }
}

#[test]
fn a_child_may_have_a_dispatcher_or_a_thread_of_its_own() {
    #[derive(Clone, Copy)]
    struct Parent;
    struct Told(mpsc::Sender<String>);
    impl Machine for Told {
        type Event = ();
        fn apply(&mut self, (): ()) {}
    }
    #[derive(Clone, Copy)]
    struct Child;
    impl Behavior for Child {
        type Machine = Told;
        type Message = ();
        fn on_message(&self, (): (), told: Snapshot<Self>) -> Plan<Self> {
            told.0.send(thread_name()).unwrap();
            Plan::stop()
        }
    }
    impl Behavior for Parent {
        type Machine = Told;
        type Message = bool;
        fn on_message(&self, own: bool, told: Snapshot<Self>) -> Plan<Self> {
            let child = Plan::<Self>::spawn(Child, Told(told.0.clone()));
            let child = if own {
                child.own_thread()
            } else {
                child.on("side")
            };
            child.then(|child| Plan::tell(child, ()))
        }
    }
    let system = system();
    let (tell, told) = mpsc::channel();
    let parent = system.spawn(Parent, Told(tell)).unwrap();
    parent.tell(false).unwrap();
    assert_eq!(told.recv().unwrap(), "side-0");
    parent.tell(true).unwrap();
    assert!(told.recv().unwrap().contains("own"));
}

#[test]
fn a_stepped_system_runs_every_actor_on_its_host() {
    let (clock, _) = mainspring::timer::Clock::manual();
    let config = Config::builder()
        .dispatcher("side", |side| side.workers(2))
        .build()
        .unwrap();
    let system = System::stepped(config, clock).unwrap();
    let host = thread_name();
    let side = system
        .prepare(Worker, Heard::default())
        .dispatcher("side")
        .start()
        .unwrap();
    let own = system
        .prepare(Worker, Heard::default())
        .own_thread()
        .start()
        .unwrap();
    let asks = [side.ask(Job::Thread), own.ask(Job::Thread)];
    system.run_until_idle();
    for ask in asks {
        assert_eq!(ask.wait().unwrap(), host);
    }
}
