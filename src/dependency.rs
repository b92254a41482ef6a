//! Dependencies by address: what a behavior needs of others, resolved when its actor is made.

use crate::actor::{ActorRef, Behavior};
use crate::dispatcher::worker;
use crate::handle::Actor;
use crate::path::ActorPath;
use crate::plan::children::SpawnStep;
use crate::supervise::ChildSpec;
use crate::system::spawn::{Prepare, SpawnError};
use crate::system::{Shared, System};
use std::fmt;

/// Why an [`ActorPath`] leads to no actor that can be told such messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unresolved {
    /// No actor holds the name.
    NoActor,
    /// The actor that holds the name takes messages of another type.
    OtherMessages,
    /// The path is one of another system.
    OtherSystem,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoActor => "no actor holds this name",
            Self::OtherMessages => "the actor of this name takes messages of another type",
            Self::OtherSystem => "this is another system",
        })
    }
}

impl std::error::Error for Unresolved {}

/// A dependency that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DependencyError {
    /// What the dependency is called: the field.
    pub dependency: &'static str,
    /// Where it was looked for.
    pub path: ActorPath<'static>,
    /// Why it was not found.
    pub why: Unresolved,
}

impl fmt::Display for DependencyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dependency,
            path,
            why,
        } = self;
        write!(f, "dependency `{dependency}` at {path}: {why}")
    }
}

impl std::error::Error for DependencyError {}

impl From<DependencyError> for SpawnError {
    fn from(error: DependencyError) -> Self {
        Self::Dependency(Box::new(error))
    }
}

/// The names of a system, where dependencies are looked for; see [`System::directory`].
#[derive(Clone, Copy)]
pub struct Directory<'a>(pub(crate) &'a Shared);

impl Directory<'_> {
    /// The address of the actor that a path names.
    ///
    /// # Errors
    ///
    /// [`Unresolved`].
    pub fn resolve<M: Send + 'static>(
        &self,
        path: ActorPath<'_>,
    ) -> Result<ActorRef<M>, Unresolved> {
        if path.system() != "system" && path.system() != self.0.config.system.name {
            return Err(Unresolved::OtherSystem);
        }
        let found = self.0.find::<M>(path.name());
        found.map(ActorRef::from_address)
    }
}

impl fmt::Debug for Directory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({})", self.0.config.system.name)
    }
}

/// Looks for dependencies in the directory of the system whose actor this thread runs, if any.
fn resolve_here<D: Dependencies>() -> Option<Result<D, DependencyError>> {
    let shared = worker::peek(|worker| worker.map(|worker| worker.shared.clone()))?;
    Some(D::resolve(Directory(&shared)))
}

/// The addresses that a behavior depends on, found by their paths.
///
/// `#[derive(Dependencies)]` (feature `macros`) makes it of a struct whose fields have a path each:
/// an [`ActorRef`] must be found, an `Option` of one may be missing. Give it to a [`Component`], or
/// call [`Dependencies::resolve`].
///
/// # Examples
///
/// By hand, which is what the derive writes:
///
/// ```
/// use mainspring::prelude::*;
/// use mainspring::{Dependencies, Dependency, DependencyError, Directory, actor_path};
///
/// #[derive(Clone, Copy)]
/// struct Needs { log: ActorRef<String> }
/// impl Dependencies for Needs {
///     fn resolve(directory: Directory<'_>) -> Result<Self, DependencyError> {
///         let log = Dependency::find(directory, "log", actor_path!("actor://system/log"))?;
///         Ok(Self { log })
///     }
/// }
///
/// let system = System::new()?;
/// let missing = Needs::resolve(system.directory()).err().unwrap();
/// assert_eq!(
///     missing.to_string(),
///     "dependency `log` at actor://system/log: no actor holds this name",
/// );
/// # Ok::<(), mainspring::Error>(())
/// ```
pub trait Dependencies: Copy + Send + Sync + 'static {
    /// Finds them all.
    ///
    /// # Errors
    ///
    /// [`DependencyError`] of the first that is missing.
    fn resolve(directory: Directory<'_>) -> Result<Self, DependencyError>;
}

impl Dependencies for () {
    fn resolve(_: Directory<'_>) -> Result<Self, DependencyError> {
        Ok(())
    }
}

/// One dependency: an [`ActorRef`], or an `Option` of one that may be missing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a dependency",
    label = "an `ActorRef<M>`, or an `Option<ActorRef<M>>` that may be missing"
)]
pub trait Dependency: Copy {
    /// Finds the dependency of this name by its path.
    ///
    /// # Errors
    ///
    /// [`DependencyError`]. What is optional may be missing; if it is there it takes these messages.
    fn find(
        directory: Directory<'_>,
        dependency: &'static str,
        path: ActorPath<'static>,
    ) -> Result<Self, DependencyError>;
}

impl<M: Send + 'static> Dependency for ActorRef<M> {
    fn find(
        directory: Directory<'_>,
        dependency: &'static str,
        path: ActorPath<'static>,
    ) -> Result<Self, DependencyError> {
        directory.resolve(path).map_err(|why| DependencyError {
            dependency,
            path,
            why,
        })
    }
}

impl<M: Send + 'static> Dependency for Option<ActorRef<M>> {
    fn find(
        directory: Directory<'_>,
        dependency: &'static str,
        path: ActorPath<'static>,
    ) -> Result<Self, DependencyError> {
        match ActorRef::find(directory, dependency, path) {
            Err(error) if error.why == Unresolved::NoActor => Ok(None),
            found => found.map(Some),
        }
    }
}

/// A behavior to be, with what it depends on: one definition for any number of actors.
///
/// What is made of it is an ordinary actor with an ordinary behavior, whose dependencies are fields.
/// They are resolved once, when the actor is made, outside ([`Component::spawn`]) or in a plan
/// ([`Component::child`]), or anew for each incarnation of a supervised one
/// ([`Component::child_spec`]). An address outlives restarts of its actor, and what is sent to it after
/// its end is a dead letter.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "macros")]
/// # fn main() -> mainspring::Result {
/// use mainspring::prelude::*;
/// use mainspring::{Component, Dependencies};
///
/// #[derive(Clone, Copy, Dependencies)]
/// struct Needs {
///     #[actor("actor://system/log")]
///     log: ActorRef<String>,
///     #[actor("actor://system/audit")]
///     audit: Option<ActorRef<String>>, // may be missing
/// }
///
/// #[derive(Clone, Copy)]
/// struct Greeting(Needs);
/// impl Behavior for Greeting {
///     type Machine = Lines;
///     type Message = String;
///     fn on_message(&self, name: String, _: Snapshot<Self>) -> Plan<Self> {
///         let Needs { log, audit } = self.0;
///         let audited = audit.map(|audit| Plan::tell(audit, name.clone()));
///         Plan::tell(log, format!("hello, {name}")).and(audited.unwrap_or_default())
///     }
/// }
/// const GREETING: Component<Needs, Greeting> = Component::new(Greeting);
///
/// # #[derive(Clone)]
/// # struct Lines(Vec<String>);
/// # impl Machine for Lines {
/// #     type Event = String;
/// #     fn apply(&mut self, line: String) { self.0.push(line) }
/// # }
/// let system = System::new()?;
/// assert!(GREETING.spawn(&system, Lines(Vec::new())).is_err(), "there is no log");
/// let log = system.prepare(mainspring::Events::new(), Lines(Vec::new())).name("log").start()?;
/// let greeting = GREETING.spawn(&system, Lines(Vec::new()))?;
/// greeting.tell("Ada".to_owned())?;
/// let done = greeting.monitor();
/// greeting.stop();
/// done.wait();
/// assert_eq!(log.snapshot().wait()?.0, ["hello, Ada"]);
/// # Ok(()) }
/// # #[cfg(not(feature = "macros"))]
/// # fn main() {}
/// ```
pub struct Component<D, B> {
    behavior: fn(D) -> B,
}

impl<D, B> Clone for Component<D, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<D, B> Copy for Component<D, B> {}

impl<D, B> fmt::Debug for Component<D, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({})", std::any::type_name::<B>())
    }
}

impl<D: Dependencies, B: Behavior> Component<D, B> {
    /// A behavior that `behavior` makes of its dependencies.
    pub const fn new(behavior: fn(D) -> B) -> Self {
        Self { behavior }
    }

    /// Resolves the dependencies and begins an actor: see [`Prepare`].
    ///
    /// # Errors
    ///
    /// [`SpawnError::Dependency`].
    pub fn prepare<'a>(
        &self,
        system: &'a System,
        machine: B::Machine,
    ) -> Result<Prepare<'a, B>, SpawnError> {
        let behavior = (self.behavior)(D::resolve(system.directory())?);
        Ok(system.prepare(behavior, machine))
    }

    /// Resolves the dependencies, makes the actor and starts it.
    ///
    /// # Errors
    ///
    /// [`SpawnError`].
    pub fn spawn(&self, system: &System, machine: B::Machine) -> Result<Actor<B>, SpawnError> {
        self.prepare(system, machine)?.start()
    }

    /// A child of it, as a step of an actor's plan; see [`Plan::spawn`](crate::Plan::spawn).
    ///
    /// The dependencies are resolved at once, in the turn that builds the plan. Where one is missing
    /// that turn fails as a whole, with [`Cause::NotSpawned`](crate::Cause::NotSpawned) of
    /// [`SpawnError::Dependency`].
    pub fn child<P: Behavior>(&self, machine: B::Machine) -> SpawnStep<P, B> {
        match resolve_here::<D>() {
            None => SpawnStep::of(None),
            Some(Err(error)) => SpawnStep::of(Some(error.into())),
            Some(Ok(dependencies)) => crate::Plan::spawn((self.behavior)(dependencies), machine),
        }
    }

    /// A child of it, for a [`Supervisor`](crate::supervise::Supervisor): `machine` makes the machine
    /// of each incarnation, numbered from 1.
    ///
    /// The dependencies are resolved anew for each, in the child's own turn. Where one is missing
    /// that start is a crash, by [`Exit::Panicked`](crate::Exit::Panicked) with the text of the
    /// [`DependencyError`]: the child is tried again after its backoff, as often as its intensity
    /// allows. So children may depend on those after them.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "macros")]
    /// # fn main() -> mainspring::Result {
    /// use mainspring::prelude::*;
    /// use mainspring::supervise::{Children, Strategy, Supervisor};
    /// use mainspring::{Component, Dependencies};
    ///
    /// # #[derive(Clone, Default)]
    /// # struct Lines(Vec<String>);
    /// # impl Machine for Lines {
    /// #     type Event = String;
    /// #     fn apply(&mut self, line: String) { self.0.push(line) }
    /// # }
    /// #[derive(Clone, Copy, Dependencies)]
    /// struct Needs {
    ///     #[actor("actor://system/log")]
    ///     log: ActorRef<String>,
    /// }
    /// #[derive(Clone, Copy)]
    /// struct Greeting(Needs);
    /// # impl Behavior for Greeting {
    /// #     type Machine = Lines;
    /// #     type Message = String;
    /// #     fn on_message(&self, name: String, _: Snapshot<Self>) -> Plan<Self> {
    /// #         Plan::tell(self.0.log, format!("hello, {name}"))
    /// #     }
    /// # }
    /// const GREETING: Component<Needs, Greeting> = Component::new(Greeting);
    ///
    /// let system = System::new()?;
    /// let _log = system.prepare(mainspring::Events::new(), Lines::default()).name("log").start()?;
    /// let spec = GREETING.child_spec("greeting", |_| Lines::default()).named("greeting");
    /// let _top = system.spawn(Supervisor, Children::new(Strategy::OneForOne, [spec]))?;
    /// # Ok(()) }
    /// # #[cfg(not(feature = "macros"))]
    /// # fn main() {}
    /// ```
    pub fn child_spec(
        &self,
        id: &str,
        machine: impl Fn(u32) -> B::Machine + Send + Sync + 'static,
    ) -> ChildSpec {
        let behavior = self.behavior;
        ChildSpec::new(id, move |incarnation| match resolve_here::<D>() {
            Some(Ok(dependencies)) => (behavior(dependencies), machine(incarnation)),
            Some(Err(error)) => std::panic::resume_unwind(Box::new(error.to_string())),
            None => unreachable!("a child is made in a turn of its own"),
        })
    }
}
