//! Supervisors: actors that start other actors, and start them again in place when they end.
//!
//! [`Supervision`] lists the children, [`Supervisor`] is the actor that keeps them by the rules of
//! [`tree`](crate::tree). A child has one mailbox, one number, its names and its handles through all its
//! incarnations: an end drops the actor and what it was handling, and nothing else. A supervisor may be a
//! child, which makes a tree.
//!
//! Who owns what: the tree's state machine decides, `Supervisor` drives it; a `Place` is what a supervisor holds of a
//! child, and the last one to drop it ends the child for good; `Kept` stands between the place and whoever runs the
//! child. Invariants: a child has one incarnation at a time, and is made where it runs, so a supervisor waits for
//! nobody's code; each end is reported once; what concerns an incarnation that is gone does not reach the next.

mod desk;
mod error;
mod fall;
mod kept;
mod place;
mod spec;
mod supervisor;

pub use error::{AddChildError, ChildError, StartChildError};
pub(crate) use fall::{Fall, Falling, displacing, falling, is_displacing, no_answer};
pub(crate) use kept::{Kept, Revived, revive};
pub use spec::{ChildSpec, Supervision};
pub use supervisor::{SupervisedChild, Supervisor, SupervisorCalls};
