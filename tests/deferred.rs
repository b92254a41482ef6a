//! A reply kept in a machine is answered by a later turn, once.

use mainspring::prelude::*;
use std::time::Duration;

#[derive(Default)]
struct Desk {
    waiting: Option<Deferred<u64>>,
}

enum Noted {
    Waits(Deferred<u64>),
    Forgot,
}

impl Machine for Desk {
    type Event = Noted;
    fn apply(&mut self, event: Noted) {
        self.waiting = match event {
            Noted::Waits(reply) => Some(reply),
            Noted::Forgot => None,
        };
    }
}

enum Say {
    Question(Reply<u64>),
    Answer(u64),
    AnswerThenPanic(u64),
    Forget,
}

#[derive(Clone, Copy)]
struct Clerk;
impl Behavior for Clerk {
    type Machine = Desk;
    type Message = Say;
    fn on_message(&self, message: Say, desk: Snapshot<Self>) -> Plan<Self> {
        let answer = |value| match &desk.waiting {
            Some(reply) => Plan::reply_deferred(reply, value),
            None => Plan::unhandled(),
        };
        match message {
            Say::Question(reply) => Plan::emit(Noted::Waits(reply.defer())),
            Say::Answer(value) => answer(value),
            Say::AnswerThenPanic(value) => {
                let _plan: Plan<Self> = answer(value);
                panic!("after the plan was made, before it was returned")
            }
            Say::Forget => Plan::emit(Noted::Forgot),
        }
    }
}

/// Asks a clerk from an actor; what it learns goes to the reply it was given.
enum Relay {
    Ask(ActorRef<Say>, Reply<Result<u64, AskError>>),
    Learned(Result<u64, AskError>, Reply<Result<u64, AskError>>),
}
struct Stateless;
impl Machine for Stateless {
    type Event = std::convert::Infallible;
    fn apply(&mut self, never: Self::Event) {
        match never {}
    }
}
#[derive(Clone, Copy)]
struct Relaying;
impl Behavior for Relaying {
    type Machine = Stateless;
    type Message = Relay;
    fn on_message(&self, message: Relay, _: Snapshot<Self>) -> Plan<Self> {
        match message {
            Relay::Ask(clerk, reply) => Plan::<Self>::ask(clerk, Say::Question)
                .on_ok(move |value| Relay::Learned(Ok(value), reply))
                .into(),
            Relay::Learned(outcome, reply) => Plan::reply(reply, outcome),
        }
    }
}

fn stepped() -> System {
    let clock = mainspring::timer::Clock::real();
    System::stepped(Config::default(), clock).expect("the default configuration is right")
}

#[test]
fn a_later_turn_answers_an_asker_outside_once() {
    let system = stepped();
    let clerk = system.spawn(Clerk, Desk::default()).unwrap();
    let ask = clerk.ask(Say::Question);
    system.run_until_idle();
    for value in [7, 8] {
        clerk.tell(Say::Answer(value)).unwrap();
        system.run_until_idle();
    }
    assert_eq!(ask.wait(), Ok(7));
}

#[test]
fn a_later_turn_answers_an_asking_actor() {
    let system = stepped();
    let clerk = system.spawn(Clerk, Desk::default()).unwrap();
    let relay = system.spawn(Relaying, Stateless).unwrap();
    let ask = relay.ask(|reply| Relay::Ask(clerk.actor(), reply));
    system.run_until_idle();
    clerk.tell(Say::Answer(9)).unwrap();
    system.run_until_idle();
    assert_eq!(ask.wait(), Ok(Ok(9)));
}

#[test]
fn dropping_the_last_clone_fails_the_asker_at_once() {
    let system = stepped();
    let clerk = system.spawn(Clerk, Desk::default()).unwrap();
    let ask = clerk.ask(Say::Question);
    clerk.tell(Say::Forget).unwrap();
    system.run_until_idle();
    assert_eq!(ask.timeout(Duration::ZERO).wait(), Err(AskError::Dropped));
}

#[test]
fn a_plan_that_is_never_committed_answers_nobody() {
    let system = stepped();
    let clerk = system.spawn(Clerk, Desk::default()).unwrap();
    let ask = clerk.ask(Say::Question);
    clerk.tell(Say::AnswerThenPanic(7)).unwrap();
    system.run_until_idle();
    assert!(ask.timeout(Duration::ZERO).wait().is_err());
}
