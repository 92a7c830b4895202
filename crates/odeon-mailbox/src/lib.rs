//! The mailbox and reply cells of Odeon's actors.
//!
//! A mailbox carries work to one owner over two lanes. The *data* lane is bounded and pushes back on whoever
//! fills it; the *control* lane (stop, down, timers, replies) never waits and is never blocked by data. A reply
//! cell carries one answer back.
//!
//! ```text
//!  control ───────────────▶ [ control lane ≤ CONTROL_MAX ] ──┐ first, but after CONTROL_BURST_MAX
//!                                                            ├─▶ Receiver   in a row data has a turn
//!  try_send ──(room?)─────▶ [ data lane ≤ capacity ] ────────┘
//!                                   ▲ one in for each one out, strictly in order
//!  send ──(no room)───────▶ [ waiting senders ≤ WAITERS_MAX ]
//!
//!  ReplyPort ──(one value, or why there is none)──▶ ReplyFuture
//! ```
//!
//! The crate knows nothing of actors, runtimes or time: it needs `core::future` and wakers, so it runs under any
//! executor and under none. Nothing here keeps an actor alive or ends one: dropping every [`Sender`] leaves the
//! mailbox open, only its owner (or [`Sender::close_intake`]) closes it.
//!
//! # Invariants
//!
//! - Each lane is FIFO. An item is received once, or handed back, or dropped with the future that carried it.
//! - A sender waits only while the data lane is full, so nobody can overtake those who wait.
//! - A parked receiver is woken at most once; a waiting sender is woken once, when its fate is decided.
//! - No waker is cloned, woken or dropped, and no item is dropped, under the lock. The one exception is
//!   [`Sender::try_send_with`], whose contract says so.
//!
//! ```
//! use odeon_mailbox::{Received, TrySendError, mailbox};
//!
//! let (sender, mut receiver) = mailbox::<&str, &str>(1);
//! assert_eq!(sender.try_send("hello"), Ok(()));
//! assert_eq!(sender.try_send("again"), Err(TrySendError::Full("again")));
//! assert_eq!(sender.control("stop"), Ok(()));
//!
//! assert_eq!(receiver.try_recv(), Some(Received::Control("stop")));
//! assert_eq!(receiver.try_recv(), Some(Received::Data("hello")));
//! assert_eq!(receiver.try_recv(), None);
//! ```

mod error;
mod mailbox;
mod recv;
mod reply;
mod send;

pub use crate::error::{ControlError, Refused, SendError, TrySendError};
pub use crate::mailbox::{CAPACITY_DEFAULT, CONTROL_BURST_MAX, CONTROL_MAX, WAITERS_MAX, mailbox};
pub use crate::recv::{Leftover, Received, Receiver};
pub use crate::reply::{Lost, ReplyFuture, ReplyPort, reply_cell};
pub use crate::send::{Send, Sender};
