//! The ensemble's own authorities: a root, a subordinate below it, and the servers' certificates below that.

mod layout;

pub use self::layout::{CaFiles, ServerFiles};
