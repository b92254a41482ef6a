//! The quarantine: messages whose turns panicked again and again, kept until somebody looks.
//!
//! ```text
//!   message ─▶ turn panics ─▶ restart, the same message first ─▶ … ─▶ the last allowed panic
//!                                                                        │
//!             its actor ◀── replay ── quarantine (bounded) ◀─────────────┘ a dead letter tells
//! ```
//!
//! - Q1: a message is in hand, in its actor's mailbox, or here: a replay that is refused leaves it
//!   where it was.
//! - Q2: as many are kept as dead letters are; a newer one takes the place of the oldest.
//! - Q3: no message is dropped under the lock: its drop is user code.

use crate::actor::cell::quietly;
use crate::actor::{Address, Origin};
use crate::envelope::{Kind, Parcel, with_outside_pool};
use crate::sync::inbox::Push;
use crate::sync::{Mutex, lock};
use crate::system::Shared;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What becomes of the message in hand when its turn panics; see
/// [`Behavior::POISON`](crate::Behavior::POISON).
///
/// It needs a copy of each message before its turn: one clone and one envelope, for actors of such
/// behaviors only.
#[derive(Clone, Copy)]
pub struct Poison<M> {
    pub(crate) crashes: u32,
    pub(crate) copy: fn(&M) -> Option<M>,
}

impl<M> Poison<M> {
    /// A message is handled again, first, by the next incarnation; at its `crashes`th panic it goes
    /// to the quarantine. One: at once, without another try.
    ///
    /// Each panic is a restart: a supervisor whose
    /// [`Intensity`](crate::supervise::Intensity) allows fewer of them gives up before.
    pub const fn after(crashes: u32) -> Self
    where
        M: Clone,
    {
        Self::after_with(crashes, |message| Some(message.clone()))
    }

    /// As [`Poison::after`], with a copy of one's own; a message without one, a question with its
    /// [`Reply`](crate::Reply) say, becomes a dead letter at its first panic, as without all this.
    pub const fn after_with(crashes: u32, copy: fn(&M) -> Option<M>) -> Self {
        Self { crashes, copy }
    }
}

impl<M> fmt::Debug for Poison<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poison")
            .field("crashes", &self.crashes)
            .finish_non_exhaustive()
    }
}

/// One message in the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// Names it, in this system only.
    pub id: u64,
    /// Whose turns panicked.
    pub actor: Address,
    /// The message's type.
    pub message: &'static str,
    /// How often, one after the other.
    pub crashes: u32,
    /// The last panic's text.
    pub panic: Arc<str>,
    /// Where the message came from, where `system.origins` is on and it was sent.
    pub origin: Option<Origin>,
}

/// Why a message stays in the quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// None of this id is there; newer ones may have taken its place.
    Unknown,
    /// Its actor's mailbox is full; a later replay may succeed.
    Full,
    /// Its actor has ended; [`Quarantine::take`] gives the message for another.
    Stopped,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no such message is in the quarantine",
            Self::Full => "the actor's mailbox is full",
            Self::Stopped => "the actor has ended",
        })
    }
}

impl std::error::Error for ReplayError {}

type Message = Box<dyn Any + Send>;

/// Sends a message to its actor, or gives it back.
type Replay = fn(&Shared, Address, Message) -> Result<(), (ReplayError, Message)>;

struct Kept {
    entry: Quarantined,
    message: Message,
    send: Replay,
}

/// All of a system's poison messages, oldest first.
#[derive(Default)]
pub(crate) struct Ward {
    kept: Mutex<VecDeque<Kept>>,
    last_id: crate::sync::atomic::AtomicU64,
}

impl Ward {
    /// Drops all of them.
    pub(crate) fn close(&self) {
        let kept = std::mem::take(&mut *lock(&self.kept));
        kept.into_iter().for_each(|kept| quietly(|| drop(kept)));
    }

    fn take(&self, is_it: impl Fn(&Kept) -> bool) -> Option<(usize, Kept)> {
        let mut kept = lock(&self.kept);
        let place = kept.iter().position(is_it)?;
        Some((place, kept.remove(place)?))
    }
}

impl Shared {
    /// Keeps a message; its id is given here.
    pub(crate) fn quarantine<M: Send + 'static>(&self, mut entry: Quarantined, message: M) {
        let capacity = self.config.system.dead_letter_capacity;
        let id = self
            .ward
            .last_id
            .fetch_add(1, crate::sync::atomic::Ordering::Relaxed)
            + 1;
        entry.id = id;
        let kept = Kept {
            entry,
            message: Box::new(message),
            send: send::<M>,
        };
        if capacity == 0 {
            return quietly(|| drop(kept));
        }
        let mut all = lock(&self.ward.kept);
        let oldest = match all.len() >= capacity {
            true => all.pop_front(),
            false => None,
        };
        all.push_back(kept);
        drop(all);
        quietly(|| drop(oldest));
    }
}

fn send<M: Send + 'static>(
    shared: &Shared,
    actor: Address,
    message: Message,
) -> Result<(), (ReplayError, Message)> {
    if shared.cell_of(actor).is_none() {
        return Err((ReplayError::Stopped, message));
    }
    let message = match message.downcast::<M>() {
        Ok(message) => *message,
        Err(message) => return Err((ReplayError::Unknown, message)),
    };
    with_outside_pool(&shared.depot, || {
        let parcel = Parcel::new(Kind::Tell, message);
        parcel.set_cell(actor.cell);
        parcel.set_generation(actor.generation.get());
        shared.try_send(parcel).map_err(|(refused, parcel)| {
            let why = match refused {
                Push::Closed => ReplayError::Stopped,
                _ => ReplayError::Full,
            };
            let message: Message = match parcel.unstamped().try_open::<M>() {
                Ok(message) => Box::new(message),
                Err(_) => unreachable!("the message was put in just now"),
            };
            (why, message)
        })
    })
}

/// A system's quarantine; see [`System::quarantine`](crate::System::quarantine).
///
/// Messages stay in it until they are replayed, taken, or newer ones take their places: as many are
/// kept as dead letters (`system.dead_letter_capacity`). A shutdown drops them.
#[derive(Clone, Copy)]
pub struct Quarantine<'a>(pub(crate) &'a Shared);

impl Quarantine<'_> {
    /// What is in it, oldest first.
    pub fn list(&self) -> Vec<Quarantined> {
        let kept = lock(&self.0.ward.kept);
        kept.iter().map(|kept| kept.entry.clone()).collect()
    }

    /// Sends a message to its actor again, behind what waits there. It is an ordinary message from
    /// outside then: its panics are counted anew.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]: the message stays where it was.
    pub fn replay(&self, id: u64) -> Result<(), ReplayError> {
        let ward = &self.0.ward;
        let taken = ward.take(|kept| kept.entry.id == id);
        let (place, kept) = taken.ok_or(ReplayError::Unknown)?;
        let Kept {
            entry,
            message,
            send,
        } = kept;
        send(self.0, entry.actor, message).map_err(|(why, message)| {
            let mut all = lock(&ward.kept);
            let place = place.min(all.len());
            all.insert(
                place,
                Kept {
                    entry,
                    message,
                    send,
                },
            );
            why
        })
    }

    /// Takes a message out: to look at it, to mend it, or to send it to another actor. Nothing if
    /// there is none of this id, or its type is not `M`; then it stays.
    pub fn take<M: 'static>(&self, id: u64) -> Option<M> {
        let is_it = |kept: &Kept| kept.entry.id == id && kept.message.is::<M>();
        let (_, kept) = self.0.ward.take(is_it)?;
        kept.message.downcast::<M>().ok().map(|message| *message)
    }
}

impl fmt::Debug for Quarantine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
