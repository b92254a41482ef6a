//! A system's start: its workers, its watchdog, and why there may be none.

use super::System;
use super::quota::Quota;
use super::shared::{NEXT_TAG, SYSTEMS, Shared};
use crate::actor::ids::Source;
use crate::actor::topic::Topics;
#[cfg(feature = "compute")]
use crate::compute::Compute;
use crate::config::{Config, ConfigError, Origins};
use crate::dead_letter::DeadLetters;
use crate::dispatcher::watchdog::Watchdog;
use crate::dispatcher::worker::Worker;
use crate::dispatcher::{Dispatcher, pinning};
use crate::quarantine::Ward;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::gate::Gate;
use crate::sync::parker::Parker;
use crate::sync::slots::Table;
use crate::sync::thread::{self};
use crate::sync::waits::Waits;
use crate::sync::{Mutex, RwLock, lock};
use crate::timer::Clock;
use std::fmt;
use std::sync::Arc;

/// Why a system could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// Workers can't be pinned as asked for.
    Pinning(pinning::PinError),
    /// The operating system refused a thread.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Pinning(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "a worker's thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl System {
    pub(super) fn start(
        mut config: Config,
        clock: Clock,
        threads: bool,
        ids: Source,
    ) -> Result<Self, StartError> {
        config.validate()?;
        if !threads {
            config.dispatcher.workers = 1;
        }
        let tag = NEXT_TAG.fetch_add(1, Relaxed);
        assert!(tag != 0, "a process makes fewer than 2^32 systems");
        let allowed = pinning::allowed_cores();
        let topology = pinning::Topology::read(&allowed);
        let mut dispatchers = Vec::new();
        let mut parts = Vec::new();
        let mut first_worker = 0;
        let all = std::iter::once(("default", &config.dispatcher));
        let named = config.dispatchers.iter();
        for (name, settings) in all.chain(named.map(|(name, settings)| (name.as_str(), settings))) {
            let cores = pinning::plan(&settings.pinning, settings.workers, &allowed, &topology)
                .map_err(StartError::Pinning)?;
            let id = dispatchers.len() as u16;
            let (dispatcher, workers) =
                Dispatcher::new(id, name, settings.clone(), first_worker, cores);
            first_worker += dispatcher.stats.len() as u32;
            dispatchers.push(dispatcher);
            parts.push(workers);
        }
        let (watchdog, parker) = Watchdog::new();
        let shared = Arc::new(Shared {
            tag,
            cells: Table::new(config.system.max_actors as u32),
            depot: Arc::default(),
            dead_letters: DeadLetters::new(config.system.dead_letter_capacity),
            ward: Ward::default(),
            ask_timeout_ns: config.system.ask_timeout.as_nanos() as u64,
            commit_deadline_ns: config.mailbox.commit_deadline.as_nanos() as u64,
            has_origins: config.system.origins == Origins::On,
            stamped_outside: AtomicU64::new(0),
            ids,
            dispatchers: RwLock::new(dispatchers.clone()),
            threads: Mutex::default(),
            ended_dispatchers: Mutex::default(),
            is_stepped: !threads,
            #[cfg(feature = "compute")]
            compute: Compute::new(&config.compute, &allowed, &topology, !threads)
                .map_err(StartError::Pinning)?,
            clock,
            types: Mutex::default(),
            restarts: Mutex::default(),
            circuits: Mutex::default(),
            waits: Waits::default(),
            asks: Quota::new(config.system.max_asks_in_flight, first_worker as usize),
            timers: Quota::new(config.system.max_timers, first_worker as usize),
            watches: Mutex::default(),
            #[cfg(debug_assertions)]
            warned: Mutex::default(),
            #[cfg(any(debug_assertions, feature = "testkit"))]
            rehearsals: crate::rehearsal::Rehearsals::default(),
            #[cfg(any(debug_assertions, feature = "testkit"))]
            circles: crate::circles::Circles::default(),
            topics: Topics::default(),
            watchdog,
            numbers_scarce: AtomicBool::new(false),
            numbers: Mutex::default(),
            gate: Gate::new(),
            workers_end: Mutex::new(false),
            #[cfg(feature = "io")]
            io: crate::io::Slot::default(),
            config,
        });
        shared.note_cells();
        lock(&SYSTEMS)
            .get_or_insert_default()
            .insert(tag, Arc::downgrade(&shared));
        let mut system = Self {
            shared,
            stepped: None,
        };
        for (dispatcher, workers) in dispatchers.into_iter().zip(parts) {
            for (index, part) in workers.into_iter().enumerate() {
                if threads {
                    system.shared.start_worker(&dispatcher, index, part)?;
                } else if dispatcher.id == 0 {
                    let worker = Worker::new(
                        system.shared.clone(),
                        dispatcher.clone(),
                        index,
                        part.queues,
                    );
                    system.stepped = Some(Mutex::new(worker));
                }
            }
        }
        if threads {
            system.start_watchdog(parker)?;
        }
        Ok(system)
    }

    fn start_watchdog(&self, parker: Parker) -> Result<(), StartError> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new()
            .name(format!("{}-dog", shared.config.dispatcher.thread_name))
            .stack_size(256 << 10)
            .spawn(move || Watchdog::run(&shared, parker))
            .map_err(StartError::Thread)?;
        lock(&self.shared.threads).push(thread);
        Ok(())
    }
}
