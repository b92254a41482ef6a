//! First pass: the text of a chart as a tree, names not yet resolved.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Block, Expr, Ident, LitStr, Pat, Path, Token, Type, Visibility, braced};
use syn::{parenthesized, token};

mod word {
    syn::custom_keyword!(chart);
    syn::custom_keyword!(event);
    syn::custom_keyword!(out);
    syn::custom_keyword!(after);
    syn::custom_keyword!(states);
    syn::custom_keyword!(initial);
    syn::custom_keyword!(state);
    syn::custom_keyword!(parallel);
    syn::custom_keyword!(history);
    syn::custom_keyword!(deep);
    syn::custom_keyword!(entry);
    syn::custom_keyword!(exit);
    syn::custom_keyword!(on);
    syn::custom_keyword!(always);
    syn::custom_keyword!(done);
    syn::custom_keyword!(tags);
    syn::custom_keyword!(output);
    syn::custom_keyword!(meta);
    syn::custom_keyword!(version);
    syn::custom_keyword!(kept);
    syn::custom_keyword!(invoke);
    syn::custom_keyword!(error);
    syn::custom_keyword!(reenter);
}

/// A whole chart.
pub(crate) struct Chart {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    /// What bodies call the context, and its type.
    pub(crate) context: (Ident, Type),
    pub(crate) event: Type,
    /// What bodies call what they ask for, if they do.
    pub(crate) out: Option<Ident>,
    /// What guards call the active states, if they ask for them.
    pub(crate) states: Option<Ident>,
    /// Makes the events of `after`.
    pub(crate) after: Option<Path>,
    /// Makes the events of what was invoked.
    pub(crate) invoke: Option<Path>,
    /// What the whole chart gives when it is done.
    pub(crate) output: Option<Type>,
    /// What states say about themselves.
    pub(crate) meta: Option<Type>,
    /// Which of all charts of that name it is.
    pub(crate) version: Option<LitStr>,
    /// Whether serde writes and reads its context and events.
    pub(crate) kept: bool,
    pub(crate) body: Body,
}

/// What stands between a state's braces.
#[derive(Default)]
pub(crate) struct Body {
    pub(crate) initial: Option<Ident>,
    /// Runs between the state's own entry and that of where it begins.
    pub(crate) begin: Option<Block>,
    pub(crate) entry: Vec<Block>,
    pub(crate) exit: Vec<Block>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) output: Option<Said>,
    pub(crate) meta: Option<Said>,
    pub(crate) invoke: Vec<Invocation>,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) states: Vec<State>,
}

/// An expression, and the word before it.
pub(crate) struct Said {
    pub(crate) place: Span,
    pub(crate) value: Expr,
}

/// What runs while its state is active.
pub(crate) struct Invocation {
    pub(crate) place: Span,
    pub(crate) name: Ident,
    pub(crate) source: Expr,
}

pub(crate) struct State {
    pub(crate) name: Ident,
    pub(crate) kind: Kind,
    pub(crate) body: Body,
}

#[derive(PartialEq)]
pub(crate) enum Kind {
    State,
    Parallel,
    Final,
    History { deep: bool, default: Option<Ident> },
}

pub(crate) enum Trigger {
    On(Pat),
    Always,
    /// The state is complete; a pattern of what its final state gives.
    Done(Option<Pat>),
    /// What was invoked under that name has ended, well or not.
    Ended {
        name: Ident,
        is_done: bool,
        pattern: Option<Pat>,
    },
    After(Expr),
}

pub(crate) struct Transition {
    /// The word it begins with.
    pub(crate) place: Span,
    pub(crate) trigger: Trigger,
    pub(crate) guard: Option<Expr>,
    pub(crate) reenter: bool,
    /// More than one only into regions of one parallel state.
    pub(crate) targets: Vec<Ident>,
    pub(crate) action: Option<Block>,
}

impl Parse for Chart {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        input.parse::<word::chart>()?;
        let name = input.parse()?;
        let head;
        parenthesized!(head in input);
        let context = (head.parse()?, {
            head.parse::<Token![:]>()?;
            head.parse()?
        });
        head.parse::<Token![,]>()?;
        head.parse::<word::event>()?;
        head.parse::<Token![:]>()?;
        let event = head.parse()?;
        let mut chart = Self {
            attributes,
            visibility,
            name,
            context,
            event,
            out: None,
            states: None,
            after: None,
            invoke: None,
            output: None,
            meta: None,
            version: None,
            kept: false,
            body: Body::default(),
        };
        while !head.is_empty() {
            head.parse::<Token![,]>()?;
            if head.is_empty() {
                break;
            }
            chart.option(&head)?;
        }
        let inner;
        braced!(inner in input);
        chart.body = inner.parse()?;
        Ok(chart)
    }
}

impl Chart {
    /// One of what a chart's head may say behind the event.
    fn option(&mut self, head: ParseStream<'_>) -> syn::Result<()> {
        fn value<T: Parse>(head: ParseStream<'_>, into: &mut Option<T>) -> syn::Result<()> {
            let word: Ident = head.parse()?;
            head.parse::<Token![:]>()?;
            match into.replace(head.parse()?) {
                Some(_) => Err(syn::Error::new(word.span(), format!("a second `{word}`"))),
                None => Ok(()),
            }
        }
        if head.peek(word::after) {
            value(head, &mut self.after)
        } else if head.peek(word::invoke) {
            value(head, &mut self.invoke)
        } else if head.peek(word::output) {
            value(head, &mut self.output)
        } else if head.peek(word::meta) {
            value(head, &mut self.meta)
        } else if head.peek(word::version) {
            value(head, &mut self.version)
        } else if head.peek(word::out) {
            value(head, &mut self.out)
        } else if head.peek(word::states) {
            value(head, &mut self.states)
        } else if head.peek(word::kept) {
            let place = head.parse::<word::kept>()?.span;
            match std::mem::replace(&mut self.kept, true) {
                true => Err(syn::Error::new(place, "a second `kept`")),
                false => Ok(()),
            }
        } else {
            let what = "expected `out: NAME`, `states: NAME`, `after: VARIANT`, \
                        `invoke: VARIANT`, `output: TYPE`, `meta: TYPE`, `version: \"TEXT\"` or \
                        `kept`";
            Err(head.error(what))
        }
    }
}

impl Parse for Body {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut body = Self::default();
        while !input.is_empty() {
            body.item(input)?;
        }
        Ok(body)
    }
}

impl Body {
    fn item(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let look = input.lookahead1();
        if look.peek(word::initial) {
            let place = input.parse::<word::initial>()?.span;
            if self.initial.replace(input.parse()?).is_some() {
                return Err(syn::Error::new(place, "a second `initial`"));
            }
            if input.peek(token::Brace) {
                self.begin = Some(input.parse()?);
                input.parse::<Option<Token![;]>>()?;
            } else {
                input.parse::<Token![;]>()?;
            }
        } else if look.peek(word::entry) {
            input.parse::<word::entry>()?;
            self.entry.push(input.parse()?);
        } else if look.peek(word::exit) {
            input.parse::<word::exit>()?;
            self.exit.push(input.parse()?);
        } else if look.peek(word::tags) {
            input.parse::<word::tags>()?;
            loop {
                self.tags.push(input.parse()?);
                if input.parse::<Option<Token![,]>>()?.is_none() {
                    break;
                }
            }
            input.parse::<Token![;]>()?;
        } else if look.peek(word::output) {
            let word: word::output = input.parse()?;
            said(input, word.span, "output", &mut self.output)?;
        } else if look.peek(word::meta) {
            let word: word::meta = input.parse()?;
            said(input, word.span, "meta", &mut self.meta)?;
        } else if look.peek(word::invoke) {
            let place = input.parse::<word::invoke>()?.span;
            let name = input.parse()?;
            input.parse::<Token![=]>()?;
            let source = input.parse()?;
            input.parse::<Token![;]>()?;
            self.invoke.push(Invocation {
                place,
                name,
                source,
            });
        } else if look.peek(word::state) || look.peek(word::parallel) || look.peek(Token![final]) {
            self.states.push(state(input)?);
        } else if look.peek(word::history) {
            self.states.push(history(input)?);
        } else if look.peek(word::on)
            || look.peek(word::always)
            || look.peek(word::done)
            || look.peek(word::error)
            || look.peek(word::after)
        {
            self.transitions.push(input.parse()?);
        } else {
            return Err(look.error());
        }
        Ok(())
    }
}

/// `EXPRESSION;` behind a word that a state says once.
fn said(
    input: ParseStream<'_>,
    place: Span,
    word: &str,
    into: &mut Option<Said>,
) -> syn::Result<()> {
    let value = input.parse()?;
    input.parse::<Token![;]>()?;
    match into.replace(Said { place, value }) {
        Some(_) => Err(syn::Error::new(place, format!("a second `{word}`"))),
        None => Ok(()),
    }
}

/// `(PATTERN)`, if it is there.
fn bound(input: ParseStream<'_>) -> syn::Result<Option<Pat>> {
    if !input.peek(token::Paren) {
        return Ok(None);
    }
    let inner;
    parenthesized!(inner in input);
    let pattern = Pat::parse_multi_with_leading_vert(&inner)?;
    match inner.is_empty() {
        true => Ok(Some(pattern)),
        false => Err(inner.error("expected one pattern")),
    }
}

fn state(input: ParseStream<'_>) -> syn::Result<State> {
    let kind = if input.parse::<Option<Token![final]>>()?.is_some() {
        Kind::Final
    } else if input.parse::<Option<word::parallel>>()?.is_some() {
        Kind::Parallel
    } else {
        input.parse::<word::state>()?;
        Kind::State
    };
    let name = input.parse()?;
    let body = if input.parse::<Option<Token![;]>>()?.is_some() {
        Body::default()
    } else {
        let inner;
        braced!(inner in input);
        inner.parse()?
    };
    Ok(State { name, kind, body })
}

/// `history Name;`, `history deep Name => Default;`
fn history(input: ParseStream<'_>) -> syn::Result<State> {
    input.parse::<word::history>()?;
    let deep = input.peek(word::deep) && input.peek2(Ident);
    if deep {
        input.parse::<word::deep>()?;
    }
    let name = input.parse()?;
    let default = match input.parse::<Option<Token![=>]>>()? {
        Some(_) => Some(input.parse()?),
        None => None,
    };
    input.parse::<Token![;]>()?;
    Ok(State {
        name,
        kind: Kind::History { deep, default },
        body: Body::default(),
    })
}

impl Parse for Transition {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let place = input.span();
        let trigger = if input.peek(word::on) {
            input.parse::<word::on>()?;
            Trigger::On(Pat::parse_multi_with_leading_vert(input)?)
        } else if input.peek(word::always) {
            input.parse::<word::always>()?;
            Trigger::Always
        } else if input.peek(word::done) {
            input.parse::<word::done>()?;
            match input.parse::<Option<Ident>>()? {
                Some(name) => Trigger::Ended {
                    name,
                    is_done: true,
                    pattern: bound(input)?,
                },
                None => Trigger::Done(bound(input)?),
            }
        } else if input.peek(word::error) {
            input.parse::<word::error>()?;
            Trigger::Ended {
                name: input.parse()?,
                is_done: false,
                pattern: bound(input)?,
            }
        } else {
            input.parse::<word::after>()?;
            Trigger::After(input.parse()?)
        };
        let guard = match input.parse::<Option<Token![if]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        let mut transition = Self {
            place,
            trigger,
            guard,
            reenter: false,
            targets: Vec::new(),
            action: None,
        };
        if input.parse::<Option<Token![;]>>()?.is_some() {
            return Ok(transition); // taken, and nothing happens
        }
        input.parse::<Token![=>]>()?;
        if input.peek(word::reenter) && input.peek2(Ident) {
            input.parse::<word::reenter>()?;
            transition.reenter = true;
        }
        if !input.peek(token::Brace) {
            transition.targets.push(input.parse()?);
            while input.parse::<Option<Token![&]>>()?.is_some() {
                transition.targets.push(input.parse()?);
            }
        }
        if input.peek(token::Brace) {
            transition.action = Some(input.parse()?);
            input.parse::<Option<Token![;]>>()?;
        } else {
            input.parse::<Token![;]>()?;
        }
        Ok(transition)
    }
}
