//! The search for circles of actors that ask and wait for each other.
//!
//! ```text
//!   open asks: 1 ──▶ 2 ──▶ 3 ──▶ 1      a new ask closes a circle: a check is armed
//!                                       all of it as old as the check once that is due: it is stuck
//! ```
//!
//! Nobody who asks stands still: each of a circle may answer while it waits, and mostly does. So a
//! circle is reported when all of its asks have been open for half a second, or half of the time
//! that the last of them has, whichever is less; its asks end by their own time. A simulation
//! reports one that is left when nobody is runnable.

use super::AskCircle;
use crate::actor::Address;
use crate::actor::cell::Running;
use crate::dispatcher::worker::Worker;
use crate::envelope::Kind;
use crate::sync::{Mutex, lock};
use crate::system::Shared;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// How long a circle is open before it counts as stuck.
const GRACE_NS: u64 = 500_000_000;
/// Actors and asks that one search looks at.
const ACTORS_MAX: usize = 256;
const ASKS_MAX: usize = 4_096;
/// Circles that are kept to be read.
const KEPT_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Open {
    number: u64,
    to: Address,
    since_ns: u64,
    /// How long after that its circle counts as stuck.
    grace_ns: u64,
    behavior: &'static str,
}

/// The open asks of one system's actors, and the circles that were found.
#[derive(Default)]
pub(crate) struct Circles(Mutex<State>);

#[derive(Default)]
struct State {
    /// By number, so nearly by age. Kept also when empty, until the actor ends.
    open: HashMap<Address, VecDeque<Open>>,
    /// The asks that closed a circle and for which a check is armed, by asker.
    checked: HashMap<Address, Suspect>,
    found: Vec<AskCircle>,
    /// Those that a simulation looks at when nobody is runnable.
    #[cfg(feature = "testkit")]
    suspects: Vec<Suspect>,
}

/// An ask that closed a circle.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    asker: Address,
    number: u64,
}

impl State {
    fn ask(&self, suspect: Suspect) -> Option<&Open> {
        let asks = self.open.get(&suspect.asker)?;
        let place = asks.binary_search_by_key(&suspect.number, |open| open.number);
        asks.get(place.ok()?)
    }

    /// The shortest circle that an open ask closes, of asks that are not younger.
    fn circle(&self, suspect: Suspect) -> Option<AskCircle> {
        let closing = self.ask(suspect)?;
        let mut left = ASKS_MAX;
        // Each with the place of the one who asks it.
        let mut seen: SmallVec<[(Address, usize); 8]> = SmallVec::new();
        seen.push((closing.to, 0));
        let mut place = 0;
        while place < seen.len() {
            let actor = seen[place].0;
            if actor == suspect.asker {
                return Some(self.named(&seen, place));
            }
            for ask in self.open.get(&actor).into_iter().flatten() {
                left -= 1;
                if left == 0 {
                    return None;
                }
                let is_new = seen.iter().all(|(actor, _)| *actor != ask.to);
                if ask.since_ns <= closing.since_ns && is_new && seen.len() < ACTORS_MAX {
                    seen.push((ask.to, place));
                }
            }
            place += 1;
        }
        None
    }

    /// The circle that ends with the one at `place`, who closed it.
    fn named(&self, seen: &[(Address, usize)], mut place: usize) -> AskCircle {
        let mut actors = Vec::new();
        loop {
            let (actor, asked_by) = seen[place];
            let asks = self.open.get(&actor).and_then(VecDeque::front);
            actors.push((actor, asks.map_or("", |ask| ask.behavior)));
            if place == 0 {
                break;
            }
            place = asked_by;
        }
        // The one who closed it first.
        actors[1..].reverse();
        AskCircle { actors }
    }
}

impl Circles {
    /// An actor asks: whether to check for a circle after the grace.
    fn asks(&self, asker: Address, open: Open) -> bool {
        let mut state = lock(&self.0);
        let number = open.number;
        let asks = state.open.entry(asker).or_default();
        let place = asks.partition_point(|other| other.number < number);
        asks.insert(place, open);
        let suspect = Suspect { asker, number };
        if state.circle(suspect).is_none() {
            return false;
        }
        // One check an actor: of what is open longest.
        let before = state.checked.get(&asker).copied();
        if before.is_none_or(|before| state.ask(before).is_none()) {
            state.checked.insert(asker, suspect);
        }
        before.is_none()
    }

    /// One of its asks has ended.
    pub(crate) fn ended(&self, asker: Address, number: u64) {
        if let Some(asks) = lock(&self.0).open.get_mut(&asker)
            && let Ok(place) = asks.binary_search_by_key(&number, |open| open.number)
        {
            asks.remove(place);
        }
    }

    /// All of its asks have.
    pub(crate) fn forget(&self, asker: Address) {
        lock(&self.0).open.remove(&asker);
    }

    /// A check of an actor's circle is due at `now_ns`.
    fn check(&self, asker: Address, now_ns: u64) -> Checked {
        let mut state = lock(&self.0);
        let Some(suspect) = state.checked.remove(&asker) else {
            return Checked::None;
        };
        let Some(circle) = state.circle(suspect) else {
            return Checked::None;
        };
        let grace_ns = state.ask(suspect).map_or(0, |ask| ask.grace_ns);
        let since_ns = state.ask(suspect).map_or(0, |ask| ask.since_ns);
        let age_ns = now_ns.saturating_sub(since_ns);
        if age_ns >= grace_ns {
            return Checked::Stuck(circle, suspect);
        }
        state.checked.insert(asker, suspect);
        Checked::Again(grace_ns - age_ns)
    }

    /// Notes a circle; false if one of the same actors was noted.
    fn note(&self, circle: &AskCircle) -> bool {
        let mut state = lock(&self.0);
        let is_same = |other: &AskCircle| {
            other.actors.len() == circle.actors.len()
                && other
                    .actors
                    .iter()
                    .all(|actor| circle.actors.contains(actor))
        };
        if state.found.len() == KEPT_MAX || state.found.iter().any(is_same) {
            return false;
        }
        state.found.push(circle.clone());
        true
    }

    /// Those found so far.
    pub(crate) fn found(&self) -> Vec<AskCircle> {
        lock(&self.0).found.clone()
    }

    /// Notes a circle that is left although nobody is runnable, if there is one; the first time.
    #[cfg(feature = "testkit")]
    pub(crate) fn left(&self) -> Option<AskCircle> {
        let suspects = std::mem::take(&mut lock(&self.0).suspects);
        let circles = suspects.into_iter().filter_map(|suspect| {
            let circle = lock(&self.0).circle(suspect)?;
            self.note(&circle).then_some(circle)
        });
        circles.last()
    }
}

/// What a check found.
enum Checked {
    None,
    /// A circle that is to be looked at once more after so long.
    Again(u64),
    Stuck(
        AskCircle,
        #[cfg_attr(
            not(feature = "testkit"),
            expect(dead_code, reason = "only a simulation looks at it again")
        )]
        Suspect,
    ),
}

impl Shared {
    /// A check of an actor's circle is due; how long until the next, if there is one.
    pub(crate) fn check_circle(&self, asker: Address) -> Option<u64> {
        match self.circles.check(asker, self.clock().now_ns()) {
            Checked::None => {}
            Checked::Again(grace_ns) => return Some(grace_ns),
            #[cfg(feature = "testkit")]
            Checked::Stuck(_, suspect) if crate::testkit::hook::acts() => {
                lock(&self.circles.0).suspects.push(suspect);
            }
            Checked::Stuck(circle, _) => {
                if self.circles.note(&circle) {
                    eprintln!(
                        "mainspring: actors ask each other in a circle, and all of them wait: \
                         {circle}; each ask ends by its own time"
                    );
                }
            }
        }
        None
    }
}

impl Worker {
    /// The running actor has asked `to`, until `deadline_ns`.
    pub(crate) fn note_ask(&self, run: &Running<'_>, to: Address, number: u64, deadline_ns: u64) {
        let since_ns = self.now_ns();
        let grace_ns = (deadline_ns.saturating_sub(since_ns) / 2).min(GRACE_NS);
        let open = Open {
            number,
            to,
            since_ns,
            grace_ns,
            behavior: run.behavior_name(),
        };
        let asker = self.me();
        if self.shared.circles.asks(asker, open) {
            self.arm_check(asker, since_ns, grace_ns);
        }
    }

    /// A check is due.
    pub(crate) fn check_circle(&self, asker: Address) {
        if let Some(grace_ns) = self.shared.check_circle(asker) {
            self.arm_check(asker, self.read_ns(), grace_ns);
        }
    }

    fn arm_check(&self, asker: Address, now_ns: u64, grace_ns: u64) {
        let deadline_ns = now_ns.saturating_add(grace_ns);
        let _ = self.arm_due(deadline_ns, asker, Kind::Circle, ());
    }
}
