//! Who waits for room in whose mailbox, so that places given back wake somebody and circles are
//! found.
//!
//! - R1: a waiter is on its target's list, under the lock, before the target's WAITERS bit is
//!   set; whoever clears the bit looks at the list under the lock.
//! - R2: an actor waits for one target at a time, so a circle is found by following the targets.
//! - R3: no more waiters are woken than there is room for. A wake may be in vain: places went to
//!   others meanwhile, or the one woken had just found its own before it was off the list. So
//!   whoever was woken and waits no more has the next in line looked at.

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
    /// Who waits for each target, the first in line in front, with the places they need.
    waiters: HashMap<u32, VecDeque<(Waiter, u32)>>,
    /// Who was woken, and has not ended its wait since.
    woken: HashMap<u32, u32>,
    next_seq: u64,
    /// The memory of a list that nobody is on any more, for the next one.
    spare: VecDeque<(Waiter, u32)>,
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
        self.since.is_empty() && self.waiters.is_empty() && self.woken.is_empty()
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

    /// Adds an actor that needs `places`; a number for its deadline if it did not wait before.
    ///
    /// One who is in line already keeps its place; one who was woken in vain comes first.
    pub(crate) fn add(&mut self, me: Address, target: u32, places: u32) -> Option<u64> {
        if self.targets.get(&me.cell) != Some(&target) {
            self.remove_waiter(me.cell);
            self.targets.insert(me.cell, target);
            let list = self
                .waiters
                .entry(target)
                .or_insert_with(|| std::mem::take(&mut self.spare));
            if self.woken.get(&me.cell) == Some(&target) {
                self.woken.remove(&me.cell);
                list.push_front((Waiter::Actor(me), places));
            } else {
                list.push_back((Waiter::Actor(me), places));
            }
        }
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
        list.push_back((Waiter::Thread(unparker, self.next_seq), 1));
        self.next_seq
    }

    /// Takes a thread off the list again, if it is on it still.
    pub(crate) fn remove_thread(&mut self, target: u32, ticket: u64) {
        self.keep_waiters(
            target,
            |waiter| !matches!(waiter, Waiter::Thread(_, number) if *number == ticket),
        );
    }

    fn keep_waiters(&mut self, target: u32, mut keep: impl FnMut(&Waiter) -> bool) {
        if let Some(list) = self.waiters.get_mut(&target) {
            list.retain(|(waiter, _)| keep(waiter));
            if list.is_empty() {
                self.remove_list(target);
            }
        }
    }

    fn remove_list(&mut self, target: u32) {
        if let Some(list) = self.waiters.remove(&target)
            && list.capacity() > self.spare.capacity()
        {
            self.spare = list;
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

    /// The target whose room an actor was woken for, if it was: the caller looks for others (R3).
    pub(crate) fn woken_for(&mut self, me: u32) -> Option<u32> {
        self.woken.remove(&me)
    }

    /// Whether this very wait goes on still.
    pub(crate) fn is_due(&self, me: u32, seq: u64) -> bool {
        self.since.get(&me) == Some(&seq)
    }

    /// How many places the first in line at `target` needs.
    pub(crate) fn first_needs(&self, target: u32) -> Option<u32> {
        self.waiters.get(&target)?.front().map(|first| first.1)
    }

    /// Takes the first in line at `target`.
    pub(crate) fn take_first(&mut self, target: u32) -> Option<Waiter> {
        let list = self.waiters.get_mut(&target)?;
        let (waiter, _) = list.pop_front()?;
        if list.is_empty() {
            self.remove_list(target);
        }
        if let Waiter::Actor(address) = &waiter {
            self.targets.remove(&address.cell);
            self.woken.insert(address.cell, target);
        }
        Some(waiter)
    }
}
