//! Actix: each actor stays on the thread of its arbiter, and there is one arbiter a worker.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context as TaskContext, Poll, Waker};
use std::thread;

use actix::{Actor as _, ActorContext as _, Addr, Arbiter, ArbiterHandle, Context, Handler};

use tokio::task::AbortHandle;

use super::{Actor, Next, Peer, Place};
use crate::park;
use crate::workloads::BURST;

/// Actix with its arbiters.
#[derive(Clone)]
pub struct Actix {
    arbiters: Arc<[ArbiterHandle]>,
}

impl Actix {
    pub fn start(workers: usize) -> Actix {
        let (ready, arbiters) = mpsc::channel();
        thread::spawn(move || {
            actix::System::new().block_on(async move {
                let arbiters: Vec<_> = (0..workers).map(|_| Arbiter::new()).collect();
                ready
                    .send(arbiters.iter().map(Arbiter::handle).collect())
                    .expect("the starter waits");
                pending::<()>().await;
            });
        });
        Actix {
            arbiters: arbiters
                .recv()
                .expect("the system's thread sends its arbiters"),
        }
    }

    fn start_actor<S: Send + 'static>(&self, place: Place, state: S) -> Addr<Host<S>> {
        match place {
            Place::Here => Host(state).start(),
            Place::Worker(worker) => {
                let arbiter = &self.arbiters[worker % self.arbiters.len()];
                Host::start_in_arbiter(arbiter, |_| Host(state))
            }
        }
    }
}

/// Makes an actor of actix's of any state.
pub struct Host<S>(S);

impl<S> Unpin for Host<S> {}

impl<S: 'static> actix::Actor for Host<S> {
    type Context = Context<Self>;
}

/// Gives a workload's message the result type that actix asks for.
struct Letter<M>(M);

impl<M: 'static> actix::Message for Letter<M> {
    type Result = ();
}

impl<A: Actor<Actix>> Handler<Letter<A::Message>> for Host<A> {
    type Result = ();

    fn handle(&mut self, Letter(message): Letter<A::Message>, context: &mut Context<Self>) {
        // A workload's handler waits for nothing but room, and `do_send` needs none: one poll
        // ends it, and saves the box that actix wants for a handler that may wait.
        let mut task = TaskContext::from_waker(Waker::noop());
        match pin!(self.0.handle(message)).poll(&mut task) {
            Poll::Ready(Next::Wait) => {}
            Poll::Ready(Next::Stop) => context.stop(),
            Poll::Pending => unreachable!("a handler of a workload waited"),
        }
    }
}

/// Answers `n + 1` to `n`.
pub struct Echo;

struct Question(u64);

impl actix::Message for Question {
    type Result = u64;
}

impl Handler<Question> for Host<Echo> {
    type Result = u64;

    fn handle(&mut self, Question(number): Question, _: &mut Context<Self>) -> u64 {
        number + 1
    }
}

impl Peer for Actix {
    type Address<A: Actor<Self>> = Addr<Host<A>>;
    type Echo = Addr<Host<Echo>>;
    const BURST: u64 = BURST;

    fn spawn<A: Actor<Self>>(&self, place: Place, actor: A) -> Self::Address<A> {
        self.start_actor(place, actor)
    }

    async fn tell<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        to.do_send(Letter(message));
    }

    fn tell_outside<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        to.do_send(Letter(message));
    }

    fn spawn_echo(&self) -> Self::Echo {
        self.start_actor(Place::Worker(0), Echo)
    }

    async fn ask(to: &Self::Echo, number: u64) -> u64 {
        to.send(Question(number)).await.expect("the echo answers")
    }

    fn ask_outside(to: &Self::Echo, number: u64) -> u64 {
        park::block_on(Self::ask(to, number))
    }

    /// On the thread of the first arbiter, beside its actors.
    fn inside(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.arbiters[0].spawn(future);
    }

    /// On the arbiter of the actor that spawns it. Its context could arm and cancel timers too, but
    /// it looks through all of them for each that is cancelled, and polls all when one fires.
    fn task(future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        actix::spawn(future).abort_handle()
    }
}
