//! `mainspring chart paths`: how to reach every state and take every transition.

use std::process::ExitCode;

use mainspring::chart::Model;
use mainspring::chart::model::{Transition, Trigger};
use mainspring::chart::paths::{Way, paths};
use serde::Serialize;

use super::Failure;
use super::source::{Source, SourceArgs};

/// List the shortest event sequences that reach each state and take each transition: ready-made
/// tests. A `!` behind an event says that guards must not hold, a `?` that they must.
///
/// Exit status: 0 when every state is reached; 1 when one is not; 2 when the file is no chart.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PathsArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// How many configurations to look at
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    max: usize,

    /// Print one JSON object a path, a line each
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transition: Option<String>,
    reached: bool,
    events: &'a [String],
    guards_hold: &'a [bool],
}

pub(super) fn run(args: &PathsArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&args.source.file, args.source.format)?;
    let model = source.sound()?;
    let found = paths(&model, args.max);
    let has_guards = !model.guards.is_empty();
    let mut lost = 0;
    let show = |state: Option<&str>, transition: Option<String>, way: Option<&Way>| {
        if args.json {
            let row = Row {
                state,
                transition,
                reached: way.is_some(),
                events: way.map_or(&[], |way| &way.events),
                guards_hold: way.map_or(&[], |way| &way.guards_hold),
            };
            let text = serde_json::to_string(&row).expect("a row of texts is JSON");
            println!("{text}");
            return;
        }
        let what = state.map_or_else(|| transition.unwrap_or_default(), str::to_owned);
        match way {
            Some(way) if way.events.is_empty() => println!("  {what:40} at the start"),
            Some(way) => println!("  {what:40} {}", text(way, has_guards)),
            None => println!("  {what:40} no way found"),
        }
    };
    if !args.json {
        println!("states");
    }
    for (state, way) in model.states.iter().zip(&found.states) {
        // A history is passed through, never active.
        let is_history = matches!(state.kind, mainspring::chart::model::Kind::History { .. });
        if is_history {
            continue;
        }
        lost += usize::from(way.is_none());
        show(Some(&state.id), None, way.as_ref());
    }
    if !args.json {
        println!("transitions");
    }
    for (state, ways) in model.states.iter().zip(&found.transitions) {
        for (transition, way) in state.transitions.iter().zip(ways) {
            // An eventless transition is taken on the way; no event selects it.
            if transition.trigger == Trigger::Always && way.is_none() {
                continue;
            }
            let name = name(&model, &state.id, transition);
            show(None, Some(name), way.as_ref());
        }
    }
    if lost > 0 && !args.json {
        println!("{lost} states without a way, of {}", model.states.len());
    }
    Ok(ExitCode::from(u8::from(lost > 0)))
}

fn text(way: &Way, has_guards: bool) -> String {
    let steps = way.events.iter().zip(&way.guards_hold);
    let steps: Vec<String> = steps
        .map(|(event, holds)| match (has_guards, holds) {
            (false, _) => event.clone(),
            (true, true) => format!("{event}?"),
            (true, false) => format!("{event}!"),
        })
        .collect();
    steps.join(" ")
}

fn name(model: &Model, source: &str, transition: &Transition) -> String {
    let event = match &transition.trigger {
        Trigger::Always => "always".to_owned(),
        Trigger::Events(list) => list.join(" "),
    };
    let targets: Vec<&str> = transition
        .targets
        .iter()
        .map(|&target| model.states[target as usize].id.as_str())
        .collect();
    if targets.is_empty() {
        format!("{source} {event}")
    } else {
        format!("{source} {event} -> {}", targets.join(" "))
    }
}
