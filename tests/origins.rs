//! Where a message came from: a chain of messages has one correlation from end to end, where the
//! system asks for that; where it does not, nothing is known.

mod common;
use common::*;
use mainspring::config::{Builder, Origins, Overflow};
use mainspring::prelude::*;
use mainspring::supervise::Backoff;
use mainspring::timer::ManualClock;
use mainspring::{Cause, Origin, Refusal, SendError};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn on() -> Builder {
    Config::builder().origins(Origins::On)
}

fn stepped_on() -> (System, ManualClock) {
    stepped_with(on())
}

/// What came where, and the origin that it had.
type Seen = Arc<Mutex<Vec<(&'static str, Option<Origin>)>>>;

fn note(seen: &Seen, what: &'static str, me: &Snapshot<'_, Script>) {
    seen.lock().unwrap().push((what, me.meta().origin));
}

fn take(seen: &Seen) -> Vec<(&'static str, Origin)> {
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let known = |(what, origin): (_, Option<_>)| (what, origin.expect(what));
    seen.into_iter().map(known).collect()
}

/// A message that notes its origin and then does what `then` says.
fn noted(
    seen: &Seen,
    what: &'static str,
    then: impl FnOnce(Snapshot<'_, Script>) -> Plan<Script> + Send + 'static,
) -> Msg {
    let seen = seen.clone();
    act(move |me| {
        note(&seen, what, &me);
        then(me)
    })
}

/// A message that notes its origin.
fn last(seen: &Seen, what: &'static str) -> Msg {
    noted(seen, what, |_| Plan::none())
}

#[test]
fn without_being_asked_for_there_is_none() {
    let (system, _) = stepped();
    let actor = spawn(&system, &Log::new());
    let seen = Seen::default();
    let (one, two) = (last(&seen, "one"), last(&seen, "two"));
    actor
        .tell(noted(&seen, "zero", move |me| {
            assert_eq!(me.meta().version, 1);
            Plan::tell(me.me(), one).and(Plan::after(1, ms(1), two))
        }))
        .unwrap();
    system.run_until_idle();
    assert_eq!(*seen.lock().unwrap(), [("zero", None), ("one", None)]);
}

/// Answers with the version of its messages.
#[derive(Clone, Copy)]
struct Versioned;
impl Behavior for Versioned {
    type Machine = Tape;
    type Message = Reply<u32>;
    const MESSAGE_VERSION: u32 = 3;
    fn on_message(&self, reply: Reply<u32>, tape: Snapshot<Self>) -> Plan<Self> {
        Plan::reply(reply, tape.meta().version)
    }
}

#[test]
fn a_behavior_says_the_version_of_its_messages() {
    let (system, _) = stepped();
    let actor = system.spawn(Versioned, Tape::default()).unwrap();
    assert_eq!(actor.ask(|reply| reply).wait_in(&system), Ok(3));
}

#[test]
fn a_chain_has_one_correlation_from_end_to_end() {
    let (system, hand) = stepped_on();
    let seen = Seen::default();
    let [a, b, c] = [(); 3].map(|()| spawn(&system, &Log::new()));
    hand.advance(ms(7));
    // Outside > a > b asks c > c answers > b arms a timer and an interval > b tells a twice.
    let (to_a, to_b, to_c) = (a.actor(), b.actor(), c.actor());
    let log = seen.clone();
    let ticked = {
        let (one, two) = (last(&log, "a, first"), last(&log, "a, second"));
        noted(&log, "timer", move |_| {
            say(1).and(Plan::tell(to_a, one)).and(Plan::tell(to_a, two))
        })
    };
    let answered = noted(&log, "answer", move |_| Plan::after(1, ms(3), ticked));
    let asks = noted(&log, "b", move |_| {
        Plan::ask(to_c, Msg::Ping)
            .on_ok(move |_| answered)
            .on_error(|_| unreachable!("it answers"))
    });
    a.tell(noted(&log, "outside", move |_| Plan::tell(to_b, asks)))
        .unwrap();
    // Another chain meanwhile.
    a.tell(last(&seen, "another")).unwrap();
    system.run_until_idle();
    hand.advance(ms(5));
    system.run_until_idle();

    let seen = take(&seen);
    let (mut other, chain): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|(what, _)| *what == "another");
    let (_, other) = other.pop().unwrap();
    let names: Vec<_> = chain.iter().map(|(what, _)| *what).collect();
    assert_eq!(
        names,
        ["outside", "b", "answer", "timer", "a, first", "a, second"]
    );
    let of: Vec<Origin> = chain.iter().map(|(_, origin)| *origin).collect();
    let [outside, b, answer, timer, first, second] = of[..] else {
        unreachable!("six, as the names say");
    };
    assert!(of.iter().all(|origin| origin.correlation == outside.id));
    let ids: HashSet<u64> = of.iter().map(|origin| origin.id).collect();
    assert_eq!(ids.len(), of.len());
    assert!(!ids.contains(&other.id) && other.correlation == other.id);

    assert_eq!((outside.causation, outside.sender), (None, None));
    assert_eq!(b.causation, Some(outside.id));
    assert_eq!(b.sender, Some(to_a.address()));
    // The answer's cause is the question, which nobody here saw; that one's is what b got.
    let question = answer.causation.unwrap();
    assert!(!ids.contains(&question));
    assert_eq!(timer.causation, Some(answer.id));
    assert_eq!(timer.sender, Some(to_b.address()));
    for told in [first, second] {
        assert_eq!(told.causation, Some(timer.id));
        assert_eq!(told.sender, Some(to_b.address()));
    }
    let times = [outside, b, answer, timer, first].map(|origin| origin.sent_at);
    assert_eq!(times, [ms(7), ms(7), ms(7), ms(12), ms(12)]);
}

#[test]
fn an_asked_actor_sees_the_question_s_origin_and_its_deadline() {
    let (system, _) = stepped_on();
    let seen = Seen::default();
    let [a, b] = [(); 2].map(|()| spawn(&system, &Log::new()));
    let (to_b, log) = (b.actor(), seen.clone());
    let question = move |reply: Reply<u64>| {
        noted(&log, "question", move |me| {
            assert!(me.meta().is_ask);
            assert_eq!(me.meta().deadline, Some(ms(100)));
            Plan::reply(reply, 1)
        })
    };
    let asks = noted(&seen, "asker", move |_| {
        Plan::ask(to_b, question)
            .timeout(ms(100))
            .on_ok_value(Msg::Say(1))
            .on_error_value(Msg::Say(2))
    });
    a.tell(asks).unwrap();
    system.run_until_idle();
    let seen = take(&seen);
    let [(_, asker), (_, question)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(question.causation, Some(asker.id));
    assert_eq!(question.sender, Some(a.actor().address()));
    // From outside too.
    assert_eq!(b.ask(Msg::Ping).wait_in(&system), Ok(7));
}

/// Waits for an answer of a system that this thread steps.
trait WaitIn<T> {
    fn wait_in(self, system: &System) -> Result<T, AskError>;
}

impl<T: Send + 'static> WaitIn<T> for mainspring::Ask<T> {
    fn wait_in(self, system: &System) -> Result<T, AskError> {
        system.run_until_idle();
        self.wait()
    }
}

#[test]
fn an_ask_that_ends_by_time_is_part_of_its_chain() {
    let (system, hand) = stepped_on();
    let seen = Seen::default();
    let [a, b] = [(); 2].map(|()| spawn(&system, &Log::new()));
    let (to_b, late) = (b.actor(), last(&seen, "late"));
    let asks = noted(&seen, "asker", move |_| {
        Plan::ask(to_b, Msg::Keep)
            .timeout(ms(10))
            .on_ok_value(Msg::Say(1))
            .on_error_value(late)
    });
    a.tell(asks).unwrap();
    system.run_until_idle();
    hand.advance(ms(20));
    system.run_until_idle();
    let seen = take(&seen);
    let [(_, asker), ("late", late)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(late.correlation, asker.id);
    assert_eq!(late.sent_at, ms(20));
}

#[test]
fn a_commit_that_waits_for_room_keeps_its_place_in_the_chain() {
    let (system, _) = stepped_with(on().mailbox_capacity(1));
    let seen = Seen::default();
    let [a, b] = [(); 2].map(|()| spawn(&system, &Log::new()));
    let to_b = b.actor();
    let two = [last(&seen, "one"), last(&seen, "two")].map(|message| Plan::tell(to_b, message));
    let timer = last(&seen, "timer");
    b.tell(Msg::Say(0)).unwrap(); // takes the only place
    let sends = noted(&seen, "sender", move |_| {
        Plan::from(two).and(Plan::after(1, ms(0), timer))
    });
    a.tell(sends).unwrap();
    system.run_until_idle();
    let seen = take(&seen);
    assert_eq!(seen.len(), 4, "{seen:?}");
    let sender = seen[0].1;
    for (what, origin) in &seen[1..] {
        assert_eq!(origin.causation, Some(sender.id), "{what}");
        assert_eq!(origin.sender, Some(a.actor().address()), "{what}");
    }
}

#[test]
fn a_message_put_aside_keeps_its_origin() {
    let (system, _) = stepped_on();
    let seen = Seen::default();
    let a = spawn(&system, &Log::new());
    let again = last(&seen, "again");
    a.tell(noted(&seen, "first", move |_| Plan::stash(again)))
        .unwrap();
    a.tell(noted(&seen, "brings", |_| Plan::unstash())).unwrap();
    system.run_until_idle();
    let seen = take(&seen);
    let [("first", first), ("brings", _), ("again", again)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(again, first, "it is the same message");
}

#[test]
fn all_attempts_of_a_delivery_are_one_message() {
    let (system, hand) = stepped_on();
    let seen = Seen::default();
    let [a, b] = [(); 2].map(|()| spawn(&system, &Log::new()));
    let (to_b, log) = (b.actor(), seen.clone());
    let question = move |reply: Reply<()>| {
        let log = log.clone();
        noted(&log, "attempt", move |_| {
            drop(reply);
            Plan::none()
        })
    };
    let backoff = Backoff {
        first: ms(10),
        jitter: false,
        ..Backoff::NONE
    };
    a.tell(noted(&seen, "sender", move |_| {
        Plan::deliver_acknowledged(to_b, question)
            .retry(2, backoff)
            .into()
    }))
    .unwrap();
    for _ in 0..5 {
        system.run_until_idle();
        hand.advance(Duration::from_secs(1));
    }
    let seen = take(&seen);
    let [(_, sender), (_, first), (_, second), (_, third)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(first.causation, Some(sender.id));
    assert_eq!([second, third], [first, first]);
}

#[test]
fn dead_letters_say_where_they_came_from() {
    quiet_panics();
    let (system, _) = stepped_on();
    let seen = Seen::default();
    let [a, b, dead] = [(); 3].map(|()| spawn(&system, &Log::new()));
    dead.kill();
    system.run_until_idle();
    let (to_dead, to_b) = (dead.actor(), b.actor());
    let sends = noted(&seen, "sender", move |_| {
        let panics = does(|| panic!("on purpose"));
        Plan::tell(to_dead, Msg::Say(1)).and(Plan::tell(to_b, panics))
    });
    a.tell(sends).unwrap();
    system.run_until_idle();
    let (_, sender) = take(&seen)[0];
    let letters = system.dead_letters();
    let causes: Vec<_> = letters.iter().map(|letter| &letter.cause).collect();
    assert_eq!(causes, [&Cause::Stopped, &Cause::Panicked]);
    for letter in &letters {
        let origin = letter.origin.unwrap();
        assert_eq!(origin.causation, Some(sender.id), "{letter:?}");
        assert_eq!(letter.message, std::any::type_name::<Msg>());
    }
}

#[test]
fn queued_messages_of_an_actor_that_ends_keep_their_origins() {
    let (system, _) = stepped_on();
    let a = spawn(&system, &Log::new());
    a.tell(does(Plan::stop)).unwrap();
    for number in 0..3 {
        a.tell(Msg::Say(number)).unwrap();
    }
    let ask = a.ask(Msg::Ping);
    system.run_until_idle();
    assert_eq!(ask.wait(), Err(AskError::Stopped));
    let letters = system.dead_letters();
    let ids: HashSet<u64> = letters.iter().map(|l| l.origin.unwrap().id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_refused_message_comes_back_as_it_was() {
    let (system, _) = stepped_with(on().mailbox_capacity(1));
    let a = spawn(&system, &Log::new());
    a.tell(Msg::Say(1)).unwrap();
    let refused = a.tell(Msg::Say(2)).unwrap_err();
    assert!(matches!(refused, SendError::Full(Msg::Say(2))));
    a.kill();
    system.run_until_idle();
    let refused = a.tell(Msg::Say(3)).unwrap_err();
    assert!(matches!(refused, SendError::Closed(Msg::Say(3))));
}

#[test]
fn a_mailbox_that_drops_its_oldest_takes_stamped_messages() {
    let (system, _) = stepped_with(on().mailbox_capacity(2));
    let log = Log::new();
    let a = system
        .prepare(Script, Tape::new(&log))
        .overflow(Overflow::DropOldest)
        .start()
        .unwrap();
    system.run_until_idle();
    for number in 0..5 {
        a.tell(Msg::Say(number)).unwrap();
    }
    system.run_until_idle();
    assert_eq!(log.said(), [3, 4]);
    let letters = system.dead_letters();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| letter.origin.is_some()));
}

/// Says something itself, whenever it evolves.
struct Speaking(ActorRef<Msg>, Mutex<Option<Msg>>);
impl Machine for Speaking {
    type Event = Msg;
    fn apply(&mut self, next: Msg) {
        *self.1.get_mut().unwrap() = Some(next);
    }
    fn try_apply(&mut self, next: Msg) -> Result<(), Refusal> {
        self.apply(next);
        Ok(())
    }
    fn output(&mut self, output: &mut mainspring::Output<Self>) {
        if let Some(message) = self.1.get_mut().unwrap().take() {
            output.tell(self.0, message);
        }
    }
}

#[test]
fn what_a_machine_says_is_part_of_the_chain() {
    let (system, _) = stepped_on();
    let seen = Seen::default();
    let a = spawn(&system, &Log::new());
    let speaking = Speaking(a.actor(), Mutex::default());
    let speaking = system.spawn_machine(speaking).unwrap();
    speaking.tell(last(&seen, "said")).unwrap();
    system.run_until_idle();
    let (_, said) = take(&seen)[0];
    assert_eq!(said.sender, Some(speaking.actor().address()));
    assert!(
        said.causation
            .is_some_and(|cause| cause == said.correlation)
    );
}

#[test]
fn on_threads_each_message_is_of_its_sender_s_chain() {
    const CHAINS: u64 = 200;
    let config = on().workers(2).build().unwrap();
    let system = System::with_config(config).unwrap();
    let log = Log::new();
    let actors: [_; 4] = std::array::from_fn(|_| spawn(&system, &log));
    let addresses = actors.each_ref().map(|actor| actor.actor());
    fn hop(to: [ActorRef<Msg>; 4], left: u64, chain: Option<u64>) -> Msg {
        act(move |me| {
            let origin = me.meta().origin.expect("it is on");
            let chain = chain.unwrap_or(origin.id);
            assert_eq!(origin.correlation, chain);
            match left {
                0 => say(chain),
                _ => Plan::tell(to[left as usize % 4], hop(to, left - 1, Some(chain))),
            }
        })
    }
    for number in 0..CHAINS {
        let first = &actors[number as usize % 4];
        first.tell(hop(addresses, 20, None)).unwrap();
    }
    until("all chains end", || log.len() as u64 == CHAINS);
    let chains: HashSet<u64> = log.take().into_iter().collect();
    assert_eq!(chains.len() as u64, CHAINS);
    assert_eq!(system.dead_letter_count(), 0);
}
