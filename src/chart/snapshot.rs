//! Snapshots: an instance by the names of its states, so that it outlives the process.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::entry::{Leaves, States};
use super::model::{ActionId, Kind, Model, StateId};
use super::run::{Instance, Status};
use super::value::{Origin, Start, Target, Value};

/// An instance with the chart's identity and version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot<C> {
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub version: String,
    /// The ids of the active leaves.
    pub leaves: Vec<String>,
    /// What each history remembers, by the history's id.
    pub histories: BTreeMap<String, Vec<String>>,
    /// How its life stands: `active`, `done`, `stopped` or `failed`.
    pub status: String,
    /// What it gave when it was done; nothing, if that is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The events that are on their way to the chart or from it, in the order in which they were
    /// sent. An instance without an actor has none.
    #[serde(default)]
    pub delays: Vec<Delay>,
    /// The children that were alive, in the order in which they were started. An instance without
    /// an actor has none.
    #[serde(default)]
    pub children: Vec<SavedChild>,
    /// The data.
    pub context: C,
}

/// A child that was alive when its parent was saved: how it was started, and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedChild {
    /// Its id in its parent.
    pub id: String,
    /// What was started.
    pub source: String,
    /// The place of an embedded chart among its parent's, if that was the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<u32>,
    /// Its input; nothing, if it is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Whether external events of the parent are forwarded to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub autoforward: bool,
    /// The action to run before the parent sees an event from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalize: Option<ActionId>,
    /// Its own state. Without it the child starts anew, with the same input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Box<Snapshot<Value>>>,
}

impl From<&Start> for SavedChild {
    fn from(start: &Start) -> Self {
        Self {
            id: start.id.to_string(),
            source: start.source.to_string(),
            embedded: start.embedded,
            input: (!start.input.is_undefined()).then(|| start.input.clone()),
            autoforward: start.autoforward,
            finalize: start.finalize,
            snapshot: None,
        }
    }
}

impl From<&SavedChild> for Start {
    fn from(child: &SavedChild) -> Self {
        Self {
            id: child.id.as_str().into(),
            source: child.source.as_str().into(),
            embedded: child.embedded,
            input: child.input.clone().unwrap_or_default(),
            autoforward: child.autoforward,
            finalize: child.finalize,
        }
    }
}

/// A delayed event, or the end of an `after`, that was not due yet when a snapshot was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The name by which it can be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event's name.
    pub event: String,
    /// What it carries; nothing, if it is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Where it is from, if SCXML says so: `_event.sendid`, `_event.origin` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
    /// Whom it is for.
    pub to: Receiver,
    /// The whole delay, in milliseconds.
    pub delay_ms: u64,
    /// What was left of it.
    pub left_ms: u64,
    /// When it would have been due, see [`Clock::unix_ms`](crate::Clock::unix_ms).
    pub due_unix_ms: u64,
}

impl Delay {
    /// What is to pass of it from `now_unix_ms` on, in milliseconds.
    ///
    /// # Examples
    ///
    /// An hour, saved when twenty minutes of it had passed, and restored half an hour later:
    ///
    /// ```
    /// use mainspring::chart::{Delay, Receiver, Resume};
    ///
    /// const MINUTE: u64 = 60_000;
    /// let delay = Delay {
    ///     id: None,
    ///     event: "late".to_owned(),
    ///     data: None,
    ///     origin: None,
    ///     to: Receiver::Myself,
    ///     delay_ms: 60 * MINUTE,
    ///     left_ms: 40 * MINUTE,
    ///     due_unix_ms: 100 * MINUTE,
    /// };
    /// let left = |resume| delay.left_ms_at(resume, 90 * MINUTE) / MINUTE;
    /// assert_eq!(left(Resume::Absolute), 10);
    /// assert_eq!(left(Resume::Remaining), 40);
    /// assert_eq!(left(Resume::Restart), 60);
    /// ```
    pub fn left_ms_at(&self, resume: Resume, now_unix_ms: u64) -> u64 {
        match resume {
            Resume::Absolute => self.due_unix_ms.saturating_sub(now_unix_ms),
            Resume::Remaining => self.left_ms,
            Resume::Restart => self.delay_ms,
        }
    }
}

/// How a restored chart takes up its delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Each is due when it would have been, by the time of day; at once, if that has passed.
    Absolute,
    /// Each goes on with what was left of it: the time in between does not count.
    #[default]
    Remaining,
    /// Each begins anew.
    Restart,
}

/// Whom a delayed event is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Receiver {
    /// The chart, from outside.
    Myself,
    /// The chart, from inside.
    Internal,
    /// Who started the chart.
    Parent,
    /// A child by its id.
    Child(String),
    /// What the host binds to that address.
    Address(String),
}

impl From<&Target> for Receiver {
    fn from(target: &Target) -> Self {
        match target {
            Target::Myself => Self::Myself,
            Target::Internal => Self::Internal,
            Target::Parent => Self::Parent,
            Target::Child(id) => Self::Child(id.to_string()),
            Target::Address(name) => Self::Address(name.to_string()),
        }
    }
}

impl From<&Receiver> for Target {
    fn from(to: &Receiver) -> Self {
        match to {
            Receiver::Myself => Self::Myself,
            Receiver::Internal => Self::Internal,
            Receiver::Parent => Self::Parent,
            Receiver::Child(id) => Self::Child(id.as_str().into()),
            Receiver::Address(name) => Self::Address(name.as_str().into()),
        }
    }
}

/// Why a snapshot does not fit a chart: what it has, and what the chart has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// It is of another chart or version; migrate it first.
    OtherChart {
        /// What the snapshot says.
        found: String,
        /// What the chart is.
        expected: String,
    },
    /// It names a state that the chart does not have, or that cannot be what it is said to be.
    UnknownState {
        /// What the snapshot says.
        found: String,
        /// Which states could be.
        expected: String,
    },
    /// Its leaves are no configuration of the chart.
    NoConfiguration {
        /// The leaves of the snapshot.
        found: String,
        /// What its innermost state that is not as it must be would need.
        expected: String,
    },
    /// A delay ends with an event that the chart does not make.
    UnknownDelay {
        /// What the snapshot says.
        found: String,
        /// How the chart's delays end.
        expected: String,
    },
    /// The event that a delay brings cannot be read.
    NoEvent {
        /// Its name.
        found: String,
        /// Why not.
        why: String,
    },
    /// Its status is no word for one that the chart can have.
    UnknownStatus {
        /// What the snapshot says.
        found: String,
        /// Which words there are.
        expected: String,
    },
    /// A child cannot be started again.
    Child {
        /// Its id.
        id: String,
        /// Why not.
        error: Box<SnapshotError>,
    },
    /// Nobody is bound to what a child was started from.
    UnknownSource {
        /// What the snapshot says.
        found: String,
        /// What is bound.
        expected: String,
    },
    /// A child's state is in the snapshot, but its chart reads none, or not this; the text says why.
    NoState(String),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherChart { found, expected } => {
                write!(f, "the snapshot is of {found}, the chart is {expected}")
            }
            Self::UnknownState { found, expected } => {
                write!(
                    f,
                    "the chart has no state {found:?} to be in; it has {expected}"
                )
            }
            Self::NoConfiguration { found, expected } => {
                write!(f, "the chart is never in {found}: {expected}")
            }
            Self::UnknownDelay { found, expected } => {
                write!(
                    f,
                    "no delay of the chart ends with {found:?}; there are {expected}"
                )
            }
            Self::NoEvent { found, why } => {
                write!(f, "a delay's event {found:?} cannot be read: {why}")
            }
            Self::UnknownStatus { found, expected } => {
                write!(f, "{found:?} is no status; it can be {expected}")
            }
            Self::Child { id, error } => write!(f, "child {id:?}: {error}"),
            Self::UnknownSource { found, expected } => {
                write!(f, "no actor is bound to {found:?}; there are {expected}")
            }
            Self::NoState(why) => write!(f, "its state cannot be read: {why}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// The names, for a message; `nothing` if there is none.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MAX: usize = 12;
    let mut names = names.into_iter();
    let mut text: Vec<String> = names.by_ref().take(MAX).map(|n| format!("{n:?}")).collect();
    match names.count() {
        0 if text.is_empty() => return "none".to_owned(),
        0 => {}
        more => text.push(format!("{more} more")),
    }
    text.join(", ")
}

const STATUSES: [(Status, &str); 4] = [
    (Status::Active, "active"),
    (Status::Done, "done"),
    (Status::Stopped, "stopped"),
    (Status::Failed, "failed"),
];

impl<C> Snapshot<C> {
    /// Names what `instance` is in.
    pub fn of(model: &Model, instance: &Instance<C>) -> Self
    where
        C: Clone,
    {
        Self::named(model, instance, instance.context.clone())
    }

    /// Names what `instance` is in, with other data.
    pub(crate) fn named<D>(model: &Model, instance: &Instance<D>, context: C) -> Self {
        let id = |s: &StateId| model.states[*s as usize].id.clone();
        let status = STATUSES.iter().find(|(s, _)| *s == instance.status);
        Self {
            chart: model.name.clone(),
            version: model.version.clone(),
            leaves: instance.leaves.iter().map(id).collect(),
            histories: histories(model)
                .zip(&instance.memory)
                .filter(|(_, kept)| !kept.is_empty())
                .map(|(h, kept)| (id(&h), kept.iter().map(id).collect()))
                .collect(),
            status: status.map_or("active", |(_, word)| word).to_owned(),
            output: None,
            delays: Vec::new(),
            children: Vec::new(),
            context,
        }
    }

    /// The same with other data.
    pub(crate) fn with<D>(self, context: D) -> Snapshot<D> {
        Snapshot {
            chart: self.chart,
            version: self.version,
            leaves: self.leaves,
            histories: self.histories,
            status: self.status,
            output: self.output,
            delays: self.delays,
            children: self.children,
            context,
        }
    }

    /// The instance, for the same chart.
    ///
    /// # Errors
    ///
    /// What does not fit, see [`SnapshotError`].
    pub fn restore(&self, model: &Model) -> Result<Instance<C>, SnapshotError>
    where
        C: Clone,
    {
        Ok(self.shape(model)?.with(self.context.clone()))
    }

    /// The instance without its data.
    pub(crate) fn shape(&self, model: &Model) -> Result<Instance<()>, SnapshotError> {
        let named = |name: &str, version: &str| format!("{name:?} version {version:?}");
        if (&self.chart, &self.version) != (&model.name, &model.version) {
            return Err(SnapshotError::OtherChart {
                found: named(&self.chart, &self.version),
                expected: named(&model.name, &model.version),
            });
        }
        let ids = |may: &dyn Fn(StateId) -> bool| {
            let all = (0..model.states.len()).filter(|&s| may(s as StateId));
            list(all.map(|s| model.states[s].id.as_str()))
        };
        let find = |id: &String, may: &dyn Fn(StateId) -> bool| {
            let found = model.find(id).filter(|&s| may(s));
            found.ok_or_else(|| SnapshotError::UnknownState {
                found: id.clone(),
                expected: ids(may),
            })
        };
        let is_leaf = |s: StateId| {
            let kind = &model.states[s as usize].kind;
            matches!(kind, Kind::Atomic | Kind::Final)
        };
        let mut leaves = Leaves::default();
        for id in &self.leaves {
            leaves.push(find(id, &is_leaf)?);
        }
        leaves.sort_unstable();
        for id in self.histories.keys() {
            find(id, &|s| histories(model).any(|h| h == s))?;
        }
        let mut memory = Vec::new();
        for history in histories(model) {
            let state = &model.states[history as usize];
            let is_deep = matches!(state.kind, Kind::History { deep: true });
            let may = |s: StateId| {
                let up = std::iter::successors(Some(s), |&s| model.states[s as usize].parent);
                let depth = up.skip(1).position(|above| Some(above) == state.parent);
                let is_history = matches!(model.states[s as usize].kind, Kind::History { .. });
                match is_deep {
                    true => depth.is_some() && is_leaf(s),
                    false => depth == Some(0) && !is_history,
                }
            };
            let kept = self.histories.get(&state.id).map_or(&[][..], Vec::as_slice);
            let kept = kept.iter().map(|id| find(id, &may));
            memory.push(kept.collect::<Result<States, _>>()?);
        }
        let status = STATUSES.iter().find(|(_, word)| *word == self.status);
        let status = status.ok_or_else(|| SnapshotError::UnknownStatus {
            found: self.status.clone(),
            expected: list(STATUSES.map(|(_, word)| word)),
        })?;
        let status = status.0;
        if status == Status::Active
            && let Some(expected) = lacks(model, &leaves)
        {
            return Err(SnapshotError::NoConfiguration {
                found: list(self.leaves.iter().map(String::as_str)),
                expected,
            });
        }
        Ok(Instance {
            context: (),
            recent: leaves.iter().copied().collect(),
            leaves,
            memory,
            status,
        })
    }
}

/// The chart's histories, in the order in which an instance keeps what they remember.
pub(crate) fn histories(model: &Model) -> impl Iterator<Item = StateId> + '_ {
    let all = model.states.iter().zip(0..);
    all.filter(|(state, _)| matches!(state.kind, Kind::History { .. }))
        .map(|(_, number)| number)
}

/// What the leaves lack to be a configuration: every active compound state has one active child,
/// every parallel one all.
fn lacks(model: &Model, leaves: &[StateId]) -> Option<String> {
    let ids =
        |states: &[StateId]| list(states.iter().map(|&s| model.states[s as usize].id.as_str()));
    if leaves.is_empty() {
        return Some("no state is active".to_owned());
    }
    if let Some(twice) = leaves.windows(2).find(|two| two[0] == two[1]) {
        return Some(format!("{} is there twice", ids(&twice[..1])));
    }
    let mut active = vec![false; model.states.len()];
    for &leaf in leaves {
        let mut at = Some(leaf);
        while let Some(s) = at {
            active[s as usize] = true;
            at = model.states[s as usize].parent;
        }
    }
    let mut children = vec![(Vec::new(), 0); model.states.len()];
    for (state, s) in model.states.iter().zip(0..) {
        if let Some(parent) = state.parent
            && !matches!(state.kind, Kind::History { .. })
        {
            let (all, on) = &mut children[parent as usize];
            all.push(s);
            *on += usize::from(active[s as usize]);
        }
    }
    (0..model.states.len())
        .rev()
        .filter(|&s| active[s])
        .find_map(|s| {
            let (all, on) = &children[s];
            let name = &model.states[s].id;
            match model.states[s].kind {
                Kind::Compound if *on != 1 => Some(format!("{name:?} is in one of {}", ids(all))),
                Kind::Parallel if *on != all.len() => {
                    Some(format!("{name:?} is in all of {}", ids(all)))
                }
                _ => None,
            }
        })
}
