//! Dependencies by address: what a behavior needs of others, resolved when its actor is made.

use crate::actor::{ActorRef, Behavior};
use crate::handle::Actor;
use crate::path::ActorPath;
use crate::system::System;
use crate::system::spawn::{Prepare, SpawnError};
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
/// use mainspring::{Dependencies, Dependency, DependencyError, actor_path};
///
/// #[derive(Clone, Copy)]
/// struct Needs { log: ActorRef<String> }
/// impl Dependencies for Needs {
///     fn resolve(system: &System) -> Result<Self, DependencyError> {
///         let log = Dependency::find(system, "log", actor_path!("actor://system/log"))?;
///         Ok(Self { log })
///     }
/// }
///
/// let system = System::new()?;
/// let missing = Needs::resolve(&system).err().unwrap();
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
    fn resolve(system: &System) -> Result<Self, DependencyError>;
}

impl Dependencies for () {
    fn resolve(_: &System) -> Result<Self, DependencyError> {
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
        system: &System,
        dependency: &'static str,
        path: ActorPath<'static>,
    ) -> Result<Self, DependencyError>;
}

impl<M: Send + 'static> Dependency for ActorRef<M> {
    fn find(
        system: &System,
        dependency: &'static str,
        path: ActorPath<'static>,
    ) -> Result<Self, DependencyError> {
        system.resolve(path).map_err(|why| DependencyError {
            dependency,
            path,
            why,
        })
    }
}

impl<M: Send + 'static> Dependency for Option<ActorRef<M>> {
    fn find(
        system: &System,
        dependency: &'static str,
        path: ActorPath<'static>,
    ) -> Result<Self, DependencyError> {
        match ActorRef::find(system, dependency, path) {
            Err(error) if error.why == Unresolved::NoActor => Ok(None),
            found => found.map(Some),
        }
    }
}

/// A behavior to be, with what it depends on: one definition for any number of actors.
///
/// What is made of it is an ordinary actor with an ordinary behavior, whose dependencies are fields.
/// They are resolved once, when the actor is made; an address outlives restarts of its actor, and
/// what is sent to it after its end is a dead letter.
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
        let behavior = (self.behavior)(D::resolve(system)?);
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
}
