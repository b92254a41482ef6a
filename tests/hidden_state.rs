//! A behavior that depends on more than its message and its machine is found, and named, in debug
//! and test builds.

mod common;
use common::{quiet_panics, stepped, stepped_with};
use mainspring::config::HiddenState;
use mainspring::prelude::*;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Whether this build looks for it.
const FINDS: bool = cfg!(any(debug_assertions, feature = "testkit"));

#[derive(Default)]
struct Sum(u64);
impl Machine for Sum {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.0 += number;
    }
}

/// What a hidden number gets into.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Into {
    Nothing,
    Event,
    FurtherEvent,
    Step,
    Delay,
    Told,
}

#[derive(Clone, Copy)]
struct Hiding;
impl Behavior for Hiding {
    type Machine = Sum;
    type Message = Into;
    fn on_message(&self, into: Into, sum: Snapshot<Self>) -> Plan<Self> {
        static HIDDEN: AtomicU64 = AtomicU64::new(0);
        let hidden = HIDDEN.fetch_add(1, Relaxed);
        match into {
            Into::Nothing => Plan::emit(sum.0 + sum.now().as_secs()).and(Plan::after(
                1,
                Duration::from_secs(1),
                Into::Nothing,
            )),
            Into::Event => Plan::emit(hidden),
            Into::FurtherEvent => Plan::emit(1).and(Plan::emit(hidden)),
            Into::Step if hidden.is_multiple_of(2) => Plan::none(),
            Into::Step => Plan::tell(sum.me(), Into::Nothing),
            Into::Delay => Plan::after(1, Duration::from_secs(hidden + 1), Into::Nothing),
            Into::Told if hidden.is_multiple_of(2) => Plan::tell(sum.me(), Into::Nothing),
            Into::Told => Plan::tell(sum.me(), Into::Event),
        }
    }
}

/// How an actor ends that got this message, if it did.
fn end(into: Into, compares: bool) -> Option<String> {
    let (system, _) = stepped();
    system.check_decisions::<Hiding>();
    if compares {
        system.compare_messages::<Into>();
    }
    let hiding = system.spawn(Hiding, Sum(0)).unwrap();
    hiding.tell(into).unwrap();
    let _ = system.run_for(Duration::ZERO);
    match hiding.is_alive() {
        true => None,
        false => match hiding.monitor().wait().exit {
            Exit::Gone => Some(String::new()),
            exit => Some(exit.to_string()),
        },
    }
}

/// One test at a time: the hidden number is the process's.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn what_is_neither_in_the_message_nor_in_the_machine_is_found_wherever_it_goes() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    quiet_panics();
    for into in [Into::Event, Into::FurtherEvent, Into::Step, Into::Delay] {
        assert_eq!(end(into, false).is_some(), FINDS, "{into:?}");
    }
    assert_eq!(end(Into::Nothing, true), None, "time is in the snapshot");
    assert_eq!(end(Into::Told, true).is_some(), FINDS);
}

#[test]
fn without_being_asked_for_nobody_decides_twice() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let (system, _) = stepped();
    let hiding = system.spawn(Hiding, Sum(0)).unwrap();
    hiding.tell(Into::Event).unwrap();
    system.run_until_idle();
    assert!(hiding.is_alive());
}

/// What tells the child process that it is one.
const CHILD: &str = "MAINSPRING_TEST_HIDDEN_STATE_CHILD";

#[test]
fn a_warning_names_the_behavior_once_and_changes_nothing() {
    if std::env::var_os(CHILD).is_some() {
        let (system, _) = stepped_with(Config::builder().hidden_state(HiddenState::Warn));
        system.check_decisions::<Hiding>();
        for _ in 0..2 {
            let hiding = system.spawn(Hiding, Sum(0)).unwrap();
            for _ in 0..3 {
                hiding.tell(Into::Event).unwrap();
            }
            system.run_until_idle();
            assert!(hiding.is_alive());
        }
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_warning_names_the_behavior_once_and_changes_nothing",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let warning = "the behavior hidden_state::Hiding decided twice";
    assert_eq!(said.matches(warning).count(), usize::from(FINDS), "{said}");
}
