//! The workloads, and what each must tell of itself.

mod asking;
mod baseline;
mod crowds;
mod overload;
mod passing;
mod spawning;
mod stage;
mod streams;
mod timing;
mod work;
mod working;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::measure::{Goal, Measure};
use super::meter::{Meter, Sample};
use super::setting::Setting;

/// A load with a result that can be checked.
pub(crate) trait Workload: Sync {
    /// Its name on the command line and in reports: lower case, with hyphens.
    fn name(&self) -> &'static str;

    fn group(&self) -> Group;

    /// What it does, in a sentence that a report shows.
    fn about(&self) -> &'static str;

    /// What one message is: the unit of `ns a message`.
    fn message(&self) -> &'static str;

    /// The size of a usual run, and of a quick one.
    fn sizes(&self) -> Sizes;

    /// The figure it is about.
    fn headline(&self) -> Measure {
        Measure::NsPerMessage
    }

    /// Who runs it.
    fn threads(&self) -> Threads {
        Threads::Workers
    }

    /// Whether a process runs it once, unmeasured, before the measured round. Not for a load whose
    /// question is what a first run costs, such as its memory.
    fn warms_up(&self) -> bool {
        true
    }

    /// The figures to reach with so many workers; section 9 of the design.
    fn goals(&self, _workers: usize) -> Vec<Goal> {
        Vec::new()
    }

    /// Runs the load once and checks its result.
    ///
    /// # Errors
    ///
    /// [`Wrong`] when the result is not what it must be.
    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong>;
}

/// How much a run does, in the workload's own measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) usual: u64,
    pub(crate) quick: u64,
}

/// Who runs a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// As many workers as the setting says.
    Workers,
    /// Always so many threads, whatever the setting says.
    Always(usize),
}

/// What a workload is about; reports show the groups in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    Messages,
    Spawning,
    Asking,
    Timers,
    Work,
    Baseline,
}

impl Group {
    pub(crate) const ALL: [Group; 6] = [
        Group::Messages,
        Group::Spawning,
        Group::Asking,
        Group::Timers,
        Group::Work,
        Group::Baseline,
    ];

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Group::Messages => "messages",
            Group::Spawning => "spawning",
            Group::Asking => "asking",
            Group::Timers => "timers",
            Group::Work => "work",
            Group::Baseline => "baseline",
        }
    }

    /// What its workloads ask, for people.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Group::Messages => "What a message costs",
            Group::Spawning => "What an actor costs",
            Group::Asking => "How long an answer takes",
            Group::Timers => "Timers: what they cost, how late they are",
            Group::Work => "How much of the machine is left for the work itself",
            Group::Baseline => "The same machine without the runtime",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run that did not do what it must: its figures are worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl Wrong {
    /// Refuses `found` unless it is `expected`.
    ///
    /// # Errors
    ///
    /// [`Wrong`], naming `what` and both values.
    pub(crate) fn unless_equal<T: PartialEq + fmt::Display>(
        what: &str,
        found: T,
        expected: T,
    ) -> Result<(), Wrong> {
        if found == expected {
            return Ok(());
        }
        Err(Wrong(format!("{what} is {found}, must be {expected}")))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every workload, in the order of reports.
pub(crate) fn all() -> Vec<&'static dyn Workload> {
    let mut all = Vec::new();
    all.extend(passing::all());
    all.extend(streams::all());
    all.extend(crowds::all());
    all.extend(spawning::all());
    all.extend(asking::all());
    all.extend(timing::all());
    all.extend(working::all());
    all.extend(overload::all());
    all.extend(baseline::all());
    all.sort_by_key(|workload| workload.group());
    all
}

/// The workload of that name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Workload> {
    all().into_iter().find(|workload| workload.name() == name)
}

/// The workloads that `names` names, in the order of [`all`]; all of them when there are no names.
/// A name is a workload's, a group's, or `all`.
///
/// # Errors
///
/// The first unknown name, with the names nearest to it.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static dyn Workload>, String> {
    let all = all();
    let matches = |workload: &dyn Workload, name: &str| {
        name == workload.name() || name == workload.group().name() || name == "all"
    };
    for name in names {
        if !all.iter().any(|&workload| matches(workload, name)) {
            return Err(unknown(name, &all));
        }
    }
    let is_chosen = |workload: &dyn Workload| {
        names.is_empty() || names.iter().any(|name| matches(workload, name))
    };
    Ok(all
        .into_iter()
        .filter(|&workload| is_chosen(workload))
        .collect())
}

fn unknown(name: &str, all: &[&dyn Workload]) -> String {
    let mut known: Vec<&str> = all.iter().map(|workload| workload.name()).collect();
    known.extend(all.iter().map(|workload| workload.group().name()));
    known.sort_unstable();
    known.dedup();
    let mut by_likeness: Vec<(f64, &str)> = known
        .iter()
        .map(|&other| (strsim::jaro_winkler(name, other), other))
        .collect();
    by_likeness.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest: Vec<&str> = by_likeness
        .iter()
        .take(3)
        .filter(|near| near.0 > 0.6)
        .map(|near| near.1)
        .collect();
    let hint = match nearest.is_empty() {
        true => format!("known: {}", known.join(", ")),
        false => format!("nearest: {}", nearest.join(", ")),
    };
    format!("WORKLOAD: `{name}` is unknown; {hint} (`mainspring bench --list` shows all)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_the_command_line() {
        let mut names: Vec<_> = all().iter().map(|workload| workload.name()).collect();
        for name in &names {
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            );
            assert!(
                Group::ALL.iter().all(|group| group.name() != *name),
                "{name} is a group"
            );
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_workload_of_the_runtime_checks_out_at_a_small_size() {
        for workload in all() {
            if workload.group() == Group::Baseline {
                continue;
            }
            let setting = Setting {
                workers: 2,
                pin: Default::default(),
                size: workload.sizes().quick.min(2_000),
                throughput: None,
                slice_ns: None,
                spin_ns: None,
            };
            let sample = workload.run(&setting, &mut Meter::default());
            let sample = sample.unwrap_or_else(|wrong| panic!("{}: {wrong}", workload.name()));
            let headline = sample.figures.get(workload.headline());
            assert!(headline.is_some(), "{}", workload.name());
            for goal in workload.goals(2) {
                let measured = sample.figures.get(goal.measure);
                let (name, key) = (workload.name(), goal.measure.key());
                assert!(measured.is_some(), "{name} has a goal for {key}");
            }
        }
    }

    #[test]
    fn an_unknown_workload_is_told_its_neighbors() {
        let error = chosen(&["cache-lime".to_owned()]).err().unwrap();
        assert!(
            error.contains("`cache-lime` is unknown; nearest: cache-line"),
            "{error}"
        );
        let error = chosen(&["qqq".to_owned()]).err().unwrap();
        assert!(error.contains("known: "), "{error}");
    }

    #[test]
    fn a_group_names_its_workloads() {
        let chosen = chosen(&["baseline".to_owned()]).unwrap();
        assert!(chosen.len() >= 4);
        assert!(
            chosen
                .iter()
                .all(|workload| workload.group() == Group::Baseline)
        );
    }

    #[test]
    fn quick_is_smaller() {
        for workload in all() {
            let sizes = workload.sizes();
            assert!(
                0 < sizes.quick && sizes.quick <= sizes.usual,
                "{}",
                workload.name()
            );
        }
    }
}
