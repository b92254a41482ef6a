//! Every setting does what it says. Here are those that no other promise's test turns.

mod common;
use common::*;
use mainspring::Cause;
use mainspring::config::Builder;
use mainspring::prelude::*;
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Runs one turn.
fn turn(system: &System) {
    let _ = system.run_for(Duration::ZERO);
}

/// An actor that has started and has nothing to do.
fn resting(system: &System, log: &Log) -> Actor<Script> {
    let actor = spawn(system, log);
    system.run_until_idle();
    actor
}

/// Passes a ball to and fro for ever; each pass is said.
fn ball(other: ActorRef<Msg>, passes: u64) -> Msg {
    act(move |me| {
        let next = ball(me.me(), passes + 1);
        say(passes).and(Plan::tell(other, next))
    })
}

/// Tells itself again and again; each time is said.
fn again() -> Msg {
    act(|me| say(0).and(Plan::tell(me.me(), again())))
}

#[test]
fn the_system_is_known_by_its_name() {
    let system = |builder: Builder| stepped_with(builder).0;
    assert_eq!(system(Config::builder()).name(), "mainspring");
    let named = system(Config::builder().name("orders"));
    assert_eq!(named.name(), "orders");
    assert_eq!(named.metrics().system, "orders");
    let shown = format!("{named:?}");
    assert!(shown.contains("orders"), "{shown}");
}

#[test]
fn as_many_dead_letters_are_kept_as_the_capacity_says_and_all_are_counted() {
    for (capacity, kept) in [(0, 0), (1, 1), (3, 3), (100, 5)] {
        let (system, _) = stepped_with(Config::builder().dead_letter_capacity(capacity));
        let dead = resting(&system, &Log::new());
        dead.kill();
        system.run_until_idle();
        let gone = dead.actor();
        let one = resting(&system, &Log::new());
        for _ in 0..4 {
            one.tell(does(move || Plan::tell(gone, Msg::Say(0))))
                .unwrap();
        }
        one.tell(does(Plan::unhandled)).unwrap();
        system.run_until_idle();
        let letters = system.dead_letters();
        assert_eq!((letters.len(), system.dead_letter_count()), (kept, 5));
        // The latest are kept, the oldest of them first.
        let last = letters.last().map(|letter| &letter.cause);
        assert_eq!(last, (kept > 0).then_some(&Cause::Unhandled));
        let others = letters.iter().rev().skip(1);
        assert!(
            others
                .into_iter()
                .all(|letter| letter.cause == Cause::Stopped)
        );
    }
}

#[test]
fn a_turn_handles_as_many_messages_as_the_throughput_says() {
    for throughput in [1, 2, 5, 64, 100] {
        let (system, _) = stepped_with(Config::builder().throughput(throughput));
        let log = Log::new();
        let one = resting(&system, &log);
        for n in 0..200 {
            one.tell(Msg::Say(n)).unwrap();
        }
        turn(&system);
        assert_eq!(log.len(), throughput);
        turn(&system);
        assert_eq!(log.len(), (2 * throughput).min(200));
    }
}

#[test]
fn the_lifo_slot_takes_as_many_turns_in_a_row_as_its_cap_says() {
    for cap in [0, 1, 3, 10] {
        let (system, _) = stepped_with(Config::builder().lifo_cap(cap));
        let (passes, waited) = (Log::new(), Log::new());
        let [first, one, two] = [(); 3].map(|()| resting(&system, &passes));
        let third = resting(&system, &waited).actor();
        let (one, two) = (one.actor(), two.actor());
        // The third waits in the queue, and the two who pass a ball keep to the slot.
        first
            .tell(does(move || {
                Plan::tell(third, Msg::Say(0)).and(Plan::tell(one, ball(two, 1)))
            }))
            .unwrap();
        turn(&system);
        assert_eq!((passes.len(), waited.len()), (0, 0));
        while waited.len() == 0 {
            turn(&system);
        }
        assert_eq!(passes.len(), cap);
    }
}

#[test]
fn a_busy_worker_looks_at_the_injector_once_in_every_interval() {
    for interval in [1, 2, 7, 61] {
        let (system, _) = stepped_with(Config::builder().injector_interval(interval));
        let (busy, waited) = (Log::new(), Log::new());
        let one = resting(&system, &busy);
        let other = resting(&system, &waited);
        one.tell(again()).unwrap();
        turn(&system);
        // The first wait begins anywhere in an interval, the second at its begin.
        for round in 1..=2 {
            busy.take();
            other.tell(Msg::Say(0)).unwrap();
            while waited.len() < round {
                turn(&system);
                assert!(busy.len() <= interval, "the injector was left alone");
            }
        }
        assert_eq!(busy.len(), interval - 1);
    }
}

#[test]
fn a_system_that_is_dropped_gives_its_actors_the_shutdown_timeout() {
    for (timeout, said) in [(Duration::ZERO, 0), (Duration::from_secs(60), 10)] {
        let (system, _) = stepped_with(Config::builder().shutdown_timeout(timeout));
        let log = Log::new();
        let one = resting(&system, &log);
        for n in 0..10 {
            one.tell(Msg::Say(n)).unwrap();
        }
        drop(system);
        assert_eq!(log.len(), said);
    }
}

/// Uses 64 KiB of stack at least, and a few times that when not optimized, for each of `depth` calls.
fn deep(depth: u64) -> u64 {
    let frame = black_box([depth; 8 * 1024]);
    match depth {
        0 => frame[7],
        _ => deep(depth - 1) + black_box(&frame)[8 * 1024 - 1],
    }
}

#[test]
fn a_handler_may_use_the_stack_that_the_worker_was_given() {
    // 8 MiB at least: with the default of 2 MiB it ends the process.
    let config = Config::builder().workers(1).stack_bytes(64 << 20);
    let system = System::with_config(config.build().unwrap()).unwrap();
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(does(|| say(deep(128)))).unwrap();
    one.ask(Msg::Ping).wait().unwrap();
    assert_eq!(log.said(), [128 * 129 / 2]);
}

/// A system of two workers and an actor that is in a turn until the sender is dropped.
fn in_a_long_turn(builder: Builder) -> (System, std::sync::mpsc::Sender<()>) {
    let system = System::with_config(builder.workers(2).build().unwrap()).unwrap();
    let (end, wait) = channel::<()>();
    let one = spawn(&system, &Log::new());
    one.tell(does(move || {
        let _ = wait.recv();
        Plan::none()
    }))
    .unwrap();
    (system, end)
}

fn long_turns(system: &System) -> u64 {
    let workers = system.metrics().workers;
    workers.iter().map(|worker| worker.long_turns).sum()
}

#[test]
fn a_turn_counts_as_long_from_the_time_that_the_watchdog_warns_at() {
    let config = Config::builder().watchdog_warn(Duration::from_secs(3_600));
    let (patient, end_of_first) = in_a_long_turn(config);
    let config = Config::builder().watchdog_warn(ms(1));
    let (strict, end_of_second) = in_a_long_turn(config);
    until("the long turn is reported", || long_turns(&strict) == 1);
    // Its turn began before the other's.
    assert_eq!(long_turns(&patient), 0);
    drop((end_of_first, end_of_second));
}

/// How long an actor waits that is queued behind a turn which only ends after it has run.
fn wait_behind_a_turn(system: &System) -> Duration {
    let [first, long, other] = [(); 3].map(|()| spawn(system, &Log::new()));
    let (long, other) = (long.actor(), other.actor());
    let (ran, its_run) = channel();
    let (tell, told) = channel();
    first.ask(Msg::Ping).wait().unwrap();
    first
        .tell(does(move || {
            let short = does(move || {
                ran.send(Instant::now()).unwrap();
                Plan::none()
            });
            let long_turn = does(move || {
                let began = Instant::now();
                let ran = its_run.recv_timeout(Duration::from_secs(60)).unwrap();
                tell.send(ran - began).unwrap();
                Plan::none()
            });
            Plan::tell(long, long_turn).and(Plan::tell(other, short))
        }))
        .unwrap();
    told.recv_timeout(Duration::from_secs(60)).unwrap()
}

#[test]
fn what_waits_behind_a_turn_is_handed_over_when_the_turn_counts_as_stuck() {
    const STUCK: Duration = Duration::from_millis(60);
    // A worker that happens to be awake takes what waits much sooner: hence no spinning, and
    // another try. One that sleeps is woken by the watchdog.
    let config = Config::builder()
        .workers(2)
        .spin(Duration::ZERO)
        .lifo_cap(0)
        .watchdog_stuck(STUCK);
    let system = System::with_config(config.build().unwrap()).unwrap();
    assert!((0..50).any(|_| wait_behind_a_turn(&system) >= STUCK));
}

#[cfg(feature = "compute")]
mod compute {
    use super::*;
    use mainspring::CancelToken;
    use mainspring::config::Pinning;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};

    /// Runs `job` as `count` compute steps, and waits for them.
    fn compute(builder: Builder, count: usize, job: impl Fn() + Send + Sync + 'static) {
        let system = System::with_config(builder.workers(1).build().unwrap()).unwrap();
        let (job, log) = (Arc::new(job), Log::new());
        let one = spawn(&system, &log);
        for _ in 0..count {
            let job = job.clone();
            one.tell(does(move || {
                Plan::compute(
                    move |_| job(),
                    CancelToken::new(),
                    |done| {
                        done.unwrap();
                        Msg::Say(0)
                    },
                )
            }))
            .unwrap();
        }
        until("all jobs are done", || log.len() == count);
    }

    #[test]
    fn as_many_jobs_run_at_once_as_there_are_compute_threads() {
        // Three that wait for each other can only end together.
        let meeting = Barrier::new(3);
        compute(Config::builder().compute_threads(3), 3, move || {
            meeting.wait();
        });

        let (running, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        compute(Config::builder().compute_threads(1), 50, move || {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, SeqCst);
        });
        assert_eq!(seen.load(SeqCst), 1);
    }

    /// The cores that the calling thread may use, as Linux writes them.
    #[cfg(target_os = "linux")]
    fn own_cores() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("Cpus_allowed_list:"));
        line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
    }

    #[test]
    #[cfg(all(target_os = "linux", feature = "affinity"))]
    fn compute_threads_run_on_the_cores_that_their_pinning_lists() {
        let all = own_cores();
        let digits = |c: char| !c.is_ascii_digit();
        let last: usize = all.rsplit(digits).next().unwrap().parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for pinning in [Pinning::None, Pinning::Cores(vec![last])] {
            let seen = seen.clone();
            let config = Config::builder()
                .compute_threads(1)
                .compute_pinning(pinning);
            compute(config, 1, move || seen.lock().unwrap().push(own_cores()));
        }
        assert_eq!(*seen.lock().unwrap(), [all, last.to_string()]);
    }
}
