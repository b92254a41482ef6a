//! Drawings of a chart as SVG: boxes in boxes, complete in one file, light and dark.
//!
//! ```text
//!   model ─▶ measure (inside out: a state's size is that of its contents, laid out in layers,
//!   │                 in which each transition's label is a node like a state)
//!   └──────▶ place (outside in) ─▶ boxes, then arrows, then labels
//! ```
//!
//! A transition is laid out in the smallest state that holds its source and its targets, between
//! the children that contain them. To a state deeper inside a child it goes on through a port at the
//! child's border, and from there in a layout of the child's own, so that it passes what is in
//! there. One that changes no state, or comes back to its own, is a line in the state's box.

use std::fmt::Write as _;

use super::draw::{events_text, guard_text};
use super::layout::{Layout, Pin, layered, leads_down};
use super::model::{ActionId, Kind, Model, StateId, Transition, Trigger};
use super::xml;

const LINE: f64 = 17.0;
const PAD: f64 = 12.0;
const HEADER: f64 = 26.0;
/// Longer lines are cut; the whole is in the label's tool tip.
const CHARS_MAX: usize = 38;

/// The chart as an SVG drawing: no scripts, no foreign files, colors for light and dark screens.
///
/// O(states × sweeps) but for charts with many transitions across levels. The drawing of a model
/// with errors shows what could be read.
pub fn svg(model: &Model) -> String {
    if model.states.is_empty() {
        return page(&model.name, (2.0 * PAD, 2.0 * PAD), "");
    }
    let mut boxes = measure(model);
    place(&mut boxes, 0, (PAD, PAD));
    let mut body = String::new();
    let mut labels = String::new();
    draw_box(model, &boxes, 0, &mut body, &mut labels);
    for state in 0..boxes.len() {
        draw_arrows(model, &boxes, state, &mut body, &mut labels);
    }
    body.push_str(&labels);
    let (width, height) = boxes[0].size;
    page(&model.name, (width + 2.0 * PAD, height + 2.0 * PAD), &body)
}

/// One state's box.
#[derive(Default)]
struct Box {
    children: Vec<StateId>,
    lines: Vec<Line>,
    size: (f64, f64),
    /// The upper left corner, once placed.
    at: (f64, f64),
    /// Where the contents begin inside of the box.
    inset: (f64, f64),
    nodes: Vec<Node>,
    arrows: Vec<Arrow>,
    layout: Option<Layout>,
}

struct Line {
    text: String,
    whole: String,
}

/// What a box's layout places.
enum Node {
    Child(StateId),
    /// Where the box begins.
    Initial,
    /// The box itself, as an end of an arrow inside of it.
    Itself,
    /// Where an arrow passes the box's border.
    Port(Pin),
    Label {
        lines: Vec<Line>,
        whole: String,
    },
}

/// An edge of a box's layout, and the states at its ends where they are deeper.
struct Arrow {
    from: usize,
    to: usize,
    source: Option<StateId>,
    target: Option<StateId>,
    has_head: bool,
    /// What it goes on with inside of the children at its ends, the outermost first.
    out_of: Vec<Leg>,
    into: Vec<Leg>,
    /// Part of an arrow that is drawn with the box around.
    is_leg: bool,
}

impl Arrow {
    fn new(from: usize, to: usize) -> Self {
        Self {
            from,
            to,
            source: None,
            target: None,
            has_head: false,
            out_of: Vec::new(),
            into: Vec::new(),
            is_leg: false,
        }
    }
}

/// A part of an arrow within a box: between a child and a port, downwards.
#[derive(Clone, Copy)]
struct Leg {
    home: StateId,
    arrow: usize,
    side: Pin,
}

fn measure(model: &Model) -> Vec<Box> {
    let mut boxes: Vec<Box> = model.states.iter().map(|_| Box::default()).collect();
    for (s, state) in model.states.iter().enumerate() {
        if let Some(parent) = state.parent {
            boxes[parent as usize].children.push(s as StateId);
        }
        let mut lines = Vec::new();
        let arms = state.transitions.iter().any(is_after);
        for (word, actions) in [("entry", &state.entry), ("exit", &state.exit)] {
            // The transition says the delay.
            let own = |a: &&ActionId| {
                let name = model.actions.get(**a as usize).map_or("", String::as_str);
                let is_timer = name.starts_with("after ") || name.starts_with("cancel after ");
                !(arms && is_timer)
            };
            let actions: Vec<ActionId> = actions.iter().filter(own).copied().collect();
            if !actions.is_empty() {
                lines.extend(wrapped(&format!("{word} / {}", names(model, &actions))));
            }
        }
        for t in &state.transitions {
            if stays(t, s as StateId) {
                let text = label(model, t).join(" ");
                let sign = if t.targets.is_empty() { "" } else { "↻ " };
                lines.extend(wrapped(&format!("{sign}{text}")));
            }
        }
        if !state.tags.is_empty() {
            lines.extend(wrapped(&format!("tags {}", state.tags.join(", "))));
        }
        boxes[s].lines = lines;
    }
    for (s, state) in model.states.iter().enumerate() {
        let source = s as StateId;
        if state.kind == Kind::Compound || matches!(state.kind, Kind::History { .. }) {
            let home = match state.kind {
                Kind::Compound => Some(source),
                _ => state.parent,
            };
            for &target in &state.initial.targets {
                if let Some(home) = home {
                    initial(model, &mut boxes, home, source, target);
                }
            }
        }
        for t in state.transitions.iter().filter(|t| !stays(t, source)) {
            transition(model, &mut boxes, source, t);
        }
    }
    for s in 0..boxes.len() {
        legs(model, &mut boxes, s);
    }
    for s in (0..boxes.len()).rev() {
        size(model, &mut boxes, s);
    }
    boxes
}

/// Gives the arrows of a box their ways through its children. Boxes around come first: what leads
/// up and down there decides where a child is left.
fn legs(model: &Model, boxes: &mut [Box], s: usize) {
    let edges: Vec<_> = boxes[s].arrows.iter().map(|a| (a.from, a.to)).collect();
    let down = leads_down(boxes[s].nodes.len(), &edges);
    for (nth, down) in down.into_iter().enumerate() {
        let arrow = &boxes[s].arrows[nth];
        let child = |node: usize| match boxes[s].nodes[node] {
            Node::Child(child) => Some(child),
            _ => None,
        };
        let (first, last) = if down {
            (Pin::Bottom, Pin::Top)
        } else {
            (Pin::Top, Pin::Bottom)
        };
        let source = child(arrow.from).zip(arrow.source);
        let target = child(arrow.to).zip(arrow.target);
        let mut way = |end: Option<(StateId, StateId)>, side| match end {
            Some((child, state)) => ports(model, boxes, child, state, side),
            None => Vec::new(),
        };
        let (out_of, into) = (way(source, first), way(target, last));
        let arrow = &mut boxes[s].arrows[nth];
        (arrow.out_of, arrow.into) = (out_of, into);
    }
}

/// A port in each box from `outer` to the one around `state`.
fn ports(model: &Model, boxes: &mut [Box], outer: StateId, state: StateId, side: Pin) -> Vec<Leg> {
    let mut legs = Vec::new();
    let mut home = outer;
    while let Some(child) = (home != state)
        .then(|| child_towards(model, home, state))
        .flatten()
    {
        let inside = child_node(boxes, home, child);
        let b = &mut boxes[home as usize];
        b.nodes.push(Node::Port(side));
        let port = b.nodes.len() - 1;
        let mut arrow = match side {
            Pin::Top => Arrow::new(port, inside),
            _ => Arrow::new(inside, port),
        };
        arrow.is_leg = true;
        b.arrows.push(arrow);
        legs.push(Leg {
            home,
            arrow: b.arrows.len() - 1,
            side,
        });
        home = child;
    }
    legs
}

/// Whether a transition is a line in its state's box.
fn stays(t: &Transition, source: StateId) -> bool {
    t.targets.iter().all(|&target| target == source)
}

fn initial(model: &Model, boxes: &mut [Box], home: StateId, source: StateId, target: StateId) {
    let Some(inside) = child_towards(model, home, target) else {
        return;
    };
    let to = child_node(boxes, home, inside);
    let from = if source == home {
        let nodes = &mut boxes[home as usize].nodes;
        nodes.push(Node::Initial);
        nodes.len() - 1
    } else {
        child_node(boxes, home, source)
    };
    boxes[home as usize].arrows.push(Arrow {
        target: Some(target),
        has_head: true,
        ..Arrow::new(from, to)
    });
}

fn transition(model: &Model, boxes: &mut [Box], source: StateId, t: &Transition) {
    let home = t
        .targets
        .iter()
        .fold(source, |home, &target| meet(model, home, target));
    let from = end(model, boxes, home, source);
    let words = label(model, t);
    let label = if words.is_empty() {
        None
    } else {
        let whole = words.join(" ");
        let mut lines: Vec<Line> = words.iter().flat_map(|word| wrapped(word)).collect();
        for line in &mut lines {
            line.text = line.text.trim_start().to_owned(); // they are centered
        }
        let nodes = &mut boxes[home as usize].nodes;
        nodes.push(Node::Label { lines, whole });
        Some(nodes.len() - 1)
    };
    if let Some(label) = label {
        boxes[home as usize].arrows.push(Arrow {
            source: Some(source),
            ..Arrow::new(from, label)
        });
    }
    for &target in &t.targets {
        let to = end(model, boxes, home, target);
        boxes[home as usize].arrows.push(Arrow {
            source: label.is_none().then_some(source),
            target: Some(target),
            has_head: true,
            ..Arrow::new(label.unwrap_or(from), to)
        });
    }
}

/// The node in `home` that stands for a state in it, or for `home` itself.
fn end(model: &Model, boxes: &mut [Box], home: StateId, state: StateId) -> usize {
    match child_towards(model, home, state) {
        Some(child) => child_node(boxes, home, child),
        None => {
            let nodes = &mut boxes[home as usize].nodes;
            nodes.push(Node::Itself);
            nodes.len() - 1
        }
    }
}

/// The node of a child; children come first, in document order.
fn child_node(boxes: &mut [Box], home: StateId, child: StateId) -> usize {
    let home = &mut boxes[home as usize];
    if home.nodes.is_empty() {
        home.nodes = home.children.iter().map(|&c| Node::Child(c)).collect();
    }
    let is_it = |node: &Node| matches!(node, Node::Child(c) if *c == child);
    match home.nodes.iter().position(is_it) {
        Some(at) => at,
        None => {
            home.nodes.push(Node::Child(child));
            home.nodes.len() - 1
        }
    }
}

fn child_towards(model: &Model, home: StateId, mut state: StateId) -> Option<StateId> {
    loop {
        let parent = model.states[state as usize].parent?;
        if parent == home {
            return Some(state);
        }
        state = parent;
    }
}

/// The innermost state that is or holds both.
fn meet(model: &Model, a: StateId, b: StateId) -> StateId {
    let mut chain = vec![a];
    while let Some(parent) = model.states[chain[chain.len() - 1] as usize].parent {
        chain.push(parent);
    }
    let mut at = b;
    while !chain.contains(&at) {
        match model.states[at as usize].parent {
            Some(parent) => at = parent,
            None => return 0,
        }
    }
    at
}

fn size(model: &Model, boxes: &mut [Box], s: usize) {
    let children = boxes[s].children.clone();
    for child in children {
        child_node(boxes, s as StateId, child);
    }
    let state = &model.states[s];
    let title = title(model, s);
    let lines = &boxes[s].lines;
    let widest = lines.iter().map(|l| width(&l.text)).fold(0.0, f64::max);
    let mut own = (
        (width(&title) * BOLD).max(widest) + 2.0 * PAD,
        HEADER + lines.len() as f64 * LINE + if lines.is_empty() { 6.0 } else { PAD },
    );
    if matches!(state.kind, Kind::History { .. }) {
        own = (28.0, 28.0);
    }
    if boxes[s].nodes.is_empty() {
        boxes[s].size = own;
        return;
    }
    let sizes: Vec<(f64, f64)> = boxes[s]
        .nodes
        .iter()
        .map(|node| match node {
            Node::Child(child) => boxes[*child as usize].size,
            Node::Initial | Node::Itself => (12.0, 12.0),
            Node::Port(_) => (8.0, 0.0),
            Node::Label { lines, .. } => pill(lines),
        })
        .collect();
    let layout = if is_row(model, &boxes[s], s) {
        row(&boxes[s], &sizes)
    } else {
        let edges: Vec<_> = boxes[s].arrows.iter().map(|a| (a.from, a.to)).collect();
        layered(&sizes, &edges, |node| match boxes[s].nodes[node] {
            Node::Port(side) => side,
            _ => Pin::Free,
        })
    };
    let (wide, high) = layout.size;
    let inset_x = PAD + ((own.0 - 2.0 * PAD - wide) / 2.0).max(0.0);
    boxes[s].inset = (inset_x, own.1 + 4.0);
    boxes[s].size = ((wide + 2.0 * PAD).max(own.0), own.1 + 4.0 + high + PAD);
    boxes[s].layout = Some(layout);
}

/// Whether a box's regions stand side by side: no transition leads from one to another.
fn is_row(model: &Model, b: &Box, s: usize) -> bool {
    model.states[s].kind == Kind::Parallel && b.arrows.iter().all(|arrow| arrow.is_leg)
}

/// Regions side by side, each with the ports of the arrows that lead to it or away.
fn row(b: &Box, sizes: &[(f64, f64)]) -> Layout {
    let height = sizes.iter().map(|s| s.1).fold(0.0, f64::max);
    let mut at = vec![(0.0, 0.0); sizes.len()];
    let mut x = 0.0;
    for (node, size) in b.nodes.iter().zip(sizes).enumerate() {
        if let (Node::Child(_), size) = size {
            at[node] = (x + size.0 / 2.0, size.1 / 2.0);
            x += size.0 + 2.0 * PAD;
        }
    }
    for arrow in &b.arrows {
        let (port, child, y) = match b.nodes[arrow.from] {
            Node::Port(_) => (arrow.from, arrow.to, 0.0),
            _ => (arrow.to, arrow.from, height),
        };
        at[port] = (at[child].0, y);
    }
    Layout {
        at,
        bends: vec![Vec::new(); b.arrows.len()],
        size: ((x - 2.0 * PAD).max(0.0), height),
    }
}

fn place(boxes: &mut [Box], s: usize, at: (f64, f64)) {
    boxes[s].at = at;
    let origin = (at.0 + boxes[s].inset.0, at.1 + boxes[s].inset.1);
    let mut inside = Vec::new();
    if let Some(layout) = &boxes[s].layout {
        for (node, middle) in boxes[s].nodes.iter().zip(&layout.at) {
            if let Node::Child(child) = node {
                let size = boxes[*child as usize].size;
                let corner = (
                    origin.0 + middle.0 - size.0 / 2.0,
                    origin.1 + middle.1 - size.1 / 2.0,
                );
                inside.push((*child as usize, corner));
            }
        }
    }
    for (child, corner) in inside {
        place(boxes, child, corner);
    }
}

fn draw_box(model: &Model, boxes: &[Box], s: usize, out: &mut String, texts: &mut String) {
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

fn draw_arrows(model: &Model, boxes: &[Box], s: usize, out: &mut String, labels: &mut String) {
    let b = &boxes[s];
    let Some(layout) = &b.layout else { return };
    let moved = |p| b.moved(p);
    if is_row(model, b, s) {
        for pair in b.children.windows(2) {
            let left = &boxes[pair[0] as usize];
            let x = left.at.0 + left.size.0 + PAD;
            let _ = writeln!(
                out,
                "<line class=\"separator\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                b.at.1 + b.inset.1 - 4.0,
                b.at.1 + b.size.1
            );
        }
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

/// The points of an arrow that is drawn with its box, from its source to its target.
fn points(boxes: &[Box], b: &Box, layout: &Layout, nth: usize) -> Vec<(f64, f64)> {
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
    fn moved(&self, p: (f64, f64)) -> (f64, f64) {
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

/// The size of a transition's label.
fn pill(lines: &[Line]) -> (f64, f64) {
    let widest = lines.iter().map(|l| width(&l.text)).fold(0.0, f64::max);
    (widest + 14.0, lines.len() as f64 * (LINE - 2.0) + 8.0)
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

/// No arrow ends nearer to the corner of a box.
const EDGE: f64 = 10.0;

/// Where an arrow to or from `to` meets the area: on the side that faces it, straight above or below
/// `to` where that can be.
fn attached(area: Area, to: (f64, f64)) -> (f64, f64) {
    let ((left, top), (w, h)) = area;
    let (x, y) = middle(area);
    let edge = EDGE.min(w / 2.0);
    let across = to.0.clamp(left + edge, left + w - edge);
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

/// A smooth line through the points: straight between the middles, bent at the points.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    for window in points.windows(3) {
        let ((bx, by), (cx, cy)) = (window[1], window[2]);
        let last = std::ptr::eq(&window[2], &points[points.len() - 1]);
        let (ex, ey) = if last {
            (cx, cy)
        } else {
            ((bx + cx) / 2.0, (by + cy) / 2.0)
        };
        let _ = write!(path, " Q{bx:.1} {by:.1} {ex:.1} {ey:.1}");
    }
    if points.len() == 2 {
        let _ = write!(path, " L{:.1} {:.1}", points[1].0, points[1].1);
    }
    path
}

fn title(model: &Model, s: usize) -> String {
    let state = &model.states[s];
    let names = [&state.key, &state.id, &model.name];
    let name = names.into_iter().find(|name| !name.is_empty());
    let name = cut(name.map_or("chart", String::as_str));
    match state.kind {
        Kind::Parallel => format!("{name} ∥"),
        _ => name,
    }
}

/// A transition's event, guard and actions, a line each.
fn label(model: &Model, t: &Transition) -> Vec<String> {
    let mut words = Vec::new();
    match &t.trigger {
        Trigger::Events(list) => words.push(events_text(model, list, ", ")),
        Trigger::Always if t.guard.is_none() && t.actions.is_empty() => {}
        Trigger::Always => words.push("always".to_owned()),
    }
    if let Some(guard) = &t.guard {
        words.push(format!("[{}]", guard_text(model, guard)));
    }
    if !t.actions.is_empty() {
        words.push(format!("/ {}", names(model, &t.actions)));
    }
    words
}

fn names(model: &Model, actions: &[ActionId]) -> String {
    let names: Vec<&str> = actions
        .iter()
        .filter_map(|&a| model.actions.get(a as usize).map(String::as_str))
        .collect();
    names.join(", ")
}

/// Whether the transition waits for a delay of its state.
fn is_after(transition: &Transition) -> bool {
    match &transition.trigger {
        Trigger::Events(names) => names.iter().any(|name| name.starts_with("xstate.after.")),
        Trigger::Always => false,
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

/// A text in lines, broken where a list goes on; what is more than three lines is cut.
fn wrapped(text: &str) -> Vec<Line> {
    const LINES_MAX: usize = 3;
    let mut lines: Vec<String> = Vec::new();
    for part in text.split_inclusive(", ") {
        match lines.last_mut() {
            Some(last) if last.chars().count() + part.trim_end().chars().count() <= CHARS_MAX => {
                last.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX);
        lines[LINES_MAX - 1].push('…');
    }
    let line = |(nth, part): (usize, &String)| {
        let indent = if nth > 0 { "\u{2003}" } else { "" };
        Line {
            text: format!("{indent}{}", cut(part.trim_end())),
            whole: text.to_owned(),
        }
    };
    lines.iter().enumerate().map(line).collect()
}

/// How much wider a name is, at 13 px and in bold.
const BOLD: f64 = 1.25;

/// About how wide a text is at 12 px: the fonts of readers differ, so on the safe side.
fn width(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | '['
            | ']' => 4.2,
            'f' | 'r' | 't' | ' ' | '/' | '-' => 5.0,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 10.8,
            'A'..='Z' | '_' | '=' | '<' | '>' | '+' | '&' => 8.6,
            c if (c as u32) < 0x2E80 => 7.1,
            _ => 12.5,
        })
        .sum()
}

fn page(name: &str, (width, height): (f64, f64), body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto-start-reverse\"><path class=\"head\" \
         d=\"M0 1 L10 5 L0 9 z\"/></marker></defs>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        xml::escaped(name)
    )
}

/// Colors stand in the rules themselves: many viewers outside of browsers know no CSS variables.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#5b6675}\
.name{font-weight:600;font-size:13px;fill:#1f2733}.event{fill:#0b57b8;font-weight:500}\
.over{stroke:#f5f7fa;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}\
.paper{fill:#fff}.box{fill:#f5f7fa;stroke:#b9c2cd}.region{fill:none;stroke:none}\
.state,.ring{fill:#fff;stroke:#737f90}.ring{fill:none}\
.rule{stroke:#c4ccd6}.separator{stroke:#8a94a3;stroke-dasharray:5 4}\
.arrow{fill:none;stroke:#737f90;stroke-width:1.3}.head,.dot{fill:#737f90}\
.port{fill:#fff;stroke:#737f90}.pill{fill:#e3edfb}\
@media(prefers-color-scheme:dark){text{fill:#a5afbd}.name{fill:#e7ebf1}.event{fill:#8fbdf8}\
.over{stroke:#1b212a}.paper{fill:#14181f}.box{fill:#1b212a;stroke:#465263}\
.region{fill:none;stroke:none}.state,.ring{fill:#232b36;stroke:#8793a5}.ring{fill:none}\
.rule{stroke:#3a4453}.separator{stroke:#7d8797}.arrow{stroke:#8793a5}.head,.dot{fill:#8793a5}\
.port{fill:#14181f;stroke:#8793a5}.pill{fill:#20324d}}";

#[cfg(test)]
mod tests {
    use super::super::model::{Initial, Place, Rules, State};
    use super::*;

    fn two() -> Model {
        let mut model = Model::new("m & co", Rules::XSTATE);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = Initial {
            targets: vec![1],
            actions: Vec::new(),
        };
        model.push(root);
        let mut a = State::new("a<b", Some(0), Kind::Atomic);
        a.transitions.push(Transition {
            trigger: Trigger::Events(vec!["GO".to_owned()]),
            guard: None,
            targets: vec![2],
            internal: true,
            actions: Vec::new(),
            place: Place::default(),
        });
        model.push(a);
        model.push(State::new("b", Some(0), Kind::Final));
        model
    }

    #[test]
    fn a_drawing_holds_every_state_and_label_once_and_nothing_foreign() {
        let drawing = svg(&two());
        for part in [">a&lt;b</text>", ">b</text>", ">GO</text>", "m &amp; co"] {
            assert_eq!(drawing.matches(part).count(), 1, "{part}");
        }
        assert_eq!(drawing.matches("class=\"ring\"").count(), 1);
        assert_eq!(drawing.matches("class=\"dot\"").count(), 1);
        assert!(!drawing.contains("href"));
    }

    #[test]
    fn children_lie_inside_of_their_parents_and_apart_from_each_other() {
        let model = two();
        let mut boxes = measure(&model);
        place(&mut boxes, 0, (0.0, 0.0));
        let (root, a, b) = (&boxes[0], &boxes[1], &boxes[2]);
        for inner in [a, b] {
            assert!(inner.at.0 >= root.at.0 && inner.at.1 >= root.at.1);
            assert!(inner.at.0 + inner.size.0 <= root.at.0 + root.size.0);
            assert!(inner.at.1 + inner.size.1 <= root.at.1 + root.size.1);
        }
        assert!(a.at.1 + a.size.1 < b.at.1, "the label is between them");
    }

    /// `outer` holds a chain of three states; the first leads out to `end`, and `end` back to the last.
    fn chained() -> Model {
        let mut model = Model::new("m", Rules::XSTATE);
        let to = |target: StateId| Transition {
            trigger: Trigger::Events(vec![format!("TO{target}")]),
            guard: None,
            targets: vec![target],
            internal: true,
            actions: Vec::new(),
            place: Place::default(),
        };
        let starts = |target| Initial {
            targets: vec![target],
            actions: Vec::new(),
        };
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = starts(1);
        model.push(root);
        let mut outer = State::new("outer", Some(0), Kind::Compound);
        outer.initial = starts(2);
        model.push(outer);
        for (id, targets) in [("a", vec![3, 5]), ("b", vec![4]), ("c", vec![2])] {
            let mut state = State::new(id, Some(1), Kind::Atomic);
            state.transitions = targets.into_iter().map(to).collect();
            model.push(state);
        }
        let mut end = State::new("end", Some(0), Kind::Atomic);
        end.transitions = vec![to(4)];
        model.push(end);
        model
    }

    #[test]
    fn an_arrow_out_of_a_state_passes_what_else_is_in_there() {
        let model = chained();
        let mut boxes = measure(&model);
        place(&mut boxes, 0, (0.0, 0.0));
        let root = &boxes[0];
        let layout = root.layout.as_ref().expect("it has children");
        let mut through = 0;
        for (nth, arrow) in root.arrows.iter().enumerate() {
            through += arrow.out_of.len() + arrow.into.len();
            let points = points(&boxes, root, layout, nth);
            for pair in points.windows(2) {
                for step in 1..50 {
                    let part = f64::from(step) / 50.0;
                    let x = pair[0].0 + (pair[1].0 - pair[0].0) * part;
                    let y = pair[0].1 + (pair[1].1 - pair[0].1) * part;
                    for leaf in &boxes[2..] {
                        let ((left, top), (w, h)) = (leaf.at, leaf.size);
                        let inside = x > left && x < left + w && y > top && y < top + h;
                        assert!(!inside, "({x}, {y}) of {points:?} is in a box");
                    }
                }
            }
        }
        assert_eq!(through, 2, "one port out of the outer state, one into it");
    }

    #[test]
    fn lists_are_broken_into_lines_and_none_is_longer_than_a_box() {
        let short = wrapped("entry / a, b");
        assert_eq!(short.len(), 1);
        let long = "entry / ".to_owned() + &["anActionWithALongName"; 9].join(", ");
        let lines = wrapped(&long);
        assert_eq!(lines.len(), 3);
        assert!(
            lines
                .iter()
                .all(|l| l.text.chars().count() <= CHARS_MAX + 2)
        );
        assert!(lines[2].text.ends_with('…') && lines[2].whole == long);
    }
}
