//! The slots of a wheel: first-in first-out queues of `u32`, kept in cache lines.
//!
//! ```text
//!  occupied   summary ─▶ words: one bit a slot, so that the first slot in use is two bit scans away
//!  slot 517   first ───▶ chunk 3 ◀──▶ chunk 9 ◀─── last
//!                        [ 7 · · 21 30 … ]  [ 44 45 ]     · = removed
//!                        live: one bit an index
//! ```
//!
//! A queue is a list of chunks of one cache line each, with up to 13 indices in it. Walking one
//! reads the indices in sequence, so the entries they name are fetched from memory side by side;
//! a list linked through the entries would wait for each in turn.
//!
//! - Q1: a linked chunk has at least one live index, so there are never more chunks than indices.
//! - Q2: a slot's bit is set exactly while it has a chunk; a summary bit, while its word has a bit.
//! - Q3: a queue gives its indices in the order in which they were pushed.

/// How many slots there are; slots are numbered from 0.
pub(super) const SLOTS: usize = 2048;
const WORDS: usize = SLOTS / 64;
/// Indices in a chunk: what a cache line has room for.
const ROOM: usize = 13;
/// No chunk: an index that no vector reaches, so that `get` answers `None`.
const NONE: u32 = u32::MAX;

/// Where an index lies: its chunk, and its position there in the low four bits.
#[derive(Clone, Copy)]
pub(super) struct Place(pub(super) u32);

/// Places can name this many chunks, and so (Q1) at least as many indices.
pub(super) const PLACES_MAX: usize = 1 << 28;

#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
}

#[repr(align(64))]
struct Chunk {
    indices: [u32; ROOM],
    /// The next chunk of the queue, or of the free list.
    next: u32,
    previous: u32,
    slot: u16,
    /// Bit `i` is set while `indices[i]` is in the queue; new ones go above the highest.
    live: u16,
}

const _: () = assert!(size_of::<Chunk>() == 64 && ROOM <= 16 && SLOTS <= 1 << 16);

/// All slots of a wheel; 16 KiB, and about 5 bytes an index in well-filled slots.
pub(super) struct Slots {
    summary: u32,
    occupied: [u64; WORDS],
    queues: Box<[Queue; SLOTS]>,
    chunks: Vec<Chunk>,
    /// Chunks in no queue, linked by `next`.
    free: u32,
}

impl Slots {
    pub(super) fn with_capacity(indices: usize) -> Self {
        let empty = Queue {
            first: NONE,
            last: NONE,
        };
        Self {
            summary: 0,
            occupied: [0; WORDS],
            queues: Box::new([empty; SLOTS]),
            chunks: Vec::with_capacity(indices.div_ceil(ROOM)),
            free: NONE,
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

    /// Appends `index` to the queue of `slot`.
    #[inline]
    pub(super) fn push(&mut self, slot: usize, index: u32) -> Place {
        let last = self.queues[slot % SLOTS].last;
        if let Some(chunk) = self.chunks.get_mut(last as usize) {
            let at = (u16::BITS - chunk.live.leading_zeros()) as usize;
            if let Some(vacant) = chunk.indices.get_mut(at) {
                *vacant = index;
                chunk.live |= 1 << at;
                return Place(last << 4 | at as u32);
            }
        }
        self.push_chunk(slot % SLOTS, index)
    }

    /// Takes the oldest index of `slot`.
    #[inline]
    pub(super) fn pop(&mut self, slot: usize) -> Option<u32> {
        let first = self.queues[slot % SLOTS].first;
        let chunk = self.chunks.get_mut(first as usize)?;
        let at = chunk.live.trailing_zeros();
        let index = chunk.indices[at as usize];
        self.remove(Place(first << 4 | at));
        Some(index)
    }

    /// Removes the index at `place`, which the caller got from `push` and has not removed since.
    #[inline]
    pub(super) fn remove(&mut self, place: Place) {
        let number = place.0 >> 4;
        let chunk = &mut self.chunks[number as usize];
        chunk.live &= !(1 << (place.0 & 15));
        if chunk.live == 0 {
            self.unlink(number);
        }
    }

    /// Puts a chunk with `index` alone at the end of the queue of `slot`.
    #[inline]
    fn push_chunk(&mut self, slot: usize, index: u32) -> Place {
        let number = if self.free == NONE {
            self.grow()
        } else {
            self.free
        };
        let queue = &mut self.queues[slot];
        let previous = queue.last;
        queue.last = number;
        let chunk = &mut self.chunks[number as usize];
        self.free = chunk.next;
        chunk.indices[0] = index;
        chunk.live = 1;
        chunk.slot = slot as u16;
        chunk.next = NONE;
        chunk.previous = previous;
        match self.chunks.get_mut(previous as usize) {
            Some(previous) => previous.next = number,
            None => {
                queue.first = number;
                self.occupied[slot / 64] |= 1 << (slot % 64);
                self.summary |= 1 << (slot / 64);
            }
        }
        Place(number << 4)
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        assert!(
            self.chunks.len() < PLACES_MAX,
            "a place names at most 2^28 chunks"
        );
        self.chunks.push(Chunk {
            indices: [0; ROOM],
            next: NONE,
            previous: NONE,
            slot: 0,
            live: 0,
        });
        self.chunks.len() as u32 - 1
    }

    /// Moves an empty chunk from its queue to the free list.
    #[inline]
    fn unlink(&mut self, number: u32) {
        let chunk = &mut self.chunks[number as usize];
        let (next, previous) = (chunk.next, chunk.previous);
        let slot = chunk.slot as usize % SLOTS;
        chunk.next = self.free;
        self.free = number;
        let queue = &mut self.queues[slot];
        match self.chunks.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => queue.last = previous,
        }
        match self.chunks.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => queue.first = next,
        }
        if queue.first == NONE {
            let word = &mut self.occupied[slot / 64];
            *word &= !(1 << (slot % 64));
            if *word == 0 {
                self.summary &= !(1 << (slot / 64));
            }
        }
    }

    /// How many cache lines the queues use or keep.
    #[cfg(test)]
    pub(super) fn chunks_len(&self) -> usize {
        self.chunks.len()
    }
}
