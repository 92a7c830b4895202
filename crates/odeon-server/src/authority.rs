//! Who may do what: the capabilities of a peer, from how it reached this server.
//!
//! The rules, in order: a unix peer with our own user id, or root, holds `admin`; anybody else holds what the
//! configuration grants its id. What needs no capability (ping, lists, lookups) is open to every peer that has
//! proven itself with the cookie.

use std::collections::BTreeMap;

use odeon_core::seam::PeerCredentials;
use odeon_core::{Capabilities, ServerId};

/// The grants of one server.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// What the configuration grants, by server id.
    pub grants: BTreeMap<ServerId, Capabilities>,
    /// Drops the first rule: not even our own user is believed.
    pub strict: bool,
}

impl Authority {
    /// What `peer` may do, having proven itself over a connection with these credentials.
    #[must_use]
    pub fn capabilities(&self, peer: &ServerId, credentials: PeerCredentials) -> Capabilities {
        let ours = rustix::process::geteuid().as_raw();
        let is_us = credentials.uid.is_some_and(|uid| uid == ours || uid == 0);
        if is_us && !self.strict {
            return Capabilities::admin();
        }
        self.grants.get(peer).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ServerId {
        "web-0@/".parse().expect("a server id")
    }

    #[test]
    fn only_our_own_user_is_admin_unasked() {
        let authority = Authority::default();
        let ours = PeerCredentials { uid: Some(rustix::process::geteuid().as_raw()) };
        let stranger = PeerCredentials { uid: Some(rustix::process::geteuid().as_raw() + 1) };
        assert!(authority.capabilities(&id(), ours).can("shutdown"));
        assert!(!authority.capabilities(&id(), stranger).can("shutdown"));
        assert!(!authority.capabilities(&id(), PeerCredentials::default()).can("shutdown"));
    }

    #[test]
    fn strict_believes_nobody_and_grants_still_count() {
        let grants =
            BTreeMap::from([(id(), ["connect".parse().expect("a capability")].into_iter().collect())]);
        let authority = Authority { grants, strict: true };
        let ours = PeerCredentials { uid: Some(rustix::process::geteuid().as_raw()) };
        let held = authority.capabilities(&id(), ours);
        assert!(held.can("connect") && !held.can("shutdown"));
    }
}
