//! Configuration: one type, set by code and, where the program says so, by a file and by variables.
//!
//! ```text
//!   defaults ◀─ code ◀─ files, in order ◀─ environment      each overrides what stands before it;
//!                │                                           a locked key stops at code
//!                ▼
//!       read ─▶ check ─▶ set, a key at a time ─▶ contradictions ─▶ Config, or every problem at once
//! ```
//!
//! - C1: every value passes the same rule, whatever its source.
//! - C2: an error names the key, the value, the source and what is allowed.
//! - C3: nothing outside the program is read unless the program asks for it.
//!
//! ```
//! use mainspring::config::{Config, Pinning};
//!
//! let config = Config::builder()
//!     .workers(2)
//!     .pinning(Pinning::None)
//!     .mailbox_capacity(256)
//!     .dispatcher("io", |io| io.workers(1).throughput(8))
//!     .lock("system.memory_ceiling_bytes")
//!     .env("MYAPP") // MYAPP_DISPATCHER_WORKERS=4 and the like
//!     .build()?;
//! assert_eq!(config.dispatchers["io"].throughput, 8);
//! # Ok::<(), mainspring::config::ConfigError>(())
//! ```
//!
//! In a file, keys stand in the sections `[system]`, `[dispatcher]`, `[dispatchers.NAME]`,
//! `[mailbox]` and `[compute]`. A variable's name is the prefix, the section, the name of the
//! dispatcher if any, and the key, in capitals: `MYAPP_DISPATCHERS_IO_WORKERS`. Lists are comma
//! separated: `MYAPP_DISPATCHER_PINNING=0,2`. All keys: `docs/config.md`.

mod builder;
mod check;
mod data;
mod error;
mod explain;
mod keys;
mod source;
mod values;

use std::collections::BTreeMap;

pub use crate::dispatcher::pinning::PinError;
pub use builder::{Builder, DispatcherBuilder};
pub use error::{ConfigError, Problem, ProblemKind, Source, Warning};
pub use explain::{Explain, Row};
pub use keys::{ComputeConfig, DispatcherConfig, MailboxConfig, SystemConfig};
pub use values::{HiddenState, Origins, Overflow, Pinning, WhenFull};

use check::Machine;
use error::Problems;
use keys::Place;
use values::Value;

/// The configuration of a system.
///
/// Made by [`Config::builder`], by `Default`, or read through serde from any self-describing format
/// (the shape is that of the file; see the [module](self)). The fields are plain, so a changed one
/// is checked again by [`Config::validate`]. Two are equal when their values are, wherever those
/// came from.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Limits and times of the whole system.
    pub system: SystemConfig,
    /// The workers of actors that name no dispatcher.
    pub dispatcher: DispatcherConfig,
    /// Further dispatchers by name. Their unset keys take the defaults, not those of `dispatcher`.
    pub dispatchers: BTreeMap<String, DispatcherConfig>,
    /// What a mailbox gets when its actor asks for nothing else.
    pub mailbox: MailboxConfig,
    /// The threads of compute steps.
    pub compute: ComputeConfig,
    /// Who set a key, and to what.
    origins: BTreeMap<String, (Source, Value)>,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.system == other.system
            && self.dispatcher == other.dispatcher
            && self.dispatchers == other.dispatchers
            && self.mailbox == other.mailbox
            && self.compute == other.compute
    }
}

impl Config {
    /// Begins a configuration with every key at its default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Checks every value, and all of them together, against the rules, this machine and this build.
    ///
    /// [`Builder::build`] and serde have done so; call it after changing a field. Costs a few
    /// system calls.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        check::values(self, &mut problems);
        check::together(self, &Machine::current(), &mut problems);
        problems.into_result()
    }

    /// What is allowed and probably not meant, such as two dispatchers pinned to one core.
    pub fn warnings(&self) -> Vec<Warning> {
        check::warnings(self, &Machine::current())
    }

    /// Every key with its effective value, unit, default, source and meaning; `Display` is a table.
    pub fn explain(&self) -> Explain {
        Explain::of(self)
    }

    /// Where the value of `key` (such as `dispatcher.workers`) came from; `None` for no such key.
    pub fn source(&self, key: &str) -> Option<Source> {
        let place = Place::of_path(key)?;
        if let Place::Named(name, _) = &place
            && !self.dispatchers.contains_key(name)
        {
            return None;
        }
        Some(self.source_of(&place))
    }

    /// A field changed in place is code's, whatever was read before.
    fn source_of(&self, place: &Place) -> Source {
        let value = place.get(self);
        match self.origins.get(&place.path()) {
            Some((source, set)) if *set == value => source.clone(),
            _ if value == place.default_value() => Source::Default,
            _ => Source::Code,
        }
    }

    fn named_mut(&mut self, name: &str) -> &mut DispatcherConfig {
        let fresh = || DispatcherConfig::named(name);
        self.dispatchers
            .entry(name.to_owned())
            .or_insert_with(fresh)
    }
}
