//! Who is told when an actor ends: monitors, links, and the names that it held.
//!
//! - X1: one monitor, one `Down`: the ending actor takes its watchers off the list under the lock,
//!   and who comes later is told at once that it is gone.
//! - X2: a `Down` is pushed after the dead actor's last message, by the same thread.
//! - X3: after `unmonitor` no `Down` is delivered: the letter's flag is down by then.
//! - X4: names are free before the first `Down` is out.
//! - X5: nothing of an actor stays here after its end.
//! - X6: a list holds at most as many watches that were dropped as others, and four more.

use super::Shared;
use crate::actor::cell::{Running, life, quietly};
use crate::actor::{Address, Behavior, Down, Exit, Machine};
use crate::dependency::Unresolved;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, Parcel, with_outside_pool};
use crate::plan::output::Evolve;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::lock;
use crate::sync::oneshot::Answerer;
use hashbrown::{HashMap, HashSet};
use std::any::TypeId;
use std::sync::Arc;

/// All of a system's monitors, links and names.
#[derive(Default)]
pub(crate) struct Watches {
    actors: HashMap<Address, Watched>,
    names: HashMap<Arc<str>, Named>,
}

/// Who holds a name.
struct Named {
    actor: Address,
    /// The type of its messages.
    message: TypeId,
    /// Whether others see it: a child's name is taken with its address and shown by the commit.
    shown: bool,
}

#[derive(Default)]
struct Watched {
    watchers: Vec<Watcher>,
    /// Whom it watches, and the flags of the letters that may come.
    watching: Vec<(Address, Arc<AtomicBool>)>,
    links: Vec<Address>,
    /// Supervised by it: its end, and that of its incarnation, ends them for good.
    children: Vec<Address>,
    /// What tells it to stop them and then itself, if anything does.
    stop_tree: Option<StopTree>,
    names: Vec<Arc<str>>,
    /// What it hears of the ends of those it is linked with, in place of its own end.
    trap: Option<Trap>,
    /// The linked actor whose end ends this one.
    ended_by: Option<Address>,
}

/// What an actor hears of linked actors' ends.
#[derive(Clone)]
struct Trap {
    /// Whether letters that are under way are still wanted.
    wanted: Arc<AtomicBool>,
    letter: Arc<TrapLetter>,
}

/// Makes the closure that makes of a `Down` the actor's message.
pub(crate) type TrapLetter = dyn Fn() -> Parcel + Send + Sync;

/// Makes the message by which a supervisor stops its tree, as a closure over a `Down`.
pub(crate) type StopTree = fn() -> Option<Parcel>;

/// The [`StopTree`] of a supervisor of behavior `B`, if it has one.
pub(crate) fn stop_tree_of<B: Behavior>() -> Option<StopTree> {
    fn letter<B: Behavior>() -> Option<Parcel> {
        let stop = B::stop_tree()?;
        let open = move |_: Down| stop;
        Some(Parcel::closure::<Down, B::Message, _>(
            Kind::Step,
            open,
            [0; 2],
        ))
    }
    B::stop_tree().is_some().then_some(letter::<B>)
}

impl Watched {
    fn add(&mut self, watcher: Watcher) {
        if self.watchers.len() == self.watchers.capacity() {
            // Before the list grows: those whose watch was dropped (X6).
            self.watchers.retain(|watcher| !watcher.is_given_up());
        }
        self.watchers.push(watcher);
    }
}

enum Watcher {
    Actor {
        address: Address,
        wanted: Arc<AtomicBool>,
        on_down: Parcel,
    },
    Outside(Answerer<Down>),
}

impl Watcher {
    /// Whether nobody waits for the end any more.
    fn is_given_up(&self) -> bool {
        matches!(self, Self::Outside(slot) if slot.is_given_up())
    }
}

/// A `Down` on its way, and what its actor makes of it.
struct Letter {
    down: Down,
    wanted: Arc<AtomicBool>,
    on_down: Parcel,
}

impl Shared {
    /// Tells a supervisor to stop its children and then itself, which takes no place in its mailbox;
    /// lets any other actor finish what it was sent.
    pub(crate) fn stop_tree(&self, supervisor: Address) {
        let watches = lock(&self.watches);
        let stop = watches.actors.get(&supervisor).and_then(|it| it.stop_tree);
        drop(watches);
        let is_told = with_outside_pool(&self.depot, || {
            let Some(on_down) = stop.and_then(|stop| stop()) else {
                return false;
            };
            let letter = Letter {
                down: Down {
                    actor: supervisor,
                    exit: Exit::Normal,
                },
                wanted: Arc::new(AtomicBool::new(true)),
                on_down,
            };
            let parcel = Parcel::new(Kind::Down, letter);
            parcel.set_cell(supervisor.cell);
            parcel.set_generation(supervisor.generation.get());
            self.send_uncounted(parcel);
            true
        });
        if !is_told {
            self.stop(supervisor);
        }
    }

    /// The supervisors that can be told to stop their trees and are in no other such one's.
    pub(crate) fn tops(&self) -> Vec<Address> {
        let watches = lock(&self.watches);
        let trees = || {
            let all = watches.actors.iter();
            all.filter(|(_, it)| it.stop_tree.is_some() && !it.children.is_empty())
        };
        let children: HashSet<Address> = trees()
            .flat_map(|(_, it)| it.children.iter().copied())
            .collect();
        trees()
            .map(|(address, _)| *address)
            .filter(|address| !children.contains(address))
            .collect()
    }

    /// Marks an actor as watched, in the step that sees it alive.
    fn mark(&self, actor: Address) -> bool {
        self.cells.get(actor.cell).is_some_and(|cell| {
            actor.system == self.tag
                && cell
                    .life
                    .set(actor.generation.get(), life::WATCHED, life::ENDED)
                    .is_some()
        })
    }

    /// Tells the other end once when `actor` ends, at once if it has.
    pub(crate) fn monitor_outside(&self, actor: Address, slot: Answerer<Down>) {
        let mut watches = lock(&self.watches);
        if self.mark(actor) {
            let watched = watches.actors.entry(actor).or_default();
            watched.add(Watcher::Outside(slot));
            return;
        }
        drop(watches);
        let exit = Exit::Gone;
        let _ = slot.answer(Down { actor, exit });
    }

    /// Gives an actor that takes messages of type `M` a name.
    pub(crate) fn name<M: 'static>(
        &self,
        actor: Address,
        name: &str,
        shown: bool,
    ) -> Result<(), NameError> {
        let mut watches = lock(&self.watches);
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(NameError::Length(name.len()));
        }
        if let Some(named) = watches.names.get(name) {
            return Err(NameError::Taken(named.actor));
        }
        let limit = self.config.system.names_max;
        if watches.names.len() >= limit {
            return Err(NameError::TooMany { limit });
        }
        if !self.mark(actor) {
            return Err(NameError::Gone);
        }
        let name: Arc<str> = name.into();
        let message = TypeId::of::<M>();
        let named = Named {
            actor,
            message,
            shown,
        };
        watches.names.insert(name.clone(), named);
        watches.actors.entry(actor).or_default().names.push(name);
        Ok(())
    }

    /// Lets others see the names of an actor.
    pub(crate) fn show_names(&self, actor: Address) {
        let mut watches = lock(&self.watches);
        let Watches { actors, names } = &mut *watches;
        for name in actors.get(&actor).iter().flat_map(|watched| &watched.names) {
            if let Some(named) = names.get_mut(name) {
                named.shown = true;
            }
        }
    }

    /// The first name of an actor that others see.
    pub(crate) fn name_of(&self, actor: Address) -> Option<Arc<str>> {
        let watches = lock(&self.watches);
        let names = &watches.actors.get(&actor)?.names;
        let shown = |name: &&Arc<str>| watches.names.get(*name).is_some_and(|named| named.shown);
        names.iter().find(shown).cloned()
    }

    /// Who holds a name, if it takes messages of type `M`.
    pub(crate) fn named<M: 'static>(&self, name: &str) -> Option<Address> {
        self.find::<M>(name).ok()
    }

    /// As [`Shared::named`], or why there is none.
    pub(crate) fn find<M: 'static>(&self, name: &str) -> Result<Address, Unresolved> {
        let watches = lock(&self.watches);
        match watches.names.get(name).filter(|named| named.shown) {
            None => Err(Unresolved::NoActor),
            Some(named) if named.message != TypeId::of::<M>() => Err(Unresolved::OtherMessages),
            Some(named) => Ok(named.actor),
        }
    }
}

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Why an actor could not be given a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// This actor holds the name.
    Taken(Address),
    /// The actor has ended.
    Gone,
    /// There are as many names as `system.names_max` allows.
    TooMany {
        /// `system.names_max`.
        limit: usize,
    },
    /// A name has 1 to 255 bytes, not this many.
    Length(usize),
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken(holder) => write!(f, "actor {holder} holds this name"),
            Self::Gone => f.write_str("the actor has ended"),
            Self::TooMany { limit } => {
                write!(
                    f,
                    "there are {limit} names, as many as system.names_max allows"
                )
            }
            Self::Length(bytes) => write!(
                f,
                "a name of {bytes} bytes: 1 to {NAME_BYTES_MAX} are allowed"
            ),
        }
    }
}

impl std::error::Error for NameError {}

impl Worker {
    /// Lets the actor `me` make a message of the end of `target`.
    pub(crate) fn monitor(&self, me: Address, target: Address, on_down: Parcel) {
        let wanted = Arc::new(AtomicBool::new(true));
        let mut watches = lock(&self.shared.watches);
        if !self.shared.mark(me) {
            return;
        }
        let watching = &mut watches.actors.entry(me).or_default().watching;
        watching.push((target, wanted.clone()));
        if self.shared.mark(target) {
            let watched = watches.actors.entry(target).or_default();
            watched.add(Watcher::Actor {
                address: me,
                wanted,
                on_down,
            });
            return;
        }
        drop(watches);
        let down = Down {
            actor: target,
            exit: Exit::Gone,
        };
        self.send_letter(me, down, wanted, on_down);
    }

    /// Ends all monitors of `me` on `target`; no `Down` of them is handled from now on.
    pub(crate) fn unmonitor(&self, me: Address, target: Address) {
        let mut watches = lock(&self.shared.watches);
        if let Some(watched) = watches.actors.get_mut(&me) {
            watched.watching.retain(|(address, wanted)| {
                if *address == target {
                    wanted.store(false, Relaxed);
                }
                *address != target
            });
        }
        watches.drop_watcher(target, me);
    }

    /// Links two actors: the abnormal end of one ends the other.
    pub(crate) fn link(&self, me: Address, target: Address) {
        let mut watches = lock(&self.shared.watches);
        if !self.shared.mark(me) {
            return;
        }
        if !self.shared.mark(target) {
            drop(watches);
            self.tell_linked(me, target, &Exit::Gone);
            return;
        }
        for (one, other) in [(me, target), (target, me)] {
            let links = &mut watches.actors.entry(one).or_default().links;
            if !links.contains(&other) {
                links.push(other);
            }
        }
    }

    /// Ends a link.
    pub(crate) fn unlink(&self, me: Address, target: Address) {
        let mut watches = lock(&self.shared.watches);
        for (one, other) in [(me, target), (target, me)] {
            if let Some(watched) = watches.actors.get_mut(&one) {
                watched.links.retain(|link| *link != other);
            }
        }
    }

    /// From now on a linked actor's end is a message to the running actor, which `letter` makes, and
    /// does not end it; with none its abnormal end does again, and no message of one is handled.
    pub(crate) fn trap(&self, letter: Option<Arc<TrapLetter>>) {
        let me = self.me();
        let mut watches = lock(&self.shared.watches);
        if !self.shared.mark(me) {
            return;
        }
        let watched = watches.actors.entry(me).or_default();
        // One flag for all traps of a life: letters of one that was replaced are under way too.
        let wanted = watched.trap.as_ref().map(|before| before.wanted.clone());
        let trap = letter.map(|letter| Trap {
            wanted: wanted.unwrap_or_else(|| Arc::new(AtomicBool::new(true))),
            letter,
        });
        let before = std::mem::replace(&mut watched.trap, trap);
        if let (Some(before), None) = (&before, &watched.trap) {
            before.wanted.store(false, Relaxed);
        }
        drop(watches);
        quietly(|| drop(before)); // its closure is user code
    }

    /// Why a linked actor's signal ends this one.
    pub(crate) fn linked_exit(&self, me: Address) -> Exit {
        let watches = lock(&self.shared.watches);
        let ended_by = watches.actors.get(&me).and_then(|watched| watched.ended_by);
        ended_by.map_or(Exit::Killed, Exit::Linked)
    }

    /// Takes an ended actor off all lists and tells its watchers.
    pub(crate) fn tell_watchers(&self, actor: Address, exit: Exit) {
        let mut watches = lock(&self.shared.watches);
        let Some(mut watched) = watches.actors.remove(&actor) else {
            return;
        };
        for name in &watched.names {
            watches.names.remove(name);
        }
        for (target, _) in &watched.watching {
            watches.drop_watcher(*target, actor);
        }
        for link in &watched.links {
            if let Some(other) = watches.actors.get_mut(link) {
                other.links.retain(|address| *address != actor);
            }
        }
        drop(watches);
        for watcher in std::mem::take(&mut watched.watchers) {
            let exit = exit.clone();
            let down = Down { actor, exit };
            match watcher {
                Watcher::Actor {
                    address,
                    wanted,
                    on_down,
                } => self.send_letter(address, down, wanted, on_down),
                Watcher::Outside(slot) => drop(slot.answer(down)),
            }
        }
        for child in watched.children.iter().rev() {
            self.end_by(*child, actor, life::LINKED | life::FINAL);
        }
        for link in &watched.links {
            self.tell_linked(*link, actor, &exit);
        }
        quietly(|| drop(watched));
    }

    /// Notes that `child`, which is not on a run queue yet, ends with `supervisor`.
    pub(crate) fn adopt(&self, supervisor: Address, child: Address, stop: Option<StopTree>) {
        let mut watches = lock(&self.shared.watches);
        if self.shared.mark(supervisor) && self.shared.mark(child) {
            let watched = watches.actors.entry(supervisor).or_default();
            watched.children.push(child);
            watched.stop_tree = stop;
        }
    }

    /// Forgets a child that has ended.
    pub(crate) fn disown(&self, supervisor: Address, child: Address) {
        if let Some(watched) = lock(&self.shared.watches).actors.get_mut(&supervisor) {
            watched.children.retain(|other| *other != child);
        }
    }

    /// Ends what belonged to an incarnation of `actor`: its monitors of others, links, children.
    pub(crate) fn part(&self, actor: Address, exit: &Exit) {
        let mut watches = lock(&self.shared.watches);
        let Some(watched) = watches.actors.get_mut(&actor) else {
            return;
        };
        watched.ended_by = None;
        let watching = std::mem::take(&mut watched.watching);
        let links = std::mem::take(&mut watched.links);
        let children = std::mem::take(&mut watched.children);
        let trap = watched.trap.take();
        if let Some(trap) = &trap {
            trap.wanted.store(false, Relaxed);
        }
        for (target, wanted) in watching {
            wanted.store(false, Relaxed);
            watches.drop_watcher(target, actor);
        }
        for link in &links {
            if let Some(other) = watches.actors.get_mut(link) {
                other.links.retain(|address| *address != actor);
            }
        }
        drop(watches);
        for child in children.into_iter().rev() {
            self.end_by(child, actor, life::LINKED | life::FINAL);
        }
        for link in links {
            self.tell_linked(link, actor, exit);
        }
        quietly(|| drop(trap)); // its closure is user code
    }

    /// Sends a supervisor the news of its child.
    pub(crate) fn send_news(&self, supervisor: Address, child: Address, on_down: Parcel) {
        let down = Down {
            actor: child,
            exit: Exit::Normal,
        };
        self.send_letter(supervisor, down, Arc::new(AtomicBool::new(true)), on_down);
    }

    /// An actor linked with `actor` ended: that ends it too, or is a message if it traps ends.
    fn tell_linked(&self, actor: Address, ended: Address, exit: &Exit) {
        let watches = lock(&self.shared.watches);
        let watched = watches.actors.get(&actor);
        let trap = watched.and_then(|watched| watched.trap.clone());
        drop(watches);
        match trap {
            Some(trap) => {
                let down = Down {
                    actor: ended,
                    exit: exit.clone(),
                };
                self.send_letter(actor, down, trap.wanted, (trap.letter)());
            }
            None if exit.is_normal() => {}
            None => self.end_by(actor, ended, life::LINKED),
        }
    }

    fn end_by(&self, actor: Address, by: Address, flags: u32) {
        if let Some(watched) = lock(&self.shared.watches).actors.get_mut(&actor) {
            watched.ended_by.get_or_insert(by);
        }
        self.raise(actor, flags);
    }

    fn send_letter(&self, to: Address, down: Down, wanted: Arc<AtomicBool>, on_down: Parcel) {
        let letter = Letter {
            down,
            wanted,
            on_down,
        };
        let parcel = Parcel::new(Kind::Down, letter);
        parcel.set_cell(to.cell);
        parcel.set_generation(to.generation.get());
        self.send_uncounted(parcel);
    }

    /// The message that the running actor makes of a `Down`, unless it ended the monitor.
    pub(crate) fn down_message<B: Behavior>(
        &self,
        run: &Running<'_>,
        parcel: Parcel,
    ) -> Option<Heard<B>> {
        let letter = parcel.try_open::<Letter>().ok()?;
        if !letter.wanted.load(Relaxed) {
            return None;
        }
        let me = run.address(self);
        if let Some(watched) = lock(&self.shared.watches).actors.get_mut(&me) {
            let ours = |(_, wanted): &(_, Arc<AtomicBool>)| !Arc::ptr_eq(wanted, &letter.wanted);
            watched.watching.retain(ours);
        }
        if letter.on_down.calls::<Down, B::Message>() {
            let message = letter.on_down.call::<Down, B::Message>(letter.down);
            return Some(Heard::Message(message));
        }
        type Event<B> = <<B as Behavior>::Machine as Machine>::Event;
        let evolve = letter.on_down.call::<Down, Evolve<Event<B>>>(letter.down);
        Some(Heard::Event(evolve.0))
    }
}

/// What an actor hears of another's end: it depends on who monitors.
pub(crate) enum Heard<B: Behavior> {
    /// The behavior does.
    Message(B::Message),
    /// The machine does.
    Event(<B::Machine as Machine>::Event),
}

impl Watches {
    fn drop_watcher(&mut self, target: Address, watcher: Address) {
        if let Some(watched) = self.actors.get_mut(&target) {
            watched.watchers.retain(
                |entry| !matches!(entry, Watcher::Actor { address, .. } if *address == watcher),
            );
        }
    }
}
