//! From the model to the table: flattens lists, numbers event classes, orders candidates and works
//! out every plan that does not depend on what happens at run time.

use hashbrown::HashMap;

use super::entry::{Entry, States};
use super::model::{ActionId, Guard, Kind, Model, State, StateId, Trigger};
use super::table::{Arrow, Candidate, Class, HOST, NONE, Names, Row, Span, Table, Test, flag};

/// More cells than this (16 MiB) and a state keeps only its own row; the ancestors' are then found
/// by walking up.
const DENSE_CELLS_MAX: u64 = 1 << 22;

/// Makes the table of a model without [problems](Model::problems).
///
/// Cost: O(states × event classes × depth), at most 2²² cells; larger charts are kept sparse.
pub fn lower(model: &Model) -> Table {
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
        walk: None,
    };
    table.classes = table.names.count();
    rows(model, &mut table);
    let own = arrows(model, &mut table);
    Cells {
        model,
        own: &own,
        entries: HashMap::new(),
        exits: HashMap::new(),
        plans: HashMap::new(),
        scratch: Entry::default(),
    }
    .fill(&mut table);
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
    entries: HashMap<u32, Option<Way>>,
    exits: HashMap<(u32, u32), Option<Span>>,
    /// The plans of the leaf in hand by transition: many classes share one.
    plans: HashMap<u32, Candidate>,
    scratch: Entry,
}

impl Cells<'_> {
    fn fill(&mut self, table: &mut Table) {
        let guards: Vec<Vec<u32>> = self
            .model
            .states
            .iter()
            .map(|s| {
                let tests = s.transitions.iter().map(|t| test(&t.guard, table));
                tests.collect()
            })
            .collect();
        let count = self.model.states.len() as u64;
        if count * u64::from(table.classes) > DENSE_CELLS_MAX {
            self.fill_sparse(table, &guards);
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
            if candidate.is(flag::PLANNED) {
                let eventless = table.cell(candidate.leaf, Class::EVENTLESS) != 0;
                table.candidates[at].set(flag::EVENTLESS, eventless);
                table.candidates[at].set(flag::RECENT, table.by_activation);
            }
        }
        let mut regions: Vec<u32> = table.rows.iter().map(|r| r.climb).collect();
        regions.sort_unstable();
        regions.dedup();
        table.asks_around = (0..table.classes)
            .map(|class| {
                let asked = |&p: &u32| p != NONE && table.cell(p, Class(class)) != 0;
                regions.iter().any(asked)
            })
            .collect();
    }

    fn fill_dense(&mut self, table: &mut Table, guards: &[Vec<u32>]) {
        let count = self.model.states.len();
        let classes = table.classes;
        // For every state and class, its own candidates and those it inherits up to its region.
        table.cells = vec![0; count * classes as usize];
        let matchers = Matchers::new(self.model, &table.names);
        for s in 0..count as u32 {
            if !is_asked(&self.model.states[s as usize]) {
                continue;
            }
            self.plans.clear();
            for class in 0..classes {
                let chain = self.chain(s, class, table, &matchers);
                let at = self.candidates(s, &chain, table, guards);
                table.cells[(s * classes + class) as usize] = at;
            }
        }
    }

    fn fill_sparse(&mut self, table: &mut Table, guards: &[Vec<u32>]) {
        let count = self.model.states.len();
        let matchers = Matchers::new(self.model, &table.names);
        let mut rows = vec![HashMap::new(); count];
        for s in 0..count as u32 {
            // The classes that this state or one above it tells apart.
            let mut classes = matchers.own_classes(s);
            let mut up = table.rows[s as usize].parent;
            while up != NONE {
                classes.extend(matchers.own_classes(up));
                up = table.rows[up as usize].parent;
            }
            classes.push(Class::OTHER.0);
            classes.sort_unstable();
            classes.dedup();
            if !is_asked(&self.model.states[s as usize]) {
                continue;
            }
            self.plans.clear();
            for class in classes {
                let chain = self.chain(s, class, table, &matchers);
                let at = self.candidates(s, &chain, table, guards);
                let key = if class == Class::OTHER.0 { NONE } else { class };
                if at != 0 || key != NONE {
                    rows[s as usize].insert(key, at);
                }
            }
            // Eventless candidates never fall back to the wildcard's.
            rows[s as usize].entry(0).or_insert(0);
        }
        table.walk = Some(rows);
    }

    /// The transitions to ask for `class` in `s`, nearest state first.
    fn chain(&self, s: u32, class: u32, table: &Table, matchers: &Matchers) -> Vec<(u32, u32)> {
        let mut chain = Vec::new();
        let stop = if class == Class::EVENTLESS.0 {
            NONE
        } else {
            table.rows[s as usize].climb
        };
        let mut at = s;
        while at != NONE && (at != stop || at == s) {
            let inert =
                table.rules.final_is_inert && self.model.states[at as usize].kind == Kind::Final;
            if !inert {
                for nth in matchers.matching(at, class) {
                    chain.push((at, *nth));
                }
            }
            at = table.rows[at as usize].parent;
        }
        chain
    }

    fn candidates(
        &mut self,
        leaf: u32,
        chain: &[(u32, u32)],
        table: &mut Table,
        guards: &[Vec<u32>],
    ) -> u32 {
        if chain.is_empty() {
            return 0;
        }
        let start = table.candidates.len() as u32;
        for &(s, nth) in chain {
            let transition = self.own[s as usize][nth as usize];
            let guard = guards[s as usize][nth as usize];
            let plan = match self.plans.get(&transition) {
                Some(known) => *known,
                None => {
                    let plan = self.plan(leaf, transition, table);
                    self.plans.insert(transition, plan);
                    plan
                }
            };
            table.candidates.push(Candidate { guard, ..plan });
            if guard == 0 {
                break; // what follows is never asked
            }
        }
        let last = table.candidates.len() - 1;
        table.candidates[last].set(flag::LAST, true);
        start
    }

    /// The candidate that `transition` is in `leaf`, without its guard.
    fn plan(&mut self, leaf: u32, transition: u32, table: &mut Table) -> Candidate {
        let unplanned = Candidate {
            transition,
            ..Candidate::default()
        };
        let kind = self.model.states[leaf as usize].kind;
        if !matches!(kind, Kind::Atomic | Kind::Final) || table.rules.live_configuration {
            return unplanned;
        }
        let arrow = table.arrows[transition as usize].clone();
        if arrow.by_memory {
            return unplanned;
        }
        let Some(way) = self.way(transition, &arrow, table) else {
            return unplanned;
        };
        let exit = if arrow.exit.is_empty() {
            Some(Span::default())
        } else {
            self.chain_exit(leaf, arrow.domain, table)
        };
        let Some(exit) = exit else { return unplanned };
        // A transition that leaves its leaf must enter another, and the other way round.
        let leaves = !arrow.exit.is_empty() && arrow.exit.start <= leaf;
        if leaves != (way.leaf != NONE) {
            return unplanned;
        }
        let entry_at = way.entry_at - way.body.start;
        let mut ops: Vec<ActionId> = table.ops[exit.range()].to_vec();
        let body_at = ops.len() as u32;
        ops.extend_from_slice(&table.ops[way.body.range()]);
        let ops = add(&mut table.ops, &ops);
        let mut plan = Candidate {
            ops,
            body_at: ops.start + body_at,
            entry_at: ops.start + body_at + entry_at,
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
        if let Some(known) = self.entries.get(&transition) {
            return *known;
        }
        let way = self.work_out(arrow, table);
        self.entries.insert(transition, way);
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
        let mut body: Vec<ActionId> = table.ops[arrow.ops.range()].to_vec();
        let transition_ops = body.len() as u32;
        let mut leaf = NONE;
        let mut next = entry.enter.next(0);
        while let Some(s) = next {
            let row = &table.rows[s as usize];
            match row.kind {
                Kind::Atomic if leaf == NONE => leaf = s,
                Kind::Compound => {}
                _ => return None,
            }
            if !row.invokes.is_empty() {
                return None;
            }
            body.extend_from_slice(&table.ops[row.entry.range()]);
            if entry.marks.get(s) {
                body.extend_from_slice(&table.ops[row.initial_ops.range()]);
            }
            next = entry.enter.next(s + 1);
        }
        let body = add(&mut table.ops, &body);
        Some(Way {
            body,
            entry_at: body.start + transition_ops,
            leaf,
        })
    }

    /// The exit ops from `leaf` up to `domain`, when no parallel state lies between and nothing is
    /// remembered.
    fn chain_exit(&mut self, leaf: u32, domain: u32, table: &mut Table) -> Option<Span> {
        if let Some(known) = self.exits.get(&(leaf, domain)) {
            return *known;
        }
        let mut ops = Vec::new();
        let mut simple = domain != NONE && table.rows[domain as usize].kind != Kind::Parallel;
        let mut at = leaf;
        while simple && at != domain && at != NONE {
            let row = &table.rows[at as usize];
            simple =
                row.kind != Kind::Parallel && row.histories.is_empty() && row.invokes.is_empty();
            ops.extend_from_slice(&table.ops[row.exit.range()]);
            at = row.parent;
        }
        let span = simple.then(|| add(&mut table.ops, &ops));
        self.exits.insert((leaf, domain), span);
        span
    }
}

/// Whether candidates are looked up for the state itself: leaves, and the parallel states asked
/// after their regions.
fn is_asked(state: &State) -> bool {
    matches!(state.kind, Kind::Atomic | Kind::Final | Kind::Parallel)
}

/// Which of a state's own transitions match which class.
struct Matchers {
    /// For each state: class to places in its list, in the order to ask.
    by_state: Vec<HashMap<u32, Vec<u32>>>,
    /// For each state: those that match a class not in its map.
    other: Vec<Vec<u32>>,
}

impl Matchers {
    fn new(model: &Model, names: &Names) -> Self {
        let mut by_state = Vec::with_capacity(model.states.len());
        let mut other = Vec::with_capacity(model.states.len());
        let by_stem: Stems = Stems::new(names);
        for state in &model.states {
            // (class, how exact, place)
            let mut hits: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
            let mut stars: Vec<u32> = Vec::new();
            for (nth, t) in state.transitions.iter().enumerate() {
                let nth = nth as u32;
                match &t.trigger {
                    Trigger::Always => hits.entry(0).or_default().push((0, nth)),
                    Trigger::Events(descriptors) => {
                        for d in descriptors {
                            if d == "*" {
                                stars.push(nth);
                            } else {
                                for class in by_stem.classes(d, model.rules.prefix_match) {
                                    let exact = if model.rules.by_exactness {
                                        exactness(d)
                                    } else {
                                        0
                                    };
                                    hits.entry(class).or_default().push((exact, nth));
                                }
                            }
                        }
                    }
                }
            }
            let by_exactness = model.rules.by_exactness;
            let map = hits
                .into_iter()
                .map(|(class, mut list)| {
                    if class != 0 {
                        let star = if by_exactness { u32::MAX } else { 0 };
                        list.extend(stars.iter().map(|&nth| (star, nth)));
                    }
                    list.sort_unstable();
                    let mut order: Vec<u32> = list.into_iter().map(|(_, nth)| nth).collect();
                    let mut seen = hashbrown::HashSet::new();
                    order.retain(|nth| seen.insert(*nth));
                    (class, order)
                })
                .collect();
            stars.dedup();
            by_state.push(map);
            other.push(stars);
        }
        Self { by_state, other }
    }

    fn matching(&self, s: u32, class: u32) -> &[u32] {
        match self.by_state[s as usize].get(&class) {
            Some(list) => list,
            None if class == Class::EVENTLESS.0 => &[],
            None => &self.other[s as usize],
        }
    }

    fn own_classes(&self, s: u32) -> Vec<u32> {
        self.by_state[s as usize].keys().copied().collect()
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
struct Stems {
    sorted: Vec<(Box<str>, u32)>,
}

impl Stems {
    fn new(names: &Names) -> Self {
        let mut sorted: Vec<(Box<str>, u32)> = names
            .list
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), at as u32))
            .collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    fn classes(&self, descriptor: &str, prefix_match: bool) -> Vec<u32> {
        let stem = stem(descriptor, prefix_match);
        let wild = prefix_match || descriptor.ends_with(".*");
        let mut classes = Vec::new();
        let from = self.sorted.partition_point(|(name, _)| &**name < stem);
        if let Some((name, at)) = self.sorted.get(from)
            && &**name == stem
        {
            classes.push(2 + 2 * at);
            if wild {
                classes.push(3 + 2 * at);
            }
        }
        if wild {
            let below = format!("{stem}.");
            let from = self.sorted.partition_point(|(name, _)| **name < *below);
            for (_, at) in self.sorted[from..]
                .iter()
                .take_while(|(name, _)| name.starts_with(&below))
            {
                classes.extend([2 + 2 * at, 3 + 2 * at]);
            }
        }
        classes
    }
}
