//! Second pass: names become numbers, and everything wrong is said at the word that is wrong.

use crate::parse::{self, Kind, Trigger};
use proc_macro2::Span;
use std::collections::HashMap;
use syn::spanned::Spanned;
use syn::{Block, Expr, Ident, LitStr};

/// A chart's states in document order; 0 is the chart itself.
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// How many states have `after` transitions' timers, over all.
    pub(crate) timers: usize,
    /// What states invoke, by number.
    pub(crate) invocations: Vec<Invocation>,
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
    /// What runs when it begins with its initial state.
    pub(crate) begin: Option<Block>,
    pub(crate) exit: Vec<Block>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) output: Option<Expr>,
    pub(crate) meta: Option<Expr>,
    pub(crate) arrows: Vec<Arrow>,
    /// The leaves below, by their numbers among the leaves.
    pub(crate) leaves: std::ops::Range<usize>,
}

pub(crate) struct Invocation {
    pub(crate) name: Ident,
    /// The state that invokes it.
    pub(crate) owner: usize,
    pub(crate) source: Expr,
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
    /// The state is complete; a pattern of what its final state gives.
    Done(Option<syn::Pat>),
    /// What was invoked has ended.
    Ended {
        number: usize,
        is_done: bool,
        pattern: Option<syn::Pat>,
    },
    /// The timer's number and its delay.
    After(usize, Expr),
}

impl Cause {
    /// Whether it is an event of the chart's type.
    pub(crate) fn is_event(&self) -> bool {
        matches!(self, Self::On(_) | Self::After(..) | Self::Ended { .. })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub(crate) fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }
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

    /// The final states directly inside of `s` that say what they give.
    pub(crate) fn outputs(&self, s: usize) -> impl Iterator<Item = (usize, &Expr)> {
        let children = self.nodes[s].children.iter();
        children.filter_map(|&child| Some((child, self.nodes[child].output.as_ref()?)))
    }

    /// The final states of the chart itself.
    pub(crate) fn ends(&self) -> impl Iterator<Item = usize> {
        let children = self.nodes[0].children.iter().copied();
        children.filter(|&child| matches!(self.nodes[child].kind, Sort::Final))
    }

    /// What `s` invokes, by number.
    pub(crate) fn invoked(&self, s: usize) -> impl Iterator<Item = (usize, &Invocation)> {
        let all = self.invocations.iter().enumerate();
        all.filter(move |(_, invocation)| invocation.owner == s)
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
            let hint = hint(&text, self.states.keys());
            errors.add(
                name.span(),
                format!("no state `{text}` in this chart{hint}"),
            );
        }
        found
    }
}

/// The known name that is nearest to `text`, if it is near.
fn hint<'a>(text: &str, known: impl Iterator<Item = &'a String>) -> String {
    let nearest = known.map(|known| (distance(known, text), known));
    match nearest.min() {
        Some((far, known)) if far <= 2 => format!("; did you mean `{known}`?"),
        _ => String::new(),
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
    body: parse::Body,
    children: Vec<usize>,
}

fn flatten(state: parse::State, parent: Option<usize>, drafts: &mut Vec<Draft>) {
    let me = drafts.len();
    let mut body = state.body;
    let states = std::mem::take(&mut body.states);
    drafts.push(Draft {
        name: state.name,
        kind: state.kind,
        parent,
        body,
        children: Vec::new(),
    });
    if let Some(parent) = parent {
        drafts[parent].children.push(me);
    }
    for child in states {
        flatten(child, Some(me), drafts);
    }
}

/// Resolves the names of a chart.
pub(crate) fn analyze(chart: &parse::Chart, body: parse::Body) -> syn::Result<Tree> {
    let mut drafts = Vec::new();
    let root = parse::State {
        name: chart.name.clone(),
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
        invocations: Vec::new(),
        needs_kernel: false,
    };
    let kinds: Vec<bool> = (drafts.iter())
        .map(|draft| matches!(draft.kind, Kind::History { .. }))
        .collect();
    let mut pending = Vec::new();
    for (s, draft) in drafts.into_iter().enumerate() {
        let kind = sort(s, &draft, &kinds, &names, &mut errors);
        say(s, &draft, chart, &mut errors);
        let body = draft.body;
        for invocation in body.invoke {
            invoke(s, invocation, chart, &mut tree, &mut errors);
        }
        tree.nodes.push(Node {
            name: draft.name,
            parent: draft.parent,
            children: draft.children,
            kind,
            entry: body.entry,
            begin: body.begin,
            exit: body.exit,
            tags: body.tags,
            output: body.output.map(|said| said.value),
            meta: body.meta.map(|said| said.value),
            arrows: Vec::new(),
            leaves: 0..0,
        });
        pending.push(body.transitions);
    }
    if let Some(output) = &chart.output {
        if tree.ends().next().is_none() {
            let what = "no final state of the chart itself gives this output";
            errors.add(output.span(), what);
        }
        for end in tree.ends().filter(|&end| tree.nodes[end].output.is_none()) {
            let name = &tree.nodes[end].name;
            let what = format!("`{name}` ends the chart without its `output VALUE;`");
            errors.add(name.span(), what);
        }
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
            arrow(s, transition, chart, &mut tree, &names, &mut errors);
        }
    }
    let is_parallel = |node: &Node| matches!(node.kind, Sort::Parallel);
    tree.needs_kernel |= tree.nodes.iter().any(is_parallel);
    match errors.0 {
        Some(errors) => Err(errors),
        None => Ok(tree),
    }
}

/// What a state says of itself, if it may.
fn say(s: usize, draft: &Draft, chart: &parse::Chart, errors: &mut Errors) {
    if let Some(output) = &draft.body.output {
        if draft.kind != Kind::Final {
            errors.add(output.place, "only a final state has an output");
        } else if draft.parent == Some(0) && chart.output.is_none() {
            let what = "the chart's own output needs its type: say `output: TYPE` in the head";
            errors.add(output.place, what);
        }
    }
    if let Some(meta) = &draft.body.meta {
        if chart.meta.is_none() {
            let what = "`meta` needs a type: say `meta: TYPE` in the chart's head";
            errors.add(meta.place, what);
        } else if s == 0 {
            errors.add(meta.place, "`meta` is a state's, not the chart's own");
        }
    }
}

fn invoke(
    owner: usize,
    invocation: parse::Invocation,
    chart: &parse::Chart,
    tree: &mut Tree,
    errors: &mut Errors,
) {
    let name = invocation.name;
    if chart.invoke.is_none() {
        let what = "`invoke` needs an event for its end: give the event type a variant that \
                    holds a `mainspring::ChildEnded`, and say `invoke: Event::Variant` in the chart's head";
        errors.add(invocation.place, what);
    }
    if tree.invocations.iter().any(|other| other.name == name) {
        let what = format!("a second `invoke {name}`; names are the chart's own");
        errors.add(name.span(), what);
    }
    tree.invocations.push(Invocation {
        name,
        owner,
        source: invocation.source,
    });
}

/// What waits for the final states inside of `s`, with a pattern of their output.
fn done(s: usize, pattern: Option<&syn::Pat>, place: Span, tree: &Tree, errors: &mut Errors) {
    let node = &tree.nodes[s];
    if let Some(lacks) = tree.never_completes(s).or((s == 0).then_some(s)) {
        let what = format!("`{}` has no final state inside", tree.nodes[lacks].name);
        errors.add(place, what);
        return;
    }
    let Some(pattern) = pattern else { return };
    if let Sort::Parallel = node.kind {
        let what = format!("`{}` is parallel and gives no output", node.name);
        errors.add(pattern.span(), what);
        return;
    }
    let finals = node.children.iter().map(|&child| &tree.nodes[child]);
    for silent in finals.filter(|child| matches!(child.kind, Sort::Final)) {
        if silent.output.is_none() {
            let what = format!(
                "`{}` completes `{}` without an `output VALUE;`",
                silent.name, node.name
            );
            errors.add(pattern.span(), what);
        }
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
            if let Some(initial) = &draft.body.initial {
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
                && let Some(transition) = draft.body.transitions.first()
            {
                let what = "a final state of the chart itself ends it and takes no events";
                errors.add(transition.place, what);
            }
            Sort::Final
        }
        Kind::State if has_substates => {
            let Some(initial) = &draft.body.initial else {
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
            if let Some(initial) = &draft.body.initial {
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
    chart: &parse::Chart,
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
        Trigger::Done(pattern) => {
            done(s, pattern.as_ref(), place, tree, errors);
            Cause::Done(pattern)
        }
        Trigger::Ended {
            name,
            is_done,
            pattern,
        } => {
            let mut all = tree.invocations.iter();
            let number = all.position(|known| known.name == name);
            if number.is_none() {
                let known: Vec<String> = (tree.invocations.iter())
                    .map(|known| known.name.to_string())
                    .collect();
                let hint = hint(&name.to_string(), known.iter());
                errors.add(name.span(), format!("nothing invokes `{name}`{hint}"));
            }
            Cause::Ended {
                number: number.unwrap_or(0),
                is_done,
                pattern,
            }
        }
        Trigger::After(delay) => {
            if chart.after.is_none() {
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
