//! From the model to the table: flattens lists, numbers event classes, orders candidates and works
//! out every plan that does not depend on what happens at run time.

use hashbrown::HashMap;

use super::entry::{Entry, States};
use super::model::{Guard, Kind, Model, State, StateId, Trigger};
use super::table::{
    Arrow, Candidate, Class, HOST, NONE, Names, Row, Span, Sparse, Table, Test, Up, flag,
};

/// More cells than this (1 MiB) and only those are kept in which something is told apart.
const DENSE_CELLS_MAX: u64 = 1 << 18;
/// And more candidates than this (8 MiB), should each leaf have its own.
const DENSE_CANDIDATES_MAX: u64 = 1 << 18;
/// A sparse table keeps this many candidates for transitions of states above, and this many for each
/// state; those that would need more are looked up in the state above when an event comes.
const INHERITED: (u64, u64) = (1 << 15, 8);

/// Makes the table of a model without [problems](Model::problems).
///
/// Cost: O(states + transitions × classes that they match × depth); up to 2¹⁸ cells are kept for
/// states × event classes, and as many candidates. A larger table is sparse and in proportion to the
/// chart.
pub fn lower(model: &Model) -> Table {
    lower_within(model, (DENSE_CELLS_MAX, DENSE_CANDIDATES_MAX), INHERITED)
}

fn lower_within(model: &Model, dense_max: (u64, u64), inherited: (u64, u64)) -> Table {
    let mut table = Table {
        rules: model.rules,
        rows: Vec::with_capacity(model.states.len()),
        names: names(model),
        classes: 0,
        cells: Vec::new(),
        candidates: vec![Candidate::default()], // place 0 is "none"
        arrows: Vec::new(),
        tests: Vec::new(),
        parts: Vec::new(),
        ops: Vec::new(),
        lists: Vec::new(),
        memories: 0,
        has_eventless: false,
        has_invokes: false,
        asks_around: Vec::new(),
        by_activation: false,
        sparse: None,
    };
    table.classes = table.names.count();
    rows(model, &mut table);
    let own = arrows(model, &mut table);
    let mut cells = Cells::new(model, &own, &table);
    cells.inherited = inherited.0 + inherited.1 * model.states.len() as u64;
    let count = model.states.len() as u64 * u64::from(table.classes);
    let copies = cells.copies(&table);
    let copies_sum = copies.iter().fold(0, |sum: u64, &n| sum.saturating_add(n));
    cells.fill(
        &mut table,
        count > dense_max.0 || copies_sum > dense_max.1,
        &copies,
    );
    table
}

fn names(model: &Model) -> Names {
    let mut names = Names::default();
    for transition in model.states.iter().flat_map(|s| &s.transitions) {
        if let Trigger::Events(descriptors) = &transition.trigger {
            for d in descriptors {
                if d != "*" {
                    names.add(stem(d, model.rules.prefix_match));
                }
            }
        }
    }
    names
}

/// A descriptor without its wildcard; SCXML also allows a closing dot.
fn stem(descriptor: &str, prefix_match: bool) -> &str {
    let d = descriptor.strip_suffix(".*").unwrap_or(descriptor);
    match d.strip_suffix('.') {
        Some(short) if prefix_match => short,
        _ => d,
    }
}

fn add<T: Copy>(list: &mut Vec<T>, items: &[T]) -> Span {
    let start = list.len() as u32;
    list.extend_from_slice(items);
    Span {
        start,
        end: list.len() as u32,
    }
}

fn rows(model: &Model, table: &mut Table) {
    let ends = model.ends();
    let mut histories: HashMap<StateId, Vec<StateId>> = HashMap::new();
    for (s, state) in model.states.iter().enumerate() {
        if let (Kind::History { .. }, Some(parent)) = (state.kind, state.parent) {
            histories.entry(parent).or_default().push(s as u32);
        }
    }
    for (s, state) in model.states.iter().enumerate() {
        let is_history = matches!(state.kind, Kind::History { .. });
        let memory = if is_history { table.memories } else { NONE };
        table.memories += u32::from(is_history);
        table.has_invokes |= !state.invokes.is_empty();
        let below = histories.get(&(s as u32)).map_or(&[][..], Vec::as_slice);
        let row = Row {
            parent: state.parent.unwrap_or(NONE),
            end: ends[s],
            kind: state.kind,
            entry: add(&mut table.ops, &state.entry),
            exit: add(&mut table.ops, &state.exit),
            invokes: add(&mut table.ops, &state.invokes),
            initial: add(&mut table.lists, &state.initial.targets),
            initial_ops: add(&mut table.ops, &state.initial.actions),
            histories: add(&mut table.lists, below),
            memory,
            climb: NONE,
        };
        table.rows.push(row);
    }
    if model.rules.select_by_region {
        // A parallel state with a single region is asked in one go with what is inside it.
        let mut regions = vec![0u32; table.rows.len()];
        for row in &table.rows {
            if row.parent != NONE && !matches!(row.kind, Kind::History { .. }) {
                regions[row.parent as usize] += 1;
            }
        }
        for s in 0..table.rows.len() {
            let climb = table.parents(s as u32).find(|&p| {
                table.rows[p as usize].kind == Kind::Parallel && regions[p as usize] > 1
            });
            let climb = climb.unwrap_or(NONE);
            table.rows[s].climb = climb;
        }
    }
}

/// Lowers the transitions; gives for each state the numbers of its own.
fn arrows(model: &Model, table: &mut Table) -> Vec<Vec<u32>> {
    let mut own = Vec::with_capacity(model.states.len());
    for (source, state) in model.states.iter().enumerate() {
        let source = source as u32;
        let mut list = Vec::with_capacity(state.transitions.len());
        for t in &state.transitions {
            let by_memory = t.targets.iter().any(|&h| {
                matches!(model.states[h as usize].kind, Kind::History { .. })
                    && model.states[h as usize].parent.is_some_and(|p| {
                        p == source || table.is_below(source, p) || table.is_below(p, source)
                    })
            });
            let (domain, exit) = if t.targets.is_empty() {
                (source, Span::default())
            } else {
                let mut effective = States::new();
                table.effective_targets(&t.targets, &[], 0, &mut effective);
                let domain = table.domain(source, &effective, t.internal);
                (domain, table.exit_range(domain))
            };
            let arrow = Arrow {
                source,
                targets: add(&mut table.lists, &t.targets),
                internal: t.internal,
                ops: add(&mut table.ops, &t.actions),
                exit,
                domain,
                by_memory,
            };
            list.push(table.arrows.len() as u32);
            table.arrows.push(arrow);
        }
        own.push(list);
    }
    own
}

/// What a candidate says of its guard.
fn test(guard: &Option<Guard>, table: &mut Table) -> u32 {
    fn add_test(guard: &Guard, table: &mut Table) -> u32 {
        let parts = |list: &[Guard], table: &mut Table| {
            let numbers: Vec<u32> = list.iter().map(|g| add_test(g, table)).collect();
            add(&mut table.parts, &numbers)
        };
        let node = match guard {
            Guard::Host(id) => Test::Host(*id),
            Guard::In(s) => Test::In {
                from: *s,
                to: table.rows[*s as usize].end,
            },
            Guard::And(list) => Test::And(parts(list, table)),
            Guard::Or(list) => Test::Or(parts(list, table)),
            Guard::Not(inner) => Test::Not(add_test(inner, table)),
        };
        table.tests.push(node);
        (table.tests.len() - 1) as u32
    }
    match guard {
        None => 0,
        Some(Guard::Host(id)) => HOST | id,
        Some(guard) => 1 + add_test(guard, table),
    }
}

/// What entering by one transition does, when that is known ahead.
#[derive(Clone, Copy)]
struct Way {
    body: Span,
    entry_at: u32,
    /// The one leaf entered; [`NONE`] for a transition that enters nothing.
    leaf: u32,
}

struct Cells<'a> {
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
    inherited: u64,
}

impl<'a> Cells<'a> {
    fn new(model: &'a Model, own: &'a [Vec<u32>], table: &Table) -> Self {
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

    fn fill(&mut self, table: &mut Table, is_sparse: bool, copies: &[u64]) {
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
    fn copies(&self, table: &Table) -> Vec<u64> {
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

/// Which of a state's own transitions match which class.
struct Matchers {
    /// By state: its part of `classes`.
    spans: Vec<Span>,
    /// The classes that a state tells apart, in order, and for each a part of `orders`.
    classes: Vec<(u32, Span)>,
    /// Places in a state's list, in the order to ask.
    orders: Vec<u32>,
    /// For each state a part of `orders`: those that match a class not told apart.
    others: Vec<Span>,
    /// While a state is read: the place in `classes` that each transition was last seen for.
    seen: Vec<usize>,
}

impl Matchers {
    fn new(model: &Model, names: &Names) -> Self {
        let mut all = Self {
            spans: Vec::with_capacity(model.states.len()),
            classes: Vec::with_capacity(model.states.len()),
            orders: Vec::with_capacity(model.states.len()),
            others: Vec::with_capacity(model.states.len()),
            seen: Vec::new(),
        };
        let stems = Stems::new(names);
        let by_exactness = model.rules.by_exactness;
        // (class, how exact, place)
        let mut hits: Vec<(u32, u32, u32)> = Vec::new();
        let mut stars: Vec<u32> = Vec::new();
        for state in &model.states {
            hits.clear();
            stars.clear();
            for (t, nth) in state.transitions.iter().zip(0..) {
                let Trigger::Events(descriptors) = &t.trigger else {
                    hits.push((Class::EVENTLESS.0, 0, nth));
                    continue;
                };
                for d in descriptors {
                    if d == "*" {
                        stars.push(nth);
                        continue;
                    }
                    let exact = if by_exactness { exactness(d) } else { 0 };
                    stems.each(d, model.rules.prefix_match, |class| {
                        hits.push((class, exact, nth));
                    });
                }
            }
            all.seen.clear();
            all.seen.resize(state.transitions.len(), usize::MAX);
            stars.dedup();
            hits.sort_unstable();
            let first = all.classes.len() as u32;
            let mut rest = &hits[..];
            while let Some(&(class, ..)) = rest.first() {
                let count = rest.iter().take_while(|hit| hit.0 == class).count();
                let own = rest[..count].iter().map(|&(_, exact, nth)| (exact, nth));
                let order = all.order(own, if class == 0 { &[] } else { &stars }, by_exactness);
                all.classes.push((class, order));
                rest = &rest[count..];
            }
            all.spans.push(Span {
                start: first,
                end: all.classes.len() as u32,
            });
            let others = add(&mut all.orders, &stars);
            all.others.push(others);
        }
        all
    }

    /// Adds one class's places: `own`, sorted, and the wildcards behind them (XState) or at their
    /// places (SCXML).
    fn order(
        &mut self,
        own: impl Iterator<Item = (u32, u32)>,
        stars: &[u32],
        by_exactness: bool,
    ) -> Span {
        let start = self.orders.len();
        self.orders.extend(own.map(|(_, nth)| nth));
        self.orders.extend_from_slice(stars);
        if !by_exactness {
            self.orders[start..].sort_unstable();
        }
        let mut kept = start;
        for at in start..self.orders.len() {
            let nth = self.orders[at];
            let last = &mut self.seen[nth as usize];
            if std::mem::replace(last, self.classes.len()) != self.classes.len() {
                self.orders[kept] = nth;
                kept += 1;
            }
        }
        self.orders.truncate(kept);
        Span {
            start: start as u32,
            end: kept as u32,
        }
    }

    /// How many candidates a state needs for all the classes that it tells apart and for the rest.
    fn count(&self, s: u32) -> u64 {
        let orders = self.own(s).iter().map(|(_, order)| order);
        let all = orders.chain([&self.others[s as usize]]);
        all.map(|order| order.range().len() as u64).sum()
    }

    fn matching(&self, s: u32, class: u32) -> &[u32] {
        let own = self.own(s);
        let order = match own.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => own[at].1,
            Err(_) if class == Class::EVENTLESS.0 => Span::default(),
            Err(_) => self.others[s as usize],
        };
        &self.orders[order.range()]
    }

    /// The classes that `s` tells apart, eventless first.
    fn own(&self, s: u32) -> &[(u32, Span)] {
        &self.classes[self.spans[s as usize].range()]
    }
}

/// Sorts exact descriptors first, then longer wildcards before shorter.
fn exactness(descriptor: &str) -> u32 {
    if descriptor.ends_with(".*") {
        u32::MAX / 2 - descriptor.encode_utf16().count() as u32
    } else {
        0
    }
}

/// Finds the classes at or below a name without looking at all names for each descriptor.
struct Stems<'a> {
    names: &'a Names,
    /// The names that are below others, made for the first descriptor that asks for them.
    sorted: std::cell::OnceCell<Vec<(&'a str, u32)>>,
}

impl<'a> Stems<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            sorted: std::cell::OnceCell::new(),
        }
    }

    fn each(&self, descriptor: &str, prefix_match: bool, mut found: impl FnMut(u32)) {
        let stem = stem(descriptor, prefix_match);
        let wild = prefix_match || descriptor.ends_with(".*");
        if let Some(at) = self.names.place(stem) {
            found(2 + 2 * at);
            if wild {
                found(3 + 2 * at);
            }
        }
        if !wild {
            return;
        }
        let sorted = self.sorted.get_or_init(|| {
            let names = self.names.list.iter().zip(0..);
            let mut sorted: Vec<(&str, u32)> = names
                .filter(|(name, _)| name.contains('.'))
                .map(|(name, at)| (&**name, at))
                .collect();
            sorted.sort_unstable();
            sorted
        });
        let is_below = |name: &str| name.strip_prefix(stem).is_some_and(|n| n.starts_with('.'));
        let below = stem.bytes().chain(*b".");
        let from = sorted.partition_point(|(name, _)| name.bytes().lt(below.clone()));
        for (_, at) in sorted[from..].iter().take_while(|(name, _)| is_below(name)) {
            found(2 + 2 * at);
            found(3 + 2 * at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{GuardId, Initial, Place, Rules, Transition};
    use super::super::run::{Ask, Buffers, Chart, Logic, Scope};
    use super::*;

    /// Logs its actions; guards look at how many there were.
    struct Logs;

    impl Logic for Logs {
        type Context = u32;
        type Event = &'static str;
        type Effect = u32;
        type Fault = ();

        fn class(&self, table: &Table, event: &&'static str) -> Class {
            table.class(event)
        }

        fn guard(&self, id: GuardId, ask: &Ask<'_, Self>) -> Result<bool, ()> {
            Ok(!(*ask.context + id).is_multiple_of(3))
        }

        fn act(&self, id: u32, scope: &mut Scope<'_, Self>) -> Result<(), ()> {
            *scope.context += 1;
            scope.effect(id);
            Ok(())
        }

        fn failure(&self, (): ()) -> Option<&'static str> {
            None
        }

        fn is_fallible(&self) -> bool {
            false
        }
    }

    const EVENTS: [&str; 6] = ["a", "a.b", "a.b.c", "d", "e", "other"];

    struct Draw(u64);

    impl Draw {
        fn below(&mut self, count: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) % count
        }
    }

    /// A chart of up to 30 states with every kind of descriptor, guards and both sorts of rules.
    fn chart(draw: &mut Draw) -> Model {
        let rules = [Rules::XSTATE, Rules::SCXML][draw.below(2) as usize];
        let mut model = Model::new("m", rules);
        model.push(State::new("m", None, Kind::Compound));
        grow(draw, &mut model, 0, 0);
        let count = model.states.len() as u64;
        let mut actions = 0;
        let mut action = || {
            actions += 1;
            vec![actions]
        };
        for s in 0..model.states.len() {
            model.states[s].entry = action();
            model.states[s].exit = action();
            for _ in 0..draw.below(4) {
                let descriptor =
                    ["a", "a.b", "a.*", "a.b.*", "a.b.c", "d", "e", "*"][draw.below(8) as usize];
                let guarded = draw.below(2) == 0;
                let trigger = match draw.below(12) {
                    0..3 if guarded && s > 0 => Trigger::Always,
                    _ => Trigger::Events(vec![descriptor.to_owned()]),
                };
                let targets = match draw.below(4) {
                    0 => Vec::new(),
                    _ => vec![1 + draw.below(count - 1) as u32],
                };
                model.states[s].transitions.push(Transition {
                    trigger,
                    guard: guarded.then(|| Guard::Host(draw.below(3) as u32)),
                    targets,
                    internal: draw.below(2) == 0,
                    actions: action(),
                    place: Place::default(),
                });
            }
        }
        model
    }

    fn grow(draw: &mut Draw, model: &mut Model, parent: StateId, depth: u32) {
        let parallel = model.states[parent as usize].kind == Kind::Parallel;
        let count = 1 + u64::from(parallel) + draw.below(3);
        for nth in 0..count {
            let kind = match draw.below(8) {
                0..4 if depth < 3 && model.states.len() < 24 => Kind::Compound,
                4 if depth < 3 && model.states.len() < 24 => Kind::Parallel,
                5 if !parallel && nth > 0 => Kind::Final,
                _ => Kind::Atomic,
            };
            let id = format!("s{}", model.states.len());
            let s = model.push(State::new(id, Some(parent), kind));
            if matches!(kind, Kind::Compound | Kind::Parallel) {
                grow(draw, model, s, depth + 1);
            }
            if nth == 0 && !parallel {
                model.states[parent as usize].initial = Initial {
                    targets: vec![s],
                    actions: Vec::new(),
                };
            }
        }
    }

    #[test]
    fn a_sparse_table_says_what_a_dense_one_says_however_much_it_keeps() {
        let mut draw = Draw(7);
        let (mut steps, mut climbs, mut eventless_climbs) = (0, 0, 0);
        for _ in 0..600 {
            let model = chart(&mut draw);
            let most = (u64::MAX, u64::MAX);
            let dense = Chart::new(lower_within(&model, most, (0, 0)), Logs);
            for inherited in [(0, 0), (draw.below(40), 0), (u64::MAX, 0)] {
                let sparse = lower_within(&model, (0, 0), inherited);
                assert!(sparse.sparse.is_some() && dense.table().sparse.is_none());
                climbs += sparse
                    .candidates
                    .iter()
                    .filter(|c| c.is(flag::CLIMBS))
                    .count();
                let always = model.states.iter().flat_map(|s| &s.transitions);
                let always: Vec<bool> = always.map(|t| t.trigger == Trigger::Always).collect();
                let goes_on = |c: &&Candidate| c.is(flag::ABOVE) && always[c.transition as usize];
                eventless_climbs += sparse.candidates.iter().filter(goes_on).count();
                let sparse = Chart::new(sparse, Logs);
                let mut buffers = (Buffers::default(), Buffers::default());
                let mut one = dense.start(0, &"", &mut buffers.0);
                let mut two = sparse.start(0, &"", &mut buffers.1);
                for _ in 0..12 {
                    assert_eq!(one, two, "{model:?}");
                    assert_eq!(buffers.0.effects(), buffers.1.effects(), "{model:?}");
                    if one.1.is_err() {
                        break; // a circle of eventless transitions
                    }
                    let event = EVENTS[draw.below(6) as usize];
                    let class = |chart: &Chart<Logs>| chart.table().class(event);
                    let taken = dense.step(&mut one.0, class(&dense), &event, &mut buffers.0);
                    let other = sparse.step(&mut two.0, class(&sparse), &event, &mut buffers.1);
                    assert_eq!(taken, other, "{model:?}");
                    one.1 = taken.map(|_| ());
                    two.1 = other.map(|_| ());
                    steps += 1;
                }
            }
        }
        assert!(
            steps > 5_000 && climbs > 1_000 && eventless_climbs > 1_000,
            "{steps} {climbs} {eventless_climbs}"
        );
    }

    #[test]
    fn eventless_transitions_are_not_copied_into_every_leaf_of_a_large_chart() {
        let lowered = |leaves: u32, eventless: u32| {
            let mut model = Model::new("m", Rules::XSTATE);
            let mut root = State::new("m", None, Kind::Compound);
            root.initial.targets = vec![1];
            root.transitions = (0..eventless)
                .map(|nth| Transition {
                    trigger: Trigger::Always,
                    guard: Some(Guard::Host(nth)),
                    targets: vec![1 + nth % leaves],
                    internal: true,
                    actions: Vec::new(),
                    place: Place::default(),
                })
                .collect();
            model.push(root);
            for nth in 0..leaves {
                model.push(State::new(format!("s{nth}"), Some(0), Kind::Atomic));
            }
            lower(&model)
        };
        let table = lowered(1_000, 1_000);
        assert!(table.sparse.is_some());
        let count = table.candidates.len();
        assert!(count < 2_000, "{count} candidates");
        assert_eq!(table.cell(7, Class::EVENTLESS), table.cell(900, Class::EVENTLESS));
        assert_ne!(table.cell(7, Class::EVENTLESS), 0);
    }
}
