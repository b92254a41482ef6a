//! Messages whose turns panic: tried again by the next incarnation, kept in the quarantine, replayed.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::supervise::{
    Backoff, ChildSpec, Children, Strategy, Supervisor, SupervisorMessage,
};
use mainspring::timer::ManualClock;
use mainspring::{Address, Cause, Poison, ReplayError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Panics in its first turns; the counter is how many are left.
#[derive(Clone)]
enum Job {
    Say(u64),
    Bad(u64, Arc<AtomicU32>),
    /// Panics in the machine, after the handler.
    Worse(u64, Arc<AtomicU32>),
    /// Puts the message aside.
    Aside(Box<Job>),
    Back,
}

impl Job {
    fn bad(number: u64, times: u32) -> (Self, Arc<AtomicU32>) {
        let left = Arc::new(AtomicU32::new(times));
        (Self::Bad(number, left.clone()), left)
    }
}

fn boom(left: &AtomicU32) {
    let more = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
    assert!(more.is_err(), "it is poison");
}

struct Said(Log);
impl Machine for Said {
    type Event = (u64, Option<Arc<AtomicU32>>);
    fn apply(&mut self, (number, left): Self::Event) {
        if let Some(left) = left {
            boom(&left);
        }
        self.0.say(number);
    }
}

#[derive(Clone, Copy)]
struct Tries<const CRASHES: u32>;
impl<const CRASHES: u32> Behavior for Tries<CRASHES> {
    type Machine = Said;
    type Message = Job;
    const POISON: Option<Poison<Job>> = Some(Poison::after(CRASHES));

    fn on_message(&self, job: Job, _: Snapshot<Self>) -> Plan<Self> {
        match job {
            Job::Say(number) => Plan::emit((number, None)),
            Job::Bad(number, left) => {
                boom(&left);
                Plan::emit((number, None))
            }
            Job::Worse(number, left) => Plan::emit((number, Some(left))),
            Job::Aside(job) => Plan::stash(*job),
            Job::Back => Plan::unstash(),
        }
    }
}

const MS: Duration = Duration::from_millis(1);

struct Shop {
    system: System,
    hand: ManualClock,
    log: Log,
    child: ActorRef<Job>,
    supervisor: Actor<Supervisor>,
}

impl Shop {
    /// A supervised child that panics `max` times at most.
    fn new<const CRASHES: u32>(max: u32) -> Self {
        quiet_panics();
        let (system, hand) = stepped_with(Config::builder().mailbox_capacity(4));
        let log = Log::new();
        let said = log.clone();
        let spec = ChildSpec::new("child", move |_| (Tries::<CRASHES>, Said(said.clone())))
            .named("child")
            .intensity(max, Duration::from_secs(30))
            .backoff(Backoff {
                first: MS,
                max: MS,
                ..Backoff::default()
            });
        let children = Children::new(Strategy::OneForOne, [spec]);
        let supervisor = system.spawn(Supervisor, children).unwrap();
        system.run_until_idle();
        let child = system.whereis::<Job>("child").unwrap();
        Self {
            system,
            hand,
            log,
            child: child.actor(),
            supervisor,
        }
    }

    fn tell(&self, job: Job) {
        let handle = self.system.whereis::<Job>("child").unwrap();
        handle.tell(job).ok().unwrap();
    }

    fn pass(&self) {
        for _ in 0..40 {
            self.system.run_until_idle();
            self.hand.advance(MS);
        }
        self.system.run_until_idle();
    }

    fn incarnation(&self) -> u32 {
        let asked = self.supervisor.ask(SupervisorMessage::Which);
        self.system.run_until_idle();
        asked.wait().unwrap()[0].incarnation
    }

    fn causes(&self) -> Vec<Cause> {
        let letters = self.system.dead_letters().into_iter();
        let its = letters.filter(|letter| letter.actor == self.child.address());
        its.map(|letter| letter.cause).collect()
    }
}

#[test]
fn the_message_in_hand_comes_first_after_the_restart() {
    let shop = Shop::new::<3>(3);
    let (bad, _) = Job::bad(2, 2);
    for job in [Job::Say(1), bad, Job::Say(3), Job::Say(4)] {
        shop.tell(job);
    }
    shop.pass();
    assert_eq!(shop.log.said(), [1, 2, 3, 4]);
    assert_eq!(shop.incarnation(), 3);
    assert!(shop.causes().is_empty(), "nothing was lost");
    assert!(shop.system.quarantine().list().is_empty());
    let counts = shop.system.counts(shop.child).unwrap();
    assert_eq!(
        (counts.failed, counts.dead_lettered, counts.queued),
        (2, 0, 0)
    );
    assert_eq!(counts.accepted, counts.handled + counts.failed);
}

#[test]
fn a_machine_that_panics_is_a_panic_of_the_message() {
    let shop = Shop::new::<2>(3);
    shop.tell(Job::Worse(1, Arc::new(AtomicU32::new(1))));
    shop.tell(Job::Worse(2, Arc::new(AtomicU32::new(2))));
    shop.tell(Job::Say(3));
    shop.pass();
    assert_eq!(shop.log.said(), [1, 3]);
    assert_eq!(shop.causes(), [Cause::Quarantined { crashes: 2 }]);
}

#[test]
fn what_panics_too_often_is_quarantined_and_replayed_by_hand() {
    let shop = Shop::new::<2>(8);
    let (bad, left) = Job::bad(1, 3);
    shop.tell(bad);
    shop.tell(Job::Say(2));
    shop.pass();
    assert_eq!(shop.log.take(), [2]);
    assert_eq!(shop.causes(), [Cause::Quarantined { crashes: 2 }]);
    let quarantine = shop.system.quarantine();
    let [entry] = &quarantine.list()[..] else {
        panic!("one message");
    };
    assert_eq!((entry.actor, entry.crashes), (Address::from(shop.child), 2));
    assert!(entry.message.ends_with("Job") && &*entry.panic == "it is poison");
    assert_eq!(left.load(Relaxed), 1);
    // One panic is left: the replay counts anew, and its second turn succeeds.
    assert_eq!(quarantine.replay(entry.id), Ok(()));
    assert_eq!(quarantine.replay(entry.id), Err(ReplayError::Unknown));
    shop.pass();
    assert_eq!(shop.log.take(), [1]);
    assert!(quarantine.list().is_empty());
    assert_eq!(shop.incarnation(), 4);
}

#[test]
fn a_replay_that_is_refused_leaves_the_message_where_it_was() {
    let shop = Shop::new::<1>(8);
    for number in [1, 2] {
        shop.tell(Job::bad(number, 1).0);
        shop.pass();
    }
    let quarantine = shop.system.quarantine();
    let before = quarantine.list();
    for number in 10..14 {
        shop.tell(Job::Say(number));
    }
    assert_eq!(quarantine.replay(before[0].id), Err(ReplayError::Full));
    assert_eq!(quarantine.list(), before);
    shop.pass();
    assert_eq!(quarantine.replay(before[0].id), Ok(()));
    shop.pass();
    assert_eq!(shop.log.take(), [10, 11, 12, 13, 1]);
    shop.supervisor.kill();
    shop.pass();
    let id = before[1].id;
    assert_eq!(quarantine.replay(id), Err(ReplayError::Stopped));
    assert!(quarantine.take::<u8>(id).is_none(), "it is a job");
    assert!(matches!(quarantine.take(id), Some(Job::Bad(2, _))));
    assert!(quarantine.list().is_empty());
}

#[test]
fn what_was_put_aside_comes_after_it() {
    let shop = Shop::new::<2>(3);
    shop.tell(Job::Aside(Box::new(Job::Say(1))));
    shop.tell(Job::bad(2, 1).0);
    shop.tell(Job::Say(3));
    shop.pass();
    assert_eq!(shop.log.said(), [2, 1, 3]);
    // Put aside and back is no panic: its tries are those of its own turns.
    shop.tell(Job::Aside(Box::new(Job::bad(4, 1).0)));
    shop.tell(Job::Back);
    shop.pass();
    assert_eq!(shop.log.said(), [2, 1, 3, 4]);
    assert!(shop.causes().is_empty());
}

#[test]
fn a_supervisor_that_gives_up_leaves_a_dead_letter() {
    let shop = Shop::new::<9>(2);
    let (bad, left) = Job::bad(1, 9);
    shop.tell(bad);
    shop.pass();
    assert_eq!(left.load(Relaxed), 6, "three turns");
    assert_eq!(shop.causes(), [Cause::Stopped]);
    assert_eq!(shop.system.actors(), 0);
}

#[test]
fn an_actor_that_does_not_start_anew_has_no_next_turn() {
    quiet_panics();
    let (system, _hand) = stepped();
    let log = Log::new();
    let one = system.spawn(Tries::<2>, Said(log.clone())).unwrap();
    one.tell(Job::bad(1, 1).0).ok().unwrap();
    system.run_until_idle();
    let other = system.spawn(Tries::<1>, Said(log.clone())).unwrap();
    other.tell(Job::bad(1, 1).0).ok().unwrap();
    system.run_until_idle();
    let causes: Vec<_> = system
        .dead_letters()
        .into_iter()
        .map(|it| it.cause)
        .collect();
    assert_eq!(causes, [Cause::Panicked, Cause::Quarantined { crashes: 1 }]);
    assert_eq!(system.quarantine().list().len(), 1);
}

#[test]
fn the_quarantine_is_bounded_and_ends_with_its_system() {
    quiet_panics();
    let (system, _hand) = stepped_with(Config::builder().dead_letter_capacity(2));
    let lefts: Vec<_> = (0..3)
        .map(|number| {
            let one = system.spawn(Tries::<1>, Said(Log::new())).unwrap();
            let (bad, left) = Job::bad(number, 1);
            one.tell(bad).ok().unwrap();
            system.run_until_idle();
            left
        })
        .collect();
    let ids: Vec<_> = system.quarantine().list().iter().map(|it| it.id).collect();
    assert_eq!(ids, [2, 3]);
    let held = |lefts: &[Arc<_>]| lefts.iter().map(Arc::strong_count).collect::<Vec<_>>();
    assert_eq!(held(&lefts), [1, 2, 2], "the oldest is gone");
    system.shutdown(MS);
    assert_eq!(held(&lefts), [1, 1, 1]);
}

enum Order {
    Question(Reply<u64>),
    Told,
}

/// Panics at all, and has a copy of what has no reply in it.
#[derive(Clone, Copy)]
struct Picky;
impl Behavior for Picky {
    type Machine = Said;
    type Message = Order;
    const POISON: Option<Poison<Order>> = Some(Poison::after_with(1, |order| match order {
        Order::Question(_) => None,
        Order::Told => Some(Order::Told),
    }));

    fn on_message(&self, order: Order, _: Snapshot<Self>) -> Plan<Self> {
        match order {
            Order::Question(reply) => panic!("someone waits: {}", !reply.is_given_up()),
            Order::Told => panic!("nobody waits"),
        }
    }
}

#[test]
fn a_message_without_a_copy_is_a_dead_letter_at_once() {
    quiet_panics();
    let (system, _hand) = stepped();
    let spawn = || system.spawn(Picky, Said(Log::new())).unwrap();
    let asked = spawn().ask(Order::Question);
    system.run_until_idle();
    assert_eq!(asked.wait(), Err(AskError::Panicked));
    spawn().tell(Order::Told).ok().unwrap();
    system.run_until_idle();
    let causes: Vec<_> = system
        .dead_letters()
        .into_iter()
        .map(|it| it.cause)
        .collect();
    assert_eq!(causes, [Cause::Panicked, Cause::Quarantined { crashes: 1 }]);
}
