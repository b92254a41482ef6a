//! From one format to the other, as far as the other can say it.
//!
//! ```text
//!   XState text ─▶ Model ─┐            ┌─▶ words ─▶ SCXML text
//!                         ├─ compare ──┤
//!   SCXML text ──▶ Model ─┘  both laws └─▶ words ─▶ XState text
//! ```
//!
//! What is converted runs as the original does: the same configurations, the same variables, the
//! same log. What would not, or has no words in the other format, is a [`Problem`] with its place,
//! the element, and why; all are listed, and nothing is written. One thing is taken on trust: where
//! a chart's names of events have no parts (`GO`), nobody sends it one that has (`GO.now`), which
//! SCXML would take for the other and XState would not.
//!
//! Actions and guards are those that both can write down: the [vocabulary](super::xstate::vocabulary)
//! in a machine, the small language in a document. `log:TEXT` and `show:x` are `<log>` elements.
//! A name that a machine leaves to its host has no place in a document.

mod differences;
mod scxml;
mod words;
mod xstate;

pub use scxml::to_scxml;
pub use xstate::to_xstate;

use super::check::{Problem, Severity};
use super::model::Place;

/// What the other format cannot say.
fn cannot(place: Place, what: String, why: &str) -> Problem {
    Problem {
        place,
        severity: Severity::Error,
        kind: "convert",
        what,
        instead: why.to_owned(),
    }
}

/// Sorted by place, each once: several laws may refuse one element for one reason.
fn all(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|p| (p.place.line, p.place.column));
    problems.dedup();
    problems
}
