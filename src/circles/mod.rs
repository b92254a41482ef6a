//! Circles of actors that ask and wait for each other: what one is, and in debug and test builds the
//! search for them.

#[cfg(any(debug_assertions, feature = "testkit"))]
mod find;

use crate::actor::Address;
#[cfg(any(debug_assertions, feature = "testkit"))]
pub(crate) use find::Circles;
use std::fmt;

/// Actors each of which waits for an answer of the next, and the last for one of the first; see
/// [`System::ask_circles`](crate::System::ask_circles).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AskCircle {
    /// Each with the type of its behavior when it asked. One that asks itself is alone.
    pub actors: Vec<(Address, &'static str)>,
}

impl fmt::Display for AskCircle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (address, behavior) in &self.actors {
            write!(f, "actor {address} ({behavior}) asks ")?;
        }
        match self.actors.first() {
            Some((first, _)) => write!(f, "actor {first}"),
            None => f.write_str("nobody"),
        }
    }
}
