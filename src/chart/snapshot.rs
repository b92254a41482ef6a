//! Snapshots: an instance by the names of its states, so that it outlives the process.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::entry::{Leaves, States};
use super::model::{Kind, Model};
use super::run::{Instance, Status};
use super::value::{Target, Value};

/// An instance with the chart's identity and version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The events that are on their way to the chart or from it, in the order in which they were
    /// sent. An instance without an actor has none.
    #[serde(default)]
    pub delays: Vec<Delay>,
    /// The data.
    pub context: C,
}

/// A delayed event, or the end of an `after`, that was not due yet when a snapshot was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    /// The name by which it can be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event's name.
    pub event: String,
    /// What it carries; nothing, if it is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
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

/// Why a snapshot does not fit a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// It is of another chart or version; migrate it first.
    OtherChart {
        /// What the snapshot says.
        found: String,
        /// What the chart is.
        expected: String,
    },
    /// It names a state that the chart does not have, or that cannot be a leaf there.
    UnknownState(String),
    /// Its leaves are no configuration of the chart.
    NoConfiguration,
    /// Its status is no word for one.
    UnknownStatus(String),
    /// What an active state invokes could not be asked for again; the text says why.
    NotInvoked(String),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherChart { found, expected } => {
                write!(f, "the snapshot is of {found}, the chart is {expected}")
            }
            Self::UnknownState(id) => write!(f, "the chart has no state {id:?} to be in"),
            Self::NoConfiguration => f.write_str("the leaves are no configuration of the chart"),
            Self::UnknownStatus(word) => write!(f, "{word:?} is no status"),
            Self::NotInvoked(why) => write!(f, "what a state invokes did not start: {why}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

const STATUSES: [(Status, &str); 4] = [
    (Status::Active, "active"),
    (Status::Done, "done"),
    (Status::Stopped, "stopped"),
    (Status::Failed, "failed"),
];

impl<C: Clone> Snapshot<C> {
    /// Names what `instance` is in.
    pub fn of(model: &Model, instance: &Instance<C>) -> Self {
        let id = |s: &u32| model.states[*s as usize].id.clone();
        let histories = model
            .states
            .iter()
            .filter(|s| matches!(s.kind, Kind::History { .. }));
        let status = STATUSES.iter().find(|(s, _)| *s == instance.status);
        Self {
            chart: model.name.clone(),
            version: model.version.clone(),
            leaves: instance.leaves.iter().map(id).collect(),
            histories: histories
                .zip(&instance.memory)
                .filter(|(_, kept)| !kept.is_empty())
                .map(|(h, kept)| (h.id.clone(), kept.iter().map(id).collect()))
                .collect(),
            status: status.map_or("active", |(_, word)| word).to_owned(),
            delays: Vec::new(),
            context: instance.context.clone(),
        }
    }

    /// The instance, for the same chart.
    ///
    /// # Errors
    ///
    /// What does not fit, see [`SnapshotError`].
    pub fn restore(&self, model: &Model) -> Result<Instance<C>, SnapshotError> {
        let named = |name: &str, version: &str| format!("{name:?} version {version:?}");
        if (&self.chart, &self.version) != (&model.name, &model.version) {
            return Err(SnapshotError::OtherChart {
                found: named(&self.chart, &self.version),
                expected: named(&model.name, &model.version),
            });
        }
        let find = |id: &String| {
            let found = model.find(id);
            found.ok_or_else(|| SnapshotError::UnknownState(id.clone()))
        };
        let mut leaves = Leaves::default();
        for id in &self.leaves {
            let s = find(id)?;
            if !matches!(model.states[s as usize].kind, Kind::Atomic | Kind::Final) {
                return Err(SnapshotError::UnknownState(id.clone()));
            }
            leaves.push(s);
        }
        leaves.sort_unstable();
        let mut memory = Vec::new();
        for state in &model.states {
            if matches!(state.kind, Kind::History { .. }) {
                let kept = self.histories.get(&state.id).map_or(&[][..], Vec::as_slice);
                memory.push(kept.iter().map(find).collect::<Result<States, _>>()?);
            }
        }
        let status = STATUSES.iter().find(|(_, word)| *word == self.status);
        let status = status
            .ok_or_else(|| SnapshotError::UnknownStatus(self.status.clone()))?
            .0;
        if status == Status::Active && !is_configuration(model, &leaves) {
            return Err(SnapshotError::NoConfiguration);
        }
        Ok(Instance {
            context: self.context.clone(),
            recent: leaves.iter().copied().collect(),
            leaves,
            memory,
            status,
        })
    }
}

/// Whether every compound state with a leaf has one active child, and every parallel one all.
fn is_configuration(model: &Model, leaves: &[u32]) -> bool {
    let mut active = vec![false; model.states.len()];
    for &leaf in leaves {
        let mut at = Some(leaf);
        while let Some(s) = at {
            active[s as usize] = true;
            at = model.states[s as usize].parent;
        }
    }
    let mut children = vec![(0, 0); model.states.len()];
    for (s, state) in model.states.iter().enumerate() {
        if let Some(p) = state.parent
            && !matches!(state.kind, Kind::History { .. })
        {
            children[p as usize].0 += 1;
            children[p as usize].1 += u32::from(active[s]);
        }
    }
    active[0]
        && (0..model.states.len()).filter(|&s| active[s]).all(|s| {
            let (all, on) = children[s];
            match model.states[s].kind {
                Kind::Compound => on == 1,
                Kind::Parallel => on == all,
                _ => true,
            }
        })
}
