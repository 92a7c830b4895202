//! Protocols as types: an actor that speaks one can be reached by a handle that knows nothing else of it.
//!
//! A protocol is a type without values, written by `#[protocol]`, that stands for whoever speaks it: `Handle<P>` is a
//! handle to such an actor, here or on another server. Messages of the protocol become messages of the actor on their
//! way into its mailbox.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Poll, Waker};

use odeon_core::seam::Clock;
use odeon_core::{ActorId, Reference};
use odeon_mailbox::{Lost, Ticket};

use crate::actor::Actor;
use crate::call::Inline;
use crate::cx::Cx;
use crate::envelope::Envelope;
use crate::error::{AskError, TellError};
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::life::Life;
use crate::shortcut::Shortcut;
use crate::supervise::Fall;
use crate::system::System;
use crate::via::{TryRefused, Via};

/// An actor that speaks the protocol `P`. `#[actor(protocol = P)]` writes it.
#[diagnostic::on_unimplemented(
    message = "the actor `{Self}` does not speak the protocol `{P}`",
    label = "this protocol is not one of the actor's",
    note = "say `#[actor(protocol = {P})]` on the actor's `impl` block, and give it the protocol's handlers"
)]
pub trait Speaks<P: Actor>: Actor {
    /// The actor's message that asks for what the protocol's does. It may run under the mailbox's lock, so it only
    /// puts things together.
    fn translate(message: P::Message) -> Self::Message;

    /// Has the handlers that can answer at once try to.
    #[doc(hidden)]
    fn shortcut(shortcut: &mut Shortcut<'_, Self>) {
        let _ = shortcut;
    }
}

/// The method of this number of a protocol.
#[doc(hidden)]
pub trait ProtocolMethod<const METHOD: usize> {
    /// Its request.
    type Request;
    /// Its answer.
    type Reply;
}

/// The handler of a method of the protocol `P`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the actor `{Self}` does not speak the protocol `{P}`",
    label = "this protocol is not one of the actor's",
    note = "say `#[actor(protocol = {P})]` on the actor's `impl` block, and give it the protocol's handlers"
)]
pub trait ProtocolHandler<P: ProtocolMethod<METHOD>, const METHOD: usize>: Actor {
    /// As [`Request::INLINE`](crate::Request::INLINE).
    const INLINE: Inline = Inline::Never;

    /// As [`Request::MAY_ANSWER_LATER`](crate::Request::MAY_ANSWER_LATER).
    const MAY_ANSWER_LATER: bool = true;

    /// As [`Request::answer_now`](crate::Request::answer_now).
    ///
    /// # Errors
    /// The request, back, when it cannot be answered so.
    fn answer_now(request: P::Request, actor: &mut Self, cx: &mut Cx<Self>) -> Result<P::Reply, P::Request> {
        let _ = (actor, cx);
        Err(request)
    }
}

/// An argument of a method of a protocol.
#[doc(hidden)]
pub trait ProtocolArgument<const METHOD: usize, const ARGUMENT: usize> {
    /// Its type.
    type Type;
}

/// What the protocol sends, as an argument of the handler: of the same type, or it is named where it was written.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the protocol says `{Self}` here, not `{T}`",
    label = "write `{Self}`, or change the protocol"
)]
pub trait Argument<T> {
    /// The argument.
    fn argument(self) -> T;
}

impl<T> Argument<T> for T {
    fn argument(self) -> T {
        self
    }
}

/// What the handler answers, as the protocol's answer: of the same type, or it is named where it was written.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the protocol says that `{T}` is answered, not `{Self}`",
    label = "answer `{T}`, or change the protocol"
)]
pub trait Answer<T> {
    /// The answer.
    fn answer(self) -> T;
}

impl<T> Answer<T> for T {
    fn answer(self) -> T {
        self
    }
}

impl<A: Actor> Handle<A> {
    /// A handle to one of the actor's protocols: whoever has it can use nothing else of the actor, neither stop it.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{System, actor, protocol};
    ///
    /// #[protocol]
    /// pub trait Counting {
    ///     /// Adds, and returns the sum.
    ///     async fn add(&self, by: i64) -> i64;
    /// }
    ///
    /// #[derive(Default)]
    /// struct Counter(i64);
    ///
    /// #[actor(protocol = Counting)]
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
    /// let counting: CountingHandle = System::new().spawn(Counter::default()).as_protocol();
    /// counting.add(2).tell().await?;
    /// assert_eq!(counting.add(3).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn as_protocol<C: From<Self>>(&self) -> C {
        self.clone().into()
    }

    /// The same actor, as one that speaks `P`. What `#[protocol]` writes makes its handles of this.
    #[doc(hidden)]
    #[must_use]
    pub fn narrowed<P: Actor>(self) -> Handle<P>
    where
        A: Speaks<P>,
    {
        if let Some(same) = (&self as &dyn Any).downcast_ref::<Handle<P>>() {
            return same.clone();
        }
        Handle(match &self.0 {
            // There the marks are the protocol's own.
            Target::There(there) => Target::There(Arc::clone(there)),
            Target::Here(_) | Target::Via(_) => {
                Target::Via(Arc::new(Box::new(Narrowed { handle: self, protocol: PhantomData })))
            }
        })
    }
}

/// The way to an actor for messages of a protocol that it speaks.
struct Narrowed<A: Actor, P> {
    handle: Handle<A>,
    protocol: PhantomData<fn() -> P>,
}

impl<A: Speaks<P>, P: Actor> Via<P::Message> for Narrowed<A, P> {
    fn enter(&self, envelope: Envelope<P::Message>, waker: &Waker) -> Result<Option<Ticket>, TellError> {
        self.handle.0.enter(envelope.map(A::translate), waker)
    }

    fn stand(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<(), TellError>> {
        self.handle.0.stand(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        self.handle.0.leave(ticket);
    }

    fn try_enter(&self, make: &mut dyn FnMut() -> Envelope<P::Message>) -> Result<(), TryRefused> {
        self.handle.0.try_enter(&mut || make().map(A::translate))
    }

    fn id(&self) -> ActorId {
        self.handle.id()
    }

    fn life(&self) -> Option<&dyn Inbox> {
        self.handle.0.life()
    }

    fn asked(&self) -> Option<&Arc<Life>> {
        self.handle.0.asked()
    }

    fn no_answer(&self, lost: &Lost<Arc<Fall>>) -> AskError {
        self.handle.0.no_answer(lost)
    }

    fn system(&self) -> Option<&System> {
        self.handle.0.system()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.handle.clock()
    }

    fn reference(&self) -> Option<&Reference> {
        self.handle.reference()
    }

    fn shortcut(&self, ask: &mut dyn Any) {
        if let Target::Here(local) = &self.handle.0 {
            A::shortcut(&mut Shortcut::new(local, ask));
        }
    }
}

impl<A: Actor, P> fmt::Debug for Narrowed<A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", std::any::type_name::<P>(), self.handle)
    }
}
