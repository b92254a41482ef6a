//! An allocator that counts, for the whole process.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::alloc::{GlobalAlloc, Layout, System as Os};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

/// Counts what passes through it.
struct Counting;

/// How many allocations there were.
pub static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
    static BYTES_HERE: Cell<u64> = const { Cell::new(0) };
}

/// How many allocations there were on this thread: none of the harness's, which makes threads and
/// writes results beside a test.
pub fn allocations_here() -> u64 {
    HERE.get()
}

/// How many bytes were allocated on this thread, those given back since included.
pub fn bytes_here() -> u64 {
    BYTES_HERE.get()
}

/// How many bytes are in use.
pub static BYTES: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is the system allocator's; the counters change nothing of it.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        HERE.set(HERE.get() + 1);
        BYTES_HERE.set(BYTES_HERE.get() + layout.size() as u64);
        BYTES.fetch_add(layout.size() as i64, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { Os.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as i64, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { Os.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
