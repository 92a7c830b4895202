//! Processes: starting, watching, stopping and re-adopting one child at a time.
//!
//! Each child has a resident **shim** as its parent: this same binary, re-executed with a hidden subcommand,
//! single-threaded, without an async runtime. The shim owns what must outlive the supervisor: the output
//! pipe and the log files, the process group, the listening sockets, the exit record. The supervisor holds a
//! [`Child`], a connection to the shim; when the supervisor dies, shim and child live on, and the next one
//! finds them with [`Child::adopt`].
//!
//! A child's directory holds `shim.json` (who runs; see [`ShimState`]), `shim.lock` (held by the living shim,
//! so that two can never serve one directory), `exit.json` (how the last child ended; see [`ExitRecord`]).
//!
//! Invariants:
//! - A process is identified by pid, start time and boot id, never by its pid alone.
//! - A child never outlives its shim: the kernel kills it with the shim, and what it had started is found by
//!   a marker in its environment and killed by whoever notices.
//! - Nobody is ever signalled after being reaped.
//!
//! The program's `main` calls [`run_hidden`] before anything else.

mod child;
mod client;
mod control;
mod error;
mod fds;
mod identity;
mod logfile;
pub mod logs;
mod machine;
mod record;
mod shim;
pub mod sockets;
mod spec;

pub use child::{Adopted, Child};
pub use control::Target;
pub use error::{AdoptError, ControlError, SpawnError};
pub use identity::ProcessId;
pub use record::{EndedBy, ExitRecord, LAST_LINES_MAX, ShimState};
pub use shim::{EXEC_COMMAND, SHIM_COMMAND, run_hidden};
pub use sockets::listeners;
pub use spec::{LISTEN_MAX, Spec, SpecError};
