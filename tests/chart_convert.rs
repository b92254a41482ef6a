//! Conversions between the formats: what converts runs as the original was recorded, and what does
//! not is named with its place.

#![cfg(all(feature = "xstate", feature = "scxml"))]

#[path = "common/corpus.rs"]
mod corpus;

use mainspring::chart::conform::{Report, conform_converted};
use mainspring::chart::convert::{to_scxml, to_xstate};
use mainspring::chart::xstate::Machine;
use mainspring::chart::{check, scxml};

/// How many cases of each category convert, of how many. Another corpus has other numbers, so these
/// count only where the numbers of cases are the same.
const CONVERT: [(&str, usize, usize); 25] = [
    ("scxml/random/after", 13, 73),
    ("scxml/random/always", 9, 61),
    ("scxml/random/final", 13, 75),
    ("scxml/random/flat", 65, 95),
    ("scxml/random/history", 7, 100),
    ("scxml/random/mixed", 4, 79),
    ("scxml/random/nested", 24, 101),
    ("scxml/random/parallel", 10, 94),
    ("scxml/random/wildcard", 12, 79),
    ("scxml/scion", 40, 58),
    ("scxml/tutorial", 0, 11),
    ("scxml/w3c/ecma", 0, 98),
    ("scxml/w3c/txml", 15, 117),
    ("xstate/handwritten", 31, 71),
    ("xstate/published", 10, 77),
    ("xstate/random/after", 23, 206),
    ("xstate/random/always", 5, 142),
    ("xstate/random/final", 19, 193),
    ("xstate/random/flat", 133, 225),
    ("xstate/random/history", 11, 202),
    ("xstate/random/invoke", 4, 149),
    ("xstate/random/mixed", 8, 157),
    ("xstate/random/nested", 60, 214),
    ("xstate/random/parallel", 22, 221),
    ("xstate/random/wildcard", 52, 170),
];

fn counted(report: &Report) {
    let counts = report.counts();
    let is_same = counts.len() == CONVERT.len()
        && CONVERT.iter().all(|(category, _, all)| {
            let found = counts.get(category);
            found.is_some_and(|counts| counts.iter().sum::<usize>() == *all)
        });
    if !is_same {
        println!("another corpus: its numbers are not known");
        return;
    }
    for (category, convert, _) in CONVERT {
        assert_eq!(counts[category][0], convert, "{category}");
    }
}

#[test]
fn what_converts_runs_as_the_original_was_recorded() {
    let Some(dir) = corpus::folder() else {
        return;
    };
    let report = conform_converted(&dir).expect("the corpus can be read");
    corpus::is_as_listed(&report);
    counted(&report);
}

/// The reasons that a text does not convert, a line each.
fn reasons(result: Result<String, Vec<check::Problem>>) -> String {
    let problems = result.expect_err("it cannot be said in the other format");
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

const TURNSTILE: &str = r##"{
  "id": "turnstile", "initial": "shut", "context": { "coins": 0 },
  "states": {
    "shut": {
      "on": { "COIN": [
        { "target": "open", "guard": "ge:coins>=2", "actions": ["set:coins=0", "raise:PAID"] },
        { "actions": "inc:coins" }
      ] }
    },
    "open": {
      "entry": ["log:open", "show:coins"], "initial": "free",
      "after": { "500": "shut" },
      "on": { "PUSH": { "target": "shut", "guard": { "not": { "in": "#turnstile.open.jammed" } } } },
      "states": {
        "free": { "on": { "KICK": "jammed" } },
        "jammed": { "on": { "KICK": { "target": "free", "actions": "if:gt:coins>1?log:again|dec:coins;send:TICK@20#t" } } }
      }
    }
  }
}"##;

#[test]
fn a_machine_becomes_a_document_and_the_document_a_machine_that_becomes_it_again() {
    let document = to_scxml(TURNSTILE).expect("a document can say it");
    let said = [
        "<data id=\"coins\" expr=\"0\"/>",
        "<transition event=\"COIN\" cond=\"coins &gt;= 2\" target=\"turnstile_open\">",
        "<log label=\"coins\" expr=\"coins\"/>",
        "<send event=\"after.1\" id=\"after.1\" delay=\"500ms\"/>",
        "<cancel sendid=\"after.1\"/>",
        "cond=\"!(In('turnstile_open_jammed'))\"",
    ];
    for text in said {
        assert!(document.contains(text), "{text}\n\n{document}");
    }
    scxml::compile(&document).expect("the document is sound");
    let refused = to_xstate(&document);
    // The names of delays are the document's own; a machine takes them as any event's.
    let machine = refused.expect("a machine can say what came from one");
    let model = Machine::parse(&machine).expect("JSON").model();
    let found = check::check(&model);
    let kinds: Vec<_> = found.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, ["unhandled"], "nobody hears of PAID: {found:?}");
    assert_eq!(model.name, "turnstile");
    let again = to_scxml(&machine);
    assert!(
        reasons(again).contains("\"after\" begins the names of delays"),
        "an event of that name would be taken for a delay's"
    );
}

#[test]
fn everything_that_a_document_cannot_say_is_listed_with_its_place() {
    let machine = r##"{
  "id": "m", "type": "parallel", "context": { "list": [1] },
  "states": {
    "a": {
      "initial": "x", "tags": ["busy"],
      "on": { "BACK": ".x", "STAY": { "actions": "beep" } },
      "states": { "x": { "always": { "guard": "isReady" } }, "y": { "entry": "throw:up" } }
    },
    "b": { "on": { "GO": "a", "error.x": {} }, "after": { "LATER": "a" }, "invoke": { "src": "pump" } }
  }
}"##;
    let list = reasons(to_scxml(machine));
    for line in [
        "2:55: error [convert]: the context's field \"list\" is [1]; ",
        "5:31: error [convert]: \"m.a\" has \"tags\"; states of a document have no tags",
        "6:37: error [convert]: the action \"beep\" of a transition of \"m.a\"; what it does is known to \
         its host alone",
        "7:36: error [convert]: an eventless transition of \"m.a.x\" can leave everything as it was; ",
        "7:36: error [convert]: the guard \"isReady\"; what it asks is known to its host alone",
        "7:67: error [convert]: the action \"throw:up\" on entry of \"m.a.y\"; a document has no words",
        "9:26: error [convert]: a transition of \"m.b\" to \"m.a\"; XState moves inside of a parallel",
        "9:42: error [convert]: the event \"error.x\"; \"error.x\" is a name of the engine's own events",
        "9:68: error [convert]: the delay of \"xstate.after.LATER.m.b\"; ",
        "9:85: error [convert]: \"m.b\" has \"invoke\"; a document invokes documents",
    ] {
        assert!(list.contains(line), "{line}\n\n{list}");
    }
    assert_eq!(list.matches("[convert]").count(), list.lines().count());
}

#[test]
fn everything_that_a_machine_cannot_say_is_listed_with_its_place() {
    let document = r##"<scxml version="1.0" datamodel="ecmascript" initial="p">
  <datamodel><data id="n" expr="0"/><data id="o" expr="{a: 1}"/></datamodel>
  <parallel id="p">
    <state id="a"><transition event="error.execution" target="b"/></state>
    <state id="b">
      <transition event="*" target="a"/>
      <transition event="go" cond="n * 2 == 4"><foreach array="o" item="i"/></transition>
      <transition cond="n == 0"><send event="e" targetexpr="o"/></transition>
      <invoke type="scxml" src="other.scxml"/>
    </state>
  </parallel>
</scxml>"##;
    let list = reasons(to_xstate(document));
    for line in [
        "2:37: error [convert]: the variable \"o\" does not begin with a literal; ",
        "4:19: error [convert]: the event \"error.execution\"; ",
        "4:19: error [convert]: a transition of \"a\" to \"b\"; SCXML leaves the parallel state",
        "7:7: error [convert]: in \"b\" the event \"*\" is looked at before \"go\"; ",
        "7:7: error [convert]: the condition \"n * 2 == 4\"; ",
        "7:48: error [convert]: a <foreach>; the vocabulary has no words for it",
        "8:7: error [convert]: an eventless transition of \"b\" can leave everything as it was; ",
        "8:33: error [convert]: a <send>; a machine has nothing for \"targetexpr\"",
        "9:7: error [convert]: an <invoke>; ",
    ] {
        assert!(list.contains(line), "{line}\n\n{list}");
    }
    assert_eq!(list.matches("[convert]").count(), list.lines().count());
}

#[test]
fn a_chart_that_is_wrong_is_refused_for_that() {
    let list = reasons(to_scxml(r#"{"id":"m","initial":"b","states":{"a":{}}}"#));
    assert!(list.contains("[initial]"), "{list}");
    let list = reasons(to_xstate(
        "<scxml><state id='a'><transition event='e' target='b'/></state></scxml>",
    ));
    assert!(list.contains("[target]"), "{list}");
    assert!(reasons(to_scxml("<scxml/>")).contains("[json]"));
    assert!(reasons(to_xstate("{}")).contains("[xml]"));
}
