//! How an actor ended, and what its watchers are told.

use super::{Address, Refusal};
use crate::dead_letter::Cause;
use std::fmt;
use std::sync::Arc;

/// Why an actor stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// `stop` or the actor's own plan, without a reason.
    Normal,
    /// The actor's own plan, with a reason.
    Stopped(Arc<str>),
    /// `stop_now`.
    StoppedNow,
    /// `kill`.
    Killed,
    /// The system shut down.
    Shutdown,
    /// A handler, hook or transition panicked; the text is the panic's.
    Panicked(Arc<str>),
    /// The machine refused an event, [and can't go on](Refusal::fatal): a guard or an action of an
    /// XState chart failed, or no state took the failure of what the chart had invoked.
    Failed(Refusal),
    /// The plan of its start hook failed, so it handled no message; the cause says why.
    NotStarted(Cause),
    /// An actor linked to it ended abnormally.
    Linked(Address),
    /// There was no such actor when it was watched.
    Gone,
}

impl Exit {
    /// Whether linked actors live on.
    pub fn is_normal(&self) -> bool {
        matches!(
            self,
            Self::Normal | Self::Stopped(_) | Self::StoppedNow | Self::Shutdown
        )
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("stopped"),
            Self::Stopped(reason) => write!(f, "stopped: {reason}"),
            Self::StoppedNow => f.write_str("stopped at once"),
            Self::Killed => f.write_str("killed"),
            Self::Shutdown => f.write_str("system shut down"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Failed(refusal) => write!(f, "failed: {refusal}"),
            Self::NotStarted(cause) => write!(f, "not started: {cause}"),
            Self::Linked(address) => write!(f, "linked actor {address} ended"),
            Self::Gone => f.write_str("no such actor"),
        }
    }
}

/// The news that a watched actor has ended. It comes after the last message that the actor sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Who ended.
    pub actor: Address,
    /// Why.
    pub exit: Exit,
}
