//! A plan as text: one line a step, the same for the same step in each run.

use super::delivery::Delivery;
use super::switch::Switch;
use super::{Plan, flag};
use crate::actor::{Address, Behavior, Machine};
use crate::envelope::{Kind, Parcel};
use std::any::type_name;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a step of a plan of behavior `B` is: its kind, target or key, and the type of what is inside.
/// Of closures there is the kind alone.
pub(crate) fn line<B: Behavior>(step: &Parcel, system: u32) -> String {
    let kind = step.kind();
    let delivery = step.peek::<Delivery>();
    let name = delivery.map_or(step.type_name(), Delivery::message_name);
    match (kind, NonZeroU32::new(step.generation())) {
        (Kind::Tell | Kind::Ask | Kind::Deliver, Some(generation)) => {
            let cell = step.cell();
            let target = Address {
                cell,
                generation,
                system,
            };
            format!("{kind:?} {target} {name}")
        }
        (Kind::Cancel, _) => format!("Cancel key {}", step.note()[0]),
        (Kind::Timer | Kind::Interval, _) => {
            let [key, after_ns] = step.note();
            let after = Duration::from_nanos(after_ns);
            format!("{kind:?} key {key} {after:?} {name}")
        }
        (Kind::Become, _) => {
            let switch = step.peek::<Switch<B::Machine>>();
            let name = switch.and_then(Switch::name);
            format!("Become {}", name.unwrap_or("the last one kept"))
        }
        (Kind::Event | Kind::Reply | Kind::Stash, _) => format!("{kind:?} {name}"),
        _ => format!("{kind:?}"),
    }
}

/// Adds how a plan with these flags ends.
pub(crate) fn ends(list: &mut fmt::DebugList<'_, '_>, flags: u16) {
    for (flag, name) in [(flag::STOP, "Stop"), (flag::UNHANDLED, "Unhandled")] {
        if flags & flag != 0 {
            list.entry(&format_args!("{name}"));
        }
    }
}

impl<B: Behavior> fmt::Debug for Plan<B> {
    /// Kinds, targets, keys and types of the steps, in order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        if self.event.is_some() {
            let name = type_name::<<B::Machine as Machine>::Event>();
            list.entry(&format_args!("Event {name}"));
        }
        for step in self.steps.list.iter() {
            let line = line::<B>(step, self.steps.system);
            list.entry(&format_args!("{line}"));
        }
        ends(&mut list, self.steps.flags);
        list.finish()
    }
}
