//! std's atomics that now and then let others go first, under `--cfg mainspring_jitter`.
//!
//! Between any two steps of a protocol the thread may spin for a while, give its core away or
//! sleep: interleavings that a quiet machine shows once in a million runs come in each. Only for
//! `.ci/stress`.
//!
//! Under `--cfg mainspring_shuttle` it is the scheduler that decides who goes first.

#![allow(dead_code)] // each type has all of the steps

pub use std::sync::atomic::{Ordering, fence};

#[cfg(mainspring_shuttle)]
use super::shuttle::point as jitter;
use std::sync::atomic as std_atomic;

/// Lets others go first, mostly not at all.
#[cfg(not(mainspring_shuttle))]
fn jitter() {
    use std::cell::Cell;
    use std::time::Duration;
    thread_local! {
        static RANDOM: Cell<u64> = const { Cell::new(0) };
    }
    static THREADS: std_atomic::AtomicU64 = std_atomic::AtomicU64::new(1);
    let number = RANDOM.try_with(|random| {
        let mut state = random.get();
        if state == 0 {
            let thread = THREADS.fetch_add(1, Ordering::Relaxed);
            state = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        }
        // Xorshift: G. Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        random.set(state);
        state >> 32
    });
    match number.unwrap_or(1) {
        n if n % 8_192 == 0 => std::thread::sleep(Duration::from_micros(20)),
        n if n % 256 == 0 => std::thread::yield_now(),
        n if n % 16 == 0 => (0..n >> 8 & 255).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

macro_rules! atomic {
    ($name:ident $(<$of:ident>)?, $value:ty) => {
        /// As std's.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name $(<$of>)? (std_atomic::$name $(<$of>)?);

        impl $(<$of>)? $name $(<$of>)? {
            /// As std's.
            pub const fn new(value: $value) -> Self {
                Self(std_atomic::$name::new(value))
            }

            /// As std's.
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            /// As std's.
            pub fn load(&self, order: Ordering) -> $value {
                jitter();
                self.0.load(order)
            }

            /// As std's.
            pub fn store(&self, value: $value, order: Ordering) {
                jitter();
                self.0.store(value, order);
            }

            /// As std's.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                jitter();
                self.0.swap(value, order)
            }

            /// As std's.
            pub fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                jitter();
                self.0.compare_exchange(old, new, success, failure)
            }

            /// As std's, and fails without a reason now and then.
            pub fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                jitter();
                self.0.compare_exchange_weak(old, new, success, failure)
            }
        }
    };
}

macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);
        number!($name, $value: fetch_add, fetch_sub, fetch_and, fetch_or);

        impl $name {
            /// As std's.
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                jitter();
                self.0.fetch_update(success, failure, update)
            }
        }
    };
    ($name:ident, $value:ty: $($step:ident),*) => {
        impl $name {
            $(
                /// As std's.
                pub fn $step(&self, value: $value, order: Ordering) -> $value {
                    jitter();
                    self.0.$step(value, order)
                }
            )*
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicPtr<T>, *mut T);
number!(AtomicU8, u8);
number!(AtomicU16, u16);
number!(AtomicU32, u32);
number!(AtomicU64, u64);
number!(AtomicI64, i64);
number!(AtomicUsize, usize);
