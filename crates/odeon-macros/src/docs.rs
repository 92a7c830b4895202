//! Documentation comments, carried into descriptions.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The first paragraph of the documentation, as one line.
pub(crate) fn first_paragraph(attributes: &[Attribute]) -> String {
    let texts = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines = texts.flat_map(|text| text.split('\n').map(plain).collect::<Vec<_>>());
    let lines = lines.skip_while(String::is_empty).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// A line without the star that lines of a block comment begin with.
fn plain(line: &str) -> String {
    let line = line.trim();
    if line == "*" { String::new() } else { line.strip_prefix("* ").unwrap_or(line).to_owned() }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn the_first_paragraph_ends_at_an_empty_line_in_every_style_of_comment() {
        for item in [
            quote! {
                /// Counts *all*
                /// of them.
                ///
                /// Slowly.
                struct A;
            },
            quote! {
                /**
                 * Counts *all*
                 * of them.
                 *
                 * Slowly.
                 */
                struct A;
            },
        ] {
            let item: syn::DeriveInput = syn::parse2(item).expect("a struct");
            assert_eq!(first_paragraph(&item.attrs), "Counts *all* of them.");
        }
        assert_eq!(first_paragraph(&[]), "");
    }
}
