//! What askers are told when an incarnation falls: its reason, although the actor may be there again by the time they
//! look. And what they are told when a newer message takes the place of theirs.
//!
//! The reason of a life is found in the life. That of an incarnation travels with the ports that fall with it: known to
//! the thread while it drops them. A port may be held by an actor that is not the asked one, so the asker compares.

use std::cell::RefCell;
use std::sync::Arc;

use odeon_core::ExitReason;
use odeon_mailbox::{Lost, ReplyPort};

use crate::error::AskError;
use crate::life::Life;

/// Why ports fall that their actor would have answered.
#[derive(Debug)]
pub(crate) struct Fall {
    /// The actor.
    number: u64,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// An incarnation ended.
    Ended(ExitReason),
    /// A newer message took the place of the one they came with.
    Displaced,
}

thread_local! {
    /// Whose incarnation is being dropped on this thread.
    static FALL: RefCell<Option<Arc<Fall>>> = const { RefCell::new(None) };
}

/// Restores what was before.
struct Restore(Option<Arc<Fall>>);

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = FALL.try_with(|fall| fall.replace(self.0.take()));
    }
}

/// Drops what belongs to an actor that ends: ports that fall meanwhile tell why, if it is an incarnation that ends.
pub(crate) fn falling<T>(life: &Life, f: impl FnOnce() -> T) -> T {
    let Some(reason) = life.fall() else {
        return f();
    };
    telling(Fall { number: life.number, why: Why::Ended(reason) }, f)
}

/// Drops a message for which there was no room: ports that fall meanwhile tell so.
pub(crate) fn displacing<T>(life: &Life, f: impl FnOnce() -> T) -> T {
    telling(Fall { number: life.number, why: Why::Displaced }, f)
}

fn telling<T>(fall: Fall, f: impl FnOnce() -> T) -> T {
    let _restore = Restore(FALL.replace(Some(Arc::new(fall))));
    f()
}

/// Whether what falls on this thread falls with a displaced message.
pub(crate) fn is_displacing() -> bool {
    let fall = FALL.try_with(|fall| fall.borrow().clone()).ok().flatten();
    fall.is_some_and(|fall| matches!(fall.why, Why::Displaced))
}

/// A reply port that falls.
pub(crate) struct Falling<R>(Option<ReplyPort<R, Arc<Fall>>>);

impl<R> Falling<R> {
    pub(crate) const fn new(port: ReplyPort<R, Arc<Fall>>) -> Self {
        Self(Some(port))
    }
}

impl<R> Drop for Falling<R> {
    fn drop(&mut self) {
        // At the thread's end it just falls.
        let fall = FALL.try_with(|fall| fall.borrow().clone()).ok().flatten();
        if let (Some(port), Some(fall)) = (self.0.take(), fall) {
            port.abandon(fall);
        }
    }
}

/// Why an ask to the actor of this life has no answer.
pub(crate) fn no_answer(life: &Life, lost: &Lost<Arc<Fall>>) -> AskError {
    let fall = match lost {
        Lost::Abandoned(fall) if fall.number == life.number => Some(&fall.why),
        Lost::Abandoned(_) | Lost::Dropped => None,
    };
    let reason = match fall {
        Some(Why::Displaced) => return AskError::Displaced,
        Some(Why::Ended(reason)) => Some(reason.clone()),
        None => None,
    };
    reason.or_else(|| life.reason()).map_or(AskError::NoReply, AskError::Dead)
}
