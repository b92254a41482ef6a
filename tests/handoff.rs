//! What waits behind a turn that does not end is done meanwhile: by whom, and what becomes of the
//! thread that was stuck.

mod common;
use common::*;
use mainspring::AskError;
use mainspring::config::Builder;
use mainspring::prelude::*;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Whether others reach what a stuck worker holds. Where they don't, its tests have nothing to show,
/// and say so beside the captured output; what thieves do there is `tests/watchdog.rs`.
fn hands_off() -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::io::Write as _;
        let wanted = libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED;
        // SAFETY: the call takes two numbers and touches no memory.
        #[allow(unsafe_code)]
        let there =
            unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_QUERY, 0, 0) };
        if there < 0 || there & libc::c_long::from(wanted) == 0 {
            let mut output = std::io::stderr();
            writeln!(
                output,
                "SKIPPED: no hand-off, this system has no membarrier"
            )
            .unwrap();
            return false;
        }
    }
    true
}

/// One worker, so that nobody can steal.
fn one_worker() -> Builder {
    Config::builder()
        .workers(1)
        .slice(Duration::from_micros(50))
        .watchdog_stuck(Duration::from_micros(100))
}

fn system(builder: Builder) -> System {
    System::with_config(builder.build().unwrap()).unwrap()
}

/// A turn that ends when the receiver gets something.
fn until_told(end: Receiver<u64>, log: Log) -> Msg {
    does(move || {
        log.say(end.recv_timeout(Duration::from_secs(60)).unwrap());
        Plan::none()
    })
}

/// Tells the sender's end a number.
fn tells(end: Sender<u64>, number: u64) -> Msg {
    does(move || {
        end.send(number).unwrap();
        Plan::none()
    })
}

/// A turn that sends the messages to its own actor, so that one batch handles them.
fn in_one_batch(messages: Vec<Msg>) -> Msg {
    act(move |me| {
        let me = me.me();
        let plans = messages.into_iter().map(|message| Plan::tell(me, message));
        plans.fold(Plan::none(), Plan::and)
    })
}

#[test]
fn a_turn_may_wait_for_what_its_own_worker_has_still_to_run() {
    if !hands_off() {
        return;
    }
    let system = system(one_worker());
    let log = Log::new();
    let (stuck, other) = (spawn(&system, &log), spawn(&system, &log));
    let to = other.actor();
    for round in 0..100 {
        let (tell, told) = channel();
        // The first of the batch wakes the other: it is in the LIFO slot, or not published yet.
        let wakes = does(move || Plan::tell(to, tells(tell, round)));
        let batch = in_one_batch(vec![wakes, until_told(told, log.clone())]);
        stuck.tell(batch).unwrap();
    }
    until("each turn ends", || log.len() == 100);
    assert_eq!(log.said(), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_a_batch_sent_before_a_long_turn_arrives_in_order_and_once() {
    if !hands_off() {
        return;
    }
    let system = system(one_worker());
    let log = Log::new();
    let (stuck, other) = (spawn(&system, &Log::new()), spawn(&system, &log));
    let to = other.actor();
    for round in 0..100 {
        let (tell, told) = channel();
        let mut batch: Vec<_> = (0..5)
            .map(|n| does(move || Plan::tell(to, Msg::Say(10 * round + n))))
            .collect();
        batch.push(does(move || Plan::tell(to, tells(tell, 0))));
        batch.push(until_told(told, Log::new()));
        batch.push(does(move || Plan::tell(to, Msg::Say(10 * round + 5))));
        stuck.tell(in_one_batch(batch)).unwrap();
    }
    until("all arrived", || log.len() == 600);
    let sent = (0..100).flat_map(|round| (0..6).map(move |n| 10 * round + n));
    assert_eq!(log.said(), sent.collect::<Vec<_>>());
}

#[test]
fn ten_thousand_turns_that_wait_for_others_all_end() {
    if !hands_off() {
        return;
    }
    const ROUNDS: u64 = 10_000;
    /// A batch: what wakes the other, what waits for it, and the next round.
    fn round(left: u64, to: ActorRef<Msg>, end: Sender<u64>) -> Msg {
        act(move |me| {
            let me = me.me();
            if left == 0 {
                end.send(0).unwrap();
                return Plan::none();
            }
            let (tell, told) = channel();
            let wakes = does(move || Plan::tell(to, tells(tell, left)));
            Plan::tell(me, wakes)
                .and(Plan::tell(me, until_told(told, Log::new())))
                .and(Plan::tell(me, round(left - 1, to, end)))
        })
    }
    let system = system(one_worker());
    let log = Log::new();
    let (stuck, other) = (spawn(&system, &log), spawn(&system, &log));
    let (end, ended) = channel();
    stuck.tell(round(ROUNDS, other.actor(), end)).unwrap();
    // Some seconds; longer only where the machine is busy with other things.
    ended.recv_timeout(Duration::from_secs(600)).unwrap();
    let workers = system.metrics().workers;
    assert_eq!(workers.len(), 2, "a worker and its spare");
    let result = system.shutdown(ms(10_000));
    assert_eq!((result.workers_stuck, result.actors_left), (0, 0));
}

#[test]
fn timers_of_a_stuck_worker_fire() {
    if !hands_off() {
        return;
    }
    let system = system(one_worker());
    let log = Log::new();
    let (stuck, other) = (spawn(&system, &log), spawn(&system, &log));
    let (tell, told) = channel();
    other
        .tell(does(move || Plan::after(1, ms(5), tells(tell, 1))))
        .unwrap();
    stuck.tell(until_told(told, log.clone())).unwrap();
    until("the timer ends the turn", || log.len() == 1);

    // An interval, whose ticks its actor arms anew wherever it runs.
    let (ticks, ticked) = channel();
    other
        .tell(does(move || Plan::every(2, ms(1), Msg::Say(2))))
        .unwrap();
    let seen = log.clone();
    stuck
        .tell(does(move || {
            until("the interval goes on", || seen.len() >= 6);
            ticks.send(()).unwrap();
            Plan::none()
        }))
        .unwrap();
    ticked.recv_timeout(Duration::from_secs(60)).unwrap();
    other.tell(does(|| Plan::cancel(2).and(say(3)))).unwrap();
    until("the interval ends", || log.said().contains(&3));
    let last = log.said().len();
    // Other timers still come, on whichever wheel; the cancelled one does not.
    other
        .tell(does(|| Plan::after(4, ms(20), Msg::Say(4))))
        .unwrap();
    until("a later timer", || log.said().contains(&4));
    assert_eq!(log.said()[last..], [4]);
}

#[test]
fn an_ask_behind_a_stuck_turn_times_out() {
    if !hands_off() {
        return;
    }
    let system = system(one_worker());
    let log = Log::new();
    let (stuck, asker) = (spawn(&system, &log), spawn(&system, &log));
    let (tell, told) = channel();
    let to = stuck.actor();
    let (entered, has_entered) = channel();
    stuck
        .tell(does(move || {
            entered.send(()).unwrap();
            let number = told.recv_timeout(Duration::from_secs(60)).unwrap();
            say(number)
        }))
        .unwrap();
    has_entered.recv_timeout(Duration::from_secs(60)).unwrap();
    asker
        .tell(does(move || {
            Plan::ask(to, Msg::Ping)
                .timeout(ms(5))
                .on_ok(|_| Msg::Say(1))
                .on_error(move |error| {
                    assert!(matches!(error, AskError::Timeout { .. }), "{error:?}");
                    tells(tell, 2)
                })
        }))
        .unwrap();
    until("the turn ends", || log.len() == 1);
    assert_eq!(log.said(), [2]);
}

#[test]
fn at_shutdown_what_is_queued_behind_a_stuck_turn_is_drained() {
    if !hands_off() {
        return;
    }
    let system = system(one_worker());
    let log = Log::new();
    let (entered, has_entered) = channel();
    let (gate, wait) = channel::<()>();
    let stuck = spawn(&system, &log);
    stuck
        .tell(does(move || {
            entered.send(()).unwrap();
            let _ = wait.recv();
            Plan::none()
        }))
        .unwrap();
    has_entered.recv_timeout(Duration::from_secs(60)).unwrap();
    for n in 0..10 {
        spawn(&system, &log).tell(Msg::Say(n)).unwrap();
    }
    until("the others run", || log.len() == 10);
    let result = system.shutdown(ms(100));
    assert_eq!((result.workers_stuck, result.actors_left), (1, 1));
    drop(gate);
}
