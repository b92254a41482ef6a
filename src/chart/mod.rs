//! Statecharts: one kernel, tables made ahead of time, several front ends.
//!
//! A [`Model`] says what a chart is; [`check`](check::check) finds what is wrong with it;
//! [`lower`](lower::lower) makes the [`Table`]; a [`Chart`] runs it, for any number of
//! [`Instance`]s, purely with [`Chart::transition`] or in place with [`Chart::step`]. The module
//! needs nothing else of this crate.

pub mod check;
#[cfg(all(feature = "xstate", feature = "scxml"))]
pub mod conform;
#[cfg(all(feature = "xstate", feature = "scxml"))]
pub mod convert;
pub(crate) mod data;
#[cfg(any(feature = "xstate", feature = "scxml"))]
mod delayed;
pub mod draw;
pub(crate) mod entry;
#[cfg(any(feature = "xstate", feature = "scxml"))]
#[cfg_attr(
    not(feature = "xstate"),
    allow(dead_code, reason = "SCXML alone reads no JSON, only places")
)]
mod json;
mod layout;
pub mod loaded;
pub mod lower;
pub mod model;
pub mod paths;
pub mod run;
#[cfg(feature = "scxml")]
pub mod scxml;
pub mod slots;
pub mod snapshot;
pub mod svg;
pub mod table;
pub mod value;
mod xml;
#[cfg(feature = "xstate")]
pub mod xstate;

pub use loaded::{Loaded, LoadedChart};
pub use model::{Model, Rules};
pub use run::{Ask, Buffers, Chart, Instance, Logic, Scope, Status, StepError, View};
pub use snapshot::{Delay, Receiver, Resume, SavedChild, Snapshot, SnapshotError};
pub use table::{Class, Table};
pub use value::{Effect, Event, Fault, Value};
