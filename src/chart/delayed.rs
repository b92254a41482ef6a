//! Delayed events on a virtual clock, for the worlds in which the front ends run charts.
//!
//! D1: what is due is taken by due time, and in the order sent where that is equal.

use super::value::{Event, Name};

/// An event that is on its way between two members of a world.
pub(crate) struct Delayed {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The name by which it can be cancelled.
    pub(crate) id: Option<Name>,
    pub(crate) event: Event,
}

/// The clock, and the events that wait for it.
#[derive(Default)]
pub(crate) struct Delays {
    /// What the clock says.
    pub(crate) now_ms: u64,
    /// How many events were ever sent: the number of the latest.
    sent: u64,
    /// In the order sent.
    waiting: Vec<Waiting>,
}

struct Waiting {
    due_ms: u64,
    number: u64,
    delayed: Delayed,
}

impl Delays {
    /// Sends an event that is due in `delay_ms`; gives its number.
    pub(crate) fn send(&mut self, delay_ms: u64, delayed: Delayed) -> u64 {
        self.sent += 1;
        self.waiting.push(Waiting {
            due_ms: self.now_ms.saturating_add(delay_ms),
            number: self.sent,
            delayed,
        });
        self.sent
    }

    /// Takes the first event that is due by `until_ms` (D1), and moves the clock there. O(events).
    pub(crate) fn take(&mut self, until_ms: u64) -> Option<Delayed> {
        let all = self.waiting.iter().enumerate();
        let due = all.filter(|(_, waiting)| waiting.due_ms <= until_ms);
        // Of equal ones the first.
        let (place, _) = due.min_by_key(|(_, waiting)| waiting.due_ms)?;
        let waiting = self.waiting.remove(place);
        self.now_ms = self.now_ms.max(waiting.due_ms);
        Some(waiting.delayed)
    }

    /// Keeps the events for which `keeps` holds; it is asked with their numbers.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(u64, &Delayed) -> bool) {
        self.waiting
            .retain(|waiting| keeps(waiting.number, &waiting.delayed));
    }

    /// What is to pass until the next event is due.
    #[cfg(feature = "scxml")]
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let due = self.waiting.iter().map(|waiting| waiting.due_ms).min()?;
        Some(due.saturating_sub(self.now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(all: &[(u64, &str)]) -> Delays {
        let mut delays = Delays::default();
        for (delay_ms, name) in all {
            let event = Event::new(*name);
            let [from, to] = [0, 1];
            let id = Some(event.name.clone());
            delays.send(
                *delay_ms,
                Delayed {
                    from,
                    to,
                    id,
                    event,
                },
            );
        }
        delays
    }

    fn taken(delays: &mut Delays, until_ms: u64) -> Vec<(u64, String)> {
        let next = || {
            let delayed = delays.take(until_ms)?;
            Some((delays.now_ms, delayed.event.name.to_string()))
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_is_due_is_taken_by_due_time_and_in_the_order_sent_where_that_is_equal() {
        let mut delays = delays(&[(7, "c"), (5, "a"), (9, "e"), (5, "b"), (7, "d"), (11, "f")]);
        let at = |ms: u64, name: &str| (ms, name.to_owned());
        assert_eq!(taken(&mut delays, 4), []);
        let five = [at(5, "a"), at(5, "b")];
        assert_eq!(taken(&mut delays, 6), five);
        assert_eq!(taken(&mut delays, 9), [at(7, "c"), at(7, "d"), at(9, "e")]);
        assert_eq!(taken(&mut delays, u64::MAX), [at(11, "f")]);
    }

    #[test]
    fn what_is_cancelled_leaves_the_others_in_their_order() {
        let mut delays = delays(&[(3, "a"), (3, "b"), (3, "c"), (3, "d")]);
        delays.retain(|number, delayed| number != 1 && delayed.id.as_deref() != Some("c"));
        let left: Vec<_> = taken(&mut delays, 3).into_iter().map(|(_, n)| n).collect();
        assert_eq!(left, ["b", "d"]);
    }

    #[cfg(feature = "scxml")]
    #[test]
    fn the_next_is_due_in_what_is_left_of_its_delay() {
        let mut delays = delays(&[(8, "b"), (3, "a")]);
        assert_eq!(delays.next_due_ms(), Some(3));
        delays.now_ms = 2;
        assert_eq!(delays.next_due_ms(), Some(1));
        assert_eq!(taken(&mut delays, 5).len(), 1);
        assert_eq!(delays.next_due_ms(), Some(5));
        delays.now_ms = 20;
        assert_eq!(delays.next_due_ms(), Some(0), "it is late");
    }
}
