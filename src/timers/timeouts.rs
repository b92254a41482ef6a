//! Time-outs by key: an actor that sends messages later, unless told otherwise.

use crate::actor::{ActorRef, Behavior, Machine, Snapshot};
use crate::ask::Reply;
use crate::config::WhenFull;
use crate::handle::{Actor, Ask, SendError};
use crate::plan::Plan;
use crate::plan::timers::Key;
use crate::system::System;
use crate::system::spawn::SpawnError;
use hashbrown::HashMap;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

/// What a time-out manager can be told. `K` are the keys, `M` the messages that it sends.
#[non_exhaustive]
pub enum TimeoutMessage<K, M> {
    /// `to` gets `message` when `delay` has passed. One of the same key is replaced. An actor of
    /// another system is not scheduled for: that is a dead letter.
    Schedule {
        /// Its name, to cancel it by.
        key: K,
        /// How long it waits, from when the manager handles this.
        delay: Duration,
        /// Who gets the message.
        to: ActorRef<M>,
        /// The message.
        message: M,
    },
    /// The time-out of this key is off; the answer is whether it was armed.
    Cancel(K, Reply<bool>),
    /// All are off; the answer is how many were armed.
    Clear(Reply<usize>),
    /// Answered with how many are armed.
    Count(Reply<usize>),
    /// The time of one has passed: only the manager's own timers can say so.
    Due(Due<K, M>),
}

/// What only a manager's timer has.
pub struct Due<K, M> {
    key: K,
    number: u64,
    to: ActorRef<M>,
    message: M,
}

impl<K, M> fmt::Debug for TimeoutMessage<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schedule { .. } => "Schedule",
            Self::Cancel(..) => "Cancel",
            Self::Clear(_) => "Clear",
            Self::Count(_) => "Count",
            Self::Due(_) => "Due",
        })
    }
}

impl<K, M> fmt::Debug for Due<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Due({})", self.number)
    }
}

/// What happens to a table of time-outs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutEvent<K> {
    /// One was armed.
    Scheduled(K),
    /// One was taken off.
    Cancelled(K),
    /// The time of one has passed.
    Fired(K),
    /// All were taken off.
    Cleared,
}

/// A manager's machine: which keys are armed.
#[derive(Clone, Debug)]
pub struct TimeoutTable<K> {
    armed: HashMap<K, u64>,
    next: u64,
}

impl<K: Eq + Hash> TimeoutTable<K> {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            armed: HashMap::new(),
            next: 0,
        }
    }

    /// Whether the time-out of this key is armed.
    pub fn is_armed(&self, key: &K) -> bool {
        self.armed.contains_key(key)
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.armed.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }
}

impl<K: Eq + Hash> Default for TimeoutTable<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash + Send + 'static> Machine for TimeoutTable<K> {
    type Event = TimeoutEvent<K>;

    fn apply(&mut self, event: TimeoutEvent<K>) {
        match event {
            TimeoutEvent::Scheduled(key) => {
                self.armed.insert(key, self.next);
                self.next += 1;
            }
            TimeoutEvent::Cancelled(key) | TimeoutEvent::Fired(key) => {
                self.armed.remove(&key);
            }
            TimeoutEvent::Cleared => self.armed.clear(),
        }
    }
}

/// The behavior of a time-out manager: an ordinary actor, so that it can be supervised.
///
/// What it is to send are messages, not closures. Its end is the end of its time-outs.
pub struct TimeoutManager<K, M>(PhantomData<fn() -> (K, M)>);

impl<K, M> TimeoutManager<K, M> {
    /// The behavior.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<K, M> Default for TimeoutManager<K, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, M> Clone for TimeoutManager<K, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, M> Copy for TimeoutManager<K, M> {}

impl<K, M> fmt::Debug for TimeoutManager<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeoutManager")
    }
}

impl<K, M> Behavior for TimeoutManager<K, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    M: Send + 'static,
{
    type Machine = TimeoutTable<K>;
    type Message = TimeoutMessage<K, M>;

    fn on_message(&self, message: Self::Message, table: Snapshot<'_, Self>) -> Plan<Self> {
        let off = |number: Option<&u64>| match number {
            Some(&number) => Plan::cancel(Key::new(number)),
            None => Plan::none(),
        };
        match message {
            // Its message could never be sent.
            TimeoutMessage::Schedule { to, .. }
                if to.address.system != table.me().address.system =>
            {
                Plan::unhandled()
            }
            TimeoutMessage::Schedule {
                key,
                delay,
                to,
                message,
            } => {
                let number = table.next;
                let replaced = off(table.armed.get(&key));
                let due = Due {
                    key: key.clone(),
                    number,
                    to,
                    message,
                };
                Plan::emit(TimeoutEvent::Scheduled(key))
                    .and(replaced)
                    .and(Plan::after(
                        Key::new(number),
                        delay,
                        TimeoutMessage::Due(due),
                    ))
            }
            TimeoutMessage::Cancel(key, reply) => match table.armed.get(&key) {
                None => Plan::reply(reply, false),
                number => Plan::emit(TimeoutEvent::Cancelled(key))
                    .and(off(number))
                    .and(Plan::reply(reply, true)),
            },
            TimeoutMessage::Clear(reply) => {
                let armed = table.armed.values();
                armed
                    .fold(Plan::emit(TimeoutEvent::Cleared), |plan, number| {
                        plan.and(off(Some(number)))
                    })
                    .and(Plan::reply(reply, table.len()))
            }
            TimeoutMessage::Count(reply) => Plan::reply(reply, table.len()),
            TimeoutMessage::Due(due) => {
                Plan::emit(TimeoutEvent::Fired(due.key)).and(Plan::tell(due.to, due.message))
            }
        }
    }
}

/// The handle of a time-out manager. Dropping it ends the manager and clears its time-outs.
#[must_use = "dropping it clears the time-outs"]
pub struct Timeouts<K, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    M: Send + 'static,
{
    actor: Actor<TimeoutManager<K, M>>,
}

impl<K, M> Timeouts<K, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    M: Send + 'static,
{
    /// The manager: to be monitored, snapshot, or told by other actors.
    pub fn actor(&self) -> &Actor<TimeoutManager<K, M>> {
        &self.actor
    }

    /// `to` gets `message` when `delay` has passed, unless it is cancelled; one of the same key is
    /// replaced. If the mailbox of `to` is full then, the message is a dead letter.
    ///
    /// # Errors
    ///
    /// [`SendError`] of the manager's mailbox, with everything.
    pub fn schedule(
        &self,
        key: K,
        delay: Duration,
        to: ActorRef<M>,
        message: M,
    ) -> Result<(), SendError<TimeoutMessage<K, M>>> {
        self.actor.tell(TimeoutMessage::Schedule {
            key,
            delay,
            to,
            message,
        })
    }

    /// Takes one off. The answer is whether it was armed: then its message is never sent.
    pub fn cancel(&self, key: K) -> Ask<bool> {
        self.actor.ask(|reply| TimeoutMessage::Cancel(key, reply))
    }

    /// Takes all off. The answer is how many were armed.
    pub fn clear(&self) -> Ask<usize> {
        self.actor.ask(TimeoutMessage::Clear)
    }

    /// How many are armed.
    pub fn count(&self) -> Ask<usize> {
        self.actor.ask(TimeoutMessage::Count)
    }
}

impl<K, M> Drop for Timeouts<K, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    M: Send + 'static,
{
    fn drop(&mut self) {
        self.actor.kill();
    }
}

impl<K, M> fmt::Debug for Timeouts<K, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    M: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timeouts({})", self.actor.actor().address())
    }
}

impl System {
    /// Time-outs by keys of type `K`, which send messages of type `M` to any actors.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use std::time::Duration;
    ///
    /// # struct Log;
    /// # impl Machine for Log {
    /// #     type Event = &'static str;
    /// #     fn apply(&mut self, _: &'static str) {}
    /// # }
    /// let system = System::new()?;
    /// let log = system.spawn_machine(Log)?;
    /// let timeouts = system.timeouts()?;
    /// timeouts.schedule("session 7", Duration::from_secs(60), log.actor(), "expired")?;
    /// assert!(timeouts.cancel("session 7").wait()?, "it was armed");
    /// assert!(!timeouts.cancel("session 7").wait()?, "it is not any more");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn timeouts<K, M>(&self) -> Result<Timeouts<K, M>, SpawnError>
    where
        K: Clone + Eq + Hash + Send + 'static,
        M: Send + 'static,
    {
        let manager = self.prepare(TimeoutManager::new(), TimeoutTable::new());
        Ok(Timeouts {
            actor: manager.when_full(WhenFull::Drop).start()?,
        })
    }
}
