//! A mailbox: two lanes of items for one consumer, and the line of those who wait for room.
//!
//! Producers and consumer share one lock, which the consumer takes once per batch: it exchanges its empty [`Batch`]
//! for all that is queued. What it has taken and not yet handed out still counts as queued, so the bound holds for
//! the sum.
//!
//! The mailbox wakes no consumer: whoever puts something in says so to the consumer's cell. It does return the
//! wakers of those whose wait it ended.
//!
//! # Invariants
//!
//! - Each lane is FIFO. An item is received once, or handed back, or dropped with the ticket that stood for it.
//! - Nobody overtakes those who wait for room: while they wait, the mailbox is full to everybody else.
//! - While the intake is shut, nobody who waits is admitted; they fetch their items back.
//! - No waker is cloned, woken or dropped, and no item is dropped, under the lock. The one exception is
//!   [`Mailbox::try_send_with`], whose contract says so.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::task::Waker;

use crate::error::{ControlError, Refused, SendError, TrySendError};
use crate::lanes::{Intake, Lanes};
use crate::overflow::{Bounds, Overflow};
use crate::sync::{AtomicU8, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::wake::wake_all;

/// Data items a mailbox holds unless its owner says otherwise: deep enough for a burst, and shallow enough that
/// a slow actor is felt by its senders within milliseconds rather than by the machine's memory.
pub const CAPACITY_DEFAULT: usize = 1_024;

/// Control items received in a row before one data item has its turn: control stays prompt (31 in 32 turns at the
/// worst), and a storm of timers or notices cannot starve data.
pub const CONTROL_BURST_MAX: usize = 32;

/// Control items queued at once. Control is bounded where it is registered (timers, monitors, open asks); this is
/// the last resort that keeps a mistake there from eating the memory.
pub const CONTROL_MAX: usize = 65_536;

/// Senders waiting for room at once. Each holds an item and a task, so they need a bound too; the one past it is
/// refused as `Crowded` rather than left to wait in an endless line.
pub const WAITERS_MAX: usize = 65_536;

/// Bytes of queue that an idle mailbox keeps for the next items, so that the memory of idle actors follows what
/// they do and not the worst burst they have seen.
const KEPT_BYTES_MAX: usize = 512;

/// Something is in the control lane.
const CONTROL: u8 = 1;
/// Somebody waits for room.
const CROWD: u8 = 2;
/// The intake is shut.
const SHUT: u8 = 4;

/// Items an actor has to have handled before its idle mailbox keeps any memory for the next ones: of many actors
/// that are asked once or twice, none keeps a queue.
const USED_MIN: u8 = 16;

/// The lanes to one consumer. Made for sharing: every method takes `&self`.
pub struct Mailbox<T, C> {
    pub(crate) capacity: usize,
    pub(crate) overflow: Overflow,
    /// Items of the consumer's batch that it has not handed out. Written by the consumer alone.
    taken: AtomicUsize,
    /// What the consumer has to look for before its batch is used up. Set under the lock.
    flags: AtomicU8,
    lanes: Mutex<Lanes<T, C>>,
}

/// What the consumer has taken from the mailbox and not yet handed out. One per mailbox.
pub struct Batch<T> {
    items: VecDeque<T>,
    /// Control items received since the last turn of the data lane.
    burst: u16,
    /// Data items handed out so far, up to [`USED_MIN`].
    used: u8,
    /// What was handed out last came straight from the mailbox, and there was nothing else in it that nobody will be
    /// notified of.
    is_all: bool,
}

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

/// What [`Mailbox::close`] found queued, each lane in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover<T, C> {
    /// Control items nobody received.
    pub control: VecDeque<C>,
    /// Data items nobody received. Items of waiting senders are not among them: they go back to their senders.
    pub data: VecDeque<T>,
}

/// What became of an item that may have to wait.
#[derive(Debug)]
pub enum Entry {
    /// It is queued: the consumer has to be told.
    Queued,
    /// It stands in line, by this ticket.
    Waits(Ticket),
}

/// A place in the line of those who wait for room. To be given to [`Mailbox::leave`] if it is not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// How a place in the line stands.
#[derive(Debug)]
pub enum Standing<T> {
    /// It still waits.
    Waiting,
    /// The item was let in.
    Admitted,
    /// The intake was shut first; the item comes back.
    Closed(T),
}

impl<T> Batch<T> {
    /// Nothing taken.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: VecDeque::new(), burst: 0, used: 0, is_all: false }
    }

    /// The items taken and not yet handed out, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.items.len()).finish_non_exhaustive()
    }
}

impl<T, C> Mailbox<T, C> {
    /// A mailbox for `capacity` data items; 0 counts as 1. Memory grows with what is queued, not with the
    /// capacity, so `usize::MAX` is how to ask for no bound.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::bounded(capacity.into())
    }

    /// A mailbox with these bounds.
    #[must_use]
    pub fn bounded(bounds: Bounds) -> Self {
        Self {
            capacity: bounds.capacity.max(1),
            overflow: bounds.overflow,
            taken: AtomicUsize::new(0),
            flags: AtomicU8::new(0),
            lanes: Mutex::new(Lanes::new()),
        }
    }

    /// Queues a data item if there is room now. After `Ok` the consumer has to be told.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the item back when the mailbox is full or shut. While senders wait, it is full.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut lanes = self.lock();
        match self.room(&lanes) {
            Ok(()) => {
                lanes.data.push_back(item);
                Ok(())
            }
            Err(Refused::Full) => Err(TrySendError::Full(item)),
            Err(Refused::Closed) => Err(TrySendError::Closed(item)),
        }
    }

    /// Queues the data item that `make` returns, calling it only if there is room. After `Ok` the consumer has to
    /// be told.
    ///
    /// `make` runs under the mailbox's lock: it must be short and must not touch this mailbox, which would
    /// deadlock. If it panics, nothing is queued and the mailbox goes on.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the mailbox is full or shut.
    #[inline]
    pub fn try_send_with(&self, make: impl FnOnce() -> T) -> Result<(), Refused> {
        // On the way out the guard goes before `make`, whose captures may run code when they drop.
        let mut lanes = self.lock();
        self.room(&lanes)?;
        lanes.data.push_back(make());
        Ok(())
    }

    /// Queues a data item or, where there is no room, puts it at the end of the line; `waker` is then the one to
    /// wake when its fate is decided. Those in line are admitted strictly in order.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the item back when the mailbox is shut, or when [`WAITERS_MAX`] senders wait.
    pub fn enter(&self, item: T, waker: &Waker) -> Result<Entry, SendError<T>> {
        let item = match self.try_send(item) {
            Ok(()) => return Ok(Entry::Queued),
            Err(TrySendError::Closed(item)) => return Err(SendError::Closed(item)),
            Err(TrySendError::Full(item)) => item,
        };
        // A waker must not be cloned under the lock, so look a second time now that it is at hand. It is declared
        // before the guard in order to be dropped after it.
        let waker = waker.clone();
        let mut lanes = self.lock();
        match self.room(&lanes) {
            Ok(()) => {
                lanes.data.push_back(item);
                Ok(Entry::Queued)
            }
            Err(Refused::Closed) => Err(SendError::Closed(item)),
            Err(Refused::Full) if lanes.line_len() >= WAITERS_MAX => Err(SendError::Crowded(item)),
            Err(Refused::Full) => {
                self.raise(CROWD);
                Ok(Entry::Waits(Ticket(lanes.rare().wait(item, waker))))
            }
        }
    }

    /// How a place in the line stands. If it still waits, `waker` is the one to wake from now on. Admission is
    /// told once.
    pub fn stand(&self, ticket: Ticket, waker: &Waker) -> Standing<T> {
        let mut waker = Some(waker.clone());
        let mut lanes = self.lock();
        let is_shut = lanes.intake != Intake::Open;
        let Some(rare) = &mut lanes.rare else {
            return Standing::Admitted;
        };
        if is_shut {
            return match rare.line.remove(&ticket.0) {
                Some(waiter) => {
                    drop(lanes);
                    Standing::Closed(waiter.item)
                }
                None => Standing::Admitted,
            };
        }
        match rare.line.get_mut(&ticket.0) {
            Some(waiter) => {
                mem::swap(&mut waiter.waker, &mut waker);
                drop(lanes);
                Standing::Waiting
            }
            None => Standing::Admitted,
        }
    }

    /// Gives up a place in the line; the item, if it was still there, is dropped.
    pub fn leave(&self, ticket: Ticket) {
        let left = self.lock().rare.as_mut().and_then(|rare| rare.line.remove(&ticket.0));
        drop(left);
    }

    /// Queues a control item; never waits. A mailbox that drains still takes control. After `Ok` the consumer has
    /// to be told.
    ///
    /// # Errors
    ///
    /// [`ControlError`] gives the item back when the mailbox is closed, or when [`CONTROL_MAX`] are queued.
    pub fn control(&self, item: C) -> Result<(), ControlError<C>> {
        let mut lanes = self.lock();
        if lanes.intake == Intake::Closed {
            return Err(ControlError::Closed(item));
        }
        let rare = lanes.rare();
        if rare.control.len() >= CONTROL_MAX {
            return Err(ControlError::Full(item));
        }
        rare.control.push_back(item);
        self.raise(CONTROL);
        Ok(())
    }

    /// Shuts the data lane: what is queued will be received, then [`Received::Drained`]; those who wait get their
    /// items back; control goes on. The consumer has to be told.
    pub fn close_intake(&self) {
        wake_all(self.shut(Intake::Draining));
    }

    /// Opens the data lane again after [`close_intake`](Self::close_intake), for a consumer that takes the place of
    /// the one that drained it; those who still wait are let in as there is room. A closed mailbox stays closed. The
    /// consumer has to be told.
    ///
    /// ```
    /// # use std::task::Waker;
    /// # use odeon_mailbox::{Batch, Entry, Mailbox, Received, Refused, Standing};
    /// let mailbox = Mailbox::<u8, ()>::new(1);
    /// assert_eq!(mailbox.try_send(1), Ok(()));
    /// let Ok(Entry::Waits(ticket)) = mailbox.enter(2, Waker::noop()) else { panic!("it is full") };
    /// mailbox.close_intake();
    /// let mut batch = Batch::new();
    /// assert_eq!(mailbox.next(&mut batch), Some(Received::Data(1)));
    /// assert_eq!(mailbox.next(&mut batch), Some(Received::Drained));
    /// mailbox.open_intake();
    /// assert!(matches!(mailbox.stand(ticket, Waker::noop()), Standing::Admitted), "it had not looked yet");
    /// assert_eq!(mailbox.next(&mut batch), Some(Received::Data(2)));
    /// mailbox.close(&mut batch);
    /// mailbox.open_intake();
    /// assert_eq!(mailbox.try_send_with(|| 3), Err(Refused::Closed), "closed is closed");
    /// ```
    pub fn open_intake(&self) {
        let mut lanes = self.lock();
        if lanes.intake == Intake::Draining {
            lanes.intake = Intake::Open;
            self.lower(SHUT);
        }
        drop(lanes);
        self.admit();
    }

    /// Closes both lanes and returns what is queued, the rest of the consumer's batch first. Those who wait get
    /// their items back.
    pub fn close(&self, batch: &mut Batch<T>) -> Leftover<T, C> {
        let woken = self.shut(Intake::Closed);
        let mut lanes = self.lock();
        let mut data = mem::take(&mut batch.items);
        data.append(&mut lanes.data);
        let control = lanes.rare.as_mut().map_or_else(VecDeque::new, |rare| mem::take(&mut rare.control));
        self.taken.store(0, Ordering::Relaxed);
        batch.is_all = false;
        self.lower(CONTROL);
        drop(lanes);
        wake_all(woken);
        Leftover { control, data }
    }

    /// Takes what is next, if there is anything: control first, but after [`CONTROL_BURST_MAX`] in a row the data
    /// lane has one turn: an item, or [`Received::Drained`] when it is shut and empty. So `Drained` can come while
    /// control is still queued; [`close`](Self::close) returns that.
    #[inline]
    pub fn next(&self, batch: &mut Batch<T>) -> Option<Received<T, C>> {
        let flags = self.flags.load(Ordering::Acquire);
        if flags & CONTROL != 0 {
            return self.next_locked(batch);
        }
        let Some(item) = batch.items.pop_front() else {
            return self.next_locked(batch);
        };
        batch.is_all = false;
        self.handed_out(flags, batch);
        Some(Received::Data(item))
    }

    /// Whether the item that [`next`](Self::next) yielded last was all there was. Whoever has asked for it since it was
    /// last notified, and finds now that it has not been notified again, need not look again. `false` decides nothing.
    #[inline]
    #[must_use]
    pub fn is_quiet(&self, batch: &Batch<T>) -> bool {
        batch.is_all && self.flags.load(Ordering::Acquire) == 0
    }

    /// Takes the oldest data item that `is_wanted` says yes to, the batch's first. Items that come later, and those
    /// passed over, stay where they are.
    pub fn next_matching(&self, batch: &mut Batch<T>, is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
        batch.is_all = false;
        {
            // All that is queued becomes the batch's, so that one scan sees everything, in order.
            let mut woken = Vec::new();
            let mut lanes = self.lock();
            self.admit_locked(&mut lanes, &mut woken);
            batch.items.append(&mut lanes.data);
            self.taken.store(batch.items.len(), Ordering::Relaxed);
            drop(lanes);
            wake_all(woken);
        }
        let at = batch.items.iter().position(is_wanted)?;
        let item = batch.items.remove(at)?;
        self.taken.store(batch.items.len(), Ordering::Relaxed);
        if self.flags.load(Ordering::Acquire) & CROWD != 0 {
            self.admit();
        }
        Some(item)
    }

    /// Takes the next control item, if there is one. It may miss one that comes at the same time: before whoever runs
    /// the cell leaves it, it has to call [`next`](Self::next) or [`next_matching`](Self::next_matching) first and this
    /// afterwards.
    pub fn next_control(&self) -> Option<C> {
        if self.flags.load(Ordering::Acquire) & CONTROL == 0 {
            return None;
        }
        let mut lanes = self.lock();
        self.take_control(&mut lanes)
    }

    /// Whether data is refused for good: the mailbox drains or is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().intake != Intake::Open
    }

    /// Whether something is in the control lane.
    #[must_use]
    pub fn has_control(&self) -> bool {
        self.flags.load(Ordering::Acquire) & CONTROL != 0
    }

    /// The number of data items queued; neither control nor those who wait count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().data.len() + self.taken.load(Ordering::Relaxed)
    }

    /// Whether no data item is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A poisoned lock is as good as new: only the `make` of `try_send_with` can panic under it, and that runs
    /// before anything changes.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Lanes<T, C>> {
        self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether one data item would be taken now.
    #[inline]
    fn room(&self, lanes: &Lanes<T, C>) -> Result<(), Refused> {
        if lanes.intake != Intake::Open {
            Err(Refused::Closed)
        } else if self.is_full(lanes) || lanes.line_len() > 0 {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    #[inline]
    pub(crate) fn is_full(&self, lanes: &Lanes<T, C>) -> bool {
        // What is taken only shrinks between two locks of the consumer, so a stale value errs on the full side.
        lanes.data.len().saturating_add(self.taken.load(Ordering::Relaxed)) >= self.capacity
    }

    #[inline]
    fn handed_out(&self, flags: u8, batch: &mut Batch<T>) {
        batch.burst = 0;
        batch.used = (batch.used + 1).min(USED_MIN);
        let left = batch.items.len();
        self.taken.store(left, Ordering::Relaxed);
        // Not for every item that leaves: those who wait are woken by the half mailbox.
        if flags & CROWD != 0 && left <= self.capacity / 2 {
            self.admit();
            batch.is_all = false;
        }
    }

    fn next_control_locked(&self, batch: &mut Batch<T>, lanes: &mut Lanes<T, C>) -> Option<Received<T, C>> {
        // The end of the data lane is its last turn, so a storm of control cannot put it off either.
        let is_data_due = usize::from(batch.burst) >= CONTROL_BURST_MAX
            && (lanes.intake != Intake::Open || !batch.items.is_empty() || !lanes.data.is_empty());
        if is_data_due {
            return None;
        }
        let item = self.take_control(lanes)?;
        batch.is_all = false;
        batch.burst = batch.burst.saturating_add(1);
        Some(Received::Control(item))
    }

    #[inline(never)]
    fn next_locked(&self, batch: &mut Batch<T>) -> Option<Received<T, C>> {
        batch.is_all = false;
        let mut lanes = self.lock();
        if lanes.rare.is_some()
            && let Some(control) = self.next_control_locked(batch, &mut lanes)
        {
            return Some(control);
        }
        if batch.items.is_empty() {
            if lanes.data.is_empty() && lanes.line_len() > 0 {
                // They came while the last batch was handed out, unseen. Nothing else would let them in.
                let mut woken = Vec::new();
                self.admit_locked(&mut lanes, &mut woken);
                drop(lanes);
                wake_all(woken);
                lanes = self.lock();
            }
            if lanes.data.len() == 1 || self.takes_singly(&lanes) {
                // One alone stays out of the batch: the batch's own memory, which is cold, is not touched.
                let item = lanes.data.pop_front()?;
                let is_last = lanes.data.is_empty();
                if is_last {
                    // It begins again at its first place, which is warm.
                    lanes.data.clear();
                }
                // While a full mailbox is handed out, senders get in line without telling anybody.
                batch.is_all = is_last && self.capacity > 1;
                drop(lanes);
                self.handed_out(self.flags.load(Ordering::Acquire), batch);
                return Some(Received::Data(item));
            }
            batch.items.clear();
            mem::swap(&mut batch.items, &mut lanes.data);
            self.taken.store(batch.items.len(), Ordering::Relaxed);
            if batch.items.is_empty() {
                return self.nothing(batch, lanes);
            }
        }
        drop(lanes);
        let item = batch.items.pop_front()?;
        self.handed_out(self.flags.load(Ordering::Acquire), batch);
        Some(Received::Data(item))
    }

    /// Gives up memory that an idle mailbox does not need.
    #[cold]
    fn nothing(
        &self,
        batch: &mut Batch<T>,
        mut lanes: MutexGuard<'_, Lanes<T, C>>,
    ) -> Option<Received<T, C>> {
        batch.burst = 0;
        let is_shut = lanes.intake != Intake::Open;
        // Dropped after the lock: it may be much.
        let unused = [&mut batch.items, &mut lanes.data].map(|queue| {
            let bytes = queue.capacity().saturating_mul(size_of::<T>());
            let is_kept = bytes <= KEPT_BYTES_MAX && batch.used >= USED_MIN;
            if is_kept { VecDeque::new() } else { mem::take(queue) }
        });
        drop(lanes);
        drop(unused);
        is_shut.then_some(Received::Drained)
    }

    fn take_control(&self, lanes: &mut Lanes<T, C>) -> Option<C> {
        let rare = lanes.rare.as_mut()?;
        let item = rare.control.pop_front();
        if rare.control.is_empty() {
            self.lower(CONTROL);
        }
        item
    }

    /// Lets in from the line as many as there is room for, and wakes them.
    #[cold]
    fn admit(&self) {
        let mut woken = Vec::new();
        let mut lanes = self.lock();
        self.admit_locked(&mut lanes, &mut woken);
        drop(lanes);
        wake_all(woken);
    }

    fn admit_locked(&self, lanes: &mut Lanes<T, C>, woken: &mut Vec<Waker>) {
        while lanes.intake == Intake::Open && !self.is_full(lanes) {
            let Some((_, waiter)) = lanes.rare.as_mut().and_then(|rare| rare.line.pop_first()) else {
                break;
            };
            lanes.data.push_back(waiter.item);
            woken.extend(waiter.waker);
        }
        if lanes.line_len() == 0 {
            self.lower(CROWD);
        }
    }

    /// Moves the intake down to `to`; returns the wakers of all who wait in line.
    fn shut(&self, to: Intake) -> Vec<Waker> {
        let mut lanes = self.lock();
        lanes.intake = lanes.intake.max(to);
        self.raise(SHUT);
        let line = lanes.rare.iter_mut().flat_map(|rare| rare.line.values_mut());
        line.filter_map(|waiter| waiter.waker.take()).collect()
    }

    fn raise(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::Release);
    }

    fn lower(&self, flag: u8) {
        self.flags.fetch_and(!flag, Ordering::Release);
    }
}

impl<T, C> fmt::Debug for Mailbox<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
