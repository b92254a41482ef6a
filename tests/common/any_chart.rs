//! Any text's chart: a meaning for whatever it names, and a short run.

use mainspring::chart::loaded::{ActionFn, GuardFn};
use mainspring::chart::xstate::{DelayFn, Library, Mention};
use mainspring::chart::{Buffers, Chart, Event, Logic, Value};

/// Knows every name: an action counts, a guard asks whether the count is even.
pub(crate) struct Everything;

impl Library<u64> for Everything {
    fn action(&mut self, _: Mention<'_>) -> Option<ActionFn<u64>> {
        Some(Box::new(|scope| {
            *scope.context += 1;
            Ok(())
        }))
    }

    fn guard(&mut self, _: &str, _: Option<&Value>) -> Option<GuardFn<u64>> {
        Some(Box::new(|ask| Ok(ask.context.is_multiple_of(2))))
    }

    fn delay(&mut self, _: &str) -> Option<DelayFn<u64>> {
        Some(Box::new(|_| Some(1.0)))
    }

    fn actor(&mut self, _: &str) -> bool {
        true
    }
}

/// A few events; a chart that does not come to rest ends at its limit.
pub(crate) fn run<L: Logic<Event = Event>>(mut chart: Chart<L>, context: L::Context) {
    chart.microsteps_max = 50;
    let mut buffers = Buffers::default();
    let (mut instance, started) = chart.start(context, &Event::new("init"), &mut buffers);
    if started.is_err() {
        return;
    }
    for name in ["GO", "go", "x.y", "BACK", "GO", "RESET", "late", "GO"] {
        let event = Event::new(name);
        let class = chart.table().class(name);
        let _ = chart.step(&mut instance, class, &event, &mut buffers);
        buffers.effects().clear();
    }
}
