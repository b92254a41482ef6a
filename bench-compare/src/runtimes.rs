//! The runtimes that take part. A new one is a module and a row here.

use crate::mainspring_actors::Mainspring;
use crate::peers::Shared;
use crate::peers::actix_actors::Actix;
use crate::peers::kameo_actors::Kameo;
use crate::peers::ractor_actors::Ractor;
use crate::peers::tokio_tasks::{Scheduler, Tokio};
use crate::peers::xtra_actors::Xtra;
use crate::workloads::Contender;

/// Starts a runtime with so many workers, for the rest of the process.
type Start = fn(workers: usize) -> Box<dyn Contender>;

/// The runtime that the others are compared with.
pub const OURS: &str = "mainspring";

/// A runtime by name.
pub struct Runtime {
    /// As the command line and the output call it.
    pub name: &'static str,
    /// The package whose version is reported.
    pub package: &'static str,
    /// Runs without being asked for.
    pub by_default: bool,
    pub start: Start,
}

macro_rules! runtimes {
    ($($name:literal ($package:literal, $by_default:literal) = $start:expr,)*) => {
        /// All of them.
        pub const ALL: &[Runtime] = &[$(Runtime {
            name: $name,
            package: $package,
            by_default: $by_default,
            start: $start,
        }),*];
    };
}

runtimes! {
    "mainspring" ("mainspring", true) = |workers| Box::new(Mainspring::start(workers)),
    "tokio" ("tokio", true) = |workers| Box::new(Shared(Tokio::start(workers, Scheduler::CurrentThread))),
    "actix" ("actix", true) = |workers| Box::new(Shared(Actix::start(workers))),
    "ractor" ("ractor", true) = |workers| Box::new(Shared(Ractor::start(workers, Scheduler::CurrentThread))),
    "kameo" ("kameo", true) = |workers| Box::new(Shared(Kameo::start(workers, Scheduler::CurrentThread))),
    "xtra" ("xtra", true) = |workers| Box::new(Shared(Xtra::start(workers, Scheduler::CurrentThread))),
    "tokio-mt" ("tokio", false) = |workers| Box::new(Shared(Tokio::start(workers, Scheduler::MultiThread))),
    "ractor-mt" ("ractor", false) = |workers| Box::new(Shared(Ractor::start(workers, Scheduler::MultiThread))),
    "kameo-mt" ("kameo", false) = |workers| Box::new(Shared(Kameo::start(workers, Scheduler::MultiThread))),
    "xtra-mt" ("xtra", false) = |workers| Box::new(Shared(Xtra::start(workers, Scheduler::MultiThread))),
}

/// The version of a package in this crate's lock file.
pub fn version(package: &str) -> &'static str {
    let header = format!("name = \"{package}\"\nversion = \"");
    let lock = include_str!("../Cargo.lock");
    let found = lock
        .split_once(&header)
        .and_then(|(_, rest)| rest.split_once('"'));
    found.map_or("unknown", |(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_has_a_version_and_a_name_of_its_own() {
        for (index, runtime) in ALL.iter().enumerate() {
            assert_ne!(version(runtime.package), "unknown", "{}", runtime.package);
            assert!(
                ALL[..index].iter().all(|other| other.name != runtime.name),
                "{}",
                runtime.name
            );
        }
    }
}
