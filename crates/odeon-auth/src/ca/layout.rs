//! Where authorities and servers keep their certificates and keys.
//!
//! | below the home | holds |
//! | --- | --- |
//! | `ca/root/root.crt`, `root.key` | the root's certificate, and its key under a passphrase |
//! | `ca/sub/sub.crt`, `sub.key` | the subordinate's, the same |
//! | `ca/sub/index` | what it has issued |
//! | `ca/sub/crl.pem` | what it has revoked |
//! | `ca/ca.pem` | both authorities' certificates |
//! | `ca/root.pem` | the root's certificate: what servers trust |
//! | `servers/<domain>/@<name>/tls/chain.pem`, `server.key` | a server's certificate with those above it, and its key |

use std::path::{Path, PathBuf};

/// The files of the authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFiles {
    base: PathBuf,
}

impl CaFiles {
    /// Those of the ensemble with this home.
    #[must_use]
    pub fn below(home: &Path) -> Self {
        Self { base: home.join("ca") }
    }

    /// The directory of all of them.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The root's certificate.
    #[must_use]
    pub fn root_crt(&self) -> PathBuf {
        self.base.join("root").join("root.crt")
    }

    /// The root's key, under a passphrase.
    #[must_use]
    pub fn root_key(&self) -> PathBuf {
        self.base.join("root").join("root.key")
    }

    /// The subordinate's directory.
    #[must_use]
    pub fn sub(&self) -> PathBuf {
        self.base.join("sub")
    }

    /// The subordinate's certificate.
    #[must_use]
    pub fn sub_crt(&self) -> PathBuf {
        self.sub().join("sub.crt")
    }

    /// The subordinate's key, under a passphrase.
    #[must_use]
    pub fn sub_key(&self) -> PathBuf {
        self.sub().join("sub.key")
    }

    /// What the subordinate has issued.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.sub().join("index")
    }

    /// What the subordinate has revoked.
    #[must_use]
    pub fn crl(&self) -> PathBuf {
        self.sub().join("crl.pem")
    }

    /// The certificates of both authorities, the subordinate's first.
    #[must_use]
    pub fn ca_pem(&self) -> PathBuf {
        self.base.join("ca.pem")
    }

    /// The root's certificate, as servers trust it.
    #[must_use]
    pub fn root_pem(&self) -> PathBuf {
        self.base.join("root.pem")
    }
}

/// The files of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    base: PathBuf,
}

impl ServerFiles {
    /// Those of the server with this directory.
    #[must_use]
    pub fn below(server: &Path) -> Self {
        Self { base: server.join("tls") }
    }

    /// The directory of all of them.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The server's certificate, followed by the authorities' up to the root.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.base.join("chain.pem")
    }

    /// The server's key, plain.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.base.join("server.key")
    }
}
