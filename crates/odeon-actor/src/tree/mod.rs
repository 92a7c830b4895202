//! Supervision trees within a process: what a supervisor does about the ends of its children.
//!
//! [`Tree`] is the state machine of one supervisor, without I/O: it owns the decisions and nothing else. Its driver
//! owns the clock, the randomness, the actors and their mailboxes: it feeds in what happens, carries out the
//! [`Output`]s in their order, and calls [`Tree::handle_timeout`] at [`Tree::poll_timeout`]. A tree has many
//! levels because a child may be a supervisor itself: its failure is then its own supervisor's to decide about.
//!
//! Invariants: a child has one incarnation at a time; the ordered are started in order, one after another, and
//! stopped in reverse; each child that was added is forgotten once, before the tree ends; nothing follows the end.
//!
//! ```
//! # extern crate odeon_actor as odeon;
//! use odeon::ExitReason;
//! use odeon::tree::{ChildOptions, Output, Tree, TreeOptions};
//! use odeon_core::Instant;
//!
//! let now = Instant::ZERO;
//! let mut tree = Tree::new(TreeOptions::default());
//! tree.handle_add(ChildOptions::default(), now)?;
//! tree.handle_start(now);
//! let Some(Output::Start(first)) = tree.poll_output() else { panic!("it starts its child") };
//! tree.handle_started(first, now);
//! assert_eq!(tree.poll_output(), Some(Output::Started));
//!
//! tree.handle_ended(first, ExitReason::Failed("no disk".to_owned()), now, 0);
//! let Some(Output::Start(second)) = tree.poll_output() else { panic!("it starts it again") };
//! assert_eq!((second.child, second.number), (first.child, 2)); // in place: same mailbox, same address
//! # Ok::<(), odeon::tree::AddError>(())
//! ```

mod child;
mod error;
mod machine;
mod options;
mod schedule;

#[cfg(test)]
mod tests;

pub use child::{ChildId, ChildState, ChildStatus, Incarnation};
pub use error::{AddError, NoChild, RestartError};
pub use machine::{CHILDREN_MAX, Output, Tree};
pub use options::{
    AutoShutdown, BACKOFF_MAX, Backoff, ChildOptions, Intensity, JITTER_PERCENT_MAX, RESTARTS_MAX, Restart,
    Shutdown, Strategy, TreeOptions,
};
