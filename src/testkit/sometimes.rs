//! Rare states: a suite says which it means to reach, and fails if it never did.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    /// The markers of the suite that runs on this thread, and whether each was true.
    static MARKERS: RefCell<Option<BTreeMap<String, bool>>> = const { RefCell::new(None) };
}

/// Says that something holds in some run of a simulation; the suite of
/// [`simulate`](crate::testkit::simulate) fails if it came by here and it never did.
///
/// For tests, and for what they run on their thread: behaviors of the simulated system too. A run
/// of one seed (`MAINSPRING_SEED`) need not reach it. A state that no line stands for is named by
/// [`Sim::reaches`](crate::testkit::Sim::reaches). Outside of a simulation nothing happens.
///
/// # Examples
///
/// ```
/// use mainspring::testkit::{self, sometimes};
///
/// testkit::simulate(0..64, |sim| {
///     let drawn = sim.random().below(8);
///     sometimes!(drawn == 7, "the largest number is drawn");
/// });
/// ```
#[macro_export]
#[doc(hidden)] // as `testkit::sometimes`
macro_rules! __mainspring_sometimes {
    ($holds:expr, $name:expr $(,)?) => {
        $crate::testkit::note_sometimes($name, $holds)
    };
}

/// Notes whether the state was reached; what [`sometimes!`](crate::testkit::sometimes) does.
#[doc(hidden)]
pub fn note_sometimes(name: &str, holds: bool) {
    MARKERS.with_borrow_mut(|markers| {
        let Some(markers) = markers else {
            return;
        };
        match markers.get_mut(name) {
            Some(held) => *held |= holds,
            None => drop(markers.insert(name.to_owned(), holds)),
        }
    });
}

/// The markers of one suite, while it runs.
pub(super) struct Suite(());

impl Suite {
    pub(super) fn begin() -> Self {
        MARKERS.set(Some(BTreeMap::new()));
        Self(())
    }

    /// Fails if a marker was never true.
    pub(super) fn end(self, runs: u64) {
        let markers = MARKERS.take().unwrap_or_default();
        let never: Vec<_> = markers.iter().filter(|(_, held)| !**held).collect();
        let never: Vec<_> = never.into_iter().map(|(name, _)| name).collect();
        assert!(never.is_empty(), "never reached in {runs} runs: {never:?}");
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        MARKERS.set(None);
    }
}
