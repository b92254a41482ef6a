//! Which candidates each state has for each class of events, and what is known of them ahead.

use super::super::entry::{Entry, States};
use super::super::model::{Kind, Model, State, Trigger};
use super::super::table::{Arrow, Candidate, Class, NONE, Row, Span, Sparse, Table, Up, flag};
use super::matchers::Matchers;
use super::test;

/// What entering by one transition does, when that is known ahead.
#[derive(Clone, Copy)]
struct Way {
    body: Span,
    entry_at: u32,
    /// The one leaf entered; [`NONE`] for a transition that enters nothing.
    leaf: u32,
}

pub(super) struct Cells<'a> {
    model: &'a Model,
    own: &'a [Vec<u32>],
    matchers: Matchers,
    /// By transition, once asked for.
    ways: Vec<Option<Option<Way>>>,
    /// By transition: a leaf and its plan, which many classes share.
    plans: Vec<(u32, Candidate)>,
    /// By state: how many before it that leaving needs more than a loop over exit ops for.
    awkward: Vec<u32>,
    scratch: Entry,
    chain: Vec<(u32, u32)>,
    /// The candidates added last: whose, by which chain, and where they begin.
    last: (u32, Vec<(u32, u32)>, u32),
    /// How many cells of states above a sparse table may keep.
    pub(super) inherited: u64,
}

impl<'a> Cells<'a> {
    pub(super) fn new(model: &'a Model, own: &'a [Vec<u32>], table: &Table) -> Self {
        let mut awkward = Vec::with_capacity(table.rows.len() + 1);
        let mut count = 0;
        awkward.push(0);
        for row in &table.rows {
            count += u32::from(is_awkward(row));
            awkward.push(count);
        }
        Self {
            model,
            own,
            matchers: Matchers::new(model, &table.names),
            ways: vec![None; table.arrows.len()],
            plans: vec![(NONE, Candidate::default()); table.arrows.len()],
            awkward,
            scratch: Entry::default(),
            chain: Vec::new(),
            last: (NONE, Vec::new(), 0),
            inherited: 0,
        }
    }

    pub(super) fn fill(&mut self, table: &mut Table, is_sparse: bool, copies: &[u64]) {
        let guards: Vec<Vec<u32>> = self
            .model
            .states
            .iter()
            .map(|s| {
                let tests = s.transitions.iter().map(|t| test(&t.guard, table));
                tests.collect()
            })
            .collect();
        if is_sparse {
            self.fill_sparse(table, &guards, copies);
        } else {
            self.fill_dense(table, &guards);
        }
        table.has_eventless = self
            .model
            .states
            .iter()
            .flat_map(|s| &s.transitions)
            .any(|t| t.trigger == Trigger::Always);
        let parallel = self.model.states.iter().any(|s| s.kind == Kind::Parallel);
        table.by_activation = table.has_eventless && table.rules.eventless_settles && parallel;
        for at in 0..table.candidates.len() {
            let candidate = table.candidates[at];
            if table.has_eventless && candidate.is(flag::PLANNED) {
                let eventless = table.cell(candidate.leaf, Class::EVENTLESS) != 0;
                table.candidates[at].set(flag::EVENTLESS, eventless);
                table.candidates[at].set(flag::RECENT, table.by_activation);
            }
        }
        let mut regions: Vec<u32> = table.rows.iter().map(|r| r.climb).collect();
        regions.sort_unstable();
        regions.dedup();
        table.asks_around = vec![false; table.classes as usize];
        for &around in regions.iter().filter(|&&p| p != NONE) {
            let (classes, _) = self.classes(around, table, &guards, &|_| true);
            // A class that is told apart by no state around has the wildcard's candidates.
            let others = table.cell(around, Class::OTHER) != 0;
            if others {
                table.asks_around[1..].fill(true);
            }
            for class in classes {
                table.asks_around[class as usize] |= table.cell(around, Class(class)) != 0;
            }
        }
    }

    fn fill_dense(&mut self, table: &mut Table, guards: &[Vec<u32>]) {
        let count = self.model.states.len();
        let width = table.classes as usize;
        // For every state and class, its own candidates and those it inherits up to its region.
        table.cells = vec![0; count * width];
        for s in 0..count as u32 {
            if !is_asked(&self.model.states[s as usize]) {
                continue;
            }
            let row = s as usize * width;
            let others = self.candidates(s, Class::OTHER.0, Up::NOWHERE, table, guards);
            table.cells[row + 1..row + width].fill(others);
            let (classes, _) = self.classes(s, table, guards, &|_| true);
            for class in classes {
                let at = self.candidates(s, class, Up::NOWHERE, table, guards);
                table.cells[row + class as usize] = at;
            }
        }
    }

    fn fill_sparse(&mut self, table: &mut Table, guards: &[Vec<u32>], copies: &[u64]) {
        let spread = self.spread(copies);
        let keeps = |s: u32| spread[s as usize];
        let count = self.model.states.len() as u32;
        let mut sparse = Sparse::new(count as usize);
        let mut cells: Vec<(u32, u32)> = Vec::new();
        for s in 0..count {
            let (classes, up) = self.classes(s, table, guards, &keeps);
            cells.clear();
            let mut others = 0;
            // What is looked up in a state above is kept there as for a leaf.
            if is_asked(&self.model.states[s as usize]) || !keeps(s) {
                let filled = classes.into_iter().filter_map(|class| {
                    let at = self.candidates(s, class, up, table, guards);
                    (at != 0).then_some((class, at))
                });
                cells.extend(filled);
                others = self.candidates(s, Class::OTHER.0, up, table, guards);
            }
            sparse.set_row(s, &cells, others, up);
        }
        table.sparse = Some(sparse);
    }

    /// By state: how many candidates there are if every state below it keeps those for its events.
    pub(super) fn copies(&self, table: &Table) -> Vec<u64> {
        let states = &self.model.states;
        let mut asked = Vec::with_capacity(states.len() + 1);
        let mut count = 0_u64;
        asked.push(0);
        for state in states {
            count += u64::from(is_asked(state));
            asked.push(count);
        }
        let copies = table.rows.iter().enumerate().map(|(s, row)| {
            let below = asked[row.end as usize] - asked[s + 1];
            below * self.matchers.count(s as u32)
        });
        copies.collect()
    }

    /// By state: whether every state below it keeps the candidates for its events. Those with the
    /// fewest first, as long as all of them together stay in proportion to the chart.
    fn spread(&self, copies: &[u64]) -> Vec<bool> {
        let mut costs: Vec<(u64, usize)> = copies.iter().copied().zip(0..).collect();
        costs.sort_unstable();
        let mut left = self.inherited;
        let mut spread = vec![false; copies.len()];
        for (cost, s) in costs {
            if cost > left {
                break;
            }
            left -= cost;
            spread[s] = true;
        }
        spread
    }

    /// The classes that `s` tells apart, or a state above it up to the first that does not `keep` its
    /// candidates below: that is where to look for the rest.
    ///
    /// Eventless transitions are asked in every state around, beyond wildcards and regions.
    fn classes(
        &self,
        s: u32,
        table: &Table,
        guards: &[Vec<u32>],
        keeps: &dyn Fn(u32) -> bool,
    ) -> (Vec<u32>, Up) {
        let mut classes: Vec<u32> = Vec::new();
        let mut up = Up::NOWHERE;
        let stop = table.rows[s as usize].climb;
        let mut at = s;
        let mut is_near = true;
        while at != NONE {
            if at != s {
                let is_kept = keeps(at);
                if is_near && at != stop && !is_kept {
                    up.events = at;
                }
                is_near &= at != stop && is_kept;
                if !is_kept {
                    up.eventless = at;
                    break;
                }
            }
            let own = self.matchers.own(at);
            if is_near {
                classes.extend(own.iter().map(|(class, _)| *class));
                // Behind a wildcard without a guard no state above is asked.
                let stars = match self.is_inert(at, table) {
                    true => &[],
                    false => self.matchers.matching(at, Class::OTHER.0),
                };
                let guard = |&nth: &u32| guards[at as usize][nth as usize];
                is_near = stars.iter().all(|nth| guard(nth) != 0);
            } else {
                let eventless = own.first().filter(|(class, _)| *class == 0);
                classes.extend(eventless.map(|(class, _)| *class));
            }
            at = table.rows[at as usize].parent;
        }
        classes.sort_unstable();
        classes.dedup();
        (classes, up)
    }

    /// Adds the candidates for `class` in `s` and the states above it, but below `up`, the nearest
    /// state's first; gives the place of the first.
    fn candidates(
        &mut self,
        s: u32,
        class: u32,
        up: Up,
        table: &mut Table,
        guards: &[Vec<u32>],
    ) -> u32 {
        let mut chain = std::mem::take(&mut self.chain);
        chain.clear();
        let (stop, up) = if class == Class::EVENTLESS.0 {
            (NONE, up.eventless)
        } else {
            (table.rows[s as usize].climb, up.events)
        };
        let mut at = s;
        let mut goes_on = false;
        'up: while at != NONE && (at != stop || at == s) {
            if at == up {
                goes_on = true;
                break;
            }
            if !self.is_inert(at, table) {
                for &nth in self.matchers.matching(at, class) {
                    chain.push((at, nth));
                    if guards[at as usize][nth as usize] == 0 {
                        break 'up; // what follows is never asked
                    }
                }
            }
            at = table.rows[at as usize].parent;
        }
        // A name and what is below it have the same candidates more often than not.
        if chain.is_empty() || (self.last.0 == s && self.last.1 == chain) {
            let start = if chain.is_empty() { 0 } else { self.last.2 };
            self.chain = chain;
            return start;
        }
        let start = table.candidates.len() as u32;
        for &(at, nth) in &chain {
            let transition = self.own[at as usize][nth as usize];
            let guard = guards[at as usize][nth as usize];
            let (leaf, known) = self.plans[transition as usize];
            let plan = if leaf == s {
                known
            } else {
                let plan = self.plan(s, transition, table);
                self.plans[transition as usize] = (s, plan);
                plan
            };
            table.candidates.push(Candidate { guard, ..plan });
        }
        let last = table.candidates.len() - 1;
        table.candidates[last].set(flag::LAST, true);
        table.candidates[last].set(flag::ABOVE, goes_on);
        self.chain = std::mem::replace(&mut self.last.1, chain);
        (self.last.0, self.last.2) = (s, start);
        start
    }

    fn is_inert(&self, s: u32, table: &Table) -> bool {
        table.rules.final_is_inert && self.model.states[s as usize].kind == Kind::Final
    }

    /// The candidate that `transition` is in `leaf`, without its guard.
    fn plan(&mut self, leaf: u32, transition: u32, table: &mut Table) -> Candidate {
        let unplanned = Candidate {
            transition,
            ..Candidate::default()
        };
        if table.rules.live_configuration {
            return unplanned;
        }
        let arrow = table.arrows[transition as usize].clone();
        if arrow.by_memory {
            return unplanned;
        }
        let Some(way) = self.way(transition, &arrow, table) else {
            return unplanned;
        };
        let exit = arrow.exit;
        if !matches!(
            self.model.states[leaf as usize].kind,
            Kind::Atomic | Kind::Final
        ) {
            // All leaves that ask lie below the domain, and of those in its regions just one.
            let single = arrow.domain != NONE
                && table.rows[arrow.domain as usize].kind != Kind::Parallel
                && self.awkward[exit.start as usize] == self.awkward[exit.end as usize];
            let climbs = match exit.is_empty() {
                true => way.leaf == NONE,
                false => way.leaf != NONE && single,
            };
            let mut plan = Candidate {
                ops: way.body,
                leaf: way.leaf,
                ..unplanned
            };
            plan.set(flag::CLIMBS, true);
            return if climbs { plan } else { unplanned };
        }
        // A transition that leaves its leaf must enter another, and the other way round.
        let leaves = !exit.is_empty() && exit.start <= leaf;
        if leaves != (way.leaf != NONE) {
            return unplanned;
        }
        // Its own exit ops stand before the body; without any, all leaves share the body.
        let start = table.ops.len() as u32;
        if !exit.is_empty() && !chain_exit(leaf, arrow.domain, table) {
            table.ops.truncate(start as usize);
            return unplanned;
        }
        let mut ops = way.body;
        if table.ops.len() as u32 > start {
            table.ops.extend_from_within(way.body.range());
            ops = Span {
                start,
                end: table.ops.len() as u32,
            };
        }
        let body_at = ops.end - (way.body.end - way.body.start);
        let mut plan = Candidate {
            ops,
            body_at,
            entry_at: body_at + (way.entry_at - way.body.start),
            leaf: if leaves { way.leaf } else { leaf },
            ..unplanned
        };
        let mut up = std::iter::once(leaf).chain(table.parents(leaf));
        let alone = up
            .by_ref()
            .take_while(|&s| table.rows[s as usize].kind != Kind::Parallel)
            .any(|s| s == arrow.source);
        plan.set(flag::PLANNED, true);
        plan.set(flag::MOVES, leaves);
        plan.set(flag::ALONE, alone);
        plan.set(
            flag::AROUND,
            plan.body_at != ops.start || plan.entry_at != ops.end,
        );
        plan
    }

    fn way(&mut self, transition: u32, arrow: &Arrow, table: &mut Table) -> Option<Way> {
        if let Some(known) = self.ways[transition as usize] {
            return known;
        }
        let way = self.work_out(arrow, table);
        self.ways[transition as usize] = Some(way);
        way
    }

    fn work_out(&mut self, arrow: &Arrow, table: &mut Table) -> Option<Way> {
        let entry = &mut self.scratch;
        entry.reset(table.rows.len());
        let targets: States = table.list(arrow.targets).into();
        let transition = (arrow.source, &targets[..], arrow.internal);
        table.add_entry(transition, arrow.domain, &[], entry);
        if entry.met_history {
            return None;
        }
        let start = table.ops.len() as u32;
        table.ops.extend_from_within(arrow.ops.range());
        let entry_at = table.ops.len() as u32;
        let mut leaf = NONE;
        let mut next = entry.enter.next(0);
        while let Some(s) = next {
            let row = &table.rows[s as usize];
            let is_leaf = row.kind == Kind::Atomic && leaf == NONE;
            if !(is_leaf || row.kind == Kind::Compound) || !row.invokes.is_empty() {
                table.ops.truncate(start as usize);
                return None;
            }
            if is_leaf {
                leaf = s;
            }
            table.ops.extend_from_within(row.entry.range());
            if entry.marks.get(s) {
                table.ops.extend_from_within(row.initial_ops.range());
            }
            next = entry.enter.next(s + 1);
        }
        // Without entry ops the transition's own are all there is.
        let mut body = Span {
            start,
            end: table.ops.len() as u32,
        };
        if body.end == entry_at {
            table.ops.truncate(start as usize);
            body = arrow.ops;
        }
        Some(Way {
            body,
            entry_at: body.start + (entry_at - start),
            leaf,
        })
    }
}

/// Adds the exit ops from `leaf` up to `domain`; gives false when a parallel state lies between or
/// something is remembered.
fn chain_exit(leaf: u32, domain: u32, table: &mut Table) -> bool {
    if domain == NONE || table.rows[domain as usize].kind == Kind::Parallel {
        return false;
    }
    let mut at = leaf;
    while at != domain && at != NONE {
        let row = &table.rows[at as usize];
        if is_awkward(row) {
            return false;
        }
        let (exit, parent) = (row.exit, row.parent);
        table.ops.extend_from_within(exit.range());
        at = parent;
    }
    true
}

/// Whether leaving the state needs more than its exit ops.
fn is_awkward(row: &Row) -> bool {
    row.kind == Kind::Parallel || !row.histories.is_empty() || !row.invokes.is_empty()
}

/// Whether candidates are looked up for the state itself: leaves, and the parallel states asked
/// after their regions.
fn is_asked(state: &State) -> bool {
    matches!(state.kind, Kind::Atomic | Kind::Final | Kind::Parallel)
}
