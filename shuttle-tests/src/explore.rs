//! One scenario over many schedules.

use crate::schedule::{Chooser, Kind, Seed, Trace};
use mainspring::sync::shuttle::{abandon, explored};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Steps of one schedule; more means that something waits in a loop for what does not come.
const STEPS_MAX: usize = 1_000_000;
/// Of each task. Debug builds take much.
const STACK_BYTES: usize = 1 << 20;
/// Schedules of each kind, where the environment says nothing.
const SCHEDULES: u64 = 60;

/// All schedules of a process run one after another: the runtime's statics are theirs in turn.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What came of a scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// How many schedules it ran.
    pub schedules: u64,
    /// Of how many steps in all.
    pub steps: u64,
}

/// Runs `scenario` in schedules of both kinds, 60 of each or `MAINSPRING_SHUTTLE_SCHEDULES`, from
/// seed 0 on; or in the one that `MAINSPRING_SHUTTLE_SEED` names. Says how many there were; where
/// `MAINSPRING_SHUTTLE_LOG` names a file, a line `name schedules steps milliseconds` is added to it.
///
/// # Panics
///
/// When the scenario does in some schedule, when its tasks wait for one another, or take more than a
/// million steps. It prints the seed first.
pub fn explore(name: &str, scenario: impl Fn() + Send + Sync + 'static) -> Told {
    let scenario = Arc::new(scenario);
    let began = Instant::now();
    let mut told = Told::default();
    for seed in seeds() {
        let trace = one(name, seed, scenario.clone());
        told.schedules += 1;
        told.steps += trace.steps;
    }
    let ms = began.elapsed().as_millis();
    let Told { schedules, steps } = told;
    println!("{name}: {schedules} schedules, {steps} steps, {ms} ms");
    if let Some(log) = std::env::var_os("MAINSPRING_SHUTTLE_LOG") {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log opens");
        writeln!(log, "{name} {schedules} {steps} {ms}").expect("the log takes a line");
    }
    told
}

/// Runs `scenario` in the schedule of `seed`; how that went.
///
/// # Panics
///
/// As [`explore`].
pub fn trace(name: &str, seed: Seed, scenario: impl Fn() + Send + Sync + 'static) -> Trace {
    one(name, seed, Arc::new(scenario))
}

fn seeds() -> Vec<Seed> {
    if let Ok(seed) = std::env::var("MAINSPRING_SHUTTLE_SEED") {
        return vec![seed.parse().unwrap_or_else(|error| panic!("{error}"))];
    }
    let count = std::env::var("MAINSPRING_SHUTTLE_SCHEDULES").map_or(SCHEDULES, |count| {
        let wrong = |_| panic!("MAINSPRING_SHUTTLE_SCHEDULES={count}: expected a number");
        count.parse().unwrap_or_else(wrong)
    });
    let both = |number| [Kind::Random, Kind::Pct].map(|kind| Seed { kind, number });
    (0..count).flat_map(both).collect()
}

fn one(name: &str, seed: Seed, scenario: Arc<impl Fn() + Send + Sync + 'static>) -> Trace {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let trace = Arc::new(Mutex::new(Trace::default()));
    let chooser = Chooser::new(seed, trace.clone());
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.failure_persistence = FailurePersistence::None; // the seed says it all
    let runner = Runner::new(chooser, config);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runner.run(move || explored(|| scenario()))
    }));
    let trace = *trace.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(failure) = ran {
        abandon();
        eprintln!("{name} fails after {} steps; the same again:", trace.steps);
        eprintln!(
            "MAINSPRING_SHUTTLE_SEED={seed} RUSTFLAGS=\"--cfg mainspring_shuttle\" cargo test \
             -p shuttle-tests --target-dir target/shuttle {name} -- --nocapture"
        );
        resume_unwind(failure);
    }
    trace
}
