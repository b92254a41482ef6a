//! Systems made of a seed, and a ledger of what becomes of each message by its number.
//!
//! Every plan evolves its machine by its own number, so the ledger knows what was committed; a
//! message tells it when it is dropped. What breaks a promise is noted, and fails the run at the
//! end of its turn.

#![allow(unreachable_pub)] // two test files have it as a module

use mainspring::config::{Overflow, WhenFull};
use mainspring::prelude::*;
use mainspring::supervise::{Backoff, ChildSpec, Children, Restart, Strategy, Supervisor};
use mainspring::testkit::{Fault, Random, Sim};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

/// Restarts of a child that its supervisor allows in [`WITHIN`].
const RESTARTS: usize = 3;
const WITHIN: Duration = Duration::from_secs(5);
const KEYS: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its plan is not committed.
    Draft,
    Queued,
    /// Its handler was called; its plan is not committed, perhaps never.
    Seen,
    Handled,
    Dead,
}

struct Sent {
    from: usize,
    to: usize,
    fate: Fate,
    /// By sender and receiver: the last message that had been sent before, as far as this one's
    /// sender could know.
    known: Vec<Vec<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Armed {
    Draft,
    Ticks,
    Fired,
    Off,
}

struct Timer {
    node: usize,
    incarnation: u32,
    key: u64,
    due: Duration,
    state: Armed,
}

/// An ask, or a monitor.
struct Owed {
    node: usize,
    incarnation: u32,
    of: usize,
    is_committed: bool,
    got: u32,
}

/// What a plan does, until it is committed.
#[derive(Default)]
struct Draft {
    node: usize,
    of: Option<u64>,
    sends: Vec<u64>,
    armed: Vec<u64>,
    canceled: Vec<u64>,
    owed: Vec<u64>,
}

#[derive(Default)]
struct Node {
    incarnation: u32,
    is_child: bool,
    capacity: u64,
    starts: Vec<Duration>,
    /// By sender and receiver: the last message that this one knows to be sent.
    known: Vec<Vec<u64>>,
    /// By sender: the last message that was handled.
    last: Vec<u64>,
    /// By sender: what is in the mailbox.
    waiting: Vec<BTreeSet<u64>>,
    /// Whose end it has heard of.
    ended: BTreeSet<usize>,
}

/// What happened in a run.
#[derive(Default)]
pub struct Ledger {
    numbers: u64,
    sent: HashMap<u64, Sent>,
    timers: HashMap<u64, Timer>,
    owed: HashMap<u64, Owed>,
    drafts: HashMap<u64, Draft>,
    nodes: Vec<Node>,
    addresses: Vec<ActorRef<Message>>,
    runs: Option<usize>,
    broken: Option<String>,
    /// How often each thing was seen.
    pub seen: HashMap<&'static str, u64>,
}

thread_local! {
    static LEDGER: RefCell<Ledger> = RefCell::default();
}

fn ledger<R>(look: impl FnOnce(&mut Ledger) -> R) -> R {
    LEDGER.with_borrow_mut(look)
}

impl Ledger {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn check(&mut self, holds: bool, promise: &str, what: impl Debug) {
        if !holds && self.broken.is_none() {
            self.broken = Some(format!("{promise}: {what:?}"));
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A message of `plan`, as one more of its sends.
    fn send(&mut self, plan: u64, to: usize) -> Token {
        let id = self.number();
        let draft = self.drafts.get_mut(&plan).expect("it is being made");
        draft.sends.push(id);
        let from = draft.node;
        let before: Vec<u64> = draft.sends.clone();
        let mut known = self.nodes[from].known.clone();
        for earlier in &before[..before.len() - 1] {
            known[from][self.sent[earlier].to] = *earlier;
        }
        let fate = Fate::Draft;
        self.sent.insert(
            id,
            Sent {
                from,
                to,
                fate,
                known,
            },
        );
        Token(id)
    }

    fn commit(&mut self, plan: u64) {
        let Some(draft) = self.drafts.remove(&plan) else {
            return self.check(false, "a plan is committed once", plan);
        };
        self.note("committed");
        if let Some(of) = draft.of.and_then(|of| self.sent.get_mut(&of)) {
            of.fate = Fate::Handled;
        }
        for id in draft.sends {
            let sent = self.sent.get_mut(&id).expect("it was made");
            sent.fate = Fate::Queued;
            let (from, to) = (sent.from, sent.to);
            self.nodes[from].known[from][to] = id;
            self.nodes[to].waiting[from].insert(id);
        }
        for key in draft.canceled {
            self.turn_off(draft.node, key);
        }
        for id in draft.armed {
            let key = self.timers[&id].key;
            self.turn_off(draft.node, key);
            self.timers.get_mut(&id).expect("it was made").state = Armed::Ticks;
        }
        for id in draft.owed {
            self.owed.get_mut(&id).expect("it was made").is_committed = true;
        }
    }

    fn turn_off(&mut self, node: usize, key: u64) {
        let of = |timer: &&mut Timer| {
            timer.node == node && timer.key == key && timer.state == Armed::Ticks
        };
        let off = self.timers.values_mut().filter(of);
        off.for_each(|timer| timer.state = Armed::Off);
    }

    /// A turn of `node` begins.
    fn begins(&mut self, node: usize, of: Option<u64>) -> u64 {
        self.check(self.runs.is_none(), "no handler runs inside another", node);
        self.runs = Some(node);
        let plan = self.number();
        self.drafts.insert(
            plan,
            Draft {
                node,
                of,
                ..Draft::default()
            },
        );
        plan
    }

    fn sees(&mut self, me: usize, id: u64) {
        let sent = self.sent.get_mut(&id).expect("it was made");
        let (from, to, fate) = (sent.from, sent.to, sent.fate);
        let known = sent.known.clone();
        sent.fate = Fate::Seen;
        self.check(
            fate == Fate::Queued,
            "what is handled was accepted, once",
            (id, fate),
        );
        self.check(to == me, "a message comes to its receiver", (id, to, me));
        let node = &mut self.nodes[me];
        node.waiting[from].remove(&id);
        let last = std::mem::replace(&mut node.last[from], id);
        let is_after_end = node.ended.contains(&from);
        let overtaken: Vec<u64> = (node.waiting.iter().zip(&known))
            .filter_map(|(waiting, known)| waiting.first().copied().filter(|&id| id <= known[me]))
            .collect();
        self.check(last < id, "messages of a pair keep their order", (last, id));
        self.check(
            overtaken.is_empty(),
            "what was sent before is handled before",
            (id, overtaken),
        );
        self.check(
            !is_after_end,
            "an end is heard of after the last message",
            id,
        );
        for (mine, theirs) in self.nodes[me].known.iter_mut().zip(&known) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = (*mine).max(*theirs);
            }
        }
        let sent = &mut self.nodes[me].known[from][me];
        *sent = (*sent).max(id);
    }

    /// What `system` says of each actor, against what the ledger has.
    fn compare(&mut self, system: &System) {
        for node in 0..self.addresses.len() {
            let waiting: usize = self.nodes[node].waiting.iter().map(BTreeSet::len).sum();
            let waiting = waiting as u64;
            let Some(counts) = system.counts(self.addresses[node]) else {
                self.check(waiting == 0, "a dead actor has no message", (node, waiting));
                continue;
            };
            let known = counts.handled + counts.failed + counts.dead_lettered + counts.queued;
            self.check(
                counts.accepted == known,
                "each message is counted once",
                counts,
            );
            let is_queued = waiting <= counts.queued && counts.queued <= waiting + 1;
            self.check(
                is_queued,
                "a plan is committed as a whole",
                (node, waiting, counts),
            );
            let capacity = self.nodes[node].capacity;
            // What breaks a circle of waiting actors is let in above it, and counted.
            let above = || -> u64 {
                let workers = system.metrics().workers;
                workers.iter().map(|worker| worker.overdraft).sum()
            };
            let in_bounds = waiting <= capacity || waiting <= capacity + above();
            self.check(
                in_bounds,
                "a mailbox keeps its bound",
                (node, waiting, capacity),
            );
        }
    }

    /// Nobody is runnable, a minute after the last fault.
    fn at_the_end(&mut self, sim: &Sim) {
        let mut letters = vec![0; self.nodes.len()];
        for letter in sim.trace().flat_map(|ran| &ran.dead_letters) {
            let to = self
                .addresses
                .iter()
                .position(|&to| letter.actor == to.into());
            let names = ["::Message", "a message whose commit waited"];
            let is_ours = names.iter().any(|name| letter.message.ends_with(name));
            if let Some(to) = to.filter(|_| is_ours) {
                letters[to] += 1;
            }
        }
        for (node, letters) in letters.into_iter().enumerate() {
            let with = |fate| {
                let of = move |sent: &&Sent| sent.to == node && sent.fate == fate;
                self.sent.values().filter(of).count()
            };
            let (queued, lost) = (with(Fate::Queued), with(Fate::Dead) + with(Fate::Seen));
            self.check(
                queued == 0,
                "all comes to an end once faults stop",
                (node, queued),
            );
            self.check(
                lost <= letters,
                "no message is lost silently",
                (node, lost, letters),
            );
        }
        let lives = |node: usize, incarnation: u32| {
            let lives = sim.counts(self.addresses[node]).is_some();
            lives && self.nodes[node].incarnation == incarnation
        };
        let (mut forgotten, mut ticks) = (Vec::new(), Vec::new());
        for (id, owed) in &self.owed {
            let is_due = lives(owed.node, owed.incarnation) && owed.is_committed;
            let is_over = owed.of == usize::MAX || sim.counts(self.addresses[owed.of]).is_none();
            if is_due && is_over && owed.got != 1 {
                forgotten.push(*id);
            }
        }
        for (id, timer) in &self.timers {
            if timer.state == Armed::Ticks && lives(timer.node, timer.incarnation) {
                ticks.push(*id);
            }
        }
        self.check(
            forgotten.is_empty(),
            "an ask and a monitor have one outcome",
            forgotten,
        );
        self.check(ticks.is_empty(), "a timer fires", ticks);
    }

    fn verdict(&mut self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}

/// A message's number; says when the message is gone.
struct Token(u64);
impl Drop for Token {
    fn drop(&mut self) {
        // The thread may be about to end, and with it the last system.
        let _ = LEDGER.try_with(|ledger| {
            let ledger = &mut *ledger.borrow_mut();
            let Some(sent) = ledger.sent.get_mut(&self.0) else {
                return;
            };
            if sent.fate == Fate::Queued {
                sent.fate = Fate::Dead;
                ledger.nodes[sent.to].waiting[sent.from].remove(&self.0);
                ledger.note("dead");
            }
        });
    }
}

pub struct Message(What);
enum What {
    Go(Token, u64),
    Question(Token, Reply<()>),
    Outcome(u64, &'static str),
    Due(u64),
    Ended(u64),
}

struct State(Random);
impl Machine for State {
    type Event = u64;
    fn apply(&mut self, plan: u64) {
        self.0.bits();
        ledger(|ledger| ledger.commit(plan));
    }
}

#[derive(Clone, Copy)]
struct Being(usize);
/// The handler ends, whatever becomes of its plan.
struct Ends;
impl Drop for Ends {
    fn drop(&mut self) {
        ledger(|ledger| ledger.runs = None);
    }
}

impl Being {
    /// An ask or a monitor of `plan`.
    fn owes(self, plan: u64, of: usize) -> u64 {
        ledger(|ledger| {
            let id = ledger.number();
            let (node, incarnation) = (self.0, ledger.nodes[self.0].incarnation);
            let owed = Owed {
                node,
                incarnation,
                of,
                is_committed: false,
                got: 0,
            };
            ledger.owed.insert(id, owed);
            ledger
                .drafts
                .get_mut(&plan)
                .expect("it is being made")
                .owed
                .push(id);
            id
        })
    }

    fn goes(self, plan: u64, left: u64, state: &Snapshot<Self>) -> Plan<Self> {
        let mut random = state.0.clone();
        let others = ledger(|ledger| ledger.addresses.clone());
        let mut steps = Plan::none();
        for _ in 0..1 + random.below(3) {
            let to = random.below(others.len() as u64) as usize;
            if to == self.0 {
                continue; // what one tells oneself is let in above the bound
            }
            steps = steps.and(match random.below(4) {
                0 => {
                    let ask = self.owes(plan, usize::MAX);
                    let token = ledger(|ledger| ledger.send(plan, to));
                    Plan::ask(others[to], |reply| Message(What::Question(token, reply)))
                        .timeout(Duration::from_millis(1 + random.below(50)))
                        .on_ok(move |()| Message(What::Outcome(ask, "answered")))
                        .on_error(move |_| Message(What::Outcome(ask, "not answered")))
                }
                _ => {
                    let token = ledger(|ledger| ledger.send(plan, to));
                    Plan::tell(others[to], Message(What::Go(token, left - 1)))
                }
            });
        }
        match random.below(8) {
            0..4 => steps.and(self.arms(plan, state.now(), &mut random)),
            4 | 5 => {
                let key = random.below(KEYS);
                ledger(|ledger| {
                    ledger.note("canceled");
                    let draft = ledger.drafts.get_mut(&plan);
                    draft.expect("it is being made").canceled.push(key);
                });
                steps.and(Plan::cancel(key))
            }
            6 => {
                let of = random.below(others.len() as u64) as usize;
                let id = self.owes(plan, of);
                steps.and(Plan::monitor(others[of], move |_| Message(What::Ended(id))))
            }
            _ if random.one_in(6) => steps.and(Plan::stop()),
            _ => steps,
        }
    }

    fn arms(self, plan: u64, now: Duration, random: &mut Random) -> Plan<Self> {
        let key = random.below(KEYS);
        let delay = Duration::from_millis(random.below(3));
        let id = ledger(|ledger| {
            let id = ledger.number();
            let timer = Timer {
                node: self.0,
                incarnation: ledger.nodes[self.0].incarnation,
                key,
                due: now + delay,
                state: Armed::Draft,
            };
            ledger.timers.insert(id, timer);
            ledger
                .drafts
                .get_mut(&plan)
                .expect("it is being made")
                .armed
                .push(id);
            id
        });
        Plan::after(key, delay, Message(What::Due(id)))
    }
}

impl Behavior for Being {
    type Machine = State;
    type Message = Message;

    fn on_start(&self, state: Snapshot<Self>) -> Plan<Self> {
        ledger(|ledger| {
            let node = &mut ledger.nodes[self.0];
            node.incarnation += 1;
            node.starts.push(state.now());
            // The first is no restart; and a restart's time is that of its start, which may be
            // late, so one more than the budget may be seen in its time.
            let starts = &node.starts[1..];
            let before = starts.len().checked_sub(RESTARTS + 2);
            let is_within = before.is_none_or(|place| state.now() - starts[place] >= WITHIN);
            let what = (self.0, starts.to_vec());
            if !starts.is_empty() {
                ledger.note("restarted");
            }
            ledger.check(is_within, "restarts keep their budget", what);
        });
        Plan::none()
    }

    fn on_message(&self, Message(what): Message, state: Snapshot<Self>) -> Plan<Self> {
        let of = match &what {
            What::Go(token, _) | What::Question(token, _) => Some(token.0),
            _ => None,
        };
        let plan = ledger(|ledger| {
            let plan = ledger.begins(self.0, of);
            of.into_iter().for_each(|id| ledger.sees(self.0, id));
            plan
        });
        let _ends = Ends;
        let steps = match what {
            What::Go(_, 0) => Plan::none(),
            What::Go(_, left) => self.goes(plan, left, &state),
            What::Question(_, reply) => match state.0.clone().below(3) {
                0 => Plan::none(), // the reply is dropped
                _ => Plan::reply(reply, ()),
            },
            What::Outcome(id, how) => {
                self.got(id, "an ask has one outcome", how);
                Plan::none()
            }
            What::Due(id) => {
                ledger(|ledger| {
                    let incarnation = ledger.nodes[self.0].incarnation;
                    let timer = ledger.timers.get_mut(&id).expect("it was made");
                    let was = std::mem::replace(&mut timer.state, Armed::Fired);
                    let (due, of) = (timer.due, timer.incarnation);
                    let ticked = was == Armed::Ticks;
                    ledger.check(ticked, "no timer fires after its cancel", (id, was));
                    ledger.check(due <= state.now(), "no timer is early", (id, due));
                    ledger.check(of == incarnation, "a timer ends with its incarnation", id);
                    ledger.note("due");
                });
                Plan::none()
            }
            What::Ended(id) => {
                self.got(id, "a monitor has one end", "ended");
                ledger(|ledger| {
                    let of = ledger.owed[&id].of;
                    if !ledger.nodes[of].is_child {
                        ledger.nodes[self.0].ended.insert(of);
                        let left = ledger.nodes[self.0].waiting[of].first().copied();
                        ledger.check(
                            left.is_none(),
                            "an end is heard of after the last message",
                            left,
                        );
                    }
                });
                Plan::none()
            }
        };
        Plan::emit(plan).and(steps)
    }
}

impl Being {
    fn got(self, id: u64, promise: &str, how: &'static str) {
        ledger(|ledger| {
            let owed = ledger.owed.get_mut(&id).expect("it was made");
            owed.got += 1;
            let (got, is_committed) = (owed.got, owed.is_committed);
            ledger.check(got == 1 && is_committed, promise, (id, got, is_committed));
            ledger.note(how);
        });
    }
}

/// Makes a system of the seed, runs it with faults, then a minute without: what was seen.
///
/// # Panics
///
/// If a promise does not hold, with its name.
pub fn run(sim: &mut Sim, faults: &[Fault]) -> HashMap<&'static str, u64> {
    for cause in [
        "stopped",
        "full",
        "dropped oldest",
        "no room",
        "ask failed",
        "expired",
    ] {
        sim.allow(cause);
    }
    let count = 3 + sim.random().below(3) as usize;
    let children = sim.random().below(3) as usize;
    let outside = count;
    LEDGER.set(Ledger::default());
    ledger(|ledger| {
        ledger.nodes.resize_with(count + 1, || Node {
            known: vec![vec![0; count + 1]; count + 1],
            last: vec![0; count + 1],
            waiting: vec![BTreeSet::new(); count + 1],
            capacity: u64::MAX,
            ..Node::default()
        });
        ledger.nodes[..children]
            .iter_mut()
            .for_each(|node| node.is_child = true);
    });
    let seed = sim.random().bits();
    let backoff = Backoff {
        first: Duration::from_millis(10),
        max: Duration::from_millis(10),
        jitter: false,
        healthy_after: Duration::from_secs(100),
    };
    let specs = (0..children).map(|node| {
        let make = move |incarnation: u32| {
            let random = Random::new(seed ^ node as u64 ^ u64::from(incarnation) << 32);
            (Being(node), State(random))
        };
        let name = node.to_string();
        let spec = ChildSpec::new(&name, make).named(&name);
        let spec = spec.intensity(RESTARTS as u32, WITHIN).backoff(backoff);
        spec.restart(Restart::Permanent)
    });
    let specs: Vec<_> = specs.collect();
    let supervisor = Children::new(Strategy::OneForOne, specs);
    let supervisor = sim.system().spawn(Supervisor, supervisor).unwrap();
    sim.spare(supervisor.actor());
    sim.run_until_idle();
    let mut handles: Vec<Handle<Message>> = Vec::new();
    for node in 0..count {
        if node < children {
            handles.push(
                sim.system()
                    .whereis(&node.to_string())
                    .expect("it has started"),
            );
            continue;
        }
        let capacity = 4 + sim.random().below(4);
        let overflow = match sim.random().below(4) {
            0 => Overflow::Reject,
            1 => Overflow::Wait,
            2 => Overflow::DropNewest,
            _ => Overflow::DropOldest,
        };
        let when_full = match sim.random().below(3) {
            0 => WhenFull::Wait,
            1 => WhenFull::Refuse,
            _ => WhenFull::Drop,
        };
        ledger(|ledger| ledger.nodes[node].capacity = capacity);
        let state = State(Random::new(sim.random().bits()));
        let prepared = sim.system().prepare(Being(node), state);
        let prepared = prepared.capacity(capacity as usize).overflow(overflow);
        let actor = prepared.when_full(when_full).start().unwrap();
        handles.push((*actor).clone());
    }
    ledger(|ledger| ledger.addresses = handles.iter().map(|handle| handle.actor()).collect());
    sim.invariant("the ledger's", |system| {
        ledger(|ledger| {
            ledger.compare(system);
            ledger.verdict()
        })
    });
    for (node, handle) in handles.iter().enumerate() {
        for _ in 0..1 + sim.random().below(2) {
            let (plan, token) = ledger(|ledger| {
                let plan = ledger.begins(outside, None);
                ledger.runs = None;
                (plan, ledger.send(plan, node))
            });
            ledger(|ledger| ledger.commit(plan));
            let go = Message(What::Go(token, 1 + sim.random().below(4)));
            assert!(handle.tell(go).is_ok(), "it has room");
        }
    }
    sim.faults(faults, 24);
    sim.run_for(Duration::from_secs(10));
    sim.faults(&[], 1);
    sim.run_for(Duration::from_secs(60));
    ledger(|ledger| {
        ledger.at_the_end(sim);
        ledger.verdict()
    })
    .unwrap_or_else(|broken| panic!("a promise is broken: {broken}"));
    ledger(|ledger| ledger.seen.clone())
}
