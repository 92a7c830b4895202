//! Envelopes: a message with what its receiver may ask about it.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use odeon_core::Instant;

use crate::current;
use crate::cycles::EdgeId;
use crate::sender::{Peer, Sender};

/// A message as it waits in a mailbox, and as [`Cx::recv`](crate::Cx::recv) gives it.
pub struct Envelope<M> {
    pub(crate) message: M,
    pub(crate) meta: Meta,
}

/// What is known of a message besides itself: 32 bytes, most of them zero for a local tell.
#[derive(Clone)]
pub(crate) struct Meta {
    /// The sending actor; 0 for code that is none.
    from: u64,
    /// Nanoseconds; `u64::MAX` where there is no deadline.
    expires_at: u64,
    /// The sender's number for the message, shifted left; the lowest bit says that an answer is wanted.
    nonce: u64,
    far: Option<Box<Far>>,
}

/// What few messages have.
#[derive(Clone, Default)]
struct Far {
    peer: Option<Arc<Peer>>,
    /// The actor it was sent to, and its mark.
    message: Option<(u64, &'static str)>,
    in_reply_to: Option<Answers>,
    /// While cycles are looked for: the ask that waits for its answer, where that may come from elsewhere.
    trace: Option<EdgeId>,
}

/// The message that another one answers, by its number; eight bytes even if it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answers(NonZeroU64);

impl Answers {
    pub(crate) const fn to(nonce: u64) -> Self {
        // Nobody comes to send as many.
        match NonZeroU64::new(nonce.wrapping_add(1)) {
            Some(after) => Self(after),
            None => Self(NonZeroU64::MAX),
        }
    }

    const fn nonce(self) -> u64 {
        self.0.get() - 1
    }
}

/// What the envelope of a message that leaves for another server says of its sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving {
    /// The sending actor; 0 for code that is none.
    pub(crate) from: u64,
    pub(crate) nonce: u64,
    pub(crate) in_reply_to: Option<u64>,
}

impl Leaving {
    /// What code here sends now. Over there all code that is no actor is one, so its count would tell nobody anything.
    pub(crate) fn now(in_reply_to: Option<Answers>) -> Self {
        let (from, nonce) = current::sends();
        let nonce = if from == 0 { 0 } else { nonce };
        Self { from, nonce, in_reply_to: in_reply_to.map(Answers::nonce) }
    }

    /// The same of a message whose number its sender wants to know, whoever that is.
    pub(crate) fn numbered(in_reply_to: Option<Answers>) -> Self {
        let (from, nonce) = current::sends();
        Self { from, nonce, in_reply_to: in_reply_to.map(Answers::nonce) }
    }

    /// It was not sent after all.
    pub(crate) fn take_back(self) {
        current::unsend(self.from, self.nonce);
    }
}

impl<M> Envelope<M> {
    /// A message sent now by the code that runs, with no deadline and no wish for an answer.
    #[must_use]
    pub fn new(message: M) -> Self {
        Self { message, meta: Meta::sent_here(None, false) }
    }

    /// The same envelope around what `change` makes of the message.
    #[must_use]
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Envelope<N> {
        Envelope { message: change(self.message), meta: self.meta }
    }

    /// The message.
    pub const fn message(&self) -> &M {
        &self.message
    }

    /// The message, without its envelope.
    pub fn into_message(self) -> M {
        self.message
    }

    /// Who sent it.
    pub fn sender(&self) -> Sender {
        self.meta.sender()
    }

    /// The sender's number for it: each sender counts its messages, from 0.
    pub const fn nonce(&self) -> u64 {
        self.meta.nonce()
    }

    /// The nonce of the message that this one answers, if the sender said so.
    pub fn in_reply_to(&self) -> Option<u64> {
        self.meta.in_reply_to()
    }

    /// When it stops being worth anything.
    pub fn expires_at(&self) -> Option<Instant> {
        self.meta.expires_at()
    }

    /// Whether the sender waits for an answer.
    pub const fn wants_reply(&self) -> bool {
        self.meta.wants_reply()
    }
}

impl<M> fmt::Debug for Envelope<M> {
    /// Without the message: it need not be printable, and may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("sender", &self.sender())
            .field("nonce", &self.nonce())
            .field("in_reply_to", &self.in_reply_to())
            .field("expires_at", &self.expires_at())
            .field("wants_reply", &self.wants_reply())
            .finish_non_exhaustive()
    }
}

impl Meta {
    /// What code here sends now.
    pub(crate) fn sent_here(expires_at: Option<Instant>, wants_reply: bool) -> Self {
        let (from, nonce) = current::sends();
        Self { from, expires_at: nanos(expires_at), nonce: nonce << 1 | u64::from(wants_reply), far: None }
    }

    /// What came from another server. Its numbers are what the sender says they are.
    pub(crate) fn sent_afar(
        sender: Sender,
        expires_at: Option<Instant>,
        wants_reply: bool,
        nonce: u64,
        in_reply_to: Option<u64>,
    ) -> Self {
        let message = sender.message();
        let (from, peer) = match sender {
            Sender::Outside => (0, None),
            Sender::Actor(number) => (number, None),
            Sender::Remote(remote) => (remote.number, Some(remote.peer)),
        };
        let far = peer.map(|peer| Box::new(Far { peer: Some(peer), message, ..Far::default() }));
        let nonce = nonce << 1 | u64::from(wants_reply);
        Self { from, expires_at: nanos(expires_at), nonce, far }.answering(in_reply_to.map(Answers::to))
    }

    /// Nothing in hand.
    pub(crate) const fn none() -> Self {
        Self { from: 0, expires_at: u64::MAX, nonce: 0, far: None }
    }

    pub(crate) fn answering(mut self, answers: Option<Answers>) -> Self {
        if answers.is_some() {
            self.far.get_or_insert_default().in_reply_to = answers;
        }
        self
    }

    /// The same, of a message that wants no answer.
    pub(crate) fn without_reply(mut self) -> Self {
        self.nonce &= !1;
        self.far.iter_mut().for_each(|far| far.trace = None);
        self
    }

    /// The ask whose edge goes where the message goes.
    pub(crate) fn trace(&self) -> Option<EdgeId> {
        self.far.as_ref().and_then(|far| far.trace)
    }

    pub(crate) fn set_trace(&mut self, trace: Option<EdgeId>) {
        if trace.is_some() {
            self.far.get_or_insert_default().trace = trace;
        }
    }

    pub(crate) const fn nonce(&self) -> u64 {
        self.nonce >> 1
    }

    pub(crate) fn in_reply_to(&self) -> Option<u64> {
        self.far.as_ref().and_then(|far| far.in_reply_to).map(Answers::nonce)
    }

    pub(crate) const fn wants_reply(&self) -> bool {
        self.nonce & 1 == 1
    }

    /// What a timer of the actor of this number sends.
    pub(crate) const fn ticked(from: u64, seqno: u64) -> Self {
        Self { from, expires_at: u64::MAX, nonce: seqno << 1, far: None }
    }

    pub(crate) fn sender(&self) -> Sender {
        let far = self.far.as_ref().and_then(|far| Some((far.peer.as_ref()?, far.message)));
        let Some((peer, message)) = far else {
            return Sender::of_number(self.from);
        };
        let sender = Sender::remote(Arc::clone(peer), self.from);
        match message {
            Some((actor, mark)) => sender.of_message(actor, mark),
            None => sender,
        }
    }

    /// Nanoseconds; `u64::MAX` where there is no deadline.
    pub(crate) const fn expires_at_nanos(&self) -> u64 {
        self.expires_at
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        (self.expires_at != u64::MAX).then(|| Instant::from_nanos(self.expires_at))
    }

    pub(crate) fn set_expires_at(&mut self, at: Instant) {
        self.expires_at = nanos(Some(at));
    }
}

fn nanos(at: Option<Instant>) -> u64 {
    // The end of time is as good as no deadline.
    at.map_or(u64::MAX, Instant::as_nanos)
}
