//! Schedules of the whole runtime: its dispatcher, workers, watchdog and timers as they are shipped,
//! on a scheduler that a seed decides.
//!
//! ```text
//!   tests/*.rs   a scenario: a system of two or three workers, and what it promises
//!       │ explore
//!       ▼
//!   for each seed: random ─ at each step any task that can run is as likely as another
//!                  PCT    ─ the task of the highest rank runs; at a few steps the running one gets
//!                           the lowest (S. Burckhardt and others, "A randomized scheduler with
//!                           probabilistic guarantees of finding bugs", 2010)
//! ```
//!
//! ```text
//! RUSTFLAGS="--cfg mainspring_shuttle" cargo test -p shuttle-tests --target-dir target/shuttle
//! MAINSPRING_SHUTTLE_SCHEDULES=2000 …     more of each kind, for each scenario
//! MAINSPRING_SHUTTLE_SEED=pct:17 … NAME   one schedule again: what a failure prints
//! ```
//!
//! What a step is, and what time: `src/sync/shuttle/mod.rs`. Why so, and what it does not find:
//! `docs/decisions/017-shuttle.md`.

#[cfg(mainspring_shuttle)]
mod explore;
#[cfg(mainspring_shuttle)]
mod schedule;

#[cfg(mainspring_shuttle)]
pub use explore::{Told, explore, trace};
#[cfg(mainspring_shuttle)]
pub use schedule::{Kind, Seed};
