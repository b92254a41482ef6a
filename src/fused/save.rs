//! Charts of the macro as data: by the names of their states, as loaded charts are.
//!
//! ```text
//!   arm ─▶ fresh ── the turn's commit ─▶ due at ── clone ─▶ saved: what is left
//!                                          ▲                  │ save, restore
//!                                          └── first commit ──┘
//! ```
//!
//! - D1: what `Delays` says is on its way has a timer from the turn's commit on, and no other has.
//! - D2: a turn that fails leaves them as they were, but for those that have ended.
//! - D3: of a chart that is `kept`, the timers that bodies start are among them, with their events.

use super::invoke::{Again, Check, Children};
use super::{Effects, OWN};
use crate::Machine;
use crate::chart::data;
use crate::chart::entry::Leaves;
use crate::chart::model::{Kind, Model, StateId};
use crate::chart::snapshot::{self, Snapshot};
use crate::chart::{Delay, Instance, Receiver, Resume, SavedChild, SnapshotError, Status, Value};
use crate::dispatcher::worker;
use crate::envelope;
use crate::hosted::whole::{self, Saver, Saves};
use crate::plan::output::{Evolve, Output, chosen};
use crate::plan::timers::{Key, nanoseconds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// A chart of the macro whose data is a `C`, taken apart and put together.
#[doc(hidden)]
pub trait Parts<C>: Machine + Sized {
    /// The events that end its delays, as the model calls them, by timer.
    const DELAYS: &'static [&'static str];

    fn model() -> Model;

    fn data(&self) -> &C;

    /// Its states by number; a history remembers leaves, also one that is not deep.
    fn shape(&self) -> Instance<()>;

    /// What asks for its delays; none has a chart that never asks for anything.
    fn asks(&self) -> Option<&Effects<Self>>;

    /// What its states invoke, by number: the name, and the first and the last state inside of the
    /// one that invokes it.
    const INVOKED: &'static [(&'static str, StateId, StateId)];

    fn children(&self) -> Option<&Children>;

    /// The machine, which asks for what it had invoked; a chart that is done asks for its end.
    ///
    /// # Errors
    ///
    /// A child cannot have the state that was saved of it.
    fn again(data: C, shape: &Instance<()>, invoked: &[Again]) -> Result<Self, SnapshotError>;

    fn asks_mut(&mut self) -> Option<&mut Effects<Self>>;

    /// The event at the end of a delay.
    fn over(timer: u64) -> Option<Self::Event>;

    /// The event that [`Effects::keep_timers`] wrote; none of a chart that keeps no timers.
    fn event(written: &Value) -> Option<Result<Self::Event, String>>;
}

/// What serde reads there.
///
/// # Errors
///
/// Why it reads nothing.
#[doc(hidden)]
pub fn read<E: DeserializeOwned>(written: &Value) -> Result<E, String> {
    data::from_value(written).map_err(|why| why.to_string())
}

/// A chart's states by number, each history's leaf in document order.
#[doc(hidden)]
pub fn shape(
    leaf: StateId,
    memory: impl IntoIterator<Item = Option<StateId>>,
    is_done: bool,
) -> Instance<()> {
    let mut leaves = Leaves::default();
    leaves.push(leaf);
    Instance {
        context: (),
        leaves,
        recent: [leaf].into_iter().collect(),
        memory: memory
            .into_iter()
            .map(|kept| kept.into_iter().collect())
            .collect(),
        status: match is_done {
            true => Status::Done,
            false => Status::Active,
        },
    }
}

/// The only leaf.
#[doc(hidden)]
pub fn active(shape: &Instance<()>) -> StateId {
    shape.leaves.first().copied().unwrap_or(0)
}

/// What the history of that place remembers.
#[doc(hidden)]
pub fn remembered(shape: &Instance<()>, history: usize) -> Option<StateId> {
    shape.memory.get(history)?.first().copied()
}

/// The machine as data.
#[doc(hidden)]
pub fn save<C: Clone, M: Parts<C>>(machine: &M) -> Snapshot<C> {
    let model = M::model();
    let mut shape = machine.shape();
    for (history, kept) in snapshot::histories(&model).zip(&mut shape.memory) {
        let state = &model.states[history as usize];
        if state.kind == (Kind::History { deep: false }) {
            for place in kept.iter_mut() {
                let parent = |s: StateId| model.states[s as usize].parent;
                let mut up = std::iter::successors(Some(*place), |&s| parent(s));
                *place = up.find(|&s| parent(s) == state.parent).unwrap_or(*place);
            }
        }
    }
    let delays = machine.asks().map(|effects| effects.delays.left());
    let delays = delays.unwrap_or_default().into_iter().map(|left| {
        let (id, event) = match &left.event {
            Some(event) => (Some(left.key.0.to_string()), word(event)),
            None => (None, M::DELAYS[after(left.key) as usize]),
        };
        Delay {
            id,
            event: event.to_owned(),
            data: left.event.as_deref().cloned(),
            origin: None,
            to: Receiver::Myself,
            delay_ms: left.whole_ns.div_ceil(MS),
            left_ms: left.left_ms,
            due_unix_ms: left.due_unix_ms,
        }
    });
    let children = machine.children().zip(machine.asks());
    let children = children.map(|(children, effects)| children.with(effects));
    let children = children.unwrap_or_default().into_iter().map(|listed| {
        let name = M::INVOKED[listed.invocation as usize].0;
        SavedChild {
            id: name.to_owned(),
            source: name.to_owned(),
            embedded: None,
            input: None,
            autoforward: false,
            finalize: None,
            snapshot: listed.saved.map(|saved| Box::new((*saved).clone())),
        }
    });
    Snapshot {
        delays: delays.collect(),
        children: children.collect(),
        ..Snapshot::named(&model, &shape, machine.data().clone())
    }
}

/// The same with the states of its children, given away.
#[doc(hidden)]
pub fn gather<C: Clone + Send + 'static, M: Parts<C>>(
    machine: &M,
    give: impl FnOnce(Snapshot<C>) + Send + 'static,
) {
    let savers = machine.children().into_iter().flat_map(Children::savers);
    let savers = savers.map(|(invocation, child, save)| {
        let name = M::INVOKED[invocation as usize].0;
        (name, child, save)
    });
    whole::gather(save(machine), savers, give);
}

/// How a chart that is `kept` is saved and restored as a child.
#[doc(hidden)]
pub struct Keep<M> {
    pub(super) save: Saver,
    pub(super) revive: fn(&Snapshot<Value>, Resume) -> Result<M, SnapshotError>,
    pub(super) check: Check,
}

impl<M: Saves + Parts<M::Context>> Keep<M>
where
    M::Context: Clone + Serialize + DeserializeOwned,
{
    #[expect(clippy::new_without_default, reason = "nobody makes one but the macro")]
    pub fn new() -> Self {
        Self {
            save: whole::ask::<M>,
            revive: Self::revive,
            check: |saved, resume| Self::revive(saved, resume).map(drop),
        }
    }

    fn revive(saved: &Snapshot<Value>, resume: Resume) -> Result<M, SnapshotError> {
        let context = read(&saved.context).map_err(SnapshotError::NoState)?;
        restore(&saved.clone().with(context), resume)
    }
}

/// The name of an event that was written: an enum's variant, if it is one.
fn word(event: &Value) -> &str {
    match event {
        Value::Str(variant) => variant,
        Value::Map(fields) if fields.len() == 1 => &fields[0].0,
        _ => "event",
    }
}

/// The timer of `after` with that key.
fn after(key: Key) -> u64 {
    key.0 ^ OWN
}

/// The machine that was saved.
#[doc(hidden)]
pub fn restore<C: Clone, M: Parts<C>>(
    saved: &Snapshot<C>,
    resume: Resume,
) -> Result<M, SnapshotError> {
    let model = M::model();
    let shape = saved.shape(&model)?;
    let ends = shape.leaves.first().is_some_and(|&leaf| {
        let state = &model.states[leaf as usize];
        state.parent == Some(0) && state.kind == Kind::Final
    });
    let expected = match shape.status {
        Status::Done if ends => None,
        Status::Active if !ends => None,
        _ if ends => Some("done"),
        _ => Some("active"),
    };
    if let Some(expected) = expected {
        return Err(SnapshotError::UnknownStatus {
            found: saved.status.clone(),
            expected: snapshot::list([expected]),
        });
    }
    let mut armed = Vec::new();
    let mut ends = Vec::new();
    for delay in &saved.delays {
        let known = |key: Key| armed.iter().any(|armed: &Armed| armed.key == key);
        let (key, end) = match &delay.id {
            None => {
                let timers = M::DELAYS
                    .iter()
                    .zip((0..).map(|timer| Key::new(timer ^ OWN)));
                let mut unknown = timers.filter(|&(_, key)| !known(key));
                let found = unknown.find(|(name, _)| **name == delay.event);
                found.and_then(|(_, key)| Some((key, M::over(after(key))?)))
            }
            Some(id) => {
                let key = id.parse().ok().map(Key::new).filter(|&key| !known(key));
                let event = key.and_then(|_| M::event(delay.data.as_ref()?));
                let event = event.transpose().map_err(|why| SnapshotError::NoEvent {
                    found: delay.event.clone(),
                    why,
                })?;
                key.zip(event)
            }
        }
        .ok_or_else(|| SnapshotError::UnknownDelay {
            found: delay.event.clone(),
            expected: snapshot::list(M::DELAYS.iter().copied()),
        })?;
        armed.push(Armed {
            key,
            whole_ns: delay.delay_ms.saturating_mul(MS),
            when: When::Saved(delay.left_ms, delay.due_unix_ms),
            event: delay.id.as_ref().and(delay.data.clone()).map(Arc::new),
        });
        ends.push((key, delay.clone(), end));
    }
    let invoked = invoked::<C, M>(saved, &shape, resume)?;
    let mut machine = M::again(saved.context.clone(), &shape, &invoked)?;
    if let Some(effects) = machine.asks_mut() {
        effects.delays = Delays {
            is_new: !armed.is_empty(),
            armed,
            kept: Vec::new(),
        };
        effects.taken_up = (resume, ends);
    }
    Ok(machine)
}

/// Why a child cannot be started again.
#[doc(hidden)]
pub fn of_child(id: &str, error: SnapshotError) -> SnapshotError {
    SnapshotError::Child {
        id: id.to_owned(),
        error: Box::new(error),
    }
}

/// Which invocations were alive.
fn invoked<C, M: Parts<C>>(
    saved: &Snapshot<C>,
    shape: &Instance<()>,
    resume: Resume,
) -> Result<Vec<Again>, SnapshotError> {
    let runs = shape.status == Status::Active;
    let is_active = |&(_, (_, first, last)): &(u32, &(&str, StateId, StateId))| {
        let mut leaves = shape.leaves.iter();
        runs && leaves.any(|leaf| (*first..=*last).contains(leaf))
    };
    let mut active: Vec<_> = (0..).zip(M::INVOKED).filter(is_active).collect();
    let mut invoked = Vec::new();
    for child in &saved.children {
        let Some(at) = active.iter().position(|(_, (name, ..))| *name == child.id) else {
            return Err(SnapshotError::UnknownSource {
                found: child.id.clone(),
                expected: snapshot::list(active.iter().map(|(_, (name, ..))| *name)),
            });
        };
        invoked.push(Again {
            invocation: active.remove(at).0,
            saved: child.snapshot.as_deref().cloned().map(Arc::new),
            resume,
        });
    }
    Ok(invoked)
}

/// In a restored machine: how its delays go on, by key, and the events at their ends.
pub(super) type TakenUp<M> = (Resume, Vec<(Key, Delay, <M as Machine>::Event)>);

const MS: u64 = 1_000_000;

/// So many delays of `after` a chart can have.
const AFTER_MAX: u64 = 1 << 32;

/// The delays of `after` that are on their way, and the timers of bodies if the chart is `kept`.
#[derive(Debug, Default)]
pub(super) struct Delays {
    armed: Vec<Armed>,
    /// What a turn that fails goes back to.
    kept: Vec<Armed>,
    /// Whether any is not known to have a timer.
    is_new: bool,
}

#[derive(Clone, Debug)]
struct Armed {
    key: Key,
    whole_ns: u64,
    when: When,
    /// What a body's timer brings.
    event: Option<Arc<Value>>,
}

#[derive(Clone, Copy, Debug)]
enum When {
    /// When the whole has passed since the commit to come.
    Fresh,
    /// Then, in nanoseconds of its system.
    Due(u64),
    /// In another life: what was left, and when by the time of day, in milliseconds.
    Saved(u64, u64),
}

struct Left {
    key: Key,
    whole_ns: u64,
    left_ms: u64,
    due_unix_ms: u64,
    event: Option<Arc<Value>>,
}

impl Clone for Delays {
    /// What is left of each now; the timers are the original's.
    fn clone(&self) -> Self {
        let saved = |left: Left| Armed {
            key: left.key,
            whole_ns: left.whole_ns,
            when: When::Saved(left.left_ms, left.due_unix_ms),
            event: left.event,
        };
        let armed: Vec<_> = self.left().into_iter().map(saved).collect();
        Self {
            is_new: !armed.is_empty(),
            armed,
            kept: Vec::new(),
        }
    }
}

impl Delays {
    pub(super) fn arm(&mut self, key: Key, delay: Duration) {
        self.start(key, nanoseconds(delay), None);
    }

    fn start(&mut self, key: Key, whole_ns: u64, event: Option<Arc<Value>>) {
        self.disarm(key);
        self.is_new = true;
        self.armed.push(Armed {
            key,
            whole_ns,
            when: When::Fresh,
            event,
        });
    }

    pub(super) fn disarm(&mut self, key: Key) {
        self.armed.retain(|armed| armed.key != key);
    }

    /// Takes in which timers the turn's bodies have started and cancelled, but for those of `after`,
    /// which are noted when they are armed. An event that serde cannot write is left out.
    fn hear<M: Machine<Event: Serialize>>(&mut self, output: &Output<M>) {
        for step in output.steps.list.iter() {
            let (key, whole_ns) = match step.kind() {
                envelope::Kind::Timer | envelope::Kind::Cancel => {
                    let [own, whole_ns] = step.note();
                    (chosen(own), whole_ns)
                }
                _ => continue,
            };
            if after(key) < AFTER_MAX {
                continue;
            }
            self.disarm(key);
            if let Some(Evolve(event)) = step.peek::<Evolve<M::Event>>()
                && let Ok(event) = data::to_value(event)
            {
                self.start(key, whole_ns, Some(Arc::new(event)));
            }
        }
    }

    pub(super) fn keep(&mut self) {
        self.kept.clone_from(&self.armed);
    }

    pub(super) fn roll_back(&mut self) {
        std::mem::swap(&mut self.armed, &mut self.kept);
    }

    fn left(&self) -> Vec<Left> {
        if self.armed.is_empty() {
            return Vec::new();
        }
        let now = worker::peek(|worker| Some((worker?.now_ns(), worker?.clock.unix_ms())));
        let left = self.armed.iter().filter_map(|armed| {
            let (left_ms, due_unix_ms) = match (armed.when, now) {
                (When::Due(due_ns), Some((now_ns, now_unix_ms))) => {
                    let left_ms = due_ns.saturating_sub(now_ns).div_ceil(MS);
                    (left_ms, now_unix_ms.saturating_add(left_ms))
                }
                (When::Saved(left_ms, due_unix_ms), _) => (left_ms, due_unix_ms),
                // It has no timer, or none of the actor that asks.
                _ => return None,
            };
            Some(Left {
                key: armed.key,
                whole_ns: armed.whole_ns,
                left_ms,
                due_unix_ms,
                event: armed.event.clone(),
            })
        });
        left.collect()
    }

    /// Notes with the turn's commit when each is due, and takes up those of another life.
    #[inline]
    pub(super) fn commit<M: Machine>(&mut self, taken_up: &mut TakenUp<M>, output: &mut Output<M>) {
        if self.is_new {
            self.settle(taken_up, output);
        }
    }

    fn settle<M: Machine>(&mut self, (resume, ends): &mut TakenUp<M>, output: &mut Output<M>) {
        let now = worker::peek(|worker| Some((worker?.now_ns(), worker?.clock.unix_ms())));
        let Some((now_ns, now_unix_ms)) = now else {
            return;
        };
        self.is_new = false;
        self.armed.retain_mut(|armed| {
            let left_ns = match armed.when {
                When::Due(_) => return true,
                When::Fresh => armed.whole_ns,
                When::Saved(..) => {
                    let Some(at) = ends.iter().position(|end| end.0 == armed.key) else {
                        return false; // of a clone: its delays are the original's
                    };
                    let (key, delay, event) = ends.remove(at);
                    let left_ms = delay.left_ms_at(*resume, now_unix_ms);
                    let left_ns = left_ms.saturating_mul(MS);
                    output.after(key, Duration::from_nanos(left_ns), event);
                    left_ns
                }
            };
            armed.when = When::Due(now_ns.saturating_add(left_ns));
            true
        });
        ends.clear();
    }
}

impl<M: Machine<Event: Serialize>> Effects<M> {
    /// Has the timers that the turn's bodies have asked for saved with the machine (D3).
    #[doc(hidden)]
    pub fn keep_timers(&mut self) {
        self.delays.hear(&self.output);
    }
}
