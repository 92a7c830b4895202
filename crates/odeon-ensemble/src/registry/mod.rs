//! The registry of an ensemble: which servers there are, where, in which roles, and whether they are alive.

mod snapshot;
pub mod state;

pub use snapshot::{Snapshot, SnapshotError};
pub use state::{Entry, Health, Registry, RegistryError, Tenure};
