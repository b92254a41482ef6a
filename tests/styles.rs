//! Simple and complex state in one framework: the same messages, answers and checks for a machine
//! that is a plain value and for one that is a chart.
#![cfg(feature = "macros")]

use mainspring::Clock;
use mainspring::prelude::*;

/// What may happen to a door.
#[derive(Clone, Copy, Debug)]
enum Push {
    Open,
    Close,
    Lock,
    Unlock,
}

/// What one may say to an actor that has a door.
enum Ask {
    Push(Push),
    State(Reply<(&'static str, u32)>),
}

/// A door as a plain value.
#[derive(Clone, Default)]
struct Plain {
    is_open: bool,
    is_locked: bool,
    passed: u32,
}

impl Machine for Plain {
    type Event = Push;
    fn apply(&mut self, push: Push) {
        match push {
            Push::Open if !self.is_open && !self.is_locked => {
                self.is_open = true;
                self.passed += 1;
            }
            Push::Close => self.is_open = false,
            Push::Lock if !self.is_open => self.is_locked = true,
            Push::Unlock => self.is_locked = false,
            Push::Open | Push::Lock => {}
        }
    }
}

mainspring::chart! {
    /// The same door as a chart.
    chart Drawn(passed: u32, event: Push) {
        initial Closed;
        state Closed {
            on Push::Open => Open { *passed += 1 }
            on Push::Lock => Locked;
        }
        state Open { on Push::Close => Closed; }
        state Locked { on Push::Unlock => Closed; }
    }
}

#[derive(Clone, Copy)]
struct PlainDoor;

impl Behavior for PlainDoor {
    type Machine = Plain;
    type Message = Ask;
    fn on_message(&self, message: Ask, door: Snapshot<Self>) -> Plan<Self> {
        match message {
            Ask::Push(push) => Plan::emit(push),
            Ask::State(reply) => {
                let state = match (door.is_open, door.is_locked) {
                    (true, _) => "open",
                    (_, true) => "locked",
                    _ => "closed",
                };
                Plan::reply(reply, (state, door.passed))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct DrawnDoor;

impl Behavior for DrawnDoor {
    type Machine = Drawn;
    type Message = Ask;
    fn on_message(&self, message: Ask, door: Snapshot<Self>) -> Plan<Self> {
        match message {
            Ask::Push(push) => Plan::emit(push),
            Ask::State(reply) => {
                let state = if door.is(DrawnState::Open) {
                    "open"
                } else if door.is(DrawnState::Locked) {
                    "locked"
                } else {
                    "closed"
                };
                Plan::reply(reply, (state, *door.context()))
            }
        }
    }
}

/// What an actor with a door says after each of these pushes.
fn story<B: Behavior<Message = Ask>>(door: B, machine: B::Machine) -> Vec<(&'static str, u32)> {
    let (clock, _hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let door = system.spawn(door, machine).unwrap();
    [
        Push::Lock,
        Push::Open,
        Push::Unlock,
        Push::Open,
        Push::Open,
        Push::Lock,
        Push::Close,
        Push::Open,
    ]
    .map(|push| {
        door.tell(Ask::Push(push)).unwrap();
        let state = door.ask(Ask::State);
        system.run_until_idle();
        state.wait().unwrap()
    })
    .to_vec()
}

#[test]
fn a_plain_value_and_a_chart_tell_the_same_story() {
    let plain = story(PlainDoor, Plain::default());
    assert_eq!(
        plain,
        [
            ("locked", 0),
            ("locked", 0),
            ("closed", 0),
            ("open", 1),
            ("open", 1),
            ("open", 1),
            ("closed", 1),
            ("open", 2),
        ]
    );
    assert_eq!(plain, story(DrawnDoor, Drawn::new(0).unwrap()));
}
