//! Scatter and gather: one question to many actors, their answers as one message.

use super::{Outcome, Plan, Steps, flag};
use crate::actor::{ActorRef, Behavior};
use crate::ask::{AskError, Reply};
use crate::dispatcher::worker::{self, Worker};
use crate::envelope::{Inside, Kind, Parcel};
use crate::plan::timers::nanoseconds;
use crate::sync::{Arc, Mutex, lock};
use std::marker::PhantomData;
use std::time::Duration;

/// A question to many that is being built; [`GatherStep::on_done`] makes it a plan.
#[must_use = "a question does nothing until it is part of a plan"]
pub struct GatherStep<B, T> {
    requests: Vec<(Parcel, u64, u32)>,
    timeout: Option<Duration>,
    types: PhantomData<fn() -> (B, T)>,
}

/// What has come so far, in the order of the targets.
struct Gathering<T, F> {
    outcomes: Vec<Option<Result<T, AskError>>>,
    open: usize,
    on_done: Option<F>,
}

impl<T, F> Gathering<T, F> {
    /// Takes note of one outcome; all of them after the last.
    fn note(&mut self, place: usize, outcome: Result<T, AskError>) -> Option<(F, Outcomes<T>)> {
        self.outcomes[place] = Some(outcome);
        self.open -= 1;
        if self.open > 0 {
            return None;
        }
        let outcomes = self.outcomes.drain(..).flatten().collect();
        Some((self.on_done.take()?, outcomes))
    }
}

/// The outcome of each question, in the order of the targets.
type Outcomes<T> = Vec<Result<T, AskError>>;

impl<B: Behavior, T: Send + 'static> GatherStep<B, T> {
    /// How long to wait for the last answer; the asker's default if not given, as for any ask.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// When every question has its outcome, and so at the deadline at the latest, they become the
    /// message that `on_done` makes of them, in the asker's own turn. They come in the order of the
    /// targets: an answer each, or why there is none. At once, and empty, where there are no targets.
    pub fn on_done(
        self,
        on_done: impl FnOnce(Vec<Result<T, AskError>>) -> B::Message + Send + 'static,
    ) -> Plan<B> {
        if self.requests.is_empty() {
            return nobody(on_done);
        }
        let timeout_ns = self.timeout.map_or(0, |time| nanoseconds(time).max(1));
        let count = self.requests.len();
        let gathering = Arc::new(Mutex::new(Gathering {
            outcomes: std::iter::repeat_with(|| None).take(count).collect(),
            open: count,
            on_done: Some(on_done),
        }));
        let mut plan = Plan::none();
        for (place, (request, number, system)) in self.requests.into_iter().enumerate() {
            let gathering = gathering.clone();
            let heard = move |outcome: Outcome| {
                let outcome = outcome.map(Inside::try_take::<T>).map(|answer| {
                    answer.unwrap_or_else(|| unreachable!("an answer is of the type asked for"))
                });
                let done = lock(&gathering).note(place, outcome);
                done.map(|(on_done, outcomes)| on_done(outcomes))
            };
            let note = [number, timeout_ns];
            let heard =
                Parcel::closure::<Outcome, Option<B::Message>, _>(Kind::Gather, heard, note);
            let flags = flag::SEND | flag::OWN | flag::LIMITED;
            let mut steps = Steps::one(request, flags, system);
            steps.list.push_back(heard);
            plan.steps.append(steps);
        }
        plan
    }
}

/// The message of a question to nobody.
fn nobody<B: Behavior, T: Send + 'static>(
    on_done: impl FnOnce(Vec<Result<T, AskError>>) -> B::Message + Send + 'static,
) -> Plan<B> {
    let make = move |()| on_done(Vec::new());
    let notice = Parcel::closure::<(), B::Message, _>(Kind::Notice, make, [0; 2]);
    let send = move |worker: &Worker| worker.send_to(worker.me(), notice);
    let steps = super::children::step(flag::OTHER, send);
    Plan { event: None, steps }
}

impl<B: Behavior> Plan<B> {
    /// Asks each of `targets`: `question` makes the message around the right to answer it. Finish
    /// with [`GatherStep::on_done`].
    ///
    /// Each question is an ask of its own, admitted with the others or not at all; the answers that
    /// came are not lost where others did not. One allocation for all, and those of the list.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    ///
    /// struct Price(Reply<u64>);
    ///
    /// /// Asks all shops and answers with the lowest price.
    /// #[derive(Clone, Copy)]
    /// struct Comparing { shops: [ActorRef<Price>; 3] }
    /// enum Message { Ask(Reply<u64>), Heard(Vec<Result<u64, AskError>>, Reply<u64>) }
    /// # struct Nothing;
    /// # impl Machine for Nothing {
    /// #     type Event = ();
    /// #     fn apply(&mut self, _: ()) {}
    /// # }
    ///
    /// impl Behavior for Comparing {
    ///     # type Machine = Nothing;
    ///     type Message = Message;
    ///     // …
    ///     fn on_message(&self, message: Message, _: Snapshot<Self>) -> Plan<Self> {
    ///         match message {
    ///             Message::Ask(reply) => Plan::gather(self.shops, Price)
    ///                 .timeout(std::time::Duration::from_secs(1))
    ///                 .on_done(|prices| Message::Heard(prices, reply)),
    ///             Message::Heard(prices, reply) => {
    ///                 let lowest = prices.into_iter().flatten().min();
    ///                 Plan::reply(reply, lowest.unwrap_or(u64::MAX))
    ///             }
    ///         }
    ///     }
    /// }
    /// # #[derive(Clone, Copy)]
    /// # struct Shop { price: u64 }
    /// # impl Behavior for Shop {
    /// #     type Machine = Nothing;
    /// #     type Message = Price;
    /// #     fn on_message(&self, Price(reply): Price, _: Snapshot<Self>) -> Plan<Self> {
    /// #         Plan::reply(reply, self.price)
    /// #     }
    /// # }
    ///
    /// # let system = System::new()?;
    /// # let shop = |price| system.spawn(Shop { price }, Nothing).map(|shop| shop.actor());
    /// let shops = [shop(30)?, shop(20)?, shop(25)?];
    /// let comparing = system.spawn(Comparing { shops }, Nothing)?;
    /// assert_eq!(comparing.ask(Message::Ask).wait()?, 20);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn gather<M: Send + 'static, T: Send + 'static>(
        targets: impl IntoIterator<Item = ActorRef<M>>,
        question: impl Fn(Reply<T>) -> M,
    ) -> GatherStep<B, T> {
        let ask = |to: ActorRef<M>| {
            let (asker, number) = worker::next_ask();
            let request = Parcel::asking(question(Reply::to_actor(asker, number)));
            request.set_cell(to.address.cell);
            request.set_generation(to.address.generation.get());
            (request, number, to.address.system)
        };
        GatherStep {
            requests: targets.into_iter().map(ask).collect(),
            timeout: None,
            types: PhantomData,
        }
    }
}
