//! Models of `src/sync/lend.rs` (M22, M8): what is lent is one thread's at a time, what waits in it
//! is reached once and is not stranded, and the owner hears of it.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::lend::{Board, Left, Lend};
use mainspring::sync::{Arc, Condvar, Mutex, UnsafeCell, thread};

/// A number that loom watches: two who touch it at once, or one who does not see what the other
/// wrote, end the model.
struct Number(UnsafeCell<u32>);

impl Number {
    fn new(number: u32) -> Self {
        Self(UnsafeCell::new(number))
    }

    fn add(&self, more: u32) {
        self.set(self.get() + more);
    }

    fn get(&self) -> u32 {
        // SAFETY: what the model checks.
        self.0.with(|number| unsafe { *number })
    }

    fn set(&self, new: u32) {
        // SAFETY: what the model checks.
        self.0.with_mut(|number| unsafe { *number = new });
    }
}

/// The owner adds 1 between `loans` loans; returns how often it heard of a visit, and the sum.
fn own(board: &Board<Number>, loans: u32) -> (u32, u32) {
    let lend = Lend::new(Number::new(0));
    let mut heard = 0;
    board.show(0, &lend, || {
        for _ in 0..loans {
            lend.kept().add(1);
            lend.lend();
            if lend.take_back() == Left::News {
                heard += 1;
            }
        }
    });
    (heard, lend.kept().get())
}

#[test]
fn owner_and_visitor_never_touch_it_both_and_each_sees_what_the_other_wrote() {
    model_exhaustive("lend_one_loan", || {
        let board = Arc::new(Board::new(1));
        let shown = board.clone();
        let owner = thread::spawn(move || own(&shown, 1));
        let visited = board.visit(0, |number| (number.add(10), Left::News));
        let (heard, sum) = owner.join().unwrap();
        let visits = u32::from(visited.is_some());
        assert_eq!(heard, visits, "L3");
        assert_eq!(sum, 1 + 10 * visits);
    });
}

#[test]
fn a_visit_between_two_loans_is_refused() {
    model_bound("lend_two_loans", 3, || {
        let board = Arc::new(Board::new(1));
        let shown = board.clone();
        let owner = thread::spawn(move || own(&shown, 2));
        let visited = board.visit(0, |number| (number.add(10), Left::News));
        let (heard, sum) = owner.join().unwrap();
        let visits = u32::from(visited.is_some());
        assert_eq!(heard, visits, "L3");
        assert_eq!(sum, 2 + 10 * visits);
    });
}

#[test]
fn news_outlives_later_visits_that_leave_none_and_are_heard_once() {
    model("lend_two_visits", || {
        let board = Arc::new(Board::new(1));
        let shown = board.clone();
        let owner = thread::spawn(move || own(&shown, 2));
        let first = board.visit(0, |number| (number.add(10), Left::News));
        let second = board.visit(0, |number| (number.add(100), Left::Nothing));
        let (heard, sum) = owner.join().unwrap();
        let visits = [first.is_some(), second.is_some()].map(u32::from);
        assert_eq!(heard, visits[0], "L3");
        assert_eq!(sum, 2 + 10 * visits[0] + 100 * visits[1]);
    });
}

/// An actor's number in a LIFO slot, and how often it ran.
struct Slot {
    next: Number,
    ran: Arc<Ran>,
}

struct Ran {
    times: Mutex<u32>,
    changed: Condvar,
}

impl Ran {
    fn new() -> Arc<Self> {
        let (times, changed) = (Mutex::new(0), Condvar::new());
        Arc::new(Self { times, changed })
    }

    fn run(&self) {
        *self.times.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut times = self.times.lock().unwrap();
        while *times == 0 {
            times = self.changed.wait(times).unwrap();
        }
    }
}

const NOBODY: u32 = 0;

/// A worker with an actor in its LIFO slot runs a turn, which ends when `turn` says.
fn turn_before_the_slots(board: &Board<Slot>, ran: &Arc<Ran>, turn: impl FnOnce()) {
    let next = Number::new(NOBODY);
    let lend = Lend::new(Slot {
        next,
        ran: ran.clone(),
    });
    board.show(0, &lend, || {
        lend.kept().next.set(7);
        lend.lend();
        turn();
        let _ = lend.take_back();
        let slot = lend.kept();
        if slot.next.get() != NOBODY {
            slot.next.set(NOBODY);
            slot.ran.run();
        }
    });
}

/// Takes the actor out of the slot; whether it was there.
fn take(board: &Board<Slot>) -> Option<bool> {
    board.visit(0, |slot| {
        let there = slot.next.get() != NOBODY;
        slot.next.set(NOBODY);
        (there, Left::Nothing)
    })
}

#[test]
fn the_actor_in_the_lifo_slot_runs_once_whoever_takes_it() {
    model_exhaustive("lend_lifo_once", || {
        let (board, ran) = (Arc::new(Board::new(1)), Ran::new());
        let (shown, runs) = (board.clone(), ran.clone());
        let owner = thread::spawn(move || turn_before_the_slots(&shown, &runs, || ()));
        if take(&board) == Some(true) {
            ran.run();
        }
        owner.join().unwrap();
        assert_eq!(*ran.times.lock().unwrap(), 1);
    });
}

#[test]
fn a_turn_that_waits_for_the_actor_in_its_lifo_slot_ends() {
    model("lend_lifo_behind_a_turn", || {
        let (board, ran) = (Arc::new(Board::new(1)), Ran::new());
        let (shown, runs) = (board.clone(), ran.clone());
        let owner = thread::spawn(move || {
            let awaited = runs.clone();
            turn_before_the_slots(&shown, &runs, || awaited.wait());
        });
        while take(&board) != Some(true) {
            thread::yield_now();
        }
        ran.run();
        owner.join().unwrap();
        assert_eq!(*ran.times.lock().unwrap(), 1);
    });
}
