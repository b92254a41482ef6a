//! The derive of `mainspring::Dependencies`: a path for each field.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, LitStr};

/// The implementation, or what is wrong with the struct, at the place.
pub(crate) fn derive(input: DeriveInput) -> Result<TokenStream, Error> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => {
                let message = "dependencies are the named fields of a struct";
                return Err(Error::new_spanned(&input.ident, message));
            }
        },
        _ => {
            let message = "only a struct can have dependencies";
            return Err(Error::new_spanned(&input.ident, message));
        }
    };
    let mut errors: Option<Error> = None;
    let mut found = Vec::new();
    for field in fields {
        let mut paths = field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("actor"));
        let path = match (paths.next(), paths.next()) {
            (Some(path), None) => path.parse_args::<LitStr>(),
            (Some(_), Some(again)) => Err(Error::new_spanned(again, "a second path")),
            (None, _) => Err(Error::new_spanned(
                field,
                "a path was expected: #[actor(\"actor://system/name\")]",
            )),
        };
        match path {
            Ok(path) => {
                let name = &field.ident;
                let label = name.as_ref().map(ToString::to_string);
                let path = quote_spanned!(path.span()=> ::mainspring::actor_path!(#path));
                found.push(quote! {
                    #name: ::mainspring::Dependency::find(directory, #label, #path)?
                });
            }
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::mainspring::Dependencies for #name #arguments #bounds {
            fn resolve(
                directory: ::mainspring::Directory<'_>,
            ) -> ::core::result::Result<Self, ::mainspring::DependencyError> {
                ::core::result::Result::Ok(Self { #(#found),* })
            }
        }
    })
}
