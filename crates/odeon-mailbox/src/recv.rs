//! The receiving end of a mailbox.
//!
//! There is one [`Receiver`], and it alone takes items out. It parks at most one waker, that of the last poll which
//! found nothing, together with the lanes that poll asked for.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::mailbox::{Interest, Shared, State, Taken};

/// What a mailbox yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<T, C> {
    /// The next item of the control lane.
    Control(C),
    /// The next item of the data lane.
    Data(T),
    /// The data lane is shut and empty. Control may still arrive, and asking again gives the same answer.
    Drained,
}

/// What [`Receiver::close`] found queued, each lane in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover<T, C> {
    /// Control items nobody received.
    pub control: VecDeque<C>,
    /// Data items nobody received. Items of waiting senders are not among them: they go back to their senders.
    pub data: VecDeque<T>,
}

/// The end of a mailbox that receives. Dropping it closes the mailbox and drops what is queued.
pub struct Receiver<T, C> {
    shared: Arc<Shared<T, C>>,
}

impl<T, C> Receiver<T, C> {
    pub(crate) fn new(shared: Arc<Shared<T, C>>) -> Self {
        Self { shared }
    }

    /// Polls for the next item of either lane.
    ///
    /// Control comes first, but after [`CONTROL_BURST_MAX`](crate::CONTROL_BURST_MAX) control items in a row the
    /// data lane has one turn: an item, or `Drained` when it is shut and empty. So `Drained` can come while
    /// control is still queued; [`close`](Self::close) returns that.
    ///
    /// When nothing is there the waker is kept, in place of that of any earlier poll of this receiver, and woken
    /// once.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Received<T, C>> {
        self.poll_take(cx, Interest::Both, State::take)
    }

    /// Receives the next item of either lane, in the order of [`poll_recv`](Self::poll_recv).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Received<T, C> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next control item; data stays queued and does not wake.
    ///
    /// The waker is kept as by [`poll_recv`](Self::poll_recv). After [`close`](Self::close) this is never ready.
    pub fn poll_recv_control(&mut self, cx: &mut Context<'_>) -> Poll<C> {
        self.poll_take(cx, Interest::Control, State::take_control)
    }

    /// Receives the next control item; data stays queued. After [`close`](Self::close) it waits for ever.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn recv_control(&mut self) -> C {
        poll_fn(|cx| self.poll_recv_control(cx)).await
    }

    /// Takes the next item of either lane if there is one now, in the order of [`poll_recv`](Self::poll_recv).
    pub fn try_recv(&mut self) -> Option<Received<T, C>> {
        self.take(State::take)
    }

    /// Shuts the data lane: what is queued will be received, then `Drained`. Waiting senders get their items back
    /// as `Closed`. Control goes on.
    pub fn drain(&mut self) {
        self.shared.drain();
    }

    /// Closes both lanes and returns what is queued. Waiting senders get their items back as `Closed`.
    pub fn close(&mut self) -> Leftover<T, C> {
        self.shared.close()
    }

    fn poll_take<R>(
        &mut self,
        cx: &mut Context<'_>,
        interest: Interest,
        take: fn(&mut State<T, C>) -> Option<Taken<R>>,
    ) -> Poll<R> {
        if let Some(value) = self.take(take) {
            return Poll::Ready(value);
        }
        // A waker must not be cloned under the lock, so look a second time now that it is at hand. It is declared
        // before the guard in order to be dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        if let Some(taken) = take(&mut state) {
            drop(state);
            return Poll::Ready(taken.finish());
        }
        let replaced = state.park(waker, interest);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn take<R>(&mut self, take: fn(&mut State<T, C>) -> Option<Taken<R>>) -> Option<R> {
        let taken = take(&mut self.shared.lock());
        taken.map(Taken::finish)
    }
}

impl<T, C> Drop for Receiver<T, C> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<T, C> fmt::Debug for Receiver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}
