//! The gate: actors are made from outside until a system shuts down, and none after it was counted
//! out.
//!
//! ```text
//!   spawner    enter: count, fence, closed? ── no ──▶ inside: makes its actor
//!                                           └─ yes ─▶ counts itself out, refused
//!   shutdown   close: closed, fence ──▶ reads the count ──▶ waits until all that came in have died
//! ```
//!
//! - Q1: of an entry and the close, the entry is refused, or the count that is read after the close
//!   has it: a shutdown waits for its actor, and no actor is left that nobody runs.
//! - Q2: of several closes one is the first.
//!
//! | step  | operation                  | order        | pairs with | if left out, the model sees       |
//! |-------|----------------------------|--------------|------------|-----------------------------------|
//! | enter | fetch_add, then fence,     | SeqCst fence | close      | workers end, and an actor waits   |
//! |       | then load closed           |              |            | to be run (Q1)                    |
//! | close | swap closed, then fence    | SeqCst fence | enter      | the same                          |
//! | leave | fetch_sub                  | Relaxed      |            | only counts                       |
//!
//! How the count and the dead are read together: `census.rs`. A message that meets the shutdown is
//! refused by its mailbox or handled, whatever it saw here: `inbox.rs`.
//!
//! Model: `loom-tests/tests/gate.rs`.

use super::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// See the module's text.
#[derive(Debug)]
pub struct Gate {
    closed: AtomicBool,
    entered: AtomicU64,
}

/// One who is inside; dropped, it was never there.
#[must_use]
#[derive(Debug)]
pub struct Entry<'a>(&'a Gate);

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Self {
        Self {
            closed: AtomicBool::new(false),
            entered: AtomicU64::new(0),
        }
    }

    /// Lets one in; none once the gate is closed.
    pub fn enter(&self) -> Option<Entry<'_>> {
        self.entered.fetch_add(1, Ordering::Relaxed);
        let entry = Entry(self);
        // The Dekker pattern of the header: the count, this fence, this look.
        fence(Ordering::SeqCst);
        if self.is_closed() { None } else { Some(entry) }
    }

    /// Closes the gate; whether it was open. After it the caller reads the count.
    pub fn close(&self) -> bool {
        let was_closed = self.closed.swap(true, Ordering::Relaxed);
        // The Dekker pattern of the header: closed, this fence, the caller's look.
        fence(Ordering::SeqCst);
        !was_closed
    }

    /// Whether it is closed, for those who may be behind by a moment. A load.
    #[inline(always)]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many came in, those among them that are about to be refused.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Entry<'_> {
    /// It stays counted: what came in lives until it is counted as dead.
    pub fn stay(self) {
        std::mem::forget(self);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.entered.fetch_sub(1, Ordering::Relaxed);
    }
}
