//! The sending end of a mailbox: handles, and the future of a send that may have to wait.
//!
//! A waiting sender's item lives in the mailbox, not in its future: whoever makes room moves it into the data lane
//! at once, so no permit can be lost between a wake and a poll. The future holds only the ticket.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::{ControlError, Refused, SendError, TrySendError};
use crate::mailbox::{Shared, Standing, WAITERS_MAX};

/// A handle to send to a mailbox; cheap to clone.
///
/// Handles do not keep the mailbox open, and dropping the last of them does not close it.
pub struct Sender<T, C> {
    shared: Arc<Shared<T, C>>,
}

impl<T, C> Sender<T, C> {
    pub(crate) fn new(shared: Arc<Shared<T, C>>) -> Self {
        Self { shared }
    }

    /// Queues a data item if there is room now.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the item back when the lane is full or shut. While senders wait, the lane is full.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut state = self.shared.lock();
        match state.room() {
            Ok(()) => {}
            Err(Refused::Full) => return Err(TrySendError::Full(item)),
            Err(Refused::Closed) => return Err(TrySendError::Closed(item)),
        }
        let receiver = state.push_data(item);
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// Queues the data item that `make` returns, calling it only if there is room.
    ///
    /// `make` runs under the mailbox's lock: it must be short and must not touch this mailbox, which would
    /// deadlock. If it panics, nothing is queued and the mailbox goes on.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the lane is full or shut.
    pub fn try_send_with(&self, make: impl FnOnce() -> T) -> Result<(), Refused> {
        // On the way out the guard goes before `make`, whose captures may run code when they drop.
        let mut state = self.shared.lock();
        state.room()?;
        let receiver = state.push_data(make());
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// Queues a data item, waiting for room if need be.
    ///
    /// Senders are admitted strictly in the order in which their futures were first polled.
    ///
    /// # Errors
    ///
    /// The future resolves to [`SendError`], with the item, when the lane is shut before the item is admitted, or
    /// when [`WAITERS_MAX`] senders already wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the item is admitted takes the item out of the line and drops it. An item
    /// admitted but not yet reported stays sent.
    pub fn send(&self, item: T) -> Send<'_, T, C> {
        Send { sender: self, progress: Progress::New(item) }
    }

    /// Queues a control item; never waits. A mailbox that drains still takes control.
    ///
    /// # Errors
    ///
    /// [`ControlError`] gives the item back when the mailbox is closed, or when
    /// [`CONTROL_MAX`](crate::CONTROL_MAX) control items are queued.
    pub fn control(&self, item: C) -> Result<(), ControlError<C>> {
        let receiver = self.shared.lock().push_control(item)?;
        wake(receiver);
        Ok(())
    }

    /// Shuts the data lane from outside, as [`Receiver::drain`](crate::Receiver::drain) does from inside: what is
    /// queued will be received, those who wait get their items back, control goes on.
    pub fn close_intake(&self) {
        self.shared.drain();
    }

    /// Whether data is refused for good: the mailbox drains or is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_shut()
    }

    /// The number of data items queued; neither control nor waiting senders count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().data_len()
    }

    /// Whether no data item is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of data items the mailbox holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Whether both handles lead to the same mailbox.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T, C> Clone for Sender<T, C> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<T, C> fmt::Debug for Sender<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The future of [`Sender::send`].
///
/// # Panics
///
/// Polling it again after it has resolved panics.
#[must_use = "nothing is sent until the future is polled"]
pub struct Send<'a, T, C> {
    sender: &'a Sender<T, C>,
    progress: Progress<T>,
}

enum Progress<T> {
    New(T),
    /// In line, by ticket.
    Waiting(u64),
    Done,
}

// The item is only ever moved, never pinned.
impl<T, C> Unpin for Send<'_, T, C> {}

impl<T, C> Send<'_, T, C> {
    fn start(&mut self, item: T, cx: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let item = match self.sender.try_send(item) {
            Ok(()) => return Poll::Ready(Ok(())),
            Err(TrySendError::Closed(item)) => return Poll::Ready(Err(SendError::Closed(item))),
            Err(TrySendError::Full(item)) => item,
        };
        // A waker must not be cloned under the lock, so look a second time now that it is at hand. It is declared
        // before the guard in order to be dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.sender.shared.lock();
        match state.room() {
            Ok(()) => {
                let receiver = state.push_data(item);
                drop(state);
                wake(receiver);
                Poll::Ready(Ok(()))
            }
            Err(Refused::Closed) => Poll::Ready(Err(SendError::Closed(item))),
            Err(Refused::Full) if state.waiters_len() >= WAITERS_MAX => {
                Poll::Ready(Err(SendError::Crowded(item)))
            }
            Err(Refused::Full) => {
                self.progress = Progress::Waiting(state.wait(item, waker));
                Poll::Pending
            }
        }
    }

    fn resume(&mut self, ticket: u64, cx: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let mut waker = Some(cx.waker().clone());
        let standing = self.sender.shared.lock().stand(ticket, &mut waker);
        let result = match standing {
            Standing::Waiting => return Poll::Pending,
            Standing::Admitted => Ok(()),
            Standing::Closed(item) => Err(SendError::Closed(item)),
        };
        self.progress = Progress::Done;
        Poll::Ready(result)
    }
}

impl<T, C> Future for Send<'_, T, C> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Progress::Waiting(ticket) = this.progress {
            return this.resume(ticket, cx);
        }
        match std::mem::replace(&mut this.progress, Progress::Done) {
            Progress::New(item) => this.start(item, cx),
            Progress::Waiting(_) | Progress::Done => panic!("a send was polled after it had resolved"),
        }
    }
}

impl<T, C> Drop for Send<'_, T, C> {
    fn drop(&mut self) {
        if let Progress::Waiting(ticket) = self.progress {
            let left = self.sender.shared.lock().leave(ticket);
            drop(left);
        }
    }
}

impl<T, C> fmt::Debug for Send<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = match self.progress {
            Progress::New(_) => "new",
            Progress::Waiting(_) => "waiting",
            Progress::Done => "done",
        };
        f.debug_struct("Send").field("progress", &progress).finish_non_exhaustive()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
