//! The counting allocator: mimalloc, with a count of allocations beside it.
//!
//! ```text
//!  thread 0 ──▶ shard 0 ┐
//!  thread 1 ──▶ shard 1 ├─ summed when a window opens and when it closes
//!  thread n ──▶ shard n ┘   (the last shard is shared by all later threads)
//! ```
//!
//! - A shard that one thread owns is counted with a load and a store, so that the count costs an
//!   allocation under a nanosecond and never moves a cache line between cores.
//! - Only [`SHARDS`]` - 1` threads of a process get a shard of their own; the others add with one
//!   read-modify-write each.

// The one trait here that cannot be implemented in safe code.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use mimalloc::MiMalloc;

const SHARDS: usize = 128;
const SHARED: usize = SHARDS - 1;
const UNASSIGNED: usize = usize::MAX;

static COUNTS: [CachePadded<AtomicU64>; SHARDS] =
    [const { CachePadded::new(AtomicU64::new(0)) }; SHARDS];
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Constant and without a destructor: touching it never allocates.
    static SHARD: Cell<usize> = const { Cell::new(UNASSIGNED) };
}

/// Allocations of all threads since the process began; a reallocation counts as one.
///
/// Reads every shard. Exact once the threads that allocated have been joined, or while they sleep.
pub(crate) fn allocations() -> u64 {
    COUNTS.iter().map(|count| count.load(Relaxed)).sum()
}

fn count() {
    let shard = SHARD.get();
    if shard < SHARED {
        // Only this thread writes this shard, so nothing is lost between the load and the store.
        COUNTS[shard].store(COUNTS[shard].load(Relaxed) + 1, Relaxed);
    } else {
        count_unassigned_or_shared(shard);
    }
}

#[cold]
fn count_unassigned_or_shared(mut shard: usize) {
    if shard == UNASSIGNED {
        shard = NEXT_SHARD.fetch_add(1, Relaxed).min(SHARED);
        SHARD.set(shard);
    }
    COUNTS[shard].fetch_add(1, Relaxed);
}

/// The process's allocator.
pub(crate) struct Counting;

// SAFETY: every method passes its arguments on to mimalloc and returns what that returned; the
// count beside it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one mimalloc asks for.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one mimalloc asks for.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from this allocator, so from mimalloc, with this layout.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `block` came from this allocator, so from mimalloc, with this layout.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_of_other_threads_are_counted() {
        let before = allocations();
        let threads = [(); 4]
            .map(|()| std::thread::spawn(|| (0..1_000).map(Box::new).map(|b| *b).sum::<u64>()));
        // The boxes may be optimized away; what each thread returns through may not.
        let sum: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(sum, 4 * 499_500);
        let kept: Vec<Box<u64>> = (0..1_000).map(Box::new).collect();
        assert!(allocations() - before >= kept.len() as u64);
    }

    #[test]
    fn a_thread_past_the_last_shard_is_counted_too() {
        SHARD.set(SHARED);
        let before = COUNTS[SHARED].load(Relaxed);
        count();
        assert!(COUNTS[SHARED].load(Relaxed) > before);
    }
}
