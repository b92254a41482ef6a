//! Order: per pair, causal, and of lives.

mod common;
use common::*;
use mainspring::prelude::*;

/// A sender that tells `to` its numbers `from..end`, one a turn.
fn tell_on(to: ActorRef<Msg>, n: u64, end: u64) -> Msg {
    act(move |me| {
        let told = Plan::tell(to, Msg::Say(n));
        if n + 1 == end {
            told
        } else {
            told.and(Plan::tell(me.me(), tell_on(to, n + 1, end)))
        }
    })
}

fn is_in_order_per_sender(said: &[u64], senders: u64, each: u64) {
    let mut next = vec![0; senders as usize];
    for n in said {
        let (sender, n) = ((n / 1_000_000) as usize, n % 1_000_000);
        assert_eq!(n, next[sender], "sender {sender}");
        next[sender] += 1;
    }
    assert_eq!(next, vec![each; senders as usize]);
}

#[test]
fn messages_of_one_sender_arrive_in_the_order_sent() {
    for workers in [0, 1, 2, 4] {
        let builder = Config::builder().mailbox_capacity(16);
        let system = match workers {
            0 => stepped_with(builder).0,
            workers => System::with_config(builder.workers(workers).build().unwrap()).unwrap(),
        };
        let log = Log::new();
        let to = spawn(&system, &log).actor();
        for sender in 0..8 {
            let first = sender * 1_000_000;
            let one = spawn(&system, &Log::new());
            one.tell(tell_on(to, first, first + 500)).unwrap();
        }
        if workers == 0 {
            system.run_until_idle();
        }
        until("all arrive", || log.len() == 4_000);
        is_in_order_per_sender(&log.said(), 8, 500);
    }
}

#[test]
fn messages_of_one_thread_arrive_in_the_order_sent() {
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let log = Log::new();
        let to = spawn(&system, &log);
        std::thread::scope(|scope| {
            for sender in 0..3 {
                let to = to.clone();
                scope.spawn(move || {
                    for n in 0..1_000 {
                        let number = sender * 1_000_000 + n;
                        until("room", || to.tell(Msg::Say(number)).is_ok());
                    }
                });
            }
        });
        until("all arrive", || log.len() == 3_000);
        is_in_order_per_sender(&log.said(), 3, 1_000);
    }
}

#[test]
fn tells_asks_and_single_sends_of_a_sender_keep_their_order() {
    let (system, _) = stepped();
    let log = Log::new();
    let to = spawn(&system, &log).actor();
    let one = spawn(&system, &Log::new());
    // One message; a plan of two targets; an ask; a batch that leases; all to one target.
    let other = spawn(&system, &Log::new()).actor();
    for round in 0..100 {
        let n = round * 10;
        one.tell(does(move || Plan::tell(to, Msg::Say(n)))).unwrap();
        one.tell(does(move || {
            Plan::tell(to, Msg::Say(n + 1))
                .and(Plan::tell(other, Msg::Say(0)))
                .and(Plan::tell(to, Msg::Say(n + 2)))
        }))
        .unwrap();
        one.tell(does(move || {
            Plan::<Script>::ask(to, move |reply| {
                does(move || Plan::reply(reply, 1).and(say(n + 3)))
            })
            .on_ok(Msg::Say)
            .into()
        }))
        .unwrap();
        one.tell(does(move || say(0).and(Plan::tell(to, Msg::Say(n + 4)))))
            .unwrap();
        if round % 7 == 0 {
            system.run_until_idle();
        }
    }
    system.run_until_idle();
    let said = log.said();
    assert_eq!(said.len(), 500);
    assert!(said.is_sorted(), "{said:?}");
}

#[test]
fn what_happened_before_is_handled_before() {
    // One tells C, then B; B, because of that, tells C: C hears the first first.
    for workers in [0, 1, 2, 4] {
        let system = match workers {
            0 => stepped().0,
            workers => threads(workers),
        };
        let log = Log::new();
        let c = spawn(&system, &log).actor();
        let b = spawn(&system, &Log::new()).actor();
        let a = spawn(&system, &Log::new());
        for n in 0..1_000 {
            let turn = move || {
                let on = does(move || Plan::tell(c, Msg::Say(2 * n + 1)));
                Plan::tell(c, Msg::Say(2 * n)).and(Plan::tell(b, on))
            };
            until("room", || {
                if workers == 0 {
                    system.run_until_idle();
                }
                a.tell(does(turn)).is_ok()
            });
        }
        if workers == 0 {
            system.run_until_idle();
        }
        until("all arrive", || log.len() == 2_000);
        let said = log.said();
        let mut heard = vec![false; 2_000];
        for number in said {
            if number % 2 == 1 {
                assert!(heard[number as usize - 1], "{number} before its cause");
            }
            heard[number as usize] = true;
        }
    }
}

#[test]
fn down_comes_after_all_that_the_dead_sent_on_threads_too() {
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let log = Log::new();
        let watcher = spawn(&system, &log);
        let to = watcher.actor();
        for round in 0..100 {
            let one = spawn(&system, &Log::new());
            let target = one.actor();
            until("room", || {
                watcher
                    .tell(does(move || {
                        Plan::monitor(target, move |_| Msg::Say(round * 1_000_000 + 10))
                    }))
                    .is_ok()
            });
            // Watched before it is told: its end is seen as an end, or as gone, in either case last.
            for n in 0..10 {
                one.tell(does(move || {
                    Plan::tell(to, Msg::Say(round * 1_000_000 + n))
                }))
                .unwrap();
            }
            one.stop();
        }
        until("all is heard", || log.len() == 1_100);
        let watched: Vec<_> = log.said();
        for round in 0..100 {
            let ours: Vec<_> = watched
                .iter()
                .filter(|n| **n / 1_000_000 == round)
                .collect();
            assert_eq!(ours.len(), 11);
            assert_eq!(*ours[10] % 1_000_000, 10, "the last word is the end");
        }
    }
}

#[test]
fn a_plans_effects_come_in_plan_order() {
    let (system, _) = stepped();
    let log = Log::new();
    let to = spawn(&system, &log).actor();
    let one = spawn(&system, &log);
    one.tell(does(move || {
        Plan::tell(to, Msg::Say(1))
            .and(Plan::tell(to, Msg::Say(2)))
            .and(
                Plan::<Script>::ask(to, |reply| does(move || Plan::reply(reply, 4).and(say(3))))
                    .on_ok(Msg::Say),
            )
            .and(Plan::tell(to, Msg::Say(3)))
            .and(Plan::from([
                Plan::tell(to, Msg::Say(3)),
                Plan::stop_actor(to),
                Plan::tell(to, Msg::Say(9)),
            ]))
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1, 2, 3, 3, 3, 4], "9 came after the stop");
}
