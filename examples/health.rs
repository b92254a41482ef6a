//! A health monitor: a check every 30 seconds, by an ask that may time out, until it is stopped.
//!
//! `cargo run --example health`

use mainspring::prelude::*;
use mainspring::{Clock, plan};
use std::time::Duration;

const CHECK: Key = Key::named("check");
const INTERVAL: Duration = Duration::from_secs(30);
const SERVICES: [&str; 3] = ["database", "cache", "external-api"];

#[derive(Clone)]
enum Health {
    Started {
        interval: Duration,
        next_check: Duration,
    },
    Asked,
    Completed {
        check: u32,
        services: Vec<&'static str>,
        took: Duration,
    },
    Failed {
        check: u32,
        error: AskError,
        at: Duration,
    },
    Stopped {
        at: Duration,
        total: u32,
    },
}

#[derive(Default)]
struct Checks {
    total: u32,
}
impl Machine for Checks {
    type Event = Health;
    fn apply(&mut self, event: Health) {
        if let Health::Asked = event {
            self.total += 1;
        }
    }
}

#[derive(Clone, Copy)]
struct Monitoring {
    health: ActorRef<CheckServices>,
}
#[derive(Clone)]
enum Monitor {
    Start,
    Perform,
    Answered {
        check: u32,
        asked_at: Duration,
        services: Vec<&'static str>,
    },
    NotAnswered {
        check: u32,
        error: AskError,
    },
    Stop,
}
impl Behavior for Monitoring {
    type Machine = Checks;
    type Message = Monitor;
    fn on_message(&self, message: Monitor, checks: Snapshot<Self>) -> Plan<Self> {
        let now = checks.now();
        match message {
            Monitor::Start => plan![
                Plan::emit(Health::Started {
                    interval: INTERVAL,
                    next_check: now + INTERVAL
                }),
                Plan::every(CHECK, INTERVAL, Monitor::Perform),
            ],
            Monitor::Perform => {
                let check = checks.total + 1;
                plan![
                    Plan::emit(Health::Asked),
                    Plan::ask(self.health, |reply| CheckServices(SERVICES.to_vec(), reply))
                        .on_ok(move |services| {
                            Monitor::Answered {
                                check,
                                asked_at: now,
                                services,
                            }
                        })
                        .on_error(move |error| Monitor::NotAnswered { check, error }),
                ]
            }
            Monitor::Answered {
                check,
                asked_at,
                services,
            } => {
                let took = now - asked_at;
                Plan::emit(Health::Completed {
                    check,
                    services,
                    took,
                })
            }
            Monitor::NotAnswered { check, error } => Plan::emit(Health::Failed {
                check,
                error,
                at: now,
            }),
            Monitor::Stop => plan![
                Plan::cancel(CHECK),
                Plan::emit(Health::Stopped {
                    at: now,
                    total: checks.total
                }),
            ],
        }
    }
}

struct CheckServices(Vec<&'static str>, Reply<Vec<&'static str>>);
#[derive(Default)]
struct Asked {
    times: u32,
    unanswered: Vec<Reply<Vec<&'static str>>>,
}
impl Machine for Asked {
    type Event = Option<Reply<Vec<&'static str>>>;
    fn apply(&mut self, unanswered: Self::Event) {
        self.times += 1;
        self.unanswered.extend(unanswered);
    }
}
/// Does not answer the second time.
#[derive(Clone, Copy)]
struct Checking;
impl Behavior for Checking {
    type Machine = Asked;
    type Message = CheckServices;
    fn on_message(
        &self,
        CheckServices(services, reply): CheckServices,
        asked: Snapshot<Self>,
    ) -> Plan<Self> {
        match asked.times {
            1 => Plan::emit(Some(reply)),
            _ => plan![Plan::emit(None), Plan::reply(reply, services)],
        }
    }
}

fn main() -> mainspring::Result {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock)?;
    let health = system.spawn(Checking, Asked::default())?.actor();
    let monitor = system.spawn(Monitoring { health }, Checks::default())?;
    let mut story = monitor.events(16);
    monitor.tell(Monitor::Start)?;
    for second in 0..100 {
        if second == 95 {
            monitor.tell(Monitor::Stop)?;
        }
        system.run_until_idle();
        while let Some(event) = story.try_next() {
            match event {
                Health::Asked => {}
                Health::Started {
                    interval,
                    next_check,
                } => {
                    println!("a check every {interval:?}, the first at {next_check:?}");
                }
                Health::Completed {
                    check,
                    services,
                    took,
                } => {
                    println!(
                        "check {check} took {took:?}: {} are well",
                        services.join(", ")
                    );
                }
                Health::Failed { check, error, at } => {
                    println!("check {check} failed at {at:?}: {error}");
                }
                Health::Stopped { at, total } => println!("stopped at {at:?} after {total} checks"),
            }
        }
        hand.advance(Duration::from_secs(1));
    }
    Ok(())
}
