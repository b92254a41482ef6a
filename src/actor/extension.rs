//! What few actors need: open asks, timers, a plan that waits, subscribers.

use super::Behavior;
use super::cell::{Running, Waiting};
use crate::ask::Asks;
use crate::dispatcher::effects::WheelEntry;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, List, Parcel};
use crate::plan::timers::Timers;
use crate::supervise::keeper::Keeper;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};

/// Made on first need, kept until the actor ends.
#[derive(Default)]
pub(crate) struct Extension {
    pub(crate) asks: RefCell<Asks>,
    /// How long an ask waits that does not say; 0 for the system's.
    pub(crate) ask_timeout_ns: Cell<u64>,
    pub(crate) timers: RefCell<Timers>,
    /// An `Option<Waiting>` of the actor's behavior.
    waiting: RefCell<Option<Box<dyn Any + Send>>>,
    has_waiting: Cell<bool>,
    waiting_kind: Cell<Option<Kind>>,
    /// The deadline of that plan.
    pub(crate) waits_until: Cell<Option<WheelEntry>>,
    /// A `Vec<Subscriber<Event>>` of the machine's event type.
    pub(crate) subscribers: RefCell<Option<Box<dyn Any + Send>>>,
    /// A plan's [`Switch`](crate::plan::switch::Switch), until the end of its run.
    pub(crate) becoming: Cell<Option<Parcel>>,
    /// A [`Next`](super::cell::Next) each: the behaviors to go back to.
    pub(crate) kept: RefCell<Vec<Parcel>>,
    /// Messages that were put aside, and how many.
    pub(crate) stash: RefCell<(List, u32)>,
    /// When the actor received something, if it has a receive time-out.
    pub(crate) heard_ns: Cell<u64>,
    /// How long that is.
    pub(crate) silence_ns: Cell<u64>,
    /// Whether its time is up, and nothing was received since.
    pub(crate) is_silent: Cell<bool>,
    /// A copy of the message in hand, with its panics if this turn is one more; see
    /// [`Poison`](crate::Poison).
    pub(crate) in_hand: Cell<Option<Parcel>>,
    /// How many turns of the message in hand panicked before this one.
    pub(crate) crashes: Cell<u64>,
    /// The message that comes first after a restart.
    pub(crate) retry: Cell<Option<Parcel>>,
    /// The supervisor's hold on the actor; stays over restarts.
    pub(crate) keeper: OnceCell<Box<Keeper>>,
}

/// A closure over an actor's cell and body, run in its turn; the last is a `*mut Body<B>`.
pub(crate) struct Call(pub(crate) Box<CallFn>);

type CallFn = dyn FnOnce(&Running<'_>, &Worker, *mut ()) + Send;

impl Extension {
    /// Whether a plan waits for room.
    #[inline(always)]
    pub(crate) fn has_waiting(&self) -> bool {
        self.has_waiting.get()
    }

    /// The plan that waits for room, if there is one.
    pub(crate) fn take_waiting<B: Behavior>(&self) -> Option<Waiting<B>> {
        self.waiting_kind.set(None);
        self.has_waiting.set(false);
        let mut place = self.waiting.borrow_mut();
        place.as_mut()?.downcast_mut::<Option<Waiting<B>>>()?.take()
    }

    /// Keeps a plan that waits for room. One allocation the first time.
    pub(crate) fn put_waiting<B: Behavior>(&self, waiting: Waiting<B>) {
        self.waiting_kind.set(waiting.kind());
        self.has_waiting.set(true);
        let mut place = self.waiting.borrow_mut();
        let kept = place.as_mut().and_then(|place| place.downcast_mut());
        match kept {
            Some(kept) => *kept = Some(waiting),
            None => *place = Some(Box::new(Some(waiting))),
        }
    }

    /// Takes the waiting plan off, whatever its behavior.
    pub(crate) fn drop_waiting(&self) -> Option<Box<dyn Any + Send>> {
        self.waiting_kind.set(None);
        self.waiting.borrow_mut().take()
    }

    /// What kind of message the waiting plan belongs to, if it belongs to one.
    pub(crate) fn waiting_kind(&self) -> Option<Kind> {
        self.waiting_kind.get()
    }
}
