//! What `Name::model` of a macro's chart is made with.

use crate::chart::Model;
use crate::chart::model::{
    ActionId, Guard, GuardId, Initial, Kind, Place, Rules, State, StateId, Transition, Trigger,
};

/// A chart of the macro, without states yet. Candidates go in the order in which they were written;
/// all else is XState's.
#[doc(hidden)]
pub fn model(name: &str, actions: &[&str], guards: &[&str]) -> Model {
    let rules = Rules {
        by_exactness: false,
        ..Rules::XSTATE
    };
    let text = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
    Model {
        actions: text(actions),
        guards: text(guards),
        ..Model::new(name, rules)
    }
}

/// Adds a state.
#[doc(hidden)]
pub fn state(
    model: &mut Model,
    (name, parent, kind): (&str, Option<StateId>, Kind),
    (initial, begin): (&[StateId], &[ActionId]),
    [entry, exit]: [&[ActionId]; 2],
    tags: &[&str],
) {
    let mut tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
    tags.sort();
    model.push(State {
        initial: Initial {
            targets: initial.to_vec(),
            actions: begin.to_vec(),
        },
        entry: entry.to_vec(),
        exit: exit.to_vec(),
        tags,
        ..State::new(name, parent, kind)
    });
}

/// Adds a transition to the last state; one without names is eventless.
#[doc(hidden)]
pub fn transition(
    model: &mut Model,
    names: &[&str],
    guards: &[GuardId],
    targets: &[StateId],
    reenter: bool,
    actions: &[ActionId],
) {
    let trigger = match names {
        [] => Trigger::Always,
        names => Trigger::Events(names.iter().map(|&name| name.to_owned()).collect()),
    };
    let guard = match *guards {
        [] => None,
        [guard] => Some(Guard::Host(guard)),
        _ => Some(Guard::And(
            guards.iter().copied().map(Guard::Host).collect(),
        )),
    };
    if let Some(state) = model.states.last_mut() {
        state.transitions.push(Transition {
            trigger,
            guard,
            targets: targets.to_vec(),
            internal: !reenter,
            actions: actions.to_vec(),
            place: Place::default(),
        });
    }
}
