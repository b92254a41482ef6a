//! `mainspring chart`, as a person would call it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn chart(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mainspring"))
        .arg("chart")
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts"))
        .output()
        .expect("the binary runs")
}

/// What a call prints, its exit status checked.
fn out(args: &[&str], status: i32) -> String {
    let output = chart(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{args:?}: {errors}");
    let mut text = String::from_utf8(output.stdout).expect("UTF-8");
    if status == 2 {
        text.push_str(&errors);
    }
    text
}

#[test]
fn check_names_file_line_what_is_wrong_and_what_would_be_right() {
    let text = out(&["check", "wrong.json", "door.json"], 1);
    for line in [
        "wrong.json:3:14: error [initial]: the initial state \"begin\" is no child of \"wrong\"; \
         did you mean \"begins\"?",
        "wrong.json:5:31: error [target]: no state \"stops\" as seen from \"wrong.begins\"; did you \
         mean \"stop\"?",
        "wrong.json:6:13: warning [dead end]: nothing leads out of \"wrong.stop\"; add a transition, or \
         make it final",
        "door.json: 4 states, 4 transitions, 4 actions, 1 guards",
        "2 errors, 1 warnings",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
}

#[test]
fn check_prints_a_json_object_for_each_problem() {
    let text = out(&["check", "--json", "wrong.json"], 1);
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["kind"], "initial");
    assert_eq!(rows[1]["line"], 5);
    assert_eq!(rows[2]["severity"], "warning");
    assert_eq!(out(&["check", "--json", "lamp.scxml"], 0), "");
}

#[test]
fn check_lists_names_needed_and_events_that_nobody_handles() {
    let text = out(&["check", "count.scxml", "door.json"], 0);
    for line in [
        "count.scxml:5:42: warning [unhandled]: no state handles the event \"ful\" that the chart \
         raises; did you mean \"full\"?",
        "door.json: needs actions: inc:opened, ring",
        "door.json: needs guards: isUnlocked",
        "0 errors, 1 warnings",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
    let notes = out(&["check", "--json", "door.json"], 0);
    let first: serde_json::Value = serde_json::from_str(notes.lines().next().unwrap()).unwrap();
    assert_eq!(first["names"], serde_json::json!(["inc:opened", "ring"]));
}

#[test]
fn an_invocation_that_names_no_actor_needs_none() {
    let text = out(&["check", "nobody.json"], 1);
    let why = "nobody.json:4:22: error [invoke]: the invocation \"load\" names no actor by \"src\"";
    assert!(text.contains(why), "{text}");
    assert!(text.contains("nobody.json: needs actors: save\n"), "{text}");
}

#[test]
fn check_goes_on_after_a_file_that_cannot_be_read() {
    let text = out(&["check", "absent.json", "wrong.json"], 2);
    assert!(text.contains("absent.json: No such file"), "{text}");
    assert!(text.contains("2 errors, 1 warnings"), "{text}");
}

#[test]
fn what_is_no_chart_is_refused_with_the_reason() {
    for (file, why) in [
        ("absent.json", "absent.json: No such file"),
        ("../chart.rs", "neither JSON nor XML"),
    ] {
        let text = out(&["check", file], 2);
        assert!(text.contains(why), "{text}");
    }
    let text = out(&["draw", "wrong.json"], 2);
    assert!(text.contains("no state \"stops\""), "{text}");
}

#[test]
fn draw_makes_a_complete_drawing_and_mermaid() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("door.svg");
    let name = file.to_str().expect("UTF-8");
    assert_eq!(out(&["draw", "door.json", "-o", name], 0), "");
    let drawing = std::fs::read_to_string(&file).expect("it was written");
    for part in [
        "<svg ",
        ">shut</text>",
        ">OPEN</text>",
        ">after 2 s</text>",
        ">[isUnlocked]</text>",
        "prefers-color-scheme:dark",
        "</svg>",
    ] {
        assert!(drawing.contains(part), "{part}");
    }
    assert!(drawing.contains("entry / ring<"), "{drawing}");
    assert!(!drawing.contains("cancel after"), "the transition says it");
    let mermaid = out(&["draw", "--mermaid", "lamp.scxml"], 0);
    assert!(mermaid.starts_with("stateDiagram-v2\n"), "{mermaid}");
}

/// A machine of groups in groups, with ways back and across.
fn groups(count: usize) -> String {
    let state = |group: usize, nth: usize| {
        let (next, across) = ((nth + 1) % 5, (group * 7 + nth) % count);
        let leads = format!(
            r##""NEXT":"#s{group}.{next}","ACROSS":{{"target":"#s{across}.{nth}","actions":"act"}}"##
        );
        format!(r#""n{nth}":{{"id":"s{group}.{nth}","entry":"in","on":{{{leads}}}}}"#)
    };
    let group = |group: usize| {
        let states: Vec<String> = (0..5).map(|nth| state(group, nth)).collect();
        let after = (group + 1) % count;
        format!(
            r##""g{group}":{{"id":"g{group}","initial":"n0","tags":["t{group}"],"on":{{"ON":"#g{after}"}},"states":{{{}}}}}"##,
            states.join(",")
        )
    };
    let groups: Vec<String> = (0..count).map(group).collect();
    format!(
        r#"{{"id":"many","initial":"g0","states":{{{}}}}}"#,
        groups.join(",")
    )
}

#[test]
fn each_process_makes_the_same_drawing_byte_for_byte() {
    let file = std::env::temp_dir().join(format!("mainspring-{}.json", std::process::id()));
    std::fs::write(&file, groups(40)).expect("a file can be written");
    let many = file.to_str().expect("a path of text");
    for chart in [many, "door.json", "lamp.scxml", "count.scxml"] {
        for how in [&["draw"][..], &["draw", "--mermaid"]] {
            let args = [how, &[chart]].concat();
            let first = out(&args, 0);
            assert!(first.len() > 100, "{first}");
            for _ in 0..4 {
                assert!(out(&args, 0) == first, "{args:?}: another drawing");
            }
        }
    }
    std::fs::remove_file(&file).expect("it can be removed");
}

#[test]
fn run_shows_states_context_and_actions_after_each_step() {
    let steps = "OPEN,+1s,+1s,{\"type\":\"OPEN\",\"by\":\"a,b\"},BREAK";
    let args = ["run", "door.json", "--guard", "isUnlocked=true", "--events"];
    let text = out(&[&args[..], &[steps, "--json"]].concat(), 0);
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let states: Vec<&str> = rows
        .iter()
        .map(|row| row["configuration"][0].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["shut", "open", "open", "shut", "open", "broken"]);
    assert_eq!(rows[4]["context"]["opened"], 2);
    assert_eq!(
        rows[1]["actions"],
        serde_json::json!(["inc:opened", "ring"])
    );
    assert_eq!(rows[5]["status"], "done");
    // A guard that nobody gives a meaning does not hold.
    let text = out(&["run", "door.json", "--events", "OPEN"], 0);
    assert!(!text.contains("states   open"), "{text}");
}

#[test]
fn run_steps_an_scxml_document_on_a_virtual_clock() {
    let text = out(&["run", "lamp.scxml", "--events", "press,+999ms,+1ms"], 0);
    let expected = "start\n  states   off\n  context  {\"times\":0}\npress\n  states   on\n  \
                    context  {\"times\":1}\n  actions  on: 1\n+999ms\n  states   on\n  context  \
                    {\"times\":1}\n+1ms\n  states   off\n  context  {\"times\":1}\n";
    assert_eq!(text, expected);
}

#[test]
fn a_malformed_step_says_what_was_expected() {
    for (steps, why) in [
        (
            "+soon",
            "\"soon\" is no duration; expected one such as 500ms or 2s",
        ),
        ("{\"sum\":1}", "no \"type\""),
    ] {
        let text = out(&["run", "door.json", "--events", steps], 2);
        assert!(text.contains(why), "{text}");
    }
    let text = out(&["run", "lamp.scxml", "--guard", "a=true"], 2);
    assert!(text.contains("--guard is for XState machines"), "{text}");
}

#[test]
fn an_option_for_a_name_that_the_machine_has_not_lists_those_that_it_has() {
    for (option, meaning, why) in [
        (
            "--guard",
            "isLocked=true",
            "--guard \"isLocked=true\": the machine has no guard \"isLocked\"; it has isUnlocked",
        ),
        (
            "--action",
            "rang=inc:x",
            "--action \"rang=inc:x\": the machine has no action \"rang\"; it has inc:opened, ring",
        ),
        (
            "--delay",
            "soon=5ms",
            "--delay \"soon=5ms\": the machine has no delay \"soon\"; it has none",
        ),
    ] {
        let text = out(&["run", "door.json", option, meaning], 2);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_said_with_file_line_and_key() {
    for (command, status) in [("check", 1), ("run", 2), ("draw", 2)] {
        let text = out(&[command, "twice.json"], status);
        let why = "twice.json:6:7: error [json]: the key \"on\" is there twice, first in line 5";
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn paths_reach_every_state_and_transition() {
    let text = out(&["paths", "door.json"], 0);
    for line in [
        "  door.shut                                at the start",
        "  door.broken                              OPEN? BREAK?",
        "  door.open SHUT -> door.shut              OPEN? SHUT?",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
}

#[test]
fn conform_wants_a_corpus() {
    let text = out(&["conform", "absent"], 2);
    assert!(text.contains("absent: no such folder"), "{text}");
    let text = out(&["conform", "."], 2);
    assert!(text.contains("no cases"), "{text}");
}

#[test]
fn convert_writes_the_other_format_or_lists_what_it_cannot_say() {
    let text = out(&["convert", "gate.json", "--to", "scxml"], 0);
    for part in [
        "name=\"gate\" initial=\"gate_shut\"",
        "<transition event=\"OPEN\" cond=\"tries &lt; 3\" target=\"gate_open\">",
        "<assign location=\"tries\" expr=\"tries + 1\"/>",
    ] {
        assert!(text.contains(part), "{part}\n\n{text}");
    }
    let text = out(&["convert", "door.json", "--to", "scxml"], 1);
    for line in [
        "door.json:7:23: error [convert]: the guard \"isUnlocked\"; what it asks is known to its host \
         alone",
        "door.json:9:13: error [convert]: the action \"ring\" on entry of \"door.open\"; what it does is \
         known to its host alone",
        "2 reasons not to convert it",
    ] {
        assert!(text.contains(line), "{line}\n\n{text}");
    }
    let text = out(&["convert", "lamp.scxml", "--to", "xstate"], 1);
    assert!(
        text.contains(
            "lamp.scxml:9:7: error [convert]: a <log>; a machine logs a variable under its own name"
        ),
        "{text}"
    );
    let text = out(&["convert", "lamp.scxml", "--to", "scxml"], 2);
    assert!(
        text.contains("lamp.scxml: is an SCXML document already"),
        "{text}"
    );
}
