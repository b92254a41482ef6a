//! Closed workloads on threads, with exact counts when they have come to rest.

mod common;
use common::*;
use mainspring::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Waits for `done`; says what every actor has and fails when nothing came of it in 60 seconds.
#[track_caller]
fn at_rest(system: &System, actors: &[ActorRef<Msg>], what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        if start.elapsed().as_secs() >= 60 {
            for actor in actors {
                eprintln!("{actor:?}: {:?}", system.counts(*actor));
            }
            eprintln!("{:?}", system.dead_letters());
            eprintln!("{:#?}", system.metrics());
            panic!("never came to rest: {what}");
        }
        std::thread::yield_now();
    }
}

fn settled(system: &System, actors: &[ActorRef<Msg>]) {
    until("no place is taken", || {
        actors.iter().all(|actor| {
            system
                .counts(*actor)
                .is_none_or(|counts| counts.queued == 0)
        })
    });
    for actor in actors {
        if let Some(counts) = system.counts(*actor) {
            conserves(counts);
        }
    }
}

fn system_of(workers: usize, capacity: usize) -> System {
    let builder = Config::builder()
        .workers(workers)
        .mailbox_capacity(capacity);
    System::with_config(builder.build().unwrap()).unwrap()
}

/// A message that hops `left` times over the mesh, by a generator of its own.
fn hop(all: Arc<Vec<ActorRef<Msg>>>, seed: u64, left: u64, count: Arc<AtomicU64>) -> Msg {
    does(move || {
        count.fetch_add(1, Relaxed);
        if left == 0 {
            return Plan::none();
        }
        let seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let to = all[(seed >> 33) as usize % all.len()];
        Plan::tell(to, hop(all.clone(), seed, left - 1, count.clone()))
    })
}

#[test]
fn a_mesh_handles_each_hop_once() {
    for (workers, capacity) in [(1, 1_024), (2, 1_024), (4, 1_024), (2, 1), (4, 2)] {
        let system = system_of(workers, capacity);
        let actors: Vec<_> = (0..16).map(|_| spawn(&system, &Log::new())).collect();
        let all = Arc::new(actors.iter().map(|actor| actor.actor()).collect::<Vec<_>>());
        let count = Arc::new(AtomicU64::new(0));
        let hops = if capacity > 10 { 5_000 } else { 500 };
        let mut started = 0;
        for (i, actor) in actors.iter().enumerate() {
            let message = hop(all.clone(), i as u64, hops - 1, count.clone());
            started += u64::from(actor.tell(message).is_ok());
        }
        at_rest(&system, &all, "the mesh", || {
            count.load(Relaxed) == started * hops
        });
        settled(&system, &all);
        assert_eq!(count.load(Relaxed), started * hops);
        assert_eq!(system.dead_letter_count(), 0);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn a_star_with_backpressure_loses_nothing() {
    fn spoke(hub: ActorRef<Msg>, left: u64) -> Msg {
        act(move |me| {
            let told = Plan::tell(hub, Msg::Say(left));
            match left {
                0 => told,
                left => told.and(Plan::tell(me.me(), spoke(hub, left - 1))),
            }
        })
    }
    for (workers, capacity) in [(1, 4), (2, 1), (2, 4), (4, 4), (4, 64)] {
        let system = system_of(workers, capacity);
        let log = Log::new();
        let hub = spawn(&system, &log).actor();
        let spokes: Vec<_> = (0..32).map(|_| spawn(&system, &Log::new())).collect();
        for one in &spokes {
            one.tell(spoke(hub, 199)).unwrap();
        }
        let mut all: Vec<_> = spokes.iter().map(|one| one.actor()).collect();
        all.push(hub);
        at_rest(&system, &all, "the star", || log.len() == 32 * 200);
        settled(&system, &all);
        assert_eq!(system.dead_letter_count(), 0);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

/// Answers with the number of leaves of a tree of asks below it.
fn tree(depth: u64, reply: Reply<u64>) -> Msg {
    act(move |me| {
        if depth == 0 {
            return Plan::reply(reply, 1);
        }
        // Two children; the sum of their answers is this one's.
        let child = || Plan::<Script>::spawn(Script, Tape::default());
        let (one, two) = (child(), child());
        let (left, right) = (one.child(), two.child());
        let me = me.me();
        let ask_right = move |sum: u64, reply: Reply<u64>| {
            does(move || {
                Plan::<Script>::ask(right, move |reply| tree(depth - 1, reply))
                    .on_ok(move |more| {
                        does(move || {
                            Plan::reply(reply, sum + more)
                                .and(Plan::stop_actor(left))
                                .and(Plan::stop_actor(right))
                        })
                    })
                    .into()
            })
        };
        let _ = me;
        Plan::from(one).and(two).and(
            Plan::<Script>::ask(left, move |reply| tree(depth - 1, reply))
                .on_ok(move |sum| ask_right(sum, reply)),
        )
    })
}

#[test]
fn trees_of_asks_count_their_leaves_and_leave_no_actor() {
    for workers in [1, 2, 4] {
        let system = system_of(workers, 64);
        let roots: Vec<_> = (0..4).map(|_| spawn(&system, &Log::new())).collect();
        let asks: Vec<_> = roots
            .iter()
            .map(|root| root.ask(|reply| tree(9, reply)))
            .collect();
        for ask in asks {
            assert_eq!(ask.timeout(ms(60_000)).wait(), Ok(512));
        }
        until("the trees are gone", || system.actors() == 4);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn actors_that_come_and_go_under_fire_are_all_accounted_for() {
    quiet_panics();
    for workers in [2, 4] {
        let system = system_of(workers, 16);
        let count = Arc::new(AtomicU64::new(0));
        let refused = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (system, count, refused) = (&system, count.clone(), refused.clone());
                scope.spawn(move || {
                    for round in 0..400 {
                        let one = spawn(system, &Log::new());
                        for n in 0..8 {
                            let count = count.clone();
                            let told = one.tell(does(move || {
                                count.fetch_add(1, Relaxed);
                                Plan::none()
                            }));
                            if told.is_err() {
                                refused.fetch_add(1, Relaxed);
                            }
                            if n == 5 {
                                match (round + thread) % 4 {
                                    0 => drop(one.stop()),
                                    1 => drop(one.stop_now()),
                                    2 => drop(one.kill()),
                                    _ => drop(one.tell(does(|| panic!("on purpose")))),
                                }
                            }
                        }
                        one.stop();
                    }
                });
            }
        });
        until("all have ended", || system.actors() == 0);
        // Each message was handled, refused, or is a dead letter; a panic is one besides.
        let panics = 3 * 100;
        let told = 3 * 400 * 8;
        let ended = count.load(Relaxed) + refused.load(Relaxed) + system.dead_letter_count();
        assert!((told..=told + panics).contains(&ended), "{ended} of {told}");
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn sleeping_workers_miss_no_message_from_outside() {
    for workers in [1, 2, 4] {
        let system = system_of(workers, 16);
        let one = spawn(&system, &Log::new());
        let two = spawn(&system, &Log::new());
        let to = two.actor();
        // Between the asks the workers go to sleep, at all moments of their way there.
        for round in 0..2_000_u32 {
            for _ in 0..(round % 97) * 20 {
                std::hint::spin_loop();
            }
            let ask = one.ask(|reply| does(move || Plan::tell(to, Msg::Ping(reply))));
            assert_eq!(ask.timeout(ms(20_000)).wait(), Ok(7), "round {round}");
        }
    }
}

/// A ring of newborns whose last makes the next generation, and ends its own.
fn generation(size: usize, left: u64, born: Arc<AtomicU64>) -> Plan<Script> {
    if left == 0 {
        return Plan::stop();
    }
    // The message goes round; each who had it ends, and the last makes the next ring first.
    fn pass(ring: Arc<Vec<ActorRef<Msg>>>, at: usize, left: u64, born: Arc<AtomicU64>) -> Msg {
        does(move || match ring.get(at + 1) {
            Some(&next) => {
                Plan::tell(next, pass(ring.clone(), at + 1, left, born)).and(Plan::stop())
            }
            None => generation(ring.len(), left - 1, born),
        })
    }
    let children: Vec<_> = (0..size)
        .map(|_| Plan::<Script>::spawn(Script, Tape::default()))
        .collect();
    let ring = Arc::new(
        children
            .iter()
            .map(|child| child.child())
            .collect::<Vec<_>>(),
    );
    born.fetch_add(size as u64, Relaxed);
    let first = ring[0];
    let plan = children
        .into_iter()
        .fold(Plan::none(), |plan, child| plan.and(child));
    plan.and(Plan::tell(first, pass(ring, 0, left, born)))
        .and(Plan::stop())
}

#[test]
fn generations_of_rings_leave_nobody() {
    for workers in [1, 2, 4] {
        let system = system_of(workers, 64);
        let born = Arc::new(AtomicU64::new(0));
        for _ in 0..4 {
            let born = born.clone();
            let adam = spawn(&system, &Log::new());
            adam.tell(does(move || generation(8, 200, born))).unwrap();
        }
        until("all have ended", || system.actors() == 0);
        assert_eq!(born.load(Relaxed), 4 * 200 * 8);
        assert_eq!(system.dead_letter_count(), 0);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

/// A graph that moves on, changed by each who has it; whoever has it last checks it.
fn graph(
    all: Arc<Vec<ActorRef<Msg>>>,
    mut nodes: Vec<Vec<u64>>,
    left: u64,
    done: Arc<AtomicU64>,
) -> Msg {
    does(move || {
        nodes.iter_mut().for_each(|node| node[0] += 1);
        let first = nodes[0][0];
        if left == 0 {
            assert!(
                nodes
                    .iter()
                    .enumerate()
                    .all(|(i, node)| node[0] == first + i as u64)
            );
            done.fetch_add(1, Relaxed);
            return Plan::none();
        }
        let to = all[first as usize % all.len()];
        Plan::tell(to, graph(all.clone(), nodes, left - 1, done))
    })
}

#[test]
fn graphs_that_move_are_whole_at_every_stop() {
    for (workers, capacity) in [(1, 64), (2, 4), (4, 64)] {
        let system = system_of(workers, capacity);
        let actors: Vec<_> = (0..8).map(|_| spawn(&system, &Log::new())).collect();
        let all = Arc::new(actors.iter().map(|actor| actor.actor()).collect::<Vec<_>>());
        let done = Arc::new(AtomicU64::new(0));
        for seed in 0..16 {
            let nodes = (0..32).map(|i| vec![seed * 3 + i]).collect();
            let message = graph(all.clone(), nodes, 1_000, done.clone());
            actors[seed as usize % 8]
                .tell_wait(message, ms(60_000))
                .unwrap();
        }
        at_rest(&system, &all, "the graphs", || done.load(Relaxed) == 16);
        settled(&system, &all);
        assert_eq!(system.dead_letter_count(), 0);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn plans_that_fan_out_and_in_are_counted_whole() {
    /// Tells `fan` all of one round at once; the last of them to answer starts the next.
    fn round(
        fan: Arc<Vec<ActorRef<Msg>>>,
        hub: ActorRef<Msg>,
        left: u64,
        count: Arc<AtomicU64>,
    ) -> Plan<Script> {
        if left == 0 {
            return Plan::none();
        }
        let missing = Arc::new(AtomicU64::new(fan.len() as u64));
        fan.iter().fold(Plan::none(), |plan, &to| {
            let (fan, missing, count) = (fan.clone(), missing.clone(), count.clone());
            plan.and(Plan::tell(
                to,
                does(move || {
                    count.fetch_add(1, Relaxed);
                    if missing.fetch_sub(1, Relaxed) > 1 {
                        return Plan::none();
                    }
                    Plan::tell(hub, does(move || round(fan, hub, left - 1, count)))
                }),
            ))
        })
    }
    for (workers, width) in [(1, 40), (2, 40), (4, 7), (2, 1)] {
        let system = system_of(workers, 2);
        let actors: Vec<_> = (0..width).map(|_| spawn(&system, &Log::new())).collect();
        let fan = Arc::new(actors.iter().map(|actor| actor.actor()).collect::<Vec<_>>());
        let hub = spawn(&system, &Log::new());
        let count = Arc::new(AtomicU64::new(0));
        let (all, to, counted) = (fan.clone(), hub.actor(), count.clone());
        hub.tell(does(move || round(all, to, 200, counted)))
            .unwrap();
        let expected = 200 * width as u64;
        at_rest(&system, &fan, "the fan", || count.load(Relaxed) == expected);
        settled(&system, &fan);
        assert_eq!(system.dead_letter_count(), 0);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}
