//! XState to SCXML.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::super::check::{Problem, Severity, check};
use super::super::json::{Json, JsonKind, Places};
use super::super::model::{ActionId, Guard, Kind, Model, Place, StateId, Transition, Trigger};
use super::super::value::Value;
use super::super::xml;
use super::super::xstate::Machine;
use super::differences::{Tree, has_parts, stem};
use super::words::{
    Act, Test, Variables, each, event_name, is_plain, is_variable, read_action, read_guard,
    write_assign, write_condition,
};
use super::{all, cannot};

/// Writes an XState machine as an SCXML document.
///
/// States keep their order, and their ids but for the signs that a document's ids cannot have,
/// which become `_`. A machine whose root does more than begin gets a state around all others.
///
/// O(text + transitions² inside of parallel states).
///
/// # Errors
///
/// What is wrong with the machine, or else everything that a document cannot say.
pub fn to_scxml(text: &str) -> Result<String, Vec<Problem>> {
    let machine = Machine::parse(text).map_err(|problem| vec![problem])?;
    let model = machine.model();
    let mut problems = check(&model);
    problems.retain(|p| p.severity == Severity::Error);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut writer = Writer::new(&model, machine.json(), Places::new(text));
    for (kind, name) in machine.names() {
        if kind == "action" && is_engines(&name) {
            let what = format!("the action {name:?}");
            writer.refuse(Place::default(), what, "what the engine does is called so");
        }
    }
    writer.document(machine.json());
    match writer.problems.is_empty() {
        true => Ok(writer.out),
        false => Err(all(writer.problems)),
    }
}

struct Writer<'m> {
    tree: Tree<'m>,
    model: &'m Model,
    nodes: Vec<&'m Json>,
    places: Places,
    /// By state.
    ids: Vec<String>,
    vars: Variables,
    values: Vec<Value>,
    /// By action: what it does, once it was read.
    acts: BTreeMap<ActionId, Vec<Act>>,
    /// The events that the document names, as it names them.
    names: BTreeSet<String>,
    /// By descriptor of a delayed transition: its event in the document.
    delays: BTreeMap<String, String>,
    problems: Vec<Problem>,
    out: String,
    depth: usize,
}

impl<'m> Writer<'m> {
    fn new(model: &'m Model, json: &'m Json, places: Places) -> Self {
        let mut nodes = Vec::with_capacity(model.states.len());
        gather(json, &mut nodes);
        Self {
            tree: Tree::new(model),
            model,
            nodes,
            places,
            ids: ids(model),
            vars: Variables::default(),
            values: Vec::new(),
            acts: BTreeMap::new(),
            names: BTreeSet::new(),
            delays: BTreeMap::new(),
            problems: Vec::new(),
            out: String::new(),
            depth: 0,
        }
    }

    fn refuse(&mut self, place: Place, what: String, why: &str) {
        self.problems.push(cannot(place, what, why));
    }

    fn at(&self, json: &Json) -> Place {
        self.places.at(json.place.column as usize)
    }

    fn document(&mut self, json: &'m Json) {
        self.context(json);
        self.unsaid();
        self.read();
        let model = self.model;
        let is_still = |s: StateId, t: &Transition| {
            t.targets.is_empty()
                || (t.targets == [s] && t.internal && model.states[s as usize].kind == Kind::Atomic)
        };
        self.tree.differences(&is_still, &mut self.problems);
        self.note_names();

        let root = &self.model.states[0];
        let begins_only = root.kind == Kind::Compound
            && root.entry.is_empty()
            && root.exit.is_empty()
            && root.transitions.is_empty()
            && !self.has_history(0);
        if !begins_only {
            self.whole_root();
        }
        let initial = match begins_only {
            true => root.initial.targets.first().copied().unwrap_or(0),
            false => 0,
        };
        let head = format!(
            "<scxml xmlns=\"http://www.w3.org/2005/07/scxml\" version=\"1.0\" \
             datamodel=\"ecmascript\" name=\"{}\" initial=\"{}\">",
            xml::escaped(&model.name),
            self.ids[initial as usize]
        );
        self.open(&head);
        if !self.vars.names.is_empty() {
            self.open("<datamodel>");
            for nth in 0..self.vars.names.len() {
                let name = &self.vars.names[nth];
                let value = xml::escaped(&self.values[nth].to_json());
                self.line(&format!("<data id=\"{name}\" expr=\"{value}\"/>"));
            }
            self.close("datamodel");
        }
        if begins_only {
            for child in self.tree.children(0).collect::<Vec<_>>() {
                self.state(child);
            }
        } else {
            self.state(0);
        }
        self.close("scxml");
    }

    fn has_history(&self, s: StateId) -> bool {
        let mut children = self.tree.children(s);
        children.any(|c| matches!(self.tree.state(c).kind, Kind::History { .. }))
    }

    /// A root that is a state of its own: what a machine's root does and a state's does not.
    fn whole_root(&mut self) {
        let root = &self.model.states[0];
        let is_final = |&c: &StateId| self.model.states[c as usize].kind == Kind::Final;
        let end = match root.kind {
            Kind::Parallel => self
                .tree
                .children(0)
                .find_map(|c| self.tree.children(c).find(is_final)),
            _ => self.tree.children(0).find(is_final),
        };
        if let Some(end) = end {
            let what = format!(
                "the machine ends with {:?}, and its root does something itself",
                self.model.states[end as usize].id
            );
            let place = self.model.states[end as usize].place;
            self.refuse(
                place,
                what,
                "the root of a document has no actions and transitions; move them into a state \
                 around the others",
            );
        }
    }

    fn context(&mut self, json: &Json) {
        let Some(context) = json.get("context") else {
            self.vars.are_numbers = true;
            return;
        };
        if !matches!(context.kind, JsonKind::Map(_)) {
            let place = self.at(context);
            self.refuse(
                place,
                "the context is no object".to_owned(),
                "a document has variables with names",
            );
            return;
        }
        for (name, value) in context.fields() {
            let (place, value) = (self.at(value), value.to_value());
            if !is_variable(name) {
                let what = format!("the context's field {name:?} is no variable's name");
                self.refuse(
                    place,
                    what,
                    "a document's variables are letters, digits and _",
                );
            } else if !is_plain(&value) {
                let what = format!("the context's field {name:?} is {}", value.to_json());
                self.refuse(
                    place,
                    what,
                    "numbers, truths, null and texts without quotes are written the same in both",
                );
            }
            self.vars.names.push(name.clone());
            self.values.push(value);
        }
        self.vars.are_numbers = self.values.iter().all(|v| matches!(v, Value::Num(_)))
            && !self.model.actions.iter().any(|a| sets_no_number(a));
    }

    /// Fields of states that a document has nothing for.
    fn unsaid(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        for (s, node) in nodes.iter().enumerate() {
            let id = &self.model.states[s].id;
            for (key, why) in [
                ("tags", "states of a document have no tags"),
                ("meta", "states of a document hold no data about themselves"),
                (
                    "output",
                    "an output depends on what reads it; documents have donedata",
                ),
                (
                    "invoke",
                    "a document invokes documents, a machine the actors of its host",
                ),
                ("route", "a document has no events for single states"),
            ] {
                if let Some(field) = node.get(key) {
                    let what = format!("{id:?} has {key:?}");
                    let place = self.at(field);
                    self.refuse(place, what, why);
                }
            }
        }
        self.nodes = nodes;
    }

    /// Reads every action that stands somewhere; each mention is an action of its own.
    fn read(&mut self) {
        let model = self.model;
        for state in &model.states {
            let (id, place) = (&state.id, state.place);
            for &action in &state.entry {
                self.action(action, place, &format!("on entry of {id:?}"));
            }
            for &action in &state.exit {
                self.action(action, place, &format!("on exit of {id:?}"));
            }
            for t in &state.transitions {
                for &action in &t.actions {
                    self.action(action, t.place, &format!("of a transition of {id:?}"));
                }
            }
        }
        for state in &model.states {
            for action in state.transitions.iter().flat_map(|t| &t.actions) {
                self.cancels(*action, state.place, None);
            }
            for &action in &state.entry {
                self.cancels(action, state.place, None);
            }
            for &action in &state.exit {
                self.cancels(action, state.place, Some(&state.entry));
            }
        }
    }

    fn action(&mut self, action: ActionId, place: Place, whose: &str) {
        let name = &self.model.actions[action as usize];
        if is_engines(name) {
            return;
        }
        match read_action(name, &self.vars) {
            Ok(acts) => {
                self.acts.insert(action, acts);
            }
            Err(why) => {
                let what = format!("the action {name:?} {whose}");
                self.refuse(place, what, &why);
            }
        }
    }

    /// A delay's id used again hides the older one from XState; cancelling is the same in both where
    /// a state arms on entry what it cancels on exit.
    fn cancels(&mut self, action: ActionId, place: Place, entry: Option<&[ActionId]>) {
        let mut cancelled = Vec::new();
        each(
            self.acts.get(&action).map_or(&[][..], Vec::as_slice),
            &mut |act| {
                if let Act::Cancel(id) = act {
                    cancelled.push(id.clone());
                }
            },
        );
        for id in cancelled {
            let mut armed = 0;
            let mut here = 0;
            for (number, acts) in &self.acts {
                each(acts, &mut |act| {
                    if matches!(act, Act::Send { id: Some(sent), .. } if *sent == id) {
                        armed += 1;
                        here += usize::from(entry.is_some_and(|e| e.contains(number)));
                    }
                });
            }
            if armed != here || armed > 1 {
                self.refuse(
                    place,
                    format!("the action \"cancel:{id}\""),
                    "where an id is in use twice, XState cancels the last, SCXML all; both cancel \
                     the same on exit of the state that sends on entry",
                );
            }
        }
    }

    fn note_names(&mut self) {
        let model = self.model;
        let mut names = BTreeSet::new();
        for acts in self.acts.values() {
            each(acts, &mut |act| match act {
                Act::Raise(event) | Act::Send { event, .. } => {
                    names.insert(event.clone());
                }
                _ => {}
            });
        }
        for (s, state) in model.states.iter().enumerate() {
            if matches!(state.kind, Kind::Compound | Kind::Parallel) {
                names.insert(format!("done.state.{}", self.ids[s]));
            }
            for t in &state.transitions {
                let Trigger::Events(list) = &t.trigger else {
                    continue;
                };
                for descriptor in list {
                    if let Some(name) = self.descriptor(descriptor, &state.id, t.place) {
                        let (stem, _) = stem(&name);
                        names.insert(stem.to_owned());
                    }
                }
            }
        }
        self.names = names;
    }

    /// What a descriptor is called in the document.
    fn descriptor(&mut self, descriptor: &str, id: &str, place: Place) -> Option<String> {
        if let Some(rest) = descriptor.strip_prefix("xstate.after.") {
            if let Some(known) = self.delays.get(descriptor) {
                return Some(known.clone());
            }
            // `DELAY.ID`, the delay in milliseconds or a name.
            let ms = rest.strip_suffix(id).and_then(|r| r.strip_suffix('.'));
            if ms.is_some_and(|ms| ms.parse::<u64>().is_ok_and(|ms| ms > 0)) {
                let name = format!("after.{}", self.delays.len() + 1);
                self.delays.insert(descriptor.to_owned(), name.clone());
                return Some(name);
            }
            self.refuse(
                place,
                format!("the delay of {descriptor:?}"),
                "a document's delays are whole milliseconds from 1 up, and none is named",
            );
            return None;
        }
        if let Some(id) = descriptor.strip_prefix("xstate.done.state.")
            && let Some(s) = self.model.find(id)
        {
            return Some(format!("done.state.{}", self.ids[s as usize]));
        }
        let (stem, is_open) = stem(descriptor);
        let is_after = stem == "after" || stem.starts_with("after.");
        let name = if stem.is_empty() {
            Ok(String::new())
        } else if is_after {
            Err("\"after\" begins the names of delays in the document".to_owned())
        } else {
            event_name(stem)
        };
        match name {
            Ok(name) => Some(match (is_open, name.is_empty()) {
                (true, true) => "*".to_owned(),
                (true, false) => format!("{name}.*"),
                (false, _) => name,
            }),
            Err(why) => {
                self.refuse(place, format!("the event {descriptor:?}"), &why);
                None
            }
        }
    }

    fn guard(&mut self, guard: &Guard, place: Place) -> Test {
        match guard {
            Guard::Host(nth) => {
                let name = &self.model.guards[*nth as usize];
                read_guard(name, &self.vars).unwrap_or_else(|why| {
                    self.refuse(place, format!("the guard {name:?}"), &why);
                    Test::Always(true)
                })
            }
            Guard::In(s) => Test::In(*s),
            Guard::And(list) => Test::And(list.iter().map(|g| self.guard(g, place)).collect()),
            Guard::Or(list) => Test::Or(list.iter().map(|g| self.guard(g, place)).collect()),
            Guard::Not(inner) => Test::Not(Box::new(self.guard(inner, place))),
        }
    }

    fn state(&mut self, s: StateId) {
        let model = self.model;
        let state = &model.states[s as usize];
        let id = self.ids[s as usize].clone();
        if let Some(text) = &state.description {
            let text = text.replace("--", "- -");
            let text = text
                .strip_suffix('-')
                .map_or(text.clone(), |t| format!("{t} "));
            self.line(&format!("<!-- {text} -->"));
        }
        let tag = match state.kind {
            Kind::Atomic | Kind::Compound => "state",
            Kind::Parallel => "parallel",
            Kind::Final => "final",
            Kind::History { deep } => {
                self.history(s, &id, deep);
                return;
            }
        };
        let initial = match (state.kind, state.initial.targets.first()) {
            (Kind::Compound, Some(&first)) => {
                format!(" initial=\"{}\"", self.ids[first as usize])
            }
            _ => String::new(),
        };
        self.open(&format!("<{tag} id=\"{id}\"{initial}>"));
        self.block("onentry", &state.entry, s);
        self.block("onexit", &state.exit, s);
        // XState asks by exactness, a document in its own order.
        let mut transitions: Vec<&Transition> = state.transitions.iter().collect();
        transitions.sort_by_key(|t| match &t.trigger {
            Trigger::Always => 0,
            Trigger::Events(list) => exactness(&list[0]),
        });
        if state.kind != Kind::Final {
            for t in transitions {
                self.transition(s, t);
            }
        }
        for child in self.tree.children(s).collect::<Vec<_>>() {
            self.state(child);
        }
        self.close(tag);
    }

    fn history(&mut self, s: StateId, id: &str, deep: bool) {
        let state = &self.model.states[s as usize];
        let parent = &self.model.states[state.parent.unwrap_or(0) as usize];
        let targets = match state.initial.targets.is_empty() {
            false => state.initial.targets.clone(),
            true => parent.initial.targets.clone(),
        };
        if targets.is_empty() {
            let what = format!(
                "the history {:?} of a parallel state has no default",
                state.id
            );
            self.refuse(
                state.place,
                what,
                "a document needs one; name a target in each region",
            );
        }
        let ids: Vec<&str> = targets
            .iter()
            .map(|&t| self.ids[t as usize].as_str())
            .collect();
        let ids = ids.join(" ");
        let depth = if deep { "deep" } else { "shallow" };
        self.open(&format!("<history id=\"{id}\" type=\"{depth}\">"));
        self.line(&format!("<transition target=\"{ids}\"/>"));
        self.close("history");
    }

    fn block(&mut self, tag: &str, actions: &[ActionId], s: StateId) {
        if actions.is_empty() {
            return;
        }
        self.open(&format!("<{tag}>"));
        for &action in actions {
            let name = &self.model.actions[action as usize];
            let id = &self.model.states[s as usize].id;
            if is_engines(name) {
                let delay = name
                    .trim_start_matches("cancel ")
                    .trim_start_matches("after ");
                let event = self.delays.get(&format!("xstate.after.{delay}.{id}"));
                let Some(event) = event.cloned() else {
                    continue; // refused, or no transition waits for it
                };
                if name.starts_with("cancel") {
                    self.line(&format!("<cancel sendid=\"{event}\"/>"));
                } else {
                    self.line(&format!(
                        "<send event=\"{event}\" id=\"{event}\" delay=\"{delay}ms\"/>"
                    ));
                }
                continue;
            }
            let acts = self.acts.get(&action).cloned().unwrap_or_default();
            self.acts(&acts);
        }
        self.close(tag);
    }

    fn acts(&mut self, acts: &[Act]) {
        for act in acts {
            if let Some((name, expr)) = write_assign(act) {
                let line = format!(
                    "<assign location=\"{name}\" expr=\"{}\"/>",
                    xml::escaped(&expr)
                );
                self.line(&line);
                continue;
            }
            match act {
                Act::Log(text) => self.line(&format!("<log label=\"{}\"/>", xml::escaped(text))),
                Act::Show(name) => {
                    self.line(&format!("<log label=\"{name}\" expr=\"{name}\"/>"));
                }
                Act::Raise(event) => {
                    self.line(&format!("<raise event=\"{}\"/>", xml::escaped(event)))
                }
                Act::Send {
                    event,
                    delay_ms,
                    id,
                } => {
                    let mut line = format!("<send event=\"{}\"", xml::escaped(event));
                    if let Some(id) = id {
                        let _ = write!(line, " id=\"{}\"", xml::escaped(id));
                    }
                    if let Some(ms) = delay_ms {
                        let _ = write!(line, " delay=\"{ms}ms\"");
                    }
                    self.line(&(line + "/>"));
                }
                Act::Cancel(id) => self.line(&format!("<cancel sendid=\"{}\"/>", xml::escaped(id))),
                Act::If { test, yes, no } => {
                    let cond = self.condition(test);
                    self.open(&format!("<if cond=\"{cond}\">"));
                    self.acts(yes);
                    if !no.is_empty() {
                        self.line("<else/>");
                        self.acts(no);
                    }
                    self.close("if");
                }
                _ => {}
            }
        }
    }

    fn condition(&self, test: &Test) -> String {
        xml::escaped(&write_condition(test, &|s| self.ids[s as usize].clone()))
    }

    fn transition(&mut self, s: StateId, t: &Transition) {
        let mut line = "<transition".to_owned();
        let mut tests = Vec::new();
        if let Trigger::Events(list) = &t.trigger {
            // A machine's transition has one descriptor.
            let Some(name) = self.descriptor(&list[0], &self.model.states[s as usize].id, t.place)
            else {
                return;
            };
            let _ = write!(line, " event=\"{}\"", xml::escaped(&name));
            let (_, is_open) = stem(&name);
            let is_own = name.starts_with("done.state.") || name.starts_with("after.");
            if !is_open && !is_own && has_parts(self.names.iter().map(String::as_str), &name) {
                tests.push(format!("_event.name === '{name}'"));
            }
        }
        if let Some(guard) = &t.guard {
            let test = self.guard(guard, t.place);
            let text = write_condition(&test, &|s| self.ids[s as usize].clone());
            tests.push(match (tests.is_empty(), &test) {
                (false, Test::And(_) | Test::Or(_)) => format!("({text})"),
                _ => text,
            });
        }
        if !tests.is_empty() {
            let _ = write!(line, " cond=\"{}\"", xml::escaped(&tests.join(" && ")));
        }
        if let Some((targets, internal)) = self.way(s, t) {
            let ids: Vec<&str> = targets
                .iter()
                .map(|&t| self.ids[t as usize].as_str())
                .collect();
            let _ = write!(line, " target=\"{}\"", ids.join(" "));
            if internal {
                line.push_str(" type=\"internal\"");
            }
        }
        let mut acts = Vec::new();
        for action in &t.actions {
            acts.extend(self.acts.get(action).cloned().unwrap_or_default());
        }
        if acts.is_empty() {
            self.line(&(line + "/>"));
            return;
        }
        self.open(&(line + ">"));
        self.acts(&acts);
        self.close("transition");
    }

    /// A transition's targets in a document, and whether it is internal there; `None` where it leaves
    /// and enters nothing.
    fn way(&mut self, s: StateId, t: &Transition) -> Option<(Vec<StateId>, bool)> {
        if t.targets.is_empty() {
            return None;
        }
        let state = &self.model.states[s as usize];
        let domain = self.tree.domain_xstate(s, &t.targets, !t.internal);
        let mut targets = t.targets.clone();
        if domain == Some(s) && targets == [s] {
            match state.kind {
                Kind::Compound => targets = state.initial.targets.clone(),
                Kind::Parallel => {}
                _ => return None,
            }
        }
        let internal = domain == Some(s);
        if self.tree.domain_scxml(s, &targets, internal) == domain && domain.is_some() {
            return Some((targets, internal));
        }
        let what = format!(
            "a transition of {:?} to {:?}",
            state.id, self.model.states[t.targets[0] as usize].id
        );
        let why = match domain {
            None => "the root of a document cannot be entered again",
            Some(_) => {
                "XState moves inside of a parallel state or of its own source, SCXML leaves it and \
                 enters it again"
            }
        };
        self.refuse(t.place, what, why);
        None
    }

    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn open(&mut self, text: &str) {
        self.line(text);
        self.depth += 1;
    }

    fn close(&mut self, tag: &str) {
        self.depth -= 1;
        self.line(&format!("</{tag}>"));
    }
}

/// The engine's own actions, that arm and cancel delays, start and stop actors.
fn is_engines(name: &str) -> bool {
    let own = ["after ", "cancel after ", "invoke ", "stop "];
    own.iter().any(|prefix| name.starts_with(prefix))
}

fn sets_no_number(action: &str) -> bool {
    action.contains("set:")
        && action.split([';', '|', '?']).any(|part| {
            let value = part.strip_prefix("set:").and_then(|p| p.split_once('='));
            value.is_some_and(|(_, v)| v.parse::<f64>().is_err())
        })
}

/// The machine's states in the model's order.
fn gather<'j>(json: &'j Json, nodes: &mut Vec<&'j Json>) {
    nodes.push(json);
    for (_, child) in json.get("states").map_or(&[][..], Json::fields) {
        if matches!(child.kind, JsonKind::Map(_)) {
            gather(child, nodes);
        }
    }
}

/// Ids for a document: letters, digits, `_` and `-`, none twice.
fn ids(model: &Model) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut ids = Vec::with_capacity(model.states.len());
    for state in &model.states {
        let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let mut id: String = state
            .id
            .chars()
            .map(|c| if fits(c) { c } else { '_' })
            .collect();
        if !id.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            id.insert(0, '_');
        }
        let mut unique = id.clone();
        let mut nth = 1;
        while !taken.insert(unique.clone()) {
            nth += 1;
            unique = format!("{id}-{nth}");
        }
        ids.push(unique);
    }
    ids
}

fn exactness(descriptor: &str) -> usize {
    match stem(descriptor) {
        (_, false) => 0,
        ("", true) => usize::MAX,
        (_, true) => usize::MAX / 2 - descriptor.encode_utf16().count(),
    }
}
