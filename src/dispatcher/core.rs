//! What a worker lends while it runs code of the user, so that others can do what waits behind a
//! turn that does not end.
//!
//! ```text
//!   worker's thread                      watchdog                       a spare's thread
//!   lends, runs the turn  ─── long ───▶  takes what the batch has not
//!                                        published and the LIFO slot:
//!                                        both go to the injector;
//!                                        fires timers, cancels timers
//!                                        takes the seat  ─────────────▶ is a worker from now on
//!   takes back: no seat ──▶ its queues
//!   go to the injector, it is a spare
//! ```
//!
//! - H1: a dispatcher has as many seats as workers, and who has none takes no turn but the one that
//!   it is in: as many threads run actors as before.
//! - H2: what goes from one thread to another does so through an inbox or the injector, or as a
//!   seat: no actor is in two places, and what a turn sent is not overtaken by what it sends later.
//!
//! Wheel, queues and numbers stay with their thread: wheel entries name it, and a spare fires its
//! own. What a turn holds while its own commit runs, or a drop of the user's, is not lent.

use crate::dispatcher::Dispatcher;
use crate::envelope::{List, Parcel, Pending, Published};
use crate::sync::idle::Rest;
use crate::sync::inbox::Wake;
use crate::sync::lend::Left;
use crate::system::Shared;
use crate::timer::{Advance, Resolution, Wheel};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};

/// Nobody in the LIFO slot.
pub(crate) const NOBODY: u32 = u32::MAX;
/// Timers fired or moved in one go.
pub(crate) const TIMER_BUDGET: usize = 1_024;

/// See the module's text.
pub(crate) struct Core {
    /// The LIFO slot.
    pub(crate) lifo: Cell<u32>,
    pub(crate) wheel: RefCell<Wheel<Parcel>>,
    pub(crate) next_timer_ns: Cell<u64>,
    pub(crate) pending: Pending,
    /// The right to run actors; none for a spare.
    pub(crate) seat: Cell<Option<Rest>>,
    /// What a visitor could not publish, for the owner to make dead letters of.
    pub(crate) refused: Cell<Option<Refused>>,
}

/// Messages to an actor that takes no more, and the places that were held for them.
pub(crate) struct Refused {
    pub(crate) target: u32,
    pub(crate) list: List,
    pub(crate) places: u32,
}

/// How far a visit goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Timers only.
    Timers,
    /// What waits in the core too.
    Work,
    /// And the seat, if actors wait somewhere.
    Seat,
}

/// What a visit brings: to be done after it, since the owner waits for its end.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) due: Vec<Parcel>,
    /// Off the wheel by order.
    pub(crate) cancelled: Vec<Parcel>,
    /// Actors to put on the injector.
    pub(crate) woken: SmallVec<[u32; 2]>,
    pub(crate) seat: Option<Rest>,
}

impl Core {
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            lifo: Cell::new(NOBODY),
            wheel: RefCell::new(Wheel::new(Resolution::MILLISECOND.tick(now_ns))),
            next_timer_ns: Cell::new(u64::MAX),
            pending: Pending::new(),
            seat: Cell::new(None),
            refused: Cell::new(None),
        }
    }

    /// Collects what is due and notes when more will be; the number of entries.
    pub(crate) fn advance(&self, now_ns: u64, due: &mut Vec<Parcel>) -> usize {
        let before = due.len();
        let tick = Resolution::MILLISECOND.tick(now_ns);
        let mut wheel = self.wheel.borrow_mut();
        let advance = wheel.advance(tick, TIMER_BUDGET, &mut |_, timer| due.push(timer));
        let next = match advance {
            Advance::More => now_ns,
            _ => wheel
                .next_tick()
                .map_or(u64::MAX, |tick| Resolution::MILLISECOND.start_ns(tick)),
        };
        self.next_timer_ns.set(next);
        due.len() - before
    }

    /// What a visitor does to the core of the worker number `index`.
    pub(crate) fn visited(
        &self,
        shared: &Shared,
        dispatcher: &Dispatcher,
        index: usize,
        now_ns: u64,
        visit: Visit,
    ) -> (Taken, Left) {
        let mut taken = Taken::default();
        let mut left = Left::Nothing;
        if dispatcher.has_orders(index) {
            let mut wheel = self.wheel.borrow_mut();
            let orders = dispatcher.take_orders(index);
            taken.cancelled = orders
                .into_iter()
                .filter_map(|key| wheel.cancel(key))
                .collect();
        }
        if now_ns >= self.next_timer_ns.get() {
            let fired = self.advance(now_ns, &mut taken.due);
            dispatcher.stats[index].timers.add(fired as u64);
        }
        if visit == Visit::Timers {
            return (taken, left);
        }
        if let Some(target) = self.pending.target()
            && let Some(cell) = shared.cells.get(target)
        {
            match self.pending.publish(&cell.inbox) {
                Published::In(Wake::Enqueue) => taken.woken.push(target),
                Published::In(Wake::Nothing) => {}
                Published::Closed(list, places) => {
                    left = Left::News;
                    self.refused.set(Some(Refused {
                        target,
                        list,
                        places,
                    }));
                }
            }
        }
        let lifo = self.lifo.replace(NOBODY);
        if lifo != NOBODY {
            taken.woken.push(lifo);
        }
        if visit == Visit::Seat && (!taken.woken.is_empty() || dispatcher.any_work_waits()) {
            taken.seat = self.seat.take();
            if taken.seat.is_some() {
                left = Left::News;
                dispatcher.lost_seat(index);
            }
        }
        (taken, left)
    }
}
