//! What can go wrong with a call.

use std::time::Duration;

use odeon_core::{ActorName, CodecError, ExitReason, Refusal};

use crate::label::ActorLabel;

/// Why an ask has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The deadline passed. Whether the request was run is unknown.
    #[error("no answer within {:?}", rounded(*.after))]
    Timeout {
        /// How long the asker waited.
        after: Duration,
    },
    /// The actor is dead, or died before it answered.
    #[error("the actor is dead: it {0}")]
    Dead(ExitReason),
    /// The actor lives and dropped the request without an answer.
    #[error("the actor dropped the request without an answer")]
    NoReply,
    /// The receiver, or the way to it, refused the request; it was not run.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The actor's mailbox is full and rejects what has no room; the request was not run.
    #[error("the mailbox is full: it holds {capacity} messages and rejects more")]
    Full {
        /// How many messages it holds.
        capacity: usize,
    },
    /// The actor's mailbox was full and dropped its oldest message, which was this request; it was not run.
    #[error("the mailbox was full, and newer messages took the place of the request")]
    Displaced,
    /// The target waits, by way of others perhaps, for an answer of the asker: the ask could only end at its deadline.
    /// It was not sent. See [`System::detect_cycles`](crate::System::detect_cycles).
    #[error("the ask would wait for itself: {}", joined(.path))]
    Cycle {
        /// Who asks whom: from the asker, by way of all that wait for each other, to the asker again.
        path: Vec<ActorLabel>,
    },
    /// There is no way to the server.
    #[error("server {server} cannot be reached: {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// What was tried and how it ended.
        why: String,
    },
}

impl From<CodecError> for AskError {
    fn from(error: CodecError) -> Self {
        Self::Refused(Refusal::new(odeon_core::RefusalCode::BadPayload, error.to_string()))
    }
}

impl From<TellError> for AskError {
    fn from(error: TellError) -> Self {
        match error {
            TellError::Dead(reason) => Self::Dead(reason),
            TellError::Refused(refusal) => Self::Refused(refusal),
            TellError::Full { capacity } => Self::Full { capacity },
            TellError::Unreachable { server, why } => Self::Unreachable { server, why },
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// The actor is dead.
    #[error("the actor is dead: it {0}")]
    Dead(ExitReason),
    /// The message was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The actor's mailbox is full and rejects what has no room.
    #[error("the mailbox is full: it holds {capacity} messages and rejects more")]
    Full {
        /// How many messages it holds.
        capacity: usize,
    },
    /// There is no way to the server.
    #[error("server {server} cannot be reached: {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// What was tried and how it ended.
        why: String,
    },
}

impl From<CodecError> for TellError {
    fn from(error: CodecError) -> Self {
        Self::Refused(Refusal::new(odeon_core::RefusalCode::BadPayload, error.to_string()))
    }
}

/// Why a message could not be taken at once. The request comes back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryTellError<Q> {
    /// There is no room for it now: in the mailbox or, for an actor of another server, within the link's credit.
    #[error("there is no room for the message now")]
    Full(Q),
    /// The actor is dead.
    #[error("the actor is dead: it {1}")]
    Dead(Q, ExitReason),
    /// There is no link to the actor's server yet. One is being made, so that later it may do; `tell` waits for it.
    #[error(
        "there is no link to the actor's server yet: try again later, or use `tell`, which waits for one"
    )]
    NoLink(Q),
    /// The message cannot be sent, as `tell` would say: it is refused here, or the server cannot be reached.
    #[error("{1}")]
    Failed(Q, TellError),
}

/// Why a route did not take a message at once. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untaken {
    /// There is no room for it now, within the link's credit or in what waits to be sent.
    Full,
    /// There is no link yet.
    NoLink,
    /// As a tell would say.
    Failed(TellError),
}

impl Untaken {
    /// The same with the request.
    pub(crate) fn with<Q>(self, request: Q) -> TryTellError<Q> {
        match self {
            Self::Full | Self::Failed(TellError::Full { .. }) => TryTellError::Full(request),
            Self::NoLink => TryTellError::NoLink(request),
            Self::Failed(TellError::Dead(reason)) => TryTellError::Dead(request, reason),
            Self::Failed(error) => TryTellError::Failed(request, error),
        }
    }
}

/// The name belongs to another actor already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an actor named `{0}` is registered already")]
pub struct NameTaken(pub ActorName);

fn joined(path: &[ActorLabel]) -> String {
    let labels: Vec<_> = path.iter().map(ToString::to_string).collect();
    labels.join(", which asks ")
}

/// Why an actor was not given a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name belongs to another actor already.
    #[error(transparent)]
    Taken(#[from] NameTaken),
    /// The actor is of another system or server, or the handle is one of a proxy.
    #[error("`{0}` can name only an actor of the system that is asked to register it")]
    Elsewhere(ActorName),
}

/// To the millisecond, as people say it; what is less stays as it is.
fn rounded(duration: Duration) -> Duration {
    match u64::try_from(duration.as_millis()) {
        Ok(millis @ 1..) => Duration::from_millis(millis),
        _ => duration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_says_how_long() {
        let text = |nanos| AskError::Timeout { after: Duration::from_nanos(nanos) }.to_string();
        assert_eq!(text(5_000_900_000), "no answer within 5s");
        assert_eq!(text(250_000_000), "no answer within 250ms");
        assert_eq!(text(500_000), "no answer within 500µs", "and not within nothing");
    }
}
