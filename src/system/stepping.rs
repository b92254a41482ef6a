//! What the simulation asks of a stepped system and does with it.

use super::{StartError, System};
use crate::actor::Address;
use crate::actor::cell::life;
use crate::actor::ids::Source;
use crate::config::Config;
use crate::dispatcher::worker;
use crate::sync::atomic::Ordering::Relaxed;
use crate::timer::Clock;
use std::num::NonZeroU32;

impl System {
    /// As [`System::stepped`], with ids of this seed.
    pub(crate) fn stepped_by(config: Config, clock: Clock, seed: u64) -> Result<Self, StartError> {
        Self::start(config, clock, false, Source::of(seed))
    }

    /// One turn of a stepped system, see [`Worker::run_chosen`].
    pub(crate) fn run_chosen(
        &self,
        ready: &mut Vec<u32>,
        choose: &mut dyn FnMut(&[u32]) -> (usize, u32),
    ) -> Option<worker::Chosen> {
        self.host().run_chosen(ready, choose)
    }

    /// Whether an actor of a stepped system is ready to run, or a timer is due.
    pub(crate) fn has_ready(&self) -> bool {
        self.host().has_ready()
    }

    /// The actors that live, and were not told to stop.
    pub(crate) fn living(&self) -> Vec<Address> {
        let mut living = Vec::new();
        self.shared.cells.for_each(|number, cell| {
            if let Some(generation) = NonZeroU32::new(cell.life.generation())
                && !cell.inbox.is_closed()
            {
                living.push(Address {
                    cell: number,
                    generation,
                    system: self.shared.tag,
                });
            }
        });
        living
    }

    /// Ends an actor before its next message, with its stop hook unless it is killed.
    pub(crate) fn end_before_next(&self, actor: Address, kills: bool) {
        let flag = if kills { life::KILL } else { life::STOP_NOW };
        self.shared.raise(actor, flag);
    }

    /// Once nobody is ready in a stepped system: a circle of asks that was found and is still there.
    pub(crate) fn circle_left(&self) -> Option<crate::AskCircle> {
        self.shared.circles.left()
    }

    /// Once nobody is ready in a stepped system: an actor of its dispatcher that somebody owes a
    /// run, against I3 of `sync/inbox.rs`, and how many messages it has.
    pub(crate) fn owed_a_run(&self) -> Option<(u32, u32)> {
        let mut owed = None;
        self.shared.cells.for_each(|number, cell| {
            let here = cell.dispatcher.load(Relaxed) == 0;
            if here && !cell.inbox.is_closed() && !cell.inbox.is_idle() {
                owed.get_or_insert((number, cell.inbox.places_taken()));
            }
        });
        owed
    }

    /// When a stepped system's next timer may be due, in nanoseconds.
    pub(crate) fn next_timer_ns(&self) -> Option<u64> {
        self.host().next_timer_ns()
    }
}
