//! The one door to atomics, cells, threads and the clock: std's, or loom's under `--cfg loom`.
//!
//! Everything that two threads share goes through here, so that the models in `loom-tests/` drive
//! the shipped code. Each protocol is a file of its own with its drawing, its ordering table and
//! its model.

#![allow(unreachable_pub)] // public to the models only

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // only the clock there uses it
pub mod anchor;
pub mod clock;

#[cfg(not(loom))]
mod imp {
    pub use std::sync::atomic;
    pub use std::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub use std::thread;

    /// A cell that loom can track: access is by closure over the raw pointer.
    #[derive(Debug)]
    #[repr(transparent)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Wraps `value`.
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Gives `read` the pointer; the caller promises that no write runs meanwhile.
        #[inline(always)]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Gives `write` the pointer; the caller promises that it is alone with the cell.
        #[inline(always)]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Tells the processor that this thread waits in a loop.
    #[inline(always)]
    pub fn spin_loop() {
        std::hint::spin_loop();
    }
}

#[cfg(loom)]
mod imp {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic;
    pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub use loom::thread;

    /// Lets the model run another thread: a loop that waits must yield under loom.
    pub fn spin_loop() {
        loom::thread::yield_now();
    }
}

#[allow(unused_imports)] // each build uses a part
pub use imp::*;
