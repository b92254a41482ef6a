//! The dispatcher: workers, the cores that they run on, and the queue from outside.

pub(crate) mod batch_clock;
pub(crate) mod core;
pub(crate) mod effects;
pub(crate) mod pinning;
pub(crate) mod sharing;
pub(crate) mod stats;
pub(crate) mod watchdog;
pub(crate) mod worker;

use self::core::Core;
use crate::config::DispatcherConfig;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::deque::{Injector, Stealer, Worker as Deque};
use crate::sync::idle::{Idle, Rest};
use crate::sync::lend::Board;
use crate::sync::orders::Orders;
use crate::sync::parker::Parker;
use crate::sync::spares::{Place, Spares};
use crate::timer::TimerKey as WheelKey;
use sharing::Sharing;
use stats::WorkerStats;
use std::sync::Arc;

/// The number of an actor's cell, on a run queue.
pub(crate) type Runnable = u32;

/// What the workers of one dispatcher share.
///
/// Its threads have numbers: first the workers, then the spares that were started so far. Its seats
/// have too, see `core.rs`; at first the workers have theirs.
pub(crate) struct Dispatcher {
    pub(crate) id: u16,
    pub(crate) name: String,
    /// Its one worker belongs to one actor, and ends with it.
    pub(crate) own: bool,
    pub(crate) config: DispatcherConfig,
    /// The system-wide number of its first worker.
    pub(crate) first_worker: u32,
    pub(crate) spin_ns: u64,
    pub(crate) injector: Injector<Runnable>,
    idle: Arc<Idle>,
    pub(crate) sharing: Sharing,
    /// Each worker's ready and fresh queues.
    pub(crate) stealers: Vec<(Stealer<Runnable>, Stealer<Runnable>)>,
    pub(crate) stats: Vec<Arc<WorkerStats>>,
    /// Timers that others want cancelled on each thread's wheel.
    orders: Vec<Orders<WheelKey>>,
    /// What each thread lends.
    pub(crate) lent: Board<Core>,
    spares: Spares<Queues>,
    /// The core of each seat, if it has one of its own.
    cores: Vec<Option<usize>>,
    stopping: AtomicBool,
}

/// The ready and the fresh queue of a thread.
type Queues = (Deque<Runnable>, Deque<Runnable>);

/// What each worker of a new dispatcher gets for its own.
pub(crate) struct WorkerParts {
    pub(crate) queues: Queues,
    /// None for a spare.
    pub(crate) seat: Option<Rest>,
}

impl Dispatcher {
    pub(crate) fn new(
        id: u16,
        name: &str,
        config: DispatcherConfig,
        first_worker: u32,
        cores: Vec<Option<usize>>,
    ) -> (Arc<Self>, Vec<WorkerParts>) {
        // A spare for each worker.
        let stats = (0..2 * config.workers).map(|_| Arc::default()).collect();
        Self::with_stats(id, name, config, first_worker, stats, cores)
    }

    /// A dispatcher of one worker for one actor. `before` was one that has ended: its place is
    /// taken and its counters go on.
    pub(crate) fn for_one_actor(
        id: u16,
        mut config: DispatcherConfig,
        first_worker: u32,
        before: Option<&Self>,
    ) -> (Arc<Self>, Vec<WorkerParts>) {
        config.workers = 1;
        config.thread_name.push_str("-own");
        let stats = before.map_or_else(|| vec![Arc::default()], |before| before.stats.clone());
        Self::with_stats(id, "", config, first_worker, stats, vec![None])
    }

    fn with_stats(
        id: u16,
        name: &str,
        config: DispatcherConfig,
        first_worker: u32,
        stats: Vec<Arc<WorkerStats>>,
        cores: Vec<Option<usize>>,
    ) -> (Arc<Self>, Vec<WorkerParts>) {
        let workers = config.workers;
        let threads = stats.len();
        let (idle, rests) = Idle::new(workers, workers.div_ceil(2));
        let mut queues: Vec<_> = (0..threads)
            .map(|_| (Deque::new_fifo(), Deque::new_lifo()))
            .collect();
        let stealers = queues
            .iter()
            .map(|(ready, fresh)| (ready.stealer(), fresh.stealer()))
            .collect();
        let spares = Spares::new(workers, queues.split_off(workers));
        let dispatcher = Self {
            id,
            name: name.to_owned(),
            own: name.is_empty(),
            first_worker,
            spin_ns: config.spin.as_nanos() as u64,
            injector: Injector::new(),
            idle,
            sharing: Sharing::new(),
            stealers,
            stats,
            orders: (0..threads).map(|_| Orders::default()).collect(),
            lent: Board::new(threads),
            spares,
            cores,
            stopping: AtomicBool::new(false),
            config,
        };
        let parts = queues.into_iter().zip(rests);
        let parts = parts.map(|(queues, rest)| WorkerParts {
            queues,
            seat: Some(rest),
        });
        (Arc::new(dispatcher), parts.collect())
    }

    /// Puts an actor on the queue from outside and sees to it that somebody runs it.
    pub(crate) fn inject(&self, number: Runnable) {
        self.injector.push(number);
        self.idle.wake_one();
    }

    /// Wakes a sleeping worker, unless one is awake and searching.
    pub(crate) fn wake_one(&self) -> bool {
        let counts = self.idle.counts();
        counts.searching == 0 && counts.unparked < self.idle.workers() && self.idle.wake_one()
    }

    /// How many threads it has by now, spares included.
    pub(crate) fn threads(&self) -> usize {
        self.spares.threads()
    }

    /// Whether the thread number `index` may be in a turn.
    pub(crate) fn is_awake(&self, index: usize) -> bool {
        match self.spares.place(index) {
            Place::Seat(seat) => !self.idle.is_asleep(seat),
            Place::Nowhere => true,
            Place::Spare => false,
        }
    }

    /// Where the thread number `index` is.
    pub(crate) fn place(&self, index: usize) -> Place {
        self.spares.place(index)
    }

    /// Whether the worker with this seat sleeps.
    pub(crate) fn is_asleep(&self, seat: usize) -> bool {
        self.idle.is_asleep(seat)
    }

    /// Whether all seats are taken by threads that do not sleep.
    pub(crate) fn all_awake(&self) -> bool {
        self.idle.counts().unparked == self.idle.workers()
    }

    /// Whether actors wait in a queue that any worker may take from.
    pub(crate) fn any_work_waits(&self) -> bool {
        let waiting = |(ready, fresh): &(Stealer<_>, Stealer<_>)| ready.len() + fresh.len() > 0;
        !self.injector.is_empty() || self.stealers.iter().any(waiting)
    }

    /// Whether all workers sleep, or have ended or are about to.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_stopping() || (self.idle.counts().unparked == 0 && !self.spares.any_lost())
    }

    /// Whether a queue holds something that any worker may take.
    pub(crate) fn anything_to_steal(&self) -> bool {
        let keeps = self.sharing.keeps();
        let stealable =
            |((ready, fresh), stats): (&(Stealer<_>, Stealer<_>), &Arc<WorkerStats>)| {
                ready.len() + fresh.len() > 1 && !(keeps && stats.has_short_turns())
            };
        let mut queues = self.stealers.iter().zip(&self.stats);
        !self.injector.is_empty() || queues.any(stealable)
    }

    /// Asks the workers to end once they have nothing to run.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.idle.wake_all();
        self.spares.wake_all();
    }

    #[inline(always)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Asks the thread number `index` to cancel timers.
    pub(crate) fn order_cancels(&self, index: usize, keys: impl Iterator<Item = WheelKey>) {
        self.orders[index].leave(keys);
        self.spares.wake(index, &self.idle);
    }

    #[inline(always)]
    pub(crate) fn has_orders(&self, index: usize) -> bool {
        self.orders[index].any()
    }

    pub(crate) fn take_orders(&self, index: usize) -> Vec<WheelKey> {
        self.orders[index].take()
    }

    // Seats; see `core.rs`.

    /// Moves the calling thread to the core of `seat`, if it has one.
    pub(crate) fn pin_to(&self, seat: usize) -> Result<(), pinning::PinError> {
        self.cores[seat].map_or(Ok(()), pinning::pin_current_thread)
    }

    /// Takes note that a visitor took the seat of the thread number `index`.
    pub(crate) fn lost_seat(&self, index: usize) {
        self.spares.lost_seat(index);
    }

    /// The calling thread, number `index`, has no seat and waits for one with `parker`.
    pub(crate) fn become_spare(&self, index: usize, parker: &Parker) {
        self.spares.add(index, parker.unparker());
    }

    /// The seat that was given to the spare number `index`, which is a spare no more.
    pub(crate) fn take_seat(&self, index: usize) -> Option<Rest> {
        self.spares.take_seat(index)
    }

    /// The spare number `index` ends.
    pub(crate) fn leave_spares(&self, index: usize) {
        self.spares.leave(index);
    }

    /// Gives a spare the seat.
    pub(crate) fn give_seat(&self, seat: Rest) {
        self.spares.give(seat);
    }

    /// Whether a spare waits for a seat; else what a new one starts with, if there may be more.
    pub(crate) fn find_spare(&self) -> Result<(), Option<(usize, WorkerParts)>> {
        if self.spares.any_waits() {
            return Ok(());
        }
        let queues = self.spares.start_one();
        Err(queues.map(|(index, queues)| (index, WorkerParts { queues, seat: None })))
    }
}
