//! The macros of Odeon: `#[message]`, `#[actor]`, `#[protocol]`, `receive!` and `clauses!`.
//!
//! They own no state and decide nothing at run time: what they write can be written by hand, and errors point
//! at the user's line. Their output names `::odeon`, which is the facade for programs; a crate below the facade
//! says `extern crate odeon_actor as odeon;`.

mod actor;
mod docs;
mod handler;
mod message;
mod names;
mod protocol;
mod receive;
mod shape;
mod spoken;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a struct or enum a message: it can travel between servers, and is registered under its mark.
///
/// The mark is the type's name in kebab case with version 1, `ChatUpdate` → `chat-update/1`; say
/// `#[message(version = 2)]` or `#[message(mark = "chat/2")]` for another. The type gets serde's traits and a
/// JSON Schema, so its fields must have them: other messages, or the types serde and schemars know.
#[proc_macro_attribute]
pub fn message(arguments: TokenStream, item: TokenStream) -> TokenStream {
    message::expand(arguments.into(), item.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Writes the `Shape` of a type that is a part of messages, so that they can travel compactly.
///
/// Without it a message that holds the type travels with its names. It expects serde's own derives: for a hand-written
/// `Serialize` write `Shape` by hand too. With an attribute by which serde encodes in another way (`skip`, `flatten`,
/// `tag`, `untagged`, `with`, `from`, …) the type is opaque; `rename`, `rename_all`, `alias` and `default` are fine.
#[proc_macro_derive(Shape, attributes(serde))]
pub fn derive_shape(item: TokenStream) -> TokenStream {
    shape::expand(item.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Makes the methods of an `impl` block the messages of an actor.
///
/// Methods marked `#[handle]` take `&mut self` or `&self`, their arguments, and if they wish `cx: &mut Cx<Self>`;
/// what they return is the answer. A method that takes `reply: Reply<T>` answers when it likes. `#[started]`,
/// `#[stopped]` and `#[down]` mark the methods of the actor's life; `#[run]` marks a loop that is its life, and takes
/// the messages itself. For an actor `Counter` with a method `add`
/// the macro writes the enum `CounterMessage`, the request `CounterAdd`, and the trait `CounterCalls`, whose
/// method `add` every `Handle<Counter>` has.
///
/// `#[actor(mark = "counter/1")]` makes the actor reachable from other servers; arguments and answers must then
/// be messages or types that serde and schemars know: put `#[message]` on your own.
/// `#[handle(needs = "capability")]` is checked for senders on other servers, before anything is decoded;
/// `#[handle(local)]` is out of their reach.
///
/// Arguments of more than 128 bytes do not compile, because every message in the mailbox would take their room:
/// `#[handle(boxed)]` boxes them. `#[actor(protocol = Counting)]`, or `protocols(One, Two)`, has the actor speak
/// protocols; those of its handlers answer to the protocol's mark, the others to the actor's own.
#[proc_macro_attribute]
pub fn actor(arguments: TokenStream, item: TokenStream) -> TokenStream {
    actor::expand(arguments.into(), item.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Makes a trait a protocol: what an actor may be asked for, whatever else it does.
///
/// The trait becomes a type without values of the same name, which stands for whoever speaks the protocol. For a
/// protocol `Counting` with a method `add` the macro also writes the request `CountingAdd`, the enum
/// `CountingMessage`, the handle `CountingHandle` with the method `add`, and `CountingMock` with `on_add`.
///
/// An actor speaks it by `#[actor(protocol = Counting)]`, or `protocols(Counting, Resetting)` for several: each method
/// of the protocol is a handler of the actor, of the same name, arguments and answer. Its handle is made by `into()` or
/// `as_protocol()`; `CountingHandle::remote` reaches one on another server.
///
/// `#[protocol(mark = "counting/1")]` lets the protocol travel: an actor that speaks it answers to
/// `counting/1#add` from other servers, beside the marks of its own for its other handlers. The actor is at
/// most as visible as its protocols. `#[handle(boxed)]` on a method boxes its arguments.
#[proc_macro_attribute]
pub fn protocol(arguments: TokenStream, item: TokenStream) -> TokenStream {
    protocol::expand(arguments.into(), item.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// What `#[actor(protocol = Name)]` writes: the protocol's own macro has added what the protocol consists of.
#[doc(hidden)]
#[proc_macro]
pub fn actor_with_protocols(state: TokenStream) -> TokenStream {
    protocol::resume(state.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Takes the first message that a clause wants, and runs the clause: patterns and guards choose among the messages
/// that wait, oldest first, and see them by reference; the body has the message by value.
#[proc_macro]
pub fn receive(input: TokenStream) -> TokenStream {
    receive::expand(input.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Clauses of `receive!` that are written once and used in many, by `use name(..)`.
#[proc_macro]
pub fn clauses(input: TokenStream) -> TokenStream {
    receive::expand_clauses(input.into()).unwrap_or_else(|e| e.to_compile_error()).into()
}
