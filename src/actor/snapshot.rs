//! What a behavior sees of its actor.

use super::{ActorRef, Address, Behavior, Origin};
use crate::dispatcher::batch_clock::BatchClock;
use std::ops::Deref;
use std::time::Duration;

/// The machine as it stands before the message, read-only, and a few facts of the turn.
pub struct Snapshot<'a, B: Behavior> {
    machine: &'a B::Machine,
    turn: &'a Turn<'a>,
}

/// The facts of one turn.
pub(crate) struct Turn<'a> {
    pub(crate) me: Address,
    pub(crate) clock: &'a BatchClock,
    /// 0 for what is no ask, `u64::MAX` for an ask that does not say until when.
    pub(crate) ask_by_ns: u64,
}

impl<'a, B: Behavior> Snapshot<'a, B> {
    pub(crate) fn new(machine: &'a B::Machine, turn: &'a Turn<'a>) -> Self {
        Self { machine, turn }
    }

    /// The actor's own address.
    pub fn me(&self) -> ActorRef<B::Message> {
        ActorRef::from_address(self.turn.me)
    }

    /// The time since the system's clock began, read once in a batch.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.turn.clock.now_ns())
    }

    /// The type of the current behavior, which [`Plan::become_`](crate::Plan::become_) changes.
    pub fn behavior(&self) -> &'static str {
        std::any::type_name::<B>()
    }

    /// Facts of the message in hand.
    pub fn meta(&self) -> Meta {
        Meta {
            is_ask: self.turn.ask_by_ns != 0,
            deadline: match self.turn.ask_by_ns {
                0 | u64::MAX => None,
                ask_by_ns => Some(Duration::from_nanos(ask_by_ns)),
            },
            version: B::MESSAGE_VERSION,
            origin: self.turn.clock.origin.get(),
        }
    }

    /// An id that no other call in the system gives, for what the turn makes: a request, a check, a
    /// trace. 128 bits, of which all look random; nothing, where nobody calls it, and a few
    /// nanoseconds where one does.
    ///
    /// A system begins with a seed of its own, so that those of two systems differ too. In a
    /// simulation the seed is the run's, so that a run gives the same ids again; those of
    /// `testkit::Given` are always the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    ///
    /// struct Checks(Vec<u128>);
    /// impl Machine for Checks {
    ///     type Event = u128;
    ///     fn apply(&mut self, check: u128) { self.0.push(check) }
    /// }
    /// #[derive(Clone, Copy)]
    /// struct Checking;
    /// impl Behavior for Checking {
    ///     type Machine = Checks;
    ///     type Message = Reply<u128>;
    ///     fn on_message(&self, reply: Reply<u128>, checks: Snapshot<Self>) -> Plan<Self> {
    ///         let check = checks.fresh_id();
    ///         assert!(!checks.0.contains(&check));
    ///         Plan::emit(check).and(Plan::reply(reply, check))
    ///     }
    /// }
    ///
    /// # fn main() -> mainspring::Result {
    /// let system = System::new()?;
    /// let checking = system.spawn(Checking, Checks(Vec::new()))?;
    /// let first = checking.ask(|reply| reply).wait()?;
    /// assert_ne!(checking.ask(|reply| reply).wait()?, first);
    /// println!("health-{first:032x}");
    /// # Ok(()) }
    /// ```
    pub fn fresh_id(&self) -> u128 {
        self.turn.clock.ids.draw()
    }

    /// The machine, for longer than the snapshot is borrowed.
    pub fn machine(&self) -> &'a B::Machine {
        self.machine
    }
}

impl<B: Behavior> Deref for Snapshot<'_, B> {
    type Target = B::Machine;
    fn deref(&self) -> &B::Machine {
        self.machine
    }
}

impl<B: Behavior> Clone for Snapshot<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Behavior> Copy for Snapshot<'_, B> {}

/// Facts of the message in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// Whether it came as an ask.
    pub is_ask: bool,
    /// Until when another actor waits for the answer, on the clock of [`Snapshot::now`]. None for an
    /// ask from outside, whose time is its own clock's; see
    /// [`Reply::is_given_up`](crate::Reply::is_given_up).
    pub deadline: Option<Duration>,
    /// The version of the message's type: [`Behavior::MESSAGE_VERSION`].
    pub version: u32,
    /// Its number, what it belongs to and what caused it, when it was sent and by whom; where
    /// `system.origins` is on, and the message was sent.
    pub origin: Option<Origin>,
}
