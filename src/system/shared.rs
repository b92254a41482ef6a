//! What the actors, the workers and the handles of one runtime share.

use super::quota::Quota;
use super::shutdown::Late;
use super::start::StartError;
use super::watch;
use crate::actor::cell::{ActorCell, life, quietly};
use crate::actor::ids::Source;
use crate::actor::topic::Topics;
use crate::actor::{Address, Origin};
#[cfg(feature = "compute")]
use crate::compute::Compute;
use crate::config::Config;
use crate::dead_letter::{Cause, DeadLetter, DeadLetters};
use crate::dispatcher::effects::WheelEntry;
use crate::dispatcher::watchdog::Watchdog;
use crate::dispatcher::worker::{self, Worker};
use crate::dispatcher::{Dispatcher, WorkerParts};
use crate::envelope::{Depot, Kind, Parcel, close_depot, is_counted_in, push_uncounted};
use crate::plan::breaker::Circuits;
use crate::quarantine::Ward;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sync::census;
use crate::sync::gate::Gate;
use crate::sync::idle::Rest;
use crate::sync::inbox::Wake;
use crate::sync::slots::Table;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::waits::{Waiter, Waits};
use crate::sync::{Mutex, MutexGuard, RwLock, lock, mpsc};
use crate::timer::Clock;
use crate::{AskError, ask};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::any::TypeId;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

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
    /// Of what handlers draw.
    pub(crate) ids: Source,
    pub(super) dispatchers: RwLock<Vec<Arc<Dispatcher>>>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dispatchers of one actor each that have ended; their places are free.
    pub(super) ended_dispatchers: Mutex<Vec<u16>>,
    /// The host runs all actors on its own thread.
    pub(super) is_stepped: bool,
    #[cfg(feature = "compute")]
    pub(crate) compute: Arc<Compute>,
    pub(super) clock: Clock,
    pub(super) types: Mutex<Types>,
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
    pub(super) circuits: Mutex<Circuits>,
    /// All numbers were handed out: workers keep no free ones to themselves.
    pub(super) numbers_scarce: AtomicBool,
    /// Free cells' numbers for those who spawn from outside.
    pub(super) numbers: Mutex<Vec<u32>>,
    /// Counts the actors made from outside; closed when outside work is refused.
    pub(super) gate: Gate,
    /// Whether the workers were told to end, or are about to be: what is put on a run queue after
    /// that is run by nobody. Locked while a prepared actor is put on one.
    pub(super) workers_end: Mutex<bool>,
    #[cfg(feature = "io")]
    pub(crate) io: crate::io::Slot,
}

#[derive(Default)]
pub(super) struct Types {
    numbers: HashMap<TypeId, u16>,
    names: Vec<&'static str>,
}

/// Systems by tag, for the few who hold no pointer to theirs: a reply dropped outside. No rule
/// of one system depends on another.
pub(super) static SYSTEMS: Mutex<Option<HashMap<u32, Weak<Shared>>>> = Mutex::new(None);
pub(super) static NEXT_TAG: AtomicU32 = AtomicU32::new(1);

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
    pub(crate) fn fire(&self, due: Parcel) {
        match due.kind() {
            // A worker that is stuck itself: there is no later look.
            #[cfg(any(debug_assertions, feature = "testkit"))]
            Kind::Circle => {
                let _ = self.check_circle(self.target_of(&due));
            }
            Kind::Overdue => self.end_wait(due, |address| {
                self.raise(address, life::COMMIT_DUE);
            }),
            _ => self.send_uncounted(due),
        }
    }

    /// Lets a commit know that it has waited long enough, if it still waits.
    pub(crate) fn end_wait(&self, due: Parcel, raise: impl FnOnce(Address)) {
        let address = self.target_of(&due);
        if let Ok(seq) = due.try_open::<u64>() {
            self.waits.if_due(address.cell, seq, || raise(address));
        }
    }

    /// Whom it is for, of this system's actors.
    pub(crate) fn target_of(&self, due: &Parcel) -> Address {
        NonZeroU32::new(due.generation()).map_or(Address::NOBODY, |generation| Address {
            cell: due.cell(),
            generation,
            system: self.tag,
        })
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
    pub(super) fn survivors(&self) -> Vec<Late> {
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

    /// Has timers canceled by the threads in whose wheels they are.
    pub(crate) fn order_cancels(&self, entries: &[WheelEntry]) {
        for entries in entries.chunk_by(|one, next| one.worker == next.worker) {
            let worker = entries[0].worker;
            for dispatcher in self.dispatchers() {
                let first = dispatcher.first_worker;
                if (first..first + dispatcher.stats.len() as u32).contains(&worker) {
                    let keys = entries.iter().map(|entry| entry.key);
                    dispatcher.order_cancels((worker - first) as usize, keys);
                }
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
    pub(super) fn made(&self) -> u64 {
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
    pub(super) fn next_thread(&self) -> Option<JoinHandle<()>> {
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

    /// The breakers' states, by target.
    pub(crate) fn circuits(&self) -> MutexGuard<'_, Circuits> {
        lock(&self.circuits)
    }

    /// The cell of a living actor.
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
