//! Bounded mailboxes: what is refused, what waits, what is dropped.

mod common;
use common::*;
use mainspring::config::{Overflow, WhenFull};
use mainspring::prelude::*;
use mainspring::{Cause, SendError};

#[test]
fn a_full_mailbox_gives_the_message_back() {
    let (system, _) = stepped_with(Config::builder().mailbox_capacity(3));
    let log = Log::new();
    let one = spawn(&system, &log);
    for n in 0..3 {
        one.tell(Msg::Say(n)).unwrap();
    }
    match one.tell(Msg::Say(77)) {
        Err(SendError::Full(Msg::Say(77))) => {}
        _ => panic!("the message comes back"),
    }
    system.run_until_idle();
    one.tell(Msg::Say(3)).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [0, 1, 2, 3]);
}

#[test]
fn a_stopped_actor_gives_the_message_back() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    assert!(one.stop());
    assert!(matches!(
        one.tell(Msg::Say(1)),
        Err(SendError::Closed(Msg::Say(1)))
    ));
    system.run_until_idle();
    assert!(matches!(
        one.tell(Msg::Say(2)),
        Err(SendError::Closed(Msg::Say(2)))
    ));
    assert!(!one.is_alive());
}

#[test]
fn drop_newest_drops_what_is_beyond_the_bound_and_says_so() {
    let builder = Config::builder()
        .mailbox_capacity(2)
        .mailbox_overflow(Overflow::DropNewest);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    for n in 0..5 {
        one.tell(Msg::Say(n)).unwrap();
    }
    let to = one.actor();
    let sender = spawn(&system, &its);
    system.run_until_idle();
    assert_eq!(log.take(), [0, 1]);
    assert_eq!(system.dead_letter_count(), 3);
    sender
        .tell(does(move || {
            (0..5).fold(say(1), |plan, n| plan.and(Plan::tell(to, Msg::Say(n))))
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![0, 1], vec![1]));
    assert_eq!(system.dead_letter_count(), 6);
    for letter in system.dead_letters() {
        assert_eq!(letter.cause, Cause::Full);
        assert_eq!(letter.actor, to.address());
    }
}

#[test]
fn drop_oldest_keeps_the_newest() {
    let builder = Config::builder()
        .mailbox_capacity(2)
        .mailbox_overflow(Overflow::DropOldest);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    for n in 0..5 {
        one.tell(Msg::Say(n)).unwrap();
    }
    system.run_until_idle();
    assert_eq!(log.take(), [3, 4]);
    let to = one.actor();
    let sender = spawn(&system, &its);
    sender
        .tell(does(move || {
            (0..5).fold(say(1), |plan, n| plan.and(Plan::tell(to, Msg::Say(n))))
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![3, 4], vec![1]));
    let counts = system.counts(to).unwrap();
    assert_eq!(
        (counts.queued, counts.handled, counts.dead_lettered),
        (0, 4, 6)
    );
    conserves(counts);
}

struct Frames;

impl Machine for Frames {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

#[derive(Clone, Copy)]
struct Showing<const FRAME_BYTES: usize>;

impl<const FRAME_BYTES: usize> Behavior for Showing<FRAME_BYTES> {
    type Machine = Frames;
    type Message = Vec<u8>;
    const MESSAGE_HEAP_BYTES: usize = FRAME_BYTES;

    fn on_message(&self, _: Vec<u8>, _: Snapshot<Self>) -> Plan<Self> {
        Plan::none()
    }
}

/// How many frames a mailbox of 1 MiB takes, of an actor made outside and of one made by a plan.
fn frames_that_fit<const FRAME_BYTES: usize>() -> [usize; 2] {
    let (system, _) = stepped_with(Config::builder().mailbox_capacity_bytes(1 << 20));
    let fill = |show: &Handle<Vec<u8>>| (0..).take_while(|_| show.tell(Vec::new()).is_ok()).count();
    let outside = system.spawn(Showing::<FRAME_BYTES>, Frames).unwrap();
    let (tell, child) = std::sync::mpsc::channel();
    let parent = spawn(&system, &Log::new());
    parent
        .tell(does(move || {
            Plan::<Script>::spawn(Showing::<FRAME_BYTES>, Frames).then(|child| {
                tell.send(child).unwrap();
                Plan::none()
            })
        }))
        .unwrap();
    system.run_until_idle();
    let child = system.handle(child.recv().unwrap()).unwrap();
    [fill(&outside), fill(&child)]
}

#[test]
fn what_messages_hold_on_the_heap_counts_against_the_mailboxs_bytes() {
    assert_eq!(
        frames_that_fit::<0>(),
        [1_024; 2],
        "as many as it holds anyway"
    );
    assert_eq!(frames_that_fit::<100_000>(), [10; 2]);
    assert_eq!(frames_that_fit::<1_000_000>(), [1; 2]);
    assert_eq!(frames_that_fit::<{ usize::MAX }>(), [1; 2], "always one");
}

#[test]
fn an_ask_that_is_dropped_for_want_of_room_is_refused() {
    let builder = Config::builder()
        .mailbox_capacity(1)
        .mailbox_overflow(Overflow::DropNewest);
    let (system, _) = stepped_with(builder);
    let log = Log::new();
    let one = spawn(&system, &Log::new());
    one.tell(Msg::Say(1)).unwrap();
    assert_eq!(one.ask(Msg::Ping).wait(), Err(AskError::Refused));
    let to = one.actor();
    let asker = spawn(&system, &log);
    system.run_until_idle();
    asker
        .tell(does(move || {
            Plan::tell(to, Msg::Say(1)).and(
                Plan::<Script>::ask(to, Msg::Ping)
                    .on_ok(|_| Msg::Say(1))
                    .on_error(|error| Msg::Say(if error == AskError::Refused { 2 } else { 3 })),
            )
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [2]);
}

/// A target that is full and stays so until the hand of its waiter is freed: it waits itself for
/// a place with `sink`, which waits for nothing.
fn clogged(system: &System, log: &Log) -> Actor<Script> {
    spawn(system, log)
}

#[test]
fn a_commit_waits_for_room_and_then_takes_effect_as_a_whole() {
    let (system, _) = stepped_with(Config::builder().mailbox_capacity(2));
    let (log, its) = (Log::new(), Log::new());
    // Spawned first, so it runs first, while the target's mailbox is full.
    let one = spawn(&system, &log);
    let target = clogged(&system, &its);
    let to = target.actor();
    one.tell(does(move || say(1).and(Plan::tell(to, Msg::Say(3)))))
        .unwrap();
    one.tell(Msg::Say(2)).unwrap();
    target.tell(Msg::Say(1)).unwrap();
    target.tell(Msg::Say(2)).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1, 2]);
    assert_eq!(its.said(), [1, 2, 3]);
    assert_eq!(system.dead_letter_count(), 0);
    for actor in [one.actor(), to] {
        let counts = system.counts(actor).unwrap();
        assert_eq!(counts.queued, 0);
        conserves(counts);
    }
}

#[test]
fn a_plan_with_more_for_a_mailbox_than_it_holds_is_admitted_all_the_same() {
    let builder = Config::builder()
        .mailbox_capacity(1)
        .mailbox_when_full(WhenFull::Wait);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    let (a, b) = (spawn(&system, &its).actor(), spawn(&system, &its).actor());
    system.run_until_idle();
    // Not consecutive: each group fits alone, together they do not.
    one.tell(does(move || {
        say(1)
            .and(Plan::tell(a, Msg::Say(1)))
            .and(Plan::tell(b, Msg::Say(1)))
            .and(Plan::tell(a, Msg::Say(1)))
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![1], vec![1, 1, 1]));
    // Consecutive.
    one.tell(does(move || {
        (0..5).fold(say(2), |plan, _| plan.and(Plan::tell(a, Msg::Say(2))))
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), its.said().len()), (vec![1, 2], 8));
    assert_eq!(system.counts(a).unwrap().queued, 0);
}

#[test]
fn a_plan_for_hundreds_of_mailboxes_is_admitted_as_a_whole() {
    let builder = Config::builder()
        .mailbox_capacity(30)
        .mailbox_when_full(WhenFull::Refuse);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    let targets: Vec<_> = (0..300).map(|_| spawn(&system, &its)).collect();
    system.run_until_idle();
    let all: Vec<_> = targets.iter().map(|target| target.actor()).collect();
    let tell = |number: u64, again: usize| {
        let all = all.clone();
        let plan = does(move || {
            let each = all.iter().fold(say(number), |plan, &to| {
                plan.and(Plan::tell(to, Msg::Say(number)))
            });
            each.and(Plan::tell_each(all[3], (0..again).map(|_| Msg::Say(9))))
        });
        one.tell(plan).unwrap();
    };
    // It runs before them, and one of them is full.
    tell(1, 0);
    for _ in 0..30 {
        targets[200].tell(Msg::Say(0)).unwrap();
    }
    system.run_until_idle();
    assert_eq!((log.said(), its.take()), (vec![], vec![0; 30]));
    assert_eq!(system.dead_letters()[0].cause, Cause::Full);
    // All have room.
    tell(4, 0);
    system.run_until_idle();
    assert_eq!((log.take(), its.take()), (vec![4], vec![4; 300]));
    // All have room, and one gets more later in the plan: as much as it holds.
    tell(2, 29);
    system.run_until_idle();
    let said = its.take();
    assert_eq!(said.iter().filter(|&&number| number == 2).count(), 300);
    assert_eq!(said.iter().filter(|&&number| number == 9).count(), 29);
    // What comes later in the plan finds no room: none of it is told.
    tell(3, 28);
    for _ in 0..10 {
        targets[3].tell(Msg::Say(0)).unwrap();
    }
    system.run_until_idle();
    assert_eq!((log.said(), its.take()), (vec![2], vec![0; 10]));
    for target in &targets {
        let counts = system.counts(target.actor()).unwrap();
        assert_eq!(counts.queued, 0);
        conserves(counts);
    }
}

#[test]
fn each_of_a_turns_messages_to_one_arrives_in_order_and_all_or_none() {
    let builder = Config::builder()
        .mailbox_capacity(700)
        .mailbox_when_full(WhenFull::Refuse);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    let target = spawn(&system, &its);
    let to = target.actor();
    system.run_until_idle();
    for count in [0, 1, 2, 100, 600] {
        one.tell(does(move || {
            say(count).and(Plan::tell_each(to, (0..count).map(Msg::Say)))
        }))
        .unwrap();
        system.run_until_idle();
        assert_eq!(its.take(), (0..count).collect::<Vec<_>>());
    }
    one.tell(does(move || {
        say(1).and(Plan::tell_each(to, (0..600).map(Msg::Say)))
    }))
    .unwrap();
    for _ in 0..101 {
        target.tell(Msg::Say(7)).unwrap();
    }
    system.run_until_idle();
    assert_eq!(its.take(), [7; 101]);
    assert_eq!(log.said(), [0, 1, 2, 100, 600]);
}

#[test]
fn under_drop_the_turn_takes_effect_without_what_found_no_room() {
    let builder = Config::builder()
        .mailbox_capacity(1)
        .mailbox_when_full(WhenFull::Drop);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    let two = spawn(&system, &log);
    let three = spawn(&system, &log);
    let target = spawn(&system, &its);
    let to = target.actor();
    target.tell(Msg::Say(1)).unwrap();
    // One message and an event; one message alone; two targets.
    one.tell(does(move || say(1).and(Plan::tell(to, Msg::Say(2)))))
        .unwrap();
    two.tell(does(move || Plan::tell(to, Msg::Say(3)))).unwrap();
    three
        .tell(act(move |me| {
            say(2)
                .and(Plan::tell(to, Msg::Say(4)))
                .and(Plan::tell(me.me(), Msg::Say(5)))
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![1, 2, 5], vec![1]));
    let causes: Vec<_> = system
        .dead_letters()
        .into_iter()
        .map(|letter| letter.cause)
        .collect();
    assert_eq!(causes, [Cause::Full, Cause::Full, Cause::Full]);
    assert_eq!(system.counts(one.actor()).unwrap().failed, 0);
}

#[test]
fn under_refuse_the_turn_fails() {
    let builder = Config::builder()
        .mailbox_capacity(1)
        .mailbox_when_full(WhenFull::Refuse);
    let (system, _) = stepped_with(builder);
    let (log, its) = (Log::new(), Log::new());
    let one = spawn(&system, &log);
    let target = spawn(&system, &its);
    let to = target.actor();
    target.tell(Msg::Say(1)).unwrap();
    one.tell(does(move || say(1).and(Plan::tell(to, Msg::Say(2)))))
        .unwrap();
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![], vec![1]));
    assert_eq!(system.dead_letters()[0].cause, Cause::Full);
    let counts = system.counts(one.actor()).unwrap();
    assert_eq!((counts.failed, counts.queued), (1, 0));
}

#[test]
fn an_actor_may_tell_itself_at_capacity_one() {
    let (system, _) = stepped_with(Config::builder().mailbox_capacity(1));
    let log = Log::new();
    let one = spawn(&system, &log);
    one.tell(act(|me| Plan::tell(me.me(), Msg::Say(1))))
        .unwrap();
    system.run_until_idle();
    one.tell(act(|me| {
        let me = me.me();
        Plan::tell(me, Msg::Say(2))
            .and(Plan::tell(me, Msg::Say(3)))
            .and(say(0))
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1, 0, 2, 3]);
    assert_eq!(system.counts(one.actor()).unwrap().queued, 0);
}

#[test]
fn a_circle_of_waiting_actors_is_broken() {
    for size in [2, 3, 10] {
        let (system, _) = stepped_with(Config::builder().mailbox_capacity(1));
        let log = Log::new();
        let actors: Vec<_> = (0..size).map(|_| spawn(&system, &log)).collect();
        system.run_until_idle();
        for (i, actor) in actors.iter().enumerate() {
            // Each has one message in hand; it tells the next twice, so the bound is met.
            let next = actors[(i + 1) % size].actor();
            actor
                .tell(does(move || Plan::tell(next, does(move || say(1)))))
                .unwrap();
        }
        system.run_until_idle();
        assert_eq!(log.said(), vec![1; size]);
        for actor in &actors {
            let counts = system.counts(actor.actor()).unwrap();
            assert_eq!(counts.queued, 0);
            conserves(counts);
        }
        assert_eq!(system.dead_letter_count(), 0);
    }
}

/// An actor that waits for room in the mailbox of one that never takes: a worker of its own is
/// in its handler until the gate opens.
fn held() -> (System, Actor<Script>, std::sync::mpsc::Sender<()>) {
    let builder = Config::builder()
        .workers(2)
        .mailbox_capacity(1)
        .mailbox_commit_deadline(ms(50));
    let system = System::with_config(builder.build().unwrap()).unwrap();
    let target = spawn(&system, &Log::new());
    let (gate, wait) = std::sync::mpsc::channel();
    let (inside, is_inside) = std::sync::mpsc::channel();
    target
        .tell(does(move || {
            inside.send(()).unwrap();
            let _ = wait.recv();
            Plan::none()
        }))
        .unwrap();
    is_inside.recv().unwrap();
    (system, target, gate)
}

#[test]
fn a_commit_that_waits_past_its_deadline_fails() {
    let (system, target, gate) = held();
    let log = Log::new();
    let one = spawn(&system, &log);
    let to = target.actor();
    one.tell(does(move || say(1).and(Plan::tell(to, Msg::Say(3)))))
        .unwrap();
    until("the deadline passes", || system.dead_letter_count() > 0);
    assert_eq!(system.dead_letters()[0].cause, Cause::NoRoom);
    until("it goes on", || one.tell(Msg::Say(2)).is_ok());
    until("it says 2", || log.said() == [2]);
    conserves(system.counts(one.actor()).unwrap());
    drop(gate);
    assert_eq!(system.shutdown(ms(5_000)), mainspring::Shutdown::default());
}

#[test]
fn an_actor_that_waits_can_be_killed_and_its_message_is_a_dead_letter() {
    let (system, target, gate) = held();
    let log = Log::new();
    let alive = Alive::new();
    let to = target.actor();
    for timer in [false, true] {
        let one = spawn(&system, &log);
        let kept = alive.one();
        if timer {
            // The waiting plan is a timer message's: it took no place in the mailbox.
            one.tell(does(move || {
                let late = does(move || {
                    let _kept = &kept;
                    say(1).and(Plan::tell(to, Msg::Say(3)))
                });
                Plan::after("t", ms(1), late)
            }))
            .unwrap();
            until("the first turn", || {
                system.counts(one.actor()).unwrap().handled == 1
            });
            std::thread::sleep(ms(10)); // until the timer's turn waits: nothing shows it
        } else {
            one.tell(does(move || {
                let _kept = &kept;
                say(1).and(Plan::tell(to, Msg::Say(3)))
            }))
            .unwrap();
        }
        one.kill();
        until("it ends", || !one.is_alive());
    }
    assert_eq!(log.said(), []);
    until("all is dropped", || alive.count() == 0);
    drop(gate);
    assert_eq!(system.shutdown(ms(5_000)), mainspring::Shutdown::default());
}

#[test]
fn a_start_plan_that_waited_and_then_panics_gives_no_place_back() {
    quiet_panics();
    let (system, _) = stepped_with(Config::builder().mailbox_capacity(1));
    let log = Log::new();
    let target = spawn(&system, &log);
    let to = target.actor();
    target.tell(Msg::Say(1)).unwrap();
    let starter =
        Tape::new(&log).start(move |_| Plan::tell(to, Msg::Say(2)).and(Plan::emit(Event::Panic)));
    // Runs first: newborns from a plan run before those that are ready.
    let parent = system.spawn(Script, Tape::new(&Log::new())).unwrap();
    let mut starter = Some(starter);
    parent
        .tell(Msg::Do(Box::new(move |_| {
            Plan::<Script>::spawn(Script, starter.take().unwrap()).into()
        })))
        .unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), 2);
    assert_eq!(log.said(), [1], "nothing of the start is visible");
    assert_eq!(system.counts(to).unwrap().queued, 0);
}

#[test]
fn waiting_senders_all_get_through_in_the_end() {
    for workers in [1, 2, 4] {
        let builder = Config::builder().workers(workers).mailbox_capacity(2);
        let system = System::with_config(builder.build().unwrap()).unwrap();
        let (log, its) = (Log::new(), Log::new());
        let target = spawn(&system, &its);
        let to = target.actor();
        let senders: Vec<_> = (0..20).map(|_| spawn(&system, &log)).collect();
        for round in 0..200 {
            for sender in &senders {
                let _ = round;
                until("room", || {
                    sender
                        .tell(does(move || Plan::tell(to, Msg::Say(1))))
                        .is_ok()
                });
            }
        }
        until("all arrive", || its.len() == 4_000);
        assert_eq!(system.dead_letter_count(), 0);
        assert_eq!(system.shutdown(ms(5_000)), mainspring::Shutdown::default());
    }
}

#[test]
fn a_plan_that_goes_back_and_forth_keeps_the_bounds_of_both() {
    use mainspring::config::WhenFull;
    for (capacity, each) in [
        (3, 2),
        (3, 3),
        (40, 39),
        (40, 40),
        (200, 100),
        (1_000, 1_000),
    ] {
        let (system, _) = stepped_with(
            Config::builder()
                .mailbox_capacity(capacity)
                .mailbox_when_full(WhenFull::Refuse),
        );
        let log = Log::new();
        let new = || spawn(&system, &log);
        let (one, a, b) = (new(), new(), new());
        let (to_a, to_b) = (a.actor(), b.actor());
        // One message is in both, so that a plan with more than they have room for is refused.
        one.tell(does(move || {
            (0..each).fold(Plan::none(), |plan, _| {
                plan.and(Plan::tell(to_a, Msg::Say(1)))
                    .and(Plan::tell(to_b, Msg::Say(2)))
            })
        }))
        .unwrap();
        a.tell(Msg::Say(0)).unwrap();
        b.tell(Msg::Say(0)).unwrap();
        system.run_until_idle();
        let failed = system.counts(one.actor()).unwrap().failed;
        let is_over = each + 1 > capacity;
        assert_eq!(failed, u64::from(is_over), "{capacity}, {each}");
        let told = if is_over { 0 } else { 2 * each };
        assert_eq!(log.len(), 2 + told, "all or none");
    }
}
