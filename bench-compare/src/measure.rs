//! What the operating system and the clock say: memory, CPU time, percentiles, a known amount of work.

use std::fs;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Resident bytes of this process now.
pub fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most resident bytes this process has had.
pub fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux's /proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kibibytes
        .and_then(|number| number.parse::<u64>().ok())
        .expect("a size in kB")
        * 1024
}

/// CPU nanoseconds that the live threads of this process have used.
fn cpu_ns() -> u64 {
    let threads = fs::read_dir("/proc/self/task").expect("Linux's /proc is mounted");
    let used = threads.flatten().filter_map(|thread| {
        let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    used.sum()
}

/// The share of one core that this process uses while the calling thread sleeps for `watch`.
pub fn cpu_share(watch: Duration) -> f64 {
    let (begun, before) = (Instant::now(), cpu_ns());
    thread::sleep(watch);
    cpu_ns().saturating_sub(before) as f64 / begun.elapsed().as_nanos() as f64
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[u64], share: f64) -> f64 {
    let last = sorted.len().checked_sub(1).expect("at least one value");
    sorted[(last as f64 * share).round() as usize] as f64
}

/// Middle value; the mean of the middle two when there is an even number.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

/// An amount of CPU work: so many steps that each wait for the one before.
#[derive(Clone, Copy)]
pub struct Work {
    steps: u64,
}

impl Work {
    /// Work that takes about `long` on this machine when nothing disturbs it.
    pub fn lasting(long: Duration) -> Work {
        const SAMPLE: Work = Work { steps: 20_000 };
        let fastest = (0..200)
            .map(|_| {
                let begun = Instant::now();
                SAMPLE.run();
                begun.elapsed()
            })
            .min()
            .expect("200 samples");
        let steps = SAMPLE.steps as f64 * long.as_secs_f64() / fastest.as_secs_f64();
        Work {
            steps: steps as u64,
        }
    }

    /// Does it.
    pub fn run(self) {
        let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
        for _ in 0..self.steps {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        black_box(x);
    }
}

/// How long `threads` plain threads need to run `work` `times` in all.
pub fn plain_threads(work: Work, times: u64, threads: usize) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..times / threads as u64).for_each(|_| work.run()));
        }
    });
    begun.elapsed()
}

/// Nanoseconds for a cache line to go to another core and back: every two-worker figure moves with it.
pub fn cache_line_round_trip_ns() -> f64 {
    const ROUNDS: u64 = 50_000;
    let line = AtomicU64::new(0);
    let await_value = |value| {
        // Spinning threads that share one core would never meet: give way now and then.
        let mut spins = 0_u32;
        while line.load(Ordering::Acquire) != value {
            spins += 1;
            match spins % 4096 {
                0 => thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                await_value(2 * round + 1);
                line.store(2 * round + 2, Ordering::Release);
            }
        });
        let begun = Instant::now();
        for round in 0..ROUNDS {
            line.store(2 * round + 1, Ordering::Release);
            await_value(2 * round + 2);
        }
        begun.elapsed().as_nanos() as f64 / ROUNDS as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_at_that_share_of_the_order() {
        let sorted: Vec<u64> = (0..=100).collect();
        assert_eq!(percentile(&sorted, 0.5), 50.0);
        assert_eq!(percentile(&sorted, 0.99), 99.0);
        assert_eq!(percentile(&[7], 0.99), 7.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_peak_is_never_below_what_is_resident() {
        assert!(resident_bytes() > 0);
        assert!(peak_bytes() >= resident_bytes());
    }
}
