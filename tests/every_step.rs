//! The promise: whatever steps a plan has beside each other, whatever goes wrong, each message is
//! accounted for, each ask has one outcome, and nobody waits for what does not come.
//!
//! Systems made of seeds, whose plans have every kind of step. What they came by is noted by name,
//! and the suite fails if it never reached one of the rare states.

#![cfg(all(feature = "testkit", not(loom)))]

use mainspring::config::{Overflow, WhenFull};
use mainspring::prelude::*;
use mainspring::supervise::{Backoff, ChildSpec, Children, Restart, Strategy, Supervisor};
use mainspring::testkit::{self, Fault, Random, Sim, sometimes};
use mainspring::{Breaker, BreakerState, Cause, Deferred, Down, Escape, Exit, Missed, Refusal};
use mainspring::{Poison, Undeliverable, Undelivered};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Of an actor: what it drew from, what it asked and heard, and who waits for its answer.
#[derive(Clone)]
struct Mind {
    random: Random,
    asked: u64,
    heard: u64,
    kept: Vec<Deferred<u64>>,
    /// Whether ends of linked actors are messages.
    traps: bool,
    /// Since when, and after what silence, it is to be told of one.
    silence: Option<(Duration, Duration)>,
    before: Option<Box<Mind>>,
}

#[derive(Clone)]
enum Event {
    Turn(Duration),
    Traps(bool),
    Silence(Option<(Duration, Duration)>),
    Asked(u64),
    Heard,
    Keep(Deferred<u64>),
    Answered,
    Refuse,
    Panic,
}

impl Machine for Mind {
    type Event = Event;
    fn apply(&mut self, event: Event) {
        match event {
            Event::Turn(now) => {
                self.random.bits();
                if let Some((since, _)) = &mut self.silence {
                    *since = now;
                }
            }
            Event::Traps(traps) => self.traps = traps,
            Event::Silence(silence) => self.silence = silence,
            Event::Asked(count) => self.asked += count,
            Event::Heard => self.heard += 1,
            Event::Keep(reply) => self.kept.push(reply),
            Event::Answered => self.kept.clear(),
            Event::Refuse => unreachable!("it is refused"),
            Event::Panic => std::panic::resume_unwind(Box::new("as drawn")), // without a word
        }
    }
    fn begin(&mut self) {
        self.before = None;
        self.before = Some(Box::new(self.clone()));
    }
    fn roll_back(&mut self) {
        let random = self.random.clone();
        *self = *self.before.take().expect("it has begun");
        self.random = random; // so that the next turn draws something else
        self.random.bits();
    }
    fn try_apply(&mut self, event: Event) -> mainspring::Result<(), Refusal> {
        match event {
            Event::Refuse => Err(Refusal::new("as drawn")),
            event => {
                self.apply(event);
                Ok(())
            }
        }
    }
}

enum Say {
    Go(u64),
    Question(u64, Reply<u64>),
    /// An ask's outcome, or several.
    Outcome,
    Due(Duration),
    Tick,
    Silence,
    Ended(Down),
    Trapped(Down),
    Event,
    Undelivered(Undelivered),
    Breaker(BreakerState),
    Open,
    Tally(Reply<(u64, u64)>),
}

thread_local! {
    /// The actors of the system that runs.
    static EVERYBODY: RefCell<Vec<ActorRef<Say>>> = RefCell::default();
    /// What a handler saw that it must not see: an assertion in one would only end its actor.
    static BROKEN: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// Whether handlers may be slow, before which a message counts as received.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

fn sees(holds: bool, otherwise: &'static str) {
    if !holds {
        BROKEN.set(Some(otherwise));
    }
}

fn reached(name: impl AsRef<str>) {
    sometimes!(true, name.as_ref());
}

/// Does what its machine's generator draws.
#[derive(Clone, Copy)]
struct Doing {
    escape: Escape,
    is_child: bool,
}

/// Puts everything to do aside, until it is told to open.
#[derive(Clone, Copy)]
struct Shut;

fn exit_name(exit: &Exit) -> &'static str {
    match exit {
        Exit::Normal => "normal",
        Exit::Stopped(_) => "stopped with a reason",
        Exit::StoppedNow => "stopped at once",
        Exit::Killed => "killed",
        Exit::Panicked(_) => "panicked",
        Exit::NotStarted(_) => "not started",
        Exit::Linked(_) => "linked",
        Exit::Gone => "gone",
        _ => "another",
    }
}

/// Its first word, as `Debug` has it.
fn cause_name(cause: &Cause) -> String {
    let text = format!("{cause:?}");
    text.split(['(', ' ']).next().expect("a first").to_owned()
}

fn error_name(error: &AskError) -> &'static str {
    match error {
        AskError::Timeout { .. } => "timed out",
        AskError::Stopped => "stopped",
        AskError::Refused => "refused",
        AskError::Dropped => "dropped",
        AskError::Panicked => "panicked",
        _ => "another",
    }
}

fn outcome<T>(of: &'static str) -> impl Fn(mainspring::Result<T, AskError>) -> Say + Clone {
    move |outcome| {
        let how = outcome.map_or_else(|error| error_name(&error), |_| "answered");
        reached(format!("{of}: {how}"));
        Say::Outcome
    }
}

/// Always the same one.
fn somebody() -> ActorRef<Say> {
    EVERYBODY.with_borrow(|everybody| everybody[0])
}

impl Doing {
    fn mind(random: &mut Random) -> Mind {
        Mind {
            random: Random::new(random.bits()),
            asked: 0,
            heard: 0,
            kept: Vec::new(),
            traps: false,
            silence: None,
            before: None,
        }
    }

    /// One step of those that there are.
    fn step(self, left: u64, mind: &Snapshot<Self>, random: &mut Random) -> Plan<Self> {
        let next = left.saturating_sub(1);
        let everybody = EVERYBODY.with_borrow(Clone::clone);
        let to = everybody[random.below(everybody.len() as u64) as usize];
        let soon = Duration::from_millis(1 + random.below(40));
        let key = random.below(3);
        let backoff = Backoff {
            first: Duration::from_millis(1),
            max: Duration::from_millis(8),
            jitter: random.one_in(2),
            ..Backoff::default()
        };
        let breaker = Breaker {
            failures: 2,
            reset: Duration::from_millis(30),
            ..Breaker::default()
        };
        match random.below(39) {
            0..4 => Plan::tell(to, Say::Go(next)),
            4..6 => Plan::ask(to, move |reply| Say::Question(next, reply))
                .timeout(soon)
                .on_ok(|answer| outcome("an ask")(Ok(answer)))
                .on_error(|error| outcome::<u64>("an ask")(Err(error)))
                .and(Plan::emit(Event::Asked(1))),
            6 => Plan::gather(everybody, move |reply| Say::Question(next, reply))
                .timeout(soon)
                .on_done(|outcomes| {
                    for outcome_of_one in outcomes {
                        outcome::<u64>("one of several asks")(outcome_of_one);
                    }
                    Say::Outcome
                })
                .and(Plan::emit(Event::Asked(1))),
            7 | 8 => Plan::after(key, soon, Say::Due(mind.now() + soon)),
            9 => Plan::cancel(key),
            10 => Plan::monitor(to, Say::Ended),
            11 => Plan::unmonitor(to),
            12 if self.is_child => Plan::link(to),
            13 => Plan::unlink(to),
            14 => Plan::subscribe::<Self>(to, |_| Say::Event),
            15 => Plan::subscribe_all::<mainspring::DeadLetter>(|_, _| Say::Event),
            16 => Plan::unsubscribe_all::<mainspring::DeadLetter>(),
            17..19 => Plan::deliver(to, Say::Go(next))
                .retry(2, backoff)
                .breaker(breaker)
                .on_failed(Say::Undelivered)
                .on_breaker(|change| Say::Breaker(change.to))
                .into(),
            19 | 20 => Plan::deliver_acknowledged(to, move |reply| Say::Question(next, reply))
                .acknowledged_within(soon)
                .retry(2, backoff)
                .breaker(breaker)
                .on_failed(Say::Undelivered)
                .on_breaker(|change| Say::Breaker(change.to))
                .into(),
            21 | 22 if !self.is_child => {
                let child = Self {
                    is_child: true,
                    ..self
                };
                let spawn = Plan::spawn(child, Self::mind(random));
                let spawn = if random.one_in(2) {
                    spawn.linked()
                } else {
                    spawn
                };
                spawn.then(|child| {
                    Plan::monitor(child, Say::Ended).and(Plan::tell(child, Say::Go(next)))
                })
            }
            23 | 24 => Plan::become_over(Shut).and(Plan::after("open", soon, Say::Open)),
            25 => Plan::escape(self.escape, || reached("an escape")),
            26 if self.is_child => match random.below(4) {
                0 => Plan::stop(),
                1 => Plan::stop_because("as drawn"),
                2 => Plan::stop_now(mind.me()),
                _ => Plan::kill(mind.me()),
            },
            27 => Plan::emit(Event::Refuse),
            28 if self.is_child => Plan::emit(Event::Panic),
            29 => {
                let kept = &mind.machine().kept;
                let answer = |reply| Plan::reply_deferred(reply, 7);
                let answers = kept.iter().map(answer);
                answers.fold(Plan::emit(Event::Answered), Plan::and)
            }
            30 => {
                let missed = [Missed::Skip, Missed::Burst, Missed::Delay][random.below(3) as usize];
                let beat = Beat {
                    to: mind.me(),
                    missed,
                };
                Plan::spawn(beat, Beats(0)).into()
            }
            31 => Plan::trap_exits(Say::Trapped)
                .and(Plan::emit(Event::Traps(true)))
                .and(Plan::link(to)),
            32 => Plan::untrap_exits().and(Plan::emit(Event::Traps(false))),
            33 | 34 => Plan::receive_timeout(soon, || Say::Silence)
                .and(Plan::emit(Event::Silence(Some((mind.now(), soon))))),
            35 => Plan::no_receive_timeout().and(Plan::emit(Event::Silence(None))),
            _ => Plan::tell(mind.me(), Say::Go(next)),
        }
    }
}

/// What a panic leaves of a message: the others would come to an incarnation that never wanted them.
fn again(say: &Say) -> Option<Say> {
    match say {
        Say::Go(left) => Some(Say::Go(*left)),
        _ => None,
    }
}

/// Ten ticks, then it has ended.
#[derive(Clone, Copy)]
struct Beat {
    to: ActorRef<Say>,
    missed: Missed,
}
struct Beats(u32);
impl Machine for Beats {
    type Event = ();
    fn apply(&mut self, (): ()) {
        self.0 += 1;
    }
}
impl Behavior for Beat {
    type Machine = Beats;
    type Message = ();
    fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
        Plan::every_with("beat", Duration::from_millis(5), (), self.missed)
    }
    fn on_message(&self, (): (), beats: Snapshot<Self>) -> Plan<Self> {
        match beats.0 {
            10 => Plan::stop(),
            _ => Plan::emit(()).and(Plan::tell(self.to, Say::Tick)),
        }
    }
}

impl Behavior for Doing {
    type Machine = Mind;
    type Message = Say;
    const POISON: Option<Poison<Say>> = Some(Poison::after_with(2, again));

    fn on_message(&self, say: Say, mind: Snapshot<Self>) -> Plan<Self> {
        let mut random = mind.machine().random.clone();
        let steps = match say {
            Say::Go(0) => Plan::none(),
            Say::Go(left) => {
                let steps = (0..=random.below(2)).map(|_| self.step(left, &mind, &mut random));
                steps.fold(Plan::none(), Plan::and)
            }
            Say::Question(_, reply) if reply.is_given_up() => {
                reached("a question whose asker gave up");
                Plan::none()
            }
            Say::Question(left, reply) => match random.below(8) {
                0 => Plan::none(), // the reply is dropped
                1 | 2 => Plan::emit(Event::Keep(reply.defer())),
                3 if left > 0 => Plan::tell(somebody(), Say::Question(left - 1, reply)),
                4 => Plan::reply_after(reply, |mind: &Mind| mind.asked),
                5 => Plan::reply(reply, 1).and(Plan::emit(Event::Refuse)),
                _ => Plan::reply(reply, left),
            },
            Say::Outcome => Plan::emit(Event::Heard),
            Say::Due(due) => {
                sees(mind.now() >= due, "a timer came early");
                Plan::none()
            }
            Say::Ended(down) => {
                reached(format!("an end: {}", exit_name(&down.exit)));
                Plan::none()
            }
            Say::Trapped(down) => {
                sees(mind.traps, "an end of another that nobody traps");
                reached(format!("a trapped end: {}", exit_name(&down.exit)));
                Plan::none()
            }
            Say::Silence => {
                let is_due = |(since, silence)| IS_SLOW.get() || mind.now() >= since + silence;
                sees(mind.silence.is_some_and(is_due), "a silence that was none");
                reached("a silence");
                Plan::none()
            }
            Say::Event => {
                reached("an event of another");
                return Plan::none(); // an event of ours could come back as another's
            }
            Say::Undelivered(undelivered) => {
                reached(match undelivered.why {
                    Undeliverable::NotAcknowledged(why) => {
                        format!("not acknowledged: {}", error_name(&why))
                    }
                    why => format!("undelivered: {why}"),
                });
                Plan::none()
            }
            Say::Breaker(state) => {
                reached(format!("a breaker: {state:?}"));
                Plan::none()
            }
            Say::Tick => Plan::none(),
            Say::Open => Plan::unstash(),
            Say::Tally(reply) => Plan::reply(reply, (mind.machine().asked, mind.machine().heard)),
        };
        Plan::emit(Event::Turn(mind.now())).and(steps)
    }

    fn on_stop(&self, _: &Exit, _: Snapshot<Self>) -> Plan<Self> {
        Plan::tell(somebody(), Say::Go(1))
    }
}

impl Behavior for Shut {
    type Machine = Mind;
    type Message = Say;

    fn on_message(&self, say: Say, mind: Snapshot<Self>) -> Plan<Self> {
        match say {
            Say::Go(_) => Plan::stash(say),
            Say::Open => Plan::unbecome().and(Plan::unstash()),
            Say::Outcome => Plan::emit(Event::Heard),
            Say::Tally(reply) => Plan::reply(reply, (mind.machine().asked, mind.machine().heard)),
            Say::Event => Plan::none(), // as with `Doing`
            _ => Plan::emit(Event::Turn(mind.now())),
        }
    }
}

/// Some actors and some supervised ones, all with each other's addresses, run with faults and then
/// a minute without.
fn run(sim: &mut Sim, faults: &[Fault]) {
    for cause in [
        "stopped",
        "full",
        "dropped oldest",
        "refused",
        "panicked",
        "no room",
        "ask failed",
        "undelivered",
        "stash full",
        "too many behaviors",
        "expired",
        "ask circle",
        "quarantined",
    ] {
        sim.allow(cause);
    }
    let doing = Doing {
        escape: sim.system().escape_hatch(),
        is_child: false,
    };
    let seed = sim.random().bits();
    let children = 1 + sim.random().below(3);
    let specs = (0..children).map(|child| {
        let make = move |incarnation: u32| {
            let mut random = Random::new(seed ^ child ^ u64::from(incarnation) << 32);
            let child = Doing {
                is_child: true,
                ..doing
            };
            (child, Doing::mind(&mut random))
        };
        let name = child.to_string();
        let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        let backoff = Backoff {
            first: Duration::from_millis(5),
            ..Backoff::default()
        };
        ChildSpec::new(&name, make)
            .named(&name)
            .restart(restart[child as usize])
            .intensity(2, Duration::from_secs(1))
            .backoff(backoff)
    });
    let specs: Vec<_> = specs.collect();
    let strategies = [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
        Strategy::Dynamic,
    ];
    let strategy = strategies[sim.random().below(4) as usize];
    let supervisor = Children::new(strategy, specs);
    let supervisor = sim.system().spawn(Supervisor, supervisor).unwrap();
    sim.spare(supervisor.actor());
    sim.run_until_idle();
    let whereis = |name: u64| sim.system().whereis::<Say>(&name.to_string());
    let mut handles: Vec<Handle<Say>> = (0..children).filter_map(whereis).collect();
    for _ in 0..2 + sim.random().below(3) {
        let overflow = [
            Overflow::Reject,
            Overflow::Wait,
            Overflow::DropNewest,
            Overflow::DropOldest,
        ];
        let when_full = [WhenFull::Wait, WhenFull::Refuse, WhenFull::Drop];
        let overflow = overflow[sim.random().below(4) as usize];
        let when_full = when_full[sim.random().below(3) as usize];
        let capacity = 2 + sim.random().below(6) as usize;
        let mind = Doing::mind(sim.random());
        let prepared = sim.system().prepare(doing, mind).capacity(capacity);
        let actor = prepared.overflow(overflow).when_full(when_full).start();
        handles.push((*actor.unwrap()).clone());
    }
    let addresses: Vec<_> = handles.iter().map(Handle::actor).collect();
    EVERYBODY.set(addresses.clone());
    sim.invariant("each message is accounted for", move |system| {
        for &address in &addresses {
            let Some(counts) = system.counts(address) else {
                continue;
            };
            let known = counts.handled + counts.failed + counts.dead_lettered + counts.queued;
            if counts.accepted != known {
                return Err(format!("{counts:?}"));
            }
        }
        Ok(())
    });
    BROKEN.set(None);
    IS_SLOW.set(faults.contains(&Fault::Slow));
    sim.invariant("what handlers see", |_| match BROKEN.take() {
        Some(broken) => Err(broken.to_owned()),
        None => Ok(()),
    });
    for handle in &handles {
        for _ in 0..1 + sim.random().below(2) {
            let left = 1 + sim.random().below(6);
            assert!(handle.tell(Say::Go(left)).is_ok(), "it has room");
        }
    }
    sim.faults(faults, 24);
    sim.run_for(Duration::from_secs(10));
    sim.faults(&[], 1);
    for poison in sim.system().quarantine().list() {
        let replayed = sim.system().quarantine().replay(poison.id);
        let how = replayed.map_or_else(|why| format!("{why:?}"), |()| "again".to_owned());
        reached(format!("out of quarantine: {how}"));
    }
    sim.run_for(Duration::from_secs(60));
    for ran in sim.trace() {
        for fault in &ran.faults {
            reached(format!("a fault: {fault}"));
        }
        for letter in &ran.dead_letters {
            reached(format!("a dead letter: {}", cause_name(&letter.cause)));
        }
        for heard in &ran.heard {
            let outcome = heard.outcome.unwrap_or("panicked");
            reached(format!("{}: {outcome}", heard.why));
            for step in &heard.plan {
                let words = step.split(|c: char| c.is_ascii_digit() || c == ':').next();
                reached(format!("a step: {}", words.expect("a first").trim_end()));
            }
        }
    }
    for handle in handles {
        let tally = handle.ask(Say::Tally);
        sim.run_until_idle();
        match tally.wait() {
            Ok((asked, heard)) => {
                reached("alive at the end");
                assert_eq!(asked, heard, "an ask has one outcome");
                let counts = sim.counts(handle.actor()).expect("it has answered");
                assert_eq!(counts.queued, 0, "all is handled once faults stop");
            }
            Err(error) => reached(format!("at the end: {}", error_name(&error))),
        }
    }
}

/// What the suite has to come by.
const RARE: [&str; 100] = [
    "a breaker: Closed",
    "a breaker: HalfOpen",
    "a breaker: Open",
    "a dead letter: DroppedOldest",
    "a dead letter: Expired",
    "a dead letter: Full",
    "a dead letter: NoRoom",
    "a dead letter: Panicked",
    "a dead letter: Quarantined",
    "a dead letter: Refused",
    "a dead letter: Stopped",
    "a dead letter: Undelivered",
    "a fault: a mailbox is full",
    "a fault: an actor is killed",
    "a fault: an actor is left waiting",
    "a fault: an actor is stopped",
    "a fault: the clock jumps",
    "a fault: the handler is slow",
    "a fault: the handler panics",
    "a notice: committed",
    "a notice: panicked",
    "a question whose asker gave up",
    "a silence",
    "a step: answers",
    "a step: arms a timer",
    "a step: asks actor",
    "a step: becomes another",
    "a step: cancels a timer",
    "a step: delivers",
    "a step: does another step",
    "a step: evolves",
    "a step: hears of silence",
    "a step: makes a child",
    "a step: puts the message aside",
    "a step: takes all back that was put aside",
    "a step: tells actor",
    "a step: traps exits, or no more",
    "a timer: committed",
    "a timer: committed, the actor stops",
    "a timer: committed, the behavior changes",
    "a timer: panicked",
    "a timer: waits for room",
    "a trapped end: gone",
    "a trapped end: killed",
    "a trapped end: linked",
    "a trapped end: normal",
    "a trapped end: panicked",
    "a trapped end: stopped at once",
    "a trapped end: stopped with a reason",
    "alive at the end",
    "an ask's outcome: committed",
    "an ask's outcome: panicked",
    "an ask: answered",
    "an ask: dropped",
    "an ask: panicked",
    "an ask: refused",
    "an ask: stopped",
    "an ask: timed out",
    "an end: committed",
    "an end: gone",
    "an end: killed",
    "an end: linked",
    "an end: normal",
    "an end: panicked",
    "an end: stopped at once",
    "an end: stopped with a reason",
    "an end: waits for room",
    "an escape",
    "an event of another",
    "asked: committed",
    "asked: failed",
    "asked: panicked",
    "at the end: stopped",
    "not acknowledged: dropped",
    "not acknowledged: panicked",
    "not acknowledged: stopped",
    "not acknowledged: timed out",
    "one of several asks: answered",
    "one of several asks: dropped",
    "one of several asks: panicked",
    "one of several asks: refused",
    "one of several asks: stopped",
    "one of several asks: timed out",
    "out of quarantine: Stopped",
    "out of quarantine: again",
    "put aside before: committed",
    "put aside before: committed, the actor stops",
    "put aside before: committed, the behavior changes",
    "put aside before: failed",
    "put aside before: panicked",
    "put aside before: waits for room",
    "told: committed",
    "told: committed, the actor stops",
    "told: committed, the behavior changes",
    "told: failed",
    "told: panicked",
    "told: waits for room",
    "undelivered: the breaker of the target is open",
    "undelivered: the mailbox of the target is full",
    "undelivered: the target has stopped",
];

/// Seeds for each test: `MAINSPRING_SEEDS`, or as given.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let set = std::env::var("MAINSPRING_SEEDS").ok();
    0..set.map_or(count, |set| {
        set.parse().expect("MAINSPRING_SEEDS is a number")
    })
}

#[test]
fn every_kind_of_step_beside_every_other_keeps_the_promises() {
    testkit::simulate(seeds(5_000), |sim| {
        sim.reaches(&RARE);
        sim.explain();
        run(sim, &Fault::ALL);
    });
}

#[test]
fn asks_have_one_outcome_beside_every_other_step_in_quiet_times() {
    testkit::simulate(seeds(1_000), |sim| run(sim, &[]));
}

#[test]
fn the_same_seed_has_the_same_trace_with_every_step() {
    for seed in seeds(100) {
        let hash = || {
            let mut sim = Sim::new(seed);
            run(&mut sim, &Fault::ALL);
            (sim.trace_hash(), sim.turns())
        };
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}
