//! Delays: an actor that ends when its time has passed, and its handle, for threads and tasks.
//!
//! ```text
//!   Inert ──Start──▶ Running ──time──▶ Completed
//!     │                 │
//!     └────Cancel, stop─┴────────────▶ Cancelled
//! ```

use crate::actor::{Behavior, Exit, Machine, Snapshot};
use crate::ask::{AskError, Deferred, Reply};
use crate::handle::{self, Actor, Ask};
use crate::plan::Plan;
use crate::plan::timers::Key;
use crate::sync::oneshot::{Asker, channel};
use crate::system::System;
use crate::system::spawn::SpawnError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How a delay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayOutcome {
    /// All of its time has passed.
    Completed,
    /// It ended before: it was cancelled, its actor or its system ended, or there were as many
    /// timers as `system.max_timers` allows.
    Cancelled,
}

/// What a delay is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayPhase {
    /// It waits for [`DelayMessage::Start`].
    Inert,
    /// It was started; `until` is when it completes, since the system's clock began.
    Running {
        /// When it completes.
        until: Duration,
    },
    /// It is over.
    Ended(DelayOutcome),
}

/// What a delay's actor can be told.
#[non_exhaustive]
pub enum DelayMessage {
    /// The time begins, unless it did before.
    Start,
    /// The delay is over.
    Cancel,
    /// The delay is over; the answer is whether it was running, so that its time had not passed.
    CancelAsk(Reply<bool>),
    /// Answered when the delay is over.
    Wait(Reply<DelayOutcome>),
    /// Answered with the time that is left, none unless it runs.
    Remaining(Reply<Option<Duration>>),
    /// The time has passed: only the delay's own timer can say so.
    Elapsed(Elapsed),
}

/// What only a delay's timer has.
#[derive(Debug)]
pub struct Elapsed(());

impl fmt::Debug for DelayMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "Start",
            Self::Cancel => "Cancel",
            Self::CancelAsk(_) => "CancelAsk",
            Self::Wait(_) => "Wait",
            Self::Remaining(_) => "Remaining",
            Self::Elapsed(_) => "Elapsed",
        })
    }
}

/// What happens to a delay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DelayEvent {
    /// It was started.
    Started {
        /// When it completes, since the system's clock began.
        until: Duration,
    },
    /// It is over.
    Ended(DelayOutcome),
    /// Somebody waits for its end.
    Awaited(Deferred<DelayOutcome>),
}

/// A delay's machine: how long it is, what it is doing, who waits.
///
/// A clone knows nobody who waits.
pub struct DelayMachine {
    length: Duration,
    starts_itself: bool,
    phase: DelayPhase,
    waiting: Vec<Deferred<DelayOutcome>>,
}

impl DelayMachine {
    /// A delay of this length, inert until [`DelayMessage::Start`].
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            starts_itself: false,
            phase: DelayPhase::Inert,
            waiting: Vec::new(),
        }
    }

    /// The same, started by its actor's start.
    pub fn started(mut self) -> Self {
        self.starts_itself = true;
        self
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// What it is doing.
    pub fn phase(&self) -> DelayPhase {
        self.phase
    }

    /// What is left of it at `now`, since the system's clock began; none unless it runs.
    pub fn remaining(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            DelayPhase::Running { until } => Some(until.saturating_sub(now)),
            _ => None,
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.phase, DelayPhase::Running { .. })
    }
}

impl Clone for DelayMachine {
    fn clone(&self) -> Self {
        Self {
            waiting: Vec::new(),
            ..*self
        }
    }
}

impl fmt::Debug for DelayMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayMachine")
            .field("length", &self.length)
            .field("phase", &self.phase)
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl Machine for DelayMachine {
    type Event = DelayEvent;

    fn apply(&mut self, event: DelayEvent) {
        match event {
            DelayEvent::Started { until } => self.phase = DelayPhase::Running { until },
            DelayEvent::Ended(outcome) => self.phase = DelayPhase::Ended(outcome),
            DelayEvent::Awaited(reply) => self.waiting.push(reply),
        }
    }
}

/// The behavior of a delay: an ordinary actor, which can be named, monitored and supervised.
///
/// It ends with its delay, by the reason `completed` or `cancelled`; whoever waits is answered
/// before. As a supervised child it is best transient: then a crash starts it anew, its end does
/// not.
///
/// # Examples
///
/// ```
/// use mainspring::prelude::*;
/// use mainspring::timers::{DelayMachine, DelayMessage, Delaying};
/// use std::time::Duration;
///
/// let system = System::new()?;
/// let delay = system.spawn(Delaying, DelayMachine::new(Duration::from_millis(2)))?;
/// let end = delay.monitor();
/// delay.tell(DelayMessage::Start)?;
/// assert_eq!(end.wait().exit.to_string(), "stopped: completed");
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Delaying;

const TIMER: Key = Key::new(0);

impl Delaying {
    fn start(delay: Snapshot<'_, Self>) -> Plan<Self> {
        let until = delay.now().saturating_add(delay.length);
        Plan::emit(DelayEvent::Started { until }).and(Plan::after(
            TIMER,
            delay.length,
            DelayMessage::Elapsed(Elapsed(())),
        ))
    }

    fn tell_all(delay: Snapshot<'_, Self>, outcome: DelayOutcome) -> Plan<Self> {
        let waiting = delay.waiting.iter();
        let answers = waiting.map(|reply| Plan::reply_deferred(reply, outcome));
        answers.fold(Plan::emit(DelayEvent::Ended(outcome)), Plan::and)
    }

    fn end(delay: Snapshot<'_, Self>, outcome: DelayOutcome) -> Plan<Self> {
        let reason = match outcome {
            DelayOutcome::Completed => "completed",
            DelayOutcome::Cancelled => "cancelled",
        };
        Self::tell_all(delay, outcome).and(Plan::stop_because(reason))
    }
}

impl Behavior for Delaying {
    type Machine = DelayMachine;
    type Message = DelayMessage;

    fn on_start(&self, delay: Snapshot<'_, Self>) -> Plan<Self> {
        if delay.starts_itself {
            Self::start(delay)
        } else {
            Plan::none()
        }
    }

    fn on_message(&self, message: DelayMessage, delay: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            DelayMessage::Start if delay.phase == DelayPhase::Inert => Self::start(delay),
            DelayMessage::Start => Plan::none(),
            DelayMessage::Cancel => Self::end(delay, DelayOutcome::Cancelled),
            DelayMessage::CancelAsk(reply) => Plan::reply(reply, delay.is_running())
                .and(Self::end(delay, DelayOutcome::Cancelled)),
            DelayMessage::Wait(reply) => Plan::emit(DelayEvent::Awaited(reply.defer())),
            DelayMessage::Remaining(reply) => Plan::reply(reply, delay.remaining(delay.now())),
            DelayMessage::Elapsed(Elapsed(())) => Self::end(delay, DelayOutcome::Completed),
        }
    }

    fn on_stop(&self, _: &Exit, delay: Snapshot<'_, Self>) -> Plan<Self> {
        match delay.phase {
            DelayPhase::Ended(_) => Plan::none(),
            _ => Self::tell_all(delay, DelayOutcome::Cancelled),
        }
    }
}

/// A delay's handle, for a thread to wait with or a task of any executor to await.
///
/// Made by [`System::delay`], which starts it, or by [`System::delay_actor`], which does not.
/// Dropping it ends the delay, so nothing is left behind.
///
/// # Cancel safety
///
/// None: dropping it ends the delay.
#[must_use = "dropping a delay ends it"]
pub struct Delay {
    actor: Actor<Delaying>,
    outcome: Asker<Result<DelayOutcome, AskError>>,
}

impl Delay {
    fn new(system: &System, mut machine: DelayMachine) -> Result<Self, SpawnError> {
        let (asker, answerer) = channel();
        machine.waiting.push(Reply::outside(answerer).defer());
        Ok(Self {
            actor: system.spawn(Delaying, machine)?,
            outcome: asker,
        })
    }

    /// Its actor: to be named, monitored, snapshot, or told by other actors.
    pub fn actor(&self) -> &Actor<Delaying> {
        &self.actor
    }

    /// Starts it, unless it was. Returns whether it took the message: not when it is over.
    pub fn start(&self) -> bool {
        self.actor.tell(DelayMessage::Start).is_ok()
    }

    /// Ends it. The answer is whether it was running: false if it was inert; an [`AskError`] if it
    /// was over already, so that one of the two, the time or the cancellation, has won.
    pub fn cancel(&self) -> Ask<bool> {
        self.actor.ask(DelayMessage::CancelAsk)
    }

    /// Stops its actor in order, which ends it as cancelled. Returns whether it lived.
    pub fn stop(&self) -> bool {
        self.actor.stop()
    }

    /// What is left of it; none unless it runs.
    pub fn remaining(&self) -> Ask<Option<Duration>> {
        self.actor.ask(DelayMessage::Remaining)
    }

    /// Waits for its end: spins for up to 50 microseconds, then parks the thread. An inert one is waited
    /// for until somebody starts or cancels it.
    ///
    /// It waits outside of actors only: a turn would keep its worker from others. In a
    /// [stepped](System::stepped) system another thread must run the actors meanwhile.
    pub fn wait(mut self) -> DelayOutcome {
        loop {
            if let Some(outcome) = handle::wait(&mut self.outcome, Duration::MAX) {
                return outcome_of(outcome.unwrap_or(Err(AskError::Dropped)));
            }
        }
    }
}

/// An actor that ended without a word did not complete.
fn outcome_of(outcome: Result<DelayOutcome, AskError>) -> DelayOutcome {
    outcome.unwrap_or(DelayOutcome::Cancelled)
}

impl Future for Delay {
    type Output = DelayOutcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DelayOutcome> {
        let outcome = self.outcome.poll(context);
        outcome.map(|outcome| outcome_of(outcome.unwrap_or(Err(AskError::Dropped))))
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.actor.kill();
    }
}

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delay({})", self.actor.actor().address())
    }
}

impl System {
    /// A delay by the system's clock, which starts at once: [`Delay::wait`] for it, or await it.
    ///
    /// An actor with one timer, so about 200 bytes while it lasts; it is gone when it is over or
    /// the [`Delay`] is dropped.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::timers::DelayOutcome;
    /// use std::time::{Duration, Instant};
    ///
    /// let system = System::new()?;
    /// let start = Instant::now();
    /// let outcome = system.delay(Duration::from_millis(3))?.wait();
    /// assert_eq!(outcome, DelayOutcome::Completed);
    /// assert!(start.elapsed() >= Duration::from_millis(3));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn delay(&self, length: Duration) -> Result<Delay, SpawnError> {
        Delay::new(self, DelayMachine::new(length).started())
    }

    /// A delay that does nothing until it is started.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::timers::DelayOutcome;
    /// use std::time::Duration;
    ///
    /// let (clock, hand) = mainspring::Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let delay = system.delay_actor(Duration::from_secs(5))?;
    /// delay.start();
    /// system.run_until_idle();
    /// hand.advance(Duration::from_secs(2));
    /// let left = delay.remaining();
    /// system.run_until_idle();
    /// assert_eq!(left.wait()?, Some(Duration::from_secs(3)));
    /// let was_running = delay.cancel();
    /// system.run_until_idle();
    /// assert!(was_running.wait()?);
    /// assert_eq!(delay.wait(), DelayOutcome::Cancelled);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn delay_actor(&self, length: Duration) -> Result<Delay, SpawnError> {
        Delay::new(self, DelayMachine::new(length))
    }
}
