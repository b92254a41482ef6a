//! Bugs on purpose, in builds with `--cfg mainspring_planted`: what the kit has to find.

use std::cell::Cell;

/// A bug that is in the runtime's code while a thread wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// An actor that got a message in its last turn of a run is not run again.
    LostWake,
    /// A timer that was canceled while its message was queued is handled.
    CanceledTimer,
    /// A plan that finds no room evolves its machine all the same.
    HalfCommit,
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// From now on this thread's actors have this bug, or none.
pub fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
}

pub(crate) fn has(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}
