//! What a supervisor knows of a child before it starts.

use super::supervisor::{Supervisor, SupervisorMessage};
use super::{Backoff, Intensity, Restart};
use crate::actor::{Address, Behavior};
use crate::plan::Plan;
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A child's step in the plan of its supervisor, by the key that its news come with.
type Spawn = dyn Fn(u64, Option<&str>) -> (Address, Plan<Supervisor>) + Send + Sync;

/// How a supervisor makes, restarts and stops one child.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) restart: Restart,
    pub(crate) intensity: Intensity,
    pub(crate) backoff: Backoff,
    pub(crate) start_deadline: Duration,
    pub(crate) stop_deadline: Duration,
    pub(crate) spawn: Arc<Spawn>,
    /// Lets the child finish: what it was sent, or, if it is a supervisor, its children.
    pub(crate) stop: fn(Address) -> Plan<Supervisor>,
}

impl ChildSpec {
    /// A permanent child; `make` makes behavior and machine for each incarnation, numbered from 1,
    /// in the child's own turn: its panic counts as a crash of the child.
    pub fn new<C: Behavior>(
        id: &str,
        make: impl Fn(u32) -> (C, C::Machine) + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        let spawn = move |key: u64, name: Option<&str>| {
            let make = make.clone();
            let step = Plan::<Supervisor>::supervise::<C>(
                move |incarnation| make(incarnation),
                move |news| SupervisorMessage::News { key, news },
            );
            let step = match name {
                Some(name) => step.named(name),
                None => step,
            };
            (step.child().address(), step.into())
        };
        Self {
            id: id.into(),
            name: None,
            restart: Restart::default(),
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            start_deadline: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(5),
            spawn: Arc::new(spawn),
            stop: if TypeId::of::<C>() == TypeId::of::<Supervisor>() {
                Plan::stop_tree
            } else {
                Plan::stop_actor
            },
        }
    }

    /// A name by which [`System::whereis`](crate::System::whereis) finds the child; it stays over
    /// restarts.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// After which ends it starts anew.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How many restarts are allowed.
    pub fn intensity(mut self, max: u32, within: Duration) -> Self {
        self.intensity = Intensity { max, within };
        self
    }

    /// How long a restart waits.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// A start that takes longer counts as a crash; 10 s by default.
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// A child that takes longer to stop is killed; 5 s by default.
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("restart", &self.restart)
            .field("intensity", &self.intensity)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}
