//! Memory: nothing is allocated in steady state.

mod common;
#[path = "common/counting.rs"]
mod counting;
use common::*;
use counting::ALLOCATIONS;
use mainspring::prelude::*;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard};

/// One test at a time: the counters are the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Sums what it is told; passes on, answers, asks.
#[derive(Default)]
struct Sum {
    sum: u64,
}

impl Machine for Sum {
    type Event = u64;
    fn apply(&mut self, number: u64) {
        self.sum += number;
    }
}

#[derive(Clone, Copy)]
struct Work;

#[derive(Clone)]
enum Job {
    Add(u64),
    Pass(ActorRef<Job>, u64),
    Three(ActorRef<Job>, ActorRef<Job>, u64),
    Ask(ActorRef<AskJob>, u64),
    Arm(u64),
    Every,
    /// Put aside and brought back.
    Stash(u64),
    /// By deliveries with retries and a breaker.
    Deliver(ActorRef<Job>, u64),
    /// To all, so many times.
    All(Arc<[ActorRef<Job>]>, u64),
}

struct AskJob(Reply<u64>);

impl Behavior for Work {
    type Machine = Sum;
    type Message = Job;
    fn on_message(&self, job: Job, me: Snapshot<'_, Self>) -> Plan<Self> {
        match job {
            Job::Add(number) => Plan::emit(number),
            Job::Pass(_, 0)
            | Job::All(_, 0)
            | Job::Three(_, _, 0)
            | Job::Ask(_, 0)
            | Job::Deliver(_, 0) => Plan::none(),
            Job::Pass(to, left) => Plan::tell(to, Job::Pass(me.me(), left - 1)),
            Job::Three(a, b, left) => Plan::emit(1)
                .and(Plan::tell(a, Job::Add(1)))
                .and(Plan::tell(b, Job::Three(b, me.me(), left - 1))),
            Job::Ask(to, left) => Plan::<Self>::ask(to, AskJob)
                .on_ok(move |_| Job::Ask(to, left - 1))
                .into(),
            Job::Arm(0) => Plan::cancel(1),
            Job::Arm(left) => Plan::after(1, ms(5), Job::Add(1))
                .and(Plan::cancel(2))
                .and(Plan::after(2, ms(1), Job::Add(1)))
                .and(Plan::tell(me.me(), Job::Arm(left - 1))),
            Job::All(all, left) => Plan::tell_all(all.iter(), Job::Add(1))
                .and(Plan::tell(me.me(), Job::All(all.clone(), left - 1))),
            Job::Deliver(to, left) => Plan::deliver(to, Job::Deliver(me.me(), left - 1))
                .retry(3, mainspring::supervise::Backoff::default())
                .breaker(mainspring::Breaker::default())
                .into(),
            Job::Stash(0) => Plan::none(),
            Job::Stash(left) if left % 2 == 0 => Plan::stash(Job::Stash(left - 1))
                .and(Plan::stash(Job::Add(1)))
                .and(Plan::unstash()),
            Job::Stash(left) => Plan::tell(me.me(), Job::Stash(left - 1)),
            Job::Every => Plan::every(1, ms(1), Job::Add(1)),
        }
    }
}

#[derive(Clone, Copy)]
struct Answer;

impl Behavior for Answer {
    type Machine = Sum;
    type Message = AskJob;
    fn on_message(&self, AskJob(reply): AskJob, me: Snapshot<'_, Self>) -> Plan<Self> {
        Plan::emit(1).and(Plan::reply(reply, me.sum))
    }
}

/// Allocations of `run` on this thread, where a stepped system does all its work, once it is warm.
fn allocations_of(run: impl FnMut()) -> u64 {
    warm_growth(counting::allocations_here, run)
}

/// By how much `count` grows in the third of three runs.
fn warm_growth(count: impl Fn() -> u64, mut run: impl FnMut()) -> u64 {
    run();
    run();
    let before = count();
    run();
    count() - before
}

#[test]
fn steady_state_allocates_nothing() {
    let _alone = alone();
    let (system, hand) = stepped();
    let new = || system.spawn(Work, Sum::default()).unwrap();
    let (a, b, c) = (new(), new(), new());
    let asked = system.spawn(Answer, Sum::default()).unwrap();
    let answer = asked.actor();
    let (to_a, to_b) = (a.actor(), b.actor());
    let one = |job: Job| {
        a.tell(job).unwrap();
        system.run_until_idle();
    };
    let tell = allocations_of(|| one(Job::Pass(to_b, 10_000)));
    let deliver = allocations_of(|| one(Job::Deliver(to_b, 10_000)));
    let stash = allocations_of(|| one(Job::Stash(10_000)));
    let event = allocations_of(|| (0..1_000).for_each(|_| one(Job::Add(1))));
    let three = allocations_of(|| one(Job::Three(c.actor(), to_b, 500)));
    let ask = allocations_of(|| one(Job::Ask(answer, 1_000)));
    c.tell(Job::Every).unwrap();
    system.run_until_idle();
    let every = allocations_of(|| {
        for _ in 0..1_000 {
            hand.advance(ms(1));
            system.run_until_idle();
        }
    });
    let arm = allocations_of(|| one(Job::Arm(1_000)));
    let ask_outside = allocations_of(|| {
        for _ in 0..1_000 {
            let ask = asked.ask(AskJob);
            system.run_until_idle();
            assert!(ask.wait().is_ok());
        }
    });
    let _ = to_a;
    let crowd: Arc<[_]> = (0..40).map(|_| new().actor()).collect();
    let all = allocations_of(|| one(Job::All(crowd.clone(), 1_000)));
    let narrow = Config::builder().mailbox_capacity(4);
    let (narrow, _) = stepped_with(narrow);
    let sink = narrow.spawn(Work, Sum::default()).unwrap().actor();
    let sources: Vec<_> = (0..8)
        .map(|_| narrow.spawn(Work, Sum::default()).unwrap())
        .collect();
    let three_each: Arc<[_]> = Arc::new([sink; 3]);
    let waits = allocations_of(|| {
        for source in &sources {
            source.tell(Job::All(three_each.clone(), 200)).unwrap();
        }
        narrow.run_until_idle();
    });
    // The first message is the test's own; now and then the test's harness takes something.
    assert!(
        tell + three + ask <= 20,
        "{tell}, {three}, {ask} for 12,500 messages"
    );
    assert!(deliver <= 20, "{deliver} for 10,000 deliveries");
    assert!(stash <= 20, "{stash} for 10,000 messages put aside");
    assert!(all <= 20, "{all} for 1,000 messages to 40 targets each");
    assert!(waits <= 40, "{waits} for 1,600 commits most of which wait");
    assert!(event <= 20, "{event} for 1,000 messages from outside");
    assert!(every <= 20, "{every} for 1,000 ticks of an interval");
    assert!(arm <= 20, "{arm} for 1,000 timers armed and replaced");
    assert!(
        ask_outside <= 1_020,
        "{ask_outside}: an ask from outside is one slot"
    );
}

/// Reads its snapshot so many times, in every way there is.
#[derive(Clone, Copy)]
struct Reading;

impl Behavior for Reading {
    type Machine = Sum;
    type Message = u64;
    fn on_message(&self, times: u64, snapshot: Snapshot<'_, Self>) -> Plan<Self> {
        let mut read = 0;
        for _ in 0..times {
            let copy = snapshot;
            read ^= copy.sum + copy.machine().sum + u64::from(copy.meta().is_ask);
            read ^= copy.now().as_nanos() as u64 + copy.behavior().len() as u64;
            read += u64::from(copy.me() == snapshot.me());
        }
        Plan::emit(read % 7)
    }
}

#[test]
fn a_snapshot_is_read_without_an_allocation() {
    let _alone = alone();
    let (system, _) = stepped();
    let reader = system.spawn(Reading, Sum::default()).unwrap();
    let read = |times: u64| {
        allocations_of(|| {
            for _ in 0..1_000 {
                reader.tell(times).unwrap();
                system.run_until_idle();
            }
        })
    };
    let (one, many) = (read(1), read(100));
    assert!(one <= 20, "{one} for 1,000 turns with a look each");
    assert!(many <= 20, "{many} for 100,000 looks in 1,000 turns");
}

/// Adds what it is told to a plain value.
#[derive(Clone, Copy)]
struct Assigning;

impl Behavior for Assigning {
    type Machine = mainspring::Context<Sum>;
    type Message = u64;
    fn on_message(&self, number: u64, _: Snapshot<'_, Self>) -> Plan<Self> {
        Plan::emit(mainspring::assign!(Sum {
            sum: |old| old.sum + number
        }))
    }
}

#[test]
fn assignments_allocate_nothing_in_steady_state() {
    let _alone = alone();
    let (system, _) = stepped();
    let sum = mainspring::Context::new(Sum::default());
    let actor = system.spawn(Assigning, sum).unwrap();
    let allocated = allocations_of(|| {
        for number in 0..1_000 {
            actor.tell(number).unwrap();
            system.run_until_idle();
        }
    });
    assert!(allocated <= 20, "{allocated} for 1,000 assignments");
}

/// Each message is a plan of three steps: an event, a tell and a reply.
#[derive(Clone, Copy)]
struct Steps {
    to: ActorRef<Job>,
}

struct Step(Reply<u64>);

impl Behavior for Steps {
    type Machine = Sum;
    type Message = Step;
    fn on_message(&self, Step(reply): Step, sum: Snapshot<Self>) -> Plan<Self> {
        mainspring::plan![
            Plan::emit(1),
            Plan::tell(self.to, Job::Add(1)),
            Plan::reply(reply, sum.sum),
        ]
    }
}

/// Asks for an answer at each number.
#[derive(Clone, Copy)]
struct Stepping {
    steps: ActorRef<Step>,
}

impl Behavior for Stepping {
    type Machine = Sum;
    type Message = u64;
    fn on_message(&self, left: u64, _: Snapshot<Self>) -> Plan<Self> {
        match left {
            0 => mainspring::plan![],
            _ => Plan::ask(self.steps, Step).on_ok(move |_| left - 1).into(),
        }
    }
}

#[test]
fn a_plan_of_three_steps_allocates_nothing_in_steady_state() {
    let _alone = alone();
    let (system, _) = stepped();
    let end = system.spawn(Work, Sum::default()).unwrap();
    let steps = Steps { to: end.actor() };
    let steps = system.spawn(steps, Sum::default()).unwrap().actor();
    let stepping = system.spawn(Stepping { steps }, Sum::default()).unwrap();
    let allocated = allocations_of(|| {
        stepping.tell(1_000).unwrap();
        system.run_until_idle();
    });
    assert_eq!(system.counts(end.actor()).unwrap().handled, 3_000);
    assert!(allocated <= 20, "{allocated} for 1,000 plans");
}

#[test]
fn on_threads_a_pair_allocates_nothing_once_warm() {
    let _alone = alone();
    for workers in [1, 2] {
        let system = threads(workers);
        let a = system.spawn(Work, Sum::default()).unwrap();
        let b = system.spawn(Work, Sum::default()).unwrap().actor();
        let round = || {
            let before = system.counts(b).unwrap().handled;
            a.tell(Job::Pass(b, 100_000)).unwrap();
            until("the round ends", || {
                system.counts(b).unwrap().handled >= before + 50_000
            });
        };
        let allocated = warm_growth(|| ALLOCATIONS.load(SeqCst), round);
        assert!(
            allocated <= 1_000,
            "{allocated} allocations for 100,000 messages"
        );
    }
}

#[test]
fn a_million_queued_messages_are_dropped_on_a_small_stack() {
    let _alone = alone();
    let run = || {
        let builder = Config::builder()
            .mailbox_capacity(32_768)
            .mailbox_capacity_bytes(1 << 30);
        let (system, _) = stepped_with(builder);
        let actors: Vec<_> = (0..32)
            .map(|_| system.spawn(Work, Sum::default()).unwrap())
            .collect();
        system.run_until_idle();
        for actor in &actors {
            for n in 0..32_768 {
                actor.tell(Job::Add(n)).unwrap();
            }
            actor.kill();
        }
        system.run_until_idle();
        assert_eq!(system.dead_letter_count(), 32 * 32_768);
        // And a plan of as many steps that is not committed.
        let one = spawn(&system, &Log::new());
        let to = actors[0].actor();
        one.tell(does(move || {
            let steps = (0..200_000).fold(Plan::none(), |plan, n| {
                plan.and(Plan::tell(to, Job::Add(n)))
            });
            steps.and(Plan::emit(Event::Refuse))
        }))
        .unwrap();
        system.run_until_idle();
        drop(system);
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(run).unwrap().join().unwrap();
}
