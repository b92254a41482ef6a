//! Which transitions an event takes: the first enabled of each leaf, without those preempted.

use smallvec::{SmallVec, smallvec};

use super::super::entry::States;
use super::super::model::StateId;
use super::super::table::{Candidate, Class, HOST, NONE, Span, Test, flag};
use super::{Ask, Chart, Instance, Logic, Out, Pick, Reach, Work};

impl<L: Logic> Chart<L> {
    #[inline]
    fn holds(
        &self,
        guard: u32,
        context: &L::Context,
        event: &L::Event,
        leaves: &[StateId],
    ) -> Result<bool, L::Fault> {
        let ask = Ask {
            context,
            event,
            view: self.view(leaves),
        };
        if guard & HOST != 0 {
            return self.logic.guard(guard & !HOST, &ask);
        }
        self.test(guard - 1, &ask)
    }

    fn test(&self, at: u32, ask: &Ask<'_, L>) -> Result<bool, L::Fault> {
        let table = &self.table;
        match table.tests[at as usize] {
            Test::Host(id) => self.logic.guard(id, ask),
            Test::In { from, to } => {
                let range = from..to;
                Ok(ask.view.leaves.iter().any(|l| range.contains(l)))
            }
            Test::Not(inner) => Ok(!self.test(inner, ask)?),
            Test::And(parts) => {
                for &part in &table.parts[parts.range()] {
                    if !self.test(part, ask)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Test::Or(parts) => {
                for &part in &table.parts[parts.range()] {
                    if self.test(part, ask)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// The first candidate whose guard holds, and its place.
    #[inline(always)]
    pub(super) fn first_enabled(
        &self,
        state: StateId,
        class: Class,
        context: &L::Context,
        event: &L::Event,
        leaves: &[StateId],
        out: &mut Out<L>,
    ) -> Result<Option<(u32, &Candidate)>, L::Fault> {
        let mut at = self.table.cell(state, class);
        while at != 0 {
            let candidate = &self.table.candidates[at as usize];
            if candidate.guard == 0 {
                return Ok(Some((at, candidate)));
            }
            let holds = match self.holds(candidate.guard, context, event, leaves) {
                Ok(holds) => holds,
                Err(fault) => {
                    self.absorb(fault, out)?;
                    false
                }
            };
            if holds {
                return Ok(Some((at, candidate)));
            }
            at = match candidate.flags & (flag::LAST | flag::ABOVE) {
                0 => at + 1,
                flag::LAST => 0,
                _ => self.table.above(candidate, class),
            };
        }
        Ok(None)
    }

    /// Turns a fault into an event, or gives it back where faults are not events.
    #[cold]
    pub(super) fn absorb(&self, fault: L::Fault, out: &mut Out<L>) -> Result<(), L::Fault> {
        if !self.table.rules.errors_are_events {
            return Err(fault);
        }
        if let Some(event) = self.logic.failure(fault) {
            out.queue.push_back(event);
        }
        Ok(())
    }

    /// Fills `work.picks` with the transitions enabled by an event of `class`, in document order of
    /// their leaves, without those that a nearer one preempts.
    pub(super) fn select(
        &self,
        m: &Instance<L::Context>,
        class: Class,
        event: &L::Event,
        out: &mut Out<L>,
        work: &mut Work,
    ) -> Result<(), L::Fault> {
        work.picks.clear();
        work.common = u32::MAX;
        let class = self.known(class);
        let leaves = &m.leaves[..];
        if class == Class::EVENTLESS && self.table.by_activation {
            for leaf in &m.recent {
                let position = leaves.binary_search(leaf).unwrap_or(0);
                self.ask(*leaf, position, class, m, event, out, work)?;
            }
        } else if class != Class::EVENTLESS && self.table.asks_around[class.0 as usize] {
            for (position, &leaf) in leaves.iter().enumerate() {
                self.ask(leaf, position, class, m, event, out, work)?;
                self.ask_around(position, class, m, event, out, work)?;
            }
        } else {
            for (position, &leaf) in leaves.iter().enumerate() {
                self.ask(leaf, position, class, m, event, out, work)?;
            }
        }
        self.drop_preempted(m, work);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn ask(
        &self,
        state: StateId,
        position: usize,
        class: Class,
        m: &Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
        work: &mut Work,
    ) -> Result<(), L::Fault> {
        let found = self.first_enabled(state, class, &m.context, event, &m.leaves, out)?;
        if let Some((at, candidate)) = found {
            work.common &= candidate.flags;
            work.picks.push(Pick {
                position: position as u32,
                candidate: at,
            });
        }
        Ok(())
    }

    /// After a region's last leaf: asks the parallel states around, if no region took the event.
    fn ask_around(
        &self,
        position: usize,
        class: Class,
        m: &Instance<L::Context>,
        event: &L::Event,
        out: &mut Out<L>,
        work: &mut Work,
    ) -> Result<(), L::Fault> {
        let leaves = &m.leaves[..];
        let mut around = self.table.rows[leaves[position] as usize].climb;
        while around != NONE {
            let row = &self.table.rows[around as usize];
            let next_is_inside = leaves.get(position + 1).is_some_and(|&l| l < row.end);
            if next_is_inside {
                break;
            }
            let last = work.picks.last();
            if last.is_none_or(|p| leaves[p.position as usize] < around) {
                self.ask(around, position, class, m, event, out, work)?;
            }
            around = row.climb;
        }
        Ok(())
    }

    /// Found before anything is left: what a history remembers changes then, and a second look
    /// could find a narrower domain, inside of which the states just left would not come back.
    pub(super) fn reach(&self, pick: &Pick, m: &Instance<L::Context>) -> Reach {
        let arrow = &self.table.arrows[self.candidate(pick).transition as usize];
        let (mut exit, mut domain) = (arrow.exit, arrow.domain);
        if arrow.by_memory {
            let mut effective = States::new();
            let targets = self.table.list(arrow.targets);
            self.table
                .effective_targets(targets, &m.memory, 0, &mut effective);
            domain = self.table.domain(arrow.source, &effective, arrow.internal);
            exit = self.table.exit_range(domain);
        }
        Reach { exit, domain }
    }

    /// A class of another chart that this one does not have is an unknown event.
    #[inline(always)]
    pub(super) fn known(&self, class: Class) -> Class {
        if class.0 < self.table.classes {
            class
        } else {
            Class::OTHER
        }
    }

    /// A transition that several leaves picked stays once. Of two that leave a common state, the one
    /// from the deeper source stays, else the earlier.
    pub(super) fn drop_preempted(&self, m: &Instance<L::Context>, work: &mut Work) {
        if work.picks.len() < 2 || work.common & flag::ALONE != 0 {
            return;
        }
        let meet = |a: Span, b: Span| {
            let range = a.start.max(b.start)..a.end.min(b.end);
            m.leaves.iter().any(|l| range.contains(l))
        };
        let mut kept: SmallVec<[(Pick, u32, Span); 8]> = SmallVec::new();
        let mut seen: SmallVec<[u32; 8]> = SmallVec::new();
        for &pick in &work.picks {
            let transition = self.candidate(&pick).transition;
            if seen.contains(&transition) {
                continue;
            }
            seen.push(transition);
            let source = self.table.arrows[transition as usize].source;
            let exit = self.reach(&pick, m).exit;
            let mut beaten: SmallVec<[usize; 4]> = smallvec![];
            let mut preempted = false;
            for (nth, &(_, around, other)) in kept.iter().enumerate() {
                if meet(exit, other) {
                    if self.table.is_below(source, around) {
                        beaten.push(nth);
                    } else {
                        preempted = true;
                        break;
                    }
                }
            }
            if !preempted {
                for nth in beaten.into_iter().rev() {
                    kept.remove(nth);
                }
                kept.push((pick, source, exit));
            }
        }
        work.picks.clear();
        work.picks.extend(kept.into_iter().map(|(pick, ..)| pick));
    }
}
