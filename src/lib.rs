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
