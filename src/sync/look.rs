//! The look at a place that its thread then writes: a load; in half of each model's search a step that
//! writes what it read.
//!
//! ```text
//!   A: load ─────────────────────── B: load, compare-exchange
//!      ▲                               │     │ loom compares a step with the last access of its
//!      └── never exchanged with ───────┼─────┘ place: of the exchange that is B's own load
//!   A: load ◀── is exchanged with ──▶ B: fetch_or(0), compare-exchange
//! ```
//!
//! A load may read what is old, a step that writes is what loom exchanges with another's load: a
//! model wants both, so it is searched once with each ([`writing`]). A place with one writer needs
//! neither: `load_own`.

use super::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A place to look at before one's own write.
pub trait FirstLook {
    /// What it holds.
    type Value;

    /// What the place holds. A load, but see the module's text.
    fn first_look(&self, order: Ordering) -> Self::Value;
}

#[cfg(loom)]
std::thread_local! {
    static WRITES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Lets first looks in the models that this thread runs write, or not.
#[cfg(loom)]
pub fn writing(yes: bool) {
    WRITES.set(yes);
}

macro_rules! first_look {
    ($place:ident $(<$of:ident>)?, $value:ty, $this:ident, $order:ident: $write:expr) => {
        impl $(<$of>)? FirstLook for $place $(<$of>)? {
            type Value = $value;

            #[inline(always)]
            fn first_look(&self, $order: Ordering) -> $value {
                #[cfg(loom)]
                if WRITES.get() {
                    let $this = self;
                    return $write;
                }
                self.load($order)
            }
        }
    };
}

first_look!(AtomicBool, bool, this, order: this.fetch_or(false, order));
first_look!(AtomicU32, u32, this, order: this.fetch_or(0, order));
first_look!(AtomicU64, u64, this, order: this.fetch_or(0, order));
first_look!(AtomicUsize, usize, this, order: this.fetch_or(0, order));
first_look!(AtomicPtr<T>, *mut T, this, order: {
    let null = std::ptr::null_mut();
    this.compare_exchange(null, null, order, order).unwrap_or_else(|now| now)
});
