//! Steps about other actors' lives: children, monitors, links, subscriptions, stops.

use super::{Plan, Steps, flag};
use crate::actor::extension::Call;
use crate::actor::subscription::Subscriber;
use crate::actor::{ActorRef, Address, Behavior, Down, Machine};
use crate::dispatcher::worker;
use crate::envelope::{Kind, Parcel};
use std::any::{TypeId, type_name};
use std::marker::PhantomData;
use std::sync::atomic::Ordering::Relaxed;

/// A child that a plan makes; its address is known already. A plan by `into` or
/// [`SpawnStep::then`].
#[must_use = "a child is made only if it is part of a plan"]
pub struct SpawnStep<B, C: Behavior> {
    child: ActorRef<C::Message>,
    steps: Steps,
    parent: PhantomData<fn() -> B>,
}

/// A child that is made but does not run yet; ended when its plan is dropped.
struct Prepared(Address);

impl Prepared {
    fn launch(self) {
        worker::with(|worker| {
            if let Some(worker) = worker {
                worker.launch(self.0);
                std::mem::forget(self);
            }
        });
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        worker::with(|worker| {
            if let Some(worker) = worker {
                worker.abandon(self.0);
            }
        });
    }
}

/// A step that the worker takes at commit, for the actor that is being run now.
fn step(flags: u16, act: impl FnOnce(&worker::Worker) + Send + 'static) -> Steps {
    let act = move |()| {
        worker::with(|worker| {
            if let Some(worker) = worker {
                act(worker);
            }
        });
    };
    Steps::one(
        Parcel::closure::<(), (), _>(Kind::Step, act, [0; 2]),
        flags,
        0,
    )
}

fn me() -> Address {
    worker::with(|worker| worker.map_or(Address::NOBODY, |worker| worker.me()))
}

impl<B: Behavior> Plan<B> {
    fn of(steps: Steps) -> Self {
        Self { event: None, steps }
    }

    /// A child with this behavior and machine starts when the turn commits.
    ///
    /// Its place is taken, and its address known, at once; if the turn fails it never runs. In a
    /// plan that no actor's turn builds there is no child and the address is nobody's.
    #[inline]
    pub fn spawn<C: Behavior>(behavior: C, machine: C::Machine) -> SpawnStep<B, C> {
        let made = worker::with(|worker| {
            let worker = worker?;
            Some(worker.prepare(
                behavior,
                machine,
                worker.default_limits::<C::Message>(),
                worker.dispatcher.id,
            ))
        });
        let (child, steps) = match made {
            Some(Some(child)) => {
                let prepared = Prepared(child.address);
                let launch = move |()| prepared.launch();
                let parcel = Parcel::closure::<(), (), _>(Kind::Step, launch, [0; 2]);
                (child, Steps::one(parcel, flag::OTHER, child.address.system))
            }
            Some(None) => {
                let mut steps = Steps::none();
                steps.flags = flag::OTHER | flag::NO_ROOM;
                (ActorRef::from_address(Address::NOBODY), steps)
            }
            None => (ActorRef::from_address(Address::NOBODY), Steps::none()),
        };
        SpawnStep {
            child,
            steps,
            parent: PhantomData,
        }
    }

    /// The end of `target` becomes the message that `on_down` makes of it, after the last message
    /// that `target` sent; at once if it has ended. One `Down` for each monitor.
    pub fn monitor(
        target: impl Into<Address>,
        on_down: impl FnOnce(Down) -> B::Message + Send + 'static,
    ) -> Self {
        let target = target.into();
        let me = me();
        let on_down = Parcel::closure::<Down, B::Message, _>(Kind::Step, on_down, [0; 2]);
        Self::of(step(flag::OTHER, move |worker| {
            worker.monitor(me, target, on_down);
        }))
    }

    /// Ends the actor's monitors of `target`; no `Down` of them is handled from this commit on.
    pub fn unmonitor(target: impl Into<Address>) -> Self {
        let (me, target) = (me(), target.into());
        Self::of(step(flag::OTHER, move |worker| worker.unmonitor(me, target)))
    }

    /// Links the actor with `target`: the abnormal end of one ends the other.
    pub fn link(target: impl Into<Address>) -> Self {
        let (me, target) = (me(), target.into());
        Self::of(step(flag::OTHER, move |worker| worker.link(me, target)))
    }

    /// Ends the link with `target`.
    pub fn unlink(target: impl Into<Address>) -> Self {
        let (me, target) = (me(), target.into());
        Self::of(step(flag::OTHER, move |worker| worker.unlink(me, target)))
    }

    /// Refuses `target` later messages; it ends once it has handled those before.
    pub fn stop_actor(target: impl Into<Address>) -> Self {
        let target = target.into();
        Self::of(step(flag::OTHER, move |worker| {
            worker.shared.stop(target);
        }))
    }

    /// The events that `publisher`'s machine applies become, as clones, messages that `map` makes
    /// of them, in the order of publication, until one of the two ends. `P` is the publisher's
    /// behavior. An event for which the actor's mailbox has no room becomes a dead letter.
    ///
    /// One allocation; nothing if the publisher has ended, or is of another behavior or system.
    pub fn subscribe<P: Behavior>(
        publisher: ActorRef<P::Message>,
        map: impl Fn(<P::Machine as Machine>::Event) -> B::Message + Send + 'static,
    ) -> Self
    where
        <P::Machine as Machine>::Event: Clone,
    {
        let me = ActorRef::<B::Message>::from_address(me());
        let subscriber = Subscriber::new(me, map);
        Self::of(step(flag::OTHER, move |worker| {
            let call = Call(Box::new(move |run, worker, _| {
                let ours = worker.type_number(TypeId::of::<P>(), type_name::<P>());
                if run.cell().type_number.load(Relaxed) != ours {
                    return;
                }
                let subscribers = &run.extension().subscribers;
                let mut subscribers = subscribers.borrow_mut();
                let list = subscribers.get_or_insert_with(|| {
                    Box::<Vec<Subscriber<<P::Machine as Machine>::Event>>>::default()
                });
                if let Some(list) = list.downcast_mut::<Vec<_>>() {
                    list.push(subscriber);
                }
            }));
            if publisher.address.system != worker.system() {
                return;
            }
            let parcel = Parcel::new(Kind::Call, call);
            parcel.set_cell(publisher.address.cell);
            parcel.set_generation(publisher.address.generation.get());
            worker.send_uncounted(parcel);
        }))
    }
}

impl<B: Behavior, C: Behavior> SpawnStep<B, C> {
    /// The child's address.
    pub fn child(&self) -> ActorRef<C::Message> {
        self.child
    }

    /// The plan that goes on with what `then` makes of the child's address, in the same commit.
    #[inline]
    pub fn then<P: Into<Plan<B>>>(
        self,
        then: impl FnOnce(ActorRef<C::Message>) -> P,
    ) -> Plan<B> {
        let next = then(self.child);
        Plan::of(self.steps).and(next)
    }
}

impl<B: Behavior, C: Behavior> From<SpawnStep<B, C>> for Plan<B> {
    fn from(step: SpawnStep<B, C>) -> Self {
        Self::of(step.steps)
    }
}
