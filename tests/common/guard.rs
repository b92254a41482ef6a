//! A watch over a closed workload: where nothing goes on for a minute, it prints what every worker
//! does, twice, and ends the process. Its own times are the only ones that end a wait.

#![allow(unreachable_pub)] // as the other parts

use mainspring::{Inspector, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks in a row may see the same.
const LOOKS_MAX: u32 = 60;

#[derive(Default)]
struct Seen {
    progress: AtomicU64,
    ended: AtomicBool,
    at: Mutex<(String, Option<Inspector>)>,
}

/// See the module's text. Dropped, its thread ends.
pub struct Guard {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

/// Counts down to a goal, and wakes who waits for it.
#[derive(Clone)]
pub struct Goal(Arc<(AtomicU64, Thread, Arc<Seen>)>);

impl Guard {
    pub fn new() -> Self {
        let seen = Arc::new(Seen::default());
        let watched = seen.clone();
        let thread = thread::Builder::new().name("guard".into());
        let thread = thread.spawn(move || watch(&watched)).unwrap();
        Self {
            seen,
            thread: Some(thread),
        }
    }

    /// From now on it tells of this system; `what` says where the test is.
    pub fn begins(&self, what: String, system: Option<&System>) {
        self.seen.progress.fetch_add(1, SeqCst);
        let mut at = self.seen.at.lock().unwrap();
        at.0 = what;
        if let Some(system) = system {
            at.1 = Some(system.inspector());
        }
    }

    /// A goal of this thread's that is reached after `count` steps.
    pub fn goal(&self, count: u64) -> Goal {
        let left = AtomicU64::new(count);
        Goal(Arc::new((left, thread::current(), self.seen.clone())))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.seen.ended.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    }
}

impl Goal {
    /// One step.
    ///
    /// # Panics
    ///
    /// When it was one too many.
    pub fn hit(&self) {
        let (left, thread, seen) = &*self.0;
        seen.progress.fetch_add(1, SeqCst);
        match left.fetch_sub(1, SeqCst) {
            0 => panic!("one step more than there are"),
            1 => thread.unpark(),
            _ => {}
        }
    }

    /// How many steps are left.
    pub fn left(&self) -> u64 {
        self.0.0.load(SeqCst)
    }

    /// Waits until it is reached, however long.
    pub fn wait(&self) {
        while self.left() > 0 {
            thread::park();
        }
    }
}

fn watch(seen: &Seen) {
    let (mut last, mut looks) = (0, 0);
    while !seen.ended.load(SeqCst) {
        let progress = seen.progress.load(SeqCst);
        looks = if progress == last { looks + 1 } else { 0 };
        last = progress;
        if looks >= LOOKS_MAX {
            let (what, inspector) = seen.at.lock().unwrap().clone();
            eprintln!("nothing has gone on for {LOOKS_MAX} seconds: {what}");
            for _ in 0..2 {
                match inspector.as_ref().and_then(Inspector::dump) {
                    Some(dump) => eprintln!("{dump}"),
                    None => eprintln!("the system is gone"),
                }
                thread::park_timeout(LOOK);
            }
            std::process::abort();
        }
        thread::park_timeout(LOOK);
    }
}
