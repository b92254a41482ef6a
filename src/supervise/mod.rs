//! Supervision: children whose addresses and mailboxes outlive their crashes.
//!
//! ```text
//!             restart            start hook committed
//!   parked ───────────▶ starting ────────────────────▶ running
//!     ▲  ▲                  │ panic                       │ any end but `stop`'s
//!     │  └──────────────────┘                             │
//!     └───────────────────────────────────────────────────┘
//!     │ end, or the supervisor's own end
//!     ▼
//!   ended: leftovers are dead letters, names free, one `Down`
//! ```
//!
//! A [`Supervisor`] is an ordinary actor, written with [`Plan::supervise`](crate::Plan::supervise),
//! [`Plan::restart`](crate::Plan::restart) and [`Plan::end`](crate::Plan::end), so others can be
//! written too. It waits for nothing: a restart is a timer. Its machine's events tell the whole
//! story; subscribe to them like to any actor's.

mod backoff;
pub(crate) mod ceiling;
pub(crate) mod keeper;
mod spec;
mod strategy;
mod supervisor;

pub use backoff::{Backoff, Intensity};
pub use keeper::{Change, ChildNews};
pub use spec::{ChildSpec, Terms};
pub use strategy::{Decision, Restart, Strategy, decide};
pub use supervisor::{ChildStatus, Children, Supervision, Supervisor, SupervisorMessage};
