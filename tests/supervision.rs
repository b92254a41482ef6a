//! Restarts: what stays, what ends, when, in which order, and how often.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{
    Backoff, ChildSpec, ChildStatus, Children, Decision, Restart, Strategy, Supervision,
    Supervisor, SupervisorMessage, decide,
};
use mainspring::timer::ManualClock;
use mainspring::{Address, Events};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Says what it hears, and fails when told to.
#[derive(Clone, Copy)]
struct Child;

struct State {
    log: Log,
    incarnation: u32,
    /// Whether its start hook panics.
    bad_start: bool,
    /// Whom its start hook tells something.
    greets: Option<ActorRef<Do>>,
    /// What it says at its start and end, on top of its number.
    number: u64,
}

impl State {
    fn new(log: &Log, incarnation: u32, number: u64) -> Self {
        Self {
            log: log.clone(),
            incarnation,
            bad_start: false,
            greets: None,
            number,
        }
    }
}

enum Do {
    Say(u64),
    SayIncarnation,
    Later(u64),
    Boom,
    Quit,
    Tell(ActorRef<Do>),
}

impl Machine for State {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.log.say(number);
    }
}

impl Behavior for Child {
    type Machine = State;
    type Message = Do;

    fn on_start(&self, state: Snapshot<Self>) -> Plan<Self> {
        assert!(!state.bad_start, "bad start");
        match (state.greets, state.number) {
            (Some(target), _) => Plan::tell(target, Do::Say(1)),
            (None, 0) => Plan::none(),
            (None, number) => Plan::emit(1000 + number),
        }
    }

    fn on_message(&self, message: Do, state: Snapshot<Self>) -> Plan<Self> {
        match message {
            Do::Say(number) => Plan::emit(number),
            Do::SayIncarnation => Plan::emit(u64::from(state.incarnation)),
            Do::Later(number) => Plan::after("later", ms(10), Do::Say(number)),
            Do::Boom => panic!("boom"),
            Do::Quit => Plan::stop(),
            Do::Tell(target) => Plan::tell(target, Do::Say(0)),
        }
    }

    fn on_stop(&self, _: &Exit, state: Snapshot<Self>) -> Plan<Self> {
        match state.number {
            0 => Plan::none(),
            number => Plan::emit(2000 + number),
        }
    }
}

const EXACT: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(30),
    jitter: false,
    healthy_after: Duration::from_secs(100),
};

fn child(name: &str, number: u64, log: &Log) -> ChildSpec {
    let log = log.clone();
    let make = move |incarnation| (Child, State::new(&log, incarnation, number));
    ChildSpec::new(name, make).named(name).backoff(EXACT)
}

fn supervise(system: &System, strategy: Strategy, specs: Vec<ChildSpec>) -> Actor<Supervisor> {
    let supervisor = system
        .spawn(Supervisor, Children::new(strategy, specs))
        .unwrap();
    system.run_until_idle();
    supervisor
}

fn find(system: &System, name: &str) -> Handle<Do> {
    system.whereis::<Do>(name).expect("the child has its name")
}

fn tell(system: &System, name: &str, message: Do) {
    assert!(find(system, name).tell(message).is_ok());
    system.run_until_idle();
}

fn pass(system: &System, hand: &ManualClock, time: Duration) {
    hand.advance(time);
    system.run_until_idle();
}

fn status(system: &System, supervisor: &Actor<Supervisor>) -> Vec<ChildStatus> {
    let ask = supervisor.ask(SupervisorMessage::Which);
    system.run_until_idle();
    ask.wait().unwrap()
}

#[test]
fn a_restart_keeps_address_name_and_mailbox_in_order() {
    let (system, hand) = stepped();
    let log = Log::new();
    let supervisor = supervise(&system, Strategy::OneForOne, vec![child("a", 0, &log)]);
    let a = find(&system, "a");
    for message in [Do::Say(1), Do::Boom, Do::Say(2), Do::Say(3)] {
        assert!(a.tell(message).is_ok());
    }
    system.run_until_idle();
    assert_eq!(log.said(), [1]);
    assert!(
        a.tell(Do::SayIncarnation).is_ok(),
        "a parked actor takes messages"
    );
    pass(&system, &hand, ms(999));
    assert_eq!(log.said(), [1], "before its time");
    pass(&system, &hand, ms(1));
    assert_eq!(log.said(), [1, 2, 3, 2]);
    assert_eq!(find(&system, "a").actor(), a.actor());
    let status = status(&system, &supervisor);
    assert_eq!((status[0].incarnation, status[0].crashes), (2, 1));
    assert!(status[0].runs && status[0].child == a.actor().address());
    assert_eq!(
        system.dead_letter_count(),
        1,
        "the message in hand is not retried"
    );
}

#[test]
fn no_timer_of_an_incarnation_reaches_the_next() {
    let (system, hand) = stepped();
    let log = Log::new();
    let spec = child("a", 0, &log).backoff(Backoff::NONE);
    supervise(&system, Strategy::OneForOne, vec![spec]);
    tell(&system, "a", Do::Later(1));
    tell(&system, "a", Do::Boom);
    pass(&system, &hand, ms(0));
    tell(&system, "a", Do::Later(2));
    pass(&system, &hand, ms(100));
    assert_eq!(log.said(), [2]);
}

#[test]
fn restarts_wait_twice_as_long_each_time_until_the_child_was_healthy() {
    let (system, hand) = stepped();
    let log = Log::new();
    let spec = child("a", 7, &log).intensity(100, Duration::from_secs(1));
    supervise(&system, Strategy::OneForOne, vec![spec]);
    assert_eq!(log.take(), [1007]);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        tell(&system, "a", Do::Boom);
        pass(&system, &hand, Duration::from_secs(seconds) - ms(1));
        assert_eq!(log.take(), [], "{seconds} s");
        pass(&system, &hand, ms(1));
        assert_eq!(log.take(), [1007], "{seconds} s");
    }
    pass(&system, &hand, Duration::from_secs(100));
    tell(&system, "a", Do::Boom);
    pass(&system, &hand, Duration::from_secs(1));
    assert_eq!(log.take(), [1007], "it was healthy");
}

#[test]
fn a_spent_budget_ends_the_supervisor_and_its_children_and_one_down_comes() {
    let (system, hand) = stepped();
    let log = Log::new();
    let specs = vec![child("a", 0, &log), child("b", 0, &log)];
    let supervisor = supervise(&system, Strategy::OneForOne, specs);
    let (watcher, downs) = (spawn(&system, &Log::new()), Log::new());
    let a = find(&system, "a").actor().address();
    let heard = downs.clone();
    watcher
        .tell(does(move || {
            Plan::monitor(a, move |down| {
                heard.say(u64::from(matches!(down.exit, Exit::Panicked(_))));
                Msg::Say(0)
            })
        }))
        .unwrap();
    for seconds in [1, 2, 4] {
        tell(&system, "a", Do::Boom);
        pass(&system, &hand, Duration::from_secs(seconds));
        // One budget for each child: b's crashes are its own.
        assert!(supervisor.is_alive());
    }
    tell(&system, "b", Do::Boom);
    pass(&system, &hand, Duration::from_secs(1));
    assert!(
        supervisor.is_alive() && downs.len() == 0,
        "a restart is no Down"
    );
    tell(&system, "a", Do::Boom);
    assert!(!supervisor.is_alive());
    assert_eq!(downs.said(), [1]);
    assert_eq!(system.actors(), 1, "the watcher");
    assert!(system.whereis::<Do>("a").is_none());
}

#[test]
fn a_start_that_always_panics_ends_after_its_budget() {
    let (system, hand) = stepped();
    let starts = Arc::new(AtomicU32::new(0));
    let (counted, log) = (starts.clone(), Log::new());
    let make = move |incarnation| {
        counted.fetch_add(1, Relaxed);
        assert!(incarnation % 2 == 0, "no state");
        let state = State {
            bad_start: true,
            ..State::new(&log, incarnation, 0)
        };
        (Child, state)
    };
    let spec = ChildSpec::new("bad", make).backoff(Backoff::NONE);
    let supervisor = supervise(&system, Strategy::OneForOne, vec![spec]);
    for _ in 0..20 {
        pass(&system, &hand, ms(1));
    }
    assert_eq!(starts.load(Relaxed), 4, "the first, and three restarts");
    assert!(!supervisor.is_alive());
    assert_eq!(system.actors(), 0);
}

#[test]
fn a_start_that_takes_too_long_is_a_crash() {
    let (system, hand) = stepped();
    let log = Log::new();
    let specs = vec![child("full", 0, &log)];
    let supervisor = supervise(&system, Strategy::OneForOne, specs);
    tell(&system, "full", Do::Boom);
    let full = find(&system, "full");
    while full.tell(Do::Say(1)).is_ok() {}
    // The start hook's plan waits for room at an actor that is parked.
    let target = full.actor();
    let make = move |incarnation| {
        let state = State {
            greets: (incarnation == 1).then_some(target),
            ..State::new(&Log::new(), incarnation, 0)
        };
        (Child, state)
    };
    let late = ChildSpec::new("late", make)
        .start_deadline(ms(100))
        .backoff(Backoff::NONE);
    let ask = supervisor.ask(|reply| SupervisorMessage::Start(late, reply));
    system.run_until_idle();
    pass(&system, &hand, ms(99));
    ask.wait().unwrap();
    let late =
        |status: Vec<ChildStatus>| (status[1].crashes, status[1].incarnation, status[1].runs);
    assert_eq!(late(status(&system, &supervisor)), (0, 1, false));
    pass(&system, &hand, ms(1));
    pass(&system, &hand, ms(1));
    assert_eq!(late(status(&system, &supervisor)), (1, 2, true));
}

#[test]
fn the_events_tell_of_crash_restart_and_failure() {
    let (system, hand) = stepped();
    let spec = child("a", 0, &Log::new()).intensity(1, Duration::from_secs(30));
    let supervisor = supervise(&system, Strategy::OneForOne, vec![spec]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (watcher, heard) = (spawn(&system, &Log::new()), told.clone());
    let publisher = supervisor.actor();
    watcher
        .tell(does(move || {
            Plan::subscribe::<Supervisor>(publisher, move |event| {
                heard.lock().unwrap().push(event);
                Msg::Say(0)
            })
        }))
        .unwrap();
    let a = find(&system, "a").actor().address();
    tell(&system, "a", Do::Boom);
    pass(&system, &hand, Duration::from_secs(1));
    tell(&system, "a", Do::Boom);
    let told: Vec<String> = told
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| {
            Some(match event {
                Supervision::Crashed {
                    id,
                    child,
                    incarnation,
                    reason,
                    spec,
                    ..
                } => {
                    assert_eq!((*child, &**id), (a, "a"));
                    assert!(format!("{spec:?}").contains("ChildSpec"));
                    format!("{id} crashed in {incarnation}: {reason}")
                }
                Supervision::Restarting {
                    id,
                    delay,
                    attempt,
                    reason,
                    ..
                } => {
                    format!("{id} restarts in {delay:?}, attempt {attempt}: {reason}")
                }
                Supervision::Restarted {
                    id,
                    child,
                    incarnation,
                    previous_crashes,
                    ..
                } => {
                    assert_eq!(*child, a);
                    format!("{id} is in {incarnation} after {previous_crashes}")
                }
                Supervision::Failed {
                    id,
                    final_attempt,
                    reason,
                    ..
                } => {
                    format!("{id} failed after {final_attempt}: {reason}")
                }
                _ => return None,
            })
        })
        .collect();
    assert_eq!(
        told,
        [
            "a crashed in 1: panicked: boom",
            "a restarts in 1s, attempt 1: panicked: boom",
            "a is in 2 after 1",
            "a crashed in 2: panicked: boom",
            "a failed after 1: panicked: boom",
        ]
    );
}

#[test]
fn children_start_in_order_and_stop_in_reverse() {
    let (system, _) = stepped();
    let log = Log::new();
    let specs = ["a", "b", "c"].into_iter().zip(1..);
    let specs = specs.map(|(name, number)| child(name, number, &log));
    let supervisor = supervise(&system, Strategy::OneForOne, specs.collect());
    assert_eq!(log.take(), [1001, 1002, 1003]);
    supervisor.tell(SupervisorMessage::Stop).ok().unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [2003, 2002, 2001]);
    assert_eq!(system.actors(), 0);
}

#[test]
fn a_child_that_does_not_stop_in_time_is_killed_and_those_before_it_stop_then() {
    let (system, hand) = stepped();
    let log = Log::new();
    let held = system.prepare(Child, State::new(&log, 1, 0)).capacity(1);
    let held = held.hold().unwrap();
    assert!(held.tell(Do::Say(0)).is_ok());
    let specs = vec![
        child("a", 1, &log),
        child("b", 2, &log).stop_deadline(ms(50)),
        child("c", 3, &log).stop_deadline(ms(9)),
        child("d", 4, &log),
    ];
    let supervisor = supervise(&system, Strategy::OneForOne, specs);
    log.take();
    let ends: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| find(&system, name).monitor())
        .into();
    // Neither ends before there is room for what it tells.
    for name in ["b", "c"] {
        tell(&system, name, Do::Tell(held.actor()));
    }
    assert!(supervisor.tell(SupervisorMessage::Stop).is_ok());
    system.run_until_idle();
    assert_eq!(log.take(), [2004], "the last one has stopped");
    pass(&system, &hand, ms(8));
    assert!(
        system.whereis::<Do>("c").is_some(),
        "its deadline is to come"
    );
    pass(&system, &hand, ms(2));
    assert!(system.whereis::<Do>("c").is_none(), "killed");
    // The time of the one before begins with that.
    pass(&system, &hand, ms(48));
    assert!(system.whereis::<Do>("b").is_some());
    assert!(log.said().is_empty(), "the first waits for its turn");
    pass(&system, &hand, ms(3));
    assert_eq!(log.take(), [2001], "a kill has no stop hook");
    assert!(!supervisor.is_alive());
    let exits: Vec<_> = ends.into_iter().map(|end| end.wait().exit).collect();
    let [a, b, c, d] = &exits[..] else {
        panic!("four children");
    };
    assert_eq!((b, c), (&Exit::Killed, &Exit::Killed));
    assert_eq!((a, d), (&Exit::Normal, &Exit::Normal));
}

#[test]
fn a_stop_while_a_child_waits_for_its_restart_ends_all() {
    let (system, _) = stepped();
    let log = Log::new();
    let specs = vec![child("a", 1, &log), child("b", 2, &log)];
    let supervisor = supervise(&system, Strategy::OneForOne, specs);
    let b = find(&system, "b");
    tell(&system, "b", Do::Boom);
    b.tell(Do::Say(5)).ok().unwrap();
    supervisor.tell(SupervisorMessage::Stop).ok().unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1001, 1002, 2001]);
    assert_eq!((system.actors(), system.dead_letter_count()), (0, 2));
}

#[test]
fn a_shutdown_while_a_child_waits_for_its_restart_leaves_nobody() {
    let (system, _) = stepped();
    let log = Log::new();
    supervise(&system, Strategy::OneForOne, vec![child("a", 0, &log)]);
    tell(&system, "a", Do::Boom);
    let left = system.shutdown(ms(100));
    assert_eq!(left.actors_left, 0);
}

#[test]
fn an_exit_of_its_own_restarts_permanent_children_only() {
    for (restart, quits, crashes) in [
        (Restart::Permanent, true, true),
        (Restart::Transient, false, true),
        (Restart::Temporary, false, false),
    ] {
        for (message, restarts) in [(Do::Quit, quits), (Do::Boom, crashes)] {
            let (system, hand) = stepped();
            let spec = child("a", 0, &Log::new()).restart(restart);
            supervise(&system, Strategy::Dynamic, vec![spec]);
            tell(&system, "a", message);
            pass(&system, &hand, Duration::from_secs(1));
            assert_eq!(system.whereis::<Do>("a").is_some(), restarts, "{restart:?}");
        }
    }
}

#[test]
fn a_child_may_be_added_at_run_time() {
    let (system, _) = stepped();
    let log = Log::new();
    let supervisor = supervise(&system, Strategy::Dynamic, Vec::new());
    let spec = child("late", 3, &log);
    let ask = supervisor.ask(|reply| SupervisorMessage::Start(spec, reply));
    system.run_until_idle();
    let address: Address = ask.wait().unwrap();
    assert_eq!(address, find(&system, "late").actor().address());
    assert_eq!(log.said(), [1003]);
}

#[test]
fn a_restarted_supervisor_has_new_children() {
    let (system, hand) = stepped();
    let log = Log::new();
    let inner_log = log.clone();
    let inner = ChildSpec::new("inner", move |_| {
        let specs = vec![child("leaf", 4, &inner_log).intensity(0, ms(1))];
        (Supervisor, Children::new(Strategy::OneForOne, specs))
    });
    let outer = supervise(&system, Strategy::OneForOne, vec![inner.backoff(EXACT)]);
    let leaf = find(&system, "leaf").actor();
    tell(&system, "leaf", Do::Boom);
    pass(&system, &hand, Duration::from_secs(1));
    assert!(outer.is_alive());
    assert_ne!(find(&system, "leaf").actor(), leaf);
    assert_eq!(log.said(), [1004, 1004]);
    assert_eq!(system.actors(), 3);
}

/// Three levels, ten supervisors of ten leaves each that never come up; counts their starts.
fn storm(starts: &Arc<AtomicU32>) -> Children {
    let leaf = {
        let starts = starts.clone();
        move |_| -> (Events<State>, State) {
            starts.fetch_add(1, Relaxed);
            panic!("always")
        }
    };
    let specs = |make: &dyn Fn() -> ChildSpec| -> Vec<ChildSpec> {
        (0..10)
            .map(|_| make().backoff(Backoff::NONE).intensity(1000, ms(10)))
            .collect()
    };
    let leaves = move || specs(&|| ChildSpec::new("leaf", leaf.clone()));
    let middle = move || {
        let leaves = leaves.clone();
        ChildSpec::new("middle", move |_| {
            (Supervisor, Children::new(Strategy::OneForOne, leaves()))
        })
    };
    Children::new(Strategy::OneForOne, specs(&middle))
}

#[test]
fn a_storm_over_three_levels_stays_under_the_ceiling() {
    let (system, hand) = stepped();
    let starts = Arc::new(AtomicU32::new(0));
    let top = system.spawn(Supervisor, storm(&starts)).unwrap();
    system.run_until_idle();
    let first = starts.load(Relaxed);
    for second in 1..=5 {
        for _ in 0..100 {
            pass(&system, &hand, ms(10));
        }
        let restarts = starts.load(Relaxed) - first;
        assert!(restarts <= 100 * (second + 1), "{restarts} in {second} s");
        assert!(
            restarts >= 50 * second,
            "{restarts} in {second} s: none is dropped"
        );
    }
    assert!(top.is_alive());
}

/// Tells itself again and again.
#[derive(Clone, Copy)]
struct Busy;

impl Behavior for Busy {
    type Machine = State;
    type Message = ();
    fn on_message(&self, (): (), me: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(me.number).and(Plan::tell(me.me(), ()))
    }
}

/// A second of a slow machine: so many turns are all that it has.
const TURNS_A_SECOND: u32 = 50_000;

#[test]
fn a_storm_leaves_the_others_nine_turns_of_ten() {
    let (system, hand) = stepped();
    // Two that are always ready: they count their turns.
    let log = Log::new();
    for number in [1, 2] {
        let busy = system.spawn(Busy, State::new(&log, 1, number)).unwrap();
        busy.tell(()).unwrap();
    }
    let starts = Arc::new(AtomicU32::new(0));
    let top = system.spawn(Supervisor, storm(&starts)).unwrap();
    let second = || {
        let before = log.len();
        for _ in 0..100 {
            hand.advance(ms(10));
            for _ in 0..TURNS_A_SECOND / 100 {
                system.run_for(Duration::ZERO);
            }
        }
        log.len() - before
    };
    second(); // the first start of all
    for _ in 0..3 {
        let before = starts.load(Relaxed);
        let others = second() as u32;
        let restarts = starts.load(Relaxed) - before;
        assert!((50..=200).contains(&restarts), "{restarts} restarts");
        let all = TURNS_A_SECOND;
        assert!(10 * others >= 9 * all, "{others} of {all} turns");
        assert!(others + restarts <= all, "each restart is a turn at least");
    }
    assert!(top.is_alive());
}

/// Each strategy, restart type and kind of exit, each child that fails and each that fails again
/// in its restart: who is in which incarnation afterwards.
#[test]
fn the_full_product_of_ends() {
    const COUNT: usize = 4;
    let names = ["a", "b", "c", "d"];
    let strategies = [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
        Strategy::Dynamic,
    ];
    let types = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let mut rows = 0;
    for strategy in strategies {
        for restart in types {
            for end in 0..4 {
                for fails in 0..COUNT {
                    for again in 0..COUNT {
                        rows += 1;
                        let row = format!("{strategy:?} {restart:?} {end} {fails} {again}");
                        let (system, hand) = stepped();
                        let log = Log::new();
                        let specs = (0..COUNT).map(|place| {
                            let log = log.clone();
                            let make = move |incarnation| {
                                let state = State {
                                    bad_start: place == again && incarnation == 2,
                                    ..State::new(&log, incarnation, 0)
                                };
                                (Child, state)
                            };
                            ChildSpec::new(names[place], make)
                                .named(names[place])
                                .restart(restart)
                                .backoff(EXACT)
                        });
                        let supervisor = supervise(&system, strategy, specs.collect());
                        let one = find(&system, names[fails]);
                        let normal = match end {
                            0 => one.tell(Do::Boom).is_err(),
                            1 => one.tell(Do::Quit).is_ok(),
                            2 => !one.kill(),
                            _ => one.stop_now(),
                        };
                        system.run_until_idle();
                        for _ in 0..4 {
                            pass(&system, &hand, Duration::from_secs(2));
                        }
                        let restarts = match restart {
                            Restart::Permanent => true,
                            Restart::Transient => !normal,
                            Restart::Temporary => false,
                        };
                        let group = |first: usize| match strategy {
                            Strategy::OneForAll => 0..COUNT,
                            Strategy::RestForOne => first..COUNT,
                            _ => first..first + 1,
                        };
                        let mut expected = [Some(1); COUNT];
                        if restarts {
                            // The children before the one that fails again start, and start once
                            // more if they belong to its group; those after it start once.
                            for place in group(fails) {
                                expected[place] = Some(2);
                            }
                            if group(fails).contains(&again) {
                                for place in group(again) {
                                    expected[place] = Some(if place <= again { 3 } else { 2 });
                                }
                            }
                        } else {
                            expected[fails] = None;
                        }
                        let status = status(&system, &supervisor);
                        let found = names.map(|name| {
                            let status = status.iter().find(|child| *child.id == *name)?;
                            status.runs.then_some(status.incarnation)
                        });
                        assert_eq!(found, expected, "{row}");
                    }
                }
            }
        }
    }
    assert_eq!(rows, 768);
}

#[test]
fn a_decision_without_budget_escalates_only_what_would_restart() {
    let exit = Exit::Normal;
    let one = |restart, budget| decide(Strategy::RestForOne, restart, &exit, 1, 3, budget);
    assert_eq!(one(Restart::Permanent, true), Decision::Restart(1..3));
    assert_eq!(one(Restart::Permanent, false), Decision::Escalate);
    assert_eq!(one(Restart::Transient, false), Decision::Forget);
    assert_eq!(one(Restart::Temporary, true), Decision::Forget);
}
