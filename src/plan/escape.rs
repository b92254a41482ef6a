//! The escape hatch: code that a plan runs once it is committed.

use super::{Plan, Steps, flag};
use crate::actor::Behavior;
use crate::actor::cell::quietly;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, List, Parcel};
use std::fmt;

/// The right to use [`Plan::escape`] in the actors of one system; from
/// [`System::escape_hatch`](crate::System::escape_hatch).
///
/// A behavior that has it as a field says so in its type. It is `Copy` and does nothing of itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Escape {
    pub(crate) system: u32,
}

impl fmt::Debug for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Escape({})", self.system)
    }
}

impl<B: Behavior> Plan<B> {
    /// Calls `act` on the worker's thread once this plan is committed and all of it is out: at most
    /// once, and never if the turn fails.
    ///
    /// For what no other step can say, as telling a tracer; whoever sees what `act` does can't undo
    /// it. It is no part of the transaction: a crash of the process between the commit and the call
    /// loses it, and its panic changes nothing, but counts as one. It must not block: the worker has
    /// other actors. [`WorkerMetrics::escapes`](crate::WorkerMetrics::escapes) counts the calls. A
    /// right that is another system's fails the turn as *foreign*.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::Escape;
    /// # use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// # static SOLD: AtomicU64 = AtomicU64::new(0);
    /// # struct Till(u64);
    /// # impl Machine for Till {
    /// #     type Event = u64;
    /// #     fn apply(&mut self, cents: u64) { self.0 += cents; }
    /// # }
    ///
    /// #[derive(Clone, Copy)]
    /// struct Selling { telemetry: Escape }
    /// impl Behavior for Selling {
    ///     # type Machine = Till;
    ///     type Message = u64;
    ///     // …
    ///     fn on_message(&self, cents: u64, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::emit(cents).and(Plan::escape(self.telemetry, move || {
    ///             SOLD.fetch_add(cents, Relaxed);
    ///         }))
    ///     }
    /// }
    ///
    /// let system = System::new()?;
    /// let till = system.spawn(Selling { telemetry: system.escape_hatch() }, Till(0))?;
    /// till.tell(250)?;
    /// # let end = till.monitor();
    /// # till.stop();
    /// # end.wait();
    /// # assert_eq!(SOLD.load(Relaxed), 250);
    /// # let escapes: u64 = system.metrics().workers.iter().map(|worker| worker.escapes).sum();
    /// # assert_eq!(escapes, 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn escape(right: Escape, act: impl FnOnce() + Send + 'static) -> Self {
        let step = Parcel::closure::<(), (), _>(Kind::Escape, move |()| act(), [0; 2]);
        Self {
            event: None,
            steps: Steps::one(step, flag::OTHER, right.system),
        }
    }
}

/// Calls what a committed plan calls.
#[cold]
pub(super) fn call_all(worker: &Worker, mut escapes: List) {
    while let Some(step) = escapes.pop_front() {
        worker.stats.escapes.add(1);
        let mut has_returned = false;
        quietly(|| {
            step.call::<(), ()>(());
            has_returned = true;
        });
        if !has_returned {
            worker.count_panic();
        }
    }
}
