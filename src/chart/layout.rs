//! Layered layout of a directed graph, top to bottom (Sugiyama, Tagawa and Toda 1981).
//!
//! ```text
//!   edges ─▶ no cycles ─▶ ranks ─▶ a dummy in every rank an edge crosses ─▶ order ─▶ places
//!            (a search's   (longest                                        (barycenters)
//!            back edges)    path)
//! ```
//!
//! Places within a rank are the least-squares answer to "be below your neighbors" that keeps the
//! order and the gaps: pool-adjacent-violators (Ayer and others 1955).

/// Space between nodes of a rank, and between ranks.
const GAP: (f64, f64) = (26.0, 28.0);
/// The width that an edge takes where it passes a rank.
const LANE: f64 = 12.0;
const ORDER_SWEEPS: usize = 12;
const PLACE_SWEEPS: usize = 10;

/// Where everything is.
pub(crate) struct Layout {
    /// The middle of each node.
    pub(crate) at: Vec<(f64, f64)>,
    /// For each edge the points it passes between its ends, from source to target.
    pub(crate) bends: Vec<Vec<(f64, f64)>>,
    /// Width and height of the whole.
    pub(crate) size: (f64, f64),
}

/// Where a node has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pin {
    Free,
    /// In the first rank; edges only lead away from it.
    Top,
    /// In the last rank; edges only lead to it.
    Bottom,
}

/// Which of the edges lead down when these nodes are laid out; the others lead back up.
pub(crate) fn leads_down(count: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let forward = acyclic(count, edges);
    edges.iter().zip(&forward).map(|(a, b)| a == b).collect()
}

/// Lays out nodes of these sizes; what no edge leads to is at the top, then earlier nodes before
/// later ones where the edges allow it.
///
/// O(sweeps × (nodes + edges × ranks crossed)).
pub(crate) fn layered(
    sizes: &[(f64, f64)],
    edges: &[(usize, usize)],
    pin: impl Fn(usize) -> Pin,
) -> Layout {
    let forward = acyclic(sizes.len(), edges);
    let ranks = ranks(sizes.len(), &forward, pin);
    let mut nodes: Vec<(f64, f64)> = sizes.to_vec();
    let mut rank_of = ranks;
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); sizes.len()];
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); sizes.len()];
    let mut lanes: Vec<Vec<usize>> = Vec::with_capacity(edges.len());
    for &(from, to) in &forward {
        let mut lane = Vec::new();
        let mut last = from;
        if from != to {
            for rank in rank_of[from] + 1..rank_of[to] {
                let dummy = nodes.len();
                nodes.push((LANE, 0.0));
                rank_of.push(rank);
                above.push(vec![last]);
                below.push(Vec::new());
                below[last].push(dummy);
                lane.push(dummy);
                last = dummy;
            }
            below[last].push(to);
            above[to].push(last);
        }
        lanes.push(lane);
    }
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for (node, &rank) in rank_of.iter().enumerate() {
        if layers.len() <= rank {
            layers.resize(rank + 1, Vec::new());
        }
        layers[rank].push(node);
    }
    order(&mut layers, &above, &below);
    let x = places(&layers, &nodes, &above, &below);
    let mut y = vec![0.0; nodes.len()];
    let mut half = vec![0.0; nodes.len()];
    let mut top = 0.0;
    for layer in &layers {
        let height = layer.iter().map(|&n| nodes[n].1).fold(0.0, f64::max);
        for &node in layer {
            y[node] = top + height / 2.0;
            half[node] = height / 2.0;
        }
        top += height + GAP.1;
    }
    let left = (0..nodes.len())
        .map(|n| x[n] - nodes[n].0 / 2.0)
        .fold(f64::INFINITY, f64::min);
    let right = (0..nodes.len())
        .map(|n| x[n] + nodes[n].0 / 2.0)
        .fold(f64::NEG_INFINITY, f64::max);
    let point = |n: usize| (x[n] - left, y[n]);
    let bends = edges.iter().zip(&forward).zip(&lanes);
    let bends = bends.map(|((edge, forward), lane)| {
        // Straight down through the rank, so that it passes the boxes beside it.
        let mut points: Vec<_> = lane
            .iter()
            .map(|&n| (point(n), half[n]))
            .flat_map(|((x, y), half)| [(x, y - half), (x, y + half)])
            .collect();
        if edge != forward {
            points.reverse();
        }
        points
    });
    Layout {
        at: (0..sizes.len()).map(point).collect(),
        bends: bends.collect(),
        size: if sizes.is_empty() {
            (0.0, 0.0)
        } else {
            (right - left, top - GAP.1)
        },
    }
}

/// The edges with those turned round that a depth-first search finds to lead back.
fn acyclic(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
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
fn ranks(count: usize, edges: &[(usize, usize)], pin: impl Fn(usize) -> Pin) -> Vec<usize> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut into = vec![0; count];
    for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
        out[from].push(to);
        into[to] += 1;
    }
    let mut ranks = vec![0; count];
    let has_source: Vec<bool> = into.iter().map(|&n| n > 0).collect();
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
    for &node in ready.iter().rev() {
        let next = out[node].iter().map(|&to| ranks[to]).min();
        if let Some(next) = next
            && !has_source[node]
            && pin(node) == Pin::Free
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
    ranks
}

/// Puts each node near the middle of its neighbors, down and up in turn.
fn order(layers: &mut [Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>]) {
    let mut place = vec![0.0; above.len()];
    let number = |layers: &[Vec<usize>], place: &mut Vec<f64>| {
        for layer in layers {
            for (nth, &node) in layer.iter().enumerate() {
                place[node] = nth as f64 - layer.len() as f64 / 2.0;
            }
        }
    };
    number(layers, &mut place);
    let mut best = (crossings(layers, below), layers.to_vec());
    for sweep in 0..ORDER_SWEEPS {
        let down = sweep % 2 == 0;
        let count = layers.len();
        for nth in 0..count {
            let layer = &mut layers[if down { nth } else { count - 1 - nth }];
            let near = if down { above } else { below };
            let mut keyed: Vec<(f64, usize)> = layer
                .iter()
                .map(|&node| {
                    let near = &near[node];
                    let sum: f64 = near.iter().map(|&n| place[n]).sum();
                    let key = if near.is_empty() {
                        place[node]
                    } else {
                        sum / near.len() as f64
                    };
                    (key, node)
                })
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (nth, &(_, node)) in keyed.iter().enumerate() {
                layer[nth] = node;
                place[node] = nth as f64 - keyed.len() as f64 / 2.0;
            }
        }
        let now = crossings(layers, below);
        if now < best.0 {
            best = (now, layers.to_vec());
        }
    }
    layers.clone_from_slice(&best.1);
}

/// How many pairs of edges cross between neighboring ranks.
fn crossings(layers: &[Vec<usize>], below: &[Vec<usize>]) -> usize {
    let mut place = vec![0; below.len()];
    for layer in layers {
        for (nth, &node) in layer.iter().enumerate() {
            place[node] = nth;
        }
    }
    let mut count = 0;
    for (layer, next) in layers.iter().zip(layers.iter().skip(1)) {
        // Counted as inversions with a Fenwick tree (Barth, Jünger and Mutzel 2002).
        let mut tree = vec![0; next.len() + 1];
        let mut total = 0;
        for &node in layer {
            let mut ends: Vec<usize> = below[node].iter().map(|&n| place[n]).collect();
            ends.sort_unstable();
            for &end in &ends {
                let mut at = end + 1;
                let mut before = 0;
                while at > 0 {
                    before += tree[at];
                    at &= at - 1;
                }
                count += total - before;
            }
            for &end in &ends {
                let mut at = end + 1;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                total += 1;
            }
        }
    }
    count
}

/// The x of each node's middle.
fn places(
    layers: &[Vec<usize>],
    nodes: &[(f64, f64)],
    above: &[Vec<usize>],
    below: &[Vec<usize>],
) -> Vec<f64> {
    let mut x = vec![0.0; nodes.len()];
    for layer in layers {
        let wanted = vec![0.0; layer.len()];
        settle(layer, &wanted, nodes, &mut x);
    }
    for sweep in 0..PLACE_SWEEPS {
        let down = sweep % 2 == 0;
        for nth in 0..layers.len() {
            let layer = &layers[if down { nth } else { layers.len() - 1 - nth }];
            let wanted: Vec<f64> = layer
                .iter()
                .map(|&node| {
                    // The last two sweeps look both ways.
                    let both = sweep + 2 >= PLACE_SWEEPS;
                    let up = if down || both { &above[node][..] } else { &[] };
                    let down = if !down || both { &below[node][..] } else { &[] };
                    let near = [up, down].concat();
                    let sum: f64 = near.iter().map(|&n| x[n]).sum();
                    if near.is_empty() {
                        x[node]
                    } else {
                        sum / near.len() as f64
                    }
                })
                .collect();
            settle(layer, &wanted, nodes, &mut x);
        }
    }
    x
}

/// Places a rank as near to what is wanted as order and gaps allow.
fn settle(layer: &[usize], wanted: &[f64], nodes: &[(f64, f64)], x: &mut [f64]) {
    // With the room taken out that nodes before need, only the order is left to keep.
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (nth, &node) in layer.iter().enumerate() {
        if nth > 0 {
            offset += (nodes[layer[nth - 1]].0 + nodes[node].0) / 2.0 + GAP.0;
        }
        offsets.push(offset);
    }
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (nth, &want) in wanted.iter().enumerate() {
        let mut pool = (want - offsets[nth], 1);
        while let Some(&(sum, count)) = pools.last() {
            if sum / (count as f64) <= pool.0 / pool.1 as f64 {
                break;
            }
            pools.pop();
            pool = (pool.0 + sum, pool.1 + count);
        }
        pools.push(pool);
    }
    let mut nth = 0;
    for (sum, count) in pools {
        for _ in 0..count {
            x[layer[nth]] = sum / count as f64 + offsets[nth];
            nth += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(layout: &Layout, sizes: &[(f64, f64)]) -> bool {
        (0..sizes.len()).any(|a| {
            (0..a).any(|b| {
                let apart_x = (layout.at[a].0 - layout.at[b].0).abs();
                let apart_y = (layout.at[a].1 - layout.at[b].1).abs();
                apart_x < (sizes[a].0 + sizes[b].0) / 2.0 - 0.01
                    && apart_y < (sizes[a].1 + sizes[b].1) / 2.0 - 0.01
            })
        })
    }

    #[test]
    fn nothing_overlaps_and_all_is_inside() {
        // Graphs from a small generator: 12 nodes, up to 30 edges, circles and self-loops too.
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..200 {
            let count = next(12) + 1;
            let sizes: Vec<(f64, f64)> = (0..count)
                .map(|_| (20.0 + next(150) as f64, 10.0 + next(90) as f64))
                .collect();
            let edges: Vec<(usize, usize)> =
                (0..next(30)).map(|_| (next(count), next(count))).collect();
            let layout = layered(&sizes, &edges, |_| Pin::Free);
            assert!(!overlap(&layout, &sizes), "{sizes:?} {edges:?}");
            for (at, size) in layout.at.iter().zip(&sizes) {
                assert!(at.0 >= size.0 / 2.0 - 0.01 && at.1 >= size.1 / 2.0 - 0.01);
                assert!(at.0 + size.0 / 2.0 <= layout.size.0 + 0.01);
                assert!(at.1 + size.1 / 2.0 <= layout.size.1 + 0.01);
            }
        }
    }

    #[test]
    fn an_edge_leads_down_and_the_way_back_up() {
        let layout = layered(&[(40.0, 20.0); 3], &[(0, 1), (1, 2), (2, 0)], |_| Pin::Free);
        assert!(layout.at[0].1 < layout.at[1].1 && layout.at[1].1 < layout.at[2].1);
        assert_eq!(layout.bends[2].len(), 2, "it passes the middle rank");
    }

    #[test]
    fn crossings_are_counted_and_taken_out() {
        let below = vec![vec![3], vec![2], vec![], vec![]];
        assert_eq!(crossings(&[vec![0, 1], vec![2, 3]], &below), 1);
        let layout = layered(&[(10.0, 10.0); 4], &[(0, 3), (1, 2)], |_| Pin::Free);
        let straight = |a: usize, b: usize| (layout.at[a].0 - layout.at[b].0).abs() < 0.01;
        assert!(straight(0, 3) && straight(1, 2));
    }

    #[test]
    fn a_pinned_node_is_at_the_edge_beside_nothing_that_it_leads_to() {
        // 0 leads to 1 to 2; 3 leaves 0 at the bottom, 4 comes to 2 from the top.
        let edges = [(0, 1), (1, 2), (0, 3), (4, 2)];
        let pin = |node| [Pin::Free, Pin::Free, Pin::Free, Pin::Bottom, Pin::Top][node];
        let layout = layered(&[(10.0, 10.0); 5], &edges, pin);
        assert_eq!(layout.at[3].1, layout.at[2].1);
        assert_eq!(layout.at[4].1, layout.at[0].1);
        assert_eq!(
            leads_down(3, &[(0, 1), (1, 0), (1, 2)]),
            [true, false, true]
        );
    }
}
