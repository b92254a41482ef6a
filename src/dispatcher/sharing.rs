//! Whether workers take short turns off each other: learnt by trying both ways.
//!
//! ```text
//!            measure        settle           measure
//!   one way ─────────▶ rate ──────▶ the other ──────▶ rate ──▶ the better one, 1 ms to 64 ms
//!      ▲                                                          │
//!      └──────────────────────────────────────────────────────────┘
//! ```
//!
//! What a thief gains depends on whom its actors talk to. Strangers are done twice as fast by two
//! workers; a crowd around one actor half as fast, since each message then crosses from one core to
//! the other, which takes longer than the turn. Neither the length of the turns nor that of the
//! queues tells the two apart, but the messages handled in some hundred microseconds do. So while
//! there is a backlog of short turns a dispatcher now and then goes the other way for half a
//! millisecond, and keeps the better one for twice as long as the last time.
//!
//! - S1: what was seen idle or not at all in a trial decides nothing: then workers share.
//! - S2: keeping is for turns that are short and move on. Long ones are shared whatever was learnt, and
//!   so is what waits behind a turn that lasts [`KEPT_STUCK_NS`], if a thief is awake; if none is, the
//!   watchdog finds the turn, has what was learnt forgotten, and wakes one.
//!
//! The two words are hints; nothing rests on when they are seen.

use super::stats::WorkerStats;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::{Mutex, lock};
use std::sync::Arc;

/// Time a message from which actors are worth moving whatever they do: several times what their
/// memory takes to get from one core to the other.
pub(crate) const LONG_NS: u64 = 2_000;
/// What waits behind a turn of this length may be taken, also from a worker that keeps its actors.
pub(crate) const KEPT_STUCK_NS: u64 = 500_000;

/// How long a measurement takes.
const MEASURE_NS: u64 = 400_000;
/// How long after a change nothing is measured: what was taken before has to be done first.
const SETTLE_NS: u64 = 100_000;
const STAY_MIN_NS: u64 = 1_000_000;
const STAY_MAX_NS: u64 = 64_000_000;
/// A step so late was waited for by workers with nothing to do, or with long turns.
const LATE_NS: u64 = 500_000;

/// What one dispatcher has learnt.
#[derive(Debug)]
pub(crate) struct Sharing {
    keeps: AtomicBool,
    /// When the next step is due.
    due_ns: AtomicU64,
    trial: Mutex<Trial>,
}

/// What workers do with a backlog of short turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Others take from it.
    Share,
    /// Each keeps its own.
    Keep,
}

/// What all workers of a dispatcher have done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    messages: u64,
    busy_ns: u64,
}

impl Done {
    pub(crate) fn so_far(workers: &[Arc<WorkerStats>]) -> Self {
        workers.iter().fold(Self::default(), |sum, stats| Self {
            messages: sum.messages + stats.messages.get(),
            busy_ns: sum.busy_ns + stats.busy_ns.get(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Stay,
    Measure,
    Settle,
    /// Measures the other way; the rate of the first was this.
    Try(u64),
}

#[derive(Debug)]
struct Trial {
    way: Way,
    stage: Stage,
    stay_ns: u64,
    due_ns: u64,
    rate: u64,
    from_ns: u64,
    from: Done,
}

impl Sharing {
    pub(crate) fn new() -> Self {
        Self {
            keeps: AtomicBool::new(false),
            due_ns: AtomicU64::new(0),
            trial: Mutex::new(Trial::new()),
        }
    }

    /// Whether workers keep their backlog of short turns now.
    #[inline]
    pub(crate) fn keeps(&self) -> bool {
        self.keeps.load(Relaxed)
    }

    /// A worker has a backlog of short turns; whether it keeps them.
    ///
    /// Two loads, and a lock with a look at all workers' counters when a step is due.
    #[inline]
    pub(crate) fn learn(&self, now_ns: u64, done: impl FnOnce() -> Done) -> bool {
        if now_ns >= self.due_ns.load(Relaxed) {
            self.step(now_ns, done);
        }
        self.keeps()
    }

    /// A turn has not ended for long: what was learnt is of another load.
    #[cold]
    pub(crate) fn forget(&self, now_ns: u64) {
        let mut trial = lock(&self.trial);
        trial.unsure(now_ns);
        self.show(&trial);
    }

    #[cold]
    fn step(&self, now_ns: u64, done: impl FnOnce() -> Done) {
        // Whoever else is at it does the same.
        let Ok(mut trial) = self.trial.try_lock() else {
            return;
        };
        if now_ns >= trial.due_ns {
            trial.step(now_ns, done());
            self.show(&trial);
        }
    }

    fn show(&self, trial: &Trial) {
        self.keeps.store(trial.way == Way::Keep, Relaxed);
        self.due_ns.store(trial.due_ns, Relaxed);
    }
}

impl Trial {
    fn new() -> Self {
        Self {
            way: Way::Share,
            stage: Stage::Stay,
            stay_ns: STAY_MIN_NS,
            due_ns: 0,
            rate: 0,
            from_ns: 0,
            from: Done::default(),
        }
    }

    fn step(&mut self, now_ns: u64, done: Done) {
        if now_ns.saturating_sub(self.due_ns) > LATE_NS {
            return self.unsure(now_ns);
        }
        match self.stage {
            Stage::Stay => self.measure(Stage::Measure, now_ns, done),
            Stage::Measure => match self.rate(now_ns, done) {
                None => self.unsure(now_ns),
                Some(rate) => {
                    self.rate = rate;
                    self.way = self.way.other();
                    self.go_on(Stage::Settle, now_ns + SETTLE_NS);
                }
            },
            Stage::Settle => self.measure(Stage::Try(self.rate), now_ns, done),
            Stage::Try(rate) => match self.rate(now_ns, done) {
                None => self.unsure(now_ns),
                Some(other_rate) => self.choose(now_ns, rate, other_rate),
            },
        }
    }

    /// Takes the better of the way before, with `rate`, and the one tried.
    fn choose(&mut self, now_ns: u64, rate: u64, tried_rate: u64) {
        let (shared, kept) = match self.way {
            Way::Share => (tried_rate, rate),
            Way::Keep => (rate, tried_rate),
        };
        // What makes no difference is shared: it will some time.
        let better = match kept > shared + shared / 8 {
            true => Way::Keep,
            false => Way::Share,
        };
        if better == self.way {
            self.stay_ns = STAY_MIN_NS;
        } else {
            self.stay_ns = (self.stay_ns * 2).min(STAY_MAX_NS);
        }
        self.way = better;
        self.go_on(Stage::Stay, now_ns + self.stay_ns);
    }

    fn unsure(&mut self, now_ns: u64) {
        self.way = Way::Share;
        self.stay_ns = STAY_MIN_NS;
        self.go_on(Stage::Stay, now_ns + self.stay_ns);
    }

    fn measure(&mut self, stage: Stage, now_ns: u64, done: Done) {
        self.from_ns = now_ns;
        self.from = done;
        self.go_on(stage, now_ns + MEASURE_NS);
    }

    fn go_on(&mut self, stage: Stage, due_ns: u64) {
        self.stage = stage;
        self.due_ns = due_ns;
    }

    /// Messages a second since the measurement began; none if not even one worker's time was spent
    /// on them.
    fn rate(&self, now_ns: u64, done: Done) -> Option<u64> {
        let elapsed_ns = now_ns - self.from_ns;
        let busy_ns = done.busy_ns - self.from.busy_ns;
        let messages = done.messages - self.from.messages;
        let was_busy = busy_ns >= elapsed_ns - elapsed_ns / 4;
        was_busy.then(|| messages * 1_000_000_000 / elapsed_ns)
    }
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::Share => Self::Keep,
            Self::Keep => Self::Share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dispatcher whose workers have a backlog all the time; `rate` says how many messages a
    /// microsecond they handle while they keep it, or do not.
    struct Load {
        sharing: Sharing,
        now_ns: u64,
        done: Done,
        /// Microseconds so far in which each kept its own.
        kept_us: u64,
    }

    impl Load {
        fn new() -> Self {
            Self {
                sharing: Sharing::new(),
                now_ns: 1_000_000_000,
                done: Done::default(),
                kept_us: 0,
            }
        }

        fn run(&mut self, ms: u64, rate: impl Fn(bool) -> u64) {
            for _ in 0..ms * 50 {
                self.look(&rate);
            }
        }

        /// 20 microseconds.
        fn look(&mut self, rate: impl Fn(bool) -> u64) {
            self.now_ns += 20_000;
            let keeps = self.sharing.keeps();
            self.done.messages += 20 * rate(keeps);
            self.done.busy_ns += 20_000;
            self.kept_us += 20 * u64::from(keeps);
            let done = self.done;
            let _ = self.sharing.learn(self.now_ns, || done);
        }

        /// The share of the next `ms` in which workers keep their own, in percent.
        fn kept(&mut self, ms: u64, rate: impl Fn(bool) -> u64) -> u64 {
            let before_us = self.kept_us;
            self.run(ms, rate);
            (self.kept_us - before_us) / (10 * ms)
        }
    }

    #[test]
    fn a_load_that_suffers_from_sharing_is_kept_soon_and_nearly_always() {
        let mut load = Load::new();
        let crowd = |keeps| if keeps { 12 } else { 6 };
        load.run(4, crowd);
        assert!(load.kept(500, crowd) >= 97);
    }

    #[test]
    fn a_load_that_gains_is_shared_nearly_always_and_so_is_one_that_makes_no_difference() {
        let mut load = Load::new();
        assert!(load.kept(500, |keeps| if keeps { 6 } else { 12 }) <= 3);
        let mut load = Load::new();
        assert!(load.kept(500, |_| 6) <= 3);
    }

    #[test]
    fn a_load_that_changes_is_seen_within_the_longest_stay() {
        let mut load = Load::new();
        load.run(500, |keeps| if keeps { 12 } else { 6 });
        let strangers = |keeps| if keeps { 6 } else { 12 };
        load.run(70, strangers);
        assert!(load.kept(200, strangers) <= 10);
        let crowd = |keeps| if keeps { 12 } else { 6 };
        load.run(70, crowd);
        assert!(load.kept(200, crowd) >= 90);
    }

    #[test]
    fn after_a_rest_workers_share_again() {
        let mut load = Load::new();
        load.run(500, |keeps| if keeps { 12 } else { 6 });
        assert!(load.sharing.keeps());
        load.now_ns += 200_000_000;
        load.run(1, |keeps| if keeps { 12 } else { 6 });
        assert!(!load.sharing.keeps());
    }

    #[test]
    fn a_turn_that_does_not_end_lets_workers_share_again() {
        let mut load = Load::new();
        load.run(500, |keeps| if keeps { 12 } else { 6 });
        assert!(load.sharing.keeps());
        load.sharing.forget(load.now_ns);
        assert!(!load.sharing.keeps());
    }

    #[test]
    fn bursts_with_longer_rests_between_them_decide_nothing() {
        let mut load = Load::new();
        for look in 0..20_000u64 {
            let crowd = |keeps| if keeps { 12 } else { 6 };
            load.look(crowd);
            if look.is_multiple_of(10) {
                load.now_ns += 400_000; // a rest between bursts of 200 µs
            }
        }
        assert_eq!(load.kept_us, 0);
    }

    #[test]
    fn counters_are_read_only_when_a_step_is_due() {
        let mut load = Load::new();
        load.run(1, |_| 6);
        let mut reads = 0;
        for _ in 0..20 {
            load.now_ns += 1_000;
            let _ = load.sharing.learn(load.now_ns, || {
                reads += 1;
                Done::default()
            });
        }
        assert!(reads <= 1, "{reads}");
    }
}
