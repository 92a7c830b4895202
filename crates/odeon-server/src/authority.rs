//! What a server is told about who may do what, before it starts.
//!
//! The rights of a peer have these origins. A unix peer with our own user id, or root, holds `admin`, unless the
//! server is strict. A peer with a certificate holds what that says. Anybody holds what `auth` of the configuration
//! grants its id, and what grants it has presented, or others for it. What needs no capability (ping, lists, lookups)
//! is open to every peer that has proven itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use odeon_auth::{PeerCertificate, PublicKey};
use odeon_core::seam::PeerCredentials;
use odeon_core::{Capabilities, Caveat, Origin, Right, Role, ServerId};

/// Where the ensemble's admin key is, by which grants are checked.
#[derive(Debug, Clone, Default)]
pub enum AdminKey {
    /// There is none: no grant is taken.
    #[default]
    None,
    /// This one.
    Known(PublicKey),
    /// In this file, which is read when a grant is presented; so a server need not restart once there is one.
    File(PathBuf),
}

/// Who may do what at one server.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// What the configuration grants, by server id.
    pub grants: BTreeMap<ServerId, Capabilities>,
    /// Our own user over a unix socket is then nobody special.
    pub strict: bool,
    /// The roles of this server, for grants that are limited to some.
    pub roles: Vec<Role>,
    /// The key that grants begin with.
    pub admin: AdminKey,
    /// The server's directory: there its audit log is kept, and which grants were retracted or delegated. Without one,
    /// these last as long as the server.
    pub directory: Option<PathBuf>,
}

impl Authority {
    /// What `peer` holds from the start, having proven itself over a connection with these credentials, and by this
    /// certificate if the connection is of TLS.
    pub(crate) fn rights(
        &self,
        peer: &ServerId,
        credentials: PeerCredentials,
        certificate: Option<&PeerCertificate>,
    ) -> Vec<Right> {
        let by_user = self.believes(credentials).then(|| Right::new(Capabilities::admin(), Origin::SameUser));
        let certified = certificate.map(|certificate| Right {
            capabilities: certificate.capabilities.clone(),
            caveats: vec![Caveat::NotAfter(certificate.not_after.saturating_add(1))],
            origin: Origin::Certificate(certificate.serial.clone()),
        });
        by_user.into_iter().chain(certified).chain(self.configured(peer)).collect()
    }

    /// Whether these credentials are those of our own user, or of the superuser, and that counts here.
    pub(crate) fn believes(&self, credentials: PeerCredentials) -> bool {
        let ours = rustix::process::geteuid().as_raw();
        !self.strict && credentials.uid.is_some_and(|uid| uid == ours || uid == 0)
    }

    /// What the configuration grants `peer`.
    pub(crate) fn configured(&self, peer: &ServerId) -> Option<Right> {
        self.grants.get(peer).map(|held| Right::new(held.clone(), Origin::Configuration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ServerId {
        "web-0@/".parse().expect("a server id")
    }

    fn can(authority: &Authority, uid: Option<u32>, capability: &str) -> bool {
        let rights = authority.rights(&id(), PeerCredentials { uid }, None);
        rights.iter().any(|right| right.capabilities.can(capability))
    }

    #[test]
    fn only_our_own_user_is_admin_unasked() {
        let authority = Authority::default();
        let ours = rustix::process::geteuid().as_raw();
        assert!(can(&authority, Some(ours), "shutdown") && can(&authority, Some(0), "shutdown"));
        assert!(!can(&authority, Some(ours + 1), "shutdown"));
        assert!(!can(&authority, None, "shutdown"));
    }

    #[test]
    fn strict_believes_nobody_and_grants_still_count() {
        let grants =
            BTreeMap::from([(id(), ["connect".parse().expect("a capability")].into_iter().collect())]);
        let authority = Authority { grants, strict: true, ..Authority::default() };
        let ours = Some(rustix::process::geteuid().as_raw());
        assert!(can(&authority, ours, "connect") && !can(&authority, ours, "shutdown"));
        assert!(!can(&authority, Some(0), "shutdown"));
    }
}
