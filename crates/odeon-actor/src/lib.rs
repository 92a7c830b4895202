//! Local actors: state behind a mailbox, one message at a time.
//!
//! An actor is spawned in a [`System`] and reached by its [`Handle`]; calling a method of the handle makes a
//! [`Call`], which the caller awaits (an ask) or tells. The handle does not say where the actor is: a route,
//! given by whoever knows the network, makes the same calls reach another server. This crate knows none.
//!
//! ```
//! # extern crate odeon_actor as odeon; // programs depend on the facade, `odeon`
//! use odeon::{Actor, Cx, System, actor};
//!
//! #[derive(Default)]
//! struct Counter {
//!     n: i64,
//! }
//!
//! #[actor]
//! impl Counter {
//!     /// Adds, and returns the sum.
//!     #[handle]
//!     async fn add(&mut self, by: i64) -> i64 {
//!         self.n += by;
//!         self.n
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let counter = System::new().spawn(Counter::default());
//! counter.add(2).tell().await?;
//! assert_eq!(counter.add(3).await?, 5);
//! # Ok(())
//! # }
//! ```

// The macros' output says `::odeon`, in this crate's own tests too.
extern crate self as odeon;

mod actor;
mod ask;
mod awaited;
mod call;
pub mod clauses;
mod current;
mod cx;
mod cycles;
mod dead_letter;
mod draft;
mod elsewhere;
mod envelope;
mod error;
mod explain;
mod group;
mod handle;
mod inbox;
mod inline;
mod label;
mod life;
mod links;
mod local;
mod mock;
mod outgoing;
mod overflow;
mod pace;
mod panic;
mod protocol;
mod proxy;
mod receive;
mod recipient;
mod recv;
mod reply;
mod reserve;
mod run;
mod runtime;
mod sender;
mod shortcut;
mod spans;
mod stats;
mod supervise;
mod system;
mod table;
mod tell;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod ticker;
mod timers;
pub mod tree;
mod via;

pub use actor::{Actor, Failure};
pub use ask::Ask;
pub use awaited::{AnswerPort, Asks, Awaited, FarAnswer, Unasked};
pub use call::{Call, Inline, Request};
pub use cx::Cx;
pub use dead_letter::{DeadLetter, DeadReason};
pub use draft::Draft;
pub use envelope::Envelope;
pub use error::{AskError, NameTaken, RegisterError, TellError, TryTellError, Untaken};
pub use explain::{Asked, Doing, Explanation, WaitingAsk};
pub use group::{
    Broadcast, GROUP_WATCHERS_MAX, GROUPS_MAX, GroupChange, GroupError, GroupEvent, GroupWatch, MEMBERS_MAX,
};
pub use handle::{Handle, Route};
pub use inbox::{Delivery, Inbox, Payload, RemoteReply, ReplySink};
pub use label::ActorLabel;
pub use life::{Down, MonitorId, TooManyMonitors};
pub use links::{LetGo, Linked, TooManyLinks, link_here, link_side, unlink_here, unlink_side};
pub use odeon_mailbox::Ticket;
pub use outgoing::{Arguments, Encode, Offer, Outgoing, RemoteCall};
pub use protocol::Speaks;
pub use proxy::{NotHere, Proxied};
pub use receive::{Received, RecvError};
pub use recipient::{Recipient, RecipientAsk, RecipientCall};
pub use recv::{Recv, RecvAny, RecvDown, RecvWithin};
pub use reply::Reply;
pub use reserve::{LookupOrSpawnError, RESERVE_WAITERS_MAX};
pub use runtime::{TokioClock, TokioSpawn};
pub use sender::{Deed, Holds, Peer, RemoteSender, Sender};
pub use stats::{Stats, SystemStats};
pub use supervise::{
    AddChildError, ChildError, ChildSpec, StartChildError, SupervisedChild, Supervision, Supervisor,
    SupervisorCalls,
};
pub use system::{KILL_PATIENCE, RegisteredActor, SpawnOptions, Switch, System};
pub use tell::Tell;
pub use ticker::{TIMERS_MAX, Tick, TickerError, TimerId};
pub use timers::ASKS_MAX;

pub use odeon_core::{ExitReason, GroupName, Message, Outline, PanicReport, Shape};
pub use odeon_macros::Shape;
/// What a program writes for most actors:
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{Actor, Cx, actor, message};
///
/// #[message]
/// struct Greeting {
///     text: String,
/// }
///
/// #[derive(Default)]
/// struct Greeter {
///     last: Option<String>,
/// }
///
/// /// Greets.
/// #[actor(mark = "greeter/1")] // other servers may reach it
/// impl Greeter {
///     /// Greets somebody.
///     #[handle]
///     fn greet(&mut self, name: String) -> Greeting {
///         let text = format!("Hello, {name}!");
///         self.last = Some(name);
///         Greeting { text }
///     }
///
///     /// Forgets the last one.
///     #[handle(needs = "greeter:forget")] // senders on other servers need this capability
///     fn forget(&mut self) {
///         self.last = None;
///     }
///
///     #[handle(local)] // other servers do not see it
///     fn finish(&mut self, cx: &mut Cx<Self>) {
///         cx.stop();
///     }
/// }
///
/// let protocol = Greeter::protocol().unwrap();
/// assert_eq!(protocol.methods.iter().map(|method| method.name).collect::<Vec<_>>(), ["greet", "forget"]);
/// ```
///
/// The handle of an actor has the methods of its handlers; an argument that is no message is refused where it
/// is written, and so is one that borrows.
pub use odeon_macros::actor;
/// Clauses of [`receive!`], written once and used in many receives by `use name(..)`. They become a module of the
/// name, with the functions `wants` and `run`; the receive gives `run` the context, and the arguments it names.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{Cx, System, actor, clauses, receive};
///
/// #[derive(Default)]
/// struct Door {
///     is_open: bool,
/// }
///
/// #[actor]
/// impl Door {
///     #[handle]
///     fn open(&mut self) {}
///
///     #[handle]
///     fn is_open(&self) -> bool { self.is_open }
///
///     #[run]
///     async fn run(&mut self, cx: &mut Cx<Self>) {
///         let (mut opened, mut lives) = (false, true);
///         while lives {
///             let received = receive!(cx, {
///                 DoorMessage::Open(DoorOpen {}, reply) if !opened => { opened = true; reply.send(()) }
///                 use asking(opened),
///                 use clauses::unexpected(),
///             });
///             lives = received.is_some();
///         }
///     }
/// }
///
/// clauses! {
///     /// What a door can be asked.
///     fn asking(cx: &mut Cx<Door>, opened: bool) {
///         DoorMessage::IsOpen(DoorIsOpen {}, reply) => { let _ = cx; reply.send(opened) }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let door = System::new().spawn(Door::default());
/// assert!(!door.is_open().await?);
/// door.open().await?;
/// assert!(door.is_open().await?);
/// assert!(door.open().await.is_err(), "it is open");
/// # Ok(())
/// # }
/// ```
pub use odeon_macros::clauses;
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{Message, message};
///
/// /// A line of a chat.
/// #[message(version = 2)]
/// struct ChatUpdate {
///     text: String,
/// }
///
/// let known = ChatUpdate::message_type();
/// assert_eq!((known.mark, known.doc), ("chat-update/2", "A line of a chat."));
/// ```
pub use odeon_macros::message;
/// What an actor may be asked for, whatever else it does:
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{System, actor, protocol};
///
/// /// Counts.
/// #[protocol(mark = "counting/1")] // without a mark it is for this process alone
/// pub trait Counting {
///     /// Adds, and returns the sum.
///     async fn add(&self, by: i64) -> i64;
/// }
///
/// #[derive(Default)]
/// struct Counter(i64);
///
/// #[actor(protocol = Counting)] // or `protocols(Counting, Resetting)`
/// impl Counter {
///     #[handle]
///     fn add(&mut self, by: i64) -> i64 {
///         self.0 += by;
///         self.0
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counting: CountingHandle = System::new().spawn(Counter::default()).into();
/// assert_eq!(counting.add(2).await?, 2);
///
/// let mock = CountingMock::new().on_add(|by| by + 40); // for tests: no actor, no system
/// assert_eq!(mock.handle().add(2).await?, 42);
/// assert_eq!(mock.calls(), ["add(2)"]);
/// # Ok(())
/// # }
/// ```
///
/// A handler that is missing or differs from the protocol is refused where the actor is written.
pub use odeon_macros::protocol;
/// Takes the first message that one of the clauses wants, and runs the clause; the value is that of its body.
///
/// Messages are looked at in the order of the mailbox, and by each the clauses in theirs. Patterns and guards see a
/// message by reference; the body has it by value. What no clause wants stays where it is. Within a body the context
/// speaks of the message ([`Cx::sender`] and its like); a guard finds the envelope under the name given between bars.
///
/// - `timeout 5 * SECOND => body` runs when the time is over, counted from the beginning; it may be a time or a point.
/// - `else => body` runs at once when nothing that waits is wanted: the receive never waits.
/// - `use path(arguments)` is a set of clauses written elsewhere, by [`clauses!`] or one of [`mod@clauses`].
/// - `receive!(raw cx, { .. })` takes messages that have expired as well.
///
/// With `else` the value is the body's; without, it is an `Option`, `None` once the actor is to stop or has drained.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use std::time::Duration;
///
/// use odeon::{Cx, System, actor, receive};
///
/// #[derive(Default)]
/// struct Counter {
///     n: i64,
/// }
///
/// #[actor]
/// impl Counter {
///     #[handle]
///     fn add(&mut self, by: i64) -> i64 {
///         self.n += by;
///         self.n
///     }
///
///     /// Adds what is added within the next second, and says how much there is then.
///     #[handle]
///     async fn more(&mut self, cx: &mut Cx<Self>) -> i64 {
///         let is_more = receive!(cx, |envelope| {
///             CounterMessage::Add(CounterAdd { by }, reply) if *by > 0 && envelope.wants_reply() => {
///                 self.n += by;
///                 reply.send(self.n);
///                 true
///             }
///             timeout Duration::from_secs(1) => false,
///         });
///         assert_eq!(is_more, Some(true));
///         receive!(cx, {
///             CounterMessage::Add(..) => unreachable!("nobody has added anything"),
///             else => self.n,
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = System::new().spawn(Counter::default());
/// let (more, added) = tokio::join!(counter.more(), counter.add(2));
/// assert_eq!((more?, added?), (2, 2));
/// # Ok(())
/// # }
/// ```
///
/// `timeout` and `else` exclude each other:
///
/// ```compile_fail
/// # extern crate odeon_actor as odeon;
/// # use odeon::{Cx, actor, receive};
/// # struct Counter;
/// # #[actor]
/// # impl Counter {
/// #     #[handle]
/// #     async fn more(&mut self, cx: &mut Cx<Self>) {
/// receive!(cx, {
///     CounterMessage::More(..) => {}
///     timeout std::time::Duration::from_secs(1) => {}
///     else => {}
/// });
/// #     }
/// # }
/// ```
pub use odeon_macros::receive;
pub use odeon_mailbox::Overflow;

/// What the macros' output names; not for use by hand, and without any promise of stability.
#[doc(hidden)]
pub mod private {
    pub use crate::mock::{Mock, NoAnswer, ShowDebug, ShowNothing, Shown};
    pub use crate::protocol::{Answer, Argument, ProtocolArgument, ProtocolHandler, ProtocolMethod};
    pub use crate::shortcut::Shortcut;
    pub use odeon_core::private::*;
    pub use odeon_core::{
        ActorId, CodecError, Encoding, Fingerprint, LinkedProtocol, Message, MessageType, Method, Protocol,
        Reference, Refusal, RefusalCode, decode, encode,
    };
    pub use odeon_macros::{Shape, actor_with_protocols};
    pub use std::boxed::Box;
    pub use std::option::Option;
    pub use std::result::Result;
    pub use std::string::String;
    pub use std::sync::{Arc, LazyLock};
    pub use std::vec::Vec;
}
