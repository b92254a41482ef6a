//! The ask slot of an asker outside actors: one answer, one asker, one allocation.
//!
//! ```text
//!                 asker: register                answerer: take the waiter
//!     EMPTY ──────────────────────▶ WAITING ─────────────────────────▶ CALLING
//!      │ │ ◀──── asker: take back ──── │                                │   │
//!      │ │                             │ asker: drop                    │   │
//!      │ └───────── asker: drop ───────┴──────▶ GONE ◀── asker: drop ───┘   │
//!      │                                         │                          │
//!      │ answerer: answer                        │ answerer: answer         │
//!      ▼                                         ▼ (frees the slot)         │
//!   ANSWERED ◀──────────────────────────── answerer: answer ────────────────┘
//!      │ asker: drop (frees the slot)
//! ```
//!
//! The word counts the two references as well: ANSWERED is the answerer's leave, GONE the
//! asker's, and who finds the other gone frees the slot.
//!
//! - S1: exactly one outcome: the asker gets the answer, learns that none will come, or gave up;
//!   an answer that finds the asker gone goes back to the answerer.
//! - S2: the answer cell is the answerer's until ANSWERED, then the asker's.
//! - S3: the waiter cell is the asker's, except in CALLING and GONE: then it is the answerer's.
//! - S4: the step that sets ANSWERED is the answerer's last access to the slot; the waiter it then
//!   calls lies on its own stack.
//! - S5: a waiter registered before ANSWERED is called.
//!
//! | step             | operation                    | order   | pairs with     | if Relaxed, the model sees        |
//! |------------------|------------------------------|---------|----------------|-----------------------------------|
//! | register         | cmpxchg(EMPTY → WAITING)     | Release | call           | a race on the waiter (S3)         |
//! | take back        | cmpxchg(WAITING → EMPTY)     | Relaxed | —              | (already so: the asker's cell)    |
//! | call             | cmpxchg(WAITING → CALLING)   | Acquire | register       | a race on the waiter (S3)         |
//! | answer           | cmpxchg, swap(ANSWERED)      | Release | look           | a race on the answer (S2)         |
//! | look             | load, failed cmpxchg         | Acquire | answer         | a race on the answer (S2)         |
//! | asker: drop      | swap(GONE)                   | AcqRel  | answer         | a race on the freed answer (S2)   |
//! | answer: gone     | failed cmpxchg, swap         | Acquire | asker: drop    | nothing: as in `Arc`, the order   |
//! |                  |                              |         |                | of the last look and the free     |
//!
//! Model: `loom-tests/tests/oneshot.rs`. Known bug of this kind: the notifier touches a slot that
//! the woken thread has freed (rayon-core 1.7.1, 1.9.3).

use super::atomic::{AtomicU8, Ordering};
use super::thread::{self, Thread};
use super::{UnsafeCell, spin_loop};
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, mem};

const EMPTY: u8 = 0;
const WAITING: u8 = 1;
const CALLING: u8 = 2;
const ANSWERED: u8 = 3;
const GONE: u8 = 4;

/// Looks at the slot between two looks at the clock while spinning.
const SPINS_PER_LOOK: u32 = 16;

struct Slot<T> {
    state: AtomicU8,
    /// `None` once answered: dropped without an answer, or taken.
    answer: UnsafeCell<Option<T>>,
    waiter: UnsafeCell<Option<Waiter>>,
    /// Tells the model when a slot is not freed.
    #[cfg(loom)]
    _freed: loom::alloc::Track<()>,
}

impl<T> Slot<T> {
    /// Takes apart what nobody else holds. Through the cells, so that a model sees a race.
    fn into_answer(self) -> Option<T> {
        // SAFETY: the caller is alone with the slot.
        drop(self.waiter.with_mut(|cell| unsafe { (*cell).take() }));
        // SAFETY: as above.
        self.answer.with_mut(|cell| unsafe { (*cell).take() })
    }
}

/// Whom to call when the answer is there.
enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    fn call(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake(),
        }
    }
}

/// The waiting end. Dropping it gives the ask up.
pub struct Asker<T> {
    slot: NonNull<Slot<T>>,
}

/// The answering end. Dropping it tells the asker that no answer will come.
pub struct Answerer<T> {
    slot: NonNull<Slot<T>>,
}

// SAFETY: the two ends pass a `T` from one thread to another, and share nothing else but the slot,
// whose cells have one owner at a time (S2, S3).
unsafe impl<T: Send> Send for Asker<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Answerer<T> {}
// SAFETY: a shared `&Asker` or `&Answerer` has no methods that reach the cells.
unsafe impl<T: Send> Sync for Asker<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Answerer<T> {}

/// No answer will come: the answerer was dropped without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ask was dropped without an answer")
    }
}

impl std::error::Error for Unanswered {}

/// How long [`Asker::wait`] waits, in nanoseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Looks again and again for so long, before it parks the thread.
    pub spin_ns: u64,
    /// Gives up after so long; `None` waits for ever.
    pub limit_ns: Option<u64>,
}

/// A slot and its two ends. One allocation.
#[must_use]
pub fn channel<T>() -> (Asker<T>, Answerer<T>) {
    let slot = Box::new(Slot {
        state: AtomicU8::new(EMPTY),
        answer: UnsafeCell::new(None),
        waiter: UnsafeCell::new(None),
        #[cfg(loom)]
        _freed: loom::alloc::Track::new(()),
    });
    let slot = NonNull::from(Box::leak(slot));
    (Asker { slot }, Answerer { slot })
}

impl<T> Answerer<T> {
    /// Answers, and wakes the asker if it sleeps.
    ///
    /// One read-modify-write when the asker does not sleep; else two and a system call.
    ///
    /// # Errors
    ///
    /// Gives the answer back when the asker has given up.
    pub fn answer(self, answer: T) -> Result<(), T> {
        let left = self.finish(Some(answer));
        left.map_or(Ok(()), Err)
    }

    /// Whether the asker has given up by now; an answer would come back.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        // Relaxed: only a hint; `answer` finds out.
        self.slot().state.load(Ordering::Relaxed) == GONE
    }

    /// Ends this end with `answer`; what comes back found the asker gone.
    fn finish(self, answer: Option<T>) -> Option<T> {
        let end = mem::ManuallyDrop::new(self);
        let slot = end.slot();
        // SAFETY: S2: not yet ANSWERED, so the cell is ours.
        slot.answer.with_mut(|cell| unsafe { *cell = answer });
        // Release: hands the answer over. Acquire on failure: takes over what the other left.
        let mut seen =
            slot.state
                .compare_exchange(EMPTY, ANSWERED, Ordering::Release, Ordering::Acquire);
        // The asker may register and take back its waiter meanwhile, so this can take turns.
        while let Err(WAITING) = seen {
            let called =
                slot.state
                    .compare_exchange(WAITING, CALLING, Ordering::Acquire, Ordering::Acquire);
            if called.is_ok() {
                // SAFETY: S3: CALLING, so the waiter is ours.
                let waiter = slot.waiter.with_mut(|cell| unsafe { (*cell).take() });
                // After this swap the asker may free the slot at any moment (S4).
                let before = slot.state.swap(ANSWERED, Ordering::AcqRel);
                if before == GONE {
                    return end.free();
                }
                if let Some(waiter) = waiter {
                    waiter.call();
                }
                return None;
            }
            seen =
                slot.state
                    .compare_exchange(EMPTY, ANSWERED, Ordering::Release, Ordering::Acquire);
        }
        match seen {
            Ok(_) => None,
            Err(_) => end.free(),
        }
    }

    /// Frees the slot, which the asker has left; what was to be its answer.
    fn free(&self) -> Option<T> {
        // SAFETY: the asker left (GONE) and this end leaves now, so nobody else holds the slot.
        let slot = unsafe { Box::from_raw(self.slot.as_ptr()) };
        slot.into_answer()
    }

    fn slot(&self) -> &Slot<T> {
        // SAFETY: the slot lives until both ends have left, and this one has not.
        unsafe { self.slot.as_ref() }
    }
}

impl<T> Drop for Answerer<T> {
    fn drop(&mut self) {
        let end = Self { slot: self.slot };
        let nothing = end.finish(None);
        debug_assert!(nothing.is_none());
    }
}

impl<T> Asker<T> {
    /// The answer, if it is there; `None` when it is not there yet. One load.
    ///
    /// # Errors
    ///
    /// [`Unanswered`] once the other end was dropped, or after the answer was taken.
    pub fn try_take(&mut self) -> Option<Result<T, Unanswered>> {
        // Acquire: takes the answer over.
        (self.slot().state.load(Ordering::Acquire) == ANSWERED).then(|| self.take())
    }

    /// Waits for the answer: spins, then parks the thread; `None` once the limit has passed.
    ///
    /// `elapsed_ns` tells how long this wait has taken so far, on any clock that goes on while
    /// the thread sleeps. After `None` the ask is still open: wait again, or drop it to give up.
    ///
    /// # Errors
    ///
    /// [`Unanswered`] as soon as the other end is dropped without an answer.
    pub fn wait(
        &mut self,
        patience: Patience,
        mut elapsed_ns: impl FnMut() -> u64,
    ) -> Option<Result<T, Unanswered>> {
        let mut registered = false;
        let mut spins = 0_u32;
        loop {
            if let Some(answer) = self.try_take() {
                return Some(answer);
            }
            spins += 1;
            if !registered && !spins.is_multiple_of(SPINS_PER_LOOK) && patience.spin_ns > 0 {
                spin_loop();
                continue;
            }
            let elapsed = elapsed_ns();
            if patience.limit_ns.is_some_and(|limit| elapsed >= limit) {
                // The waiter may stay: it is called in vain, or replaced by the next wait.
                return None;
            }
            if registered {
                park(patience.limit_ns.map(|limit| limit - elapsed));
            } else if elapsed >= patience.spin_ns {
                // Registered before the next look at the slot, so no answer slips between.
                registered = self.register(Waiter::Thread(thread::current()));
                if !registered {
                    thread::yield_now(); // CALLING: the answerer is one step from the answer
                }
            }
        }
    }

    /// As [`Future::poll`].
    ///
    /// # Errors
    ///
    /// [`Unanswered`] once the other end was dropped without an answer.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Unanswered>> {
        if let Some(answer) = self.try_take() {
            return Poll::Ready(answer);
        }
        if self.register(Waiter::Task(context.waker().clone())) {
            return Poll::Pending;
        }
        if let Some(answer) = self.try_take() {
            return Poll::Ready(answer);
        }
        // CALLING: the answerer has an older waker and is one step from the answer.
        spin_loop();
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Makes `waiter` the one to call; `false` when it is too late, since the answer is there or
    /// one step away.
    fn register(&mut self, waiter: Waiter) -> bool {
        let state = &self.slot().state;
        // An older waiter first comes back. Relaxed: only this end writes the cell.
        let back = state.compare_exchange(WAITING, EMPTY, Ordering::Relaxed, Ordering::Relaxed);
        if let Err(CALLING | ANSWERED) = back {
            return false;
        }
        // SAFETY: S3: EMPTY, and only this end leaves EMPTY for a state in which the cell is not
        // ours.
        let older = self
            .slot()
            .waiter
            .with_mut(|cell| unsafe { (*cell).replace(waiter) });
        drop(older);
        // Release: hands the waiter over.
        state
            .compare_exchange(EMPTY, WAITING, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the answer out; the state is ANSWERED.
    fn take(&mut self) -> Result<T, Unanswered> {
        // SAFETY: S2: ANSWERED, so the cell is ours.
        let answer = self
            .slot()
            .answer
            .with_mut(|cell| unsafe { (*cell).take() });
        answer.ok_or(Unanswered)
    }

    fn slot(&self) -> &Slot<T> {
        // SAFETY: the slot lives until both ends have left, and this one has not.
        unsafe { self.slot.as_ref() }
    }
}

impl<T> Future for Asker<T> {
    type Output = Result<T, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Self::poll(&mut self, context)
    }
}

impl<T> Drop for Asker<T> {
    fn drop(&mut self) {
        // Acquire: after ANSWERED this end frees what the answerer wrote. Release: else the answerer
        // frees the slot, and not before our last look at it.
        if self.slot().state.swap(GONE, Ordering::AcqRel) == ANSWERED {
            // SAFETY: the answerer left (ANSWERED) and this end leaves now.
            let slot = unsafe { Box::from_raw(self.slot.as_ptr()) };
            drop(slot.into_answer());
        }
    }
}

impl<T> fmt::Debug for Asker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Answerer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answerer").finish_non_exhaustive()
    }
}

/// Parks the thread, for `limit_ns` at most.
#[cfg(not(loom))]
fn park(limit_ns: Option<u64>) {
    match limit_ns {
        None => thread::park(),
        Some(limit) => thread::park_timeout(Duration::from_nanos(limit)),
    }
}

/// In a model a limited sleep may end at any moment: at once, and the interleavings do the rest.
#[cfg(loom)]
fn park(limit_ns: Option<u64>) {
    match limit_ns.map(Duration::from_nanos) {
        None => thread::park(),
        Some(_) => thread::yield_now(),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Instant;

    const FOREVER: Patience = Patience {
        spin_ns: 0,
        limit_ns: None,
    };

    fn since() -> impl FnMut() -> u64 {
        let begun = Instant::now();
        move || begun.elapsed().as_nanos() as u64
    }

    #[test]
    fn an_answer_arrives_whether_the_asker_spins_or_sleeps() {
        for spin_ns in [0, 1_000_000_000] {
            let (mut asker, answerer) = channel();
            let other = thread::spawn(move || answerer.answer(7));
            let patience = Patience {
                spin_ns,
                limit_ns: None,
            };
            assert_eq!(asker.wait(patience, since()), Some(Ok(7)));
            assert_eq!(other.join().expect("no panic"), Ok(()));
        }
    }

    #[test]
    fn an_answerer_that_is_dropped_ends_the_wait() {
        let (mut asker, answerer) = channel::<u32>();
        let other = thread::spawn(move || drop(answerer));
        assert_eq!(asker.wait(FOREVER, since()), Some(Err(Unanswered)));
        other.join().expect("no panic");
    }

    #[test]
    fn an_asker_that_gave_up_gives_the_answer_back_to_the_answerer() {
        let (mut asker, answerer) = channel();
        let patience = Patience {
            spin_ns: 0,
            limit_ns: Some(1_000),
        };
        assert_eq!(asker.wait(patience, since()), None);
        drop(asker);
        assert!(answerer.is_given_up());
        assert_eq!(answerer.answer("late"), Err("late"));
    }

    #[test]
    fn every_answer_is_dropped_once() {
        let token = Arc::new(());
        for turn in 0..3 {
            let (mut asker, answerer) = channel();
            answerer.answer(token.clone()).expect("the asker is there");
            if turn > 0 {
                assert!(matches!(asker.try_take(), Some(Ok(_))));
                assert!(matches!(asker.try_take(), Some(Err(Unanswered))));
            }
        }
        assert_eq!(Arc::strong_count(&token), 1);
    }
}
