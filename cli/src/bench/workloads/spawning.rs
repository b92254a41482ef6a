//! Actors made in great numbers: a tree of them that adds up, and a million that stay.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use mainspring::prelude::*;

use super::super::measure::{Goal, Measure};
use super::super::memory::resident_bytes;
use super::super::meter::{Meter, Sample};
use super::super::setting::Setting;
use super::stage::{Arrival, Nothing, Stage, Tally, sum_below};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 2] {
    [&Skynet, &SpawnAndKeep]
}

/// A tree of actors, ten below each, whose leaves' numbers are added up on the way back.
struct Skynet;

const BRANCHES: u32 = 10;

impl Workload for Skynet {
    fn name(&self) -> &'static str {
        "skynet"
    }

    fn group(&self) -> Group {
        Group::Spawning
    }

    fn about(&self) -> &'static str {
        "An actor spawns ten, each of them ten, down to a million leaves; each leaf tells its \
         number and ends, and the others tell the sum of those below them."
    }

    fn message(&self) -> &'static str {
        "one actor spawned, heard and ended"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 1_000_000,
            quick: 100_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::Seconds
    }

    /// The goal is a cold start's.
    fn warms_up(&self) -> bool {
        false
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![
            Goal::new(Measure::Seconds, 0.15),
            Goal::new(Measure::ResidentPeakBytes, 64e6),
        ]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let leaves = u32::try_from(setting.size)
            .map_err(|_| Wrong("its size is the number of leaves, below 2^32".to_owned()))?;
        let stage = Stage::set(setting)?;
        stage.expect(1)?;
        let planting = Planting {
            usher: stage.usher(),
            leaves,
        };
        let (window, tally) = meter.window(|| {
            stage.system.spawn(planting, Nothing)?;
            stage.wait()
        });
        let expected = Tally {
            count: 1,
            sum: sum_below(setting.size),
        };
        tally?.must_be("sums at the root", expected)?;
        stage.close()?;
        let actors = actors_of(leaves);
        let seconds = window.elapsed.as_secs_f64();
        Ok(window.sample(actors).with(Measure::Seconds, seconds))
    }
}

/// How many actors a tree with so many leaves has.
fn actors_of(leaves: u32) -> u64 {
    match leaves {
        1 => 1,
        // Equal pieces have equally many: a tree of a million is counted in a few steps.
        _ if leaves.is_multiple_of(BRANCHES) => {
            1 + u64::from(BRANCHES) * actors_of(leaves / BRANCHES)
        }
        _ => {
            1 + pieces(0, leaves)
                .map(|(_, size)| actors_of(size))
                .sum::<u64>()
        }
    }
}

/// Cuts the leaves `first..first + size` into ten pieces, or into single ones if there are fewer.
fn pieces(first: u32, size: u32) -> impl Iterator<Item = (u32, u32)> {
    let count = size.min(BRANCHES);
    let cut = move |n: u32| (u64::from(size) * u64::from(n) / u64::from(count)) as u32;
    (0..count).map(move |n| (first + cut(n), cut(n + 1) - cut(n)))
}

/// The one above the tree; its message is the sum of all.
#[derive(Clone, Copy)]
struct Planting {
    usher: ActorRef<Arrival>,
    leaves: u32,
}

impl Behavior for Planting {
    type Machine = Nothing;
    type Message = u64;

    fn on_start(&self, above: Snapshot<Self>) -> Plan<Self> {
        let root = Growing {
            above: above.me(),
            first: 0,
            size: self.leaves,
        };
        Plan::<Self>::spawn(root, Sum::of(self.leaves)).into()
    }

    fn on_message(&self, sum: u64, _: Snapshot<Self>) -> Plan<Self> {
        Plan::tell(self.usher, Arrival::Done(Tally { count: 1, sum }))
    }
}

/// An actor of the tree, with the leaves `first..first + size` below it; a leaf has itself. Its
/// message is the sum of one of those below.
#[derive(Clone, Copy)]
struct Growing {
    above: ActorRef<u64>,
    first: u32,
    size: u32,
}

struct Sum {
    sum: u64,
    missing: u64,
}

impl Sum {
    /// Nothing yet, of those below one with `size` leaves.
    fn of(size: u32) -> Sum {
        Sum {
            sum: 0,
            missing: u64::from(size.min(BRANCHES)),
        }
    }
}

impl Machine for Sum {
    type Event = u64;

    fn apply(&mut self, sum: u64) {
        self.sum += sum;
        self.missing -= 1;
    }
}

impl Behavior for Growing {
    type Machine = Sum;
    type Message = u64;

    fn on_start(&self, here: Snapshot<Self>) -> Plan<Self> {
        if self.size == 1 {
            return Plan::tell(self.above, u64::from(self.first)).and(Plan::stop());
        }
        let below = pieces(self.first, self.size).map(|(first, size)| {
            let child = Growing {
                above: here.me(),
                first,
                size,
            };
            Plan::<Self>::spawn(child, Sum::of(size))
        });
        below.fold(Plan::none(), Plan::and)
    }

    fn on_message(&self, sum: u64, here: Snapshot<Self>) -> Plan<Self> {
        match here.missing {
            1 => Plan::tell(self.above, here.sum + sum).and(Plan::stop()),
            _ => Plan::emit(sum),
        }
    }
}

/// Actors that are spawned from inside, told once, and stay.
struct SpawnAndKeep;

/// Actors that one turn spawns. Few, so that those spawned get their turn between those of the
/// spawner, and do not pile up with the number they were told.
const BURST: u64 = 4;
/// More than enough to let the last of the new actors have its turn.
const SETTLING: Duration = Duration::from_millis(20);

impl Workload for SpawnAndKeep {
    fn name(&self) -> &'static str {
        "spawn-and-keep"
    }

    fn group(&self) -> Group {
        Group::Spawning
    }

    fn about(&self) -> &'static str {
        "One actor spawns a million others of 16 bytes of state, tells each a number, and all stay."
    }

    fn message(&self) -> &'static str {
        "one actor spawned and told"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 1_000_000,
            quick: 200_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::MessagesPerS
    }

    /// Its memory is a first run's.
    fn warms_up(&self) -> bool {
        false
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![
            Goal::new(Measure::MessagesPerS, 20e6),
            Goal::new(Measure::BytesEach, 160.0),
        ]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        // What a run that went wrong left there.
        KEPT.take();
        let stage = Stage::set(setting)?;
        let spawning = Spawning {
            usher: stage.usher(),
            count: setting.size,
        };
        let spawner = stage.system.spawn(spawning, Spawned(0))?;
        stage.expect(1)?;
        let before = resident_bytes();
        let (window, tally) = meter.window(|| {
            spawner.tell(SpawnMore)?;
            stage.wait()
        });
        tally?.must_be(
            "actors spawned",
            Tally {
                count: setting.size,
                sum: 0,
            },
        )?;
        thread::sleep(SETTLING);
        let grown = resident_bytes().saturating_sub(before);
        // Besides them there are the spawner and the usher.
        Wrong::unless_equal("actors alive", stage.system.actors(), setting.size + 2)?;
        stage.close()?;
        KEPT.take().must_be(
            "numbers told",
            Tally {
                count: setting.size,
                sum: sum_below(setting.size),
            },
        )?;
        Ok(window
            .sample(setting.size)
            .with(Measure::BytesEach, grown as f64 / setting.size as f64))
    }
}

struct SpawnMore;

struct Spawned(u64);

impl Machine for Spawned {
    type Event = Spawned;

    fn apply(&mut self, more: Spawned) {
        self.0 += more.0;
    }
}

#[derive(Clone, Copy)]
struct Spawning {
    usher: ActorRef<Arrival>,
    count: u64,
}

impl Behavior for Spawning {
    type Machine = Spawned;
    type Message = SpawnMore;

    fn on_message(&self, _: SpawnMore, spawned: Snapshot<Self>) -> Plan<Self> {
        let from = spawned.0;
        let to = self.count.min(from + BURST);
        let mut plan = Plan::emit(Spawned(to - from));
        for number in from..to {
            let child = Plan::<Self>::spawn(Staying, Kept::default());
            plan = plan.and(child.then(|child| Plan::tell(child, number)));
        }
        if to < self.count {
            plan.and(Plan::tell(spawned.me(), SpawnMore))
        } else {
            let all = Tally { count: to, sum: 0 };
            plan.and(Plan::tell(self.usher, Arrival::Done(all)))
        }
    }
}

#[derive(Clone, Copy)]
struct Staying;

impl Behavior for Staying {
    type Machine = Kept;
    type Message = u64;

    fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(number)
    }
}

/// What one actor was told. Its drop, at the shutdown, adds it to that of all others: no message
/// is spent on the check.
#[derive(Default)]
struct Kept {
    count: u64,
    sum: u64,
}

impl Machine for Kept {
    type Event = u64;

    fn apply(&mut self, number: u64) {
        self.count += 1;
        self.sum += number;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.count.fetch_add(self.count, Relaxed);
        KEPT.sum.fetch_add(self.sum, Relaxed);
    }
}

/// What all actors that are gone were told.
static KEPT: AllKept = AllKept {
    count: AtomicU64::new(0),
    sum: AtomicU64::new(0),
};

struct AllKept {
    count: AtomicU64,
    sum: AtomicU64,
}

impl AllKept {
    /// What was added since the last call. Exact once the system has been shut down.
    fn take(&self) -> Tally {
        Tally {
            count: self.count.swap(0, Relaxed),
            sum: self.sum.swap(0, Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_it_and_none_is_empty() {
        for size in [1, 2, 9, 10, 11, 19, 1_000_003, u32::MAX] {
            let mut next = 5u64;
            for (first, size) in pieces(5, size.min(u32::MAX - 5)) {
                assert_eq!(u64::from(first), next);
                assert!(size > 0);
                next += u64::from(size);
            }
            assert_eq!(next, 5 + u64::from(size.min(u32::MAX - 5)));
        }
    }

    #[test]
    fn a_tree_of_a_thousand_leaves_has_a_hundred_and_eleven_above_them() {
        assert_eq!(actors_of(1_000), 1_111);
        assert_eq!(actors_of(11), 11 + 1 + 1);
    }
}
