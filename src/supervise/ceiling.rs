//! The ceiling of a system's restarts: beyond it they are put off, never dropped.

use std::collections::VecDeque;

/// Restarts in any one second of a whole system.
pub(crate) const RESTARTS_PER_SECOND: usize = 100;

/// When the latest restarts were let through, in nanoseconds, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ceiling(VecDeque<u64>);

impl Ceiling {
    /// Takes the next free moment for a restart, `now_ns` at the earliest.
    pub(crate) fn take(&mut self, now_ns: u64) -> u64 {
        let mut at_ns = now_ns.max(self.0.back().copied().unwrap_or(0));
        if self.0.len() == RESTARTS_PER_SECOND
            && let Some(oldest) = self.0.pop_front()
        {
            at_ns = at_ns.max(oldest.saturating_add(1_000_000_000));
        }
        self.0.push_back(at_ns);
        at_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_restarts_than_the_ceiling() {
        let mut ceiling = Ceiling::default();
        let times: Vec<u64> = (0..1000).map(|n| ceiling.take(n * 1_000_000)).collect();
        assert_eq!(times[99], 99_000_000);
        assert_eq!(times[100], 1_000_000_000);
        for (n, time) in times.iter().enumerate() {
            let within = times
                .iter()
                .filter(|other| (*time..time + 1_000_000_000).contains(other));
            assert!(within.count() <= RESTARTS_PER_SECOND, "restart {n}");
        }
    }
}
