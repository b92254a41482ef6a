//! Models of `src/sync/gate.rs` (M11, M20): workers end when nobody lives who could make work, and no
//! actor is left that nobody runs.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::atomic::{AtomicBool, Ordering::Relaxed};
use mainspring::sync::census::{Tally, alive};
use mainspring::sync::gate::Gate;
use mainspring::sync::idle::{Idle, Rest};
use mainspring::sync::{Arc, Mutex, thread};

/// A system whose actors each make as many others as their number says, one after the other, and die.
struct System {
    gate: Gate,
    tally: Tally,
    idle: Arc<Idle>,
    queue: Mutex<Vec<u32>>,
    stopping: AtomicBool,
}

impl System {
    fn new() -> (Arc<Self>, Rest) {
        let (idle, mut rests) = Idle::new(1, 1);
        let this = Self {
            gate: Gate::new(),
            tally: Tally::new(),
            idle,
            queue: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
        };
        (Arc::new(this), rests.pop().unwrap())
    }

    /// Makes an actor from outside, if it may; whether it did.
    fn spawn(&self, actor: u32) -> bool {
        let Some(entry) = self.gate.enter() else {
            return false;
        };
        entry.stay();
        self.push(actor);
        true
    }

    fn push(&self, actor: u32) {
        self.queue.lock().unwrap().push(actor);
        self.idle.wake_one();
    }

    fn pop(&self) -> Option<u32> {
        self.queue.lock().unwrap().pop()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// A worker's thread; how many actors it ran.
    fn work(&self, mut rest: Rest) -> u32 {
        let mut ran = 0;
        loop {
            if let Some(actor) = self.pop() {
                rest.found(|| !self.queue.lock().unwrap().is_empty());
                if actor > 0 {
                    self.tally.count_born();
                    self.push(actor - 1);
                }
                self.tally.count_died();
                ran += 1;
            } else if self.is_stopping() {
                return ran;
            } else {
                let _ = rest.sleep(None, || {
                    self.is_stopping() || !self.queue.lock().unwrap().is_empty()
                });
            }
        }
    }

    fn alive(&self) -> u64 {
        alive(std::iter::once(&self.tally), || self.gate.entered())
    }

    /// Ends the workers once nobody lives.
    fn shutdown(&self) {
        assert!(self.gate.close());
        while self.alive() > 0 {
            thread::yield_now();
        }
        assert!(self.queue.lock().unwrap().is_empty(), "M20: work is left");
        self.stopping.store(true, Relaxed);
        self.idle.wake_all();
    }
}

#[test]
fn an_actor_made_while_a_system_shuts_down_is_run_or_refused() {
    model_bound("gate_spawn_meets_shutdown", 3, || {
        let (system, rest) = System::new();
        let its = system.clone();
        let worker = thread::spawn(move || its.work(rest));
        let its = system.clone();
        let spawner = thread::spawn(move || its.spawn(0));
        system.shutdown();
        let (ran, made) = (worker.join().unwrap(), spawner.join().unwrap());
        assert_eq!(ran, u32::from(made), "Q1");
        assert!(system.pop().is_none(), "nobody runs it");
        assert_eq!(system.gate.entered(), u64::from(made));
        assert!(!system.spawn(0));
    });
}

#[test]
fn a_shutdown_waits_for_what_the_living_make() {
    model("gate_children", || {
        let (system, rest) = System::new();
        assert!(system.spawn(2));
        let its = system.clone();
        let worker = thread::spawn(move || its.work(rest));
        system.shutdown();
        assert_eq!(worker.join().unwrap(), 3);
        assert!(system.pop().is_none(), "nobody runs it");
        assert_eq!(system.alive(), 0);
    });
}

#[test]
fn one_that_is_refused_is_not_counted() {
    model_exhaustive("gate_refused", || {
        let gate = Arc::new(Gate::new());
        let its = gate.clone();
        let spawner = thread::spawn(move || its.enter().map(|entry| entry.stay()).is_some());
        let gives_up = gate.enter().is_some();
        gate.close();
        let seen = gate.entered();
        let stays = spawner.join().unwrap();
        assert!(gives_up);
        assert!(!stays || seen == 1, "Q1");
        assert_eq!(gate.entered(), u64::from(stays));
    });
}

#[test]
fn one_of_two_closes_is_the_first() {
    model_exhaustive("gate_two_closes", || {
        let gate = Arc::new(Gate::new());
        let its = gate.clone();
        let other = thread::spawn(move || its.close());
        let first = gate.close();
        assert_ne!(first, other.join().unwrap(), "Q2");
        assert!(gate.is_closed());
    });
}
