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
    /// Enter what a history remembers, or its default.
    Restore(usize),
    /// The new leaf.
    Rest(usize),
    /// A final state was entered: its parent is complete.
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
    let path: Vec<usize> = tree
        .up(target)
        .take_while(|&at| Some(at) != domain)
        .collect();
    for &state in path.iter().rev() {
        match tree.nodes[state].kind {
            Sort::History { .. } => {
                ops.push(Op::Restore(state));
                return;
            }
            _ => ops.push(Op::Enter(state)),
        }
    }
    begin(tree, target, ops);
}

/// From an entered state down to its leaf.
fn begin(tree: &Tree, state: usize, ops: &mut Vec<Op>) {
    let mut at = state;
    loop {
        match tree.nodes[at].kind {
            Sort::Compound { initial } => {
                at = initial;
                ops.push(Op::Enter(at));
            }
            Sort::Final => {
                ops.push(Op::Rest(at));
                match tree.nodes[at].parent {
                    Some(0) | None => ops.push(Op::Finish(at)),
                    Some(parent) => ops.push(Op::Complete(parent)),
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
    enter(tree, parent, if deep { leaf } else { child }, &mut ops);
    ops
}

/// What a history enters that remembers nothing.
pub(crate) fn default(tree: &Tree, history: usize, default: usize) -> Vec<Op> {
    let parent = tree.nodes[history].parent;
    let mut ops = Vec::new();
    match (default, parent) {
        (0, Some(parent)) => begin(tree, parent, &mut ops),
        _ => enter(tree, parent, default, &mut ops),
    }
    ops
}
