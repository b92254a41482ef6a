//! Streams of numbers: from one to one, from many to one, from one to many.
//!
//! ```text
//!   source ── go on ──┐             a turn of a source sends a burst of numbers and then tells the
//!     ▲───────────────┘             source to go on; a full mailbox holds the source until there is
//!     └── 0, 1, 2, … ──▶ sink       room, and no worker
//! ```

use std::sync::Arc;

use mainspring::prelude::*;

use super::super::measure::{Goal, Measure};
use super::super::meter::{Meter, Sample};
use super::super::setting::Setting;
use super::stage::{Arrival, Stage, Tally, sum_below};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 3] {
    [&COUNTING, &FAN_IN, &FAN_OUT]
}

/// Every source sends every sink the numbers below a count; the size is how many arrive in all.
struct Streaming {
    name: &'static str,
    about: &'static str,
    sources: u64,
    sinks: u64,
    /// Numbers that a turn of a source sends to each sink.
    burst: u64,
    sizes: Sizes,
    goal_alone: f64,
    goal: f64,
}

static COUNTING: Streaming = Streaming {
    name: "counting",
    about: "One actor streams numbers to another, which adds them up; 64 a turn, and a full \
            mailbox holds the sender.",
    sources: 1,
    sinks: 1,
    burst: 64,
    sizes: Sizes {
        usual: 20_000_000,
        quick: 2_000_000,
    },
    goal_alone: 100e6,
    goal: 100e6,
};

static FAN_IN: Streaming = Streaming {
    name: "fan-in",
    about: "64 actors stream numbers to one, which adds them up; 64 a turn, and a full mailbox \
            holds the sender.",
    sources: 64,
    sinks: 1,
    burst: 64,
    sizes: Sizes {
        usual: 16_000_000,
        quick: 1_600_000,
    },
    goal_alone: 100e6,
    goal: 50e6,
};

static FAN_OUT: Streaming = Streaming {
    name: "fan-out",
    about: "One actor tells each number to 1,000 others, which add them up.",
    sources: 1,
    sinks: 1_000,
    burst: 1,
    sizes: Sizes {
        usual: 16_000_000,
        quick: 1_600_000,
    },
    goal_alone: 80e6,
    goal: 50e6,
};

impl Workload for Streaming {
    fn name(&self) -> &'static str {
        self.name
    }

    fn group(&self) -> Group {
        Group::Messages
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn message(&self) -> &'static str {
        "one number at one receiver"
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn headline(&self) -> Measure {
        Measure::MessagesPerS
    }

    fn goals(&self, workers: usize) -> Vec<Goal> {
        let bound = if workers == 1 {
            self.goal_alone
        } else {
            self.goal
        };
        vec![Goal::new(Measure::MessagesPerS, bound)]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let sinks = (0..self.sinks)
            .map(|_| {
                let sink = Sink {
                    sources: self.sources,
                    seen: Tally::NOTHING,
                };
                let adding = Adding {
                    usher: stage.usher(),
                };
                Ok(stage.system.spawn(adding, sink)?.actor())
            })
            .collect::<Result<Arc<[_]>, Wrong>>()?;
        let count = setting.size.div_ceil(self.sources * self.sinks);
        let sources = (0..self.sources)
            .map(|_| {
                let source = Source {
                    next: 0,
                    sinks: sinks.clone(),
                };
                let sending = Sending {
                    count,
                    burst: self.burst,
                };
                Ok(stage.system.spawn(sending, source)?)
            })
            .collect::<Result<Vec<_>, Wrong>>()?;
        stage.expect(self.sinks)?;
        let (window, tally) = meter.window(|| {
            for source in &sources {
                source.tell(GoOn)?;
            }
            stage.wait()
        });
        let streams = self.sources * self.sinks;
        let expected = Tally {
            count: count * streams,
            sum: sum_below(count).wrapping_mul(streams),
        };
        tally?.must_be("numbers", expected)?;
        stage.close()?;
        Ok(window.sample(expected.count))
    }
}

/// To a source: send the next burst.
struct GoOn;

struct Source {
    next: u64,
    sinks: Arc<[ActorRef<Number>]>,
}

/// So many more were sent.
struct Sent(u64);

impl Machine for Source {
    type Event = Sent;

    fn apply(&mut self, sent: Sent) {
        self.next += sent.0;
    }
}

#[derive(Clone, Copy)]
struct Sending {
    count: u64,
    burst: u64,
}

impl Behavior for Sending {
    type Machine = Source;
    type Message = GoOn;

    fn on_message(&self, _: GoOn, source: Snapshot<Self>) -> Plan<Self> {
        let from = source.next;
        let to = self.count.min(from + self.burst);
        let numbers = (from..to).map(Number::Next);
        let burst = match &*source.sinks {
            [only] => Plan::tell_each(*only, numbers),
            sinks => numbers.fold(Plan::none(), |plan, number| {
                plan.and(Plan::tell_all(sinks, number))
            }),
        };
        let plan = Plan::emit(Sent(to - from)).and(burst);
        if to < self.count {
            plan.and(Plan::tell(source.me(), GoOn))
        } else {
            plan.and(Plan::tell_all(source.sinks.iter(), Number::Last))
        }
    }
}

#[derive(Clone)]
enum Number {
    Next(u64),
    /// A source has sent all of its own.
    Last,
}

struct Sink {
    sources: u64,
    seen: Tally,
}

impl Machine for Sink {
    type Event = Number;

    fn apply(&mut self, number: Number) {
        match number {
            Number::Next(n) => self.seen.see(n),
            Number::Last => self.sources -= 1,
        }
    }
}

#[derive(Clone, Copy)]
struct Adding {
    usher: ActorRef<Arrival>,
}

impl Behavior for Adding {
    type Machine = Sink;
    type Message = Number;

    fn on_message(&self, number: Number, sink: Snapshot<Self>) -> Plan<Self> {
        match number {
            Number::Last if sink.sources == 1 => {
                Plan::emit(number).and(Plan::tell(self.usher, Arrival::Done(sink.seen)))
            }
            _ => Plan::emit(number),
        }
    }
}
