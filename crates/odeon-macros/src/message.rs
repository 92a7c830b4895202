//! `#[message]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::{DeriveInput, Error, LitInt, LitStr, Result};

use crate::docs::first_paragraph;
use crate::names::kebab;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    if let syn::Data::Union(data) = &item.data {
        return Err(Error::new_spanned(data.union_token, "a message is a struct or an enum"));
    }
    if !item.generics.params.is_empty() {
        let what = "a message has one mark, so it cannot be generic: name the concrete type";
        return Err(Error::new_spanned(&item.generics, what));
    }
    let mark = mark(arguments, &item.ident.to_string())?;
    let doc = first_paragraph(&item.attrs);
    let name = &item.ident;
    Ok(quote! {
        #[derive(
            ::odeon::private::serde::Serialize,
            ::odeon::private::serde::Deserialize,
            ::odeon::private::schemars::JsonSchema,
        )]
        #[serde(crate = "::odeon::private::serde")]
        #[schemars(crate = "::odeon::private::schemars")]
        #item

        const _: () = {
            static TYPE: ::odeon::private::MessageType = ::odeon::private::MessageType {
                mark: #mark,
                doc: #doc,
                schema: || ::odeon::private::schemars::schema_for!(#name),
            };

            #[automatically_derived]
            impl ::odeon::private::Message for #name {
                fn message_type() -> &'static ::odeon::private::MessageType {
                    &TYPE
                }
            }

            ::odeon::private::inventory::submit! { &TYPE }
        };
    })
}

fn mark(arguments: TokenStream, name: &str) -> Result<String> {
    let mut mark = None;
    let mut version = None;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("mark") {
            let text: LitStr = meta.value()?.parse()?;
            check_mark(&text)?;
            mark = Some(text.value());
            Ok(())
        } else if meta.path.is_ident("version") {
            version = Some(meta.value()?.parse::<LitInt>()?.base10_parse::<u32>()?);
            Ok(())
        } else {
            Err(meta.error("expected `mark = \"name/1\"` or `version = 1`"))
        }
    });
    parser.parse2(arguments)?;
    Ok(mark.unwrap_or_else(|| format!("{}/{}", kebab(name), version.unwrap_or(1))))
}

/// Refuses at compile time what would never be found at run time.
pub(crate) fn check_mark(text: &LitStr) -> Result<()> {
    let value = text.value();
    let good = value.split_once('/').is_some_and(|(name, version)| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && version.parse::<u32>().is_ok()
    });
    if good {
        Ok(())
    } else {
        Err(Error::new_spanned(text, "a mark is a kebab-case name and a version, such as \"chat-update/2\""))
    }
}
