//! Delays and time-outs by key: they end when they should, say how, and leave nothing behind.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{Backoff, ChildSpec, Children, Restart, Strategy, Supervisor};
use mainspring::timers::{
    Delay, DelayMachine, DelayMessage, DelayOutcome, DelayPhase, Delaying, TimeoutMessage,
};
use mainspring::{Ask, AskError, Exit};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// How a delay stands now.
fn look(delay: &mut Delay) -> Poll<DelayOutcome> {
    pin!(delay).poll(&mut Context::from_waker(Waker::noop()))
}

/// The answer of an ask in a system that the test runs.
fn answer<T: Send + 'static>(system: &System, ask: Ask<T>) -> Result<T, AskError> {
    system.run_until_idle();
    ask.wait()
}

#[test]
fn a_delay_completes_when_its_time_has_passed_and_not_before() {
    let (system, hand) = stepped();
    let mut delay = system.delay(ms(50)).unwrap();
    system.run_until_idle();
    hand.advance(ms(49));
    system.run_until_idle();
    assert_eq!(look(&mut delay), Poll::Pending);
    assert_eq!(answer(&system, delay.remaining()), Ok(Some(ms(1))));
    hand.advance(ms(2));
    system.run_until_idle();
    assert_eq!(look(&mut delay), Poll::Ready(DelayOutcome::Completed));
    assert_eq!(system.actors(), 0, "its actor is gone");
}

/// Unparks the thread that runs a task, and counts.
struct Unpark(Thread, AtomicU64);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, SeqCst);
        self.0.unpark();
    }
}

#[test]
fn a_delay_is_waited_for_by_a_thread_and_awaited_by_an_executor() {
    let system = threads(2);
    assert_eq!(system.delay(ms(2)).unwrap().wait(), DelayOutcome::Completed);
    // The smallest executor: it polls only when it was woken.
    let unpark = Arc::new(Unpark(thread::current(), AtomicU64::new(0)));
    let waker = Waker::from(unpark.clone());
    let mut task = pin!(async { system.delay(ms(2)).unwrap().await });
    let mut polls = 0;
    let outcome = loop {
        polls += 1;
        if let Poll::Ready(outcome) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            break outcome;
        }
        while unpark.1.load(SeqCst) < polls {
            thread::park();
        }
    };
    assert_eq!(outcome, DelayOutcome::Completed);
}

#[test]
fn a_delay_actor_is_inert_until_it_is_started() {
    let (system, hand) = stepped();
    let mut delay = system.delay_actor(ms(5)).unwrap();
    system.run_until_idle();
    hand.advance(ms(100));
    assert_eq!(answer(&system, delay.remaining()), Ok(None));
    let machine = answer(&system, delay.actor().snapshot()).unwrap();
    assert_eq!(machine.phase(), DelayPhase::Inert);
    assert_eq!(look(&mut delay), Poll::Pending);
    assert!(delay.start());
    system.run_until_idle();
    hand.advance(ms(3));
    delay.start(); // the second start moves nothing
    let machine = answer(&system, delay.actor().snapshot()).unwrap();
    assert_eq!(machine.phase(), DelayPhase::Running { until: ms(105) });
    assert_eq!(machine.length(), ms(5));
    hand.advance(ms(3));
    system.run_until_idle();
    assert_eq!(look(&mut delay), Poll::Ready(DelayOutcome::Completed));
    assert!(!delay.start(), "it is over");
}

#[test]
fn a_cancellation_and_the_time_cannot_both_win() {
    let (system, hand) = stepped();
    // Cancelled while it runs.
    let mut delay = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    assert_eq!(answer(&system, delay.cancel()), Ok(true));
    hand.advance(ms(50));
    system.run_until_idle();
    assert_eq!(look(&mut delay), Poll::Ready(DelayOutcome::Cancelled));
    // Before it was started.
    let delay = system.delay_actor(ms(5)).unwrap();
    assert_eq!(answer(&system, delay.cancel()), Ok(false));
    assert_eq!(delay.wait(), DelayOutcome::Cancelled);
    // After its time.
    let delay = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    hand.advance(ms(6));
    system.run_until_idle();
    assert_eq!(answer(&system, delay.cancel()), Err(AskError::Stopped));
    assert_eq!(delay.wait(), DelayOutcome::Completed);
    // Both at once: whichever comes first into the mailbox.
    let delay = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    hand.advance(ms(6));
    let cancelled = answer(&system, delay.cancel());
    match delay.wait() {
        DelayOutcome::Completed => assert_eq!(cancelled, Err(AskError::Stopped)),
        DelayOutcome::Cancelled => assert_eq!(cancelled, Ok(true)),
    }
}

#[test]
fn whoever_waits_for_a_delay_learns_how_it_ended() {
    let (system, hand) = stepped();
    let delay = system.delay(ms(5)).unwrap();
    let others = [0; 3].map(|_| delay.actor().ask(DelayMessage::Wait));
    let end = delay.actor().monitor();
    system.run_until_idle();
    hand.advance(ms(6));
    system.run_until_idle();
    for other in others {
        assert_eq!(other.wait(), Ok(DelayOutcome::Completed));
    }
    assert_eq!(end.wait().exit, Exit::Stopped("completed".into()));
    assert_eq!(delay.wait(), DelayOutcome::Completed);
    // A stop, a kill and the end of the system cancel it.
    let delay = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    let other = delay.actor().ask(DelayMessage::Wait);
    system.run_until_idle();
    assert!(delay.stop());
    assert_eq!(answer(&system, other), Ok(DelayOutcome::Cancelled));
    assert_eq!(delay.wait(), DelayOutcome::Cancelled);
    let delay = system.delay(ms(5)).unwrap();
    delay.actor().kill();
    system.run_until_idle();
    assert_eq!(delay.wait(), DelayOutcome::Cancelled);
    let delay = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    drop(system);
    assert_eq!(delay.wait(), DelayOutcome::Cancelled);
}

#[test]
fn a_delay_that_finds_no_timer_is_cancelled_at_once() {
    let (system, _hand) = stepped_with(Config::builder().max_timers(1));
    let first = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    let mut second = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    assert_eq!(look(&mut second), Poll::Ready(DelayOutcome::Cancelled));
    drop(first);
    system.run_until_idle();
    let mut third = system.delay(ms(5)).unwrap();
    system.run_until_idle();
    assert_eq!(look(&mut third), Poll::Pending);
}

#[test]
fn a_supervised_delay_begins_anew_after_a_crash_and_is_done_once() {
    let (system, hand) = stepped();
    let spec = ChildSpec::new("delay", |_| (Delaying, DelayMachine::new(ms(50)).started()));
    let spec = spec
        .named("delay")
        .restart(Restart::Transient)
        .backoff(Backoff::NONE);
    let children = Children::new(Strategy::OneForOne, [spec]);
    let _supervisor = system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let delay = system.whereis::<DelayMessage>("delay").unwrap();
    let end = delay.monitor();
    hand.advance(ms(40));
    system.run_until_idle();
    assert!(delay.kill());
    system.run_until_idle();
    hand.advance(ms(40));
    let left = answer(&system, delay.ask(DelayMessage::Remaining));
    assert_eq!(left, Ok(Some(ms(10))), "its time began anew");
    hand.advance(ms(11));
    system.run_until_idle();
    assert!(system.whereis::<DelayMessage>("delay").is_none());
    assert_eq!(end.wait().exit, Exit::Stopped("completed".into()));
}

/// Who was first, of an ask and a delay.
fn race(answers_after_ms: u64, delay_ms: u64) -> Vec<u64> {
    let (system, hand) = stepped();
    let log = Log::new();
    let slow = spawn(&system, &Log::new());
    let asker = spawn(&system, &log);
    let kept = move |reply: Reply<u64>| {
        act(move |_| {
            let reply = reply.defer();
            let answer = does(move || Plan::reply_deferred(&reply, 1));
            Plan::after(1, ms(answers_after_ms), answer)
        })
    };
    let slow = slow.actor();
    asker
        .tell(does(move || {
            let won = |number| {
                // The first one calls the other off.
                does(move || say(number).and(Plan::cancel("late")).and(Plan::stop()))
            };
            Plan::ask(slow, kept)
                .on_ok(won)
                .on_error(|error| does(move || panic!("{error}")))
                .and(Plan::after("late", ms(delay_ms), won(2)))
        }))
        .unwrap();
    system.run_until_idle();
    for _ in 0..100 {
        hand.advance(ms(100));
        system.run_until_idle();
    }
    log.take()
}

#[test]
fn an_ask_and_a_delay_race_without_two_winners() {
    assert_eq!(race(4_500, 5_000), [1]);
    assert_eq!(race(4_800, 4_500), [2]);
}

#[test]
fn a_time_out_is_sent_once_unless_it_was_cancelled_and_the_cancel_says_so() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log).actor();
    let timeouts = system.timeouts::<String, Msg>().unwrap();
    let schedule = |key: &str, after, number| {
        let message = Msg::Say(number);
        timeouts
            .schedule(key.into(), ms(after), one, message)
            .unwrap();
    };
    schedule("first", 10, 1);
    schedule("second", 20, 2);
    schedule("third", 30, 3);
    schedule("third", 60, 4); // in place of the one before
    assert_eq!(answer(&system, timeouts.count()), Ok(3));
    hand.advance(ms(11));
    system.run_until_idle();
    assert_eq!(log.take(), [1]);
    assert_eq!(answer(&system, timeouts.cancel("first".into())), Ok(false));
    assert_eq!(answer(&system, timeouts.cancel("second".into())), Ok(true));
    assert_eq!(answer(&system, timeouts.cancel("second".into())), Ok(false));
    hand.advance(ms(40));
    system.run_until_idle();
    assert_eq!(log.take(), []);
    hand.advance(ms(20));
    system.run_until_idle();
    assert_eq!(log.take(), [4]);
    assert_eq!(answer(&system, timeouts.count()), Ok(0));
}

#[test]
fn time_outs_end_by_clear_and_with_their_manager() {
    let (system, hand) = stepped();
    let log = Log::new();
    let alive = Alive::new();
    let one = spawn(&system, &log).actor();
    let timeouts = system.timeouts::<u64, Msg>().unwrap();
    let arm = |count: u64| {
        for key in 0..count {
            let kept = alive.one();
            let message = does(move || {
                drop(kept);
                say(key)
            });
            timeouts.schedule(key, ms(5), one, message).unwrap();
        }
        system.run_until_idle();
    };
    arm(40);
    assert_eq!(alive.count(), 40);
    assert_eq!(answer(&system, timeouts.clear()), Ok(40));
    assert_eq!(alive.count(), 0, "what would be sent is gone at once");
    assert_eq!(answer(&system, timeouts.clear()), Ok(0));
    arm(7);
    let table = answer(&system, timeouts.actor().snapshot()).unwrap();
    assert!(table.is_armed(&6) && !table.is_armed(&7) && !table.is_empty());
    drop(timeouts);
    system.run_until_idle();
    assert_eq!(alive.count(), 0);
    hand.advance(ms(50));
    system.run_until_idle();
    assert_eq!(log.said(), []);
}

#[test]
fn an_actor_has_time_outs_too() {
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    let timeouts = system.timeouts::<u64, Msg>().unwrap();
    let manager = timeouts.actor().actor();
    one.tell(act(move |me| {
        let to = me.me();
        Plan::tell(
            manager,
            TimeoutMessage::Schedule {
                key: 1,
                delay: ms(5),
                to,
                message: Msg::Say(1),
            },
        )
        .and(
            Plan::ask(manager, |reply| TimeoutMessage::Cancel(2, reply))
                .on_ok(|was_armed| Msg::Say(if was_armed { 20 } else { 10 })),
        )
    }))
    .unwrap();
    system.run_until_idle();
    hand.advance(ms(6));
    system.run_until_idle();
    assert_eq!(log.said(), [10, 1]);
    // Nobody of another system can be scheduled for: the table keeps nothing of it.
    let (other, _) = stepped();
    let stranger = spawn(&other, &log).actor();
    timeouts.schedule(9, ms(5), stranger, Msg::Say(9)).unwrap();
    assert_eq!(answer(&system, timeouts.count()), Ok(0));
    assert_eq!(system.dead_letter_count(), 1);
}

/// Bytes that the system holds.
fn held(system: &System) -> u64 {
    let memory = system.metrics().memory;
    memory.envelopes_bytes + memory.cells_bytes
}

#[test]
fn a_million_timers_and_delays_leave_nothing_behind() {
    let (system, hand) = stepped();
    let one = spawn(&system, &Log::new());
    let mut after_first = None;
    // A round is 25,000 timers: armed and cancelled, armed and replaced, fired, and of delays that
    // are cancelled, completed and dropped.
    for round in 0..40 {
        for _ in 0..24 {
            one.tell(does(|| {
                let arm = |key| Plan::after(key, ms(5), does(Plan::none));
                (0..500).map(arm).fold(Plan::none(), Plan::and)
            }))
            .unwrap();
            one.tell(does(|| {
                let change = |key| match key % 2 {
                    0 => Plan::cancel(key),
                    _ => Plan::after(key, ms(7), does(Plan::none)),
                };
                (0..1000).map(change).fold(Plan::none(), Plan::and)
            }))
            .unwrap();
            system.run_until_idle();
        }
        let mut delays: Vec<Delay> = (0..1000).map(|_| system.delay(ms(5)).unwrap()).collect();
        system.run_until_idle();
        delays.truncate(500);
        let cancelled: Vec<_> = delays.iter().step_by(2).map(Delay::cancel).collect();
        system.run_until_idle();
        hand.advance(ms(10));
        system.run_until_idle();
        for cancelled in cancelled {
            assert_eq!(cancelled.wait(), Ok(true));
        }
        let completed = delays.into_iter().map(Delay::wait);
        let completed = completed.filter(|outcome| *outcome == DelayOutcome::Completed);
        assert_eq!(completed.count(), 250);
        assert_eq!(system.actors(), 1);
        // The first rounds find out how much is kept for reuse.
        if round >= 4 {
            let first = *after_first.get_or_insert(held(&system));
            assert_eq!(held(&system), first, "round {round}");
        }
    }
}
