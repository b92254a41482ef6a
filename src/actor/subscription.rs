//! Subscriptions: events of one actor's machine as messages of another.

use super::extension::Extension;
use super::{ActorRef, Behavior, Machine};
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, Parcel};

/// One who wants a machine's events `E`: makes the message for one of them.
pub(crate) struct Subscriber<E>(pub(crate) Box<dyn Fn(&E) -> Parcel + Send>);

impl<E: Clone + 'static> Subscriber<E> {
    /// Sends `target` what `map` makes of a clone of each event.
    pub(crate) fn new<M: Send + 'static>(
        target: ActorRef<M>,
        map: impl Fn(E) -> M + Send + 'static,
    ) -> Self {
        Self(Box::new(move |event| {
            let parcel = Parcel::new(Kind::Tell, map(event.clone()));
            parcel.set_cell(target.address.cell);
            parcel.set_generation(target.address.generation.get());
            parcel
        }))
    }
}

/// Makes the messages for all subscribers of `event`; they are sent with the commit.
#[inline(always)]
pub(crate) fn collect<B: Behavior>(
    extension: &Extension,
    worker: &Worker,
    event: &<B::Machine as Machine>::Event,
) {
    if extension.subscribers.borrow().is_some() {
        collect_all::<B>(extension, worker, event);
    }
}

#[cold]
fn collect_all<B: Behavior>(
    extension: &Extension,
    worker: &Worker,
    event: &<B::Machine as Machine>::Event,
) {
    type Of<B> = Vec<Subscriber<<<B as Behavior>::Machine as Machine>::Event>>;
    let mut subscribers = extension.subscribers.borrow_mut();
    let Some(subscribers) = subscribers
        .as_mut()
        .and_then(|any| any.downcast_mut::<Of<B>>())
    else {
        return;
    };
    subscribers.retain(|subscriber| {
        let parcel = (subscriber.0)(event);
        let alive = worker
            .cell(parcel.cell())
            .is_some_and(|cell| cell.life.generation() == parcel.generation());
        if alive {
            worker.collect(parcel);
        }
        alive
    });
}
