//! A race on purpose: `.ci/sanitize thread` must report it, or it reports nothing.

#![cfg(mainspring_tsan)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

struct Racy(std::cell::UnsafeCell<u64>);

// SAFETY: none: that is the point.
#[allow(unsafe_code)]
unsafe impl Sync for Racy {}

#[test]
fn two_threads_write_one_number() {
    static NUMBER: Racy = Racy(std::cell::UnsafeCell::new(0));
    static WRITTEN: AtomicBool = AtomicBool::new(false);
    let write = |number: u64| {
        // SAFETY: none: Relaxed hands nothing over.
        #[allow(unsafe_code)]
        unsafe {
            NUMBER.0.get().write_volatile(number);
        }
        WRITTEN.store(true, Relaxed);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write(1));
        scope.spawn(|| {
            while !WRITTEN.load(Relaxed) {
                std::hint::spin_loop();
            }
            write(2);
        });
    });
}
