//! What a program meets first: handles, asks, plans, subscriptions, addresses, intervals.
//!
//! Most systems here are stepped, on a clock moved by hand: nothing waits and nothing races.

use mainspring::prelude::*;
use mainspring::{Address, Cause, Clock, ManualClock, Missed, SendError};
use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn stepped(config: Config) -> (System, ManualClock) {
    let (clock, hand) = Clock::manual();
    (System::stepped(config, clock).unwrap(), hand)
}

/// Notes every number it is told; keeps the replies that it shall not answer.
#[derive(Default)]
struct Notes {
    numbers: Vec<u64>,
    kept: Vec<Reply<u64>>,
}
enum Noted {
    Number(u64),
    Kept(Reply<u64>),
}
impl Machine for Notes {
    type Event = Noted;
    fn apply(&mut self, event: Noted) {
        match event {
            Noted::Number(number) => self.numbers.push(number),
            Noted::Kept(reply) => self.kept.push(reply),
        }
    }
}

#[derive(Clone, Copy)]
struct Noting;
enum Note {
    Number(u64),
    All(Reply<Vec<u64>>),
    Last(Reply<Result<u64, String>>),
    Keep(Reply<u64>),
    WasAsked(Reply<bool>),
    Panic,
}
impl Behavior for Noting {
    type Machine = Notes;
    type Message = Note;
    fn on_message(&self, note: Note, notes: Snapshot<Self>) -> Plan<Self> {
        match note {
            Note::Number(number) => Plan::emit(Noted::Number(number)),
            Note::All(reply) => Plan::reply(reply, notes.numbers.clone()),
            Note::Last(reply) => match notes.numbers.last() {
                Some(last) => Plan::reply(reply, Ok(*last)),
                None => Plan::reply_err(reply, "nothing yet".to_owned()),
            },
            Note::Keep(reply) => Plan::emit(Noted::Kept(reply)),
            Note::WasAsked(reply) => Plan::reply(reply, notes.meta().is_ask),
            Note::Panic => panic!("told to"),
        }
    }
}

fn all(system: &System, notes: &Handle<Note>) -> Vec<u64> {
    let ask = notes.ask(Note::All);
    system.run_until_idle();
    ask.wait().unwrap()
}

#[test]
fn a_refused_tell_gives_the_message_back() {
    let config = Config::builder().mailbox_capacity(2).build().unwrap();
    let (system, _hand) = stepped(config);
    let notes = system.spawn(Noting, Notes::default()).unwrap();
    notes.tell(Note::Number(1)).unwrap();
    notes.tell(Note::Number(2)).unwrap();
    match notes.tell(Note::Number(3)) {
        Err(SendError::Full(Note::Number(number))) => assert_eq!(number, 3),
        _ => panic!("there is no third place"),
    }
    assert!(notes.stop());
    match notes.tell(Note::Number(4)) {
        Err(SendError::Closed(Note::Number(number))) => assert_eq!(number, 4),
        _ => panic!("it stops"),
    }
    let counts = system.counts(notes.actor()).unwrap();
    assert_eq!((counts.accepted, counts.queued), (2, 2));
    system.run_until_idle();
    assert!(!notes.is_alive());
    assert_eq!(system.dead_letter_count(), 0);
}

/// Wakes the thread that polls.
struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn an_ask_is_waited_for_by_a_thread_or_awaited() {
    let system = System::new().unwrap();
    let notes = system.spawn(Noting, Notes::default()).unwrap();
    notes.tell(Note::Number(7)).unwrap();
    assert_eq!(notes.ask(Note::All).wait(), Ok(vec![7]));
    assert_eq!(block_on(notes.ask(Note::All)), Ok(vec![7]));
    notes.stop();
    while notes.is_alive() {
        thread::yield_now();
    }
    assert_eq!(block_on(notes.ask(Note::All)), Err(AskError::Stopped));
}

#[test]
fn an_ask_from_outside_ends_by_its_own_time_or_the_systems() {
    let config = Config::builder().ask_timeout(2 * MS).build().unwrap();
    let system = System::with_config(config).unwrap();
    let notes = system.spawn(Noting, Notes::default()).unwrap();
    for (ask, limit) in [
        (notes.ask(Note::Keep), 2 * MS),
        (notes.ask(Note::Keep).timeout(MS), MS),
    ] {
        match ask.wait() {
            Err(AskError::Timeout { waited }) => assert!(waited >= limit, "{waited:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reply_may_be_an_error_of_its_own() {
    let (system, _hand) = stepped(Config::default());
    let notes = system.spawn(Noting, Notes::default()).unwrap();
    let ask = notes.ask(Note::Last);
    system.run_until_idle();
    assert_eq!(ask.wait(), Ok(Err("nothing yet".to_owned())));
}

#[test]
fn a_handler_can_tell_an_ask_from_a_tell() {
    let (system, _hand) = stepped(Config::default());
    let notes = system.spawn(Noting, Notes::default()).unwrap();
    let ask = notes.ask(Note::WasAsked);
    system.run_until_idle();
    assert_eq!(ask.wait(), Ok(true));

    /// Passes what it is asked on as a tell.
    #[derive(Clone, Copy)]
    struct Passing {
        to: ActorRef<Note>,
    }
    impl Behavior for Passing {
        type Machine = Notes;
        type Message = Reply<bool>;
        fn on_message(&self, reply: Reply<bool>, _: Snapshot<Self>) -> Plan<Self> {
            Plan::tell(self.to, Note::WasAsked(reply))
        }
    }
    let to = notes.actor();
    let passing = system.spawn(Passing { to }, Notes::default()).unwrap();
    let ask = passing.ask(|reply| reply);
    system.run_until_idle();
    assert_eq!(ask.wait(), Ok(false));
}

/// Asks `to` with a time-out, with or without a word about failure.
#[derive(Clone, Copy)]
struct Asking {
    to: ActorRef<Note>,
    on_error: bool,
}
#[derive(Default)]
struct Waited(Option<Duration>);
impl Machine for Waited {
    type Event = Duration;
    fn apply(&mut self, waited: Duration) {
        self.0 = Some(waited);
    }
}
enum Question {
    Ask,
    Answered,
    Failed(AskError),
    Waited(Reply<Option<Duration>>),
}
impl Behavior for Asking {
    type Machine = Waited;
    type Message = Question;
    fn on_message(&self, question: Question, waited: Snapshot<Self>) -> Plan<Self> {
        match question {
            Question::Ask => {
                let ask = Plan::ask(self.to, Note::Keep)
                    .timeout(20 * MS)
                    .on_ok(|_| Question::Answered);
                if self.on_error {
                    ask.on_error(Question::Failed)
                } else {
                    ask.into()
                }
            }
            Question::Failed(AskError::Timeout { waited }) => Plan::emit(waited),
            Question::Waited(reply) => Plan::reply(reply, waited.0),
            Question::Answered | Question::Failed(_) => panic!("nobody answers"),
        }
    }
}

#[test]
fn an_ask_inside_ends_by_time_with_a_message_or_a_dead_letter() {
    let (system, hand) = stepped(Config::default());
    let to = system.spawn(Noting, Notes::default()).unwrap().actor();
    let [with, without] = [true, false].map(|on_error| {
        let asking = Asking { to, on_error };
        system.spawn(asking, Waited::default()).unwrap()
    });
    with.tell(Question::Ask).unwrap();
    without.tell(Question::Ask).unwrap();
    system.run_until_idle();
    hand.advance(19 * MS);
    system.run_until_idle();
    assert_eq!(system.dead_letter_count(), 0, "not before its time");
    hand.advance(3 * MS);
    system.run_until_idle();
    let waited = with.ask(Question::Waited);
    system.run_until_idle();
    assert_eq!(waited.wait(), Ok(Some(22 * MS)));
    let letters = system.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].actor, without.actor().address());
    let waited = 22 * MS;
    let cause = Cause::AskFailed(AskError::Timeout { waited });
    assert_eq!(letters[0].cause, cause);
}

#[test]
fn a_machine_alone_is_an_actor_that_takes_its_events() {
    struct Sum(Arc<AtomicU64>);
    impl Machine for Sum {
        type Event = u64;
        fn apply(&mut self, by: u64) {
            self.0.fetch_add(by, Relaxed);
        }
    }
    let (system, _hand) = stepped(Config::default());
    let sum = Arc::new(AtomicU64::new(0));
    let actor = system.spawn_machine(Sum(sum.clone())).unwrap();
    for by in 1..=4 {
        actor.tell(by).unwrap();
    }
    system.run_until_idle();
    assert_eq!(sum.load(Relaxed), 10);
}

#[test]
fn addresses_are_plain_values() {
    let (system, _hand) = stepped(Config::default());
    let actors = [0, 1].map(|_| system.spawn(Noting, Notes::default()).unwrap().actor());
    let copy = actors[0];
    assert_eq!(copy, actors[0]);
    assert_ne!(actors[0], actors[1]);
    let set = HashSet::from([copy, actors[0], actors[1]]);
    assert_eq!(set.len(), 2);
    let untyped: BTreeSet<Address> = actors.iter().map(|actor| actor.address()).collect();
    assert_eq!(untyped.len(), 2);
    assert_ne!(
        actors[0].address().to_string(),
        actors[1].address().to_string()
    );
    assert_eq!(size_of::<ActorRef<Note>>(), 12);
}

/// Tells `first` and then `second`, and counts that it did.
#[derive(Clone, Copy)]
struct Telling {
    first: ActorRef<Note>,
    second: ActorRef<Note>,
}
impl Behavior for Telling {
    type Machine = Notes;
    type Message = Note;
    fn on_message(&self, note: Note, notes: Snapshot<Self>) -> Plan<Self> {
        match note {
            Note::Number(number) => Plan::emit(Noted::Number(number))
                .and(Plan::tell(self.first, Note::Number(number)))
                .and(Plan::tell(self.second, Note::Number(number))),
            Note::All(reply) => Plan::reply(reply, notes.numbers.clone()),
            _ => Plan::unhandled(),
        }
    }
}

#[test]
fn a_plan_that_finds_no_room_changes_nothing() {
    let config = Config::builder()
        .mailbox_capacity(2)
        .mailbox_when_full(mainspring::config::WhenFull::Refuse);
    let (system, _hand) = stepped(config.build().unwrap());
    let first = system.spawn(Noting, Notes::default()).unwrap();
    let second = system.spawn(Noting, Notes::default()).unwrap();
    let telling = Telling {
        first: first.actor(),
        second: second.actor(),
    };
    let telling = system.spawn(telling, Notes::default()).unwrap();
    system.run_until_idle();
    // First in, first out: its turn comes before the second's mailbox gets any emptier.
    telling.tell(Note::Number(1)).unwrap();
    second.tell(Note::Number(8)).unwrap();
    second.tell(Note::Number(9)).unwrap();
    system.run_until_idle();
    assert_eq!(all(&system, &second), [8, 9]);
    assert_eq!(all(&system, &first), []);
    assert_eq!(all(&system, &telling), []);
    assert_eq!(system.dead_letters().last().unwrap().cause, Cause::Full);
    telling.tell(Note::Number(2)).unwrap();
    system.run_until_idle();
    for notes in [&*second, &*first, &*telling] {
        assert_eq!(all(&system, notes).last(), Some(&2));
    }
}

#[test]
fn a_plan_prints_its_steps_in_order() {
    let (system, _hand) = stepped(Config::default());
    let to = system.spawn(Noting, Notes::default()).unwrap().actor();
    let plan: Plan<Noting> = Plan::emit(Noted::Number(1))
        .and(Plan::tell(to, Note::Panic))
        .and(Plan::stop());
    let shown = format!("{plan:?}");
    let places: Vec<usize> = ["Event ", "Tell ", "Stop"]
        .map(|part| {
            shown
                .find(part)
                .unwrap_or_else(|| panic!("no {part} in {shown}"))
        })
        .into();
    assert!(places.is_sorted(), "{shown}");
    assert!(shown.contains(&to.address().to_string()), "{shown}");
}

/// Evolves by numbers that others can hear of.
#[derive(Default)]
struct Published(u64);
impl Machine for Published {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.0 = number;
    }
}
#[derive(Clone, Copy)]
struct Publishing;
impl Behavior for Publishing {
    type Machine = Published;
    type Message = u64;
    fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(number)
    }
}

/// Listens from its start on.
#[derive(Clone, Copy)]
struct Listening {
    to: ActorRef<u64>,
}
impl Behavior for Listening {
    type Machine = Notes;
    type Message = Note;
    fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
        Plan::subscribe::<Publishing>(self.to, Note::Number)
    }
    fn on_message(&self, note: Note, notes: Snapshot<Self>) -> Plan<Self> {
        match note {
            Note::Number(number) => Plan::emit(Noted::Number(number)),
            Note::All(reply) => Plan::reply(reply, notes.numbers.clone()),
            _ => Plan::unhandled(),
        }
    }
}

#[test]
fn a_subscriber_gets_every_event_in_the_order_published() {
    let (system, _hand) = stepped(Config::default());
    let publisher = system.spawn(Publishing, Published::default()).unwrap();
    let to = publisher.actor();
    let listener = system.spawn(Listening { to }, Notes::default()).unwrap();
    system.run_until_idle();
    for number in 1..=5 {
        publisher.tell(number).unwrap();
    }
    system.run_until_idle();
    assert_eq!(all(&system, &listener), [1, 2, 3, 4, 5]);
    assert!(listener.stop());
    publisher.tell(6).unwrap();
    system.run_until_idle();
    assert!(publisher.is_alive() && !listener.is_alive());
}

/// Links itself with an actor at its start; the last thing it does is to tell `heir`.
#[derive(Clone, Copy)]
struct Linked {
    with: ActorRef<Note>,
    heir: ActorRef<Note>,
}
impl Behavior for Linked {
    type Machine = Notes;
    type Message = ();
    fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
        Plan::link(self.with)
    }
    fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> {
        Plan::none()
    }
    fn on_stop(&self, _: &Exit, _: Snapshot<Self>) -> Plan<Self> {
        Plan::tell(self.heir, Note::Number(1))
    }
}

#[test]
fn an_abnormal_end_ends_the_linked_and_a_normal_one_does_not() {
    for abnormal in [true, false] {
        let (system, _hand) = stepped(Config::default());
        let with = system.spawn(Noting, Notes::default()).unwrap();
        let heir = system.spawn(Noting, Notes::default()).unwrap();
        let linked = Linked {
            with: with.actor(),
            heir: heir.actor(),
        };
        let linked = system.spawn(linked, Notes::default()).unwrap();
        system.run_until_idle();
        if abnormal {
            with.tell(Note::Panic).unwrap();
        } else {
            with.stop();
        }
        system.run_until_idle();
        assert!(!with.is_alive() && heir.is_alive());
        assert_eq!(linked.is_alive(), !abnormal);
    }
}

#[test]
fn the_stop_hook_has_the_last_word() {
    let (system, _hand) = stepped(Config::default());
    let heir = system.spawn(Noting, Notes::default()).unwrap();
    let linked = Linked {
        with: heir.actor(),
        heir: heir.actor(),
    };
    let linked = system.spawn(linked, Notes::default()).unwrap();
    linked.stop();
    system.run_until_idle();
    assert_eq!(all(&system, &heir), [1]);
}

/// Counts its own ticks.
#[derive(Clone, Copy)]
struct Ticking(Missed);
#[derive(Clone)]
enum Tick {
    Tick,
}
impl Behavior for Ticking {
    type Machine = Ticks;
    type Message = Tick;
    fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
        Plan::every_with("tick", 10 * MS, Tick::Tick, self.0)
    }
    fn on_message(&self, Tick::Tick: Tick, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(())
    }
}
struct Ticks(Arc<AtomicU64>);
impl Machine for Ticks {
    type Event = ();
    fn apply(&mut self, (): ()) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn an_interval_skips_makes_up_for_or_delays_missed_ticks() {
    // Ticks seen after 10, 55, 60 and 65 ms.
    for (missed, expected) in [
        (Missed::Skip, [1, 2, 3, 3]),
        (Missed::Burst, [1, 5, 6, 6]),
        (Missed::Delay, [1, 2, 2, 3]),
    ] {
        let (system, hand) = stepped(Config::default());
        let seen = Arc::new(AtomicU64::new(0));
        system.spawn(Ticking(missed), Ticks(seen.clone())).unwrap();
        system.run_until_idle();
        let mut ticks = [0; 4];
        for (at, by) in [10, 45, 5, 5].into_iter().enumerate() {
            hand.advance(by * MS);
            system.run_until_idle();
            ticks[at] = seen.load(Relaxed);
        }
        assert_eq!(ticks, expected, "{missed:?}");
    }
}
