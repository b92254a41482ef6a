//! Last pass: the machine's type and its code, one small function a state.
//!
//! An event goes to the active leaf's function with one jump; each function is a match over the
//! user's own patterns, and what it does not take goes to the state around it.

use crate::analyze::{Arrow, Cause, Sort, Tree};
use crate::describe::{self, Deeds};
use crate::lower::{self, Op};
use crate::parse;
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

struct Emit<'a> {
    chart: &'a parse::Chart,
    tree: &'a Tree,
    /// Whether the machine asks for anything, itself included.
    speaks: bool,
    /// Whether one event may cause more than one microstep.
    goes_on: bool,
    /// Whether the chart has final states of its own.
    ends: bool,
    invokes: bool,
}

/// The place of the user's text with the names of the chart's: a chart may come out of a macro.
pub(crate) fn here(place: Span) -> Span {
    place.resolved_at(Span::call_site())
}

/// The states' names as a type.
pub(crate) fn state_enum(chart: &parse::Chart, tree: &Tree) -> TokenStream {
    let (visibility, name) = (&chart.visibility, &chart.name);
    let state = format_ident!("{name}State");
    let is_state = |s: &usize| !matches!(tree.nodes[*s].kind, Sort::History { .. });
    let variants = (1..tree.nodes.len()).filter(is_state).map(|s| {
        let state = &tree.nodes[s].name;
        let docs = format!("`{state}`.");
        quote! { #[doc = #docs] #state }
    });
    let docs = format!("The states of [`{name}`].");
    let meta = chart.meta.as_ref().map(|kind| {
        let said = (1..tree.nodes.len()).filter_map(|s| {
            let (name, meta) = (&tree.nodes[s].name, tree.nodes[s].meta.as_ref()?);
            Some(quote! { Self::#name => Some(#meta), })
        });
        quote! {
            #[allow(clippy::all, unused, unreachable_patterns)]
            impl #state {
                /// What the state says about itself with `meta`.
                #visibility fn meta(self) -> Option<#kind> {
                    match self { #(#said)* _ => None }
                }
            }
        }
    });
    quote! {
        #[doc = #docs]
        #[allow(dead_code)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #visibility enum #state { #(#variants),* }
        #meta
    }
}

/// What is the same however a chart runs: constants of its invocations, and what states say.
pub(crate) fn extras(chart: &parse::Chart, tree: &Tree) -> TokenStream {
    let visibility = &chart.visibility;
    let state = format_ident!("{}State", chart.name);
    let constants = tree.invocations.iter().enumerate().map(|(at, invocation)| {
        let (name, at) = (constant(&invocation.name), Literal::usize_unsuffixed(at));
        let docs = format!("The number of the invocation `{}`.", invocation.name);
        quote! { #[doc = #docs] #visibility const #name: u32 = #at; }
    });
    let meta = chart.meta.as_ref().map(|kind| {
        let said = (1..tree.nodes.len()).filter(|&s| tree.nodes[s].meta.is_some());
        let said = said.map(|s| &tree.nodes[s].name);
        quote! {
            /// What active states say about themselves with `meta`, from the outside in.
            #visibility fn meta(&self) -> impl Iterator<Item = (#state, #kind)> + '_ {
                let all: &'static [#state] = &[#(#state::#said),*];
                let active = all.iter().filter(|state| self.is(**state));
                active.filter_map(|state| Some((*state, state.meta()?)))
            }
        }
    });
    quote! { #(#constants)* #meta }
}

/// `LoadFile` as `LOAD_FILE`.
fn constant(name: &Ident) -> Ident {
    let mut text = String::new();
    let mut is_lower = false;
    for letter in name.to_string().chars() {
        if letter.is_uppercase() && is_lower {
            text.push('_');
        }
        is_lower = letter.is_lowercase();
        text.extend(letter.to_uppercase());
    }
    Ident::new(&text, name.span())
}

/// The implementations that invocations and outputs need; `tell_end` takes a `finish`.
pub(crate) fn links(chart: &parse::Chart, tell_end: &TokenStream) -> TokenStream {
    let (name, event) = (&chart.name, &chart.event);
    let given = given_type(chart);
    let keep = chart.kept.then(|| {
        quote! {
            fn keep() -> Option<::mainspring::fused::save::Keep<Self>> {
                Some(::mainspring::fused::save::Keep::new())
            }
        }
    });
    let invoking = chart.invoke.as_ref().map(|variant| {
        quote! {
            impl ::mainspring::fused::Invoking for #name {
                fn ended(ended: ::mainspring::ChildEnded) -> #event {
                    #variant(ended)
                }
            }
        }
    });
    quote! {
        impl ::mainspring::Finishes for #name {
            type Output = #given;
            fn tell_end(&mut self, finish: ::mainspring::fused::invoke::Finish) { #tell_end }
            #keep
        }
        #invoking
    }
}

/// `save` and `restore`; `parts` is what `mainspring::fused::save::Parts` has beyond what all charts
/// say in the same way.
pub(crate) fn saving(chart: &parse::Chart, tree: &Tree, parts: &TokenStream) -> TokenStream {
    let (visibility, name) = (&chart.visibility, &chart.name);
    let (context, event) = (&chart.context.1, &chart.event);
    let delays = describe::delays(tree);
    let timers = (0..tree.timers).map(Literal::usize_unsuffixed);
    let after = chart.after.iter();
    let read = match keeps_timers(chart) {
        true => quote! { Some(::mainspring::fused::save::read(written)) },
        false => quote! { None },
    };
    let invoked = tree.invocations.iter().map(|invocation| {
        let is_inside = |s: &usize| tree.is_within(*s, invocation.owner);
        let last = (0..tree.nodes.len()).rev().find(is_inside);
        let name = invocation.name.to_string();
        let first = Literal::usize_unsuffixed(invocation.owner);
        let last = Literal::usize_unsuffixed(last.unwrap_or(0));
        quote! { (#name, #first, #last) }
    });
    let over = after.map(|after| {
        let timers = timers.clone();
        quote! { #(#timers => Some(#after(#timers)),)* }
    });
    quote! {
        #[allow(clippy::all, unused, reason = "what a chart does not use of itself")]
        impl #name {
            /// The machine as data, with the chart's name and version, for
            /// [`restore`](Self::restore): states, histories, context, the delays of `after` with
            /// what is left of them, and which invocations are alive, without their states; with
            /// these [`Actor::save`](::mainspring::Actor::save) gives it.
            #visibility fn save<C: Clone>(&self) -> ::mainspring::chart::Snapshot<C>
            where
                Self: ::mainspring::fused::save::Parts<C>,
            {
                ::mainspring::fused::save::save(self)
            }

            /// The machine that was [saved](Self::save), its delays by the rule of `resume`,
            /// counted from its actor's first turn on. Entry actions don't run again. The
            /// invocations that were alive start in that turn, with their states where those were
            /// saved, else anew, of their expressions; one that had ended does not start again.
            ///
            /// # Errors
            ///
            /// [`SnapshotError`](::mainspring::chart::SnapshotError): the snapshot is of another
            /// chart or version, or says what the chart does not have.
            #visibility fn restore<C: Clone>(
                snapshot: &::mainspring::chart::Snapshot<C>,
                resume: ::mainspring::chart::Resume,
            ) -> Result<Self, ::mainspring::chart::SnapshotError>
            where
                Self: ::mainspring::fused::save::Parts<C>,
            {
                ::mainspring::fused::save::restore(snapshot, resume)
            }
        }

        #[allow(
            clippy::all, unused, unreachable_patterns,
            reason = "what a chart does not use of itself"
        )]
        impl ::mainspring::fused::save::Parts<#context> for #name {
            const DELAYS: &'static [&'static str] = &[#(#delays),*];
            const INVOKED: &'static [(&'static str, u32, u32)] = &[#(#invoked),*];

            fn model() -> ::mainspring::chart::Model {
                #name::model()
            }

            fn data(&self) -> &#context {
                self.context()
            }

            fn over(timer: u64) -> Option<#event> {
                match timer { #(#over)* _ => None }
            }

            fn event(written: &::mainspring::chart::Value) -> Option<Result<#event, String>> {
                #read
            }

            #parts
        }

        impl ::mainspring::Saves for #name
        where
            for<'__a> #context: Clone,
        {
            type Context = #context;

            fn gather(
                &self,
                give: impl FnOnce(::mainspring::chart::Snapshot<#context>) + Send + 'static,
            ) {
                ::mainspring::fused::save::gather(self, give);
            }
        }
    }
}

/// Whether the timers that its bodies start are saved.
fn keeps_timers(chart: &parse::Chart) -> bool {
    chart.kept && chart.out.is_some()
}

/// Has the `#effects` note the timers that bodies asked for, before they are given away.
pub(crate) fn keep_timers(chart: &parse::Chart, effects: &TokenStream) -> Option<TokenStream> {
    keeps_timers(chart).then(|| quote! { #effects.keep_timers(); })
}

/// What a machine does that hears that one of its timers is over, if any of them is saved.
pub(crate) fn timer_over(
    chart: &parse::Chart,
    tree: &Tree,
    effects: &TokenStream,
) -> Option<TokenStream> {
    (tree.timers > 0 || keeps_timers(chart)).then(|| {
        quote! {
            fn timer_over(&mut self, key: ::mainspring::Key) {
                #effects.over(key);
            }
        }
    })
}

/// The type of the chart's own output.
pub(crate) fn given_type(chart: &parse::Chart) -> TokenStream {
    match &chart.output {
        Some(given) => quote! { #given },
        None => quote! { () },
    }
}

/// The invocation's end that the event `#event` is, a reference: an expression, `Option<&ChildEnded>`.
pub(crate) fn end(chart: &parse::Chart, event: &TokenStream) -> TokenStream {
    match &chart.invoke {
        Some(variant) => quote! {
            match #event {
                #variant(ended) => Some(ended),
                _ => None,
            }
        },
        None => quote! { None },
    }
}

/// Asks for what a machine had invoked when it was saved, `__invoked`: a block's code that ends with
/// a `Result`.
pub(crate) fn invoke_again(
    chart: &parse::Chart,
    tree: &Tree,
    context: &TokenStream,
    effects: &TokenStream,
) -> TokenStream {
    let name = &chart.context.0;
    let all = tree.invocations.iter().enumerate().map(|(at, invocation)| {
        let (at, source) = (Literal::usize_unsuffixed(at), &invocation.source);
        let id = invocation.name.to_string();
        quote_spanned! { here(source.span()) => #at => {
            let invoked = { let #name = &*#context; #source };
            let result = #effects.invoke_again(again, invoked);
            result.map_err(|error| ::mainspring::fused::save::of_child(#id, error))?;
        } }
    });
    quote! {
        for again in __invoked {
            match again.invocation { #(#all)* _ => {} }
        }
        Ok(())
    }
}

/// Whether the event `#event`, a reference, comes from the chart itself: an expression.
pub(crate) fn is_own(chart: &parse::Chart, event: &TokenStream) -> TokenStream {
    let invoke = chart.invoke.as_ref();
    let own: Vec<_> = [chart.after.as_ref(), invoke]
        .into_iter()
        .flatten()
        .collect();
    match own.is_empty() {
        true => quote! { false },
        false => quote! { ::core::matches!(*#event, #(#own(_))|*) },
    }
}

/// What `__ended` says to the transitions of an invocation: an `Option` of a reference.
pub(crate) fn ended(
    chart: &parse::Chart,
    tree: &Tree,
    number: usize,
    is_done: bool,
) -> TokenStream {
    let at = Literal::usize_unsuffixed(number);
    if !is_done {
        return quote! { ::mainspring::fused::invoke::error(__ended, #at) };
    }
    let (name, context) = &chart.context;
    let source = &tree.invocations[number].source;
    quote_spanned! { here(source.span()) =>
        ::mainspring::fused::invoke::done::<#context, Self, _>(
            __ended, #at, |#name: &#context| #source,
        )
    }
}

/// What the final states inside of `s` give: an `Option` of a reference, got from `given`.
pub(crate) fn given(
    chart: &parse::Chart,
    tree: &Tree,
    s: usize,
    given: &TokenStream,
) -> TokenStream {
    let (name, context) = &chart.context;
    let all: Vec<_> = tree.outputs(s).map(|(_, output)| output).collect();
    let value = match &all[..] {
        [one] => quote! { #one },
        all => {
            let numbers = (0..all.len()).map(Literal::usize_unsuffixed);
            quote! { match 0 { #(#numbers => #all,)* _ => ::core::unreachable!() } }
        }
    };
    quote! { ::mainspring::fused::invoke::given(#given, |#name: &#context| #value) }
}

/// The function that gives the chart as data.
pub(crate) fn model(chart: &parse::Chart, tree: &Tree, deeds: &Deeds<'_>) -> TokenStream {
    let visibility = &chart.visibility;
    let model = describe::model(chart, tree, deeds);
    quote! {
        /// The chart as data, to be checked, drawn and searched for paths. An event has its
        /// pattern's name, an action and a guard their text.
        #[cold]
        #visibility fn model() -> ::mainspring::chart::Model { #model }
    }
}

/// The code of a chart.
pub(crate) fn emit(chart: &parse::Chart, tree: &Tree) -> TokenStream {
    let goes_on = chart.out.is_some() || tree.has(|c| c.is_done() || c.is_always());
    let ends = tree.ends().next().is_some();
    let invokes = !tree.invocations.is_empty();
    let emit = Emit {
        chart,
        tree,
        speaks: goes_on || ends || invokes || tree.timers > 0,
        goes_on,
        ends,
        invokes,
    };
    let types = emit.types();
    let public = emit.public();
    let states = emit.states();
    let machine = emit.machine();
    let saving = emit.saving();
    quote! { #types #public #states #machine #saving }
}

impl Emit<'_> {
    fn name(&self, state: usize) -> &Ident {
        &self.tree.nodes[state].name
    }

    fn leaf_type(&self) -> Ident {
        format_ident!("__{}Leaf", self.chart.name)
    }

    fn state_type(&self) -> Ident {
        format_ident!("{}State", self.chart.name)
    }

    fn leaf(&self, state: usize) -> TokenStream {
        let (leaf, name) = (self.leaf_type(), self.name(state));
        quote! { #leaf::#name }
    }

    fn function(&self, what: &str, state: usize) -> Ident {
        format_ident!("__{}_{}", what, self.name(state), span = Span::call_site())
    }

    fn types(&self) -> TokenStream {
        let chart = self.chart;
        let (attributes, visibility, name) = (&chart.attributes, &chart.visibility, &chart.name);
        let leaf = self.leaf_type();
        let context = &chart.context.1;
        let leaves: Vec<_> = self.tree.leaves().map(|s| self.name(s)).collect();
        let number = match leaves.len() {
            0..=256 => quote! { u8 },
            _ => quote! { u16 },
        };
        let memories = self.tree.histories().count();
        let memory = (memories > 0).then(|| quote! { memory: [Option<#leaf>; #memories], });
        let effects = self
            .speaks
            .then(|| quote! { effects: ::mainspring::fused::Effects<Self>, });
        let undo = self.speaks.then(|| {
            let memory = (memories > 0).then(|| quote! { , [Option<#leaf>; #memories] });
            quote! { undo: Option<(#leaf, #context #memory)>, }
        });
        let states = state_enum(chart, self.tree);
        let children = self
            .invokes
            .then(|| quote! { children: ::mainspring::fused::invoke::Children, });
        let finish = self
            .ends
            .then(|| quote! { finish: ::mainspring::fused::invoke::Finish, });
        let given = chart.output.as_ref();
        let given = given.map(|given| quote! { given: Option<::std::sync::Arc<#given>>, });
        quote! {
            #(#attributes)*
            #visibility struct #name {
                leaf: #leaf,
                context: #context,
                #memory
                #effects
                #undo
                #children
                #finish
                #given
            }

            #states

            #[doc(hidden)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[repr(#number)]
            enum #leaf { #(#leaves),* }
        }
    }

    fn public(&self) -> TokenStream {
        let chart = self.chart;
        let (visibility, name) = (&chart.visibility, &chart.name);
        let (leaf, state) = (self.leaf_type(), self.state_type());
        let (context, event) = (&chart.context.1, &chart.event);
        let error = quote! { ::mainspring::chart::StepError<::core::convert::Infallible> };
        let first = self.tree.leaves().next().map(|s| self.leaf(s));
        let memories = self.tree.histories().count();
        let memory = (memories > 0).then(|| quote! { memory: [None; #memories], });
        let effects = self.speaks.then(|| quote! { effects: Default::default(), });
        let undo = self.speaks.then(|| quote! { undo: None, });
        let children = self
            .invokes
            .then(|| quote! { children: Default::default(), });
        let finish = self.ends.then(|| quote! { finish: Default::default(), });
        let given = chart.output.as_ref().map(|_| quote! { given: None, });
        let mut ops = vec![Op::Enter(0)];
        if let Sort::Compound { initial } = self.tree.nodes[0].kind {
            lower::enter(self.tree, Some(0), initial, &mut ops);
        }
        let start = self.ops(&ops, None);
        let settle = self.goes_on.then(|| quote! { machine.__settle()?; });
        let is = (1..self.tree.nodes.len()).filter_map(|s| {
            let node = &self.tree.nodes[s];
            let (name, range) = (&node.name, &node.leaves);
            let test = match node.kind {
                Sort::History { .. } => return None,
                Sort::Leaf | Sort::Final => {
                    let leaf = self.leaf(s);
                    quote! { self.leaf == #leaf }
                }
                Sort::Compound { .. } | Sort::Parallel => {
                    let first = Literal::usize_unsuffixed(range.start);
                    let last = Literal::usize_unsuffixed(range.end - 1);
                    quote! { (#first..=#last).contains(&(self.leaf as usize)) }
                }
            };
            Some(quote! { #state::#name => #test, })
        });
        let leaves = self.tree.leaves().map(|s| {
            let (leaf, name) = (self.leaf(s), self.name(s));
            quote! { #leaf => #state::#name, }
        });
        let tags = self.tree.leaves().map(|s| {
            let leaf = self.leaf(s);
            let tags = self.tree.up(s).flat_map(|at| &self.tree.nodes[at].tags);
            quote! { #leaf => &[#(#tags),*], }
        });
        let step = match self.goes_on {
            false => quote! { Ok(self.__take(event)) },
            true => quote! {
                self.__keep();
                let taken = self.__take(event);
                match self.__settle() {
                    Ok(()) => Ok(taken),
                    Err(error) => {
                        self.__restore_kept();
                        Err(error)
                    }
                }
            },
        };
        let done = self.is_done();
        let model = model(chart, self.tree, &Deeds::of(self.tree));
        let extras = extras(chart, self.tree);
        let output = chart.output.as_ref().map(|given| {
            quote! {
                /// What the chart gives; nothing before it is done.
                #visibility fn output(&self) -> Option<&#given> {
                    self.given.as_deref()
                }
            }
        });
        quote! {
            #[allow(clippy::all, unused, non_snake_case, unreachable_patterns)]
            impl #name {
                /// A machine in its initial states.
                ///
                /// # Errors
                ///
                /// [`Limit`](::mainspring::chart::StepError::Limit) when it never comes to rest.
                #visibility fn new(context: #context) -> Result<Self, #error> {
                    let mut machine = Self {
                        leaf: #first, context, #memory #effects #undo #children #finish #given
                    };
                    machine.__start();
                    #settle
                    Ok(machine)
                }

                #[inline]
                fn __start(&mut self) { #start }

                /// Whether a state is active.
                #[inline]
                #visibility fn is(&self, state: #state) -> bool {
                    match state { #(#is)* }
                }

                /// The innermost active state.
                #[inline]
                #visibility fn state(&self) -> #state {
                    match self.leaf { #(#leaves)* }
                }

                /// The innermost active states: one, [`state`](Self::state).
                #[inline]
                #visibility fn states(&self) -> impl Iterator<Item = #state> + '_ {
                    ::core::iter::once(self.state())
                }

                /// Whether an active state has that tag.
                #visibility fn has_tag(&self, tag: &str) -> bool {
                    let tags: &[&str] = match self.leaf { #(#tags)* };
                    tags.contains(&tag)
                }

                /// The chart's data.
                #[inline]
                #visibility fn context(&self) -> &#context {
                    &self.context
                }

                /// Whether a final state of the chart itself was reached: it takes no more events.
                #[inline]
                #visibility fn is_done(&self) -> bool {
                    #done
                }

                /// Takes `event` and runs to rest; gives whether a transition was taken for it.
                ///
                /// # Errors
                ///
                /// [`Limit`](::mainspring::chart::StepError::Limit) when it never comes to rest;
                /// the old state was kept.
                #[inline]
                #visibility fn step(&mut self, event: #event) -> Result<bool, #error> {
                    #step
                }

                #output

                #extras

                #model
            }
            const _: fn(#leaf) = |_| {};
        }
    }

    fn is_done(&self) -> TokenStream {
        let finals: Vec<_> = self.tree.ends().map(|s| self.leaf(s)).collect();
        match finals.is_empty() {
            true => quote! { false },
            false => quote! { matches!(self.leaf, #(#finals)|*) },
        }
    }

    /// A body with the names that it may use.
    fn body(&self, block: &syn::Block) -> TokenStream {
        let context = &self.chart.context.0;
        let out = self.chart.out.as_ref();
        let out = out.map(|out| quote! { let #out = &mut self.effects; });
        quote_spanned! { here(block.span()) => {
            let #context = &mut self.context;
            #out
            #block
        } }
    }

    fn ops(&self, ops: &[Op], action: Option<&syn::Block>) -> TokenStream {
        let mut code = TokenStream::new();
        for op in ops {
            code.extend(match *op {
                Op::LeaveBelow(s) => {
                    let function = self.function("leave_below", s);
                    quote! { self.#function(); }
                }
                Op::Leave(s) => {
                    let function = self.function("leave", s);
                    quote! { self.#function(); }
                }
                Op::Enter(s) => {
                    let function = self.function("enter", s);
                    quote! { self.#function(); }
                }
                Op::Restore(s) => {
                    let function = self.function("restore", s);
                    quote! { self.#function(); }
                }
                Op::Act => action.map(|block| self.body(block)).unwrap_or_default(),
                Op::Rest(s) => {
                    let leaf = self.leaf(s);
                    quote! { self.leaf = #leaf; }
                }
                Op::Begin(s) => {
                    let begin = self.tree.nodes[s].begin.as_ref();
                    begin.map(|block| self.body(block)).unwrap_or_default()
                }
                Op::Complete(s) => {
                    let around = self.tree.nodes[s].parent.unwrap_or(0);
                    let mut handled = self.tree.nodes[around].arrows.iter();
                    if !handled.any(|arrow| arrow.cause.is_done()) {
                        continue;
                    }
                    let number = Literal::usize_unsuffixed(around);
                    let given = match self.given(s) {
                        Some(given) => quote! { Some(::std::sync::Arc::new(#given)) },
                        None => quote! { None },
                    };
                    quote! {
                        let given: Option<::mainspring::fused::invoke::Given> = #given;
                        self.effects.complete(#number, given);
                    }
                }
                Op::Finish(s) => {
                    let leave = self.tree.up(s).map(|at| self.function("leave", at));
                    let given = self.chart.output.as_ref().and_then(|_| self.given(s));
                    let given = given.map(|given| {
                        quote! { self.given = Some(::std::sync::Arc::new(#given)); }
                    });
                    quote! { #given #(self.#leave();)* self.effects.finish(); }
                }
            });
        }
        code
    }

    /// The value that a final state gives.
    fn given(&self, s: usize) -> Option<TokenStream> {
        let output = self.tree.nodes[s].output.as_ref()?;
        let context = &self.chart.context.0;
        Some(quote_spanned! { here(output.span()) => { let #context = &self.context; #output } })
    }

    /// The functions of all states.
    fn states(&self) -> TokenStream {
        let name = &self.chart.name;
        let mut functions = TokenStream::new();
        for s in 0..self.tree.nodes.len() {
            match self.tree.nodes[s].kind {
                Sort::History { deep, default } => {
                    functions.extend(self.history(s, deep, default));
                }
                _ => functions.extend(self.state(s)),
            }
        }
        functions.extend(self.take());
        if self.goes_on {
            functions.extend(self.settle());
        }
        if self.speaks {
            functions.extend(self.keep());
        }
        quote! {
            #[allow(
                clippy::all, unused, non_snake_case, unreachable_patterns,
                reason = "what a chart does not use of itself"
            )]
            impl #name { #functions }
        }
    }

    fn state(&self, s: usize) -> TokenStream {
        let node = &self.tree.nodes[s];
        let (enter, leave) = (self.function("enter", s), self.function("leave", s));
        let entry = node.entry.iter().map(|block| self.body(block));
        let exit = node.exit.iter().map(|block| self.body(block));
        let timers = node.arrows.iter().filter_map(|arrow| match &arrow.cause {
            Cause::After(number, delay) => Some((*number, delay)),
            _ => None,
        });
        let after = self.chart.after.as_ref();
        let context = &self.chart.context.0;
        let arm = timers.clone().map(|(number, delay)| {
            let number = Literal::usize_unsuffixed(number);
            quote! {
                let delay = { let #context = &self.context; #delay };
                self.effects.arm(#number, delay, #after(#number));
            }
        });
        let cancel = timers.map(|(number, _)| {
            let number = Literal::usize_unsuffixed(number);
            quote! { self.effects.disarm(#number); }
        });
        let invoke = self.tree.invoked(s);
        let invoke = invoke.map(|(number, invocation)| self.invoke(number, &invocation.source));
        let stop = self.tree.invoked(s).map(|(number, _)| {
            let number = Literal::usize_unsuffixed(number);
            quote! { self.effects.stop_invoked(#number); }
        });
        let histories = node
            .children
            .iter()
            .filter(|&&child| matches!(self.tree.nodes[child].kind, Sort::History { .. }));
        let remember = histories.map(|&history| {
            let place = self.tree.memory(history);
            quote! { self.memory[#place] = Some(self.leaf); }
        });
        let at = self.at(s);
        let below = matches!(node.kind, Sort::Compound { .. }).then(|| self.leave_below(s));
        quote! {
            #[inline]
            fn #enter(&mut self) { #(#entry)* #(#arm)* #(#invoke)* }
            #[inline]
            fn #leave(&mut self) { #(#remember)* #(#exit)* #(#cancel)* #(#stop)* }
            #below
            #at
        }
    }

    fn leave_below(&self, s: usize) -> TokenStream {
        let function = self.function("leave_below", s);
        let arms = self
            .tree
            .leaves()
            .filter(|&leaf| self.tree.is_within(leaf, s));
        let arms = arms.map(|leaf| {
            let pattern = self.leaf(leaf);
            let left = self.tree.up(leaf).take_while(|&at| at != s);
            let leave = left.map(|at| self.function("leave", at));
            quote! { #pattern => { #(self.#leave();)* } }
        });
        quote! {
            #[inline]
            fn #function(&mut self) {
                match self.leaf { #(#arms)* _ => {} }
            }
        }
    }

    fn history(&self, s: usize, deep: bool, default: usize) -> TokenStream {
        let function = self.function("restore", s);
        let place = self.tree.memory(s);
        let parent = self.tree.nodes[s].parent.unwrap_or(0);
        let arms = self
            .tree
            .leaves()
            .filter(|&leaf| self.tree.is_within(leaf, parent));
        let arms = arms.map(|leaf| {
            let pattern = self.leaf(leaf);
            let code = self.ops(&lower::restore(self.tree, s, deep, leaf), None);
            quote! { Some(#pattern) => { #code } }
        });
        let fresh = self.ops(&lower::default(self.tree, s, default), None);
        quote! {
            fn #function(&mut self) {
                match self.memory[#place] { #(#arms)* _ => { #fresh } }
            }
        }
    }

    fn guard(&self, guard: &syn::Expr) -> TokenStream {
        let context = &self.chart.context.0;
        let states = self.chart.states.as_ref();
        let states = states.map(|states| quote! { let #states = &*self; });
        quote_spanned! { here(guard.span()) => { let #context = &self.context; #states #guard } }
    }

    fn taken(&self, s: usize, arrow: &Arrow) -> TokenStream {
        let code = self.ops(
            &lower::transition(self.tree, s, arrow),
            arrow.action.as_ref(),
        );
        // An eventless transition that changes nothing ends the asking (XState).
        let idle = arrow.action.is_none()
            && (arrow.target.is_none() || arrow.target == Some(s) && !arrow.reenter);
        let goes_on = !(idle && arrow.cause.is_always());
        quote! { #code #goes_on }
    }

    /// Which function an event goes to that begins at `s`: the first state upward that takes any.
    fn first(&self, s: Option<usize>, takes: impl Fn(&Cause) -> bool) -> Option<usize> {
        self.tree.up(s?).find(|&at| {
            let mut arrows = self.tree.nodes[at].arrows.iter();
            arrows.any(|arrow| takes(&arrow.cause))
        })
    }

    /// What `s` does with an event, with rest, and when it is complete.
    fn at(&self, s: usize) -> TokenStream {
        let node = &self.tree.nodes[s];
        let event = &self.chart.event;
        let is_event = Cause::is_event;
        let mut code = TokenStream::new();
        if self.first(Some(s), is_event) == Some(s) {
            let function = self.function("at", s);
            let arms = node.arrows.iter().filter_map(|arrow| self.arm(s, arrow));
            let rest = match self.first(node.parent, is_event) {
                Some(above) => {
                    let above = self.function("at", above);
                    quote! { event => self.#above(event) }
                }
                None => quote! { _ => false },
            };
            code.extend(quote! {
                #[inline]
                fn #function(&mut self, event: #event) -> bool {
                    match event { #(#arms)* #rest }
                }
            });
        }
        if self.first(Some(s), Cause::is_always) == Some(s) {
            let function = self.function("always", s);
            let tries = node.arrows.iter().filter(|arrow| arrow.cause.is_always());
            let tries = tries.map(|arrow| self.attempt(s, arrow));
            let rest = match self.first(node.parent, Cause::is_always) {
                Some(above) => {
                    let above = self.function("always", above);
                    quote! { self.#above() }
                }
                None => quote! { false },
            };
            code.extend(quote! {
                #[inline]
                fn #function(&mut self) -> bool { #(#tries)* #rest }
            });
        }
        if self.first(Some(s), Cause::is_done) == Some(s) {
            let function = self.function("done", s);
            let tries = node.arrows.iter().filter(|arrow| arrow.cause.is_done());
            let tries = tries.map(|arrow| self.attempt(s, arrow));
            code.extend(quote! {
                #[inline]
                fn #function(
                    &mut self,
                    __given: Option<&::mainspring::fused::invoke::Given>,
                ) -> bool {
                    #(#tries)*
                    false
                }
            });
        }
        code
    }

    /// The arm of a transition that an event takes.
    fn arm(&self, s: usize, arrow: &Arrow) -> Option<TokenStream> {
        let pattern = match &arrow.cause {
            Cause::On(pattern) => quote! { #pattern },
            Cause::After(number, _) => {
                let after = self.chart.after.as_ref();
                let number = Literal::usize_unsuffixed(*number);
                quote! { #after(#number) }
            }
            Cause::Ended {
                number,
                is_done,
                pattern,
            } => {
                let variant = self.chart.invoke.as_ref();
                let said = ended(self.chart, self.tree, *number, *is_done);
                let pattern = match pattern {
                    Some(pattern) => quote! { #pattern },
                    None => quote! { _ },
                };
                let guard = match &arrow.guard {
                    Some(guard) => self.guard(guard),
                    None => quote! { true },
                };
                let code = self.taken(s, arrow);
                return Some(quote! {
                    #variant(ref __ended) if (match #said {
                        Some(#pattern) => #guard,
                        _ => false,
                    }) => match #said {
                        Some(#pattern) => { #code }
                        _ => false,
                    },
                });
            }
            Cause::Always | Cause::Done(_) => return None,
        };
        let guard = arrow.guard.as_ref().map(|guard| {
            let guard = self.guard(guard);
            quote! { if #guard }
        });
        let code = self.taken(s, arrow);
        Some(quote! { #pattern #guard => { #code } })
    }

    /// A transition that no event takes: takes it and returns, if it can.
    fn attempt(&self, s: usize, arrow: &Arrow) -> TokenStream {
        let code = self.taken(s, arrow);
        let guard = arrow.guard.as_ref().map(|guard| self.guard(guard));
        if let Cause::Done(Some(pattern)) = &arrow.cause {
            let given = given(self.chart, self.tree, s, &quote! { __given });
            let guard = guard.map(|guard| quote! { if #guard });
            return quote! {
                match #given {
                    Some(#pattern) #guard => return { #code },
                    _ => {}
                }
            };
        }
        match guard {
            Some(guard) => quote! { if #guard { return { #code }; } },
            None => quote! { return { #code }; },
        }
    }

    fn take(&self) -> TokenStream {
        let event = &self.chart.event;
        let done = self.is_done();
        let arms = self.tree.leaves().map(|leaf| {
            let pattern = self.leaf(leaf);
            let is_event = Cause::is_event;
            let ends = matches!(self.tree.nodes[leaf].kind, Sort::Final)
                && self.tree.nodes[leaf].parent == Some(0);
            match self.first(Some(leaf), is_event).filter(|_| !ends) {
                Some(at) => {
                    let function = self.function("at", at);
                    quote! { #pattern => self.#function(event), }
                }
                None => quote! { #pattern => false, },
            }
        });
        quote! {
            #[inline]
            fn __take(&mut self, event: #event) -> bool {
                match self.leaf { #(#arms)* }
            }
            #[inline]
            fn __is_done(&self) -> bool { #done }
        }
    }

    /// What follows the first microstep.
    fn settle(&self) -> TokenStream {
        let always = self.tree.leaves().map(|leaf| {
            let pattern = self.leaf(leaf);
            match self.first(Some(leaf), Cause::is_always) {
                Some(at) => {
                    let function = self.function("always", at);
                    quote! { #pattern => self.#function(), }
                }
                None => quote! { #pattern => false, },
            }
        });
        let completions =
            (0..self.tree.nodes.len()).filter(|&s| self.first(Some(s), Cause::is_done) == Some(s));
        let completions = completions.map(|s| {
            let (number, function) = (Literal::usize_unsuffixed(s), self.function("done", s));
            let (state, name) = (self.state_type(), self.name(s));
            quote! { #number if self.is(#state::#name) => self.#function(given.as_ref()), }
        });
        quote! {
            fn __settle(
                &mut self,
            ) -> Result<(), ::mainspring::chart::StepError<::core::convert::Infallible>> {
                const MAX: u32 = ::mainspring::chart::run::MICROSTEPS_MAX;
                let mut left = MAX;
                while !self.__is_done() {
                    let taken = match self.leaf { #(#always)* };
                    if !taken {
                        match self.effects.pop() {
                            None => return Ok(()),
                            Some(::mainspring::fused::Inner::Event(event)) => {
                                self.__take(event);
                            }
                            Some(::mainspring::fused::Inner::Complete(state, given)) => {
                                match state { #(#completions)* _ => false };
                            }
                        }
                    }
                    left -= 1;
                    if left == 0 {
                        return Err(::mainspring::chart::StepError::Limit(MAX));
                    }
                }
                self.effects.forget_raised();
                Ok(())
            }
        }
    }

    /// What is saved of it, and how it is made of that.
    fn saving(&self) -> TokenStream {
        let leaf = self.leaf_type();
        let number = Literal::usize_unsuffixed;
        let numbers: Vec<_> = self.tree.leaves().map(number).collect();
        let leaves: Vec<_> = self.tree.leaves().map(|s| self.leaf(s)).collect();
        let is_state = |s: &usize| !matches!(self.tree.nodes[*s].kind, Sort::History { .. });
        let first = (1..self.tree.nodes.len()).filter(is_state).map(|s| {
            let (s, leaf) = (number(s), &leaves[self.tree.nodes[s].leaves.start]);
            quote! { #s => #leaf, }
        });
        let memories: Vec<_> = (0..self.tree.histories().count()).map(number).collect();
        let count = memories.len();
        let memory = (count > 0).then(|| {
            quote! { memory: [#(save::remembered(shape, #memories).map(leaf)),*], }
        });
        let default =
            |has: bool, field: TokenStream| has.then(|| quote! { #field: Default::default(), });
        let effects = default(self.speaks, quote! { effects });
        let undo = default(self.speaks, quote! { undo });
        let children = default(self.invokes, quote! { children });
        let finish = default(self.ends, quote! { finish });
        let given = default(self.chart.output.is_some(), quote! { given });
        let ends = self.tree.ends().map(|s| {
            let leaf = self.leaf(s);
            let given = self.chart.output.as_ref().and_then(|_| self.given(s));
            let given = given.map(|given| {
                quote! { self.given = Some(::std::sync::Arc::new(#given)); }
            });
            quote! { #leaf => { #given self.effects.finish(); } }
        });
        let own = [quote! { &self.context }, quote! { self.effects }];
        let invoke = invoke_again(self.chart, self.tree, &own[0], &own[1]);
        let invoked = match self.invokes {
            true => quote! { Some(&self.children) },
            false => quote! { None },
        };
        let name = &self.chart.name;
        let asks = match self.speaks {
            true => [
                quote! { Some(&self.effects) },
                quote! { Some(&mut self.effects) },
            ],
            false => [quote! { None }, quote! { None }],
        };
        let [asks, asks_mut] = asks;
        let context = &self.chart.context.1;
        let parts = quote! {
            fn shape(&self) -> ::mainspring::chart::Instance<()> {
                let number = |leaf: #leaf| match leaf { #(#leaves => #numbers,)* };
                let memory: [Option<u32>; #count] = [#(self.memory[#memories].map(number)),*];
                ::mainspring::fused::save::shape(number(self.leaf), memory, self.is_done())
            }

            fn again(
                context: #context,
                shape: &::mainspring::chart::Instance<()>,
                invoked: &[::mainspring::fused::invoke::Again],
            ) -> Result<Self, ::mainspring::chart::SnapshotError> {
                use ::mainspring::fused::save;
                let leaf = |state: u32| match state { #(#first)* _ => ::core::unreachable!() };
                let mut machine = Self {
                    leaf: leaf(save::active(shape)),
                    context, #memory #effects #undo #children #finish #given
                };
                machine.__ask_again(invoked)?;
                Ok(machine)
            }

            fn children(&self) -> Option<&::mainspring::fused::invoke::Children> {
                #invoked
            }

            fn asks(&self) -> Option<&::mainspring::fused::Effects<Self>> {
                #asks
            }

            fn asks_mut(&mut self) -> Option<&mut ::mainspring::fused::Effects<Self>> {
                #asks_mut
            }
        };
        let saving = saving(self.chart, self.tree, &parts);
        quote! {
            #[allow(clippy::all, unused, reason = "what a chart does not use of itself")]
            impl #name {
                /// What a restored machine asks for.
                fn __ask_again(
                    &mut self,
                    __invoked: &[::mainspring::fused::invoke::Again],
                ) -> Result<(), ::mainspring::chart::SnapshotError> {
                    match self.leaf { #(#ends)* _ => {} }
                    #invoke
                }
            }
            #saving
        }
    }

    /// Starts what a state invokes.
    fn invoke(&self, number: usize, source: &syn::Expr) -> TokenStream {
        let (number, context) = (Literal::usize_unsuffixed(number), &self.chart.context.0);
        quote_spanned! { here(source.span()) => {
            let invoked = { let #context = &self.context; #source };
            self.effects.invoke(#number, invoked);
        } }
    }

    /// Copies for a turn that fails.
    fn keep(&self) -> TokenStream {
        let memories = self.tree.histories().count() > 0;
        let keep_memory = memories.then(|| quote! { *memory = self.memory; });
        let keep_pattern = memories.then(|| quote! { , memory });
        let keep_value = memories.then(|| quote! { , self.memory });
        let times = self.tree.timers > 0 || keeps_timers(self.chart);
        let keep_delays = times.then(|| quote! { self.effects.keep_delays(); });
        let back_delays = times.then(|| quote! { self.effects.roll_back_delays(); });
        let keep_children = self.invokes.then(|| quote! { self.children.keep(); });
        let back_children = self.invokes.then(|| quote! { self.children.roll_back(); });
        let back_given = self.chart.output.as_ref().map(|_| {
            quote! {
                if !self.is_done() {
                    self.given = None;
                }
            }
        });
        let back_memory = memories.then(|| quote! { self.memory = memory; });
        quote! {
            #[inline]
            fn __keep(&mut self) {
                #keep_delays
                #keep_children
                match &mut self.undo {
                    Some((leaf, context #keep_pattern)) => {
                        *leaf = self.leaf;
                        ::core::clone::Clone::clone_from(context, &self.context);
                        #keep_memory
                    }
                    None => {
                        let context = ::core::clone::Clone::clone(&self.context);
                        self.undo = Some((self.leaf, context #keep_value));
                    }
                }
            }

            #[cold]
            fn __restore_kept(&mut self) {
                if let Some((leaf, context #keep_pattern)) = self.undo.take() {
                    self.leaf = leaf;
                    self.context = context;
                    #back_memory
                }
                self.effects.forget();
                #back_delays
                #back_children
                #back_given
            }
        }
    }

    fn machine(&self) -> TokenStream {
        let (name, event) = (&self.chart.name, &self.chart.event);
        let children = self.invokes.then(|| {
            quote! { self.children.perform(&mut self.effects, output); }
        });
        let finish = self.ends.then(|| match &self.chart.output {
            Some(_) => quote! {
                if let Some(given) = &self.given {
                    self.finish.give(given, output);
                }
            },
            None => quote! {
                if self.is_done() {
                    self.finish.give(&::std::sync::Arc::new(()), output);
                }
            },
        });
        let keep_timers = keep_timers(self.chart, &quote! { self.effects });
        let output = self.speaks.then(|| {
            quote! {
                #[inline]
                fn output(&mut self, output: &mut ::mainspring::Output<Self>) {
                    #keep_timers
                    self.effects.give(output);
                    #children
                    #finish
                }
            }
        });
        let rest = match self.goes_on {
            true => quote! {
                self.__settle().map_err(|error| ::mainspring::Refusal::new(error.to_string()))
            },
            false => quote! { Ok(()) },
        };
        let chart = name.to_string();
        let not_taken = match self.speaks {
            true => quote! { self.effects.not_taken(#chart); },
            false => quote! { ::mainspring::fused::not_taken::<Self>(#chart); },
        };
        let is_own = is_own(self.chart, &quote! { &event });
        let effects = quote! { self.effects };
        let timer_over = timer_over(self.chart, self.tree, &effects);
        let fails = self.invokes.then(|| {
            let end = end(self.chart, &quote! { &event });
            (
                quote! {
                    let ended = #end;
                    if let Some(ended) = ended {
                        self.children.ended(ended);
                    }
                    let failure = ended.and_then(::mainspring::ChildEnded::refusal);
                },
                quote! {
                    if let Some(refusal) = failure {
                        return Err(refusal);
                    }
                },
            )
        });
        let (look, fail) = fails.unwrap_or_default();
        let fallible = self.speaks.then(|| {
            quote! {
                #[inline]
                fn begin(&mut self) {
                    self.__keep();
                }
                fn roll_back(&mut self) {
                    self.__restore_kept();
                }
            }
        });
        let tell_end = match self.ends {
            true => quote! { self.finish = finish; },
            false => quote! { let _ = finish; },
        };
        let links = links(self.chart, &tell_end);
        quote! {
            #links
            #[allow(unreachable_patterns, reason = "an event's type may have one variant")]
            impl ::mainspring::Machine for #name {
                type Event = #event;
                fn id(&self) -> Option<&str> {
                    Some(#chart)
                }
                /// Takes the event; one that leads to no rest changes nothing.
                #[inline]
                fn apply(&mut self, event: #event) {
                    let _ = self.step(event);
                }
                #[inline]
                fn try_apply(&mut self, event: #event) -> Result<(), ::mainspring::Refusal> {
                    let is_own = #is_own;
                    #look
                    if !self.__take(event) {
                        #fail
                        if !is_own {
                            #not_taken
                        }
                    }
                    #rest
                }
                #fallible
                #output
                #timer_over
            }
        }
    }
}
