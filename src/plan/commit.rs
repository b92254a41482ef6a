//! The commit: admit, evolve, publish; all of a plan or none of it.
//!
//! ```text
//!   plan ──▶ admit ──────────▶ evolve ─────────▶ publish
//!            places in every   events in order   what was told, in plan order: consecutive
//!            target's mailbox  (a refusal gives  messages to one mailbox as one chain with one
//!            (no room: give    the places back)  exchange; replies and timers between them where
//!            all back, wait)                     the plan has them; its children run last
//! ```
//!
//! What the evolved machine itself asks for ([`Machine::output`]) is published first; see `say`.
//!
//! A turn that only tells or asks one actor admits and publishes in one exchange, whatever timers
//! it arms and cancels. While a batch streams to
//! one target, places are leased several at a time and the chain is published at the batch's end,
//! or as soon as turns get slow: less than one atomic operation a message.
//!
//! - P1: before `publish` nothing is visible, and every way out gives all places back.
//! - P2: what one actor tells another arrives in the order of the plans, and causally: anything
//!   that goes elsewhere publishes the pending chain first.
//! - P3: nobody waits while holding a place.

use super::children::Traps;
use super::delivery::Delivery;
use super::output::Output;
use super::switch::Switch;
use super::{Plan, Steps, escape, flag};
use crate::actor::cell::{ActorCell, Body, Lent, Running};
use crate::actor::{Behavior, Machine, subscription};
use crate::dead_letter::Cause;
use crate::dispatcher::worker::Worker;
use crate::envelope::{Kind, List, Parcel, push};
use crate::sync::inbox::{CAPACITY_MAX, OVERDRAFT_MAX, Push, Wake};
use crate::system::policy;
use crate::{SpawnError, ask};
use smallvec::SmallVec;

/// How strictly the targets' bounds hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As configured.
    Kept,
    /// A circle of waiting commits is broken: up to the count's own limit.
    Overdraft,
    /// The actor's last plan: likewise, and what still finds no room is a dead letter.
    Last,
}

/// What became of a plan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// All of it took effect.
    Done,
    /// All of it took effect, and the actor stops.
    Stop,
    /// All of it took effect, and the actor's behavior changes.
    Become,
    /// The message was not handled.
    Unhandled,
    /// None of it took effect, and it is gone; the worker has the cause.
    Failed,
    /// None of it took effect, and it is whole: `target` lacks room for `places` messages.
    Wait { target: u32, places: u32 },
}

#[cfg(feature = "testkit")]
impl Committed {
    /// For those who read a trace.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Done => "committed",
            Self::Stop => "committed, the actor stops",
            Self::Become => "committed, the behavior changes",
            Self::Unhandled => "unhandled",
            Self::Failed => "failed",
            Self::Wait { .. } => "waits for room",
        }
    }
}

/// A turn comes to a stage, for those who look on.
#[inline(always)]
fn stage(name: &'static str) {
    #[cfg(feature = "testkit")]
    crate::testkit::hook::stage(name);
    #[cfg(not(feature = "testkit"))]
    let _ = name;
}

/// The most places leased at once for a stream of turns.
const LEASE: u32 = 32;

/// What became of a plan that was to be one of the usual ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usual {
    /// All of it took effect.
    Done,
    /// None of it took effect; the worker has the cause.
    Failed,
    /// Nothing was done: it is for [`commit`].
    Other,
}

/// Commits a plan that is an event, a message or a question, an event with one of the two, or a reply,
/// if nothing stands in the way.
#[inline(always)]
pub(crate) fn commit_usual<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
) -> Usual {
    if plan.steps.kind() == worker.one_message() && !worker.is_short_of_memory() {
        return send_one(run, body, worker, plan, List::take_only);
    }
    if plan.steps.flags == 0 {
        return match plan.event.take() {
            None => Usual::Done,
            Some(event) => evolve_usual(run, body, worker, event, None),
        };
    }
    if plan.steps.flags == flag::REPLY && plan.event.is_none() {
        worker.flush();
        stage("publish");
        while let Some(step) = plan.steps.list.pop_front() {
            ask::deliver(worker, step);
        }
        return Usual::Done;
    }
    if plan.steps.kind() == worker.one_question() && !worker.is_short_of_memory() {
        return ask_one(run, body, worker, plan);
    }
    Usual::Other
}

/// The message that `take` takes off, which its target has room for, with one exchange.
///
/// Where the turn evolves too, the place is taken only when the message goes in, which saves an
/// exchange: two turns on two workers may take the last place at once, and the mailbox then holds
/// one message more than its capacity for each of them. That counts as overdraft.
#[inline(always)]
fn send_one<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    take: impl FnOnce(&mut List) -> Option<Parcel>,
) -> Usual {
    let Some(parcel) = plan.steps.list.front() else {
        return Usual::Other;
    };
    let (target, generation) = (parcel.cell(), parcel.generation());
    let Some(cell) = worker.cell(target) else {
        return Usual::Other;
    };
    stage("admit");
    let capacity = cell.plain_capacity();
    if cell.life.generation() != generation
        || !cell.inbox.has_room(capacity)
        || worker.pending().target().is_some()
        || (run.has_more() && worker.streams_to(target))
    {
        return Usual::Other;
    }
    let mut bound = capacity;
    if let Some(event) = plan.event.take() {
        if evolve_usual(run, body, worker, event, Some(cell)) != Usual::Done {
            return Usual::Failed;
        }
        bound = OVERDRAFT_MAX;
    }
    let Some(parcel) = take(&mut plan.steps.list) else {
        return Usual::Done;
    };
    match send(run, worker, cell, parcel, bound) {
        Ok(()) => Usual::Done,
        Err((_, parcel)) if bound == OVERDRAFT_MAX => {
            worker.refuse(target, parcel);
            Usual::Done
        }
        Err((_, parcel)) => {
            plan.steps.list.push_front(parcel);
            Usual::Other
        }
    }
}

/// A question, as [`send_one`] sends a message: its continuation is kept when it is in its mailbox.
#[inline(never)]
fn ask_one<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
) -> Usual {
    let Some(deadline_ns) = stamp_only(run, worker, &plan.steps) else {
        return Usual::Other;
    };
    let sent = send_one(run, body, worker, plan, List::pop_front);
    if sent == Usual::Done
        && let Some(continuation) = plan.steps.list.pop_front()
    {
        worker.open_ask_by(run, continuation, deadline_ns);
    }
    sent
}

/// Says in a plan's question until when it is of use, if that and its continuation are all steps.
#[inline(always)]
fn stamp_only(run: &Running<'_>, worker: &Worker, steps: &Steps) -> Option<u64> {
    let mut steps = steps.list.iter();
    let question = steps.next().filter(|step| step.kind() == Kind::Ask)?;
    let continuation = steps.next().filter(|step| step.kind() == Kind::Continue)?;
    if steps.next().is_some() || !worker.may_ask() {
        return None;
    }
    let deadline_ns = worker.ask_deadline_ns(run, continuation);
    question.set_deadline(deadline_ns);
    worker.note_question(question);
    Some(deadline_ns)
}

/// Puts a message, which has no place yet, in its target's mailbox with one exchange.
///
/// # Errors
///
/// Why not, and the message as it was.
#[inline(always)]
fn send(
    run: &Running<'_>,
    worker: &Worker,
    cell: &ActorCell,
    parcel: Parcel,
    bound: u32,
) -> Result<(), (Push, Parcel)> {
    let target = parcel.cell();
    parcel.set_cell(run.number());
    stage("publish");
    match push(&cell.inbox, parcel, bound) {
        Ok(Wake::Enqueue) => worker.schedule(target, cell),
        Ok(Wake::Nothing) => {}
        Err((refused, parcel)) => {
            parcel.set_cell(target);
            return Err((refused, parcel));
        }
    }
    Ok(())
}

/// Evolves the machine and publishes what it says. `target` gets a message next.
#[inline(always)]
fn evolve_usual<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    event: <B::Machine as Machine>::Event,
    target: Option<&ActorCell>,
) -> Usual {
    let said = if subscription::may_be(run, worker) {
        evolve_one(run, body, worker, event)
    } else {
        stage("evolve");
        body.machine.begin();
        let loan = worker.lend();
        let applied = body.machine.try_apply(event);
        drop(loan);
        match applied {
            Ok(()) => listen(run, body, worker),
            Err(refusal) => {
                body.machine.roll_back();
                Err(Cause::from(refusal))
            }
        }
    };
    match said {
        Ok(said) => {
            if said.list.is_empty() {
                std::mem::forget(said); // nothing to drop
            } else {
                say_before(run, worker, said, target);
            }
            Usual::Done
        }
        Err(cause) => {
            let _ = worker.failed(cause);
            Usual::Failed
        }
    }
}

/// Publishes what a machine says before its turn's message to `target`, if there is one.
#[cold]
#[inline(never)]
fn say_before(run: &Running<'_>, worker: &Worker, said: Steps, target: Option<&ActorCell>) {
    say_all(run, worker, said);
    if let Some(target) = target {
        count_if_full(worker, target);
    }
}

/// Counts the message that goes to `target` next, if what went before it took its place.
fn count_if_full(worker: &Worker, target: &ActorCell) {
    if !target.inbox.has_room(target.capacity()) {
        worker.count_overdraft(1);
    }
}

/// Commits `plan` for the actor that `run` runs.
pub(crate) fn commit<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    bound: Bound,
) -> Committed {
    let flags = plan.steps.flags;
    if flags == 0 {
        return match plan.event.take() {
            None => Committed::Done,
            Some(event) => match evolve_one(run, body, worker, event) {
                Ok(said) => {
                    say(run, worker, said);
                    Committed::Done
                }
                Err(cause) => worker.failed(cause),
            },
        };
    }
    if flags == flag::SEND
        && plan.steps.sends == 1
        && plan.steps.system == worker.system()
        && !worker.is_short_of_memory()
    {
        return commit_one_send(run, body, worker, plan, bound);
    }
    if flags & !(flag::SEND | flag::OWN | flag::LIMITED | flag::REPLY) == 0
        && flags & (flag::SEND | flag::REPLY) != flag::SEND | flag::REPLY
        && plan.steps.sends <= 1
        && (plan.steps.system == 0 || plan.steps.system == worker.system())
        && !worker.is_short_of_memory()
    {
        return commit_own(run, body, worker, plan, bound);
    }
    commit_all(run, body, worker, plan, bound)
}

/// At most one message, or replies, and steps that change only the actor's own asks and timers.
///
/// Those steps cannot fail and nobody else sees them, so the message goes first: until it is in
/// its mailbox nothing has happened, and then all the rest does.
#[inline(never)]
fn commit_own<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    bound: Bound,
) -> Committed {
    let flags = plan.steps.flags;
    if flags & flag::LIMITED != 0
        && bound != Bound::Last
        && let Some(cause) = worker.beyond_limits(&plan.steps)
    {
        return worker.failed(cause);
    }
    let mut asks_by_ns = None;
    if flags & flag::SEND != 0 {
        bring_send_first(&mut plan.steps);
        if flags & flag::LIMITED != 0 {
            asks_by_ns = stamp_first(run, worker, &plan.steps);
        }
        let sent = commit_one_send(run, body, worker, plan, bound);
        if sent != Committed::Done {
            return sent;
        }
    } else if let Some(event) = plan.event.take() {
        match evolve_one(run, body, worker, event) {
            Ok(said) => say(run, worker, said),
            Err(cause) => return worker.failed(cause),
        }
    }
    stage("publish");
    while let Some(step) = plan.steps.list.pop_front() {
        match step.kind() {
            Kind::Continue | Kind::Gather => match asks_by_ns {
                Some(deadline_ns) => worker.open_ask_by(run, step, deadline_ns),
                None => worker.open_ask(run, step),
            },
            Kind::Timer => worker.arm(run, step, &mut plan.steps.list),
            Kind::Interval => worker.arm_interval(run, step),
            Kind::Cancel => worker.cancel(run, step, &mut plan.steps.list),
            Kind::Reply => {
                worker.flush();
                ask::deliver(worker, step);
            }
            kind => debug_assert!(false, "{kind:?} is none of the actor's own steps"),
        }
    }
    Committed::Done
}

/// Says in a plan's one question, which is its first step, until when it is of use.
fn stamp_first(run: &Running<'_>, worker: &Worker, steps: &Steps) -> Option<u64> {
    let request = steps.list.front().filter(|step| step.kind() == Kind::Ask)?;
    let is_continuation = |step: &&Parcel| matches!(step.kind(), Kind::Continue | Kind::Gather);
    let continuation = steps.list.iter().find(is_continuation)?;
    let deadline_ns = worker.ask_deadline_ns(run, continuation);
    request.set_deadline(deadline_ns);
    worker.note_question(request);
    Some(deadline_ns)
}

/// Puts the one message of a plan before its other steps.
fn bring_send_first(steps: &mut Steps) {
    let is_message = |step: &Parcel| matches!(step.kind(), Kind::Tell | Kind::Ask);
    if let Some(message) = steps.list.take_first(is_message) {
        steps.list.push_front(message);
    }
}

#[inline(never)]
fn evolve_one<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    event: <B::Machine as Machine>::Event,
) -> Result<Steps, Cause> {
    stage("evolve");
    body.machine.begin();
    subscription::collect::<B>(run, worker, &event);
    // A commit that has begun to fill what is pending counts on it, and a visitor would publish it.
    let loan = worker.pending().target().is_none().then(|| worker.lend());
    let applied = body.machine.try_apply(event);
    drop(loan);
    if let Err(refusal) = applied {
        body.machine.roll_back();
        worker.drop_collected();
        return Err(Cause::from(refusal));
    }
    let said = listen(run, body, worker)?;
    if subscription::may_be(run, worker) {
        worker.send_collected(run.number());
    }
    Ok(said)
}

/// What the evolved machine itself asks for; an error rolled it back.
#[inline(always)]
fn listen<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
) -> Result<Steps, Cause> {
    let mut output = Output::new();
    body.machine.output(&mut output);
    if !output.steps.list.is_empty() {
        check_said(run, body, worker, &output.steps)?;
    }
    Ok(output.steps)
}

#[cold]
#[inline(never)]
fn check_said<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    said: &Steps,
) -> Result<(), Cause> {
    if let Some(cause) = why_not(worker, said, Bound::Kept) {
        body.machine.roll_back();
        worker.drop_collected();
        return Err(cause);
    }
    if subscription::may_be(run, worker) {
        let emitted = said.list.iter().filter(|step| step.kind() == Kind::Event);
        for event in emitted.filter_map(Parcel::peek) {
            subscription::collect::<B>(run, worker, event);
        }
    }
    Ok(())
}

/// Why steps can't be committed, whatever room there is. An actor's last plan is held to no limit.
#[inline(always)]
fn why_not(worker: &Worker, steps: &Steps, bound: Bound) -> Option<Cause> {
    let flags = steps.flags;
    if flags & flag::FOREIGN != 0 || (steps.system != 0 && steps.system != worker.system()) {
        return Some(Cause::Foreign);
    }
    let is_short = flags & flag::SEND != 0 && worker.is_short_of_memory();
    if is_short && bound != Bound::Last && worker.shared.is_over_ceiling() {
        return Some(Cause::NoMemory);
    }
    if flags & flag::LIMITED != 0
        && bound != Bound::Last
        && let Some(cause) = worker.beyond_limits(steps)
    {
        return Some(cause);
    }
    if flags & flag::NO_CHILD != 0 {
        let mut errors = steps.list.iter().filter_map(Parcel::peek::<SpawnError>);
        return errors.next().map(|error| Cause::NotSpawned(error.clone()));
    }
    None
}

/// Publishes what a machine asked for: above the bounds of mailboxes, up to the count's own limit.
#[inline(always)]
fn say(run: &Running<'_>, worker: &Worker, said: Steps) {
    if !said.list.is_empty() {
        say_all(run, worker, said);
    }
}

#[cold]
#[inline(never)]
fn say_all(run: &Running<'_>, worker: &Worker, mut said: Steps) {
    worker.flush();
    if worker.shared.has_origins {
        worker.stamp_all(&mut said.list);
    }
    let mut reserved = Reserved::new();
    let mut displaces = false;
    if said.flags & flag::SEND != 0 {
        let admitted = admit(run, worker, &said, Bound::Last, &mut reserved);
        debug_assert!(admitted.is_ok(), "a last plan waits for nobody");
        displaces = admitted.unwrap_or(false);
        for &(target, places) in &reserved {
            if let Some(cell) = worker.cell(target) {
                let above = cell.inbox.places_taken().saturating_sub(cell.capacity());
                worker.count_overdraft(above.min(places));
            }
        }
    }
    publish(run, worker, &mut said, &mut reserved, displaces);
}

/// Publishes what a machine asks for before its actor's first turn.
///
/// # Errors
///
/// Why that can't be had.
#[inline(always)]
pub(crate) fn first_words<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
) -> Result<(), Cause> {
    let said = listen(run, body, worker)?;
    say(run, worker, said);
    Ok(())
}

#[inline(always)]
fn capacity_for(cell: &ActorCell, target: u32, run: &Running<'_>, bound: Bound) -> u32 {
    if bound != Bound::Kept {
        return OVERDRAFT_MAX;
    }
    #[cfg(feature = "testkit")]
    if crate::testkit::hook::is_full() {
        return 0;
    }
    // A self-tell may use the place of the message in hand.
    cell.capacity() + u32::from(target == run.number())
}

/// The one message of a turn: one exchange, or none while a lease lasts.
#[inline(always)]
fn commit_one_send<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    bound: Bound,
) -> Committed {
    let Some(parcel) = plan.steps.list.pop_front() else {
        return Committed::Done;
    };
    let target = parcel.cell();
    let Some(cell) = worker.cell(target) else {
        plan.steps.list.push_front(parcel);
        return worker.failed(Cause::Foreign);
    };
    if cell.life.generation() != parcel.generation() || cell.overflow() > policy::WAIT {
        plan.steps.list.push_front(parcel);
        return commit_all(run, body, worker, plan, bound);
    }
    stage("admit");
    let pending = worker.pending();
    if !pending.has_place(target) {
        let capacity = capacity_for(cell, target, run, bound);
        if plan.event.is_none() && !run.has_more() {
            worker.flush();
            return match send(run, worker, cell, parcel, capacity) {
                Ok(()) => Committed::Done,
                Err((refused, parcel)) => {
                    plan.steps.list.push_front(parcel);
                    not_admitted(run, body, worker, plan, bound, refused, target)
                }
            };
        }
        worker.flush();
        if !run.has_more() && cell.inbox.has_room(capacity.min(CAPACITY_MAX + 1)) {
            return evolve_and_send(run, body, worker, plan, parcel, cell);
        }
        match cell.inbox.reserve(1, LEASE, capacity) {
            Ok(leased) => pending.begin(target, leased),
            Err(refused) => {
                plan.steps.list.push_front(parcel);
                return not_admitted(run, body, worker, plan, bound, refused, target);
            }
        }
    }
    if let Some(event) = plan.event.take() {
        // A panic in here leaves the lease to the flush that follows it.
        match evolve_one(run, body, worker, event) {
            Err(cause) => {
                plan.steps.list.push_front(parcel);
                return worker.failed(cause);
            }
            Ok(said) if !said.list.is_empty() => {
                say_all(run, worker, said); // gives the lease back
                return send_late(run, worker, cell, parcel);
            }
            // Subscribers' messages went first, and gave the lease back.
            Ok(_) if !pending.has_place(target) => return send_late(run, worker, cell, parcel),
            Ok(_) => {}
        }
    }
    parcel.set_cell(run.number());
    stage("publish");
    if pending.holds_one() || worker.is_slow() {
        // Nothing follows in this batch, or it would wait: the chain of one goes at once.
        worker.publish_now(target, cell, parcel);
    } else {
        pending.push(parcel);
    }
    Committed::Done
}

/// The one message of a turn that evolves too, to a target that has room now: as [`send_one`].
fn evolve_and_send<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    parcel: Parcel,
    cell: &ActorCell,
) -> Committed {
    if let Some(event) = plan.event.take() {
        match evolve_one(run, body, worker, event) {
            Ok(said) if !said.list.is_empty() => say_before(run, worker, said, Some(cell)),
            Ok(_) => {}
            Err(cause) => {
                plan.steps.list.push_front(parcel);
                return worker.failed(cause);
            }
        }
    }
    send_above(run, worker, cell, parcel)
}

/// A message whose place was lost to others of its turn that went first.
#[cold]
fn send_late(run: &Running<'_>, worker: &Worker, cell: &ActorCell, parcel: Parcel) -> Committed {
    count_if_full(worker, cell);
    send_above(run, worker, cell, parcel)
}

/// A message of a turn that has evolved: the mailbox's capacity does not stop it any more.
#[inline(always)]
fn send_above(run: &Running<'_>, worker: &Worker, cell: &ActorCell, parcel: Parcel) -> Committed {
    let target = parcel.cell();
    if let Err((_, parcel)) = send(run, worker, cell, parcel, OVERDRAFT_MAX) {
        worker.refuse(target, parcel);
    }
    Committed::Done
}

/// What becomes of a plan whose one message `target` did not take.
#[cold]
fn not_admitted<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    bound: Bound,
    refused: Push,
    target: u32,
) -> Committed {
    let drops = bound == Bound::Last || run.cell().when_full.get() == policy::DROP;
    if refused == Push::Closed || drops {
        commit_all(run, body, worker, plan, bound)
    } else {
        no_room(run, worker, plan, target, 1)
    }
}

/// What the actor's own policy makes of a full target.
#[cold]
fn no_room<B: Behavior>(
    run: &Running<'_>,
    worker: &Worker,
    plan: &mut Plan<B>,
    target: u32,
    places: u32,
) -> Committed {
    match run.cell().when_full.get() {
        policy::WAIT => Committed::Wait { target, places },
        _ => {
            crate::ask::losing(crate::AskError::Refused, || drop(std::mem::take(plan)));
            worker.failed(Cause::Full)
        }
    }
}

/// The messages of a plan with so many at most take their places when they go in, where a mailbox
/// is so empty that it had ample room for all of them.
///
/// That saves an exchange for each target. Should such a mailbox fill up between the look at it and
/// the publication, these few are above its capacity, as overdraft.
const AMPLE: u16 = 256;

/// Likewise for so many messages to each target of a larger plan that names each once.
const FEW: u32 = 8;

/// Whether a plan's messages to one target are all consecutive. `false` may be said of one where
/// they are: two targets whose numbers have the same last eleven bits are held to be one.
fn names_each_once(steps: &Steps) -> bool {
    let mut named = [0_u64; 32];
    let mut last = u32::MAX;
    steps
        .list
        .iter()
        .filter(|step| matches!(step.kind(), Kind::Tell | Kind::Ask))
        .all(|step| {
            let target = step.cell();
            if std::mem::replace(&mut last, target) == target {
                return true;
            }
            let word = &mut named[target as usize / 64 % 32];
            let bit = 1 << (target % 64);
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        })
}

/// Places reserved so far: target, how many.
pub(crate) type Reserved = SmallVec<[(u32, u32); 8]>;

/// Any plan.
#[inline(never)]
fn commit_all<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    bound: Bound,
) -> Committed {
    if let Some(cause) = why_not(worker, &plan.steps, bound) {
        return worker.failed(cause);
    }
    if plan.steps.flags & (flag::BECOME | flag::STASH) != 0
        && let Some(cause) = beyond_own_limits::<B>(run, &plan.steps)
    {
        return worker.failed(cause);
    }
    worker.flush();
    let mut reserved = worker.take_reserved();
    let committed = commit_reserving(run, body, worker, plan, bound, &mut reserved);
    worker.keep_reserved(reserved);
    committed
}

/// Why the actor may keep no more behaviors, or put no more messages aside.
#[cold]
fn beyond_own_limits<B: Behavior>(run: &Running<'_>, steps: &Steps) -> Option<Cause> {
    let stashes = steps.list.iter().filter(|step| step.kind() == Kind::Stash);
    let stashes = u32::try_from(stashes.count()).unwrap_or(u32::MAX);
    if stashes > 0 && stashes.saturating_add(run.stashed()) > run.cell().capacity() {
        return Some(Cause::StashFull);
    }
    let mut switches = steps.list.iter().filter_map(Parcel::peek);
    let keeps = switches.any(|switch: &Switch<B::Machine>| matches!(switch, Switch::Over(_)));
    (keeps && run.keeps_most()).then_some(Cause::TooManyBehaviors)
}

/// Admits, evolves and publishes a plan that nothing else forbids.
#[inline(always)]
fn commit_reserving<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
    bound: Bound,
    reserved: &mut Reserved,
) -> Committed {
    let flags = plan.steps.flags;
    let mut displaces = false;
    if flags & flag::SEND != 0 {
        stage("admit");
        match admit(run, worker, &plan.steps, bound, reserved) {
            Ok(some) => displaces = some,
            Err((target, places)) => {
                #[cfg(all(feature = "testkit", mainspring_planted))]
                if crate::testkit::planted::has(crate::testkit::Planted::HalfCommit) {
                    let _ = evolve_all(run, body, worker, plan);
                }
                release(worker, reserved);
                return no_room(run, worker, plan, target, places);
            }
        }
    }
    let guard = ReleaseOnUnwind { worker, reserved };
    let evolved = evolve_all(run, body, worker, plan);
    std::mem::forget(guard);
    match evolved {
        Ok(said) => say(run, worker, said),
        Err(cause) => {
            release(worker, reserved);
            return worker.failed(cause);
        }
    }
    if !plan.steps.list.is_empty() {
        stage("publish");
    }
    publish(run, worker, &mut plan.steps, reserved, displaces);
    if flags & flag::STOP != 0 {
        return Committed::Stop;
    }
    if flags & flag::BECOME != 0 {
        return Committed::Become;
    }
    if flags & flag::UNHANDLED != 0 {
        return Committed::Unhandled;
    }
    Committed::Done
}

struct ReleaseOnUnwind<'a> {
    worker: &'a Worker,
    reserved: &'a Reserved,
}

impl Drop for ReleaseOnUnwind<'_> {
    fn drop(&mut self) {
        release(self.worker, self.reserved);
    }
}

fn release(worker: &Worker, reserved: &Reserved) {
    for &(target, places) in reserved {
        if let Some(cell) = worker.cell(target) {
            worker.release(target, cell, places);
        }
    }
}

/// Takes a place for each message, in plan order, consecutive ones of one target together.
/// Messages to the dead need none; nor do those that a policy drops: they become `Refused`. Where
/// the newest takes the place of the oldest there is room always: whether there is such a target.
fn admit(
    run: &Running<'_>,
    worker: &Worker,
    steps: &Steps,
    bound: Bound,
    reserved: &mut Reserved,
) -> Result<bool, (u32, u32)> {
    let mut sends = steps
        .list
        .iter()
        .filter(|step| matches!(step.kind(), Kind::Tell | Kind::Ask))
        .peekable();
    let mut displaces = false;
    let is_small = steps.sends <= AMPLE;
    let names_each_once = bound == Bound::Kept && !is_small && names_each_once(steps);
    while let Some(first) = sends.next() {
        let target = first.cell();
        let generation = first.generation();
        let cell = worker.cell(target);
        let Some(cell) = cell.filter(|cell| cell.life.generation() == generation) else {
            first.set_kind(Kind::Refused);
            continue;
        };
        if cell.overflow() == policy::DROP_OLDEST {
            displaces = true;
            continue;
        }
        let mut places = 1;
        let mut last_of_group = first;
        while let Some(next) =
            sends.next_if(|next| next.cell() == target && next.generation() == generation)
        {
            places += 1;
            last_of_group = next;
        }
        let capacity = capacity_for(cell, target, run, bound);
        if bound == Bound::Kept {
            let at_most = match is_small {
                true => Some(u32::from(steps.sends)),
                false => (names_each_once && places <= FEW).then_some(places),
            };
            if at_most.is_some_and(|most| cell.inbox.has_ample_room(most, capacity)) {
                continue;
            }
        }
        match cell.inbox.reserve(places, places, capacity) {
            Ok(_) => reserved.push((target, places)),
            Err(Push::Closed) => refuse_group(steps, first, last_of_group),
            Err(_) if bound == Bound::Last || drops_when_full(run, cell) => {
                let free = capacity.saturating_sub(cell.inbox.places_taken());
                let kept = cell
                    .inbox
                    .reserve(0, free.min(places), capacity)
                    .unwrap_or(0);
                if kept > 0 {
                    reserved.push((target, kept));
                }
                refuse_all_but(steps, first, last_of_group, kept);
            }
            Err(_) => {
                let all = places_for(steps, target, generation);
                let most = all.min(capacity).min(CAPACITY_MAX);
                let ours = reserved.iter().filter(|entry| entry.0 == target);
                let ours: u32 = ours.map(|entry| entry.1).sum();
                let is_empty = cell.inbox.places_taken() == ours;
                if target != run.number() && (most == all || !is_empty) {
                    return Err((target, most));
                }
                // Room will never come: the actor waits for itself, or asks for more than there is.
                if cell.inbox.reserve(places, places, OVERDRAFT_MAX).is_err() {
                    return Err((target, most));
                }
                worker.count_overdraft(places);
                reserved.push((target, places));
            }
        }
    }
    Ok(displaces)
}

/// How many places a plan wants in all in one mailbox.
#[cold]
fn places_for(steps: &Steps, target: u32, generation: u32) -> u32 {
    let wants = |step: &&Parcel| {
        matches!(step.kind(), Kind::Tell | Kind::Ask)
            && step.cell() == target
            && step.generation() == generation
    };
    u32::try_from(steps.list.iter().filter(wants).count()).unwrap_or(u32::MAX)
}

fn drops_when_full(run: &Running<'_>, target: &ActorCell) -> bool {
    target.overflow() > policy::WAIT || run.cell().when_full.get() == policy::DROP
}

/// Marks the messages from `first` to `last` as refused.
fn refuse_group(steps: &Steps, first: &Parcel, last: &Parcel) {
    refuse_all_but(steps, first, last, 0);
}

fn refuse_all_but(steps: &Steps, first: &Parcel, last: &Parcel, kept: u32) {
    let mut inside = false;
    let mut seen = 0;
    for step in steps.list.iter() {
        inside |= std::ptr::eq(step.header(), first.header());
        if inside && matches!(step.kind(), Kind::Tell | Kind::Ask) {
            seen += 1;
            if seen > kept {
                step.set_kind(Kind::Refused);
            }
        }
        if std::ptr::eq(step.header(), last.header()) {
            return;
        }
    }
}

fn evolve_all<B: Behavior>(
    run: &Running<'_>,
    body: &mut Body<B>,
    worker: &Worker,
    plan: &mut Plan<B>,
) -> Result<Steps, Cause> {
    let first = plan.event.take();
    if plan.steps.flags & (flag::EVENT | flag::LATER) == 0 {
        return match first {
            Some(event) => evolve_one(run, body, worker, event),
            None => Ok(Steps::none()),
        };
    }
    stage("evolve");
    body.machine.begin();
    let others = plan
        .steps
        .list
        .iter()
        .filter(|step| step.kind() == Kind::Event);
    let others = others.filter_map(Parcel::try_take::<<B::Machine as Machine>::Event>);
    for event in first.into_iter().chain(others) {
        subscription::collect::<B>(run, worker, &event);
        if let Err(refusal) = body.machine.try_apply(event) {
            body.machine.roll_back();
            worker.drop_collected();
            return Err(Cause::from(refusal));
        }
    }
    let said = listen(run, body, worker)?;
    if plan.steps.flags & flag::LATER != 0 {
        answer_later(&body.machine, &mut plan.steps);
    }
    if subscription::may_be(run, worker) {
        worker.send_collected(run.number());
    }
    Ok(said)
}

/// Makes the replies of a plan that are made of the evolved machine.
#[cold]
fn answer_later<M: 'static>(machine: &M, steps: &mut Steps) {
    // Each step goes from the front to the back, so that a panic leaves none out.
    for _ in 0..steps.list.iter().count() {
        let Some(step) = steps.list.pop_front() else {
            return;
        };
        let step = match step.kind() {
            Kind::Later => Lent::call::<Parcel>(step, machine),
            _ => step,
        };
        steps.list.push_back(step);
    }
}

/// A plan's children, which run once this is dropped: when all of the plan is out, so that a monitor
/// or a link of one in the same plan comes before its first turn.
struct Newborns<'a> {
    worker: &'a Worker,
    cells: SmallVec<[u32; 4]>,
}

impl Drop for Newborns<'_> {
    fn drop(&mut self) {
        for &cell in &self.cells {
            self.worker.launch(cell);
        }
    }
}

/// Makes an admitted plan visible, in plan order. What was pending has been published. `displaces`:
/// some target's newest message takes the place of its oldest.
fn publish(
    run: &Running<'_>,
    worker: &Worker,
    steps: &mut Steps,
    reserved: &mut Reserved,
    displaces: bool,
) {
    debug_assert!(worker.pending().target().is_none());
    let me = run.number();
    // Places were taken in the order of the plan, so the next ones in use are never further back.
    let mut at = 0;
    let mut escapes = List::new();
    let mut children = Newborns {
        worker,
        cells: SmallVec::new(),
    };
    while let Some(step) = steps.list.pop_front() {
        match step.kind() {
            Kind::Tell | Kind::Ask => {
                if step.kind() == Kind::Ask
                    && let Some(next) = steps.list.front()
                    && matches!(next.kind(), Kind::Continue | Kind::Gather)
                {
                    step.set_deadline(worker.ask_deadline_ns(run, next));
                    worker.note_question(&step);
                }
                let target = step.cell();
                let Some(cell) = worker.cell(target) else {
                    worker.refuse(target, step);
                    continue;
                };
                if displaces && cell.overflow() == policy::DROP_OLDEST {
                    step.set_cell(me);
                    if let Err((_, step)) = worker.put(target, cell, step) {
                        worker.refuse(target, step);
                    }
                    continue;
                }
                while reserved.get(at).is_some_and(|entry| entry.1 == 0) {
                    at += 1;
                }
                match reserved.get_mut(at).filter(|entry| entry.0 == target) {
                    Some((_, places)) => {
                        let run = steps.list.take_run(step, me, *places);
                        *places -= run.1;
                        worker.publish_chain((target, cell), run, run.1);
                    }
                    None => {
                        let run = steps.list.take_run(step, me, u32::MAX);
                        worker.publish_chain((target, cell), run, 0);
                    }
                }
            }
            Kind::Refused => worker.refuse(step.cell(), step),
            Kind::Event => drop(step),
            Kind::Continue | Kind::Gather => worker.open_ask(run, step),
            Kind::Reply => ask::deliver(worker, step),
            Kind::Timer => worker.arm(run, step, &mut steps.list),
            Kind::Interval => worker.arm_interval(run, step),
            Kind::Cancel => worker.cancel(run, step, &mut steps.list),
            Kind::Become => run.extension().becoming.set(Some(step)),
            Kind::Stash => run.stash(worker, step),
            Kind::Escape => escapes.push_back(step),
            Kind::Unstash => {
                drop(step);
                run.unstash();
            }
            Kind::Child => {
                children.cells.push(step.cell());
                step.call::<(), ()>(());
            }
            Kind::Trap => {
                if let Ok(Traps(letter)) = step.try_open() {
                    worker.trap(letter);
                }
            }
            Kind::Deliver => {
                if let Ok(delivery) = step.try_open::<Delivery>() {
                    delivery.attempt(run, worker);
                }
            }
            _ => step.call::<(), ()>(()),
        }
    }
    drop(children);
    if !escapes.is_empty() {
        escape::call_all(worker, escapes);
    }
}
