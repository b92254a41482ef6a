//! What the fuzz targets do with a text: load it; check, draw, compile and run what was loaded.
//!
//! A target fails on a panic (arithmetic that overflows among them), on a text that takes longer
//! than `-timeout`, and on one that makes the loader ask for more memory than the limits in
//! docs/verification.md. What a loader refuses has a reason.

use mainspring::chart::check::check;
use mainspring::chart::xstate::{CompileError, Machine};
use mainspring::chart::{Model, draw, scxml, svg};
use mainspring::config::Config;

#[path = "../tests/common/any_chart.rs"]
mod any_chart;
use any_chart::{Everything, run};

/// A drawing's time grows with its edges' crossings; larger charts are only loaded.
const DRAWN_STATES_MAX: usize = 64;

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
