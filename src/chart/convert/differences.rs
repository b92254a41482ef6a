//! Where the two languages would run one tree of states differently: what [`Rules`] lists.
//!
//! [`Rules`]: super::super::model::Rules

use super::super::check::Problem;
use super::super::model::{Kind, Model, State, StateId, Transition, Trigger};
use super::cannot;

/// A model with what conversion asks of it again and again.
pub(super) struct Tree<'m> {
    pub(super) model: &'m Model,
    ends: Vec<StateId>,
}

impl<'m> Tree<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        Self {
            model,
            ends: model.ends(),
        }
    }

    pub(super) fn state(&self, s: StateId) -> &'m State {
        &self.model.states[s as usize]
    }

    /// Whether `s` lies below `above`.
    pub(super) fn is_below(&self, s: StateId, above: StateId) -> bool {
        above < s && s < self.ends[above as usize]
    }

    pub(super) fn children(&self, s: StateId) -> impl Iterator<Item = StateId> + '_ {
        (s + 1..self.ends[s as usize]).filter(move |&c| self.state(c).parent == Some(s))
    }

    fn above(&self, s: StateId) -> impl Iterator<Item = StateId> + '_ {
        std::iter::successors(self.state(s).parent, |&a| self.state(a).parent)
    }

    /// The state inside of which a transition with targets moves, by XState.
    pub(super) fn domain_xstate(
        &self,
        s: StateId,
        targets: &[StateId],
        reenter: bool,
    ) -> Option<StateId> {
        if !reenter && targets.iter().all(|&t| t == s || self.is_below(t, s)) {
            return Some(s);
        }
        self.above(s)
            .find(|&a| targets.iter().all(|&t| self.is_below(t, a)))
    }

    /// The same by SCXML.
    pub(super) fn domain_scxml(
        &self,
        s: StateId,
        targets: &[StateId],
        internal: bool,
    ) -> Option<StateId> {
        let holds = |a: StateId| {
            self.state(a).kind == Kind::Compound && targets.iter().all(|&t| self.is_below(t, a))
        };
        if internal && holds(s) {
            return Some(s);
        }
        self.above(s).find(|&a| holds(a))
    }

    /// What the trees of both languages run differently. `is_still` says of a transition whether it
    /// leaves and enters nothing.
    ///
    /// O(transitions²) where regions are.
    pub(super) fn differences(
        &self,
        is_still: &dyn Fn(StateId, &Transition) -> bool,
        problems: &mut Vec<Problem>,
    ) {
        for (s, state) in self.model.states.iter().enumerate() {
            let s = s as StateId;
            if !state.initial.actions.is_empty() {
                problems.push(cannot(
                    state.place,
                    format!("{:?} has actions on the way to its initial state", state.id),
                    "SCXML runs them whenever the default is taken, XState when their target is \
                     entered as one; move them to the initial state's entry",
                ));
            }
            if state.kind == Kind::Final && s > 0 && !state.transitions.is_empty() {
                problems.push(cannot(
                    state.transitions[0].place,
                    format!("the final state {:?} has a transition", state.id),
                    "a final state of SCXML handles nothing",
                ));
            }
            if state.kind == Kind::Parallel {
                self.nested(s, problems);
                self.regions(s, is_still, problems);
            }
            for t in &state.transitions {
                self.transition(s, t, is_still(s, t), problems);
            }
        }
    }

    /// A parallel state completes with its last region; in XState so do parallel states around it.
    fn nested(&self, s: StateId, problems: &mut Vec<Problem>) {
        let inner = self.children(s).find(|&c| {
            self.state(c).kind == Kind::Parallel
                && (c + 1..self.ends[c as usize]).any(|d| self.state(d).kind == Kind::Final)
        });
        if let Some(inner) = inner {
            problems.push(cannot(
                self.state(inner).place,
                format!(
                    "the parallel state {:?} can end and is a region of another",
                    self.state(inner).id
                ),
                "its end ends the outer one too in XState, and not in SCXML; put a state between \
                 them",
            ));
        }
    }

    /// In XState a region that takes an event keeps it from the states around all regions; SCXML
    /// asks on behalf of each region, and both run where nothing that one leaves holds the other.
    fn regions(
        &self,
        s: StateId,
        is_still: &dyn Fn(StateId, &Transition) -> bool,
        problems: &mut Vec<Problem>,
    ) {
        let outer: Vec<(StateId, &Transition)> = std::iter::once(s)
            .chain(self.above(s))
            .flat_map(|a| self.state(a).transitions.iter().map(move |t| (a, t)))
            .collect();
        if outer.is_empty() {
            return;
        }
        for inside in s + 1..self.ends[s as usize] {
            for t in &self.state(inside).transitions {
                let rival = outer.iter().find(|(a, o)| {
                    (is_still(*a, o) || is_still(inside, t)) && self.share(&o.trigger, &t.trigger)
                });
                if let Some((around, _)) = rival {
                    problems.push(cannot(
                        t.place,
                        format!(
                            "a transition of {:?}, in a region of {:?}, and one of {:?} around it \
                             take the same event, and one of them changes no state",
                            self.state(inside).id,
                            self.state(s).id,
                            self.state(*around).id
                        ),
                        "SCXML may run both, XState the inner one alone",
                    ));
                }
            }
        }
    }

    fn share(&self, a: &Trigger, b: &Trigger) -> bool {
        match (a, b) {
            (Trigger::Always, Trigger::Always) => true,
            (Trigger::Events(a), Trigger::Events(b)) => {
                let prefix = self.model.rules.prefix_match;
                a.iter().any(|a| b.iter().any(|b| overlap(a, b, prefix)))
            }
            _ => false,
        }
    }

    fn transition(&self, s: StateId, t: &Transition, still: bool, problems: &mut Vec<Problem>) {
        let id = &self.state(s).id;
        let history = t.targets.iter().find(|&&h| {
            let parent = self.state(h).parent.unwrap_or(0);
            matches!(self.state(h).kind, Kind::History { .. })
                && (s == parent || self.is_below(s, parent))
        });
        if let Some(&h) = history {
            problems.push(cannot(
                t.place,
                format!(
                    "a transition of {id:?} goes to the history {:?} of a state around it",
                    self.state(h).id
                ),
                "which states it leaves depends on the memory in one format, and not in the other",
            ));
        }
        if t.trigger == Trigger::Always {
            let stays = t.targets.iter().any(|&a| a == s || self.is_below(s, a));
            if still || stays {
                problems.push(cannot(
                    t.place,
                    format!("an eventless transition of {id:?} can leave everything as it was"),
                    "XState then looks for no further one, SCXML takes it again",
                ));
            }
        }
    }
}

/// Whether one event can match both descriptors.
pub(super) fn overlap(a: &str, b: &str, prefix_match: bool) -> bool {
    let (a, a_open) = stem(a);
    let (b, b_open) = stem(b);
    let below =
        |long: &str, short: &str| short.is_empty() || rest(long, short).is_some_and(is_below);
    let (a_open, b_open) = (a_open || prefix_match, b_open || prefix_match);
    a == b || (b_open && below(a, b)) || (a_open && below(b, a))
}

/// A descriptor without its star, and whether it had one.
pub(super) fn stem(descriptor: &str) -> (&str, bool) {
    match descriptor.strip_suffix('*') {
        Some(stem) => (stem.strip_suffix('.').unwrap_or(stem), true),
        None => (descriptor, false),
    }
}

fn rest<'t>(long: &'t str, short: &str) -> Option<&'t str> {
    long.strip_prefix(short)
}

fn is_below(rest: &str) -> bool {
    rest.starts_with('.')
}

/// Whether one of `names` has parts and begins with the same part as `name`: events that are told
/// apart by their beginnings.
pub(super) fn has_parts<'n>(mut names: impl Iterator<Item = &'n str>, name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    names.any(|other| rest(other, first).is_some_and(is_below))
}

/// Whether one of `names` goes on behind a dot where `name` stops.
pub(super) fn goes_on<'n>(mut names: impl Iterator<Item = &'n str>, name: &str) -> bool {
    names.any(|other| rest(other, name).is_some_and(is_below))
}
