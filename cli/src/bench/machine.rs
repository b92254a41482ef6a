//! The machine under the benchmark: what it is, where threads may run, how far its cores are apart.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use core_affinity::CoreId;
use crossbeam_utils::CachePadded;
use serde::{Deserialize, Serialize};

/// What a figure must be read with: the machine, the build and the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    /// The processor's model name.
    pub(crate) cpu: String,
    /// Processors of the machine.
    pub(crate) cpus: usize,
    /// Processors this process may run on.
    pub(crate) allowed_cpus: Vec<usize>,
    pub(crate) memory_bytes: u64,
    /// Operating system, kernel version and architecture.
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    /// The git commit of the sources, with `+` after it when files differ from it.
    pub(crate) commit: String,
    pub(crate) version: String,
    /// `release`, or `debug` when debug assertions are compiled in.
    pub(crate) build: String,
    /// When the run began, in seconds since 1970.
    pub(crate) unix_time_s: u64,
}

impl Machine {
    /// Describes this machine. Asks git for the commit and rustc for its version; what cannot be
    /// found out is an empty string.
    pub(crate) fn here() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: field(&cpuinfo, "model name").unwrap_or_default().to_owned(),
            cpus: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count()
                .max(1),
            allowed_cpus: allowed_cpus(),
            memory_bytes: kilobytes(&meminfo, "MemTotal").unwrap_or(0),
            kernel: format!(
                "{} {} {}",
                std::env::consts::OS,
                release.trim(),
                std::env::consts::ARCH
            ),
            rustc: option_env!("MAINSPRING_RUSTC").map_or_else(rustc_on_path, str::to_owned),
            commit: option_env!("MAINSPRING_COMMIT").map_or_else(commit_here, str::to_owned),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
            unix_time_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |t| t.as_secs()),
        }
    }

    /// The run's beginning as `2026-11-21 22:10 UTC`.
    pub(crate) fn date(&self) -> String {
        let (year, month, day) = civil_date(self.unix_time_s / 86_400);
        let minutes = self.unix_time_s / 60;
        format!(
            "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
            minutes / 60 % 24,
            minutes % 60
        )
    }

    /// Each fact with its name, for people.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let facts = [
            ("processor", self.cpu.clone()),
            (
                "cores",
                format!(
                    "{} ({} allowed: {})",
                    self.cpus,
                    self.allowed_cpus.len(),
                    write_cpus(&self.allowed_cpus)
                ),
            ),
            ("memory", super::measure::bytes(self.memory_bytes as f64)),
            ("kernel", self.kernel.clone()),
            ("compiler", self.rustc.clone()),
            (
                "build",
                format!("mainspring {} {}", self.version, self.build),
            ),
            ("commit", self.commit.clone()),
            ("began", self.date()),
        ];
        facts
            .into_iter()
            .filter(|(_, fact)| !fact.is_empty())
            .collect()
    }
}

/// Processors of the machine, allowed or not.
pub(crate) fn cpus() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    stat.lines().filter(is_cpu).count().max(1)
}

/// The time all processors together have been busy since the machine began, whoever used them,
/// a hypervisor's other guests included; in steps of 10 ms. `None` where the system does not tell.
pub(crate) fn busy_time() -> Option<Duration> {
    busy_time_in(&fs::read_to_string("/proc/stat").ok()?)
}

fn busy_time_in(stat: &str) -> Option<Duration> {
    // proc_stat(5): user nice system idle iowait irq softirq steal, in hundredths of a second.
    let total = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Option<Vec<u64>> = total
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect();
    let fields = fields.filter(|fields| fields.len() == 8)?;
    let idle = fields[3] + fields[4];
    Some(Duration::from_millis(
        10 * (fields.iter().sum::<u64>() - idle),
    ))
}

/// The processors this process may run on, in ascending order; never empty.
///
/// Asked of the system once: a pinned thread would be told its own core alone.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    let ask = || {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let mut cpus: Vec<usize> = cores.into_iter().map(|core| core.id).collect();
        cpus.sort_unstable();
        if cpus.is_empty() { vec![0] } else { cpus }
    };
    ALLOWED.get_or_init(ask).clone()
}

/// Binds the calling thread to `cpu`; false when the system refused.
pub(crate) fn pin_to(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}

/// Runs `load` on a thread of its own, bound to `cpu` where the system allows that.
pub(crate) fn on_core<T: Send>(cpu: usize, load: impl FnOnce() -> T + Send) -> T {
    let on_it = || {
        pin_to(cpu);
        load()
    };
    let result = thread::scope(|scope| scope.spawn(on_it).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads a list of processors such as `0,2-3`.
///
/// # Errors
///
/// What is wrong with `list`, naming the part of it.
pub(crate) fn read_cpus(list: &str) -> Result<Vec<usize>, String> {
    let number = |part: &str| {
        let wrong = || format!("`{part}` is not a cpu number; expected a list such as 0,2-3");
        part.trim().parse::<usize>().map_err(|_| wrong())
    };
    let mut cpus = Vec::new();
    for part in list.split(',') {
        match part.split_once('-') {
            None => cpus.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last || last - first >= 4096 {
                    return Err(format!(
                        "`{part}` is not a range of cpus; expected low-high"
                    ));
                }
                cpus.extend(first..=last);
            }
        }
    }
    Ok(cpus)
}

/// Writes a list of processors as [`read_cpus`] reads it.
pub(crate) fn write_cpus(cpus: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => parts.push((cpu, cpu)),
        }
    }
    let write = |(first, last)| match first == last {
        true => format!("{first}"),
        false => format!("{first}-{last}"),
    };
    parts.into_iter().map(write).collect::<Vec<_>>().join(",")
}

/// The time in ns a cache line takes from core `a` to core `b` and back: the best of ten short
/// series, 2 ms in all on a quiet machine. `None` when a thread could not be bound to its core.
pub(crate) fn round_trip_ns(a: usize, b: usize) -> Option<f64> {
    const SERIES: usize = 10;
    const TRIPS: u64 = 2_000;
    let ball = CachePadded::new(AtomicU64::new(0));
    let wait_for = |value: u64| {
        let mut spins = 0u32;
        while ball.load(Ordering::Acquire) != value {
            // On one core shared by both, the other must be let in.
            spins += 1;
            if spins.is_multiple_of(10_000) {
                thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
    };
    let total = SERIES as u64 * TRIPS;
    thread::scope(|scope| {
        let far = scope.spawn(|| {
            let pinned = pin_to(b);
            for trip in 0..total {
                wait_for(2 * trip + 1);
                ball.store(2 * trip + 2, Ordering::Release);
            }
            pinned
        });
        let near = scope.spawn(|| {
            let pinned = pin_to(a);
            let mut best = f64::INFINITY;
            for series in 0..SERIES as u64 {
                let began = Instant::now();
                for trip in series * TRIPS..(series + 1) * TRIPS {
                    ball.store(2 * trip + 1, Ordering::Release);
                    wait_for(2 * trip + 2);
                }
                best = best.min(began.elapsed().as_nanos() as f64 / TRIPS as f64);
            }
            pinned.then_some(best)
        });
        let far_pinned = far.join().unwrap_or(false);
        near.join().ok().flatten().filter(|_| far_pinned)
    })
}

/// The value of the first `name: value` or `name<tab>: value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

/// The value of a `name:  123 kB` line, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let kilobytes: u64 = field(text, name)?
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()?;
    Some(kilobytes * 1024)
}

fn commit_here() -> String {
    let Some(commit) = output_of("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return String::new();
    };
    let clean = output_of("git", &["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| changes.is_empty());
    if clean { commit } else { commit + "+" }
}

fn rustc_on_path() -> String {
    let version = output_of("rustc", &["-V"]);
    version.map_or_else(String::new, |version| {
        format!("{version}, as found on the path")
    })
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Year, month and day of a day since 1970-01-01.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000 / 146_097;
    let day_of_era = from_march_0000 % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read_and_written() {
        for (list, cpus, written) in [
            ("0", vec![0], "0"),
            ("0,2-3", vec![0, 2, 3], "0,2-3"),
            ("0,1,2,5", vec![0, 1, 2, 5], "0-2,5"),
            ("3,1", vec![3, 1], "3,1"),
        ] {
            assert_eq!(read_cpus(list).as_ref(), Ok(&cpus));
            assert_eq!(write_cpus(&cpus), written);
        }
        for list in ["", "a", "1,,2", "3-1", "0-99999", "-1"] {
            assert!(read_cpus(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_722, (2023, 12, 31)),
            (20_778, (2026, 11, 21)),
        ] {
            assert_eq!(civil_date(days), date);
        }
    }

    #[test]
    fn fields_of_proc_files_are_found() {
        let status = "Name:\tbench\nVmHWM:\t    1740 kB\nThreads:\t3\n";
        assert_eq!(kilobytes(status, "VmHWM"), Some(1_781_760));
        assert_eq!(kilobytes(status, "VmRSS"), None);
        assert_eq!(
            field("model name\t: Fast One\n", "model name"),
            Some("Fast One")
        );
    }

    #[test]
    fn busy_time_is_all_but_idle_and_waiting() {
        let stat = "cpu  100 20 30 9000 400 5 6 7 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(busy_time_in(stat), Some(Duration::from_millis(1_680)));
        assert_eq!(busy_time_in("cpu  1 2 3\n"), None);
    }

    #[test]
    fn a_round_trip_takes_time() {
        let cpus = allowed_cpus();
        let trip = round_trip_ns(cpus[0], cpus[cpus.len() - 1]).unwrap();
        assert!(trip > 1.0, "{trip} ns");
    }
}
