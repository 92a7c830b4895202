//! Asks under way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::seam::BoxFuture;
use odeon_core::{Deadline, Instant, Refusal, RefusalCode};
use odeon_mailbox::{ReplyFuture, reply_cell};

use crate::actor::Actor;
use crate::awaited::Awaited;
use crate::call::{Request, decoded};
use crate::current;
use crate::cycles::Trace;
use crate::envelope::{Answers, Envelope, Leaving, Meta};
use crate::error::AskError;
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::inline;
use crate::local::Local;
use crate::reply::Reply;
use crate::shortcut::Asked;
use crate::supervise::{Fall, no_answer};
use crate::system::System;
use crate::tell::Entering;
use crate::timers::{ASKS_MAX, Asking, Key, Whom};
use crate::via::Place;

/// An ask under way. Sent at the first poll.
///
/// # Cancel safety
/// Dropped, nobody waits for the answer any longer; the request may still be run.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'a, A: Actor, Q: Request<A>> {
    handle: &'a Handle<A>,
    state: State<'a, A, Q>,
    asked_at: Instant,
    at: Instant,
    timer: Option<Key>,
    /// The timer has been made at this very poll.
    is_timer_new: bool,
    in_reply_to: Option<Answers>,
    /// While cycles are looked for: dropped when the ask is.
    trace: Option<Box<Trace>>,
}

enum State<'a, A: Actor, Q: Request<A>> {
    New(Q, Option<Deadline>),
    Entering(Entering<'a, A>, ReplyFuture<Q::Reply, Arc<Fall>>),
    Waiting(&'a Arc<Local<A>>, ReplyFuture<Q::Reply, Arc<Fall>>),
    Via(Place<'a, A::Message>, ReplyFuture<Q::Reply, Arc<Fall>>),
    Asked(Awaited),
    Remote(BoxFuture<'a, Result<Q::Reply, AskError>>),
    Done,
}

// Nothing in an ask is pinned in place: messages move between its parts.
impl<A: Actor, Q: Request<A>> Unpin for Ask<'_, A, Q> {}

impl<'a, A: Actor, Q: Request<A>> Ask<'a, A, Q> {
    pub(crate) const fn new(
        handle: &'a Handle<A>,
        request: Q,
        deadline: Option<Deadline>,
        in_reply_to: Option<Answers>,
    ) -> Self {
        let state = State::New(request, deadline);
        Self {
            handle,
            state,
            asked_at: Instant::ZERO,
            at: Instant::ZERO,
            timer: None,
            is_timer_new: false,
            in_reply_to,
            trace: None,
        }
    }

    /// Sends, or asks at once.
    fn begin(
        &mut self,
        request: Q,
        deadline: Option<Deadline>,
        cx: &Context<'_>,
    ) -> Result<State<'a, A, Q>, Result<Q::Reply, AskError>> {
        let request = match &self.handle.0 {
            _ if self.in_reply_to.is_some() => request,
            Target::Here(local) => match inline::ask(local, request, deadline) {
                Ok(answer) => return Err(answer),
                Err(request) => request,
            },
            Target::There(_) => request,
            Target::Via(via) => match Asked::offer(request, deadline, |asked| via.shortcut(asked)) {
                Ok(answer) => return Err(answer),
                Err(request) => request,
            },
        };
        self.asked_at = self.handle.clock().now();
        self.at = deadline.unwrap_or_else(|| Deadline::Within(self.handle.reply_timeout())).at(self.asked_at);
        // A nested ask lives on what is left of the request being handled.
        if let Some(budget) = current::budget() {
            self.at = self.at.min(budget);
        }
        if current::number() != 0 {
            // Before anything is sent: the actor may have too many asks open for one more.
            self.arm(cx).map_err(Err)?;
        }
        Ok(match &self.handle.0 {
            Target::Here(local) => {
                let (port, reply) = reply_cell();
                if local.system.detects_cycles() {
                    let is_open = (!Q::MAY_ANSWER_LATER).then(|| Box::new(reply.watch()) as _);
                    self.trace = Trace::begin(&local.system, &local.life, is_open).map_err(Err)?;
                }
                let message = request.into_message(Reply::here(port));
                let envelope = Envelope {
                    message,
                    meta: Meta::sent_here(Some(self.at), true).answering(self.in_reply_to),
                };
                State::Entering(Entering::new(local, envelope), reply)
            }
            Target::There(there) => {
                let leaving = Leaving::now(self.in_reply_to);
                let asked = there
                    .offer::<A, Q, _>(&request, Some(self.at), leaving, |offer| there.route.ask_now(offer));
                if let Some(asked) = asked {
                    return asked.map(State::Asked).map_err(Err);
                }
                let call = there.leaving::<A, Q>(request, Some(self.at), leaving);
                let own_timer = there.route.system().is_none().then_some((self.asked_at, self.at));
                State::Remote(there.asking::<A, Q>(call, own_timer))
            }
            Target::Via(via) => {
                let (port, reply) = reply_cell();
                let message = request.into_message(Reply::here(port));
                let meta = Meta::sent_here(Some(self.at), true).answering(self.in_reply_to);
                let mut envelope = Envelope { message, meta };
                if let Some((system, life)) = via.system().zip(via.asked())
                    && system.detects_cycles()
                {
                    let is_open = Box::new(reply.watch());
                    self.trace = Trace::begin_on_the_way(system, life, is_open).map_err(Err)?;
                    envelope.meta.set_trace(self.trace.as_ref().map(|trace| trace.edge()));
                }
                State::Via(Place::take(&***via, envelope, cx).map_err(|error| Err(error.into()))?, reply)
            }
        })
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Q::Reply, AskError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::New(request, deadline) => match self.begin(request, deadline, cx) {
                    Ok(state) => self.state = state,
                    Err(answer) => return Poll::Ready(answer),
                },
                State::Entering(mut entering, reply) => match Pin::new(&mut entering).poll(cx) {
                    Poll::Ready(Ok(())) => self.state = State::Waiting(entering.local, reply),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => {
                        self.state = State::Entering(entering, reply);
                        return Poll::Pending;
                    }
                },
                State::Waiting(local, mut reply) => match Pin::new(&mut reply).poll(cx) {
                    Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
                    Poll::Ready(Err(lost)) => return Poll::Ready(Err(no_answer(&local.life, &lost))),
                    Poll::Pending => {
                        self.state = State::Waiting(local, reply);
                        return Poll::Pending;
                    }
                },
                State::Via(mut place, mut reply) => match place.poll(cx) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Ready(Ok(())) => match Pin::new(&mut reply).poll(cx) {
                        Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
                        Poll::Ready(Err(lost)) => return Poll::Ready(Err(place.no_answer(&lost))),
                        Poll::Pending => {
                            self.state = State::Via(place, reply);
                            return Poll::Pending;
                        }
                    },
                    Poll::Pending => {
                        self.state = State::Via(place, reply);
                        return Poll::Pending;
                    }
                },
                State::Asked(mut asked) => match Pin::new(&mut asked).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Asked(asked);
                        return Poll::Pending;
                    }
                    Poll::Ready(answer) => {
                        return Poll::Ready(
                            answer.and_then(|(encoding, bytes)| decoded::<A, Q>(encoding, &bytes)),
                        );
                    }
                },
                State::Remote(mut future) => match future.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = State::Remote(future);
                        return Poll::Pending;
                    }
                    ready @ Poll::Ready(_) => return ready,
                },
                State::Done => return Poll::Pending,
            }
        }
    }

    /// Whether the time is over. The timer of code that is no actor is made only when it is first asked for: an answer
    /// that is there at once costs none.
    fn is_over(&mut self, cx: &Context<'_>) -> bool {
        let is_new = std::mem::take(&mut self.is_timer_new);
        match (self.timekeeper(), self.timer) {
            // Without a system's timers what waits for a link has one of its own, and a mock answers at once.
            (None, _) => false,
            (Some(_), Some(_)) if is_new => false,
            (Some(system), Some(key)) => !system.timers().rewake(key, cx.waker()),
            (Some(_), None) => {
                let is_over = self.arm(cx).is_err();
                self.is_timer_new = false;
                is_over
            }
        }
    }

    /// Makes the timer.
    ///
    /// # Errors
    /// When the asking actor has too many asks open.
    fn arm(&mut self, cx: &Context<'_>) -> Result<(), AskError> {
        let Some(system) = self.timekeeper() else {
            return Ok(());
        };
        let to = match &self.handle.0 {
            Target::There(there) => Whom::There(Arc::clone(there)),
            target => Whom::Here(target.life().map_or(0, Inbox::number)),
        };
        let asking = Asking { from: current::number(), to, since: self.asked_at };
        self.timer = system.timers().wake_asker_at(self.at, cx.waker(), asking, &**system.tasks());
        if self.timer.is_some() {
            self.is_timer_new = true;
            return Ok(());
        }
        let detail = format!("the actor has {ASKS_MAX} asks open already: await some of their answers first");
        Err(Refusal::new(RefusalCode::LimitReached, detail).into())
    }

    /// Forgets the timer, if there is one; `false` when it has been due.
    fn disarm(&mut self) -> bool {
        let Some(key) = self.timer.take() else {
            return true;
        };
        self.timekeeper().is_none_or(|system| system.timers().forget(key))
    }

    /// The system whose timers keep the deadline.
    fn timekeeper(&self) -> Option<&'a System> {
        match &self.handle.0 {
            Target::There(there) => there.route.system(),
            target => target.system(),
        }
    }

    fn timeout(&self) -> AskError {
        AskError::Timeout { after: self.handle.clock().now() - self.asked_at }
    }
}

impl<A: Actor, Q: Request<A>> Future for Ask<'_, A, Q> {
    type Output = Result<Q::Reply, AskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.trace.take_if(|trace| !trace.is_here());
        let polled = this.poll_answer(cx);
        if let Poll::Ready(Err(AskError::NoReply)) = polled
            && let Some(cycle) = this.trace.as_ref().and_then(|trace| trace.cycle())
        {
            // Whoever had the request would have closed a cycle by passing it on.
            this.disarm();
            return Poll::Ready(Err(cycle));
        }
        match polled {
            // An expired request is dropped unrun, perhaps before our own timer has come.
            Poll::Ready(Err(AskError::NoReply)) if this.handle.clock().now() >= this.at => {
                return Poll::Ready(Err(this.timeout()));
            }
            // An answer that comes with the deadline comes too late, whoever is woken first.
            ready @ Poll::Ready(_) => {
                return if this.disarm() { ready } else { Poll::Ready(Err(this.timeout())) };
            }
            Poll::Pending if matches!(this.state, State::Done) => return Poll::Pending,
            Poll::Pending => {}
        }
        if !this.is_over(cx) {
            return Poll::Pending;
        }
        this.state = State::Done;
        Poll::Ready(Err(this.timeout()))
    }
}

impl<A: Actor, Q: Request<A>> Drop for Ask<'_, A, Q> {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl<A: Actor, Q: Request<A>> fmt::Debug for Ask<'_, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("handle", &self.handle)
            .field("deadline", &self.at)
            .finish_non_exhaustive()
    }
}
