//! Which transitions of a state an event's name matches, and in which order they are asked.

use super::super::model::{Model, Trigger};
use super::super::table::{Class, Names, Span};
use super::add;

/// Which of a state's own transitions match which class.
pub(super) struct Matchers {
    /// By state: its part of `classes`.
    spans: Vec<Span>,
    /// The classes that a state tells apart, in order, and for each a part of `orders`.
    classes: Vec<(u32, Span)>,
    /// Places in a state's list, in the order to ask.
    orders: Vec<u32>,
    /// For each state a part of `orders`: those that match a class not told apart.
    others: Vec<Span>,
    /// While a state is read: the place in `classes` that each transition was last seen for.
    seen: Vec<usize>,
}

impl Matchers {
    pub(super) fn new(model: &Model, names: &Names) -> Self {
        let mut all = Self {
            spans: Vec::with_capacity(model.states.len()),
            classes: Vec::with_capacity(model.states.len()),
            orders: Vec::with_capacity(model.states.len()),
            others: Vec::with_capacity(model.states.len()),
            seen: Vec::new(),
        };
        let stems = Stems::new(names);
        let by_exactness = model.rules.by_exactness;
        // (class, how exact, place)
        let mut hits: Vec<(u32, u32, u32)> = Vec::new();
        let mut stars: Vec<u32> = Vec::new();
        for state in &model.states {
            hits.clear();
            stars.clear();
            for (t, nth) in state.transitions.iter().zip(0..) {
                let Trigger::Events(descriptors) = &t.trigger else {
                    hits.push((Class::EVENTLESS.0, 0, nth));
                    continue;
                };
                for d in descriptors {
                    if d == "*" {
                        stars.push(nth);
                        continue;
                    }
                    let exact = if by_exactness { exactness(d) } else { 0 };
                    stems.each(d, model.rules.prefix_match, |class| {
                        hits.push((class, exact, nth));
                    });
                }
            }
            all.seen.clear();
            all.seen.resize(state.transitions.len(), usize::MAX);
            stars.dedup();
            hits.sort_unstable();
            let first = all.classes.len() as u32;
            let mut rest = &hits[..];
            while let Some(&(class, ..)) = rest.first() {
                let count = rest.iter().take_while(|hit| hit.0 == class).count();
                let own = rest[..count].iter().map(|&(_, exact, nth)| (exact, nth));
                let order = all.order(own, if class == 0 { &[] } else { &stars }, by_exactness);
                all.classes.push((class, order));
                rest = &rest[count..];
            }
            all.spans.push(Span {
                start: first,
                end: all.classes.len() as u32,
            });
            let others = add(&mut all.orders, &stars);
            all.others.push(others);
        }
        all
    }

    /// Adds one class's places: `own`, sorted, and the wildcards behind them (XState) or at their
    /// places (SCXML).
    fn order(
        &mut self,
        own: impl Iterator<Item = (u32, u32)>,
        stars: &[u32],
        by_exactness: bool,
    ) -> Span {
        let start = self.orders.len();
        self.orders.extend(own.map(|(_, nth)| nth));
        self.orders.extend_from_slice(stars);
        if !by_exactness {
            self.orders[start..].sort_unstable();
        }
        let mut kept = start;
        for at in start..self.orders.len() {
            let nth = self.orders[at];
            let last = &mut self.seen[nth as usize];
            if std::mem::replace(last, self.classes.len()) != self.classes.len() {
                self.orders[kept] = nth;
                kept += 1;
            }
        }
        self.orders.truncate(kept);
        Span {
            start: start as u32,
            end: kept as u32,
        }
    }

    /// How many candidates a state needs for all the classes that it tells apart and for the rest.
    pub(super) fn count(&self, s: u32) -> u64 {
        let orders = self.own(s).iter().map(|(_, order)| order);
        let all = orders.chain([&self.others[s as usize]]);
        all.map(|order| order.range().len() as u64).sum()
    }

    pub(super) fn matching(&self, s: u32, class: u32) -> &[u32] {
        let own = self.own(s);
        let order = match own.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => own[at].1,
            Err(_) if class == Class::EVENTLESS.0 => Span::default(),
            Err(_) => self.others[s as usize],
        };
        &self.orders[order.range()]
    }

    /// The classes that `s` tells apart, eventless first.
    pub(super) fn own(&self, s: u32) -> &[(u32, Span)] {
        &self.classes[self.spans[s as usize].range()]
    }
}

/// A descriptor without its wildcard; SCXML also allows a closing dot.
pub(super) fn stem(descriptor: &str, prefix_match: bool) -> &str {
    let d = descriptor.strip_suffix(".*").unwrap_or(descriptor);
    match d.strip_suffix('.') {
        Some(short) if prefix_match => short,
        _ => d,
    }
}

/// Sorts exact descriptors first, then longer wildcards before shorter.
fn exactness(descriptor: &str) -> u32 {
    if descriptor.ends_with(".*") {
        u32::MAX / 2 - descriptor.encode_utf16().count() as u32
    } else {
        0
    }
}

/// Finds the classes at or below a name without looking at all names for each descriptor.
struct Stems<'a> {
    names: &'a Names,
    /// The names that are below others, made for the first descriptor that asks for them.
    sorted: std::cell::OnceCell<Vec<(&'a str, u32)>>,
}

impl<'a> Stems<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            sorted: std::cell::OnceCell::new(),
        }
    }

    fn each(&self, descriptor: &str, prefix_match: bool, mut found: impl FnMut(u32)) {
        let stem = stem(descriptor, prefix_match);
        let wild = prefix_match || descriptor.ends_with(".*");
        if let Some(at) = self.names.place(stem) {
            found(2 + 2 * at);
            if wild {
                found(3 + 2 * at);
            }
        }
        if !wild {
            return;
        }
        let sorted = self.sorted.get_or_init(|| {
            let names = self.names.list.iter().zip(0..);
            let mut sorted: Vec<(&str, u32)> = names
                .filter(|(name, _)| name.contains('.'))
                .map(|(name, at)| (&**name, at))
                .collect();
            sorted.sort_unstable();
            sorted
        });
        let is_below = |name: &str| name.strip_prefix(stem).is_some_and(|n| n.starts_with('.'));
        let below = stem.bytes().chain(*b".");
        let from = sorted.partition_point(|(name, _)| name.bytes().lt(below.clone()));
        for (_, at) in sorted[from..].iter().take_while(|(name, _)| is_below(name)) {
            found(2 + 2 * at);
            found(3 + 2 * at);
        }
    }
}
