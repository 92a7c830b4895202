//! The supervisor: what should run, what does run, and what to do about the difference.
//!
//! The decisions are pure ([`policy`], [`plan`]); the [`Supervisor`] actor feeds them with what happens and
//! carries out what they say. It never blocks on one request: whatever takes time runs in a task that reports
//! back to the actor's mailbox.

pub mod actor;
mod driver;
mod found;
mod launch;
pub mod plan;
pub mod policy;
mod rows;
mod service;
pub mod state;
mod table;
mod work;

pub use actor::{EventHook, Supervisor, SupervisorCalls};
pub use launch::Program;
pub use rows::{Selection, ServerRow, SupervisorEvent};
pub use service::{SUPERVISOR, Supervision, SupervisorConfig, SupervisorError, supervisor_id};
