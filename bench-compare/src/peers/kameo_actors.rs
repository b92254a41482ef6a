//! Kameo: bounded mailboxes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use kameo::actor::{ActorRef, Spawn};
use kameo::error::SendError;
use kameo::mailbox;
use kameo::message::{Context, Message};

use super::tokio_tasks::Scheduler;
use super::{Actor, Next, Peer, Place};
use crate::workloads::CAPACITY;

/// Kameo on tokio.
#[derive(Clone)]
pub struct Kameo {
    can_block: bool,
}

impl Kameo {
    pub fn start(workers: usize, scheduler: Scheduler) -> Kameo {
        Kameo {
            can_block: scheduler.start(workers),
        }
    }
}

/// Makes an actor of kameo's of any state.
pub struct Host<S>(S);

impl<S: Send + 'static> kameo::Actor for Host<S> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(me: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(me)
    }
}

fn spawn<S: Send + 'static>(state: S) -> ActorRef<Host<S>> {
    Host::spawn_with_mailbox(Host(state), mailbox::bounded(CAPACITY))
}

impl<A: Actor<Kameo>> Message<A::Message> for Host<A> {
    type Reply = ();

    async fn handle(&mut self, message: A::Message, context: &mut Context<Self, ()>) {
        if self.0.handle(message).await == Next::Stop {
            context.stop();
        }
    }
}

/// Answers `n + 1` to `n`.
pub struct Echo;

impl Message<u64> for Host<Echo> {
    type Reply = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Self, u64>) -> u64 {
        number + 1
    }
}

/// Runs one future in its handler.
struct Inside;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Message<Job> for Host<Inside> {
    type Reply = ();

    async fn handle(&mut self, job: Job, context: &mut Context<Self, ()>) {
        job.await;
        context.stop();
    }
}

impl Peer for Kameo {
    type Address<A: Actor<Self>> = ActorRef<Host<A>>;
    type Echo = ActorRef<Host<Echo>>;
    const BURST: u64 = u64::MAX;

    fn spawn<A: Actor<Self>>(&self, _: Place, actor: A) -> Self::Address<A> {
        spawn(actor)
    }

    async fn tell<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        // What is sent to an actor that has ended is lost.
        if let Err(SendError::MailboxFull(message)) = to.tell(message).try_send() {
            let _ = to.tell(message).send().await;
        }
    }

    fn tell_outside<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        let _ = to.tell(message).blocking_send();
    }

    fn spawn_echo(&self) -> Self::Echo {
        spawn(Echo)
    }

    async fn ask(to: &Self::Echo, number: u64) -> u64 {
        to.ask(number).send().await.expect("the echo answers")
    }

    fn ask_outside(to: &Self::Echo, number: u64) -> u64 {
        to.ask(number).blocking_send().expect("the echo answers")
    }

    fn inside(&self, future: impl Future<Output = ()> + Send + 'static) {
        let job: Job = Box::pin(future);
        let _ = spawn(Inside).tell(job).blocking_send();
    }

    fn announces_long_turns(&self) -> bool {
        self.can_block
    }

    fn long_turn(&self, turn: impl FnOnce()) {
        tokio::task::block_in_place(turn);
    }
}
