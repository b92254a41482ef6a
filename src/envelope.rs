//! Envelopes: one message in flight, or one step of a plan before its commit.
//!
//! ```text
//!   0        8            12      16        24                         64 / 128 / 256
//!  ┌────────┬────────────┬───────┬─────────┬──────────────────────────┐
//!  │ link   │ generation │ tag   │ contents│ payload, or a box of it  │
//!  └────────┴────────────┴───────┴─────────┴──────────────────────────┘
//!             of the target  kind, size and a flag (8 bits), target's cell while in a plan,
//!                            sender's cell while in flight (24 bits)
//! ```
//!
//! A send's step *is* the envelope that the target will read, so committing it is linking it.
//! Envelopes come in three sizes from a small last-in-first-out cache per thread; whole magazines
//! pass between threads through the depot. What exceeds that goes back to the slabs of the process,
//! where it came from.
//!
//! - E1: a [`Parcel`] owns its envelope; an envelope is in one list, inbox or parcel at a time.
//! - E2: `contents` describes the payload exactly while there is one.
//! - E3: an envelope's size never changes; it may be freed by any thread.

use crate::actor::{ActorRef, Origin, Stamped};
use crate::slab::Slab;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::inbox::{Chain, Inbox, Link, OVERDRAFT_MAX, Push, Wake};
use crate::sync::ring::{Put, Ring};
use crate::sync::thread_local;
use crate::sync::{Mutex, lock, prefetch};
use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::mem::{ManuallyDrop, MaybeUninit, align_of, needs_drop, size_of};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of an envelope before its payload.
const HEADER: usize = 24;
/// The three sizes, in bytes.
const SIZES: [usize; 3] = [64, 128, 256];
const _: () = assert!(SIZES[1] == SIZES[0] << 1 && SIZES[2] == SIZES[0] << 2);
/// Bytes of room for a note at an envelope's end.
const NOTE: usize = 16;
/// The largest payload, beside a note, that is not boxed.
pub(crate) const PAYLOAD_MAX: usize = SIZES[2] - HEADER - NOTE;
/// Envelopes that change hands at once.
const MAGAZINE: u32 = 128;
/// Bytes of each size that the depot keeps while workers work.
const DEPOT_BYTES: usize = 32 << 20;
/// Full magazines of each size that the depot keeps once a worker has nothing to do: 4 MiB of the
/// smallest.
const DEPOT_MAGAZINES: usize = 512;
/// Magazines that go back to the slab in one go: some ten microseconds.
const SHRINK: usize = 4;

/// What an envelope is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A message for the target's behavior.
    Tell,
    /// A message that asks.
    Ask,
    /// The answer to an ask of the target.
    Answer,
    /// The end of an ask without an answer.
    NoAnswer,
    /// The time of one of the target's open asks is up.
    Expired,
    /// A one-shot timer's message.
    Timer,
    /// An interval's tick.
    Interval,
    /// A closure for the target's cell: a subscription, a snapshot, a `Down`.
    Call,
    /// A plan's further event.
    Event,
    /// A plan's reply.
    Reply,
    /// A plan's step that is a closure over the commit: monitors, links and the like.
    Step,
    /// A plan's wish to hear of the ends of linked actors, or no more.
    Trap,
    /// As [`Kind::Step`], for a child, whose cell it names: it runs once all of the plan is out.
    Child,
    /// A plan's continuation of the ask whose request is the step before it.
    Continue,
    /// As [`Kind::Continue`], for one of several questions: a message only after the last.
    Gather,
    /// A plan's cancelling of a timer.
    Cancel,
    /// A watched actor's end.
    Down,
    /// A plan's message that was not admitted.
    Refused,
    /// A plan's reply whose value is made of the evolved machine.
    Later,
    /// A plan's delivery, and its continuation while it waits.
    Deliver,
    /// A closure that makes a message of its actor's own.
    Notice,
    /// A plan's change of the behavior.
    Become,
    /// A message that is put aside, in a plan and when it comes back.
    Stash,
    /// A plan's end of all that.
    Unstash,
    /// A plan's call of code that no other step can say.
    Escape,
    /// On a wheel: the time of a commit that waits for room is up.
    Overdue,
    /// On a wheel: a look at the asks of an actor, which may be part of a circle.
    #[cfg(any(debug_assertions, feature = "testkit"))]
    Circle,
    /// A token: the oldest message in its mailbox's ring.
    Token,
}

/// What is known of a payload's type when the type itself is not.
#[derive(Debug)]
pub(crate) struct Contents {
    drop: unsafe fn(*mut u8),
    /// Whether `drop` has nothing to do.
    is_plain: bool,
    /// For closures: calls the payload with the argument, both moved out, and writes the result.
    call: unsafe fn(*mut u8, *mut u8, *mut u8),
    /// For closures: the type `fn(A) -> R`.
    signature: fn() -> TypeId,
    /// The type's name.
    pub(crate) type_name: fn() -> &'static str,
    type_id: fn() -> TypeId,
}

struct Of<T>(std::marker::PhantomData<T>);

impl<T: 'static> Of<T> {
    const CONTENTS: &'static Contents = &Contents {
        drop: drop_payload::<T>,
        is_plain: is_plain::<T>(),
        call: |_, _, _| {},
        signature: TypeId::of::<Nothing>,
        type_name: std::any::type_name::<T>,
        type_id: TypeId::of::<T>,
    };
}

struct ClosureOf<F, A, R>(std::marker::PhantomData<(F, A, R)>);

impl<F: FnOnce(A) -> R + 'static, A: 'static, R: 'static> ClosureOf<F, A, R> {
    const CONTENTS: &'static Contents = &Contents {
        drop: drop_payload::<F>,
        is_plain: is_plain::<F>(),
        call: call_payload::<F, A, R>,
        signature: TypeId::of::<fn(A) -> R>,
        type_name: std::any::type_name::<F>,
        type_id: TypeId::of::<F>,
    };
}

unsafe fn call_payload<F: FnOnce(A) -> R, A, R>(payload: *mut u8, argument: *mut u8, out: *mut u8) {
    // SAFETY: E2: the payload is an `F`.
    let closure = unsafe { take_payload::<F>(payload) };
    // SAFETY: the caller checked the signature and gives an `A` away.
    let argument = unsafe { argument.cast::<A>().read() };
    let result = closure(argument);
    // SAFETY: as above; there is room for an `R`.
    unsafe { out.cast::<R>().write(result) };
}

const EMPTY: &Contents = &Contents {
    drop: |_| {},
    is_plain: true,
    call: |_, _, _| {},
    signature: TypeId::of::<Nothing>,
    type_name: || "",
    type_id: TypeId::of::<Nothing>,
};
enum Nothing {}

const fn boxed<T>() -> bool {
    size_of::<T>() > SIZES[2] - HEADER || align_of::<T>() > 8
}

const fn is_plain<T>() -> bool {
    !boxed::<T>() && !needs_drop::<T>()
}

const fn class_for(bytes: usize) -> u8 {
    if bytes <= SIZES[0] - HEADER {
        0
    } else if bytes <= SIZES[1] - HEADER {
        1
    } else {
        2
    }
}

/// The size class for a payload of type `T` with `extra` bytes after it.
const fn class_of<T>(extra: usize) -> u8 {
    if boxed::<T>() {
        class_for(size_of::<*mut T>() + extra)
    } else {
        class_for(size_of::<T>() + extra)
    }
}

/// Bytes that a queued `T` takes, its box included.
pub(crate) const fn bytes_of<T>() -> usize {
    SIZES[class_of::<T>(0) as usize] + if boxed::<T>() { size_of::<T>() } else { 0 }
}

unsafe fn drop_payload<T>(payload: *mut u8) {
    // SAFETY: E2: the caller read `contents` from the envelope that holds this payload.
    drop(unsafe { take_payload::<T>(payload) });
}

#[inline(always)]
unsafe fn take_payload<T>(payload: *mut u8) -> T {
    if boxed::<T>() {
        // SAFETY: `put_payload` put a box there.
        let pointer = unsafe { payload.cast::<*mut T>().read() };
        // SAFETY: as above; the payload is moved out once.
        *unsafe { Box::from_raw(pointer) }
    } else {
        // SAFETY: `put_payload` put a `T` there; the payload is moved out once.
        unsafe { payload.cast::<T>().read() }
    }
}

#[inline(always)]
unsafe fn put_payload<T>(payload: *mut u8, value: T) {
    if boxed::<T>() {
        let pointer = Box::into_raw(Box::new(value));
        // SAFETY: an envelope has room for a pointer, 8-aligned.
        unsafe { payload.cast::<*mut T>().write(pointer) };
    } else {
        // SAFETY: the class was chosen for `T`, whose alignment is at most 8.
        unsafe { payload.cast::<T>().write(value) };
    }
}

/// The fixed part of an envelope.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Envelope {
    link: Link,
    generation: Cell<u32>,
    tag: Cell<u32>,
    contents: Cell<&'static Contents>,
    payload: [MaybeUninit<u8>; SIZES[0] - HEADER],
}

const _: () = assert!(size_of::<Envelope>() == SIZES[0]);

/// An owned envelope. Dropping it drops the payload and gives the envelope back to the pool.
#[derive(Debug)]
#[repr(transparent)] // `List::iter` reads a link as an `Option<Parcel>`
pub(crate) struct Parcel(NonNull<Envelope>);

// SAFETY: a parcel owns its envelope, and payloads are `Send` (the constructors ask for it).
unsafe impl Send for Parcel {}

impl Parcel {
    /// An envelope with `value` inside.
    #[inline(always)]
    pub(crate) fn new<T: Send + 'static>(kind: Kind, value: T) -> Self {
        let parcel = Self::empty(class_of::<T>(0), kind);
        parcel.put(value);
        parcel
    }

    /// What tells `to` a message.
    #[inline(always)]
    pub(crate) fn tell<M: Send + 'static>(to: ActorRef<M>, message: M) -> Self {
        let parcel = Self::new(Kind::Tell, message);
        parcel.set_cell(to.address.cell);
        parcel.set_generation(to.address.generation.get());
        parcel
    }

    /// As [`Parcel::new`], with a note at the envelope's end.
    #[inline(always)]
    pub(crate) fn with_note<T: Send + 'static>(kind: Kind, value: T, note: [u64; 2]) -> Self {
        let parcel = Self::empty(class_of::<T>(NOTE), kind);
        parcel.put(value);
        parcel.set_note(note);
        parcel
    }

    /// An envelope with nothing inside but a note at its end.
    #[inline(always)]
    pub(crate) fn bare(kind: Kind, note: [u64; 2]) -> Self {
        let parcel = Self::empty(class_for(NOTE), kind);
        parcel.set_note(note);
        parcel
    }

    /// An envelope with a question inside, and room for the time until which it is of use.
    #[inline(always)]
    pub(crate) fn asking<T: Send + 'static>(question: T) -> Self {
        let parcel = Self::empty(class_of::<T>(size_of::<u64>()), Kind::Ask);
        parcel.put(question);
        parcel.header().tag.set(parcel.header().tag.get() | TIMED);
        parcel.set_deadline(u64::MAX);
        parcel
    }

    /// Until when the question inside is of use; `u64::MAX` if that was not said.
    #[inline(always)]
    pub(crate) fn deadline_ns(&self) -> u64 {
        if self.header().tag.get() & TIMED == 0 {
            return u64::MAX;
        }
        // SAFETY: the flag says that `asking` left the room, and it was written.
        unsafe { self.deadline_place().read() }
    }

    /// Says until when the question inside is of use, if there is room for that.
    #[inline(always)]
    pub(crate) fn set_deadline(&self, deadline_ns: u64) {
        if self.header().tag.get() & TIMED != 0 {
            // SAFETY: as above, and no reference to it exists.
            unsafe { self.deadline_place().write(deadline_ns) };
        }
    }

    #[inline(always)]
    fn deadline_place(&self) -> *mut u64 {
        let end = SIZES[0] << self.class();
        // SAFETY: within the envelope.
        unsafe {
            self.0
                .as_ptr()
                .cast::<u8>()
                .add(end - size_of::<u64>())
                .cast()
        }
    }

    /// An envelope with a closure inside, called once by [`Parcel::call`], and a note.
    #[inline(always)]
    pub(crate) fn closure<A: 'static, R: 'static, F>(kind: Kind, closure: F, note: [u64; 2]) -> Self
    where
        F: FnOnce(A) -> R + Send + 'static,
    {
        let parcel = Self::with_note(kind, closure, note);
        parcel.header().contents.set(ClosureOf::<F, A, R>::CONTENTS);
        parcel
    }

    /// Calls the closure inside.
    ///
    /// # Panics
    ///
    /// If there is no closure of this signature inside: a broken invariant of the caller.
    #[inline(always)]
    pub(crate) fn call<A: 'static, R: 'static>(self, argument: A) -> R {
        let contents = self.header().contents.replace(EMPTY);
        assert!(
            (contents.signature)() == TypeId::of::<fn(A) -> R>(),
            "E2: an envelope is called with the signature that it was made with"
        );
        let mut argument = ManuallyDrop::new(argument);
        let mut result = MaybeUninit::<R>::uninit();
        // SAFETY: the signature was just checked; payload and argument are moved out once.
        unsafe {
            (contents.call)(
                self.payload(),
                (&raw mut argument).cast(),
                result.as_mut_ptr().cast(),
            );
        }
        self.free_emptied();
        // SAFETY: the call returned, so it wrote the result.
        unsafe { result.assume_init() }
    }

    #[inline(always)]
    fn empty(class: u8, kind: Kind) -> Self {
        let envelope = allocate(class);
        // SAFETY: fresh from the pool, with room for the header.
        let header = unsafe { envelope.as_ref() };
        header
            .tag
            .set(kind as u32 | u32::from(class) << CLASS_SHIFT);
        header.contents.set(EMPTY);
        Self(envelope)
    }

    #[inline(always)]
    pub(crate) fn header(&self) -> &Envelope {
        // SAFETY: E1: the parcel owns a live envelope.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn payload(&self) -> *mut u8 {
        // SAFETY: an envelope is at least HEADER bytes long.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEADER) }
    }

    /// How large the envelope is, with one that is in it.
    pub(crate) fn bytes(&self) -> u64 {
        let inner = self.stamp().map_or(0, |stamped| stamped.inner.bytes());
        SIZES[self.class() as usize] as u64 + inner
    }

    #[inline(always)]
    fn class(&self) -> u8 {
        (self.header().tag.get() >> CLASS_SHIFT) as u8 & 3
    }

    /// Puts `value` in; what was inside is forgotten, so the envelope must be empty.
    #[inline(always)]
    pub(crate) fn put<T: Send + 'static>(&self, value: T) {
        debug_assert!(class_of::<T>(0) <= self.class());
        // SAFETY: the class has room for `T`; the parcel owns the envelope.
        unsafe { put_payload(self.payload(), value) };
        self.header().contents.set(Of::<T>::CONTENTS);
    }

    /// What it is for.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Kind {
        let kind = self.header().tag.get() as u8 & KIND_MASK;
        debug_assert!(kind <= Kind::Token as u8);
        // SAFETY: the tag's low bits are written from a `Kind` only.
        unsafe { std::mem::transmute::<u8, Kind>(kind) }
    }

    /// Changes what it is for.
    #[inline(always)]
    pub(crate) fn set_kind(&self, kind: Kind) {
        let tag = self.header().tag.get() & !u32::from(KIND_MASK);
        self.header().tag.set(tag | kind as u32);
    }

    /// The target's or sender's cell; see the drawing.
    #[inline(always)]
    pub(crate) fn cell(&self) -> u32 {
        self.header().tag.get() >> CELL_SHIFT
    }

    /// Sets the target's or sender's cell.
    #[inline(always)]
    pub(crate) fn set_cell(&self, cell: u32) {
        let tag = self.header().tag.get() & ((1 << CELL_SHIFT) - 1);
        self.header().tag.set(tag | cell << CELL_SHIFT);
    }

    /// The generation of the target.
    #[inline(always)]
    pub(crate) fn generation(&self) -> u32 {
        self.header().generation.get()
    }

    /// Sets the generation of the target.
    #[inline(always)]
    pub(crate) fn set_generation(&self, generation: u32) {
        self.header().generation.set(generation);
    }

    /// The payload's type name; of a stamped envelope that of the message.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.stamp() {
            Some(stamped) => stamped.inner.type_name(),
            None => (self.header().contents.get().type_name)(),
        }
    }

    fn stamp(&self) -> Option<&Stamped> {
        if self.is_a::<Stamped>() {
            return self.peek();
        }
        None
    }

    /// Where the message came from, if its envelope is stamped.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.stamp().map(|stamped| stamped.origin)
    }

    /// Puts the whole envelope into another one, of the same kind and for the same actor, that says
    /// where it came from.
    pub(crate) fn stamped(self, origin: Origin) -> Self {
        let class = class_of::<Stamped>(size_of::<u64>());
        let outer = Self::empty(class, self.kind());
        outer.set_cell(self.cell());
        outer.set_generation(self.generation());
        if self.header().tag.get() & TIMED != 0 {
            outer.header().tag.set(outer.header().tag.get() | TIMED);
            outer.set_deadline(self.deadline_ns());
        }
        let inner = self;
        outer.put(Stamped { inner, origin });
        outer
    }

    /// The envelope of the message itself, with all that became of the outer one; that is freed, so
    /// no inbox may point to it.
    pub(crate) fn unstamped(self) -> Self {
        if self.stamp().is_none() {
            return self;
        }
        let (kind, cell, generation) = (self.kind(), self.cell(), self.generation());
        let deadline_ns = self.deadline_ns();
        match self.try_open::<Stamped>() {
            Ok(Stamped { inner, .. }) => {
                inner.set_kind(kind);
                inner.set_cell(cell);
                inner.set_generation(generation);
                inner.set_deadline(deadline_ns);
                inner
            }
            Err(parcel) => parcel,
        }
    }

    /// Whether the payload is a `T`: for what may be one thing or another. A message is not looked
    /// at so; its actor's generation vouches for its type.
    pub(crate) fn holds<T: 'static>(&self) -> bool {
        #[cfg(test)]
        tests::LOOKS.set(tests::LOOKS.get() + 1);
        self.is_a::<T>()
    }

    #[inline(always)]
    fn is_a<T: 'static>(&self) -> bool {
        (self.header().contents.get().type_id)() == TypeId::of::<T>()
    }

    /// Whether the payload is a closure from `A` to `R`.
    pub(crate) fn calls<A: 'static, R: 'static>(&self) -> bool {
        (self.header().contents.get().signature)() == TypeId::of::<fn(A) -> R>()
    }

    /// Moves the payload out and frees the envelope.
    ///
    /// # Safety
    ///
    /// The payload is a `T`.
    #[inline(always)]
    pub(crate) unsafe fn open<T: 'static>(self, pool: &Pool) -> T {
        debug_assert!(self.is_a::<T>());
        // SAFETY: the caller's promise; it is forgotten below.
        let value = unsafe { take_payload::<T>(self.payload()) };
        pool.free(self.0, self.class());
        std::mem::forget(self);
        value
    }

    /// Moves the payload out and keeps the envelope, now empty.
    ///
    /// # Safety
    ///
    /// The payload is a `T`.
    #[inline(always)]
    pub(crate) unsafe fn take<T: 'static>(&self) -> T {
        debug_assert!(self.is_a::<T>());
        self.header().contents.set(EMPTY);
        // SAFETY: the caller's promise; E2: the contents say that it is gone.
        unsafe { take_payload::<T>(self.payload()) }
    }

    /// Moves the payload out if it is a `T`, and keeps the envelope, now empty.
    #[inline(always)]
    pub(crate) fn try_take<T: 'static>(&self) -> Option<T> {
        // SAFETY: just checked.
        self.holds::<T>().then(|| unsafe { self.take() })
    }

    /// The envelope without its payload, which is dropped.
    pub(crate) fn emptied(self) -> Self {
        self.empty_out();
        self
    }

    /// Drops the payload and keeps the envelope.
    pub(crate) fn empty_out(&self) {
        let contents = self.header().contents.replace(EMPTY);
        // SAFETY: E2, and the contents now say that it is gone.
        unsafe { (contents.drop)(self.payload()) };
    }

    /// Whether the payload was taken.
    #[inline(always)]
    pub(crate) fn is_emptied(&self) -> bool {
        std::ptr::eq(self.header().contents.get(), EMPTY)
    }

    /// What is inside, for one who shall take it and leave the envelope.
    ///
    /// # Safety
    ///
    /// The parcel outlives it, and nothing else is done with the parcel meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn inside(&self) -> Inside {
        Inside(self.0)
    }

    /// Calls the continuation of an ask inside with what `outcome` holds.
    #[cfg(feature = "testkit")]
    pub(crate) fn call_with<E: Copy + 'static, R: 'static>(self, outcome: Result<Parcel, E>) -> R {
        let inside = match &outcome {
            // SAFETY: `outcome` has the parcel until the call is over, and is left alone.
            Ok(answer) => Ok(unsafe { answer.inside() }),
            Err(error) => Err(*error),
        };
        self.call::<Result<Inside, E>, R>(inside)
    }

    /// Moves the payload out if it is a `T`.
    pub(crate) fn try_open<T: 'static>(self) -> Result<T, Self> {
        if self.holds::<T>() {
            // SAFETY: just checked.
            let value = unsafe { take_payload::<T>(self.payload()) };
            free(self.0, self.class());
            std::mem::forget(self);
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// The payload, if it is a `T`.
    pub(crate) fn peek<T: 'static>(&self) -> Option<&T> {
        if !self.holds::<T>() {
            return None;
        }
        let payload = self.payload();
        let pointer = if boxed::<T>() {
            // SAFETY: a boxed payload is a pointer.
            unsafe { payload.cast::<*const T>().read() }
        } else {
            payload.cast_const().cast::<T>()
        };
        // SAFETY: E2, and the parcel is borrowed.
        Some(unsafe { &*pointer })
    }

    /// Writes the 16 bytes of room at the envelope's end that [`Parcel::closure`] or
    /// [`Parcel::with_note`] left.
    #[inline(always)]
    pub(crate) fn set_note(&self, note: [u64; 2]) {
        // SAFETY: the end of an envelope is within it, 8-aligned, and no reference to it exists.
        unsafe { self.note_place().write(note) };
    }

    /// Reads the room at the envelope's end, of a kind that has one.
    #[inline(always)]
    pub(crate) fn note(&self) -> [u64; 2] {
        // SAFETY: as above; the caller knows by the kind that `closure` or `with_note` made the
        // parcel, and they wrote the room.
        unsafe { self.note_place().read() }
    }

    #[inline(always)]
    fn note_place(&self) -> *mut [u64; 2] {
        let end = SIZES[0] << self.class();
        // SAFETY: within the envelope.
        unsafe { self.0.as_ptr().cast::<u8>().add(end - NOTE).cast() }
    }

    /// The link, to compare.
    #[inline(always)]
    pub(crate) fn link(&self) -> NonNull<Link> {
        self.0.cast()
    }

    /// Gives the envelope of a parcel back whose payload was taken.
    #[inline(always)]
    pub(crate) fn free_emptied(self) {
        debug_assert!(self.is_a::<Nothing>());
        free(self.0, self.class());
        std::mem::forget(self);
    }

    /// As [`Parcel::free_emptied`], to a pool at hand.
    #[inline(always)]
    pub(crate) fn free_emptied_to(self, pool: &Pool) {
        debug_assert!(self.is_a::<Nothing>());
        pool.free(self.0, self.class());
        std::mem::forget(self);
    }

    /// Gives the envelope back to a pool at hand, if what is inside needs no drop.
    ///
    /// # Errors
    ///
    /// The parcel, if it does.
    #[inline(always)]
    pub(crate) fn free_plain_to(self, pool: &Pool) -> Result<(), Self> {
        if !self.header().contents.get().is_plain {
            return Err(self);
        }
        pool.free(self.0, self.class());
        std::mem::forget(self);
        Ok(())
    }

    /// The link, for the inbox; the parcel is given away.
    #[inline(always)]
    pub(crate) fn into_link(self) -> NonNull<Link> {
        let link = self.0.cast();
        std::mem::forget(self);
        link
    }

    /// The parcel behind a link that came out of an inbox or of [`Parcel::into_link`].
    ///
    /// # Safety
    ///
    /// The link is a parcel's and nobody else owns it.
    #[inline(always)]
    pub(crate) unsafe fn from_link(link: NonNull<Link>) -> Self {
        Self(link.cast())
    }
}

/// The payload of a parcel that somebody else holds; see [`Parcel::inside`].
pub(crate) struct Inside(NonNull<Envelope>);

impl Inside {
    /// Moves the payload out if it is a `T`.
    #[inline(always)]
    pub(crate) fn try_take<T: 'static>(self) -> Option<T> {
        ManuallyDrop::new(Parcel(self.0)).try_take()
    }
}

const KIND_MASK: u8 = 0x1f;
const _: () = assert!(Kind::Token as u8 <= KIND_MASK);
// An answer's envelope may end with an error instead, which must leave its note alone.
const _: () = assert!(size_of::<crate::AskError>() <= SIZES[0] - HEADER - NOTE);
const CLASS_SHIFT: u32 = 5;
/// The flag of an envelope with a deadline at its end.
const TIMED: u32 = 1 << 7;
const CELL_SHIFT: u32 = 8;

impl Drop for Parcel {
    fn drop(&mut self) {
        let contents = self.header().contents.get();
        self.header().contents.set(EMPTY);
        // The envelope is freed also when the payload's drop panics.
        let _free = FreeOnDrop(self.0, self.class());
        // SAFETY: E2, and the contents now say that it is gone.
        unsafe { (contents.drop)(self.payload()) };
    }
}

struct FreeOnDrop(NonNull<Envelope>, u8);

impl Drop for FreeOnDrop {
    fn drop(&mut self) {
        free(self.0, self.1);
    }
}

/// A first-in-first-out list of parcels, linked through their envelopes.
#[derive(Debug)]
pub(crate) struct List {
    head: *mut Link,
    tail: *mut Link,
}

// SAFETY: a list owns its parcels, which are `Send`.
unsafe impl Send for List {}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list.
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self {
            head: std::ptr::null_mut(),
            tail: std::ptr::null_mut(),
        }
    }

    /// A list of one.
    #[inline(always)]
    pub(crate) fn one(parcel: Parcel) -> Self {
        let link = parcel.into_link();
        // SAFETY: the list owns it now.
        let first = unsafe { link.as_ref() };
        // SAFETY: as above.
        unsafe { first.set_next(std::ptr::null_mut()) };
        Self {
            head: link.as_ptr(),
            tail: link.as_ptr(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Appends a parcel.
    #[inline(always)]
    pub(crate) fn push_back(&mut self, parcel: Parcel) {
        self.append(Self::one(parcel));
    }

    /// Puts a parcel first.
    #[inline(always)]
    pub(crate) fn push_front(&mut self, parcel: Parcel) {
        let mut first = Self::one(parcel);
        first.append(std::mem::take(self));
        *self = first;
    }

    /// Appends all of `other`.
    #[inline(always)]
    pub(crate) fn append(&mut self, other: Self) {
        let other = ManuallyDrop::new(other); // its parcels are this list's now
        if let Some(tail) = NonNull::new(self.tail) {
            // SAFETY: the list owns its last parcel.
            let tail = unsafe { tail.as_ref() };
            // SAFETY: as above.
            unsafe { tail.set_next(other.head) };
        } else {
            self.head = other.head;
        }
        if !other.tail.is_null() {
            self.tail = other.tail;
        }
    }

    /// The first parcel.
    #[inline(always)]
    pub(crate) fn front(&self) -> Option<&Parcel> {
        self.iter().next()
    }

    /// Takes the parcel of a list of one off.
    #[inline(always)]
    pub(crate) fn take_only(&mut self) -> Option<Parcel> {
        debug_assert_eq!(self.head, self.tail);
        let link = NonNull::new(self.head)?;
        self.head = std::ptr::null_mut();
        self.tail = std::ptr::null_mut();
        // SAFETY: it is off the list now.
        Some(unsafe { Parcel::from_link(link) })
    }

    /// Takes the first parcel off.
    #[inline(always)]
    pub(crate) fn pop_front(&mut self) -> Option<Parcel> {
        let link = NonNull::new(self.head)?;
        // SAFETY: the list owns its first parcel.
        let first = unsafe { link.as_ref() };
        // SAFETY: as above.
        self.head = unsafe { first.next() };
        if self.head.is_null() {
            self.tail = std::ptr::null_mut();
        }
        // SAFETY: it is off the list now.
        Some(unsafe { Parcel::from_link(link) })
    }

    /// Takes the first parcel off if it is of this kind.
    #[inline(always)]
    pub(crate) fn pop_front_of(&mut self, kind: Kind) -> Option<Parcel> {
        match self.front()?.kind() == kind {
            true => self.pop_front(),
            false => None,
        }
    }

    /// Takes the first parcel off of which `is_it` says so.
    #[inline(always)]
    pub(crate) fn take_first(&mut self, is_it: impl Fn(&Parcel) -> bool) -> Option<Parcel> {
        let mut previous: Option<NonNull<Link>> = None;
        let mut place = NonNull::new(self.head);
        while let Some(link) = place {
            // SAFETY: a parcel's link, which stays the list's unless it is taken off below.
            let parcel = ManuallyDrop::new(unsafe { Parcel::from_link(link) });
            // SAFETY: the list owns it.
            let this = unsafe { link.as_ref() };
            // SAFETY: as above.
            let next = unsafe { this.next() };
            if !is_it(&parcel) {
                previous = place;
                place = NonNull::new(next);
                continue;
            }
            if let Some(previous) = previous {
                // SAFETY: as above, the one before.
                let previous = unsafe { previous.as_ref() };
                // SAFETY: as above.
                unsafe { previous.set_next(next) };
            } else {
                self.head = next;
            }
            if self.tail == link.as_ptr() {
                self.tail = previous.map_or(std::ptr::null_mut(), NonNull::as_ptr);
            }
            return Some(ManuallyDrop::into_inner(parcel));
        }
        None
    }

    /// Takes the messages off that are told the same actor as `first`, which was taken off before,
    /// up to `most` with it; they come from `sender` now.
    #[inline(always)]
    pub(crate) fn take_run(&mut self, first: Parcel, sender: u32, most: u32) -> (Chain, u32) {
        let target = first.cell();
        first.set_cell(sender);
        let mut chain = Chain::one(first.into_link());
        let mut count = 1;
        let is_next = |next: &Parcel| next.kind() == Kind::Tell && next.cell() == target;
        while count < most
            && self.front().is_some_and(is_next)
            && let Some(next) = self.pop_front()
        {
            next.set_cell(sender);
            // SAFETY: both were this list's, and are the caller's now.
            unsafe { chain.push(next.into_link()) };
            count += 1;
        }
        (chain, count)
    }

    /// Looks at each parcel in order.
    #[inline(always)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Parcel> {
        let mut link = &raw const self.head;
        std::iter::from_fn(move || {
            // SAFETY: a pointer in the list or in a parcel of it, all borrowed.
            let parcel = link.cast::<Option<NonNull<Envelope>>>();
            // SAFETY: as above; `Parcel` is a `NonNull`, so null reads as `None`.
            let parcel = unsafe { &*parcel.cast::<Option<Parcel>>() };
            let parcel = parcel.as_ref()?;
            // The link is the envelope's first field.
            link = parcel.0.as_ptr().cast::<*mut Link>().cast_const();
            Some(parcel)
        })
    }

    /// The list of a stack that came out of an inbox, oldest first.
    ///
    /// # Safety
    ///
    /// `newest` is null or heads a chain that nobody else owns.
    #[inline(always)]
    pub(crate) unsafe fn from_stack(newest: *mut Link) -> Self {
        let mut head = std::ptr::null_mut();
        let mut link = newest;
        while let Some(this) = NonNull::new(link) {
            // SAFETY: the chain is ours, by the caller's promise.
            let this = unsafe { this.as_ref() };
            // SAFETY: as above.
            link = unsafe { this.next() };
            // SAFETY: as above.
            unsafe { this.set_next(head) };
            head = std::ptr::from_ref(this).cast_mut();
        }
        Self { head, tail: newest }
    }
}

impl Drop for List {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_empty() {
            drop_all(self);
        }
    }
}

#[cold]
#[inline(never)]
fn drop_all(list: &mut List) {
    while let Some(parcel) = list.pop_front() {
        drop(parcel);
    }
}

/// Puts one message into `inbox` and takes a place for it.
///
/// # Errors
///
/// Why not, and the message.
#[inline(always)]
pub(crate) fn push(inbox: &Inbox, parcel: Parcel, capacity: u32) -> Result<Wake, (Push, Parcel)> {
    let link = parcel.into_link();
    match inbox.push(link, capacity) {
        Push::Enqueue => Ok(Wake::Enqueue),
        Push::Queued => Ok(Wake::Nothing),
        // SAFETY: a refused link is the caller's still.
        refused => Err((refused, unsafe { Parcel::from_link(link) })),
    }
}

/// Puts a message into `ring`, and a token with a place into `inbox` unless the oldest makes room;
/// that one comes back.
///
/// # Errors
///
/// Why not, and the message.
#[cold]
pub(crate) fn push_in_ring(
    inbox: &Inbox,
    ring: &Ring<Parcel>,
    parcel: Parcel,
    capacity: u32,
    lives: impl FnOnce(u32) -> bool,
) -> Result<(Wake, Option<Parcel>), (Push, Parcel)> {
    let is_open = |newest: &Parcel| match !inbox.is_closed() && lives(newest.generation()) {
        true => Ok(()),
        false => Err(Push::Closed),
    };
    // Places come back after the batch, so the count may be above what waits.
    let place = || {
        let token = Parcel::new(Kind::Token, ());
        token.set_generation(0); // no actor's, so that a run stumbles over it
        push(inbox, token, OVERDRAFT_MAX).map_err(|(refused, _)| refused)
    };
    Ok(match ring.put(parcel, capacity, is_open, place)? {
        Put::Placed(wake) => (wake, None),
        Put::Displaced(oldest) => (Wake::Nothing, Some(oldest)),
    })
}

/// Puts an envelope into `inbox` that takes no place.
///
/// # Errors
///
/// The envelope, when the inbox is closed.
pub(crate) fn push_uncounted(inbox: &Inbox, parcel: Parcel) -> Result<Wake, Parcel> {
    let link = parcel.into_link();
    match inbox.push_uncounted(link) {
        Push::Enqueue => Ok(Wake::Enqueue),
        Push::Queued => Ok(Wake::Nothing),
        // SAFETY: a refused link is the caller's still.
        _ => Err(unsafe { Parcel::from_link(link) }),
    }
}

/// Messages to one mailbox that are linked but not yet published, and the places held for them.
#[derive(Debug)]
pub(crate) struct Pending {
    target: Cell<u32>,
    chain: Cell<Option<Chain>>,
    used: Cell<u32>,
    leased: Cell<u32>,
}

// SAFETY: it owns the chain's parcels, which are `Send`.
unsafe impl Send for Pending {}

/// What is to be done after [`Pending::publish`].
pub(crate) enum Published {
    /// The caller does what the inbox says.
    In(Wake),
    /// The target is closed: the messages, and the places to give back.
    Closed(List, u32),
}

const NOBODY: u32 = u32::MAX;

impl Pending {
    pub(crate) const fn new() -> Self {
        Self {
            target: Cell::new(NOBODY),
            chain: Cell::new(None),
            used: Cell::new(0),
            leased: Cell::new(0),
        }
    }

    /// Whose messages are pending, if any are or places are held.
    #[inline(always)]
    pub(crate) fn target(&self) -> Option<u32> {
        let target = self.target.get();
        (target != NOBODY).then_some(target)
    }

    /// Whether a place is held for one message more to `target`.
    #[inline(always)]
    pub(crate) fn has_place(&self, target: u32) -> bool {
        self.target.get() == target && self.used.get() < self.leased.get()
    }

    /// Whether the one place that is held is for the message in hand.
    #[inline(always)]
    pub(crate) fn holds_one(&self) -> bool {
        self.leased.get() == 1
    }

    /// Puts a message, for which a place is held, into its inbox together with those pending.
    #[inline(always)]
    pub(crate) fn publish_with(&self, inbox: &Inbox, parcel: Parcel) -> Published {
        if self.chain.get().is_some() {
            self.push(parcel);
            return self.publish(inbox);
        }
        self.target.set(NOBODY);
        self.used.set(0);
        let leased = self.leased.replace(0);
        publish(inbox, Chain::one(parcel.into_link()), 1, leased)
    }

    /// Begins a chain to `target`, for which `leased` places are held.
    #[inline(always)]
    pub(crate) fn begin(&self, target: u32, leased: u32) {
        debug_assert!(self.chain.get().is_none());
        self.target.set(target);
        self.used.set(0);
        self.leased.set(leased);
    }

    /// Adds a message, for which a place is held.
    #[inline(always)]
    pub(crate) fn push(&self, parcel: Parcel) {
        debug_assert!(self.used.get() < self.leased.get());
        let link = parcel.into_link();
        let chain = match self.chain.get() {
            None => Chain::one(link),
            Some(mut chain) => {
                // SAFETY: both are this chain's.
                unsafe { chain.push(link) };
                chain
            }
        };
        self.chain.set(Some(chain));
        self.used.set(self.used.get() + 1);
    }

    /// Puts the chain into its target's inbox and gives the places left over back.
    #[inline(always)]
    pub(crate) fn publish(&self, inbox: &Inbox) -> Published {
        self.target.set(NOBODY);
        let (used, leased) = (self.used.replace(0), self.leased.replace(0));
        let Some(chain) = self.chain.take() else {
            return Published::Closed(List::new(), leased);
        };
        publish(inbox, chain, used, leased)
    }
}

/// Puts `used` messages into an inbox and gives `leased` places back that are held for them.
#[inline(always)]
pub(crate) fn publish(inbox: &Inbox, chain: Chain, used: u32, leased: u32) -> Published {
    match inbox.publish(chain, used, leased) {
        Push::Enqueue => Published::In(Wake::Enqueue),
        Push::Queued => Published::In(Wake::Nothing),
        // SAFETY: a refused chain is the caller's still.
        _ => Published::Closed(unsafe { List::from_stack(chain.newest.as_ptr()) }, leased),
    }
}

/// Full magazines on their way between workers, and the count of all envelopes' bytes.
#[derive(Debug)]
pub(crate) struct Depot {
    magazines: [Mutex<Vec<Magazine>>; 3],
    bytes: AtomicU64,
    limit: AtomicU64,
}

#[derive(Debug)]
struct Magazine {
    head: *mut Envelope,
    count: u32,
}

// SAFETY: a magazine owns its envelopes, which are free.
unsafe impl Send for Magazine {}

impl Default for Depot {
    fn default() -> Self {
        Self {
            magazines: Default::default(),
            bytes: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
        }
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        for (class, magazines) in self.magazines.iter().enumerate() {
            for magazine in lock(magazines).drain(..) {
                free_all(&magazine, class as u8);
            }
        }
    }
}

impl Depot {
    /// Bytes of envelopes that workers took from the slabs, or got from outside, and did not
    /// give back.
    pub(crate) fn bytes(&self) -> u64 {
        // An envelope of a plan may be freed outside, where nobody counts.
        (self.bytes.load(Ordering::Relaxed) as i64).max(0) as u64
    }

    /// Counts an envelope that comes from outside and will stay.
    pub(crate) fn adopt(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts an envelope out again.
    pub(crate) fn disown(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Sets how many bytes there may be.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Whether there are more bytes than there may be.
    pub(crate) fn is_over(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        limit == 0 || self.bytes() > limit
    }

    /// Gives free envelopes back to the slabs.
    pub(crate) fn trim(&self) {
        for (class, magazines) in self.magazines.iter().enumerate() {
            let magazines = std::mem::take(&mut *lock(magazines));
            for magazine in magazines {
                self.give_up(&magazine, class as u8);
            }
        }
    }

    /// Gives a few of the free envelopes back that a burst left, if there are many; whether there
    /// were.
    pub(crate) fn shrink(&self) -> bool {
        let mut any = false;
        for (class, magazines) in self.magazines.iter().enumerate() {
            let mut magazines = lock(magazines);
            let there = magazines.len();
            let kept = there.saturating_sub(SHRINK).max(DEPOT_MAGAZINES);
            let excess = magazines.split_off(kept.min(there));
            drop(magazines);
            any |= !excess.is_empty();
            for magazine in excess {
                self.give_up(&magazine, class as u8);
            }
        }
        any
    }

    fn give_up(&self, magazine: &Magazine, class: u8) {
        let bytes = SIZES[class as usize] as u64 * u64::from(magazine.count);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        free_all(magazine, class);
    }
}

/// A thread's own cache of envelopes.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// One for each size; an envelope's tag has room for a fourth.
    shelves: [Shelf; 4],
    short: Cell<bool>,
    depot: Arc<Depot>,
}

#[derive(Debug, Default)]
struct Shelf {
    head: Cell<usize>,
    count: Cell<u32>,
    spare: Cell<usize>,
    spare_count: Cell<u32>,
}

impl Pool {
    pub(crate) fn new(depot: Arc<Depot>) -> Self {
        Self {
            shelves: Default::default(),
            short: Cell::new(false),
            depot,
        }
    }

    /// Whether the last envelope from a slab was one too many.
    #[inline(always)]
    pub(crate) fn is_short(&self) -> bool {
        self.short.get()
    }

    /// Lets the next envelope from a slab find out anew.
    pub(crate) fn forget_shortage(&self) {
        self.short.set(false);
    }

    #[inline(always)]
    fn allocate(&self, class: u8) -> NonNull<Envelope> {
        let shelf = &self.shelves[class as usize & 3];
        if let Some(envelope) = NonNull::new(shelf.head.get() as *mut Envelope) {
            let next = next_free(envelope);
            prefetch(next as *const Envelope);
            shelf.head.set(next);
            shelf.count.set(shelf.count.get() - 1);
            return envelope;
        }
        self.refill(class)
    }

    #[cold]
    #[inline(never)]
    fn refill(&self, class: u8) -> NonNull<Envelope> {
        let shelf = &self.shelves[class as usize];
        if shelf.spare_count.get() > 0 {
            shelf.head.set(shelf.spare.replace(0));
            shelf.count.set(shelf.spare_count.replace(0));
        } else if let Some(magazine) = lock(&self.depot.magazines[class as usize]).pop() {
            shelf.head.set(magazine.head as usize);
            shelf.count.set(magazine.count);
        } else {
            self.depot
                .bytes
                .fetch_add(SIZES[class as usize] as u64, Ordering::Relaxed);
            self.short.set(self.depot.is_over());
            return from_slab(class);
        }
        self.allocate(class)
    }

    #[inline(always)]
    fn free(&self, envelope: NonNull<Envelope>, class: u8) {
        let shelf = &self.shelves[class as usize & 3];
        if shelf.count.get() >= MAGAZINE {
            self.rotate(class);
        }
        set_next_free(envelope, shelf.head.get());
        shelf.head.set(envelope.as_ptr() as usize);
        shelf.count.set(shelf.count.get() + 1);
    }

    /// Sets the full magazine aside, and gives the one that was aside to the depot.
    #[cold]
    #[inline(never)]
    fn rotate(&self, class: u8) {
        let shelf = &self.shelves[class as usize];
        let aside = Magazine {
            head: shelf.spare.get() as *mut Envelope,
            count: shelf.spare_count.get(),
        };
        shelf.spare.set(shelf.head.replace(0));
        shelf.spare_count.set(shelf.count.replace(0));
        self.hand_over(aside, class);
    }

    fn hand_over(&self, magazine: Magazine, class: u8) {
        if magazine.count == 0 {
            return;
        }
        let mut depot = lock(&self.depot.magazines[class as usize]);
        let most = DEPOT_BYTES / (SIZES[class as usize] * MAGAZINE as usize);
        if depot.len() < most && !self.depot.is_over() {
            depot.push(magazine);
        } else {
            drop(depot);
            self.depot.give_up(&magazine, class);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for class in 0..SIZES.len() as u8 {
            self.rotate(class);
            self.rotate(class);
        }
    }
}

// A free envelope's first word is the address of the next free one, or 0.

#[inline(always)]
fn next_free(envelope: NonNull<Envelope>) -> usize {
    // SAFETY: a free envelope is the pool's, and at least 8 bytes long.
    unsafe { envelope.cast::<usize>().read() }
}

#[inline(always)]
fn set_next_free(envelope: NonNull<Envelope>, next: usize) {
    // SAFETY: as above.
    unsafe { envelope.cast::<usize>().write(next) };
}

/// Where envelopes come from, and where those that no depot wants go.
static SLABS: [Slab; 3] = [
    Slab::new(SIZES[0]),
    Slab::new(SIZES[1]),
    Slab::new(SIZES[2]),
];

fn from_slab(class: u8) -> NonNull<Envelope> {
    let envelope = SLABS[class as usize].take().cast::<Envelope>();
    // SAFETY: a slot is at least that large, and nobody else's.
    unsafe {
        envelope.write(Envelope {
            link: Link::new(),
            generation: Cell::new(0),
            tag: Cell::new(0),
            contents: Cell::new(EMPTY),
            payload: [MaybeUninit::uninit(); SIZES[0] - HEADER],
        });
    }
    envelope
}

fn to_slab(envelope: NonNull<Envelope>, class: u8) {
    // SAFETY: E1, E3: it came from this slab, and nobody owns it.
    unsafe { SLABS[class as usize].give_back(envelope.cast()) };
}

fn free_all(magazine: &Magazine, class: u8) {
    let mut head = magazine.head as usize;
    while let Some(envelope) = NonNull::new(head as *mut Envelope) {
        head = next_free(envelope);
        to_slab(envelope, class);
    }
}

thread_local! {
    static POOL: Cell<*const Pool> = const { Cell::new(std::ptr::null()) };
}

thread_local! {
    /// The cache of a thread that is no worker, for the system that it sent to last.
    static OUTSIDE: RefCell<Option<Rc<Pool>>> = const { RefCell::new(None) };
}

/// Uses a cache of this thread's own for all envelopes while `run` runs, unless it uses a worker's.
///
/// The cache takes envelopes that the workers have left over, a magazine at a time, so that in
/// steady state a send from outside allocates nothing.
#[inline]
pub(crate) fn with_outside_pool<R>(depot: &Arc<Depot>, run: impl FnOnce() -> R) -> R {
    if !POOL.get().is_null() {
        return run();
    }
    let pool = OUTSIDE.try_with(|slot| {
        let mut slot = slot.try_borrow_mut().ok()?;
        match &*slot {
            Some(pool) if Arc::ptr_eq(&pool.depot, depot) => Some(pool.clone()),
            _ => {
                let pool = Rc::new(Pool::new(depot.clone()));
                *slot = Some(pool.clone());
                Some(pool)
            }
        }
    });
    match pool.ok().flatten() {
        Some(pool) => with_pool(&pool, run),
        // The thread is at its end.
        None => run(),
    }
}

/// Whether the cache that this thread uses now counts its envelopes in `depot`.
#[inline]
pub(crate) fn is_counted_in(depot: &Depot) -> bool {
    let pool = POOL.get();
    // SAFETY: `with_pool` borrows the pool for as long as the pointer is set.
    !pool.is_null() && std::ptr::eq(&*unsafe { &*pool }.depot, depot)
}

/// Gives back what this thread, if it is no worker, holds of a system's envelopes.
pub(crate) fn leave_outside_pool(depot: &Arc<Depot>) {
    let cache = OUTSIDE.try_with(|slot| {
        let mut slot = slot.try_borrow_mut().ok()?;
        slot.take_if(|pool| Arc::ptr_eq(&pool.depot, depot))
    });
    drop(cache);
}

/// The system is gone: gives all of its envelopes back that are here, and those that other threads
/// hold when they come.
pub(crate) fn close_depot(depot: &Arc<Depot>) {
    leave_outside_pool(depot);
    depot.set_limit(0);
    depot.trim();
}

/// Uses `pool` for all envelopes of this thread while `run` runs.
pub(crate) fn with_pool<R>(pool: &Pool, run: impl FnOnce() -> R) -> R {
    struct Restore(*const Pool);
    impl Drop for Restore {
        fn drop(&mut self) {
            POOL.set(self.0);
        }
    }
    let _restore = Restore(POOL.replace(pool));
    run()
}

#[inline(always)]
fn allocate(class: u8) -> NonNull<Envelope> {
    let pool = POOL.get();
    if pool.is_null() {
        return from_slab(class);
    }
    // SAFETY: `with_pool` borrows the pool for as long as the pointer is set.
    unsafe { &*pool }.allocate(class)
}

#[inline(always)]
fn free(envelope: NonNull<Envelope>, class: u8) {
    let pool = POOL.get();
    if pool.is_null() {
        return to_slab(envelope, class);
    }
    // SAFETY: as above.
    unsafe { &*pool }.free(envelope, class);
}

#[cfg(test)]
mod tests {
    use super::*;

    std::thread_local! {
        /// How often this thread looked at a payload's type.
        pub(super) static LOOKS: Cell<u64> = const { Cell::new(0) };
    }

    #[test]
    fn no_message_is_looked_at_for_its_type() {
        use crate::prelude::*;
        use crate::timer::Clock;

        struct Sum(u64);
        impl Machine for Sum {
            type Event = u64;
            fn apply(&mut self, number: u64) {
                self.0 += number;
            }
        }
        enum Say {
            To(ActorRef<Say>, u64),
            Ask(ActorRef<Say>, u64),
            Get(Reply<u64>),
        }
        #[derive(Clone, Copy)]
        struct Saying;
        impl Behavior for Saying {
            type Machine = Sum;
            type Message = Say;
            fn on_message(&self, say: Say, sum: Snapshot<Self>) -> Plan<Self> {
                match say {
                    Say::To(_, 0) | Say::Ask(_, 0) => Plan::none(),
                    Say::To(to, left) => {
                        Plan::emit(1).and(Plan::tell(to, Say::To(sum.me(), left - 1)))
                    }
                    Say::Ask(to, left) => Plan::<Self>::ask(to, Say::Get)
                        .on_ok(move |_| Say::Ask(to, left - 1))
                        .into(),
                    Say::Get(reply) => Plan::reply(reply, sum.0),
                }
            }
        }
        let (clock, _) = Clock::manual();
        let system = System::stepped(Config::default(), clock).unwrap();
        let [a, b] = [(); 2].map(|()| system.spawn(Saying, Sum(0)).unwrap());
        let looks = |say: Say| {
            let before = LOOKS.get();
            a.tell(say).ok().unwrap();
            system.run_until_idle();
            LOOKS.get() - before
        };
        assert_eq!(looks(Say::To(b.actor(), 1_000)), 0, "1,001 messages");
        let answers = looks(Say::Ask(b.actor(), 1_000));
        assert_eq!(answers, 1_000, "an answer has one, a question none");
    }

    #[test]
    fn payloads_of_all_sizes_come_out_as_they_went_in() {
        fn check<T: Send + 'static + PartialEq + std::fmt::Debug + Clone>(value: T) {
            let parcel = Parcel::new(Kind::Tell, value.clone());
            assert!(parcel.holds::<T>());
            assert_eq!(parcel.peek::<T>(), Some(&value));
            assert_eq!(parcel.try_open::<T>().unwrap(), value);
        }
        check(());
        check(7_u8);
        check([1_u64; 5]);
        check([2_u64; 6]);
        check([3_u64; 29]);
        check([4_u64; 30]);
        check(vec![5_u8; 1_000_000]);
        check(5_u128);
    }

    #[test]
    fn the_tag_keeps_kind_cell_and_class_apart() {
        let parcel = Parcel::new(Kind::Reply, [0_u64; 20]);
        parcel.set_cell(0x00ab_cdef);
        parcel.set_kind(Kind::Down);
        assert_eq!(
            (parcel.kind(), parcel.cell(), parcel.class()),
            (Kind::Down, 0x00ab_cdef, 2)
        );
    }

    #[test]
    fn each_payload_is_dropped_once_also_in_lists_and_when_its_drop_panics() {
        struct Bomb(Arc<()>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                if Arc::strong_count(&self.0) == 3 {
                    panic!("bomb");
                }
            }
        }
        let count = Arc::new(());
        let mut list = List::new();
        for _ in 0..5 {
            list.push_back(Parcel::new(Kind::Tell, Bomb(count.clone())));
        }
        assert_eq!(list.iter().count(), 5);
        while let Some(parcel) = list.pop_front() {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(parcel)));
        }
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn a_pool_keeps_magazines_and_hands_the_rest_to_the_depot() {
        let depot = Arc::new(Depot::default());
        let pool = Pool::new(depot.clone());
        with_pool(&pool, || {
            let mut parcels: Vec<_> = (0..1000).map(|i| Parcel::new(Kind::Tell, i)).collect();
            assert_eq!(depot.bytes(), 64_000);
            parcels.clear();
            let again: Vec<_> = (0..1000).map(|i| Parcel::new(Kind::Tell, i)).collect();
            assert_eq!(
                depot.bytes(),
                64_000,
                "all came from the pool and the depot"
            );
            drop(again);
        });
        drop(pool);
        assert!(lock(&depot.magazines[0]).len() >= 7);
    }

    #[test]
    fn a_thread_outside_takes_envelopes_that_workers_have_left_over() {
        let depot = Arc::new(Depot::default());
        let other = Arc::new(Depot::default());
        let make = |depot: &Arc<Depot>| {
            with_outside_pool(depot, || {
                assert!(is_counted_in(depot));
                Parcel::new(Kind::Tell, 1_u64)
            })
        };
        let worker = Pool::new(depot.clone());
        let sent: Vec<_> = (0..1_000).map(|_| make(&depot)).collect();
        assert_eq!(depot.bytes(), 64_000);
        with_pool(&worker, || {
            assert!(is_counted_in(&depot) && !is_counted_in(&other));
            drop(sent);
        });
        let again: Vec<_> = (0..700).map(|_| make(&depot)).collect();
        assert_eq!(depot.bytes(), 64_000, "none came from a slab");
        with_pool(&worker, || drop(again));
        let of_other = make(&other);
        assert_eq!(other.bytes(), 64);
        assert!(!is_counted_in(&other), "only while it sends");
        with_pool(&Pool::new(other.clone()), || drop(of_other));
        drop(worker);
        close_depot(&depot);
        close_depot(&other);
        assert_eq!((depot.bytes(), other.bytes()), (0, 0));
        assert_eq!(
            (Arc::strong_count(&depot), Arc::strong_count(&other)),
            (1, 1)
        );
    }
}
