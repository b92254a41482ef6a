//! Time for programs: delays, time-outs by key, and where to find the rest.
//!
//! | for | there is |
//! |---|---|
//! | code outside that waits or awaits | [`System::delay`](crate::System::delay) |
//! | a delay that is started, cancelled and looked at | [`System::delay_actor`](crate::System::delay_actor), or the actor by itself: [`Delaying`] |
//! | a message to the actor itself, later or again and again | [`Plan::after`](crate::Plan::after), [`Plan::every`](crate::Plan::every), by [`Key`] |
//! | messages to others, later, by keys of any type | [`System::timeouts`](crate::System::timeouts), [`TimeoutManager`] |
//! | a time-out of one state | a chart's `after` |
//!
//! All of them are timers of an actor: on the workers' wheels, by the system's clock, never early,
//! a tick (1 ms) late at most but for the actor's queue. No timer outlives its actor.

mod delay;
mod timeouts;

pub use crate::plan::timers::{Key, Missed};
pub use crate::sync::clock::{Clock, ManualClock};
pub use delay::{
    Delay, DelayEvent, DelayMachine, DelayMessage, DelayOutcome, DelayPhase, Delaying,
};
pub use timeouts::{TimeoutEvent, TimeoutManager, TimeoutMessage, TimeoutTable, Timeouts};
