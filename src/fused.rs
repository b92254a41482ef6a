//! What the code that `chart!` makes needs beyond the public interface.

pub mod describe;
pub mod invoke;
pub mod kernel;
pub mod save;

use invoke::{Call, ChildEnded, Given, Listed};
use save::{Delays, TakenUp};

use crate::Machine;
use crate::dead_letter::Cause;
use crate::dispatcher::worker;
use crate::plan::output::Output;
use crate::plan::timers::Key;
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// What the bodies of a macro's chart may ask for: all that [`Output`] has, and
/// [`raise`](Effects::raise). Kept until the turn's commit.
pub struct Effects<M: Machine> {
    output: Output<M>,
    queue: VecDeque<Inner<M::Event>>,
    calls: Vec<Call<M>>,
    /// In a clone, what the original has asked to be invoked, to be saved.
    listed: Vec<Listed>,
    delays: Delays,
    taken_up: TakenUp<M>,
}

/// A chart of the macro that invokes others.
#[doc(hidden)]
pub trait Invoking: Machine {
    fn ended(ended: ChildEnded) -> Self::Event;
}

/// What waits inside of a chart.
#[doc(hidden)]
pub enum Inner<E> {
    /// A raised event.
    Event(E),
    /// The state of that number is complete, with its final state's output.
    Complete(u32, Option<Given>),
}

impl<M: Machine> Default for Effects<M> {
    fn default() -> Self {
        Self {
            output: Output::new(),
            queue: VecDeque::new(),
            calls: Vec::new(),
            listed: Vec::new(),
            delays: Delays::default(),
            taken_up: Default::default(),
        }
    }
}

impl<M: Machine> Clone for Effects<M> {
    /// Empty but for what is to be saved, what is left of the delays and what is to be invoked: what
    /// was asked for is the original's to do.
    fn clone(&self) -> Self {
        let mut listed = Vec::new();
        self.list(&mut listed);
        Self {
            listed,
            delays: self.delays.clone(),
            ..Self::default()
        }
    }
}

impl<M: Machine> fmt::Debug for Effects<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").finish_non_exhaustive()
    }
}

impl<M: Machine> Effects<M> {
    /// Queues `event` inside the chart: it is taken in the same turn, before any other from
    /// outside, once no `always` transition is left.
    pub fn raise(&mut self, event: M::Event) {
        self.queue.push_back(Inner::Event(event));
    }

    #[doc(hidden)]
    pub fn complete(&mut self, state: u32, output: Option<Given>) {
        self.queue.push_back(Inner::Complete(state, output));
    }

    #[doc(hidden)]
    pub fn pop(&mut self) -> Option<Inner<M::Event>> {
        self.queue.pop_front()
    }

    #[doc(hidden)]
    pub fn arm(&mut self, timer: u64, delay: Duration, event: M::Event) {
        let key = Key::new(timer ^ OWN);
        self.delays.arm(key, delay);
        self.output.after(key, delay, event);
    }

    #[doc(hidden)]
    pub fn disarm(&mut self, timer: u64) {
        let key = Key::new(timer ^ OWN);
        self.delays.disarm(key);
        self.output.cancel(key);
    }

    /// The turn to come is that timer's.
    #[doc(hidden)]
    pub fn over(&mut self, key: Key) {
        self.delays.disarm(key);
    }

    #[doc(hidden)]
    pub fn keep_delays(&mut self) {
        self.delays.keep();
    }

    #[doc(hidden)]
    pub fn roll_back_delays(&mut self) {
        self.delays.roll_back();
    }

    /// No state of `chart` takes the event in hand.
    #[doc(hidden)]
    #[cold]
    pub fn not_taken(&mut self, chart: &str) {
        let event = std::any::type_name::<M::Event>();
        self.output.not_taken(event, chart);
    }

    /// The chart is done: its actor ends once it has handled what it was sent.
    #[doc(hidden)]
    pub fn finish(&mut self) {
        self.output.stop();
    }

    #[doc(hidden)]
    pub fn forget_raised(&mut self) {
        self.queue.clear();
    }

    #[doc(hidden)]
    pub fn forget(&mut self) {
        self.queue.clear();
        self.calls.clear();
        self.output = Output::new();
    }

    #[doc(hidden)]
    #[inline]
    pub fn give(&mut self, output: &mut Output<M>) {
        self.delays.commit(&mut self.taken_up, output);
        output.append(&mut self.output);
    }
}

/// No state of `chart`, which asks for nothing and so never fails, takes the event in hand.
#[doc(hidden)]
#[cold]
#[inline(never)]
pub fn not_taken<M: Machine>(chart: &str) {
    let event = std::any::type_name::<M::Event>();
    worker::with(|worker| {
        if let Some(worker) = worker {
            let cause = Cause::NotTaken {
                event: event.into(),
                chart: chart.into(),
            };
            worker.dead_letter(worker.me(), event, cause);
        }
    });
}

/// Keeps the keys of `after` apart from those that bodies choose.
const OWN: u64 = 0xa5f7_0000_0000_0000;

impl<M: Machine> Deref for Effects<M> {
    type Target = Output<M>;
    fn deref(&self) -> &Output<M> {
        &self.output
    }
}

impl<M: Machine> DerefMut for Effects<M> {
    fn deref_mut(&mut self) -> &mut Output<M> {
        &mut self.output
    }
}
