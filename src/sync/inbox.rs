//! The inbox: one word that is an actor's queue, its bound and its place on the run queues.
//!
//! ```text
//!   63         48 47                        4   3       2       1      0
//!  ┌─────────────┬───────────────────────────┬───────┬───────┬──────┬──────┐
//!  │ places taken│ newest envelope, or null  │SIGNAL │WAITERS│CLOSED│ IDLE │
//!  └─────────────┴───────────────────────────┴───────┴───────┴──────┴──────┘
//!
//!            push, publish, signal: Enqueue          look
//!   IDLE ────────────────────────────────▶ SCHEDULED ────▶ RUNNING
//!    ▲                                         ▲              │
//!    │               finish: Idle              │ finish: More │
//!    └─────────────────────────────────────────┴──────────────┘
//!   (SCHEDULED and RUNNING are both "not IDLE": whoever cleared IDLE owes one run)
//! ```
//!
//! The envelopes form a stack, newest first. The one consumer looks at the word, reverses what is
//! new above the newest it saw before (the boundary), and detaches them only when it goes idle. A
//! run that begins with a backlog looks too, and turns one envelope around for each that it handles
//! ([`Reversal`]). So
//! one compare-exchange sends a message, checks the bound and decides who schedules the actor, and
//! one more ends the run: two a message at worst.
//!
//! ```text
//!   word ──▶ new ──▶ new ──▶ boundary ──▶ (whatever its link says is not looked at)
//!                               └── held by the consumer, emptied, until the word left it
//! ```
//!
//! - I1: each published envelope is popped exactly once, or handed back by `push` or `publish`; a
//!   consumer sees all that the producer wrote before publishing.
//! - I2: per producer first in, first out; and causally: what is published later is taken later.
//! - I3: after an `Enqueue` there is exactly one run; no second `Enqueue` comes before that run
//!   calls `finish` and it returns `Idle`. Runs never overlap and see each other's writes.
//! - I4: places taken never exceed the capacity given, but for the overdraft asked for by name; a
//!   reservation outlives `close`: the word's count says how many are out, so a cell is reused
//!   only after the last one came back.
//! - I5: whoever waits for a place sets WAITERS in the same step that sees the inbox full, and the
//!   step that gives a place back sees the bit.
//! - I6: after `finish` returned `Idle` or `release` returned, the consumer touches nothing that
//!   another run may own; the backlog is final before.
//! - I7: the boundary's envelope is neither freed nor sent before the word has left it: it could
//!   come back on top, and what is new above it would be taken for known.
//!
//! | step             | operation            | order   | pairs with      | if Relaxed, the model sees        |
//! |------------------|----------------------|---------|-----------------|-----------------------------------|
//! | push, publish    | compare_exchange     | AcqRel  | look, finish    | a race on envelope or state (I1)  |
//! | signal, wake     | compare_exchange     | AcqRel  | look, finish    | a flag or a state not seen (I3)   |
//! | look, look ahead | load                 | Acquire | push, publish   | a race on the envelope (I1)       |
//! | look: signal     | fetch_and            | Acquire | signal          | a flag not seen (I3)              |
//! | let go: newer    | load, failed exchange| Acquire | push, publish   | a race on the envelope (I1)       |
//! | let go: detach   | compare_exchange     | Relaxed | —               | nothing is handed over            |
//! | finish: idle     | compare_exchange     | Release | push, signal    | a race on the actor's state (I3)  |
//! | finish: signal   | compare_exchange     | Acquire | signal          | a flag not seen by a wait (I3)    |
//! | reserve          | compare_exchange     | Relaxed | —               | only counts                       |
//! | close if         | compare_exchange     | Acquire | open            | the next actor closed (I4)        |
//! | retire           | compare_exchange     | Release | release         | a race on a reused cell (I4)      |
//! | release, give up | fetch_sub            | Acquire | retire          | a race on a reused cell (I4)      |
//! | wait             | compare_exchange     | AcqRel  | release, finish | a waiter not seen (I5)            |
//! | close            | compare_exchange     | AcqRel  | push, finish    | a race on the actor's state (I3)  |
//!
//! Acquire on push, signal and close: an `Enqueue` hands the actor to the caller's run queue, and
//! the run must see what the last run wrote, which `finish` released into this word. Every change
//! of the word is a read-modify-write, so a Release stays visible through the steps after it. Of
//! finish, retire and release the table names the half that something rests on; the code has both.
//!
//! - A look that meets a signal clears it, so the caller looks at the actor's flags after it.
//! - WAITERS: whoever clears the bit wakes who waits for the cell's number. A `release` clears it
//!   in a step of its own and may meet the bit of the cell's next actor: it wakes that one's
//!   waiters then, and the list, not the bit, says whom there is room for. Those of the actor that
//!   ended were seen by [`Inbox::has_waiters`], final once the inbox is closed.
//!
//! Models: `loom-tests/tests/inbox.rs`.

use super::UnsafeCell;
use super::atomic::{AtomicU64, Ordering};
use super::look::FirstLook;
use super::prefetch;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

const IDLE: u64 = 1;
const CLOSED: u64 = 2;
const WAITERS: u64 = 4;
const SIGNAL: u64 = 8;
const POINTER: u64 = (1 << 48) - 16;
const ONE: u64 = 1 << 48;
const COUNT_SHIFT: u32 = 48;
/// A cell without an actor. A live inbox never has the three at once: it goes idle only when no
/// signal is up.
const DEAD: u64 = CLOSED | IDLE | SIGNAL;

/// The most places that a capacity may name; the count has one bit more, for overdraft.
pub const CAPACITY_MAX: u32 = 32_768;
/// Above this count even overdraft is refused.
pub const OVERDRAFT_MAX: u32 = u16::MAX as u32;
const COUNT_MAX: u64 = OVERDRAFT_MAX as u64;

/// What an envelope begins with: the link to the envelope before it.
#[repr(transparent)]
#[derive(Debug)]
pub struct Link {
    next: UnsafeCell<*mut Link>,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link to nothing.
    pub fn new() -> Self {
        Self {
            next: UnsafeCell::new(std::ptr::null_mut()),
        }
    }

    /// The envelope linked to.
    ///
    /// # Safety
    ///
    /// The caller owns the envelope: it is in no inbox.
    #[inline(always)]
    pub unsafe fn next(&self) -> *mut Link {
        // SAFETY: the caller owns the envelope, so nobody writes the link.
        self.next.with(|next| unsafe { *next })
    }

    /// Links to `next`.
    ///
    /// # Safety
    ///
    /// The caller owns the envelope: it is in no inbox.
    #[inline(always)]
    pub unsafe fn set_next(&self, next: *mut Link) {
        // SAFETY: the caller owns the envelope, so nobody else looks at the link.
        self.next.with_mut(|slot| unsafe { *slot = next });
    }
}

/// Envelopes that are linked but not in an inbox: `newest` links on to `oldest`.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// The head of the stack.
    pub newest: NonNull<Link>,
    /// The tail of the stack.
    pub oldest: NonNull<Link>,
}

// SAFETY: a chain owns its envelopes, and what is put in envelopes is `Send`.
unsafe impl Send for Chain {}

impl Chain {
    /// A chain of one envelope.
    #[inline(always)]
    pub fn one(link: NonNull<Link>) -> Self {
        Self {
            newest: link,
            oldest: link,
        }
    }

    /// Puts a newer envelope on top.
    ///
    /// # Safety
    ///
    /// The caller owns the chain and `link`.
    #[inline(always)]
    pub unsafe fn push(&mut self, link: NonNull<Link>) {
        // SAFETY: the caller owns `link`, which therefore lives.
        let newest = unsafe { link.as_ref() };
        // SAFETY: as above.
        unsafe { newest.set_next(self.newest.as_ptr()) };
        self.newest = link;
    }
}

/// What became of an envelope or a reservation.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Push {
    /// It is in, and the caller puts the actor on a run queue.
    Enqueue,
    /// It is in; somebody else runs the actor.
    Queued,
    /// All places are taken; the caller keeps what it has.
    Full,
    /// The actor takes no more; the caller keeps what it has.
    Closed,
}

/// What a wake or a signal obliges the caller to do.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The caller puts the actor on a run queue.
    Enqueue,
    /// Another thread has, or runs it.
    Nothing,
}

/// What [`Inbox::look`] found.
#[must_use]
#[derive(Debug)]
pub struct Look {
    /// No more messages will come.
    pub closed: bool,
    /// An envelope that was held and may be freed now: see [`Backlog::hold`].
    pub let_go: Option<NonNull<Link>>,
}

/// The consumer's end of an inbox: what it knows of and has not popped, oldest first.
///
/// Only a run touches it (I3).
#[derive(Debug)]
pub struct Backlog {
    head: Own,
    /// The newest envelope that the consumer knows of (the boundary), and in its lowest bit
    /// whether the consumer holds it, emptied.
    boundary: Own,
}

/// A pointer that only the run touches, in a cell that loom watches.
#[derive(Debug)]
struct Own(UnsafeCell<*mut Link>);

impl Own {
    fn null() -> Self {
        Self(UnsafeCell::new(std::ptr::null_mut()))
    }

    #[inline(always)]
    fn get(&self) -> *mut Link {
        // SAFETY: I3: only the run touches the backlog.
        self.0.with(|link| unsafe { *link })
    }

    #[inline(always)]
    fn set(&self, to: *mut Link) {
        // SAFETY: as above.
        self.0.with_mut(|link| unsafe { *link = to });
    }
}

const HELD: usize = 1;

impl Default for Backlog {
    fn default() -> Self {
        Self::new()
    }
}

impl Backlog {
    /// Nothing.
    pub fn new() -> Self {
        Self {
            head: Own::null(),
            boundary: Own::null(),
        }
    }

    #[inline(always)]
    fn boundary(&self) -> *mut Link {
        self.boundary.get().map_addr(|address| address & !HELD)
    }

    /// The held envelope, which is the caller's now.
    #[inline(always)]
    fn let_go(&self) -> Option<NonNull<Link>> {
        let boundary = self.boundary.get();
        if boundary.addr() & HELD == 0 {
            return None;
        }
        self.boundary.set(self.boundary());
        NonNull::new(self.boundary())
    }

    /// Whether there is nothing to pop.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Pops the oldest envelope. If it is the [boundary](Backlog::is_boundary), the caller may
    /// empty it, but gives the envelope to [`Backlog::hold`], or calls [`Inbox::let_go`] first.
    ///
    /// # Safety
    ///
    /// The caller is the run.
    #[inline(always)]
    pub unsafe fn pop(&self) -> Option<NonNull<Link>> {
        let link = NonNull::new(self.head.get())?;
        // SAFETY: I1: what the backlog holds is the consumer's.
        let first = unsafe { link.as_ref() };
        // SAFETY: as above.
        let next = unsafe { first.next() };
        prefetch(next);
        self.head.set(next);
        Some(link)
    }

    /// As [`Backlog::pop`], and turns one more of the new envelopes around.
    ///
    /// # Safety
    ///
    /// As for [`Backlog::pop`]; `reversal` is of this backlog, and the latest.
    #[inline(always)]
    pub unsafe fn pop_reversing(&self, reversal: &Reversal<'_>) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise.
        let link = unsafe { self.pop() }?;
        if self.is_empty() {
            // What the new ones would be put behind is on its way out.
            self.head.set(reversal.rest());
        } else {
            reversal.step();
        }
        Some(link)
    }

    /// Puts the envelope that was popped last back.
    ///
    /// # Safety
    ///
    /// As for [`Backlog::pop`].
    pub unsafe fn put_back(&self, link: NonNull<Link>) {
        // SAFETY: it was just popped, so it is the caller's.
        let first = unsafe { link.as_ref() };
        // SAFETY: as above.
        unsafe { first.set_next(self.head.get()) };
        self.head.set(link.as_ptr());
    }

    /// Whether this popped envelope is one that the word may still point to.
    #[inline(always)]
    pub fn is_boundary(&self, link: NonNull<Link>) -> bool {
        link.as_ptr() == self.boundary()
    }

    /// Keeps the boundary's envelope, emptied, until the word has left it (I7).
    #[inline(always)]
    pub fn hold(&self, link: NonNull<Link>) {
        debug_assert!(self.is_boundary(link));
        self.boundary
            .set(link.as_ptr().map_addr(|address| address | HELD));
    }

    /// Takes note of the envelopes from `newest` down to the boundary.
    ///
    /// A loop of its own: as a [`Reversal`] in one go it made big 1.1 times as slow.
    #[inline(always)]
    fn add(&self, newest: *mut Link) {
        debug_assert!(self.is_empty());
        let boundary = self.boundary();
        let mut head = std::ptr::null_mut();
        let mut link = newest;
        while link != boundary {
            #[cfg(loom)] // a broken build is to say so, and not to crash
            assert!(!link.is_null(), "I7: the boundary is below what is new");
            // SAFETY: I1: pushed after the boundary and not seen before, so it is a live envelope.
            let this = unsafe { &*link };
            // SAFETY: what is in the word is the consumer's to link; pushers only point to it.
            let next = unsafe { this.next() };
            // SAFETY: as above.
            unsafe { this.set_next(head) };
            head = link;
            link = next;
        }
        self.head.set(head);
        self.boundary.set(newest);
    }
}

/// New envelopes that are turned around one by one while older ones are handled, so that the wait
/// for the memory of one lies beside the work on another. When it is dropped all of them are in the
/// backlog.
///
/// ```text
///   backlog:  head ──▶ … ──▶ last          known and not popped, oldest first
///   word ──▶ done ◀── done    rest ──▶ new ──▶ last
///                      └── head: the oldest that is turned around
/// ```
#[must_use]
#[derive(Debug)]
pub struct Reversal<'a> {
    _backlog: PhantomData<&'a Backlog>,
    /// The newest of the backlog when it began.
    last: *mut Link,
    /// The newest that is not turned around yet, or `last`.
    rest: Cell<*mut Link>,
    head: Cell<*mut Link>,
}

impl Reversal<'_> {
    /// Of nothing.
    #[inline(always)]
    pub fn none() -> Self {
        Self::new(std::ptr::null_mut(), std::ptr::null_mut())
    }

    #[inline(always)]
    fn new(newest: *mut Link, last: *mut Link) -> Self {
        Self {
            _backlog: PhantomData,
            last,
            rest: Cell::new(newest),
            head: Cell::new(std::ptr::null_mut()),
        }
    }

    /// Turns one envelope around, if there is one.
    #[inline(always)]
    fn step(&self) {
        let link = self.rest.get();
        if link == self.last {
            return;
        }
        #[cfg(loom)] // a broken build is to say so, and not to crash
        assert!(!link.is_null(), "I7: the boundary is below what is new");
        // SAFETY: I1: pushed after the boundary and not popped, so it is a live envelope.
        let this = unsafe { &*link };
        // SAFETY: what was in the word is the consumer's to link; pushers only point to it.
        let next = unsafe { this.next() };
        prefetch(next);
        // SAFETY: as above.
        unsafe { this.set_next(self.head.get()) };
        self.head.set(link);
        self.rest.set(next);
    }

    /// Turns all around; their oldest, if any are left.
    #[inline(always)]
    fn rest(&self) -> *mut Link {
        while self.rest.get() != self.last {
            self.step();
        }
        self.head.replace(std::ptr::null_mut())
    }
}

impl Drop for Reversal<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let head = self.rest();
        if !head.is_null() {
            // SAFETY: while there is a head the last envelope was not popped, so it is a live one.
            let last = unsafe { &*self.last };
            // SAFETY: I1: what the backlog holds is the consumer's.
            unsafe { last.set_next(head) };
        }
    }
}

/// How a run ended.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finish {
    /// The actor is idle and the caller must not touch it again; otherwise the caller owes it
    /// another run.
    pub idle: bool,
    /// Places came back and someone waits for them: the caller wakes them by the actor's number,
    /// not through the actor.
    pub wake_waiters: bool,
    /// As in [`Look`].
    pub let_go: Option<NonNull<Link>>,
}

/// What came of giving a reservation back.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Released {
    /// As in [`Finish`].
    pub wake_waiters: bool,
    /// The actor is dead and this was the last place out: the caller frees its cell.
    pub last: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Inbox(AtomicU64);

#[inline(always)]
fn count(word: u64) -> u64 {
    word >> COUNT_SHIFT
}

#[inline(always)]
fn pointer(word: u64) -> *mut Link {
    std::ptr::with_exposed_provenance_mut((word & POINTER) as usize)
}

#[inline(always)]
fn address(link: NonNull<Link>) -> u64 {
    let address = link.as_ptr().expose_provenance() as u64;
    debug_assert_eq!(
        address & !POINTER,
        0,
        "an envelope is 16-aligned and below 2^48"
    );
    address
}

impl Default for Inbox {
    fn default() -> Self {
        Self::closed()
    }
}

impl Inbox {
    /// An inbox that refuses everything, as a cell without an actor has it.
    pub fn closed() -> Self {
        Self(AtomicU64::new(DEAD))
    }

    /// Opens a closed inbox for a new actor: empty, and scheduled, so the caller owes it a run.
    ///
    /// The caller owns the cell: no place is out.
    pub fn open_scheduled(&self) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed), DEAD);
        // Release: the cell's fields were written before; producers read them after a push.
        // A swap, since producers race it with compare-exchanges.
        self.0.swap(0, Ordering::AcqRel);
    }

    /// Opens a closed inbox idle: nobody owes it a run until something is pushed.
    #[cfg(any(test, loom))]
    pub fn open_idle(&self) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed), DEAD);
        self.0.swap(IDLE, Ordering::AcqRel);
    }

    /// Takes a place and puts one envelope in, in one step.
    #[inline]
    pub fn push(&self, link: NonNull<Link>, capacity: u32) -> Push {
        self.put(Chain::one(link), 1, 0, u64::from(capacity))
    }

    /// Puts one envelope in that takes no place: a reply, a timer's message, a `Down`.
    #[inline]
    pub fn push_uncounted(&self, link: NonNull<Link>) -> Push {
        self.put(Chain::one(link), 0, 0, u64::MAX)
    }

    /// Puts a chain in, for whose envelopes places were reserved: `used` of `leased` places are
    /// kept, the others come back.
    ///
    /// Never `Full`. When `Closed` the caller keeps the chain **and** the leased places, and
    /// gives them back with [`Inbox::release`].
    #[inline]
    pub fn publish(&self, chain: Chain, used: u32, leased: u32) -> Push {
        self.put(chain, u64::from(used), u64::from(leased), u64::MAX)
    }

    #[inline(always)]
    fn put(&self, chain: Chain, used: u64, leased: u64, capacity: u64) -> Push {
        let top = address(chain.newest);
        let mut word = self.0.first_look(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 || count(word) + used > capacity {
                // SAFETY: the chain is still the caller's, so it lives.
                let oldest = unsafe { chain.oldest.as_ref() };
                // SAFETY: as above. The caller gets back a chain that ends.
                unsafe { oldest.set_next(std::ptr::null_mut()) };
                return if word & CLOSED != 0 {
                    Push::Closed
                } else {
                    Push::Full
                };
            }
            // SAFETY: the chain is the caller's until the exchange succeeds, so it lives.
            let oldest = unsafe { chain.oldest.as_ref() };
            // SAFETY: as above.
            unsafe { oldest.set_next(pointer(word)) };
            let places = (count(word) + used - leased) << COUNT_SHIFT;
            let next = places | top | (word & (WAITERS | SIGNAL));
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if word & IDLE != 0 => return Push::Enqueue,
                Ok(_) => return Push::Queued,
                Err(now) => word = now,
            }
        }
    }

    /// Takes up to `wanted` places, at least `least`, or none. Returns how many.
    ///
    /// # Errors
    ///
    /// [`Push::Full`] when fewer than `least` are free, [`Push::Closed`].
    #[inline]
    pub fn reserve(&self, least: u32, wanted: u32, capacity: u32) -> Result<u32, Push> {
        let capacity = u64::from(capacity).min(COUNT_MAX);
        let mut word = self.0.first_look(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err(Push::Closed);
            }
            let free = capacity.saturating_sub(count(word));
            if free < u64::from(least) {
                return Err(Push::Full);
            }
            let got = free.min(u64::from(wanted));
            match self.0.compare_exchange_weak(
                word,
                word + got * ONE,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(got as u32),
                Err(now) => word = now,
            }
        }
    }

    /// Whether a place is free and the inbox open at this moment.
    #[inline(always)]
    pub fn has_room(&self, capacity: u32) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        word & CLOSED == 0 && count(word) < u64::from(capacity)
    }

    /// Whether the inbox is open and, for each place taken or asked for, two are free.
    #[inline(always)]
    pub fn has_ample_room(&self, places: u32, capacity: u32) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        let wanted = count(word) + u64::from(places);
        word & CLOSED == 0 && 3 * wanted <= u64::from(capacity.min(CAPACITY_MAX))
    }

    /// Gives `places` back.
    #[inline]
    pub fn release(&self, places: u32) -> Released {
        if places == 0 {
            return Released {
                wake_waiters: false,
                last: false,
            };
        }
        let before = self.0.fetch_sub(u64::from(places) * ONE, Ordering::AcqRel);
        debug_assert!(
            count(before) >= u64::from(places),
            "I4: a place given back twice"
        );
        Released {
            wake_waiters: before & (WAITERS | CLOSED) == WAITERS && self.clear_waiters(),
            last: before & DEAD == DEAD && count(before) == u64::from(places),
        }
    }

    fn clear_waiters(&self) -> bool {
        self.0.fetch_and(!WAITERS, Ordering::AcqRel) & WAITERS != 0
    }

    /// Takes note of what is new. The backlog is empty. A load, unless a signal is up.
    ///
    /// # Safety
    ///
    /// The caller is the run, and `backlog` is this inbox's.
    #[inline(always)]
    pub unsafe fn look(&self, backlog: &Backlog) -> Look {
        let mut word = self.0.load(Ordering::Acquire);
        debug_assert!(word & IDLE == 0, "I3: only a run looks");
        if word & SIGNAL != 0 {
            word = self.0.fetch_and(!SIGNAL, Ordering::Acquire);
        }
        let newest = pointer(word);
        let let_go = if newest == backlog.boundary() {
            None
        } else {
            let let_go = backlog.let_go();
            backlog.add(newest);
            let_go
        };
        Look {
            closed: word & CLOSED != 0,
            let_go,
        }
    }

    /// Takes note of what is new while the backlog is not empty: a load. It is turned around as
    /// the backlog is popped with [`Backlog::pop_reversing`].
    ///
    /// # Safety
    ///
    /// As for [`Inbox::look`], but for the backlog, of which nothing is in hand.
    #[inline(always)]
    pub unsafe fn look_ahead<'a>(&self, backlog: &'a Backlog) -> Reversal<'a> {
        debug_assert!(!backlog.is_empty());
        let newest = pointer(self.0.load(Ordering::Acquire));
        let last = backlog.boundary.get();
        if last.is_null() || last.addr() & HELD != 0 {
            return Reversal::none(); // the backlog's last envelope is not the boundary
        }
        backlog.boundary.set(newest);
        Reversal::new(newest, last)
    }

    /// Makes the word leave the boundary, whose envelope was popped last, so that it may be freed
    /// or sent on. What came meanwhile is in the backlog then.
    ///
    /// # Safety
    ///
    /// As for [`Inbox::look`]; the backlog is empty and its boundary not held.
    pub unsafe fn let_go(&self, backlog: &Backlog) {
        let boundary = backlog.boundary();
        let mut word = self.0.first_look(Ordering::Acquire);
        while pointer(word) == boundary {
            match self.0.compare_exchange_weak(
                word,
                word & !POINTER,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    backlog.boundary.set(std::ptr::null_mut());
                    return;
                }
                Err(now) => word = now,
            }
        }
        backlog.add(pointer(word));
    }

    /// Ends a run: gives `finished` places back and goes idle when nothing came meanwhile.
    ///
    /// With `waits` only a signal counts as something: an actor whose commit waits for room goes
    /// idle with messages in its inbox, and each further push runs it again. A signal is then
    /// cleared here, since such a run may not look. Otherwise the backlog is empty, and a closed
    /// inbox never goes idle: its run ends in [`Inbox::retire`].
    ///
    /// # Safety
    ///
    /// As for [`Inbox::look`]. After `idle` the caller touches neither inbox nor backlog.
    #[inline(always)]
    pub unsafe fn finish(&self, backlog: &Backlog, finished: u32, waits: bool) -> Finish {
        let boundary = backlog.boundary();
        let word = self.0.first_look(Ordering::Relaxed);
        // The usual end first: nothing came, no flag is up.
        if !waits && word & (ONE - 1) == boundary.addr() as u64 {
            let kept = backlog.boundary.get();
            // Final before another run may begin (I6); taken back if it does not.
            backlog.boundary.set(std::ptr::null_mut());
            let next = (word - boundary.addr() as u64 - u64::from(finished) * ONE) | IDLE;
            if self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                // I6: nothing of the cell from here on; the envelope is the caller's alone.
                let is_held = kept.addr() & HELD != 0;
                return Finish {
                    idle: true,
                    wake_waiters: false,
                    let_go: NonNull::new(boundary).filter(|_| is_held),
                };
            }
            backlog.boundary.set(kept);
        }
        // SAFETY: the caller's promise.
        unsafe { self.finish_any(backlog, finished, waits) }
    }

    /// # Safety
    ///
    /// As for [`Inbox::finish`].
    #[inline(never)]
    unsafe fn finish_any(&self, backlog: &Backlog, finished: u32, waits: bool) -> Finish {
        let kept = backlog.boundary.get();
        let boundary = backlog.boundary();
        if !waits {
            // Final before another run may begin (I6); taken back if it does not.
            backlog.boundary.set(std::ptr::null_mut());
        }
        let mut word = self.0.first_look(Ordering::Relaxed);
        loop {
            debug_assert!(
                count(word) >= u64::from(finished),
                "I4: a place given back twice"
            );
            let idle = if waits {
                word & SIGNAL == 0
            } else {
                pointer(word) == boundary && word & (SIGNAL | CLOSED) == 0
            };
            let mut next = word & (CLOSED | SIGNAL | POINTER | WAITERS);
            let wake_waiters = finished > 0 && word & WAITERS != 0;
            if wake_waiters {
                next &= !WAITERS;
            }
            if waits {
                next &= !SIGNAL;
            } else if idle {
                next &= !POINTER;
            }
            next |= (count(word) - u64::from(finished)) << COUNT_SHIFT;
            if idle {
                next |= IDLE;
            }
            let done = next == word
                || match self.0.compare_exchange_weak(
                    word,
                    next,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => true,
                    Err(now) => {
                        word = now;
                        false
                    }
                };
            if !done {
                continue;
            }
            let mut let_go = None;
            if !waits && idle {
                // I6: nothing of the cell from here on; the envelope is the caller's alone.
                if kept.addr() & HELD != 0 {
                    let_go = NonNull::new(boundary);
                }
            } else if !waits {
                backlog.boundary.set(kept);
            }
            return Finish {
                idle,
                wake_waiters,
                let_go,
            };
        }
    }

    /// Raises the signal, whatever the bound.
    pub fn signal(&self) -> Wake {
        self.raise(SIGNAL, false)
    }

    /// Refuses all later messages; those inside stay, and a run will see that it is closed.
    pub fn close(&self) -> Wake {
        self.raise(CLOSED, true)
    }

    /// As [`Inbox::close`], if `lives` says so of the actor that the caller means.
    ///
    /// It asks while it has a place, so that the cell is not another actor's by then; a full count
    /// keeps the cell as well. None if the inbox was closed, for whomever.
    #[inline]
    pub fn close_if(&self, lives: impl FnOnce() -> bool) -> Option<(Wake, Released)> {
        let mut word = self.0.first_look(Ordering::Relaxed);
        let places = loop {
            if word & CLOSED != 0 {
                return None;
            }
            if count(word) >= COUNT_MAX {
                break 0;
            }
            match self.0.compare_exchange_weak(
                word,
                word + ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break 1,
                Err(now) => word = now,
            }
        };
        let wake = if lives() { self.close() } else { Wake::Nothing };
        Some((wake, self.release(places)))
    }

    fn raise(&self, bit: u64, closing: bool) -> Wake {
        let mut word = self.0.first_look(Ordering::Relaxed);
        loop {
            if word & DEAD == DEAD || (closing && word & CLOSED != 0) {
                return Wake::Nothing;
            }
            let next = (word | bit) & !IDLE;
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if word & IDLE != 0 => return Wake::Enqueue,
                Ok(_) => return Wake::Nothing,
                Err(now) => word = now,
            }
        }
    }

    /// Notes that someone waits for `places`, in the step that sees them taken.
    ///
    /// Returns false when they are free by now, or the inbox is closed: the caller tries again.
    #[must_use]
    pub fn wait(&self, places: u32, capacity: u32) -> bool {
        let mut word = self.0.first_look(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 || count(word) + u64::from(places) <= u64::from(capacity) {
                return false;
            }
            match self.0.compare_exchange_weak(
                word,
                word | WAITERS,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Ends the life of a closed inbox whose backlog is empty: gives `finished` places back.
    ///
    /// Whether no place is out, so that the cell may be reused; otherwise the [`Inbox::release`]
    /// that brings the last one back says so. And an envelope that was held.
    ///
    /// # Safety
    ///
    /// As for [`Inbox::finish`]; a look has seen the inbox closed, and nothing came since.
    #[must_use]
    pub unsafe fn retire(&self, backlog: &Backlog, finished: u32) -> (bool, Option<NonNull<Link>>) {
        let let_go = backlog.let_go();
        backlog.boundary.set(std::ptr::null_mut());
        let mut word = self.0.first_look(Ordering::Relaxed);
        loop {
            debug_assert!(word & CLOSED != 0);
            let left = count(word) - u64::from(finished);
            let next = left << COUNT_SHIFT | DEAD;
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return (left == 0, let_go),
                Err(now) => word = now,
            }
        }
    }

    /// Places taken: queued, in hand and reserved. Exact when nothing runs.
    #[inline]
    pub fn places_taken(&self) -> u32 {
        count(self.0.load(Ordering::Acquire)) as u32
    }

    /// Whether nobody owes its actor a run; for a look at a system that stands still.
    #[cfg(not(loom))]
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) & IDLE != 0
    }

    /// Whether somebody waits for a place. Final once the inbox is closed: `wait` is refused then.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        self.0.load(Ordering::Acquire) & WAITERS != 0
    }

    /// Whether there is no actor.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.0.load(Ordering::Acquire) & DEAD == DEAD
    }

    /// Whether later messages are refused.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A link that is never freed, and that a leak checker sees in use.
    fn link() -> NonNull<Link> {
        #[repr(align(16))]
        struct Aligned(#[allow(dead_code)] Link);
        static LINKS: std::sync::Mutex<Vec<std::sync::atomic::AtomicPtr<Aligned>>> =
            std::sync::Mutex::new(Vec::new());
        let link = Box::into_raw(Box::new(Aligned(Link::new())));
        LINKS.lock().unwrap().push(link.into());
        NonNull::new(link).unwrap().cast()
    }

    /// Pops all, as a run would; how many.
    fn run(inbox: &Inbox, backlog: &Backlog) -> u32 {
        let mut popped = 0;
        loop {
            // SAFETY: one thread.
            while let Some(link) = unsafe { backlog.pop() } {
                popped += 1;
                if backlog.is_boundary(link) {
                    backlog.hold(link);
                }
            }
            // SAFETY: as above.
            let look = unsafe { inbox.look(backlog) };
            if backlog.is_empty() {
                assert!(look.let_go.is_none());
                return popped;
            }
        }
    }

    fn finish(inbox: &Inbox, backlog: &Backlog, finished: u32, waits: bool) -> Finish {
        // SAFETY: one thread.
        unsafe { inbox.finish(backlog, finished, waits) }
    }

    #[test]
    fn the_bound_is_exact_and_places_come_back_when_finished() {
        let (inbox, backlog) = (Inbox::closed(), Backlog::new());
        inbox.open_idle();
        assert_eq!(inbox.push(link(), 2), Push::Enqueue);
        assert_eq!(inbox.push(link(), 2), Push::Queued);
        assert_eq!(inbox.push(link(), 2), Push::Full);
        assert_eq!(run(&inbox, &backlog), 2);
        assert_eq!(inbox.push(link(), 2), Push::Full);
        let end = finish(&inbox, &backlog, 1, false);
        assert!(end.idle && end.let_go.is_some());
        assert_eq!(inbox.push(link(), 2), Push::Enqueue);
    }

    #[test]
    fn a_reservation_outlives_the_close_and_its_return_frees_the_cell() {
        let (inbox, backlog) = (Inbox::closed(), Backlog::new());
        inbox.open_scheduled();
        assert_eq!(inbox.reserve(1, 4, 10), Ok(4));
        assert_eq!(inbox.close(), Wake::Nothing);
        // SAFETY: one thread.
        assert!(unsafe { inbox.look(&backlog) }.closed);
        // SAFETY: as above.
        assert!(!unsafe { inbox.retire(&backlog, 0) }.0);
        assert_eq!(inbox.publish(Chain::one(link()), 1, 4), Push::Closed);
        assert!(!inbox.release(3).last);
        assert!(inbox.release(1).last);
    }

    #[test]
    fn a_waiter_is_seen_by_the_step_that_gives_a_place_back() {
        let (inbox, backlog) = (Inbox::closed(), Backlog::new());
        inbox.open_idle();
        assert_eq!(inbox.push(link(), 1), Push::Enqueue);
        assert!(inbox.wait(1, 1));
        assert_eq!(run(&inbox, &backlog), 1);
        assert!(finish(&inbox, &backlog, 1, false).wake_waiters);
        assert!(!inbox.wait(1, 1), "there is room now");
    }

    #[test]
    fn an_actor_that_waits_goes_idle_with_messages_and_each_push_runs_it() {
        let (inbox, backlog) = (Inbox::closed(), Backlog::new());
        inbox.open_scheduled();
        assert_eq!(inbox.push(link(), 8), Push::Queued);
        assert!(finish(&inbox, &backlog, 0, true).idle);
        assert_eq!(inbox.push(link(), 8), Push::Enqueue);
        assert!(!finish(&inbox, &backlog, 0, false).idle);
        assert_eq!(run(&inbox, &backlog), 2);
    }

    #[test]
    fn a_boundary_let_go_may_come_back() {
        let (inbox, backlog) = (Inbox::closed(), Backlog::new());
        inbox.open_scheduled();
        let first = link();
        assert_eq!(inbox.push(first, 8), Push::Queued);
        // SAFETY: one thread.
        let _ = unsafe { inbox.look(&backlog) };
        // SAFETY: one thread.
        assert_eq!(unsafe { backlog.pop() }, Some(first));
        assert!(backlog.is_boundary(first));
        // SAFETY: one thread.
        unsafe { inbox.let_go(&backlog) };
        assert_eq!(inbox.push(first, 8), Push::Queued);
        // SAFETY: one thread.
        let _ = unsafe { inbox.look(&backlog) };
        // SAFETY: one thread.
        assert_eq!(unsafe { backlog.pop() }, Some(first));
    }
}
