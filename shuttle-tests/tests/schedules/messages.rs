//! Messages among actors: each once, in order, and found by whatever worker there is.

use super::*;
use common::{Alive, Log, Msg, act, conserves, does, say, spawn};
use shuttle_tests::explore;
use std::sync::Arc;

/// A message that hops `left` times over the actors, by a generator of its own.
fn hop(all: Arc<Vec<ActorRef<Msg>>>, seed: u64, left: u64, hops: Arc<AtomicU64>) -> Msg {
    does(move || {
        hops.fetch_add(1, Relaxed);
        if left == 0 {
            return Plan::none();
        }
        let seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let to = all[(seed >> 33) as usize % all.len()];
        Plan::tell(to, hop(all.clone(), seed, left - 1, hops.clone()))
    })
}

fn mesh(builder: Builder) -> u64 {
    const ACTORS: u64 = 4;
    const HOPS: u64 = 6;
    let system = system(builder);
    let actors: Vec<_> = (0..ACTORS).map(|_| spawn(&system, &Log::new())).collect();
    let all = Arc::new(actors.iter().map(|actor| actor.actor()).collect::<Vec<_>>());
    let hops = Arc::new(AtomicU64::new(0));
    for (seed, actor) in (0..).zip(&actors) {
        actor
            .tell(hop(all.clone(), seed, HOPS - 1, hops.clone()))
            .unwrap();
    }
    until("all hops", || hops.load(Relaxed) == ACTORS * HOPS);
    let counts: Vec<_> = all
        .iter()
        .filter_map(|actor| system.counts(*actor))
        .collect();
    counts.iter().for_each(|counts| conserves(*counts));
    let parks = system
        .metrics()
        .workers
        .iter()
        .map(|worker| worker.parks)
        .sum();
    assert_eq!(system.dead_letter_count(), 0);
    end(system);
    assert_eq!(hops.load(Relaxed), ACTORS * HOPS);
    parks
}

#[test]
fn a_mesh_handles_each_hop_once() {
    static PARKS: Times = Times::new();
    let told = explore("a_mesh_handles_each_hop_once", || {
        PARKS.add(mesh(workers(2)));
    });
    PARKS.reached("a worker sleeps", told);
}

#[test]
fn three_workers_that_spin_handle_each_hop_once() {
    let spins = || {
        workers(3)
            .spin(Duration::from_micros(5))
            .lifo_cap(1)
            .injector_interval(2)
    };
    explore("three_workers_that_spin_handle_each_hop_once", move || {
        mesh(spins());
    });
}

#[test]
fn messages_from_each_thread_arrive_in_order() {
    const EACH: u64 = 5;
    explore("messages_from_each_thread_arrive_in_order", || {
        let system = Arc::new(system(workers(2)));
        let log = Log::new();
        let last = spawn(&system, &log).actor();
        let relay = spawn(&system, &Log::new()).actor();
        let senders = [0, 1].map(|sender| {
            let system = system.clone();
            thread::spawn(move || {
                let (direct, relay) = (system.handle(last).unwrap(), system.handle(relay).unwrap());
                for n in (1..=EACH).map(|n| 100 * sender + n) {
                    match sender {
                        0 => direct.tell(Msg::Say(n)).unwrap(),
                        _ => relay
                            .tell(does(move || Plan::tell(last, Msg::Say(n))))
                            .unwrap(),
                    }
                }
            })
        });
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        until("all are said", || log.len() == 2 * EACH as usize);
        let (direct, relayed): (Vec<_>, Vec<_>) =
            log.said().into_iter().partition(|&n: &u64| n < 100);
        assert_eq!(direct, (1..=EACH).collect::<Vec<_>>());
        assert_eq!(relayed, (101..=100 + EACH).collect::<Vec<_>>());
        end(Arc::into_inner(system).unwrap());
    });
}

/// A worker wakes for what comes from outside, however it is about to sleep.
#[test]
fn a_worker_that_goes_to_sleep_misses_nothing() {
    explore("a_worker_that_goes_to_sleep_misses_nothing", || {
        let system = system(workers(2));
        let log = Log::new();
        let one = spawn(&system, &log);
        for n in 1..=4 {
            one.tell(Msg::Say(n)).unwrap();
            until("it is said", || log.len() as u64 == n);
        }
        end(system);
        assert_eq!(log.said(), [1, 2, 3, 4]);
    });
}

/// A worker with many newborns; the others take some.
#[test]
fn newborns_are_run_once_by_whomever() {
    const CHILDREN: u64 = 8;
    static STEALS: Times = Times::new();
    let told = explore("newborns_are_run_once_by_whomever", || {
        let system = system(workers(3));
        let (log, alive) = (Log::new(), Alive::new());
        let parent = spawn(&system, &Log::new());
        let (said, kept) = (log.clone(), alive.one());
        parent
            .tell(does(move || {
                let children = (0..CHILDREN).map(|n| {
                    let tape = Tape::new(&said).keep(kept.clone()).start(move |_| say(n));
                    Plan::<Script>::spawn(Script, tape).then(move |child| {
                        Plan::tell(child, act(move |me| Plan::tell(me.me(), Msg::Say(10 + n))))
                    })
                });
                children.fold(Plan::none(), Plan::and)
            }))
            .unwrap();
        until("all have spoken twice", || log.len() as u64 == 2 * CHILDREN);
        let workers = system.metrics().workers;
        STEALS.add(workers.iter().map(|worker| worker.steals).sum());
        end(system);
        let mut said = log.said();
        said.sort_unstable();
        let all = (0..CHILDREN).chain((0..CHILDREN).map(|n| 10 + n));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        assert_eq!(said, all);
        assert_eq!(alive.count(), 0);
    });
    STEALS.reached("one steals", told);
}
