//! Timers: never early, never after they were cancelled.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::{Key, Missed, plan};
use std::time::{Duration, Instant};

fn after(key: u64, delay: Duration, number: u64) -> Plan<Script> {
    Plan::after(key, delay, Msg::Say(number))
}

#[test]
fn a_timer_is_never_early_and_at_most_a_tick_late() {
    for delay_us in [0, 1, 999, 1_000, 1_001, 5_500, 1_000_000, 86_400_000_000] {
        let (system, hand) = stepped();
        let log = Log::new();
        hand.advance(Duration::from_micros(333));
        let one = spawn(&system, &log);
        let delay = Duration::from_micros(delay_us);
        one.tell(does(move || after(1, delay, 1))).unwrap();
        system.run_until_idle();
        hand.advance(delay.saturating_sub(Duration::from_nanos(1)));
        system.run_until_idle();
        assert!(log.len() == 0 || delay_us == 0, "early: {delay:?}");
        hand.advance(Duration::from_nanos(1_000_001));
        system.run_until_idle();
        assert_eq!(log.said(), [1], "late: {delay:?}");
    }
}

#[test]
fn timers_come_in_the_order_of_their_deadlines() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(does(|| {
        after(1, ms(30), 30)
            .and(after(2, ms(10), 10))
            .and(after(3, ms(20), 20))
    }))
    .unwrap();
    system.run_until_idle();
    for _ in 0..40 {
        hand.advance(ms(1));
        system.run_until_idle();
    }
    assert_eq!(log.said(), [10, 20, 30]);
}

#[test]
fn a_key_armed_again_replaces_its_timer() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(does(|| after(1, ms(5), 1))).unwrap();
    one.tell(does(|| after(1, ms(50), 2))).unwrap();
    one.tell(does(|| {
        Plan::after("named", ms(5), Msg::Say(3)).and(Plan::after(
            Key::named("named"),
            ms(6),
            Msg::Say(4),
        ))
    }))
    .unwrap();
    system.run_until_idle();
    hand.advance(ms(20));
    system.run_until_idle();
    assert_eq!(log.take(), [4]);
    hand.advance(ms(60));
    system.run_until_idle();
    assert_eq!(log.said(), [2]);
}

#[test]
fn a_plan_arms_and_cancels_in_its_order_however_many_timers_there_are() {
    for others in [0, 40] {
        let (system, hand) = stepped();
        let log = Log::new();
        let alive = Alive::new();
        let one = spawn(&system, &log);
        let arm = |key, number| {
            let kept = alive.one();
            let message = does(move || {
                drop(kept);
                say(number)
            });
            Plan::after(key, ms(5), message)
        };
        one.tell(does(move || {
            (0..others).fold(Plan::none(), |plan, n| plan.and(after(100 + n, ms(900), n)))
        }))
        .unwrap();
        let first = [arm(1, 1), arm(2, 2), arm(3, 3)];
        let second = [arm(1, 4), arm(2, 5), arm(6, 7)];
        one.tell(does(move || {
            let [one, two, three] = first;
            let [four, five, seven] = second;
            plan![
                one,
                two,
                three,
                Plan::cancel(1),
                Plan::cancel(9),
                four,                               // after it was canceled
                five,                               // in place of another
                Plan::every(3, ms(5), Msg::Say(8)), // an interval in place of a timer
                Plan::every(6, ms(5), Msg::Say(9)),
                seven, // and a timer in place of an interval
                Plan::every(7, ms(5), Msg::Say(10)),
                Plan::cancel(7),
                Plan::after(7, ms(5), Msg::Say(11)),
            ]
        }))
        .unwrap();
        system.run_until_idle();
        assert_eq!(alive.count(), 3, "of six, three are off");
        hand.advance(ms(6));
        system.run_until_idle();
        let mut said = log.take();
        said.sort_unstable();
        assert_eq!((said, alive.count()), (vec![4, 5, 7, 8, 11], 0));
        one.tell(does(|| Plan::cancel(3))).unwrap();
        hand.advance(ms(20));
        system.run_until_idle();
        assert_eq!(log.take(), [0; 0]);
    }
}

#[test]
fn a_cancelled_timer_is_never_handled_also_if_it_is_queued() {
    let (system, hand) = stepped();
    let log = Log::new();
    let alive = Alive::new();
    let one = spawn(&system, &log);
    one.tell(does(|| {
        after(1, ms(5), 1).and(Plan::every(2, ms(5), Msg::Say(2)))
    }))
    .unwrap();
    let kept = alive.one();
    one.tell(does(move || {
        Plan::after(
            3,
            ms(5),
            does(move || {
                drop(kept);
                say(3)
            }),
        )
    }))
    .unwrap();
    system.run_until_idle();
    // The message that cancels is in front of the timers' messages: pushed while they are not due.
    one.tell(does(|| {
        Plan::cancel(1)
            .and(Plan::cancel(2))
            .and(Plan::cancel(3))
            .and(say(0))
    }))
    .unwrap();
    hand.advance(ms(50));
    system.run_until_idle();
    assert_eq!((log.take(), alive.count()), (vec![0], 0));
    hand.advance(ms(50));
    system.run_until_idle();
    assert_eq!(log.said(), []);
}

#[test]
fn a_timer_queued_behind_the_turn_that_cancels_it_is_not_handled() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    let hand_inside = hand.clone();
    // Both are due at once; the first one handled cancels the other, which is in the mailbox.
    one.tell(does(|| {
        Plan::after(1, ms(5), does(|| say(1).and(Plan::cancel(2)))).and(Plan::after(
            2,
            ms(5),
            does(|| say(2).and(Plan::cancel(1))),
        ))
    }))
    .unwrap();
    system.run_until_idle();
    hand_inside.advance(ms(10));
    system.run_until_idle();
    assert_eq!(log.len(), 1);
}

/// What an interval of 10 ms says by rule, when the actor is first looked at after `late`.
fn ticks(missed: Missed, late: Duration) -> (usize, usize) {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(does(move || {
        Plan::every_with(1, ms(10), Msg::Say(1), missed)
    }))
    .unwrap();
    system.run_until_idle();
    hand.advance(late);
    for _ in 0..10 {
        system.run_until_idle();
    }
    let first = log.take().len();
    for _ in 0..10 {
        hand.advance(ms(1));
        system.run_until_idle();
    }
    (first, log.len())
}

#[test]
fn an_interval_skips_makes_up_for_or_delays_missed_ticks() {
    // After 35 ms: due at 10, 20, 30; the next at 40.
    assert_eq!(ticks(Missed::Skip, ms(35)), (1, 1));
    assert_eq!(ticks(Missed::Burst, ms(35)), (3, 1));
    assert_eq!(ticks(Missed::Delay, ms(35)), (1, 1));
    // On time all three are the same.
    for missed in [Missed::Skip, Missed::Burst, Missed::Delay] {
        assert_eq!(ticks(missed, ms(10)), (1, 1), "{missed:?}");
    }
}

#[test]
fn delay_counts_from_the_handling_and_skip_keeps_to_the_multiples() {
    for (missed, next) in [(Missed::Skip, 5), (Missed::Delay, 10)] {
        let (system, hand) = stepped();
        let log = Log::new();
        let one = spawn(&system, &log);
        one.tell(does(move || {
            Plan::every_with(1, ms(10), Msg::Say(1), missed)
        }))
        .unwrap();
        system.run_until_idle();
        hand.advance(ms(35));
        system.run_until_idle();
        assert_eq!(log.take().len(), 1);
        hand.advance(ms(next - 1));
        system.run_until_idle();
        assert_eq!(log.len(), 0, "{missed:?}");
        hand.advance(ms(2));
        system.run_until_idle();
        assert_eq!(log.len(), 1, "{missed:?}");
    }
}

#[test]
fn timers_die_with_their_actor() {
    let (system, hand) = stepped();
    let log = Log::new();
    let alive = Alive::new();
    let one = spawn(&system, &log);
    let kept = alive.one();
    one.tell(does(move || {
        Plan::every(1, ms(5), Msg::Say(1)).and(Plan::after(
            2,
            ms(5),
            does(move || {
                drop(kept);
                say(2)
            }),
        ))
    }))
    .unwrap();
    system.run_until_idle();
    one.stop();
    system.run_until_idle();
    assert_eq!(alive.count(), 0, "dropped with the actor");
    // Its cell's next owner hears nothing of them.
    let next = spawn(&system, &log);
    system.run_until_idle();
    hand.advance(ms(100));
    system.run_until_idle();
    assert_eq!(log.said(), []);
    assert!(next.is_alive());
}

#[test]
fn the_longest_delay_never_fires_and_no_delay_overflows() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(does(|| {
        after(1, Duration::MAX, 1)
            .and(Plan::every(2, Duration::MAX, Msg::Say(2)))
            .and(Plan::every(3, Duration::from_secs(1 << 33), Msg::Say(3)))
    }))
    .unwrap();
    system.run_until_idle();
    hand.advance(Duration::from_secs(100 * 365 * 86_400));
    system.run_until_idle();
    assert_eq!(log.said(), []);
}

#[test]
fn an_interval_of_no_time_does_not_keep_others_from_running() {
    let (system, hand) = stepped();
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    let other = spawn(&system, &its);
    one.tell(does(|| Plan::every(1, Duration::ZERO, Msg::Say(1))))
        .unwrap();
    for n in 0..10 {
        hand.advance(ms(1));
        other.tell(Msg::Say(n)).unwrap();
        let _ = system.run_for(ms(2));
    }
    assert_eq!(its.len(), 10);
}

#[test]
fn ten_thousand_armed_and_cancelled_timers_leave_nothing() {
    let (system, hand) = stepped();
    let alive = Alive::new();
    let one = spawn(&system, &Log::new());
    for i in 0..10_000_u64 {
        let kept = alive.one();
        one.tell(does(move || {
            let late = does(move || {
                drop(kept);
                say(1)
            });
            Plan::after(i, ms(1_000), late)
        }))
        .unwrap();
        one.tell(does(move || Plan::cancel(i))).unwrap();
        system.run_until_idle();
    }
    assert_eq!(alive.count(), 0);
    hand.advance(ms(2_000));
    system.run_until_idle();
}

#[test]
fn on_threads_timers_are_not_early_and_wake_a_sleeping_worker() {
    // Real time is the subject here.
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let log = Log::new();
        for delay in [1, 5, 20, 40] {
            let one = spawn(&system, &log);
            let start = Instant::now();
            one.tell(does(move || {
                Plan::after(
                    1,
                    ms(delay),
                    does(move || {
                        assert!(start.elapsed() >= ms(delay), "early");
                        say(delay)
                    }),
                )
            }))
            .unwrap();
        }
        until("all four", || log.len() == 4);
        // In the order of the delays only where the machine let this thread arm all four at once.
        let mut said = log.said();
        said.sort_unstable();
        assert_eq!(said, [1, 5, 20, 40]);
    }
}

#[test]
fn a_timer_armed_on_one_worker_is_cancelled_from_another() {
    for workers in [2, 4] {
        let system = threads(workers);
        let log = Log::new();
        let actors: Vec<_> = (0..200).map(|_| spawn(&system, &log)).collect();
        for actor in &actors {
            actor.tell(does(|| after(1, ms(30), 1))).unwrap();
        }
        let start = Instant::now();
        for actor in &actors {
            actor.tell(does(|| Plan::cancel(1))).unwrap();
        }
        until("all are cancelled", || {
            actors
                .iter()
                .all(|actor| system.counts(actor.actor()).unwrap().handled >= 2)
        });
        if start.elapsed() < ms(20) {
            std::thread::sleep(ms(50));
            assert_eq!(log.said(), []);
        }
    }
}

fn timers_fired(system: &System) -> u64 {
    system.metrics().workers.iter().map(|one| one.timers).sum()
}

#[test]
fn a_wait_for_room_that_ended_leaves_no_timer_behind() {
    let (system, hand) = stepped_with(Config::builder().mailbox_capacity(1));
    let log = Log::new();
    let (one, other) = (spawn(&system, &log), spawn(&system, &log));
    let to = other.actor();
    one.tell(does(move || Plan::tell(to, Msg::Say(2)))).unwrap();
    other.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1, 2], "it waited and went on");
    hand.advance(Duration::from_secs(86_400));
    system.run_until_idle();
    assert_eq!(timers_fired(&system), 0);
}

#[test]
fn an_asker_that_ended_leaves_no_timer_behind() {
    let (system, hand) = stepped();
    let log = Log::new();
    let (one, other) = (spawn(&system, &log), spawn(&system, &log));
    let to = other.actor();
    for timeout in [ms(9_000), ms(30), ms(500)] {
        one.tell(does(move || {
            Plan::<Script>::ask(to, Msg::Keep)
                .timeout(timeout)
                .on_ok(|_: u64| Msg::Say(1))
                .on_error(|_| Msg::Say(2))
        }))
        .unwrap();
    }
    system.run_until_idle();
    hand.advance(ms(40));
    system.run_until_idle();
    assert_eq!(log.said(), [2]);
    assert_eq!(timers_fired(&system), 1, "one for all three asks");
    one.stop();
    system.run_until_idle();
    hand.advance(Duration::from_secs(86_400));
    system.run_until_idle();
    assert_eq!(log.said(), [2]);
    assert_eq!(timers_fired(&system), 1);
}

#[test]
fn a_plan_without_room_arms_no_timer_cancels_none_and_opens_no_ask() {
    use mainspring::config::WhenFull;
    let (system, hand) = stepped_with(
        Config::builder()
            .mailbox_capacity(1)
            .mailbox_when_full(WhenFull::Refuse),
    );
    let log = Log::new();
    let (one, full) = (spawn(&system, &log), spawn(&system, &log));
    let to = full.actor();
    one.tell(does(|| after(1, ms(5), 1))).unwrap();
    system.run_until_idle();
    one.tell(does(move || {
        Plan::cancel(1)
            .and(after(2, ms(5), 2))
            .and(Plan::<Script>::ask(to, Msg::Ping).on_ok(|_: u64| Msg::Say(3)))
    }))
    .unwrap();
    full.tell(Msg::Say(4)).unwrap();
    system.run_until_idle();
    assert_eq!(system.counts(one.actor()).unwrap().failed, 1);
    hand.advance(ms(6));
    system.run_until_idle();
    assert_eq!(
        log.take(),
        [4, 1],
        "the first timer, and nothing of the plan"
    );
    one.tell(does(move || {
        after(1, ms(5), 1)
            .and(Plan::tell(to, Msg::Say(5)))
            .and(Plan::cancel(1))
    }))
    .unwrap();
    system.run_until_idle();
    hand.advance(ms(6));
    system.run_until_idle();
    assert_eq!(
        log.said(),
        [5],
        "armed, then cancelled, whatever is between"
    );
}

/// An actor with a receive time-out of 10 ms that says 100.
fn quiet(system: &System, log: &Log) -> Actor<Script> {
    let tape = Tape::new(log).start(|_| Plan::receive_timeout(10 * MS, || Msg::Say(100)));
    let one = system.spawn(Script, tape).unwrap();
    system.run_until_idle();
    one
}

const MS: Duration = Duration::from_millis(1);

/// How many timers fired in a system.
fn fired_of(system: &System) -> u64 {
    let workers = system.metrics().workers;
    workers.iter().map(|worker| worker.timers).sum()
}

#[test]
fn a_receive_time_out_comes_once_for_each_silence() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = quiet(&system, &log);
    let pass = |ms: u32| {
        for _ in 0..ms {
            hand.advance(MS);
            system.run_until_idle();
        }
    };
    pass(9);
    assert!(log.said().is_empty(), "never early");
    pass(2);
    assert_eq!(log.take(), [100]);
    pass(50);
    assert!(log.said().is_empty(), "nothing was received since");
    for number in 1..=4 {
        one.tell(Msg::Say(number)).unwrap();
        system.run_until_idle();
        pass(9);
    }
    assert_eq!(log.take(), [1, 2, 3, 4]);
    pass(2);
    assert_eq!(log.take(), [100]);
    // One that is in the mailbox behind a message is out of date.
    one.tell(Msg::Say(5)).unwrap();
    system.run_until_idle();
    hand.advance(8 * MS);
    system.run_until_idle();
    hand.advance(5 * MS);
    one.tell(Msg::Say(6)).unwrap();
    system.run_until_idle();
    let said = log.take();
    assert!(said == [5, 100, 6] || said == [5, 6], "{said:?}");
    pass(12);
    assert_eq!(log.take(), [100]);
}

#[test]
fn what_others_look_at_is_not_received_and_what_is_handled_is() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = quiet(&system, &log);
    one.tell(does(|| {
        Plan::every(1, 4 * MS, Msg::Say(1)).and(Plan::after(2, 30 * MS, Msg::Say(2)))
    }))
    .unwrap();
    let pass = |ms: u32| {
        for _ in 0..ms {
            hand.advance(MS);
            system.run_until_idle();
        }
    };
    pass(31);
    assert!(!log.take().contains(&100), "its own timers are received");
    one.tell(does(|| Plan::cancel(1))).unwrap();
    system.run_until_idle();
    for _ in 0..11 {
        pass(1);
        let _ = one.events(1);
    }
    system.run_until_idle();
    assert_eq!(log.take(), [100], "nobody said anything");
}

#[test]
fn a_receive_time_out_is_replaced_and_ended() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = quiet(&system, &log);
    one.tell(does(|| Plan::receive_timeout(20 * MS, || Msg::Say(200))))
        .unwrap();
    system.run_until_idle();
    hand.advance(15 * MS);
    system.run_until_idle();
    assert!(log.said().is_empty());
    hand.advance(6 * MS);
    system.run_until_idle();
    assert_eq!(log.take(), [200]);
    // Another after its time was up, too.
    one.tell(does(|| Plan::receive_timeout(10 * MS, || Msg::Say(300))))
        .unwrap();
    system.run_until_idle();
    hand.advance(11 * MS);
    system.run_until_idle();
    assert_eq!(log.take(), [300]);
    one.tell(does(Plan::no_receive_timeout)).unwrap();
    system.run_until_idle();
    let fired = fired_of(&system);
    hand.advance(Duration::from_secs(9));
    one.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    hand.advance(Duration::from_secs(9));
    system.run_until_idle();
    assert_eq!(log.take(), [1]);
    assert_eq!(fired_of(&system), fired, "none was left");
    let next = quiet(&system, &log);
    next.stop();
    system.run_until_idle();
    hand.advance(Duration::from_secs(9));
    system.run_until_idle();
    assert!(log.said().is_empty());
    assert_eq!(fired_of(&system), fired, "none was left");
}
