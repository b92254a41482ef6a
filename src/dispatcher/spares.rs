//! The threads of a dispatcher beyond one for each seat, and who sits where.
//!
//! ```text
//!              the watchdog takes its seat            its turn ends
//!   SEAT(n) ────────────────────────────▶ NOWHERE ──────────────────▶ SPARE
//!     ▲                                                                 │
//!     └──────────────────── the watchdog gives it one ──────────────────┘
//! ```
//!
//! - S1: each seat is a thread's, or in one's `given`: the watchdog takes one only while a spare
//!   waits, and no other takes any.

use super::Runnable;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use crate::sync::idle::Rest;
use crate::sync::parker::Unparker;
use crate::sync::{Mutex, lock};
use crossbeam_deque::Worker as Deque;

const NOWHERE: u32 = u32::MAX;
const SPARE: u32 = u32::MAX - 1;

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It is the worker with this seat.
    Seat(usize),
    /// It is in a turn that lasted so long that its seat is another's.
    Nowhere,
    /// It waits for a seat, or was never started.
    Spare,
}

/// The queues of one thread.
type Queues = (Deque<Runnable>, Deque<Runnable>);

/// See the module's text.
pub(super) struct Spares {
    /// Each thread's place.
    places: Box<[AtomicU32]>,
    started: AtomicUsize,
    /// Threads that are nowhere.
    lost: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    /// For threads that are still to be started, the last number first.
    unstarted: Vec<Queues>,
    waiting: Vec<(usize, Unparker)>,
    /// Seats given, until their new owners take them.
    given: Vec<(usize, Rest)>,
}

impl Spares {
    /// Every seat is taken by the thread of its number; there may be as many more as `queues`.
    pub(super) fn new(seats: usize, mut queues: Vec<Queues>) -> Self {
        let places = (0..seats + queues.len()).map(|index| {
            let place = if index < seats { index as u32 } else { SPARE };
            AtomicU32::new(place)
        });
        let places = places.collect();
        queues.reverse();
        let list = List {
            unstarted: queues,
            ..List::default()
        };
        Self {
            places,
            started: AtomicUsize::new(seats),
            lost: AtomicUsize::new(0),
            list: Mutex::new(list),
        }
    }

    pub(super) fn threads(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn place(&self, index: usize) -> Place {
        match self.places[index].load(Ordering::Relaxed) {
            NOWHERE => Place::Nowhere,
            SPARE => Place::Spare,
            seat => Place::Seat(seat as usize),
        }
    }

    /// Whether a thread is nowhere.
    pub(super) fn any_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) > 0
    }

    pub(super) fn lost_seat(&self, index: usize) {
        self.places[index].store(NOWHERE, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The thread `index` waits for a seat.
    pub(super) fn add(&self, index: usize, unparker: Unparker) {
        lock(&self.list).waiting.push((index, unparker));
        if self.places[index].swap(SPARE, Ordering::Relaxed) == NOWHERE {
            self.lost.fetch_sub(1, Ordering::Relaxed);
        }
        // Before it looks for orders: see `Dispatcher::order_cancel`.
        fence(Ordering::SeqCst);
    }

    /// The thread `index` waits no more.
    pub(super) fn leave(&self, index: usize) {
        lock(&self.list)
            .waiting
            .retain(|waiting| waiting.0 != index);
    }

    /// The seat that the thread `index` was given.
    pub(super) fn take_seat(&self, index: usize) -> Option<Rest> {
        let mut list = lock(&self.list);
        let given = list.given.iter().position(|given| given.0 == index)?;
        let (_, seat) = list.given.swap_remove(given);
        self.places[index].store(seat.worker() as u32, Ordering::Relaxed);
        Some(seat)
    }

    /// Gives a seat to the spare that came last. Without one, which only happens when all stop, the
    /// seat goes.
    pub(super) fn give(&self, seat: Rest) {
        let mut list = lock(&self.list);
        if let Some((index, unparker)) = list.waiting.pop() {
            list.given.push((index, seat));
            drop(list);
            unparker.unpark();
        }
    }

    pub(super) fn any_waits(&self) -> bool {
        !lock(&self.list).waiting.is_empty()
    }

    /// The number and the queues for one thread more, if there may be one.
    pub(super) fn start_one(&self) -> Option<(usize, Queues)> {
        let queues = lock(&self.list).unstarted.pop()?;
        Some((self.started.fetch_add(1, Ordering::Relaxed), queues))
    }

    /// Wakes the spare `index`, if it waits.
    pub(super) fn wake(&self, index: usize) {
        let list = lock(&self.list);
        if let Some((_, unparker)) = list.waiting.iter().find(|waiting| waiting.0 == index) {
            unparker.unpark();
        }
    }

    /// Wakes all that wait.
    pub(super) fn wake_all(&self) {
        for (_, unparker) in &lock(&self.list).waiting {
            unparker.unpark();
        }
    }
}
