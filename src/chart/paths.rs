//! Shortest event sequences that reach each state and take each transition: ready-made tests.
//!
//! The search goes by configuration alone: each guard of the host is taken both ways, so that a
//! path says which events to send and which guards have to hold on the way.

use hashbrown::HashMap;

use super::lower::lower;
use super::model::{GuardId, Model, StateId, Trigger};
use super::run::{Ask, Buffers, Chart, Instance, Logic, Scope};
use super::table::{Class, Table};

/// How to get somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The events to send, in order.
    pub events: Vec<String>,
    /// For each event whether the host's guards hold while it is taken.
    pub guards_hold: Vec<bool>,
}

/// Where the search found a way to, and where not.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// By state number; `None` where no way was found.
    pub states: Vec<Option<Way>>,
    /// By state and place in its list of transitions.
    pub transitions: Vec<Vec<Option<Way>>>,
}

/// The search's chart: guards answer with the context, actions do nothing, completions raise.
struct Blind {
    done: Vec<String>,
}

impl Logic for Blind {
    type Context = bool;
    type Event = String;
    type Effect = ();
    type Fault = ();

    fn class(&self, table: &Table, event: &String) -> Class {
        table.class(event)
    }

    fn guard(&self, _: GuardId, ask: &Ask<'_, Self>) -> Result<bool, ()> {
        Ok(*ask.context)
    }

    fn act(&self, _: u32, _: &mut Scope<'_, Self>) -> Result<(), ()> {
        Ok(())
    }

    fn completed(
        &self,
        s: StateId,
        _: Option<StateId>,
        scope: &mut Scope<'_, Self>,
    ) -> Result<(), ()> {
        scope.raise(self.done[s as usize].clone());
        Ok(())
    }

    fn failure(&self, (): ()) -> Option<String> {
        None
    }
}

/// Searches breadth first until `configurations_max` configurations have been seen.
///
/// The model must be without errors. Cost: O(configurations × events).
pub fn paths(model: &Model, configurations_max: usize) -> Paths {
    let prefix = if model.rules.root_is_state {
        "xstate.done.state."
    } else {
        "done.state."
    };
    let done = model.states.iter().map(|s| format!("{prefix}{}", s.id));
    let mut chart = Chart::new(
        lower(model),
        Blind {
            done: done.collect(),
        },
    );
    chart.microsteps_max = 1000;
    let mut events: Vec<String> = Vec::new();
    for t in model.states.iter().flat_map(|s| &s.transitions) {
        if let Trigger::Events(list) = &t.trigger {
            for descriptor in list {
                let name = match descriptor.as_str() {
                    "*" => "any",
                    other => other.trim_end_matches(".*"),
                };
                if !name.starts_with(prefix) && !events.iter().any(|e| e == name) {
                    events.push(name.to_owned());
                }
            }
        }
    }
    let mut found = Paths {
        states: vec![None; model.states.len()],
        transitions: model
            .states
            .iter()
            .map(|s| vec![None; s.transitions.len()])
            .collect(),
    };
    let mut buffers = Buffers::default();
    let mut seen: HashMap<(Vec<StateId>, Vec<Vec<StateId>>), ()> = HashMap::new();
    let mut queue: Vec<(Instance<bool>, Way)> = Vec::new();
    for holds in [true, false] {
        let (instance, result) = chart.start(holds, &String::new(), &mut buffers);
        let way = Way {
            events: Vec::new(),
            guards_hold: Vec::new(),
        };
        if result.is_ok() {
            visit(&chart, instance, way, &mut found, &mut seen, &mut queue);
        }
    }
    let mut at = 0;
    while at < queue.len() && seen.len() < configurations_max {
        let (instance, way) = queue[at].clone();
        at += 1;
        for event in &events {
            for holds in [true, false] {
                let mut next = instance.clone();
                next.context = holds;
                let mut longer = way.clone();
                longer.events.push(event.clone());
                longer.guards_hold.push(holds);
                let class = chart.table().class(event);
                note(model, &chart, &next, event, &longer, &mut found);
                if chart.step(&mut next, class, event, &mut buffers) == Ok(true) {
                    visit(&chart, next, longer, &mut found, &mut seen, &mut queue);
                }
            }
        }
    }
    found
}

fn visit(
    chart: &Chart<Blind>,
    instance: Instance<bool>,
    way: Way,
    found: &mut Paths,
    seen: &mut HashMap<(Vec<StateId>, Vec<Vec<StateId>>), ()>,
    queue: &mut Vec<(Instance<bool>, Way)>,
) {
    let memory = instance.memory.iter().map(|m| m.to_vec()).collect();
    if seen
        .insert((instance.leaves().to_vec(), memory), ())
        .is_some()
    {
        return;
    }
    for (s, slot) in found.states.iter_mut().enumerate() {
        if slot.is_none() && chart.is_in(&instance, s as StateId) {
            *slot = Some(way.clone());
        }
    }
    queue.push((instance, way));
}

/// Notes the transitions that `event` takes from here.
fn note(
    model: &Model,
    chart: &Chart<Blind>,
    from: &Instance<bool>,
    event: &str,
    way: &Way,
    found: &mut Paths,
) {
    let mut buffers = Buffers::default();
    for number in chart.selected(from, &event.to_owned(), &mut buffers) {
        let mut first = 0;
        for (s, state) in model.states.iter().enumerate() {
            let count = state.transitions.len();
            if number < first + count {
                found.transitions[s][number - first].get_or_insert_with(|| way.clone());
                break;
            }
            first += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Guard, Initial, Kind, Place, Rules, State, Transition};
    use super::*;

    #[test]
    fn the_shortest_ways_are_found_and_guards_are_named() {
        let mut model = Model::new("m", Rules::XSTATE);
        let mut root = State::new("m", None, Kind::Compound);
        root.initial = Initial {
            targets: vec![1],
            actions: Vec::new(),
        };
        model.push(root);
        let go = |event: &str, target, guard| Transition {
            trigger: Trigger::Events(vec![event.to_owned()]),
            guard,
            targets: vec![target],
            internal: true,
            actions: Vec::new(),
            place: Place::default(),
        };
        let mut a = State::new("a", Some(0), Kind::Atomic);
        a.transitions.push(go("E", 2, None));
        let mut b = State::new("b", Some(0), Kind::Atomic);
        b.transitions.push(go("F", 3, Some(Guard::Host(0))));
        model.push(a);
        model.push(b);
        model.push(State::new("c", Some(0), Kind::Atomic));
        model.push(State::new("d", Some(0), Kind::Atomic));
        let found = paths(&model, 100);
        let way = found.states[3].as_ref().unwrap();
        assert_eq!(way.events, ["E", "F"]);
        assert!(way.guards_hold[1], "the guard of F has to hold");
        assert_eq!(found.states[4], None);
        assert_eq!(found.transitions[2][0].as_ref(), Some(way));
    }
}
