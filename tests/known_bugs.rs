//! Bugs that other runtimes had, each as a test of this one. `docs/known-bugs.md` has the list with
//! the tests that lie elsewhere; the numbers are those of that list.

mod common;
use common::*;
use mainspring::Shutdown;
use mainspring::config::WhenFull;
use mainspring::prelude::*;
use mainspring::supervise::{
    Backoff, ChildSpec, Children, Strategy, Supervisor, SupervisorMessage,
};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// No. 9, rayon#343: idle workers spun when there were more of them than cores.
#[cfg(target_os = "linux")]
#[test]
fn idle_workers_do_not_run() {
    /// How many threads of that name sleep, and how often they were given a core.
    fn look(name: &str) -> (usize, u64) {
        let (mut asleep, mut switches) = (0, 0);
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path();
            let text = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            if !text.starts_with(name) || text.contains("dog") {
                continue;
            }
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            asleep += usize::from(status.contains("State:\tS"));
            for line in status.lines().filter(|line| line.contains("ctxt_switches")) {
                let (_, number) = line.split_once(':').unwrap();
                switches += number.trim().parse::<u64>().unwrap();
            }
        }
        (asleep, switches)
    }

    let config = Config::builder().workers(8).thread_name("idlers");
    let system = System::with_config(config.build().unwrap()).unwrap();
    assert_eq!(spawn(&system, &Log::new()).ask(Msg::Ping).wait(), Ok(7));
    // They lie down in their time; then nobody wakes them while the test works for a while. A
    // worker on its way to sleep may wait for a lock, so that one look proves nothing.
    let (mut before, mut looks) = ((0, 0), 0);
    until("all sleep", || {
        let now = look("idlers");
        looks = if now == before && now.0 == 8 {
            looks + 1
        } else {
            0
        };
        before = now;
        std::thread::yield_now();
        looks == 200
    });
    let work = (0..20_000_000_u64).fold(1_u64, |sum, n| std::hint::black_box(sum.wrapping_mul(n)));
    assert_eq!(work, 0);
    assert_eq!(look("idlers"), before);
}

/// No. 12, rayon#854, #1064: who waited inside a job ran a stranger's job on top of it.
#[test]
fn a_chain_of_ten_thousand_asks_runs_at_one_depth() {
    type Depths = Arc<Mutex<(usize, usize)>>;
    fn note(depths: &Depths) {
        let here = 0_u8;
        let here = std::ptr::from_ref(std::hint::black_box(&here)).addr();
        let mut depths = depths.lock().unwrap();
        *depths = (depths.0.min(here), depths.1.max(here));
    }
    fn down(chain: Arc<[ActorRef<Msg>]>, at: usize, depths: Depths, reply: Reply<u64>) -> Msg {
        does(move || {
            note(&depths);
            let Some(&next) = chain.get(at) else {
                return Plan::reply(reply, 0);
            };
            let its = depths.clone();
            Plan::<Script>::ask(next, move |reply| down(chain, at + 1, its, reply))
                .on_ok(move |n: u64| {
                    does(move || {
                        note(&depths);
                        Plan::reply(reply, n + 1)
                    })
                })
                .into()
        })
    }
    let (system, _) = stepped();
    let chain: Arc<[_]> = (0..10_000)
        .map(|_| spawn(&system, &Log::new()).actor())
        .collect();
    let depths = Depths::new(Mutex::new((usize::MAX, 0)));
    let first = spawn(&system, &Log::new());
    let asked = first.ask(|reply| down(chain, 0, depths.clone(), reply));
    system.run_until_idle();
    assert_eq!(asked.wait(), Ok(10_000));
    let (lowest, highest) = *depths.lock().unwrap();
    assert!(highest - lowest < 64 << 10, "{} bytes", highest - lowest);
}

/// No. 16, pony#3551, #4550, #4583: the runtime came to rest, or ended, with a message queued.
#[test]
fn what_a_last_turn_sends_to_its_own_actor_is_handled_without_a_push_from_outside() {
    fn last(log: u64, left: u64) -> Msg {
        act(move |me| match left {
            0 => say(log),
            left => Plan::tell(me.me(), last(log, left - 1)),
        })
    }
    for round in 0..500 {
        let system = threads(1 + round % 3);
        let log = Log::new();
        for n in 0..3 {
            spawn(&system, &log).tell(last(n, n * 2)).unwrap();
        }
        until("all is handled", || log.len() == 3);
        assert_eq!(system.shutdown(LONG), Shutdown::default(), "round {round}");
    }
}

/// Does something when it is dropped.
struct Then<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Then<F> {
    fn drop(&mut self) {
        self.0.take().unwrap()();
    }
}

fn then<F: FnOnce()>(then: F) -> Then<F> {
    Then(Some(then))
}

/// No. 17, tokio#2046, #2082, #3228: a lock was held while what is dropped woke, stopped or spawned
/// others.
#[test]
fn what_is_dropped_may_tell_stop_and_drop_the_system() {
    for workers in [0, 1, 2] {
        let system = match workers {
            0 => stepped().0,
            workers => threads(workers),
        };
        let log = Log::new();
        let other = spawn(&system, &log);
        let victim = spawn(&system, &Log::new());
        let dropped = Arc::new(AtomicUsize::new(0));
        let what = || {
            let (other, victim, count) = (other.clone(), victim.clone(), dropped.clone());
            then(move || {
                other.tell(Msg::Say(1)).unwrap();
                victim.stop();
                count.fetch_add(1, Relaxed);
            })
        };
        // One that is dropped in a queue, one in a state, one in a turn.
        let one = system.spawn(Script, Tape::default().keep(what())).unwrap();
        let (in_turn, in_queue) = (what(), what());
        one.tell(does(move || {
            drop(in_turn);
            Plan::stop()
        }))
        .unwrap();
        let prepared = system.prepare(Script, Tape::default()).hold().unwrap();
        prepared
            .tell(does(move || {
                let _in_queue = in_queue;
                Plan::none()
            }))
            .unwrap();
        drop(prepared);
        until("all is dropped", || {
            if workers == 0 {
                system.run_until_idle();
            }
            dropped.load(Relaxed) == 3 && log.len() == 3 && !victim.is_alive()
        });
        if workers > 0 {
            // The system itself goes with a machine's state, on a worker's thread.
            let system = Arc::new(system);
            let its = system.clone();
            let state = Tape::default().keep(then(move || drop(its)));
            let last = system.spawn(Script, state).unwrap();
            drop(system);
            last.kill();
            until("the end", || !other.is_alive());
        }
    }
}

/// No. 26, crossbeam#669, kameo#233: messages were kept until the last sender was gone.
#[test]
fn a_stopped_actor_frees_its_messages_while_handles_are_held() {
    let (system, _) = stepped_with(
        Config::builder()
            .mailbox_capacity(32_768)
            .mailbox_capacity_bytes(1 << 30),
    );
    let alive = Alive::new();
    let one = spawn(&system, &Log::new());
    let (other, address) = (one.clone(), one.actor());
    for _ in 0..30_000 {
        let held = alive.one();
        one.tell(does(move || {
            let _held = held;
            Plan::none()
        }))
        .unwrap();
    }
    assert_eq!(alive.count(), 30_000);
    one.kill();
    system.run_until_idle();
    assert_eq!(alive.count(), 0);
    assert!(!other.is_alive() && system.handle(address).is_some_and(|h| !h.is_alive()));
}

/// No. 27, futures-rs#2863, #2529: a queue was left half taken apart when an item's drop panicked.
#[test]
fn a_bomb_at_any_place_of_a_queue_costs_that_message_only() {
    quiet_panics();
    for place in 0..20 {
        let (system, _) = stepped();
        let alive = Alive::new();
        let one = spawn(&system, &Log::new());
        for n in 0..20 {
            let (held, bomb) = (alive.one(), (n == place).then(|| Bomb));
            one.tell(does(move || {
                let _both = (held, bomb);
                Plan::none()
            }))
            .unwrap();
        }
        one.kill();
        system.run_until_idle();
        assert_eq!((alive.count(), system.actors()), (0, 0), "place {place}");
        assert_eq!(system.dead_letter_count(), 20);
        let next = spawn(&system, &Log::new());
        let asked = next.ask(Msg::Ping);
        system.run_until_idle();
        assert_eq!(asked.wait(), Ok(7));
    }
}

/// No. 32, protoactor-kotlin#35: a mailbox was scheduled for ever with nothing in it.
#[test]
fn a_burst_takes_no_more_turns_than_messages() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    system.run_until_idle();
    let turns = |system: &System| {
        system
            .metrics()
            .workers
            .iter()
            .map(|w| w.turns)
            .sum::<u64>()
    };
    for burst in [1, 2, 10, 100] {
        let before = turns(&system);
        for n in 0..burst {
            one.tell(Msg::Say(n)).unwrap();
        }
        system.run_until_idle();
        let taken = turns(&system) - before;
        assert!((1..=burst).contains(&taken), "{taken} turns for {burst}");
        system.run_until_idle();
        assert_eq!(turns(&system) - before, taken, "and none for nothing");
    }
}

/// No. 35, nearcore#3380 on actix: the usual way to send did not look at the limit.
#[test]
fn every_way_to_send_counts_against_the_bound() {
    let (system, hand) = stepped_with(Config::builder().ask_timeout(ms(50)));
    let log = Log::new();
    let full = system
        .prepare(Script, Tape::new(&log))
        .capacity(4)
        .hold()
        .unwrap();
    for n in 0..4 {
        full.tell(Msg::Say(n)).unwrap();
    }
    let to = full.actor();
    let outside = system.handle(to).unwrap();
    assert!(outside.tell(Msg::Say(9)).is_err());
    assert!(outside.tell_wait(Msg::Say(9), ms(1)).is_err());
    let asked = outside.ask(Msg::Ping);
    assert!(matches!(asked.wait(), Err(AskError::Refused)));
    let ways: [fn(ActorRef<Msg>) -> Plan<Script>; 4] = [
        |to| Plan::tell(to, Msg::Say(9)),
        |to| Plan::tell_all(&[to], Msg::Say(9)),
        |to| {
            (0..3).fold(Plan::none(), |plan, _| {
                plan.and(Plan::tell(to, Msg::Say(9)))
            })
        },
        |to| Plan::<Script>::ask(to, Msg::Ping).on_ok(Msg::Say).into(),
    ];
    for way in ways {
        let sender = system
            .prepare(Script, Tape::default())
            .when_full(WhenFull::Refuse)
            .start()
            .unwrap();
        sender.tell(does(move || way(to))).unwrap();
        system.run_until_idle();
        hand.advance(ms(100));
        system.run_until_idle();
        assert_eq!(system.counts(to).unwrap().queued, 4);
    }
    let full = full.start();
    system.run_until_idle();
    assert_eq!(log.said(), [0, 1, 2, 3]);
    assert!(full.is_alive());
}

/// No. 36, kameo#84: a small mailbox that filled before the start had ended was a deadlock.
#[test]
fn a_hundred_messages_while_the_start_of_an_actor_with_one_place_runs() {
    let system = threads(2);
    let log = Log::new();
    let (begun, begin) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let tape = Tape::new(&log).start(move |_| {
        begun.send(()).unwrap();
        gone.recv().unwrap();
        say(1_000)
    });
    let one = system.prepare(Script, tape).capacity(1).start().unwrap();
    begin.recv().unwrap();
    let sent = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..100 {
                one.tell_wait(Msg::Say(n), LONG).unwrap();
                sent.fetch_add(1, Relaxed);
            }
        });
        until("the first is in", || sent.load(Relaxed) == 1);
        go.send(()).unwrap();
    });
    until("room", || one.ask(Msg::Ping).wait() == Ok(7));
    assert_eq!(
        log.said(),
        std::iter::once(1_000).chain(0..100).collect::<Vec<_>>()
    );
}

/// No. 42, crossbeam#1295: a guard that was forgotten was undefined behavior.
#[test]
fn what_is_forgotten_hangs_nobody() {
    let system = threads(2);
    let log = Log::new();
    let forgetful = spawn(&system, &log);
    let forgets = |reply: Reply<u64>| {
        does(move || {
            std::mem::forget(reply);
            Plan::none()
        })
    };
    let asked = forgetful.ask(forgets).timeout(ms(1)).wait();
    assert!(matches!(asked, Err(AskError::Timeout { .. })), "{asked:?}");
    let (asker, outcomes) = (spawn(&system, &log), Log::new());
    let (to, noted) = (forgetful.actor(), outcomes.clone());
    asker
        .tell(does(move || {
            Plan::<Script>::ask(to, forgets)
                .timeout(ms(1))
                .on_ok(Msg::Say)
                .on_error(move |error| {
                    noted.say(u64::from(matches!(error, AskError::Timeout { .. })));
                    Msg::Say(0)
                })
        }))
        .unwrap();
    until("the time-out", || outcomes.len() == 1);
    assert_eq!(outcomes.said(), [1]);
    std::mem::forget(forgetful.ask(Msg::Ping));
    std::mem::forget(forgetful.monitor());
    std::mem::forget(forgetful.events(1));
    for n in 0..5 {
        forgetful.tell(Msg::Say(n)).unwrap();
    }
    assert_eq!(forgetful.ask(Msg::Ping).wait(), Ok(7));
    assert_eq!(system.shutdown(LONG), Shutdown::default());
}

/// No. 46, kameo#392: the address of an old incarnation ended nobody, or somebody else.
#[test]
fn a_handle_of_the_dead_ends_and_watches_nobody_in_its_place() {
    let (system, _) = stepped();
    for _ in 0..2_000 {
        let old = spawn(&system, &Log::new());
        old.kill();
        system.run_until_idle();
        let new = spawn(&system, &Log::new());
        system.run_until_idle();
        assert!(!old.kill() && !old.stop() && !old.stop_now() && !old.is_alive());
        assert!(old.tell(Msg::Say(1)).is_err());
        assert_eq!(old.ask(Msg::Ping).wait(), Err(AskError::Stopped));
        let (by, target) = (spawn(&system, &Log::new()), old.actor());
        by.tell(does(move || {
            Plan::stop_actor(target).and(Plan::kill(target))
        }))
        .unwrap();
        system.run_until_idle();
        assert!(new.is_alive() && by.is_alive());
        new.kill();
        by.kill();
        system.run_until_idle();
    }
    assert_eq!(system.actors(), 0);
}

/// No. 48, ractor#167: actors linked to each other ended in endless recursion.
#[test]
fn rings_of_links_end_whatever_their_length() {
    quiet_panics();
    for length in [1, 2, 100_000] {
        let (system, _) = stepped_with(Config::builder().max_actors(200_000));
        let ring: Vec<_> = (0..length).map(|_| spawn(&system, &Log::new())).collect();
        for at in 0..length {
            let next = ring[(at + 1) % length].actor();
            ring[at].tell(does(move || Plan::link(next))).unwrap();
        }
        system.run_until_idle();
        assert_eq!(system.actors(), length as u64);
        ring[0].tell(does(|| panic!("on purpose"))).unwrap();
        // A small stack: what ends a neighbor must not call it.
        std::thread::scope(|scope| {
            let small = std::thread::Builder::new().stack_size(256 << 10);
            let run = || system.run_until_idle();
            small.spawn_scoped(scope, run).unwrap().join().unwrap();
        });
        assert_eq!(system.actors(), 0);
    }
}

/// No. 50, kameo#340: a supervisor waited for children that waited for it.
#[test]
fn a_tree_ends_while_its_children_ask_their_supervisor() {
    for stop in [
        |tree: &Actor<Supervisor>| tree.tell(SupervisorMessage::Stop).is_ok(),
        |tree: &Actor<Supervisor>| tree.stop(),
        |tree: &Actor<Supervisor>| tree.kill(),
    ] {
        let (system, hand) = stepped();
        let tree: Arc<Mutex<Option<ActorRef<SupervisorMessage>>>> = Arc::default();
        let specs = (0..3).map(|n| {
            let tree = tree.clone();
            ChildSpec::new(&format!("child {n}"), move |_| {
                let tree = tree.clone();
                let asks = move || {
                    let tree = tree.lock().unwrap().unwrap();
                    Plan::<Script>::ask(tree, SupervisorMessage::Which)
                        .on_ok(|_| Msg::Say(1))
                        .on_error(|_| Msg::Say(2))
                };
                (Script, Tape::default().stop(move |_, _| asks()))
            })
        });
        let children = Children::new(Strategy::OneForOne, specs.collect::<Vec<_>>());
        let supervisor = system.spawn(Supervisor, children).unwrap();
        *tree.lock().unwrap() = Some(supervisor.actor());
        system.run_until_idle();
        assert_eq!(system.actors(), 4);
        assert!(stop(&supervisor));
        for _ in 0..100 {
            hand.advance(Duration::from_secs(1));
            system.run_until_idle();
        }
        assert_eq!(system.actors(), 0);
    }
}

/// No. 56, wavelength#1123: a state that a panic left half changed was used again.
#[test]
fn a_panic_after_any_step_of_an_update_leaves_no_half_changed_state() {
    const STEPS: usize = 10;
    struct Fields {
        fields: [u64; STEPS],
    }
    struct Update {
        value: u64,
        panics_before: usize,
    }
    impl Machine for Fields {
        type Event = Update;
        fn apply(&mut self, update: Update) {
            for (step, field) in self.fields.iter_mut().enumerate() {
                assert!(step != update.panics_before, "on purpose");
                *field = update.value;
            }
        }
    }
    #[derive(Clone, Copy)]
    struct Updating;
    enum Do {
        Update(Update),
        Read(Reply<[u64; STEPS]>),
    }
    impl Behavior for Updating {
        type Machine = Fields;
        type Message = Do;
        fn on_message(&self, message: Do, fields: Snapshot<Self>) -> Plan<Self> {
            match message {
                Do::Update(update) => Plan::emit(update),
                Do::Read(reply) => Plan::reply(reply, fields.fields),
            }
        }
    }
    quiet_panics();
    for panics_before in 0..STEPS {
        let (system, hand) = stepped();
        let make = |_| (Updating, Fields { fields: [1; STEPS] });
        let spec = ChildSpec::new("fields", make)
            .named("fields")
            .backoff(Backoff::NONE);
        let children = Children::new(Strategy::OneForOne, [spec]);
        system.spawn(Supervisor, children).unwrap();
        system.run_until_idle();
        let fields = system.whereis::<Do>("fields").unwrap();
        let updates = [usize::MAX, panics_before].map(|panics_before| Update {
            value: 2,
            panics_before,
        });
        for update in updates {
            assert!(fields.tell(Do::Update(update)).is_ok());
        }
        let asked = fields.ask(Do::Read);
        system.run_until_idle();
        hand.advance(ms(1));
        system.run_until_idle();
        assert_eq!(asked.wait(), Ok([1; STEPS]), "before step {panics_before}");
    }
}

/// No. 57, rust#86027: a panic's payload that panics when it is dropped, and so does that one's.
#[test]
fn payloads_that_panic_in_their_drop_three_deep_end_their_actor_only() {
    struct Nested(u32);
    impl Drop for Nested {
        fn drop(&mut self) {
            if self.0 > 0 && !std::thread::panicking() {
                std::panic::panic_any(Nested(self.0 - 1));
            }
        }
    }
    quiet_panics();
    for depth in 1..=3 {
        for workers in [1, 2] {
            let system = threads(workers);
            let other = spawn(&system, &Log::new());
            for _ in 0..10 {
                let one = spawn(&system, &Log::new());
                one.tell(does(move || std::panic::panic_any(Nested(depth))))
                    .unwrap();
            }
            until("they end", || system.actors() == 1);
            assert_eq!(other.ask(Msg::Ping).wait(), Ok(7));
            assert_eq!(system.shutdown(LONG), Shutdown::default());
        }
    }
}

/// No. 60, restate#4327, orleans#9041: an ask with no time, or a strange one, never ended.
#[test]
fn an_ask_of_any_time_ends() {
    let times = [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_nanos(999_999),
        ms(1),
        Duration::from_secs(365 * 24 * 3_600),
    ];
    for time in times {
        let (system, hand) = stepped();
        let (asker, outcomes) = (spawn(&system, &Log::new()), Log::new());
        let (to, noted) = (spawn(&system, &Log::new()).actor(), outcomes.clone());
        asker
            .tell(does(move || {
                Plan::<Script>::ask(to, Msg::Keep)
                    .timeout(time)
                    .on_ok(Msg::Say)
                    .on_error(move |error| {
                        noted.say(u64::from(matches!(error, AskError::Timeout { .. })));
                        Msg::Say(0)
                    })
            }))
            .unwrap();
        system.run_until_idle();
        hand.advance(time + ms(2));
        system.run_until_idle();
        assert_eq!(outcomes.said(), [1], "{time:?}");
    }
    let (system, _) = stepped();
    let kept = spawn(&system, &Log::new());
    for time in &times[..4] {
        let outcome = kept.ask(Msg::Keep).timeout(*time).wait();
        assert!(matches!(outcome, Err(AskError::Timeout { .. })), "{time:?}");
    }
}

/// A message whose handling asks; the answer is noted.
fn notes(
    to: ActorRef<Msg>,
    question: impl FnOnce(Reply<u64>) -> Msg + Send + 'static,
    noted: &Log,
) -> Msg {
    let noted = noted.clone();
    does(move || {
        let ask = Plan::<Script>::ask(to, question).timeout(ms(1));
        ask.on_ok(move |n| {
            noted.say(n);
            Msg::Say(n)
        })
        .into()
    })
}

/// No. 61, what Erlang has aliases for: a late reply reached the next ask in the same place.
#[test]
fn a_reply_seventy_thousand_asks_late_reaches_none_of_them() {
    let (system, hand) = stepped();
    let (asker, keeper) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let (to, wrong, right) = (keeper.actor(), Log::new(), Log::new());
    let late: Arc<Mutex<Option<Reply<u64>>>> = Arc::default();
    let kept = late.clone();
    let keeps = |reply| {
        does(move || {
            *kept.lock().unwrap() = Some(reply);
            Plan::none()
        })
    };
    asker.tell(notes(to, keeps, &wrong)).unwrap();
    system.run_until_idle();
    hand.advance(ms(5));
    system.run_until_idle();
    for _ in 0..70_000 {
        asker.tell(notes(to, Msg::Ping, &right)).unwrap();
        system.run_until_idle();
    }
    assert_eq!(right.take(), vec![7; 70_000]);
    // Now the late one, while the next ask is open.
    asker.tell(notes(to, Msg::Keep, &right)).unwrap();
    system.run_until_idle();
    let reply = late.lock().unwrap().take().unwrap();
    keeper.tell(does(move || Plan::reply(reply, 13))).unwrap();
    system.run_until_idle();
    assert_eq!((wrong.said(), right.said()), (vec![], vec![]));
}

/// No. 66, CAF#1920: a null pointer was followed when a callback ended its own actor.
#[test]
fn an_actor_may_end_in_every_callback() {
    let ends = || does(Plan::stop);
    type Callback = Box<dyn Fn(ActorRef<Msg>) -> Plan<Script> + Send>;
    let callbacks: [(&str, Callback); 7] = [
        ("message", Box::new(|_| Plan::stop())),
        ("timer", Box::new(move |_| Plan::after(1, ms(1), ends()))),
        (
            "interval",
            Box::new(|_| {
                Plan::every(1, ms(1), Msg::Say(1)).and(Plan::after(2, ms(1), does(Plan::stop)))
            }),
        ),
        (
            "answer",
            Box::new(move |other| {
                let ask = Plan::<Script>::ask(other, Msg::Ping);
                ask.on_ok(move |_| ends()).into()
            }),
        ),
        (
            "no answer",
            Box::new(move |other| {
                let ask = Plan::<Script>::ask(other, Msg::Keep).timeout(ms(1));
                ask.on_ok(Msg::Say).on_error(move |_| ends())
            }),
        ),
        (
            "down",
            Box::new(move |other| Plan::monitor(other, move |_| ends()).and(Plan::kill(other))),
        ),
        (
            "itself, watched",
            Box::new(|_| Plan::stop_because("enough")),
        ),
    ];
    for (name, callback) in callbacks {
        let (system, hand) = stepped();
        let other = spawn(&system, &Log::new());
        let (to, log) = (other.actor(), Log::new());
        let said = log.clone();
        let tape = Tape::new(&log).stop(move |_, _| {
            assert_eq!(said.said().iter().filter(|n| **n == 99).count(), 0);
            say(99)
        });
        let one = system.spawn(Script, tape).unwrap();
        let mut ended = one.monitor();
        one.tell(does(move || callback(to))).unwrap();
        for _ in 0..5 {
            system.run_until_idle();
            hand.advance(ms(1));
        }
        system.run_until_idle();
        assert!(!one.is_alive(), "{name}");
        assert!(ended.wait_for(ms(0)).is_some(), "{name}");
        assert_eq!(log.said().last(), Some(&99), "{name}");
        assert_eq!(system.actors(), u64::from(name != "down"), "{name}");
    }
}

/// No. 67, kameo#364: what was still queued when the budget was spent vanished without a word.
#[test]
fn what_is_queued_when_the_restarts_are_spent_is_a_dead_letter_each() {
    quiet_panics();
    let (system, _) = stepped();
    let spec = ChildSpec::new("one", |_| (Script, Tape::default()))
        .named("one")
        .intensity(0, Duration::from_secs(1));
    let children = Children::new(Strategy::OneForOne, [spec]);
    system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let one = system.whereis::<Msg>("one").unwrap();
    assert!(one.tell(does(|| panic!("on purpose"))).is_ok());
    for n in 0..20 {
        assert!(one.tell(Msg::Say(n)).is_ok());
    }
    let asked = one.ask(Msg::Ping);
    system.run_until_idle();
    assert_eq!(asked.wait(), Err(AskError::Stopped));
    assert_eq!(system.actors(), 0);
    // The one that panicked, the twenty, and the question.
    assert_eq!(system.dead_letter_count(), 22);
}

/// No. 74, the kernel's discussion of timer wheels: a far slot's burst came in disorder.
#[test]
fn a_hundred_thousand_timers_of_one_far_moment_come_in_order() {
    let (system, hand) = stepped();
    let log = Log::new();
    let far = Duration::from_secs(40 * 24 * 3_600);
    for actor in 0..100 {
        let one = spawn(&system, &log);
        for n in 0..10 {
            one.tell(does(move || {
                (0..100).fold(Plan::none(), |plan, k| {
                    let number = n * 100 + k;
                    plan.and(Plan::after(number, far, Msg::Say(actor * 1_000 + number)))
                })
            }))
            .unwrap();
        }
    }
    system.run_until_idle();
    hand.advance(far - ms(1));
    system.run_until_idle();
    assert_eq!(log.len(), 0);
    hand.advance(ms(2));
    system.run_until_idle();
    let said = log.said();
    assert_eq!(said.len(), 100_000);
    for actor in 0..100 {
        let its = said.iter().filter(|n| **n / 1_000 == actor);
        assert!(its.is_sorted(), "actor {actor}");
    }
}

/// No. 75, airbus/sen#198: after a jump of the clock there was a loop turn for each missed period.
#[test]
fn a_clock_that_jumps_costs_one_tick_not_one_for_each_period() {
    let jumps = [
        Duration::from_nanos(1),
        ms(1),
        ms(10),
        Duration::from_secs(1),
        Duration::from_secs(24 * 3_600),
    ];
    let (system, hand) = stepped();
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(does(|| Plan::every(1, ms(10), Msg::Say(1))))
        .unwrap();
    system.run_until_idle();
    let mut passed = Duration::ZERO;
    for jump in jumps {
        hand.advance(jump);
        let due = (passed + jump).as_millis() / 10 > passed.as_millis() / 10;
        passed += jump;
        system.run_until_idle();
        let said = log.take().len();
        assert!(said <= 1, "{said} ticks after {jump:?}");
        assert!(said == 1 || !due || jump < ms(20), "none after {jump:?}");
    }
}

/// No. 76, tokio#8146: a task that never yielded kept everybody's timers from firing.
#[test]
fn a_busy_actor_does_not_hold_up_the_timers_of_others() {
    fn again() -> Msg {
        act(|me| Plan::tell(me.me(), again()))
    }
    for workers in [1, 2] {
        let system = threads(workers);
        for _ in 0..workers {
            spawn(&system, &Log::new()).tell(again()).unwrap();
        }
        let log = Log::new();
        let one = spawn(&system, &log);
        one.tell(does(|| Plan::after(1, ms(1), Msg::Say(1))))
            .unwrap();
        until("the timer", || log.said() == [1]);
        assert!(one.is_alive());
    }
}
