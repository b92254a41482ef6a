//! The slot table: numbered cells in type-stable memory, with generations.
//!
//! ```text
//!   chunks: [ptr, ptr, null, …]        life word of a cell
//!             │                         63        32 31          0
//!             ▼                        ┌────────────┬─────────────┐
//!        [cell; 1024] ── never moves,  │ generation │ flags       │
//!                        never freed   └────────────┴─────────────┘
//!                        before the table
//! ```
//!
//! - G1: a cell's address is fixed from its first use until the table is dropped.
//! - G2: a cell number is handed out to one owner at a time.
//! - G3: flags are set only together with a check of the generation, in one step: what is meant
//!   for a dead actor never reaches the next one in its cell.
//! - G4: a generation is never used twice for one cell: a cell whose generations are spent is
//!   given up.
//!
//! | step        | operation              | order   | pairs with | if Relaxed, the model sees     |
//! |-------------|------------------------|---------|------------|--------------------------------|
//! | grow        | store of the chunk     | Release | get        | a race on the chunk (G1)       |
//! | get         | load of the chunk      | Acquire | grow       | a race on the chunk (G1)       |
//! | set flags   | compare_exchange       | AcqRel  | retire     | flags of another life (G3)     |
//! | next life   | compare_exchange       | AcqRel  | set flags  | flags of another life (G3)     |
//!
//! Chunks are cut from slabs, each as large as all before it together, up to 16 MiB for cells of
//! 128 bytes: single chunks of 128 KiB take 1.3 times their bytes in mimalloc, and the part of a
//! slab that is not cut yet takes addresses but no memory.
//!
//! Free numbers pass through a lock, in batches of [`BATCH`] from each worker's own list; a
//! lock-free list popped by compare-exchange would need tags against reuse (PROMISES 30).
//!
//! Models: `loom-tests/tests/slots.rs`.

use super::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use super::look::FirstLook;
use super::{Mutex, lock};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::size_of;
use std::ptr::NonNull;

/// Cells in one chunk.
pub const CHUNK: usize = if cfg!(loom) { 2 } else { 1024 };
/// Chunks in the largest slabs.
const SLAB_MAX: usize = 128;
/// How many free numbers change hands at once.
pub const BATCH: usize = if cfg!(loom) { 1 } else { 64 };

/// The generation and the flags of a cell's present owner.
#[derive(Debug)]
pub struct Life(AtomicU64);

impl Default for Life {
    fn default() -> Self {
        Self(AtomicU64::new(1 << 32))
    }
}

impl Life {
    /// The generation now; it may be over by the time the caller looks.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> 32) as u32
    }

    /// The flags now.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.0.load(Ordering::Relaxed) as u32
    }

    /// Generation and flags now; the generation may be over by the time the caller looks.
    #[inline(always)]
    pub fn relaxed(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Relaxed);
        ((word >> 32) as u32, word as u32)
    }

    /// Generation and flags now, and all that was written before they were set.
    #[inline(always)]
    pub fn load(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Acquire);
        ((word >> 32) as u32, word as u32)
    }

    /// Sets `flags` if the life is still that of `generation` and has none of `unless`.
    /// Returns the flags before.
    pub fn set(&self, generation: u32, flags: u32, unless: u32) -> Option<u32> {
        let mut word = self.0.first_look(Ordering::Acquire);
        loop {
            if (word >> 32) as u32 != generation || word as u32 & unless != 0 {
                return None;
            }
            match self.0.compare_exchange_weak(
                word,
                word | u64::from(flags),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(word as u32),
                Err(now) => word = now,
            }
        }
    }

    /// Clears `flags` of the present life; only its owner may call.
    pub fn clear(&self, flags: u32) {
        self.0.fetch_and(!u64::from(flags), Ordering::AcqRel);
    }

    /// Whether generations are left, so that the cell may be used again.
    pub fn may_begin(&self) -> bool {
        self.generation() != 0
    }

    /// Begins the next life, without flags; only the cell's owner may call. Returns false when
    /// the generations are spent and the cell must not be used again.
    #[must_use]
    pub fn next(&self) -> bool {
        let generation = self.generation().wrapping_add(1);
        // A swap: set races it with compare-exchanges.
        self.0.swap(u64::from(generation) << 32, Ordering::AcqRel);
        generation != 0
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Table<C> {
    chunks: Box<[AtomicPtr<C>]>,
    limit: u32,
    free: Mutex<Free<C>>,
    handed_out: AtomicU32,
}

#[derive(Debug)]
struct Free<C> {
    numbers: Vec<u32>,
    next: u32,
    slabs: Vec<Slab<C>>,
    /// Chunks of the last slab that are in use.
    cut: usize,
}

/// Memory for so many chunks.
#[derive(Debug)]
struct Slab<C> {
    cells: NonNull<C>,
    chunks: usize,
}

impl<C> Slab<C> {
    fn layout(chunks: usize) -> Layout {
        const { assert!(size_of::<C>() > 0) };
        Layout::array::<C>(chunks * CHUNK).expect("a slab of chunks is far below isize::MAX")
    }

    fn new(chunks: usize) -> Self {
        let layout = Self::layout(chunks);
        // SAFETY: the layout is not empty.
        let cells = unsafe { alloc(layout) };
        match NonNull::new(cells.cast()) {
            Some(cells) => Self { cells, chunks },
            None => handle_alloc_error(layout),
        }
    }
}

impl<C> Drop for Slab<C> {
    fn drop(&mut self) {
        // SAFETY: `new` got it with this layout; the table drops the cells before.
        unsafe { dealloc(self.cells.as_ptr().cast(), Self::layout(self.chunks)) };
    }
}

impl<C> Free<C> {
    /// Memory for the next of `chunks` chunks.
    fn next_chunk(&mut self, chunks: usize) -> NonNull<C> {
        if self.slabs.last().is_none_or(|slab| slab.chunks == self.cut) {
            let made: usize = self.slabs.iter().map(|slab| slab.chunks).sum();
            let size = made.min(SLAB_MAX).min(chunks - made).max(1);
            self.slabs.push(Slab::new(size));
            self.cut = 0;
        }
        let slab = &self.slabs[self.slabs.len() - 1];
        self.cut += 1;
        // SAFETY: the slab has more chunks than were cut.
        unsafe { slab.cells.add((self.cut - 1) * CHUNK) }
    }
}

// SAFETY: the table hands out `&C` to all threads and drops the cells where it is dropped.
unsafe impl<C: Send + Sync> Send for Table<C> {}
// SAFETY: as above.
unsafe impl<C: Send + Sync> Sync for Table<C> {}

impl<C: Default> Table<C> {
    /// A table for at most `limit` cells. Takes 8 bytes for each 1,024 of them until they are
    /// used.
    pub fn new(limit: u32) -> Self {
        let chunks = (limit as usize).div_ceil(CHUNK);
        Self {
            chunks: (0..chunks)
                .map(|_| AtomicPtr::new(std::ptr::null_mut()))
                .collect(),
            limit,
            free: Mutex::new(Free {
                numbers: Vec::new(),
                next: 0,
                slabs: Vec::new(),
                cut: 0,
            }),
            handed_out: AtomicU32::new(0),
        }
    }

    /// The cell with this number, if it was ever handed out.
    #[inline(always)]
    pub fn get(&self, number: u32) -> Option<&C> {
        let chunk = self.chunks.get(number as usize / CHUNK)?;
        let chunk = chunk.load(Ordering::Acquire);
        if chunk.is_null() {
            return None;
        }
        // SAFETY: a chunk holds CHUNK cells.
        let cell = unsafe { chunk.add(number as usize % CHUNK) };
        // SAFETY: G1: a chunk that is published lives as long as the table.
        Some(unsafe { &*cell })
    }

    /// Adds up to [`BATCH`] free numbers to `cache`. Returns false when there are none left.
    pub fn refill(&self, cache: &mut Vec<u32>) -> bool {
        let mut free = lock(&self.free);
        let before = cache.len();
        let kept = free.numbers.len().saturating_sub(BATCH);
        cache.extend(free.numbers.drain(kept..));
        if cache.len() == before {
            let end = (free.next + BATCH as u32).min(self.limit);
            // Newest last, so that numbers are used in order.
            for number in (free.next..end).rev() {
                self.grow(&mut free, number);
                cache.push(number);
            }
            free.next = end;
        }
        self.handed_out
            .fetch_add((cache.len() - before) as u32, Ordering::Relaxed);
        cache.len() > before
    }

    /// Takes back all but the newest `keep` numbers of `cache`.
    pub fn give_back(&self, cache: &mut Vec<u32>, keep: usize) {
        let count = cache.len().saturating_sub(keep);
        if count > 0 {
            lock(&self.free).numbers.extend(cache.drain(..count));
            self.handed_out.fetch_sub(count as u32, Ordering::Relaxed);
        }
    }

    fn grow(&self, free: &mut Free<C>, number: u32) {
        let chunk = &self.chunks[number as usize / CHUNK];
        // Under the lock: nobody else grows.
        if chunk.first_look(Ordering::Relaxed).is_null() {
            let cells = free.next_chunk(self.chunks.len()).as_ptr();
            for i in 0..CHUNK {
                // SAFETY: a chunk has room for CHUNK cells.
                let cell = unsafe { cells.add(i) };
                // SAFETY: as above; nobody else has the chunk yet.
                unsafe { cell.write(C::default()) };
            }
            chunk.store(cells, Ordering::Release);
        }
    }

    /// Cells that were ever handed out.
    pub fn made(&self) -> u64 {
        u64::from(lock(&self.free).next)
    }

    /// Numbers in use or in a worker's list.
    #[cfg(any(test, loom))]
    pub fn handed_out(&self) -> u32 {
        self.handed_out.load(Ordering::Relaxed)
    }

    /// Calls `visit` with every cell that was ever handed out.
    pub fn for_each(&self, mut visit: impl FnMut(u32, &C)) {
        let end = lock(&self.free).next;
        for number in 0..end {
            if let Some(cell) = self.get(number) {
                visit(number, cell);
            }
        }
    }
}

impl<C> Drop for Table<C> {
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            // Not get_mut: loom's AtomicPtr has none.
            let chunk = chunk.load(Ordering::Relaxed);
            if !chunk.is_null() {
                let cells = std::ptr::slice_from_raw_parts_mut(chunk, CHUNK);
                // SAFETY: `grow` filled the chunk, and nobody uses the table now. Its slab is
                // freed with the rest of the table.
                unsafe { cells.drop_in_place() };
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_stale_generation_sets_no_flag() {
        let life = Life::default();
        let generation = life.generation();
        assert_eq!(life.set(generation, 1, 0), Some(0));
        assert_eq!(life.set(generation, 2, 1), None, "`unless` holds");
        assert!(life.next());
        assert_eq!(life.set(generation, 2, 0), None);
        assert_eq!(life.flags(), 0);
    }

    #[test]
    fn a_cell_whose_generations_are_spent_is_given_up() {
        let life = Life(AtomicU64::new(u64::from(u32::MAX - 1) << 32));
        assert!(life.next());
        assert!(life.may_begin());
        assert!(!life.next());
        assert!(!life.may_begin());
    }

    #[test]
    fn chunks_are_cut_from_growing_slabs_up_to_the_limit_and_dropped_once() {
        use std::sync::atomic::AtomicUsize;
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        #[derive(Debug)]
        struct Counted(u32);
        impl Default for Counted {
            fn default() -> Self {
                Self(7)
            }
        }
        impl Drop for Counted {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
        for chunks in [1, 2, 3, 11] {
            DROPPED.store(0, Ordering::Relaxed);
            let limit = chunks as u32 * CHUNK as u32;
            let table = Table::<Counted>::new(limit);
            let mut cache = Vec::new();
            while table.refill(&mut cache) {}
            assert_eq!(cache.len(), limit as usize);
            let mut places: Vec<_> = (0..limit)
                .map(|number| table.get(number).unwrap())
                .inspect(|cell| assert_eq!(cell.0, 7))
                .map(std::ptr::from_ref)
                .collect();
            places.sort();
            places.dedup();
            assert_eq!(places.len(), limit as usize);
            let slabs: Vec<_> = lock(&table.free).slabs.iter().map(|s| s.chunks).collect();
            assert_eq!(slabs.iter().sum::<usize>(), chunks);
            assert!(slabs.len() <= 5);
            table.give_back(&mut cache, 0);
            drop(table);
            assert_eq!(DROPPED.load(Ordering::Relaxed), limit as usize);
        }
    }

    #[test]
    fn numbers_come_in_order_up_to_the_limit_and_come_back() {
        let table = Table::<u8>::new(100);
        let mut cache = Vec::new();
        assert!(table.refill(&mut cache));
        assert_eq!(cache.pop(), Some(0));
        assert!(table.refill(&mut cache));
        assert!(!table.refill(&mut cache));
        assert_eq!(cache.len(), 99);
        table.give_back(&mut cache, 10);
        assert_eq!(cache.len(), 10);
        assert_eq!(table.handed_out(), 11);
        assert!(table.get(99).is_some());
        assert!(table.get(5000).is_none());
    }
}
