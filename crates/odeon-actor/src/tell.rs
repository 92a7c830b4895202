//! Tells under way, and the entering of a mailbox that asks share.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::Deadline;
use odeon_core::seam::BoxFuture;
use odeon_mailbox::{Entry, Standing, Ticket};

use crate::actor::Actor;
use crate::call::Request;
use crate::envelope::{Answers, Envelope, Leaving, Meta};
use crate::error::TellError;
use crate::handle::{Handle, Target, There};
use crate::local::Local;
use crate::overflow;
use crate::reply::Reply;
use crate::via::{Passing, Via};

/// A tell under way. Sent at the first poll, unless there is no room: then it waits.
///
/// # Cancel safety
/// Dropped while it waits for room, it gives up its place in the line. A message that had just been let in, or is on
/// its way to another server, stays sent.
#[must_use = "a tell does nothing until it is awaited"]
pub struct Tell<'a, A: Actor, Q: Request<A>> {
    handle: &'a Handle<A>,
    /// Until it is sent.
    request: Option<Q>,
    deadline: Option<Deadline>,
    in_reply_to: Option<Answers>,
    /// Boxed: most tells are sent at the first poll, and what they carry is moved at every step.
    slow: Option<Box<Slow<'a, A>>>,
}

/// What takes longer.
enum Slow<'a, A: Actor> {
    Entering(Entering<'a, A>),
    Via(Passing<'a, A::Message>),
    Remote(BoxFuture<'a, Result<(), TellError>>),
}

// Nothing in a tell is pinned in place: messages move between its parts.
impl<A: Actor, Q: Request<A>> Unpin for Tell<'_, A, Q> {}

impl<'a, A: Actor, Q: Request<A>> Tell<'a, A, Q> {
    #[inline]
    pub(crate) const fn new(
        handle: &'a Handle<A>,
        request: Q,
        deadline: Option<Deadline>,
        in_reply_to: Option<Answers>,
    ) -> Self {
        Self { handle, request: Some(request), deadline, in_reply_to, slow: None }
    }

    /// Sends if there is room: then the request is gone.
    #[inline]
    fn try_send(&mut self, local: &Arc<Local<A>>) -> bool {
        let expires_at = self.deadline.map(|deadline| deadline.at(local.system.clock().now()));
        let (request, in_reply_to) = (&mut self.request, self.in_reply_to);
        let sent = local.mailbox.try_send_with(|| {
            let request = request.take().expect("the mailbox makes the message once");
            Envelope {
                message: request.into_message(Reply::nobody()),
                meta: Meta::sent_here(expires_at, false).answering(in_reply_to),
            }
        });
        if sent.is_ok() {
            local.notify_message();
        }
        sent.is_ok()
    }

    /// The same by another way than a mailbox of the handle's own.
    fn try_via(&mut self, via: &dyn Via<A::Message>) -> bool {
        let expires_at = self.deadline.map(|deadline| deadline.at(via.clock().now()));
        let (request, in_reply_to) = (&mut self.request, self.in_reply_to);
        let sent = via.try_enter(&mut || {
            let request = request.take().expect("a way makes the message once");
            Envelope {
                message: request.into_message(Reply::nobody()),
                meta: Meta::sent_here(expires_at, false).answering(in_reply_to),
            }
        });
        sent.is_ok()
    }

    /// Sends to another server, if a link takes the message now.
    fn try_there(&mut self, there: &There, leaving: Leaving) -> Option<Result<(), TellError>> {
        let expires_at = self.deadline.map(|deadline| deadline.at(there.route.clock().now()));
        let request = self.request.as_ref()?;
        let told =
            there.offer::<A, Q, _>(request, expires_at, leaving, |offer| there.route.tell_now(offer))?;
        self.request = None;
        Some(told)
    }

    /// Sends to another server: at once, or the long way.
    fn send_there(&mut self, there: &There) -> Option<Result<(), TellError>> {
        let leaving = Leaving::now(self.in_reply_to);
        if let Some(told) = self.try_there(there, leaving) {
            return Some(told);
        }
        let request = self.request.take()?;
        let expires_at = self.deadline.map(|deadline| deadline.at(there.route.clock().now()));
        let call = there.leaving::<A, Q>(request, expires_at, leaving);
        let route = Arc::clone(&there.route);
        self.slow = Some(Box::new(Slow::Remote(Box::pin(async move { route.tell(call?).await }))));
        None
    }

    /// Begins what takes longer: to wait for room, or to reach another server.
    #[cold]
    fn begin(&mut self, request: Q) {
        let expires_at = self.deadline.map(|deadline| deadline.at(self.handle.clock().now()));
        let slow = match &self.handle.0 {
            Target::Here(local) => {
                let message = request.into_message(Reply::nobody());
                let envelope = Envelope {
                    message,
                    meta: Meta::sent_here(expires_at, false).answering(self.in_reply_to),
                };
                Slow::Entering(Entering::new(local, envelope))
            }
            Target::Via(via) => {
                let message = request.into_message(Reply::nobody());
                let meta = Meta::sent_here(expires_at, false).answering(self.in_reply_to);
                let envelope = Envelope { message, meta };
                Slow::Via(Passing::new(&***via, envelope))
            }
            Target::There(_) => return,
        };
        self.slow = Some(Box::new(slow));
    }

    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TellError>> {
        match self.slow.as_deref_mut() {
            Some(Slow::Entering(entering)) => Pin::new(entering).poll(cx),
            Some(Slow::Via(passing)) => Pin::new(passing).poll(cx),
            Some(Slow::Remote(future)) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<A: Actor, Q: Request<A>> Future for Tell<'_, A, Q> {
    type Output = Result<(), TellError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.request.is_some() {
            let is_sent = match &this.handle.0 {
                Target::Here(local) => this.try_send(local),
                Target::Via(via) => this.try_via(&***via),
                Target::There(there) => match this.send_there(there) {
                    Some(told) => return Poll::Ready(told),
                    None => false,
                },
            };
            if is_sent {
                return Poll::Ready(Ok(()));
            }
            if let Some(request) = this.request.take() {
                this.begin(request);
            }
        }
        this.poll_slow(cx)
    }
}

impl<A: Actor, Q: Request<A>> fmt::Debug for Tell<'_, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tell").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A message on its way into a mailbox, waiting for room if need be. Dropped before, it gives up its place.
pub(crate) struct Entering<'a, A: Actor> {
    pub(crate) local: &'a Arc<Local<A>>,
    progress: Progress<A::Message>,
}

enum Progress<M> {
    New(Envelope<M>),
    /// In line.
    Waits(Ticket),
    Done,
}

// The envelope is only ever moved, never pinned.
impl<A: Actor> Unpin for Entering<'_, A> {}

impl<'a, A: Actor> Entering<'a, A> {
    pub(crate) const fn new(local: &'a Arc<Local<A>>, envelope: Envelope<A::Message>) -> Self {
        Self { local, progress: Progress::New(envelope) }
    }
}

impl<A: Actor> Future for Entering<'_, A> {
    type Output = Result<(), TellError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.progress, Progress::Done) {
            Progress::New(envelope) => match overflow::enter(this.local, envelope, cx.waker()) {
                Ok(Entry::Queued) => {
                    this.local.notify_message();
                    Poll::Ready(Ok(()))
                }
                Ok(Entry::Waits(ticket)) => {
                    this.progress = Progress::Waits(ticket);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            },
            Progress::Waits(ticket) => match this.local.mailbox.stand(ticket, cx.waker()) {
                Standing::Waiting => {
                    this.progress = Progress::Waits(ticket);
                    Poll::Pending
                }
                Standing::Admitted => Poll::Ready(Ok(())),
                Standing::Closed(_) => Poll::Ready(Err(TellError::Dead(this.local.death()))),
            },
            Progress::Done => Poll::Pending,
        }
    }
}

impl<A: Actor> Drop for Entering<'_, A> {
    fn drop(&mut self) {
        if let Progress::Waits(ticket) = self.progress {
            self.local.mailbox.leave(ticket);
        }
    }
}
