//! What a machine itself wants to happen: steps that join the commit of the turn that evolved it.

use super::children::{self, SpawnStep};
use super::timers::nanoseconds;
use super::{Key, Plan, Steps, flag};
use crate::actor::cell::quietly;
use crate::actor::{ActorRef, Address, Behavior, Down, Events, Machine};
use crate::ask::Reply;
use crate::dead_letter::Cause;
use crate::dispatcher::worker;
use crate::envelope::{Kind, Parcel};
use crate::fused::invoke::Parent;
use std::marker::PhantomData;
use std::time::Duration;

/// What a machine asks for while it evolves, see [`Machine::output`].
///
/// Its steps are published with the plan's, before them. What it sends is let into full mailboxes
/// too, and counted as overdraft: a machine that has evolved can't wait.
pub struct Output<M: Machine> {
    pub(crate) steps: Steps,
    machine: PhantomData<fn() -> M>,
}

/// An event on its way to an actor's machine.
pub(crate) struct Evolve<E>(pub(crate) E);

/// A machine's timer keys are no user's.
const fn own(key: Key) -> u64 {
    (key.0 ^ MARK).wrapping_mul(MIX)
}

/// What [`own`] made that key of.
pub(crate) const fn chosen(own: u64) -> Key {
    Key(own.wrapping_mul(UNMIX) ^ MARK)
}

const MARK: u64 = 0x6d61_6368_696e_6521;
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// The inverse of `MIX`, by Newton's steps: each doubles the bits that are right.
const UNMIX: u64 = {
    let mut inverse = MIX; // right in 3 bits, as for every odd number
    while MIX.wrapping_mul(inverse) != 1 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(MIX.wrapping_mul(inverse)));
    }
    inverse
};

impl<M: Machine> Output<M> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self {
            steps: Steps::none(),
            machine: PhantomData,
        }
    }

    /// Moves all of `other` behind what is here.
    #[inline]
    pub(crate) fn append(&mut self, other: &mut Self) {
        if !other.steps.list.is_empty() {
            self.steps
                .append(std::mem::replace(&mut other.steps, Steps::none()));
        }
    }

    fn add(&mut self, plan: impl Into<Plan<Events<M>>>) {
        self.steps.append(plan.into().into_steps());
    }

    /// `to` gets `message`.
    pub fn tell<T: Send + 'static>(&mut self, to: ActorRef<T>, message: T) {
        self.add(Plan::tell(to, message));
    }

    /// Answers an ask whose [`Reply`] the machine kept.
    pub fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, value: T) {
        self.add(Plan::reply(reply, value));
    }

    /// Subscribers get a clone of `event`, as of the events that the plan applied.
    pub fn emit(&mut self, event: M::Event) {
        let step = Parcel::new(Kind::Event, event);
        self.steps.append(Steps::one(step, flag::EVENT, 0));
    }

    /// The machine gets `event` in a turn of its own when `delay` has passed: never before, and
    /// within a tick (1 ms) after, plus the actor's queue. A machine's timer of the same key is
    /// replaced; keys of the behavior's timers are others. It dies with the actor.
    pub fn after(&mut self, key: impl Into<Key>, delay: Duration, event: M::Event) {
        let note = [own(key.into()), nanoseconds(delay)];
        let step = Parcel::with_note(Kind::Timer, Evolve(event), note);
        let flags = flag::OTHER | flag::LIMITED;
        self.steps.append(Steps::one(step, flags, 0));
    }

    /// Cancels the machine's timer of this key: its event is not applied from this commit on.
    pub fn cancel(&mut self, key: impl Into<Key>) {
        let step = Parcel::bare(Kind::Cancel, [own(key.into()), 0]);
        self.steps.append(Steps::one(step, flag::OTHER, 0));
    }

    /// The machine gets `event` in a later turn, after what is in the mailbox now.
    pub fn later(&mut self, event: M::Event) {
        // Whose turn it is is known at the commit: a machine may be made in another's, or nobody's.
        let parcel = Parcel::new(Kind::Interval, Evolve(event));
        self.steps
            .append(children::step(flag::OTHER, move |worker| {
                worker.count_overdraft(1);
                worker.send_to(worker.me(), parcel);
            }));
    }

    /// The machine at `to` gets `event` in a turn of its own. One whose events are of another
    /// type never sees it.
    pub(crate) fn evolve<E: Send + 'static>(&mut self, to: Address, event: E) {
        // Like an interval's tick it takes no place.
        let parcel = Parcel::new(Kind::Interval, Evolve(event));
        self.steps
            .append(children::step(flag::OTHER, move |worker| {
                worker.count_overdraft(1);
                worker.send_to(to, parcel);
            }));
    }

    /// The machine of the actor that invoked this one gets `event` in a turn of its own, after what
    /// waits there; it takes no place in the mailbox. Nothing, where the parent has ended.
    pub fn tell_parent<E: Send + 'static>(&mut self, parent: &Parent<E>, event: E) {
        if parent.address() != Address::NOBODY {
            self.evolve(parent.address(), event);
        }
    }

    /// A child with this behavior and machine starts when the turn commits; see [`Plan::spawn`].
    pub fn spawn<C: Behavior>(&mut self, behavior: C, machine: C::Machine) -> ActorRef<C::Message> {
        self.spawn_as(Plan::spawn(behavior, machine))
    }

    /// As [`Output::spawn`], with what [`SpawnStep`] has to say about the child.
    pub fn spawn_as<C: Behavior>(&mut self, step: SpawnStep<Events<M>, C>) -> ActorRef<C::Message> {
        let child = step.child();
        self.add(step);
        child
    }

    /// The end of `target` becomes the event that `on_down` makes of it.
    pub fn monitor(
        &mut self,
        target: impl Into<Address>,
        on_down: impl FnOnce(Down) -> M::Event + Send + 'static,
    ) {
        let (me, target) = (children::me(), target.into());
        let on_down = move |down| Evolve(on_down(down));
        let on_down = Parcel::closure::<Down, Evolve<M::Event>, _>(Kind::Step, on_down, [0; 2]);
        self.steps
            .append(children::step(flag::OTHER, move |worker| {
                worker.monitor(me, target, on_down);
            }));
    }

    /// Ends the monitors of `target`; no event of them is applied from this commit on.
    pub fn unmonitor(&mut self, target: impl Into<Address>) {
        self.add(Plan::unmonitor(target));
    }

    /// Refuses `target` later messages; it ends once it has handled those before.
    pub fn stop_actor(&mut self, target: impl Into<Address>) {
        self.add(Plan::stop_actor(target));
    }

    /// Calls `act` when the turn commits; its panic changes nothing.
    pub(crate) fn at_commit(&mut self, act: impl FnOnce() + Send + 'static) {
        self.steps
            .append(children::step(flag::OTHER, move |_| quietly(act)));
    }

    /// When the turn commits, `event` is a dead letter that no state of `chart` takes.
    #[cold]
    pub(crate) fn not_taken(&mut self, event: &str, chart: &str) {
        let cause = Cause::NotTaken {
            event: event.into(),
            chart: chart.into(),
        };
        self.steps
            .append(children::step(flag::OTHER, move |worker| {
                worker.dead_letter(worker.me(), std::any::type_name::<M::Event>(), cause);
            }));
    }

    /// Ends `target` after its turn in hand; what is queued there becomes dead letters.
    pub fn stop_actor_now(&mut self, target: impl Into<Address>) {
        let target = target.into();
        self.steps
            .append(children::step(flag::OTHER, move |worker| {
                worker.stop_now(target);
            }));
    }

    /// The actor itself refuses later messages, and ends once it has handled those before.
    pub fn stop(&mut self) {
        self.steps
            .append(children::step(flag::OTHER, move |worker| {
                worker.shared.stop(worker.me());
            }));
    }
}

/// Ends an actor from a drop, if a worker runs it.
pub(crate) fn stop_now(target: Address) {
    worker::with(|worker| {
        if let Some(worker) = worker {
            worker.stop_now(target);
        }
    });
}
