//! A drawing's lines and words, once every box has its place.

use std::fmt::Write as _;

use super::super::layout::{EDGE, Layout, Pin};
use super::super::model::{Kind, Model, StateId};
use super::super::xml;
use super::boxes::{Box, Leg, Node, is_row};
use super::text::{pill, title};
use super::{HEADER, LINE, PAD};

pub(super) fn draw_box(
    model: &Model,
    boxes: &[Box],
    s: usize,
    out: &mut String,
    texts: &mut String,
) {
    let state = &model.states[s];
    let b = &boxes[s];
    let ((x, y), (w, h)) = (b.at, b.size);
    let region = state
        .parent
        .is_some_and(|p| model.states[p as usize].kind == Kind::Parallel);
    let _ = write!(out, "<g><title>{}</title>", xml::escaped(&state.id));
    if let Kind::History { deep } = state.kind {
        let text = if deep { "H*" } else { "H" };
        let (cx, cy) = (x + w / 2.0, y + h / 2.0);
        let _ = write!(
            out,
            "<circle class=\"state\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"13\"/>\
             <text class=\"name\" x=\"{cx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text></g>",
            cy + 4.5
        );
        return;
    }
    // Arrows to what is inside may pass behind the text of a box.
    let over = if b.children.is_empty() { "" } else { " over" };
    let class = match (state.kind, region) {
        (Kind::Compound | Kind::Parallel, true) => "box region",
        (Kind::Compound | Kind::Parallel, false) => "box",
        _ => "state",
    };
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"8\"/>"
    );
    if state.kind == Kind::Final {
        let _ = write!(
            out,
            "<rect class=\"ring\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"5\"/>",
            x + 3.5,
            y + 3.5,
            w - 7.0,
            h - 7.0
        );
    }
    // Of a state that has nothing else the name stands in the middle.
    let (name_x, anchor) = if b.lines.is_empty() && b.children.is_empty() {
        (x + w / 2.0, " text-anchor=\"middle\"")
    } else {
        (x + PAD, "")
    };
    let _ = write!(
        texts,
        "<text class=\"name{over}\" x=\"{name_x:.1}\" y=\"{:.1}\"{anchor}>{}</text>",
        y + if anchor.is_empty() {
            18.0
        } else {
            h / 2.0 + 4.5
        },
        xml::escaped(&title(model, s))
    );
    if !b.lines.is_empty() || !b.children.is_empty() {
        let _ = write!(
            out,
            "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{HEADER_Y:.1}\" y2=\"{HEADER_Y:.1}\"/>",
            x + w,
            HEADER_Y = y + HEADER
        );
    }
    for (nth, line) in b.lines.iter().enumerate() {
        let _ = write!(
            texts,
            "<text class=\"line{over}\" x=\"{:.1}\" y=\"{:.1}\"><title>{}</title>{}</text>",
            x + PAD,
            y + HEADER + 14.0 + nth as f64 * LINE,
            xml::escaped(&line.whole),
            xml::escaped(&line.text)
        );
    }
    out.push_str("</g>\n");
    for &child in &b.children {
        draw_box(model, boxes, child as usize, out, texts);
    }
}

pub(super) fn draw_arrows(
    model: &Model,
    boxes: &[Box],
    s: usize,
    out: &mut String,
    labels: &mut String,
) {
    let b = &boxes[s];
    let Some(layout) = &b.layout else { return };
    let moved = |p| b.moved(p);
    if is_row(model, b, s) {
        separators(boxes, b, out);
    }
    for (nth, arrow) in b.arrows.iter().enumerate().filter(|(_, a)| !a.is_leg) {
        let points = points(boxes, b, layout, nth);
        let head = if arrow.has_head {
            " marker-end=\"url(#head)\""
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<path class=\"arrow\" d=\"{}\"{head}/>",
            curve(&points)
        );
    }
    for (node, &at) in b.nodes.iter().zip(&layout.at) {
        let (x, y) = moved(at);
        match node {
            Node::Child(_) | Node::Port(_) => {}
            Node::Initial => {
                let _ = writeln!(
                    labels,
                    "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"
                );
            }
            Node::Itself => {
                let _ = writeln!(
                    labels,
                    "<circle class=\"port\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{} itself</title></circle>",
                    xml::escaped(&model.states[s].id)
                );
            }
            Node::Label { lines, whole } => {
                let (w, h) = pill(lines);
                let _ = write!(
                    labels,
                    "<g><title>{}</title><rect class=\"pill\" x=\"{:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"6\"/>",
                    xml::escaped(whole),
                    x - w / 2.0,
                    y - h / 2.0
                );
                for (nth, line) in lines.iter().enumerate() {
                    let class = if nth == 0 { "event" } else { "line" };
                    let _ = write!(
                        labels,
                        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                        y - h / 2.0 + 15.5 + nth as f64 * (LINE - 2.0),
                        xml::escaped(&line.text)
                    );
                }
                labels.push_str("</g>\n");
            }
        }
    }
}

/// Dashed lines between regions: from column to column, and below each but the last of a column.
fn separators(boxes: &[Box], b: &Box, out: &mut String) {
    let (top, bottom) = (b.at.1 + b.inset.1 - 4.0, b.at.1 + b.size.1);
    let mut line = |(x1, y1): (f64, f64), (x2, y2): (f64, f64)| {
        let _ = writeln!(
            out,
            "<line class=\"separator\" x1=\"{x1:.1}\" x2=\"{x2:.1}\" y1=\"{y1:.1}\" y2=\"{y2:.1}\"/>"
        );
    };
    for pair in b.children.windows(2) {
        let (one, next) = (&boxes[pair[0] as usize], &boxes[pair[1] as usize]);
        let right = one.at.0 + one.size.0;
        if next.at.0 < right {
            let y = (one.at.1 + one.size.1 + next.at.1) / 2.0;
            line((one.at.0, y), (right, y));
        } else {
            let x = (right + next.at.0) / 2.0;
            line((x, top), (x, bottom));
        }
    }
}

/// The points of an arrow that is drawn with its box, from its source to its target.
pub(super) fn points(boxes: &[Box], b: &Box, layout: &Layout, nth: usize) -> Vec<(f64, f64)> {
    let arrow = &b.arrows[nth];
    let first = area(boxes, b, layout, arrow.from, arrow.source);
    let last = area(boxes, b, layout, arrow.to, arrow.target);
    let mut points = vec![middle(first)];
    for leg in arrow.out_of.iter().rev() {
        let way = passed(boxes, leg);
        match leg.side {
            Pin::Top => points.extend(way.into_iter().rev()),
            _ => points.extend(way),
        }
    }
    points.extend(layout.bends[nth].iter().map(|&p| b.moved(p)));
    for leg in &arrow.into {
        let way = passed(boxes, leg);
        match leg.side {
            Pin::Top => points.extend(way),
            _ => points.extend(way.into_iter().rev()),
        }
    }
    points.push(middle(last));
    let count = points.len();
    let (second, last_but_one) = match count {
        2 => facing(first, last),
        _ => (points[1], points[count - 2]),
    };
    points[0] = attached(first, second);
    points[count - 1] = attached(last, last_but_one);
    points
}

/// A corner and a size.
type Area = ((f64, f64), (f64, f64));

impl Box {
    /// Where a point of the box's layout is in the drawing.
    pub(super) fn moved(&self, p: (f64, f64)) -> (f64, f64) {
        let at = (self.at.0 + self.inset.0, self.at.1 + self.inset.1);
        (at.0 + p.0, at.1 + p.1)
    }
}

/// The points that a leg passes, downwards, the one at the border included.
fn passed(boxes: &[Box], leg: &Leg) -> Vec<(f64, f64)> {
    let b = &boxes[leg.home as usize];
    let Some(layout) = &b.layout else {
        return Vec::new();
    };
    let arrow = &b.arrows[leg.arrow];
    let bends = layout.bends[leg.arrow].iter().map(|&p| b.moved(p));
    let mut points = Vec::new();
    if leg.side == Pin::Top {
        let port = b.moved(layout.at[arrow.from]);
        points.extend([(port.0, b.at.1), port]);
        points.extend(bends);
    } else {
        let port = b.moved(layout.at[arrow.to]);
        points.extend(bends);
        points.extend([port, (port.0, b.at.1 + b.size.1)]);
    }
    points
}

/// Corner and size of an arrow's end.
fn area(boxes: &[Box], home: &Box, layout: &Layout, node: usize, state: Option<StateId>) -> Area {
    if let Node::Child(child) = home.nodes[node] {
        let b = &boxes[state.unwrap_or(child) as usize];
        return (b.at, b.size);
    }
    let size = match &home.nodes[node] {
        Node::Label { lines, .. } => pill(lines),
        _ => (10.0, 10.0),
    };
    let at = home.moved(layout.at[node]);
    ((at.0 - size.0 / 2.0, at.1 - size.1 / 2.0), size)
}

fn middle(((x, y), (w, h)): Area) -> (f64, f64) {
    (x + w / 2.0, y + h / 2.0)
}

/// For an arrow straight from one area to another: what each end looks at. Where one lies above the
/// other and they overlap, the arrow is upright.
fn facing(a: Area, b: Area) -> ((f64, f64), (f64, f64)) {
    let left = (a.0.0).max(b.0.0) + EDGE;
    let right = (a.0.0 + a.1.0).min(b.0.0 + b.1.0) - EDGE;
    let (from, to) = (middle(a), middle(b));
    if left > right {
        return (to, from);
    }
    let narrow = if a.1.0 < b.1.0 { from } else { to };
    let x = narrow.0.clamp(left, right);
    ((x, to.1), (x, from.1))
}

/// Where an arrow to or from `to` meets the area: on the side that faces it, straight above or below
/// `to` where that can be.
fn attached(area: Area, to: (f64, f64)) -> (f64, f64) {
    let ((left, top), (w, h)) = area;
    let (x, y) = middle(area);
    let edge = EDGE.min(w / 2.0);
    let across = to.0.max(left + edge).min(left + w - edge);
    if to.1 >= top + h {
        (across, top + h)
    } else if to.1 <= top {
        (across, top)
    } else if to.0 < x {
        (left, y)
    } else {
        (left + w, y)
    }
}

/// A line through the points, round at its bends.
fn curve(points: &[(f64, f64)]) -> String {
    const ROUND: f64 = 20.0;
    let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    // As far along from one point to the other as the bend there is round.
    let towards = |(ax, ay): (f64, f64), (bx, by): (f64, f64)| {
        let length = (bx - ax).hypot(by - ay);
        let part = if length > 0.0 {
            (ROUND / length).min(0.5)
        } else {
            0.0
        };
        (ax + (bx - ax) * part, ay + (by - ay) * part)
    };
    for window in points.windows(3) {
        let (bend, (x, y)) = (towards(window[1], window[0]), window[1]);
        let (ex, ey) = towards(window[1], window[2]);
        let _ = write!(
            path,
            " L{:.1} {:.1} Q{x:.1} {y:.1} {ex:.1} {ey:.1}",
            bend.0, bend.1
        );
    }
    let (x, y) = points[points.len() - 1];
    let _ = write!(path, " L{x:.1} {y:.1}");
    path
}
