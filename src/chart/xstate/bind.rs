//! Binding a machine's names to Rust closures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::super::loaded::{ActionFn, GuardFn, Loaded};
use super::super::model::StateId;
use super::super::run::Scope;
use super::super::value::{Effect, Event, Fault, Value};
use super::{CompileError, Compiled, DelayFn, Library, Machine, Mention};

/// Names that a machine uses and nobody bound, and names bound that it does not use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindError {
    /// Kind and name, sorted, each once.
    pub missing: BTreeSet<(&'static str, String)>,
    /// Kind and name, sorted, each once.
    pub surplus: BTreeSet<(&'static str, String)>,
}

impl BindError {
    pub(super) fn add(&mut self, kind: &'static str, name: &str) {
        self.missing.insert((kind, name.to_owned()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty()
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, names: &BTreeSet<(&'static str, String)>| {
            for (nth, (kind, name)) in names.iter().enumerate() {
                let comma = if nth > 0 { ", " } else { "" };
                write!(f, "{comma}{kind} {name:?}")?;
            }
            Ok(())
        };
        if !self.missing.is_empty() {
            f.write_str("not bound: ")?;
            list(f, &self.missing)?;
        }
        if !self.surplus.is_empty() {
            f.write_str(if self.missing.is_empty() {
                "bound but not used: "
            } else {
                "; bound but not used: "
            })?;
            list(f, &self.surplus)?;
        }
        Ok(())
    }
}

impl std::error::Error for BindError {}

/// Makes the action of one mention, given its parameters: one indirect call at run time, not two.
type MakeAction<C> = Box<dyn Fn(Value) -> ActionFn<C>>;
type MakeGuard<C> = Box<dyn Fn(Value) -> GuardFn<C>>;
type MakeDelay<C> = Box<dyn Fn() -> DelayFn<C>>;

/// Rust closures for the names in a machine.
///
/// # Examples
///
/// ```
/// use mainspring::chart::xstate::{Bindings, Machine};
/// use mainspring::chart::{Buffers, Event};
///
/// let machine = Machine::parse(r#"{
///     "id": "door", "initial": "shut",
///     "states": {
///         "shut": { "on": { "OPEN": { "target": "open", "actions": "count" } } },
///         "open": { "on": { "SHUT": "shut" } }
///     }
/// }"#).unwrap();
/// let door = Bindings::<u32>::new()
///     .action("count", |opened, _, _| *opened += 1)
///     .compile(&machine)
///     .unwrap();
///
/// let mut buffers = Buffers::default();
/// let init = Event::new("xstate.init");
/// let (mut shut, started) = door.chart.start(0, &init, &mut buffers);
/// started.unwrap();
/// let open = Event::new("OPEN");
/// let class = door.chart.table().class("OPEN");
/// assert!(door.chart.step(&mut shut, class, &open, &mut buffers).unwrap());
/// assert_eq!(shut.context, 1);
/// ```
pub struct Bindings<C: Clone + 'static> {
    /// And whether the action may raise or fail.
    actions: BTreeMap<String, (MakeAction<C>, bool)>,
    /// And whether the guard may fail.
    guards: BTreeMap<String, (MakeGuard<C>, bool)>,
    delays: BTreeMap<String, MakeDelay<C>>,
    actors: BTreeSet<String>,
    used: BTreeSet<(&'static str, String)>,
}

/// What an action of steps may use, see [`Bindings::scoped`].
///
/// # Examples
///
/// ```
/// use mainspring::chart::xstate::{Bindings, Machine};
/// use mainspring::chart::{Buffers, Event};
///
/// let machine = Machine::parse(r#"{ "id": "till", "initial": "open", "states": {
///     "open": { "on": { "SELL": { "actions": "sell" }, "EMPTY": "shut" } }, "shut": {}
/// } }"#).map_err(|problem| problem.to_string())?;
/// let bindings = Bindings::<u32>::new().scoped("sell", |steps, _| {
///     if *steps.context() == 1 {
///         steps.raise(Event::new("EMPTY"));
///     }
///     steps.assign(|pieces| *pieces -= 1);
///     Ok(())
/// });
/// let till = bindings.compile(&machine).map_err(|problem| problem.to_string())?.chart;
///
/// let mut buffers = Buffers::default();
/// let (till_now, started) = till.start(2, &Event::new("xstate.init"), &mut buffers);
/// started?;
/// let (till_now, _) = till.transition(&till_now, &Event::new("SELL"))?;
/// let (till_now, _) = till.transition(&till_now, &Event::new("SELL"))?;
/// assert_eq!(till_now.context, 0);
/// assert_eq!(till_now.leaves(), [2], "it is shut");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What it does not assign it cannot change:
///
/// ```compile_fail,E0594
/// # use mainspring::chart::xstate::Bindings;
/// let bindings = Bindings::<u32>::new().scoped("sell", |steps, _| {
///     *steps.context() -= 1;
///     Ok(())
/// });
/// ```
pub struct Steps<'a, C: Clone + 'static>(Scope<'a, Loaded<C>>);

impl<C: Clone + 'static> Steps<'_, C> {
    /// The chart's data.
    pub fn context(&self) -> &C {
        self.0.context
    }

    /// The event in hand.
    pub fn event(&self) -> &Event {
        self.0.event
    }

    /// Whether a state is active, by its number.
    pub fn is_in(&self, state: StateId) -> bool {
        self.0.view.is_in(state)
    }

    /// Changes the chart's data; eventless transitions are looked at once more.
    pub fn assign(&mut self, change: impl FnOnce(&mut C)) {
        change(self.0.context);
        self.0.touch();
    }

    /// Queues `event` inside the chart: it is taken before any other from outside.
    pub fn raise(&mut self, event: Event) {
        self.0.raise(event);
    }

    /// Asks something of the world.
    pub fn effect(&mut self, effect: Effect) {
        self.0.effect(effect);
    }
}

impl<C: Clone + fmt::Debug + 'static> fmt::Debug for Steps<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps")
            .field("context", self.context())
            .field("event", self.event())
            .finish_non_exhaustive()
    }
}

impl<C: Clone + 'static> Default for Bindings<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clone + 'static> Bindings<C> {
    /// No names.
    pub fn new() -> Self {
        Self {
            actions: BTreeMap::new(),
            guards: BTreeMap::new(),
            delays: BTreeMap::new(),
            actors: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    /// An assignment: an action that changes the context, given the event and the action's
    /// parameters. It can do nothing else, which keeps a step as cheap as can be.
    pub fn action(
        mut self,
        name: &str,
        action: impl Fn(&mut C, &Event, &Value) + Send + Sync + 'static,
    ) -> Self {
        let action = Arc::new(action);
        let make: MakeAction<C> = Box::new(move |params| {
            let action = action.clone();
            Box::new(move |scope| {
                action(scope.context, scope.event, &params);
                scope.touch();
                Ok(())
            })
        });
        self.actions.insert(name.to_owned(), (make, false));
        self
    }

    /// An action of steps: it may raise, send, emit, spawn or fail, and sees the context, which
    /// only [`Steps::assign`] changes.
    pub fn scoped(
        mut self,
        name: &str,
        action: impl Fn(&mut Steps<'_, C>, &Value) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        let action = Arc::new(action);
        let make: MakeAction<C> = Box::new(move |params| {
            let action = action.clone();
            Box::new(move |scope| action(&mut Steps(scope.lend()), &params))
        });
        self.actions.insert(name.to_owned(), (make, true));
        self
    }

    /// A guard, given the context, the event and the guard's parameters.
    pub fn guard(
        mut self,
        name: &str,
        guard: impl Fn(&C, &Event, &Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        let guard = Arc::new(guard);
        let make: MakeGuard<C> = Box::new(move |params| {
            let guard = guard.clone();
            Box::new(move |ask| Ok(guard(ask.context, ask.event, &params)))
        });
        self.guards.insert(name.to_owned(), (make, false));
        self
    }

    /// A guard that may fail, as a guard of XState that throws: the whole macrostep fails then, as
    /// for an action that does, the state before it is kept, and an actor ends by
    /// [`Exit::Failed`](crate::Exit::Failed). A chart with one keeps a copy of its context where a
    /// guard may be asked later in a macrostep; one with [`Bindings::guard`]s alone does not.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::chart::xstate::{Bindings, Machine};
    /// use mainspring::chart::{Event, Fault, Value};
    ///
    /// let machine = Machine::parse(r#"{ "id": "till", "initial": "open", "states": {
    ///     "open": { "on": { "SHUT": { "guard": "is counted", "target": "shut" } } }, "shut": {}
    /// } }"#).map_err(|problem| problem.to_string())?;
    /// let bindings = Bindings::<()>::new().try_guard("is counted", |_, event, _| {
    ///     let counted = event.data.field("counted");
    ///     let counted = counted.ok_or_else(|| Fault::execution("nobody said so"))?;
    ///     Ok(*counted == Value::Bool(true))
    /// });
    /// let till = bindings.compile(&machine).map_err(|problem| problem.to_string())?.chart;
    ///
    /// let mut buffers = Default::default();
    /// let (open, started) = till.start((), &Event::new("xstate.init"), &mut buffers);
    /// started?;
    /// let counted = |is| Event::new("SHUT").field("counted", Value::Bool(is));
    /// assert_eq!(till.transition(&open, &counted(false))?.0.leaves(), open.leaves());
    /// assert_ne!(till.transition(&open, &counted(true))?.0.leaves(), open.leaves());
    /// let failed = till.transition(&open, &Event::new("SHUT")).map(|_| ()).unwrap_err();
    /// assert!(failed.to_string().contains("nobody said so"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_guard(
        mut self,
        name: &str,
        guard: impl Fn(&C, &Event, &Value) -> Result<bool, Fault> + Send + Sync + 'static,
    ) -> Self {
        let guard = Arc::new(guard);
        let make: MakeGuard<C> = Box::new(move |params| {
            let guard = guard.clone();
            Box::new(move |ask| guard(ask.context, ask.event, &params))
        });
        self.guards.insert(name.to_owned(), (make, true));
        self
    }

    /// A delay in milliseconds.
    pub fn delay(
        mut self,
        name: &str,
        delay: impl Fn(&C, &Event) -> u64 + Send + Sync + 'static,
    ) -> Self {
        let delay = Arc::new(delay);
        let make: MakeDelay<C> = Box::new(move || {
            let delay = delay.clone();
            Box::new(move |ask| Some(delay(ask.context, ask.event) as f64))
        });
        self.delays.insert(name.to_owned(), make);
        self
    }

    /// An actor that the host will start by this name.
    pub fn actor(mut self, name: &str) -> Self {
        self.actors.insert(name.to_owned());
        self
    }

    /// Binds `machine`'s names.
    ///
    /// # Errors
    ///
    /// Everything wrong with the document, or every missing and surplus name at once.
    pub fn compile(mut self, machine: &Machine) -> Result<Compiled<C>, CompileError> {
        let result = machine.compile(&mut self);
        let bound = (self.actions.keys().map(|n| ("action", n)))
            .chain(self.guards.keys().map(|n| ("guard", n)))
            .chain(self.delays.keys().map(|n| ("delay", n)))
            .chain(self.actors.iter().map(|n| ("actor", n)));
        let surplus: BTreeSet<_> = bound
            .map(|(kind, name)| (kind, name.clone()))
            .filter(|key| !self.used.contains(key))
            .collect();
        match result {
            Err(CompileError::Names(error)) => {
                Err(CompileError::Names(BindError { surplus, ..error }))
            }
            Ok(_) if !surplus.is_empty() => Err(CompileError::Names(BindError {
                missing: BTreeSet::new(),
                surplus,
            })),
            other => other,
        }
    }
}

impl<C: Clone + 'static> Library<C> for Bindings<C> {
    fn action(&mut self, mention: Mention<'_>) -> Option<ActionFn<C>> {
        self.used.insert(("action", mention.name.to_owned()));
        let (make, _) = self.actions.get(mention.name)?;
        Some(make(mention.params.cloned().unwrap_or_default()))
    }

    fn guard(&mut self, name: &str, params: Option<&Value>) -> Option<GuardFn<C>> {
        self.used.insert(("guard", name.to_owned()));
        let (make, _) = self.guards.get(name)?;
        Some(make(params.cloned().unwrap_or_default()))
    }

    fn delay(&mut self, name: &str) -> Option<DelayFn<C>> {
        self.used.insert(("delay", name.to_owned()));
        self.delays.get(name).map(|make| make())
    }

    fn actor(&mut self, name: &str) -> bool {
        self.used.insert(("actor", name.to_owned()));
        self.actors.contains(name)
    }

    fn is_fallible(&self) -> bool {
        let mut actions = self.actions.values();
        actions.any(|(_, scoped)| *scoped) || self.guards.values().any(|(_, fails)| *fails)
    }

    fn is_calm(&self, action: &str) -> bool {
        self.actions.get(action).is_some_and(|(_, scoped)| !scoped)
    }
}
