//! Which rank each node is in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{GAP, LANE, Pin};

/// The edges with those turned round that a depth-first search finds to lead back.
pub(super) fn acyclic(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (nth, &(from, _)) in edges.iter().enumerate() {
        out[from].push(nth);
    }
    let mut forward = edges.to_vec();
    let mut seen = vec![Seen::No; count];
    let mut is_entered = vec![false; count];
    for &(_, to) in edges {
        is_entered[to] = true;
    }
    let (roots, others): (Vec<usize>, Vec<usize>) = (0..count).partition(|&n| !is_entered[n]);
    for root in roots.into_iter().chain(others) {
        if seen[root] != Seen::No {
            continue;
        }
        let mut stack = vec![(root, 0)];
        seen[root] = Seen::Open;
        while let Some((node, next)) = stack.last_mut() {
            let Some(&edge) = out[*node].get(*next) else {
                seen[*node] = Seen::Done;
                stack.pop();
                continue;
            };
            *next += 1;
            let to = edges[edge].1;
            match seen[to] {
                Seen::No => {
                    seen[to] = Seen::Open;
                    stack.push((to, 0));
                }
                Seen::Open => forward[edge] = (to, edges[edge].0),
                Seen::Done => {}
            }
        }
    }
    forward
}

/// Each node's rank: the longest path to it, then as near to what follows as that allows.
pub(super) fn ranks(
    count: usize,
    edges: &[(usize, usize)],
    pin: impl Fn(usize) -> Pin,
) -> Vec<usize> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut into = vec![0; count];
    for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
        out[from].push(to);
        into[to] += 1;
    }
    let mut ranks = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|&n| into[n] == 0).collect();
    let mut at = 0;
    while at < ready.len() {
        let node = ready[at];
        at += 1;
        for &to in &out[node] {
            ranks[to] = ranks[to].max(ranks[node] + 1);
            into[to] -= 1;
            if into[to] == 0 {
                ready.push(to);
            }
        }
    }
    beside_the_next(&mut ranks, &ready, &out, &pin);
    ranks
}

/// Puts each node that nothing leads to right above what it leads to, and the pinned at the edge.
fn beside_the_next(
    ranks: &mut [usize],
    downwards: &[usize],
    out: &[Vec<usize>],
    pin: &impl Fn(usize) -> Pin,
) {
    let mut is_entered = vec![false; ranks.len()];
    for &to in out.iter().flatten() {
        is_entered[to] = true;
    }
    for &node in downwards.iter().rev() {
        let next = out[node].iter().map(|&to| ranks[to]).min();
        if let Some(next) = next
            && !is_entered[node]
            && pin(node) != Pin::Top
        {
            ranks[node] = next - 1;
        }
    }
    let last = ranks.iter().copied().max().unwrap_or(0);
    for (node, rank) in ranks.iter_mut().enumerate() {
        if pin(node) == Pin::Bottom {
            *rank = last;
        }
    }
}

/// Ranks no wider than `width_max` where that can be: what was reached last goes on first, so that
/// a label's target is right below it.
///
/// O((nodes + edges) log nodes).
pub(super) fn narrowed(
    sizes: &[(f64, f64)],
    edges: &[(usize, usize)],
    pin: impl Fn(usize) -> Pin,
    width_max: f64,
) -> Vec<usize> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); sizes.len()];
    let mut into = vec![0; sizes.len()];
    for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
        out[from].push(to);
        into[to] += 1;
    }
    let entered = into.clone();
    let mut ranks = vec![0; sizes.len()];
    let mut ready: BinaryHeap<(usize, Reverse<usize>)> = (0..sizes.len())
        .filter(|&n| into[n] == 0)
        .map(|n| (usize::from(pin(n) == Pin::Top), Reverse(n)))
        .collect();
    let mut downwards = Vec::with_capacity(sizes.len());
    // Edges that have begun and lead on below the rank.
    let mut open = 0_usize;
    let mut rank = 0;
    while !ready.is_empty() {
        // However many edges pass, half of the width is for nodes.
        let room = (width_max - open as f64 * LANE).max(width_max / 2.0);
        let mut taken = Vec::new();
        let mut width = 0.0;
        while let Some(&(_, Reverse(node))) = ready.peek() {
            width += sizes[node].0 + GAP.0;
            if !taken.is_empty() && width > room && pin(node) != Pin::Top {
                break;
            }
            ready.pop();
            taken.push(node);
        }
        for &node in &taken {
            ranks[node] = rank;
            open += out[node].len();
            open -= entered[node];
            for &to in &out[node] {
                into[to] -= 1;
                if into[to] == 0 {
                    ready.push((rank + 1, Reverse(to)));
                }
            }
        }
        downwards.extend(taken);
        rank += 1;
    }
    beside_the_next(&mut ranks, &downwards, &out, &pin);
    ranks
}
