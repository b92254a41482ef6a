//! Where a simulation looks at, and meddles with, the turns that it runs.
//!
//! The runtime calls these functions in builds with the feature `testkit`; outside of a
//! [`Sim`](super::Sim)'s step each is one look at a thread's flag.

use super::fault::{Fault, Faults};
use super::trace::Heard;
use crate::actor::{Address, Behavior, Machine, Origin};
use crate::envelope::{Kind, Parcel};
use crate::plan::Plan;
use crate::plan::timers::SILENCE;
use crate::timer::ManualClock;
use std::any::{Any, TypeId, type_name};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::time::Duration;

/// Prints a message of a type that the test named.
pub(super) type Show = fn(&dyn Any) -> Option<String>;

/// The longest that a slow handler takes.
const SLOW_MAX_MS: u64 = 10_000;

/// What a step has of its simulation.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) faults: Faults,
    pub(super) hand: ManualClockOf,
    /// Whether turns are told in words.
    pub(super) explains: bool,
    pub(super) shows: HashMap<TypeId, Show>,
    /// Of the step.
    pub(super) machine: Option<String>,
    pub(super) heard: Vec<Heard>,
    pub(super) injected: Vec<Fault>,
}

/// The hand of a stage's clock.
pub(super) struct ManualClockOf(pub(super) ManualClock);

impl Default for ManualClockOf {
    fn default() -> Self {
        Self(ManualClock::new())
    }
}

thread_local! {
    static ACTS: Cell<bool> = const { Cell::new(false) };
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
    /// The sender of the message that comes into the handler next.
    static SENDER: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Lends `stage` to the turns that `run` runs.
pub(super) fn with_stage<R>(stage: &mut Stage, run: impl FnOnce() -> R) -> R {
    struct Back<'a>(&'a mut Stage);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            ACTS.set(false);
            if let Some(stage) = STAGE.take() {
                *self.0 = stage;
            }
        }
    }
    let _back = {
        STAGE.set(Some(std::mem::take(stage)));
        ACTS.set(true);
        Back(stage)
    };
    run()
}

fn on_stage<R>(run: impl FnOnce(&mut Stage) -> R) -> Option<R> {
    STAGE.with_borrow_mut(|stage| stage.as_mut().map(run))
}

/// Whether this thread runs a step of a simulation.
pub(crate) fn acts() -> bool {
    ACTS.get()
}

/// An actor with `machine` is run.
#[inline(always)]
pub(crate) fn runs<B: Behavior>(machine: &B::Machine) {
    if ACTS.get() {
        let id = machine.id().map(str::to_owned);
        on_stage(|stage| stage.machine = id);
    }
}

/// A message comes out of the mailbox; `cell` is that of its sender.
#[inline(always)]
pub(crate) fn arrives(cell: u32) {
    if ACTS.get() {
        SENDER.set(Some(cell));
    }
}

/// The handler of `me` is about to get `message`.
#[inline(always)]
pub(crate) fn handles<B: Behavior>(
    me: Address,
    kind: Kind,
    message: &B::Message,
    machine: &B::Machine,
    origin: Option<Origin>,
) {
    if ACTS.get() {
        let name = type_name::<B::Message>();
        handles_on_stage(me, kind, name, message, machine, origin);
    }
}

#[cold]
fn handles_on_stage(
    me: Address,
    kind: Kind,
    name: &'static str,
    message: &dyn Any,
    machine: &dyn Any,
    origin: Option<Origin>,
) {
    let sender = SENDER.take();
    // The message's own `Debug` runs while the stage is free.
    let show = on_stage(|stage| match stage.explains {
        true => Some(stage.shows.get(&message.type_id()).copied()),
        false => None,
    });
    if let Some(Some(show)) = show {
        let shown = show.and_then(|show| show(message));
        let heard = Heard {
            from: sender.filter(|_| matches!(kind, Kind::Tell | Kind::Ask)),
            why: why(kind),
            message: shown.unwrap_or_else(|| short(name)),
            plan: Vec::new(),
            origin,
            machine: [shown_machine(machine), None],
            stages: vec!["deliver"],
            outcome: None,
        };
        on_stage(|stage| stage.heard.push(heard));
    }
    let panics = on_stage(|stage| {
        if stage.faults.happens(Fault::Slow, Some(me)) {
            let took_ms = 1 + stage.faults.random.below(SLOW_MAX_MS);
            stage.hand.0.advance(Duration::from_millis(took_ms));
            stage.injected.push(Fault::Slow);
        }
        let panics = stage.faults.happens(Fault::Panic, Some(me));
        if panics {
            stage.injected.push(Fault::Panic);
        }
        panics
    });
    if panics == Some(true) {
        // Not through the panic hook: it is meant to be.
        resume_unwind(Box::new("a fault of the seed"));
    }
}

/// A machine of a type that the test named.
fn shown_machine(machine: &dyn Any) -> Option<String> {
    let show = on_stage(|stage| stage.shows.get(&machine.type_id()).copied());
    show.flatten().and_then(|show| show(machine))
}

/// The commit of the turn in hand comes to a stage.
#[inline(always)]
pub(crate) fn stage(name: &'static str) {
    if ACTS.get() {
        comes_to(name);
    }
}

#[cold]
fn comes_to(name: &'static str) {
    on_stage(|stage| {
        if let Some(heard) = stage.heard.last_mut()
            && heard.outcome.is_none()
            && !heard.stages.contains(&name)
        {
            heard.stages.push(name);
        }
    });
}

/// The turn in hand has ended so.
#[inline(always)]
pub(crate) fn ends<B: Behavior>(machine: &B::Machine, outcome: &'static str) {
    if ACTS.get() {
        ends_on_stage(machine, outcome);
    }
}

#[cold]
fn ends_on_stage(machine: &dyn Any, outcome: &'static str) {
    if on_stage(|stage| stage.explains) != Some(true) {
        return;
    }
    let after = shown_machine(machine);
    on_stage(|stage| {
        if let Some(heard) = stage.heard.last_mut()
            && heard.outcome.is_none()
        {
            heard.machine[1] = after;
            heard.outcome = Some(outcome);
        }
    });
}

/// What the message was, as the handler knows it.
fn why(kind: Kind) -> &'static str {
    match kind {
        Kind::Tell => "told",
        Kind::Ask => "asked",
        Kind::Answer => "an ask's outcome",
        Kind::Timer => "a timer",
        Kind::Down => "an end",
        Kind::Notice => "a notice",
        Kind::Stash => "put aside before",
        _ => "news",
    }
}

/// The handler decided.
#[inline(always)]
pub(crate) fn decides<B: Behavior>(plan: &Plan<B>) {
    if ACTS.get() {
        decides_on_stage(plan.event.is_some(), &mut plan.steps.list.iter());
    }
}

#[cold]
fn decides_on_stage(evolves: bool, steps: &mut dyn Iterator<Item = &Parcel>) {
    on_stage(|stage| {
        let Some(heard) = stage.heard.last_mut() else {
            return;
        };
        heard.stages.push("decide");
        if evolves {
            heard.plan.push("evolves".to_owned());
        }
        heard.plan.extend(steps.filter_map(in_words));
    });
}

fn in_words(step: &Parcel) -> Option<String> {
    let words = match step.kind() {
        Kind::Tell | Kind::Ask => {
            let verb = if step.kind() == Kind::Tell {
                "tells"
            } else {
                "asks"
            };
            return Some(format!(
                "{verb} actor {}: {}",
                step.cell(),
                short(step.type_name())
            ));
        }
        Kind::Event => "evolves",
        Kind::Reply | Kind::Later => "answers",
        Kind::Timer => "arms a timer",
        Kind::Interval if step.note()[0] == SILENCE => "hears of silence",
        Kind::Interval => "arms an interval",
        Kind::Cancel => "cancels a timer",
        Kind::Deliver => "delivers",
        Kind::Become => "becomes another",
        Kind::Stash => "puts the message aside",
        Kind::Trap => "traps exits, or no more",
        Kind::Child => "makes a child",
        Kind::Unstash => "takes all back that was put aside",
        Kind::Continue | Kind::Gather => return None,
        _ => "does another step",
    };
    Some(words.to_owned())
}

/// A type's name without its path; the paths of its arguments stay.
pub(super) fn short(name: &str) -> String {
    let (head, rest) = name.split_at(name.find('<').unwrap_or(name.len()));
    let head = head.rsplit("::").next().unwrap_or(head);
    format!("{head}{rest}")
}

/// Whether a mailbox that has room is taken for a full one, once.
#[inline(always)]
pub(crate) fn is_full() -> bool {
    ACTS.get() && is_full_on_stage()
}

#[cold]
fn is_full_on_stage() -> bool {
    let full = on_stage(|stage| {
        let full = stage.faults.happens(Fault::Full, None);
        if full {
            stage.injected.push(Fault::Full);
        }
        full
    });
    full == Some(true)
}
