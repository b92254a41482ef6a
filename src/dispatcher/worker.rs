//! The worker: one thread, its queues, and the loop that runs actors.
//!
//! ```text
//!            schedule                          next
//!   LIFO slot ◀── woken actor, newest     ──▶ 1. LIFO slot, at most `lifo_cap` in a row
//!      │ displaced                            2. newborn actors, newest first: a tree of
//!      ▼                                         spawns is walked in depth, so few live at once
//!   ready ──▶ oldest first                    3. ready actors, oldest first
//!   fresh ──▶ newest first                    4. the injector, and every 61st turn before all
//!   injector ◀── outside, other dispatchers   5. others' queues: oldest of both kinds
//! ```
//!
//! - W1: an actor is in one queue at a time, on one worker (its inbox word sees to it).
//! - W2: work that one may steal is found by somebody: a worker that goes to sleep looks again at
//!   all queues after it said so; a worker with a backlog of more than a few microseconds wakes
//!   another.
//! - W3: user code runs only inside `ActorCell::run`, under a catch; nothing it does ends the loop.

use super::batch_clock::BatchClock;
use super::core::{Core, NOBODY, Refused};
use super::sharing::{Done, KEPT_STUCK_NS};
use super::stats::{Runs, TypeStats, WorkerStats};
use super::{Dispatcher, Runnable};
use crate::actor::cell::{ActorCell, After, End, Running};
use crate::actor::{Address, Counts, Exit, Origin, Turn};
use crate::dead_letter::Cause;
use crate::envelope::{Kind, List, Parcel, Pending, Pool, Published, publish, with_pool};
use crate::plan::Steps;
use crate::plan::commit::{Committed, Reserved};
use crate::sync::atomic::{Ordering::Acquire, fence};
use crate::sync::deque::{Steal, Worker as Deque};
use crate::sync::idle::Rest;
use crate::sync::inbox::{Chain, Wake};
use crate::sync::lend::{Left, Lend};
use crate::sync::parker::Parker;
use crate::sync::scope::{self, Scope};
use crate::sync::slots::BATCH;
use crate::sync::spin::Spin;
use crate::sync::thread_local;
use crate::sync::time::Instant;
use crate::system::Shared;
use crate::system::quota::Purse;
use hashbrown::HashMap;
use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How long a stretch of turns between two looks at the clock should be.
const LOOK_NS: u64 = 20_000;
/// The most turns between two looks at the clock: enough for short ones to make a reading cheap, few
/// enough for the first long ones after them.
const LOOK_TURNS: u32 = 64;
/// A backlog worth waking another worker for: several times what the wake costs the waker, and more
/// than is done by the time the other is awake.
const SHARE_NS: u64 = 50_000;
/// The same with newborns in it, each of which may be the root of a tree.
const SHARE_NEWBORNS_NS: u64 = 10_000;
/// A backlog of one may be taken from a worker that has been in one turn for so long.
const STUCK_NS: u64 = 5_000;
/// A mean time of a message from which nothing waits behind later ones of a batch.
const SLOW_NS: u64 = 1_000;
/// The most targets of a plan whose list of places is kept: 32 KiB.
const RESERVED_MAX: usize = 4_096;
/// Newborns in a row before a ready actor gets its turn.
const FRESH_CAP: u32 = 16;

thread_local! {
    static WORKER: Scope<Worker> = const { Scope::empty() };
}

/// Gives `look` the worker that this thread is, if it is one. What it lends it has back meanwhile.
#[inline(always)]
pub(crate) fn with<R>(look: impl FnOnce(Option<&Worker>) -> R) -> R {
    struct LendAgain<'a>(&'a Worker);
    impl Drop for LendAgain<'_> {
        fn drop(&mut self) {
            self.0.core.lend();
        }
    }
    peek(|worker| {
        let lends = worker.filter(|worker| worker.core.is_lent());
        let _again = lends.map(|worker| {
            worker.take_back();
            LendAgain(worker)
        });
        look(worker)
    })
}

/// As [`with`], for a look that keeps off what the worker lends: its [`Core`].
#[inline(always)]
pub(crate) fn peek<R>(look: impl FnOnce(Option<&Worker>) -> R) -> R {
    scope::current(&WORKER, look)
}

/// Says so, once for each behavior of a system, where a handler sends to `to` by itself.
#[cfg(debug_assertions)]
pub(crate) fn check_sender(to: Address) {
    with(|worker| {
        let Some((worker, behavior)) = worker.and_then(|w| Some((w, w.decides.get()?))) else {
            return;
        };
        let mut warned = crate::sync::lock(&worker.shared.warned);
        if !warned.contains(&behavior) {
            warned.push(behavior);
            let me = worker.me();
            eprintln!(
                "mainspring: actor {me} ({behavior}) sends to {to} from its handler, and what it \
                 sent stays sent if the turn fails; return `Plan::tell` or `Plan::ask` instead, or \
                 `Plan::escape` for what no step can say"
            );
        }
    });
}

/// A handler decides until it is dropped.
#[cfg(debug_assertions)]
pub(crate) struct Deciding<'a>(&'a Worker);

#[cfg(debug_assertions)]
impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        self.0.decides.set(None);
    }
}

/// The asker and the number for an ask that a plan is being built with.
pub(crate) fn next_ask() -> (Address, u64) {
    peek(|worker| match worker {
        None => (Address::NOBODY, 0),
        Some(worker) => {
            let number = worker.ask_number.get() + 1;
            worker.ask_number.set(number);
            (worker.me(), number)
        }
    })
}

/// A turn that [`Worker::run_chosen`] ran.
#[cfg(feature = "testkit")]
pub(crate) struct Chosen {
    pub(crate) cell: u32,
    pub(crate) batch: u32,
    pub(crate) behavior: &'static str,
}

/// See the module's text.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    /// Its number in the dispatcher.
    pub(crate) index: usize,
    /// Its number in the system.
    pub(crate) id: u32,
    pool: Pool,
    core: Lend<Core>,
    /// Whether its seat is another's: it runs nobody more.
    is_spare: Cell<bool>,
    lifo_run: Cell<u32>,
    fresh_run: Cell<u32>,
    ready: Deque<Runnable>,
    fresh: Deque<Runnable>,
    /// Room for what fires at once.
    due: Cell<Vec<Parcel>>,
    pub(crate) numbers: RefCell<Vec<u32>>,
    pub(crate) clock: BatchClock,
    pub(crate) stats: Arc<WorkerStats>,
    types: RefCell<Vec<Arc<TypeStats>>>,
    type_numbers: RefCell<HashMap<TypeId, u16>>,
    /// The type asked for last.
    last_type: Cell<Option<(TypeId, u16)>>,
    collected: Cell<List>,
    /// Room for the places that a plan reserves.
    reserved: Cell<Reserved>,
    me_cell: Cell<u32>,
    me_generation: Cell<NonZeroU32>,
    system: u32,
    one_message: u64,
    one_question: u64,
    last_target: Cell<u32>,
    exit: Cell<Option<Exit>>,
    ask_number: Cell<u64>,
    /// The latest number of a message that this worker stamped.
    pub(crate) message_number: Cell<u64>,
    /// Where the question came from whose continuation comes next.
    pub(crate) asked: Cell<Option<Box<Origin>>>,
    /// Whom that question asks.
    #[cfg(any(debug_assertions, feature = "testkit"))]
    pub(crate) asked_of: Cell<Option<Address>>,
    in_hand: Cell<Option<Kind>>,
    /// The behavior whose handler runs.
    #[cfg(debug_assertions)]
    decides: Cell<Option<&'static str>>,
    failure: Cell<Option<Cause>>,
    stop_reason: Cell<Option<Arc<str>>>,
    /// Until when the latest question in hand is of use; 0 for a message that came back and is none.
    pub(crate) ask_by_ns: Cell<u64>,
    /// By worker. Kept from search to search, so that one too short for the check ends it some time.
    stalled: Box<[Stalled]>,
    pub(crate) asks: Purse,
    pub(crate) timers: Purse,
    throughput: Cell<u32>,
    slice_ns: u64,
    lifo_cap: u32,
    injector_interval: u32,
    // The batch: when it was first timed, how far it was then.
    started_ns: Cell<u64>,
    timed_ns: Cell<u64>,
    timed_at: Cell<u32>,
    /// Whether turns are long: in this batch once it was timed, else those seen last.
    slow: Cell<bool>,
    is_timed: Cell<bool>,
    /// Whether the LIFO slot is used now: not while turns are long, when nothing may wait in it.
    uses_slot: Cell<bool>,
    // The loop: turns until the next look at the clock, and the mean turn seen last.
    tick: Cell<u32>,
    look_in: Cell<u32>,
    look_every: Cell<u32>,
    looked_ns: Cell<u64>,
    /// Messages handled by then.
    looked_at: Cell<u64>,
    /// Whether nothing was timed since the last search.
    is_back: Cell<bool>,
    turn_ns: Cell<u64>,
    spin: Spin,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        dispatcher: Arc<Dispatcher>,
        index: usize,
        queues: (Deque<Runnable>, Deque<Runnable>),
    ) -> Self {
        let clock = shared.clock();
        let now_ns = clock.now_ns();
        let config = &dispatcher.config;
        let id = dispatcher.first_worker + index as u32;
        Self {
            pool: Pool::new(shared.depot.clone()),
            core: Lend::new(Core::new(now_ns)),
            is_spare: Cell::new(false),
            lifo_run: Cell::new(0),
            fresh_run: Cell::new(0),
            ready: queues.0,
            fresh: queues.1,
            due: Cell::default(),
            numbers: RefCell::default(),
            clock: BatchClock::new(clock, shared.ids.next_worker()),
            stats: dispatcher.stats[index].clone(),
            types: RefCell::default(),
            type_numbers: RefCell::default(),
            last_type: Cell::new(None),
            collected: Cell::new(List::new()),
            reserved: Cell::default(),
            me_cell: Cell::new(Address::NOBODY.cell),
            me_generation: Cell::new(Address::NOBODY.generation),
            system: shared.tag,
            // A plan of a system with origins goes the long way, where it is stamped.
            one_message: match shared.has_origins {
                true => Steps::NO_PLAN,
                false => Steps::one_message(shared.tag),
            },
            one_question: match shared.has_origins {
                true => Steps::NO_PLAN,
                false => Steps::one_question(shared.tag),
            },
            last_target: Cell::new(NOBODY),
            exit: Cell::new(None),
            ask_number: Cell::new(u64::from(id) << 48),
            message_number: Cell::new(u64::from(id + 1) << 40),
            asked: Cell::default(),
            #[cfg(any(debug_assertions, feature = "testkit"))]
            asked_of: Cell::new(None),
            in_hand: Cell::new(None),
            #[cfg(debug_assertions)]
            decides: Cell::new(None),
            failure: Cell::new(None),
            stop_reason: Cell::new(None),
            ask_by_ns: Cell::new(0),
            stalled: vec![Stalled::default(); dispatcher.stealers.len()].into(),
            asks: Purse::default(),
            timers: Purse::default(),
            throughput: Cell::new(u32::try_from(config.throughput).unwrap_or(u32::MAX)),
            slice_ns: config.slice.as_nanos() as u64,
            lifo_cap: config.lifo_cap as u32,
            injector_interval: config.injector_interval as u32,
            started_ns: Cell::new(0),
            timed_ns: Cell::new(0),
            timed_at: Cell::new(0),
            slow: Cell::new(false),
            is_timed: Cell::new(false),
            uses_slot: Cell::new(config.lifo_cap > 0),
            tick: Cell::new(0),
            look_in: Cell::new(1),
            look_every: Cell::new(1),
            looked_ns: Cell::new(now_ns),
            looked_at: Cell::new(0),
            is_back: Cell::new(true),
            turn_ns: Cell::new(0),
            spin: Spin::new(),
            shared,
            dispatcher,
            index,
            id,
        }
    }

    /// Makes this thread the worker while `run` runs.
    pub(crate) fn scoped<R>(&self, run: impl FnOnce() -> R) -> R {
        with_pool(&self.pool, || scope::enter(&WORKER, self, run))
    }

    /// The loop of a thread, until the dispatcher stops; without a seat it begins as a spare.
    pub(crate) fn run(&self, seat: Option<Rest>) {
        self.stats.runs.set(Runs::Nobody);
        self.is_spare.set(seat.is_none());
        self.core().seat.set(seat);
        if self.is_spare.get() {
            self.take_the_long_way();
        }
        let dispatcher = self.dispatcher.clone();
        dispatcher.lent.show(self.index, &self.core, || {
            self.scoped(|| {
                loop {
                    if let Some(number) = self.next() {
                        self.run_one(number);
                    } else if !self.look_for_work() {
                        break;
                    }
                }
            });
        });
        self.stats.runs.set(Runs::Ended);
    }

    /// What is lent while code of the user runs; it is kept now.
    #[inline(always)]
    pub(crate) fn core(&self) -> &Core {
        self.core.kept()
    }

    /// Lends the core until the loan is dropped, while code of the user runs.
    ///
    /// Two stores and a load.
    #[inline(always)]
    pub(crate) fn lend(&self) -> Loan<'_> {
        self.core.lend();
        Loan(self)
    }

    #[inline(always)]
    fn take_back(&self) {
        if self.core.take_back() == Left::News {
            self.hear();
        }
    }

    /// Looks at what was done to the core in a turn that took long.
    #[cold]
    #[inline(never)]
    fn hear(&self) {
        let core = self.core();
        if let Some(refused) = core.refused.take() {
            let Refused {
                target,
                list,
                places,
            } = refused;
            if let Some(cell) = self.cell(target) {
                self.target_closed(target, cell, list, places);
            }
        }
        let seat = core.seat.take();
        self.is_spare.set(seat.is_none());
        core.seat.set(seat);
        self.take_the_long_way();
    }

    /// Lets the next look for an actor notice that this thread has no seat.
    fn take_the_long_way(&self) {
        self.tick.set(self.injector_interval.saturating_sub(1));
    }

    /// Runs actors until nothing is ready, or `budget` of real time has passed, whatever the
    /// system's own clock says. Returns whether more is ready.
    pub(crate) fn run_ready(&self, budget: Option<Duration>) -> bool {
        self.scoped(|| {
            let began = Instant::now();
            self.look_at_clock();
            loop {
                let Some(number) = self.next() else {
                    self.look_at_clock();
                    // Timers may be due and not fired yet: a look moves a bounded number of them.
                    if self.has_work() || self.core().next_timer_ns.get() <= self.looked_ns.get() {
                        continue;
                    }
                    self.stats.runs.set(Runs::Nobody);
                    return false;
                };
                self.run_one(number);
                if budget.is_some_and(|budget| began.elapsed() >= budget) {
                    self.stats.runs.set(Runs::Nobody);
                    return self.has_work();
                }
            }
        })
    }

    /// Runs one turn of the actor that `choose` picks among all that are ready, with the most
    /// messages that it names; none if nobody is ready now. `ready` is room to use again.
    #[cfg(feature = "testkit")]
    pub(crate) fn run_chosen(
        &self,
        ready: &mut Vec<u32>,
        choose: &mut dyn FnMut(&[u32]) -> (usize, u32),
    ) -> Option<Chosen> {
        self.scoped(|| {
            self.look_at_clock();
            ready.clear();
            ready.extend(std::iter::from_fn(|| self.next()));
            if ready.is_empty() {
                return None;
            }
            let (place, batch) = choose(ready);
            let number = ready.remove(place);
            for &other in ready.iter() {
                self.ready.push(other);
            }
            let type_number = self
                .shared
                .cells
                .get(number)?
                .type_number
                .load(crate::sync::atomic::Ordering::Relaxed);
            self.throughput.set(batch);
            self.run_one(number);
            Some(Chosen {
                cell: number,
                batch,
                behavior: self.shared.type_name(type_number),
            })
        })
    }

    /// Whether an actor is ready to run now.
    #[cfg(feature = "testkit")]
    pub(crate) fn has_ready(&self) -> bool {
        self.has_actors_to_run() || !self.fresh.is_empty()
    }

    /// When the loop looks at the timers next, if there are any.
    #[cfg(feature = "testkit")]
    pub(crate) fn next_timer_ns(&self) -> Option<u64> {
        Some(self.core().next_timer_ns.get()).filter(|&at_ns| at_ns < u64::MAX)
    }

    #[inline(always)]
    fn run_one(&self, number: u32) {
        let Some(cell) = self.shared.cells.get(number) else {
            debug_assert!(false, "a queue holds numbers of cells only");
            return;
        };
        self.stats.turns.add(1);
        self.stats.runs.set(Runs::Actor(number));
        if cell.run(self) == After::Again {
            self.ready.push(number);
        }
        let left = self.look_in.get() - 1;
        self.look_in.set(left);
        if left == 0 {
            self.look_at_clock();
        }
    }

    /// The next actor to run, from this worker's own queues and the injector.
    #[inline(always)]
    fn next(&self) -> Option<u32> {
        let tick = self.tick.get() + 1;
        self.tick.set(tick);
        if tick >= self.injector_interval {
            if self.is_spare.get() && !self.dispatcher.is_stopping() {
                return None;
            }
            self.tick.set(0);
            if let Some(number) = self.pop_injected().or_else(|| self.pop_ready()) {
                return Some(number);
            }
        }
        let lifo = self.core().lifo.replace(NOBODY);
        if lifo != NOBODY {
            let run = self.lifo_run.get() + 1;
            if run <= self.lifo_cap {
                self.lifo_run.set(run);
                return Some(lifo);
            }
            if self.is_empty() {
                // Nobody waited; who comes now waits for a row at most.
                self.lifo_run.set(1);
                return Some(lifo);
            }
            self.ready.push(lifo);
        }
        self.lifo_run.set(0);
        let fresh_run = self.fresh_run.get();
        if fresh_run < FRESH_CAP
            && !self.fresh.is_empty()
            && let Some(number) = self.fresh.pop()
        {
            self.fresh_run.set(fresh_run + 1);
            return Some(number);
        }
        self.fresh_run.set(0);
        self.pop_ready()
            .or_else(|| self.fresh.pop())
            .or_else(|| self.pop_injected())
    }

    #[inline(always)]
    fn pop_ready(&self) -> Option<u32> {
        // A look before the pop, which is a read-modify-write also on an empty queue.
        if self.ready.is_empty() {
            None
        } else {
            self.ready.pop()
        }
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.fresh.is_empty()
    }

    fn pop_injected(&self) -> Option<u32> {
        if self.dispatcher.injector.is_empty() {
            return None;
        }
        loop {
            match self.dispatcher.injector.steal_batch_and_pop(&self.ready) {
                Steal::Success(number) => return Some(number),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }

    /// Takes the time, fires timers, and shares a backlog. Now and then between turns.
    #[cold]
    #[inline(never)]
    fn look_at_clock(&self) {
        let now_ns = self.clock.read();
        let turns = u64::from(self.look_every.get());
        let elapsed_ns = now_ns.saturating_sub(self.looked_ns.replace(now_ns));
        // The first turn after a search waits for what the other core had; alone it tells nothing,
        // unless it is long.
        let is_telling = !self.is_back.replace(false) || elapsed_ns > LOOK_NS;
        let messages = self.stats.messages.get();
        let handled = messages.wrapping_sub(self.looked_at.replace(messages));
        if is_telling {
            self.turn_ns.set(elapsed_ns / turns);
            self.stats.message_ns.set(elapsed_ns / handled.max(turns));
        }
        let turn_ns = self.turn_ns.get();
        self.set_slow(self.stats.message_ns.get() > SLOW_NS);
        self.stats.busy_ns.add(elapsed_ns);
        if elapsed_ns > self.stats.longest_turn_ns.get() && turns == 1 {
            self.stats.longest_turn_ns.set(elapsed_ns);
        }
        let fitting = (LOOK_NS / turn_ns.max(1)).clamp(1, u64::from(LOOK_TURNS)) as u32;
        self.look_every.set(fitting.min(self.look_every.get() * 2));
        self.look_in.set(self.look_every.get());
        self.pool.forget_shortage();
        if now_ns >= self.core().next_timer_ns.get() {
            self.fire_timers(now_ns);
        }
        if self.dispatcher.has_orders(self.index) {
            self.follow_orders();
        }
        self.stats
            .next_timer_ns
            .set(self.core().next_timer_ns.get());
        let backlog = self.ready.len() + self.fresh.len();
        self.stats.queue.set(backlog as u64);
        if backlog > 1 && self.dispatcher.config.workers > 1 {
            self.share(now_ns, backlog as u64 * turn_ns.max(20));
        }
    }

    /// Sees to a backlog of `backlog_ns`: whether others should take from it, and a sleeper knows.
    fn share(&self, now_ns: u64, backlog_ns: u64) {
        let dispatcher = &self.dispatcher;
        let keeps = self.stats.has_short_turns()
            && dispatcher
                .sharing
                .learn(now_ns, || Done::so_far(&dispatcher.stats));
        let worth_ns = match self.fresh.is_empty() {
            true => SHARE_NS,
            false => SHARE_NEWBORNS_NS,
        };
        if !keeps && backlog_ns >= worth_ns && dispatcher.wake_one() {
            self.stats.wakes.add(1);
        }
    }

    pub(crate) fn fire_timers(&self, now_ns: u64) {
        let mut due = self.due.take();
        let fired = self.core().advance(now_ns, &mut due);
        self.stats.timers.add(fired as u64);
        for timer in due.drain(..) {
            self.fire(timer);
        }
        self.due.set(due);
    }

    /// The loop looks at the timers when it is `at_ns`, or before.
    #[inline(always)]
    pub(crate) fn look_by(&self, at_ns: u64) {
        let next = &self.core().next_timer_ns;
        if at_ns < next.get() {
            next.set(at_ns);
        }
    }

    /// Whether there is something to run or to fire now.
    fn has_work(&self) -> bool {
        self.core().lifo.get() != NOBODY
            || !self.is_empty()
            || !self.dispatcher.injector.is_empty()
            || self.dispatcher.has_orders(self.index)
            || self.dispatcher.is_stopping()
    }

    /// Spins, steals, sleeps. Returns false when the dispatcher has stopped.
    fn look_for_work(&self) -> bool {
        let Some(mut rest) = self.core().seat.take() else {
            return self.wait_for_seat();
        };
        let found = self.search(&mut rest);
        if found.is_some() {
            rest.found(|| self.dispatcher.anything_to_steal());
        }
        self.core().seat.set(Some(rest));
        match found {
            Some(number) => {
                self.run_one(number);
                true
            }
            None => self.last_look(),
        }
    }

    /// Spins, steals, sleeps; none when the dispatcher has stopped.
    fn search(&self, rest: &mut Rest) -> Option<u32> {
        self.stats.runs.set(Runs::Nobody);
        let idle_since_ns = self.clock.read();
        self.stats
            .busy_ns
            .add(idle_since_ns.saturating_sub(self.looked_ns.get()));
        let found = loop {
            if self.dispatcher.is_stopping() {
                break None;
            }
            let may_search = rest.start_search();
            let spin_ns = self.spin.span_ns(self.dispatcher.spin_ns);
            let began_ns = self.clock.read();
            let mut has_spun = false;
            let found = loop {
                if let Some(number) = self.find(may_search) {
                    break Some(number);
                }
                let now_ns = self.clock.read();
                if now_ns >= self.core().next_timer_ns.get() {
                    self.fire_timers(now_ns);
                    if self.has_work() {
                        continue;
                    }
                }
                if !may_search || now_ns - began_ns >= spin_ns || self.dispatcher.is_stopping() {
                    break None;
                }
                has_spun = true;
                for _ in 0..16 {
                    std::hint::spin_loop();
                }
            };
            if has_spun {
                self.spin.ended(found.is_some());
            }
            if found.is_some() {
                break found;
            }
            self.give_memory_back();
            let limit = self.until_next_timer();
            self.stats
                .next_timer_ns
                .set(self.core().next_timer_ns.get());
            self.stats.parks.add(1);
            // However it woke: the next round looks for work and at the timers.
            let _ = rest.sleep(limit, || {
                self.has_work() || (limit.is_none() && self.dispatcher.anything_to_steal())
            });
            self.shared.watchdog.worker_woke();
        };
        let now_ns = self.clock.read();
        self.stats.idle_ns.add(now_ns - idle_since_ns);
        self.looked_ns.set(now_ns);
        self.look_in.set(1);
        self.look_every.set(1);
        self.is_back.set(true);
        found
    }

    fn until_next_timer(&self) -> Option<Duration> {
        match self.core().next_timer_ns.get() {
            u64::MAX => None,
            at_ns => Some(Duration::from_nanos(
                at_ns.saturating_sub(self.clock.read()).max(1),
            )),
        }
    }

    /// Runs an actor that is on no run queue until it is done.
    pub(crate) fn run_alone(&self, cell: &ActorCell) {
        self.scoped(|| while cell.run(self) == After::Again {});
    }

    /// The dispatcher stops: whether there is something to run still.
    fn last_look(&self) -> bool {
        // What was on a run queue when it was stopped is seen here.
        fence(Acquire);
        self.follow_orders();
        let shuts_down = self.shared.is_closed(); // else one actor's own thread ends
        if shuts_down && !self.has_actors_to_run() && self.shared.live() > 0 {
            // Nobody waits for this end who would tell those made meanwhile to stop.
            self.shared.stop_all(0);
        }
        self.has_actors_to_run()
    }

    /// Its seat is another's: gives its actors to the others and waits for a seat, but fires its
    /// own timers. Returns false when the dispatcher has stopped and there is nothing to run.
    #[cold]
    #[inline(never)]
    fn wait_for_seat(&self) -> bool {
        self.stats.runs.set(Runs::Nobody);
        let mut parker = Parker::new();
        self.dispatcher.become_spare(self.index, &parker);
        self.give_memory_back();
        loop {
            if self.dispatcher.is_stopping() {
                self.dispatcher.leave_spares(self.index);
                return self.last_look();
            }
            if self.dispatcher.has_orders(self.index) {
                self.follow_orders();
            }
            let now_ns = self.clock.read();
            if now_ns >= self.core().next_timer_ns.get() {
                self.fire_timers(now_ns);
            }
            self.stats
                .next_timer_ns
                .set(self.core().next_timer_ns.get());
            self.give_actors_away();
            if let Some(seat) = self.dispatcher.take_seat(self.index) {
                // Its first owner was let there; if it can't be now, it runs where it may.
                let _ = self.dispatcher.pin_to(seat.worker());
                self.core().seat.set(Some(seat));
                self.is_spare.set(false);
                self.looked_ns.set(now_ns);
                self.look_in.set(1);
                self.look_every.set(1);
                return true;
            }
            match self.until_next_timer() {
                None => parker.park(),
                Some(limit) => {
                    let _ = parker.park_timeout(limit);
                }
            }
        }
    }

    /// Puts all that it would run next on the injector.
    fn give_actors_away(&self) {
        let lifo = Some(self.core().lifo.replace(NOBODY)).filter(|&number| number != NOBODY);
        let fresh = std::iter::from_fn(|| self.fresh.pop());
        let ready = std::iter::from_fn(|| self.pop_ready());
        for number in lifo.into_iter().chain(ready).chain(fresh) {
            self.dispatcher.inject(number);
        }
    }

    fn has_actors_to_run(&self) -> bool {
        self.core().lifo.get() != NOBODY || !self.is_empty() || !self.dispatcher.injector.is_empty()
    }

    fn find(&self, may_steal: bool) -> Option<u32> {
        if self.dispatcher.has_orders(self.index) {
            self.follow_orders();
        }
        if let Some(number) = self.next() {
            return Some(number);
        }
        if may_steal { self.steal() } else { None }
    }

    /// Takes work from another worker: the oldest newborn, or half of its ready actors. The last
    /// ready actor of a worker only when that worker is stuck in a turn: it would run it itself
    /// sooner than it could be moved. And likewise all of one that keeps its short turns, see
    /// `sharing.rs`.
    fn steal(&self) -> Option<u32> {
        let others = &self.dispatcher.stealers;
        let count = self.dispatcher.threads();
        let keeps = self.dispatcher.sharing.keeps();
        for i in 1..count {
            let victim = (self.index + i) % count;
            let (ready, fresh) = &others[victim];
            let backlog = ready.len() + fresh.len();
            if backlog == 0 {
                continue;
            }
            let stats = &self.dispatcher.stats[victim];
            let limit_ns = match backlog {
                _ if keeps && stats.has_short_turns() => KEPT_STUCK_NS,
                1 => STUCK_NS,
                _ => 0,
            };
            let stalled = &self.stalled[victim];
            if limit_ns > 0 && !stalled.check(stats.turns.get(), self.clock.read(), limit_ns) {
                continue;
            }
            loop {
                let stolen = match fresh.steal() {
                    Steal::Empty => ready.steal_batch_and_pop(&self.ready),
                    other => other,
                };
                match stolen {
                    Steal::Success(number) => {
                        self.stats.steals.add(1);
                        return Some(number);
                    }
                    Steal::Empty => break,
                    Steal::Retry => {}
                }
            }
        }
        None
    }

    fn give_memory_back(&self) {
        let kept = self.shared.numbers_kept(2 * BATCH);
        let mut numbers = self.numbers.borrow_mut();
        self.shared.cells.give_back(&mut numbers, kept);
        drop(numbers);
        while self.shared.depot.shrink() {
            if self.has_work() || self.dispatcher.anything_to_steal() {
                return;
            }
        }
    }

    /// Puts an actor, whose inbox said so, on a run queue.
    #[inline(always)]
    pub(crate) fn schedule(&self, number: u32, cell: &ActorCell) {
        if cell.dispatcher.load(crate::sync::atomic::Ordering::Relaxed) != self.dispatcher.id {
            self.shared.schedule(number, cell);
            return;
        }
        if !self.uses_slot.get() {
            self.ready.push(number);
            return;
        }
        let displaced = self.core().lifo.replace(number);
        if displaced != NOBODY {
            self.ready.push(displaced);
        }
    }

    /// Puts a newborn on a run queue.
    #[inline(always)]
    pub(crate) fn schedule_newborn(&self, number: u32, cell: &ActorCell) {
        if cell.dispatcher.load(crate::sync::atomic::Ordering::Relaxed) == self.dispatcher.id {
            self.fresh.push(number);
        } else {
            self.shared.schedule(number, cell);
        }
    }

    #[inline(always)]
    pub(crate) fn system(&self) -> u32 {
        self.system
    }

    /// The [`Steps::kind`] of one message to an actor of this system.
    #[inline(always)]
    pub(crate) fn one_message(&self) -> u64 {
        self.one_message
    }

    /// The [`Steps::kind`] of one question to an actor of this system, or of a message and timers.
    #[inline(always)]
    pub(crate) fn one_question(&self) -> u64 {
        self.one_question
    }

    /// This worker's own envelopes.
    #[inline(always)]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether the last turn of a full backlog told `target` something too, so that the next ones
    /// may as well.
    #[inline(always)]
    pub(crate) fn streams_to(&self, target: u32) -> bool {
        self.last_target.replace(target) == target
    }

    #[inline(always)]
    pub(crate) fn cell(&self, number: u32) -> Option<&ActorCell> {
        self.shared.cells.get(number)
    }

    /// The actor being run.
    #[inline(always)]
    pub(crate) fn me(&self) -> Address {
        Address {
            cell: self.me_cell.get(),
            generation: self.me_generation.get(),
            system: self.system,
        }
    }

    // The batch.

    /// Begins a batch of the actor.
    #[inline(always)]
    pub(crate) fn enter(&self, run: &Running<'_>) {
        let me = run.address(self);
        self.me_cell.set(me.cell);
        self.me_generation.set(me.generation);
        self.clock.begin();
        if self.is_timed.get() {
            self.forget_times();
        }
    }

    #[cold]
    fn forget_times(&self) {
        self.is_timed.set(false);
        self.set_slow(self.stats.message_ns.get() > SLOW_NS);
    }

    fn set_slow(&self, slow: bool) {
        self.slow.set(slow);
        self.uses_slot.set(!slow && self.lifo_cap > 0);
    }

    /// Notes how the running actor ends.
    #[cold]
    pub(crate) fn dies(&self, exit: Exit) -> End {
        self.exit.set(Some(exit));
        End::Dies
    }

    /// How the running actor ends.
    pub(crate) fn take_exit(&self) -> Exit {
        self.exit.take().unwrap_or(Exit::Normal)
    }

    #[inline(always)]
    pub(crate) fn turn(&self, ask_by_ns: u64) -> Turn<'_> {
        Turn {
            me: self.me(),
            clock: &self.clock,
            ask_by_ns,
        }
    }

    /// The time of the last look at the clock: 20 microseconds ago or so, unless turns are long.
    #[inline(always)]
    pub(crate) fn looked_ns(&self) -> u64 {
        self.looked_ns.get()
    }

    /// Notes that a handler of `B` decides, for [`check_sender`].
    #[cfg(debug_assertions)]
    pub(crate) fn deciding<B: crate::Behavior>(&self) -> Deciding<'_> {
        self.decides.set(Some(std::any::type_name::<B>()));
        Deciding(self)
    }

    #[inline(always)]
    pub(crate) fn take_in_hand(&self, kind: Kind) {
        self.in_hand.set(Some(kind));
    }

    #[inline(always)]
    pub(crate) fn nothing_in_hand(&self) {
        self.in_hand.set(None);
    }

    /// What kind of message the running turn handles.
    pub(crate) fn kind_in_hand(&self) -> Option<Kind> {
        self.in_hand.get()
    }

    pub(crate) fn in_hand(&self) -> Option<Kind> {
        self.in_hand.take()
    }

    /// Notes why a commit failed.
    #[cold]
    pub(crate) fn failed(&self, cause: Cause) -> Committed {
        self.failure.set(Some(cause));
        Committed::Failed
    }

    /// Notes why the running actor's plan stops it.
    pub(crate) fn set_stop_reason(&self, reason: Arc<str>) {
        self.stop_reason.set(Some(reason));
    }

    /// Why the last committed plan stops its actor.
    pub(crate) fn take_stop_reason(&self) -> Option<Arc<str>> {
        self.stop_reason.take()
    }

    /// Why the last commit failed.
    pub(crate) fn take_failure(&self) -> Cause {
        self.failure.take().unwrap_or(Cause::Full)
    }

    #[inline(always)]
    pub(crate) fn throughput(&self) -> u32 {
        self.throughput.get()
    }

    /// Whether the batch may go on with `left` of its messages. Looks at the clock after 1, 2, 4,
    /// 8 … messages, and after each once turns are slow.
    #[inline(always)]
    pub(crate) fn may_go_on(&self, left: u32) -> bool {
        let done = self.throughput.get() - left;
        if !done.is_power_of_two() && !self.slow.get() {
            return true;
        }
        self.time_batch(done)
    }

    #[inline(never)]
    fn time_batch(&self, done: u32) -> bool {
        let now_ns = self.clock.read();
        if self.is_timed.replace(true) {
            let turns = u64::from((done - self.timed_at.get()).max(1));
            self.set_slow((now_ns - self.timed_ns.get()) / turns > SLOW_NS);
        } else {
            self.started_ns.set(now_ns);
        }
        self.timed_ns.set(now_ns);
        self.timed_at.set(done);
        if self.slow.get() {
            self.flush();
        }
        now_ns - self.started_ns.get() < self.slice_ns
    }

    /// Whether turns are long enough that what one sends should not wait for the next.
    #[inline(always)]
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.get()
    }

    /// Whether messages take more memory than the system may have.
    #[inline(always)]
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.pool.is_short()
    }

    // What a commit does.

    #[inline(always)]
    pub(crate) fn pending(&self) -> &Pending {
        &self.core().pending
    }

    /// An empty list of reserved places.
    #[inline(always)]
    pub(crate) fn take_reserved(&self) -> Reserved {
        self.reserved.take()
    }

    /// Keeps the list's memory for the next plan, unless it is much.
    #[inline(always)]
    pub(crate) fn keep_reserved(&self, mut reserved: Reserved) {
        if reserved.spilled() && reserved.capacity() <= RESERVED_MAX {
            reserved.clear();
            self.reserved.set(reserved);
        }
    }

    /// Publishes what is pending.
    #[inline(always)]
    pub(crate) fn flush(&self) {
        if let Some(target) = self.pending().target() {
            self.flush_to(target);
        }
    }

    fn flush_to(&self, target: u32) {
        let Some(cell) = self.cell(target) else {
            return;
        };
        let published = self.pending().publish(&cell.inbox);
        self.after_publish(target, cell, published);
    }

    /// Publishes a message, for which a place is held, at once with those pending before it.
    #[inline(always)]
    pub(crate) fn publish_now(&self, target: u32, cell: &ActorCell, parcel: Parcel) {
        let published = self.pending().publish_with(&cell.inbox, parcel);
        self.after_publish(target, cell, published);
    }

    /// Publishes messages that are linked already, `leased` of them with places that are held.
    #[inline(always)]
    pub(crate) fn publish_chain(
        &self,
        (target, cell): (u32, &ActorCell),
        (chain, count): (Chain, u32),
        leased: u32,
    ) {
        let published = publish(&cell.inbox, chain, count, leased);
        self.after_publish(target, cell, published);
    }

    #[inline(always)]
    fn after_publish(&self, target: u32, cell: &ActorCell, published: Published) {
        match published {
            Published::In(Wake::Enqueue) => self.schedule(target, cell),
            Published::In(Wake::Nothing) => {}
            Published::Closed(list, places) => self.target_closed(target, cell, list, places),
        }
    }

    #[cold]
    fn target_closed(&self, target: u32, cell: &ActorCell, mut list: List, places: u32) {
        while let Some(parcel) = list.pop_front() {
            self.refuse(target, parcel);
        }
        self.release(target, cell, places);
    }

    /// Gives places back; the last ones of a dead actor free its cell.
    pub(crate) fn release(&self, target: u32, cell: &ActorCell, places: u32) {
        let released = cell.inbox.release(places);
        if released.wake_waiters {
            self.wake_waiters(target);
        }
        if released.last && cell.life.may_begin() {
            self.free_number(target);
        }
    }

    pub(crate) fn free_number(&self, number: u32) {
        let mut numbers = self.numbers.borrow_mut();
        numbers.push(number);
        if numbers.len() > self.shared.numbers_kept(8 * BATCH) {
            let kept = self.shared.numbers_kept(4 * BATCH);
            self.shared.cells.give_back(&mut numbers, kept);
        }
    }

    /// A free cell's number, if the system may hold one actor more.
    pub(crate) fn take_number(&self) -> Option<u32> {
        let mut numbers = self.numbers.borrow_mut();
        if numbers.is_empty() {
            if self.shared.is_over_ceiling() {
                return None;
            }
            self.shared.cells.refill(&mut numbers);
            self.shared.note_cells();
        }
        numbers.pop().or_else(|| self.shared.spare_number())
    }

    /// The number of an actor type in this system.
    #[inline]
    pub(crate) fn type_number(&self, id: TypeId, name: &'static str) -> u16 {
        match self.last_type.get() {
            Some((last, number)) if last == id => number,
            _ => self.look_up_type(id, name),
        }
    }

    #[inline(never)]
    fn look_up_type(&self, id: TypeId, name: &'static str) -> u16 {
        let mut numbers = self.type_numbers.borrow_mut();
        let number = *numbers
            .entry(id)
            .or_insert_with(|| self.shared.type_number(id, name));
        self.last_type.set(Some((id, number)));
        number
    }

    /// One actor of the type less; its counts join the type's. While it lived they were read from
    /// its cell, so that a turn pays for one counter only.
    pub(crate) fn count_ended(&self, type_number: u16, counts: &Counts) {
        self.stats.census.count_died();
        self.with_type(type_number, |stats| {
            stats.ended.add(1);
            stats.accepted.add(counts.accepted - counts.queued);
            stats.handled.add(counts.handled);
            stats.failed.add(counts.failed);
            stats.dead_lettered.add(counts.dead_lettered);
        });
    }

    #[inline(always)]
    fn with_type(&self, type_number: u16, count: impl FnOnce(&TypeStats)) {
        if self.types.borrow().len() <= usize::from(type_number) {
            *self.types.borrow_mut() = self.stats.grow(type_number);
        }
        count(&self.types.borrow()[usize::from(type_number)]);
    }

    /// Keeps a message for a subscriber until the commit.
    pub(crate) fn collect(&self, parcel: Parcel) {
        let mut list = self.collected.take();
        list.push_back(parcel);
        self.collected.set(list);
    }

    /// Forgets the messages for subscribers: the turn failed.
    pub(crate) fn drop_collected(&self) {
        drop(self.collected.take());
    }

    /// Takes the messages for subscribers.
    #[inline(always)]
    pub(crate) fn take_collected(&self) -> List {
        self.collected.take()
    }
}

/// The time for which a worker's core is lent.
#[must_use]
pub(crate) struct Loan<'a>(&'a Worker);

impl Drop for Loan<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.take_back();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.cells.give_back(self.numbers.get_mut(), 0);
        self.asks.empty(&self.shared.asks);
        self.timers.empty(&self.shared.timers);
    }
}

/// The turn that another worker was in when this one last looked, and since when.
#[derive(Clone, Default)]
struct Stalled {
    turns: Cell<u64>,
    since_ns: Cell<u64>,
}

impl Stalled {
    /// Whether the other has been in one turn for `limit_ns`.
    fn check(&self, turns: u64, now_ns: u64, limit_ns: u64) -> bool {
        if self.turns.replace(turns) != turns {
            self.since_ns.set(now_ns);
            return false;
        }
        now_ns - self.since_ns.get() >= limit_ns
    }
}
