//! What the macros refuse, in the words the user reads.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

fn refused(expansion: Result<TokenStream>) -> String {
    match expansion {
        Ok(written) => panic!("it was not refused: {written}"),
        Err(error) => error.to_string(),
    }
}

fn actor(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    crate::actor::expand(arguments, item)
}

fn message(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    crate::message::expand(arguments, item)
}

/// Refused as a method of an actor.
fn method(method: &TokenStream) -> String {
    refused(actor(quote!(mark = "counter/1"), quote!(impl Counter { #method })))
}

#[test]
fn a_good_actor_and_a_good_message_are_written() {
    let item = quote! {
        impl Counter {
            #[handle]
            async fn add(&mut self, by: i64, cx: &mut Cx<Self>) -> i64 { by }
            #[handle(needs = "reset")]
            fn reset(&mut self, reply: Reply<i64>) {}
            #[handle(local)]
            fn peek(&self) -> i64 { 0 }
            #[started]
            fn begin(&mut self) {}
        }
    };
    for arguments in [quote!(), quote!(mark = "counter/1")] {
        let written = actor(arguments, item.clone()).expect("it is good").to_string();
        for expected in ["enum CounterMessage", "struct CounterAdd", "trait CounterCalls", "fn started"] {
            assert!(written.contains(expected), "{expected} is missing");
        }
        assert!(!written.contains("# [handle"), "the attributes are taken off");
    }
    let written = message(
        quote!(version = 3),
        quote!(
            struct ChatUpdate {
                text: String,
            }
        ),
    );
    assert!(written.expect("it is good").to_string().contains("\"chat-update/3\""));
}

#[test]
fn self_in_a_signature_means_the_actor() {
    let item = quote! {
        impl Counter {
            #[handle]
            fn join(&mut self, others: Vec<Handle<Self>>) -> Option<Handle<Self>> { None }
        }
    };
    let written = actor(quote!(), item).expect("it is good").to_string();
    assert!(written.contains("pub others : Vec < Handle < Counter > >"), "{written}");
    assert!(written.contains("type Reply = Option < Handle < Counter > >"), "{written}");
}

#[test]
fn an_actor_is_a_plain_impl_block_with_a_handler() {
    let needs_handler = refused(actor(quote!(), quote!(impl Counter { fn add(&mut self) {} })));
    assert_eq!(needs_handler, "an actor needs at least one method marked #[handle]");
    let of_trait = refused(actor(quote!(), quote!(impl Clone for Counter {})));
    assert_eq!(of_trait, "#[actor] goes on a plain `impl` block, not on a trait's");
    let generic = refused(actor(
        quote!(),
        quote!(
            impl<T> Counter<T> {}
        ),
    ));
    assert!(generic.starts_with("an actor cannot be generic"), "{generic}");
    let elsewhere = refused(actor(quote!(), quote!(impl other::Counter {})));
    assert!(elsewhere.contains("where the type is declared"), "{elsewhere}");
}

#[test]
fn a_handler_takes_self_and_owned_plain_arguments() {
    let cases = [
        (
            quote!(
                #[handle]
                fn add(by: i64) {}
            ),
            "a handler takes `&mut self` or `&self` first",
        ),
        (
            quote!(
                #[handle]
                fn add(self) {}
            ),
            "a handler takes `&mut self` or `&self` first",
        ),
        (
            quote!(
                #[handle]
                fn add<T>(&self, by: T) {}
            ),
            "a handler cannot be generic",
        ),
        (
            quote!(
                #[handle]
                fn add(&self, name: &str) {}
            ),
            "so they are owned: drop the `&`",
        ),
        (
            quote!(
                #[handle]
                fn add(&self, (a, b): (i64, i64)) {}
            ),
            "a handler's argument is a plain name",
        ),
        (
            quote!(
                #[handle]
                fn add(&self, reply: Reply<i64>) -> i64 {
                    1
                }
            ),
            "it returns nothing",
        ),
        (
            quote!(
                #[handle]
                #[down]
                fn add(&self) {}
            ),
            "a method has one of #[handle]",
        ),
        (
            quote!(
                #[handle(wants = "x")]
                fn add(&self) {}
            ),
            "expected `local` or `needs = \"capability\"`",
        ),
        (
            quote!(
                #[handle(local, needs = "x")]
                fn add(&self) {}
            ),
            "a local handler is out of reach",
        ),
    ];
    for (code, expected) in cases {
        let error = method(&code);
        assert!(error.contains(expected), "{code}: {error}");
    }
}

#[test]
fn a_mark_that_nobody_could_find_is_refused() {
    let item = quote!(impl Counter { #[handle] fn add(&self) {} });
    for mark in ["Counter/1", "counter", "counter/x", "/1", "coun ter/1", "counter/1#add"] {
        let error = refused(actor(quote!(mark = #mark), item.clone()));
        assert!(error.starts_with("a mark is a kebab-case name and a version"), "{mark}: {error}");
        refused(message(
            quote!(mark = #mark),
            quote!(
                struct Added;
            ),
        ));
    }
    assert!(refused(actor(quote!(name = "counter"), item)).contains("expected `mark = "));
}

#[test]
fn a_message_is_one_concrete_struct_or_enum() {
    assert_eq!(refused(message(quote!(), quote!(union U { a: u8 }))), "a message is a struct or an enum");
    let generic = refused(message(
        quote!(),
        quote!(
            struct Update<T>(T);
        ),
    ));
    assert!(generic.contains("it cannot be generic"), "{generic}");
    let argument = refused(message(
        quote!(name = "x"),
        quote!(
            struct Update;
        ),
    ));
    assert!(argument.contains("expected `mark = \"name/1\"` or `version = 1`"), "{argument}");
}
