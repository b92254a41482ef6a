//! A server that answers in time or says that it cannot: it asks its source of data, which has 4.5
//! seconds, and answers its own asker later, with the data or with an error of its own.
//!
//! `cargo run --example server_timeout`

use mainspring::prelude::*;
use mainspring::{Clock, plan};
use std::collections::HashMap;
use std::time::Duration;

type Answer = Result<String, &'static str>;

#[derive(Default)]
struct Requests {
    last: u64,
    open: HashMap<u64, Deferred<Answer>>,
}
#[derive(Clone)]
enum Data {
    Requested(Deferred<Answer>),
    Fetched {
        request: u64,
        data: String,
        at: Duration,
    },
    FetchFailed {
        request: u64,
        error: AskError,
    },
}
impl Machine for Requests {
    type Event = Data;
    fn apply(&mut self, event: Data) {
        match event {
            Data::Requested(reply) => {
                self.last += 1;
                self.open.insert(self.last, reply);
            }
            Data::Fetched { request, .. } | Data::FetchFailed { request, .. } => {
                self.open.remove(&request);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Serving {
    source: ActorRef<Source>,
}
enum Serve {
    Request(Reply<Answer>),
    Fetched(u64, String),
    Failed(u64, AskError),
}
impl Behavior for Serving {
    type Machine = Requests;
    type Message = Serve;
    fn on_message(&self, message: Serve, requests: Snapshot<Self>) -> Plan<Self> {
        match message {
            Serve::Request(reply) => {
                let request = requests.last + 1;
                plan![
                    Plan::emit(Data::Requested(reply.defer())),
                    Plan::ask(self.source, move |reply| Source::Fetch { request, reply })
                        .timeout(Duration::from_millis(4_500))
                        .on_ok(move |data| Serve::Fetched(request, data))
                        .on_error(move |error| Serve::Failed(request, error)),
                ]
            }
            Serve::Fetched(request, data) => plan![
                Plan::reply_deferred(&requests.open[&request], Ok(data.clone())),
                Plan::emit(Data::Fetched {
                    request,
                    data,
                    at: requests.now()
                }),
            ],
            Serve::Failed(request, error) => plan![
                Plan::reply_deferred(&requests.open[&request], Err("timeout")),
                Plan::emit(Data::FetchFailed { request, error }),
            ],
        }
    }
}

enum Source {
    Fetch { request: u64, reply: Reply<String> },
    Done { request: u64 },
}
#[derive(Default)]
struct Work(HashMap<u64, Deferred<String>>);
struct Begun(u64, Deferred<String>);
impl Machine for Work {
    type Event = Begun;
    fn apply(&mut self, Begun(request, reply): Begun) {
        self.0.insert(request, reply);
    }
}
/// Takes 4 seconds for the first request, 8 for the second.
#[derive(Clone, Copy)]
struct Fetching;
impl Behavior for Fetching {
    type Machine = Work;
    type Message = Source;
    fn on_message(&self, message: Source, work: Snapshot<Self>) -> Plan<Self> {
        match message {
            Source::Fetch { request, reply } => plan![
                Plan::emit(Begun(request, reply.defer())),
                Plan::after(
                    request,
                    Duration::from_secs(4 * request),
                    Source::Done { request }
                ),
            ],
            Source::Done { request } => {
                Plan::reply_deferred(&work.0[&request], format!("the data of {request}"))
            }
        }
    }
}

fn main() -> mainspring::Result {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock)?;
    let source = system.spawn(Fetching, Work::default())?.actor();
    let server = system.spawn(Serving { source }, Requests::default())?;
    let mut events = server.events(16);
    for _ in 0..2 {
        let answer = server.ask(Serve::Request);
        for _ in 0..10 {
            system.run_until_idle();
            while let Some(event) = events.try_next() {
                match event {
                    Data::Requested(_) => println!("requested"),
                    Data::Fetched { request, data, at } => {
                        println!("fetched {request} at {at:?}: {data}");
                    }
                    Data::FetchFailed { request, error } => {
                        println!("failed {request}: {error}");
                    }
                }
            }
            hand.advance(Duration::from_millis(500));
        }
        println!("the answer: {:?}", answer.wait()?);
    }
    Ok(())
}
