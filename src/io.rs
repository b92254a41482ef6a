//! Readiness as messages: one thread a system that waits for sockets and the like, and tells the
//! actors that have them.
//!
//! ```text
//!   actor's machine              driver's thread                      kernel
//!     register ─── ARMED ──────────────────────────────────────▶ knows the source
//!                    │      ◀──────────── ready ─────────────────────┘
//!     Ready(..) ◀────┤ one message, PENDING: whatever else is ready
//!     reads, writes  │      ◀──────────── ready: not told again
//!     rearm ──────▶ ARMED ─────────────────────────────────────▶ looks anew: ready still or again
//! ```
//!
//! - O1: of a registration one message at most is under way, so it needs no place in a mailbox, and
//!   is not lost to a full one.
//! - O2: what becomes ready while PENDING is told after the `rearm`, which has the kernel look anew.
//! - O3: an idle system has no such thread, and one that waits costs nothing while nothing is ready.
//!
//! State and sources under one lock, which the driver holds while it looks up who is ready, and an
//! actor for some instructions; nobody calls the kernel or a user's code under it.

use crate::actor::{ActorRef, Address};
use crate::envelope::{
    Kind, Parcel, is_counted_in, leave_outside_pool, push_uncounted, with_outside_pool,
};
use crate::sync::inbox::Wake;
use crate::sync::{Mutex, lock, thread};
use crate::system::{Shared, System};
use hashbrown::HashMap;
use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

/// Sources looked up in one go.
const EVENTS_MAX: usize = 1_024;
/// The driver's own token; no source gets so far.
const WAKE: Token = Token(usize::MAX);

/// What a source is ready for.
///
/// As [`mio::event::Event`] has it: a hint. What it says may be over by the time that the actor
/// reads or writes, which then says [`WouldBlock`](ErrorKind::WouldBlock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// There is something to read or accept, or the end of it.
    pub is_readable: bool,
    /// There is room to write, or a connection was made or failed.
    pub is_writable: bool,
    /// The other side, or both, will write no more.
    pub is_read_closed: bool,
    /// Nobody will read what is written.
    pub is_write_closed: bool,
    /// The source has an error to be taken.
    pub has_error: bool,
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        Self {
            is_readable: event.is_readable(),
            is_writable: event.is_writable(),
            is_read_closed: event.is_read_closed(),
            is_write_closed: event.is_write_closed(),
            has_error: event.is_error(),
        }
    }
}

/// Makes a readiness the message of a certain actor.
type Make = Arc<dyn Fn(Readiness) -> Parcel + Send + Sync>;

/// One source.
struct Entry {
    actor: Address,
    make: Make,
    is_armed: bool,
}

/// What the driver's thread shares with those who register.
struct Driver {
    registry: Registry,
    waker: Waker,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<usize, Entry>,
    next: usize,
    stops: bool,
}

/// The place of a system's driver.
#[derive(Default)]
pub(crate) struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Unused,
    Runs(Arc<Driver>),
    Ended,
}

/// Registers sources of readiness for actors of one system; from [`System::io`].
///
/// A behavior decides and changes nothing, so the socket belongs to the machine: a readiness message
/// becomes an event, and the machine reads and writes, without blocking, as it is applied, once the
/// turn is sure to be committed. It then arms the registration again.
///
/// Dropping the machine closes the socket and ends its registration.
///
/// # Examples
///
/// `examples/echo.rs` is a server with its client. A reader:
///
/// ```
/// # #[cfg(unix)]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mainspring::prelude::*;
/// use mainspring::{Io, IoRegistration, Output, Readiness};
/// use mio::Interest;
/// use mio::net::UnixStream;
/// use std::io::{Read, Write};
///
/// struct Reader { io: Io, socket: UnixStream, registration: Option<IoRegistration>, seen: Vec<u8> }
/// enum Step { Begin(ActorRef<Readiness>), Ready }
/// impl Machine for Reader {
///     type Event = Step;
///     fn apply(&mut self, step: Step) {
///         let interest = Interest::READABLE;
///         if let Step::Begin(me) = step {
///             let made = self.io.register(&mut self.socket, interest, me, |ready| ready);
///             self.registration = made.ok();
///             return;
///         }
///         let mut bytes = [0; 64];
///         while let Ok(count @ 1..) = self.socket.read(&mut bytes) {
///             self.seen.extend(&bytes[..count]);
///         }
///         if let Some(registration) = &self.registration {
///             registration.rearm(&mut self.socket, interest).expect("it is registered");
///         }
///     }
///     fn output(&mut self, output: &mut Output<Self>) {
///         if self.seen.ends_with(b".") { output.stop() }
///     }
/// }
/// #[derive(Clone, Copy)]
/// struct Reading;
/// impl Behavior for Reading {
///     type Machine = Reader;
///     type Message = Readiness;
///     fn on_start(&self, reader: Snapshot<Self>) -> Plan<Self> {
///         Plan::emit(Step::Begin(reader.me()))
///     }
///     fn on_message(&self, _: Readiness, _: Snapshot<Self>) -> Plan<Self> {
///         Plan::emit(Step::Ready)
///     }
/// }
///
/// let system = System::new()?;
/// let (socket, mut peer) = UnixStream::pair()?;
/// let (io, seen) = (system.io(), Vec::new());
/// let reader = system.spawn(Reading, Reader { io, socket, registration: None, seen })?;
/// peer.write_all(b"the whole of it.")?;
/// reader.monitor().wait();
/// # Ok(()) }
/// # #[cfg(not(unix))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Io(Arc<Shared>);

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("registrations", &self.registrations())
            .finish_non_exhaustive()
    }
}

impl System {
    /// What registers sockets and other [sources](Source) of readiness for this system's actors.
    ///
    /// The first registration starts a thread, named `<thread_name>-io`, which ends with the system.
    /// In a system that its host steps readiness is seen when the host runs it next; a simulation's
    /// seeds say nothing of it.
    pub fn io(&self) -> Io {
        Io(self.shared().clone())
    }
}

impl Io {
    /// Tells `actor` once that `source` is ready for what `interest` names, by the message that
    /// `message` makes of it in the actor's own turn. After that it is told again once
    /// [`IoRegistration::rearm`] was called: who is slow is told less often, and never has more than
    /// one such message, which takes no place in its mailbox.
    ///
    /// Allocates, and calls the kernel; the first one of a system starts a thread.
    ///
    /// # Errors
    ///
    /// What the kernel says to the registration; [`ErrorKind::BrokenPipe`] once the system shuts
    /// down, [`ErrorKind::InvalidInput`] for an actor of another; what kept the thread from starting.
    pub fn register<M: Send + 'static>(
        &self,
        source: &mut (impl Source + ?Sized),
        interest: Interest,
        actor: ActorRef<M>,
        message: impl Fn(Readiness) -> M + Send + Sync + 'static,
    ) -> Result<IoRegistration> {
        if actor.address().system != self.0.tag {
            let text = "the actor is another system's";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        let driver = self.0.io.driver(&self.0)?;
        let message = Arc::new(message);
        let make = move |readiness| {
            let message = message.clone();
            let make = move |()| message(readiness);
            Parcel::closure::<(), M, _>(Kind::Notice, make, [0; 2])
        };
        let entry = Entry {
            actor: actor.address(),
            make: Arc::new(make),
            is_armed: true,
        };
        let token = driver.add(entry);
        let registration = IoRegistration { driver, token };
        let registry = &registration.driver.registry;
        registry.register(source, Token(token), interest)?;
        Ok(registration)
    }

    /// How many registrations there are.
    pub fn registrations(&self) -> usize {
        match &*lock(&self.0.io.0) {
            State::Runs(driver) => lock(&driver.table).entries.len(),
            _ => 0,
        }
    }
}

/// A source that is registered, see [`Io::register`]. Dropped, its actor is told no more.
///
/// It belongs beside the source, in the machine: the kernel forgets a source when it is closed, and
/// one that lives on by itself only after [`IoRegistration::deregister`].
#[must_use = "dropping it ends the registration"]
pub struct IoRegistration {
    driver: Arc<Driver>,
    token: usize,
}

impl fmt::Debug for IoRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoRegistration")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl IoRegistration {
    /// Tells the actor once more: as soon as `source`, the one that was registered, is ready for
    /// what `interest` names, which may be at once. What it was not read empty of counts too.
    ///
    /// A lock and a call of the kernel: a microsecond or less.
    ///
    /// # Errors
    ///
    /// What the kernel says, as for a source that is not the registered one.
    pub fn rearm(&self, source: &mut (impl Source + ?Sized), interest: Interest) -> Result<()> {
        // First armed: what the kernel sees from its look on is told.
        if let Some(entry) = lock(&self.driver.table).entries.get_mut(&self.token) {
            entry.is_armed = true;
        }
        let registry = &self.driver.registry;
        registry.reregister(source, Token(self.token), interest)
    }

    /// Ends the registration of a source that is to live on.
    ///
    /// # Errors
    ///
    /// What the kernel says; the registration has ended all the same.
    pub fn deregister(self, source: &mut (impl Source + ?Sized)) -> Result<()> {
        self.driver.registry.deregister(source)
    }
}

impl Drop for IoRegistration {
    fn drop(&mut self) {
        let entry = lock(&self.driver.table).entries.remove(&self.token);
        drop(entry); // what the user gave, not under the lock
    }
}

impl Driver {
    fn add(&self, entry: Entry) -> usize {
        let mut table = lock(&self.table);
        let token = table.next;
        table.next += 1;
        table.entries.insert(token, entry);
        token
    }

    /// Takes note that the source is ready: what is to be told to whom, if anything is.
    fn ready(&self, token: usize) -> Option<(Address, Make)> {
        let mut table = lock(&self.table);
        let entry = table.entries.get_mut(&token)?;
        let is_told = std::mem::replace(&mut entry.is_armed, false);
        is_told.then(|| (entry.actor, entry.make.clone()))
    }
}

impl Slot {
    /// The driver, which the first call starts.
    fn driver(&self, shared: &Arc<Shared>) -> Result<Arc<Driver>> {
        let mut state = lock(&self.0);
        match &*state {
            State::Runs(driver) => return Ok(driver.clone()),
            State::Ended => return Err(Error::new(ErrorKind::BrokenPipe, "the system has ended")),
            State::Unused => {}
        }
        let poll = Poll::new()?;
        let driver = Arc::new(Driver {
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), WAKE)?,
            table: Mutex::default(),
        });
        let (shared_too, driver_too) = (shared.clone(), driver.clone());
        let thread = thread::Builder::new()
            .name(format!("{}-io", shared.config.dispatcher.thread_name))
            .stack_size(256 << 10)
            .spawn(move || run(&shared_too, &driver_too, poll))?;
        shared.add_thread(thread);
        *state = State::Runs(driver.clone());
        Ok(driver)
    }

    /// Ends the driver's thread, and lets none start.
    pub(crate) fn stop(&self) {
        let before = std::mem::replace(&mut *lock(&self.0), State::Ended);
        if let State::Runs(driver) = before {
            lock(&driver.table).stops = true;
            // An eventfd or the like that takes no byte is full of such bytes: it wakes.
            let _ = driver.waker.wake();
        }
    }
}

/// The driver's thread.
fn run(shared: &Arc<Shared>, driver: &Driver, mut poll: Poll) {
    let mut events = Events::with_capacity(EVENTS_MAX);
    while !lock(&driver.table).stops {
        match poll.poll(&mut events, None) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                eprintln!("mainspring: no readiness is told any more: {error}");
                break;
            }
        }
        with_outside_pool(&shared.depot, || {
            for event in events.iter().filter(|event| event.token() != WAKE) {
                let Token(token) = event.token();
                let Some((actor, make)) = driver.ready(token) else {
                    continue;
                };
                if !tell(shared, actor, || make(Readiness::from(event))) {
                    let entry = lock(&driver.table).entries.remove(&token);
                    drop(entry);
                }
            }
        });
    }
    leave_outside_pool(&shared.depot);
    let table = std::mem::take(&mut *lock(&driver.table));
    drop(table); // what users gave, not under the lock
}

/// Sends it what takes no place; false if it takes no more messages.
fn tell(shared: &Shared, actor: Address, make: impl FnOnce() -> Parcel) -> bool {
    let Some(cell) = shared.cell_of(actor) else {
        return false;
    };
    let parcel = make();
    parcel.set_cell(actor.cell);
    parcel.set_generation(actor.generation.get());
    let bytes = match is_counted_in(&shared.depot) {
        true => 0,
        false => parcel.bytes(),
    };
    // Counted first: the actor's worker may free it at once.
    shared.depot.adopt(bytes);
    match push_uncounted(&cell.inbox, parcel) {
        Ok(Wake::Enqueue) => shared.schedule(actor.cell, cell),
        Ok(Wake::Nothing) => {}
        Err(refused) => {
            shared.depot.disown(bytes);
            drop(refused);
            return false;
        }
    }
    true
}
