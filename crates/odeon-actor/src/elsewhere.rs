//! Answers that go to somebody else than the asker, as messages.
//!
//! The port owns what makes the message. It is used once: with the answer, or, when the port falls, with the reason
//! why there is none.

use std::sync::{Arc, Mutex, PoisonError};

use odeon_core::seam::{Clock, TaskKind};
use odeon_core::{Instant, Refusal, RefusalCode};
use odeon_mailbox::Lost;

use crate::actor::Actor;
use crate::call::{Call, Request};
use crate::cx::Cx;
use crate::envelope::{Answers, Envelope, Leaving, Meta};
use crate::error::{AskError, TellError};
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::panic::contained;
use crate::reply::Reply;
use crate::system::System;
use crate::via::TryRefused;

type Deliver<R> = Box<dyn FnOnce(Result<R, AskError>) + Send>;

/// A port whose answer becomes a message to an actor.
pub(crate) struct Elsewhere<R> {
    /// Behind a lock that nobody contends for, so that the port may be shared between threads.
    deliver: Mutex<Option<Deliver<R>>>,
    is_wanted: Box<dyn Fn() -> bool + Send + Sync>,
    /// What the answer is to, when it is known.
    asked: Option<Asked>,
}

struct Asked {
    why: Box<dyn Fn() -> AskError + Send + Sync>,
    clock: Arc<dyn Clock>,
    at: Instant,
    expires_at: Option<Instant>,
}

impl<R> Elsewhere<R> {
    pub(crate) fn is_wanted(&self) -> bool {
        (self.is_wanted)()
    }

    pub(crate) fn send(mut self, answer: R) {
        if let Some(deliver) = self.take() {
            deliver(Ok(answer));
        }
    }

    fn forget(mut self) {
        drop(self.take());
    }

    fn take(&mut self) -> Option<Deliver<R>> {
        self.deliver.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Asked {
    /// Why no answer comes.
    fn why(&self) -> AskError {
        let now = self.clock.now();
        if self.expires_at.is_some_and(|at| at <= now) {
            return AskError::Timeout { after: now - self.at };
        }
        (self.why)()
    }
}

impl<R> Drop for Elsewhere<R> {
    fn drop(&mut self) {
        if let Some(deliver) = self.take() {
            let why = self.asked.as_ref().map_or(AskError::NoReply, Asked::why);
            contained("what makes a message of an answer", || deliver(Err(why)));
        }
    }
}

/// Sends what `make` makes of an answer to `other`; where that takes time, a task of `system` does it.
fn deliver<B: Actor, R: 'static, P: Request<B>>(
    other: &Handle<B>,
    system: &System,
    in_reply_to: Option<Answers>,
    expires_at: Option<Instant>,
    make: impl FnOnce(Result<R, AskError>) -> P + Send + 'static,
) -> Deliver<R> {
    let (other, system) = (other.clone(), system.clone());
    Box::new(move |answer| {
        let request = make(answer);
        if let Target::There(there) = &other.0 {
            // From whoever answers, not from the task that waits for the link.
            let call = there.leaving::<B, P>(request, expires_at, Leaving::now(in_reply_to));
            let route = Arc::clone(&there.route);
            let tell = async move { route.tell(call?).await };
            system.tasks().spawn(TaskKind::Service, "answering", Box::pin(logged(tell)));
            return;
        }
        let meta = Meta::sent_here(expires_at, false).answering(in_reply_to);
        let mut envelope = Some(Envelope { message: request.into_message(Reply::nobody()), meta });
        let sent = other.0.try_enter(&mut || envelope.take().expect("a way takes the message once"));
        if let (Err(TryRefused::Full), Some(envelope)) = (sent, envelope) {
            let forward = async move { other.forward(envelope).await };
            system.tasks().spawn(TaskKind::Service, "answering", Box::pin(logged(forward)));
        }
    })
}

async fn logged(sending: impl Future<Output = Result<(), TellError>>) {
    if let Err(error) = sending.await {
        tracing::debug!(%error, "an answer to somebody else was lost");
    }
}

fn is_wanted<B: Actor>(other: &Handle<B>) -> Box<dyn Fn() -> bool + Send + Sync> {
    let other = other.clone();
    Box::new(move || !other.is_dead())
}

impl<A: Actor> Cx<A> {
    /// A port whose answer goes to `other`, as the message that `make` makes of it: of the answer, or of the reason why
    /// there is none. It may wait for room in the other's mailbox, but nobody waits for it.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{AskError, Cx, Handle, Reply, System, actor};
    ///
    /// struct Printer;
    ///
    /// #[actor]
    /// impl Printer {
    ///     #[handle]
    ///     fn print(&mut self, text: Result<String, AskError>, cx: &mut Cx<Self>) {
    ///         assert_eq!(text.as_deref(), Ok("hello"));
    ///         cx.stop();
    ///     }
    /// }
    ///
    /// struct Writer(Handle<Printer>);
    ///
    /// #[actor]
    /// impl Writer {
    ///     #[handle]
    ///     fn write(&mut self, cx: &mut Cx<Self>) {
    ///         let port: Reply<String> = cx.reply_to(&self.0, |text| PrinterPrint { text });
    ///         port.send("hello".to_owned()); // or hand it to whoever knows the answer
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new();
    /// let printer = system.spawn(Printer);
    /// system.spawn(Writer(printer.clone())).write().await?;
    /// assert_eq!(printer.ended().await, odeon::ExitReason::Normal);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reply_to<B: Actor, R: Send + 'static, P: Request<B>>(
        &self,
        other: &Handle<B>,
        make: impl FnOnce(Result<R, AskError>) -> P + Send + 'static,
    ) -> Reply<R> {
        Reply::elsewhere(Elsewhere {
            deliver: Mutex::new(Some(deliver(other, self.system(), None, None, make))),
            is_wanted: is_wanted(other),
            asked: None,
        })
    }
}

impl<A: Actor, Q: Request<A>> Call<'_, A, Q> {
    /// Asks, and has the answer go to `other`, as the message that `make` makes of it: of the answer, or of the reason
    /// why there is none. It answers, by its number, the message sent here, whose number is returned; it has the same
    /// deadline. Ready when the request has been taken.
    ///
    /// # Errors
    /// As a tell. Of an actor that is dead already, `other` hears nothing.
    ///
    /// # Cancel safety
    /// As a tell.
    pub async fn reply_to<B: Actor, P: Request<B>>(
        self,
        other: &Handle<B>,
        make: impl FnOnce(Result<Q::Reply, AskError>) -> P + Send + 'static,
    ) -> Result<u64, TellError> {
        let Self { handle, request, deadline, in_reply_to } = self;
        let clock = handle.clock();
        let at = clock.now();
        let expires_at = deadline.map(|deadline| deadline.at(at));
        let Some(system) = handle.0.system().or_else(|| other.0.system()) else {
            let what = "the answer can go to another actor only if it or the one asked is in this process";
            return Err(TellError::Refused(Refusal::new(RefusalCode::BadRequest, what)));
        };
        if let Target::There(there) = &handle.0 {
            // The answer comes here first.
            let leaving = Leaving::numbered(in_reply_to);
            let until = expires_at.unwrap_or_else(|| at + there.route.reply_timeout());
            let call = there.leaving::<A, Q>(request, Some(until), leaving);
            let deliver = deliver(other, system, Some(Answers::to(leaving.nonce)), expires_at, make);
            let answer = there.asking::<A, Q>(call, Some((at, until)));
            let ask = async move { deliver(answer.await) };
            system.tasks().spawn(TaskKind::Service, "asking", Box::pin(ask));
            return Ok(leaving.nonce);
        }
        let meta = Meta::sent_here(expires_at, true).answering(in_reply_to);
        let nonce = meta.nonce();
        let deliver = deliver(other, system, Some(Answers::to(nonce)), expires_at, make);
        let asked = handle.clone();
        let why = Box::new(move || asked.0.no_answer(&Lost::Dropped));
        let port = Elsewhere {
            deliver: Mutex::new(Some(deliver)),
            is_wanted: is_wanted(other),
            asked: Some(Asked { why, clock, at, expires_at }),
        };
        if let Some(reason) = handle.0.life().and_then(Inbox::exit_reason) {
            // Whoever asked hears it, and nobody else.
            port.forget();
            return Err(TellError::Dead(reason));
        }
        handle.forward(Envelope { message: request.into_message(Reply::elsewhere(port)), meta }).await?;
        Ok(nonce)
    }

    /// As [`tell`](Self::tell), and returns the message's number among those of its sender, by which an answer may
    /// name it.
    ///
    /// # Errors
    /// As a tell.
    ///
    /// # Cancel safety
    /// As a tell.
    pub async fn tell_with_nonce(self) -> Result<u64, TellError> {
        let Self { handle, request, deadline, in_reply_to } = self;
        let expires_at = deadline.map(|deadline| deadline.at(handle.clock().now()));
        if let Target::There(there) = &handle.0 {
            let leaving = Leaving::numbered(in_reply_to);
            let call = there.leaving::<A, Q>(request, expires_at, leaving)?;
            Arc::clone(&there.route).tell(call).await?;
            return Ok(leaving.nonce);
        }
        let meta = Meta::sent_here(expires_at, false).answering(in_reply_to);
        let nonce = meta.nonce();
        handle.forward(Envelope { message: request.into_message(Reply::nobody()), meta }).await?;
        Ok(nonce)
    }
}
