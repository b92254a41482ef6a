//! Memory: nothing is left at the end. One test: another's thread, or its start by the harness, would
//! change the process's counts.

mod common;
#[path = "common/counting.rs"]
mod counting;
use common::*;
use counting::BYTES;
use mainspring::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn nothing_is_left_in_memory() {
    watching_again_and_again_leaves_nothing();
    a_system_that_has_ended_leaves_no_memory();
}

/// A bit of everything, on a system that then ends.
fn everything(workers: usize) {
    let builder = Config::builder().mailbox_capacity(64);
    let system = match workers {
        0 => stepped_with(builder).0,
        workers => System::with_config(builder.workers(workers).build().unwrap()).unwrap(),
    };
    let log = Log::new();
    let others: Vec<_> = (0..20).map(|_| spawn(&system, &log)).collect();
    for (i, one) in others.iter().enumerate() {
        let (to, log) = (others[(i + 1) % 20].actor(), log.clone());
        let _ = one.tell(does(move || {
            let child = Tape::new(&log).keep(vec![0_u8; 100]);
            Plan::<Script>::spawn(Script, child)
                .then(|child| {
                    Plan::<Script>::tell(child, Msg::Say(1))
                        .and(Plan::monitor(child, |_| Msg::Say(2)))
                        .and(Plan::link(child))
                })
                .and(Plan::<Script>::ask(to, Msg::Keep).on_ok(Msg::Say))
                .and(Plan::<Script>::ask(to, Msg::Ping).on_ok(Msg::Say))
                .and(Plan::every(1, ms(1), Msg::Say(3)))
                .and(Plan::after(2, ms(100_000), Msg::Say(4)))
                .and(Plan::subscribe::<Script>(to, |_| does(Plan::none)))
                .and(Plan::tell(to, does(|| Plan::emit(Event::Refuse))))
        }));
    }
    let asks: Vec<_> = others.iter().map(|one| one.ask(Msg::Keep)).collect();
    if workers == 0 {
        let _ = system.run_for(ms(5));
    }
    others[3].kill();
    drop(asks);
    let _ = others[5].tell(does(Plan::stop));
    drop(others);
    let shutdown = system.shutdown(ms(10_000));
    assert_eq!(shutdown, mainspring::Shutdown::default());
}

fn a_system_that_has_ended_leaves_no_memory() {
    // With several workers the collector of the run queues keeps some 20 KiB for the process,
    // however many systems there were; with one not a byte is left.
    for (workers, rounds, slack) in [(0, 5, 256), (1, 5, 256), (2, 100, 64 << 10)] {
        everything(workers); // Lazy statics of the process.
        everything(workers);
        let before = BYTES.load(SeqCst);
        for _ in 0..rounds {
            everything(workers);
        }
        // A thread's end frees its own last bits a moment after the join.
        until("the memory is back", || {
            BYTES.load(SeqCst) <= before + slack
        });
    }
}

/// No. 59 of `docs/known-bugs.md`: lists of watchers leaked.
fn watching_again_and_again_leaves_nothing() {
    let (system, _) = stepped();
    let (watcher, target) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let (by, of) = (watcher.actor(), target.actor());
    let round = |times: usize| {
        for _ in 0..times {
            // Watched and not any more; linked and not any more; watched until the other's end.
            for plan in [
                |of| Plan::monitor(of, |_| does(Plan::none)).and(Plan::unmonitor(of)),
                |of| Plan::link(of).and(Plan::unlink(of)),
            ] {
                watcher.tell(does(move || plan(of))).unwrap();
            }
            let (dies, lives) = (spawn(&system, &Log::new()), target.monitor());
            let (died, outside) = (dies.actor(), dies.monitor());
            watcher
                .tell(does(move || Plan::monitor(died, |_| does(Plan::none))))
                .unwrap();
            // And one whose watcher dies first.
            let seer = spawn(&system, &Log::new());
            seer.tell(does(move || {
                Plan::monitor(by, |_| does(Plan::none)).and(Plan::stop())
            }))
            .unwrap();
            system.run_until_idle();
            dies.kill();
            system.run_until_idle();
            assert_eq!(outside.wait().actor, died.address());
            drop(lives);
        }
    };
    round(1_000);
    let before = BYTES.load(SeqCst);
    round(20_000);
    let more = BYTES.load(SeqCst) - before;
    assert_eq!(system.actors(), 2);
    assert!(more < 16 << 10, "{more} bytes more after 20,000 rounds");
}
