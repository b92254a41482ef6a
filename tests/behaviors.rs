//! An actor changes its behavior between two messages and stays the same actor; what is put aside
//! comes back in order.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{
    Backoff, ChildSpec, Children, Strategy, Supervisor, SupervisorMessage,
};
use mainspring::{Cause, Refusal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A number, and what was done to it.
#[derive(Clone)]
struct Number {
    value: u64,
    log: Log,
    _alive: Arc<()>,
}

enum Event {
    Set(u64),
    Refuse,
}

impl Machine for Number {
    type Event = Event;
    fn apply(&mut self, event: Event) {
        if let Event::Set(value) = event {
            self.value = value;
            self.log.say(value);
        }
    }
    fn try_apply(&mut self, event: Event) -> Result<(), Refusal> {
        match event {
            Event::Refuse => Err(Refusal::new("the event says so")),
            event => {
                self.apply(event);
                Ok(())
            }
        }
    }
}

enum Message {
    By(u64),
    Multiply,
    Count,
    MultiplyOver,
    Back,
    FailToMultiply,
    Name(Reply<&'static str>),
    SwitchAndAnswer(Reply<&'static str>),
    Later,
    Ask(ActorRef<Msg>),
    Panic,
    Stash(u64),
    StashAsk(Reply<bool>),
    Unstash,
    Stop,
}

/// What both behaviors do, but for [`Message::By`].
fn common<B>(message: Message, snapshot: Snapshot<'_, B>) -> Plan<B>
where
    B: Behavior<Machine = Number, Message = Message>,
{
    match message {
        Message::By(_) => Plan::unhandled(),
        Message::Multiply => Plan::become_(Multiplying {
            most: [u64::MAX; 9],
        }),
        Message::Count => Plan::become_(Counting),
        Message::MultiplyOver => Plan::become_over(Multiplying {
            most: [u64::MAX; 9],
        }),
        Message::Back => Plan::unbecome(),
        Message::FailToMultiply => {
            Plan::become_(Multiplying { most: [0; 9] }).and(Plan::emit(Event::Refuse))
        }
        Message::Name(reply) => Plan::reply(reply, snapshot.behavior()),
        Message::SwitchAndAnswer(reply) => {
            let switched = Plan::emit(Event::Set(7)).and(Plan::become_(Counting));
            switched.and(Plan::reply(reply, "it counts"))
        }
        Message::Later => Plan::after(1, ms(10), Message::By(3)),
        Message::Ask(to) => Plan::ask(to, Msg::Ping).on_ok(Message::By).into(),
        Message::Panic => panic!("on purpose"),
        // Those below 100 are for later.
        Message::Stash(number) if number < 100 => Plan::stash(Message::Stash(number + 100)),
        Message::Stash(number) => Plan::emit(Event::Set(number)),
        Message::StashAsk(reply) if snapshot.value == 0 => Plan::stash(Message::StashAsk(reply)),
        Message::StashAsk(reply) => Plan::reply(reply, snapshot.meta().is_ask),
        Message::Unstash => Plan::unstash(),
        Message::Stop => Plan::stop(),
    }
}

#[derive(Clone, Copy)]
struct Counting;

impl Behavior for Counting {
    type Machine = Number;
    type Message = Message;
    fn on_message(&self, message: Message, number: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            Message::By(by) => Plan::emit(Event::Set(number.value + by)),
            message => common(message, number),
        }
    }
}

/// With a field so large that its actor's state is not in its cell.
#[derive(Clone, Copy)]
struct Multiplying {
    most: [u64; 9],
}

impl Behavior for Multiplying {
    type Machine = Number;
    type Message = Message;
    fn on_message(&self, message: Message, number: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            Message::By(by) => Plan::emit(Event::Set((number.value * by).min(self.most[8]))),
            message => common(message, number),
        }
    }
}

struct Setup {
    system: System,
    hand: mainspring::timer::ManualClock,
    log: Log,
    alive: Alive,
}

impl Setup {
    fn new() -> Self {
        let (system, hand) = stepped();
        Self {
            system,
            hand,
            log: Log::new(),
            alive: Alive::new(),
        }
    }

    fn number(&self, value: u64) -> Number {
        Number {
            value,
            log: self.log.clone(),
            _alive: self.alive.one(),
        }
    }

    fn counting(&self, value: u64) -> Actor<Counting> {
        self.system.spawn(Counting, self.number(value)).unwrap()
    }

    fn tell(&self, actor: &Actor<Counting>, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            actor.tell(message).unwrap();
        }
        self.system.run_until_idle();
    }

    fn ask<T: Send>(&self, actor: &Actor<Counting>, question: fn(Reply<T>) -> Message) -> T {
        let ask = actor.ask(question);
        self.system.run_until_idle();
        ask.wait().unwrap()
    }
}

#[test]
fn a_switch_there_and_back_keeps_the_state_and_takes_effect_with_the_next_message() {
    use Message::{By, Count, Multiply};
    let setup = Setup::new();
    let actor = setup.counting(1);
    let there = [
        By(4),
        Multiply,
        By(3),
        By(2),
        Count,
        Count,
        By(1),
        Multiply,
        Multiply,
        By(2),
    ];
    setup.tell(&actor, there);
    assert_eq!(setup.log.said(), [5, 15, 30, 31, 62]);
    conserves(setup.system.counts(actor.actor()).unwrap());
    drop(actor);
    drop(setup.system);
    assert_eq!(setup.alive.count(), 0, "each state is dropped once");
}

#[test]
fn the_snapshot_and_the_handle_name_the_current_behavior() {
    let setup = Setup::new();
    let actor = setup.counting(0);
    let named = || {
        let outside = actor.behavior();
        setup.system.run_until_idle();
        let inside = setup.ask(&actor, Message::Name);
        assert_eq!(outside.wait().unwrap(), inside);
        inside.rsplit("::").next().unwrap()
    };
    assert_eq!(named(), "Counting");
    setup.tell(&actor, [Message::Multiply]);
    assert_eq!(named(), "Multiplying");
    setup.tell(&actor, [Message::Count]);
    assert_eq!(named(), "Counting");
}

#[test]
fn switch_evolve_and_answer_are_one_commit() {
    let setup = Setup::new();
    let actor = setup.counting(0);
    setup.tell(&actor, [Message::Multiply]);
    assert_eq!(setup.ask(&actor, Message::SwitchAndAnswer), "it counts");
    setup.tell(&actor, [Message::By(1)]);
    assert_eq!(setup.log.said(), [7, 8]);
    setup.tell(&actor, [Message::FailToMultiply, Message::By(1)]);
    assert_eq!(
        setup.log.said(),
        [7, 8, 9],
        "a turn that fails switches nothing"
    );
}

#[test]
fn address_timers_asks_monitors_and_snapshots_outlive_a_switch() {
    let setup = Setup::new();
    let actor = setup.counting(2);
    let mut end = actor.monitor();
    let answerer = spawn(&setup.system, &Log::new());
    let address = actor.actor();
    let ask = Message::Ask(answerer.actor());
    for message in [Message::Later, ask, Message::Multiply] {
        actor.tell(message).unwrap();
    }
    setup.system.run_until_idle();
    assert_eq!(
        setup.log.take(),
        [14],
        "the answer, 7, is the new behavior's"
    );
    setup.hand.advance(ms(11));
    setup.system.run_until_idle();
    assert_eq!(setup.log.take(), [42], "and so is the timer's message");
    let snapshot = actor.snapshot();
    setup.system.run_until_idle();
    assert_eq!(snapshot.wait().unwrap().value, 42);
    assert_eq!(actor.actor(), address);
    assert!(end.wait_for(ms(0)).is_none());
    setup.tell(&actor, [Message::Stop]);
    assert_eq!(end.wait().exit, Exit::Normal);
}

#[test]
fn behaviors_are_kept_sixteen_deep_and_come_back_in_turn() {
    let setup = Setup::new();
    let actor = setup.counting(1);
    setup.tell(&actor, [Message::Back, Message::By(1)]);
    assert_eq!(setup.log.take(), [2], "there is none to go back to");
    for _ in 0..16 {
        setup.tell(&actor, [Message::MultiplyOver]);
    }
    assert_eq!(setup.system.dead_letter_count(), 0);
    setup.tell(&actor, [Message::MultiplyOver]);
    let [letter] = &setup.system.dead_letters()[..] else {
        panic!("one turn has failed");
    };
    assert_eq!(letter.cause, Cause::TooManyBehaviors);
    for _ in 0..15 {
        setup.tell(&actor, [Message::Back]);
    }
    setup.tell(&actor, [Message::By(5), Message::Back, Message::By(5)]);
    assert_eq!(setup.log.take(), [10, 15]);
}

/// A child that has switched before it is started, and what its supervisor is told.
#[derive(Clone, Copy)]
struct Starting;

impl Behavior for Starting {
    type Machine = Number;
    type Message = Message;
    fn on_message(&self, message: Message, number: Snapshot<'_, Self>) -> Plan<Self> {
        common(message, number)
    }
    fn on_start(&self, _: Snapshot<'_, Self>) -> Plan<Self> {
        Plan::become_(Counting)
    }
}

#[test]
fn a_restart_begins_with_the_factorys_behavior_and_what_was_put_aside() {
    quiet_panics();
    let setup = Setup::new();
    let incarnations = Arc::new(AtomicU64::new(0));
    let (counter, log, one) = (incarnations.clone(), setup.log.clone(), setup.alive.one());
    let backoff = Backoff {
        first: ms(5),
        max: ms(5),
        ..Backoff::NONE
    };
    let spec = ChildSpec::new("child", move |_| {
        counter.fetch_add(1, SeqCst);
        let number = Number {
            value: 10,
            log: log.clone(),
            _alive: one.clone(),
        };
        (Starting, number)
    });
    let spec = spec.named("child").backoff(backoff).start_deadline(ms(20));
    let children = Children::new(Strategy::OneForOne, vec![spec]);
    let supervisor = setup.system.spawn(Supervisor, children).unwrap();
    setup.system.run_until_idle();
    setup.hand.advance(ms(30));
    setup.system.run_until_idle();
    assert_eq!(
        incarnations.load(SeqCst),
        1,
        "a switch at the start is a start"
    );
    let child = setup.system.whereis::<Message>("child").unwrap();
    for message in [
        Message::By(1),
        Message::Multiply,
        Message::Stash(1),
        Message::Stash(2),
        Message::By(2),
        Message::Panic,
        Message::By(3),
    ] {
        child.tell(message).unwrap();
    }
    setup.system.run_until_idle();
    assert_eq!(setup.log.take(), [11, 22]);
    setup.hand.advance(ms(7));
    setup.system.run_until_idle();
    assert_eq!(incarnations.load(SeqCst), 2);
    assert_eq!(
        setup.log.take(),
        [101, 102, 105],
        "put aside first, then the mailbox, counting"
    );
    conserves(setup.system.counts(child.actor()).unwrap());
    let _ = supervisor.tell(SupervisorMessage::Stop);
    setup.system.run_until_idle();
    assert!(!child.is_alive());
}

#[test]
fn what_is_put_aside_comes_back_in_order_before_the_rest() {
    use Message::{By, Stash, Unstash};
    let setup = Setup::new();
    let actor = setup.counting(0);
    setup.tell(
        &actor,
        [Stash(1), Stash(2), By(5), Stash(3), Unstash, By(9), Unstash],
    );
    assert_eq!(setup.log.take(), [5, 101, 102, 103, 112]);
    // Alone in the mailbox, so that there is nothing behind it.
    setup.tell(&actor, [Stash(4)]);
    setup.tell(&actor, [Unstash]);
    assert_eq!(setup.log.take(), [104]);
    let counts = setup.system.counts(actor.actor()).unwrap();
    conserves(counts);
    assert_eq!(
        (counts.handled, counts.queued),
        (9 + 4, 0),
        "what came back counts again"
    );
}

#[test]
fn an_ask_that_was_put_aside_twice_is_an_ask_when_it_is_answered() {
    let setup = Setup::new();
    let actor = setup.counting(0);
    let ask = actor.ask(Message::StashAsk);
    setup.tell(&actor, [Message::Unstash]);
    setup.tell(&actor, [Message::By(1), Message::Unstash]);
    assert!(ask.wait().unwrap());
}

#[test]
fn as_many_as_the_mailbox_has_places_can_be_put_aside() {
    let setup = Setup::new();
    let prepared = setup.system.prepare(Counting, setup.number(0));
    let actor = prepared.capacity(4).start().unwrap();
    for number in 0..5 {
        setup.tell(&actor, [Message::Stash(number)]);
    }
    let [letter] = &setup.system.dead_letters()[..] else {
        panic!("one turn has failed");
    };
    assert_eq!(letter.cause, Cause::StashFull);
    setup.tell(&actor, [Message::Unstash]);
    assert_eq!(setup.log.take(), [100, 101, 102, 103]);
    setup.tell(&actor, [Message::Stash(4)]);
    assert_eq!(setup.system.dead_letter_count(), 1, "there is room again");
}

#[test]
fn at_the_end_what_is_put_aside_is_a_dead_letter_and_its_asker_hears() {
    let setup = Setup::new();
    let actor = setup.counting(0);
    let ask = actor.ask(Message::StashAsk);
    setup.tell(&actor, [Message::Stash(1), Message::Stop]);
    assert_eq!(ask.wait(), Err(AskError::Stopped));
    let causes: Vec<_> = setup
        .system
        .dead_letters()
        .into_iter()
        .map(|letter| letter.cause)
        .collect();
    assert_eq!(causes, [Cause::Stopped, Cause::Stopped]);
    drop(actor);
    assert_eq!(setup.alive.count(), 0);
}

#[test]
fn no_message_is_lost_while_an_actor_switches_under_load() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 300;
    let system = threads(4);
    let (log, alive) = (Log::new(), Alive::new());
    let number = Number {
        value: 0,
        log: log.clone(),
        _alive: alive.one(),
    };
    let actor = system.spawn(Counting, number).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                for number in 0..EACH {
                    let message = match number % 3 {
                        0 => Message::Multiply,
                        1 => Message::Stash(1_000),
                        _ => Message::Count,
                    };
                    actor.tell_wait(message, ms(60_000)).unwrap();
                }
            });
        }
    });
    until("all are handled", || {
        system.counts(actor.actor()).unwrap().handled == SENDERS * EACH
    });
    assert_eq!(log.len() as u64, SENDERS * EACH / 3);
    assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    drop(actor);
    assert_eq!(alive.count(), 0);
}
