//! A chart that is saved with its children, which only their own turns can read.
//!
//! ```text
//!   Actor::save ─▶ the chart saves itself ─▶ asks its children ─▶ they theirs
//!                       │                         │ each in a turn of its own
//!                       └──▶ Whole ◀── put ───────┘
//!                              └─ dropped by the last: given away
//! ```

use crate::actor::cell::reading;
use crate::actor::{Address, Behavior, Events, Machine};
use crate::chart::data;
use crate::chart::{Snapshot as Saved, Value};
use crate::dispatcher::worker;
use crate::envelope::{Kind, Parcel};
use crate::sync::{Mutex, lock};
use crate::{Actor, Ask};
use serde::Serialize;
use std::sync::Arc;

/// A chart that can be saved with its children: a [`ChartMachine`](crate::ChartMachine), or one of
/// [`chart!`](mod@crate::chart) whose context is `Clone`. See [`Actor::save`].
pub trait Saves: Machine {
    /// The chart's data.
    type Context: Send + 'static;

    /// Saves it and, each in a turn of its own, its children, and gives the whole away.
    #[doc(hidden)]
    fn gather(&self, give: impl FnOnce(Saved<Self::Context>) + Send + 'static);
}

impl<B: Behavior<Machine: Saves>> Actor<B> {
    /// The chart as data, as its `save` gives it, with the states of its children that
    /// are charts and `kept`, and of theirs: see
    /// [`HostedChart::kept`](crate::HostedChart::kept), and [`chart!`](mod@crate::chart)
    /// for the word in a chart's head.
    ///
    /// Each is saved in a turn of its own, a child after all that its parent had sent it until
    /// then. What is on its way from a child to its parent meanwhile is in no snapshot, as what
    /// waits in mailboxes is not: an end that the parent has not heard of yet finds the child
    /// started anew.
    ///
    /// A turn and a copy of the context for each; the children of one chart are asked at once. It
    /// takes no place in a mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "xstate")]
    /// # fn main() -> mainspring::Result {
    /// use mainspring::chart::xstate::{self, Bindings};
    /// use mainspring::chart::{Resume, Value};
    /// use mainspring::prelude::*;
    /// use mainspring::{Clock, HostedChart};
    ///
    /// let chart = |text: &str| -> mainspring::Result<HostedChart<u32>> {
    ///     let chart = xstate::Machine::parse(text).map_err(|problem| problem.to_string())?;
    ///     let bindings = match text.contains("src") {
    ///         true => Bindings::new().actor("baking"),
    ///         false => Bindings::new(),
    ///     };
    ///     let chart = bindings.compile(&chart).map_err(|problem| problem.to_string())?;
    ///     Ok(HostedChart::from(chart))
    /// };
    /// let baking = chart(r#"{ "id": "baking", "initial": "cold", "states": {
    ///     "cold": { "after": { "1": "hot" } }, "hot": {} } }"#)?;
    /// let oven = chart(r#"{ "id": "oven", "initial": "on", "states": {
    ///     "on": { "invoke": { "id": "bake", "src": "baking" } } } }"#)?;
    /// let oven = oven.child("baking", baking.kept(), |_| 180);
    ///
    /// let (clock, hand) = Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let first = system.spawn_machine(oven.machine(0)?)?;
    /// system.run_until_idle();
    /// hand.advance(std::time::Duration::from_millis(3));
    /// system.run_until_idle();
    /// let asked = first.save();
    /// system.run_until_idle();
    /// let saved = asked.wait()?; // serde can write and read it
    ///
    /// let bake = saved.children[0].snapshot.as_deref().unwrap();
    /// assert_eq!((&bake.leaves[0][..], &bake.context), ("baking.hot", &Value::Num(180.0)));
    /// let second = system.spawn_machine(oven.restore(&saved, Resume::Remaining)?)?;
    /// # Ok(()) }
    /// # #[cfg(not(feature = "xstate"))]
    /// # fn main() {}
    /// ```
    pub fn save(&self) -> Ask<Saved<<B::Machine as Saves>::Context>> {
        self.look(|machine, reply| machine.gather(move |saved| reply.answer(Ok(saved))))
    }
}

/// Has the child with that address save itself, in a turn of its own, and take it there.
pub(crate) type Saver = fn(Address, Take);
pub(crate) type Take = Box<dyn FnOnce(Saved<Value>) + Send>;

/// The [`Saver`] of children that are `M`s. One whose context serde cannot write takes nothing.
pub(crate) fn ask<M: Saves<Context: Serialize>>(child: Address, take: Take) {
    let read = reading::<Events<M>>(move |machine| {
        machine.gather(move |saved| {
            if let Ok(context) = data::to_value(&saved.context) {
                take(saved.with(context));
            }
        });
    });
    worker::with(|worker| {
        if let Some(worker) = worker {
            worker.send_to(child, Parcel::new(Kind::Call, read));
        }
    });
}

/// Gives `saved` away once those `children` have put their states into it, or ended.
pub(crate) fn gather<'a, C: Send + 'static>(
    saved: Saved<C>,
    children: impl Iterator<Item = (&'a str, Address, Saver)>,
    give: impl FnOnce(Saved<C>) + Send + 'static,
) {
    let whole = Arc::new(Whole(Mutex::new(Some((saved, give)))));
    for (id, child, save) in children {
        let (whole, id) = (whole.clone(), id.to_owned());
        save(child, Box::new(move |state| whole.put(&id, state)));
    }
}

/// A machine that was saved, while its children are asked. Whoever drops it last gives it away: a
/// child that has ended never answers.
struct Whole<C, F: FnOnce(Saved<C>)>(Mutex<Option<(Saved<C>, F)>>);

impl<C, F: FnOnce(Saved<C>)> Whole<C, F> {
    fn put(&self, id: &str, state: Saved<Value>) {
        if let Some((saved, _)) = &mut *lock(&self.0) {
            let mut children = saved.children.iter_mut();
            if let Some(child) = children.find(|child| child.id == id) {
                child.snapshot = Some(Box::new(state));
            }
        }
    }
}

impl<C, F: FnOnce(Saved<C>)> Drop for Whole<C, F> {
    fn drop(&mut self) {
        let whole = lock(&self.0).take();
        if let Some((saved, give)) = whole {
            give(saved);
        }
    }
}
