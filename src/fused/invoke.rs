//! What a state of the macro's chart runs while it is active, and how that ends.
//!
//! ```text
//!   enter ─▶ Invoked ─ kept ─▶ the turn's end: a child, monitored
//!                                │ its end: an output or why there is none
//!   VARIANT(ChildEnded) ◀─────────────┘
//!   leave ─▶ the monitor ends, then the child
//! ```
//!
//! - I1: a child starts when the turn ends that entered its state, if that is still active then.
//! - I2: an invocation brings one event at most, and none once its state was left.
//! - I3: a turn that fails starts and stops nobody.
//! - I4: what a child tells its [`Parent`] comes before its end, in order.
//! - I5: a restored chart starts those that were alive, with their states where these were saved.

use super::save::Keep;
use super::{Effects, Invoking};
use crate::actor::{Address, Behavior, Down, Events, Machine, Refusal};
use crate::chart::{Resume, Snapshot as Saved, SnapshotError, Value};
use crate::hosted::whole::Saver;
use crate::plan::children;
use crate::plan::output::{Output, stop_now};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// An output whose type only the transitions know that read it.
#[doc(hidden)]
pub type Given = Arc<dyn Any + Send + Sync>;

/// Where a child leaves its output, or why there is none.
type Place = Arc<OnceLock<Result<Given, Arc<str>>>>;

/// How something ended that a state of a chart had [invoked](Invoked): what the variant holds that
/// the chart's head names with `invoke: Event::Variant`.
///
/// `done NAME(pattern)` and `error NAME(pattern)` look into it.
///
/// # Examples
///
/// A chart is tested without an actor system; its invocation ends when the test says so:
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "compute"))]
/// # fn main() -> mainspring::Result {
/// use mainspring::{ChildEnded, Invoked};
///
/// enum Event { Start, Ended(ChildEnded) }
///
/// mainspring::chart! {
///     chart Sum(sum: u64, event: Event, invoke: Event::Ended) {
///         initial Idle;
///         state Idle { on Event::Start => Busy; }
///         state Busy {
///             invoke Add = Invoked::task(|_| (1..=100u64).sum::<u64>());
///             done Add(found) => Idle { *sum = *found }
///             error Add(_) => Failed;
///         }
///         state Failed {}
///     }
/// }
///
/// let mut sum = Sum::new(0)?;
/// sum.step(Event::Start)?;
/// sum.step(Event::Ended(ChildEnded::done(Sum::ADD, 5050_u64)))?;
/// assert_eq!(*sum.context(), 5050);
/// sum.step(Event::Start)?;
/// sum.step(Event::Ended(ChildEnded::error(Sum::ADD, "no memory")))?;
/// assert!(sum.is(SumState::Failed));
/// # Ok(()) }
/// # #[cfg(not(all(feature = "macros", feature = "compute")))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct ChildEnded {
    invocation: u32,
    result: Result<Given, Arc<str>>,
}

impl ChildEnded {
    /// The end of the invocation of that number with an output: as from a child, for tests.
    pub fn done<T: Send + Sync + 'static>(invocation: u32, output: T) -> Self {
        Self {
            invocation,
            result: Ok(Arc::new(output)),
        }
    }

    /// The end of the invocation of that number without one: as from a child, for tests.
    pub fn error(invocation: u32, why: impl Into<Arc<str>>) -> Self {
        Self {
            invocation,
            result: Err(why.into()),
        }
    }

    /// The invocation's number; a chart has a constant for each.
    pub fn invocation(&self) -> u32 {
        self.invocation
    }

    /// The output, if there is one of that type.
    pub fn output<T: 'static>(&self) -> Option<&T> {
        self.result.as_ref().ok()?.downcast_ref()
    }

    /// Why there is no output; none if there is one.
    pub fn why(&self) -> Option<&str> {
        self.result.as_ref().err().map(|why| &**why)
    }

    /// Why the chart fails if nothing takes the failure.
    #[doc(hidden)]
    pub fn refusal(&self) -> Option<Refusal> {
        let why = self.why()?;
        let number = self.invocation;
        Some(Refusal::fatal(format!(
            "no state takes the failure of invocation {number}: {why}"
        )))
    }

    fn of(invocation: u32, place: &Place, down: &Down) -> Self {
        let result = match place.get() {
            _ if !down.exit.is_normal() => Err(down.exit.to_string().into()),
            Some(result) => result.clone(),
            None => Err("it ended without an output".into()),
        };
        Self { invocation, result }
    }
}

impl fmt::Debug for ChildEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildEnded")
            .field("invocation", &self.invocation)
            .field("why", &self.why())
            .finish_non_exhaustive()
    }
}

impl PartialEq for ChildEnded {
    /// Outputs are equal if they are the same one.
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.result, &other.result) {
            (Ok(a), Ok(b)) => Arc::ptr_eq(a, b),
            (Err(a), Err(b)) => a == b,
            _ => false,
        };
        same && self.invocation == other.invocation
    }
}

/// How a child was saved, and how its delays go on.
type Revived = Option<(Arc<Saved<Value>>, Resume)>;
type Starter<M> = Box<dyn FnOnce(&mut Output<M>, Place, Revived) -> Result<Started, String> + Send>;
pub(super) type Check = fn(&Saved<Value>, Resume) -> Result<(), SnapshotError>;
type Start<M> = Box<dyn FnOnce(&mut Output<M>) -> Option<Alive> + Send>;

/// A child that was made, and what has it save itself.
struct Started {
    address: Address,
    save: Option<Saver>,
}

impl Started {
    fn new(address: Address) -> Self {
        Self {
            address,
            save: None,
        }
    }
}

/// What a state of a chart of [`chart!`](mod@crate::chart) invokes: `invoke NAME = EXPRESSION;`
/// takes an expression of this type, whose output is a `T`.
///
/// It becomes a child of the actor when the turn ends that entered the state: one allocation, an
/// actor and its monitor. It is stopped when the state is left, and with the actor.
pub struct Invoked<M: Machine, T> {
    start: Starter<M>,
    /// Whether it can be made of what was saved; none of anything.
    check: Option<Check>,
    output: std::marker::PhantomData<fn() -> T>,
}

impl<M: Machine, T> fmt::Debug for Invoked<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoked").finish_non_exhaustive()
    }
}

impl<M: Machine, T: Send + Sync + 'static> Invoked<M, T> {
    /// What starts anew.
    fn of(start: impl FnOnce(&mut Output<M>, Place) -> Address + Send + 'static) -> Self {
        Self {
            start: Box::new(move |output, place, _| Ok(Started::new(start(output, place)))),
            check: None,
            output: std::marker::PhantomData,
        }
    }

    fn machine<C: Finishes<Output = T>>(
        make: impl FnOnce(Parent<M::Event>) -> C + Send + 'static,
    ) -> Self {
        let start = move |output: &mut Output<M>, place, revived: Revived| {
            let keep = C::keep();
            let mut chart = match (revived, &keep) {
                (Some((saved, resume)), Some(keep)) => {
                    (keep.revive)(&saved, resume).map_err(|why| why.to_string())?
                }
                _ => make(Parent::of(children::me())),
            };
            chart.tell_end(Finish(Some(place)));
            Ok(Started {
                save: keep.map(|keep| keep.save),
                ..Started::new(output.spawn(Events::new(), chart).address())
            })
        };
        Self {
            start: Box::new(start),
            check: C::keep().map(|keep| keep.check),
            output: std::marker::PhantomData,
        }
    }

    /// A chart of [`chart!`](mod@crate::chart): done when it is, with its output. If its head says
    /// `kept` it is saved with its parent, see [`Actor::save`](crate::Actor::save); then restored,
    /// the saved one takes the place of `chart`.
    pub fn chart(chart: impl Finishes<Output = T>) -> Self {
        Self::machine(|_| chart)
    }

    /// As [`Invoked::chart`], for a chart that speaks to its parent while it lives: `chart` makes it
    /// with the [`Parent`] to keep in its context. It is not called where a saved one is restored.
    ///
    /// # Examples
    ///
    /// A download that tells how far it is:
    ///
    /// ```
    /// # #[cfg(feature = "macros")]
    /// # fn main() -> mainspring::Result {
    /// use mainspring::prelude::*;
    /// use mainspring::{ChildEnded, Clock, Invoked, Parent};
    ///
    /// enum Event { Percent(u8), Ended(ChildEnded) }
    ///
    /// mainspring::chart! {
    ///     chart Download(parent: Parent<Event>, event: (), out: out, output: u32) {
    ///         initial Half;
    ///         entry { out.tell_parent(parent, Event::Percent(50)); out.raise(()) }
    ///         state Half { on () => Whole { out.tell_parent(parent, Event::Percent(100)) } }
    ///         final Whole { output 4096; }
    ///     }
    /// }
    ///
    /// mainspring::chart! {
    ///     #[derive(Clone)]
    ///     chart Viewer(seen: Vec<u32>, event: Event, invoke: Event::Ended) {
    ///         initial Loading;
    ///         state Loading {
    ///             invoke Load = Invoked::chart_with(|parent| Download::new(parent).unwrap());
    ///             on Event::Percent(percent) => { seen.push(u32::from(percent)) }
    ///             done Load(bytes) => Loaded { seen.push(*bytes) }
    ///         }
    ///         state Loaded {}
    ///     }
    /// }
    ///
    /// let (clock, _hand) = Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let viewer = system.spawn_machine(Viewer::new(Vec::new())?)?;
    /// system.run_until_idle();
    /// let asked = viewer.snapshot();
    /// system.run_until_idle();
    /// assert_eq!(asked.wait()?.context()[..], [50, 100, 4096]);
    /// # Ok(()) }
    /// # #[cfg(not(feature = "macros"))]
    /// # fn main() {}
    /// ```
    pub fn chart_with<C: Finishes<Output = T>>(
        chart: impl FnOnce(Parent<M::Event>) -> C + Send + 'static,
    ) -> Self {
        Self::machine(chart)
    }

    /// `job` on the system's compute pool; its output is what it gives. A panic is an error. When
    /// the state is left the job's token is cancelled.
    #[cfg(feature = "compute")]
    pub fn task(job: impl FnOnce(&crate::CancelToken) -> T + Send + 'static) -> Self {
        Self::job(|token| Ok(Arc::new(job(token))))
    }

    /// As [`Invoked::task`], for a job that may fail.
    #[cfg(feature = "compute")]
    pub fn attempt<E: fmt::Display>(
        job: impl FnOnce(&crate::CancelToken) -> Result<T, E> + Send + 'static,
    ) -> Self {
        Self::job(|token| match job(token) {
            Ok(output) => Ok(Arc::new(output)),
            Err(error) => Err(error.to_string().into()),
        })
    }

    #[cfg(feature = "compute")]
    fn job(
        job: impl FnOnce(&crate::CancelToken) -> Result<Given, Arc<str>> + Send + 'static,
    ) -> Self {
        Self::of(move |output, place| {
            let child = output.spawn(work::Working, work::Idle);
            output.tell(child, work::Work::Do(Box::new(job), place));
            child.address()
        })
    }
}

impl<M: Machine> Invoked<M, ()> {
    /// Any actor: done when it ends in order.
    pub fn actor<B: Behavior>(behavior: B, machine: B::Machine) -> Self {
        Self::of(move |output, place| {
            let _ = place.set(Ok(Arc::new(())));
            output.spawn(behavior, machine).address()
        })
    }
}

#[cfg(feature = "compute")]
mod work {
    use super::{Given, Place};
    use crate::actor::{Behavior, Machine, Snapshot};
    use crate::{CancelToken, ComputeError, Plan};
    use std::sync::Arc;

    pub(super) struct Idle;
    impl Machine for Idle {
        type Event = ();
        fn apply(&mut self, (): ()) {}
    }

    type Job = Box<dyn FnOnce(&CancelToken) -> Result<Given, Arc<str>> + Send>;

    pub(super) enum Work {
        Do(Job, Place),
        Done(Result<Result<Given, Arc<str>>, ComputeError>, Place),
    }

    /// Has one job done, and ends.
    #[derive(Clone, Copy)]
    pub(super) struct Working;
    impl Behavior for Working {
        type Machine = Idle;
        type Message = Work;

        fn on_message(&self, work: Work, _: Snapshot<'_, Self>) -> Plan<Self> {
            match work {
                Work::Do(job, place) => {
                    Plan::compute(job, CancelToken::new(), |result| Work::Done(result, place))
                }
                Work::Done(result, place) => {
                    let _ = place.set(match result {
                        Ok(result) => result,
                        Err(error) => Err(error.to_string().into()),
                    });
                    Plan::stop()
                }
            }
        }
    }
}

/// The actor whose chart invoked another, for the one invoked: where its events for the parent's
/// machine go, see [`Invoked::chart_with`] and [`Output::tell_parent`].
pub struct Parent<E> {
    address: Address,
    event: std::marker::PhantomData<fn(E)>,
}

impl<E> Parent<E> {
    fn of(address: Address) -> Self {
        Self {
            address,
            event: std::marker::PhantomData,
        }
    }

    /// Nobody's: what it is told is gone. For tests of a chart alone.
    pub fn nobody() -> Self {
        Self::of(Address::NOBODY)
    }

    /// Whose chart it is.
    pub fn address(&self) -> Address {
        self.address
    }
}

impl<E> Clone for Parent<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Parent<E> {}

/// As an empty list, which every format has: it is another's when it is read.
impl<E> Serialize for Parent<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [(); 0].serialize(serializer)
    }
}

/// The actor in whose turn it is read, which restores its child then; nobody out of a turn.
impl<'de, E> Deserialize<'de> for Parent<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer)?;
        Ok(Self::of(children::me()))
    }
}

impl<E> fmt::Debug for Parent<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parent").field(&self.address).finish()
    }
}

/// A chart of [`chart!`](mod@crate::chart), which has an output when it is done.
pub trait Finishes: Machine {
    /// The `output` of its head, or `()`.
    type Output: Send + Sync + 'static;

    #[doc(hidden)]
    fn tell_end(&mut self, finish: Finish);

    /// How one that is `kept` is saved and restored as a child.
    #[doc(hidden)]
    fn keep() -> Option<Keep<Self>> {
        None
    }
}

/// Where a chart's own output goes, if anybody waits for it.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Finish(Option<Place>);

impl Clone for Finish {
    /// Nobody's: one output is awaited from one actor.
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Finish {
    /// With the turn's commit the chart's output is known.
    pub fn give<M: Machine, T: Send + Sync + 'static>(
        &self,
        given: &Arc<T>,
        output: &mut Output<M>,
    ) {
        if let Some(place) = self.0.clone() {
            let given = given.clone();
            output.at_commit(move || {
                let _ = place.set(Ok(given));
            });
        }
    }
}

/// What a chart asks for about its invocations, until its turn ends.
pub(super) enum Call<M: Machine> {
    Start(Listed, Start<M>),
    Stop(u32),
}

/// An invocation that is alive or to be, and its state if that was saved.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) invocation: u32,
    pub(super) saved: Option<Arc<Saved<Value>>>,
}

/// What a chart that was saved had invoked.
#[doc(hidden)]
pub struct Again {
    pub invocation: u32,
    pub(super) saved: Option<Arc<Saved<Value>>>,
    pub(super) resume: Resume,
}

impl<M: Invoking> Effects<M> {
    #[doc(hidden)]
    pub fn invoke<T>(&mut self, invocation: u32, invoked: Invoked<M, T>) {
        self.start(invocation, invoked, None);
    }

    /// As it was when it was saved.
    ///
    /// # Errors
    ///
    /// It is no chart that was saved so.
    #[doc(hidden)]
    pub fn invoke_again<T>(
        &mut self,
        again: &Again,
        invoked: Invoked<M, T>,
    ) -> Result<(), SnapshotError> {
        let revived = again.saved.clone().map(|saved| (saved, again.resume));
        if let Some((saved, resume)) = &revived {
            let Some(check) = invoked.check else {
                let why = "it is no chart that is `kept`".to_owned();
                return Err(SnapshotError::NoState(why));
            };
            check(saved, *resume)?;
        }
        self.start(again.invocation, invoked, revived);
        Ok(())
    }

    fn start<T>(&mut self, invocation: u32, invoked: Invoked<M, T>, revived: Revived) {
        let saved = revived.as_ref().map(|(saved, _)| saved.clone());
        let start = move |output: &mut Output<M>| {
            let place = Place::default();
            let Started { address, save } = match (invoked.start)(output, place.clone(), revived) {
                Ok(started) => started,
                Err(why) => {
                    output.later(M::ended(ChildEnded::error(invocation, why)));
                    return None;
                }
            };
            output.monitor(address, move |down| {
                M::ended(ChildEnded::of(invocation, &place, &down))
            });
            Some(Alive {
                invocation,
                address,
                save,
                is_over: false,
            })
        };
        let listed = Listed { invocation, saved };
        self.calls.push(Call::Start(listed, Box::new(start)));
    }

    #[doc(hidden)]
    pub fn stop_invoked(&mut self, invocation: u32) {
        self.calls.push(Call::Stop(invocation));
    }
}

/// The children that a chart's states have invoked, by their invocations.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Children {
    alive: Vec<Alive>,
    kept: Vec<Alive>,
    /// In a clone, those of the original, to be saved.
    listed: Vec<Listed>,
}

#[derive(Clone, Debug)]
pub(super) struct Alive {
    invocation: u32,
    address: Address,
    save: Option<Saver>,
    /// Whether its end has come.
    is_over: bool,
}

impl Clone for Children {
    /// None but in name: they are the original's.
    fn clone(&self) -> Self {
        let mut clone = Self::default();
        clone.listed = self.listed();
        clone
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for alive in &self.alive {
            stop_now(alive.address);
        }
    }
}

impl Children {
    pub fn keep(&mut self) {
        self.kept.clone_from(&self.alive);
    }

    pub fn roll_back(&mut self) {
        std::mem::swap(&mut self.alive, &mut self.kept);
        self.kept.clear();
    }

    /// The event in hand is an invocation's end, also if its turn fails.
    pub fn ended(&mut self, ended: &ChildEnded) {
        for alive in self.alive.iter_mut().chain(&mut self.kept) {
            alive.is_over |= alive.invocation == ended.invocation;
        }
    }

    /// Those that are to be saved.
    fn listed(&self) -> Vec<Listed> {
        let alive = self.alive.iter().filter(|alive| !alive.is_over);
        let alive = alive.map(|alive| Listed {
            invocation: alive.invocation,
            saved: None,
        });
        self.listed.iter().cloned().chain(alive).collect()
    }

    /// The same, with what was asked for.
    pub(super) fn with<M: Machine>(&self, effects: &Effects<M>) -> Vec<Listed> {
        let mut listed = self.listed();
        effects.list(&mut listed);
        listed
    }

    /// Who can be asked for a state, and how.
    pub(super) fn savers(&self) -> impl Iterator<Item = (u32, Address, Saver)> + '_ {
        let alive = self.alive.iter().filter(|alive| !alive.is_over);
        alive.filter_map(|alive| Some((alive.invocation, alive.address, alive.save?)))
    }

    /// Does what was asked for (I1).
    pub fn perform<M: Machine>(&mut self, effects: &mut Effects<M>, output: &mut Output<M>) {
        self.listed.clear(); // a clone that became an actor: they are the original's
        effects.listed.clear();
        let mut calls = std::mem::take(&mut effects.calls);
        let stops = |call: &Call<M>, which| matches!(call, Call::Stop(n) if *n == which);
        let last: Vec<bool> = (0..calls.len())
            .map(|at| match &calls[at] {
                Call::Start(started, _) => {
                    let mut later = calls[at + 1..].iter();
                    !later.any(|call| stops(call, started.invocation))
                }
                Call::Stop(_) => true,
            })
            .collect();
        for (call, _) in calls.drain(..).zip(last).filter(|(_, last)| *last) {
            match call {
                Call::Start(_, start) => self.alive.extend(start(output)),
                Call::Stop(invocation) => self.alive.retain(|alive| {
                    let lives = alive.invocation != invocation;
                    if !lives {
                        output.unmonitor(alive.address);
                        output.stop_actor_now(alive.address);
                    }
                    lives
                }),
            }
        }
        effects.calls = calls;
    }
}

impl<M: Machine> Effects<M> {
    /// Adds and takes away what was asked for.
    pub(super) fn list(&self, listed: &mut Vec<Listed>) {
        listed.extend(self.listed.iter().cloned());
        for call in &self.calls {
            match call {
                Call::Start(started, _) => listed.push(started.clone()),
                Call::Stop(gone) => listed.retain(|one| one.invocation != *gone),
            }
        }
    }
}

/// What an invocation gave, if it is this one's; the closure is never called and says the type.
#[doc(hidden)]
pub fn done<C: ?Sized, M: Machine, T: 'static>(
    ended: &ChildEnded,
    invocation: u32,
    _source: impl Fn(&C) -> Invoked<M, T>,
) -> Option<&T> {
    match ended.invocation == invocation {
        true => ended.output(),
        false => None,
    }
}

/// Why an invocation gave nothing, if it is this one.
#[doc(hidden)]
pub fn error(ended: &ChildEnded, invocation: u32) -> Option<&str> {
    ended.why().filter(|_| ended.invocation == invocation)
}

/// What a final state gave; the closure is never called and says the type.
#[doc(hidden)]
pub fn given<C: ?Sized, T: 'static>(
    given: Option<&Given>,
    _source: impl Fn(&C) -> T,
) -> Option<&T> {
    given.and_then(|given| given.downcast_ref())
}
