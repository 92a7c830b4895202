//! Calls: one request to one actor, not yet sent. The caller decides whether it is an ask or a tell.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::limits::REPLY_TIMEOUT_DEFAULT;
use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{CodecError, Deadline, Encoding, Instant, Refusal, RefusalCode};
use odeon_mailbox::{Refused, ReplyFuture, SendError, WAITERS_MAX, reply_cell};

use crate::actor::Actor;
use crate::error::{AskError, TellError, TryTellError};
use crate::handle::{Control, Envelope, Handle, Local, RemoteCall, Target};
use crate::reply::Reply;
use crate::run::current;

/// Something actor `A` answers. `#[actor]` writes one per method.
pub trait Request<A: Actor>: Send + Sized + 'static {
    /// The answer.
    type Reply: Send + 'static;

    /// The mark by which the request travels; `None` if it cannot.
    const MARK: Option<&'static str> = None;

    /// The actor's message that carries this request and the port for its answer. It may run under the
    /// mailbox's lock, so it only puts things together.
    fn into_message(self, reply: Reply<Self::Reply>) -> A::Message;

    /// Appends the arguments, encoded as CBOR.
    ///
    /// # Errors
    /// When the request cannot travel, or its value cannot be expressed.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let _ = out;
        Err(CodecError::Encode("the actor is private: write #[actor(mark = \"name/1\")]".to_owned()))
    }

    /// Reads an encoded answer.
    ///
    /// # Errors
    /// When the bytes are not an answer.
    fn decode_reply(encoding: Encoding, bytes: &[u8]) -> Result<Self::Reply, CodecError> {
        let _ = (encoding, bytes);
        Err(CodecError::Decode("the actor is private".to_owned()))
    }
}

/// One request to one actor, not yet sent: await it to ask, or [`tell`](Self::tell) it.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// # use odeon::{AskError, System, actor};
/// # use std::time::Duration;
/// # struct Counter(i64);
/// # #[actor]
/// # impl Counter {
/// #     #[handle]
/// #     async fn add(&mut self, by: i64) -> i64 { self.0 += by; self.0 }
/// #     #[handle]
/// #     async fn hang(&mut self) { std::future::pending().await }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let counter = System::new().spawn(Counter(0));
/// counter.add(1).tell().await?; // taken, perhaps not handled yet
/// counter.add(1).try_tell()?; // the same, or an error where `tell` would wait
/// assert_eq!(counter.add(1).await?, 3); // handled and answered, within 5 s
/// let hung = counter.hang().within(Duration::from_millis(20)).await;
/// assert!(matches!(hung, Err(AskError::Timeout { .. })));
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent until the call is awaited or told"]
pub struct Call<'a, A: Actor, Q: Request<A>> {
    handle: &'a Handle<A>,
    request: Q,
    deadline: Option<Deadline>,
}

impl<'a, A: Actor, Q: Request<A>> Call<'a, A, Q> {
    pub(crate) const fn new(handle: &'a Handle<A>, request: Q) -> Self {
        Self { handle, request, deadline: None }
    }

    /// Sets the deadline: a time from now, or a point. For an ask the default is 5 s; for a tell, none. Past
    /// it the message is not run, even if it has been delivered.
    pub fn within(mut self, deadline: impl Into<Deadline>) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    /// Sends without wanting an answer; waits while the mailbox is full.
    ///
    /// # Errors
    /// When the actor is dead or cannot be reached. A message that was taken may still be lost with its actor.
    ///
    /// # Cancel safety
    /// Dropped while it waits for room, it gives up its place in the line. A message that had just been let in,
    /// or is on its way to another server, stays sent.
    pub async fn tell(self) -> Result<(), TellError> {
        let Self { handle, request, deadline } = self;
        let expires_at = deadline.map(|deadline| deadline.at(handle.clock().now()));
        match &handle.0 {
            Target::Here(local) => {
                let message = request.into_message(Reply::nobody());
                let envelope = Envelope { message, sender: current::sender(), expires_at };
                local.mailbox.send(envelope).await.map_err(|error| not_sent(local, &error))
            }
            Target::There(there) => {
                let call = remote_call(&request, there.reference.clone(), expires_at)?;
                Arc::clone(&there.route).tell(call).await
            }
        }
    }

    /// Sends without waiting for anything.
    ///
    /// # Errors
    /// The request comes back when the mailbox is full, the actor is dead, or the actor is on another server.
    pub fn try_tell(self) -> Result<(), TryTellError<Q>> {
        let Self { handle, request, deadline } = self;
        let Target::Here(local) = &handle.0 else {
            return Err(TryTellError::Remote(request));
        };
        let expires_at = deadline.map(|deadline| deadline.at(local.system.clock().now()));
        let sender = current::sender();
        let mut request = Some(request);
        let sent = local.mailbox.try_send_with(|| {
            let request = request.take().expect("the mailbox makes the message once");
            Envelope { message: request.into_message(Reply::nobody()), sender, expires_at }
        });
        match (sent, request) {
            (Err(Refused::Full), Some(request)) => Err(TryTellError::Full(request)),
            (Err(_), Some(request)) => Err(TryTellError::Dead(request, local.death())),
            (_, _) => Ok(()),
        }
    }
}

fn remote_call<A: Actor, Q: Request<A>>(
    request: &Q,
    to: odeon_core::Reference,
    expires_at: Option<Instant>,
) -> Result<RemoteCall, CodecError> {
    let mut payload = Vec::new();
    request.encode(&mut payload)?;
    let mark = Q::MARK.unwrap_or_default().to_owned();
    Ok(RemoteCall { to, from: current::number(), mark, encoding: Encoding::Cbor, payload, expires_at })
}

/// Why the mailbox did not take a message that could wait.
fn not_sent<A: Actor, T>(local: &Local<A>, error: &SendError<T>) -> TellError {
    match error {
        SendError::Closed(_) => TellError::Dead(local.death()),
        SendError::Crowded(_) => {
            let detail = format!("{WAITERS_MAX} senders wait for room in the actor's mailbox already");
            TellError::Refused(Refusal::new(RefusalCode::Full, detail))
        }
    }
}

impl<'a, A: Actor, Q: Request<A>> IntoFuture for Call<'a, A, Q> {
    type Output = Result<Q::Reply, AskError>;
    type IntoFuture = Ask<'a, A, Q>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { handle, request, deadline } = self;
        let clock = handle.clock();
        let asked_at = clock.now();
        let mut at = deadline.unwrap_or(Deadline::Within(REPLY_TIMEOUT_DEFAULT)).at(asked_at);
        // A nested ask lives on what is left of the request being handled.
        if let Some(budget) = current::budget() {
            at = at.min(budget);
        }
        let state = match &handle.0 {
            Target::Here(local) => here(local, request, at),
            Target::There(there) => {
                let call = remote_call::<A, Q>(&request, there.reference.clone(), Some(at));
                let route = Arc::clone(&there.route);
                State::Remote(Box::pin(async move {
                    let (encoding, bytes) = route.ask(call?).await?;
                    Ok(Q::decode_reply(encoding, &bytes)?)
                }))
            }
        };
        Ask { state, clock, asked_at, at, timer: None }
    }
}

fn here<A: Actor, Q: Request<A>>(local: &Arc<Local<A>>, request: Q, at: Instant) -> State<'_, A, Q> {
    let (port, reply) = reply_cell();
    let message = request.into_message(Reply::here(port));
    let envelope = Envelope { message, sender: current::sender(), expires_at: Some(at) };
    State::Sending { local, sending: local.mailbox.send(envelope), reply }
}

/// An ask under way. Sent at the first poll.
///
/// # Cancel safety
/// Dropped, nobody waits for the answer any longer; the request may still be run.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'a, A: Actor, Q: Request<A>> {
    state: State<'a, A, Q>,
    clock: Arc<dyn Clock>,
    asked_at: Instant,
    at: Instant,
    timer: Option<BoxFuture<'static, ()>>,
}

enum State<'a, A: Actor, Q: Request<A>> {
    Sending {
        local: &'a Arc<Local<A>>,
        sending: odeon_mailbox::Send<'a, Envelope<A::Message>, Control>,
        reply: ReplyFuture<Q::Reply, ()>,
    },
    Waiting {
        local: &'a Arc<Local<A>>,
        reply: ReplyFuture<Q::Reply, ()>,
    },
    Remote(BoxFuture<'a, Result<Q::Reply, AskError>>),
    Done,
}

// Nothing in an ask is pinned in place: messages move between its parts.
impl<A: Actor, Q: Request<A>> Unpin for Ask<'_, A, Q> {}

impl<A: Actor, Q: Request<A>> Ask<'_, A, Q> {
    fn timeout(&self) -> AskError {
        AskError::Timeout { after: self.clock.now() - self.asked_at }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Q::Reply, AskError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Sending { local, mut sending, reply } => match Pin::new(&mut sending).poll(cx) {
                    Poll::Ready(Ok(())) => self.state = State::Waiting { local, reply },
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(not_sent(local, &error).into())),
                    Poll::Pending => {
                        self.state = State::Sending { local, sending, reply };
                        return Poll::Pending;
                    }
                },
                State::Waiting { local, mut reply } => match Pin::new(&mut reply).poll(cx) {
                    Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
                    Poll::Ready(Err(_)) => {
                        let error = local.life.reason().map_or(AskError::NoReply, AskError::Dead);
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending => {
                        self.state = State::Waiting { local, reply };
                        return Poll::Pending;
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
}

impl<A: Actor, Q: Request<A>> Future for Ask<'_, A, Q> {
    type Output = Result<Q::Reply, AskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.poll_answer(cx) {
            // An expired request is dropped unrun, perhaps before our own timer has come.
            Poll::Ready(Err(AskError::NoReply)) if this.clock.now() >= this.at => {
                return Poll::Ready(Err(this.timeout()));
            }
            ready @ Poll::Ready(_) => return ready,
            Poll::Pending => {}
        }
        if matches!(this.state, State::Done) {
            return Poll::Pending;
        }
        let (clock, at) = (&this.clock, this.at);
        // Made only now: an answer that is there at once costs no timer.
        let timer = this.timer.get_or_insert_with(|| clock.sleep_until(at));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.state = State::Done;
        Poll::Ready(Err(this.timeout()))
    }
}

impl<A: Actor, Q: Request<A>> fmt::Debug for Call<'_, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("handle", &self.handle)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<A: Actor, Q: Request<A>> fmt::Debug for Ask<'_, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("deadline", &self.at).finish_non_exhaustive()
    }
}
