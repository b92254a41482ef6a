//! The arguments of `mainspring bench`, and the cases they ask for.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::harness::Case;
use super::machine::{allowed_cpus, read_cpus, write_cpus};
use super::setting::{Pin, Setting};
use super::workloads::{self, Threads, Workload};

/// Run workloads and report what they cost.
///
/// Each round runs in a process of its own; rounds are interleaved over all cases. Figures are
/// medians of the rounds. Exit status: 0; 1 with --fail-on-slower when a case became slower; 2 for
/// bad arguments; 3 when a workload was wrong, crashed or hung.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Workloads or groups to run [default: all]
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<String>,

    /// Numbers of workers, such as 1,2,4-8 [default: 1, 2 and every allowed cpu]
    #[arg(long, value_name = "LIST", value_parser = workers)]
    pub(crate) workers: Option<Numbers>,

    /// Where workers run: none, compact, spread, or a list of cpus such as 0,2-3; may be repeated
    #[arg(long, value_name = "WHERE", default_value = "none", value_parser = pin)]
    pub(crate) pin: Vec<Pin>,

    /// Messages a turn handles at most [default: the runtime's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) throughput: Option<u32>,

    /// Time after which a turn ends, such as 500us [default: the runtime's]
    #[arg(long, value_name = "TIME")]
    pub(crate) slice: Option<Time>,

    /// Time an idle worker spins before it parks, such as 50us [default: the runtime's]
    #[arg(long, value_name = "TIME")]
    pub(crate) spin: Option<Time>,

    /// Rounds of each case [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,

    /// Multiply every workload's size
    #[arg(long, value_name = "FACTOR", value_parser = factor, conflicts_with = "size")]
    pub(crate) scale: Option<f64>,

    /// The size of all workloads, or of one as WORKLOAD=N; may be repeated
    #[arg(long, value_name = "[WORKLOAD=]N", value_parser = size)]
    pub(crate) size: Vec<Size>,

    /// Small sizes and few rounds: to see that all works
    #[arg(long)]
    pub(crate) quick: bool,

    /// List the workloads and end
    #[arg(long)]
    pub(crate) list: bool,

    /// Where to write all rounds as JSON lines
    #[arg(long, value_name = "FILE", default_value = "mainspring-bench.jsonl")]
    pub(crate) json: PathBuf,

    /// Where to write the report
    #[arg(long, value_name = "FILE", default_value = "mainspring-bench.html")]
    pub(crate) html: PathBuf,

    /// Write neither file
    #[arg(long)]
    pub(crate) no_files: bool,

    /// Compare with an older run's JSON lines
    #[arg(long, value_name = "OLD")]
    pub(crate) compare: Option<PathBuf>,

    /// The least difference that --compare calls one, in percent
    #[arg(long, value_name = "PERCENT", default_value = "3", value_parser = factor)]
    pub(crate) threshold: f64,

    /// End with status 1 when --compare finds a case slower
    #[arg(long, requires = "compare")]
    pub(crate) fail_on_slower: bool,

    /// Report an earlier run's JSON lines; run nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workloads", "quick", "in_process"])]
    pub(crate) from: Option<PathBuf>,

    /// Run rounds in this process: for a profiler or a debugger
    #[arg(long)]
    pub(crate) in_process: bool,

    /// Time after which a round counts as hung
    #[arg(long, value_name = "TIME", default_value = "2min")]
    pub(crate) limit: Time,
}

/// Numbers from a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers(pub(crate) Vec<usize>);

/// A time with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time(pub(crate) Duration);

/// A size, for one workload or for all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Size {
    workload: Option<String>,
    size: u64,
}

const WORKERS_MAX: usize = 1_024;

impl BenchArgs {
    /// The cases asked for: every chosen workload in every setting it distinguishes.
    ///
    /// # Errors
    ///
    /// The argument that cannot be followed, with its value and what is allowed.
    pub(crate) fn cases(&self) -> Result<Vec<Case>, String> {
        let chosen = workloads::chosen(&self.workloads)?;
        self.check_sizes()?;
        self.check_pins()?;
        let mut cases: Vec<Case> = Vec::new();
        for workload in chosen {
            for pin in &self.pin {
                for workers in self.workers_of(workload) {
                    let case = Case {
                        workload,
                        setting: self.setting(workload, workers, pin),
                    };
                    if !cases.iter().any(|known| known.id() == case.id()) {
                        cases.push(case);
                    }
                }
            }
        }
        Ok(cases)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }) as usize
    }

    /// The least difference, as a share.
    pub(crate) fn threshold(&self) -> f64 {
        self.threshold / 100.0
    }

    pub(crate) fn json_path(&self) -> Option<&Path> {
        // A report made from a file leaves that file alone.
        (!self.no_files && self.from.is_none()).then_some(&self.json)
    }

    pub(crate) fn html_path(&self) -> Option<&Path> {
        (!self.no_files).then_some(&self.html)
    }

    fn workers_of(&self, workload: &dyn Workload) -> Vec<usize> {
        match (workload.threads(), &self.workers) {
            (Threads::Always(threads), _) => vec![threads],
            (Threads::Workers, Some(Numbers(workers))) => workers.clone(),
            (Threads::Workers, None) => {
                let cpus = allowed_cpus().len();
                let mut workers = vec![1, 2.min(cpus), cpus];
                workers.dedup();
                workers
            }
        }
    }

    fn setting(&self, workload: &dyn Workload, workers: usize, pin: &Pin) -> Setting {
        let sizes = workload.sizes();
        let size = if self.quick { sizes.quick } else { sizes.usual };
        let scaled = (size as f64 * self.scale.unwrap_or(1.0)).round().max(1.0) as u64;
        let given = |name: Option<&str>| {
            self.size
                .iter()
                .rev()
                .find(|size| size.workload.as_deref() == name)
        };
        let given = given(Some(workload.name())).or_else(|| given(None));
        let nanoseconds = |time: Option<Time>| {
            time.map(|time| u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX))
        };
        Setting {
            workers,
            pin: pin.clone(),
            size: given.map_or(scaled, |given| given.size),
            throughput: self.throughput,
            slice_ns: nanoseconds(self.slice),
            spin_ns: nanoseconds(self.spin),
        }
    }

    fn check_sizes(&self) -> Result<(), String> {
        for name in self.size.iter().filter_map(|size| size.workload.as_ref()) {
            if workloads::named(name).is_none() {
                let error = workloads::chosen(std::slice::from_ref(name)).err();
                let error = error.unwrap_or_else(|| format!("`{name}` is a group"));
                return Err(format!(
                    "--size: {error}; expected a workload's name before `=`"
                ));
            }
        }
        Ok(())
    }

    fn check_pins(&self) -> Result<(), String> {
        let allowed = allowed_cpus();
        for pin in &self.pin {
            let Pin::Cpus(cpus) = pin else { continue };
            if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                let allowed = write_cpus(&allowed);
                return Err(format!(
                    "--pin {pin}: cpu {cpu} is not allowed; allowed: {allowed}"
                ));
            }
        }
        Ok(())
    }
}

fn pin(text: &str) -> Result<Pin, String> {
    text.parse()
}

fn workers(text: &str) -> Result<Numbers, String> {
    let numbers = read_cpus(text)
        .map_err(|_| format!("expected numbers from 1 to {WORKERS_MAX} such as 1,2,4-8"))?;
    match numbers
        .iter()
        .find(|&&workers| !(1..=WORKERS_MAX).contains(&workers))
    {
        Some(workers) => Err(format!("{workers} is not from 1 to {WORKERS_MAX}")),
        None => Ok(Numbers(numbers)),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text
        .parse()
        .ok()
        .filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
    factor.ok_or_else(|| "expected a number above 0 such as 0.5".to_owned())
}

fn size(text: &str) -> Result<Size, String> {
    let (workload, number) = match text.split_once('=') {
        Some((workload, number)) => (Some(workload.to_owned()), number),
        None => (None, text),
    };
    let size = number
        .replace('_', "")
        .parse()
        .ok()
        .filter(|size| *size > 0);
    let size =
        size.ok_or("expected N or WORKLOAD=N, N a whole number above 0 such as 1_000_000")?;
    Ok(Size { workload, size })
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        const UNITS: [(&str, f64); 6] = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ms", 1e-3),
            ("min", 60.0),
            ("s", 1.0),
        ];
        let wrong =
            || "expected a number and a unit of ns, us, ms, s or min, such as 50us".to_owned();
        let unit = UNITS
            .iter()
            .find(|(unit, _)| text.ends_with(unit))
            .ok_or_else(wrong)?;
        let number = text.strip_suffix(unit.0).unwrap_or_default().trim_end();
        // Duration cannot be made from what is negative, not a number, or too large.
        let seconds = number.parse::<f64>().map_err(|_| wrong())? * unit.1;
        Duration::try_from_secs_f64(seconds)
            .map(Time)
            .map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(arguments: &[&str]) -> Result<BenchArgs, String> {
        let arguments = std::iter::once(&"bench").chain(arguments);
        let program = Program::try_parse_from(arguments).map_err(|error| error.to_string())?;
        Ok(program.bench)
    }

    fn ids(arguments: &[&str]) -> Vec<String> {
        parse(arguments)
            .unwrap()
            .cases()
            .unwrap()
            .iter()
            .map(Case::id)
            .collect()
    }

    #[test]
    fn a_case_is_made_for_each_setting_a_workload_distinguishes() {
        assert_eq!(
            ids(&[
                "plain-threads",
                "deque",
                "--workers",
                "1,3-4",
                "--spin",
                "50us"
            ]),
            [
                "deque/workers=1/spin=50µs",
                "plain-threads/workers=1/spin=50µs",
                "plain-threads/workers=3/spin=50µs",
                "plain-threads/workers=4/spin=50µs",
            ]
        );
        assert_eq!(
            ids(&["deque", "--pin", "none", "--pin", "compact"]),
            ["deque/workers=1", "deque/workers=1/pin=compact"]
        );
    }

    #[test]
    fn sizes_come_from_the_workload_the_scale_or_the_argument() {
        let size = |arguments: &[&str]| parse(arguments).unwrap().cases().unwrap()[0].setting.size;
        assert_eq!(size(&["deque"]), 40_000_000);
        assert_eq!(size(&["deque", "--quick"]), 2_000_000);
        assert_eq!(size(&["deque", "--scale", "0.5"]), 20_000_000);
        assert_eq!(size(&["deque", "--size", "1_000"]), 1_000);
        assert_eq!(size(&["deque", "--size", "deque=7", "--size", "9"]), 7);
        assert_eq!(size(&["deque", "--size", "clock=7"]), 40_000_000);
    }

    #[test]
    fn an_argument_that_cannot_be_read_is_named_with_its_value_and_what_is_allowed() {
        for (arguments, parts) in [
            (
                &["--workers", "0"][..],
                &["'0'", "--workers", "from 1 to 1024"][..],
            ),
            (
                &["--workers", "two"],
                &["'two'", "--workers", "such as 1,2,4-8"],
            ),
            (
                &["--pin", "all"],
                &["'all'", "--pin", "none, compact, spread or a list"],
            ),
            (&["--throughput", "0"], &["'0'", "--throughput", "1.."]),
            (
                &["--slice", "5"],
                &["'5'", "--slice", "ns, us, ms, s or min"],
            ),
            (
                &["--spin=-5us"],
                &["'-5us'", "--spin", "ns, us, ms, s or min"],
            ),
            (&["--rounds", "0"], &["'0'", "--rounds", "1..=1000"]),
            (&["--scale", "0"], &["'0'", "--scale", "above 0"]),
            (&["--scale", "NaN"], &["'NaN'", "--scale", "above 0"]),
            (
                &["--size", "deque=0"],
                &["'deque=0'", "--size", "WORKLOAD=N"],
            ),
            (&["--fail-on-slower"], &["--compare"]),
            (&["--scale", "2", "--size", "3"], &["--scale", "--size"]),
        ] {
            let error = parse(arguments).unwrap_err();
            for part in parts {
                assert!(
                    error.contains(part),
                    "{arguments:?}: {part:?} is not in:\n{error}"
                );
            }
        }
    }

    #[test]
    fn an_argument_that_does_not_fit_the_machine_or_the_workloads_is_refused() {
        for (arguments, error) in [
            (
                &["--pin", "4000"][..],
                "--pin 4000: cpu 4000 is not allowed; allowed: ",
            ),
            (&["dek"], "WORKLOAD: `dek` is unknown; nearest: deque"),
            (
                &["--size", "dek=4"],
                "--size: WORKLOAD: `dek` is unknown; nearest: deque",
            ),
            (&["--size", "baseline=4"], "--size: `baseline` is a group"),
        ] {
            let found = parse(arguments).unwrap().cases().err().unwrap();
            assert!(found.starts_with(error), "{arguments:?}: {found}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, ns) in [
            ("50us", 50_000),
            ("1.5ms", 1_500_000),
            ("2 s", 2_000_000_000),
            ("7ns", 7),
        ] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_nanos(ns))), "{text}");
        }
        assert_eq!("2min".parse(), Ok(Time(Duration::from_secs(120))));
        for text in ["", "5", "us", "-1s", "1e300s", "nans", "1h"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
