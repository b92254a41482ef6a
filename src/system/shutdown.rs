//! A system's end: in order, until a deadline; and what it left behind.

use super::System;
use super::shared::SYSTEMS;
use crate::actor::Address;
use crate::actor::cell::life;
use crate::envelope::leave_outside_pool;
use crate::sync::lock;
use crate::sync::thread::{self};
use crate::sync::time::Instant;
use std::fmt;
use std::time::Duration;

/// What a shutdown left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Actors that had not ended in time.
    pub actors_left: u64,
    /// Workers that did not return from a handler in time, and threads that did not return from a
    /// compute step; they were detached.
    pub workers_stuck: usize,
    /// Who had not finished at the deadline, and was stopped before the next message.
    pub late: Vec<Late>,
}

/// An actor that had not finished at the deadline of a shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Late {
    /// Its address.
    pub actor: Address,
    /// Its behavior's type.
    pub behavior: &'static str,
    /// The messages that were in its mailbox or in hand.
    pub messages: u64,
}

impl Shutdown {
    /// Whether all actors finished what they were sent, and all threads ended.
    pub fn is_clean(&self) -> bool {
        self.actors_left == 0 && self.workers_stuck == 0 && self.late.is_empty()
    }

    /// The messages that were in the mailboxes or in the hands of those who were late.
    pub fn messages_left(&self) -> u64 {
        self.late.iter().map(|late| late.messages).sum()
    }
}

impl fmt::Display for Shutdown {
    /// Who was late, one a line, after the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} actors late with {} messages, {} left, {} threads stuck",
            self.late.len(),
            self.messages_left(),
            self.actors_left,
            self.workers_stuck
        )?;
        for late in &self.late {
            let (actor, behavior, messages) = (late.actor, late.behavior, late.messages);
            write!(f, "\n{actor} {behavior}: {messages} messages")?;
        }
        Ok(())
    }
}

impl System {
    pub(super) fn end(&self, deadline: Duration) -> Shutdown {
        if !self.shared.gate.close() {
            return Shutdown::default();
        }
        let inside = self.is_inside();
        let start = Instant::now();
        let step = || {
            if let Some(host) = &self.stepped {
                // A slice at a time: the deadline holds also for actors that never come to rest.
                let _ = lock(host).run_ready(Some(Duration::from_millis(1)));
            } else {
                thread::sleep(Duration::from_micros(200));
            }
        };
        if !inside {
            let tops = self.shared.tops();
            for &top in &tops {
                self.shared.stop_tree(top);
            }
            let lives = |top: &Address| self.shared.cell_of(*top).is_some();
            while tops.iter().any(lives) && start.elapsed() < deadline / 2 {
                step();
            }
        }
        let mut late = Vec::new();
        let mut told = self.shared.made();
        let mut look_in = Duration::from_millis(5);
        let mut look_at = start.elapsed() + look_in;
        self.shared.stop_all(0);
        let mut forced = false;
        while !inside && self.shared.live() > 0 {
            if start.elapsed() >= deadline {
                if forced && start.elapsed() >= deadline + Duration::from_millis(500) {
                    break;
                }
                if !forced {
                    late = self.shared.survivors();
                    self.shared.stop_all(life::STOP_NOW);
                    forced = true;
                }
            }
            // Those that were made meanwhile stop in order too. One is counted before its mailbox
            // opens, so a look may miss it for good: there is another look after a while.
            let made = self.shared.made();
            if made != told || start.elapsed() >= look_at {
                told = made;
                look_in = (2 * look_in).min(Duration::from_millis(200));
                look_at = start.elapsed() + look_in;
                self.shared
                    .stop_all(if forced { life::STOP_NOW } else { 0 });
            }
            step();
        }
        *lock(&self.shared.workers_end) = true;
        if !inside && self.stepped.is_some() {
            step(); // the last one, for what was handed over meanwhile
        }
        leave_outside_pool(&self.shared.depot);
        let actors_left = if inside { 0 } else { self.shared.live() };
        for dispatcher in self.shared.dispatchers() {
            dispatcher.stop();
        }
        self.shared.watchdog.stop();
        #[cfg(feature = "io")]
        self.shared.io.stop();
        let mut workers_stuck = 0;
        if !inside {
            // One by one: the watchdog may be starting one more.
            while let Some(thread) = self.shared.next_thread() {
                while !thread.is_finished() && start.elapsed() < deadline + Duration::from_secs(1) {
                    thread::sleep(Duration::from_micros(100));
                }
                if thread.is_finished() {
                    let _ = thread.join();
                } else {
                    workers_stuck += 1;
                }
            }
        }
        #[cfg(feature = "compute")]
        if !inside {
            workers_stuck += self
                .shared
                .compute
                .end(start + deadline + Duration::from_secs(1));
        }
        self.shared.topics.close();
        self.shared.ward.close();
        if let Some(systems) = lock(&SYSTEMS).as_mut() {
            systems.remove(&self.shared.tag);
        }
        Shutdown {
            actors_left,
            workers_stuck,
            late,
        }
    }
}
impl Drop for System {
    fn drop(&mut self) {
        self.end(self.shared.config.system.shutdown_timeout);
    }
}
