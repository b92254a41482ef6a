//! Where a message came from: what an envelope carries beside it where a system asks for that.
//!
//! ```text
//!   a turn's plan: tell ──▶ a stamped envelope, of the same kind and for the same actor
//!                           │ origin: id, correlation, causation, time, sender
//!                           │ inside: the envelope of the message itself
//!   the target's run ◀──────┘ takes it apart: the origin is the turn's, the message goes its way
//! ```
//!
//! A system whose `system.origins` is off has no stamped envelope, and its turns no look at one:
//! the slow ways that are there for other reasons (a plan that is more than one message, a flag of
//! an actor's life) are the ways in which those of a system with stamps go.

use super::Address;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, List, Parcel};
use crate::sync::atomic::Ordering::Relaxed;
use crate::system::Shared;
use std::fmt;
#[cfg(any(debug_assertions, feature = "testkit"))]
use std::num::NonZeroU32;
use std::time::Duration;

/// Where a message came from, by numbers that its system makes; see
/// [`Meta::origin`](super::snapshot::Meta::origin).
///
/// It is there where `system.origins` is on. What a turn tells, asks, delivers and publishes for
/// subscribers has the turn's message as its cause, and so have the timers that the turn arms and
/// the answers to what it asks. A chain of these has one correlation from end to end. What an actor
/// sends when it starts or ends begins a chain of its own.
///
/// # Examples
///
/// ```
/// use mainspring::config::Origins;
/// use mainspring::prelude::*;
/// use std::time::Duration;
///
/// #[derive(Default)]
/// struct Nothing;
/// impl Machine for Nothing {
///     type Event = ();
///     fn apply(&mut self, (): ()) {}
/// }
/// enum Order { Place(Reply<u64>), Book(Reply<u64>, u64) }
/// #[derive(Clone, Copy)]
/// struct Shop;
/// impl Behavior for Shop {
///     type Machine = Nothing;
///     type Message = Order;
///     fn on_message(&self, order: Order, shop: Snapshot<Self>) -> Plan<Self> {
///         let origin = shop.meta().origin.expect("the system keeps origins");
///         match order {
///             Order::Place(reply) => Plan::tell(shop.me(), Order::Book(reply, origin.id)),
///             Order::Book(reply, placed) => {
///                 assert_eq!(origin.causation, Some(placed));
///                 assert_eq!(origin.sender, Some(shop.me().address()));
///                 Plan::reply(reply, origin.correlation)
///             }
///         }
///     }
/// }
///
/// # fn main() -> mainspring::Result {
/// let config = Config::builder().origins(Origins::On).build()?;
/// let system = System::with_config(config)?;
/// let shop = system.spawn(Shop, Nothing)?;
/// let first = shop.ask(Order::Place).wait()?;
/// assert_ne!(shop.ask(Order::Place).wait()?, first);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The message's number, which no other message of its system has. All attempts of a delivery
    /// are one message.
    pub id: u64,
    /// The number of the message that its chain began with: its own, if it began one.
    pub correlation: u64,
    /// The number of the message in whose turn it was sent.
    pub causation: Option<u64>,
    /// When it was sent, on the system's clock: by an actor the time of its batch. What a timer or
    /// an ask's outcome brings has the time when it came.
    pub sent_at: Duration,
    /// Whose turn sent it; none from outside, and for what an ask's outcome brings.
    pub sender: Option<Address>,
}

impl Origin {
    /// That of a message of number `id` that `cause` brought about.
    pub(crate) fn after(cause: Option<Self>, id: u64, now_ns: u64) -> Self {
        Self {
            id,
            correlation: cause.map_or(id, |cause| cause.correlation),
            causation: cause.map(|cause| cause.id),
            sent_at: Duration::from_nanos(now_ns),
            sender: None,
        }
    }
}

impl fmt::Display for Origin {
    /// `message 7 of 3, by 5`: its number, that of its chain, that of its cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of {}", self.id, self.correlation)?;
        match self.causation {
            Some(causation) => write!(f, ", by {causation}"),
            None => Ok(()),
        }
    }
}

/// What is inside of a stamped envelope.
pub(crate) struct Stamped {
    pub(crate) inner: Parcel,
    pub(crate) origin: Origin,
}

impl Shared {
    /// Stamps a message from outside of actors, or from one that sends in a turn of its own accord.
    #[cold]
    #[inline(never)]
    pub(crate) fn stamp(&self, message: Parcel) -> Parcel {
        let cause = crate::dispatcher::worker::peek(|worker| {
            let worker = worker.filter(|worker| worker.system() == self.tag)?;
            let cause = worker.clock.origin.get()?;
            Some((cause, worker.me()))
        });
        let id = self.stamped_outside.fetch_add(1, Relaxed) + 1;
        let now_ns = self.clock().now_ns();
        let origin = Origin {
            sender: cause.map(|(_, sender)| sender),
            ..Origin::after(cause.map(|(cause, _)| cause), id, now_ns)
        };
        message.stamped(origin)
    }
}

impl Worker {
    /// The origin of what the message in hand brings about now.
    fn next_origin(&self, cause: Option<Origin>) -> Origin {
        let id = self.message_number.get() + 1;
        self.message_number.set(id);
        Origin::after(cause, id, self.clock.now_ns())
    }

    /// Stamps a message that the turn in hand sends, if it is one and has no stamp.
    pub(crate) fn stamp(&self, message: Parcel) -> Parcel {
        if !matches!(message.kind(), Kind::Tell | Kind::Ask) || message.origin().is_some() {
            return message;
        }
        message.stamped(self.sent_now())
    }

    /// The origin of a message that the turn in hand sends.
    pub(crate) fn origin_of_next(&self) -> Box<Origin> {
        Box::new(self.sent_now())
    }

    fn sent_now(&self) -> Origin {
        Origin {
            sender: Some(self.me()),
            ..self.next_origin(self.clock.origin.get())
        }
    }

    /// Stamps all messages of a plan.
    #[cold]
    #[inline(never)]
    pub(crate) fn stamp_all(&self, steps: &mut List) {
        for _ in 0..steps.iter().count() {
            let Some(step) = steps.pop_front() else {
                return;
            };
            steps.push_back(self.stamp(step));
        }
    }

    /// Takes the stamp off a message that its actor is about to get; its origin is now the turn's.
    #[cold]
    #[inline(never)]
    pub(crate) fn unstamp(&self, message: Parcel) -> Parcel {
        self.clock.origin.set(message.origin());
        message.unstamped()
    }

    /// A message comes that was not sent: `cause`, in whose turn the timer was armed or the question
    /// asked, brought it about.
    #[cold]
    #[inline(never)]
    pub(crate) fn comes_of(&self, cause: Origin, sender: Option<Address>) {
        let origin = self.next_origin(Some(cause));
        self.clock.origin.set(Some(Origin { sender, ..origin }));
    }

    /// A question is on its way; what continues it is opened next.
    #[inline(always)]
    pub(crate) fn note_question(&self, question: &Parcel) {
        #[cfg(any(debug_assertions, feature = "testkit"))]
        if let Some(generation) = NonZeroU32::new(question.generation()) {
            let cell = question.cell();
            let system = self.system();
            self.asked_of.set(Some(Address {
                cell,
                generation,
                system,
            }));
        }
        if self.shared.has_origins {
            self.asked.set(question.origin().map(Box::new));
        }
    }

    /// The origin of the turn in hand, to be kept for what comes of it later.
    #[inline(always)]
    pub(crate) fn keep_origin(&self) -> Option<Box<Origin>> {
        if self.shared.has_origins {
            return self.clock.origin.get().map(Box::new);
        }
        None
    }
}
