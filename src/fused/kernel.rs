//! Charts of the macro that the kernel runs: those with parallel states, and those that ask for a
//! history from inside of what it remembers.
//!
//! ```text
//!   chart! ─▶ model() ─▶ numbered guards ─▶ Table ─┐
//!        └──▶ bodies by number ─────────────────────┴─▶ Kernel, the machine's only field
//! ```
//!
//! A variant of the event's type with whatever it holds is a class of the table. All other patterns
//! may take the same event as another: the table asks them for every event, as guards, in the order
//! in which they were written.

use super::invoke::{Again, ChildEnded, Children, Finish, Given};
use super::{Effects, Inner};
use crate::Machine;
use crate::actor::Refusal;
use crate::chart::lower::lower;
use crate::chart::model::{Guard, StateId, Trigger};
use crate::chart::{
    Ask, Buffers, Chart, Class, Instance, Logic, Model, Scope, SnapshotError, Status, StepError,
    Table, View,
};
use crate::plan::output::Output;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// What the macro makes of a chart for the kernel.
#[doc(hidden)]
pub trait Bodies: Machine {
    type Context: Clone + Send + 'static;
    /// What the chart gives when it is done.
    type Given: Send + Sync + 'static;
    /// Whether bodies may raise events.
    const RAISES: bool;
    /// The events that are told apart by name.
    const NAMES: &'static [&'static str];
    /// By transition, in document order: whether it goes by its events' names.
    const BY_NAME: &'static [bool];

    /// The event's place in [`NAMES`](Self::NAMES), or one behind all.
    fn name(event: &Self::Event) -> usize;

    fn model() -> Model;

    /// The same for all machines of the type.
    fn chart() -> &'static Compiled<Self>;

    /// Whether the transition of that number, in document order, takes the event.
    fn guard(
        transition: u32,
        context: &Self::Context,
        taken: &Taken<Self::Event>,
        active: View<'_>,
    ) -> bool;

    fn act(
        action: u32,
        context: &mut Self::Context,
        effects: &mut Effects<Self>,
        taken: &Taken<Self::Event>,
    );

    /// What the final state of that number gives to the state around it.
    fn given(state: StateId, context: &Self::Context) -> Option<Given>;

    /// What the chart gives that ends in the final state of that number.
    fn own_output(state: StateId, context: &Self::Context) -> Option<Self::Given>;

    /// The invocation's end that the event is.
    fn ended(event: &Self::Event) -> Option<&ChildEnded>;

    /// Whether the event comes from the chart itself: a delay that is over, an invocation's end.
    fn is_own(event: &Self::Event) -> bool;

    /// Asks for what was invoked.
    ///
    /// # Errors
    ///
    /// One of them cannot have the state that was saved of it.
    fn invoke(
        invoked: &[Again],
        context: &Self::Context,
        effects: &mut Effects<Self>,
    ) -> Result<(), SnapshotError>;
}

/// A chart's table, shared by its machines.
#[doc(hidden)]
pub struct Compiled<M: Bodies> {
    chart: Chart<Runner<M>>,
    model: Model,
    /// By name.
    classes: Vec<Class>,
    /// By state, where a transition waits for its completion.
    done: Vec<Option<Class>>,
}

const DONE: &str = "xstate.done.state.";

impl<M: Bodies> Compiled<M> {
    #[expect(clippy::new_without_default, reason = "nobody makes one but the macro")]
    pub fn new() -> Self {
        let model = M::model();
        let mut numbered = model.clone();
        let all = numbered.states.iter_mut().flat_map(|s| &mut s.transitions);
        for ((transition, number), by_name) in all.zip(0..).zip(M::BY_NAME) {
            let is_event = match &mut transition.trigger {
                Trigger::Events(names) => !names[0].starts_with(DONE),
                Trigger::Always => false,
            };
            let is_asked = is_event && !by_name;
            if is_asked {
                transition.trigger = Trigger::Events(vec!["*".to_owned()]);
            }
            if is_asked || transition.guard.is_some() {
                transition.guard = Some(Guard::Host(number));
            }
        }
        let table = lower(&numbered);
        let class = |name: &str| Some(table.class(name)).filter(|&c| c != Class::OTHER);
        let classes = M::NAMES.iter().map(|name| table.class(name)).collect();
        let ids = model.states.iter().map(|state| &state.id);
        let done = ids.map(|id| class(&format!("{DONE}{id}"))).collect();
        Self {
            chart: Chart::new(table, Runner(PhantomData)),
            model,
            classes,
            done,
        }
    }

    #[inline]
    fn class(&self, event: &M::Event) -> Class {
        let class = self.classes.get(M::name(event));
        class.copied().unwrap_or(Class::OTHER)
    }
}

/// What is queued inside of a chart, or starts it.
#[doc(hidden)]
pub enum Taken<E> {
    Start,
    Event(E),
    Complete(StateId, Option<Given>),
}

impl<E> Taken<E> {
    pub fn given(&self) -> Option<&Given> {
        match self {
            Self::Complete(_, given) => given.as_ref(),
            _ => None,
        }
    }

    pub fn event(&self) -> Option<&E> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }
}

/// The user's data, and what bodies asked for.
#[doc(hidden)]
pub struct Data<M: Bodies> {
    context: M::Context,
    effects: Effects<M>,
    given: Option<Arc<M::Given>>,
}

impl<M: Bodies> Clone for Data<M> {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
            effects: self.effects.clone(),
            given: self.given.clone(),
        }
    }

    fn clone_from(&mut self, other: &Self) {
        self.context.clone_from(&other.context);
        self.effects.forget();
        self.given.clone_from(&other.given);
    }
}

#[doc(hidden)]
pub struct Runner<M>(PhantomData<fn() -> M>);

impl<M: Bodies> Logic for Runner<M> {
    type Context = Data<M>;
    type Event = Taken<M::Event>;
    type Effect = Infallible;
    type Fault = Infallible;

    fn class(&self, _table: &Table, event: &Taken<M::Event>) -> Class {
        let compiled = M::chart();
        match event {
            Taken::Start => Class::OTHER,
            Taken::Event(event) => compiled.class(event),
            Taken::Complete(state, _) => compiled.done[*state as usize].unwrap_or(Class::OTHER),
        }
    }

    #[inline]
    fn guard(&self, transition: u32, ask: &Ask<'_, Self>) -> Result<bool, Infallible> {
        let context = &ask.context.context;
        Ok(M::guard(transition, context, ask.event, ask.view))
    }

    #[inline]
    fn act(&self, action: u32, scope: &mut Scope<'_, Self>) -> Result<(), Infallible> {
        let data = &mut *scope.context;
        M::act(action, &mut data.context, &mut data.effects, scope.event);
        if M::RAISES {
            while let Some(raised) = scope.context.effects.pop() {
                scope.raise(match raised {
                    Inner::Event(event) => Taken::Event(event),
                    Inner::Complete(state, given) => Taken::Complete(state, given),
                });
            }
        }
        scope.touch();
        Ok(())
    }

    fn completed(
        &self,
        state: StateId,
        by: Option<StateId>,
        scope: &mut Scope<'_, Self>,
    ) -> Result<(), Infallible> {
        if M::chart().done[state as usize].is_some() {
            let given = by.and_then(|by| M::given(by, &scope.context.context));
            scope.raise(Taken::Complete(state, given));
        }
        Ok(())
    }

    fn finished(
        &self,
        by: StateId,
        _whole: StateId,
        scope: &mut Scope<'_, Self>,
    ) -> Result<(), Infallible> {
        scope.context.given = M::own_output(by, &scope.context.context).map(Arc::new);
        scope.context.effects.finish();
        Ok(())
    }

    fn failure(&self, fault: Infallible) -> Option<Taken<M::Event>> {
        match fault {}
    }

    /// A completion is queued too, and what is queued may lead to no rest.
    fn is_fallible(&self) -> bool {
        true
    }

    fn is_calm(&self, _action: u32) -> bool {
        !M::RAISES
    }
}

/// A running chart.
#[doc(hidden)]
pub struct Kernel<M: Bodies> {
    instance: Instance<Data<M>>,
    buffers: Buffers<Runner<M>>,
    undo: Option<Instance<Data<M>>>,
    children: Children,
    finish: Finish,
}

impl<M: Bodies> Kernel<M> {
    /// # Errors
    ///
    /// [`StepError::Limit`] when it never comes to rest.
    pub fn new(context: M::Context) -> Result<Self, StepError<Infallible>> {
        let data = Data {
            context,
            effects: Effects::default(),
            given: None,
        };
        let mut buffers = Buffers::default();
        let (instance, started) = M::chart().chart.start(data, &Taken::Start, &mut buffers);
        started.map(|()| Self {
            instance,
            buffers,
            undo: None,
            children: Children::default(),
            finish: Finish::default(),
        })
    }

    /// # Errors
    ///
    /// [`StepError::Limit`] when it never comes to rest; the old state was kept.
    pub fn step(&mut self, event: M::Event) -> Result<bool, StepError<Infallible>> {
        let compiled = M::chart();
        let class = compiled.class(&event);
        let event = Taken::Event(event);
        let (instance, buffers) = (&mut self.instance, &mut self.buffers);
        compiled.chart.step(instance, class, &event, buffers)
    }

    /// The machine in those states; what it asks for waits for its actor's first turn.
    ///
    /// # Errors
    ///
    /// A child cannot have the state that was saved of it.
    pub fn again(
        context: M::Context,
        shape: &Instance<()>,
        invoked: &[Again],
    ) -> Result<Self, SnapshotError> {
        let mut data = Data {
            context,
            effects: Effects::default(),
            given: None,
        };
        if shape.status() == Status::Done {
            let end = shape.leaves().first();
            data.given = end.and_then(|&end| M::own_output(end, &data.context).map(Arc::new));
            data.effects.finish();
        }
        M::invoke(invoked, &data.context, &mut data.effects)?;
        Ok(Self {
            instance: shape.clone().with(data),
            buffers: Buffers::default(),
            undo: None,
            children: Children::default(),
            finish: Finish::default(),
        })
    }

    pub fn children(&self) -> &Children {
        &self.children
    }

    pub fn shape(&self) -> Instance<()> {
        self.instance.shape()
    }

    pub fn asks(&self) -> &Effects<M> {
        &self.instance.context.effects
    }

    pub fn asks_mut(&mut self) -> &mut Effects<M> {
        &mut self.instance.context.effects
    }

    pub fn is_in(&self, state: StateId) -> bool {
        M::chart().chart.is_in(&self.instance, state)
    }

    pub fn leaves(&self) -> &[StateId] {
        self.instance.leaves()
    }

    pub fn context(&self) -> &M::Context {
        &self.instance.context.context
    }

    pub fn given(&self) -> Option<&M::Given> {
        self.instance.context.given.as_deref()
    }

    pub fn tell_end(&mut self, finish: Finish) {
        self.finish = finish;
    }

    pub fn is_done(&self) -> bool {
        self.instance.status() == Status::Done
    }

    pub fn has_tag(&self, tag: &str) -> bool {
        let states = &M::chart().model.states;
        self.leaves().iter().any(|&leaf| {
            let parent = |at: &StateId| states[*at as usize].parent;
            let mut around = std::iter::successors(Some(leaf), parent);
            around.any(|at| states[at as usize].tags.iter().any(|own| own == tag))
        })
    }

    pub fn begin(&mut self) {
        self.children.keep();
        self.instance.context.effects.keep_delays();
        match &mut self.undo {
            Some(undo) => undo.copy_from(&self.instance),
            None => self.undo = Some(self.instance.clone()),
        }
    }

    /// # Errors
    ///
    /// The chart came to no rest; [`roll_back`](Self::roll_back) is the caller's.
    pub fn try_apply(&mut self, event: M::Event) -> Result<(), Refusal> {
        let compiled = M::chart();
        let class = compiled.class(&event);
        let ended = M::ended(&event);
        if let Some(ended) = ended {
            self.children.ended(ended);
        }
        let failure = ended.and_then(ChildEnded::refusal);
        let event = Taken::Event(event);
        let (instance, buffers) = (&mut self.instance, &mut self.buffers);
        let taken = compiled
            .chart
            .step_in_turn(instance, class, &event, buffers);
        match taken {
            Ok(true) => Ok(()),
            Ok(false) => match failure {
                Some(refusal) => Err(refusal),
                None => {
                    if event.event().is_some_and(|event| !M::is_own(event)) {
                        instance.context.effects.not_taken(&compiled.model.name);
                    }
                    Ok(())
                }
            },
            Err(error) => Err(Refusal::new(error.to_string())),
        }
    }

    pub fn roll_back(&mut self) {
        self.children.roll_back();
        if let Some(undo) = self.undo.take() {
            let failed = std::mem::replace(&mut self.instance, undo);
            let (from, to) = (failed.context.effects, &mut self.instance.context.effects);
            (to.delays, to.taken_up) = (from.delays, from.taken_up);
            to.roll_back_delays();
        }
    }

    pub fn output(&mut self, output: &mut Output<M>) {
        let data = &mut self.instance.context;
        data.effects.give(output);
        self.children.perform(&mut data.effects, output);
        if let Some(given) = &data.given {
            self.finish.give(given, output);
        }
    }
}

impl<M: Bodies> Clone for Kernel<M> {
    /// The same states and data; what was asked for is the original's to do.
    fn clone(&self) -> Self {
        Self {
            instance: self.instance.clone(),
            buffers: Buffers::default(),
            undo: None,
            children: self.children.clone(),
            finish: Finish::default(),
        }
    }
}

impl<M: Bodies> fmt::Debug for Kernel<M>
where
    M::Context: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = &M::chart().model.states;
        let leaves = self.leaves().iter().map(|&leaf| &states[leaf as usize].id);
        f.debug_struct("Kernel")
            .field("states", &leaves.collect::<Vec<_>>())
            .field("context", self.context())
            .finish_non_exhaustive()
    }
}
