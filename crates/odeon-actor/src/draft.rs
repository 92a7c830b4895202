//! Envelopes made by hand.

use odeon_core::Deadline;

use crate::actor::Actor;
use crate::envelope::{Answers, Envelope, Meta};
use crate::error::TellError;
use crate::handle::Handle;

/// A message and what its envelope will say, not yet sent: [`Handle::send_envelope`]. Who sends it, and as which of
/// its messages, is filled in when it is sent.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use std::time::Duration;
///
/// use odeon::{Cx, Draft, Reply, System, actor};
///
/// struct Post(Option<u64>);
///
/// #[actor]
/// impl Post {
///     #[handle]
///     fn take(&mut self, cx: &mut Cx<Self>) {
///         self.0 = cx.in_reply_to();
///     }
///
///     #[handle]
///     fn taken(&self) -> Option<u64> {
///         self.0
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let post = System::new().spawn(Post(None));
/// let message = PostMessage::Take(PostTake {}, Reply::nobody());
/// post.send_envelope(Draft::new(message).within(Duration::from_secs(1)).in_reply_to(7)).await?;
/// assert_eq!(post.taken().await?, Some(7));
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent until the handle sends it"]
#[derive(Debug, Clone)]
pub struct Draft<M> {
    message: M,
    deadline: Option<Deadline>,
    in_reply_to: Option<Answers>,
    wants_reply: bool,
}

impl<M> Draft<M> {
    /// The message, with no deadline, answering nothing and expecting nothing.
    pub const fn new(message: M) -> Self {
        Self { message, deadline: None, in_reply_to: None, wants_reply: false }
    }

    /// Past this it is not handled: a time from when it is sent, or a point.
    pub fn within(mut self, deadline: impl Into<Deadline>) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    /// It answers the receiver's message of this number.
    pub const fn in_reply_to(mut self, nonce: u64) -> Self {
        self.in_reply_to = Some(Answers::to(nonce));
        self
    }

    /// Its sender waits for an answer, by the port in the message or by a message of its own.
    pub const fn expecting_reply(mut self) -> Self {
        self.wants_reply = true;
        self
    }
}

impl<A: Actor> Handle<A> {
    /// Sends a message in an envelope made by hand, waits while the mailbox is full, and returns the message's number
    /// among those of its sender.
    ///
    /// # Errors
    /// As a tell; and [`TellError::Refused`] for an actor on another server: only single requests travel.
    ///
    /// # Cancel safety
    /// As a tell.
    pub async fn send_envelope(&self, draft: Draft<A::Message>) -> Result<u64, TellError> {
        let Draft { message, deadline, in_reply_to, wants_reply } = draft;
        let at = deadline.map(|deadline| deadline.at(self.clock().now()));
        let meta = Meta::sent_here(at, wants_reply).answering(in_reply_to);
        let nonce = meta.nonce();
        self.forward(Envelope { message, meta }).await?;
        Ok(nonce)
    }
}
