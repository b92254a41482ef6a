//! An ask has one outcome.

use super::*;
use common::{Event, Log, Msg, does, spawn};
use shuttle_tests::explore;
use std::sync::{Arc, Mutex};

type Outcomes = Arc<Mutex<Vec<Result<u64, AskError>>>>;

/// A plan that asks `to` and notes what comes of it.
fn ask(
    to: ActorRef<Msg>,
    question: fn(Reply<u64>) -> Msg,
    limit: Duration,
    outcomes: &Outcomes,
) -> Plan<Script> {
    let (ok, error) = (outcomes.clone(), outcomes.clone());
    let step = Plan::<Script>::ask(to, question).timeout(limit);
    step.on_ok(move |n| {
        ok.lock().unwrap().push(Ok(n));
        Msg::Say(0)
    })
    .on_error(move |e| {
        error.lock().unwrap().push(Err(e));
        Msg::Say(0)
    })
}

#[test]
fn actors_and_threads_get_their_answers() {
    explore("actors_and_threads_get_their_answers", || {
        let system = Arc::new(system(workers(2)));
        let answerer = spawn(&system, &Log::new());
        let (asker, outcomes) = (spawn(&system, &Log::new()), Outcomes::default());
        let (to, noted) = (answerer.actor(), outcomes.clone());
        for _ in 0..3 {
            let noted = noted.clone();
            asker
                .tell(does(move || ask(to, Msg::Ping, LONG, &noted)))
                .unwrap();
        }
        let other = system.clone();
        let outside = thread::spawn(move || other.handle(to).unwrap().ask(Msg::Ping).wait());
        assert_eq!(answerer.ask(Msg::Ping).wait(), Ok(7));
        assert_eq!(outside.join().unwrap(), Ok(7));
        until("all have an outcome", || {
            outcomes.lock().unwrap().len() == 3
        });
        end(Arc::into_inner(system).unwrap());
        assert_eq!(*outcomes.lock().unwrap(), [Ok(7); 3]);
    });
}

/// The answer comes about when the time is up: one of the two, and no second outcome after it.
#[test]
fn an_answer_that_meets_the_time_out_is_one_outcome() {
    static ANSWERED: Times = Times::new();
    static LATE: Times = Times::new();
    let told = explore("an_answer_that_meets_the_time_out_is_one_outcome", || {
        let system = system(workers(2));
        let (answerer, asker) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
        let outcomes = Outcomes::default();
        let (to, noted) = (answerer.actor(), outcomes.clone());
        let limit = Duration::from_millis(1);
        asker
            .tell(does(move || {
                ask(to, |reply| later(1, reply), limit, &noted)
            }))
            .unwrap();
        let outside = answerer.ask(|reply| later(2, reply)).timeout(limit).wait();
        until("an outcome", || !outcomes.lock().unwrap().is_empty());
        end(system);
        let outcomes = outcomes.lock().unwrap();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        for outcome in [outside, outcomes[0]] {
            match outcome {
                Ok(5) => ANSWERED.add(1),
                Err(AskError::Timeout { waited }) => {
                    assert!(waited >= limit, "early: {waited:?}");
                    LATE.add(1);
                }
                other => panic!("{other:?}"),
            }
        }
    });
    ANSWERED.reached("an answer in time", told);
    LATE.reached("an answer too late", told);
}

/// Answers a tick later or so, by a timer of this key.
fn later(key: u64, reply: Reply<u64>) -> Msg {
    let reply = reply.defer();
    does(move || {
        let delay = Duration::from_micros(900);
        Plan::after(key, delay, does(move || Plan::reply_deferred(&reply, 5)))
    })
}

/// The answerer ends with questions in its mailbox and in its hands.
#[test]
fn an_answerer_that_ends_leaves_no_question_open() {
    static STOPPED: Times = Times::new();
    let told = explore("an_answerer_that_ends_leaves_no_question_open", || {
        let system = Arc::new(system(workers(2)));
        let (answerer, asker) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
        let outcomes = Outcomes::default();
        let to = answerer.actor();
        for question in [Msg::Ping, Msg::Keep, keeps_more] {
            let noted = outcomes.clone();
            asker
                .tell(does(move || ask(to, question, LONG, &noted)))
                .unwrap();
        }
        let other = system.clone();
        let outside = thread::spawn(move || other.handle(to).map(|to| to.ask(Msg::Ping).wait()));
        assert_eq!(asker.ask(Msg::Ping).wait(), Ok(7)); // its questions are under way
        answerer.kill();
        let outside = outside.join().unwrap().unwrap();
        assert!(
            matches!(outside, Ok(7) | Err(AskError::Stopped)),
            "{outside:?}"
        );
        until("all have an outcome", || {
            outcomes.lock().unwrap().len() == 3
        });
        end(Arc::into_inner(system).unwrap());
        for outcome in outcomes.lock().unwrap().iter().chain([&outside]) {
            match outcome {
                Ok(7) => {}
                Err(AskError::Stopped | AskError::Dropped) => STOPPED.add(1),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(outcomes.lock().unwrap().len(), 3);
    });
    STOPPED.reached("a question to one that has ended", told);
}

fn keeps_more(reply: Reply<u64>) -> Msg {
    does(move || Plan::emit(Event::Keep(Box::new(reply))))
}
