//! Xtra: bounded mailboxes.

use std::future::Future;

use xtra::{Address, Context, Handler, Mailbox};

use super::tokio_tasks::Scheduler;
use super::{Actor, Next, Peer, Place};
use crate::park;
use crate::workloads::CAPACITY;

/// Xtra on tokio.
#[derive(Clone)]
pub struct Xtra {
    can_block: bool,
}

impl Xtra {
    pub fn start(workers: usize, scheduler: Scheduler) -> Xtra {
        Xtra {
            can_block: scheduler.start(workers),
        }
    }
}

/// Makes an actor of xtra's of any state.
pub struct Host<S>(S);

impl<S: Send + 'static> xtra::Actor for Host<S> {
    type Stop = ();

    async fn stopped(self) {}
}

fn spawn<S: Send + 'static>(state: S) -> Address<Host<S>> {
    xtra::spawn_tokio(Host(state), Mailbox::bounded(CAPACITY))
}

impl<A: Actor<Xtra>> Handler<A::Message> for Host<A> {
    type Return = ();

    async fn handle(&mut self, message: A::Message, context: &mut Context<Self>) {
        if self.0.handle(message).await == Next::Stop {
            context.stop_self();
        }
    }
}

/// Answers `n + 1` to `n`.
pub struct Echo;

impl Handler<u64> for Host<Echo> {
    type Return = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Self>) -> u64 {
        number + 1
    }
}

impl Peer for Xtra {
    type Address<A: Actor<Self>> = Address<Host<A>>;
    type Echo = Address<Host<Echo>>;
    const BURST: u64 = u64::MAX;

    fn spawn<A: Actor<Self>>(&self, _: Place, actor: A) -> Self::Address<A> {
        spawn(actor)
    }

    async fn tell<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        // Detached: waits for room only. What is sent to an actor that has ended is lost.
        let _ = to.send(message).detach().await;
    }

    fn tell_outside<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message) {
        park::block_on(Self::tell::<A>(to, message));
    }

    fn spawn_echo(&self) -> Self::Echo {
        spawn(Echo)
    }

    async fn ask(to: &Self::Echo, number: u64) -> u64 {
        to.send(number).await.expect("the echo answers")
    }

    fn ask_outside(to: &Self::Echo, number: u64) -> u64 {
        park::block_on(Self::ask(to, number))
    }

    /// Xtra's actors are tasks, and so is this.
    fn inside(&self, future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }

    fn announces_long_turns(&self) -> bool {
        self.can_block
    }

    fn long_turn(&self, turn: impl FnOnce()) {
        tokio::task::block_in_place(turn);
    }
}
