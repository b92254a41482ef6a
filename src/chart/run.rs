//! The runner: selects transitions, takes microsteps, and ends a macrostep when nothing is left.
//!
//! ```text
//!   event ─▶ select ─▶ microstep ─▶ ┌ eventless? ─▶ microstep ┐
//!                                   │ queued?    ─▶ microstep │ until neither
//!                                   └────────────◀────────────┘ ─▶ invokes ─▶ effects
//! ```
//!
//! - R1: a step that fails leaves the instance as it was before the event. The copy that this takes is
//!   made once a transition has been selected, and only if what follows may fail.
//! - R2: effects come out in the order in which the actions asked for them.
//! - R3: in steady state nothing is allocated: every buffer is the caller's and is used again.

mod logic;
mod microstep;
mod select;

use std::collections::VecDeque;
use std::fmt;

use super::entry::{Bits, Entry, Leaves, States};
use super::model::{ActionId, StateId};
use super::table::{Candidate, Class, Span, Table, flag};
pub use logic::{Ask, Logic, Scope, View};

/// The default of [`Chart::microsteps_max`].
pub const MICROSTEPS_MAX: u32 = 10_000;

/// With more leaves than this a step takes the general way.
const REGIONS_MAX: usize = 16;

/// How a chart's life stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It takes events.
    #[default]
    Active,
    /// It reached a final state of the root.
    Done,
    /// It was stopped from outside.
    Stopped,
    /// A step failed.
    Failed,
}

/// One running chart: its configuration (as leaves), what its histories remember, and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance<C> {
    /// The data.
    pub context: C,
    pub(crate) leaves: Leaves,
    /// The leaves in the order in which they became active, where that decides something
    /// ([`Table::by_activation`]); empty otherwise.
    pub(crate) recent: States,
    pub(crate) memory: Vec<States>,
    pub(crate) status: Status,
}

impl<C> Instance<C> {
    /// The active leaves in document order.
    pub fn leaves(&self) -> &[StateId] {
        &self.leaves
    }

    /// The same without data.
    pub(crate) fn shape(&self) -> Instance<()> {
        Instance {
            context: (),
            leaves: self.leaves.clone(),
            recent: self.recent.clone(),
            memory: self.memory.clone(),
            status: self.status,
        }
    }

    /// The same with other data.
    pub(crate) fn with<D>(self, context: D) -> Instance<D> {
        let Self {
            leaves,
            recent,
            memory,
            status,
            ..
        } = self;
        Instance {
            context,
            leaves,
            recent,
            memory,
            status,
        }
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub(crate) fn copy_from(&mut self, other: &Self)
    where
        C: Clone,
    {
        self.context.clone_from(&other.context);
        self.leaves.copy_from(&other.leaves);
        self.recent.clone_from(&other.recent);
        self.memory.clone_from(&other.memory);
        self.status = other.status;
    }

    /// How its life stands.
    pub fn status(&self) -> Status {
        self.status
    }
}

/// What a chart's steps leave behind and use again.
pub struct Buffers<L: Logic> {
    out: Out<L>,
    work: Work,
    backup: Option<Instance<L::Context>>,
}

impl<L: Logic> Default for Buffers<L> {
    fn default() -> Self {
        Self {
            out: Out {
                effects: Vec::new(),
                queue: VecDeque::new(),
                touched: false,
                starting: false,
            },
            work: Work::default(),
            backup: None,
        }
    }
}

impl<L: Logic> Buffers<L> {
    /// What the chart asked for and nobody has taken out yet.
    pub(crate) fn asked(&self) -> &[L::Effect] {
        &self.out.effects
    }

    /// What the chart asked for, in order (R2); the caller takes it out. After a failed step these
    /// are the effects up to the failure, which the caller discards unless they were only records.
    pub fn effects(&mut self) -> &mut Vec<L::Effect> {
        &mut self.out.effects
    }
}

struct Out<L: Logic> {
    effects: Vec<L::Effect>,
    queue: VecDeque<L::Event>,
    touched: bool,
    starting: bool,
}

#[derive(Default)]
struct Work {
    picks: Vec<Pick>,
    /// The flags that all picks have.
    common: u32,
    reaches: Vec<Reach>,
    exits: Vec<StateId>,
    active: Bits,
    entry: Entry,
    complete: Vec<StateId>,
    invokes: Vec<StateId>,
}

/// A transition selected for the leaf at a place of the configuration.
#[derive(Clone, Copy, Debug)]
struct Pick {
    position: u32,
    /// Its place among the table's candidates.
    candidate: u32,
}

/// What a transition leaves, and the state inside which it happens.
#[derive(Clone, Copy, Debug)]
struct Reach {
    exit: Span,
    domain: u32,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepError<F> {
    /// So many microsteps without coming to rest; most often a circle of eventless transitions.
    Limit(u32),
    /// A guard or an action failed.
    Fault(F),
}

impl<F: fmt::Display> fmt::Display for StepError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(n) => write!(f, "no rest after {n} microsteps; the old state was kept"),
            Self::Fault(fault) => write!(f, "{fault}; the old state was kept"),
        }
    }
}

impl<F: fmt::Display + fmt::Debug> std::error::Error for StepError<F> {}

/// A chart ready to run: its table and what its numbers mean. Shared by all its instances.
#[derive(Debug)]
pub struct Chart<L> {
    table: Table,
    logic: L,
    /// How many microsteps one event may cause before the step fails.
    pub microsteps_max: u32,
    careful: bool,
}

impl<L: Logic> Chart<L> {
    /// Joins a table and its logic.
    pub fn new(mut table: Table, logic: L) -> Self {
        for at in 0..table.candidates.len() {
            let candidate = table.candidates[at];
            let mut ops = table.ops[candidate.ops.range()].iter();
            let calm = candidate.is(flag::PLANNED) && ops.all(|op| logic.is_calm(*op));
            table.candidates[at].set(flag::CALM, calm);
        }
        let careful = table.has_eventless || logic.is_fallible();
        Self {
            table,
            logic,
            microsteps_max: MICROSTEPS_MAX,
            careful,
        }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The logic.
    pub fn logic(&self) -> &L {
        &self.logic
    }

    /// Whether `state` is active in `instance`. O(active leaves).
    pub fn is_in(&self, instance: &Instance<L::Context>, state: StateId) -> bool {
        self.view(&instance.leaves).is_in(state)
    }

    fn view<'a>(&'a self, leaves: &'a [StateId]) -> View<'a> {
        View {
            table: &self.table,
            leaves,
            live: None,
        }
    }

    /// Enters the initial states and runs to rest. `event` is what the first actions see as theirs.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); the instance is then given back beside the error, with no state
    /// active.
    #[allow(clippy::type_complexity)] // both halves are wanted, also when it fails
    pub fn start(
        &self,
        context: L::Context,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Started<L> {
        let mut instance = Instance {
            context,
            leaves: Leaves::default(),
            recent: States::new(),
            memory: vec![States::new(); self.table.memories as usize],
            status: Status::Active,
        };
        buffers.out.queue.clear();
        buffers.out.starting = true;
        let result = self.first(&mut instance, event, buffers);
        buffers.out.starting = false;
        if result.is_err() {
            instance.status = Status::Failed;
        }
        (instance, result)
    }

    fn first(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        b.work.invokes.clear();
        b.work.active.reset(self.table.len());
        b.work.entry.reset(self.table.len());
        self.hook(m, event, None, &mut b.out, |logic, scope| {
            logic.begin(scope)
        })?;
        if self.table.rules.root_is_state {
            b.work.entry.enter.set(0);
            b.work.entry.marks.set(0);
        }
        self.table.descend(0, &m.memory, &mut b.work.entry, 0);
        b.work.picks.clear();
        b.work.exits.clear();
        self.enter(m, event, b)?;
        self.settle(m, event, b)
    }

    /// Takes `event` in place and runs to rest: nanoseconds, and no allocation in steady state.
    /// Gives whether a transition was taken for the event itself. An instance that is no longer
    /// active takes nothing.
    ///
    /// # Errors
    ///
    /// [`StepError::Limit`] and, where failures are not events, [`StepError::Fault`]; the instance
    /// is as it was (R1), save that effects up to the failure are in `buffers`.
    #[inline]
    pub fn step(
        &self,
        instance: &mut Instance<L::Context>,
        class: Class,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        self.step_as::<true>(instance, class, event, buffers)
    }

    /// As [`step`](Self::step), for a caller who keeps a copy: a step that fails leaves the
    /// instance torn.
    pub(crate) fn step_in_turn(
        &self,
        instance: &mut Instance<L::Context>,
        class: Class,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        self.step_as::<false>(instance, class, event, buffers)
    }

    #[inline(always)]
    fn step_as<const KEEP: bool>(
        &self,
        m: &mut Instance<L::Context>,
        class: Class,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        if m.status != Status::Active {
            return Ok(false);
        }
        let class = self.known(class);
        let leaves = &mut m.leaves[..];
        let &mut [leaf] = leaves else {
            return self.step_regions::<KEEP>(m, class, event, buffers);
        };
        // The common case: one leaf, a plan made ahead, and rest afterwards.
        let out = &mut buffers.out;
        let found = self
            .first_enabled(leaf, class, &m.context, event, leaves, out)
            .map_err(StepError::Fault)?;
        buffers.work.picks.clear();
        if let Some((at, candidate)) = found {
            let ends_here = candidate.flags & (flag::CALM | flag::EVENTLESS | flag::RECENT);
            if ends_here == flag::CALM && out.queue.is_empty() {
                let view = self.view(leaves);
                self.ops_in(candidate.ops, &mut m.context, event, view, out)?;
                leaves[0] = candidate.leaf;
                return Ok(true);
            }
            buffers.work.picks.push(Pick {
                position: 0,
                candidate: at,
            });
        }
        self.step_carefully::<KEEP>(m, event, buffers)
    }

    /// A step in several regions.
    fn step_regions<const KEEP: bool>(
        &self,
        m: &mut Instance<L::Context>,
        class: Class,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        let table = &self.table;
        let leaves = &mut m.leaves[..];
        if leaves.len() > REGIONS_MAX || table.asks_around[class.0 as usize] {
            self.select(m, class, event, &mut b.out, &mut b.work)
                .map_err(StepError::Fault)?;
            return self.step_carefully::<KEEP>(m, event, b);
        }
        // The common case: transitions that cannot meet, without exit and entry actions.
        let mut found = [0; REGIONS_MAX];
        let (mut common, mut any) = (u32::MAX, 0);
        for (slot, &leaf) in found.iter_mut().zip(&*leaves) {
            let first = self.first_enabled(leaf, class, &m.context, event, leaves, &mut b.out);
            if let Some((at, candidate)) = first.map_err(StepError::Fault)? {
                common &= candidate.flags;
                any |= candidate.flags;
                *slot = at;
            }
        }
        let found = &found[..leaves.len()];
        let in_one_go = common & (flag::CALM | flag::ALONE) == flag::CALM | flag::ALONE
            && any & (flag::AROUND | flag::EVENTLESS | flag::RECENT) == 0;
        if in_one_go && any != 0 && b.out.queue.is_empty() && self.is_settled(leaves) {
            let view = self.view(leaves);
            let mut scope = Scope {
                context: &mut m.context,
                event,
                view,
                out: &mut b.out,
            };
            for &at in found {
                self.run_ops(table.candidates[at as usize].ops, &mut scope)?; // none at place 0
            }
            for (leaf, &at) in leaves.iter_mut().zip(found) {
                if at != 0 {
                    *leaf = table.candidates[at as usize].leaf;
                }
            }
            return Ok(true);
        }
        let picks = found.iter().enumerate().filter(|(_, at)| **at != 0);
        b.work.picks.clear();
        b.work
            .picks
            .extend(picks.map(|(position, &candidate)| Pick {
                position: position as u32,
                candidate,
            }));
        b.work.common = common;
        self.drop_preempted(m, &mut b.work);
        self.step_carefully::<KEEP>(m, event, b)
    }

    /// Whether no active leaf has an eventless candidate.
    #[inline(always)]
    fn is_settled(&self, leaves: &[StateId]) -> bool {
        let none = |&leaf: &StateId| self.table.cell(leaf, Class::EVENTLESS) == 0;
        !self.table.has_eventless || leaves.iter().all(none)
    }

    /// Takes `work.picks` and runs to rest; puts the instance back if that fails and it is to be
    /// kept.
    #[inline(never)]
    fn step_carefully<const KEEP: bool>(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        if b.work.picks.is_empty() {
            if let Some(fault) = self.logic.escalates(event) {
                b.out.queue.clear();
                return Err(StepError::Fault(fault));
            }
            if b.out.queue.is_empty() && self.is_settled(&m.leaves) {
                return Ok(false);
            }
        }
        let calm =
            |p: &Pick| self.candidate(p).flags & (flag::CALM | flag::EVENTLESS) == flag::CALM;
        let cannot_fail = !self.careful
            || b.out.queue.is_empty()
                && b.work.picks.iter().all(calm)
                && self.is_settled(&m.leaves);
        if !KEEP || cannot_fail {
            let result = self.take(m, event, b);
            if result.is_err() {
                b.out.queue.clear();
            }
            return result;
        }
        let mut backup = match b.backup.take() {
            Some(mut old) => {
                old.copy_from(m);
                old
            }
            None => m.clone(),
        };
        let result = self.take(m, event, b);
        if result.is_err() {
            backup.status = Status::Active;
            std::mem::swap(m, &mut backup);
            b.out.queue.clear();
        }
        b.backup = Some(backup);
        result
    }

    fn take(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        b.work.invokes.clear();
        let taken = !b.work.picks.is_empty();
        if taken {
            self.microstep(m, event, b)?;
        }
        self.settle(m, event, b)?;
        Ok(taken)
    }

    /// The state after `event`, and what the chart asks for; `snapshot` stays as it is.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    #[allow(clippy::type_complexity)]
    pub fn transition(
        &self,
        snapshot: &Instance<L::Context>,
        event: &L::Event,
    ) -> Result<(Instance<L::Context>, Vec<L::Effect>), StepError<L::Fault>> {
        let mut next = snapshot.clone();
        let mut buffers = Buffers::default();
        let class = self.logic.class(&self.table, event);
        self.step(&mut next, class, event, &mut buffers)?;
        Ok((next, buffers.out.effects))
    }

    /// Whether a transition would be taken for `event`; nothing changes.
    ///
    /// # Errors
    ///
    /// The fault of a failing guard.
    pub fn can(
        &self,
        instance: &Instance<L::Context>,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Result<bool, L::Fault> {
        let class = self.logic.class(&self.table, event);
        self.select(instance, class, event, &mut buffers.out, &mut buffers.work)?;
        let found = buffers.work.picks.iter().any(|p| {
            let arrow = &self.table.arrows[self.candidate(p).transition as usize];
            !arrow.targets.is_empty() || !arrow.ops.is_empty()
        });
        Ok(instance.status == Status::Active && found)
    }

    /// The numbers, in document order of the whole chart, of the transitions that `event` selects.
    pub(crate) fn selected(
        &self,
        instance: &Instance<L::Context>,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Vec<usize> {
        let class = self.logic.class(&self.table, event);
        let (out, work) = (&mut buffers.out, &mut buffers.work);
        match self.select(instance, class, event, out, work) {
            Ok(()) => {
                let transition = |p| self.candidate(p).transition as usize;
                work.picks.iter().map(transition).collect()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Runs one action outside of a microstep; a failure that is an event waits for the next step.
    ///
    /// # Errors
    ///
    /// The action's fault, where faults are no events.
    pub fn act(
        &self,
        instance: &mut Instance<L::Context>,
        action: ActionId,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Result<(), L::Fault> {
        let mut scope = Scope {
            context: &mut instance.context,
            event,
            view: self.view(&instance.leaves),
            out: &mut buffers.out,
        };
        match self.logic.act(action, &mut scope) {
            Ok(()) => Ok(()),
            Err(fault) => self.absorb(fault, &mut buffers.out),
        }
    }

    /// Ends the instance from outside; runs its exit actions where the language says so.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); the instance is stopped all the same.
    pub fn stop(
        &self,
        instance: &mut Instance<L::Context>,
        event: &L::Event,
        buffers: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        if instance.status != Status::Active {
            return Ok(());
        }
        instance.status = Status::Stopped;
        if self.table.rules.exit_on_stop {
            self.mark_active(&instance.leaves, &mut buffers.work.active);
            self.exit_all(instance, event, buffers)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn candidate(&self, pick: &Pick) -> &Candidate {
        &self.table.candidates[pick.candidate as usize]
    }

    /// Eventless transitions and queued events until neither is left.
    fn settle(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let mut ask_eventless = true;
        let mut owned: Option<L::Event> = None;
        let mut count = 0;
        loop {
            while m.status == Status::Active {
                count += 1;
                if count > self.microsteps_max {
                    return Err(StepError::Limit(self.microsteps_max));
                }
                let current = owned.as_ref().unwrap_or(event);
                if ask_eventless && self.table.has_eventless {
                    self.select(m, Class::EVENTLESS, current, &mut b.out, &mut b.work)
                        .map_err(StepError::Fault)?;
                    if !b.work.picks.is_empty() {
                        let changed = self.microstep_changes(m, current, b)?;
                        ask_eventless = changed || !self.table.rules.eventless_settles;
                        continue;
                    }
                }
                ask_eventless = true;
                let Some(next) = b.out.queue.pop_front() else {
                    break;
                };
                let class = self.logic.class(&self.table, &next);
                let current = owned.insert(next);
                self.select(m, class, current, &mut b.out, &mut b.work)
                    .map_err(StepError::Fault)?;
                if !b.work.picks.is_empty() {
                    self.microstep(m, current, b)?;
                }
            }
            let current = owned.as_ref().unwrap_or(event);
            if m.status != Status::Active {
                b.out.queue.clear();
                if m.status == Status::Done && self.table.rules.output_at_end {
                    self.complete_at_end(m, current, b)?;
                }
                return Ok(());
            }
            if self.table.has_invokes && !b.work.invokes.is_empty() {
                let mut states = std::mem::take(&mut b.work.invokes);
                states.sort_unstable();
                for &s in &states {
                    self.ops(self.table.rows[s as usize].invokes, m, current, &mut b.out)?;
                }
                states.clear();
                b.work.invokes = states;
            }
            if b.out.queue.is_empty() {
                return Ok(());
            }
        }
    }

    /// A microstep; gives whether anything changed that an eventless guard could see.
    fn microstep_changes(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        if !self.table.rules.eventless_settles {
            self.microstep(m, event, b)?;
            return Ok(true);
        }
        let before = m.leaves.clone();
        b.out.touched = false;
        b.work.exits.clear();
        self.microstep(m, event, b)?;
        let remembers = |&s: &StateId| !self.table.rows[s as usize].histories.is_empty();
        Ok(b.out.touched || before != m.leaves || b.work.exits.iter().any(remembers))
    }
}

/// A machine that was started, and what went wrong if something did.
pub type Started<L> = (
    Instance<<L as Logic>::Context>,
    Result<(), StepError<<L as Logic>::Fault>>,
);
