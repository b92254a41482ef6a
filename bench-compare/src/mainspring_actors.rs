//! Mainspring: what the peers' actors do, as behaviors and machines.
//!
//! A handler here does not wait: it returns a plan, and a full mailbox holds the plan's actor. So
//! mainspring is a [`Contender`] of its own, with the same actors, messages and checks as
//! `peers.rs`. As there, actors arrive at [`Finish`] themselves; here it is part of the machine.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mainspring::prelude::*;
use mainspring::{CancelToken, ComputeError};

use crate::measure;
use crate::workloads::{
    self, AskTimes, Asks, BURST, Big, CAPACITY, Chameneos, Contender, Cpu, FanOut, Finish, Idle,
    Laps, Mixed, Note, Passing, Rally, Ring, Rung, Skynet, SpawnAndKeep, Spawned, Stream, Tally,
    Timed, Timers,
};

/// A system, for the rest of the process.
pub struct Mainspring {
    system: System,
}

/// How long a thread outside waits for room.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mainspring {
    pub fn start(workers: usize) -> Mainspring {
        let config = Config::builder()
            .workers(workers)
            .mailbox_capacity(CAPACITY)
            .build()
            .expect("numbers in range");
        let system = System::with_config(config).expect("threads are available");
        Mainspring { system }
    }

    fn spawn<B: Behavior>(&self, behavior: B, machine: B::Machine) -> Actor<B> {
        let spawned = self.system.spawn(behavior, machine);
        spawned.expect("memory for an actor")
    }

    /// Sends the first messages from inside, where they don't cost a wake each. Returns when.
    fn begin<M: Send + 'static>(&self, first: Vec<(ActorRef<M>, M)>) -> Instant {
        let starter = self.spawn(Starting::<M>::new(), Nothing);
        let begun = Instant::now();
        tell(&starter, first);
        begun
    }
}

/// From a thread outside; blocks for room.
fn tell<M: Send + 'static>(to: &Handle<M>, message: M) {
    let told = to.tell_wait(message, PATIENCE);
    told.expect("the actor lives and makes room");
}

/// The state of actors that have none.
struct Nothing;

/// What happens to nothing.
enum Never {}

impl Machine for Nothing {
    type Event = Never;

    fn apply(&mut self, event: Never) {
        match event {}
    }
}

/// Tells others their first message, all in one turn, and ends.
struct Starting<M>(std::marker::PhantomData<fn(M)>);

impl<M> Starting<M> {
    fn new() -> Self {
        Starting(std::marker::PhantomData)
    }
}

impl<M> Clone for Starting<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Starting<M> {}

impl<M: Send + 'static> Behavior for Starting<M> {
    type Machine = Nothing;
    type Message = Vec<(ActorRef<M>, M)>;

    fn on_message(&self, first: Self::Message, _: Snapshot<Self>) -> Plan<Self> {
        let tells = first
            .into_iter()
            .map(|(to, message)| Plan::tell(to, message));
        tells.fold(Plan::stop(), Plan::and)
    }
}

impl Contender for Mainspring {
    fn rally(&self, load: &Rally) -> Tally {
        let finish = Finish::after(load.pairs as u64);
        let balls = (0..load.pairs)
            .map(|_| {
                let [one, two] =
                    [(); 2].map(|()| self.spawn(Playing, Player { next: None, finish }));
                tell(&one, Pass::To(two.actor()));
                tell(&two, Pass::To(one.actor()));
                (one.actor(), Pass::ball(load.hops))
            })
            .collect();
        finish.wait(self.begin(balls))
    }

    fn ring(&self, load: &Ring) -> Tally {
        let finish = Finish::after(1);
        let players: Vec<_> = (0..load.actors)
            .map(|_| self.spawn(Playing, Player { next: None, finish }))
            .collect();
        for (index, player) in players.iter().enumerate() {
            tell(player, Pass::To(players[(index + 1) % load.actors].actor()));
        }
        let begun = Instant::now();
        tell(&players[0], Pass::ball(load.hops));
        finish.wait(begun)
    }

    fn stream(&self, load: &Stream) -> Tally {
        let finish = Finish::after(1);
        let sink = self.spawn(Adding, Sink::of(load.total(), finish)).actor();
        let go = (0..load.sources)
            .map(|_| {
                let source = self.spawn(Sending, Source::to([sink].into(), load.each));
                (source.actor(), Go)
            })
            .collect();
        finish.wait(self.begin(go))
    }

    fn fan_out(&self, load: &FanOut) -> Tally {
        let finish = Finish::after(load.sinks as u64);
        let sinks = (0..load.sinks)
            .map(|_| self.spawn(Adding, Sink::of(load.each, finish)).actor())
            .collect();
        let source = self.spawn(Sending, Source::to(sinks, load.each));
        let begun = Instant::now();
        tell(&source, Go);
        finish.wait(begun)
    }

    fn big(&self, load: &Big) -> Tally {
        let finish = Finish::after(load.actors as u64);
        let members: Vec<_> = (0..load.actors)
            .map(|_| {
                let member = Member {
                    all: [].into(),
                    pings_left: load.pings(),
                    pongs_left: load.pings(),
                    received: 0,
                    finish,
                };
                self.spawn(Crowding, member)
            })
            .collect();
        let all: Arc<[_]> = members.iter().map(|member| member.actor()).collect();
        for member in &members {
            tell(member, Crowd::Everyone(all.clone()));
        }
        let start = all.iter().map(|&member| (member, Crowd::Start));
        finish.wait(self.begin(start.collect()))
    }

    fn chameneos(&self, load: &Chameneos) -> Tally {
        let finish = Finish::after(load.creatures as u64);
        let mall = Mall {
            waiting: None,
            meetings_left: load.meetings,
        };
        let mall = self.spawn(Pairing, mall).actor();
        let start = (0..load.creatures)
            .map(|index| {
                let creature = Creature {
                    color: (index % 3) as u8,
                    meetings: 0,
                    finish,
                };
                let creature = self.spawn(Visiting { mall }, creature);
                (creature.actor(), Meeting::Start)
            })
            .collect();
        finish.wait(self.begin(start))
    }

    fn skynet(&self, load: &Skynet) -> Tally {
        let finish = Finish::after(1);
        let root = Growing {
            parent: Parent::Finish(finish),
            first: 0,
            size: load.leaves,
        };
        let begun = Instant::now();
        tell(&self.spawn(root, Sum::default()), Tree::Grow);
        finish.wait(begun)
    }

    fn spawn_and_keep(&self, load: &SpawnAndKeep) -> Spawned {
        let finish = Finish::after(load.actors);
        let (tell_spawned, spawned) = mpsc::channel();
        let spawning = Spawning {
            count: load.actors,
            finish,
        };
        let before = measure::resident_bytes();
        let begun = Instant::now();
        let spawner = Spawner {
            spawned: 0,
            begun,
            done: tell_spawned,
        };
        tell(&self.spawn(spawning, spawner), SpawnMore);
        let ready = finish.wait(begun);
        let spawned = spawned.recv().expect("the spawner says when it is done");
        let bytes = measure::resident_bytes().saturating_sub(before);
        Spawned {
            spawned,
            ready,
            bytes,
        }
    }

    fn ask_outside(&self, load: &Asks) -> AskTimes {
        let echo = self.spawn(Echoing, Nothing);
        let ask = |number| {
            let answer = echo.ask(|reply| Question(number, reply)).wait();
            answer.expect("the echo answers")
        };
        let (mut each_ns, mut sum) = (Vec::with_capacity(load.count as usize), 0);
        let mut last = quanta::Instant::now();
        for number in 0..load.count {
            sum += ask(number);
            let now = quanta::Instant::now();
            each_ns.push(now.duration_since(last).as_nanos() as u64);
            last = now;
        }
        let begun = Instant::now();
        sum += (0..load.count).map(ask).sum::<u64>();
        AskTimes {
            each_ns,
            whole: begun.elapsed(),
            sum,
        }
    }

    fn ask_inside(&self, load: &Asks) -> AskTimes {
        let (done, times) = mpsc::channel();
        let asking = Asking {
            echo: self.spawn(Echoing, Nothing).actor(),
            count: load.count,
        };
        let asker = Asker {
            answers: 0,
            sum: 0,
            each_ns: Vec::with_capacity(load.count as usize),
            last: quanta::Instant::now(),
            begun: Instant::now(),
            done,
        };
        tell(&self.spawn(asking, asker), Asked::Start);
        times.recv().expect("the asker sends its times")
    }

    fn timers(&self, load: &Timers) -> Timed {
        let (done, rung) = mpsc::channel();
        let laps = Laps::new(load, 1);
        let arming = Arming {
            count: load.count,
            laps,
        };
        let alarm = Alarm {
            laps,
            rung: Some(Rung::none(load)),
            done,
        };
        tell(&self.spawn(arming, alarm), Timer::Arm(0));
        Timed {
            arm: laps.armed.wait(),
            cancel: laps.cancelled.wait(),
            rung: rung.recv().expect("the alarm sends what it saw"),
        }
    }

    fn cpu(&self, load: &Cpu) -> Tally {
        let finish = Finish::after(load.actors as u64);
        let working = Working { work: load.work };
        let workers: Vec<_> = (0..load.actors)
            .map(|_| self.spawn(working, Worker { next: None, finish }))
            .collect();
        for (index, worker) in workers.iter().enumerate() {
            tell(
                worker,
                Token::Next(workers[(index + 1) % load.actors].actor()),
            );
        }
        let (left, made) = (load.hops, 0);
        let tokens = workers
            .iter()
            .map(|worker| (worker.actor(), Token::Hop { left, made }));
        finish.wait(self.begin(tokens.collect()))
    }

    fn mixed(&self, load: &'static Mixed) -> Tally {
        let actors: Vec<_> = (0..load.actors)
            .map(|_| self.spawn(Mixing { load }, Nothing))
            .collect();
        load.pace(|actor, note| tell(&actors[actor], Mix::Note(note)))
    }

    fn announces_long_turns(&self) -> bool {
        true
    }

    fn idle(&self, load: &Idle) -> f64 {
        let finish = Finish::after(load.actors);
        let quiet: Vec<_> = (0..load.actors)
            .map(|_| self.spawn(Keeping, Quiet { count: 0, finish }))
            .collect();
        for actor in &quiet {
            tell(actor, Hello);
        }
        finish.wait(Instant::now());
        // What still winds down is not idle yet.
        std::thread::sleep(Duration::from_millis(100));
        measure::cpu_share(load.watch)
    }
}

/// Passes a ball on.
struct Player {
    next: Option<ActorRef<Pass>>,
    finish: &'static Finish,
}

enum Pass {
    To(ActorRef<Pass>),
    Ball { left: u64, passed: u64 },
}

impl Pass {
    fn ball(hops: u64) -> Pass {
        let (left, passed) = (hops, 0);
        Pass::Ball { left, passed }
    }
}

enum Played {
    Met(ActorRef<Pass>),
    /// The ball was passed so often, and ends here.
    Over(u64),
}

impl Machine for Player {
    type Event = Played;

    fn apply(&mut self, event: Played) {
        match event {
            Played::Met(next) => self.next = Some(next),
            Played::Over(passed) => self.finish.arrive(passed, 0),
        }
    }
}

#[derive(Clone, Copy)]
struct Playing;

impl Behavior for Playing {
    type Machine = Player;
    type Message = Pass;

    fn on_message(&self, message: Pass, player: Snapshot<Self>) -> Plan<Self> {
        match message {
            Pass::To(next) => Plan::emit(Played::Met(next)),
            Pass::Ball { left: 1, passed } => Plan::emit(Played::Over(passed + 1)),
            Pass::Ball { left, passed } => {
                let next = player.next.expect("told before the ball");
                let ball = Pass::Ball {
                    left: left - 1,
                    passed: passed + 1,
                };
                Plan::tell(next, ball)
            }
        }
    }
}

/// Sends the numbers below `each` to all sinks.
struct Source {
    sinks: Arc<[ActorRef<u64>]>,
    next: u64,
    each: u64,
}

impl Source {
    fn to(sinks: Arc<[ActorRef<u64>]>, each: u64) -> Source {
        let next = 0;
        Source { sinks, next, each }
    }
}

/// So many numbers more were sent.
struct Sent(u64);

impl Machine for Source {
    type Event = Sent;

    fn apply(&mut self, Sent(more): Sent) {
        self.next += more;
    }
}

struct Go;

#[derive(Clone, Copy)]
struct Sending;

impl Behavior for Sending {
    type Machine = Source;
    type Message = Go;

    /// A burst, and again. Where the sinks are full the burst waits, and its actor with it.
    fn on_message(&self, Go: Go, source: Snapshot<Self>) -> Plan<Self> {
        let rounds = (BURST / source.sinks.len() as u64).max(1);
        let until = source.each.min(source.next + rounds);
        let numbers = source.next..until;
        let burst = match &*source.sinks {
            [only] => Plan::tell_each(*only, numbers),
            sinks => numbers.fold(Plan::none(), |plan, number| {
                plan.and(Plan::tell_all(sinks, number))
            }),
        };
        let plan = Plan::emit(Sent(until - source.next)).and(burst);
        if until == source.each {
            return plan.and(Plan::stop());
        }
        plan.and(Plan::tell(source.me(), Go))
    }
}

/// Counts and adds up.
struct Sink {
    left: u64,
    received: u64,
    sum: u64,
    finish: &'static Finish,
}

impl Sink {
    fn of(left: u64, finish: &'static Finish) -> Sink {
        Sink {
            left,
            received: 0,
            sum: 0,
            finish,
        }
    }
}

impl Machine for Sink {
    type Event = u64;

    fn apply(&mut self, number: u64) {
        self.received += 1;
        self.sum += number;
        self.left -= 1;
        if self.left == 0 {
            self.finish.arrive(self.received, self.sum);
        }
    }
}

#[derive(Clone, Copy)]
struct Adding;

impl Behavior for Adding {
    type Machine = Sink;
    type Message = u64;

    fn on_message(&self, number: u64, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(number)
    }
}

/// One of all to all.
struct Member {
    all: Arc<[ActorRef<Crowd>]>,
    pings_left: u64,
    pongs_left: u64,
    received: u64,
    finish: &'static Finish,
}

enum Crowd {
    Everyone(Arc<[ActorRef<Crowd>]>),
    Start,
    Ping(ActorRef<Crowd>),
    Pong,
}

enum Crowded {
    Met(Arc<[ActorRef<Crowd>]>),
    Ping,
    Pong,
}

impl Machine for Member {
    type Event = Crowded;

    fn apply(&mut self, event: Crowded) {
        match event {
            Crowded::Met(all) => return self.all = all,
            Crowded::Ping => self.pings_left -= 1,
            Crowded::Pong => self.pongs_left -= 1,
        }
        self.received += 1;
        if self.pings_left == 0 && self.pongs_left == 0 {
            self.finish.arrive(self.received, 0);
        }
    }
}

#[derive(Clone, Copy)]
struct Crowding;

impl Crowding {
    fn ping_all_others(member: Snapshot<Self>) -> Plan<Self> {
        let me = member.me();
        let others = member.all.iter().filter(|&&other| other != me);
        let pings = others.map(|&other| Plan::tell(other, Crowd::Ping(me)));
        pings.fold(Plan::none(), Plan::and)
    }
}

impl Behavior for Crowding {
    type Machine = Member;
    type Message = Crowd;

    fn on_message(&self, message: Crowd, member: Snapshot<Self>) -> Plan<Self> {
        match message {
            Crowd::Everyone(all) => Plan::emit(Crowded::Met(all)),
            Crowd::Start => Crowding::ping_all_others(member),
            Crowd::Ping(from) => Plan::emit(Crowded::Ping).and(Plan::tell(from, Crowd::Pong)),
            Crowd::Pong => {
                let left = member.pongs_left - 1;
                let plan = Plan::emit(Crowded::Pong);
                if left > 0 && left.is_multiple_of(member.all.len() as u64 - 1) {
                    plan.and(Crowding::ping_all_others(member))
                } else {
                    plan
                }
            }
        }
    }
}

/// Brings creatures together, until there have been enough meetings.
struct Mall {
    waiting: Option<ActorRef<Meeting>>,
    meetings_left: u64,
}

struct Request {
    from: ActorRef<Meeting>,
    color: u8,
}

enum Paired {
    First(ActorRef<Meeting>),
    Both,
}

impl Machine for Mall {
    type Event = Paired;

    fn apply(&mut self, event: Paired) {
        match event {
            Paired::First(creature) => self.waiting = Some(creature),
            Paired::Both => {
                self.waiting = None;
                self.meetings_left -= 1;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Pairing;

impl Behavior for Pairing {
    type Machine = Mall;
    type Message = Request;

    fn on_message(&self, Request { from, color }: Request, mall: Snapshot<Self>) -> Plan<Self> {
        match mall.waiting {
            _ if mall.meetings_left == 0 => Plan::tell(from, Meeting::Closed),
            None => Plan::emit(Paired::First(from)),
            Some(first) => {
                let partner = Meeting::Partner { who: from, color };
                Plan::emit(Paired::Both).and(Plan::tell(first, partner))
            }
        }
    }
}

/// Changes its color with every meeting.
struct Creature {
    color: u8,
    meetings: u64,
    finish: &'static Finish,
}

enum Meeting {
    Start,
    Partner {
        who: ActorRef<Meeting>,
        color: u8,
    },
    /// The new color of both.
    Change(u8),
    Closed,
}

enum Visited {
    Met(u8),
    Closed,
}

impl Machine for Creature {
    type Event = Visited;

    fn apply(&mut self, event: Visited) {
        match event {
            Visited::Met(color) => {
                self.color = color;
                self.meetings += 1;
            }
            Visited::Closed => self.finish.arrive(self.meetings, 0),
        }
    }
}

#[derive(Clone, Copy)]
struct Visiting {
    mall: ActorRef<Request>,
}

impl Visiting {
    fn request(&self, me: ActorRef<Meeting>, color: u8) -> Plan<Self> {
        Plan::tell(self.mall, Request { from: me, color })
    }
}

impl Behavior for Visiting {
    type Machine = Creature;
    type Message = Meeting;

    fn on_message(&self, message: Meeting, creature: Snapshot<Self>) -> Plan<Self> {
        let me = creature.me();
        match message {
            Meeting::Start => self.request(me, creature.color),
            Meeting::Partner { who, color } => {
                let color = workloads::complement(creature.color, color);
                Plan::emit(Visited::Met(color))
                    .and(Plan::tell(who, Meeting::Change(color)))
                    .and(self.request(me, color))
            }
            Meeting::Change(color) => Plan::emit(Visited::Met(color)).and(self.request(me, color)),
            Meeting::Closed => Plan::emit(Visited::Closed),
        }
    }
}

/// A node of the tree, with the leaves `first..first + size` under it.
#[derive(Clone, Copy)]
struct Growing {
    parent: Parent,
    first: u64,
    size: u64,
}

#[derive(Clone, Copy)]
enum Parent {
    Node(ActorRef<Tree>),
    Finish(&'static Finish),
}

enum Tree {
    Grow,
    Sum(Sum),
}

/// What came from below.
#[derive(Clone, Copy, Default)]
struct Sum {
    leaves: u64,
    sum: u64,
    children: u32,
}

impl Sum {
    fn with(self, child: Sum) -> Sum {
        Sum {
            leaves: self.leaves + child.leaves,
            sum: self.sum + child.sum,
            children: self.children + 1,
        }
    }
}

impl Machine for Sum {
    type Event = Sum;

    fn apply(&mut self, child: Sum) {
        *self = self.with(child);
    }
}

impl Growing {
    fn report(&self, sum: Sum) -> Plan<Self> {
        match self.parent {
            Parent::Node(parent) => Plan::tell(parent, Tree::Sum(sum)).and(Plan::stop()),
            Parent::Finish(finish) => {
                finish.arrive(sum.leaves, sum.sum);
                Plan::stop()
            }
        }
    }
}

impl Behavior for Growing {
    type Machine = Sum;
    type Message = Tree;

    fn on_message(&self, message: Tree, node: Snapshot<Self>) -> Plan<Self> {
        match message {
            Tree::Grow if self.size == 1 => self.report(Sum {
                leaves: 1,
                sum: self.first,
                children: 0,
            }),
            Tree::Grow => {
                let size = self.size / 10;
                let children = (0..10).map(|child| {
                    let child = Growing {
                        parent: Parent::Node(node.me()),
                        first: self.first + child * size,
                        size,
                    };
                    Plan::<Self>::spawn(child, Sum::default())
                        .then(|child| Plan::tell(child, Tree::Grow))
                });
                children.fold(Plan::none(), Plan::and)
            }
            Tree::Sum(child) if node.children == 9 => self.report(node.with(child)),
            Tree::Sum(child) => Plan::emit(child),
        }
    }
}

/// Sixteen bytes of state, told once.
struct Quiet {
    count: u64,
    finish: &'static Finish,
}

impl Machine for Quiet {
    type Event = Hello;

    fn apply(&mut self, Hello: Hello) {
        self.count += 1;
        self.finish.arrive(self.count, 0);
    }
}

struct Hello;

#[derive(Clone, Copy)]
struct Keeping;

impl Behavior for Keeping {
    type Machine = Quiet;
    type Message = Hello;

    fn on_message(&self, hello: Hello, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(hello)
    }
}

/// Actors that a turn spawns: few, so that they have their turns between those of the spawner.
const SPAWNS: u64 = 4;

struct SpawnMore;

struct Spawner {
    spawned: u64,
    begun: Instant,
    done: mpsc::Sender<Duration>,
}

enum Spawn {
    More(u64),
    Done,
}

impl Machine for Spawner {
    type Event = Spawn;

    fn apply(&mut self, event: Spawn) {
        match event {
            Spawn::More(more) => self.spawned += more,
            // A bench thread that gave up has said why.
            Spawn::Done => _ = self.done.send(self.begun.elapsed()),
        }
    }
}

#[derive(Clone, Copy)]
struct Spawning {
    count: u64,
    finish: &'static Finish,
}

impl Behavior for Spawning {
    type Machine = Spawner;
    type Message = SpawnMore;

    fn on_message(&self, SpawnMore: SpawnMore, spawner: Snapshot<Self>) -> Plan<Self> {
        let left = self.count - spawner.spawned;
        if left == 0 {
            return Plan::emit(Spawn::Done).and(Plan::stop());
        }
        let more = left.min(SPAWNS);
        let (count, finish) = (0, self.finish);
        let spawns = (0..more).map(|_| {
            Plan::<Self>::spawn(Keeping, Quiet { count, finish })
                .then(|quiet| Plan::tell(quiet, Hello))
        });
        spawns
            .fold(Plan::emit(Spawn::More(more)), Plan::and)
            .and(Plan::tell(spawner.me(), SpawnMore))
    }
}

/// What is the number after this one?
struct Question(u64, Reply<u64>);

#[derive(Clone, Copy)]
struct Echoing;

impl Behavior for Echoing {
    type Machine = Nothing;
    type Message = Question;

    fn on_message(&self, Question(number, reply): Question, _: Snapshot<Self>) -> Plan<Self> {
        Plan::reply(reply, number + 1)
    }
}

/// Asks twice as often as `count`, at first with a clock between asks.
struct Asker {
    answers: u64,
    sum: u64,
    each_ns: Vec<u64>,
    last: quanta::Instant,
    begun: Instant,
    done: mpsc::Sender<AskTimes>,
}

enum Asked {
    Start,
    Answer(u64),
}

enum Heard {
    Start(quanta::Instant),
    Timed(u64, quanta::Instant),
    /// The last timed one.
    Turn(u64, quanta::Instant),
    Untimed(u64),
    Last(u64),
}

impl Asker {
    fn answered(&mut self, answer: u64) {
        self.answers += 1;
        self.sum += answer;
    }

    fn timed(&mut self, now: quanta::Instant) {
        let ns = now.duration_since(self.last).as_nanos() as u64;
        self.each_ns.push(ns);
        self.last = now;
    }
}

impl Machine for Asker {
    type Event = Heard;

    fn apply(&mut self, event: Heard) {
        match event {
            Heard::Start(now) => self.last = now,
            Heard::Timed(answer, now) => {
                self.answered(answer);
                self.timed(now);
            }
            Heard::Turn(answer, now) => {
                self.answered(answer);
                self.timed(now);
                self.begun = Instant::now();
            }
            Heard::Untimed(answer) => self.answered(answer),
            Heard::Last(answer) => {
                let whole = self.begun.elapsed();
                self.answered(answer);
                let each_ns = std::mem::take(&mut self.each_ns);
                let sum = self.sum;
                let _ = self.done.send(AskTimes {
                    each_ns,
                    whole,
                    sum,
                });
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Asking {
    echo: ActorRef<Question>,
    count: u64,
}

impl Asking {
    fn ask(&self, number: u64) -> Plan<Self> {
        Plan::<Self>::ask(self.echo, |reply| Question(number, reply))
            .on_ok(Asked::Answer)
            .into()
    }
}

impl Behavior for Asking {
    type Machine = Asker;
    type Message = Asked;

    fn on_message(&self, message: Asked, asker: Snapshot<Self>) -> Plan<Self> {
        let Asked::Answer(answer) = message else {
            return Plan::emit(Heard::Start(quanta::Instant::now())).and(self.ask(0));
        };
        let answers = asker.answers + 1;
        if answers == 2 * self.count {
            return Plan::emit(Heard::Last(answer));
        }
        let (event, next) = if answers < self.count {
            (Heard::Timed(answer, quanta::Instant::now()), answers)
        } else if answers == self.count {
            (Heard::Turn(answer, quanta::Instant::now()), 0)
        } else {
            (Heard::Untimed(answer), answers - self.count)
        };
        Plan::emit(event).and(self.ask(next))
    }
}

/// Arms timers, cancels every other one, and gets the rest.
struct Alarm {
    laps: Laps,
    rung: Option<Rung>,
    done: mpsc::Sender<Rung>,
}

enum Timer {
    /// Arm from this one on.
    Arm(u64),
    /// Cancel from this one on.
    Cancel(u64),
    /// This one was due then, by the system's clock.
    Due {
        index: u64,
        due: Duration,
        /// Dropped with the message, where the timer is to be cancelled.
        passing: Option<Passing>,
    },
}

enum Seen {
    Begun,
    Armed,
    Rang {
        index: u64,
        /// None if it came before its time.
        late: Option<Duration>,
        is_stray: bool,
    },
}

impl Machine for Alarm {
    type Event = Seen;

    fn apply(&mut self, event: Seen) {
        match event {
            Seen::Begun => self.laps.armed.begin(),
            Seen::Armed => {
                self.laps.armed.pass();
                self.laps.cancelled.begin();
            }
            Seen::Rang {
                index,
                late,
                is_stray,
            } => {
                let Some(rung) = &mut self.rung else { return };
                rung.ring(index, late, is_stray);
                if rung.left == 0 {
                    let rung = self.rung.take().expect("there until now");
                    let _ = self.done.send(rung);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Arming {
    count: u64,
    laps: Laps,
}

impl Arming {
    fn load(&self) -> Timers {
        Timers { count: self.count }
    }
}

impl Behavior for Arming {
    type Machine = Alarm;
    type Message = Timer;

    fn on_message(&self, message: Timer, alarm: Snapshot<Self>) -> Plan<Self> {
        let (load, me) = (self.load(), alarm.me());
        match message {
            // All are in a wheel: the turn before this one has committed.
            Timer::Arm(from) if from >= self.count => {
                Plan::emit(Seen::Armed).and(Plan::tell(me, Timer::Cancel(0)))
            }
            Timer::Arm(from) => {
                let begin = match from {
                    0 => Plan::emit(Seen::Begun),
                    _ => Plan::none(),
                };
                let (to, now) = (self.count.min(from + BURST), alarm.now());
                let arms = (from..to).map(|index| {
                    let delay = load.delay(index);
                    let due = Timer::Due {
                        index,
                        due: now + delay,
                        passing: self.laps.passing(&load, index),
                    };
                    Plan::after(index, delay, due)
                });
                arms.fold(begin, Plan::and)
                    .and(Plan::tell(me, Timer::Arm(to)))
            }
            Timer::Cancel(from) => {
                let to = self.count.min(from + 2 * BURST);
                let cancels = (from..to)
                    .filter(|&index| load.is_cancelled(index))
                    .map(Plan::cancel);
                let next = match to {
                    _ if to == self.count => Plan::none(),
                    _ => Plan::tell(me, Timer::Cancel(to)),
                };
                cancels.fold(next, Plan::and)
            }
            Timer::Due {
                index,
                due,
                passing,
            } => Plan::emit(Seen::Rang {
                index,
                late: alarm.now().checked_sub(due),
                is_stray: passing.is_some(),
            }),
        }
    }
}

/// Works for every token that comes, and sends it on.
struct Worker {
    next: Option<ActorRef<Token>>,
    finish: &'static Finish,
}

enum Token {
    Next(ActorRef<Token>),
    Hop { left: u64, made: u64 },
}

enum Worked {
    Met(ActorRef<Token>),
    /// A token made so many hops, and ends here.
    Over(u64),
}

impl Machine for Worker {
    type Event = Worked;

    fn apply(&mut self, event: Worked) {
        match event {
            Worked::Met(next) => self.next = Some(next),
            Worked::Over(hops) => self.finish.arrive(hops, 0),
        }
    }
}

#[derive(Clone, Copy)]
struct Working {
    work: measure::Work,
}

impl Behavior for Working {
    type Machine = Worker;
    type Message = Token;

    fn on_message(&self, message: Token, worker: Snapshot<Self>) -> Plan<Self> {
        match message {
            Token::Next(next) => Plan::emit(Worked::Met(next)),
            Token::Hop { left, made } => {
                self.work.run();
                if left == 1 {
                    return Plan::emit(Worked::Over(made + 1));
                }
                let next = worker.next.expect("told before the token");
                let token = Token::Hop {
                    left: left - 1,
                    made: made + 1,
                };
                Plan::tell(next, token)
            }
        }
    }
}

/// Has short turns and a few long ones.
#[derive(Clone, Copy)]
struct Mixing {
    load: &'static Mixed,
}

enum Mix {
    Note(Note),
    /// A long turn was done elsewhere.
    Done(Result<(), ComputeError>),
}

impl Behavior for Mixing {
    type Machine = Nothing;
    type Message = Mix;

    fn on_message(&self, message: Mix, _: Snapshot<Self>) -> Plan<Self> {
        match message {
            Mix::Note(note) if self.load.announced && self.load.is_long(note) => {
                let load = self.load;
                Plan::compute(move |_| load.turn(note), CancelToken::new(), Mix::Done)
            }
            Mix::Note(note) => {
                self.load.turn(note);
                Plan::none()
            }
            Mix::Done(done) => {
                done.expect("the work neither panics nor is refused");
                Plan::none()
            }
        }
    }
}
