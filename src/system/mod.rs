//! The system: all that the actors of one runtime share, from start to shutdown.

pub(crate) mod policy;
pub(crate) mod quota;
pub(crate) mod root;
pub(crate) mod shared;
mod shutdown;
pub(crate) mod spawn;
mod start;
#[cfg(feature = "testkit")]
mod stepping;
pub(crate) mod watch;

use crate::actor::cell::{ActorCell, Counts};
use crate::actor::ids::Source;
use crate::actor::stream::{self, EventStream};
use crate::actor::topic::Listener;
use crate::actor::{ActorRef, Address, Behavior, Machine};
use crate::config::Config;
use crate::dead_letter::DeadLetter;
use crate::dependency::{Directory, Unresolved};
use crate::dispatcher::worker::{self, Worker};
use crate::handle::{Actor, Handle};
use crate::metrics::Metrics;
use crate::path::ActorPath;
use crate::plan::breaker::BreakerState;
use crate::plan::escape::Escape;
use crate::quarantine::Quarantine;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::timer::Clock;
use spawn::{Prepare, SpawnError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use shared::{Shared, is_alive, send_uncounted};
pub use shutdown::{Late, Shutdown};
pub use start::StartError;

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
        Self::start(config, Clock::real(), true, Source::any())
    }

    /// A system without threads: the caller runs its actors with [`System::run_until_idle`] and
    /// [`System::run_for`], on one thread and otherwise just the same.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`].
    pub fn stepped(config: Config, clock: Clock) -> Result<Self, StartError> {
        Self::start(config, clock, false, Source::any())
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

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether an actor of this system calls.
    fn is_inside(&self) -> bool {
        worker::peek(|worker| worker.is_some_and(|w| w.system() == self.shared.tag))
    }

    /// The worker of a system without threads.
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
    /// [`Cause::NoMemory`](crate::Cause::NoMemory), and no actors are made; what is under way is finished. It counts the
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
}
