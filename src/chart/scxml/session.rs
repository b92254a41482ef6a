//! SCXML sessions on a virtual clock: a document, those it invokes, their queues and delays.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::super::delayed::{Delayed, Delays};
use super::super::loaded::{Loaded, error_event};
use super::super::model::StateId;
use super::super::run::{Buffers, Instance, Status};
use super::super::slots::{Own, Slots};
use super::super::value::{Effect, Event, Fault, Name, Origin, Start, Target, Value};
use super::{Document, PROCESSOR, compile};

/// Events that a session processes before its documents are taken for a circle.
pub const FUEL: u32 = 100_000;

/// Finds a document by the address in an `<invoke>`; `None` if there is none.
pub type Loader = Box<dyn Fn(&str) -> Option<String>>;

struct Member {
    document: Arc<Document>,
    instance: Instance<Slots>,
    buffers: Buffers<Loaded<Slots>>,
    queue: VecDeque<Event>,
    parent: Option<usize>,
    id: Name,
    children: Vec<Child>,
    is_over: bool,
}

struct Child {
    id: Name,
    member: usize,
    autoforward: bool,
    finalize: Option<u32>,
}

/// A document running with all that it invokes.
pub struct Session {
    members: Vec<Member>,
    delays: Delays,
    loader: Loader,
    fuel: u32,
    /// What the first document logged since it was last taken: label and value.
    pub log: Vec<(Name, Option<Value>)>,
}

impl Session {
    /// Starts `document` and runs to rest.
    pub fn start(document: Arc<Document>, loader: Loader) -> Self {
        let mut session = Self {
            members: Vec::new(),
            delays: Delays::default(),
            loader,
            fuel: FUEL,
            log: Vec::new(),
        };
        session.begin(document, None, "".into(), &Value::Undefined);
        session.run();
        session
    }

    /// Sends an external event and runs to rest.
    pub fn send(&mut self, mut event: Event) {
        if event.origin.is_none() {
            event.origin = Some(Box::new(Origin {
                kind: "external",
                origintype: Value::str(PROCESSOR),
                ..Origin::default()
            }));
        }
        self.post(0, event);
        self.run();
    }

    /// Moves the clock by `ms`; what falls due is sent in order, each followed by a run to rest.
    pub fn advance(&mut self, ms: u64) {
        let until_ms = self.delays.now_ms.saturating_add(ms);
        while self.fuel > 0
            && let Some(due) = self.delays.take(until_ms)
        {
            self.post(due.to, due.event);
            self.run();
        }
        self.delays.now_ms = until_ms;
    }

    /// The milliseconds until the next delayed event falls due.
    pub fn next_due(&self) -> Option<u64> {
        self.delays.next_due_ms()
    }

    /// Whether the first document has ended.
    pub fn is_over(&self) -> bool {
        self.members[0].is_over
    }

    /// Whether it gave up because events never ran out.
    pub fn is_exhausted(&self) -> bool {
        self.fuel == 0
    }

    /// The ids of the active leaves of the first document, in document order.
    pub fn configuration(&self) -> Vec<&str> {
        let first = &self.members[0];
        let id = |&s: &StateId| first.document.model.states[s as usize].id.as_str();
        first.instance.leaves().iter().map(id).collect()
    }

    /// The value of a variable of the first document.
    pub fn variable(&self, name: &str) -> Option<&Value> {
        let first = &self.members[0];
        let place = first.document.names.iter().position(|n| **n == *name)?;
        first.instance.context.get(place)
    }

    fn begin(
        &mut self,
        document: Arc<Document>,
        parent: Option<usize>,
        id: Name,
        input: &Value,
    ) -> usize {
        let at = self.members.len();
        let mut slots = Slots {
            own: Own {
                session: at as u32,
                sessions: at as u32 + 1,
                has_parent: parent.is_some(),
                next_id: 0,
            },
            ..Slots::default()
        };
        for (name, place) in &document.top_level {
            if let Some(value) = input.field(name) {
                slots.set(*place, value.clone());
            }
        }
        let mut buffers = Buffers::default();
        let (instance, result) = document.chart.start(slots, &Event::default(), &mut buffers);
        let effects = std::mem::take(buffers.effects());
        self.members.push(Member {
            document,
            instance,
            buffers,
            queue: VecDeque::new(),
            parent,
            id,
            children: Vec::new(),
            is_over: result.is_err(),
        });
        self.carry_out(at, effects);
        at
    }

    fn post(&mut self, at: usize, event: Event) {
        if !self.members[at].is_over {
            self.members[at].queue.push_back(event);
        }
    }

    fn run(&mut self) {
        let mut found = true;
        while found && self.fuel > 0 {
            found = false;
            // Delays of nothing are due at once, behind what is queued already.
            for at in 0..self.members.len() {
                if let Some(event) = self.members[at].queue.pop_front() {
                    self.fuel -= 1;
                    self.process(at, event);
                    found = true;
                    break;
                }
            }
        }
    }

    fn process(&mut self, at: usize, event: Event) {
        if self.members[at].is_over {
            return;
        }
        let from = event.origin.as_ref().map(|o| o.invokeid.clone());
        let mut forwards = Vec::new();
        let mut finalize = None;
        for child in &self.members[at].children {
            if from == Some(Value::Str(child.id.clone())) {
                finalize = child.finalize;
            }
            if child.autoforward {
                forwards.push(child.member);
            }
        }
        let sessions = self.members.len() as u32;
        let member = &mut self.members[at];
        member.instance.context.own.sessions = sessions;
        let document = member.document.clone();
        if let Some(action) = finalize {
            // SCXML's failures are events: there is nothing to give back.
            let _ = document
                .chart
                .act(&mut member.instance, action, &event, &mut member.buffers);
        }
        for child in forwards {
            self.post(child, event.clone());
        }
        let member = &mut self.members[at];
        let class = document.chart.table().class(&event.name);
        let chart = &document.chart;
        let result = chart.step(&mut member.instance, class, &event, &mut member.buffers);
        let effects = std::mem::take(member.buffers.effects());
        if result.is_err() {
            member.is_over = true;
        }
        self.carry_out(at, effects);
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect>) {
        let mut output = Value::Undefined;
        for effect in effects {
            match effect {
                Effect::Log { label, value } if at == 0 => self.log.push((label, value)),
                Effect::Log { .. } | Effect::Emit(_) | Effect::Fail(_) => {}
                Effect::Send {
                    event,
                    target,
                    delay_ms,
                    id,
                } => self.dispatch(at, event, target, delay_ms, id),
                Effect::Cancel(id) => {
                    self.delays
                        .retain(|_, d| !(d.from == at && d.id.as_ref() == Some(&id)));
                }
                Effect::Start(start) => self.invoke(at, start),
                Effect::Stop(id) => self.cancel_invoke(at, &id),
                Effect::Done(value) => output = value,
            }
        }
        let member = &mut self.members[at];
        if member.instance.status() == Status::Done && !member.is_over {
            member.is_over = true;
            member.queue.clear();
            let (parent, id) = (member.parent, member.id.clone());
            let children = std::mem::take(&mut member.children);
            for child in children {
                self.end(child.member);
            }
            self.delays.retain(|_, delayed| delayed.from != at);
            if let Some(parent) = parent {
                let event = Event::new(format!("done.invoke.{id}")).with(output);
                self.child_says(parent, &id, event);
            }
        }
    }

    fn dispatch(
        &mut self,
        at: usize,
        mut event: Event,
        target: Target,
        delay_ms: Option<u64>,
        id: Option<Name>,
    ) {
        let to = match &target {
            Target::Myself | Target::Internal => Some(at),
            Target::Parent => self.members[at].parent,
            Target::Child(id) => {
                let mut children = self.members[at].children.iter();
                children.find(|c| c.id == *id).map(|c| c.member)
            }
            Target::Address(address) => address
                .strip_prefix("#_scxml_s")
                .and_then(|n| n.parse().ok())
                .filter(|&n: &usize| n < self.members.len()),
        };
        let Some(to) = to else {
            let mut fault = Fault::communication("nobody is there");
            fault.sendid = id;
            self.post(at, error_event(fault));
            return;
        };
        if matches!(target, Target::Parent)
            && let Some(origin) = &mut event.origin
        {
            origin.invokeid = Value::Str(self.members[at].id.clone());
        }
        match delay_ms {
            None => self.post(to, event),
            Some(ms) => {
                let from = at;
                let delayed = Delayed {
                    from,
                    to,
                    id,
                    event,
                };
                self.delays.send(ms, delayed);
            }
        }
    }

    fn child_says(&mut self, parent: usize, id: &Name, mut event: Event) {
        event.origin = Some(Box::new(Origin {
            kind: "external",
            invokeid: Value::Str(id.clone()),
            ..Origin::default()
        }));
        self.post(parent, event);
    }

    fn invoke(&mut self, at: usize, start: Start) {
        let document = match start.embedded {
            Some(nth) => match &self.members[at].document.embedded[nth as usize] {
                Ok(document) => Some(document.clone()),
                Err(_) => None,
            },
            None if start.source.trim_start().starts_with('<') => {
                compile(&start.source).ok().map(Arc::new)
            }
            None => (self.loader)(&start.source).and_then(|text| compile(&text).ok().map(Arc::new)),
        };
        let Some(document) = document else {
            let fault = Fault::communication(format!("cannot invoke {:?}", start.source));
            self.post(at, error_event(fault));
            return;
        };
        let next = self.members.len();
        self.members[at].children.push(Child {
            id: start.id.clone(),
            member: next,
            autoforward: start.autoforward,
            finalize: start.finalize,
        });
        self.begin(document, Some(at), start.id, &start.input);
    }

    fn cancel_invoke(&mut self, at: usize, id: &Name) {
        let children = &mut self.members[at].children;
        if let Some(nth) = children.iter().position(|c| c.id == *id) {
            let child = children.remove(nth);
            self.end(child.member);
        }
    }

    /// Ends a session from outside: its exit actions run, its own invocations end, its delays are
    /// dropped, and nobody is told.
    fn end(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.is_over {
            return;
        }
        let document = member.document.clone();
        let result =
            document
                .chart
                .stop(&mut member.instance, &Event::default(), &mut member.buffers);
        let effects = std::mem::take(member.buffers.effects());
        self.carry_out(at, effects);
        self.members[at].is_over = true;
        self.members[at].queue.clear();
        self.delays.retain(|_, delayed| delayed.from != at);
        debug_assert!(result.is_ok(), "failures are events");
    }
}

/// A loader that finds documents by the last part of their address among `documents`.
pub fn loader_of(documents: HashMap<String, String>) -> Loader {
    Box::new(move |address| {
        let name = address.rsplit(['/', ':']).next().unwrap_or(address);
        documents.get(name).cloned()
    })
}
