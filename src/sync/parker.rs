//! The parker: one token that lets a sleeping worker go on.
//!
//! ```text
//!            park                      unpark: nothing more to do
//!   EMPTY ─────────▶ PARKED        EMPTY ─────────▶ NOTIFIED ◀─┐
//!     ▲                │              ▲                │  └────┘ unpark
//!     │    time is up  │              └──── park ──────┘
//!     ├────────────────┤                 (returns at once)
//!     │                │ unpark: and wakes the thread
//!     └── NOTIFIED ◀───┘
//! ```
//!
//! - P1: `park` returns only with a token, and takes it: a stray wake of the thread, by whomever,
//!   changes nothing.
//! - P2: tokens do not add up: any number of `unpark` before a `park` lets one `park` through.
//! - P3: a token is never lost: of an `unpark` and a time that is up, the token wins or stays.
//! - P4: what was written before `unpark` is seen after the `park` that took its token.
//!
//! | step         | operation                  | order   | pairs with | if Relaxed, the model sees     |
//! |--------------|----------------------------|---------|------------|--------------------------------|
//! | unpark       | swap(NOTIFIED)             | Release | take       | a stale read after `park` (P4) |
//! | take         | cmpxchg(NOTIFIED → EMPTY)  | Acquire | unpark     | a stale read after `park` (P4) |
//! | announce     | cmpxchg(EMPTY → PARKED)    | Relaxed | unpark     | already so: the mutex hands on |
//! |              |                            |         |            | the thread                     |
//! | time is up   | swap(EMPTY)                | Acquire | unpark     | a stale read after `true` (P4) |
//!
//! The thread to wake sits behind a mutex of its own, so that a parker may move to another thread
//! (a worker's core can be lent): only an unpark that found PARKED locks it, and that one is about
//! to make a system call anyway.
//!
//! Model: `loom-tests/tests/parker.rs`.

use super::atomic::{AtomicU32, Ordering};
use super::thread::{self, Thread, ThreadId};
use super::{Arc, Mutex, MutexGuard, lock};
use std::time::Duration;

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

/// The sleeping end; one thread at a time.
#[derive(Debug)]
pub struct Parker {
    shared: Arc<Shared>,
    /// The thread that `shared.thread` names.
    bound_to: Option<ThreadId>,
}

/// The waking end; as many as wanted.
#[derive(Clone, Debug)]
pub struct Unparker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU32,
    /// Whom to wake: set by the parker before it first announces itself on a thread.
    thread: Mutex<Option<Thread>>,
}

impl Parker {
    /// A parker without a token. One allocation.
    #[must_use]
    pub fn new() -> Self {
        let state = AtomicU32::new(EMPTY);
        let thread = Mutex::new(None);
        let shared = Arc::new(Shared { state, thread });
        Self {
            shared,
            bound_to: None,
        }
    }

    /// An end that wakes this parker.
    #[must_use]
    pub fn unparker(&self) -> Unparker {
        Unparker {
            shared: self.shared.clone(),
        }
    }

    /// Takes the token; sleeps until there is one.
    ///
    /// One read-modify-write when the token is there, else a system call.
    pub fn park(&mut self) {
        if !self.announce() {
            return;
        }
        loop {
            thread::park();
            if self.shared.take() {
                return;
            }
        }
    }

    /// Takes the token and returns `true`, or returns `false` once `limit` has passed without one.
    pub fn park_timeout(&mut self, limit: Duration) -> bool {
        if !self.announce() {
            return true;
        }
        if sleep_until_notified(limit, || self.shared.take()) {
            return true;
        }
        // Acquire: the token may have come just now; then it is taken, not lost (P3).
        self.shared.state.swap(EMPTY, Ordering::Acquire) == NOTIFIED
    }

    /// Moves from EMPTY to PARKED; `false` when a token was there and is now taken.
    fn announce(&mut self) -> bool {
        if self.shared.take() {
            return false;
        }
        self.bind();
        // Relaxed: it hands nothing on. Only an unpark or this thread changes the word, so the one
        // way to fail is a token.
        let announced =
            self.shared
                .state
                .compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Relaxed);
        announced.is_ok() || !self.shared.take()
    }

    /// Makes the calling thread the one that is woken.
    fn bind(&mut self) {
        let current = thread::current();
        if self.bound_to == Some(current.id()) {
            return;
        }
        self.bound_to = Some(current.id());
        *self.shared.lock_thread() = Some(current);
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

impl Unparker {
    /// Leaves a token, and wakes the thread if it sleeps.
    ///
    /// One swap when it does not sleep; else the swap and a system call of several microseconds.
    pub fn unpark(&self) {
        // Release: hands our writes to the `park` that takes this token (P4).
        if self.shared.state.swap(NOTIFIED, Ordering::Release) == PARKED {
            // The parker may have moved on meanwhile, even to another thread: then this is a
            // stray wake, which it absorbs (P1).
            if let Some(thread) = &*self.shared.lock_thread() {
                thread.unpark();
            }
        }
    }
}

impl Shared {
    /// Takes the token if it is there.
    fn take(&self) -> bool {
        self.state
            .compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn lock_thread(&self) -> MutexGuard<'_, Option<Thread>> {
        lock(&self.thread)
    }
}

/// Sleeps until `take` succeeds or `limit` has passed; whether `take` did.
#[cfg(not(loom))]
fn sleep_until_notified(limit: Duration, take: impl Fn() -> bool) -> bool {
    let begun = super::time::Instant::now();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return false;
        }
        thread::park_timeout(left);
        if take() {
            return true;
        }
    }
}

/// In a model time may be up at any moment: it is up now, and the interleavings do the rest.
#[cfg(loom)]
fn sleep_until_notified(_limit: Duration, _take: impl Fn() -> bool) -> bool {
    false
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_token_left_before_park_lets_one_park_through() {
        let mut parker = Parker::new();
        let unparker = parker.unparker();
        unparker.unpark();
        unparker.unpark();
        parker.park();
        assert!(!parker.park_timeout(Duration::from_millis(1)));
    }

    #[test]
    fn a_stray_wake_of_the_thread_is_absorbed() {
        let mut parker = Parker::new();
        thread::current().unpark();
        assert!(!parker.park_timeout(Duration::from_millis(1)));
    }

    #[test]
    fn a_thousand_turns_between_two_threads_end() {
        let (mut ours, mut theirs) = (Parker::new(), Parker::new());
        let (to_us, to_them) = (ours.unparker(), theirs.unparker());
        let other = thread::spawn(move || {
            for _ in 0..1_000 {
                theirs.park();
                to_us.unpark();
            }
        });
        for _ in 0..1_000 {
            to_them.unpark();
            ours.park();
        }
        other.join().expect("the other side ends");
    }

    #[test]
    fn a_parker_may_move_to_another_thread() {
        let mut parker = Parker::new();
        let unparker = parker.unparker();
        assert!(!parker.park_timeout(Duration::from_millis(1))); // bound to this thread
        let sleeper = thread::spawn(move || parker.park());
        unparker.unpark();
        sleeper.join().expect("woken on its new thread");
    }
}
