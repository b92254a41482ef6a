//! Charts of many states, as XState machines and as SCXML documents: one shape a name.

#![allow(dead_code, unreachable_pub)] // each user takes its part

use std::fmt::Write as _;

/// What a chart looks like. Every leaf leads to the next one of its parent by `GO` and has an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All states beside each other, one event.
    Wide,
    /// All states beside each other, each with an event of its own too.
    Events,
    /// The root takes an event for every tenth state.
    Root,
    /// Ten children to a state, as deep as that goes; every state has its own event.
    Nested,
    /// Chains of states in states, 90 deep; every state has its own event.
    Deep,
    /// A hundred regions, each of them wide, with a history and an event of its own.
    Regions,
}

pub const SHAPES: [Shape; 6] = [
    Shape::Wide,
    Shape::Events,
    Shape::Root,
    Shape::Nested,
    Shape::Deep,
    Shape::Regions,
];

impl Shape {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// A chart of this shape with about `states` states.
    pub fn tree(self, states: usize) -> Tree {
        let mut tree = Tree::default();
        let root = tree.push("m", None);
        match self {
            Self::Wide => tree.ring(root, states, false),
            Self::Events => tree.ring(root, states, true),
            Self::Root => {
                tree.ring(root, states, false);
                for nth in (1..states).step_by(10) {
                    tree.nodes[root].on.push((format!("E{nth}"), nth));
                }
            }
            Self::Nested => {
                let (mut level, mut below) = (vec![root], Vec::new());
                while tree.nodes.len() < states {
                    for &node in &level {
                        if tree.nodes.len() < states {
                            tree.ring(node, 10, true);
                            below.extend(&tree.nodes[node].children);
                        }
                    }
                    level = std::mem::take(&mut below);
                }
            }
            Self::Deep => {
                tree.ring(root, states.div_ceil(90), true);
                for top in tree.nodes[root].children.clone() {
                    let mut at = top;
                    for _ in 1..90 {
                        tree.ring(at, 1, true);
                        at = tree.nodes[at].children[0];
                    }
                }
            }
            Self::Regions => {
                tree.nodes[root].is_parallel = true;
                for nth in 0..100 {
                    let region = tree.push(&format!("r{nth}"), Some(root));
                    tree.ring(region, states / 100, false);
                    let first = tree.nodes[region].children[0];
                    let last = tree.nodes[region].children[states / 100 - 1];
                    tree.nodes[first].on.push((format!("ONE{nth}"), last));
                    tree.nodes[last].on.push((format!("ONE{nth}"), first));
                    tree.nodes[region].on.push((format!("BACK{nth}"), region));
                    tree.nodes[region].has_history = true;
                }
            }
        }
        tree
    }
}

#[derive(Default)]
pub struct Tree {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    id: String,
    children: Vec<usize>,
    on: Vec<(String, usize)>,
    is_parallel: bool,
    has_history: bool,
}

impl Tree {
    fn push(&mut self, id: &str, parent: Option<usize>) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node {
            id: id.to_owned(),
            ..Node::default()
        });
        if let Some(parent) = parent {
            self.nodes[parent].children.push(at);
        }
        at
    }

    /// Children that lead to each other by `GO`.
    fn ring(&mut self, parent: usize, count: usize, own: bool) {
        let first = self.nodes.len();
        for nth in 0..count {
            let at = self.push(&format!("s{}", first + nth), Some(parent));
            let next = first + (nth + 1) % count;
            self.nodes[at].on.push(("GO".to_owned(), next));
            if own {
                self.nodes[at].on.push((format!("E{at}"), next));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// As an XState machine.
    pub fn xstate(&self) -> String {
        let mut out = String::new();
        self.xstate_of(0, &mut out);
        out
    }

    fn xstate_of(&self, at: usize, out: &mut String) {
        let node = &self.nodes[at];
        let _ = write!(out, "{{\"id\":\"{}\"", node.id);
        let on: Vec<String> = (node.on.iter())
            .map(|(event, to)| {
                let to = &self.nodes[*to];
                let id = format!("#{}{}", to.id, if to.has_history { "h" } else { "" });
                format!("\"{event}\":{{\"target\":\"{id}\",\"actions\":\"count\"}}")
            })
            .collect();
        if !on.is_empty() {
            let _ = write!(out, ",\"on\":{{{}}}", on.join(","));
        }
        if node.is_parallel {
            out.push_str(",\"type\":\"parallel\"");
        } else if let Some(&first) = node.children.first() {
            let _ = write!(out, ",\"initial\":\"{}\"", self.nodes[first].id);
        }
        if !node.children.is_empty() {
            out.push_str(",\"states\":{");
            for (nth, &child) in node.children.iter().enumerate() {
                let comma = if nth > 0 { "," } else { "" };
                let _ = write!(out, "{comma}\"{}\":", self.nodes[child].id);
                self.xstate_of(child, out);
            }
            if node.has_history {
                let id = format!("{}h", node.id);
                let _ = write!(out, ",\"{id}\":{{\"id\":\"{id}\",\"type\":\"history\"}}");
            }
            out.push('}');
        }
        out.push('}');
    }

    /// As an SCXML document.
    pub fn scxml(&self) -> String {
        let mut out = String::from(
            "<scxml xmlns=\"http://www.w3.org/2005/07/scxml\" version=\"1.0\">\n\
             <datamodel><data id=\"count\" expr=\"0\"/></datamodel>\n",
        );
        self.scxml_of(0, &mut out);
        out.push_str("</scxml>\n");
        out
    }

    fn scxml_of(&self, at: usize, out: &mut String) {
        let node = &self.nodes[at];
        let name = if node.is_parallel {
            "parallel"
        } else {
            "state"
        };
        let _ = writeln!(out, "<{name} id=\"{}\">", node.id);
        if node.has_history {
            let first = &self.nodes[node.children[0]].id;
            let _ = writeln!(
                out,
                "<history id=\"{}h\"><transition target=\"{first}\"/></history>",
                node.id
            );
        }
        for (event, to) in &node.on {
            let to = &self.nodes[*to];
            let history = if to.has_history { "h" } else { "" };
            let _ = writeln!(
                out,
                "<transition event=\"{event}\" target=\"{}{history}\"><assign location=\"count\" expr=\"count + 1\"/></transition>",
                to.id
            );
        }
        for &child in &node.children {
            self.scxml_of(child, out);
        }
        let _ = writeln!(out, "</{name}>");
    }
}
