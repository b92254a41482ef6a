//! Groups: one address for several actors, and who of them gets a message.
//!
//! ```text
//!   Group::Route(m) ─▶ Router (a behavior) ─▶ one member, or all of them
//!   Group::Join ─────▶ Members (its machine) ◀── Group::Ended: the monitor of each member
//! ```
//!
//! A group is an ordinary actor, so it has a name, a mailbox with a bound, a supervisor, and events
//! that tell who came and went. A member leaves by [`Group::Leave`] or by its end.
//!
//! # Examples
//!
//! ```
//! use mainspring::group::{Group, Members, Router};
//! use mainspring::prelude::*;
//!
//! struct Nothing;
//! impl Machine for Nothing { type Event = (); fn apply(&mut self, (): ()) {} }
//! #[derive(Clone, Copy)]
//! struct Doubling;
//! struct Double(u64, Reply<u64>);
//! impl Behavior for Doubling {
//!     type Machine = Nothing;
//!     type Message = Double;
//!     fn on_message(&self, Double(number, reply): Double, _: Snapshot<Self>) -> Plan<Self> {
//!         Plan::reply(reply, number * 2)
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let system = System::new()?;
//! let mut workers = Vec::new();
//! for _ in 0..3 {
//!     workers.push(system.spawn(Doubling, Nothing)?.actor());
//! }
//! let group = system
//!     .prepare(Router::round_robin(), Members::new(workers))
//!     .name("doublers")
//!     .start()?;
//! let answer = group.ask(|reply| Group::Route(Double(21, reply)));
//! assert_eq!(answer.wait()?, 42);
//! # Ok(()) }
//! ```

use crate::actor::{ActorRef, Behavior, Down, Machine, Snapshot};
use crate::ask::Reply;
use crate::dispatcher::worker;
use crate::plan::Plan;
use std::fmt;

/// What a group's actor takes.
pub enum Group<M: Send + 'static> {
    /// For a member, or for all of them; unhandled while there is none.
    Route(M),
    /// One more member; nothing happens if it is one.
    Join(ActorRef<M>),
    /// One less; nothing happens if it is none.
    Leave(ActorRef<M>),
    /// Asks who the members are, in the order in which they joined.
    Members(Reply<Vec<ActorRef<M>>>),
    /// A member has ended: what the group's own monitors bring.
    Ended(Down),
}

/// What happens to a group.
pub enum Membership<M> {
    /// A member came.
    Joined(ActorRef<M>),
    /// A member left, or has ended.
    Left(ActorRef<M>),
    /// A message went to the member at this place; the next in turn is the one behind it.
    Routed(usize),
}

impl<M> Clone for Membership<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Joined(member) => Self::Joined(*member),
            Self::Left(member) => Self::Left(*member),
            Self::Routed(place) => Self::Routed(*place),
        }
    }
}

impl<M> fmt::Debug for Membership<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(member) => f.debug_tuple("Joined").field(member).finish(),
            Self::Left(member) => f.debug_tuple("Left").field(member).finish(),
            Self::Routed(place) => f.debug_tuple("Routed").field(place).finish(),
        }
    }
}

/// A group's members, in the order in which they joined: its machine.
///
/// A group that its supervisor restarts begins with the members that the factory gives it.
pub struct Members<M> {
    members: Vec<ActorRef<M>>,
    next: usize,
    routed: u64,
}

impl<M> Members<M> {
    /// These members, each once.
    pub fn new(members: impl IntoIterator<Item = ActorRef<M>>) -> Self {
        let mut these = Self {
            members: Vec::new(),
            next: 0,
            routed: 0,
        };
        for member in members {
            these.add(member);
        }
        these
    }

    fn add(&mut self, member: ActorRef<M>) {
        if !self.members.contains(&member) {
            self.members.push(member);
        }
    }

    /// The members.
    pub fn as_slice(&self) -> &[ActorRef<M>] {
        &self.members
    }
}

impl<M> Default for Members<M> {
    fn default() -> Self {
        Self::new([])
    }
}

impl<M> Clone for Members<M> {
    fn clone(&self) -> Self {
        Self {
            members: self.members.clone(),
            next: self.next,
            routed: self.routed,
        }
    }
}

impl<M> fmt::Debug for Members<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

impl<M: 'static> Machine for Members<M> {
    type Event = Membership<M>;

    fn apply(&mut self, event: Membership<M>) {
        match event {
            Membership::Joined(member) => self.add(member),
            Membership::Left(member) => {
                let Some(place) = self.members.iter().position(|one| *one == member) else {
                    return;
                };
                self.members.remove(place);
                if place < self.next {
                    self.next -= 1; // the one in turn stays in turn
                }
            }
            Membership::Routed(place) => {
                self.next = place + 1;
                self.routed += 1;
            }
        }
        if self.next >= self.members.len() {
            self.next = 0;
        }
    }
}

/// Who of a group gets a message: the group's behavior.
///
/// A message to a member that has just ended, before the group has heard of it, is a dead letter.
pub struct Router<M>(Routing<M>);

enum Routing<M> {
    RoundRobin,
    LeastLoaded,
    LessLoadedOfTwo,
    ConsistentHash(fn(&M) -> u64),
    Broadcast(fn(&M) -> M),
}

impl<M> Clone for Router<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Router<M> {}
impl<M> Clone for Routing<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Routing<M> {}

impl<M> fmt::Debug for Router<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Routing::RoundRobin => "Router(round robin)",
            Routing::LeastLoaded => "Router(least loaded)",
            Routing::LessLoadedOfTwo => "Router(less loaded of two)",
            Routing::ConsistentHash(_) => "Router(consistent hash)",
            Routing::Broadcast(_) => "Router(broadcast)",
        })
    }
}

impl<M> Router<M> {
    /// Each member in turn. No allocation.
    pub const fn round_robin() -> Self {
        Self(Routing::RoundRobin)
    }

    /// The member with the fewest messages in its mailbox, the next in turn of several; none that
    /// has ended while another lives.
    ///
    /// It looks at each member's mailbox, two atomic loads each: for tens of members; of hundreds
    /// [`Router::less_loaded_of_two`] finds one that is nearly as good. The messages of a turn that a
    /// member is in count until that turn's batch is over; what a member put aside does not, and nor
    /// do timers and answers. The mailboxes are no part of the snapshot, so in a test without a
    /// system all are empty.
    pub const fn least_loaded() -> Self {
        Self(Routing::LeastLoaded)
    }

    /// Of two members drawn at random, the one with fewer messages in its mailbox; see
    /// [`Router::least_loaded`].
    ///
    /// Two looks, however many members there are. Drawn from how many messages the group has routed,
    /// so that the same messages to the same members go the same ways.
    pub const fn less_loaded_of_two() -> Self {
        Self(Routing::LessLoadedOfTwo)
    }

    /// Always the same member for the same `key`, as long as it is one.
    ///
    /// Of all members the one with the highest hash of key and address: when a member comes or goes,
    /// only the keys that it has or had move, and those are spread over all others. One hash for
    /// each member.
    pub const fn consistent_hash(key: fn(&M) -> u64) -> Self {
        Self(Routing::ConsistentHash(key))
    }

    /// Every member gets a clone, all of them or none.
    pub const fn broadcast() -> Self
    where
        M: Clone,
    {
        Self(Routing::Broadcast(M::clone))
    }
}

impl<M: Send + 'static> Router<M> {
    /// The place of the member that gets `message`; there is at least one.
    fn place(&self, message: &M, members: &Members<M>) -> usize {
        let all = &members.members;
        match self.0 {
            Routing::RoundRobin | Routing::Broadcast(_) => members.next,
            Routing::LeastLoaded => {
                let in_turn = (0..all.len()).map(|step| (members.next + step) % all.len());
                in_turn
                    .min_by_key(|place| load(all[*place]))
                    .unwrap_or_default()
            }
            Routing::LessLoadedOfTwo => {
                let draw = mixed(members.routed);
                let (count, first) = (all.len() as u64, draw as u32);
                let first = ((u64::from(first) * count) >> 32) as usize;
                // Another one, if there is: a step of 1 to all but one.
                let step = ((draw >> 32) * count.saturating_sub(1)) >> 32;
                let other = (first + 1 + step as usize) % all.len();
                match load(all[other]) < load(all[first]) {
                    true => other,
                    false => first,
                }
            }
            Routing::ConsistentHash(key) => {
                let key = mixed(key(message));
                let places = 0..all.len();
                places
                    .max_by_key(|place| mixed(key ^ number(all[*place])))
                    .unwrap_or_default()
            }
        }
    }
}

/// How many places of an actor's mailbox are taken; more than any has, of one that has ended.
fn load<M>(actor: ActorRef<M>) -> u32 {
    worker::peek(|worker| {
        let worker = worker?;
        let cell = worker.shared.cell_of(actor.address);
        Some(cell.map_or(u32::MAX, |cell| cell.inbox.places_taken()))
    })
    .unwrap_or(0)
}

/// An address as a number; a restart does not change it.
fn number<M>(actor: ActorRef<M>) -> u64 {
    u64::from(actor.address.cell) | u64::from(actor.address.generation.get()) << 32
}

/// The finalizer of splitmix64: every bit of the result depends on every bit of `number`.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl<M: Send + 'static> Behavior for Router<M> {
    type Machine = Members<M>;
    type Message = Group<M>;

    fn on_message(&self, message: Group<M>, members: Snapshot<'_, Self>) -> Plan<Self> {
        let all = members.machine().as_slice();
        match message {
            Group::Route(_) if all.is_empty() => Plan::unhandled(),
            Group::Route(message) => {
                if let Routing::Broadcast(clone) = self.0 {
                    let clones = all.iter().map(|to| Plan::tell(*to, clone(&message)));
                    return clones.fold(Plan::none(), Plan::and);
                }
                let place = self.place(&message, members.machine());
                Plan::emit(Membership::Routed(place)).and(Plan::tell(all[place], message))
            }
            Group::Join(member) if all.contains(&member) => Plan::none(),
            Group::Join(member) => {
                Plan::emit(Membership::Joined(member)).and(Plan::monitor(member, Group::Ended))
            }
            Group::Leave(member) if all.contains(&member) => {
                Plan::emit(Membership::Left(member)).and(Plan::unmonitor(member))
            }
            Group::Leave(_) => Plan::none(),
            Group::Members(reply) => Plan::reply(reply, all.to_vec()),
            Group::Ended(down) => all
                .iter()
                .find(|member| member.address == down.actor)
                .map_or_else(Plan::none, |member| Plan::emit(Membership::Left(*member))),
        }
    }

    fn on_start(&self, members: Snapshot<'_, Self>) -> Plan<Self> {
        let all = members.as_slice().iter();
        all.map(|member| Plan::monitor(*member, Group::Ended))
            .fold(Plan::none(), Plan::and)
    }
}
