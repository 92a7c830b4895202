//! What a mailbox keeps under its lock. Owned by [`Mailbox`](crate::Mailbox), whose invariants hold for it.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

/// What the mailbox still accepts. It moves down this list, and up only by `open_intake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Intake {
    /// Data and control.
    Open,
    /// Control only.
    Draining,
    /// Nothing.
    Closed,
}

/// The queues, and what they accept.
pub(crate) struct Lanes<T, C> {
    pub(crate) data: VecDeque<T>,
    pub(crate) intake: Intake,
    /// What most actors never need.
    pub(crate) rare: Option<Box<Rare<T, C>>>,
}

/// The control lane, and the line.
pub(crate) struct Rare<T, C> {
    pub(crate) control: VecDeque<C>,
    /// By ticket. Tickets rise, so the order of the map is the order of arrival.
    pub(crate) line: BTreeMap<u64, Waiter<T>>,
    ticket_next: u64,
}

/// Somebody in line.
pub(crate) struct Waiter<T> {
    pub(crate) item: T,
    /// `None` once woken, so that a drain followed by a close wakes once.
    pub(crate) waker: Option<Waker>,
}

impl<T, C> Lanes<T, C> {
    pub(crate) const fn new() -> Self {
        Self { data: VecDeque::new(), intake: Intake::Open, rare: None }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare<T, C> {
        self.rare.get_or_insert_with(|| {
            Box::new(Rare { control: VecDeque::new(), line: BTreeMap::new(), ticket_next: 0 })
        })
    }

    pub(crate) fn line_len(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.line.len())
    }
}

impl<T, C> Rare<T, C> {
    /// Puts an item at the end of the line; returns its ticket.
    pub(crate) fn wait(&mut self, item: T, waker: Waker) -> u64 {
        let ticket = self.ticket_next;
        self.ticket_next += 1;
        self.line.insert(ticket, Waiter { item, waker: Some(waker) });
        ticket
    }
}
