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

/// Refused as methods of an actor.
fn assert_refused(methods: &str, expected: &str) {
    let code: TokenStream = methods.parse().expect("tokens");
    let error = refused(actor(quote!(mark = "counter/1"), quote!(impl Counter { #code })));
    assert!(error.contains(expected), "{methods}: {error}");
}

#[test]
fn a_good_actor_and_a_good_message_are_written() {
    let item = |needs: &TokenStream| {
        quote! {
            impl Counter {
                #[handle]
                async fn add(&mut self, by: i64, cx: &mut Cx<Self>) -> i64 { by }
                #[handle #needs]
                fn reset(&mut self, reply: Reply<i64>) {}
                #[handle(local)]
                fn peek(&self) -> i64 { 0 }
                #[started]
                fn begin(&mut self) {}
            }
        }
    };
    for (arguments, needs) in [(quote!(), quote!()), (quote!(mark = "counter/1"), quote!((needs = "reset")))]
    {
        let written = actor(arguments, item(&needs)).expect("it is good").to_string();
        for expected in [
            "enum CounterMessage",
            "struct CounterAdd",
            "trait CounterCalls",
            "fn started",
            "\"CounterAdd(..)\"",
        ] {
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
    assert!(of_trait.starts_with("#[actor] goes on a plain `impl` block, not on a trait's"), "{of_trait}");
    let on_struct = refused(actor(
        quote!(),
        quote!(
            struct Counter {
                n: i64,
            }
        ),
    ));
    assert!(on_struct.contains("goes on the `impl` block"), "{on_struct}");
    let generic = refused(actor(
        quote!(),
        quote!(
            impl<T> Counter<T> {}
        ),
    ));
    assert!(generic.starts_with("an actor cannot be generic"), "{generic}");
    let concrete = refused(actor(quote!(), quote!(impl Counter<i64> { #[handle] fn add(&mut self) {} })));
    assert!(concrete.starts_with("an actor cannot be generic"), "{concrete}");
    let elsewhere = refused(actor(quote!(), quote!(impl other::Counter {})));
    assert!(elsewhere.contains("where the type is declared"), "{elsewhere}");
}

#[test]
fn a_handler_takes_self_and_owned_plain_arguments() {
    for (code, expected) in [
        ("#[handle] fn add(by: i64) {}", "a handler takes `&mut self` or `&self` first"),
        ("#[handle] fn add(self) {}", "a handler takes `&mut self` or `&self` first"),
        ("#[handle] fn add<T>(&self, by: T) {}", "a handler cannot be generic"),
        ("#[handle] fn add(&self, by: impl Into<i64>) {}", "name the concrete type"),
        ("#[handle] fn add(&self, name: &str) {}", "so they are owned: write `String`"),
        ("#[handle] fn add(&self, numbers: &[i64]) {}", "so they are owned: write `Vec<…>`"),
        ("#[handle] fn add(&self, by: &i64) {}", "so they are owned: drop the `&`"),
        ("#[handle] fn name(&self) -> &str {}", "so it is owned: write `String`"),
        ("#[handle] fn add(&self, (a, b): (i64, i64)) {}", "a handler's argument is a plain name"),
        ("#[handle] fn add(&self, cx: Cx<Self>) {}", "take `cx: &mut Cx<Self>`"),
        ("#[handle] fn add(&self, reply: Reply<i64>) -> i64 {}", "it returns nothing"),
        ("#[handle] fn add(&self, reply: Reply) {}", "say what is answered"),
        ("#[handle] fn add(&self, one: Reply<i64>, two: Reply<i64>) {}", "a request has one answer"),
    ] {
        assert_refused(code, expected);
    }
}

#[test]
fn a_handler_has_a_name_that_a_handle_and_a_mark_can_have() {
    for (code, expected) in [
        ("#[handle] fn stop(&self) {}", "every handle has a method `stop` of its own"),
        ("#[handle] fn into(&self) {}", "every handle has a method `into` of its own"),
        ("#[handle] fn _1(&self) {}", "a handler's name becomes part of a mark"),
        ("#[handle] fn größe(&self) {}", "a handler's name becomes part of a mark"),
    ] {
        assert_refused(code, expected);
    }
}

#[test]
fn attributes_say_one_thing_that_is_known() {
    for (code, expected) in [
        ("#[handle] #[down] fn add(&self) {}", "a method has one of #[handle]"),
        (
            "#[handle(wants = \"x\")] fn add(&self) {}",
            "expected `local`, `inline`, `boxed` or `needs = \"capability\"`",
        ),
        ("#[handle = \"add\"] fn add(&self) {}", "expected parentheses"),
        ("#[handle(local, needs = \"x\")] fn add(&self) {}", "a local handler is out of reach"),
        ("#[handle(needs = \"Admin\")] fn add(&self) {}", "a capability has 1 to 127"),
        ("#[started(now)] fn begin(&mut self) {}", "unexpected token in attribute"),
        (
            "#[down] fn one(&mut self, down: Down) {} #[down] fn two(&mut self, down: Down) {}",
            "the actor has a method marked #[down] already",
        ),
    ] {
        assert_refused(code, expected);
    }
}

#[test]
fn a_mark_that_nobody_could_find_is_refused() {
    let item = quote!(impl Counter { #[handle] fn add(&self) {} });
    for mark in
        ["Counter/1", "counter", "counter/x", "/1", "coun ter/1", "counter/1#add", "counter/+1", "counter/01"]
    {
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
fn a_mark_of_200_bytes_fits_and_201_do_not_methods_included() {
    let message_of = |bytes: usize| {
        let mark = format!("{}/1", "a".repeat(bytes - 2));
        message(
            quote!(mark = #mark),
            quote!(
                struct Added;
            ),
        )
    };
    assert!(message_of(200).is_ok());
    assert!(refused(message_of(201)).contains("is longer than 200 bytes"));
    let actor_of = |bytes: usize, access: TokenStream| {
        let mark = format!("{}/1", "a".repeat(bytes - "/1#add".len()));
        actor(quote!(mark = #mark), quote!(impl Counter { #[handle #access] fn add(&self) {} }))
    };
    assert!(actor_of(200, quote!()).is_ok());
    assert!(refused(actor_of(201, quote!())).contains("#add` is longer than 200 bytes"));
    assert!(actor_of(201, quote!((local))).is_ok(), "what is local has no mark");
    let long = quote::format_ident!("A{}", "a".repeat(198));
    assert!(refused(message(quote!(), quote!(struct #long;))).contains("is longer than 200 bytes"));
}

#[test]
fn a_capability_of_127_bytes_fits_and_128_do_not() {
    let needing = |bytes: usize| {
        let needs = "a".repeat(bytes);
        actor(quote!(mark = "a/1"), quote!(impl Counter { #[handle(needs = #needs)] fn add(&self) {} }))
    };
    assert!(needing(127).is_ok());
    for bytes in [0, 128] {
        assert!(refused(needing(bytes)).contains("a capability has 1 to 127"));
    }
}

#[test]
fn a_capability_without_a_mark_protects_nothing_and_is_refused() {
    let item = quote!(impl Counter { #[handle(needs = "reset")] fn reset(&self) {} });
    assert!(refused(actor(quote!(), item)).contains("without a mark"));
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
    let twice = refused(message(
        quote!(mark = "update/2", version = 2),
        quote!(
            struct Update;
        ),
    ));
    assert!(twice.contains("leave `version` out"), "{twice}");
    let nameless = refused(message(
        quote!(),
        quote!(
            struct Größe;
        ),
    ));
    assert!(nameless.contains("say #[message(mark"), "{nameless}");
}
