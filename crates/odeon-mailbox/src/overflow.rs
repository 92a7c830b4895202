//! How much a mailbox holds, and what becomes of the item for which there is no room.

use crate::mailbox::CAPACITY_DEFAULT;

/// What becomes of a data item for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Its sender may wait in line.
    #[default]
    Wait,
    /// It is refused.
    Reject,
    /// It takes the place of the oldest one queued. The consumer takes one item at a time, so that the oldest is
    /// always there to be dropped; what it has set aside by [`Mailbox::next_matching`](crate::Mailbox::next_matching)
    /// is its own, and if that is all there is, one more item is let in.
    DropOldest,
}

/// How much a mailbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Data items; 0 counts as 1.
    pub capacity: usize,
    /// What becomes of those past it.
    pub overflow: Overflow,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { capacity: CAPACITY_DEFAULT, overflow: Overflow::Wait }
    }
}

impl From<usize> for Bounds {
    fn from(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }
}
