//! Asks: one question, exactly one outcome.
//!
//! ```text
//!   asker                                       answerer
//!   plan: ask(to, |reply| Get(reply)) ────────▶ Get(reply)
//!   open asks: 7 ▶ continuation                   plan: reply(reply, value)
//!      ▲                                             │  (or the Reply is dropped)
//!      └──────── Answer 7 | NoAnswer 7 ◀─────────────┘
//! ```
//!
//! An actor that asks keeps the continuation under a number that it never uses again. Whatever
//! comes first takes it out: the answer, its absence, or the time-out. What comes later finds
//! nothing and is dropped. So the outcome is decided in the asker's own turn, without atomics.
//! An asker outside actors waits on a slot of `sync/oneshot.rs`.

use crate::actor::{Address, Origin};
use crate::dispatcher::effects::WheelEntry;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, Parcel};
use crate::sync::oneshot::Answerer;
use crate::sync::thread_local;
use crate::sync::{Arc, Mutex, lock};
use crate::system;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Why an ask ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// No answer came in time.
    Timeout {
        /// How long the asker waited.
        waited: Duration,
    },
    /// The actor stopped before it handled the question, or was not there at all.
    Stopped,
    /// The actor's mailbox was full, or, for one who asks from outside, as many asks wait as the
    /// system allows.
    Refused,
    /// The answerer dropped the [`Reply`] without answering.
    Dropped,
    /// The answerer panicked, or its turn failed.
    Panicked,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { waited } => write!(f, "no answer within {waited:?}"),
            Self::Stopped => f.write_str("the actor asked has stopped"),
            Self::Refused => f.write_str("the mailbox of the actor asked is full"),
            Self::Dropped => f.write_str("the question was dropped unanswered"),
            Self::Panicked => f.write_str("the actor asked panicked"),
        }
    }
}

impl std::error::Error for AskError {}

/// The right to answer one ask with a `T`.
///
/// Answer with [`Plan::reply`](crate::Plan::reply), now or in another actor that gets it in a
/// message; to answer in a later turn, keep [`Reply::defer`] of it in the machine. Dropping it fails
/// the asker at once with [`AskError::Dropped`].
#[must_use = "dropping a reply fails the asker"]
pub struct Reply<T: Send + 'static>(Option<To<T>>);

enum To<T> {
    /// An actor's ask. The answer's envelope is made when there is an answer, mostly of the one
    /// that the question came in.
    Actor {
        asker: Address,
        number: u64,
    },
    Outside(Answerer<Result<T, AskError>>),
}

impl<T: Send + 'static> Reply<T> {
    /// The reply to an actor's ask number `number`.
    #[inline(always)]
    pub(crate) fn to_actor(asker: Address, number: u64) -> Self {
        Self(Some(To::Actor { asker, number }))
    }

    /// The reply to somebody outside.
    pub(crate) fn outside(slot: Answerer<Result<T, AskError>>) -> Self {
        Self(Some(To::Outside(slot)))
    }

    /// A number for the question, of which its asker never makes another: the attempts of a
    /// [`Plan::deliver_acknowledged`](crate::Plan::deliver_acknowledged) have the same. Together with
    /// the asker's address it tells a question that came before from a new one. None for a question
    /// from outside, which is asked once.
    pub fn correlation(&self) -> Option<(Address, u64)> {
        match &self.0 {
            Some(To::Actor { asker, number }) => Some((*asker, *number)),
            _ => None,
        }
    }

    /// Whether the asker has given up by now, so that an answer would be nobody's: one outside
    /// dropped its [`Ask`](crate::Ask) or its time is over, an actor has ended. One that gives up a
    /// moment later is not seen, and nor is an actor whose time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mainspring::prelude::*;
    /// # struct Work(Reply<u64>);
    /// # fn work() -> u64 { 7 }
    /// # #[derive(Clone, Copy)]
    /// # struct Working;
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    /// # impl Behavior for Working {
    /// #     type Machine = Nothing;
    /// #     type Message = Work;
    /// fn on_message(&self, Work(reply): Work, _: Snapshot<Self>) -> Plan<Self> {
    ///     if reply.is_given_up() {
    ///         return Plan::none(); // nobody waits for it any more
    ///     }
    ///     Plan::reply(reply, work())
    /// }
    /// # }
    /// # let system = System::new()?;
    /// # assert_eq!(system.spawn(Working, Nothing)?.ask(Work).wait()?, 7);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn is_given_up(&self) -> bool {
        match &self.0 {
            Some(To::Actor { asker, .. }) => !system::is_alive(*asker),
            Some(To::Outside(slot)) => slot.is_given_up(),
            None => true,
        }
    }

    /// As what a machine can keep and a later plan can answer.
    ///
    /// One allocation.
    pub fn defer(self) -> Deferred<T> {
        Deferred(Arc::new(Mutex::new(Some(self))))
    }

    /// Answers at once, outside of any plan.
    pub(crate) fn answer(mut self, outcome: Result<T, AskError>) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Result<T, AskError>) {
        match self.0.take() {
            Some(To::Actor { asker, number }) => {
                let slot = match outcome {
                    Ok(value) => outcome_for(asker, number, Kind::Answer, value),
                    Err(error) => outcome_for(asker, number, Kind::NoAnswer, error),
                };
                system::send_uncounted(asker.system, slot);
            }
            // The asker may have given up; then the answer is nobody's.
            Some(To::Outside(slot)) => drop(slot.answer(outcome)),
            None => {}
        }
    }

    /// As a plan's step: the answer lies in the slot, or in a closure, until the commit.
    #[inline(always)]
    pub(crate) fn into_step(mut self, value: T) -> Parcel {
        match self.0.take() {
            Some(To::Actor { asker, number }) => outcome_for(asker, number, Kind::Reply, value),
            outside => {
                let reply = Self(outside);
                Parcel::closure::<(), (), _>(Kind::Step, move |()| reply.answer(Ok(value)), [0; 2])
            }
        }
    }
}

impl<T: Send + 'static> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            // Also a handler that panics with the reply in hand says so.
            let error = match LOSS.get() {
                AskError::Dropped if crate::sync::thread::panicking() => AskError::Panicked,
                // The question came too late, for its own asker; one outside has its own clock.
                AskError::Timeout { .. } if matches!(self.0, Some(To::Outside(_))) => {
                    AskError::Dropped
                }
                error => error,
            };
            self.finish(Err(error));
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply<{}>", std::any::type_name::<T>())
    }
}

/// The right to answer one ask, kept in a machine until a later turn answers it.
///
/// A behavior only reads its machine, so it can't move a [`Reply`] out of it; it can give a plan a
/// clone of this. Clones are the same right: the first [`Plan::reply_deferred`] that commits
/// answers, later ones do nothing. When the last clone is dropped unanswered, the asker fails with
/// [`AskError::Dropped`].
///
/// [`Plan::reply_deferred`]: crate::Plan::reply_deferred
#[must_use = "dropping the last clone fails the asker"]
pub struct Deferred<T: Send + 'static>(Arc<Mutex<Option<Reply<T>>>>);

impl<T: Send + 'static> Deferred<T> {
    /// Whether it was answered, or its asker has given up; see [`Reply::is_given_up`].
    pub fn is_given_up(&self) -> bool {
        lock(&self.0).as_ref().is_none_or(Reply::is_given_up)
    }

    /// Answers at once, unless that was done before.
    pub(crate) fn answer(&self, value: T) {
        let reply = lock(&self.0).take();
        if let Some(reply) = reply {
            reply.answer(Ok(value));
        }
    }
}

impl<T: Send + 'static> Clone for Deferred<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deferred<{}>", std::any::type_name::<T>())
    }
}

/// The end of an ask in an envelope for the asker; its note is [number, system].
#[inline(always)]
fn outcome_for<T: Send + 'static>(asker: Address, number: u64, kind: Kind, value: T) -> Parcel {
    let slot = Parcel::with_note(kind, value, [number, u64::from(asker.system)]);
    slot.set_cell(asker.cell);
    slot.set_generation(asker.generation.get());
    slot
}

/// Sends a committed reply step on its way.
#[inline(always)]
pub(crate) fn deliver(worker: &Worker, slot: Parcel) {
    slot.set_kind(Kind::Answer);
    let system = slot.note()[1] as u32;
    if system == worker.system() {
        worker.send_uncounted(slot);
    } else {
        system::send_uncounted(system, slot);
    }
}

/// Ends the ask of a reply step, whose payload is gone, without an answer.
pub(crate) fn fail(slot: Parcel, error: AskError) {
    slot.put(error);
    slot.set_kind(Kind::NoAnswer);
    let system = slot.note()[1] as u32;
    system::send_uncounted(system, slot);
}

thread_local! {
    /// What replies that are dropped now tell their askers.
    static LOSS: Cell<AskError> = const { Cell::new(AskError::Dropped) };
}

/// What replies that are dropped now tell their askers.
pub(crate) fn loss() -> AskError {
    LOSS.get()
}

/// Lets the replies that `run` drops end with `error`.
pub(crate) fn losing<R>(error: AskError, run: impl FnOnce() -> R) -> R {
    struct Restore(AskError);
    impl Drop for Restore {
        fn drop(&mut self) {
            LOSS.set(self.0);
        }
    }
    let _restore = Restore(LOSS.replace(error));
    run()
}

/// An actor's open asks, by number and thereby nearly by deadline.
#[derive(Debug)]
pub(crate) struct Asks {
    open: VecDeque<Open>,
    live: usize,
    /// When the one wheel entry for all of them fires, in nanoseconds; `u64::MAX` if there is none.
    pub(crate) armed_ns: u64,
    /// That entry, or one that has fired.
    pub(crate) entry: Option<WheelEntry>,
}

impl Default for Asks {
    fn default() -> Self {
        Self {
            open: VecDeque::new(),
            live: 0,
            armed_ns: u64::MAX,
            entry: None,
        }
    }
}

#[derive(Debug)]
struct Open {
    number: u64,
    deadline_ns: u64,
    asked_ns: u64,
    continuation: Option<Parcel>,
    /// That of the question, where it is known.
    origin: Option<Box<Origin>>,
}

impl Asks {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Opens one.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        number: u64,
        asked_ns: u64,
        deadline_ns: u64,
        on: Parcel,
        origin: Option<Box<Origin>>,
    ) {
        let ask = Open {
            number,
            deadline_ns,
            asked_ns,
            continuation: Some(on),
            origin,
        };
        if self.open.back().is_none_or(|last| last.number < number) {
            self.open.push_back(ask);
        } else {
            // The numbers of each worker rise; the actor has moved to another one, or a delivery
            // goes on waiting.
            let place = self.open.partition_point(|open| open.number < number);
            match self.open.get_mut(place) {
                Some(ended) if ended.number == number => *ended = ask,
                _ => self.open.insert(place, ask),
            }
        }
        self.live += 1;
    }

    /// Ends one; none if it has ended before.
    #[inline]
    pub(crate) fn remove(&mut self, number: u64) -> Option<Parcel> {
        // Most answers come in the order of the asks, and the oldest ask is always open.
        if self.open.front()?.number == number {
            let continuation = self.open.pop_front()?.continuation?;
            self.live -= 1;
            if self.open.len() > self.live {
                self.tidy();
            }
            return Some(continuation);
        }
        let place = self
            .open
            .binary_search_by_key(&number, |ask| ask.number)
            .ok()?;
        let continuation = self.open[place].continuation.take()?;
        self.live -= 1;
        self.tidy();
        Some(continuation)
    }

    /// Where the question of an open ask came from, if that is known.
    #[cold]
    pub(crate) fn origin(&self, number: u64) -> Option<Origin> {
        let place = self.open.binary_search_by_key(&number, |ask| ask.number);
        self.open.get(place.ok()?)?.origin.as_deref().copied()
    }

    /// How an ask ends whose reply was dropped with a question that came too late at `now_ns`; that
    /// may have been another's question.
    #[cold]
    pub(crate) fn late(&self, number: u64, now_ns: u64) -> Option<AskError> {
        let place = self.open.binary_search_by_key(&number, |ask| ask.number);
        let ask = self.open.get(place.ok()?)?;
        if now_ns < ask.deadline_ns {
            return Some(AskError::Dropped);
        }
        let waited = Duration::from_nanos(now_ns.saturating_sub(ask.asked_ns));
        Some(AskError::Timeout { waited })
    }

    /// Forgets those that have ended: the oldest at once, those behind an open one when they are
    /// more than half.
    pub(crate) fn tidy(&mut self) {
        while self
            .open
            .front()
            .is_some_and(|ask| ask.continuation.is_none())
        {
            self.open.pop_front();
        }
        if self.open.len() > 2 * self.live + 64 {
            self.open.retain(|ask| ask.continuation.is_some());
        }
    }

    /// Ends the next one from `place` on whose time is up at `now_ns`: its continuation, how long it
    /// waited, and where its question came from. The place moves behind it; [`Asks::tidy`] follows the last.
    pub(crate) fn expire(
        &mut self,
        now_ns: u64,
        place: &mut usize,
    ) -> Option<(Parcel, Duration, Option<Box<Origin>>)> {
        let due = |ask: &Open| ask.continuation.is_some() && ask.deadline_ns <= now_ns;
        let found = *place + self.open.iter().skip(*place).position(due)?;
        *place = found + 1;
        let ask = &mut self.open[found];
        let waited = Duration::from_nanos(now_ns.saturating_sub(ask.asked_ns));
        let continuation = ask.continuation.take()?;
        self.live -= 1;
        Some((continuation, waited, ask.origin.take()))
    }

    /// The earliest deadline of those open.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        let open = self.open.iter().filter(|ask| ask.continuation.is_some());
        open.map(|ask| ask.deadline_ns).min()
    }
}
