//! What can go wrong with children.

use odeon_core::{ActorId, ExitReason};

use crate::error::{AskError, NameTaken};
use crate::tree::{AddError, CHILDREN_MAX};

/// Why a child cannot be listed for a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddChildError {
    /// Its name belongs to another actor.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// There are as many as there may be.
    #[error("a supervisor has at most {CHILDREN_MAX} children")]
    TooManyChildren,
}

/// Why a running supervisor has not started a child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartChildError {
    /// Its name belongs to another actor.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// The supervisor takes no more.
    #[error(transparent)]
    Refused(#[from] AddError),
    /// It ended before it had started, and is forgotten.
    #[error("the child did not start: it {0}")]
    NotStarted(ExitReason),
    /// The supervisor is on another server, and what makes an actor does not travel.
    #[error("the supervisor is on another server: start the child there")]
    Remote,
    /// The supervisor did not answer. After a timeout the child may still be started.
    #[error("the supervisor did not answer")]
    Ask(#[from] AskError),
}

/// Why nothing was done with a child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The supervisor has no such child, or is removing it.
    #[error("the supervisor has no child `{0}`")]
    NoChild(ActorId),
    /// The supervisor is ending: it starts nothing more.
    #[error("the supervisor is ending")]
    Ending,
}
