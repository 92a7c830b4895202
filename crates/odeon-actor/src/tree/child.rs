//! One child: its names, its state as lists show it, and what the supervisor keeps of it.

use std::fmt;

use odeon_core::Instant;

use super::options::ChildOptions;
use crate::ExitReason;

/// A child of one supervisor, through all its incarnations. Ids rise in the order of adding, which is the order of
/// starting, and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub(super) u64);

impl ChildId {
    /// Its number: 1 for the first child of a supervisor.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a child, from its start to its end. What is said of an earlier one is not held against a later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// The child.
    pub child: ChildId,
    /// 1 for its first life.
    pub number: u64,
}

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// It is to start when its turn comes.
    Pending,
    /// It is to start when this point has passed and its turn comes.
    Waiting {
        /// The end of the back-off.
        until: Instant,
    },
    /// Its start has been ordered.
    Starting,
    /// It has started.
    Running {
        /// When.
        since: Instant,
    },
    /// Its stop has been ordered.
    Stopping {
        /// When it is killed; `None` if it was, or is waited for.
        kill_at: Option<Instant>,
    },
    /// It ended by itself and is not wanted back, unless with its group or by hand.
    Finished,
}

impl ChildState {
    /// Whether an incarnation is there that nobody has asked to stop.
    pub(super) const fn is_up(self) -> bool {
        matches!(self, Self::Starting | Self::Running { .. })
    }

    /// Whether an incarnation is there.
    pub(super) const fn is_live(self) -> bool {
        self.is_up() || matches!(self, Self::Stopping { .. })
    }

    /// When time alone changes it.
    pub(super) const fn due(self) -> Option<Instant> {
        match self {
            Self::Waiting { until } => Some(until),
            Self::Stopping { kill_at } => kill_at,
            _ => None,
        }
    }
}

/// What to show of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// The child.
    pub id: ChildId,
    /// Where it is in its life.
    pub state: ChildState,
    /// How often it was started after the first time, for whatever reason.
    pub restarts: u64,
    /// How its last incarnation that ended did so.
    pub last_exit: Option<ExitReason>,
}

/// What follows the end that a child is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is started again, not before this point.
    Again(Instant),
    /// It is forgotten.
    Forget,
}

/// What the supervisor keeps of a child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) options: ChildOptions,
    pub(super) state: ChildState,
    /// Set while it is live: it is to be stopped, or is being stopped. Without, policy decides about its end.
    pub(super) next: Option<Next>,
    /// The number of its incarnation; 0 before the first.
    pub(super) number: u64,
    /// Whether it ever reported that it had started.
    pub(super) was_up: bool,
    /// Restarts by policy since it was last forgiven.
    pub(super) streak: u32,
    pub(super) last_exit: Option<ExitReason>,
}

impl Child {
    pub(super) const fn new(options: ChildOptions) -> Self {
        Self {
            options,
            state: ChildState::Pending,
            next: None,
            number: 0,
            was_up: false,
            streak: 0,
            last_exit: None,
        }
    }

    pub(super) fn status(&self, id: ChildId) -> ChildStatus {
        ChildStatus {
            id,
            state: self.state,
            restarts: self.number.saturating_sub(1),
            last_exit: self.last_exit.clone(),
        }
    }
}
