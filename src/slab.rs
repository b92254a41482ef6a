//! Slabs: memory for envelopes, block by block, so that those of a backlog lie side by side.
//!
//! ```text
//!   0        64         128                                  16 KiB, where the next one may begin
//!  ┌────────┬──────────┬──────────┬─ … ─┬──────────┬ … … … ┐
//!  │ header │ slot     │ slot     │     │ slot     │ never  │
//!  │        │ in use   │ free ──▶ │     │ in use   │ used   │
//!  └────────┴──────────┴──────────┴─ … ─┴──────────┴ … … … ┘
//!   slots in use, slots ever used, free slots, the neighbors in the list of blocks with room
//! ```
//!
//! The allocator has 192 bytes for 64 that begin at a multiple of 64; in a block they take 64. A
//! block begins at a multiple of its size, so that a slot's address says which block it is of. One
//! lock for each size, for the whole process: an envelope may be freed by any thread, of any system
//! or of none. Only what a pool and its depot have not, or do not want, comes here.
//!
//! - B1: a block is in its slab's list exactly while it has room, and is there at all while one of
//!   its slots is in use.
//! - B2: a slot is in use, in its block's list of free ones, or was never used.

use crate::sync::{Mutex, lock};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::size_of;
use std::ptr::{NonNull, null_mut};

/// A block begins at a multiple of this.
const ALIGN: usize = 16 << 10;
/// A block's bytes: 16 less, where an allocator may keep what it knows of the next block.
const BYTES: usize = ALIGN - 16;
/// Where the slots begin.
const FIRST: usize = 64;

/// Slots of one size; for a `static`.
#[derive(Debug)]
pub(crate) struct Slab {
    slot_bytes: usize,
    with_room: Mutex<Rooms>,
}

/// The first block with room, or null.
#[derive(Debug)]
struct Rooms(*mut Block);

// SAFETY: the blocks are the slab's, and only who has the lock looks at their headers.
unsafe impl Send for Rooms {}

#[derive(Debug)]
struct Block {
    previous: *mut Block,
    next: *mut Block,
    /// The first free slot, whose first word is the next one, or null.
    free: *mut u8,
    used: usize,
    ever_used: usize,
}

const _: () = assert!(size_of::<Block>() <= FIRST);

const LAYOUT: Layout = match Layout::from_size_align(BYTES, ALIGN) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

impl Slab {
    /// A slab of slots of `slot_bytes`, a multiple of 64, without a block.
    pub(crate) const fn new(slot_bytes: usize) -> Self {
        Self {
            slot_bytes,
            with_room: Mutex::new(Rooms(null_mut())),
        }
    }

    const fn slots(&self) -> usize {
        (BYTES - FIRST) / self.slot_bytes
    }

    /// A slot, at a multiple of 64; what is in it is not initialized.
    pub(crate) fn take(&self) -> NonNull<u8> {
        let mut rooms = lock(&self.with_room);
        if rooms.0.is_null() {
            rooms.0 = new_block();
        }
        let first = rooms.0;
        // SAFETY: B1: a block in the list is there, and we have the lock.
        let block = unsafe { &mut *first };
        let slot = if block.free.is_null() {
            block.ever_used += 1;
            // SAFETY: B1: there is room, and no free slot, so this one was never used.
            unsafe {
                first
                    .cast::<u8>()
                    .add(FIRST + (block.ever_used - 1) * self.slot_bytes)
            }
        } else {
            let slot = block.free;
            // SAFETY: B2: a free slot's first word is a pointer.
            block.free = unsafe { slot.cast::<*mut u8>().read() };
            slot
        };
        block.used += 1;
        if block.used == self.slots() {
            unlink(&mut rooms, block);
        }
        NonNull::new(slot).expect("a slot is in a block")
    }

    /// Takes a slot back; a block of which that was the last one goes back to the allocator.
    ///
    /// # Safety
    ///
    /// `slot` came from this slab's `take`, and is nobody's.
    pub(crate) unsafe fn give_back(&self, slot: NonNull<u8>) {
        let slot = slot.as_ptr();
        let this = slot
            .map_addr(|address| address & !(ALIGN - 1))
            .cast::<Block>();
        let mut rooms = lock(&self.with_room);
        // SAFETY: B1: a slot of it is in use, so it is there; we have the lock.
        let block = unsafe { &mut *this };
        if block.used == self.slots() {
            link(&mut rooms, this, block);
        }
        block.used -= 1;
        if block.used == 0 {
            unlink(&mut rooms, block);
            drop(rooms);
            // SAFETY: B1: no slot of it is in use and it is in no list, so nobody knows of it.
            return unsafe { dealloc(this.cast(), LAYOUT) };
        }
        // SAFETY: the slot is ours now, and has room for a pointer.
        unsafe { slot.cast::<*mut u8>().write(block.free) };
        block.free = slot;
    }
}

/// Puts a block first.
fn link(rooms: &mut Rooms, this: *mut Block, block: &mut Block) {
    block.previous = null_mut();
    block.next = rooms.0;
    // SAFETY: B1, and the caller has the lock.
    if let Some(next) = unsafe { rooms.0.as_mut() } {
        next.previous = this;
    }
    rooms.0 = this;
}

/// Takes a block off the list.
fn unlink(rooms: &mut Rooms, block: &mut Block) {
    // SAFETY: B1, and the caller has the lock.
    match unsafe { block.previous.as_mut() } {
        Some(previous) => previous.next = block.next,
        None => rooms.0 = block.next,
    }
    // SAFETY: as above.
    if let Some(next) = unsafe { block.next.as_mut() } {
        next.previous = block.previous;
    }
}

fn new_block() -> *mut Block {
    // SAFETY: the layout is not empty.
    let block = unsafe { alloc(LAYOUT) }.cast::<Block>();
    if block.is_null() {
        handle_alloc_error(LAYOUT);
    }
    assert!(
        (block as usize) < 1 << 48,
        "the inbox word holds 48-bit addresses"
    );
    let empty = Block {
        previous: null_mut(),
        next: null_mut(),
        free: null_mut(),
        used: 0,
        ever_used: 0,
    };
    // SAFETY: fresh memory with room for a header.
    unsafe { block.write(empty) };
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn blocks_with_room(slab: &Slab) -> usize {
        let rooms = lock(&slab.with_room);
        let mut count = 0;
        let mut previous = null_mut();
        let mut at = rooms.0;
        // SAFETY: B1, and we have the lock.
        while let Some(block) = unsafe { at.as_ref() } {
            assert_eq!(block.previous, previous);
            assert!(block.used > 0 && block.used < slab.slots());
            (previous, at) = (at, block.next);
            count += 1;
        }
        count
    }

    #[test]
    fn slots_are_apart_and_side_by_side_and_blocks_go_when_they_are_empty() {
        for slot_bytes in [64, 128, 256] {
            let slab = Slab::new(slot_bytes);
            let slots = slab.slots();
            assert_eq!(
                slots,
                (16 << 10) / slot_bytes - if slot_bytes == 64 { 2 } else { 1 }
            );
            let mut taken: Vec<_> = (0..3 * slots).map(|_| slab.take()).collect();
            assert_eq!(blocks_with_room(&slab), 0, "all are full");
            let addresses: HashSet<_> = taken.iter().map(|slot| slot.addr().get()).collect();
            assert_eq!(addresses.len(), 3 * slots);
            for (slot, next) in taken.iter().zip(&taken[1..slots]) {
                assert_eq!(next.addr().get() - slot.addr().get(), slot_bytes);
            }
            for slot in &taken {
                assert_eq!(slot.addr().get() % 64, 0);
                // SAFETY: the slot is ours, and so large.
                unsafe { slot.write_bytes(0xff, slot_bytes) };
            }
            // One of each block, so that all three have room; it is what is taken next.
            let few = [slots / 2, slots + 1, 3 * slots - 1].map(|at| taken[at]);
            for slot in few {
                // SAFETY: taken above, and taken anew before anyone uses it.
                unsafe { slab.give_back(slot) };
            }
            assert_eq!(blocks_with_room(&slab), 3);
            let again: HashSet<_> = few.iter().map(|_| slab.take()).collect();
            assert_eq!(again, few.into_iter().collect());
            // Every second one, then the rest: each block goes with its last slot.
            let (mut kept, mut at) = (Vec::new(), 0);
            taken.retain(|&slot| {
                at += 1;
                kept.extend((at % 2 == 0).then_some(slot));
                at % 2 == 1
            });
            for (slot, expected) in [(taken, 3), (kept, 0)] {
                for slot in slot {
                    // SAFETY: taken above, once each.
                    unsafe { slab.give_back(slot) };
                }
                assert_eq!(blocks_with_room(&slab), expected);
            }
        }
    }

    #[test]
    fn threads_take_and_give_back_what_others_took() {
        static SLAB: Slab = Slab::new(64);
        let (sender, receiver) = std::sync::mpsc::channel::<usize>();
        let taking = std::thread::spawn(move || {
            for _ in 0..2_000 {
                sender
                    .send(SLAB.take().as_ptr().expose_provenance())
                    .unwrap();
            }
        });
        for slot in receiver {
            let slot = std::ptr::with_exposed_provenance_mut::<u8>(slot);
            // SAFETY: the other thread took it, and has forgotten it.
            unsafe { SLAB.give_back(NonNull::new(slot).unwrap()) };
        }
        taking.join().unwrap();
        assert_eq!(blocks_with_room(&SLAB), 0);
    }
}
