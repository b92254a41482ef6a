//! Balls that are passed on: two by two, and around a ring.
//!
//! ```text
//!   ┌─▶ player 1 ── Ball(7) ──▶ player 2 ── Ball(6) ──▶ … ─┐
//!   └──────────────────────────────────────────────────────┘   at Ball(0) the tallies go around once
//! ```

use mainspring::prelude::*;

use super::super::measure::{Goal, Measure};
use super::super::meter::{Meter, Sample};
use super::super::setting::Setting;
use super::stage::{Arrival, Stage, Tally, sum_below};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 3] {
    [&PING_PONG, &PAIRS, &RING]
}

/// Rings with one ball each; the size is the number of passes in all.
struct Passing {
    name: &'static str,
    about: &'static str,
    rings: u64,
    players: usize,
    sizes: Sizes,
    goals: fn(usize) -> Goal,
}

static PING_PONG: Passing = Passing {
    name: "ping-pong",
    about: "Two actors pass one ball to and fro and count its passes.",
    rings: 1,
    players: 2,
    sizes: Sizes {
        usual: 8_000_000,
        quick: 1_000_000,
    },
    goals: |workers| {
        Goal::new(
            Measure::NsPerMessage,
            if workers == 1 { 12.0 } else { 15.0 },
        )
    },
};

static PAIRS: Passing = Passing {
    name: "pairs",
    about: "1,000 pairs of actors, each with a ball of its own.",
    rings: 1_000,
    players: 2,
    sizes: Sizes {
        usual: 10_000_000,
        quick: 1_000_000,
    },
    goals: |_| Goal::new(Measure::MessagesPerS, 120e6),
};

static RING: Passing = Passing {
    name: "ring",
    about: "1,000 actors in a ring pass one ball on.",
    rings: 1,
    players: 1_000,
    sizes: Sizes {
        usual: 8_000_000,
        quick: 1_000_000,
    },
    goals: |workers| {
        Goal::new(
            Measure::NsPerMessage,
            if workers == 1 { 12.0 } else { 15.0 },
        )
    },
};

impl Workload for Passing {
    fn name(&self) -> &'static str {
        self.name
    }

    fn group(&self) -> Group {
        Group::Messages
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn message(&self) -> &'static str {
        "one pass of a ball"
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn headline(&self) -> Measure {
        (self.goals)(1).measure
    }

    fn goals(&self, workers: usize) -> Vec<Goal> {
        vec![(self.goals)(workers)]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let servers = (0..self.rings)
            .map(|_| self.ring(&stage))
            .collect::<Result<Vec<_>, _>>()?;
        let passes_each = (setting.size / self.rings).max(1);
        stage.expect(self.rings)?;
        let (window, tally) = meter.window(|| {
            for server in &servers {
                server.tell(Pass::Ball(passes_each - 1))?;
            }
            stage.wait()
        });
        let passes = passes_each * self.rings;
        let sum = sum_below(passes_each) * self.rings;
        tally?.must_be("passes", Tally { count: passes, sum })?;
        stage.close()?;
        Ok(window.sample(passes))
    }
}

impl Passing {
    /// A ring of players who know each other; the last one spawned serves.
    fn ring(&self, stage: &Stage) -> Result<Actor<Playing>, Wrong> {
        let playing = Playing {
            usher: stage.usher(),
            players: self.players,
        };
        let last = stage.system.spawn(playing, Player::before(None))?;
        let mut first = last.clone();
        for _ in 1..self.players {
            let next = Player::before(Some(first.actor()));
            first = stage.system.spawn(playing, next)?;
        }
        last.tell(Pass::Meet(first.actor()))?;
        // Its answer comes after the meeting, so the ring is closed from here on.
        last.ask(Pass::IsReady).wait()?;
        Ok(last)
    }
}

enum Pass {
    /// The ball, with the number of passes still to come.
    Ball(u64),
    /// The game is over: what those before saw.
    Report(Tally, usize),
    Meet(ActorRef<Pass>),
    IsReady(Reply<()>),
}

struct Player {
    next: Option<ActorRef<Pass>>,
    seen: Tally,
}

impl Player {
    fn before(next: Option<ActorRef<Pass>>) -> Player {
        Player {
            next,
            seen: Tally::NOTHING,
        }
    }
}

enum Played {
    Hit(u64),
    Met(ActorRef<Pass>),
}

impl Machine for Player {
    type Event = Played;

    fn apply(&mut self, event: Played) {
        match event {
            Played::Hit(left) => self.seen.see(left),
            Played::Met(next) => self.next = Some(next),
        }
    }
}

#[derive(Clone, Copy)]
struct Playing {
    usher: ActorRef<Arrival>,
    players: usize,
}

impl Behavior for Playing {
    type Machine = Player;
    type Message = Pass;

    fn on_message(&self, message: Pass, player: Snapshot<Self>) -> Plan<Self> {
        let next = player.next;
        match (message, next) {
            (Pass::Ball(left @ 1..), Some(next)) => {
                Plan::emit(Played::Hit(left)).and(Plan::tell(next, Pass::Ball(left - 1)))
            }
            (Pass::Ball(_), Some(next)) => {
                let mut seen = player.seen;
                seen.see(0);
                Plan::tell(next, Pass::Report(seen, self.players - 1))
            }
            (Pass::Report(mut seen, missing), Some(next)) => {
                seen.add(player.seen);
                match missing {
                    1 => Plan::tell(self.usher, Arrival::Done(seen)),
                    _ => Plan::tell(next, Pass::Report(seen, missing - 1)),
                }
            }
            (Pass::Meet(next), _) => Plan::emit(Played::Met(next)),
            (Pass::IsReady(reply), _) => Plan::reply(reply, ()),
            (Pass::Ball(_) | Pass::Report(..), None) => Plan::unhandled(),
        }
    }
}
