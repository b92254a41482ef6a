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
    quote! {
        #[doc = #docs]
        #[allow(dead_code)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #visibility enum #state { #(#variants),* }
    }
}

/// The function that gives the chart as data.
pub(crate) fn model(chart: &parse::Chart, tree: &Tree, deeds: &Deeds<'_>) -> TokenStream {
    let visibility = &chart.visibility;
    let model = describe::model(&chart.name, tree, deeds);
    quote! {
        /// The chart as data, to be checked, drawn and searched for paths. An event has its
        /// pattern's name, an action and a guard their text.
        #[cold]
        #visibility fn model() -> ::mainspring::chart::Model { #model }
    }
}

/// The code of a chart.
pub(crate) fn emit(chart: &parse::Chart, tree: &Tree) -> TokenStream {
    let has_done = tree.has(|cause| matches!(cause, Cause::Done));
    let goes_on = has_done || chart.out.is_some() || tree.has(|c| matches!(c, Cause::Always));
    let is_root_final =
        |&s: &usize| matches!(tree.nodes[s].kind, Sort::Final) && tree.nodes[s].parent == Some(0);
    let ends = (0..tree.nodes.len()).any(|s| is_root_final(&s));
    let emit = Emit {
        chart,
        tree,
        speaks: goes_on || ends || tree.timers > 0,
        goes_on,
    };
    let types = emit.types();
    let public = emit.public();
    let states = emit.states();
    let machine = emit.machine();
    quote! { #types #public #states #machine }
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
        quote! {
            #(#attributes)*
            #visibility struct #name {
                leaf: #leaf,
                context: #context,
                #memory
                #effects
                #undo
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
        quote! {
            #[allow(clippy::all, unused, non_snake_case, unreachable_patterns)]
            impl #name {
                /// A machine in its initial states.
                ///
                /// # Errors
                ///
                /// [`Limit`](::mainspring::chart::StepError::Limit) when it never comes to rest.
                #visibility fn new(context: #context) -> Result<Self, #error> {
                    let mut machine = Self { leaf: #first, context, #memory #effects #undo };
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

                #model
            }
            const _: fn(#leaf) = |_| {};
        }
    }

    fn is_done(&self) -> TokenStream {
        let finals = self.tree.nodes[0].children.iter().copied();
        let finals: Vec<_> = finals
            .filter(|&s| matches!(self.tree.nodes[s].kind, Sort::Final))
            .map(|s| self.leaf(s))
            .collect();
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
        quote_spanned! { block.span() => {
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
                Op::Complete(s) => {
                    let handled = self.tree.nodes[s].arrows.iter();
                    let mut handled = handled.map(|arrow| &arrow.cause);
                    if !handled.any(|cause| matches!(cause, Cause::Done)) {
                        continue;
                    }
                    let number = Literal::usize_unsuffixed(s);
                    quote! { self.effects.complete(#number); }
                }
                Op::Finish(s) => {
                    let leave = self.tree.up(s).map(|at| self.function("leave", at));
                    quote! { #(self.#leave();)* self.effects.finish(); }
                }
            });
        }
        code
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
            fn #enter(&mut self) { #(#entry)* #(#arm)* }
            #[inline]
            fn #leave(&mut self) { #(#remember)* #(#exit)* #(#cancel)* }
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
        quote_spanned! { guard.span() => { let #context = &self.context; #states #guard } }
    }

    fn taken(&self, s: usize, arrow: &Arrow) -> TokenStream {
        let code = self.ops(
            &lower::transition(self.tree, s, arrow),
            arrow.action.as_ref(),
        );
        // An eventless transition that changes nothing ends the asking (XState).
        let idle = arrow.action.is_none()
            && (arrow.target.is_none() || arrow.target == Some(s) && !arrow.reenter);
        let goes_on = !(idle && matches!(arrow.cause, Cause::Always));
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
        let is_event = |cause: &Cause| matches!(cause, Cause::On(_) | Cause::After(..));
        let mut code = TokenStream::new();
        if self.first(Some(s), is_event) == Some(s) {
            let function = self.function("at", s);
            let arms = node.arrows.iter().filter_map(|arrow| {
                let pattern = match &arrow.cause {
                    Cause::On(pattern) => quote! { #pattern },
                    Cause::After(number, _) => {
                        let after = self.chart.after.as_ref();
                        let number = Literal::usize_unsuffixed(*number);
                        quote! { #after(#number) }
                    }
                    _ => return None,
                };
                let guard = arrow.guard.as_ref().map(|guard| {
                    let guard = self.guard(guard);
                    quote! { if #guard }
                });
                let code = self.taken(s, arrow);
                Some(quote! { #pattern #guard => { #code } })
            });
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
        for (what, is) in [
            (
                "always",
                (|c| matches!(c, Cause::Always)) as fn(&Cause) -> bool,
            ),
            ("done", |c| matches!(c, Cause::Done)),
        ] {
            if self.first(Some(s), is) != Some(s) {
                continue;
            }
            let function = self.function(what, s);
            let tries = node.arrows.iter().filter(|arrow| is(&arrow.cause));
            let tries = tries.map(|arrow| {
                let code = self.taken(s, arrow);
                match &arrow.guard {
                    Some(guard) => {
                        let guard = self.guard(guard);
                        quote! { if #guard { return { #code }; } }
                    }
                    None => quote! { return { #code }; },
                }
            });
            let above = (what == "always")
                .then(|| self.first(node.parent, is))
                .flatten();
            let rest = match above {
                Some(above) => {
                    let above = self.function(what, above);
                    quote! { self.#above() }
                }
                None => quote! { false },
            };
            code.extend(quote! {
                #[inline]
                fn #function(&mut self) -> bool { #(#tries)* #rest }
            });
        }
        code
    }

    fn take(&self) -> TokenStream {
        let event = &self.chart.event;
        let done = self.is_done();
        let arms = self.tree.leaves().map(|leaf| {
            let pattern = self.leaf(leaf);
            let is_event = |cause: &Cause| matches!(cause, Cause::On(_) | Cause::After(..));
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
        let is_always = |cause: &Cause| matches!(cause, Cause::Always);
        let always = self.tree.leaves().map(|leaf| {
            let pattern = self.leaf(leaf);
            match self.first(Some(leaf), is_always) {
                Some(at) => {
                    let function = self.function("always", at);
                    quote! { #pattern => self.#function(), }
                }
                None => quote! { #pattern => false, },
            }
        });
        let is_done = |cause: &Cause| matches!(cause, Cause::Done);
        let completions =
            (0..self.tree.nodes.len()).filter(|&s| self.first(Some(s), is_done) == Some(s));
        let completions = completions.map(|s| {
            let (number, function) = (Literal::usize_unsuffixed(s), self.function("done", s));
            let (state, name) = (self.state_type(), self.name(s));
            quote! { #number if self.is(#state::#name) => self.#function(), }
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
                            Some(::mainspring::fused::Inner::Complete(state)) => {
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

    /// Copies for a turn that fails.
    fn keep(&self) -> TokenStream {
        let memories = self.tree.histories().count() > 0;
        let keep_memory = memories.then(|| quote! { *memory = self.memory; });
        let keep_pattern = memories.then(|| quote! { , memory });
        let keep_value = memories.then(|| quote! { , self.memory });
        let back_memory = memories.then(|| quote! { self.memory = memory; });
        quote! {
            #[inline]
            fn __keep(&mut self) {
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
            }
        }
    }

    fn machine(&self) -> TokenStream {
        let (name, event) = (&self.chart.name, &self.chart.event);
        let output = self.speaks.then(|| {
            quote! {
                #[inline]
                fn output(&mut self, output: &mut ::mainspring::Output<Self>) {
                    self.effects.give(output);
                }
            }
        });
        let settle = self.goes_on.then(|| {
            quote! {
                #[inline]
                fn try_apply(&mut self, event: #event) -> Result<(), ::mainspring::Refusal> {
                    self.__take(event);
                    self.__settle().map_err(|error| ::mainspring::Refusal::new(error.to_string()))
                }
            }
        });
        let fallible = self.speaks.then(|| {
            quote! {
                #settle
                #[inline]
                fn begin(&mut self) {
                    self.__keep();
                }
                fn roll_back(&mut self) {
                    self.__restore_kept();
                }
            }
        });
        quote! {
            impl ::mainspring::Machine for #name {
                type Event = #event;
                /// Takes the event; one that leads to no rest changes nothing.
                #[inline]
                fn apply(&mut self, event: #event) {
                    let _ = self.step(event);
                }
                #fallible
                #output
            }
        }
    }
}
