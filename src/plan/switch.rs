//! Other behaviors for the same actor, and messages put aside for them.
//!
//! ```text
//!   become_(next)       current ─▶ gone            next ─▶ current
//!   become_over(next)   current ─▶ kept (a stack)  next ─▶ current
//!   unbecome()          current ─▶ gone            last kept ─▶ current
//!
//!   stash(message)      put aside, behind those put aside before
//!   unstash()           all that were put aside come before the rest of the mailbox, in order
//! ```
//!
//! A behavior is a type and its actor's code is made for it, so a switch moves the machine into the
//! other's state and changes the one pointer to that code, between two turns. Nothing is looked up
//! for it in any turn. Address, mailbox, timers, asks, monitors and children do not know of it.

use super::{Plan, Steps, flag};
use crate::actor::Behavior;
use crate::actor::cell::Next;
use crate::envelope::{Kind, Parcel};

/// A switch, in a plan's step; `M` is the machine.
pub(crate) enum Switch<M> {
    /// In the current one's place.
    Replace(Next<M>),
    /// The current one is kept.
    Over(Next<M>),
    /// To the last one kept.
    Back,
}

impl<M> Switch<M> {
    /// The next behavior's type; none if that was kept.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Replace(next) | Self::Over(next) => Some(next.name()),
            Self::Back => None,
        }
    }
}

impl<B: Behavior> Plan<B> {
    /// The actor's messages after this one are `next`'s.
    ///
    /// The machine stays as this plan's events leave it, and so do address, mailbox, timers, open
    /// asks, monitors, links and children; hooks are not called. [`Snapshot::behavior`] names the
    /// current one, and so does [`Actor::behavior`] from outside. Of several switches in one plan the
    /// last counts. A restart begins with the behavior that the supervisor's factory makes.
    ///
    /// A switch costs two moves of the machine and an allocation for a behavior that has fields.
    ///
    /// Switch where a whole set of messages comes to mean something else, as after a handshake. Where
    /// the actor goes through many states, with transitions that are to be seen, checked and drawn,
    /// use a statechart as its machine.
    ///
    /// [`Snapshot::behavior`]: crate::Snapshot::behavior
    /// [`Actor::behavior`]: crate::Actor::behavior
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    ///
    /// struct Number(u64);
    /// impl Machine for Number {
    ///     type Event = u64;
    ///     fn apply(&mut self, number: u64) {
    ///         self.0 = number;
    ///     }
    /// }
    ///
    /// enum Message { By(u64), Switch(Reply<&'static str>) }
    ///
    /// #[derive(Clone, Copy)]
    /// struct Counting;
    /// impl Behavior for Counting {
    ///     type Machine = Number;
    ///     type Message = Message;
    ///     fn on_message(&self, message: Message, number: Snapshot<Self>) -> Plan<Self> {
    ///         match message {
    ///             Message::By(by) => Plan::emit(number.0 + by),
    ///             Message::Switch(reply) => {
    ///                 Plan::become_(Multiplying).and(Plan::reply(reply, "it multiplies"))
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// #[derive(Clone, Copy)]
    /// struct Multiplying;
    /// impl Behavior for Multiplying {
    ///     type Machine = Number;
    ///     type Message = Message;
    ///     fn on_message(&self, message: Message, number: Snapshot<Self>) -> Plan<Self> {
    ///         match message {
    ///             Message::By(by) => Plan::emit(number.0 * by),
    ///             Message::Switch(reply) => {
    ///                 Plan::become_(Counting).and(Plan::reply(reply, "it counts"))
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// let system = System::new()?;
    /// let actor = system.spawn(Counting, Number(5))?;
    /// actor.tell(Message::By(2))?;
    /// assert_eq!(actor.ask(Message::Switch).wait()?, "it multiplies");
    /// actor.tell(Message::By(10))?;
    /// assert_eq!(actor.snapshot().wait()?, 70);
    /// # impl Clone for Number { fn clone(&self) -> Self { Self(self.0) } }
    /// # impl PartialEq<u64> for Number { fn eq(&self, n: &u64) -> bool { self.0 == *n } }
    /// # impl std::fmt::Debug for Number {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { self.0.fmt(f) }
    /// # }
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn become_<C>(next: C) -> Self
    where
        C: Behavior<Machine = B::Machine, Message = B::Message>,
    {
        Self::switch(Switch::Replace(Next::new(next)))
    }

    /// As [`Plan::become_`], and keeps the current behavior for [`Plan::unbecome`]. Sixteen are kept
    /// at most; a plan that keeps one more fails with
    /// [`Cause::TooManyBehaviors`](crate::Cause::TooManyBehaviors).
    pub fn become_over<C>(next: C) -> Self
    where
        C: Behavior<Machine = B::Machine, Message = B::Message>,
    {
        Self::switch(Switch::Over(Next::new(next)))
    }

    /// The actor's messages after this one are those of the behavior that
    /// [`Plan::become_over`] kept last. Nothing changes where none was kept.
    pub fn unbecome() -> Self {
        Self::switch(Switch::Back)
    }

    fn switch(switch: Switch<B::Machine>) -> Self {
        let step = Parcel::new(Kind::Become, switch);
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER | flag::BECOME, 0),
        }
    }

    /// Puts `message` aside until [`Plan::unstash`], behind those put aside before. Give it the
    /// message in hand, which counts as handled now and once more when it is handled again.
    ///
    /// As many may be put aside as the actor's mailbox has places; a plan that puts more aside fails
    /// with [`Cause::StashFull`](crate::Cause::StashFull). They take none of those places. At a restart
    /// they go back to the mailbox, before the rest; at the actor's end they are dead letters. No
    /// allocation.
    ///
    /// # Examples
    ///
    /// A door that lets people in once it is open:
    ///
    /// ```
    /// use mainspring::prelude::*;
    ///
    /// #[derive(Clone, Default)]
    /// struct Door { open: bool, inside: Vec<&'static str> }
    /// enum Happened { Opened, Entered(&'static str) }
    /// impl Machine for Door {
    ///     type Event = Happened;
    ///     fn apply(&mut self, event: Happened) {
    ///         match event {
    ///             Happened::Opened => self.open = true,
    ///             Happened::Entered(name) => self.inside.push(name),
    ///         }
    ///     }
    /// }
    ///
    /// enum Message { Open, Enter(&'static str) }
    /// #[derive(Clone, Copy)]
    /// struct Keeping;
    /// impl Behavior for Keeping {
    ///     type Machine = Door;
    ///     type Message = Message;
    ///     fn on_message(&self, message: Message, door: Snapshot<Self>) -> Plan<Self> {
    ///         match message {
    ///             Message::Open => Plan::emit(Happened::Opened).and(Plan::unstash()),
    ///             Message::Enter(name) if door.open => Plan::emit(Happened::Entered(name)),
    ///             enter @ Message::Enter(_) => Plan::stash(enter),
    ///         }
    ///     }
    /// }
    ///
    /// let system = System::new()?;
    /// let door = system.spawn(Keeping, Door::default())?;
    /// door.tell(Message::Enter("Ada"))?;
    /// door.tell(Message::Enter("Bob"))?;
    /// door.tell(Message::Open)?;
    /// assert_eq!(door.snapshot().wait()?.inside, ["Ada", "Bob"]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn stash(message: B::Message) -> Self {
        let step = Parcel::with_note(Kind::Stash, message, [0; 2]);
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER | flag::STASH, 0),
        }
    }

    /// All messages that were put aside come next, in the order in which they were, before the rest
    /// of the mailbox. Nothing if there are none.
    pub fn unstash() -> Self {
        let step = Parcel::new(Kind::Unstash, ());
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER, 0),
        }
    }
}
