//! Behaviors without a type of their own: a function that decides.

use super::{Behavior, Machine, Snapshot};
use crate::plan::Plan;
use std::fmt;

/// A behavior that is a function, for short handlers: a closure that captures nothing.
///
/// `S` is the machine, `M` the message. What captures an address or a constant is a behavior with
/// fields; see [`Behavior`].
///
/// # Examples
///
/// ```
/// use mainspring::prelude::*;
/// use mainspring::{Context, Handler, assign};
///
/// #[derive(Clone)]
/// struct Counter { count: i64 }
/// enum Count { Up, Down, Get(Reply<i64>) }
///
/// let counting = Handler::new(|message, counter: Snapshot<Handler<Context<Counter>, Count>>| {
///     match message {
///         Count::Up => Plan::emit(assign!(Counter { count: |old| old.count + 1 })),
///         Count::Down => Plan::emit(assign!(Counter { count: |old| old.count - 1 })),
///         Count::Get(reply) => Plan::reply(reply, counter.count),
///     }
/// });
/// let system = System::new()?;
/// let counter = system.spawn(counting, Context::new(Counter { count: 0 }))?;
/// counter.tell(Count::Up)?;
/// counter.tell(Count::Up)?;
/// counter.tell(Count::Down)?;
/// assert_eq!(counter.ask(Count::Get).wait()?, 1);
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// One that captures state does not compile:
///
/// ```compile_fail,E0308
/// # use mainspring::prelude::*;
/// # use mainspring::{Context, Handler};
/// let mut seen = 0;
/// let counting = Handler::new(|(): (), _: Snapshot<Handler<Context<u64>, ()>>| {
///     seen += 1;
///     Plan::none()
/// });
/// ```
pub struct Handler<S: Machine, M: Send + 'static> {
    decide: fn(M, Snapshot<'_, Self>) -> Plan<Self>,
}

impl<S: Machine, M: Send + 'static> Handler<S, M> {
    /// The behavior that decides by `decide`.
    pub const fn new(decide: fn(M, Snapshot<'_, Self>) -> Plan<Self>) -> Self {
        Self { decide }
    }
}

impl<S: Machine, M: Send + 'static> Clone for Handler<S, M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Machine, M: Send + 'static> Copy for Handler<S, M> {}

impl<S: Machine, M: Send + 'static> fmt::Debug for Handler<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<Self>())
    }
}

impl<S: Machine, M: Send + 'static> Behavior for Handler<S, M> {
    type Machine = S;
    type Message = M;

    fn on_message(&self, message: M, machine: Snapshot<'_, Self>) -> Plan<Self> {
        (self.decide)(message, machine)
    }
}
