//! What the runtime promises, in schedules that a seed decides: real workers, watchdog and timers on
//! shuttle's scheduler. A failure prints the command that shows it again.
#![cfg(mainspring_shuttle)]

#[path = "../../../tests/common/mod.rs"]
mod common;

mod asks;
mod ends;
mod handoff;
mod lives;
mod mailboxes;
mod messages;
mod seeds;
mod timers;

use common::{Script, Tape};
use mainspring::config::Builder;
use mainspring::prelude::*;
use mainspring::sync::thread;
use mainspring::sync::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Longer than any schedule lasts in its own time, unless it waits for nothing else.
const LONG: Duration = Duration::from_secs(3_600);

/// Workers that don't spin: what they would find so they find when they look again.
fn workers(count: usize) -> Builder {
    Config::builder()
        .workers(count)
        .spin(Duration::ZERO)
        .ask_timeout(LONG)
        .mailbox_commit_deadline(LONG)
        .shutdown_timeout(LONG)
}

fn system(builder: Builder) -> System {
    System::with_config(builder.build().unwrap()).unwrap()
}

/// Ends the system: nobody is left, and no thread.
#[track_caller]
fn end(system: System) {
    let end = system.shutdown(LONG);
    assert!(
        end.late.is_empty(),
        "stopped at the deadline only: {:?}",
        end.late
    );
    assert_eq!(
        (end.actors_left, end.workers_stuck),
        (0, 0),
        "{:?}",
        end.late
    );
}

/// Waits until `done`, and fails when nothing comes of it in a minute of the schedule's time. While
/// anybody else can go on, the time hardly passes.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "never happened: {what}"
        );
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_secs(1));
    }
}

/// How often something came about over all schedules of a scenario.
#[derive(Default)]
struct Times(AtomicU64);

impl Times {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add(&self, times: u64) {
        self.0.fetch_add(times, Relaxed);
    }

    /// It has to come about where there are schedules enough, else the scenario misses what it is for.
    #[track_caller]
    fn reached(&self, what: &str, told: shuttle_tests::Told) {
        let times = self.0.load(Relaxed);
        println!("  {what}: {times}");
        assert!(times > 0 || told.schedules < 100, "never reached: {what}");
    }
}
