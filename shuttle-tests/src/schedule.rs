//! Who runs next: by the seed alone.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Steps in a row of the task of the highest rank, after which it loses it: actors that never come to
/// rest would have the others wait for ever.
const ROW_MAX: u64 = 5_000;

/// How the next task is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each that can run is as likely as another.
    Random,
    /// By rank, with one to five steps at which the running task loses its own.
    Pct,
}

/// A schedule, by what decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// How the next task is chosen.
    pub kind: Kind,
    /// Which of this kind.
    pub number: u64,
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Random => "random",
            Kind::Pct => "pct",
        };
        write!(f, "{kind}:{}", self.number)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected random:NUMBER or pct:NUMBER");
        let (kind, number) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "random" => Kind::Random,
            "pct" => Kind::Pct,
            _ => return Err(wrong()),
        };
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Self { kind, number })
    }
}

/// How a schedule went: equal for equal schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// How often the scheduler chose.
    pub steps: u64,
    /// All choices, hashed.
    pub hash: u64,
}

/// One schedule.
pub(crate) struct Chooser {
    seed: Seed,
    random: u64,
    is_used: bool,
    /// The highest runs. Those who lost theirs are below all others.
    ranks: HashMap<usize, i64>,
    lowest: i64,
    /// The steps at which the running task loses its rank.
    changes: Vec<u64>,
    /// The task chosen last, and how often in a row while others could run.
    row: (usize, u64),
    trace: Arc<Mutex<Trace>>,
}

impl Chooser {
    pub(crate) fn new(seed: Seed, trace: Arc<Mutex<Trace>>) -> Self {
        let mut chooser = Self {
            seed,
            random: seed.number,
            is_used: false,
            ranks: HashMap::new(),
            lowest: 0,
            changes: Vec::new(),
            row: (0, 0),
            trace,
        };
        // Nobody knows how long a schedule gets: the steps lie within a length of 2^8 to 2^15.
        let length = 1 << (8 + chooser.next_u64() % 8);
        for _ in 0..=chooser.next_u64() % 5 {
            let step = chooser.next_u64() % length;
            chooser.changes.push(step);
        }
        chooser
    }

    fn drop_rank(&mut self, task: usize) {
        self.lowest -= 1;
        self.ranks.insert(task, self.lowest);
    }
}

impl Scheduler for Chooser {
    fn new_execution(&mut self) -> Option<Schedule> {
        let first = !std::mem::replace(&mut self.is_used, true);
        first.then(|| Schedule::new(self.seed.number))
    }

    fn next_task(
        &mut self,
        can_run: &[&Task],
        current: Option<TaskId>,
        yields: bool,
    ) -> Option<TaskId> {
        let chosen = match self.seed.kind {
            Kind::Random => {
                let place = self.next_u64() % can_run.len() as u64;
                can_run[place as usize].id()
            }
            Kind::Pct => {
                for task in can_run {
                    let number = usize::from(task.id());
                    if !self.ranks.contains_key(&number) {
                        let rank = (self.next_u64() >> 2) as i64;
                        self.ranks.insert(number, rank);
                    }
                }
                let step = self
                    .trace
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .steps;
                let running = current.filter(|id| can_run.iter().any(|task| task.id() == *id));
                if let Some(running) = running
                    && (yields || self.changes.contains(&step) || self.row.1 >= ROW_MAX)
                {
                    self.drop_rank(running.into());
                }
                let rank = |task: &&&Task| self.ranks.get(&usize::from(task.id()));
                can_run.iter().max_by_key(rank)?.id()
            }
        };
        let chosen_number = usize::from(chosen);
        if self.row.0 != chosen_number {
            self.row = (chosen_number, 0);
        } else if can_run.len() > 1 {
            self.row.1 += 1;
        }
        let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        trace.steps += 1;
        // FNV-1a.
        trace.hash = (trace.hash ^ chosen_number as u64).wrapping_mul(0x0100_0000_01b3);
        Some(chosen)
    }

    /// Splitmix: G. Steele and others, "Fast splittable pseudorandom number generators", 2014.
    fn next_u64(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
