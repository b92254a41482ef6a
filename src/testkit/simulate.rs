//! A test over many seeds: the first that fails is shrunk, replayed and explained.

use super::shrink::{Smaller, Tapes, shrink};
use super::sim::{Exploration, Sim, TRACE_MAX};
use super::sometimes;
use crate::config::Config;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

/// Turns of the trace that a failure prints.
const SHOWN: usize = 20;

/// Runs `test` once for each seed, in a new [`Sim`]; at its end everybody runs until idle.
///
/// The first failure is shrunk: the test runs again with less of what the seed gave it, as long as
/// it fails for the same reason, some 500 times at most; fewer faults come first, then fewer turns,
/// then smaller numbers from [`Sim::random`]. What it prints is the smallest run, explained. So
/// `test` is called again with seeds that it has seen, and should keep no count of its calls.
///
/// With `MAINSPRING_SEED` in the environment only that seed runs, and its whole trace is printed;
/// with `MAINSPRING_SHRINK=0` nothing is shrunk.
///
/// # Panics
///
/// With the panic of the smallest failing run, after its seed, the line that replays it and the
/// latest turns were printed; if a [`sometimes!`](crate::testkit::sometimes) was never true.
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
    simulate_by(Exploration::Mixed, config, seeds, test);
}

/// As [`simulate_with`], with the order chosen as `exploration` says.
///
/// # Panics
///
/// As [`simulate_with`].
pub fn simulate_by(
    exploration: Exploration,
    config: Config,
    seeds: impl IntoIterator<Item = u64>,
    test: impl Fn(&mut Sim),
) {
    watch_panics();
    let only = std::env::var("MAINSPRING_SEED").ok().map(|seed| {
        let number = seed.parse::<u64>();
        number.unwrap_or_else(|_| panic!("MAINSPRING_SEED is {seed:?}, a number is expected"))
    });
    let markers = sometimes::Suite::begin();
    let run = |seed: u64| {
        let outcome = one_run((&config, exploration), seed, None, only.is_some(), &test);
        if let (Some(_), Ok(sim)) = (only, &outcome) {
            print_turns(sim, TRACE_MAX);
        }
        if let Err(failed) = outcome {
            fail((&config, exploration), seed, failed, only.is_some(), &test);
        }
    };
    let mut ran = 0_u64;
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
    if only.is_none() {
        markers.end(ran);
    }
}

/// A run that failed.
struct Failed {
    sim: Sim,
    payload: Box<dyn Any + Send>,
    /// Where it panicked, and what the kit gave as reason.
    reason: (Option<String>, Option<String>),
}

impl Failed {
    fn size(&self) -> Smaller {
        let tapes = self.sim.tapes();
        Smaller {
            faults: self.sim.faults_count,
            turns: self.sim.turns(),
            numbers: tapes.test.iter().map(|&number| u128::from(number)).sum(),
            tapes,
        }
    }
}

fn one_run(
    (config, exploration): (&Config, Exploration),
    seed: u64,
    tapes: Option<&Tapes>,
    explains: bool,
    test: &impl Fn(&mut Sim),
) -> Result<Sim, Box<Failed>> {
    let mut sim = Sim::played(seed, config.clone(), exploration, tapes);
    if explains {
        sim.explain();
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        test(&mut sim);
        sim.run_until_idle();
    }));
    match outcome {
        Ok(()) => Ok(sim),
        Err(payload) => {
            let reason = (PLACE.take(), sim.fails_by.take());
            Err(Box::new(Failed {
                sim,
                payload,
                reason,
            }))
        }
    }
}

/// Shrinks a failure, prints it and fails with it.
fn fail(
    how: (&Config, Exploration),
    seed: u64,
    failed: Box<Failed>,
    whole: bool,
    test: &impl Fn(&mut Sim),
) -> ! {
    let first = failed.size();
    let reason = failed.reason.clone();
    let mut smallest = first.clone();
    if std::env::var_os("MAINSPRING_SHRINK").is_none_or(|set| set != "0") {
        QUIET.set(true);
        smallest = shrink(smallest, |tapes| {
            let failed = one_run(how, seed, Some(tapes), false, test).err()?;
            (failed.reason == reason).then(|| failed.size())
        });
        QUIET.set(false);
    }
    let again = one_run(how, seed, Some(&smallest.tapes), true, test);
    let failed = match again {
        Err(again) if again.reason == reason => again,
        // The test does not do the same when it is run again.
        _ => failed,
    };
    print_turns(&failed.sim, if whole { TRACE_MAX } else { SHOWN });
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("the_test");
    eprintln!(
        "seed {seed} failed: {} turns and {} faults, shrunk to {} and {}; to replay it: \
         MAINSPRING_SEED={seed} cargo test {name}",
        first.turns, first.faults, smallest.turns, smallest.faults
    );
    resume_unwind(failed.payload);
}

fn print_turns(sim: &Sim, most: usize) {
    for ran in sim.trace().skip(sim.trace().count().saturating_sub(most)) {
        eprintln!("{ran}");
    }
}

thread_local! {
    /// Whether this thread's panics are printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Where this thread's last panic was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes where a thread panics, so that two failures can be told apart, and lets the hook before it
/// speak unless the thread is shrinking.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            // A thread that ends has no place for it, and no simulation.
            let _ = PLACE.try_with(|noted| noted.replace(place));
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
}
