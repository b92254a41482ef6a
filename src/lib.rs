//! An actor runtime for CPU-bound work: pinned work-stealing workers, lock-free bounded mailboxes,
//! and turns that take effect as a whole or not at all.
//!
//! The README has the first program. This page is the guide: what a turn is, and what a plan can
//! say. Every example on it runs as a test.
//!
//! ```text
//!  code outside actors                     inside                            under it
//! ┌───────────────────┐  tell, ask  ┌──────────────────┐  batch  ┌─────────────────────────────┐
//! │ Handle<M>         │ ──────────▶ │ mailbox: bounded │ ──────▶ │ a turn, for each message    │
//! │ System, Config    │ ◀────────── │                  │         │  decide  behavior(message,  │
//! │ blocking or Future│    answer   └──────────────────┘         │          snapshot) -> Plan  │
//! └───────────────────┘                      ▲                   │  admit   places in all      │
//!                                            │                   │          targets' mailboxes │
//!            timers: a wheel for each worker ┤                   │  evolve  machine.apply(ev)  │
//!            news of actors that have ended  ┤                   │  publish tells, asks,       │
//!                                            └───────────────────│          replies, timers, … │
//!                                                                └─────────────────────────────┘
//!                          workers: threads with a LIFO slot, queues that others steal from, an injector
//! ```
//!
//! # A turn
//!
//! An actor is two things. Its [`Machine`] is all of its state, and only events change it. Its
//! [`Behavior`] holds none: it reads a message and a [`Snapshot`] of the machine, and returns a
//! [`Plan`]. The runtime then commits the plan:
//!
//! 1. *Admit*: a place in every target's mailbox. If one is full the actor waits, holding no place
//!    and no worker (`mailbox.when_full` names the other choices).
//! 2. *Evolve*: the plan's events, in order. A machine may refuse; then nothing happened.
//! 3. *Publish*: messages, questions, answers, timers and children, in the order of the plan.
//!
//! A panic before the commit leaves no trace but a dead letter and the end of that one actor. So a
//! handler never leaves half of its work behind, and a test of a behavior is a function call.
//! What the receivers do is not one instant: each takes its own message, in order.
//!
//! # A plan
//!
//! Steps are values, joined by [`Plan::and`] or given as an array. References in them are
//! [`ActorRef`]s: plain addresses that anybody may copy, compare and keep, and that cannot send.
//!
//! ```
//! use mainspring::prelude::*;
//!
//! #[derive(Default)]
//! struct Till { cents: u64 }
//! struct Sold { cents: u64 }
//! impl Machine for Till {
//!     type Event = Sold;
//!     fn apply(&mut self, sold: Sold) { self.cents += sold.cents }
//! }
//!
//! #[derive(Clone, Copy)]
//! struct Selling { stock: ActorRef<Stock> } // what a behavior depends on is in its fields
//! enum Sale { Sell { cents: u64 }, Total(Reply<u64>) }
//! impl Behavior for Selling {
//!     type Machine = Till;
//!     type Message = Sale;
//!     fn on_message(&self, sale: Sale, till: Snapshot<Self>) -> Plan<Self> {
//!         match sale {
//!             Sale::Sell { cents } => Plan::emit(Sold { cents })
//!                 .and(Plan::tell(self.stock, Stock::Take)),
//!             Sale::Total(reply) => Plan::reply(reply, till.cents),
//!         }
//!     }
//! }
//!
//! struct Shelf { pieces: u64 }
//! struct Taken;
//! impl Machine for Shelf {
//!     type Event = Taken;
//!     fn apply(&mut self, _: Taken) { self.pieces -= 1 }
//! }
//!
//! #[derive(Clone, Copy)]
//! struct Keeping;
//! enum Stock { Take, Left(Reply<u64>) }
//! impl Behavior for Keeping {
//!     type Machine = Shelf;
//!     type Message = Stock;
//!     fn on_message(&self, stock: Stock, shelf: Snapshot<Self>) -> Plan<Self> {
//!         match stock {
//!             Stock::Take if shelf.pieces == 0 => Plan::unhandled(),
//!             Stock::Take => Plan::emit(Taken),
//!             Stock::Left(reply) => Plan::reply(reply, shelf.pieces),
//!         }
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let system = System::new()?;
//! let stock = system.spawn(Keeping, Shelf { pieces: 2 })?;
//! let till = system.spawn(Selling { stock: stock.actor() }, Till::default())?;
//! for _ in 0..3 {
//!     till.tell(Sale::Sell { cents: 250 })?;
//! }
//! assert_eq!(till.ask(Sale::Total).wait()?, 750);
//! assert_eq!(stock.ask(Stock::Left).wait()?, 0);
//! assert_eq!(system.dead_letter_count(), 1); // the third had nothing to take
//! # Ok(()) }
//! ```
//!
//! | a plan says | it does |
//! |---|---|
//! | [`emit`](Plan::emit) | evolves the machine, and gives subscribers a clone |
//! | [`tell`](Plan::tell), [`tell_all`](Plan::tell_all) | sends a message to one, to many |
//! | [`ask`](Plan::ask) | sends a question; the answer is a message |
//! | [`reply`](Plan::reply), [`reply_err`](Plan::reply_err) | answers, now or in a later turn, for oneself or another |
//! | [`after`](Plan::after), [`every`](Plan::every), [`cancel`](Plan::cancel) | timers by key |
//! | [`spawn`](Plan::spawn), [`stop`](Plan::stop), [`stop_because`](Plan::stop_because), [`stop_actor`](Plan::stop_actor) | begins and ends actors |
//! | [`monitor`](Plan::monitor), [`link`](Plan::link), [`subscribe`](Plan::subscribe), [`subscribe_all`](Plan::subscribe_all) | hears of others |
//! | `compute` (feature `compute`) | works off the turn; the result is a message |
//! | [`none`](Plan::none), [`unhandled`](Plan::unhandled) | nothing; nothing, and the message counts as a dead letter |
//!
//! # State without events of its own
//!
//! Where the state is a plain struct, [`Context`] is its machine and [`assign!`] makes the events:
//! fields that are not named keep their values, and each updater sees the value before the change.
//!
//! ```
//! use mainspring::prelude::*;
//! use mainspring::{Context, assign};
//!
//! #[derive(Clone, Default)]
//! struct Profile { name: String, email: String, updates: u32 }
//! enum Change { Profile { name: Option<String>, email: Option<String> }, Name(Reply<String>) }
//!
//! #[derive(Clone, Copy)]
//! struct Profiles;
//! impl Behavior for Profiles {
//!     type Machine = Context<Profile>;
//!     type Message = Change;
//!     fn on_message(&self, change: Change, profile: Snapshot<Self>) -> Plan<Self> {
//!         match change {
//!             Change::Profile { name, email } => Plan::emit(assign!(Profile {
//!                 name: |old| name.unwrap_or_else(|| old.name.clone()),
//!                 email: |old| email.unwrap_or_else(|| old.email.clone()),
//!                 updates: |old| old.updates + 1,
//!             })),
//!             Change::Name(reply) => Plan::reply(reply, profile.name.clone()),
//!         }
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let system = System::new()?;
//! let profile = system.spawn(Profiles, Context::new(Profile::default()))?;
//! profile.tell(Change::Profile { name: Some("Ada".into()), email: None })?;
//! assert_eq!(profile.ask(Change::Name).wait()?, "Ada");
//! # Ok(()) }
//! ```
//!
//! # Asking
//!
//! An ask ends exactly once: with its answer, or with an [`AskError`] that says why there is none.
//! From outside, [`Handle::ask`] gives an [`Ask`], to be waited for by a thread or awaited on any
//! executor. Inside nobody waits: the outcome is a message of the asker, made in its own turn.
//! A [`Reply`] may be kept in a machine and passed on; dropped, it fails the asker at once.
//!
//! ```
//! use mainspring::prelude::*;
//! use std::time::Duration;
//!
//! #[derive(Default)]
//! struct Nothing;
//! impl Machine for Nothing {
//!     type Event = ();
//!     fn apply(&mut self, (): ()) {}
//! }
//!
//! #[derive(Clone, Copy)]
//! struct Doubling;
//! struct Double(u64, Reply<u64>);
//! impl Behavior for Doubling {
//!     type Machine = Nothing;
//!     type Message = Double;
//!     fn on_message(&self, Double(number, reply): Double, _: Snapshot<Self>) -> Plan<Self> {
//!         match number.checked_mul(2) {
//!             Some(double) => Plan::reply(reply, double),
//!             None => Plan::none(), // drops the reply
//!         }
//!     }
//! }
//!
//! #[derive(Clone, Copy)]
//! struct Asking { doubler: ActorRef<Double> }
//! enum Request {
//!     Start(u64, Reply<String>),
//!     Doubled(u64, Reply<String>),
//!     Failed(AskError),
//! }
//! impl Behavior for Asking {
//!     type Machine = Nothing;
//!     type Message = Request;
//!     fn on_message(&self, request: Request, _: Snapshot<Self>) -> Plan<Self> {
//!         match request {
//!             Request::Start(number, reply) => Plan::ask(self.doubler, move |r| Double(number, r))
//!                 .timeout(Duration::from_secs(1))
//!                 .on_ok(move |double| Request::Doubled(double, reply))
//!                 .on_error(Request::Failed),
//!             Request::Doubled(double, reply) => Plan::reply(reply, format!("it is {double}")),
//!             Request::Failed(_) => Plan::none(),
//!         }
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let system = System::new()?;
//! let doubler = system.spawn(Doubling, Nothing)?;
//! let asker = system.spawn(Asking { doubler: doubler.actor() }, Nothing)?;
//! assert_eq!(asker.ask(|reply| Request::Start(21, reply)).wait()?, "it is 42");
//! assert_eq!(doubler.ask(|reply| Double(u64::MAX, reply)).wait(), Err(AskError::Dropped));
//! # Ok(()) }
//! ```
//!
//! # Timers
//!
//! A timer delivers a message to the actor that armed it: never early, and never after it was
//! canceled, also if its message was already in the mailbox. Arming a [`Key`] again replaces its
//! timer; the actor's end ends them all. A [stepped](System::stepped) system runs on the caller's
//! thread, so that a test decides what happens and when.
//!
//! ```
//! use mainspring::prelude::*;
//! use mainspring::Clock;
//! use std::time::Duration;
//!
//! const TICK: Key = Key::named("tick");
//!
//! #[derive(Default)]
//! struct Ticks { seen: u64 }
//! struct Seen;
//! impl Machine for Ticks {
//!     type Event = Seen;
//!     fn apply(&mut self, _: Seen) { self.seen += 1 }
//! }
//!
//! #[derive(Clone, Copy)]
//! struct Ticking;
//! #[derive(Clone)]
//! struct Tick;
//! impl Behavior for Ticking {
//!     type Machine = Ticks;
//!     type Message = Tick;
//!     fn on_start(&self, _: Snapshot<Self>) -> Plan<Self> {
//!         Plan::every(TICK, Duration::from_secs(60), Tick)
//!     }
//!     fn on_message(&self, _: Tick, ticks: Snapshot<Self>) -> Plan<Self> {
//!         match ticks.seen {
//!             0 | 1 => Plan::emit(Seen),
//!             _ => Plan::from([Plan::cancel(TICK), Plan::stop()]),
//!         }
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let (clock, hand) = Clock::manual();
//! let system = System::stepped(Config::default(), clock)?;
//! let ticking = system.spawn(Ticking, Ticks::default())?;
//! for minute in 0..3 {
//!     system.run_until_idle();
//!     assert!(ticking.is_alive(), "its third tick has not come after {minute} min");
//!     hand.advance(Duration::from_secs(60));
//! }
//! system.run_until_idle();
//! assert!(!ticking.is_alive());
//! # Ok(()) }
//! ```
//!
//! # Life
//!
//! [`System::spawn`] makes an actor, [`System::prepare`] one with a name, a capacity, a dispatcher
//! or a thread of its own; [`Plan::spawn`] makes a child whose address its plan knows
//! already. [`Handle::stop`] lets the actor finish what it was sent, [`Handle::stop_now`] and
//! [`Handle::kill`] end it after the turn in hand. [`Actor::snapshot`] asks for a copy of the machine. A panic stops that actor alone and discards its
//! state. Whoever [monitors](Plan::monitor) it gets one [`Down`], after its last message.
//!
//! ```
//! use mainspring::prelude::*;
//! use mainspring::Down;
//!
//! #[derive(Default)]
//! struct News { asker: Option<Reply<String>> }
//! struct Asked(Reply<String>);
//! impl Machine for News {
//!     type Event = Asked;
//!     fn apply(&mut self, Asked(reply): Asked) { self.asker = Some(reply) }
//! }
//!
//! /// Panics at its first message.
//! #[derive(Clone, Copy)]
//! struct Failing;
//! impl Behavior for Failing {
//!     type Machine = News;
//!     type Message = ();
//!     fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> { panic!("no good") }
//! }
//!
//! #[derive(Clone, Copy)]
//! struct Watching;
//! enum Watch { Try(Reply<String>), Ended(Reply<String>, Down) }
//! impl Behavior for Watching {
//!     type Machine = News;
//!     type Message = Watch;
//!     fn on_message(&self, watch: Watch, _: Snapshot<Self>) -> Plan<Self> {
//!         match watch {
//!             Watch::Try(reply) => Plan::spawn(Failing, News::default()).then(|child| {
//!                 Plan::monitor(child, |down| Watch::Ended(reply, down)).and(Plan::tell(child, ()))
//!             }),
//!             Watch::Ended(reply, down) => Plan::reply(reply, down.exit.to_string()),
//!         }
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let system = System::new()?;
//! let watching = system.spawn(Watching, News::default())?;
//! assert_eq!(watching.ask(Watch::Try).wait()?, "panicked: no good");
//! # Ok(()) }
//! ```
//!
//! # Supervision
//!
//! A supervised actor that fails starts anew where it is: address, names and mailbox stay. See
//! [`supervise`].
//!
//! ```
//! use mainspring::prelude::*;
//! use mainspring::supervise::{Backoff, ChildSpec, Children, Strategy, Supervisor};
//!
//! struct Sum(u64);
//! impl Machine for Sum { type Event = u64; fn apply(&mut self, by: u64) { self.0 += by } }
//! #[derive(Clone, Copy)]
//! struct Adding;
//! enum Add { Bad, Get(Reply<&'static str>) }
//! impl Behavior for Adding {
//!     type Machine = Sum;
//!     type Message = Add;
//!     fn on_message(&self, add: Add, _: Snapshot<Self>) -> Plan<Self> {
//!         match add {
//!             Add::Bad => panic!("bad"),
//!             Add::Get(reply) => Plan::reply(reply, "still here"),
//!         }
//!     }
//! }
//!
//! # fn main() -> mainspring::Result {
//! let clock = mainspring::ManualClock::new();
//! let system = System::stepped(Config::default(), clock.clock())?;
//! let sum = ChildSpec::new("sum", |_| (Adding, Sum(0))).named("sum").backoff(Backoff::NONE);
//! let _supervisor = system.spawn(Supervisor, Children::new(Strategy::OneForOne, [sum]))?;
//! system.run_until_idle();
//! let sum = system.whereis::<Add>("sum").unwrap();
//! sum.tell(Add::Bad).ok().unwrap();
//! let answer = sum.ask(Add::Get);
//! system.run_until_idle();
//! clock.advance(std::time::Duration::from_millis(1));
//! system.run_until_idle();
//! assert_eq!(answer.wait()?, "still here");
//! # Ok(()) }
//! ```
//!
//! # What does not compile
//!
//! A behavior cannot hold state: it is `Copy`, `Send` and `Sync`, which no cell, lock or atomic is.
//!
//! ```compile_fail,E0277
//! # use mainspring::prelude::*;
//! # struct Nothing;
//! # impl Machine for Nothing { type Event = (); fn apply(&mut self, (): ()) {} }
//! struct Counting { count: std::cell::Cell<u64> } // not `Copy`, and cannot be made so
//! impl Behavior for Counting {
//!     type Machine = Nothing;
//!     type Message = ();
//!     fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> { Plan::none() }
//! }
//! ```
//!
//! Nor change the machine that it sees:
//!
//! ```compile_fail,E0594
//! # use mainspring::prelude::*;
//! # struct Count { count: u64 }
//! # impl Machine for Count { type Event = (); fn apply(&mut self, (): ()) {} }
//! # #[derive(Clone, Copy)]
//! # struct Counting;
//! impl Behavior for Counting {
//!     type Machine = Count;
//!     type Message = ();
//!     fn on_message(&self, (): (), mut machine: Snapshot<Self>) -> Plan<Self> {
//!         machine.count += 1;
//!         Plan::none()
//!     }
//! }
//! ```
//!
//! Nor send, for an address cannot:
//!
//! ```compile_fail,E0599
//! # use mainspring::prelude::*;
//! fn send(to: ActorRef<u64>) { to.tell(1); }
//! ```
//!
//! # Configuration
//!
//! Code sets values with [`Config::builder`]; a file and environment variables count only where
//! the program asks for them. Every value is checked, and an error names the key, the value and
//! what is allowed. [`config`] lists the keys.
//!
//! ```
//! # fn main() -> mainspring::Result {
//! let config = mainspring::Config::builder().workers(2).build()?;
//! let system = mainspring::System::with_config(config)?;
//! # Ok(()) }
//! ```
//!
//! # Finding out
//!
//! With `system.origins` on, [`Meta::origin`] and each [`DeadLetter`] say where a message came from:
//! its number, that of its chain and of its cause, when it was sent and by whom. Debug builds, and
//! the feature `testkit`, name actors that ask each other in a circle ([`System::ask_circles`]), and
//! behaviors that depend on more than message and machine ([`System::check_decisions`]).
//!
//! # Testing
//!
//! With the feature `testkit`, `testkit::Given` lets a behavior decide on one message without a
//! system, and the plan is looked at by type; `testkit::simulate` runs whole systems in an order
//! and with a time that a seed decides, and prints the seed that failed. `docs/testkit.md` in the
//! repository is the chapter on it.
//!
//! # Further on
//!
//! In the repository: `docs/guide/` is a guide in chapters, `docs/semantics.md` has order, loss, commit and stop on one page,
//! `docs/decisions/` why things are as they are, `docs/capabilities.md` what is not there yet.

#![warn(clippy::missing_errors_doc, clippy::missing_panics_doc)]

#[cfg(not(loom))]
pub mod chart;
#[cfg(any(loom, mainspring_shuttle))]
#[doc(hidden)]
pub mod sync;
#[cfg(not(any(loom, mainspring_shuttle)))]
mod sync;

#[cfg(not(loom))]
mod actor;
#[cfg(not(loom))]
mod ask;
#[cfg(not(loom))]
mod circles;
#[cfg(all(feature = "compute", not(loom)))]
mod compute;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
mod dead_letter;
#[cfg(not(loom))]
mod dependency;
#[cfg(not(loom))]
mod dispatcher;
#[cfg(not(loom))]
mod dump;
#[cfg(not(loom))]
mod envelope;
#[cfg(not(loom))]
#[doc(hidden)] // for the code that the macro makes
pub mod fused;
#[cfg(not(loom))]
pub mod group;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod hosted;
#[cfg(all(feature = "io", not(loom)))]
mod io;
#[cfg(not(loom))]
mod metrics;
#[cfg(not(loom))]
mod path;
#[cfg(not(loom))]
mod plan;
#[cfg(not(loom))]
mod quarantine;
#[cfg(all(any(debug_assertions, feature = "testkit"), not(loom)))]
mod rehearsal;
#[cfg(not(loom))]
mod slab;
#[cfg(not(loom))]
pub mod supervise;
#[cfg(not(loom))]
mod system;
#[cfg(all(feature = "testkit", not(loom)))]
pub mod testkit;
#[cfg(not(loom))]
#[doc(hidden)] // for the benches
pub mod timer;
#[cfg(not(loom))]
pub mod timers;

#[cfg(not(loom))]
mod front {
    pub use crate::actor::stream::EventStream;
    pub use crate::actor::{
        ActorRef, Address, Assign, Behavior, Context, Counts, Down, Events, Exit, Handler, Machine,
        Meta, Origin, Refusal, Snapshot,
    };
    pub use crate::ask::{AskError, Deferred, Reply};
    pub use crate::circles::AskCircle;
    #[cfg(feature = "compute")]
    pub use crate::compute::{CancelToken, ComputeError};
    pub use crate::config::Config;
    pub use crate::dead_letter::{Cause, DeadLetter};
    pub use crate::dependency::{
        Component, Dependencies, Dependency, DependencyError, Directory, Unresolved,
    };
    pub use crate::dump::{
        Activity, ActorDump, BacklogDump, DispatcherDump, Dump, Inspector, WaitingDump, WorkerDump,
    };
    pub use crate::fused::Effects;
    pub use crate::fused::invoke::{ChildEnded, Finishes, Invoked, Parent};
    pub use crate::handle::{Actor, Ask, Ended, Handle, SendError};
    pub use crate::hosted::whole::Saves;
    pub use crate::hosted::{ChartMachine, Child, HostedChart, StartFailed};
    #[cfg(feature = "io")]
    pub use crate::io::{Io, IoRegistration, Readiness};
    pub use crate::metrics::{MemoryMetrics, Metrics, TypeMetrics, WorkerMetrics};
    pub use crate::path::{ActorPath, PathError};
    pub use crate::plan::breaker::{Breaker, BreakerChange, BreakerState, FailureRate};
    pub use crate::plan::children::SpawnStep;
    pub use crate::plan::delivery::{DeliveryStep, Undeliverable, Undelivered};
    pub use crate::plan::escape::Escape;
    pub use crate::plan::gather::GatherStep;
    pub use crate::plan::output::Output;
    pub use crate::plan::timers::{Key, Missed};
    pub use crate::plan::{AskPlan, AskStep, Plan};
    pub use crate::quarantine::{Poison, Quarantine, Quarantined, ReplayError};
    pub use crate::sync::clock::{Clock, ManualClock};
    pub use crate::system::root::{Spawn, SystemMessage};
    pub use crate::system::spawn::{Prepare, Prepared, SpawnError};
    pub use crate::system::watch::NameError;
    pub use crate::system::{Late, Shutdown, StartError, System};
}
#[cfg(not(loom))]
pub use front::*;

/// A statechart in Rust, as a [`Machine`]: an event costs one jump and the match of one state.
///
/// States are written in braces, nested as deep as wanted; events are patterns over a plain enum;
/// guards, actions and delays are Rust code over a plain context. A misspelt state, event or
/// target does not compile, and the error stands at the word.
///
/// ```text
/// [ATTRIBUTES] [pub] chart NAME(CONTEXT: Type, event: Type [, out: OUT] [, states: STATES]
///                    [, after: VARIANT] [, invoke: VARIANT] [, output: Type] [, meta: Type]
///                    [, version: "TEXT"] [, kept]) {
///     initial STATE [{ ACTION }]; every state with states inside has one
///     state NAME { .. }           entry { .. }   exit { .. }   tags "a", "b";   meta VALUE;
///     parallel NAME { .. }        all states directly inside are active
///     final NAME [{ output VALUE; }]
///     history [deep] NAME [=> DEFAULT];
///     invoke NAME = INVOKED;      a child as long as the state is active
///     on PATTERN [if GUARD] => [reenter] TARGET [{ ACTION }];
///     on PATTERN [if GUARD] => { ACTION }          no state is left
///     on PATTERN;                                  taken, so that no state around sees it
///     on PATTERN => TARGET & TARGET;               in regions of one parallel state
///     always [if GUARD] => TARGET [{ ACTION }];    as soon as it holds
///     always if GUARD => { ACTION }                again and again, until the guard fails
///     after DELAY [if GUARD] => TARGET [{ ACTION }];
///     done[(PATTERN)] [if GUARD] => ..             a final state inside was reached
///     done NAME[(PATTERN)] [if GUARD] => ..        what was invoked has ended, with its output
///     error NAME[(PATTERN)] [if GUARD] => ..       it has none: why, as a `&str`
/// }
/// ```
///
/// The rules are XState's: candidates go from the innermost state outward, in the order written;
/// a transition stays inside of its source if it can, unless it says `reenter`; what is left is
/// left from the inside out, then the action runs, then what is entered is entered from the
/// outside in; then `always` transitions and raised events are taken, until none is left.
///
/// - `CONTEXT` is what guards (by `&`) and bodies (by `&mut`) call the context.
/// - `OUT` is what bodies call the [`Effects`]: `OUT.raise(event)`, and all of [`Output`], so
///   `tell`, `spawn`, `after` and so on, which join the turn's commit.
/// - `VARIANT` is a variant of the event's type that holds a number, as `Event::After`: what the
///   timers of `after` bring. They are the actor's, and end when their state is left.
/// - `STATES` is what guards call the active states: `STATES.is(NAMEState::X)`.
/// - `invoke: VARIANT` is a variant that holds a [`ChildEnded`], for the ends of what states invoke:
///   expressions of the type [`Invoked`], evaluated on entry with `CONTEXT` by `&`. The child starts
///   when the turn ends and is stopped when its state is left. An `error` that no state takes fails
///   its turn. `NAME::LOAD` is the number of `invoke Load`.
/// - `output: Type` is what the chart gives when it is done: its own final states say `output VALUE;`
///   then, with `CONTEXT` by `&`; `NAME::output` reads it, and who [invoked](Invoked::chart) the chart
///   gets it. Other final states give any type, the same for all in one state; `done(PATTERN)` of the
///   state around sees it by reference.
/// - `meta: Type` is what `NAMEState::meta` and `NAME::meta` give for states that say `meta VALUE;`.
/// - `version` is kept with what is saved of a machine: another version's is refused.
/// - `kept` has serde write and read what is not in a [`Snapshot`](chart::Snapshot) by itself: with
///   `OUT`, the events of the timers that bodies start, so that they are saved too; and the context,
///   where the chart is [invoked](Invoked::chart) and its parent is saved. They are `Serialize` and
///   `DeserializeOwned` then. An event that serde refuses, as of a variant that it skips, is left out
///   with its timer.
/// - Entry and exit bodies see no event; a `return` has no place in any body. The action of `initial`
///   runs after its state's entry, when that begins by default, not when a state inside is the target.
/// - An input is what `NAME::new` makes its context of.
///
/// Made are the type `NAME` with `new`, `is`, `state`, `states`, `has_tag`, `context`, `is_done`,
/// `step`, `model`, `save` and `restore`, and the enum `NAMEState` of all states. With `out`, `always`, `done`, `after`,
/// `invoke` or a final state of the chart itself the context is `Clone`, so that a turn can fail:
/// `out`, `always` and `done` may take [more than one microstep](chart::run::MICROSTEPS_MAX) and never
/// rest.
///
/// `NAME::model()` is the chart as data, for [`check`](chart::check::check),
/// [`svg`](chart::svg::svg), [`paths`](chart::paths::paths) and the kernel: events have their
/// patterns' names, actions and guards their text. An event `*`, of `_`, takes completions too in
/// the model, not in the chart.
///
/// `NAME::save` makes a [`Snapshot`](chart::Snapshot) of a machine, the same that a loaded chart has,
/// where the context is `Clone`; `NAME::restore` makes the machine of it, its `after` delays by the
/// rule of a [`Resume`](chart::Resume), and so, of a chart that is `kept`, the timers that bodies start
/// by `OUT.after`. A delay of `after` is named by its state and its expression's text. What states
/// have invoked and is alive is in it by name, and starts again with the restored machine;
/// [`Actor::save`] adds the states of charts that are `kept`, which then go on where they were.
///
/// A chart with `parallel`, or with a history asked for from inside of what it remembers, is run by
/// the kernel of loaded charts: tens of nanoseconds an event, no allocation. Its context is `Clone`,
/// and so is its event if a pattern binds anything: each transition that takes an event, and each
/// guard that reads one, gets a clone. With `parallel` there is no `state`, only `states`.
///
/// # Examples
///
/// ```
/// use mainspring::prelude::*;
///
/// pub enum Signal { Open, Shut, Push { force: u32 } }
///
/// #[derive(Default)]
/// pub struct Counts { opened: u32, pushed: u32 }
///
/// mainspring::chart! {
///     /// A door that breaks when it is pushed too hard.
///     pub chart Door(counts: Counts, event: Signal) {
///         initial Whole;
///         state Whole {
///             initial Closed;
///             on Signal::Push { force } if force > 100 => Broken;
///             on Signal::Push { force } => { counts.pushed += force }
///             state Closed { on Signal::Open => Ajar { counts.opened += 1 } }
///             state Ajar { on Signal::Shut => Closed; }
///         }
///         state Broken { tags "sad"; }
///     }
/// }
///
/// # fn main() -> mainspring::Result {
/// let mut door = Door::new(Counts::default())?;
/// assert!(door.is(DoorState::Whole) && door.is(DoorState::Closed));
/// assert!(door.step(Signal::Open)?);
/// assert!(!door.step(Signal::Open)?, "it is open");
/// door.step(Signal::Push { force: 7 })?;
/// assert_eq!((door.context().opened, door.context().pushed), (1, 7));
///
/// let system = System::new()?;
/// let hall = system.spawn_machine(door)?; // its messages are its events
/// hall.tell(Signal::Push { force: 101 })?;
/// # Ok(()) }
/// ```
///
/// Regions, and the chart as data:
///
/// ```
/// #[derive(Clone)]
/// enum Key { Power, Louder, Note(String) }
///
/// mainspring::chart! {
///     chart Radio(notes: Vec<String>, event: Key, states: active) {
///         initial On;
///         parallel On {
///             on Key::Note(text) => { notes.push(text) }
///             state Tuner {
///                 initial Off;
///                 state Off { on Key::Power => Playing; }
///                 state Playing { on Key::Power => Off; }
///             }
///             state Volume {
///                 initial Low;
///                 state Low { on Key::Louder if active.is(RadioState::Playing) => High; }
///                 state High { on Key::Power => Low; }
///             }
///         }
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut radio = Radio::new(Vec::new())?;
/// assert!(!radio.step(Key::Louder)?, "it is off");
/// radio.step(Key::Power)?;
/// radio.step(Key::Louder)?;
/// radio.step(Key::Note("loud".into()))?;
/// assert!(radio.states().eq([RadioState::Playing, RadioState::High]));
/// assert_eq!(*radio.context(), ["loud"]);
/// assert!(mainspring::chart::svg::svg(&Radio::model()).contains("Volume"));
/// # Ok(()) }
/// ```
///
/// Saved, and restored in another system:
///
/// ```
/// # fn main() -> mainspring::Result {
/// use mainspring::chart::{Resume, Snapshot};
/// use mainspring::prelude::*;
/// use mainspring::Clock;
/// use std::time::Duration;
///
/// enum Knock { Knock, After(u8) }
///
/// mainspring::chart! {
///     #[derive(Clone)]
///     chart Door(opened: u32, event: Knock, after: Knock::After, version: "1") {
///         initial Shut;
///         state Shut { on Knock::Knock => Ajar { *opened += 1 } }
///         state Ajar { after Duration::from_secs(10) => Shut; }
///     }
/// }
///
/// let (clock, hand) = Clock::manual();
/// let system = System::stepped(Config::default(), clock)?;
/// let front = system.spawn_machine(Door::new(0)?)?;
/// front.tell(Knock::Knock)?;
/// system.run_until_idle();
/// hand.advance(Duration::from_secs(4));
/// let asked = front.snapshot();
/// system.run_until_idle();
/// let saved: Snapshot<u32> = asked.wait()?.save(); // serde can write and read it
///
/// let restored = system.spawn_machine(Door::restore(&saved, Resume::Remaining)?)?;
/// let is_ajar = || {
///     system.run_until_idle();
///     let asked = restored.snapshot();
///     system.run_until_idle();
///     asked.wait().map(|door| door.is(DoorState::Ajar))
/// };
/// assert!(is_ajar()?);
/// hand.advance(Duration::from_millis(6_002));
/// assert!(!is_ajar()?);
/// # Ok(()) }
/// ```
///
/// A job off the turn, and an output:
///
/// ```
/// # #[cfg(feature = "compute")]
/// # fn main() -> mainspring::Result {
/// use mainspring::prelude::*;
/// use mainspring::{ChildEnded, Clock, Invoked};
///
/// enum Order { Count(String), Ended(ChildEnded) }
///
/// mainspring::chart! {
///     #[derive(Clone)]
///     chart Counting(text: String, event: Order, invoke: Order::Ended, output: usize) {
///         initial Idle;
///         state Idle { on Order::Count(new) => Busy { *text = new } }
///         state Busy {
///             invoke Count = {
///                 let text = text.clone();
///                 Invoked::task(move |_| text.split_whitespace().count())
///             };
///             done Count(1..) => Counted;
///             done Count(_) => Idle;
///             error Count(why) => Idle { *text = why.to_owned() }
///         }
///         final Counted { output text.len(); }
///     }
/// }
///
/// let (clock, _hand) = Clock::manual();
/// let system = System::stepped(Config::default(), clock)?;
/// let counting = system.spawn_machine(Counting::new(String::new())?)?;
/// counting.tell(Order::Count("two words".into()))?;
/// system.run_until_idle();
/// assert!(!counting.is_alive(), "it is done");
/// # Ok(()) }
/// # #[cfg(not(feature = "compute"))]
/// # fn main() {}
/// ```
///
/// A misspelt target says where and what was meant:
///
/// ```compile_fail
/// enum Signal { Go }
/// mainspring::chart! {
///     chart Light(times: u32, event: Signal) {
///         initial Red;
///         state Red { on Signal::Go => Gren; } // no state `Gren` in this chart; did you mean `Green`?
///         state Green {}
///     }
/// }
/// ```
/// So does a misspelt invocation, and an output in a pattern of another type is the compiler's error:
///
/// ```compile_fail
/// enum Event { Ended(mainspring::ChildEnded) }
/// mainspring::chart! {
///     chart Light(times: u32, event: Event, invoke: Event::Ended) {
///         initial Red;
///         state Red {
///             invoke Load = mainspring::Invoked::<Self, u8>::task(|_| 1);
///             done Laod => Red; // nothing invokes `Laod`; did you mean `Load`?
///         }
///     }
/// }
/// ```
/// ```compile_fail,E0308
/// enum Event { Go }
/// mainspring::chart! {
///     chart Light(times: u32, event: Event) {
///         initial Red;
///         state Red { initial Off; final Off { output 1_u8; } done("one") => Red; }
///     }
/// }
/// ```
/// And an event that is none is an error of the compiler's own, at the same place:
///
/// ```compile_fail,E0599
/// enum Signal { Go }
/// mainspring::chart! {
///     chart Light(times: u32, event: Signal) {
///         initial Red;
///         state Red { on Signal::Og => Green; }
///         state Green {}
///     }
/// }
/// ```
#[cfg(all(feature = "macros", not(loom)))]
pub use mainspring_macros::chart;

/// Derives [`Dependencies`](trait@Dependencies) for a struct whose fields have a path each:
/// `#[actor("actor://system/name")]`. See [`Component`] for an example.
///
/// A field is an [`ActorRef`], which must be found, or an `Option` of one. A path that is not well
/// formed does not compile:
///
/// ```compile_fail,E0080
/// use mainspring::{Dependencies, prelude::*};
/// #[derive(Clone, Copy, Dependencies)]
/// struct Needs {
///     #[actor("actor:/system/log")]
///     log: ActorRef<String>,
/// }
/// let _ = Needs::resolve;
/// ```
/// Nor does a field without one, or one that is no address:
///
/// ```compile_fail
/// use mainspring::{Dependencies, prelude::*};
/// #[derive(Clone, Copy, Dependencies)]
/// struct Needs {
///     log: ActorRef<String>, // a path was expected: #[actor("actor://system/name")]
/// }
/// ```
/// ```compile_fail,E0277
/// use mainspring::{Dependencies, prelude::*};
/// #[derive(Clone, Copy, Dependencies)]
/// struct Needs {
///     #[actor("actor://system/log")]
///     log: u64,
/// }
/// ```
#[cfg(all(feature = "macros", not(loom)))]
pub use mainspring_macros::Dependencies;

/// A test over seeds, as [`testkit::simulate`] runs it: the function takes the simulation.
///
/// It is a plain `#[test]` of that name, so cargo test and nextest run and filter it, and what it
/// prints when it fails is the seed and the line that replays it; `MAINSPRING_SEED` in the
/// environment runs that seed alone.
///
/// | argument | what | when left out |
/// |---|---|---|
/// | `seeds` | how many, from 0 on, or a range | 100 |
/// | `config` | a [`Config`] | the default |
/// | `faults` | an array of [`testkit::Fault`]s, from the start on | none |
/// | `one_in` | how rare they are | 24 |
/// | `exploration` | how the order is chosen: a [`testkit::Exploration`] | `Exploration::Mixed` |
///
/// # Examples
///
/// ```
/// use mainspring::prelude::*;
/// use mainspring::testkit::{Fault, Sim};
///
/// #[mainspring::test(seeds = 500, faults = [Fault::Late, Fault::Full], one_in = 8)]
/// fn nothing_is_left(sim: &mut Sim) {
///     sim.run_until_idle();
///     assert_eq!(sim.turns(), 0);
/// }
/// ```
///
/// Its arguments are checked:
///
/// ```compile_fail
/// #[mainspring::test(seed = 500)]
/// fn nothing_is_left(sim: &mut mainspring::testkit::Sim) {}
/// ```
#[cfg(all(feature = "macros", feature = "testkit", not(loom)))]
pub use mainspring_macros::test;

/// Any error of this library, or of a program that uses it.
pub type Error = Box<dyn std::error::Error>;

/// The result of a program's `main`: any error of this library converts to it.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What most programs need.
pub mod prelude {
    #[cfg(not(loom))]
    pub use crate::{
        Actor, ActorRef, AskError, Behavior, Config, Deferred, Exit, Handle, Key, Machine, Plan,
        Reply, Snapshot, System,
    };
}

#[cfg(all(doctest, not(loom)))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

#[cfg(all(doctest, feature = "testkit", not(loom)))]
#[doc = include_str!("../docs/testkit.md")]
struct TestKitExamples;

/// The guide's chapters, whose programs are tests.
#[cfg(all(doctest, not(loom)))]
mod guide {
    #[doc = include_str!("../docs/guide/1-getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../docs/guide/2-otp.md")]
    struct Otp;
    #[doc = include_str!("../docs/guide/3-core.md")]
    struct Core;
    #[doc = include_str!("../docs/guide/4-time.md")]
    struct Time;
    #[doc = include_str!("../docs/guide/5-further.md")]
    struct Further;
    #[doc = include_str!("../docs/guide/6-tests.md")]
    struct Tests;
    #[doc = include_str!("../docs/guide/8-does-not-compile.md")]
    struct DoesNotCompile;
}
