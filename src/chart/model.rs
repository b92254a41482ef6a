//! The chart description that every front end lowers to: a tree of states in document order.
//!
//! ```text
//!   XState JSON ─┐
//!   SCXML ───────┼─▶ Model ─▶ check ─▶ lower ─▶ Table ─▶ run
//!   Rust code ───┘
//! ```
//!
//! A model is data: its actions and guards are numbers that the front end gives a meaning to. What
//! differs between XState and SCXML is said once, in [`Rules`].
//!
//! - M1: `states[0]` is the root; a state comes after its parent and before its later siblings, so
//!   that the descendants of a state are the numbers right behind it.
//! - M2: targets are resolved; one that could not be is a [`Problem`] and is left out.

use super::check::Problem;

/// A state's number: its place in document order. The root is 0.
pub type StateId = u32;
/// An action's number, given by the front end.
pub type ActionId = u32;
/// A host guard's number, given by the front end.
pub type GuardId = u32;

/// Where something stands in the text it was read from; lines and columns count from 1, and 0
/// means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// What a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No children.
    Atomic,
    /// Exactly one child is active.
    Compound,
    /// All children are active.
    Parallel,
    /// Completes its parent.
    Final,
    /// Stands for what was last active in its parent; never active itself.
    History {
        /// All levels, rather than the parent's child alone.
        deep: bool,
    },
}

/// How the two source languages differ. Compiled into the table once; the runner only sees its
/// consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A parallel state may be the domain of a transition (XState); SCXML takes the next compound.
    pub parallel_domain: bool,
    /// A transition to its own source stays inside unless it re-enters (XState).
    pub self_is_inside: bool,
    /// A parallel state's transitions are asked only when no region took the event (XState);
    /// SCXML asks per atomic state.
    pub select_by_region: bool,
    /// Candidates go by exactness of the descriptor (XState); in SCXML by document order.
    pub by_exactness: bool,
    /// The descriptor `a` matches the event `a.b` (SCXML).
    pub prefix_match: bool,
    /// A microstep that changed nothing ends eventless selection (XState).
    pub eventless_settles: bool,
    /// Completion of a parallel state climbs through enclosing parallel states (XState).
    pub done_climbs: bool,
    /// The root is a state with actions, completion event and transitions (XState).
    pub root_is_state: bool,
    /// A failing guard or action becomes an event (SCXML); in XState it fails the chart.
    pub errors_are_events: bool,
    /// Initial actions run for the states named as targets or defaults (XState); in SCXML for
    /// every state whose default was taken.
    pub initial_by_target: bool,
    /// A state's invocations begin when the macrostep ends, if it is still active (SCXML).
    pub late_invoke: bool,
    /// A chart that is stopped from outside runs its exit actions (SCXML).
    pub exit_on_stop: bool,
    /// The completion's output is taken after the exit actions (SCXML).
    pub output_at_end: bool,
    /// Executable content asks which states are active while a microstep is half done (SCXML's
    /// `In()` outside of conditions).
    pub live_configuration: bool,
    /// A final state keeps no transitions (SCXML).
    pub final_is_inert: bool,
}

impl Rules {
    /// SCXML 1.0, Appendix D.
    pub const SCXML: Self = Self {
        parallel_domain: false,
        self_is_inside: false,
        select_by_region: false,
        by_exactness: false,
        prefix_match: true,
        eventless_settles: false,
        done_climbs: false,
        root_is_state: false,
        errors_are_events: true,
        initial_by_target: false,
        late_invoke: true,
        exit_on_stop: true,
        output_at_end: true,
        live_configuration: false,
        final_is_inert: true,
    };

    /// XState 5.
    pub const XSTATE: Self = Self {
        parallel_domain: true,
        self_is_inside: true,
        select_by_region: true,
        by_exactness: true,
        prefix_match: false,
        eventless_settles: true,
        done_climbs: true,
        root_is_state: true,
        errors_are_events: false,
        initial_by_target: true,
        late_invoke: false,
        exit_on_stop: false,
        output_at_end: false,
        live_configuration: false,
        final_is_inert: false,
    };
}

/// A condition: host guards and the configuration, combined.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// Asks the host.
    Host(GuardId),
    /// The state is active.
    In(StateId),
    /// All hold.
    And(Vec<Guard>),
    /// One holds.
    Or(Vec<Guard>),
    /// It does not hold.
    Not(Box<Guard>),
}

/// What makes a transition a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// No event: taken as soon as its guard holds.
    Always,
    /// One of these event descriptors: a name, `name.*` or `*`.
    Events(Vec<String>),
}

/// A transition out of a state.
#[derive(Clone, Debug)]
pub struct Transition {
    /// When it is a candidate.
    pub trigger: Trigger,
    /// What must hold; `None` is always.
    pub guard: Option<Guard>,
    /// Where it leads; empty means that no state is left or entered.
    pub targets: Vec<StateId>,
    /// Whether it stays inside its source where it can (SCXML `internal`, XState without
    /// `reenter`).
    pub internal: bool,
    /// What runs between leaving and entering.
    pub actions: Vec<ActionId>,
    /// Where it was written.
    pub place: Place,
}

/// Where a compound state begins, or what a history state stands for before it has a memory.
#[derive(Clone, Debug, Default)]
pub struct Initial {
    /// The states entered; empty on a state without default.
    pub targets: Vec<StateId>,
    /// What runs after the parent's entry actions.
    pub actions: Vec<ActionId>,
}

/// One state.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name in the whole chart: an SCXML id, or XState's id.
    pub id: String,
    /// Its name among its siblings.
    pub key: String,
    /// The state around it; `None` for the root.
    pub parent: Option<StateId>,
    /// What it is.
    pub kind: Kind,
    /// Its default, or a history's.
    pub initial: Initial,
    /// What runs on entry, in order.
    pub entry: Vec<ActionId>,
    /// What runs on exit, in order.
    pub exit: Vec<ActionId>,
    /// What runs when a macrostep ends that entered it ([`Rules::late_invoke`]).
    pub invokes: Vec<ActionId>,
    /// Its transitions in document order.
    pub transitions: Vec<Transition>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// What it says about itself.
    pub description: Option<String>,
    /// Where it was written.
    pub place: Place,
}

impl State {
    /// An atomic state called `id` inside `parent`, with nothing on it.
    pub fn new(id: impl Into<String>, parent: Option<StateId>, kind: Kind) -> Self {
        let id = id.into();
        Self {
            key: id.clone(),
            id,
            parent,
            kind,
            initial: Initial::default(),
            entry: Vec::new(),
            exit: Vec::new(),
            invokes: Vec::new(),
            transitions: Vec::new(),
            tags: Vec::new(),
            description: None,
            place: Place::default(),
        }
    }
}

/// A whole chart.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the chart is called.
    pub name: String,
    /// Its version, for snapshots.
    pub version: String,
    /// Which language's rules hold.
    pub rules: Rules,
    /// The states in document order (M1).
    pub states: Vec<State>,
    /// What each action is called, by number.
    pub actions: Vec<String>,
    /// What each host guard is called, by number.
    pub guards: Vec<String>,
    /// The events that the chart is known to raise or send to itself, and where.
    pub raised: Vec<(String, Place)>,
    /// What the front end could not read or resolve.
    pub problems: Vec<Problem>,
}

impl Model {
    /// A chart without states.
    pub fn new(name: impl Into<String>, rules: Rules) -> Self {
        Self {
            name: name.into(),
            version: String::new(),
            rules,
            states: Vec::new(),
            actions: Vec::new(),
            guards: Vec::new(),
            raised: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds `state` and gives its number.
    pub fn push(&mut self, state: State) -> StateId {
        self.states.push(state);
        (self.states.len() - 1) as StateId
    }

    /// For each state the number behind its last descendant. O(states).
    pub fn ends(&self) -> Vec<StateId> {
        let mut ends: Vec<StateId> = (1..=self.states.len() as StateId).collect();
        for s in (1..self.states.len()).rev() {
            if let Some(parent) = self.states[s].parent {
                let parent = parent as usize;
                ends[parent] = ends[parent].max(ends[s]);
            }
        }
        ends
    }

    /// The state with that id. O(states).
    pub fn find(&self, id: &str) -> Option<StateId> {
        self.states
            .iter()
            .position(|s| s.id == id)
            .map(|s| s as StateId)
    }
}
