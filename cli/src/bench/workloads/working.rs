//! Work of some length: how much of the machine it gets, and what it does to those beside it.

use std::thread;
use std::time::{Duration, Instant};

use mainspring::prelude::*;

use super::super::machine::allowed_cpus;
use super::super::measure::{Goal, Measure};
use super::super::meter::{Meter, Sample, latencies};
use super::super::setting::Setting;
use super::stage::{Arrival, Nothing, Stage, Tally, sum_below};
use super::work::{on_plain_threads, steps, steps_in};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 3] {
    [&CpuMix, &Mixed, &Idle]
}

/// Tokens that wander over many actors; each step of one costs a microsecond of work.
struct CpuMix;

const TOKENS: u64 = 10_000;

impl Workload for CpuMix {
    fn name(&self) -> &'static str {
        "cpu-mix"
    }

    fn group(&self) -> Group {
        Group::Work
    }

    fn about(&self) -> &'static str {
        "10,000 actors pass on 10,000 tokens and work 1 µs for each; ideal is the same work on \
         plain pinned threads, just before."
    }

    fn message(&self) -> &'static str {
        "one token with 1 µs of work"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 400_000,
            quick: 100_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::ShareOfIdeal
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![
            Goal::new(Measure::ShareOfIdeal, 0.95),
            Goal::new(Measure::OverheadNs, 60.0),
        ]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let hops = setting.size.div_ceil(TOKENS);
        let messages = hops * TOKENS;
        let steps_each = steps_in(Duration::from_micros(1));
        let cpus = setting.cpus(&allowed_cpus());
        let (plain, (ideal, sum)) = meter.window(|| on_plain_threads(&cpus, messages, steps_each));

        // Room for all tokens at the end of their way.
        let stage = Stage::set_with(setting, |builder| builder.mailbox_capacity(TOKENS as usize))?;
        let working = Working {
            usher: stage.usher(),
            steps_each,
        };
        let last = stage.system.spawn(working, Next(None))?;
        let mut workers = vec![last.clone()];
        for _ in 1..TOKENS {
            let next = workers[workers.len() - 1].actor();
            workers.push(stage.system.spawn(working, Next(Some(next)))?);
        }
        last.tell(Token::Meet(workers[workers.len() - 1].actor()))?;
        last.ask(Token::IsReady).wait()?;
        stage.expect(TOKENS)?;
        let (window, tally) = meter.window(|| {
            for (token, worker) in workers.iter().enumerate() {
                worker.tell(Token::Work {
                    piece: token as u64 * hops,
                    left: hops,
                    done: Tally::NOTHING,
                })?;
            }
            stage.wait()
        });
        let expected = Tally {
            count: messages,
            sum,
        };
        tally?.must_be("pieces of work", expected)?;
        stage.close()?;
        let share = ideal.as_secs_f64() / window.elapsed.as_secs_f64();
        let beyond_ns = window.cpu.as_nanos() as f64 - plain.cpu.as_nanos() as f64;
        Ok(window
            .sample(messages)
            .with(Measure::ShareOfIdeal, share)
            .with(Measure::OverheadNs, beyond_ns / messages as f64))
    }
}

enum Token {
    /// Do this piece; so many are left with it, and those before came to this.
    Work {
        piece: u64,
        left: u64,
        done: Tally,
    },
    Meet(ActorRef<Token>),
    IsReady(Reply<()>),
}

struct Next(Option<ActorRef<Token>>);

impl Machine for Next {
    type Event = ActorRef<Token>;

    fn apply(&mut self, next: ActorRef<Token>) {
        self.0 = Some(next);
    }
}

#[derive(Clone, Copy)]
struct Working {
    usher: ActorRef<Arrival>,
    steps_each: u64,
}

impl Behavior for Working {
    type Machine = Next;
    type Message = Token;

    fn on_message(&self, message: Token, next: Snapshot<Self>) -> Plan<Self> {
        match (message, next.0) {
            (
                Token::Work {
                    piece,
                    left,
                    mut done,
                },
                Some(next),
            ) => {
                done.see(steps(piece, self.steps_each));
                if left == 1 {
                    return Plan::tell(self.usher, Arrival::Done(done));
                }
                let rest = Token::Work {
                    piece: piece + 1,
                    left: left - 1,
                    done,
                };
                Plan::tell(next, rest)
            }
            (Token::Work { .. }, None) => Plan::unhandled(),
            (Token::Meet(next), _) => Plan::emit(next),
            (Token::IsReady(reply), _) => Plan::reply(reply, ()),
        }
    }
}

/// Short turns beside a few long ones.
struct Mixed;

const MIXED_ACTORS: usize = 200;
const MIXED_EVERY: Duration = Duration::from_micros(250);
const LONG_TURN: Duration = Duration::from_millis(10);
/// One in so many messages makes a long turn.
const LONG_ONE_IN: u64 = 100;

impl Workload for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn group(&self) -> Group {
        Group::Work
    }

    fn about(&self) -> &'static str {
        "A message every 250 µs to one of 200 actors; 1 % of the turns take 10 ms. Latency is that \
         of the others, from when they were due to the end of their turn."
    }

    fn message(&self) -> &'static str {
        "one message of a short turn"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 4_000,
            quick: 1_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::P99Ns
    }

    /// It mostly waits.
    fn warms_up(&self) -> bool {
        false
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let taking = Taking {
            long_steps: steps_in(LONG_TURN),
        };
        let actors = (0..MIXED_ACTORS)
            .map(|_| Ok(stage.system.spawn(taking, Taken::default())?))
            .collect::<Result<Vec<_>, Wrong>>()?;
        let (window, sent) = meter.window(|| {
            let mut due = Instant::now();
            for number in 0..setting.size {
                due += MIXED_EVERY;
                while let Some(early) = due.checked_duration_since(Instant::now()) {
                    thread::sleep(early);
                }
                let is_long = scatter(number).is_multiple_of(LONG_ONE_IN);
                actors[number as usize % MIXED_ACTORS].tell(Take::Turn {
                    number,
                    due,
                    is_long,
                })?;
            }
            Ok::<_, Wrong>(())
        });
        sent?;
        let (mut seen, mut times) = (Tally::NOTHING, latencies());
        for actor in &actors {
            let (tally, latencies) = actor.ask(Take::Taken).wait()?;
            seen.add(tally);
            for ns in latencies {
                times.saturating_record(ns);
            }
        }
        let expected = Tally {
            count: setting.size,
            sum: sum_below(setting.size),
        };
        seen.must_be("turns", expected)?;
        let long = (0..setting.size).filter(|&n| scatter(n).is_multiple_of(LONG_ONE_IN));
        let short = setting.size - long.count() as u64;
        Wrong::unless_equal("the number of short turns", times.len(), short)?;
        stage.close()?;
        Ok(window.bare_sample().with_latencies(&times))
    }
}

/// A well mixed number for each number (the finisher of splitmix64).
fn scatter(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

enum Take {
    Turn {
        number: u64,
        due: Instant,
        is_long: bool,
    },
    Taken(Reply<(Tally, Vec<u64>)>),
}

#[derive(Default)]
struct Taken {
    seen: Tally,
    short_ns: Vec<u64>,
}

enum Took {
    Short(u64, Duration),
    /// With the result of its work.
    Long(u64, u64),
}

impl Machine for Taken {
    type Event = Took;

    fn apply(&mut self, event: Took) {
        match event {
            Took::Short(number, latency) => {
                self.seen.see(number);
                self.short_ns.push(latency.as_nanos() as u64);
            }
            Took::Long(number, result) => {
                self.seen.see(number);
                std::hint::black_box(result);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Taking {
    long_steps: u64,
}

impl Behavior for Taking {
    type Machine = Taken;
    type Message = Take;

    fn on_message(&self, message: Take, taken: Snapshot<Self>) -> Plan<Self> {
        match message {
            Take::Turn {
                number,
                is_long: true,
                ..
            } => Plan::emit(Took::Long(number, steps(number, self.long_steps))),
            Take::Turn { number, due, .. } => Plan::emit(Took::Short(number, due.elapsed())),
            Take::Taken(reply) => Plan::reply(reply, (taken.seen, taken.short_ns.clone())),
        }
    }
}

/// A system that has nothing to do.
struct Idle;

const IDLE_ACTORS: usize = 1_000;
/// After it workers should have gone to sleep.
const FALLING_ASLEEP: Duration = Duration::from_millis(100);

impl Workload for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn group(&self) -> Group {
        Group::Work
    }

    fn about(&self) -> &'static str {
        "1,000 actors, each asked once, have nothing to do."
    }

    fn message(&self) -> &'static str {
        "one ms of waiting"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 1_000,
            quick: 200,
        }
    }

    fn headline(&self) -> Measure {
        Measure::CpuShare
    }

    fn warms_up(&self) -> bool {
        false
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![Goal::new(Measure::CpuShare, 0.001)]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let actors = (0..IDLE_ACTORS)
            .map(|_| Ok(stage.system.spawn(Resting, Nothing)?))
            .collect::<Result<Vec<_>, Wrong>>()?;
        let ask_all = || -> Result<(), Wrong> {
            for (number, actor) in actors.iter().enumerate() {
                let answer = actor.ask(|reply| Rest(number, reply)).wait()?;
                Wrong::unless_equal("an answer", answer, number)?;
            }
            Ok(())
        };
        ask_all()?;
        thread::sleep(FALLING_ASLEEP);
        let rest = || thread::sleep(Duration::from_millis(setting.size));
        let (window, ()) = meter.window(rest);
        // They were idle, not dead.
        ask_all()?;
        stage.close()?;
        Ok(window
            .bare_sample()
            .with(Measure::CpuShare, window.cpu_share()))
    }
}

struct Rest(usize, Reply<usize>);

#[derive(Clone, Copy)]
struct Resting;

impl Behavior for Resting {
    type Machine = Nothing;
    type Message = Rest;

    fn on_message(&self, Rest(number, reply): Rest, _: Snapshot<Self>) -> Plan<Self> {
        Plan::reply(reply, number)
    }
}
