//! Models of `src/sync/injector.rs` (M11, the bound of M4): refused or run, never above the bound.
#![cfg(loom)]

use loom_tests::{model, model_exhaustive};
use mainspring::sync::injector::{Injector, Refused};
use mainspring::sync::{Arc, thread};

#[test]
fn a_push_that_meets_the_shutdown_is_refused_or_drained() {
    model_exhaustive("injector_shutdown", || {
        let injector = Arc::new(Injector::new(4));
        let pusher = injector.clone();
        let pusher = thread::spawn(move || pusher.push(Arc::new(7)).is_ok());
        let mut drained = Vec::new();
        injector.close_and_drain(|runnable| drained.push(runnable));
        assert_eq!(injector.len(), 0);
        let accepted = pusher.join().unwrap();
        assert_eq!(drained.len(), usize::from(accepted), "J3");
        assert_eq!(injector.queued(), 0, "J3");
        assert!(injector.push(Arc::new(8)).is_err());
    });
}

#[test]
fn two_pushes_and_a_pop_that_meet_the_shutdown_lose_nothing() {
    model("injector_shutdown_two_pushers", || {
        let injector = Arc::new(Injector::new(4));
        let pushers = [1, 2].map(|runnable| {
            let injector = injector.clone();
            thread::spawn(move || u32::from(injector.push(runnable).is_ok()) * runnable)
        });
        let mut popped = injector.pop().unwrap_or(0);
        injector.close_and_drain(|runnable| popped += runnable);
        let accepted: u32 = pushers.map(|pusher| pusher.join().unwrap()).iter().sum();
        assert_eq!(popped, accepted, "J1, J3");
    });
}

#[test]
fn a_place_comes_back_only_after_its_runnable() {
    model_exhaustive("injector_place_after_pop", || {
        let injector = Arc::new(Injector::new(1));
        assert!(injector.push(1).is_ok());
        let pusher = injector.clone();
        let pusher = thread::spawn(move || {
            let pushed = pusher.push(2).is_ok();
            assert!(pusher.queued() <= 1, "J2");
            u32::from(pushed)
        });
        assert_eq!(injector.pop(), Some(1));
        let accepted = pusher.join().unwrap();
        assert_eq!(injector.len() as u32, accepted);
        assert_eq!(injector.queued() as u32, accepted);
    });
}

#[test]
fn the_queue_never_holds_more_than_its_bound() {
    model("injector_bound", || {
        let injector = Arc::new(Injector::new(1));
        let pushers = [1, 2].map(|runnable| {
            let injector = injector.clone();
            thread::spawn(move || {
                let pushed = injector.push(runnable);
                assert!(injector.queued() <= 1, "J2");
                u32::from(pushed.is_ok())
            })
        });
        let mut popped = u32::from(injector.pop().is_some());
        assert!(injector.queued() <= 1, "J2");
        let accepted: u32 = pushers.map(|pusher| pusher.join().unwrap()).iter().sum();
        assert!(accepted >= 1, "J2: a place that is free is given");
        assert_eq!(
            injector.len() as u32,
            accepted - popped,
            "J2: no place is lost"
        );
        while injector.pop().is_some() {
            popped += 1;
        }
        assert_eq!(popped, accepted, "J1");
        assert_eq!(injector.len(), 0);
        assert_eq!(injector.push(3), Ok::<(), Refused<u32>>(()));
    });
}
