//! The workloads' actors, written once for all peers: the same work in every one of them.
//!
//! [`Peer`] is what differs between runtimes: how to spawn, tell, ask and arm. All of it is
//! dispatched statically, so a peer runs what its user would have written by hand.

pub mod actix_actors;
pub mod kameo_actors;
pub mod ractor_actors;
pub mod tokio_tasks;
pub mod xtra_actors;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::measure;
use crate::workloads::{
    self, AskTimes, Asks, BURST, Big, Chameneos, Contender, Cpu, FanOut, Finish, Idle, Lap, Laps,
    Mixed, Note, Passing, Rally, Ring, Rung, Skynet, SpawnAndKeep, Spawned, Stream, Tally, Timed,
    Timers,
};

/// What a handler says of the time after it.
#[derive(PartialEq)]
pub enum Next {
    Wait,
    Stop,
}

/// Where an actor starts, in a runtime whose actors stay on one thread. Others ignore it.
#[derive(Clone, Copy)]
pub enum Place {
    /// On the worker of that number, modulo their count.
    Worker(usize),
    /// On the worker that spawns it.
    Here,
}

/// An actor of a workload.
pub trait Actor<P: Peer>: Send + Sync + Sized + 'static {
    type Message: Send + 'static;
    /// Gets many messages in a row, so that taking several at once pays.
    const STREAM: bool = false;
    fn handle(&mut self, message: Self::Message) -> impl Future<Output = Next> + Send;
}

/// A runtime with mailboxes.
pub trait Peer: Clone + Send + Sync + 'static {
    type Address<A: Actor<Self>>: Clone + Send + Sync + 'static;
    /// An actor that answers `n + 1` to `n`.
    type Echo: Clone + Send + 'static;
    /// Messages that a source sends in one turn. Without end where sending waits for room.
    const BURST: u64;

    fn spawn<A: Actor<Self>>(&self, place: Place, actor: A) -> Self::Address<A>;
    /// From inside. Waits for room where mailboxes have a bound.
    fn tell<A: Actor<Self>>(
        to: &Self::Address<A>,
        message: A::Message,
    ) -> impl Future<Output = ()> + Send;
    /// From a thread outside; blocks for room.
    fn tell_outside<A: Actor<Self>>(to: &Self::Address<A>, message: A::Message);
    fn spawn_echo(&self) -> Self::Echo;
    fn ask(to: &Self::Echo, number: u64) -> impl Future<Output = u64> + Send;
    fn ask_outside(to: &Self::Echo, number: u64) -> u64;
    /// Runs `future` as an actor's handler would run.
    fn inside(&self, future: impl Future<Output = ()> + Send + 'static);
    /// Runs `future`, which an actor spawns, beside that actor.
    fn task(future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        tokio::spawn(future).abort_handle()
    }
    /// With an alarm whose timers are tasks that sleep.
    fn timers(&self, load: &Timers) -> Timed {
        let (alarm, rung) = Alarm::new(load);
        let laps = alarm.laps();
        let alarm = self.spawn(Place::Worker(0), alarm);
        Self::tell_outside(&alarm, Clock::Arm(alarm.clone()));
        let arm = laps.armed.wait();
        Self::tell_outside(&alarm, Clock::Cancel);
        let cancel = laps.cancelled.wait();
        Timed {
            arm,
            cancel,
            rung: rung.recv().expect("the alarm sends what it saw"),
        }
    }
    fn announces_long_turns(&self) -> bool {
        false
    }
    /// Runs a turn that will be long where the runtime wants such turns.
    fn long_turn(&self, turn: impl FnOnce()) {
        turn();
    }
}

/// Arms timers, cancels every other one, and gets the messages of the rest.
pub struct Alarm<T> {
    load: Timers,
    laps: Laps,
    /// By number, until those that are to be cancelled are.
    timers: Vec<T>,
    rung: Option<Rung>,
    done: mpsc::Sender<Rung>,
}

/// What a timer sends.
pub struct Fired {
    index: u64,
    due: Instant,
    /// Dropped with the message; where the timer is to be cancelled, that says that it is gone.
    passing: Option<Passing>,
}

impl<T> Alarm<T> {
    /// Sends what it saw to the receiver when the last timer has fired.
    pub fn new(load: &Timers) -> (Self, mpsc::Receiver<Rung>) {
        let (done, rung) = mpsc::channel();
        let load = Timers { ..*load };
        let alarm = Alarm {
            laps: Laps::new(&load, load.count),
            timers: Vec::with_capacity(load.count as usize),
            rung: Some(Rung::none(&load)),
            load,
            done,
        };
        (alarm, rung)
    }

    pub fn laps(&self) -> Laps {
        self.laps
    }

    /// Arms all timers of the load with `arm`. Each passes the first lap once it is armed.
    ///
    /// The clock is read once for a burst, as often as by an actor that arms no more in a turn.
    pub fn arm(&mut self, mut arm: impl FnMut(Instant, Fired) -> T) {
        self.laps.armed.begin();
        for from in (0..self.load.count).step_by(BURST as usize) {
            let now = Instant::now();
            for index in from..self.load.count.min(from + BURST) {
                let due = now + self.load.delay(index);
                let passing = self.laps.passing(&self.load, index);
                let fired = Fired {
                    index,
                    due,
                    passing,
                };
                self.timers.push(arm(due, fired));
            }
        }
    }

    /// Cancels every other one with `cancel`. Their messages, dropped, pass the second lap.
    pub fn cancel(&mut self, mut cancel: impl FnMut(&T)) {
        self.laps.cancelled.begin();
        for (index, timer) in self.timers.iter().enumerate() {
            if self.load.is_cancelled(index as u64) {
                cancel(timer);
            }
        }
    }

    /// A timer's message has come.
    pub fn fired(&mut self, fired: &Fired) -> Next {
        let late = Instant::now().checked_duration_since(fired.due);
        let Some(rung) = &mut self.rung else {
            return Next::Stop;
        };
        rung.ring(fired.index, late, fired.passing.is_some());
        if rung.left > 0 {
            return Next::Wait;
        }
        let _ = self.done.send(self.rung.take().expect("there until now"));
        Next::Stop
    }
}

/// What an alarm of a runtime's actors gets.
pub enum Clock<P: Peer> {
    /// Arm all; it is told where it is.
    Arm(P::Address<Alarm<AbortHandle>>),
    /// Cancel every other one.
    Cancel,
    Fired(Fired),
}

impl<P: Peer> Actor<P> for Alarm<AbortHandle> {
    type Message = Clock<P>;

    async fn handle(&mut self, message: Clock<P>) -> Next {
        match message {
            Clock::Arm(me) => {
                let armed = self.laps.armed;
                self.arm(|due, fired| {
                    let me = me.clone();
                    P::task(async move {
                        sleep(due, armed).await;
                        P::tell::<Self>(&me, Clock::Fired(fired)).await;
                    })
                });
            }
            Clock::Cancel => self.cancel(AbortHandle::abort),
            Clock::Fired(fired) => return self.fired(&fired),
        }
        Next::Wait
    }
}

/// Sleeps until `due`. Passes a lap once that is in tokio's wheel, where the first poll puts it.
async fn sleep(due: Instant, armed: &Lap) {
    let mut sleep = pin!(tokio::time::sleep_until(due.into()));
    let mut is_armed = false;
    poll_fn(|context| {
        let polled = sleep.as_mut().poll(context);
        if !std::mem::replace(&mut is_armed, true) {
            armed.pass();
        }
        polled
    })
    .await;
}

/// Makes a contender of a peer.
pub struct Shared<P>(pub P);

impl<P: Peer> Shared<P> {
    /// Sends the first messages from inside, where they don't cost a wake each. Returns when.
    fn begin<A: Actor<P>>(&self, first: Vec<(P::Address<A>, A::Message)>) -> Instant {
        let begun = Instant::now();
        self.0.inside(async move {
            for (to, message) in first {
                P::tell::<A>(&to, message).await;
            }
        });
        begun
    }
}

impl<P: Peer> Contender for Shared<P> {
    fn rally(&self, load: &Rally) -> Tally {
        let finish = Finish::after(load.pairs as u64);
        let starters: Vec<_> = (0..load.pairs)
            .map(|pair| {
                let place = Place::Worker(pair);
                let [one, two] =
                    [(); 2].map(|()| self.0.spawn(place, Player { next: None, finish }));
                P::tell_outside(&one, Pass::To(two.clone()));
                P::tell_outside(&two, Pass::To(one.clone()));
                one
            })
            .collect();
        let (left, passed) = (load.hops, 0);
        let balls = starters
            .into_iter()
            .map(|one| (one, Pass::Ball { left, passed }));
        finish.wait(self.begin::<Player<P>>(balls.collect()))
    }

    fn ring(&self, load: &Ring) -> Tally {
        let finish = Finish::after(1);
        let players: Vec<_> = (0..load.actors)
            .map(|_| {
                self.0
                    .spawn(Place::Worker(0), Player { next: None, finish })
            })
            .collect();
        for (index, player) in players.iter().enumerate() {
            P::tell_outside(player, Pass::To(players[(index + 1) % load.actors].clone()));
        }
        let begun = Instant::now();
        P::tell_outside(
            &players[0],
            Pass::Ball {
                left: load.hops,
                passed: 0,
            },
        );
        finish.wait(begun)
    }

    fn stream(&self, load: &Stream) -> Tally {
        let finish = Finish::after(1);
        let place = Place::Worker(0);
        let sink = self.0.spawn(
            place,
            Sink {
                left: load.total(),
                received: 0,
                sum: 0,
                finish,
            },
        );
        let sources: Vec<_> = (0..load.sources)
            .map(|_| {
                self.0.spawn(
                    place,
                    Source::<P> {
                        sinks: [sink.clone()].into(),
                        next: 0,
                        each: load.each,
                    },
                )
            })
            .collect();
        let go = sources
            .into_iter()
            .map(|source| (source.clone(), Go(source)));
        finish.wait(self.begin::<Source<P>>(go.collect()))
    }

    fn fan_out(&self, load: &FanOut) -> Tally {
        let finish = Finish::after(load.sinks as u64);
        let place = Place::Worker(0);
        let sinks = (0..load.sinks)
            .map(|_| {
                self.0.spawn(
                    place,
                    Sink {
                        left: load.each,
                        received: 0,
                        sum: 0,
                        finish,
                    },
                )
            })
            .collect();
        let source = self.0.spawn(
            place,
            Source::<P> {
                sinks,
                next: 0,
                each: load.each,
            },
        );
        let begun = Instant::now();
        P::tell_outside(&source, Go(source.clone()));
        finish.wait(begun)
    }

    fn big(&self, load: &Big) -> Tally {
        let finish = Finish::after(load.actors as u64);
        let all: Arc<[_]> = (0..load.actors)
            .map(|index| {
                self.0.spawn(
                    Place::Worker(index),
                    Member::<P> {
                        all: [].into(),
                        index: index as u32,
                        pings_left: load.pings(),
                        pongs_left: load.pings(),
                        received: 0,
                        finish,
                    },
                )
            })
            .collect();
        for member in all.iter() {
            P::tell_outside(member, Crowd::Everyone(all.clone()));
        }
        let start = all.iter().map(|member| (member.clone(), Crowd::Start));
        finish.wait(self.begin::<Member<P>>(start.collect()))
    }

    fn chameneos(&self, load: &Chameneos) -> Tally {
        let finish = Finish::after(load.creatures as u64);
        let place = Place::Worker(0);
        let mall = self.0.spawn(
            place,
            Mall::<P> {
                creatures: [].into(),
                waiting: None,
                meetings_left: load.meetings,
            },
        );
        let creatures: Arc<[_]> = (0..load.creatures)
            .map(|index| {
                let color = (index % 3) as u8;
                let mall = mall.clone();
                let creature = Creature {
                    mall,
                    others: [].into(),
                    index: index as u32,
                    color,
                    meetings: 0,
                    finish,
                };
                self.0.spawn(place, creature)
            })
            .collect();
        P::tell_outside(&mall, AtMall::Creatures(creatures.clone()));
        for creature in creatures.iter() {
            P::tell_outside(creature, Meeting::Others(creatures.clone()));
        }
        let start = creatures
            .iter()
            .map(|creature| (creature.clone(), Meeting::Start));
        finish.wait(self.begin::<Creature<P>>(start.collect()))
    }

    fn skynet(&self, load: &Skynet) -> Tally {
        let finish = Finish::after(1);
        let root = Node {
            peer: self.0.clone(),
            parent: Parent::Finish(finish),
            first: 0,
            size: load.leaves,
            sums_left: 0,
            leaves: 0,
            sum: 0,
        };
        let begun = Instant::now();
        let root = self.0.spawn(Place::Worker(0), root);
        P::tell_outside(&root, Tree::Grow(root.clone()));
        finish.wait(begun)
    }

    fn spawn_and_keep(&self, load: &SpawnAndKeep) -> Spawned {
        let finish = Finish::after(load.actors);
        let (keep, kept) = mpsc::channel();
        let (peer, actors) = (self.0.clone(), load.actors);
        let before = measure::resident_bytes();
        let begun = Instant::now();
        self.0.inside(async move {
            let addresses: Vec<_> = (0..actors)
                .map(|index| peer.spawn(Place::Worker(index as usize), Quiet { count: 0, finish }))
                .collect();
            let spawned = begun.elapsed();
            for address in &addresses {
                P::tell(address, Hello).await;
            }
            let _ = keep.send((spawned, addresses));
        });
        let ready = finish.wait(begun);
        let (spawned, _addresses) = kept.recv().expect("the spawner sends what it spawned");
        let bytes = measure::resident_bytes().saturating_sub(before);
        Spawned {
            spawned,
            ready,
            bytes,
        }
    }

    fn ask_outside(&self, load: &Asks) -> AskTimes {
        let echo = self.0.spawn_echo();
        let (mut each_ns, mut sum) = (Vec::with_capacity(load.count as usize), 0);
        let mut last = quanta::Instant::now();
        for number in 0..load.count {
            sum += P::ask_outside(&echo, number);
            let now = quanta::Instant::now();
            each_ns.push(now.duration_since(last).as_nanos() as u64);
            last = now;
        }
        let begun = Instant::now();
        for number in 0..load.count {
            sum += P::ask_outside(&echo, number);
        }
        AskTimes {
            each_ns,
            whole: begun.elapsed(),
            sum,
        }
    }

    fn ask_inside(&self, load: &Asks) -> AskTimes {
        let echo = self.0.spawn_echo();
        let (done, times) = mpsc::channel();
        let count = load.count;
        self.0.inside(async move {
            let (mut each_ns, mut sum) = (Vec::with_capacity(count as usize), 0);
            let mut last = quanta::Instant::now();
            for number in 0..count {
                sum += P::ask(&echo, number).await;
                let now = quanta::Instant::now();
                each_ns.push(now.duration_since(last).as_nanos() as u64);
                last = now;
            }
            let begun = Instant::now();
            for number in 0..count {
                sum += P::ask(&echo, number).await;
            }
            let _ = done.send(AskTimes {
                each_ns,
                whole: begun.elapsed(),
                sum,
            });
        });
        times.recv().expect("the asker sends its times")
    }

    fn timers(&self, load: &Timers) -> Timed {
        self.0.timers(load)
    }

    fn cpu(&self, load: &Cpu) -> Tally {
        let finish = Finish::after(load.actors as u64);
        let workers: Vec<_> = (0..load.actors)
            .map(|index| {
                self.0.spawn(
                    Place::Worker(index),
                    Worker::<P> {
                        next: None,
                        work: load.work,
                        finish,
                    },
                )
            })
            .collect();
        for (index, worker) in workers.iter().enumerate() {
            P::tell_outside(
                worker,
                Token::Next(workers[(index + 1) % load.actors].clone()),
            );
        }
        let (left, made) = (load.hops, 0);
        let tokens = workers
            .into_iter()
            .map(|worker| (worker, Token::Hop { left, made }));
        finish.wait(self.begin::<Worker<P>>(tokens.collect()))
    }

    fn mixed(&self, load: &'static Mixed) -> Tally {
        let actors: Vec<_> = (0..load.actors)
            .map(|index| {
                self.0.spawn(
                    Place::Worker(index),
                    Mixer {
                        peer: self.0.clone(),
                        load,
                    },
                )
            })
            .collect();
        load.pace(|actor, note| P::tell_outside(&actors[actor], note))
    }

    fn announces_long_turns(&self) -> bool {
        self.0.announces_long_turns()
    }

    fn idle(&self, load: &Idle) -> f64 {
        let finish = Finish::after(load.actors);
        let addresses: Vec<_> = (0..load.actors)
            .map(|index| {
                self.0
                    .spawn(Place::Worker(index as usize), Quiet { count: 0, finish })
            })
            .collect();
        for address in &addresses {
            P::tell_outside(address, Hello);
        }
        finish.wait(Instant::now());
        // What still winds down is not idle yet.
        std::thread::sleep(Duration::from_millis(100));
        let share = measure::cpu_share(load.watch);
        drop(addresses);
        share
    }
}

/// Passes a ball on.
struct Player<P: Peer> {
    next: Option<P::Address<Player<P>>>,
    finish: &'static Finish,
}

enum Pass<P: Peer> {
    To(P::Address<Player<P>>),
    Ball { left: u64, passed: u64 },
}

impl<P: Peer> Actor<P> for Player<P> {
    type Message = Pass<P>;

    async fn handle(&mut self, message: Pass<P>) -> Next {
        match message {
            Pass::To(next) => self.next = Some(next),
            Pass::Ball { left: 1, passed } => self.finish.arrive(passed + 1, 0),
            Pass::Ball { left, passed } => {
                let next = self.next.as_ref().expect("told before the ball");
                P::tell(
                    next,
                    Pass::Ball {
                        left: left - 1,
                        passed: passed + 1,
                    },
                )
                .await;
            }
        }
        Next::Wait
    }
}

/// Sends the numbers below `each` to all sinks.
struct Source<P: Peer> {
    sinks: Arc<[P::Address<Sink>]>,
    next: u64,
    each: u64,
}

/// Carries the source's own address, to go on with after a burst.
struct Go<P: Peer>(P::Address<Source<P>>);

impl<P: Peer> Actor<P> for Source<P> {
    type Message = Go<P>;

    async fn handle(&mut self, Go(me): Go<P>) -> Next {
        let rounds = (P::BURST / self.sinks.len() as u64).max(1);
        let until = self.next.saturating_add(rounds).min(self.each);
        while self.next < until {
            for sink in self.sinks.iter() {
                P::tell(sink, self.next).await;
            }
            self.next += 1;
        }
        if self.next == self.each {
            return Next::Stop;
        }
        P::tell(&me.clone(), Go(me)).await;
        Next::Wait
    }
}

/// Counts and adds up.
struct Sink {
    left: u64,
    received: u64,
    sum: u64,
    finish: &'static Finish,
}

impl<P: Peer> Actor<P> for Sink {
    type Message = u64;
    const STREAM: bool = true;

    async fn handle(&mut self, number: u64) -> Next {
        self.received += 1;
        self.sum += number;
        self.left -= 1;
        if self.left == 0 {
            self.finish.arrive(self.received, self.sum);
        }
        Next::Wait
    }
}

/// One of all to all.
struct Member<P: Peer> {
    all: Arc<[P::Address<Member<P>>]>,
    index: u32,
    pings_left: u64,
    pongs_left: u64,
    received: u64,
    finish: &'static Finish,
}

enum Crowd<P: Peer> {
    Everyone(Arc<[P::Address<Member<P>>]>),
    Start,
    Ping { from: u32 },
    Pong,
}

impl<P: Peer> Member<P> {
    async fn ping_all_others(&self) {
        let others = self
            .all
            .iter()
            .enumerate()
            .filter(|&(index, _)| index as u32 != self.index);
        for (_, other) in others {
            P::tell(other, Crowd::Ping { from: self.index }).await;
        }
    }

    fn count(&mut self) {
        self.received += 1;
        if self.pings_left == 0 && self.pongs_left == 0 {
            self.finish.arrive(self.received, 0);
        }
    }
}

impl<P: Peer> Actor<P> for Member<P> {
    type Message = Crowd<P>;
    const STREAM: bool = true;

    async fn handle(&mut self, message: Crowd<P>) -> Next {
        match message {
            Crowd::Everyone(all) => self.all = all,
            Crowd::Start => self.ping_all_others().await,
            Crowd::Ping { from } => {
                self.pings_left -= 1;
                P::tell(&self.all[from as usize], Crowd::Pong).await;
                self.count();
            }
            Crowd::Pong => {
                self.pongs_left -= 1;
                if self.pongs_left > 0 && self.pongs_left.is_multiple_of(self.all.len() as u64 - 1)
                {
                    self.ping_all_others().await;
                }
                self.count();
            }
        }
        Next::Wait
    }
}

/// Brings creatures together, until there have been enough meetings.
struct Mall<P: Peer> {
    creatures: Arc<[P::Address<Creature<P>>]>,
    waiting: Option<u32>,
    meetings_left: u64,
}

enum AtMall<P: Peer> {
    Creatures(Arc<[P::Address<Creature<P>>]>),
    Request { index: u32, color: u8 },
}

impl<P: Peer> Actor<P> for Mall<P> {
    type Message = AtMall<P>;
    const STREAM: bool = true;

    async fn handle(&mut self, message: AtMall<P>) -> Next {
        match message {
            AtMall::Creatures(creatures) => self.creatures = creatures,
            AtMall::Request { index, .. } if self.meetings_left == 0 => {
                P::tell(&self.creatures[index as usize], Meeting::Closed).await;
            }
            AtMall::Request { index, color } => match self.waiting.take() {
                None => self.waiting = Some(index),
                Some(first) => {
                    self.meetings_left -= 1;
                    let partner = Meeting::Partner { index, color };
                    P::tell(&self.creatures[first as usize], partner).await;
                }
            },
        }
        Next::Wait
    }
}

/// Changes its color with every meeting.
struct Creature<P: Peer> {
    mall: P::Address<Mall<P>>,
    others: Arc<[P::Address<Creature<P>>]>,
    index: u32,
    color: u8,
    meetings: u64,
    finish: &'static Finish,
}

enum Meeting<P: Peer> {
    Others(Arc<[P::Address<Creature<P>>]>),
    Start,
    Partner { index: u32, color: u8 },
    Change { color: u8 },
    Closed,
}

impl<P: Peer> Creature<P> {
    async fn request(&self) {
        P::tell(
            &self.mall,
            AtMall::Request {
                index: self.index,
                color: self.color,
            },
        )
        .await;
    }
}

impl<P: Peer> Actor<P> for Creature<P> {
    type Message = Meeting<P>;

    async fn handle(&mut self, message: Meeting<P>) -> Next {
        match message {
            Meeting::Others(others) => self.others = others,
            Meeting::Start => self.request().await,
            Meeting::Partner { index, color } => {
                self.color = workloads::complement(self.color, color);
                self.meetings += 1;
                let change = Meeting::Change { color: self.color };
                P::tell(&self.others[index as usize], change).await;
                self.request().await;
            }
            Meeting::Change { color } => {
                self.color = color;
                self.meetings += 1;
                self.request().await;
            }
            Meeting::Closed => self.finish.arrive(self.meetings, 0),
        }
        Next::Wait
    }
}

/// A node of the tree, with the leaves `first..first + size` under it.
struct Node<P: Peer> {
    peer: P,
    parent: Parent<P>,
    first: u64,
    size: u64,
    sums_left: u32,
    leaves: u64,
    sum: u64,
}

enum Parent<P: Peer> {
    Node(P::Address<Node<P>>),
    Finish(&'static Finish),
}

enum Tree<P: Peer> {
    /// Carries the node's own address, for its children.
    Grow(P::Address<Node<P>>),
    Sum {
        leaves: u64,
        sum: u64,
    },
}

impl<P: Peer> Node<P> {
    async fn report(&self) {
        let Node { leaves, sum, .. } = *self;
        match &self.parent {
            Parent::Node(parent) => P::tell(parent, Tree::Sum { leaves, sum }).await,
            Parent::Finish(finish) => finish.arrive(leaves, sum),
        }
    }

    async fn grow(&mut self, me: P::Address<Node<P>>) {
        let is_root = matches!(self.parent, Parent::Finish(_));
        self.sums_left = 10;
        for child in 0..10 {
            let place = if is_root {
                Place::Worker(child as usize)
            } else {
                Place::Here
            };
            let size = self.size / 10;
            let child = Node {
                peer: self.peer.clone(),
                parent: Parent::Node(me.clone()),
                first: self.first + child * size,
                size,
                sums_left: 0,
                leaves: 0,
                sum: 0,
            };
            let child = self.peer.spawn(place, child);
            P::tell(&child, Tree::Grow(child.clone())).await;
        }
    }
}

impl<P: Peer> Actor<P> for Node<P> {
    type Message = Tree<P>;

    async fn handle(&mut self, message: Tree<P>) -> Next {
        match message {
            Tree::Grow(_) if self.size == 1 => {
                (self.leaves, self.sum) = (1, self.first);
                self.report().await;
                return Next::Stop;
            }
            Tree::Grow(me) => self.grow(me).await,
            Tree::Sum { leaves, sum } => {
                self.leaves += leaves;
                self.sum += sum;
                self.sums_left -= 1;
                if self.sums_left == 0 {
                    self.report().await;
                    return Next::Stop;
                }
            }
        }
        Next::Wait
    }
}

/// Sixteen bytes of state, told once.
struct Quiet {
    count: u64,
    finish: &'static Finish,
}

struct Hello;

impl<P: Peer> Actor<P> for Quiet {
    type Message = Hello;

    async fn handle(&mut self, Hello: Hello) -> Next {
        self.count += 1;
        self.finish.arrive(self.count, 0);
        Next::Wait
    }
}

/// Works for every token that comes, and sends it on.
struct Worker<P: Peer> {
    next: Option<P::Address<Worker<P>>>,
    work: measure::Work,
    finish: &'static Finish,
}

enum Token<P: Peer> {
    Next(P::Address<Worker<P>>),
    Hop { left: u64, made: u64 },
}

impl<P: Peer> Actor<P> for Worker<P> {
    type Message = Token<P>;

    async fn handle(&mut self, message: Token<P>) -> Next {
        match message {
            Token::Next(next) => self.next = Some(next),
            Token::Hop { left, made } => {
                self.work.run();
                match left {
                    1 => self.finish.arrive(made + 1, 0),
                    _ => {
                        let next = self.next.as_ref().expect("told before the token");
                        P::tell(
                            next,
                            Token::Hop {
                                left: left - 1,
                                made: made + 1,
                            },
                        )
                        .await;
                    }
                }
            }
        }
        Next::Wait
    }
}

/// Has short turns and a few long ones.
struct Mixer<P> {
    peer: P,
    load: &'static Mixed,
}

impl<P: Peer> Actor<P> for Mixer<P> {
    type Message = Note;

    async fn handle(&mut self, note: Note) -> Next {
        if self.load.announced && self.load.is_long(note) {
            self.peer.long_turn(|| self.load.turn(note));
        } else {
            self.load.turn(note);
        }
        Next::Wait
    }
}
