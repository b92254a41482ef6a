//! Events of one type, whichever actor they happened to, and dead letters among them.

mod common;
use common::*;
use mainspring::config::Overflow;
use mainspring::prelude::*;
use mainspring::supervise::{Backoff, ChildSpec, Children, Strategy, Supervision, Supervisor};
use mainspring::{Address, Cause, DeadLetter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// An actor that says the numbers that it hears of all scripted actors.
fn listener(system: &System, log: &Log) -> Actor<Script> {
    let listener = spawn(system, log);
    listener.tell(does(|| listens(0))).unwrap();
    system.run_until_idle();
    listener
}

/// A plan that subscribes, with messages that are not events to be heard again.
fn listens(offset: u64) -> Plan<Script> {
    Plan::subscribe_all(move |_, event: Event| match event {
        Event::Say(number) => act(move |tape| {
            tape.log().say(number + offset);
            Plan::none()
        }),
        _ => does(Plan::none),
    })
}

/// A machine of another type with the same events, and one with others.
struct Other<E>(Vec<E>);
impl<E: Send + 'static> Machine for Other<E> {
    type Event = E;
    fn apply(&mut self, event: E) {
        self.0.push(event);
    }
}

#[test]
fn all_events_of_a_type_are_heard_in_order_whoever_publishes() {
    let (system, _hand) = stepped();
    let (heard, quiet) = (Log::new(), Log::new());
    let _listener = listener(&system, &heard);
    let mut outside = system.events::<Event>(16);
    let mut words = system.events::<&'static str>(16);
    let one = spawn(&system, &quiet);
    let other = system.spawn_machine(Other::<Event>(Vec::new())).unwrap();
    let text = system
        .spawn_machine(Other::<&'static str>(Vec::new()))
        .unwrap();
    for number in [1, 3] {
        one.tell(does(move || say(number).and(say(number + 1))))
            .unwrap();
    }
    system.run_until_idle();
    other.tell(Event::Say(5)).unwrap();
    text.tell("six").unwrap();
    system.run_until_idle();
    assert_eq!(heard.take(), [1, 2, 3, 4, 5]);
    let heard: Vec<(Address, u64)> = std::iter::from_fn(|| outside.try_next())
        .map(|(publisher, event)| match event {
            Event::Say(number) => (publisher, number),
            _ => panic!("nothing else was published"),
        })
        .collect();
    let (one, other) = (one.actor().address(), other.actor().address());
    assert_eq!(heard, [(one, 1), (one, 2), (one, 3), (one, 4), (other, 5)]);
    assert_eq!(words.try_next(), Some((text.actor().address(), "six")));
    assert!(!outside.has_ended());
    drop(system);
    assert!(outside.has_ended() && words.has_ended());
}

#[test]
fn a_turn_that_fails_publishes_nothing() {
    let (system, _hand) = stepped();
    let heard = Log::new();
    let _listener = listener(&system, &heard);
    quiet_panics();
    let one = spawn(&system, &Log::new());
    one.tell(does(|| say(1).and(Plan::emit(Event::Refuse))))
        .unwrap();
    one.tell(does(|| say(2))).unwrap();
    one.tell(does(|| say(3).and(Plan::emit(Event::Panic))))
        .unwrap();
    system.run_until_idle();
    assert!(!one.is_alive());
    assert_eq!(heard.said(), [2]);
}

#[test]
fn a_subscription_ends_with_its_subscriber_or_before() {
    let (system, _hand) = stepped();
    let (heard, alive) = (Log::new(), Alive::new());
    let publisher = spawn(&system, &Log::new());
    let kept = |number| {
        let kept = alive.one();
        does(move || {
            Plan::subscribe_all(move |_, _: Event| {
                let _ = &kept;
                act(move |tape| {
                    tape.log().say(number);
                    Plan::none()
                })
            })
        })
    };
    let [first, second, third] = [1, 2, 3].map(|number| {
        let one = spawn(&system, &heard);
        one.tell(kept(number)).unwrap();
        system.run_until_idle();
        one
    });
    publisher.tell(Msg::Say(0)).unwrap();
    system.run_until_idle();
    let mut numbers = heard.take();
    numbers.sort_unstable(); // there is no order between them
    assert_eq!((numbers, alive.count()), (vec![1, 2, 3], 3));
    first.tell(does(Plan::unsubscribe_all::<Event>)).unwrap();
    system.run_until_idle();
    assert_eq!(alive.count(), 2, "at once");
    second.stop();
    system.run_until_idle();
    publisher.tell(Msg::Say(0)).unwrap();
    system.run_until_idle();
    assert_eq!((heard.take(), alive.count()), (vec![3], 1));
    assert_eq!(system.dead_letter_count(), 0);
    third.kill();
    system.run_until_idle();
    // With the next subscription if there is no event.
    let mut outside = system.events::<Event>(4);
    assert_eq!(alive.count(), 0);
    publisher.tell(Msg::Say(7)).unwrap();
    system.run_until_idle();
    assert!(outside.try_next().is_some());
}

#[test]
fn a_slow_subscriber_is_bounded_and_a_panicking_one_hurts_nobody() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let publisher = spawn(&system, &Log::new());
    let slow = system.prepare(Script, Tape::new(&log)).capacity(4);
    let slow = slow.start().unwrap();
    slow.tell(does(|| listens(0))).unwrap();
    system.run_until_idle();
    let numbers = || (1..=10).map(say).fold(Plan::none(), Plan::and);
    publisher.tell(does(numbers)).unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [1, 2, 3, 4]);
    let letters = system.dead_letters();
    let full = letters.iter().filter(|letter| letter.cause == Cause::Full);
    assert_eq!((full.count(), letters.len()), (6, 6));
    // A panic of what makes the message ends that subscription alone.
    quiet_panics();
    let bad = spawn(&system, &Log::new());
    bad.tell(does(|| {
        Plan::subscribe_all(|_, _: Event| -> Msg { panic!("on purpose") })
    }))
    .unwrap();
    system.run_until_idle();
    publisher.tell(Msg::Say(11)).unwrap();
    system.run_until_idle();
    assert!(publisher.is_alive() && bad.is_alive());
    assert_eq!(log.take(), [11]);
}

#[test]
fn the_order_of_each_publisher_is_kept_on_threads() {
    let system = threads(2);
    let mut outside = system.events::<u64>(40_000);
    let publishers = [0; 4].map(|_| system.spawn_machine(Other::<u64>(Vec::new())).unwrap());
    std::thread::scope(|scope| {
        for publisher in &publishers {
            scope.spawn(|| {
                for number in 0..2_000 {
                    publisher.tell_wait(number, ms(60_000)).unwrap();
                }
            });
        }
    });
    let mut next = HashMap::new();
    for _ in 0..8_000 {
        let (publisher, number) = outside.next(ms(60_000)).expect("all were published");
        let next = next.entry(publisher).or_insert(0);
        assert_eq!(number, *next);
        *next += 1;
    }
    assert_eq!((next.len(), outside.missed()), (4, 0));
}

#[test]
fn dead_letters_are_a_stream_for_actors_and_outside() {
    let (system, _hand) = stepped();
    let mut outside = system.events::<DeadLetter>(8);
    let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
    let writer = heard.clone();
    let listener = spawn(&system, &Log::new());
    listener
        .tell(does(move || {
            Plan::subscribe_all(move |actor, letter: DeadLetter| {
                let writer = writer.clone();
                does(move || {
                    writer.lock().unwrap().push((actor, letter.cause));
                    Plan::none()
                })
            })
        }))
        .unwrap();
    system.run_until_idle();
    // From outside, at a mailbox that drops; from a turn; from the end of an actor.
    let full = system.prepare(Script, Tape::default());
    let full = full
        .capacity(1)
        .overflow(Overflow::DropNewest)
        .hold()
        .unwrap();
    full.tell(Msg::Say(1)).unwrap();
    full.tell(Msg::Say(2)).unwrap();
    let odd = spawn(&system, &Log::new());
    odd.tell(does(Plan::unhandled)).unwrap();
    let ended = spawn(&system, &Log::new());
    ended.tell(does(Plan::stop)).unwrap();
    ended.tell(Msg::Say(3)).unwrap();
    system.run_until_idle();
    let expected = [
        (full.actor().address(), Cause::Full),
        (odd.actor().address(), Cause::Unhandled),
        (ended.actor().address(), Cause::Stopped),
    ];
    let told: Vec<_> = std::iter::from_fn(|| outside.try_next())
        .map(|(actor, letter)| {
            assert_eq!(actor, letter.actor);
            (actor, letter.cause)
        })
        .collect();
    assert_eq!(told, expected);
    assert_eq!(*heard.lock().unwrap(), expected);
    assert_eq!(system.dead_letter_count(), 3);
}

#[test]
fn one_who_has_no_room_for_dead_letters_makes_no_more_of_them() {
    let (system, _hand) = stepped();
    let listener = system.prepare(Script, Tape::default()).capacity(2);
    let listener = listener.start().unwrap();
    let log = Log::new();
    let writer = log.clone();
    listener
        .tell(does(move || {
            Plan::subscribe_all(move |_, _: DeadLetter| {
                let writer = writer.clone();
                does(move || {
                    writer.say(1);
                    Plan::none()
                })
            })
        }))
        .unwrap();
    let ended = spawn(&system, &Log::new());
    ended.kill();
    system.run_until_idle();
    let ended = ended.actor();
    let one = spawn(&system, &Log::new());
    one.tell(does(move || {
        let told = (0..5).map(|_| Plan::tell(ended, Msg::Say(1)));
        told.fold(Plan::none(), Plan::and)
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!((log.len(), system.dead_letter_count()), (2, 5));
}

#[test]
fn the_story_of_all_supervisors_is_heard_in_one_place() {
    let (system, _hand) = stepped();
    let mut story = system.events::<Supervision>(64);
    let spec = |id: &str| {
        let spec = ChildSpec::new(id, |_| (Script, Tape::default()));
        spec.named(id).backoff(Backoff::NONE)
    };
    let supervisors = ["a", "b"].map(|id| {
        let children = Children::new(Strategy::OneForOne, [spec(id)]);
        system.spawn(Supervisor, children).unwrap()
    });
    system.run_until_idle();
    system.whereis::<Msg>("b").unwrap().kill();
    system.run_until_idle();
    let told = std::iter::from_fn(|| story.try_next());
    let crashes: Vec<Address> = told
        .filter(|(_, event)| matches!(event, Supervision::Crashed { .. }))
        .map(|(supervisor, _)| supervisor)
        .collect();
    assert_eq!(crashes, [supervisors[1].actor().address()]);
}

#[test]
fn events_keep_their_place_among_the_messages_of_their_publisher() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let listener = spawn(&system, &log);
    let publisher = spawn(&system, &Log::new());
    let to = publisher.actor();
    listener
        .tell(does(move || {
            let hears = |event| match event {
                Event::Say(number) => Msg::Say(number),
                _ => does(Plan::none),
            };
            Plan::subscribe::<Script>(to, hears)
        }))
        .unwrap();
    system.run_until_idle();
    // In one batch: told, published, both.
    let to = listener.actor();
    for number in (0..40).step_by(4) {
        let told = does(move || Plan::tell(to, Msg::Say(number)));
        publisher.tell(told).unwrap();
        publisher.tell(Msg::Say(number + 1)).unwrap();
        let both = does(move || say(number + 2).and(Plan::tell(to, Msg::Say(number + 3))));
        publisher.tell(both).unwrap();
    }
    system.run_until_idle();
    assert_eq!(log.said(), (0..40).collect::<Vec<u64>>());
}

#[test]
fn what_makes_the_messages_runs_under_no_lock() {
    let (system, _hand) = stepped();
    let system = Arc::new(system);
    let log = Log::new();
    let one = spawn(&system, &log);
    let (outside, streams) = (Arc::downgrade(&system), Arc::new(Mutex::new(Vec::new())));
    let made = streams.clone();
    let subscriber = spawn(&system, &Log::new());
    subscriber
        .tell(does(move || {
            Plan::subscribe_all(move |_, _: Event| {
                // It subscribes, to this type and to another, and ends a subscription.
                let system = outside.upgrade().expect("it runs");
                let mut made = made.lock().unwrap();
                made.push(system.events::<Event>(9));
                drop(system.events::<Event>(9));
                drop(system.events::<DeadLetter>(9));
                does(Plan::none)
            })
        }))
        .unwrap();
    system.run_until_idle();
    for number in 0..3 {
        one.tell(Msg::Say(number)).unwrap();
        system.run_until_idle();
    }
    assert_eq!(log.said(), [0, 1, 2]);
    let heard: Vec<_> = std::mem::take(&mut *streams.lock().unwrap())
        .into_iter()
        .map(|mut stream| std::iter::from_fn(|| stream.try_next()).count())
        .collect();
    assert_eq!(heard, [2, 1, 0], "each from the event after its own on");
}

#[test]
fn a_listener_that_panics_is_gone_and_the_others_hear_of_that_event_too() {
    quiet_panics();
    let (system, _hand) = stepped();
    let (heard, alive) = (Log::new(), Alive::new());
    let [first, bad, last] = [(); 3].map(|()| spawn(&system, &heard));
    for one in [&first, &last] {
        one.tell(does(|| listens(0))).unwrap();
        if one.actor() == first.actor() {
            let kept = alive.one();
            bad.tell(does(move || {
                Plan::subscribe_all(move |_, _: Event| -> Msg {
                    let _ = &kept;
                    panic!("on purpose")
                })
            }))
            .unwrap();
        }
        system.run_until_idle();
    }
    assert_eq!(alive.count(), 1);
    let text = system.spawn_machine(Other::<Event>(Vec::new())).unwrap();
    for number in [1, 2] {
        text.tell(Event::Say(number)).unwrap();
        system.run_until_idle();
        assert_eq!(alive.count(), 0);
    }
    assert_eq!(heard.said(), [1, 1, 2, 2]);
    assert!(bad.is_alive());
}
