//! Crowds: everybody with everybody, and strangers who meet.
//!
//! ```text
//!   big         each round, every actor pings all others and waits for all their pongs
//!   chameneos   creature 1 ── Meet ─▶ mall ◀─ Meet ── creature 2
//!               creature 1 ◀─ Partner(2) ── mall,   creature 1 ── Color ─▶ creature 2
//! ```

use std::sync::Arc;

use mainspring::prelude::*;

use super::super::measure::{Goal, Measure};
use super::super::meter::{Meter, Sample};
use super::super::setting::Setting;
use super::stage::{Arrival, Stage, Tally};
use super::{Group, Sizes, Workload, Wrong};

pub(super) fn all() -> [&'static dyn Workload; 2] {
    [&Big, &Chameneos]
}

/// All to all.
struct Big;

const ACTORS: u64 = 512;
/// Room for the pings and pongs of two rounds: the others may be one ahead.
const CAPACITY: usize = 4 * ACTORS as usize;

impl Workload for Big {
    fn name(&self) -> &'static str {
        "big"
    }

    fn group(&self) -> Group {
        Group::Messages
    }

    fn about(&self) -> &'static str {
        "512 actors: in each round each pings all others and waits for all their pongs."
    }

    fn message(&self) -> &'static str {
        "one ping or pong"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 10_000_000,
            quick: 1_600_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::MessagesPerS
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![Goal::new(Measure::MessagesPerS, 60e6)]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set_with(setting, |builder| builder.mailbox_capacity(CAPACITY))?;
        let pings_a_round = ACTORS * (ACTORS - 1);
        let rounds = setting.size.div_ceil(2 * pings_a_round);
        let pinging = Pinging {
            usher: stage.usher(),
            rounds,
        };
        let pingers = (0..ACTORS)
            .map(|_| Ok(stage.system.spawn(pinging, Pinger::default())?))
            .collect::<Result<Vec<_>, Wrong>>()?;
        let all: Arc<[_]> = pingers.iter().map(|pinger| pinger.actor()).collect();
        for pinger in &pingers {
            pinger.tell(Ping::Meet(all.clone()))?;
        }
        for pinger in &pingers {
            pinger.ask(Ping::IsReady).wait()?;
        }
        stage.expect(ACTORS)?;
        let (window, tally) = meter.window(|| {
            for pinger in &pingers {
                pinger.tell(Ping::Start)?;
            }
            stage.wait()
        });
        // What each saw last are its last pongs; by then all others have had all its pings.
        let pongs = rounds * pings_a_round;
        tally?.must_be(
            "pongs",
            Tally {
                count: pongs,
                sum: 0,
            },
        )?;
        let pings = pingers
            .iter()
            .map(|pinger| Ok(pinger.ask(Ping::Pings).wait()?))
            .sum::<Result<u64, Wrong>>()?;
        Wrong::unless_equal("the number of pings", pings, pongs)?;
        stage.close()?;
        Ok(window.sample(pings + pongs))
    }
}

enum Ping {
    Meet(Arc<[ActorRef<Ping>]>),
    IsReady(Reply<()>),
    Start,
    Hit(ActorRef<Ping>),
    Pong,
    Pings(Reply<u64>),
}

#[derive(Default)]
struct Pinger {
    all: Option<Arc<[ActorRef<Ping>]>>,
    pings: u64,
    pongs: u64,
}

enum Pinged {
    Met(Arc<[ActorRef<Ping>]>),
    Ping,
    Pong,
}

impl Machine for Pinger {
    type Event = Pinged;

    fn apply(&mut self, event: Pinged) {
        match event {
            Pinged::Met(all) => self.all = Some(all),
            Pinged::Ping => self.pings += 1,
            Pinged::Pong => self.pongs += 1,
        }
    }
}

#[derive(Clone, Copy)]
struct Pinging {
    usher: ActorRef<Arrival>,
    rounds: u64,
}

impl Pinging {
    /// Pings all others.
    fn round(pinger: Snapshot<Self>) -> Plan<Self> {
        let me = pinger.me();
        let all = pinger.all.iter().flat_map(|all| all.iter());
        let pings = all
            .filter(|&&other| other != me)
            .map(|&other| Plan::tell(other, Ping::Hit(me)));
        pings.fold(Plan::none(), Plan::and)
    }
}

impl Behavior for Pinging {
    type Machine = Pinger;
    type Message = Ping;

    fn on_message(&self, message: Ping, pinger: Snapshot<Self>) -> Plan<Self> {
        match message {
            Ping::Hit(from) => Plan::emit(Pinged::Ping).and(Plan::tell(from, Ping::Pong)),
            Ping::Pong => {
                let pongs = pinger.pongs + 1;
                if !pongs.is_multiple_of(ACTORS - 1) {
                    Plan::emit(Pinged::Pong)
                } else if pongs < self.rounds * (ACTORS - 1) {
                    Plan::emit(Pinged::Pong).and(Self::round(pinger))
                } else {
                    let seen = Tally {
                        count: pongs,
                        sum: 0,
                    };
                    Plan::emit(Pinged::Pong).and(Plan::tell(self.usher, Arrival::Done(seen)))
                }
            }
            Ping::Start => Self::round(pinger),
            Ping::Meet(all) => Plan::emit(Pinged::Met(all)),
            Ping::IsReady(reply) => Plan::reply(reply, ()),
            Ping::Pings(reply) => Plan::reply(reply, pinger.pings),
        }
    }
}

/// Creatures that meet in pairs at a mall and change their colors.
struct Chameneos;

const CREATURES: u64 = 100;
/// Two requests, the partner's name to the one who came first, and the color to the other.
const MESSAGES_A_MEETING: u64 = 4;

impl Workload for Chameneos {
    fn name(&self) -> &'static str {
        "chameneos"
    }

    fn group(&self) -> Group {
        Group::Messages
    }

    fn about(&self) -> &'static str {
        "100 creatures meet in pairs at one mall and change their colors; four messages a meeting."
    }

    fn message(&self) -> &'static str {
        "one of the four messages of a meeting"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 8_000_000,
            quick: 1_000_000,
        }
    }

    fn headline(&self) -> Measure {
        Measure::MessagesPerS
    }

    fn goals(&self, _workers: usize) -> Vec<Goal> {
        vec![Goal::new(Measure::MessagesPerS, 42e6)]
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let stage = Stage::set(setting)?;
        let meetings = setting.size.div_ceil(MESSAGES_A_MEETING);
        let mall = Mall {
            first: None,
            left: meetings,
        };
        let mall = stage.system.spawn(Pairing, mall)?;
        let meeting = Meeting {
            mall: mall.actor(),
            usher: stage.usher(),
        };
        let creatures = (0..CREATURES)
            .map(|n| {
                let creature = Creature {
                    color: (n % 3) as u8,
                    met: 0,
                };
                Ok(stage.system.spawn(meeting, creature)?)
            })
            .collect::<Result<Vec<_>, Wrong>>()?;
        stage.expect(CREATURES)?;
        let (window, tally) = meter.window(|| {
            for creature in &creatures {
                creature.tell(Encounter::Start)?;
            }
            stage.wait()
        });
        // Each meeting is counted by both; colors are 0, 1 and 2.
        let tally = tally?;
        Wrong::unless_equal("the number of meetings seen", tally.count, 2 * meetings)?;
        if tally.sum > 2 * CREATURES {
            return Err(Wrong(format!("{} is no sum of colors", tally.sum)));
        }
        stage.close()?;
        Ok(window.sample(meetings * MESSAGES_A_MEETING))
    }
}

/// To the mall: a creature of this color wants to meet another.
struct Meet(ActorRef<Encounter>, u8);

struct Mall {
    first: Option<(ActorRef<Encounter>, u8)>,
    left: u64,
}

enum Paired {
    First(ActorRef<Encounter>, u8),
    Both,
}

impl Machine for Mall {
    type Event = Paired;

    fn apply(&mut self, event: Paired) {
        match event {
            Paired::First(who, color) => self.first = Some((who, color)),
            Paired::Both => {
                self.first = None;
                self.left -= 1;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Pairing;

impl Behavior for Pairing {
    type Machine = Mall;
    type Message = Meet;

    fn on_message(&self, Meet(who, color): Meet, mall: Snapshot<Self>) -> Plan<Self> {
        match mall.first {
            _ if mall.left == 0 => Plan::tell(who, Encounter::Closed),
            None => Plan::emit(Paired::First(who, color)),
            Some((first, _)) => {
                Plan::emit(Paired::Both).and(Plan::tell(first, Encounter::Partner(who, color)))
            }
        }
    }
}

enum Encounter {
    Start,
    /// The other and its color.
    Partner(ActorRef<Encounter>, u8),
    /// The other's color before the meeting.
    Color(u8),
    Closed,
}

struct Creature {
    color: u8,
    met: u64,
}

/// It met one of this color.
struct Met(u8);

impl Creature {
    /// Its color after it met one of the color `other`: its own if both are alike, else the third.
    fn color_after(&self, other: u8) -> u8 {
        if self.color == other {
            self.color
        } else {
            3 - self.color - other
        }
    }
}

impl Machine for Creature {
    type Event = Met;

    fn apply(&mut self, Met(other): Met) {
        self.color = self.color_after(other);
        self.met += 1;
    }
}

#[derive(Clone, Copy)]
struct Meeting {
    mall: ActorRef<Meet>,
    usher: ActorRef<Arrival>,
}

impl Meeting {
    /// Takes on the new color and goes back to the mall.
    fn meet(&self, other: u8, creature: Snapshot<Self>) -> Plan<Self> {
        let again = Meet(creature.me(), creature.color_after(other));
        Plan::emit(Met(other)).and(Plan::tell(self.mall, again))
    }
}

impl Behavior for Meeting {
    type Machine = Creature;
    type Message = Encounter;

    fn on_message(&self, message: Encounter, creature: Snapshot<Self>) -> Plan<Self> {
        match message {
            Encounter::Partner(other, color) => self
                .meet(color, creature)
                .and(Plan::tell(other, Encounter::Color(creature.color))),
            Encounter::Color(color) => self.meet(color, creature),
            Encounter::Start => Plan::tell(self.mall, Meet(creature.me(), creature.color)),
            Encounter::Closed => {
                let seen = Tally {
                    count: creature.met,
                    sum: u64::from(creature.color),
                };
                Plan::tell(self.usher, Arrival::Done(seen))
            }
        }
    }
}
