//! The supervisor: what should run, what does run, and what to do about the difference.

pub mod plan;
pub mod policy;
pub mod state;
