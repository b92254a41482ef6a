//! What a worker lends while it runs code of the user: others may serve it when that code does not
//! come back.
//!
//! ```text
//!   owner                                    visitor (one at a time, under the gate)
//!              lend                                   claim ── the owner keeps it: undone
//!    KEPT ─────────────▶ LENT                NOBODY ─────────▶ CLAIMED
//!     ▲                   │                     ▲                │ lent: looks and takes
//!     │                   │                     │                ▼
//!     ├─ nobody claims ───┤ take back           └──────── NOBODY or NEWS
//!     └─ behind the gate ─┘
//! ```
//!
//! - L1: the owner touches the value only while KEPT, a visitor only while CLAIMED after it saw LENT:
//!   never both.
//! - L2: each sees all that the other wrote before.
//! - L3: the owner hears of a visit that left news, at the end of the loan in which it was.
//!
//! | step       | operation                  | order         | pairs with      | if weaker, the model sees        |
//! |------------|----------------------------|---------------|-----------------|----------------------------------|
//! | lend       | store lent = true          | Release       | claim's load    | a visitor reads what was (L2)    |
//! | take back  | store lent = false, fence, | light fence   | claim           | both touch the value (L1)        |
//! |            | load claimed               | Acquire       | a visit's end   | the owner reads what was (L2)    |
//! | claim      | swap claimed, fence,       | heavy fence   | take back       | both touch the value (L1)        |
//! |            | load lent                  | Acquire       | lend            | a visitor reads what was (L2)    |
//! | visit ends | store claimed              | Release       | take back       | the owner reads what was (L2)    |
//!
//! The owner's store and load and the visitor's are a Dekker pair. The owner takes back after every
//! message and a visitor comes when a turn lasts for milliseconds, so the fences are uneven: the
//! owner's only keeps the compiler from moving the two, and the visitor's has the system put a full
//! one into every thread of the process (`membarrier`, Linux 4.14). A Linux without it has no
//! visits: [`can_visit`]. On other systems both fences are full ones.
//!
//! If the owner's fence is first, the visitor's load sees KEPT, or a later loan, whose end has a
//! fence that is not first. Else the owner's load sees the claim and waits at the gate.
//!
//! Model: `loom-tests/tests/lend.rs`, where both fences are full ones.

use super::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use super::{Mutex, UnsafeCell, lock};
use std::marker::PhantomData;
use std::ptr::NonNull;

const NOBODY: u8 = 0;
const CLAIMED: u8 = 1;
const NEWS: u8 = 2;

/// A value whose owner lends it from time to time.
#[derive(Debug)]
pub struct Lend<T> {
    lent: AtomicBool,
    claimed: AtomicU8,
    gate: Mutex<()>,
    value: UnsafeCell<T>,
    /// The owner is one thread.
    owner: PhantomData<*const ()>,
}

// SAFETY: only the owner's marker says otherwise; it may move as long as it is on one thread.
unsafe impl<T: Send> Send for Lend<T> {}

/// Whether a visit left something for the owner to hear of.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// What was taken or put there concerns the owner.
    News,
    /// Nothing that the owner has to know.
    Nothing,
}

impl<T> Lend<T> {
    /// A value that is kept.
    pub fn new(value: T) -> Self {
        Self {
            lent: AtomicBool::new(false),
            claimed: AtomicU8::new(NOBODY),
            gate: Mutex::new(()),
            value: UnsafeCell::new(value),
            owner: PhantomData,
        }
    }

    /// Whether it is lent now.
    #[inline(always)]
    pub fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Relaxed)
    }

    /// Lets visitors in until [`Lend::take_back`]. The owner holds no reference into the value.
    ///
    /// A store.
    #[inline(always)]
    pub fn lend(&self) {
        // Release: what the owner wrote is a visitor's to see (L2).
        self.lent.store(true, Ordering::Release);
    }

    /// Ends the loan. Waits for the end of a visit, which is short; says whether one left news.
    ///
    /// A store and a load when nobody came.
    #[inline(always)]
    pub fn take_back(&self) -> Left {
        self.lent.store(false, Ordering::Relaxed);
        light_fence();
        // Acquire: what visitors wrote is the owner's to see (L2).
        if self.claimed.load(Ordering::Acquire) == NOBODY {
            Left::Nothing
        } else {
            self.wait()
        }
    }

    #[cold]
    fn wait(&self) -> Left {
        let _gate = lock(&self.gate);
        // Relaxed: only visitors and this change it, all behind the gate.
        match self.claimed.load(Ordering::Relaxed) {
            NOBODY => Left::Nothing,
            // CLAIMED was left by a visit that panicked.
            _ => {
                self.claimed.store(NOBODY, Ordering::Relaxed);
                Left::News
            }
        }
    }

    /// The value, for its owner.
    #[inline(always)]
    pub fn kept(&self) -> &T {
        debug_assert!(!self.is_lent(), "L1: the owner touches it only while kept");
        // SAFETY: L1: it is kept, and visitors touch it only while it is lent; this type is not
        // `Sync`, so the caller is the owner. `lend` is called with no reference out.
        self.value.with(|value| unsafe { &*value })
    }

    /// Lets `look` at the value if it is lent; none when the owner keeps it. Waits for another
    /// visitor. `look` is short: the owner waits for it.
    fn visit<R>(&self, look: impl FnOnce(&T) -> (R, Left)) -> Option<R> {
        let _gate = lock(&self.gate);
        let before = self.claimed.swap(CLAIMED, Ordering::Relaxed);
        let claimed = heavy_fence();
        // Acquire: what the owner wrote before it lent it (L2).
        if !claimed || !self.lent.load(Ordering::Acquire) {
            self.claimed.store(before, Ordering::Release);
            return None;
        }
        // SAFETY: L1: it is lent, and the owner, who wants it back, sees the claim and waits at
        // the gate.
        let (result, left) = self.value.with(|value| look(unsafe { &*value }));
        let after = if left == Left::News { NEWS } else { before };
        // Release: hands over what the visit wrote (L2).
        self.claimed.store(after, Ordering::Release);
        Some(result)
    }
}

/// Where visitors find what is lent: a place for each owner.
#[derive(Debug)]
pub struct Board<T> {
    places: Box<[Mutex<Shown<T>>]>,
}

/// What an owner shows, while it does.
#[derive(Debug)]
struct Shown<T>(Option<NonNull<Lend<T>>>);

// SAFETY: the pointer is used under the place's lock, and only for visits, each of which touches
// the value alone (L1).
unsafe impl<T: Send> Send for Shown<T> {}

impl<T: Send> Board<T> {
    /// A board of `places` empty places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            places: (0..places).map(|_| Mutex::new(Shown(None))).collect(),
        }
    }

    /// Shows `lend` at `place` while `run` runs.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn show<R>(&self, place: usize, lend: &Lend<T>, run: impl FnOnce() -> R) -> R {
        struct Hide<'a, T>(&'a Mutex<Shown<T>>);
        impl<T> Drop for Hide<'_, T> {
            fn drop(&mut self) {
                lock(self.0).0 = None;
            }
        }
        let place = &self.places[place];
        lock(place).0 = Some(NonNull::from(lend));
        let _hide = Hide(place);
        run()
    }

    /// Lets `look` at what is shown at `place`, if it is lent. `look` says whether the owner has to
    /// hear of it, and is short: the owner waits for it.
    ///
    /// Two locks and a fence in every thread of the process: some microseconds.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn visit<R>(&self, place: usize, look: impl FnOnce(&T) -> (R, Left)) -> Option<R> {
        let place = lock(&self.places[place]);
        // SAFETY: shown by `show`, which borrows it until it has emptied the place under the lock.
        let lend = unsafe { place.0?.as_ref() };
        lend.visit(look)
    }
}

/// Whether the visitor's fence is one in every thread, and the owner's none.
const IS_UNEVEN: bool = cfg!(all(
    target_os = "linux",
    not(any(loom, miri, mainspring_shuttle))
));

/// Keeps the owner's load behind its store: the compiler from moving it, where the visitor sees to
/// the rest.
#[inline(always)]
fn light_fence() {
    if IS_UNEVEN {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The visitor's side; `false` where the system can't do the owner's too.
fn heavy_fence() -> bool {
    fence(Ordering::SeqCst);
    !IS_UNEVEN || (can_visit() && membarrier::everywhere())
}

/// Whether this system has what a visit takes.
#[must_use]
pub fn can_visit() -> bool {
    !IS_UNEVEN || membarrier::is_there()
}

#[cfg(all(target_os = "linux", not(any(loom, miri, mainspring_shuttle))))]
mod membarrier {
    use std::sync::OnceLock;

    /// Whether the process is registered for expedited fences.
    pub(super) fn is_there() -> bool {
        static THERE: OnceLock<bool> = OnceLock::new();
        *THERE.get_or_init(|| call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
    }

    pub(super) fn everywhere() -> bool {
        call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }

    fn call(command: libc::c_int) -> bool {
        // SAFETY: the call takes two numbers and touches no memory.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

#[cfg(not(all(target_os = "linux", not(any(loom, miri, mainspring_shuttle)))))]
mod membarrier {
    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn everywhere() -> bool {
        false
    }
}
