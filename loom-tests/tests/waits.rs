//! Models of `src/sync/waits.rs` (R1-R3): whoever waits for room gets it while there is any, no
//! more are woken than there is room for, and a circle does not stand.
//!
//! A mailbox is an inbox of which only the places matter; whoever takes one gives it back at once.
//! An actor that waits parks, and a wake unparks it, as a run queue and a worker would. A lost wake
//! leaves a thread parked for ever, which loom reports as a deadlock.
#![cfg(loom)]

use loom_tests::{model, model_bound};
use mainspring::sync::inbox::Inbox;
use mainspring::sync::parker::{Parker, Unparker};
use mainspring::sync::waits::{Wait, Waiter, Waits};
use mainspring::sync::{Arc, thread};

/// A system of a few mailboxes.
struct System {
    waits: Waits<Unparker>,
    mailboxes: Vec<(Inbox, u32)>,
}

impl System {
    /// One mailbox for each capacity, all of whose places are taken.
    fn full(capacities: &[u32]) -> Arc<Self> {
        let mailboxes = capacities.iter().map(|&capacity| {
            let inbox = Inbox::closed();
            inbox.open_idle();
            assert_eq!(inbox.reserve(capacity, capacity, capacity), Ok(capacity));
            (inbox, capacity)
        });
        Arc::new(Self {
            waits: Waits::default(),
            mailboxes: mailboxes.collect(),
        })
    }

    fn inbox(&self, target: u32) -> &Inbox {
        &self.mailboxes[target as usize].0
    }

    fn release(&self, target: u32, places: u32) {
        if self.inbox(target).release(places).wake_waiters {
            self.wake(target);
        }
    }

    /// Wakes those that there is room for; how many.
    fn wake(&self, target: u32) -> usize {
        let (inbox, capacity) = &self.mailboxes[target as usize];
        let woken = self.waits.take(target, inbox, *capacity);
        for waiter in &woken {
            match waiter {
                Waiter::Actor(_, unparker) | Waiter::Thread(unparker, _) => unparker.unpark(),
            }
        }
        woken.len()
    }

    fn places_taken(&self, target: u32) -> u32 {
        self.inbox(target).places_taken()
    }
}

/// An actor that commits to one target after the other, a place in each. Its own mailbox, where it
/// has one, is that of its number.
struct Actor {
    system: Arc<System>,
    number: u32,
    parker: Parker,
}

impl Actor {
    fn new(system: &Arc<System>, number: u32) -> Self {
        Self {
            system: system.clone(),
            number,
            parker: Parker::new(),
        }
    }

    fn wait(&self, target: u32, places: u32) -> Wait {
        let (inbox, capacity) = &self.system.mailboxes[target as usize];
        let me = (self.number, self.parker.unparker());
        let (outcome, elsewhere) =
            self.system
                .waits
                .wait(me, (target, places), (inbox, *capacity), || {});
        if let Some(target) = elsewhere {
            self.system.wake(target);
        }
        outcome
    }

    /// Takes `places` at `target`, waiting for them; false in a circle, where it goes without.
    fn take(&mut self, target: u32, places: u32) -> bool {
        let (inbox, capacity) = &self.system.mailboxes[target as usize];
        while inbox.reserve(places, places, *capacity).is_err() {
            match self.wait(target, places) {
                Wait::Waits(_) => self.parker.park(),
                Wait::Room => {}
                Wait::Circle => return false,
            }
        }
        true
    }

    fn stop(&self) {
        if let Some(target) = self.system.waits.stop(self.number) {
            self.system.wake(target);
        }
    }

    /// A commit of one message to `target`, which is handled at once.
    fn commit(mut self, target: u32) {
        let took = self.take(target, 1);
        self.stop();
        if took {
            self.system.release(target, 1);
        }
    }
}

#[test]
fn a_place_given_back_wakes_who_waits() {
    model_bound("waits_one", 3, || {
        let system = System::full(&[1]);
        let actors = [1, 2].map(|number| {
            let actor = Actor::new(&system, number);
            thread::spawn(move || actor.commit(0))
        });
        system.release(0, 1);
        for actor in actors {
            actor.join().unwrap();
        }
        assert_eq!(system.places_taken(0), 0);
        assert!(!system.waits.any(), "nobody is left in a list");
    });
}

#[test]
fn one_that_commits_on_its_own_while_it_is_woken_leaves_the_wake_to_the_next() {
    model("waits_own_commit", || {
        let system = System::full(&[2]);
        let (first, mut second) = (Actor::new(&system, 1), Actor::new(&system, 2));
        assert!(matches!(first.wait(0, 1), Wait::Waits(Some(_))));
        assert!(matches!(second.wait(0, 1), Wait::Waits(Some(_))));
        // It runs for another reason, and keeps its place.
        let committed = system.clone();
        first.parker.unparker().unpark();
        let mut first = first;
        let first = thread::spawn(move || {
            first.parker.park();
            let took = first.take(0, 1);
            first.stop();
            took
        });
        let holder = thread::spawn(move || {
            committed.release(0, 1);
            committed.release(0, 1);
        });
        second.parker.park();
        assert!(second.take(0, 1));
        second.stop();
        assert!(first.join().unwrap());
        holder.join().unwrap();
        assert_eq!(system.places_taken(0), 2);
        assert!(!system.waits.any());
    });
}

#[test]
fn one_that_was_woken_and_then_waits_elsewhere_leaves_the_wake_to_the_next() {
    model("waits_elsewhere", || {
        let system = System::full(&[1, 1]);
        let (first, mut second) = (Actor::new(&system, 11), Actor::new(&system, 12));
        assert!(matches!(first.wait(0, 1), Wait::Waits(Some(_))));
        assert!(matches!(second.wait(0, 1), Wait::Waits(Some(_))));
        let mut first = first;
        let holder = system.clone();
        let holder = thread::spawn(move || holder.release(0, 1));
        // What its plan waits for now is another mailbox.
        let other = thread::spawn(move || {
            first.parker.park();
            assert!(first.take(1, 1));
            first.stop();
        });
        second.parker.park();
        assert!(second.take(0, 1));
        second.stop();
        system.release(1, 1);
        holder.join().unwrap();
        other.join().unwrap();
        assert_eq!((system.places_taken(0), system.places_taken(1)), (1, 1));
        assert!(!system.waits.any());
    });
}

#[test]
fn no_more_are_woken_than_there_is_room_for() {
    model("waits_room", || {
        let system = System::full(&[3]);
        let waiting = [1, 2, 3].map(|number| {
            let actor = Actor::new(&system, number);
            assert!(matches!(actor.wait(0, 1), Wait::Waits(Some(_))));
            actor
        });
        let holder = system.clone();
        let holder = thread::spawn(move || {
            let wakes = holder.inbox(0).release(1).wake_waiters;
            assert!(wakes, "R1: three wait");
            assert_eq!(holder.wake(0), 1, "R3: one is free");
        });
        // One more in line, before or after, or it sees the place and does not wait.
        let late = Actor::new(&system, 4);
        let _ = late.wait(0, 1);
        late.stop();
        holder.join().unwrap();
        for actor in waiting {
            actor.stop();
        }
        assert!(!system.waits.any());
    });
}

#[test]
fn two_that_wait_for_each_other_find_the_circle() {
    model_bound("waits_circle", 3, || {
        let system = System::full(&[1, 1]);
        // Each holds the other's target full until its own commit is done.
        let other = system.clone();
        let other = thread::spawn(move || meet(&other, 0, 1));
        let own = meet(&system, 1, 0);
        let other = other.join().unwrap();
        assert!(own || other, "at least one got its place");
        assert!(!system.waits.any());
    });
}

/// Actor `me`, whose mailbox is full until its commit to `target` is done.
fn meet(system: &Arc<System>, me: u32, target: u32) -> bool {
    let mut actor = Actor::new(system, me);
    let took = actor.take(target, 1);
    actor.stop();
    system.release(me, 1);
    took
}

#[test]
fn a_thread_whose_time_is_up_while_it_is_woken_leaves_the_wake_to_the_next() {
    model_bound("waits_thread_leaves", 3, || {
        let system = System::full(&[1]);
        let (parker, mut second) = (Parker::new(), Actor::new(&system, 2));
        let (inbox, capacity) = &system.mailboxes[0];
        let ticket = system
            .waits
            .join(parker.unparker(), 0, (inbox, *capacity), || true)
            .expect("it is full");
        assert!(matches!(second.wait(0, 1), Wait::Waits(Some(_))));
        let holder = system.clone();
        let holder = thread::spawn(move || holder.release(0, 1));
        let leaver = system.clone();
        let leaver = thread::spawn(move || {
            if leaver.waits.leave(0, ticket) {
                leaver.wake(0); // it takes no place
            }
        });
        second.parker.park();
        assert!(second.take(0, 1));
        second.stop();
        holder.join().unwrap();
        leaver.join().unwrap();
        assert!(!system.waits.any());
    });
}
