//! The census: nobody is read as alive only when nobody is.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use loom_tests::model_exhaustive;
use mainspring::sync::census::{Tally, alive};

/// A first one, born outside, has a child on worker 0 and dies there; the child has a child on
/// worker 1 and dies there; that one lives. `alive_now` reads the two in one or the other order.
fn line(name: &str, alive_now: fn(&[Tally; 2]) -> u64) {
    model_exhaustive(name, move || {
        let tallies = Arc::new([Tally::new(), Tally::new()]);
        let handed_over = Arc::new(AtomicBool::new(false));
        let (its, hand) = (tallies.clone(), handed_over.clone());
        let worker_0 = thread::spawn(move || {
            its[0].count_born();
            its[0].count_died();
            hand.store(true, Ordering::Release);
        });
        let its = tallies.clone();
        let worker_1 = thread::spawn(move || {
            // Without the child there is nothing to do here: that run shows nothing.
            if handed_over.load(Ordering::Acquire) {
                its[1].count_born();
                its[1].count_died();
            }
        });
        assert!(alive_now(&tallies) >= 1);
        worker_0.join().unwrap();
        worker_1.join().unwrap();
        assert_eq!(alive_now(&tallies), 1);
    });
}

#[test]
fn a_line_that_goes_on_is_never_read_as_ended() {
    line("census_line", |tallies| alive(tallies.iter(), || 1));
}

#[test]
fn whichever_worker_is_read_first() {
    line("census_reversed", |tallies| {
        alive(tallies.iter().rev(), || 1)
    });
}
