//! Which children an end concerns: a pure function of strategy, restart type and exit.

use crate::Exit;
use std::ops::Range;

/// Which children start anew when one ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one that ended.
    #[default]
    OneForOne,
    /// All.
    OneForAll,
    /// The one that ended and those after it.
    RestForOne,
    /// The one that ended; children that are not restarted leave the list.
    Dynamic,
}

/// After which ends a child starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// After each.
    #[default]
    Permanent,
    /// After abnormal ones: see [`Exit::is_normal`].
    Transient,
    /// Never.
    Temporary,
}

/// What an end leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The child ends for good; the others go on.
    Forget,
    /// These children, by place, stop in reverse and start in order.
    Restart(Range<usize>),
    /// The budget is spent: the supervisor ends.
    Escalate,
}

/// Decides what the end of the child at `place` of `count` leads to; `budget` says whether one
/// more restart is within it.
pub fn decide(
    strategy: Strategy,
    restart: Restart,
    exit: &Exit,
    place: usize,
    count: usize,
    budget: bool,
) -> Decision {
    let restarts = match restart {
        Restart::Permanent => true,
        Restart::Transient => !exit.is_normal(),
        Restart::Temporary => false,
    };
    match (restarts, budget, strategy) {
        (false, ..) => Decision::Forget,
        (true, false, _) => Decision::Escalate,
        (true, true, Strategy::OneForOne | Strategy::Dynamic) => {
            Decision::Restart(place..place + 1)
        }
        (true, true, Strategy::OneForAll) => Decision::Restart(0..count),
        (true, true, Strategy::RestForOne) => Decision::Restart(place..count),
    }
}
