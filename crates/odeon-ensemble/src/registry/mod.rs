//! The registry of an ensemble: which servers there are, where, in which roles, and whether they are alive.

mod actor;
mod client;
mod entry;
mod snapshot;
pub mod state;

pub use actor::{RegistryActor, RegistryActorCalls};
pub use client::{REGISTRY, RegistryClient};
pub use entry::{Entry, Health, ROLES_MAX, RegistryError, SERVERS_MAX, Tenure};
pub use snapshot::{Snapshot, SnapshotError};
pub use state::Registry;
