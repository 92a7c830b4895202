//! Recipients of probes: requests that no actor but the stand-in takes.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::seam::BoxFuture;
use odeon_core::{ActorId, Deadline};

use super::probe::Stand;
use crate::call::{Call, Request};
use crate::error::{AskError, TryTellError};
use crate::handle::Handle;
use crate::recipient::{Recipient, Take, Told};
use crate::reply::Reply;

/// A request as the stand-in takes it. That any type be one by itself would give every type the methods of `Request`.
struct Said<Q>(Q);

impl<Q: Send + 'static, R: Send + 'static> Request<Stand<Q, R>> for Said<Q> {
    type Reply = R;

    fn into_message(self, reply: Reply<R>) -> (Q, Reply<R>) {
        (self.0, reply)
    }
}

/// A stand-in, as a recipient has it.
struct Saying<Q: Send + 'static, R: Send + 'static>(Handle<Stand<Q, R>>);

/// The stand-in as a recipient.
pub(super) fn recipient<Q: Send + 'static, R: Send + 'static>(
    handle: Handle<Stand<Q, R>>,
) -> Recipient<Q, R> {
    Recipient(Arc::new(Saying(handle)))
}

impl<Q: Send + 'static, R: Send + 'static> Saying<Q, R> {
    fn call(&self, request: Q, deadline: Option<Deadline>) -> Call<'_, Stand<Q, R>, Said<Q>> {
        let call = self.0.call(Said(request));
        match deadline {
            Some(deadline) => call.within(deadline),
            None => call,
        }
    }
}

impl<Q: Send + 'static, R: Send + 'static> Take<Q, R> for Saying<Q, R> {
    fn id(&self) -> ActorId {
        self.0.id()
    }

    fn is_dead(&self) -> bool {
        self.0.is_dead()
    }

    fn ask<'a>(
        &'a self,
        request: Q,
        deadline: Option<Deadline>,
        cx: &mut Context<'_>,
    ) -> Result<Result<R, AskError>, BoxFuture<'a, Result<R, AskError>>> {
        let mut asking: BoxFuture<'a, _> = Box::pin(self.call(request, deadline).into_future());
        match asking.as_mut().poll(cx) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(asking),
        }
    }

    fn tell<'a>(&'a self, request: Q, deadline: Option<Deadline>) -> Told<'a> {
        Told::Waits(Box::pin(self.call(request, deadline).tell()))
    }

    fn try_tell(&self, request: Q, deadline: Option<Deadline>) -> Result<(), TryTellError<Q>> {
        self.call(request, deadline).try_tell().map_err(|error| match error {
            TryTellError::Full(Said(request)) => TryTellError::Full(request),
            TryTellError::Dead(Said(request), reason) => TryTellError::Dead(request, reason),
            TryTellError::NoLink(Said(request)) => TryTellError::NoLink(request),
            TryTellError::Failed(Said(request), error) => TryTellError::Failed(request, error),
        })
    }
}

impl<Q: Send + 'static, R: Send + 'static> fmt::Debug for Saying<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
