//! Recipients: whoever takes a request, the actor's type left out.
//!
//! A recipient is a handle behind one indirection. An ask that can be answered on the asker's stack allocates nothing;
//! one that has to wait costs one box.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::seam::BoxFuture;
use odeon_core::{ActorId, Deadline};

use crate::actor::Actor;
use crate::call::{Call, Request};
use crate::error::{AskError, TellError, TryTellError};
use crate::handle::{Handle, Target};

/// Whoever takes the request `Q` and answers `R`: made of the handle of any actor that does, here or on another server.
/// Cheap to clone; it can be stored, put into messages and given as an answer, but does not travel between servers.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{Recipient, System, actor};
///
/// #[derive(Default)]
/// struct Counter(i64);
///
/// #[actor]
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
/// let counter = System::new().spawn(Counter::default());
/// let adds: Recipient<CounterAdd, i64> = counter.recipient();
/// adds.call(CounterAdd { by: 2 }).tell().await?;
/// assert_eq!(adds.call(CounterAdd { by: 3 }).await?, 5);
/// # Ok(())
/// # }
/// ```
pub struct Recipient<Q, R = ()>(pub(crate) Arc<dyn Take<Q, R>>);

/// One request to one recipient, not yet sent: await it to ask, or [`tell`](Self::tell) it.
#[must_use = "nothing is sent until the call is awaited or told"]
pub struct RecipientCall<'a, Q, R> {
    to: &'a dyn Take<Q, R>,
    request: Q,
    deadline: Option<Deadline>,
}

/// An ask of a recipient under way. Sent at the first poll.
///
/// # Cancel safety
/// Dropped, nobody waits for the answer any longer; the request may still be run.
#[must_use = "an ask does nothing until it is awaited"]
pub struct RecipientAsk<'a, Q, R>(State<'a, Q, R>);

enum State<'a, Q, R> {
    New(RecipientCall<'a, Q, R>),
    Under(BoxFuture<'a, Result<R, AskError>>),
    Done,
}

// The request is only ever moved, never pinned.
impl<Q, R> Unpin for RecipientAsk<'_, Q, R> {}

/// A handle, the actor's type left out.
pub(crate) trait Take<Q, R>: fmt::Debug + Send + Sync {
    fn id(&self) -> ActorId;
    fn is_dead(&self) -> bool;
    /// Asks, and polls once: what is not answered then goes on in a box.
    fn ask<'a>(
        &'a self,
        request: Q,
        deadline: Option<Deadline>,
        cx: &mut Context<'_>,
    ) -> Result<Result<R, AskError>, BoxFuture<'a, Result<R, AskError>>>;
    /// Tells without waiting, if that can be; what waits goes on in a box.
    fn tell<'a>(&'a self, request: Q, deadline: Option<Deadline>) -> Told<'a>;
    fn try_tell(&self, request: Q, deadline: Option<Deadline>) -> Result<(), TryTellError<Q>>;
}

pub(crate) enum Told<'a> {
    AtOnce(Result<(), TellError>),
    Waits(BoxFuture<'a, Result<(), TellError>>),
}

impl<A: Actor, Q: Request<A>> Take<Q, Q::Reply> for Handle<A> {
    fn id(&self) -> ActorId {
        Self::id(self)
    }

    fn is_dead(&self) -> bool {
        Self::is_dead(self)
    }

    fn ask<'a>(
        &'a self,
        request: Q,
        deadline: Option<Deadline>,
        cx: &mut Context<'_>,
    ) -> Result<Result<Q::Reply, AskError>, BoxFuture<'a, Result<Q::Reply, AskError>>> {
        let mut ask = call(self, request, deadline).into_future();
        match Pin::new(&mut ask).poll(cx) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(Box::pin(ask)),
        }
    }

    fn tell<'a>(&'a self, request: Q, deadline: Option<Deadline>) -> Told<'a> {
        if let Target::There(_) = &self.0 {
            return Told::Waits(Box::pin(call(self, request, deadline).tell()));
        }
        match call(self, request, deadline).try_tell() {
            Ok(()) => Told::AtOnce(Ok(())),
            Err(TryTellError::Dead(_, reason)) => Told::AtOnce(Err(TellError::Dead(reason))),
            Err(TryTellError::Failed(_, error)) => Told::AtOnce(Err(error)),
            Err(TryTellError::Full(request) | TryTellError::NoLink(request)) => {
                Told::Waits(Box::pin(call(self, request, deadline).tell()))
            }
        }
    }

    fn try_tell(&self, request: Q, deadline: Option<Deadline>) -> Result<(), TryTellError<Q>> {
        call(self, request, deadline).try_tell()
    }
}

fn call<A: Actor, Q: Request<A>>(
    handle: &Handle<A>,
    request: Q,
    deadline: Option<Deadline>,
) -> Call<'_, A, Q> {
    let call = handle.call(request);
    match deadline {
        Some(deadline) => call.within(deadline),
        None => call,
    }
}

impl<Q, R> Recipient<Q, R> {
    /// Prepares a call.
    pub fn call(&self, request: Q) -> RecipientCall<'_, Q, R> {
        RecipientCall { to: &*self.0, request, deadline: None }
    }

    /// The id of the actor behind it, in its server.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.0.id()
    }

    /// Whether the actor behind it is known to have ended. Of one on another server nothing is known: `false`.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.is_dead()
    }
}

impl<'a, Q, R> RecipientCall<'a, Q, R> {
    /// Sets the deadline, as [`Call::within`] does.
    pub fn within(mut self, deadline: impl Into<Deadline>) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    /// Sends without wanting an answer; waits while the mailbox is full.
    ///
    /// # Errors
    /// As [`Call::tell`].
    ///
    /// # Cancel safety
    /// As [`Call::tell`].
    pub async fn tell(self) -> Result<(), TellError> {
        match self.to.tell(self.request, self.deadline) {
            Told::AtOnce(told) => told,
            Told::Waits(telling) => telling.await,
        }
    }

    /// Sends without waiting for anything.
    ///
    /// # Errors
    /// As [`Call::try_tell`]: the request comes back.
    pub fn try_tell(self) -> Result<(), TryTellError<Q>> {
        self.to.try_tell(self.request, self.deadline)
    }
}

impl<'a, Q, R> IntoFuture for RecipientCall<'a, Q, R> {
    type Output = Result<R, AskError>;
    type IntoFuture = RecipientAsk<'a, Q, R>;

    fn into_future(self) -> Self::IntoFuture {
        RecipientAsk(State::New(self))
    }
}

impl<Q, R> Future for RecipientAsk<'_, Q, R> {
    type Output = Result<R, AskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().0;
        let mut asking = match std::mem::replace(state, State::Done) {
            State::New(RecipientCall { to, request, deadline }) => match to.ask(request, deadline, cx) {
                Ok(answer) => return Poll::Ready(answer),
                Err(asking) => {
                    *state = State::Under(asking);
                    return Poll::Pending;
                }
            },
            State::Under(asking) => asking,
            State::Done => return Poll::Pending,
        };
        let polled = asking.as_mut().poll(cx);
        if polled.is_pending() {
            *state = State::Under(asking);
        }
        polled
    }
}

impl<A: Actor> Handle<A> {
    /// The actor as one that takes `Q`: whoever has it can send nothing else, and need not know the actor's type.
    #[must_use]
    pub fn recipient<Q: Request<A>>(&self) -> Recipient<Q, Q::Reply> {
        self.clone().into()
    }
}

impl<A: Actor, Q: Request<A, Reply = R>, R: Send + 'static> From<Handle<A>> for Recipient<Q, R> {
    fn from(handle: Handle<A>) -> Self {
        Self(Arc::new(handle))
    }
}

impl<A: Actor, Q: Request<A, Reply = R>, R: Send + 'static> From<&Handle<A>> for Recipient<Q, R> {
    fn from(handle: &Handle<A>) -> Self {
        handle.clone().into()
    }
}

impl<Q, R> Clone for Recipient<Q, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, R> fmt::Debug for Recipient<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipient").field(&self.0).finish()
    }
}

impl<Q, R> fmt::Debug for RecipientCall<'_, Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, deadline, .. } = self;
        f.debug_struct("RecipientCall").field("to", to).field("deadline", deadline).finish_non_exhaustive()
    }
}

impl<Q, R> fmt::Debug for RecipientAsk<'_, Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::New(call) => f.debug_tuple("RecipientAsk").field(call).finish(),
            State::Under(_) | State::Done => f.write_str("RecipientAsk(..)"),
        }
    }
}
