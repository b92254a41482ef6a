//! Time: each worker's timer wheel, and the clock that drives it.
//!
//! ```text
//!   Clock ──now_ns──▶ Resolution ──tick──▶ Wheel ──deadline, payload──▶ worker
//! ```
//!
//! The wheel counts ticks and knows no clock; [`Resolution`] says how long a tick is and rounds so
//! that no timer is early.

mod chunks;
mod resolution;
mod slots;
mod wheel;

pub use crate::sync::clock::{Clock, ManualClock};
pub(crate) use chunks::Chunks;
pub use resolution::Resolution;
pub use wheel::{Advance, Drain, TimerKey, Wheel};
