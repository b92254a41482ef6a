//! Topics: the events of one type, whichever actor of the system they happened to.
//!
//! A topic is a list of listeners under a lock of its own, copied when it changes while somebody
//! reads it: who publishes takes the lock for a look at the list, and calls its listeners without
//! one. While nobody listens to anything an event costs one relaxed load.
//!
//! - P1: no code of a user runs under a lock: not `map`, not a clone of an event, not a drop.

use super::stream::Feed;
use super::{ActorRef, Address};
use crate::actor::cell::quietly;
use crate::dead_letter::DeadLetter;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, Parcel, is_counted_in, with_outside_pool};
use crate::plan::breaker::BreakerChange;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::inbox::{Push, Wake};
use crate::sync::thread_local;
use crate::sync::{Mutex, lock};
use crate::system::Shared;
use hashbrown::HashMap;
use std::any::{Any, TypeId};
use std::cell::Cell;
use std::sync::Arc;

/// All of a system's topics.
#[derive(Default)]
pub(crate) struct Topics {
    /// Whether there is any; changes only under the lock, with the list. Who was told of a
    /// subscription sees it: a message is a stronger order.
    any: AtomicBool,
    /// A [`Topic`] of each type of events that somebody listens to.
    by_type: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

type Topic<E> = Mutex<Listeners<E>>;

/// Those who listen, as publishers see them.
type Listeners<E> = Arc<Vec<Arc<Listener<E>>>>;

/// One who wants all events `E`.
pub(crate) struct Listener<E> {
    /// The actor that gets them; none for somebody outside.
    actor: Option<Address>,
    make: Box<Make<E>>,
}

/// Makes the message for an event, or the step that hands it to somebody outside; nothing once it
/// has gone.
type Make<E> = dyn Fn(Address, &E) -> Option<Parcel> + Send + Sync;

impl<E: Clone + Send + 'static> Listener<E> {
    /// Sends `target` what `map` makes of the publisher and a clone of each event.
    pub(crate) fn new<M: Send + 'static>(
        target: ActorRef<M>,
        map: impl Fn(Address, E) -> M + Send + Sync + 'static,
    ) -> Self {
        let make = move |publisher, event: &E| {
            let parcel = Parcel::new(Kind::Tell, map(publisher, event.clone()));
            parcel.set_cell(target.address.cell);
            parcel.set_generation(target.address.generation.get());
            Some(parcel)
        };
        Self {
            actor: Some(target.address),
            make: Box::new(make),
        }
    }

    /// Puts the publisher and a clone of each event into a stream.
    pub(crate) fn outside(feed: Feed<(Address, E)>) -> Self {
        let make = move |publisher, event: &E| {
            let (event, stream) = ((publisher, event.clone()), feed.stream()?);
            let put = move |()| stream.put(event);
            Some(Parcel::closure::<(), (), _>(Kind::Step, put, [0; 2]))
        };
        Self {
            actor: None,
            make: Box::new(make),
        }
    }
}

impl Topics {
    /// Whether somebody listens to anything.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        let mut by_type = lock(&self.by_type);
        let topics = std::mem::take(&mut *by_type);
        self.any.store(false, Relaxed);
        drop(by_type);
        quietly(|| drop(topics));
    }

    fn topic<E: Send + 'static>(&self) -> Option<Arc<Topic<E>>> {
        let topic = lock(&self.by_type).get(&TypeId::of::<E>())?.clone();
        topic.downcast::<Topic<E>>().ok()
    }
}

impl Shared {
    /// Lets somebody listen from now on.
    pub(crate) fn listen<E: Send + 'static>(&self, listener: Listener<E>) {
        self.forget_listeners::<E>(|actor| self.cell_of(actor).is_none());
        let mut topics = lock(&self.topics.by_type);
        let topic = topics
            .entry(TypeId::of::<E>())
            .or_insert_with(|| Arc::new(Topic::<E>::default()));
        if let Some(topic) = topic.downcast_ref::<Topic<E>>() {
            Arc::make_mut(&mut lock(topic)).push(Arc::new(listener));
        }
        self.topics.any.store(true, Relaxed);
    }

    /// Ends the subscriptions of the actors that `is_gone` says have gone.
    pub(crate) fn forget_listeners<E: Send + 'static>(&self, is_gone: impl Fn(Address) -> bool) {
        let Some(topic) = self.topics.topic::<E>() else {
            return;
        };
        self.forget(&topic, |listener| listener.actor.is_some_and(&is_gone));
    }

    /// Takes listeners off a topic, and the topic if nobody listens any more.
    fn forget<E: Send + 'static>(
        &self,
        topic: &Topic<E>,
        is_gone: impl Fn(&Arc<Listener<E>>) -> bool,
    ) {
        let mut listeners = lock(topic);
        let gone: Vec<_> = match listeners.iter().any(&is_gone) {
            true => Arc::make_mut(&mut listeners)
                .extract_if(.., |listener| is_gone(listener))
                .collect(),
            false => Vec::new(),
        };
        let is_empty = listeners.is_empty();
        drop(listeners);
        // P1: its drop is user code.
        quietly(|| drop(gone));
        if is_empty {
            self.end_empty::<E>();
        }
    }

    /// Takes a topic off that nobody listens to.
    fn end_empty<E: Send + 'static>(&self) {
        let mut topics = lock(&self.topics.by_type);
        let id = TypeId::of::<E>();
        let topic = topics
            .get(&id)
            .and_then(|any| any.downcast_ref::<Topic<E>>());
        if topic.is_some_and(|topic| lock(topic).is_empty()) {
            topics.remove(&id);
        }
        self.topics.any.store(!topics.is_empty(), Relaxed);
    }

    /// Makes what the listeners to `event` get, and lets `send` have it.
    fn publish<E: Send + 'static>(
        &self,
        publisher: Address,
        event: &E,
        mut send: impl FnMut(Parcel),
    ) {
        let Some(topic) = self.topics.topic::<E>() else {
            return;
        };
        let listeners: Listeners<E> = lock(&topic).clone();
        let mut gone = Vec::new();
        for listener in listeners.iter() {
            let lives = listener
                .actor
                .is_none_or(|actor| self.cell_of(actor).is_some());
            let mut made = None;
            if lives {
                quietly(|| made = (listener.make)(publisher, event));
            }
            match made {
                Some(parcel) => send(parcel),
                None => gone.push(listener.clone()),
            }
        }
        // P1: where it was taken off meanwhile this is its end, and that is user code.
        quietly(|| drop(listeners));
        if !gone.is_empty() {
            self.forget(&topic, |listener| {
                gone.iter().any(|gone| Arc::ptr_eq(gone, listener))
            });
            quietly(|| drop(gone));
        }
    }

    /// Tells those who listen to the changes of breakers of one, now; who has no room misses it.
    #[cold]
    pub(crate) fn announce_change(&self, change: &BreakerChange) {
        with_outside_pool(&self.depot, || {
            self.publish(change.target, change, |parcel| self.send_bounded(parcel));
        });
    }

    /// Tells those who listen to dead letters of one, now; who has no room misses it.
    ///
    /// Those that come of the telling are not told.
    #[cold]
    pub(crate) fn announce(&self, letter: &DeadLetter) {
        thread_local! {
            static ANNOUNCES: Cell<bool> = const { Cell::new(false) };
        }
        if ANNOUNCES.replace(true) {
            return;
        }
        quietly(|| {
            with_outside_pool(&self.depot, || {
                self.publish(letter.actor, letter, |parcel| self.send_bounded(parcel));
            });
        });
        ANNOUNCES.set(false);
    }

    /// Takes a step, or sends a message to whom has room for it.
    fn send_bounded(&self, parcel: Parcel) {
        if parcel.kind() == Kind::Step {
            return parcel.call::<(), ()>(());
        }
        if let Err((_, parcel)) = self.try_send(parcel) {
            quietly(|| drop(parcel));
        }
    }

    /// Sends a message, from no actor, to the one of its cell.
    ///
    /// # Errors
    ///
    /// Why not, and the message.
    pub(crate) fn try_send(&self, parcel: Parcel) -> Result<(), (Push, Parcel)> {
        let target = parcel.cell();
        let Some(cell) = self.cells.get(target) else {
            return Err((Push::Closed, parcel));
        };
        let parcel = match self.has_origins {
            true => self.stamp(parcel),
            false => parcel,
        };
        // A worker of another system brings an envelope of that one's.
        let adopted = match is_counted_in(&self.depot) {
            true => 0,
            false => parcel.bytes(),
        };
        if adopted > 0 {
            self.depot.adopt(adopted);
        }
        match cell.put(parcel) {
            Ok((wake, displaced)) => {
                if wake == Wake::Enqueue {
                    self.schedule(target, cell);
                }
                if let Some(oldest) = displaced {
                    self.bury_displaced(target, oldest);
                }
                Ok(())
            }
            Err(refused) => {
                if adopted > 0 {
                    self.depot.disown(adopted);
                }
                Err(refused)
            }
        }
    }
}

/// Makes the messages for all who listen to events of this type; they are sent with the commit.
#[cold]
pub(crate) fn collect<E: Send + 'static>(worker: &Worker, publisher: Address, event: &E) {
    let collect = |parcel| worker.collect(parcel);
    worker.shared.publish(publisher, event, collect);
}
