//! Stand-ins: an actor that records what it gets, and one that does what a script says.

use crate::actor::{ActorRef, Behavior, Machine, Snapshot};
use crate::plan::Plan;
use crate::sync::{Arc, Mutex, lock};
use crate::system::System;
use crate::system::spawn::SpawnError;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// An actor that records every message, in the order in which it got them.
///
/// What it got is complete once nobody is runnable: in a [`Sim`](super::Sim) or a stepped system
/// after `run_until_idle`. So "none came" needs no waiting.
///
/// # Examples
///
/// ```
/// use mainspring::testkit::{Probe, Sim};
///
/// let mut sim = Sim::new(1);
/// let probe = Probe::<u64>::start(sim.system())?;
/// probe.expect_none();
/// let handle = sim.system().handle(probe.actor()).expect("it lives");
/// for number in [1, 2] {
///     handle.tell(number)?;
/// }
/// sim.run_until_idle();
/// probe.expect(&[1, 2]);
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct Probe<M> {
    got: Arc<Mutex<Vec<M>>>,
    actor: ActorRef<M>,
}

/// A probe's machine: what it got and nobody has taken.
struct Got<M>(Arc<Mutex<Vec<M>>>);

impl<M: Send + 'static> Machine for Got<M> {
    type Event = M;
    fn apply(&mut self, message: M) {
        lock(&self.0).push(message);
    }
}

impl<M: Send + 'static> Probe<M> {
    /// A probe in this system.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`].
    pub fn start(system: &System) -> Result<Self, SpawnError> {
        let got = Arc::new(Mutex::new(Vec::new()));
        let actor = system.spawn_machine(Got(got.clone()))?.actor();
        Ok(Self { got, actor })
    }

    /// Its address.
    pub fn actor(&self) -> ActorRef<M> {
        self.actor
    }

    /// What it got since the last look, oldest first.
    pub fn take(&self) -> Vec<M> {
        std::mem::take(&mut lock(&self.got))
    }
}

impl<M: Send + fmt::Debug + PartialEq + 'static> Probe<M> {
    /// Takes what it got: these messages, in this order, and no other.
    ///
    /// # Panics
    ///
    /// If it got anything else.
    #[track_caller]
    pub fn expect(&self, expected: &[M]) {
        let got = self.take();
        assert!(
            got == expected,
            "the probe got {got:?}, in order {expected:?} is expected"
        );
    }

    /// Takes what it got: these messages, in any order, and no other.
    ///
    /// # Panics
    ///
    /// If it got anything else.
    #[track_caller]
    pub fn expect_in_any_order(&self, expected: &[M]) {
        let got = self.take();
        let mut missing: Vec<&M> = expected.iter().collect();
        let mut beyond = Vec::new();
        for message in &got {
            match missing.iter().position(|&expected| expected == message) {
                Some(place) => drop(missing.swap_remove(place)),
                None => beyond.push(message),
            }
        }
        assert!(
            missing.is_empty() && beyond.is_empty(),
            "the probe got {got:?}; missing: {missing:?}, not expected: {beyond:?}"
        );
    }

    /// Checks that it got nothing since the last look.
    ///
    /// # Panics
    ///
    /// If it got something.
    #[track_caller]
    pub fn expect_none(&self) {
        self.expect(&[]);
    }
}

impl<M> fmt::Debug for Probe<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({:?})", self.actor)
    }
}

type Line<M> = Box<dyn FnOnce(M) -> Plan<Acting<M>> + Send>;

/// What a stand-in does with one message after the other; what comes after its end is unhandled.
///
/// # Examples
///
/// ```
/// use mainspring::AskError;
/// use mainspring::prelude::*;
/// use mainspring::testkit::{Script, Sim};
///
/// let mut sim = Sim::new(1);
/// sim.allow("panicked");
/// let script = Script::<Reply<u64>>::new().answers(|reply| Plan::reply(reply, 7)).drops().panics();
/// let actor = script.start(sim.system())?;
/// let stand_in = sim.system().handle(actor).expect("it lives");
/// for expected in [Ok(7), Err(AskError::Dropped), Err(AskError::Panicked)] {
///     let asked = stand_in.ask(|reply| reply);
///     sim.run_until_idle();
///     assert_eq!(asked.wait(), expected);
/// }
/// # Ok::<(), mainspring::Error>(())
/// ```
#[must_use = "a script does nothing until it is started"]
pub struct Script<M: Send + 'static> {
    lines: VecDeque<Line<M>>,
}

/// The behavior of a stand-in.
pub struct Acting<M>(PhantomData<fn(M)>);

impl<M> Clone for Acting<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Acting<M> {}

/// The machine of a stand-in: the lines that are left. A line is for one message only, also if its
/// turn fails, so it is taken when it is read.
pub struct Lines<M: Send + 'static>(Mutex<VecDeque<Line<M>>>);

impl<M: Send + 'static> Machine for Lines<M> {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

impl<M: Send + 'static> Behavior for Acting<M> {
    type Machine = Lines<M>;
    type Message = M;
    fn on_message(&self, message: M, lines: Snapshot<'_, Self>) -> Plan<Self> {
        let line = lock(&lines.0).pop_front();
        match line {
            Some(line) => line(message),
            None => Plan::unhandled(),
        }
    }
}

impl<M: Send + 'static> Script<M> {
    /// No line yet.
    pub fn new() -> Self {
        Self {
            lines: VecDeque::new(),
        }
    }

    /// The next message leads to the plan that `line` makes of it.
    pub fn answers(mut self, line: impl FnOnce(M) -> Plan<Acting<M>> + Send + 'static) -> Self {
        self.lines.push_back(Box::new(line));
        self
    }

    /// The next message is dropped, and the reply in it with it.
    pub fn drops(self) -> Self {
        self.answers(|message| {
            drop(message);
            Plan::none()
        })
    }

    /// The stand-in panics at the next message, and so ends.
    ///
    /// # Panics
    ///
    /// Not this call: the actor, in its turn.
    pub fn panics(self) -> Self {
        self.answers(|_| panic!("a stand-in panics as its script says"))
    }

    /// The next message comes again after `delay`, for the line after this one.
    pub fn delays(self, delay: Duration) -> Self {
        // As many keys as lines, so that one delay doesn't replace another.
        let key = self.lines.len() as u64;
        self.answers(move |message| Plan::after(key, delay, message))
    }

    /// The actor that does all this.
    ///
    /// # Errors
    ///
    /// As [`System::spawn`].
    pub fn start(self, system: &System) -> Result<ActorRef<M>, SpawnError> {
        let lines = Lines(Mutex::new(self.lines));
        Ok(system.spawn(Acting(PhantomData), lines)?.actor())
    }
}

impl<M: Send + 'static> Default for Script<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Send + 'static> fmt::Debug for Script<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script of {} lines", self.lines.len())
    }
}
