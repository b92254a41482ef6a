//! A chart from a file as an actor's machine: a light that goes out by itself. Its events are the
//! actor's messages; its delay is a timer of the actor, ended when the state is left.
//!
//! `cargo run --example light --features xstate`

use mainspring::chart::Event;
use mainspring::chart::xstate::{self, Bindings};
use mainspring::prelude::*;
use mainspring::{Clock, HostedChart};
use std::time::Duration;

const LIGHT: &str = r#"{
    "id": "light", "initial": "off",
    "states": {
        "off": { "on": { "SWITCH": { "target": "on", "actions": "count" } } },
        "on": {
            "after": { "60000": "off" },
            "on": { "SWITCH": "off" }
        }
    }
}"#;

fn main() -> mainspring::Result {
    let machine = xstate::Machine::parse(LIGHT).map_err(|problem| problem.to_string())?;
    let compiled = Bindings::<u32>::new()
        .action("count", |times, _, _| *times += 1)
        .compile(&machine)?;
    let light = HostedChart::from(compiled);

    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock)?;
    let hall = system.spawn_machine(light.machine(0)?)?;
    let show = |when: &str| -> mainspring::Result {
        system.run_until_idle();
        let asked = hall.snapshot();
        system.run_until_idle();
        let hall = asked.wait()?;
        let on = if hall.is("on") { "on" } else { "off" };
        println!("{when}: {on}, switched on {} times", hall.context());
        Ok(())
    };
    show("at first")?;
    hall.tell(Event::new("SWITCH"))?;
    show("switched")?;
    hand.advance(Duration::from_secs(30));
    show("30 s later")?;
    hand.advance(Duration::from_secs(31));
    show("a minute later")?;
    hall.tell(Event::new("SWITCH"))?;
    hall.tell(Event::new("SWITCH"))?;
    show("switched twice")
}
