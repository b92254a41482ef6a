//! What the tests of promises share: a scripted actor, logs, systems with and without threads.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

use mainspring::Refusal;
use mainspring::config::Builder;
use mainspring::prelude::*;
use mainspring::timer::ManualClock;
use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Numbers that actors say, in order; a clone is the same log.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u64>>>);

impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn say(&self, number: u64) {
        self.0.lock().unwrap().push(number);
    }

    pub fn said(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }

    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// What a scripted actor decides with.
pub type Act = Box<dyn FnOnce(Snapshot<'_, Script>) -> Plan<Script> + Send>;
/// What a scripted actor decides with at its end.
pub type Last = Box<dyn FnOnce(&Exit, Snapshot<'_, Script>) -> Plan<Script> + Send>;

/// A message of a scripted actor.
pub enum Msg {
    /// Says the number.
    Say(u64),
    /// Does what the closure says.
    Do(Act),
    /// Asks for nothing but an answer.
    Ping(Reply<u64>),
    /// Keeps the reply in the machine, unanswered.
    Keep(Reply<u64>),
}

impl Clone for Msg {
    fn clone(&self) -> Self {
        match self {
            Self::Say(number) => Self::Say(*number),
            _ => unreachable!("only numbers are said again and again"),
        }
    }
}

/// A message that does what `act` says.
pub fn act(act: impl FnOnce(Snapshot<'_, Script>) -> Plan<Script> + Send + 'static) -> Msg {
    Msg::Do(Box::new(act))
}

/// A message whose handling returns `plan`'s plan.
pub fn does(plan: impl FnOnce() -> Plan<Script> + Send + 'static) -> Msg {
    Msg::Do(Box::new(move |_| plan()))
}

/// An event that says a number.
pub fn say(number: u64) -> Plan<Script> {
    Plan::emit(Event::Say(number))
}

/// What happens to a scripted actor's machine.
pub enum Event {
    Say(u64),
    Refuse,
    Panic,
    Keep(Box<dyn Any + Send>),
    Forget,
}

impl Clone for Event {
    fn clone(&self) -> Self {
        match self {
            Self::Say(number) => Self::Say(*number),
            Self::Refuse => Self::Refuse,
            Self::Panic => Self::Panic,
            Self::Keep(_) | Self::Forget => Self::Forget,
        }
    }
}

/// The scripted actor's machine: a log, and what it was given to keep.
#[derive(Default)]
pub struct Tape {
    log: Log,
    mark: usize,
    kept: Vec<Box<dyn Any + Send>>,
    start: Mutex<Option<Act>>,
    stop: Mutex<Option<Last>>,
}

impl Tape {
    /// A tape that writes to `log`.
    pub fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }

    /// What the actor does first.
    pub fn start(
        self,
        act: impl FnOnce(Snapshot<'_, Script>) -> Plan<Script> + Send + 'static,
    ) -> Self {
        *self.start.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// What the actor does last.
    pub fn stop(
        self,
        act: impl FnOnce(&Exit, Snapshot<'_, Script>) -> Plan<Script> + Send + 'static,
    ) -> Self {
        *self.stop.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// What it writes to.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Something that lives as long as the machine.
    pub fn keep(mut self, kept: impl Any + Send) -> Self {
        self.kept.push(Box::new(kept));
        self
    }
}

impl Machine for Tape {
    type Event = Event;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Say(number) => self.log.say(number),
            Event::Refuse => unreachable!("try_apply refuses it"),
            Event::Panic => panic!("the event says so"),
            Event::Keep(kept) => self.kept.push(kept),
            Event::Forget => self.kept.clear(),
        }
    }

    fn try_apply(&mut self, event: Event) -> Result<(), Refusal> {
        if matches!(event, Event::Refuse) {
            return Err(Refusal::new("the event says so"));
        }
        self.apply(event);
        Ok(())
    }

    fn begin(&mut self) {
        self.mark = self.log.len();
    }

    fn roll_back(&mut self) {
        self.log.0.lock().unwrap().truncate(self.mark);
    }
}

/// Does what its messages say.
#[derive(Clone, Copy)]
pub struct Script;

impl Behavior for Script {
    type Machine = Tape;
    type Message = Msg;

    fn on_message(&self, message: Msg, tape: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            Msg::Say(number) => say(number),
            Msg::Do(act) => act(tape),
            Msg::Ping(reply) => Plan::reply(reply, 7),
            Msg::Keep(reply) => Plan::emit(Event::Keep(Box::new(reply))),
        }
    }

    fn on_start(&self, tape: Snapshot<'_, Self>) -> Plan<Self> {
        let act = tape.start.lock().unwrap().take();
        act.map_or_else(Plan::none, |act| act(tape))
    }

    fn on_stop(&self, exit: &Exit, tape: Snapshot<'_, Self>) -> Plan<Self> {
        let act = tape.stop.lock().unwrap().take();
        act.map_or_else(Plan::none, |act| act(exit, tape))
    }
}

/// A system run by the test, with its own time.
pub fn stepped() -> (System, ManualClock) {
    stepped_with(Config::builder())
}

/// As [`stepped`], with settings.
pub fn stepped_with(builder: Builder) -> (System, ManualClock) {
    let hand = ManualClock::new();
    let config = builder.build().unwrap();
    (System::stepped(config, hand.clock()).unwrap(), hand)
}

/// A system with threads.
pub fn threads(workers: usize) -> System {
    System::with_config(Config::builder().workers(workers).build().unwrap()).unwrap()
}

/// A scripted actor.
pub fn spawn(system: &System, log: &Log) -> Actor<Script> {
    system.spawn(Script, Tape::new(log)).unwrap()
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Waits until `done`, and fails the test when that takes more than 60 seconds.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "never happened: {what}"
        );
        std::thread::yield_now();
    }
}

/// Every message that was let in is accounted for.
#[track_caller]
pub fn conserves(counts: mainspring::Counts) {
    let mainspring::Counts {
        accepted,
        handled,
        failed,
        dead_lettered,
        queued,
        ..
    } = counts;
    assert_eq!(
        accepted,
        handled + failed + dead_lettered + queued,
        "{counts:?}"
    );
}

/// Counts how many of it are alive.
pub struct Alive(Arc<()>);

impl Alive {
    pub fn new() -> Self {
        Self(Arc::new(()))
    }

    /// One more, counted until it is dropped.
    pub fn one(&self) -> Arc<()> {
        self.0.clone()
    }

    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Panics when it is dropped.
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a bomb goes off");
        }
    }
}

/// Lets panics pass without a word in the test's output.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let ours = ["the event says so", "a bomb goes off", "on purpose"];
            if payload.is::<String>() || text.is_some_and(|text| !ours.contains(&text)) {
                usual(info);
            }
        }));
    });
}
