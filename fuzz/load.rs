//! What the fuzz targets do with a text: load it; check, draw, compile and run what was loaded.
//!
//! A target fails on a panic (arithmetic that overflows among them), on a text that takes longer
//! than `-timeout`, and on one that makes the loader ask for more memory than the limits in
//! docs/verification.md. What a loader refuses has a reason.

use mainspring::chart::check::check;
use mainspring::chart::loaded::{ActionFn, GuardFn};
use mainspring::chart::xstate::{CompileError, DelayFn, Library, Machine, Mention};
use mainspring::chart::{Buffers, Chart, Event, Logic, Model, Value, draw, scxml, svg};
use mainspring::config::Config;

/// A drawing's time grows with its edges' crossings; larger charts are only loaded.
const DRAWN_STATES_MAX: usize = 64;

/// Knows every name: an action counts, a guard asks whether the count is even.
struct Everything;

impl Library<u64> for Everything {
    fn action(&mut self, _: Mention<'_>) -> Option<ActionFn<u64>> {
        Some(Box::new(|scope| {
            *scope.context += 1;
            Ok(())
        }))
    }

    fn guard(&mut self, _: &str, _: Option<&Value>) -> Option<GuardFn<u64>> {
        Some(Box::new(|ask| Ok(ask.context.is_multiple_of(2))))
    }

    fn delay(&mut self, _: &str) -> Option<DelayFn<u64>> {
        Some(Box::new(|_| Some(1.0)))
    }

    fn actor(&mut self, _: &str) -> bool {
        true
    }
}

/// An XState machine.
pub fn xstate(text: &str) {
    let Ok(machine) = Machine::parse(text) else {
        return;
    };
    look(&machine.model());
    match machine.compile(&mut Everything) {
        Ok(compiled) => run(compiled.chart, 0),
        Err(CompileError::Document(problems)) => {
            assert!(!problems.is_empty(), "refused without a reason");
        }
        Err(CompileError::Names(error)) => panic!("every name is known: {error}"),
    }
}

/// An SCXML document.
pub fn scxml(text: &str) {
    if let Ok(model) = scxml::model(text) {
        look(&model);
    }
    match scxml::compile(text) {
        Ok(document) => run(document.chart, Default::default()),
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
}

/// An expression of the small language: as a condition, as a value, as a place and as a script.
pub fn expression(text: &str) {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => quoted += "&lt;",
            '&' => quoted += "&amp;",
            '\'' => quoted += "&apos;",
            other => quoted.push(other),
        }
    }
    scxml(&format!(
        "<scxml datamodel='ecmascript'>\
         <datamodel><data id='a' expr='[1, 2, {{x: 3}}]'/><data id='b' expr='{quoted}'/></datamodel>\
         <state id='s'>\
         <onentry><assign location='a' expr='{quoted}'/><assign location='{quoted}' expr='1'/>\
         <log expr='{quoted}'/><foreach array='{quoted}' item='i'><log expr='i'/></foreach></onentry>\
         <transition event='GO' cond='{quoted}' target='t'/></state>\
         <state id='t'><onentry><script>{quoted}</script></onentry></state></scxml>"
    ));
}

/// A configuration file.
pub fn config(text: &str) {
    if let Err(error) = Config::builder().toml("fuzz.toml", text).build() {
        assert!(!error.problems().is_empty(), "refused without a reason");
        assert!(!error.to_string().is_empty());
    }
}

fn look(model: &Model) {
    check(model);
    if model.states.len() <= DRAWN_STATES_MAX && model.problems.is_empty() {
        draw::mermaid(model);
        svg::svg(model);
    }
}

/// A few events; a chart that does not come to rest ends at its limit.
fn run<L: Logic<Event = Event>>(mut chart: Chart<L>, context: L::Context) {
    chart.microsteps_max = 50;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(context, &Event::new("init"), &mut buffers);
    if started.is_err() {
        return;
    }
    for name in ["GO", "go", "x.y", "BACK", "GO", "RESET", "late", "GO"] {
        let event = Event::new(name);
        let class = chart.table().class(name);
        let _ = chart.step(&mut instance, class, &event, &mut buffers);
        buffers.effects().clear();
    }
}
