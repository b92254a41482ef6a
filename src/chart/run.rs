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

use std::collections::VecDeque;
use std::fmt;

use smallvec::{SmallVec, smallvec};

use super::entry::{Bits, Entry, Leaves, States};
use super::model::{ActionId, GuardId, Kind, StateId};
use super::table::{Candidate, Class, HOST, NONE, Span, Table, Test, flag};

/// The default of [`Chart::microsteps_max`].
pub const MICROSTEPS_MAX: u32 = 10_000;

/// With more leaves than this a step takes the general way.
const REGIONS_MAX: usize = 16;

/// What a chart's numbers mean: its data, guards and actions.
///
/// The kernel calls it and knows nothing else of the chart's context, events and effects.
pub trait Logic: Sized {
    /// The chart's data, changed in place by its actions.
    type Context: Clone;
    /// What is queued inside the chart and sent from outside.
    type Event;
    /// What the chart asks of the world.
    type Effect;
    /// Why an action or guard failed.
    type Fault;

    /// The event's class.
    fn class(&self, table: &Table, event: &Self::Event) -> Class;

    /// Answers a guard.
    ///
    /// # Errors
    ///
    /// What went wrong while asking.
    fn guard(&self, id: GuardId, ask: &Ask<'_, Self>) -> Result<bool, Self::Fault>;

    /// Runs an action.
    ///
    /// # Errors
    ///
    /// What went wrong; the rest of the action has not run.
    fn act(&self, id: ActionId, scope: &mut Scope<'_, Self>) -> Result<(), Self::Fault>;

    /// Runs before the first state is entered.
    ///
    /// # Errors
    ///
    /// As for an action.
    fn begin(&self, _scope: &mut Scope<'_, Self>) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// `state` is complete, by its final child `by` or by all its regions; raises its event.
    ///
    /// # Errors
    ///
    /// As for an action.
    fn completed(
        &self,
        _state: StateId,
        _by: Option<StateId>,
        _scope: &mut Scope<'_, Self>,
    ) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// The chart is complete: `by` was entered, and `whole` is the outermost state it completed.
    ///
    /// # Errors
    ///
    /// As for an action.
    fn finished(
        &self,
        _by: StateId,
        _whole: StateId,
        _scope: &mut Scope<'_, Self>,
    ) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// The event that tells the chart of a failure, where failures are events.
    fn failure(&self, fault: Self::Fault) -> Option<Self::Event>;

    /// The fault that an unhandled `event` means for the chart.
    fn escalates(&self, _event: &Self::Event) -> Option<Self::Fault> {
        None
    }

    /// Whether a step may fail or raise events, so that the old context must be kept.
    fn is_fallible(&self) -> bool {
        true
    }

    /// Whether the action can neither fail nor raise, though others may. A planned step of such
    /// actions keeps no copy of the old state. Asked once, when the chart is made.
    fn is_calm(&self, _id: ActionId) -> bool {
        !self.is_fallible()
    }
}

/// What a guard may look at.
pub struct Ask<'a, L: Logic> {
    /// The chart's data.
    pub context: &'a L::Context,
    /// The event in hand.
    pub event: &'a L::Event,
    /// The active states.
    pub view: View<'a>,
}

/// What an action may use.
pub struct Scope<'a, L: Logic> {
    /// The chart's data.
    pub context: &'a mut L::Context,
    /// The event in hand.
    pub event: &'a L::Event,
    /// The active states.
    pub view: View<'a>,
    out: &'a mut Out<L>,
}

impl<L: Logic> Scope<'_, L> {
    /// Queues `event` inside the chart: it is taken before any other from outside.
    pub fn raise(&mut self, event: L::Event) {
        self.out.queue.push_back(event);
    }

    /// Asks something of the world.
    pub fn effect(&mut self, effect: L::Effect) {
        self.out.effects.push(effect);
    }

    /// Says that the data changed: eventless transitions are looked at once more.
    #[inline(always)]
    pub fn touch(&mut self) {
        self.out.touched = true;
    }

    /// Whether the chart is taking its first macrostep.
    pub fn is_starting(&self) -> bool {
        self.out.starting
    }

    /// The same scope, lent.
    #[cfg(feature = "xstate")]
    pub(crate) fn lend(&mut self) -> Scope<'_, L> {
        Scope {
            context: self.context,
            event: self.event,
            view: self.view,
            out: self.out,
        }
    }

    /// The same scope as a guard sees it.
    pub fn ask(&self) -> Ask<'_, L> {
        Ask {
            context: self.context,
            event: self.event,
            view: self.view,
        }
    }
}

/// The active states.
#[derive(Clone, Copy)]
pub struct View<'a> {
    table: &'a Table,
    leaves: &'a [StateId],
    live: Option<&'a Bits>,
}

impl View<'_> {
    /// Whether `state` is active. O(active leaves).
    #[inline]
    pub fn is_in(&self, state: StateId) -> bool {
        match self.live {
            Some(active) => active.get(state),
            None => match self.table.rows.get(state as usize) {
                Some(row) => self.leaves.iter().any(|l| (state..row.end).contains(l)),
                None => false,
            },
        }
    }
}

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
        self.checked(&mut b.out, |out| {
            self.logic.begin(&mut Scope {
                context: &mut m.context,
                event,
                view: self.view(&m.leaves),
                out,
            })
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
    #[cfg(not(loom))]
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

    #[inline]
    fn holds(
        &self,
        guard: u32,
        context: &L::Context,
        event: &L::Event,
        leaves: &[StateId],
    ) -> Result<bool, L::Fault> {
        let ask = Ask {
            context,
            event,
            view: self.view(leaves),
        };
        if guard & HOST != 0 {
            return self.logic.guard(guard & !HOST, &ask);
        }
        self.test(guard - 1, &ask)
    }

    fn test(&self, at: u32, ask: &Ask<'_, L>) -> Result<bool, L::Fault> {
        let table = &self.table;
        match table.tests[at as usize] {
            Test::Host(id) => self.logic.guard(id, ask),
            Test::In { from, to } => {
                let range = from..to;
                Ok(ask.view.leaves.iter().any(|l| range.contains(l)))
            }
            Test::Not(inner) => Ok(!self.test(inner, ask)?),
            Test::And(parts) => {
                for &part in &table.parts[parts.range()] {
                    if !self.test(part, ask)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Test::Or(parts) => {
                for &part in &table.parts[parts.range()] {
                    if self.test(part, ask)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// The first candidate whose guard holds, and its place.
    #[inline(always)]
    fn first_enabled(
        &self,
        state: StateId,
        class: Class,
        context: &L::Context,
        event: &L::Event,
        leaves: &[StateId],
        out: &mut Out<L>,
    ) -> Result<Option<(u32, &Candidate)>, L::Fault> {
        let mut at = self.table.cell(state, class);
        if at == 0 {
            return Ok(None);
        }
        loop {
            let candidate = &self.table.candidates[at as usize];
            if candidate.guard == 0 {
                return Ok(Some((at, candidate)));
            }
            let holds = match self.holds(candidate.guard, context, event, leaves) {
                Ok(holds) => holds,
                Err(fault) => {
                    self.absorb(fault, out)?;
                    false
                }
            };
            if holds {
                return Ok(Some((at, candidate)));
            }
            if candidate.is(flag::LAST) {
                return Ok(None);
            }
            at += 1;
        }
    }

    /// Turns a fault into an event, or gives it back where faults are not events.
    #[cold]
    fn absorb(&self, fault: L::Fault, out: &mut Out<L>) -> Result<(), L::Fault> {
        if !self.table.rules.errors_are_events {
            return Err(fault);
        }
        if let Some(event) = self.logic.failure(fault) {
            out.queue.push_back(event);
        }
        Ok(())
    }

    /// Fills `work.picks` with the transitions enabled by an event of `class`, in document order of
    /// their leaves, without those that a nearer one preempts.
    fn select(
        &self,
        m: &Instance<L::Context>,
        class: Class,
        event: &L::Event,
        out: &mut Out<L>,
        work: &mut Work,
    ) -> Result<(), L::Fault> {
        work.picks.clear();
        work.common = u32::MAX;
        let class = self.known(class);
        let leaves = &m.leaves[..];
        if class == Class::EVENTLESS && self.table.by_activation {
            for leaf in &m.recent {
                let position = leaves.binary_search(leaf).unwrap_or(0);
                self.ask(*leaf, position, class, m, event, out, work)?;
            }
        } else if class != Class::EVENTLESS && self.table.asks_around[class.0 as usize] {
            for (position, &leaf) in leaves.iter().enumerate() {
                self.ask(leaf, position, class, m, event, out, work)?;
                self.ask_around(position, class, m, event, out, work)?;
            }
        } else {
            for (position, &leaf) in leaves.iter().enumerate() {
                self.ask(leaf, position, class, m, event, out, work)?;
            }
        }
        self.drop_preempted(m, work);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn ask(
        &self,
        state: StateId,
        position: usize,
        class: Class,
        m: &Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
        work: &mut Work,
    ) -> Result<(), L::Fault> {
        let found = self.first_enabled(state, class, &m.context, event, &m.leaves, out)?;
        if let Some((at, candidate)) = found {
            work.common &= candidate.flags;
            work.picks.push(Pick {
                position: position as u32,
                candidate: at,
            });
        }
        Ok(())
    }

    /// After a region's last leaf: asks the parallel states around, if no region took the event.
    fn ask_around(
        &self,
        position: usize,
        class: Class,
        m: &Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
        work: &mut Work,
    ) -> Result<(), L::Fault> {
        let leaves = &m.leaves[..];
        let mut around = self.table.rows[leaves[position] as usize].climb;
        while around != NONE {
            let row = &self.table.rows[around as usize];
            let next_is_inside = leaves.get(position + 1).is_some_and(|&l| l < row.end);
            if next_is_inside {
                break;
            }
            let last = work.picks.last();
            if last.is_none_or(|p| leaves[p.position as usize] < around) {
                self.ask(around, position, class, m, event, out, work)?;
            }
            around = row.climb;
        }
        Ok(())
    }

    /// Found before anything is left: what a history remembers changes then, and a second look
    /// could find a narrower domain, inside of which the states just left would not come back.
    fn reach(&self, pick: &Pick, m: &Instance<L::Context>) -> Reach {
        let arrow = &self.table.arrows[self.candidate(pick).transition as usize];
        let (mut exit, mut domain) = (arrow.exit, arrow.domain);
        if arrow.by_memory {
            let mut effective = States::new();
            let targets = self.table.list(arrow.targets);
            self.table
                .effective_targets(targets, &m.memory, 0, &mut effective);
            domain = self.table.domain(arrow.source, &effective, arrow.internal);
            exit = self.table.exit_range(domain);
        }
        Reach { exit, domain }
    }

    /// A class of another chart that this one does not have is an unknown event.
    #[inline(always)]
    fn known(&self, class: Class) -> Class {
        if class.0 < self.table.classes {
            class
        } else {
            Class::OTHER
        }
    }

    /// A transition that several leaves picked stays once. Of two that leave a common state, the one
    /// from the deeper source stays, else the earlier.
    fn drop_preempted(&self, m: &Instance<L::Context>, work: &mut Work) {
        if work.picks.len() < 2 || work.common & flag::ALONE != 0 {
            return;
        }
        let meet = |a: Span, b: Span| {
            let range = a.start.max(b.start)..a.end.min(b.end);
            m.leaves.iter().any(|l| range.contains(l))
        };
        let mut kept: SmallVec<[(Pick, u32, Span); 8]> = SmallVec::new();
        let mut seen: SmallVec<[u32; 8]> = SmallVec::new();
        for &pick in &work.picks {
            let transition = self.candidate(&pick).transition;
            if seen.contains(&transition) {
                continue;
            }
            seen.push(transition);
            let source = self.table.arrows[transition as usize].source;
            let exit = self.reach(&pick, m).exit;
            let mut beaten: SmallVec<[usize; 4]> = smallvec![];
            let mut preempted = false;
            for (nth, &(_, around, other)) in kept.iter().enumerate() {
                if meet(exit, other) {
                    if self.table.is_below(source, around) {
                        beaten.push(nth);
                    } else {
                        preempted = true;
                        break;
                    }
                }
            }
            if !preempted {
                for nth in beaten.into_iter().rev() {
                    kept.remove(nth);
                }
                kept.push((pick, source, exit));
            }
        }
        work.picks.clear();
        work.picks.extend(kept.into_iter().map(|(pick, ..)| pick));
    }

    #[inline]
    fn ops(
        &self,
        span: Span,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let view = View {
            table: &self.table,
            leaves: &m.leaves,
            live: None,
        };
        self.ops_in(span, &mut m.context, event, view, out)
    }

    #[inline]
    fn ops_in(
        &self,
        span: Span,
        context: &mut L::Context,
        event: &L::Event,
        view: View<'_>,
        out: &mut Out<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let mut scope = Scope {
            context,
            event,
            view,
            out,
        };
        self.run_ops(span, &mut scope)
    }

    #[inline(always)]
    fn run_ops(&self, span: Span, scope: &mut Scope<'_, L>) -> Result<(), StepError<L::Fault>> {
        for &op in &self.table.ops[span.range()] {
            if let Err(fault) = self.logic.act(op, scope) {
                self.absorb(fault, scope.out).map_err(StepError::Fault)?;
            }
        }
        Ok(())
    }

    fn checked(
        &self,
        out: &mut Out<L>,
        hook: impl FnOnce(&mut Out<L>) -> Result<(), L::Fault>,
    ) -> Result<(), StepError<L::Fault>> {
        match hook(out) {
            Ok(()) => Ok(()),
            Err(fault) => self.absorb(fault, out).map_err(StepError::Fault),
        }
    }

    /// Takes the picked transitions.
    fn microstep(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let in_order = !self.table.by_activation || b.work.picks.is_sorted_by_key(|p| p.position);
        let planned = |p| self.candidate(p).is(flag::PLANNED);
        if in_order && b.work.picks.iter().all(planned) {
            return self.planned_step(m, event, b);
        }
        match b.work.picks[..] {
            [pick] if self.candidate(&pick).is(flag::CLIMBS) && !self.table.by_activation => {
                self.climbing_step(pick, m, event, b)
            }
            _ => self.worked_out_step(m, event, b),
        }
    }

    /// A microstep of one transition kept above the leaf ([`flag::CLIMBS`]).
    fn climbing_step(
        &self,
        pick: Pick,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let candidate = self.candidate(&pick);
        let arrow = &self.table.arrows[candidate.transition as usize];
        let moves = !arrow.exit.is_empty();
        let mut at = m.leaves[pick.position as usize];
        while moves && at != arrow.domain && at != NONE {
            let row = &self.table.rows[at as usize];
            self.ops(row.exit, m, event, &mut b.out)?;
            at = row.parent;
        }
        self.ops(candidate.ops, m, event, &mut b.out)?;
        if moves {
            m.leaves[pick.position as usize] = candidate.leaf;
        }
        Ok(())
    }

    /// A microstep of plans: all exits, last leaf first, then all transitions, then all entries.
    fn planned_step(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let picks = &b.work.picks[..];
        if let [pick] = picks {
            self.ops(self.candidate(pick).ops, m, event, &mut b.out)?;
        } else {
            let around = |p: &&Pick| self.candidate(p).is(flag::AROUND);
            for c in picks.iter().rev().filter(around) {
                let c = self.candidate(c);
                let exit = Span {
                    start: c.ops.start,
                    end: c.body_at,
                };
                self.ops(exit, m, event, &mut b.out)?;
            }
            for c in picks {
                let c = self.candidate(c);
                let body = Span {
                    start: c.body_at,
                    end: c.entry_at,
                };
                self.ops(body, m, event, &mut b.out)?;
            }
            for c in picks.iter().filter(around) {
                let c = self.candidate(c);
                let entry = Span {
                    start: c.entry_at,
                    end: c.ops.end,
                };
                self.ops(entry, m, event, &mut b.out)?;
            }
        }
        for pick in picks {
            let c = self.candidate(pick);
            if c.is(flag::MOVES) {
                let old = std::mem::replace(&mut m.leaves[pick.position as usize], c.leaf);
                if self.table.by_activation {
                    m.recent.retain(|l| *l != old);
                    m.recent.push(c.leaf);
                }
            }
        }
        Ok(())
    }

    fn mark_active(&self, leaves: &[StateId], active: &mut Bits) {
        active.reset(self.table.len());
        for &leaf in leaves {
            active.set(leaf);
            for up in self.table.parents(leaf) {
                if active.get(up) {
                    break;
                }
                active.set(up);
            }
        }
    }

    /// The general microstep: Appendix D's exitStates, executeTransitionContent and enterStates.
    fn worked_out_step(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let table = &self.table;
        let work = &mut b.work;
        self.mark_active(&m.leaves, &mut work.active);
        work.exits.clear();
        work.reaches.clear();
        for pick in &work.picks {
            let reach = self.reach(pick, m);
            work.reaches.push(reach);
            let mut next = work.active.next(reach.exit.start);
            while let Some(s) = next.filter(|&s| s < reach.exit.end) {
                work.exits.push(s);
                next = work.active.next(s + 1);
            }
        }
        work.exits.sort_unstable_by(|a, b| b.cmp(a));
        work.exits.dedup();
        self.remember(m, &work.exits, &work.active);
        self.leave(m, event, b)?;
        for at in 0..b.work.picks.len() {
            let transition = self.candidate(&b.work.picks[at]).transition;
            let arrow = &table.arrows[transition as usize];
            self.live_ops(arrow.ops, m, event, &mut b.out, &b.work.active)?;
        }
        b.work.entry.reset(table.len());
        for (pick, reach) in b.work.picks.iter().zip(&b.work.reaches) {
            let arrow = &table.arrows[self.candidate(pick).transition as usize];
            let targets = table.list(arrow.targets);
            // A history that stands for the very state it is asked from leaves nothing and enters
            // that state again (XState); not if another transition has left it meanwhile, or two
            // children of one state would be active.
            if arrow.by_memory && reach.exit.is_empty() && !b.work.active.get(arrow.source) {
                continue;
            }
            table.add_entry(
                (arrow.source, targets, arrow.internal),
                reach.domain,
                &m.memory,
                &mut b.work.entry,
            );
        }
        self.enter(m, event, b)
    }

    /// Ops of a general microstep; they see the configuration as it changes only where
    /// [`Rules::live_configuration`](super::model::Rules::live_configuration) says so.
    fn live_ops(
        &self,
        span: Span,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
        active: &Bits,
    ) -> Result<(), StepError<L::Fault>> {
        let view = View {
            table: &self.table,
            leaves: &m.leaves,
            live: self.table.rules.live_configuration.then_some(active),
        };
        self.ops_in(span, &mut m.context, event, view, out)
    }

    fn remember(&self, m: &mut Instance<L::Context>, exits: &[StateId], active: &Bits) {
        for &s in exits {
            let row = &self.table.rows[s as usize];
            for &h in self.table.list(row.histories) {
                let history = &self.table.rows[h as usize];
                let kept = &mut m.memory[history.memory as usize];
                kept.clear();
                if history.kind == (Kind::History { deep: true }) {
                    kept.extend(
                        m.leaves
                            .iter()
                            .copied()
                            .filter(|l| (s..row.end).contains(l)),
                    );
                } else {
                    let mut child = active.next(s + 1);
                    while let Some(at) = child.filter(|&at| at < row.end) {
                        kept.push(at);
                        child = active.next(self.table.rows[at as usize].end);
                    }
                }
            }
        }
    }

    /// Enters `work.entry` and makes the new configuration of what is active then.
    fn enter(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let table = &self.table;
        b.work.complete.clear();
        let mut done = false;
        let mut next = b.work.entry.enter.next(0);
        while let Some(s) = next {
            let row = &table.rows[s as usize];
            b.work.active.set(s);
            if !row.invokes.is_empty() {
                b.work.invokes.push(s);
            }
            self.live_ops(row.entry, m, event, &mut b.out, &b.work.active)?;
            if b.work.entry.marks.get(s) {
                self.live_ops(row.initial_ops, m, event, &mut b.out, &b.work.active)?;
            }
            for at in 0..b.work.entry.defaults.len() {
                let (parent, ops) = b.work.entry.defaults[at];
                if parent == s {
                    self.live_ops(ops, m, event, &mut b.out, &b.work.active)?;
                }
            }
            if row.kind == Kind::Final {
                done |= self.complete(s, m, event, b)?;
            }
            next = b.work.entry.enter.next(s + 1);
        }
        if table.by_activation {
            let exits = &b.work.exits;
            m.recent.retain(|l| !exits.contains(l));
        }
        m.leaves.clear();
        let mut next = b.work.active.next(0);
        while let Some(s) = next {
            if matches!(table.rows[s as usize].kind, Kind::Atomic | Kind::Final) {
                m.leaves.push(s);
                if table.by_activation && !m.recent.contains(&s) {
                    m.recent.push(s);
                }
            }
            next = b.work.active.next(s + 1);
        }
        if done {
            m.status = Status::Done;
            if !table.rules.output_at_end {
                self.exit_all(m, event, b)?;
            }
        }
        Ok(())
    }

    /// A final state was entered: completes what it completes. Gives whether the chart is done.
    fn complete(
        &self,
        s: StateId,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        let table = &self.table;
        let parent = table.rows[s as usize].parent;
        if parent == NONE {
            return Ok(true);
        }
        let parallel = |s: u32| s != NONE && table.rows[s as usize].kind == Kind::Parallel;
        if !table.rules.done_climbs {
            if parent == 0 {
                return Ok(true);
            }
            self.completed(parent, Some(s), m, event, b)?;
            let around = table.rows[parent as usize].parent;
            if parallel(around) && table.in_final(around, &b.work.active) {
                self.completed(around, None, m, event, b)?;
            }
            return Ok(false);
        }
        let mut around = if parallel(parent) {
            parent
        } else {
            self.completed(parent, Some(s), m, event, b)?;
            table.rows[parent as usize].parent
        };
        let mut whole = if around == NONE { s } else { around };
        while parallel(around)
            && !b.work.complete.contains(&around)
            && table.in_final(around, &b.work.active)
        {
            b.work.complete.push(around);
            self.completed(around, None, m, event, b)?;
            whole = around;
            around = table.rows[around as usize].parent;
        }
        if around != NONE {
            return Ok(false);
        }
        let live = table.rules.live_configuration.then_some(&b.work.active);
        let view = View {
            table,
            leaves: &m.leaves,
            live,
        };
        let context = &mut m.context;
        self.checked(&mut b.out, |out| {
            let mut scope = Scope {
                context,
                event,
                view,
                out,
            };
            self.logic.finished(s, whole, &mut scope)
        })?;
        Ok(true)
    }

    fn completed(
        &self,
        state: StateId,
        by: Option<StateId>,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let view = View {
            table: &self.table,
            leaves: &m.leaves,
            live: None,
        };
        let context = &mut m.context;
        self.checked(&mut b.out, |out| {
            let mut scope = Scope {
                context,
                event,
                view,
                out,
            };
            self.logic.completed(state, by, &mut scope)
        })
    }

    /// Runs the exit actions of all active states, deepest and last first. The configuration stays
    /// readable as it was.
    fn exit_all(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        b.work.exits.clear();
        let mut next = b.work.active.before(self.table.len() as u32);
        while let Some(s) = next {
            b.work.exits.push(s);
            next = b.work.active.before(s);
        }
        self.leave(m, event, b)
    }

    /// Runs the exit actions of `work.exits` in order and takes them out of `work.active`.
    fn leave(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        for at in 0..b.work.exits.len() {
            let s = b.work.exits[at];
            let exit = self.table.rows[s as usize].exit;
            self.live_ops(exit, m, event, &mut b.out, &b.work.active)?;
            b.work.active.clear(s);
            if self.table.has_invokes {
                b.work.invokes.retain(|&i| i != s);
            }
        }
        Ok(())
    }

    fn complete_at_end(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        self.mark_active(&m.leaves, &mut b.work.active);
        self.exit_all(m, event, b)?;
        let by = m.leaves.iter().copied().find(|&l| {
            let row = &self.table.rows[l as usize];
            row.kind == Kind::Final && row.parent == 0
        });
        if let Some(by) = by {
            let view = self.view(&m.leaves);
            let context = &mut m.context;
            self.checked(&mut b.out, |out| {
                let mut scope = Scope {
                    context,
                    event,
                    view,
                    out,
                };
                self.logic.finished(by, 0, &mut scope)
            })?;
        }
        b.out.queue.clear();
        Ok(())
    }
}

/// A machine that was started, and what went wrong if something did.
pub type Started<L> = (
    Instance<<L as Logic>::Context>,
    Result<(), StepError<<L as Logic>::Fault>>,
);
