//! Timers: what arming and canceling cost, and how late the others fire.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mainspring::prelude::*;

use super::super::measure::{Goal, Measure};
use super::super::meter::{Meter, Sample, latencies};
use super::super::setting::Setting;
use super::stage::{Arrival, Stage, Tally};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 1] {
    [&Timing]
}

/// One actor arms timers, cancels every other one, and the others fire.
struct Timing;

/// Timers that one turn arms or cancels.
const BURST: u64 = 64;
/// None fires while the actor still arms and cancels.
const FIRST: Duration = Duration::from_millis(300);
const SPREAD_US: u64 = 250_000;

/// Spread evenly over a quarter of a second, and not in order.
fn delay(timer: u64) -> Duration {
    FIRST + Duration::from_micros(timer.wrapping_mul(7_919_813) % SPREAD_US)
}

impl Workload for Timing {
    fn name(&self) -> &'static str {
        "arm-and-cancel"
    }

    fn group(&self) -> Group {
        Group::Timers
    }

    fn about(&self) -> &'static str {
        "An actor arms timers spread over 250 ms, cancels every other one, and gets the others."
    }

    fn message(&self) -> &'static str {
        "one timer armed"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 200_000,
            quick: 50_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::ArmsPerS
    }

    /// It mostly waits.
    fn warms_up(&self) -> bool {
        false
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![
            Goal::new(Measure::ArmsPerS, 54e6),
            Goal::new(Measure::LateP99Ns, 1.2e6),
        ]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let count = setting.size;
        let arming = Arming {
            usher: stage.usher(),
            count,
        };
        let actor = stage.system.spawn(arming, Timers::new())?;
        let phase = |first: Timer| -> Result<Duration, Wrong> {
            let began = Instant::now();
            stage.expect(1)?;
            actor.tell(first)?;
            stage.wait()?;
            Ok(began.elapsed())
        };
        let fires = count.div_ceil(2);
        let (window, phases) = meter.window(|| {
            let arm = phase(Timer::Arm(0))?;
            let cancel = phase(Timer::Cancel(1))?;
            if arm + cancel >= FIRST {
                let too_slow = format!("arming and canceling took {:?}", arm + cancel);
                return Err(Wrong(format!("{too_slow}; timers fire after {FIRST:?}")));
            }
            stage.expect(1)?;
            let tally = stage.wait()?;
            Ok((arm, cancel, tally))
        });
        let (arm, cancel, tally) = phases?;
        // The even ones, each once.
        let sum = fires * (fires - 1);
        tally.must_be("timers that fired", Tally { count: fires, sum })?;
        // Canceled ones would come last of all.
        std::thread::sleep(Duration::from_millis(3));
        let fired = actor.ask(Timer::Fired).wait()?;
        Wrong::unless_equal("the number of timers that fired", fired.count, fires)?;
        Wrong::unless_equal("timers that fired too early", fired.early, 0)?;
        stage.close()?;
        let late = |quantile| fired.late.value_at_quantile(quantile) as f64;
        let canceled = (count - fires) as f64;
        Ok(window
            .bare_sample()
            .with(Measure::NsPerMessage, arm.as_nanos() as f64 / count as f64)
            .with(Measure::ArmsPerS, count as f64 / arm.as_secs_f64())
            .with(Measure::CancelsPerS, canceled / cancel.as_secs_f64())
            .with(Measure::LateP50Ns, late(0.5))
            .with(Measure::LateP99Ns, late(0.99)))
    }
}

enum Timer {
    /// Arm from this one on.
    Arm(u64),
    /// Cancel from this one on.
    Cancel(u64),
    /// This one fires; it was due then.
    Due(u64, Duration),
    Fired(Reply<Fired>),
}

/// What fired.
struct Fired {
    count: u64,
    early: u64,
    late: Histogram<u64>,
}

struct Timers {
    seen: Tally,
    early: u64,
    late: Histogram<u64>,
}

impl Timers {
    fn new() -> Timers {
        Timers {
            seen: Tally::NOTHING,
            early: 0,
            late: latencies(),
        }
    }
}

/// A timer fired at `now` and was due at `due`, by the system's clock.
struct Rang {
    timer: u64,
    due: Duration,
    now: Duration,
}

impl Machine for Timers {
    type Event = Rang;

    fn apply(&mut self, Rang { timer, due, now }: Rang) {
        self.seen.see(timer);
        match now.checked_sub(due) {
            Some(late) => self.late.saturating_record(late.as_nanos() as u64),
            None => self.early += 1,
        }
    }
}

#[derive(Clone, Copy)]
struct Arming {
    usher: ActorRef<Arrival>,
    count: u64,
}

impl Arming {
    fn done(&self, seen: Tally) -> Plan<Self> {
        Plan::tell(self.usher, Arrival::Done(seen))
    }
}

impl Behavior for Arming {
    type Machine = Timers;
    type Message = Timer;

    fn on_message(&self, message: Timer, timers: Snapshot<Self>) -> Plan<Self> {
        match message {
            Timer::Arm(from) => {
                let to = self.count.min(from + BURST);
                let now = timers.now();
                let burst = (from..to).map(|timer| {
                    let delay = delay(timer);
                    Plan::after(timer, delay, Timer::Due(timer, now + delay))
                });
                burst.fold(Plan::none(), Plan::and).and(match to {
                    _ if to == self.count => self.done(Tally::NOTHING),
                    _ => Plan::tell(timers.me(), Timer::Arm(to)),
                })
            }
            Timer::Cancel(from) => {
                let to = self.count.min(from + 2 * BURST);
                let burst = (from..to).step_by(2).map(Plan::cancel);
                burst.fold(Plan::none(), Plan::and).and(match to {
                    _ if to == self.count => self.done(Tally::NOTHING),
                    _ => Plan::tell(timers.me(), Timer::Cancel(to)),
                })
            }
            Timer::Due(timer, due) => {
                let now = timers.now();
                let plan = Plan::emit(Rang { timer, due, now });
                if timers.seen.count + 1 < self.count.div_ceil(2) {
                    return plan;
                }
                let mut seen = timers.seen;
                seen.see(timer);
                plan.and(self.done(seen))
            }
            Timer::Fired(reply) => {
                let fired = Fired {
                    count: timers.seen.count,
                    early: timers.early,
                    late: timers.late.clone(),
                };
                Plan::reply(reply, fired)
            }
        }
    }
}
