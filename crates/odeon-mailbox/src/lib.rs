//! What Odeon's actors run on: cells, mailboxes, run queues and reply cells.
//!
//! ```text
//!  control ──────────▶ [ control lane ≤ CONTROL_MAX ] ──┐ first, but after CONTROL_BURST_MAX
//!                                                       ├─▶ Batch ─▶ whoever runs the Cell
//!  try_send, enter ──▶ [ data lane ≤ capacity ] ────────┘
//!       │                      ▲ in order, as room is made
//!       └─(no room)──▶ [ line ≤ WAITERS_MAX ]
//!
//!  Cell::notify ──(not on a queue, not running)──▶ RunQueue ──▶ Runner ──▶ Cell::begin
//!  Cell::try_enter ──(idle)──▶ right here
//!
//!  ReplyPort ──(one value, or why there is none)──▶ ReplyFuture
//! ```
//!
//! The crate knows nothing of actors, executors or time: it needs `core::future` and wakers, so it runs under any
//! executor. Nothing here keeps an actor alive or ends one.
//!
//! It is the only crate with `unsafe`, in the two modules that say so: [`Cell`], whose contents belong to whoever runs
//! it, and the memory in which handlers' futures are polled. Every interleaving of cell, mailbox, run queue and reply
//! cell that matters is checked by the models in `tests/loom.rs`.
//!
//! ```
//! use odeon_mailbox::{Batch, Cell, Mailbox, Received, TrySendError};
//!
//! let mailbox = Mailbox::<&str, &str>::new(1);
//! let cell = Cell::idle(Batch::new());
//! assert_eq!(mailbox.try_send("hello"), Ok(()));
//! assert!(cell.notify_message(), "it was idle: it goes on a run queue");
//! assert_eq!(mailbox.try_send("again"), Err(TrySendError::Full("again")));
//! assert_eq!(mailbox.control("stop"), Ok(()));
//! assert!(!cell.notify_message(), "it is on a run queue already");
//!
//! let mut entered = cell.begin(); // what a runner does
//! let batch = entered.contents().expect("no future has them");
//! assert_eq!(mailbox.next(batch), Some(Received::Control("stop")));
//! assert_eq!(mailbox.next(batch), Some(Received::Data("hello")));
//! assert_eq!(mailbox.next(batch), None);
//! ```

mod cell;
mod error;
mod lanes;
mod mailbox;
mod overflow;
mod reply;
mod run_queue;
mod slot;
mod sync;
mod wake;

pub use crate::cell::{Activity, Begin, Cell, Entered, Waiting};
pub use crate::error::{ControlError, Refused, SendError, TrySendError};
pub use crate::mailbox::{
    Batch, CAPACITY_DEFAULT, CONTROL_BURST_MAX, CONTROL_MAX, Entry, Leftover, Mailbox, Received, Standing,
    Ticket, WAITERS_MAX,
};
pub use crate::overflow::{Bounds, Overflow};
pub use crate::reply::{Lost, ReplyFuture, ReplyPort, reply_cell};
pub use crate::run_queue::{RunQueue, Runnable, Runner, STEPS_PER_TURN_MAX, Turn};
pub use crate::slot::Spare;
