//! The promise: what a behavior decides can be looked at without a system, whole and by type.

#![cfg(all(feature = "testkit", not(loom)))]

use mainspring::prelude::*;
use mainspring::supervise::Backoff;
use mainspring::testkit::{self, Decided, Given};
use mainspring::{Breaker, Down};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    cents: u64,
}

#[derive(Debug, PartialEq)]
struct Moved(u64);

impl Machine for Account {
    type Event = Moved;
    fn apply(&mut self, Moved(cents): Moved) {
        self.cents += cents;
    }
    fn try_apply(&mut self, event: Moved) -> Result<(), mainspring::Refusal> {
        if event.0 == 0 {
            return Err(mainspring::Refusal::new("nothing moved"));
        }
        self.apply(event);
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Note(&'static str);

struct Rate(Reply<u64>);

#[derive(Clone, Copy)]
struct Banking {
    log: ActorRef<Note>,
    rates: ActorRef<Rate>,
}

#[derive(Clone, Debug, PartialEq)]
enum Got {
    Rate(u64),
    NoRate(AskError),
    Again,
}

enum Order {
    Pay(u64, Reply<u64>),
    Convert,
    Remind,
    Close,
    Wrong,
    Deliver,
    Retire,
    Compare,
    Time(Reply<(Duration, bool)>),
    Got(Got),
}

impl Clone for Order {
    fn clone(&self) -> Self {
        Self::Got(Got::Again)
    }
}

impl Behavior for Banking {
    type Machine = Account;
    type Message = Order;
    fn on_message(&self, order: Order, account: Snapshot<Self>) -> Plan<Self> {
        match order {
            Order::Pay(cents, reply) => Plan::emit(Moved(cents))
                .and(Plan::tell(self.log, Note("paid")))
                .and(Plan::reply_after(reply, |account: &Account| account.cents)),
            Order::Convert => Plan::ask(self.rates, Rate)
                .on_ok(|rate| Order::Got(Got::Rate(rate)))
                .on_error(|error| Order::Got(Got::NoRate(error))),
            Order::Remind => Plan::from([
                Plan::after(1, Duration::from_secs(5), Order::Got(Got::Again)),
                Plan::every(2, Duration::from_secs(60), Order::Got(Got::Again)),
                Plan::cancel(3),
            ]),
            Order::Close => Plan::tell(self.log, Note("closed")).and(Plan::stop()),
            Order::Wrong => Plan::unhandled(),
            Order::Deliver => Plan::deliver(self.log, Note("told"))
                .retry(3, Backoff::default())
                .breaker(Breaker::default())
                .into(),
            Order::Retire => Plan::stash(Order::Got(Got::Again))
                .and(Plan::become_(Retired))
                .and(Plan::unstash()),
            Order::Compare => Plan::gather([self.rates, self.rates], Rate)
                .on_done(|rates| Order::Got(Got::Rate(rates.into_iter().flatten().sum()))),
            Order::Time(reply) => Plan::reply(reply, (account.now(), account.meta().is_ask)),
            Order::Got(_) => Plan::none(),
        }
    }
}

#[derive(Clone, Copy)]
struct Retired;

impl Behavior for Retired {
    type Machine = Account;
    type Message = Order;
    fn on_message(&self, _: Order, _: Snapshot<Self>) -> Plan<Self> {
        Plan::unbecome()
    }
}

fn banking() -> Banking {
    Banking {
        log: testkit::address(1),
        rates: testkit::address(2),
    }
}

fn failure(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it must fail");
    *payload.downcast::<String>().expect("a text")
}

#[test]
fn events_tells_and_replies_are_seen_and_the_machine_evolves_only_when_asked() {
    let mut account = Account { cents: 100 };
    let order = Order::Pay(25, testkit::reply(7));
    let mut plan = Given::new(banking(), &account).message(order);
    assert_eq!(plan.event(), &Moved(25));
    assert_eq!(plan.told(banking().log), [&Note("paid")]);
    assert!(plan.told(testkit::address::<Note>(9)).is_empty());
    assert_eq!(plan.replied::<u64>(7), None, "it is made of the machine");
    assert_eq!(account.cents, 100);
    plan.evolve(&mut account).unwrap();
    assert_eq!(account.cents, 125);
    assert_eq!(plan.replied::<u64>(7), Some(&125));
    assert_eq!(plan.replied::<u64>(8), None);
    plan.nothing_else();
}

#[test]
fn a_refusal_answers_nothing() {
    let mut account = Account { cents: 100 };
    let mut plan = Given::new(banking(), &account).message(Order::Pay(0, testkit::reply(1)));
    let refusal = plan.evolve(&mut account).unwrap_err();
    assert!(refusal.to_string().contains("nothing moved"), "{refusal}");
    assert_eq!((account.cents, plan.replied::<u64>(1)), (100, None));
}

#[test]
fn an_asks_outcome_becomes_the_message_that_the_plan_makes_of_it() {
    let account = Account::default();
    for outcome in [Ok(3), Err(AskError::Dropped)] {
        let mut plan = Given::new(banking(), &account).message(Order::Convert);
        let [Rate(reply)] = plan.asked(banking().rates)[..] else {
            panic!("one question");
        };
        assert_eq!(format!("{reply:?}"), "Reply<u64>");
        let expected = match outcome {
            Ok(rate) => Got::Rate(rate),
            Err(error) => Got::NoRate(error),
        };
        match plan.outcome::<u64>(outcome) {
            Ok(Order::Got(got)) => assert_eq!(got, expected),
            _ => panic!("another message"),
        }
        plan.nothing_else();
        let text = failure(|| drop(plan.outcome::<u64>(Ok(1))));
        assert!(
            text.contains("an ask without an outcome expected"),
            "{text}"
        );
    }
}

#[test]
fn timers_and_cancels_are_seen_with_key_and_time() {
    let plan = Given::new(banking(), &Account::default()).message(Order::Remind);
    let timers: Vec<_> = plan.timers();
    let facts: Vec<_> = timers
        .iter()
        .map(|timer| (timer.key, timer.after.as_secs(), timer.repeats))
        .collect();
    assert_eq!(facts, [(Key::new(1), 5, false), (Key::new(2), 60, true)]);
    assert_eq!(plan.canceled(), [Key::new(3)]);
    plan.nothing_else();
}

/// Watches over a session: hears of linked actors' ends, and of silence.
#[derive(Clone, Copy)]
struct Guarding;
#[derive(Debug, PartialEq)]
enum Guard {
    Begin,
    End,
    Ended(Down),
    Silence,
}
impl Behavior for Guarding {
    type Machine = Account;
    type Message = Guard;
    fn on_message(&self, guard: Guard, _: Snapshot<Self>) -> Plan<Self> {
        match guard {
            Guard::Begin => Plan::trap_exits(Guard::Ended)
                .and(Plan::receive_timeout(Duration::from_secs(30), || {
                    Guard::Silence
                })),
            Guard::End => Plan::untrap_exits().and(Plan::no_receive_timeout()),
            Guard::Ended(_) | Guard::Silence => Plan::none(),
        }
    }
}

#[test]
fn trapped_exits_and_receive_time_outs_are_seen() {
    let account = Account::default();
    let plan = Given::new(Guarding, &account).message(Guard::Begin);
    let text = failure(|| plan.nothing_else());
    assert!(text.contains("Trap, Interval"), "{text}");
    let silence = Duration::from_secs(30);
    assert_eq!(plan.receive_timeout(), Some((silence, Guard::Silence)));
    assert!(!plan.ends_receive_timeout() && !plan.untraps());
    let down = Down {
        actor: testkit::address::<Note>(1).address(),
        exit: Exit::Killed,
    };
    assert_eq!(plan.trapped(down.clone()), Some(Guard::Ended(down.clone())));
    assert!(plan.timers().is_empty());
    plan.nothing_else();

    let plan = Given::new(Guarding, &account).message(Guard::End);
    assert!(failure(|| plan.nothing_else()).contains("Trap, Cancel"));
    assert_eq!((plan.trapped(down), plan.receive_timeout()), (None, None));
    assert!(plan.untraps() && plan.ends_receive_timeout());
    assert!(plan.canceled().is_empty());
    plan.nothing_else();
    drop(Given::new(Guarding, &account).message(Guard::Silence));
}

#[test]
fn what_was_not_looked_at_fails_by_name() {
    let plan = Given::new(banking(), &Account::default()).message(Order::Close);
    let text = failure(|| plan.nothing_else());
    assert!(text.contains("Tell 4294967295/1.1 testkit::Note"), "{text}");
    assert_eq!(plan.told(banking().log), [&Note("closed")]);
    let text = failure(|| plan.nothing_else());
    assert!(text.contains("Stop"), "{text}");
    assert!(plan.stops() && !plan.is_unhandled());
    plan.nothing_else();
    let text = failure(|| _ = plan.event());
    assert!(text.contains("one event expected, there are 0"), "{text}");
    assert!(
        Given::new(banking(), &Account::default())
            .message(Order::Wrong)
            .is_unhandled()
    );
}

#[test]
fn the_facts_of_the_turn_are_the_tests() {
    let account = Account::default();
    let plan = Given::new(banking(), &account)
        .at(Duration::from_secs(9))
        .as_ask()
        .message(Order::Time(testkit::reply(1)));
    assert_eq!(plan.replied(1), Some(&(Duration::from_secs(9), true)));
}

#[test]
fn the_same_message_and_machine_print_the_same_plan() {
    let print = || {
        let account = Account::default();
        let plan = Given::new(banking(), &account);
        format!("{:?}", plan.message(Order::Pay(5, testkit::reply(1))))
    };
    assert_eq!(print(), print());
    assert_eq!(
        print(),
        "[Event testkit::Moved, Tell 4294967295/1.1 testkit::Note, Later]"
    );
}

#[test]
fn a_decision_is_of_the_snapshot_and_the_message_alone() {
    let numbers = || 0..u64::MAX / 2;
    proptest::proptest!(|(
        cents in numbers(),
        paid in numbers(),
        kind in 0..8,
        at_ms in numbers(),
    )| {
        let account = Account { cents };
        let decide = || {
            let order = match kind {
                0 => Order::Pay(paid, testkit::reply(1)),
                1 => Order::Convert,
                2 => Order::Remind,
                3 => Order::Close,
                4 => Order::Deliver,
                5 => Order::Retire,
                6 => Order::Compare,
                _ => Order::Time(testkit::reply(1)),
            };
            Given::new(banking(), &account).at(Duration::from_millis(at_ms)).message(order)
        };
        let (first, again) = (decide(), decide());
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
        assert_eq!(first.events(), again.events());
        assert_eq!(first.told(banking().log), again.told(banking().log));
        assert_eq!(account, Account { cents });
        if kind == 0 {
            assert_eq!(first.events(), [&Moved(paid)]);
        }
    });
}

#[test]
fn a_delivery_is_seen_with_its_retries_and_its_breaker() {
    let account = Account::default();
    let plan = Given::new(banking(), &account).message(Order::Deliver);
    assert_eq!(
        format!("{plan:?}"),
        "[Deliver 4294967295/1.1 testkit::Note]"
    );
    let unseen = failure(|| plan.nothing_else());
    assert!(unseen.contains("Deliver"), "{unseen}");
    assert!(plan.delivered(testkit::address::<Note>(2)).is_empty());
    let [ref delivered] = plan.delivered(banking().log)[..] else {
        panic!("{plan:?}");
    };
    assert_eq!((delivered.message, delivered.retries), (&Note("told"), 3));
    assert_eq!(delivered.breaker, Some(Breaker::default()));
    assert!(!delivered.is_acknowledged);
    plan.nothing_else();
}

#[test]
fn switches_and_what_is_put_aside_are_seen() {
    let account = Account::default();
    let plan = Given::new(banking(), &account).message(Order::Retire);
    assert_eq!(
        format!("{plan:?}"),
        "[Stash testkit::Order, Become testkit::Retired, Unstash]"
    );
    assert!(matches!(plan.stashed()[..], [Order::Got(Got::Again)]));
    assert_eq!(plan.becomes(), [Some("testkit::Retired")]);
    let unseen = failure(|| plan.nothing_else());
    assert!(unseen.contains("Unstash"), "{unseen}");
    assert!(plan.unstashes());
    plan.nothing_else();
    let plan = Given::new(Retired, &account).message(Order::Wrong);
    assert_eq!(plan.becomes(), [None]);
    plan.nothing_else();
}

#[test]
fn the_outcomes_of_several_questions_become_the_message_that_the_plan_makes_of_them() {
    let account = Account::default();
    let mut plan = Given::new(banking(), &account).message(Order::Compare);
    assert_eq!(plan.asked(banking().rates).len(), 2);
    plan.nothing_else();
    let message = plan.gathered([Ok(4_u64), Ok(3)]);
    assert!(matches!(message, Order::Got(Got::Rate(7))));
    let mut plan = Given::new(banking(), &account).message(Order::Compare);
    let text = failure(|| {
        let _ = plan.gathered([Ok(4_u64)]);
    });
    assert!(text.contains("for each question"), "{text}");
}

#[test]
fn a_plan_prints_as_what_was_decided() {
    let account = Account::default();
    let orders: [fn() -> Order; 6] = [
        || Order::Pay(5, testkit::reply(1)),
        || Order::Remind,
        || Order::Close,
        || Order::Wrong,
        || Order::Deliver,
        || Order::Retire,
    ];
    let plan = || Plan::<Banking>::cancel(7).and(Plan::stop());
    assert_eq!(format!("{:?}", plan()), "[Cancel key 7, Stop]");
    assert_eq!(
        format!("{:?}", plan()),
        format!("{:?}", Decided::from(plan()))
    );
    let mut shown = Vec::new();
    for order in orders {
        let decided = Given::new(banking(), &account).message(order());
        shown.push(format!("{decided:?}"));
    }
    assert_eq!(shown[3], "[Unhandled]");
    assert!(
        shown[1].contains("Timer key 1 5s testkit::Order"),
        "{}",
        shown[1]
    );
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), 6, "each looks like itself: {shown:?}");
}
