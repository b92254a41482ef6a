//! What others want done by one thread, since only it may: timers to take off its wheel.
//!
//! ```text
//!   another thread ── leave ──▶ list, then ANY ──▶ wakes the thread (`spares.rs`)
//!   the thread     ── any? ── take: ANY down, then the list ──▶ does it
//!                              (or a visitor of what it lends)
//! ```
//!
//! - O1: each order is taken once.
//! - O2: an order is in the list before ANY says so, and ANY is down before the list is taken: no
//!   order stays behind unseen.
//!
//! | step  | operation    | order   | pairs with | if Relaxed, the model sees                      |
//! |-------|--------------|---------|------------|-------------------------------------------------|
//! | leave | swap of ANY  | Relaxed | any, take  | already so: the list is the lock's, and whoever |
//! |       |              |         |            | saw ANY takes the lock after the one who set it |
//! | take  | swap of ANY  | Relaxed | leave      | the same                                        |
//! | any   | load of ANY  | Relaxed | leave      | the fences of `spares.rs` and `idle.rs`         |
//!
//! Model: `loom-tests/tests/spares.rs`.

use super::atomic::{AtomicBool, Ordering};
use super::{Mutex, lock};

/// See the module's text.
#[derive(Debug)]
pub struct Orders<T> {
    any: AtomicBool,
    list: Mutex<Vec<T>>,
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self {
            any: AtomicBool::new(false),
            list: Mutex::new(Vec::new()),
        }
    }
}

impl<T> Orders<T> {
    /// Leaves orders; the caller then wakes the thread that is to follow them.
    pub fn leave(&self, orders: impl IntoIterator<Item = T>) {
        lock(&self.list).extend(orders);
        self.any.swap(true, Ordering::Relaxed);
    }

    /// Whether there are orders. A load.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Takes all orders.
    pub fn take(&self) -> Vec<T> {
        self.any.swap(false, Ordering::Relaxed);
        std::mem::take(&mut lock(&self.list))
    }
}
