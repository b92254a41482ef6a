//! What the bodies of charts say, inside of the chart and to an actor.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

/// A log of actions, and a number for the guards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    pub said: Vec<String>,
    pub level: u8,
}

impl Log {
    pub fn say(&mut self, word: &str) {
        self.said.push(word.to_owned());
    }
}

/// All that an actor was told.
#[derive(Clone, Default)]
pub struct Words(pub Vec<String>);
impl mainspring::Machine for Words {
    type Event = String;
    fn apply(&mut self, word: String) {
        self.0.push(word);
    }
}
