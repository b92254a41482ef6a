//! A running chart: what it asks of the world becomes the steps of its actor's turn.
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

use super::child::{Child, Parent, done, failed, from_child, is_own};
use super::whole::{self, Saves};
use super::{HostedChart, Outputs, Revived, embedded};
use crate::actor::{Address, Down, Machine, Refusal};
use crate::chart::model::StateId;
use crate::chart::value::{Effect, Name, Start, Target};
use crate::chart::{
    Buffers, Delay, Event, Instance, Loaded, Receiver, Resume, SavedChild, Snapshot as Saved,
    Status, StepError, Value,
};
use crate::dispatcher::worker;
use crate::plan::output::{Output, stop_now};
use crate::plan::timers::Key;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many delayed events of reused ids a chart can still cancel; the oldest are forgotten.
const ARMED_MAX: usize = 1024;
/// The name of the event by which a machine hears that its child has ended in order.
const ENDED: &str = "mainspring.child.ended";
/// The name of the event by which a machine hears that a delayed event for another is to be sent.
const SEND: &str = "mainspring.send";

/// A running chart: an actor's [`Machine`], or anybody's.
///
/// Its events are [`chart::Event`](crate::chart::Event)s. An event that no state takes changes
/// nothing and is a dead letter ([`Cause::NotTaken`](crate::Cause::NotTaken)), unless it is one of
/// the chart's own (`xstate.*`, `done.*`, `error.*`). A clone, as in a snapshot, has the same states
/// and context; children and timers are the original's alone.
///
/// A turn costs one copy of the context into the machine's own buffers, so that it can fail.
pub struct ChartMachine<C: Clone + Send + 'static> {
    hosted: HostedChart<C>,
    instance: Instance<C>,
    pub(super) buffers: Buffers<Loaded<C>>,
    undo: Option<Undo<C>>,
    /// The keys of delayed events that can be cancelled, by the chart's ids.
    armed: Vec<(Name, u64)>,
    /// Delayed events, in the order in which they were sent.
    delayed: Vec<Arc<Delayed>>,
    /// The keys of those that the turn in hand has used up.
    due: Vec<u64>,
    /// In a clone, what there was when it was made; in a restored machine, what is to be. Its output.
    pub(super) saved: Rest,
    pub(super) resume: Option<Resume>,
    next_key: u64,
    children: Children<C>,
    pub(super) parent: Option<Parent>,
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
pub(super) struct Rest {
    /// What it gave when it was done.
    pub(super) output: Option<Value>,
    pub(super) delays: Vec<Delay>,
    pub(super) children: Vec<SavedChild>,
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
    pub(super) fn of(
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
    /// actors know: see [`Actor::save`](crate::Actor::save).
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
    pub(super) fn check(&mut self, from: usize) -> Result<(), Refusal> {
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
