//! The check: what is wrong with a model, where, and what would be right.

use std::fmt;

use super::model::{Kind, Model, Place, StateId, Trigger};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but most likely not as meant.
    Warning,
    /// It cannot run.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// The kind of problem, in a word: `target`, `initial`, `unreachable` …
    pub kind: &'static str,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub instead: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        if self.place.line > 0 {
            write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        }
        write!(f, "{severity} [{}]: {}", self.kind, self.what)?;
        if !self.instead.is_empty() {
            write!(f, "; {}", self.instead)?;
        }
        Ok(())
    }
}

/// Deeper nesting is refused: the runner's recursion follows it.
pub const DEPTH_MAX: u32 = 100;

/// Everything wrong with `model`, all at once: what the front end found, then what the tree shows,
/// then what its transitions show. O(states × depth + transitions²) within one state.
///
/// What an error's hint names counts as meant: a state that only a misspelt target leads to is not
/// said to be unreachable as well.
pub fn check(model: &Model) -> Vec<Problem> {
    let mut problems = model.problems.clone();
    structure(model, &mut problems);
    unreachable(model, &mut problems);
    dead_ends(model, &mut problems);
    shadowed(model, &mut problems);
    circles(model, &mut problems);
    targets(model, &mut problems);
    unhandled(model, &mut problems);
    problems
}

fn problem(
    place: Place,
    severity: Severity,
    kind: &'static str,
    what: String,
    instead: &str,
) -> Problem {
    Problem {
        place,
        severity,
        kind,
        what,
        instead: instead.to_owned(),
    }
}

fn structure(model: &Model, out: &mut Vec<Problem>) {
    let known = |kind: &str| model.problems.iter().any(|p| p.kind == kind);
    let (initial_known, target_known) = (known("initial") || known("root"), known("target"));
    let ends = model.ends();
    let mut depths: Vec<u32> = Vec::with_capacity(model.states.len());
    for (s, state) in model.states.iter().enumerate() {
        let depth = state.parent.map_or(0, |p| depths[p as usize] + 1);
        depths.push(depth);
        let id = &state.id;
        if depth == DEPTH_MAX {
            let what = format!("{id:?} is nested deeper than {DEPTH_MAX} levels");
            let instead = "split the chart and invoke its parts";
            out.push(problem(
                state.place,
                Severity::Error,
                "depth",
                what,
                instead,
            ));
        }
        let begins = &state.initial.targets;
        let (around, kind) = match state.kind {
            Kind::History { .. } => (state.parent.unwrap_or(0), "history"),
            _ => (s as StateId, "initial"),
        };
        let is_inside = |&t: &StateId| around < t && t < ends[around as usize];
        if let Some(&outside) = begins.iter().find(|t| !is_inside(t)) {
            let outer = &model.states[around as usize].id;
            let to = &model.states[outside as usize].id;
            let what = match kind {
                "history" => {
                    format!("the default {to:?} of the history {id:?} is not in {outer:?}")
                }
                _ => format!("the initial state {to:?} of {id:?} is not in it"),
            };
            let instead = "name a state inside of it";
            out.push(problem(state.place, Severity::Warning, kind, what, instead));
        }
        if state.kind == Kind::Final && ends[s] > s as StateId + 1 {
            let what = format!("{id:?} is final and has states, which are never entered");
            let instead = "make it no final state, or take them out of it";
            out.push(problem(
                state.place,
                Severity::Warning,
                "final",
                what,
                instead,
            ));
        }
        let empty = begins.is_empty();
        if state.kind == Kind::Compound && empty && !initial_known && !target_known {
            let what = format!("{id:?} has no initial state");
            let instead = "name the child it begins in";
            out.push(problem(
                state.place,
                Severity::Error,
                "initial",
                what,
                instead,
            ));
        }
        if matches!(state.kind, Kind::History { .. })
            && empty
            && !model.rules.root_is_state
            && !target_known
        {
            let what = format!("the history {id:?} has no default");
            let instead = "give it a transition to where it leads before it remembers";
            out.push(problem(
                state.place,
                Severity::Warning,
                "history",
                what,
                instead,
            ));
        }
    }
}

fn unreachable(model: &Model, out: &mut Vec<Problem>) {
    let mut reached = vec![false; model.states.len()];
    let mut work: Vec<StateId> = vec![0];
    let hints: Vec<&str> = (model.problems.iter())
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| problem.instead.as_str())
        .collect();
    if !hints.is_empty() {
        let is_meant = |name: &str| {
            let name = format!("{name:?}");
            hints.iter().any(|hint| hint.contains(&name))
        };
        let all = model.states.iter().zip(0..);
        work.extend(
            all.filter_map(|(state, s)| (is_meant(&state.id) || is_meant(&state.key)).then_some(s)),
        );
    }
    let mut children: Vec<Vec<StateId>> = vec![Vec::new(); model.states.len()];
    for (s, state) in model.states.iter().enumerate() {
        if let Some(parent) = state.parent {
            children[parent as usize].push(s as StateId);
        }
    }
    while let Some(s) = work.pop() {
        if std::mem::replace(&mut reached[s as usize], true) {
            continue;
        }
        let state = &model.states[s as usize];
        work.extend(state.parent);
        work.extend(&state.initial.targets);
        work.extend(state.transitions.iter().flat_map(|t| &t.targets));
        for &child in &children[s as usize] {
            let history = matches!(model.states[child as usize].kind, Kind::History { .. });
            // Where it begins is an error of its own.
            let is_lost = state.kind == Kind::Compound && state.initial.targets.is_empty();
            if (state.kind == Kind::Parallel || is_lost) && !history {
                work.push(child);
            }
        }
    }
    for (s, state) in model.states.iter().enumerate() {
        let parent_reached = state.parent.is_none_or(|p| reached[p as usize]);
        if !reached[s] && parent_reached {
            let what = format!("nothing leads to {:?}", state.id);
            let instead = "add a transition to it, or remove it";
            out.push(problem(
                state.place,
                Severity::Warning,
                "unreachable",
                what,
                instead,
            ));
        }
    }
}

fn dead_ends(model: &Model, out: &mut Vec<Problem>) {
    let mut leaves = vec![false; model.states.len()];
    for (s, state) in model.states.iter().enumerate() {
        let above = state.parent.is_some_and(|p| leaves[p as usize]);
        leaves[s] = above || !state.transitions.is_empty();
        if state.kind == Kind::Atomic && !leaves[s] && model.states.len() > 2 {
            let what = format!("nothing leads out of {:?}", state.id);
            let instead = "add a transition, or make it final";
            out.push(problem(
                state.place,
                Severity::Warning,
                "dead end",
                what,
                instead,
            ));
        }
    }
}

fn shadowed(model: &Model, out: &mut Vec<Problem>) {
    for state in &model.states {
        let mut taken: Vec<&str> = Vec::new();
        let mut always = false;
        for t in &state.transitions {
            let hidden = match &t.trigger {
                Trigger::Always => always,
                Trigger::Events(list) => list.iter().all(|d| taken.contains(&d.as_str())),
            };
            if hidden {
                let what = format!("a transition of {:?} is never taken", state.id);
                let instead = "an earlier one for the same event has no guard: reorder them";
                out.push(problem(
                    t.place,
                    Severity::Warning,
                    "shadowed",
                    what,
                    instead,
                ));
            }
            if t.guard.is_none() {
                match &t.trigger {
                    Trigger::Always => always = true,
                    Trigger::Events(list) => taken.extend(list.iter().map(String::as_str)),
                }
            }
        }
    }
}

/// Events that the chart sends itself and has no transition for.
fn unhandled(model: &Model, out: &mut Vec<Problem>) {
    let descriptors: Vec<&str> = (model.states.iter())
        .flat_map(|s| &s.transitions)
        .filter_map(|t| match &t.trigger {
            Trigger::Events(list) => Some(list.iter().map(String::as_str)),
            Trigger::Always => None,
        })
        .flatten()
        .collect();
    let fits = |event: &str, descriptor: &str| {
        if descriptor == "*" || descriptor == event {
            return true;
        }
        let stem = descriptor.strip_suffix(".*");
        let stem = stem.or(model.rules.prefix_match.then_some(descriptor));
        let rest = stem.and_then(|stem| event.strip_prefix(stem));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for (event, place) in &model.raised {
        if descriptors.iter().any(|d| fits(event, d)) {
            continue;
        }
        let what = format!("no state handles the event {event:?} that the chart raises");
        let instead = match near(descriptors.iter().copied(), event) {
            Some(name) => format!("did you mean {name:?}?"),
            None => "add a transition for it, or remove it".to_owned(),
        };
        out.push(problem(
            *place,
            Severity::Warning,
            "unhandled",
            what,
            &instead,
        ));
    }
}

/// Circles of eventless transitions that no guard can break.
fn circles(model: &Model, out: &mut Vec<Problem>) {
    let always = |s: StateId| {
        let mut list = model.states[s as usize].transitions.iter();
        let first = list.find(|t| t.trigger == Trigger::Always)?;
        (first.guard.is_none() && first.targets.len() == 1).then_some((s, first))
    };
    let leaf = |mut s: StateId| {
        for _ in 0..DEPTH_MAX {
            match (
                model.states[s as usize].kind,
                &model.states[s as usize].initial.targets[..],
            ) {
                (Kind::Compound, [only]) => s = *only,
                _ => break,
            }
        }
        s
    };
    let next = |from: StateId| {
        let mut at = Some(leaf(from));
        while let Some(s) = at {
            if let Some((s, t)) = always(s) {
                return Some((s, t));
            }
            at = model.states[s as usize].parent;
        }
        None
    };
    let mut settled = vec![false; model.states.len()];
    for start in 0..model.states.len() as StateId {
        let mut path: Vec<StateId> = Vec::new();
        let mut at = always(start);
        while let Some((s, t)) = at {
            if settled[s as usize] {
                break;
            }
            if path.contains(&s) {
                let what = format!(
                    "eventless transitions go round in a circle through {:?}",
                    model.states[s as usize].id
                );
                let instead = "give one of them a guard that ends it";
                out.push(problem(t.place, Severity::Warning, "circle", what, instead));
                break;
            }
            path.push(s);
            at = next(t.targets[0]);
        }
        for s in path {
            settled[s as usize] = true;
        }
    }
}

/// Targets that cannot be active together.
fn targets(model: &Model, out: &mut Vec<Problem>) {
    let chain = |s: StateId| {
        let mut chain = vec![s];
        while let Some(parent) = model.states[chain[chain.len() - 1] as usize].parent {
            chain.push(parent);
        }
        chain
    };
    for state in &model.states {
        for t in state.transitions.iter().filter(|t| t.targets.len() > 1) {
            let chains: Vec<Vec<StateId>> = t.targets.iter().map(|&s| chain(s)).collect();
            let clash = chains.iter().enumerate().any(|(nth, a)| {
                chains[..nth].iter().any(|b| {
                    let meet = a.iter().find(|s| b.contains(s)).copied().unwrap_or(0);
                    let apart = meet != a[0] && meet != b[0];
                    apart && model.states[meet as usize].kind != Kind::Parallel
                })
            });
            if clash {
                let what = format!(
                    "the targets of a transition of {:?} exclude each other",
                    state.id
                );
                let instead = "name one state in each region of a parallel state";
                out.push(problem(
                    t.place,
                    Severity::Warning,
                    "targets",
                    what,
                    instead,
                ));
            }
        }
    }
}

/// The nearest of `names` to a misspelt one, if at most half of it is wrong.
pub(crate) fn near<'a>(names: impl Iterator<Item = &'a str>, misspelt: &str) -> Option<&'a str> {
    let all = names.map(|name| (distance(name, misspelt), name));
    let near = all.filter(|(edits, name)| edits * 2 <= name.len()).min();
    near.map(|(_, name)| name)
}

/// The number of edits between two words (Levenshtein 1966, one row at a time).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let cost = usize::from(ca != cb);
            let next = (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::model::{Initial, Rules, State, Transition};
    use super::*;

    fn chart(children: &[(&str, Vec<(Trigger, StateId)>)]) -> Model {
        let mut model = Model::new("m", Rules::XSTATE);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = Initial {
            targets: vec![1],
            actions: Vec::new(),
        };
        model.push(root);
        for (id, transitions) in children {
            let mut state = State::new(*id, Some(0), Kind::Atomic);
            for (trigger, target) in transitions {
                state.transitions.push(Transition {
                    trigger: trigger.clone(),
                    guard: None,
                    targets: vec![*target],
                    internal: true,
                    actions: Vec::new(),
                    place: Place::default(),
                });
            }
            model.push(state);
        }
        model
    }

    fn kinds(model: &Model) -> Vec<&'static str> {
        check(model).iter().map(|p| p.kind).collect()
    }

    fn on(event: &str) -> Trigger {
        Trigger::Events(vec![event.to_owned()])
    }

    #[test]
    fn a_sound_chart_has_no_problems() {
        let sound = chart(&[("a", vec![(on("E"), 2)]), ("b", vec![(on("E"), 1)])]);
        assert_eq!(kinds(&sound), Vec::<&str>::new());
    }

    #[test]
    fn every_kind_of_problem_is_found() {
        let lost = chart(&[("a", vec![(on("E"), 1)]), ("b", vec![(on("E"), 1)])]);
        assert_eq!(kinds(&lost), ["unreachable"]);
        let stuck = chart(&[("a", vec![(on("E"), 2)]), ("b", vec![])]);
        assert_eq!(kinds(&stuck), ["dead end"]);
        let hidden = chart(&[
            ("a", vec![(on("E"), 2), (on("E"), 1)]),
            ("b", vec![(on("E"), 1)]),
        ]);
        assert_eq!(kinds(&hidden), ["shadowed"]);
        let round = chart(&[
            ("a", vec![(Trigger::Always, 2)]),
            ("b", vec![(Trigger::Always, 1)]),
        ]);
        assert_eq!(kinds(&round), ["circle"]);
        let mut deaf = chart(&[("a", vec![(on("E"), 2)]), ("b", vec![(on("E"), 1)])]);
        deaf.raised = vec![("E".to_owned(), Place::default())];
        assert_eq!(kinds(&deaf), Vec::<&str>::new());
        deaf.raised.push(("F".to_owned(), Place::default()));
        assert_eq!(kinds(&deaf), ["unhandled"]);
        let mut lone = chart(&[("a", vec![(on("E"), 2)]), ("b", vec![(on("E"), 1)])]);
        lone.states[1].transitions[0].targets = vec![1, 2];
        assert_eq!(kinds(&lone), ["targets"]);
        lone.states[0].initial.targets.clear();
        assert_eq!(kinds(&lone), ["initial", "targets"]);
    }

    #[test]
    fn a_problem_says_where_what_and_what_would_be_right() {
        let mut model = chart(&[("a", vec![(on("E"), 1)])]);
        model.states[0].initial.targets.clear();
        model.states[0].place = Place { line: 3, column: 7 };
        let text = check(&model)[0].to_string();
        assert_eq!(
            text,
            "3:7: error [initial]: \"m\" has no initial state; name the child it begins in"
        );
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("state", "stat"), 1);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("", "abc"), 3);
    }
}
