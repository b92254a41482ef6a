//! The macros of mainspring: `mainspring::chart!` and the derive of `mainspring::Dependencies`. Use
//! them from there, with the feature `macros`.
//!
//! ```text
//!   tokens ─▶ parse ─▶ analyze ┬▶ lower ─▶ emit ─▶ one function a state, one jump an event
//!                              ├▶ kernel ────────▶ bodies by number, where states are parallel
//!                              └▶ describe ──────▶ the chart as data
//! ```

mod analyze;
mod dependencies;
mod describe;
mod emit;
mod kernel;
mod lower;
mod parse;
mod simulation;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// A statechart as a machine; see `mainspring::chart!`.
#[proc_macro]
pub fn chart(input: TokenStream) -> TokenStream {
    let mut chart = syn::parse_macro_input!(input as parse::Chart);
    let body = std::mem::take(&mut chart.body);
    match analyze::analyze(&chart, body) {
        Ok(tree) if tree.needs_kernel => kernel::emit(&chart, &tree).into(),
        Ok(tree) => emit::emit(&chart, &tree).into(),
        Err(errors) => errors.into_compile_error().into(),
    }
}

/// A test that is run by seeds; see `mainspring::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let made = simulation::test(arguments.into(), function.into());
    made.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// What a behavior depends on, found by paths; see `mainspring::Dependencies`.
#[proc_macro_derive(Dependencies, attributes(actor))]
pub fn derive_dependencies(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    let derived = dependencies::derive(input);
    derived
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
