//! An actor runtime for CPU-bound work.

#[cfg(loom)]
#[doc(hidden)]
pub mod sync;
#[cfg(not(loom))]
mod sync;

pub mod config;
mod dispatcher;
