//! Drawings of a chart as text: Mermaid's `stateDiagram-v2`.

use super::model::{Guard, Kind, Model, StateId, Transition, Trigger};

/// The chart as a Mermaid state diagram. O(states + transitions).
///
/// Regions of a parallel state are divided by dashes; a history is drawn as `H` or `H*`.
pub fn mermaid(model: &Model) -> String {
    let mut out = String::from("stateDiagram-v2\n");
    let mut children: Vec<Vec<StateId>> = vec![Vec::new(); model.states.len()];
    for (s, state) in model.states.iter().enumerate() {
        if let Some(parent) = state.parent {
            children[parent as usize].push(s as StateId);
        }
    }
    if !model.states.is_empty() {
        inside(model, &children, 0, 1, &mut out);
    }
    for (s, state) in model.states.iter().enumerate() {
        for t in &state.transitions {
            arrow(model, s as StateId, t, &mut out);
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("    ", depth));
}

fn inside(model: &Model, children: &[Vec<StateId>], s: StateId, depth: usize, out: &mut String) {
    let state = &model.states[s as usize];
    for &target in &state.initial.targets {
        if state.kind == Kind::Compound {
            indent(depth, out);
            out.push_str(&format!("[*] --> s{target}\n"));
        }
    }
    for (nth, &child) in children[s as usize].iter().enumerate() {
        let node = &model.states[child as usize];
        if state.kind == Kind::Parallel && nth > 0 {
            indent(depth, out);
            out.push_str("--\n");
        }
        let label = match node.kind {
            Kind::History { deep: true } => "H*",
            Kind::History { deep: false } => "H",
            _ => &node.key,
        };
        indent(depth, out);
        out.push_str(&format!("state \"{}\" as s{child}\n", escaped(label)));
        if node.kind == Kind::Final {
            indent(depth, out);
            out.push_str(&format!("s{child} --> [*]\n"));
        }
        if !children[child as usize].is_empty() {
            indent(depth, out);
            out.push_str(&format!("state s{child} {{\n"));
            inside(model, children, child, depth + 1, out);
            indent(depth, out);
            out.push_str("}\n");
        }
    }
}

/// Descriptors as a person reads them: XState's own events by the words that its machines have for
/// them.
pub(super) fn events_text(model: &Model, descriptors: &[String], between: &str) -> String {
    let words: Vec<String> = descriptors
        .iter()
        .map(|descriptor| own_text(model, descriptor).unwrap_or_else(|| descriptor.clone()))
        .collect();
    words.join(between)
}

/// `after 5 s` for `xstate.after.5000.ID` and `onDone` for `xstate.done.state.ID`, where `ID` is a
/// state, and `onDone`, `onError` and `onSnapshot` with the name of the actor.
fn own_text(model: &Model, descriptor: &str) -> Option<String> {
    let own = descriptor.strip_prefix("xstate.")?;
    if let Some(id) = own.strip_prefix("done.state.") {
        return model.find(id).map(|_| "onDone".to_owned());
    }
    for (prefix, word) in [
        ("done.actor.", "onDone"),
        ("error.actor.", "onError"),
        ("snapshot.", "onSnapshot"),
    ] {
        if let Some(actor) = own.strip_prefix(prefix) {
            // Without a name of its own the actor is called by its place in its state.
            let state = actor
                .split_once('.')
                .filter(|(nth, _)| nth.parse::<u32>().is_ok());
            return Some(match state {
                Some((_, id)) if model.find(id).is_some() => word.to_owned(),
                _ => format!("{word} {actor}"),
            });
        }
    }
    let (delay, id) = own.strip_prefix("after.")?.split_once('.')?;
    model.find(id)?;
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1_000, "s"),
    ];
    Some(match delay.parse::<u64>() {
        Ok(ms) => {
            let whole = |&(unit, _): &(u64, &str)| ms > 0 && ms.is_multiple_of(unit);
            let (unit, name) = units.into_iter().find(whole).unwrap_or((1, "ms"));
            format!("after {} {name}", ms / unit)
        }
        Err(_) => format!("after {delay}"),
    })
}

fn arrow(model: &Model, source: StateId, t: &Transition, out: &mut String) {
    let mut label = match &t.trigger {
        Trigger::Always => String::new(),
        Trigger::Events(list) => events_text(model, list, " "),
    };
    if let Some(guard) = &t.guard {
        label.push_str(&format!(" [{}]", guard_text(model, guard)));
    }
    let actions: Vec<&str> = t
        .actions
        .iter()
        .filter_map(|&a| model.actions.get(a as usize).map(String::as_str))
        .collect();
    if !actions.is_empty() {
        label.push_str(&format!(" / {}", actions.join(", ")));
    }
    let itself = [source];
    let targets = if t.targets.is_empty() {
        &itself[..]
    } else {
        &t.targets
    };
    // Mermaid has no arrow from the diagram itself.
    if source == 0 {
        return;
    }
    for target in targets {
        let label = escaped(label.trim());
        let colon = if label.is_empty() { "" } else { " : " };
        out.push_str(&format!("    s{source} --> s{target}{colon}{label}\n"));
    }
}

/// A guard in words.
pub fn guard_text(model: &Model, guard: &Guard) -> String {
    let list = |parts: &[Guard], with: &str| {
        let texts: Vec<String> = parts.iter().map(|g| guard_text(model, g)).collect();
        texts.join(with)
    };
    match guard {
        Guard::Host(id) => match model.guards.get(*id as usize) {
            Some(name) => name.clone(),
            None => format!("guard {id}"),
        },
        Guard::In(s) => format!("in {}", model.states[*s as usize].id),
        Guard::And(parts) => list(parts, " and "),
        Guard::Or(parts) => list(parts, " or "),
        Guard::Not(inner) => format!("not {}", guard_text(model, inner)),
    }
}

/// What Mermaid would read as its own signs, by their codes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | ';' | ':' | '#' | '<' | '>' | '{' | '}' => {
                out.push_str(&format!("#{};", c as u32));
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::model::{Initial, Place, Rules, State};
    use super::*;

    #[test]
    fn a_chart_is_drawn_with_its_levels_and_labels() {
        let mut model = Model::new("m", Rules::XSTATE);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = Initial {
            targets: vec![1],
            actions: Vec::new(),
        };
        model.push(root);
        let mut a = State::new("a", Some(0), Kind::Atomic);
        model.actions.push("log:x".to_owned());
        a.transitions.push(Transition {
            trigger: Trigger::Events(vec!["GO".to_owned()]),
            guard: Some(Guard::Not(Box::new(Guard::In(2)))),
            targets: vec![2],
            internal: true,
            actions: vec![0],
            place: Place::default(),
        });
        model.push(a);
        model.push(State::new("b", Some(0), Kind::Final));
        let text = "stateDiagram-v2\n    [*] --> s1\n    state \"a\" as s1\n    state \"b\" as s2\n    \
                    s2 --> [*]\n    s1 --> s2 : GO [not in b] / log#58;x\n";
        assert_eq!(mermaid(&model), text);
    }

    #[test]
    fn events_of_xstates_own_read_as_in_a_machine() {
        let mut model = Model::new("m", Rules::XSTATE);
        model.push(State::new("m", None, Kind::Compound));
        for (event, words) in [
            ("xstate.after.1500.m", "after 1500 ms"),
            ("xstate.after.5000.m", "after 5 s"),
            ("xstate.after.7200000.m", "after 2 h"),
            ("xstate.after.slow.m", "after slow"),
            ("xstate.done.state.m", "onDone"),
            ("xstate.done.actor.0.m", "onDone"),
            ("xstate.error.actor.fetch", "onError fetch"),
            ("xstate.after.5000.other", "xstate.after.5000.other"),
            ("GO", "GO"),
        ] {
            assert_eq!(events_text(&model, &[event.to_owned()], ", "), words);
        }
    }
}
