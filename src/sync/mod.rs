//! The one door to atomics, cells, threads and the clock: std's, or loom's under `--cfg loom`, or
//! those of `shuttle/` under `--cfg mainspring_shuttle`.
//!
//! Everything that two threads share goes through here, so that the models in `loom-tests/` drive
//! the shipped code. Each protocol is a file of its own with its drawing, its ordering table and
//! its model.

#![allow(unreachable_pub)] // public to the models only

pub mod alarm;
pub mod anchor;
pub mod census;
pub mod clock;
#[cfg(not(loom))]
pub mod deque;
pub mod gate;
pub mod idle;
pub mod inbox;
#[cfg(any(mainspring_jitter, mainspring_shuttle))]
mod jitter;
pub mod lend;
pub mod look;
pub mod oneshot;
pub mod orders;
pub mod parker;
pub mod ring;
#[cfg(not(loom))]
pub mod scope;
#[cfg(mainspring_shuttle)]
pub mod shuttle;
pub mod slots;
pub mod spares;
#[cfg(not(loom))]
pub(crate) mod spin;
#[cfg(mainspring_tsan)]
mod tsan;
pub mod waits;

#[cfg(not(loom))]
mod imp {
    #[cfg(mainspring_tsan)]
    pub use super::tsan::{Condvar, Mutex, MutexGuard, atomic};
    #[cfg(any(mainspring_jitter, mainspring_shuttle))]
    pub mod atomic {
        pub use crate::sync::jitter::*;
    }
    #[cfg(mainspring_shuttle)]
    pub use super::shuttle::*;
    pub use std::sync::Arc;
    #[cfg(not(any(mainspring_tsan, mainspring_jitter, mainspring_shuttle)))]
    pub use std::sync::atomic;
    #[cfg(not(any(mainspring_tsan, mainspring_shuttle)))]
    pub use std::sync::{Condvar, Mutex, MutexGuard};
    #[cfg(not(mainspring_shuttle))]
    pub use std::sync::{RwLock, mpsc};
    #[cfg(not(mainspring_shuttle))]
    pub use std::{thread, thread_local};

    /// What tells the time.
    #[cfg(not(mainspring_shuttle))]
    pub mod time {
        pub use std::time::Instant;
    }

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
    #[cfg(not(mainspring_shuttle))]
    #[inline(always)]
    pub fn spin_loop() {
        std::hint::spin_loop();
    }

    /// What `number` holds, for its only writer.
    #[inline(always)]
    pub fn load_own(number: &atomic::AtomicU64) -> u64 {
        number.load(atomic::Ordering::Relaxed)
    }
}

/// Asks the processor for the memory at an address that is soon looked at: a hint, which may be
/// wrong or null.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches no memory that a program can see, and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(loom)]
mod imp {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic;
    pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    /// What tells the time: a model's never passes, so std's will do.
    pub mod time {
        pub use std::time::Instant;
    }

    /// Loom's threads, with a `park` that keeps its token as std's does: loom's own loses the token
    /// of a thread that has yielded, and lets a stray one out of a lock or a join.
    pub mod thread {
        use super::{Arc, Condvar, Mutex};
        pub use loom::thread::{JoinHandle, ThreadId, spawn, yield_now};

        loom::thread_local! {
            static CURRENT: Thread = Thread {
                id: loom::thread::current().id(),
                token: Arc::new((Mutex::new(false), Condvar::new())),
            };
        }

        /// A thread to wake.
        #[derive(Clone, Debug)]
        pub struct Thread {
            id: ThreadId,
            token: Arc<(Mutex<bool>, Condvar)>,
        }

        impl Thread {
            /// As std's.
            pub fn id(&self) -> ThreadId {
                self.id
            }

            /// As std's.
            pub fn unpark(&self) {
                *self.token.0.lock().unwrap() = true;
                self.token.1.notify_one();
            }
        }

        /// As std's.
        pub fn current() -> Thread {
            CURRENT.with(Thread::clone)
        }

        /// As std's; it never returns without a token.
        pub fn park() {
            let token = current().token;
            let mut there = token.0.lock().unwrap();
            while !*there {
                there = token.1.wait(there).unwrap();
            }
            *there = false;
        }
    }

    /// Lets the model run another thread: a loop that waits must yield under loom.
    pub fn spin_loop() {
        loom::thread::yield_now();
    }

    /// What `number` holds, for its only writer. An atomic load here would hide the writer's next
    /// store from loom's search: it keeps one access to compare with, and that would be this load.
    pub fn load_own(number: &atomic::AtomicU64) -> u64 {
        // SAFETY: no other thread stores; loom checks it.
        unsafe { number.unsync_load() }
    }
}

#[allow(unused_imports)] // each build uses a part
pub use imp::*;

/// Locks `mutex`, also after another thread panicked while it held it: what our locks guard is
/// valid between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
