//! Models of `src/sync/ring.rs` (D1-D3): each token finds a message, no more wait than the capacity,
//! and each message is taken or displaced once, in order.
#![cfg(loom)]

use loom_tests::{model, model_bound};
use mainspring::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};
use mainspring::sync::ring::{Put, Ring};
use mainspring::sync::{Arc, thread};

/// A mailbox: its inbox is a count of tokens.
struct Mailbox {
    ring: Ring<u32>,
    tokens: AtomicU32,
    capacity: u32,
}

impl Mailbox {
    fn new(capacity: u32) -> Arc<Self> {
        Arc::new(Self {
            ring: Ring::default(),
            tokens: AtomicU32::new(0),
            capacity,
        })
    }

    /// Puts `message` in; what it displaced.
    fn put(&self, message: u32) -> Option<u32> {
        let put = self.ring.put(
            message,
            self.capacity,
            |_| Ok(()),
            || {
                let tokens = self.tokens.fetch_add(1, AcqRel);
                assert!(tokens < self.capacity, "D2");
                Ok::<(), ()>(())
            },
        );
        match put {
            Ok(Put::Placed(())) => None,
            Ok(Put::Displaced(oldest)) => Some(oldest),
            Err(_) => unreachable!("it is open"),
        }
    }

    /// Spends the tokens that are there, as the one run does.
    fn run(&self, handled: &mut Vec<u32>) {
        while self.tokens.load(Acquire) > 0 {
            self.tokens.fetch_sub(1, AcqRel);
            handled.push(self.ring.take().expect("D1: a token finds a message"));
        }
    }
}

/// Whether what `sender` sent, the numbers from `sender * 10`, is in order.
fn in_order(handled: &[u32], sender: u32) -> bool {
    let own = handled.iter().filter(|message| **message / 10 == sender);
    own.is_sorted()
}

fn two_senders(capacity: u32) {
    let mailbox = Mailbox::new(capacity);
    let senders = [1, 2].map(|sender| {
        let mailbox = mailbox.clone();
        thread::spawn(move || [0, 1].map(|n| mailbox.put(sender * 10 + n)))
    });
    let mut handled = Vec::new();
    mailbox.run(&mut handled);
    let displaced: Vec<u32> = senders
        .into_iter()
        .flat_map(|sender| sender.join().unwrap())
        .flatten()
        .collect();
    mailbox.run(&mut handled);
    assert!(in_order(&handled, 1) && in_order(&handled, 2), "D3");
    assert_eq!(mailbox.ring.displaced(), displaced.len() as u64, "D3");
    assert_eq!(mailbox.ring.take(), None, "D1: a message without a token");
    let mut all = [handled, displaced].concat();
    all.sort_unstable();
    assert_eq!(all, [10, 11, 20, 21], "D3: each once");
}

#[test]
fn each_message_is_taken_or_displaced_once() {
    model("ring_two_senders", || two_senders(1));
}

#[test]
fn what_waits_is_taken_in_order() {
    model("ring_order", || two_senders(3));
}

#[test]
fn the_newest_is_never_displaced() {
    model_bound("ring_newest", 3, || {
        let mailbox = Mailbox::new(2);
        let sender = mailbox.clone();
        let sender = thread::spawn(move || [1, 2, 3].map(|message| sender.put(message)));
        let mut handled = Vec::new();
        mailbox.run(&mut handled);
        let displaced = sender.join().unwrap();
        mailbox.run(&mut handled);
        assert!(matches!(displaced, [None, None, None | Some(1)]), "D3");
        assert!(handled.ends_with(&[2, 3]), "D3");
    });
}
