//! Parts of a graph that no edge joins, laid out one by one and set in rows like words.
//!
//! Layers hold such parts beside each other only while they all fit: broken into further layers,
//! each part pulls the next to its side, and the whole drifts into a strip.

use super::columns::Graph;
use super::{GAP, Layout, Pin, connected, fold};

/// The layout in rows; none if the graph is in one piece, or something has to be at its border.
///
/// That of each part, and O(parts) for each width that is tried.
pub(super) fn in_rows(
    graph: &Graph<'_>,
    anchor: &impl Fn(usize) -> [Option<f64>; 2],
) -> Option<Layout> {
    let at_border = |pin: &Pin| matches!(pin, Pin::Top | Pin::Bottom);
    let parts = parts(graph);
    if parts.len() < 2 || graph.pins.iter().any(at_border) {
        return None;
    }
    let laid: Vec<Layout> = parts.iter().map(|part| part.laid(graph, anchor)).collect();
    let sizes: Vec<(f64, f64)> = laid.iter().map(|layout| layout.size).collect();
    let (corners, size) = rows(&sizes);
    let mut whole = Layout {
        at: vec![(0.0, 0.0); graph.sizes.len()],
        bends: vec![Vec::new(); graph.edges.len()],
        size,
    };
    for ((part, layout), (left, top)) in parts.iter().zip(laid).zip(corners) {
        let moved = |(x, y): (f64, f64)| (left + x, top + y);
        for (&node, at) in part.nodes.iter().zip(layout.at) {
            whole.at[node] = moved(at);
        }
        for (&edge, bends) in part.edges.iter().zip(layout.bends) {
            whole.bends[edge] = bends.into_iter().map(moved).collect();
        }
    }
    Some(whole)
}

/// The corner of each part, in rows of the width by which the whole is nearest to the ratio looked
/// for, and the size of the whole.
fn rows(sizes: &[(f64, f64)]) -> (Vec<(f64, f64)>, (f64, f64)) {
    let in_width = |width: f64| {
        let mut corners = Vec::with_capacity(sizes.len());
        let (mut x, mut y, mut row_high) = (0.0, 0.0, 0.0_f64);
        let mut wide = 0.0_f64;
        for &(w, h) in sizes {
            if x > 0.0 && x + w > width {
                (x, y, row_high) = (0.0, y + row_high + GAP.1, 0.0);
            }
            corners.push((x, y));
            wide = wide.max(x + w);
            row_high = row_high.max(h);
            x += w + GAP.0;
        }
        (corners, (wide, y + row_high))
    };
    let area: f64 = sizes.iter().map(|(w, h)| (w + GAP.0) * (h + GAP.1)).sum();
    let near = (area * fold::RATIO).sqrt();
    let tried = (0..9).map(|nth| in_width(near * (0.6 + 0.1 * f64::from(nth))));
    let badness = |size| fold::badness(size, fold::RATIO);
    let best = tried.reduce(|best, now| match badness(now.1) < badness(best.1) {
        true => now,
        false => best,
    });
    best.unwrap_or_else(|| in_width(near))
}

/// The nodes and edges of one part, in order.
struct Part {
    nodes: Vec<usize>,
    edges: Vec<usize>,
}

impl Part {
    fn laid(&self, graph: &Graph<'_>, anchor: &impl Fn(usize) -> [Option<f64>; 2]) -> Layout {
        let place = |node: usize| self.nodes.partition_point(|&other| other < node);
        let sizes: Vec<_> = self.nodes.iter().map(|&node| graph.sizes[node]).collect();
        let local = |&(a, b): &(usize, usize)| (place(a), place(b));
        let edges: Vec<_> = self.edges.iter().map(|&e| local(&graph.edges[e])).collect();
        let part = Graph {
            sizes: &sizes,
            edges: &edges,
            forward: self
                .edges
                .iter()
                .map(|&e| local(&graph.forward[e]))
                .collect(),
            pins: self.nodes.iter().map(|&node| graph.pins[node]).collect(),
        };
        connected(&part, &|edge| anchor(self.edges[edge]))
    }
}

/// The parts, by their first nodes.
fn parts(graph: &Graph<'_>) -> Vec<Part> {
    let mut above: Vec<usize> = (0..graph.sizes.len()).collect();
    fn top(above: &mut [usize], mut node: usize) -> usize {
        while above[node] != node {
            above[node] = above[above[node]];
            node = above[node];
        }
        node
    }
    for &(a, b) in graph.edges {
        let (a, b) = (top(&mut above, a), top(&mut above, b));
        above[a.max(b)] = a.min(b);
    }
    let mut number = vec![0; graph.sizes.len()];
    let mut parts: Vec<Part> = Vec::new();
    for node in 0..graph.sizes.len() {
        let first = top(&mut above, node);
        if first == node {
            number[node] = parts.len();
            parts.push(Part {
                nodes: Vec::new(),
                edges: Vec::new(),
            });
        }
        number[node] = number[first];
        parts[number[node]].nodes.push(node);
    }
    for (edge, &(from, _)) in graph.edges.iter().enumerate() {
        parts[number[from]].edges.push(edge);
    }
    parts
}
