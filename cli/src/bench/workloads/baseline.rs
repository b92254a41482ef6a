//! What the machine does without the runtime: figures to read the others against.

use std::sync::Barrier;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_deque::Worker;

use super::super::machine::{allowed_cpus, on_core, pin_to, round_trip_ns};
use super::super::measure::Measure;
use super::super::meter::{Meter, Sample, latencies};
use super::super::setting::Setting;
use super::stage::sum_below;
use super::{Group, Sizes, Threads, Workload, Wrong, work};

pub(super) fn all() -> [&'static dyn Workload; 6] {
    [&CacheLine, &Clock, &Deque, &StdMpsc, &PlainThreads, &Asleep]
}

/// The cache-line round trip between two cores.
struct CacheLine;

impl Workload for CacheLine {
    fn name(&self) -> &'static str {
        "cache-line"
    }

    fn group(&self) -> Group {
        Group::Baseline
    }

    fn about(&self) -> &'static str {
        "Two pinned threads pass one cache line to and fro; every figure across cores follows it."
    }

    fn message(&self) -> &'static str {
        "one round trip"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 25,
            quick: 5,
        }
    }

    fn headline(&self) -> Measure {
        Measure::RoundTripNs
    }

    fn threads(&self) -> Threads {
        Threads::Always(2)
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let cpus = setting.cpus(&allowed_cpus());
        if cpus[0] == cpus[1] {
            return Err(Wrong(
                "needs two cores, and this process may use one".to_owned(),
            ));
        }
        let (window, trips) = meter.window(|| {
            (0..setting.size)
                .map(|_| round_trip_ns(cpus[0], cpus[1]))
                .collect::<Option<Vec<_>>>()
        });
        let trips =
            trips.ok_or_else(|| Wrong(format!("a thread could not be pinned to {cpus:?}")))?;
        let mean = trips.iter().sum::<f64>() / trips.len() as f64;
        Ok(Sample::default().with(Measure::RoundTripNs, mean).with(
            Measure::ResidentPeakBytes,
            window.resident_peak_bytes as f64,
        ))
    }
}

/// Reading the clock.
struct Clock;

impl Workload for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn group(&self) -> Group {
        Group::Baseline
    }

    fn about(&self) -> &'static str {
        "One thread reads the clock; the curve is what a measured latency of nothing looks like."
    }

    fn message(&self) -> &'static str {
        "one reading"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 5_000_000,
            quick: 500_000,
        }
    }

    fn threads(&self) -> Threads {
        Threads::Always(1)
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let mut gaps = latencies();
        let read = || {
            let mut last = Instant::now();
            let mut went_back = 0u64;
            for _ in 0..setting.size {
                let now = Instant::now();
                went_back += u64::from(now < last);
                gaps.saturating_record(now.duration_since(last).as_nanos() as u64);
                last = now;
            }
            went_back
        };
        let (window, went_back) = on_core(setting.cpus(&allowed_cpus())[0], || meter.window(read));
        Wrong::unless_equal("the number of times the clock went back", went_back, 0)?;
        Wrong::unless_equal("the number of gaps", gaps.len(), setting.size)?;
        Ok(window.sample(setting.size).with_latencies(&gaps))
    }
}

/// The run queue alone.
struct Deque;

impl Workload for Deque {
    fn name(&self) -> &'static str {
        "deque"
    }

    fn group(&self) -> Group {
        Group::Baseline
    }

    fn about(&self) -> &'static str {
        "One thread pushes to and pops from a crossbeam deque, 64 at a time."
    }

    fn message(&self) -> &'static str {
        "one push and pop"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 40_000_000,
            quick: 2_000_000,
        }
    }

    fn threads(&self) -> Threads {
        Threads::Always(1)
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        const BATCH: u64 = 64;
        let batches = setting.size.div_ceil(BATCH);
        let count = batches * BATCH;
        let push_and_pop = || {
            let deque = Worker::new_fifo();
            let mut sum = 0u64;
            for batch in 0..batches {
                for n in 0..BATCH {
                    deque.push(batch * BATCH + n);
                }
                while let Some(n) = deque.pop() {
                    sum = sum.wrapping_add(n);
                }
            }
            sum
        };
        let (window, sum) = on_core(setting.cpus(&allowed_cpus())[0], || {
            meter.window(push_and_pop)
        });
        Wrong::unless_equal("the sum of what was popped", sum, sum_below(count))?;
        Ok(window.sample(count))
    }
}

/// The standard library's channel between two threads.
struct StdMpsc;

impl Workload for StdMpsc {
    fn name(&self) -> &'static str {
        "std-mpsc"
    }

    fn group(&self) -> Group {
        Group::Baseline
    }

    fn about(&self) -> &'static str {
        "One pinned thread counts what another sends over std's channel of 1,024 places."
    }

    fn message(&self) -> &'static str {
        "one message of 8 bytes"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 3_000_000,
            quick: 200_000,
        }
    }

    fn threads(&self) -> Threads {
        Threads::Always(2)
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let cpus = setting.cpus(&allowed_cpus());
        let (sender, receiver) = sync_channel(1_024);
        let (window, (count, sum)) = meter.window(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    pin_to(cpus[0]);
                    let sender = sender;
                    for n in 0..setting.size {
                        if sender.send(n).is_err() {
                            break;
                        }
                    }
                });
                let counter = scope.spawn(|| {
                    pin_to(cpus[1]);
                    receiver
                        .into_iter()
                        .fold((0, 0), |(count, sum), n| (count + 1, sum + n))
                });
                counter.join().expect("counting does not panic")
            })
        });
        Wrong::unless_equal("the number of messages received", count, setting.size)?;
        Wrong::unless_equal(
            "the sum of the messages received",
            sum,
            sum_below(setting.size),
        )?;
        Ok(window.sample(setting.size))
    }
}

/// Work of a microsecond on plain threads: the ideal of `cpu-mix`.
struct PlainThreads;

impl Workload for PlainThreads {
    fn name(&self) -> &'static str {
        "plain-threads"
    }

    fn group(&self) -> Group {
        Group::Baseline
    }

    fn about(&self) -> &'static str {
        "Pinned threads do pieces of work of 1 µs, split evenly beforehand; ideal is as many times \
         the speed of one thread."
    }

    fn message(&self) -> &'static str {
        "one piece of work of 1 µs"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 400_000,
            quick: 20_000,
        }
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let cpus = setting.cpus(&allowed_cpus());
        let steps = work::steps_in(Duration::from_micros(1));
        let (alone, expected) = work::on_plain_threads(&cpus[..1], setting.size, steps);
        let (window, (_, sum)) =
            meter.window(|| work::on_plain_threads(&cpus, setting.size, steps));
        Wrong::unless_equal("the sum of all pieces", sum, expected)?;
        let ideal = alone.as_secs_f64() / cpus.len() as f64;
        let share = ideal / window.elapsed.as_secs_f64();
        Ok(window
            .sample(setting.size)
            .with(Measure::ShareOfIdeal, share))
    }
}

/// A process whose threads all sleep: the floor of `idle`.
struct Asleep;

impl Workload for Asleep {
    fn name(&self) -> &'static str {
        "asleep"
    }

    fn group(&self) -> Group {
        Group::Baseline
    }

    fn about(&self) -> &'static str {
        "Plain threads wait for a word that comes when the time is over."
    }

    fn message(&self) -> &'static str {
        "one ms of waiting"
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            usual: 500,
            quick: 100,
        }
    }

    fn headline(&self) -> Measure {
        Measure::CpuShare
    }

    fn warms_up(&self) -> bool {
        false
    }

    fn run(&self, setting: &Setting, meter: &mut Meter) -> Result<Sample, Wrong> {
        let (all_there, woken) = (
            Barrier::new(setting.workers + 1),
            Barrier::new(setting.workers + 1),
        );
        let waited = thread::scope(|scope| {
            for _ in 0..setting.workers {
                scope.spawn(|| {
                    all_there.wait();
                    woken.wait();
                });
            }
            all_there.wait();
            let (window, ()) = meter.window(|| thread::sleep(Duration::from_millis(setting.size)));
            woken.wait();
            window
        });
        Ok(Sample::default()
            .with(Measure::CpuShare, waited.cpu_share())
            .with(
                Measure::ResidentPeakBytes,
                waited.resident_peak_bytes as f64,
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_baseline_checks_out_at_a_small_size() {
        for workload in all() {
            let workers = match workload.threads() {
                Threads::Always(threads) => threads,
                Threads::Workers => 2,
            };
            let cpus = allowed_cpus();
            if workload.name() == "cache-line" && cpus.len() < 2 {
                continue;
            }
            let setting = Setting {
                workers,
                pin: Default::default(),
                size: workload.sizes().quick.min(2_000),
                throughput: None,
                slice_ns: None,
                spin_ns: None,
            };
            let sample = workload.run(&setting, &mut Meter::default());
            let sample = sample.unwrap_or_else(|wrong| panic!("{}: {wrong}", workload.name()));
            let headline = sample.figures.get(workload.headline());
            assert!(
                headline.is_some_and(|value| value > 0.0),
                "{}",
                workload.name()
            );
        }
    }
}
