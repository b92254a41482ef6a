//! What the runner asks of a chart's language, and what it lends for the answer.

use super::super::entry::Bits;
use super::super::model::{ActionId, GuardId, StateId};
use super::super::table::{Class, Table};
use super::Out;

/// What a chart's numbers mean: its data, guards and actions.
///
/// The kernel calls it and knows nothing else of the chart's context, events and effects.
pub trait Logic: Sized {
    /// The chart's data, changed in place by its actions.
    type Context: Clone;
    /// What is queued inside the chart and sent from outside.
    type Event;
    /// What the chart asks of the world.
    type Effect;
    /// Why an action or guard failed.
    type Fault;

    /// The event's class.
    fn class(&self, table: &Table, event: &Self::Event) -> Class;

    /// Answers a guard.
    ///
    /// # Errors
    ///
    /// What went wrong while asking.
    fn guard(&self, id: GuardId, ask: &Ask<'_, Self>) -> Result<bool, Self::Fault>;

    /// Runs an action.
    ///
    /// # Errors
    ///
    /// What went wrong; the rest of the action has not run.
    fn act(&self, id: ActionId, scope: &mut Scope<'_, Self>) -> Result<(), Self::Fault>;

    /// Runs before the first state is entered.
    ///
    /// # Errors
    ///
    /// As for an action.
    fn begin(&self, _scope: &mut Scope<'_, Self>) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// `state` is complete, by its final child `by` or by all its regions; raises its event.
    ///
    /// # Errors
    ///
    /// As for an action.
    fn completed(
        &self,
        _state: StateId,
        _by: Option<StateId>,
        _scope: &mut Scope<'_, Self>,
    ) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// The chart is complete: `by` was entered, and `whole` is the outermost state it completed.
    ///
    /// # Errors
    ///
    /// As for an action.
    fn finished(
        &self,
        _by: StateId,
        _whole: StateId,
        _scope: &mut Scope<'_, Self>,
    ) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// The event that tells the chart of a failure, where failures are events.
    fn failure(&self, fault: Self::Fault) -> Option<Self::Event>;

    /// The fault that an unhandled `event` means for the chart.
    fn escalates(&self, _event: &Self::Event) -> Option<Self::Fault> {
        None
    }

    /// Whether a step may fail or raise events, so that the old context must be kept.
    fn is_fallible(&self) -> bool {
        true
    }

    /// Whether the action can neither fail nor raise, though others may. A planned step of such
    /// actions keeps no copy of the old state. Asked once, when the chart is made.
    fn is_calm(&self, _id: ActionId) -> bool {
        !self.is_fallible()
    }
}

/// What a guard may look at.
pub struct Ask<'a, L: Logic> {
    /// The chart's data.
    pub context: &'a L::Context,
    /// The event in hand.
    pub event: &'a L::Event,
    /// The active states.
    pub view: View<'a>,
}

/// What an action may use.
pub struct Scope<'a, L: Logic> {
    /// The chart's data.
    pub context: &'a mut L::Context,
    /// The event in hand.
    pub event: &'a L::Event,
    /// The active states.
    pub view: View<'a>,
    pub(super) out: &'a mut Out<L>,
}

impl<L: Logic> Scope<'_, L> {
    /// Queues `event` inside the chart: it is taken before any other from outside.
    pub fn raise(&mut self, event: L::Event) {
        self.out.queue.push_back(event);
    }

    /// Asks something of the world.
    pub fn effect(&mut self, effect: L::Effect) {
        self.out.effects.push(effect);
    }

    /// Says that the data changed: eventless transitions are looked at once more.
    #[inline(always)]
    pub fn touch(&mut self) {
        self.out.touched = true;
    }

    /// Whether the chart is taking its first macrostep.
    pub fn is_starting(&self) -> bool {
        self.out.starting
    }

    /// The same scope, lent.
    #[cfg(feature = "xstate")]
    pub(crate) fn lend(&mut self) -> Scope<'_, L> {
        Scope {
            context: self.context,
            event: self.event,
            view: self.view,
            out: self.out,
        }
    }

    /// The same scope as a guard sees it.
    pub fn ask(&self) -> Ask<'_, L> {
        Ask {
            context: self.context,
            event: self.event,
            view: self.view,
        }
    }
}

/// The active states.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(super) table: &'a Table,
    pub(super) leaves: &'a [StateId],
    pub(super) live: Option<&'a Bits>,
}

impl View<'_> {
    /// Whether `state` is active. O(active leaves).
    #[inline]
    pub fn is_in(&self, state: StateId) -> bool {
        match self.live {
            Some(active) => active.get(state),
            None => match self.table.rows.get(state as usize) {
                Some(row) => self.leaves.iter().any(|l| (state..row.end).contains(l)),
                None => false,
            },
        }
    }
}
