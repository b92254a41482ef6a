//! The slots of a wheel: first-in first-out lists, linked through the entries they hold.
//!
//! ```text
//!  occupied   summary ─▶ words: one bit a slot, so that the first slot in use is two bit scans away
//!  slot 517   first ───▶ entry 7 ◀──▶ entry 44 ◀──▶ entry 30 ◀─── last
//! ```
//!
//! - Q1: an entry is in one list at most, the one its `slot` names.
//! - Q2: a slot's bit is set exactly while its list has an entry; a summary bit, while its word has
//!   a bit.
//! - Q3: a list gives its entries in the order in which they were appended.
//!
//! Queues of indices in cache lines were tried instead of links: no faster with a million cold
//! timers (the entries' own cache and TLB misses decide) and 1.2 to 1.5 times slower warm.

use super::chunks;

/// How many slots there are; slots are numbered from 0.
pub(super) const SLOTS: usize = 2048;
const WORDS: usize = SLOTS / 64;
/// The entries that a list goes through: 16 KiB a chunk.
pub(super) type Chunks<E> = chunks::Chunks<E, 512>;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// An entry's place in the list of its slot.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) next: u32,
    previous: u32,
    slot: u16,
}

const _: () = assert!(SLOTS <= 1 << u16::BITS);

impl Link {
    /// In no list.
    pub(super) const fn new() -> Self {
        Self {
            next: NONE,
            previous: NONE,
            slot: 0,
        }
    }
}

/// What a list can hold.
pub(super) trait Linked {
    fn link(&mut self) -> &mut Link;
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

/// The lists of all slots of a wheel; 16 KiB.
pub(super) struct Slots {
    summary: u32,
    occupied: [u64; WORDS],
    lists: Box<[List; SLOTS]>,
}

impl Slots {
    pub(super) fn new() -> Self {
        let empty = List {
            first: NONE,
            last: NONE,
        };
        Self {
            summary: 0,
            occupied: [0; WORDS],
            lists: Box::new([empty; SLOTS]),
        }
    }

    /// The lowest slot that holds anything.
    #[inline]
    pub(super) fn first_occupied(&self) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let word = self.summary.trailing_zeros() as usize;
        Some(word * 64 + self.occupied[word % WORDS].trailing_zeros() as usize)
    }

    #[inline]
    pub(super) fn is_occupied(&self, slot: usize) -> bool {
        self.occupied[slot / 64 % WORDS] >> (slot % 64) & 1 != 0
    }

    /// Appends the entry `index`, which is in no list, to the list of `slot`; the caller writes its
    /// link.
    #[inline]
    #[must_use]
    pub(super) fn append<E: Linked>(
        &mut self,
        entries: &mut Chunks<E>,
        slot: usize,
        index: u32,
    ) -> Link {
        let slot = slot % SLOTS;
        let list = &mut self.lists[slot];
        let previous = std::mem::replace(&mut list.last, index);
        if previous == NONE {
            list.first = index;
            self.occupied[slot / 64] |= 1 << (slot % 64);
            self.summary |= 1 << (slot / 64);
        } else {
            entries[previous].link().next = index;
        }
        Link {
            next: NONE,
            previous,
            slot: slot as u16,
        }
    }

    /// Takes the oldest entry of `slot` out of its list.
    #[inline]
    pub(super) fn pop<E: Linked>(&mut self, entries: &mut Chunks<E>, slot: usize) -> Option<u32> {
        let first = self.lists[slot % SLOTS].first;
        if first == NONE {
            return None;
        }
        let link = *entries[first].link();
        self.unlink(entries, link);
        Some(first)
    }

    /// Takes the entry that had this link, which is in a list, out of it.
    #[inline]
    pub(super) fn unlink<E: Linked>(&mut self, entries: &mut Chunks<E>, link: Link) {
        let slot = link.slot as usize % SLOTS;
        let list = &mut self.lists[slot];
        if link.next == NONE {
            list.last = link.previous;
        } else {
            entries[link.next].link().previous = link.previous;
        }
        if link.previous == NONE {
            list.first = link.next;
            if link.next == NONE {
                self.clear(slot);
            }
        } else {
            entries[link.previous].link().next = link.next;
        }
    }

    #[inline]
    fn clear(&mut self, slot: usize) {
        let word = &mut self.occupied[slot / 64];
        *word &= !(1 << (slot % 64));
        if *word == 0 {
            self.summary &= !(1 << (slot / 64));
        }
    }
}
