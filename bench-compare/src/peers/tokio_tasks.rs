//! Tokio: an actor is a task that owns the receiver of a bounded channel.

use std::future::{Future, pending, poll_fn};
use std::sync::mpsc as std_mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::time::DelayQueue;

use super::{Actor, Alarm, Next, Peer, Place};
use crate::workloads::{CAPACITY, Timed, Timers};

/// Which of tokio's schedulers runs a single worker.
#[derive(Clone, Copy, PartialEq)]
pub enum Scheduler {
    /// The one without locks and thieves, on a thread of its own, when there is one worker only.
    CurrentThread,
    /// The work-stealing one, always.
    MultiThread,
}

impl Scheduler {
    /// Starts a runtime for the rest of the process. The calling thread can spawn on it.
    ///
    /// Returns whether it can move its other tasks away from a long turn.
    pub fn start(self, workers: usize) -> bool {
        let single = workers == 1 && self == Scheduler::CurrentThread;
        let handle = if single {
            current_thread()
        } else {
            multi_thread(workers)
        };
        let handle: &'static Handle = Box::leak(Box::new(handle));
        std::mem::forget(handle.enter());
        !single
    }
}

fn current_thread() -> Handle {
    let (ready, handle) = std_mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("threads and timers are available");
        ready
            .send(runtime.handle().clone())
            .expect("the starter waits");
        runtime.block_on(pending::<()>());
    });
    handle
        .recv()
        .expect("the runtime's thread sends its handle")
}

fn multi_thread(workers: usize) -> Handle {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build();
    let runtime = Box::leak(Box::new(runtime.expect("threads and timers are available")));
    runtime.handle().clone()
}

/// Tokio tasks.
#[derive(Clone)]
pub struct Tokio {
    can_block: bool,
}

impl Tokio {
    pub fn start(workers: usize, scheduler: Scheduler) -> Tokio {
        Tokio {
            can_block: scheduler.start(workers),
        }
    }
}

/// How many messages a task takes from its channel at once.
const BATCH: usize = 256;

async fn serve<A: Actor<Tokio>>(mut actor: A, mut mailbox: mpsc::Receiver<A::Message>) {
    if A::STREAM {
        let mut batch = Vec::new();
        while mailbox.recv_many(&mut batch, BATCH).await > 0 {
            for message in batch.drain(..) {
                if actor.handle(message).await == Next::Stop {
                    return;
                }
            }
        }
    } else {
        while let Some(message) = mailbox.recv().await {
            if actor.handle(message).await == Next::Stop {
                return;
            }
        }
    }
}

type Question = (u64, oneshot::Sender<u64>);

impl Peer for Tokio {
    type Address<A: Actor<Self>> = mpsc::Sender<A::Message>;
    type Echo = mpsc::Sender<Question>;
    const BURST: u64 = u64::MAX;

    fn spawn<A: Actor<Self>>(&self, _: Place, actor: A) -> Self::Address<A> {
        let (address, mailbox) = mpsc::channel(CAPACITY);
        tokio::spawn(serve(actor, mailbox));
        address
    }

    async fn tell<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        // What is sent to a task that has ended is lost.
        if let Err(TrySendError::Full(message)) = to.try_send(message) {
            let _ = to.send(message).await;
        }
    }

    fn tell_outside<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        let _ = to.blocking_send(message);
    }

    fn spawn_echo(&self) -> Self::Echo {
        let (address, mut mailbox) = mpsc::channel::<Question>(CAPACITY);
        tokio::spawn(async move {
            while let Some((number, reply)) = mailbox.recv().await {
                let _ = reply.send(number + 1);
            }
        });
        address
    }

    async fn ask(to: &Self::Echo, number: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        if let Err(TrySendError::Full(question)) = to.try_send((number, reply)) {
            to.send(question).await.expect("the echo lives");
        }
        answer.await.expect("the echo answers")
    }

    fn ask_outside(to: &Self::Echo, number: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        to.blocking_send((number, reply)).expect("the echo lives");
        answer.blocking_recv().expect("the echo answers")
    }

    fn inside(&self, future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }

    /// One task with a `DelayQueue`, the wheel that `tokio-util` has for this.
    fn timers(&self, load: &Timers) -> Timed {
        let (mut alarm, rung) = Alarm::new(load);
        let laps = alarm.laps();
        let mut queue = DelayQueue::with_capacity(load.count as usize);
        self.inside(async move {
            alarm.arm(|due, fired| {
                let key = queue.insert_at(fired, due.into());
                laps.armed.pass();
                key
            });
            alarm.cancel(|key| drop(queue.remove(key)));
            while let Some(expired) = poll_fn(|context| queue.poll_expired(context)).await {
                alarm.fired(expired.get_ref());
            }
        });
        Timed {
            arm: laps.armed.wait(),
            cancel: laps.cancelled.wait(),
            rung: rung.recv().expect("the alarm sends what it saw"),
        }
    }

    fn announces_long_turns(&self) -> bool {
        self.can_block
    }

    fn long_turn(&self, turn: impl FnOnce()) {
        tokio::task::block_in_place(turn);
    }
}
