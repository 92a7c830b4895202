//! `#[derive(Shape)]`, which `#[message]` adds to a type: a derive sees fields and attributes after `cfg`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, Result, Variant};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    if !item.generics.params.is_empty() {
        let what = "the shape of a generic type is that of its parameters: write `impl Shape` by hand";
        return Err(Error::new_spanned(&item.generics, what));
    }
    let name = &item.ident;
    let written = match written(&item) {
        Some(written) => quote!(__to.define::<Self>(|__to| #written);),
        None => quote!(__to.opaque();),
    };
    // Only where there is a field to be asked: a type without any would not use it.
    let asking = asks(&item).then(|| {
        quote!(
            use ::odeon::private::{NotOutlined as _, Outlined as _};
        )
    });
    Ok(quote! {
        #[automatically_derived]
        impl ::odeon::Shape for #name {
            fn shape(__to: &mut ::odeon::Outline) {
                #asking
                #written
            }
        }
    })
}

/// Whether it is written by asking types for theirs.
fn asks(item: &DeriveInput) -> bool {
    let has_fields = match &item.data {
        Data::Struct(data) => !data.fields.is_empty(),
        Data::Enum(data) => data.variants.iter().any(|variant| !variant.fields.is_empty()),
        Data::Union(_) => false,
    };
    has_fields && written(item).is_some()
}

/// What writes the shape; none of a type that serde encodes in another way than field by field.
fn written(item: &DeriveInput) -> Option<TokenStream> {
    let rules = rules(&item.attrs)?;
    match &item.data {
        Data::Struct(data) if is_transparent(&item.attrs) => {
            let mut all = data.fields.iter();
            match (all.next(), all.next()) {
                (Some(only), None) => value(only),
                _ => None,
            }
        }
        Data::Struct(data) => fields(&data.fields, &rules),
        Data::Enum(data) => {
            let variants = data.variants.iter().map(variant).collect::<Option<Vec<_>>>()?;
            Some(quote!(__to.choice(#rules, |__to| { #(#variants)* })))
        }
        Data::Union(_) => None,
    }
}

fn variant(variant: &Variant) -> Option<TokenStream> {
    let rules = rules(&variant.attrs)?;
    let name = serde_name(&variant.attrs, || unraw(&variant.ident.to_string()))?;
    let held = fields(&variant.fields, &rules)?;
    Some(quote!(__to.named(#name, |__to| #held);))
}

fn fields(fields: &Fields, rules: &str) -> Option<TokenStream> {
    match fields {
        Fields::Named(named) => {
            let named = named.named.iter().map(|field| {
                let own = || field.ident.as_ref().map(|name| unraw(&name.to_string())).unwrap_or_default();
                let (name, value) = (serde_name(&field.attrs, own)?, value(field)?);
                Some(quote!(__to.named(#name, |__to| #value);))
            });
            let named = named.collect::<Option<Vec<_>>>()?;
            Some(quote!(__to.record(#rules, |__to| { #(#named)* })))
        }
        Fields::Unnamed(unnamed) => {
            let values = unnamed.unnamed.iter().map(value).collect::<Option<Vec<_>>>()?;
            match &*values {
                // To serde it is what it holds.
                [one] => Some(one.clone()),
                _ => Some(quote!(__to.tuple(|__to| { #(#values;)* }))),
            }
        }
        Fields::Unit => Some(quote!(__to.value::<()>())),
    }
}

fn value(field: &Field) -> Option<TokenStream> {
    serde_name(&field.attrs, String::new)?;
    let ty = &field.ty;
    Some(outline(&quote!(#ty)))
}

/// Writes the shape of a type, if it has one; both traits of the question are in scope.
pub(crate) fn outline(ty: &TokenStream) -> TokenStream {
    quote!((&::odeon::private::Probe::<#ty>::NEW).outline(__to))
}

/// The rules by which the container's names are changed; none if serde does more than that.
fn rules(attributes: &[Attribute]) -> Option<String> {
    let mut rules = Vec::new();
    look(attributes, &mut |word, value| match (word, value) {
        ("rename_all" | "rename_all_fields", Some(value)) => {
            rules.push(format!("{word}={value}"));
            true
        }
        // Elsewhere a container's name does not travel; a variant's is looked for beside this.
        ("rename" | "alias" | "default" | "crate" | "bound" | "expecting", _) => true,
        ("deny_unknown_fields" | "transparent", None) => true,
        _ => false,
    })
    .then(|| rules.join(","))
}

fn is_transparent(attributes: &[Attribute]) -> bool {
    let mut found = false;
    look(attributes, &mut |word, _| {
        found |= word == "transparent";
        true
    });
    found
}

/// The name under which a field or variant travels; none if serde does more with it than to rename it.
fn serde_name(attributes: &[Attribute], own: impl FnOnce() -> String) -> Option<String> {
    let mut renamed = None;
    let is_plain = look(attributes, &mut |word, value| match (word, value) {
        ("rename", Some(value)) => {
            renamed = Some(value);
            true
        }
        ("rename_all", Some(_)) => true,
        ("alias" | "default", _) => true,
        _ => false,
    });
    is_plain.then(|| renamed.unwrap_or_else(own))
}

/// Shows each word of serde's attributes, with its text, to `is_known`. Whether it knows all of them.
fn look(attributes: &[Attribute], is_known: &mut dyn FnMut(&str, Option<String>) -> bool) -> bool {
    let ours = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let mut all = true;
    for attribute in ours {
        let read = attribute.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let value = if meta.input.peek(syn::Token![=]) {
                Some(meta.value()?.parse::<syn::LitStr>()?.value())
            } else {
                None
            };
            all &= is_known(&word, value);
            Ok(())
        });
        // `rename(serialize = "a", deserialize = "b")` and its like are not read, and so opaque.
        all &= read.is_ok();
    }
    all
}

fn unraw(name: &str) -> String {
    name.trim_start_matches("r#").to_owned()
}
