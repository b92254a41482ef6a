//! Recorded cases, run in the other format.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;

use super::super::check::Problem;
use super::super::convert::{to_scxml, to_xstate};
use super::super::json::parse_value;
use super::super::scxml;
use super::super::scxml::session::{Session, loader_of};
use super::super::value::{Event, Value};
use super::super::xstate::system::{System, Worded};
use super::super::xstate::vocabulary::{Vocabulary, to_event};
use super::super::xstate::{self, Machine};
use super::{Runner, Verdict, fields, in_order, list};

pub(super) const CONVERTED: Runner = Runner {
    xstate: |text| verdict(machine(text)),
    scion: |text, script| verdict(scion(text, script)),
    random_scxml: |line| verdict(random(line)),
    pass_or_fail: |text, _| verdict(pass_or_fail(text)),
};

/// Why a case was not run as recorded.
enum Not {
    Run(String),
    Same(String),
}

impl From<String> for Not {
    fn from(why: String) -> Self {
        Self::Same(why)
    }
}

fn verdict(result: Result<(), Not>) -> Verdict {
    match result {
        Ok(()) => Verdict::Pass,
        Err(Not::Run(why)) => Verdict::Skip(why),
        Err(Not::Same(why)) => Verdict::Fail(why),
    }
}

fn skipped(problems: Vec<Problem>) -> Not {
    Not::Run(problems.first().map_or(String::new(), |p| p.to_string()))
}

fn same(what: &str, label: &str, want: &[String], have: &[String]) -> Result<(), Not> {
    if want == have {
        return Ok(());
    }
    let what = format!("{label}: {what}: expected {want:?}, got {have:?}");
    Err(Not::Same(what))
}

/// What `log:` and `show:` write, as a document's `<log>` writes it.
fn logged(line: &str) -> Option<String> {
    let text = line.strip_prefix("log:").or(line.strip_prefix("show:"));
    text.map(str::to_owned)
}

fn texts(values: Option<&Value>) -> Vec<String> {
    let values = values.map_or(&[][..], list);
    values
        .iter()
        .filter_map(Value::text)
        .map(str::to_owned)
        .collect()
}

/// A machine's case, run as a document.
fn machine(text: &str) -> Result<(), Not> {
    let case = parse_value(text)?;
    for (key, why) in [
        ("impl", "its names have a meaning outside of the machine"),
        ("machines", "it starts machines"),
        ("input", "its context takes an input"),
    ] {
        if case.field(key).is_some_and(|v| !fields(Some(v)).is_empty()) {
            return Err(Not::Run(why.to_owned()));
        }
    }
    let source = in_order(
        case.field("machine")
            .ok_or_else(|| "no machine".to_owned())?,
    );
    let document = to_scxml(&source).map_err(skipped)?;
    let original = Machine::parse(&source).map_err(|p| p.to_string())?.model();
    let document = scxml::compile(&document).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("{}\n{document}", texts.join("; "))
    })?;
    // The document has a root of its own around a machine's root that does something.
    let around = document.model.states.len() - original.states.len();
    let paths: HashMap<String, String> = (document.model.states.iter().skip(around))
        .zip(0..)
        .map(|(state, s)| (state.id.clone(), xstate::path(&original, s)))
        .collect();
    let mut session = Session::start(Arc::new(document), loader_of(HashMap::new()));
    let compare = |session: &mut Session, want: Option<&Value>, label: &str| {
        let want = want.ok_or_else(|| format!("{label}: no expectation"))?;
        if let Some("error" | "stopped") = want.field("status").and_then(Value::text) {
            return Err(Not::Same(format!("{label}: it converted, but fails")));
        }
        let conf: Vec<String> = session
            .configuration()
            .iter()
            .map(|id| paths.get(*id).cloned().unwrap_or_else(|| (*id).to_owned()))
            .collect();
        same("conf", label, &texts(want.field("conf")), &conf)?;
        for (name, value) in fields(want.field("context")) {
            let have = session.variable(name).cloned().unwrap_or_default();
            same(name, label, &[value.to_json()], &[have.to_json()])?;
        }
        let lines = texts(want.field("log"));
        let lines: Vec<String> = lines.iter().filter_map(|l| logged(l)).collect();
        same("log", label, &lines, &take_log(session))?;
        let is_over = want.field("status").is_some();
        same(
            "done",
            label,
            &[is_over.to_string()],
            &[session.is_over().to_string()],
        )
    };
    let expected = list(case.field("expect").unwrap_or(&Value::Null));
    compare(&mut session, expected.first(), "start")?;
    for (nth, step) in list(case.field("steps").unwrap_or(&Value::Null))
        .iter()
        .enumerate()
    {
        let label = format!("step {} {}", nth + 1, step.to_json());
        if let Some(event) = step.field("send") {
            session.send(to_event(event));
        } else if let Some(ms) = step.field("advance").and_then(Value::num) {
            session.advance(ms as u64);
        } else {
            return Err(Not::Run(format!("{label} has no counterpart")));
        }
        compare(&mut session, expected.get(nth + 1), &label)?;
    }
    Ok(())
}

fn take_log(session: &mut Session) -> Vec<String> {
    std::mem::take(&mut session.log)
        .into_iter()
        .map(|(label, value)| match value {
            Some(value) => format!("{label}={}", value.to_json()),
            None => label.to_string(),
        })
        .collect()
}

/// A document as a machine, and its states' ids by their paths in the machine.
struct AsMachine {
    system: System,
    ids: HashMap<String, String>,
}

impl AsMachine {
    fn start(text: &str) -> Result<Self, Not> {
        let source = to_xstate(text).map_err(skipped)?;
        let machine = Machine::parse(&source).map_err(|p| p.to_string())?;
        let original = scxml::model(text).map_err(|p| p.to_string())?;
        let model = machine.model();
        let ids = (0..)
            .zip(&original.states)
            .map(|(s, state)| (xstate::path(&model, s), state.id.clone()))
            .collect();
        let worded = Worded::new(&machine, Vocabulary::default());
        let worded = worded.map_err(|e| format!("{e}\n{source}"))?;
        let system = System::start(
            Rc::new(worded),
            HashMap::new(),
            HashMap::new(),
            Value::Undefined,
        );
        Ok(Self { system, ids })
    }

    fn configuration(&self) -> Vec<String> {
        let paths = texts(self.system.view().field("conf"));
        let id = |path: &String| self.ids.get(path).unwrap_or(path).clone();
        paths.iter().map(id).collect()
    }
}

fn random(line: &str) -> Result<(), Not> {
    let case = parse_value(line)?;
    let text = case.field("scxml").and_then(Value::text);
    let mut run = AsMachine::start(text.ok_or_else(|| "no document".to_owned())?)?;
    let names = texts(case.field("data"));
    let compare = |run: &mut AsMachine, want: Option<&Value>, label: &str| {
        let want = want.ok_or_else(|| format!("{label}: no expectation"))?;
        same(
            "conf",
            label,
            &texts(want.field("conf")),
            &run.configuration(),
        )?;
        let view = run.system.view();
        for name in &names {
            let of = |v: Option<&Value>| {
                v.and_then(|v| v.field(name))
                    .map_or_else(String::new, Value::to_json)
            };
            if let Some(data) = want.field("data") {
                same(name, label, &[of(Some(data))], &[of(view.field("context"))])?;
            }
        }
        let lines: Vec<String> = std::mem::take(&mut run.system.log)
            .iter()
            .filter_map(|(_, _, line)| logged(line))
            .collect();
        same("log", label, &texts(want.field("log")), &lines)?;
        let status = |v: &Value| v.field("status").map_or_else(String::new, Value::to_json);
        same("status", label, &[status(want)], &[status(&view)])
    };
    let expected = list(case.field("expect").unwrap_or(&Value::Null));
    compare(&mut run, expected.first(), "start")?;
    for (nth, step) in list(case.field("steps").unwrap_or(&Value::Null))
        .iter()
        .enumerate()
    {
        if let Some(event) = step.field("send") {
            let name = event.field("name").and_then(Value::text);
            run.system.send(Event::new(name.unwrap_or_default()));
        } else if let Some(ms) = step.field("advance").and_then(Value::num) {
            run.system.advance(ms as u64);
        }
        let label = format!("step {} {}", nth + 1, step.to_json());
        compare(&mut run, expected.get(nth + 1), &label)?;
    }
    Ok(())
}

fn scion(text: &str, script: &str) -> Result<(), Not> {
    let script = parse_value(script)?;
    let mut run = AsMachine::start(text)?;
    let compare = |run: &AsMachine, want: Option<&Value>, label: &str| {
        let mut have = run.configuration();
        have.sort_unstable();
        let mut want = texts(want);
        want.sort_unstable();
        same("conf", label, &want, &have)
    };
    compare(&run, script.field("initialConfiguration"), "start")?;
    for (nth, step) in list(script.field("events").unwrap_or(&Value::Null))
        .iter()
        .enumerate()
    {
        if let Some(ms) = step.field("after").and_then(Value::num) {
            run.system.advance(ms as u64);
        }
        if let Some(event) = step.field("event") {
            let name = event.field("name").and_then(Value::text);
            run.system.send(Event::new(name.unwrap_or_default()));
        }
        compare(
            &run,
            step.field("nextConfiguration"),
            &format!("step {}", nth + 1),
        )?;
    }
    Ok(())
}

fn pass_or_fail(text: &str) -> Result<(), Not> {
    let mut run = AsMachine::start(text)?;
    run.system.advance(60_000);
    same("conf", "end", &["pass".to_owned()], &run.configuration())
}
