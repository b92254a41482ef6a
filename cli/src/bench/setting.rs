//! One way to run a workload: how many workers, where, and how large.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machine::{read_cpus, write_cpus};

/// Where the workers run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Pin {
    /// Where the system puts them.
    #[default]
    None,
    /// On neighboring cores.
    Compact,
    /// On cores far apart.
    Spread,
    /// Worker n on the n-th of these.
    Cpus(Vec<usize>),
}

/// How a workload is run. What is `None` is left to the runtime's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) workers: usize,
    pub(crate) pin: Pin,
    /// The workload's own measure of how much to do.
    pub(crate) size: u64,
    /// Messages a turn handles at most.
    pub(crate) throughput: Option<u32>,
    /// The time after which a turn ends.
    pub(crate) slice_ns: Option<u64>,
    /// How long an idle worker spins before it parks.
    pub(crate) spin_ns: Option<u64>,
}

impl Setting {
    /// The processor for each worker when they are to be pinned: the pin list, or an equal choice
    /// from `allowed`. A plain thread that must be pinned treats [`Pin::None`] as compact.
    pub(crate) fn cpus(&self, allowed: &[usize]) -> Vec<usize> {
        let step = match self.pin {
            Pin::Spread => (allowed.len() / self.workers).max(1),
            _ => 1,
        };
        let from = match &self.pin {
            Pin::Cpus(cpus) => cpus,
            _ => allowed,
        };
        (0..self.workers)
            .map(|worker| from[worker * step % from.len()])
            .collect()
    }
}

/// As in a benchmark's name: `workers=2/pin=compact/slice=1ms`; the size is left out, since it
/// belongs to the workload.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workers={}", self.workers)?;
        if self.pin != Pin::None {
            write!(f, "/pin={}", self.pin)?;
        }
        if let Some(throughput) = self.throughput {
            write!(f, "/throughput={throughput}")?;
        }
        if let Some(slice) = self.slice_ns {
            write!(f, "/slice={:?}", Duration::from_nanos(slice))?;
        }
        if let Some(spin) = self.spin_ns {
            write!(f, "/spin={:?}", Duration::from_nanos(spin))?;
        }
        Ok(())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pin::None => f.write_str("none"),
            Pin::Compact => f.write_str("compact"),
            Pin::Spread => f.write_str("spread"),
            Pin::Cpus(cpus) => f.write_str(&write_cpus(cpus)),
        }
    }
}

impl std::str::FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Pin, String> {
        match text {
            "none" => Ok(Pin::None),
            "compact" => Ok(Pin::Compact),
            "spread" => Ok(Pin::Spread),
            list if list.starts_with(|c: char| c.is_ascii_digit()) => {
                read_cpus(list).map(Pin::Cpus)
            }
            _ => Err("expected none, compact, spread or a list of cpus such as 0,2-3".to_owned()),
        }
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Pin, String> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(workers: usize, pin: &str) -> Setting {
        let pin = pin.parse().unwrap();
        Setting {
            workers,
            pin,
            size: 10,
            throughput: None,
            slice_ns: None,
            spin_ns: None,
        }
    }

    #[test]
    fn a_pin_is_read_as_it_is_written() {
        for text in ["none", "compact", "spread", "0", "0,2-3", "3,1"] {
            assert_eq!(text.parse::<Pin>().unwrap().to_string(), text);
        }
        for text in ["", "all", "0,", "x1"] {
            assert!(text.parse::<Pin>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_setting_names_only_what_was_set() {
        let mut given = setting(2, "compact");
        assert_eq!(setting(1, "none").to_string(), "workers=1");
        (given.slice_ns, given.spin_ns, given.throughput) =
            (Some(1_000_000), Some(50_000), Some(8));
        assert_eq!(
            given.to_string(),
            "workers=2/pin=compact/throughput=8/slice=1ms/spin=50µs"
        );
    }

    #[test]
    fn workers_are_placed_by_policy() {
        let allowed = [0, 1, 2, 3, 8, 9, 10, 11];
        assert_eq!(setting(2, "compact").cpus(&allowed), [0, 1]);
        assert_eq!(setting(2, "spread").cpus(&allowed), [0, 8]);
        assert_eq!(setting(3, "5,7,6").cpus(&allowed), [5, 7, 6]);
        assert_eq!(setting(3, "none").cpus(&[4, 5]), [4, 5, 4]);
    }
}
