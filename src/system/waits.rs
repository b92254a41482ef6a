//! Who waits for room in whose mailbox, so that places given back wake somebody and circles are
//! found.
//!
//! - R1: a waiter is on its target's list, under the lock, before the target's WAITERS bit is
//!   set; whoever clears the bit looks at the list under the lock.
//! - R2: an actor waits for one target at a time, so a circle is found by following the targets.

use crate::actor::Address;
use crate::sync::parker::Unparker;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// See the module's text.
#[derive(Default)]
pub(crate) struct Waits {
    /// Whom each waiting actor waits for.
    targets: HashMap<u32, u32>,
    /// Since which wait each actor's commit waits; kept over wakes until it is done.
    since: HashMap<u32, u64>,
    waiters: HashMap<u32, VecDeque<Waiter>>,
    next_seq: u64,
}

/// Somebody who waits for room.
pub(crate) enum Waiter {
    Actor(Address),
    /// With the number by which it leaves the line.
    Thread(Unparker, u64),
}

impl Waits {
    /// Whether anybody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.since.is_empty() && self.waiters.is_empty()
    }

    /// Whether `me` waiting for `target` would close a circle.
    pub(crate) fn closes_circle(&self, me: u32, target: u32) -> bool {
        let mut at = target;
        for _ in 0..=self.targets.len() {
            if at == me {
                return true;
            }
            match self.targets.get(&at) {
                Some(&next) => at = next,
                None => return false,
            }
        }
        false
    }

    /// Adds an actor; a number for its deadline if it did not wait before.
    pub(crate) fn add(&mut self, me: Address, target: u32) -> Option<u64> {
        self.targets.insert(me.cell, target);
        let list = self.waiters.entry(target).or_default();
        list.push_back(Waiter::Actor(me));
        if self.since.contains_key(&me.cell) {
            return None;
        }
        self.next_seq += 1;
        self.since.insert(me.cell, self.next_seq);
        Some(self.next_seq)
    }

    /// Adds a thread; the number by which it leaves the line.
    pub(crate) fn add_thread(&mut self, unparker: Unparker, target: u32) -> u64 {
        self.next_seq += 1;
        let list = self.waiters.entry(target).or_default();
        list.push_back(Waiter::Thread(unparker, self.next_seq));
        self.next_seq
    }

    /// Takes a thread off the list again, if it is on it still.
    pub(crate) fn remove_thread(&mut self, target: u32, ticket: u64) {
        self.keep_waiters(
            target,
            |waiter| !matches!(waiter, Waiter::Thread(_, number) if *number == ticket),
        );
    }

    fn keep_waiters(&mut self, target: u32, keep: impl FnMut(&Waiter) -> bool) {
        if let Some(list) = self.waiters.get_mut(&target) {
            list.retain(keep);
            if list.is_empty() {
                self.waiters.remove(&target);
            }
        }
    }

    /// Takes an actor off its target's list again; its deadline stays.
    pub(crate) fn remove_waiter(&mut self, me: u32) {
        let Some(target) = self.targets.remove(&me) else {
            return;
        };
        self.keep_waiters(
            target,
            |waiter| !matches!(waiter, Waiter::Actor(address) if address.cell == me),
        );
    }

    /// An actor's commit is done, or the actor is.
    pub(crate) fn remove(&mut self, me: u32) {
        self.remove_waiter(me);
        self.since.remove(&me);
    }

    /// Whether this very wait goes on still.
    pub(crate) fn is_due(&self, me: u32, seq: u64) -> bool {
        self.since.get(&me) == Some(&seq)
    }

    /// Takes up to `count` waiters off `target`'s list; whether more are left.
    pub(crate) fn take(&mut self, target: u32, count: u32, taken: &mut Vec<Waiter>) -> bool {
        let Some(list) = self.waiters.get_mut(&target) else {
            return false;
        };
        for _ in 0..count {
            let Some(waiter) = list.pop_front() else {
                break;
            };
            if let Waiter::Actor(address) = &waiter {
                self.targets.remove(&address.cell);
            }
            taken.push(waiter);
        }
        if list.is_empty() {
            self.waiters.remove(&target);
            return false;
        }
        true
    }
}
