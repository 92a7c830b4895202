//! What the registry keeps across restarts, as JSON with a format number.
//!
//! ```json
//! { "format": 1,
//!   "servers": [ { "id": "web-0@/", "epoch": 3,
//!                  "entry": { "id": "web-0@/", "addresses": ["tcp:h:1"], "roles": ["web"], "epoch": 3,
//!                             "tenure": "leased", "health": "alive" } } ] }
//! ```
//! `entry` is null for a server that was removed and whose epoch is remembered. A [`Snapshot`] that exists is
//! sound: limits hold, ids are unique, no entry is ahead of its id's epoch.

use std::collections::BTreeSet;

use odeon_core::{Epoch, ServerId};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, SERVERS_MAX, check_sizes};

/// The format written, and the only one read so far.
const FORMAT: u32 = 1;

/// The registry's membership at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    format: u32,
    pub(super) servers: Vec<Member>,
}

/// One id: its epoch, and its entry unless it was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) id: ServerId,
    pub(super) epoch: Epoch,
    pub(super) entry: Option<Entry>,
}

/// Why a text is not a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not JSON, cut short, or not of the shape of its format.
    #[error("the registry's file is corrupt; move it away to start with an empty registry")]
    Corrupt(#[source] serde_json::Error),
    /// Written by another version.
    #[error("the registry's file has format {found}; this program reads format {FORMAT}")]
    UnknownFormat {
        /// The format it says it has.
        found: u64,
    },
    /// Of the right shape, and yet not what a registry writes.
    #[error("the registry's file contradicts itself: {reason}; move it away to start with an empty registry")]
    Unsound {
        /// The contradiction.
        reason: String,
    },
}

impl Snapshot {
    pub(super) const fn of(servers: Vec<Member>) -> Self {
        Self { format: FORMAT, servers }
    }

    /// The snapshot as JSON text, indented, with a closing newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// See [`SnapshotError`]. Nothing is repaired or left out in silence.
    pub fn from_json(text: &str) -> Result<Self, SnapshotError> {
        /// What every format has.
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }

        let Format { format } = serde_json::from_str(text).map_err(SnapshotError::Corrupt)?;
        if format != u64::from(FORMAT) {
            return Err(SnapshotError::UnknownFormat { found: format });
        }
        let snapshot: Self = serde_json::from_str(text).map_err(SnapshotError::Corrupt)?;
        snapshot.check()?;
        Ok(snapshot)
    }

    fn check(&self) -> Result<(), SnapshotError> {
        let unsound = |reason: String| Err(SnapshotError::Unsound { reason });
        if self.servers.len() > SERVERS_MAX {
            return unsound(format!("more than {SERVERS_MAX} servers"));
        }
        let mut seen = BTreeSet::new();
        for Member { id, epoch, entry } in &self.servers {
            if !seen.insert(id) {
                return unsound(format!("{id} is there twice"));
            }
            let Some(entry) = entry else { continue };
            if entry.id != *id || entry.epoch > *epoch {
                return unsound(format!("the entry of {id} is not its own"));
            }
            if let Err(error) = check_sizes(id, entry.addresses.len(), entry.roles.len()) {
                return unsound(error.to_string());
            }
        }
        Ok(())
    }
}
