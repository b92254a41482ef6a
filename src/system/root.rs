//! The system's own actor, which makes actors for those who ask.

use super::System;
use super::spawn::SpawnError;
use super::watch::NameError;
use crate::actor::{ActorRef, Address, Behavior, Machine, Snapshot};
use crate::ask::Reply;
use crate::handle::Handle;
use crate::plan::Plan;
use std::fmt;

/// The name of the system's own actor.
const NAME: &str = "system";

/// What the system's own actor can be asked: see [`System::actor`].
pub struct SystemMessage(Box<dyn FnOnce() -> Plan<SystemActor> + Send>);

impl SystemMessage {
    /// A request for an actor; the answer is its address, which it has by then, or why there is
    /// none.
    pub fn spawn<C: Behavior>(
        spawn: Spawn<C>,
        reply: Reply<Result<ActorRef<C::Message>, SpawnError>>,
    ) -> Self {
        Self(Box::new(move || spawn.plan(reply)))
    }
}

impl fmt::Debug for SystemMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemMessage")
    }
}

/// An actor that somebody asks the system for.
#[must_use = "it is made by a `SystemMessage::spawn`"]
pub struct Spawn<C: Behavior> {
    behavior: C,
    machine: C::Machine,
    name: Option<String>,
    parent: Option<Address>,
}

impl<C: Behavior> Spawn<C> {
    /// An actor with this behavior and machine.
    pub fn new(behavior: C, machine: C::Machine) -> Self {
        Self {
            behavior,
            machine,
            name: None,
            parent: None,
        }
    }

    /// Gives it a name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Links it with `parent` before it runs: the abnormal end of one ends the other. If the
    /// parent has ended it ends at once, as [`Exit::Linked`](crate::Exit::Linked).
    pub fn linked_to(mut self, parent: impl Into<Address>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    fn plan(self, reply: Reply<Result<ActorRef<C::Message>, SpawnError>>) -> Plan<SystemActor> {
        let mut step = Plan::spawn(self.behavior, self.machine);
        if let Some(name) = &self.name {
            step = step.named(name);
        }
        if let Some(error) = step.error() {
            let error = error.clone();
            return Plan::reply(reply, Err(error));
        }
        let child = step.child();
        let linked = self
            .parent
            .map(|parent| Plan::link_others(child.address(), parent));
        linked
            .unwrap_or_default()
            .and(step)
            .and(Plan::emit(Made))
            .and(Plan::reply(reply, Ok(child)))
    }
}

impl<C: Behavior> fmt::Debug for Spawn<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn")
            .field("behavior", &std::any::type_name::<C>())
            .field("name", &self.name)
            .field("parent", &self.parent)
            .finish()
    }
}

/// The behavior of the system's own actor.
#[derive(Clone, Copy, Debug)]
struct SystemActor;

/// How many actors it made.
#[derive(Debug)]
struct Count(u64);

/// It made one.
struct Made;

impl Machine for Count {
    type Event = Made;
    fn apply(&mut self, Made: Made) {
        self.0 += 1;
    }
}

impl Behavior for SystemActor {
    type Machine = Count;
    type Message = SystemMessage;

    fn on_message(&self, SystemMessage(act): SystemMessage, _: Snapshot<'_, Self>) -> Plan<Self> {
        act()
    }
}

impl System {
    /// The system's own actor, which makes actors for whoever asks it; made by the first call, and
    /// then found by the name `system`.
    ///
    /// A plan makes children by itself ([`Plan::spawn`]). This is for an actor that somebody else
    /// is to make and that outlives the one who asks, and for code that knows no system but has an
    /// address.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`]; [`SpawnError::Name`] when another actor has taken the name.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{Spawn, SystemMessage};
    ///
    /// # struct Sum(u64);
    /// # impl Machine for Sum {
    /// #     type Event = u64;
    /// #     fn apply(&mut self, number: u64) {
    /// #         self.0 += number;
    /// #     }
    /// # }
    /// let system = System::new()?;
    /// let spawn = Spawn::new(mainspring::Events::new(), Sum(0)).named("sum");
    /// let sum = system.actor()?.ask(|reply| SystemMessage::spawn(spawn, reply)).wait()??;
    /// assert_eq!(system.whereis::<u64>("sum").map(|sum| sum.actor()), Some(sum));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn actor(&self) -> Result<Handle<SystemMessage>, SpawnError> {
        loop {
            if let Some(found) = self.whereis::<SystemMessage>(NAME) {
                return Ok(found);
            }
            match self.prepare(SystemActor, Count(0)).name(NAME).start() {
                Ok(made) => return Ok((*made).clone()),
                // Another thread was first, unless the name is somebody else's.
                Err(SpawnError::Name(NameError::Taken(holder))) => {
                    let ours = self.shared.named::<SystemMessage>(NAME).is_some();
                    if !ours && self.shared.cell_of(holder).is_some() {
                        return Err(SpawnError::Name(NameError::Taken(holder)));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}
