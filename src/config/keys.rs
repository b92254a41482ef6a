//! Every key, once: field, default, what is allowed, unit and meaning.
//!
//! The structs, their defaults, the validator, [`Config::explain`](super::Config::explain) and
//! `docs/config.md` all come from these tables.

use std::borrow::Cow;
use std::time::Duration;

use super::Config;
use super::values::{Field, HiddenState, Kind, Origins, Overflow, Pinning, Value, WhenFull};

/// What a key is, apart from the struct that holds it.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: &'static str,
    /// Says the default where it is no constant.
    pub(super) default_note: Option<&'static str>,
    pub(super) meaning: &'static str,
}

/// A key of the section `S`.
#[derive(Debug)]
pub(super) struct Key<S: 'static> {
    pub(super) spec: Spec,
    get: fn(&S) -> Value,
    set: fn(&mut S, &Value),
}

/// A struct of settings, its defaults and its keys, from one table.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $name:ident, $keys:ident {
            $(
                #[doc = $meaning:literal]
                $field:ident: $type:ty = $default:expr, $kind:expr, $unit:literal $(, $note:literal)?;
            )*
        }
    ) => {
        $(#[$doc])*
        #[non_exhaustive]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = $meaning] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        pub(super) static $keys: &[Key<$name>] = &[$(
            Key {
                spec: Spec {
                    name: stringify!($field),
                    kind: $kind,
                    unit: $unit,
                    default_note: { let note: &[&str] = &[$($note)?]; note.first().copied() },
                    meaning: $meaning,
                },
                get: |section| section.$field.to_value(),
                set: |section, value| {
                    section.$field = Field::from_value(value).expect("a checked value fits its field");
                },
            },
        )*];
    };
}

section! {
    /// Limits and times of a whole system: the section `[system]`.
    SystemConfig, SYSTEM {
        #[doc = "Name of the system, as its metrics show it."]
        name: String = "mainspring".to_owned(), NAME, "";
        #[doc = "Bytes that the runtime may hold for actors and messages; what goes beyond is refused."]
        memory_ceiling_bytes: u64 = 1 << 30, whole(1 << 20, 1 << 46), "bytes";
        #[doc = "Actors that may live at once."]
        max_actors: usize = 4_194_304, whole(1, 16_777_215), "actors";
        #[doc = "Time after which an ask without a time of its own fails."]
        ask_timeout: Duration = Duration::from_secs(5), time(MS, 365 * DAY), "";
        #[doc = "Asks that may wait for their reply at once."]
        max_asks_in_flight: usize = 65_536, whole(1, 16_777_216), "asks";
        #[doc = "Timers that may be armed at once."]
        max_timers: usize = 1_048_576, whole(1, 16_777_216), "timers";
        #[doc = "Dead letters kept to be read; the oldest makes room."]
        dead_letter_capacity: usize = 4_096, whole(0, 1_048_576), "messages";
        #[doc = "Time that a shutdown gives the actors to finish."]
        shutdown_timeout: Duration = Duration::from_secs(10), time(0, DAY), "";
        #[doc = "Length of a turn from which the watchdog reports it."]
        watchdog_warn: Duration = Duration::from_millis(100), time(MS, HOUR), "";
        #[doc = "Length of a turn from which the watchdog hands the worker's queue to a spare thread."]
        watchdog_stuck: Duration = Duration::from_millis(4), time(100 * US, HOUR), "";
        #[doc = "Names that may be registered at once."]
        names_max: usize = 65_536, whole(0, 16_777_216), "names";
        #[doc = "Whether each message says where it came from: an `Origin`, in an envelope of its own."]
        origins: Origins = Origins::Off, Kind::Choice(Origins::WORDS), "";
        #[doc = "What follows where a debug build finds that a behavior depends on more than message and machine."]
        hidden_state: HiddenState = HiddenState::Panic, Kind::Choice(HiddenState::WORDS), "";
    }
}

section! {
    /// A group of workers: the section `[dispatcher]`, and `[dispatchers.NAME]` for each further one.
    DispatcherConfig, DISPATCHER {
        #[doc = "Worker threads; more than cores is legal."]
        workers: usize = cores_usable(), whole(1, THREADS_MAX as i128), "threads", "length of the list in `pinning`, else usable cores";
        #[doc = "Cores that the workers are bound to; a list has one for each worker."]
        pinning: Pinning = Pinning::None, Kind::Pinning, "";
        #[doc = "Messages that one turn of an actor may handle."]
        throughput: usize = 64, whole(1, 65_536), "messages";
        #[doc = "Time after which a turn ends although messages are left."]
        slice: Duration = Duration::from_millis(1), time(10 * US, 10 * SEC), "";
        #[doc = "Longest time that a worker without work looks for some before it parks; it looks for less where that was in vain."]
        spin: Duration = Duration::from_micros(50), time(0, 10 * MS), "";
        #[doc = "Turns in a row that a worker's LIFO slot may take; 0 turns the slot off."]
        lifo_cap: usize = 3, whole(0, 64), "turns";
        #[doc = "Turns after which a busy worker looks at the injector."]
        injector_interval: usize = 61, whole(1, 1_024), "turns";
        #[doc = "Stack of each worker."]
        stack_bytes: usize = 2 << 20, whole(64 << 10, 1 << 30), "bytes";
        #[doc = "Begins the workers' thread names; `-` and a number follow."]
        thread_name: String = "mainspring".to_owned(), THREAD_NAME, "", "`mainspring`, or the dispatcher's name cut to 10 bytes";
    }
}

section! {
    /// What an actor's mailbox gets when it asks for nothing else: the section `[mailbox]`.
    MailboxConfig, MAILBOX {
        #[doc = "Messages that a mailbox holds."]
        capacity: usize = 1_024, whole(1, 32_768), "messages";
        #[doc = "Bytes of messages that a mailbox holds."]
        capacity_bytes: u64 = 1 << 20, whole(64, 1 << 46), "bytes";
        #[doc = "What a send does when the mailbox is full."]
        overflow: Overflow = Overflow::Reject, Kind::Choice(Overflow::WORDS), "";
        #[doc = "What an actor's own plan does when a target is full."]
        when_full: WhenFull = WhenFull::Wait, Kind::Choice(WhenFull::WORDS), "";
        #[doc = "Time that a plan waits for room before its turn fails."]
        commit_deadline: Duration = Duration::from_secs(5), time(MS, 365 * DAY), "";
    }
}

section! {
    /// The threads of `compute` steps: the section `[compute]`.
    ComputeConfig, COMPUTE {
        #[doc = "Threads for compute steps."]
        threads: usize = cores_usable(), whole(1, THREADS_MAX as i128), "threads", "length of the list in `pinning`, else usable cores";
        #[doc = "Cores that these threads are bound to; a list has one for each thread."]
        pinning: Pinning = Pinning::None, Kind::Pinning, "";
        #[doc = "Compute steps that may wait for a thread."]
        queue_max: usize = 65_536, whole(1, 16_777_216), "steps";
    }
}

const NAME: Kind = Kind::Name { bytes_max: 64 };
/// Linux shows 15 bytes of a thread's name; up to five are `-` and a number.
const THREAD_NAME_BYTES_MAX: usize = 10;
const THREAD_NAME: Kind = Kind::Name {
    bytes_max: THREAD_NAME_BYTES_MAX,
};
/// Threads that one group may have.
pub(super) const THREADS_MAX: usize = 1_024;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const SEC: u64 = 1_000 * MS;
const HOUR: u64 = 3_600 * SEC;
const DAY: u64 = 24 * HOUR;

const fn whole(min: i128, max: i128) -> Kind {
    Kind::Whole { min, max }
}

const fn time(min_ns: u64, max_ns: u64) -> Kind {
    Kind::Time {
        min: Duration::from_nanos(min_ns),
        max: Duration::from_nanos(max_ns),
    }
}

/// Cores that this process may keep busy: its affinity mask, less if it has a smaller quota.
pub(super) fn cores_usable() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(THREADS_MAX)
}

impl DispatcherConfig {
    /// The defaults of a dispatcher of this name: its threads carry it.
    pub(super) fn named(name: &str) -> Self {
        let mut named = Self::default();
        if is_dispatcher_name(name) {
            named.thread_name = name[..name.len().min(THREAD_NAME_BYTES_MAX)].to_owned();
        }
        named
    }
}

/// What a dispatcher may be called: a key in a file and a part of a variable's name.
pub(super) const DISPATCHER_NAME: &str =
    "1 to 32 of the characters a-z, 0-9 and `_`, a letter first, and not `default`";

/// See [`DISPATCHER_NAME`]. ASCII only, so that a cut falls between characters.
pub(super) fn is_dispatcher_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.len() <= 32
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name != "default"
}

/// Named dispatchers that a config may have.
pub(super) const DISPATCHERS_MAX: usize = 256;

/// The keys of a section.
pub(super) fn key_names(section: &str) -> Vec<&'static str> {
    fn names<S>(keys: &'static [Key<S>]) -> Vec<&'static str> {
        keys.iter().map(|key| key.spec.name).collect()
    }
    match section {
        "system" => names(SYSTEM),
        "dispatcher" | "dispatchers" => names(DISPATCHER),
        "mailbox" => names(MAILBOX),
        "compute" => names(COMPUTE),
        _ => Vec::new(),
    }
}

/// One key of one config: which section, which dispatcher.
#[derive(Clone, Debug)]
pub(super) enum Place {
    System(&'static Key<SystemConfig>),
    Dispatcher(&'static Key<DispatcherConfig>),
    Named(String, &'static Key<DispatcherConfig>),
    Mailbox(&'static Key<MailboxConfig>),
    Compute(&'static Key<ComputeConfig>),
}

/// The names of the sections, in the order of the page.
pub(super) const SECTIONS: [&str; 5] =
    ["system", "dispatcher", "dispatchers", "mailbox", "compute"];

impl Place {
    /// The place of `key` in `section`; `name` is the dispatcher's, in `dispatchers` only.
    pub(super) fn find(section: &str, name: Option<&str>, key: &str) -> Option<Self> {
        match (section, name) {
            ("system", None) => find_key(SYSTEM, key).map(Self::System),
            ("dispatcher", None) => find_key(DISPATCHER, key).map(Self::Dispatcher),
            ("dispatchers", Some(name)) => {
                find_key(DISPATCHER, key).map(|key| Self::Named(name.to_owned(), key))
            }
            ("mailbox", None) => find_key(MAILBOX, key).map(Self::Mailbox),
            ("compute", None) => find_key(COMPUTE, key).map(Self::Compute),
            _ => None,
        }
    }

    /// The place of a path such as `dispatchers.io.workers`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let (section, rest) = path.split_once('.')?;
        match rest.split_once('.') {
            Some((name, key)) => Self::find(section, Some(name), key),
            None => Self::find(section, None, rest),
        }
    }

    /// Every key of `config`, section by section.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let named = config.dispatchers.keys();
        let system = SYSTEM.iter().map(Self::System);
        let dispatcher = DISPATCHER.iter().map(Self::Dispatcher);
        let named = named.flat_map(|name| {
            let place = |key| Self::Named(name.clone(), key);
            DISPATCHER.iter().map(place)
        });
        let mailbox = MAILBOX.iter().map(Self::Mailbox);
        let compute = COMPUTE.iter().map(Self::Compute);
        let all = system.chain(dispatcher).chain(named);
        all.chain(mailbox).chain(compute).collect()
    }

    pub(super) fn spec(&self) -> &'static Spec {
        match self {
            Self::System(key) => &key.spec,
            Self::Dispatcher(key) | Self::Named(_, key) => &key.spec,
            Self::Mailbox(key) => &key.spec,
            Self::Compute(key) => &key.spec,
        }
    }

    /// The section's name in a file: `dispatchers.io`.
    pub(super) fn section(&self) -> Cow<'static, str> {
        match self {
            Self::System(_) => "system".into(),
            Self::Dispatcher(_) => "dispatcher".into(),
            Self::Named(name, _) => format!("dispatchers.{name}").into(),
            Self::Mailbox(_) => "mailbox".into(),
            Self::Compute(_) => "compute".into(),
        }
    }

    /// The key's whole name: `dispatchers.io.workers`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section(), self.spec().name)
    }

    /// The value that `config` holds.
    ///
    /// # Panics
    ///
    /// When `config` has no dispatcher of the place's name.
    pub(super) fn get(&self, config: &Config) -> Value {
        match self {
            Self::System(key) => (key.get)(&config.system),
            Self::Dispatcher(key) => (key.get)(&config.dispatcher),
            Self::Named(name, key) => (key.get)(&config.dispatchers[name]),
            Self::Mailbox(key) => (key.get)(&config.mailbox),
            Self::Compute(key) => (key.get)(&config.compute),
        }
    }

    /// Sets a value that the key's kind has checked; a dispatcher of a new name begins with defaults.
    pub(super) fn set(&self, config: &mut Config, value: &Value) {
        match self {
            Self::System(key) => (key.set)(&mut config.system, value),
            Self::Dispatcher(key) => (key.set)(&mut config.dispatcher, value),
            Self::Named(name, key) => (key.set)(config.named_mut(name), value),
            Self::Mailbox(key) => (key.set)(&mut config.mailbox, value),
            Self::Compute(key) => (key.set)(&mut config.compute, value),
        }
    }

    /// The value that nobody need set.
    pub(super) fn default_value(&self) -> Value {
        match self {
            Self::System(key) => (key.get)(&SystemConfig::default()),
            Self::Dispatcher(key) => (key.get)(&DispatcherConfig::default()),
            Self::Named(name, key) => (key.get)(&DispatcherConfig::named(name)),
            Self::Mailbox(key) => (key.get)(&MailboxConfig::default()),
            Self::Compute(key) => (key.get)(&ComputeConfig::default()),
        }
    }
}

fn find_key<S>(keys: &'static [Key<S>], name: &str) -> Option<&'static Key<S>> {
    keys.iter().find(|key| key.spec.name == name)
}

/// The key that was probably meant: the nearest of `known` within two slips.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A longer text is no slip of any key.
    if written.len() > 64 {
        return None;
    }
    let scored = known.into_iter().map(|key| (slips(written, key), key));
    let nearest = scored.min_by_key(|(slips, _)| *slips);
    nearest.filter(|(slips, _)| *slips <= 2).map(|(_, key)| key)
}

/// Levenshtein's distance, row by row.
fn slips(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        let mut config = Config::default();
        config.named_mut("io");
        for place in Place::all(&config) {
            let value = place.get(&config);
            assert_eq!(place.spec().kind.check(&value), Ok(()), "{}", place.path());
            assert_eq!(value, place.default_value(), "{}", place.path());
        }
    }

    #[test]
    fn a_path_leads_back_to_its_place() {
        let mut config = Config::default();
        config.named_mut("io");
        let all = Place::all(&config);
        assert_eq!(all.len(), 13 + 9 + 9 + 5 + 3);
        for place in all {
            let path = place.path();
            let found = Place::of_path(&path).map(|place| place.path());
            assert_eq!(found, Some(path));
        }
    }

    #[test]
    fn no_key_of_a_dispatcher_ends_with_another() {
        // So that a variable's name splits in one way only.
        for a in DISPATCHER {
            for b in DISPATCHER {
                let suffix = format!("_{}", b.spec.name);
                assert!(!a.spec.name.ends_with(&suffix), "{}", a.spec.name);
            }
        }
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        let known = ["workers", "pinning", "slice", "spin"];
        assert_eq!(nearest("worker", known), Some("workers"));
        assert_eq!(nearest("pining", known), Some("pinning"));
        assert_eq!(nearest("throughput", known), None);
        assert_eq!(nearest(&"x".repeat(1_000), known), None);
    }
}
