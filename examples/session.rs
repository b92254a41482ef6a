//! A session: anonymous until somebody logs in, and again after the logout.
//!
//! `cargo run --example session`

use mainspring::prelude::*;
use mainspring::{Context, assign, plan};

#[derive(Clone, Default)]
struct Session {
    user: Option<String>,
    logins: u32,
}

enum Do {
    LogIn(String, Reply<String>),
    LogOut(Reply<&'static str>),
}

#[derive(Clone, Copy)]
struct Sessions;
impl Behavior for Sessions {
    type Machine = Context<Session>; // a plain value, changed by assignments
    type Message = Do;
    fn on_message(&self, message: Do, session: Snapshot<Self>) -> Plan<Self> {
        match (message, &session.user) {
            (Do::LogIn(_, reply), Some(user)) => Plan::reply(reply, format!("{user} is here")),
            (Do::LogIn(user, reply), None) => plan![
                Plan::reply(reply, format!("welcome, {user}")),
                Plan::emit(assign!("log in" => Session {
                    user: Some(user),
                    logins: |old| old.logins + 1,
                })),
            ],
            (Do::LogOut(reply), _) => plan![
                Plan::emit(assign!(Session { user: None })),
                Plan::reply(reply, "bye"),
            ],
        }
    }
}

fn main() -> mainspring::Result {
    let system = System::new()?;
    let session = system.spawn(Sessions, Context::new(Session::default()))?;
    let log_in = |user: &str| {
        session
            .ask(|reply| Do::LogIn(user.to_owned(), reply))
            .wait()
    };
    println!("{}", log_in("Ada")?);
    println!("{}", log_in("Bob")?);
    println!("{}", session.ask(Do::LogOut).wait()?);
    println!("{}", log_in("Bob")?);
    let Session { user, logins } = session.snapshot().wait()?.into_inner();
    println!("{user:?} after {logins} logins");
    Ok(())
}
