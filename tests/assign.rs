//! Plain values as machines: assignments change all of what they name, or nothing.

mod common;

use common::until;
use mainspring::prelude::*;
use mainspring::{Assign, Clock, Context, assign};

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    user: Option<String>,
    logins: u32,
    trail: Vec<&'static str>,
}

enum Do {
    LogIn(String),
    LogOut,
    Twice,
    Fail,
    Who(Reply<Option<String>>),
}

#[derive(Clone, Copy)]
struct Sessions;
impl Behavior for Sessions {
    type Machine = Context<Session>;
    type Message = Do;
    fn on_message(&self, message: Do, session: Snapshot<Self>) -> Plan<Self> {
        match message {
            Do::LogIn(user) => Plan::emit(assign!("log in" => Session {
                user: Some(user),
                logins: |old| old.logins + 1,
            })),
            Do::LogOut => Plan::emit(assign!(Session { user: None })),
            Do::Twice => {
                let step = |word| {
                    Plan::emit(assign!(Session {
                        trail: |old| [&old.trail[..], &[word]].concat(),
                    }))
                };
                step("first").and(step("second"))
            }
            Do::Fail => Plan::emit(assign!(Session {
                user: None,
                logins: |_| panic!("no number"),
            })),
            Do::Who(reply) => Plan::reply(reply, session.user.clone()),
        }
    }
}

fn look(system: &System, actor: &mainspring::Actor<Sessions>) -> Session {
    let asked = actor.snapshot();
    system.run_until_idle();
    asked.wait().expect("it lives").into_inner()
}

#[test]
fn an_assignment_changes_what_it_names_and_keeps_the_rest() {
    let system = System::stepped(Config::default(), Clock::manual().0).unwrap();
    let actor = system
        .spawn(Sessions, Context::new(Session::default()))
        .unwrap();
    actor.tell(Do::LogIn("ada".into())).ok().unwrap();
    actor.tell(Do::LogOut).ok().unwrap();
    actor.tell(Do::LogIn("bob".into())).ok().unwrap();
    let session = look(&system, &actor);
    assert_eq!(session.user.as_deref(), Some("bob"));
    assert_eq!(session.logins, 2);
    let asked = actor.ask(Do::Who);
    system.run_until_idle();
    assert_eq!(asked.wait().unwrap().as_deref(), Some("bob"));
}

#[test]
fn several_assignments_of_one_plan_happen_in_order() {
    let system = System::stepped(Config::default(), Clock::manual().0).unwrap();
    let actor = system
        .spawn(Sessions, Context::new(Session::default()))
        .unwrap();
    actor.tell(Do::Twice).ok().unwrap();
    assert_eq!(look(&system, &actor).trail, ["first", "second"]);
}

#[test]
fn an_updater_that_panics_ends_the_actor() {
    let system = System::new().unwrap();
    let actor = system
        .spawn(Sessions, Context::new(Session::default()))
        .unwrap();
    actor.tell(Do::Fail).ok().unwrap();
    until("the actor has ended", || !actor.is_alive());
}

#[test]
fn updaters_see_the_old_value_whatever_the_order_and_names_do_not_mix() {
    let user = Some("new".to_owned());
    let change: Assign<Session> = assign!(Session {
        user: |_| user.clone(),
        trail: |old| if old.user.is_none() && user.is_some() {
            vec!["old"]
        } else {
            vec![]
        },
    });
    assert_eq!(change.label(), "user, trail");
    let mut session = Session::default();
    change.apply(&mut session);
    assert_eq!(session.user.as_deref(), Some("new"));
    assert_eq!(session.trail, ["old"]);
}

#[test]
fn an_assignment_that_is_never_applied_drops_what_it_holds() {
    let held = std::sync::Arc::new(());
    let inside = held.clone();
    let change = Assign::<Session>::new("hold", move |session| {
        session.logins = std::sync::Arc::strong_count(&inside) as u32;
    });
    assert_eq!(std::sync::Arc::strong_count(&held), 2);
    drop(change);
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}

#[cfg(feature = "macros")]
mod in_a_chart {
    use super::*;

    pub(super) enum Signal {
        LogIn(&'static str),
        LogOut,
    }

    /// The same change, for a plan to emit and for a chart's action to apply.
    fn log_in(user: &'static str) -> Assign<Session> {
        assign!("log in" => Session {
            user: Some(user.to_owned()),
            logins: |old| old.logins + 1,
        })
    }

    mainspring::chart! {
        chart Door(session: Session, event: Signal) {
            initial Out;
            state Out {
                on Signal::LogIn(user) => In { log_in(user).apply(session) }
            }
            state In {
                on Signal::LogOut => Out { assign!(Session { user: None }).apply(session) }
            }
        }
    }

    #[test]
    fn an_assignment_is_the_same_in_a_plan_and_in_a_charts_action() {
        let mut door = Door::new(Session::default()).unwrap();
        door.step(Signal::LogIn("ada")).unwrap();
        let mut plain = Context::new(Session::default());
        plain.apply(log_in("ada"));
        assert_eq!(*door.context(), *plain);
        assert_eq!(plain.logins, 1);
        door.step(Signal::LogOut).unwrap();
        assert_eq!(door.context().user, None);
        assert_eq!(door.context().logins, 1);
    }
}

#[cfg(all(feature = "macros", feature = "xstate"))]
mod in_a_loaded_chart {
    use super::*;
    use mainspring::chart::xstate::{Bindings, Machine as Json};
    use mainspring::chart::{Buffers, Effect, Event, value::Target};

    const CHART: &str = r#"{ "id": "door", "initial": "out", "states": {
        "out": { "on": {
            "KNOCK": { "actions": "knock" },
            "IN": { "actions": "log in" },
            "ANSWER": { "actions": "answer" } },
          "always": { "guard": "twice", "target": "in" } },
        "in": {}
    } }"#;

    #[test]
    fn a_charts_steps_see_its_context_and_only_assignments_change_it() {
        let chart = Bindings::<Session>::new()
            .scoped("knock", |steps, _| {
                if steps.context().logins == 0 {
                    steps.raise(Event::new("ANSWER"));
                }
                steps.effect(Effect::Emit(Event::new("knocked")));
                Ok(())
            })
            .scoped("answer", |steps, _| {
                steps.effect(Effect::Send {
                    event: steps.event().clone(),
                    target: Target::Address("log".into()),
                    delay_ms: None,
                    id: None,
                });
                Ok(())
            })
            .scoped("log in", |steps, _| {
                let logs_in = assign!("log in" => Session { logins: |old| old.logins + 1 });
                steps.assign(|session| logs_in.apply(session));
                Ok(())
            })
            .guard("twice", |session, _, _| session.logins == 2)
            .compile(&Json::parse(CHART).unwrap())
            .unwrap()
            .chart;
        let mut buffers = Buffers::default();
        let init = Event::new("xstate.init");
        let (before, started) = chart.start(Session::default(), &init, &mut buffers);
        started.unwrap();
        let (after, effects) = chart.transition(&before, &Event::new("KNOCK")).unwrap();
        assert_eq!(after, before, "steps change nothing of the chart");
        assert_eq!(effects.len(), 2, "{effects:?}");
        let (once, effects) = chart.transition(&after, &Event::new("IN")).unwrap();
        assert_eq!((once.context.logins, effects.len()), (1, 0));
        assert_eq!(once.leaves(), before.leaves());
        let (twice, _) = chart.transition(&once, &Event::new("IN")).unwrap();
        assert_ne!(
            twice.leaves(),
            before.leaves(),
            "an assignment wakes what has no event"
        );
        let (_, effects) = chart.transition(&once, &Event::new("KNOCK")).unwrap();
        assert_eq!(effects.len(), 1, "a step sees the context");
    }
}
