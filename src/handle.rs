//! Handles: how code outside actors talks to them.

use crate::actor::cell::{ActorCell, life};
use crate::actor::{ActorRef, Address, Behavior, Down, Exit};
use crate::ask::{self, AskError, Reply};
use crate::dead_letter::Cause;
use crate::envelope::{Kind, Parcel, push};
use crate::sync::inbox::{Push, Wake};
use crate::sync::oneshot::{Asker, Patience, Unanswered, channel};
use crate::system::watch::NameError;
use crate::system::{Shared, policy};
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

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
    /// idle also a push on the run queue, and a wake when all workers sleep.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn tell(&self, message: M) -> Result<(), SendError<M>> {
        self.send(Parcel::new(Kind::Tell, message)).map_err(open)
    }

    fn send(&self, parcel: Parcel) -> Result<(), (Push, Parcel)> {
        let Some(cell) = self.cell() else {
            return Err((Push::Closed, parcel));
        };
        if self.shared.is_closed() {
            return Err((Push::Closed, parcel));
        }
        let number = self.address().cell;
        parcel.set_generation(self.address().generation.get());
        parcel.set_cell(number);
        match push(&cell.inbox, parcel, cell.bound()) {
            Ok(Wake::Enqueue) => {
                self.shared.schedule(number, cell);
                Ok(())
            }
            Ok(Wake::Nothing) => Ok(()),
            Err((Push::Full, parcel)) if cell.overflow() == policy::DROP_NEWEST => {
                self.shared
                    .dead_letter(self.address(), parcel.type_name(), Cause::Full);
                ask::losing(AskError::Refused, || drop(parcel));
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }

    /// Asks: `question` makes the message around the right to answer it.
    ///
    /// The [`Ask`] is waited for with [`Ask::wait`] or as a future.
    pub fn ask<T: Send + 'static>(&self, question: impl FnOnce(Reply<T>) -> M) -> Ask<T> {
        let (asker, answerer) = channel();
        let parcel = Parcel::new(Kind::Ask, question(Reply::outside(answerer)));
        let refused = match self.send(parcel) {
            Ok(()) => None,
            Err((Push::Full, _)) => Some(AskError::Refused),
            Err(_) => Some(AskError::Stopped),
        };
        Ask {
            asker,
            refused,
            timeout: self.shared.config.system.ask_timeout,
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
    /// # mainspring::Result::Ok(())
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
    match (parcel.try_open::<M>(), why) {
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
}

impl<T: Send + 'static> Ask<T> {
    /// How long [`Ask::wait`] waits; the system's `ask_timeout` if not given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits for the answer: spins for 50 microseconds, then parks the thread.
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
    /// Waits for the end: spins for 50 microseconds, then parks the thread.
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

/// Waits for a slot's answer: spins for 50 microseconds, then parks the thread.
fn wait<T>(asker: &mut Asker<T>, limit: Duration) -> Option<Result<T, Unanswered>> {
    let start = Instant::now();
    let patience = Patience {
        spin_ns: 50_000,
        limit_ns: Some(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)),
    };
    asker.wait(patience, || start.elapsed().as_nanos() as u64)
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
