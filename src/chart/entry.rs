//! Which states a transition leaves and enters: domain, exit set and entry set of SCXML's
//! Appendix D (W3C Recommendation of 2015-09-01), with XState's departures as [`Rules`].
//!
//! Used twice: while lowering, for every transition whose answer does not depend on a history, and
//! by the runner for the others.
//!
//! [`Rules`]: super::model::Rules

use std::fmt;
use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use super::model::{Kind, StateId};
use super::table::{NONE, Row, Span, Table};

/// A few states, sorted where order matters.
pub(crate) type States = SmallVec<[StateId; 4]>;

/// How many leaves need no allocation.
const FEW: usize = 4;

/// A configuration's leaves, sorted.
///
/// Not [`States`]: there the pointer of a long list lies where a short one has its first number, and
/// the processor reads it ahead of knowing which it is. After a step has written that number the
/// next one would wait for it to leave the store buffer.
#[derive(Clone, Default)]
pub(crate) struct Leaves {
    /// How many of `few` are leaves, if `many` is empty.
    len: u32,
    few: [StateId; FEW],
    /// All of them once there were more than a few.
    many: Vec<StateId>,
}

impl Leaves {
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.many.clear();
    }

    pub(crate) fn push(&mut self, leaf: StateId) {
        if self.many.is_empty() {
            if let Some(place) = self.few.get_mut(self.len as usize) {
                *place = leaf;
                self.len += 1;
                return;
            }
            self.many.extend_from_slice(&self.few);
        }
        self.many.push(leaf);
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.len = other.len;
        self.few = other.few;
        self.many.clone_from(&other.many);
    }
}

impl Deref for Leaves {
    type Target = [StateId];

    #[inline(always)]
    fn deref(&self) -> &[StateId] {
        if self.many.is_empty() {
            &self.few[..self.len as usize]
        } else {
            &self.many
        }
    }
}

impl DerefMut for Leaves {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [StateId] {
        if self.many.is_empty() {
            &mut self.few[..self.len as usize]
        } else {
            &mut self.many
        }
    }
}

impl PartialEq for Leaves {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Deeper than any chart that passes the check; a circle of history defaults ends here.
const RECURSION_MAX: u32 = 3 * super::check::DEPTH_MAX;

/// A set of states as bits, and a bit for each word that may hold some: what a step costs follows
/// the states it meets, not those of the chart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
    used: Vec<u64>,
}

impl Bits {
    pub(crate) fn reset(&mut self, len: usize) {
        let words = len.div_ceil(64);
        if self.words.len() != words {
            self.words.clear();
            self.words.resize(words, 0);
            self.used.clear();
            self.used.resize(words.div_ceil(64), 0);
            return;
        }
        for (nth, used) in self.used.iter_mut().enumerate() {
            while *used != 0 {
                self.words[nth * 64 + used.trailing_zeros() as usize] = 0;
                *used &= *used - 1;
            }
        }
    }

    #[inline]
    pub(crate) fn set(&mut self, s: u32) {
        let word = s as usize / 64;
        self.words[word] |= 1 << (s % 64);
        self.used[word / 64] |= 1 << (word % 64);
    }

    #[inline]
    pub(crate) fn clear(&mut self, s: u32) {
        self.words[s as usize / 64] &= !(1 << (s % 64));
    }

    #[inline]
    pub(crate) fn get(&self, s: u32) -> bool {
        self.words
            .get(s as usize / 64)
            .is_some_and(|w| w >> (s % 64) & 1 == 1)
    }

    /// The first member at or after `from`.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        let mut word = from as usize / 64;
        let mut bits = self.words.get(word)? & (!0 << (from % 64));
        while bits == 0 {
            word += 1;
            let mut used = self.used.get(word / 64)? & (!0 << (word % 64));
            if used == 0 {
                let nth = (word / 64 + 1..self.used.len()).find(|&nth| self.used[nth] != 0)?;
                word = nth * 64;
                used = self.used[nth];
            }
            word = word / 64 * 64 + used.trailing_zeros() as usize;
            bits = self.words[word];
        }
        Some(word as u32 * 64 + bits.trailing_zeros())
    }

    /// The last member before `to`.
    pub(crate) fn before(&self, to: u32) -> Option<u32> {
        let mut word = to as usize / 64;
        let mut bits = match self.words.get(word) {
            Some(w) => w & !(!0 << (to % 64)),
            None => 0,
        };
        word = word.min(self.words.len());
        while bits == 0 {
            let nth = word / 64;
            let used = self.used.get(nth).map_or(0, |u| u & !(!0 << (word % 64)));
            let (nth, used) = match used {
                0 => (0..nth.min(self.used.len()))
                    .rev()
                    .map(|nth| (nth, self.used[nth]))
                    .find(|(_, used)| *used != 0)?,
                _ => (nth, used),
            };
            word = nth * 64 + 63 - used.leading_zeros() as usize;
            bits = self.words[word];
        }
        Some(word as u32 * 64 + 63 - bits.leading_zeros())
    }

    pub(crate) fn any_in(&self, from: u32, to: u32) -> bool {
        self.next(from).is_some_and(|s| s < to)
    }
}

/// What history states remember: an empty list is "nothing yet".
pub(crate) type Memory = [States];

/// The states to enter, and which of them run their initial actions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) enter: Bits,
    pub(crate) marks: Bits,
    /// A history's default actions, run after the entry of its parent.
    pub(crate) defaults: Vec<(StateId, Span)>,
    /// Whether a history was met, so that the answer depends on its memory.
    pub(crate) met_history: bool,
}

impl Entry {
    pub(crate) fn reset(&mut self, len: usize) {
        self.enter.reset(len);
        self.marks.reset(len);
        self.defaults.clear();
        self.met_history = false;
    }

    /// Appendix D's `defaultHistoryContent[parent]`: one for each parent, the last one met, however
    /// many transitions lead there.
    fn set_default(&mut self, parent: StateId, ops: Span) {
        match self.defaults.iter_mut().find(|(p, _)| *p == parent) {
            Some((_, old)) => *old = ops,
            None => self.defaults.push((parent, ops)),
        }
    }
}

impl Table {
    fn row(&self, s: StateId) -> &Row {
        &self.rows[s as usize]
    }

    fn children(&self, s: StateId) -> impl Iterator<Item = StateId> + '_ {
        let end = self.row(s).end;
        let mut at = s + 1;
        std::iter::from_fn(move || {
            while at < end {
                let child = at;
                at = self.row(child).end;
                if !matches!(self.row(child).kind, Kind::History { .. }) {
                    return Some(child);
                }
            }
            None
        })
    }

    pub(crate) fn list(&self, span: Span) -> &[StateId] {
        &self.lists[span.range()]
    }

    /// The default of a history without memory: its own, or else its parent's.
    fn history_default(&self, h: StateId) -> (&[StateId], bool) {
        let own = self.list(self.row(h).initial);
        if !own.is_empty() {
            return (own, false);
        }
        let parent = self.row(h).parent as usize;
        match self.rows[parent].kind {
            Kind::Parallel => (std::slice::from_ref(&self.row(h).parent), false),
            _ => (self.list(self.rows[parent].initial), true),
        }
    }

    /// The targets with each history replaced by what it stands for. Histories whose default is a
    /// history are followed.
    pub(crate) fn effective_targets(
        &self,
        targets: &[StateId],
        memory: &Memory,
        depth: u32,
        out: &mut States,
    ) {
        for &t in targets {
            let row = self.row(t);
            if !matches!(row.kind, Kind::History { .. }) {
                if !out.contains(&t) {
                    out.push(t);
                }
                continue;
            }
            match memory.get(row.memory as usize) {
                Some(kept) if !kept.is_empty() => {
                    for &s in kept {
                        if !out.contains(&s) {
                            out.push(s);
                        }
                    }
                }
                // A circle of defaults (reported by the check) ends here.
                _ if depth > RECURSION_MAX => {}
                _ => self.effective_targets(self.history_default(t).0, memory, depth + 1, out),
            }
        }
    }

    /// The state inside which a transition from `source` to `targets` happens; [`NONE`] is above
    /// the root.
    pub(crate) fn domain(&self, source: StateId, targets: &[StateId], internal: bool) -> u32 {
        let rules = &self.rules;
        let inside = |t: StateId| self.is_below(t, source) || (rules.self_is_inside && t == source);
        let may_stay = rules.self_is_inside || self.row(source).kind == Kind::Compound;
        if internal && may_stay && targets.iter().all(|&t| inside(t)) {
            return source;
        }
        let first = targets.first().copied().unwrap_or(source);
        for ancestor in self.parents(first) {
            let fits = rules.parallel_domain || self.row(ancestor).kind == Kind::Compound;
            let around = |&t: &StateId| self.is_below(t, ancestor);
            if fits && targets.iter().all(around) && self.is_below(source, ancestor) {
                return ancestor;
            }
        }
        if rules.parallel_domain && !internal {
            NONE
        } else {
            0
        }
    }

    /// The numbers among which the states left lie.
    pub(crate) fn exit_range(&self, domain: u32) -> Span {
        match domain {
            NONE => Span {
                start: 0,
                end: self.rows.len() as u32,
            },
            d => Span {
                start: d + 1,
                end: self.row(d).end,
            },
        }
    }

    /// Adds what one transition enters inside `domain`.
    pub(crate) fn add_entry(
        &self,
        arrow: (StateId, &[StateId], bool),
        domain: u32,
        memory: &Memory,
        out: &mut Entry,
    ) {
        let (source, targets, internal) = arrow;
        if targets.is_empty() {
            return;
        }
        let mut effective = States::new();
        self.effective_targets(targets, memory, 0, &mut effective);
        let by_target = self.rules.initial_by_target;
        for &t in targets {
            let is_history = matches!(self.row(t).kind, Kind::History { .. });
            let stays = by_target && t == source && domain == source && internal;
            if !is_history && !stays {
                out.enter.set(t);
                if by_target {
                    out.marks.set(t);
                }
            }
            self.descend(t, memory, out, 0);
        }
        let floor = if by_target && source == 0 && !internal {
            NONE
        } else {
            domain
        };
        for &t in &effective {
            self.ascend(t, domain, floor, memory, out, 0);
            if by_target && domain != NONE && self.row(domain).kind == Kind::Parallel {
                self.regions(domain, memory, out, 0);
            }
        }
    }

    /// Adds what entering `s` by default brings with it, `s` itself left out.
    pub(crate) fn descend(&self, s: StateId, memory: &Memory, out: &mut Entry, depth: u32) {
        if depth > RECURSION_MAX {
            return; // a circle of history defaults, reported by the check
        }
        let row = self.row(s);
        let by_target = self.rules.initial_by_target;
        match row.kind {
            Kind::History { .. } => {
                out.met_history = true;
                let kept = memory.get(row.memory as usize).filter(|m| !m.is_empty());
                let (states, marks_parent) = match kept {
                    Some(kept) => (kept.as_slice(), false),
                    None => self.history_default(s),
                };
                if kept.is_none() {
                    if marks_parent && by_target {
                        out.marks.set(row.parent);
                    }
                    out.set_default(row.parent, row.initial_ops);
                }
                for &t in states {
                    if !matches!(self.row(t).kind, Kind::History { .. }) {
                        out.enter.set(t);
                    }
                    self.descend(t, memory, out, depth + 1);
                }
                for &t in states {
                    self.ascend(t, row.parent, NONE, memory, out, depth + 1);
                }
            }
            Kind::Compound => {
                if !by_target {
                    out.marks.set(s);
                }
                let initial = self.list(row.initial);
                for &t in initial {
                    if !matches!(self.row(t).kind, Kind::History { .. }) {
                        out.enter.set(t);
                        if by_target {
                            out.marks.set(t);
                        }
                    }
                    self.descend(t, memory, out, depth + 1);
                }
                for &t in initial {
                    self.ascend(t, s, NONE, memory, out, depth + 1);
                }
            }
            Kind::Parallel => {
                for child in self.children(s) {
                    if !out.enter.any_in(child + 1, self.row(child).end) {
                        out.enter.set(child);
                        if by_target {
                            out.marks.set(child);
                        }
                        self.descend(child, memory, out, depth + 1);
                    }
                }
            }
            Kind::Atomic | Kind::Final => {}
        }
    }

    /// Adds the ancestors of `s` below `to`, and the other regions of the parallel ones. Only those
    /// below `floor` are themselves added ([`NONE`]: all).
    fn ascend(
        &self,
        s: StateId,
        to: u32,
        floor: u32,
        memory: &Memory,
        out: &mut Entry,
        depth: u32,
    ) {
        if s == to {
            return;
        }
        for ancestor in self.parents(s) {
            if ancestor == to || (ancestor == 0 && !self.rules.root_is_state) {
                break;
            }
            if floor == NONE || self.is_below(ancestor, floor) {
                out.enter.set(ancestor);
            }
            if self.row(ancestor).kind == Kind::Parallel {
                self.regions(ancestor, memory, out, depth);
            }
        }
    }

    /// Adds the regions of a parallel state in which nothing is entered yet.
    fn regions(&self, parallel: StateId, memory: &Memory, out: &mut Entry, depth: u32) {
        for child in self.children(parallel) {
            if !out.enter.any_in(child + 1, self.row(child).end) {
                out.enter.set(child);
                self.descend(child, memory, out, depth + 1);
            }
        }
    }

    /// Whether `s` is complete, given the active states.
    pub(crate) fn in_final(&self, s: StateId, active: &Bits) -> bool {
        match self.row(s).kind {
            // Its one active child is the first active state below it.
            Kind::Compound => active
                .next(s + 1)
                .is_some_and(|c| self.row(c).parent == s && self.row(c).kind == Kind::Final),
            Kind::Parallel => self.children(s).all(|c| self.in_final(c, active)),
            Kind::Final => self.rules.done_climbs && active.get(s),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Leaves};
    use std::collections::BTreeSet;

    #[test]
    fn bits_are_a_sorted_set() {
        let mut state = 1_u64;
        let mut draw = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32 % below
        };
        let mut bits = Bits::default();
        for len in [1, 64, 65, 4096, 4097, 4097, 20_000, 20_000, 300] {
            bits.reset(len as usize);
            let mut set = BTreeSet::new();
            for _ in 0..60 {
                let s = draw(len);
                if draw(3) == 0 {
                    bits.clear(s);
                    set.remove(&s);
                } else {
                    bits.set(s);
                    set.insert(s);
                }
                let at = draw(len + 70);
                assert_eq!(bits.next(at), set.range(at..).next().copied());
                assert_eq!(bits.before(at), set.range(..at).next_back().copied());
                assert_eq!(bits.get(at), set.contains(&at));
            }
        }
    }

    #[test]
    fn leaves_are_what_was_pushed_few_or_many() {
        let mut leaves = Leaves::default();
        let mut copy = Leaves::default();
        for round in 0..3 {
            for count in [1, 4, 5, 9, 2] {
                leaves.clear();
                assert!(leaves.is_empty());
                for n in 0..count {
                    leaves.push(round + n);
                }
                let expected: Vec<u32> = (round..round + count).collect();
                assert_eq!(*leaves, expected[..]);
                copy.copy_from(&leaves);
                assert_eq!(copy, leaves);
                leaves[0] += 100;
                assert_ne!(copy, leaves);
                assert_eq!(leaves[0], round + 100);
            }
        }
    }
}
