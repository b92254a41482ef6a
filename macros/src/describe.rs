//! The chart as data: what its actions, guards and events are called, and the code of `model()`.
//!
//! Actions are numbered state by state: entry, delays armed, invocations, exit, delays
//! cancelled, invocations stopped, what runs before the initial state, transitions.

use crate::analyze::{Arrow, Cause, Invocation, Node, Sort, Tree};
use crate::parse;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::{Block, Expr, Pat};

/// What an action does.
pub(crate) enum Deed<'a> {
    /// A body, and its transition's state and cause.
    Body(&'a Block, Option<(usize, &'a Cause)>),
    Arm(usize, &'a Expr),
    Disarm(usize),
    Invoke(usize, &'a Invocation),
    Stop(usize, &'a Invocation),
}

/// A chart's actions by number, and where they run.
#[derive(Default)]
pub(crate) struct Deeds<'a> {
    pub(crate) all: Vec<Deed<'a>>,
    /// By state.
    entry: Vec<Vec<usize>>,
    exit: Vec<Vec<usize>>,
    begin: Vec<Vec<usize>>,
    /// By state and transition.
    bodies: Vec<Vec<Option<usize>>>,
}

impl<'a> Deeds<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        let mut deeds = Self::default();
        for (s, node) in tree.nodes.iter().enumerate() {
            let timers = node.arrows.iter().filter_map(|arrow| match &arrow.cause {
                Cause::After(number, delay) => Some((*number, delay)),
                _ => None,
            });
            let body = |block| Deed::Body(block, None);
            let arm = timers
                .clone()
                .map(|(number, delay)| Deed::Arm(number, delay));
            let invoke = tree
                .invoked(s)
                .map(|(n, invocation)| Deed::Invoke(n, invocation));
            let entry = deeds.add(node.entry.iter().map(body).chain(arm).chain(invoke));
            deeds.entry.push(entry);
            let disarm = timers.map(|(number, _)| Deed::Disarm(number));
            let stop = tree
                .invoked(s)
                .map(|(n, invocation)| Deed::Stop(n, invocation));
            let exit = deeds.add(node.exit.iter().map(body).chain(disarm).chain(stop));
            deeds.exit.push(exit);
            let begin = deeds.add(node.begin.iter().map(body));
            deeds.begin.push(begin);
            let mut bodies = Vec::new();
            for arrow in &node.arrows {
                let cause = Some((s, &arrow.cause));
                let action = arrow.action.iter().map(|block| Deed::Body(block, cause));
                bodies.push(deeds.add(action).pop());
            }
            deeds.bodies.push(bodies);
        }
        deeds
    }

    fn add(&mut self, more: impl Iterator<Item = Deed<'a>>) -> Vec<usize> {
        let start = self.all.len();
        self.all.extend(more);
        (start..self.all.len()).collect()
    }
}

/// The code that makes the chart's model.
pub(crate) fn model(chart: &parse::Chart, tree: &Tree, deeds: &Deeds<'_>) -> TokenStream {
    let mut guards = Vec::new();
    let mut states = TokenStream::new();
    for (s, node) in tree.nodes.iter().enumerate() {
        let (text, tags) = (node.name.to_string(), &node.tags);
        let parent = match node.parent {
            Some(parent) => {
                let parent = number(parent);
                quote! { Some(#parent) }
            }
            None => quote! { None },
        };
        let (kind, initial) = kind(node);
        let initial = initial.into_iter().map(number);
        let entry = deeds.entry[s].iter().copied().map(number);
        let exit = deeds.exit[s].iter().copied().map(number);
        let begin = deeds.begin[s].iter().copied().map(number);
        states.extend(quote! {
            describe::state(
                &mut model, (#text, #parent, Kind::#kind),
                (&[#(#initial),*], &[#(#begin),*]), [&[#(#entry),*], &[#(#exit),*]],
                &[#(#tags),*],
            );
        });
        for (arrow, body) in node.arrows.iter().zip(&deeds.bodies[s]) {
            let names = names(tree, node, arrow);
            let asked = conditions(arrow).into_iter().map(|text| {
                let known = guards.iter().position(|known| *known == text);
                number(known.unwrap_or_else(|| {
                    guards.push(text);
                    guards.len() - 1
                }))
            });
            let asked: Vec<_> = asked.collect();
            let targets = arrow
                .target
                .iter()
                .chain(&arrow.beside)
                .map(|&to| number(to));
            let (reenter, body) = (arrow.reenter, body.iter().map(|&body| number(body)));
            states.extend(quote! {
                describe::transition(
                    &mut model, &[#(#names),*], &[#(#asked),*], &[#(#targets),*],
                    #reenter, &[#(#body),*],
                );
            });
        }
    }
    let actions = deeds.all.iter().map(|deed| match deed {
        Deed::Body(block, _) => statements(block),
        Deed::Arm(_, delay) => format!("after {}", tidy(delay)),
        Deed::Disarm(number) => format!("cancel after {number}"),
        Deed::Invoke(_, invocation) => format!("invoke {}", invocation.name),
        Deed::Stop(_, invocation) => format!("stop {}", invocation.name),
    });
    let name = chart.name.to_string();
    let version = chart.version.as_ref();
    let version = version.map(|text| quote! { model.version = #text.to_owned(); });
    quote! {
        use ::mainspring::chart::model::Kind;
        use ::mainspring::fused::describe;
        let mut model = describe::model(#name, &[#(#actions),*], &[#(#guards),*]);
        #version
        #states
        model
    }
}

pub(crate) fn number(value: usize) -> Literal {
    Literal::usize_unsuffixed(value)
}

/// What a state is, and where it begins.
fn kind(node: &Node) -> (TokenStream, Option<usize>) {
    match node.kind {
        Sort::Leaf => (quote! { Atomic }, None),
        Sort::Final => (quote! { Final }, None),
        Sort::Parallel => (quote! { Parallel }, None),
        Sort::Compound { initial } => (quote! { Compound }, Some(initial)),
        Sort::History { deep, default } => {
            let default = Some(default).filter(|&default| default != 0);
            (quote! { History { deep: #deep } }, default)
        }
    }
}

/// The events of a transition.
fn names(tree: &Tree, node: &Node, arrow: &Arrow) -> Vec<String> {
    match &arrow.cause {
        Cause::Always => Vec::new(),
        Cause::Done(_) => vec![format!("xstate.done.state.{}", node.name)],
        Cause::Ended {
            number, is_done, ..
        } => {
            let how = if *is_done { "done" } else { "error" };
            let name = &tree.invocations[*number].name;
            vec![format!("xstate.{how}.actor.{name}")]
        }
        Cause::After(_, delay) => vec![after(node, delay)],
        Cause::On(pattern) => names_of(pattern),
    }
}

/// The event at the end of a delay.
fn after(node: &Node, delay: &Expr) -> String {
    let delay = tidy(delay).replace('.', "_");
    format!("xstate.after.{delay}.{}", node.name)
}

/// The events at the ends of all delays, by timer.
pub(crate) fn delays(tree: &Tree) -> Vec<String> {
    let mut names = vec![String::new(); tree.timers];
    for node in &tree.nodes {
        for arrow in &node.arrows {
            if let Cause::After(timer, delay) = &arrow.cause {
                names[*timer] = after(node, delay);
            }
        }
    }
    names
}

/// What the events are called that a pattern takes.
pub(crate) fn names_of(pattern: &Pat) -> Vec<String> {
    let mut names = Vec::new();
    pattern_names(pattern, &mut names);
    names
}

fn pattern_names(pattern: &Pat, names: &mut Vec<String>) {
    let last = |path: &syn::Path| match path.segments.last() {
        Some(segment) => segment.ident.to_string(),
        None => "*".to_owned(),
    };
    let name = match pattern {
        Pat::Or(or) => {
            for case in &or.cases {
                pattern_names(case, names);
            }
            return;
        }
        Pat::Paren(inner) => return pattern_names(&inner.pat, names),
        Pat::Reference(inner) => return pattern_names(&inner.pat, names),
        Pat::Ident(ident) => match &ident.subpat {
            Some((_, inner)) => return pattern_names(inner, names),
            None if is_binding(&ident.ident) => "*".to_owned(),
            None => ident.ident.to_string(),
        },
        Pat::Wild(_) => "*".to_owned(),
        Pat::Path(path) => last(&path.path),
        Pat::TupleStruct(inner) => last(&inner.path),
        Pat::Struct(inner) => last(&inner.path),
        // A dot would end the name that a wildcard knows.
        other => tidy(other).trim_matches('"').replace('.', "_"),
    };
    names.push(name);
}

/// What must hold: what the pattern asks beyond its event's name, and the guard.
fn conditions(arrow: &Arrow) -> Vec<String> {
    let mut all = Vec::new();
    match &arrow.cause {
        Cause::On(pattern) if !takes_all(pattern) => {
            all.push(format!("event is {}", tidy(pattern)));
        }
        Cause::Done(Some(pattern))
        | Cause::Ended {
            pattern: Some(pattern),
            ..
        } if !takes_any_value(pattern) => all.push(format!("output is {}", tidy(pattern))),
        _ => {}
    }
    all.extend(arrow.guard.as_ref().map(tidy));
    all
}

/// Whether the pattern takes all events of its names.
pub(crate) fn takes_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Or(or) => or.cases.iter().all(takes_all),
        Pat::Paren(inner) => takes_all(&inner.pat),
        Pat::Reference(inner) => takes_all(&inner.pat),
        Pat::Ident(ident) => ident
            .subpat
            .as_ref()
            .is_none_or(|(_, inner)| takes_all(inner)),
        Pat::TupleStruct(inner) => inner.elems.iter().all(takes_any_value),
        Pat::Struct(inner) => inner.fields.iter().all(|field| takes_any_value(&field.pat)),
        _ => true,
    }
}

fn takes_any_value(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) | Pat::Rest(_) => true,
        Pat::Ident(ident) => ident.subpat.is_none() && is_binding(&ident.ident),
        Pat::Tuple(inner) => inner.elems.iter().all(takes_any_value),
        Pat::Paren(inner) => takes_any_value(&inner.pat),
        _ => false,
    }
}

/// Names of constants and variants begin with a capital.
pub(crate) fn is_binding(name: &Ident) -> bool {
    !name.to_string().starts_with(char::is_uppercase)
}

/// A body's text without its braces.
fn statements(block: &Block) -> String {
    let text = block.stmts.iter().map(tidy).collect::<Vec<_>>().join(" ");
    text.trim_end_matches(';').to_owned()
}

/// Rust's text as one would write it, more or less: only people read it.
pub(crate) fn tidy(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (long, short) in [
        ("\n", " "),
        (" . ", "."),
        (" :: ", "::"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" [", "["),
        ("[ ", "["),
        (" ]", "]"),
        (" ,", ","),
        (" ;", ";"),
        (" !(", "!("),
    ] {
        text = text.replace(long, short);
    }
    match text.strip_prefix("* ") {
        Some(rest) => format!("*{rest}"),
        None => text,
    }
}
