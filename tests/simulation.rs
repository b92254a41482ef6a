//! The promise: a simulation's order and time are its seed's alone, and it finds what only some
//! orders show.

#![cfg(all(feature = "testkit", not(loom)))]

use mainspring::prelude::*;
use mainspring::testkit::{self, Exploration, Fault, Random, Sim, sometimes};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Seeds for each test: `MAINSPRING_SEEDS`, or as given.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let set = std::env::var("MAINSPRING_SEEDS").ok();
    0..set.map_or(count, |set| {
        set.parse().expect("MAINSPRING_SEEDS is a number")
    })
}

/// What the failure of `run` says.
fn failure(run: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = payload.downcast::<String>().map(|text| *text);
    Some(text.unwrap_or_else(|payload| {
        let text = payload.downcast::<&str>().expect("a panic has a text");
        (*text).to_owned()
    }))
}

/// An account that is read, and written with what was made of the reading.
#[derive(Clone, Default)]
struct Account {
    cents: u64,
}
struct Set(u64);
impl Machine for Account {
    type Event = Set;
    fn apply(&mut self, Set(cents): Set) {
        self.cents = cents;
    }
}
#[derive(Clone, Copy)]
struct Keeping;
enum Keep {
    Read(Reply<u64>),
    Write(u64),
    Add(u64),
}
impl Behavior for Keeping {
    type Machine = Account;
    type Message = Keep;
    fn on_message(&self, keep: Keep, account: Snapshot<Self>) -> Plan<Self> {
        match keep {
            Keep::Read(reply) => Plan::reply(reply, account.cents),
            Keep::Write(cents) => Plan::emit(Set(cents)),
            Keep::Add(cents) => Plan::emit(Set(account.cents + cents)),
        }
    }
}

/// Adds to the account: wrongly, by reading and writing, or rightly.
#[derive(Clone, Copy)]
struct Clerk {
    account: ActorRef<Keep>,
    is_right: bool,
}
enum Pay {
    In(u64),
    Seen(u64, u64),
}
#[derive(Clone)]
struct Nothing;
impl Machine for Nothing {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}
impl Behavior for Clerk {
    type Machine = Nothing;
    type Message = Pay;
    fn on_message(&self, pay: Pay, _: Snapshot<Self>) -> Plan<Self> {
        match pay {
            Pay::In(cents) if self.is_right => Plan::tell(self.account, Keep::Add(cents)),
            Pay::In(cents) => Plan::ask(self.account, Keep::Read)
                .on_ok(move |read| Pay::Seen(read, cents))
                .into(),
            Pay::Seen(read, cents) => Plan::tell(self.account, Keep::Write(read + cents)),
        }
    }
}

fn two_clerks(sim: &mut Sim, is_right: bool) {
    let account = sim.system().spawn(Keeping, Account::default()).unwrap();
    let clerk = Clerk {
        account: account.actor(),
        is_right,
    };
    for _ in 0..2 {
        let clerk = sim.system().spawn(clerk, Nothing).unwrap();
        clerk.tell(Pay::In(5)).unwrap();
    }
    sim.run_until_idle();
    let end = account.snapshot();
    sim.run_until_idle();
    assert_eq!(end.wait().unwrap().cents, 10);
}

#[test]
fn a_lost_update_is_found_and_its_seed_shows_it_again() {
    let (found, fine) = (Cell::new(None), Cell::new(0));
    for seed in 0..64 {
        match failure(|| two_clerks(&mut Sim::new(seed), false)) {
            Some(text) => {
                assert!(text.contains("left: 5"), "{text}");
                found.set(Some(seed));
            }
            None => fine.set(fine.get() + 1),
        }
    }
    let seed = found.get().expect("an order that loses an update");
    assert!(fine.get() > 0, "an order that doesn't");
    assert!(failure(|| two_clerks(&mut Sim::new(seed), false)).is_some());
    testkit::simulate(seeds(500), |sim| two_clerks(sim, true));
}

/// One of a web of actors: passes on, asks, arms, cancels and spawns as its own numbers say.
#[derive(Clone, Copy)]
struct Weaving {
    others: [Option<ActorRef<Weave>>; 2],
    child: bool,
}
#[derive(Clone)]
struct Woven {
    random: Random,
    log: Vec<(&'static str, u64)>,
}
enum Wove {
    Did(&'static str, u64),
}
impl Machine for Woven {
    type Event = Wove;
    fn apply(&mut self, Wove::Did(what, left): Wove) {
        self.random.bits();
        self.log.push((what, left));
    }
}
enum Weave {
    Go(u64),
    Question(u64, Reply<u64>),
    Answered,
    Failed,
    Due(u64, Duration),
}
impl Behavior for Weaving {
    type Machine = Woven;
    type Message = Weave;
    fn on_message(&self, weave: Weave, woven: Snapshot<Self>) -> Plan<Self> {
        let mut random = woven.random.clone();
        let did = |what, left| Plan::emit(Wove::Did(what, left));
        match weave {
            Weave::Go(0) => did("end", 0),
            Weave::Go(left) => {
                let other = self.others[random.below(2) as usize];
                let (what, next) = match (random.below(5), other) {
                    (0 | 1, Some(other)) => ("told", Plan::tell(other, Weave::Go(left - 1))),
                    (2, Some(other)) => {
                        let ask = Plan::ask(other, |reply| Weave::Question(left - 1, reply))
                            .timeout(Duration::from_millis(1 + random.below(50)))
                            .on_ok(|_| Weave::Answered)
                            .on_error(|_| Weave::Failed);
                        ("asked", ask)
                    }
                    (3, _) if !self.child => {
                        let child = Self {
                            child: true,
                            ..*self
                        };
                        let machine = Woven {
                            random: random.clone(),
                            log: Vec::new(),
                        };
                        let spawn = Plan::spawn(child, machine).then(|child| {
                            Plan::tell(child, Weave::Go(left - 1)).and(Plan::stop_actor(child))
                        });
                        ("spawned", spawn)
                    }
                    _ => {
                        let delay = Duration::from_millis(random.below(20));
                        let due = woven.now() + delay;
                        let after = Plan::after(2 + left, delay, Weave::Due(left - 1, due));
                        ("armed", after)
                    }
                };
                did(what, left).and(next)
            }
            Weave::Question(left, reply) => match random.below(3) {
                0 => did("kept", left), // the reply is dropped
                _ => did("answer", left).and(Plan::reply(reply, left)),
            },
            Weave::Answered => did("answered", 0),
            Weave::Failed => did("failed", 0),
            Weave::Due(left, due) => {
                assert!(woven.now() >= due, "a timer came early");
                did("due", left).and(match self.others[0] {
                    Some(other) => Plan::tell(other, Weave::Go(left)),
                    None => Plan::none(),
                })
            }
        }
    }
}

/// A web of a few actors, run to its end: what each did.
fn web(sim: &mut Sim) -> Vec<Vec<(&'static str, u64)>> {
    web_with(sim, &[])
}

/// As [`web`], with faults until its end.
fn web_with(sim: &mut Sim, faults: &[Fault]) -> Vec<Vec<(&'static str, u64)>> {
    // A child stopped with messages in hand is part of the plan.
    sim.allow("stopped");
    let count = 2 + sim.random().below(4);
    let mut actors: Vec<Actor<Weaving>> = Vec::new();
    for _ in 0..count {
        let others = [0, 1].map(|_| {
            let place = sim.random().below(actors.len().max(1) as u64) as usize;
            actors.get(place).map(|actor| actor.actor())
        });
        let woven = Woven {
            random: Random::new(sim.random().bits()),
            log: Vec::new(),
        };
        let weaving = Weaving {
            others,
            child: false,
        };
        actors.push(sim.system().spawn(weaving, woven).unwrap());
    }
    let addresses: Vec<_> = actors.iter().map(|actor| actor.actor()).collect();
    let may_end = !faults.is_empty();
    sim.invariant("no message is lost", move |system| {
        for &address in &addresses {
            let Some(counts) = system.counts(address) else {
                if may_end {
                    continue;
                }
                return Err("an actor has ended".to_owned());
            };
            let known = counts.handled + counts.failed + counts.dead_lettered + counts.queued;
            if counts.accepted != known {
                return Err(format!("{counts:?}"));
            }
        }
        Ok(())
    });
    for actor in &actors {
        for _ in 0..1 + sim.random().below(3) {
            let left = 1 + sim.random().below(12);
            actor.tell(Weave::Go(left)).unwrap();
        }
    }
    sim.faults(faults, 24);
    sim.run_for(Duration::from_secs(60));
    sim.faults(&[], 1);
    let asked: Vec<_> = actors.iter().map(|actor| actor.snapshot()).collect();
    sim.run_until_idle();
    let ends = asked.into_iter().map(|asked| asked.wait());
    let logs = ends.filter_map(|end| match end {
        Ok(woven) => Some(woven.log),
        Err(error) if faults.is_empty() => panic!("a snapshot failed: {error}"),
        Err(_) => None, // ended by a fault
    });
    logs.collect()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let mut hashes = HashSet::new();
    for seed in seeds(300) {
        let run = || {
            let mut sim = Sim::new(seed);
            let logs = web(&mut sim);
            (sim.trace_hash(), sim.turns(), logs)
        };
        let first = run();
        assert_eq!(first, run(), "seed {seed}");
        hashes.insert(first.0);
    }
    let different = hashes.len() as u64;
    assert!(different * 10 > seeds(300).end * 9, "{different}");
}

#[test]
fn generated_webs_keep_the_promises_and_reach_every_state() {
    let seen = RefCell::new(HashSet::new());
    testkit::simulate(seeds(5_000), |sim| {
        for log in web(sim) {
            let count = |of: &[&str]| log.iter().filter(|(what, _)| of.contains(what)).count();
            assert_eq!(count(&["asked"]), count(&["answered", "failed"]), "{log:?}");
            seen.borrow_mut().extend(log.iter().map(|&(what, _)| what));
        }
    });
    let seen = seen.into_inner();
    for what in [
        "told", "asked", "spawned", "armed", "end", "answer", "kept", "answered", "failed", "due",
    ] {
        assert!(seen.contains(what), "no seed reached {what:?}");
    }
}

#[derive(Clone, Copy)]
struct Failing;
impl Behavior for Failing {
    type Machine = Nothing;
    type Message = bool;
    fn on_message(&self, panics: bool, _: Snapshot<Self>) -> Plan<Self> {
        assert!(!panics, "as told");
        Plan::unhandled()
    }
}

#[test]
fn a_panic_and_an_unhandled_message_fail_the_test_unless_allowed() {
    for (panics, cause) in [(true, "panicked"), (false, "unhandled")] {
        let run = |allowed: bool| {
            let mut sim = Sim::new(3);
            if allowed {
                sim.allow(cause);
            }
            let failing = sim.system().spawn(Failing, Nothing).unwrap();
            failing.tell(panics).unwrap();
            sim.run_until_idle();
        };
        let text = failure(|| run(false)).expect("it fails");
        assert!(text.contains(cause) && text.contains("Failing"), "{text}");
        assert_eq!(failure(|| run(true)), None);
    }
    let text = failure(|| Sim::new(1).allow("anything")).expect("it fails");
    assert!(text.contains("no cause \"anything\""), "{text}");
}

#[test]
fn a_broken_invariant_is_named_at_its_turn() {
    let mut sim = Sim::new(1);
    let account = sim.system().spawn(Keeping, Account::default()).unwrap();
    let address = account.actor();
    sim.invariant("two at most", move |system| {
        match system.counts(address).map(|counts| counts.handled) {
            Some(3..) => Err("three were handled".to_owned()),
            _ => Ok(()),
        }
    });
    for _ in 0..3 {
        account.tell(Keep::Add(1)).unwrap();
        if failure(|| sim.run_until_idle()).is_some() {
            assert_eq!(sim.counts(address).unwrap().handled, 3);
            return;
        }
    }
    panic!("the third was not seen");
}

#[test]
fn failing_seeds_and_their_turns_are_what_the_panic_is_of() {
    let tried = RefCell::new(Vec::new());
    let text = failure(|| {
        testkit::simulate(5..100, |sim| {
            tried.borrow_mut().push(sim.seed());
            assert_ne!(sim.seed(), 7, "the seventh");
        });
    });
    if std::env::var_os("MAINSPRING_SEED").is_none() {
        assert!(text.expect("it fails").contains("the seventh"));
        // The failing seed runs again, to be shrunk and explained; no later one does.
        let mut tried = tried.into_inner();
        tried.dedup();
        assert_eq!(tried, [5, 6, 7]);
    }
}

/// Panics once it was told what it does not take.
#[derive(Clone, Copy)]
struct Picky {
    next: Option<ActorRef<Piece>>,
}
#[derive(Debug)]
struct Piece(u64);
impl Behavior for Picky {
    type Machine = Nothing;
    type Message = Piece;
    fn on_message(&self, Piece(size): Piece, _: Snapshot<Self>) -> Plan<Self> {
        match self.next {
            Some(next) => Plan::tell(next, Piece(size)),
            None => {
                assert!(size < 100, "too large");
                Plan::none()
            }
        }
    }
}

/// Twenty pieces of the seed's sizes go through one actor to another.
fn pieces(sim: &mut Sim) {
    let last = sim.system().spawn(Picky { next: None }, Nothing).unwrap();
    let next = Some(last.actor());
    let first = sim.system().spawn(Picky { next }, Nothing).unwrap();
    let count = sim.random().below(20);
    for _ in 0..count {
        let size = sim.random().below(1_000);
        first.tell(Piece(size)).unwrap();
    }
    sim.run_until_idle();
}

#[test]
fn each_fault_is_reached_and_the_promises_hold_under_all_of_them() {
    let seen = RefCell::new(HashSet::new());
    testkit::simulate(seeds(300), |sim| {
        web_with(sim, &Fault::ALL);
        seen.borrow_mut()
            .extend(sim.trace().flat_map(|ran| ran.faults.iter().copied()));
    });
    if std::env::var_os("MAINSPRING_SEED").is_none() {
        for fault in Fault::ALL {
            assert!(seen.borrow().contains(&fault), "no seed had {fault:?}");
        }
    }
}

#[test]
fn asks_have_one_outcome_under_the_faults_that_end_nobody() {
    testkit::simulate(seeds(300), |sim| {
        for log in web_with(sim, &[Fault::Slow, Fault::Full, Fault::Late, Fault::Jump]) {
            let count = |of: &[&str]| log.iter().filter(|(what, _)| of.contains(what)).count();
            assert_eq!(count(&["asked"]), count(&["answered", "failed"]), "{log:?}");
        }
    });
}

#[test]
fn plans_that_are_refused_once_for_want_of_room_arrive() {
    let refused = Cell::new(0);
    testkit::simulate(seeds(200), |sim| {
        let last = sim.system().spawn(Picky { next: None }, Nothing).unwrap();
        let next = Some(last.actor());
        let first = sim.system().spawn(Picky { next }, Nothing).unwrap();
        sim.faults(&[Fault::Full], 2);
        for _ in 0..20 {
            first.tell(Piece(1)).unwrap();
        }
        sim.run_until_idle();
        assert_eq!(sim.counts(last.actor()).unwrap().handled, 20);
        refused.set(refused.get() + sim.trace().map(|ran| ran.faults.len()).sum::<usize>());
    });
    assert!(refused.get() > 0, "no plan was refused");
}

#[test]
fn the_same_seed_has_the_same_faults() {
    for seed in seeds(100) {
        let run = || {
            let mut sim = Sim::new(seed);
            let logs = web_with(&mut sim, &Fault::ALL);
            (sim.trace_hash(), sim.turns(), logs)
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// Draws an id for each message, hands it on until it has gone round, and keeps what it drew.
#[derive(Clone, Copy)]
struct Naming {
    next: Option<ActorRef<u64>>,
}
#[derive(Clone, Default)]
struct Names(Vec<u128>);
impl Machine for Names {
    type Event = u128;
    fn apply(&mut self, id: u128) {
        self.0.push(id);
    }
}
impl Behavior for Naming {
    type Machine = Names;
    type Message = u64;
    fn on_message(&self, left: u64, names: Snapshot<Self>) -> Plan<Self> {
        let plan = Plan::emit(names.fresh_id()).and(Plan::emit(names.fresh_id()));
        match (left.checked_sub(1), self.next) {
            (Some(left), Some(next)) => plan.and(Plan::tell(next, left)),
            _ => plan,
        }
    }
}

/// The ids that two actors draw in turn for `messages` messages.
fn names(seed: u64, messages: u64) -> Vec<u128> {
    let mut sim = Sim::new(seed);
    let system = sim.system();
    let last = system.spawn(Naming { next: None }, Names::default());
    let last = last.unwrap();
    let next = Some(last.actor());
    let first = system.spawn(Naming { next }, Names::default()).unwrap();
    system.check_decisions::<Naming>(); // what is decided twice draws the same ids
    for _ in 0..messages / 2 {
        first.tell(1).unwrap();
        sim.run_until_idle();
    }
    let drawn = [&first, &last].map(|one| {
        let names = one.snapshot();
        sim.run_until_idle();
        names.wait().unwrap().0
    });
    drawn.concat()
}

#[test]
fn ids_are_the_seeds_and_no_two_are_equal() {
    for seed in seeds(20) {
        assert_eq!(names(seed, 10), names(seed, 10), "seed {seed}");
    }
    let mut all = HashSet::new();
    for seed in 0..20 {
        let of_seed = names(seed, 100);
        assert_eq!(of_seed.len(), 200);
        all.extend(of_seed);
    }
    assert_eq!(all.len(), 20 * 200, "another seed has others");
}

#[test]
fn a_failing_run_is_shrunk_to_what_it_takes() {
    let runs = RefCell::new(Vec::new());
    let text = failure(|| {
        testkit::simulate(seeds(64), |sim| {
            sim.explain();
            sim.show::<Piece>();
            sim.faults(&[Fault::Slow, Fault::Late, Fault::Jump], 4);
            let broken = failure(|| pieces(sim));
            let faults = sim.trace().map(|ran| ran.faults.len()).sum::<usize>();
            let heard: Vec<_> = sim.trace().flat_map(|ran| &ran.heard).cloned().collect();
            runs.borrow_mut().push((sim.turns(), faults, heard));
            if let Some(text) = broken {
                panic!("{text}");
            }
        });
    });
    if std::env::var_os("MAINSPRING_SEED").is_some() {
        return;
    }
    assert!(text.expect("it fails").contains("panicked"));
    // The last run is the smallest, explained: one piece just too large, two turns, no fault.
    let runs = runs.into_inner();
    let (turns, faults, heard) = runs.last().expect("it ran");
    assert_eq!((*turns, *faults), (2, 0));
    assert!(
        runs.iter()
            .any(|(turns, faults, _)| *turns > 2 && *faults > 0)
    );
    let [first, second] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(
        first.to_string(),
        "told by actor 1: Piece(100) -> tells actor 0: Piece"
    );
    assert_eq!(second.to_string(), "told by actor 1: Piece(100)");
}

#[test]
fn a_suite_that_never_got_there_fails() {
    let run = |at: u64| {
        failure(|| {
            testkit::simulate(0..32, |sim| {
                let drawn = sim.random().below(4);
                sometimes!(drawn == at, "it is drawn");
            });
        })
    };
    if std::env::var_os("MAINSPRING_SEED").is_none() {
        assert_eq!(run(3), None);
        let text = run(4).expect("4 is never drawn");
        assert!(
            text.contains("never reached in 32 runs: [\"it is drawn\"]"),
            "{text}"
        );
        let text = failure(|| testkit::simulate(0..2, |sim| sim.reaches(&["nowhere"])));
        assert!(text.expect("it fails").contains("nowhere"));
    }
}

/// As users write it: see `mainspring::test`.
#[cfg(feature = "macros")]
mod by_attribute {
    use super::*;

    thread_local! {
        static SEEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    }

    #[mainspring::test(seeds = 3..40, faults = [Fault::Late, Fault::Slow], one_in = 2)]
    fn clerks_that_add(sim: &mut Sim) {
        two_clerks(sim, true);
        SEEN.with_borrow_mut(|seen| seen.push(sim.seed()));
    }

    #[test]
    fn the_attribute_runs_each_seed_once() {
        clerks_that_add();
        if std::env::var_os("MAINSPRING_SEED").is_none() {
            assert_eq!(SEEN.take(), (3..40).collect::<Vec<_>>());
        }
    }

    #[mainspring::test(seeds = 64, exploration = Exploration::Random)]
    #[should_panic(expected = "left: 5")]
    fn clerks_that_read_and_write_at_random(sim: &mut Sim) {
        two_clerks(sim, false);
    }

    #[mainspring::test(seeds = 64, exploration = Exploration::Pct { changes: 2, turns: 20 })]
    #[should_panic(expected = "left: 5")]
    fn clerks_that_read_and_write_by_priorities(sim: &mut Sim) {
        two_clerks(sim, false);
    }

    #[mainspring::test(seeds = 64)]
    #[should_panic(expected = "left: 5")]
    fn clerks_that_read_and_write(sim: &mut Sim) {
        two_clerks(sim, false);
    }
}
