//! Scratch: ping-pong.
use mainspring::prelude::*;
use std::time::Instant;
struct Player {
    left: u64,
    peer: Option<ActorRef<Msg>>,
}
enum Ev {
    Hit,
    Serve(ActorRef<Msg>, u64),
}
enum Msg {
    Ball,
    Start(ActorRef<Msg>, u64),
    Left(Reply<u64>),
}
impl Machine for Player {
    type Event = Ev;
    fn apply(&mut self, e: Ev) {
        match e {
            Ev::Hit => self.left -= 1,
            Ev::Serve(p, n) => {
                self.left = n;
                self.peer = Some(p);
            }
        }
    }
}
#[derive(Clone, Copy)]
struct Play;
impl Behavior for Play {
    type Machine = Player;
    type Message = Msg;
    fn on_message(&self, m: Msg, s: Snapshot<Self>) -> Plan<Self> {
        match m {
            Msg::Start(peer, n) => Plan::emit(Ev::Serve(peer, n)),
            Msg::Ball => {
                if s.left == 0 {
                    Plan::none()
                } else {
                    Plan::emit(Ev::Hit).and(Plan::tell(s.peer.unwrap(), Msg::Ball))
                }
            }
            Msg::Left(r) => Plan::reply(r, s.left),
        }
    }
}
fn main() -> mainspring::Result {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let (workers, n, rounds) = (args[0] as usize, args[1], args[2]);
    let system = System::with_config(Config::builder().workers(workers).build()?)?;
    for _ in 0..rounds {
        let a = system.spawn(
            Play,
            Player {
                left: 0,
                peer: None,
            },
        )?;
        let b = system.spawn(
            Play,
            Player {
                left: 0,
                peer: None,
            },
        )?;
        a.tell(Msg::Start(b.actor(), n))?;
        b.tell(Msg::Start(a.actor(), n))?;
        let t = Instant::now();
        a.tell(Msg::Ball)?;
        while a.ask(Msg::Left).wait()? + b.ask(Msg::Left).wait()? > 0 {
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        let e = t.elapsed();
        println!("{:.2} ns/msg", e.as_nanos() as f64 / (2 * n) as f64);
    }
    Ok(())
}
