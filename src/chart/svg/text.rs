//! A chart's names in the words and lines of a drawing, and how much room they take.

use super::super::draw::{events_text, guard_text};
use super::super::model::{ActionId, Kind, Model, Transition, Trigger};
use super::LINE;

/// Longer lines are cut; the whole is in the label's tool tip.
pub(super) const CHARS_MAX: usize = 38;

pub(super) struct Line {
    pub(super) text: String,
    pub(super) whole: String,
}

/// The size of a transition's label.
pub(super) fn pill(lines: &[Line]) -> (f64, f64) {
    let widest = lines.iter().map(|l| width(&l.text)).fold(0.0, f64::max);
    (widest + 14.0, lines.len() as f64 * (LINE - 2.0) + 8.0)
}

pub(super) fn title(model: &Model, s: usize) -> String {
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
pub(super) fn label(model: &Model, t: &Transition) -> Vec<String> {
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

pub(super) fn names(model: &Model, actions: &[ActionId]) -> String {
    let names: Vec<&str> = actions
        .iter()
        .filter_map(|&a| model.actions.get(a as usize).map(String::as_str))
        .collect();
    names.join(", ")
}

/// Whether the transition waits for a delay of its state.
pub(super) fn is_after(transition: &Transition) -> bool {
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
pub(super) fn wrapped(text: &str) -> Vec<Line> {
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
pub(super) const BOLD: f64 = 1.25;

/// About how wide a text is at 12 px: the fonts of readers differ, so on the safe side.
pub(super) fn width(text: &str) -> f64 {
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
