//! The table: what the runner reads, made ahead of time.
//!
//! ```text
//!   cells[state × classes + class] ──▶ candidates, in order ──▶ transition, and a plan for this leaf
//!                                                                  │
//!                     exit ops of the chain leaf → domain ◀────────┤
//!                     transition ops, entry ops           ◀────────┘
//! ```
//!
//! - T1: the descendants of `s` are `s + 1 .. end[s]`, so an exit set is a range of numbers, and
//!   two exit sets meet exactly where the smaller range holds an active leaf.
//! - T2: a configuration is its leaves: every active state is a leaf or has one below it. A list of
//!   four numbers replaces a bitset as wide as the chart, and `In(s)` asks for a leaf in a range.
//! - T3: a plan is made for a leaf and a transition when the states left and entered follow from
//!   these two alone: no parallel state in between, no history, no completion. All others are
//!   worked out by the algorithm of SCXML's Appendix D when they run.

use hashbrown::HashMap;

use super::model::{ActionId, GuardId, Kind, Rules, StateId};

/// No state, no plan.
pub(crate) const NONE: u32 = u32::MAX;

/// An event's class in one chart: names that no descriptor tells apart share one.
///
/// Got from [`Table::class`]; only meaningful for the chart that gave it (another chart treats one
/// it does not know as an unknown event).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub(crate) u32);

impl Class {
    pub(crate) const EVENTLESS: Self = Self(0);
    /// An event that no descriptor names; wildcards match it.
    pub const OTHER: Self = Self(1);
}

/// A half-open range in one of the table's lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    #[inline(always)]
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) parent: u32,
    /// Behind the last descendant (T1).
    pub(crate) end: u32,
    pub(crate) kind: Kind,
    pub(crate) entry: Span,
    pub(crate) exit: Span,
    pub(crate) invokes: Span,
    /// Default targets and what runs with them; a history's default too.
    pub(crate) initial: Span,
    pub(crate) initial_ops: Span,
    /// The history states directly below.
    pub(crate) histories: Span,
    /// A history state's place in an instance's memory.
    pub(crate) memory: u32,
    /// The next parallel state above whose transitions are asked after this leaf's
    /// ([`Rules::select_by_region`]).
    pub(crate) climb: u32,
}

/// T3: a transition to ask for in one leaf, and what to do there if it is taken. Half a cache line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Candidate {
    /// 0: no guard; [`HOST`] and a host guard's number; otherwise one more than its place in
    /// `tests`.
    pub(crate) guard: u32,
    pub(crate) transition: u32,
    /// Exit ops, transition ops and entry ops in one run, so that a single transition is one loop.
    pub(crate) ops: Span,
    /// Where in `ops` the transition's begin.
    pub(crate) body_at: u32,
    /// Where in `ops` the entry ops begin.
    pub(crate) entry_at: u32,
    pub(crate) leaf: u32,
    /// Of [`flag`].
    pub(crate) flags: u32,
}

/// The bit of [`Candidate::guard`] that says "ask the host": the common guard needs no look at
/// `tests`.
pub(crate) const HOST: u32 = 1 << 31;

const _: () = assert!(size_of::<Candidate>() == 32);

/// What is known of a candidate ahead of time.
pub(crate) mod flag {
    /// No other candidate behind it.
    pub(crate) const LAST: u32 = 1;
    /// `ops` and `leaf` hold; otherwise the transition is worked out when it is taken.
    pub(crate) const PLANNED: u32 = 2;
    /// The leaf is left for another.
    pub(crate) const MOVES: u32 = 4;
    /// Planned, and no parallel state from the leaf up to the source: no other leaf can pick the
    /// same transition or one that leaves a common state.
    pub(crate) const ALONE: u32 = 8;
    /// The new leaf has eventless candidates.
    pub(crate) const EVENTLESS: u32 = 16;
    /// Planned, and no op of it can fail or raise: a step that takes it can always be finished, so
    /// nothing has to be kept.
    pub(crate) const CALM: u32 = 32;
    /// It has exit ops or entry ops, which a step of several transitions takes in turn.
    pub(crate) const AROUND: u32 = 64;
    /// The table keeps the order in which leaves became active ([`Table::by_activation`]).
    ///
    /// [`Table::by_activation`]: super::Table::by_activation
    pub(crate) const RECENT: u32 = 128;
    /// Not planned, since it is kept in a state above the leaves that ask: `ops` are those of the
    /// transition and of entry, `leaf` is the one entered, and the exit ops are found on the way
    /// from the leaf up to the domain.
    pub(crate) const CLIMBS: u32 = 256;
    /// The last one of a state whose list goes on in the next state above that keeps its own.
    pub(crate) const ABOVE: u32 = 512;
}

impl Candidate {
    #[inline(always)]
    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn set(&mut self, flag: u32, on: bool) {
        self.flags = self.flags & !flag | if on { flag } else { 0 };
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Arrow {
    pub(crate) source: u32,
    pub(crate) targets: Span,
    pub(crate) internal: bool,
    pub(crate) ops: Span,
    /// The exit set's range; worked out at run time when `by_memory`.
    pub(crate) exit: Span,
    /// The domain, or [`NONE`] above the root.
    pub(crate) domain: u32,
    /// A history target below the source makes the domain depend on what is remembered.
    pub(crate) by_memory: bool,
}

/// A guard in the table's list; composites name their parts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    Host(GuardId),
    In { from: u32, to: u32 },
    And(Span),
    Or(Span),
    Not(u32),
}

/// A chart ready to run: see the module's text.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) rules: Rules,
    pub(crate) rows: Vec<Row>,
    pub(crate) names: Names,
    pub(crate) classes: u32,
    pub(crate) cells: Vec<u32>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) arrows: Vec<Arrow>,
    pub(crate) tests: Vec<Test>,
    pub(crate) parts: Vec<u32>,
    pub(crate) ops: Vec<ActionId>,
    /// Lists of states: targets, initial targets, history states.
    pub(crate) lists: Vec<StateId>,
    pub(crate) memories: u32,
    pub(crate) has_eventless: bool,
    pub(crate) has_invokes: bool,
    /// By class: whether a parallel state has candidates of its own, asked after its regions.
    pub(crate) asks_around: Vec<bool>,
    /// Eventless transitions are asked in the order in which the leaves became active (XState, with
    /// parallel states): their actions run in that order.
    pub(crate) by_activation: bool,
    /// In place of `cells` where these would be too many.
    pub(crate) sparse: Option<Sparse>,
}

impl Table {
    /// Its number of states, the root and history states included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no states.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The class of the event called `name`: one hash lookup for each token of a name that no
    /// descriptor spells out, one otherwise. Keep the answer where the same event is sent often.
    pub fn class(&self, name: &str) -> Class {
        self.names.class(name)
    }

    /// Whether `inner` lies strictly below `outer`.
    #[inline]
    pub fn is_below(&self, inner: StateId, outer: StateId) -> bool {
        outer < inner && inner < self.rows[outer as usize].end
    }

    #[inline(always)]
    pub(crate) fn cell(&self, state: u32, class: Class) -> u32 {
        match &self.sparse {
            None => self.cells[(state * self.classes + class.0) as usize],
            Some(sparse) => sparse.cell(state, class),
        }
    }

    /// Where the candidates for `class` go on behind one that is [`flag::ABOVE`]; 0 if nowhere.
    #[cold]
    #[inline(never)]
    pub(crate) fn above(&self, last: &Candidate, class: Class) -> u32 {
        let source = self.arrows[last.transition as usize].source;
        let sparse = self.sparse.as_ref();
        sparse.map_or(0, |sparse| {
            let up = match class {
                Class::EVENTLESS => sparse.eventless_up[source as usize],
                _ => sparse.rows[source as usize].up,
            };
            sparse.cell(up, class)
        })
    }

    pub(crate) fn parents(&self, state: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = state;
        std::iter::from_fn(move || {
            at = self.rows[at as usize].parent;
            (at != NONE).then_some(at)
        })
    }
}

/// The cells of a chart with many states and many classes: only those where something is told
/// apart. Each state has a hash table of its own (open addressing, at most half full), one behind
/// the other: states that follow each other lie near each other.
#[derive(Clone, Debug)]
pub(crate) struct Sparse {
    slots: Vec<Slot>,
    rows: Vec<SparseRow>,
    /// By state, as [`SparseRow::up`], for eventless transitions: apart, so that a row is 16 bytes.
    eventless_up: Vec<u32>,
}

/// A class and its candidates; class [`NONE`] is an empty slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    class: u32,
    at: u32,
}

#[derive(Clone, Copy, Debug)]
struct SparseRow {
    /// Where in `slots` its table begins, and one less than its size.
    start: u32,
    mask: u32,
    /// The candidates for an event that has no slot here.
    others: u32,
    /// The state above in which to look if there are none, or none of them is enabled: its
    /// transitions are too many to be kept in each state below it.
    up: u32,
}

/// A state above for each sort of transition, or [`NONE`]: an event goes no further than to the
/// wildcard that takes it, and to the border of its region where regions are asked one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Up {
    pub(crate) events: u32,
    pub(crate) eventless: u32,
}

impl Up {
    pub(crate) const NOWHERE: Self = Self {
        events: NONE,
        eventless: NONE,
    };
}

impl Sparse {
    /// Without any cell.
    pub(crate) fn new(states: usize) -> Self {
        let empty = Slot { class: NONE, at: 0 };
        let row = SparseRow {
            start: 0,
            mask: 0,
            others: 0,
            up: NONE,
        };
        Self {
            slots: vec![empty],
            rows: vec![row; states],
            eventless_up: vec![NONE; states],
        }
    }

    /// Sets what holds for a state: its cells, each class once.
    pub(crate) fn set_row(&mut self, state: u32, cells: &[(u32, u32)], others: u32, up: Up) {
        let row = &mut self.rows[state as usize];
        (row.others, row.up) = (others, up.events);
        self.eventless_up[state as usize] = up.eventless;
        if cells.is_empty() {
            return;
        }
        let size = (2 * cells.len()).next_power_of_two();
        row.start = self.slots.len() as u32;
        row.mask = size as u32 - 1;
        let empty = Slot { class: NONE, at: 0 };
        self.slots.resize(self.slots.len() + size, empty);
        for &(class, at) in cells {
            let mut place = Self::hash(class);
            while self.slots[row.place(place)].class != NONE {
                place += 1;
            }
            self.slots[row.place(place)] = Slot { class, at };
        }
    }

    #[inline(always)]
    fn hash(class: u32) -> u32 {
        let product = u64::from(class).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (product >> 40) as u32
    }

    #[inline]
    fn cell(&self, mut state: u32, class: Class) -> u32 {
        let mut row = &self.rows[state as usize];
        loop {
            let mut place = Self::hash(class.0);
            loop {
                let slot = &self.slots[row.place(place)];
                if slot.class == class.0 {
                    return slot.at;
                }
                if slot.class == NONE {
                    break;
                }
                place += 1;
            }
            if class == Class::EVENTLESS {
                state = self.eventless_up[state as usize];
                if state == NONE {
                    return 0; // a wildcard is no match
                }
                row = &self.rows[state as usize];
                continue;
            }
            if row.others != 0 || row.up == NONE {
                return row.others;
            }
            row = &self.rows[row.up as usize];
        }
    }
}

impl SparseRow {
    #[inline(always)]
    fn place(&self, hash: u32) -> usize {
        (self.start + (hash & self.mask)) as usize
    }
}

/// Event names to classes: for each name in a descriptor one class for the name itself and one for
/// those below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    map: HashMap<Box<str>, u32>,
    pub(crate) list: Vec<Box<str>>,
}

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        if !self.map.contains_key(name) {
            self.map.insert(name.into(), self.list.len() as u32);
            self.list.push(name.into());
        }
    }

    pub(crate) fn place(&self, name: &str) -> Option<u32> {
        self.map.get(name).copied()
    }

    pub(crate) fn count(&self) -> u32 {
        2 + 2 * self.list.len() as u32
    }

    #[inline]
    pub(crate) fn class(&self, name: &str) -> Class {
        if let Some(at) = self.map.get(name) {
            return Class(2 + 2 * at);
        }
        let mut rest = name;
        while let Some(dot) = rest.rfind('.') {
            rest = &rest[..dot];
            if let Some(at) = self.map.get(rest) {
                return Class(3 + 2 * at);
            }
        }
        Class::OTHER
    }
}
