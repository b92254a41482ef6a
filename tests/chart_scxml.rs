//! SCXML documents as actors: the documents inside of them, what is forwarded and finalized, and what
//! becomes of a child that fails.

#![cfg(feature = "scxml")]

use mainspring::chart::slots::Slots;
use mainspring::chart::{Delay, Event, Resume, Snapshot as Saved, Value, scxml};
use mainspring::prelude::*;
use mainspring::{ChartMachine, Clock, Events, HostedChart, ManualClock};
use std::time::Duration;

type Actor = mainspring::Actor<Events<ChartMachine<Slots>>>;

/// A document as an actor, and a way to look at its variables.
struct Hosted {
    system: System,
    hand: ManualClock,
    actor: Actor,
    names: Vec<std::sync::Arc<str>>,
}

impl Hosted {
    fn start(text: &str) -> Self {
        Self::with(text, |chart| chart.machine(Slots::default()).unwrap())
    }

    /// The document as it was saved.
    fn restore(text: &str, saved: &Saved<Slots>) -> Self {
        Self::with(text, |chart| {
            chart.restore(saved, Resume::Remaining).unwrap()
        })
    }

    fn with(text: &str, machine: impl FnOnce(HostedChart<Slots>) -> ChartMachine<Slots>) -> Self {
        let (clock, hand) = Clock::manual();
        let system = System::stepped(Config::default(), clock).unwrap();
        let document = scxml::compile(text).unwrap();
        let names = document.names.iter().map(|n| (**n).into()).collect();
        let chart = HostedChart::from(document);
        let actor = system.spawn_machine(machine(chart)).unwrap();
        system.run_until_idle();
        Self {
            system,
            hand,
            actor,
            names,
        }
    }

    fn tell(&self, event: &str) {
        self.actor.tell(Event::new(event)).unwrap();
        self.system.run_until_idle();
    }

    fn advance(&self, ms: u64) {
        self.hand.advance(Duration::from_millis(ms));
        self.system.run_until_idle();
    }

    /// What serde writes of it and reads.
    fn save(&self) -> Saved<Slots> {
        let text = toml::to_string(&self.look().save()).unwrap();
        toml::from_str(&text).unwrap()
    }

    fn look(&self) -> ChartMachine<Slots> {
        let asked = self.actor.snapshot();
        self.system.run_until_idle();
        asked.wait().unwrap()
    }

    fn variable(&self, name: &str) -> Value {
        let place = self.names.iter().position(|n| **n == *name).unwrap();
        self.look()
            .context()
            .get(place)
            .cloned()
            .unwrap_or_default()
    }
}

/// A parent that invokes the document inside of it with `n` = 5.
fn parent(invoke: &str, finalize: &str, rest: &str) -> String {
    format!(
        r##"<scxml version="1.0" datamodel="ecmascript" initial="work">
  <datamodel><data id="got" expr="0"/><data id="last" expr="0"/></datamodel>
  <state id="work">
    <invoke type="scxml" id="k" {invoke}>
      <param name="n" expr="5"/>
      <content><scxml version="1.0" datamodel="ecmascript" initial="c">
        <datamodel><data id="n" expr="1"/></datamodel>
        <state id="c">
          <onentry><send target="#_parent" event="hello"><param name="n" expr="n"/></send></onentry>
          <transition event="ping" target="d"/>
        </state>
        <final id="d"><donedata><param name="twice" expr="n * 2"/></donedata></final>
      </scxml></content>
      {finalize}
    </invoke>
    {rest}
    <transition event="done.invoke.k" target="end">
      <assign location="got" expr="_event.data.twice"/>
    </transition>
    <transition event="leave" target="end"/>
  </state>
  <state id="end"/>
</scxml>"##
    )
}

#[test]
fn an_embedded_document_is_a_child_with_its_input_and_an_output() {
    let take = r##"<transition event="hello"><assign location="got" expr="_event.data.n"/></transition>
        <transition event="go"><send target="#_k" event="ping"/></transition>"##;
    let hosted = Hosted::start(&parent("", "", take));
    assert_eq!(
        hosted.variable("got"),
        Value::Num(5.0),
        "the parameter, not its own 1"
    );
    hosted.tell("ping");
    assert!(hosted.look().is("work"), "what only the parent got");
    hosted.tell("go");
    assert!(hosted.look().is("end"));
    assert_eq!(
        hosted.variable("got"),
        Value::Num(10.0),
        "the child's donedata"
    );
}

#[test]
fn an_invocation_that_forwards_sends_on_every_event_while_its_state_is_active() {
    let hosted = Hosted::start(&parent(r#"autoforward="true""#, "", ""));
    hosted.tell("other");
    assert!(hosted.look().is("work"));
    hosted.tell("ping");
    assert!(hosted.look().is("end"), "the child got it, and was done");
    assert_eq!(hosted.variable("got"), Value::Num(10.0));

    let hosted = Hosted::start(&parent(r#"autoforward="true""#, "", ""));
    hosted.tell("leave");
    hosted.tell("ping");
    assert_eq!(hosted.variable("got"), Value::Num(0.0), "the child is gone");
    let letters = hosted.system.dead_letters();
    let causes = letters.iter().map(|letter| letter.cause.to_string());
    assert_eq!(
        causes.collect::<Vec<_>>(),
        [
            "no active state takes hello", // from the child
            "no active state takes ping"
        ],
        "and nothing is sent to it"
    );
}

#[test]
fn what_finalizes_runs_before_the_event_is_taken_and_for_the_childs_events_alone() {
    let finalize = r#"<finalize><assign location="last" expr="_event.data.n"/></finalize>"#;
    let take = r#"<transition event="hello" cond="last == 5"><assign location="got" expr="1"/></transition>
        <transition event="hello"><assign location="got" expr="2"/></transition>"#;
    let hosted = Hosted::start(&parent("", finalize, take));
    assert_eq!(hosted.variable("got"), Value::Num(1.0));
    let mut foreign = Event::new("hello");
    foreign.data.set_field("n", Value::Num(9.0));
    hosted.actor.tell(foreign).unwrap();
    hosted.system.run_until_idle();
    assert_eq!(
        hosted.variable("last"),
        Value::Num(5.0),
        "no event of the child's"
    );
}

#[test]
fn an_embedded_document_that_is_wrong_is_an_error_event_of_its_parent() {
    let hosted = Hosted::start(
        r#"<scxml version="1.0" initial="work"><state id="work">
            <invoke type="scxml" id="k"><content><scxml version="1.0" initial="none"/></content></invoke>
            <transition event="error.communication" target="end"/>
        </state><state id="end"/></scxml>"#,
    );
    assert!(hosted.look().is("end"));
}

#[test]
fn a_failing_condition_is_an_event_and_the_actor_lives() {
    let hosted = Hosted::start(
        r##"<scxml version="1.0" datamodel="ecmascript" initial="a">
  <datamodel><data id="n" expr="0"/><data id="got" expr="0"/></datamodel>
  <state id="a"><transition event="bad" target="b"><assign location="n" expr="n + 1"/></transition></state>
  <state id="b">
    <transition cond="nothing.there" target="c"/>
    <transition event="error.execution" target="d"><assign location="got" expr="n"/></transition>
  </state>
  <state id="c"/>
  <state id="d"><transition event="good" target="a"/></state>
</scxml>"##,
    );
    hosted.tell("bad");
    assert!(
        hosted.look().is("d"),
        "a condition that fails does not hold"
    );
    assert_eq!(
        hosted.variable("got"),
        Value::Num(1.0),
        "what ran before it stays"
    );
    hosted.tell("good");
    assert!(hosted.look().is("a"));
}

/// Sends itself `first` in 20 ms and `second` in 30 ms, under an id of its own making; keeps what it
/// hears of them.
const WAITING: &str = r##"<scxml version="1.0" name="waiting" datamodel="ecmascript" initial="a">
  <datamodel>
    <data id="id" expr="''"/><data id="later" expr="''"/><data id="n" expr="0"/>
    <data id="sendid" expr="''"/><data id="origin" expr="''"/><data id="kind" expr="''"/>
    <data id="origintype" expr="''"/>
  </datamodel>
  <state id="a">
    <onentry>
      <send event="first" id="one" delay="20ms"/>
      <send event="second" idlocation="id" delay="30ms"/>
    </onentry>
    <transition event="first second">
      <assign location="n" expr="n + 1"/>
      <assign location="sendid" expr="_event.sendid"/>
      <assign location="origin" expr="_event.origin"/>
      <assign location="origintype" expr="_event.origintype"/>
      <assign location="kind" expr="_event.type"/>
    </transition>
    <transition event="stop"><cancel sendidexpr="id"/></transition>
    <transition event="again"><send event="third" idlocation="later" delay="5s"/></transition>
  </state>
</scxml>"##;

#[test]
fn a_delayed_event_keeps_its_sendid_and_its_origin_when_it_is_saved() {
    let first = Hosted::start(WAITING);
    first.advance(10);
    let saved = first.save();
    let restored = Hosted::restore(WAITING, &saved);
    let heard = |hosted: &Hosted| {
        let names = ["n", "sendid", "origin", "origintype", "kind"];
        names.map(|name| hosted.variable(name))
    };
    for ms in [12, 10] {
        first.advance(ms);
        restored.advance(ms);
        assert_eq!(
            heard(&restored),
            heard(&first),
            "as if it had not been saved"
        );
    }
    let [n, sendid, origin, origintype, kind] = heard(&restored);
    assert_eq!(n, Value::Num(2.0));
    assert_eq!(sendid, restored.variable("id"));
    assert_eq!(origin, Value::str("#_scxml_s0"));
    assert_eq!(origintype, Value::str(scxml::PROCESSOR));
    assert_eq!(kind, Value::str("external"));
}

#[test]
fn a_restored_delay_is_cancelled_by_its_sendid_and_its_id_is_not_made_again() {
    let first = Hosted::start(WAITING);
    first.tell("again");
    let saved = first.save();
    let ids: Vec<_> = saved.delays.iter().map(|delay| delay.id.clone()).collect();
    let restored = Hosted::restore(WAITING, &saved);
    restored.tell("again");
    restored.tell("stop");
    restored.advance(60);
    assert_eq!(
        restored.variable("n"),
        Value::Num(1.0),
        "the second never came"
    );
    let left = restored.save().delays;
    let left: Vec<_> = left.into_iter().map(|Delay { id, .. }| id).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0], ids[2], "the one sent before it was saved");
    assert!(!ids.contains(&left[1]), "{left:?} of {ids:?}");
}

#[test]
fn what_is_no_snapshot_is_refused_with_what_was_expected() {
    let saved = toml::to_string(&Hosted::start(WAITING).save()).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(saved.contains(from), "{saved}");
        let read: Result<Saved<Slots>, _> = toml::from_str(&saved.replacen(from, to, 1));
        read.unwrap_err().to_string()
    };
    let told = refused("\"external\"", "\"elsewhere\"");
    assert!(
        told.contains("expected one of `platform`, `internal`, `external`"),
        "{told}"
    );
    let told = refused("sendid =", "sentid =");
    assert!(
        told.contains("expected one of") && told.contains("`sendid`"),
        "{told}"
    );
    let told = refused("next_id = 1", "next_id = -1");
    assert!(told.contains("next_id is -1; expected"), "{told}");
    let told = refused("next_id = 1", "nextid = 1");
    assert!(
        told.contains("unknown variable \"nextid\"; expected"),
        "{told}"
    );
    let told = refused("next_id = 1", "99999999999 = 1");
    assert!(told.contains("expected a number below"), "{told}");
}
