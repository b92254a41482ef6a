//! Runs corpora of documents with recorded traces: the folder layout of statechart-conformance.
//!
//! ```text
//!   scxml/scion/CATEGORY/NAME.{scxml,json}   scxml/w3c/{ecma,txml}/*   scxml/tutorial/**
//!   scxml/random/*.jsonl   xstate/{handwritten,published}/*.json   xstate/random/*.jsonl
//! ```

mod converted;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;

use super::json::parse_value;
use super::scxml::session::{Session, loader_of};
use super::scxml::{self, Document};
use super::value::{Event, Name, Value};
use super::xstate::Machine;
use super::xstate::system::{System, Worded};
use super::xstate::vocabulary::{Vocabulary, to_event};

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole trace was the same.
    Pass,
    /// Where it first differed.
    Fail(String),
    /// Why it was not run.
    Skip(String),
}

/// One case and how it went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its category: a folder, or a profile's file.
    pub category: String,
    /// Its name within the category.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
}

/// All cases of a folder.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By category, then in order of their files.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Passed, failed and skipped by category.
    pub fn counts(&self) -> BTreeMap<&str, [usize; 3]> {
        let mut counts = BTreeMap::<&str, [usize; 3]>::new();
        for outcome in &self.outcomes {
            let nth = match outcome.verdict {
                Verdict::Pass => 0,
                Verdict::Fail(_) => 1,
                Verdict::Skip(_) => 2,
            };
            counts.entry(&outcome.category).or_default()[nth] += 1;
        }
        counts
    }

    /// Failures that `exceptions` does not list, and exceptions that pass now. A line of
    /// `exceptions` is `category/name: reason`; empty lines and those that begin with `#` say
    /// nothing. An entry that no case bears is not looked at, since a corpus may hold a part only.
    pub fn surprises(&self, exceptions: &str) -> Vec<String> {
        let listed: BTreeMap<&str, &str> = exceptions
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .filter_map(|line| line.split_once(": "))
            .collect();
        let mut surprises = Vec::new();
        for outcome in &self.outcomes {
            let key = format!("{}/{}", outcome.category, outcome.name);
            match (&outcome.verdict, listed.get(key.as_str())) {
                (Verdict::Fail(why), None) => surprises.push(format!("{key}: {why}")),
                (Verdict::Pass, Some(_)) => {
                    surprises.push(format!("{key}: is listed as an exception, but passes"));
                }
                _ => {}
            }
        }
        surprises
    }

    pub(crate) fn add(&mut self, category: &str, name: &str, verdict: Verdict) {
        self.outcomes.push(Outcome {
            category: category.to_owned(),
            name: name.to_owned(),
            verdict,
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:32} {:>6} {:>6} {:>8}",
            "category", "pass", "fail", "skipped"
        )?;
        for (category, [pass, fail, skip]) in self.counts() {
            writeln!(f, "{category:32} {pass:6} {fail:6} {skip:8}")?;
        }
        Ok(())
    }
}

/// Runs every case below `dir`.
///
/// # Errors
///
/// A file that could not be read. Documents that are wrong are failures, not errors.
pub fn conform(dir: &Path) -> io::Result<Report> {
    run(dir, &NATIVE)
}

/// Runs every case below `dir` whose chart [converts](super::convert) into the other format, in that
/// format, against the same recorded traces; the others are skipped, with the first reason.
///
/// What `log:` and `show:` write is compared, and nothing that the vocabulary logs of itself.
///
/// # Errors
///
/// A file that could not be read.
pub fn conform_converted(dir: &Path) -> io::Result<Report> {
    run(dir, &converted::CONVERTED)
}

/// How the cases of each kind are run.
struct Runner {
    xstate: fn(&str) -> Verdict,
    scion: fn(&str, &str) -> Verdict,
    random_scxml: fn(&str) -> Verdict,
    pass_or_fail: fn(&str, HashMap<String, String>) -> Verdict,
}

const NATIVE: Runner = Runner {
    xstate: xstate_case,
    scion: |text, script| verdict(scion_case(text, script)),
    random_scxml: |line| verdict(random_scxml(line)),
    pass_or_fail,
};

fn run(dir: &Path, by: &Runner) -> io::Result<Report> {
    let mut report = Report::default();
    for part in ["handwritten", "published"] {
        let category = format!("xstate/{part}");
        for path in files(&dir.join(&category), "json")? {
            let text = std::fs::read_to_string(&path)?;
            report.add(&category, &stem(&path), (by.xstate)(&text));
        }
    }
    for path in files(&dir.join("xstate/random"), "jsonl")? {
        let category = format!("xstate/random/{}", stem(&path));
        for line in std::fs::read_to_string(&path)?.lines() {
            report.add(&category, &case_id(line), (by.xstate)(line));
        }
    }
    scxml_cases(dir, by, &mut report)?;
    Ok(report)
}

fn scxml_cases(dir: &Path, by: &Runner, report: &mut Report) -> io::Result<()> {
    let index = dir.join("scxml/index.json");
    let index = if index.is_file() {
        parse_value(&std::fs::read_to_string(index)?).unwrap_or_default()
    } else {
        Value::Undefined
    };
    for part in ["ecma", "txml"] {
        let category = format!("scxml/w3c/{part}");
        let folder = dir.join(&category);
        let ending = if part == "ecma" { "scxml" } else { "txml" };
        let paths = files(&folder, ending)?;
        let mut documents = HashMap::new();
        for path in &paths {
            let text = std::fs::read_to_string(path)?;
            documents.insert(format!("{}.{ending}", stem(path)), text.clone());
            documents.insert(format!("{}.scxml", stem(path)), text);
        }
        for path in files(&folder, "txt")? {
            let bytes = std::fs::read(&path)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            documents.insert(format!("{}.txt", stem(&path)), text);
        }
        for path in &paths {
            let name = stem(path);
            if name.contains("sub") {
                continue; // belongs to another test
            }
            let text = &documents[&format!("{name}.{ending}")];
            let skip = match text.contains("datamodel=\"xpath\"") {
                true => Some("needs the XPath data model".to_owned()),
                false => why_not_w3c(&index, &name),
            };
            let verdict = match skip {
                Some(why) => Verdict::Skip(why),
                None => {
                    (by.pass_or_fail)(&documents[&format!("{name}.{ending}")], documents.clone())
                }
            };
            report.add(&category, &name, verdict);
        }
    }
    for (_, path) in in_folders(&dir.join("scxml/tutorial/ecma/Custom"))? {
        let text = std::fs::read_to_string(&path)?;
        let verdict = (by.pass_or_fail)(&text, HashMap::new());
        report.add("scxml/tutorial", &stem(&path), verdict);
    }
    for (folder, path) in in_folders(&dir.join("scxml/scion"))? {
        let text = std::fs::read_to_string(&path)?;
        let script = std::fs::read_to_string(path.with_extension("json"))?;
        let name = format!("{folder}/{}", stem(&path));
        report.add("scxml/scion", &name, (by.scion)(&text, &script));
    }
    for path in files(&dir.join("scxml/random"), "jsonl")? {
        let category = format!("scxml/random/{}", stem(&path));
        for line in std::fs::read_to_string(&path)?.lines() {
            report.add(&category, &case_id(line), (by.random_scxml)(line));
        }
    }
    Ok(())
}

/// The documents in the folders of `dir`, in order, each with its folder's name.
fn in_folders(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders: Vec<_> = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        let name = stem(&folder);
        found.extend(
            files(&folder, "scxml")?
                .into_iter()
                .map(|p| (name.clone(), p)),
        );
    }
    Ok(found)
}

fn verdict(result: Result<(), String>) -> Verdict {
    match result {
        Ok(()) => Verdict::Pass,
        Err(why) => Verdict::Fail(why),
    }
}

/// Why a W3C test cannot be run here by anybody, if so.
fn why_not_w3c(index: &Value, name: &str) -> Option<String> {
    let entry = list(index.field("w3c")?)
        .iter()
        .find(|e| e.field("test").and_then(Value::text) == Some(name))?;
    let is = |key: &str| entry.field(key) == Some(&Value::Bool(true));
    if is("manual") {
        return Some("needs a human to judge".into());
    }
    is("http").then(|| "needs the optional Basic HTTP event processor".into())
}

fn compiled(text: &str, files: &HashMap<String, String>) -> Result<Arc<Document>, String> {
    let find = |address: &str| {
        let name = address.rsplit(['/', ':']).next().unwrap_or(address);
        files.get(name).cloned()
    };
    match scxml::compile_with(text, &find) {
        Ok(document) => Ok(Arc::new(document)),
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err(texts.join("; "))
        }
    }
}

/// Runs a document that ends in `pass` or `fail` for at most 60 virtual seconds.
fn pass_or_fail(text: &str, documents: HashMap<String, String>) -> Verdict {
    let document = match compiled(text, &documents) {
        Ok(document) => document,
        Err(why) => return Verdict::Fail(why),
    };
    let mut session = Session::start(document, loader_of(documents));
    let mut left = 60_000;
    while !session.is_over()
        && let Some(ms) = session.next_due().filter(|&ms| ms <= left)
    {
        session.advance(ms);
        left -= ms;
        if session.is_exhausted() {
            break;
        }
    }
    match session.configuration()[..] {
        ["pass"] => Verdict::Pass,
        ref other => Verdict::Fail(format!("ended in {other:?}")),
    }
}

fn scion_case(text: &str, script: &str) -> Result<(), String> {
    let script = parse_value(script)?;
    let mut session = Session::start(compiled(text, &HashMap::new())?, loader_of(HashMap::new()));
    let same = |session: &Session, want: Option<&Value>, label: &str| -> Result<(), String> {
        let mut have = session.configuration();
        have.sort_unstable();
        let want = want.map_or(&[][..], list).iter();
        let mut want: Vec<&str> = want.filter_map(Value::text).collect();
        want.sort_unstable();
        if have == want {
            Ok(())
        } else {
            Err(format!("{label}: expected {want:?}, got {have:?}"))
        }
    };
    same(&session, script.field("initialConfiguration"), "start")?;
    for (nth, step) in list(script.field("events").unwrap_or(&Value::Null))
        .iter()
        .enumerate()
    {
        if let Some(ms) = step.field("after").and_then(Value::num) {
            session.advance(ms as u64);
        }
        if let Some(event) = step.field("event") {
            let name = event
                .field("name")
                .and_then(Value::text)
                .unwrap_or_default();
            let data = event.field("data").cloned().unwrap_or_default();
            session.send(Event::new(name).with(data));
        }
        same(
            &session,
            step.field("nextConfiguration"),
            &format!("step {}", nth + 1),
        )?;
    }
    Ok(())
}

fn random_scxml(line: &str) -> Result<(), String> {
    let case = parse_value(line)?;
    let text = case
        .field("scxml")
        .and_then(Value::text)
        .ok_or("no document")?;
    let mut session = Session::start(compiled(text, &HashMap::new())?, loader_of(HashMap::new()));
    let names = list(case.field("data").unwrap_or(&Value::Null));
    let same = |session: &mut Session, want: Option<&Value>, label: &str| -> Result<(), String> {
        let want = want.ok_or_else(|| format!("{label}: no expectation"))?;
        let conf = session
            .configuration()
            .into_iter()
            .map(Value::str)
            .collect();
        let mut data = Value::Map(Vec::new());
        for name in names.iter().filter_map(Value::text) {
            data.set_field(name, session.variable(name).cloned().unwrap_or_default());
        }
        let log = std::mem::take(&mut session.log)
            .into_iter()
            .map(|(label, value)| {
                Value::str(match value {
                    Some(value) => format!("{label}={}", value.to_json()),
                    None => label.to_string(),
                })
            });
        let log = Value::List(log.collect());
        let done = session.is_over().then(|| Value::str("done"));
        let same = [
            ("conf", Some(Value::List(conf))),
            ("data", Some(data)),
            ("log", Some(log)),
            ("status", done),
        ];
        for (key, have) in same {
            if want.field(key) != have.as_ref() && !(key == "data" && want.field(key).is_none()) {
                let show = |v: Option<&Value>| v.map_or("absent".to_owned(), Value::to_json);
                return Err(format!(
                    "{label}: {key}: expected {}, got {}",
                    show(want.field(key)),
                    show(have.as_ref())
                ));
            }
        }
        Ok(())
    };
    let expected = list(case.field("expect").ok_or("no expectation")?);
    same(&mut session, expected.first(), "start")?;
    for (nth, step) in list(case.field("steps").unwrap_or(&Value::Null))
        .iter()
        .enumerate()
    {
        if let Some(event) = step.field("send") {
            let name = event
                .field("name")
                .and_then(Value::text)
                .unwrap_or_default();
            session.send(Event::new(name));
        } else if let Some(ms) = step.field("advance").and_then(Value::num) {
            session.advance(ms as u64);
        }
        let label = format!("step {} {}", nth + 1, step.to_json());
        same(&mut session, expected.get(nth + 1), &label)?;
    }
    Ok(())
}

/// The files in a folder with that ending, sorted; none where there is no folder.
pub(crate) fn files(dir: &Path, ending: &str) -> io::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

pub(crate) fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

pub(crate) fn case_id(line: &str) -> String {
    let id = line
        .split_once("\"id\":\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    id.map_or("?", |(id, _)| id).to_owned()
}

fn xstate_case(text: &str) -> Verdict {
    match run_xstate(text) {
        Ok(()) => Verdict::Pass,
        Err(why) => Verdict::Fail(why),
    }
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn fields(value: Option<&Value>) -> &[(Name, Value)] {
    match value {
        Some(Value::Map(fields)) => fields,
        _ => &[],
    }
}

fn run_xstate(text: &str) -> Result<(), String> {
    let case = parse_value(text)?;
    let imp = case.field("impl");
    let vocabulary = Vocabulary {
        actions: fields(imp.and_then(|i| i.field("actions")))
            .iter()
            .map(|(name, meaning)| {
                let meaning = match meaning {
                    Value::List(items) => items.clone(),
                    one => vec![one.clone()],
                };
                (name.to_string(), meaning)
            })
            .collect(),
        guards: fields(imp.and_then(|i| i.field("guards")))
            .iter()
            .map(|(name, meaning)| (name.to_string(), meaning.clone()))
            .collect(),
        delays: fields(imp.and_then(|i| i.field("delays")))
            .iter()
            .map(|(name, meaning)| (name.to_string(), meaning.clone()))
            .collect(),
        ..Vocabulary::default()
    };
    let sources: HashMap<Name, Name> = fields(imp.and_then(|i| i.field("actors")))
        .iter()
        .filter_map(|(name, source)| Some((name.clone(), source.text()?.into())))
        .collect();
    let worded = |machine: &Value| -> Result<Rc<Worded>, String> {
        let machine = Machine::parse(&in_order(machine)).map_err(|p| p.to_string())?;
        let worded = Worded::new(&machine, vocabulary.clone()).map_err(|e| e.to_string())?;
        Ok(Rc::new(worded))
    };
    let root = worded(case.field("machine").ok_or("no machine")?)?;
    let mut machines = HashMap::new();
    for (name, machine) in fields(case.field("machines")) {
        machines.insert(name.clone(), worded(machine)?);
    }
    let input = case.field("input").cloned().unwrap_or_default();
    let mut system = System::start(root, machines, sources, input);
    let expected = list(case.field("expect").ok_or("no expectation")?);
    compare(&mut system, expected.first(), None, "start")?;
    for (nth, step) in list(case.field("steps").unwrap_or(&Value::Null))
        .iter()
        .enumerate()
    {
        let mut can = None;
        if let Some(event) = step.field("send") {
            system.send(to_event(event));
        } else if let Some(ms) = step.field("advance").and_then(Value::num) {
            system.advance(ms as u64);
        } else if let Some(id) = step.field("resolve").and_then(Value::text) {
            system.resolve(id, Ok(step.field("output").cloned().unwrap_or_default()));
        } else if let Some(id) = step.field("reject").and_then(Value::text) {
            system.resolve(id, Err(step.field("error").cloned().unwrap_or_default()));
        } else if let Some(event) = step.field("can") {
            can = Some(system.can(&to_event(event)));
        } else if step.field("stop").is_some() {
            system.stop();
        } else if step.field("restore").is_some() {
            system.restore(Ok)?;
        }
        let label = format!("step {} {}", nth + 1, step.to_json());
        compare(&mut system, expected.get(nth + 1), can, &label)?;
    }
    Ok(())
}

/// JSON text that keeps the order of keys.
fn in_order(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::List(items) => {
                out.push('[');
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            Value::Map(fields) => {
                out.push('{');
                for (nth, (key, item)) in fields.iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::Str(key.clone()).to_json());
                    out.push(':');
                    write(item, out);
                }
                out.push('}');
            }
            other => out.push_str(&other.to_json()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn compare(
    system: &mut System,
    expected: Option<&Value>,
    can: Option<bool>,
    label: &str,
) -> Result<(), String> {
    let Some(expected) = expected else {
        return Err(format!("{label}: no expectation"));
    };
    let mut view = system.view();
    let mut root = Vec::new();
    let mut children = Value::Map(Vec::new());
    for (actor, id, line) in std::mem::take(&mut system.log) {
        if actor == 0 {
            root.push(Value::str(line));
            continue;
        }
        let mut lines = list(children.field(&id).unwrap_or(&Value::Null)).to_vec();
        lines.push(Value::str(line));
        children.set_field(&id, Value::List(lines));
    }
    view.set_field("log", Value::List(root));
    if children != Value::Map(Vec::new()) {
        view.set_field("childLogs", children);
    }
    let emitted = std::mem::take(&mut system.emitted);
    if !emitted.is_empty() {
        let all = emitted.into_iter().map(|event| {
            let mut json = Value::Map(vec![("type".into(), Value::Str(event.name))]);
            for (key, value) in fields(Some(&event.data)) {
                json.set_field(key, value.clone());
            }
            json
        });
        view.set_field("emitted", Value::List(all.collect()));
    }
    if let Some(can) = can {
        view.set_field("can", Value::Bool(can));
    }
    for key in [
        "conf",
        "value",
        "status",
        "context",
        "log",
        "childLogs",
        "emitted",
        "children",
        "tags",
        "meta",
        "output",
        "error",
        "can",
    ] {
        let (want, have) = (expected.field(key), view.field(key));
        let optional = matches!(key, "value" | "meta") && want.is_none();
        let any = key == "error" && want.and_then(Value::text) == Some("*") && have.is_some();
        if want != have && !optional && !any {
            let show = |v: Option<&Value>| v.map_or("absent".to_owned(), Value::to_json);
            return Err(format!(
                "{label}: {key}: expected {}, got {}",
                show(want),
                show(have)
            ));
        }
    }
    Ok(())
}
