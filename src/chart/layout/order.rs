//! The order of each rank, and the places that it leaves.

use super::{GAP, LANE};

const ORDER_SWEEPS: usize = 12;
const PLACE_SWEEPS: usize = 10;

/// Puts each node near the middle of its neighbors, down and up in turn.
pub(super) fn order(layers: &mut [Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>]) {
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
pub(super) fn crossings(layers: &[Vec<usize>], below: &[Vec<usize>]) -> usize {
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
pub(super) fn places(
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
            let (a, b) = (nodes[layer[nth - 1]], nodes[node]);
            offset += (a.0 + b.0) / 2.0 + gap(a, b);
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

/// The space between two nodes; edges that pass, which have no height, need less.
fn gap(a: (f64, f64), b: (f64, f64)) -> f64 {
    match (a.1 == 0.0, b.1 == 0.0) {
        (true, true) => 0.0,
        (false, false) => GAP.0,
        _ => LANE,
    }
}
