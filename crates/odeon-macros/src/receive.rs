//! `receive!` and `clauses!`.
//!
//! A clause becomes two arms: one that chooses, in a closure that sees messages by reference, and one that runs, with
//! the message by value. So a guard is looked at once, and a body may wait, return and break like any code there.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Arm, Attribute, Error, Expr, FnArg, GenericArgument, Generics, Ident, Pat, Path, PathArguments, Result,
    ReturnType, Token, Type, Visibility, braced, parenthesized, token,
};

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Receive { cx, is_raw, envelope, clauses, ending } = syn::parse2(input)?;
    let choosing = clauses.iter().enumerate().map(|(at, clause)| clause.choosing(at, &envelope));
    let running = clauses.iter().enumerate().map(|(at, clause)| clause.running(at, &quote!(#cx)));
    let raw = is_raw.then(|| quote!(.raw()));
    let (unused, unreachable) = (permit("unused_variables"), permit("unreachable_patterns"));
    let receive = quote! {
        (#cx).recv_envelope_match(|#envelope| {
            #unused
            let __chosen: ::odeon::private::Option<usize> = match ::odeon::Envelope::message(#envelope) {
                #(#choosing)*
                #unreachable
                _ => ::odeon::private::Option::None,
            };
            if let ::odeon::private::Option::Some(__at) = __chosen {
                __clause = __at;
            }
            __chosen.is_some()
        })
        #raw
    };
    let run = quote! {
        match __clause {
            #(#running)*
            _ => ::core::unreachable!("a message is taken when a clause has chosen it"),
        }
    };
    let received = match ending {
        Ending::None => quote! {
            match #receive.await {
                ::odeon::private::Option::Some(__envelope) => ::odeon::private::Option::Some(#run),
                ::odeon::private::Option::None => ::odeon::private::Option::None,
            }
        },
        Ending::Timeout { deadline, body } => quote! {
            match #receive.within(#deadline).await {
                ::odeon::private::Result::Ok(__envelope) => ::odeon::private::Option::Some(#run),
                ::odeon::private::Result::Err(::odeon::RecvError::Timeout) => {
                    ::odeon::private::Option::Some(#body)
                }
                ::odeon::private::Result::Err(_) => ::odeon::private::Option::None,
            }
        },
        Ending::Else { body } => quote! {
            match #receive.now() {
                ::odeon::private::Option::Some(__envelope) => #run,
                ::odeon::private::Option::None => #body,
            }
        },
    };
    Ok(quote!({
        let mut __clause = 0_usize;
        #received
    }))
}

pub(crate) fn expand_clauses(input: TokenStream) -> Result<TokenStream> {
    let parse = |input: ParseStream<'_>| {
        let mut sets = Vec::new();
        while !input.is_empty() {
            sets.push(input.parse::<ClauseSet>()?.expand());
        }
        Ok(sets.into_iter().collect())
    };
    parse.parse2(input)
}

/// `fn name(cx: &mut Cx<Actor>, …) -> Value { clauses }`.
struct ClauseSet {
    attrs: Vec<Attribute>,
    vis: Visibility,
    name: Ident,
    generics: Generics,
    inputs: Vec<FnArg>,
    actor: Type,
    output: ReturnType,
    clauses: Vec<Clause>,
}

impl Parse for ClauseSet {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        input.parse::<Token![fn]>()?;
        let name: Ident = input.parse()?;
        let generics = input.parse()?;
        let content;
        parenthesized!(content in input);
        let inputs: Vec<FnArg> =
            Punctuated::<FnArg, Token![,]>::parse_terminated(&content)?.into_iter().collect();
        let actor = inputs.first().and_then(actor_of).ok_or_else(|| {
            let what = "clauses take the context of an actor first: `cx: &mut Cx<Counter>`";
            Error::new_spanned(&name, what)
        })?;
        let output = input.parse()?;
        let content;
        braced!(content in input);
        let (clauses, ending) = parse_clauses(&content)?;
        if !matches!(ending, Ending::None) {
            let what = "`timeout` and `else` belong to the receive, not to clauses that many of them share";
            return Err(Error::new_spanned(&name, what));
        }
        Ok(Self { attrs, vis, name, generics, inputs, actor, output, clauses })
    }
}

/// `cx: &mut Cx<Counter>` → `Counter`.
fn actor_of(input: &FnArg) -> Option<Type> {
    let FnArg::Typed(input) = input else {
        return None;
    };
    let Type::Reference(reference) = &*input.ty else {
        return None;
    };
    let Type::Path(path) = &*reference.elem else {
        return None;
    };
    let last = path.path.segments.last().filter(|last| last.ident == "Cx")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(actor) => Some(actor.clone()),
        _ => None,
    }
}

impl ClauseSet {
    fn expand(&self) -> TokenStream {
        let Self { attrs, vis, name, generics, inputs, actor, output, clauses } = self;
        let envelope = format_ident!("__envelope");
        let choosing = clauses.iter().enumerate().map(|(at, clause)| clause.choosing(at, &envelope));
        let cx = match inputs.first() {
            Some(FnArg::Typed(cx)) => cx.pat.to_token_stream(),
            _ => quote!(cx),
        };
        let running = clauses.iter().enumerate().map(|(at, clause)| clause.running(at, &cx));
        let (unused, unreachable) = (permit("unused_variables"), permit("unreachable_patterns"));
        let imports = permit("unused_imports");
        let (parameters, _, bounds) = generics.split_for_impl();
        let message = quote!(<#actor as ::odeon::Actor>::Message);
        let inner = match vis {
            Visibility::Inherited => quote!(pub(super)),
            // One module further in.
            Visibility::Restricted(restricted) if restricted.path.is_ident("super") => {
                quote!(pub(in super::super))
            }
            vis => quote!(#vis),
        };
        quote! {
            #(#attrs)*
            #vis mod #name {
                #imports
                use super::*;

                /// Whether one of the clauses wants the message, and which.
                #unused
                fn choose #parameters (#envelope: &::odeon::Envelope<#message>) -> ::odeon::private::Option<usize>
                #bounds {
                    match ::odeon::Envelope::message(#envelope) {
                        #(#choosing)*
                        #unreachable
                        _ => ::odeon::private::Option::None,
                    }
                }

                /// Whether one of the clauses wants the message.
                #inner fn wants #parameters (#envelope: &::odeon::Envelope<#message>) -> bool #bounds {
                    choose(#envelope).is_some()
                }

                /// Runs the clause that wants the message.
                #inner async fn run #parameters (
                    __envelope: ::odeon::Envelope<#message>,
                    #(#inputs),*
                ) #output #bounds {
                    let __clause = choose(&__envelope).unwrap_or(usize::MAX);
                    match __clause {
                        #(#running)*
                        _ => ::core::unreachable!("clauses are run for what they want"),
                    }
                }
            }
        }
    }
}

/// Has the compiler accept what only some of what is written needs: an expectation would fail for the rest.
fn permit(lint: &str) -> TokenStream {
    let (allow, lint) = (format_ident!("allow"), format_ident!("{lint}"));
    quote!(#[#allow(#lint)])
}

struct Receive {
    cx: Expr,
    is_raw: bool,
    /// What guards call the envelope.
    envelope: Ident,
    clauses: Vec<Clause>,
    ending: Ending,
}

/// What happens when nothing that is wanted comes.
enum Ending {
    None,
    Timeout { deadline: Box<Expr>, body: Box<Expr> },
    Else { body: Box<Expr> },
}

enum Clause {
    Own(Box<Arm>),
    /// `use path(arguments)`.
    Reused(Path, Punctuated<Expr, Token![,]>),
}

impl Parse for Receive {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let is_raw = is_word(input, "raw") && !input.peek2(Token![,]);
        if is_raw {
            input.parse::<Ident>()?;
        }
        let cx = input.parse()?;
        input.parse::<Token![,]>()?;
        let envelope = if input.peek(Token![|]) {
            input.parse::<Token![|]>()?;
            let name = input.parse()?;
            input.parse::<Token![|]>()?;
            name
        } else {
            format_ident!("__envelope", span = Span::mixed_site())
        };
        let content;
        braced!(content in input);
        input.parse::<Option<Token![,]>>()?;
        let (clauses, ending) = parse_clauses(&content)?;
        Ok(Self { cx, is_raw, envelope, clauses, ending })
    }
}

fn is_word(input: ParseStream<'_>, word: &str) -> bool {
    input.fork().parse::<Ident>().is_ok_and(|ident| ident == word)
}

/// Whether `timeout` begins a clause of its own, and is no binding of a pattern.
fn is_timeout(input: ParseStream<'_>) -> bool {
    is_word(input, "timeout")
        && !(input.peek2(Token![=>])
            || input.peek2(Token![if])
            || input.peek2(Token![@])
            || input.peek2(Token![|])
            || input.peek2(Token![::])
            || input.peek2(token::Brace))
}

fn parse_clauses(input: ParseStream<'_>) -> Result<(Vec<Clause>, Ending)> {
    let (mut clauses, mut ending) = (Vec::new(), Ending::None);
    while !input.is_empty() {
        let at = input.span();
        let next = if input.peek(Token![else]) {
            input.parse::<Token![else]>()?;
            Some(Ending::Else { body: parse_body(input)? })
        } else if is_timeout(input) {
            input.parse::<Ident>()?;
            let deadline = input.parse()?;
            Some(Ending::Timeout { deadline, body: parse_body(input)? })
        } else {
            clauses.push(Clause::parse(input)?);
            None
        };
        match (&ending, next) {
            (Ending::None, None) => {}
            (Ending::None, Some(next)) => ending = next,
            (before, next) => return Err(Error::new(at, refusal(before, next.as_ref()))),
        }
    }
    if clauses.is_empty() {
        let what =
            "a receive has at least one clause that wants a message: `pattern => body` or `use clause()`";
        return Err(input.error(what));
    }
    Ok((clauses, ending))
}

/// Why nothing may come after `before`.
const fn refusal(before: &Ending, next: Option<&Ending>) -> &'static str {
    match (before, next) {
        (Ending::Else { .. }, Some(Ending::Else { .. })) => {
            "a receive has one `else`: a second one would never run"
        }
        (Ending::Timeout { .. }, Some(Ending::Timeout { .. })) => {
            "a receive has one `timeout`: it is over the whole of it"
        }
        (_, Some(_)) => {
            "`timeout` and `else` exclude each other: with `else` a receive never waits, so there is nothing to time out"
        }
        (Ending::Else { .. }, None) => "`else` comes last: put the clauses that want messages before it",
        (_, None) => "`timeout` comes last: put the clauses that want messages before it",
    }
}

/// `=> body`, and the comma after it.
fn parse_body(input: ParseStream<'_>) -> Result<Box<Expr>> {
    input.parse::<Token![=>]>()?;
    let body = if input.peek(token::Brace) {
        let block = Expr::Block(input.parse()?);
        input.parse::<Option<Token![,]>>()?;
        block
    } else {
        let body = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        body
    };
    Ok(Box::new(body))
}

impl Clause {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(Token![use]) {
            return Ok(Self::Own(Box::new(input.parse()?)));
        }
        input.parse::<Token![use]>()?;
        let path = Path::parse_mod_style(input)?;
        let mut arguments = Punctuated::new();
        if input.peek(token::Paren) {
            let content;
            parenthesized!(content in input);
            arguments = Punctuated::parse_terminated(&content)?;
        }
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self::Reused(path, arguments))
    }

    /// The arm that chooses.
    fn choosing(&self, at: usize, envelope: &Ident) -> TokenStream {
        match self {
            Self::Own(arm) => {
                let Arm { attrs, pat, .. } = &**arm;
                quote!(#(#attrs)* #pat => ::odeon::private::Option::Some(#at),)
            }
            Self::Reused(path, _) => {
                quote!(_ if #path::wants(#envelope) => ::odeon::private::Option::Some(#at),)
            }
        }
    }

    /// The arm that runs.
    fn running(&self, at: usize, cx: &TokenStream) -> TokenStream {
        match self {
            Self::Own(arm) => {
                let Arm { attrs, pat, body, .. } = &**arm;
                let unreachable = permit("unreachable_patterns");
                let (pat, unused) = match pat {
                    // What only the guard has used is used.
                    Pat::Guard(guarded) => (&*guarded.pat, Some(permit("unused_variables"))),
                    pat => (pat, None),
                };
                quote! {
                    #at => match ::odeon::Envelope::into_message(__envelope) {
                        #(#attrs)* #unused #pat => #body,
                        #unreachable
                        _ => ::core::unreachable!("a pattern that has matched matches again"),
                    },
                }
            }
            Self::Reused(path, arguments) => {
                let arguments = arguments.iter();
                quote_spanned!(path.span()=> #at => #path::run(__envelope, #cx, #(#arguments),*).await,)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn refused(input: TokenStream) -> String {
        match expand(input) {
            Ok(written) => panic!("it was not refused: {written}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_good_receive_is_written() {
        for (input, expected) in [
            (
                quote!(cx, { Message::A(n) if *n > 0 => n, use house::keeping(self) }),
                "house :: keeping :: wants",
            ),
            (quote!(raw cx, { _ => {} }), ". raw ()"),
            (quote!(self.cx(), |it| { A if it.wants_reply() => { 1 } B => 2, else => 3, }), ". now ()"),
            (quote!(cx, { A => 1, timeout 2 * SECOND => 2 }), ". within (2 * SECOND)"),
            (quote!(raw, { A => 1 }), "(raw) . recv_envelope_match"),
            (quote!(cx, { timeout => 1 }), "timeout => 1"),
        ] {
            let written = expand(input).expect("it is good").to_string();
            assert!(written.contains(expected), "{expected} is missing in {written}");
        }
    }

    #[test]
    fn timeout_and_else_exclude_each_other_and_come_last() {
        for (input, expected) in [
            (quote!(cx, { A => 1, timeout SECOND => 2, else => 3 }), "exclude each other"),
            (quote!(cx, { A => 1, else => 3, timeout SECOND => 2 }), "exclude each other"),
            (quote!(cx, { A => 1, else => 2, else => 3 }), "a second one would never run"),
            (quote!(cx, { A => 1, timeout A => 2, timeout B => 3 }), "a receive has one `timeout`"),
            (quote!(cx, { else => 2, A => 1 }), "`else` comes last"),
            (quote!(cx, { timeout SECOND => 2, use house::keeping() }), "`timeout` comes last"),
            (quote!(cx, { else => 2 }), "at least one clause"),
            (quote!(cx, {}), "at least one clause"),
        ] {
            let shown = input.to_string();
            let error = refused(input);
            assert!(error.contains(expected), "{shown}: {error}");
        }
    }

    #[test]
    fn clauses_take_a_context_first_and_neither_time_out_nor_give_up() {
        let good = quote!(pub(super) fn house(cx: &mut Cx<Counter>, n: u64) -> u64 { A => n });
        let written = expand_clauses(good).expect("it is good").to_string();
        for expected in
            ["pub (super) mod house", "pub (in super :: super) fn wants", "async fn run", "< Counter as"]
        {
            assert!(written.contains(expected), "{expected} is missing in {written}");
        }
        for (input, expected) in [
            (quote!(fn house() { A => 1 }), "take the context of an actor first"),
            (quote!(fn house(n: u64) { A => 1 }), "take the context of an actor first"),
            (quote!(fn house(cx: &mut Cx<Counter>) { A => 1, else => 2 }), "belong to the receive"),
        ] {
            match expand_clauses(input) {
                Ok(written) => panic!("it was not refused: {written}"),
                Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            }
        }
    }
}
