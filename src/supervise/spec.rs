//! What a supervisor knows of a child before it starts.

use super::supervisor::{Supervisor, SupervisorMessage};
use super::{Backoff, Intensity, Restart};
use crate::actor::{Address, Behavior};
use crate::plan::Plan;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A child's step in the plan of its supervisor, by the key that its news come with.
type Spawn = dyn Fn(u64, Option<&str>) -> (Address, Plan<Supervisor>) + Send + Sync;

/// How actors of one behavior are supervised where their spec doesn't say otherwise; see
/// [`Behavior::SUPERVISION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// After which ends one starts anew.
    pub restart: Restart,
    /// How many restarts are allowed.
    pub intensity: Intensity,
    /// How long a restart waits.
    pub backoff: Backoff,
    /// A start that takes longer counts as a crash.
    pub start_deadline: Duration,
    /// One that takes longer to stop is killed.
    pub stop_deadline: Duration,
}

impl Terms {
    /// Permanent; 3 restarts in 30 s; 1 s doubling to 30 s, with jitter; 10 s to start, 5 s to stop.
    pub const DEFAULT: Self = Self {
        restart: Restart::Permanent,
        intensity: Intensity::DEFAULT,
        backoff: Backoff::DEFAULT,
        start_deadline: Duration::from_secs(10),
        stop_deadline: Duration::from_secs(5),
    };
}

impl Default for Terms {
    /// [`Terms::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

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
}

impl ChildSpec {
    /// A child that is supervised by the terms of its behavior ([`Behavior::SUPERVISION`]) where the
    /// spec doesn't say otherwise; `make` makes behavior and machine for each incarnation, numbered from 1,
    /// in the child's own turn: its panic counts as a crash of the child.
    pub fn new<C: Behavior>(
        id: &str,
        make: impl Fn(u32) -> (C, C::Machine) + Send + Sync + 'static,
    ) -> Self {
        let terms = C::SUPERVISION;
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
            restart: terms.restart,
            intensity: terms.intensity,
            backoff: terms.backoff,
            start_deadline: terms.start_deadline,
            stop_deadline: terms.stop_deadline,
            spawn: Arc::new(spawn),
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

    /// A start that takes longer counts as a crash.
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// A child that takes longer to stop is killed.
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
