//! The idle set: who searches for work, who sleeps, and whom a new piece of work wakes.
//!
//! ```text
//!             start_search            sleep                    (again)
//!   ACTIVE ─────────────────▶ SEARCHING ─────▶ ANNOUNCED ──────▶ PARKED
//!     ▲  │                     │  ▲  ▲            │                │
//!     │  └──────── sleep ──────┼──┼──┼───▶ (ANNOUNCED)             │
//!     │                        │  │  └────────────┘                │
//!     └──── found ─────────────┘  │    the re-check saw work       │
//!           the last one wakes    └────────────────────────────────┘
//!           the next                rouse: woken, or its time is up
//! ```
//!
//! The counts are one word, `unparked << 16 | searching`. Sleepers are a list under a mutex, the
//! last to sleep on top (it is warm), and a flag each. The list could be a lock-free stack; a
//! mutex is taken only by whoever parks or really wakes somebody, next to system calls hundreds
//! of times dearer, and it lets a sleeper whose time is up leave from the middle, has no ABA, and
//! moves list and counts together.
//!
//! - I1: work made visible before `wake_one` is looked for by some worker afterwards: it never
//!   waits for the next push.
//! - I2: `unparked == workers - sleepers`, whenever the lock is free. All that leave the list do
//!   so in [`Sleepers::rouse`].
//! - I3: a worker is counted as searching exactly from `start_search` or a wake to `found` or its
//!   next announcement.
//! - I4: while somebody searches no push wakes another (no herd).
//! - I5: work made visible to worker w before `wake_worker(w)` is looked for by w.
//!
//! | step       | operation                 | order         | pairs with | if left out, the model sees |
//! |------------|---------------------------|---------------|------------|-----------------------------|
//! | pusher     | fence, then read counts   | SeqCst fence  | announce   | a stranded push (I1)        |
//! | announce   | change counts, then fence | SeqCst fence  | pusher     | a stranded push (I1)        |
//! | found      | sub SEARCHING, then fence | SeqCst fence  | pusher     | a stranded push (I1)        |
//! | wake w     | fence, then read asleep   | SeqCst fence  | announce   | a stranded message (I5)     |
//! | counts     | fetch_add, fetch_sub      | Relaxed RMW   |            | (load + store: I2, I3)      |
//! | asleep     | store, under the lock     | Relaxed       | the fences |                             |
//!
//! A pusher and a worker that goes to sleep each write first, then fence, then read what the other
//! writes. If the pusher's fence is first, the worker's re-check sees the work. If the worker's is
//! first, the pusher sees it asleep (or no longer searching) and wakes one. A pusher that sees a
//! searcher leaves the work to it: that searcher's own fence is still to come, in `found` or in its
//! announcement, and what it reads after that includes the work.
//!
//! Model: `loom-tests/tests/idle.rs`. Known bugs of this kind: tokio #1788, #4383, #8372.

use super::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use super::look::FirstLook;
use super::parker::{Parker, Unparker};
use super::{Arc, Mutex, MutexGuard, lock};
use std::time::Duration;

/// The most workers of one dispatcher.
pub const WORKERS_MAX: usize = 1024;

const SEARCHING: u32 = 1;
const UNPARKED: u32 = 1 << 16;
const _: () = assert!(WORKERS_MAX < UNPARKED as usize);

/// The idle set of one dispatcher, seen by everybody who makes work.
#[derive(Debug)]
pub struct Idle {
    /// `unparked << 16 | searching`; `unparked` changes only under the lock.
    counts: AtomicU32,
    /// Whether each worker is on the list; changes only under the lock.
    asleep: Box<[AtomicBool]>,
    sleepers: Mutex<Sleepers>,
    unparkers: Box<[Unparker]>,
    searching_max: u32,
}

/// The list of those who sleep, and the only place where they get off it.
#[derive(Debug)]
struct Sleepers(Vec<u16>);

/// One worker's end of the idle set.
#[derive(Debug)]
pub struct Rest {
    idle: Arc<Idle>,
    worker: u16,
    parker: Parker,
    searching: bool,
}

/// How a worker came back from [`Rest::sleep`]; in each case it counts as searching now.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    /// It did not sleep: the re-check saw work.
    Stayed,
    /// Somebody woke it.
    Woken,
    /// Its time was up.
    TimedOut,
}

/// How many workers do what, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Not asleep: running turns or searching.
    pub unparked: usize,
    /// Looking for work to steal.
    pub searching: usize,
}

impl Idle {
    /// An idle set of `workers` workers, all active, and each one's own end in order.
    ///
    /// `searching_max` is how many may search at once; those that are woken come on top.
    ///
    /// # Panics
    ///
    /// When `workers` is not in `1..=WORKERS_MAX`.
    #[must_use]
    pub fn new(workers: usize, searching_max: usize) -> (Arc<Self>, Vec<Rest>) {
        assert!(
            (1..=WORKERS_MAX).contains(&workers),
            "workers: expected 1 to {WORKERS_MAX}, got {workers}"
        );
        let parkers: Vec<Parker> = (0..workers).map(|_| Parker::new()).collect();
        let idle = Arc::new(Self {
            counts: AtomicU32::new(workers as u32 * UNPARKED),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            sleepers: Mutex::new(Sleepers(Vec::with_capacity(workers))),
            unparkers: parkers.iter().map(Parker::unparker).collect(),
            searching_max: searching_max.clamp(1, WORKERS_MAX) as u32,
        });
        let rest = |(worker, parker)| Rest {
            idle: idle.clone(),
            worker: worker as u16,
            parker,
            searching: false,
        };
        let rests = parkers.into_iter().enumerate().map(rest).collect();
        (idle, rests)
    }

    /// Wakes one sleeper for work that the caller has just made visible, unless somebody already
    /// searches or nobody sleeps; whether it woke one.
    ///
    /// A fence and a load when it wakes nobody; else a lock and a system call of several
    /// microseconds. Of the sleepers the last to sleep wakes.
    pub fn wake_one(&self) -> bool {
        // The Dekker pattern of the header: the caller's push, this fence, this load.
        fence(Ordering::SeqCst);
        if !self.needs_waking() {
            return false;
        }
        let mut sleepers = self.lock();
        // Again, as two pushers may have come here for one searcher that is still to start (I4).
        if !self.needs_waking() {
            return false;
        }
        let Some(&last) = sleepers.0.last() else {
            return false;
        };
        sleepers.rouse(self, last);
        drop(sleepers);
        self.unparkers[usize::from(last)].unpark();
        true
    }

    /// Wakes `worker` if it sleeps: for work that only it can do (its timers, its own queue), made
    /// visible before; whether it slept.
    ///
    /// A fence and a load when it does not sleep.
    ///
    /// # Panics
    ///
    /// When there is no such worker.
    pub fn wake_worker(&self, worker: usize) -> bool {
        // As in `wake_one`, against the announcement of this one worker.
        fence(Ordering::SeqCst);
        if !self.asleep[worker].first_look(Ordering::Relaxed) {
            return false;
        }
        let mut sleepers = self.lock();
        if !sleepers.rouse(self, worker as u16) {
            return false;
        }
        drop(sleepers);
        self.unparkers[worker].unpark();
        true
    }

    /// Wakes every sleeper, for news that concerns all (a shutdown, made visible before); how many
    /// there were.
    pub fn wake_all(&self) -> usize {
        // No fence: whoever announces itself after this lock sees the news in its re-check.
        let mut sleepers = self.lock();
        let woken = sleepers.0.clone();
        for &worker in &woken {
            sleepers.rouse(self, worker);
        }
        drop(sleepers);
        for &worker in &woken {
            self.unparkers[usize::from(worker)].unpark();
        }
        woken.len()
    }

    /// Whether `worker` sleeps at this moment.
    ///
    /// # Panics
    ///
    /// When there is no such worker.
    #[must_use]
    pub fn is_asleep(&self, worker: usize) -> bool {
        self.asleep[worker].load(Ordering::Relaxed)
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.unparkers.len()
    }

    /// A snapshot of the counts, both of one moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = self.counts.load(Ordering::Relaxed);
        Counts {
            unparked: (counts / UNPARKED) as usize,
            searching: (counts % UNPARKED) as usize,
        }
    }

    /// Whether nobody searches and somebody sleeps.
    fn needs_waking(&self) -> bool {
        let counts = self.counts();
        counts.searching == 0 && counts.unparked < self.workers()
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        lock(&self.sleepers)
    }
}

impl Sleepers {
    /// Puts `worker` on the list: no longer unparked, and no longer searching if it was.
    fn announce(&mut self, idle: &Idle, worker: u16, searching: bool) {
        let gone = UNPARKED + if searching { SEARCHING } else { 0 };
        self.0.push(worker);
        idle.asleep[usize::from(worker)].store(true, Ordering::Relaxed);
        idle.counts.fetch_sub(gone, Ordering::Relaxed);
        self.check(idle);
    }

    /// Takes `worker` off the list: unparked and searching from now on (I2, I3). The one way off,
    /// for a wake, for time that is up and for a re-check that saw work. `false` when it was not
    /// on the list.
    fn rouse(&mut self, idle: &Idle, worker: u16) -> bool {
        // From the top, where the one to wake usually is.
        let Some(place) = self.0.iter().rposition(|&sleeper| sleeper == worker) else {
            return false;
        };
        self.0.remove(place);
        idle.asleep[usize::from(worker)].store(false, Ordering::Relaxed);
        idle.counts
            .fetch_add(UNPARKED + SEARCHING, Ordering::Relaxed);
        self.check(idle);
        true
    }

    /// I2, and that no more search than are awake.
    fn check(&self, idle: &Idle) {
        let counts = idle.counts();
        let awake = idle.workers() - self.0.len();
        assert_eq!(counts.unparked, awake, "I2: unparked == workers - sleepers");
        assert!(counts.searching <= awake, "I3: searching <= unparked");
    }
}

impl Rest {
    /// This worker's number.
    #[must_use]
    pub fn worker(&self) -> usize {
        usize::from(self.worker)
    }

    /// Begins a search, after the own queues were empty; `false` when enough others search, and
    /// then this worker should sleep. Stays `true` until `found` or `sleep`.
    ///
    /// A load, and one read-modify-write when it begins.
    #[must_use]
    pub fn start_search(&mut self) -> bool {
        if !self.searching {
            // Two at a time may pass: the limit saves cycles and nothing rests on it.
            let counts = self.idle.counts.first_look(Ordering::Relaxed);
            if counts % UNPARKED >= self.idle.searching_max {
                return false;
            }
            self.idle.counts.fetch_add(SEARCHING, Ordering::Relaxed);
            self.searching = true;
        }
        true
    }

    /// Ends the search, as work was found (the caller holds it); when this was the last searcher
    /// and `more_work` says that there is more, wakes the next one. No effect outside a search.
    ///
    /// `more_work` looks at every queue that a push goes to before its `wake_one`: while somebody
    /// searches, pushes wake nobody, and the last to leave stands in for them.
    ///
    /// One read-modify-write; for the last searcher a fence more.
    pub fn found(&mut self, more_work: impl FnOnce() -> bool) {
        if !self.searching {
            return;
        }
        self.searching = false;
        let before = self.idle.counts.fetch_sub(SEARCHING, Ordering::Relaxed);
        if before % UNPARKED == 1 {
            // The Dekker pattern of the header: this change of the counts, this fence, this look.
            fence(Ordering::SeqCst);
            if more_work() {
                self.idle.wake_one();
            }
        }
    }

    /// Sleeps until woken, or for `limit` at most. Afterwards this worker is searching.
    ///
    /// `has_work` is asked once, after all can see that this worker sleeps, and looks at *every*
    /// reason to be awake: all queues, what others left for this worker, the shutdown flag.
    pub fn sleep(&mut self, limit: Option<Duration>, has_work: impl FnOnce() -> bool) -> Slept {
        let searching = std::mem::take(&mut self.searching);
        self.idle
            .lock()
            .announce(&self.idle, self.worker, searching);
        // The Dekker pattern of the header: the announcement, this fence, this look.
        fence(Ordering::SeqCst);
        let slept = if has_work() {
            self.leave(Slept::Stayed)
        } else {
            self.park(limit)
        };
        self.searching = true;
        slept
    }

    /// Parks until off the list.
    fn park(&mut self, limit: Option<Duration>) -> Slept {
        loop {
            match limit {
                None => self.parker.park(),
                Some(limit) => {
                    if !self.parker.park_timeout(limit) {
                        return self.leave(Slept::TimedOut);
                    }
                }
            }
            // A token may be late: left by a wake of an earlier sleep that ended on its own. The
            // list decides; whoever takes us off it leaves a token of its own.
            if !self.is_asleep() {
                return Slept::Woken;
            }
            if limit.is_some() {
                // Rather wake early, this once, than sleep longer than asked.
                return self.leave(Slept::TimedOut);
            }
        }
    }

    /// Takes this worker off the list for `reason`; [`Slept::Woken`] if another did so before.
    fn leave(&self, reason: Slept) -> Slept {
        if self.idle.lock().rouse(&self.idle, self.worker) {
            reason
        } else {
            Slept::Woken
        }
    }

    fn is_asleep(&self) -> bool {
        // Relaxed: `rouse` cleared it before the token that brought us here.
        self.idle.asleep[self.worker()].load(Ordering::Relaxed)
    }
}

impl Drop for Rest {
    /// A searcher that ends hands on: there may be pushes that relied on it.
    fn drop(&mut self) {
        self.found(|| true);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    #[test]
    fn the_last_to_sleep_is_woken_first_and_nobody_while_one_searches() {
        let (idle, rests) = Idle::new(3, 1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        for mut rest in rests {
            let order = order.clone();
            let asleep_before = idle.workers() - idle.counts().unparked;
            threads.push(thread::spawn(move || {
                assert_eq!(rest.sleep(None, || false), Slept::Woken);
                order.lock().expect("no panic").push(rest.worker());
                rest.found(|| true);
            }));
            while idle.workers() - idle.counts().unparked == asleep_before {
                thread::yield_now();
            }
        }
        assert!(idle.wake_one());
        for thread in threads {
            thread.join().expect("each wakes the next");
        }
        assert_eq!(*order.lock().expect("no panic"), [2, 1, 0]);
        let counts = Counts {
            unparked: 3,
            searching: 0,
        };
        assert_eq!(idle.counts(), counts);
    }

    #[test]
    fn every_push_of_several_threads_is_run_to_the_last() {
        const PUSHES: usize = 20_000;
        let (idle, rests) = Idle::new(3, 1);
        let queue = Arc::new(crossbeam_deque::Injector::new());
        let done = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        for mut rest in rests {
            let (queue, done) = (queue.clone(), done.clone());
            threads.push(thread::spawn(move || {
                while done.load(Ordering::Relaxed) < 2 * PUSHES {
                    if queue.steal().success().is_some() {
                        rest.found(|| !queue.is_empty());
                        if done.fetch_add(1, Ordering::Relaxed) + 1 == 2 * PUSHES {
                            rest.idle.wake_all();
                        }
                    } else if queue.is_empty() {
                        let over = || done.load(Ordering::Relaxed) == 2 * PUSHES;
                        let _ = rest.sleep(None, || over() || !queue.is_empty());
                    }
                }
            }));
        }
        for _ in 0..2 {
            let (idle, queue) = (idle.clone(), queue.clone());
            threads.push(thread::spawn(move || {
                for push in 0..PUSHES {
                    queue.push(push);
                    idle.wake_one();
                }
            }));
        }
        for thread in threads {
            thread.join().expect("no assertion fails and nobody hangs");
        }
        assert_eq!(idle.counts().unparked, 3);
    }

    #[test]
    fn time_that_is_up_takes_a_sleeper_off_the_list() {
        let (idle, mut rests) = Idle::new(1, 1);
        let slept = rests[0].sleep(Some(Duration::from_millis(1)), || false);
        assert_eq!(slept, Slept::TimedOut);
        assert_eq!(idle.counts().searching, 1);
        assert!(!idle.wake_worker(0));
    }
}
