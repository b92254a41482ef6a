//! The door under `--cfg mainspring_shuttle`: the whole runtime on shuttle's scheduler, for
//! `shuttle-tests/`.
//!
//! ```text
//!   a thread of the runtime ── is a task of shuttle's; all of them share one thread of the system
//!   an atomic               ── std's, in its place; before each operation another task may run
//!   a lock, a park, a join  ── waits until another task changes what it waits for (`locks.rs`)
//!   the time                ── stands still, a step at each reading, and jumps to the next deadline
//!                              when all tasks wait (`world.rs`)
//! ```
//!
//! Shuttle's own atomics and locks are not used: theirs have other sizes, which the layouts of cells
//! and envelopes do not allow for, and they can't lie in a `static` from one schedule to the next.
//! Of shuttle there are the tasks, the switch from one to another, and the schedulers.
//!
//! - V1: what a task does between two operations that go through the door is one step.
//! - V2: a schedule is its seed's: nothing here looks at the system's time, its threads or addresses.
//! - V3: operations are sequentially consistent whatever order they name. Orders are the models'
//!   business (`loom-tests/`).

mod locks;
mod threads;
mod world;

pub use locks::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
pub use threads::thread;
pub(crate) use threads::thread_local;
pub(crate) use world::point;
pub use world::{abandon, explored, threads, time};

/// Lets another task run; a scheduler that has favorites drops this one from them.
pub fn spin_loop() {
    threads::thread::yield_now();
}
