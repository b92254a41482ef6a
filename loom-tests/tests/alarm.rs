//! Models of `src/sync/alarm.rs` (M14, who watches): the watcher never sleeps while one is awake.
#![cfg(loom)]

use loom_tests::{model, model_exhaustive};
use mainspring::sync::alarm::Alarm;
use mainspring::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use mainspring::sync::parker::Parker;
use mainspring::sync::{Arc, Condvar, Mutex, thread};

/// How often the watcher saw somebody awake; a turn ends only once it did.
struct Seen {
    times: Mutex<u32>,
    changed: Condvar,
}

impl Seen {
    fn new() -> Arc<Self> {
        let (times, changed) = (Mutex::new(0), Condvar::new());
        Arc::new(Self { times, changed })
    }

    fn note(&self) {
        *self.times.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut times = self.times.lock().unwrap();
        while *times == 0 {
            times = self.changed.wait(times).unwrap();
        }
    }
}

#[test]
fn one_that_wakes_while_the_watcher_goes_to_sleep_is_seen() {
    model_exhaustive("alarm_one_wakes", || {
        let mut parker = Parker::new();
        let alarm = Arc::new(Alarm::new(&parker));
        let (awake, seen) = (Arc::new(AtomicBool::new(false)), Seen::new());
        let (bell, works, watched) = (alarm.clone(), awake.clone(), seen.clone());
        let worker = thread::spawn(move || {
            works.store(true, Relaxed);
            bell.ring();
            watched.wait();
        });
        while !awake.load(Relaxed) {
            alarm.sleep(&mut parker, || !awake.load(Relaxed));
        }
        seen.note();
        worker.join().unwrap();
    });
}

#[test]
fn two_that_wake_are_both_seen_whoever_rings() {
    model("alarm_two_wake", || {
        let mut parker = Parker::new();
        let alarm = Arc::new(Alarm::new(&parker));
        let (awake, seen) = (Arc::new(AtomicUsize::new(0)), Seen::new());
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (bell, works, watched) = (alarm.clone(), awake.clone(), seen.clone());
                thread::spawn(move || {
                    works.fetch_add(1, Relaxed);
                    bell.ring();
                    watched.wait();
                })
            })
            .collect();
        while awake.load(Relaxed) < 2 {
            alarm.sleep(&mut parker, || awake.load(Relaxed) < 2);
        }
        seen.note();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_ring_ends_a_sleep_that_it_meets() {
    model("alarm_ends_a_sleep", || {
        let mut parker = Parker::new();
        let alarm = Arc::new(Alarm::new(&parker));
        let (asleep, bell) = (Arc::new(AtomicBool::new(false)), alarm.clone());
        let sleeps = asleep.clone();
        let watcher = thread::spawn(move || {
            alarm.sleep(&mut parker, || {
                sleeps.store(true, Relaxed);
                true
            });
        });
        while !asleep.load(Relaxed) {
            thread::yield_now();
        }
        bell.ring();
        watcher.join().unwrap();
    });
}

#[test]
fn after_a_stop_the_watcher_sleeps_no_more() {
    model_exhaustive("alarm_stop", || {
        let mut parker = Parker::new();
        let alarm = Arc::new(Alarm::new(&parker));
        let ends = alarm.clone();
        let watcher = thread::spawn(move || {
            let mut sleeps = 0;
            while !alarm.is_stopping() {
                alarm.sleep(&mut parker, || true);
                sleeps += 1;
            }
            sleeps
        });
        ends.stop();
        assert!(watcher.join().unwrap() <= 1, "A2");
    });
}
