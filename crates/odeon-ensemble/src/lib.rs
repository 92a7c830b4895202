//! Registry, supervisor, process shim and configuration of an ensemble.
//!
//! What decides is pure ([`config`], [`registry::Registry`], [`supervisor::policy`]); what acts are actors over
//! it, reached by the same calls from everywhere. [`Node`] is a server as a role's function sees it. This crate
//! knows no command line.

// The macros' output says `::odeon`; below the facade that is the actor crate.
extern crate odeon_actor as odeon;

pub mod config;
mod identity;
mod node;
pub mod process;
pub mod registry;
pub mod supervisor;

pub use identity::{IdentityError, identity};
pub use node::{Node, NodeConfig, NodeError, RoleError, Roles, variables};
