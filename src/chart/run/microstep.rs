//! One microstep: what is left, what is done and what is entered, by a plan made ahead or worked out.

use super::super::entry::Bits;
use super::super::model::{Kind, StateId};
use super::super::table::{NONE, Span, flag};
use super::{Buffers, Chart, Instance, Logic, Out, Pick, Scope, Status, StepError, View};

impl<L: Logic> Chart<L> {
    #[inline(always)]
    pub(super) fn ops(
        &self,
        span: Span,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
    ) -> Result<(), StepError<L::Fault>> {
        self.run_ops(span, &mut self.scope(m, event, None, out))
    }

    /// What actions see and may use in an instance; the configuration as it changes if that is
    /// `live`.
    #[inline(always)]
    fn scope<'a>(
        &'a self,
        m: &'a mut Instance<L::Context>,
        event: &'a L::Event,
        live: Option<&'a Bits>,
        out: &'a mut Out<L>,
    ) -> Scope<'a, L> {
        let view = View {
            table: &self.table,
            leaves: &m.leaves,
            live,
        };
        Scope {
            context: &mut m.context,
            event,
            view,
            out,
        }
    }

    #[inline]
    pub(super) fn ops_in(
        &self,
        span: Span,
        context: &mut L::Context,
        event: &L::Event,
        view: View<'_>,
        out: &mut Out<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let mut scope = Scope {
            context,
            event,
            view,
            out,
        };
        self.run_ops(span, &mut scope)
    }

    #[inline(always)]
    pub(super) fn run_ops(
        &self,
        span: Span,
        scope: &mut Scope<'_, L>,
    ) -> Result<(), StepError<L::Fault>> {
        for &op in &self.table.ops[span.range()] {
            if let Err(fault) = self.logic.act(op, scope) {
                self.absorb(fault, scope.out).map_err(StepError::Fault)?;
            }
        }
        Ok(())
    }

    /// Has the logic do what it does beside actions.
    pub(super) fn hook(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        live: Option<&Bits>,
        out: &mut Out<L>,
        hook: impl FnOnce(&L, &mut Scope<'_, L>) -> Result<(), L::Fault>,
    ) -> Result<(), StepError<L::Fault>> {
        let mut scope = self.scope(m, event, live, out);
        match hook(&self.logic, &mut scope) {
            Ok(()) => Ok(()),
            Err(fault) => self.absorb(fault, scope.out).map_err(StepError::Fault),
        }
    }

    /// Takes the picked transitions.
    pub(super) fn microstep(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let in_order = !self.table.by_activation || b.work.picks.is_sorted_by_key(|p| p.position);
        let planned = |p| self.candidate(p).is(flag::PLANNED);
        if in_order && b.work.picks.iter().all(planned) {
            return self.planned_step(m, event, b);
        }
        match b.work.picks[..] {
            [pick] if self.candidate(&pick).is(flag::CLIMBS) && !self.table.by_activation => {
                self.climbing_step(pick, m, event, b)
            }
            _ => self.worked_out_step(m, event, b),
        }
    }

    /// A microstep of one transition kept above the leaf ([`flag::CLIMBS`]).
    fn climbing_step(
        &self,
        pick: Pick,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let candidate = self.candidate(&pick);
        let arrow = &self.table.arrows[candidate.transition as usize];
        let moves = !arrow.exit.is_empty();
        let mut at = m.leaves[pick.position as usize];
        while moves && at != arrow.domain && at != NONE {
            let row = &self.table.rows[at as usize];
            self.ops(row.exit, m, event, &mut b.out)?;
            at = row.parent;
        }
        self.ops(candidate.ops, m, event, &mut b.out)?;
        if moves {
            m.leaves[pick.position as usize] = candidate.leaf;
        }
        Ok(())
    }

    /// A microstep of plans: all exits, last leaf first, then all transitions, then all entries.
    fn planned_step(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let picks = &b.work.picks[..];
        if let [pick] = picks {
            self.ops(self.candidate(pick).ops, m, event, &mut b.out)?;
        } else {
            let around = |p: &&Pick| self.candidate(p).is(flag::AROUND);
            for c in picks.iter().rev().filter(around) {
                let c = self.candidate(c);
                let exit = Span {
                    start: c.ops.start,
                    end: c.body_at,
                };
                self.ops(exit, m, event, &mut b.out)?;
            }
            for c in picks {
                let c = self.candidate(c);
                let body = Span {
                    start: c.body_at,
                    end: c.entry_at,
                };
                self.ops(body, m, event, &mut b.out)?;
            }
            for c in picks.iter().filter(around) {
                let c = self.candidate(c);
                let entry = Span {
                    start: c.entry_at,
                    end: c.ops.end,
                };
                self.ops(entry, m, event, &mut b.out)?;
            }
        }
        for pick in picks {
            let c = self.candidate(pick);
            if c.is(flag::MOVES) {
                let old = std::mem::replace(&mut m.leaves[pick.position as usize], c.leaf);
                if self.table.by_activation {
                    m.recent.retain(|l| *l != old);
                    m.recent.push(c.leaf);
                }
            }
        }
        Ok(())
    }

    pub(super) fn mark_active(&self, leaves: &[StateId], active: &mut Bits) {
        active.reset(self.table.len());
        for &leaf in leaves {
            active.set(leaf);
            for up in self.table.parents(leaf) {
                if active.get(up) {
                    break;
                }
                active.set(up);
            }
        }
    }

    /// The general microstep: Appendix D's exitStates, executeTransitionContent and enterStates.
    fn worked_out_step(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let table = &self.table;
        let work = &mut b.work;
        self.mark_active(&m.leaves, &mut work.active);
        work.exits.clear();
        work.reaches.clear();
        for pick in &work.picks {
            let reach = self.reach(pick, m);
            work.reaches.push(reach);
            let mut next = work.active.next(reach.exit.start);
            while let Some(s) = next.filter(|&s| s < reach.exit.end) {
                work.exits.push(s);
                next = work.active.next(s + 1);
            }
        }
        work.exits.sort_unstable_by(|a, b| b.cmp(a));
        work.exits.dedup();
        self.remember(m, &work.exits, &work.active);
        self.leave(m, event, b)?;
        for at in 0..b.work.picks.len() {
            let transition = self.candidate(&b.work.picks[at]).transition;
            let arrow = &table.arrows[transition as usize];
            self.live_ops(arrow.ops, m, event, &mut b.out, &b.work.active)?;
        }
        b.work.entry.reset(table.len());
        for (pick, reach) in b.work.picks.iter().zip(&b.work.reaches) {
            let arrow = &table.arrows[self.candidate(pick).transition as usize];
            let targets = table.list(arrow.targets);
            // A history that stands for the very state it is asked from leaves nothing and enters
            // that state again (XState); not if another transition has left it meanwhile, or two
            // children of one state would be active.
            if arrow.by_memory && reach.exit.is_empty() && !b.work.active.get(arrow.source) {
                continue;
            }
            table.add_entry(
                (arrow.source, targets, arrow.internal),
                reach.domain,
                &m.memory,
                &mut b.work.entry,
            );
        }
        self.enter(m, event, b)
    }

    /// Ops of a general microstep; they see the configuration as it changes only where
    /// [`Rules::live_configuration`](super::super::model::Rules::live_configuration) says so.
    fn live_ops(
        &self,
        span: Span,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
        active: &Bits,
    ) -> Result<(), StepError<L::Fault>> {
        let live = self.table.rules.live_configuration.then_some(active);
        self.run_ops(span, &mut self.scope(m, event, live, out))
    }

    fn remember(&self, m: &mut Instance<L::Context>, exits: &[StateId], active: &Bits) {
        for &s in exits {
            let row = &self.table.rows[s as usize];
            for &h in self.table.list(row.histories) {
                let history = &self.table.rows[h as usize];
                let kept = &mut m.memory[history.memory as usize];
                kept.clear();
                if history.kind == (Kind::History { deep: true }) {
                    kept.extend(
                        m.leaves
                            .iter()
                            .copied()
                            .filter(|l| (s..row.end).contains(l)),
                    );
                } else {
                    let mut child = active.next(s + 1);
                    while let Some(at) = child.filter(|&at| at < row.end) {
                        kept.push(at);
                        child = active.next(self.table.rows[at as usize].end);
                    }
                }
            }
        }
    }

    /// Enters `work.entry` and makes the new configuration of what is active then.
    pub(super) fn enter(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        let table = &self.table;
        b.work.complete.clear();
        let mut done = false;
        let mut next = b.work.entry.enter.next(0);
        while let Some(s) = next {
            let row = &table.rows[s as usize];
            b.work.active.set(s);
            if !row.invokes.is_empty() {
                b.work.invokes.push(s);
            }
            self.live_ops(row.entry, m, event, &mut b.out, &b.work.active)?;
            if b.work.entry.marks.get(s) {
                self.live_ops(row.initial_ops, m, event, &mut b.out, &b.work.active)?;
            }
            for at in 0..b.work.entry.defaults.len() {
                let (parent, ops) = b.work.entry.defaults[at];
                if parent == s {
                    self.live_ops(ops, m, event, &mut b.out, &b.work.active)?;
                }
            }
            if row.kind == Kind::Final {
                done |= self.complete(s, m, event, b)?;
            }
            next = b.work.entry.enter.next(s + 1);
        }
        if table.by_activation {
            let exits = &b.work.exits;
            m.recent.retain(|l| !exits.contains(l));
        }
        m.leaves.clear();
        let mut next = b.work.active.next(0);
        while let Some(s) = next {
            if matches!(table.rows[s as usize].kind, Kind::Atomic | Kind::Final) {
                m.leaves.push(s);
                if table.by_activation && !m.recent.contains(&s) {
                    m.recent.push(s);
                }
            }
            next = b.work.active.next(s + 1);
        }
        if done {
            m.status = Status::Done;
            if !table.rules.output_at_end {
                self.exit_all(m, event, b)?;
            }
        }
        Ok(())
    }

    /// A final state was entered: completes what it completes. Gives whether the chart is done.
    fn complete(
        &self,
        s: StateId,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<bool, StepError<L::Fault>> {
        let table = &self.table;
        let parent = table.rows[s as usize].parent;
        if parent == NONE {
            return Ok(true);
        }
        let parallel = |s: u32| s != NONE && table.rows[s as usize].kind == Kind::Parallel;
        if !table.rules.done_climbs {
            if parent == 0 {
                return Ok(true);
            }
            self.completed(parent, Some(s), m, event, b)?;
            let around = table.rows[parent as usize].parent;
            if parallel(around) && table.in_final(around, &b.work.active) {
                self.completed(around, None, m, event, b)?;
            }
            return Ok(false);
        }
        let mut around = if parallel(parent) {
            parent
        } else {
            self.completed(parent, Some(s), m, event, b)?;
            table.rows[parent as usize].parent
        };
        let mut whole = if around == NONE { s } else { around };
        while parallel(around)
            && !b.work.complete.contains(&around)
            && table.in_final(around, &b.work.active)
        {
            b.work.complete.push(around);
            self.completed(around, None, m, event, b)?;
            whole = around;
            around = table.rows[around as usize].parent;
        }
        if around != NONE {
            return Ok(false);
        }
        let live = table.rules.live_configuration.then_some(&b.work.active);
        self.hook(m, event, live, &mut b.out, |logic, scope| {
            logic.finished(s, whole, scope)
        })?;
        Ok(true)
    }

    fn completed(
        &self,
        state: StateId,
        by: Option<StateId>,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        self.hook(m, event, None, &mut b.out, |logic, scope| {
            logic.completed(state, by, scope)
        })
    }

    /// Runs the exit actions of all active states, deepest and last first. The configuration stays
    /// readable as it was.
    pub(super) fn exit_all(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        b.work.exits.clear();
        let mut next = b.work.active.before(self.table.len() as u32);
        while let Some(s) = next {
            b.work.exits.push(s);
            next = b.work.active.before(s);
        }
        self.leave(m, event, b)
    }

    /// Runs the exit actions of `work.exits` in order and takes them out of `work.active`.
    fn leave(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        for at in 0..b.work.exits.len() {
            let s = b.work.exits[at];
            let exit = self.table.rows[s as usize].exit;
            self.live_ops(exit, m, event, &mut b.out, &b.work.active)?;
            b.work.active.clear(s);
            if self.table.has_invokes {
                b.work.invokes.retain(|&i| i != s);
            }
        }
        Ok(())
    }

    pub(super) fn complete_at_end(
        &self,
        m: &mut Instance<L::Context>,
        event: &L::Event,
        b: &mut Buffers<L>,
    ) -> Result<(), StepError<L::Fault>> {
        self.mark_active(&m.leaves, &mut b.work.active);
        self.exit_all(m, event, b)?;
        let by = m.leaves.iter().copied().find(|&l| {
            let row = &self.table.rows[l as usize];
            row.kind == Kind::Final && row.parent == 0
        });
        if let Some(by) = by {
            self.hook(m, event, None, &mut b.out, |logic, scope| {
                logic.finished(by, 0, scope)
            })?;
        }
        b.out.queue.clear();
        Ok(())
    }
}
