//! What tests of actors are made with (feature `testkit`).
//!
//! [`Given`] decides one message without a system or a thread: a behavior, a machine and a message
//! give a [`Decided`] plan, whose parts are looked at by type.
//!
//! [`simulate`] runs whole systems: on one thread, in an order and with a time that a seed decides,
//! by the code that runs in production. See [`Sim`]. A [`Probe`] records what it is told, and a
//! [`Script`] stands in for an actor, its faults included.
//!
//! # Examples
//!
//! ```
//! use mainspring::prelude::*;
//! use mainspring::testkit::{self, Given};
//!
//! struct Till { cents: u64 }
//! #[derive(Debug, PartialEq)]
//! struct Sold(u64);
//! impl Machine for Till {
//!     type Event = Sold;
//!     fn apply(&mut self, Sold(cents): Sold) { self.cents += cents }
//! }
//!
//! #[derive(Debug, PartialEq)]
//! struct Take { pieces: u32 }
//! #[derive(Clone, Copy)]
//! struct Selling { stock: ActorRef<Take> }
//! impl Behavior for Selling {
//!     type Machine = Till;
//!     type Message = u64;
//!     fn on_message(&self, cents: u64, _: Snapshot<Self>) -> Plan<Self> {
//!         Plan::emit(Sold(cents)).and(Plan::tell(self.stock, Take { pieces: 1 }))
//!     }
//! }
//!
//! let stock = testkit::address(1);
//! let plan = Given::new(Selling { stock }, &Till { cents: 0 }).message(250);
//! assert_eq!(plan.events(), [&Sold(250)]);
//! assert_eq!(plan.told(stock), [&Take { pieces: 1 }]);
//! plan.nothing_else();
//! ```

mod decided;
mod fault;
pub(crate) mod hook;
#[cfg(mainspring_planted)]
pub(crate) mod planted;
mod probe;
mod random;
mod shrink;
mod sim;
mod simulate;
mod sometimes;
mod trace;

#[doc(inline)]
pub use crate::__mainspring_sometimes as sometimes;
pub use decided::{Armed, Decided, Delivered, Given, address, reply};
pub use fault::Fault;
#[cfg(mainspring_planted)]
#[doc(hidden)]
pub use planted::{Planted, plant};
pub use probe::{Acting, Lines, Probe, Script};
pub use random::Random;
pub use sim::{Exploration, Sim};
pub use simulate::{simulate, simulate_by, simulate_with};
#[doc(hidden)]
pub use sometimes::note_sometimes;
pub use trace::{Diagram, Heard, Ran};
