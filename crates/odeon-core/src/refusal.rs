//! Refusals: why a receiver, or the way to it, did not take a message.

use std::fmt;

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The stable code of a refusal. Numbers and texts are frozen: they travel on links and stand in scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// No actor of that name or number.
    #[n(0)]
    UnknownActor,
    /// The actor's protocol has no such message.
    #[n(1)]
    UnknownMark,
    /// The payload does not fit the message's schema.
    #[n(2)]
    BadPayload,
    /// The sender lacks a capability.
    #[n(3)]
    NotAuthorised,
    /// The actor's mailbox is full.
    #[n(4)]
    Full,
    /// The message expired before it was run.
    #[n(5)]
    Expired,
    /// The receiver failed in a way that is not the sender's fault.
    #[n(6)]
    Internal,
    /// The request itself makes no sense where it was sent.
    #[n(7)]
    BadRequest,
    /// Something with that name exists already.
    #[n(8)]
    NameTaken,
    /// The named thing does not exist.
    #[n(9)]
    NotFound,
    /// A limit of the receiver would be passed.
    #[n(10)]
    LimitReached,
    /// The number is one of another incarnation of the server: the actor it meant is gone.
    #[n(11)]
    StaleNumber,
}

impl RefusalCode {
    /// The code as it is printed and matched by scripts, such as `unknown-actor`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownActor => "unknown-actor",
            Self::UnknownMark => "unknown-mark",
            Self::BadPayload => "bad-payload",
            Self::NotAuthorised => "not-authorised",
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Internal => "internal",
            Self::BadRequest => "bad-request",
            Self::NameTaken => "name-taken",
            Self::NotFound => "not-found",
            Self::LimitReached => "limit-reached",
            Self::StaleNumber => "stale-number",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A refusal: its code, and a sentence that says what, where, and what was expected.
#[derive(
    Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema, thiserror::Error,
)]
#[error("{detail}")]
pub struct Refusal {
    /// What kind of refusal.
    #[n(0)]
    pub code: RefusalCode,
    /// The sentence for people.
    #[n(1)]
    pub detail: String,
}

impl Refusal {
    /// A refusal with this code and sentence.
    #[must_use]
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
