//! What a drawing's boxes hold and how large they are, worked out inside out.

use super::super::layout::{Layout, Pin, balanced, layered, leads_down, stacked};
use super::super::model::{ActionId, Kind, Model, StateId, Transition};
use super::text::{BOLD, Line, is_after, label, names, pill, title, width, wrapped};
use super::{HEADER, LINE, PAD};

/// One state's box.
#[derive(Default)]
pub(super) struct Box {
    pub(super) children: Vec<StateId>,
    pub(super) lines: Vec<Line>,
    pub(super) size: (f64, f64),
    /// The upper left corner, once placed.
    pub(super) at: (f64, f64),
    /// Where the contents begin inside of the box.
    pub(super) inset: (f64, f64),
    pub(super) nodes: Vec<Node>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) layout: Option<Layout>,
}

/// What a box's layout places.
pub(super) enum Node {
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
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) source: Option<StateId>,
    pub(super) target: Option<StateId>,
    pub(super) has_head: bool,
    /// What it goes on with inside of the children at its ends, the outermost first.
    pub(super) out_of: Vec<Leg>,
    pub(super) into: Vec<Leg>,
    /// Part of an arrow that is drawn with the box around.
    pub(super) is_leg: bool,
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
pub(super) struct Leg {
    pub(super) home: StateId,
    pub(super) arrow: usize,
    pub(super) side: Pin,
}

pub(super) fn measure(model: &Model) -> Vec<Box> {
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
    let mut sizes: Vec<(f64, f64)> = boxes[s]
        .nodes
        .iter()
        .map(|node| match node {
            Node::Child(child) => boxes[*child as usize].size,
            Node::Initial | Node::Itself => (12.0, 12.0),
            Node::Port(_) => (8.0, 0.0),
            Node::Label { lines, .. } => pill(lines),
        })
        .collect();
    let columns = is_row(model, &boxes[s], s).then(|| widened(boxes, s, &mut sizes));
    let pin = |node: usize| match boxes[s].nodes[node] {
        Node::Port(side) => side,
        Node::Label { .. } => Pin::After,
        Node::Initial => Pin::Before,
        Node::Child(_) | Node::Itself => Pin::Free,
    };
    let edges: Vec<_> = boxes[s].arrows.iter().map(|a| (a.from, a.to)).collect();
    let anchor = |edge: usize| {
        let arrow = &boxes[s].arrows[edge];
        [&arrow.out_of, &arrow.into].map(|legs| legs.first().and_then(|leg| port(boxes, leg)))
    };
    let layout = match &columns {
        Some(columns) => stacked(&sizes, &edges, pin, columns),
        None => layered(&sizes, &edges, pin, anchor),
    };
    let (wide, high) = layout.size;
    let inset_x = PAD + ((own.0 - 2.0 * PAD - wide) / 2.0).max(0.0);
    boxes[s].inset = (inset_x, own.1 + 4.0);
    boxes[s].size = ((wide + 2.0 * PAD).max(own.0), own.1 + 4.0 + high + PAD);
    boxes[s].layout = Some(layout);
}

/// Whether a box's regions stand side by side: no transition leads from one to another.
pub(super) fn is_row(model: &Model, b: &Box, s: usize) -> bool {
    model.states[s].kind == Kind::Parallel && b.arrows.iter().all(|arrow| arrow.is_leg)
}

/// The column of each region, `None` for ports; regions of one column are made equally wide.
fn widened(boxes: &mut [Box], s: usize, sizes: &mut [(f64, f64)]) -> Vec<Option<usize>> {
    let regions = boxes[s].children.len();
    let columns = balanced(&sizes[..regions], 2.0 * PAD);
    let mut widest = vec![0.0_f64; regions];
    for (size, &column) in sizes.iter().zip(&columns) {
        widest[column] = widest[column].max(size.0);
    }
    for (nth, &column) in columns.iter().enumerate() {
        let child = boxes[s].children[nth] as usize;
        let more = widest[column] - sizes[nth].0;
        sizes[nth].0 += more;
        boxes[child].size.0 += more;
        boxes[child].inset.0 += more / 2.0;
    }
    let mut columns: Vec<Option<usize>> = columns.into_iter().map(Some).collect();
    columns.resize(sizes.len(), None);
    columns
}

/// How far beside the middle of its box a leg's port is.
fn port(boxes: &[Box], leg: &Leg) -> Option<f64> {
    let b = &boxes[leg.home as usize];
    let arrow = &b.arrows[leg.arrow];
    let node = match leg.side {
        Pin::Top => arrow.from,
        _ => arrow.to,
    };
    let at = b.layout.as_ref()?.at[node];
    Some(b.inset.0 + at.0 - b.size.0 / 2.0)
}

pub(super) fn place(boxes: &mut [Box], s: usize, at: (f64, f64)) {
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
