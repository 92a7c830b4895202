//! Waking many at once. Owns no state.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes them all. One that panics is its executor's mistake: the others are woken all the same, and whoever ended
/// their wait goes on.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
