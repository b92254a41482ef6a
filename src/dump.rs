//! What a system is doing at one moment, for who wants to know why it does not go on.
//!
//! Workers pay one store a turn for it, and one when they look at the clock; the rest is read where
//! it lies. Of a worker in user code that does not come back, what only it may touch is read as the
//! watchdog reads it: while it is lent (`sync/lend.rs`).

use crate::actor::Address;
use crate::actor::cell::ActorCell;
use crate::dispatcher::Dispatcher;
use crate::dispatcher::core::NOBODY;
use crate::dispatcher::stats::Runs;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::lend::{self, Left};
use crate::sync::spares::Place;
use crate::sync::waits::Waiter;
use crate::system::{Shared, System};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The most actors of [`Dump::backlogs`].
const BACKLOGS_MAX: usize = 32;

/// What every worker of a system does, and who waits for what: from [`System::dump`]. Its text has
/// all of it, a worker a line.
///
/// Its parts are read one after the other while others go on, so that they fit together only when
/// nothing moves, which is when it is wanted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// The system's name.
    pub system: String,
    /// How long its clock has run.
    pub span: Duration,
    /// Whether it shuts down.
    pub is_closing: bool,
    /// Actors alive.
    pub actors: u64,
    /// Its dispatchers, those of one actor each included.
    pub dispatchers: Vec<DispatcherDump>,
    /// Commits, and threads, that wait for room in a mailbox.
    pub waiting: Vec<WaitingDump>,
    /// Actors with messages, most first, at most 32.
    pub backlogs: Vec<BacklogDump>,
}

/// A dispatcher in a [`Dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DispatcherDump {
    /// Its name; empty for the own thread of one actor.
    pub name: String,
    /// Actors on the queue from outside.
    pub injector: usize,
    /// Its workers, and the spares that were started.
    pub workers: Vec<WorkerDump>,
}

/// A worker in a [`Dump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerDump {
    /// Its number in the dispatcher.
    pub index: usize,
    /// What it does.
    pub activity: Activity,
    /// The actor whose turn it is in, when it is in one.
    pub actor: Option<ActorDump>,
    /// For how long it has been in that turn at least, as the watchdog saw it; none for short turns,
    /// and in a system that its host steps.
    pub turn_for: Option<Duration>,
    /// Actors in its queue.
    pub ready: usize,
    /// Newborn actors in its queue.
    pub fresh: usize,
    /// The actor that it would run next before all others; known of a worker in user code only.
    pub slot: Option<ActorDump>,
    /// Whose messages of this batch are not published yet; known of a worker in user code only.
    pub unpublished_to: Option<ActorDump>,
    /// When its next timers are due, from now on: as it last looked at them, unless it is in user
    /// code, of which it is exact. Zero when they are overdue; none without timers.
    pub next_timer: Option<Duration>,
    /// Runs of an actor.
    pub turns: u64,
    /// Messages handled.
    pub messages: u64,
    /// Times that it went to sleep.
    pub parks: u64,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// It is in a turn.
    Running,
    /// It looks for work: in its queues, in others', at its timers.
    Searching,
    /// It sleeps until somebody wakes it or a timer is due. A host that does not step counts too.
    Asleep,
    /// It is in a turn that lasted so long that another thread has its place.
    HandedOff,
    /// It waits for the place of one that is stuck.
    Spare,
    /// Its thread has ended, or is about to.
    Ended,
}

/// An actor in a [`Dump`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorDump {
    /// Its address.
    pub actor: Address,
    /// Its path, if it has a name.
    pub path: Option<String>,
    /// Its behavior's type.
    pub behavior: &'static str,
}

/// Who waits for room in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingDump {
    /// The actor whose commit waits; none for a thread outside.
    pub actor: Option<ActorDump>,
    /// Whose mailbox is full.
    pub target: ActorDump,
    /// How many places it needs there.
    pub places: u32,
}

/// An actor with messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BacklogDump {
    /// The actor.
    pub actor: ActorDump,
    /// In its mailbox and in hand; places held for messages to come count too.
    pub messages: u64,
    /// Whether somebody runs it or is to. An actor with messages that nobody is to run waits for
    /// room, or for its start.
    pub is_scheduled: bool,
}

/// Takes dumps of a system from anywhere, also while it shuts down: from [`System::inspector`].
#[derive(Clone)]
pub struct Inspector(Weak<Shared>);

impl Inspector {
    /// What every worker does now; none once the system is gone.
    ///
    /// Costs what [`System::dump`] does.
    pub fn dump(&self) -> Option<Dump> {
        self.0.upgrade().map(|shared| shared.dump())
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}

impl System {
    /// What every worker does now, and who waits for what: for a system that does not go on.
    ///
    /// Takes no lock that is held while user code runs. Walks over all cells, about 10 nanoseconds
    /// for each actor that there ever was room for, and looks into the workers that are in user
    /// code, some microseconds each.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use std::sync::mpsc::{Receiver, Sender, channel};
    ///
    /// struct Gate(Sender<()>, Receiver<()>);
    /// impl Machine for Gate {
    ///     type Event = ();
    ///     fn apply(&mut self, _: ()) {
    ///         self.0.send(()).unwrap();
    ///         let _ = self.1.recv(); // a turn that does not end
    ///     }
    /// }
    ///
    /// let system = System::new()?;
    /// let ((is_in, entered), (open, opened)) = (channel(), channel());
    /// let gate = system.prepare(mainspring::Events::new(), Gate(is_in, opened)).name("gate");
    /// gate.start()?.tell(())?;
    /// entered.recv()?;
    /// let dump = system.dump();
    /// assert!(dump.in_turns().any(|actor| actor.path.as_deref() == Some("actor://mainspring/gate")));
    /// println!("{dump}");
    /// open.send(())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dump(&self) -> Dump {
        self.shared().dump()
    }

    /// What takes dumps of this system elsewhere: a thread that watches over it. It keeps nothing
    /// of it alive.
    pub fn inspector(&self) -> Inspector {
        Inspector(Arc::downgrade(self.shared()))
    }
}

impl Dump {
    /// The actors that are in a turn now.
    pub fn in_turns(&self) -> impl Iterator<Item = &ActorDump> {
        let workers = self.dispatchers.iter().flat_map(|one| &one.workers);
        workers.filter_map(|worker| worker.actor.as_ref())
    }
}

impl Shared {
    fn dump(&self) -> Dump {
        let names = self.type_names();
        let now_ns = self.clock().now_ns();
        let dispatchers = self.dispatchers();
        Dump {
            system: self.config.system.name.clone(),
            span: Duration::from_nanos(now_ns),
            is_closing: self.is_closed(),
            actors: self.live(),
            dispatchers: dispatchers
                .iter()
                .map(|dispatcher| self.dump_dispatcher(dispatcher, &names, now_ns))
                .collect(),
            waiting: self.dump_waiting(&names),
            backlogs: self.dump_backlogs(&names),
        }
    }

    fn dump_dispatcher(
        &self,
        dispatcher: &Dispatcher,
        names: &[&'static str],
        now_ns: u64,
    ) -> DispatcherDump {
        let threads = match self.is_stepped() {
            true if dispatcher.id > 0 => 0,
            true => 1,
            false => dispatcher.threads(),
        };
        DispatcherDump {
            name: dispatcher.name.clone(),
            injector: dispatcher.injector.len(),
            workers: (0..threads)
                .map(|index| self.dump_worker(dispatcher, index, names, now_ns))
                .collect(),
        }
    }

    fn dump_worker(
        &self,
        dispatcher: &Dispatcher,
        index: usize,
        names: &[&'static str],
        now_ns: u64,
    ) -> WorkerDump {
        let stats = &dispatcher.stats[index];
        let (runs, turns) = (stats.runs.get(), stats.turns.get());
        let activity = match (runs, dispatcher.place(index)) {
            (Runs::Ended, _) => Activity::Ended,
            (_, Place::Spare) => Activity::Spare,
            (_, Place::Nowhere) => Activity::HandedOff,
            (Runs::Actor(_), Place::Seat(_)) => Activity::Running,
            (Runs::Nobody, Place::Seat(seat)) => {
                if self.is_stepped() || dispatcher.is_asleep(seat) {
                    Activity::Asleep
                } else {
                    Activity::Searching
                }
            }
        };
        let is_in_turn = matches!(activity, Activity::Running | Activity::HandedOff);
        let actor = match runs {
            Runs::Actor(number) if is_in_turn => self.dump_number(number, names),
            _ => None,
        };
        let since_ns = stats.seen_ns.get();
        let has_since = is_in_turn && since_ns > 0 && stats.seen_turns.get() == turns;
        let lent = match is_in_turn && lend::can_visit() {
            false => None,
            true => dispatcher.lent.visit(index, |core| {
                let (slot, next_ns) = (core.lifo.get(), core.next_timer_ns.get());
                ((slot, core.pending.target(), next_ns), Left::Nothing)
            }),
        };
        let (slot, unpublished_to, next_ns) =
            lent.unwrap_or((NOBODY, None, stats.next_timer_ns.get()));
        let (ready, fresh) = &dispatcher.stealers[index];
        WorkerDump {
            index,
            activity,
            actor,
            turn_for: has_since.then(|| Duration::from_nanos(now_ns.saturating_sub(since_ns))),
            ready: ready.len(),
            fresh: fresh.len(),
            slot: (slot != NOBODY)
                .then(|| self.dump_number(slot, names))
                .flatten(),
            unpublished_to: unpublished_to.and_then(|number| self.dump_number(number, names)),
            next_timer: (1..u64::MAX)
                .contains(&next_ns)
                .then(|| Duration::from_nanos(next_ns.saturating_sub(now_ns))),
            turns,
            messages: stats.messages.get(),
            parks: stats.parks.get(),
        }
    }

    fn dump_waiting(&self, names: &[&'static str]) -> Vec<WaitingDump> {
        let mut found = Vec::new();
        self.waits.each(|waiter, target, places| {
            let actor = match waiter {
                Waiter::Actor(_, address) => Some(*address),
                Waiter::Thread(..) => None,
            };
            found.push((actor, target, places));
        });
        let found = found.into_iter().filter_map(|(actor, target, places)| {
            Some(WaitingDump {
                actor: actor.map(|actor| self.dump_actor(actor, names)),
                target: self.dump_number(target, names)?,
                places,
            })
        });
        found.collect()
    }

    fn dump_backlogs(&self, names: &[&'static str]) -> Vec<BacklogDump> {
        let mut found = Vec::new();
        self.each_alive(|actor, cell| {
            let messages = cell.counts().queued;
            if messages > 0 {
                found.push((messages, actor, !cell.inbox.is_idle()));
            }
        });
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.0));
        found.truncate(BACKLOGS_MAX);
        let found = found.into_iter();
        let found = found.map(|(messages, actor, is_scheduled)| BacklogDump {
            actor: self.dump_actor(actor, names),
            messages,
            is_scheduled,
        });
        found.collect()
    }

    /// The actor in the cell `number`, if there is one.
    fn dump_number(&self, number: u32, names: &[&'static str]) -> Option<ActorDump> {
        let generation = self.cells.get(number)?.life.generation();
        let actor = Address {
            cell: number,
            generation: NonZeroU32::new(generation)?,
            system: self.tag,
        };
        Some(self.dump_actor(actor, names))
    }

    fn dump_actor(&self, actor: Address, names: &[&'static str]) -> ActorDump {
        let type_number = |cell: &ActorCell| usize::from(cell.type_number.load(Relaxed));
        let number = self.cells.get(actor.cell).map(type_number);
        let behavior = number.and_then(|number| names.get(number));
        ActorDump {
            actor,
            path: self
                .name_of(actor)
                .map(|name| format!("actor://{}/{name}", self.config.system.name)),
            behavior: behavior.copied().unwrap_or_default(),
        }
    }
}

impl fmt::Display for ActorDump {
    /// The address, the path if there is one, and the type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.actor)?;
        if let Some(path) = &self.path {
            write!(f, " {path}")?;
        }
        write!(f, " ({})", self.behavior)
    }
}

impl fmt::Display for WorkerDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}: ", self.index)?;
        f.write_str(match self.activity {
            Activity::Running => "runs",
            Activity::Searching => "searches",
            Activity::Asleep => "sleeps",
            Activity::HandedOff => "handed off, runs",
            Activity::Spare => "is a spare",
            Activity::Ended => "has ended",
        })?;
        if let Some(actor) = &self.actor {
            write!(f, " {actor}")?;
        }
        if let Some(span) = self.turn_for {
            write!(f, " for {span:?}")?;
        }
        write!(f, "; ready {}, newborn {}", self.ready, self.fresh)?;
        if let Some(actor) = &self.slot {
            write!(f, ", next {actor}")?;
        }
        if let Some(actor) = &self.unpublished_to {
            write!(f, ", unpublished to {actor}")?;
        }
        match self.next_timer {
            None => f.write_str("; no timers")?,
            Some(span) => write!(f, "; timers due in {span:?}")?,
        }
        write!(
            f,
            "; {} turns, {} messages, {} parks",
            self.turns, self.messages, self.parks
        )
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_closing {
            ", shutting down"
        } else {
            ""
        };
        let (system, span, actors) = (&self.system, self.span, self.actors);
        write!(f, "system {system} after {span:?}{state}: {actors} actors")?;
        for dispatcher in &self.dispatchers {
            let name = match &*dispatcher.name {
                "" => "of one actor",
                name => name,
            };
            write!(f, "\ndispatcher {name}: injector {}", dispatcher.injector)?;
            for worker in &dispatcher.workers {
                write!(f, "\n  {worker}")?;
            }
        }
        for one in &self.waiting {
            f.write_str("\nwaits for room: ")?;
            match &one.actor {
                Some(actor) => write!(f, "{actor}")?,
                None => f.write_str("a thread outside")?,
            }
            write!(f, ", {} places at {}", one.places, one.target)?;
        }
        for one in &self.backlogs {
            let run = match one.is_scheduled {
                true => "runs or is to",
                false => "nobody is to run it",
            };
            write!(f, "\nmessages: {} at {}, {run}", one.messages, one.actor)?;
        }
        Ok(())
    }
}
