//! Closed workloads of all kinds on threads, round after round with another seed: exact counts, and
//! nothing that grows. No time of the runtime's ends a wait here: whatever is lost is a hang, which
//! the guard tells of. `.ci/soak MINUTES` runs it for long, and `MAINSPRING_SOAK_SECONDS` says for
//! how long it is otherwise.

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/guard.rs"]
mod guard;

use common::*;
use counting::BYTES;
use guard::{Goal, Guard};
use mainspring::prelude::*;
use mainspring::supervise::{Backoff, ChildSpec, Children, Strategy, Supervisor};
use mainspring::{Cause, DeadLetter, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
const HOUR: Duration = Duration::from_secs(3_600);

/// The round's numbers: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn config(numbers: &mut Numbers) -> Config {
    Config::builder()
        .workers(numbers.one_of(&[1, 2, 3, 8]))
        .mailbox_capacity(numbers.one_of(&[1, 2, 64, 1_024]))
        .throughput(numbers.one_of(&[1, 3, 64]))
        .spin(numbers.one_of(&[Duration::ZERO, Duration::from_micros(50)]))
        .lifo_cap(numbers.one_of(&[0, 3]))
        // Of help where something is lost, if they were short.
        .ask_timeout(YEAR)
        .mailbox_commit_deadline(YEAR)
        .watchdog_warn(HOUR)
        .watchdog_stuck(numbers.one_of(&[ms(1), HOUR]))
        .build()
        .unwrap()
}

/// Tells: hops over a mesh.
fn hop(all: Arc<Vec<ActorRef<Msg>>>, seed: u64, left: u64, goal: Goal) -> Msg {
    does(move || {
        goal.hit();
        if left == 0 {
            return Plan::none();
        }
        let mut numbers = Numbers(seed);
        let to = numbers.one_of(&all);
        Plan::tell(to, hop(all, numbers.0, left - 1, goal))
    })
}

/// Asks, one after the other.
fn question(to: ActorRef<Msg>, left: u64, goal: Goal) -> Msg {
    does(move || {
        if left == 0 {
            return Plan::none();
        }
        Plan::<Script>::ask(to, Msg::Ping)
            .on_ok(move |answer| {
                assert_eq!(answer, 7);
                goal.hit();
                question(to, left - 1, goal.clone())
            })
            .into()
    })
}

/// Timers: each arms the next, and one that the next cancels. `stale` was set by the turn before the
/// cancel's commit, so whoever hears of the canceled one after it is wrong.
fn tick(seed: u64, left: u64, goal: Goal, stale: Arc<AtomicBool>) -> Msg {
    does(move || {
        goal.hit();
        stale.store(true, Relaxed);
        let mut numbers = Numbers(seed);
        let delay = ms(numbers.below(3));
        let late = delay + ms(1 + numbers.below(2));
        if left == 0 {
            return Plan::cancel(2);
        }
        let stale = Arc::new(AtomicBool::new(false));
        let next = tick(numbers.0, left - 1, goal, stale.clone());
        let canceled = does(move || {
            assert!(!stale.load(Relaxed), "a timer is handled after its cancel");
            Plan::none()
        });
        Plan::cancel(2)
            .and(Plan::after(1, delay, next))
            .and(Plan::after(2, late, canceled))
    })
}

/// Children: made, told, stopped and seen to end, one after the other.
fn child(left: u64, goal: Goal) -> Msg {
    act(move |me| {
        if left == 0 {
            return Plan::none();
        }
        let parent = me.me();
        Plan::<Script>::spawn(Script, Tape::default()).then(move |born| {
            let (told, ended) = (goal.clone(), goal.clone());
            let job = does(move || {
                told.hit();
                Plan::stop()
            });
            Plan::<Script>::tell(born, job).and(Plan::monitor(born, move |down| {
                assert!(down.exit.is_normal(), "{down:?}");
                ended.hit();
                let next = child(left - 1, goal);
                does(move || Plan::tell(parent, next))
            }))
        })
    })
}

/// Mailboxes that are full all the time.
fn spoke(hub: ActorRef<Msg>, left: u64, goal: Goal) -> Msg {
    act(move |me| {
        let counted = goal.clone();
        let told = does(move || {
            counted.hit();
            Plan::none()
        });
        let told = Plan::tell(hub, told);
        match left {
            0 => told,
            left => told.and(Plan::tell(me.me(), spoke(hub, left - 1, goal))),
        }
    })
}

/// Dead letters.
fn in_vain(nobody: ActorRef<Msg>, left: u64, goal: Goal) -> Msg {
    act(move |me| {
        goal.hit();
        let told = Plan::tell(nobody, Msg::Say(left));
        match left {
            0 => told,
            left => told.and(Plan::tell(me.me(), in_vain(nobody, left - 1, goal))),
        }
    })
}

const RESTARTS: u64 = 8;

/// A child that fails again and again, and is told more at the same address.
fn restarts(system: &System, name: &str, starts: Goal, goal: &Goal) {
    let make = move |_| {
        starts.hit();
        (Script, Tape::default())
    };
    let spec = ChildSpec::new(name, make)
        .named(name)
        .backoff(Backoff::NONE)
        .intensity(1_000, ms(10));
    let top = Children::new(Strategy::OneForOne, [spec]);
    system.spawn(Supervisor, top).unwrap();
    let it = loop {
        match system.whereis::<Msg>(name) {
            Some(child) => break child,
            None => std::thread::yield_now(),
        }
    };
    for _ in 0..RESTARTS {
        let goal = goal.clone();
        let counts = does(move || {
            goal.hit();
            Plan::none()
        });
        it.tell_wait(counts, YEAR).ok().unwrap();
        it.tell_wait(does(|| panic!("soak")), YEAR).ok().unwrap();
    }
}

/// One round; how many messages it was.
fn round(guard: &Guard, seed: u64) -> u64 {
    let mut numbers = Numbers(seed);
    let system = System::with_config(config(&mut numbers)).unwrap();
    guard.begins(format!("seed {seed}: begins"), Some(&system));
    let spawn = || spawn(&system, &Log::new());
    let mut letters = system.events::<DeadLetter>(16);

    let dead = spawn();
    dead.stop();
    dead.monitor().wait();
    let (size, few) = (1 + numbers.below(2_000), 1 + numbers.below(20));
    let mut goals = Vec::new();
    let mut goal = |count: u64| {
        let goal = guard.goal(count);
        goals.push(goal.clone());
        goal
    };
    let all: Vec<_> = (0..8).map(|_| spawn()).collect();
    let mesh = Arc::new(all.iter().map(|one| one.actor()).collect::<Vec<_>>());
    let begin = |actor: &Actor<Script>, message| {
        actor.tell_wait(message, YEAR).ok().unwrap();
    };
    let hops = goal(8 * (size + 1));
    for one in &all {
        begin(
            one,
            hop(mesh.clone(), numbers.below(u64::MAX), size, hops.clone()),
        );
    }
    let (asked, answers) = (spawn(), goal(4 * size));
    for _ in 0..4 {
        begin(&spawn(), question(asked.actor(), size, answers.clone()));
    }
    let ticks = goal(2 * (few + 1));
    for _ in 0..2 {
        let message = tick(numbers.below(u64::MAX), few, ticks.clone(), Arc::default());
        begin(&spawn(), message);
    }
    let children = goal(2 * 2 * few);
    for _ in 0..2 {
        begin(&spawn(), child(few, children.clone()));
    }
    let narrow = system.prepare(Script, Tape::default()).capacity(1);
    let (narrow, through) = (narrow.start().unwrap(), goal(6 * (size + 1)));
    for _ in 0..6 {
        begin(&spawn(), spoke(narrow.actor(), size, through.clone()));
    }
    let lost = goal(size + 1);
    begin(&spawn(), in_vain(dead.actor(), size, lost.clone()));
    let reader = system.prepare(Script, Tape::default()).capacity(64);
    let (outside, reader) = (goal(2 * size), reader.start().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..size {
                    let (goal, answer) = (outside.clone(), reader.ask(Msg::Ping));
                    let counts = does(move || {
                        goal.hit();
                        Plan::none()
                    });
                    reader.tell_wait(counts, YEAR).ok().unwrap();
                    assert_eq!(answer.timeout(YEAR).wait(), Ok(7));
                }
            });
        }
        restarts(&system, "fails", goal(RESTARTS + 1), &goal(RESTARTS));
    });
    for (at, goal) in goals.iter().enumerate() {
        guard.begins(format!("seed {seed}: goal {at} of {}", goals.len()), None);
        goal.wait();
    }
    guard.begins(format!("seed {seed}: comes to rest"), None);
    // What the supervisor is told comes after the last goal.
    let in_vain = size + 1;
    let totals = loop {
        let totals = system.metrics().totals();
        let done = totals.handled + totals.failed + totals.dead_lettered;
        let letters = system.dead_letter_count();
        if totals.queued == 0 && totals.accepted == done && letters >= in_vain + RESTARTS {
            break totals;
        }
        std::thread::yield_now();
    };
    assert_eq!(totals.failed, RESTARTS, "seed {seed}");
    let mut heard = letters.missed();
    while let Some((_, letter)) = letters.try_next() {
        match letter.cause {
            Cause::Stopped => assert_eq!(letter.actor, dead.actor().address(), "seed {seed}"),
            cause => assert_eq!(cause, Cause::Panicked, "seed {seed}"),
        }
        heard += 1;
    }
    assert_eq!(heard, in_vain + RESTARTS, "seed {seed}");
    assert_eq!(system.dead_letter_count(), heard, "seed {seed}");
    guard.begins(format!("seed {seed}: shuts down"), None);
    assert_eq!(system.shutdown(HOUR), Shutdown::default(), "seed {seed}");
    totals.accepted
}

/// What the process has of what could grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    threads: usize,
    files: usize,
    /// Allocated, and not freed.
    heap_bytes: usize,
    resident_bytes: usize,
}

impl Held {
    /// None where the system doesn't say.
    fn now() -> Option<Self> {
        let entries = |path: &str| Some(std::fs::read_dir(path).ok()?.count());
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
        let resident: usize = pages.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            threads: entries("/proc/self/task")?,
            files: entries("/proc/self/fd")?,
            heap_bytes: usize::try_from(BYTES.load(SeqCst)).ok()?,
            resident_bytes: resident * 4_096,
        })
    }
}

/// What later rounds may have more than earlier ones: the collector of the run queues, and what the
/// allocator keeps for threads, by how they happened to meet.
const SLACK: [usize; 2] = [64 << 10, 16 << 20];

/// The least of some rounds, of what is allocated and of what is resident.
fn least(rounds: &[Held]) -> [usize; 2] {
    let least = |bytes: fn(&Held) -> usize| rounds.iter().map(bytes).min();
    let least = [
        least(|held| held.heap_bytes),
        least(|held| held.resident_bytes),
    ];
    least.map(|bytes| bytes.expect("a quarter has rounds"))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn closed_workloads_come_out_exact_and_leave_nothing() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&"soak") {
            usual(info);
        }
    }));
    let first = number("MAINSPRING_SOAK_SEED").unwrap_or(0);
    let span = Duration::from_secs(number("MAINSPRING_SOAK_SECONDS").unwrap_or(0));
    let (guard, began) = (Guard::new(), Instant::now());
    // Room for days of rounds, so that this does not grow itself.
    let (mut messages, mut held) = (0, Vec::with_capacity(1 << 20));
    let mut rounds = 0;
    while rounds < 3 || began.elapsed() < span {
        messages += round(&guard, first + rounds);
        rounds += 1;
        let Some(mut now) = Held::now() else {
            continue;
        };
        // A thread that was joined is counted a moment longer.
        if let Some(&Held { threads, files, .. }) = held.first() {
            guard.begins(format!("round {rounds}: threads end"), None);
            while now.threads > threads {
                std::thread::yield_now();
                now = Held::now().unwrap_or(now);
            }
            assert_eq!((now.threads, now.files), (threads, files), "round {rounds}");
        }
        held.push(now);
    }
    let quarter = held.len().saturating_sub(2) / 4;
    if quarter > 0 {
        let early = least(&held[2..2 + quarter]);
        let late = least(&held[held.len() - quarter..]);
        println!("bytes allocated and resident: {early:?} in early rounds, {late:?} in late ones");
        for (at, slack) in SLACK.into_iter().enumerate() {
            assert!(late[at] <= early[at] + slack, "{early:?}, then {late:?}");
        }
    }
    println!(
        "{rounds} rounds from seed {first} on, {messages} messages, {:?}; {:?}",
        began.elapsed(),
        held.last()
    );
}
