//! Documents gone wrong: valid ones with pieces cut, doubled, moved or exchanged, and ones made to
//! be deep. Loading and running them neither panics nor hangs, and the memory it takes is bounded by
//! the text.

#![cfg(all(feature = "xstate", feature = "scxml"))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mainspring::chart::check::{Severity, check};
use mainspring::chart::convert;
use mainspring::chart::scxml;
use mainspring::chart::xstate::{CompileError, Machine};
use proptest::prelude::*;

#[path = "common/any_chart.rs"]
mod any_chart;
use any_chart::{Everything, run};

/// Counts what its thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get().wrapping_add(layout.size())));
        PEAK.with(|peak| peak.set(peak.get().max(HELD.with(Cell::get))));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` holds at most, beyond what was held before.
fn peak_bytes(work: impl FnOnce()) -> usize {
    let before = HELD.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    work();
    PEAK.with(Cell::get) - before
}

const MACHINES: [&str; 2] = [
    r##"{ "id": "m", "type": "parallel", "context": { "n": 1 }, "states": {
        "work": { "initial": "a", "on": { "RESET": { "target": ".a", "reenter": true } }, "states": {
            "a": { "entry": ["one", { "type": "two", "params": { "by": 2 } }], "tags": ["t"],
                "on": { "GO": [{ "target": "b", "guard": "g", "actions": "one" }, "#m.work.c"], "x.*": "b" } },
            "b": { "initial": "x", "onDone": "c", "exit": "one", "invoke": { "src": "child", "id": "k", "onDone": "c" },
                "states": { "x": { "on": { "GO": "y" } }, "y": { "type": "final", "output": 3 } } },
            "c": { "always": { "target": "a", "guard": { "type": "not", "guard": "g" } }, "on": { "*": "a" } } } },
        "watch": { "initial": "on", "states": {
            "h": { "type": "history", "history": "deep", "target": "off" },
            "on": { "after": { "100": "off", "later": { "target": "h" } }, "on": { "GO": "off" } },
            "off": { "on": { "GO": "on", "BACK": "#m.watch.h" } } } } } }"##,
    r##"{ "id": "k", "initial": "s", "states": { "s": { "on": { "GO": { "target": ["p.q.r", "p.u.v"] } } },
        "p": { "type": "parallel", "onDone": { "target": "e", "guard": { "and": ["g", { "in": "#k.p" }] } }, "states": {
            "q": { "initial": "r", "states": { "r": { "on": { "GO": "f" } }, "f": { "type": "final" } } },
            "u": { "initial": "v", "states": { "v": { "always": "w" }, "w": { "type": "final" } } } } },
        "e": { "type": "final" } } }"##,
];

const DOCUMENTS: [&str; 2] = [
    r##"<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" initial="a" datamodel="ecmascript">
        <datamodel><data id="n" expr="[1, 2 + 3]"/><data id="s" expr="'t'"/></datamodel>
        <state id="a"><onentry><log label="in" expr="n[1] * 2"/><raise event="go.on"/></onentry>
            <transition event="go" cond="n[0] &lt; 2 &amp;&amp; In('a')" target="p"><assign location="s" expr="s + 'u'"/></transition></state>
        <parallel id="p"><history id="h" type="deep"><transition target="p1b p2a"/></history>
            <state id="p1" initial="p1a"><state id="p1a"><transition event="GO" target="p1b"/></state><final id="p1b"><donedata><param name="x" expr="n"/></donedata></final></state>
            <state id="p2"><state id="p2a"><transition event="GO *" target="h"/><onexit><if cond="s == 't'"><send event="late" delay="1s" id="i"/><elseif cond="typeof n === 'undefined'"/><cancel sendid="i"/><else/><foreach array="n" item="it" index="at"><log expr="it"/></foreach></if></onexit></state></state>
            <transition event="done.state.p1" target="z"/></parallel>
        <final id="z"/></scxml>"##,
    r##"<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null">
        <state id="a"><initial><transition target="b"><log label="x"/></transition></initial>
            <invoke type="scxml" id="c" autoforward="true"><content><scxml version="1.0"><final id="f"/></scxml></content><finalize/></invoke>
            <state id="b"><transition cond="In('a')" target="d" type="internal"/></state><state id="d"><transition event="GO.a error.* done" target="b"/></state></state></scxml>"##,
];

/// Whether it compiled.
fn load_xstate(text: &str) -> bool {
    let Ok(machine) = Machine::parse(text) else {
        return false;
    };
    check(&machine.model());
    // What converts is sound in the other format.
    if let Ok(document) = convert::to_scxml(text) {
        let compiled = scxml::compile(&document);
        assert!(compiled.is_ok(), "{text}\n\n{document}");
    }
    match machine.compile(&mut Everything) {
        Ok(compiled) => {
            run(compiled.chart, 0);
            true
        }
        Err(CompileError::Document(problems)) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
        Err(CompileError::Names(error)) => panic!("every name is known: {error}"),
    }
}

fn load_scxml(text: &str) -> bool {
    if let Ok(model) = scxml::model(text) {
        check(&model);
    }
    if let Ok(machine) = convert::to_xstate(text) {
        let compiled = Machine::parse(&machine).map(|m| check(&m.model()));
        let errors = compiled.expect("JSON").into_iter();
        let errors: Vec<_> = errors.filter(|p| p.severity == Severity::Error).collect();
        assert_eq!(errors, [], "{text}\n\n{machine}");
    }
    match scxml::compile(text) {
        Ok(document) => {
            run(document.chart, Default::default());
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}

/// Changes `text` in one place or two: `what` says how, the numbers where and how much.
fn mutate(text: &mut Vec<char>, (what, at, len, other): (u8, usize, usize, usize)) {
    if text.is_empty() {
        return;
    }
    let at = at % text.len();
    let end = (at + 1 + len % 40).min(text.len());
    let other = other % text.len();
    match what % 6 {
        0 => {
            text.drain(at..end);
        }
        1 => {
            let piece: Vec<char> = text[at..end].to_vec();
            text.splice(other..other, piece);
        }
        2 => text.swap(at, other),
        3 => {
            const LETTERS: [char; 16] = [
                '{', '}', '[', ']', '"', '<', '>', '/', '&', '(', '.', '#', '\\', '9', '\u{0}', 'ß',
            ];
            text[at] = LETTERS[len % LETTERS.len()];
        }
        // Words change places with words: what comes out is often well-formed.
        4 => {
            let (a, b) = (word(text, at), word(text, other));
            if a.end <= b.start {
                let (first, second) = (text[a.clone()].to_vec(), text[b.clone()].to_vec());
                text.splice(b, first);
                text.splice(a, second);
            }
        }
        _ => {
            let (a, b) = (word(text, at), word(text, other));
            let new = text[b].to_vec();
            text.splice(a, new);
        }
    }
}

fn word(text: &[char], at: usize) -> std::ops::Range<usize> {
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    let start = text[..at]
        .iter()
        .rposition(|c| !is_part(c))
        .map_or(0, |n| n + 1);
    let len = text[start..].iter().take_while(|c| is_part(c)).count();
    start..start + len.max(usize::from(start < text.len()))
}

/// Far above what these documents need; a document that multiplies itself goes beyond.
fn bound(text: &str) -> usize {
    (1 << 20) + 4096 * text.len()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1000),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_mutated_document_is_loaded_or_refused(
        seed in 0..2usize,
        changes in proptest::collection::vec(any::<(u8, usize, usize, usize)>(), 1..5),
    ) {
        for (text, load) in [
            (MACHINES[seed], load_xstate as fn(&str) -> bool),
            (DOCUMENTS[seed], load_scxml),
        ] {
            let mut text: Vec<char> = text.chars().collect();
            for &change in &changes {
                mutate(&mut text, change);
            }
            let text: String = text.into_iter().collect();
            let peak = peak_bytes(|| {
                load(&text);
            });
            prop_assert!(peak < bound(&text), "{} bytes for {:?}", peak, text);
        }
    }
}

#[test]
fn the_documents_are_valid_before_they_are_mutated() {
    for text in MACHINES {
        assert!(load_xstate(text), "{text}");
    }
    for text in DOCUMENTS {
        assert!(load_scxml(text), "{text}");
    }
}

#[test]
fn a_document_as_deep_as_it_is_long_is_refused() {
    let deep = 20_000;
    let states = format!("{}{}", "{\"states\":{\"a\":".repeat(deep), "1");
    assert!(!load_xstate(&states));
    assert!(!load_xstate(&"[".repeat(deep)));
    let (open, close) = ("<state>".repeat(deep), "</state>".repeat(deep));
    assert!(!load_scxml(&format!("<scxml>{open}{close}</scxml>")));
    let bracket = format!("{}1{}", "(".repeat(deep), ")".repeat(deep));
    for expression in [
        bracket,
        "!".repeat(deep),
        "[".repeat(deep),
        "1+".repeat(deep),
    ] {
        // An expression that is none fails when it is asked; the document is well.
        let condition = format!(
            "<scxml datamodel='ecmascript'><state id='a'><transition event='GO' cond='{expression}' target='a'/></state></scxml>"
        );
        assert!(load_scxml(&condition));
    }
    let blocks = format!(
        "{}{}",
        "<if cond='true'>".repeat(deep),
        "</if>".repeat(deep)
    );
    assert!(!load_scxml(&format!(
        "<scxml datamodel='ecmascript'><state id='a'><onentry>{blocks}</onentry></state></scxml>"
    )));
}

#[test]
fn entities_that_multiply_are_refused() {
    let mut entities = "<!ENTITY e0 'aaaaaaaaaa'>".to_owned();
    for n in 1..12 {
        let tens = format!("&e{};", n - 1).repeat(10);
        entities += &format!("<!ENTITY e{n} '{tens}'>");
    }
    let text = format!("<!DOCTYPE scxml [{entities}]><scxml><state id='&e11;'/></scxml>");
    let peak = peak_bytes(|| {
        load_scxml(&text);
    });
    assert!(peak < bound(&text), "{peak} bytes");
}
