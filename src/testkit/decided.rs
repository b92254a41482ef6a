//! One turn without a system: what a behavior decides, taken apart by type.

use crate::actor::cell::Lent;
use crate::actor::ids::Ids;
use crate::actor::{ActorRef, Address, Behavior, Down, Exit, Machine, Refusal, Snapshot, Turn};
use crate::ask::{AskError, Reply};
use crate::dispatcher::batch_clock::BatchClock;
use crate::envelope::{Kind, Parcel};
use crate::plan::breaker::Breaker;
use crate::plan::children::Traps;
use crate::plan::delivery::Delivery;
use crate::plan::print;
use crate::plan::switch::Switch;
use crate::plan::timers::{Key, Repeat, SILENCE, Silence};
use crate::plan::{Plan, flag};
use crate::timer::ManualClock;
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// The system of made-up addresses; no system comes to have this number.
const MADE_UP: u32 = u32::MAX;

fn made_up(number: u32) -> Address {
    Address {
        cell: number,
        generation: NonZeroU32::MIN,
        system: MADE_UP,
    }
}

/// A made-up address, for a behavior that wants one: the same for the same number, another for
/// another. Nobody lives there.
pub fn address<M>(number: u32) -> ActorRef<M> {
    ActorRef::from_address(made_up(number))
}

/// A right to reply that nobody waits for; what is answered by it is
/// [`Decided::replied`]`(number)`.
pub fn reply<T: Send + 'static>(number: u64) -> Reply<T> {
    Reply::to_actor(made_up(0), number)
}

/// A behavior and the machine that it sees, about to decide.
///
/// Nothing is committed, so the machine stays as it is; see [`Decided::evolve`].
#[derive(Debug)]
#[must_use = "it decides nothing until it is given a message"]
pub struct Given<'a, B: Behavior> {
    behavior: B,
    machine: &'a B::Machine,
    me: Address,
    now: Duration,
    is_ask: bool,
}

impl<'a, B: Behavior> Given<'a, B> {
    /// The actor [`address`]`(0)`, at time 0.
    pub fn new(behavior: B, machine: &'a B::Machine) -> Self {
        Self {
            behavior,
            machine,
            me: made_up(0),
            now: Duration::ZERO,
            is_ask: false,
        }
    }

    /// What [`Snapshot::me`] says.
    pub fn me(mut self, me: ActorRef<B::Message>) -> Self {
        self.me = me.address();
        self
    }

    /// What [`Snapshot::now`] says.
    pub fn at(mut self, now: Duration) -> Self {
        self.now = now;
        self
    }

    /// [`Snapshot::meta`] says that the message came as an ask.
    pub fn as_ask(mut self) -> Self {
        self.is_ask = true;
        self
    }

    /// What the behavior decides on `message`. A panic of the behavior is the test's.
    pub fn message(self, message: B::Message) -> Decided<B> {
        self.turn(|behavior, machine| behavior.on_message(message, machine))
    }

    /// What the behavior decides at its start.
    pub fn start(self) -> Decided<B> {
        self.turn(|behavior, machine| behavior.on_start(machine))
    }

    /// What the behavior decides at its end.
    pub fn stop(self, exit: &Exit) -> Decided<B> {
        self.turn(|behavior, machine| behavior.on_stop(exit, machine))
    }

    fn turn(self, decide: impl FnOnce(&B, Snapshot<'_, B>) -> Plan<B>) -> Decided<B> {
        let hand = ManualClock::new();
        hand.advance(self.now);
        let turn = Turn {
            me: self.me,
            clock: &BatchClock::new(hand.clock(), Ids::new(0, 0)),
            ask_by_ns: if self.is_ask { u64::MAX } else { 0 },
        };
        Decided::from(decide(&self.behavior, Snapshot::new(self.machine, &turn)))
    }
}

/// A timer that a plan arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Armed<'a, M> {
    /// Its key.
    pub key: Key,
    /// How long until it fires, or an interval's period.
    pub after: Duration,
    /// Whether it fires again and again.
    pub repeats: bool,
    /// What the actor then gets.
    pub message: &'a M,
}

/// A delivery of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered<'a, M> {
    /// What the target gets.
    pub message: &'a M,
    /// How often it is tried again.
    pub retries: u32,
    /// The limits of the target's breaker, where the delivery goes by it.
    pub breaker: Option<Breaker>,
    /// Whether the target is to acknowledge it.
    pub is_acknowledged: bool,
}

/// What a behavior decided: a plan that is not committed, with its parts to look at.
///
/// Each look marks what it returns as seen, and [`Decided::nothing_else`] fails if anything was
/// not. `Debug` lists kinds, targets and types of what there is, in order, the same in each run for
/// made-up addresses, so it will do for a snapshot.
///
/// Children are not in it: a plan that no actor's turn builds makes none. Monitors, links (not their trapped ends),
/// subscriptions, deferred replies and stops of others are steps that [`Decided::other_steps`]
/// counts.
#[must_use = "a test looks at what was decided"]
pub struct Decided<B: Behavior> {
    steps: Vec<Step>,
    flags: u16,
    system: u32,
    flags_seen: Cell<bool>,
    behavior: std::marker::PhantomData<fn() -> B>,
}

struct Step {
    parcel: Parcel,
    seen: Cell<bool>,
}

impl Step {
    fn new(parcel: Parcel) -> Self {
        Self {
            parcel,
            seen: Cell::new(false),
        }
    }

    fn see<T: 'static>(&self) -> Option<&T> {
        let value = self.parcel.peek::<T>()?;
        self.seen.set(true);
        Some(value)
    }

    fn is_for(&self, to: Address) -> bool {
        self.parcel.cell() == to.cell && self.parcel.generation() == to.generation.get()
    }
}

impl<B: Behavior> From<Plan<B>> for Decided<B> {
    fn from(plan: Plan<B>) -> Self {
        let Plan { event, mut steps } = plan;
        let first = event.map(|event| Parcel::new(Kind::Event, event));
        let (flags, system) = (steps.flags, steps.system);
        let rest = std::iter::from_fn(|| steps.list.pop_front());
        Self {
            steps: first.into_iter().chain(rest).map(Step::new).collect(),
            flags,
            system,
            flags_seen: Cell::new(false),
            behavior: std::marker::PhantomData,
        }
    }
}

impl<B: Behavior> Decided<B> {
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(move |step| step.parcel.kind() == kind)
    }

    /// The events, in order.
    pub fn events(&self) -> Vec<&<B::Machine as Machine>::Event> {
        self.of(Kind::Event).filter_map(Step::see).collect()
    }

    /// The only event.
    ///
    /// # Panics
    ///
    /// If there is none, or more than one.
    #[track_caller]
    pub fn event(&self) -> &<B::Machine as Machine>::Event {
        match self.events()[..] {
            [event] => event,
            ref events => panic!("one event expected, there are {}: {self:?}", events.len()),
        }
    }

    /// The messages that `to` is told, in order.
    pub fn told<M: 'static>(&self, to: ActorRef<M>) -> Vec<&M> {
        self.sent(Kind::Tell, to)
    }

    /// The questions that `to` is asked, in order.
    pub fn asked<M: 'static>(&self, to: ActorRef<M>) -> Vec<&M> {
        self.sent(Kind::Ask, to)
    }

    /// The deliveries to `to`, in order.
    pub fn delivered<M: 'static>(&self, to: ActorRef<M>) -> Vec<Delivered<'_, M>> {
        if to.address().system != self.system {
            return Vec::new();
        }
        let steps = self
            .of(Kind::Deliver)
            .filter(|step| step.is_for(to.address()));
        let delivered = steps.filter_map(|step| {
            let delivery = step.parcel.peek::<Delivery>()?;
            let message = delivery.message()?.peek::<M>()?;
            step.seen.set(true);
            Some(Delivered {
                message,
                retries: delivery.retries(),
                breaker: delivery.breaker(),
                is_acknowledged: delivery.is_acknowledged(),
            })
        });
        delivered.collect()
    }

    fn sent<M: 'static>(&self, kind: Kind, to: ActorRef<M>) -> Vec<&M> {
        if to.address().system != self.system {
            return Vec::new();
        }
        let steps = self.of(kind).filter(|step| step.is_for(to.address()));
        steps.filter_map(Step::see).collect()
    }

    /// What the oldest ask that has no outcome yet becomes with this one: the message of `on_ok` or
    /// `on_error`.
    ///
    /// # Errors
    ///
    /// The outcome's own error where the plan has no `on_error`: it would be a dead letter.
    ///
    /// # Panics
    ///
    /// If the plan asks no more, or for another type than `T`.
    #[track_caller]
    pub fn outcome<T: Send + 'static>(
        &mut self,
        outcome: Result<T, AskError>,
    ) -> Result<B::Message, AskError> {
        let is_open = |step: &Step| step.parcel.kind() == Kind::Continue;
        let Some(place) = self.steps.iter().position(is_open) else {
            panic!("an ask without an outcome expected: {self:?}");
        };
        if let Some(before) = place.checked_sub(1) {
            let request = &self.steps[before].parcel;
            assert!(
                request.kind() != Kind::Ask || self.steps[before].seen.get(),
                "look at the question first, with `asked`: {self:?}"
            );
        }
        let step = self.steps.remove(place).parcel;
        let outcome = outcome.map(|answer| Parcel::new(Kind::Answer, answer));
        step.call_with::<AskError, Result<B::Message, AskError>>(outcome)
    }

    /// The behaviors that it changes to, by type, in order; none for [`Plan::unbecome`].
    pub fn becomes(&self) -> Vec<Option<&'static str>> {
        let steps = self.of(Kind::Become);
        let switches = steps.filter_map(Step::see::<Switch<B::Machine>>);
        switches.map(Switch::name).collect()
    }

    /// The messages that it puts aside, in order.
    pub fn stashed(&self) -> Vec<&B::Message> {
        self.of(Kind::Stash).filter_map(Step::see).collect()
    }

    /// Whether what was put aside comes back.
    pub fn unstashes(&self) -> bool {
        self.of(Kind::Unstash)
            .map(|step| step.seen.set(true))
            .count()
            > 0
    }

    /// What the questions of a [`Plan::gather`] become with these outcomes, in the order of the
    /// targets.
    ///
    /// # Panics
    ///
    /// If the plan has another number of them that have no outcome yet, or asks for another type
    /// than `T`.
    #[track_caller]
    pub fn gathered<T: Send + 'static>(
        &mut self,
        outcomes: impl IntoIterator<Item = Result<T, AskError>>,
    ) -> B::Message {
        let mut message = None;
        for outcome in outcomes {
            let is_open = |step: &Step| step.parcel.kind() == Kind::Gather;
            let Some(place) = self.steps.iter().position(is_open) else {
                panic!("one more question expected: {self:?}");
            };
            let step = self.steps.remove(place).parcel;
            let outcome = outcome.map(|answer| Parcel::new(Kind::Answer, answer));
            message = step.call_with::<AskError, Option<B::Message>>(outcome);
        }
        message.unwrap_or_else(|| panic!("an outcome for each question expected: {self:?}"))
    }

    /// How often it escapes: calls code once it is committed.
    pub fn escapes(&self) -> usize {
        let escapes = self.of(Kind::Escape);
        escapes.map(|step| step.seen.set(true)).count()
    }

    /// What the plan answers to [`reply`]`(number)`; none if it doesn't, or with another type.
    pub fn replied<T: 'static>(&self, number: u64) -> Option<&T> {
        self.of(Kind::Reply)
            .find(|step| step.parcel.note()[0] == number)
            .and_then(Step::see)
    }

    /// The timers that it arms, in order.
    pub fn timers(&self) -> Vec<Armed<'_, B::Message>> {
        let armed = |step: &'_ Step| {
            let [key, after_ns] = step.parcel.note();
            Some((Key::new(key), Duration::from_nanos(after_ns)))
        };
        let mut timers = Vec::new();
        for step in &self.steps {
            let (message, repeats) = match step.parcel.kind() {
                Kind::Timer => (step.see::<B::Message>(), false),
                Kind::Interval => {
                    let repeat = step.see::<Repeat<B::Message>>();
                    (repeat.map(|repeat| &repeat.message), true)
                }
                _ => continue,
            };
            if let (Some(message), Some((key, after))) = (message, armed(step)) {
                timers.push(Armed {
                    key,
                    after,
                    repeats,
                    message,
                });
            }
        }
        timers
    }

    /// The receive time-out that it sets: how long the silence, and its message. With two, the later
    /// one, which takes the place of the other.
    pub fn receive_timeout(&self) -> Option<(Duration, B::Message)> {
        let steps = self.of(Kind::Interval);
        let silence = steps.filter_map(Step::see::<Silence<B::Message>>).last()?;
        Some((Duration::from_nanos(silence.after_ns), (silence.message)()))
    }

    /// Whether it ends the receive time-out.
    pub fn ends_receive_timeout(&self) -> bool {
        let of_silence = |step: &&Step| step.parcel.note()[0] == SILENCE;
        let ends = self.of(Kind::Cancel).filter(of_silence);
        ends.map(|step| step.seen.set(true)).count() > 0
    }

    /// What the end of a linked actor becomes with the [`Plan::trap_exits`] of the plan, the last if
    /// there are several; none without.
    pub fn trapped(&self, down: Down) -> Option<B::Message> {
        let Traps(letter) = self.of(Kind::Trap).filter_map(Step::see).last()?;
        let letter = letter.as_ref()?;
        Some(letter().call::<Down, B::Message>(down))
    }

    /// Whether, after the plan, ends of linked actors are no messages any more.
    pub fn untraps(&self) -> bool {
        let last = self.of(Kind::Trap).filter_map(Step::see).last();
        matches!(last, Some(Traps(None)))
    }

    /// The keys of the timers that it cancels, in order.
    pub fn canceled(&self) -> Vec<Key> {
        let of_timer = |step: &&Step| step.parcel.note()[0] != SILENCE;
        let steps = self.of(Kind::Cancel).filter(of_timer);
        steps
            .map(|step| {
                step.seen.set(true);
                Key::new(step.parcel.note()[0])
            })
            .collect()
    }

    /// Whether the actor stops after the turn, with a reason or without.
    pub fn stops(&self) -> bool {
        self.flags_seen.set(true);
        self.flags & flag::STOP != 0
    }

    /// Whether the message was not for this actor.
    pub fn is_unhandled(&self) -> bool {
        self.flags_seen.set(true);
        self.flags & flag::UNHANDLED != 0
    }

    /// How many steps there are of kinds that can't be looked into.
    pub fn other_steps(&self) -> usize {
        let others = self.of(Kind::Step);
        others.map(|step| step.seen.set(true)).count()
    }

    /// Applies the plan's events to `machine` as its commit would; replies that
    /// [`Plan::reply_after`] makes of the machine have their value from then on.
    ///
    /// What the machine itself sends ([`Machine::output`]) is not asked for.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the machine is rolled back and nothing is answered.
    pub fn evolve(&mut self, machine: &mut B::Machine) -> Result<(), Refusal> {
        machine.begin();
        let mut steps = Vec::with_capacity(self.steps.len());
        let mut refused = None;
        for step in self.steps.drain(..) {
            if step.parcel.kind() != Kind::Event || refused.is_some() {
                steps.push(step);
                continue;
            }
            if let Ok(event) = step.parcel.try_open()
                && let Err(refusal) = machine.try_apply(event)
            {
                refused = Some(refusal);
            }
        }
        self.steps = steps;
        if let Some(refusal) = refused {
            machine.roll_back();
            return Err(refusal);
        }
        let steps = std::mem::take(&mut self.steps).into_iter();
        self.steps = steps
            .map(|step| match step.parcel.kind() {
                Kind::Later => Step::new(Lent::call::<Parcel>(step.parcel, machine)),
                _ => step,
            })
            .collect();
        Ok(())
    }

    /// Fails unless everything in the plan was looked at.
    ///
    /// # Panics
    ///
    /// If something was not, with a list of it.
    #[track_caller]
    pub fn nothing_else(&self) {
        let unseen: Vec<_> = self.steps.iter().filter(|step| !step.seen.get()).collect();
        // A continuation is seen with its question.
        let unseen: Vec<_> = unseen
            .into_iter()
            .filter(|step| !matches!(step.parcel.kind(), Kind::Continue | Kind::Gather))
            .map(|step| self.line(step))
            .collect();
        assert!(
            unseen.is_empty(),
            "the plan has more than was looked at: {}",
            unseen.join(", ")
        );
        let ends = self.flags & (flag::STOP | flag::UNHANDLED);
        assert!(
            ends == 0 || self.flags_seen.get(),
            "the plan has more than was looked at: {self:?}"
        );
    }

    fn line(&self, step: &Step) -> String {
        print::line::<B>(&step.parcel, self.system)
    }
}

impl<B: Behavior> fmt::Debug for Decided<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for step in &self.steps {
            list.entry(&format_args!("{}", self.line(step)));
        }
        print::ends(&mut list, self.flags);
        list.finish()
    }
}
