//! The supervisor: a behavior that decides, and a machine that knows its children.
//!
//! - V1: at most one child starts at a time, the first that is ready; none while one still stops.
//! - V2: a child that is parked for the restart of another waits for that one's time.
//! - V3: each restart passes the system's ceiling when its time has come.

use super::spec::ChildSpec;
use super::{Change, ChildNews, Decision, Restart, Strategy, decide};
use crate::actor::{Address, Behavior, Exit, Machine, Snapshot};
use crate::ask::Reply;
use crate::dispatcher::worker;
use crate::plan::Plan;
use crate::plan::timers::Key;
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What a supervisor can be told.
#[non_exhaustive]
pub enum SupervisorMessage {
    /// A further child, at the end of the list; the answer is its address once it is made.
    Start(ChildSpec, Reply<Address>),
    /// Which children there are, in order.
    Which(Reply<Vec<ChildStatus>>),
    /// Stops the children in reverse order, each with its deadline, and then the supervisor. A
    /// child that is a supervisor does the same first.
    Stop,
    #[doc(hidden)]
    News { key: u64, news: ChildNews },
    #[doc(hidden)]
    Due { key: u64, passed: bool },
    #[doc(hidden)]
    StartLate { key: u64, incarnation: u32 },
    #[doc(hidden)]
    StopLate { key: u64, incarnation: u32 },
    #[doc(hidden)]
    Next,
}

/// What happens to a supervisor's children, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Supervision {
    /// A child has its place and address.
    Added {
        /// Its number.
        key: u64,
        /// Its address, which stays.
        child: Address,
        /// Its spec.
        spec: ChildSpec,
    },
    /// A child is told to start.
    Starting {
        /// Its number.
        key: u64,
    },
    /// A child has started for the first time.
    Started {
        /// Its number.
        key: u64,
        /// Its id.
        id: Arc<str>,
        /// When, since the system's clock began.
        at: Duration,
    },
    /// An incarnation ended, and not because the supervisor stopped it.
    Crashed {
        /// The child's number.
        key: u64,
        /// Its id.
        id: Arc<str>,
        /// Its address.
        child: Address,
        /// Which incarnation.
        incarnation: u32,
        /// Why.
        reason: Exit,
        /// Its spec.
        spec: ChildSpec,
    },
    /// A crashed child will start anew.
    Restarting {
        /// Its number.
        key: u64,
        /// Its id.
        id: Arc<str>,
        /// After how long.
        delay: Duration,
        /// The how manieth restart since it was last healthy, from 1.
        attempt: u32,
        /// Why it ended.
        reason: Exit,
        /// When it ended, since the system's clock began.
        at: Duration,
    },
    /// A child is stopped because another restarts; it starts with that one.
    Stopping {
        /// Its number.
        key: u64,
        /// The number of the one that restarts.
        by: u64,
    },
    /// A stopped child is parked.
    Parked {
        /// Its number.
        key: u64,
    },
    /// The time of a restart has come.
    Ready {
        /// The number of the child that crashed.
        key: u64,
    },
    /// A child has started anew, in its old place.
    Restarted {
        /// Its number.
        key: u64,
        /// Its id.
        id: Arc<str>,
        /// Its address, the same as before.
        child: Address,
        /// The new incarnation.
        incarnation: u32,
        /// How often it has crashed.
        previous_crashes: u32,
        /// When, since the system's clock began.
        at: Duration,
    },
    /// A child's budget is spent: the supervisor ends, by [`Exit::Killed`].
    Failed {
        /// Its number.
        key: u64,
        /// Its id.
        id: Arc<str>,
        /// How many restarts it had in the window.
        final_attempt: u32,
        /// Why it ended last.
        reason: Exit,
    },
    /// A child has ended for good.
    Ended {
        /// Its number.
        key: u64,
        /// Its id.
        id: Arc<str>,
        /// Why.
        reason: Exit,
    },
    /// The supervisor stops its children.
    Closing,
}

/// No child's number: one that stops for a restart whose time has come already.
const NOBODY: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Parked, and may start.
    Ready,
    Starting,
    Running,
    /// Told to stop for the restart of another.
    Stopping {
        by: u64,
    },
    /// Waits for the time of a restart.
    Parked {
        by: u64,
    },
    Ended,
}

#[derive(Debug)]
struct Child {
    key: u64,
    address: Address,
    spec: ChildSpec,
    phase: Phase,
    incarnation: u32,
    crashes: u32,
    attempt: u32,
    started_at: Duration,
    restarts: VecDeque<Duration>,
}

/// One child as its supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Its id.
    pub id: Arc<str>,
    /// Its address.
    pub child: Address,
    /// Its incarnation, 0 before the first start.
    pub incarnation: u32,
    /// How often it crashed.
    pub crashes: u32,
    /// Whether it runs now.
    pub runs: bool,
}

/// A supervisor's machine: its children and what it does about their ends.
#[derive(Debug)]
pub struct Children {
    strategy: Strategy,
    seed: u64,
    specs: Vec<ChildSpec>,
    list: Vec<Child>,
    next_key: u64,
    closing: bool,
}

impl Children {
    /// These children, started in order; all stop in reverse.
    pub fn new(strategy: Strategy, specs: impl Into<Vec<ChildSpec>>) -> Self {
        Self {
            strategy,
            seed: 0,
            specs: specs.into(),
            list: Vec::new(),
            next_key: 1,
            closing: false,
        }
    }

    /// Decides the jitter of restarts; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn place(&self, key: u64) -> Option<usize> {
        self.list.binary_search_by_key(&key, |child| child.key).ok()
    }

    fn get(&self, key: u64) -> Option<&Child> {
        Some(&self.list[self.place(key)?])
    }

    fn set(&mut self, key: u64, change: impl FnOnce(&mut Child)) {
        if let Some(place) = self.place(key) {
            change(&mut self.list[place]);
        }
    }
}

impl Machine for Children {
    type Event = Supervision;

    fn apply(&mut self, event: Supervision) {
        match event {
            Supervision::Added { key, child, spec } => {
                self.next_key = key + 1;
                self.list.push(Child {
                    key,
                    address: child,
                    spec,
                    phase: Phase::Ready,
                    incarnation: 0,
                    crashes: 0,
                    attempt: 0,
                    started_at: Duration::ZERO,
                    restarts: VecDeque::new(),
                });
            }
            Supervision::Starting { key } => self.set(key, |child| {
                child.phase = Phase::Starting;
                child.incarnation += 1;
            }),
            Supervision::Started { key, at, .. } | Supervision::Restarted { key, at, .. } => {
                self.set(key, |child| {
                    child.phase = Phase::Running;
                    child.started_at = at;
                });
            }
            Supervision::Crashed { key, .. } => self.set(key, |child| {
                child.phase = Phase::Parked { by: key };
                child.crashes += 1;
            }),
            Supervision::Restarting {
                key, attempt, at, ..
            } => self.set(key, |child| {
                child.attempt = attempt;
                child.restarts.push_back(at);
                if child.restarts.len() > child.spec.intensity.max as usize {
                    child.restarts.pop_front();
                }
            }),
            Supervision::Stopping { key, by } => self.set(key, |child| {
                child.phase = match child.phase {
                    Phase::Starting | Phase::Running | Phase::Stopping { .. } => {
                        Phase::Stopping { by }
                    }
                    Phase::Ready | Phase::Parked { .. } => Phase::Parked { by },
                    Phase::Ended => Phase::Ended,
                };
            }),
            Supervision::Parked { key } => self.set(key, |child| match child.phase {
                Phase::Stopping { by: NOBODY } => child.phase = Phase::Ready,
                Phase::Stopping { by } => child.phase = Phase::Parked { by },
                _ => {}
            }),
            Supervision::Ready { key } => {
                for child in &mut self.list {
                    match child.phase {
                        Phase::Parked { by } if by == key => child.phase = Phase::Ready,
                        Phase::Stopping { by } if by == key => {
                            child.phase = Phase::Stopping { by: NOBODY };
                        }
                        _ => {}
                    }
                }
            }
            Supervision::Ended { key, .. } => {
                self.set(key, |child| child.phase = Phase::Ended);
                if self.strategy == Strategy::Dynamic
                    && let Some(place) = self.place(key)
                {
                    self.list.remove(place);
                }
            }
            Supervision::Failed { .. } => {}
            Supervision::Closing => self.closing = true,
        }
    }
}

/// The behavior of a supervisor; its machine is [`Children`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Supervisor;

type Steps = Plan<Supervisor>;

fn next(me: &Snapshot<'_, Supervisor>) -> Steps {
    Plan::tell(me.me(), SupervisorMessage::Next)
}

/// The timer of a child's restart or deadline.
fn timer(key: u64) -> Key {
    Key::new(key)
}

fn add(key: u64, spec: ChildSpec) -> (Address, Steps) {
    let (child, step) = (spec.spawn)(key, spec.name.as_deref());
    let plan = Plan::emit(Supervision::Added { key, child, spec }).and(step);
    (child, plan)
}

impl Behavior for Supervisor {
    type Machine = Children;
    type Message = SupervisorMessage;

    fn stop_tree() -> Option<SupervisorMessage> {
        Some(SupervisorMessage::Stop)
    }

    fn on_start(&self, children: Snapshot<'_, Self>) -> Plan<Self> {
        let plan = children
            .specs
            .iter()
            .zip(children.next_key..)
            .fold(Plan::none(), |plan, (spec, key)| {
                plan.and(add(key, spec.clone()).1)
            });
        plan.and(next(&children))
    }

    fn on_message(&self, message: SupervisorMessage, children: Snapshot<'_, Self>) -> Plan<Self> {
        match message {
            SupervisorMessage::Start(spec, reply) => {
                let (child, plan) = add(children.next_key, spec);
                plan.and(Plan::reply(reply, child)).and(next(&children))
            }
            SupervisorMessage::Which(reply) => {
                let status = |child: &Child| ChildStatus {
                    id: child.spec.id.clone(),
                    child: child.address,
                    incarnation: child.incarnation,
                    crashes: child.crashes,
                    runs: child.phase == Phase::Running,
                };
                Plan::reply(reply, children.list.iter().map(status).collect())
            }
            SupervisorMessage::Stop => Plan::emit(Supervision::Closing).and(next(&children)),
            SupervisorMessage::News { key, news } => match children.get(key) {
                Some(child) if child.address == news.child => heard(&children, child, news),
                _ => Plan::none(),
            },
            SupervisorMessage::Due { key, passed } => due(&children, key, passed),
            SupervisorMessage::StartLate { key, incarnation } => match children.get(key) {
                Some(child)
                    if child.phase == Phase::Starting && child.incarnation == incarnation =>
                {
                    Plan::kill(child.address)
                }
                _ => Plan::none(),
            },
            SupervisorMessage::StopLate { key, incarnation } => match children.get(key) {
                Some(child) if child.incarnation == incarnation => Plan::kill(child.address),
                _ => Plan::none(),
            },
            SupervisorMessage::Next if children.closing => close(&children),
            SupervisorMessage::Next => start(&children),
        }
    }
}

/// What the news of a child leads to.
fn heard(children: &Snapshot<'_, Supervisor>, child: &Child, news: ChildNews) -> Steps {
    let (key, id) = (child.key, child.spec.id.clone());
    match news.change {
        Change::Started => {
            let at = children.now();
            let event = if news.incarnation == 1 {
                Supervision::Started { key, id, at }
            } else {
                Supervision::Restarted {
                    key,
                    id,
                    child: child.address,
                    incarnation: news.incarnation,
                    previous_crashes: child.crashes,
                    at,
                }
            };
            match child.phase {
                Phase::Starting => Plan::emit(event)
                    .and(Plan::cancel(timer(key)))
                    .and(next(children)),
                _ => Plan::none(),
            }
        }
        Change::Parked(_) if children.closing => Plan::end(child.address),
        Change::Parked(_) if matches!(child.phase, Phase::Stopping { .. }) => {
            let plan = Plan::emit(Supervision::Parked { key }).and(Plan::cancel(timer(key)));
            match child.spec.restart {
                Restart::Temporary => plan.and(Plan::end(child.address)),
                _ => plan.and(next(children)),
            }
        }
        Change::Parked(reason) => crashed(children, child, news.incarnation, reason),
        Change::Ended(reason) => Plan::emit(Supervision::Ended { key, id, reason })
            .and(Plan::cancel(timer(key)))
            .and(next(children)),
    }
}

/// What a crash leads to.
fn crashed(
    children: &Snapshot<'_, Supervisor>,
    child: &Child,
    incarnation: u32,
    reason: Exit,
) -> Steps {
    let (key, id, at) = (child.key, child.spec.id.clone(), children.now());
    let Some(place) = children.place(key) else {
        return Plan::none();
    };
    let spec = &child.spec;
    let plan = Plan::emit(Supervision::Crashed {
        key,
        id: id.clone(),
        child: child.address,
        incarnation,
        reason: reason.clone(),
        spec: spec.clone(),
    })
    .and(Plan::cancel(timer(key)));
    let budget = spec.intensity.allows(&child.restarts, at);
    let count = children.list.len();
    let group = match decide(
        children.strategy,
        spec.restart,
        &reason,
        place,
        count,
        budget,
    ) {
        Decision::Forget => return plan.and(Plan::end(child.address)).and(next(children)),
        Decision::Escalate => {
            let failed = Supervision::Failed {
                key,
                id,
                final_attempt: child.restarts.len() as u32,
                reason,
            };
            return plan.and(Plan::emit(failed)).and(Plan::kill(children.me()));
        }
        Decision::Restart(group) => group,
    };
    let was_up = child.phase == Phase::Running;
    let healthy = was_up && at.saturating_sub(child.started_at) >= spec.backoff.healthy_after;
    let attempt = if healthy { 1 } else { child.attempt + 1 };
    let delay = spec
        .backoff
        .delay(attempt, children.seed ^ key.rotate_left(32));
    let plan = plan.and(Plan::emit(Supervision::Restarting {
        key,
        id,
        delay,
        attempt,
        reason,
        at,
    }));
    let others = children.list[group].iter().rev();
    let plan = others
        .filter(|other| other.key != key && other.phase != Phase::Ended)
        .fold(plan, |plan, other| {
            let event = Supervision::Stopping {
                key: other.key,
                by: key,
            };
            let plan = plan
                .and(Plan::emit(event))
                .and(Plan::cancel(timer(other.key)));
            if matches!(other.phase, Phase::Ready | Phase::Parked { .. }) {
                return plan;
            }
            plan.and(Plan::stop_now(other.address))
                .and(stop_timer(other))
        });
    let passed = false;
    plan.and(Plan::after(
        timer(key),
        delay,
        SupervisorMessage::Due { key, passed },
    ))
}

fn stop_timer(child: &Child) -> Steps {
    let late = SupervisorMessage::StopLate {
        key: child.key,
        incarnation: child.incarnation,
    };
    Plan::after(timer(child.key), child.spec.stop_deadline, late)
}

/// The time of a restart has come: it may have to wait for the system's ceiling.
fn due(children: &Snapshot<'_, Supervisor>, key: u64, passed: bool) -> Steps {
    if !passed {
        let now_ns = children.now().as_nanos() as u64;
        let at_ns = worker::with(|worker| {
            worker.map_or(now_ns, |worker| lock(&worker.shared.restarts).take(now_ns))
        });
        if at_ns > now_ns {
            let wait = Duration::from_nanos(at_ns - now_ns);
            let passed = true;
            return Plan::after(timer(key), wait, SupervisorMessage::Due { key, passed });
        }
    }
    Plan::emit(Supervision::Ready { key }).and(next(children))
}

/// Starts the first child that is ready, if none starts or stops.
fn start(children: &Snapshot<'_, Supervisor>) -> Steps {
    let busy = |child: &Child| matches!(child.phase, Phase::Starting | Phase::Stopping { .. });
    if children.list.iter().any(busy) {
        return Plan::none();
    }
    let ready = |child: &&Child| child.phase == Phase::Ready;
    let Some(child) = children.list.iter().find(ready) else {
        return Plan::none();
    };
    let late = SupervisorMessage::StartLate {
        key: child.key,
        incarnation: child.incarnation + 1,
    };
    Plan::emit(Supervision::Starting { key: child.key })
        .and(Plan::restart(child.address))
        .and(Plan::after(
            timer(child.key),
            child.spec.start_deadline,
            late,
        ))
}

/// Stops the last child that lives; then the supervisor.
fn close(children: &Snapshot<'_, Supervisor>) -> Steps {
    let lives = |child: &&Child| child.phase != Phase::Ended;
    match children.list.iter().rev().find(lives) {
        None => Plan::stop(),
        Some(child) if matches!(child.phase, Phase::Ready | Phase::Parked { .. }) => {
            Plan::end(child.address)
        }
        Some(child) => Plan::stop_tree(child.address).and(stop_timer(child)),
    }
}
