//! Models of `src/sync/idle.rs` (M10, part of M14): no push is stranded, the counts are right.
//!
//! The queues are single flags read with Relaxed loads, weaker than any real queue, so that only
//! the protocol's own fences can make a push visible.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::atomic::{AtomicBool, Ordering::Relaxed};
use mainspring::sync::idle::{Idle, Rest, Slept};
use mainspring::sync::{Arc, Condvar, Mutex, thread};
use std::time::Duration;

/// Work to be taken once.
struct Work<const N: usize>([AtomicBool; N]);

impl<const N: usize> Work<N> {
    fn new() -> Arc<Self> {
        Arc::new(Self(std::array::from_fn(|_| AtomicBool::new(false))))
    }

    fn push(&self, item: usize) {
        self.0[item].store(true, Relaxed);
    }

    fn any(&self) -> bool {
        self.0.iter().any(|item| item.load(Relaxed))
    }

    fn take(&self) -> bool {
        let taken = |item: &AtomicBool| item.load(Relaxed) && item.swap(false, Relaxed);
        self.0.iter().any(taken)
    }
}

/// A worker's way to one piece of work: look, search, sleep.
fn take_one<const N: usize>(rest: &mut Rest, work: &Work<N>) {
    loop {
        if work.take() {
            return rest.found(|| work.any());
        }
        if rest.start_search() && work.take() {
            return rest.found(|| work.any());
        }
        let _ = rest.sleep(None, || work.any());
    }
}

/// Where handlers wait for each other: each takes as long as it takes all to begin.
struct Meeting {
    begun: Mutex<usize>,
    changed: Condvar,
}

impl Meeting {
    fn new() -> Arc<Self> {
        let (begun, changed) = (Mutex::new(0), Condvar::new());
        Arc::new(Self { begun, changed })
    }

    fn attend(&self, everybody: usize) {
        let mut begun = self.begun.lock().unwrap();
        *begun += 1;
        self.changed.notify_all();
        while *begun < everybody {
            begun = self.changed.wait(begun).unwrap();
        }
    }
}

#[test]
fn a_push_that_meets_a_worker_going_to_sleep_is_run() {
    model_exhaustive("idle_push_meets_sleep", || {
        let (idle, mut rests) = Idle::new(1, 1);
        let mut rest = rests.pop().unwrap();
        let work = Work::<1>::new();
        let queue = work.clone();
        let worker = thread::spawn(move || take_one(&mut rest, &queue));
        work.push(0);
        idle.wake_one();
        worker.join().unwrap();
        assert_eq!(idle.counts().unparked, 1);
        assert_eq!(idle.counts().searching, 0);
    });
}

#[test]
fn work_behind_a_long_handler_finds_another_worker() {
    model("idle_two_workers_two_pushes", || {
        let (idle, rests) = Idle::new(2, 1);
        let (work, meeting) = (Work::<2>::new(), Meeting::new());
        let workers = rests.into_iter().map(|mut rest| {
            let (work, meeting) = (work.clone(), meeting.clone());
            thread::spawn(move || {
                take_one(&mut rest, &work);
                meeting.attend(2); // this handler ends only once the other piece runs too
            })
        });
        let workers: Vec<_> = workers.collect();
        for item in [0, 1] {
            work.push(item);
            idle.wake_one();
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(idle.counts().unparked, 2);
        assert_eq!(idle.counts().searching, 0);
    });
}

#[test]
fn a_push_while_the_last_searcher_leaves_is_run() {
    model("idle_last_searcher_leaves", || {
        let (idle, mut rests) = Idle::new(2, 1);
        let (work, meeting) = (Work::<2>::new(), Meeting::new());
        work.push(0);
        let mut sleeper = rests.pop().unwrap();
        let mut searcher = rests.pop().unwrap();
        assert!(searcher.start_search());
        let (queue, place) = (work.clone(), meeting.clone());
        let sleeper = thread::spawn(move || {
            // Not one that finds work by itself: it has to be woken.
            assert_eq!(sleeper.sleep(None, || false), Slept::Woken);
            take_one(&mut sleeper, &queue);
            place.attend(2);
        });
        while idle.counts().unparked == 2 {
            thread::yield_now();
        }
        let (queue, place) = (work.clone(), meeting.clone());
        let searcher = thread::spawn(move || {
            take_one(&mut searcher, &queue);
            place.attend(2);
        });
        work.push(1);
        idle.wake_one();
        sleeper.join().unwrap();
        searcher.join().unwrap();
        assert_eq!(idle.counts().searching, 0);
    });
}

#[test]
fn searches_that_begin_and_end_together_are_counted_once_each() {
    model_exhaustive("idle_counts", || {
        let (idle, rests) = Idle::new(2, 2);
        let workers = rests.into_iter().map(|mut rest| {
            thread::spawn(move || {
                if rest.start_search() {
                    rest.found(|| false);
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.join().unwrap();
        }
        assert_eq!(idle.counts().unparked, 2);
        assert_eq!(idle.counts().searching, 0);
    });
}

#[test]
fn two_pushers_wake_one_sleeper_and_it_wakes_the_next() {
    model("idle_no_herd", || {
        let (idle, rests) = Idle::new(2, 1);
        let workers = rests.into_iter().map(|mut rest| {
            let idle = idle.clone();
            thread::spawn(move || {
                assert_eq!(rest.sleep(None, || false), Slept::Woken);
                assert_eq!(idle.counts().searching, 1, "I4");
                rest.found(|| true);
            })
        });
        let workers: Vec<_> = workers.collect();
        while idle.counts().unparked > 0 {
            thread::yield_now();
        }
        let pusher = idle.clone();
        let pusher = thread::spawn(move || pusher.wake_one());
        idle.wake_one();
        pusher.join().unwrap();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_message_for_one_worker_wakes_that_worker() {
    model_exhaustive("idle_wake_worker", || {
        let (idle, mut rests) = Idle::new(2, 1);
        let mut rest = rests.pop().unwrap();
        let armed = Work::<1>::new(); // an earlier deadline, left by another thread
        let seen = armed.clone();
        let worker = thread::spawn(move || {
            while !seen.take() {
                let _ = rest.sleep(None, || seen.any());
            }
            rest.found(|| false);
        });
        armed.push(0);
        idle.wake_worker(1);
        worker.join().unwrap();
        assert_eq!(idle.counts().unparked, 2);
        assert_eq!(idle.counts().searching, 0);
    });
}

#[test]
fn a_wake_that_meets_the_end_of_the_time_counts_once() {
    model_bound("idle_timeout", 3, || {
        let (idle, mut rests) = Idle::new(1, 1);
        let mut rest = rests.pop().unwrap();
        let work = Work::<2>::new();
        let (pusher, queue) = (idle.clone(), work.clone());
        let pusher = thread::spawn(move || {
            for item in [0, 1] {
                queue.push(item);
                pusher.wake_one();
            }
        });
        let _ = rest.sleep(Some(Duration::from_millis(1)), || work.any());
        let mut left = 2;
        if work.take() {
            rest.found(|| work.any());
            left = 1;
        }
        for _ in 0..left {
            // A token of the first sleep may be late, and must not end a later one.
            take_one(&mut rest, &work);
        }
        pusher.join().unwrap();
        assert_eq!(idle.counts().unparked, 1);
        assert_eq!(idle.counts().searching, 0);
    });
}

#[test]
fn a_shutdown_reaches_every_worker() {
    model("idle_wake_all", || {
        let (idle, rests) = Idle::new(2, 1);
        let over = Work::<1>::new();
        let workers = rests.into_iter().map(|mut rest| {
            let over = over.clone();
            thread::spawn(move || {
                while !over.any() {
                    let _ = rest.sleep(None, || over.any());
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        over.push(0);
        idle.wake_all();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(idle.counts().unparked, 2);
        assert_eq!(idle.counts().searching, 0);
    });
}
