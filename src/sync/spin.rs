//! How long a thread looks for something before it sleeps, learnt from how its last looks ended.
//!
//! A look that finds what it was for saves a sleep and a wake, some microseconds. One in vain costs
//! its whole time, and more where the other thread needs this very core: two threads that share a
//! core and spin for each other take turns of a whole spin each. So each look in vain halves the
//! next one, down to a sixty-fourth, and one that finds restores the whole. A short look can't tell
//! that a longer one would find, so that one of [`PROBE`] takes its whole time again.

use std::cell::Cell;

/// One look in so many takes its whole time, however the others ended.
const PROBE: u32 = 1_024;

/// Halvings of the shortest look.
const MAX_SHIFT: u32 = 6;

/// What one thread has learnt about its looks.
#[derive(Debug)]
pub(crate) struct Spin {
    shift: Cell<u32>,
    in_vain: Cell<u32>,
}

impl Spin {
    pub(crate) const fn new() -> Self {
        Self {
            shift: Cell::new(0),
            in_vain: Cell::new(0),
        }
    }

    /// The time for the next look, of at most `whole_ns`.
    pub(crate) fn span_ns(&self, whole_ns: u64) -> u64 {
        if self.in_vain.get().is_multiple_of(PROBE) {
            whole_ns
        } else {
            whole_ns >> self.shift.get()
        }
    }

    /// Tells how a look ended: whether it found something before its time was up.
    pub(crate) fn ended(&self, has_found: bool) {
        if has_found {
            self.shift.set(0);
        } else {
            self.shift.set((self.shift.get() + 1).min(MAX_SHIFT));
            self.in_vain.set(self.in_vain.get().wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_vain_get_shorter_and_one_that_finds_restores_the_whole() {
        let spin = Spin::new();
        let mut spans = Vec::new();
        for _ in 0..9 {
            spans.push(spin.span_ns(64));
            spin.ended(false);
        }
        assert_eq!(spans, [64, 32, 16, 8, 4, 2, 1, 1, 1]);
        spin.ended(true);
        assert_eq!(spin.span_ns(64), 64);
    }

    #[test]
    fn one_look_of_1024_takes_its_whole_time() {
        let spin = Spin::new();
        let whole = (0..4_096).filter(|_| {
            let span_ns = spin.span_ns(64);
            spin.ended(false);
            span_ns == 64
        });
        assert_eq!(whole.count(), 4);
    }

    #[test]
    fn no_time_stays_none() {
        let spin = Spin::new();
        spin.ended(false);
        assert_eq!(spin.span_ns(0), 0);
    }
}
