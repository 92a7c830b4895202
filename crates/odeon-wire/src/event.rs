//! What a session tells its driver, and what it is given to send.

use std::sync::Arc;

use odeon_core::{ActorId, Encoding, Epoch, ExitReason, Instant, Mark, Refusal, ServerId};

use crate::frame::RefuseCode;
use crate::limits::BYE_IDLE;

/// Which end of a link a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connected.
    Dialler,
    /// The one that was connected to.
    Listener,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Dialler => Self::Listener,
            Self::Listener => Self::Dialler,
        }
    }
}

/// The two hello frames as they were sent, without their length prefixes: what a proof is made over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// The dialler's.
    pub dialler_hello: Vec<u8>,
    /// The listener's.
    pub listener_hello: Vec<u8>,
}

/// A message to send, as a tell or as an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// The receiving actor, at the receiving server.
    pub to: &'a ActorId,
    /// The number of the sending actor at its server; 0 is the server itself.
    pub from: u64,
    /// What the payload is: a mark.
    pub mark: &'a str,
    /// The fingerprint of the type, if it has one; it travels with the type's definition.
    pub fingerprint: Option<u64>,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// When the message is no longer worth running. It travels as the time left, in milliseconds, rounded up; the
    /// time on the way is not counted.
    pub expires_at: Option<Instant>,
    /// The sending actor's number for the message. 0 takes no byte on the way.
    pub nonce: u64,
    /// The number of the receiving actor's message that this one answers, if it does.
    pub in_reply_to: Option<u64>,
    /// The encoded message.
    pub payload: &'a [u8],
}

/// A message that came. The driver delivers those of one flow in order, and says of each that it has been taken, by
/// [`Session::taken`](crate::Session::taken).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its flow, of which [`Event::Opened`] said whom it reaches.
    pub flow: u32,
    /// Its number in the flow, from 1.
    pub seq: u64,
    /// Names the ask in the answer, if it is one: it is to be answered, exactly once, by
    /// [`Session::reply`](crate::Session::reply) or one of its siblings.
    pub ask_id: Option<u64>,
    /// The number of the sending actor at its server; 0 is the server itself.
    pub from: u64,
    /// What the payload is: [`Event::Defined`] said its mark.
    pub type_id: u32,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// When the message is no longer worth running, on this side's clock.
    pub expires_at: Option<Instant>,
    /// The sending actor's number for it; 0 if the peer said none.
    pub nonce: u64,
    /// The number of the message that it answers, if the sender said so.
    pub in_reply_to: Option<u64>,
    /// The encoded message.
    pub payload: Vec<u8>,
}

impl Arrival {
    /// What it costs in credit: to be given back by [`Session::taken`](crate::Session::taken).
    #[must_use]
    pub fn cost(&self) -> u64 {
        crate::flows_out::cost(self.payload.len())
    }
}

/// Why an ask has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskFailure {
    /// The receiver did not take it.
    #[error("{0}")]
    Refused(Refusal),
    /// The actor is dead, or died before it answered.
    #[error("the actor {0}")]
    Dead(ExitReason),
    /// The actor let go of the ask without an answer.
    #[error("the actor gave no reply")]
    NoReply,
    /// The link ended first: whether the message was run is unknown.
    #[error("the link was lost: {0}")]
    LinkLost(Arc<str>),
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer refused the link.
    #[error("the peer refused the link ({code}): {detail}")]
    Refused {
        /// What kind of refusal.
        code: RefuseCode,
        /// The peer's sentence for people.
        detail: String,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// This side refused the link.
    #[error("the peer was refused ({code}): {detail}")]
    Rejected {
        /// What kind of refusal.
        code: RefuseCode,
        /// The sentence that the peer was told.
        detail: String,
    },
    /// The handshake took too long.
    #[error("the handshake was not finished in time")]
    HandshakeTimeout,
    /// The peer has been silent for too long.
    #[error("the peer is silent")]
    Dead,
    /// Nothing was open and nothing was said for long, and both sides agreed.
    #[error("{BYE_IDLE}")]
    Idle,
    /// The peer said good-bye.
    #[error("the peer closed the link: {0}")]
    Bye(String),
    /// This side closed it.
    #[error("this side closed the link: {0}")]
    Local(String),
    /// The transport failed or ended.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The peer's proof is wrong.
    #[error("the peer does not hold this ensemble's cookie")]
    AuthenticationFailed,
}

/// Why something was not sent. The link lives on, unless it is [`SendError::Closed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer has not been accepted yet.
    #[error("the link is not established yet")]
    NotEstablished,
    /// The link is over.
    #[error("the link is closed")]
    Closed,
    /// The message does not fit in a frame that the peer takes.
    #[error("the message takes {bytes} bytes, and the link carries at most {max} at once")]
    TooLarge {
        /// Size of the frame that it would take.
        bytes: usize,
        /// Largest frame.
        max: usize,
    },
    /// Too much is queued: try again when something has been transmitted.
    #[error("{queued} bytes wait to be sent on the link already")]
    Backlogged {
        /// Bytes that are queued.
        queued: usize,
    },
    /// The receiving actor, or the peer as a whole, has not taken enough of what was sent before: try again when
    /// [`Session::take_room`](crate::Session::take_room) says so.
    #[error("{} has not taken what was sent before", if *.is_flow { "the actor" } else { "the peer" })]
    NoCredit {
        /// Whether it is this flow alone that stands still.
        is_flow: bool,
    },
    /// All flows are taken, or the link is about to close: try again when
    /// [`Session::take_room`](crate::Session::take_room) says so.
    #[error("the link waits for a word from the peer")]
    Waiting,
    /// The name of the message type is none.
    #[error("the message type has no valid mark")]
    BadMark,
    /// Too many asks are unanswered.
    #[error("{max} asks are open on the link already")]
    TooManyAsks {
        /// The limit.
        max: usize,
    },
    /// Too many monitors are set.
    #[error("{max} monitors are set over the link already")]
    TooManyMonitors {
        /// The limit.
        max: usize,
    },
    /// Too many message types have been sent.
    #[error("the link has carried {max} message types already")]
    TooManyTypes {
        /// The limit.
        max: usize,
    },
}

impl SendError {
    /// Whether the same may be sent a little later over the same link.
    #[must_use]
    pub const fn is_for_now(&self) -> bool {
        matches!(self, Self::Backlogged { .. } | Self::NoCredit { .. } | Self::Waiting)
    }
}

/// What happened on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer says who it is. **Not proven yet**: good for refusing early, for nothing else.
    PeerHello {
        /// The server it claims to be.
        server: ServerId,
        /// The incarnation it claims to be.
        epoch: Epoch,
    },
    /// Make this side's proof and give it to [`Session::provide_proof`](crate::Session::provide_proof).
    NeedProof {
        /// The side that proves: this one.
        side: Side,
        /// What the proof is over.
        transcript: Transcript,
    },
    /// Check the peer's proof and tell [`Session::verified`](crate::Session::verified). If it is right and the
    /// peer is unwelcome for another reason, such as a stale epoch, call
    /// [`Session::refuse`](crate::Session::refuse) instead: here the peer's claims are proven.
    Verify {
        /// The side whose proof it is: the other one.
        side: Side,
        /// What the proof is over.
        transcript: Transcript,
        /// The proof.
        mac: [u8; 32],
    },
    /// Both sides have proven themselves: the link carries messages.
    Accepted {
        /// The peer.
        peer: ServerId,
        /// The peer's incarnation.
        epoch: Epoch,
        /// The protocol version of this link.
        version: u16,
        /// The features that both sides have.
        features: Vec<String>,
    },
    /// The peer will send messages of a type.
    Defined {
        /// Its number from now on; the first is 0, and there is no gap.
        type_id: u32,
        /// Its mark.
        mark: Mark,
        /// Its fingerprint, if the peer gave one. If it is also ours, [`Session::agree`](crate::Session::agree).
        fingerprint: Option<u64>,
    },
    /// The peer will send messages to an actor of ours.
    Opened {
        /// The flow's number from now on, until [`Event::FlowEnded`].
        flow: u32,
        /// The actor.
        to: ActorId,
    },
    /// The peer sends no more on a flow; what came is still to be taken. Its number may be used again after that.
    FlowEnded {
        /// The flow.
        flow: u32,
    },
    /// A message.
    Message(Arrival),
    /// The place of a message that the session has refused itself: at its turn, it counts as taken.
    Skipped {
        /// Its flow.
        flow: u32,
        /// As of [`Arrival::cost`].
        cost: u64,
    },
    /// The answer to an ask of ours. Each ask has one, unless it was cancelled.
    Reply {
        /// What [`Session::ask`](crate::Session::ask) returned.
        ask_id: u64,
        /// The encoded reply, or why there is none.
        outcome: Result<(Encoding, Vec<u8>), AskFailure>,
    },
    /// The asker gave up; the answer will not be sent.
    Cancelled {
        /// The ask, as in [`Arrival::ask_id`].
        ask_id: u64,
    },
    /// The peer wants to be told, by [`Session::down`](crate::Session::down), when an actor of ours ends.
    Monitor {
        /// Names the monitor.
        monitor_id: u64,
        /// The actor.
        actor: ActorId,
    },
    /// The peer no longer wants to be told.
    Demonitor {
        /// The monitor, as in [`Event::Monitor`].
        monitor_id: u64,
    },
    /// An actor that we monitored has ended.
    Down {
        /// What [`Session::monitor`](crate::Session::monitor) returned.
        monitor_id: u64,
        /// Why it ended.
        reason: ExitReason,
        /// The actor's number, if the peer said it: what came from it before is to be heard first.
        number: Option<u64>,
    },
    /// The link is lost, and with it a monitor of ours: whether the actor lives is unknown.
    MonitorLost {
        /// What [`Session::monitor`](crate::Session::monitor) returned.
        monitor_id: u64,
        /// How the link ended; shared by all.
        why: Arc<str>,
    },
    /// Tells of ours are not known to have been taken, and the link is lost. For dead letters.
    MaybeLost {
        /// The actor they were for.
        to: ActorId,
        /// The number of the actor that sent them.
        from: u64,
        /// What they were.
        mark: Mark,
        /// How many there were in a row.
        count: u64,
    },
    /// A tell of ours was refused; for dead letters and the log.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The link is over; the last event. Before it, every ask and every monitor of ours has been told, so only
    /// the peer's asks and monitors are left for the driver to drop.
    Closed(CloseReason),
}
