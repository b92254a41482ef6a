//! An ask has exactly one outcome, inside actors and outside.

mod common;
use common::*;
use mainspring::Cause;
use mainspring::prelude::*;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

type Outcomes = Arc<Mutex<Vec<Result<u64, AskError>>>>;

/// A plan that asks and notes the outcome.
fn ask(to: ActorRef<Msg>, question: fn(Reply<u64>) -> Msg, outcomes: &Outcomes) -> Plan<Script> {
    ask_for(to, question, outcomes, None)
}

fn ask_for(
    to: ActorRef<Msg>,
    question: fn(Reply<u64>) -> Msg,
    outcomes: &Outcomes,
    timeout: Option<Duration>,
) -> Plan<Script> {
    let (ok, error) = (outcomes.clone(), outcomes.clone());
    let mut step = Plan::<Script>::ask(to, question);
    if let Some(timeout) = timeout {
        step = step.timeout(timeout);
    }
    step.on_ok(move |n| {
        ok.lock().unwrap().push(Ok(n));
        Msg::Say(n)
    })
    .on_error(move |e| {
        error.lock().unwrap().push(Err(e));
        Msg::Say(0)
    })
}

fn panics(reply: Reply<u64>) -> Msg {
    does(move || {
        let _reply = &reply;
        panic!("on purpose")
    })
}

fn drops(reply: Reply<u64>) -> Msg {
    does(move || {
        drop(reply);
        Plan::none()
    })
}

fn refuses(reply: Reply<u64>) -> Msg {
    does(move || Plan::emit(Event::Refuse).and(Plan::reply(reply, 1)))
}

fn stops(reply: Reply<u64>) -> Msg {
    does(move || Plan::emit(Event::Keep(Box::new(reply))).and(Plan::stop()))
}

fn panics_later(reply: Reply<u64>) -> Msg {
    does(move || Plan::reply(reply, 1).and(Plan::emit(Event::Panic)))
}

type Question = fn(Reply<u64>) -> Msg;

const CASES: [(Question, Result<u64, AskError>); 6] = [
    (Msg::Ping, Ok(7)),
    (panics, Err(AskError::Panicked)),
    (drops, Err(AskError::Dropped)),
    (refuses, Err(AskError::Panicked)),
    (stops, Err(AskError::Stopped)),
    (panics_later, Err(AskError::Panicked)),
];

#[test]
fn an_actor_gets_exactly_one_outcome() {
    quiet_panics();
    for (question, outcome) in CASES {
        let (system, hand) = stepped();
        let outcomes = Outcomes::default();
        let asker = spawn(&system, &Log::new());
        let to = spawn(&system, &Log::new()).actor();
        let noted = outcomes.clone();
        asker.tell(does(move || ask(to, question, &noted))).unwrap();
        system.run_until_idle();
        hand.advance(Duration::from_secs(3_600));
        system.run_until_idle();
        assert_eq!(*outcomes.lock().unwrap(), [outcome]);
        conserves(system.counts(asker.actor()).unwrap());
    }
}

#[test]
fn somebody_outside_gets_the_same_outcome() {
    quiet_panics();
    for (question, outcome) in CASES {
        let (system, _) = stepped();
        let to = spawn(&system, &Log::new());
        let ask = to.ask(question);
        system.run_until_idle();
        assert_eq!(ask.wait(), outcome);
        let system = threads(1);
        let to = spawn(&system, &Log::new());
        assert_eq!(to.ask(question).wait(), outcome);
    }
}

#[test]
fn asking_the_dead_tells_so_at_once() {
    let (system, _) = stepped();
    let outcomes = Outcomes::default();
    let asker = spawn(&system, &Log::new());
    let dead = spawn(&system, &Log::new());
    dead.kill();
    system.run_until_idle();
    assert_eq!(dead.ask(Msg::Ping).wait(), Err(AskError::Stopped));
    let (to, noted) = (dead.actor(), outcomes.clone());
    asker
        .tell(does(move || ask(to, Msg::Ping, &noted)))
        .unwrap();
    system.run_until_idle();
    assert_eq!(*outcomes.lock().unwrap(), [Err(AskError::Stopped)]);
}

#[test]
fn a_question_that_is_queued_when_its_actor_ends_ends_as_stopped() {
    let (system, _) = stepped();
    let to = spawn(&system, &Log::new());
    system.run_until_idle();
    let ask = to.ask(Msg::Ping);
    to.stop_now();
    system.run_until_idle();
    assert_eq!(ask.wait(), Err(AskError::Stopped));
}

#[test]
fn a_full_mailbox_refuses_the_question() {
    let (system, _) = stepped_with(Config::builder().mailbox_capacity(1));
    let to = spawn(&system, &Log::new());
    to.tell(Msg::Say(1)).unwrap();
    assert_eq!(to.ask(Msg::Ping).wait(), Err(AskError::Refused));
}

#[test]
fn a_time_out_comes_once_in_time_and_a_late_answer_is_nobodys() {
    let (system, hand) = stepped();
    let outcomes = Outcomes::default();
    let (log, its) = (Log::new(), Log::new());
    let asker = spawn(&system, &log);
    let keeper = spawn(&system, &its);
    let (to, noted) = (keeper.actor(), outcomes.clone());
    let question = |reply| {
        Msg::Do(Box::new(move |_| {
            // Answers after 20 ms.
            Plan::after(
                "late",
                ms(20),
                does(move || Plan::reply(reply, 5).and(say(5))),
            )
        }))
    };
    asker
        .tell(does(move || ask_for(to, question, &noted, Some(ms(10)))))
        .unwrap();
    system.run_until_idle();
    hand.advance(ms(9));
    system.run_until_idle();
    assert_eq!(outcomes.lock().unwrap().len(), 0, "not early");
    hand.advance(ms(2));
    system.run_until_idle();
    match outcomes.lock().unwrap()[..] {
        [Err(AskError::Timeout { waited })] => assert!(waited >= ms(10) && waited <= ms(12)),
        ref other => panic!("{other:?}"),
    }
    // A new ask is open when the late answer comes.
    let noted = outcomes.clone();
    asker
        .tell(does(move || ask(to, Msg::Keep, &noted)))
        .unwrap();
    hand.advance(ms(20));
    system.run_until_idle();
    assert_eq!(its.said(), [5], "it did answer");
    assert_eq!((outcomes.lock().unwrap().len(), log.said()), (1, vec![0]));
}

#[test]
fn an_ask_whose_error_has_no_message_becomes_a_dead_letter() {
    let (system, _) = stepped();
    let log = Log::new();
    let asker = spawn(&system, &log);
    let to = spawn(&system, &Log::new()).actor();
    asker
        .tell(does(move || {
            Plan::<Script>::ask(to, drops).on_ok(Msg::Say).into()
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), []);
    assert_eq!(
        system.dead_letters()[0].cause,
        Cause::AskFailed(AskError::Dropped)
    );
}

#[test]
fn an_actor_may_ask_itself_and_a_circle_of_asks_ends() {
    for size in [1, 2, 3, 64] {
        let (system, _) = stepped();
        let log = Log::new();
        let actors: Vec<_> = (0..size).map(|_| spawn(&system, &log)).collect();
        for i in 0..size {
            let next = actors[(i + 1) % size].actor();
            actors[i]
                .tell(does(move || {
                    Plan::<Script>::ask(next, Msg::Ping).on_ok(Msg::Say).into()
                }))
                .unwrap();
        }
        system.run_until_idle();
        assert_eq!(log.said(), vec![7; size]);
    }
}

#[test]
fn a_reply_may_wait_in_a_machine_and_travel_in_a_message() {
    let (system, _) = stepped();
    let (one, two) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let to = two.actor();
    let forward = |reply: Reply<u64>| does(move || Plan::tell(to, Msg::Ping(reply)));
    let ask = one.ask(forward);
    system.run_until_idle();
    assert_eq!(ask.wait(), Ok(7));
}

#[test]
fn a_reply_dropped_outside_actors_ends_the_ask_of_an_actor() {
    let (system, _) = stepped();
    let outcomes = Outcomes::default();
    let asker = spawn(&system, &Log::new());
    let to = spawn(&system, &Log::new()).actor();
    let noted = outcomes.clone();
    static TAKEN: Mutex<Option<Reply<u64>>> = Mutex::new(None);
    let question = |reply| {
        does(move || {
            *TAKEN.lock().unwrap() = Some(reply);
            Plan::none()
        })
    };
    asker.tell(does(move || ask(to, question, &noted))).unwrap();
    system.run_until_idle();
    let reply = TAKEN.lock().unwrap().take();
    std::thread::spawn(move || drop(reply)).join().unwrap();
    system.run_until_idle();
    assert_eq!(*outcomes.lock().unwrap(), [Err(AskError::Dropped)]);
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn an_ask_is_a_future_of_any_executor() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut answered = pin!(one.ask(Msg::Ping));
    let mut dropped = pin!(one.ask(drops));
    assert!(answered.as_mut().poll(&mut context).is_pending());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    system.run_until_idle();
    assert_eq!(woken.0.load(Ordering::SeqCst), 2);
    assert_eq!(answered.poll(&mut context), Poll::Ready(Ok(7)));
    assert_eq!(
        dropped.poll(&mut context),
        Poll::Ready(Err(AskError::Dropped))
    );
    // Given up: the answer is dropped, nobody is woken.
    let given_up = one.ask(Msg::Ping);
    drop(given_up);
    system.run_until_idle();
    assert_eq!(woken.0.load(Ordering::SeqCst), 2);
}

#[test]
fn a_blocking_ask_waits_no_longer_than_its_time() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    let start = Instant::now();
    match one.ask(Msg::Ping).timeout(ms(5)).wait() {
        Err(AskError::Timeout { waited }) => assert!(waited >= ms(5)),
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() >= ms(5));
    system.run_until_idle();
}

#[test]
fn a_hundred_thousand_timed_out_asks_leave_nothing() {
    let (system, hand) = stepped_with(
        Config::builder()
            .mailbox_capacity(32_768)
            .mailbox_capacity_bytes(1 << 30)
            .max_asks_in_flight(200_000),
    );
    let alive = Alive::new();
    let (log, its) = (Log::new(), Log::new());
    let asker = spawn(&system, &log);
    let keeper = spawn(&system, &its);
    let to = keeper.actor();
    // One that stays open all the while: those after it go all the same.
    asker
        .tell(does(move || {
            let long = Plan::<Script>::ask(to, Msg::Keep).timeout(Duration::from_secs(3_600));
            long.on_ok(Msg::Say).into()
        }))
        .unwrap();
    system.run_until_idle();
    let start = Instant::now();
    for _ in 0..100 {
        let kept: Vec<_> = (0..1_000).map(|_| alive.one()).collect();
        asker
            .tell(does(move || {
                kept.into_iter().fold(Plan::none(), |plan, kept| {
                    plan.and(
                        Plan::<Script>::ask(to, drops_never)
                            .timeout(ms(10))
                            .on_ok(Msg::Say)
                            .on_error(move |_| {
                                drop(kept);
                                Msg::Say(1)
                            }),
                    )
                })
            }))
            .unwrap();
        system.run_until_idle();
    }
    assert_eq!(alive.count(), 100_000);
    hand.advance(ms(20));
    system.run_until_idle();
    assert_eq!((alive.count(), log.len()), (0, 100_000));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "linear in the asks"
    );
    keeper.tell(does(|| Plan::emit(Event::Forget))).unwrap();
    system.run_until_idle();
    assert_eq!(log.len(), 100_000, "no outcome twice");
}

fn drops_never(reply: Reply<u64>) -> Msg {
    Msg::Keep(reply)
}

#[test]
fn many_askers_on_threads_get_one_outcome_each() {
    for workers in [1, 2, 4] {
        let system = threads(workers);
        let servers: Vec<_> = (0..4).map(|_| spawn(&system, &Log::new())).collect();
        std::thread::scope(|scope| {
            for i in 0..4 {
                let server = servers[i % 4].clone();
                scope.spawn(move || {
                    for _ in 0..500 {
                        assert_eq!(server.ask(Msg::Ping).wait(), Ok(7));
                        assert_eq!(server.ask(drops).wait(), Err(AskError::Dropped));
                    }
                });
            }
        });
    }
}

/// Asks all of `to`, and says how many answered and then 100 for each that did not.
fn gather(to: Vec<ActorRef<Msg>>, timeout: Option<Duration>) -> Msg {
    does(move || {
        let mut step = Plan::<Script>::gather(to, Msg::Ping);
        if let Some(timeout) = timeout {
            step = step.timeout(timeout);
        }
        step.on_done(|outcomes| {
            let answered = outcomes.iter().flatten().count();
            let missing = outcomes.len() - answered;
            Msg::Say((answered + 100 * missing) as u64)
        })
    })
}

#[test]
fn answers_of_many_come_as_one_message_in_the_order_of_the_targets() {
    let (system, hand) = stepped();
    let outcomes: Arc<Mutex<Vec<Result<u64, AskError>>>> = Arc::default();
    let asker = spawn(&system, &Log::new());
    let targets: Vec<_> = (0..20).map(|_| spawn(&system, &Log::new())).collect();
    targets[7].stop();
    system.run_until_idle();
    let to: Vec<_> = targets.iter().map(|target| target.actor()).collect();
    let heard = outcomes.clone();
    asker
        .tell(does(move || {
            let number = std::sync::atomic::AtomicU64::new(0);
            let question = move |reply: Reply<u64>| {
                let number = number.fetch_add(1, Ordering::Relaxed);
                // The later ones answer at once, the earlier ones after them.
                does(move || match number {
                    0..10 => Plan::after(1, ms(1), does(move || Plan::reply(reply, number))),
                    _ => Plan::reply(reply, number),
                })
            };
            Plan::gather(to, question).on_done(move |outcomes| {
                *heard.lock().unwrap() = outcomes;
                Msg::Say(1)
            })
        }))
        .unwrap();
    system.run_until_idle();
    assert!(outcomes.lock().unwrap().is_empty(), "some are missing yet");
    hand.advance(ms(3));
    system.run_until_idle();
    let outcomes = outcomes.lock().unwrap();
    let expected: Vec<_> = (0..20)
        .map(|number| match number {
            7 => Err(AskError::Stopped),
            number => Ok(number),
        })
        .collect();
    assert_eq!(*outcomes, expected);
}

#[test]
fn at_the_deadline_what_has_come_is_there() {
    let (system, hand) = stepped();
    let log = Log::new();
    let asker = spawn(&system, &log);
    let [quick, slow] = [(); 2].map(|()| spawn(&system, &Log::new()));
    // Keeps its questions, so it answers none.
    let held = system.prepare(Script, Tape::default()).hold().unwrap();
    let to = vec![quick.actor(), held.actor(), slow.actor()];
    asker.tell(gather(to, Some(ms(20)))).unwrap();
    system.run_until_idle();
    hand.advance(ms(19));
    system.run_until_idle();
    assert!(log.said().is_empty());
    hand.advance(ms(3));
    system.run_until_idle();
    assert_eq!(log.take(), [102]);
    asker.tell(gather(Vec::new(), None)).unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [0], "of nobody nothing is missing");
    asker.tell(gather(vec![quick.actor()], None)).unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [1]);
}

#[test]
fn an_actor_may_have_its_own_default_time() {
    let (system, hand) = stepped();
    let (log, child_log) = (Log::new(), Log::new());
    let held = system.prepare(Script, Tape::default()).hold().unwrap();
    let to = held.actor();
    let ask = move || {
        does(move || {
            Plan::<Script>::ask(to, Msg::Ping)
                .on_ok(Msg::Say)
                .on_error(|_| Msg::Say(9))
        })
    };
    let prepared = system.prepare(Script, Tape::new(&log));
    let own = prepared.ask_timeout(ms(10)).start().unwrap();
    let usual = spawn(&system, &log);
    own.tell(ask()).unwrap();
    usual.tell(ask()).unwrap();
    let tape = Tape::new(&child_log);
    own.tell(does(move || {
        let child = Plan::<Script>::spawn(Script, tape).ask_timeout(ms(20));
        child.then(move |child| Plan::tell(child, ask()))
    }))
    .unwrap();
    system.run_until_idle();
    hand.advance(ms(12));
    system.run_until_idle();
    assert_eq!((log.take(), child_log.take()), (vec![9], vec![]));
    hand.advance(ms(10));
    system.run_until_idle();
    assert_eq!((log.take(), child_log.take()), (vec![], vec![9]));
    hand.advance(ms(5_000));
    system.run_until_idle();
    assert_eq!(log.take(), [9], "the system's default");
}

#[test]
fn the_one_asked_can_see_that_the_asker_has_given_up() {
    let (system, _) = stepped();
    let log = Log::new();
    let answerer = spawn(&system, &log);
    let look = |reply: Reply<u64>| {
        act(move |_| {
            let given_up = u64::from(reply.is_given_up());
            say(given_up).and(Plan::reply(reply, 1))
        })
    };
    let kept = answerer.ask(look);
    drop(answerer.ask(look));
    system.run_until_idle();
    assert!(kept.wait().is_ok());
    assert_eq!(log.take(), [0, 1]);
    let asker = spawn(&system, &Log::new());
    let to = answerer.actor();
    for ends in [Plan::none as fn() -> Plan<Script>, Plan::stop] {
        let ask = move || Plan::<Script>::ask(to, look).on_ok(Msg::Say);
        asker.tell(does(move || ends().and(ask()))).unwrap();
        system.run_until_idle();
    }
    assert_eq!(log.take(), [0, 1]);
}

/// Asks `to`, which answers with 1 when it is asked, for `timeout`; says 1, or 2 for a time-out
/// after that time, or 3.
fn ask_once(to: ActorRef<Msg>, timeout: Duration, runs: &Log) -> Msg {
    let runs = runs.clone();
    does(move || {
        let question = move |reply: Reply<u64>| {
            does(move || {
                runs.say(1);
                Plan::reply(reply, 1)
            })
        };
        let ask = Plan::<Script>::ask(to, question)
            .timeout(timeout)
            .on_ok(Msg::Say);
        ask.on_error(move |error| match error {
            AskError::Timeout { waited } if waited >= timeout => Msg::Say(2),
            _ => Msg::Say(3),
        })
    })
}

#[test]
fn a_question_whose_time_is_up_is_dropped_before_it_runs() {
    for asker_is_first in [true, false] {
        let (system, hand) = stepped();
        let (log, runs) = (Log::new(), Log::new());
        let asker = spawn(&system, &log);
        let target = system.prepare(Script, Tape::default()).hold().unwrap();
        asker.tell(ask_once(target.actor(), ms(10), &runs)).unwrap();
        asker.tell(ask_once(target.actor(), ms(90), &runs)).unwrap();
        system.run_until_idle();
        hand.advance(ms(12));
        if asker_is_first {
            system.run_until_idle();
            assert_eq!(log.said(), [2]);
        }
        let target = target.start();
        system.run_until_idle();
        assert_eq!(runs.said(), [1], "the second is in time");
        let mut said = log.take();
        said.sort_unstable();
        assert_eq!(said, [1, 2]);
        hand.advance(ms(200));
        system.run_until_idle();
        assert!(log.said().is_empty(), "one outcome each");
        let [letter] = &system.dead_letters()[..] else {
            panic!("{:?}", system.dead_letters());
        };
        assert_eq!(letter.cause, Cause::Expired);
        let counts = system.counts(target.actor()).unwrap();
        assert_eq!((counts.dead_lettered, counts.handled), (1, 1));
        conserves(counts);
    }
}

#[test]
fn the_one_asked_sees_until_when_the_asker_waits() {
    let (system, hand) = stepped();
    let seen: Arc<Mutex<Vec<Option<Duration>>>> = Arc::default();
    let asker = spawn(&system, &Log::new());
    let target = spawn(&system, &Log::new());
    let to = target.actor();
    hand.advance(ms(100));
    let look = |seen: Arc<Mutex<Vec<Option<Duration>>>>, large: [u64; 40]| {
        move |reply: Reply<u64>| {
            act(move |me| {
                seen.lock().unwrap().push(me.meta().deadline);
                Plan::reply(reply, large[7])
            })
        }
    };
    let (first, second) = (look(seen.clone(), [0; 40]), look(seen.clone(), [0; 40]));
    asker
        .tell(does(move || {
            // With other steps around it, and alone.
            let ask = Plan::ask(to, first).timeout(ms(30)).on_ok(Msg::Say);
            say(1)
                .and(Plan::cancel(7))
                .and(ask)
                .and(Plan::tell(to, Msg::Say(2)))
        }))
        .unwrap();
    asker
        .tell(does(move || Plan::ask(to, second).on_ok(Msg::Say).into()))
        .unwrap();
    system.run_until_idle();
    drop(target.ask(look(seen.clone(), [0; 40])));
    let outside = seen.clone();
    target
        .tell(act(move |me| {
            outside.lock().unwrap().push(me.meta().deadline);
            Plan::none()
        }))
        .unwrap();
    system.run_until_idle();
    let expected = [Some(ms(130)), Some(ms(5_100)), None, None];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn the_time_of_a_question_that_waits_for_room_begins_when_it_is_asked() {
    let (system, hand) = stepped();
    let (log, runs) = (Log::new(), Log::new());
    let asker = spawn(&system, &log);
    let target = system
        .prepare(Script, Tape::default())
        .capacity(1)
        .hold()
        .unwrap();
    let to = target.actor();
    target.tell(Msg::Say(0)).unwrap();
    asker.tell(ask_once(to, ms(10), &runs)).unwrap();
    system.run_until_idle();
    hand.advance(ms(20));
    let _target = target.start();
    system.run_until_idle();
    assert_eq!((runs.said(), log.said()), (vec![1], vec![1]));
}

#[test]
fn a_question_put_aside_for_too_long_is_dropped_too() {
    let (system, hand) = stepped();
    let (log, runs) = (Log::new(), Log::new());
    let asker = spawn(&system, &log);
    let target = spawn(&system, &Log::new());
    let to = target.actor();
    let again = runs.clone();
    asker
        .tell(does(move || {
            let question = move |reply: Reply<u64>| {
                does(move || {
                    Plan::stash(does(move || {
                        again.say(1);
                        Plan::reply(reply, 1)
                    }))
                })
            };
            let ask = Plan::<Script>::ask(to, question).timeout(ms(10));
            ask.on_ok(Msg::Say).on_error(|_| Msg::Say(2))
        }))
        .unwrap();
    system.run_until_idle();
    hand.advance(ms(12));
    system.run_until_idle();
    target.tell(does(Plan::unstash)).unwrap();
    system.run_until_idle();
    assert_eq!((runs.said(), log.said()), (vec![], vec![2]));
    assert_eq!(system.dead_letters()[0].cause, Cause::Expired);
    conserves(system.counts(to).unwrap());
}

#[test]
fn an_outcome_is_a_function_of_it_or_a_value() {
    quiet_panics();
    for (question, says) in [(Msg::Ping as Question, 8), (drops, 9)] {
        let (system, _) = stepped();
        let log = Log::new();
        let asker = spawn(&system, &log);
        let to = spawn(&system, &Log::new()).actor();
        let value = move || {
            Plan::<Script>::ask(to, question)
                .on_ok_value(Msg::Say(8))
                .on_error_value(Msg::Say(9))
        };
        asker.tell(does(value)).unwrap();
        let function = move || {
            Plan::<Script>::ask(to, question)
                .on_ok(|seven| Msg::Say(seven + 1))
                .on_error(|_| Msg::Say(9))
        };
        asker.tell(does(function)).unwrap();
        system.run_until_idle();
        assert_eq!(log.said(), [says, says]);
    }
}
