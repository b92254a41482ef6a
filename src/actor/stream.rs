//! Streams of events to code outside actors: a bounded buffer that drops its oldest.

use crate::sync::time::Instant;
use crate::sync::{Condvar, Mutex, lock};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Events as they happen: those of one actor's machine, from [`Actor::events`](crate::Actor::events)
/// on until the actor ends, or all of one type, from [`System::events`](crate::System::events) on
/// until the system does. Dropping it ends the subscription.
pub struct EventStream<E> {
    stream: Arc<Stream<E>>,
}

/// The actor's end of a stream; dropped with the actor.
pub(crate) struct Feed<E>(Weak<Stream<E>>);

/// See the module's text.
pub(crate) struct Stream<E> {
    buffer: Mutex<Buffer<E>>,
    news: Condvar,
    capacity: usize,
}

struct Buffer<E> {
    events: VecDeque<E>,
    missed: u64,
    ended: bool,
    reader: Option<Waker>,
}

/// The two ends of a stream.
pub(crate) fn channel<E>(capacity: usize) -> (Feed<E>, EventStream<E>) {
    let buffer = Buffer {
        events: VecDeque::new(),
        missed: 0,
        ended: false,
        reader: None,
    };
    let stream = Arc::new(Stream {
        buffer: Mutex::new(buffer),
        news: Condvar::new(),
        capacity: capacity.max(1),
    });
    (Feed(Arc::downgrade(&stream)), EventStream { stream })
}

impl<E> Feed<E> {
    /// The stream, unless its reader has gone.
    pub(crate) fn stream(&self) -> Option<Arc<Stream<E>>> {
        self.0.upgrade()
    }
}

impl<E> Drop for Feed<E> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream() {
            stream.tell(|buffer| buffer.ended = true);
        }
    }
}

impl<E> Stream<E> {
    /// Adds an event; the oldest makes room.
    pub(crate) fn put(&self, event: E) {
        let mut oldest = None;
        self.tell(|buffer| {
            if buffer.events.len() == self.capacity {
                oldest = buffer.events.pop_front();
                buffer.missed += 1;
            }
            buffer.events.push_back(event);
        });
        // Its drop is user code: not under the lock.
        drop(oldest);
    }

    fn tell(&self, change: impl FnOnce(&mut Buffer<E>)) {
        let mut buffer = lock(&self.buffer);
        change(&mut buffer);
        let reader = buffer.reader.take();
        drop(buffer);
        self.news.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<E> EventStream<E> {
    /// The next event, if there is one by now.
    pub fn try_next(&mut self) -> Option<E> {
        lock(&self.stream.buffer).events.pop_front()
    }

    /// The next event; waits for it, for `limit` at most. None also once the actor has ended and
    /// all its events were taken: see [`EventStream::has_ended`].
    pub fn next(&mut self, limit: Duration) -> Option<E> {
        let start = Instant::now();
        let mut buffer = lock(&self.stream.buffer);
        loop {
            if let Some(event) = buffer.events.pop_front() {
                return Some(event);
            }
            let left = limit.saturating_sub(start.elapsed());
            if buffer.ended || left.is_zero() {
                return None;
            }
            let waited = self.stream.news.wait_timeout(buffer, left);
            buffer = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next event for a task: ready with none once the actor has ended and all its events
    /// were taken.
    ///
    /// # Cancel safety
    ///
    /// Strict: an event is taken only when it is returned.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<E>> {
        let mut buffer = lock(&self.stream.buffer);
        if let Some(event) = buffer.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if buffer.ended {
            return Poll::Ready(None);
        }
        buffer.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether the actor has ended and all its events were taken.
    pub fn has_ended(&self) -> bool {
        let buffer = lock(&self.stream.buffer);
        buffer.ended && buffer.events.is_empty()
    }

    /// How many events made room for newer ones before they were taken.
    pub fn missed(&self) -> u64 {
        lock(&self.stream.buffer).missed
    }
}

impl<E> fmt::Debug for EventStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventStream<{}>", std::any::type_name::<E>())
    }
}
