//! How much a mailbox holds, and what becomes of the item for which there is no room.

use crate::error::Refused;
use crate::lanes::{Intake, Lanes};
use crate::mailbox::{CAPACITY_DEFAULT, Mailbox};

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

impl<T, C> Mailbox<T, C> {
    /// Queues the data item that `make` returns, if need be in the place of the oldest one queued, which comes back:
    /// for mailboxes that [drop the oldest](Overflow::DropOldest). After `Ok` the consumer has to be told.
    ///
    /// `make` runs under the mailbox's lock, as that of [`try_send_with`](Self::try_send_with) does.
    ///
    /// ```
    /// # use odeon_mailbox::{Batch, Bounds, Mailbox, Overflow, Received};
    /// let mailbox = Mailbox::<u8, ()>::bounded(Bounds { capacity: 2, overflow: Overflow::DropOldest });
    /// assert_eq!(mailbox.displace_with(|| 1), Ok(None));
    /// assert_eq!(mailbox.displace_with(|| 2), Ok(None));
    /// assert_eq!(mailbox.displace_with(|| 3), Ok(Some(1)));
    /// let mut batch = Batch::new();
    /// assert_eq!(mailbox.next(&mut batch), Some(Received::Data(2)));
    /// assert_eq!(mailbox.displace_with(|| 4), Ok(None), "the consumer took one, not all");
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`]; it is never full.
    pub fn displace_with(&self, make: impl FnOnce() -> T) -> Result<Option<T>, Refused> {
        let mut lanes = self.lock();
        if lanes.intake != Intake::Open {
            return Err(Refused::Closed);
        }
        let item = make();
        let oldest = if self.is_full(&lanes) { lanes.data.pop_front() } else { None };
        lanes.data.push_back(item);
        Ok(oldest)
    }

    /// The number of data items the mailbox holds at most.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// What becomes of a data item for which there is no room.
    #[must_use]
    pub const fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Whether the consumer takes one item at a time, and there is one.
    #[inline]
    pub(crate) fn takes_singly(&self, lanes: &Lanes<T, C>) -> bool {
        self.overflow == Overflow::DropOldest && !lanes.data.is_empty()
    }
}
