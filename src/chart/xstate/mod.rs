//! The XState v5 front end: machine JSON, as Stately exports it, to a chart.
//!
//! ```text
//!   text ─▶ Machine::parse ─▶ compile(library) ─▶ Compiled { chart, model, … }
//!                                 ▲
//!             Bindings (your closures) or a library of your own
//! ```
//!
//! Semantics follow XState 5.33 with one exception, made on purpose: a history that is targeted
//! from inside its own parent behaves as in SCXML.

pub mod bind;
pub mod system;
mod unread;
pub mod vocabulary;

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::check::{Problem, Severity, near};
use super::json::{Json, JsonKind, Places};
use super::loaded::{ActionFn, GuardFn, Loaded, LoadedChart};
use super::model::{
    Guard, Initial, Kind, Model, Place, Rules, State, StateId, Transition, Trigger,
};
use super::run::{Ask, Chart};
use super::value::{Effect, Event, Name, Start, Target, Value};

pub use bind::{BindError, Bindings, Steps};

/// Gives a delay in milliseconds; `None` where the name has no number, which XState takes as "now".
pub type DelayFn<C> = Box<dyn Fn(&Ask<'_, Loaded<C>>) -> Option<f64> + Send + Sync + 'static>;
/// Gives a value that may depend on context and event.
pub type TemplateFn<C> = Box<dyn Fn(&Ask<'_, Loaded<C>>, &Event) -> Value + Send + Sync + 'static>;

/// One mention of an action in a machine.
#[derive(Clone, Copy, Debug)]
pub struct Mention<'a> {
    /// The action's name.
    pub name: &'a str,
    /// Its parameters, if it has any.
    pub params: Option<&'a Value>,
    /// The children that the state around it starts right after its entry actions.
    pub upcoming: &'a [Name],
}

/// Where a machine's names get their meaning.
pub trait Library<C: Clone + 'static> {
    /// The action, if it is known.
    fn action(&mut self, mention: Mention<'_>) -> Option<ActionFn<C>>;
    /// The guard, if it is known.
    fn guard(&mut self, name: &str, params: Option<&Value>) -> Option<GuardFn<C>>;
    /// The delay, if it is known.
    fn delay(&mut self, name: &str) -> Option<DelayFn<C>>;
    /// Whether the actor is known.
    fn actor(&mut self, name: &str) -> bool;
    /// An input or output as the machine writes it; a constant unless the library knows better.
    fn template(&mut self, value: &Value) -> TemplateFn<C> {
        let value = value.clone();
        Box::new(move |_, _| value.clone())
    }
    /// What sets the context up, given the machine's own.
    fn begin(&mut self, _context: &Value) -> Option<ActionFn<C>> {
        None
    }
    /// Is told when a child starts (`true`) or is stopped.
    fn child(&self) -> fn(&mut C, &Name, bool) {
        |_, _, _| {}
    }
    /// Whether an action or guard of it may fail or raise.
    fn is_fallible(&self) -> bool {
        true
    }
    /// Whether the action can do neither, though others may: a step that runs no other action
    /// keeps no copy of the old state.
    fn is_calm(&self, _action: &str) -> bool {
        !self.is_fallible()
    }
}

/// A machine with its names bound.
#[derive(Debug)]
pub struct Compiled<C: Clone + 'static> {
    /// The chart.
    pub chart: LoadedChart<C>,
    /// What it was lowered from.
    pub model: Model,
    /// The machine's context, as written.
    pub context: Value,
    /// Each state's `meta`.
    pub metas: Vec<Option<Value>>,
}

impl<C: Clone + 'static> Compiled<C> {
    /// The key path of a state below the root, joined by dots.
    pub fn path(&self, state: StateId) -> String {
        path(&self.model, state)
    }
}

/// The key path of a state below the root, joined by dots.
pub fn path(model: &Model, state: StateId) -> String {
    let mut keys = Vec::new();
    let mut at = state;
    while let Some(parent) = model.states[at as usize].parent {
        keys.push(model.states[at as usize].key.as_str());
        at = parent;
    }
    keys.reverse();
    keys.join(".")
}

/// A machine's JSON, read but not yet bound.
#[derive(Clone, Debug)]
pub struct Machine {
    json: Json,
    text: Arc<str>,
}

/// What kept a machine from being compiled.
#[derive(Clone, Debug, PartialEq)]
pub enum CompileError {
    /// The document is wrong.
    Document(Vec<Problem>),
    /// Names without a meaning.
    Names(BindError),
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Document(problems) => {
                for (nth, problem) in problems.iter().enumerate() {
                    if nth > 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{problem}")?;
                }
                Ok(())
            }
            Self::Names(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CompileError {}

impl Machine {
    /// Reads a machine; also one inside of a recorded case, as its field `machine`.
    ///
    /// # Errors
    ///
    /// The place and text of what is not JSON.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |place, what| Problem {
            place,
            severity: Severity::Error,
            kind: "json",
            what,
            instead: "a machine is a JSON object with \"initial\" and \"states\"".to_owned(),
        };
        let mut json = Json::parse(text).map_err(|(place, what)| wrong(place, what))?;
        if json.get("states").is_none()
            && let Some(inner) = json.get("machine")
        {
            json = inner.clone();
        }
        if !matches!(json.kind, JsonKind::Map(_)) {
            let found = "the document is no JSON object".to_owned();
            return Err(wrong(Place { line: 1, column: 1 }, found));
        }
        Ok(Self {
            json,
            text: text.into(),
        })
    }

    /// The text's object; places in it are offsets yet.
    #[cfg(feature = "scxml")]
    pub(crate) fn json(&self) -> &Json {
        &self.json
    }

    /// The machine with every name allowed and none with an effect: for checking and drawing.
    pub fn model(&self) -> Model {
        let mut library = AnyName::default();
        let mut reader = self.reader(&mut library);
        reader.read();
        let unread = unread::unread(&self.json, &reader.places);
        reader.model.problems.extend(unread);
        reader.model
    }

    /// The names that the machine leaves to its host, with their kind (`action`, `actor`, `delay`,
    /// `guard`), sorted, each once.
    pub fn names(&self) -> BTreeSet<(&'static str, String)> {
        let mut library = AnyName::default();
        self.reader(&mut library).read();
        library.0
    }

    /// Binds the machine's names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the document, or every name without a meaning.
    pub fn compile<C: Clone + 'static>(
        &self,
        library: &mut dyn Library<C>,
    ) -> Result<Compiled<C>, CompileError> {
        let fallible = library.is_fallible();
        let mut reader = self.reader(library);
        reader.read();
        let Reader {
            model,
            actions,
            calm,
            guards,
            outputs,
            output,
            metas,
            context,
            missing,
            begin,
            raises,
            ..
        } = reader;
        let errors: Vec<Problem> = super::check::check(&model)
            .into_iter()
            .filter(|p| p.severity == Severity::Error)
            .collect();
        if !errors.is_empty() {
            return Err(CompileError::Document(errors));
        }
        if !missing.is_empty() {
            return Err(CompileError::Names(missing));
        }
        let mut logic = Loaded::new(&model);
        logic.actions = actions;
        logic.calm = calm;
        logic.guards = guards;
        logic.begin = begin;
        let completes = model.states.iter().any(|s| s.kind == Kind::Final);
        logic.fallible = fallible || raises || completes;
        for (state, template) in outputs {
            let output: super::loaded::OutputFn<C> =
                Box::new(move |scope, event| Ok(template(&scope.ask(), event)));
            logic.outputs.insert(state, output);
        }
        logic.output = Some(match output {
            Some(template) => Box::new(move |scope, event| Ok(template(&scope.ask(), event))),
            None => Box::new(|_, _| Ok(Value::Undefined)),
        });
        let table = super::lower::lower(&model);
        Ok(Compiled {
            chart: Chart::new(table, logic),
            model,
            context,
            metas,
        })
    }

    fn reader<'a, C: Clone + 'static>(&'a self, library: &'a mut dyn Library<C>) -> Reader<'a, C> {
        let name = self.json.get("id").and_then(Json::str);
        let mut model = Model::new(name.unwrap_or("(machine)"), Rules::XSTATE);
        if let Some(version) = self.json.get("version").and_then(Json::str) {
            model.version = version.to_owned();
        }
        Reader {
            json: &self.json,
            places: Places::new(&self.text),
            library,
            model,
            nodes: Vec::new(),
            ids: HashMap::new(),
            children: HashMap::new(),
            actions: Vec::new(),
            calm: Vec::new(),
            guards: Vec::new(),
            outputs: Vec::new(),
            output: None,
            metas: Vec::new(),
            context: Value::Undefined,
            missing: BindError::default(),
            begin: None,
            raises: false,
        }
    }
}

/// Knows every name, does nothing, and notes which were asked for.
#[derive(Default)]
struct AnyName(BTreeSet<(&'static str, String)>);

impl Library<()> for AnyName {
    fn action(&mut self, mention: Mention<'_>) -> Option<ActionFn<()>> {
        self.0.insert(("action", mention.name.to_owned()));
        Some(Box::new(|_| Ok(())))
    }

    fn guard(&mut self, name: &str, _: Option<&Value>) -> Option<GuardFn<()>> {
        self.0.insert(("guard", name.to_owned()));
        Some(Box::new(|_| Ok(true)))
    }

    fn delay(&mut self, name: &str) -> Option<DelayFn<()>> {
        self.0.insert(("delay", name.to_owned()));
        Some(Box::new(|_| None))
    }

    fn actor(&mut self, name: &str) -> bool {
        self.0.insert(("actor", name.to_owned()));
        true
    }
}

struct Reader<'a, C: Clone + 'static> {
    json: &'a Json,
    places: Places,
    library: &'a mut dyn Library<C>,
    model: Model,
    nodes: Vec<&'a Json>,
    ids: HashMap<String, StateId>,
    /// By parent and key.
    children: HashMap<(StateId, &'a str), StateId>,
    actions: Vec<ActionFn<C>>,
    /// By action: whether it can neither fail nor raise.
    calm: Vec<bool>,
    guards: Vec<GuardFn<C>>,
    outputs: Vec<(StateId, TemplateFn<C>)>,
    output: Option<TemplateFn<C>>,
    metas: Vec<Option<Value>>,
    context: Value,
    missing: BindError,
    begin: Option<ActionFn<C>>,
    /// Whether a delay without a number may raise its event at once.
    raises: bool,
}

/// A transition object's places in the list of a state, by descriptor, in XState's map order.
#[derive(Default)]
struct Descriptors<'a>(Vec<(String, Vec<&'a Json>)>);

impl<'a> Descriptors<'a> {
    /// As `Map.set`: a key set again keeps its place and loses its old value.
    fn set(&mut self, key: String, list: Vec<&'a Json>) {
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = list,
            None => self.0.push((key, list)),
        }
    }

    fn append(&mut self, key: String, list: Vec<&'a Json>) {
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => old.extend(list),
            None => self.0.push((key, list)),
        }
    }
}

impl<'a, C: Clone + 'static> Reader<'a, C> {
    fn place(&self, json: &Json) -> Place {
        self.places.at(json.place.column as usize)
    }

    fn problem(&mut self, at: &Json, kind: &'static str, what: String, instead: String) {
        let place = self.place(at);
        self.model.problems.push(Problem {
            place,
            severity: Severity::Error,
            kind,
            what,
            instead,
        });
    }

    fn read(&mut self) {
        let root = self.json;
        let name = self.model.name.clone();
        self.add_state(root, name, None);
        for s in 0..self.nodes.len() as StateId {
            self.fill(s);
        }
        self.routes();
        self.context = root.get("context").map_or(Value::Undefined, Json::to_value);
        self.begin = self.library.begin(&self.context);
    }

    fn add_state(&mut self, json: &'a Json, key: String, parent: Option<StateId>) {
        let states = json.get("states").map_or(&[][..], Json::fields);
        let kind = match json.get("type").and_then(Json::str) {
            Some("parallel") => Kind::Parallel,
            Some("final") => Kind::Final,
            Some("history") => history_kind(json),
            Some("atomic") => Kind::Atomic,
            Some("compound") => Kind::Compound,
            Some(other) => {
                let what = format!("the state type {other:?} is unknown");
                let instead =
                    "use atomic, compound, parallel, final or history, or leave it out".to_owned();
                self.problem(json, "type", what, instead);
                Kind::Atomic
            }
            None if !states.is_empty() => Kind::Compound,
            None if json.get("history").is_some() => history_kind(json),
            None => Kind::Atomic,
        };
        let kind = match (kind, parent) {
            (Kind::History { .. }, None) => {
                let what = "the root is a history state".to_owned();
                let instead = "a history state stands inside the state it remembers".to_owned();
                self.problem(json, "type", what, instead);
                Kind::Atomic
            }
            _ => kind,
        };
        let id = match json.get("id").and_then(Json::str) {
            Some(id) => id.to_owned(),
            None => match parent {
                None => key.clone(),
                Some(p) => {
                    let inside = path(&self.model, p);
                    let root = &self.model.name;
                    if inside.is_empty() {
                        format!("{root}.{key}")
                    } else {
                        format!("{root}.{inside}.{key}")
                    }
                }
            },
        };
        let mut state = State::new(id.clone(), parent, kind);
        state.key = key;
        state.place = self.place(json);
        state.description = json
            .get("description")
            .and_then(Json::str)
            .map(str::to_owned);
        if let Some(tags) = json.get("tags") {
            state.tags = tags
                .items()
                .iter()
                .filter_map(Json::str)
                .map(str::to_owned)
                .collect();
            state.tags.sort();
            state.tags.dedup();
        }
        let s = self.model.push(state);
        self.nodes.push(json);
        self.metas.push(json.get("meta").map(Json::to_value));
        if self.ids.insert(id.clone(), s).is_some() {
            let what = format!("the state id {id:?} is used twice");
            self.problem(json, "id", what, "give each state its own id".to_owned());
        }
        for (key, child) in states {
            if matches!(child.kind, JsonKind::Map(_)) {
                self.children
                    .insert((s, key), self.model.states.len() as StateId);
                self.add_state(child, key.clone(), Some(s));
            } else {
                let what = format!("the state {key:?} is no JSON object");
                self.problem(
                    child,
                    "state",
                    what,
                    "write {} for an empty state".to_owned(),
                );
            }
        }
    }

    fn fill(&mut self, s: StateId) {
        let json = self.nodes[s as usize];
        if matches!(self.model.states[s as usize].kind, Kind::History { .. }) {
            self.history_default(s, json);
            return;
        }
        let invokes: Vec<&'a Json> = json
            .get("invoke")
            .map_or(Vec::new(), |i| i.items().iter().collect());
        let id = self.model.states[s as usize].id.clone();
        let invoke_ids: Vec<Name> = invokes
            .iter()
            .enumerate()
            .map(|(nth, invoke)| match invoke.get("id").and_then(Json::str) {
                Some(id) => Name::from(id),
                None => format!("{nth}.{id}").into(),
            })
            .collect();

        let mut entry = self.action_list(json.get("entry"), &invoke_ids);
        let mut exit = self.action_list(json.get("exit"), &[]);
        let mut descriptors = Descriptors::default();
        for (descriptor, list) in json.get("on").map_or(&[][..], Json::fields) {
            if descriptor.is_empty() {
                let what = "an empty event descriptor".to_owned();
                self.problem(list, "event", what, "use \"always\"".to_owned());
            }
            descriptors.set(descriptor.clone(), configs(list));
        }
        if let Some(list) = json.get("onDone") {
            descriptors.set(format!("xstate.done.state.{id}"), configs(list));
        }
        for (invoke, child) in invokes.iter().zip(&invoke_ids) {
            for (key, prefix) in [
                ("onDone", "xstate.done.actor."),
                ("onError", "xstate.error.actor."),
                ("onSnapshot", "xstate.snapshot."),
            ] {
                if let Some(list) = invoke.get(key) {
                    descriptors.set(format!("{prefix}{child}"), configs(list));
                }
            }
        }
        for (delay, list) in json.get("after").map_or(&[][..], Json::fields) {
            let event = self.after(delay, &id, list, &mut entry, &mut exit);
            descriptors.append(event, configs(list));
        }
        for (invoke, child) in invokes.iter().zip(&invoke_ids) {
            entry.push(self.start(invoke, child));
            exit.push(self.stop(child));
        }

        let mut transitions = Vec::new();
        for (descriptor, list) in descriptors.0 {
            for config in list {
                let trigger = Trigger::Events(vec![descriptor.clone()]);
                transitions.push(self.transition(s, trigger, config));
            }
        }
        if let Some(always) = json.get("always") {
            for config in configs(always) {
                transitions.push(self.transition(s, Trigger::Always, config));
            }
        }
        let initial = self.initial(s, json);
        if let Some(output) = json.get("output") {
            let template = self.library.template(&output.to_value());
            if s == 0 {
                self.output = Some(template);
            } else if self.model.states[s as usize].kind == Kind::Final {
                self.outputs.push((s, template));
            }
        }
        let state = &mut self.model.states[s as usize];
        state.entry = entry;
        state.exit = exit;
        state.transitions = transitions;
        state.initial = initial;
    }

    fn initial(&mut self, s: StateId, json: &'a Json) -> Initial {
        if self.model.states[s as usize].kind != Kind::Compound {
            return Initial::default();
        }
        let Some(initial) = json.get("initial") else {
            return Initial::default(); // the check says so
        };
        let key = match initial.str() {
            Some(key) => Some(key),
            None => initial.get("target").and_then(Json::str),
        };
        let actions = self.action_list(initial.get("actions"), &[]);
        let key = key.unwrap_or_default();
        match self.child(s, key) {
            Some(target) => Initial {
                targets: vec![target],
                actions,
            },
            None => {
                let what = format!(
                    "the initial state {key:?} is no child of {:?}",
                    self.model.states[s as usize].id
                );
                let instead = self.suggest(s, key);
                self.problem(initial, "initial", what, instead);
                Initial::default()
            }
        }
    }

    fn history_default(&mut self, s: StateId, json: &'a Json) {
        let Some(target) = json.get("target") else {
            return;
        };
        let parent = self.model.states[s as usize].parent.unwrap_or(0);
        let mut targets = Vec::new();
        for item in target.items() {
            let text = item.str().unwrap_or_default();
            let found = if text.starts_with('#') {
                self.by_id(text)
            } else {
                self.by_path(parent, &split_path(text))
            };
            match found {
                Some(t) => targets.push(t),
                None => self.bad_target(item, text, parent),
            }
        }
        self.model.states[s as usize].initial.targets = targets;
    }

    fn transition(&mut self, source: StateId, trigger: Trigger, config: &'a Json) -> Transition {
        let is_object = matches!(config.kind, JsonKind::Map(_));
        let target = if is_object {
            config.get("target")
        } else {
            Some(config)
        };
        let mut targets = Vec::new();
        for item in target.map_or(&[][..], Json::items) {
            if matches!(item.kind, JsonKind::Null) {
                continue;
            }
            let text = item.str().unwrap_or_default();
            match self.target(source, text) {
                Some(t) if !targets.contains(&t) => targets.push(t),
                Some(_) => {}
                None => self.bad_target(item, text, source),
            }
        }
        if is_object && let Some(cond) = config.get("cond") {
            let what = "\"cond\" is XState 4".to_owned();
            self.problem(cond, "guard", what, "call it \"guard\"".to_owned());
        }
        let guard = match config.get("guard") {
            Some(guard) if is_object => Some(self.guard(guard)),
            _ => None,
        };
        let reenter = is_object && config.get("reenter").is_some_and(Json::is_true);
        let actions = if is_object {
            self.action_list(config.get("actions"), &[])
        } else {
            Vec::new()
        };
        Transition {
            trigger,
            guard,
            targets,
            internal: !reenter,
            actions,
            place: self.place(config),
        }
    }

    fn target(&self, source: StateId, text: &str) -> Option<StateId> {
        if text.starts_with('#') {
            return self.by_id(text);
        }
        if let Some(below) = text.strip_prefix('.') {
            return self.by_path(source, &split_path(below));
        }
        let parent = self.model.states[source as usize].parent?;
        self.by_path(parent, &split_path(text))
    }

    fn by_id(&self, text: &str) -> Option<StateId> {
        let whole = split_path(text.strip_prefix('#')?);
        // An id may itself hold dots: the longest known prefix wins.
        for len in (1..=whole.len()).rev() {
            if let Some(&s) = self.ids.get(&whole[..len].join(".")) {
                return self.by_path(s, &whole[len..]);
            }
        }
        None
    }

    fn by_path(&self, from: StateId, keys: &[String]) -> Option<StateId> {
        let mut at = from;
        for key in keys {
            if key.is_empty() {
                break;
            }
            at = self.child(at, key)?;
        }
        Some(at)
    }

    fn child(&self, parent: StateId, key: &str) -> Option<StateId> {
        self.children.get(&(parent, key)).copied()
    }

    fn bad_target(&mut self, at: &Json, text: &str, source: StateId) {
        let id = &self.model.states[source as usize].id;
        let what = format!("no state {text:?} as seen from {id:?}");
        let around = self.model.states[source as usize].parent.unwrap_or(source);
        let instead = if source == 0 && self.child(0, text).is_some() {
            format!("from the root write {:?}", format!(".{text}"))
        } else {
            self.suggest(around, text)
        };
        self.problem(at, "target", what, instead);
    }

    /// The nearest key or id to a misspelt one.
    fn suggest(&self, around: StateId, text: &str) -> String {
        let last = text.rsplit(['.', '#']).next().unwrap_or(text);
        let keys = self
            .model
            .states
            .iter()
            .filter(|s| s.parent == Some(around));
        let ids = self.model.states.iter().map(|s| s.id.as_str());
        match near(keys.map(|s| s.key.as_str()).chain(ids), last) {
            Some(name) if self.ids.contains_key(name) => format!("did you mean \"#{name}\"?"),
            Some(name) => format!("did you mean {name:?}?"),
            None => "write the key of a sibling, \".child\" or \"#id\"".to_owned(),
        }
    }

    fn action_list(&mut self, json: Option<&'a Json>, upcoming: &[Name]) -> Vec<u32> {
        let mut list = Vec::new();
        for item in json.map_or(&[][..], Json::items) {
            let name = match item.str() {
                Some(name) => Some(name),
                None => item.get("type").and_then(Json::str),
            };
            let Some(name) = name else {
                let what = "an action is neither a name nor an object with \"type\"".to_owned();
                self.problem(item, "action", what, "write its name".to_owned());
                continue;
            };
            if let Some(event) = raised(name, item) {
                self.model.raised.push((event.to_owned(), self.place(item)));
            }
            let params = item.get("params").map(Json::to_value);
            let mention = Mention {
                name,
                params: params.as_ref(),
                upcoming,
            };
            match self.library.action(mention) {
                Some(action) => {
                    let calm = self.library.is_calm(name);
                    list.push(self.add_action(name.to_owned(), action, calm));
                }
                None => self.missing.add("action", name),
            }
        }
        list
    }

    fn add_action(&mut self, name: String, action: ActionFn<C>, calm: bool) -> u32 {
        self.actions.push(action);
        self.calm.push(calm);
        self.model.actions.push(name);
        (self.actions.len() - 1) as u32
    }

    fn guard(&mut self, json: &'a Json) -> Guard {
        if let Some(state) = json.get("in").or_else(|| json.get("stateIn")) {
            return self.in_state(state);
        }
        for (key, make) in [
            ("and", Guard::And as fn(Vec<Guard>) -> Guard),
            ("or", Guard::Or),
        ] {
            if let Some(list) = json.get(key) {
                return make(list.items().iter().map(|g| self.guard(g)).collect());
            }
        }
        if let Some(inner) = json.get("not") {
            return Guard::Not(Box::new(self.guard(inner)));
        }
        let name = match json.str() {
            Some(name) => Some(name),
            None => json.get("type").and_then(Json::str),
        };
        let Some(name) = name else {
            let what = "a guard is neither a name nor an object with \"type\"".to_owned();
            self.problem(json, "guard", what, "write its name".to_owned());
            return Guard::And(Vec::new());
        };
        let params = json.get("params").map(Json::to_value);
        match self.library.guard(name, params.as_ref()) {
            Some(guard) => self.add_guard(name.to_owned(), guard),
            None => {
                self.missing.add("guard", name);
                Guard::And(Vec::new())
            }
        }
    }

    fn add_guard(&mut self, name: String, guard: GuardFn<C>) -> Guard {
        self.guards.push(guard);
        self.model.guards.push(name);
        Guard::Host((self.guards.len() - 1) as u32)
    }

    fn in_state(&mut self, json: &'a Json) -> Guard {
        if let Some(text) = json.str() {
            let found = if text.starts_with('#') {
                self.by_id(text)
            } else {
                self.by_path(0, &split_path(text))
            };
            return match found {
                Some(s) => Guard::In(s),
                None => {
                    self.bad_target(json, text, 0);
                    Guard::Or(Vec::new())
                }
            };
        }
        let mut all = Vec::new();
        self.in_value(0, json, &mut all);
        Guard::And(all)
    }

    fn in_value(&mut self, around: StateId, json: &'a Json, all: &mut Vec<Guard>) {
        let keys: Vec<(&str, Option<&'a Json>)> = match json.str() {
            Some(key) => vec![(key, None)],
            None => json
                .fields()
                .iter()
                .map(|(k, v)| (k.as_str(), Some(v)))
                .collect(),
        };
        for (key, below) in keys {
            match self.by_path(around, &split_path(key)) {
                Some(s) => {
                    all.push(Guard::In(s));
                    if let Some(below) = below {
                        self.in_value(s, below, all);
                    }
                }
                None => self.bad_target(json, key, around),
            }
        }
    }

    /// Adds what arms and cancels a delayed transition; gives its event's name.
    fn after(
        &mut self,
        delay: &str,
        state: &str,
        at: &Json,
        entry: &mut Vec<u32>,
        exit: &mut Vec<u32>,
    ) -> String {
        let number = js_number(delay);
        let shown = number.map_or(delay.to_owned(), super::value::number);
        let name: Name = format!("xstate.after.{shown}.{state}").into();
        self.raises |= number.is_none();
        let wait: DelayFn<C> = match number {
            Some(ms) => Box::new(move |_| Some(ms)),
            None => match self.library.delay(delay) {
                Some(wait) => wait,
                None => {
                    self.missing.add("delay", delay);
                    Box::new(|_| None)
                }
            },
        };
        if number.is_some_and(|ms| ms < 0.0) {
            let what = format!("the delay {delay} is negative");
            self.problem(at, "delay", what, "use milliseconds from 0 up".to_owned());
        }
        let armed = name.clone();
        let arm: ActionFn<C> = Box::new(move |scope| {
            let event = Event::new(armed.clone());
            match wait(&scope.ask()) {
                Some(ms) => scope.effect(Effect::Send {
                    event,
                    target: Target::Myself,
                    delay_ms: Some(ms.max(0.0) as u64),
                    id: Some(armed.clone()),
                }),
                None => scope.raise(event),
            }
            Ok(())
        });
        entry.push(self.add_action(format!("after {delay}"), arm, number.is_some()));
        let cancelled = name.clone();
        let cancel: ActionFn<C> = Box::new(move |scope| {
            scope.effect(Effect::Cancel(cancelled.clone()));
            Ok(())
        });
        exit.push(self.add_action(format!("cancel after {delay}"), cancel, true));
        name.to_string()
    }

    fn start(&mut self, invoke: &'a Json, id: &Name) -> u32 {
        let own = || format!("xstate.invoke.{id}");
        let source = match invoke.str() {
            Some(source) => Some(source.to_owned()),
            None => (invoke.get("src")).map(|src| src.str().map_or_else(own, str::to_owned)),
        };
        let is_named = source.as_ref().is_some_and(|source| !source.is_empty());
        let source = source.filter(|_| is_named).unwrap_or_else(own);
        if !is_named {
            // It asks the host for no actor.
            let what = format!("the invocation {id:?} names no actor by \"src\"");
            let instead = "say what it starts: \"src\": \"NAME\"".to_owned();
            self.problem(invoke, "invoke", what, instead);
        } else if !self.library.actor(&source) {
            self.missing.add("actor", &source);
        }
        let input = invoke
            .get("input")
            .map(|i| self.library.template(&i.to_value()));
        let told = self.library.child();
        let (id, source): (Name, Name) = (id.clone(), source.into());
        let label = format!("invoke {source}");
        self.add_action(
            label,
            Box::new(move |scope| {
                let input = match &input {
                    Some(template) => template(&scope.ask(), scope.event),
                    None => Value::Undefined,
                };
                told(scope.context, &id, true);
                scope.touch();
                scope.effect(Effect::Start(Start {
                    id: id.clone(),
                    source: source.clone(),
                    embedded: None,
                    input,
                    autoforward: false,
                    finalize: None,
                }));
                Ok(())
            }),
            true,
        )
    }

    fn stop(&mut self, id: &Name) -> u32 {
        let told = self.library.child();
        let id = id.clone();
        let label = format!("stop {id}");
        self.add_action(
            label,
            Box::new(move |scope| {
                told(scope.context, &id, false);
                scope.touch();
                scope.effect(Effect::Stop(id.clone()));
                Ok(())
            }),
            true,
        )
    }

    /// `route`: any state with an id can be reached from the root by `xstate.route`.
    fn routes(&mut self) {
        let mut found = Vec::new();
        for s in 1..self.nodes.len() {
            let json = self.nodes[s];
            if let (Some(route), Some(id)) = (json.get("route"), json.get("id").and_then(Json::str))
            {
                found.push((s as StateId, route, format!("#{id}")));
            }
        }
        for (s, route, to) in found {
            let trigger = Trigger::Events(vec!["xstate.route".to_owned()]);
            let mut transition = self.transition(0, trigger, route);
            let label = format!("to {to}");
            let matches = self.add_guard(
                label,
                Box::new(move |ask| {
                    Ok(ask.event.data.field("to").and_then(Value::text) == Some(&to))
                }),
            );
            transition.guard = Some(match transition.guard.take() {
                Some(own) => Guard::And(vec![matches, own]),
                None => matches,
            });
            transition.targets = vec![s];
            self.model.states[0].transitions.push(transition);
        }
    }
}

fn history_kind(json: &Json) -> Kind {
    Kind::History {
        deep: json.get("history").and_then(Json::str) == Some("deep"),
    }
}

/// A list of transition objects or targets, as XState reads one.
fn configs(json: &Json) -> Vec<&Json> {
    match &json.kind {
        JsonKind::List(items) => items.iter().collect(),
        _ => vec![json],
    }
}

/// Splits at dots that no backslash escapes.
fn split_path(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => parts.last_mut().unwrap().extend(chars.next()),
            '.' => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    parts
}

/// A text as ECMAScript's unary plus reads it, decimal forms only.
fn js_number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0.0);
    }
    let plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    plain.then(|| text.parse().ok()).flatten()
}

/// The event that an action raises, if it says so: `raise:EVENT`, or an object of type `raise` or
/// `xstate.raise` with the event.
fn raised<'a>(name: &'a str, item: &'a Json) -> Option<&'a str> {
    if let Some(event) = name.strip_prefix("raise:") {
        // Behind it: the corpora's delay, id and data.
        return event.split(['@', '#', ' ']).next();
    }
    if name != "raise" && name != "xstate.raise" {
        return None;
    }
    let event = item.get("params").and_then(|params| params.get("event"));
    let event = event.or_else(|| item.get("event"))?;
    event.str().or_else(|| event.get("type")?.str())
}
