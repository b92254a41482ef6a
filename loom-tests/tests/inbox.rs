//! Models of `src/sync/inbox.rs` (M1-M5, M18): each message once and in order, one run at a time,
//! no lost wake, the bound, no envelope used twice, and the end.
//!
//! There is no run queue to model: whoever is told `Enqueue` runs the actor on the spot. Apart from
//! that a [`Worker`] drives the inbox as `src/actor/cell.rs` does, and sends the envelope that it
//! freed last first, so that one freed too early comes back in its old place.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::atomic::{
    AtomicBool, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use mainspring::sync::inbox::{Backlog, Chain, Inbox, Link, Push, Released, Reversal, Wake};
use mainspring::sync::parker::{Parker, Unparker};
use mainspring::sync::{Arc, Mutex, UnsafeCell, thread};
use std::cell::RefCell;
use std::ptr::NonNull;

/// An envelope as the actors have it: a link first. The `Arc` tells loom when one leaks.
#[repr(C, align(16))]
struct Envelope {
    link: Link,
    body: UnsafeCell<u32>,
    _leak: Arc<()>,
}

/// From here on a message is one that `special` takes apart: it needs its envelope for good.
const SPECIAL: u32 = 100;
/// A message whose commit needs a place at the actor's `target`.
const COMMITS: u32 = 50;
/// The message that such a commit sends.
const COMMITTED: u32 = 51;
const CAPACITY: u32 = 8;

/// What only a run touches; loom reports two runs at once, or one that does not see the last.
#[derive(Default)]
struct State {
    handled: Vec<u32>,
    dead: u32,
    sent: u32,
    turns: u32,
    signals: u32,
    finished: u32,
    waiting: Option<u32>,
    stopped: bool,
    cells_freed: u32,
}

/// What an actor does besides noting its messages.
struct Script {
    /// On handling this, send that: to another, or to itself.
    sends: Vec<(u32, Option<Arc<Actor>>, u32)>,
    /// Ends before the message after this one.
    ends_after: Option<u32>,
    /// Messages in a run.
    batch: u32,
    /// Sends itself this in the first envelope that a look lets go.
    sends_held: Option<u32>,
    /// Where its commits need a place.
    target: Option<Arc<Actor>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            sends: Vec::new(),
            ends_after: None,
            batch: 4,
            sends_held: None,
            target: None,
        }
    }
}

struct Actor {
    inbox: Inbox,
    backlog: Backlog,
    state: UnsafeCell<State>,
    /// A flag of the actor's life: what a signal is about, set before it is raised.
    flag: AtomicBool,
    /// The cell may be used again.
    is_free: AtomicBool,
    /// How many actors the cell had before.
    generation: AtomicU32,
    waiters: Mutex<Vec<Waiter>>,
    script: Script,
}

enum Waiter {
    Thread(Unparker),
    Actor(Arc<Actor>),
}

// SAFETY: I3: only the one run touches state and backlog.
unsafe impl Sync for Actor {}
// SAFETY: as above.
unsafe impl Send for Actor {}

impl Actor {
    fn idle() -> Arc<Self> {
        Self::with(Script::default())
    }

    /// An idle actor that does more than note its messages.
    fn with(script: Script) -> Arc<Self> {
        let actor = Self {
            inbox: Inbox::closed(),
            backlog: Backlog::new(),
            state: UnsafeCell::new(State::default()),
            flag: AtomicBool::new(false),
            is_free: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            waiters: Mutex::new(Vec::new()),
            script,
        };
        actor.inbox.open_idle();
        Arc::new(actor)
    }

    fn state<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: I3: called by the one run, or after all threads have ended.
        self.state.with_mut(|state| change(unsafe { &mut *state }))
    }

    fn handled(&self) -> Vec<u32> {
        self.state(|state| state.handled.clone())
    }

    fn set_free(&self) {
        self.state(|state| {
            assert!(state.stopped, "I4");
            state.cells_freed += 1;
        });
        self.is_free.store(true, Release);
    }

    fn pop(&self) -> Option<NonNull<Link>> {
        // SAFETY: I3: called by the one run.
        unsafe { self.backlog.pop() }
    }
}

/// How a batch ended.
#[derive(PartialEq)]
enum End {
    Batch,
    Waits,
    Dies,
}

/// One thread's envelopes, and what a worker does with an actor.
#[derive(Default)]
struct Worker {
    free: RefCell<Vec<NonNull<Link>>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        for link in self.free.take() {
            // SAFETY: made by `Worker::envelope` from a box, and in no inbox.
            drop(unsafe { Box::from_raw(link.cast::<Envelope>().as_ptr()) });
        }
    }
}

impl Worker {
    fn envelope(&self, body: u32) -> NonNull<Link> {
        let link = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let envelope = Box::new(Envelope {
                link: Link::new(),
                body: UnsafeCell::new(0),
                _leak: Arc::new(()),
            });
            NonNull::from(Box::leak(envelope)).cast()
        });
        self.exchange(link, body);
        link
    }

    /// Puts a body into an envelope that is the caller's; the one before.
    fn exchange(&self, link: NonNull<Link>, body: u32) -> u32 {
        // SAFETY: made by `envelope`, and the caller's.
        let envelope = unsafe { link.cast::<Envelope>().as_ref() };
        // SAFETY: as above.
        envelope
            .body
            .with_mut(|cell| std::mem::replace(unsafe { &mut *cell }, body))
    }

    fn free(&self, link: NonNull<Link>) {
        self.exchange(link, 0);
        self.free.borrow_mut().push(link);
    }

    fn free_held(&self, link: Option<NonNull<Link>>) {
        if let Some(link) = link {
            assert_eq!(self.exchange(link, 0), 0, "I7: what is held is empty");
            self.free(link);
        }
    }

    /// Pushes, and runs the actor when that falls to us; what became of it.
    fn send(&self, actor: &Arc<Actor>, body: u32, capacity: u32) -> Push {
        let link = self.envelope(body);
        let pushed = actor.inbox.push(link, capacity);
        match pushed {
            Push::Enqueue => self.run(actor),
            Push::Queued => {}
            Push::Full | Push::Closed => self.free(link),
        }
        pushed
    }

    /// Runs until the actor is idle or dead.
    fn run(&self, actor: &Arc<Actor>) {
        loop {
            // Before the look: a run may look at its state first.
            actor.state(|state| {
                state.turns += 1;
                assert!(state.turns < 200, "I3: runs for ever");
            });
            let end = self.batch(actor);
            if end == End::Dies {
                return self.die(actor);
            }
            let finished = actor.state(|state| std::mem::take(&mut state.finished));
            if end == End::Batch && !actor.backlog.is_empty() {
                if actor.inbox.release(finished).wake_waiters {
                    self.wake_waiters(actor);
                }
                continue;
            }
            // SAFETY: I3.
            let finish = unsafe {
                actor
                    .inbox
                    .finish(&actor.backlog, finished, end == End::Waits)
            };
            // Between two runs the freed envelope could come back where the word still points.
            assert!(finish.idle || finish.let_go.is_none(), "I7");
            self.free_held(finish.let_go);
            if finish.wake_waiters {
                self.wake_waiters(actor);
            }
            if finish.idle {
                return;
            }
        }
    }

    fn batch(&self, actor: &Arc<Actor>) -> End {
        self.see_flag(actor);
        if let Some(body) = actor.state(|state| state.waiting.take())
            && !self.commit(actor, body)
        {
            return End::Waits;
        }
        let news = if !actor.backlog.is_empty() {
            // SAFETY: I3; no message is in hand.
            unsafe { actor.inbox.look_ahead(&actor.backlog) }
        } else if self.refill(actor) {
            return End::Dies;
        } else {
            Reversal::none()
        };
        for _ in 0..actor.script.batch {
            // SAFETY: I3; a batch has one reversal.
            let Some(link) = (unsafe { actor.backlog.pop_reversing(&news) }) else {
                break;
            };
            self.see_flag(actor);
            let last = actor.state(|state| state.handled.last().copied());
            if last.is_some() && last == actor.script.ends_after {
                // SAFETY: I3; it was popped last.
                unsafe { actor.backlog.put_back(link) };
                return End::Dies;
            }
            let body = self.open(actor, link);
            actor.state(|state| state.finished += 1);
            if body == COMMITS {
                if !self.commit(actor, body) {
                    return End::Waits;
                }
            } else {
                self.handle(actor, body);
            }
        }
        self.see_flag(actor);
        End::Batch
    }

    /// A signal's flag is looked at before the batch, before each message and after the last.
    fn see_flag(&self, actor: &Actor) {
        if actor.flag.load(Relaxed) {
            actor.state(|state| state.signals = 1);
        }
    }

    /// Whether the inbox is closed and empty.
    fn refill(&self, actor: &Arc<Actor>) -> bool {
        // SAFETY: I3.
        let look = unsafe { actor.inbox.look(&actor.backlog) };
        self.free_held(look.let_go);
        let sends = actor.script.sends_held;
        let sends = sends.filter(|_| actor.state(|state| state.sent == 0));
        if let (Some(_), Some(body)) = (look.let_go, sends) {
            let sent = self.send(actor, body, CAPACITY);
            actor.state(|state| state.sent += u32::from(in_it(sent)));
        }
        look.closed && actor.backlog.is_empty()
    }

    /// Takes a message out of its envelope.
    fn open(&self, actor: &Actor, link: NonNull<Link>) -> u32 {
        // SAFETY: popped, so ours to read.
        let envelope = unsafe { link.cast::<Envelope>().as_ref() };
        // SAFETY: as above.
        let special = envelope.body.with(|body| unsafe { *body }) >= SPECIAL;
        if special {
            self.detach(actor, link);
        }
        let body = self.exchange(link, 0);
        if !special && actor.backlog.is_boundary(link) {
            actor.backlog.hold(link);
        } else {
            self.free(link);
        }
        body
    }

    fn detach(&self, actor: &Actor, link: NonNull<Link>) {
        if actor.backlog.is_boundary(link) {
            // SAFETY: I3; the boundary was popped last.
            unsafe { actor.inbox.let_go(&actor.backlog) };
        }
    }

    fn handle(&self, actor: &Arc<Actor>, body: u32) {
        actor.state(|state| state.handled.push(body));
        for (on, to, then) in &actor.script.sends {
            if *on == body {
                let sent = self.send(to.as_ref().unwrap_or(actor), *then, CAPACITY);
                assert!(!matches!(sent, Push::Full));
            }
        }
    }

    /// Sends `body` to the actor's target; false when it waits for a place.
    fn commit(&self, actor: &Arc<Actor>, body: u32) -> bool {
        let target = actor.script.target.as_ref().unwrap();
        loop {
            if target.inbox.reserve(1, 1, 1).is_ok() {
                let chain = Chain::one(self.envelope(COMMITTED));
                match target.inbox.publish(chain, 1, 1) {
                    Push::Enqueue => self.run(target),
                    Push::Queued => {}
                    Push::Full | Push::Closed => unreachable!("the target stays open"),
                }
                actor.state(|state| state.handled.push(body));
                return true;
            }
            let mut waiters = target.waiters.lock().unwrap();
            waiters.push(Waiter::Actor(actor.clone()));
            if target.inbox.wait(1, 1) {
                actor.state(|state| state.waiting = Some(body));
                return false;
            }
            waiters.retain(|waiter| !matches!(waiter, Waiter::Actor(a) if Arc::ptr_eq(a, actor)));
        }
    }

    fn die(&self, actor: &Arc<Actor>) {
        let _ = actor.inbox.close();
        loop {
            while let Some(link) = actor.pop() {
                self.detach(actor, link);
                actor.state(|state| {
                    state.dead += 1;
                    state.finished += 1;
                });
                self.free(link);
            }
            if self.refill(actor) {
                break;
            }
        }
        if actor.inbox.has_waiters() {
            self.wake_waiters(actor);
        }
        let finished = actor.state(|state| {
            state.stopped = true;
            std::mem::take(&mut state.finished)
        });
        actor.generation.fetch_add(1, Relaxed);
        // SAFETY: I3; the last look found it closed and empty.
        let (free, held) = unsafe { actor.inbox.retire(&actor.backlog, finished) };
        self.free_held(held);
        if free {
            actor.set_free();
        }
    }

    fn wake_waiters(&self, actor: &Actor) {
        let waiters = std::mem::take(&mut *actor.waiters.lock().unwrap());
        for waiter in waiters {
            match waiter {
                Waiter::Thread(unparker) => unparker.unpark(),
                Waiter::Actor(waiter) => {
                    if waiter.inbox.signal() == Wake::Enqueue {
                        self.run(&waiter);
                    }
                }
            }
        }
    }

    /// Sends, waiting for a place; `false` when the actor has closed.
    fn send_waiting(&self, actor: &Arc<Actor>, body: u32, capacity: u32) -> bool {
        let mut parker = Parker::new();
        loop {
            match self.send(actor, body, capacity) {
                Push::Enqueue | Push::Queued => return true,
                Push::Closed => return false,
                Push::Full => {}
            }
            let unparker = Waiter::Thread(parker.unparker());
            actor.waiters.lock().unwrap().push(unparker);
            if actor.inbox.wait(1, capacity) {
                parker.park();
            }
        }
    }

    /// Gives places back; the last ones of a dead actor free its cell.
    fn release(&self, actor: &Actor, places: u32) -> bool {
        self.released(actor, actor.inbox.release(places))
    }

    fn released(&self, actor: &Actor, released: Released) -> bool {
        if released.wake_waiters {
            self.wake_waiters(actor);
        }
        if released.last {
            actor.set_free();
        }
        released.last
    }

    fn close(&self, actor: &Arc<Actor>) {
        if actor.inbox.close() == Wake::Enqueue {
            self.run(actor);
        }
    }

    fn signal(&self, actor: &Arc<Actor>) {
        actor.flag.store(true, Relaxed);
        if actor.inbox.signal() == Wake::Enqueue {
            self.run(actor);
        }
    }
}

fn in_it(pushed: Push) -> bool {
    matches!(pushed, Push::Enqueue | Push::Queued)
}

fn sends(actor: &Arc<Actor>, bodies: &'static [u32]) -> thread::JoinHandle<usize> {
    let actor = actor.clone();
    thread::spawn(move || {
        let worker = Worker::default();
        let sent = |body: &&u32| in_it(worker.send(&actor, **body, CAPACITY));
        bodies.iter().filter(sent).count()
    })
}

/// The handled messages among `bodies`, in order.
fn of(handled: &[u32], bodies: &[u32]) -> Vec<u32> {
    let own = handled.iter().copied();
    own.filter(|body| bodies.contains(body)).collect()
}

#[test]
fn two_producers_one_message_each_every_one_handled_once() {
    model_exhaustive("inbox_two_by_one", || {
        let actor = Actor::idle();
        let other = sends(&actor, &[1]);
        assert!(in_it(Worker::default().send(&actor, 2, CAPACITY)));
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
        assert_eq!(of(&handled, &[11, 12]), [11, 12], "I1, I2");
        assert_eq!(of(&handled, &[21, 22]), [21, 22], "I1, I2");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn an_envelope_that_comes_back_at_once_is_a_new_message() {
    model_bound("inbox_comes_back", 3, || {
        // Answers itself in the envelope freed last, one message a run.
        let actor = Actor::with(Script {
            sends: vec![(1, None, 2), (2, None, 3)],
            batch: 1,
            ..Script::default()
        });
        let other = sends(&actor, &[4]);
        let worker = Worker::default();
        assert!(in_it(worker.send(&actor, 1, CAPACITY)));
        assert!(in_it(worker.send(&actor, 5, CAPACITY)));
        assert_eq!(other.join().unwrap(), 1);
        let handled = actor.handled();
        assert_eq!(of(&handled, &[1, 2, 3]), [1, 2, 3], "I1, I7");
        assert_eq!(of(&handled, &[1, 5]), [1, 5], "I2");
        assert_eq!(handled.len(), 5, "I1, I7");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn what_comes_behind_a_backlog_is_turned_around_while_the_backlog_is_handled() {
    model_bound("inbox_ahead", 3, || {
        // The second run looks with one message to handle, the third with two.
        let actor = Actor::with(Script {
            sends: [(1, 2), (1, 3), (2, 4), (2, 5), (2, 6)]
                .map(|(on, then)| (on, None, then))
                .into(),
            batch: 1,
            ..Script::default()
        });
        let other = sends(&actor, &[21, 22]);
        assert!(in_it(Worker::default().send(&actor, 1, CAPACITY)));
        assert_eq!(other.join().unwrap(), 2);
        let handled = actor.handled();
        assert_eq!(of(&handled, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6], "I2");
        assert_eq!(of(&handled, &[21, 22]), [21, 22], "I1, I2");
        assert_eq!(handled.len(), 8, "I1");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn an_actor_that_ends_in_a_batch_that_looked_ahead_hands_back_what_is_new() {
    model_bound("inbox_ahead_dies", 3, || {
        let actor = Actor::with(Script {
            sends: vec![(1, None, 2), (1, None, 3), (2, None, 4)],
            ends_after: Some(2),
            batch: 2,
            ..Script::default()
        });
        let other = sends(&actor, &[21, 22]);
        assert!(in_it(Worker::default().send(&actor, 1, CAPACITY)));
        let _ = other.join().unwrap();
        let (handled, dead) = actor.state(|state| (state.handled.clone(), state.dead));
        assert_eq!(of(&handled, &[1, 2, 3]), [1, 2], "I2");
        assert!(handled.len() + dead as usize >= 4, "I1");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
    });
}

#[test]
fn an_envelope_that_a_look_lets_go_is_a_new_message() {
    model_bound("inbox_held", 3, || {
        let actor = Actor::with(Script {
            sends_held: Some(2),
            ..Script::default()
        });
        let other = actor.clone();
        let other = thread::spawn(move || {
            let worker = Worker::default();
            worker.signal(&other);
            assert!(in_it(worker.send(&other, 3, CAPACITY)));
        });
        assert!(in_it(Worker::default().send(&actor, 1, CAPACITY)));
        other.join().unwrap();
        let (handled, sent) = actor.state(|state| (state.handled.len(), state.sent));
        assert_eq!(handled, 2 + sent as usize, "I1, I7");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn an_envelope_may_go_on_to_another_actor_and_back() {
    model_bound("inbox_goes_on", 2, || {
        let second = Actor::idle();
        let first = Actor::with(Script {
            sends: vec![(1, Some(second.clone()), 2), (4, Some(second.clone()), 5)],
            ..Script::default()
        });
        let (to_first, to_second) = (first.clone(), second.clone());
        let other = thread::spawn(move || {
            let worker = Worker::default();
            assert!(in_it(worker.send(&to_second, 3, CAPACITY)));
            assert!(in_it(worker.send(&to_first, 4, CAPACITY)));
        });
        let worker = Worker::default();
        assert!(in_it(worker.send(&first, 1, CAPACITY)));
        assert!(in_it(worker.send(&first, 6, CAPACITY)));
        other.join().unwrap();
        assert_eq!(of(&first.handled(), &[1, 6]), [1, 6], "I1, I2");
        assert_eq!(first.handled().len(), 3, "I1, I7");
        assert_eq!(of(&second.handled(), &[3, 5]), [3, 5], "I2");
        assert_eq!(second.handled().len(), 3, "I1, I7");
    });
}

#[test]
fn a_boundary_that_is_let_go_loses_no_message_that_comes_meanwhile() {
    model_bound("inbox_let_go", 3, || {
        const SECOND: u32 = SPECIAL + 1;
        let actor = Actor::with(Script {
            sends: vec![(SPECIAL, None, SECOND)],
            ..Script::default()
        });
        let other = sends(&actor, &[1, SPECIAL + 2]);
        assert!(in_it(Worker::default().send(&actor, SPECIAL, CAPACITY)));
        assert_eq!(other.join().unwrap(), 2);
        let handled = actor.handled();
        assert_eq!(of(&handled, &[SPECIAL, SECOND]), [SPECIAL, SECOND], "I7");
        assert_eq!(of(&handled, &[1, SPECIAL + 2]), [1, SPECIAL + 2], "I2");
        assert_eq!(handled.len(), 4, "I1, I7");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn what_a_message_causes_comes_after_what_was_sent_before_it() {
    model_bound("inbox_causal", 3, || {
        let last = Actor::idle();
        let middle = Actor::with(Script {
            sends: vec![(9, Some(last.clone()), 2)],
            ..Script::default()
        });
        let (to_last, to_middle) = (last.clone(), middle.clone());
        let sender = thread::spawn(move || {
            let worker = Worker::default();
            let _ = worker.send(&to_last, 1, CAPACITY);
            let _ = worker.send(&to_middle, 9, CAPACITY);
        });
        // Keeps the last one busy, so that its run may be anywhere.
        let _ = Worker::default().send(&last, 3, CAPACITY);
        sender.join().unwrap();
        assert_eq!(of(&last.handled(), &[1, 2]), [1, 2], "I2");
        assert_eq!(last.handled().len(), 3, "I1");
    });
}

#[test]
fn a_chain_is_published_whole_and_in_order() {
    model("inbox_chain", || {
        let actor = Actor::idle();
        let other = sends(&actor, &[9]);
        let worker = Worker::default();
        let leased = actor.inbox.reserve(2, 3, CAPACITY).unwrap();
        let mut chain = Chain::one(worker.envelope(1));
        // SAFETY: both are ours until published.
        unsafe { chain.push(worker.envelope(2)) };
        if actor.inbox.publish(chain, 2, leased) == Push::Enqueue {
            worker.run(&actor);
        }
        assert_eq!(other.join().unwrap(), 1);
        let handled: Vec<u32> = actor.handled();
        assert_eq!(of(&handled, &[1, 2]), [1, 2], "I2");
        assert_eq!(handled.len(), 3, "I1");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn a_push_that_meets_the_close_is_handled_or_comes_back() {
    model_bound("inbox_close", 3, || {
        let actor = Actor::idle();
        let other = sends(&actor, &[1, 2]);
        let worker = Worker::default();
        worker.close(&actor);
        let sent = other.join().unwrap();
        assert_eq!(actor.handled().len(), sent, "I1");
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
        assert_eq!(worker.send(&actor, 3, CAPACITY), Push::Closed);
        assert_eq!(actor.inbox.signal(), Wake::Nothing);
    });
}

#[test]
fn an_actor_that_ends_hands_back_every_message_that_it_did_not_handle() {
    model_bound("inbox_dies", 3, || {
        let actor = Actor::with(Script {
            sends: vec![(1, None, 2)],
            ends_after: Some(1),
            ..Script::default()
        });
        let other = sends(&actor, &[3, 4]);
        let worker = Worker::default();
        let own = usize::from(in_it(worker.send(&actor, 1, CAPACITY)));
        let own = own + usize::from(in_it(worker.send(&actor, 5, CAPACITY)));
        let sent = own + other.join().unwrap();
        // What it tells itself is a message more, and makes it end.
        let (handled, dead) = actor.state(|state| (state.handled.len(), state.dead));
        assert_eq!(handled + dead as usize, sent + 1, "I1");
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
    });
}

/// Runs the actor for each time that it stands on the run queue.
fn run_queued(queue: &Mutex<Vec<Arc<Actor>>>) {
    let worker = Worker::default();
    loop {
        let next = queue.lock().unwrap().pop();
        match next {
            Some(actor) => worker.run(&actor),
            None => return,
        }
    }
}

#[test]
fn a_stop_that_meets_a_message_and_a_thief_leaves_one_run_at_a_time_and_none_after_the_end() {
    // M17, with a run queue under a lock in the place of the deques, which are not ours.
    model("inbox_stop_schedule_steal", || {
        let actor = Actor::idle();
        let queue = Arc::new(Mutex::new(Vec::new()));
        let (to, runs) = (actor.clone(), queue.clone());
        let sender = thread::spawn(move || {
            let worker = Worker::default();
            let link = worker.envelope(1);
            let pushed = to.inbox.push(link, CAPACITY);
            match pushed {
                Push::Enqueue => runs.lock().unwrap().push(to),
                Push::Queued => {}
                Push::Full | Push::Closed => worker.free(link),
            }
            run_queued(&runs);
            in_it(pushed)
        });
        let thieves = queue.clone();
        let thief = thread::spawn(move || run_queued(&thieves));
        if actor.inbox.close() == Wake::Enqueue {
            queue.lock().unwrap().push(actor.clone());
        }
        run_queued(&queue);
        let sent = sender.join().unwrap();
        thief.join().unwrap();
        run_queued(&queue);
        assert_eq!(actor.handled().len(), usize::from(sent), "I1");
        actor.state(|state| {
            assert!(state.stopped, "I4");
            assert_eq!(state.cells_freed, 1, "I4");
        });
    });
}

#[test]
fn a_second_close_and_a_signal_find_the_actor_dead_or_alive_once() {
    model("inbox_close_twice", || {
        let actor = Actor::idle();
        let closer = actor.clone();
        let closer = thread::spawn(move || Worker::default().close(&closer));
        Worker::default().close(&actor);
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
                let sent = Worker::default().send(&actor, body, 1);
                assert!(actor.inbox.places_taken() <= 1, "I4");
                usize::from(in_it(sent))
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
            thread::spawn(move || assert!(Worker::default().send_waiting(&actor, body, 1)))
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
    model_bound("inbox_release_wakes", 3, || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 1), Ok(1));
        let waiter = actor.clone();
        let waiter = thread::spawn(move || assert!(Worker::default().send_waiting(&waiter, 1, 1)));
        let worker = Worker::default();
        worker.signal(&actor); // a run that gives nothing back
        worker.release(&actor, 1);
        waiter.join().unwrap();
        assert_eq!(actor.handled(), [1]);
    });
}

/// Reserves `places` of `places`, waiting for them; false when the actor has closed.
fn reserve_waiting(actor: &Actor, places: u32) -> bool {
    let mut parker = Parker::new();
    loop {
        match actor.inbox.reserve(places, places, places) {
            Ok(_) => return true,
            Err(Push::Closed) => return false,
            Err(_) => {}
        }
        let unparker = Waiter::Thread(parker.unparker());
        actor.waiters.lock().unwrap().push(unparker);
        if actor.inbox.wait(places, places) {
            parker.park();
        }
    }
}

#[test]
fn a_message_does_not_make_a_waiter_forgotten() {
    model("inbox_waiter_and_push", || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 2), Ok(1));
        let waiter = actor.clone();
        let waiter = thread::spawn(move || assert!(reserve_waiting(&waiter, 2)));
        let worker = Worker::default();
        assert_ne!(worker.send(&actor, 1, 2), Push::Closed);
        worker.release(&actor, 1);
        waiter.join().unwrap();
        assert_eq!(actor.inbox.places_taken(), 2, "I4");
    });
}

#[test]
fn a_run_that_ends_with_a_waiter_leaves_the_backlog_to_the_next() {
    model_bound("inbox_waiter_next_run", 3, || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 2), Ok(1));
        assert!(actor.inbox.wait(2, 2)); // no run ends in the usual way now, until one clears it
        let senders = [sends(&actor, &[1]), sends(&actor, &[2])];
        for sender in senders {
            assert_eq!(sender.join().unwrap(), 1);
        }
        let mut handled = actor.handled();
        handled.sort_unstable();
        assert_eq!(handled, [1, 2], "I1");
        assert_eq!(actor.inbox.places_taken(), 1, "I4");
    });
}

#[test]
fn a_waiter_is_woken_by_the_close() {
    model("inbox_close_wakes", || {
        let actor = Actor::idle();
        assert_eq!(actor.inbox.reserve(1, 1, 1), Ok(1));
        let waiter = actor.clone();
        let waiter = thread::spawn(move || assert!(!Worker::default().send_waiting(&waiter, 1, 1)));
        let worker = Worker::default();
        worker.close(&actor);
        waiter.join().unwrap();
        assert!(worker.release(&actor, 1), "I4");
    });
}

#[test]
fn a_place_given_back_late_forgets_no_waiter_of_the_cells_next_actor() {
    model_bound("inbox_reuse_waiters", 3, || {
        let cell = Actor::idle();
        let worker = Worker::default();
        assert_eq!(cell.inbox.reserve(1, 1, 1), Ok(1));
        assert!(cell.inbox.wait(1, 1), "somebody waits for the first actor");
        let holder = cell.clone();
        let holder = thread::spawn(move || {
            Worker::default().release(&holder, 1);
        });
        worker.close(&cell);
        if cell.inbox.places_taken() == 0 {
            // The first part of the release is over: the cell lives again.
            cell.inbox.open_idle();
            assert_eq!(cell.inbox.reserve(1, 1, 1), Ok(1));
            let waiter = cell.clone();
            let waiter = thread::spawn(move || {
                assert!(reserve_waiting(&waiter, 1));
                Worker::default().release(&waiter, 1);
            });
            worker.release(&cell, 1);
            waiter.join().unwrap();
        }
        holder.join().unwrap();
        assert_eq!(cell.inbox.places_taken(), 0, "I4, I5");
    });
}

#[test]
fn a_signal_reaches_an_actor_whose_inbox_is_full() {
    model_bound("inbox_signal", 3, || {
        let actor = Actor::idle();
        let other = actor.clone();
        let other = thread::spawn(move || Worker::default().signal(&other));
        let worker = Worker::default();
        let sent = [1, 2].map(|body| worker.send(&actor, body, 1) != Push::Full);
        other.join().unwrap();
        assert_eq!(actor.state(|state| state.signals), 1, "I3");
        let sent = sent.into_iter().filter(|sent| *sent).count();
        assert_eq!(actor.handled().len(), sent, "I1");
    });
}

/// An actor whose commits need the one place of another, which is taken.
fn waiting_actor() -> (Arc<Actor>, Arc<Actor>) {
    let target = Actor::idle();
    assert_eq!(target.inbox.reserve(1, 1, 1), Ok(1));
    let actor = Actor::with(Script {
        target: Some(target.clone()),
        ..Script::default()
    });
    (actor, target)
}

#[test]
fn a_commit_that_waits_goes_on_before_the_messages_that_came_meanwhile() {
    model_bound("inbox_waits", 3, || {
        let (actor, target) = waiting_actor();
        let holder = target.clone();
        let holder = thread::spawn(move || {
            Worker::default().release(&holder, 1);
        });
        let worker = Worker::default();
        assert!(in_it(worker.send(&actor, 1, CAPACITY)));
        assert!(in_it(worker.send(&actor, COMMITS, CAPACITY)));
        assert!(in_it(worker.send(&actor, 2, CAPACITY)));
        holder.join().unwrap();
        assert_eq!(actor.handled(), [1, COMMITS, 2], "I1, I2");
        assert_eq!(target.handled(), [COMMITTED], "I1, I5");
        assert_eq!(actor.inbox.places_taken(), 0, "I4");
        assert_eq!(target.inbox.places_taken(), 0, "I4");
    });
}

#[test]
fn a_signal_reaches_an_actor_whose_commit_waits() {
    model_bound("inbox_waits_signal", 3, || {
        let (actor, target) = waiting_actor();
        let other = actor.clone();
        let other = thread::spawn(move || {
            let worker = Worker::default();
            worker.signal(&other);
            // A push that comes while the signal is up leaves it up.
            assert!(in_it(worker.send(&other, 1, CAPACITY)));
        });
        let worker = Worker::default();
        assert!(in_it(worker.send(&actor, COMMITS, CAPACITY)));
        other.join().unwrap();
        assert_eq!(actor.state(|state| state.signals), 1, "I3");
        assert_eq!(actor.inbox.signal(), Wake::Enqueue, "I3: it is idle");
        worker.run(&actor);
        assert!(!actor.handled().contains(&COMMITS));
        worker.release(&target, 1);
        assert_eq!(actor.handled().len(), 2, "I1, I5");
        assert_eq!(target.handled(), [COMMITTED], "I1");
    });
}

#[test]
fn a_close_lets_a_commit_that_waits_finish_and_the_messages_behind_it() {
    model_bound("inbox_waits_close", 2, || {
        let (actor, target) = waiting_actor();
        let other = actor.clone();
        let closer = thread::spawn(move || Worker::default().close(&other));
        let worker = Worker::default();
        let sent = [COMMITS, 1].map(|body| in_it(worker.send(&actor, body, CAPACITY)));
        worker.release(&target, 1);
        closer.join().unwrap();
        let sent = sent.into_iter().filter(|sent| *sent).count();
        assert_eq!(actor.handled().len(), sent, "I1");
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
    });
}

#[test]
fn a_stop_that_comes_late_closes_nobody_else() {
    model_bound("inbox_close_if", 3, || {
        let cell = Actor::idle();
        let stopper = cell.clone();
        let stopper = thread::spawn(move || {
            let worker = Worker::default();
            let first_lives = || stopper.generation.load(Relaxed) == 0;
            if let Some((wake, released)) = stopper.inbox.close_if(first_lives) {
                if wake == Wake::Enqueue {
                    worker.run(&stopper);
                }
                worker.released(&stopper, released);
            }
        });
        let worker = Worker::default();
        worker.close(&cell);
        let reused = cell.is_free.load(Acquire);
        if reused {
            cell.inbox.open_idle();
            assert!(in_it(worker.send(&cell, 1, CAPACITY)), "I4: it lives");
        }
        stopper.join().unwrap();
        assert_eq!(cell.inbox.is_closed(), !reused, "I4: it lives");
        assert_eq!(cell.state(|state| state.cells_freed), 1, "I4");
        assert_eq!(cell.inbox.places_taken(), 0, "I4");
    });
}

/// Both or neither, in one order for all (M18).
fn commit_to_both(first: &Arc<Actor>, second: &Arc<Actor>, body: u32) -> bool {
    let worker = Worker::default();
    if first.inbox.reserve(1, 1, 1).is_err() {
        return false;
    }
    if second.inbox.reserve(1, 1, 1).is_err() {
        worker.release(first, 1);
        return false;
    }
    for actor in [first, second] {
        let link = worker.envelope(body);
        match actor.inbox.publish(Chain::one(link), 1, 1) {
            Push::Enqueue => worker.run(actor),
            Push::Queued => {}
            Push::Full => unreachable!("publish is never Full"),
            Push::Closed => {
                worker.free(link);
                worker.release(actor, 1);
            }
        }
    }
    true
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
            let worker = Worker::default();
            worker.release(&holder, 1);
            worker.release(&holder, 1);
        });
        Worker::default().close(&actor);
        holder.join().unwrap();
        assert_eq!(actor.state(|state| state.cells_freed), 1, "I4");
    });
}
