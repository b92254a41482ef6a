//! What arming, cancelling and firing a timer costs, warm and cold.
//!
//! Cold figures are for a million random timers within a minute of milliseconds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mainspring::timer::{Advance, Clock, TimerKey, Wheel};

const MILLION: u64 = 1_000_000;
const MINUTE_MS: u64 = 60_000;

/// Payloads stand for envelopes: one pointer that is never null.
type Payload = &'static u64;
static PAYLOAD: u64 = 7;

/// Xorshift64 (G. Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn filled(live: u64) -> (Wheel<Payload>, Vec<TimerKey>) {
    let mut wheel = Wheel::with_capacity(0, live as usize + 1);
    let mut random = Random(42);
    let keys = (0..live)
        .map(|_| wheel.insert(1 + random.below(MINUTE_MS), &PAYLOAD))
        .collect();
    (wheel, keys)
}

fn drive(wheel: &mut Wheel<Payload>, to: u64) -> u64 {
    let mut fired = 0;
    while wheel.advance(to, 1_024, &mut |_, payload| {
        fired += u64::from(*payload == 7)
    }) == Advance::More
    {}
    fired
}

fn hot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel/hot");
    for live in [0, 1_000, MILLION] {
        let (mut wheel, _) = filled(live);
        group.bench_function(format!("insert_cancel/live={live}"), |bencher| {
            let mut tick = 0;
            bencher.iter(|| {
                tick = (tick + 37) % 30_000;
                let key = wheel.insert(black_box(tick + 1), &PAYLOAD);
                wheel.cancel(black_box(key))
            });
        });
    }
    for live in [1_000, MILLION] {
        let (mut wheel, _) = (Wheel::<Payload>::with_capacity(0, live as usize), ());
        let mut keys: Vec<_> = (0..live)
            .map(|n| wheel.insert(MINUTE_MS + n / 100, &PAYLOAD))
            .collect();
        group.bench_function(format!("rearm_oldest/live={live}"), |bencher| {
            let (mut oldest, mut armed) = (0, live);
            bencher.iter(|| {
                let payload = wheel.cancel(keys[oldest]).unwrap();
                keys[oldest] = wheel.insert(MINUTE_MS + armed / 100, payload);
                armed += 1;
                oldest = if oldest + 1 == keys.len() {
                    0
                } else {
                    oldest + 1
                };
            });
        });
    }
    let mut wheel = Wheel::new(0);
    let mut tick = 0;
    group.throughput(Throughput::Elements(64));
    group.bench_function("insert_fire/ticks=64", |bencher| {
        bencher.iter(|| {
            for n in 0..64 {
                wheel.insert(tick + n * 7 % 64 + 1, &PAYLOAD);
            }
            tick += 64;
            assert_eq!(drive(&mut wheel, black_box(tick)), 64);
        });
    });
    group.throughput(Throughput::Elements(1));
    wheel.insert(u64::MAX, &PAYLOAD);
    group.bench_function("advance/due=0", |bencher| {
        bencher.iter(|| {
            tick += 1;
            drive(&mut wheel, black_box(tick))
        });
    });
    group.finish();
}

fn cold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel/cold/live=1000000");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(MILLION));
    group.bench_function("insert", |bencher| {
        bencher.iter_custom(|rounds| timed(rounds, || (), |()| drop(black_box(filled(MILLION)))));
    });
    group.bench_function("fire", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(
                rounds,
                || filled(MILLION).0,
                |mut wheel| {
                    for tick in 0..=MINUTE_MS {
                        drive(&mut wheel, tick);
                    }
                    assert!(wheel.is_empty());
                },
            )
        });
    });
    group.throughput(Throughput::Elements(1));
    let (mut wheel, mut keys) = filled(MILLION);
    let mut random = Random(7);
    group.bench_function("cancel_random_insert", |bencher| {
        bencher.iter(|| {
            let pick = random.below(MILLION) as usize;
            let payload = wheel.cancel(keys[pick]).unwrap();
            keys[pick] = wheel.insert(1 + random.below(MINUTE_MS), payload);
        });
    });
    group.finish();
}

/// The time of `rounds` runs without their set-up and what they return.
fn timed<S, R>(rounds: u64, mut setup: impl FnMut() -> S, mut run: impl FnMut(S) -> R) -> Duration {
    (0..rounds)
        .map(|_| {
            let input = setup();
            let start = Instant::now();
            let output = run(input);
            let elapsed = start.elapsed();
            drop(output);
            elapsed
        })
        .sum()
}

fn clock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clock");
    group.bench_function("instant_now", |bencher| bencher.iter(Instant::now));
    for (name, clock) in [("by_instant", Clock::by_instant()), ("real", Clock::real())] {
        group.bench_function(name, |bencher| bencher.iter(|| clock.now_ns()));
    }
    group.finish();
}

criterion_group!(benches, hot, cold, clock);
criterion_main!(benches);
