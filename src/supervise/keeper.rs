//! A supervisor's hold on one actor: who makes its states, and who hears how they end.

use crate::actor::cell::{Body, Running, Vtable};
use crate::actor::{Address, Behavior, Exit};
use crate::dispatcher::worker::Worker;
use crate::envelope::Parcel;
use std::any::Any;
use std::cell::{Cell, RefCell};

/// What became of a supervised actor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Its start hook has been committed.
    Started,
    /// The incarnation ended; the actor waits, with its mailbox, for
    /// [`Plan::restart`](crate::Plan::restart) or [`Plan::end`](crate::Plan::end).
    Parked(Exit),
    /// It has ended for good.
    Ended(Exit),
}

/// News of a supervised actor for its supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildNews {
    /// Which actor.
    pub child: Address,
    /// Its incarnation: 1 for the first, one more with each restart.
    pub incarnation: u32,
    /// What became of it.
    pub change: Change,
}

/// Makes a behavior and a machine for each incarnation.
type Make<B> = dyn Fn(u32) -> (B, <B as Behavior>::Machine) + Send;

/// Kept in the actor's extension from its first start to its last end.
pub(crate) struct Keeper {
    supervisor: Address,
    incarnation: Cell<u32>,
    exit: RefCell<Exit>,
    /// What runs the actor while it is parked, whatever it became.
    parked: &'static Vtable,
    /// A `Box<Make<B>>`.
    make: Box<dyn Any + Send>,
    /// Makes of news the closure that makes of a `Down` the supervisor's message.
    letter: Box<dyn Fn(ChildNews) -> Parcel + Send>,
}

impl Keeper {
    pub(crate) fn new<B: Behavior>(
        supervisor: Address,
        make: impl Fn(u32) -> (B, B::Machine) + Send + 'static,
        letter: impl Fn(ChildNews) -> Parcel + Send + 'static,
    ) -> Self {
        let make: Box<Make<B>> = Box::new(make);
        Self {
            supervisor,
            incarnation: Cell::new(0),
            exit: RefCell::new(Exit::Normal),
            parked: Vtable::parked::<B>(),
            make: Box::new(make),
            letter: Box::new(letter),
        }
    }

    /// The state of the next incarnation.
    pub(crate) fn make<B: Behavior>(&self) -> Body<B> {
        self.incarnation
            .set(self.incarnation.get().saturating_add(1));
        let Some(make) = self.make.downcast_ref::<Box<Make<B>>>() else {
            unreachable!("a keeper makes bodies of its cell's behavior");
        };
        let (behavior, machine) = make(self.incarnation.get());
        Body { behavior, machine }
    }

    /// What runs the actor while it is parked.
    pub(crate) fn parked(&self) -> &'static Vtable {
        self.parked
    }

    /// Why the last incarnation ended.
    pub(crate) fn exit(&self) -> Exit {
        self.exit.borrow().clone()
    }

    /// Notes the end of an incarnation and tells the supervisor.
    pub(crate) fn park(&self, run: &Running<'_>, worker: &Worker, exit: Exit) {
        *self.exit.borrow_mut() = exit.clone();
        self.tell(run, worker, Change::Parked(exit));
    }

    /// Tells the supervisor, after all that the actor has sent.
    pub(crate) fn tell(&self, run: &Running<'_>, worker: &Worker, change: Change) {
        worker.flush();
        let (supervisor, letter) = self.news(run, worker, change);
        worker.send_news(supervisor, run.address(worker), letter);
    }

    /// The supervisor, and a letter for it.
    pub(crate) fn news(
        &self,
        run: &Running<'_>,
        worker: &Worker,
        change: Change,
    ) -> (Address, Parcel) {
        let news = ChildNews {
            child: run.address(worker),
            incarnation: self.incarnation.get(),
            change,
        };
        (self.supervisor, (self.letter)(news))
    }
}
