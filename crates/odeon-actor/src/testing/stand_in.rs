//! Handles of probes: a way on which an actor's messages go to the stand-in, as they are.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use odeon_core::ActorId;
use odeon_core::seam::Clock;
use odeon_mailbox::{Lost, Ticket};

use super::probe::Stand;
use crate::actor::Actor;
use crate::envelope::Envelope;
use crate::error::{AskError, TellError};
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::reply::Reply;
use crate::supervise::Fall;
use crate::system::System;
use crate::via::{TryRefused, Via};

struct StandIn<M: Send + 'static>(Handle<Stand<M>>);

/// The stand-in as an actor of type `A`.
pub(super) fn handle<A: Actor>(handle: Handle<Stand<A::Message>>) -> Handle<A> {
    Handle(Target::Via(Arc::new(Box::new(StandIn(handle)))))
}

/// With no port beside the message: the sender's is in it.
fn received<M>(message: M) -> (M, Reply<()>) {
    (message, Reply::nobody())
}

impl<M: Send + 'static> Via<M> for StandIn<M> {
    fn enter(&self, envelope: Envelope<M>, waker: &Waker) -> Result<Option<Ticket>, TellError> {
        self.0.0.enter(envelope.map(received), waker)
    }

    fn stand(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<(), TellError>> {
        self.0.0.stand(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        self.0.0.leave(ticket);
    }

    fn try_enter(&self, make: &mut dyn FnMut() -> Envelope<M>) -> Result<(), TryRefused> {
        self.0.0.try_enter(&mut || make().map(received))
    }

    fn id(&self) -> ActorId {
        self.0.id()
    }

    fn life(&self) -> Option<&dyn Inbox> {
        self.0.0.life()
    }

    fn no_answer(&self, lost: &Lost<Arc<Fall>>) -> AskError {
        self.0.0.no_answer(lost)
    }

    fn system(&self) -> Option<&System> {
        self.0.0.system()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }
}

impl<M: Send + 'static> fmt::Debug for StandIn<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
