//! A form: it says that it is being submitted before anything else happens, has a validator that
//! does not always acknowledge, and is saved, or not, in five seconds.
//!
//! `cargo run --example form`

use mainspring::prelude::*;
use mainspring::supervise::Backoff;
use mainspring::{Clock, plan};
use std::time::Duration;

enum Happened {
    Submitting { form: u32 },
    Saved { form: u32, id: u64, at: Duration },
    SaveFailed,
}

/// What the screen shows.
struct Form {
    line: String,
}
impl Machine for Form {
    type Event = Happened;
    fn apply(&mut self, event: Happened) {
        self.line = match event {
            Happened::Submitting { form } => format!("submitting form {form} …"),
            Happened::Saved { form, id, at } => format!("form {form} saved as {id} at {at:?}"),
            Happened::SaveFailed => "not saved".to_owned(),
        };
        println!("{}", self.line);
    }
}

#[derive(Clone, Copy)]
struct Submitting {
    validator: ActorRef<Validate>,
    store: ActorRef<Save>,
}
enum Submit {
    Form(u32),
    Saved { form: u32, id: u64 },
    SaveFailed,
}
impl Behavior for Submitting {
    type Machine = Form;
    type Message = Submit;
    fn on_message(&self, message: Submit, screen: Snapshot<Self>) -> Plan<Self> {
        match message {
            Submit::Form(form) => plan![
                Plan::emit(Happened::Submitting { form }),
                Plan::deliver_acknowledged(self.validator, move |reply| Validate { form, reply })
                    .retry(
                        3,
                        Backoff {
                            jitter: false,
                            ..Backoff::default()
                        }
                    ),
                Plan::ask(self.store, |reply| Save { form, reply })
                    .timeout(Duration::from_secs(5))
                    .on_ok(move |id| Submit::Saved { form, id })
                    .on_error(|_| Submit::SaveFailed),
            ],
            Submit::Saved { form, id } => {
                let at = screen.now();
                Plan::emit(Happened::Saved { form, id, at })
            }
            Submit::SaveFailed => Plan::emit(Happened::SaveFailed),
        }
    }
}

struct Validate {
    form: u32,
    reply: Reply<()>,
}
struct Attempts(u32);
impl Machine for Attempts {
    type Event = u32;
    fn apply(&mut self, form: u32) {
        self.0 += 1;
        println!("attempt {} to validate form {form}", self.0);
    }
}
/// Forgets its first message.
#[derive(Clone, Copy)]
struct Validating;
impl Behavior for Validating {
    type Machine = Attempts;
    type Message = Validate;
    fn on_message(&self, Validate { form, reply }: Validate, seen: Snapshot<Self>) -> Plan<Self> {
        match seen.0 {
            0 => Plan::emit(form), // the reply is dropped
            _ => plan![Plan::emit(form), Plan::reply(reply, ())],
        }
    }
}

struct Save {
    form: u32,
    reply: Reply<u64>,
}
/// Saves odd forms, and keeps the others' askers waiting.
#[derive(Clone, Copy)]
struct Saving;
struct Kept(Vec<Reply<u64>>);
impl Machine for Kept {
    type Event = Reply<u64>;
    fn apply(&mut self, reply: Reply<u64>) {
        self.0.push(reply);
    }
}
impl Behavior for Saving {
    type Machine = Kept;
    type Message = Save;
    fn on_message(&self, Save { form, reply }: Save, _: Snapshot<Self>) -> Plan<Self> {
        match form % 2 {
            1 => Plan::reply(reply, u64::from(form) + 1_000),
            _ => Plan::emit(reply),
        }
    }
}

fn main() -> mainspring::Result {
    let (clock, hand) = Clock::manual();
    let system = System::stepped(Config::default(), clock)?;
    let validator = system.spawn(Validating, Attempts(0))?.actor();
    let store = system.spawn(Saving, Kept(Vec::new()))?.actor();
    let line = String::new();
    let form = system.spawn(Submitting { validator, store }, Form { line })?;
    for number in [1, 2] {
        form.tell(Submit::Form(number))?;
        for _ in 0..=6 {
            system.run_until_idle();
            hand.advance(Duration::from_secs(1));
        }
    }
    Ok(())
}
