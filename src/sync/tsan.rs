//! What ThreadSanitizer understands, under `--cfg mainspring_tsan`: locks whose steps it sees, where
//! std's are compiled without it, and a fence, which it does not know at all.
//!
//! Only for `.ci/sanitize thread`: these locks spin.

pub mod atomic {
    //! std's, with a fence that is an operation on one place: it orders at least as much.

    pub use std::sync::atomic::*;

    /// In place of std's.
    pub fn fence(_: Ordering) {
        static ALL: AtomicU8 = AtomicU8::new(0);
        ALL.fetch_add(0, Ordering::SeqCst);
    }
}

use atomic::{AtomicBool, Ordering};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

/// As std's, never poisoned.
#[derive(Debug, Default)]
pub struct Mutex<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes from thread to thread with the lock.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// As std's.
    pub const fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// As std's; `Ok` always.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        loop {
            if let Ok(guard) = self.try_lock() {
                return Ok(guard);
            }
            std::thread::yield_now();
        }
    }

    /// As std's.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        match self.held.swap(true, Ordering::Acquire) {
            false => Ok(MutexGuard { mutex: self }),
            true => Err(TryLockError::WouldBlock),
        }
    }
}

/// As std's.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.held.store(false, Ordering::Release);
    }
}

/// As std's, with a spurious wake-up at every turn of its loop.
#[derive(Debug, Default)]
pub struct Condvar;

impl Condvar {
    /// As std's.
    pub const fn new() -> Self {
        Self
    }

    /// Whoever waits looks again anyway.
    pub fn notify_one(&self) {}

    /// Lets the lock go for a moment.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let mutex = guard.mutex;
        drop(guard);
        std::thread::yield_now();
        mutex.lock()
    }

    /// As std's, but that the caller looks at the time itself.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let guard = self
            .wait(guard)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok((guard, ()))
    }
}
