//! Columns of ranks, and the ways of edges from one column to another.
//!
//! ```text
//!          channel: ways over columns in between
//!   ┌──────────────────────────────────────────
//!   │ gap 0        │       │ gap 0
//!   │ rank 0  A    │gutter │ rank 0  C
//!   │ gap 1   │    │  ┌────┼─────────┘ an edge from B to C: below B, through the gutter,
//!   │ rank 1  B    │  │    │ gap 1       above C
//!   │ gap 2   └────┼──┘    │ rank 1  D
//! ```
//!
//! `laid` lays out each column for itself; [`ways`](super::ways) leads the edges between them.

use super::order::{order, places};
use super::ways::{End, ends, part_levels, reach, share_channels, share_gaps, share_gutters};
use super::{EDGE, GAP, LANE, Layout, Pin, TRACK};

/// What is laid out.
pub(super) struct Graph<'a> {
    pub(super) sizes: &'a [(f64, f64)],
    pub(super) edges: &'a [(usize, usize)],
    /// The edges, those turned round that lead back up.
    pub(super) forward: Vec<(usize, usize)>,
    pub(super) pins: Vec<Pin>,
}

/// Space between two columns, and between ways and what is beside them.
pub(super) const GUTTER: f64 = 26.0;
const MARGIN: f64 = 14.0;

/// One column: its nodes, then the places where edges pass its ranks.
pub(super) struct Column {
    pub(super) sizes: Vec<(f64, f64)>,
    pub(super) layers: Vec<Vec<usize>>,
    /// The middle of each, from the column's left.
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    pub(super) width: f64,
    /// Half of the height of its rank, for each.
    pub(super) half: Vec<f64>,
    /// How many tracks each gap has, from the one above the first rank: below its upper rank, and
    /// above its lower one.
    pub(super) tracks: Vec<[usize; 2]>,
}

/// Lays out each column and leads the edges between them.
pub(super) fn laid(
    graph: &Graph<'_>,
    rank: &[usize],
    column: &[usize],
    anchor: &impl Fn(usize) -> [Option<f64>; 2],
) -> Layout {
    let count = graph.sizes.len();
    let local = local_ranks(graph, rank, column);
    let columns_count = column.iter().max().map_or(0, |c| c + 1);
    let mut columns: Vec<Column> = Vec::with_capacity(columns_count);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); columns_count];
    // Where a node is in its column.
    let mut nth = vec![0; count];
    for (node, nth) in nth.iter_mut().enumerate() {
        *nth = members[column[node]].len();
        members[column[node]].push(node);
    }
    let far = reach(graph, &local, |n| column[n]);
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); columns_count];
    let mut outside = Vec::new();
    for (edge, &(from, to)) in graph.forward.iter().enumerate() {
        if column[from] == column[to] && local[to] - local[from] <= far {
            edges[column[from]].push(edge);
        } else {
            outside.push(edge);
        }
    }
    let mut lanes: Vec<Vec<usize>> = vec![Vec::new(); graph.edges.len()];
    for (nodes, edges) in members.iter().zip(&edges) {
        columns.push(Column::new(graph, nodes, edges, &local, &nth, &mut lanes));
    }
    let mut ways = ends(graph, &columns, &outside, &local, column, &nth, anchor);
    share_gaps(&mut columns, &mut ways);
    let channels = share_channels(&mut ways, &columns);
    let top = channels[0] as f64 * TRACK + if channels[0] > 0 { MARGIN } else { 0.0 };
    let mut bottom = top;
    let mut gap_tops: Vec<Vec<(f64, f64)>> = Vec::with_capacity(columns_count);
    for column in &mut columns {
        let (gaps, end) = column.stack(top);
        gap_tops.push(gaps);
        bottom = f64::max(bottom, end);
    }
    for way in &mut ways {
        for end in &mut way.ends {
            let (upper, lower) = gap_tops[end.column][end.gap];
            end.y = match end.side {
                0 => upper + TRACK + end.track as f64 * TRACK,
                _ => lower - MARGIN - end.track as f64 * TRACK,
            };
        }
    }
    part_levels(&mut ways);
    let channel_y = |(side, track): (usize, usize)| match side {
        0 => top - MARGIN - track as f64 * TRACK,
        _ => bottom + MARGIN + track as f64 * TRACK,
    };
    let gutters = share_gutters(&mut ways, columns_count, channel_y);
    let mut lefts = Vec::with_capacity(columns_count);
    let mut x = 0.0;
    let mut gutter_lefts = Vec::with_capacity(columns_count + 1);
    for (nth, &tracks) in gutters.iter().enumerate() {
        gutter_lefts.push(x);
        x += match tracks {
            0 if nth == 0 || nth == columns_count => 0.0,
            0 => GUTTER,
            _ => (tracks - 1) as f64 * TRACK + 2.0 * MARGIN,
        };
        if let Some(column) = columns.get(nth) {
            lefts.push(x);
            x += column.width;
        }
    }
    let size = if count == 0 {
        (0.0, 0.0)
    } else {
        let below = channels[1] as f64 * TRACK + if channels[1] > 0 { MARGIN } else { 0.0 };
        (x, bottom + below)
    };
    let point = |of: usize, n: usize| (lefts[of] + columns[of].x[n], columns[of].y[n]);
    let mut bends: Vec<Vec<(f64, f64)>> = vec![Vec::new(); graph.edges.len()];
    for (of, edges) in edges.iter().enumerate() {
        for &edge in edges {
            bends[edge] = through(graph, &columns[of], &nth, edge, &lanes[edge], anchor)
                .into_iter()
                .map(|(x, y)| (lefts[of] + x, y))
                .collect();
            if graph.edges[edge] != graph.forward[edge] {
                bends[edge].reverse();
            }
        }
    }
    for way in &ways {
        let [from, to] = way.ends;
        let x = |end: End| lefts[end.column] + end.x;
        let gutter_x = |end: End| gutter_lefts[end.gutter] + MARGIN + end.gutter_x;
        let mut points = vec![(x(from), from.y), (gutter_x(from), from.y)];
        if let Some(channel) = way.channel {
            let y = channel_y(channel);
            points.extend([(gutter_x(from), y), (gutter_x(to), y)]);
        }
        points.extend([(gutter_x(to), to.y), (x(to), to.y)]);
        bends[way.edge] = points;
    }
    Layout {
        at: (0..count).map(|n| point(column[n], nth[n])).collect(),
        bends,
        size,
    }
}

impl Column {
    /// Finds order and places; the dummies of its edges become `lanes`.
    fn new(
        graph: &Graph<'_>,
        nodes: &[usize],
        edges: &[usize],
        local: &[usize],
        nth: &[usize],
        lanes: &mut [Vec<usize>],
    ) -> Self {
        let mut sizes: Vec<(f64, f64)> = nodes.iter().map(|&n| graph.sizes[n]).collect();
        let mut rank_of: Vec<usize> = nodes.iter().map(|&n| local[n]).collect();
        let mut above: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for &edge in edges {
            let (from, to) = graph.forward[edge];
            let (from, to) = (nth[from], nth[to]);
            if from == to {
                continue;
            }
            let mut last = from;
            for rank in rank_of[from] + 1..rank_of[to] {
                let dummy = sizes.len();
                sizes.push((LANE, 0.0));
                rank_of.push(rank);
                above.push(vec![last]);
                below.push(Vec::new());
                below[last].push(dummy);
                lanes[edge].push(dummy);
                last = dummy;
            }
            below[last].push(to);
            above[to].push(last);
        }
        let ranks = rank_of.iter().max().map_or(0, |r| r + 1);
        let mut layers: Vec<Vec<usize>> = vec![Vec::new(); ranks];
        for (node, &rank) in rank_of.iter().enumerate() {
            layers[rank].push(node);
        }
        order(&mut layers, &above, &below);
        let mut x = places(&layers, &sizes, &above, &below);
        let edge = |n: usize, side: f64| x[n] + side * sizes[n].0 / 2.0;
        let left = (0..x.len())
            .map(|n| edge(n, -1.0))
            .fold(f64::INFINITY, f64::min);
        let right = (0..x.len())
            .map(|n| edge(n, 1.0))
            .fold(f64::NEG_INFINITY, f64::max);
        for x in &mut x {
            *x -= left;
        }
        Self {
            width: if x.is_empty() { 0.0 } else { right - left },
            y: vec![0.0; sizes.len()],
            half: vec![0.0; sizes.len()],
            tracks: vec![[0, 0]; ranks + 1],
            sizes,
            layers,
            x,
        }
    }

    /// Whether a node is lower than its rank.
    fn is_short(&self, node: usize) -> bool {
        self.sizes[node].1 / 2.0 + 1.0 < self.half[node]
    }

    /// The x at which an edge to `other` leaves a node, `next` where it turns first: as near to it
    /// as the node reaches.
    fn faces(
        &self,
        node: usize,
        anchor: Option<f64>,
        other: usize,
        others: Option<f64>,
        next: Option<f64>,
    ) -> f64 {
        if let Some(anchor) = anchor {
            return self.x[node] + anchor;
        }
        let reach = |n: usize| (self.sizes[n].0 / 2.0 - EDGE).max(0.0);
        let (left, right) = (self.x[node] - reach(node), self.x[node] + reach(node));
        let towards = match (next, others) {
            (Some(next), _) => next,
            (None, Some(anchor)) => self.x[other] + anchor,
            // Upright, where both reach; below the middle of the narrower.
            (None, None) => {
                let narrow = if reach(node) < reach(other) {
                    node
                } else {
                    other
                };
                let low = left.max(self.x[other] - reach(other));
                let high = right.min(self.x[other] + reach(other));
                if low <= high {
                    self.x[narrow].max(low).min(high)
                } else {
                    self.x[other]
                }
            }
        };
        towards.max(left).min(right)
    }

    /// Puts the ranks below each other; where each gap begins and ends, and where the column ends.
    fn stack(&mut self, top: f64) -> (Vec<(f64, f64)>, f64) {
        let mut y = top;
        let mut gaps = Vec::with_capacity(self.tracks.len());
        for (nth, tracks) in self.tracks.iter().enumerate() {
            let is_inner = nth > 0 && nth < self.layers.len();
            let room = (tracks[0] + tracks[1]) as f64 * TRACK;
            let gap = match (is_inner, room > 0.0) {
                (true, false) => GAP.1,
                (true, true) => GAP.1 + room,
                (false, false) => 0.0,
                (false, true) => MARGIN + room,
            };
            gaps.push((y, y + gap));
            y += gap;
            let Some(layer) = self.layers.get(nth) else {
                continue;
            };
            let height = layer.iter().map(|&n| self.sizes[n].1).fold(0.0, f64::max);
            for &node in layer {
                self.y[node] = y + height / 2.0;
                self.half[node] = height / 2.0;
            }
            y += height;
        }
        (gaps, y)
    }
}

/// The points that an edge passes in its column, downwards: straight through each rank, that of
/// its ends too, so that it passes the boxes beside it.
fn through(
    graph: &Graph<'_>,
    column: &Column,
    nth: &[usize],
    edge: usize,
    lanes: &[usize],
    anchor: &impl Fn(usize) -> [Option<f64>; 2],
) -> Vec<(f64, f64)> {
    let (from, to) = graph.forward[edge];
    let mut anchors = anchor(edge);
    if (from, to) != graph.edges[edge] {
        anchors.reverse();
    }
    let (from, to) = (nth[from], nth[to]);
    if from == to {
        return Vec::new();
    }
    let first = lanes.first().map(|&n| column.x[n]);
    let last = lanes.last().map(|&n| column.x[n]);
    let starts = column.faces(from, anchors[0], to, anchors[1], first);
    let ends = column.faces(to, anchors[1], from, anchors[0], last);
    let lower = column.y[from] + column.half[from];
    let upper = column.y[to] - column.half[to];
    let mut points = Vec::with_capacity(2 * lanes.len() + 2);
    if column.is_short(from) {
        points.push((starts, lower));
    }
    for &n in lanes {
        let (x, y, half) = (column.x[n], column.y[n], column.half[n]);
        points.extend([(x, y - half), (x, y + half)]);
    }
    if column.is_short(to) {
        points.push((ends, upper));
    }
    points
}

/// The rank of each node in its column: from 0, ports at the edge.
fn local_ranks(graph: &Graph<'_>, rank: &[usize], column: &[usize]) -> Vec<usize> {
    let count = column.iter().max().map_or(0, |c| c + 1);
    let mut first = vec![usize::MAX; count];
    let is_port = |node: usize| matches!(graph.pins[node], Pin::Top | Pin::Bottom);
    for (node, &column) in column.iter().enumerate() {
        if !is_port(node) {
            first[column] = first[column].min(rank[node]);
        }
    }
    let mut local: Vec<usize> = rank
        .iter()
        .zip(column)
        .map(|(&rank, &column)| rank.saturating_sub(first[column]))
        .collect();
    // What leads to one of the first rank is above it.
    let mut shift = vec![0; count];
    for &(from, to) in &graph.forward {
        if graph.pins[from] == Pin::Top && local[to] == 0 {
            shift[column[to]] = 1;
        }
        if graph.pins[from] == Pin::Before && column[from] == column[to] && local[to] == 0 {
            shift[column[to]] = 1;
        }
    }
    let mut last = vec![0; count];
    for (node, (local, &column)) in local.iter_mut().zip(column).enumerate() {
        if !is_port(node) {
            *local += shift[column];
            last[column] = last[column].max(*local);
        }
    }
    for &(from, to) in &graph.forward {
        if graph.pins[from] == Pin::Before && column[from] == column[to] {
            local[from] = local[to] - 1;
        }
        if graph.pins[to] == Pin::Bottom && local[from] == last[column[from]] {
            shift[column[from]] |= 2;
        }
    }
    for (node, &column) in column.iter().enumerate() {
        match graph.pins[node] {
            Pin::Top => local[node] = 0,
            Pin::Bottom => local[node] = last[column] + usize::from(shift[column] & 2 != 0),
            _ => {}
        }
    }
    local
}
