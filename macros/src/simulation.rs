//! The attribute of a test that is run by seeds: `#[mainspring::test(seeds = 500)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ItemFn, Meta, Result, Token};

/// What stands in the attribute's parentheses.
#[derive(Default)]
struct Arguments {
    seeds: Option<Expr>,
    config: Option<Expr>,
    faults: Option<Expr>,
    one_in: Option<Expr>,
    exploration: Option<Expr>,
}

/// The function as a test over seeds.
pub(crate) fn test(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let arguments = parse(arguments)?;
    let function: ItemFn = syn::parse2(function)?;
    let signature = &function.sig;
    if signature.inputs.len() != 1 {
        let text = "a simulated test takes the simulation: `fn name(sim: &mut Sim)`";
        return Err(Error::new(signature.inputs.span(), text));
    }
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new(
            asyncness.span(),
            "a simulated test is not async",
        ));
    }
    if !signature.generics.params.is_empty() {
        let text = "a simulated test has no type parameters";
        return Err(Error::new(signature.generics.span(), text));
    }
    let (name, visibility, attributes) = (&signature.ident, &function.vis, &function.attrs);
    let mut inner = function.clone();
    inner.attrs.clear();
    inner.vis = syn::Visibility::Inherited;
    let seeds = match arguments.seeds {
        Some(range @ Expr::Range(_)) => quote!(#range),
        Some(count) => quote!(0..#count),
        None => quote!(0..100),
    };
    let config = match arguments.config {
        Some(config) => quote!(#config),
        None => quote!(<::mainspring::Config as ::core::default::Default>::default()),
    };
    let exploration = match arguments.exploration {
        Some(exploration) => quote!(#exploration),
        None => quote!(::mainspring::testkit::Exploration::Mixed),
    };
    let faults = arguments.faults.map(|faults| {
        let one_in = match arguments.one_in {
            Some(one_in) => quote!(#one_in),
            None => quote!(24),
        };
        quote!(sim.faults(&#faults, #one_in);)
    });
    Ok(quote! {
        #(#attributes)*
        #[::core::prelude::v1::test]
        #visibility fn #name() {
            #inner
            ::mainspring::testkit::simulate_by(#exploration, #config, #seeds, |sim| {
                #faults
                // The result is the unit: a test that returns another type does not compile.
                let () = #name(sim);
            });
        }
    })
}

fn parse(tokens: TokenStream) -> Result<Arguments> {
    let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)?;
    let mut arguments = Arguments::default();
    for meta in metas {
        let pair = meta.require_name_value()?;
        let name = pair.path.get_ident().map(ToString::to_string);
        let place = match name.as_deref() {
            Some("seeds") => &mut arguments.seeds,
            Some("config") => &mut arguments.config,
            Some("faults") => &mut arguments.faults,
            Some("one_in") => &mut arguments.one_in,
            Some("exploration") => &mut arguments.exploration,
            _ => {
                let text = "expected `seeds`, `config`, `exploration`, `faults` or `one_in`";
                return Err(Error::new(pair.path.span(), text));
            }
        };
        if place.replace(pair.value.clone()).is_some() {
            return Err(Error::new(pair.path.span(), "given twice"));
        }
    }
    if let (Some(one_in), None) = (&arguments.one_in, &arguments.faults) {
        return Err(Error::new(
            one_in.span(),
            "`one_in` is of `faults`, and there are none",
        ));
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: TokenStream, function: TokenStream) -> String {
        let refused = test(arguments, function);
        refused.expect_err("it is wrong").to_string()
    }

    #[test]
    fn wrong_arguments_are_named() {
        let function = quote!(
            fn run(sim: &mut Sim) {}
        );
        for (arguments, says) in [
            (quote!(seed = 5), "expected `seeds`"),
            (quote!(seeds = 5, seeds = 6), "given twice"),
            (quote!(one_in = 5), "`one_in` is of `faults`"),
            (quote!(seeds), "expected"),
        ] {
            let text = refusal(arguments, function.clone());
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn wrong_functions_are_refused() {
        for (function, says) in [
            (
                quote!(
                    fn run() {}
                ),
                "takes the simulation",
            ),
            (
                quote!(
                    async fn run(sim: &mut Sim) {}
                ),
                "not async",
            ),
            (
                quote!(
                    fn run<T>(sim: &mut Sim) {}
                ),
                "no type parameters",
            ),
        ] {
            let text = refusal(quote!(), function);
            assert!(text.contains(says), "{text}");
        }
    }
}
