//! Other ways to a handle's receiver than its own mailbox: what a protocol's handle, a proxy's and a mock's have in
//! common.
//!
//! A way takes an envelope and puts it, changed or wrapped, into some mailbox. It owns no message that waits: whoever
//! sends holds the place in the line, as with a plain handle.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use odeon_core::seam::Clock;
use odeon_core::{ActorId, ExitReason, Reference, Refusal, RefusalCode};
use odeon_mailbox::{Entry, Lost, Refused, Standing, Ticket};

use crate::actor::Actor;
use crate::cycles::follow;
use crate::envelope::Envelope;
use crate::error::{AskError, TellError};
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::life::Life;
use crate::overflow;
use crate::supervise::{Fall, no_answer};
use crate::system::System;
use crate::tell::Entering;

/// A way to whoever takes messages of type `M`.
pub(crate) trait Via<M>: fmt::Debug + Send + Sync {
    /// Takes the message; a ticket means that the sender waits for room.
    fn enter(&self, envelope: Envelope<M>, waker: &Waker) -> Result<Option<Ticket>, TellError>;

    /// Asks whether the wait is over.
    fn stand(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<(), TellError>>;

    /// Gives up the wait.
    fn leave(&self, ticket: Ticket);

    /// Takes the message that `make` makes, if there is room; calls it at most once.
    fn try_enter(&self, make: &mut dyn FnMut() -> Envelope<M>) -> Result<(), TryRefused>;

    /// Who is reached.
    fn id(&self) -> ActorId;

    /// Whose life decides whether anybody is reached; a mock's handle depends on nobody's.
    fn life(&self) -> Option<&dyn Inbox>;

    /// Why an ask whose port has fallen has no answer.
    fn no_answer(&self, lost: &Lost<Arc<Fall>>) -> AskError;

    /// The actor into whose mailbox messages go: whom an asker waits for, unless that one passes the message on.
    fn asked(&self) -> Option<&Arc<Life>> {
        None
    }

    /// The system that life is in.
    fn system(&self) -> Option<&System>;

    /// The clock by which deadlines are meant.
    fn clock(&self) -> Arc<dyn Clock>;

    /// What the handle stands for, if it is a proxy's.
    fn reference(&self) -> Option<&Reference> {
        None
    }

    /// The proxy's handle, if there is a proxy.
    fn proxy(&self) -> Option<&dyn Any> {
        None
    }

    /// Answers an ask (a `shortcut::Asked`) on the asker's stack, if that can be.
    fn shortcut(&self, ask: &mut dyn Any) {
        let _ = ask;
    }
}

/// Why nothing was taken at once.
pub(crate) enum TryRefused {
    Full,
    Dead(ExitReason),
    Remote,
}

/// The same, for a handle of whatever kind.
impl<A: Actor> Target<A> {
    pub(crate) fn enter(
        &self,
        envelope: Envelope<A::Message>,
        waker: &Waker,
    ) -> Result<Option<Ticket>, TellError> {
        match self {
            Self::Here(local) => {
                follow(local, &envelope)?;
                match overflow::enter(local, envelope, waker) {
                    Ok(Entry::Queued) => {
                        local.notify_message();
                        Ok(None)
                    }
                    Ok(Entry::Waits(ticket)) => Ok(Some(ticket)),
                    Err(error) => Err(error),
                }
            }
            Self::There(_) => Err(stays_here()),
            Self::Via(via) => via.enter(envelope, waker),
        }
    }

    pub(crate) fn stand(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<(), TellError>> {
        match self {
            Self::Here(local) => match local.mailbox.stand(ticket, waker) {
                Standing::Waiting => Poll::Pending,
                Standing::Admitted => Poll::Ready(Ok(())),
                Standing::Closed(_) => Poll::Ready(Err(TellError::Dead(local.death()))),
            },
            Self::There(_) => Poll::Ready(Err(stays_here())),
            Self::Via(via) => via.stand(ticket, waker),
        }
    }

    pub(crate) fn leave(&self, ticket: Ticket) {
        match self {
            Self::Here(local) => local.mailbox.leave(ticket),
            Self::There(_) => {}
            Self::Via(via) => via.leave(ticket),
        }
    }

    pub(crate) fn try_enter(&self, make: &mut dyn FnMut() -> Envelope<A::Message>) -> Result<(), TryRefused> {
        match self {
            Self::Here(local) => match overflow::try_enter(local, make) {
                Ok(()) => {
                    local.notify_message();
                    Ok(())
                }
                Err(Refused::Full) => Err(TryRefused::Full),
                Err(_) => Err(TryRefused::Dead(local.death())),
            },
            Self::There(_) => Err(TryRefused::Remote),
            Self::Via(via) => via.try_enter(make),
        }
    }

    /// Whose life decides, if it is one of this process.
    pub(crate) fn life(&self) -> Option<&dyn Inbox> {
        match self {
            Self::Here(local) => Some(&**local),
            Self::There(_) => None,
            Self::Via(via) => via.life(),
        }
    }

    /// The actor into whose mailbox messages go, if it is one of this process.
    pub(crate) fn asked(&self) -> Option<&Arc<Life>> {
        match self {
            Self::Here(local) => Some(&local.life),
            Self::There(_) => None,
            Self::Via(via) => via.asked(),
        }
    }

    /// Why an ask whose port has fallen has no answer.
    pub(crate) fn no_answer(&self, lost: &Lost<Arc<Fall>>) -> AskError {
        match self {
            Self::Here(local) => no_answer(&local.life, lost),
            Self::There(_) => AskError::NoReply,
            Self::Via(via) => via.no_answer(lost),
        }
    }

    /// The system of whoever is reached, if that is in this process.
    pub(crate) fn system(&self) -> Option<&System> {
        match self {
            Self::Here(local) => Some(&local.system),
            Self::There(_) => None,
            Self::Via(via) => via.system(),
        }
    }
}

pub(crate) fn stays_here() -> TellError {
    let detail = "a message already made does not travel to another server: call the handle's methods";
    TellError::Refused(Refusal::new(RefusalCode::BadRequest, detail))
}

impl<A: Actor> Handle<A> {
    /// Passes on a message as it is, with its sender, deadline and reply port; waits while the mailbox is full.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// # use odeon::{Envelope, Handle, Reply, System, actor};
    /// # #[derive(Default)]
    /// # struct Counter { n: i64 }
    /// # #[actor]
    /// # impl Counter {
    /// #     #[handle]
    /// #     fn add(&mut self, by: i64) -> i64 { self.n += by; self.n }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = System::new().spawn(Counter::default());
    /// let message = CounterMessage::Add(CounterAdd { by: 2 }, Reply::nobody());
    /// counter.forward(Envelope::new(message)).await?;
    /// assert_eq!(counter.add(1).await?, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the actor is dead, or on another server, where a message already made cannot go. Where cycles are looked
    /// for ([`System::detect_cycles`]), also when the actor waits for the asker, who then hears of the cycle.
    ///
    /// # Cancel safety
    /// As for [`Call::tell`](crate::Call::tell).
    pub async fn forward(&self, envelope: Envelope<A::Message>) -> Result<(), TellError> {
        match &self.0 {
            Target::Here(local) => {
                follow(local, &envelope)?;
                Entering::new(local, envelope).await
            }
            Target::There(_) => Err(stays_here()),
            Target::Via(via) => Passing::new(&***via, envelope).await,
        }
    }
}

/// A message on a way. Dropped before it is taken, it gives up its place.
pub(crate) struct Passing<'a, M> {
    place: Place<'a, M>,
    envelope: Option<Envelope<M>>,
}

// The envelope is only ever moved, never pinned.
impl<M> Unpin for Passing<'_, M> {}

impl<'a, M> Passing<'a, M> {
    pub(crate) const fn new(via: &'a dyn Via<M>, envelope: Envelope<M>) -> Self {
        Self { place: Place { via, ticket: None }, envelope: Some(envelope) }
    }
}

impl<M> Future for Passing<'_, M> {
    type Output = Result<(), TellError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(envelope) = this.envelope.take() {
            this.place.ticket = this.place.via.enter(envelope, cx.waker())?;
        }
        this.place.poll(cx)
    }
}

/// A place in a line, or past it.
pub(crate) struct Place<'a, M> {
    via: &'a dyn Via<M>,
    ticket: Option<Ticket>,
}

impl<'a, M> Place<'a, M> {
    /// Sends the message.
    pub(crate) fn take(
        via: &'a dyn Via<M>,
        envelope: Envelope<M>,
        cx: &Context<'_>,
    ) -> Result<Self, TellError> {
        let ticket = via.enter(envelope, cx.waker())?;
        Ok(Self { via, ticket })
    }

    /// Ready when the message is in.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), TellError>> {
        let Some(ticket) = self.ticket else {
            return Poll::Ready(Ok(()));
        };
        let standing = self.via.stand(ticket, cx.waker());
        if standing.is_ready() {
            self.ticket = None;
        }
        standing
    }

    /// Why there is no answer, the port having fallen.
    pub(crate) fn no_answer(&self, lost: &Lost<Arc<Fall>>) -> AskError {
        self.via.no_answer(lost)
    }
}

impl<M> Drop for Place<'_, M> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.via.leave(ticket);
        }
    }
}
