//! Last pass for a chart that the kernel runs: its bodies and guards by number.
//!
//! A step may take several transitions for one event, so a guard or body whose pattern binds
//! anything gets a clone of the event.

use crate::analyze::{Cause, Sort, Tree};
use crate::describe::{self, Deed, Deeds, is_binding, number};
use crate::emit;
use crate::parse;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Pat;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::visit_mut::VisitMut;

/// The code of a chart.
pub(crate) fn emit(chart: &parse::Chart, tree: &Tree) -> TokenStream {
    let (attributes, visibility, name) = (&chart.attributes, &chart.visibility, &chart.name);
    let (context, event) = (&chart.context.1, &chart.event);
    let state = format_ident!("{name}State");
    let error = quote! { ::mainspring::chart::StepError<::core::convert::Infallible> };
    let deeds = Deeds::of(tree);
    let guards = guards(chart, tree);
    let acts = deeds
        .all
        .iter()
        .enumerate()
        .map(|(at, deed)| act(chart, tree, at, deed));
    let raises = chart.out.is_some();
    let (by_name, known) = classes(tree);
    let names = known.iter().map(|(name, _)| name);
    let classes = known.iter().enumerate().map(|(at, (_, pattern))| {
        let at = number(at);
        quote! { #pattern => #at, }
    });
    let states = emit::state_enum(chart, tree);
    let model = emit::model(chart, tree, &deeds);
    let extras = emit::extras(chart, tree);
    let invoke = emit::invoke_again(chart, tree, &quote! { __context }, &quote! { __effects });
    let saving = emit::saving(
        chart,
        tree,
        &quote! {
            fn shape(&self) -> ::mainspring::chart::Instance<()> {
                self.kernel.shape()
            }

            fn again(
                context: #context,
                shape: &::mainspring::chart::Instance<()>,
                invoked: &[::mainspring::fused::invoke::Again],
            ) -> Result<Self, ::mainspring::chart::SnapshotError> {
                let kernel = ::mainspring::fused::kernel::Kernel::again(context, shape, invoked);
                kernel.map(|kernel| Self { kernel })
            }

            fn children(&self) -> Option<&::mainspring::fused::invoke::Children> {
                Some(self.kernel.children())
            }

            fn asks(&self) -> Option<&::mainspring::fused::Effects<Self>> {
                Some(self.kernel.asks())
            }

            fn asks_mut(&mut self) -> Option<&mut ::mainspring::fused::Effects<Self>> {
                Some(self.kernel.asks_mut())
            }
        },
    );
    let effects = quote! { self.kernel.asks_mut() };
    let keep_timers = emit::keep_timers(chart, &effects);
    let timer_over = emit::timer_over(chart, tree, &effects);
    let links = emit::links(chart, &quote! { self.kernel.tell_end(finish); });
    let given_type = emit::given_type(chart);
    let end = emit::end(chart, &quote! { __event });
    let is_own = emit::is_own(chart, &quote! { __event });
    let output = chart.output.as_ref().map(|given| {
        quote! {
            /// What the chart gives; nothing before it is done.
            #visibility fn output(&self) -> Option<&#given> {
                self.kernel.given()
            }
        }
    });
    let (outputs, own) = outputs(chart, tree);
    let is_state = |s: &usize| !matches!(tree.nodes[*s].kind, Sort::History { .. });
    let numbers = (1..tree.nodes.len()).filter(is_state).map(|s| {
        let (name, number) = (&tree.nodes[s].name, number(s));
        quote! { #state::#name => #number, }
    });
    let leaves = tree.leaves().map(|s| {
        let (name, number) = (&tree.nodes[s].name, number(s));
        quote! { #number => #state::#name, }
    });
    let first = tree.leaves().next().map(|s| &tree.nodes[s].name);
    let is_parallel = |node: &crate::analyze::Node| matches!(node.kind, Sort::Parallel);
    let only = (!tree.nodes.iter().any(is_parallel)).then(|| {
        quote! {
            /// The innermost active state.
            #visibility fn state(&self) -> #state {
                self.states().next().unwrap_or(#state::#first)
            }
        }
    });
    let asks = chart.states.as_ref().map(|_| {
        let asked = format_ident!("__{name}Active");
        quote! {
            #[doc(hidden)]
            struct #asked<'a>(::mainspring::chart::View<'a>);
            impl #asked<'_> {
                fn is(&self, state: #state) -> bool {
                    self.0.is_in(#name::__number(state))
                }
            }
        }
    });
    quote! {
        #(#attributes)*
        #visibility struct #name {
            kernel: ::mainspring::fused::kernel::Kernel<Self>,
        }

        #states
        #asks

        #[allow(clippy::all, unused, reason = "what a chart does not use of itself")]
        impl #name {
            /// A machine in its initial states.
            ///
            /// # Errors
            ///
            /// [`Limit`](::mainspring::chart::StepError::Limit) when it never comes to rest.
            #visibility fn new(context: #context) -> Result<Self, #error> {
                let kernel = ::mainspring::fused::kernel::Kernel::new(context)?;
                Ok(Self { kernel })
            }

            /// Whether a state is active. O(active leaves).
            #visibility fn is(&self, state: #state) -> bool {
                self.kernel.is_in(Self::__number(state))
            }

            /// The innermost active states, in document order.
            #visibility fn states(&self) -> impl Iterator<Item = #state> + '_ {
                self.kernel.leaves().iter().map(|&leaf| match leaf {
                    #(#leaves)*
                    _ => #state::#first,
                })
            }

            #only

            /// Whether an active state has that tag.
            #visibility fn has_tag(&self, tag: &str) -> bool {
                self.kernel.has_tag(tag)
            }

            /// The chart's data.
            #visibility fn context(&self) -> &#context {
                self.kernel.context()
            }

            /// Whether a final state of the chart itself was reached: it takes no more events.
            #visibility fn is_done(&self) -> bool {
                self.kernel.is_done()
            }

            /// Takes `event` and runs to rest; gives whether a transition was taken for it.
            ///
            /// # Errors
            ///
            /// [`Limit`](::mainspring::chart::StepError::Limit) when it never comes to rest;
            /// the old state was kept.
            #visibility fn step(&mut self, event: #event) -> Result<bool, #error> {
                self.kernel.step(event)
            }

            #output

            #extras

            #model

            fn __number(state: #state) -> u32 {
                match state { #(#numbers)* }
            }
        }

        #[allow(
            clippy::all, unused, unreachable_patterns,
            reason = "what a chart does not use of itself"
        )]
        impl ::mainspring::fused::kernel::Bodies for #name {
            type Context = #context;
            type Given = #given_type;
            const RAISES: bool = #raises;
            const NAMES: &'static [&'static str] = &[#(#names),*];
            const BY_NAME: &'static [bool] = &[#(#by_name),*];

            fn name(event: &#event) -> usize {
                match *event { #(#classes)* _ => usize::MAX }
            }

            fn model() -> ::mainspring::chart::Model {
                #name::model()
            }

            fn chart() -> &'static ::mainspring::fused::kernel::Compiled<Self> {
                static CHART: ::std::sync::LazyLock<
                    ::mainspring::fused::kernel::Compiled<#name>,
                > = ::std::sync::LazyLock::new(::mainspring::fused::kernel::Compiled::new);
                &CHART
            }

            fn guard(
                __transition: u32,
                __context: &#context,
                __taken: &::mainspring::fused::kernel::Taken<#event>,
                __active: ::mainspring::chart::View<'_>,
            ) -> bool {
                let __event = __taken.event();
                match __transition { #guards _ => true }
            }

            fn act(
                __action: u32,
                __context: &mut #context,
                __effects: &mut ::mainspring::fused::Effects<Self>,
                __taken: &::mainspring::fused::kernel::Taken<#event>,
            ) {
                let __event = __taken.event();
                match __action { #(#acts)* _ => {} }
            }

            fn given(
                __state: u32,
                __context: &#context,
            ) -> Option<::mainspring::fused::invoke::Given> {
                match __state { #outputs _ => None }
            }

            fn own_output(__state: u32, __context: &#context) -> Option<#given_type> {
                match __state { #own }
            }

            fn ended(__event: &#event) -> Option<&::mainspring::ChildEnded> {
                #end
            }

            fn is_own(__event: &#event) -> bool {
                #is_own
            }

            fn invoke(
                __invoked: &[::mainspring::fused::invoke::Again],
                __context: &#context,
                __effects: &mut ::mainspring::fused::Effects<Self>,
            ) -> Result<(), ::mainspring::chart::SnapshotError> {
                #invoke
            }
        }

        #links

        #saving

        impl ::mainspring::Machine for #name {
            type Event = #event;

            fn id(&self) -> Option<&str> {
                Some(::core::stringify!(#name))
            }

            /// Takes the event; one that leads to no rest changes nothing.
            fn apply(&mut self, event: #event) {
                let _ = self.kernel.step(event);
            }

            fn try_apply(&mut self, event: #event) -> Result<(), ::mainspring::Refusal> {
                self.kernel.try_apply(event)
            }

            fn begin(&mut self) {
                self.kernel.begin();
            }

            fn roll_back(&mut self) {
                self.kernel.roll_back();
            }

            fn output(&mut self, output: &mut ::mainspring::Output<Self>) {
                #keep_timers
                self.kernel.output(output);
            }

            #timer_over
        }
    }
}

/// What final states give: to the state around them, and as the chart's own output.
fn outputs(chart: &parse::Chart, tree: &Tree) -> (TokenStream, TokenStream) {
    let name = &chart.context.0;
    let value = |s: usize| {
        let output = tree.nodes[s].output.as_ref()?;
        let code =
            quote_spanned! { emit::here(output.span()) => { let #name = __context; #output } };
        Some((number(s), code))
    };
    let mut inner = TokenStream::new();
    for s in (0..tree.nodes.len()).filter(|&s| tree.nodes[s].parent != Some(0)) {
        if let Some((s, output)) = value(s) {
            inner.extend(quote! { #s => Some(::std::sync::Arc::new(#output)), });
        }
    }
    let mut own = TokenStream::new();
    if chart.output.is_some() {
        for (s, output) in tree.ends().filter_map(value) {
            own.extend(quote! { #s => Some(#output), });
        }
        own.extend(quote! { _ => None, });
    } else {
        own.extend(quote! { _ => Some(()), });
    }
    (inner, own)
}

/// For each transition that asks anything, its number and whether it holds.
fn guards(chart: &parse::Chart, tree: &Tree) -> TokenStream {
    let name = &chart.context.0;
    let asked = chart.states.as_ref().map(|states| {
        let active = format_ident!("__{}Active", chart.name);
        quote! { let #states = #active(__active); }
    });
    let mut code = TokenStream::new();
    let nodes = tree.nodes.iter().enumerate();
    let arrows = nodes.flat_map(|(s, node)| node.arrows.iter().map(move |arrow| (s, arrow)));
    for (at, (s, arrow)) in arrows.enumerate() {
        let guard = arrow.guard.as_ref().map(|guard| {
            quote_spanned! { emit::here(guard.span()) => { let #name = __context; #asked #guard } }
        });
        let holds = match (&arrow.cause, guard) {
            (Cause::Always | Cause::Done(None), None) => continue,
            (Cause::Always | Cause::Done(None), Some(guard)) => guard,
            (Cause::Done(Some(pattern)), guard) => {
                let given = emit::given(chart, tree, s, &quote! { __taken.given() });
                let guard = guard.unwrap_or_else(|| quote! { true });
                quote! { match #given { Some(#pattern) => #guard, _ => false } }
            }
            (
                Cause::Ended {
                    number,
                    is_done,
                    pattern,
                },
                guard,
            ) => {
                let variant = chart.invoke.as_ref();
                let said = emit::ended(chart, tree, *number, *is_done);
                let pattern = any(pattern.as_ref());
                let guard = guard.unwrap_or_else(|| quote! { true });
                quote! {
                    match __event {
                        Some(#variant(__ended)) => match #said {
                            Some(#pattern) => #guard,
                            _ => false,
                        },
                        _ => false,
                    }
                }
            }
            (Cause::After(timer, _), guard) => {
                let (after, timer) = (chart.after.as_ref(), number(*timer));
                let guard = guard.map(|guard| quote! { && #guard });
                quote! { __event.is_some_and(|event| matches!(*event, #after(#timer)) #guard) }
            }
            (Cause::On(pattern), Some(guard)) if binds(pattern) => quote! {
                match __event {
                    Some(event) => match ::core::clone::Clone::clone(event) {
                        #pattern => #guard,
                        _ => false,
                    },
                    None => false,
                }
            },
            (Cause::On(pattern), guard) if names_variants(pattern) => match guard {
                Some(guard) => guard,
                None => continue,
            },
            (Cause::On(pattern), guard) => {
                let pattern = without_bindings(pattern);
                let guard = guard.map(|guard| quote! { && #guard });
                quote! { __event.is_some_and(|event| matches!(*event, #pattern) #guard) }
            }
        };
        let at = number(at);
        code.extend(quote! { #at => #holds, });
    }
    code
}

/// Which transitions go by their events' names alone, and for each such name its pattern.
fn classes(tree: &Tree) -> (Vec<bool>, Vec<(String, Pat)>) {
    let mut by_name = Vec::new();
    let mut known: Vec<(String, Pat)> = Vec::new();
    for arrow in tree.nodes.iter().flat_map(|node| &node.arrows) {
        let pattern = match &arrow.cause {
            Cause::On(pattern) if names_variants(pattern) => pattern,
            _ => {
                by_name.push(false);
                continue;
            }
        };
        by_name.push(true);
        for case in cases(pattern) {
            for name in describe::names_of(case) {
                if known.iter().all(|(other, _)| *other != name) {
                    known.push((name, without_bindings(case)));
                }
            }
        }
    }
    (by_name, known)
}

fn cases(pattern: &Pat) -> Vec<&Pat> {
    match pattern {
        Pat::Or(or) => or.cases.iter().collect(),
        one => vec![one],
    }
}

/// Whether the pattern is variants with whatever they hold: no two names take the same event then.
/// A constant has capitals only, and may be equal to anything.
fn names_variants(pattern: &Pat) -> bool {
    let is_variant = |path: &syn::Path| {
        let name = path.segments.last().map(|last| last.ident.to_string());
        name.is_some_and(|name| {
            name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
        })
    };
    describe::takes_all(pattern)
        && cases(pattern).into_iter().all(|case| match case {
            Pat::Path(path) => is_variant(&path.path),
            Pat::TupleStruct(inner) => is_variant(&inner.path),
            Pat::Struct(inner) => is_variant(&inner.path),
            _ => false,
        })
}

fn act(chart: &parse::Chart, tree: &Tree, at: usize, deed: &Deed<'_>) -> TokenStream {
    let (at, name) = (number(at), &chart.context.0);
    let code = match deed {
        Deed::Body(block, cause) => {
            let out = chart.out.as_ref();
            let out = out.map(|out| quote! { let #out = &mut *__effects; });
            let body = quote_spanned! { emit::here(block.span()) => {
                let #name = &mut *__context;
                #out
                #block
            } };
            match cause {
                Some((_, Cause::On(pattern))) if binds(pattern) => quote! {
                    if let Some(event) = __event {
                        match ::core::clone::Clone::clone(event) {
                            #pattern => { #body; }
                            _ => {}
                        }
                    }
                },
                Some((s, Cause::Done(Some(pattern)))) => {
                    let given = emit::given(chart, tree, *s, &quote! { __taken.given() });
                    quote! {
                        match #given {
                            Some(#pattern) => { #body; }
                            _ => {}
                        }
                    }
                }
                Some((
                    _,
                    Cause::Ended {
                        number,
                        is_done,
                        pattern: Some(pattern),
                    },
                )) => {
                    let variant = chart.invoke.as_ref();
                    let said = emit::ended(chart, tree, *number, *is_done);
                    quote! {
                        if let Some(#variant(__ended)) = __event {
                            match #said {
                                Some(#pattern) => { #body; }
                                _ => {}
                            }
                        }
                    }
                }
                _ => quote! { #body; },
            }
        }
        Deed::Invoke(invocation, what) => invoke(chart, *invocation, &what.source),
        Deed::Stop(invocation, _) => {
            let invocation = number(*invocation);
            quote! { __effects.stop_invoked(#invocation); }
        }
        Deed::Arm(timer, delay) => {
            let (after, timer) = (chart.after.as_ref(), number(*timer));
            quote! {
                let delay = { let #name = &*__context; #delay };
                __effects.arm(#timer, delay, #after(#timer));
            }
        }
        Deed::Disarm(timer) => {
            let timer = number(*timer);
            quote! { __effects.disarm(#timer); }
        }
    };
    quote! { #at => { #code } }
}

/// Starts what a state invokes.
fn invoke(chart: &parse::Chart, invocation: usize, source: &syn::Expr) -> TokenStream {
    let (invocation, name) = (number(invocation), &chart.context.0);
    quote_spanned! { emit::here(source.span()) =>
        let invoked = { let #name = &*__context; #source };
        __effects.invoke(#invocation, invoked);
    }
}

/// The pattern, or one that takes everything.
fn any(pattern: Option<&Pat>) -> TokenStream {
    match pattern {
        Some(pattern) => quote! { #pattern },
        None => quote! { _ },
    }
}

/// Whether the pattern gives a name to anything.
fn binds(pattern: &Pat) -> bool {
    struct Found(bool);
    impl Visit<'_> for Found {
        fn visit_pat_ident(&mut self, ident: &syn::PatIdent) {
            self.0 |= is_binding(&ident.ident) || ident.subpat.is_some();
        }
    }
    let mut found = Found(false);
    found.visit_pat(pattern);
    found.0
}

/// The pattern with `_` for each name that it gives: matching moves nothing then.
fn without_bindings(pattern: &Pat) -> Pat {
    struct Forget;
    impl VisitMut for Forget {
        fn visit_pat_mut(&mut self, pattern: &mut Pat) {
            if let Pat::Ident(ident) = pattern {
                match ident.subpat.take() {
                    Some((_, inner)) => *pattern = *inner,
                    None if is_binding(&ident.ident) => *pattern = syn::parse_quote! { _ },
                    None => return,
                }
            }
            syn::visit_mut::visit_pat_mut(self, pattern);
        }

        /// `Push { force }` is `Push { force: _ }` then.
        fn visit_field_pat_mut(&mut self, field: &mut syn::FieldPat) {
            if field.colon_token.is_none() && !matches!(*field.pat, Pat::Wild(_)) {
                field.colon_token = Some(Default::default());
            }
            syn::visit_mut::visit_field_pat_mut(self, field);
        }
    }
    let mut pattern = pattern.clone();
    Forget.visit_pat_mut(&mut pattern);
    pattern
}
