//! The stage that every workload of the runtime plays on: a system as the setting asks for, and
//! the actor that hears from all others when they are done.
//!
//! ```text
//!   actor 1 ─┐
//!   actor 2 ─┼─ Tally { count, sum } ─▶ usher ── the sum of all, at the last arrival ─▶ bench thread
//!   actor n ─┘
//! ```

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use mainspring::config::{Builder, Pinning};
use mainspring::prelude::*;

use super::super::machine::allowed_cpus;
use super::super::setting::{Pin, Setting};
use super::Wrong;

/// The time after which actors that say nothing will say nothing.
const PATIENCE: Duration = Duration::from_secs(60);
const SHUTDOWN: Duration = Duration::from_secs(20);

/// What actors saw: how many messages, and the sum of what was in them, wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) sum: u64,
}

impl Tally {
    pub(super) const NOTHING: Tally = Tally { count: 0, sum: 0 };

    /// One message more, with `number` in it.
    pub(super) fn see(&mut self, number: u64) {
        self.add(Tally {
            count: 1,
            sum: number,
        });
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Refuses a tally that is not `expected`.
    ///
    /// # Errors
    ///
    /// [`Wrong`], naming `messages` and both values.
    pub(super) fn must_be(self, messages: &str, expected: Tally) -> Result<(), Wrong> {
        Wrong::unless_equal(
            &format!("the number of {messages}"),
            self.count,
            expected.count,
        )?;
        Wrong::unless_equal(&format!("the sum of {messages}"), self.sum, expected.sum)
    }
}

/// A running system with its usher.
pub(super) struct Stage {
    pub(super) system: System,
    usher: Actor<Ushering>,
    heard: Receiver<Tally>,
}

impl Stage {
    /// Starts a system as `setting` says.
    pub(super) fn set(setting: &Setting) -> Result<Stage, Wrong> {
        Stage::set_with(setting, |builder| builder)
    }

    /// As [`Stage::set`], with more settings.
    pub(super) fn set_with(
        setting: &Setting,
        more: impl FnOnce(Builder) -> Builder,
    ) -> Result<Stage, Wrong> {
        let pinning = match &setting.pin {
            Pin::None => Pinning::None,
            Pin::Compact => Pinning::Compact,
            Pin::Spread => Pinning::Spread,
            Pin::Cpus(_) => Pinning::Cores(setting.cpus(&allowed_cpus())),
        };
        let mut builder = Config::builder().workers(setting.workers).pinning(pinning);
        if let Some(throughput) = setting.throughput {
            builder = builder.throughput(throughput as usize);
        }
        if let Some(slice_ns) = setting.slice_ns {
            builder = builder.slice(Duration::from_nanos(slice_ns));
        }
        if let Some(spin_ns) = setting.spin_ns {
            builder = builder.spin(Duration::from_nanos(spin_ns));
        }
        let system = System::with_config(more(builder).build()?)?;
        let (tell, heard) = channel();
        let usher = system.spawn(
            Ushering,
            Usher {
                missing: 0,
                tally: Tally::NOTHING,
                tell,
            },
        )?;
        Ok(Stage {
            system,
            usher,
            heard,
        })
    }

    /// Whom actors tell what they saw.
    pub(super) fn usher(&self) -> ActorRef<Arrival> {
        self.usher.actor()
    }

    /// The usher will speak once `arrivals` actors have told it what they saw.
    pub(super) fn expect(&self, arrivals: u64) -> Result<(), Wrong> {
        Ok(self.usher.tell(Arrival::Expect(arrivals))?)
    }

    /// Waits for the last arrival. The thread sleeps, so that it takes no core from the workers.
    pub(super) fn wait(&self) -> Result<Tally, Wrong> {
        self.heard.recv_timeout(PATIENCE).map_err(|error| {
            Wrong(match error {
                RecvTimeoutError::Timeout => format!("no end after {PATIENCE:?}"),
                RecvTimeoutError::Disconnected => "the actor that waits for all others died".into(),
            })
        })
    }

    /// Refuses a run in which a message was lost.
    pub(super) fn must_have_lost_nothing(&self) -> Result<(), Wrong> {
        let count = self.system.dead_letter_count();
        let last = self.system.dead_letters().pop();
        last.map_or(Ok(()), |letter| {
            let (message, cause) = (letter.message, letter.cause);
            Err(Wrong(format!(
                "{count} dead letters, the last a {message}: {cause}"
            )))
        })
    }

    /// Ends the system; a clean end leaves nothing behind.
    pub(super) fn clear(self) -> Result<(), Wrong> {
        let left = self.system.shutdown(SHUTDOWN);
        Wrong::unless_equal("actors left at shutdown", left.actors_left, 0)?;
        Wrong::unless_equal("workers stuck at shutdown", left.workers_stuck, 0)
    }

    /// What most workloads end with: nothing lost, nothing left.
    pub(super) fn close(self) -> Result<(), Wrong> {
        self.must_have_lost_nothing()?;
        self.clear()
    }
}

/// The usher's messages.
pub(super) enum Arrival {
    Expect(u64),
    Done(Tally),
}

/// Its state. The channel leads out of the system, to the bench thread.
pub(super) struct Usher {
    missing: u64,
    tally: Tally,
    tell: Sender<Tally>,
}

impl Machine for Usher {
    type Event = Arrival;

    fn apply(&mut self, event: Arrival) {
        match event {
            Arrival::Expect(arrivals) => (self.missing, self.tally) = (arrivals, Tally::NOTHING),
            Arrival::Done(tally) => {
                self.tally.add(tally);
                self.missing = self.missing.saturating_sub(1);
                if self.missing == 0 {
                    // A bench thread that gave up has said why.
                    let _ = self.tell.send(self.tally);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Ushering;

impl Behavior for Ushering {
    type Machine = Usher;
    type Message = Arrival;

    fn on_message(&self, message: Arrival, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(message)
    }
}

/// The state of actors that have none.
pub(super) struct Nothing;

/// What happens to nothing.
pub(super) enum Never {}

impl Machine for Nothing {
    type Event = Never;

    fn apply(&mut self, event: Never) {
        match event {}
    }
}

/// What the runtime refuses makes the run wrong.
macro_rules! wrong_from {
    ($($error:ty: $what:literal,)*) => {$(
        impl From<$error> for Wrong {
            fn from(error: $error) -> Wrong {
                Wrong(format!("{}: {error}", $what))
            }
        }
    )*};
}

wrong_from! {
    mainspring::config::ConfigError: "the setting",
    mainspring::StartError: "starting the system",
    mainspring::SpawnError: "spawning an actor",
    mainspring::AskError: "asking an actor",
}

impl<M> From<mainspring::SendError<M>> for Wrong {
    fn from(error: mainspring::SendError<M>) -> Wrong {
        Wrong(format!("telling an actor: {error}"))
    }
}

/// 0 + 1 + … + (count - 1), wrapped.
pub(super) fn sum_below(count: u64) -> u64 {
    (u128::from(count) * u128::from(count.saturating_sub(1)) / 2) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_below_a_count_is_gauss_and_does_not_overflow() {
        assert_eq!(sum_below(0), 0);
        assert_eq!(sum_below(101), 5_050);
        assert_eq!(sum_below(1 << 33), ((1u128 << 32) * ((1 << 33) - 1)) as u64);
    }

    #[test]
    fn a_tally_that_is_off_by_one_is_wrong() {
        let mut tally = Tally::default();
        (0..10).for_each(|number| tally.see(number));
        let right = Tally { count: 10, sum: 45 };
        assert!(tally.must_be("balls", right).is_ok());
        tally.see(0);
        let wrong = tally.must_be("balls", right).unwrap_err();
        assert!(wrong.0.contains("the number of balls"), "{wrong}");
    }
}
