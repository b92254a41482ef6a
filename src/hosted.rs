//! A loaded chart as an actor's machine: what it asks of the world becomes the turn's own steps.
//!
//! ```text
//!   event ─▶ begin (copy) ─▶ step ─▶ effects ──────────▶ output ─▶ the turn's commit
//!                              │      raised ones are     sends, timers, children,
//!                              │      inside of the step  emitted events
//!                              └─ fault: roll_back, the turn fails, and the actor ends
//! ```
//!
//! - H1: a turn that fails leaves configuration, context, timers and children as they were.
//! - H2: effects are published in the order in which the actions asked for them, before the steps
//!   of the plan that brought the event.
//! - H3: the actor's end ends its timers, and its children as far as a worker runs it.

pub(crate) mod whole;

use self::whole::{Saver, Saves};
use crate::actor::{ActorRef, Address, Down, Events, Machine, Refusal};
use crate::chart::data::{self, NoData};
use crate::chart::model::{Model, StateId};
use crate::chart::snapshot::list;
use crate::chart::value::{Effect, Name, Start, Target};
use crate::chart::{
    Buffers, Delay, Event, Instance, Loaded, LoadedChart, Receiver, Resume, SavedChild,
    Snapshot as Saved, SnapshotError, Status, StepError, Value,
};
use crate::dispatcher::worker;
use crate::plan::output::{Output, stop_now};
use crate::plan::timers::Key;
use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many delayed events of reused ids a chart can still cancel; the oldest are forgotten.
const ARMED_MAX: usize = 1024;
/// The name of the event by which a machine hears that its child has ended in order.
const ENDED: &str = "mainspring.child.ended";
/// The name of the event by which a machine hears that a delayed event for another is to be sent.
const SEND: &str = "mainspring.send";

type Outputs<C> = Output<ChartMachine<C>>;
/// How a child was saved, and how its delays go on.
type Revived<'a> = Option<(&'a Saved<Value>, Resume)>;
type Starter<C> = Arc<dyn Fn(&Start, Revived<'_>, &mut Outputs<C>) -> Child<C> + Send + Sync>;
type Check = Arc<dyn Fn(&Saved<Value>, Resume) -> Result<(), SnapshotError> + Send + Sync>;
type Sender<C> = Arc<dyn Fn(Event, &mut Outputs<C>) + Send + Sync>;
type Logger = Arc<dyn Fn(&str, Option<&Value>) + Send + Sync>;

/// A loaded chart and what its names mean in an actor system: makes [`ChartMachine`]s.
///
/// A clone shares everything.
///
/// # Examples
///
/// A light that goes out after a minute. Its messages are its events:
///
/// ```
/// # #[cfg(feature = "xstate")]
/// # fn main() -> mainspring::Result {
/// use mainspring::chart::xstate::{self, Bindings};
/// use mainspring::prelude::*;
/// use mainspring::{Clock, HostedChart, chart::Event};
/// use std::time::Duration;
///
/// let light = xstate::Machine::parse(r#"{
///     "id": "light", "initial": "off",
///     "states": {
///         "off": { "on": { "SWITCH": { "target": "on", "actions": "count" } } },
///         "on": { "after": { "60000": "off" }, "on": { "SWITCH": "off" } }
///     }
/// }"#).map_err(|problem| problem.to_string())?;
/// let light = Bindings::<u32>::new().action("count", |times, _, _| *times += 1).compile(&light)?;
/// let light = HostedChart::from(light);
///
/// let (clock, hand) = Clock::manual();
/// let system = System::stepped(Config::default(), clock)?;
/// let hall = system.spawn_machine(light.machine(0)?)?;
/// let is_on = || {
///     system.run_until_idle();
///     let asked = hall.snapshot();
///     system.run_until_idle();
///     asked.wait().map(|hall| hall.is("on"))
/// };
/// hall.tell(Event::new("SWITCH"))?;
/// assert!(is_on()?);
/// hand.advance(Duration::from_secs(61));
/// system.run_until_idle();
/// assert!(!is_on()?);
/// # Ok(()) }
/// # #[cfg(not(feature = "xstate"))]
/// # fn main() {}
/// ```
pub struct HostedChart<C: Clone + Send + 'static> {
    chart: Arc<Named<C>>,
    host: Arc<Host<C>>,
}

struct Named<C: Clone + Send + 'static> {
    chart: LoadedChart<C>,
    model: Model,
    /// States by id and by path below the root.
    states: HashMap<Box<str>, StateId>,
    is_xstate: bool,
}

struct Host<C: Clone + Send + 'static> {
    actors: HashMap<Name, Source<C>>,
    addresses: HashMap<Name, Sender<C>>,
    log: Option<Logger>,
    keep: Option<Keep<C>>,
    remind: Option<Remind<C>>,
}

/// Tells a restored context which children it has, and whether a parent.
type Remind<C> = fn(&mut C, &[SavedChild], bool);

/// What a name starts.
#[derive(Clone)]
struct Source<C: Clone + Send + 'static> {
    start: Starter<C>,
    /// Whether it can be made of what was saved; none of anything.
    check: Option<Check>,
}

/// A machine's state as values, and its context back.
struct Keep<C> {
    save: Saver,
    read: fn(&Value) -> Result<C, NoData>,
}

impl<C> Clone for Keep<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Keep<C> {}

impl<C: Clone + Send + 'static> Clone for HostedChart<C> {
    fn clone(&self) -> Self {
        Self {
            chart: self.chart.clone(),
            host: self.host.clone(),
        }
    }
}

impl<C: Clone + Send + 'static> Clone for Host<C> {
    fn clone(&self) -> Self {
        Self {
            actors: self.actors.clone(),
            addresses: self.addresses.clone(),
            log: self.log.clone(),
            keep: self.keep,
            remind: self.remind,
        }
    }
}

impl<C: Clone + Send + 'static> fmt::Debug for HostedChart<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostedChart")
            .field(&self.chart.model.name)
            .finish()
    }
}

#[cfg(feature = "xstate")]
impl<C: Clone + Send + 'static> From<crate::chart::xstate::Compiled<C>> for HostedChart<C> {
    fn from(compiled: crate::chart::xstate::Compiled<C>) -> Self {
        Self::new(compiled.chart, compiled.model)
    }
}

#[cfg(feature = "scxml")]
impl From<crate::chart::scxml::Document> for HostedChart<crate::chart::slots::Slots> {
    /// A document; those written inside of its invocations are bound already. One of these that is
    /// wrong, or whose `Arc` somebody else holds, becomes an error event when it is invoked.
    fn from(document: crate::chart::scxml::Document) -> Self {
        let mut hosted = Self::new(document.chart, document.model);
        for (nth, inner) in document.embedded.into_iter().enumerate() {
            let Some(inner) = inner.ok().and_then(Arc::into_inner) else {
                continue;
            };
            let variables = inner.top_level.clone();
            let context = move |input: &Value| {
                let mut slots = crate::chart::slots::Slots::default();
                slots.own.has_parent = true;
                for (name, place) in &variables {
                    if let Some(value) = input.field(name) {
                        slots.set(*place, value.clone());
                    }
                }
                slots
            };
            hosted = hosted.child(&embedded(nth as u32), Self::from(inner), context);
        }
        hosted.kept().bind(|host| {
            host.remind = Some(|slots, children, has_parent| {
                slots.own.has_parent = has_parent;
                for child in children {
                    slots.note_child(&child.id.as_str().into(), true);
                }
            });
        })
    }
}

impl<C: Clone + Send + 'static> HostedChart<C> {
    /// A chart and the model that it was lowered from.
    pub fn new(chart: LoadedChart<C>, model: Model) -> Self {
        let mut states = HashMap::new();
        for s in 0..model.states.len() {
            states
                .entry(path(&model, s).into_boxed_str())
                .or_insert(s as StateId);
        }
        for (s, state) in model.states.iter().enumerate() {
            states.insert(state.id.as_str().into(), s as StateId);
        }
        let is_xstate = model.rules.root_is_state;
        Self {
            chart: Arc::new(Named {
                chart,
                model,
                states,
                is_xstate,
            }),
            host: Arc::new(Host {
                actors: HashMap::new(),
                addresses: HashMap::new(),
                log: None,
                keep: None,
                remind: None,
            }),
        }
    }

    fn bind(mut self, bind: impl FnOnce(&mut Host<C>)) -> Self {
        bind(Arc::make_mut(&mut self.host));
        self
    }

    /// What invoking or spawning `source` starts.
    ///
    /// The child ends when its state is left, and with the chart. Its own end becomes the event
    /// `xstate.done.actor.ID` or, when it was not a normal one, `xstate.error.actor.ID`; in SCXML
    /// `done.invoke.ID` and `error.communication`.
    ///
    /// What it starts is in no snapshot of the chart: a restored chart starts it anew, with the
    /// input that it had.
    pub fn actor(
        self,
        source: &str,
        start: impl Fn(&Start, &mut Output<ChartMachine<C>>) -> Child<C> + Send + Sync + 'static,
    ) -> Self {
        let start =
            move |given: &Start, _: Revived<'_>, output: &mut Outputs<C>| start(given, output);
        self.source(source, Arc::new(start), None)
    }

    fn source(self, source: &str, start: Starter<C>, check: Option<Check>) -> Self {
        self.bind(|host| {
            host.actors.insert(source.into(), Source { start, check });
        })
    }

    /// As a child it is in the [saved](Actor::save) state of its parent, with what its actors and
    /// children keep, and is restored with it. A document is so from the beginning.
    ///
    /// Without it, or with a context that serde cannot write, a child of this chart starts anew with
    /// its restored parent, with the input that it had.
    pub fn kept(self) -> Self
    where
        C: Serialize + DeserializeOwned,
    {
        self.bind(|host| {
            host.keep = Some(Keep {
                save: whole::ask::<ChartMachine<C>>,
                read: data::from_value,
            });
        })
    }

    /// Invoking or spawning `source` starts `chart` with the context that `context` makes of the
    /// input. Child and parent may send to each other; the child's output is in the done event.
    ///
    /// A child that fails while it starts becomes an error event.
    pub fn child<D: Clone + Send + 'static>(
        self,
        source: &str,
        chart: HostedChart<D>,
        context: impl Fn(&Value) -> D + Send + Sync + 'static,
    ) -> Self {
        let is_xstate = self.chart.is_xstate;
        let checked = chart.clone();
        let check: Check = Arc::new(move |saved, resume| checked.revive(saved, resume).map(drop));
        let start = move |start: &Start, revived: Revived<'_>, output: &mut Outputs<C>| {
            let parent = Parent {
                address: crate::plan::children::me(),
                id: start.id.clone(),
                is_xstate,
            };
            let made = match revived {
                Some((saved, resume)) => {
                    let revived = chart.revive(saved, resume);
                    let revived = revived.map(|machine| ChartMachine {
                        parent: Some(parent),
                        ..machine
                    });
                    revived.map_err(|error| error.to_string())
                }
                None => {
                    let started = chart.start(context(&start.input), &start.input, Some(parent));
                    started.map_err(|error| error.to_string())
                }
            };
            match made {
                Ok(machine) => {
                    let child = output.spawn(Events::new(), machine).address();
                    Child {
                        tells_end: true,
                        send: Some(Arc::new(move |event, output: &mut Outputs<C>| {
                            output.evolve(child, event);
                        })),
                        save: chart.host.keep.map(|keep| keep.save),
                        ..Child::new(child)
                    }
                }
                Err(error) => {
                    output.later(failed(is_xstate, &start.id, error));
                    Child::new(Address::NOBODY)
                }
            }
        };
        self.source(source, Arc::new(start), Some(check))
    }

    /// What sending to the address `name` does.
    pub fn address(
        self,
        name: &str,
        send: impl Fn(Event, &mut Output<ChartMachine<C>>) + Send + Sync + 'static,
    ) -> Self {
        self.bind(|host| {
            host.addresses.insert(name.into(), Arc::new(send));
        })
    }

    /// Where lines of the chart's log go; nowhere without it. It is called when the turn commits,
    /// and must not block.
    pub fn log(self, log: impl Fn(&str, Option<&Value>) + Send + Sync + 'static) -> Self {
        self.bind(|host| host.log = Some(Arc::new(log)))
    }

    /// A machine in its initial states. What its first actions ask for happens in its actor's
    /// first turn.
    ///
    /// # Errors
    ///
    /// The fault of the first macrostep, or that it never came to rest.
    pub fn machine(&self, context: C) -> Result<ChartMachine<C>, StartFailed> {
        self.start(context, &Value::Undefined, None)
    }

    /// As [`HostedChart::machine`], with an input that the first actions see.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn machine_with(&self, context: C, input: &Value) -> Result<ChartMachine<C>, StartFailed> {
        self.start(context, input, None)
    }

    fn start(
        &self,
        context: C,
        input: &Value,
        parent: Option<Parent>,
    ) -> Result<ChartMachine<C>, StartFailed> {
        let mut event = Event::default();
        if self.chart.is_xstate {
            event.name = "xstate.init".into();
            if !input.is_undefined() {
                event.data.set_field("input", input.clone());
            }
        }
        let mut buffers = Buffers::default();
        let (instance, result) = self.chart.chart.start(context, &event, &mut buffers);
        result.map_err(StartFailed::of)?;
        let mut machine = ChartMachine::of(self, instance, buffers, parent);
        machine
            .check(0)
            .map_err(|refusal| StartFailed(refusal.to_string()))?;
        let fault = machine
            .buffers
            .effects()
            .iter()
            .find_map(|effect| match effect {
                Effect::Fail(fault) => Some(fault.to_string()),
                _ => None,
            });
        match fault {
            Some(fault) => Err(StartFailed(fault)),
            None => Ok(machine),
        }
    }

    /// A machine as it was when [`ChartMachine::save`] saved it: states, histories and context, and
    /// its delays by the rule of `resume`, counted from its actor's first turn on.
    ///
    /// Entry actions don't run again. The children that were alive are started in the actor's first
    /// turn: with their states, where those are in the snapshot, see [`Actor::save`]; else anew, with
    /// the inputs that they had. A child that had ended does not start again. The actor of a chart
    /// that is done ends in its first turn.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]: the snapshot is of another chart or version, or says what the chart does
    /// not have.
    ///
    /// # Examples
    ///
    /// A door that shuts after ten seconds, saved after four of them:
    ///
    /// ```
    /// # #[cfg(feature = "xstate")]
    /// # fn main() -> mainspring::Result {
    /// use mainspring::chart::xstate::{self, Bindings};
    /// use mainspring::chart::{Event, Resume};
    /// use mainspring::prelude::*;
    /// use mainspring::{Clock, HostedChart};
    /// use std::time::Duration;
    ///
    /// let door = xstate::Machine::parse(r#"{
    ///     "id": "door", "initial": "shut",
    ///     "states": {
    ///         "shut": { "on": { "OPEN": "open" } },
    ///         "open": { "after": { "10000": "shut" } }
    ///     }
    /// }"#).map_err(|problem| problem.to_string())?;
    /// let door = Bindings::<()>::new().compile(&door).map_err(|problem| problem.to_string())?;
    /// let door = HostedChart::from(door);
    ///
    /// let (clock, hand) = Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let front = system.spawn_machine(door.machine(())?)?;
    /// front.tell(Event::new("OPEN"))?;
    /// system.run_until_idle();
    /// hand.advance(Duration::from_secs(4));
    /// let asked = front.snapshot();
    /// system.run_until_idle();
    /// let saved = asked.wait()?.save(); // serde can write and read it
    ///
    /// let restored = system.spawn_machine(door.restore(&saved, Resume::Remaining)?)?;
    /// let is_open = || {
    ///     system.run_until_idle();
    ///     let asked = restored.snapshot();
    ///     system.run_until_idle();
    ///     asked.wait().map(|door| door.is("open"))
    /// };
    /// assert!(is_open()?);
    /// hand.advance(Duration::from_millis(6_002));
    /// assert!(!is_open()?);
    /// # Ok(()) }
    /// # #[cfg(not(feature = "xstate"))]
    /// # fn main() {}
    /// ```
    pub fn restore(
        &self,
        snapshot: &Saved<C>,
        resume: Resume,
    ) -> Result<ChartMachine<C>, SnapshotError> {
        self.again(snapshot, resume, false)
    }

    fn again(
        &self,
        snapshot: &Saved<C>,
        resume: Resume,
        has_parent: bool,
    ) -> Result<ChartMachine<C>, SnapshotError> {
        let mut instance = snapshot.restore(&self.chart.model)?;
        if let Some(remind) = self.host.remind {
            remind(&mut instance.context, &snapshot.children, has_parent);
        }
        let status = instance.status();
        let mut machine = ChartMachine::of(self, instance, Buffers::default(), None);
        match status {
            Status::Active => {}
            Status::Done => {
                let output = snapshot.output.clone().unwrap_or_default();
                machine.buffers.effects().push(Effect::Done(output));
                return Ok(machine);
            }
            Status::Stopped | Status::Failed => return Ok(machine),
        }
        for child in &snapshot.children {
            self.check_child(child, resume)
                .map_err(|error| SnapshotError::Child {
                    id: child.id.clone(),
                    error: Box::new(error),
                })?;
        }
        machine.saved = Rest {
            output: None,
            delays: snapshot.delays.clone(),
            children: snapshot.children.clone(),
        };
        machine.resume = Some(resume);
        Ok(machine)
    }

    /// Whether a child can be started as it was.
    fn check_child(&self, child: &SavedChild, resume: Resume) -> Result<(), SnapshotError> {
        let source = child
            .embedded
            .map_or(child.source.as_str().into(), embedded);
        let Some(bound) = self.host.actors.get(&source) else {
            let names: BTreeSet<&str> = self.host.actors.keys().map(|name| &**name).collect();
            return Err(SnapshotError::UnknownSource {
                found: source.to_string(),
                expected: list(names),
            });
        };
        match (&child.snapshot, &bound.check) {
            (Some(saved), Some(check)) => check(saved, resume),
            (Some(_), None) => {
                let why = format!("{source:?} starts an actor, which has none");
                Err(SnapshotError::NoState(why))
            }
            (None, _) => Ok(()),
        }
    }

    /// As [`HostedChart::restore`], of a child.
    fn revive(
        &self,
        saved: &Saved<Value>,
        resume: Resume,
    ) -> Result<ChartMachine<C>, SnapshotError> {
        let no_state = |why: String| SnapshotError::NoState(why);
        let keep = self.host.keep;
        let keep = keep.ok_or_else(|| no_state("its chart is not `kept`".to_owned()))?;
        let context = (keep.read)(&saved.context).map_err(|why| no_state(why.to_string()))?;
        self.again(&saved.clone().with(context), resume, true)
    }

    /// The number of the state with that id, or at that path below the root.
    pub fn state(&self, name: &str) -> Option<StateId> {
        self.chart.states.get(name).copied()
    }
}

/// What an embedded document is bound to; no address has a space.
fn embedded(nth: u32) -> Name {
    format!("embedded {nth}").into()
}

fn path(model: &Model, state: usize) -> String {
    let mut keys = Vec::new();
    let mut at = state;
    while let Some(parent) = model.states[at].parent {
        keys.push(model.states[at].key.as_str());
        at = parent as usize;
    }
    keys.reverse();
    keys.join(".")
}

/// Why a chart could not take its initial states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailed(String);

impl StartFailed {
    fn of<F: fmt::Display>(error: StepError<F>) -> Self {
        match error {
            StepError::Fault(fault) => Self(fault.to_string()),
            limit => Self(limit.to_string()),
        }
    }
}

impl fmt::Display for StartFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the chart did not start: {}", self.0)
    }
}

impl std::error::Error for StartFailed {}

/// A child of a chart.
pub struct Child<C: Clone + Send + 'static> {
    address: Address,
    /// Whether it tells its parent itself when it is done.
    tells_end: bool,
    send: Option<Sender<C>>,
    save: Option<Saver>,
}

impl<C: Clone + Send + 'static> Clone for Child<C> {
    fn clone(&self) -> Self {
        Self {
            address: self.address,
            tells_end: self.tells_end,
            send: self.send.clone(),
            save: self.save,
        }
    }
}

impl<C: Clone + Send + 'static> Child<C> {
    /// A child that takes no events from the chart.
    pub fn new(child: impl Into<Address>) -> Self {
        Self {
            address: child.into(),
            tells_end: false,
            send: None,
            save: None,
        }
    }

    /// A child that gets what `message` makes of the events that the chart sends it.
    pub fn taking<M: Send + 'static>(
        child: ActorRef<M>,
        message: impl Fn(Event) -> M + Send + Sync + 'static,
    ) -> Self {
        Self {
            send: Some(Arc::new(move |event, output: &mut Outputs<C>| {
                output.tell(child, message(event));
            })),
            ..Self::new(child.address())
        }
    }
}

#[derive(Clone)]
struct Parent {
    address: Address,
    id: Name,
    is_xstate: bool,
}

fn done(is_xstate: bool, id: &str, output: Value) -> Event {
    if is_xstate {
        Event::new(format!("xstate.done.actor.{id}")).field("output", output)
    } else {
        from_child(id, Event::new(format!("done.invoke.{id}")).with(output))
    }
}

fn failed(is_xstate: bool, id: &str, why: String) -> Event {
    if is_xstate {
        Event::new(format!("xstate.error.actor.{id}")).field("error", Value::str(why))
    } else {
        Event::new("error.communication").with(Value::str(why))
    }
}

/// Whether a chart's own life makes events of that name.
fn is_own(name: &str) -> bool {
    ["xstate.", "done.", "error."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Says which invocation an event comes from (SCXML's `_event.invokeid`).
fn from_child(id: &str, mut event: Event) -> Event {
    let origin = event.origin.get_or_insert_with(Default::default);
    origin.kind = "external";
    origin.invokeid = Value::str(id);
    event
}

/// A running chart: an actor's [`Machine`], or anybody's.
///
/// Its events are [`chart::Event`](crate::chart::Event)s. An event that no state takes changes
/// nothing and is a dead letter ([`Cause::NotTaken`](crate::Cause::NotTaken)), unless it is one of
/// the chart's own (`xstate.*`, `done.*`, `error.*`). A clone, as in a snapshot, has the same states and context; children and timers are
/// the original's alone.
///
/// A turn costs one copy of the context into the machine's own buffers, so that it can fail.
pub struct ChartMachine<C: Clone + Send + 'static> {
    hosted: HostedChart<C>,
    instance: Instance<C>,
    buffers: Buffers<Loaded<C>>,
    undo: Option<Undo<C>>,
    /// The keys of delayed events that can be cancelled, by the chart's ids.
    armed: Vec<(Name, u64)>,
    /// Delayed events, in the order in which they were sent.
    delayed: Vec<Arc<Delayed>>,
    /// The keys of those that the turn in hand has used up.
    due: Vec<u64>,
    /// In a clone, what there was when it was made; in a restored machine, what is to be. Its output.
    saved: Rest,
    resume: Option<Resume>,
    next_key: u64,
    children: Children<C>,
    parent: Option<Parent>,
    /// The names of the turn's events that no state took.
    untaken: Vec<Name>,
}

/// What a turn that fails goes back to.
struct Undo<C: Clone + Send + 'static> {
    instance: Instance<C>,
    armed: Vec<(Name, u64)>,
    delayed: Vec<Arc<Delayed>>,
    children: Vec<Arc<Alive<C>>>,
}

/// What a machine has beside its instance.
#[derive(Clone, Default)]
struct Rest {
    /// What it gave when it was done.
    output: Option<Value>,
    delays: Vec<Delay>,
    children: Vec<SavedChild>,
}

/// A child, and how it was started.
struct Alive<C: Clone + Send + 'static> {
    start: Start,
    child: Child<C>,
}

struct Delayed {
    /// Its timer's.
    key: u64,
    id: Option<Name>,
    delay_ms: u64,
    due_ns: u64,
    target: Target,
    event: Event,
}

struct Children<C: Clone + Send + 'static>(Vec<Arc<Alive<C>>>);

impl<C: Clone + Send + 'static> Drop for Children<C> {
    fn drop(&mut self) {
        for alive in &self.0 {
            stop_now(alive.child.address);
        }
    }
}

impl<C: Clone + Send + 'static> Clone for ChartMachine<C> {
    fn clone(&self) -> Self {
        Self {
            hosted: self.hosted.clone(),
            instance: self.instance.clone(),
            buffers: Buffers::default(),
            undo: None,
            armed: Vec::new(),
            delayed: Vec::new(),
            due: Vec::new(),
            saved: self.rest(),
            resume: None,
            next_key: self.next_key,
            children: Children(Vec::new()),
            parent: self.parent.clone(),
            untaken: Vec::new(),
        }
    }
}

impl<C: Clone + Send + fmt::Debug + 'static> fmt::Debug for ChartMachine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChartMachine")
            .field("states", &self.leaves().collect::<Vec<_>>())
            .field("context", self.context())
            .finish_non_exhaustive()
    }
}

impl<C: Clone + Send + 'static> ChartMachine<C> {
    fn of(
        hosted: &HostedChart<C>,
        instance: Instance<C>,
        buffers: Buffers<Loaded<C>>,
        parent: Option<Parent>,
    ) -> Self {
        Self {
            hosted: hosted.clone(),
            instance,
            buffers,
            undo: None,
            armed: Vec::new(),
            delayed: Vec::new(),
            due: Vec::new(),
            saved: Rest::default(),
            resume: None,
            next_key: 0,
            children: Children(Vec::new()),
            parent,
            untaken: Vec::new(),
        }
    }

    /// The machine as data, with the chart's name and version, for [`HostedChart::restore`].
    ///
    /// The delays are those of its actor's latest turn; of a clone, as a snapshot is one, those of
    /// the moment when it was made. Its children are in it without their states, which only their
    /// actors know: see [`Actor::save`].
    pub fn save(&self) -> Saved<C> {
        let Rest {
            output,
            delays,
            children,
        } = self.rest();
        Saved {
            output,
            delays,
            children,
            ..Saved::of(&self.hosted.chart.model, &self.instance)
        }
    }

    fn rest(&self) -> Rest {
        let alive = self.children.0.iter().map(|alive| &alive.start);
        // Before its first turn they are asked for only.
        let asked = self
            .buffers
            .asked()
            .iter()
            .filter_map(|effect| match effect {
                Effect::Start(start) => Some(start),
                _ => None,
            });
        let children = alive.chain(asked).map(SavedChild::from);
        Rest {
            output: self.saved.output.clone(),
            delays: self.delays(),
            children: self
                .saved
                .children
                .iter()
                .cloned()
                .chain(children)
                .collect(),
        }
    }

    /// The delayed events that are on their way now.
    fn delays(&self) -> Vec<Delay> {
        let now = worker::peek(|worker| Some((worker?.now_ns(), worker?.clock.unix_ms())));
        let Some((now_ns, now_unix_ms)) = now.filter(|_| !self.delayed.is_empty()) else {
            return self.saved.delays.clone();
        };
        let delays = self.delayed.iter().map(|delayed| {
            let left_ms = delayed.due_ns.saturating_sub(now_ns).div_ceil(1_000_000);
            let Event { name, data, origin } = &delayed.event;
            Delay {
                id: delayed.id.as_deref().map(str::to_owned),
                event: name.to_string(),
                data: (!data.is_undefined()).then(|| data.clone()),
                origin: origin.clone(),
                to: Receiver::from(&delayed.target),
                delay_ms: delayed.delay_ms,
                left_ms,
                due_unix_ms: now_unix_ms.saturating_add(left_ms),
            }
        });
        delays.collect()
    }

    /// Takes up the children and the delays of a restored machine.
    fn take_up(&mut self, output: &mut Outputs<C>) {
        let delays = std::mem::take(&mut self.saved.delays);
        let children = std::mem::take(&mut self.saved.children);
        let Some(resume) = self.resume.take() else {
            return; // a clone that became an actor: they are the original's
        };
        for child in &children {
            let revived = child.snapshot.as_deref().map(|saved| (saved, resume));
            self.start_child(Start::from(child), revived, output);
        }
        let now_unix_ms = worker::peek(|worker| worker.map_or(0, |w| w.clock.unix_ms()));
        for delay in delays {
            let left_ms = delay.left_ms_at(resume, now_unix_ms);
            let Delay {
                id,
                event,
                data,
                origin,
                to,
                delay_ms,
                ..
            } = delay;
            let event = Event {
                name: event.into(),
                data: data.unwrap_or_default(),
                origin,
            };
            let id = id.map(Name::from);
            self.arm(id, [left_ms, delay_ms], event, Target::from(&to), output);
        }
    }

    /// Notes that an event may be one that was delayed and is due.
    fn note_due(&mut self, event: &Event) {
        let same = |delayed: &Delayed| {
            matches!(delayed.target, Target::Myself | Target::Internal)
                && delayed.event.name == event.name
        };
        let all = self.delayed.iter().enumerate();
        let first = all
            .filter(|(_, delayed)| same(delayed))
            .min_by_key(|(_, delayed)| delayed.due_ns);
        let Some((place, _)) = first else {
            return;
        };
        let now_ns = worker::peek(|worker| worker.map_or(0, |worker| worker.now_ns()));
        if self.delayed[place].due_ns <= now_ns {
            self.due.push(self.delayed.remove(place).key);
        }
    }

    /// Whether the state with that id, or at that path below the root, is active. One hash lookup;
    /// nothing is copied. No state of that name is never active.
    pub fn is(&self, state: &str) -> bool {
        self.hosted
            .state(state)
            .is_some_and(|state| self.is_in(state))
    }

    /// Whether a state is active, by the number that [`HostedChart::state`] gives. O(leaves).
    pub fn is_in(&self, state: StateId) -> bool {
        self.hosted.chart.chart.is_in(&self.instance, state)
    }

    /// Whether an active state has that tag. O(states on the way from the leaves to the root).
    pub fn has_tag(&self, tag: &str) -> bool {
        let states = &self.hosted.chart.model.states;
        self.instance.leaves().iter().any(|&leaf| {
            let mut at = Some(leaf);
            while let Some(state) = at.and_then(|s| states.get(s as usize)) {
                if state.tags.iter().any(|own| own == tag) {
                    return true;
                }
                at = state.parent;
            }
            false
        })
    }

    /// The ids of the active leaves, in document order.
    pub fn leaves(&self) -> impl Iterator<Item = &str> {
        let states = &self.hosted.chart.model.states;
        let leaves = self.instance.leaves().iter();
        leaves.filter_map(|&leaf| states.get(leaf as usize).map(|state| state.id.as_str()))
    }

    /// The chart's data.
    pub fn context(&self) -> &C {
        &self.instance.context
    }

    /// How its life stands.
    pub fn status(&self) -> Status {
        self.instance.status()
    }

    /// Looks whether the effects from a place on can be had.
    fn check(&mut self, from: usize) -> Result<(), Refusal> {
        let host = &self.hosted.host;
        for effect in &self.buffers.effects()[from..] {
            let problem = match effect {
                Effect::Start(start) if start.embedded.is_some() => continue,
                Effect::Start(start) if !host.actors.contains_key(&start.source) => {
                    format!("no actor is bound to {:?}", start.source)
                }
                Effect::Send {
                    target: Target::Address(to),
                    ..
                } if !host.addresses.contains_key(to) => {
                    format!("nobody is bound to the address {to:?}")
                }
                _ => continue,
            };
            return Err(Refusal::new(problem));
        }
        Ok(())
    }

    /// Sends an event when what is left of its delay has passed.
    fn arm(
        &mut self,
        id: Option<Name>,
        [left_ms, delay_ms]: [u64; 2],
        event: Event,
        target: Target,
        output: &mut Outputs<C>,
    ) {
        self.next_key += 1;
        let key = self.next_key;
        let told = match target {
            Target::Myself | Target::Internal => event.clone(),
            _ => Event::new(SEND).with(Value::Num(key as f64)),
        };
        let now_ns = worker::peek(|worker| worker.map_or(0, |worker| worker.now_ns()));
        self.delayed.push(Arc::new(Delayed {
            key,
            id: id.clone(),
            delay_ms,
            due_ns: now_ns.saturating_add(left_ms.saturating_mul(1_000_000)),
            target,
            event,
        }));
        if let Some(id) = id {
            if self.hosted.chart.is_xstate {
                // The older timer goes on, out of reach.
                self.armed.retain(|(armed, _)| *armed != id);
            }
            if self.armed.len() == ARMED_MAX {
                self.armed.remove(0);
            }
            self.armed.push((id, key));
        }
        output.after(Key::new(key), Duration::from_millis(left_ms), told);
    }

    /// What SCXML does with an event before the chart takes it: finalize, then forward. Whether
    /// there was any of it.
    fn before(&mut self, event: &Event) -> Result<bool, Refusal> {
        let from = event.origin.as_ref().and_then(|o| o.invokeid.text());
        let mut finalize = None;
        for alive in &self.children.0 {
            if from == Some(&*alive.start.id) {
                finalize = alive.start.finalize;
            }
        }
        if let Some(action) = finalize {
            let chart = &self.hosted.chart.chart;
            chart
                .act(&mut self.instance, action, event, &mut self.buffers)
                .map_err(|fault| Refusal::new(fault.to_string()))?;
        }
        let mut is_used = finalize.is_some();
        for Alive { start, .. } in self.children.0.iter().map(|alive| &**alive) {
            if start.autoforward {
                is_used = true;
                self.buffers.effects().push(Effect::Send {
                    event: event.clone(),
                    target: Target::Child(start.id.clone()),
                    delay_ms: None,
                    id: None,
                });
            }
        }
        Ok(is_used)
    }

    fn send(&mut self, event: Event, target: &Target, output: &mut Outputs<C>) {
        match target {
            Target::Myself | Target::Internal => output.later(event),
            Target::Parent => {
                if let Some(parent) = &self.parent {
                    let event = match parent.is_xstate {
                        true => event,
                        false => from_child(&parent.id, event),
                    };
                    output.evolve(parent.address, event);
                }
            }
            Target::Child(id) => {
                let child = self.children.0.iter().find(|alive| alive.start.id == *id);
                if let Some(send) = child.and_then(|alive| alive.child.send.as_ref()) {
                    send(event, output);
                }
            }
            Target::Address(name) => {
                if let Some(send) = self.hosted.host.addresses.get(name) {
                    send(event, output);
                }
            }
        }
    }

    fn start_child(&mut self, start: Start, revived: Revived<'_>, output: &mut Outputs<C>) {
        let source = start.embedded.map_or(start.source.clone(), embedded);
        let (id, is_xstate) = (start.id.clone(), self.hosted.chart.is_xstate);
        let Some(source) = self.hosted.host.actors.get(&source) else {
            // Looked at before, but for embedded documents.
            let why = "the document inside of the invocation is wrong".to_owned();
            output.later(failed(is_xstate, &id, why));
            return;
        };
        let child = (source.start)(&start, revived, output);
        self.end_child(&id, output);
        if child.address == Address::NOBODY {
            return;
        }
        let (address, tells_end) = (child.address, child.tells_end);
        self.children.0.push(Arc::new(Alive { start, child }));
        output.monitor(address, move |down: Down| {
            if !down.exit.is_normal() {
                failed(is_xstate, &id, down.exit.to_string())
            } else if tells_end {
                Event::new(ENDED).with(Value::Str(id))
            } else {
                done(is_xstate, &id, Value::Undefined)
            }
        });
    }

    fn end_child(&mut self, id: &Name, output: &mut Outputs<C>) {
        let mut children = self.children.0.iter();
        let place = children.position(|alive| alive.start.id == *id);
        if let Some(place) = place {
            let address = self.children.0.remove(place).child.address;
            output.unmonitor(address);
            output.stop_actor_now(address);
        }
    }

    fn perform(&mut self, effect: Effect, output: &mut Outputs<C>) {
        match effect {
            Effect::Log { label, value } => {
                if let Some(log) = self.hosted.host.log.clone() {
                    output.at_commit(move || log(&label, value.as_ref()));
                }
            }
            Effect::Send {
                event,
                target,
                delay_ms,
                id,
            } => match delay_ms {
                Some(ms) => self.arm(id, [ms; 2], event, target, output),
                None => self.send(event, &target, output),
            },
            Effect::Cancel(id) => self.armed.retain(|(armed, key)| {
                let keeps = *armed != id;
                if !keeps {
                    output.cancel(Key::new(*key));
                    self.delayed.retain(|delayed| delayed.key != *key);
                }
                keeps
            }),
            Effect::Start(start) => self.start_child(start, None, output),
            Effect::Stop(id) => self.end_child(&id, output),
            Effect::Emit(event) => output.emit(event),
            Effect::Done(value) => {
                for alive in self.children.0.clone() {
                    self.end_child(&alive.start.id, output);
                }
                self.saved.output = (!value.is_undefined()).then(|| value.clone());
                if let Some(parent) = &self.parent {
                    output.evolve(parent.address, done(parent.is_xstate, &parent.id, value));
                }
                output.stop();
            }
            Effect::Fail(_) => {}
        }
    }
}

impl<C: Clone + Send + 'static> Saves for ChartMachine<C> {
    type Context = C;

    fn gather(&self, give: impl FnOnce(Saved<C>) + Send + 'static) {
        let children = self.children.0.iter().filter_map(|alive| {
            let save = alive.child.save?;
            Some((&*alive.start.id, alive.child.address, save))
        });
        whole::gather(self.save(), children, give);
    }
}

impl<C: Clone + Send + 'static> Machine for ChartMachine<C> {
    type Event = Event;

    fn id(&self) -> Option<&str> {
        Some(&*self.hosted.chart.model.name).filter(|name| !name.is_empty())
    }

    /// As [`Machine::try_apply`]; an event that fails changes nothing.
    fn apply(&mut self, event: Event) {
        self.begin();
        if self.try_apply(event).is_err() {
            self.roll_back();
        }
    }

    fn try_apply(&mut self, event: Event) -> Result<(), Refusal> {
        if &*event.name == ENDED {
            self.children
                .0
                .retain(|alive| event.data.text() != Some(&*alive.start.id));
            return Ok(());
        }
        if &*event.name == SEND {
            let key = event.data.num();
            let mut delayed = self.delayed.iter();
            if let Some(place) = delayed.position(|delayed| Some(delayed.key as f64) == key) {
                let delayed = self.delayed.remove(place);
                self.due.push(delayed.key);
                self.buffers.effects().push(Effect::Send {
                    event: delayed.event.clone(),
                    target: delayed.target.clone(),
                    delay_ms: None,
                    id: None,
                });
            }
            return Ok(());
        }
        if !self.delayed.is_empty() {
            self.note_due(&event);
        }
        let from = self.buffers.effects().len();
        let is_used = self.before(&event)?;
        let chart = &self.hosted.chart.chart;
        let class = chart.table().class(&event.name);
        let step = chart.step_in_turn(&mut self.instance, class, &event, &mut self.buffers);
        let taken = step.map_err(|error| match error {
            // Where failures are events there is none.
            StepError::Fault(_) => Refusal::fatal(error.to_string()),
            StepError::Limit(_) => Refusal::new(error.to_string()),
        })?;
        if !(taken || is_used || is_own(&event.name)) {
            self.untaken.push(event.name);
        }
        self.check(from)
    }

    fn begin(&mut self) {
        self.due.clear();
        match &mut self.undo {
            Some(undo) => {
                undo.instance.copy_from(&self.instance);
                undo.armed.clone_from(&self.armed);
                undo.delayed.clone_from(&self.delayed);
                undo.children.clone_from(&self.children.0);
            }
            None => {
                self.undo = Some(Undo {
                    instance: self.instance.clone(),
                    armed: self.armed.clone(),
                    delayed: self.delayed.clone(),
                    children: self.children.0.clone(),
                });
            }
        }
    }

    fn roll_back(&mut self) {
        if let Some(undo) = &mut self.undo {
            std::mem::swap(&mut undo.instance, &mut self.instance);
            std::mem::swap(&mut undo.armed, &mut self.armed);
            std::mem::swap(&mut undo.delayed, &mut self.delayed);
            std::mem::swap(&mut undo.children, &mut self.children.0);
        }
        // Their timers are over all the same.
        let due = &self.due;
        self.delayed.retain(|delayed| !due.contains(&delayed.key));
        self.buffers.effects().clear();
        self.untaken.clear();
    }

    fn output(&mut self, output: &mut Output<Self>) {
        if !(self.saved.delays.is_empty() && self.saved.children.is_empty()) {
            self.take_up(output);
        }
        for event in self.untaken.drain(..) {
            output.not_taken(&event, &self.hosted.chart.model.name);
        }
        if self.buffers.effects().is_empty() {
            return;
        }
        let mut effects = std::mem::take(self.buffers.effects());
        // A child that the same turn stops again never starts.
        let stopped: Vec<bool> = (0..effects.len())
            .map(|nth| match &effects[nth] {
                Effect::Start(start) => effects[nth + 1..]
                    .iter()
                    .take_while(|e| !matches!(e, Effect::Start(s) if s.id == start.id))
                    .any(|e| matches!(e, Effect::Stop(id) if *id == start.id)),
                _ => false,
            })
            .collect();
        for (effect, stopped) in effects.drain(..).zip(stopped) {
            if !stopped {
                self.perform(effect, output);
            }
        }
        *self.buffers.effects() = effects;
    }
}
