//! Debug builds say where a handler has an effect of its own, and name the actor; others are silent.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::{Escape, SendError};
use std::process::Command;

/// What tells the child process that it is one.
const CHILD: &str = "MAINSPRING_TEST_DEBUG_CHECKS_CHILD";

struct Nothing;
impl Machine for Nothing {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

enum Pass {
    /// Sends in the handler.
    Now(Handle<Msg>),
    /// Sends by the escape hatch.
    Later(Handle<Msg>),
}

/// Passes a number on, as it should not, or by the hatch.
#[derive(Clone, Copy)]
struct Passing {
    hatch: Escape,
}

impl Behavior for Passing {
    type Machine = Nothing;
    type Message = Pass;
    fn on_message(&self, pass: Pass, _: Snapshot<Self>) -> Plan<Self> {
        let tell = |to: Handle<Msg>| to.tell(Msg::Say(1)).map_err(SendError::into_message).ok();
        match pass {
            Pass::Now(to) => {
                tell(to);
                Plan::none()
            }
            Pass::Later(to) => Plan::escape(self.hatch, move || {
                tell(to);
            }),
        }
    }
}

/// What the child process does: two actors send from their handlers, the first of them twice.
fn send_from_handlers() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let target = spawn(&system, &log);
    let hatch = system.escape_hatch();
    let [first, second] = [(); 2].map(|()| system.spawn(Passing { hatch }, Nothing).unwrap());
    eprintln!("hatch");
    let to = || (*target).clone();
    first.tell(Pass::Later(to())).ok().unwrap();
    system.run_until_idle();
    eprintln!("handler of {}", first.actor().address());
    for actor in [&first, &first, &second] {
        actor.tell(Pass::Now(to())).ok().unwrap();
        system.run_until_idle();
    }
    assert_eq!(log.take(), [1, 1, 1, 1], "a warning changes nothing");
}

#[test]
fn a_handler_that_sends_is_named_once_in_debug_builds() {
    if std::env::var_os(CHILD).is_some() {
        return send_from_handlers();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_handler_that_sends_is_named_once_in_debug_builds",
        ])
        .arg("--nocapture")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (hatch, handler) = said.split_once("handler of ").expect("the child ran");
    assert!(!hatch.contains("from its handler"), "{said}");
    let (actor, rest) = handler.split_once('\n').unwrap();
    let warning = format!("actor {actor} (debug_checks::Passing) sends to ");
    let expected = usize::from(cfg!(debug_assertions));
    assert_eq!(rest.matches(&warning).count(), expected, "{said}");
    assert_eq!(rest.matches("from its handler").count(), expected, "{said}");
    if expected == 1 {
        assert!(rest.contains("return `Plan::tell`"), "{said}");
    }
}
