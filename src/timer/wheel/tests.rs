//! The wheel against a sorted map.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// What the wheel promises, slowly: timers sorted by deadline, then by when they were inserted.
struct Model {
    tick: u64,
    inserted: u64,
    waiting: BTreeMap<(u64, u64), TimerKey>,
    gone: Vec<TimerKey>,
}

/// A wheel, whose payloads are the model's numbers, beside its model.
struct Pair {
    wheel: Wheel<u64>,
    model: Model,
}

#[derive(Clone, Debug)]
enum Step {
    /// At the wheel's tick plus this, or minus, saturating.
    Insert(i128),
    /// The live timer at this position, modulo their number.
    Cancel(usize),
    Rearm(usize, i128),
    /// By ticks, in calls of this budget.
    Advance(u64, usize),
    /// One call, whose rest waits while other steps follow.
    AdvanceOnce(u64, usize),
    AdvanceToNext(usize),
    CancelGone(usize),
}

impl Pair {
    fn new(tick: u64) -> Self {
        let (waiting, gone) = (BTreeMap::new(), Vec::new());
        Self {
            wheel: Wheel::new(tick),
            model: Model {
                tick,
                inserted: 0,
                waiting,
                gone,
            },
        }
    }

    fn insert(&mut self, deadline: u64) -> TimerKey {
        let number = self.model.inserted;
        self.model.inserted += 1;
        let key = self.wheel.insert(deadline, number);
        let counted = self.wheel.get(key).expect("a timer just armed").0;
        // While a call's rest waits the wheel's tick lies somewhere between the two calls' ticks.
        assert!(counted == deadline || (deadline < counted && counted <= self.model.tick));
        self.model.waiting.insert((counted, number), key);
        key
    }

    fn insert_after(&mut self, after: i128) {
        let deadline = i128::from(self.model.tick) + after;
        self.insert(deadline.clamp(0, i128::from(u64::MAX)) as u64);
    }

    fn cancel(&mut self, pick: usize) {
        let Some(pick) = pick.checked_rem(self.model.waiting.len()) else {
            return;
        };
        let (&(deadline, number), &key) = self.model.waiting.iter().nth(pick).unwrap();
        assert_eq!(self.wheel.get(key), Some((deadline, &number)));
        assert_eq!(self.wheel.cancel(key), Some(number));
        self.model.waiting.remove(&(deadline, number));
        self.model.gone.push(key);
    }

    /// One call; what it fires must be what the model has first.
    fn advance_once(&mut self, to: u64, budget: usize) -> Advance {
        let Model {
            tick,
            waiting,
            gone,
            ..
        } = &mut self.model;
        *tick = (*tick).max(to);
        let mut fired = 0;
        let left = self.wheel.advance(to, budget, &mut |deadline, number| {
            let ((expected, expected_number), key) = waiting.pop_first().expect("a timer to fire");
            assert_eq!(
                (deadline, number),
                (expected, expected_number),
                "out of order"
            );
            assert!(deadline <= *tick, "early");
            gone.push(key);
            fired += 1;
        });
        assert!(fired <= budget);
        if left == Advance::Done {
            let first = waiting
                .first_key_value()
                .map(|(&(deadline, _), _)| deadline);
            assert!(
                first.is_none_or(|deadline| deadline > to),
                "a due timer did not fire"
            );
        }
        left
    }

    fn advance(&mut self, to: u64, budget: usize) {
        // Every call with a budget moves something, and nothing moves more than eight times.
        let calls_max = 8 * self.model.waiting.len() + 1;
        for _ in 0..calls_max {
            if self.advance_once(to, budget) == Advance::Done {
                return;
            }
        }
        panic!("no end after {calls_max} calls");
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Insert(after) => self.insert_after(after),
            Step::Cancel(pick) => self.cancel(pick),
            Step::Rearm(pick, after) => {
                self.cancel(pick);
                self.insert_after(after);
            }
            Step::Advance(by, budget) => self.advance(self.model.tick.saturating_add(by), budget),
            Step::AdvanceOnce(by, budget) => {
                let _ = self.advance_once(self.model.tick.saturating_add(by), budget);
            }
            Step::AdvanceToNext(budget) => {
                if let Some(next) = self.wheel.next_tick() {
                    self.advance(next.max(self.model.tick), budget);
                }
            }
            Step::CancelGone(pick) => {
                if let Some(pick) = pick.checked_rem(self.model.gone.len()) {
                    assert_eq!(self.wheel.get(self.model.gone[pick]), None);
                    assert_eq!(self.wheel.cancel(self.model.gone[pick]), None);
                }
            }
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.model.waiting.len());
        assert_eq!(self.wheel.is_empty(), self.model.waiting.is_empty());
        let first = self
            .model
            .waiting
            .first_key_value()
            .map(|(&(deadline, _), _)| deadline);
        match (self.wheel.next_tick(), first) {
            (Some(next), Some(first)) => assert!(next <= first, "next {next}, due {first}"),
            (next, first) => assert_eq!(next, first),
        }
    }
}

/// Ticks around which something may go wrong.
fn edge() -> impl Strategy<Value = u64> {
    let power = prop_oneof![
        (0..64_u32).prop_map(|bit| 1_u64 << bit),
        Just(u64::MAX),
        Just(0)
    ];
    (power, 0..5_u64).prop_map(|(power, near)| power.wrapping_add(near).wrapping_sub(2))
}

fn distance() -> impl Strategy<Value = i128> {
    prop_oneof![
        4 => 0..600_i128,
        4 => 0..1_i128 << 40,
        3 => edge().prop_map(i128::from),
        1 => -70_000..0_i128,
    ]
}

fn forward() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 0..70_000_u64, 0..1_u64 << 40, edge()]
}

fn budget() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 1..20_usize, Just(usize::MAX)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => distance().prop_map(Step::Insert),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), distance()).prop_map(|(pick, after)| Step::Rearm(pick, after)),
        2 => (forward(), budget()).prop_map(|(by, budget)| Step::Advance(by, budget)),
        3 => (forward(), 0..20_usize).prop_map(|(by, budget)| Step::AdvanceOnce(by, budget)),
        2 => budget().prop_map(Step::AdvanceToNext),
        1 => any::<usize>().prop_map(Step::CancelGone),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1_000),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_use_is_that_of_a_sorted_map(
        start in prop_oneof![Just(0), edge(), any::<u64>()],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pair = Pair::new(start);
        for step in &steps {
            pair.step(step);
        }
        pair.advance(u64::MAX, 3);
        prop_assert!(pair.wheel.is_empty());
    }

    /// Few distinct deadlines, so that timers of one tick meet in waiting cascades.
    #[test]
    fn timers_of_one_tick_fire_in_the_order_inserted(
        steps in prop::collection::vec(
            prop_oneof![
                4 => (0..4_u64, 0..3_u64).prop_map(|(high, low)| Ok(high * 256 + low)),
                4 => (0..2_u64, 0..2_u64).prop_map(|(high, low)| Ok((3 << 16) + high * 256 + low)),
                3 => (prop_oneof![0..300_u64, Just(3 << 16)], 0..6_usize).prop_map(Err),
            ],
            1..200,
        ),
    ) {
        let mut pair = Pair::new(0);
        for step in steps {
            match step {
                Ok(deadline) => {
                    pair.insert(deadline);
                }
                Err((by, budget)) => {
                    let _ = pair.advance_once(pair.model.tick + by, budget);
                }
            }
            pair.check();
        }
        pair.advance(u64::MAX, 1);
        prop_assert!(pair.wheel.is_empty());
    }
}

#[test]
fn every_level_edge_fires_on_its_tick_with_a_far_timer_present() {
    let edges = (0..64).map(|bit| 1_u64 << bit).chain([0, u64::MAX]);
    for edge in edges {
        for start in (0..5).map(|near| edge.saturating_add(near).saturating_sub(2)) {
            let mut pair = Pair::new(start.saturating_sub(1));
            pair.insert(u64::MAX);
            pair.insert(start.saturating_add(1 << 33));
            for near in 0..5 {
                pair.insert(edge.saturating_add(near).saturating_sub(2));
                pair.insert(start.saturating_add(near));
            }
            for near in 0..6 {
                pair.advance(start.saturating_add(near).saturating_sub(1), 1);
                pair.insert(start.saturating_add(near + 1));
                pair.check();
            }
            pair.advance(u64::MAX, usize::MAX);
            assert!(pair.wheel.is_empty());
        }
    }
}

#[test]
fn short_timers_fire_on_time_across_every_wrap_of_a_far_one() {
    for wrap in [
        1 << 30,
        1 << 31,
        1 << 32,
        1 << 36,
        1 << 63,
        u64::MAX - 5_000,
    ] {
        let mut wheel = Wheel::new(wrap - 3_000);
        wheel.insert(u64::MAX, "far");
        let mut tick = wrap - 3_000;
        while tick < wrap + 3_000 {
            let due = tick + 7;
            wheel.insert(due, "short");
            let mut fired = Vec::new();
            let left = wheel.advance(due - 1, usize::MAX, &mut |at, name| fired.push((at, name)));
            assert_eq!((left, fired.len()), (Advance::Done, 0));
            let left = wheel.advance(due, usize::MAX, &mut |at, name| fired.push((at, name)));
            assert_eq!((left, fired), (Advance::Done, vec![(due, "short")]));
            tick = due;
        }
        assert_eq!(wheel.len(), 1);
    }
}

#[test]
fn a_far_slot_of_a_million_moves_by_its_budget_and_keeps_order() {
    const TIMERS: u64 = 1_000_000;
    const BUDGET: usize = 1_024;
    let far = 1_u64 << 32;
    let mut wheel = Wheel::new(0);
    for number in 0..TIMERS {
        wheel.insert(far + number * 7_919 % 1_000, number);
    }
    let mut fired: Vec<(u64, u64)> = Vec::new();
    let mut calls = 0;
    loop {
        let before = fired.len();
        let left = wheel.advance(far + 999, BUDGET, &mut |tick, number| {
            fired.push((tick, number))
        });
        assert!(fired.len() - before <= BUDGET);
        calls += 1;
        if left == Advance::Done {
            break;
        }
    }
    // Each fires once and moves from level 4 to level 1 or 0, and most from level 1 to level 0.
    let moves = (2 * TIMERS..=3 * TIMERS).map(|moves| moves.div_ceil(BUDGET as u64));
    assert!(
        moves.clone().min() <= Some(calls) && Some(calls) <= moves.max(),
        "{calls} calls"
    );
    assert_eq!(fired.len() as u64, TIMERS);
    assert!(fired.is_sorted(), "by deadline, then in the order inserted");
    assert!(
        fired
            .iter()
            .all(|&(tick, number)| tick == far + number * 7_919 % 1_000)
    );
}

#[test]
fn a_jump_costs_what_is_due() {
    let mut wheel = Wheel::new(0);
    for bit in 0..64 {
        wheel.insert(1 << bit, bit);
    }
    // Each timer moves at most once a level: 64 timers in at most 512 moves over 2^64 ticks.
    let mut fired = Vec::new();
    let left = wheel.advance(u64::MAX, 512, &mut |_, bit| fired.push(bit));
    assert_eq!((left, fired), (Advance::Done, (0..64).collect()));
}

#[test]
fn a_hundred_years_of_milliseconds_lose_no_timer() {
    const YEAR_MS: u64 = 31_557_600_000;
    const PERIODS_MS: [u64; 5] = [61_000, 3_600_001, 86_400_000, 2_678_400_000, 31_557_600_007];
    let mut wheel = Wheel::new(0);
    for period in PERIODS_MS {
        wheel.insert(period, period);
    }
    let mut counts = BTreeMap::new();
    let (mut next, mut steps) = (Some(0), 0_u64);
    while let Some(tick) = next.filter(|&tick| tick <= 100 * YEAR_MS) {
        let mut again = None;
        let left = wheel.advance(tick, 1, &mut |deadline, period| {
            assert_eq!(deadline, tick);
            again = Some((deadline + period, period));
        });
        if let Some((deadline, period)) = again {
            *counts.entry(period).or_insert(0) += 1;
            wheel.insert(deadline, period);
        }
        next = if left == Advance::More {
            Some(tick)
        } else {
            wheel.next_tick()
        };
        steps += 1;
    }
    let expected: BTreeMap<_, _> = PERIODS_MS
        .iter()
        .map(|&period| (period, 100 * YEAR_MS / period))
        .collect();
    assert_eq!(counts, expected);
    assert!(steps < 5 * counts.values().sum::<u64>(), "{steps} calls");
}

#[test]
fn a_key_outlives_neither_its_timer_nor_the_generations_of_its_entry() {
    let mut wheel = Wheel::new(0);
    let first = wheel.insert(5, 1);
    assert_eq!(wheel.cancel(first), Some(1));
    let second = wheel.insert(5, 2);
    assert_eq!(second.index, first.index, "the entry is reused");
    assert_eq!(wheel.get(first), None);
    assert_eq!(wheel.cancel(first), None);
    let _ = wheel.advance(5, 1, &mut |_, _| ());
    assert_eq!(wheel.get(second), None);
    assert_eq!(wheel.cancel(second), None);

    let last = NonZeroU32::MAX.get() - 1;
    wheel.entries[0].generation = NonZeroU32::new(last).unwrap();
    let key = wheel.insert(9, 3);
    assert_eq!(
        (key.index, wheel.cancel(key), wheel.cancel(key)),
        (0, Some(3), None)
    );
    assert_eq!(
        wheel.insert(9, 4).index,
        1,
        "an entry without generations left is retired"
    );
    for generation in [1, last, last + 1] {
        let key = TimerKey {
            index: 0,
            generation: NonZeroU32::new(generation).unwrap(),
        };
        assert_eq!(wheel.cancel(key), None);
    }
    assert_eq!(wheel.len(), 1);
}

/// Counts its drops.
struct Payload(Rc<Cell<u32>>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn payloads(wheel: &mut Wheel<Payload>, drops: &Rc<Cell<u32>>, ticks: &[u64]) -> Vec<TimerKey> {
    ticks
        .iter()
        .map(|&tick| wheel.insert(tick, Payload(drops.clone())))
        .collect()
}

#[test]
fn each_payload_is_dropped_once() {
    let drops = Rc::new(Cell::new(0));
    let mut wheel = Wheel::new(0);
    let keys = payloads(&mut wheel, &drops, &[1, 2, 300, 70_000, u64::MAX]);
    drop(wheel.cancel(keys[1]));
    assert_eq!(drops.get(), 1, "cancelling gives the payload back at once");
    let _ = wheel.advance(300, 10, &mut |_, payload| drop(payload));
    assert_eq!(drops.get(), 3);
    drop(wheel);
    assert_eq!(drops.get(), 5);
}

#[test]
fn draining_gives_back_every_payload_and_leaves_a_wheel_to_use() {
    let drops = Rc::new(Cell::new(0));
    let mut wheel = Wheel::new(0);
    let keys = payloads(&mut wheel, &drops, &[5, 900, 900, 1 << 50]);
    assert!(wheel.cancel(keys[1]).is_some());
    let mut deadlines: Vec<_> = wheel.drain().map(|(deadline, _)| deadline).collect();
    deadlines.sort_unstable();
    assert_eq!((deadlines, drops.get()), (vec![5, 900, 1 << 50], 4));
    assert_eq!(
        (wheel.len(), wheel.next_tick(), wheel.slots.first_occupied()),
        (0, None, None)
    );
    assert!(keys.iter().all(|&key| wheel.cancel(key).is_none()));

    payloads(&mut wheel, &drops, &[7, 8, 9]);
    drop(wheel.drain().next());
    assert_eq!(
        (wheel.len(), drops.get()),
        (0, 7),
        "an iterator dropped early drops the rest"
    );
    payloads(&mut wheel, &drops, &[7]);
    let _ = wheel.advance(7, 1, &mut |tick, _| assert_eq!(tick, 7));
    assert_eq!(drops.get(), 8);
}

#[test]
fn a_panic_in_fire_loses_only_the_timer_it_was_given() {
    let mut wheel = Wheel::new(0);
    for number in 0..20 {
        wheel.insert(3, number);
    }
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = wheel.advance(4, usize::MAX, &mut |_, number| {
            assert_ne!(number, 15, "on purpose")
        });
    }));
    assert!(caught.is_err());
    assert_eq!((wheel.len(), wheel.next_tick()), (4, Some(3)));
    let mut fired = Vec::new();
    let left = wheel.advance(4, usize::MAX, &mut |_, number| fired.push(number));
    assert_eq!((left, fired), (Advance::Done, vec![16, 17, 18, 19]));
}

#[test]
fn steady_use_needs_no_more_memory() {
    let mut wheel = Wheel::new(0);
    let mut keys: Vec<_> = (0..1_000)
        .map(|number| wheel.insert(30_000 + number, number))
        .collect();
    let entries = wheel.entries.len();
    for round in 0..100_000_u64 {
        let oldest = round as usize % keys.len();
        assert!(wheel.cancel(keys[oldest]).is_some());
        keys[oldest] = wheel.insert(30_000 + round / 10, round);
        let left = wheel.advance(round / 10, usize::MAX, &mut |_, _| {
            panic!("re-armed in time")
        });
        assert_eq!(left, Advance::Done);
    }
    assert_eq!((wheel.len(), wheel.entries.len()), (1_000, entries));
    assert!(entries < 2_000);
}
