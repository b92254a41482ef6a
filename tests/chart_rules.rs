//! How XState and SCXML differ: each rule of the table in `docs/chart.md`, in both languages.
#![cfg(all(feature = "xstate", feature = "scxml"))]

use mainspring::chart::scxml::session::{Session, loader_of};
use mainspring::chart::xstate::Machine;
use mainspring::chart::xstate::system::{System, Worded};
use mainspring::chart::xstate::vocabulary::Vocabulary;
use mainspring::chart::{Event, Value, scxml};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A machine of XState, its actions in the vocabulary of the corpora.
struct X {
    system: System,
}

impl X {
    fn new(machine: &str) -> Self {
        Self::with(machine, &[])
    }

    fn with(machine: &str, children: &[(&str, &str)]) -> Self {
        let worded = |text: &str| {
            let machine = Machine::parse(text).unwrap();
            Rc::new(Worded::new(&machine, Vocabulary::default()).unwrap())
        };
        let children = children.iter();
        let machines = children.map(|(name, text)| ((*name).into(), worded(text)));
        let machines = machines.collect();
        let root = worded(machine);
        let system = System::start(root, machines, Default::default(), Value::Undefined);
        Self { system }
    }

    /// What was logged for the event, by whomever: `log:a` as `a`.
    fn send(&mut self, event: &str) -> String {
        self.said();
        self.system.send(Event::new(event));
        self.said()
    }

    fn said(&mut self) -> String {
        let lines = std::mem::take(&mut self.system.log);
        let lines = lines.iter();
        let words = lines.filter_map(|(_, _, line)| line.strip_prefix("log:"));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The active leaves' keys.
    fn at(&self) -> String {
        let view = self.system.view();
        let Some(Value::List(leaves)) = view.field("conf") else {
            panic!("{view:?}")
        };
        let keys = leaves.iter().filter_map(Value::text);
        let keys = keys.map(|path| path.rsplit('.').next().unwrap_or(path));
        keys.collect::<Vec<_>>().join(" ")
    }

    fn status(&self) -> String {
        let view = self.system.view();
        let status = view.field("status").and_then(Value::text);
        status.unwrap_or("active").to_owned()
    }
}

/// A document of SCXML.
struct S {
    session: Session,
}

impl S {
    fn new(text: &str) -> Self {
        let document = scxml::compile(text).unwrap();
        let session = Session::start(Arc::new(document), loader_of(Default::default()));
        Self { session }
    }

    fn send(&mut self, event: &str) -> String {
        self.said();
        self.session.send(Event::new(event));
        self.said()
    }

    fn said(&mut self) -> String {
        let lines = std::mem::take(&mut self.session.log);
        let words = lines.iter().map(|(label, _)| &**label);
        words.collect::<Vec<_>>().join(" ")
    }

    fn at(&self) -> String {
        self.session.configuration().join(" ")
    }
}

#[test]
fn a_transition_is_internal_in_x_and_external_in_s() {
    let mut x = X::new(
        r#"{ "initial": "a", "states": { "a": { "initial": "b", "entry": "log:+a", "exit": "log:-a",
            "on": { "E": ".c" }, "states": { "b": {}, "c": { "entry": "log:+c" } } } } }"#,
    );
    assert_eq!(x.send("E"), "+c");
    let mut s = S::new(
        r#"<scxml><state id="a" initial="b"><onentry><log label="+a"/></onentry>
            <onexit><log label="-a"/></onexit><transition event="E" target="c"/>
            <state id="b"/><state id="c"><onentry><log label="+c"/></onentry></state></state></scxml>"#,
    );
    assert_eq!(s.send("E"), "-a +a +c");
}

#[test]
fn a_parallel_state_is_a_domain_in_x_only() {
    let mut x = X::new(
        r##"{ "initial": "p", "states": { "p": { "type": "parallel", "entry": "log:+p", "exit": "log:-p",
            "states": {
                "r": { "initial": "a", "exit": "log:-r", "states": { "a": { "on": { "E": "#far" } } } },
                "q": { "initial": "c", "exit": "log:-q", "states": { "c": {}, "d": { "id": "far" } } } } } } }"##,
    );
    assert_eq!(
        (x.send("E"), x.at()),
        ("-q -r".to_owned(), "a d".to_owned())
    );
    let mut s = S::new(
        r#"<scxml><parallel id="p"><onexit><log label="-p"/></onexit>
            <state id="r"><onexit><log label="-r"/></onexit>
                <state id="a"><transition event="E" target="d"/></state></state>
            <state id="q"><onexit><log label="-q"/></onexit><state id="c"/><state id="d"/></state>
            </parallel></scxml>"#,
    );
    assert_eq!(
        (s.send("E"), s.at()),
        ("-q -r -p".to_owned(), "a d".to_owned())
    );
}

#[test]
fn a_parallel_ancestor_is_not_asked_in_x_once_a_region_took_the_event() {
    let mut x = X::new(
        r#"{ "initial": "p", "states": { "p": { "type": "parallel", "on": { "E": { "actions": "log:p" } },
            "states": { "r": { "on": { "E": { "actions": "log:r" } } }, "q": {} } } } }"#,
    );
    assert_eq!(x.send("E"), "r");
    let mut s = S::new(
        r#"<scxml><parallel id="p"><transition event="E"><log label="p"/></transition>
            <state id="r"><transition event="E"><log label="r"/></transition></state>
            <state id="q"/></parallel></scxml>"#,
    );
    assert_eq!(s.send("E"), "r p");
}

#[test]
fn candidates_go_by_exactness_in_x_and_by_document_order_in_s() {
    let mut x = X::new(
        r#"{ "initial": "a", "states": { "a": { "on": {
            "*": { "actions": "log:any" }, "E.*": { "actions": "log:some" },
            "E.F": { "actions": "log:one" } } } } }"#,
    );
    assert_eq!(x.send("E.F"), "one");
    assert_eq!(x.send("E.G"), "some");
    let mut s = S::new(
        r#"<scxml><state id="a"><transition event="*"><log label="any"/></transition>
            <transition event="E.F"><log label="one"/></transition></state></scxml>"#,
    );
    assert_eq!(s.send("E.F"), "any");
}

#[test]
fn a_name_is_a_prefix_in_s_only() {
    let mut x = X::new(
        r#"{ "initial": "a", "states": { "a": { "on": { "E": { "actions": "log:e" },
            "F.*": { "actions": "log:f" } } } } }"#,
    );
    assert_eq!(x.send("E.one"), "");
    assert_eq!(x.send("F.one"), "f");
    let mut s = S::new(
        r#"<scxml><state id="a"><transition event="E"><log label="e"/></transition></state></scxml>"#,
    );
    assert_eq!(s.send("E.one"), "e");
    assert_eq!(s.send("Eone"), "");
}

#[test]
fn eventless_transitions_rest_in_x_after_a_microstep_that_changed_nothing() {
    // The first changes nothing: X asks no further, S goes on until no guard holds.
    let x = X::new(
        r#"{ "initial": "a", "context": { "n": 0 }, "states": {
            "a": { "always": [ { "guard": "lt:n=1" }, { "target": "b" } ] }, "b": {} } }"#,
    );
    assert_eq!((x.at(), x.status()), ("a".to_owned(), "active".to_owned()));
    let counted = X::new(
        r#"{ "initial": "a", "context": { "n": 0 }, "states": {
            "a": { "always": [ { "guard": "lt:n=3", "actions": "inc:n" }, { "target": "b" } ] },
            "b": {} } }"#,
    );
    assert_eq!(counted.at(), "b");
    let s = S::new(
        r#"<scxml datamodel="ecmascript"><datamodel><data id="n" expr="0"/></datamodel><state id="a">
            <transition cond="n &lt; 3"><assign location="n" expr="n + 1"/></transition>
            <transition target="b"/></state><state id="b"/></scxml>"#,
    );
    assert_eq!(s.at(), "b");
}

const CHILD: &str = r#"{ "initial": "a", "entry": "log:child", "exit": "log:child ends",
    "states": { "a": {} } }"#;

#[test]
fn what_is_invoked_starts_when_the_macrostep_ends() {
    let child =
        r#"{ "initial": "a", "entry": ["log:child", "parent:HELLO"], "states": { "a": {} } }"#;
    let machine = r#"{ "initial": "a",
        "on": { "HELLO": { "actions": "log:hello" }, "OWN": { "actions": "log:own" } },
        "states": {
            "a": { "on": { "E": "b", "F": "d" } },
            "b": { "invoke": { "id": "k", "src": "child" }, "always": "c" },
            "c": {},
            "d": { "invoke": { "id": "k", "src": "child" }, "entry": "raise:OWN" } } }"#;
    let mut x = X::with(machine, &[("child", child)]);
    assert_eq!(x.send("E"), "", "one that was left starts nobody");
    let mut x = X::with(machine, &[("child", child)]);
    let heard = x.send("F").replace("child", "");
    assert_eq!(
        heard.split_whitespace().collect::<Vec<_>>(),
        ["own", "hello"]
    );
    let invoke = r#"<invoke><content><scxml><final id="done"/></scxml></content></invoke>"#;
    let mut s = S::new(&format!(
        r#"<scxml initial="a"><state id="a"><transition event="E" target="b"/>
                <transition event="F" target="d"/></state>
            <state id="b">{invoke}<transition target="c"/></state>
            <state id="c"><transition event="done.invoke" target="never"/></state>
            <state id="d">{invoke}<onentry><raise event="own"/></onentry>
                <transition event="own"><log label="own"/></transition>
                <transition event="done.invoke"><log label="child"/></transition></state>
            <state id="never"/></scxml>"#
    ));
    s.send("E");
    assert_eq!(s.at(), "c");
    let mut s = S::new(&format!(
        r#"<scxml initial="a"><state id="a"><transition event="F" target="d"/></state>
            <state id="d">{invoke}<onentry><raise event="own"/></onentry>
                <transition event="own"><log label="own"/></transition>
                <transition event="done.invoke"><log label="child"/></transition></state></scxml>"#
    ));
    assert_eq!(s.send("F"), "own child");
}

#[test]
fn an_input_is_what_the_context_was_on_entry_in_x() {
    let child = r#"{ "initial": "a", "context": { "n": { "$input": "n" } }, "entry": "show:n",
        "states": { "a": {} } }"#;
    let machine = r#"{ "initial": "a", "context": { "n": 1 }, "states": {
        "a": { "on": { "E": "b" } },
        "b": { "invoke": { "id": "k", "src": "child", "input": { "n": { "$ctx": "n" } } },
               "initial": "c", "states": {
                   "c": { "entry": "inc:n", "always": "d" }, "d": { "entry": "inc:n" } } } } }"#;
    let mut x = X::with(machine, &[("child", child)]);
    x.system.send(Event::new("E"));
    let lines = x.system.log.iter();
    let shown: Vec<&str> = lines
        .filter_map(|(_, _, line)| line.strip_prefix("show:n="))
        .collect();
    assert_eq!(shown, ["1"]);
}

#[test]
fn a_child_that_is_stopped_runs_its_exit_actions_in_s_only() {
    let machine = r#"{ "initial": "a", "states": {
        "a": { "invoke": { "id": "k", "src": "child" }, "on": { "E": "b" } }, "b": {} } }"#;
    let mut x = X::with(machine, &[("child", CHILD)]);
    assert_eq!(x.said(), "child");
    assert_eq!(x.send("E"), "");
    let mut s = S::new(
        r##"<scxml initial="a"><state id="a"><transition event="E" target="b"/>
            <invoke><content><scxml><state id="c"><onexit><send target="#_parent" event="ends"/></onexit>
            </state></scxml></content></invoke></state>
            <state id="b"><transition event="ends"><log label="ends"/></transition></state></scxml>"##,
    );
    assert_eq!(s.send("E"), "ends");
}

#[test]
fn done_climbs_through_nested_parallels_in_x_only() {
    let mut x = X::new(
        r#"{ "initial": "p", "states": {
            "p": { "type": "parallel", "onDone": "end", "states": { "q": { "type": "parallel", "states": {
                "r": { "initial": "a", "states": { "a": { "on": { "E": "z" } }, "z": { "type": "final" } } }
            } } } },
            "end": {} } }"#,
    );
    x.send("E");
    assert_eq!(x.at(), "end");
    let mut s = S::new(
        r#"<scxml initial="p"><parallel id="p"><transition event="done.state.p" target="end"/>
            <parallel id="q"><transition event="done.state.q"><log label="q"/></transition>
            <state id="r"><state id="a"><transition event="E" target="z"/></state><final id="z"/></state>
            </parallel></parallel><state id="end"/></scxml>"#,
    );
    assert_eq!((s.send("E"), s.at()), ("q".to_owned(), "z".to_owned()));
}

#[test]
fn the_root_is_a_state_in_x_only() {
    let mut x = X::new(
        r#"{ "entry": "log:+root", "on": { "E": { "actions": "log:root" } }, "initial": "a",
            "states": { "a": {} } }"#,
    );
    assert_eq!(x.said(), "+root");
    assert_eq!(x.send("E"), "root");
    let mut s = S::new(
        r#"<scxml><onentry><log label="+root"/></onentry>
            <state id="a"><onentry><log label="+a"/></onentry></state></scxml>"#,
    );
    assert_eq!(s.said(), "+a");
}

#[test]
fn a_failing_guard_or_action_is_an_event_in_s_and_fails_the_actor_in_x() {
    for failing in [
        r#""actions": ["inc:n", "throw:no"]"#,
        r#""guard": "throwg""#,
    ] {
        let mut x = X::new(&format!(
            r#"{{ "initial": "a", "context": {{ "n": 0 }}, "states": {{
                "a": {{ "on": {{ "E": {{ "target": "b", {failing} }} }} }}, "b": {{}} }} }}"#
        ));
        x.send("E");
        assert_eq!((x.at(), x.status()), ("a".to_owned(), "error".to_owned()));
        let context = x.system.view().field("context").cloned().unwrap();
        assert_eq!(
            context.field("n"),
            Some(&Value::Num(0.0)),
            "the state before it"
        );
    }
    for failing in [
        r#"<transition event="E"><assign location="none" expr="1"/></transition>"#,
        r#"<transition event="E" cond="1 +" target="b"/>"#,
    ] {
        let mut s = S::new(&format!(
            r#"<scxml datamodel="ecmascript"><state id="a">{failing}
                <transition event="error.execution" target="c"/></state>
                <state id="b"/><state id="c"/></scxml>"#
        ));
        s.send("E");
        assert_eq!(s.at(), "c", "{failing}");
    }
}

#[test]
fn a_childs_error_that_nobody_takes_escalates_in_x_and_is_an_event_in_s() {
    let machine = |on: &str| {
        format!(
            r#"{{ "initial": "a", "states": {{ "a": {{
                "invoke": {{ "id": "k", "src": "fail:\"no\"" {on} }} }}, "b": {{}} }} }}"#
        )
    };
    let x = X::new(&machine(""));
    assert_eq!(x.status(), "error");
    let x = X::new(&machine(r#", "onError": "b""#));
    assert_eq!((x.at(), x.status()), ("b".to_owned(), "active".to_owned()));
    let s = |heard: &str| {
        S::new(&format!(
            r#"<scxml><state id="a"><invoke src="nowhere"/>{heard}</state><state id="b"/></scxml>"#
        ))
    };
    assert_eq!(s("").at(), "a", "an event like any other");
    let heard = s(r#"<transition event="error.communication error.execution" target="b"/>"#);
    assert_eq!(heard.at(), "b");
}

#[test]
fn a_history_asked_from_inside_of_its_parent_is_as_in_s() {
    let mut x = X::new(
        r#"{ "initial": "p", "states": { "p": { "initial": "a", "entry": "log:+p", "exit": "log:-p", "states": {
            "a": { "on": { "E": "b" } }, "b": { "on": { "E": "h" }, "exit": "log:-b" },
            "h": { "type": "history", "target": "a" } } } } }"#,
    );
    x.send("E");
    let by_x = (x.send("E"), x.at());
    let mut s = S::new(
        r#"<scxml><state id="p"><onentry><log label="+p"/></onentry><onexit><log label="-p"/></onexit>
            <history id="h"><transition target="a"/></history>
            <state id="a"><transition event="E" target="b"/></state>
            <state id="b"><onexit><log label="-b"/></onexit><transition event="E" target="h"/></state>
            </state></scxml>"#,
    );
    s.send("E");
    assert_eq!(by_x, (s.send("E"), s.at()));
    assert_eq!(by_x, ("-b".to_owned(), "a".to_owned()));
}

#[test]
fn a_final_state_takes_events_in_x_only() {
    let mut x = X::new(
        r#"{ "initial": "p", "states": { "p": { "initial": "z", "states": {
            "z": { "type": "final", "on": { "E": "a" } }, "a": {} } } } }"#,
    );
    x.send("E");
    assert_eq!(x.at(), "a");
    let mut s = S::new(
        r#"<scxml><state id="p"><transition event="E"><log label="p"/></transition>
            <final id="z"/></state></scxml>"#,
    );
    assert_eq!((s.send("E"), s.at()), ("p".to_owned(), "z".to_owned()));
}

#[test]
fn cancel_of_a_timer_id_used_twice_stops_the_later_in_x_and_all_in_s() {
    let mut x = X::new(
        r#"{ "initial": "a", "states": { "a": { "on": {
            "ARM": { "actions": "raise:R@10#t" }, "CANCEL": { "actions": "cancel:t" },
            "R": { "actions": "log:rang" } } } } }"#,
    );
    for event in ["ARM", "ARM", "CANCEL"] {
        x.send(event);
    }
    x.system.advance(20);
    assert_eq!(x.said(), "rang");
    let mut s = S::new(
        r#"<scxml><state id="a">
            <transition event="ARM"><send event="R" id="t" delay="10ms"/></transition>
            <transition event="CANCEL"><cancel sendid="t"/></transition>
            <transition event="R"><log label="rang"/></transition></state></scxml>"#,
    );
    for event in ["ARM", "ARM", "CANCEL"] {
        s.send(event);
    }
    s.session.advance(20);
    assert_eq!(s.said(), "");
    s.send("ARM");
    s.session.advance(20);
    assert_eq!(s.said(), "rang");
}

/// Tables of `docs/chart.md` name a file and a test in it: it is there, and each test here is named.
#[test]
fn every_rule_of_the_table_has_its_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    let (page, own) = (read("docs/chart.md"), read("tests/chart_rules.rs"));
    let mut named: HashMap<&str, usize> = HashMap::new();
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cell = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim();
        let Some((file, test)) = cell
            .strip_prefix("`tests/")
            .and_then(|c| c.split_once("` "))
        else {
            continue;
        };
        let text = read(&format!("tests/{file}"));
        assert!(
            text.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
        *named.entry(test).or_default() += 1;
    }
    let tests: Vec<&str> = (own.split("#[test]\nfn ").skip(1))
        .filter_map(|text| text.split('(').next())
        .collect();
    assert!(tests.len() > 15);
    for test in tests.iter().filter(|test| !test.starts_with("every_rule")) {
        assert_eq!(named.get(test), Some(&1), "docs/chart.md names {test} once");
    }
}
