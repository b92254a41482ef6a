//! Locks of tasks. Who finds one held waits until it is let go and looks again: whoever comes first
//! has it. Nothing of shuttle's is in them, so they may lie in a `static`.

use super::world::{self, NEVER, Place, block, point, wake};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

/// Those who wait for one thing. The lock is never held from one step to another.
#[derive(Debug, Default)]
struct Line(std::sync::Mutex<Vec<Arc<Place>>>);

impl Line {
    const fn new() -> Self {
        Self(std::sync::Mutex::new(Vec::new()))
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is called.
    fn wait(&self) {
        self.list().push(world::here());
        block(NEVER);
    }

    /// Lets all of them look again.
    fn call(&self) {
        let all = std::mem::take(&mut *self.list());
        for place in all {
            wake(&place);
        }
    }
}

/// As std's, never poisoned.
pub struct Mutex<T: ?Sized> {
    /// The schedule whose task holds it; 0 for none.
    held: AtomicUsize,
    line: Line,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes from task to task with the lock.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// As std's.
    pub const fn new(value: T) -> Self {
        Self {
            held: AtomicUsize::new(0),
            line: Line::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// As std's; `Ok` always.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        point();
        let now = world::schedule() + 1;
        // Held by a task of an earlier schedule, which failed: it is nobody's.
        while self.held.load(Relaxed) == now {
            self.line.wait();
        }
        self.held.store(now, Relaxed);
        Ok(MutexGuard { mutex: self })
    }

    /// As std's, never poisoned.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        point();
        let now = world::schedule() + 1;
        if self.held.load(Relaxed) == now {
            return Err(TryLockError::WouldBlock);
        }
        self.held.store(now, Relaxed);
        Ok(MutexGuard { mutex: self })
    }

    /// As std's; `Ok` always.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        Ok(self.value.get_mut())
    }

    /// As std's; `Ok` always.
    pub fn into_inner(self) -> LockResult<T> {
        Ok(self.value.into_inner())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// As std's.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
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
        self.mutex.held.store(0, Relaxed);
        self.mutex.line.call();
    }
}

/// As std's.
#[derive(Debug, Default)]
pub struct Condvar {
    waiting: std::sync::Mutex<Vec<(Arc<Place>, Arc<AtomicBool>)>>,
}

impl Condvar {
    /// As std's.
    pub const fn new() -> Self {
        Self {
            waiting: std::sync::Mutex::new(Vec::new()),
        }
    }

    /// As std's: of those who wait the first.
    pub fn notify_one(&self) {
        point();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (!waiting.is_empty()).then(|| waiting.remove(0));
        drop(waiting);
        if let Some((place, is_told)) = first {
            is_told.store(true, Relaxed);
            wake(&place);
        }
    }

    /// As std's.
    pub fn notify_all(&self) {
        point();
        let all = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (place, is_told) in all {
            is_told.store(true, Relaxed);
            wake(&place);
        }
    }

    /// As std's, never for nothing.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, NEVER)
    }

    /// As std's, but that the caller looks at the time itself.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let deadline_ns = world::deadline_ns(limit);
        let guard = self.wait_until(guard, deadline_ns);
        Ok((guard.unwrap_or_else(PoisonError::into_inner), ()))
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline_ns: u64,
    ) -> LockResult<MutexGuard<'a, T>> {
        let is_told = Arc::new(AtomicBool::new(false));
        let waiting = || self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting().push((world::here(), is_told.clone()));
        let mutex = guard.mutex;
        drop(guard);
        while !is_told.load(Relaxed) && !world::is_over(deadline_ns) {
            block(deadline_ns);
        }
        waiting().retain(|(_, other)| !Arc::ptr_eq(other, &is_told));
        mutex.lock()
    }
}

/// As std's, never poisoned.
#[derive(Debug, Default)]
pub struct RwLock<T> {
    /// How many read; -1 while one writes.
    held: AtomicIsize,
    line: Line,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes from task to task with the lock.
unsafe impl<T: Send> Send for RwLock<T> {}
// SAFETY: as above, and those who read share it.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// As std's.
    pub const fn new(value: T) -> Self {
        Self {
            held: AtomicIsize::new(0),
            line: Line::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// As std's; `Ok` always.
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        point();
        while self.held.load(Relaxed) < 0 {
            self.line.wait();
        }
        self.held.fetch_add(1, Relaxed);
        Ok(RwLockReadGuard { lock: self })
    }

    /// As std's; `Ok` always.
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        point();
        while self.held.load(Relaxed) != 0 {
            self.line.wait();
        }
        self.held.store(-1, Relaxed);
        Ok(RwLockWriteGuard { lock: self })
    }
}

/// As std's.
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T> {
    lock: &'a RwLock<T>,
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is one of those who read.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.held.fetch_sub(1, Relaxed);
        self.lock.line.call();
    }
}

/// As std's.
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T> {
    lock: &'a RwLock<T>,
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the one that writes.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the one that writes.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.held.store(0, Relaxed);
        self.lock.line.call();
    }
}

/// What std's channels do here, as far as they are used: one sender, who never waits.
pub mod mpsc {
    use super::{Condvar, Mutex};
    use crate::sync::lock;
    use std::collections::VecDeque;
    use std::sync::mpsc::{RecvError, SendError};
    use std::sync::{Arc, PoisonError};

    #[derive(Debug)]
    struct Channel<T> {
        state: Mutex<(VecDeque<T>, bool)>,
        news: Condvar,
    }

    /// As std's.
    #[derive(Debug)]
    pub struct SyncSender<T>(Arc<Channel<T>>);

    /// As std's.
    #[derive(Debug)]
    pub struct Receiver<T>(Arc<Channel<T>>);

    /// As std's, without a bound.
    #[must_use]
    pub fn sync_channel<T>(_: usize) -> (SyncSender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            state: Mutex::new((VecDeque::new(), false)),
            news: Condvar::new(),
        });
        (SyncSender(channel.clone()), Receiver(channel))
    }

    impl<T> SyncSender<T> {
        /// As std's; `Ok` always.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn send(&self, value: T) -> Result<(), SendError<T>> {
            lock(&self.0.state).0.push_back(value);
            self.0.news.notify_one();
            Ok(())
        }
    }

    impl<T> Drop for SyncSender<T> {
        fn drop(&mut self) {
            lock(&self.0.state).1 = true;
            self.0.news.notify_all();
        }
    }

    impl<T> Receiver<T> {
        /// As std's.
        ///
        /// # Errors
        ///
        /// When the sender is gone.
        pub fn recv(&self) -> Result<T, RecvError> {
            let mut state = lock(&self.0.state);
            loop {
                if let Some(value) = state.0.pop_front() {
                    return Ok(value);
                }
                if state.1 {
                    return Err(RecvError);
                }
                let waited = self.0.news.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
