//! What few actors need: open asks, timers, a plan that waits, subscribers.

use super::Behavior;
use super::cell::{Running, Waiting};
use crate::ask::Asks;
use crate::dispatcher::effects::WheelEntry;
use crate::dispatcher::worker::Worker;
use crate::envelope::Kind;
use crate::plan::timers::Timers;
use std::any::Any;
use std::cell::{Cell, RefCell};

/// Made on first need, kept until the actor ends.
#[derive(Default)]
pub(crate) struct Extension {
    pub(crate) asks: RefCell<Asks>,
    pub(crate) timers: RefCell<Timers>,
    waiting: RefCell<Option<Box<dyn Any + Send>>>,
    waiting_kind: Cell<Option<Kind>>,
    /// The deadline of that plan.
    pub(crate) waits_until: Cell<Option<WheelEntry>>,
    /// A `Vec<Subscriber<Event>>` of the machine's event type.
    pub(crate) subscribers: RefCell<Option<Box<dyn Any + Send>>>,
}

/// A closure over an actor's cell and body, run in its turn; the last is a `*mut Body<B>`.
pub(crate) struct Call(pub(crate) Box<CallFn>);

type CallFn = dyn FnOnce(&Running<'_>, &Worker, *mut ()) + Send;

impl Extension {
    /// Whether a plan waits for room.
    #[inline(always)]
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.borrow().is_some()
    }

    /// The plan that waits for room, if there is one.
    pub(crate) fn take_waiting<B: Behavior>(&self) -> Option<Waiting<B>> {
        self.waiting_kind.set(None);
        let waiting = self.waiting.borrow_mut().take()?;
        waiting.downcast().ok().map(|waiting| *waiting)
    }

    /// Keeps a plan that waits for room. One allocation.
    pub(crate) fn put_waiting<B: Behavior>(&self, waiting: Waiting<B>) {
        self.waiting_kind.set(waiting.kind());
        *self.waiting.borrow_mut() = Some(Box::new(waiting));
    }

    /// What kind of message the waiting plan belongs to, if it belongs to one.
    pub(crate) fn waiting_kind(&self) -> Option<Kind> {
        self.waiting_kind.get()
    }
}
