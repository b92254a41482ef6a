//! Second pass: names become numbers, and everything wrong is said at the word that is wrong.

use crate::parse::{self, Kind, Trigger};
use proc_macro2::Span;
use std::collections::HashMap;
use syn::{Block, Expr, Ident, LitStr};

/// A chart's states in document order; 0 is the chart itself.
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// How many states have `after` transitions' timers, over all.
    pub(crate) timers: usize,
    /// Whether a configuration may have several leaves, or a transition's domain is known only
    /// when it is taken: the kernel runs such a chart.
    pub(crate) needs_kernel: bool,
}

pub(crate) struct Node {
    pub(crate) name: Ident,
    pub(crate) parent: Option<usize>,
    pub(crate) children: Vec<usize>,
    pub(crate) kind: Sort,
    pub(crate) entry: Vec<Block>,
    pub(crate) exit: Vec<Block>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) arrows: Vec<Arrow>,
    /// The leaves below, by their numbers among the leaves.
    pub(crate) leaves: std::ops::Range<usize>,
}

pub(crate) enum Sort {
    Leaf,
    Final,
    Compound { initial: usize },
    Parallel,
    History { deep: bool, default: usize },
}

pub(crate) enum Cause {
    On(syn::Pat),
    Always,
    Done,
    /// The timer's number and its delay.
    After(usize, Expr),
}

pub(crate) struct Arrow {
    pub(crate) cause: Cause,
    pub(crate) guard: Option<Expr>,
    pub(crate) reenter: bool,
    pub(crate) target: Option<usize>,
    /// Further targets, in other regions.
    pub(crate) beside: Vec<usize>,
    pub(crate) action: Option<Block>,
}

impl Tree {
    /// The state and all around it, inside out.
    pub(crate) fn up(&self, state: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(state), |&at| self.nodes[at].parent)
    }

    /// Whether `inner` is `outer` or lies in it.
    pub(crate) fn is_within(&self, inner: usize, outer: usize) -> bool {
        self.up(inner).any(|at| at == outer)
    }

    /// All leaves in document order.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&s| matches!(self.nodes[s].kind, Sort::Leaf | Sort::Final))
    }

    /// The place of the history state `state` among all, for its memory.
    pub(crate) fn memory(&self, state: usize) -> usize {
        self.histories().take_while(|&other| other != state).count()
    }

    pub(crate) fn histories(&self) -> impl Iterator<Item = usize> + '_ {
        let is_history = |s: &usize| matches!(self.nodes[*s].kind, Sort::History { .. });
        (0..self.nodes.len()).filter(is_history)
    }

    /// Whether both states can be active at once, neither in the other.
    fn may_join(&self, a: usize, b: usize) -> bool {
        let common = self.up(a).find(|&at| self.is_within(b, at));
        let is_parallel = |at: usize| matches!(self.nodes[at].kind, Sort::Parallel);
        common.is_some_and(|at| at != a && at != b && is_parallel(at))
    }

    /// A state inside of `s`, or itself, for want of whose final state `s` is never complete.
    fn never_completes(&self, s: usize) -> Option<usize> {
        let kind = |child: &usize| &self.nodes[*child].kind;
        let mut children = self.nodes[s].children.iter();
        match self.nodes[s].kind {
            Sort::Final | Sort::History { .. } => None,
            Sort::Parallel => children.find_map(|&child| self.never_completes(child)),
            _ => (!children.any(|child| matches!(kind(child), Sort::Final))).then_some(s),
        }
    }

    pub(crate) fn has(&self, is: impl Fn(&Cause) -> bool) -> bool {
        let mut arrows = self.nodes.iter().flat_map(|node| &node.arrows);
        arrows.any(|arrow| is(&arrow.cause))
    }
}

/// What is wrong, together.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn add(&mut self, place: Span, what: impl std::fmt::Display) {
        let error = syn::Error::new(place, what);
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }
}

struct Names {
    states: HashMap<String, usize>,
}

impl Names {
    fn find(&self, name: &Ident, errors: &mut Errors) -> Option<usize> {
        let text = name.to_string();
        let found = self.states.get(&text).copied();
        if found.is_none() {
            let nearest = self
                .states
                .keys()
                .map(|known| (distance(known, &text), known));
            let hint = match nearest.min() {
                Some((far, known)) if far <= 2 => format!("; did you mean `{known}`?"),
                _ => String::new(),
            };
            errors.add(
                name.span(),
                format!("no state `{text}` in this chart{hint}"),
            );
        }
        found
    }
}

/// How many letters must be changed, left out or put in.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// What of a state waits until all names are known.
struct Draft {
    name: Ident,
    kind: Kind,
    parent: Option<usize>,
    initial: Option<Ident>,
    transitions: Vec<parse::Transition>,
    entry: Vec<Block>,
    exit: Vec<Block>,
    tags: Vec<LitStr>,
    children: Vec<usize>,
}

fn flatten(state: parse::State, parent: Option<usize>, drafts: &mut Vec<Draft>) {
    let me = drafts.len();
    let body = state.body;
    drafts.push(Draft {
        name: state.name,
        kind: state.kind,
        parent,
        initial: body.initial,
        transitions: body.transitions,
        entry: body.entry,
        exit: body.exit,
        tags: body.tags,
        children: Vec::new(),
    });
    if let Some(parent) = parent {
        drafts[parent].children.push(me);
    }
    for child in body.states {
        flatten(child, Some(me), drafts);
    }
}

/// Resolves the names of a chart.
pub(crate) fn analyze(name: &Ident, body: parse::Body, has_after: bool) -> syn::Result<Tree> {
    let mut drafts = Vec::new();
    let root = parse::State {
        name: name.clone(),
        kind: Kind::State,
        body,
    };
    flatten(root, None, &mut drafts);
    let mut errors = Errors::default();
    let mut names = Names {
        states: HashMap::new(),
    };
    for (s, draft) in drafts.iter().enumerate().skip(1) {
        if names.states.insert(draft.name.to_string(), s).is_some() {
            let what = format!("a second state `{}`; names are the chart's own", draft.name);
            errors.add(draft.name.span(), what);
        }
    }
    let mut tree = Tree {
        nodes: Vec::new(),
        timers: 0,
        needs_kernel: false,
    };
    let kinds: Vec<bool> = (drafts.iter())
        .map(|draft| matches!(draft.kind, Kind::History { .. }))
        .collect();
    let mut pending = Vec::new();
    for (s, draft) in drafts.into_iter().enumerate() {
        let kind = sort(s, &draft, &kinds, &names, &mut errors);
        tree.nodes.push(Node {
            name: draft.name,
            parent: draft.parent,
            children: draft.children,
            kind,
            entry: draft.entry,
            exit: draft.exit,
            tags: draft.tags,
            arrows: Vec::new(),
            leaves: 0..0,
        });
        pending.push(draft.transitions);
    }
    let mut count = 0;
    for s in 0..tree.nodes.len() {
        let is_leaf = matches!(tree.nodes[s].kind, Sort::Leaf | Sort::Final);
        if is_leaf {
            let above: Vec<usize> = tree.up(s).collect();
            for at in above {
                let leaves = &mut tree.nodes[at].leaves;
                let start = if leaves.start == leaves.end {
                    count
                } else {
                    leaves.start
                };
                *leaves = start..count + 1;
            }
            count += 1;
        }
    }
    for (s, transitions) in pending.into_iter().enumerate() {
        for transition in transitions {
            arrow(s, transition, has_after, &mut tree, &names, &mut errors);
        }
    }
    let is_parallel = |node: &Node| matches!(node.kind, Sort::Parallel);
    tree.needs_kernel |= tree.nodes.iter().any(is_parallel);
    match errors.0 {
        Some(errors) => Err(errors),
        None => Ok(tree),
    }
}

fn sort(s: usize, draft: &Draft, histories: &[bool], names: &Names, errors: &mut Errors) -> Sort {
    let name = &draft.name;
    let substates = draft.children.iter().filter(|&&child| !histories[child]);
    let has_substates = substates.count() > 0;
    match &draft.kind {
        Kind::Parallel => {
            if !has_substates {
                let what = format!("`{name}` is parallel and has no states inside to run");
                errors.add(name.span(), what);
            }
            if let Some(initial) = &draft.initial {
                let what = format!("`{name}` is parallel: it begins with all states inside");
                errors.add(initial.span(), what);
            }
            Sort::Parallel
        }
        Kind::History { deep, default } => {
            let default = default.as_ref().and_then(|name| names.find(name, errors));
            Sort::History {
                deep: *deep,
                // None given: what its parent begins with, found when it is lowered.
                default: default.unwrap_or(0),
            }
        }
        Kind::Final => {
            if !draft.children.is_empty() {
                errors.add(name.span(), "a final state has no states inside");
            }
            if draft.parent == Some(0)
                && let Some(transition) = draft.transitions.first()
            {
                let what = "a final state of the chart itself ends it and takes no events";
                errors.add(transition.place, what);
            }
            Sort::Final
        }
        Kind::State if has_substates => {
            let Some(initial) = &draft.initial else {
                let what = format!("`{name}` has states inside, but no `initial STATE;`");
                errors.add(name.span(), what);
                return Sort::Compound { initial: s };
            };
            let found = names.find(initial, errors).unwrap_or(s);
            if found != s && (!draft.children.contains(&found) || histories[found]) {
                let what = format!("`{initial}` is not a state directly inside `{name}`");
                errors.add(initial.span(), what);
            }
            Sort::Compound { initial: found }
        }
        Kind::State => {
            if s == 0 {
                errors.add(name.span(), "a chart without states");
            }
            if let Some(initial) = &draft.initial {
                let what = format!("`{name}` has no states inside to begin with");
                errors.add(initial.span(), what);
            } else if let Some(&child) = draft.children.first() {
                let _ = child;
                errors.add(name.span(), "a history needs states beside it to remember");
            }
            Sort::Leaf
        }
    }
}

fn arrow(
    s: usize,
    transition: parse::Transition,
    has_after: bool,
    tree: &mut Tree,
    names: &Names,
    errors: &mut Errors,
) {
    let place = transition.place;
    let (mut found, mut beside) = (None, Vec::new());
    for name in &transition.targets {
        let Some(to) = names.find(name, errors) else {
            continue;
        };
        if let Sort::History { .. } = tree.nodes[to].kind
            && let Some(parent) = tree.nodes[to].parent
            && tree.is_within(s, parent)
        {
            tree.needs_kernel = true;
        }
        let Some(first) = found else {
            found = Some(to);
            continue;
        };
        let others = std::iter::once(first).chain(beside.iter().copied());
        if let Some(other) = others.into_iter().find(|&other| !tree.may_join(other, to)) {
            let what = format!(
                "`{name}` and `{}` are never active together",
                tree.nodes[other].name
            );
            errors.add(name.span(), what);
        }
        beside.push(to);
    }
    let leads_nowhere = transition.targets.is_empty();
    if transition.reenter && leads_nowhere {
        errors.add(place, "`reenter` needs a state to enter");
    }
    let cause = match transition.trigger {
        Trigger::On(pattern) => Cause::On(pattern),
        Trigger::Always => {
            let stays = found == Some(s) && !transition.reenter;
            if (leads_nowhere || stays) && transition.guard.is_none() {
                let what = "an `always` without `if` that leads nowhere would be taken for ever";
                errors.add(place, what);
            }
            Cause::Always
        }
        Trigger::Done => {
            if let Some(lacks) = tree.never_completes(s).or((s == 0).then_some(s)) {
                let what = format!("`{}` has no final state inside", tree.nodes[lacks].name);
                errors.add(place, what);
            }
            Cause::Done
        }
        Trigger::After(delay) => {
            if !has_after {
                let what = "`after` needs an event to send: give the event type a variant that \
                            holds a number, and say `after: Event::Variant` in the chart's head";
                errors.add(place, what);
            }
            tree.timers += 1;
            Cause::After(tree.timers - 1, delay)
        }
    };
    tree.nodes[s].arrows.push(Arrow {
        cause,
        guard: transition.guard,
        reenter: transition.reenter,
        target: found,
        beside,
        action: transition.action,
    });
}
