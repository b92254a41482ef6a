//! Layered layout of a directed graph, top to bottom (Sugiyama, Tagawa and Toda 1981), folded into
//! columns where it would be a long strip.
//!
//! ```text
//!   edges ─▶ no cycles ─▶ ranks ─▶ columns ─▶ in each: a dummy in every rank an edge crosses,
//!            (a search's   (longest           order (barycenters), places; between them: ways
//!            back edges)    path)             through the gaps of ranks and of columns
//! ```
//!
//! Where that is a strip all the same, parts that no edge joins are laid out so one by one and stand
//! in rows.
//!
//! Places within a rank are the least-squares answer to "be below your neighbors" that keeps the
//! order and the gaps: pool-adjacent-violators (Ayer and others 1955).

mod columns;
mod fold;
mod order;
mod parts;
mod ranks;
mod ways;

use columns::{Graph, laid};
pub(crate) use fold::balanced;
use ranks::{acyclic, ranks};

/// Space between nodes of a rank, and between ranks.
const GAP: (f64, f64) = (26.0, 28.0);
/// The width that an edge takes where it passes a rank.
const LANE: f64 = 12.0;
/// The room that an edge takes between columns or along a gap between ranks.
const TRACK: f64 = 10.0;
/// No edge ends nearer to the corner of a node.
pub(crate) const EDGE: f64 = 10.0;

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
    /// In the column of what leads to it.
    After,
    /// In the column of what it leads to.
    Before,
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
/// later ones where the edges allow it. What would be much higher than wide goes on in columns side
/// by side, and wide ranks are broken into several; if it is a strip even so, parts that no edge
/// joins stand in rows.
///
/// `anchor` says for an edge how far beside the middle of its source and of its target it ends,
/// where that is given; only edges between columns ask.
///
/// O(sweeps × (nodes + edges × ranks crossed)).
pub(crate) fn layered(
    sizes: &[(f64, f64)],
    edges: &[(usize, usize)],
    pin: impl Fn(usize) -> Pin,
    anchor: impl Fn(usize) -> [Option<f64>; 2],
) -> Layout {
    let pins: Vec<Pin> = (0..sizes.len()).map(pin).collect();
    let graph = Graph {
        sizes,
        edges,
        forward: acyclic(sizes.len(), edges),
        pins,
    };
    let layout = connected(&graph, &anchor);
    if !fold::is_strip(layout.size) {
        return layout;
    }
    let rows = parts::in_rows(&graph, &anchor).filter(|rows| is_nearer(rows, &layout));
    rows.unwrap_or(layout)
}

/// Whether a layout is nearer to the ratio looked for than another one.
fn is_nearer(one: &Layout, other: &Layout) -> bool {
    fold::badness(one.size, fold::RATIO) < fold::badness(other.size, fold::RATIO)
}

/// As [`layered`], of a graph as if it were in one piece.
fn connected(graph: &Graph<'_>, anchor: &impl Fn(usize) -> [Option<f64>; 2]) -> Layout {
    let mut layout = folded(graph, fold::RATIO, anchor);
    // What is reckoned ahead may be off: again, towards the other side.
    let mut ratio = fold::RATIO;
    for _ in 0..2 {
        let (wide, high) = layout.size;
        if !fold::is_strip((wide, high)) {
            break;
        }
        ratio *= fold::RATIO * high / wide;
        let again = folded(graph, ratio, anchor);
        if is_nearer(&again, &layout) {
            layout = again;
        }
    }
    layout
}

/// The layout that is reckoned to be nearest to a ratio of width to height.
fn folded(graph: &Graph<'_>, ratio: f64, anchor: &impl Fn(usize) -> [Option<f64>; 2]) -> Layout {
    let mut rank = ranks(graph.sizes.len(), &graph.forward, |n| graph.pins[n]);
    let size = fold::unfolded(graph, &rank);
    if size.0 > size.1 && fold::is_strip(size) {
        rank = fold::narrow(graph, rank, size, ratio);
    }
    let column = fold::columns(graph, &rank, ratio);
    laid(graph, &rank, &column, anchor)
}

/// Lays out nodes one after the other in columns, with what edges lead to them from the top and
/// away to the bottom: nodes with a column each, ports (`None`) in that of their node.
pub(crate) fn stacked(
    sizes: &[(f64, f64)],
    edges: &[(usize, usize)],
    pin: impl Fn(usize) -> Pin,
    columns: &[Option<usize>],
) -> Layout {
    let pins: Vec<Pin> = (0..sizes.len()).map(pin).collect();
    let mut rank = Vec::with_capacity(sizes.len());
    for (node, column) in columns.iter().enumerate() {
        let before = node.checked_sub(1).map(|n| (columns[n], rank[n]));
        rank.push(match before {
            Some((last, above)) if last == *column => above + 1,
            _ => 0,
        });
    }
    let mut column: Vec<usize> = columns.iter().map(|c| c.unwrap_or(0)).collect();
    for &(from, to) in edges {
        let (port, node) = if columns[from].is_none() {
            (from, to)
        } else {
            (to, from)
        };
        column[port] = column[node];
    }
    let graph = Graph {
        sizes,
        edges,
        forward: edges.to_vec(),
        pins,
    };
    laid(&graph, &rank, &column, &|_| [None, None])
}

#[cfg(test)]
mod tests {
    use super::order::crossings;
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

    /// Sizes and edges.
    type Drawing = (Vec<(f64, f64)>, Vec<(usize, usize)>);

    /// Graphs from a small generator, with circles and self-loops.
    struct Drawn(u64);

    impl Drawn {
        fn next(&mut self, below: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) as usize % below
        }

        fn graph(&mut self, nodes: usize, edges: usize) -> Drawing {
            let count = self.next(nodes) + 1;
            let sizes = (0..count)
                .map(|_| (20.0 + self.next(150) as f64, 10.0 + self.next(90) as f64))
                .collect();
            let edges = (0..self.next(edges))
                .map(|_| (self.next(count), self.next(count)))
                .collect();
            (sizes, edges)
        }
    }

    #[test]
    fn nothing_overlaps_and_all_is_inside() {
        let mut drawn = Drawn(1);
        let mut folded = 0;
        for nth in 0..300 {
            let (nodes, edges) = if nth < 200 { (12, 30) } else { (80, 100) };
            let (sizes, edges) = drawn.graph(nodes, edges);
            let layout = layered(&sizes, &edges, |_| Pin::Free, |_| [None, None]);
            assert!(!overlap(&layout, &sizes), "{sizes:?} {edges:?}");
            for (at, size) in layout.at.iter().zip(&sizes) {
                assert!(at.0 >= size.0 / 2.0 - 0.01 && at.1 >= size.1 / 2.0 - 0.01);
                assert!(at.0 + size.0 / 2.0 <= layout.size.0 + 0.01);
                assert!(at.1 + size.1 / 2.0 <= layout.size.1 + 0.01);
            }
            for &(x, y) in layout.bends.iter().flatten() {
                assert!(x >= -0.01 && x <= layout.size.0 + 0.01);
                assert!(y >= -0.01 && y <= layout.size.1 + 0.01);
            }
            let ways = layout.bends.iter().filter(|bends| is_way(bends));
            folded += ways.count().min(1);
        }
        assert!(folded > 10, "{folded} graphs went on in another column");
    }

    /// Whether an edge runs level somewhere, as those between columns do.
    fn is_way(bends: &[(f64, f64)]) -> bool {
        bends.windows(2).any(|pair| pair[0].1 == pair[1].1)
    }

    #[test]
    fn an_edge_passes_beside_every_node_that_is_not_its_end() {
        let mut drawn = Drawn(2);
        let mut looked_at = 0;
        for _ in 0..200 {
            let (sizes, edges) = drawn.graph(60, 80);
            let layout = layered(&sizes, &edges, |_| Pin::Free, |_| [None, None]);
            for (&(from, to), bends) in edges.iter().zip(&layout.bends) {
                let [Some(first), Some(last)] = [bends.first(), bends.last()] else {
                    continue;
                };
                // From the border of its source to that of its target.
                let border = |node: usize, &(x, y): &(f64, f64)| {
                    let ((mid_x, mid_y), (w, h)) = (layout.at[node], sizes[node]);
                    let reach = w / 2.0 - EDGE;
                    let x = mid_x + (x - mid_x).max(-reach).min(reach);
                    (x, mid_y + if y > mid_y { h / 2.0 } else { -h / 2.0 })
                };
                let mut bends = bends.clone();
                bends.insert(0, border(from, first));
                bends.push(border(to, last));
                for pair in bends.windows(2) {
                    for (node, (at, size)) in layout.at.iter().zip(&sizes).enumerate() {
                        let apart = |part: f64| {
                            let x = pair[0].0 + (pair[1].0 - pair[0].0) * part - at.0;
                            let y = pair[0].1 + (pair[1].1 - pair[0].1) * part - at.1;
                            x.abs() > size.0 / 2.0 - 0.5 || y.abs() > size.1 / 2.0 - 0.5
                        };
                        let is_end = node == from || node == to;
                        let passes = (0..=40).all(|part| apart(f64::from(part) / 40.0));
                        assert!(is_end || passes, "{from} to {to} is over {node}");
                        looked_at += 1;
                    }
                }
            }
        }
        assert!(looked_at > 10_000);
    }

    #[test]
    fn a_large_layout_is_neither_a_tower_nor_a_strip() {
        let chain: Vec<(usize, usize)> = (1..120).map(|n| (n - 1, n)).collect();
        let star: Vec<(usize, usize)> = (1..120).map(|n| (0, n)).collect();
        let pairs: Vec<(usize, usize)> = (1..60).map(|n| (n, n + 60)).collect();
        let mut drawn = Drawn(3);
        let random: Vec<(usize, usize)> = (0..180)
            .map(|_| (drawn.next(120), drawn.next(120)))
            .collect();
        for edges in [&chain, &star, &pairs, &random, &Vec::new()] {
            let layout = layered(&[(80.0, 30.0); 120], edges, |_| Pin::Free, |_| [None, None]);
            let (wide, high) = layout.size;
            assert!(wide < 2.0 * high && high < 2.0 * wide, "{wide} × {high}");
        }
        // Parts that no edge joins: the root's transitions to states that lead nowhere.
        let count = 2_000;
        let mut sizes = vec![(70.0, 40.0); count];
        sizes.extend((0..count).map(|nth| (60.0 + (nth % 50) as f64, 22.0)));
        sizes.extend(vec![(12.0, 12.0); count]);
        let edges = (0..count).flat_map(|n| [(2 * count + n, count + n), (count + n, n)]);
        let edges: Vec<(usize, usize)> = edges.collect();
        let pin = |node| match node / count {
            1 => Pin::After,
            _ => Pin::Free,
        };
        let layout = layered(&sizes, &edges, pin, |_| [None, None]);
        let (wide, high) = layout.size;
        assert!(wide < 2.0 * high && high < 2.0 * wide, "{wide} × {high}");
        assert!(!overlap(&layout, &sizes));
        // What fits a screen is left as it is.
        let layout = layered(
            &[(80.0, 30.0); 12],
            &chain[..11],
            |_| Pin::Free,
            |_| [None, None],
        );
        assert_eq!(layout.size.0, 80.0);
    }

    #[test]
    fn ways_to_one_node_share_a_trunk_and_others_keep_apart() {
        let mut edges: Vec<(usize, usize)> = (1..120).map(|n| (n - 1, n)).collect();
        edges.extend([(100, 3), (102, 3), (104, 5)]);
        let layout = layered(
            &[(80.0, 30.0); 120],
            &edges,
            |_| Pin::Free,
            |_| [None, None],
        );
        let last = |edge: usize| layout.bends[edge][layout.bends[edge].len() - 2..].to_vec();
        assert_eq!(last(119), last(120));
        let mut looked_at = apart(&edges, &layout);
        let mut drawn = Drawn(4);
        for _ in 0..200 {
            let (sizes, edges) = drawn.graph(60, 80);
            let layout = layered(&sizes, &edges, |_| Pin::Free, |_| [None, None]);
            looked_at += apart(&edges, &layout);
        }
        assert!(
            looked_at > 1_000,
            "{looked_at} pairs of parts beside each other"
        );
    }

    /// Looks that no level parts of edges without a common end lie on each other, nor upright ones;
    /// how many pairs run beside each other, not two tracks apart.
    fn apart(edges: &[(usize, usize)], layout: &Layout) -> usize {
        let mut parts = Vec::new();
        for (edge, bends) in layout.bends.iter().enumerate() {
            for pair in bends.windows(2) {
                let [(x, y), (to_x, to_y)] = [pair[0], pair[1]];
                if y == to_y {
                    parts.push((edge, true, y, x.min(to_x), x.max(to_x)));
                } else if x == to_x {
                    parts.push((edge, false, x, y.min(to_y), y.max(to_y)));
                }
            }
        }
        let mut beside = 0;
        for (nth, &(edge, is_level, line, from, to)) in parts.iter().enumerate() {
            for &(other, was_level, other_line, other_from, other_to) in &parts[..nth] {
                let (a, b) = (edges[edge], edges[other]);
                let has_common = a.0 == b.0 || a.1 == b.1 || a.0 == b.1 || a.1 == b.0;
                let meet = from.max(other_from) + 0.01 < to.min(other_to);
                if has_common || is_level != was_level || !meet {
                    continue;
                }
                let off = (line - other_line).abs();
                let bends = (&layout.bends[edge], &layout.bends[other]);
                assert!(off > 0.01, "{a:?} and {b:?} lie on each other: {bends:?}");
                beside += usize::from(off < 2.0 * TRACK);
            }
        }
        beside
    }

    #[test]
    fn regions_stand_in_columns_with_their_ports_beside_them() {
        // Four regions in two columns, and a port that leads to the lower one of the first.
        let sizes = [
            (60.0, 40.0),
            (60.0, 40.0),
            (60.0, 40.0),
            (60.0, 40.0),
            (8.0, 0.0),
        ];
        let pin = |node| if node == 4 { Pin::Top } else { Pin::Free };
        let columns = [Some(0), Some(0), Some(1), Some(1), None];
        let layout = stacked(&sizes, &[(4, 1)], pin, &columns);
        assert!(layout.at[0].1 < layout.at[1].1 && layout.at[1].0 < layout.at[2].0);
        assert_eq!(layout.at[4].1, layout.at[0].1);
        let beside = (layout.at[4].0 - layout.at[0].0).abs();
        assert!(beside > 30.0, "it passes the upper region");
    }

    #[test]
    fn regions_are_shared_out_only_where_a_row_would_be_too_wide() {
        assert_eq!(balanced(&[(100.0, 300.0); 3], 24.0), [0, 1, 2]);
        let columns = balanced(&[(400.0, 300.0); 12], 24.0);
        assert!(columns.is_sorted());
        assert!(columns[11] < 5 && columns[11] > 1, "{columns:?}");
    }

    #[test]
    fn an_edge_leads_down_and_the_way_back_up() {
        let layout = layered(
            &[(40.0, 20.0); 3],
            &[(0, 1), (1, 2), (2, 0)],
            |_| Pin::Free,
            |_| [None, None],
        );
        assert!(layout.at[0].1 < layout.at[1].1 && layout.at[1].1 < layout.at[2].1);
        assert_eq!(layout.bends[2].len(), 2, "it passes the middle rank");
    }

    #[test]
    fn crossings_are_counted_and_taken_out() {
        let below = vec![vec![3], vec![2], vec![], vec![]];
        assert_eq!(crossings(&[vec![0, 1], vec![2, 3]], &below), 1);
        let layout = layered(
            &[(10.0, 10.0); 4],
            &[(0, 3), (1, 2)],
            |_| Pin::Free,
            |_| [None, None],
        );
        let straight = |a: usize, b: usize| (layout.at[a].0 - layout.at[b].0).abs() < 0.01;
        assert!(straight(0, 3) && straight(1, 2));
    }

    #[test]
    fn a_pinned_node_is_at_the_edge_beside_nothing_that_it_leads_to() {
        // 0 leads to 1 to 2; 3 leaves 0 at the bottom, 4 comes to 2 from the top.
        let edges = [(0, 1), (1, 2), (0, 3), (4, 2)];
        let pin = |node| [Pin::Free, Pin::Free, Pin::Free, Pin::Bottom, Pin::Top][node];
        let layout = layered(&[(10.0, 10.0); 5], &edges, pin, |_| [None, None]);
        assert_eq!(layout.at[3].1, layout.at[2].1);
        assert_eq!(layout.at[4].1, layout.at[0].1);
        assert_eq!(
            leads_down(3, &[(0, 1), (1, 0), (1, 2)]),
            [true, false, true]
        );
    }
}
