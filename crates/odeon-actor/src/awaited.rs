//! Asks that have left for another server, and their answers: a cell for each, and no task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use odeon_core::{Encoding, ExitReason};
use odeon_mailbox::{ReplyFuture, ReplyPort, reply_cell};

use crate::error::AskError;

/// The encoded answer of another server, or why there is none.
pub type FarAnswer = Result<(Encoding, Vec<u8>), AskError>;

/// Whoever keeps the asks that have left: a link.
pub trait Asks: Send + Sync + 'static {
    /// Nobody waits for the answer any longer.
    fn withdraw(&self, ask: u64);
}

/// Where the answer to an ask of another server goes. Dropped unused, it says that the link is lost.
pub struct AnswerPort(ReplyPort<FarAnswer, ()>);

/// An answer that is to come, before its ask has a number.
#[must_use = "it is the only way to the answer"]
pub struct Unasked(ReplyFuture<FarAnswer, ()>);

/// An ask that has left for another server; ready with its answer.
///
/// # Cancel safety
/// Dropped, the other server is told that nobody waits.
#[must_use = "dropped, the ask is taken back"]
pub struct Awaited {
    answer: ReplyFuture<FarAnswer, ()>,
    /// Until there is an answer.
    asked: Option<(Arc<dyn Asks>, u64)>,
}

impl AnswerPort {
    /// A port and what comes out of it.
    pub fn new() -> (Self, Unasked) {
        let (port, answer) = reply_cell();
        (Self(port), Unasked(answer))
    }

    /// Answers.
    pub fn answer(self, answer: FarAnswer) {
        // The asker may have given up this very moment.
        let _ = self.0.send(answer);
    }
}

impl Unasked {
    /// The ask has left, under this number.
    pub fn asked(self, asks: Arc<dyn Asks>, ask: u64) -> Awaited {
        Awaited { answer: self.0, asked: Some((asks, ask)) }
    }
}

impl Future for Awaited {
    type Output = FarAnswer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        self.asked = None;
        let stopping = || AskError::Dead(ExitReason::LinkLost("the server is stopping".to_owned()));
        Poll::Ready(answer.unwrap_or_else(|_| Err(stopping())))
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some((asks, ask)) = self.asked.take() {
            asks.withdraw(ask);
        }
    }
}

impl fmt::Debug for AnswerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerPort").finish_non_exhaustive()
    }
}

impl fmt::Debug for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unasked").finish_non_exhaustive()
    }
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ask = self.asked.as_ref().map(|(_, ask)| ask);
        f.debug_struct("Awaited").field("ask", &ask).finish_non_exhaustive()
    }
}
