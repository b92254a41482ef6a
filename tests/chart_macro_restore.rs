//! A chart of the macro that is saved and restored goes on where it was, run by matches or by the
//! kernel, in the words of loaded charts.
#![cfg(all(feature = "macros", feature = "xstate"))]

use mainspring::chart::xstate::{Bindings, Machine as Json};
use mainspring::chart::{Receiver, Resume, Snapshot as Saved, SnapshotError};
use mainspring::prelude::*;
use mainspring::{
    Behavior, Cause, ChildEnded, Clock, Events, Invoked, ManualClock, Plan, Snapshot,
};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
enum Signal {
    Go,
    Pause,
    Resume,
    Deep,
    Fail,
    After(u8),
    Ended(ChildEnded),
    End,
}

/// Lives until it is stopped.
#[derive(Clone, Copy)]
struct Idle;
impl Behavior for Idle {
    type Machine = Nothing;
    type Message = ();
    fn on_message(&self, (): (), _: Snapshot<'_, Self>) -> Plan<Self> {
        Plan::stop()
    }
}
#[derive(Clone)]
struct Nothing;
impl Machine for Nothing {
    type Event = ();
    fn apply(&mut self, (): ()) {}
}

/// The same states twice: alone, which become matches, and beside a region, which the kernel runs.
macro_rules! charts {
    ([$($head:tt)*] { $($main:tt)* } { $($rest:tt)* }) => {
        mod lone {
            use super::*;
            mainspring::chart! {
                #[derive(Clone)]
                pub(crate) chart Job($($head)*) { initial Main; state Main { $($main)* } $($rest)* }
            }
        }
        mod beside {
            use super::*;
            mainspring::chart! {
                #[derive(Clone)]
                pub(crate) chart Job($($head)*) {
                    initial Both;
                    parallel Both { state Main { $($main)* } state Other {} }
                    $($rest)*
                }
            }
        }
    };
}

charts! {
    [seen: Vec<String>, event: Signal, after: Signal::After, invoke: Signal::Ended, output: usize,
     out: out, version: "7"]
    {
        initial Idle;
        on Signal::End => Over;
        state Idle {
            on Signal::Go => Work;
            on Signal::Resume => Same;
            on Signal::Deep => SameDeep;
        }
        state Work {
            initial One;
            entry { seen.push("work".to_owned()) }
            on Signal::Pause => Idle;
            history Same;
            history deep SameDeep;
            state One {
                after 100 * MS => Two { seen.push("late".to_owned()) }
                after 30 * MS => { seen.push("soon".to_owned()) }
                on Signal::Fail => Two { seen.push("never".to_owned()); out.raise(Signal::Fail) }
            }
            state Two {
                initial Inner;
                on Signal::Fail => { out.raise(Signal::Fail) }
                after 10 * MS => Deep;
                state Inner {}
                state Deep { invoke Aside = Invoked::actor(super::Idle, Nothing); }
            }
        }
    }
    { final Over { output seen.len(); } }
}

fn at(now: Duration) -> (System, ManualClock) {
    let (clock, hand) = Clock::manual();
    hand.advance(now);
    (System::stepped(Config::default(), clock).unwrap(), hand)
}

fn look<M: Machine + Clone>(system: &System, actor: &mainspring::Actor<Events<M>>) -> M {
    system.run_until_idle();
    let asked = actor.snapshot();
    system.run_until_idle();
    asked.wait().unwrap()
}

fn through_text(saved: Saved<Vec<String>>) -> Saved<Vec<String>> {
    toml::from_str(&toml::to_string(&saved).unwrap()).unwrap()
}

macro_rules! both {
    ($($(#[$of:meta])* fn $test:ident() $body:block)*) => {
        mod by_matches {
            use super::{*, lone::*};
            $($(#[$of])* fn $test() $body)*
        }
        mod by_the_kernel {
            use super::{*, beside::*};
            $($(#[$of])* fn $test() $body)*
        }
    };
}

both! {
    #[test]
    fn it_goes_on_where_it_was_by_each_rule() {
        let (system, hand) = at(Duration::from_secs(1));
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        first.tell(Signal::Go).unwrap();
        system.run_until_idle();
        hand.advance(40 * MS);
        let saved = through_text(look(&system, &first).save());
        assert_eq!((&*saved.chart, &*saved.version, &*saved.status), ("Job", "7", "active"));
        assert_eq!(saved.leaves[0], "One");
        assert_eq!(saved.context, ["work", "soon"]);
        let [delay] = &saved.delays[..] else {
            panic!("the other is over: {saved:?}")
        };
        assert_eq!(delay.event, "xstate.after.100 * MS.One");
        assert_eq!((delay.delay_ms, delay.left_ms, &delay.to), (100, 60, &Receiver::Myself));
        assert_eq!(delay.due_unix_ms, 1_100);

        for (resume, now_ms, left_ms) in [
            (Resume::Remaining, 9_000, 60),
            (Resume::Restart, 9_000, 100),
            (Resume::Absolute, 1_090, 10),
            (Resume::Absolute, 9_000, 0),
        ] {
            let (system, hand) = at(now_ms * MS);
            let restored = Job::restore(&saved, resume).unwrap();
            assert_eq!(restored.save(), saved, "also before it is an actor");
            let restored = system.spawn_machine(restored).unwrap();
            system.run_until_idle();
            if left_ms > 0 {
                hand.advance((left_ms - 1) * MS);
                assert!(look(&system, &restored).is(JobState::One), "{resume:?}: never early");
            }
            hand.advance(3 * MS);
            let late = look(&system, &restored);
            assert!(late.is(JobState::Two), "{resume:?} {now_ms}");
            assert_eq!(*late.context(), ["work", "soon", "late"], "no entry action ran again");
            assert_eq!(late.save().delays.len(), 1, "that of the state that was entered");
        }
    }

    #[test]
    fn a_turn_that_fails_changes_no_delay_and_leaving_cancels_a_restored_one() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        first.tell(Signal::Go).unwrap();
        system.run_until_idle();
        hand.advance(10 * MS);
        first.tell(Signal::Fail).unwrap();
        let saved = look(&system, &first).save();
        let left: Vec<_> = saved.delays.iter().map(|delay| delay.left_ms).collect();
        assert_eq!(left, [90, 20]);
        let refused = |cause: &Cause| matches!(cause, Cause::Refused(_));
        assert!(system.dead_letters().iter().any(|letter| refused(&letter.cause)));

        let restored = |resume| system.spawn_machine(Job::restore(&saved, resume).unwrap()).unwrap();
        let [kept, left, failed] = [(); 3].map(|()| restored(Resume::Remaining));
        left.tell(Signal::Pause).unwrap();
        left.tell(Signal::Go).unwrap();
        failed.tell(Signal::Fail).unwrap(); // in its first turn
        system.run_until_idle();
        hand.advance(25 * MS);
        assert_eq!(*look(&system, &kept).context(), ["work", "soon"]);
        assert_eq!(*look(&system, &failed).context(), ["work", "soon"]);
        assert_eq!(*look(&system, &left).context(), ["work", "work"], "a whole new delay");
        hand.advance(7 * MS);
        assert_eq!(*look(&system, &left).context(), ["work", "work", "soon"]);
        hand.advance(60 * MS);
        assert!(look(&system, &kept).is(JobState::Two));
        assert!(look(&system, &failed).is(JobState::Two));
    }

    #[test]
    fn histories_are_kept() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        first.tell(Signal::Go).unwrap();
        for _ in 0..2 {
            system.run_until_idle();
            hand.advance(110 * MS);
        }
        assert!(look(&system, &first).is(JobState::Deep));
        first.tell(Signal::Pause).unwrap();
        let saved = through_text(look(&system, &first).save());
        assert_eq!(saved.leaves[0], "Idle");
        assert_eq!(saved.histories["Same"], ["Two"]);
        assert_eq!(saved.histories["SameDeep"], ["Deep"]);
        let mut deep = Job::restore(&saved, Resume::Remaining).unwrap();
        let mut shallow = deep.clone();
        deep.step(Signal::Deep).unwrap();
        assert!(deep.is(JobState::Deep));
        shallow.step(Signal::Resume).unwrap();
        assert!(shallow.is(JobState::Inner));
        let fresh: Saved<Vec<String>> = Job::new(Vec::new()).unwrap().save();
        assert!(fresh.histories.is_empty());
    }

    #[test]
    fn what_an_active_state_invokes_starts_anew() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        first.tell(Signal::Go).unwrap();
        for _ in 0..2 {
            system.run_until_idle();
            hand.advance(110 * MS);
        }
        let deep = look(&system, &first);
        assert_eq!(system.actors(), 2);
        first.kill();
        system.run_until_idle();
        assert_eq!(system.actors(), 0);
        let restored = Job::restore(&deep.save(), Resume::Remaining).unwrap();
        let restored = system.spawn_machine(restored).unwrap();
        system.run_until_idle();
        assert_eq!(system.actors(), 2);
        restored.tell(Signal::Pause).unwrap();
        system.run_until_idle();
        assert_eq!(system.actors(), 1, "it ends with its state");
    }

    #[test]
    fn one_that_is_done_stays_done_and_its_actor_ends() {
        let mut over = Job::new(vec!["a".to_owned()]).unwrap();
        over.step(Signal::End).unwrap();
        let saved = through_text(over.save());
        assert_eq!(saved.status, "done");
        let restored = Job::restore(&saved, Resume::Remaining).unwrap();
        assert!(restored.is_done());
        assert_eq!(restored.output(), Some(&1));
        let (system, _hand) = at(Duration::ZERO);
        let actor = system.spawn_machine(restored).unwrap();
        system.run_until_idle();
        assert!(!actor.is_alive());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let good: Saved<Vec<String>> = Job::new(Vec::new()).unwrap().save();
        let refused = |change: fn(&mut Saved<Vec<String>>)| {
            let mut bad = good.clone();
            change(&mut bad);
            let refused = Job::restore(&bad, Resume::Remaining);
            refused.map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(|bad| bad.version = "6".to_owned()),
            r#"the snapshot is of "Job" version "6", the chart is "Job" version "7""#
        );
        let unknown = refused(|bad| bad.leaves[0] = "Idel".to_owned());
        assert!(unknown.contains(r#"no state "Idel""#) && unknown.contains(r#""Idle""#), "{unknown}");
        let compound = refused(|bad| bad.leaves[0] = "Work".to_owned());
        assert!(compound.contains(r#"no state "Work" to be in"#), "{compound}");
        let two = refused(|bad| bad.leaves.push("One".to_owned()));
        assert!(two.contains(r#""Main" is in one of "Idle", "Work""#), "{two}");
        let none = refused(|bad| bad.leaves.clear());
        assert!(none.contains("no state is active"), "{none}");
        let twice = refused(|bad| bad.leaves.push("Idle".to_owned()));
        assert!(twice.contains(r#""Idle" is there twice"#), "{twice}");
        let history = refused(|bad| {
            bad.histories.insert("Smae".to_owned(), Vec::new());
        });
        assert!(history.contains(r#""Smae""#) && history.contains(r#""SameDeep""#), "{history}");
        let outside = refused(|bad| {
            bad.histories.insert("Same".to_owned(), vec!["Idle".to_owned()]);
        });
        assert!(outside.contains(r#"it has "One", "Two""#), "{outside}");
        let status = refused(|bad| bad.status = "asleep".to_owned());
        assert!(status.contains(r#""active", "done""#), "{status}");
        let stopped = refused(|bad| bad.status = "stopped".to_owned());
        assert!(stopped.ends_with(r#"it can be "active""#), "{stopped}");
        let delay = refused(|bad| {
            bad.delays.push(mainspring::chart::Delay {
                id: None,
                event: "xstate.after.never".to_owned(),
                data: None,
                origin: None,
                to: Receiver::Myself,
                delay_ms: 1,
                left_ms: 1,
                due_unix_ms: 1,
            });
        });
        assert!(delay.contains("never") && delay.contains("xstate.after.10 * MS.Two"), "{delay}");
    }
}

#[test]
fn a_region_that_is_missing_is_named() {
    let mut saved: Saved<Vec<String>> = beside::Job::new(Vec::new()).unwrap().save();
    saved.leaves.pop();
    let refused = beside::Job::restore(&saved, Resume::Remaining);
    let refused = refused.map(|_| ()).unwrap_err();
    assert!(matches!(refused, SnapshotError::NoConfiguration { .. }));
    assert_eq!(
        refused.to_string(),
        r#"the chart is never in "Idle": "Both" is in all of "Main", "Other""#
    );
}

#[test]
fn a_field_that_is_missing_or_unknown_is_named() {
    let saved = lone::Job::new(Vec::new()).unwrap().save();
    let text = toml::to_string(&through_text(saved)).unwrap();
    let read = |text: &str| {
        toml::from_str::<Saved<Vec<String>>>(text)
            .unwrap_err()
            .to_string()
    };
    let unknown = read(&text.replace("leaves =", "leafs ="));
    assert!(
        unknown.contains("unknown field `leafs`, expected one of `chart`"),
        "{unknown}"
    );
    let missing = read(&text.replace("status =", "# status ="));
    assert!(missing.contains("missing field `status`"), "{missing}");
}

mainspring::chart! {
    chart Plain(opened: u32, event: bool) {
        initial Shut;
        state Shut { on true => Ajar { *opened += 1 } }
        state Ajar { on false => Shut; }
    }
}

#[test]
fn a_snapshot_is_of_the_type_that_loaded_charts_have() {
    let mut plain = Plain::new(0).unwrap();
    plain.step(true).unwrap();
    let saved = plain.save();
    let loaded = Json::parse(
        r#"{ "id": "Plain", "initial": "Shut", "states": { "Shut": {}, "Ajar": {} } }"#,
    );
    let loaded = Bindings::<u32>::new().compile(&loaded.unwrap()).unwrap();
    let loaded = mainspring::HostedChart::from(loaded);
    let mut saved = Saved {
        context: saved.context,
        ..saved
    };
    for leaf in &mut saved.leaves {
        *leaf = format!("Plain.{leaf}");
    }
    let machine = loaded.restore(&saved, Resume::Remaining).unwrap();
    assert!(machine.is("Ajar"));
    assert_eq!(*machine.context(), 1);
}
