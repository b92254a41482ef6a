//! The ways of edges between columns, and how those that lie beside each other share the room.
//!
//! No way passes a node: it runs in gaps between ranks, gutters between columns, and channels above
//! and below all. Ways that begin or end at the same side of a node share a trunk; others that would
//! lie on each other have tracks of their own. An edge within a column that would pass very many
//! ranks takes its way through the gutter too.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::columns::{Column, GUTTER, Graph};
use super::{LANE, TRACK};

/// An edge from one column to another.
pub(super) struct Way {
    pub(super) edge: usize,
    pub(super) ends: [End; 2],
    /// Ways with the same trunk may lie on each other.
    pub(super) trunk: usize,
    /// The track in the channel above or below all columns, where it passes others.
    pub(super) channel: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) column: usize,
    pub(super) gap: usize,
    /// Whether the node is above the gap (0) or below it (1).
    pub(super) side: usize,
    pub(super) x: f64,
    pub(super) gutter: usize,
    pub(super) track: usize,
    pub(super) y: f64,
    pub(super) gutter_x: f64,
}

/// The most ranks that an edge of a column may lead down: so many that all dummies together are not
/// many more than the nodes and edges.
pub(super) fn reach(graph: &Graph<'_>, rank: &[usize], column: impl Fn(usize) -> usize) -> usize {
    const FREE: usize = 2_000;
    const EACH: usize = 4;
    let inside = graph
        .forward
        .iter()
        .filter(|(a, b)| column(*a) == column(*b));
    let mut lengths: Vec<usize> = inside.map(|&(a, b)| rank[b] - rank[a]).collect();
    lengths.sort_unstable();
    let mut left = FREE + EACH * (graph.sizes.len() + graph.edges.len());
    for length in lengths {
        if length > left {
            return length - 1;
        }
        left -= length;
    }
    usize::MAX
}

/// Where ways meet at a node.
#[derive(Clone, Copy)]
struct Joint {
    id: usize,
    ways: usize,
    /// Which from the middle, from 1.
    nth: u32,
}

/// Where the edges between columns leave their nodes: side by side, through the side that faces
/// down for the source of one that leads down.
pub(super) fn ends(
    graph: &Graph<'_>,
    columns: &[Column],
    outside: &[usize],
    local: &[usize],
    column: &[usize],
    nth: &[usize],
    anchor: &impl Fn(usize) -> [Option<f64>; 2],
) -> Vec<Way> {
    // The ends of each edge: node, side, whether to the right, whether its source, and itself where
    // its end has a place of its own.
    let sides = |edge: usize| {
        let (from, to) = graph.edges[edge];
        let is_down = graph.edges[edge] == graph.forward[edge];
        // Below its source, above its target; the other way round for one that leads back.
        let (first, last) = if is_down { (0, 1) } else { (1, 0) };
        let own = anchor(edge).map(|at| at.map(|_| edge));
        [
            (from, first, column[from] <= column[to], true, own[0]),
            (to, last, column[to] <= column[from], false, own[1]),
        ]
    };
    let mut joints = BTreeMap::new();
    for &edge in outside {
        for side in sides(edge) {
            let joint = Joint {
                id: 0,
                ways: 0,
                nth: 0,
            };
            joints.entry(side).or_insert(joint).ways += 1;
        }
    }
    // Left or right of the middle, where edges of its own column end, one beside the other.
    let mut last = None;
    for (id, (&(node, side, is_right, ..), joint)) in joints.iter_mut().enumerate() {
        let nth = match last {
            Some((before, nth)) if before == (node, side, is_right) => nth + 1,
            _ => 1,
        };
        (joint.id, joint.nth) = (id, nth);
        last = Some(((node, side, is_right), nth));
    }
    let mut ways = Vec::with_capacity(outside.len());
    for &edge in outside {
        let joint = sides(edge).map(|side| joints[&side]);
        let mut at = anchor(edge).into_iter().zip(joint);
        let ends = sides(edge).map(|(node, side, is_right, ..)| {
            let (x, half) = (
                columns[column[node]].x[nth[node]],
                graph.sizes[node].0 / 2.0,
            );
            let beside = at.next().map_or(0.0, |(anchor, joint)| {
                let beside = half * (1.0 - 1.0 / (1.0 + LANE * f64::from(joint.nth) / half));
                anchor.unwrap_or(if is_right { beside } else { -beside })
            });
            End {
                column: column[node],
                gap: local[node] + 1 - side,
                side,
                x: x + beside,
                gutter: column[node] + usize::from(is_right),
                track: 0,
                y: 0.0,
                gutter_x: 0.0,
            }
        });
        ways.push(Way {
            edge,
            ends,
            trunk: if joint[0].ways > 1 {
                joint[0].id
            } else {
                joint[1].id
            },
            channel: None,
        });
    }
    ways
}

/// Gives each interval the first track on which it meets none, in the order given; how many tracks
/// there are.
///
/// O(intervals × tracks × log).
fn share(intervals: impl Iterator<Item = (f64, f64)>) -> (Vec<usize>, usize) {
    const APART: f64 = 8.0;
    // Each in order, apart from each other.
    let mut tracks: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut of = Vec::new();
    for (low, high) in intervals {
        let (low, high) = (low - APART, high + APART);
        let place = |track: &[(f64, f64)]| {
            let at = track.partition_point(|part| part.1 < low);
            track.get(at).is_none_or(|part| high < part.0).then_some(at)
        };
        let free = tracks
            .iter()
            .enumerate()
            .find_map(|(nth, track)| Some((nth, place(track)?)));
        let (track, at) = free.unwrap_or_else(|| {
            tracks.push(Vec::new());
            (tracks.len() - 1, 0)
        });
        tracks[track].insert(at, (low, high));
        of.push(track);
    }
    (of, tracks.len())
}

/// A part of some ways that lie on each other.
struct Part {
    /// Where it is: what it shares tracks with.
    of: (usize, usize, usize),
    trunk: usize,
    /// Where it begins and ends, the smaller first.
    span: (f64, f64),
    /// What it is sorted by.
    key: f64,
}

/// The parts, those of one trunk and place as one; by place, then key.
fn merged(parts: impl Iterator<Item = Part>) -> Vec<Part> {
    let mut merged: BTreeMap<((usize, usize, usize), usize), Part> = BTreeMap::new();
    for part in parts {
        match merged.entry((part.of, part.trunk)) {
            Entry::Vacant(entry) => {
                entry.insert(part);
            }
            Entry::Occupied(mut entry) => {
                let all = entry.get_mut();
                all.span = (all.span.0.min(part.span.0), all.span.1.max(part.span.1));
                all.key = all.key.min(part.key);
            }
        }
    }
    let mut parts: Vec<Part> = merged.into_values().collect();
    parts.sort_by(|a, b| a.of.cmp(&b.of).then(a.key.total_cmp(&b.key)));
    parts
}

/// The track of each place and trunk, and how many tracks each place has.
type Tracks = (
    BTreeMap<((usize, usize, usize), usize), usize>,
    BTreeMap<(usize, usize, usize), usize>,
);

fn tracks(parts: &[Part]) -> Tracks {
    let (mut of, mut counts) = (BTreeMap::new(), BTreeMap::new());
    for group in parts.chunk_by(|a, b| a.of == b.of) {
        let (tracks, count) = share(group.iter().map(|part| part.span));
        counts.insert(group[0].of, count);
        for (part, track) in group.iter().zip(tracks) {
            of.insert((part.of, part.trunk), track);
        }
    }
    (of, counts)
}

/// Tracks in the gaps between ranks: the end that is nearest to its gutter is nearest to its node,
/// so that ways from one rank don't cross.
pub(super) fn share_gaps(columns: &mut [Column], ways: &mut [Way]) {
    let parts = ways
        .iter()
        .flat_map(|way| way.ends.map(|end| (way.trunk, end)));
    let parts = merged(parts.map(|(trunk, end)| {
        let width = columns[end.column].width;
        let (span, key) = if end.gutter > end.column {
            ((end.x, width + GUTTER), width - end.x)
        } else {
            ((-GUTTER, end.x), end.x)
        };
        Part {
            of: (end.column, end.gap, end.side),
            trunk,
            span,
            key,
        }
    }));
    let (of, counts) = tracks(&parts);
    for way in ways {
        for end in &mut way.ends {
            end.track = of[&((end.column, end.gap, end.side), way.trunk)];
        }
    }
    for ((column, gap, side), count) in counts {
        columns[column].tracks[gap][side] = count;
    }
}

/// Tracks above and below all columns for what passes other columns, by the shorter way; how many
/// there are above and below.
pub(super) fn share_channels(ways: &mut [Way], columns: &[Column]) -> [usize; 2] {
    let side = |way: &Way| {
        let part = |end: End| end.gap as f64 / columns[end.column].layers.len() as f64;
        let [from, to] = way.ends;
        (from.gutter != to.gutter).then(|| usize::from(part(from) + part(to) > 1.0))
    };
    let parts = merged(ways.iter().filter_map(|way| {
        let [from, to] = way.ends.map(|end| end.gutter as f64 * GUTTER);
        Some(Part {
            of: (side(way)?, 0, 0),
            trunk: way.trunk,
            span: (from.min(to), from.max(to)),
            key: (from - to).abs(),
        })
    }));
    let (of, counts) = tracks(&parts);
    for way in ways {
        way.channel = side(way).map(|side| (side, of[&((side, 0, 0), way.trunk)]));
    }
    [0, 1].map(|side| counts.get(&(side, 0, 0)).copied().unwrap_or(0))
}

/// Moves what comes into a gutter from its right a little down where something comes from its left
/// at that height: the gaps of two columns know nothing of each other, and the two would lie on each
/// other between their tracks. Those of one column are tracks apart, so they stay so.
pub(super) fn part_levels(ways: &mut [Way]) {
    const NEAR: f64 = 2.0;
    const DOWN: f64 = 4.0;
    let ends = || ways.iter().flat_map(|way| way.ends);
    let from_left = ends().filter(|end| end.gutter > end.column);
    let mut taken: Vec<(usize, f64)> = from_left.map(|end| (end.gutter, end.y)).collect();
    taken.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    for end in ways.iter_mut().flat_map(|way| &mut way.ends) {
        let (gutter, least) = (end.gutter, end.y - NEAR);
        let at = taken.partition_point(|&(of, y)| of < gutter || of == gutter && y < least);
        let is_near = |&(of, y): &(usize, f64)| of == gutter && y <= end.y + NEAR;
        if end.gutter == end.column && taken.get(at).is_some_and(is_near) {
            end.y += DOWN;
        }
    }
}

/// Tracks in the gutters between columns; how many each gutter has.
pub(super) fn share_gutters(
    ways: &mut [Way],
    columns: usize,
    channel_y: impl Fn((usize, usize)) -> f64,
) -> Vec<usize> {
    // What leads down begins further left the lower it begins, what leads up the higher; those that
    // lead down come first.
    let part = |gutter: usize, from: f64, to: f64, trunk: usize| Part {
        of: (gutter, 0, 0),
        trunk,
        span: (from.min(to), from.max(to)),
        key: if from < to { -from } else { from },
    };
    let parts = merged(ways.iter().flat_map(|way| {
        let [from, to] = way.ends;
        let parts = match way.channel.map(&channel_y) {
            None => [Some(part(from.gutter, from.y, to.y, way.trunk)), None],
            Some(y) => [
                Some(part(from.gutter, from.y, y, way.trunk)),
                Some(part(to.gutter, y, to.y, way.trunk)),
            ],
        };
        parts.into_iter().flatten()
    }));
    let (of, counts) = tracks(&parts);
    for way in ways {
        for end in &mut way.ends {
            end.gutter_x = of[&((end.gutter, 0, 0), way.trunk)] as f64 * TRACK;
        }
    }
    (0..=columns)
        .map(|gutter| counts.get(&(gutter, 0, 0)).copied().unwrap_or(0))
        .collect()
}
