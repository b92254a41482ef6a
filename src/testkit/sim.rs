//! Seeded simulation: the production code on one thread, with the order and the time by a seed.
//!
//! ```text
//!   seed ──▶ Random ──▶ which runnable actor, how long a batch ──▶ one turn ──▶ trace, invariants
//!                          ▲                                          │
//!                          │ timers due                               │ nobody is runnable
//!                          └────────── the clock jumps to the next timer
//! ```
//!
//! - M1: what runs next, the batch's length and the time are the seed's; all else is the code that
//!   runs in production. So one seed gives one trace.
//! - M2: the clock never stops short of a timer nor passes one over: it jumps to the next tick that
//!   the wheel has something for.

use super::fault::{Fault, Faults};
use super::hook::{self, Stage};
use super::random::Random;
use super::shrink::Tapes;
use super::trace::Ran;
use crate::actor::Address;
use crate::config::Config;
use crate::dead_letter::DeadLetter;
use crate::dispatcher::worker::Chosen;
use crate::system::System;
use crate::timer::Clock;
use std::any::{Any, TypeId};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// Turns that a trace keeps.
pub(super) const TRACE_MAX: usize = 10_000;
/// A turn in so many changes an actor's priority.
const CHANGE_IN: u64 = 24;
/// The longest batch drawn.
const BATCH_MAX: u64 = 8;
/// For how many turns an actor is left waiting at most.
const LATE_MAX: u64 = 64;
/// How far the clock jumps at most.
const JUMP_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// What a test allows that leaves a circle of asks behind.
const ASK_CIRCLE: &str = "ask circle";

/// How a simulation chooses who of the runnable actors is next; see
/// [`simulate_by`](super::simulate_by).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exploration {
    /// Odd seeds as [`Exploration::Random`]; even ones by priorities, of which a turn in 24 changes
    /// one: long stretches of some, while others starve.
    #[default]
    Mixed,
    /// Each with the same chance.
    Random,
    /// Probabilistic concurrency testing: each actor has a priority, and the highest runs. In
    /// `changes` turns, drawn from the first `turns`, the one that would run falls below all others.
    ///
    /// A bug that needs `changes + 1` orderings among `n` actors comes with a seed in
    /// `n * turns^changes` at least, however rare it is among all orders. Take few changes (0 to 3),
    /// and for `turns` about as many as a run has.
    Pct {
        /// How often a priority changes.
        changes: u32,
        /// In how many turns.
        turns: u64,
    },
}

/// How the next actor is chosen.
#[derive(Debug)]
enum Strategy {
    /// Each with the same chance.
    Uniform,
    /// The one of the highest priority, which a turn in [`CHANGE_IN`] lowers: long stretches of
    /// some, while others starve. By place of the actor.
    Priorities(Vec<u64>),
    /// The one of the highest priority; which changes at the points, as many as are left to draw from
    /// so many turns.
    Pct {
        priorities: Vec<u64>,
        points: Vec<u64>,
        undrawn: u32,
        turns: u64,
    },
}

type Invariant = (String, Box<dyn Fn(&System) -> Result<(), String>>);

/// A system whose order and time are a seed's.
///
/// Odd seeds choose with the same chance among the runnable actors; even ones by priorities that
/// change now and then, which finds what needs one actor to be late.
///
/// A panic of an actor, an unhandled message and every other dead letter fail the test at the
/// turn in which they come, unless [`Sim::allow`]ed. An actor of a named dispatcher or with a
/// thread of its own is not run.
///
/// # Examples
///
/// ```
/// use mainspring::prelude::*;
/// use mainspring::testkit;
/// use std::time::Duration;
///
/// #[derive(Clone, Default)]
/// struct Days(u64);
/// impl Machine for Days {
///     type Event = ();
///     fn apply(&mut self, (): ()) { self.0 += 1 }
/// }
/// #[derive(Clone, Copy)]
/// struct Counting;
/// impl Behavior for Counting {
///     type Machine = Days;
///     type Message = ();
///     fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
///         Plan::every(1, Duration::from_secs(86_400), ())
///     }
///     fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> { Plan::emit(()) }
/// }
///
/// testkit::simulate(0..10, |sim| {
///     let counting = sim.system().spawn(Counting, Days::default()).unwrap();
///     sim.run_for(Duration::from_secs(366 * 86_400));
///     let days = counting.snapshot();
///     sim.run_until_idle();
///     assert_eq!(days.wait().unwrap().0, 366);
/// });
/// ```
pub struct Sim {
    seed: u64,
    /// What the test draws.
    random: Random,
    /// What the order draws.
    order: Random,
    strategy: Strategy,
    system: System,
    clock: Clock,
    stage: Stage,
    /// Who is left waiting, and until which turn.
    late: HashMap<u32, u64>,
    now_ns: u64,
    runnable: Vec<u32>,
    turns: u64,
    hash: u64,
    letters_seen: u64,
    trace: VecDeque<Ran>,
    allowed: Vec<String>,
    invariants: Vec<Invariant>,
    /// What the kit itself failed the test for.
    pub(super) fails_by: Option<String>,
    pub(super) faults_count: u64,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .field("turns", &self.turns)
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Sim {
    /// A system with the default configuration.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_config(seed, Config::default())
    }

    /// A system with this configuration.
    ///
    /// # Panics
    ///
    /// If the configuration is wrong.
    #[must_use]
    pub fn with_config(seed: u64, config: Config) -> Self {
        Self::played(seed, config, Exploration::Mixed, None)
    }

    /// One that draws what is on the tapes, or writes them.
    pub(super) fn played(
        seed: u64,
        config: Config,
        exploration: Exploration,
        tapes: Option<&Tapes>,
    ) -> Self {
        let (clock, hand) = Clock::manual();
        let system = match System::stepped_by(config, clock.clone(), seed) {
            Ok(system) => system,
            Err(error) => panic!("the simulated system can't be made: {error}"),
        };
        let strategy = match exploration {
            Exploration::Random => Strategy::Uniform,
            Exploration::Mixed if seed % 2 == 1 => Strategy::Uniform,
            Exploration::Mixed => Strategy::Priorities(Vec::new()),
            Exploration::Pct { changes, turns } => Strategy::Pct {
                priorities: Vec::new(),
                points: Vec::new(),
                undrawn: changes,
                turns,
            },
        };
        let mut seeds = Random::new(seed);
        let tape = |of: fn(&Tapes) -> &Vec<u64>| tapes.map(|tapes| of(tapes).clone());
        let random = Random::taped(seeds.bits(), tape(|tapes| &tapes.test));
        let order = Random::taped(seeds.bits(), tape(|tapes| &tapes.order));
        let faults = Random::taped(seeds.bits(), tape(|tapes| &tapes.faults));
        let stage = Stage {
            faults: Faults::new(faults),
            hand: hook::ManualClockOf(hand),
            ..Stage::default()
        };
        Self {
            seed,
            random,
            order,
            strategy,
            system,
            clock,
            stage,
            late: HashMap::new(),
            now_ns: 0,
            runnable: Vec::new(),
            turns: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            letters_seen: 0,
            trace: VecDeque::new(),
            allowed: Vec::new(),
            invariants: Vec::new(),
            fails_by: None,
            faults_count: 0,
        }
    }

    /// What was drawn so far.
    pub(super) fn tapes(&self) -> Tapes {
        Tapes {
            test: self.random.written().to_vec(),
            order: self.order.written().to_vec(),
            faults: self.stage.faults.random.written().to_vec(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The system: spawn, tell and ask as from outside.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// The seed's generator, for what the test itself chooses.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The time on the system's clock.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns)
    }

    /// How many turns have run.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Dead letters of this cause don't fail the test: a name of
    /// [`Metrics::dead_letters`](crate::Metrics::dead_letters), as `panicked` or `unhandled`. With
    /// `ask circle`, nor do actors that ask each other in a circle and all wait.
    ///
    /// # Panics
    ///
    /// If there is no such cause.
    pub fn allow(&mut self, cause: &str) {
        let metrics = self.system.metrics();
        let names = metrics.dead_letters.iter().map(|(name, _)| *name);
        let known: Vec<_> = names.chain([ASK_CIRCLE]).collect();
        assert!(
            known.contains(&cause),
            "no cause {cause:?}, there are {known:?}"
        );
        self.allowed.push(cause.to_owned());
    }

    /// Checks `holds` after every turn; what it returns as an error fails the test with the
    /// invariant's name.
    pub fn invariant(
        &mut self,
        name: impl Into<String>,
        holds: impl Fn(&System) -> Result<(), String> + 'static,
    ) {
        self.invariants.push((name.into(), Box::new(holds)));
    }

    /// From now on each of `kinds` happens at one in `one_in` of the places where it could: by the
    /// seed, as the order is. None from `sim.faults(&[], 1)` on: what was promised for quiet times
    /// is checked then.
    ///
    /// The dead letters that they bring about are allowed, and a panic that is one of them. What
    /// they do to actors of the test itself is the test's to expect, or to [`Sim::spare`].
    pub fn faults(&mut self, kinds: &[Fault], one_in: u64) {
        self.stage.faults.set(kinds, one_in);
        for letter in kinds.iter().flat_map(|kind| kind.letters()) {
            self.allow(letter);
        }
    }

    /// No handler of this actor panics or is slow for a fault, and none stops, kills or delays it.
    pub fn spare(&mut self, actor: impl Into<Address>) {
        self.stage.faults.spare(actor.into());
    }

    /// From now on the trace says of each message who sent it and why, and what was decided. Some
    /// allocations a message. A failure that [`simulate`](super::simulate) reports is explained.
    pub fn explain(&mut self) {
        self.stage.explains = true;
    }

    /// Explained traces have messages and machines of this type in full.
    pub fn show<M: fmt::Debug + 'static>(&mut self) {
        let show = |message: &dyn Any| Some(format!("{:?}", message.downcast_ref::<M>()?));
        self.stage.shows.insert(TypeId::of::<M>(), show);
    }

    /// The suite of [`simulate`](super::simulate) fails if no run comes by a
    /// [`sometimes!`](super::sometimes) of each name that is true.
    pub fn reaches(&self, names: &[&str]) {
        for name in names {
            super::note_sometimes(name, false);
        }
    }

    /// Runs one turn of an actor that the seed chooses; false if nobody is runnable now.
    ///
    /// # Panics
    ///
    /// If the turn made a dead letter that is not allowed, an invariant does not hold, or nobody is
    /// runnable while an actor was promised a run.
    pub fn step(&mut self) -> bool {
        let mut faults = self.faults_between_turns();
        let (order, strategy, late) = (&mut self.order, &mut self.strategy, &mut self.late);
        let turn = self.turns;
        late.retain(|_, until| *until > turn);
        let mut among = 0;
        let mut in_time = Vec::new();
        let mut choose = |runnable: &[u32]| {
            among = runnable.len();
            in_time.clear();
            in_time.extend(runnable.iter().filter(|cell| !late.contains_key(cell)));
            // Somebody runs, also if all are late.
            let list = if in_time.is_empty() {
                runnable
            } else {
                &in_time
            };
            let cell = list[choose(strategy, order, list, turn)];
            let place = runnable.iter().position(|&other| other == cell);
            let batch = 1 + order.below(BATCH_MAX) as u32;
            (place.expect("it is one of them"), batch)
        };
        let (system, runnable) = (&self.system, &mut self.runnable);
        let chosen = hook::with_stage(&mut self.stage, || system.run_chosen(runnable, &mut choose));
        let Some(Chosen {
            cell,
            batch,
            behavior,
        }) = chosen
        else {
            self.nobody_is_owed_a_run();
            return false;
        };
        self.now_ns = self.clock.now_ns();
        self.turns += 1;
        faults.append(&mut self.stage.injected);
        self.faults_count += faults.len() as u64;
        let ran = Ran {
            turn: self.turns,
            at: self.now(),
            cell,
            among,
            batch,
            behavior,
            machine: self.stage.machine.take(),
            faults,
            heard: std::mem::take(&mut self.stage.heard),
            dead_letters: self.new_letters(),
        };
        self.note(ran);
        self.check();
        true
    }

    /// What happens to the system while nobody runs.
    fn faults_between_turns(&mut self) -> Vec<Fault> {
        let mut happened = Vec::new();
        if !self.system.has_ready() {
            return happened;
        }
        let faults = &mut self.stage.faults;
        if faults.happens(Fault::Jump, None) {
            let jump_ms = 1 + faults.random.below(JUMP_MAX_MS);
            self.set_time(self.now_ns.saturating_add(jump_ms * 1_000_000));
            happened.push(Fault::Jump);
        }
        for fault in [Fault::Late, Fault::Stop, Fault::Kill] {
            if !self.stage.faults.happens(fault, None) {
                continue;
            }
            let mut living = self.system.living();
            living.retain(|&actor| !self.stage.faults.spares(actor));
            let random = &mut self.stage.faults.random;
            let place = random.below(living.len() as u64) as usize;
            let Some(&actor) = living.get(place) else {
                continue;
            };
            match fault {
                Fault::Late => {
                    let until = self.turns + 1 + random.below(LATE_MAX);
                    self.late.insert(actor.cell, until);
                }
                _ => self.system.end_before_next(actor, fault == Fault::Kill),
            }
            happened.push(fault);
        }
        happened
    }

    fn nobody_is_owed_a_run(&mut self) {
        if let Some(circle) = self.system.circle_left()
            && !self.allowed.iter().any(|allowed| allowed == ASK_CIRCLE)
        {
            let turn = self.turns;
            self.fail(
                ASK_CIRCLE,
                format_args!(
                    "nobody is runnable after turn {turn}, and a circle of asks is left: {circle}; if \
                     it is meant to be, `sim.allow({ASK_CIRCLE:?})`"
                ),
            );
        }
        if let Some((cell, queued)) = self.system.owed_a_run() {
            let turn = self.turns;
            self.fail(
                "lost wake",
                format_args!(
                    "a lost wake: actor {cell} was promised a run, has {queued} in its mailbox, and \
                     is on no run queue after turn {turn}"
                ),
            );
        }
    }

    /// Fails the test for a reason that all of its like share.
    fn fail(&mut self, reason: &str, text: fmt::Arguments<'_>) -> ! {
        self.fails_by = Some(reason.to_owned());
        panic!("{text}");
    }

    fn new_letters(&mut self) -> Vec<DeadLetter> {
        let count = self.system.dead_letter_count();
        let new = count - std::mem::replace(&mut self.letters_seen, count);
        if new == 0 {
            return Vec::new();
        }
        let latest = self.system.dead_letters();
        let first = latest.len().saturating_sub(new as usize);
        latest[first..].to_vec()
    }

    fn note(&mut self, ran: Ran) {
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        add(&self.now_ns.to_le_bytes());
        add(&ran.cell.to_le_bytes());
        add(&ran.batch.to_le_bytes());
        add(&(ran.among as u64).to_le_bytes());
        add(ran.behavior.as_bytes());
        for fault in &ran.faults {
            add(&[*fault as u8]);
        }
        for letter in &ran.dead_letters {
            add(letter.message.as_bytes());
            add(letter.cause.name().as_bytes());
        }
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(ran);
    }

    fn check(&mut self) {
        if let Some(ran) = self.trace.back() {
            let mut meant = ran.faults.iter().filter(|&&f| f == Fault::Panic).count();
            let refused = ran.dead_letters.iter().find(|letter| {
                let name = letter.cause.name();
                if name == "panicked" && meant > 0 {
                    meant -= 1;
                    return false;
                }
                !self.allowed.iter().any(|allowed| allowed == name)
            });
            if let Some(letter) = refused {
                let (ran, name) = (ran.clone(), letter.cause.name());
                self.fail(
                    name,
                    format_args!(
                        "{ran}\nfails the test; if it is meant to be, `sim.allow({name:?})`"
                    ),
                );
            }
        }
        let broken = self.invariants.iter().find_map(|(name, holds)| {
            let text = holds(&self.system).err()?;
            Some((name.clone(), text))
        });
        if let Some((name, text)) = broken {
            let turn = self.turns;
            self.fail(
                &name,
                format_args!("the invariant {name:?} does not hold after turn {turn}: {text}"),
            );
        }
    }

    /// Runs turns until nobody is runnable; the time stands still.
    ///
    /// # Panics
    ///
    /// As [`Sim::step`].
    pub fn run_until_idle(&mut self) {
        while self.step() {}
    }

    /// Runs turns for `time` on the system's clock, which jumps from timer to timer and is then
    /// moved to the end of that time.
    ///
    /// # Panics
    ///
    /// As [`Sim::step`].
    pub fn run_for(&mut self, time: Duration) {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end_ns = self.now_ns.saturating_add(time_ns);
        self.run_until_idle();
        while let Some(next_ns) = self.system.next_timer_ns().filter(|&next| next <= end_ns) {
            self.set_time(next_ns);
            self.run_until_idle();
        }
        self.set_time(end_ns);
        self.run_until_idle();
    }

    fn set_time(&mut self, now_ns: u64) {
        // A wheel that has more than one look fires asks to be looked at again at once.
        self.now_ns = self.now_ns.max(now_ns);
        self.stage.hand.0.set_ns(self.now_ns);
    }

    /// The latest turns, oldest first: the last 10,000.
    pub fn trace(&self) -> impl Iterator<Item = &Ran> {
        self.trace.iter()
    }

    /// A hash of all turns: equal for two runs of one test with one seed.
    pub fn trace_hash(&self) -> u64 {
        self.hash
    }

    /// How one actor's messages fared, see [`System::counts`].
    pub fn counts(&self, actor: impl Into<Address>) -> Option<crate::Counts> {
        self.system.counts(actor)
    }
}

fn choose(strategy: &mut Strategy, random: &mut Random, runnable: &[u32], turn: u64) -> usize {
    match strategy {
        Strategy::Uniform => random.below(runnable.len() as u64) as usize,
        Strategy::Priorities(priorities) => {
            let place = highest(priorities, random, runnable);
            if random.one_in(CHANGE_IN) {
                priorities[runnable[place] as usize] = random.bits() >> 1;
                return highest(priorities, random, runnable);
            }
            place
        }
        Strategy::Pct {
            priorities,
            points,
            undrawn,
            turns,
        } => {
            for _ in 0..std::mem::take(undrawn) {
                points.push(random.below(*turns));
            }
            let place = highest(priorities, random, runnable);
            let Some(point) = points.iter().position(|&point| point <= turn) else {
                return place;
            };
            points.swap_remove(point);
            // Below those that fell before, too.
            priorities[runnable[place] as usize] = points.len() as u64;
            highest(priorities, random, runnable)
        }
    }
}

/// The place of the highest priority; who has none draws one.
fn highest(priorities: &mut Vec<u64>, random: &mut Random, runnable: &[u32]) -> usize {
    let most = runnable.iter().copied().max().unwrap_or(0) as usize;
    while priorities.len() <= most {
        // The upper half; those that are lowered come below.
        priorities.push(random.bits() | 1 << 63);
    }
    let by_priority = |&place: &usize| priorities[runnable[place] as usize];
    (0..runnable.len()).max_by_key(by_priority).unwrap_or(0)
}
