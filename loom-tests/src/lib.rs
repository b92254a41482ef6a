//! Loom models of the protocols in `src/sync` of mainspring, and the mutants that they must kill.
//!
//! ```text
//!  src/sync/NAME.rs ◀── drives the shipped code ── tests/NAME.rs    a model: every interleaving
//!         │                                             ▲           within the preemption bound
//!         │ one replacement (mutants.toml)              │
//!         ▼                                             │
//!  target/mutants/…/src/sync/NAME.rs ───── must fail ───┘
//! ```
//!
//! Three commands:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p loom-tests --release --target-dir target/loom
//! cargo run -p loom-tests --bin models     the same, as a job: fails when a file ran no model
//! cargo run -p loom-tests --bin mutants    every mutant must die; --only NAME, --list
//! ```
//!
//! A trap: loom keeps the last access of each atomic to find what to exchange. A thread's load right
//! before its own write takes the place of another's load, and that write and the load are never
//! exchanged. So a counter with one writer reads itself with `sync::load_own`, a loop of
//! compare-exchanges begins with `sync::look`, and each model is searched twice.
//!
//! `LOOM_MAX_PREEMPTIONS` replaces the default bound of two, for the deep tier.

#[cfg(loom)]
mod model;
#[cfg(loom)]
pub use model::{model, model_bound, model_exhaustive};

#[cfg(not(loom))]
pub mod patch;
#[cfg(not(loom))]
pub mod runner;
