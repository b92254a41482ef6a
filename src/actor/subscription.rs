//! Subscriptions: events of one actor's machine as messages of another.

use super::cell::Running;
use super::extension::{Call, Extension};
use super::stream::Feed;
use super::topic;
use super::{ActorRef, Behavior, Machine};
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, Parcel};

/// One who wants a machine's events `E`: makes the message for one of them, or the step that
/// hands it to somebody outside; nothing once it has gone.
pub(crate) struct Subscriber<E>(Box<Make<E>>);

/// Makes the message for an event.
type Make<E> = dyn Fn(&E) -> Option<Parcel> + Send;

impl<E: Clone + Send + 'static> Subscriber<E> {
    /// Sends `target` what `map` makes of a clone of each event.
    pub(crate) fn new<M: Send + 'static>(
        target: ActorRef<M>,
        map: impl Fn(E) -> M + Send + 'static,
    ) -> Self {
        Self(Box::new(move |event| {
            let parcel = Parcel::new(Kind::Tell, map(event.clone()));
            parcel.set_cell(target.address.cell);
            parcel.set_generation(target.address.generation.get());
            Some(parcel)
        }))
    }

    /// Puts a clone of each event into a stream.
    pub(crate) fn outside(feed: Feed<E>) -> Self {
        Self(Box::new(move |event| {
            let (event, stream) = (event.clone(), feed.stream()?);
            let put = move |()| stream.put(event);
            Some(Parcel::closure::<(), (), _>(Kind::Step, put, [0; 2]))
        }))
    }
}

/// A closure that adds a subscriber to an actor of behavior `P`; nothing if it is of another.
pub(crate) fn adding<P: Behavior>(subscriber: Subscriber<<P::Machine as Machine>::Event>) -> Call {
    Call(Box::new(move |run, worker, _| {
        if !run.is_of::<P>(worker) {
            return;
        }
        let mut subscribers = run.extension().subscribers.borrow_mut();
        let list = subscribers.get_or_insert_with(|| {
            Box::<Vec<Subscriber<<P::Machine as Machine>::Event>>>::default()
        });
        if let Some(list) = list.downcast_mut::<Vec<_>>() {
            list.push(subscriber);
        }
    }))
}

/// Whether somebody has subscribed to the running actor's events, or to all of a type.
#[inline(always)]
pub(crate) fn may_be(run: &Running<'_>, worker: &Worker) -> bool {
    let has_subscribed = |extension: &Extension| extension.subscribers.borrow().is_some();
    run.existing().is_some_and(has_subscribed) || worker.shared.topics.any()
}

/// Makes the messages for all subscribers of `event`; they are sent with the commit.
#[inline(always)]
pub(crate) fn collect<B: Behavior>(
    run: &Running<'_>,
    worker: &Worker,
    event: &<B::Machine as Machine>::Event,
) {
    if let Some(extension) = run.existing()
        && extension.subscribers.borrow().is_some()
    {
        collect_all::<B>(extension, worker, event);
    }
    if worker.shared.topics.any() {
        topic::collect(worker, worker.me(), event);
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
        let Some(parcel) = (subscriber.0)(event) else {
            return false;
        };
        let alive = parcel.kind() == Kind::Step
            || worker
                .cell(parcel.cell())
                .is_some_and(|cell| cell.life.generation() == parcel.generation());
        if alive {
            worker.collect(parcel);
        }
        alive
    });
}
