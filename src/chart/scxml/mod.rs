//! The SCXML front end: a W3C SCXML 1.0 document to a chart.
//!
//! Expressions and scripts are in a [small language](expr) that is compiled ahead; the `null` data
//! model is its part that asks `In()`. A block of executable content becomes one action, so that a
//! failure inside of it ends that block alone.

pub mod conf;
pub mod expr;
pub mod session;
mod unread;

use std::sync::Arc;

use hashbrown::HashMap;
use roxmltree::{Document as Xml, Node};

use self::expr::{Env, Expr, Location, Names, compile_late, truth};
use super::check::{Problem, Severity, near};
use super::json::Places;
use super::loaded::{ActionFn, Loaded, LoadedChart, OutputFn, error_event};
use super::model::{
    ActionId, Guard, Initial, Kind, Model, Place, Rules, State, StateId, Transition, Trigger,
};
use super::run::{Chart, Scope};
use super::slots::{Slots, Symbols};
use super::value::{Effect, Event, Fault, FaultKind, Name, Origin, Start, Target, Value};

/// The name of SCXML's own event I/O processor.
pub const PROCESSOR: &str = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor";

type Act = ActionFn<Slots>;

/// A compiled document.
#[derive(Debug)]
pub struct Document {
    /// The chart.
    pub chart: LoadedChart<Slots>,
    /// What it was lowered from.
    pub model: Model,
    /// The variables' names, by place.
    pub names: Vec<Name>,
    /// The documents written inside of `<invoke>`s; one that is wrong fails when it is invoked.
    pub embedded: Vec<Result<Arc<Document>, Vec<Problem>>>,
    /// The variables of the document itself, which an invocation may set.
    pub top_level: Vec<(Name, usize)>,
}

/// Reads a document's structure alone: for checking and drawing.
///
/// # Errors
///
/// What is not XML.
pub fn model(text: &str) -> Result<Model, Problem> {
    let xml = parse(text)?;
    let mut reader = Reader::new(text, &|_| None);
    reader.document(xml.root_element());
    reader.unread(xml.root_element());
    Ok(reader.model)
}

/// Compiles a document; data in other files counts as missing.
///
/// # Errors
///
/// Everything that is wrong with its structure.
pub fn compile(text: &str) -> Result<Document, Vec<Problem>> {
    compile_with(text, &|_| None)
}

/// Compiles a document; `files` finds what its `<data src>` name.
///
/// # Errors
///
/// Everything that is wrong with its structure.
pub fn compile_with(
    text: &str,
    files: &dyn Fn(&str) -> Option<String>,
) -> Result<Document, Vec<Problem>> {
    let xml = parse(text).map_err(|p| vec![p])?;
    compile_node(xml.root_element(), files, 0)
}

pub(super) fn parse(text: &str) -> Result<Xml<'_>, Problem> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    Xml::parse_with_options(text, options).map_err(|error| Problem {
        place: Place {
            line: error.pos().row,
            column: error.pos().col,
        },
        severity: Severity::Error,
        kind: "xml",
        what: error.to_string(),
        instead: "a document is well-formed XML with the root element scxml".to_owned(),
    })
}

/// Documents nest in documents at most this deep.
const EMBEDDED_MAX: u32 = 16;
/// So do elements of executable content.
const BLOCKS_MAX: u32 = 100;

fn compile_node(
    root: Node<'_, '_>,
    files: &dyn Fn(&str) -> Option<String>,
    depth: u32,
) -> Result<Document, Vec<Problem>> {
    let mut reader = Reader::new(root.document().input_text(), files);
    reader.depth = depth;
    reader.document(root);
    let errors: Vec<Problem> = super::check::check(&reader.model)
        .into_iter()
        .filter(|p| p.severity == Severity::Error)
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let Reader {
        model,
        actions,
        guards,
        outputs,
        begin,
        symbols,
        embedded,
        top_level,
        ..
    } = reader;
    let mut logic = Loaded::new(&model);
    logic.actions = actions;
    logic.guards = guards
        .into_iter()
        .map(|guard| -> super::loaded::GuardFn<Slots> {
            Box::new(move |ask| Ok(truth(&guard(&Env::of_ask(ask))?)))
        })
        .collect();
    logic.outputs = outputs.into_iter().collect();
    logic.begin = Some(Box::new(move |scope| {
        for act in &begin {
            if let Err(fault) = act(scope) {
                scope.raise(error_event(fault));
            }
        }
        Ok(())
    }));
    let table = super::lower::lower(&model);
    Ok(Document {
        chart: Chart::new(table, logic),
        model,
        names: symbols.names(),
        embedded,
        top_level,
    })
}

struct Reader<'f> {
    files: &'f dyn Fn(&str) -> Option<String>,
    places: Places,
    model: Model,
    symbols: Symbols,
    states: HashMap<String, StateId>,
    actions: Vec<Act>,
    guards: Vec<Expr>,
    outputs: Vec<(StateId, OutputFn<Slots>)>,
    begin: Vec<Act>,
    embedded: Vec<Result<Arc<Document>, Vec<Problem>>>,
    top_level: Vec<(Name, usize)>,
    late_binding: bool,
    unnamed: u32,
    depth: u32,
    /// How many elements of executable content are around the one being read.
    blocks: u32,
}

/// An attribute's text, or what a neutral test attribute stands for.
pub(super) fn attr<'a>(node: Node<'a, '_>, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    let plain = node
        .attributes()
        .find(|a| a.namespace().is_none() && a.name() == name);
    match plain {
        Some(plain) => Some(plain.value().into()),
        None => conf::attribute(node, name).map(Into::into),
    }
}

pub(super) fn elements<'a, 'i: 'a>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

pub(super) fn named<'a, 'i: 'a>(
    node: Node<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    elements(node).filter(move |n| n.tag_name().name() == name)
}

fn text_of(node: Node<'_, '_>) -> String {
    node.children()
        .filter_map(|c| c.text().filter(|_| c.is_text()))
        .collect()
}

/// What a block of executable content does, in a few words: for drawings.
fn block_label(node: Node<'_, '_>) -> String {
    let words = elements(node).map(|n| {
        let tag = n.tag_name().name();
        let names = [
            "event", "location", "label", "sendid", "expr", "cond", "array",
        ];
        match names.into_iter().find_map(|name| attr(n, name)) {
            Some(what) => format!("{tag} {what}"),
            None => tag.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

impl<'f> Reader<'f> {
    fn new(text: &str, files: &'f dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            files,
            places: Places::new(text),
            model: Model::new("", Rules::SCXML),
            symbols: Symbols::default(),
            states: HashMap::new(),
            actions: Vec::new(),
            guards: Vec::new(),
            outputs: Vec::new(),
            begin: Vec::new(),
            embedded: Vec::new(),
            top_level: Vec::new(),
            late_binding: false,
            unnamed: 0,
            depth: 0,
            blocks: 0,
        }
    }

    fn place(&self, node: Node<'_, '_>) -> Place {
        self.places.at(node.range().start)
    }

    fn problem(&mut self, at: Node<'_, '_>, kind: &'static str, what: String, instead: &str) {
        let place = self.place(at);
        self.model.problems.push(Problem {
            place,
            severity: Severity::Error,
            kind,
            what,
            instead: instead.to_owned(),
        });
    }

    fn document(&mut self, root: Node<'_, '_>) {
        if root.tag_name().name() != "scxml" {
            let what = format!("the root element is {:?}", root.tag_name().name());
            self.problem(root, "root", what, "it must be \"scxml\"");
        }
        self.model.name = attr(root, "name").unwrap_or_default().into_owned();
        self.late_binding = attr(root, "binding").as_deref() == Some("late");
        let mut nodes = Vec::new();
        let mut top = State::new("", None, Kind::Compound);
        top.place = self.place(root);
        self.model.push(top);
        nodes.push(root);
        self.add_children(root, 0, &mut nodes, 0);
        // Content that asks In() while states change needs the configuration live.
        let mut asked = root.descendants().filter(|n| {
            n.is_element() && !matches!(n.tag_name().name(), "transition" | "scxml" | "state")
        });
        self.model.rules.live_configuration = asked.any(|n| {
            n.attributes().any(|a| a.value().contains("In("))
                || conf::asks_configuration(n)
                || (n.tag_name().name() == "script" && text_of(n).contains("In("))
        });
        self.note_raised(root);
        let late = self.late_binding;
        for (s, &node) in nodes.iter().enumerate() {
            let data: Vec<_> = named(node, "datamodel")
                .flat_map(|d| named(d, "data").collect::<Vec<_>>())
                .collect();
            for data in data {
                self.data(s as StateId, data, late && s > 0);
            }
        }
        for script in named(root, "script") {
            let act = self.executable(script);
            self.begin.push(act);
        }
        for (s, &node) in nodes.iter().enumerate() {
            self.fill(s as StateId, node);
        }
    }

    /// Notes what the document raises, or sends to itself; embedded documents have their own.
    ///
    /// By a list, not by recursion: nothing has bounded the depth yet.
    fn note_raised(&mut self, root: Node<'_, '_>) {
        let mut ahead: Vec<_> = elements(root).collect();
        ahead.reverse();
        while let Some(node) = ahead.pop() {
            let plain = |name: &str| attr(node, name).is_none();
            let own = match node.tag_name().name() {
                "raise" => true,
                "send" => {
                    let names = ["target", "targetexpr", "type", "typeexpr"];
                    names.into_iter().all(plain)
                }
                "invoke" => continue,
                _ => false,
            };
            if own && let Some(event) = attr(node, "event") {
                let place = self.place(node);
                self.model.raised.push((event.into_owned(), place));
            }
            let inside = ahead.len();
            ahead.extend(elements(node));
            ahead[inside..].reverse();
        }
    }

    fn add_children<'a, 'i>(
        &mut self,
        node: Node<'a, 'i>,
        parent: StateId,
        nodes: &mut Vec<Node<'a, 'i>>,
        depth: u32,
    ) {
        for child in elements(node) {
            let tag = child.tag_name().name();
            let has_states = elements(child).any(|n| {
                matches!(
                    n.tag_name().name(),
                    "state" | "parallel" | "final" | "pass" | "fail"
                )
            });
            let kind = match tag {
                "state" if has_states => Kind::Compound,
                "state" => Kind::Atomic,
                "parallel" => Kind::Parallel,
                "final" | "pass" | "fail" => Kind::Final,
                "history" => Kind::History {
                    deep: attr(child, "type").as_deref() == Some("deep"),
                },
                _ => continue,
            };
            let id = match attr(child, "id") {
                Some(id) => id.into_owned(),
                None if matches!(tag, "pass" | "fail") => tag.to_owned(),
                None => {
                    self.unnamed += 1;
                    format!("#{}", self.unnamed)
                }
            };
            let mut state = State::new(id.clone(), Some(parent), kind);
            state.place = self.place(child);
            let s = self.model.push(state);
            if self.states.insert(id.clone(), s).is_some() {
                let what = format!("the state id {id:?} is used twice");
                self.problem(child, "id", what, "give each state its own id");
            }
            nodes.push(child);
            if depth < super::check::DEPTH_MAX {
                self.add_children(child, s, nodes, depth + 1);
            }
        }
    }

    fn with_names<R>(&self, f: impl FnOnce(&Names<'_>) -> R) -> R {
        f(&Names {
            symbols: &self.symbols,
            states: &self.states,
            document: &self.model.name,
        })
    }

    fn expr(&self, text: &str) -> Expr {
        self.with_names(|names| compile_late(text, names))
    }

    fn location(&self, text: &str) -> Result<Location, String> {
        self.with_names(|names| Location::compile(text, names))
    }

    fn add(&mut self, label: &str, act: Act) -> ActionId {
        self.actions.push(act);
        self.model.actions.push(label.to_owned());
        (self.actions.len() - 1) as ActionId
    }

    fn targets(&mut self, node: Node<'_, '_>, text: &str) -> Vec<StateId> {
        let mut targets = Vec::new();
        for id in text.split_whitespace() {
            match self.states.get(id) {
                Some(&s) if !targets.contains(&s) => targets.push(s),
                Some(_) => {}
                None => {
                    let instead = match near(self.states.keys().map(String::as_str), id) {
                        Some(name) => format!("did you mean {name:?}?"),
                        None => "write the id of a state".to_owned(),
                    };
                    let what = format!("no state has the id {id:?}");
                    self.problem(node, "target", what, &instead);
                }
            }
        }
        targets
    }

    /// Declares a variable, and gives it its value now or on first entry of its state.
    fn data(&mut self, s: StateId, node: Node<'_, '_>, late: bool) {
        let Some(id) = attr(node, "id") else {
            let what = "a data element without id".to_owned();
            self.problem(node, "data", what, "give it one");
            return;
        };
        let place = self.symbols.place(&id);
        if s == 0 {
            self.top_level.push((Name::from(&*id), place));
        }
        let value = self.value_of(node);
        let set = move |scope: &mut Scope<'_, Loaded<Slots>>| -> Result<(), Fault> {
            let value = value(&Env::of_scope(scope));
            let given = s == 0 && scope.context.get(place).is_some_and(|v| !v.is_undefined());
            if given {
                return Ok(()); // by the invocation
            }
            match value {
                Ok(value) => {
                    scope.context.set(place, value);
                    Ok(())
                }
                Err(fault) => {
                    scope.context.set(place, Value::Undefined);
                    Err(fault)
                }
            }
        };
        if !late {
            self.begin.push(Box::new(set));
            return;
        }
        self.begin.push(Box::new(move |scope| {
            scope.context.set(place, Value::Undefined);
            Ok(())
        }));
        // Its own variable says whether the state was entered before.
        let entered = self.symbols.place(&format!(" bound {s} {id}"));
        let action = self.add(
            "data",
            Box::new(move |scope| {
                if scope.context.get(entered).is_some() {
                    return Ok(());
                }
                scope.context.set(entered, Value::Bool(true));
                set(scope)
            }),
        );
        self.model.states[s as usize].entry.insert(0, action);
    }

    /// The value that an element gives by `expr` or by its content.
    fn value_of(&self, node: Node<'_, '_>) -> Expr {
        if let Some(expr) = attr(node, "expr") {
            return self.expr(&expr);
        }
        let text = match attr(node, "src") {
            None => text_of(node),
            Some(address) => match (self.files)(&address) {
                Some(text) => text,
                None => {
                    let why = format!("no data at {address:?}");
                    return Box::new(move |_| Err(Fault::execution(&why)));
                }
            },
        };
        let text = text.trim();
        if let Some(text) = elements(node).find_map(conf::value) {
            return self.expr(text);
        }
        if elements(node).next().is_some() {
            let range = elements(node).next().map_or(0..0, |n| n.range());
            let xml = Value::str(&node.document().input_text()[range]);
            return Box::new(move |_| Ok(xml.clone()));
        }
        if text.is_empty() {
            return Box::new(|_| Ok(Value::Undefined));
        }
        match self.with_names(|names| expr::compile(text, names)) {
            Ok(expr) if text.starts_with(['[', '{', '"', '\'']) || text.parse::<f64>().is_ok() => {
                expr
            }
            _ => {
                let words: Vec<&str> = text.split_whitespace().collect();
                let value = Value::str(words.join(" "));
                Box::new(move |_| Ok(value.clone()))
            }
        }
    }

    fn fill(&mut self, s: StateId, node: Node<'_, '_>) {
        let kind = self.model.states[s as usize].kind;
        let mut transitions = Vec::new();
        match kind {
            Kind::History { .. } => {
                let initial = self.initial_of(node);
                self.model.states[s as usize].initial = initial;
                return;
            }
            Kind::Compound => {
                let initial = self.initial(s, node);
                self.model.states[s as usize].initial = initial;
            }
            _ => {}
        }
        for child in elements(node) {
            match child.tag_name().name() {
                "onentry" => {
                    let act = self.content(child);
                    let id = self.add(&block_label(child), act);
                    self.model.states[s as usize].entry.push(id);
                }
                "onexit" => {
                    let act = self.content(child);
                    let id = self.add(&block_label(child), act);
                    self.model.states[s as usize].exit.push(id);
                }
                "transition" => {
                    let transition = self.transition(child);
                    transitions.push(transition);
                }
                "donedata" => {
                    let output = self.message_data(child);
                    self.outputs
                        .push((s, Box::new(move |scope, _| output(&Env::of_scope(scope)))));
                }
                _ => {}
            }
        }
        self.model.states[s as usize].transitions = transitions;
        for (nth, invoke) in named(node, "invoke").enumerate() {
            self.invoke(s, nth, invoke);
        }
    }

    fn initial(&mut self, s: StateId, node: Node<'_, '_>) -> Initial {
        if let Some(text) = attr(node, "initial") {
            let targets = self.targets(node, &text);
            return Initial {
                targets,
                actions: Vec::new(),
            };
        }
        if let Some(initial) = named(node, "initial").next() {
            return self.initial_of(initial);
        }
        let states = &self.model.states;
        let first = (s as usize + 1..states.len()).find(|&c| {
            states[c].parent == Some(s) && !matches!(states[c].kind, Kind::History { .. })
        });
        Initial {
            targets: first.map(|c| c as StateId).into_iter().collect(),
            actions: Vec::new(),
        }
    }

    fn initial_of(&mut self, node: Node<'_, '_>) -> Initial {
        let Some(transition) = named(node, "transition").next() else {
            return Initial::default();
        };
        let text = attr(transition, "target").unwrap_or_default().into_owned();
        let targets = self.targets(transition, &text);
        let mut actions = Vec::new();
        if elements(transition).next().is_some() {
            let act = self.content(transition);
            actions.push(self.add("initial", act));
        }
        Initial { targets, actions }
    }

    fn transition(&mut self, node: Node<'_, '_>) -> Transition {
        let trigger = match attr(node, "event") {
            Some(events) => Trigger::Events(events.split_whitespace().map(str::to_owned).collect()),
            None => Trigger::Always,
        };
        let guard = attr(node, "cond").map(|cond| {
            let guard = self.expr(&cond);
            self.guards.push(guard);
            self.model.guards.push(cond.into_owned());
            Guard::Host((self.guards.len() - 1) as u32)
        });
        let targets = match attr(node, "target") {
            Some(text) => self.targets(node, &text),
            None => Vec::new(),
        };
        let mut actions = Vec::new();
        if elements(node).next().is_some() {
            let act = self.content(node);
            actions.push(self.add(&block_label(node), act));
        }
        Transition {
            trigger,
            guard,
            targets,
            internal: attr(node, "type").as_deref() == Some("internal"),
            actions,
            place: self.place(node),
        }
    }

    /// A block of executable content as one action.
    fn content(&mut self, node: Node<'_, '_>) -> Act {
        if node.tag_name().name() == "script" {
            return self.executable(node);
        }
        let acts: Vec<Act> = elements(node)
            .filter(|n| !matches!(n.tag_name().name(), "else" | "elseif"))
            .map(|n| self.executable(n))
            .collect();
        Box::new(move |scope| acts.iter().try_for_each(|act| act(scope)))
    }

    fn failing(what: String) -> Act {
        Box::new(move |_| Err(Fault::execution(&what)))
    }

    fn executable(&mut self, node: Node<'_, '_>) -> Act {
        if self.blocks == BLOCKS_MAX {
            let what = format!("executable content nested deeper than {BLOCKS_MAX} levels");
            self.problem(
                node,
                "depth",
                what,
                "use fewer <if>s and <foreach>s in each other",
            );
            return Self::failing("nested too deep".to_owned());
        }
        self.blocks += 1;
        let act = self.executable_here(node);
        self.blocks -= 1;
        act
    }

    fn executable_here(&mut self, node: Node<'_, '_>) -> Act {
        if let Some(act) = conf::executable(node) {
            return match self.location(&act.0) {
                Ok(to) => {
                    let value = self.expr(&act.1);
                    let is_script = node.tag_name().name() == "script";
                    Box::new(move |scope| {
                        let value = value(&Env::of_scope(scope))?;
                        if is_script {
                            to.declare(scope.context);
                        }
                        to.assign(scope, value)
                    })
                }
                Err(why) => Self::failing(why),
            };
        }
        if conf::is_send(node) {
            return self.send(node);
        }
        match node.tag_name().name() {
            "raise" => {
                let name: Name = attr(node, "event").unwrap_or_default().into();
                Box::new(move |scope| {
                    scope.raise(internal(name.clone()));
                    Ok(())
                })
            }
            "log" => {
                let label: Name = attr(node, "label").unwrap_or_default().into();
                let value = attr(node, "expr").map(|text| self.expr(&text));
                Box::new(move |scope| {
                    let value = match &value {
                        Some(value) => Some(value(&Env::of_scope(scope))?),
                        None => None,
                    };
                    let label = label.clone();
                    scope.effect(Effect::Log { label, value });
                    Ok(())
                })
            }
            "assign" => {
                let text = attr(node, "location").unwrap_or_default().into_owned();
                match self.location(&text) {
                    Ok(to) => {
                        let value = self.value_of(node);
                        Box::new(move |scope| {
                            let value = value(&Env::of_scope(scope))?;
                            to.assign(scope, value)
                        })
                    }
                    Err(why) => Self::failing(why),
                }
            }
            "script" => {
                let source = text_of(node);
                let statements = self.with_names(|names| expr::compile_script(&source, names));
                match statements {
                    Ok(statements) => Box::new(move |scope| {
                        for statement in &statements {
                            let value = (statement.value)(&Env::of_scope(scope))?;
                            statement.to.declare(scope.context);
                            statement.to.assign(scope, value)?;
                        }
                        Ok(())
                    }),
                    Err(why) => Self::failing(why),
                }
            }
            "if" => self.choice(node),
            "foreach" => self.each(node),
            "send" => self.send(node),
            "cancel" => {
                let id = match (attr(node, "sendid"), attr(node, "sendidexpr")) {
                    (Some(id), _) => constant(&id),
                    (None, Some(text)) => self.expr(&text),
                    (None, None) => return Self::failing("a cancel without sendid".into()),
                };
                Box::new(move |scope| {
                    let id = id(&Env::of_scope(scope))?;
                    scope.effect(Effect::Cancel(expr::text(&id).into()));
                    Ok(())
                })
            }
            other => Self::failing(format!("{other:?} is no executable content")),
        }
    }

    fn choice(&mut self, node: Node<'_, '_>) -> Act {
        let cond = |node: Node<'_, '_>| attr(node, "cond").unwrap_or_default().into_owned();
        let mut branches: Vec<(Option<Expr>, Vec<Act>)> =
            vec![(Some(self.expr(&cond(node))), Vec::new())];
        for child in elements(node) {
            match child.tag_name().name() {
                "elseif" => branches.push((Some(self.expr(&cond(child))), Vec::new())),
                "else" => branches.push((None, Vec::new())),
                _ => {
                    let act = self.executable(child);
                    branches.last_mut().unwrap().1.push(act);
                }
            }
        }
        Box::new(move |scope| {
            for (cond, acts) in &branches {
                let holds = match cond {
                    None => true,
                    Some(cond) => match cond(&Env::of_scope(scope)) {
                        Ok(value) => truth(&value),
                        Err(fault) => {
                            // A condition that fails counts as false, and is told.
                            scope.raise(error_event(fault));
                            false
                        }
                    },
                };
                if holds {
                    return acts.iter().try_for_each(|act| act(scope));
                }
            }
            Ok(())
        })
    }

    fn each(&mut self, node: Node<'_, '_>) -> Act {
        let array = self.expr(&attr(node, "array").unwrap_or_default());
        let item = self.location(&attr(node, "item").unwrap_or_default());
        let index = attr(node, "index")
            .map(|text| self.location(&text))
            .transpose();
        let body = self.content(node);
        let (item, index) = match (item, index) {
            (Ok(item), Ok(index)) => (item, index),
            (Err(why), _) | (_, Err(why)) => return Self::failing(why),
        };
        Box::new(move |scope| {
            let Value::List(items) = array(&Env::of_scope(scope))? else {
                return Err(Fault::execution("foreach over something that is no array"));
            };
            item.declare(scope.context);
            if let Some(index) = &index {
                index.declare(scope.context);
            }
            for (nth, value) in items.into_iter().enumerate() {
                item.assign(scope, value)?;
                if let Some(index) = &index {
                    index.assign(scope, Value::Num(nth as f64))?;
                }
                body(scope)?;
            }
            Ok(())
        })
    }

    /// What `namelist` and `<param>` name, and its values.
    fn named_data(&self, node: Node<'_, '_>) -> Vec<(Name, Expr)> {
        let mut parts: Vec<(Name, Expr)> = Vec::new();
        for name in attr(node, "namelist")
            .unwrap_or_default()
            .split_whitespace()
        {
            parts.push((name.into(), self.expr(name)));
        }
        for param in named(node, "param") {
            let name: Name = attr(param, "name").unwrap_or_default().into();
            let value = match (attr(param, "expr"), attr(param, "location")) {
                (Some(text), _) | (None, Some(text)) => self.expr(&text),
                (None, None) => Box::new(|_: &Env<'_>| Ok(Value::Undefined)) as Expr,
            };
            parts.push((name, value));
        }
        parts
    }

    /// What `namelist`, `<param>` and `<content>` give; params are a map.
    fn message_data(&self, node: Node<'_, '_>) -> Expr {
        if let Some(content) = named(node, "content").next() {
            return self.value_of(content);
        }
        let parts = self.named_data(node);
        if parts.is_empty() {
            return Box::new(|_| Ok(Value::Undefined));
        }
        Box::new(move |env| {
            let mut map = Value::Map(Vec::new());
            for (name, value) in &parts {
                map.set_field(name, value(env)?);
            }
            Ok(map)
        })
    }

    /// A value given as an attribute or as an expression in another.
    fn either(&self, node: Node<'_, '_>, plain: &str, expr: &str) -> Option<Expr> {
        match (attr(node, plain), attr(node, expr)) {
            (Some(text), _) => Some(constant(&text)),
            (None, Some(text)) => Some(self.expr(&text)),
            (None, None) => None,
        }
    }

    fn send(&mut self, node: Node<'_, '_>) -> Act {
        let event = self.either(node, "event", "eventexpr");
        let target = self.either(node, "target", "targetexpr");
        let kind = self.either(node, "type", "typeexpr");
        let delay = self.either(node, "delay", "delayexpr");
        let id = attr(node, "id").map(|id| Name::from(&*id));
        let idlocation = attr(node, "idlocation")
            .map(|text| self.location(&text))
            .transpose();
        let idlocation = match idlocation {
            Ok(location) => location,
            Err(why) => return Self::failing(why),
        };
        let data = self.message_data(node);
        Box::new(move |scope| {
            let mut sendid = id.clone();
            if let Some(location) = &idlocation {
                scope.context.own.next_id += 1;
                let generated: Name = format!("send.{}", scope.context.own.next_id).into();
                location.assign(scope, Value::Str(generated.clone()))?;
                sendid = Some(generated);
            }
            let told = sendid.clone();
            let blame = |mut fault: Fault| {
                fault.sendid = told.clone();
                fault
            };
            let env = Env::of_scope(scope);
            let given = |e: &Option<Expr>| -> Result<Option<String>, Fault> {
                e.as_ref().map(|e| Ok(expr::text(&e(&env)?))).transpose()
            };
            let name = given(&event).map_err(blame)?.unwrap_or_default();
            let target = given(&target).map_err(blame)?.unwrap_or_default();
            let kind = given(&kind).map_err(blame)?.unwrap_or_default();
            let delay = given(&delay).map_err(blame)?;
            let data = data(&env).map_err(blame)?;
            if !(kind.is_empty() || kind == "scxml" || kind == PROCESSOR) {
                let text = format!("the event processor {kind:?} is unknown");
                return Err(blame(Fault::execution(text)));
            }
            let delay_ms = match delay.as_deref().map(milliseconds) {
                None => None,
                Some(Some(ms)) => (ms > 0).then_some(ms),
                Some(None) => return Err(blame(Fault::execution("the delay is no time"))),
            };
            let own = &scope.context.own;
            let here = format!("#_scxml_s{}", own.session);
            let to = match target.as_str() {
                "#_internal" => {
                    let mut event = internal(name.into());
                    event.data = data;
                    if let (Some(id), Some(origin)) = (&sendid, &mut event.origin) {
                        origin.sendid = Value::Str(id.clone());
                    }
                    scope.raise(event);
                    return Ok(());
                }
                "" => Ok(Target::Myself),
                "#_parent" if own.has_parent => Ok(Target::Parent),
                to if to == here => Ok(Target::Myself),
                to if to.starts_with("#_scxml_s") => {
                    let number: Option<u32> = to["#_scxml_s".len()..].parse().ok();
                    match number {
                        Some(n) if n < own.sessions => Ok(Target::Address(to.into())),
                        _ => Err(FaultKind::Communication),
                    }
                }
                to => match to.strip_prefix("#_") {
                    Some(child) if scope.context.children.iter().any(|c| **c == *child) => {
                        Ok(Target::Child(child.into()))
                    }
                    Some(_) => Err(FaultKind::Communication),
                    None => Err(FaultKind::Execution),
                },
            };
            let target = to.map_err(|kind| {
                let mut fault = Fault::execution(format!("nobody is at {target:?}"));
                fault.kind = kind;
                blame(fault)
            })?;
            let origin = Origin {
                kind: "external",
                sendid: sendid.clone().map_or(Value::Undefined, Value::Str),
                origin: Value::str(here),
                origintype: Value::str(PROCESSOR),
                invokeid: Value::Undefined,
            };
            scope.effect(Effect::Send {
                event: Event {
                    name: name.into(),
                    data,
                    origin: Some(Box::new(origin)),
                },
                target,
                delay_ms,
                id: sendid,
            });
            Ok(())
        })
    }

    fn invoke(&mut self, s: StateId, nth: usize, node: Node<'_, '_>) {
        let kind = self.either(node, "type", "typeexpr");
        let source = self.either(node, "src", "srcexpr");
        let content = named(node, "content").next();
        let mut content_expr = None;
        let mut embedded = None;
        if let Some(content) = content {
            if let Some(text) = attr(content, "expr") {
                content_expr = Some(self.expr(&text));
            } else if let Some(root) = elements(content).next() {
                embedded = Some(self.embedded.len() as u32);
                let document = if self.depth < EMBEDDED_MAX {
                    compile_node(root, self.files, self.depth + 1).map(Arc::new)
                } else {
                    Err(Vec::new())
                };
                self.embedded.push(document);
            }
        }
        let state_id = self.model.states[s as usize].id.clone();
        let id: Name = match attr(node, "id") {
            Some(id) => (*id).into(),
            None => format!("{state_id}.invoke{nth}").into(),
        };
        let idlocation = attr(node, "idlocation")
            .map(|text| self.location(&text))
            .transpose();
        // An invocation's own content is the child, not its data.
        let data = self.named_data(node);
        let namelist: Vec<String> = attr(node, "namelist")
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let finalize = named(node, "finalize").next().map(|finalize| {
            let act = if elements(finalize).next().is_some() {
                self.content(finalize)
            } else {
                self.take_over(node, &namelist)
            };
            self.add("finalize", act)
        });
        let autoforward = attr(node, "autoforward").as_deref() == Some("true");
        let start: Act = {
            let id = id.clone();
            Box::new(move |scope| {
                if let Err(why) = &idlocation {
                    return Err(Fault::execution(why));
                }
                let env = Env::of_scope(scope);
                let given = |e: &Option<Expr>| -> Result<Option<String>, Fault> {
                    e.as_ref().map(|e| Ok(expr::text(&e(&env)?))).transpose()
                };
                let kind = given(&kind)?.unwrap_or_default();
                let known = [
                    "",
                    "scxml",
                    "http://www.w3.org/TR/scxml",
                    "http://www.w3.org/TR/scxml/",
                ];
                if !known.contains(&kind.as_str()) {
                    return Err(Fault::execution(format!("cannot invoke a {kind:?}")));
                }
                let source = match &content_expr {
                    Some(content) => expr::text(&content(&env)?),
                    None => given(&source)?.unwrap_or_default(),
                };
                let mut input = Value::Map(Vec::new());
                for (name, value) in &data {
                    input.set_field(name, value(&env)?);
                }
                if let Ok(Some(location)) = &idlocation {
                    location.assign(scope, Value::Str(id.clone()))?;
                }
                scope.context.note_child(&id, true);
                scope.effect(Effect::Start(Start {
                    id: id.clone(),
                    source: source.into(),
                    embedded,
                    input,
                    autoforward,
                    finalize,
                }));
                Ok(())
            })
        };
        let start = self.add("invoke", start);
        let stop = self.add(
            "end invoke",
            Box::new(move |scope| {
                if scope.context.children.contains(&id) {
                    scope.context.note_child(&id, false);
                    scope.effect(Effect::Stop(id.clone()));
                }
                Ok(())
            }),
        );
        let state = &mut self.model.states[s as usize];
        state.invokes.push(start);
        state.exit.push(stop);
    }

    /// An empty `<finalize>`: takes the event's fields over into the variables of the same names.
    fn take_over(&mut self, node: Node<'_, '_>, namelist: &[String]) -> Act {
        let mut to: Vec<(String, Location)> = Vec::new();
        let params: Vec<_> = named(node, "param")
            .filter_map(|p| {
                Some((
                    attr(p, "name")?.into_owned(),
                    attr(p, "location")?.into_owned(),
                ))
            })
            .collect();
        let names = namelist.iter().map(|n| (n.clone(), n.clone()));
        for (name, location) in names.chain(params) {
            if let Ok(location) = self.location(&location) {
                to.push((name, location));
            }
        }
        Box::new(move |scope| {
            for (name, location) in &to {
                if let Some(value) = scope.event.data.field(name).cloned() {
                    location.assign(scope, value)?;
                }
            }
            Ok(())
        })
    }
}

fn constant(text: &str) -> Expr {
    let value = Value::str(text);
    Box::new(move |_| Ok(value.clone()))
}

fn internal(name: Name) -> Event {
    Event {
        name,
        data: Value::Undefined,
        origin: Some(Box::new(Origin {
            kind: "internal",
            ..Origin::default()
        })),
    }
}

/// A CSS2 time: `1s`, `1.5s`, `100ms`; a bare number is milliseconds.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1.0),
        None => match text.strip_suffix('s') {
            Some(digits) => (digits, 1000.0),
            None => (text, 1.0),
        },
    };
    let n: f64 = digits.trim().parse().ok()?;
    (n.is_finite() && n >= 0.0).then_some((n * unit).round() as u64)
}
