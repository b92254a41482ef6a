//! Models of `src/sync/spares.rs` and `src/sync/orders.rs` (M22, M13, M14): what waits behind a turn
//! is reached through a spare, no seat is lost, and an order finds its thread wherever it is.
#![cfg(loom)]

use loom_tests::{model, model_bound, model_exhaustive};
use mainspring::sync::idle::{Idle, Rest};
use mainspring::sync::lend::{Board, Left, Lend};
use mainspring::sync::orders::Orders;
use mainspring::sync::parker::Parker;
use mainspring::sync::spares::{Place, Spares};
use mainspring::sync::{Arc, Condvar, Mutex, thread};
use std::cell::{Cell, RefCell};

const NOBODY: u32 = 0;

/// What a worker lends: its LIFO slot and its seat.
struct Core {
    lifo: Cell<u32>,
    seat: Cell<Option<Rest>>,
}

/// One dispatcher of one seat, a worker and a spare.
struct Dispatcher {
    board: Board<Core>,
    spares: Spares<()>,
    injector: Mutex<Vec<u32>>,
    ran: Mutex<Vec<u32>>,
    changed: Condvar,
}

impl Dispatcher {
    fn new() -> (Arc<Self>, Arc<Idle>, Rest) {
        let (idle, mut rests) = Idle::new(1, 1);
        let this = Self {
            board: Board::new(2),
            spares: Spares::new(1, vec![()]),
            injector: Mutex::new(Vec::new()),
            ran: Mutex::new(Vec::new()),
            changed: Condvar::new(),
        };
        (Arc::new(this), idle, rests.pop().unwrap())
    }

    fn run(&self, actor: u32) {
        self.ran.lock().unwrap().push(actor);
        self.changed.notify_all();
    }

    fn wait_for(&self, actor: u32) {
        let mut ran = self.ran.lock().unwrap();
        while !ran.contains(&actor) {
            ran = self.changed.wait(ran).unwrap();
        }
    }

    /// A spare until it has a seat.
    fn wait_for_seat(&self, index: usize) -> Rest {
        let mut parker = Parker::new();
        self.spares.add(index, parker.unparker());
        loop {
            if let Some(seat) = self.spares.take_seat(index) {
                return seat;
            }
            parker.park();
        }
    }

    /// Takes the slot and the seat of thread 0 if it lends them, for a spare that waits; whether it
    /// took the seat.
    fn visit(&self) -> bool {
        let taken = self.board.visit(0, |core| {
            let actor = core.lifo.replace(NOBODY);
            let seat = core.seat.take();
            if seat.is_some() {
                self.spares.lost_seat(0);
            }
            let left = if seat.is_some() {
                Left::News
            } else {
                Left::Nothing
            };
            ((actor, seat), left)
        });
        let Some((actor, seat)) = taken else {
            return false;
        };
        if actor != NOBODY {
            self.injector.lock().unwrap().push(actor);
        }
        let took = seat.is_some();
        seat.into_iter().for_each(|seat| self.spares.give(seat));
        took
    }
}

/// Thread 0, with actor 7 in its LIFO slot, runs a turn that ends when `turn` says. Its seat
/// afterwards, if it has one.
fn turn_before_the_slot(dispatcher: &Dispatcher, seat: Rest, turn: impl FnOnce()) -> Option<Rest> {
    let core = Lend::new(Core {
        lifo: Cell::new(NOBODY),
        seat: Cell::new(Some(seat)),
    });
    dispatcher.board.show(0, &core, || {
        core.kept().lifo.set(7);
        core.lend();
        turn();
        let heard = core.take_back() == Left::News;
        let kept = core.kept();
        let actor = kept.lifo.replace(NOBODY);
        if actor != NOBODY {
            dispatcher.run(actor);
        }
        let seat = kept.seat.take();
        assert_eq!(heard, seat.is_none(), "it hears of a seat that is gone");
        seat
    })
}

#[test]
fn what_waits_behind_a_turn_runs_on_a_spare_which_has_the_seat_then() {
    model("spares_hand_off", || {
        let (dispatcher, _, seat) = Dispatcher::new();
        assert_eq!(dispatcher.spares.start_one(), Some((1, ())));
        let its = dispatcher.clone();
        let spare = thread::spawn(move || {
            let seat = its.wait_for_seat(1);
            let actor = its.injector.lock().unwrap().pop();
            its.run(actor.expect("the slot's actor is there before the seat is"));
            seat
        });
        let its = dispatcher.clone();
        let owner = thread::spawn(move || {
            // The turn waits for the actor behind it.
            assert!(turn_before_the_slot(&its, seat, || its.wait_for(7)).is_none());
            let parker = Parker::new();
            its.spares.add(0, parker.unparker());
        });
        while !(dispatcher.spares.any_waits() && dispatcher.visit()) {
            thread::yield_now();
        }
        owner.join().unwrap();
        let seat = spare.join().unwrap();
        assert_eq!(*dispatcher.ran.lock().unwrap(), [7]);
        assert_eq!(dispatcher.spares.place(0), Place::Spare);
        assert_eq!(dispatcher.spares.place(1), Place::Seat(seat.worker()));
        assert!(!dispatcher.spares.any_lost());
        assert!(dispatcher.spares.take_seat(0).is_none(), "S1");
    });
}

#[test]
fn a_visit_that_meets_the_turns_end_leaves_one_seat_and_the_actor_runs_once() {
    model_bound("spares_visit_meets_end", 3, || {
        let (dispatcher, _, seat) = Dispatcher::new();
        dispatcher.spares.start_one();
        let parker = Parker::new();
        dispatcher.spares.add(1, parker.unparker());
        let its = dispatcher.clone();
        let owner = thread::spawn(move || turn_before_the_slot(&its, seat, || ()).is_some());
        dispatcher.visit();
        let kept = owner.join().unwrap();
        let given = dispatcher.spares.take_seat(1);
        assert_ne!(kept, given.is_some(), "S1");
        assert_eq!(dispatcher.spares.any_lost(), given.is_some());
        let left = dispatcher.injector.lock().unwrap().len();
        assert_eq!(dispatcher.ran.lock().unwrap().len() + left, 1);
    });
}

#[test]
fn two_seats_given_at_once_find_two_spares() {
    model("spares_two_seats", || {
        let (_, rests) = Idle::new(2, 1);
        let spares = Arc::new(Spares::new(2, vec![(), ()]));
        let threads = [2, 3].map(|index| {
            assert!(spares.start_one().is_some());
            let (mut parker, spares) = (Parker::new(), spares.clone());
            spares.add(index, parker.unparker());
            thread::spawn(move || {
                loop {
                    if let Some(seat) = spares.take_seat(index) {
                        return seat.worker();
                    }
                    parker.park();
                }
            })
        });
        for seat in rests {
            spares.give(seat);
        }
        let mut seats = threads.map(|thread| thread.join().unwrap());
        seats.sort_unstable();
        assert_eq!(seats, [0, 1], "S1");
        assert!(!spares.any_waits());
    });
}

#[test]
fn news_for_all_reach_one_that_becomes_a_spare() {
    model_exhaustive("spares_wake_all", || {
        let spares = Arc::new(Spares::new(1, vec![()]));
        let orders = Arc::new(Orders::default());
        let (its, its_orders) = (spares.clone(), orders.clone());
        let spare = thread::spawn(move || {
            let mut parker = Parker::new();
            its.add(1, parker.unparker());
            while !its_orders.any() {
                parker.park();
            }
            its.leave(1);
        });
        orders.leave([1]);
        spares.wake_all();
        spare.join().unwrap();
        assert!(!spares.any_waits());
    });
}

/// Leaves `order` for the thread `index`.
fn order(orders: &Orders<u32>, spares: &Spares<()>, idle: &Idle, index: usize, order: u32) {
    orders.leave([order]);
    spares.wake(index, idle);
}

#[test]
fn an_order_reaches_a_worker_that_goes_to_sleep() {
    model_exhaustive("spares_order_to_sleeper", || {
        let (idle, mut rests) = Idle::new(1, 1);
        let mut rest = rests.pop().unwrap();
        let (spares, orders) = (Spares::new(1, vec![()]), Arc::new(Orders::default()));
        let its = orders.clone();
        let worker = thread::spawn(move || {
            while !its.any() {
                let _ = rest.sleep(None, || its.any());
            }
            its.take()
        });
        order(&orders, &spares, &idle, 0, 7);
        assert_eq!(worker.join().unwrap(), [7]);
    });
}

#[test]
fn an_order_reaches_a_thread_that_becomes_a_spare() {
    model_exhaustive("spares_order_to_nowhere", || {
        let (idle, _rests) = Idle::new(1, 1);
        let (spares, orders) = (Arc::new(Spares::new(1, vec![()])), Arc::default());
        spares.lost_seat(0);
        let (its, its_orders) = (spares.clone(), Arc::<Orders<u32>>::clone(&orders));
        let thread = thread::spawn(move || {
            let mut parker = Parker::new();
            its.add(0, parker.unparker());
            while !its_orders.any() {
                parker.park();
            }
            its_orders.take()
        });
        order(&orders, &spares, &idle, 0, 7);
        assert_eq!(thread.join().unwrap(), [7]);
        assert!(!spares.any_lost());
    });
}

#[test]
fn an_order_reaches_a_spare_that_takes_a_seat_and_sleeps() {
    model_exhaustive("spares_order_to_new_worker", || {
        let (idle, mut rests) = Idle::new(1, 1);
        let (spares, orders) = (Arc::new(Spares::new(1, vec![()])), Arc::default());
        spares.add(1, Parker::new().unparker());
        spares.give(rests.pop().unwrap());
        let (its, its_orders) = (spares.clone(), Arc::<Orders<u32>>::clone(&orders));
        let thread = thread::spawn(move || {
            let mut rest = its.take_seat(1).unwrap();
            while !its_orders.any() {
                let _ = rest.sleep(None, || its_orders.any());
            }
            its_orders.take()
        });
        order(&orders, &spares, &idle, 1, 7);
        assert_eq!(thread.join().unwrap(), [7]);
    });
}

#[test]
fn orders_of_two_are_followed_once_each() {
    model_bound("spares_two_orders", 3, || {
        let orders = Arc::new(Orders::default());
        let from = [1, 2].map(|number| {
            let orders = orders.clone();
            thread::spawn(move || orders.leave([number]))
        });
        let mut taken = Vec::new();
        for _ in 0..2 {
            if orders.any() {
                taken.extend(orders.take());
            }
        }
        for thread in from {
            thread.join().unwrap();
        }
        if orders.any() {
            taken.extend(orders.take());
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2], "O1, O2");
    });
}

/// The deadlines of a wheel's entries, and when its worker looks at it next.
struct Wheel {
    entries: RefCell<Vec<u32>>,
    next: Cell<u32>,
}

impl Wheel {
    fn new(entries: &[u32]) -> Self {
        let wheel = Self {
            entries: RefCell::default(),
            next: Cell::new(u32::MAX),
        };
        entries.iter().for_each(|&entry| wheel.arm(entry));
        wheel
    }

    fn arm(&self, entry: u32) {
        self.entries.borrow_mut().push(entry);
        self.next.set(self.next.get().min(entry));
    }

    fn first(&self) -> u32 {
        self.entries
            .borrow()
            .iter()
            .copied()
            .min()
            .unwrap_or(u32::MAX)
    }

    /// How many it takes off by order.
    fn follow(&self, orders: &Orders<u32>) -> usize {
        let (orders, mut entries) = (orders.take(), self.entries.borrow_mut());
        let before = entries.len();
        entries.retain(|entry| !orders.contains(entry));
        before - entries.len()
    }

    /// How many it fires.
    fn advance(&self, now: u32) -> usize {
        if now < self.next.get() {
            return 0;
        }
        let before = self.entries.borrow().len();
        self.entries.borrow_mut().retain(|&entry| entry > now);
        self.next.set(self.first());
        before - self.entries.borrow().len()
    }
}

#[test]
fn a_timer_is_fired_or_cancelled_once_by_its_owner_or_a_visitor() {
    // M13: another thread cancels, a visitor fires, and the owner does both after its turn.
    model("spares_timer", || {
        let (board, orders) = (Arc::new(Board::new(1)), Arc::new(Orders::default()));
        let (shown, its) = (board.clone(), orders.clone());
        let owner = thread::spawn(move || {
            let wheel = Lend::new(Wheel::new(&[5]));
            shown.show(0, &wheel, || {
                wheel.lend();
                let _ = wheel.take_back();
                let wheel = wheel.kept();
                wheel.follow(&its) + wheel.advance(5)
            })
        });
        let theirs = orders.clone();
        let canceler = thread::spawn(move || theirs.leave([5]));
        let visited = board.visit(0, |wheel| {
            let canceled = if orders.any() {
                wheel.follow(&orders)
            } else {
                0
            };
            (canceled + wheel.advance(5), Left::Nothing)
        });
        let by_owner = owner.join().unwrap();
        canceler.join().unwrap();
        assert_eq!(
            by_owner + visited.unwrap_or(0),
            1,
            "fired or canceled, once"
        );
    });
}

#[test]
fn an_owner_sleeps_until_the_earliest_deadline_whatever_a_visitor_fired() {
    // M14: a visitor moves the next look on while the owner's turn arms an earlier timer after it.
    model_bound("spares_next_wake", 3, || {
        let board = Arc::new(Board::new(1));
        let shown = board.clone();
        let owner = thread::spawn(move || {
            let wheel = Lend::new(Wheel::new(&[5, 9]));
            shown.show(0, &wheel, || {
                for earlier in [7, 6] {
                    wheel.lend();
                    let _ = wheel.take_back();
                    wheel.kept().arm(earlier);
                    assert_eq!(wheel.kept().next.get(), wheel.kept().first());
                }
                wheel.kept().entries.borrow().len()
            })
        });
        let fired = board.visit(0, |wheel| (wheel.advance(5), Left::Nothing));
        assert_eq!(owner.join().unwrap() + fired.unwrap_or(0), 4);
    });
}
