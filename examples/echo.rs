//! A TCP server of actors that sends back what it gets, and its clients, on this machine: one actor
//! accepts, one for each connection reads and writes, and none of them ever waits in the kernel.
//!
//! ```text
//! cargo run --release --features io --example echo -- 8 20000          eight clients, 20,000 lines each
//! cargo run --release --features io --example echo -- 8 20000 plain    a plain loop over mio instead
//! ```

use mainspring::prelude::*;
use mainspring::{Events, Io, IoRegistration, Output};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token};
use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// What both actors are told. Their machines know what to do with a socket, so that no behavior has
/// anything to decide: each message is an event.
enum Told {
    /// At the start: whom to tell.
    Begin(ActorRef<Told>),
    Ready,
}

/// Accepts, and makes an actor of each connection.
struct Door {
    io: Io,
    listener: TcpListener,
    registration: Option<IoRegistration>,
    new: Vec<TcpStream>,
}

impl Machine for Door {
    type Event = Told;

    fn apply(&mut self, told: Told) {
        if let Told::Begin(me) = told {
            let made = self
                .io
                .register(&mut self.listener, Interest::READABLE, me, |_| Told::Ready);
            self.registration = Some(made.expect("a listener can be registered"));
            return;
        }
        while let Ok((stream, _)) = self.listener.accept() {
            self.new.push(stream);
        }
        if let Some(registration) = &self.registration {
            let armed = registration.rearm(&mut self.listener, Interest::READABLE);
            armed.expect("it is registered");
        }
    }

    fn output(&mut self, output: &mut Output<Self>) {
        for stream in self.new.drain(..) {
            let line = Line {
                io: self.io.clone(),
                echo: Echo::new(stream),
                registration: None,
                is_over: false,
            };
            let line = output.spawn(Events::new(), line);
            output.tell(line, Told::Begin(line));
        }
    }
}

/// One connection.
struct Line {
    io: Io,
    echo: Echo,
    registration: Option<IoRegistration>,
    is_over: bool,
}

impl Machine for Line {
    type Event = Told;

    fn apply(&mut self, told: Told) {
        let stream = &mut self.echo.stream;
        match (told, &self.registration) {
            (Told::Begin(me), _) => {
                let made = self
                    .io
                    .register(stream, Interest::READABLE, me, |_| Told::Ready);
                self.is_over = made.is_err();
                self.registration = made.ok();
            }
            (Told::Ready, Some(registration)) => match self.echo.run() {
                Some(interest) => {
                    let armed = registration.rearm(&mut self.echo.stream, interest);
                    self.is_over = armed.is_err();
                }
                None => self.is_over = true,
            },
            (Told::Ready, None) => {}
        }
    }

    fn output(&mut self, output: &mut Output<Self>) {
        if self.is_over {
            output.stop();
        }
    }
}

/// A stream, and what was read of it and not written yet.
struct Echo {
    stream: TcpStream,
    bytes: [u8; 4_096],
    held: std::ops::Range<usize>,
}

impl Echo {
    fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true); // slower without, and right all the same
        Self {
            stream,
            bytes: [0; 4_096],
            held: 0..0,
        }
    }

    /// Reads and writes what can be; what to wait for, or nothing at the end. It reads no more while
    /// the other side does not take what it is sent.
    fn run(&mut self) -> Option<Interest> {
        loop {
            while !self.held.is_empty() {
                match self.stream.write(&self.bytes[self.held.clone()]) {
                    Ok(count) => self.held.start += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return Some(Interest::WRITABLE);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return None,
                }
            }
            match self.stream.read(&mut self.bytes) {
                Ok(0) => return None,
                Ok(count) => self.held = 0..count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Some(Interest::READABLE);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

/// The same without actors: one thread, one loop. It never comes back.
fn plain(mut listener: TcpListener) -> std::io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, mio::Events::with_capacity(1_024));
    poll.registry()
        .register(&mut listener, Token(0), Interest::READABLE)?;
    let (mut lines, mut next) = (HashMap::new(), 1);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(token) = event.token();
            if token == 0 {
                while let Ok((mut stream, _)) = listener.accept() {
                    poll.registry()
                        .register(&mut stream, Token(next), Interest::READABLE)?;
                    lines.insert(next, Echo::new(stream));
                    next += 1;
                }
            } else if let Some(echo) = lines.get_mut(&token) {
                match echo.run() {
                    Some(interest) => {
                        let registry = poll.registry();
                        registry.reregister(&mut echo.stream, Token(token), interest)?;
                    }
                    None => drop(lines.remove(&token)),
                }
            }
        }
    }
}

/// Sends lines one after the other, each once the one before came back.
fn client(server: SocketAddr, number: usize, lines: usize) -> std::io::Result<usize> {
    let mut stream = std::net::TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let mut equal = 0;
    for line in 0..lines {
        let sent = format!("client {number}, line {line}\n");
        stream.write_all(sent.as_bytes())?;
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back)?;
        equal += usize::from(back == sent.as_bytes());
    }
    Ok(equal)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual| match arguments.get(at) {
        Some(text) => text.parse::<usize>(),
        None => Ok(usual),
    };
    let (clients, lines) = (number(0, 4)?, number(1, 250)?);
    let is_plain = arguments.get(2).is_some_and(|word| word == "plain");

    let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let server = listener.local_addr()?;
    let system = System::new()?;
    if is_plain {
        thread::spawn(move || plain(listener));
    } else {
        let door = Door {
            io: system.io(),
            listener,
            registration: None,
            new: Vec::new(),
        };
        let door = system.spawn_machine(door)?;
        door.tell(Told::Begin(door.actor()))?;
    }

    let began = Instant::now();
    let threads: Vec<_> = (0..clients)
        .map(|number| thread::spawn(move || client(server, number, lines)))
        .collect();
    let mut equal = 0;
    for thread in threads {
        equal += thread.join().map_err(|_| "a client panicked")??;
    }
    let took = began.elapsed();
    println!(
        "{equal} of {} lines came back as they were sent",
        clients * lines
    );
    let rate = (clients * lines) as f64 / took.as_secs_f64();
    println!("{rate:.0} round trips a second");
    let end = system.shutdown(Duration::from_secs(10));
    println!("the end: {end}");
    match equal == clients * lines && end.is_clean() {
        true => Ok(()),
        false => Err("not all came back".into()),
    }
}
