//! The watchdog: one thread that sees turns which do not end, and gets others to do what waits
//! behind them.
//!
//! ```text
//!            a worker wakes            nothing ran for LINGER
//!   ASLEEP ───────────────▶ TICKING ─────────────────────────▶ ASLEEP
//!                            each tick: a worker in the same turn for `watchdog_stuck`
//!                              and actors in a queue ──▶ wake a sleeper, who steals them
//! ```
//!
//! - D1: it costs an idle system nothing: it sleeps until a worker wakes.
//!
//! What a stuck turn holds still: its own actor, the one in its worker's LIFO slot, what the same
//! batch sent before and has not published, and its worker's timers.

use super::Dispatcher;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::parker::{Parker, Unparker};
use crate::system::Shared;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after the last turn it goes on ticking.
const LINGER: Duration = Duration::from_millis(100);

/// What workers need to wake the watchdog.
pub(crate) struct Watchdog {
    asleep: AtomicBool,
    stopping: AtomicBool,
    unparker: Unparker,
}

/// What the watchdog saw of one worker a tick ago.
#[derive(Clone, Copy, Default)]
struct Seen {
    turns: u64,
    since: Option<Instant>,
    reported: bool,
}

impl Watchdog {
    pub(crate) fn new() -> (Self, Parker) {
        let parker = Parker::new();
        let watchdog = Self {
            asleep: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            unparker: parker.unparker(),
        };
        (watchdog, parker)
    }

    /// Called by a worker that has just woken: a load, and a wake if the watchdog sleeps.
    #[inline]
    pub(crate) fn worker_woke(&self) {
        // The Dekker pattern: the worker is counted as awake, this fence, this load; the watchdog
        // says that it sleeps, fences, and looks whether a worker is awake.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.unparker.unpark();
        }
    }

    /// Ends the watchdog's thread.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.unparker.unpark();
    }

    /// The watchdog's thread.
    pub(crate) fn run(shared: &Arc<Shared>, mut parker: Parker) {
        let this = &shared.watchdog;
        let tick = shared.config.system.watchdog_stuck / 2;
        let mut seen: Vec<Vec<Seen>> = Vec::new();
        let mut active = Instant::now();
        while !this.stopping.load(Ordering::Acquire) {
            let dispatchers = shared.dispatchers();
            seen.resize_with(dispatchers.len(), Vec::new);
            let now = Instant::now();
            for (dispatcher, seen) in dispatchers.iter().zip(&mut seen) {
                seen.resize(dispatcher.stats.len(), Seen::default());
                if !dispatcher.is_quiet() {
                    active = now;
                    Self::check(shared, dispatcher, seen, now);
                }
            }
            if active.elapsed() < LINGER {
                parker.park_timeout(tick);
                continue;
            }
            this.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let all_quiet = dispatchers.iter().all(|dispatcher| dispatcher.is_quiet());
            if all_quiet && !this.stopping.load(Ordering::Acquire) {
                parker.park();
            }
            this.asleep.store(false, Ordering::Relaxed);
            active = Instant::now();
        }
    }

    fn check(shared: &Shared, dispatcher: &Dispatcher, seen: &mut [Seen], now: Instant) {
        let mut stuck = false;
        for (index, seen) in seen.iter_mut().enumerate() {
            let stats = &dispatcher.stats[index];
            let turns = stats.turns.get();
            let since = match seen.since {
                Some(since) if seen.turns == turns && dispatcher.is_awake(index) => since,
                _ => {
                    *seen = Seen {
                        turns,
                        since: Some(now),
                        reported: false,
                    };
                    continue;
                }
            };
            let length = now.duration_since(since);
            stuck |= length >= shared.config.system.watchdog_stuck;
            if length >= shared.config.system.watchdog_warn && !seen.reported {
                seen.reported = true;
                stats.long_turns.add(1);
            }
        }
        if stuck && dispatcher.any_work_waits() {
            dispatcher.wake_one();
        }
    }
}
