//! Models of `src/sync/inbox.rs` (M1-M5, M18): each message once and in order, one run at a time,
//! no lost wake, the bound, and the end.
//!
//! There is no run queue to model: whoever is told `Enqueue` runs the actor on the spot.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::inbox::{Chain, Inbox, Link, Push, Wake};
use mainspring::sync::parker::{Parker, Unparker};
use mainspring::sync::{Arc, Mutex, UnsafeCell, thread};
use std::ptr::NonNull;

/// An envelope as the actors have it: a link first. The `Arc` tells loom when one leaks.
#[repr(C, align(16))]
struct Envelope {
    link: Link,
    body: UnsafeCell<u32>,
    _leak: Arc<()>,
}

fn envelope(body: u32) -> NonNull<Link> {
    let envelope = Box::new(Envelope {
        link: Link::new(),
        body: UnsafeCell::new(0),
        _leak: Arc::new(()),
    });
    // SAFETY: nobody else has the envelope yet.
    envelope.body.with_mut(|cell| unsafe { *cell = body });
    NonNull::from(Box::leak(envelope)).cast()
}

/// Opens an envelope that is in no inbox, and frees it.
fn open(link: NonNull<Link>) -> u32 {
    // SAFETY: made by `envelope`, and taken out of the one inbox it was in.
    let envelope = unsafe { Box::from_raw(link.cast::<Envelope>().as_ptr()) };
    // SAFETY: alone with the envelope.
    envelope.body.with(|cell| unsafe { *cell })
}

/// What only a run touches; loom reports two runs at once, or one that does not see the last.
#[derive(Default)]
struct State {
    handled: Vec<u32>,
    turns: u32,
    signals: u32,
    stopped: bool,
    cells_freed: u32,
}

struct Actor {
    inbox: Inbox,
    state: UnsafeCell<State>,
    /// What a signal is about, written before it is raised.
    order: UnsafeCell<u32>,
    waiters: Mutex<Vec<Unparker>>,
    then: Option<(Arc<Actor>, u32)>,
}

// SAFETY: I3: only the one run touches the state; `order` is written before the signal.
unsafe impl Sync for Actor {}
// SAFETY: as above.
unsafe impl Send for Actor {}

const CAPACITY: u32 = 8;

impl Actor {
    fn idle() -> Arc<Self> {
        Self::with(None)
    }

    /// An idle actor that sends `then` on when it handles a message.
    fn with(then: Option<(Arc<Self>, u32)>) -> Arc<Self> {
        let actor = Self {
            inbox: Inbox::closed(),
            state: UnsafeCell::new(State::default()),
            order: UnsafeCell::new(0),
            waiters: Mutex::new(Vec::new()),
            then,
        };
        actor.inbox.open_idle();
        Arc::new(actor)
    }

    fn state<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: I3: called by the one run, or after all threads have ended.
        self.state.with_mut(|state| change(unsafe { &mut *state }))
    }

    /// Pushes, and runs the actor when that falls to us; what became of it.
    fn send(&self, body: u32, capacity: u32) -> Push {
        let link = envelope(body);
        let pushed = self.inbox.push(link, capacity);
        self.after(pushed, link)
    }

    fn after(&self, pushed: Push, link: NonNull<Link>) -> Push {
        match pushed {
            Push::Enqueue => self.run(),
            Push::Queued => {}
            Push::Full | Push::Closed => {
                open(link);
            }
        }
        pushed
    }

    /// One turn of the worker: until the inbox is idle or dead.
    fn run(&self) {
        loop {
            // Before the take: a run may look at its state first.
            self.state(|state| state.turns += 1);
            let taken = self.inbox.take(0);
            if taken.wake_waiters {
                self.wake_waiters();
            }
            if taken.signal {
                // SAFETY: the signal hands the order over.
                let order = self.order.with(|order| unsafe { *order });
                assert_eq!(order, 1, "I3");
                self.state(|state| state.signals += 1);
            }
            let finished = self.handle(taken.newest);
            if taken.closed {
                self.wake_waiters();
                self.state(|state| state.stopped = true);
                if self.inbox.retire(finished) {
                    self.state(|state| state.cells_freed += 1);
                }
                return;
            }
            let end = self.inbox.finish(finished, false);
            if end.wake_waiters {
                self.wake_waiters();
            }
            if end.idle {
                return;
            }
        }
    }

    /// Handles a taken stack, oldest first; how many.
    fn handle(&self, newest: *mut Link) -> u32 {
        let mut newest_first = Vec::new();
        let mut next = NonNull::new(newest);
        while let Some(link) = next {
            // SAFETY: taken, so ours.
            next = NonNull::new(unsafe { link.as_ref().next() });
            newest_first.push(open(link));
        }
        let count = newest_first.len() as u32;
        for body in newest_first.into_iter().rev() {
            self.state(|state| state.handled.push(body));
            if let Some((other, then)) = &self.then {
                assert!(!matches!(other.send(*then, CAPACITY), Push::Full));
            }
        }
        count
    }

    fn wake_waiters(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock().unwrap());
        for waiter in waiters {
            waiter.unpark();
        }
    }

    /// Sends, waiting for a place; `false` when the actor has closed.
    fn send_waiting(&self, body: u32, capacity: u32) -> bool {
        let mut parker = Parker::new();
        loop {
            match self.send(body, capacity) {
                Push::Enqueue | Push::Queued => return true,
                Push::Closed => return false,
                Push::Full => {}
            }
            self.waiters.lock().unwrap().push(parker.unparker());
            if self.inbox.wait(1, capacity) {
                parker.park();
            }
        }
    }

    fn close(&self) {
        if self.inbox.close() == Wake::Enqueue {
            self.run();
        }
    }

    fn handled(&self) -> Vec<u32> {
        self.state(|state| state.handled.clone())
    }
}

fn sends(actor: &Arc<Actor>, bodies: &'static [u32]) -> thread::JoinHandle<usize> {
    let actor = actor.clone();
    thread::spawn(move || {
        let sent =
            |body: &&u32| matches!(actor.send(**body, CAPACITY), Push::Enqueue | Push::Queued);
        bodies.iter().filter(sent).count()
    })
}

#[test]
fn two_producers_one_message_each_every_one_handled_once() {
    model_exhaustive("inbox_two_by_one", || {
        let actor = Actor::idle();
        let other = sends(&actor, &[1]);
        assert!(matches!(
            actor.send(2, CAPACITY),
            Push::Enqueue | Push::Queued
        ));
        assert_eq!(other.join().unwrap(), 1);
        let mut handled = actor.handled();
        handled.sort_unstable();
        assert_eq!(handled, [1, 2], "I1");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn each_producers_messages_stay_in_order() {
    model_bound("inbox_two_by_two", 3, || {
        let actor = Actor::idle();
        let others = [sends(&actor, &[11, 12]), sends(&actor, &[21, 22])];
        for other in others {
            assert_eq!(other.join().unwrap(), 2);
        }
        let handled = actor.handled();
        for producer in [1, 2] {
            let own = handled.iter().filter(|body| **body / 10 == producer);
            let own: Vec<u32> = own.map(|body| body % 10).collect();
            assert_eq!(own, [1, 2], "I1, I2");
        }
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn what_a_message_causes_comes_after_what_was_sent_before_it() {
    model_bound("inbox_causal", 3, || {
        let last = Actor::idle();
        // The middle actor sends 2 to the last one for each message that it handles.
        let middle = Actor::with(Some((last.clone(), 2)));
        let (to_last, to_middle) = (last.clone(), middle.clone());
        let sender = thread::spawn(move || {
            let _ = to_last.send(1, CAPACITY);
            let _ = to_middle.send(0, CAPACITY);
        });
        // Keeps the last one busy, so that its run may be anywhere.
        let _ = last.send(3, CAPACITY);
        sender.join().unwrap();
        let handled = last.handled();
        let place = |body| handled.iter().position(|handled| *handled == body);
        assert!(place(1).unwrap() < place(2).unwrap(), "I2");
        assert_eq!(handled.len(), 3, "I1");
    });
}

#[test]
fn a_chain_is_published_whole_and_in_order() {
    model("inbox_chain", || {
        let actor = Actor::idle();
        let other = sends(&actor, &[9]);
        let leased = actor.inbox.reserve(2, 3, CAPACITY).unwrap();
        let mut chain = Chain::one(envelope(1));
        // SAFETY: both are ours until published.
        unsafe { chain.push(envelope(2)) };
        if actor.inbox.publish(chain, 2, leased) == Push::Enqueue {
            actor.run();
        }
        assert_eq!(other.join().unwrap(), 1);
        let handled: Vec<u32> = actor.handled();
        let own: Vec<u32> = handled.iter().copied().filter(|body| *body != 9).collect();
        assert_eq!(own, [1, 2], "I2");
        assert_eq!(handled.len(), 3, "I1");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn a_push_that_meets_the_close_is_handled_or_comes_back() {
    model_bound("inbox_close", 3, || {
        let actor = Actor::idle();
        let other = sends(&actor, &[1, 2]);
        actor.close();
        let sent = other.join().unwrap();
        assert_eq!(actor.handled().len(), sent, "I1");
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
        assert_eq!(actor.send(3, CAPACITY), Push::Closed);
        assert_eq!(actor.inbox.wake(), Wake::Nothing);
    });
}

#[test]
fn a_second_close_and_a_signal_find_the_actor_dead_or_alive_once() {
    model("inbox_close_twice", || {
        let actor = Actor::idle();
        let closer = actor.clone();
        let closer = thread::spawn(move || closer.close());
        actor.close();
        closer.join().unwrap();
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
        assert_eq!(actor.inbox.signal(), Wake::Nothing);
    });
}

#[test]
fn places_taken_never_exceed_the_capacity() {
    model_bound("inbox_bound", 3, || {
        let actor = Actor::idle();
        let sender = |actor: Arc<Actor>, body| {
            thread::spawn(move || {
                let sent = actor.send(body, 1);
                assert!(actor.inbox.places_taken() <= 1, "I4");
                usize::from(matches!(sent, Push::Enqueue | Push::Queued))
            })
        };
        let others = [1, 2].map(|body| sender(actor.clone(), body));
        assert!(actor.inbox.places_taken() <= 1, "I4");
        let sent: usize = others.map(|other| other.join().unwrap()).iter().sum();
        assert!(sent >= 1, "I4");
        assert_eq!(actor.handled().len(), sent, "I1");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn reservations_never_exceed_the_capacity() {
    model_exhaustive("inbox_reserve_bound", || {
        let actor = Actor::idle();
        let other = actor.clone();
        let other = thread::spawn(move || other.inbox.reserve(1, 2, 2).unwrap_or(0));
        let own = actor.inbox.reserve(1, 1, 2).unwrap_or(0);
        let other = other.join().unwrap();
        assert!(own + other <= 2, "I4");
        assert!(own + other >= 2, "I4: free places are given");
        assert_eq!(actor.inbox.places_taken(), own + other);
        assert!(!actor.inbox.release(own + other).last);
        assert_eq!(actor.inbox.places_taken(), 0);
    });
}

#[test]
fn a_sender_that_waits_for_a_place_is_woken() {
    model_bound("inbox_waiter", 3, || {
        let actor = Actor::idle();
        let others = [1, 2].map(|body| {
            let actor = actor.clone();
            thread::spawn(move || assert!(actor.send_waiting(body, 1)))
        });
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(actor.handled().len(), 2, "I1, I5");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn a_reservation_that_is_given_up_wakes_a_waiter() {
    model_exhaustive("inbox_release_wakes", || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 1), Ok(1));
        let waiter = actor.clone();
        let waiter = thread::spawn(move || assert!(waiter.send_waiting(1, 1)));
        if actor.inbox.release(1).wake_waiters {
            actor.wake_waiters();
        }
        waiter.join().unwrap();
        assert_eq!(actor.handled(), [1]);
    });
}

#[test]
fn a_message_does_not_make_a_waiter_forgotten() {
    model("inbox_waiter_and_push", || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 2), Ok(1));
        let waiter = actor.clone();
        let waiter = thread::spawn(move || {
            let mut parker = Parker::new();
            while waiter.inbox.reserve(2, 2, 2).is_err() {
                waiter.waiters.lock().unwrap().push(parker.unparker());
                if waiter.inbox.wait(2, 2) {
                    parker.park();
                }
            }
        });
        assert_ne!(actor.send(1, 2), Push::Closed);
        if actor.inbox.release(1).wake_waiters {
            actor.wake_waiters();
        }
        waiter.join().unwrap();
        assert_eq!(actor.inbox.places_taken(), 2, "I4");
    });
}

#[test]
fn a_waiter_is_woken_by_the_close() {
    model("inbox_close_wakes", || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 1), Ok(1));
        let waiter = actor.clone();
        let waiter = thread::spawn(move || assert!(!waiter.send_waiting(1, 1)));
        actor.close();
        waiter.join().unwrap();
        assert!(actor.inbox.release(1).last, "I4");
    });
}

#[test]
fn a_signal_reaches_an_actor_whose_inbox_is_full() {
    model_bound("inbox_signal", 3, || {
        let actor = Actor::idle();
        let other = actor.clone();
        let other = thread::spawn(move || {
            // SAFETY: written once, before the signal that hands it over.
            other.order.with_mut(|order| unsafe { *order = 1 });
            if other.inbox.signal() == Wake::Enqueue {
                other.run();
            }
        });
        let sent = [1, 2].map(|body| actor.send(body, 1) != Push::Full);
        other.join().unwrap();
        assert_eq!(actor.state(|state| state.signals), 1, "I3");
        let sent = sent.into_iter().filter(|sent| *sent).count();
        assert_eq!(actor.handled().len(), sent, "I1");
    });
}

/// Both or neither, in one order for all (M18).
fn commit_to_both(first: &Arc<Actor>, second: &Arc<Actor>, body: u32) -> bool {
    let Ok(leased) = first.inbox.reserve(1, 1, 1) else {
        return false;
    };
    if second.inbox.reserve(1, 1, 1).is_err() {
        free_if_last(first, leased);
        return false;
    }
    for actor in [first, second] {
        let link = envelope(body);
        match actor.inbox.publish(Chain::one(link), 1, 1) {
            Push::Enqueue => actor.run(),
            Push::Queued => {}
            Push::Full => unreachable!("publish is never Full"),
            Push::Closed => {
                open(link);
                free_if_last(actor, 1);
            }
        }
    }
    true
}

fn free_if_last(actor: &Arc<Actor>, places: u32) {
    let released = actor.inbox.release(places);
    if released.wake_waiters {
        actor.wake_waiters();
    }
    if released.last {
        actor.state(|state| {
            assert!(state.stopped, "I4");
            state.cells_freed += 1;
        });
    }
}

#[test]
fn two_commits_to_the_same_two_actors_are_all_or_nothing() {
    model_bound("inbox_two_reservations", 3, || {
        let (first, second) = (Actor::idle(), Actor::idle());
        let (f, s) = (first.clone(), second.clone());
        let other = thread::spawn(move || commit_to_both(&f, &s, 1));
        let own = commit_to_both(&first, &second, 2);
        let sent = usize::from(own) + usize::from(other.join().unwrap());
        assert!(sent >= 1, "one of them has room");
        for actor in [first, second] {
            assert_eq!(actor.handled().len(), sent, "all or nothing");
            assert_eq!(actor.inbox.places_taken(), 0, "I4: no place is lost");
        }
    });
}

#[test]
fn a_reservation_that_meets_the_close_frees_the_cell_once() {
    model_exhaustive("inbox_reservation_close", || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(2, 2, 2), Ok(2));
        let holder = actor.clone();
        let holder = thread::spawn(move || {
            free_if_last(&holder, 1);
            free_if_last(&holder, 1);
        });
        actor.close();
        holder.join().unwrap();
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
    });
}
