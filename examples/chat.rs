//! A chat room: a message goes to everybody in the room, into the store, and tells who is present,
//! all of it or none.
//!
//! `cargo run --example chat`

use mainspring::prelude::*;
use mainspring::{Clock, plan};

#[derive(Clone)]
struct Said {
    by: &'static str,
    text: &'static str,
}

#[derive(Default)]
struct Room {
    members: Vec<ActorRef<Said>>,
}
struct Joined(ActorRef<Said>);
impl Machine for Room {
    type Event = Joined;
    fn apply(&mut self, Joined(member): Joined) {
        self.members.push(member);
    }
}

#[derive(Clone, Copy)]
struct Chatting {
    store: ActorRef<Store>,
    presence: ActorRef<Active>,
}
enum Chat {
    Join(ActorRef<Said>),
    Say(Said),
}
impl Behavior for Chatting {
    type Machine = Room;
    type Message = Chat;
    fn on_message(&self, message: Chat, room: Snapshot<Self>) -> Plan<Self> {
        match message {
            Chat::Join(member) => Plan::emit(Joined(member)),
            Chat::Say(said) => plan![
                Plan::tell_all(&room.members, said.clone()),
                Plan::tell(self.presence, Active(said.by)),
                Plan::tell(self.store, Store(said)), // the whole message inside another
            ],
        }
    }
}

/// What the store is told.
struct Store(Said);
struct History(Vec<Said>);
impl Machine for History {
    type Event = Store;
    fn apply(&mut self, Store(said): Store) {
        self.0.push(said);
        println!("stored by now: {}", self.0.len());
    }
}

/// What the list of those present is told.
struct Active(&'static str);
struct Presence(Vec<&'static str>);
impl Machine for Presence {
    type Event = Active;
    fn apply(&mut self, Active(who): Active) {
        if !self.0.contains(&who) {
            self.0.push(who);
        }
        println!("present: {}", self.0.join(", "));
    }
}

/// A member's screen.
struct Screen(&'static str);
impl Machine for Screen {
    type Event = Said;
    fn apply(&mut self, said: Said) {
        println!("{} reads of {}: {}", self.0, said.by, said.text);
    }
}

fn main() -> mainspring::Result {
    let system = System::stepped(Config::default(), Clock::manual().0)?;
    let store = system.spawn_machine(History(Vec::new()))?.actor();
    let presence = system.spawn_machine(Presence(Vec::new()))?.actor();
    let room = system.spawn(Chatting { store, presence }, Room::default())?;
    for name in ["Ada", "Bob"] {
        let screen = system.spawn_machine(Screen(name))?;
        room.tell(Chat::Join(screen.actor()))?;
    }
    for (by, text) in [("Ada", "hello"), ("Bob", "good morning")] {
        room.tell(Chat::Say(Said { by, text }))?;
        system.run_until_idle();
    }
    Ok(())
}
