//! Starting, stopping, watching, linking.

mod common;
use common::*;
use mainspring::prelude::*;
use mainspring::{Address, Cause, Down};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Exits = Arc<Mutex<Vec<Exit>>>;

/// Lets `watcher` note the ends of `target`.
fn watch(watcher: &Actor<Script>, target: impl Into<Address>, exits: &Exits) {
    let (target, exits) = (target.into(), exits.clone());
    watcher
        .tell(does(move || {
            Plan::monitor(target, move |down: Down| {
                assert_eq!(down.actor, target);
                exits.lock().unwrap().push(down.exit);
                Msg::Say(0)
            })
        }))
        .unwrap();
}

#[test]
fn the_start_hook_comes_before_any_message() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = system
        .spawn(Script, Tape::new(&log).start(|_| say(0)))
        .unwrap();
    one.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [0, 1]);
}

#[test]
fn a_child_starts_before_what_its_parent_tells_it() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = spawn(&system, &Log::new());
    let tape = Tape::new(&log).start(|_| say(0));
    one.tell(does(move || {
        Plan::<Script>::spawn(Script, tape).then(|child| {
            (1..5).fold(Plan::none(), |plan, n| {
                plan.and(Plan::tell(child, Msg::Say(n)))
            })
        })
    }))
    .unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [0, 1, 2, 3, 4]);
}

type IsCause = fn(&Cause) -> bool;

#[test]
fn a_start_that_fails_ends_the_actor_before_any_message() {
    let (system, clock) = stepped_with(Config::builder().mailbox_capacity(2));
    let full = system.prepare(Script, Tape::default()).hold().unwrap();
    full.tell(Msg::Say(0)).unwrap();
    let full = full.actor();
    let two_more = move || (1..3).map(move |n| Plan::tell(full, Msg::Say(n)));
    let starts: [(Act, IsCause); 2] = [
        (
            Box::new(|_| say(0).and(Plan::emit(Event::Refuse))),
            |cause| matches!(cause, Cause::Refused(_)),
        ),
        (
            Box::new(move |_| two_more().fold(say(0), Plan::and)),
            |cause| *cause == Cause::NoRoom,
        ),
    ];
    for (start, is_cause) in starts {
        let (log, exits, state) = (Log::new(), Exits::default(), Alive::new());
        let watcher = spawn(&system, &Log::new());
        let tape = Tape::new(&log)
            .start(start)
            .stop(|_, _| say(9))
            .keep(state.one());
        let one = system.prepare(Script, tape).hold().unwrap();
        watch(&watcher, one.actor(), &exits);
        system.run_until_idle();
        let before = system.dead_letter_count();
        let one = one.start();
        one.tell(Msg::Say(1)).unwrap();
        let asked = one.ask(Msg::Ping);
        system.run_until_idle();
        clock.advance(Duration::from_secs(3_600));
        system.run_until_idle();

        assert_eq!(
            (log.said(), state.count(), one.is_alive()),
            (vec![], 0, false)
        );
        let exits = exits.lock().unwrap();
        let [Exit::NotStarted(cause)] = &exits[..] else {
            panic!("{exits:?}");
        };
        assert!(is_cause(cause), "{cause}");
        assert_eq!(asked.wait(), Err(AskError::Stopped));
        // The start itself, and the two messages.
        assert_eq!(system.dead_letter_count() - before, 3);
        let letters = system.dead_letters();
        let causes: Vec<_> = letters[letters.len() - 3..]
            .iter()
            .map(|l| &l.cause)
            .collect();
        assert_eq!(causes, [cause, &Cause::Stopped, &Cause::Stopped]);
    }
    assert_eq!(system.counts(full).unwrap().queued, 1, "no place was kept");
}

#[test]
fn stop_comes_after_what_is_queued_and_the_stop_hook_last() {
    let (system, _) = stepped();
    let (log, its) = (Log::new(), Log::new());
    let other = spawn(&system, &its).actor();
    let tape = Tape::new(&log).stop(move |exit, _| {
        assert_eq!(*exit, Exit::Normal);
        say(9).and(Plan::tell(other, Msg::Say(8)))
    });
    let one = system.spawn(Script, tape).unwrap();
    one.tell(Msg::Say(1)).unwrap();
    one.tell(Msg::Say(2)).unwrap();
    assert!(one.stop());
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![1, 2, 9], vec![8]));
    assert!(!one.is_alive() && !one.stop() && !one.kill() && !one.stop_now());
    assert_eq!(system.actors(), 1);
}

#[test]
fn stop_now_overtakes_what_is_queued_but_not_the_stop_hook() {
    let (system, _) = stepped();
    let log = Log::new();
    let tape = Tape::new(&log).stop(|exit, _| {
        assert_eq!(*exit, Exit::StoppedNow);
        say(9)
    });
    let one = system.spawn(Script, tape).unwrap();
    system.run_until_idle();
    one.tell(Msg::Say(1)).unwrap();
    one.stop_now();
    system.run_until_idle();
    assert_eq!(log.said(), [9]);
    assert_eq!(system.dead_letter_count(), 1);
}

#[test]
fn a_kill_overtakes_all_also_the_stop_hook() {
    let (system, _) = stepped();
    let log = Log::new();
    let one = system
        .spawn(Script, Tape::new(&log).stop(|_, _| say(9)))
        .unwrap();
    system.run_until_idle();
    one.tell(Msg::Say(1)).unwrap();
    one.kill();
    system.run_until_idle();
    assert_eq!(log.said(), []);
    assert_eq!((system.dead_letter_count(), system.actors()), (1, 0));
}

#[test]
fn an_actor_without_messages_hears_a_signal_in_its_start_hook() {
    // The signal is raised while the actor runs and has nothing more to do.
    let (system, _) = stepped();
    let dead = spawn(&system, &Log::new());
    dead.kill();
    system.run_until_idle();
    let gone = dead.actor();
    let one = system
        .spawn(Script, Tape::default().start(move |_| Plan::link(gone)))
        .unwrap();
    system.run_until_idle();
    assert!(!one.is_alive(), "linked to one that is gone");
}

#[test]
fn every_monitor_gets_one_down_with_the_exit() {
    quiet_panics();
    type End = fn(&Actor<Script>);
    let ends: [(End, Exit); 5] = [
        (|one| assert!(one.stop()), Exit::Normal),
        (|one| assert!(one.stop_now()), Exit::StoppedNow),
        (|one| assert!(one.kill()), Exit::Killed),
        (
            |one| one.tell(does(|| panic!("on purpose"))).unwrap(),
            Exit::Panicked("on purpose".into()),
        ),
        (|one| one.tell(does(Plan::stop)).unwrap(), Exit::Normal),
    ];
    for (end, exit) in ends {
        let (system, _) = stepped();
        let exits = Exits::default();
        let watchers = [(); 3].map(|()| spawn(&system, &Log::new()));
        let one = spawn(&system, &Log::new());
        for watcher in &watchers {
            watch(watcher, one.actor(), &exits);
        }
        system.run_until_idle();
        end(&one);
        system.run_until_idle();
        assert_eq!(*exits.lock().unwrap(), [exit.clone(), exit.clone(), exit]);
    }
}

#[test]
fn to_watch_the_dead_tells_at_once() {
    let (system, _) = stepped();
    let exits = Exits::default();
    let watcher = spawn(&system, &Log::new());
    let one = spawn(&system, &Log::new());
    one.stop();
    system.run_until_idle();
    watch(&watcher, one.actor(), &exits);
    system.run_until_idle();
    assert_eq!(*exits.lock().unwrap(), [Exit::Gone]);
}

#[test]
fn after_unmonitor_no_down_is_handled_also_if_it_is_queued() {
    let (system, _) = stepped();
    let exits = Exits::default();
    let log = Log::new();
    let watcher = spawn(&system, &log);
    let one = spawn(&system, &Log::new());
    watch(&watcher, one.actor(), &exits);
    system.run_until_idle();
    let target = one.actor();
    one.stop();
    // The end comes while the watcher is in the turn that ends the monitor.
    watcher
        .tell(does(move || Plan::unmonitor(target).and(say(1))))
        .unwrap();
    system.run_until_idle();
    assert!(exits.lock().unwrap().len() <= 1);
    // In this order for certain: the end first, then the turn, the `Down` behind it.
    let two = spawn(&system, &Log::new());
    let exits = Exits::default();
    watch(&watcher, two.actor(), &exits);
    system.run_until_idle();
    let target = two.actor();
    watcher
        .tell(does(move || {
            Plan::unmonitor(target)
                .and(Plan::stop_actor(target))
                .and(say(2))
        }))
        .unwrap();
    system.run_until_idle();
    assert!(!two.is_alive());
    assert_eq!(*exits.lock().unwrap(), []);
}

#[test]
fn down_comes_after_the_last_message_of_the_dead() {
    let (system, _) = stepped();
    let log = Log::new();
    let watcher = spawn(&system, &log);
    let to = watcher.actor();
    let tape = Tape::default().stop(move |_, _| Plan::tell(to, Msg::Say(3)));
    let one = system.spawn(Script, tape).unwrap();
    let target = one.actor();
    watcher
        .tell(does(move || Plan::monitor(target, |_| Msg::Say(4))))
        .unwrap();
    for n in 1..3 {
        one.tell(does(move || Plan::tell(to, Msg::Say(n)))).unwrap();
    }
    one.stop();
    system.run_until_idle();
    assert_eq!(log.said(), [1, 2, 3, 4]);
}

#[test]
fn the_abnormal_end_of_one_ends_its_links_and_a_normal_one_does_not() {
    quiet_panics();
    let (system, _) = stepped();
    let all: Vec<_> = (0..4).map(|_| spawn(&system, &Log::new())).collect();
    for pair in all.windows(2) {
        let next = pair[1].actor();
        pair[0].tell(does(move || Plan::link(next))).unwrap();
    }
    system.run_until_idle();
    all[3].stop();
    system.run_until_idle();
    assert_eq!(system.actors(), 3, "a normal end ends nobody else");
    all[0].tell(does(|| panic!("on purpose"))).unwrap();
    system.run_until_idle();
    assert_eq!(system.actors(), 0, "along the chain of links");
}

#[test]
fn an_ended_link_ends_nobody() {
    let (system, _) = stepped();
    let (one, two) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let target = two.actor();
    one.tell(does(move || Plan::link(target))).unwrap();
    one.tell(does(move || Plan::unlink(target))).unwrap();
    system.run_until_idle();
    two.kill();
    system.run_until_idle();
    assert!(one.is_alive());
}

#[test]
fn a_stop_meant_for_another_system_stops_nobody_here() {
    let (here, _) = stepped();
    let (there, _) = stepped();
    let ours = spawn(&here, &Log::new());
    // The same cell and generation, another system.
    let theirs = spawn(&there, &Log::new()).actor();
    let one = spawn(&here, &Log::new());
    one.tell(does(move || Plan::stop_actor(theirs))).unwrap();
    here.run_until_idle();
    there.run_until_idle();
    assert!(ours.is_alive() && one.is_alive());
    assert!(here.counts(theirs).is_none(), "counted there, not here");
}

#[test]
fn a_child_of_the_last_plan_lives_on_and_an_answer_to_it_is_nobodys() {
    let (system, _) = stepped();
    let (log, its) = (Log::new(), Log::new());
    let other = spawn(&system, &its);
    let to = other.actor();
    let child = Tape::new(&log).start(|_| say(1));
    let tape = Tape::new(&log).stop(move |_, _| {
        Plan::<Script>::spawn(Script, child)
            .then(|child| Plan::<Script>::tell(child, Msg::Say(2)))
            .and(Plan::<Script>::ask(to, Msg::Ping).on_ok(|_| Msg::Say(3)))
            .and(Plan::tell(to, Msg::Say(4)))
    });
    let one = system.spawn(Script, tape).unwrap();
    one.stop();
    system.run_until_idle();
    assert_eq!((log.said(), its.said()), (vec![1, 2], vec![4]));
    assert_eq!(system.actors(), 2);
    assert_eq!(
        system.counts(to).unwrap().handled,
        2,
        "the question and the message"
    );
}

#[test]
fn an_actor_told_to_link_and_watch_itself_ends_as_any_other() {
    let (system, _) = stepped();
    let one = spawn(&system, &Log::new());
    one.tell(act(|me| {
        let me = me.me();
        Plan::link(me).and(Plan::monitor(me, |_| Msg::Say(1)))
    }))
    .unwrap();
    system.run_until_idle();
    one.kill();
    system.run_until_idle();
    assert_eq!(system.actors(), 0);
}

#[test]
fn two_actors_that_kill_each_other_over_a_link_get_one_down_each() {
    let (system, _) = stepped();
    let exits = Exits::default();
    let watcher = spawn(&system, &Log::new());
    let (one, two) = (spawn(&system, &Log::new()), spawn(&system, &Log::new()));
    let target = two.actor();
    one.tell(does(move || Plan::link(target))).unwrap();
    watch(&watcher, one.actor(), &exits);
    watch(&watcher, two.actor(), &exits);
    system.run_until_idle();
    one.kill();
    two.kill();
    system.run_until_idle();
    assert_eq!(*exits.lock().unwrap(), [Exit::Killed, Exit::Killed]);
}

/// Ends of linked actors, each as what `watch` notes of it.
fn trapping(system: &System, log: &Log, exits: &Exits) -> Actor<Script> {
    let (say, exits) = (log.clone(), exits.clone());
    let tape = Tape::new(log).start(move |_| {
        Plan::trap_exits(move |down| {
            exits.lock().unwrap().push(down.exit);
            say.say(0);
            Msg::Say(1)
        })
    });
    let one = system.spawn(Script, tape).unwrap();
    system.run_until_idle();
    one
}

#[test]
fn whoever_traps_exits_hears_of_them_and_lives_on() {
    quiet_panics();
    let (system, _) = stepped();
    let (log, exits) = (Log::new(), Exits::default());
    let one = trapping(&system, &log, &exits);
    let [normal, stopped, killed, panics, gone] = [(); 5].map(|()| spawn(&system, &Log::new()));
    gone.kill();
    system.run_until_idle();
    for other in [&normal, &stopped, &killed, &panics, &gone] {
        let target = other.actor();
        one.tell(does(move || Plan::link(target))).unwrap();
    }
    system.run_until_idle();
    assert_eq!(std::mem::take(&mut *exits.lock().unwrap()), [Exit::Gone]);
    // Its last words come first, though its mailbox is full of others.
    let me = one.actor();
    normal
        .tell(does(move || Plan::tell(me, Msg::Say(7)).and(Plan::stop())))
        .unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [0, 1, 7, 0, 1]);
    stopped.stop_now();
    killed.kill();
    panics.tell(does(|| panic!("as expected"))).unwrap();
    system.run_until_idle();
    let mut exits = exits.lock().unwrap();
    let text = exits.pop();
    assert!(matches!(text, Some(Exit::Panicked(text)) if &*text == "as expected"));
    assert_eq!(*exits, [Exit::Normal, Exit::StoppedNow, Exit::Killed]);
    assert!(one.is_alive());
    assert!(one.kill());
    system.run_until_idle();
    assert_eq!(system.actors(), 0, "a kill is none of a linked actor");
}

#[test]
fn a_trap_is_for_exits_of_links_only_and_of_its_own_side() {
    let (system, _) = stepped();
    let (log, exits) = (Log::new(), Exits::default());
    let one = trapping(&system, &log, &exits);
    let other = spawn(&system, &Log::new());
    let (me, target) = (one.actor(), other.actor());
    one.tell(does(move || Plan::link(target))).unwrap();
    system.run_until_idle();
    other.tell(does(move || Plan::kill(me))).unwrap();
    system.run_until_idle();
    assert!(!one.is_alive() && !other.is_alive());
    assert!(exits.lock().unwrap().is_empty());
}

#[test]
fn an_ended_trap_handles_no_exit_and_the_next_ends_the_actor() {
    let (system, _) = stepped();
    let (log, exits) = (Log::new(), Exits::default());
    let one = trapping(&system, &log, &exits);
    let [first, second] = [(); 2].map(|()| spawn(&system, &Log::new()));
    for other in [&first, &second] {
        let target = other.actor();
        one.tell(does(move || Plan::link(target))).unwrap();
    }
    system.run_until_idle();
    // The exit is in the mailbox, behind the message that ends the trap.
    first.kill();
    one.tell(does(Plan::untrap_exits)).unwrap();
    system.run_until_idle();
    assert!(one.is_alive() && exits.lock().unwrap().is_empty());
    second.kill();
    system.run_until_idle();
    assert!(!one.is_alive());
}

/// Found by `every_step.rs`, in three of 5,000 seeds: only the letters of the last trap were stopped.
#[test]
fn the_end_of_a_trap_is_that_of_those_that_it_replaced_too() {
    let (system, _) = stepped();
    let (log, exits) = (Log::new(), Exits::default());
    let one = trapping(&system, &log, &exits);
    let other = spawn(&system, &Log::new());
    let target = other.actor();
    one.tell(does(move || Plan::link(target))).unwrap();
    system.run_until_idle();
    // The first trap's letter is in the mailbox, behind what replaces that trap and what ends it.
    other.kill();
    one.tell(does(|| Plan::trap_exits(|_| Msg::Say(2))))
        .unwrap();
    one.tell(does(Plan::untrap_exits)).unwrap();
    system.run_until_idle();
    assert!(one.is_alive() && exits.lock().unwrap().is_empty());
}

#[test]
fn a_restart_ends_the_trap_and_its_links() {
    use mainspring::supervise::{ChildSpec, Children, Strategy, Supervisor};
    let (system, hand) = stepped();
    let (log, exits) = (Log::new(), Exits::default());
    let (says, hears) = (log.clone(), exits.clone());
    let spec = ChildSpec::new("child", move |incarnation| {
        let (says, hears) = (says.clone(), hears.clone());
        let tape = Tape::new(&says).start(move |_| match incarnation {
            1 => Plan::trap_exits(move |down| {
                hears.lock().unwrap().push(down.exit);
                Msg::Say(1)
            }),
            _ => say(2),
        });
        (Script, tape)
    });
    let children = Children::new(Strategy::OneForOne, [spec.named("child")]);
    let _supervisor = system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let child = system.whereis::<Msg>("child").unwrap();
    let other = spawn(&system, &Log::new());
    let target = other.actor();
    child.tell(does(move || Plan::link(target))).unwrap();
    system.run_until_idle();
    let next = spawn(&system, &Log::new());
    let again = next.actor();
    // The end of its incarnation ends the other: the trap is not on that side.
    child.kill();
    system.run_until_idle();
    assert!(!other.is_alive());
    hand.advance(Duration::from_secs(60));
    system.run_until_idle();
    assert_eq!(log.take(), [2]);
    child.tell(does(move || Plan::link(again))).unwrap();
    next.kill();
    system.run_until_idle();
    child.tell(Msg::Say(3)).unwrap();
    system.run_until_idle();
    assert!(
        log.said().is_empty(),
        "the link ended the second incarnation"
    );
    assert!(exits.lock().unwrap().is_empty());
}

#[test]
fn a_link_with_oneself_does_not_end_the_next_incarnation() {
    use mainspring::supervise::{ChildSpec, Children, Strategy, Supervisor};
    let (system, hand) = stepped();
    let log = Log::new();
    let says = log.clone();
    let spec = ChildSpec::new("child", move |_| (Script, Tape::new(&says)));
    let children = Children::new(Strategy::OneForOne, [spec.named("child")]);
    let _supervisor = system.spawn(Supervisor, children).unwrap();
    system.run_until_idle();
    let child = system.whereis::<Msg>("child").unwrap();
    child.tell(act(|me| Plan::link(me.me()))).unwrap();
    system.run_until_idle();
    child.kill();
    system.run_until_idle();
    hand.advance(Duration::from_secs(1));
    system.run_until_idle();
    child.tell(Msg::Say(1)).unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [1]);
}
