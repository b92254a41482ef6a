//! SCXML documents as actors: the documents inside of them, what is forwarded and finalized, and what
//! becomes of a child that fails.

#![cfg(feature = "scxml")]

use mainspring::chart::slots::Slots;
use mainspring::chart::{Event, Value, scxml};
use mainspring::prelude::*;
use mainspring::{ChartMachine, Clock, Events, HostedChart};

type Actor = mainspring::Actor<Events<ChartMachine<Slots>>>;

/// A document as an actor, and a way to look at its variables.
struct Hosted {
    system: System,
    actor: Actor,
    names: Vec<std::sync::Arc<str>>,
}

impl Hosted {
    fn start(text: &str) -> Self {
        let (clock, _) = Clock::manual();
        let system = System::stepped(Config::default(), clock).unwrap();
        let document = scxml::compile(text).unwrap();
        let names = document.names.iter().map(|n| (**n).into()).collect();
        let chart = HostedChart::from(document);
        let actor = system
            .spawn_machine(chart.machine(Slots::default()).unwrap())
            .unwrap();
        system.run_until_idle();
        Self {
            system,
            actor,
            names,
        }
    }

    fn tell(&self, event: &str) {
        self.actor.tell(Event::new(event)).unwrap();
        self.system.run_until_idle();
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
