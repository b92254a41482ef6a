//! Full mailboxes: whoever waits for room gets it.

use super::*;
use common::{Log, Msg, conserves, does, spawn};
use shuttle_tests::explore;
use std::sync::Arc;

/// Plans of several messages for one small mailbox, from three actors and a thread.
#[test]
fn every_sender_gets_through_a_full_mailbox() {
    const EACH: u64 = 2;
    explore("every_sender_gets_through_a_full_mailbox", || {
        let system = Arc::new(system(workers(2)));
        let log = Log::new();
        let sink = system.prepare(Script, Tape::new(&log)).capacity(2);
        let sink = sink.start().unwrap();
        let to = sink.actor();
        for sender in 0..3 {
            let actor = spawn(&system, &Log::new());
            for burst in 0..EACH {
                actor
                    .tell(does(move || {
                        let first = 100 * sender + 10 * burst;
                        Plan::tell(to, Msg::Say(first)).and(Plan::tell(to, Msg::Say(first + 1)))
                    }))
                    .unwrap();
            }
        }
        let other = system.clone();
        let outside = thread::spawn(move || {
            let to = other.handle(to).unwrap();
            (0..3).for_each(|n| to.tell_wait(Msg::Say(900 + n), LONG).unwrap());
        });
        outside.join().unwrap();
        until("all arrived", || log.len() as u64 == 3 * EACH * 2 + 3);
        let counts = system.counts(to).unwrap();
        conserves(counts);
        assert_eq!(system.dead_letter_count(), 0);
        end(Arc::into_inner(system).unwrap());
        for sender in [0, 1, 2, 9] {
            let said = log.said().into_iter().filter(|n| n / 100 == sender);
            assert!(said.is_sorted(), "{:?}", log.said());
        }
    });
}

/// Two actors that fill each other's mailboxes: both wait for room that only the other can make.
#[test]
fn a_circle_of_full_mailboxes_comes_through() {
    static OVERDRAFT: Times = Times::new();
    let told = explore("a_circle_of_full_mailboxes_comes_through", || {
        let system = system(workers(2).mailbox_capacity(2));
        let log = Log::new();
        let pair = [(); 2].map(|()| spawn(&system, &log));
        let [a, b] = pair.each_ref().map(|one| one.actor());
        for _ in 0..2 {
            for (one, to) in [(&pair[0], b), (&pair[1], a)] {
                let both = move || Plan::tell(to, Msg::Say(1)).and(Plan::tell(to, Msg::Say(2)));
                one.tell_wait(does(both), LONG).unwrap();
            }
        }
        until("all are said", || log.len() == 8);
        let workers = system.metrics().workers;
        OVERDRAFT.add(workers.iter().map(|worker| worker.overdraft).sum());
        assert_eq!(system.dead_letter_count(), 0);
        end(system);
    });
    OVERDRAFT.reached("a circle is broken", told);
}
