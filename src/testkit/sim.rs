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

use crate::actor::Address;
use crate::config::Config;
use crate::dead_letter::DeadLetter;
use crate::dispatcher::worker::Chosen;
use crate::system::System;
use crate::timer::{Clock, ManualClock};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// Turns that a trace keeps.
const TRACE_MAX: usize = 10_000;
/// A turn in so many changes an actor's priority.
const CHANGE_IN: u64 = 24;
/// The longest batch drawn.
const BATCH_MAX: u64 = 8;

/// A small generator: splitmix64. The same seed gives the same numbers on every platform.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// One turn of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// The turn's number, from 1.
    pub turn: u64,
    /// When it ran, on the system's clock.
    pub at: Duration,
    /// The actor's place in its system; a later actor may come to have it.
    pub cell: u32,
    /// How many actors there were to choose from.
    pub among: usize,
    /// The most messages that it might handle.
    pub batch: u32,
    /// The actor's behavior.
    pub behavior: &'static str,
    /// What became a dead letter in it.
    pub dead_letters: Vec<DeadLetter>,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            turn,
            at,
            cell,
            among,
            batch,
            behavior,
            ..
        } = self;
        write!(
            f,
            "turn {turn} at {at:?}: actor {cell} ({behavior}), 1 of {among}, up to {batch}"
        )?;
        for letter in &self.dead_letters {
            write!(f, "\n    dead letter {}: {}", letter.message, letter.cause)?;
        }
        Ok(())
    }
}

/// How the next actor is chosen.
#[derive(Debug)]
enum Strategy {
    /// Each with the same chance.
    Uniform,
    /// The one of the highest priority, which a turn in [`CHANGE_IN`] lowers: long stretches of
    /// some, while others starve. By place of the actor.
    Priorities(Vec<u64>),
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
    random: Random,
    strategy: Strategy,
    system: System,
    hand: ManualClock,
    now_ns: u64,
    runnable: Vec<u32>,
    turns: u64,
    hash: u64,
    letters_seen: u64,
    trace: VecDeque<Ran>,
    allowed: Vec<String>,
    invariants: Vec<Invariant>,
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
        let (clock, hand) = Clock::manual();
        let system = match System::stepped(config, clock) {
            Ok(system) => system,
            Err(error) => panic!("the simulated system can't be made: {error}"),
        };
        let strategy = match seed % 2 {
            1 => Strategy::Uniform,
            _ => Strategy::Priorities(Vec::new()),
        };
        Self {
            seed,
            random: Random::new(seed),
            strategy,
            system,
            hand,
            now_ns: 0,
            runnable: Vec::new(),
            turns: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            letters_seen: 0,
            trace: VecDeque::new(),
            allowed: Vec::new(),
            invariants: Vec::new(),
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
    /// [`Metrics::dead_letters`](crate::Metrics::dead_letters), as `panicked` or `unhandled`.
    ///
    /// # Panics
    ///
    /// If there is no such cause.
    pub fn allow(&mut self, cause: &str) {
        let metrics = self.system.metrics();
        let known: Vec<_> = metrics.dead_letters.iter().map(|(name, _)| *name).collect();
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

    /// Runs one turn of an actor that the seed chooses; false if nobody is runnable now.
    ///
    /// # Panics
    ///
    /// If the turn made a dead letter that is not allowed, or an invariant does not hold.
    pub fn step(&mut self) -> bool {
        let (random, strategy) = (&mut self.random, &mut self.strategy);
        let mut among = 0;
        let mut choose = |runnable: &[u32]| {
            among = runnable.len();
            let place = choose(strategy, random, runnable);
            (place, 1 + random.below(BATCH_MAX) as u32)
        };
        let chosen = self.system.run_chosen(&mut self.runnable, &mut choose);
        let Some(Chosen {
            cell,
            batch,
            behavior,
        }) = chosen
        else {
            return false;
        };
        self.turns += 1;
        let ran = Ran {
            turn: self.turns,
            at: self.now(),
            cell,
            among,
            batch,
            behavior,
            dead_letters: self.new_letters(),
        };
        self.note(ran);
        self.check();
        true
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
        for letter in &ran.dead_letters {
            add(letter.message.as_bytes());
            add(letter.cause.name().as_bytes());
        }
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(ran);
    }

    fn check(&self) {
        if let Some(ran) = self.trace.back() {
            let refused = ran.dead_letters.iter().find(|letter| {
                let name = letter.cause.name();
                !self.allowed.iter().any(|allowed| allowed == name)
            });
            if let Some(letter) = refused {
                panic!(
                    "{ran}\nfails the test; if it is meant to be, `sim.allow({:?})`",
                    letter.cause.name()
                );
            }
        }
        for (name, holds) in &self.invariants {
            if let Err(text) = holds(&self.system) {
                panic!(
                    "the invariant {name:?} does not hold after turn {}: {text}",
                    self.turns
                );
            }
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
        self.hand.set_ns(self.now_ns);
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

fn choose(strategy: &mut Strategy, random: &mut Random, runnable: &[u32]) -> usize {
    let priorities = match strategy {
        Strategy::Uniform => return random.below(runnable.len() as u64) as usize,
        Strategy::Priorities(priorities) => priorities,
    };
    let most = runnable.iter().copied().max().unwrap_or(0) as usize;
    while priorities.len() <= most {
        // The upper half; those that are lowered come below.
        priorities.push(random.bits() | 1 << 63);
    }
    let first = |priorities: &[u64]| {
        let by_priority = |&place: &usize| priorities[runnable[place] as usize];
        (0..runnable.len()).max_by_key(by_priority).unwrap_or(0)
    };
    let place = first(priorities);
    if random.one_in(CHANGE_IN) {
        priorities[runnable[place] as usize] = random.bits() >> 1;
        return first(priorities);
    }
    place
}

/// Runs `test` once for each seed, in a new [`Sim`]; at its end everybody runs until idle.
///
/// With `MAINSPRING_SEED` in the environment only that seed runs, and its trace is printed.
///
/// # Panics
///
/// With the first failure's own panic, after its seed, the line that replays it and the latest turns
/// were printed.
pub fn simulate(seeds: impl IntoIterator<Item = u64>, test: impl Fn(&mut Sim)) {
    simulate_with(Config::default(), seeds, test);
}

/// As [`simulate`], each system with this configuration.
///
/// # Panics
///
/// As [`simulate`]; if `MAINSPRING_SEED` is not a number; if there are no seeds.
pub fn simulate_with(
    config: Config,
    seeds: impl IntoIterator<Item = u64>,
    test: impl Fn(&mut Sim),
) {
    let only = std::env::var("MAINSPRING_SEED").ok().map(|seed| {
        let number = seed.parse::<u64>();
        number.unwrap_or_else(|_| panic!("MAINSPRING_SEED is {seed:?}, a number is expected"))
    });
    let mut ran = 0_u64;
    let run = |seed: u64| {
        let mut sim = Sim::with_config(seed, config.clone());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            test(&mut sim);
            sim.run_until_idle();
        }));
        if only.is_some() || outcome.is_err() {
            let shown = if only.is_some() { TRACE_MAX } else { 20 };
            for ran in sim.trace.iter().skip(sim.trace.len().saturating_sub(shown)) {
                eprintln!("{ran}");
            }
        }
        if let Err(payload) = outcome {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("the_test");
            eprintln!("seed {seed} failed; to replay it: MAINSPRING_SEED={seed} cargo test {name}");
            resume_unwind(payload);
        }
    };
    match only {
        Some(seed) => {
            ran += 1;
            run(seed);
        }
        None => {
            for seed in seeds {
                ran += 1;
                run(seed);
            }
        }
    }
    assert!(ran > 0, "a simulation of no seeds shows nothing");
}
