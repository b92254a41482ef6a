//! The validator: each value against its key's rule, then values against each other and the machine.

use super::error::{Problem, ProblemKind, Problems, Source, Warning};
use super::keys::{
    DISPATCHER_NAME, DISPATCHERS_MAX, Place, THREADS_MAX, cores_usable, is_dispatcher_name,
};
use super::values::{Mismatch, Pinning, Value, duration_text};
use super::{Config, PinError};
use crate::dispatcher::pinning::{self, Topology};

/// What the rules ask of the machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Cores that the process may run on; empty when that is not known.
    pub(super) mask: Vec<usize>,
    /// Cores that it may keep busy.
    pub(super) cores: usize,
}

impl Machine {
    pub(super) fn current() -> Self {
        Self {
            mask: pinning::allowed_cores(),
            cores: cores_usable(),
        }
    }
}

/// The problem of a value that is not allowed.
pub(super) fn not_allowed(
    place: &Place,
    shown: &str,
    mismatch: Mismatch,
    source: Source,
) -> Problem {
    let kind = match mismatch {
        Mismatch::Type => ProblemKind::WrongType,
        Mismatch::Range => ProblemKind::OutOfRange,
    };
    let message = format!("expected {}", place.spec().kind);
    Problem::new(kind, &place.path(), source, message).with_value(shown)
}

/// Whether `config` has, or may get, a dispatcher of this name.
pub(super) fn dispatcher(config: &Config, name: &str, source: Source) -> Result<(), Problem> {
    let message = if !is_dispatcher_name(name) {
        format!("a dispatcher's name is {DISPATCHER_NAME}")
    } else if config.dispatchers.len() >= DISPATCHERS_MAX && !config.dispatchers.contains_key(name)
    {
        format!("one dispatcher more than the {DISPATCHERS_MAX} allowed")
    } else {
        return Ok(());
    };
    let key = format!("dispatchers.{name}");
    let kind = ProblemKind::OutOfRange;
    Err(Problem::new(kind, &key, source, message))
}

/// Each value of `config` alone.
pub(super) fn values(config: &Config, problems: &mut Problems) {
    for name in config.dispatchers.keys() {
        if let Err(problem) = dispatcher(config, name, Source::Code) {
            problems.push(problem);
        }
    }
    if config.dispatchers.len() > DISPATCHERS_MAX {
        let message = format!("more dispatchers than the {DISPATCHERS_MAX} allowed");
        let kind = ProblemKind::OutOfRange;
        problems.push(Problem::new(kind, "dispatchers", Source::Code, message));
    }
    for place in Place::all(config) {
        let value = place.get(config);
        if let Err(mismatch) = place.spec().kind.check(&value) {
            let source = config.source_of(&place);
            problems.push(not_allowed(&place, &value.to_string(), mismatch, source));
        }
    }
}

/// The values of `config` together, and on this machine.
pub(super) fn together(config: &Config, machine: &Machine, problems: &mut Problems) {
    for group in groups(config) {
        if group.threads > THREADS_MAX {
            continue; // reported by its own rule, and no size to plan for
        }
        let topology = Topology::default();
        let plan = pinning::plan(group.policy, group.threads, &machine.mask, &topology);
        let Err(error) = plan else { continue };
        let kind = match error {
            PinError::ShortList { .. } => ProblemKind::Contradiction,
            _ => ProblemKind::Unsupported,
        };
        problems.push(contradiction(config, &group.key, kind, error.to_string()));
    }
    let ceiling = config.system.memory_ceiling_bytes;
    if config.mailbox.capacity_bytes > ceiling {
        let message = format!("more than system.memory_ceiling_bytes = {ceiling}");
        let key = "mailbox.capacity_bytes";
        problems.push(contradiction(
            config,
            key,
            ProblemKind::Contradiction,
            message,
        ));
    }
}

fn contradiction(config: &Config, key: &str, kind: ProblemKind, message: String) -> Problem {
    let place = Place::of_path(key).expect("the rules name keys that exist");
    let value = place.get(config).to_string();
    Problem::new(kind, key, config.source_of(&place), message).with_value(&value)
}

/// Threads that are pinned together.
struct Group<'a> {
    /// The key of its pinning.
    key: String,
    policy: &'a Pinning,
    threads: usize,
    threads_key: String,
}

/// All groups of threads, the compute pool last.
fn groups(config: &Config) -> Vec<Group<'_>> {
    let unnamed = ("dispatcher".to_owned(), &config.dispatcher);
    // A badly named one has been reported and has no place.
    let named = config.dispatchers.iter();
    let named = named.filter(|(name, _)| is_dispatcher_name(name));
    let named = named.map(|(name, dispatcher)| (format!("dispatchers.{name}"), dispatcher));
    let dispatchers = std::iter::once(unnamed).chain(named);
    let dispatchers = dispatchers.map(|(section, dispatcher)| Group {
        key: format!("{section}.pinning"),
        policy: &dispatcher.pinning,
        threads: dispatcher.workers,
        threads_key: format!("{section}.workers"),
    });
    let compute = Group {
        key: "compute.pinning".to_owned(),
        policy: &config.compute.pinning,
        threads: config.compute.threads,
        threads_key: "compute.threads".to_owned(),
    };
    dispatchers.chain(std::iter::once(compute)).collect()
}

/// A list of cores says how many threads there are, where nothing else does.
pub(super) fn fill_in_threads(config: &mut Config) {
    let lists = groups(config).into_iter().filter_map(|group| {
        let Pinning::Cores(cores) = group.policy else {
            return None;
        };
        let unset = !config.origins.contains_key(&group.threads_key);
        let source = config.origins.get(&group.key)?.0.clone();
        unset.then_some((group.threads_key, cores.len(), source))
    });
    for (key, threads, source) in lists.collect::<Vec<_>>() {
        let place = Place::of_path(&key).expect("a group's keys exist");
        let value = Value::Whole(threads as i128);
        if place.spec().kind.check(&value).is_ok() {
            place.set(config, &value);
            config.origins.insert(key, (source, value));
        }
    }
}

/// What is allowed and probably not meant.
pub(super) fn warnings(config: &Config, machine: &Machine) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |key: &str, message: String| {
        let key = key.to_owned();
        warnings.push(Warning { key, message });
    };
    let groups = groups(config);
    let compute_on = cfg!(feature = "compute");
    let running = if compute_on {
        &groups[..]
    } else {
        &groups[..groups.len() - 1]
    };
    let mut pinned = 0;
    for (i, group) in running.iter().enumerate() {
        let (threads, cores) = (group.threads, machine.cores);
        if threads > cores {
            let message = format!("{threads} threads for {cores} cores, which will take turns");
            warn(&group.threads_key, message);
        }
        if *group.policy != Pinning::None && !group.key.starts_with("compute") {
            pinned += threads;
        }
        let Pinning::Cores(list) = group.policy else {
            continue;
        };
        if list.len() > threads {
            let spare = &list[threads..];
            let key = &group.threads_key;
            warn(
                &group.key,
                format!("cores {spare:?} stay unused, since {key} = {threads}"),
            );
        }
        let used = &list[..list.len().min(threads)];
        for (at, core) in used.iter().enumerate() {
            if used[..at].contains(core) {
                warn(&group.key, format!("core {core} is listed twice"));
            }
        }
        for other in &running[i + 1..] {
            let Pinning::Cores(others) = other.policy else {
                continue;
            };
            let others = &others[..others.len().min(other.threads)];
            let mut shared = used.to_vec();
            shared.sort_unstable();
            shared.dedup();
            for core in shared.into_iter().filter(|core| others.contains(core)) {
                warn(&other.key, format!("core {core} is also in {}", group.key));
            }
        }
    }
    let compute = config.compute.threads;
    if compute_on && pinned > 0 && compute + pinned > machine.cores {
        let cores = machine.cores;
        let message =
            format!("{compute} compute threads and {pinned} pinned workers share {cores} cores");
        warn("compute.threads", message);
    }
    let stuck = config.system.watchdog_stuck;
    let sections = [("dispatcher".to_owned(), &config.dispatcher)].into_iter();
    let named = config.dispatchers.iter();
    let sections = sections.chain(named.map(|(name, d)| (format!("dispatchers.{name}"), d)));
    for (section, dispatcher) in sections {
        if dispatcher.slice >= stuck {
            let stuck = duration_text(stuck);
            let message = format!("a full slice counts as stuck (system.watchdog_stuck = {stuck})");
            warn(&format!("{section}.slice"), message);
        }
    }
    if config.mailbox.commit_deadline > config.system.ask_timeout {
        let ask = duration_text(config.system.ask_timeout);
        let message =
            format!("an asker gives up before its turn does (system.ask_timeout = {ask})");
        warn("mailbox.commit_deadline", message);
    }
    warnings
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::DispatcherConfig;
    use std::time::Duration;

    const FOUR: [usize; 4] = [0, 1, 2, 3];

    fn machine(mask: &[usize]) -> Machine {
        Machine {
            mask: mask.to_vec(),
            cores: mask.len(),
        }
    }

    /// A config of `workers` on `dispatcher` and two on `io`, whatever this machine has.
    fn pinned(workers: usize, dispatcher: Pinning, io: Pinning) -> Config {
        let mut config = Config::default();
        config.dispatcher.workers = workers;
        config.dispatcher.pinning = dispatcher;
        config.compute.threads = 1;
        let mut named = DispatcherConfig::named("io");
        named.workers = 2;
        named.pinning = io;
        config.dispatchers.insert("io".to_owned(), named);
        config
    }

    fn warned(config: &Config, mask: &[usize]) -> Vec<String> {
        let warnings = warnings(config, &machine(mask));
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_warn_of_nothing() {
        assert_eq!(Config::default().warnings(), []);
        assert_eq!(
            warned(&pinned(2, Pinning::None, Pinning::None), &FOUR),
            [""; 0]
        );
    }

    #[test]
    fn cores_that_are_shared_repeated_or_left_over_are_warned_of() {
        use Pinning::{Cores, None};
        let shared = pinned(2, Cores(vec![0, 1]), Cores(vec![1, 2]));
        let text = "dispatchers.io.pinning: core 1 is also in dispatcher.pinning";
        assert!(warned(&shared, &FOUR).contains(&text.to_owned()));
        let twice = pinned(2, Cores(vec![3, 3]), None);
        let text = "dispatcher.pinning: core 3 is listed twice";
        assert!(warned(&twice, &FOUR).contains(&text.to_owned()));
        let spare = pinned(2, Cores(vec![0, 1, 2, 3]), Cores(vec![2, 3]));
        let text = "dispatcher.pinning: cores [2, 3] stay unused, since dispatcher.workers = 2";
        let warned = warned(&spare, &FOUR);
        assert!(warned.contains(&text.to_owned()));
        // A core that stays unused is not shared.
        assert!(
            !warned.iter().any(|text| text.contains("also in")),
            "{warned:?}"
        );
    }

    #[test]
    fn more_threads_than_cores_are_warned_of() {
        let many = pinned(5, Pinning::None, Pinning::None);
        let text = "dispatcher.workers: 5 threads for 4 cores, which will take turns";
        assert_eq!(warned(&many, &FOUR), [text]);
        let mut crowded = pinned(3, Pinning::Compact, Pinning::None);
        crowded.compute.threads = 2;
        let text = "compute.threads: 2 compute threads and 3 pinned workers share 4 cores";
        let expected: &[&str] = if cfg!(feature = "compute") {
            &[text]
        } else {
            &[]
        };
        assert_eq!(warned(&crowded, &FOUR), expected);
    }

    #[test]
    fn times_that_defeat_each_other_are_warned_of() {
        let mut config = pinned(1, Pinning::None, Pinning::None);
        config.dispatcher.slice = Duration::from_millis(4);
        config.mailbox.commit_deadline = Duration::from_secs(6);
        assert_eq!(
            warned(&config, &FOUR),
            [
                "dispatcher.slice: a full slice counts as stuck (system.watchdog_stuck = 4ms)",
                "mailbox.commit_deadline: an asker gives up before its turn does (system.ask_timeout = 5s)",
            ]
        );
    }

    #[cfg(feature = "affinity")]
    #[test]
    fn a_config_is_checked_against_the_mask_of_its_machine() {
        let config = pinned(1, Pinning::Cores(vec![2]), Pinning::Compact);
        let checked = |mask: &[usize]| {
            let mut problems = Problems::default();
            together(&config, &machine(mask), &mut problems);
            problems.into_result().map_err(|error| error.to_string())
        };
        assert_eq!(checked(&FOUR), Ok(()));
        assert_eq!(checked(&[2]), Ok(()));
        let outside = "dispatcher.pinning = 2 (code): core 2 is not one of the cores that this process may use (0-1,3)";
        assert_eq!(checked(&[0, 1, 3]), Err(outside.to_owned()));
        let unknown = checked(&[]).unwrap_err();
        let text = "the system does not tell which cores this process may use";
        assert_eq!(unknown.matches(text).count(), 2, "{unknown}");
    }
}
