//! Groups: who of the members gets a message, and who is a member.

mod common;
use common::*;
use mainspring::group::{Group, Members, Membership, Router};
use mainspring::prelude::*;

/// A group of `count` scripted actors, each with its log.
struct Setup {
    system: System,
    members: Vec<(Actor<Script>, Log)>,
    group: Actor<Router<Msg>>,
}

fn setup(router: Router<Msg>, count: usize) -> Setup {
    let (system, _hand) = stepped();
    let members: Vec<_> = (0..count)
        .map(|_| {
            let log = Log::new();
            (spawn(&system, &log), log)
        })
        .collect();
    let refs = members.iter().map(|(member, _)| member.actor());
    let group = system.spawn(router, Members::new(refs)).unwrap();
    system.run_until_idle();
    Setup {
        system,
        members,
        group,
    }
}

impl Setup {
    fn route(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.group
                .tell(Group::Route(Msg::Say(number)))
                .ok()
                .unwrap();
        }
        self.system.run_until_idle();
    }

    /// What each member has said since the last time.
    fn said(&self) -> Vec<Vec<u64>> {
        self.members.iter().map(|(_, log)| log.take()).collect()
    }

    fn members(&self) -> Vec<ActorRef<Msg>> {
        let asked = self.group.ask(Group::Members);
        self.system.run_until_idle();
        asked.wait().unwrap()
    }

    fn member(&self, place: usize) -> ActorRef<Msg> {
        self.members[place].0.actor()
    }
}

fn key(message: &Msg) -> u64 {
    match message {
        Msg::Say(number) => *number,
        _ => 0,
    }
}

#[test]
fn round_robin_takes_each_member_in_turn_and_who_leaves_changes_nothing_for_the_rest() {
    let setup = setup(Router::round_robin(), 3);
    setup.route(0..5);
    assert_eq!(setup.said(), [vec![0, 3], vec![1, 4], vec![2]]);
    // The third is next; the first leaves.
    setup
        .group
        .tell(Group::Leave(setup.member(0)))
        .ok()
        .unwrap();
    setup.route(5..8);
    assert_eq!(setup.said(), [vec![], vec![6], vec![5, 7]]);
    setup.group.tell(Group::Join(setup.member(0))).ok().unwrap();
    setup.group.tell(Group::Join(setup.member(0))).ok().unwrap();
    assert_eq!(
        setup.members(),
        [setup.member(1), setup.member(2), setup.member(0)]
    );
}

#[test]
fn broadcast_reaches_every_member() {
    let setup = setup(Router::broadcast(), 3);
    setup.route([7, 8]);
    assert_eq!(setup.said(), [[7, 8], [7, 8], [7, 8]]);
}

#[test]
fn the_least_loaded_member_gets_the_next_message() {
    let (system, _hand) = stepped();
    let logs = [Log::new(), Log::new(), Log::new()];
    // Not started: what they are sent waits.
    let held = logs
        .each_ref()
        .map(|log| system.prepare(Script, Tape::new(log)).hold().unwrap());
    let waiting = |member: usize| system.counts(held[member].actor()).unwrap().queued;
    for (member, messages) in [(0, 3), (1, 1)] {
        for _ in 0..messages {
            held[member].tell(Msg::Say(0)).ok().unwrap();
        }
    }
    let members = Members::new(held.iter().map(|member| member.actor()));
    let group = system.spawn(Router::least_loaded(), members).unwrap();
    for _ in 0..5 {
        group.tell(Group::Route(Msg::Say(1))).ok().unwrap();
    }
    system.run_until_idle();
    assert_eq!([waiting(0), waiting(1), waiting(2)], [3, 3, 3]);
    group.tell(Group::Route(Msg::Say(1))).ok().unwrap();
    system.run_until_idle();
    assert_eq!(waiting(0) + waiting(1) + waiting(2), 10);
}

#[test]
fn one_that_has_ended_is_not_the_least_loaded() {
    let (system, _hand) = stepped();
    let logs = [Log::new(), Log::new()];
    let members = logs.each_ref().map(|log| spawn(&system, log));
    assert!(members[0].kill());
    system.run_until_idle();
    for router in [Router::least_loaded(), Router::less_loaded_of_two()] {
        let these = Members::new(members.each_ref().map(|member| member.actor()));
        let group = system.prepare(router, these).hold().unwrap();
        // They come before the news of the member's end.
        for number in 0..6 {
            group.tell(Group::Route(Msg::Say(number))).ok().unwrap();
        }
        let _group = group.start();
        system.run_until_idle();
        assert_eq!(logs[1].take(), [0, 1, 2, 3, 4, 5]);
    }
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn of_two_members_drawn_the_less_loaded_gets_the_message() {
    let (system, _hand) = stepped();
    let members: Vec<_> = (0..50)
        .map(|_| {
            let tape = Tape::new(&Log::new());
            system.prepare(Script, tape).hold().unwrap()
        })
        .collect();
    let waiting = |member: usize| system.counts(members[member].actor()).unwrap().queued;
    for _ in 0..100 {
        members[17].tell(Msg::Say(0)).ok().unwrap();
    }
    let these = Members::new(members.iter().map(|member| member.actor()));
    let group = system.spawn(Router::less_loaded_of_two(), these).unwrap();
    for number in 0..49 * 20 {
        group.tell(Group::Route(Msg::Say(number))).ok().unwrap();
        system.run_until_idle();
    }
    assert_eq!(waiting(17), 100, "the other one has less, whoever it is");
    let others = || (0..50).filter(|member| *member != 17).map(waiting);
    assert_eq!(others().sum::<u64>(), 49 * 20);
    // One drawn alone would be 20 ± 4.5; two are within a few of each other.
    assert!(
        others().all(|count| (15..=23).contains(&count)),
        "{:?}",
        others().collect::<Vec<_>>()
    );
    // One member is drawn with itself.
    let log = Log::new();
    let alone = Members::new([spawn(&system, &log).actor()]);
    let group = system.spawn(Router::less_loaded_of_two(), alone).unwrap();
    group.tell(Group::Route(Msg::Say(1))).ok().unwrap();
    system.run_until_idle();
    assert_eq!(log.said(), [1]);
}

#[test]
fn a_key_keeps_its_member_and_only_the_keys_of_one_that_leaves_move() {
    let setup = setup(Router::consistent_hash(key), 4);
    setup.route(0..400);
    let before = setup.said();
    setup.route(0..400);
    assert_eq!(setup.said(), before, "the same keys, the same members");
    assert!(before.iter().all(|keys| keys.len() > 40), "{before:?}");
    setup
        .group
        .tell(Group::Leave(setup.member(2)))
        .ok()
        .unwrap();
    setup.route(0..400);
    let after = setup.said();
    assert!(after[2].is_empty());
    for place in [0, 1, 3] {
        assert!(
            before[place].iter().all(|key| after[place].contains(key)),
            "who stayed kept its keys"
        );
        assert!(after[place].len() > before[place].len());
    }
    setup.group.tell(Group::Join(setup.member(2))).ok().unwrap();
    setup.route(0..400);
    assert_eq!(setup.said(), before, "and they come back");
}

#[test]
fn a_member_that_ends_is_a_member_no_more_and_the_groups_events_say_so() {
    let setup = setup(Router::round_robin(), 2);
    let mut events = setup.group.events(16);
    setup.system.run_until_idle();
    assert!(setup.members[0].0.stop());
    setup.system.run_until_idle();
    assert_eq!(setup.members(), [setup.member(1)]);
    let event = events.try_next();
    assert!(
        matches!(event, Some(Membership::Left(member)) if member == setup.member(0)),
        "{event:?}"
    );
    setup.route([1, 2]);
    assert_eq!(setup.said(), [vec![], vec![1, 2]]);
    assert!(setup.members[1].0.stop());
    setup.system.run_until_idle();
    setup.route([3]);
    assert_eq!(setup.system.dead_letter_count(), 1, "there is no member");
    // One that has ended cannot stay.
    setup.group.tell(Group::Join(setup.member(1))).ok().unwrap();
    setup.system.run_until_idle();
    assert!(setup.members().is_empty());
}

#[test]
fn the_name_of_a_member_is_free_when_its_group_hears_of_the_end() {
    let (system, _hand) = stepped();
    let log = Log::new();
    let member = spawn(&system, &log);
    member.register("one").unwrap();
    let group = system
        .prepare(Router::round_robin(), Members::new([member.actor()]))
        .name("all")
        .start()
        .unwrap();
    let mut events = group.events(4);
    system.run_until_idle();
    member.kill();
    system.run_until_idle();
    assert!(matches!(events.try_next(), Some(Membership::Left(_))));
    let next = spawn(&system, &log);
    next.register("one").unwrap();
    let all = system.whereis::<Group<Msg>>("all").unwrap();
    all.tell(Group::Join(next.actor())).ok().unwrap();
    all.tell(Group::Route(Msg::Say(5))).ok().unwrap();
    system.run_until_idle();
    assert_eq!(log.take(), [5]);
}

#[test]
fn on_threads_every_message_is_handled_once() {
    let system = threads(2);
    let logs = [Log::new(), Log::new(), Log::new()];
    let members = Members::new(logs.each_ref().map(|log| spawn(&system, log).actor()));
    let group = system.spawn(Router::least_loaded(), members).unwrap();
    for number in 0..300 {
        group
            .tell_wait(Group::Route(Msg::Say(number)), std::time::Duration::MAX)
            .ok()
            .unwrap();
    }
    until("all are said", || {
        logs.iter().map(Log::len).sum::<usize>() == 300
    });
    let mut said: Vec<u64> = logs.iter().flat_map(Log::take).collect();
    said.sort_unstable();
    assert_eq!(said, (0..300).collect::<Vec<_>>());
}
