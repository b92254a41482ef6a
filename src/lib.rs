//! An actor runtime for CPU-bound work.

#[cfg(loom)]
#[doc(hidden)]
pub mod sync;
#[cfg(not(loom))]
mod sync;

// Public to the benches only.
#[doc(hidden)]
pub mod timer;
