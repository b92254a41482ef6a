//! The watchdog: one thread that sees turns which do not end, and gets others to do what waits
//! behind them.
//!
//! ```text
//!            a worker wakes            nothing ran for LINGER
//!   ASLEEP ───────────────▶ TICKING ─────────────────────────▶ ASLEEP
//!                            each tick, for a worker in the same turn as a tick ago:
//!                              fire its timers
//!                              after `watchdog_stuck`: put what it holds on the injector, and
//!                                wake a sleeper, or give its seat to a spare, if actors wait
//! ```
//!
//! - D1: it costs an idle system nothing: it sleeps until a worker wakes.
//!
//! How it gets at what a worker holds: `core.rs`. Where that can't be done (`lend.rs`) it only
//! wakes sleepers, who steal.

use super::Dispatcher;
use super::core::Visit;
use crate::actor::cell::quietly;
use crate::sync::alarm::Alarm;
use crate::sync::lend;
use crate::sync::parker::Parker;
use crate::sync::time::Instant;
use crate::system::Shared;
use std::sync::Arc;
use std::time::Duration;

/// How long after the last turn it goes on ticking.
const LINGER: Duration = Duration::from_millis(100);

/// What workers need to wake the watchdog.
pub(crate) struct Watchdog(Alarm);

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
        (Self(Alarm::new(&parker)), parker)
    }

    /// Called by a worker that has just woken: a fence and a load, and a wake if the watchdog
    /// sleeps.
    #[inline]
    pub(crate) fn worker_woke(&self) {
        self.0.ring();
    }

    /// Ends the watchdog's thread.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }

    /// The watchdog's thread.
    pub(crate) fn run(shared: &Arc<Shared>, mut parker: Parker) {
        let alarm = &shared.watchdog.0;
        let tick = shared.config.system.watchdog_stuck / 2;
        let mut seen: Vec<Vec<Seen>> = Vec::new();
        let mut active = Instant::now();
        while !alarm.is_stopping() {
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
            alarm.sleep(&mut parker, || {
                dispatchers.iter().all(|dispatcher| dispatcher.is_quiet())
            });
            active = Instant::now();
        }
    }

    fn check(shared: &Arc<Shared>, dispatcher: &Arc<Dispatcher>, seen: &mut [Seen], now: Instant) {
        let mut stuck = false;
        let now_ns = shared.clock().now_ns();
        for (index, seen) in seen.iter_mut().take(dispatcher.threads()).enumerate() {
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
                    stats.seen_ns.set(now_ns);
                    stats.seen_turns.set(turns);
                    continue;
                }
            };
            let length = now.duration_since(since);
            let is_stuck = length >= shared.config.system.watchdog_stuck;
            stuck |= is_stuck;
            // An actor on a thread of its own holds up nobody but itself.
            if !dispatcher.own && lend::can_visit() {
                Self::visit(shared, dispatcher, index, is_stuck);
            }
            if length >= shared.config.system.watchdog_warn && !seen.reported {
                seen.reported = true;
                stats.long_turns.add(1);
            }
        }
        if stuck && dispatcher.any_work_waits() {
            dispatcher.sharing.forget(shared.clock().now_ns());
            dispatcher.wake_one();
        }
    }

    /// Does what waits behind the turn of the thread number `index`, or lets others do it.
    fn visit(shared: &Arc<Shared>, dispatcher: &Arc<Dispatcher>, index: usize, is_stuck: bool) {
        let visit = match is_stuck {
            false => Visit::Timers,
            // A sleeper does as well as a spare.
            true if !dispatcher.all_awake() => Visit::Work,
            true => match dispatcher.find_spare() {
                Ok(()) => Visit::Seat,
                Err(parts) => {
                    if let Some((index, parts)) = parts {
                        // It is there at the next tick. If it can't start, it never will be.
                        let _ = shared.start_worker(dispatcher, index, parts);
                    }
                    Visit::Work
                }
            },
        };
        let now_ns = shared.clock().now_ns();
        let taken = dispatcher.lent.visit(index, |core| {
            core.visited(shared, dispatcher, index, now_ns, visit)
        });
        let Some(taken) = taken else {
            return;
        };
        for number in taken.woken {
            if let Some(cell) = shared.cells.get(number) {
                shared.schedule(number, cell);
            }
        }
        if let Some(seat) = taken.seat {
            dispatcher.give_seat(seat);
        }
        for due in taken.due {
            shared.fire(due);
        }
        for due in taken.cancelled {
            quietly(|| drop(due));
        }
    }
}
