//! Ends of actors: each is told once to each who watches.

use super::*;
use common::{Alive, Log, Msg, does, quiet_panics, spawn};
use mainspring::{Address, Down};
use shuttle_tests::explore;
use std::sync::{Arc, Mutex};

type Exits = Arc<Mutex<Vec<Exit>>>;

/// Lets `watcher` note the ends of `target`.
fn watch(watcher: &Actor<Script>, target: Address, exits: &Exits) {
    let exits = exits.clone();
    watcher
        .tell(does(move || {
            Plan::monitor(target, move |down: Down| {
                assert_eq!(down.actor, target);
                exits.lock().unwrap().push(down.exit);
                Msg::Say(0)
            })
        }))
        .unwrap();
}

/// Stopped and killed at once, while others begin to watch and send.
#[test]
fn an_end_is_told_once_to_each_who_watches() {
    static GONE: Times = Times::new();
    static KILLED: Times = Times::new();
    let told = explore("an_end_is_told_once_to_each_who_watches", || {
        let system = Arc::new(system(workers(2)));
        let (log, alive) = (Log::new(), Alive::new());
        let tape = Tape::new(&log).keep(alive.one());
        let target = system.spawn(Script, tape).unwrap();
        let watchers = [(); 2].map(|()| (spawn(&system, &Log::new()), Exits::default()));
        let address = target.actor().address();
        watch(&watchers[0].0, address, &watchers[0].1);
        let outside = target.monitor();
        let (other, to) = (system.clone(), target.actor());
        let sender = thread::spawn(move || {
            if let Some(to) = other.handle(to) {
                let _ = to.tell(Msg::Say(1));
                to.stop();
            }
        });
        target.kill();
        watch(&watchers[1].0, address, &watchers[1].1);
        let down = outside.wait();
        assert_eq!(down.actor, address);
        sender.join().unwrap();
        let lens = || {
            watchers
                .each_ref()
                .map(|(_, exits)| exits.lock().unwrap().len())
        };
        until("both are told", || lens() == [1, 1]);
        let exits = watchers
            .each_ref()
            .map(|(_, exits)| exits.lock().unwrap()[0].clone());
        for exit in exits.iter().chain([&down.exit]) {
            match exit {
                Exit::Killed => KILLED.add(1),
                Exit::Normal => {}
                Exit::Gone => GONE.add(1),
                other => panic!("{other:?}"),
            }
        }
        assert!(!target.is_alive());
        assert_eq!(alive.count(), 0);
        end(Arc::into_inner(system).unwrap());
        assert_eq!(lens(), [1, 1]);
    });
    GONE.reached("one watches who has ended", told);
    KILLED.reached("the kill comes first", told);
}

/// A child of another worker's that ends at once, watched by the plan that makes it: its end is its
/// own, not that of somebody who was gone, however much the plan does between.
#[test]
fn a_child_watched_by_its_own_plan_tells_its_own_end() {
    const BETWEEN: u64 = 8;
    explore("a_child_watched_by_its_own_plan_tells_its_own_end", || {
        let config = workers(1).dispatcher("side", |side| side.workers(1).spin(Duration::ZERO));
        let system = system(config);
        let parent = spawn(&system, &Log::new());
        let log = Log::new();
        let others = [(); 2].map(|()| spawn(&system, &log));
        let to = others.each_ref().map(|other| other.actor());
        let exits = Exits::default();
        let ended = exits.clone();
        parent
            .tell(does(move || {
                let child = Plan::<Script>::spawn(Script, Tape::default().start(|_| Plan::stop()));
                child.on("side").then(move |child| {
                    let tells = (0..BETWEEN).map(|n| Plan::tell(to[n as usize % 2], Msg::Say(n)));
                    let noted = move |down: Down| {
                        ended.lock().unwrap().push(down.exit);
                        Msg::Say(0)
                    };
                    tells
                        .fold(Plan::none(), Plan::and)
                        .and(Plan::monitor(child, noted))
                })
            }))
            .unwrap();
        until("the end is told", || exits.lock().unwrap().len() == 1);
        end(system);
        assert_eq!(log.len() as u64, BETWEEN);
        let exits = exits.lock().unwrap();
        assert!(exits[0].is_normal(), "{exits:?}");
    });
}

/// A chain of links: one ends abnormally, and all do, each told once.
#[test]
fn linked_actors_end_together() {
    explore("linked_actors_end_together", || {
        quiet_panics();
        let system = system(workers(2));
        let watcher = spawn(&system, &Log::new());
        let exits = Exits::default();
        let chain = [(); 3].map(|()| spawn(&system, &Log::new()));
        for pair in chain.windows(2) {
            let next = pair[1].actor().address();
            pair[0].tell(does(move || Plan::link(next))).unwrap();
        }
        for one in &chain {
            watch(&watcher, one.actor().address(), &exits);
        }
        let ended = chain.each_ref().map(|one| one.monitor());
        chain[1].tell(does(|| panic!("on purpose"))).unwrap();
        // Those at the ends may be told of the links before or after the panic.
        let downs = ended.map(|ended| ended.wait().exit);
        assert!(matches!(downs[1], Exit::Panicked(_)), "{downs:?}");
        for exit in [&downs[0], &downs[2]] {
            assert!(matches!(exit, Exit::Linked(_) | Exit::Gone), "{downs:?}");
        }
        until("all are told", || exits.lock().unwrap().len() == 3);
        end(system);
        assert_eq!(exits.lock().unwrap().len(), 3);
    });
}
