//! Circuit breakers: one for each target, which stops sends to one that does not answer.
//!
//! ```text
//!            `failures` in a row,
//!            or `rate` of a window                `reset` has passed
//!   CLOSED ──────────────────────▶ OPEN ───────────────────────────▶ HALF-OPEN
//!     ▲                             ▲                                  │     │
//!     │                             └───────────── one fails ──────────┘     │
//!     └───────────────────────── `successes` in a row, one at a time ────────┘
//! ```
//!
//! - K1: while it is open nothing reaches the target by a delivery that has a breaker.
//! - K2: while it is half-open one delivery at a time is on trial; a trial ends once, with its
//!   outcome or with its sender.

use crate::actor::Address;
use crate::system::Shared;
use hashbrown::HashMap;
use std::time::Duration;

/// When a target counts as failed, and when it is tried again; see
/// [`DeliveryStep::breaker`](crate::DeliveryStep::breaker).
///
/// There is one breaker for each target, whoever sends; each send goes by its own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it; zero counts as one.
    pub failures: u32,
    /// How long it stays open before one send is let through on trial.
    pub reset: Duration,
    /// Trials in a row that close it; zero counts as one.
    pub successes: u32,
    /// The share of failures among the latest that opens it, too.
    pub rate: Option<FailureRate>,
}

impl Breaker {
    /// Opens after 5 failures in a row, for 10 s; one trial closes it.
    pub const DEFAULT: Self = Self {
        failures: 5,
        reset: Duration::from_secs(10),
        successes: 1,
        rate: None,
    };
}

impl Default for Breaker {
    /// [`Breaker::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How many of the latest sends may fail; see [`Breaker::rate`].
///
/// The window slides by an eighth of its length: what it holds is between seven eighths of that
/// length and the whole old. It is one for each target, and begins empty when the breaker closes, or
/// when a send goes by a window of another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// At so many failures of a hundred sends, or more, the breaker opens; zero counts as one.
    pub percent: u8,
    /// Fewer sends than these within the window open nothing; zero counts as one.
    pub least: u32,
    /// The window.
    pub within: Duration,
}

/// Parts of a window; what is in the oldest goes at once.
const SLOTS: usize = 8;

/// The outcomes of the latest sends.
#[derive(Debug)]
struct Window {
    slot_ns: u64,
    /// The slot of the latest outcome, counted from the clock's zero.
    latest: u64,
    /// Delivered and failed.
    slots: [(u32, u32); SLOTS],
}

impl Window {
    fn new(slot_ns: u64, now_ns: u64) -> Self {
        Self {
            slot_ns,
            latest: now_ns / slot_ns,
            slots: [(0, 0); SLOTS],
        }
    }

    /// Lets go of what is too old.
    fn slide(&mut self, now_ns: u64) {
        let now = (now_ns / self.slot_ns).max(self.latest);
        let passed = (now - self.latest).min(SLOTS as u64);
        for slot in now - passed + 1..=now {
            self.slots[slot as usize % SLOTS] = (0, 0);
        }
        self.latest = now;
    }

    fn slot(&mut self) -> &mut (u32, u32) {
        &mut self.slots[self.latest as usize % SLOTS]
    }

    fn exceeds(&self, rate: &FailureRate) -> bool {
        let (delivered, failed) = self.slots.iter().fold((0, 0), |(sent, lost), slot| {
            (sent + u64::from(slot.0), lost + u64::from(slot.1))
        });
        let all = delivered + failed;
        all >= u64::from(rate.least.max(1)) && failed * 100 >= u64::from(rate.percent.max(1)) * all
    }
}

/// What a target's breaker lets through; see [`System::breaker`](crate::System::breaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One send at a time, on trial.
    HalfOpen,
}

/// A breaker's change, for the actor whose send brought it about; see
/// [`DeliveryStep::on_breaker`](crate::DeliveryStep::on_breaker).
///
/// It is an event, too, for whoever subscribes to its type
/// ([`Plan::subscribe_all`](crate::Plan::subscribe_all), [`System::events`](crate::System::events)),
/// as the target's, told when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerChange {
    /// Whose breaker.
    pub target: Address,
    /// What it was before.
    pub from: BreakerState,
    /// What it is now.
    pub to: BreakerState,
}

/// How one send fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    Delivered,
    Failed,
    /// Nobody knows: its sender has ended.
    Lost,
}

/// The breaker of one target.
#[derive(Debug)]
enum Circuit {
    Closed {
        failures: u32,
        /// Once a send went by a rate.
        window: Option<Box<Window>>,
    },
    Open {
        until_ns: u64,
    },
    HalfOpen {
        successes: u32,
        on_trial: bool,
    },
}

impl Circuit {
    const NEW: Self = Self::Closed {
        failures: 0,
        window: None,
    };

    fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether one send may go, and if so, whether it is on trial.
    fn admit(&mut self, now_ns: u64) -> Option<bool> {
        match self {
            Self::Closed { .. } => Some(false),
            Self::Open { until_ns } if now_ns < *until_ns => None,
            Self::Open { .. } => {
                *self = Self::HalfOpen {
                    successes: 0,
                    on_trial: true,
                };
                Some(true)
            }
            Self::HalfOpen { on_trial, .. } => {
                let was_free = !std::mem::replace(on_trial, true);
                was_free.then_some(true)
            }
        }
    }

    /// The window of a rate, as of now.
    fn window<'a>(
        window: &'a mut Option<Box<Window>>,
        rate: &FailureRate,
        now_ns: u64,
    ) -> &'a mut Window {
        let length_ns = u64::try_from(rate.within.as_nanos()).unwrap_or(u64::MAX);
        let slot_ns = (length_ns / SLOTS as u64).max(1);
        if window.as_ref().is_none_or(|it| it.slot_ns != slot_ns) {
            *window = Some(Box::new(Window::new(slot_ns, now_ns)));
        }
        let Some(window) = window else {
            unreachable!("it was made just now");
        };
        window.slide(now_ns);
        window
    }

    /// Takes note of one send's outcome. Those sent before it opened say nothing about the trial.
    fn report(&mut self, limits: &Breaker, trial: bool, report: Report, now_ns: u64) {
        let reset_ns = u64::try_from(limits.reset.as_nanos()).unwrap_or(u64::MAX);
        let opened = Self::Open {
            until_ns: now_ns.saturating_add(reset_ns),
        };
        match (&mut *self, report) {
            (Self::Closed { failures, window }, Report::Failed) => {
                *failures = failures.saturating_add(1);
                let mut is_too_much = *failures >= limits.failures;
                if let Some(rate) = &limits.rate {
                    let window = Self::window(window, rate, now_ns);
                    let lost = &mut window.slot().1;
                    *lost = lost.saturating_add(1);
                    is_too_much |= window.exceeds(rate);
                }
                if is_too_much {
                    *self = opened;
                }
            }
            (Self::Closed { failures, window }, Report::Delivered) => {
                *failures = 0;
                if let Some(rate) = &limits.rate {
                    let delivered = &mut Self::window(window, rate, now_ns).slot().0;
                    *delivered = delivered.saturating_add(1);
                }
            }
            (Self::HalfOpen { .. }, Report::Failed) if trial => *self = opened,
            (
                Self::HalfOpen {
                    successes,
                    on_trial,
                },
                Report::Delivered,
            ) if trial => {
                *on_trial = false;
                *successes += 1;
                if *successes >= limits.successes {
                    *self = Self::NEW;
                }
            }
            (Self::HalfOpen { on_trial, .. }, Report::Lost) if trial => *on_trial = false,
            _ => {}
        }
    }
}

/// The breakers of a system by target; a target without one has never failed.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    by_target: HashMap<Address, Circuit>,
    opened: u64,
    /// At so many those of targets that have ended are looked for.
    sweep_at: usize,
}

/// Breakers that are kept before the first look for those of ended targets.
const SWEEP_FIRST: usize = 64;

impl Circuits {
    /// Calls `act` with the target's breaker; returns its result, and the change if there was one.
    fn change<R>(
        &mut self,
        target: Address,
        act: impl FnOnce(&mut Circuit) -> R,
    ) -> (R, Option<BreakerChange>) {
        let circuit = self.by_target.entry(target).or_insert(Circuit::NEW);
        let from = circuit.state();
        let result = act(circuit);
        let to = circuit.state();
        if matches!(
            circuit,
            Circuit::Closed {
                failures: 0,
                window: None
            }
        ) {
            self.by_target.remove(&target); // as if it had never failed
        }
        self.opened += u64::from(from != to && to == BreakerState::Open);
        let change = BreakerChange { target, from, to };
        (result, (from != to).then_some(change))
    }

    fn sweep(&mut self, lives: impl Fn(Address) -> bool) {
        if self.by_target.len() >= self.sweep_at.max(SWEEP_FIRST) {
            self.by_target.retain(|target, _| lives(*target));
            self.sweep_at = 2 * self.by_target.len();
        }
    }

    /// How often one was opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }
}

impl Shared {
    /// Whether a send may go to `target`, and if so, whether it is on trial.
    pub(crate) fn admit_by_breaker(
        &self,
        target: Address,
        now_ns: u64,
    ) -> (Option<bool>, Option<BreakerChange>) {
        self.circuits()
            .change(target, |circuit| circuit.admit(now_ns))
    }

    /// Takes note of the outcome of a send that was let through.
    pub(crate) fn report_to_breaker(
        &self,
        target: Address,
        limits: &Breaker,
        trial: bool,
        report: Report,
        now_ns: u64,
    ) -> Option<BreakerChange> {
        let mut circuits = self.circuits();
        circuits.sweep(|target| self.cell_of(target).is_some());
        let (_, change) = circuits.change(target, |circuit| {
            circuit.report(limits, trial, report, now_ns);
        });
        change
    }

    /// What the breaker of `target` is, as of now.
    pub(crate) fn breaker(&self, target: Address, now_ns: u64) -> BreakerState {
        match self.circuits().by_target.get(&target) {
            None => BreakerState::Closed,
            // The next send finds it so.
            Some(Circuit::Open { until_ns }) if *until_ns <= now_ns => BreakerState::HalfOpen,
            Some(circuit) => circuit.state(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Address;

    const LIMITS: Breaker = Breaker {
        failures: 2,
        reset: Duration::from_nanos(100),
        successes: 2,
        rate: None,
    };

    #[test]
    fn every_step_between_the_three_states() {
        let mut circuits = Circuits::default();
        let admit = |circuits: &mut Circuits, now_ns| {
            let (admitted, change) = circuits.change(Address::NOBODY, |c| c.admit(now_ns));
            (admitted, change.map(|change| change.to))
        };
        let report = |circuits: &mut Circuits, trial, report, now_ns| {
            let act = |c: &mut Circuit| c.report(&LIMITS, trial, report, now_ns);
            circuits
                .change(Address::NOBODY, act)
                .1
                .map(|change| change.to)
        };
        use BreakerState::{Closed, HalfOpen, Open};
        use Report::{Delivered, Failed, Lost};
        let c = &mut circuits;
        assert_eq!(admit(c, 0), (Some(false), None));
        assert_eq!(report(c, false, Failed, 0), None);
        assert_eq!(report(c, false, Delivered, 0), None, "a success in between");
        assert!(c.by_target.is_empty());
        assert_eq!(report(c, false, Failed, 0), None);
        assert_eq!(report(c, false, Failed, 1), Some(Open));
        assert_eq!(admit(c, 100), (None, None));
        assert_eq!(
            report(c, false, Delivered, 100),
            None,
            "sent before it opened"
        );
        assert_eq!(admit(c, 101), (Some(true), Some(HalfOpen)));
        assert_eq!(admit(c, 101), (None, None), "one on trial at a time");
        assert_eq!(report(c, false, Failed, 102), None, "not the one on trial");
        assert_eq!(report(c, true, Lost, 103), None);
        assert_eq!(admit(c, 104), (Some(true), None));
        assert_eq!(report(c, true, Failed, 110), Some(Open));
        assert_eq!(admit(c, 209), (None, None));
        assert_eq!(admit(c, 210), (Some(true), Some(HalfOpen)));
        assert_eq!(report(c, true, Delivered, 210), None);
        assert_eq!(admit(c, 211), (Some(true), None));
        assert_eq!(report(c, true, Delivered, 212), Some(Closed));
        assert_eq!(c.opened(), 2);
        assert!(c.by_target.is_empty());
    }

    #[test]
    fn a_rate_opens_within_its_window_only() {
        let limits = Breaker {
            failures: u32::MAX,
            rate: Some(FailureRate {
                percent: 50,
                least: 4,
                within: Duration::from_nanos(80),
            }),
            ..LIMITS
        };
        let opens = |outcomes: &[(u64, Report)]| {
            let mut circuit = Circuit::NEW;
            outcomes.iter().position(|(now_ns, outcome)| {
                circuit.report(&limits, false, *outcome, *now_ns);
                circuit.state() == BreakerState::Open
            })
        };
        use Report::{Delivered, Failed, Lost};
        let at = |times: [u64; 4], outcomes: [Report; 4]| {
            let pairs: Vec<_> = times.into_iter().zip(outcomes).collect();
            opens(&pairs)
        };
        let half = [Failed, Delivered, Delivered, Failed];
        assert_eq!(at([0, 10, 20, 30], half), Some(3));
        assert_eq!(at([0, 0, 0, 79], half), Some(3), "within the window");
        assert_eq!(at([0, 0, 0, 80], half), None, "the first three are gone");
        assert_eq!(
            at([0, 40, 50, 80], half),
            None,
            "one is, and three are too few"
        );
        assert_eq!(at([0, 0, 0, 1 << 40], half), None);
        assert_eq!(
            at([0, 0, 0, 0], [Failed, Failed, Failed, Lost]),
            None,
            "too few"
        );
        assert_eq!(
            at([9, 9, 9, 9], [Delivered, Delivered, Delivered, Failed]),
            None
        );
        // Not in a row, and for ever: a third fails.
        let long: Vec<_> = (0..300)
            .map(|n| (n * 7, if n % 3 == 2 { Failed } else { Delivered }))
            .collect();
        assert_eq!(opens(&long), None);
        // A clock that stands, and one that went back, count as now.
        assert_eq!(at([90, 80, 0, 90], half), Some(3));
    }

    #[test]
    fn a_window_is_as_a_list_of_the_latest_has_it() {
        let rate = FailureRate {
            percent: 30,
            least: 5,
            within: Duration::from_nanos(800),
        };
        let mut window = None;
        let mut list: Vec<(u64, bool)> = Vec::new();
        let (mut now_ns, mut random) = (0_u64, 1_u64);
        for _ in 0..20_000 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            now_ns += random >> 57;
            let failed = random >> 40 & 7 < 3;
            let it = Circuit::window(&mut window, &rate, now_ns);
            let slot = it.slot();
            match failed {
                true => slot.1 += 1,
                false => slot.0 += 1,
            }
            list.push((now_ns, failed));
            list.retain(|(at, _)| at / 100 + SLOTS as u64 > now_ns / 100);
            let lost = list.iter().filter(|(_, failed)| *failed).count();
            let exceeds = list.len() >= 5 && lost * 100 >= 30 * list.len();
            assert_eq!(it.exceeds(&rate), exceeds, "at {now_ns}");
        }
    }

    #[test]
    fn breakers_of_ended_targets_are_forgotten() {
        let mut circuits = Circuits::default();
        let target = |cell| Address {
            cell,
            ..Address::NOBODY
        };
        for cell in 0..1_000 {
            circuits.sweep(|target| target.cell % 100 == 0);
            circuits.change(target(cell), |c| {
                c.report(&LIMITS, false, Report::Failed, 0)
            });
        }
        assert!(
            circuits.by_target.len() <= SWEEP_FIRST,
            "{}",
            circuits.by_target.len()
        );
        assert!(circuits.by_target.contains_key(&target(100)));
    }
}
