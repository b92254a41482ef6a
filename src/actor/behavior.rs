//! What a user writes: a behavior that decides and a machine that evolves.

use super::{Exit, Snapshot};
use crate::quarantine::Poison;
use crate::supervise::Terms;
use crate::{Key, Output, Plan};

/// All of an actor's state. Only events change it.
///
/// Any plain value with an `apply` will do; a statechart is a machine too.
///
/// # Examples
///
/// ```
/// use mainspring::prelude::*;
///
/// #[derive(Default)]
/// struct Counter { count: u64 }
///
/// enum Counted { Up, Reset }
///
/// impl Machine for Counter {
///     type Event = Counted;
///     fn apply(&mut self, event: Counted) {
///         match event {
///             Counted::Up => self.count += 1,
///             Counted::Reset => self.count = 0,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a machine",
    label = "an actor's state implements `Machine`",
    note = "a plain value becomes one by `Context`, whose events `assign!` makes"
)]
pub trait Machine: Send + Sized + 'static {
    /// What may happen to the machine.
    type Event: Send + 'static;

    /// The machine's own name, if it has one: that of its chart. Traces of simulations show it, as
    /// snapshots that a chart is [saved](crate::ChartMachine::save) in do.
    fn id(&self) -> Option<&str> {
        None
    }

    /// Evolves by one event. A panic discards the state and stops the actor.
    fn apply(&mut self, event: Self::Event);

    /// Evolves by one event, or refuses it.
    ///
    /// A machine that refuses overrides this together with [`Machine::begin`] and
    /// [`Machine::roll_back`]; the others need only [`Machine::apply`].
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the whole turn fails, the machine is rolled back and nothing is sent. After a
    /// [fatal](Refusal::fatal) one the actor ends too.
    fn try_apply(&mut self, event: Self::Event) -> Result<(), Refusal> {
        self.apply(event);
        Ok(())
    }

    /// Called before the first event of a turn: a machine that may refuse notes where it is.
    fn begin(&mut self) {}

    /// Called after a refusal: goes back to where the last [`Machine::begin`] was. Called after
    /// [`Machine::output`] too, when what that asked for can't be had.
    fn roll_back(&mut self) {}

    /// Called once after the events of a turn, and once before the actor's first turn: what the
    /// machine itself sends, arms or spawns. It joins the turn's commit, before the plan's steps.
    ///
    /// # Examples
    ///
    /// A lamp that puts itself out:
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{Clock, Events, Output};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Default)]
    /// struct Lamp { on: bool }
    ///
    /// enum Switched { On, Off }
    ///
    /// impl Machine for Lamp {
    ///     type Event = Switched;
    ///     fn apply(&mut self, event: Switched) {
    ///         self.on = matches!(event, Switched::On);
    ///     }
    ///     fn output(&mut self, output: &mut Output<Self>) {
    ///         match self.on {
    ///             true => output.after("off", Duration::from_secs(60), Switched::Off),
    ///             false => output.cancel("off"),
    ///         }
    ///     }
    /// }
    ///
    /// # fn main() -> mainspring::Result {
    /// let (clock, hand) = Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let lamp = system.spawn(Events::new(), Lamp::default())?;
    /// let is_on = || {
    ///     system.run_until_idle();
    ///     let asked = lamp.snapshot();
    ///     system.run_until_idle();
    ///     asked.wait().map(|lamp| lamp.on)
    /// };
    /// lamp.tell(Switched::On)?;
    /// assert!(is_on()?);
    /// hand.advance(Duration::from_secs(61));
    /// system.run_until_idle();
    /// assert!(!is_on()?);
    /// # Ok(()) }
    /// ```
    fn output(&mut self, output: &mut Output<Self>) {
        let _ = output;
    }

    /// Called before the turn that brings the event of the machine's own timer of that key.
    #[doc(hidden)]
    fn timer_over(&mut self, key: Key) {
        let _ = key;
    }
}

/// Why a machine refused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Box<str>,
    is_fatal: bool,
}

impl Refusal {
    /// A refusal with its reason, lower case and without a full stop. The turn fails, and the actor
    /// lives on.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into().into_boxed_str(),
            is_fatal: false,
        }
    }

    /// A refusal after which the machine can't go on: the turn fails, and the actor ends by
    /// [`Exit::Failed`], which its supervisor treats like a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{Clock, Refusal};
    ///
    /// struct Balance(u64);
    /// impl Machine for Balance {
    ///     type Event = u64;
    ///     fn apply(&mut self, spent: u64) {
    ///         self.0 -= spent;
    ///     }
    ///     fn try_apply(&mut self, spent: u64) -> Result<(), Refusal> {
    ///         match self.0.checked_sub(spent) {
    ///             Some(left) => Ok(self.0 = left),
    ///             None => Err(Refusal::fatal("the books are wrong")),
    ///         }
    ///     }
    /// }
    ///
    /// # fn main() -> mainspring::Result {
    /// let (clock, _hand) = Clock::manual();
    /// let system = System::stepped(Config::default(), clock)?;
    /// let balance = system.spawn_machine(Balance(5))?;
    /// let end = balance.monitor();
    /// balance.tell(6)?;
    /// system.run_until_idle();
    /// assert_eq!(end.wait().exit, Exit::Failed(Refusal::fatal("the books are wrong")));
    /// # Ok(()) }
    /// ```
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self {
            is_fatal: true,
            ..Self::new(reason)
        }
    }

    /// Whether the actor ends by it.
    pub fn is_fatal(&self) -> bool {
        self.is_fatal
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.is_fatal {
            true => "the event failed the machine",
            false => "the machine refused the event",
        };
        write!(f, "{what}: {}", self.reason)
    }
}

impl std::error::Error for Refusal {}

/// What an actor does with a message: decides, and changes nothing.
///
/// A behavior holds no state, only what it depends on: addresses and constants. It is `Copy` and
/// shared, so it can hold no cell, lock or atomic. It reads the message and a [`Snapshot`] of the
/// machine and returns a [`Plan`]; the runtime commits the plan as a whole or not at all.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a behavior",
    note = "behaviors hold no state; put it in the machine, and derive `Clone, Copy` here",
    note = "an actor without a behavior of its own is made by `System::spawn_machine`"
)]
pub trait Behavior: Copy + Send + Sync + 'static {
    /// All of the actor's state.
    type Machine: Machine;

    /// What the actor can be told.
    type Message: Send + 'static;

    /// Bytes that one message holds on the heap, as a rule or at most: the length of a frame, say.
    ///
    /// They count beside the message's envelope against `mailbox.capacity_bytes`, so that the
    /// mailbox holds fewer messages, though always one. 0, when not given, costs nothing, and nor
    /// does any other number: places are counted, not bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::SendError;
    ///
    /// struct Frames(u64);
    /// impl Machine for Frames {
    ///     type Event = ();
    ///     fn apply(&mut self, (): ()) {
    ///         self.0 += 1;
    ///     }
    /// }
    /// #[derive(Clone, Copy)]
    /// struct Show;
    /// impl Behavior for Show {
    ///     type Machine = Frames;
    ///     type Message = Vec<u8>;
    ///     const MESSAGE_HEAP_BYTES: usize = 1 << 19; // 512 KiB
    ///
    ///     fn on_message(&self, _frame: Vec<u8>, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::emit(())
    ///     }
    /// }
    /// let config = Config::builder().mailbox_capacity_bytes(2 << 20).build()?;
    /// let system = System::with_config(config)?;
    /// let show = system.prepare(Show, Frames(0)).hold()?;
    /// for _ in 0..3 {
    ///     show.tell(vec![0; 1 << 19])?; // three of them and their envelopes fit in 2 MiB
    /// }
    /// assert!(matches!(show.tell(vec![0; 1 << 19]), Err(SendError::Full(_))));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    const MESSAGE_HEAP_BYTES: usize = 0;

    /// The version of the message's type, as [`Meta::version`](crate::Meta::version) has it. 1, when
    /// not given.
    const MESSAGE_VERSION: u32 = 1;

    /// What becomes of a message whose turn panics. Nothing, when not given: it is a dead letter, and
    /// costs nothing before.
    ///
    /// [`Poison::after`] hands it to the next incarnation, first of all; the one that panics as
    /// often as that goes to the system's [`Quarantine`](crate::Quarantine). An actor that does not
    /// start anew has no next incarnation.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::{Cause, Poison};
    ///
    /// # #[derive(Default)]
    /// struct Sum(u64);
    /// # impl Machine for Sum { type Event = u64; fn apply(&mut self, more: u64) { self.0 += more } }
    /// #[derive(Clone, Copy)]
    /// struct Adding;
    /// impl Behavior for Adding {
    ///     type Machine = Sum;
    ///     type Message = String;
    ///     const POISON: Option<Poison<String>> = Some(Poison::after(1));
    ///
    ///     fn on_message(&self, text: String, _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::emit(text.parse().expect("a number"))
    ///     }
    /// }
    ///
    /// # fn main() -> mainspring::Result {
    /// let system = System::new()?;
    /// let adding = system.spawn(Adding, Sum(0))?;
    /// let end = adding.monitor();
    /// adding.tell("twelve".into())?;
    /// end.wait(); // it panicked
    /// let [poison] = &system.quarantine().list()[..] else { panic!("one message") };
    /// assert_eq!(system.dead_letters()[0].cause, Cause::Quarantined { crashes: 1 });
    /// assert_eq!(system.quarantine().take::<String>(poison.id).as_deref(), Some("twelve"));
    /// # Ok(()) }
    /// ```
    const POISON: Option<Poison<Self::Message>> = None;

    /// How actors of this behavior are supervised where their
    /// [`ChildSpec`](crate::supervise::ChildSpec) doesn't say otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// use mainspring::prelude::*;
    /// use mainspring::supervise::{Restart, Terms};
    ///
    /// # struct Nothing;
    /// # impl Machine for Nothing { type Event = (); fn apply(&mut self, (): ()) {} }
    /// #[derive(Clone, Copy)]
    /// struct Import;
    /// impl Behavior for Import {
    ///     type Machine = Nothing;
    ///     type Message = ();
    ///     const SUPERVISION: Terms = Terms { restart: Restart::Transient, ..Terms::DEFAULT };
    ///
    ///     fn on_message(&self, (): (), _: Snapshot<Self>) -> Plan<Self> {
    ///         Plan::stop() // it is done, and does not start anew
    ///     }
    /// }
    /// ```
    const SUPERVISION: Terms = Terms::DEFAULT;

    /// The message that asks an actor of this behavior to stop the children that it supervises, and
    /// then itself: in reverse order, each with its deadline, as a rule.
    ///
    /// For supervisors of one's own ([`Plan::supervise`]); nothing for all other actors. A shutdown
    /// sends it to each top of a tree of supervision first, and waits for those ends up to half of
    /// its deadline; [`Plan::stop_tree`] sends it too. It takes no place in the mailbox.
    fn stop_tree() -> Option<Self::Message> {
        None
    }

    /// Decides what `message` leads to.
    ///
    /// A panic stops the actor and discards its state; nothing of the turn takes effect.
    fn on_message(&self, message: Self::Message, machine: Snapshot<'_, Self>) -> Plan<Self>;

    /// Decides what happens first, before any message.
    ///
    /// If its plan fails the actor ends as [`Exit::NotStarted`], without a message handled.
    fn on_start(&self, machine: Snapshot<'_, Self>) -> Plan<Self> {
        let _ = machine;
        Plan::none()
    }

    /// Decides what happens last; not called after a panic, a kill, a fatal refusal or a start that failed. A child of this plan lives
    /// on; a question of it is asked, but the answer is nobody's.
    fn on_stop(&self, exit: &Exit, machine: Snapshot<'_, Self>) -> Plan<Self> {
        let _ = (exit, machine);
        Plan::none()
    }
}

/// The behavior of an actor that has none of its own: its messages are its machine's events.
pub struct Events<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Events<M> {
    /// The behavior.
    pub const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<M> Default for Events<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for Events<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Events<M> {}

impl<M: Machine> Behavior for Events<M> {
    type Machine = M;
    type Message = M::Event;

    fn on_message(&self, event: M::Event, _: Snapshot<'_, Self>) -> Plan<Self> {
        Plan::emit(event)
    }
}
