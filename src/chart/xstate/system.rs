//! A world for machines of the [vocabulary](super::vocabulary) to live in: mailboxes, children and
//! timers on a virtual clock, one thread, everything in a defined order.
//!
//! It follows XState's own actor system: an event is processed when it is delivered unless its
//! receiver is busy; effects of a macrostep happen in order when it ends; a timer id that is used
//! again leaves the older timer running, out of reach of `cancel`.

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;

use super::super::delayed::{Delayed, Delays};
use super::super::model::{Kind, StateId};
use super::super::run::{Buffers, Instance, Status};
use super::super::slots::{Slots, as_map};
use super::super::snapshot::Snapshot;
use super::super::value::{Effect, Event, Name, Start, Target, Value};
use super::vocabulary::Vocabulary;
use super::{CompileError, Compiled, Loaded, Machine};

/// Events that a system processes before it takes its machines for a circle.
pub const FUEL: u32 = 100_000;

/// A machine compiled with the vocabulary.
#[derive(Debug)]
pub struct Worded {
    /// The chart and what came with it.
    pub compiled: Compiled<Slots>,
    names: Vec<Name>,
}

impl Worded {
    /// Compiles `machine`.
    ///
    /// # Errors
    ///
    /// What is wrong with the document.
    pub fn new(machine: &Machine, mut vocabulary: Vocabulary) -> Result<Self, CompileError> {
        vocabulary.symbols = Default::default();
        let compiled = machine.compile(&mut vocabulary)?;
        let names = vocabulary.symbols.names();
        Ok(Self { compiled, names })
    }

    /// The context as a map.
    pub fn context(&self, instance: &Instance<Slots>) -> Value {
        if !matches!(self.compiled.context, Value::Map(_) | Value::Undefined) {
            return self.compiled.context.clone(); // a text of the author's, not data
        }
        as_map(&self.names, &instance.context)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    NotStarted,
    Running,
    Stopped,
}

enum Body {
    Machine {
        worded: Rc<Worded>,
        instance: Option<Instance<Slots>>,
    },
    Manual {
        input: Value,
    },
    Done(Value),
    Fail(Value),
}

struct Actor {
    id: Name,
    parent: Option<usize>,
    body: Body,
    life: Life,
    status: &'static str,
    output: Value,
    error: Value,
    mailbox: VecDeque<Event>,
    busy: bool,
    children: Vec<(Name, usize)>,
}

/// A root machine and its descendants on a virtual clock.
pub struct System {
    actors: Vec<Actor>,
    machines: HashMap<Name, Rc<Worded>>,
    sources: HashMap<Name, Name>,
    delays: Delays,
    /// The numbers of the delayed events that can be cancelled, by their senders and ids.
    armed: HashMap<(usize, Name), u64>,
    /// How many more events may be processed; a circle of sends ends when none is left.
    pub fuel: u32,
    /// Lines logged since they were last taken, with the actor's id; the root's is the first.
    pub log: Vec<(usize, Name, String)>,
    /// Events emitted by the root since they were last taken.
    pub emitted: Vec<Event>,
}

impl System {
    /// Starts `root` with `input`; `machines` are the children it may start, `sources` other names
    /// for actor sources.
    pub fn start(
        root: Rc<Worded>,
        machines: HashMap<Name, Rc<Worded>>,
        sources: HashMap<Name, Name>,
        input: Value,
    ) -> Self {
        let mut system = Self {
            actors: Vec::new(),
            machines,
            sources,
            delays: Delays::default(),
            armed: HashMap::new(),
            fuel: FUEL,
            log: Vec::new(),
            emitted: Vec::new(),
        };
        let id = root.compiled.model.name.as_str().into();
        let body = Body::Machine {
            worded: root,
            instance: None,
        };
        system.add(id, None, body);
        system.begin(0, input);
        system
    }

    fn add(&mut self, id: Name, parent: Option<usize>, body: Body) -> usize {
        self.actors.push(Actor {
            id,
            parent,
            body,
            life: Life::NotStarted,
            status: "active",
            output: Value::Undefined,
            error: Value::Undefined,
            mailbox: VecDeque::new(),
            busy: false,
            children: Vec::new(),
        });
        self.actors.len() - 1
    }

    /// Sends `event` to the root.
    pub fn send(&mut self, event: Event) {
        self.deliver(0, event);
    }

    /// Moves the clock by `ms`; due timers fire one at a time.
    pub fn advance(&mut self, ms: u64) {
        let until_ms = self.delays.now_ms.saturating_add(ms);
        while self.fuel > 0
            && let Some(due) = self.delays.take(until_ms)
        {
            if let Some(id) = due.id {
                self.armed.remove(&(due.from, id));
            }
            self.deliver(due.to, due.event);
        }
        self.delays.now_ms = until_ms;
    }

    /// Completes the manual child `id`, or fails it.
    pub fn resolve(&mut self, id: &str, result: Result<Value, Value>) {
        let found = self.actors.iter().rposition(|a| {
            *a.id == *id && a.life == Life::Running && matches!(a.body, Body::Manual { .. })
        });
        if let Some(at) = found {
            match result {
                Ok(output) => self.done(at, output),
                Err(error) => self.failed(at, error),
            }
        }
    }

    /// Whether the root would take `event`.
    pub fn can(&mut self, event: &Event) -> bool {
        let Body::Machine { worded, instance } = &self.actors[0].body else {
            return false;
        };
        let mut buffers = Buffers::default();
        let chart = &worded.compiled.chart;
        let instance = instance
            .as_ref()
            .filter(|_| self.actors[0].status == "active");
        instance.is_some_and(|i| chart.can(i, event, &mut buffers).unwrap_or(false))
    }

    /// Stops the root from outside.
    pub fn stop(&mut self) {
        self.stop_actor(0);
    }

    /// Saves the root as data, drops everything, and goes on from the data. Timers and children do
    /// not outlive that, as in XState.
    ///
    /// # Errors
    ///
    /// Why the data does not fit, as a text.
    pub fn restore(
        &mut self,
        through: impl Fn(Snapshot<Slots>) -> Result<Snapshot<Slots>, String>,
    ) -> Result<(), String> {
        let Body::Machine { worded, instance } = &self.actors[0].body else {
            return Ok(());
        };
        let worded = worded.clone();
        let Some(instance) = instance else {
            return Ok(());
        };
        let saved = through(Snapshot::of(&worded.compiled.model, instance))?;
        let revived = saved
            .restore(&worded.compiled.model)
            .map_err(|e| e.to_string())?;
        let old = self.actors.swap_remove(0);
        self.actors.clear();
        self.delays.retain(|_, _| false);
        self.armed.clear();
        let body = Body::Machine {
            worded,
            instance: Some(revived),
        };
        let at = self.add(old.id, None, body);
        self.actors[at].status = old.status;
        self.actors[at].output = old.output;
        self.actors[at].error = old.error;
        self.actors[at].life = match old.status {
            "active" => Life::Running,
            _ => Life::Stopped,
        };
        Ok(())
    }

    /// Starts an actor: its initial macrostep, its children, its mailbox.
    fn begin(&mut self, at: usize, input: Value) {
        self.actors[at].life = Life::Running;
        match &self.actors[at].body {
            Body::Manual { .. } => {}
            Body::Done(output) => {
                let output = output.clone();
                self.done(at, output);
            }
            Body::Fail(error) => {
                let error = error.clone();
                self.failed(at, error);
            }
            Body::Machine { worded, .. } => {
                let worded = worded.clone();
                let mut event = Event::new("xstate.init");
                if !input.is_undefined() {
                    event.data.set_field("input", input);
                }
                let mut buffers = Buffers::<Loaded<Slots>>::default();
                self.actors[at].busy = true;
                let (fresh, result) =
                    worded
                        .compiled
                        .chart
                        .start(Slots::default(), &event, &mut buffers);
                let status = fresh.status();
                if let Body::Machine { instance, .. } = &mut self.actors[at].body {
                    *instance = Some(fresh);
                }
                let effects = std::mem::take(buffers.effects());
                match result {
                    Ok(()) => self.update(at, effects, status),
                    Err(error) => self.failed(at, Value::str(error.to_string())),
                }
                self.actors[at].busy = false;
                self.flush(at);
            }
        }
    }

    fn deliver(&mut self, at: usize, event: Event) {
        if self.actors[at].life == Life::Stopped {
            return;
        }
        self.actors[at].mailbox.push_back(event);
        self.flush(at);
    }

    fn flush(&mut self, at: usize) {
        if self.actors[at].busy || self.actors[at].life != Life::Running {
            return;
        }
        self.actors[at].busy = true;
        while self.actors[at].life == Life::Running {
            let Some(event) = self.actors[at].mailbox.pop_front() else {
                break;
            };
            if self.fuel == 0 {
                break;
            }
            self.fuel -= 1;
            self.process(at, event);
        }
        self.actors[at].busy = false;
    }

    fn process(&mut self, at: usize, event: Event) {
        if &*event.name == "xstate.stop" {
            self.halt(at, "stopped");
            self.stop_children(at);
            return;
        }
        let Body::Machine { worded, instance } = &mut self.actors[at].body else {
            return;
        };
        let worded = worded.clone();
        let Some(mut running) = instance.take() else {
            return;
        };
        let mut buffers = Buffers::default();
        let chart = &worded.compiled.chart;
        let class = chart.table().class(&event.name);
        let result = chart.step(&mut running, class, &event, &mut buffers);
        let status = running.status();
        if let Body::Machine { instance, .. } = &mut self.actors[at].body {
            *instance = Some(running);
        }
        let effects = std::mem::take(buffers.effects());
        match result {
            Ok(_) => self.update(at, effects, status),
            Err(error) => {
                let value = match error {
                    super::super::run::StepError::Fault(fault) => fault.into_value(),
                    limit => Value::str(limit.to_string()),
                };
                let unhandled = event.name.starts_with("xstate.error.actor.");
                for effect in effects {
                    if let Effect::Log { label, .. } = effect {
                        self.note(at, &label);
                    }
                }
                if unhandled {
                    self.stop_children(at);
                }
                self.failed(at, value);
            }
        }
    }

    fn note(&mut self, at: usize, text: &str) {
        let id = self.actors[at].id.clone();
        self.log.push((at, id, text.to_owned()));
    }

    /// What a macrostep asked for, then what its end means.
    fn update(&mut self, at: usize, effects: Vec<Effect>, status: Status) {
        let done = status == Status::Done;
        let mut output = Value::Undefined;
        let stopped_later = |from: usize, id: &Name| {
            done || effects[from..]
                .iter()
                .take_while(|e| !matches!(e, Effect::Start(s) if s.id == *id))
                .any(|e| matches!(e, Effect::Stop(s) if s == id))
        };
        let runs: Vec<bool> = effects
            .iter()
            .enumerate()
            .map(|(nth, e)| match e {
                Effect::Start(start) => !stopped_later(nth + 1, &start.id),
                _ => true,
            })
            .collect();
        for (effect, runs) in effects.into_iter().zip(runs) {
            match effect {
                Effect::Log { label, .. } => self.note(at, &label),
                Effect::Send {
                    event,
                    target,
                    delay_ms,
                    id,
                } => self.post(at, event, target, delay_ms, id),
                Effect::Cancel(id) => {
                    if let Some(armed) = self.armed.remove(&(at, id)) {
                        self.delays.retain(|number, _| number != armed);
                    }
                }
                Effect::Start(start) => self.spawn(at, start, runs),
                Effect::Stop(id) => {
                    let found = self.actors[at].children.iter().position(|(c, _)| *c == id);
                    if let Some(nth) = found {
                        let (_, child) = self.actors[at].children.remove(nth);
                        self.stop_actor(child);
                    }
                }
                Effect::Emit(event) if at == 0 => self.emitted.push(event),
                Effect::Emit(_) => {}
                Effect::Done(value) => output = value,
                Effect::Fail(fault) => {
                    self.failed(at, fault.into_value());
                    return;
                }
            }
        }
        if done {
            self.stop_children(at);
            self.done(at, output);
        }
    }

    fn post(
        &mut self,
        at: usize,
        event: Event,
        target: Target,
        delay_ms: Option<u64>,
        id: Option<Name>,
    ) {
        let to = match target {
            Target::Myself | Target::Internal => Some(at),
            Target::Parent => self.actors[at].parent,
            Target::Child(id) => self.child(at, &id),
            Target::Address(_) => None,
        };
        let Some(to) = to else { return };
        let Some(ms) = delay_ms else {
            self.deliver(to, event);
            return;
        };
        let (from, name) = (at, id.clone());
        let delayed = Delayed {
            from,
            to,
            id,
            event,
        };
        let number = self.delays.send(ms, delayed);
        if let Some(name) = name {
            self.armed.insert((at, name), number);
        }
    }

    fn child(&self, at: usize, id: &Name) -> Option<usize> {
        let mut children = self.actors[at].children.iter();
        children.find(|(c, _)| c == id).map(|(_, child)| *child)
    }

    fn spawn(&mut self, at: usize, start: Start, runs: bool) {
        let source = self
            .sources
            .get(&start.source)
            .unwrap_or(&start.source)
            .clone();
        let json = |text: &str| super::super::json::parse_value(text).unwrap_or(Value::Null);
        let body = if let Some(worded) = self.machines.get(&source) {
            Body::Machine {
                worded: worded.clone(),
                instance: None,
            }
        } else if let Some(text) = source.strip_prefix("done:") {
            Body::Done(json(text))
        } else if let Some(text) = source.strip_prefix("fail:") {
            Body::Fail(json(text))
        } else {
            Body::Manual {
                input: start.input.clone(),
            }
        };
        let child = self.add(start.id.clone(), Some(at), body);
        self.actors[at].children.retain(|(c, _)| *c != start.id);
        self.actors[at].children.push((start.id, child));
        if runs {
            self.begin(child, start.input);
        } else {
            self.actors[child].life = Life::Stopped;
        }
    }

    fn stop_children(&mut self, at: usize) {
        for (_, child) in std::mem::take(&mut self.actors[at].children) {
            self.stop_actor(child);
        }
    }

    fn stop_actor(&mut self, at: usize) {
        match self.actors[at].life {
            Life::Stopped => {}
            Life::NotStarted => self.actors[at].life = Life::Stopped,
            Life::Running => {
                self.actors[at].mailbox.clear();
                match self.actors[at].body {
                    Body::Machine { .. } => self.deliver(at, Event::new("xstate.stop")),
                    _ => self.halt(at, "stopped"),
                }
            }
        }
    }

    fn halt(&mut self, at: usize, status: &'static str) {
        let actor = &mut self.actors[at];
        actor.status = status;
        actor.life = Life::Stopped;
        actor.mailbox.clear();
        let reachable: Vec<u64> = self
            .armed
            .extract_if(|(owner, _), _| *owner == at)
            .map(|(_, number)| number)
            .collect();
        self.delays.retain(|number, delayed| {
            !(delayed.from == at && (delayed.id.is_none() || reachable.contains(&number)))
        });
    }

    fn done(&mut self, at: usize, output: Value) {
        self.actors[at].output = output.clone();
        self.halt(at, "done");
        self.tell_parent(at, "xstate.done.actor.", "output", output);
    }

    fn failed(&mut self, at: usize, error: Value) {
        self.actors[at].error = error.clone();
        self.halt(at, "error");
        self.tell_parent(at, "xstate.error.actor.", "error", error);
    }

    fn tell_parent(&mut self, at: usize, prefix: &str, field: &str, value: Value) {
        if let Some(parent) = self.actors[at].parent {
            let name: Name = format!("{prefix}{}", self.actors[at].id).into();
            self.deliver(parent, Event::new(name).field(field, value));
        }
    }

    /// What can be seen of the root: the fields of the corpora's snapshots.
    pub fn view(&self) -> Value {
        let root = &self.actors[0];
        let mut view = Value::Map(Vec::new());
        let Body::Machine { worded, instance } = &root.body else {
            return view;
        };
        let compiled = &worded.compiled;
        let none = Instance {
            context: Slots::default(),
            leaves: Default::default(),
            recent: Default::default(),
            memory: Vec::new(),
            status: Status::Failed,
        };
        let instance = instance.as_ref().unwrap_or(&none);
        let leaves = instance.leaves().iter();
        let conf = leaves.map(|&l| Value::str(compiled.path(l))).collect();
        view.set_field("conf", Value::List(conf));
        view.set_field("value", state_value(worded, instance, 0));
        if root.status != "active" {
            view.set_field("status", Value::str(root.status));
        }
        let context = worded.context(instance);
        if context != Value::Map(Vec::new()) {
            view.set_field("context", context);
        }
        let mut tags = Vec::new();
        let mut metas = Value::Map(Vec::new());
        for (s, state) in compiled.model.states.iter().enumerate() {
            if compiled.chart.is_in(instance, s as StateId) {
                tags.extend(state.tags.iter().cloned());
                if let Some(meta) = &compiled.metas[s] {
                    metas.set_field(&state.id, meta.clone());
                }
            }
        }
        tags.sort();
        tags.dedup();
        if !tags.is_empty() {
            view.set_field("tags", Value::List(tags.iter().map(Value::str).collect()));
        }
        if metas != Value::Map(Vec::new()) {
            view.set_field("meta", metas);
        }
        if root.status == "done" && !root.output.is_undefined() {
            view.set_field("output", root.output.clone());
        }
        if root.status == "error" {
            view.set_field("error", root.error.clone());
        }
        if root.status == "active" && !root.children.is_empty() {
            let mut children = Value::Map(Vec::new());
            for (id, child) in &root.children {
                children.set_field(id, self.child_view(*child));
            }
            view.set_field("children", children);
        }
        view
    }

    fn child_view(&self, at: usize) -> Value {
        let actor = &self.actors[at];
        let mut view = Value::Map(Vec::new());
        view.set_field("status", Value::str(actor.status));
        match &actor.body {
            Body::Machine {
                worded,
                instance: Some(instance),
            } => {
                view.set_field("value", state_value(worded, instance, 0));
                let context = worded.context(instance);
                if context != Value::Map(Vec::new()) {
                    view.set_field("context", context);
                }
            }
            Body::Manual { input } if !input.is_undefined() => {
                view.set_field("input", input.clone());
            }
            _ => {}
        }
        if actor.status == "done" && !actor.output.is_undefined() {
            view.set_field("output", actor.output.clone());
        }
        view
    }
}

/// XState's state value: a key for an atomic child, an object otherwise.
fn state_value(worded: &Worded, instance: &Instance<Slots>, s: StateId) -> Value {
    let model = &worded.compiled.model;
    let chart = &worded.compiled.chart;
    let mut active = (s as usize + 1..model.states.len())
        .filter(|&c| model.states[c].parent == Some(s) && chart.is_in(instance, c as StateId));
    match model.states[s as usize].kind {
        Kind::Compound => {
            let Some(child) = active.next() else {
                return Value::Map(Vec::new());
            };
            let key = &model.states[child].key;
            match model.states[child].kind {
                Kind::Atomic | Kind::Final => Value::str(key),
                _ => {
                    let below = state_value(worded, instance, child as StateId);
                    Value::Map(vec![(key.as_str().into(), below)])
                }
            }
        }
        Kind::Parallel => Value::Map(
            active
                .map(|c| {
                    let below = state_value(worded, instance, c as StateId);
                    (model.states[c].key.as_str().into(), below)
                })
                .collect(),
        ),
        _ => Value::Map(Vec::new()),
    }
}
