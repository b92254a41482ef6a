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
    ($lone:ident $beside:ident [$($head:tt)*] { $($main:tt)* } { $($rest:tt)* }) => {
        mod $lone {
            use super::*;
            mainspring::chart! {
                #[derive(Clone)]
                pub(crate) chart Job($($head)*) { initial Main; state Main { $($main)* } $($rest)* }
            }
        }
        mod $beside {
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
    lone beside
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
    ($by_matches:ident of $lone:ident, $by_the_kernel:ident of $beside:ident:
     $($(#[$of:meta])* fn $test:ident() $body:block)*) => {
        mod $by_matches {
            use super::{*, $lone::*};
            $($(#[$of])* fn $test() $body)*
        }
        mod $by_the_kernel {
            use super::{*, $beside::*};
            $($(#[$of])* fn $test() $body)*
        }
    };
}

both! {
    by_matches of lone, by_the_kernel of beside:
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

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum Ring {
    /// Rings after so many milliseconds, under that key.
    At(u64, String, u64),
    /// The same by a function that knows no chart.
    Elsewhere,
    Cancel(u64),
    Rings(String),
    Plain,
    /// Rings later, and the turn fails.
    Fail,
    After(u8),
    #[serde(skip)]
    Never,
}

fn elsewhere<M: Machine<Event = Ring>>(out: &mut mainspring::Output<M>) {
    out.after("elsewhere", 70 * MS, Ring::Plain);
}

charts! {
    alarm alarm_beside
    [rung: Vec<String>, event: Ring, after: Ring::After, out: out, kept]
    {
        initial On;
        state On {
            after 200 * MS => Off;
            on Ring::At(ms, what, key) => {
                let event = match &*what { "" => Ring::Never, _ => Ring::Rings(what) };
                out.after(key, ms as u32 * MS, event)
            }
            on Ring::Elsewhere => { elsewhere(out) }
            on Ring::Cancel(key) => { out.cancel(key) }
            on Ring::Rings(what) => { rung.push(what) }
            on Ring::Plain => { rung.push("plain".to_owned()) }
            on Ring::Fail => {
                out.after(1, 1 * MS, Ring::Plain);
                out.cancel(2);
                out.raise(Ring::Fail)
            }
        }
        state Off {}
    }
    {}
}

both! {
    timers_by_matches of alarm, timers_by_the_kernel of alarm_beside:

    #[test]
    fn what_bodies_start_goes_on_by_each_rule() {
        let (system, hand) = at(Duration::from_secs(1));
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        for (ms, what, key) in [(500, "x", 1), (90, "b", 2), (80, "c", 3), (60, "a", 1), (9, "", 4)] {
            first.tell(Ring::At(ms, what.to_owned(), key)).unwrap();
        }
        first.tell(Ring::Elsewhere).unwrap();
        first.tell(Ring::Cancel(3)).unwrap();
        system.run_until_idle();
        hand.advance(20 * MS);
        first.tell(Ring::Fail).unwrap();
        let saved = through_text(look(&system, &first).save());
        let said: Vec<_> = saved.delays.iter().map(|delay| {
            (delay.id.as_deref(), &*delay.event, delay.delay_ms, delay.left_ms, delay.due_unix_ms)
        }).collect();
        let elsewhere = said[3].0;
        assert!(elsewhere.is_some());
        assert_eq!(said, [
            (None, "xstate.after.200 * MS.On", 200, 180, 1_200),
            (Some("2"), "Rings", 90, 70, 1_090),
            (Some("1"), "Rings", 60, 40, 1_060),
            (elsewhere, "Plain", 70, 50, 1_070),
        ]);

        for (resume, left_ms) in [
            (Resume::Remaining, [40, 50, 70, 180]),
            (Resume::Restart, [60, 70, 90, 200]),
            (Resume::Absolute, [10, 20, 40, 150]),
        ] {
            let (system, hand) = at(Duration::from_millis(1_050));
            let restored = Job::restore(&saved, resume).unwrap();
            assert_eq!(restored.save(), saved, "also before it is an actor");
            let restored = system.spawn_machine(restored).unwrap();
            system.run_until_idle();
            let mut now_ms = 0;
            for (at, left_ms) in left_ms.into_iter().enumerate() {
                hand.advance((left_ms - 1 - now_ms) as u32 * MS);
                let before = look(&system, &restored);
                assert_eq!(before.context().len(), at, "{resume:?}: never early");
                assert_eq!(before.save().delays.len(), 4 - at, "those that are over are in none");
                hand.advance(3 * MS);
                now_ms = left_ms + 2;
            }
            let all = look(&system, &restored);
            assert_eq!(*all.context(), ["a", "plain", "b"], "{resume:?}");
            assert!(all.is(JobState::Off) && all.save().delays.is_empty());
        }
    }

    #[test]
    fn a_restored_one_is_replaced_and_cancelled_by_its_key() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        for (what, key) in [("kept", 1), ("replaced", 2), ("cancelled", 3)] {
            first.tell(Ring::At(30, what.to_owned(), key)).unwrap();
        }
        let saved = through_text(look(&system, &first).save());
        let restored = Job::restore(&saved, Resume::Remaining).unwrap();
        let restored = system.spawn_machine(restored).unwrap();
        restored.tell(Ring::At(60, "again".to_owned(), 2)).unwrap();
        restored.tell(Ring::Cancel(3)).unwrap();
        restored.tell(Ring::Fail).unwrap();
        system.run_until_idle();
        hand.advance(40 * MS);
        let now = look(&system, &restored);
        assert_eq!(*now.context(), ["kept"]);
        assert_eq!(now.save().delays.len(), 2, "that of `after`, and the new one");
        hand.advance(30 * MS);
        assert_eq!(*look(&system, &restored).context(), ["kept", "again"]);
    }

    #[test]
    fn one_that_is_due_but_not_taken_is_saved_with_nothing_left() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        first.tell(Ring::At(10, "a".to_owned(), 1)).unwrap();
        system.run_until_idle();
        hand.advance(15 * MS);
        let asked = first.snapshot();
        first.tell(Ring::Rings("a".to_owned())).unwrap(); // of nobody's timer
        system.run_until_idle();
        let saved = asked.wait().unwrap().save::<Vec<String>>();
        let left: Vec<_> = saved.delays.iter().map(|delay| delay.left_ms).collect();
        assert_eq!(left, [185, 0]);
        assert_eq!(*look(&system, &first).context(), ["a", "a"]);
        assert_eq!(look(&system, &first).save::<Vec<String>>().delays.len(), 1);
    }

    #[test]
    fn an_event_that_is_no_event_is_refused() {
        let (system, _hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        first.tell(Ring::At(10, "a".to_owned(), 1)).unwrap();
        let good: Saved<Vec<String>> = look(&system, &first).save();
        let refused = |change: &dyn Fn(&mut mainspring::chart::Delay)| {
            let mut bad = good.clone();
            change(&mut bad.delays[1]);
            Job::restore(&bad, Resume::Remaining).map(|_| ()).unwrap_err()
        };
        let none = refused(&|delay| delay.data = Some(mainspring::chart::Value::str("Rnig")));
        assert!(matches!(none, SnapshotError::NoEvent { .. }));
        let none = none.to_string();
        assert!(none.starts_with(r#"a delay's event "Rings" cannot be read: "#), "{none}");
        assert!(none.contains("Rnig") && none.contains("`Plain`"), "{none}");
        for unknown in [
            refused(&|delay| delay.data = None),
            refused(&|delay| delay.id = Some("one".to_owned())),
        ] {
            assert!(matches!(unknown, SnapshotError::UnknownDelay { .. }), "{unknown}");
        }
        let mut twice = good.clone();
        twice.delays.push(good.delays[1].clone());
        let twice = Job::restore(&twice, Resume::Remaining).map(|_| ()).unwrap_err();
        assert!(matches!(twice, SnapshotError::UnknownDelay { .. }), "{twice}");
    }
}

type Text = Vec<String>;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Step {
    steps: u32,
    parent: mainspring::Parent<Boss>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum Tick {
    After(u8),
    Fails,
}

mainspring::chart! {
    /// Steps every 10 ms, and says so.
    #[derive(Clone)]
    chart Stepper(at: Step, event: Tick, after: Tick::After, out: out, output: u32, kept) {
        initial Going;
        state Going {
            entry { at.steps += 1; out.tell_parent(&at.parent, Boss::Stepped(at.steps)) }
            after 10 * MS if at.steps < 5 => reenter Going;
            after 10 * MS => Gone;
        }
        final Gone { output at.steps; }
    }
}

mainspring::chart! {
    /// As [`Stepper`], but nobody keeps it.
    #[derive(Clone)]
    chart Loose(steps: u32, event: Tick, after: Tick::After, output: u32) {
        initial Going;
        state Going { after 10 * MS => Again { *steps += 1 } }
        state Again { after 10 * MS => Gone { *steps += 1 } }
        final Gone { output *steps; }
    }
}

#[derive(Clone, Debug)]
enum Boss {
    Stepped(u32),
    Ended(ChildEnded),
    Leave,
    Back,
    Fail,
}

charts! {
    boss boss_beside
    [seen: Text, event: Boss, invoke: Boss::Ended, out: out]
    {
        initial Busy;
        state Busy {
            invoke Kept = Invoked::chart_with(|parent| Stepper::new(Step { steps: 0, parent }).unwrap());
            invoke Loose = Invoked::chart(Loose::new(40).unwrap());
            invoke Idle = Invoked::actor(super::Idle, Nothing);
            on Boss::Stepped(steps) => { seen.push(format!("step {steps}")) }
            done Kept(steps) => { seen.push(format!("kept {steps}")) }
            done Loose(steps) => { seen.push(format!("loose {steps}")) }
            on Boss::Leave => Quiet;
            on Boss::Fail => Quiet { out.raise(Boss::Fail) }
        }
        state Quiet {
            on Boss::Back => Busy;
            on Boss::Fail => { out.raise(Boss::Fail) }
        }
    }
    {}
}

fn whole<M: mainspring::Saves<Context = Text>>(
    system: &System,
    actor: &mainspring::Actor<Events<M>>,
) -> Saved<Text> {
    let asked = actor.save();
    system.run_until_idle();
    through_text(asked.wait().unwrap())
}

/// Lets so much time pass, a millisecond at a time.
fn pass(system: &System, hand: &ManualClock, ms: u32) {
    for _ in 0..ms {
        hand.advance(MS);
        system.run_until_idle();
    }
}

fn names(saved: &Saved<Text>) -> Vec<(&str, bool)> {
    let children = saved.children.iter();
    children
        .map(|child| (&*child.id, child.snapshot.is_some()))
        .collect()
}

both! {
    children_by_matches of boss, children_by_the_kernel of boss_beside:

    #[test]
    fn children_go_on_with_their_states_if_they_are_kept_and_else_anew() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        system.run_until_idle();
        pass(&system, &hand, 16);
        let saved = whole(&system, &first);
        assert_eq!(saved.context, ["step 1", "step 2"]);
        assert_eq!(names(&saved), [("Kept", true), ("Loose", false), ("Idle", false)]);
        let kept = saved.children[0].snapshot.as_deref().unwrap();
        assert_eq!((&*kept.chart, &*kept.leaves[0]), ("Stepper", "Going"));
        assert_eq!(kept.delays.len(), 2);
        assert!(names(&look(&system, &first).save()).iter().all(|(_, state)| !state));
        first.kill();
        system.run_until_idle();
        assert_eq!(system.actors(), 0);

        let restored = Job::restore(&saved, Resume::Restart).unwrap();
        assert_eq!(restored.save(), saved, "also before it is an actor");
        let restored = system.spawn_machine(restored).unwrap();
        system.run_until_idle();
        assert_eq!(system.actors(), 4);
        pass(&system, &hand, 9);
        assert_eq!(look(&system, &restored).context().len(), 2, "no entry action ran again");
        pass(&system, &hand, 30);
        let seen = look(&system, &restored);
        assert_eq!(seen.context()[2..], ["step 3", "step 4", "loose 42", "step 5"]);
        assert_eq!(system.actors(), 3);
        let saved = whole(&system, &restored);
        assert_eq!(names(&saved), [("Kept", true), ("Idle", false)], "what has ended is in none");
        let again = system.spawn_machine(Job::restore(&saved, Resume::Remaining).unwrap()).unwrap();
        system.run_until_idle();
        assert_eq!(system.actors(), 6);
        pass(&system, &hand, 15);
        assert_eq!(look(&system, &again).context().last().unwrap(), "kept 5");
        restored.kill();
        again.tell(Boss::Leave).unwrap();
        system.run_until_idle();
        assert_eq!(system.actors(), 1, "a restored child ends with its state");
        assert!(look(&system, &again).save::<Text>().children.is_empty());
        again.tell(Boss::Back).unwrap();
        system.run_until_idle();
        assert_eq!(look(&system, &again).context().last().unwrap(), "step 1");
        assert_eq!(system.actors(), 4);
    }

    #[test]
    fn a_turn_that_fails_changes_nothing_of_what_is_saved_of_children() {
        let (system, hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        pass(&system, &hand, 30);
        let before = whole(&system, &first);
        assert_eq!(names(&before), [("Kept", true), ("Idle", false)]);
        first.tell(Boss::Fail).unwrap();
        system.run_until_idle();
        assert_eq!(names(&whole(&system, &first)), names(&before));
    }

    #[test]
    fn before_its_first_turn_a_machine_has_the_children_that_it_asked_for() {
        let mut job = Job::new(Vec::new()).unwrap();
        let all = [("Kept", false), ("Loose", false), ("Idle", false)];
        assert_eq!(names(&job.save()), all);
        assert_eq!(names(&job.clone().clone().save()), all);
        job.step(Boss::Leave).unwrap();
        assert!(job.save::<Text>().children.is_empty());
        let mut restored = Job::restore(&Job::new(Vec::new()).unwrap().save(), Resume::Remaining);
        let restored = restored.as_mut().unwrap();
        restored.step(Boss::Leave).unwrap();
        assert!(restored.save::<Text>().children.is_empty());
        restored.step(Boss::Back).unwrap();
        assert_eq!(names(&restored.save()), all);
    }

    #[test]
    fn children_that_do_not_fit_are_refused_by_name() {
        let (system, _hand) = at(Duration::ZERO);
        let first = system.spawn_machine(Job::new(Vec::new()).unwrap()).unwrap();
        system.run_until_idle();
        let good = whole(&system, &first);
        let refused = |change: &dyn Fn(&mut Saved<Text>)| {
            let mut bad = good.clone();
            change(&mut bad);
            Job::restore(&bad, Resume::Remaining).map(|_| ()).unwrap_err().to_string()
        };
        let unknown = refused(&|bad| bad.children[2].id = "Idel".to_owned());
        assert_eq!(unknown, r#"no actor is bound to "Idel"; there are "Idle""#);
        let twice = refused(&|bad| bad.children.push(bad.children[0].clone()));
        assert!(twice.starts_with(r#"no actor is bound to "Kept""#), "{twice}");
        let inactive = refused(&|bad| bad.leaves[0] = "Quiet".to_owned());
        assert_eq!(inactive, r#"no actor is bound to "Kept"; there are none"#);
        let loose = refused(&|bad| bad.children[1].snapshot = bad.children[0].snapshot.clone());
        assert_eq!(
            loose,
            r#"child "Loose": its state cannot be read: it is no chart that is `kept`"#
        );
        let leaf = refused(&|bad| {
            bad.children[0].snapshot.as_mut().unwrap().leaves[0] = "Goign".to_owned();
        });
        assert!(leaf.starts_with(r#"child "Kept": the chart has no state "Goign""#), "{leaf}");
        let context = refused(&|bad| {
            let state = bad.children[0].snapshot.as_mut().unwrap();
            state.context = mainspring::chart::Value::Num(1.0);
        });
        assert!(context.starts_with(r#"child "Kept": its state cannot be read: "#), "{context}");
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
