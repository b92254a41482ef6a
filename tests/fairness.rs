//! Fairness: whatever some do, the others get their turns.

mod common;
use common::*;
use mainspring::prelude::*;
use std::time::{Duration, Instant};

/// A ball that goes to and fro for ever.
fn ball(to: ActorRef<Msg>) -> Msg {
    act(move |me| Plan::tell(to, ball(me.me())))
}

/// Keeps itself busy for ever.
fn again() -> Msg {
    act(|me| Plan::tell(me.me(), again()))
}

/// Runs a stepped system in slices until all of `logs` said something; how many turns' time it
/// took, in slices of one turn each.
fn slices_until(system: &System, done: impl Fn() -> bool) -> usize {
    (0..100_000)
        .find(|_| {
            let _ = system.run_for(Duration::ZERO);
            done()
        })
        .expect("everybody gets a turn")
}

#[test]
fn a_ping_pong_pair_does_not_starve_a_hundred_others() {
    let (system, _) = stepped();
    let logs: Vec<_> = (0..100).map(|_| Log::new()).collect();
    let (a, b) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let others: Vec<_> = logs.iter().map(|log| spawn(&system, log)).collect();
    let _ = system.run_for(ms(1));
    a.tell(ball(b.actor())).unwrap();
    for other in &others {
        other.tell(Msg::Say(1)).unwrap();
    }
    let turns = slices_until(&system, || logs.iter().all(|log| log.len() == 1));
    assert!(turns <= 1_000, "{turns} turns for 100 actors");
}

#[test]
fn actors_that_tell_themselves_do_not_starve_others() {
    let (system, _) = stepped();
    let logs: Vec<_> = (0..50).map(|_| Log::new()).collect();
    for _ in 0..20 {
        spawn(&system, &Log::new()).tell(again()).unwrap();
    }
    for log in &logs {
        spawn(&system, log).tell(Msg::Say(1)).unwrap();
    }
    let turns = slices_until(&system, || logs.iter().all(|log| log.len() == 1));
    assert!(turns <= 1_000, "{turns}");
}

#[test]
fn trees_of_newborns_do_not_starve_those_that_are_ready() {
    fn grow() -> Plan<Script> {
        let child =
            || Plan::<Script>::spawn(Script, Tape::default().start(|_| grow().and(Plan::stop())));
        child().into()
    }
    let (system, _) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    system.run_until_idle();
    system
        .spawn(Script, Tape::default().start(|_| grow()))
        .unwrap();
    let _ = system.run_for(ms(1));
    for n in 0..10 {
        one.tell(Msg::Say(n)).unwrap();
        let turns = slices_until(&system, || log.len() == n as usize + 1);
        assert!(turns <= 1_000, "{turns}");
    }
    assert!(system.shutdown(ms(100)).workers_stuck == 0);
}

#[test]
fn the_victim_of_a_flood_still_answers_and_hears_its_signals() {
    for workers in [1, 2, 4] {
        let builder = Config::builder().workers(workers).mailbox_capacity(64);
        let system = System::with_config(builder.build().unwrap()).unwrap();
        let victim = spawn(&system, &Log::new());
        let to = victim.actor();
        fn flood(to: ActorRef<Msg>) -> Msg {
            act(move |me| Plan::tell(to, Msg::Say(1)).and(Plan::tell(me.me(), flood(to))))
        }
        let flooders: Vec<_> = (0..2).map(|_| spawn(&system, &Log::new())).collect();
        for flooder in &flooders {
            flooder.tell(flood(to)).unwrap();
        }
        let other = spawn(&system, &Log::new());
        for _ in 0..100 {
            assert_eq!(
                other.ask(Msg::Ping).timeout(Duration::from_secs(10)).wait(),
                Ok(7)
            );
        }
        let start = Instant::now();
        assert!(victim.kill());
        until("the victim ends", || !victim.is_alive());
        assert!(start.elapsed() < Duration::from_secs(5));
        for flooder in &flooders {
            flooder.kill();
        }
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn two_long_turns_made_by_one_run_side_by_side_on_two_workers() {
    let system = threads(2);
    let log = Log::new();
    let a = spawn(&system, &log).actor();
    let b = spawn(&system, &log).actor();
    let one = spawn(&system, &log);
    // Each waits for the other: only side by side do they end.
    let (there, here) = std::sync::mpsc::sync_channel::<()>(0);
    one.tell(does(move || {
        Plan::tell(
            a,
            does(move || {
                there.send(()).unwrap();
                say(1)
            }),
        )
        .and(Plan::tell(
            b,
            does(move || {
                here.recv().unwrap();
                say(2)
            }),
        ))
    }))
    .unwrap();
    until("they meet", || log.len() == 2);
}

/// The 99th of each hundred, and the last.
fn tail(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() * 99 / 100 - 1], times[times.len() - 1])
}

#[test]
fn beside_two_floods_an_idle_actor_answers_and_a_flooded_one_stops() {
    let patience = Duration::from_secs(20);
    let system = threads(2);
    for _ in 0..2 {
        spawn(&system, &Log::new()).tell(again()).unwrap();
    }
    let idle = spawn(&system, &Log::new());
    let answers = (0..500).map(|_| {
        let start = Instant::now();
        assert_eq!(idle.ask(Msg::Ping).timeout(patience).wait(), Ok(7));
        start.elapsed()
    });
    let (p99, most) = tail(answers.collect());
    println!("an answer: p99 {p99:?}, at most {most:?}");
    assert!(most < patience);
    let stops = (0..100).map(|_| {
        let flooded = spawn(&system, &Log::new());
        flooded.tell(again()).unwrap();
        for _ in 0..2_000 {
            let _ = flooded.tell(Msg::Say(1)); // more than it holds
        }
        let end = flooded.monitor();
        let start = Instant::now();
        assert!(flooded.stop_now());
        assert_eq!(end.wait().exit, Exit::StoppedNow);
        start.elapsed()
    });
    let (p99, most) = tail(stops.collect());
    println!("a stop of a flooded actor: p99 {p99:?}, at most {most:?}");
    assert!(most < patience);
}
