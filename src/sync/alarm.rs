//! The alarm: a thread that watches others sleeps while all of them do, and whoever wakes wakes it.
//!
//! ```text
//!              all are quiet: sleep
//!   WATCHING ───────────────────────▶ ASLEEP
//!      ▲                                │
//!      └──────── ring: one has woken ───┘
//!      └──────── stop ──────────────────┘
//! ```
//!
//! - A1: of a worker that has woken and rung, the watcher sees that it is awake, or is woken.
//! - A2: after `stop` the watcher sleeps no more.
//!
//! | step  | operation               | order        | pairs with | if left out, the model sees      |
//! |-------|-------------------------|--------------|------------|----------------------------------|
//! | ring  | fence, then read ASLEEP | SeqCst fence | sleep      | one awake that nobody watches    |
//! | sleep | set ASLEEP, then fence  | SeqCst fence | ring       | the same (A1)                    |
//! | ASLEEP| swap                    | Relaxed      |            | the parker's token hands over    |
//! | stop  | store, then unpark      | Release      | sleep      | the token comes after it (A2)    |
//!
//! A worker is counted as awake, fences and reads ASLEEP; the watcher sets ASLEEP, fences and looks
//! whether one is awake. A ring may be late and end a later sleep: the watcher looks once more.
//!
//! Model: `loom-tests/tests/alarm.rs`.

use super::atomic::{AtomicBool, Ordering, fence};
use super::look::FirstLook;
use super::parker::{Parker, Unparker};

/// What workers need to wake their watcher.
#[derive(Debug)]
pub struct Alarm {
    asleep: AtomicBool,
    stopping: AtomicBool,
    unparker: Unparker,
}

impl Alarm {
    /// An alarm for the thread that will sleep with this parker.
    #[must_use]
    pub fn new(parker: &Parker) -> Self {
        Self {
            asleep: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            unparker: parker.unparker(),
        }
    }

    /// Called by a worker that has just woken: a fence, a load, and a wake if the watcher sleeps.
    #[inline]
    pub fn ring(&self) {
        // The Dekker pattern of the header: the worker is counted as awake, this fence, this load.
        fence(Ordering::SeqCst);
        if self.asleep.first_look(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.unparker.unpark();
        }
    }

    /// Sleeps until somebody rings, if `is_quiet`, asked after all can see that it sleeps.
    pub fn sleep(&self, parker: &mut Parker, is_quiet: impl FnOnce() -> bool) {
        self.asleep.swap(true, Ordering::Relaxed);
        // The Dekker pattern of the header: it says that it sleeps, this fence, this look.
        fence(Ordering::SeqCst);
        if is_quiet() && !self.is_stopping() {
            parker.park();
        }
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// Ends the watch.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.unparker.unpark();
    }

    /// Whether the watch ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
