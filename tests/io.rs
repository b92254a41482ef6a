//! Readiness: told once for each time that it was asked for, to who lives, as long as it lives.

#![cfg(all(unix, feature = "io"))]

mod common;

use common::{ms, stepped, threads, until};
use mainspring::prelude::*;
use mainspring::{Io, IoRegistration, Readiness, Shutdown};
use mio::Interest;
use mio::net::UnixStream;
use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A reader that says what it is told and what it has read.
struct Reader {
    io: Io,
    socket: UnixStream,
    /// Holds the registration, unless the test does.
    registration: Option<IoRegistration>,
    says: Sender<Said>,
    /// Bytes that it reads at a time, and whether it arms by itself.
    reads: usize,
    arms: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Ready(Readiness),
    Read(Vec<u8>),
    End,
}

enum Told {
    Ready(Readiness),
    Arm,
}

enum Step {
    Begin(ActorRef<Told>),
    Told(Told),
}

const READS: Interest = Interest::READABLE;

impl Reader {
    fn arm(&mut self) {
        let registration = self.registration.as_ref().unwrap();
        registration.rearm(&mut self.socket, READS).unwrap();
    }

    fn read(&mut self) {
        let mut bytes = vec![0; self.reads];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.says.send(Said::End).unwrap(),
            Ok(count) => {
                bytes.truncate(count);
                self.says.send(Said::Read(bytes)).unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

impl Machine for Reader {
    type Event = Step;

    fn apply(&mut self, step: Step) {
        match step {
            Step::Begin(me) => {
                let made = self.io.register(&mut self.socket, READS, me, Told::Ready);
                self.registration = Some(made.unwrap());
            }
            Step::Told(Told::Ready(ready)) => {
                self.says.send(Said::Ready(ready)).unwrap();
                if self.arms {
                    self.read();
                    self.arm();
                }
            }
            Step::Told(Told::Arm) => {
                self.read();
                self.arm();
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Reading;

impl Behavior for Reading {
    type Machine = Reader;
    type Message = Told;

    fn on_start(&self, reader: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(Step::Begin(reader.me()))
    }

    fn on_message(&self, told: Told, _: Snapshot<Self>) -> Plan<Self> {
        Plan::emit(Step::Told(told))
    }
}

/// A reader, its other end, and what it says.
fn reader(
    system: &System,
    reads: usize,
    arms: bool,
) -> (Actor<Reading>, UnixStream, Receiver<Said>) {
    let ((socket, peer), (says, said)) = (UnixStream::pair().unwrap(), channel());
    let machine = Reader {
        io: system.io(),
        socket,
        registration: None,
        says,
        reads,
        arms,
    };
    (system.spawn(Reading, machine).unwrap(), peer, said)
}

fn is_ready(said: &Receiver<Said>) -> Readiness {
    match said.recv().unwrap() {
        Said::Ready(ready) => ready,
        said => panic!("{said:?} instead of a readiness"),
    }
}

#[test]
fn what_is_written_is_told_and_read_and_so_is_the_end() {
    for workers in [1, 2] {
        let system = threads(workers);
        let (_reader, mut peer, said) = reader(&system, 64, true);
        for round in 0..100_u8 {
            peer.write_all(&[round; 3]).unwrap();
            assert!(is_ready(&said).is_readable);
            assert_eq!(said.recv(), Ok(Said::Read(vec![round; 3])));
        }
        drop(peer);
        assert!(is_ready(&said).is_read_closed);
        assert_eq!(said.recv(), Ok(Said::End));
    }
}

#[test]
fn of_a_slow_reader_one_message_is_under_way_and_what_it_left_is_told_again() {
    let system = threads(2);
    let (slow, mut peer, said) = reader(&system, 10, false);
    let (_fence, mut fence_peer, fenced) = reader(&system, 64, true);
    peer.write_all(&[0]).unwrap();
    is_ready(&said);
    for round in 1..50 {
        peer.write_all(&[round]).unwrap();
        // The driver looks at the two in the order in which they became ready: what it said of
        // the slow one came before this.
        fence_peer.write_all(b"x").unwrap();
        is_ready(&fenced);
        assert_eq!(fenced.recv(), Ok(Said::Read(b"x".to_vec())));
    }
    assert!(said.try_recv().is_err(), "it was told once, and no more");
    assert_eq!(system.counts(slow.actor()).unwrap().queued, 0);
    // Ten bytes at a time, each time that it asks: the rest is ready at once.
    for tenth in 0..5_u8 {
        slow.tell(Told::Arm).unwrap();
        let bytes = (10 * tenth..10 * tenth + 10).collect();
        assert_eq!(said.recv(), Ok(Said::Read(bytes)));
        if tenth < 4 {
            assert!(is_ready(&said).is_readable);
        }
    }
    // It is armed, and nothing is left.
    fence_peer.write_all(b"x").unwrap();
    is_ready(&fenced);
    assert!(said.try_recv().is_err());
    peer.write_all(b"y").unwrap();
    assert!(is_ready(&said).is_readable);
}

#[test]
fn a_full_mailbox_loses_no_readiness() {
    let system = threads(2);
    let log = common::Log::new();
    let held = system.prepare(common::Script, common::Tape::new(&log));
    let held = held.capacity(1).hold().unwrap();
    held.tell(common::Msg::Say(1)).unwrap();
    assert!(held.tell(common::Msg::Say(1)).is_err(), "it is full");
    let (mut socket, mut peer) = UnixStream::pair().unwrap();
    let told = |_: Readiness| common::Msg::Say(2);
    let io = system.io();
    let made = io.register(&mut socket, READS, held.actor(), told);
    let _made = made.unwrap();
    let (_fence, mut fence_peer, fenced) = reader(&system, 64, true);
    peer.write_all(b"x").unwrap();
    fence_peer.write_all(b"x").unwrap();
    is_ready(&fenced);
    assert_eq!(log.len(), 0);
    let _started = held.start();
    until("both are told", || log.len() == 2);
    assert_eq!(log.said(), [1, 2]);
    assert_eq!(system.dead_letter_count(), 0);
}

#[test]
fn the_end_of_an_actor_ends_its_registration_and_closes_its_socket() {
    let system = threads(2);
    let (one, mut peer, said) = reader(&system, 64, true);
    peer.write_all(b"x").unwrap();
    is_ready(&said);
    assert_eq!(system.io().registrations(), 1);
    let end = one.monitor();
    one.kill();
    assert_eq!(end.wait().exit, Exit::Killed);
    until("the machine is dropped", || {
        system.io().registrations() == 0
    });
    // Its end of the socket is closed: the peer reads to the end.
    let mut peer = std::os::unix::net::UnixStream::from(peer);
    peer.set_nonblocking(false).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_registration_that_outlives_its_actor_ends_when_it_would_be_told() {
    let system = threads(1);
    let io = system.io();
    let dead = common::spawn(&system, &common::Log::new());
    let (mut socket, mut peer) = UnixStream::pair().unwrap();
    let never = |_: Readiness| panic!("the actor is dead");
    let made = io
        .register(&mut socket, READS, dead.actor(), never)
        .unwrap();
    dead.kill();
    dead.monitor().wait();
    assert_eq!(io.registrations(), 1);
    peer.write_all(b"x").unwrap();
    until("the driver found nobody", || io.registrations() == 0);
    made.deregister(&mut socket).unwrap();
    // The socket may be another's.
    let (says, said) = channel();
    let machine = Reader {
        io: io.clone(),
        socket,
        registration: None,
        says,
        reads: 64,
        arms: true,
    };
    let _next = system.spawn(Reading, machine).unwrap();
    assert!(is_ready(&said).is_readable);
    assert_eq!(said.recv(), Ok(Said::Read(b"x".to_vec())));
}

#[test]
fn a_source_is_registered_once_and_for_an_actor_of_this_system() {
    let (system, other) = (threads(1), threads(1));
    let actor = common::spawn(&system, &common::Log::new()).actor();
    let (mut socket, _peer) = UnixStream::pair().unwrap();
    let message = |_: Readiness| common::Msg::Say(1);
    let wrong = other.io().register(&mut socket, READS, actor, message);
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidInput);
    let io = system.io();
    let _made = io.register(&mut socket, READS, actor, message).unwrap();
    let twice = io.register(&mut socket, READS, actor, message);
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(io.registrations(), 1);
    assert_eq!(system.shutdown(ms(10_000)), Shutdown::default());
    let (mut late, _peer) = UnixStream::pair().unwrap();
    let late = io.register(&mut late, READS, actor, message);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(io.registrations(), 0);
}

#[test]
fn a_stepped_system_is_told_when_it_runs() {
    let (system, _hand) = stepped();
    let (_reader, mut peer, said) = reader(&system, 64, true);
    system.run_until_idle();
    peer.write_all(b"x").unwrap();
    until("the readiness is there", || {
        system.run_until_idle();
        said.try_recv()
            .is_ok_and(|said| matches!(said, Said::Ready(_)))
    });
    assert_eq!(said.recv(), Ok(Said::Read(b"x".to_vec())));
    assert_eq!(
        system.shutdown(Duration::from_secs(10)),
        Shutdown::default()
    );
}
