//! The actor trait. `#[actor]` writes the implementation; nothing in it cannot be written by hand.

use std::fmt;
use std::future::Future;

use odeon_core::{Protocol, Refusal, RefusalCode};

use crate::cx::Cx;
use crate::inbox::Payload;
use crate::life::Down;
use crate::{ExitReason, RemoteReply};

/// State that handles one message at a time.
pub trait Actor: Sized + Send + 'static {
    /// What the actor understands, stored inline in its mailbox: usually an enum with a variant per method.
    type Message: Send + 'static;

    /// Whether [`started`](Self::started) does anything. Where it does not, saying so spares a new actor its first
    /// turn, and lets asks to it run at once; `#[actor]` says so by itself.
    const HAS_START: bool = true;

    /// Whether a message is handled by [`handle`](Self::handle), which may wait, rather than by
    /// [`handle_now`](Self::handle_now), for which no future is made. `#[actor]` writes both.
    #[must_use]
    fn waits(message: &Self::Message) -> bool {
        let _ = message;
        true
    }

    /// Handles one message of which [`waits`](Self::waits) said no.
    ///
    /// # Panics
    /// Where it is not written although `waits` says no; the actor ends.
    fn handle_now(&mut self, message: Self::Message, cx: &mut Cx<Self>) {
        let _ = (message, cx);
        panic!("`Actor::waits` says no, and `Actor::handle_now` is not written");
    }

    /// Handles one message. A panic in here ends the actor, not the process.
    fn handle(&mut self, message: Self::Message, cx: &mut Cx<Self>) -> impl Future<Output = ()> + Send;

    /// Runs before the first message. It does not travel through the mailbox, however small that is.
    ///
    /// # Errors
    /// A failure ends the actor with [`ExitReason::Failed`] before it has handled anything.
    fn started(&mut self, cx: &mut Cx<Self>) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Whether [`run`](Self::run) is the actor's life; `#[actor]` says so by itself.
    const HAS_RUN: bool = false;

    /// The actor's life, where [`HAS_RUN`](Self::HAS_RUN) says that there is one of its own: a loop that takes the
    /// messages itself, by [`Cx::recv`] and its kin. It runs after [`started`](Self::started), and its return ends
    /// the actor. Without it, each message is handled as it comes.
    ///
    /// # Errors
    /// A failure ends the actor with [`ExitReason::Failed`].
    fn run(&mut self, cx: &mut Cx<Self>) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Hears of the end of something this actor monitors.
    fn down(&mut self, down: Down, cx: &mut Cx<Self>) -> impl Future<Output = ()> + Send {
        let _ = (down, cx);
        async {}
    }

    /// Runs after the last message, unless the actor panicked or was killed.
    fn stopped(&mut self, reason: &ExitReason, cx: &mut Cx<Self>) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        async {}
    }

    /// Whether the answer to a message may come after its handler, or from somebody else.
    #[doc(hidden)]
    #[must_use]
    fn may_answer_later(message: &Self::Message) -> bool {
        let _ = message;
        true
    }

    /// The protocol by which other servers may reach the actor; none means that they cannot.
    #[must_use]
    fn protocol() -> Option<&'static Protocol> {
        None
    }

    /// Makes a message of what came from another server: `method` is an index into the protocol's methods.
    ///
    /// # Errors
    /// A refusal that names what does not fit.
    fn decode(method: usize, payload: Payload<'_>, reply: RemoteReply) -> Result<Self::Message, Refusal> {
        let _ = (method, payload, reply);
        Err(Refusal::new(RefusalCode::UnknownMark, "this actor cannot be reached from other servers"))
    }
}

/// Why an actor gives up: any error, by `?`.
pub struct Failure(String);

impl Failure {
    /// The error and its sources, as one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(odeon_core::chain(&error))
    }
}
