//! What a server tells the registry about itself, and the registry's refusals.

use odeon_actor::Shape;
use odeon_core::limits::ADDRESSES_MAX;
use odeon_core::{Address, Epoch, Role, ServerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most servers known, the dead and the remembered epochs included. An entry takes below 1 KiB as a rule: 64 MiB.
pub const SERVERS_MAX: usize = 65_536;

/// Most roles of one server.
pub const ROLES_MAX: usize = 32;

/// How long an entry lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Shape)]
#[serde(rename_all = "kebab-case")]
pub enum Tenure {
    /// As long as it is renewed within [`LEASE_TTL`](odeon_core::limits::LEASE_TTL).
    Leased,
    /// Until it is removed.
    Permanent,
}

/// Whether a server is believed to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Shape)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Its lease runs, or it needs none.
    Alive,
    /// Its lease ran out; it has to be added again.
    Dead,
}

/// A server as it announced itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Shape)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its id.
    pub id: ServerId,
    /// Where it can be reached, in the order in which addresses are tried.
    pub addresses: Vec<Address>,
    /// Its roles, the primary one first.
    pub roles: Vec<Role>,
    /// Its incarnation.
    #[schemars(with = "u64")]
    pub epoch: Epoch,
    /// How long the entry lasts.
    pub tenure: Tenure,
    /// Whether it is believed to be there.
    pub health: Health,
}

/// Why the registry refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry has seen a later incarnation.
    #[error("{id} of epoch {given} is stale: epoch {known} is known")]
    Stale {
        /// The server.
        id: ServerId,
        /// The epoch of the request.
        given: Epoch,
        /// The highest epoch known.
        known: Epoch,
    },
    /// There is no such incarnation to renew: it must be added.
    #[error("{id} of epoch {epoch} is not registered: add it first")]
    NotAdded {
        /// The server.
        id: ServerId,
        /// The epoch of the request.
        epoch: Epoch,
    },
    /// The lease ran out before it was renewed: others may have acted on that, so it must be added again.
    #[error("the lease of {id} has run out: add it again")]
    Lapsed {
        /// The server.
        id: ServerId,
    },
    /// No more servers fit.
    #[error("the registry is full: {SERVERS_MAX} servers are known")]
    Full,
    /// More addresses than a server may have.
    #[error("{id} has {count} addresses; {ADDRESSES_MAX} at most are kept")]
    TooManyAddresses {
        /// The server.
        id: ServerId,
        /// How many were given.
        count: usize,
    },
    /// More roles than a server may have.
    #[error("{id} has {count} roles; {ROLES_MAX} at most are kept")]
    TooManyRoles {
        /// The server.
        id: ServerId,
        /// How many were given.
        count: usize,
    },
    /// The epoch cannot be raised any more.
    #[error("the epochs of {id} are used up: remove its record by hand")]
    EpochsExhausted {
        /// The server.
        id: ServerId,
    },
}

/// Checks what one server may have.
pub(super) fn check_sizes(id: &ServerId, addresses: usize, roles: usize) -> Result<(), RegistryError> {
    if addresses > ADDRESSES_MAX {
        return Err(RegistryError::TooManyAddresses { id: id.clone(), count: addresses });
    }
    if roles > ROLES_MAX {
        return Err(RegistryError::TooManyRoles { id: id.clone(), count: roles });
    }
    Ok(())
}
