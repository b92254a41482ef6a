//! Loaded charts as actors' machines: a chart with what its names mean in a system.
//!
//! ```text
//!   HostedChart ── machine, restore ──▶ ChartMachine   runs in an actor's turns (machine)
//!     │ binds names to actors,               │
//!     │ addresses and a log                  └─▶ Child   what it starts, and what that tells it
//!     └─ kept ──▶ Actor::save                                     (child)
//!                   a chart with its children's states (whole)
//! ```

mod child;
mod machine;
pub(crate) mod whole;

pub use self::child::Child;
pub use self::machine::ChartMachine;

use self::child::{Parent, failed};
use self::machine::Rest;
use self::whole::Saver;
use crate::actor::{Address, Events};
use crate::chart::data::{self, NoData};
use crate::chart::model::{Model, StateId};
use crate::chart::snapshot::list;
use crate::chart::value::{Effect, Name, Start};
use crate::chart::{
    Buffers, Event, LoadedChart, Resume, SavedChild, Snapshot as Saved, SnapshotError, Status,
    StepError, Value,
};
use crate::plan::output::Output;
use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

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

    /// As a child it is in the [saved](crate::Actor::save) state of its parent, with what its actors and
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
                    let revived = chart.revive(saved, resume).map(|mut machine| {
                        machine.parent = Some(parent);
                        machine
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
    /// turn: with their states, where those are in the snapshot, see
    /// [`Actor::save`](crate::Actor::save); else anew, with
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
