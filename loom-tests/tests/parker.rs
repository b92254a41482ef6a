//! Models of `src/sync/parker.rs` (M9): a token is never lost and never doubled.
#![cfg(loom)]

use loom_tests::{model, model_exhaustive};
use mainspring::sync::atomic::{AtomicBool, Ordering::Relaxed};
use mainspring::sync::parker::{Parker, Unparker};
use mainspring::sync::{Arc, UnsafeCell, thread};
use std::time::Duration;

/// A plain value written before an unpark: loom reports the race if a park does not bring it over.
struct Letter(UnsafeCell<u32>);

// SAFETY: the models read only after the token that hands the write over.
unsafe impl Sync for Letter {}
// SAFETY: as above.
unsafe impl Send for Letter {}

impl Letter {
    fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(0)))
    }

    fn write(&self) {
        // SAFETY: one writer, and the reader waits for its token.
        self.0.with_mut(|letter| unsafe { *letter = 1 });
    }

    fn read(&self) -> u32 {
        // SAFETY: the token has come.
        self.0.with(|letter| unsafe { *letter })
    }
}

fn post(letter: &Arc<Letter>, unparker: Unparker) -> thread::JoinHandle<()> {
    let letter = letter.clone();
    thread::spawn(move || {
        letter.write();
        unparker.unpark();
    })
}

#[test]
fn a_token_is_never_lost_and_hands_over_what_was_written() {
    model_exhaustive("parker_handover", || {
        let mut parker = Parker::new();
        let letter = Letter::new();
        let poster = post(&letter, parker.unparker());
        parker.park();
        assert_eq!(letter.read(), 1);
        poster.join().unwrap();
    });
}

#[test]
fn a_stray_wake_does_not_pass_for_a_token() {
    model("parker_stray_wake", || {
        let mut parker = Parker::new();
        let letter = Letter::new();
        let poster = post(&letter, parker.unparker());
        let me = thread::current();
        let stray = thread::spawn(move || me.unpark());
        parker.park();
        assert_eq!(letter.read(), 1);
        poster.join().unwrap();
        stray.join().unwrap();
    });
}

#[test]
fn two_tokens_are_one_and_the_second_park_waits() {
    model("parker_two_unparkers", || {
        let mut parker = Parker::new();
        let sent = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let senders = [0, 1].map(|i| {
            let (sent, unparker) = (sent.clone(), parker.unparker());
            thread::spawn(move || {
                sent[i].store(true, Relaxed);
                unparker.unpark();
            })
        });
        let mut parks = 0;
        while !(sent[0].load(Relaxed) && sent[1].load(Relaxed)) {
            parker.park(); // each unpark after the last look leaves a token
            parks += 1;
        }
        assert!(parks <= 2);
        for sender in senders {
            sender.join().unwrap();
        }
        // One token may be left; a second one would be doubled.
        let left = u32::from(parker.park_timeout(Duration::ZERO));
        assert!(parks + left <= 2);
        assert!(!parker.park_timeout(Duration::ZERO));
    });
}

#[test]
fn a_token_that_meets_the_end_of_the_time_is_taken_or_stays() {
    model_exhaustive("parker_timeout", || {
        let mut parker = Parker::new();
        let letter = Letter::new();
        let poster = post(&letter, parker.unparker());
        if !parker.park_timeout(Duration::from_millis(1)) {
            parker.park();
        }
        assert_eq!(letter.read(), 1);
        poster.join().unwrap();
        assert!(!parker.park_timeout(Duration::ZERO));
    });
}

#[test]
fn a_parker_that_moves_is_woken_on_its_new_thread() {
    model("parker_moves", || {
        let mut parker = Parker::new();
        let unparker = parker.unparker();
        let waker = thread::spawn(move || {
            unparker.unpark();
            unparker.unpark();
        });
        parker.park(); // binds this thread
        let last = parker.unparker();
        let mover = thread::spawn(move || parker.park());
        waker.join().unwrap(); // its second wake may reach either thread
        last.unpark();
        mover.join().unwrap();
    });
}
