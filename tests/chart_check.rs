//! Every kind of problem that the check knows: where it is, what is wrong, what would be right.
#![cfg(all(feature = "xstate", feature = "scxml"))]

use mainspring::chart::check::{DEPTH_MAX, check};
use mainspring::chart::{scxml, xstate};

fn said(text: &str) -> Vec<String> {
    let model = match text.trim_start().starts_with('<') {
        true => scxml::model(text),
        false => xstate::Machine::parse(text).map(|machine| machine.model()),
    };
    match model {
        Ok(model) => check(&model).iter().map(ToString::to_string).collect(),
        Err(problem) => vec![problem.to_string()],
    }
}

/// A text and all that is said about it.
type Row = (&'static str, &'static [&'static str]);

const XSTATE: &[Row] = &[
    (
        r#"{ "initial": "a", "states": { "a": {} }"#,
        &["1:40: error [json]: expected ',' or '}', found the end; a machine is a JSON object"],
    ),
    (
        r#"[1]"#,
        &["1:1: error [json]: the document is no JSON object; a machine is a JSON object"],
    ),
    (
        r#"{ "initial": "a", "states": { "a": {},
             "a": {} } }"#,
        &[
            r#"2:14: error [json]: the key "a" is there twice, first in line 1; a machine is a JSON object with "initial" and "states""#,
        ],
    ),
    (
        r#"{ "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1,
             "b": 2, "initial": "a", "states": { "a": {} } }"#,
        &[
            r#"2:14: error [json]: the key "b" is there twice, first in line 1; a machine is a JSON object with "initial" and "states""#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": { "a": { "on": { "E": "a" }, "invoke": [
             { "id": "load", "onDone": "a" },
             { "src": "", "onDone": "a" } ] } } }"#,
        &[
            r#"2:14: error [invoke]: the invocation "load" names no actor by "src"; say what it starts: "src": "NAME""#,
            r#"3:14: error [invoke]: the invocation "1.(machine).a" names no actor by "src"; say what it starts: "src": "NAME""#,
        ],
    ),
    (
        r#"{ "initial": "off", "states": {
             "off": { "on": { "SWITCH": "onn" } },
             "on": { "on": { "SWITCH": "off" } } } }"#,
        &[
            r#"2:41: error [target]: no state "onn" as seen from "(machine).off"; did you mean "on"?"#,
        ],
    ),
    (
        r##"{ "initial": "off", "states": {
             "off": { "on": { "SWITCH": "#lamp" } } } }"##,
        &[r##"2:41: error [target]: no state "#lamp" as seen from "(machine).off""##],
    ),
    (
        r#"{ "initial": "of", "states": {
             "off": { "on": { "SWITCH": "on" } },
             "on": { "on": { "SWITCH": "off" } } } }"#,
        &[
            r#"1:14: error [initial]: the initial state "of" is no child of "(machine)"; did you mean "off"?"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": "b" } },
             "b": { "on": { "E": "a" }, "states": { "c": { "on": { "F": "c" } } } } } }"#,
        &[
            r#"3:19: error [initial]: "(machine).b" has no initial state; name the child it begins in"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": "a" } },
             "lost": { "on": { "E": "a" } } } }"#,
        &[
            r#"3:22: warning [unreachable]: nothing leads to "(machine).lost"; add a transition to it, or remove it"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": "end" } },
             "end": {} } }"#,
        &[
            r#"3:21: warning [dead end]: nothing leads out of "(machine).end"; add a transition, or make it final"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": [ "b",
                 { "target": "a", "guard": "never asked" } ] } },
             "b": { "on": { "E": "a" } } } }"#,
        &[
            r#"3:18: warning [shadowed]: a transition of "(machine).a" is never taken; an earlier one for the same event has no guard: reorder them"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": "b" } },
             "b": { "always": "c" },
             "c": { "always": "b" } } }"#,
        &[
            r#"3:31: warning [circle]: eventless transitions go round in a circle through "(machine).b"; give one of them a guard that ends it"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "entry": { "type": "xstate.raise", "params": { "event": { "type": "RING" } } },
                    "on": { "RUNG": "b" } },
             "b": { "exit": "raise:GONE", "on": { "E": "a" } } } }"#,
        &[
            r#"2:30: warning [unhandled]: no state handles the event "RING" that the chart raises; did you mean "RUNG"?"#,
            r#"4:29: warning [unhandled]: no state handles the event "GONE" that the chart raises; add a transition for it, or remove it"#,
        ],
    ),
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": { "target": ["b", "c"] } } },
             "b": { "on": { "E": "a" } }, "c": { "on": { "E": "a" } } } }"#,
        &[
            r#"2:34: warning [targets]: the targets of a transition of "(machine).a" exclude each other; name one state in each region of a parallel state"#,
        ],
    ),
    (
        r##"{ "initial": "a", "states": {
             "a": { "on": { "E": "#h", "F": "#end" } },
             "p": { "initial": "c", "on": { "E": "a" }, "states": { "c": {},
                 "h": { "id": "h", "type": "history", "target": "#(machine).a" } } },
             "end": { "id": "end", "type": "final", "states": { "never": { "type": "final" } } } } }"##,
        &[
            r#"4:23: warning [history]: the default "(machine).a" of the history "h" is not in "(machine).p"; name a state inside of it"#,
            r#"5:21: warning [final]: "end" is final and has states, which are never entered; make it no final state, or take them out of it"#,
            r#"5:74: warning [unreachable]: nothing leads to "(machine).end.never""#,
        ],
    ),
    (
        r#"{ "initial": "a", "stats": {}, "states": {
             "a": { "on": { "E": { "tagret": "a" } } } } }"#,
        &[
            r#"1:28: warning [unread]: the key "stats" of a state is not read; did you mean "states"?"#,
            r#"2:46: warning [unread]: the key "tagret" of a transition is not read; did you mean "target"?"#,
        ],
    ),
    // All at once, and no state is called lost to which a misspelt target leads.
    (
        r#"{ "initial": "a", "states": {
             "a": { "on": { "E": "busi", "F": [ "a", "a" ] } },
             "busy": {},
             "lost": { "on": { "E": "a" } },
             "far": { "on": { "E": "nowhere" } } } }"#,
        &[
            r#"2:34: error [target]: no state "busi" as seen from "(machine).a"; did you mean "busy"?"#,
            r#"5:36: error [target]: no state "nowhere" as seen from "(machine).far""#,
            r#"4:22: warning [unreachable]: nothing leads to "(machine).lost""#,
            r#"5:21: warning [unreachable]: nothing leads to "(machine).far""#,
            r#"3:22: warning [dead end]: nothing leads out of "(machine).busy""#,
            r#"2:54: warning [shadowed]: a transition of "(machine).a" is never taken"#,
        ],
    ),
];

const SCXML: &[Row] = &[
    (
        "<scxml><state id=\"a\"></scxml>",
        &["1:22: error [xml]: expected 'state' tag, not 'scxml'"],
    ),
    (
        "<chart/>",
        &[r#"1:1: error [root]: the root element is "chart"; it must be "scxml""#],
    ),
    (
        "<scxml initial=\"a\">\n <state id=\"a\"><transition event=\"e\" target=\"busi\"/></state>\n \
         <state id=\"busy\"><transition event=\"e\" target=\"a\"/></state></scxml>",
        &[r#"2:16: error [target]: no state has the id "busi"; did you mean "busy"?"#],
    ),
    (
        "<scxml>\n <state id=\"a\"><transition event=\"e\" target=\"b\"/></state>\n \
         <state id=\"b\"><transition event=\"e\" target=\"h\"/>\n  <history id=\"h\"/>\n  \
         <state id=\"c\"/></state></scxml>",
        &[
            r#"4:3: warning [history]: the history "h" has no default; give it a transition to where it leads before it remembers"#,
        ],
    ),
    (
        "<scxml>\n <state id=\"a\" initial=\"b\"><state id=\"c\"/>\n  \
         <transition event=\"e\" target=\"b\"/></state>\n <state id=\"b\"><transition evnt=\"e\" target=\"c\" cond=\"1 +\"/></state></scxml>",
        &[
            r#"4:16: warning [unread]: the attribute "evnt" of <transition> is not read; did you mean "event"?"#,
            r#"4:16: warning [expression]: cond="1 +" is not in the small language: "#,
            r#"2:2: warning [initial]: the initial state "b" of "a" is not in it; name a state inside of it"#,
        ],
    ),
    (
        "<scxml>\n <state id=\"a\"><onentry><raise event=\"on.fire\"/></onentry>\n  \
         <transition event=\"on.time\" target=\"a\"/></state></scxml>",
        &[
            r#"2:25: warning [unhandled]: no state handles the event "on.fire" that the chart raises; did you mean "on.time"?"#,
        ],
    ),
    (
        "<scxml>\n <state id=\"a\"><transition target=\"b\"/></state>\n \
         <state id=\"b\"><transition target=\"a\"/></state></scxml>",
        &[
            r#"2:16: warning [circle]: eventless transitions go round in a circle through "a"; give one of them a guard that ends it"#,
        ],
    ),
    (
        "<scxml>\n <state id=\"a\"><transition event=\"e\" target=\"b\"/>\n  \
         <transition event=\"e\"/></state>\n <state id=\"b\"/>\n <state id=\"lost\"/></scxml>",
        &[
            r#"5:2: warning [unreachable]: nothing leads to "lost""#,
            r#"4:2: warning [dead end]: nothing leads out of "b""#,
            r#"5:2: warning [dead end]: nothing leads out of "lost""#,
            r#"3:3: warning [shadowed]: a transition of "a" is never taken"#,
        ],
    ),
];

#[test]
fn each_kind_of_problem_is_said_with_its_place_and_what_would_be_right() {
    for (text, expected) in XSTATE.iter().chain(SCXML) {
        let said = said(text);
        assert_eq!(said.len(), expected.len(), "{text}\n{said:#?}");
        for (said, expected) in said.iter().zip(*expected) {
            assert!(said.starts_with(expected), "{text}\n{said}\n{expected}");
        }
    }
}

#[test]
fn what_is_nested_too_deep_is_said_at_the_state_that_is() {
    let levels = DEPTH_MAX as usize;
    let mut text = "<scxml>".to_owned();
    for level in 1..=levels {
        text += &format!("\n<state id=\"s{level}\">");
    }
    text += &"</state>".repeat(levels);
    text += "</scxml>";
    let said = said(&text);
    assert!(
        said.iter().any(
            |line| line.starts_with(&format!("{}:1: error [depth]: \"s{levels}\"", levels + 1))
        ),
        "{said:#?}"
    );
}
