//! Entries by number, in chunks that stay where they are: what grows is not copied, and memory comes
//! in pieces of one size.

use std::ops::{Index, IndexMut};

/// A list of entries that only grows, by a chunk of `CHUNK` entries.
pub(crate) struct Chunks<E, const CHUNK: usize>(Vec<Box<[E; CHUNK]>>);

impl<E, const CHUNK: usize> Chunks<E, CHUNK> {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len() * CHUNK
    }

    /// The entry of this number, if there is one.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&E> {
        let index = index as usize;
        Some(&self.0.get(index / CHUNK)?[index % CHUNK])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut E> {
        let index = index as usize;
        Some(&mut self.0.get_mut(index / CHUNK)?[index % CHUNK])
    }

    /// Appends a chunk of entries that `make` makes for their numbers.
    pub(crate) fn grow(&mut self, make: impl FnMut(u32) -> E) {
        let numbers = self.len() as u32..(self.len() + CHUNK) as u32;
        let entries: Vec<E> = numbers.map(make).collect();
        let chunk = entries.into_boxed_slice().try_into();
        self.0
            .push(chunk.unwrap_or_else(|_| unreachable!("a chunk has its length")));
    }
}

impl<E, const CHUNK: usize> Index<u32> for Chunks<E, CHUNK> {
    type Output = E;

    #[inline]
    fn index(&self, index: u32) -> &E {
        let index = index as usize;
        &self.0[index / CHUNK][index % CHUNK]
    }
}

impl<E, const CHUNK: usize> IndexMut<u32> for Chunks<E, CHUNK> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut E {
        let index = index as usize;
        &mut self.0[index / CHUNK][index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_numbers_while_the_list_grows() {
        const CHUNK: usize = 16;
        let mut list = Chunks::<_, CHUNK>::new();
        assert!(list.get(0).is_none());
        for chunk in 1..=3 {
            list.grow(|number| number);
            let count = (chunk * CHUNK) as u32;
            assert_eq!(list.len(), chunk * CHUNK);
            assert!((0..count).all(|number| list[number] == number));
            assert!(list.get(count).is_none() && list.get_mut(u32::MAX).is_none());
        }
        list[7] = 70;
        assert_eq!(list.get(7), Some(&70));
        assert_eq!(list.get_mut(8), Some(&mut 8));
    }
}
