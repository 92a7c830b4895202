//! Messages that reached nobody, as the hook of a system sees them.

use std::fmt;

use odeon_core::{ExitReason, Mark, Reference};

use crate::life::Life;
use crate::sender::Sender;

/// A message that reached nobody.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The actor it was for; 0 if it was meant by name, on another server.
    pub actor: u64,
    /// That actor's Rust type.
    pub kind: &'static str,
    /// Who sent it.
    pub sender: Sender,
    /// Why it reached nobody.
    pub reason: DeadReason,
}

/// Why a message reached nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadReason {
    /// The actor had ended, or it ended before the message's turn came.
    Ended(ExitReason),
    /// It was the oldest in a full mailbox that drops the oldest, and a newer one took its place.
    Displaced,
    /// It was sent to another server, and the link was lost before that server had said that its actor took it: it
    /// may have been handled.
    MaybeLost {
        /// The actor it was for.
        to: Box<Reference>,
        /// What kind of message it was.
        mark: Mark,
    },
}

impl From<ExitReason> for DeadReason {
    fn from(reason: ExitReason) -> Self {
        Self::Ended(reason)
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(reason) => write!(f, "the actor {reason}"),
            Self::Displaced => f.write_str("a newer message took its place"),
            Self::MaybeLost { to, mark } => {
                write!(f, "the link was lost before {to} was known to have taken {mark}")
            }
        }
    }
}

impl DeadLetter {
    pub(crate) fn new(life: &Life, sender: Sender, reason: impl Into<DeadReason>) -> Self {
        Self { actor: life.number, kind: life.kind(), sender, reason: reason.into() }
    }
}
