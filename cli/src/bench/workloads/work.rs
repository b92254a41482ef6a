//! Processor work of a known length, and what plain threads make of it: the ideal of every load
//! that works rather than talks.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::super::machine::pin_to;

/// Steps of a multiply and xor chain; each step needs the one before it, so no core does two at
/// once and none leaves one out. The result depends on every step.
pub(crate) fn steps(seed: u64, count: u64) -> u64 {
    let mut value = seed | 1;
    for _ in 0..count {
        value = (value ^ (value >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    value
}

/// How many [`steps`] this core does in `time`, from the best of twenty short trials.
pub(crate) fn steps_in(time: Duration) -> u64 {
    const TRIAL: u64 = 20_000;
    let trial = || {
        let began = Instant::now();
        black_box(steps(black_box(7), TRIAL));
        began.elapsed().as_secs_f64() / TRIAL as f64
    };
    let seconds_a_step = (0..20).map(|_| trial()).fold(f64::INFINITY, f64::min);
    (time.as_secs_f64() / seconds_a_step).round().max(1.0) as u64
}

/// Runs `messages` pieces of `steps_each` on one plain thread for each of `cpus`, pinned there,
/// split evenly. Returns the time from the common start to the last end, and the wrapped sum of
/// all results; piece n is seeded with n.
pub(crate) fn on_plain_threads(cpus: &[usize], messages: u64, steps_each: u64) -> (Duration, u64) {
    let start = Barrier::new(cpus.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus.len() as u64)
            .map(|index| {
                let start = &start;
                let cpu = cpus[index as usize];
                let share = |n: u64| messages * n / cpus.len() as u64;
                let pieces = share(index)..share(index + 1);
                scope.spawn(move || {
                    pin_to(cpu);
                    start.wait();
                    pieces.fold(0u64, |sum, n| sum.wrapping_add(steps(n, steps_each)))
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        let sum = threads
            .into_iter()
            .map(|thread| thread.join().expect("arithmetic does not panic"))
            .fold(0u64, u64::wrapping_add);
        (began.elapsed(), sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_do_every_piece_once() {
        let expected = (0..101).fold(0u64, |sum, n| sum.wrapping_add(steps(n, 50)));
        for cpus in [vec![0], vec![0, 0, 0]] {
            assert_eq!(on_plain_threads(&cpus, 101, 50).1, expected);
        }
    }

    #[test]
    fn more_time_has_more_steps() {
        let short = steps_in(Duration::from_micros(1));
        assert!(short > 10, "{short}");
        assert!(steps_in(Duration::from_micros(100)) > short);
    }
}
