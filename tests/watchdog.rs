//! What waits behind a long turn is run by another worker.

use mainspring::prelude::*;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

struct Log(Option<Sender<&'static str>>);
enum Noted {
    Long,
    Short,
}
impl Machine for Log {
    type Event = Noted;
    fn apply(&mut self, noted: Noted) {
        match noted {
            Noted::Long => {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_millis(300) {
                    std::hint::spin_loop();
                }
            }
            Noted::Short => {
                if let Some(log) = &self.0 {
                    let _ = log.send("short");
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Working;
enum Work {
    /// Wakes the other, then works for long in the next turn.
    Begin(ActorRef<Work>, ActorRef<Work>),
    Long,
    Short,
}
impl Behavior for Working {
    type Machine = Log;
    type Message = Work;
    fn on_message(&self, work: Work, _: Snapshot<Self>) -> Plan<Self> {
        match work {
            Work::Begin(long, other) => {
                Plan::tell(other, Work::Short).and(Plan::tell(long, Work::Long))
            }
            Work::Long => Plan::emit(Noted::Long),
            Work::Short => Plan::emit(Noted::Short),
        }
    }
}

#[test]
fn an_actor_queued_behind_a_long_turn_runs_elsewhere() {
    let config = Config::builder().workers(2).build().unwrap();
    let system = System::with_config(config).unwrap();
    let (log, seen) = channel();
    let begin = system.spawn(Working, Log(None)).unwrap();
    let long = system.spawn(Working, Log(None)).unwrap();
    let short = system.spawn(Working, Log(Some(log))).unwrap();
    let start = Instant::now();
    begin
        .tell(Work::Begin(long.actor(), short.actor()))
        .unwrap();
    assert_eq!(seen.recv_timeout(Duration::from_secs(10)), Ok("short"));
    // The long turn takes 300 ms; without help the other would wait for its end.
    assert!(
        start.elapsed() < Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}
