//! Handles: how code outside actors talks to them.

use crate::actor::cell::{ActorCell, life, naming, reading};
use crate::actor::extension::Call;
use crate::actor::stream::{self, EventStream};
use crate::actor::subscription::{self, Subscriber};
use crate::actor::{ActorRef, Address, Behavior, Down, Exit, Machine};
use crate::ask::{self, AskError, Reply};
use crate::dead_letter::Cause;
use crate::dispatcher::worker;
use crate::envelope::{Kind, Parcel, is_counted_in, with_outside_pool};
use crate::sync::inbox::{Push, Wake};
use crate::sync::oneshot::{Asker, Patience, Unanswered, channel};
use crate::sync::parker::Parker;
use crate::sync::spin::Spin;
use crate::sync::time::Instant;
use crate::system::watch::NameError;
use crate::system::{Shared, policy};
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Talks to an actor from outside of actors. A clone talks to the same actor.
pub struct Handle<M: Send + 'static> {
    shared: Arc<Shared>,
    actor: ActorRef<M>,
}

impl<M: Send + 'static> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone(), self.actor)
    }
}

impl<M: Send + 'static> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?})", self.actor)
    }
}

/// Why a message was not accepted; it comes back to the caller.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<M> {
    /// The mailbox holds its capacity; a later send may succeed.
    Full(M),
    /// The actor has stopped or is stopping; no later send can succeed.
    Closed(M),
}

impl<M> SendError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox is full",
            Self::Closed(_) => "the actor has stopped",
        })
    }
}

impl<M> std::error::Error for SendError<M> {}

/// How long a thread that waits for memory sleeps at first, and at most.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(5);

impl<M: Send + 'static> Handle<M> {
    pub(crate) fn new(shared: Arc<Shared>, actor: ActorRef<M>) -> Self {
        Self { shared, actor }
    }

    /// The actor's address, for messages, machines and plans.
    pub fn actor(&self) -> ActorRef<M> {
        self.actor
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn address(&self) -> Address {
        self.actor.address
    }

    fn cell(&self) -> Option<&ActorCell> {
        self.shared.cell_of(self.address())
    }

    /// Puts `message` in the actor's mailbox and returns at once.
    ///
    /// Messages of one thread arrive in the order sent. One compare-exchange; when the actor was
    /// idle also a push on the run queue, and a wake when all workers sleep. No allocation in
    /// steady state: a thread keeps up to 256 envelopes that the workers have left over, until it
    /// ends, shuts the system down or sends to another one.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn tell(&self, message: M) -> Result<(), SendError<M>> {
        with_outside_pool(&self.shared.depot, || {
            match self.send(self.stamped(Parcel::new(Kind::Tell, message))) {
                Ok(()) => Ok(()),
                Err((Push::Full, parcel)) if self.waits_when_full() => {
                    let limit = self.shared.config.mailbox.commit_deadline;
                    self.wait_and_send(parcel, limit).map_err(open)
                }
                Err(refused) => Err(open(refused)),
            }
        })
    }

    /// Puts `message` in the actor's mailbox, and waits for room if there is none, for `limit` at
    /// most. Those who wait get their places in turn; at the system's memory ceiling they look again
    /// every 5 milliseconds at the latest.
    ///
    /// It waits outside of actors only: in a turn, whose worker others need, it returns at once.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message: `Full` when the time is up.
    pub fn tell_wait(&self, message: M, limit: Duration) -> Result<(), SendError<M>> {
        with_outside_pool(&self.shared.depot, || {
            match self.send(self.stamped(Parcel::new(Kind::Tell, message))) {
                Ok(()) => Ok(()),
                Err((Push::Full, parcel)) => self.wait_and_send(parcel, limit).map_err(open),
                Err(refused) => Err(open(refused)),
            }
        })
    }

    fn waits_when_full(&self) -> bool {
        self.cell()
            .is_some_and(|cell| cell.overflow() == policy::WAIT)
    }

    /// Sends again whenever there may be room. Whose place comes back is woken; that memory comes back
    /// nobody says, so under the system's ceiling it looks again after a while, each longer.
    #[cold]
    fn wait_and_send(&self, mut parcel: Parcel, limit: Duration) -> Result<(), (Push, Parcel)> {
        if worker::peek(|worker| worker.is_some()) {
            return Err((Push::Full, parcel));
        }
        let start = Instant::now();
        let mut parker = Parker::new();
        let mut pause = PAUSE_MIN;
        loop {
            let ticket = self.wait_in_line(&parker);
            let left = limit.saturating_sub(start.elapsed());
            if ticket.is_some() {
                parker.park_timeout(left);
                pause = PAUSE_MIN;
            } else if self.shared.is_over_ceiling() {
                parker.park_timeout(pause.min(left));
                pause = (2 * pause).min(PAUSE_MAX);
            }
            let number = self.address().cell;
            let was_woken = ticket.is_some_and(|ticket| self.shared.waits.leave(number, ticket));
            // Also when the time is up: a place may have been given to this thread just then.
            parcel = match self.send(parcel) {
                Err((Push::Full, parcel)) if start.elapsed() < limit => parcel,
                outcome => {
                    if was_woken && outcome.is_err() {
                        self.shared.wake_waiters(number);
                    }
                    return outcome;
                }
            };
        }
    }

    /// Joins those who wait for room, unless there is some by now.
    fn wait_in_line(&self, parker: &Parker) -> Option<u64> {
        let cell = self.cell()?;
        let room = (&cell.inbox, cell.capacity());
        // Who waits at a cell that was reused meanwhile would wait for another actor's room.
        let waits = &self.shared.waits;
        waits.join(parker.unparker(), self.address().cell, room, || {
            self.is_alive()
        })
    }

    #[inline(always)]
    fn stamped(&self, parcel: Parcel) -> Parcel {
        match self.shared.has_origins {
            true => self.shared.stamp(parcel),
            false => parcel,
        }
    }

    fn send(&self, parcel: Parcel) -> Result<(), (Push, Parcel)> {
        #[cfg(debug_assertions)]
        worker::check_sender(self.address());
        let Some(cell) = self.cell() else {
            return Err((Push::Closed, parcel));
        };
        if self.shared.is_closed() {
            return Err((Push::Closed, parcel));
        }
        if self.shared.is_over_ceiling() {
            self.shared.depot.trim();
            if self.shared.is_over_ceiling() {
                return Err((Push::Full, parcel));
            }
        }
        // A worker of another system brings an envelope of that one's.
        let adopted = match is_counted_in(&self.shared.depot) {
            true => 0,
            false => parcel.bytes(),
        };
        let number = self.address().cell;
        parcel.set_generation(self.address().generation.get());
        parcel.set_cell(number);
        // Counted first: the actor's worker may free it before `push` returns.
        if adopted > 0 {
            self.shared.depot.adopt(adopted);
        }
        let pushed = cell.put(parcel);
        if adopted > 0 && pushed.is_err() {
            self.shared.depot.disown(adopted);
        }
        match pushed {
            Ok((wake, displaced)) => {
                if wake == Wake::Enqueue {
                    self.shared.schedule(number, cell);
                }
                if let Some(oldest) = displaced {
                    self.shared.bury_displaced(number, oldest);
                }
                Ok(())
            }
            Err((Push::Full, parcel)) if cell.overflow() == policy::DROP_NEWEST => {
                let (name, origin) = (parcel.type_name(), parcel.origin());
                self.shared
                    .dead_letter(self.address(), name, Cause::Full, origin);
                ask::losing(AskError::Refused, || drop(parcel));
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }

    /// Asks: `question` makes the message around the right to answer it.
    ///
    /// The [`Ask`] is waited for with [`Ask::wait`] or as a future. One allocation, and the cost of
    /// a [`Handle::tell`].
    pub fn ask<T: Send + 'static>(&self, question: impl FnOnce(Reply<T>) -> M) -> Ask<T> {
        let (asker, answerer) = channel();
        let permit = Permit::take(&self.shared);
        let refused = if permit.is_none() {
            Some(AskError::Refused)
        } else {
            let question = question(Reply::outside(answerer));
            with_outside_pool(&self.shared.depot, || {
                match self.send(self.stamped(Parcel::new(Kind::Ask, question))) {
                    Ok(()) => None,
                    Err((Push::Full, _)) => Some(AskError::Refused),
                    Err(_) => Some(AskError::Stopped),
                }
            })
        };
        Ask {
            asker,
            refused,
            timeout: self.shared.config.system.ask_timeout,
            _permit: permit,
        }
    }

    /// Refuses later messages; the actor ends once it has handled those before. Returns whether
    /// it lived.
    pub fn stop(&self) -> bool {
        self.shared.stop(self.address())
    }

    /// Ends the actor after its current turn; what is queued becomes dead letters.
    pub fn stop_now(&self) -> bool {
        self.shared.raise(self.address(), life::STOP_NOW)
    }

    /// As [`Handle::stop_now`], without its stop hook.
    pub fn kill(&self) -> bool {
        self.shared.raise(self.address(), life::KILL)
    }

    /// Gives the actor a name, which it holds until it ends; it may have several.
    ///
    /// # Errors
    ///
    /// [`NameError`].
    pub fn register(&self, name: &str) -> Result<(), NameError> {
        self.shared.name::<M>(self.address(), name, true)
    }

    /// The actor's end, when it comes: for a thread to wait for, or a task to await. At once if
    /// the actor has ended.
    ///
    /// One allocation. When the end is known its names are free and its last messages are out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// # let system = System::new()?;
    /// # let actor = system.spawn_machine(Nothing)?;
    /// let end = actor.monitor();
    /// actor.stop();
    /// assert_eq!(end.wait().exit, Exit::Normal);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn monitor(&self) -> Ended {
        let (asker, answerer) = channel();
        self.shared.monitor_outside(self.address(), answerer);
        Ended {
            actor: self.address(),
            asker,
        }
    }

    /// Whether the actor has not ended.
    pub fn is_alive(&self) -> bool {
        self.cell().is_some()
    }
}

fn open<M: 'static>((why, parcel): (Push, Parcel)) -> SendError<M> {
    match (parcel.unstamped().try_open::<M>(), why) {
        (Ok(message), Push::Full) => SendError::Full(message),
        (Ok(message), _) => SendError::Closed(message),
        (Err(_), _) => unreachable!("a refused envelope holds what was put in"),
    }
}

/// A question on its way; waited for by a thread or awaited by a task of any executor.
///
/// # Cancel safety
///
/// None: dropping it gives the ask up; the answer is dropped when it comes.
#[must_use = "dropping an ask gives it up"]
pub struct Ask<T: Send + 'static> {
    asker: Asker<Result<T, AskError>>,
    refused: Option<AskError>,
    timeout: Duration,
    _permit: Option<Permit>,
}

/// One of the asks that may wait at once; given back when dropped.
struct Permit(Arc<Shared>);

impl Permit {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        shared.asks.take().then(|| Self(shared.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.asks.give_back();
    }
}

impl<T: Send + 'static> Ask<T> {
    /// How long [`Ask::wait`] waits; the system's `ask_timeout` if not given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits for the answer: spins for up to 50 microseconds, then parks the thread.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn wait(mut self) -> Result<T, AskError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let start = Instant::now();
        match wait(&mut self.asker, self.timeout) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(AskError::Dropped),
            None => Err(AskError::Timeout {
                waited: start.elapsed(),
            }),
        }
    }
}

impl<T: Send + 'static> Future for Ask<T> {
    type Output = Result<T, AskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(refused) = self.refused {
            return Poll::Ready(Err(refused));
        }
        self.asker
            .poll(context)
            .map(|outcome| outcome.unwrap_or(Err(AskError::Dropped)))
    }
}

/// The end of an actor that is watched from outside.
///
/// # Cancel safety
///
/// None: dropping it ends the watch.
#[must_use = "dropping it ends the watch"]
pub struct Ended {
    actor: Address,
    asker: Asker<Down>,
}

impl Ended {
    /// Waits for the end: spins for up to 50 microseconds, then parks the thread.
    pub fn wait(mut self) -> Down {
        loop {
            if let Some(down) = self.wait_for(Duration::MAX) {
                return down;
            }
        }
    }

    /// As [`Ended::wait`], for `limit` at most. The end is told once: later calls say that there
    /// is no such actor.
    pub fn wait_for(&mut self, limit: Duration) -> Option<Down> {
        let outcome = wait(&mut self.asker, limit)?;
        Some(outcome.unwrap_or_else(|_| self.gone()))
    }

    /// What is told when the system went away with its actors in it.
    fn gone(&self) -> Down {
        Down {
            actor: self.actor,
            exit: Exit::Gone,
        }
    }
}

impl Future for Ended {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Down> {
        let outcome = self.asker.poll(context);
        outcome.map(|outcome| outcome.unwrap_or_else(|_| self.gone()))
    }
}

/// The longest that an asking thread looks for its answer before it sleeps.
const SPIN_NS: u64 = 50_000;

thread_local! {
    static SPIN: Spin = const { Spin::new() };
}

/// Waits for a slot's answer: spins for up to 50 microseconds, less where this thread's last spins
/// were in vain, then parks the thread.
pub(crate) fn wait<T>(asker: &mut Asker<T>, limit: Duration) -> Option<Result<T, Unanswered>> {
    let start = Instant::now();
    let patience = Patience {
        spin_ns: SPIN.with(|spin| spin.span_ns(SPIN_NS)),
        limit_ns: Some(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)),
    };
    let mut elapsed_ns = 0;
    let outcome = asker.wait(patience, || {
        elapsed_ns = start.elapsed().as_nanos() as u64;
        elapsed_ns
    });
    // An answer that was there at once, or a limit shorter than the spin, says nothing of spinning.
    let is_in_vain = elapsed_ns >= patience.spin_ns;
    if is_in_vain || elapsed_ns > 0 && outcome.is_some() {
        SPIN.with(|spin| spin.ended(!is_in_vain));
    }
    outcome
}

/// A handle that knows the actor's behavior.
pub struct Actor<B: Behavior> {
    handle: Handle<B::Message>,
}

impl<B: Behavior> Actor<B> {
    pub(crate) fn new(handle: Handle<B::Message>) -> Self {
        Self { handle }
    }
}

impl<B: Behavior> Actor<B> {
    /// A clone of the machine, made in the actor's own turn after the messages that this thread
    /// sent before: what a message in their place would have seen.
    ///
    /// It takes no place in the mailbox. A panic of the clone fails the snapshot only.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// #[derive(Clone)]
    /// struct Sum(u64);
    /// impl Machine for Sum {
    ///     type Event = u64;
    ///     fn apply(&mut self, number: u64) {
    ///         self.0 += number;
    ///     }
    /// }
    /// let system = System::new()?;
    /// let sum = system.spawn_machine(Sum(0))?;
    /// sum.tell(2)?;
    /// sum.tell(3)?;
    /// assert_eq!(sum.snapshot().wait()?.0, 5);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn snapshot(&self) -> Ask<B::Machine>
    where
        B::Machine: Clone,
    {
        self.look(|machine, reply| reply.answer(Ok(machine.clone())))
    }

    /// Has `read` look at the machine in the actor's own turn, and answer then or later.
    pub(crate) fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&B::Machine, Reply<T>) + Send + 'static,
    ) -> Ask<T> {
        let (asker, answerer) = channel();
        let reply = Reply::outside(answerer);
        self.call(reading::<B>(move |machine| read(machine, reply)));
        Ask {
            asker,
            refused: None,
            timeout: self.shared.config.system.ask_timeout,
            _permit: None,
        }
    }

    /// The events that the machine applies from now on, as clones, after the messages that this
    /// thread sent before. When the reader is behind by `capacity` events the oldest makes room;
    /// [`EventStream::missed`] counts them. Zero counts as one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # use std::time::Duration;
    /// # struct Sum(u64);
    /// # impl Machine for Sum {
    /// #     type Event = u64;
    /// #     fn apply(&mut self, number: u64) {
    /// #         self.0 += number;
    /// #     }
    /// # }
    /// let system = System::new()?;
    /// let sum = system.spawn_machine(Sum(0))?;
    /// let mut events = sum.events(16);
    /// sum.tell(7)?;
    /// assert_eq!(events.next(Duration::from_secs(5)), Some(7));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn events(&self, capacity: usize) -> EventStream<<B::Machine as Machine>::Event>
    where
        <B::Machine as Machine>::Event: Clone,
    {
        let (feed, stream) = stream::channel(capacity);
        self.call(subscription::adding::<B>(Subscriber::outside(feed)));
        stream
    }

    /// The type of the actor's current behavior: `B` until [`Plan::become_`](crate::Plan::become_)
    /// changes it. Found in the actor's own turn, after the messages that this thread sent before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # use mainspring::Events;
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// # let system = System::new()?;
    /// let actor = system.spawn(Events::new(), Nothing)?;
    /// assert!(actor.behavior().wait()?.contains("Events"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn behavior(&self) -> Ask<&'static str> {
        let (asker, answerer) = channel();
        let reply = Reply::outside(answerer);
        self.call(naming(move |name| reply.answer(Ok(name))));
        Ask {
            asker,
            refused: None,
            timeout: self.shared.config.system.ask_timeout,
            _permit: None,
        }
    }

    fn call(&self, call: Call) {
        with_outside_pool(&self.shared.depot, || {
            let parcel = Parcel::new(Kind::Call, call);
            parcel.set_cell(self.address().cell);
            parcel.set_generation(self.address().generation.get());
            self.shared.send_uncounted(parcel);
        });
    }
}

impl<B: Behavior> Clone for Actor<B> {
    fn clone(&self) -> Self {
        Self::new(self.handle.clone())
    }
}

impl<B: Behavior> Deref for Actor<B> {
    type Target = Handle<B::Message>;
    fn deref(&self) -> &Handle<B::Message> {
        &self.handle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span_ns() -> u64 {
        SPIN.with(|spin| spin.span_ns(SPIN_NS))
    }

    #[test]
    fn a_thread_learns_from_the_spins_of_its_asks_and_from_nothing_else() {
        let (mut asker, answerer) = channel();
        assert_eq!(wait(&mut asker, Duration::from_millis(1)), None);
        assert_eq!(span_ns(), SPIN_NS / 2, "a spin in vain halves the next");
        assert_eq!(wait(&mut asker, Duration::ZERO), None);
        let left_ns = span_ns();
        assert!(left_ns <= SPIN_NS / 2, "a short limit restores nothing");
        answerer.answer(7).unwrap();
        assert_eq!(wait(&mut asker, Duration::from_secs(1)), Some(Ok(7)));
        assert_eq!(span_ns(), left_ns, "the answer was there");
    }
}
