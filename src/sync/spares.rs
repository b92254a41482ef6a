//! The threads of a dispatcher beyond one for each seat, who sits where, and how each is reached.
//!
//! ```text
//!              the watchdog takes its seat            its turn ends
//!   SEAT(n) ────────────────────────────▶ NOWHERE ──────────────────▶ SPARE
//!     ▲                                                                 │
//!     └──────────────── take seat ◀── given ◀── give: the watchdog ─────┘
//!
//!   wake: SEAT(n): through the idle set   NOWHERE: it looks after its turn   SPARE: its parker
//! ```
//!
//! - S1: each seat is a thread's, or in one's `given`: the watchdog takes one only while a spare
//!   waits, and no other takes any.
//! - S2: work made visible to thread t before `wake(t)` is looked for by t, wherever it is and goes.
//!
//! | step      | operation               | order        | pairs with | if left out, the model sees   |
//! |-----------|-------------------------|--------------|------------|-------------------------------|
//! | add       | on the list, swap place | SeqCst fence | wake       | an order that nobody follows  |
//! |           | to SPARE, then fence    |              |            | (S2)                          |
//! | wake      | fence, then load place  | SeqCst fence | add, sleep | the same                      |
//! | take seat | store place, then sleep | fence there  | wake       | the same                      |
//! | give      | list, under the lock    | mutex        | take seat  | a seat that nobody takes (S1) |
//! | lost seat | store place             | Relaxed      | add        | (the end of the loan: `lend`) |
//! | started,  | load, fetch_add, _sub   | Relaxed      |            | only counts                   |
//! | lost      |                         |              |            |                               |
//!
//! Who leaves work writes it, fences, and reads the place; a thread that goes from place to place
//! writes the place, fences (here or in [`Rest::sleep`]), and looks for work. If the thread's fence
//! comes first, its place is seen or a later one; else the work is. A thread seen as a spare is on
//! the list by then, or has a seat, and its fence in the idle set is still to come. One that is
//! NOWHERE is in a turn, and becomes a spare after it.
//!
//! Model: `loom-tests/tests/spares.rs`.

use super::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use super::idle::{Idle, Rest};
use super::parker::Unparker;
use super::{Mutex, lock};

const NOWHERE: u32 = u32::MAX;
const SPARE: u32 = u32::MAX - 1;

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It is the worker with this seat.
    Seat(usize),
    /// It is in a turn that lasted so long that its seat is another's.
    Nowhere,
    /// It waits for a seat, or was never started.
    Spare,
}

/// See the module's text. `Q` is what a thread starts with.
#[derive(Debug)]
pub struct Spares<Q> {
    /// Each thread's place.
    places: Box<[AtomicU32]>,
    started: AtomicUsize,
    /// Threads that are nowhere.
    lost: AtomicUsize,
    list: Mutex<List<Q>>,
}

#[derive(Debug)]
struct List<Q> {
    /// For threads that are still to be started, the last number first.
    unstarted: Vec<Q>,
    waiting: Vec<(usize, Unparker)>,
    /// Seats given, until their new owners take them.
    given: Vec<(usize, Rest)>,
}

impl<Q> Spares<Q> {
    /// Every seat is taken by the thread of its number; there may be as many more as `queues`.
    #[must_use]
    pub fn new(seats: usize, mut queues: Vec<Q>) -> Self {
        let places = (0..seats + queues.len()).map(|index| {
            let place = if index < seats { index as u32 } else { SPARE };
            AtomicU32::new(place)
        });
        let places = places.collect();
        queues.reverse();
        Self {
            places,
            started: AtomicUsize::new(seats),
            lost: AtomicUsize::new(0),
            list: Mutex::new(List {
                unstarted: queues,
                waiting: Vec::new(),
                given: Vec::new(),
            }),
        }
    }

    /// How many threads were started by now.
    pub fn threads(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Where the thread `index` is at this moment.
    pub fn place(&self, index: usize) -> Place {
        match self.places[index].load(Ordering::Relaxed) {
            NOWHERE => Place::Nowhere,
            SPARE => Place::Spare,
            seat => Place::Seat(seat as usize),
        }
    }

    /// Whether a thread is nowhere.
    pub fn any_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) > 0
    }

    /// The caller, a visitor, has taken the seat of the thread `index`.
    pub fn lost_seat(&self, index: usize) {
        self.places[index].store(NOWHERE, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The thread `index`, which calls this, waits for a seat. It looks for work after this (S2).
    pub fn add(&self, index: usize, unparker: Unparker) {
        lock(&self.list).waiting.push((index, unparker));
        if self.places[index].swap(SPARE, Ordering::Relaxed) == NOWHERE {
            self.lost.fetch_sub(1, Ordering::Relaxed);
        }
        // The Dekker pattern of the header: the place, this fence, the caller's look.
        fence(Ordering::SeqCst);
    }

    /// The thread `index` waits no more.
    pub fn leave(&self, index: usize) {
        lock(&self.list)
            .waiting
            .retain(|waiting| waiting.0 != index);
    }

    /// The seat that the thread `index`, which calls this, was given.
    pub fn take_seat(&self, index: usize) -> Option<Rest> {
        let mut list = lock(&self.list);
        let given = list.given.iter().position(|given| given.0 == index)?;
        let (_, seat) = list.given.swap_remove(given);
        self.places[index].store(seat.worker() as u32, Ordering::Relaxed);
        Some(seat)
    }

    /// Gives a seat to the spare that came last. Without one, which only happens when all stop, the
    /// seat goes.
    pub fn give(&self, seat: Rest) {
        let mut list = lock(&self.list);
        if let Some((index, unparker)) = list.waiting.pop() {
            list.given.push((index, seat));
            drop(list);
            unparker.unpark();
        }
    }

    /// Whether a spare waits for a seat.
    pub fn any_waits(&self) -> bool {
        !lock(&self.list).waiting.is_empty()
    }

    /// The number and the queues for one thread more, if there may be one.
    pub fn start_one(&self) -> Option<(usize, Q)> {
        let queues = lock(&self.list).unstarted.pop()?;
        Some((self.started.fetch_add(1, Ordering::Relaxed), queues))
    }

    /// Wakes the thread `index`, if it sleeps with a seat or waits for one: for work that only it
    /// can do, made visible before (S2).
    ///
    /// # Panics
    ///
    /// When there is no such thread.
    pub fn wake(&self, index: usize, idle: &Idle) {
        // The Dekker pattern of the header: the caller's work, this fence, this look.
        fence(Ordering::SeqCst);
        match self.place(index) {
            Place::Seat(seat) => {
                idle.wake_worker(seat);
            }
            Place::Nowhere => {} // it is in a turn, and looks after it
            Place::Spare => {
                let list = lock(&self.list);
                if let Some((_, unparker)) = list.waiting.iter().find(|waiting| waiting.0 == index)
                {
                    unparker.unpark();
                }
            }
        }
    }

    /// Wakes all that wait, for news made visible before.
    pub fn wake_all(&self) {
        for (_, unparker) in &lock(&self.list).waiting {
            unparker.unpark();
        }
    }
}
