//! The injector: the bounded queue through which runnables come in from outside the workers.
//!
//! ```text
//!   state:  63        32 31          0           push: one place, then the runnable
//!          ┌────────────┬─────────────┐          pop:  the runnable, then its place
//!          │ closed     │ places taken│          close: no more places; then drain until
//!          └────────────┴─────────────┘                 none is taken
//! ```
//!
//! - J1: each runnable that was accepted is popped exactly once.
//! - J2: what lies in the queue never exceeds the places taken, and these never the bound.
//! - J3: a push either comes back, or `close_and_drain` or another pop gets its runnable: closing
//!   and taking a place are steps on one word, so the drain knows of every push under way.
//!
//! | step   | operation                   | order   | pairs with | what else breaks it               |
//! |--------|-----------------------------|---------|------------|-----------------------------------|
//! | place  | compare_exchange(+1)        | Relaxed | close      | a check apart from the step (J2)  |
//! | return | fetch_sub(1), after the pop | Relaxed | place      | before the pop (J2)               |
//! | close  | fetch_or(CLOSED)            | Relaxed | place      | a drain that trusts the queue (J3)|
//!
//! All on one location, whose order of changes is what the invariants need; the runnables are
//! handed over by the queue itself, crossbeam's. That one has no loom types: under loom a deque
//! behind a mutex stands in, and the real one is left to its own tests and the stress runs.
//!
//! Model: `loom-tests/tests/injector.rs`.

use super::atomic::{AtomicU64, Ordering};
use super::spin_loop;

const CLOSED: u64 = 1 << 32;
const PLACES: u64 = CLOSED - 1;

/// Why a runnable was not taken; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The bound is reached; a later push may succeed.
    Full(T),
    /// Closed; no later push can succeed.
    Closed(T),
}

/// A bounded queue, first in first out, for any number of threads at both ends.
#[derive(Debug)]
pub struct Injector<T> {
    state: AtomicU64,
    bound: u64,
    queue: Queue<T>,
}

impl<T> Injector<T> {
    /// A queue for at most `bound` runnables. Memory grows with use.
    ///
    /// # Panics
    ///
    /// When `bound` is zero.
    #[must_use]
    pub fn new(bound: u32) -> Self {
        assert!(bound > 0, "bound: expected at least 1");
        Self {
            state: AtomicU64::new(0),
            bound: u64::from(bound),
            queue: Queue::new(),
        }
    }

    /// Puts `runnable` in. The caller then calls `Idle::wake_one`.
    ///
    /// Two read-modify-writes and a store; an allocation every 63rd time or so.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the runnable.
    pub fn push(&self, runnable: T) -> Result<(), Refused<T>> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 {
                return Err(Refused::Closed(runnable));
            }
            if state & PLACES >= self.bound {
                return Err(Refused::Full(runnable));
            }
            // The place is taken in the step that finds the queue open and not full (J2, J3).
            match self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        self.queue.push(runnable);
        Ok(())
    }

    /// Takes the oldest runnable; `None` when there is none. Never waits for a push under way.
    pub fn pop(&self) -> Option<T> {
        let runnable = self.queue.pop()?;
        self.give_back(1);
        Some(runnable)
    }

    /// Takes up to `most` runnables, oldest first, and passes each to `take`; how many.
    ///
    /// Their places come back with one step at the end, so `take` must not panic.
    pub fn pop_many(&self, most: usize, mut take: impl FnMut(T)) -> usize {
        let mut taken = 0;
        while taken < most
            && let Some(runnable) = self.queue.pop()
        {
            take(runnable);
            taken += 1;
        }
        if taken > 0 {
            self.give_back(taken as u64);
        }
        taken
    }

    /// Whether nothing lies in the queue; a push under way may not be seen. Two or three loads.
    ///
    /// After a `fence(SeqCst)` it sees every push that was followed by one (the idle set's
    /// re-check).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many places are taken: what lies in the queue, and pushes and pops under way.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.state.load(Ordering::Relaxed) & PLACES) as usize
    }

    /// Whether pushes are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Refuses every later push. Pushes under way still come in: drain afterwards.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Closes, and takes everything that was accepted and that no other pop takes; returns once
    /// nothing is left and no push is under way. Waits for those, and only for those.
    pub fn close_and_drain(&self, mut take: impl FnMut(T)) {
        self.close();
        // Not `is_empty`, which looks at the queue: a place is counted before its runnable is in.
        #[allow(clippy::len_zero)]
        while self.len() > 0 {
            // A place without a runnable is a push or a pop in the middle (J3).
            match self.pop() {
                Some(runnable) => take(runnable),
                None => spin_loop(),
            }
        }
    }

    fn give_back(&self, places: u64) {
        // After the pop: before it, the next push would put one too many in (J2).
        let before = self.state.fetch_sub(places, Ordering::Relaxed);
        debug_assert!(before & PLACES >= places, "J2: a place given back twice");
    }
}

#[cfg(not(loom))]
use real::Queue;

#[cfg(not(loom))]
mod real {
    use crossbeam_deque::Steal;

    /// crossbeam's queue.
    #[derive(Debug)]
    pub(super) struct Queue<T>(crossbeam_deque::Injector<T>);

    impl<T> Queue<T> {
        pub(super) fn new() -> Self {
            Self(crossbeam_deque::Injector::new())
        }

        pub(super) fn push(&self, runnable: T) {
            self.0.push(runnable);
        }

        pub(super) fn pop(&self) -> Option<T> {
            loop {
                match self.0.steal() {
                    Steal::Success(runnable) => return Some(runnable),
                    Steal::Empty => return None,
                    Steal::Retry => super::spin_loop(), // somebody else took one
                }
            }
        }

        pub(super) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }
}

#[cfg(loom)]
use modelled::Queue;

#[cfg(loom)]
mod modelled {
    use crate::sync::{Mutex, lock};
    use std::collections::VecDeque;

    /// Stands in for crossbeam's queue.
    #[derive(Debug)]
    pub(super) struct Queue<T>(Mutex<VecDeque<T>>);

    impl<T> Queue<T> {
        pub(super) fn new() -> Self {
            Self(Mutex::new(VecDeque::new()))
        }

        pub(super) fn push(&self, runnable: T) {
            lock(&self.0).push_back(runnable);
        }

        pub(super) fn pop(&self) -> Option<T> {
            lock(&self.0).pop_front()
        }

        pub(super) fn is_empty(&self) -> bool {
            lock(&self.0).is_empty()
        }

        pub(super) fn len(&self) -> usize {
            lock(&self.0).len()
        }
    }

    impl<T> super::Injector<T> {
        /// What lies in the queue at this moment, for the model of J2.
        pub fn queued(&self) -> usize {
            self.queue.len()
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    #[test]
    fn the_bound_is_exact_and_a_refused_runnable_comes_back() {
        let injector = Injector::new(2);
        assert_eq!(injector.push(1), Ok(()));
        assert_eq!(injector.push(2), Ok(()));
        assert_eq!(injector.push(3), Err(Refused::Full(3)));
        assert_eq!(injector.pop(), Some(1));
        assert_eq!(injector.push(3), Ok(()));
        let mut drained = Vec::new();
        injector.close_and_drain(|runnable| drained.push(runnable));
        assert_eq!(drained, [2, 3]);
        assert_eq!(injector.push(4), Err(Refused::Closed(4)));
        assert_eq!(injector.len(), 0);
    }

    #[test]
    fn many_are_taken_in_order_up_to_the_limit() {
        let injector = Injector::new(100);
        for runnable in 0..100 {
            assert_eq!(injector.push(runnable), Ok(()));
        }
        let mut taken = Vec::new();
        assert_eq!(injector.pop_many(64, |runnable| taken.push(runnable)), 64);
        assert_eq!(taken, (0..64).collect::<Vec<_>>());
        assert_eq!(injector.len(), 36);
    }

    #[test]
    fn all_that_is_accepted_by_real_threads_is_popped_or_drained() {
        let injector = Injector::new(64);
        let (accepted, popped) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        match injector.push(1) {
                            Ok(()) => accepted.fetch_add(1, Ordering::Relaxed),
                            Err(Refused::Full(_)) => 0,
                            Err(Refused::Closed(_)) => break,
                        };
                    }
                });
            }
            scope.spawn(|| {
                while !injector.is_closed() {
                    popped.fetch_add(injector.pop_many(8, |_| ()), Ordering::Relaxed);
                }
            });
            while popped.load(Ordering::Relaxed) < 10_000 {
                thread::yield_now();
            }
            injector.close_and_drain(|one| {
                popped.fetch_add(one, Ordering::Relaxed);
            });
        });
        let popped = popped.load(Ordering::Relaxed);
        assert_eq!(popped, accepted.load(Ordering::Relaxed));
    }
}
