//! Reply cells: room for one answer, or for the reason why there is none.
//!
//! The two ends share one slot. The port fills it once, the future empties it once; whichever end goes first tells
//! the other at once, so an asker never has to find out by timeout that nobody will answer.
//!
//! # Invariants
//!
//! - The slot leaves `Waiting` once: to `Filled` by the port, or to `Gone` by the future.
//! - Values and wakers are moved out of the lock before they are dropped or woken.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard};

/// Makes a reply cell: the port answers, the future waits for the answer.
///
/// ```
/// use odeon_mailbox::reply_cell;
///
/// let (port, future) = reply_cell::<u32, &str>();
/// assert!(port.is_wanted());
/// drop(future);
/// assert_eq!(port.send(42), Err(42));
/// ```
pub fn reply_cell<R, E>() -> (ReplyPort<R, E>, ReplyFuture<R, E>) {
    let cell = Arc::new(Cell { slot: Mutex::new(Slot::Waiting(None)) });
    (ReplyPort { cell: Some(Arc::clone(&cell)) }, ReplyFuture { cell })
}

/// Why there will be no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost<E> {
    /// The port was dropped without an answer.
    Dropped,
    /// The port was abandoned, with a reason.
    Abandoned(E),
}

impl<E> fmt::Display for Lost<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropped => "the request was dropped without a reply",
            Self::Abandoned(_) => "the request was abandoned without a reply",
        })
    }
}

impl<E: Error + 'static> Error for Lost<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dropped => None,
            Self::Abandoned(why) => Some(why),
        }
    }
}

/// The end of a reply cell that answers, once. Dropping it tells the waiter [`Lost::Dropped`].
#[must_use = "dropping the port tells the waiter that there will be no reply"]
pub struct ReplyPort<R, E> {
    /// `None` only once the answer is given, while the port is on its way out.
    cell: Option<Arc<Cell<R, E>>>,
}

impl<R, E> ReplyPort<R, E> {
    /// Answers. `Ok` means that the waiter was there to take it, not that it has looked.
    ///
    /// # Errors
    ///
    /// Gives the value back when nobody waits.
    pub fn send(mut self, value: R) -> Result<(), R> {
        match self.fill(Ok(value)) {
            Some(Ok(value)) => Err(value),
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Whether somebody still waits for the answer.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| matches!(*cell.lock(), Slot::Waiting(_)))
    }

    /// Tells the waiter why there will be no answer.
    pub fn abandon(mut self, why: E) {
        drop(self.fill(Err(Lost::Abandoned(why))));
    }

    /// Fills the slot and wakes the waiter; returns the outcome if nobody waits.
    fn fill(&mut self, outcome: Result<R, Lost<E>>) -> Option<Result<R, Lost<E>>> {
        let cell = self.cell.take()?;
        let mut slot = cell.lock();
        let Slot::Waiting(waker) = &mut *slot else {
            return Some(outcome);
        };
        let waker = waker.take();
        *slot = Slot::Filled(outcome);
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }
}

impl<R, E> Drop for ReplyPort<R, E> {
    fn drop(&mut self) {
        drop(self.fill(Err(Lost::Dropped)));
    }
}

impl<R, E> fmt::Debug for ReplyPort<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPort").field("is_wanted", &self.is_wanted()).finish()
    }
}

/// The end of a reply cell that waits.
///
/// It resolves to the answer, or to [`Lost`] as soon as it is certain that there will be none.
///
/// # Panics
///
/// Polling it again after it has resolved panics.
///
/// # Cancel safety
///
/// It may be polled, left and polled again by another task. Dropping it tells the port that nobody waits; an answer
/// already given is dropped with it.
#[must_use = "futures do nothing unless polled"]
pub struct ReplyFuture<R, E> {
    cell: Arc<Cell<R, E>>,
}

impl<R, E> ReplyFuture<R, E> {
    /// Tells, for as long as it is kept, whether there is no outcome yet and somebody waits for it.
    ///
    /// ```
    /// # use odeon_mailbox::reply_cell;
    /// let (port, future) = reply_cell::<u32, ()>();
    /// let is_open = future.watch();
    /// assert!(is_open());
    /// port.send(42).expect("it waits");
    /// assert!(!is_open());
    /// ```
    pub fn watch(&self) -> impl Fn() -> bool + use<R, E> {
        let cell = Arc::clone(&self.cell);
        move || matches!(*cell.lock(), Slot::Waiting(_))
    }
}

impl<R, E> Future for ReplyFuture<R, E> {
    type Output = Result<R, Lost<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock is taken, and dropped after it is free.
        let mut waker = Some(cx.waker().clone());
        let mut slot = self.cell.lock();
        if let Slot::Waiting(kept) = &mut *slot {
            std::mem::swap(kept, &mut waker);
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Gone) {
            Slot::Filled(outcome) => Poll::Ready(outcome),
            Slot::Waiting(_) | Slot::Gone => {
                drop(slot);
                panic!("a reply was polled after it had resolved")
            }
        }
    }
}

impl<R, E> Drop for ReplyFuture<R, E> {
    fn drop(&mut self) {
        let last = std::mem::replace(&mut *self.cell.lock(), Slot::Gone);
        drop(last);
    }
}

impl<R, E> fmt::Debug for ReplyFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyFuture").finish_non_exhaustive()
    }
}

struct Cell<R, E> {
    slot: Mutex<Slot<R, E>>,
}

impl<R, E> Cell<R, E> {
    /// Locks the slot. Nothing panics under the lock, so a poisoned one is as good as new.
    fn lock(&self) -> MutexGuard<'_, Slot<R, E>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Slot<R, E> {
    Waiting(Option<Waker>),
    Filled(Result<R, Lost<E>>),
    /// The future took the outcome or was dropped.
    Gone,
}
