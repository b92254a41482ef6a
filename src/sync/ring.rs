//! The ring of a mailbox whose newest message takes the place of the oldest.
//!
//! ```text
//!   sender ── put ──▶ [ oldest │ … │ newest ]  the messages, at most the capacity
//!               │        │ full: handed back, and the newest goes in
//!               │        ▼
//!               │      dead letter
//!               │ not full: a token
//!               ▼
//!   inbox:  token ─▶ token ─▶ timer ─▶ token    each token stands for one message in the ring
//!               │
//!   run ── take ┘  the oldest that is there
//! ```
//!
//! An inbox can't give up its oldest envelope to a sender, so the messages of such a mailbox wait
//! here and the inbox has a token for each: it schedules, counts places and ends as ever. A message
//! that displaces another takes over the tokens that are there.
//!
//! - D1: between two steps there are as many tokens as messages: each [`Ring::take`] that a token
//!   is spent on finds a message.
//! - D2: never more than the capacity wait, whatever the run does.
//! - D3: first in, first out; what is displaced is the oldest, and comes back exactly once.
//!
//! All steps hold the lock, and a token goes in under it (D1): so a message that some sender put in
//! before it sent something that takes no place is taken before that. Only such a mailbox has a
//! ring; the others have no lock. Model: `loom-tests/tests/ring.rs`.

use super::{Mutex, lock};
use std::collections::VecDeque;

/// See the module's text.
#[derive(Debug)]
pub struct Ring<T>(Mutex<Entries<T>>);

#[derive(Debug)]
struct Entries<T> {
    waiting: VecDeque<T>,
    /// How many were displaced since the last [`Ring::reset`].
    displaced: u64,
}

/// How a message went into a [`Ring`].
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub enum Put<T, W> {
    /// With a token: what became of that.
    Placed(W),
    /// In the place of this oldest one.
    Displaced(T),
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            waiting: VecDeque::new(),
            displaced: 0,
        }))
    }
}

impl<T> Ring<T> {
    /// Puts the newest in, in the place of the oldest when `capacity` messages wait. `is_open` is
    /// asked before that; `place` sends the token otherwise. Both are called under the lock.
    ///
    /// # Errors
    ///
    /// The message, and why: it was not open, or the token did not go in.
    pub fn put<W, E>(
        &self,
        newest: T,
        capacity: u32,
        is_open: impl FnOnce(&T) -> Result<(), E>,
        place: impl FnOnce() -> Result<W, E>,
    ) -> Result<Put<T, W>, (E, T)> {
        let entries = &mut *lock(&self.0);
        if entries.waiting.len() < capacity.max(1) as usize {
            // Before its token, which nobody can spend while the lock is held.
            return match place() {
                Ok(placed) => {
                    entries.waiting.push_back(newest);
                    Ok(Put::Placed(placed))
                }
                Err(why) => Err((why, newest)),
            };
        }
        if let Err(why) = is_open(&newest) {
            return Err((why, newest));
        }
        let oldest = entries.waiting.pop_front();
        entries.waiting.push_back(newest);
        entries.displaced += 1;
        let oldest = oldest.expect("D1: a full ring holds a message");
        Ok(Put::Displaced(oldest))
    }

    /// Takes the oldest, for a token.
    pub fn take(&self) -> Option<T> {
        lock(&self.0).waiting.pop_front()
    }

    /// How many were displaced since the last reset.
    pub fn displaced(&self) -> u64 {
        lock(&self.0).displaced
    }

    /// Begins a new life of the mailbox: nothing waits, nothing was displaced, no memory is held.
    pub fn reset(&self) {
        let entries = &mut *lock(&self.0);
        debug_assert!(entries.waiting.is_empty(), "D1: no token is out");
        entries.waiting = VecDeque::new();
        entries.displaced = 0;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_ring_that_is_closed_gives_the_message_back() {
        let ring = Ring::default();
        let open = |_: &u32| Ok::<(), &str>(());
        assert_eq!(ring.put(1, 1, open, || Ok(())), Ok(Put::Placed(())));
        let refused = ring.put(2, 1, |_| Err("closed"), || Ok(()));
        assert_eq!(refused, Err(("closed", 2)));
        assert_eq!(
            ring.put(3, 2, open, || Err::<(), _>("no token")),
            Err(("no token", 3))
        );
        assert_eq!((ring.take(), ring.take()), (Some(1), None));
        assert_eq!(ring.displaced(), 0);
    }

    proptest! {
        #[test]
        fn it_is_a_queue_that_keeps_the_newest(
            capacity in 1..5_u32,
            steps in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let ring = Ring::default();
            let (mut model, mut tokens, mut displaced) = (Vec::new(), 0, 0);
            for (number, puts) in steps.into_iter().enumerate() {
                if puts {
                    let expected = if model.len() == capacity as usize {
                        displaced += 1;
                        Put::Displaced(model.remove(0))
                    } else {
                        tokens += 1;
                        Put::Placed(tokens)
                    };
                    model.push(number);
                    let put = ring.put(number, capacity, |_| Ok::<(), ()>(()), || Ok(tokens));
                    prop_assert_eq!(put, Ok(expected));
                } else if !model.is_empty() {
                    tokens -= 1;
                    prop_assert_eq!(ring.take(), Some(model.remove(0)));
                }
                prop_assert_eq!(tokens, model.len());
                prop_assert_eq!(ring.displaced(), displaced);
            }
        }
    }
}
