//! `#[message]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::{DeriveInput, Error, Ident, LitInt, LitStr, Result};

use crate::docs::first_paragraph;
use crate::names::{is_kebab, kebab};

/// Longest mark, in bytes; `odeon_core::limits::MARK_BYTES_MAX` is the same at run time.
const MARK_BYTES_MAX: usize = 200;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    if let syn::Data::Union(data) = &item.data {
        return Err(Error::new_spanned(data.union_token, "a message is a struct or an enum"));
    }
    if !item.generics.params.is_empty() {
        let what = "a message has one mark, so it cannot be generic: name the concrete type";
        return Err(Error::new_spanned(&item.generics, what));
    }
    let mark = mark(arguments, &item.ident)?;
    let doc = first_paragraph(&item.attrs);
    let name = &item.ident;
    Ok(quote! {
        #[derive(
            ::odeon::private::serde::Serialize,
            ::odeon::private::serde::Deserialize,
            ::odeon::private::schemars::JsonSchema,
            ::odeon::private::Shape,
        )]
        #[serde(crate = "::odeon::private::serde")]
        #[schemars(crate = "::odeon::private::schemars")]
        #item

        const _: () = {
            static TYPE: ::odeon::private::MessageType = ::odeon::private::MessageType {
                mark: #mark,
                doc: #doc,
                schema: || ::odeon::private::schemars::schema_for!(#name),
                fingerprint: || ::odeon::private::Fingerprint::of::<#name>(),
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

fn mark(arguments: TokenStream, name: &Ident) -> Result<String> {
    let mut mark = None;
    let mut version = None;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("mark") {
            let text: LitStr = meta.value()?.parse()?;
            check_mark(&text)?;
            mark = Some(text.value());
            Ok(())
        } else if meta.path.is_ident("version") {
            let number: LitInt = meta.value()?.parse()?;
            version = Some((number.base10_parse::<u32>()?, number));
            Ok(())
        } else {
            Err(meta.error("expected `mark = \"name/1\"` or `version = 1`"))
        }
    });
    parser.parse2(arguments)?;
    match (mark, version) {
        (Some(_), Some((_, version))) => {
            Err(Error::new_spanned(version, "the mark names the version already: leave `version` out"))
        }
        (Some(mark), None) => Ok(mark),
        (None, version) => {
            let kebab = kebab(&name.to_string());
            if !is_kebab(&kebab) {
                let what = "no mark can be made of this name: say #[message(mark = \"name/1\")]";
                return Err(Error::new_spanned(name, what));
            }
            let mark = format!("{kebab}/{}", version.map_or(1, |(version, _)| version));
            check_length(&mark, name)?;
            Ok(mark)
        }
    }
}

/// Refuses at compile time what would never be found at run time.
pub(crate) fn check_mark(text: &LitStr) -> Result<()> {
    let value = text.value();
    let good = value.split_once('/').is_some_and(|(name, version)| {
        // Written back, so that `+1` and `01` are not other names of version 1.
        is_kebab(name) && version.parse::<u32>().is_ok_and(|number| number.to_string() == version)
    });
    if good {
        check_length(&value, text)
    } else {
        Err(Error::new_spanned(text, "a mark is a kebab-case name and a version, such as \"chat-update/2\""))
    }
}

/// Refuses a mark that would not fit into the type table of a link.
pub(crate) fn check_length(mark: &str, at: &impl ToTokens) -> Result<()> {
    if mark.len() <= MARK_BYTES_MAX {
        return Ok(());
    }
    let what = format!("the mark `{mark}` is longer than {MARK_BYTES_MAX} bytes: choose a shorter name");
    Err(Error::new_spanned(at, what))
}
