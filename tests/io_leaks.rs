//! The driver of readiness leaves no thread and no open file behind. One test: another's would change
//! the process's counts.

#![cfg(all(target_os = "linux", feature = "io"))]

mod common;

use common::{Log, Msg, Script, Tape, does, ms, spawn, threads, until};
use mainspring::Shutdown;
use mainspring::prelude::*;
use mio::Interest;
use mio::net::UnixStream;
use std::io::Write;

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn driver_runs() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.into_iter().any(|name| name.trim() == "mainspring-io")
}

#[test]
fn a_driver_starts_at_first_use_and_leaves_nothing() {
    let held = || (count("/proc/self/task"), count("/proc/self/fd"));
    let before = held();
    for round in 0..20 {
        let system = threads(1 + round % 2);
        let log = Log::new();
        let one = spawn(&system, &log);
        assert!(!driver_runs(), "nobody registered");
        let (mut socket, mut peer) = UnixStream::pair().unwrap();
        let io = system.io();
        let told = |_| Msg::Say(1);
        let made = io.register(&mut socket, Interest::READABLE, one.actor(), told);
        let made = made.unwrap();
        until("the driver runs", driver_runs);
        peer.write_all(b"x").unwrap();
        until("it is told", || log.len() == 1);
        // Outside, or in a machine that holds both to its end, which is the system's.
        if round % 4 < 2 {
            drop((made, socket));
        } else {
            let keeps = Tape::new(&log).keep((made, socket));
            system
                .spawn(Script, keeps)
                .unwrap()
                .tell(does(Plan::none))
                .unwrap();
        }
        drop((io, peer));
        assert_eq!(system.shutdown(ms(30_000)), Shutdown::default());
        // A thread that was joined is counted a moment longer; what was held outside went before.
        until("all is back", || held() == before);
    }
}
