//! A panic ends its actor and nothing else.

mod common;
use common::*;
use mainspring::prelude::*;
use std::panic::AssertUnwindSafe;

/// Lets `fail` happen on systems of one, two and four workers, and checks that others go on and
/// that the system ends in order.
fn survives(fail: impl Fn(&System)) {
    quiet_panics();
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let log = Log::new();
        let other = spawn(&system, &log);
        for _ in 0..20 {
            fail(&system);
        }
        for n in 0..50 {
            until("room", || other.tell(Msg::Say(n)).is_ok());
        }
        assert_eq!(other.ask(Msg::Ping).wait(), Ok(7));
        assert_eq!(log.said(), (0..50).collect::<Vec<_>>());
        until("the failed ones end", || system.actors() == 1);
        assert_eq!(system.shutdown(ms(10_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn a_panic_in_a_handler() {
    survives(|system| {
        let one = spawn(system, &Log::new());
        one.tell(does(|| panic!("on purpose"))).unwrap();
    });
}

#[test]
fn a_panic_in_an_event() {
    survives(|system| {
        let one = spawn(system, &Log::new());
        one.tell(does(|| Plan::emit(Event::Panic))).unwrap();
    });
}

#[test]
fn a_panic_in_the_start_hook() {
    survives(|system| {
        system
            .spawn(Script, Tape::default().start(|_| panic!("on purpose")))
            .unwrap();
    });
}

#[test]
fn a_panic_in_the_stop_hook() {
    survives(|system| {
        let tape = Tape::default().stop(|_, _| panic!("on purpose"));
        system.spawn(Script, tape).unwrap().stop();
    });
}

#[test]
fn a_panic_in_the_drop_of_a_message() {
    survives(|system| {
        let one = spawn(system, &Log::new());
        for _ in 0..3 {
            let bomb = Bomb;
            let refused = one.tell(does(move || {
                let _bomb = bomb;
                Plan::none()
            }));
            // The first bomb may have ended the actor by now; what comes back goes off here.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(refused)));
        }
        one.stop_now();
    });
}

#[test]
fn a_panic_in_the_drop_of_queued_messages() {
    let (system, _) = stepped();
    quiet_panics();
    let log = Log::new();
    let other = spawn(&system, &log);
    let one = spawn(&system, &Log::new());
    system.run_until_idle();
    for _ in 0..100 {
        let bomb = Bomb;
        one.tell(does(move || {
            let _bomb = bomb;
            Plan::none()
        }))
        .unwrap();
    }
    one.kill();
    other.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), system.actors()), (vec![1], 1));
    assert_eq!(system.dead_letter_count(), 100);
}

#[test]
fn a_panic_in_the_drop_of_the_state() {
    survives(|system| {
        system
            .spawn(Script, Tape::default().keep(Bomb))
            .unwrap()
            .stop();
    });
}

#[test]
fn a_panic_whose_payload_panics_when_dropped() {
    survives(|system| {
        let one = spawn(system, &Log::new());
        one.tell(does(|| std::panic::panic_any(Bomb))).unwrap();
        let two = system
            .spawn(
                Script,
                Tape::default().start(|_| std::panic::panic_any(Bomb)),
            )
            .unwrap();
        let _ = two;
        let three = Tape::default().stop(|_, _| std::panic::panic_any(Bomb));
        system.spawn(Script, three).unwrap().stop();
    });
}

#[test]
fn a_panic_in_what_an_asks_answer_becomes() {
    survives(|system| {
        let one = spawn(system, &Log::new());
        one.tell(act(|me| {
            Plan::<Script>::ask(me.me(), Msg::Ping)
                .on_ok(|_| panic!("on purpose"))
                .into()
        }))
        .unwrap();
    });
}

#[test]
fn a_panic_in_what_a_down_becomes() {
    survives(|system| {
        let one = spawn(system, &Log::new());
        let two = spawn(system, &Log::new());
        let target = two.actor();
        one.tell(does(move || {
            Plan::monitor(target, |_| panic!("on purpose"))
        }))
        .unwrap();
        two.stop();
    });
}

#[test]
fn a_panic_of_a_subscribers_map_ends_the_publisher_only() {
    quiet_panics();
    let (system, _) = stepped();
    let (one, two) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let publisher = one.actor();
    two.tell(does(move || {
        Plan::subscribe::<Script>(publisher, |_| panic!("on purpose"))
    }))
    .unwrap();
    system.run_until_idle();
    one.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    assert!(two.is_alive());
    assert!(!one.is_alive());
}

#[test]
fn the_state_of_a_panicked_actor_is_dropped_and_never_used_again() {
    quiet_panics();
    let (system, _) = stepped();
    let alive = Alive::new();
    let log = Log::new();
    let one = system
        .spawn(Script, Tape::new(&log).keep(alive.one()))
        .unwrap();
    one.tell(does(|| say(1).and(Plan::emit(Event::Panic))))
        .unwrap();
    one.tell(Msg::Say(2)).unwrap();
    system.run_until_idle();
    assert_eq!((alive.count(), log.said()), (0, vec![1]));
    assert!(one.tell(Msg::Say(3)).is_err());
}
