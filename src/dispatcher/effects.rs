//! What a commit and a death do beyond sending: asks, timers, waiting for room, children, news.

use super::worker::Worker;
use crate::actor::cell::{ActorCell, Body, Limits, Running, life, quietly};
use crate::actor::{ActorRef, Address, Behavior, Exit};
use crate::ask::{self, Asks};
use crate::dead_letter::Cause;
use crate::envelope::{Kind, List, Parcel};
use crate::plan::Steps;
use crate::plan::timers::{Armed, Extra, Missed, Repeat, SILENCE, Silence, Tick};
use crate::supervise::keeper::Keeper;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::inbox::{Push, Wake};
use crate::sync::waits::Wait;
use crate::system::policy;
use crate::system::spawn::Home;
use crate::timer::{Resolution, TimerKey as WheelKey, Wheel};
use crate::{AskError, SpawnError};
use std::any::TypeId;
use std::num::NonZeroU32;

/// An entry of a worker's wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WheelEntry {
    /// Whose wheel holds it.
    pub(crate) worker: u32,
    pub(crate) key: WheelKey,
}

/// What is done once neither an actor's timers nor the wheel are in hand.
#[derive(Default)]
struct Off {
    /// Dropped.
    messages: List,
    /// In other workers' wheels, to be taken off there.
    elsewhere: Vec<WheelEntry>,
}

impl Off {
    /// What else was known of a timer that is off: an interval's message.
    #[inline]
    fn extra(&mut self, extra: Option<Extra>) {
        if let Some(repeat) = extra.and_then(|extra| extra.repeat) {
            self.messages.push_back(repeat);
        }
    }
}

impl Worker {
    /// The batch's time.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// The time, read anew.
    pub(crate) fn read_ns(&self) -> u64 {
        self.clock.read()
    }

    // Asks.

    /// How long an ask of the running actor waits that does not say.
    fn ask_timeout_ns(&self, run: &Running<'_>) -> u64 {
        match run.extension().ask_timeout_ns.get() {
            0 => self.shared.ask_timeout_ns,
            timeout_ns => timeout_ns,
        }
    }

    /// When the time of an ask that begins now is up; `step` is its continuation.
    #[inline(always)]
    pub(crate) fn ask_deadline_ns(&self, run: &Running<'_>, step: &Parcel) -> u64 {
        let [_, timeout_ns] = step.note();
        let timeout_ns = match timeout_ns {
            0 => self.ask_timeout_ns(run),
            timeout_ns => timeout_ns,
        };
        self.now_ns().saturating_add(timeout_ns)
    }

    /// Notes an ask of the running actor; `step` is its continuation.
    pub(crate) fn open_ask(&self, run: &Running<'_>, step: Parcel) {
        let deadline_ns = self.ask_deadline_ns(run, &step);
        self.open_ask_by(run, step, deadline_ns);
    }

    /// As [`Worker::open_ask`], with a deadline that is known.
    pub(crate) fn open_ask_by(&self, run: &Running<'_>, step: Parcel, deadline_ns: u64) {
        let [number, _] = step.note();
        let now_ns = self.now_ns();
        let mut asks = run.extension().asks.borrow_mut();
        let origin = match self.shared.has_origins {
            true => self.asked.take().or_else(|| self.keep_origin()),
            false => None,
        };
        asks.insert(number, now_ns, deadline_ns, step, origin);
        self.asks.add(&self.shared.asks, 1);
        #[cfg(any(debug_assertions, feature = "testkit"))]
        if let Some(to) = self.asked_of.take() {
            self.note_ask(run, to, number, deadline_ns);
        }
        // A compute step has no deadline: `u64::MAX` is later than any.
        if deadline_ns < asks.armed_ns {
            self.arm_asks_at(run, &mut asks, deadline_ns);
        }
    }

    /// Arms the one wheel entry for the open asks that are left.
    pub(crate) fn arm_asks(&self, run: &Running<'_>) {
        let mut asks = run.extension().asks.borrow_mut();
        asks.tidy();
        asks.armed_ns = u64::MAX;
        match asks.next_deadline_ns() {
            Some(next_ns) if next_ns < u64::MAX => self.arm_asks_at(run, &mut asks, next_ns),
            _ => self.take_off(asks.entry.take()),
        }
    }

    #[cold]
    fn arm_asks_at(&self, run: &Running<'_>, asks: &mut Asks, deadline_ns: u64) {
        asks.armed_ns = deadline_ns;
        let entry = self.arm_due(deadline_ns, run.address(self), Kind::Expired, ());
        self.take_off(asks.entry.replace(entry));
    }

    /// Sends what takes no place; what finds nobody is dropped.
    pub(crate) fn send_uncounted(&self, parcel: Parcel) {
        let schedule = |number, cell: &ActorCell| self.schedule(number, cell);
        self.shared.send_uncounted_by(parcel, schedule);
    }

    /// Makes a message that was not admitted a dead letter.
    pub(crate) fn refuse(&self, target: u32, parcel: Parcel) {
        let gone = self.cell(target).is_none_or(|cell| {
            cell.inbox.is_closed() || cell.life.generation() != parcel.generation()
        });
        let (cause, loss) = if gone {
            (Cause::Stopped, AskError::Stopped)
        } else {
            (Cause::Full, AskError::Refused)
        };
        let actor = NonZeroU32::new(parcel.generation()).map_or(Address::NOBODY, |generation| {
            self.address_of(target, generation)
        });
        let (name, origin) = (parcel.type_name(), parcel.origin());
        self.shared.dead_letter(actor, name, cause, origin);
        ask::losing(loss, || quietly(|| drop(parcel)));
    }

    /// Notes a dead letter: the message in hand, or one whose origin the batch's clock was given.
    pub(crate) fn dead_letter(&self, actor: Address, message: &'static str, cause: Cause) {
        let origin = self.clock.origin.get();
        self.shared.dead_letter(actor, message, cause, origin);
    }

    pub(crate) fn count_panic(&self) {
        self.stats.panics.add(1);
    }

    pub(crate) fn count_overdraft(&self, places: u32) {
        self.stats.overdraft.add(u64::from(places));
    }

    /// Puts a message into a mailbox, by its overflow policy.
    ///
    /// # Errors
    ///
    /// Why not, and the message.
    pub(crate) fn put(
        &self,
        target: u32,
        cell: &ActorCell,
        parcel: Parcel,
    ) -> Result<(), (Push, Parcel)> {
        let (wake, displaced) = cell.put(parcel)?;
        if wake == Wake::Enqueue {
            self.schedule(target, cell);
        }
        if let Some(oldest) = displaced {
            self.shared.bury_displaced(target, oldest);
        }
        Ok(())
    }

    /// Sends the messages for subscribers of the events just applied, after what the actor sent
    /// before: a chain that was pending is published, its lease is gone. One who has no room misses
    /// the event.
    pub(crate) fn send_collected(&self, me: u32) {
        let mut collected = self.take_collected();
        if collected.is_empty() {
            return;
        }
        self.flush();
        while let Some(parcel) = collected.pop_front() {
            if parcel.kind() == Kind::Step {
                quietly(|| parcel.call::<(), ()>(()));
                continue;
            }
            let target = parcel.cell();
            let Some(cell) = self.cell(target) else {
                continue;
            };
            let parcel = match self.shared.has_origins {
                true => self.stamp(parcel),
                false => parcel,
            };
            parcel.set_cell(me);
            if let Err((_, parcel)) = self.put(target, cell, parcel) {
                self.refuse(target, parcel);
            }
        }
    }

    // Timers.

    #[inline]
    pub(crate) fn arm_wheel(&self, deadline_ns: u64, address: Address, due: Parcel) -> WheelEntry {
        due.set_cell(address.cell);
        due.set_generation(address.generation.get());
        let tick = Resolution::MILLISECOND.deadline_at(deadline_ns);
        let key = self.core().wheel.borrow_mut().insert(tick, due);
        self.look_by(Resolution::MILLISECOND.start_ns(tick));
        let worker = self.id;
        WheelEntry { worker, key }
    }

    /// Lets `address` get an envelope of the kind `kind` with `value`, or have seen to what it says,
    /// when it is `deadline_ns`.
    pub(crate) fn arm_due<T: Send + 'static>(
        &self,
        deadline_ns: u64,
        address: Address,
        kind: Kind,
        value: T,
    ) -> WheelEntry {
        self.arm_wheel(deadline_ns, address, Parcel::new(kind, value))
    }

    /// Arms a timer of the running actor, and those that are the next steps of its plan.
    #[inline(never)]
    pub(crate) fn arm(&self, run: &Running<'_>, first: Parcel, rest: &mut List) {
        let now_ns = self.now_ns();
        let (me, worker) = (self.me(), self.id);
        let (mut count, mut first_tick) = (0, u64::MAX);
        let mut off = Off::default();
        let mut timers = run.extension().timers.borrow_mut();
        let mut wheel = self.core().wheel.borrow_mut();
        let is_plain = !self.shared.has_origins && !timers.has_extras();
        let mut next = Some(first);
        while let Some(step) = next {
            step.set_cell(me.cell);
            step.set_generation(me.generation.get());
            let seq = timers.next_seq();
            let [key, delay_ns] = step.note();
            step.set_note([key, seq]);
            let tick = Resolution::MILLISECOND.deadline_at(now_ns.saturating_add(delay_ns));
            first_tick = first_tick.min(tick);
            let entry = WheelEntry {
                worker,
                key: wheel.insert(tick, step),
            };
            match timers.put(Armed::new(key, seq, entry)) {
                None => count += 1,
                Some(replaced) => self.take_from(&mut wheel, replaced.entry, &mut off),
            }
            if !is_plain {
                let origin = self.keep_origin();
                let extra = origin.map(|origin| Extra {
                    repeat: None,
                    origin: Some(origin),
                });
                off.extra(timers.set_extra(key, extra));
            }
            next = rest.pop_front_of(Kind::Timer);
        }
        drop((timers, wheel));
        self.look_by(Resolution::MILLISECOND.start_ns(first_tick));
        self.timers.add(&self.shared.timers, count);
        self.put_off(off);
    }

    /// Arms an interval of the running actor.
    #[inline(never)]
    pub(crate) fn arm_interval(&self, run: &Running<'_>, step: Parcel) {
        let [key, delay_ns] = step.note();
        let deadline_ns = self.now_ns().saturating_add(delay_ns);
        if key == SILENCE {
            self.listen_for_silence(run, delay_ns);
        }
        step.set_note([deadline_ns, 0]);
        let extra = Extra {
            repeat: Some(step),
            origin: self.keep_origin(),
        };
        let mut off = Off::default();
        let mut timers = run.extension().timers.borrow_mut();
        let seq = timers.next_seq();
        let entry = self.arm_due(deadline_ns, self.me(), Kind::Interval, Tick { key, seq });
        match timers.put(Armed::new(key, seq, entry)) {
            None => self.timers.add(&self.shared.timers, 1),
            Some(replaced) => {
                let mut wheel = self.core().wheel.borrow_mut();
                self.take_from(&mut wheel, replaced.entry, &mut off);
            }
        }
        off.extra(timers.set_extra(key, Some(extra)));
        drop(timers);
        self.put_off(off);
    }

    /// The running actor's receive time-out counts from now.
    fn listen_for_silence(&self, run: &Running<'_>, after_ns: u64) {
        let extension = run.extension();
        extension.silence_ns.set(after_ns);
        extension.heard_ns.set(self.clock.fresh());
        extension.is_silent.set(false);
        let life = &run.cell().life;
        let set = life.set(life.generation(), life::SILENCE, 0);
        debug_assert!(set.is_some());
    }

    /// An actor with a receive time-out received something.
    #[cold]
    pub(crate) fn hears(&self, run: &Running<'_>, parcel: &Parcel) {
        let own = |tick: &Tick| tick.key == SILENCE;
        if parcel.kind() == Kind::Call || parcel.peek::<Tick>().is_some_and(own) {
            return;
        }
        let Some(extension) = run.existing() else {
            return;
        };
        let now_ns = self.clock.fresh();
        extension.heard_ns.set(now_ns);
        if extension.is_silent.replace(false)
            && let Some((armed, extra)) = extension.timers.borrow_mut().find_with_extra(SILENCE)
            && let Some(repeat) = &extra.repeat
        {
            // The time that was up is handled: the next one begins.
            let seq = armed.seq;
            let due_ns = now_ns.saturating_add(extension.silence_ns.get());
            repeat.set_note([due_ns, 0]);
            let tick = Tick { key: SILENCE, seq };
            armed.entry = self.arm_due(due_ns, self.me(), Kind::Interval, tick);
        }
    }

    /// Cancels a timer of the running actor, and those that the next steps of its plan cancel.
    #[inline(never)]
    pub(crate) fn cancel(&self, run: &Running<'_>, first: Parcel, rest: &mut List) {
        let Some(extension) = run.existing() else {
            return first.free_emptied_to(self.pool());
        };
        let mut count = 0;
        let mut off = Off::default();
        let mut timers = extension.timers.borrow_mut();
        let mut wheel = self.core().wheel.borrow_mut();
        let mut next = Some(first);
        while let Some(step) = next {
            let [key, _] = step.note();
            step.free_emptied_to(self.pool());
            if let Some(armed) = timers.remove(key) {
                count -= 1;
                self.take_from(&mut wheel, armed.entry, &mut off);
                off.extra(timers.take_extra(key));
                if key == SILENCE {
                    run.cell().life.clear(life::SILENCE);
                }
            }
            next = rest.pop_front_of(Kind::Cancel);
        }
        drop((timers, wheel));
        self.timers.add(&self.shared.timers, count);
        self.put_off(off);
    }

    /// Takes the entry of a timer that is off from its wheel, which is this worker's `wheel` or is
    /// told to.
    #[inline(always)]
    fn take_from(&self, wheel: &mut Wheel<Parcel>, entry: WheelEntry, off: &mut Off) {
        if entry.worker != self.id {
            off.elsewhere.push(entry);
        } else if let Some(due) = wheel.cancel(entry.key)
            && let Err(due) = due.free_plain_to(self.pool())
        {
            off.messages.push_back(due);
        }
    }

    /// Drops what came off while timers and the wheel were in hand: messages may have code of the
    /// user's in their drops.
    #[inline(always)]
    fn put_off(&self, mut off: Off) {
        while let Some(message) = off.messages.pop_front() {
            self.discard(message);
        }
        if !off.elsewhere.is_empty() {
            self.shared.order_cancels(&off.elsewhere);
        }
    }

    /// Why the limits of the system do not allow a plan, if they don't.
    #[inline]
    pub(crate) fn beyond_limits(&self, steps: &Steps) -> Option<Cause> {
        // Usually there would be room if all of its steps were asks and timers.
        let most = steps.list.iter().count();
        if self.asks.has(&self.shared.asks, most) && self.timers.has(&self.shared.timers, most) {
            return None;
        }
        self.beyond_which_limit(steps)
    }

    #[cold]
    fn beyond_which_limit(&self, steps: &Steps) -> Option<Cause> {
        let (mut asks, mut timers) = (0, 0);
        for step in steps.list.iter() {
            match step.kind() {
                Kind::Continue | Kind::Gather | Kind::Deliver => asks += 1,
                Kind::Timer | Kind::Interval => timers += 1,
                _ => {}
            }
        }
        if asks > 0 && !self.asks.has(&self.shared.asks, asks) {
            return Some(Cause::TooManyAsks);
        }
        if timers > 0 && !self.timers.has(&self.shared.timers, timers) {
            return Some(Cause::TooManyTimers);
        }
        None
    }

    /// Whether the limit of asks allows the running actor one more.
    #[inline(always)]
    pub(crate) fn may_ask(&self) -> bool {
        self.asks.has(&self.shared.asks, 1)
    }

    /// Asks of the running actor have ended.
    pub(crate) fn asks_ended(&self, count: usize) {
        self.asks.add(&self.shared.asks, -(count as i64));
    }

    /// Drops an envelope and what is in it, a user's message perhaps.
    #[inline(always)]
    pub(crate) fn discard(&self, parcel: Parcel) {
        if let Err(parcel) = parcel.free_plain_to(self.pool()) {
            quietly(|| drop(parcel));
        }
    }

    /// Takes an entry off its wheel, at once or, if another worker's, with its next turn. Nothing
    /// if it has fired.
    #[inline]
    fn take_off(&self, entry: Option<WheelEntry>) {
        let Some(entry) = entry else {
            return;
        };
        let mut off = Off::default();
        self.take_from(&mut self.core().wheel.borrow_mut(), entry, &mut off);
        self.put_off(off);
    }

    /// Does what other threads left for this worker.
    pub(crate) fn follow_orders(&self) {
        for key in self.dispatcher.take_orders(self.index) {
            let due = self.core().wheel.borrow_mut().cancel(key);
            quietly(|| drop(due));
        }
    }

    /// Cancels all timers of an actor that ends, its asks' too.
    pub(crate) fn forget_timers(&self, run: &Running<'_>) {
        let Some(extension) = run.existing() else {
            return;
        };
        self.take_off(extension.asks.borrow_mut().entry.take());
        let mut timers = extension.timers.borrow_mut();
        if timers.len() > 0 {
            self.timers.add(&self.shared.timers, -(timers.len() as i64));
            let (all, extras) = timers.take_all();
            drop(timers);
            let mut off = Off::default();
            let mut wheel = self.core().wheel.borrow_mut();
            for armed in all {
                self.take_from(&mut wheel, armed.entry, &mut off);
            }
            drop(wheel);
            extras.for_each(|extra| off.extra(Some(extra)));
            self.put_off(off);
            run.cell().life.clear(life::SILENCE);
        }
    }

    /// Lets what is due take its course.
    pub(crate) fn fire(&self, due: Parcel) {
        match due.kind() {
            #[cfg(any(debug_assertions, feature = "testkit"))]
            Kind::Circle => self.check_circle(self.shared.target_of(&due)),
            Kind::Overdue => self.shared.end_wait(due, |address| {
                self.raise(address, life::COMMIT_DUE);
            }),
            _ => self.send_uncounted(due),
        }
    }

    /// Sends what takes no place to an actor of this system.
    pub(crate) fn send_to(&self, address: Address, parcel: Parcel) {
        parcel.set_cell(address.cell);
        parcel.set_generation(address.generation.get());
        self.send_uncounted(parcel);
    }

    /// Ends an actor of this system after its turn in hand.
    pub(crate) fn stop_now(&self, target: Address) {
        if target.system == self.system() {
            self.raise(target, life::STOP_NOW);
        }
    }

    /// Whether a timer that fired was neither cancelled nor replaced meanwhile; it is off now.
    pub(crate) fn take_timer(&self, run: &Running<'_>, parcel: &Parcel) -> bool {
        let [key, seq] = parcel.note();
        let timers = run.existing().map(|extension| &extension.timers);
        let taken = timers.and_then(|timers| {
            let mut timers = timers.borrow_mut();
            timers.take(key, seq)?;
            Some(timers.take_extra(key))
        });
        if let Some(extra) = &taken {
            self.timers.add(&self.shared.timers, -1);
            if let Some(origin) = extra.as_ref().and_then(|extra| extra.origin.as_ref()) {
                self.comes_of(**origin, Some(self.me()));
            }
        }
        #[cfg(all(feature = "testkit", mainspring_planted))]
        if crate::testkit::planted::has(crate::testkit::Planted::CanceledTimer) {
            return true;
        }
        taken.is_some()
    }

    /// The message of an interval, unless it was cancelled or replaced meanwhile.
    pub(crate) fn interval_message<B: Behavior>(
        &self,
        run: &Running<'_>,
        parcel: Parcel,
    ) -> Option<B::Message> {
        let Tick { key, seq } = *parcel.peek()?;
        let mut timers = run.existing()?.timers.borrow_mut();
        let (armed, extra) = timers.find_with_extra(key)?;
        let kept = extra.repeat.as_ref().filter(|_| armed.seq == seq)?;
        let [due_ns, _] = kept.note();
        let now_ns = self.now_ns();
        let Some(repeat) = kept.peek::<Repeat<B::Message>>() else {
            let silence = kept.peek::<Silence<B::Message>>()?;
            let heard_ns = run.extension().heard_ns.get();
            let due_ns = heard_ns.saturating_add(silence.after_ns);
            kept.set_note([due_ns, 0]);
            if due_ns <= now_ns {
                run.extension().is_silent.set(true);
                return Some((silence.message)());
            }
            armed.entry = self.arm_wheel(due_ns, self.me(), parcel);
            return None;
        };
        let message = (repeat.clone)(&repeat.message);
        let due_ns = match repeat.missed {
            Missed::Burst => due_ns.saturating_add(repeat.period_ns),
            Missed::Delay => now_ns.saturating_add(repeat.period_ns),
            Missed::Skip => {
                let behind = now_ns.saturating_sub(due_ns) / repeat.period_ns;
                due_ns.saturating_add((behind + 1).saturating_mul(repeat.period_ns))
            }
        };
        kept.set_note([due_ns, 0]);
        armed.entry = self.arm_wheel(due_ns, self.me(), parcel);
        if let Some(origin) = &extra.origin {
            self.comes_of(**origin, Some(self.me()));
        }
        Some(message)
    }

    // Waiting for room.

    /// Lets the running actor wait until `target` has room for `places` messages; false when it
    /// has by now, or when a circle of waiting actors closed and this one goes over the bound.
    pub(crate) fn wait_for_room(&self, run: &Running<'_>, target: u32, places: u32) -> bool {
        let Some(cell) = self.cell(target) else {
            return false;
        };
        let me = run.address(self);
        let room = (&cell.inbox, cell.capacity());
        let life = &run.cell().life;
        let waits = &self.shared.waits;
        let (outcome, elsewhere) = waits.wait((me.cell, me), (target, places), room, || {
            life.clear(life::COMMIT_DUE);
        });
        if let Some(target) = elsewhere {
            self.wake_waiters(target);
        }
        let deadline = match outcome {
            Wait::Waits(deadline) => deadline,
            Wait::Room => return false,
            Wait::Circle => {
                self.count_overdraft(places);
                life.set(me.generation.get(), life::OVERDRAFT, 0);
                return false;
            }
        };
        if let Some(seq) = deadline {
            let deadline_ns = self.now_ns().saturating_add(self.shared.commit_deadline_ns);
            let entry = self.arm_due(deadline_ns, me, Kind::Overdue, seq);
            self.take_off(run.extension().waits_until.replace(Some(entry)));
        }
        true
    }

    /// The running actor's commit waits no more.
    ///
    /// If it was woken, those next in line are looked at again: it may have found its places before
    /// it was woken for others, or have left those to others (R3 of `sync/waits.rs`).
    pub(crate) fn stop_waiting(&self, run: &Running<'_>) {
        if let Some(target) = self.shared.waits.stop(run.number()) {
            self.wake_waiters(target);
        }
        if let Some(extension) = run.existing() {
            self.take_off(extension.waits_until.take());
        }
    }

    /// Wakes as many of those who wait for room at `target` as there is room.
    #[cold]
    pub(crate) fn wake_waiters(&self, target: u32) {
        for waiter in self.shared.waiters_to_wake(target) {
            if let Some(cell) = self.cell(waiter.cell) {
                // A signal, which one that still ends its run sees too: its plan may be on the
                // list before it is idle.
                if cell.inbox.signal() == Wake::Enqueue {
                    self.schedule(waiter.cell, cell);
                }
            }
        }
    }

    /// Raises flags of an actor's life and lets it look at them.
    pub(crate) fn raise(&self, address: Address, flags: u32) -> bool {
        let Some(cell) = self.cell(address.cell) else {
            return false;
        };
        if cell
            .life
            .set(address.generation.get(), flags, life::ENDED)
            .is_none()
        {
            return false;
        }
        if cell.inbox.signal() == Wake::Enqueue {
            self.schedule(address.cell, cell);
        }
        true
    }

    // Children.

    /// Makes an actor that is not on a run queue yet.
    #[inline(always)]
    pub(crate) fn prepare<B: Behavior>(
        &self,
        behavior: B,
        machine: B::Machine,
        limits: Limits,
        dispatcher: u16,
    ) -> Result<ActorRef<B::Message>, SpawnError> {
        let Some(number) = self.take_number() else {
            quietly(|| drop(machine));
            return Err(self.shared.no_cell());
        };
        self.stats.census.count_born();
        let body = Body { behavior, machine };
        Ok(self
            .shared
            .settle(number, self.home::<B>(dispatcher), |cell| {
                cell.prepare::<B>(number, body, limits);
            }))
    }

    /// Makes a supervised actor that is not on a run queue yet; its first run makes its state.
    #[cold]
    pub(crate) fn prepare_parked<B: Behavior>(
        &self,
        keeper: Keeper,
    ) -> Result<ActorRef<B::Message>, SpawnError> {
        let Some(number) = self.take_number() else {
            quietly(|| drop(keeper));
            return Err(self.shared.no_cell());
        };
        self.stats.census.count_born();
        let home = self.home::<B>(self.default_dispatcher());
        Ok(self.shared.settle(number, home, |cell| {
            cell.prepare_parked::<B>(number, self.default_limits::<B>(), keeper);
        }))
    }

    /// Where an actor that this worker makes belongs.
    #[inline(always)]
    fn home<B: Behavior>(&self, dispatcher: u16) -> Home {
        Home {
            type_number: self.type_number(TypeId::of::<B>(), std::any::type_name::<B>()),
            dispatcher,
        }
    }

    /// Changes the limits of a prepared actor.
    #[cold]
    pub(crate) fn set_limits(
        &self,
        child: Address,
        set: impl FnOnce(&mut Limits) -> Result<(), SpawnError>,
    ) -> Result<(), SpawnError> {
        let Some(cell) = self.cell(child.cell) else {
            return Ok(());
        };
        let mut limits = cell.limits();
        set(&mut limits)?;
        cell.set_limits(limits);
        Ok(())
    }

    /// Chooses the dispatcher of a prepared actor.
    #[cold]
    pub(crate) fn set_dispatcher(&self, child: Address, dispatcher: u16) {
        if let Some(cell) = self.cell(child.cell) {
            let before = cell.dispatcher.swap(dispatcher, Relaxed);
            self.shared.stop_own_dispatcher(before);
        }
    }

    /// Lets a prepared actor run.
    #[inline(always)]
    pub(crate) fn launch(&self, number: u32) {
        if let Some(cell) = self.cell(number) {
            self.schedule_newborn(number, cell);
        }
    }

    /// Ends a prepared actor before it ever ran.
    #[cold]
    pub(crate) fn abandon(&self, address: Address) {
        if let Some(cell) = self.cell(address.cell) {
            let flags = life::KILL | life::FINAL;
            cell.life.set(address.generation.get(), flags, 0);
            self.schedule_newborn(address.cell, cell);
        }
    }

    /// The dispatcher of a child of the running actor.
    #[inline(always)]
    pub(crate) fn default_dispatcher(&self) -> u16 {
        if self.dispatcher.own {
            0
        } else {
            self.dispatcher.id
        }
    }

    /// The limits that a child of the running actor gets.
    #[inline(always)]
    pub(crate) fn default_limits<B: Behavior>(&self) -> Limits {
        policy::limits::<B>(&self.shared.config.mailbox)
    }

    /// Tells those concerned that an actor has ended; its last messages are out.
    pub(crate) fn ended(&self, address: Address, cell: &ActorCell, exit: Exit) {
        self.flush();
        let flags = cell
            .life
            .set(address.generation.get(), life::ENDED, 0)
            .unwrap_or(0);
        self.count_ended(cell.type_number.load(Relaxed), &cell.counts());
        if flags & life::WATCHED != 0 {
            self.tell_watchers(address, exit);
        }
        if cell.inbox.has_waiters() {
            self.wake_waiters(address.cell);
        }
        if self.dispatcher.own {
            self.dispatcher.stop();
        }
    }

    /// The address of an actor of this system's by number and generation.
    pub(crate) fn address_of(&self, cell: u32, generation: NonZeroU32) -> Address {
        Address {
            cell,
            generation,
            system: self.system(),
        }
    }
}
