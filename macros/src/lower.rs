//! Third pass: what each transition leaves, does and enters, as far as that is known ahead.

use crate::analyze::{Arrow, Sort, Tree};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// Leave all active states inside of this one, whichever they are.
    LeaveBelow(usize),
    Leave(usize),
    /// The transition's own body.
    Act,
    Enter(usize),
    /// What runs when the state begins with its initial one.
    Begin(usize),
    /// Enter what a history remembers, or its default.
    Restore(usize),
    /// The new leaf.
    Rest(usize),
    /// This final state was entered: the state around it is complete.
    Complete(usize),
    /// A final state of the chart itself was entered.
    Finish(usize),
}

/// What to do for `arrow` out of `source`.
pub(crate) fn transition(tree: &Tree, source: usize, arrow: &Arrow) -> Vec<Op> {
    let Some(target) = arrow.target else {
        return vec![Op::Act];
    };
    let domain = domain(tree, source, target, arrow.reenter);
    let mut ops = Vec::new();
    let stays = !arrow.reenter && target == source;
    let is_leaf = matches!(tree.nodes[source].kind, Sort::Leaf | Sort::Final);
    if !is_leaf {
        ops.push(Op::LeaveBelow(source));
    }
    let left = tree.up(source).take_while(|&at| Some(at) != domain);
    ops.extend(left.map(Op::Leave));
    ops.push(Op::Act);
    if stays {
        if !is_leaf {
            begin(tree, source, &mut ops);
        }
        return ops;
    }
    enter(tree, domain, target, &mut ops);
    ops
}

/// The innermost state that a transition does not leave; none if the chart itself is left.
fn domain(tree: &Tree, source: usize, target: usize, reenter: bool) -> Option<usize> {
    if !reenter && tree.is_within(target, source) {
        return Some(source);
    }
    tree.up(source)
        .skip(1)
        .find(|&at| at != target && tree.is_within(target, at))
}

/// Enters `target` from inside `domain`, and what it begins with.
pub(crate) fn enter(tree: &Tree, domain: Option<usize>, target: usize, ops: &mut Vec<Op>) {
    if reach(tree, domain, target, ops) {
        ops.push(Op::Begin(target));
        begin(tree, target, ops);
    }
}

/// Enters the states down to `target`; gives whether that is one, not a history.
fn reach(tree: &Tree, domain: Option<usize>, target: usize, ops: &mut Vec<Op>) -> bool {
    let path: Vec<usize> = tree
        .up(target)
        .take_while(|&at| Some(at) != domain)
        .collect();
    for &state in path.iter().rev() {
        match tree.nodes[state].kind {
            Sort::History { .. } => {
                ops.push(Op::Restore(state));
                return false;
            }
            _ => ops.push(Op::Enter(state)),
        }
    }
    true
}

/// Enters `target` and what it begins with, but not as a target: its initial action does not run.
fn resume(tree: &Tree, domain: Option<usize>, target: usize, ops: &mut Vec<Op>) {
    if reach(tree, domain, target, ops) {
        begin(tree, target, ops);
    }
}

/// From an entered state down to its leaf.
fn begin(tree: &Tree, state: usize, ops: &mut Vec<Op>) {
    let mut at = state;
    loop {
        match tree.nodes[at].kind {
            Sort::Compound { initial } => {
                at = initial;
                ops.push(Op::Enter(at));
                ops.push(Op::Begin(at));
            }
            Sort::Final => {
                ops.push(Op::Rest(at));
                match tree.nodes[at].parent {
                    Some(0) | None => ops.push(Op::Finish(at)),
                    Some(_) => ops.push(Op::Complete(at)),
                }
                return;
            }
            _ => {
                ops.push(Op::Rest(at));
                return;
            }
        }
    }
}

/// What a history enters if its parent was last left from `leaf`.
pub(crate) fn restore(tree: &Tree, history: usize, deep: bool, leaf: usize) -> Vec<Op> {
    let parent = tree.nodes[history].parent;
    let mut ops = Vec::new();
    let child = tree
        .up(leaf)
        .take_while(|&at| Some(at) != parent)
        .last()
        .unwrap_or(leaf);
    resume(tree, parent, if deep { leaf } else { child }, &mut ops);
    ops
}

/// What a history enters that remembers nothing.
pub(crate) fn default(tree: &Tree, history: usize, default: usize) -> Vec<Op> {
    let parent = tree.nodes[history].parent;
    let mut ops = Vec::new();
    match (default, parent) {
        (0, Some(around)) => {
            ops.push(Op::Begin(around));
            if let Sort::Compound { initial } = tree.nodes[around].kind {
                resume(tree, parent, initial, &mut ops);
            }
        }
        _ => resume(tree, parent, default, &mut ops),
    }
    ops
}
