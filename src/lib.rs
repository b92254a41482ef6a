//! An actor runtime for CPU-bound work.

#[cfg(loom)]
#[doc(hidden)]
pub mod sync;
#[cfg(not(loom))]
mod sync;

#[cfg(not(loom))]
mod actor;
#[cfg(not(loom))]
mod ask;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
mod dead_letter;
#[cfg(not(loom))]
mod dispatcher;
#[cfg(not(loom))]
mod envelope;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod plan;
#[cfg(not(loom))]
mod system;
#[cfg(not(loom))]
#[doc(hidden)] // for the benches
pub mod timer;

#[cfg(not(loom))]
mod front {
    pub use crate::actor::{
        ActorRef, Address, Behavior, Counts, Down, Events, Exit, Machine, Meta, Refusal, Snapshot,
    };
    pub use crate::ask::{AskError, Deferred, Reply};
    pub use crate::config::Config;
    pub use crate::dead_letter::{Cause, DeadLetter};
    pub use crate::handle::{Actor, Ask, Handle, SendError};
    pub use crate::plan::timers::{Key, Missed};
    pub use crate::plan::children::SpawnStep;
    pub use crate::plan::{AskPlan, AskStep, Plan};
    pub use crate::system::watch::NameError;
    pub use crate::system::{Shutdown, SpawnError, StartError, System};
}
#[cfg(not(loom))]
pub use front::*;

/// Any error of this library, or of a program that uses it.
pub type Error = Box<dyn std::error::Error>;

/// The result of a program's `main`: any error of this library converts to it.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What most programs need.
pub mod prelude {
    #[cfg(not(loom))]
    pub use crate::{
        Actor, ActorRef, AskError, Behavior, Config, Deferred, Exit, Handle, Key, Machine, Plan, Reply,
        Snapshot, System,
    };
}
