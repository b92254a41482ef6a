//! Asks: from a thread outside and from an actor, one after the other and at a fixed rate.
//!
//! ```text
//!   closed loop   ask ─▶ answer, ask ─▶ answer, …            latency from the ask
//!   open loop     due   due   due   due   due                latency from the time it was due
//!                 │ask ─▶ answer (slow) ask ─▶ answer …      also when the one before was late
//! ```
//!
//! An open loop counts what a slow answer costs all those behind it, which a closed one does not
//! see ("coordinated omission", as Gil Tene calls it).

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mainspring::prelude::*;

use super::super::measure::{Goal, Measure};
use super::super::meter::{Meter, Sample, latencies};
use super::super::setting::Setting;
use super::stage::{Arrival, Nothing, Stage, Tally, sum_below};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 4] {
    [&OUTSIDE, &OUTSIDE_OPEN, &INSIDE, &INSIDE_OPEN]
}

/// From outside, an ask every so often when the loop is open. Above the time that a worker spins,
/// so that this is what an ask of a system at rest costs.
const OUTSIDE_EVERY: Duration = Duration::from_micros(100);
/// From inside: about a tenth of what the runtime can do.
const INSIDE_EVERY: Duration = Duration::from_micros(2);

/// Asks one actor for the number after the one given.
struct Asking {
    name: &'static str,
    about: &'static str,
    run: fn(&Asking, &Setting, &mut Meter) -> Result<Sample, Wrong>,
    sizes: Sizes,
    goals: &'static [Goal],
}

static OUTSIDE: Asking = Asking {
    name: "ask-outside",
    about: "A thread outside asks an actor, one ask after the other.",
    run: Asking::outside,
    sizes: Sizes {
        usual: 100_000,
        quick: 10_000,
    },
    goals: &[
        Goal::new(Measure::P50Ns, 800.0),
        Goal::new(Measure::P99Ns, 15_000.0),
    ],
};

static OUTSIDE_OPEN: Asking = Asking {
    name: "ask-outside-open",
    about: "A thread outside asks an actor every 100 µs; latency counts from when the ask was due.",
    run: Asking::outside_open,
    sizes: Sizes {
        usual: 5_000,
        quick: 800,
    },
    goals: &[],
};

static INSIDE: Asking = Asking {
    name: "ask-inside",
    about: "An actor asks another, one ask after the other; one reading of the clock an ask is \
            part of the latency, and not of the time a message.",
    run: Asking::inside,
    sizes: Sizes {
        usual: 2_000_000,
        quick: 200_000,
    },
    goals: &[
        Goal::new(Measure::P50Ns, 33.0),
        Goal::new(Measure::P99Ns, 107.0),
    ],
};

static INSIDE_OPEN: Asking = Asking {
    name: "ask-inside-open",
    about: "An actor asks another every 2 µs; latency counts from when the ask was due.",
    run: Asking::inside_open,
    sizes: Sizes {
        usual: 200_000,
        quick: 30_000,
    },
    goals: &[],
};

impl Workload for Asking {
    fn name(&self) -> &'static str {
        self.name
    }

    fn group(&self) -> Group {
        Group::Asking
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn message(&self) -> &'static str {
        "one ask with its answer"
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn headline(&self) -> Measure {
        Measure::P50Ns
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        self.goals.to_vec()
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        (self.run)(self, setting, meter)
    }
}

impl Asking {
    fn outside(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let answerer = stage.system.spawn(Answering, Nothing)?;
        let mut times = latencies();
        let (window, answers) = meter.window(|| {
            let mut answers = Tally::NOTHING;
            let mut last = Instant::now();
            for number in 0..setting.size {
                answers.see(answerer.ask(|reply| Next(number, reply)).wait()?);
                let now = Instant::now();
                times.saturating_record(nanoseconds(now - last));
                last = now;
            }
            Ok::<_, Wrong>(answers)
        });
        answers?.must_be("answers", all_answers(setting.size))?;
        stage.close()?;
        Ok(window.sample(setting.size).with_latencies(&times))
    }

    fn outside_open(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let answerer = stage.system.spawn(Answering, Nothing)?;
        let mut times = latencies();
        let (window, answers) = meter.window(|| {
            let mut answers = Tally::NOTHING;
            let mut due = Instant::now();
            for number in 0..setting.size {
                due += OUTSIDE_EVERY;
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
                answers.see(answerer.ask(|reply| Next(number, reply)).wait()?);
                times.saturating_record(nanoseconds(due.elapsed()));
            }
            Ok::<_, Wrong>(answers)
        });
        answers?.must_be("answers", all_answers(setting.size))?;
        stage.close()?;
        Ok(window.bare_sample().with_latencies(&times))
    }

    fn inside(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let answerer = stage.system.spawn(Answering, Nothing)?;
        let questioning = Questioning {
            answerer: answerer.actor(),
            usher: stage.usher(),
            count: setting.size,
            pace: Pace::Untimed,
        };
        let untimed = stage.system.spawn(questioning, Questions::new())?;
        let questioning = Questioning {
            pace: Pace::Closed,
            ..questioning
        };
        let timed = stage.system.spawn(questioning, Questions::new())?;
        let (window, tally) = meter.window(|| play(&stage, &untimed));
        tally?.must_be("answers", all_answers(setting.size))?;
        play(&stage, &timed)?.must_be("timed answers", all_answers(setting.size))?;
        let times = timed.ask(Question::Times).wait()?;
        Wrong::unless_equal("the number of latencies", times.len(), setting.size)?;
        stage.close()?;
        Ok(window.sample(setting.size).with_latencies(&times))
    }

    fn inside_open(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let answerer = stage.system.spawn(Answering, Nothing)?;
        let questioning = Questioning {
            answerer: answerer.actor(),
            usher: stage.usher(),
            count: setting.size,
            pace: Pace::Open,
        };
        let asker = stage.system.spawn(questioning, Questions::new())?;
        let (window, tally) = meter.window(|| play(&stage, &asker));
        tally?.must_be("answers", all_answers(setting.size))?;
        let times = asker.ask(Question::Times).wait()?;
        Wrong::unless_equal("the number of latencies", times.len(), setting.size)?;
        stage.close()?;
        Ok(window.bare_sample().with_latencies(&times))
    }
}

/// Lets `asker` ask all that it has to.
fn play(stage: &Stage, asker: &Actor<Questioning>) -> Result<Tally, Wrong> {
    stage.expect(1)?;
    asker.tell(Question::Start(Instant::now()))?;
    stage.wait()
}

/// The answers to 0, 1, … are 1, 2, ….
fn all_answers(count: u64) -> Tally {
    Tally {
        count,
        sum: sum_below(count + 1),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Which number comes after this one?
struct Next(u64, Reply<u64>);

#[derive(Clone, Copy)]
struct Answering;

impl Behavior for Answering {
    type Machine = Nothing;
    type Message = Next;

    fn on_message(&self, Next(number, reply): Next, _: Snapshot<Self>) -> Plan<Self> {
        Plan::reply(reply, number + 1)
    }
}

/// When the next ask is made, and from when its latency counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// After the answer to the last; from nowhere.
    Untimed,
    /// After the answer to the last; from then.
    Closed,
    /// When it is due; from then.
    Open,
}

enum Question {
    Start(Instant),
    /// The answer to the ask that was due then.
    Answer(u64, Instant),
    /// In an open loop: is the next ask due?
    Look(Instant),
    Times(Reply<Histogram<u64>>),
}

struct Questions {
    asked: u64,
    answers: Tally,
    times: Histogram<u64>,
}

impl Questions {
    fn new() -> Questions {
        Questions {
            asked: 0,
            answers: Tally::NOTHING,
            times: latencies(),
        }
    }
}

enum Happened {
    Asked,
    Answered(u64),
    /// With its latency.
    AnsweredIn(u64, Duration),
}

impl Machine for Questions {
    type Event = Happened;

    fn apply(&mut self, event: Happened) {
        match event {
            Happened::Asked => self.asked += 1,
            Happened::Answered(number) => self.answers.see(number),
            Happened::AnsweredIn(number, latency) => {
                self.answers.see(number);
                self.times.saturating_record(nanoseconds(latency));
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Questioning {
    answerer: ActorRef<Next>,
    usher: ActorRef<Arrival>,
    count: u64,
    pace: Pace,
}

impl Questioning {
    fn ask(&self, number: u64, due: Instant) -> Plan<Self> {
        Plan::<Self>::ask(self.answerer, |reply| Next(number, reply))
            .on_ok(move |answer| Question::Answer(answer, due))
            .into()
    }

    fn answered(&self, answer: u64, due: Instant, questions: Snapshot<Self>) -> Plan<Self> {
        let (event, now) = match self.pace {
            Pace::Untimed => (Happened::Answered(answer), due),
            Pace::Closed | Pace::Open => {
                let now = Instant::now();
                (Happened::AnsweredIn(answer, now - due), now)
            }
        };
        let plan = Plan::emit(event);
        if questions.answers.count + 1 == self.count {
            let mut all = questions.answers;
            all.see(answer);
            plan.and(Plan::tell(self.usher, Arrival::Done(all)))
        } else if self.pace == Pace::Open {
            plan
        } else {
            // The answer to n is n + 1: the next question.
            plan.and(self.ask(answer, now))
        }
    }

    /// Asks when it is time, and looks again.
    fn look(&self, due: Instant, questions: Snapshot<Self>) -> Plan<Self> {
        let me = questions.me();
        if questions.asked == self.count {
            Plan::none()
        } else if Instant::now() < due {
            Plan::tell(me, Question::Look(due))
        } else {
            Plan::emit(Happened::Asked)
                .and(self.ask(questions.asked, due))
                .and(Plan::tell(me, Question::Look(due + INSIDE_EVERY)))
        }
    }
}

impl Behavior for Questioning {
    type Machine = Questions;
    type Message = Question;

    fn on_message(&self, message: Question, questions: Snapshot<Self>) -> Plan<Self> {
        match message {
            Question::Answer(answer, due) => self.answered(answer, due, questions),
            Question::Look(due) => self.look(due, questions),
            Question::Start(now) if self.pace == Pace::Open => self.look(now, questions),
            Question::Start(now) => self.ask(0, now),
            Question::Times(reply) => Plan::reply(reply, questions.times.clone()),
        }
    }
}
