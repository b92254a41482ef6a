//! `mainspring chart run`: steps a chart and shows what it does.

use std::collections::{BTreeSet, HashMap as StdMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use mainspring::chart::scxml::session::{Session, loader_of};
use mainspring::chart::value::Value;
use mainspring::chart::xstate::system::{System, Worded};
use mainspring::chart::xstate::vocabulary::{Vocabulary, to_event};
use mainspring::chart::{Event, scxml, xstate};
use serde_json::{Value as Json, json};

use super::Failure;
use super::source::{Format, Source, SourceArgs};

/// Step a chart through events and print configuration, context and the actions that ran.
///
/// Time is virtual: delayed events fire when a step `+DURATION` moves the clock. Guards that the
/// document only names are false and its actions do nothing but appear in the list, unless
/// `--guard` or `--action` gives them a meaning.
///
/// Exit status: 0; 1 when the chart failed; 2 when the file is no chart or a step is malformed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Steps, separated by commas: an event's name, its JSON ({"type":"PAY","sum":3}), or +500ms,
    /// +2s to let time pass; may be repeated
    #[arg(long, value_name = "STEPS")]
    events: Vec<String>,

    /// A file of steps, one a line
    #[arg(long, value_name = "FILE")]
    events_file: Option<PathBuf>,

    /// What a named guard says: NAME=true or NAME=false; may be repeated
    #[arg(long, value_name = "NAME=BOOL")]
    guard: Vec<String>,

    /// What a named action does, in the vocabulary of the conformance corpus: NAME=inc:count; may
    /// be repeated
    #[arg(long, value_name = "NAME=DO")]
    action: Vec<String>,

    /// How long a named delay is: NAME=500ms; may be repeated
    #[arg(long, value_name = "NAME=DURATION")]
    delay: Vec<String>,

    /// Print one JSON object a step, a line each
    #[arg(long)]
    json: bool,
}

enum Step {
    Send(Event, String),
    Advance(u64),
}

/// What can be seen after a step.
struct Seen {
    configuration: Vec<String>,
    context: Json,
    actions: Vec<String>,
    status: &'static str,
    more: Json,
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&args.source.file, args.source.format)?;
    let mut steps = Vec::new();
    for list in &args.events {
        for text in split(list) {
            steps.push(step(&text)?);
        }
    }
    if let Some(file) = &args.events_file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        for (nth, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                let parsed = step(line.trim());
                let line = nth + 1;
                steps.push(parsed.map_err(|e| format!("{}:{line}: {e}", file.display()))?);
            }
        }
    }
    source.sound()?;
    match source.format {
        Format::Xstate => run_xstate(args, &source, &steps),
        Format::Scxml => run_scxml(args, &source, &steps),
    }
}

fn run_xstate(args: &RunArgs, source: &Source, steps: &[Step]) -> Result<ExitCode, Failure> {
    let machine = xstate::Machine::parse(&source.text).map_err(|p| source.tell(&[p]))?;
    let vocabulary = vocabulary(args, &source.names())?;
    let worded =
        Worded::new(&machine, vocabulary).map_err(|error| format!("{}: {error}", source.name))?;
    let mut system = System::start(
        Rc::new(worded),
        Default::default(),
        Default::default(),
        Value::Undefined,
    );
    let mut show = Show::new(args.json);
    show.step("start", &look(&mut system));
    for step in steps {
        let label = match step {
            Step::Send(event, text) => {
                system.send(event.clone());
                text.clone()
            }
            Step::Advance(ms) => {
                system.advance(*ms);
                format!("+{ms}ms")
            }
        };
        show.step(&label, &look(&mut system));
        if system.fuel == 0 {
            return Err(format!(
                "{}: events never run out after {label:?}: the chart sends itself in a circle",
                source.name
            ));
        }
    }
    Ok(show.end())
}

fn look(system: &mut System) -> Seen {
    let view = to_json(&system.view());
    let strings = |key: &str| -> Vec<String> {
        let list = view.get(key).and_then(Json::as_array);
        let texts = list.into_iter().flatten().filter_map(Json::as_str);
        texts.map(str::to_owned).collect()
    };
    let status = match view.get("status").and_then(Json::as_str) {
        None => "active",
        Some("done") => "done",
        Some("stopped") => "stopped",
        Some(_) => "failed",
    };
    let mut more = serde_json::Map::new();
    for key in ["tags", "output", "error", "children", "meta"] {
        if let Some(value) = view.get(key) {
            more.insert(key.to_owned(), value.clone());
        }
    }
    let emitted: Vec<Json> = std::mem::take(&mut system.emitted)
        .iter()
        .map(|event| json!(&*event.name))
        .collect();
    if !emitted.is_empty() {
        more.insert("emitted".to_owned(), Json::Array(emitted));
    }
    Seen {
        configuration: strings("conf"),
        context: view.get("context").cloned().unwrap_or(json!({})),
        actions: std::mem::take(&mut system.log)
            .into_iter()
            .map(|(actor, id, line)| match actor {
                0 => line,
                _ => format!("{id}: {line}"),
            })
            .collect(),
        status,
        more: Json::Object(more),
    }
}

fn run_scxml(args: &RunArgs, source: &Source, steps: &[Step]) -> Result<ExitCode, Failure> {
    for (option, list) in [
        ("--guard", &args.guard),
        ("--action", &args.action),
        ("--delay", &args.delay),
    ] {
        if !list.is_empty() {
            return Err(format!(
                "{option} is for XState machines; an SCXML document says itself what it does"
            ));
        }
    }
    let document = scxml::compile(&source.text).map_err(|problems| source.tell(&problems))?;
    let names: Vec<String> = document.names.iter().map(ToString::to_string).collect();
    let mut session = Session::start(Arc::new(document), loader_of(Default::default()));
    let mut show = Show::new(args.json);
    show.step("start", &watch(&mut session, &names));
    for step in steps {
        let label = match step {
            Step::Send(event, text) => {
                session.send(event.clone());
                text.clone()
            }
            Step::Advance(ms) => {
                session.advance(*ms);
                format!("+{ms}ms")
            }
        };
        show.step(&label, &watch(&mut session, &names));
        if session.is_exhausted() {
            return Err(format!(
                "{}: events never run out after {label:?}: the chart sends itself in a circle",
                source.name
            ));
        }
    }
    Ok(show.end())
}

fn watch(session: &mut Session, names: &[String]) -> Seen {
    let mut context = serde_json::Map::new();
    for name in names {
        if let Some(value) = session.variable(name)
            && !name.starts_with('_')
        {
            context.insert(name.clone(), to_json(value));
        }
    }
    Seen {
        configuration: session
            .configuration()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        context: Json::Object(context),
        actions: std::mem::take(&mut session.log)
            .into_iter()
            .map(|(label, value)| match value {
                Some(value) if label.is_empty() => value.to_json(),
                Some(value) => format!("{label}: {}", value.to_json()),
                None => label.to_string(),
            })
            .collect(),
        status: if session.is_over() { "done" } else { "active" },
        more: json!({}),
    }
}

/// Prints steps, and remembers whether the chart failed.
struct Show {
    json: bool,
    failed: bool,
}

impl Show {
    fn new(json: bool) -> Self {
        Self {
            json,
            failed: false,
        }
    }

    fn step(&mut self, label: &str, seen: &Seen) {
        self.failed = seen.status == "failed";
        if self.json {
            let mut row = json!({
                "step": label,
                "configuration": seen.configuration,
                "status": seen.status,
                "context": seen.context,
                "actions": seen.actions,
            });
            if let (Some(row), Some(more)) = (row.as_object_mut(), seen.more.as_object()) {
                row.extend(more.clone());
            }
            println!("{row}");
            return;
        }
        println!("{label}");
        println!("  states   {}", seen.configuration.join(", "));
        if seen.context != json!({}) {
            println!("  context  {}", seen.context);
        }
        if !seen.actions.is_empty() {
            println!("  actions  {}", seen.actions.join(", "));
        }
        for (key, value) in seen.more.as_object().into_iter().flatten() {
            println!("  {key:8} {value}");
        }
        if seen.status != "active" {
            println!("  status   {}", seen.status);
        }
    }

    fn end(&self) -> ExitCode {
        ExitCode::from(u8::from(self.failed))
    }
}

/// Splits at commas outside of JSON.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for c in list.chars() {
        if c == ',' && depth == 0 && !quoted {
            parts.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        parts.last_mut().expect("there is one").push(c);
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

fn step(text: &str) -> Result<Step, Failure> {
    if let Some(duration) = text.strip_prefix('+') {
        return Ok(Step::Advance(milliseconds(duration)?));
    }
    if !text.starts_with('{') {
        return Ok(Step::Send(Event::new(text), text.to_owned()));
    }
    let json: Json =
        serde_json::from_str(text).map_err(|error| format!("event {text}: {error}"))?;
    if !json.get("type").is_some_and(Json::is_string) {
        return Err(format!(
            "event {text}: no \"type\"; expected {{\"type\": NAME, …}}"
        ));
    }
    Ok(Step::Send(to_event(&from_json(&json)), text.to_owned()))
}

fn milliseconds(text: &str) -> Result<u64, Failure> {
    let (number, scale) = match text.trim() {
        t if t.ends_with("ms") => (&t[..t.len() - 2], 1.0),
        t if t.ends_with('s') => (&t[..t.len() - 1], 1_000.0),
        t => (t, 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok((number * scale).round() as u64),
        _ => Err(format!(
            "{text:?} is no duration; expected one such as 500ms or 2s"
        )),
    }
}

/// What the options say of the names that the machine has.
fn vocabulary(
    args: &RunArgs,
    names: &BTreeSet<(&'static str, String)>,
) -> Result<Vocabulary, Failure> {
    let mut vocabulary = Vocabulary::default();
    let pairs = |list: &[String], kind: &str| -> Result<StdMap<String, String>, Failure> {
        list.iter()
            .map(|text| {
                let (name, value) = (text.split_once('='))
                    .ok_or_else(|| format!("--{kind} {text:?}: expected NAME=VALUE"))?;
                let known = names.iter().filter(|(of, _)| *of == kind);
                let known: Vec<&str> = known.map(|(_, name)| name.as_str()).collect();
                match known.contains(&name) {
                    true => Ok((name.to_owned(), value.to_owned())),
                    false => Err(format!(
                        "--{kind} {text:?}: the machine has no {kind} {name:?}; it has {}",
                        match &known[..] {
                            [] => "none".to_owned(),
                            known => known.join(", "),
                        }
                    )),
                }
            })
            .collect()
    };
    for (name, value) in pairs(&args.guard, "guard")? {
        let holds = match value.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            other => Value::str(other),
        };
        vocabulary.guards.insert(name, holds);
    }
    for (name, value) in pairs(&args.action, "action")? {
        vocabulary.actions.insert(name, vec![Value::str(value)]);
    }
    for (name, value) in pairs(&args.delay, "delay")? {
        let ms = milliseconds(&value)?;
        vocabulary.delays.insert(name, Value::Num(ms as f64));
    }
    Ok(vocabulary)
}

fn to_json(value: &Value) -> Json {
    serde_json::from_str(&value.to_json()).unwrap_or(Json::Null)
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Num(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(s) => Value::str(s),
        Json::Array(items) => Value::List(items.iter().map(from_json).collect()),
        Json::Object(fields) => {
            let mut map = Value::Map(Vec::new());
            for (key, value) in fields {
                map.set_field(key, from_json(value));
            }
            map
        }
    }
}
