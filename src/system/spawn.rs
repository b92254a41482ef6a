//! Making actors: what they ask for, the place that they take, their start.

use super::watch::NameError;
use super::{Shared, policy};
use crate::actor::cell::{ActorCell, Body, Limits, life};
use crate::actor::{ActorRef, Address, Behavior};
use crate::config::{MailboxConfig, Overflow, WhenFull};
use crate::dependency::DependencyError;
use crate::dispatcher::Dispatcher;
use crate::dispatcher::worker::Worker;
use crate::handle::{Actor, Handle};
use crate::plan::timers::nanoseconds;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::inbox::CAPACITY_MAX;
use crate::sync::lock;
use std::any::TypeId;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Why an actor could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The system shuts down.
    Closed,
    /// The system holds as many actors as its `max_actors` allows.
    TooMany {
        /// `max_actors`.
        limit: usize,
    },
    /// Actors and messages take as much memory as `system.memory_ceiling_bytes` allows.
    NoMemory,
    /// There is no dispatcher of this name.
    NoDispatcher(String),
    /// A mailbox holds 1 to 32,768 messages, not this many.
    Capacity(usize),
    /// The name asked for cannot be had.
    Name(NameError),
    /// The operating system refused a thread for the actor.
    Thread(std::io::ErrorKind),
    /// What the actor depends on is not there.
    Dependency(Box<DependencyError>),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the system shuts down"),
            Self::TooMany { limit } => write!(
                f,
                "the system holds {limit} actors, as many as system.max_actors allows"
            ),
            Self::NoMemory => f.write_str(
                "actors and messages take as much memory as system.memory_ceiling_bytes allows",
            ),
            Self::NoDispatcher(name) => write!(f, "there is no dispatcher named {name:?}"),
            Self::Capacity(asked) => write!(
                f,
                "a mailbox cannot hold {asked} messages: 1 to {CAPACITY_MAX} are allowed"
            ),
            Self::Name(error) => error.fmt(f),
            Self::Dependency(error) => error.fmt(f),
            Self::Thread(kind) => write!(f, "the actor's own thread could not be started: {kind}"),
        }
    }
}

impl std::error::Error for SpawnError {}

impl From<NameError> for SpawnError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

/// Where an actor runs.
#[derive(Clone, Debug)]
enum Place {
    Default,
    Named(String),
    OwnThread,
}

/// Checks a mailbox's capacity.
pub(crate) fn capacity(asked: usize) -> Result<u16, SpawnError> {
    if (1..=CAPACITY_MAX as usize).contains(&asked) {
        Ok(asked as u16)
    } else {
        Err(SpawnError::Capacity(asked))
    }
}

/// An actor to be: what it asks for beyond the defaults of the configuration.
///
/// [`Prepare::start`] makes it and starts it; [`Prepare::hold`] makes it and gives its address
/// before it starts.
///
/// # Examples
///
/// ```
/// use mainspring::config::Overflow;
/// use mainspring::prelude::*;
///
/// struct Log(Vec<u64>);
/// impl Machine for Log {
///     type Event = u64;
///     fn apply(&mut self, line: u64) {
///         self.0.push(line);
///     }
/// }
///
/// let system = System::new()?;
/// let log = system
///     .prepare(mainspring::Events::new(), Log(Vec::new()))
///     .name("log")
///     .capacity(64)
///     .overflow(Overflow::DropNewest)
///     .start()?;
/// assert_eq!(system.whereis::<u64>("log").unwrap().actor(), log.actor());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[must_use = "an actor is made by `start` or `hold`"]
pub struct Prepare<'a, B: Behavior> {
    shared: &'a Arc<Shared>,
    behavior: B,
    machine: B::Machine,
    mailbox: MailboxConfig,
    capacity: Option<usize>,
    place: Place,
    name: Option<String>,
    ask_timeout_ns: Option<u64>,
}

impl<'a, B: Behavior> Prepare<'a, B> {
    pub(crate) fn new(shared: &'a Arc<Shared>, behavior: B, machine: B::Machine) -> Self {
        Self {
            shared,
            behavior,
            machine,
            mailbox: shared.config.mailbox.clone(),
            capacity: None,
            place: Place::Default,
            name: None,
            ask_timeout_ns: None,
        }
    }

    /// Gives the actor a name, by which [`System::whereis`](crate::System::whereis) finds it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many messages its mailbox holds, 1 to 32,768, whatever their bytes.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = Some(messages);
        self
    }

    /// What a send does when its mailbox is full.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.mailbox.overflow = overflow;
        self
    }

    /// What its own plans do when a target is full.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.mailbox.when_full = when_full;
        self
    }

    /// How long its asks wait that do not say; `system.ask_timeout` if not given.
    pub fn ask_timeout(mut self, timeout: Duration) -> Self {
        self.ask_timeout_ns = Some(nanoseconds(timeout));
        self
    }

    /// Which dispatcher of the configuration runs it; `default` is the one without a name.
    pub fn dispatcher(mut self, name: impl Into<String>) -> Self {
        self.place = Place::Named(name.into());
        self
    }

    /// It runs on a thread of its own, which ends with it: for turns that block or last long.
    ///
    /// The thread has the settings of the default dispatcher but for its pinning. The actor's
    /// children run on the default dispatcher. In a system that its host steps there is no
    /// thread: the host runs it.
    pub fn own_thread(mut self) -> Self {
        self.place = Place::OwnThread;
        self
    }

    /// Makes the actor and starts it.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; the machine is dropped.
    pub fn start(self) -> Result<Actor<B>, SpawnError> {
        self.hold().map(Prepared::start)
    }

    /// Makes the actor without starting it: it has its address, its name and its mailbox, whose
    /// messages wait for [`Prepared::start`].
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; the machine is dropped.
    pub fn hold(self) -> Result<Prepared<B>, SpawnError> {
        let shared = self.shared;
        let mut limits = policy::limits::<B>(&self.mailbox);
        if let Some(asked) = self.capacity {
            limits.capacity = capacity(asked)?;
        }
        let entry = shared.gate.enter().ok_or(SpawnError::Closed)?;
        let dispatcher = match &self.place {
            Place::Default => 0,
            Place::Named(name) => shared.dispatcher_named(name)?,
            Place::OwnThread => shared.start_own_dispatcher()?,
        };
        let actor = match shared.make(self.behavior, self.machine, limits, dispatcher) {
            Ok(actor) => {
                entry.stay();
                actor
            }
            Err(error) => {
                shared.stop_own_dispatcher(dispatcher);
                return Err(error);
            }
        };
        if let (Some(timeout_ns), Some(cell)) = (self.ask_timeout_ns, shared.cell_of(actor.address))
        {
            cell.set_ask_timeout(timeout_ns);
        }
        let prepared = Prepared {
            actor: Actor::new(Handle::new(shared.clone(), actor)),
            started: false,
        };
        if let Some(name) = &self.name {
            // On an error the actor ends unstarted.
            shared.name::<B::Message>(actor.address(), name, true)?;
        }
        Ok(prepared)
    }
}

/// An actor that is made and not started: a handle to it, whose messages wait.
///
/// Dropped without a start, the actor ends as if killed: no hook runs, its messages are dead
/// letters. A system that shuts down waits for it as for any other actor, until the deadline; the
/// actor of one that outlasts its system ends on the thread that drops or starts it.
///
/// # Examples
///
/// Two actors that know each other from the start:
///
/// ```
/// # use mainspring::prelude::*;
/// # struct Peer(ActorRef<()>);
/// # impl Machine for Peer {
/// #     type Event = ();
/// #     fn apply(&mut self, _: ()) {}
/// # }
/// # let system = System::new()?;
/// # let nobody = system.spawn_machine(Nothing)?.actor();
/// # struct Nothing;
/// # impl Machine for Nothing {
/// #     type Event = ();
/// #     fn apply(&mut self, _: ()) {}
/// # }
/// let first = system.prepare(mainspring::Events::new(), Peer(nobody)).hold()?;
/// let second = system.spawn_machine(Peer(first.actor()))?;
/// first.tell(())?; // waits in the mailbox
/// let first = first.start();
/// # let _ = (first, second);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[must_use = "dropping it ends the actor"]
pub struct Prepared<B: Behavior> {
    actor: Actor<B>,
    started: bool,
}

impl<B: Behavior> Prepared<B> {
    /// Lets the actor run. If the system has ended, the actor ends at once, as if killed.
    pub fn start(mut self) -> Actor<B> {
        self.started = true;
        self.actor.shared().launch(self.actor.actor().address());
        self.actor.clone()
    }
}

impl<B: Behavior> Deref for Prepared<B> {
    type Target = Handle<B::Message>;
    fn deref(&self) -> &Handle<B::Message> {
        &self.actor
    }
}

impl<B: Behavior> Drop for Prepared<B> {
    fn drop(&mut self) {
        if !self.started {
            self.actor.shared().abandon(self.actor.actor().address());
        }
    }
}

/// Of which type an actor is and where it runs, by number.
pub(crate) struct Home {
    pub(crate) type_number: u16,
    pub(crate) dispatcher: u16,
}

impl Shared {
    /// Makes an actor from outside that is not on a run queue yet. The caller has counted it.
    fn make<B: Behavior>(
        &self,
        behavior: B,
        machine: B::Machine,
        limits: Limits,
        dispatcher: u16,
    ) -> Result<ActorRef<B::Message>, SpawnError> {
        let number = {
            let mut numbers = lock(&self.numbers);
            if numbers.is_empty() && !self.is_over_ceiling() {
                self.cells.refill(&mut numbers);
            }
            numbers.pop()
        };
        self.note_cells();
        let Some(number) = number else {
            return Err(self.no_cell());
        };
        let home = Home {
            type_number: self.type_number(TypeId::of::<B>(), std::any::type_name::<B>()),
            dispatcher,
        };
        let body = Body { behavior, machine };
        Ok(self.settle(number, home, |cell| {
            cell.prepare::<B>(number, body, limits);
        }))
    }

    /// Makes the free cell `number`, which the caller owns, an actor that is on no run queue yet;
    /// `prepare` gives it its state and its limits.
    #[inline(always)]
    pub(crate) fn settle<M>(
        &self,
        number: u32,
        home: Home,
        prepare: impl FnOnce(&ActorCell),
    ) -> ActorRef<M> {
        let Some(cell) = self.cells.get(number) else {
            unreachable!("a number from the table has a cell");
        };
        cell.type_number.store(home.type_number, Relaxed);
        cell.dispatcher.store(home.dispatcher, Relaxed);
        prepare(cell);
        if self.has_origins {
            cell.expect_stamps();
        }
        cell.inbox.open_scheduled();
        ActorRef::from_address(Address {
            cell: number,
            generation: NonZeroU32::new(cell.life.generation())
                .expect("a cell that is handed out has generations left"),
            system: self.tag,
        })
    }

    /// Why there is no cell for an actor.
    #[cold]
    pub(crate) fn no_cell(&self) -> SpawnError {
        if self.is_over_ceiling() {
            return SpawnError::NoMemory;
        }
        SpawnError::TooMany {
            limit: self.config.system.max_actors,
        }
    }

    /// Lets a prepared actor run.
    fn launch(self: &Arc<Self>, actor: Address) {
        if let Some(cell) = self.cell_of(actor) {
            self.hand_over(actor, cell);
        }
    }

    /// Ends a prepared actor before it ever ran.
    fn abandon(self: &Arc<Self>, actor: Address) {
        if let Some(cell) = self.cell_of(actor) {
            cell.life.set(actor.generation.get(), life::KILL, 0);
            self.hand_over(actor, cell);
        }
    }

    /// Puts a prepared actor on a run queue. Once the workers were told to end, nobody may look
    /// there again: then it is killed here.
    fn hand_over(self: &Arc<Self>, actor: Address, cell: &ActorCell) {
        let workers_end = lock(&self.workers_end);
        if !*workers_end {
            self.schedule(actor.cell, cell);
            return;
        }
        drop(workers_end);
        cell.life.set(actor.generation.get(), life::KILL, 0);
        let dispatchers = self.dispatchers();
        let next = |last: &Arc<Dispatcher>| last.first_worker + last.stats.len() as u32;
        let (dispatcher, parts) = Dispatcher::for_one_actor(
            u16::MAX, // what it wakes is others' to run
            self.config.dispatcher.clone(),
            dispatchers.last().map_or(0, next),
            None,
        );
        for part in parts {
            Worker::new(self.clone(), dispatcher.clone(), 0, part.queues).run_alone(cell);
        }
    }

    /// The number of a dispatcher of the configuration.
    pub(crate) fn dispatcher_named(&self, name: &str) -> Result<u16, SpawnError> {
        let dispatchers = self.dispatchers();
        let found = dispatchers
            .iter()
            .find(|dispatcher| !dispatcher.own && dispatcher.name == name);
        match found {
            Some(_) if self.is_stepped => Ok(0),
            Some(dispatcher) => Ok(dispatcher.id),
            None => Err(SpawnError::NoDispatcher(name.to_owned())),
        }
    }

    /// Starts a dispatcher of one worker for one actor.
    pub(crate) fn start_own_dispatcher(self: &Arc<Self>) -> Result<u16, SpawnError> {
        if self.is_stepped {
            return Ok(0);
        }
        let ended = lock(&self.ended_dispatchers).pop();
        let config = self.config.dispatcher.clone();
        let mut dispatchers = self
            .dispatchers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let (id, first_worker) = match ended {
            Some(id) => (id, dispatchers[usize::from(id)].first_worker),
            None => {
                let next = dispatchers
                    .last()
                    .map_or(0, |last| last.first_worker + last.stats.len() as u32);
                let id = u16::try_from(dispatchers.len())
                    .map_err(|_| SpawnError::Thread(std::io::ErrorKind::OutOfMemory))?;
                (id, next)
            }
        };
        let before = dispatchers.get(usize::from(id)).map(Arc::as_ref);
        let (dispatcher, parts) = Dispatcher::for_one_actor(id, config, first_worker, before);
        match ended {
            Some(_) => dispatchers[usize::from(id)] = dispatcher.clone(),
            None => dispatchers.push(dispatcher.clone()),
        }
        drop(dispatchers);
        for part in parts {
            if let Err(error) = self.start_worker(&dispatcher, 0, part) {
                lock(&self.ended_dispatchers).push(id);
                return Err(SpawnError::Thread(match error {
                    super::StartError::Thread(error) => error.kind(),
                    _ => std::io::ErrorKind::Other,
                }));
            }
        }
        Ok(id)
    }

    /// Ends the dispatcher if it was made for one actor.
    pub(crate) fn stop_own_dispatcher(&self, id: u16) {
        if let Some(dispatcher) = self.dispatchers().get(usize::from(id))
            && dispatcher.own
        {
            dispatcher.stop();
        }
    }
}
