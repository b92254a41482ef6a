//! SCXML to XState.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::super::check::{Problem, Severity, check};
use super::super::json::Places;
use super::super::model::{Kind, Model, Place, State, StateId, Transition, Trigger};
use super::super::scxml::{attr, elements, milliseconds, model, named, parse};
use super::super::value::{Name, Value};
use super::differences::{Tree, goes_on, has_parts, overlap, stem};
use super::words::{
    Act, Test, Variables, each, event_name, is_plain, is_variable, read_assign, read_condition,
    read_literal, write_action, write_atom,
};
use super::{all, cannot};

/// Writes an SCXML document as an XState v5 machine, its actions and guards in the
/// [vocabulary](super::super::xstate::vocabulary).
///
/// States keep their order and ids; a state's id is its key, too.
///
/// O(text + transitions² inside of parallel states + transitions² within one state).
///
/// # Errors
///
/// What is wrong with the document, or else everything that a machine cannot say.
pub fn to_xstate(text: &str) -> Result<String, Vec<Problem>> {
    let model = model(text).map_err(|problem| vec![problem])?;
    let mut problems = check(&model);
    problems.retain(|p| p.severity == Severity::Error);
    if !problems.is_empty() {
        return Err(problems);
    }
    let xml = parse(text).map_err(|problem| vec![problem])?;
    let mut nodes = Vec::with_capacity(model.states.len());
    gather(xml.root_element(), &mut nodes);
    let mut writer = Writer {
        tree: Tree::new(&model),
        model: &model,
        nodes,
        places: Places::new(text),
        vars: Variables::default(),
        names: BTreeSet::new(),
        problems: Vec::new(),
    };
    let machine = writer.document();
    if !writer.problems.is_empty() {
        return Err(all(writer.problems));
    }
    let mut out = String::new();
    write(&machine, 0, &mut out);
    out.push('\n');
    Ok(out)
}

/// The document's states in the model's order.
fn gather<'a, 'i>(node: Node<'a, 'i>, nodes: &mut Vec<Node<'a, 'i>>) {
    nodes.push(node);
    for child in elements(node) {
        let tag = child.tag_name().name();
        if matches!(
            tag,
            "state" | "parallel" | "final" | "pass" | "fail" | "history"
        ) {
            gather(child, nodes);
        }
    }
}

struct Writer<'m, 'a, 'i> {
    tree: Tree<'m>,
    model: &'m Model,
    nodes: Vec<Node<'a, 'i>>,
    places: Places,
    vars: Variables,
    /// The events that the document names.
    names: BTreeSet<String>,
    problems: Vec<Problem>,
}

/// A state's entry, exit and transitions, read.
struct Read {
    entry: Vec<Act>,
    exit: Vec<Act>,
    /// By transition.
    acts: Vec<Vec<Act>>,
    tests: Vec<Option<Test>>,
}

impl<'a, 'i: 'a> Writer<'_, 'a, 'i> {
    fn place(&self, node: Node<'_, '_>) -> Place {
        self.places.at(node.range().start)
    }

    fn refuse(&mut self, node: Node<'_, '_>, what: String, why: &str) {
        let place = self.place(node);
        self.problems.push(cannot(place, what, why));
    }

    fn document(&mut self) -> Value {
        let model = self.model;
        let root = self.nodes[0];
        let context = self.data();
        for child in elements(root) {
            if child.tag_name().name() == "script" {
                let why = "a machine has no scripts";
                self.refuse(child, "a <script>".to_owned(), why);
            }
        }
        let read: Vec<Read> = (0..self.nodes.len()).map(|s| self.read(s)).collect();
        self.cancels(&read);
        let is_still = |_: StateId, t: &Transition| t.targets.is_empty();
        self.tree.differences(&is_still, &mut self.problems);
        self.note_names(&read);

        let mut name = match model.name.is_empty() {
            true => "machine".to_owned(),
            false => model.name.clone(),
        };
        while model.find(&name).is_some() {
            name.push('_');
        }
        let mut machine = Value::Map(Vec::new());
        machine.set_field("id", Value::str(&name));
        if let Value::Map(fields) = &context
            && !fields.is_empty()
        {
            machine.set_field("context", context);
        }
        self.inside(0, &read, &mut machine);
        machine
    }

    fn data(&mut self) -> Value {
        let mut context = Vec::new();
        let nodes = self.nodes.clone();
        for (s, &node) in nodes.iter().enumerate() {
            for data in named(node, "datamodel").flat_map(|d| named(d, "data")) {
                let id = attr(data, "id").unwrap_or_default().into_owned();
                if s > 0 && attr(nodes[0], "binding").as_deref() == Some("late") {
                    let what = format!("the variable {id:?} begins with its state");
                    self.refuse(data, what, "a machine's context begins with it");
                }
                if !is_variable(&id) {
                    let what = format!("the variable {id:?}");
                    self.refuse(data, what, "letters, digits and _ name one in both");
                }
                let text = attr(data, "expr");
                let value = match &text {
                    Some(text) => read_literal(text),
                    None => None,
                };
                let value = value
                    .filter(|_| attr(data, "src").is_none())
                    .filter(is_plain);
                if value.is_none() {
                    let what = format!("the variable {id:?} does not begin with a literal");
                    let why =
                        "a machine's context is numbers, truths, null and texts without quotes";
                    self.refuse(data, what, why);
                }
                context.push((Name::from(&*id), value.unwrap_or_default()));
                self.vars.names.push(id);
            }
        }
        let begin_so = context.iter().all(|(_, v)| matches!(v, Value::Num(_)));
        let stay_so = nodes[0].descendants().all(|n| {
            n.tag_name().name() != "assign"
                || attr(n, "expr")
                    .and_then(|text| read_literal(&text))
                    .is_none_or(|value| matches!(value, Value::Num(_)))
        });
        self.vars.are_numbers = begin_so && stay_so;
        Value::Map(context)
    }

    fn read(&mut self, s: usize) -> Read {
        let node = self.nodes[s];
        let mut read = Read {
            entry: Vec::new(),
            exit: Vec::new(),
            acts: Vec::new(),
            tests: Vec::new(),
        };
        for child in elements(node) {
            match child.tag_name().name() {
                "onentry" => read.entry.extend(self.block(child)),
                "onexit" => read.exit.extend(self.block(child)),
                "transition" if !matches!(self.model.states[s].kind, Kind::History { .. }) => {
                    read.acts.push(self.block(child));
                    let test = attr(child, "cond").map(|cond| self.condition(child, &cond));
                    read.tests.push(test);
                }
                "invoke" => self.refuse(
                    child,
                    "an <invoke>".to_owned(),
                    "a document invokes documents, a machine the actors of its host",
                ),
                "donedata" => self.refuse(
                    child,
                    "a <donedata>".to_owned(),
                    "in a machine it would be the output of another event",
                ),
                "datamodel" | "initial" | "transition" | "state" | "parallel" | "final"
                | "history" | "pass" | "fail" | "script" => {}
                other => {
                    let what = format!("a <{other}>");
                    self.refuse(child, what, "a machine has nothing like it");
                }
            }
        }
        read
    }

    fn condition(&mut self, node: Node<'_, '_>, text: &str) -> Test {
        let model = self.model;
        let find = |id: &str| model.find(id).filter(|&s| s > 0);
        read_condition(text, &self.vars, &find).unwrap_or_else(|why| {
            self.refuse(node, format!("the condition {text:?}"), &why);
            Test::Always(true)
        })
    }

    fn block(&mut self, node: Node<'a, 'i>) -> Vec<Act> {
        elements(node).filter_map(|child| self.act(child)).collect()
    }

    /// One element of executable content; `None` after a refusal.
    fn act(&mut self, node: Node<'a, 'i>) -> Option<Act> {
        let tag = node.tag_name().name();
        let act = match tag {
            "log" => self.log(node),
            "assign" => match (attr(node, "location"), attr(node, "expr")) {
                (Some(to), Some(text)) => read_assign(&to, &text, &self.vars),
                _ => Err("it assigns no expression".to_owned()),
            },
            "raise" => event_name(&attr(node, "event").unwrap_or_default()).map(Act::Raise),
            "send" => self.send(node),
            "cancel" => match attr(node, "sendid") {
                Some(id) => word(&id).map(Act::Cancel),
                None => Err("it cancels what an expression says".to_owned()),
            },
            "if" => return self.branches(node),
            _ => Err("the vocabulary has no words for it".to_owned()),
        };
        match act {
            Ok(act) => Some(act),
            Err(why) => {
                self.refuse(node, format!("a <{tag}>"), &why);
                None
            }
        }
    }

    fn log(&self, node: Node<'_, '_>) -> Result<Act, String> {
        let label = attr(node, "label").unwrap_or_default().into_owned();
        match attr(node, "expr") {
            None => Ok(Act::Log(label)),
            Some(expr) if *expr == *label && self.vars.names.contains(&label) => {
                Ok(Act::Show(label))
            }
            Some(_) => Err("a machine logs a variable under its own name".to_owned()),
        }
    }

    fn send(&self, node: Node<'_, '_>) -> Result<Act, String> {
        let only = ["event", "id", "delay"];
        let other = node.attributes().find(|a| !only.contains(&a.name()));
        if let Some(other) = other {
            return Err(format!("a machine has nothing for {:?}", other.name()));
        }
        if elements(node).next().is_some() {
            return Err("the event has data".to_owned());
        }
        let delay_ms = match attr(node, "delay") {
            Some(text) => Some(milliseconds(&text).ok_or("the delay is no time")?),
            None => None,
        };
        let id = attr(node, "id").map(|id| word(&id)).transpose()?;
        Ok(Act::Send {
            event: event_name(&attr(node, "event").unwrap_or_default())?,
            delay_ms: delay_ms.filter(|&ms| ms > 0),
            id,
        })
    }

    fn branches(&mut self, node: Node<'a, 'i>) -> Option<Act> {
        let test = self.condition(node, &attr(node, "cond").unwrap_or_default());
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        let mut is_else = false;
        for child in elements(node) {
            match child.tag_name().name() {
                "else" => is_else = true,
                "elseif" => {
                    let why = "an if of the vocabulary has two branches";
                    self.refuse(child, "an <elseif>".to_owned(), why);
                    return None;
                }
                _ => {
                    let act = self.act(child)?;
                    if is_else { &mut no } else { &mut yes }.push(act);
                }
            }
        }
        let act = Act::If { test, yes, no };
        if let Err(why) = write_action(&act, false) {
            self.refuse(node, "an <if>".to_owned(), &why);
            return None;
        }
        Some(act)
    }

    /// A delay's id used again hides the older one from XState; cancelling is the same in both where
    /// a state arms on entry what it cancels on exit.
    fn cancels(&mut self, read: &[Read]) {
        let sends = |acts: &[Act], id: &str| {
            let mut count = 0;
            each(acts, &mut |act| {
                count += usize::from(matches!(act, Act::Send { id: Some(i), .. } if i == id));
            });
            count
        };
        let cancelled = |acts: &[Act]| {
            let mut ids = Vec::new();
            each(acts, &mut |act| {
                if let Act::Cancel(id) = act {
                    ids.push(id.clone());
                }
            });
            ids
        };
        let mut refused = Vec::new();
        for (s, own) in read.iter().enumerate() {
            let elsewhere = own.acts.iter().flatten().chain(&own.entry);
            let elsewhere: Vec<Act> = elsewhere.cloned().collect();
            refused.extend(cancelled(&elsewhere).into_iter().map(|id| (s, id)));
            for id in cancelled(&own.exit) {
                let everywhere: usize = read
                    .iter()
                    .map(|r| {
                        let acts: usize = r.acts.iter().map(|a| sends(a, &id)).sum();
                        acts + sends(&r.entry, &id) + sends(&r.exit, &id)
                    })
                    .sum();
                if everywhere > 1 || everywhere != sends(&own.entry, &id) {
                    refused.push((s, id));
                }
            }
        }
        for (s, id) in refused {
            let node = self.nodes[s];
            let is_it = |n: &Node<'_, '_>| {
                n.tag_name().name() == "cancel" && attr(*n, "sendid").as_deref() == Some(&id)
            };
            let at = node.descendants().find(is_it).unwrap_or(node);
            self.refuse(
                at,
                format!("the <cancel> of {id:?}"),
                "where an id is in use twice, XState cancels the last, SCXML all; both cancel the \
                 same on exit of the state that sends on entry",
            );
        }
    }

    fn note_names(&mut self, read: &[Read]) {
        let mut names = BTreeSet::new();
        for (state, own) in self.model.states.iter().zip(read) {
            for acts in own.acts.iter().chain([&own.entry, &own.exit]) {
                each(acts, &mut |act| {
                    if let Act::Raise(event) | Act::Send { event, .. } = act {
                        names.insert(event.clone());
                    }
                });
            }
            if matches!(state.kind, Kind::Compound | Kind::Parallel) {
                names.insert(format!("done.state.{}", state.id));
            }
            for t in &state.transitions {
                if let Trigger::Events(list) = &t.trigger {
                    names.extend(list.iter().map(|d| stem(d).0.to_owned()));
                }
            }
        }
        self.names = names;
    }

    /// What a descriptor is called in a machine: one that matches the same of the names known.
    fn descriptor(&mut self, descriptor: &str, place: Place) -> Option<String> {
        let (stem, _) = stem(descriptor);
        if stem.is_empty() {
            return Some("*".to_owned());
        }
        let names = self.names.iter().map(String::as_str);
        let is_open = match stem.strip_prefix("done.state.") {
            Some(_) => goes_on(names, stem),
            None => has_parts(names, stem),
        };
        let name = match stem.strip_prefix("done.state") {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => Ok(format!("xstate.{stem}")),
            _ => event_name(stem),
        };
        match name {
            Ok(name) if is_open || descriptor.ends_with('*') => Some(format!("{name}.*")),
            Ok(name) => Some(name),
            Err(why) => {
                let what = format!("the event {descriptor:?}");
                self.problems.push(cannot(place, what, &why));
                None
            }
        }
    }

    /// What stands inside of a state's braces but for its id.
    fn inside(&mut self, s: StateId, read: &[Read], to: &mut Value) {
        let model = self.model;
        let state = &model.states[s as usize];
        let own = &read[s as usize];
        match state.kind {
            Kind::Parallel => to.set_field("type", Value::str("parallel")),
            Kind::Final => to.set_field("type", Value::str("final")),
            Kind::Atomic => {}
            Kind::Compound => self.initial(s, to),
            Kind::History { deep } => {
                to.set_field("type", Value::str("history"));
                to.set_field("history", Value::str(if deep { "deep" } else { "shallow" }));
                let targets = &state.initial.targets;
                to.set_field("target", self.targets(targets));
                return;
            }
        }
        for (key, acts) in [("entry", &own.entry), ("exit", &own.exit)] {
            if !acts.is_empty() {
                let list = self.actions(acts, self.nodes[s as usize]);
                to.set_field(key, list);
            }
        }
        self.transitions(s, own, to);
        let children: Vec<StateId> = self.tree.children(s).collect();
        if !children.is_empty() {
            let mut states = Value::Map(Vec::new());
            for child in children {
                let id = &model.states[child as usize].id;
                let mut inner = Value::Map(vec![("id".into(), Value::str(id))]);
                self.inside(child, read, &mut inner);
                states.set_field(id, inner);
            }
            to.set_field("states", states);
        }
    }

    fn initial(&mut self, s: StateId, to: &mut Value) {
        let State { initial, id, .. } = &self.model.states[s as usize];
        match initial.targets[..] {
            [one] if self.model.states[one as usize].parent == Some(s) => {
                to.set_field("initial", Value::str(&self.model.states[one as usize].id));
            }
            _ => {
                let what = format!("{id:?} begins in something else than one child");
                let why = "a machine's initial state is a child; let that child's own initial \
                           state lead further";
                self.refuse(self.nodes[s as usize], what, why);
            }
        }
    }

    fn targets(&self, targets: &[StateId]) -> Value {
        let text = |&t: &StateId| {
            let id = &self.model.states[t as usize].id;
            Value::str(format!("#{}", id.replace('\\', "\\\\").replace('.', "\\.")))
        };
        match targets {
            [one] => text(one),
            many => Value::List(many.iter().map(text).collect()),
        }
    }

    fn actions(&mut self, acts: &[Act], node: Node<'_, '_>) -> Value {
        let mut list = Vec::new();
        for act in acts {
            match write_action(act, false) {
                Ok(text) => list.push(Value::str(text)),
                Err(why) => self.refuse(node, "an action".to_owned(), &why),
            }
        }
        Value::List(list)
    }

    fn transitions(&mut self, s: StateId, own: &Read, to: &mut Value) {
        let state = &self.model.states[s as usize];
        let nodes: Vec<_> = named(self.nodes[s as usize], "transition").collect();
        self.order(state);
        let mut on: Vec<(Name, Vec<Value>)> = Vec::new();
        let mut always = Vec::new();
        for (nth, t) in state.transitions.iter().enumerate() {
            let mut written = Value::Map(Vec::new());
            if let Some(test) = &own.tests[nth] {
                written.set_field("guard", self.guard(test));
            }
            self.way(s, t, &mut written);
            if !own.acts[nth].is_empty() {
                let actions = self.actions(&own.acts[nth], nodes[nth]);
                written.set_field("actions", actions);
            }
            match &t.trigger {
                Trigger::Always => always.push(written),
                Trigger::Events(list) => {
                    for descriptor in list {
                        let Some(name) = self.descriptor(descriptor, t.place) else {
                            continue;
                        };
                        match on.iter_mut().find(|(known, _)| **known == *name) {
                            Some((_, known)) => known.push(written.clone()),
                            None => on.push((name.into(), vec![written.clone()])),
                        }
                    }
                }
            }
        }
        let one_or_many = |mut list: Vec<Value>| match list.len() {
            1 => list.remove(0),
            _ => Value::List(list),
        };
        if !on.is_empty() {
            let fields = on.into_iter().map(|(name, list)| (name, one_or_many(list)));
            to.set_field("on", Value::Map(fields.collect()));
        }
        if !always.is_empty() {
            to.set_field("always", one_or_many(always));
        }
    }

    /// A document asks in its own order, XState by exactness.
    fn order(&mut self, state: &State) {
        let mut seen: Vec<(String, String)> = Vec::new();
        for t in &state.transitions {
            let Trigger::Events(list) = &t.trigger else {
                continue;
            };
            for descriptor in list {
                let Some(name) = self.descriptor(descriptor, t.place) else {
                    continue;
                };
                let before = seen.iter().find(|(earlier, earlier_name)| {
                    exactness(earlier_name) > exactness(&name) && overlap(earlier, descriptor, true)
                });
                if let Some((earlier, _)) = before {
                    let what = format!(
                        "in {:?} the event {earlier:?} is looked at before {descriptor:?}",
                        state.id
                    );
                    let why = "XState looks at the more exact name first; put it first, or into a \
                               state of its own";
                    self.problems.push(cannot(t.place, what, why));
                }
                seen.push((descriptor.clone(), name));
            }
        }
    }

    fn guard(&self, test: &Test) -> Value {
        let pair = |key: &str, value: Value| Value::Map(vec![(key.into(), value)]);
        let list = |all: &[Test]| Value::List(all.iter().map(|t| self.guard(t)).collect());
        match test {
            Test::In(s) => pair("in", self.targets(&[*s])),
            Test::And(all) => pair("and", list(all)),
            Test::Or(all) => pair("or", list(all)),
            _ => match (write_atom(test), test) {
                (Some(atom), _) => Value::str(atom),
                (None, Test::Not(inner)) => pair("not", self.guard(inner)),
                (None, _) => unreachable!("only a negation has no word of its own: {test:?}"),
            },
        }
    }

    fn way(&mut self, s: StateId, t: &Transition, to: &mut Value) {
        if t.targets.is_empty() {
            return;
        }
        let domain = self.tree.domain_scxml(s, &t.targets, t.internal);
        let is_inside = |&t: &StateId| t == s || self.tree.is_below(t, s);
        let reenter = domain != Some(s) && t.targets.iter().all(is_inside);
        to.set_field("target", self.targets(&t.targets));
        if reenter {
            to.set_field("reenter", Value::Bool(true));
        }
        if self.tree.domain_xstate(s, &t.targets, reenter) != domain {
            let what = format!(
                "a transition of {:?} to {:?}",
                self.model.states[s as usize].id, self.model.states[t.targets[0] as usize].id
            );
            let why = "SCXML leaves the parallel state around it and enters it again, XState moves \
                       inside of it";
            self.problems.push(cannot(t.place, what, why));
        }
    }
}

fn exactness(descriptor: &str) -> usize {
    match stem(descriptor) {
        (_, false) => 0,
        ("", true) => usize::MAX,
        (_, true) => usize::MAX / 2 - descriptor.encode_utf16().count(),
    }
}

/// An id that no other part of a text can be taken for.
fn word(id: &str) -> Result<String, String> {
    if id.is_empty() || id.contains(|c: char| c.is_whitespace() || "@#{};|?".contains(c)) {
        return Err(format!("{id:?} is an id in one format only"));
    }
    Ok(id.to_owned())
}

/// JSON with a field a line and the order kept.
fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        for _ in 0..depth {
            out.push_str("  ");
        }
    };
    match value {
        Value::Map(fields) if !fields.is_empty() => {
            out.push('{');
            for (nth, (key, value)) in fields.iter().enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push_str(&Value::Str(key.clone()).to_json());
                out.push_str(": ");
                write(value, depth + 1, out);
            }
            indent(out, depth);
            out.push('}');
        }
        Value::List(items) => {
            out.push('[');
            for (nth, item) in items.iter().enumerate() {
                if nth > 0 {
                    out.push_str(", ");
                }
                write(item, depth, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_json()),
    }
}
