//! The system: all that the actors of one runtime share, from start to shutdown.

pub(crate) mod policy;
pub(crate) mod quota;
pub(crate) mod root;
pub(crate) mod spawn;
pub(crate) mod watch;

use crate::actor::cell::{ActorCell, Counts, life, quietly};
use crate::actor::stream::{self, EventStream};
use crate::actor::topic::{Listener, Topics};
use crate::actor::{ActorRef, Address, Behavior, Machine, Origin};
#[cfg(feature = "compute")]
use crate::compute::Compute;
use crate::config::{Config, ConfigError, Origins};
use crate::dead_letter::{Cause, DeadLetter, DeadLetters};
use crate::dependency::{Directory, Unresolved};
use crate::dispatcher::watchdog::Watchdog;
use crate::dispatcher::worker::{self, Worker};
use crate::dispatcher::{Dispatcher, WorkerParts, pinning};
use crate::envelope::{
    Depot, Kind, Parcel, close_depot, is_counted_in, leave_outside_pool, push_uncounted,
};
use crate::handle::{Actor, Handle};
use crate::metrics::Metrics;
use crate::path::ActorPath;
use crate::plan::breaker::{BreakerState, Circuits};
use crate::plan::escape::Escape;
use crate::plan::timers::Tick;
use crate::quarantine::{Quarantine, Ward};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sync::census;
use crate::sync::gate::Gate;
use crate::sync::idle::Rest;
use crate::sync::inbox::Wake;
use crate::sync::parker::Parker;
use crate::sync::slots::Table;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::time::Instant;
use crate::sync::waits::{Waiter, Waits};
use crate::sync::{Mutex, MutexGuard, RwLock, lock, mpsc};
use crate::timer::{Clock, TimerKey as WheelKey};
use crate::{AskError, ask};
use hashbrown::HashMap;
use quota::Quota;
use smallvec::SmallVec;
use spawn::{Prepare, SpawnError};
use std::any::TypeId;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What a wheel holds.
pub(crate) enum Due {
    /// A one-shot timer's message, addressed to its actor.
    Message(Parcel),
    /// An interval's next tick.
    Tick(Address, Tick),
    /// The earliest deadline of an actor's open asks.
    Asks(Address),
    /// The deadline of a commit that waits for room.
    Commit(Address, u64),
    /// A look at the asks of an actor, which may be part of a circle.
    #[cfg(any(debug_assertions, feature = "testkit"))]
    Circle(Address),
}

impl Due {
    /// The message that it sends; else the actor and the wait whose time is up.
    pub(crate) fn parcel(self) -> Result<Parcel, (Address, u64)> {
        let (address, parcel) = match self {
            Self::Message(parcel) => return Ok(parcel),
            Self::Commit(address, seq) => return Err((address, seq)),
            #[cfg(any(debug_assertions, feature = "testkit"))]
            Self::Circle(_) => unreachable!("those who fire look at circles first"),
            Self::Tick(address, tick) => (address, Parcel::new(Kind::Interval, tick)),
            Self::Asks(address) => (address, Parcel::new(Kind::Expired, ())),
        };
        parcel.set_cell(address.cell);
        parcel.set_generation(address.generation.get());
        Ok(parcel)
    }
}

/// All that the actors of one runtime share.
pub(crate) struct Shared {
    pub(crate) tag: u32,
    pub(crate) cells: Table<ActorCell>,
    pub(crate) depot: Arc<Depot>,
    pub(crate) config: Config,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) ward: Ward,
    pub(crate) ask_timeout_ns: u64,
    pub(crate) commit_deadline_ns: u64,
    /// Whether messages are stamped with where they came from.
    pub(crate) has_origins: bool,
    /// How many were, outside of actors.
    pub(crate) stamped_outside: AtomicU64,
    dispatchers: RwLock<Vec<Arc<Dispatcher>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dispatchers of one actor each that have ended; their places are free.
    ended_dispatchers: Mutex<Vec<u16>>,
    /// The host runs all actors on its own thread.
    is_stepped: bool,
    #[cfg(feature = "compute")]
    pub(crate) compute: Arc<Compute>,
    clock: Clock,
    types: Mutex<Types>,
    pub(crate) waits: Waits<Address>,
    /// Asks that wait for their answer.
    pub(crate) asks: Quota,
    /// Timers that are armed.
    pub(crate) timers: Quota,
    pub(crate) watches: Mutex<watch::Watches>,
    /// Behaviors of which debug builds have said that their handlers send.
    #[cfg(debug_assertions)]
    pub(crate) warned: Mutex<Vec<&'static str>>,
    #[cfg(any(debug_assertions, feature = "testkit"))]
    pub(crate) rehearsals: crate::rehearsal::Rehearsals,
    #[cfg(any(debug_assertions, feature = "testkit"))]
    pub(crate) circles: crate::circles::Circles,
    pub(crate) topics: Topics,
    pub(crate) watchdog: Watchdog,
    pub(crate) restarts: Mutex<crate::supervise::ceiling::Ceiling>,
    circuits: Mutex<Circuits>,
    /// All numbers were handed out: workers keep no free ones to themselves.
    numbers_scarce: AtomicBool,
    /// Free cells' numbers for those who spawn from outside.
    numbers: Mutex<Vec<u32>>,
    /// Counts the actors made from outside; closed when outside work is refused.
    pub(super) gate: Gate,
    /// Whether the workers were told to end, or are about to be: what is put on a run queue after
    /// that is run by nobody. Locked while a prepared actor is put on one.
    workers_end: Mutex<bool>,
    #[cfg(feature = "io")]
    pub(crate) io: crate::io::Slot,
}

#[derive(Default)]
struct Types {
    numbers: HashMap<TypeId, u16>,
    names: Vec<&'static str>,
}

/// Systems by tag, for the few who hold no pointer to theirs: a reply dropped outside. No rule
/// of one system depends on another.
static SYSTEMS: Mutex<Option<HashMap<u32, Weak<Shared>>>> = Mutex::new(None);
static NEXT_TAG: AtomicU32 = AtomicU32::new(1);

fn find(tag: u32) -> Option<Arc<Shared>> {
    lock(&SYSTEMS).as_ref()?.get(&tag)?.upgrade()
}

/// Whether an actor, of whichever system, has not ended.
pub(crate) fn is_alive(actor: Address) -> bool {
    worker::with(|worker| match worker {
        Some(worker) if worker.system() == actor.system => worker
            .cell(actor.cell)
            .is_some_and(|cell| cell.life.generation() == actor.generation.get()),
        _ => find(actor.system).is_some_and(|shared| shared.cell_of(actor).is_some()),
    })
}

/// Sends what takes no place to an actor of the system with this tag.
pub(crate) fn send_uncounted(tag: u32, parcel: Parcel) {
    worker::with(|worker| match worker {
        Some(worker) if worker.system() == tag => worker.send_uncounted(parcel),
        _ => match find(tag) {
            Some(shared) => {
                if !is_counted_in(&shared.depot) {
                    shared.depot.adopt(parcel.bytes());
                }
                shared.send_uncounted(parcel);
            }
            None => quietly(|| drop(parcel)),
        },
    });
}

impl Drop for Shared {
    fn drop(&mut self) {
        close_depot(&self.depot);
    }
}

impl Shared {
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(crate) fn send_uncounted(&self, parcel: Parcel) {
        self.send_uncounted_by(parcel, |number, cell| self.schedule(number, cell));
    }

    /// Lets what is due take its course, from outside of workers.
    pub(crate) fn fire(&self, due: Due) {
        #[cfg(any(debug_assertions, feature = "testkit"))]
        if let Due::Circle(asker) = due {
            // A worker that is stuck itself: there is no later look.
            let _ = self.check_circle(asker);
            return;
        }
        let is_made_here = !matches!(due, Due::Message(_));
        match due.parcel() {
            Ok(parcel) => {
                if is_made_here && !is_counted_in(&self.depot) {
                    self.depot.adopt(parcel.bytes());
                }
                self.send_uncounted(parcel);
            }
            Err((address, seq)) => {
                self.waits.if_due(address.cell, seq, || {
                    self.raise(address, life::COMMIT_DUE);
                });
            }
        }
    }

    /// Sends what takes no place; what finds nobody is dropped. `schedule` puts an actor that the
    /// message wakes on a run queue.
    #[inline(always)]
    pub(crate) fn send_uncounted_by(&self, parcel: Parcel, schedule: impl FnOnce(u32, &ActorCell)) {
        let number = parcel.cell();
        let generation = parcel.generation();
        let cell = self.cells.get(number);
        let refused = match cell.filter(|cell| cell.life.generation() == generation) {
            None => Some(parcel),
            Some(cell) => match push_uncounted(&cell.inbox, parcel) {
                Ok(Wake::Enqueue) => {
                    schedule(number, cell);
                    None
                }
                Ok(Wake::Nothing) => None,
                Err(parcel) => Some(parcel),
            },
        };
        if let Some(parcel) = refused {
            ask::losing(AskError::Stopped, || quietly(|| drop(parcel)));
        }
    }

    /// Puts an actor on the queue of its dispatcher.
    pub(crate) fn schedule(&self, number: u32, cell: &ActorCell) {
        let id = usize::from(cell.dispatcher.load(Relaxed));
        let dispatchers = self
            .dispatchers
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        dispatchers[id].inject(number);
    }

    /// Whether its host runs all actors.
    pub(crate) fn is_stepped(&self) -> bool {
        self.is_stepped
    }

    pub(crate) fn dispatchers(&self) -> Vec<Arc<Dispatcher>> {
        self.dispatchers
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn type_number(&self, id: TypeId, name: &'static str) -> u16 {
        let mut types = lock(&self.types);
        let next = types.names.len() as u16;
        let number = *types.numbers.entry(id).or_insert(next);
        if number == next {
            types.names.push(name);
        }
        number
    }

    /// Looks at all actors that have not ended.
    pub(crate) fn each_alive(&self, mut look: impl FnMut(Address, &ActorCell)) {
        self.cells.for_each(|number, cell| {
            let (generation, flags) = cell.life.load();
            if flags & life::ENDED == 0
                && !cell.inbox.is_dead()
                && let Some(generation) = NonZeroU32::new(generation)
            {
                let address = Address {
                    cell: number,
                    generation,
                    system: self.tag,
                };
                look(address, cell);
            }
        });
    }

    /// The actors that have not ended.
    fn survivors(&self) -> Vec<Late> {
        let names = self.type_names();
        let mut late = Vec::new();
        self.each_alive(|actor, cell| {
            let behavior = names.get(usize::from(cell.type_number.load(Relaxed)));
            late.push(Late {
                actor,
                behavior: behavior.copied().unwrap_or_default(),
                messages: cell.counts().queued,
            });
        });
        late
    }

    /// The name of a type of actors.
    #[cfg(feature = "testkit")]
    pub(crate) fn type_name(&self, number: u16) -> &'static str {
        lock(&self.types).names[usize::from(number)]
    }

    /// The types of actors, by number.
    pub(crate) fn type_names(&self) -> Vec<&'static str> {
        lock(&self.types).names.clone()
    }

    /// Takes note of how much memory the cells leave for messages.
    pub(crate) fn note_cells(&self) {
        let ceiling = self.config.system.memory_ceiling_bytes;
        let left = ceiling.saturating_sub(self.cells_bytes());
        self.depot.set_limit(left);
        let all_made = self.cells.made() >= self.config.system.max_actors as u64;
        self.numbers_scarce.store(all_made, Relaxed);
    }

    /// How many free numbers a worker may keep, of those that it would.
    pub(crate) fn numbers_kept(&self, wanted: usize) -> usize {
        if self.numbers_scarce.load(Relaxed) {
            0
        } else {
            wanted
        }
    }

    /// Whether actors and messages take more memory than they may.
    pub(crate) fn is_over_ceiling(&self) -> bool {
        self.depot.is_over()
    }

    /// Takes the waiters off `target`'s list that there is room for. Threads are woken here.
    pub(crate) fn waiters_to_wake(&self, target: u32) -> SmallVec<[Address; 8]> {
        let Some(cell) = self.cells.get(target) else {
            return SmallVec::new();
        };
        let mut actors = SmallVec::new();
        for waiter in self.waits.take(target, &cell.inbox, cell.capacity()) {
            match waiter {
                Waiter::Actor(_, address) => actors.push(address),
                Waiter::Thread(unparker, _) => unparker.unpark(),
            }
        }
        actors
    }

    pub(crate) fn order_cancel(&self, worker: u32, key: WheelKey) {
        for dispatcher in self.dispatchers() {
            let first = dispatcher.first_worker;
            if (first..first + dispatcher.stats.len() as u32).contains(&worker) {
                dispatcher.order_cancel((worker - first) as usize, key);
            }
        }
    }

    /// Whether outside work is refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Actors alive: 0 only when nobody is left who could make another.
    pub(crate) fn live(&self) -> u64 {
        let dispatchers = self.dispatchers();
        let workers = dispatchers.iter().flat_map(|dispatcher| &dispatcher.stats);
        let tallies = workers.map(|stats| &stats.census);
        census::alive(tallies, || self.gate.entered())
    }

    /// Actors ever made.
    fn made(&self) -> u64 {
        let dispatchers = self.dispatchers();
        let workers = dispatchers.iter().flat_map(|dispatcher| &dispatcher.stats);
        let inside: u64 = workers.map(|stats| stats.census.born()).sum();
        inside + self.gate.entered()
    }

    /// Lets all actors end: in order without `flags`, else as the flags say.
    pub(crate) fn stop_all(&self, flags: u32) {
        self.cells.for_each(|number, cell| {
            let (generation, _) = cell.life.load();
            if cell.inbox.is_closed() && flags == 0 {
                return;
            }
            if cell
                .life
                .set(generation, life::SHUTDOWN | flags, life::ENDED)
                .is_some()
            {
                let wake = if flags == 0 {
                    cell.inbox.close()
                } else {
                    cell.inbox.signal()
                };
                if wake == Wake::Enqueue {
                    self.schedule(number, cell);
                }
            }
        });
    }

    /// A free number that was taken from the table for those outside.
    #[cold]
    pub(crate) fn spare_number(&self) -> Option<u32> {
        lock(&self.numbers).pop()
    }

    /// A thread to wait for at the end.
    #[cfg(feature = "io")]
    pub(crate) fn add_thread(&self, thread: JoinHandle<()>) {
        lock(&self.threads).push(thread);
    }

    /// The thread to wait for next at the end.
    fn next_thread(&self) -> Option<JoinHandle<()>> {
        lock(&self.threads).pop()
    }

    /// Starts a worker's thread, and waits until it runs where it should.
    pub(crate) fn start_worker(
        self: &Arc<Self>,
        dispatcher: &Arc<Dispatcher>,
        index: usize,
        part: WorkerParts,
    ) -> Result<(), StartError> {
        let (shared, dispatcher) = (self.clone(), dispatcher.clone());
        let (started, result) = mpsc::sync_channel(1);
        let builder = thread::Builder::new()
            .name(format!("{}-{index}", dispatcher.config.thread_name))
            .stack_size(dispatcher.config.stack_bytes);
        let thread = builder.spawn(move || {
            let seat = part.seat.as_ref().map(Rest::worker);
            let pinned = seat.map_or(Ok(()), |seat| dispatcher.pin_to(seat));
            let failed = pinned.is_err();
            let _ = started.send(pinned);
            if !failed {
                let worker = Worker::new(shared.clone(), dispatcher.clone(), index, part.queues);
                worker.run(part.seat);
            }
            if dispatcher.own {
                lock(&shared.ended_dispatchers).push(dispatcher.id);
            }
        });
        let thread = thread.map_err(StartError::Thread)?;
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        drop(threads);
        match result.recv() {
            Ok(pinned) => pinned.map_err(StartError::Pinning),
            Err(_) => unreachable!("a worker's thread says how it started"),
        }
    }

    /// Raises flags of an actor's life and lets it look at them; false if it has ended.
    pub(crate) fn raise(&self, address: Address, flags: u32) -> bool {
        let Some(cell) = self.cell_of(address) else {
            return false;
        };
        if cell
            .life
            .set(address.generation.get(), flags, life::ENDED)
            .is_none()
        {
            return false;
        }
        if cell.inbox.signal() == Wake::Enqueue {
            self.schedule(address.cell, cell);
        }
        true
    }

    /// The cell of a living actor.
    pub(crate) fn circuits(&self) -> MutexGuard<'_, Circuits> {
        lock(&self.circuits)
    }

    pub(crate) fn cell_of(&self, address: Address) -> Option<&ActorCell> {
        let cell = (address.system == self.tag).then(|| self.cells.get(address.cell))??;
        (cell.life.generation() == address.generation.get()).then_some(cell)
    }

    /// Refuses later messages of an actor, which ends after those it has.
    pub(crate) fn stop(&self, address: Address) -> bool {
        let Some(cell) = self.cell_of(address) else {
            return false;
        };
        let closed = cell.inbox.close_if(|| self.cell_of(address).is_some());
        let Some((wake, released)) = closed else {
            return self.cell_of(address).is_some();
        };
        if wake == Wake::Enqueue {
            self.schedule(address.cell, cell);
        }
        if released.wake_waiters {
            self.wake_waiters(address.cell);
        }
        if released.last && cell.life.may_begin() {
            lock(&self.numbers).push(address.cell);
        }
        true
    }

    /// Wakes those who wait for room at `target` that there is room for.
    #[cold]
    pub(crate) fn wake_waiters(&self, target: u32) {
        for waiter in self.waiters_to_wake(target) {
            if let Some(cell) = self.cells.get(waiter.cell)
                && cell.inbox.signal() == Wake::Enqueue
            {
                self.schedule(waiter.cell, cell);
            }
        }
    }

    /// Makes the oldest message of `target`'s mailbox, whose place a newer one took, a dead letter.
    #[cold]
    pub(crate) fn bury_displaced(&self, target: u32, oldest: Parcel) {
        let actor =
            NonZeroU32::new(oldest.generation()).map_or(Address::NOBODY, |generation| Address {
                cell: target,
                generation,
                system: self.tag,
            });
        let (name, origin) = (oldest.type_name(), oldest.origin());
        self.dead_letter(actor, name, Cause::DroppedOldest, origin);
        ask::losing(AskError::Refused, || quietly(|| drop(oldest)));
    }

    /// Notes a dead letter, and tells those who listen to them.
    pub(crate) fn dead_letter(
        &self,
        actor: Address,
        message: &'static str,
        cause: Cause,
        origin: Option<Origin>,
    ) {
        let letter = DeadLetter {
            actor,
            message,
            cause,
            origin,
        };
        if self.topics.any() {
            self.announce(&letter);
        }
        self.dead_letters.add(letter);
    }
}

/// Why a system could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// Workers can't be pinned as asked for.
    Pinning(pinning::PinError),
    /// The operating system refused a thread.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Pinning(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "a worker's thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// A runtime: its workers, its actors and their time.
///
/// Dropping it shuts it down as [`System::shutdown`] does.
pub struct System {
    shared: Arc<Shared>,
    /// The host's own worker, in a system without threads.
    stepped: Option<Mutex<Worker>>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("name", &self.name())
            .field("actors", &self.actors())
            .finish_non_exhaustive()
    }
}

/// What a shutdown left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Actors that had not ended in time.
    pub actors_left: u64,
    /// Workers that did not return from a handler in time, and threads that did not return from a
    /// compute step; they were detached.
    pub workers_stuck: usize,
    /// Who had not finished at the deadline, and was stopped before the next message.
    pub late: Vec<Late>,
}

/// An actor that had not finished at the deadline of a shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Late {
    /// Its address.
    pub actor: Address,
    /// Its behavior's type.
    pub behavior: &'static str,
    /// The messages that were in its mailbox or in hand.
    pub messages: u64,
}

impl Shutdown {
    /// Whether all actors finished what they were sent, and all threads ended.
    pub fn is_clean(&self) -> bool {
        self.actors_left == 0 && self.workers_stuck == 0 && self.late.is_empty()
    }

    /// The messages that were in the mailboxes or in the hands of those who were late.
    pub fn messages_left(&self) -> u64 {
        self.late.iter().map(|late| late.messages).sum()
    }
}

impl fmt::Display for Shutdown {
    /// Who was late, one a line, after the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} actors late with {} messages, {} left, {} threads stuck",
            self.late.len(),
            self.messages_left(),
            self.actors_left,
            self.workers_stuck
        )?;
        for late in &self.late {
            let (actor, behavior, messages) = (late.actor, late.behavior, late.messages);
            write!(f, "\n{actor} {behavior}: {messages} messages")?;
        }
        Ok(())
    }
}

impl System {
    /// A system with the default configuration: one worker for each core that it may use.
    ///
    /// # Errors
    ///
    /// [`StartError::Thread`] when the operating system refuses a thread.
    pub fn new() -> Result<Self, StartError> {
        Self::with_config(Config::default())
    }

    /// A system with this configuration.
    ///
    /// # Errors
    ///
    /// [`StartError`], before any thread runs.
    pub fn with_config(config: Config) -> Result<Self, StartError> {
        Self::start(config, Clock::real(), true)
    }

    /// A system without threads: the caller runs its actors with [`System::run_until_idle`] and
    /// [`System::run_for`], on one thread and otherwise just the same.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`].
    pub fn stepped(config: Config, clock: Clock) -> Result<Self, StartError> {
        Self::start(config, clock, false)
    }

    fn start(mut config: Config, clock: Clock, threads: bool) -> Result<Self, StartError> {
        config.validate()?;
        if !threads {
            config.dispatcher.workers = 1;
        }
        let tag = NEXT_TAG.fetch_add(1, Relaxed);
        assert!(tag != 0, "a process makes fewer than 2^32 systems");
        let allowed = pinning::allowed_cores();
        let topology = pinning::Topology::read(&allowed);
        let mut dispatchers = Vec::new();
        let mut parts = Vec::new();
        let mut first_worker = 0;
        let all = std::iter::once(("default", &config.dispatcher));
        let named = config.dispatchers.iter();
        for (name, settings) in all.chain(named.map(|(name, settings)| (name.as_str(), settings))) {
            let cores = pinning::plan(&settings.pinning, settings.workers, &allowed, &topology)
                .map_err(StartError::Pinning)?;
            let id = dispatchers.len() as u16;
            let (dispatcher, workers) =
                Dispatcher::new(id, name, settings.clone(), first_worker, cores);
            first_worker += dispatcher.stats.len() as u32;
            dispatchers.push(dispatcher);
            parts.push(workers);
        }
        let (watchdog, parker) = Watchdog::new();
        let shared = Arc::new(Shared {
            tag,
            cells: Table::new(config.system.max_actors as u32),
            depot: Arc::default(),
            dead_letters: DeadLetters::new(config.system.dead_letter_capacity),
            ward: Ward::default(),
            ask_timeout_ns: config.system.ask_timeout.as_nanos() as u64,
            commit_deadline_ns: config.mailbox.commit_deadline.as_nanos() as u64,
            has_origins: config.system.origins == Origins::On,
            stamped_outside: AtomicU64::new(0),
            dispatchers: RwLock::new(dispatchers.clone()),
            threads: Mutex::default(),
            ended_dispatchers: Mutex::default(),
            is_stepped: !threads,
            #[cfg(feature = "compute")]
            compute: Compute::new(&config.compute, &allowed, &topology, !threads)
                .map_err(StartError::Pinning)?,
            clock,
            types: Mutex::default(),
            restarts: Mutex::default(),
            circuits: Mutex::default(),
            waits: Waits::default(),
            asks: Quota::new(config.system.max_asks_in_flight, first_worker as usize),
            timers: Quota::new(config.system.max_timers, first_worker as usize),
            watches: Mutex::default(),
            #[cfg(debug_assertions)]
            warned: Mutex::default(),
            #[cfg(any(debug_assertions, feature = "testkit"))]
            rehearsals: crate::rehearsal::Rehearsals::default(),
            #[cfg(any(debug_assertions, feature = "testkit"))]
            circles: crate::circles::Circles::default(),
            topics: Topics::default(),
            watchdog,
            numbers_scarce: AtomicBool::new(false),
            numbers: Mutex::default(),
            gate: Gate::new(),
            workers_end: Mutex::new(false),
            #[cfg(feature = "io")]
            io: crate::io::Slot::default(),
            config,
        });
        shared.note_cells();
        lock(&SYSTEMS)
            .get_or_insert_default()
            .insert(tag, Arc::downgrade(&shared));
        let mut system = Self {
            shared,
            stepped: None,
        };
        for (dispatcher, workers) in dispatchers.into_iter().zip(parts) {
            for (index, part) in workers.into_iter().enumerate() {
                if threads {
                    system.shared.start_worker(&dispatcher, index, part)?;
                } else if dispatcher.id == 0 {
                    let worker = Worker::new(
                        system.shared.clone(),
                        dispatcher.clone(),
                        index,
                        part.queues,
                    );
                    system.stepped = Some(Mutex::new(worker));
                }
            }
        }
        if threads {
            system.start_watchdog(parker)?;
        }
        Ok(system)
    }

    fn start_watchdog(&self, parker: Parker) -> Result<(), StartError> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new()
            .name(format!("{}-dog", shared.config.dispatcher.thread_name))
            .stack_size(256 << 10)
            .spawn(move || Watchdog::run(&shared, parker))
            .map_err(StartError::Thread)?;
        lock(&self.shared.threads).push(thread);
        Ok(())
    }

    /// Its name: `system.name`.
    pub fn name(&self) -> &str {
        &self.shared.config.system.name
    }

    /// Makes an actor and starts it.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; the machine is dropped.
    pub fn spawn<B: Behavior>(
        &self,
        behavior: B,
        machine: B::Machine,
    ) -> Result<Actor<B>, SpawnError> {
        self.prepare(behavior, machine).start()
    }

    /// Begins an actor that asks for more than the defaults: see [`Prepare`].
    pub fn prepare<B: Behavior>(&self, behavior: B, machine: B::Machine) -> Prepare<'_, B> {
        Prepare::new(&self.shared, behavior, machine)
    }

    /// Makes an actor whose messages are its machine's events.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`].
    pub fn spawn_machine<M: Machine>(
        &self,
        machine: M,
    ) -> Result<Actor<crate::actor::Events<M>>, SpawnError> {
        self.spawn(crate::actor::Events::new(), machine)
    }

    /// A handle to an actor by its address.
    pub fn handle<M: Send + 'static>(&self, actor: ActorRef<M>) -> Option<Handle<M>> {
        (actor.address().system == self.shared.tag).then(|| Handle::new(self.shared.clone(), actor))
    }

    /// The actor that holds `name`, if it takes messages of type `M`; none also when it takes
    /// others. A name is free again before anybody learns that its actor has ended.
    pub fn whereis<M: Send + 'static>(&self, name: &str) -> Option<Handle<M>> {
        let actor = self.shared.named::<M>(name)?;
        let actor = ActorRef::from_address(actor);
        Some(Handle::new(self.shared.clone(), actor))
    }

    /// The address of the actor that a path names, for what is to depend on it.
    ///
    /// # Errors
    ///
    /// [`Unresolved`].
    pub fn resolve<M: Send + 'static>(
        &self,
        path: ActorPath<'_>,
    ) -> Result<ActorRef<M>, Unresolved> {
        self.directory().resolve(path)
    }

    /// Where the dependencies of this system's actors are looked for.
    pub fn directory(&self) -> Directory<'_> {
        Directory(&self.shared)
    }

    /// Runs actors on this thread until nothing is ready, in a system without threads; timers
    /// that are due fire.
    ///
    /// # Panics
    ///
    /// In a system with threads; inside an actor of the system.
    pub fn run_until_idle(&self) {
        let _ = self.host().run_ready(None);
    }

    /// As [`System::run_until_idle`], for `budget` of real time at most, exceeded by one turn:
    /// `Duration::ZERO` is one turn. Returns whether more is ready.
    ///
    /// # Panics
    ///
    /// In a system with threads; inside an actor of the system.
    pub fn run_for(&self, budget: Duration) -> bool {
        self.host().run_ready(Some(budget))
    }

    /// One turn of a stepped system, see [`Worker::run_chosen`].
    #[cfg(feature = "testkit")]
    pub(crate) fn run_chosen(
        &self,
        ready: &mut Vec<u32>,
        choose: &mut dyn FnMut(&[u32]) -> (usize, u32),
    ) -> Option<worker::Chosen> {
        self.host().run_chosen(ready, choose)
    }

    /// Whether an actor of a stepped system is ready to run, or a timer is due.
    #[cfg(feature = "testkit")]
    pub(crate) fn has_ready(&self) -> bool {
        self.host().has_ready()
    }

    /// The actors that live, and were not told to stop.
    #[cfg(feature = "testkit")]
    pub(crate) fn living(&self) -> Vec<Address> {
        let mut living = Vec::new();
        self.shared.cells.for_each(|number, cell| {
            if let Some(generation) = NonZeroU32::new(cell.life.generation())
                && !cell.inbox.is_closed()
            {
                living.push(Address {
                    cell: number,
                    generation,
                    system: self.shared.tag,
                });
            }
        });
        living
    }

    /// Ends an actor before its next message, with its stop hook unless it is killed.
    #[cfg(feature = "testkit")]
    pub(crate) fn end_before_next(&self, actor: Address, kills: bool) {
        let flag = if kills { life::KILL } else { life::STOP_NOW };
        self.shared.raise(actor, flag);
    }

    /// Once nobody is ready in a stepped system: a circle of asks that was found and is still there.
    #[cfg(feature = "testkit")]
    pub(crate) fn circle_left(&self) -> Option<crate::AskCircle> {
        self.shared.circles.left()
    }

    /// Once nobody is ready in a stepped system: an actor of its dispatcher that somebody owes a
    /// run, against I3 of `sync/inbox.rs`, and how many messages it has.
    #[cfg(feature = "testkit")]
    pub(crate) fn owed_a_run(&self) -> Option<(u32, u32)> {
        let mut owed = None;
        self.shared.cells.for_each(|number, cell| {
            let here = cell.dispatcher.load(Relaxed) == 0;
            if here && !cell.inbox.is_closed() && !cell.inbox.is_idle() {
                owed.get_or_insert((number, cell.inbox.places_taken()));
            }
        });
        owed
    }

    /// When a stepped system's next timer may be due, in nanoseconds.
    #[cfg(feature = "testkit")]
    pub(crate) fn next_timer_ns(&self) -> Option<u64> {
        self.host().next_timer_ns()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether an actor of this system calls.
    fn is_inside(&self) -> bool {
        worker::peek(|worker| worker.is_some_and(|w| w.system() == self.shared.tag))
    }

    fn host(&self) -> MutexGuard<'_, Worker> {
        assert!(
            !self.is_inside(),
            "an actor cannot run the system that runs it"
        );
        self.stepped
            .as_ref()
            .map(lock)
            .expect("only a system made by System::stepped is run by its host")
    }

    /// Actors alive.
    pub fn actors(&self) -> u64 {
        self.shared.live()
    }

    /// The latest dead letters, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.dead_letters.latest()
    }

    /// The messages whose turns panicked as often as [`Behavior::POISON`] allows: listed, replayed
    /// and taken by hand.
    pub fn quarantine(&self) -> Quarantine<'_> {
        Quarantine(&self.shared)
    }

    /// From now on actors of the behavior `B` decide twice on each message, the first time on a
    /// clone: in debug builds, and with the feature `testkit`; else nothing changes.
    ///
    /// A behavior holds no state, so both plans say the same, unless it depends on what is in
    /// neither message nor machine: a static, a clock, a random number. Then `system.hidden_state`
    /// says what follows, by default a panic of that turn which names the behavior. Compared are
    /// the steps with their targets, keys, times and types, and the events; the messages of a type
    /// `T` in steps too after [`System::compare_messages`]. The first plan is dropped; a child that
    /// it names is made and given up.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    ///
    /// struct Sum(u64);
    /// impl Machine for Sum {
    ///     type Event = u64;
    ///     fn apply(&mut self, number: u64) { self.0 += number }
    /// }
    /// static HIDDEN: AtomicU64 = AtomicU64::new(0);
    /// #[derive(Clone, Copy)]
    /// struct Counting;
    /// impl Behavior for Counting {
    ///     type Machine = Sum;
    ///     type Message = u64;
    ///     fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::emit(number + HIDDEN.fetch_add(1, Relaxed))
    ///     }
    /// }
    ///
    /// # fn main() -> mainspring::Result {
    /// let system = System::new()?;
    /// system.check_decisions::<Counting>();
    /// let counting = system.spawn(Counting, Sum(0))?;
    /// let end = counting.monitor();
    /// counting.tell(1)?;
    /// # if cfg!(any(debug_assertions, feature = "testkit")) {
    /// assert!(matches!(end.wait().exit, Exit::Panicked(text) if text.contains("Counting")));
    /// # }
    /// # Ok(()) }
    /// ```
    pub fn check_decisions<B: Behavior>(&self)
    where
        B::Message: Clone,
        <B::Machine as Machine>::Event: PartialEq,
    {
        #[cfg(any(debug_assertions, feature = "testkit"))]
        self.shared.rehearsals.add::<B>();
    }

    /// [`System::check_decisions`] compares the values of this type in steps, too.
    pub fn compare_messages<T: PartialEq + 'static>(&self) {
        #[cfg(any(debug_assertions, feature = "testkit"))]
        self.shared.rehearsals.compare_values::<T>();
    }

    /// Circles of actors that asked each other and all waited, at most 64: found in debug builds,
    /// and with the feature `testkit`; else none is looked for.
    ///
    /// Nobody who asks stands still, so a circle is none until all of its asks have been open for
    /// half a second, or half of the time that the last one has, whichever is less. Then it is here,
    /// and on the standard error once. Its asks end by their own time.
    pub fn ask_circles(&self) -> Vec<crate::AskCircle> {
        #[cfg(any(debug_assertions, feature = "testkit"))]
        return self.shared.circles.found();
        #[cfg(not(any(debug_assertions, feature = "testkit")))]
        Vec::new()
    }

    /// How many dead letters there were in all.
    pub fn dead_letter_count(&self) -> u64 {
        self.shared.dead_letters.count()
    }

    /// The right to call [`Plan::escape`](crate::Plan::escape) in this system's actors. Only who has
    /// the system can give it to a behavior.
    pub fn escape_hatch(&self) -> Escape {
        Escape {
            system: self.shared.tag,
        }
    }

    /// What the breaker of an actor lets through; `Closed` where no delivery to it has failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # use mainspring::BreakerState;
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// # let system = System::new()?;
    /// let actor = system.spawn_machine(Nothing)?;
    /// assert_eq!(system.breaker(actor.actor()), BreakerState::Closed);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn breaker(&self, target: impl Into<Address>) -> BreakerState {
        self.shared
            .breaker(target.into(), self.shared.clock.now_ns())
    }

    /// The events of type `E` that any machine of the system applies from now on, as clones, with
    /// whose they are, until the system shuts down. When the reader is behind by `capacity` events
    /// the oldest makes room; [`EventStream::missed`] counts them. Zero counts as one.
    ///
    /// The events of one actor come in the order in which they happened. [`DeadLetter`] is such a
    /// type too, published when one is noted. While somebody listens, all events of this type take
    /// the same lock in turn; an event of a type that nobody listens to costs a look at the list of
    /// types, and while nobody listens to anything, one load.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{Cause, DeadLetter};
    /// use std::time::Duration;
    ///
    /// # struct Sum(u64);
    /// # impl Machine for Sum {
    /// #     type Event = u64;
    /// #     fn apply(&mut self, number: u64) {
    /// #         self.0 += number;
    /// #     }
    /// # }
    /// #[derive(Clone, Copy)]
    /// struct Even;
    /// impl Behavior for Even {
    ///     type Machine = Sum;
    ///     type Message = u64;
    ///     fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
    ///         match number % 2 {
    ///             0 => Plan::emit(number),
    ///             _ => Plan::unhandled(),
    ///         }
    ///     }
    /// }
    /// let system = System::new()?;
    /// let mut numbers = system.events::<u64>(16);
    /// let mut letters = system.events::<DeadLetter>(16);
    /// let sum = system.spawn(Even, Sum(0))?;
    /// sum.tell(1)?;
    /// sum.tell(2)?;
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(numbers.next(minute), Some((sum.actor().address(), 2)));
    /// assert_eq!(letters.next(minute).map(|(_, letter)| letter.cause), Some(Cause::Unhandled));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn events<E: Clone + Send + 'static>(&self, capacity: usize) -> EventStream<(Address, E)> {
        let (feed, stream) = stream::channel(capacity);
        self.shared.listen(Listener::<E>::outside(feed));
        stream
    }

    /// What the workers, the actor types and the memory are doing.
    ///
    /// Free when not called; a call walks over all cells.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # #[derive(Clone)]
    /// # struct Sum(u64);
    /// # impl Machine for Sum {
    /// #     type Event = u64;
    /// #     fn apply(&mut self, number: u64) {
    /// #         self.0 += number;
    /// #     }
    /// # }
    /// let system = System::new()?;
    /// let sum = system.spawn_machine(Sum(0))?;
    /// sum.tell(1)?;
    /// let actor = sum.monitor();
    /// sum.stop();
    /// actor.wait();
    /// let metrics = system.metrics();
    /// assert_eq!(metrics.types[0].counts.handled, 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Bytes that the runtime may hold for actors and messages: `system.memory_ceiling_bytes`.
    ///
    /// Beyond it messages from outside are refused as full, turns that send fail with
    /// [`Cause::NoMemory`], and no actors are made; what is under way is finished. It counts the
    /// actors' cells and the envelopes, those kept for reuse included, and not what machines and
    /// messages hold beyond them.
    pub fn memory_ceiling(&self) -> u64 {
        self.shared.config.system.memory_ceiling_bytes
    }

    /// How one actor's messages fared; none if it has ended.
    pub fn counts(&self, actor: impl Into<Address>) -> Option<Counts> {
        self.shared.cell_of(actor.into()).map(ActorCell::counts)
    }

    /// Stops all actors in order, each after the messages that it has, then the workers.
    ///
    /// Supervisors come first: each stops its children in reverse order, those of its children
    /// before them, as [`SupervisorMessage::Stop`](crate::supervise::SupervisorMessage::Stop) does.
    /// That may take half of the time; then all others stop, at once.
    ///
    /// What is left at the deadline is stopped before its next message; a worker that is still in
    /// a handler a second later is detached and counted.
    pub fn shutdown(self, deadline: Duration) -> Shutdown {
        self.end(deadline)
    }

    fn end(&self, deadline: Duration) -> Shutdown {
        if !self.shared.gate.close() {
            return Shutdown::default();
        }
        let inside = self.is_inside();
        let start = Instant::now();
        let step = || {
            if let Some(host) = &self.stepped {
                // A slice at a time: the deadline holds also for actors that never come to rest.
                let _ = lock(host).run_ready(Some(Duration::from_millis(1)));
            } else {
                thread::sleep(Duration::from_micros(200));
            }
        };
        if !inside {
            let tops = self.shared.tops();
            for &top in &tops {
                self.shared.stop_tree(top);
            }
            let lives = |top: &Address| self.shared.cell_of(*top).is_some();
            while tops.iter().any(lives) && start.elapsed() < deadline / 2 {
                step();
            }
        }
        let mut late = Vec::new();
        let mut told = self.shared.made();
        let mut look_in = Duration::from_millis(5);
        let mut look_at = start.elapsed() + look_in;
        self.shared.stop_all(0);
        let mut forced = false;
        while !inside && self.shared.live() > 0 {
            if start.elapsed() >= deadline {
                if forced && start.elapsed() >= deadline + Duration::from_millis(500) {
                    break;
                }
                if !forced {
                    late = self.shared.survivors();
                    self.shared.stop_all(life::STOP_NOW);
                    forced = true;
                }
            }
            // Those that were made meanwhile stop in order too. One is counted before its mailbox
            // opens, so a look may miss it for good: there is another look after a while.
            let made = self.shared.made();
            if made != told || start.elapsed() >= look_at {
                told = made;
                look_in = (2 * look_in).min(Duration::from_millis(200));
                look_at = start.elapsed() + look_in;
                self.shared
                    .stop_all(if forced { life::STOP_NOW } else { 0 });
            }
            step();
        }
        *lock(&self.shared.workers_end) = true;
        if !inside && self.stepped.is_some() {
            step(); // the last one, for what was handed over meanwhile
        }
        leave_outside_pool(&self.shared.depot);
        let actors_left = if inside { 0 } else { self.shared.live() };
        for dispatcher in self.shared.dispatchers() {
            dispatcher.stop();
        }
        self.shared.watchdog.stop();
        #[cfg(feature = "io")]
        self.shared.io.stop();
        let mut workers_stuck = 0;
        if !inside {
            // One by one: the watchdog may be starting one more.
            while let Some(thread) = self.shared.next_thread() {
                while !thread.is_finished() && start.elapsed() < deadline + Duration::from_secs(1) {
                    thread::sleep(Duration::from_micros(100));
                }
                if thread.is_finished() {
                    let _ = thread.join();
                } else {
                    workers_stuck += 1;
                }
            }
        }
        #[cfg(feature = "compute")]
        if !inside {
            workers_stuck += self
                .shared
                .compute
                .end(start + deadline + Duration::from_secs(1));
        }
        self.shared.topics.close();
        self.shared.ward.close();
        if let Some(systems) = lock(&SYSTEMS).as_mut() {
            systems.remove(&self.shared.tag);
        }
        Shutdown {
            actors_left,
            workers_stuck,
            late,
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.end(self.shared.config.system.shutdown_timeout);
    }
}
