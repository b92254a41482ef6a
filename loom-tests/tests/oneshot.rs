//! Models of `src/sync/oneshot.rs` (M12): one outcome, nothing lost, freed once.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::oneshot::{Asker, Patience, Unanswered, channel};
use mainspring::sync::{Arc, thread};
use std::future::poll_fn;
use std::sync::Arc as Shared;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

/// Parks at once and waits for ever: spinning is the same loads again.
const FOREVER: Patience = Patience {
    spin_ns: 0,
    limit_ns: None,
};

fn wait(asker: &mut Asker<Arc<u32>>) -> Result<Arc<u32>, Unanswered> {
    asker.wait(FOREVER, || 0).expect("no limit was set")
}

#[test]
fn an_answer_wakes_the_waiting_thread() {
    model_exhaustive("oneshot_answer", || {
        let (mut asker, answerer) = channel();
        let answerer = thread::spawn(move || answerer.answer(Arc::new(1)).is_ok());
        assert_eq!(wait(&mut asker).map(|answer| *answer), Ok(1));
        drop(asker);
        assert!(answerer.join().unwrap());
    });
}

#[test]
fn an_answerer_that_is_dropped_wakes_the_waiting_thread() {
    model_exhaustive("oneshot_unanswered", || {
        let (mut asker, answerer) = channel();
        let answerer = thread::spawn(move || drop(answerer));
        assert!(matches!(wait(&mut asker), Err(Unanswered)));
        drop(asker);
        answerer.join().unwrap();
    });
}

#[test]
fn giving_up_meets_the_answer_and_one_side_has_it() {
    model_exhaustive("oneshot_give_up", || {
        let (mut asker, answerer) = channel();
        let answerer = thread::spawn(move || answerer.answer(Arc::new(1)).is_err());
        let limited = Patience {
            spin_ns: 0,
            limit_ns: Some(2),
        };
        let mut looks = 0;
        let got = asker.wait(limited, || {
            looks += 1;
            looks // registers at the first look, sleeps once, then its time is up
        });
        let got = matches!(got, Some(Ok(_)));
        drop(asker);
        let given_back = answerer.join().unwrap();
        // Answered into the slot and never taken: freed with the slot.
        assert!(!(got && given_back), "S1: one outcome");
    });
}

#[test]
fn an_ask_dropped_by_both_sides_is_freed_once() {
    model_exhaustive("oneshot_drop_both", || {
        let (asker, answerer) = channel::<Arc<u32>>();
        let answerer = thread::spawn(move || drop(answerer));
        drop(asker);
        answerer.join().unwrap();
    });
}

#[test]
fn a_future_asker_is_woken_by_its_last_waker() {
    model_bound("oneshot_two_polls", 3, || {
        let (mut asker, answerer) = channel();
        let answerer = thread::spawn(move || answerer.answer(Arc::new(1)).is_ok());
        // A first poll by a task that is gone afterwards, as in a `select`.
        let first = asker.poll(&mut Context::from_waker(Waker::noop()));
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => loom::future::block_on(poll_fn(|context| asker.poll(context))),
        };
        assert_eq!(answer.map(|answer| *answer), Ok(1));
        drop(asker);
        assert!(answerer.join().unwrap());
    });
}

/// A waker that counts its calls; each call belongs to one registration.
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Shared<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_waker_registered_in_time_is_called_and_freed() {
    model_exhaustive("oneshot_waker_called", || {
        let calls = Shared::new(Calls(AtomicUsize::new(0)));
        let waker = Waker::from(calls.clone());
        let (mut asker, answerer) = channel();
        let answerer = thread::spawn(move || answerer.answer(Arc::new(1)).is_ok());
        let pending = asker.poll(&mut Context::from_waker(&waker)).is_pending();
        assert!(answerer.join().unwrap());
        assert!(!pending || calls.0.load(Relaxed) >= 1, "S5");
        drop(asker);
        drop(waker);
        assert_eq!(Shared::strong_count(&calls), 1);
    });
}

#[test]
fn an_asker_that_leaves_while_it_is_called_is_not_touched() {
    model("oneshot_leaves_in_call", || {
        let (mut asker, answerer) = channel();
        let registered = asker.poll(&mut Context::from_waker(Waker::noop()));
        assert!(registered.is_pending());
        let answerer = thread::spawn(move || answerer.answer(Arc::new(1)).is_ok());
        // A second registration takes the first back, or meets the call.
        let _ = asker.poll(&mut Context::from_waker(Waker::noop()));
        drop(asker);
        answerer.join().unwrap();
    });
}
