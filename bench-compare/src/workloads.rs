//! The workloads: their sizes, what counts as a message, and what a right result is.
//!
//! A runtime takes part by implementing [`Contender`]: one method a workload, which builds the
//! actors, runs the load and says what it saw. Everything else is here and the same for all: sizes,
//! warm-up, checks, and the figures made of what was seen.
//!
//! ```text
//!   Workload ── sizes ──▶ Contender::method ── Tally, AskTimes, … ──▶ check ──▶ Metric
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::measure::{self, Work, percentile};

/// The bound of a mailbox, in messages, in every runtime that has bounds.
pub const CAPACITY: usize = 1024;

/// Messages a turn sends, at most, before it lets other actors run, in a runtime whose senders
/// never wait for room.
pub const BURST: u64 = 64;

/// A runtime that has been started with a number of workers.
///
/// A method may be called twice on one runtime: first for a short warm-up. Actors left over from it
/// must not do anything any more.
pub trait Contender {
    /// Balls that go to and fro. Message: one pass of a ball, which counts its passes.
    fn rally(&self, load: &Rally) -> Tally;
    /// One ball around a ring. Message: one hop.
    fn ring(&self, load: &Ring) -> Tally;
    /// Sources that send numbers to one sink. Message: one number.
    fn stream(&self, load: &Stream) -> Tally;
    /// One source that sends each number to every sink. Message: one number at one sink.
    fn fan_out(&self, load: &FanOut) -> Tally;
    /// In each round every actor pings all others and waits for their pongs. Message: a ping or a
    /// pong. No mailbox ever holds more than two for each other actor.
    fn big(&self, load: &Big) -> Tally;
    /// Creatures that meet in pairs at a mall. Messages, four a meeting: two requests, the
    /// partner's name to the one who came first, and the color to the other.
    fn chameneos(&self, load: &Chameneos) -> Tally;
    /// A tree of actors that spawn ten each; the leaves' numbers are added up on the way back.
    /// Every actor but the leaves ends after its sum, the leaves after their number.
    fn skynet(&self, load: &Skynet) -> Tally;
    /// Actors of 16 bytes of state that are spawned from inside, told once, and kept.
    fn spawn_and_keep(&self, load: &SpawnAndKeep) -> Spawned;
    /// Asks from a thread outside the runtime, one after the other.
    fn ask_outside(&self, load: &Asks) -> AskTimes;
    /// Asks from one actor to another, one after the other.
    fn ask_inside(&self, load: &Asks) -> AskTimes;
    /// One actor arms all timers, cancels every other one, and gets the rest as messages. A timer
    /// is armed when it lies in what the runtime waits with, a wheel in all of them; it is cancelled
    /// when it is out of there, and its message dropped.
    fn timers(&self, load: &Timers) -> Timed;
    /// Tokens that wander from actor to actor, one for each actor; each message costs
    /// [`Cpu::work`].
    fn cpu(&self, load: &Cpu) -> Tally;
    /// Messages paced from outside over many actors; a few of them run long. Only the others'
    /// latency counts, from the send to the end of the turn.
    fn mixed(&self, load: &'static Mixed) -> Tally;
    /// Whether a handler can tell the runtime of a long turn, so that [`Mixed::announced`] differs.
    fn announces_long_turns(&self) -> bool {
        false
    }
    /// The share of one core used while the actors, each told once, have nothing to do.
    fn idle(&self, load: &Idle) -> f64;
}

/// What a load did.
#[derive(Debug)]
pub struct Tally {
    /// From just before the first message to just after the last one was handled.
    pub elapsed: Duration,
    /// As counted by the actors.
    pub received: u64,
    /// Of the payloads, as added up by the actors.
    pub sum: u64,
}

/// Where actors say that they are done and the bench thread waits for it.
pub struct Finish {
    left: AtomicU64,
    received: AtomicU64,
    sum: AtomicU64,
    ended: OnceLock<Instant>,
    waiter: Thread,
}

impl Finish {
    /// The calling thread will wait for `arrivals` of them. Lives as long as the process, so that
    /// any actor can hold it by reference.
    pub fn after(arrivals: u64) -> &'static Finish {
        Box::leak(Box::new(Finish {
            left: AtomicU64::new(arrivals),
            received: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            ended: OnceLock::new(),
            waiter: thread::current(),
        }))
    }

    /// An actor, or a message, is done and adds what it saw. The last arrival stops the clock.
    pub fn arrive(&self, received: u64, sum: u64) {
        if received > 0 {
            self.received.fetch_add(received, Ordering::Relaxed);
        }
        if sum > 0 {
            self.sum.fetch_add(sum, Ordering::Relaxed);
        }
        // AcqRel: the last arrival takes over what all others added.
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.ended.set(Instant::now());
            self.waiter.unpark();
        }
    }

    /// Waits for the last arrival and reads the clock from `begun`.
    pub fn wait(&self, begun: Instant) -> Tally {
        let ended = self.end();
        Tally {
            elapsed: ended.duration_since(begun),
            received: self.received.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }

    /// Waits for the last arrival, and says when it was.
    fn end(&self) -> Instant {
        loop {
            if let Some(&ended) = self.ended.get() {
                return ended;
            }
            thread::park();
        }
    }
}

/// Times what an actor begins and many end: the bench thread waits for the last of them.
pub struct Lap {
    begun: OnceLock<Instant>,
    finish: &'static Finish,
}

impl Lap {
    /// The calling thread will wait until as many have passed. Lives as long as the process.
    pub fn of(passing: u64) -> &'static Lap {
        Box::leak(Box::new(Lap {
            begun: OnceLock::new(),
            finish: Finish::after(passing),
        }))
    }

    /// Starts the clock.
    pub fn begin(&self) {
        let _ = self.begun.set(Instant::now());
    }

    /// One of them is through. The last one stops the clock.
    pub fn pass(&self) {
        self.finish.arrive(0, 0);
    }

    /// Waits for the last one. Returns the time between.
    pub fn wait(&self) -> Duration {
        let ended = self.finish.end();
        let begun = self.begun.get().expect("a lap begins before it ends");
        ended.duration_since(*begun)
    }
}

/// Passes a lap when it is dropped.
pub struct Passing(pub &'static Lap);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.pass();
    }
}

/// One number for each message, written by whoever handles it.
pub struct Slots(Vec<AtomicU64>);

impl Slots {
    const EMPTY: u64 = u64::MAX;

    /// `count` empty slots. They live as long as the process.
    pub fn new(count: u64) -> &'static Slots {
        let empty = || AtomicU64::new(Slots::EMPTY);
        Box::leak(Box::new(Slots(
            std::iter::repeat_with(empty).take(count as usize).collect(),
        )))
    }

    /// Writes one slot.
    pub fn record(&self, index: u64, nanoseconds: u64) {
        self.0[index as usize].store(nanoseconds, Ordering::Relaxed);
    }

    fn written(&self) -> Vec<u64> {
        let all = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        let mut written: Vec<u64> = all.filter(|&value| value != Slots::EMPTY).collect();
        written.sort_unstable();
        written
    }
}

/// `pairs` of actors, `hops` passes of the ball in each.
pub struct Rally {
    pub pairs: usize,
    pub hops: u64,
}

/// `hops` of one ball over `actors`.
pub struct Ring {
    pub actors: usize,
    pub hops: u64,
}

/// Each source sends the numbers `0..each`.
pub struct Stream {
    pub sources: usize,
    pub each: u64,
}

impl Stream {
    /// Numbers that the sink gets.
    pub fn total(&self) -> u64 {
        self.sources as u64 * self.each
    }
}

/// Each sink gets the numbers `0..each`.
pub struct FanOut {
    pub sinks: usize,
    pub each: u64,
}

/// `rounds` of all to all.
pub struct Big {
    pub actors: usize,
    pub rounds: u64,
}

impl Big {
    /// Pings that an actor gets, and as many pongs.
    pub fn pings(&self) -> u64 {
        self.rounds * (self.actors as u64 - 1)
    }
}

/// `meetings` of two among `creatures`. The tally's `received` counts each meeting twice.
pub struct Chameneos {
    pub creatures: usize,
    pub meetings: u64,
}

/// The color of a creature after a meeting: its own if both are alike, else the third.
pub fn complement(own: u8, other: u8) -> u8 {
    if own == other { own } else { 3 - own - other }
}

/// A tree with `leaves`, a power of ten. The tally's `received` counts leaves.
pub struct Skynet {
    pub leaves: u64,
}

/// `actors` to spawn and keep.
pub struct SpawnAndKeep {
    pub actors: u64,
}

/// What spawning did.
pub struct Spawned {
    /// Until all spawn calls had returned.
    pub spawned: Duration,
    /// Until all actors had also handled their message.
    pub ready: Tally,
    /// More resident bytes than before, when all actors are idle.
    pub bytes: u64,
}

/// `count` asks. The answer to `n` is `n + 1`.
pub struct Asks {
    pub count: u64,
}

/// What the asker saw.
pub struct AskTimes {
    /// Nanoseconds of each ask, read with one clock call between asks.
    pub each_ns: Vec<u64>,
    /// Of as many more asks without a clock between them.
    pub whole: Duration,
    /// Of all the answers of both passes.
    pub sum: u64,
}

/// `count` timers, of which the odd ones are cancelled.
pub struct Timers {
    pub count: u64,
}

impl Timers {
    /// After all have been armed, also where that is slow, and then spread evenly, not in order.
    pub fn delay(&self, index: u64) -> Duration {
        Duration::from_millis(500)
            + Duration::from_micros(index.wrapping_mul(7_919_813) % 1_000_000)
    }

    /// Whether it is cancelled once all are armed.
    pub fn is_cancelled(&self, index: u64) -> bool {
        index % 2 == 1
    }

    /// How many fire.
    pub fn firing(&self) -> u64 {
        self.count.div_ceil(2)
    }
}

/// Where the two halves of [`Timers`] are timed.
#[derive(Clone, Copy)]
pub struct Laps {
    /// Passed by each timer, or by the actor for all of them, once it is armed.
    pub armed: &'static Lap,
    /// Passed by the message of each cancelled timer when it is dropped.
    pub cancelled: &'static Lap,
}

impl Laps {
    /// `arrivals` say that all timers are armed.
    pub fn new(load: &Timers, arrivals: u64) -> Laps {
        Laps {
            armed: Lap::of(arrivals),
            cancelled: Lap::of(load.count - load.firing()),
        }
    }

    /// What the message of a timer has with it.
    pub fn passing(&self, load: &Timers, index: u64) -> Option<Passing> {
        load.is_cancelled(index).then(|| Passing(self.cancelled))
    }
}

/// The messages of the timers, as their actor saw them.
pub struct Rung {
    /// Nanoseconds after its time at which each timer's message was handled.
    pub late: &'static Slots,
    /// Those that had not been cancelled and did not come yet.
    pub left: u64,
    /// Messages that came before their time.
    pub early: u64,
    /// Messages of timers that were to be cancelled.
    pub stray: u64,
}

impl Rung {
    /// None has come yet.
    pub fn none(load: &Timers) -> Rung {
        Rung {
            late: Slots::new(load.count),
            left: load.firing(),
            early: 0,
            stray: 0,
        }
    }

    /// A message has come: so much late, or early. `is_stray`: it had been cancelled.
    pub fn ring(&mut self, index: u64, late: Option<Duration>, is_stray: bool) {
        if is_stray {
            self.stray += 1;
            return;
        }
        let late_ns = late.unwrap_or_default().as_nanos() as u64;
        self.late.record(index, late_ns);
        self.early += u64::from(late.is_none());
        self.left -= 1;
    }
}

/// What a timers' run took and gave.
pub struct Timed {
    /// To arm all.
    pub arm: Duration,
    /// To cancel every other one.
    pub cancel: Duration,
    /// The rest.
    pub rung: Rung,
}

/// `actors` with one token each, which makes `hops`.
pub struct Cpu {
    pub actors: usize,
    pub hops: u64,
    /// Of one message, about a microsecond.
    pub work: Work,
}

/// `messages`, one every `interval`, to `actors` in turn.
pub struct Mixed {
    pub actors: usize,
    pub messages: u64,
    pub interval: Duration,
    /// Of one in a hundred messages, about 10 ms.
    pub long: Work,
    /// Whether handlers tell the runtime that a turn will be long.
    pub announced: bool,
    /// Latencies of the other messages.
    pub latency: &'static Slots,
    pub finish: &'static Finish,
}

/// A message of [`Mixed`].
#[derive(Clone, Copy)]
pub struct Note {
    pub index: u64,
    pub sent: quanta::Instant,
}

impl Mixed {
    /// Sends all, each at its time, from the calling thread; then waits until all were handled.
    pub fn pace(&self, mut send: impl FnMut(usize, Note)) -> Tally {
        let begun = Instant::now();
        for index in 0..self.messages {
            let due = begun + self.interval * index as u32;
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            send(
                index as usize % self.actors,
                Note {
                    index,
                    sent: quanta::Instant::now(),
                },
            );
        }
        self.finish.wait(begun)
    }

    /// Whether this message's turn is long: one in a hundred, scattered.
    pub fn is_long(&self, note: Note) -> bool {
        scatter(note.index).is_multiple_of(100)
    }

    /// A turn that is not long, or the long one in the place where the runtime wants it.
    pub fn turn(&self, note: Note) {
        if self.is_long(note) {
            self.long.run();
        } else {
            self.latency
                .record(note.index, note.sent.elapsed().as_nanos() as u64);
        }
        self.finish.arrive(1, 0);
    }
}

/// A well mixed number for each number (the finisher of splitmix64).
fn scatter(index: u64) -> u64 {
    let mut x = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// `actors` that do nothing for as long as `watch`.
pub struct Idle {
    pub actors: u64,
    pub watch: Duration,
}

/// A figure of one run.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

impl Metric {
    fn new(name: &'static str, value: f64, unit: &'static str) -> Metric {
        Metric { name, value, unit }
    }
}

/// How much of the full size to run.
#[derive(Clone, Copy, PartialEq)]
pub enum Size {
    Full,
    Quick,
}

impl Size {
    fn of(self, full: u64) -> u64 {
        match self {
            Size::Full => full,
            Size::Quick => full / 10,
        }
    }
}

macro_rules! workloads {
    ($($variant:ident = $name:literal,)*) => {
        /// One row of the comparison.
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub enum Workload { $($variant),* }

        impl Workload {
            /// In the order of the table.
            pub const ALL: &'static [Workload] = &[$(Workload::$variant),*];

            /// As the command line and the output call it.
            pub fn name(self) -> &'static str {
                match self { $(Workload::$variant => $name),* }
            }
        }
    };
}

workloads! {
    PingPong = "ping-pong",
    Pairs = "pairs",
    Ring = "ring",
    Counting = "counting",
    FanIn = "fan-in",
    FanOut = "fan-out",
    Big = "big",
    Chameneos = "chameneos",
    Skynet = "skynet",
    SpawnAndKeep = "spawn-and-keep",
    AskOutside = "ask-outside",
    AskInside = "ask-inside",
    Timers = "timers",
    Cpu = "cpu",
    Mixed = "mixed",
    MixedAnnounced = "mixed-announced",
    Idle = "idle",
}

impl Workload {
    /// Runs it once, after a tenth of it as a warm-up where a warm start is meant, and checks what
    /// the actors saw.
    ///
    /// # Errors
    ///
    /// What was seen and what was expected, when they differ.
    pub fn run(
        self,
        on: &dyn Contender,
        size: Size,
        workers: usize,
    ) -> Result<Vec<Metric>, String> {
        match self {
            Workload::PingPong => rally(on, 1, size.of(2_000_000)),
            Workload::Pairs => rally(on, 1_000, size.of(10_000)),
            Workload::Ring => ring(on, size.of(2_000_000)),
            Workload::Counting => stream(on, 1, size.of(5_000_000)),
            Workload::FanIn => stream(on, 64, size.of(50_000)),
            Workload::FanOut => fan_out(on, size.of(4_000)),
            Workload::Big => big(on, size.of(20)),
            Workload::Chameneos => chameneos(on, size.of(1_000_000)),
            Workload::Skynet => skynet(on, size.of(1_000_000)),
            Workload::SpawnAndKeep => spawn_and_keep(on, size.of(200_000)),
            Workload::AskOutside => ask_outside(on, size.of(50_000)),
            Workload::AskInside => ask_inside(on, size.of(1_000_000)),
            Workload::Timers => timers(on, size.of(100_000)),
            Workload::Cpu => cpu(on, size.of(100), workers),
            Workload::Mixed => mixed(on, size.of(20_000), workers, false),
            Workload::MixedAnnounced => mixed(on, size.of(20_000), workers, true),
            Workload::Idle => idle(on, Duration::from_millis(size.of(3_000))),
        }
    }

    /// Whether the runtime can run it at all.
    pub fn suits(self, on: &dyn Contender) -> bool {
        self != Workload::MixedAnnounced || on.announces_long_turns()
    }
}

fn expect(what: &str, seen: u64, expected: u64) -> Result<(), String> {
    if seen == expected {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected}, saw {seen}"))
    }
}

/// `0 + 1 + … + (count - 1)`.
fn sum_below(count: u64) -> u64 {
    count * count.saturating_sub(1) / 2
}

fn ns_each(tally: &Tally, messages: u64) -> Vec<Metric> {
    vec![Metric::new(
        "time",
        tally.elapsed.as_nanos() as f64 / messages as f64,
        "ns/msg",
    )]
}

fn rate(name: &'static str, elapsed: Duration, count: u64, unit: &'static str) -> Metric {
    Metric::new(name, count as f64 / elapsed.as_secs_f64() / 1e6, unit)
}

/// A tenth of `full` for the warm-up, then all of it.
fn warm_then<T>(full: u64, mut run: impl FnMut(u64) -> Result<T, String>) -> Result<T, String> {
    run((full / 10).max(1))?;
    run(full)
}

fn rally(on: &dyn Contender, pairs: usize, hops: u64) -> Result<Vec<Metric>, String> {
    warm_then(hops, |hops| {
        let tally = on.rally(&Rally { pairs, hops });
        let messages = pairs as u64 * hops;
        expect("passes", tally.received, messages)?;
        Ok(match pairs {
            1 => ns_each(&tally, messages),
            _ => vec![rate("rate", tally.elapsed, messages, "M msg/s")],
        })
    })
}

fn ring(on: &dyn Contender, hops: u64) -> Result<Vec<Metric>, String> {
    warm_then(hops, |hops| {
        let tally = on.ring(&Ring {
            actors: 1_000,
            hops,
        });
        expect("hops", tally.received, hops)?;
        Ok(ns_each(&tally, hops))
    })
}

fn stream(on: &dyn Contender, sources: usize, each: u64) -> Result<Vec<Metric>, String> {
    warm_then(each, |each| {
        let load = Stream { sources, each };
        let tally = on.stream(&load);
        expect("numbers", tally.received, load.total())?;
        expect("sum", tally.sum, sources as u64 * sum_below(each))?;
        Ok(vec![rate("rate", tally.elapsed, load.total(), "M msg/s")])
    })
}

fn fan_out(on: &dyn Contender, each: u64) -> Result<Vec<Metric>, String> {
    warm_then(each, |each| {
        let load = FanOut { sinks: 1_000, each };
        let tally = on.fan_out(&load);
        expect("numbers", tally.received, load.sinks as u64 * each)?;
        expect("sum", tally.sum, load.sinks as u64 * sum_below(each))?;
        Ok(vec![rate("rate", tally.elapsed, tally.received, "M msg/s")])
    })
}

fn big(on: &dyn Contender, rounds: u64) -> Result<Vec<Metric>, String> {
    warm_then(rounds, |rounds| {
        let load = Big {
            actors: 512,
            rounds,
        };
        let tally = on.big(&load);
        expect(
            "pings and pongs",
            tally.received,
            2 * load.actors as u64 * load.pings(),
        )?;
        Ok(vec![rate("rate", tally.elapsed, tally.received, "M msg/s")])
    })
}

fn chameneos(on: &dyn Contender, meetings: u64) -> Result<Vec<Metric>, String> {
    warm_then(meetings, |meetings| {
        let tally = on.chameneos(&Chameneos {
            creatures: 100,
            meetings,
        });
        expect("creatures met", tally.received, 2 * meetings)?;
        Ok(vec![rate("rate", tally.elapsed, 4 * meetings, "M msg/s")])
    })
}

/// Cold: a tree of a million actors in a fresh process, its page faults included.
fn skynet(on: &dyn Contender, leaves: u64) -> Result<Vec<Metric>, String> {
    let before = measure::resident_bytes();
    let tally = on.skynet(&Skynet { leaves });
    expect("leaves", tally.received, leaves)?;
    expect("sum", tally.sum, sum_below(leaves))?;
    let peak = measure::peak_bytes().saturating_sub(before);
    Ok(vec![
        Metric::new("time", tally.elapsed.as_secs_f64() * 1e3, "ms"),
        Metric::new("peak", peak as f64 / 1e6, "MB"),
    ])
}

/// Cold too.
fn spawn_and_keep(on: &dyn Contender, actors: u64) -> Result<Vec<Metric>, String> {
    let seen = on.spawn_and_keep(&SpawnAndKeep { actors });
    expect("actors that answered", seen.ready.received, actors)?;
    Ok(vec![
        rate("spawn", seen.spawned, actors, "M/s"),
        rate("ready", seen.ready.elapsed, actors, "M/s"),
        Metric::new("memory", seen.bytes as f64 / actors as f64, "B each"),
    ])
}

fn ask_outside(on: &dyn Contender, count: u64) -> Result<Vec<Metric>, String> {
    warm_then(count, |count| {
        ask_metrics(on.ask_outside(&Asks { count }), count, 1e3, "us")
    })
}

fn ask_inside(on: &dyn Contender, count: u64) -> Result<Vec<Metric>, String> {
    warm_then(count, |count| {
        ask_metrics(on.ask_inside(&Asks { count }), count, 1.0, "ns")
    })
}

fn ask_metrics(
    mut seen: AskTimes,
    count: u64,
    unit_ns: f64,
    unit: &'static str,
) -> Result<Vec<Metric>, String> {
    expect("answers", seen.each_ns.len() as u64, count)?;
    expect("sum of answers", seen.sum, 2 * (sum_below(count) + count))?;
    seen.each_ns.sort_unstable();
    let mean = seen.whole.as_nanos() as f64 / count as f64;
    Ok(vec![
        Metric::new("p50", percentile(&seen.each_ns, 0.5) / unit_ns, unit),
        Metric::new("p99", percentile(&seen.each_ns, 0.99) / unit_ns, unit),
        Metric::new("mean", mean / unit_ns, unit),
    ])
}

fn timers(on: &dyn Contender, count: u64) -> Result<Vec<Metric>, String> {
    let load = Timers { count };
    let seen = on.timers(&load);
    let late = seen.rung.late.written();
    expect("timers that fired", late.len() as u64, load.firing())?;
    expect("timers that fired early", seen.rung.early, 0)?;
    expect("cancelled timers that fired", seen.rung.stray, 0)?;
    Ok(vec![
        rate("arm", seen.arm, count, "M/s"),
        rate("cancel", seen.cancel, count - load.firing(), "M/s"),
        Metric::new("late p50", percentile(&late, 0.5) / 1e6, "ms"),
        Metric::new("late p99", percentile(&late, 0.99) / 1e6, "ms"),
    ])
}

/// The ideal is what as many plain threads need for the same work, measured before and after.
fn cpu(on: &dyn Contender, hops: u64, workers: usize) -> Result<Vec<Metric>, String> {
    let work = Work::lasting(Duration::from_micros(1));
    warm_then(hops, |hops| {
        let load = Cpu {
            actors: 10_000,
            hops,
            work,
        };
        let messages = load.actors as u64 * hops;
        let before = measure::plain_threads(work, messages, workers);
        let tally = on.cpu(&load);
        let after = measure::plain_threads(work, messages, workers);
        expect("messages", tally.received, messages)?;
        let ideal = (before + after).as_secs_f64() / 2.0;
        let elapsed = tally.elapsed.as_secs_f64();
        let overhead = (elapsed - ideal) * workers as f64 / messages as f64;
        Ok(vec![
            Metric::new("share", ideal / elapsed, "of ideal"),
            Metric::new("overhead", overhead * 1e9, "ns/msg"),
        ])
    })
}

/// Half of what the workers can do: a message costs 100 us of CPU on average.
fn mixed(
    on: &dyn Contender,
    messages: u64,
    workers: usize,
    announced: bool,
) -> Result<Vec<Metric>, String> {
    let load: &'static Mixed = Box::leak(Box::new(Mixed {
        actors: 1_000,
        messages,
        interval: Duration::from_micros(200) / workers as u32,
        long: Work::lasting(Duration::from_millis(10)),
        announced,
        latency: Slots::new(messages),
        finish: Finish::after(messages),
    }));
    let tally = on.mixed(load);
    expect("messages", tally.received, messages)?;
    let latency = load.latency.written();
    let short = (0..messages)
        .filter(|&index| !scatter(index).is_multiple_of(100))
        .count();
    expect("short turns", latency.len() as u64, short as u64)?;
    Ok(vec![
        Metric::new("p50", percentile(&latency, 0.5) / 1e3, "us"),
        Metric::new("p99", percentile(&latency, 0.99) / 1e3, "us"),
    ])
}

fn idle(on: &dyn Contender, watch: Duration) -> Result<Vec<Metric>, String> {
    let share = on.idle(&Idle {
        actors: 1_000,
        watch,
    });
    Ok(vec![Metric::new("cpu", share * 100.0, "% core")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finish_adds_up_what_every_arrival_saw() {
        let finish = Finish::after(4);
        let begun = Instant::now();
        for number in 1..=4 {
            thread::spawn(move || finish.arrive(number, 10 * number));
        }
        let tally = finish.wait(begun);
        assert_eq!((tally.received, tally.sum), (10, 100));
    }

    #[test]
    fn only_written_slots_are_read_and_in_order() {
        let slots = Slots::new(4);
        slots.record(3, 1);
        slots.record(0, 7);
        assert_eq!(slots.written(), [1, 7]);
    }

    #[test]
    fn a_lap_ends_when_the_last_one_is_dropped() {
        let load = Timers { count: 5 };
        let laps = Laps::new(&load, 1);
        let messages: Vec<_> = (0..5).map(|index| laps.passing(&load, index)).collect();
        laps.cancelled.begin();
        assert_eq!(messages.iter().flatten().count(), 2);
        let last = Duration::from_millis(20);
        thread::spawn(move || {
            for message in messages {
                drop(message);
                thread::sleep(last / 2);
            }
        });
        assert!(laps.cancelled.wait() >= last);
    }

    #[test]
    fn a_message_rings_late_early_or_astray() {
        let mut rung = Rung::none(&Timers { count: 4 });
        rung.ring(0, Some(Duration::from_nanos(7)), false);
        rung.ring(1, Some(Duration::ZERO), true);
        rung.ring(2, None, false);
        assert_eq!(rung.late.written(), [0, 7]);
        assert_eq!((rung.left, rung.early, rung.stray), (0, 1, 1));
    }

    #[test]
    fn two_unlike_colors_give_the_third() {
        assert_eq!(complement(0, 1), 2);
        assert_eq!(complement(2, 0), 1);
        assert_eq!(complement(1, 1), 1);
    }

    #[test]
    fn timers_are_spread_over_a_second() {
        let load = Timers { count: 1_000 };
        let delays: Vec<_> = (0..load.count).map(|index| load.delay(index)).collect();
        assert!(delays.iter().all(|d| (500..1_500).contains(&d.as_millis())));
        let early = delays.iter().filter(|d| d.as_millis() < 1_000).count();
        assert!(
            (400..600).contains(&early),
            "{early} of 1,000 in the first half"
        );
    }
}
