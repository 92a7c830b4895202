//! The state both ends of a mailbox share, and the rules by which it changes.
//!
//! [`Shared`] owns the state behind one lock; `send.rs` and `recv.rs` are its two faces. The methods of [`State`]
//! run under the lock and therefore only move things: wakers to wake and items to drop are returned to the caller,
//! who deals with them once the lock is free.
//!
//! # Invariants
//!
//! - While the intake is open, a sender waits only if the data lane is full. Once the intake is shut, those who
//!   still wait are never admitted; they fetch their items back.
//! - Tickets rise, so the order of the map is the order of arrival.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::error::{ControlError, Refused};
use crate::recv::{Leftover, Received, Receiver};
use crate::send::Sender;

/// Data items a mailbox holds unless its owner says otherwise: deep enough for a burst, and shallow enough that
/// a slow actor is felt by its senders within milliseconds rather than by the machine's memory.
pub const CAPACITY_DEFAULT: usize = 1_024;

/// Control items received in a row before one data item has its turn: control stays prompt (31 in 32 turns at the
/// worst), and a storm of timers or replies cannot starve data.
pub const CONTROL_BURST_MAX: usize = 32;

/// Control items queued at once. Control is bounded where it is registered (timers, monitors, open asks); this is
/// the last resort that keeps a mistake there from eating the memory.
pub const CONTROL_MAX: usize = 65_536;

/// Senders waiting for room at once. Each holds an item and a task, so they need a bound too; the one past it is
/// refused as `Crowded` rather than left to wait in an endless line.
pub const WAITERS_MAX: usize = 65_536;

/// Makes a mailbox for `capacity` data items (0 counts as 1) and returns its two ends.
///
/// Memory grows with what is queued, not with the capacity, so `usize::MAX` is how to ask for no bound.
///
/// ```
/// let (sender, _receiver) = odeon_mailbox::mailbox::<u8, ()>(0);
/// assert_eq!(sender.capacity(), 1);
/// ```
pub fn mailbox<T, C>(capacity: usize) -> (Sender<T, C>, Receiver<T, C>) {
    let capacity = capacity.max(1);
    let shared = Arc::new(Shared { capacity, state: Mutex::new(State::new(capacity)) });
    (Sender::new(Arc::clone(&shared)), Receiver::new(shared))
}

/// What the handles of one mailbox point to.
pub(crate) struct Shared<T, C> {
    pub(crate) capacity: usize,
    state: Mutex<State<T, C>>,
}

impl<T, C> Shared<T, C> {
    /// Locks the state. A poisoned lock is as good as new: only the `make` of `try_send_with` can panic under it,
    /// and that runs before anything changes.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<T, C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts the intake and wakes all whom that concerns.
    pub(crate) fn drain(&self) {
        let woken = self.lock().shut(Intake::Draining);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Closes both lanes, wakes all whom that concerns and returns what was queued.
    pub(crate) fn close(&self) -> Leftover<T, C> {
        let mut state = self.lock();
        let woken = state.shut(Intake::Closed);
        let left =
            Leftover { control: std::mem::take(&mut state.control), data: std::mem::take(&mut state.data) };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        left
    }
}

/// What the mailbox still accepts; it only ever moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Intake {
    /// Data and control.
    Open,
    /// Control only.
    Draining,
    /// Nothing.
    Closed,
}

/// Which lanes a parked receiver waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Both,
    Control,
}

struct Parked {
    waker: Waker,
    interest: Interest,
}

struct Waiter<T> {
    item: T,
    /// `None` once woken, so that a drain followed by a close wakes once.
    waker: Option<Waker>,
}

/// Where a waiting sender stands.
pub(crate) enum Standing<T> {
    Waiting,
    /// The item is in the data lane, or was.
    Admitted,
    /// The intake was shut first; the item comes back.
    Closed(T),
}

/// What left a lane, and the waker of the sender admitted in its place.
pub(crate) struct Taken<R> {
    value: R,
    admitted: Option<Waker>,
}

impl<R> Taken<R> {
    /// Wakes the sender and hands the value over; to be called outside the lock.
    pub(crate) fn finish(self) -> R {
        if let Some(sender) = self.admitted {
            sender.wake();
        }
        self.value
    }
}

pub(crate) struct State<T, C> {
    capacity: usize,
    data: VecDeque<T>,
    control: VecDeque<C>,
    waiters: BTreeMap<u64, Waiter<T>>,
    ticket_next: u64,
    /// Control items received since the last turn of the data lane.
    burst: usize,
    intake: Intake,
    parked: Option<Parked>,
}

impl<T, C> State<T, C> {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            data: VecDeque::new(),
            control: VecDeque::new(),
            waiters: BTreeMap::new(),
            ticket_next: 0,
            burst: 0,
            intake: Intake::Open,
            parked: None,
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.intake != Intake::Open
    }

    pub(crate) fn data_len(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn waiters_len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether one data item would be taken now.
    pub(crate) fn room(&self) -> Result<(), Refused> {
        if self.is_shut() {
            Err(Refused::Closed)
        } else if self.data.len() < self.capacity {
            debug_assert!(self.waiters.is_empty(), "senders wait although there is room");
            Ok(())
        } else {
            Err(Refused::Full)
        }
    }

    /// Queues a data item for which [`room`](Self::room) was found; returns the receiver's waker if it is due.
    pub(crate) fn push_data(&mut self, item: T) -> Option<Waker> {
        self.data.push_back(item);
        self.unpark(Interest::Both)
    }

    /// Queues a control item; returns the receiver's waker if it is due.
    pub(crate) fn push_control(&mut self, item: C) -> Result<Option<Waker>, ControlError<C>> {
        if self.intake == Intake::Closed {
            Err(ControlError::Closed(item))
        } else if self.control.len() >= CONTROL_MAX {
            Err(ControlError::Full(item))
        } else {
            self.control.push_back(item);
            Ok(self.unpark(Interest::Control))
        }
    }

    /// Lines a sender up behind those who already wait and returns its ticket.
    pub(crate) fn wait(&mut self, item: T, waker: Waker) -> u64 {
        let ticket = self.ticket_next;
        self.ticket_next += 1;
        self.waiters.insert(ticket, Waiter { item, waker: Some(waker) });
        ticket
    }

    /// Says where the sender with this ticket stands. If it still waits, `waker` is the one to wake from now on,
    /// exchanged for the one before it.
    pub(crate) fn stand(&mut self, ticket: u64, waker: &mut Option<Waker>) -> Standing<T> {
        if self.is_shut() {
            return match self.waiters.remove(&ticket) {
                Some(waiter) => Standing::Closed(waiter.item),
                None => Standing::Admitted,
            };
        }
        match self.waiters.get_mut(&ticket) {
            Some(waiter) => {
                std::mem::swap(&mut waiter.waker, waker);
                Standing::Waiting
            }
            None => Standing::Admitted,
        }
    }

    /// Takes a sender out of the line. What comes back is for the caller to drop.
    #[must_use]
    pub(crate) fn leave(&mut self, ticket: u64) -> Option<(T, Option<Waker>)> {
        self.waiters.remove(&ticket).map(|waiter| (waiter.item, waiter.waker))
    }

    /// Takes what is next by the rules of the lanes.
    pub(crate) fn take(&mut self) -> Option<Taken<Received<T, C>>> {
        // The end of the data lane is its last turn, so a storm of control cannot put it off either.
        let data_due = self.burst >= CONTROL_BURST_MAX && (self.is_shut() || !self.data.is_empty());
        if !data_due && let Some(Taken { value, admitted }) = self.take_control() {
            return Some(Taken { value: Received::Control(value), admitted });
        }
        self.burst = 0;
        if let Some(item) = self.data.pop_front() {
            return Some(Taken { value: Received::Data(item), admitted: self.admit() });
        }
        self.is_shut().then_some(Taken { value: Received::Drained, admitted: None })
    }

    /// Takes the next control item.
    pub(crate) fn take_control(&mut self) -> Option<Taken<C>> {
        let value = self.control.pop_front()?;
        self.burst = self.burst.saturating_add(1);
        Some(Taken { value, admitted: None })
    }

    /// Parks the receiver; returns the waker this replaces, to be dropped outside the lock.
    #[must_use]
    pub(crate) fn park(&mut self, waker: Waker, interest: Interest) -> Option<Waker> {
        self.parked.replace(Parked { waker, interest }).map(|parked| parked.waker)
    }

    /// Moves the first waiting sender's item into the data lane, where one item has just left.
    fn admit(&mut self) -> Option<Waker> {
        if self.is_shut() {
            return None;
        }
        let (_, waiter) = self.waiters.pop_first()?;
        self.data.push_back(waiter.item);
        waiter.waker
    }

    /// Takes the waker of a receiver parked for an event on the given lane.
    fn unpark(&mut self, lane: Interest) -> Option<Waker> {
        let parked = self.parked.take_if(|parked| lane == Interest::Control || parked.interest == lane)?;
        Some(parked.waker)
    }

    /// Moves the intake down to `to`; returns the wakers of all who wait for something else.
    fn shut(&mut self, to: Intake) -> Vec<Waker> {
        self.intake = self.intake.max(to);
        let lane = if to == Intake::Closed { Interest::Control } else { Interest::Both };
        let receiver = self.unpark(lane);
        self.waiters.values_mut().filter_map(|waiter| waiter.waker.take()).chain(receiver).collect()
    }
}
