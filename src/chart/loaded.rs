//! The logic of charts loaded at run time: closures by number, over a context of the user's type.

use hashbrown::HashMap;

use super::model::{ActionId, GuardId, Model, StateId};
use super::run::{Ask, Chart, Logic, Scope};
use super::table::{Class, Table};
use super::value::{Effect, Event, Failure, Fault, FaultKind, Name, Origin, Value};

/// An action of a loaded chart.
pub type ActionFn<C> =
    Box<dyn Fn(&mut Scope<'_, Loaded<C>>) -> Result<(), Fault> + Send + Sync + 'static>;
/// A guard of a loaded chart.
pub type GuardFn<C> =
    Box<dyn Fn(&Ask<'_, Loaded<C>>) -> Result<bool, Fault> + Send + Sync + 'static>;
/// An output of a loaded chart.
pub type OutputFn<C> =
    Box<dyn Fn(&mut Scope<'_, Loaded<C>>, &Event) -> Result<Value, Fault> + Send + Sync + 'static>;

/// Closures for a model's numbers, and what its states say when they complete.
pub struct Loaded<C: Clone + 'static> {
    /// By action number.
    pub actions: Vec<ActionFn<C>>,
    /// By guard number.
    pub guards: Vec<GuardFn<C>>,
    /// Runs before the first state is entered.
    pub begin: Option<ActionFn<C>>,
    /// What final states give with the completion they cause.
    pub outputs: HashMap<StateId, OutputFn<C>>,
    /// What the chart gives when it is done; in SCXML the final state's own output.
    pub output: Option<OutputFn<C>>,
    /// Whether an action or guard may fail or raise.
    pub fallible: bool,
    /// By action number: that this one can do neither, though others may; missing is no.
    pub calm: Vec<bool>,
    done: Vec<Name>,
    states_are_xstate: bool,
}

impl<C: Clone + 'static> std::fmt::Debug for Loaded<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("actions", &self.actions.len())
            .field("guards", &self.guards.len())
            .finish_non_exhaustive()
    }
}

impl<C: Clone + 'static> Loaded<C> {
    /// Closures for `model`, none yet.
    pub fn new(model: &Model) -> Self {
        let xstate = model.rules.root_is_state;
        let prefix = if xstate {
            "xstate.done.state."
        } else {
            "done.state."
        };
        let names = model.states.iter().map(|s| format!("{prefix}{}", s.id));
        Self {
            actions: Vec::new(),
            guards: Vec::new(),
            begin: None,
            outputs: HashMap::new(),
            output: None,
            fallible: true,
            calm: Vec::new(),
            done: names.map(Name::from).collect(),
            states_are_xstate: xstate,
        }
    }
}

impl<C: Clone + 'static> Logic for Loaded<C> {
    type Context = C;
    type Event = Event;
    type Effect = Effect;
    type Fault = Fault;

    fn class(&self, table: &Table, event: &Event) -> Class {
        table.class(&event.name)
    }

    #[inline]
    fn guard(&self, id: GuardId, ask: &Ask<'_, Self>) -> Result<bool, Fault> {
        (self.guards[id as usize])(ask)
    }

    #[inline]
    fn act(&self, id: ActionId, scope: &mut Scope<'_, Self>) -> Result<(), Fault> {
        (self.actions[id as usize])(scope)
    }

    fn begin(&self, scope: &mut Scope<'_, Self>) -> Result<(), Fault> {
        match &self.begin {
            Some(begin) => begin(scope),
            None => Ok(()),
        }
    }

    fn completed(
        &self,
        state: StateId,
        by: Option<StateId>,
        scope: &mut Scope<'_, Self>,
    ) -> Result<(), Fault> {
        let mut event = Event::new(self.done[state as usize].clone());
        let mut result = Ok(());
        if let Some(output) = by.and_then(|by| self.outputs.get(&by)) {
            match output(scope, scope.event) {
                Ok(value) if self.states_are_xstate => event.data.set_field("output", value),
                Ok(value) => event.data = value,
                // The completion is told all the same, behind the error.
                Err(fault) if !self.states_are_xstate => {
                    if let Some(error) = self.failure(fault) {
                        scope.raise(error);
                    }
                }
                Err(fault) => result = Err(fault),
            }
        }
        scope.raise(event);
        result
    }

    fn finished(
        &self,
        by: StateId,
        whole: StateId,
        scope: &mut Scope<'_, Self>,
    ) -> Result<(), Fault> {
        let mut value = Value::Undefined;
        if let Some(output) = &self.output {
            let mut event = Event::new(self.done[whole as usize].clone());
            if let Some(own) = self.outputs.get(&by).filter(|_| whole == by) {
                event.data.set_field("output", own(scope, scope.event)?);
            }
            value = output(scope, &event)?;
        } else if let Some(own) = self.outputs.get(&by).filter(|_| !self.states_are_xstate) {
            value = own(scope, scope.event)?;
        }
        scope.effect(Effect::Done(value));
        Ok(())
    }

    fn failure(&self, fault: Fault) -> Option<Event> {
        Some(error_event(fault))
    }

    fn escalates(&self, event: &Event) -> Option<Fault> {
        let is_error = self.states_are_xstate && event.name.starts_with("xstate.error.actor.");
        is_error.then(|| Fault::thrown(event.data.field("error").cloned().unwrap_or_default()))
    }

    fn is_fallible(&self) -> bool {
        self.fallible
    }

    fn is_calm(&self, id: ActionId) -> bool {
        !self.fallible || self.calm.get(id as usize).is_some_and(|calm| *calm)
    }
}

/// The event of a failure.
pub(crate) fn error_event(fault: Fault) -> Event {
    let fault = Failure::from(fault);
    let name = match fault.kind {
        FaultKind::Communication => "error.communication",
        FaultKind::Execution | FaultKind::Thrown => "error.execution",
    };
    Event {
        name: name.into(),
        data: fault.value,
        origin: Some(Box::new(Origin {
            kind: "platform",
            sendid: fault.sendid.map_or(Value::Undefined, Value::Str),
            ..Origin::default()
        })),
    }
}

/// A chart with closures.
pub type LoadedChart<C> = Chart<Loaded<C>>;
