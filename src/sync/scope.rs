//! What the current thread works for: a pointer that is set for the time of a call.
//!
//! - T1: the pointer is either null or borrowed for at least as long as it is set.

use super::thread::LocalKey;
use std::cell::Cell;
use std::marker::PhantomData;

/// A thread's pointer to a `T`; declared with `thread_local!` as [`Scope::empty`].
#[derive(Debug)]
pub struct Scope<T> {
    pointer: Cell<*const T>,
    marker: PhantomData<T>,
}

impl<T> Scope<T> {
    /// Points nowhere.
    pub const fn empty() -> Self {
        Self {
            pointer: Cell::new(std::ptr::null()),
            marker: PhantomData,
        }
    }
}

/// Makes `value` the current one of this thread while `run` runs.
pub fn enter<T, R>(key: &'static LocalKey<Scope<T>>, value: &T, run: impl FnOnce() -> R) -> R {
    struct Restore<T: 'static>(&'static LocalKey<Scope<T>>, *const T);
    impl<T> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.with(|scope| scope.pointer.set(self.1));
        }
    }
    let before = key.with(|scope| scope.pointer.replace(value));
    let _restore = Restore(key, before);
    run()
}

/// Gives `look` the current value of this thread, if there is one.
#[inline(always)]
pub fn current<T, R>(key: &'static LocalKey<Scope<T>>, look: impl FnOnce(Option<&T>) -> R) -> R {
    let pointer = key.with(|scope| scope.pointer.get());
    // SAFETY: T1: `enter` borrows the value for as long as the pointer is set, and `look` can't
    // outlast this call, which is inside it.
    look(unsafe { pointer.as_ref() })
}
