//! Why an actor ended.

use std::fmt;

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an actor ended, as its monitors and askers are told. Field numbers are frozen: it travels on links.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExitReason {
    /// It ended by itself.
    #[n(0)]
    Normal,
    /// It was asked to stop; what was queued went to dead letters.
    #[n(1)]
    Stopped,
    /// It was asked to drain: everything queued was handled first.
    #[n(2)]
    Drained,
    /// It was killed; the running handler was dropped at its await point.
    #[n(3)]
    Killed,
    /// It gave up with an error.
    #[n(4)]
    Failed(#[n(0)] String),
    /// A handler panicked.
    #[n(5)]
    Panicked(#[n(0)] PanicReport),
    /// The link to its server was lost: whether it lives is unknown.
    #[n(6)]
    LinkLost(#[n(0)] String),
    /// There is no such actor.
    #[n(7)]
    NoActor,
    /// An actor that it was linked to ended abnormally.
    #[n(8)]
    Linked {
        /// The actor whose end it was, as its neighbour in the chain of links knew it.
        #[n(0)]
        actor: String,
        /// Why that one ended.
        #[n(1)]
        why: String,
    },
    /// There are too many monitors for one more: whether it lives is unknown.
    #[n(9)]
    NotMonitored(#[n(0)] String),
}

impl ExitReason {
    /// Whether it is known to be no orderly end, or not known to be one: links pass it on, and supervisors start a
    /// transient actor again.
    ///
    /// ```
    /// # use odeon_core::ExitReason;
    /// assert!(ExitReason::Killed.is_abnormal());
    /// assert!(!ExitReason::Drained.is_abnormal());
    /// ```
    #[must_use]
    pub const fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Normal | Self::Stopped | Self::Drained)
    }
}

/// What a panic said and where it happened.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
pub struct PanicReport {
    /// The panic's message.
    #[n(0)]
    pub message: String,
    /// `file:line:column`, or `unknown`.
    #[n(1)]
    pub location: String,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Stopped => f.write_str("stopped"),
            Self::Drained => f.write_str("drained"),
            Self::Killed => f.write_str("killed"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Panicked(panic) => write!(f, "panicked at {}: {}", panic.location, panic.message),
            Self::LinkLost(why) => write!(f, "link lost: {why}"),
            Self::NoActor => f.write_str("no such actor"),
            Self::NotMonitored(why) => write!(f, "not monitored: {why}"),
            Self::Linked { actor, why } => write!(f, "ended with {actor}, to which it was linked: {why}"),
        }
    }
}
