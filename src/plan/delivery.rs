//! Deliveries: sends that are tried again, and that a breaker may stop.
//!
//! ```text
//!   commit ─▶ breaker ─▶ mailbox ──▶ delivered
//!     ▲       │ open     │ full      (or: waits for the acknowledgement) ─▶ delivered
//!     │       ▼          ▼                     │ none in time
//!     │       attempt failed ◀─────────────────┘
//!     │         │ attempts left     │ none left, or the target has ended
//!     └─────────┘ after the backoff ▼
//!                                   dead letter, and a message for the sender
//! ```
//!
//! A delivery that waits is one of its sender's open asks, whose time is the backoff or that of the
//! acknowledgement. So it costs the others nothing, holds no place and no worker, counts among the
//! asks that a system allows, and ends with its sender.
//!
//! - V1: a delivery ends once: delivered, or a dead letter. Before its first attempt it is a part of
//!   its plan and goes with it.
//! - V2: all attempts of a delivery have one number, so an acknowledgement of any of them is one of
//!   the delivery.

use super::breaker::{Breaker, BreakerChange, Report};
use super::timers::nanoseconds;
use super::{Plan, Steps, flag};
use crate::actor::cell::{Running, quietly};
use crate::actor::{ActorRef, Address, Behavior, Origin};
use crate::ask::{self, AskError, Reply};
use crate::dead_letter::Cause;
use crate::dispatcher::worker::{self, Worker};
use crate::envelope::{Kind, Parcel};
use crate::supervise::Backoff;
use crate::sync::inbox::Push;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Why an attempt to deliver failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undeliverable {
    /// The target had ended for good.
    Stopped,
    /// The target's mailbox was full.
    Full,
    /// Messages take as much as `system.memory_ceiling_bytes` allows.
    NoMemory,
    /// The target's breaker was open.
    BreakerOpen,
    /// The target got it, and no acknowledgement came.
    NotAcknowledged(AskError),
    /// The sender ended, or its incarnation did, before the delivery was settled.
    SenderEnded,
}

impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the target has stopped"),
            Self::Full => f.write_str("the mailbox of the target is full"),
            Self::NoMemory => {
                f.write_str("messages take as much as system.memory_ceiling_bytes allows")
            }
            Self::BreakerOpen => f.write_str("the breaker of the target is open"),
            Self::NotAcknowledged(error) => write!(f, "it was not acknowledged: {error}"),
            Self::SenderEnded => f.write_str("the sender has ended"),
        }
    }
}

/// A delivery that was given up; see [`DeliveryStep::on_failed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The target.
    pub to: Address,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub why: Undeliverable,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, why, .. } = self;
        write!(f, "given up after {attempts} attempts: {why}")
    }
}

/// A delivery in a plan's step, and between its attempts.
pub(crate) struct Delivery {
    to: Address,
    message_name: fn() -> &'static str,
    /// The message of the next attempt, if it is made already.
    message: Option<Parcel>,
    /// Makes it anew: for those that want an acknowledgement.
    again: Option<Box<dyn Fn() -> Parcel + Send>>,
    /// How long to wait for an acknowledgement; 0 for the system's `ask_timeout`.
    acknowledged_ns: u64,
    number: u64,
    attempts: u32,
    retries: u32,
    backoff: Option<Wait>,
    breaker: Option<Breaker>,
    state: State,
    on_failed: Option<Box<dyn FnOnce(Undelivered) -> Parcel + Send>>,
    on_breaker: Option<Box<dyn Fn(BreakerChange) -> Parcel + Send>>,
    /// That of its message, the same for all attempts; from the first on, where there are any.
    origin: Option<Box<Origin>>,
}

// No allocation of its own for a delivery.
const _: () = assert!(size_of::<Delivery>() <= crate::envelope::PAYLOAD_MAX);

/// A backoff's numbers, which fit in an envelope.
#[derive(Clone, Copy)]
struct Wait {
    first_ns: u64,
    max_ns: u64,
    jitter: bool,
}

impl Wait {
    fn after(self, attempt: u32, seed: u64) -> u64 {
        let backoff = Backoff {
            first: Duration::from_nanos(self.first_ns),
            max: Duration::from_nanos(self.max_ns),
            jitter: self.jitter,
            ..Backoff::NONE
        };
        nanoseconds(backoff.delay(attempt, seed))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A step of a plan that is not committed.
    Planned,
    /// An attempt is being made.
    Trying { on_trial: bool },
    /// The target has it; the acknowledgement is to come.
    Accepted { on_trial: bool },
    /// The next attempt is due then.
    Waiting { due_ns: u64 },
    /// Over.
    Settled,
}

impl Delivery {
    /// The next attempt.
    pub(crate) fn attempt(mut self, run: &Running<'_>, worker: &Worker) {
        self.attempts += 1;
        self.state = State::Trying { on_trial: false };
        let sent = self.send(run, worker);
        match sent {
            Ok(()) if self.again.is_some() => {
                let on_trial = self.is_on_trial();
                self.state = State::Accepted { on_trial };
                let timeout_ns = self.acknowledged_ns;
                self.wait(run, worker, timeout_ns);
            }
            Ok(()) => self.settle(worker),
            Err(why) => self.failed(run, worker, why),
        }
    }

    /// What it waited for has come, or has not in time.
    pub(crate) fn resume(
        mut self,
        run: &Running<'_>,
        worker: &Worker,
        outcome: Result<(), AskError>,
    ) {
        match (self.state, outcome) {
            // Also the late acknowledgement of an attempt that was given up.
            (_, Ok(())) => self.settle(worker),
            (State::Waiting { due_ns }, Err(_)) if worker.now_ns() < due_ns => {
                // An earlier attempt's reply was dropped: that is known already.
                let left_ns = due_ns - worker.now_ns();
                self.wait(run, worker, left_ns);
            }
            (State::Waiting { .. }, Err(_)) => self.attempt(run, worker),
            (_, Err(error)) => {
                self.message = None;
                self.failed(run, worker, Undeliverable::NotAcknowledged(error));
            }
        }
    }

    fn send(&mut self, run: &Running<'_>, worker: &Worker) -> Result<(), Undeliverable> {
        let generation = self.to.generation.get();
        let cell = worker.cell(self.to.cell);
        let cell = cell.filter(|cell| cell.life.generation() == generation);
        let cell = cell.ok_or(Undeliverable::Stopped)?;
        if self.breaker.is_some() {
            let now_ns = worker.now_ns();
            let (admitted, change) = worker.shared.admit_by_breaker(self.to, now_ns);
            self.tell_change(worker, change);
            let on_trial = admitted.ok_or(Undeliverable::BreakerOpen)?;
            self.state = State::Trying { on_trial };
        }
        if worker.is_short_of_memory() && worker.shared.is_over_ceiling() {
            return Err(Undeliverable::NoMemory);
        }
        let again = || self.again.as_ref().map(|again| again());
        let Some(parcel) = self.message.take().or_else(again) else {
            unreachable!("a refused message came back");
        };
        let parcel = match worker.shared.has_origins {
            true => {
                let origin = self.origin.get_or_insert_with(|| worker.origin_of_next());
                parcel.stamped(**origin)
            }
            false => parcel,
        };
        parcel.set_cell(run.number());
        parcel.set_generation(generation);
        worker
            .put(self.to.cell, cell, parcel)
            .map_err(|(refused, parcel)| {
                self.message = Some(parcel.unstamped());
                match refused {
                    Push::Closed => Undeliverable::Stopped,
                    _ => Undeliverable::Full,
                }
            })
    }

    fn is_on_trial(&self) -> bool {
        match self.state {
            State::Trying { on_trial } | State::Accepted { on_trial } => on_trial,
            _ => false,
        }
    }

    /// One of its sender's open asks from now on, for `time_ns` at most.
    fn wait(self, run: &Running<'_>, worker: &Worker, time_ns: u64) {
        let number = self.number;
        worker.open_ask(
            run,
            Parcel::with_note(Kind::Deliver, self, [number, time_ns]),
        );
    }

    fn settle(mut self, worker: &Worker) {
        self.report(worker, Report::Delivered);
        self.state = State::Settled;
    }

    fn failed(mut self, run: &Running<'_>, worker: &Worker, why: Undeliverable) {
        if why != Undeliverable::BreakerOpen {
            self.report(worker, Report::Failed);
        }
        if why == Undeliverable::Stopped || self.attempts > self.retries {
            self.give_up(worker, why);
            return;
        }
        let seed = self.number ^ u64::from(self.to.cell) << 32;
        let wait = self
            .backoff
            .map_or(0, |wait| wait.after(self.attempts, seed));
        let due_ns = worker.now_ns().saturating_add(wait.max(1));
        self.state = State::Waiting { due_ns };
        self.wait(run, worker, wait.max(1));
    }

    fn report(&mut self, worker: &Worker, report: Report) {
        let on_trial = match self.state {
            State::Trying { on_trial } | State::Accepted { on_trial } => on_trial,
            State::Planned | State::Waiting { .. } | State::Settled => return,
        };
        if let Some(breaker) = self.breaker {
            let now_ns = worker.now_ns();
            let change = worker
                .shared
                .report_to_breaker(self.to, &breaker, on_trial, report, now_ns);
            self.tell_change(worker, change);
        }
    }

    fn tell_change(&self, worker: &Worker, change: Option<BreakerChange>) {
        let Some(change) = change else {
            return;
        };
        if let Some(on_breaker) = &self.on_breaker {
            quietly(|| worker.send_to(worker.me(), on_breaker(change)));
        }
        if worker.shared.topics.any() {
            worker.shared.announce_change(&change);
        }
    }

    fn give_up(&mut self, worker: &Worker, why: Undeliverable) {
        self.state = State::Settled;
        let undelivered = Undelivered {
            to: self.to,
            attempts: self.attempts,
            why,
        };
        let cause = Cause::Undelivered(undelivered);
        worker.dead_letter(self.to, (self.message_name)(), cause);
        if let Some(on_failed) = self.on_failed.take()
            && why != Undeliverable::SenderEnded
        {
            worker.send_to(worker.me(), on_failed(undelivered));
        }
        let loss = match why {
            Undeliverable::Stopped | Undeliverable::SenderEnded => AskError::Stopped,
            _ => AskError::Refused,
        };
        ask::losing(loss, || quietly(|| drop(self.message.take())));
    }

    /// The message, where it is to be looked at.
    #[cfg(feature = "testkit")]
    pub(crate) fn message(&self) -> Option<&Parcel> {
        self.message.as_ref()
    }

    /// The name of the message's type.
    pub(crate) fn message_name(&self) -> &'static str {
        (self.message_name)()
    }

    /// How often it is tried again.
    #[cfg(feature = "testkit")]
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// Its breaker's limits, if it has one.
    #[cfg(feature = "testkit")]
    pub(crate) fn breaker(&self) -> Option<Breaker> {
        self.breaker
    }

    /// Whether it wants an acknowledgement.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.again.is_some()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if matches!(self.state, State::Planned | State::Settled) {
            return;
        }
        worker::with(|worker| {
            if let Some(worker) = worker {
                self.on_breaker = None; // nobody is there to be told
                self.report(worker, Report::Lost);
                self.give_up(worker, Undeliverable::SenderEnded);
            }
        });
    }
}

/// A send with a say in what becomes of it; a plan by `into`.
///
/// The usual send, [`Plan::tell`], is fire and forget: it waits for room with its plan. This one
/// never holds its plan up. With an attempt that fails it is tried again after a while, as often as
/// [`DeliveryStep::retry`] says; then it becomes a dead letter with [`Cause::Undelivered`], and the
/// sender gets the message of [`DeliveryStep::on_failed`].
///
/// What is tried again comes after what was sent meanwhile. A delivery that waits counts among the
/// asks that `system.max_asks_in_flight` allows, and ends with its sender.
#[must_use = "a delivery does nothing until it is part of a plan"]
pub struct DeliveryStep<B: Behavior> {
    delivery: Delivery,
    sender: PhantomData<fn() -> B>,
}

/// A closure that the actor itself calls in a turn of its own, for the message that it makes.
fn notice<B: Behavior>(make: impl FnOnce() -> B::Message + Send + 'static) -> Parcel {
    Parcel::closure::<(), B::Message, _>(Kind::Notice, move |()| make(), [0; 2])
}

impl<B: Behavior> DeliveryStep<B> {
    fn new<M>(to: ActorRef<M>, number: u64, message: Parcel) -> Self {
        let delivery = Delivery {
            to: to.address,
            message_name: std::any::type_name::<M>,
            message: Some(message),
            again: None,
            acknowledged_ns: 0,
            number,
            attempts: 0,
            retries: 0,
            backoff: None,
            breaker: None,
            state: State::Planned,
            on_failed: None,
            on_breaker: None,
            origin: None,
        };
        Self {
            delivery,
            sender: PhantomData,
        }
    }

    /// Tries `retries` times more where an attempt fails, after the waits of `backoff`, whose
    /// `healthy_after` says nothing here. A target that has ended for good is not tried again.
    pub fn retry(mut self, retries: u32, backoff: Backoff) -> Self {
        self.delivery.retries = retries;
        self.delivery.backoff = Some(Wait {
            first_ns: nanoseconds(backoff.first),
            max_ns: nanoseconds(backoff.max),
            jitter: backoff.jitter,
        });
        self
    }

    /// How long each attempt of a [`Plan::deliver_acknowledged`] waits for its answer; the system's
    /// `ask_timeout` if not given.
    pub fn acknowledged_within(mut self, time: Duration) -> Self {
        self.delivery.acknowledged_ns = nanoseconds(time).max(1);
        self
    }

    /// Goes by the target's breaker: an attempt fails at once while that is open, and counts for
    /// it otherwise. One short lock for each attempt, and one for its outcome.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.delivery.breaker = Some(breaker);
        self
    }

    /// A delivery that is given up becomes the message that `on_failed` makes of it, in the sender's
    /// own turn. It is a dead letter in any case.
    pub fn on_failed(
        mut self,
        on_failed: impl FnOnce(Undelivered) -> B::Message + Send + 'static,
    ) -> Self {
        self.delivery.on_failed = Some(Box::new(move |undelivered| {
            notice::<B>(move || on_failed(undelivered))
        }));
        self
    }

    /// A change of the target's breaker that this delivery brings about becomes the message that
    /// `on_breaker` makes of it, in the sender's own turn.
    pub fn on_breaker(
        mut self,
        on_breaker: impl Fn(BreakerChange) -> B::Message + Clone + Send + 'static,
    ) -> Self {
        self.delivery.on_breaker = Some(Box::new(move |change| {
            let on_breaker = on_breaker.clone();
            notice::<B>(move || on_breaker(change))
        }));
        self
    }
}

impl<B: Behavior> From<DeliveryStep<B>> for Plan<B> {
    fn from(step: DeliveryStep<B>) -> Self {
        let Address {
            cell,
            generation,
            system,
        } = step.delivery.to;
        let waits = step.delivery.retries > 0 || step.delivery.is_acknowledged();
        let step = Parcel::new(Kind::Deliver, step.delivery);
        step.set_cell(cell);
        step.set_generation(generation.get());
        let flags = if waits {
            flag::OTHER | flag::LIMITED
        } else {
            flag::OTHER
        };
        Self {
            event: None,
            steps: Steps::one(step, flags, system),
        }
    }
}

impl<B: Behavior> Plan<B> {
    /// `to` gets `message`, by one attempt unless [`DeliveryStep::retry`] follows; an attempt fails
    /// where the mailbox is full.
    ///
    /// No allocation, as with [`Plan::tell`], while neither `on_failed` nor `on_breaker` keeps
    /// anything.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::supervise::Backoff;
    /// use mainspring::{Breaker, Undelivered};
    ///
    /// #[derive(Clone, Copy)]
    /// struct Sender { to: ActorRef<u64> }
    /// enum Note { Send(u64), Lost(Undelivered) }
    /// # struct Lost(u32);
    /// # impl Machine for Lost {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) { self.0 += 1; }
    /// # }
    ///
    /// impl Behavior for Sender {
    ///     # type Machine = Lost;
    ///     type Message = Note;
    ///     // …
    ///     fn on_message(&self, note: Note, _: Snapshot<Self>) -> Plan<Self> {
    ///         match note {
    ///             Note::Send(number) => Plan::deliver(self.to, number)
    ///                 .retry(3, Backoff::default())
    ///                 .breaker(Breaker::default())
    ///                 .on_failed(Note::Lost)
    ///                 .into(),
    ///             Note::Lost(_) => Plan::emit(()),
    ///         }
    ///     }
    /// }
    /// # let system = System::new()?;
    /// # struct Sum(u64);
    /// # impl Machine for Sum {
    /// #     type Event = u64;
    /// #     fn apply(&mut self, number: u64) { self.0 += number; }
    /// # }
    /// # let sum = system.spawn_machine(Sum(0))?;
    /// # let sender = system.spawn(Sender { to: sum.actor() }, Lost(0))?;
    /// # sender.tell(Note::Send(7))?;
    /// # let end = sender.monitor();
    /// # sender.stop();
    /// # end.wait();
    /// # sum.stop();
    /// # assert_eq!(system.dead_letter_count(), 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn deliver<M: Send + 'static>(to: ActorRef<M>, message: M) -> DeliveryStep<B> {
        let (_, number) = worker::next_ask();
        DeliveryStep::new(to, number, Parcel::new(Kind::Tell, message))
    }

    /// `to` gets the message that `message` makes around the right to acknowledge it; an attempt
    /// fails also where that is not answered in time ([`DeliveryStep::acknowledged_within`]).
    ///
    /// So the target may get the message several times, at most once for each attempt. All of them
    /// have the same [`Reply::correlation`], by which it can tell; the first answer ends the
    /// delivery, whichever attempt it belongs to. One allocation where `message` keeps anything.
    pub fn deliver_acknowledged<M: Send + 'static, T: Send + 'static>(
        to: ActorRef<M>,
        message: impl Fn(Reply<T>) -> M + Send + 'static,
    ) -> DeliveryStep<B> {
        let (asker, number) = worker::next_ask();
        let again = move || Parcel::new(Kind::Ask, message(Reply::to_actor(asker, number)));
        let mut step = DeliveryStep::new(to, number, again());
        step.delivery.again = Some(Box::new(again));
        step
    }
}
