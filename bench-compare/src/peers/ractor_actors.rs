//! Ractor: mailboxes without a bound.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use ractor::{ActorProcessingErr, ActorRef, ActorRuntime, RpcReplyPort};

use super::tokio_tasks::Scheduler;
use super::{Actor, Next, Peer, Place};
use crate::park;
use crate::workloads::BURST;

/// Ractor on tokio.
#[derive(Clone)]
pub struct Ractor {
    can_block: bool,
}

impl Ractor {
    pub fn start(workers: usize, scheduler: Scheduler) -> Ractor {
        Ractor {
            can_block: scheduler.start(workers),
        }
    }
}

/// Runs an actor of a workload, which is its state.
struct Host<A>(PhantomData<fn() -> A>);

impl<A: Actor<Ractor>> ractor::Actor for Host<A> {
    type Msg = A::Message;
    type State = A;
    type Arguments = A;

    async fn pre_start(&self, _: ActorRef<A::Message>, actor: A) -> Result<A, ActorProcessingErr> {
        Ok(actor)
    }

    async fn handle(
        &self,
        me: ActorRef<A::Message>,
        message: A::Message,
        actor: &mut A,
    ) -> Result<(), ActorProcessingErr> {
        if actor.handle(message).await == Next::Stop {
            me.stop(None);
        }
        Ok(())
    }
}

/// Answers `n + 1` to `n`.
struct Echo;

pub struct Question(u64, RpcReplyPort<u64>);

impl ractor::Actor for Echo {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Question>,
        Question(number, reply): Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        reply.send(number + 1)?;
        Ok(())
    }
}

/// Runs one future in its handler.
struct Inside;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

impl ractor::Actor for Inside {
    type Msg = Job;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Job>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<Job>,
        job: Job,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        job.await;
        me.stop(None);
        Ok(())
    }
}

fn spawn<H: ractor::Actor>(handler: H, state: H::Arguments) -> ActorRef<H::Msg> {
    let spawned = ActorRuntime::spawn_instant(None, handler, state);
    spawned.expect("an actor without a name always starts").0
}

impl Peer for Ractor {
    type Address<A: Actor<Self>> = ActorRef<A::Message>;
    type Echo = ActorRef<Question>;
    const BURST: u64 = BURST;

    fn spawn<A: Actor<Self>>(&self, _: Place, actor: A) -> Self::Address<A> {
        spawn(Host(PhantomData), actor)
    }

    async fn tell<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        let _ = to.send_message(message);
    }

    fn tell_outside<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        let _ = to.send_message(message);
    }

    fn spawn_echo(&self) -> Self::Echo {
        spawn(Echo, ())
    }

    async fn ask(to: &Self::Echo, number: u64) -> u64 {
        let answer = to.call(|reply| Question(number, reply), None).await;
        answer.expect("the echo lives").expect("the echo answers")
    }

    fn ask_outside(to: &Self::Echo, number: u64) -> u64 {
        park::block_on(Self::ask(to, number))
    }

    fn inside(&self, future: impl Future<Output = ()> + Send + 'static) {
        let job: Job = Box::pin(future);
        let _ = spawn(Inside, ()).send_message(job);
    }

    fn announces_long_turns(&self) -> bool {
        self.can_block
    }

    fn long_turn(&self, turn: impl FnOnce()) {
        tokio::task::block_in_place(turn);
    }
}
