//! Actors: behaviors, machines, addresses, and the cells that they live in.

mod assign;
mod behavior;
pub(crate) mod cell;
mod exit;
pub(crate) mod extension;
mod handler;
pub(crate) mod ids;
mod origin;
mod reference;
mod snapshot;
pub(crate) mod stream;
pub(crate) mod subscription;
pub(crate) mod topic;

pub use assign::{Assign, Context};
pub use behavior::{Behavior, Events, Machine, Refusal};
pub use cell::Counts;
pub use exit::{Down, Exit};
pub use handler::Handler;
pub use origin::Origin;
pub(crate) use origin::Stamped;
pub use reference::{ActorRef, Address};
pub(crate) use snapshot::Turn;
pub use snapshot::{Meta, Snapshot};
