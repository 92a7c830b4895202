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
mod call;
mod cx;
mod error;
mod handle;
mod inbox;
mod life;
mod panic;
mod reply;
mod run;
mod runtime;
mod sender;
mod system;

pub use actor::{Actor, Failure};
pub use call::{Ask, Call, Request};
pub use cx::Cx;
pub use error::{AskError, NameTaken, TellError, TryTellError};
pub use handle::{Handle, RemoteCall, Route};
pub use inbox::{Delivery, Inbox, Payload, RemoteReply, ReplySink};
pub use life::{Down, MonitorId, TooManyMonitors};
pub use reply::Reply;
pub use runtime::{TokioClock, TokioSpawn};
pub use sender::{Peer, Sender};
pub use system::{DeadLetter, KILL_PATIENCE, RegisteredActor, SpawnOptions, System};

pub use odeon_core::{ExitReason, Message, PanicReport};
pub use odeon_macros::{actor, message};

/// What the macros' output names; not for use by hand, and without any promise of stability.
#[doc(hidden)]
pub mod private {
    pub use odeon_core::private::*;
    pub use odeon_core::{
        CodecError, Encoding, Message, MessageType, Method, Protocol, Refusal, RefusalCode, decode, encode,
    };
    pub use std::option::Option;
    pub use std::result::Result;
    pub use std::vec::Vec;
    pub use std::{future, primitive};
}
