//! What code on the way down from a handler may know of it: which actor runs, how long its request lasts, how many
//! messages it has sent, and how deep handlers are nested on this stack.
//!
//! Thread-local, set by whoever runs an actor, for as long as it does; code that is no actor has the thread's own.

use std::cell::Cell;

use odeon_core::seam::Clock;
use odeon_core::{Deadline, Instant};

use crate::life::Life;

/// Handlers run on one stack, one asked by the other: past this an ask goes through the mailbox.
pub(crate) const NESTED_MAX: u8 = 4;

struct Current {
    /// 0 outside of an actor.
    number: Cell<u64>,
    /// Where the actor's life is, which no other actor of this process has in common with it; 0 outside of one.
    place: Cell<usize>,
    /// Messages sent so far, which are the nonces.
    nonce: Cell<u64>,
    /// Nanoseconds; `u64::MAX` where there is no deadline.
    budget: Cell<u64>,
    nested: Cell<u8>,
    /// The deadline of an ask answered on its asker's stack, before anybody has read a clock for it.
    unread: Cell<Option<Deadline>>,
}

thread_local! {
    static CURRENT: Current = const {
        Current { number: Cell::new(0), place: Cell::new(0), nonce: Cell::new(0), budget: Cell::new(u64::MAX), nested: Cell::new(0), unread: Cell::new(None) }
    };
}

/// An actor runs on this thread until this is dropped.
pub(crate) struct Running<'l> {
    life: &'l Life,
    before: (u64, u64, u64, Option<Deadline>),
    place_before: usize,
}

impl<'l> Running<'l> {
    /// The actor of this life runs from here on.
    #[inline]
    pub(crate) fn begin(life: &'l Life) -> Self {
        #[cfg(feature = "testing")]
        crate::testing::note(life);
        CURRENT.with(|current| {
            current.nested.set(current.nested.get() + 1);
            let before = (
                current.number.replace(life.number),
                current.nonce.replace(life.nonce()),
                current.budget.replace(u64::MAX),
                current.unread.take(),
            );
            Self { life, before, place_before: current.place.replace(place_of(life)) }
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| {
            current.nested.set(current.nested.get() - 1);
            current.number.set(self.before.0);
            current.place.set(self.place_before);
            self.life.set_nonce(current.nonce.replace(self.before.1));
            current.budget.set(self.before.2);
            current.unread.set(self.before.3);
        });
    }
}

/// What tells the actor of this life from all others that live.
pub(crate) fn place_of(life: &Life) -> usize {
    std::ptr::from_ref(life).addr()
}

/// The [place](place_of) of the actor that runs; 0 outside of one.
#[inline]
pub(crate) fn place() -> usize {
    CURRENT.with(|current| current.place.get())
}

/// Whether one more handler may run on this stack.
#[inline]
pub(crate) fn may_nest() -> bool {
    CURRENT.with(|current| current.nested.get() < NESTED_MAX)
}

/// Sets the deadline of the message being handled, in nanoseconds, and says what it was.
#[inline]
pub(crate) fn replace_budget(nanos: u64) -> u64 {
    CURRENT.with(|current| current.budget.replace(nanos))
}

/// Sets the deadline of the message being handled, in nanoseconds.
#[inline]
pub(crate) fn set_budget(nanos: u64) {
    CURRENT.with(|current| current.budget.set(nanos));
}

/// The deadline of the message being handled.
#[inline]
pub(crate) fn budget() -> Option<Instant> {
    let nanos = CURRENT.with(|current| current.budget.get());
    (nanos != u64::MAX).then(|| Instant::from_nanos(nanos))
}

/// The actor that runs; 0 outside of one.
#[inline]
pub(crate) fn number() -> u64 {
    CURRENT.with(|current| current.number.get())
}

/// The actor that runs, and the number of the message it is about to send.
#[inline]
pub(crate) fn sends() -> (u64, u64) {
    CURRENT.with(|current| {
        let nonce = current.nonce.get();
        current.nonce.set(nonce.wrapping_add(1));
        (current.number.get(), nonce)
    })
}

/// The message of that number was not sent after all; its number is the next one's, unless there has been one already.
pub(crate) fn unsend(from: u64, nonce: u64) {
    CURRENT.with(|current| {
        if current.number.get() == from && current.nonce.get() == nonce.wrapping_add(1) {
            current.nonce.set(nonce);
        }
    });
}

/// The message being handled is another one than that of the ask being answered on this stack.
pub(crate) fn forget_unread() {
    CURRENT.with(|current| current.unread.set(None));
}

/// Sets the deadline of the ask being answered on this stack.
#[inline]
pub(crate) fn set_unread(deadline: Deadline) {
    CURRENT.with(|current| current.unread.set(Some(deadline)));
}

/// The deadline of the ask being answered on this stack: its handler has only just begun.
#[inline]
pub(crate) fn unread(clock: &dyn Clock) -> Option<Instant> {
    CURRENT.with(|current| current.unread.get()).map(|deadline| deadline.at(clock.now()))
}
