//! The builder: code's settings, and which further sources to read.

use std::ffi::OsString;
#[cfg(feature = "config-file")]
use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::check::Machine;
use super::error::{ConfigError, Source};
use super::keys::is_dispatcher_name;
use super::source::{Draft, Given};
use super::values::{Field, HiddenState, Origins, Overflow, Pinning, WhenFull};

/// Bytes of the longest file that is read.
#[cfg(feature = "config-file")]
pub(super) const FILE_BYTES_MAX: usize = 256 << 10;

/// Gathers settings and sources; [`build`](Self::build) reads and checks them all.
///
/// Code's settings come first, then files in the order given, then variables. A later one wins.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Builder {
    settings: Vec<(String, Given)>,
    dispatchers: Vec<String>,
    locks: Vec<String>,
    #[cfg(feature = "config-file")]
    files: Vec<File>,
    envs: Vec<Env>,
}

#[cfg(feature = "config-file")]
#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    /// `None` is read from the path.
    text: Option<String>,
}

#[cfg(feature = "config-file")]
impl File {
    fn read(self, draft: &mut Draft) {
        let text = match self.text {
            Some(text) => text,
            None => match read_file(&self.path) {
                Ok(text) => text,
                Err(error) => {
                    let (path, line) = (self.path, None);
                    let message = format!("cannot be read: {error}");
                    return draft.unreadable(Source::File { path, line }, message);
                }
            },
        };
        draft.toml(&self.path, &text);
    }
}

/// Reads no more than shows that a file is too long: a path may lead to an endless one.
#[cfg(feature = "config-file")]
fn read_file(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[derive(Clone, Debug)]
struct Env {
    prefix: String,
    /// `None` is the process's environment.
    vars: Option<Vec<(OsString, OsString)>>,
}

macro_rules! setters {
    ($($method:ident($type:ty) => $section:literal . $key:literal, $of:ident::$field:ident;)*) => {$(
        #[doc = concat!("Sets `", $section, ".", $key, "`: see [`", stringify!($of), "::", stringify!($field), "`](super::", stringify!($of), "::", stringify!($field), ").")]
        pub fn $method(self, value: $type) -> Self {
            self.put(concat!($section, ".", $key), value)
        }
    )*};
}

/// The setters of a dispatcher, for the default one and for named ones.
macro_rules! dispatcher_setters {
    ($($method:ident($type:ty);)*) => {
        /// The default dispatcher: the section `[dispatcher]`.
        impl Builder {
            $(
                #[doc = concat!("Sets `dispatcher.", stringify!($method), "`: see [`DispatcherConfig::", stringify!($method), "`](super::DispatcherConfig::", stringify!($method), ").")]
                pub fn $method(self, value: $type) -> Self {
                    self.put(concat!("dispatcher.", stringify!($method)), value)
                }
            )*
        }

        impl DispatcherBuilder {
            $(
                #[doc = concat!("Sets [`DispatcherConfig::", stringify!($method), "`](super::DispatcherConfig::", stringify!($method), ").")]
                pub fn $method(self, value: $type) -> Self {
                    self.put(stringify!($method), value)
                }
            )*
        }
    };
}

dispatcher_setters! {
    workers(usize);
    pinning(Pinning);
    throughput(usize);
    slice(Duration);
    spin(Duration);
    lifo_cap(usize);
    injector_interval(usize);
    stack_bytes(usize);
}

/// Limits and times of the system: the section `[system]`.
impl Builder {
    setters! {
        memory_ceiling_bytes(u64) => "system"."memory_ceiling_bytes", SystemConfig::memory_ceiling_bytes;
        max_actors(usize) => "system"."max_actors", SystemConfig::max_actors;
        ask_timeout(Duration) => "system"."ask_timeout", SystemConfig::ask_timeout;
        max_asks_in_flight(usize) => "system"."max_asks_in_flight", SystemConfig::max_asks_in_flight;
        max_timers(usize) => "system"."max_timers", SystemConfig::max_timers;
        dead_letter_capacity(usize) => "system"."dead_letter_capacity", SystemConfig::dead_letter_capacity;
        shutdown_timeout(Duration) => "system"."shutdown_timeout", SystemConfig::shutdown_timeout;
        watchdog_warn(Duration) => "system"."watchdog_warn", SystemConfig::watchdog_warn;
        watchdog_stuck(Duration) => "system"."watchdog_stuck", SystemConfig::watchdog_stuck;
        names_max(usize) => "system"."names_max", SystemConfig::names_max;
        origins(Origins) => "system"."origins", SystemConfig::origins;
        hidden_state(HiddenState) => "system"."hidden_state", SystemConfig::hidden_state;
    }
}

/// Mailboxes and compute threads: the sections `[mailbox]` and `[compute]`.
impl Builder {
    setters! {
        mailbox_capacity(usize) => "mailbox"."capacity", MailboxConfig::capacity;
        mailbox_capacity_bytes(u64) => "mailbox"."capacity_bytes", MailboxConfig::capacity_bytes;
        mailbox_overflow(Overflow) => "mailbox"."overflow", MailboxConfig::overflow;
        mailbox_when_full(WhenFull) => "mailbox"."when_full", MailboxConfig::when_full;
        mailbox_commit_deadline(Duration) => "mailbox"."commit_deadline", MailboxConfig::commit_deadline;
        compute_threads(usize) => "compute"."threads", ComputeConfig::threads;
        compute_pinning(Pinning) => "compute"."pinning", ComputeConfig::pinning;
        compute_queue_max(usize) => "compute"."queue_max", ComputeConfig::queue_max;
    }
}

/// Names, sources, locks and the result.
impl Builder {
    /// Sets `system.name`: see [`SystemConfig::name`](super::SystemConfig::name).
    pub fn name(self, value: impl Into<String>) -> Self {
        self.put("system.name", value.into())
    }

    /// Sets `dispatcher.thread_name`: see
    /// [`DispatcherConfig::thread_name`](super::DispatcherConfig::thread_name).
    pub fn thread_name(self, value: impl Into<String>) -> Self {
        self.put("dispatcher.thread_name", value.into())
    }

    /// Adds the dispatcher `name`, or sets more of it.
    ///
    /// Without a setter it has the defaults, and its threads its name.
    pub fn dispatcher(
        mut self,
        name: impl Into<String>,
        set: impl FnOnce(DispatcherBuilder) -> DispatcherBuilder,
    ) -> Self {
        let name = name.into();
        let DispatcherBuilder { settings } = set(DispatcherBuilder::default());
        // A bad name is a problem of its own, and no part of a key.
        if is_dispatcher_name(&name) {
            let settings = settings.into_iter();
            let path = |key| format!("dispatchers.{name}.{key}");
            let settings = settings.map(|(key, given)| (path(key), given));
            self.settings.extend(settings);
        }
        self.dispatchers.push(name);
        self
    }

    /// Sets any key by name, with text as a variable has it: `set("dispatcher.pinning", "0,2")`.
    ///
    /// Counts as code.
    pub fn set(mut self, key: impl Into<String>, text: impl Into<String>) -> Self {
        self.settings.push((key.into(), Given::Text(text.into())));
        self
    }

    /// Lets only code set `key`: a file or a variable that tries is an error.
    pub fn lock(mut self, key: impl Into<String>) -> Self {
        self.locks.push(key.into());
        self
    }

    /// Reads the TOML file at `path`, which must be there and hold at most 256 KiB.
    #[cfg(feature = "config-file")]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.files.push(File { path, text: None });
        self
    }

    /// Reads TOML text as if it stood in a file of the name given.
    #[cfg(feature = "config-file")]
    pub fn toml(mut self, name: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let (path, text) = (name.into(), Some(text.into()));
        self.files.push(File { path, text });
        self
    }

    /// Reads the environment's variables that begin with `prefix` and `_`; one that is no key is an
    /// error.
    ///
    /// `.env("MYAPP")` takes `MYAPP_DISPATCHER_WORKERS` for `dispatcher.workers` and
    /// `MYAPP_DISPATCHERS_IO_WORKERS` for `dispatchers.io.workers`.
    pub fn env(mut self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.envs.push(Env { prefix, vars: None });
        self
    }

    /// Like [`env`](Self::env), with the variables given in place of the environment's.
    pub fn env_vars<K, V>(
        mut self,
        prefix: impl Into<String>,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let prefix = prefix.into();
        let vars = vars.into_iter().map(|(k, v)| (k.into(), v.into()));
        let vars = Some(vars.collect());
        self.envs.push(Env { prefix, vars });
        self
    }

    /// Reads every source and checks everything.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem of every source, not just the first.
    pub fn build(self) -> Result<Config, ConfigError> {
        let mut draft = Draft::default();
        for key in &self.locks {
            draft.lock(key);
        }
        for name in &self.dispatchers {
            draft.dispatcher(name, Source::Code);
        }
        for (key, given) in &self.settings {
            draft.setting(key, given);
        }
        #[cfg(feature = "config-file")]
        for file in self.files {
            file.read(&mut draft);
        }
        for Env { prefix, vars } in self.envs {
            match vars {
                Some(vars) => draft.env(&prefix, vars.into_iter()),
                None => draft.env(&prefix, std::env::vars_os()),
            }
        }
        draft.finish(&Machine::current())
    }

    fn put(mut self, key: &str, value: impl Field) -> Self {
        let given = Given::Value(value.to_value());
        self.settings.push((key.to_owned(), given));
        self
    }
}

/// The settings of one named dispatcher, as [`Builder::dispatcher`] gathers them.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct DispatcherBuilder {
    settings: Vec<(&'static str, Given)>,
}

impl DispatcherBuilder {
    /// Sets [`DispatcherConfig::thread_name`](super::DispatcherConfig::thread_name).
    pub fn thread_name(self, value: impl Into<String>) -> Self {
        self.put("thread_name", value.into())
    }

    fn put(mut self, key: &'static str, value: impl Field) -> Self {
        let given = Given::Value(value.to_value());
        self.settings.push((key, given));
        self
    }
}
