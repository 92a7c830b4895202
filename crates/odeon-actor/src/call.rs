//! Calls: one request to one actor, not yet sent. The caller decides whether it is an ask or a tell.

use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use odeon_core::seam::BoxFuture;
use odeon_core::{CodecError, Deadline, Encoding, Fingerprint, Instant};
use odeon_mailbox::Refused;

use crate::actor::Actor;
use crate::ask::Ask;
use crate::cx::Cx;
use crate::envelope::{Answers, Envelope, Leaving, Meta};
use crate::error::{AskError, TryTellError};
use crate::handle::{Handle, Target, There};
use crate::outgoing::{Arguments, Offer, Outgoing, RemoteCall};
use crate::overflow;
use crate::reply::Reply;
use crate::tell::Tell;
use crate::timers::until;
use crate::via::{TryRefused, Via, stays_here};

/// Something actor `A` answers. `#[actor]` writes one per method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no request of the actor `{A}`",
    label = "the actor has no handler for this request"
)]
pub trait Request<A: Actor>: Send + Sized + 'static {
    /// The answer.
    type Reply: Send + 'static;

    /// The mark by which the request travels; `None` if it cannot.
    const MARK: Option<&'static str> = None;

    /// Whether the actor may answer on the asker's stack, by [`answer_now`](Self::answer_now).
    const INLINE: Inline = Inline::Never;

    /// Whether the answer may come after the handler, or from somebody else. Where it cannot, an ask whose target waits
    /// for its asker is known to wait in vain.
    const MAY_ANSWER_LATER: bool = true;

    /// Answers by code that does not wait, or gives the request back. Only called where [`INLINE`](Self::INLINE)
    /// lets it.
    ///
    /// # Errors
    /// The request, back, when it cannot be answered so.
    fn answer_now(self, actor: &mut A, cx: &mut Cx<A>) -> Result<Self::Reply, Self> {
        let _ = (actor, cx);
        Err(self)
    }

    /// The actor's message that carries this request and the port for its answer. It may run under the
    /// mailbox's lock, so it only puts things together.
    fn into_message(self, reply: Reply<Self::Reply>) -> A::Message;

    /// The fingerprint of arguments and answer; `None` if they always travel with their names.
    #[must_use]
    fn fingerprint() -> Option<Fingerprint> {
        None
    }

    /// Appends the arguments, encoded.
    ///
    /// # Errors
    /// When the request cannot travel, or its value cannot be expressed.
    fn encode(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let _ = (encoding, out);
        Err(private())
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

/// Whether an ask to an idle actor may be answered on the asker's stack: no queue, no wake, no allocation. Order
/// holds, because an actor is idle only when nothing waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inline {
    /// It may not: the handler waits, or answers through a port.
    Never,
    /// It may, while timings show that the actor's handlers take less than 2 µs.
    Measured,
    /// It may: `#[handle(inline)]`.
    Always,
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
    pub(crate) handle: &'a Handle<A>,
    pub(crate) request: Q,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) in_reply_to: Option<Answers>,
}

impl<'a, A: Actor, Q: Request<A>> Call<'a, A, Q> {
    pub(crate) const fn new(handle: &'a Handle<A>, request: Q) -> Self {
        Self { handle, request, deadline: None, in_reply_to: None }
    }

    /// Sets the deadline: a time from now, or a point. For an ask the default is 5 s; for a tell, none. Past
    /// it the message is not run, even if it has been delivered.
    pub fn within(mut self, deadline: impl Into<Deadline>) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    /// Says that it answers the receiver's message of this number. That is what the sender says: a receiver on another
    /// server can rely on it as far as on the sender.
    pub const fn in_reply_to(mut self, nonce: u64) -> Self {
        self.in_reply_to = Some(Answers::to(nonce));
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
    pub fn tell(self) -> Tell<'a, A, Q> {
        Tell::new(self.handle, self.request, self.deadline, self.in_reply_to)
    }

    /// Sends without waiting for anything. To an actor of another server it is sent when the link has room for it, in
    /// the link's buffer and in the credit that the actor's server gave: 8,192 messages and 4 MiB that the actor has
    /// not taken, unless the servers are set otherwise. Whether the actor takes it is not known then.
    ///
    /// # Errors
    /// The request comes back: when there is no room, when the actor is dead, or, for an actor of another server,
    /// when there is no link to it. Nothing is kept for the link that is then made.
    pub fn try_tell(self) -> Result<(), TryTellError<Q>> {
        let Self { handle, request, deadline, in_reply_to } = self;
        let local = match &handle.0 {
            Target::Here(local) => local,
            Target::There(there) => return try_there::<A, Q>(there, request, deadline, in_reply_to),
            Target::Via(via) => return try_via(&***via, request, deadline, in_reply_to),
        };
        let expires_at = deadline.map(|deadline| deadline.at(local.system.clock().now()));
        let mut request = Some(request);
        let make = || {
            let request = request.take().expect("the mailbox makes the message once");
            Envelope {
                message: request.into_message(Reply::nobody()),
                meta: Meta::sent_here(expires_at, false).answering(in_reply_to),
            }
        };
        let sent = overflow::try_enter(local, make);
        if sent.is_ok() {
            local.notify_message();
        }
        match (sent, request) {
            (Err(Refused::Full), Some(request)) => Err(TryTellError::Full(request)),
            (Err(_), Some(request)) => Err(TryTellError::Dead(request, local.death())),
            (_, _) => Ok(()),
        }
    }
}

/// Sends to another server, if a link takes the message now.
fn try_there<A: Actor, Q: Request<A>>(
    there: &There,
    request: Q,
    deadline: Option<Deadline>,
    in_reply_to: Option<Answers>,
) -> Result<(), TryTellError<Q>> {
    if Q::MARK.is_none() {
        return Err(TryTellError::Failed(request, private().into()));
    }
    let expires_at = deadline.map(|deadline| deadline.at(there.route.clock().now()));
    let leaving = Leaving::now(in_reply_to);
    let sent =
        there.offer::<A, Q, _>(&request, expires_at, leaving, |offer| Some(there.route.try_tell(offer)));
    sent.unwrap_or(Ok(())).map_err(|untaken| {
        leaving.take_back();
        untaken.with(request)
    })
}

/// Sends by another way than a mailbox of the handle's own.
fn try_via<A: Actor, Q: Request<A>>(
    via: &dyn Via<A::Message>,
    request: Q,
    deadline: Option<Deadline>,
    in_reply_to: Option<Answers>,
) -> Result<(), TryTellError<Q>> {
    let expires_at = deadline.map(|deadline| deadline.at(via.clock().now()));
    let mut request = Some(request);
    let sent = via.try_enter(&mut || {
        let request = request.take().expect("a way makes the message once");
        Envelope {
            message: request.into_message(Reply::nobody()),
            meta: Meta::sent_here(expires_at, false).answering(in_reply_to),
        }
    });
    match (sent, request) {
        (Err(TryRefused::Full), Some(request)) => Err(TryTellError::Full(request)),
        (Err(TryRefused::Dead(reason)), Some(request)) => Err(TryTellError::Dead(request, reason)),
        (Err(TryRefused::Remote), Some(request)) => Err(TryTellError::Failed(request, stays_here())),
        (_, _) => Ok(()),
    }
}

fn private() -> CodecError {
    CodecError::Encode("the actor is private: write #[actor(mark = \"name/1\")]".to_owned())
}

/// A request that is encoded once it is known how; again, if the link has ended meanwhile. The lock is for those who
/// share a call between threads while they wait: requests need not be shareable themselves.
struct Typed<A, Q>(Mutex<Q>, PhantomData<fn() -> A>);

impl<A: Actor, Q: Request<A>> Outgoing for Typed<A, Q> {
    fn fingerprint(&self) -> Option<Fingerprint> {
        Q::fingerprint()
    }

    fn encode(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).encode(encoding, out)
    }
}

impl There {
    /// The request as it leaves the long way.
    pub(crate) fn leaving<A: Actor, Q: Request<A>>(
        &self,
        request: Q,
        expires_at: Option<Instant>,
        leaving: Leaving,
    ) -> Result<RemoteCall, CodecError> {
        let to = self.reference.clone();
        let mark = Cow::Borrowed(Q::MARK.ok_or_else(private)?);
        let arguments = Arguments::Value(Box::new(Typed::<A, Q>(Mutex::new(request), PhantomData)));
        let Leaving { from, nonce, in_reply_to } = leaving;
        Ok(RemoteCall { to, from, nonce, in_reply_to, mark, arguments, expires_at })
    }

    /// Offers a request to the route; none if it cannot travel, or the route does not take it at once.
    pub(crate) fn offer<A: Actor, Q: Request<A>, T>(
        &self,
        request: &Q,
        expires_at: Option<Instant>,
        leaving: Leaving,
        take: impl FnOnce(&Offer<'_>) -> Option<T>,
    ) -> Option<T> {
        let Leaving { from, nonce, in_reply_to } = leaving;
        take(&Offer {
            to: &self.reference,
            from,
            nonce,
            in_reply_to,
            mark: Q::MARK?,
            fingerprint: Q::fingerprint(),
            expires_at,
            encode: &|encoding, out| request.encode(encoding, out),
        })
    }

    /// Asks the long way; from a time until another, unless somebody else keeps the deadline.
    pub(crate) fn asking<A: Actor, Q: Request<A>>(
        &self,
        call: Result<RemoteCall, CodecError>,
        time: Option<(Instant, Instant)>,
    ) -> BoxFuture<'static, Result<Q::Reply, AskError>> {
        let route = Arc::clone(&self.route);
        Box::pin(async move {
            let clock = route.clock();
            let answering = route.ask(call?);
            let (encoding, bytes) = match time {
                None => answering.await?,
                Some((asked_at, at)) => until(&*clock, at, answering)
                    .await
                    .unwrap_or_else(|| Err(AskError::Timeout { after: clock.now() - asked_at }))?,
            };
            decoded::<A, Q>(encoding, &bytes)
        })
    }
}

/// What a request is answered, of the bytes of its answer.
pub(crate) fn decoded<A: Actor, Q: Request<A>>(
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Q::Reply, AskError> {
    if encoding == Encoding::Compact && Q::fingerprint().is_none() {
        return Err(CodecError::Decode("the answer came without the names it needs".to_owned()).into());
    }
    Ok(Q::decode_reply(encoding, bytes)?)
}

impl<'a, A: Actor, Q: Request<A>> IntoFuture for Call<'a, A, Q> {
    type Output = Result<Q::Reply, AskError>;
    type IntoFuture = Ask<'a, A, Q>;

    fn into_future(self) -> Self::IntoFuture {
        Ask::new(self.handle, self.request, self.deadline, self.in_reply_to)
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
