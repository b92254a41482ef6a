use mainspring::prelude::*;
use mainspring::Config;
use std::time::Instant;
struct Player { left: u64, peer: Option<ActorRef<Msg>>, done: Option<Reply<u64>> }
enum Ev { Hit, Serve(ActorRef<Msg>, u64, Reply<u64>), }
enum Msg { Ball(ActorRef<Msg>), Start(ActorRef<Msg>, u64, Reply<u64>) }
impl Machine for Player { type Event = Ev; fn apply(&mut self, e: Ev) { match e { Ev::Hit => self.left -= 1, Ev::Serve(p, n, r) => { self.left = n; self.peer = Some(p); self.done = Some(r);} } } }
#[derive(Clone, Copy)] struct Play;
impl Behavior for Play { type Machine = Player; type Message = Msg;
  fn on_message(&self, m: Msg, s: Snapshot<Self>) -> Plan<Self> { match m {
    Msg::Start(peer, n, r) => Plan::emit(Ev::Serve(peer, n, r)).and(Plan::tell(peer, Msg::Ball(s.me()))),
    Msg::Ball(from) => if s.done.is_some() { if s.left == 0 { Plan::stop() } else { Plan::emit(Ev::Hit).and(Plan::tell(from, Msg::Ball(s.me()))) } } else { Plan::tell(from, Msg::Ball(s.me())) }
  } } 
  fn on_stop(&self, _e: &Exit, _s: Snapshot<Self>) -> Plan<Self> { Plan::none() }
}
fn main() -> mainspring::Result {
    let workers: usize = std::env::args().nth(1).map_or(1, |a| a.parse().unwrap());
    let n = 2_000_000u64;
    let system = System::with_config(Config::builder().workers(workers).build()?)?;
    for _ in 0..7 {
        let a = system.spawn(Play, Player { left: 0, peer: None, done: None })?;
        let b = system.spawn(Play, Player { left: 0, peer: None, done: None })?;
        let t = Instant::now();
        let peer = b.actor();
        let r = a.ask(|r| Msg::Start(peer, n, r)).wait();
        let e = t.elapsed();
        println!("{r:?} {:.2} ns/msg", e.as_nanos() as f64 / (2 * n) as f64);
    }
    Ok(())
}
