//! From the model to the table: flattens lists, numbers event classes, orders candidates and works
//! out every plan that does not depend on what happens at run time.

mod cells;
mod matchers;

use hashbrown::HashMap;

use super::entry::States;
use super::model::{Guard, Kind, Model, StateId, Trigger};
use super::table::{Arrow, Candidate, HOST, NONE, Names, Row, Span, Table, Test};
use cells::Cells;
use matchers::stem;

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

#[cfg(test)]
mod tests {
    use super::super::model::{GuardId, Initial, Place, Rules, State, Transition};
    use super::super::run::{Ask, Buffers, Chart, Logic, Scope};
    use super::super::table::{Class, flag};
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
        assert_eq!(
            table.cell(7, Class::EVENTLESS),
            table.cell(900, Class::EVENTLESS)
        );
        assert_ne!(table.cell(7, Class::EVENTLESS), 0);
    }
}
