//! Metrics: what the workers, the actor types and the memory are doing, read at any time.
//!
//! Workers count with plain stores to lines of their own, so counting costs the same whether or
//! not anybody reads. Reading walks over all cells: about 10 nanoseconds for each actor that there
//! ever was room for.

use crate::actor::Counts;
use crate::actor::cell::{ActorCell, life};
use crate::dispatcher::stats::WorkerStats;
use crate::sync::atomic::Ordering::Relaxed;
use crate::system::Shared;
use std::mem::size_of;
use std::time::Duration;

/// A reading of a system's counters, from [`System::metrics`](crate::System::metrics).
///
/// The counters are read one after the other while others go on, so that they fit together only
/// when nothing runs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// The system's name: `system.name`.
    pub system: String,
    /// How long the counters have counted: since the system's clock began, or since the earlier
    /// reading of [`Metrics::since`].
    pub span: Duration,
    /// All workers, dispatcher by dispatcher.
    pub workers: Vec<WorkerMetrics>,
    /// All types of behavior that ever had an actor, in the order of the first.
    pub types: Vec<TypeMetrics>,
    /// How many dead letters there were of each [`Cause`](crate::Cause), by the cause's name.
    pub dead_letters: Vec<(&'static str, u64)>,
    /// How often the breaker of a target was opened.
    pub breakers_opened: u64,
    /// Bytes.
    pub memory: MemoryMetrics,
}

/// What one worker did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Its dispatcher's name; empty for the own thread of one actor.
    pub dispatcher: String,
    /// Its number in the dispatcher.
    pub index: usize,
    /// Time in turns, counted when the worker looks at the clock: every 20 microseconds or so.
    pub busy: Duration,
    /// Time searching for work and asleep, counted when it ends.
    pub idle: Duration,
    /// Runs of an actor.
    pub turns: u64,
    /// Messages handled.
    pub messages: u64,
    /// Times that it took work from another worker.
    pub steals: u64,
    /// Times that it went to sleep.
    pub parks: u64,
    /// Times that it woke another worker to share a backlog.
    pub wakes: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Panics of user code.
    pub panics: u64,
    /// Messages let in above a capacity to break circles of waiting actors.
    pub overdraft: u64,
    /// Calls of [`Plan::escape`](crate::Plan::escape).
    pub escapes: u64,
    /// Turns longer than `system.watchdog_warn`.
    pub long_turns: u64,
    /// Actors waiting in its queues when it last looked at the clock. A gauge.
    pub queue: u64,
    /// The longest run of an actor so far among those that were timed alone: each that follows a
    /// sleep, and all once they are longer than 20 microseconds. A gauge.
    pub longest_turn: Duration,
}

impl WorkerMetrics {
    /// The share of its time that it was busy, 0 to 1.
    pub fn busy_share(&self) -> f64 {
        let all = self.busy + self.idle;
        if all.is_zero() {
            return 0.0;
        }
        self.busy.as_secs_f64() / all.as_secs_f64()
    }

    /// The mean length of a run of an actor.
    pub fn mean_turn(&self) -> Duration {
        mean(self.busy, self.turns)
    }
}

fn mean(time: Duration, count: u64) -> Duration {
    if count == 0 {
        return Duration::ZERO;
    }
    Duration::from_nanos((time.as_nanos() / u128::from(count)) as u64)
}

/// What the actors of one behavior did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TypeMetrics {
    /// The behavior's type.
    pub name: &'static str,
    /// Actors that live. A gauge.
    pub alive: u64,
    /// Actors ever made.
    pub spawned: u64,
    /// How their messages fared, those of ended actors included: what was accepted was handled,
    /// failed or dead-lettered, or is queued.
    pub counts: Counts,
    /// The mean time of a message in the mailbox and in hand; none while none was done with.
    ///
    /// By Little's law: the mean number of queued messages over the rate at which they are done
    /// with. The number is taken at the reading only, and at the earlier one for
    /// [`Metrics::since`], so it is an estimate that is good for a steady load.
    pub queue_wait: Option<Duration>,
}

impl TypeMetrics {
    fn done(&self) -> u64 {
        self.counts.handled + self.counts.failed + self.counts.dead_lettered
    }

    fn estimate_wait(&mut self, span: Duration, queued: f64) {
        let done = self.done();
        self.queue_wait = (done > 0).then(|| span.mul_f64(queued / done as f64));
    }
}

/// Bytes that the runtime holds for actors and messages. What a machine or a message holds beyond
/// its cell or envelope is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryMetrics {
    /// Envelopes, those kept for reuse included.
    pub envelopes_bytes: u64,
    /// The actors' cells, those kept for reuse included.
    pub cells_bytes: u64,
    /// `system.memory_ceiling_bytes`.
    pub ceiling_bytes: u64,
}

impl Metrics {
    /// What happened between `earlier` and this reading of the same system: counters less the
    /// earlier ones; gauges as they are now.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut now = self.clone();
        now.span = self.span.saturating_sub(earlier.span);
        for (now, then) in now.workers.iter_mut().zip(&earlier.workers) {
            now.busy = now.busy.saturating_sub(then.busy);
            now.idle = now.idle.saturating_sub(then.idle);
            for (now, then) in [
                (&mut now.turns, then.turns),
                (&mut now.messages, then.messages),
                (&mut now.steals, then.steals),
                (&mut now.parks, then.parks),
                (&mut now.wakes, then.wakes),
                (&mut now.timers, then.timers),
                (&mut now.panics, then.panics),
                (&mut now.overdraft, then.overdraft),
                (&mut now.escapes, then.escapes),
                (&mut now.long_turns, then.long_turns),
            ] {
                *now = now.saturating_sub(then);
            }
        }
        for (index, kind) in now.types.iter_mut().enumerate() {
            let new = TypeMetrics::default();
            let then = earlier.types.get(index).unwrap_or(&new);
            kind.spawned = kind.spawned.saturating_sub(then.spawned);
            let counts = &mut kind.counts;
            counts.accepted = counts.accepted.saturating_sub(then.counts.accepted);
            counts.handled = counts.handled.saturating_sub(then.counts.handled);
            counts.failed = counts.failed.saturating_sub(then.counts.failed);
            counts.dead_lettered = counts
                .dead_lettered
                .saturating_sub(then.counts.dead_lettered);
            let queued = (counts.queued + then.counts.queued) as f64 / 2.0;
            kind.estimate_wait(now.span, queued);
        }
        now.breakers_opened = now.breakers_opened.saturating_sub(earlier.breakers_opened);
        for (now, then) in now.dead_letters.iter_mut().zip(&earlier.dead_letters) {
            now.1 = now.1.saturating_sub(then.1);
        }
        now
    }

    /// The messages of all actors, those that have ended included.
    ///
    /// When nothing runs, `accepted == handled + failed + dead_lettered + queued`.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        for kind in &self.types {
            totals.add(&kind.counts);
        }
        totals
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.handled += other.handled;
        self.failed += other.failed;
        self.dead_lettered += other.dead_lettered;
        self.queued += other.queued;
    }
}

impl Shared {
    /// Reads all counters.
    pub(crate) fn metrics(&self) -> Metrics {
        let names = self.type_names();
        let mut metrics = Metrics {
            system: self.config.system.name.clone(),
            span: Duration::from_nanos(self.clock().now_ns()),
            dead_letters: self.dead_letters.by_cause().collect(),
            breakers_opened: self.circuits().opened(),
            memory: self.memory(),
            ..Metrics::default()
        };
        metrics.types = names
            .into_iter()
            .map(|name| TypeMetrics {
                name,
                ..TypeMetrics::default()
            })
            .collect();
        for dispatcher in self.dispatchers() {
            for (index, stats) in dispatcher.stats[..dispatcher.threads()].iter().enumerate() {
                let name = dispatcher.name.clone();
                metrics.workers.push(read_worker(name, index, stats));
                for (kind, stats) in metrics.types.iter_mut().zip(stats.types()) {
                    kind.spawned += stats.ended.get();
                    kind.counts.add(&Counts {
                        accepted: stats.accepted.get(),
                        handled: stats.handled.get(),
                        failed: stats.failed.get(),
                        dead_lettered: stats.dead_lettered.get(),
                        queued: 0,
                    });
                }
            }
        }
        self.cells.for_each(|_, cell| {
            let number = usize::from(cell.type_number.load(Relaxed));
            if cell.inbox.is_dead() || cell.life.flags() & life::ENDED != 0 {
                return;
            }
            if let Some(kind) = metrics.types.get_mut(number) {
                kind.alive += 1;
                kind.spawned += 1;
                kind.counts.add(&cell.counts());
            }
        });
        let span = metrics.span;
        for kind in &mut metrics.types {
            kind.estimate_wait(span, kind.counts.queued as f64);
        }
        metrics
    }

    /// What the runtime's memory is.
    pub(crate) fn memory(&self) -> MemoryMetrics {
        MemoryMetrics {
            envelopes_bytes: self.depot.bytes(),
            cells_bytes: self.cells_bytes(),
            ceiling_bytes: self.config.system.memory_ceiling_bytes,
        }
    }

    pub(crate) fn cells_bytes(&self) -> u64 {
        self.cells.made() * size_of::<ActorCell>() as u64
    }
}

fn read_worker(dispatcher: String, index: usize, stats: &WorkerStats) -> WorkerMetrics {
    WorkerMetrics {
        dispatcher,
        index,
        busy: Duration::from_nanos(stats.busy_ns.get()),
        idle: Duration::from_nanos(stats.idle_ns.get()),
        turns: stats.turns.get(),
        messages: stats.messages.get(),
        steals: stats.steals.get(),
        parks: stats.parks.get(),
        wakes: stats.wakes.get(),
        timers: stats.timers.get(),
        panics: stats.panics.get(),
        overdraft: stats.overdraft.get(),
        escapes: stats.escapes.get(),
        long_turns: stats.long_turns.get(),
        queue: stats.queue.get(),
        longest_turn: Duration::from_nanos(stats.longest_turn_ns.get()),
    }
}
