//! Steps about other actors' lives: children, monitors, links, subscriptions, stops.

use super::timers::nanoseconds;
use super::{Plan, Steps, flag};
use crate::SpawnError;
use crate::actor::cell::{Limits, life};
use crate::actor::subscription::{self, Subscriber};
use crate::actor::topic::Listener;
use crate::actor::{ActorRef, Address, Behavior, Down, Machine};
use crate::config::{Overflow, WhenFull};
use crate::dispatcher::worker;
use crate::envelope::{Kind, Parcel};
use crate::supervise::keeper::{ChildNews, Keeper};
use crate::system::watch::{StopTree, TrapLetter, stop_tree_of};
use crate::system::{policy, spawn};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A child that a plan makes; its address is known already. A plan by `into` or
/// [`SpawnStep::then`].
///
/// What it asks for beyond the defaults is checked at once; where that cannot be had the turn
/// fails as a whole, with [`Cause::NotSpawned`](crate::Cause::NotSpawned).
#[must_use = "a child is made only if it is part of a plan"]
pub struct SpawnStep<B, C: Behavior> {
    child: ActorRef<C::Message>,
    /// None in a plan that no actor's turn builds.
    made: Option<Result<Prepared, SpawnError>>,
    parent: PhantomData<fn() -> B>,
}

/// A child that is made but does not run yet; ended when its plan is dropped.
struct Prepared {
    child: Address,
    has_name: bool,
    /// Whose supervised child it is.
    supervisor: Option<(Address, Option<StopTree>)>,
    is_linked: bool,
}

impl Prepared {
    /// What it does before it runs; whoever calls this [launches](worker::Worker::launch) it.
    fn settle(self) {
        worker::with(|worker| {
            if let Some(worker) = worker {
                if self.has_name {
                    worker.shared.show_names(self.child);
                }
                if let Some((supervisor, stop)) = self.supervisor {
                    worker.adopt(supervisor, self.child, stop);
                }
                if self.is_linked {
                    worker.link(worker.me(), self.child);
                }
                std::mem::forget(self);
            }
        });
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        worker::with(|worker| {
            if let Some(worker) = worker {
                worker.abandon(self.child);
            }
        });
    }
}

/// A plan's [`Plan::trap_exits`]; none for its end.
pub(crate) struct Traps(pub(crate) Option<Arc<TrapLetter>>);

/// A step that the worker takes at commit, for the actor that is being run now.
pub(super) fn step(flags: u16, act: impl FnOnce(&worker::Worker) + Send + 'static) -> Steps {
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

pub(crate) fn me() -> Address {
    worker::peek(|worker| worker.map_or(Address::NOBODY, |worker| worker.me()))
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
        let made = worker::peek(|worker| {
            let worker = worker?;
            let limits = worker.default_limits::<C>();
            let dispatcher = worker.default_dispatcher();
            Some(worker.prepare(behavior, machine, limits, dispatcher))
        });
        let nobody = ActorRef::from_address(Address::NOBODY);
        let (child, made) = match made {
            Some(Ok(child)) => {
                let prepared = Prepared {
                    child: child.address,
                    has_name: false,
                    supervisor: None,
                    is_linked: false,
                };
                (child, Some(Ok(prepared)))
            }
            Some(Err(error)) => (nobody, Some(Err(error))),
            None => (nobody, None),
        };
        SpawnStep {
            child,
            made,
            parent: PhantomData,
        }
    }

    /// A supervised child: `make` makes its state for each incarnation, numbered from 1, in the
    /// child's own turn, and `on_news` a message of all that becomes of it.
    ///
    /// Its place is taken at the commit, and it waits there for [`Plan::restart`]: it is parked, as
    /// it is after each end that is not its last. Address and mailbox stay. It ends with its
    /// supervisor. [`Supervisor`](crate::supervise::Supervisor) is written with this.
    pub fn supervise<C: Behavior>(
        make: impl Fn(u32) -> (C, C::Machine) + Send + 'static,
        on_news: impl Fn(ChildNews) -> B::Message + Clone + Send + 'static,
    ) -> SpawnStep<B, C> {
        let me = me();
        let letter = move |news: ChildNews| {
            let on_news = on_news.clone();
            let open = move |_: Down| on_news(news);
            Parcel::closure::<Down, B::Message, _>(Kind::Step, open, [0; 2])
        };
        let keeper = Keeper::new::<C>(me, make, letter);
        let made = worker::with(|worker| Some(worker?.prepare_parked::<C>(keeper)));
        let child = match &made {
            Some(Ok(child)) => *child,
            _ => ActorRef::from_address(Address::NOBODY),
        };
        let made = made.map(|made| {
            made.map(|child| Prepared {
                child: child.address,
                has_name: false,
                supervisor: Some((me, stop_tree_of::<B>())),
                is_linked: false,
            })
        });
        SpawnStep {
            child,
            made,
            parent: PhantomData,
        }
    }

    /// A parked child of the actor begins its next incarnation, with the mailbox that it has.
    /// Nothing else happens to an actor that is not parked.
    pub fn restart(child: impl Into<Address>) -> Self {
        Self::raise(child.into(), life::RESTART)
    }

    /// Ends `target` for good before its next message, with its stop hook; also a parked child.
    pub fn end(target: impl Into<Address>) -> Self {
        Self::raise(target.into(), life::FINAL | life::STOP_NOW)
    }

    /// Ends `target` before its next message, with its stop hook; a supervised one is parked.
    pub fn stop_now(target: impl Into<Address>) -> Self {
        Self::raise(target.into(), life::STOP_NOW)
    }

    /// Ends `target` before its next message, without a stop hook; a supervised one is parked.
    pub fn kill(target: impl Into<Address>) -> Self {
        Self::raise(target.into(), life::KILL)
    }

    fn raise(target: Address, flags: u32) -> Self {
        Self::of(step(flag::OTHER, move |worker| {
            if target.system == worker.system() {
                worker.raise(target, flags);
            }
        }))
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
        Self::of(step(flag::OTHER, move |worker| {
            worker.unmonitor(me, target)
        }))
    }

    /// Links the actor with `target`: the abnormal end of one ends the other.
    pub fn link(target: impl Into<Address>) -> Self {
        let (me, target) = (me(), target.into());
        Self::of(step(flag::OTHER, move |worker| worker.link(me, target)))
    }

    /// Links two actors; if `other` has ended, `one` ends.
    pub(crate) fn link_others(one: Address, other: Address) -> Self {
        Self::of(step(flag::OTHER, move |worker| worker.link(one, other)))
    }

    /// Ends the link with `target`.
    pub fn unlink(target: impl Into<Address>) -> Self {
        let (me, target) = (me(), target.into());
        Self::of(step(flag::OTHER, move |worker| worker.unlink(me, target)))
    }

    /// From this commit on the end of a linked actor does not end the actor, whatever the exit: it
    /// is a message, which `on_exit` makes of it, after the last one that the ended actor sent.
    ///
    /// A normal end is one too, and linking with an actor that has ended already: its exit is
    /// [`Exit::Gone`](crate::Exit::Gone). Like a monitor's `Down` it takes no place in the mailbox.
    /// The end of its own supervisor, `stop_now` and `kill` cannot be trapped. An incarnation begins
    /// without; trap in [`Behavior::on_start`], before the links.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{Address, Down};
    ///
    /// # struct Ends(Vec<Exit>);
    /// # impl Machine for Ends { type Event = Exit; fn apply(&mut self, exit: Exit) { self.0.push(exit) } }
    /// enum Seen { Link(Address), Ended(Down), Ends(Reply<Vec<Exit>>) }
    /// #[derive(Clone, Copy)]
    /// struct Watching;
    /// impl Behavior for Watching {
    ///     type Machine = Ends;
    ///     type Message = Seen;
    ///
    ///     fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::trap_exits(Seen::Ended)
    ///     }
    ///
    ///     fn on_message(&self, seen: Seen, ends: Snapshot<Self>) -> Plan<Self> {
    ///         match seen {
    ///             Seen::Link(other) => Plan::link(other),
    ///             Seen::Ended(down) => Plan::emit(down.exit),
    ///             Seen::Ends(reply) => Plan::reply(reply, ends.0.clone()),
    ///         }
    ///     }
    /// }
    ///
    /// # struct Nothing;
    /// # impl Machine for Nothing { type Event = (); fn apply(&mut self, (): ()) {} }
    /// # fn main() -> mainspring::Result {
    /// # let (clock, _hand) = mainspring::Clock::manual();
    /// # let system = System::stepped(Config::default(), clock)?;
    /// let watching = system.spawn(Watching, Ends(Vec::new()))?;
    /// let other = system.spawn_machine(Nothing)?;
    /// watching.tell(Seen::Link(other.actor().address()))?;
    /// # system.run_until_idle();
    /// other.kill();
    /// # system.run_until_idle();
    /// let ends = watching.ask(Seen::Ends);
    /// # system.run_until_idle();
    /// assert_eq!(ends.wait()?, [Exit::Killed]); // and it lives on
    /// # Ok(()) }
    /// ```
    pub fn trap_exits(on_exit: impl Fn(Down) -> B::Message + Send + Sync + 'static) -> Self {
        let on_exit = Arc::new(on_exit);
        let letter: Arc<TrapLetter> = Arc::new(move || {
            let on_exit = on_exit.clone();
            let open = move |down| on_exit(down);
            Parcel::closure::<Down, B::Message, _>(Kind::Step, open, [0; 2])
        });
        Self::trap(Some(letter))
    }

    /// Ends [`Plan::trap_exits`]: no message of a linked actor's end is handled from this commit on.
    pub fn untrap_exits() -> Self {
        Self::trap(None)
    }

    fn trap(letter: Option<Arc<TrapLetter>>) -> Self {
        let step = Parcel::new(Kind::Trap, Traps(letter));
        Self::of(Steps::one(step, flag::OTHER, 0))
    }

    /// Refuses `target` later messages; it ends once it has handled those before.
    pub fn stop_actor(target: impl Into<Address>) -> Self {
        let target = target.into();
        Self::of(step(flag::OTHER, move |worker| {
            worker.shared.stop(target);
        }))
    }

    /// Lets a tree of supervision end in order: `top`, if it supervises, gets the message that
    /// [`Behavior::stop_tree`] names, whether its mailbox has room or not. Any other actor ends as
    /// by [`Plan::stop_actor`].
    pub fn stop_tree(top: impl Into<Address>) -> Self {
        let supervisor = top.into();
        Self::of(step(flag::OTHER, move |worker| {
            worker.shared.stop_tree(supervisor);
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
            let call = subscription::adding::<P>(subscriber);
            if publisher.address.system != worker.system() {
                return;
            }
            worker.send_to(publisher.address, Parcel::new(Kind::Call, call));
        }))
    }

    /// All events of type `E` that machines of the system apply become, as clones, messages that
    /// `map` makes of them and of whose they are, from this commit on until the actor ends or
    /// [unsubscribes](Plan::unsubscribe_all). They come with the commit of the turn that they
    /// happened in, those of one actor in order. One for which the actor's mailbox has no room
    /// becomes a dead letter.
    ///
    /// [`DeadLetter`](crate::DeadLetter) is such a type too: those that the telling itself causes,
    /// and those for which there is no room, are not told. So is a supervisor's
    /// [`Supervision`](crate::supervise::Supervision), and the
    /// [`BreakerChange`](crate::BreakerChange) of any target, as whose it is told.
    ///
    /// Two allocations; see [`System::events`](crate::System::events) for what an event costs. `map`
    /// runs in the publishers' turns, those of several at once, under no lock; a panic of it ends the
    /// subscription.
    pub fn subscribe_all<E: Clone + Send + 'static>(
        map: impl Fn(Address, E) -> B::Message + Send + Sync + 'static,
    ) -> Self {
        let me = ActorRef::<B::Message>::from_address(me());
        let listener = Listener::new(me, map);
        Self::of(step(flag::OTHER, move |worker| {
            worker.shared.listen(listener);
        }))
    }

    /// Ends the actor's subscriptions to all events of type `E`. Those that happened before, or are
    /// published at this moment, may come still.
    pub fn unsubscribe_all<E: Clone + Send + 'static>() -> Self {
        let me = me();
        Self::of(step(flag::OTHER, move |worker| {
            worker.shared.forget_listeners::<E>(|actor| actor == me);
        }))
    }
}

impl<B: Behavior, C: Behavior> SpawnStep<B, C> {
    /// One that makes nothing: in a plan that no actor's turn builds, or for want of something.
    pub(crate) fn of(missing: Option<SpawnError>) -> Self {
        Self {
            child: ActorRef::from_address(Address::NOBODY),
            made: missing.map(Err),
            parent: PhantomData,
        }
    }

    /// The child's address.
    pub fn child(&self) -> ActorRef<C::Message> {
        self.child
    }

    /// Gives the child a name: taken at once, seen by others from the commit on.
    pub fn named(self, name: &str) -> Self {
        self.set(|worker, child| {
            worker.shared.name::<C::Message>(child.child, name, false)?;
            child.has_name = true;
            Ok(())
        })
    }

    /// Links it with its parent: the abnormal end of one ends the other, from its first turn on. See
    /// [`Plan::link`].
    pub fn linked(self) -> Self {
        self.set(|_, child| {
            child.is_linked = true;
            Ok(())
        })
    }

    /// Why the child cannot be made, if it cannot.
    pub(crate) fn error(&self) -> Option<&SpawnError> {
        self.made.as_ref()?.as_ref().err()
    }

    /// How many messages its mailbox holds, 1 to 32,768, whatever their bytes.
    pub fn capacity(self, messages: usize) -> Self {
        self.set_limits(|limits| {
            limits.capacity = spawn::capacity(messages)?;
            Ok(())
        })
    }

    /// What a send does when its mailbox is full.
    pub fn overflow(self, overflow: Overflow) -> Self {
        self.set_limits(|limits| {
            limits.overflow = policy::overflow(overflow);
            Ok(())
        })
    }

    /// How long its asks wait that do not say; `system.ask_timeout` if not given.
    pub fn ask_timeout(self, timeout: Duration) -> Self {
        self.set(move |worker, child| {
            if let Some(cell) = worker.cell(child.child.cell) {
                cell.set_ask_timeout(nanoseconds(timeout));
            }
            Ok(())
        })
    }

    /// What its own plans do when a target is full.
    pub fn when_full(self, when_full: WhenFull) -> Self {
        self.set_limits(|limits| {
            limits.when_full = policy::when_full(when_full);
            Ok(())
        })
    }

    /// Which dispatcher of the configuration runs it, in place of its parent's; `default` is the
    /// one without a name.
    pub fn on(self, dispatcher: &str) -> Self {
        self.set(|worker, child| {
            let dispatcher = worker.shared.dispatcher_named(dispatcher)?;
            worker.set_dispatcher(child.child, dispatcher);
            Ok(())
        })
    }

    /// It runs on a thread of its own, as with
    /// [`Prepare::own_thread`](crate::Prepare::own_thread). The thread is started at once, about
    /// 50 microseconds of the parent's turn.
    pub fn own_thread(self) -> Self {
        self.set(|worker, child| {
            let dispatcher = worker.shared.start_own_dispatcher()?;
            worker.set_dispatcher(child.child, dispatcher);
            Ok(())
        })
    }

    fn set_limits(self, set: impl FnOnce(&mut Limits) -> Result<(), SpawnError>) -> Self {
        self.set(|worker, child| worker.set_limits(child.child, set))
    }

    fn set(
        mut self,
        set: impl FnOnce(&worker::Worker, &mut Prepared) -> Result<(), SpawnError>,
    ) -> Self {
        if let Some(Ok(child)) = &mut self.made {
            let set = worker::with(|worker| worker.map_or(Ok(()), |worker| set(worker, child)));
            if let Err(error) = set {
                self.made = Some(Err(error));
            }
        }
        self
    }

    /// The plan that goes on with what `then` makes of the child's address, in the same commit.
    #[inline]
    pub fn then<P: Into<Plan<B>>>(self, then: impl FnOnce(ActorRef<C::Message>) -> P) -> Plan<B> {
        let next = then(self.child);
        Plan::of(self.into_steps()).and(next)
    }

    #[inline]
    fn into_steps(self) -> Steps {
        match self.made {
            Some(Ok(prepared)) => {
                let settle = move |()| prepared.settle();
                let parcel = Parcel::closure::<(), (), _>(Kind::Child, settle, [0; 2]);
                parcel.set_cell(self.child.address.cell);
                Steps::one(parcel, flag::OTHER, self.child.address.system)
            }
            Some(Err(error)) => {
                let parcel = Parcel::new(Kind::Step, error);
                Steps::one(parcel, flag::OTHER | flag::NO_CHILD, 0)
            }
            None => Steps::none(),
        }
    }
}

impl<B: Behavior, C: Behavior> From<SpawnStep<B, C>> for Plan<B> {
    fn from(step: SpawnStep<B, C>) -> Self {
        Self::of(step.into_steps())
    }
}
