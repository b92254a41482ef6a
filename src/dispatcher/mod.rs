//! The dispatcher: workers, the cores that they run on, and the queue from outside.

pub(crate) mod batch_clock;
pub(crate) mod effects;
pub(crate) mod pinning;
pub(crate) mod stats;
pub(crate) mod watchdog;
pub(crate) mod worker;

use crate::config::DispatcherConfig;
use crate::sync::idle::{Idle, Rest};
use crate::sync::{Mutex, lock};
use crate::timer::TimerKey as WheelKey;
use crossbeam_deque::{Injector, Stealer, Worker as Deque};
use stats::WorkerStats;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of an actor's cell, on a run queue.
pub(crate) type Runnable = u32;

/// What the workers of one dispatcher share.
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
    /// Each worker's ready and fresh queues.
    pub(crate) stealers: Vec<(Stealer<Runnable>, Stealer<Runnable>)>,
    pub(crate) stats: Vec<Arc<WorkerStats>>,
    orders: Vec<Orders>,
    stopping: AtomicBool,
}

/// Timers that other workers want cancelled on one worker's wheel.
#[derive(Default)]
struct Orders {
    any: AtomicBool,
    cancels: Mutex<Vec<WheelKey>>,
}

/// What each worker of a new dispatcher gets for its own.
pub(crate) struct WorkerParts {
    pub(crate) queues: (Deque<Runnable>, Deque<Runnable>),
    pub(crate) rest: Rest,
}

impl Dispatcher {
    pub(crate) fn new(
        id: u16,
        name: &str,
        config: DispatcherConfig,
        first_worker: u32,
    ) -> (Arc<Self>, Vec<WorkerParts>) {
        let stats = (0..config.workers).map(|_| Arc::default()).collect();
        Self::with_stats(id, name, config, first_worker, stats)
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
        Self::with_stats(id, "", config, first_worker, stats)
    }

    fn with_stats(
        id: u16,
        name: &str,
        config: DispatcherConfig,
        first_worker: u32,
        stats: Vec<Arc<WorkerStats>>,
    ) -> (Arc<Self>, Vec<WorkerParts>) {
        let workers = config.workers;
        let (idle, rests) = Idle::new(workers, workers.div_ceil(2));
        let queues: Vec<_> = (0..workers)
            .map(|_| (Deque::new_fifo(), Deque::new_lifo()))
            .collect();
        let dispatcher = Self {
            id,
            name: name.to_owned(),
            own: name.is_empty(),
            first_worker,
            spin_ns: config.spin.as_nanos() as u64,
            injector: Injector::new(),
            idle,
            stealers: queues
                .iter()
                .map(|(ready, fresh)| (ready.stealer(), fresh.stealer()))
                .collect(),
            stats,
            orders: (0..workers).map(|_| Orders::default()).collect(),
            stopping: AtomicBool::new(false),
            config,
        };
        let parts = queues.into_iter().zip(rests);
        let parts = parts.map(|(queues, rest)| WorkerParts { queues, rest });
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
        counts.searching == 0 && counts.unparked < self.stats.len() && self.idle.wake_one()
    }

    /// Whether worker `index` does not sleep.
    pub(crate) fn is_awake(&self, index: usize) -> bool {
        !self.idle.is_asleep(index)
    }

    /// Whether actors wait in a queue that any worker may take from.
    pub(crate) fn any_work_waits(&self) -> bool {
        let waiting = |(ready, fresh): &(Stealer<_>, Stealer<_>)| ready.len() + fresh.len() > 0;
        !self.injector.is_empty() || self.stealers.iter().any(waiting)
    }

    /// Whether all workers sleep, or have ended or are about to.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_stopping() || self.idle.counts().unparked == 0
    }

    /// Whether a queue holds something that any worker may take.
    pub(crate) fn anything_to_steal(&self) -> bool {
        let stealable = |(ready, fresh): &(Stealer<_>, Stealer<_>)| ready.len() + fresh.len() > 1;
        !self.injector.is_empty() || self.stealers.iter().any(stealable)
    }

    /// Asks the workers to end once they have nothing to run.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.idle.wake_all();
    }

    #[inline(always)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Asks worker `index` to cancel a timer.
    pub(crate) fn order_cancel(&self, index: usize, key: WheelKey) {
        let orders = &self.orders[index];
        lock(&orders.cancels).push(key);
        orders.any.store(true, Ordering::Release);
        self.idle.wake_worker(index);
    }

    #[inline(always)]
    pub(crate) fn has_orders(&self, index: usize) -> bool {
        self.orders[index].any.load(Ordering::Relaxed)
    }

    pub(crate) fn take_orders(&self, index: usize) -> Vec<WheelKey> {
        let orders = &self.orders[index];
        orders.any.swap(false, Ordering::AcqRel);
        std::mem::take(&mut lock(&orders.cancels))
    }
}
