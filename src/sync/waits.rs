//! Who waits for room in whose mailbox, so that places given back wake somebody and circles are
//! found.
//!
//! ```text
//!   commit ──▶ no room ──▶ wait: on the list ──▶ WAITERS set ──▶ idle
//!     ▲                      │ a circle: over the bound           │
//!     │                      │ room by now: off the list          │ place given back, bit cleared
//!     │◀─────────────────────┘                                    ▼
//!     └───────────────────────── run ◀── woken ◀── take: the first in line that have room
//!     ▼
//!   done ──▶ stop: off the list; if woken, those next in line are looked at
//! ```
//!
//! - R1: a waiter is on its target's list, under the lock, before the target's WAITERS bit is
//!   set; whoever clears the bit looks at the list under the lock.
//! - R2: an actor waits for one target at a time, so a circle is found by following the targets.
//! - R3: no more waiters are woken than there is room for. A wake may be in vain: places went to
//!   others meanwhile, or the one woken had just found its own before it was off the list. So
//!   whoever was woken and waits no more has the next in line looked at.
//!
//! | step                   | operation | order   | pairs with | why no more                       |
//! |------------------------|-----------|---------|------------|-----------------------------------|
//! | wait, stop, take, join | mutex     | —       | each other | the lists are the lock's          |
//! | count, under the lock  | store     | Relaxed | stop       | a waiter's own wait came before   |
//! | stop: anybody?         | load      | Relaxed | count      | its run, by the inbox's word      |
//!
//! The bit and the places are the target's [`Inbox`]'s. Model: `loom-tests/tests/waits.rs`.

use super::atomic::{AtomicUsize, Ordering};
use super::inbox::Inbox;
use super::look::FirstLook;
use super::parker::Unparker;
use super::{Mutex, MutexGuard, lock};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// The waits of a system. An actor is a number, and in line an `A` too, by which it is woken.
#[derive(Debug)]
pub struct Waits<A> {
    lines: Mutex<Lines<A>>,
    /// Whether anybody waits, for those who don't take the lock.
    count: AtomicUsize,
}

/// Somebody who waits for room.
#[derive(Debug)]
pub enum Waiter<A> {
    /// An actor: its number, and what it is woken by.
    Actor(u32, A),
    /// A thread, with the number by which it leaves the line.
    Thread(Unparker, u64),
}

/// What [`Waits::wait`] found.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// It waits; with a number for its deadline if it did not wait before.
    Waits(Option<u64>),
    /// There is room by now, or the target takes no more: the caller tries again.
    Room,
    /// It would wait for itself, over others: the caller goes over the bound.
    Circle,
}

/// Those who have room now; the caller wakes them.
pub type Woken<A> = SmallVec<[Waiter<A>; 8]>;

impl<A> Default for Waits<A> {
    fn default() -> Self {
        Self {
            lines: Mutex::new(Lines::default()),
            count: AtomicUsize::new(0),
        }
    }
}

impl<A> Waits<A> {
    fn lock(&self) -> Locked<'_, A> {
        Locked {
            lines: lock(&self.lines),
            count: &self.count,
        }
    }

    /// Whether anybody waits; may be behind by a moment, but not about the caller's own wait.
    #[cfg(loom)]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Lets actor `me` wait for `places` in `inbox`, the mailbox of `target`; `begins` is called
    /// under the lock when it did not wait before.
    ///
    /// One who is in line already keeps its place; one who was woken in vain comes first. A number
    /// beside the outcome is a target that others may have room at: the caller wakes them.
    pub fn wait(
        &self,
        (me, wake_by): (u32, A),
        (target, places): (u32, u32),
        (inbox, bound): (&Inbox, u32),
        begins: impl FnOnce(),
    ) -> (Wait, Option<u32>) {
        let mut lines = self.lock();
        if lines.closes_circle(me, target) {
            return (Wait::Circle, None);
        }
        let deadline = lines.add((me, wake_by), target, places);
        if deadline.is_some() {
            begins();
        }
        let elsewhere = lines.woken.remove(&me);
        let outcome = match (inbox.wait(places, bound), deadline) {
            (true, _) => Wait::Waits(deadline),
            (false, None) => {
                lines.remove_waiter(me); // it waits on, with the deadline it has
                Wait::Room
            }
            (false, Some(_)) => {
                lines.remove(me);
                Wait::Room
            }
        };
        (outcome, elsewhere)
    }

    /// Actor `me` waits no more: its commit is done, or the actor is.
    ///
    /// A number is a target that others may have room at (R3): the caller wakes them.
    #[must_use]
    pub fn stop(&self, me: u32) -> Option<u32> {
        // As `any`.
        if self.count.first_look(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut lines = self.lock();
        lines.remove(me);
        lines.woken.remove(&me)
    }

    /// Takes those off `target`'s line that there is room for in `inbox`.
    #[must_use]
    pub fn take(&self, target: u32, inbox: &Inbox, bound: u32) -> Woken<A> {
        let mut taken = Woken::new();
        let mut lines = self.lock();
        let mut promised = 0u32;
        while let Some(places) = lines.first_needs(target) {
            promised = promised.saturating_add(places);
            // Those left are woken by the next place that comes back.
            if inbox.wait(promised, bound) {
                break;
            }
            taken.extend(lines.take_first(target));
        }
        taken
    }

    /// Puts a thread in line for one place, unless there is room by now; the number by which it
    /// leaves the line. `lives` says whether the target is still the one that the caller means.
    pub fn join(
        &self,
        unparker: Unparker,
        target: u32,
        (inbox, bound): (&Inbox, u32),
        lives: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let mut lines = self.lock();
        let ticket = lines.add_thread(unparker, target);
        if inbox.wait(1, bound) && lives() {
            return Some(ticket);
        }
        lines.remove_thread(target, ticket);
        None
    }

    /// Takes a thread off the line again; whether it was woken before. One that was and takes no
    /// place has the next in line looked at (R3).
    #[must_use]
    pub fn leave(&self, target: u32, ticket: u64) -> bool {
        !self.lock().remove_thread(target, ticket)
    }

    /// Looks at each who waits, in order at each target: whose room they wait for, and how many
    /// places. `look` is short: it has the lock.
    #[cfg(not(loom))]
    pub fn each(&self, mut look: impl FnMut(&Waiter<A>, u32, u32)) {
        for (&target, line) in &self.lock().waiters {
            for (waiter, places) in line {
                look(waiter, target, *places);
            }
        }
    }

    /// Calls `due` under the lock, so that no other wait begins meanwhile, if this very wait of
    /// `me`'s goes on still.
    pub fn if_due(&self, me: u32, seq: u64, due: impl FnOnce()) {
        let lines = self.lock();
        if lines.since.get(&me) == Some(&seq) {
            due();
        }
    }
}

/// The lines, locked; keeps the count that others look at without the lock.
struct Locked<'a, A> {
    lines: MutexGuard<'a, Lines<A>>,
    count: &'a AtomicUsize,
}

impl<A> std::ops::Deref for Locked<'_, A> {
    type Target = Lines<A>;
    fn deref(&self) -> &Lines<A> {
        &self.lines
    }
}

impl<A> std::ops::DerefMut for Locked<'_, A> {
    fn deref_mut(&mut self) -> &mut Lines<A> {
        &mut self.lines
    }
}

impl<A> Drop for Locked<'_, A> {
    fn drop(&mut self) {
        let anybody = usize::from(!self.lines.is_empty());
        self.count.store(anybody, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Lines<A> {
    /// Whom each waiting actor waits for.
    targets: HashMap<u32, u32>,
    /// Since which wait each actor's commit waits; kept over wakes until it is done.
    since: HashMap<u32, u64>,
    /// Who waits for each target, the first in line in front, with the places they need.
    waiters: HashMap<u32, VecDeque<(Waiter<A>, u32)>>,
    /// Who was woken, and has not ended its wait since.
    woken: HashMap<u32, u32>,
    next_seq: u64,
    /// The memory of a list that nobody is on any more, for the next one.
    spare: VecDeque<(Waiter<A>, u32)>,
}

impl<A> Default for Lines<A> {
    fn default() -> Self {
        Self {
            targets: HashMap::new(),
            since: HashMap::new(),
            waiters: HashMap::new(),
            woken: HashMap::new(),
            next_seq: 0,
            spare: VecDeque::new(),
        }
    }
}

impl<A> Lines<A> {
    /// Whether anybody waits.
    fn is_empty(&self) -> bool {
        self.since.is_empty() && self.waiters.is_empty() && self.woken.is_empty()
    }

    /// Whether `me` waiting for `target` would close a circle.
    fn closes_circle(&self, me: u32, target: u32) -> bool {
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
    fn add(&mut self, (me, wake_by): (u32, A), target: u32, places: u32) -> Option<u64> {
        if self.targets.get(&me) != Some(&target) {
            self.remove_waiter(me);
            self.targets.insert(me, target);
            let list = self
                .waiters
                .entry(target)
                .or_insert_with(|| std::mem::take(&mut self.spare));
            if self.woken.get(&me) == Some(&target) {
                self.woken.remove(&me);
                list.push_front((Waiter::Actor(me, wake_by), places));
            } else {
                list.push_back((Waiter::Actor(me, wake_by), places));
            }
        }
        if self.since.contains_key(&me) {
            return None;
        }
        self.next_seq += 1;
        self.since.insert(me, self.next_seq);
        Some(self.next_seq)
    }

    /// Adds a thread; the number by which it leaves the line.
    fn add_thread(&mut self, unparker: Unparker, target: u32) -> u64 {
        self.next_seq += 1;
        let list = self.waiters.entry(target).or_default();
        list.push_back((Waiter::Thread(unparker, self.next_seq), 1));
        self.next_seq
    }

    /// Takes a thread off the list again, if it is on it still; whether it was.
    fn remove_thread(&mut self, target: u32, ticket: u64) -> bool {
        self.keep_waiters(
            target,
            |waiter| !matches!(waiter, Waiter::Thread(_, number) if *number == ticket),
        )
    }

    /// Whether somebody was taken off.
    fn keep_waiters(&mut self, target: u32, mut keep: impl FnMut(&Waiter<A>) -> bool) -> bool {
        let Some(list) = self.waiters.get_mut(&target) else {
            return false;
        };
        let before = list.len();
        list.retain(|(waiter, _)| keep(waiter));
        let removed = list.len() < before;
        if list.is_empty() {
            self.remove_list(target);
        }
        removed
    }

    fn remove_list(&mut self, target: u32) {
        if let Some(list) = self.waiters.remove(&target)
            && list.capacity() > self.spare.capacity()
        {
            self.spare = list;
        }
    }

    /// Takes an actor off its target's list again; its deadline stays.
    fn remove_waiter(&mut self, me: u32) {
        let Some(target) = self.targets.remove(&me) else {
            return;
        };
        self.keep_waiters(
            target,
            |waiter| !matches!(waiter, Waiter::Actor(number, _) if *number == me),
        );
    }

    /// An actor's commit is done, or the actor is.
    fn remove(&mut self, me: u32) {
        self.remove_waiter(me);
        self.since.remove(&me);
    }

    /// How many places the first in line at `target` needs.
    fn first_needs(&self, target: u32) -> Option<u32> {
        self.waiters.get(&target)?.front().map(|first| first.1)
    }

    /// Takes the first in line at `target`.
    fn take_first(&mut self, target: u32) -> Option<Waiter<A>> {
        let list = self.waiters.get_mut(&target)?;
        let (waiter, _) = list.pop_front()?;
        if list.is_empty() {
            self.remove_list(target);
        }
        if let Waiter::Actor(number, _) = &waiter {
            self.targets.remove(number);
            self.woken.insert(*number, target);
        }
        Some(waiter)
    }
}
