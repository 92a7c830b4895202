//! Why a mailbox refused an item. Owns no state.
//!
//! Every error that took an item gives it back. The enums are exhaustive on purpose: whoever sends must decide
//! what becomes of the item in each case. `Debug` leaves the item out, because a message need not be printable
//! and may hold a secret.

use std::error::Error;
use std::fmt;

const FULL: &str = "the mailbox is full";
const CLOSED: &str = "the mailbox is closed";
const CROWDED: &str = "too many senders already wait for the mailbox";
const CONTROL_FULL: &str = "the control lane of the mailbox is full";

/// Why [`Mailbox::try_send`](crate::Mailbox::try_send) refused an item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// As many items are queued as the capacity allows.
    Full(T),
    /// The mailbox drains or is closed, and will never take data again.
    Closed(T),
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => FULL,
            Self::Closed(_) => CLOSED,
        })
    }
}

impl<T> Error for TrySendError<T> {}

/// Why [`Mailbox::try_send_with`](crate::Mailbox::try_send_with) did not make an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// As many items are queued as the capacity allows.
    Full,
    /// The mailbox drains or is closed, and will never take data again.
    Closed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => FULL,
            Self::Closed => CLOSED,
        })
    }
}

impl Error for Refused {}

/// Why [`Mailbox::enter`](crate::Mailbox::enter) neither queued an item nor put it in line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// The mailbox drains or is closed.
    Closed(T),
    /// [`WAITERS_MAX`](crate::WAITERS_MAX) senders already wait.
    Crowded(T),
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed(..)",
            Self::Crowded(_) => "Crowded(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => CLOSED,
            Self::Crowded(_) => CROWDED,
        })
    }
}

impl<T> Error for SendError<T> {}

/// Why [`Mailbox::control`](crate::Mailbox::control) refused an item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ControlError<C> {
    /// The mailbox is closed.
    Closed(C),
    /// [`CONTROL_MAX`](crate::CONTROL_MAX) control items are queued.
    Full(C),
}

impl<C> fmt::Debug for ControlError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed(..)",
            Self::Full(_) => "Full(..)",
        })
    }
}

impl<C> fmt::Display for ControlError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => CLOSED,
            Self::Full(_) => CONTROL_FULL,
        })
    }
}

impl<C> Error for ControlError<C> {}
