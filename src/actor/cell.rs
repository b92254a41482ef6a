//! The cell: an actor's place in memory, 128 bytes that never move, and the turn that runs it.
//!
//! ```text
//!   run ──▶ start hook? ──▶ look at inbox  ──▶ ┌ message ─▶ decide ─▶ commit ┐ ──▶ finish
//!    ▲        signals?        (one load)       └──────── up to a batch ──────┘   idle | again
//!    │                                              │ panic      │ no room
//!    └── whoever cleared IDLE                       ▼            ▼
//!                                                  die       wait, holding the plan
//! ```
//!
//! - C1: between the enqueue and `finish` (or `die`) one worker alone runs the cell. What only the
//!   runner may touch is reached through [`Running`], of which there is one a run.
//! - C2: the state is a `Body<B>` exactly while the cell's vtable is `B`'s new or started one, from
//!   `prepare`, a restart or a switch to the next switch or the drop in `park` or `die`; a parked
//!   actor has none. All behaviors of one actor have the same machine and message.
//! - C3: after `finish` said idle, or `retire` gave the cell up, the runner touches it no more.
//! - C4: a message is counted once: handled, failed or dead-lettered. The cell counts what came back
//!   (each message at its end) and, of these, what failed and what became a dead letter; the rest
//!   was handled.

use super::Origin;
use super::exit::Exit;
use super::extension::{Call, Extension};
use super::reference::Address;
use super::snapshot::Snapshot;
use super::{Behavior, Machine};
use crate::Plan;
use crate::ask::{self, AskError};
use crate::dead_letter::Cause;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, List, Parcel, push, push_in_ring};
use crate::plan::Outcome;
use crate::plan::commit::{Bound, Committed, Usual, commit, commit_usual, first_words};
use crate::plan::delivery::Delivery;
use crate::plan::output::{Evolve, chosen};
use crate::plan::switch::Switch;
use crate::quarantine::{Poison, Quarantined};
#[cfg(any(debug_assertions, feature = "testkit"))]
use crate::rehearsal;
use crate::supervise::keeper::{Change, Keeper};
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use crate::sync::inbox::{Backlog, Inbox, Link, Push, Reversal, Wake};
use crate::sync::ring::Ring;
use crate::sync::slots::Life;
use crate::system::policy;
use crate::system::watch::Heard;
#[cfg(feature = "testkit")]
use crate::testkit::hook;
use std::any::TypeId;
use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Flags of a cell's life.
pub(crate) mod life {
    /// Stop after the current turn.
    pub(crate) const STOP_NOW: u32 = 1;
    /// Stop after the current turn, without a stop hook.
    pub(crate) const KILL: u32 = 2;
    /// The time of a commit that waits for room is up.
    pub(crate) const COMMIT_DUE: u32 = 4;
    /// Somebody watches it, is linked to it, or it has a name.
    pub(crate) const WATCHED: u32 = 8;
    /// It has ended: nobody may begin to watch it.
    pub(crate) const ENDED: u32 = 16;
    /// The system shuts down.
    pub(crate) const SHUTDOWN: u32 = 32;
    /// A circle of waiting commits was found; this one goes above the bound.
    pub(crate) const OVERDRAFT: u32 = 64;
    /// A linked actor ended; the watch list says which.
    pub(crate) const LINKED: u32 = 128;
    /// A parked actor starts anew.
    pub(crate) const RESTART: u32 = 256;
    /// Its next end is the last, also if it has a supervisor.
    pub(crate) const FINAL: u32 = 512;
    /// Its messages come in stamped envelopes.
    pub(crate) const STAMPED: u32 = 1024;
    /// It has a receive time-out.
    pub(crate) const SILENCE: u32 = 2048;
    /// Ends it before its next message.
    pub(crate) const END: u32 = STOP_NOW | KILL | LINKED;
}

const STATE_WORDS: usize = 5;

/// See the module's text.
#[repr(C, align(128))]
pub(crate) struct ActorCell {
    pub(crate) inbox: Inbox,
    pub(crate) life: Life,
    vtable: Cell<&'static Vtable>,
    number: AtomicU32,
    pub(crate) type_number: AtomicU16,
    pub(crate) dispatcher: AtomicU16,
    capacity: AtomicU16,
    overflow: AtomicU8,
    pub(crate) when_full: Cell<u8>,
    /// The capacity, or 0 where the overflow policy has a say in each send.
    plain_capacity: AtomicU32,
    backlog: Backlog,
    extension: Cell<*mut Extension>,
    returned: AtomicU64,
    failed: AtomicU32,
    dead: AtomicU32,
    state: Cell<[MaybeUninit<u64>; STATE_WORDS]>,
    /// Where the messages wait if the newest takes the place of the oldest; made for the first
    /// such actor, and kept for later ones.
    ring: AtomicPtr<Ring<Parcel>>,
}

const _: () = assert!(size_of::<ActorCell>() == 128);

// SAFETY: the atomics are for all; the `Cell`s are touched only through `Running` (C1), or by the
// one who prepares a cell that is not open yet; the states and parcels inside are `Send`.
unsafe impl Sync for ActorCell {}
// SAFETY: as above.
unsafe impl Send for ActorCell {}

impl Default for ActorCell {
    fn default() -> Self {
        Self {
            inbox: Inbox::closed(),
            life: Life::default(),
            vtable: Cell::new(&NO_ACTOR),
            number: AtomicU32::new(0),
            type_number: AtomicU16::new(0),
            dispatcher: AtomicU16::new(0),
            capacity: AtomicU16::new(0),
            overflow: AtomicU8::new(0),
            when_full: Cell::new(0),
            plain_capacity: AtomicU32::new(0),
            backlog: Backlog::new(),
            extension: Cell::new(std::ptr::null_mut()),
            returned: AtomicU64::new(0),
            failed: AtomicU32::new(0),
            dead: AtomicU32::new(0),
            state: Cell::new([MaybeUninit::uninit(); STATE_WORDS]),
            ring: AtomicPtr::default(),
        }
    }
}

impl Drop for ActorCell {
    fn drop(&mut self) {
        let extension = self.extension.get();
        if !extension.is_null() {
            // SAFETY: made by `Running::extension` from a box; nobody runs the cell now.
            drop(unsafe { Box::from_raw(extension) });
        }
        let ring = *self.ring.get_mut();
        if !ring.is_null() {
            // SAFETY: made by `set_limits` from a box; nobody has the cell now.
            drop(unsafe { Box::from_raw(ring) });
        }
    }
}

/// The code made for one behavior.
pub(crate) struct Vtable {
    run: fn(&ActorCell, &Worker) -> After,
    drop_state: unsafe fn(&ActorCell),
    started: bool,
    name: fn() -> &'static str,
}

impl Vtable {
    /// That of an actor that waits for its supervisor.
    pub(crate) fn parked<B: Behavior>() -> &'static Self {
        VtableOf::<B>::PARKED
    }
}

static NO_ACTOR: Vtable = Vtable {
    run: |_, _| After::Done,
    drop_state: |_| {},
    started: true,
    name: || "",
};

struct VtableOf<B>(std::marker::PhantomData<B>);

impl<B: Behavior> VtableOf<B> {
    const NEW: &'static Vtable = &Vtable {
        run: run::<B>,
        drop_state: drop_state::<B>,
        started: false,
        name: std::any::type_name::<B>,
    };
    const STARTED: &'static Vtable = &Vtable {
        run: run::<B>,
        drop_state: drop_state::<B>,
        started: true,
        name: std::any::type_name::<B>,
    };
    const PARKED: &'static Vtable = &Vtable {
        run: parked::<B>,
        drop_state: |_| {},
        started: false,
        name: std::any::type_name::<B>,
    };
}

/// A behavior with its machine.
#[repr(C)] // the machine comes first, whatever the behavior
pub(crate) struct Body<B: Behavior> {
    pub(crate) machine: B::Machine,
    pub(crate) behavior: B,
}

/// A behavior to come, for an actor whose machine is an `M`.
pub(crate) struct Next<M> {
    put: Box<Put<M>>,
    name: &'static str,
}

/// Makes a cell's state of a machine.
type Put<M> = dyn FnOnce(&ActorCell, M) + Send;

impl<M: 'static> Next<M> {
    pub(crate) fn new<B: Behavior<Machine = M>>(behavior: B) -> Self {
        let put = move |cell: &ActorCell, machine| {
            cell.put_body(Body { machine, behavior });
            cell.vtable.set(VtableOf::<B>::STARTED);
        };
        Self {
            put: Box::new(put),
            name: std::any::type_name::<B>(),
        }
    }
}

impl<M> Next<M> {
    /// The behavior's type.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// Behaviors that an actor keeps to go back to, at most.
const KEPT_MAX: usize = 16;

const fn in_place<B: Behavior>() -> bool {
    size_of::<Body<B>>() <= STATE_WORDS * 8 && align_of::<Body<B>>() <= 8
}

/// What the worker does with the cell after a run.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// Nothing: it is idle or gone, and must not be touched.
    Done,
    /// Puts it at the end of its run queue.
    Again,
}

/// The limits and policies of one mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) capacity: u16,
    pub(crate) overflow: u8,
    pub(crate) when_full: u8,
}

/// How one actor's messages fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Messages that were let into the mailbox, counted where they enter.
    pub accepted: u64,
    /// Messages whose turn was committed.
    pub handled: u64,
    /// Messages whose turn failed.
    pub failed: u64,
    /// Messages that became dead letters after they were accepted.
    pub dead_lettered: u64,
    /// Messages in the mailbox, the one in hand included.
    pub queued: u64,
}

impl ActorCell {
    /// Makes a free cell an actor, not yet open. The caller owns the cell's number.
    pub(crate) fn prepare<B: Behavior>(&self, number: u32, body: Body<B>, limits: Limits) {
        self.prepare_empty(number, limits);
        self.put_body(body);
    }

    /// Makes a free cell a parked actor, not yet open: its first run begins like a restart.
    pub(crate) fn prepare_parked<B: Behavior>(&self, number: u32, limits: Limits, keeper: Keeper) {
        self.prepare_empty(number, limits);
        self.vtable.set(VtableOf::<B>::PARKED);
        let extension = Extension::default();
        let _ = extension.keeper.set(Box::new(keeper));
        self.extension.set(Box::into_raw(Box::new(extension)));
    }

    /// Gives a cell without a state one. The caller runs it, or owns its number.
    #[inline(always)]
    fn put_body<B: Behavior>(&self, body: Body<B>) {
        self.vtable.set(VtableOf::<B>::NEW);
        if in_place::<B>() {
            // SAFETY: it fits; the caller has the cell to itself, whose state is nobody's.
            unsafe { self.state.as_ptr().cast::<Body<B>>().write(body) };
        } else {
            let pointer = Box::into_raw(Box::new(body));
            // SAFETY: as above, for a pointer.
            unsafe { self.state.as_ptr().cast::<*mut Body<B>>().write(pointer) };
        }
    }

    #[inline(always)]
    fn prepare_empty(&self, number: u32, limits: Limits) {
        self.number.store(number, Relaxed);
        self.set_limits(limits);
        self.returned.store(0, Relaxed);
        self.failed.store(0, Relaxed);
        self.dead.store(0, Relaxed);
    }

    /// Lets the actor's runs look for stamps. The caller made it, and it is not open.
    #[cold]
    pub(crate) fn expect_stamps(&self) {
        let set = self.life.set(self.life.generation(), life::STAMPED, 0);
        debug_assert!(set.is_some());
    }

    /// The limits of an actor that has not started. The caller made it.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            capacity: self.capacity.load(Relaxed),
            overflow: self.overflow(),
            when_full: self.when_full.get(),
        }
    }

    /// How long the asks of an actor wait that do not say. The caller made it, and it has not
    /// started.
    pub(crate) fn set_ask_timeout(&self, timeout_ns: u64) {
        Running::new(self)
            .extension()
            .ask_timeout_ns
            .set(timeout_ns.max(1));
    }

    /// Sets the limits of an actor that has not started. The caller made it.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let is_plain = limits.overflow <= policy::WAIT;
        let plain_capacity = u32::from(limits.capacity) * u32::from(is_plain);
        self.plain_capacity.store(plain_capacity, Relaxed);
        self.capacity.store(limits.capacity, Relaxed);
        self.overflow.store(limits.overflow, Relaxed);
        self.when_full.set(limits.when_full);
        if limits.overflow == policy::DROP_OLDEST && self.ring().is_none() {
            let ring = Box::into_raw(Box::default());
            // Release: with the pointer goes what is in the box.
            self.ring.store(ring, Release);
        }
    }

    /// The ring of a mailbox whose newest message takes the place of the oldest.
    #[inline(always)]
    fn ring(&self) -> Option<&Ring<Parcel>> {
        // SAFETY: made from a box, and dropped with the cell only. Acquire: what is in the box.
        unsafe { self.ring.load(Acquire).as_ref() }
    }

    /// Puts a message into the mailbox. The second is what it displaced: the caller's to bury.
    ///
    /// # Errors
    ///
    /// Why not, and the message.
    #[inline(always)]
    pub(crate) fn put(&self, parcel: Parcel) -> Result<(Wake, Option<Parcel>), (Push, Parcel)> {
        if self.overflow() == policy::DROP_OLDEST
            && let Some(ring) = self.ring()
        {
            let lives = |generation| self.life.generation() == generation;
            return push_in_ring(&self.inbox, ring, parcel, self.capacity(), lives);
        }
        push(&self.inbox, parcel, self.capacity()).map(|wake| (wake, None))
    }

    #[inline(always)]
    fn body<B: Behavior>(&self) -> *mut Body<B> {
        if in_place::<B>() {
            self.state.as_ptr().cast()
        } else {
            // SAFETY: C2: the state is a box's pointer.
            unsafe { self.state.as_ptr().cast::<*mut Body<B>>().read() }
        }
    }

    /// How many places the mailbox has.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> u32 {
        u32::from(self.capacity.load(Relaxed))
    }

    /// The capacity, or 0 where the overflow policy has a say in each send.
    #[inline(always)]
    pub(crate) fn plain_capacity(&self) -> u32 {
        self.plain_capacity.load(Relaxed)
    }

    /// The overflow policy, as in [`crate::config::Overflow`].
    #[inline(always)]
    pub(crate) fn overflow(&self) -> u8 {
        self.overflow.load(Relaxed)
    }

    /// Runs the actor; C1 is the caller's: it took the number from a run queue.
    #[inline(always)]
    pub(crate) fn run(&self, worker: &Worker) -> After {
        (self.vtable.get().run)(self, worker)
    }

    /// How its messages fared so far; exact when it does not run.
    pub(crate) fn counts(&self) -> Counts {
        let failed = u64::from(self.failed.load(Relaxed));
        let dead_lettered = u64::from(self.dead.load(Relaxed));
        let returned = self.returned.load(Relaxed);
        // While it runs, the first two may be ahead.
        let handled = returned.saturating_sub(failed + dead_lettered);
        let queued = u64::from(self.inbox.places_taken());
        // What a newer message displaced was let in, and never came back by a run.
        let displaced = self.ring().map_or(0, Ring::displaced);
        Counts {
            accepted: returned + queued + displaced,
            handled,
            failed,
            dead_lettered: dead_lettered + displaced,
            queued,
        }
    }
}

/// A closure that reads an actor's machine, in a turn of its own; it is dropped by an actor whose
/// behavior is not `B`.
pub(crate) fn reading<B: Behavior>(read: impl FnOnce(&B::Machine) + Send + 'static) -> Call {
    Call(Box::new(move |run, worker, body| {
        if run.is_of::<B>(worker) {
            // SAFETY: C1, C2: the running actor's body. It was made with a `B`; what it became has
            // the same machine, and that comes first.
            let machine = unsafe { &*body.cast::<B::Machine>() };
            ask::losing(AskError::Panicked, || {
                quietly(|| {
                    let _loan = worker.lend();
                    read(machine);
                });
            });
        }
    }))
}

/// A closure that hears the type of an actor's current behavior.
pub(crate) fn naming(hear: impl FnOnce(&'static str) + Send + 'static) -> Call {
    Call(Box::new(move |run, _, _| {
        hear((run.cell.vtable.get().name)())
    }))
}

/// A machine lent to a step of a plan, while the step is called.
pub(crate) struct Lent<M>(*const M);

impl<M: 'static> Lent<M> {
    /// Calls a step that was made with a closure over `Lent<M>`.
    pub(crate) fn call<R: 'static>(step: Parcel, machine: &M) -> R {
        step.call::<Self, R>(Self(machine))
    }

    /// Looks at the machine.
    pub(crate) fn with<R>(self, look: impl FnOnce(&M) -> R) -> R {
        // SAFETY: made by `call` only, which borrows the machine until the step returns; the step
        // has it by value and can't keep it: its result is free of `M`'s borrow.
        look(unsafe { &*self.0 })
    }
}

/// A value lent to an assignment, while it is applied.
pub(crate) struct LentMut<T>(*mut T);

impl<T: 'static> LentMut<T> {
    /// Calls a change that was made with a closure over `LentMut<T>`.
    #[inline]
    pub(crate) fn call(change: Parcel, value: &mut T) {
        change.call::<Self, ()>(Self(value));
    }

    /// Changes the value.
    #[inline]
    pub(crate) fn with(self, change: impl FnOnce(&mut T)) {
        // SAFETY: made by `call` only, which borrows the value until the change returns; the change
        // has it by value and can't keep it: it is `'static`, and the borrow is not.
        change(unsafe { &mut *self.0 });
    }
}

unsafe fn drop_state<B: Behavior>(cell: &ActorCell) {
    let body = cell.body::<B>();
    if in_place::<B>() {
        // SAFETY: C2, and the caller gives the state up.
        unsafe { body.drop_in_place() };
    } else {
        // SAFETY: as above; it came from a box.
        drop(unsafe { Box::from_raw(body) });
    }
}

fn add(counter: &AtomicU64, count: u64) {
    // One writer at a time (C1), so a load and a store will do.
    counter.store(counter.load(Relaxed) + count, Relaxed);
}

/// The right to touch what only the runner may touch (C1), and the tally of this run.
pub(crate) struct Running<'a> {
    cell: &'a ActorCell,
    /// Messages that are done with.
    finished: Cell<u32>,
    /// Of these, those that were let in without a place: answers, timers, `Down`s.
    uncounted: Cell<u32>,
    /// Whether one of the counts below is not 0.
    is_odd: Cell<bool>,
    failed: Cell<u32>,
    dead: Cell<u32>,
}

/// How a batch ended, short of a panic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Out of messages, or out of budget.
    Batch,
    /// A commit waits for room.
    Waits,
    /// The actor gets another behavior.
    Becomes,
    /// The actor ends; the worker has its exit.
    Dies,
}

impl<'a> Running<'a> {
    #[inline(always)]
    fn new(cell: &'a ActorCell) -> Self {
        Self {
            cell,
            finished: Cell::new(0),
            is_odd: Cell::new(false),
            failed: Cell::new(0),
            dead: Cell::new(0),
            uncounted: Cell::new(0),
        }
    }

    /// The cell.
    #[inline(always)]
    pub(crate) fn cell(&self) -> &'a ActorCell {
        self.cell
    }

    /// The cell's number.
    #[inline(always)]
    pub(crate) fn number(&self) -> u32 {
        self.cell.number.load(Relaxed)
    }

    /// Whether the actor's behavior is `B`.
    pub(crate) fn is_of<B: Behavior>(&self, worker: &Worker) -> bool {
        let number = worker.type_number(TypeId::of::<B>(), std::any::type_name::<B>());
        self.cell.type_number.load(Relaxed) == number
    }

    /// The actor's address.
    pub(crate) fn address(&self, worker: &Worker) -> Address {
        Address {
            cell: self.number(),
            generation: NonZeroU32::new(self.cell.life.generation())
                .expect("a live cell's generation is not 0"),
            system: worker.system(),
        }
    }

    /// The type of the actor's behavior.
    #[cfg(any(debug_assertions, feature = "testkit"))]
    pub(crate) fn behavior_name(&self) -> &'static str {
        (self.cell.vtable.get().name)()
    }

    /// Whether messages wait behind the one in hand.
    #[inline(always)]
    pub(crate) fn has_more(&self) -> bool {
        !self.cell.backlog.is_empty()
    }

    /// Puts a message that was popped, or never was in the inbox, before the others.
    fn put_back(&self, parcel: Parcel) {
        // SAFETY: C1.
        unsafe { self.cell.backlog.put_back(parcel.into_link()) };
    }

    #[inline(always)]
    fn pop(&self) -> Option<Parcel> {
        // SAFETY: C1.
        let link = unsafe { self.cell.backlog.pop() }?;
        // SAFETY: inboxes hold parcels, and it is off the backlog.
        Some(unsafe { Parcel::from_link(link) })
    }

    /// As [`Running::pop`], while what is new is turned around.
    #[inline(always)]
    fn pop_reversing(&self, news: &Reversal<'_>) -> Option<Parcel> {
        // SAFETY: C1; a batch has one reversal.
        let link = unsafe { self.cell.backlog.pop_reversing(news) }?;
        // SAFETY: as above.
        Some(unsafe { Parcel::from_link(link) })
    }

    /// The message inside; the envelope is freed, or held if the inbox may still point to it.
    ///
    /// # Safety
    ///
    /// The payload is an `M`.
    #[inline(always)]
    unsafe fn open<M: 'static>(&self, worker: &Worker, parcel: Parcel) -> M {
        if !self.cell.backlog.is_boundary(parcel.link()) {
            // SAFETY: the caller's promise.
            return unsafe { parcel.open::<M>(worker.pool()) };
        }
        // SAFETY: as above.
        let message = unsafe { parcel.take::<M>() };
        self.cell.backlog.hold(parcel.into_link());
        message
    }

    /// Makes sure that a popped envelope may be freed or sent.
    fn detach(&self, parcel: &Parcel) {
        if self.cell.backlog.is_boundary(parcel.link()) {
            // SAFETY: C1; the boundary was popped last, so the backlog is empty.
            unsafe { self.cell.inbox.let_go(&self.cell.backlog) };
        }
    }

    /// What few actors need: open asks, timers, a waiting plan. One allocation the first time.
    #[inline(always)]
    pub(crate) fn extension(&self) -> &Extension {
        let pointer = self.cell.extension.get();
        if pointer.is_null() {
            return self.make_extension();
        }
        // SAFETY: C1; made from a box and dropped with the cell.
        unsafe { &*pointer }
    }

    #[cold]
    fn make_extension(&self) -> &Extension {
        let pointer = Box::into_raw(Box::<Extension>::default());
        self.cell.extension.set(pointer);
        // SAFETY: just made.
        unsafe { &*pointer }
    }

    /// The extension, if there is one.
    #[inline(always)]
    pub(crate) fn existing(&self) -> Option<&Extension> {
        // SAFETY: C1; as above.
        unsafe { self.cell.extension.get().as_ref() }
    }

    /// The supervisor's hold on the actor, if it has one.
    fn keeper(&self) -> Option<&Keeper> {
        self.existing()?.keeper.get().map(|keeper| &**keeper)
    }

    /// Whether an end now is that of an incarnation only.
    fn restarts(&self) -> bool {
        self.keeper().is_some()
            && !self.cell.inbox.is_closed()
            && self.cell.life.flags() & (life::FINAL | life::SHUTDOWN) == 0
    }

    /// How many messages are put aside.
    pub(crate) fn stashed(&self) -> u32 {
        self.existing()
            .map_or(0, |extension| extension.stash.borrow().1)
    }

    /// Whether no more behaviors can be kept.
    pub(crate) fn keeps_most(&self) -> bool {
        self.existing()
            .is_some_and(|extension| extension.kept.borrow().len() >= KEPT_MAX)
    }

    /// Puts a message aside.
    pub(crate) fn stash(&self, worker: &Worker, step: Parcel) {
        let ask_by_ns = match worker.kind_in_hand() {
            Some(Kind::Ask | Kind::Stash) => worker.ask_by_ns.get(),
            _ => 0,
        };
        step.set_note([ask_by_ns, 0]);
        step.set_cell(self.number());
        step.set_generation(self.cell.life.generation());
        let step = match worker.clock.origin.get() {
            Some(origin) => step.stamped(origin),
            None => step,
        };
        let (list, count) = &mut *self.extension().stash.borrow_mut();
        list.push_back(step);
        *count += 1;
    }

    /// Puts all that was put aside before the rest of the mailbox.
    pub(crate) fn unstash(&self) {
        let Some(extension) = self.existing() else {
            return;
        };
        let mut stashed = std::mem::take(&mut *extension.stash.borrow_mut()).0;
        let mut backwards = List::new();
        while let Some(message) = stashed.pop_front() {
            backwards.push_front(message);
        }
        while let Some(message) = backwards.pop_front() {
            self.put_back(message);
        }
    }

    /// Takes note of what is new; returns whether the inbox is closed and empty.
    #[inline(always)]
    fn refill(&self, worker: &Worker) -> bool {
        debug_assert!(!self.has_more());
        // SAFETY: C1.
        let look = unsafe { self.cell.inbox.look(&self.cell.backlog) };
        free_held(worker, look.let_go);
        look.closed && !self.has_more()
    }

    /// Takes note of what is new behind messages that were not handled yet.
    #[inline(always)]
    fn look_ahead(&self) -> Reversal<'a> {
        // SAFETY: C1; no message is in hand.
        unsafe { self.cell.inbox.look_ahead(&self.cell.backlog) }
    }

    /// The message that a popped token stands for.
    #[cold]
    fn redeem(&self, token: Parcel) -> Option<Parcel> {
        self.detach(&token);
        drop(token);
        let message = self.cell.ring().and_then(Ring::take);
        debug_assert!(message.is_some(), "D1: a token without a message");
        message
    }

    /// Writes the run's tally into the cell and the worker's counters, once a run. Returns the
    /// places that come back now.
    #[inline(always)]
    fn tally(&self, worker: &Worker) -> u32 {
        let finished = self.finished.get();
        let mut handled = finished;
        if self.is_odd.get() {
            handled -= self.odd_tally();
        }
        add(&self.cell.returned, u64::from(finished));
        worker.stats.messages.add(u64::from(handled));
        finished - self.uncounted.get()
    }

    /// Tallies what was not handled; returns how many those are.
    #[cold]
    fn odd_tally(&self) -> u32 {
        let (failed, dead) = (self.failed.get(), self.dead.get());
        let failed_before = self.cell.failed.load(Relaxed);
        self.cell.failed.store(failed_before + failed, Relaxed);
        self.cell.dead.fetch_add(dead, Relaxed);
        failed + dead
    }

    /// One message more is done with, one way or the other.
    #[inline(always)]
    fn finished(&self, kind: Kind) {
        self.finished.set(self.finished.get() + 1);
        if !matches!(kind, Kind::Tell | Kind::Ask) {
            self.uncounted.set(self.uncounted.get() + 1);
        }
    }

    /// The turn of a message of this actor failed.
    fn fails(&self, kind: Kind) {
        self.is_odd.set(true);
        self.failed.set(self.failed.get() + 1);
        self.finished(kind);
    }

    /// A message of this actor becomes a dead letter.
    fn dead_letter(&self, worker: &Worker, kind: Kind, message: &'static str, cause: Cause) {
        self.is_odd.set(true);
        self.dead.set(self.dead.get() + 1);
        self.finished(kind);
        worker.dead_letter(self.address(worker), message, cause);
    }

    /// Ends the run short of a death.
    #[inline(always)]
    fn finish(&self, worker: &Worker, waits: bool) -> After {
        let number = self.number();
        let finished = self.tally(worker);
        if !waits && self.has_more() {
            if self.cell.inbox.release(finished).wake_waiters {
                worker.wake_waiters(number);
            }
            return After::Again;
        }
        // SAFETY: C1.
        let finish = unsafe { self.cell.inbox.finish(&self.cell.backlog, finished, waits) };
        // C3: from here on only the number.
        free_held(worker, finish.let_go);
        if finish.wake_waiters {
            worker.wake_waiters(number);
        }
        #[cfg(all(feature = "testkit", mainspring_planted))]
        if crate::testkit::planted::has(crate::testkit::Planted::LostWake) {
            return After::Done;
        }
        if finish.idle {
            After::Done
        } else {
            After::Again
        }
    }
}

/// Frees an emptied envelope that was held until its inbox left it.
#[inline(always)]
fn free_held(worker: &Worker, link: Option<NonNull<Link>>) {
    if let Some(link) = link {
        // SAFETY: `Running::open` held a parcel, and the inbox gave it back.
        unsafe { Parcel::from_link(link) }.free_emptied_to(worker.pool());
    }
}

/// Runs one batch of an actor.
fn run<B: Behavior>(cell: &ActorCell, worker: &Worker) -> After {
    let run = &Running::new(cell);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: C1, C2.
        let body = unsafe { &mut *cell.body::<B>() };
        batch::<B>(run, body, worker)
    }));
    worker.flush();
    match outcome {
        Ok(End::Batch) => run.finish(worker, false),
        Ok(End::Waits) => waits(run, worker),
        Ok(End::Becomes) => becomes::<B>(run, worker),
        Ok(End::Dies) => die::<B>(run, worker, worker.take_exit()),
        Err(payload) => panicked::<B>(run, worker, payload),
    }
}

#[cold]
#[inline(never)]
fn waits(run: &Running<'_>, worker: &Worker) -> After {
    run.finish(worker, true)
}

/// Gives the actor the behavior that its last plan names.
#[cold]
#[inline(never)]
fn becomes<B: Behavior>(run: &Running<'_>, worker: &Worker) -> After {
    let extension = run.extension();
    let switch = extension.becoming.take();
    let switch = switch.and_then(|step| step.try_open::<Switch<B::Machine>>().ok());
    let mut kept = extension.kept.borrow_mut();
    let next = match switch {
        Some(Switch::Replace(next)) => Some(next),
        Some(Switch::Over(next)) => {
            // SAFETY: C1, C2; no turn has the body now.
            let behavior = unsafe { (*run.cell.body::<B>()).behavior };
            kept.push(Parcel::new(Kind::Become, Next::new(behavior)));
            Some(next)
        }
        Some(Switch::Back) => kept.pop().and_then(|next| next.try_open().ok()),
        None => None,
    };
    drop(kept);
    if let Some(next) = next {
        let body = run.cell.body::<B>();
        let body = if in_place::<B>() {
            // SAFETY: C2; the next state is put in its place at once.
            unsafe { body.read() }
        } else {
            // SAFETY: as above; it came from a box.
            *unsafe { Box::from_raw(body) }
        };
        (next.put)(run.cell, body.machine);
    }
    run.finish(worker, false)
}

#[cold]
#[inline(never)]
fn panicked<B: Behavior>(
    run: &Running<'_>,
    worker: &Worker,
    payload: Box<dyn std::any::Any + Send>,
) -> After {
    let text = panic_text(payload);
    worker.count_panic();
    quietly(|| worker.drop_collected());
    if let Some(kind) = worker.in_hand() {
        let message = std::any::type_name::<B::Message>();
        run.fails(kind);
        match run.existing().and_then(|it| it.in_hand.take()) {
            Some(copy) => poisoned::<B>(run, worker, copy, &text),
            None => worker.dead_letter(run.address(worker), message, Cause::Panicked),
        }
    }
    die::<B>(run, worker, Exit::Panicked(text))
}

/// Handles messages until there are none, or the budget is spent.
///
/// The flags that end an actor are looked at before its start, before each message, and when a look
/// found no message: its signal may have gone with that look. One that comes later stays in the
/// inbox's word, which makes another run.
#[inline(always)]
fn batch<B: Behavior>(run: &Running<'_>, body: &mut Body<B>, worker: &Worker) -> End {
    worker.enter(run);
    #[cfg(feature = "testkit")]
    hook::runs::<B>(&body.machine);
    if !run.cell.vtable.get().started {
        if let Some(end) = start::<B>(run, body, worker) {
            return end;
        }
    } else if let Some(extension) = run.existing()
        && extension.has_waiting()
        && let Some(end) = resume::<B>(run, body, worker, extension)
    {
        return end;
    }
    let news = if run.has_more() {
        run.look_ahead()
    } else if run.refill(worker) {
        return closed(run, worker);
    } else {
        Reversal::none()
    };
    let Some(mut parcel) = run.pop_reversing(&news) else {
        return nothing_to_do(run, worker);
    };
    let mut left = worker.throughput();
    loop {
        let (generation, flags) = run.cell.life.relaxed();
        if flags & (life::END | life::STAMPED | life::SILENCE) != 0 {
            if flags & life::END != 0 {
                run.put_back(parcel);
                return ended_by_signal(run, worker);
            }
            if flags & life::SILENCE != 0 {
                worker.hears(run, &parcel);
            }
            if flags & life::STAMPED != 0 {
                parcel = unstamp(run, worker, parcel);
            }
        }
        let current = match parcel.generation() == generation {
            true => Some(parcel),
            false => redeem_or_bury(run, worker, parcel),
        };
        if let Some(parcel) = current
            && let Some(end) = message::<B>(run, body, worker, parcel)
        {
            return end;
        }
        left -= 1;
        if left == 0 || !run.has_more() || !worker.may_go_on(left) {
            return End::Batch;
        }
        let Some(next) = run.pop_reversing(&news) else {
            return End::Batch;
        };
        parcel = next;
    }
}

/// Takes the stamp off a message; what it says of where the message came from is the turn's.
#[cold]
#[inline(never)]
fn unstamp(run: &Running<'_>, worker: &Worker, parcel: Parcel) -> Parcel {
    run.detach(&parcel);
    worker.unstamp(parcel)
}

/// The inbox is closed and empty.
#[cold]
fn closed(run: &Running<'_>, worker: &Worker) -> End {
    let exit = signals(run, worker);
    worker.dies(exit.unwrap_or_else(|| shutdown_or(run, Exit::Normal)))
}

/// A look found no message.
#[cold]
fn nothing_to_do(run: &Running<'_>, worker: &Worker) -> End {
    signals(run, worker).map_or(End::Batch, |exit| worker.dies(exit))
}

#[cold]
fn ended_by_signal(run: &Running<'_>, worker: &Worker) -> End {
    worker.dies(signals(run, worker).unwrap_or(Exit::Normal))
}

/// The end that a raised signal asks for.
#[cold]
fn signals(run: &Running<'_>, worker: &Worker) -> Option<Exit> {
    let flags = run.cell.life.flags();
    if flags & life::KILL != 0 {
        return Some(Exit::Killed);
    }
    if flags & life::LINKED != 0 {
        return Some(worker.linked_exit(run.address(worker)));
    }
    if flags & life::STOP_NOW != 0 {
        return Some(shutdown_or(run, Exit::StoppedNow));
    }
    None
}

fn shutdown_or(run: &Running<'_>, exit: Exit) -> Exit {
    if run.cell.life.flags() & life::SHUTDOWN != 0 {
        Exit::Shutdown
    } else {
        exit
    }
}

#[cold]
fn start<B: Behavior>(run: &Running<'_>, body: &mut Body<B>, worker: &Worker) -> Option<End> {
    if let Some(exit) = signals(run, worker) {
        return Some(worker.dies(exit));
    }
    run.cell.vtable.set(VtableOf::<B>::STARTED);
    worker.clock.origin.set(None);
    if let Err(cause) = first_words::<B>(run, body, worker) {
        worker.dead_letter(
            run.address(worker),
            std::any::type_name::<B::Message>(),
            cause.clone(),
        );
        return Some(worker.dies(Exit::NotStarted(cause)));
    }
    let turn = worker.turn(0);
    let loan = worker.lend();
    let mut plan = body.behavior.on_start(Snapshot::new(&body.machine, &turn));
    drop(loan);
    let end = settle::<B>(run, body, worker, &mut plan, None);
    if matches!(end, None | Some(End::Becomes)) {
        has_started(run, worker);
    }
    end
}

/// Tells the supervisor, if there is one.
fn has_started(run: &Running<'_>, worker: &Worker) {
    if let Some(keeper) = run.keeper() {
        keeper.tell(run, worker, Change::Started);
    }
}

/// Handles one message of this life; an end only if the batch is over.
#[inline(always)]
fn message<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    parcel: Parcel,
) -> Option<End> {
    match parcel.kind() {
        Kind::Tell => {
            #[cfg(feature = "testkit")]
            hook::arrives(parcel.cell());
            // SAFETY: whoever makes an `ActorRef<M>` vouches that the actor of that generation
            // takes `M`, and the caller has just compared the generation.
            let message = unsafe { run.open::<B::Message>(worker, parcel) };
            handle::<B>(run, body, worker, Kind::Tell, message)
        }
        Kind::Ask => question::<B>(run, body, worker, parcel),
        _ => special::<B>(run, body, worker, parcel),
    }
}

/// Handles a question, unless its asker's time is up.
#[inline(always)]
fn question<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    parcel: Parcel,
) -> Option<End> {
    let ask_by_ns = parcel.deadline_ns();
    if ask_by_ns <= worker.looked_ns() {
        return expired(run, worker, parcel);
    }
    worker.ask_by_ns.set(ask_by_ns);
    #[cfg(feature = "testkit")]
    hook::arrives(parcel.cell());
    // SAFETY: as for what is told.
    let message = unsafe { run.open::<B::Message>(worker, parcel) };
    handle_by::<B>(run, body, worker, Kind::Ask, ask_by_ns, message)
}

/// A question whose asker's time is up: nobody is there for the answer.
#[cold]
fn expired(run: &Running<'_>, worker: &Worker, parcel: Parcel) -> Option<End> {
    run.detach(&parcel);
    run.dead_letter(worker, parcel.kind(), parcel.type_name(), Cause::Expired);
    // The asker knows how long it waited.
    let loss = AskError::Timeout {
        waited: Duration::ZERO,
    };
    ask::losing(loss, || quietly(|| drop(parcel)));
    None
}

#[inline(always)]
fn handle<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    kind: Kind,
    message: B::Message,
) -> Option<End> {
    handle_by::<B>(run, body, worker, kind, 0, message)
}

/// As [`handle`], for a question that is of use until `ask_by_ns`.
#[inline(always)]
fn handle_by<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    kind: Kind,
    ask_by_ns: u64,
    message: B::Message,
) -> Option<End> {
    worker.take_in_hand(kind);
    #[cfg(feature = "testkit")]
    hook::handles::<B>(
        run.address(worker),
        kind,
        &message,
        &body.machine,
        worker.clock.origin.get(),
    );
    let turn = worker.turn(ask_by_ns);
    #[cfg(any(debug_assertions, feature = "testkit"))]
    let rehearsed = {
        let snapshot = Snapshot::new(&body.machine, &turn);
        rehearsal::rehearse::<B>(worker, &body.behavior, &message, snapshot)
    };
    if let Some(poison) = &B::POISON {
        keep_copy::<B>(run, worker, poison, (kind, ask_by_ns), &message);
    }
    let loan = worker.lend();
    // Committed where the handler wrote it: a move here would read, sixteen bytes at a time, what was
    // just written in eights, and wait for it.
    let mut plan = {
        #[cfg(debug_assertions)]
        let _deciding = worker.deciding::<B>();
        body.behavior
            .on_message(message, Snapshot::new(&body.machine, &turn))
    };
    drop(loan);
    #[cfg(any(debug_assertions, feature = "testkit"))]
    if let Some(first) = rehearsed {
        rehearsal::compare::<B>(worker, &first, &plan);
        ask::losing(AskError::Dropped, || quietly(|| drop(first)));
    }
    #[cfg(feature = "testkit")]
    hook::decides(&plan);
    let end = settle::<B>(run, body, worker, &mut plan, Some(kind));
    if B::POISON.is_some() && end != Some(End::Waits) {
        drop_copy(run);
    }
    end
}

/// Keeps a copy of the message in hand, so that a panic does not lose it.
fn keep_copy<B: Behavior>(
    run: &Running<'_>,
    worker: &Worker,
    poison: &Poison<B::Message>,
    (kind, ask_by_ns): (Kind, u64),
    message: &B::Message,
) {
    let loan = worker.lend();
    let copy = (poison.copy)(message);
    drop(loan);
    let extension = run.extension();
    let before = match kind {
        Kind::Stash => extension.crashes.get(),
        _ => 0,
    };
    let copy = copy.map(|copy| Parcel::with_note(Kind::Stash, copy, [ask_by_ns, before + 1]));
    extension.in_hand.set(copy);
}

/// The turn did not panic.
fn drop_copy(run: &Running<'_>) {
    if let Some(extension) = run.existing() {
        let copy = extension.in_hand.take();
        quietly(|| drop(copy));
    }
}

/// A turn panicked, and there is a copy of its message: it comes first after the restart, unless
/// there is none, or the message has had its tries.
#[cold]
fn poisoned<B: Behavior>(run: &Running<'_>, worker: &Worker, copy: Parcel, text: &Arc<str>) {
    let [_, crashes] = copy.note();
    let actor = run.address(worker);
    let message = std::any::type_name::<B::Message>();
    let allowed = B::POISON.map_or(1, |poison| u64::from(poison.crashes));
    if crashes < allowed && run.restarts() {
        copy.set_cell(actor.cell);
        copy.set_generation(actor.generation.get());
        let copy = match worker.clock.origin.get() {
            Some(origin) => copy.stamped(origin),
            None => copy,
        };
        run.extension().retry.set(Some(copy));
        return;
    }
    if crashes < allowed {
        quietly(|| drop(copy));
        return worker.dead_letter(actor, message, Cause::Panicked);
    }
    if let Ok(poison) = copy.try_open::<B::Message>() {
        let entry = Quarantined {
            id: 0,
            actor,
            message,
            crashes: u32::try_from(crashes).unwrap_or(u32::MAX),
            panic: text.clone(),
            origin: worker.clock.origin.get(),
        };
        let cause = Cause::Quarantined {
            crashes: entry.crashes,
        };
        worker.shared.quarantine(entry, poison);
        worker.dead_letter(actor, message, cause);
    }
}

/// Commits a plan and counts its message, if it has one.
#[inline(always)]
fn settle<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    kind: Option<Kind>,
) -> Option<End> {
    match commit_usual::<B>(run, body, worker, plan) {
        Usual::Done => {
            #[cfg(feature = "testkit")]
            hook::ends::<B>(&body.machine, "committed");
            if let Some(kind) = kind {
                run.finished(kind);
                worker.nothing_in_hand();
            }
            None
        }
        Usual::Failed => {
            #[cfg(feature = "testkit")]
            hook::ends::<B>(&body.machine, Committed::Failed.in_words());
            unusual::<B>(run, worker, plan.take(), Committed::Failed, kind)
        }
        Usual::Other => settle_any::<B>(run, body, worker, plan, kind),
    }
}

/// As [`settle`], for any plan.
#[inline(never)]
fn settle_any<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    kind: Option<Kind>,
) -> Option<End> {
    if worker.shared.has_origins {
        worker.stamp_all(&mut plan.steps.list);
    }
    let committed = commit::<B>(run, body, worker, plan, Bound::Kept);
    #[cfg(feature = "testkit")]
    hook::ends::<B>(&body.machine, committed.in_words());
    if committed != Committed::Done {
        return unusual::<B>(run, worker, plan.take(), committed, kind);
    }
    if let Some(kind) = kind {
        run.finished(kind);
        worker.nothing_in_hand();
    }
    None
}

#[cold]
#[inline(never)]
fn unusual<B: Behavior>(
    run: &Running<'_>,
    worker: &Worker,
    plan: Plan<B>,
    committed: Committed,
    kind: Option<Kind>,
) -> Option<End> {
    let name = std::any::type_name::<B::Message>();
    match committed {
        Committed::Done => unreachable!("handled by the caller"),
        Committed::Stop => {
            if let Some(kind) = kind {
                run.finished(kind);
                worker.nothing_in_hand();
            }
            let reason = worker.take_stop_reason();
            Some(worker.dies(reason.map_or(Exit::Normal, Exit::Stopped)))
        }
        Committed::Become => {
            if let Some(kind) = kind {
                run.finished(kind);
                worker.nothing_in_hand();
            }
            Some(End::Becomes)
        }
        Committed::Unhandled => {
            if let Some(kind) = kind {
                run.dead_letter(worker, kind, name, Cause::Unhandled);
            }
            worker.nothing_in_hand();
            None
        }
        Committed::Failed => {
            let cause = worker.take_failure();
            worker.dead_letter(run.address(worker), name, cause.clone());
            let Some(kind) = kind else {
                // No message comes before a start that succeeded.
                return Some(worker.dies(Exit::NotStarted(cause)));
            };
            run.fails(kind);
            worker.nothing_in_hand();
            match cause {
                Cause::Refused(refusal) if refusal.is_fatal() => {
                    Some(worker.dies(Exit::Failed(refusal)))
                }
                _ => None,
            }
        }
        Committed::Wait { target, places } => {
            let origin = worker.keep_origin();
            let waiting = Waiting { plan, kind, origin };
            run.extension().put_waiting(waiting);
            worker.nothing_in_hand();
            if !worker.wait_for_room(run, target, places) {
                // There is room by now, or it may go above the bound: the next run tries again.
                let _ = run.cell.inbox.signal();
            }
            Some(End::Waits)
        }
    }
}

/// A plan that waits for room, and its message.
pub(crate) struct Waiting<B: Behavior> {
    plan: Plan<B>,
    kind: Option<Kind>,
    /// That of the message, where it is known.
    origin: Option<Box<Origin>>,
}

impl<B: Behavior> Waiting<B> {
    /// What the plan answers; nothing for a start.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }
}

/// Tries to commit a plan that waited.
#[cold]
#[inline(never)]
fn resume<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    extension: &Extension,
) -> Option<End> {
    if let Some(exit) = signals(run, worker) {
        return Some(worker.dies(exit));
    }
    let waiting = extension.take_waiting::<B>()?;
    let is_start = waiting.kind.is_none();
    let end = resume_plan::<B>(run, body, worker, waiting);
    if is_start && matches!(end, None | Some(End::Becomes)) {
        has_started(run, worker);
    }
    end
}

fn resume_plan<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    waiting: Waiting<B>,
) -> Option<End> {
    let Waiting {
        mut plan,
        kind,
        origin,
    } = waiting;
    if let Some(origin) = origin {
        worker.clock.origin.set(Some(*origin));
    }
    let flags = run.cell.life.flags();
    if flags & life::COMMIT_DUE != 0 {
        run.cell.life.clear(life::COMMIT_DUE | life::OVERDRAFT);
        worker.stop_waiting(run);
        ask::losing(AskError::Refused, || quietly(|| drop(plan)));
        let failed = worker.failed(Cause::NoRoom);
        return unusual::<B>(run, worker, Plan::none(), failed, kind);
    }
    let bound = if flags & life::OVERDRAFT != 0 {
        run.cell.life.clear(life::OVERDRAFT);
        Bound::Overdraft
    } else {
        Bound::Kept
    };
    if let Some(kind) = kind {
        worker.take_in_hand(kind);
    }
    let committed = commit::<B>(run, body, worker, &mut plan, bound);
    if !matches!(committed, Committed::Wait { .. }) {
        worker.stop_waiting(run);
        if B::POISON.is_some() {
            drop_copy(run);
        }
    }
    match committed {
        Committed::Done => {
            if let Some(kind) = kind {
                run.finished(kind);
            }
            worker.nothing_in_hand();
            None
        }
        other => unusual::<B>(run, worker, plan, other, kind),
    }
}

/// What a parcel that is not of this life stands for: the message of a token; nothing, if it was
/// meant for an earlier actor of the cell.
#[cold]
#[inline(never)]
fn redeem_or_bury(run: &Running<'_>, worker: &Worker, parcel: Parcel) -> Option<Parcel> {
    let parcel = match parcel.kind() {
        Kind::Token => {
            let message = run.redeem(parcel)?;
            match message.origin() {
                // No inbox has seen it.
                Some(_) => worker.unstamp(message),
                None => message,
            }
        }
        _ => parcel,
    };
    if parcel.generation() == run.cell.life.generation() {
        return Some(parcel);
    }
    stale(run, worker, parcel);
    None
}

/// An envelope for one who was in this cell before.
#[cold]
#[inline(never)]
fn stale(run: &Running<'_>, worker: &Worker, parcel: Parcel) {
    run.detach(&parcel);
    let kind = parcel.kind();
    if matches!(kind, Kind::Tell | Kind::Ask) {
        run.dead_letter(worker, kind, parcel.type_name(), Cause::Stopped);
    }
    ask::losing(AskError::Stopped, || quietly(|| drop(parcel)));
}

/// All that is not a message from an actor or from outside.
#[inline(never)]
fn special<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    parcel: Parcel,
) -> Option<End> {
    let parcel = match parcel.kind() {
        kind @ (Kind::Answer | Kind::NoAnswer) => {
            let spent = Spent(run, ManuallyDrop::new(parcel));
            let [number, _] = spent.1.note();
            // The asker may have given up; then what comes now is nobody's.
            let mut asks = run.existing()?.asks.borrow_mut();
            let outcome = match kind {
                // SAFETY: `spent` has the parcel, and is left alone until the call is over.
                Kind::Answer => Ok(unsafe { spent.1.inside() }),
                _ => Err(match spent.1.try_take::<AskError>() {
                    Some(AskError::Timeout { .. }) => asks.late(number, worker.read_ns())?,
                    error => error.unwrap_or(AskError::Dropped),
                }),
            };
            if worker.shared.has_origins
                && let Some(origin) = asks.origin(number)
            {
                worker.comes_of(origin, None);
            }
            let continuation = asks.remove(number)?;
            drop(asks);
            #[cfg(any(debug_assertions, feature = "testkit"))]
            worker.shared.circles.ended(worker.me(), number);
            worker.asks_ended(1);
            return answered::<B>(run, body, worker, continuation, outcome, Some(spent));
        }
        Kind::Timer => {
            let spent = Spent(run, ManuallyDrop::new(parcel));
            if !worker.take_timer(run, &spent.1) {
                return None;
            }
            if let Some(message) = spent.1.try_take::<B::Message>() {
                drop(spent);
                return handle::<B>(run, body, worker, Kind::Timer, message);
            }
            let [key, _] = spent.1.note();
            let evolve = spent.1.try_take::<Evolve<<B::Machine as Machine>::Event>>();
            drop(spent);
            let Evolve(event) = evolve?;
            body.machine.timer_over(chosen(key));
            return self::evolve::<B>(run, body, worker, Kind::Timer, event);
        }
        _ => parcel,
    };
    run.detach(&parcel);
    match parcel.kind() {
        Kind::Expired => {
            drop(parcel);
            expire_asks::<B>(run, body, worker)
        }
        Kind::Interval => {
            let parcel = match parcel.try_open::<Evolve<<B::Machine as Machine>::Event>>() {
                Ok(Evolve(event)) => return evolve::<B>(run, body, worker, Kind::Timer, event),
                Err(parcel) => parcel,
            };
            let message = worker.interval_message::<B>(run, parcel)?;
            handle::<B>(run, body, worker, Kind::Timer, message)
        }
        Kind::Stash => {
            let [ask_by_ns, crashes] = parcel.note();
            if B::POISON.is_some() {
                run.extension().crashes.set(crashes);
            }
            if ask_by_ns > 0 && ask_by_ns <= worker.looked_ns() {
                return expired(run, worker, parcel);
            }
            let message = parcel.try_open::<B::Message>().ok()?;
            worker.ask_by_ns.set(ask_by_ns);
            handle_by::<B>(run, body, worker, Kind::Stash, ask_by_ns, message)
        }
        Kind::Notice => {
            worker.take_in_hand(Kind::Notice);
            let loan = worker.lend();
            let message = parcel.call::<(), B::Message>(());
            drop(loan);
            handle::<B>(run, body, worker, Kind::Notice, message)
        }
        Kind::Down => match worker.down_message::<B>(run, parcel)? {
            Heard::Message(message) => handle::<B>(run, body, worker, Kind::Down, message),
            Heard::Event(event) => evolve::<B>(run, body, worker, Kind::Down, event),
        },
        Kind::Call => {
            let call = parcel.try_open::<Call>().ok()?;
            (call.0)(run, worker, std::ptr::from_mut(body).cast::<()>());
            None
        }
        _ => {
            debug_assert!(false, "no inbox holds a plan's step");
            None
        }
    }
}

/// A turn in which the machine alone takes part: one of its timers is due, or another machine or
/// an actor's end concerns it.
fn evolve<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    kind: Kind,
    event: <B::Machine as Machine>::Event,
) -> Option<End> {
    worker.take_in_hand(kind);
    settle::<B>(run, body, worker, &mut Plan::emit(event), Some(kind))
}

/// A popped envelope that ends here. When it is dropped, what is left inside is too; the envelope
/// is freed, or held if the inbox may still point to it.
struct Spent<'a, 'b>(&'a Running<'b>, ManuallyDrop<Parcel>);

impl Drop for Spent<'_, '_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.1.is_emptied() {
            quietly(|| self.1.empty_out());
        }
        // SAFETY: it is not used after this.
        let parcel = unsafe { ManuallyDrop::take(&mut self.1) };
        let backlog = &self.0.cell.backlog;
        if backlog.is_boundary(parcel.link()) {
            backlog.hold(parcel.into_link());
        } else {
            parcel.free_emptied();
        }
    }
}

/// Turns the outcome of an ask, out of the envelope `spent`, into the asker's message and handles
/// it.
#[inline(always)]
fn answered<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    continuation: Parcel,
    outcome: Outcome,
    spent: Option<Spent<'_, '_>>,
) -> Option<End> {
    worker.take_in_hand(Kind::Answer);
    if continuation.kind() != Kind::Continue {
        return answered_in_part::<B>(run, body, worker, continuation, outcome, spent);
    }
    let loan = worker.lend();
    let message = continuation.call::<Outcome, Result<B::Message, AskError>>(outcome);
    drop(loan);
    drop(spent);
    match message {
        Ok(message) => handle::<B>(run, body, worker, Kind::Answer, message),
        Err(error) => {
            worker.nothing_in_hand();
            worker.dead_letter(
                run.address(worker),
                std::any::type_name::<B::Message>(),
                Cause::AskFailed(error),
            );
            None
        }
    }
}

/// A delivery hears of its acknowledgement, or that its time is up; or one of several questions has
/// its outcome.
#[cold]
fn answered_in_part<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    continuation: Parcel,
    outcome: Outcome,
    spent: Option<Spent<'_, '_>>,
) -> Option<End> {
    let message = match continuation.kind() {
        Kind::Gather => {
            let message = continuation.call::<Outcome, Option<B::Message>>(outcome);
            drop(spent);
            message
        }
        _ => {
            drop(spent);
            if let Ok(delivery) = continuation.try_open::<Delivery>() {
                delivery.resume(run, worker, outcome.map(drop));
            }
            None
        }
    };
    if let Some(message) = message {
        return handle::<B>(run, body, worker, Kind::Answer, message);
    }
    worker.nothing_in_hand();
    None
}

fn expire_asks<B: Behavior>(run: &Running<'_>, body: &mut Body<B>, worker: &Worker) -> Option<End> {
    let extension = run.existing()?;
    let now_ns = worker.now_ns();
    let mut place = 0;
    loop {
        let due = extension.asks.borrow_mut().expire(now_ns, &mut place);
        let Some((continuation, waited, origin)) = due else {
            worker.arm_asks(run);
            return None;
        };
        worker.asks_ended(1);
        #[cfg(any(debug_assertions, feature = "testkit"))]
        {
            let [number, _] = continuation.note();
            worker.shared.circles.ended(worker.me(), number);
        }
        if let Some(origin) = origin {
            worker.comes_of(*origin, None);
        }
        let outcome = Err(AskError::Timeout { waited });
        if let Some(end) = answered::<B>(run, body, worker, continuation, outcome, None) {
            // Rarely: the next run goes on where this one ends.
            worker.arm_asks(run);
            return Some(end);
        }
    }
}

/// Runs an actor that waits for its supervisor: it starts anew, ends, or waits on.
#[cold]
fn parked<B: Behavior>(cell: &ActorCell, worker: &Worker) -> After {
    let run = &Running::new(cell);
    let flags = run.cell.life.flags();
    if flags & life::SHUTDOWN != 0 {
        return die::<B>(run, worker, Exit::Shutdown);
    }
    let Some(keeper) = run.keeper() else {
        unreachable!("only an actor with a supervisor is parked");
    };
    if flags & life::FINAL != 0 {
        return die::<B>(run, worker, keeper.exit());
    }
    if flags & life::RESTART == 0 {
        // They were meant for the incarnation that has ended.
        run.cell
            .life
            .clear(life::END | life::COMMIT_DUE | life::OVERDRAFT);
        return run.finish(worker, true);
    }
    run.cell.life.clear(life::RESTART);
    worker.enter(run);
    let made = catch_unwind(AssertUnwindSafe(|| {
        let _loan = worker.lend();
        keeper.make::<B>()
    }));
    match made {
        Ok(body) => {
            run.cell.put_body::<B>(body);
            self::run::<B>(cell, worker)
        }
        Err(payload) => {
            worker.count_panic();
            keeper.park(run, worker, Exit::Panicked(panic_text(payload)));
            run.finish(worker, true)
        }
    }
}

/// Ends an actor's incarnation: the state, timers, asks and links go, address and mailbox stay.
#[cold]
fn park<B: Behavior>(run: &Running<'_>, worker: &Worker, keeper: &Keeper, exit: Exit) -> After {
    worker.nothing_in_hand();
    last_plan::<B>(run, worker, &exit);
    let loss = loss_of(&exit);
    ask::losing(loss, || {
        worker.forget_timers(run);
        worker.stop_waiting(run);
        let extension = run.extension();
        let asks = extension.asks.take();
        worker.asks_ended(asks.len());
        #[cfg(any(debug_assertions, feature = "testkit"))]
        worker.shared.circles.forget(run.address(worker));
        if let Some(kind) = extension.waiting_kind() {
            run.dead_letter(
                worker,
                kind,
                "a message whose commit waited",
                Cause::Stopped,
            );
        }
        let waiting = extension.drop_waiting();
        drop(extension.becoming.take());
        extension.kept.borrow_mut().clear();
        quietly(|| drop(asks));
        quietly(|| drop(waiting));
        let vtable = run.cell.vtable.replace(keeper.parked());
        // SAFETY: C2; this is the state's end.
        quietly(|| unsafe { (vtable.drop_state)(run.cell) });
    });
    drop_copy(run);
    run.unstash();
    if let Some(first) = run.existing().and_then(|it| it.retry.take()) {
        run.put_back(first);
    }
    // They were heard, or meant for the incarnation that ends.
    run.cell
        .life
        .clear(life::END | life::COMMIT_DUE | life::OVERDRAFT);
    worker.part(run.address(worker), &exit);
    keeper.park(run, worker, exit);
    run.finish(worker, true)
}

fn loss_of(exit: &Exit) -> AskError {
    if matches!(exit, Exit::Panicked(_) | Exit::Failed(_)) {
        AskError::Panicked
    } else {
        AskError::Stopped
    }
}

/// Ends an actor: the last plan, the leftovers, the state, the news.
#[cold]
fn die<B: Behavior>(run: &Running<'_>, worker: &Worker, exit: Exit) -> After {
    let cell = run.cell;
    let address = run.address(worker);
    if run.restarts()
        && let Some(keeper) = run.keeper()
    {
        return park::<B>(run, worker, keeper, exit);
    }
    worker.nothing_in_hand();
    let _ = cell.inbox.close();
    last_plan::<B>(run, worker, &exit);
    let loss = loss_of(&exit);
    let news = run
        .keeper()
        .map(|keeper| keeper.news(run, worker, Change::Ended(exit.clone())));
    let cause = if matches!(exit, Exit::Shutdown) {
        Cause::Shutdown
    } else {
        Cause::Stopped
    };
    ask::losing(loss, || {
        worker.forget_timers(run);
        worker.stop_waiting(run);
        let extension = cell.extension.replace(std::ptr::null_mut());
        if !extension.is_null() {
            // SAFETY: made from a box by this cell's runner.
            let extension = unsafe { Box::from_raw(extension) };
            worker.asks_ended(extension.asks.borrow().len());
            #[cfg(any(debug_assertions, feature = "testkit"))]
            worker.shared.circles.forget(address);
            if let Some(kind) = extension.waiting_kind() {
                run.dead_letter(worker, kind, "a message whose commit waited", cause.clone());
            }
            let mut stashed = extension.stash.take().0;
            while let Some(message) = stashed.pop_front() {
                worker.clock.origin.set(message.origin());
                run.dead_letter(worker, Kind::Stash, message.type_name(), cause.clone());
                quietly(|| drop(message));
            }
            quietly(|| drop(extension));
        }
    });
    ask::losing(AskError::Stopped, || {
        loop {
            while let Some(mut parcel) = run.pop() {
                run.detach(&parcel);
                if parcel.kind() == Kind::Token {
                    let Some(message) = run.redeem(parcel) else {
                        continue;
                    };
                    parcel = message;
                }
                let kind = parcel.kind();
                if matches!(kind, Kind::Tell | Kind::Ask | Kind::Stash) {
                    worker.clock.origin.set(parcel.origin());
                    run.dead_letter(worker, kind, parcel.type_name(), cause.clone());
                }
                quietly(|| drop(parcel));
            }
            if run.refill(worker) {
                break;
            }
        }
    });
    ask::losing(loss, || {
        let vtable = cell.vtable.replace(&NO_ACTOR);
        // SAFETY: C2; this is the state's end.
        quietly(|| unsafe { (vtable.drop_state)(cell) });
    });
    let finished = run.tally(worker);
    worker.ended(address, cell, exit);
    if let Some(ring) = cell.ring() {
        ring.reset();
    }
    if let Some((supervisor, letter)) = news {
        worker.disown(supervisor, address);
        worker.send_news(supervisor, address, letter);
    }
    let reusable = cell.life.next();
    // SAFETY: C1; the last look found the inbox closed and empty.
    let (free, held) = unsafe { cell.inbox.retire(&cell.backlog, finished) };
    free_held(worker, held);
    if free && reusable {
        worker.free_number(address.cell);
    }
    After::Done
}

/// What the behavior decides at its end.
fn last_plan<B: Behavior>(run: &Running<'_>, worker: &Worker, exit: &Exit) {
    let cell = run.cell;
    let graceful = !matches!(
        exit,
        Exit::Panicked(_) | Exit::Failed(_) | Exit::Killed | Exit::Linked(_) | Exit::NotStarted(_)
    );
    if graceful && cell.vtable.get().started {
        quietly(|| {
            // SAFETY: C1, C2.
            let body = unsafe { &mut *cell.body::<B>() };
            worker.clock.origin.set(None);
            let turn = worker.turn(0);
            let snapshot = Snapshot::new(&body.machine, &turn);
            let loan = worker.lend();
            let mut plan = body.behavior.on_stop(exit, snapshot);
            drop(loan);
            if worker.shared.has_origins {
                worker.stamp_all(&mut plan.steps.list);
            }
            let _ = commit::<B>(run, body, worker, &mut plan, Bound::Last);
            drop(worker.take_stop_reason());
        });
        quietly(|| worker.drop_collected());
        worker.flush();
    }
}

/// A panic's text. Its payload is forgotten when its own drop panics.
pub(crate) fn panic_text(payload: Box<dyn std::any::Any + Send>) -> Arc<str> {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        Arc::from(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic without text")
    };
    quietly(move || drop(payload));
    text
}

/// Runs user code whose panic changes nothing, drops mostly. What a payload that panics when dropped
/// panics with is forgotten, unless it is text.
pub(crate) fn quietly(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run))
        && let Err(bomb) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
        && !bomb.is::<&str>()
        && !bomb.is::<String>()
    {
        std::mem::forget(bomb);
    }
}
