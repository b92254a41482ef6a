//! A supervisor that a program writes itself: an ordinary behavior, with plans.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{
    Change, ChildNews, ChildSpec, Children, Restart, Strategy, Supervisor, SupervisorMessage, Terms,
};
use mainspring::{ActorRef, Address};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

/// Keeps two children alive, one after the other, and counts how often it did.
#[derive(Clone, Copy)]
struct Keeping;

#[derive(Clone)]
struct Kept {
    log: Log,
    /// Those that live, in the order in which they were made.
    children: Vec<Address>,
    restarts: u32,
    closing: bool,
}

enum Happened {
    Came(Address),
    Restarted,
    Went(Address),
    Closing,
}

enum ToKeeper {
    News(ChildNews),
    Again(Address),
    Close,
}

impl Machine for Kept {
    type Event = Happened;
    fn apply(&mut self, event: Happened) {
        match event {
            Happened::Came(child) => self.children.push(child),
            Happened::Restarted => self.restarts += 1,
            Happened::Went(child) => self.children.retain(|other| *other != child),
            Happened::Closing => self.closing = true,
        }
    }
}

/// Ends the last of those children, or the supervisor after the last.
fn close(children: &[Address]) -> Plan<Keeping> {
    children
        .last()
        .map_or_else(Plan::stop, |last| Plan::stop_tree(*last))
}

impl Behavior for Keeping {
    type Machine = Kept;
    type Message = ToKeeper;

    fn stop_tree() -> Option<ToKeeper> {
        Some(ToKeeper::Close)
    }

    fn on_start(&self, kept: Snapshot<Self>) -> Plan<Self> {
        [1, 2].into_iter().fold(Plan::none(), |plan, number| {
            let log = kept.log.clone();
            let name = format!("kept {number}");
            let step = Plan::supervise::<Script>(
                move |_| (Script, last_word(&log, number)),
                ToKeeper::News,
            );
            let child = step.child();
            plan.and(step.named(&name))
                .and(Plan::restart(child))
                .and(Plan::emit(Happened::Came(child.address())))
        })
    }

    fn on_message(&self, message: ToKeeper, kept: Snapshot<Self>) -> Plan<Self> {
        match message {
            ToKeeper::Close => Plan::emit(Happened::Closing).and(close(&kept.children)),
            ToKeeper::Again(child) => Plan::restart(child).and(Plan::emit(Happened::Restarted)),
            ToKeeper::News(news) => match news.change {
                Change::Parked(_) if kept.closing => Plan::end(news.child),
                Change::Parked(_) => {
                    Plan::after("again", Duration::from_secs(1), ToKeeper::Again(news.child))
                }
                Change::Ended(_) => {
                    let left: Vec<Address> = kept.children.clone();
                    let left: Vec<Address> = left
                        .into_iter()
                        .filter(|other| *other != news.child)
                        .collect();
                    let next = if kept.closing {
                        close(&left)
                    } else {
                        Plan::none()
                    };
                    Plan::emit(Happened::Went(news.child)).and(next)
                }
                _ => Plan::none(),
            },
        }
    }
}

/// Says its number when it stops.
fn last_word(log: &Log, number: u64) -> Tape {
    Tape::new(log).stop(move |_, _| say(number))
}

fn kept(log: &Log) -> Kept {
    Kept {
        log: log.clone(),
        children: Vec::new(),
        restarts: 0,
        closing: false,
    }
}

fn find(system: &System, name: &str) -> ActorRef<Msg> {
    system
        .whereis::<Msg>(name)
        .expect("it has its name")
        .actor()
}

#[test]
fn a_supervisor_of_ones_own_restarts_its_children_in_their_places() {
    let (system, hand) = stepped();
    let log = Log::new();
    let keeper = system.spawn(Keeping, kept(&log)).unwrap();
    system.run_until_idle();
    let one = find(&system, "kept 1");
    let handle = system.handle(one).unwrap();
    assert!(handle.tell(does(|| panic!("boom"))).is_ok());
    assert!(handle.tell(Msg::Say(10)).is_ok());
    system.run_until_idle();
    assert!(log.said().is_empty(), "it waits for its supervisor");
    hand.advance(Duration::from_secs(2));
    system.run_until_idle();
    assert_eq!(log.said(), [10]);
    assert_eq!(find(&system, "kept 1"), one);
    let asked = keeper.snapshot();
    system.run_until_idle();
    assert_eq!(asked.wait().unwrap().restarts, 1);
}

#[test]
fn a_shutdown_goes_by_the_tree_of_a_supervisor_of_ones_own() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let _keeper = system.spawn(Keeping, kept(&log)).unwrap();
    let _other = system.spawn(Script, last_word(&log, 9)).unwrap();
    system.run_until_idle();
    // What a child was sent before is handled first.
    let one = system.handle(find(&system, "kept 1")).unwrap();
    assert!(one.tell(Msg::Say(10)).is_ok());
    let outcome = system.shutdown(LONG);
    assert!(outcome.is_clean(), "{outcome}");
    assert_eq!(log.said(), [10, 2, 1, 9], "in reverse, then the others");
}

#[test]
fn a_supervisor_of_ones_own_stops_its_tree_as_the_child_of_another() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let inner = {
        let log = log.clone();
        ChildSpec::new("inner", move |_| (Keeping, kept(&log)))
    };
    let after = {
        let log = log.clone();
        ChildSpec::new("after", move |_| (Script, last_word(&log, 3)))
    };
    let top = system
        .spawn(
            Supervisor,
            Children::new(Strategy::OneForOne, [inner, after]),
        )
        .unwrap();
    system.run_until_idle();
    let down = top.monitor();
    assert!(top.tell(SupervisorMessage::Stop).is_ok());
    system.run_until_idle();
    assert!(down.wait().exit.is_normal());
    assert_eq!(log.said(), [3, 2, 1]);
    assert_eq!(system.actors(), 0);
}

/// Supervised as a transient child, unless its spec says otherwise.
#[derive(Clone, Copy)]
struct Once;

impl Behavior for Once {
    type Machine = Tape;
    type Message = ();
    const SUPERVISION: Terms = Terms {
        restart: Restart::Transient,
        ..Terms::DEFAULT
    };
    fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
        Plan::stop()
    }
    fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> {
        Plan::none()
    }
}

#[test]
fn a_behavior_says_how_it_is_supervised_and_a_spec_overrides_it() {
    for (spec, starts) in [(None, 1), (Some(Restart::Permanent), 3)] {
        let (system, hand) = stepped();
        let log = Log::new();
        let make = {
            let log = log.clone();
            move |incarnation: u32| {
                log.say(u64::from(incarnation));
                (Once, Tape::new(&log))
            }
        };
        let child = ChildSpec::new("once", make);
        let child = match spec {
            Some(restart) => child.restart(restart),
            None => child,
        };
        let _top = system
            .spawn(Supervisor, Children::new(Strategy::OneForOne, [child]))
            .unwrap();
        system.run_until_idle();
        // The first restart waits 1 s at most, the second 2 s.
        for wait in [1, 2] {
            hand.advance(Duration::from_secs(wait));
            system.run_until_idle();
        }
        assert_eq!(log.len(), starts);
    }
}
