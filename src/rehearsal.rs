//! Rehearsals: in debug and test builds a handler may decide twice on the same message and machine,
//! and both plans must say the same.
//!
//! ```text
//!   message ──▶ clone ──▶ on_message(clone, snapshot) ──▶ plan, dropped
//!      │                                                    ║ the same steps and events?
//!      └─────────────────▶ on_message(message, snapshot) ──▶ plan, committed
//! ```

use crate::actor::{Behavior, Machine, Snapshot};
use crate::config::HiddenState;
use crate::dispatcher::worker::Worker;
use crate::envelope::Parcel;
use crate::plan::{Plan, print};
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::{Arc, Mutex, lock};
use hashbrown::HashMap;
use std::any::{Any, TypeId, type_name};

/// What two parcels of one type are compared by; none for those of another.
type Same = fn(&Parcel, &Parcel) -> Option<bool>;

/// How a behavior's decisions are compared.
struct Rehearsal<B: Behavior> {
    clone: fn(&B::Message) -> B::Message,
    same: fn(&Event<B>, &Event<B>) -> bool,
}

type Event<B> = <<B as Behavior>::Machine as Machine>::Event;

/// The behaviors of a system that decide twice.
#[derive(Default)]
pub(crate) struct Rehearsals {
    any: AtomicBool,
    /// A [`Rehearsal`] each.
    by_behavior: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    values: Mutex<Vec<Same>>,
    warned: Mutex<Vec<&'static str>>,
}

impl Rehearsals {
    /// From now on actors of this behavior decide twice.
    pub(crate) fn add<B: Behavior>(&self)
    where
        B::Message: Clone,
        Event<B>: PartialEq,
    {
        let rehearsal = Rehearsal::<B> {
            clone: B::Message::clone,
            same: Event::<B>::eq,
        };
        lock(&self.by_behavior).insert(TypeId::of::<B>(), Arc::new(rehearsal));
        self.any.store(true, Relaxed);
    }

    /// From now on values of this type in steps are compared.
    pub(crate) fn compare_values<T: PartialEq + 'static>(&self) {
        lock(&self.values).push(|first, second| Some(first.peek::<T>()? == second.peek::<T>()?));
    }

    fn of<B: Behavior>(&self) -> Option<Arc<Rehearsal<B>>> {
        let found = lock(&self.by_behavior).get(&TypeId::of::<B>()).cloned();
        found?.downcast().ok()
    }

    /// Whether two plans say the same.
    fn agree<B: Behavior>(&self, first: &Plan<B>, second: &Plan<B>, system: u32) -> bool {
        let Some(rehearsal) = self.of::<B>() else {
            return true;
        };
        let of_event = match (&first.event, &second.event) {
            (Some(first), Some(second)) => (rehearsal.same)(first, second),
            (None, None) => true,
            _ => false,
        };
        let values = lock(&self.values).clone();
        let of_value = |first: &Parcel, second: &Parcel| {
            if let (Some(first), Some(second)) = (first.peek(), second.peek()) {
                return (rehearsal.same)(first, second);
            }
            values.iter().all(|same| same(first, second) != Some(false))
        };
        let (mut ours, mut theirs) = (first.steps.list.iter(), second.steps.list.iter());
        let of_steps = loop {
            match (ours.next(), theirs.next()) {
                (None, None) => break true,
                (Some(first), Some(second))
                    if print::line::<B>(first, system) == print::line::<B>(second, system)
                        && of_value(first, second) => {}
                _ => break false,
            }
        };
        of_event && of_steps && first.steps.flags == second.steps.flags
    }
}

/// What a behavior decides on a copy of the message, if it is one that decides twice.
#[inline(always)]
pub(crate) fn rehearse<B: Behavior>(
    worker: &Worker,
    behavior: &B,
    message: &B::Message,
    snapshot: Snapshot<'_, B>,
) -> Option<Plan<B>> {
    if !worker.shared.rehearsals.any.load(Relaxed) {
        return None;
    }
    let rehearsal = worker.shared.rehearsals.of::<B>()?;
    let _loan = worker.lend();
    #[cfg(debug_assertions)]
    let _deciding = worker.deciding::<B>();
    let message = (rehearsal.clone)(message);
    let ids = &worker.clock.ids;
    Some(ids.lending(|| behavior.on_message(message, snapshot)))
}

/// Compares what was decided twice.
///
/// # Panics
///
/// If it is not the same, unless the configuration says to warn.
#[cold]
pub(crate) fn compare<B: Behavior>(worker: &Worker, first: &Plan<B>, second: &Plan<B>) {
    let shared = &worker.shared;
    if shared.rehearsals.agree(first, second, worker.system()) {
        return;
    }
    let (actor, behavior) = (worker.me(), type_name::<B>());
    let text = format!(
        "actor {actor}: the behavior {behavior} decided twice on the same message and machine, and \
         not the same: {first:?}, then {second:?}; it depends on what is in neither, as a static, a \
         clock or a random number"
    );
    match shared.config.system.hidden_state {
        HiddenState::Panic => panic!("{text}"),
        HiddenState::Warn => {
            let mut warned = lock(&shared.rehearsals.warned);
            if !warned.contains(&behavior) {
                warned.push(behavior);
                eprintln!("mainspring: {text}");
            }
        }
    }
}
