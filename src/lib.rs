//! An actor runtime for CPU-bound work.

pub mod chart;
#[cfg(loom)]
#[doc(hidden)]
pub mod sync;
#[cfg(not(loom))]
mod sync;
