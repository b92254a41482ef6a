//! What a chart starts, and the events by which it hears of that.

use super::whole::Saver;
use super::{Outputs, Sender};
use crate::actor::{ActorRef, Address};
use crate::chart::value::Name;
use crate::chart::{Event, Value};
use std::sync::Arc;

/// A child of a chart.
pub struct Child<C: Clone + Send + 'static> {
    pub(super) address: Address,
    /// Whether it tells its parent itself when it is done.
    pub(super) tells_end: bool,
    pub(super) send: Option<Sender<C>>,
    pub(super) save: Option<Saver>,
}

impl<C: Clone + Send + 'static> Clone for Child<C> {
    fn clone(&self) -> Self {
        Self {
            address: self.address,
            tells_end: self.tells_end,
            send: self.send.clone(),
            save: self.save,
        }
    }
}

impl<C: Clone + Send + 'static> Child<C> {
    /// A child that takes no events from the chart.
    pub fn new(child: impl Into<Address>) -> Self {
        Self {
            address: child.into(),
            tells_end: false,
            send: None,
            save: None,
        }
    }

    /// A child that gets what `message` makes of the events that the chart sends it.
    pub fn taking<M: Send + 'static>(
        child: ActorRef<M>,
        message: impl Fn(Event) -> M + Send + Sync + 'static,
    ) -> Self {
        Self {
            send: Some(Arc::new(move |event, output: &mut Outputs<C>| {
                output.tell(child, message(event));
            })),
            ..Self::new(child.address())
        }
    }
}

#[derive(Clone)]
pub(super) struct Parent {
    pub(super) address: Address,
    pub(super) id: Name,
    pub(super) is_xstate: bool,
}

pub(super) fn done(is_xstate: bool, id: &str, output: Value) -> Event {
    if is_xstate {
        Event::new(format!("xstate.done.actor.{id}")).field("output", output)
    } else {
        from_child(id, Event::new(format!("done.invoke.{id}")).with(output))
    }
}

pub(super) fn failed(is_xstate: bool, id: &str, why: String) -> Event {
    if is_xstate {
        Event::new(format!("xstate.error.actor.{id}")).field("error", Value::str(why))
    } else {
        Event::new("error.communication").with(Value::str(why))
    }
}

/// Whether a chart's own life makes events of that name.
pub(super) fn is_own(name: &str) -> bool {
    ["xstate.", "done.", "error."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Says which invocation an event comes from (SCXML's `_event.invokeid`).
pub(super) fn from_child(id: &str, mut event: Event) -> Event {
    let origin = event.origin.get_or_insert_with(Default::default);
    origin.kind = "external";
    origin.invokeid = Value::str(id);
    event
}
