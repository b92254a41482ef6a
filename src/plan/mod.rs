//! Plans: what a behavior wants to happen, as data, until the turn commits.

pub(crate) mod breaker;
pub(crate) mod children;
pub(crate) mod commit;
pub(crate) mod delivery;
pub(crate) mod escape;
pub(crate) mod gather;
pub(crate) mod output;
pub(crate) mod print;
pub(crate) mod switch;
pub(crate) mod timers;

use crate::actor::cell::Lent;
use crate::actor::{ActorRef, Behavior, Machine};
use crate::ask::{self, AskError, Deferred, Reply};
use crate::dispatcher::worker;
use crate::envelope::{Inside, Kind, List, Parcel};
use std::sync::Arc;
use std::time::Duration;
use timers::Key;

/// What a turn does: events that evolve the machine, and steps that act on others.
///
/// A plan is built by a behavior and committed by the runtime: all of it or none. It costs no
/// allocation in steady state: a step is an envelope from the worker's own pool, and a send's
/// step is the very envelope that the target will read.
#[must_use = "a plan does nothing until a behavior returns it"]
pub struct Plan<B: Behavior> {
    pub(crate) event: Option<<B::Machine as Machine>::Event>,
    pub(crate) steps: Steps,
}

/// The steps of a plan, in order.
#[repr(C)] // so that `kind` reads three fields at once
pub(crate) struct Steps {
    pub(crate) list: List,
    pub(crate) flags: u16,
    /// How many messages it sends; stays at the largest count.
    pub(crate) sends: u16,
    /// Whose actors it names; 0 while it names none.
    pub(crate) system: u32,
}

/// What is in a plan's steps.
pub(crate) mod flag {
    /// A message to an actor.
    pub(crate) const SEND: u16 = 1;
    /// A further event.
    pub(crate) const EVENT: u16 = 2;
    /// A reply to an actor.
    pub(crate) const REPLY: u16 = 4;
    /// Anything else.
    pub(crate) const OTHER: u16 = 8;
    /// The actor stops itself.
    pub(crate) const STOP: u16 = 16;
    /// The message was not handled.
    pub(crate) const UNHANDLED: u16 = 32;
    /// It names actors of two systems.
    pub(crate) const FOREIGN: u16 = 64;
    /// What changes only the actor's own asks and timers.
    pub(crate) const OWN: u16 = 1024;
    /// Asks or timers, of which there is a limit.
    pub(crate) const LIMITED: u16 = 512;
    /// A reply is made of the evolved machine.
    pub(crate) const LATER: u16 = 256;
    /// The behavior changes.
    pub(crate) const BECOME: u16 = 2048;
    /// A message is put aside.
    pub(crate) const STASH: u16 = 4096;
    /// A child could not be made; a step has the [`SpawnError`](crate::SpawnError).
    pub(crate) const NO_CHILD: u16 = 128;
}

impl Steps {
    #[inline(always)]
    const fn none() -> Self {
        Self {
            list: List::new(),
            flags: 0,
            sends: 0,
            system: 0,
        }
    }

    #[inline(always)]
    fn one(parcel: Parcel, flags: u16, system: u32) -> Self {
        Self {
            list: List::one(parcel),
            flags,
            sends: flags & flag::SEND,
            system,
        }
    }

    /// What they are, as one number.
    #[inline(always)]
    pub(crate) fn kind(&self) -> u64 {
        Self::kind_of(self.flags, self.sends, self.system)
    }

    /// A [`Steps::kind`] that no plan has.
    pub(crate) const NO_PLAN: u64 = u64::MAX;

    /// The [`Steps::kind`] of one message to an actor of `system`.
    pub(crate) fn one_message(system: u32) -> u64 {
        Self::kind_of(flag::SEND, 1, system)
    }

    /// The [`Steps::kind`] of one question to an actor of `system`, or of a message and timers.
    pub(crate) fn one_question(system: u32) -> u64 {
        Self::kind_of(flag::SEND | flag::OWN | flag::LIMITED, 1, system)
    }

    #[inline(always)]
    fn kind_of(flags: u16, sends: u16, system: u32) -> u64 {
        u64::from(flags) | u64::from(sends) << 16 | u64::from(system) << 32
    }

    #[inline(always)]
    fn append(&mut self, mut other: Self) {
        self.list.append(std::mem::take(&mut other.list));
        self.flags |= other.flags;
        self.sends = self.sends.saturating_add(other.sends);
        if other.system != 0 {
            self.name(other.system);
        }
    }

    /// Appends a message.
    #[inline(always)]
    fn push_tell<M: Send + 'static>(&mut self, to: ActorRef<M>, message: M) {
        self.list.push_back(Parcel::tell(to, message));
        self.flags |= flag::SEND;
        self.sends = self.sends.saturating_add(1);
        self.name(to.address.system);
    }

    /// Takes note of an actor of `system`.
    #[inline(always)]
    fn name(&mut self, system: u32) {
        if self.system == 0 {
            self.system = system;
        } else if system != self.system {
            self.flags |= flag::FOREIGN;
        }
    }
}

impl Drop for Steps {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.list.is_empty() {
            drop_steps(&mut self.list);
        }
    }
}

/// Drops steps that will not be committed: envelopes go back, replies fail their askers.
#[cold]
fn drop_steps(list: &mut List) {
    let error = match ask::loss() {
        AskError::Dropped => AskError::Panicked,
        error => error,
    };
    ask::losing(error, || {
        while let Some(step) = list.pop_front() {
            if step.kind() == Kind::Reply {
                ask::fail(step.emptied(), error);
            }
        }
    });
}

impl<B: Behavior> Plan<B> {
    /// Nothing happens.
    #[inline(always)]
    pub fn none() -> Self {
        Self {
            event: None,
            steps: Steps::none(),
        }
    }

    /// The plan, with nothing left in its place.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The message was not for this actor: it is counted and becomes a dead letter.
    pub fn unhandled() -> Self {
        let mut plan = Self::none();
        plan.steps.flags = flag::UNHANDLED;
        plan
    }

    /// The machine evolves by `event`; subscribers get a clone of it.
    #[inline(always)]
    pub fn emit(event: <B::Machine as Machine>::Event) -> Self {
        Self {
            event: Some(event),
            steps: Steps::none(),
        }
    }

    /// `to` gets `message`.
    #[inline(always)]
    pub fn tell<M: Send + 'static>(to: ActorRef<M>, message: M) -> Self {
        Self::step(Parcel::tell(to, message), flag::SEND, to.address.system)
    }

    /// Each of `targets` gets a clone of `message`.
    ///
    /// One envelope each; all are admitted or none.
    pub fn tell_all<'a, M: Clone + Send + 'static>(
        targets: impl IntoIterator<Item = &'a ActorRef<M>>,
        message: M,
    ) -> Self {
        let mut plan = Self::none();
        for &target in targets {
            plan.steps.push_tell(target, message.clone());
        }
        plan
    }

    /// `to` gets each of `messages`, in this order.
    ///
    /// One envelope each; all are admitted or none, with one look at the mailbox for all of them.
    /// A turn that streams does best with this.
    ///
    /// # Panics
    ///
    /// As the iterator does; the turn's plan is gone then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// struct Line(String);
    /// #[derive(Clone, Copy)]
    /// struct Splitting { lines: ActorRef<Line> }
    /// impl Behavior for Splitting {
    ///     type Machine = Nothing;
    ///     type Message = String;
    ///     fn on_message(&self, text: String, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::tell_each(self.lines, text.lines().map(|line| Line(line.to_owned())))
    ///     }
    /// }
    /// ```
    pub fn tell_each<M: Send + 'static>(
        to: ActorRef<M>,
        messages: impl IntoIterator<Item = M>,
    ) -> Self {
        let mut plan = Self::none();
        for message in messages {
            plan.steps.push_tell(to, message);
        }
        plan
    }

    /// Answers an ask with `value`.
    #[inline(always)]
    pub fn reply<T: Send + 'static>(reply: Reply<T>, value: T) -> Self {
        let step = reply.into_step(value);
        let flags = match step.kind() {
            Kind::Reply => flag::REPLY,
            _ => flag::OTHER,
        };
        Self::step(step, flags, 0)
    }

    /// Answers an ask with what `value` makes of the machine as this plan's events left it.
    ///
    /// A panic of `value` is one of the turn: nothing of the plan is seen by others, and the actor
    /// stops.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// struct Counter(u64);
    /// impl Machine for Counter {
    ///     type Event = u64;
    ///     fn apply(&mut self, by: u64) {
    ///         self.0 += by;
    ///     }
    /// }
    /// #[derive(Clone, Copy)]
    /// struct Counting;
    /// struct Add(u64, Reply<u64>);
    /// impl Behavior for Counting {
    ///     type Machine = Counter;
    ///     type Message = Add;
    ///     fn on_message(&self, Add(by, reply): Add, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::emit(by).and(Plan::reply_after(reply, |counter: &Counter| counter.0))
    ///     }
    /// }
    /// let system = System::new()?;
    /// let counter = system.spawn(Counting, Counter(40))?;
    /// assert_eq!(counter.ask(|reply| Add(2, reply)).wait()?, 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn reply_after<T: Send + 'static>(
        reply: Reply<T>,
        value: impl FnOnce(&B::Machine) -> T + Send + 'static,
    ) -> Self {
        let answer = move |machine: Lent<B::Machine>| {
            let value = machine.with(value);
            reply.into_step(value)
        };
        let step = Parcel::closure::<Lent<B::Machine>, Parcel, _>(Kind::Later, answer, [0; 2]);
        Self::step(step, flag::OTHER | flag::LATER, 0)
    }

    /// Answers an ask of an earlier turn with `value`; nothing if that was done before.
    ///
    /// The right stays where it is until the commit, so a turn that fails has not lost it.
    pub fn reply_deferred<T: Send + 'static>(to: &Deferred<T>, value: T) -> Self {
        let to = to.clone();
        let answer = move |()| to.answer(value);
        let step = Parcel::closure::<(), (), _>(Kind::Step, answer, [0; 2]);
        Self::step(step, flag::OTHER, 0)
    }

    /// Answers an ask for a `Result` with an error.
    pub fn reply_err<T: Send + 'static, E: Send + 'static>(
        reply: Reply<Result<T, E>>,
        error: E,
    ) -> Self {
        Self::reply(reply, Err(error))
    }

    /// Asks `to`: `question` makes the message around the right to answer it. Finish with
    /// [`AskStep::on_ok`].
    pub fn ask<M: Send + 'static, T: Send + 'static>(
        to: ActorRef<M>,
        question: impl FnOnce(Reply<T>) -> M,
    ) -> AskStep<B, T> {
        let (asker, number) = worker::next_ask();
        let request = Parcel::asking(question(Reply::to_actor(asker, number)));
        request.set_cell(to.address.cell);
        request.set_generation(to.address.generation.get());
        AskStep {
            request,
            number,
            system: to.address.system,
            timeout: None,
            types: std::marker::PhantomData,
        }
    }

    /// The actor stops after this turn.
    pub fn stop() -> Self {
        let mut plan = Self::none();
        plan.steps.flags = flag::STOP;
        plan
    }

    /// The actor stops after this turn; `reason` is in its [`Exit::Stopped`](crate::Exit::Stopped).
    pub fn stop_because(reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        let note = move |()| {
            worker::with(|worker| {
                if let Some(worker) = worker {
                    worker.set_stop_reason(reason);
                }
            });
        };
        let step = Parcel::closure::<(), (), _>(Kind::Step, note, [0; 2]);
        Self::step(step, flag::OTHER | flag::STOP, 0)
    }

    /// This plan, then `next`: in one commit, in this order.
    #[inline(always)]
    pub fn and(mut self, next: impl Into<Self>) -> Self {
        let Self { event, steps } = next.into();
        if let Some(event) = event {
            if self.event.is_none() && self.steps.list.is_empty() {
                self.event = Some(event);
            } else {
                self.push_event(event);
            }
        }
        self.steps.append(steps);
        self
    }

    /// Apart, so that [`Plan::and`] is small enough for loops that build plans.
    #[inline(never)]
    fn push_event(&mut self, event: <B::Machine as Machine>::Event) {
        let step = Parcel::new(Kind::Event, event);
        self.steps.append(Steps::one(step, flag::EVENT, 0));
    }

    /// An ask that `step` sends on its way when the plan commits.
    #[cfg(feature = "compute")]
    pub(crate) fn awaiting(continuation: Parcel, step: Parcel) -> Self {
        let mut plan = Self::step(continuation, flag::OTHER | flag::OWN | flag::LIMITED, 0);
        plan.steps.list.push_back(step);
        plan
    }

    #[inline(always)]
    fn step(parcel: Parcel, flags: u16, system: u32) -> Self {
        Self {
            event: None,
            steps: Steps::one(parcel, flags, system),
        }
    }

    #[inline(always)]
    fn into_steps(mut self) -> Steps {
        std::mem::replace(&mut self.steps, Steps::none())
    }
}

impl<B: Behavior> Default for Plan<B> {
    fn default() -> Self {
        Self::none()
    }
}

impl<B: Behavior, const N: usize> From<[Plan<B>; N]> for Plan<B> {
    fn from(plans: [Plan<B>; N]) -> Self {
        plans.into_iter().fold(Plan::none(), Plan::and)
    }
}

/// An ask being built; [`AskStep::on_ok`] makes it a plan.
#[must_use = "an ask does nothing until it is part of a plan"]
pub struct AskStep<B, T> {
    request: Parcel,
    number: u64,
    system: u32,
    timeout: Option<Duration>,
    types: std::marker::PhantomData<fn() -> (B, T)>,
}

impl<B: Behavior, T: Send + 'static> AskStep<B, T> {
    /// How long to wait; the system's `ask_timeout` if not given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The answer becomes the message that `on_ok` makes of it, in the asker's own turn. A failure
    /// becomes a dead letter of the asker, unless [`AskPlan::on_error`] follows.
    pub fn on_ok(
        self,
        on_ok: impl FnOnce(T) -> B::Message + Send + 'static,
    ) -> AskPlan<B, T, impl FnOnce(T) -> B::Message + Send + 'static> {
        AskPlan { step: self, on_ok }
    }

    /// The answer, whatever it is, becomes `message`: for an answer that says only that it is there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// # struct Save(Reply<u64>);
    /// enum Form { Submit, Saved, NotSaved }
    /// # #[derive(Clone, Copy)]
    /// # struct Filling { store: ActorRef<Save> }
    /// # impl Behavior for Filling {
    /// #     type Machine = Nothing;
    /// #     type Message = Form;
    /// fn on_message(&self, form: Form, _: Snapshot<Self>) -> Plan<Self> {
    ///     match form {
    ///         Form::Submit => Plan::ask(self.store, Save)
    ///             .on_ok_value(Form::Saved)
    ///             .on_error_value(Form::NotSaved),
    ///         Form::Saved | Form::NotSaved => Plan::none(),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn on_ok_value(
        self,
        message: B::Message,
    ) -> AskPlan<B, T, impl FnOnce(T) -> B::Message + Send + 'static> {
        self.on_ok(|_| message)
    }
}

/// An ask with what becomes of its answer; a plan by `into`, or by [`AskPlan::on_error`].
#[must_use = "an ask does nothing until it is part of a plan"]
pub struct AskPlan<B, T, F> {
    step: AskStep<B, T>,
    on_ok: F,
}

/// What an ask of an actor ended with: what is inside the answer's envelope, or why there is none.
pub(crate) type Outcome = Result<Inside, AskError>;

impl<B: Behavior, T: Send + 'static, F: FnOnce(T) -> B::Message + Send + 'static> AskPlan<B, T, F> {
    /// A failure becomes the message that `on_error` makes of it.
    pub fn on_error(
        self,
        on_error: impl FnOnce(AskError) -> B::Message + Send + 'static,
    ) -> Plan<B> {
        self.into_plan(move |error| Ok(on_error(error)))
    }

    /// A failure, whatever it is, becomes `message`; see [`AskStep::on_ok_value`].
    pub fn on_error_value(self, message: B::Message) -> Plan<B> {
        self.into_plan(|_| Ok(message))
    }

    fn into_plan(
        self,
        on_error: impl FnOnce(AskError) -> Result<B::Message, AskError> + Send + 'static,
    ) -> Plan<B> {
        let on_ok = self.on_ok;
        let timeout = self.step.timeout.map_or(0, |timeout| {
            u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1)
        });
        let continuation = Parcel::closure::<Outcome, Result<B::Message, AskError>, _>(
            Kind::Continue,
            move |outcome: Outcome| match outcome.map(Inside::try_take::<T>) {
                Ok(Some(answer)) => Ok(on_ok(answer)),
                Ok(None) => unreachable!("an ask's answer is of the type that was asked for"),
                Err(error) => on_error(error),
            },
            [self.step.number, timeout],
        );
        let mut steps = Steps::one(
            self.step.request,
            flag::SEND | flag::OWN | flag::LIMITED,
            self.step.system,
        );
        steps.list.push_back(continuation);
        Plan { event: None, steps }
    }
}

impl<B: Behavior, T: Send + 'static, F: FnOnce(T) -> B::Message + Send + 'static>
    From<AskPlan<B, T, F>> for Plan<B>
{
    fn from(ask: AskPlan<B, T, F>) -> Self {
        ask.into_plan(Err)
    }
}

/// A [`Plan`] of several steps, in this order: `plan![first, second, ..]`.
///
/// Each step is a plan or what becomes one: an ask, a delivery, a child. It is
/// `Plan::from(first).and(second)`, so it allocates nothing in steady state; without steps it is
/// [`Plan::none`].
///
/// # Examples
///
/// ```
/// use mainspring::plan;
/// use mainspring::prelude::*;
///
/// #[derive(Default)]
/// struct Stock { taken: u64 }
/// struct Taken(u64);
/// impl Machine for Stock {
///     type Event = Taken;
///     fn apply(&mut self, Taken(pieces): Taken) { self.taken += pieces }
/// }
///
/// #[derive(Clone, Copy)]
/// struct Shelf { log: ActorRef<String> }
/// struct Take(u64, Reply<u64>);
/// impl Behavior for Shelf {
///     type Machine = Stock;
///     type Message = Take;
///     fn on_message(&self, Take(pieces, reply): Take, stock: Snapshot<Self>) -> Plan<Self> {
///         plan![
///             Plan::emit(Taken(pieces)),
///             Plan::tell(self.log, format!("took {pieces}")),
///             Plan::reply(reply, stock.taken + pieces),
///         ]
///     }
/// }
/// # struct Lines(Vec<String>);
/// # impl Machine for Lines { type Event = String; fn apply(&mut self, l: String) { self.0.push(l) } }
/// # fn main() -> mainspring::Result {
/// # let system = System::new()?;
/// # let log = system.spawn_machine(Lines(Vec::new()))?;
/// let shelf = system.spawn(Shelf { log: log.actor() }, Stock::default())?;
/// assert_eq!(shelf.ask(|reply| Take(3, reply)).wait()?, 3);
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! plan {
    () => { $crate::Plan::none() };
    ($first:expr $(, $next:expr)* $(,)?) => { $crate::Plan::from($first)$(.and($next))* };
}
