//! What a supervisor refuses.

use super::child::ChildId;
use super::machine::CHILDREN_MAX;

/// Why a child was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// There are as many as there may be.
    #[error("a supervisor has at most {CHILDREN_MAX} children")]
    TooManyChildren,
    /// The supervisor is ending, or has ended.
    #[error("the supervisor is ending")]
    Ending,
}

/// There is no such child: it was never added, it is forgotten, or it is being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor has no child {0}")]
pub struct NoChild(pub ChildId);

/// Why a child was not restarted by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// There is no such child.
    #[error(transparent)]
    NoChild(#[from] NoChild),
    /// The supervisor is ending: it starts nothing more.
    #[error("the supervisor is ending")]
    Ending,
}
