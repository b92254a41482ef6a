//! The promise: a compute step runs off the turn, and its result, its panic or its cancelling comes
//! back as one message, whatever the pool is doing.

#![cfg(all(feature = "compute", not(loom)))]

use mainspring::prelude::*;
use mainspring::{CancelToken, ComputeError};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

#[derive(Clone, Copy)]
struct Computing;

struct Nothing;

impl Machine for Nothing {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

type Work = Box<dyn FnOnce(&CancelToken) -> u64 + Send>;
type Answer = Result<u64, ComputeError>;

enum Job {
    Run(Work, CancelToken, Reply<Answer>),
    Done(Answer, Reply<Answer>),
}

impl Behavior for Computing {
    type Machine = Nothing;
    type Message = Job;
    fn on_message(&self, job: Job, _: Snapshot<Self>) -> Plan<Self> {
        match job {
            Job::Run(work, token, reply) => {
                Plan::compute(work, token, |result| Job::Done(result, reply))
            }
            Job::Done(result, reply) => Plan::reply(reply, result),
        }
    }
}

fn system(threads: usize, queue_max: usize) -> System {
    let config = Config::builder()
        .workers(1)
        .compute_threads(threads)
        .compute_queue_max(queue_max)
        .build()
        .unwrap();
    System::with_config(config).unwrap()
}

fn run(
    actor: &Actor<Computing>,
    token: &CancelToken,
    work: impl FnOnce(&CancelToken) -> u64 + Send + 'static,
) -> mainspring::Ask<Answer> {
    let token = token.clone();
    actor.ask(move |reply| Job::Run(Box::new(work), token, reply))
}

/// A job that says that it began and ends when it is let.
fn held() -> (
    impl FnOnce(&CancelToken) -> u64 + Send,
    Receiver<()>,
    Sender<u64>,
) {
    let (begin, began) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let job = move |_: &CancelToken| {
        begin.send(()).unwrap();
        ended.recv().unwrap()
    };
    (job, began, end)
}

#[test]
fn a_result_and_a_panic_come_back_as_messages() {
    let system = system(2, 8);
    let actor = system.spawn(Computing, Nothing).unwrap();
    let token = CancelToken::new();
    let asks: Vec<_> = (0..8)
        .map(|i| run(&actor, &token, move |_| i * i))
        .collect();
    let values: Vec<_> = asks
        .into_iter()
        .map(|ask| ask.wait().unwrap().unwrap())
        .collect();
    assert_eq!(values, [0, 1, 4, 9, 16, 25, 36, 49]);
    let panicked = run(&actor, &token, |_| panic!("no value"));
    let error = ComputeError::Panicked("no value".into());
    assert_eq!(panicked.wait(), Ok(Err(error)));
    assert_eq!(run(&actor, &token, |_| 1).wait(), Ok(Ok(1)));
}

#[test]
fn the_actor_takes_messages_while_its_job_runs() {
    let system = system(1, 8);
    let actor = system.spawn(Computing, Nothing).unwrap();
    let (job, began, end) = held();
    let first = run(&actor, &CancelToken::new(), job);
    began.recv().unwrap();
    let reply = actor.ask(|reply| Job::Done(Ok(3), reply));
    assert_eq!(reply.wait(), Ok(Ok(3)));
    end.send(4).unwrap();
    assert_eq!(first.wait(), Ok(Ok(4)));
}

#[test]
fn a_cancelled_job_never_begins_and_a_running_one_can_look() {
    let system = system(1, 8);
    let actor = system.spawn(Computing, Nothing).unwrap();
    let token = CancelToken::new();
    let (begin, began) = mpsc::channel();
    let running = run(&actor, &token, move |token| {
        begin.send(()).unwrap();
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        5
    });
    began.recv().unwrap();
    let waiting = run(&actor, &token, |_| {
        unreachable!("cancelled before it began")
    });
    token.cancel();
    assert_eq!(running.wait(), Ok(Ok(5)));
    assert_eq!(waiting.wait(), Ok(Err(ComputeError::Cancelled)));
}

#[test]
fn more_jobs_than_may_wait_are_refused() {
    let system = system(1, 1);
    let actor = system.spawn(Computing, Nothing).unwrap();
    let (job, began, end) = held();
    let token = CancelToken::new();
    let running = run(&actor, &token, job);
    began.recv().unwrap();
    let waiting = run(&actor, &token, |_| 2);
    assert_eq!(
        run(&actor, &token, |_| 3).wait(),
        Ok(Err(ComputeError::Full))
    );
    end.send(1).unwrap();
    assert_eq!(running.wait(), Ok(Ok(1)));
    assert_eq!(waiting.wait(), Ok(Ok(2)));
}

#[test]
fn an_actor_that_ends_cancels_its_jobs() {
    let system = system(1, 8);
    let actor = system.spawn(Computing, Nothing).unwrap();
    let (begin, began) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let ask = run(&actor, &CancelToken::new(), move |token| {
        begin.send(()).unwrap();
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        end.send(()).unwrap();
        0
    });
    began.recv().unwrap();
    actor.kill();
    assert_eq!(ask.wait(), Err(AskError::Stopped));
    ended.recv().unwrap();
}

#[test]
fn the_pool_ends_with_the_system_and_a_stuck_job_is_counted() {
    let idle = system(2, 8);
    let actor = idle.spawn(Computing, Nothing).unwrap();
    assert_eq!(run(&actor, &CancelToken::new(), |_| 1).wait(), Ok(Ok(1)));
    assert_eq!(idle.shutdown(Duration::from_secs(5)).workers_stuck, 0);

    let stuck = system(1, 8);
    let actor = stuck.spawn(Computing, Nothing).unwrap();
    let (job, began, end) = held();
    let ask = run(&actor, &CancelToken::new(), job);
    began.recv().unwrap();
    assert_eq!(stuck.shutdown(Duration::from_millis(1)).workers_stuck, 1);
    assert_eq!(ask.wait(), Err(AskError::Stopped));
    end.send(0).unwrap();
}

#[test]
fn a_stepped_system_computes_on_its_host() {
    let (clock, _) = mainspring::Clock::manual();
    let system = System::stepped(Config::default(), clock).unwrap();
    let actor = system.spawn(Computing, Nothing).unwrap();
    let host = std::thread::current().id();
    let ask = run(&actor, &CancelToken::new(), move |_| {
        u64::from(std::thread::current().id() == host)
    });
    system.run_until_idle();
    assert_eq!(ask.wait(), Ok(Ok(1)));
}
