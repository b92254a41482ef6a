//! How a drawing is kept from becoming a strip: which column each node is in.

use super::columns::Graph;
use super::ranks::narrowed;
use super::ways::reach;
use super::{GAP, LANE, Pin, TRACK};

/// Up to this width, or height, a layout may have any shape: it fits a screen.
const WIDTH_FREE: f64 = 1_600.0;
const HEIGHT_FREE: f64 = 1_200.0;
/// A layout is left alone up to this width to height, or height to width.
const RATIO_MAX: f64 = 2.0;
/// The width to height that is looked for.
pub(super) const RATIO: f64 = 1.4;

/// How far from the ratio looked for.
pub(super) fn badness((wide, high): (f64, f64), ratio: f64) -> f64 {
    (wide / high / ratio).ln().abs()
}

/// Whether it is long and narrow, one way or the other.
pub(super) fn is_strip((wide, high): (f64, f64)) -> bool {
    wide > WIDTH_FREE.max(RATIO_MAX * high) || high > HEIGHT_FREE.max(RATIO_MAX * wide)
}

/// About how wide and high the whole becomes as one column.
pub(super) fn unfolded(graph: &Graph<'_>, rank: &[usize]) -> (f64, f64) {
    Profile::new(graph, rank).size(&[])
}

/// Ranks so narrow that the whole is not much wider than high.
pub(super) fn narrow(
    graph: &Graph<'_>,
    rank: Vec<usize>,
    size: (f64, f64),
    ratio: f64,
) -> Vec<usize> {
    const TRIES: usize = 12;
    let mut best = (badness(size, ratio), rank);
    let mut width = size.0;
    for _ in 0..TRIES {
        width *= 0.7;
        let tried = narrowed(graph.sizes, &graph.forward, |n| graph.pins[n], width);
        let now = badness(unfolded(graph, &tried), ratio);
        if now < best.0 {
            best = (now, tried);
        }
    }
    best.1
}

/// The column of each node: one after the other they have parts of the ranks.
pub(super) fn columns(graph: &Graph<'_>, rank: &[usize], ratio: f64) -> Vec<usize> {
    let profile = Profile::new(graph, rank);
    let size = profile.size(&[]);
    let mut cuts = Vec::new();
    if size.1 > size.0 && is_strip(size) {
        let mut best = badness(size, ratio);
        let most = (2.0 * ratio * size.1 / size.0).sqrt() as usize + 2;
        for count in 2..=most.min(rank.len()) {
            let tried = profile.cuts(count, size.1);
            let now = badness(profile.size(&tried), ratio);
            if now < best {
                (best, cuts) = (now, tried);
            }
        }
    }
    let mut column: Vec<usize> = rank
        .iter()
        .map(|rank| cuts.partition_point(|cut| cut <= rank))
        .collect();
    for &(from, to) in graph.edges {
        if matches!(graph.pins[from], Pin::Before | Pin::Top) {
            column[from] = column[to];
        }
        if matches!(graph.pins[to], Pin::After | Pin::Bottom) {
            column[to] = column[from];
        }
    }
    column
}

/// What the ranks hold.
struct Profile {
    /// The width and height of each rank's nodes.
    nodes: Vec<(f64, f64)>,
    /// From which rank to which each edge leads, and the trunk of its way between columns.
    edges: Vec<(usize, usize, usize)>,
    /// Edges that lead further down take such a way too.
    far: usize,
}

impl Profile {
    fn new(graph: &Graph<'_>, rank: &[usize]) -> Self {
        let count = rank.iter().max().map_or(0, |r| r + 1);
        let mut nodes = vec![(0.0_f64, 0.0_f64); count];
        for (node, &rank) in rank.iter().enumerate() {
            let (width, height) = graph.sizes[node];
            let (wide, high) = nodes[rank];
            nodes[rank] = (wide + width + GAP.0, high.max(height));
        }
        let mut leaving = vec![0; graph.sizes.len()];
        for &(from, _) in graph.edges {
            leaving[from] += 1;
        }
        let span = |(&(a, b), &(from, to)): (&(usize, usize), &(usize, usize))| {
            let trunk = if leaving[from] > 1 { from } else { to };
            (rank[a], rank[b], trunk)
        };
        let spans = graph.forward.iter().zip(graph.edges).map(span);
        Self {
            nodes,
            edges: spans.filter(|(a, b, _)| a < b).collect(),
            far: reach(graph, rank, |_| 0),
        }
    }

    /// About how wide and high the whole becomes when it is cut before these ranks.
    fn size(&self, cuts: &[usize]) -> (f64, f64) {
        let column = |rank: usize| cuts.partition_point(|&cut| cut <= rank);
        let count = self.nodes.len();
        // How many edges pass each rank; each that leaves its column takes a place between columns.
        let mut passing = vec![0_i64; count + 1];
        let mut trunks = Vec::new();
        for &(from, to, trunk) in &self.edges {
            if column(from) == column(to) && to - from <= self.far {
                passing[from + 1] += 1;
                passing[to] -= 1;
            } else {
                trunks.push(trunk);
            }
        }
        let mut sizes = vec![(0.0_f64, 0.0_f64); cuts.len() + 1];
        let mut edges = 0;
        for (rank, &(wide, high)) in self.nodes.iter().enumerate() {
            edges += passing[rank];
            let size = &mut sizes[column(rank)];
            size.0 = size.0.max(wide + edges as f64 * LANE);
            size.1 += high + GAP.1;
        }
        trunks.sort_unstable();
        trunks.dedup();
        let wide: f64 = sizes.iter().map(|s| s.0).sum();
        let high = sizes.iter().map(|s| s.1).fold(0.0, f64::max);
        (wide + trunks.len() as f64 * TRACK, high)
    }

    /// Where to cut into this many columns: near to equal heights, where few edges pass.
    fn cuts(&self, count: usize, height: f64) -> Vec<usize> {
        let mut passing = vec![0_i64; self.nodes.len() + 1];
        for &(from, to, _) in &self.edges {
            passing[from + 1] += 1;
            passing[to + 1] -= 1;
        }
        let part = height / count as f64;
        let mut cuts = Vec::new();
        let mut best: Option<(f64, usize)> = None;
        let (mut top, mut edges) = (0.0, 0);
        for (rank, &(_, high)) in self.nodes.iter().enumerate() {
            edges += passing[rank];
            let off = (top - part * (cuts.len() + 1) as f64) / part;
            let last = cuts.last().copied().unwrap_or(0);
            if off.abs() < 0.3 && rank > last {
                let cost = off.abs() + 0.05 * edges as f64;
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, rank));
                }
            }
            top += high + GAP.1;
            let passed = top - part * (cuts.len() + 1) as f64;
            if passed > 0.3 * part && cuts.len() + 1 < count {
                let at = best.take().map_or(rank + 1, |(_, rank)| rank);
                if at < self.nodes.len() {
                    cuts.push(at);
                }
            }
        }
        cuts
    }
}

/// Columns for nodes that stand one after the other: the number with which the whole is nearest to
/// the ratio looked for, if it would be too wide as a row.
pub(crate) fn balanced(sizes: &[(f64, f64)], gap: f64) -> Vec<usize> {
    let row: Vec<usize> = (0..sizes.len()).collect();
    let size = |columns: &[usize]| {
        let mut of = vec![(0.0_f64, 0.0_f64); sizes.len()];
        for (&column, size) in columns.iter().zip(sizes) {
            let of = &mut of[column];
            *of = (of.0.max(size.0 + gap), of.1 + size.1 + gap);
        }
        let wide: f64 = of.iter().map(|s| s.0).sum();
        (wide, of.iter().map(|s| s.1).fold(0.0, f64::max))
    };
    let (wide, high) = size(&row);
    if !is_strip((wide, high)) {
        return row;
    }
    const COLUMNS_MAX: usize = 128;
    let whole: f64 = sizes.iter().map(|s| s.1 + gap).sum();
    let mut best = (badness((wide, high), RATIO), row);
    for count in (1..sizes.len()).take(COLUMNS_MAX) {
        let part = whole / count as f64;
        let mut top = 0.0;
        let mut columns = Vec::with_capacity(sizes.len());
        for size in sizes {
            // The next column begins once this one has its part.
            let column = columns.last().map_or(0, |&last| {
                let is_full = top + (size.1 + gap) / 2.0 > part * (last + 1) as f64;
                last + usize::from(is_full)
            });
            columns.push(column);
            top += size.1 + gap;
        }
        let now = badness(size(&columns), RATIO);
        if now < best.0 {
            best = (now, columns);
        }
    }
    best.1
}
