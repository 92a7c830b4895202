//! What the tests of certificates share: randomness from a seed, a PKI whose every part can be bent, OpenSSL.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};

use odeon_core::seam::Rng;
use odeon_core::{Capabilities, ServerId};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use x509_cert::Certificate;
use x509_cert::der::EncodePem as _;
use x509_cert::der::pem::LineEnding;

use crate::ca::{Holder, Order, Parent, Subject, certify};
use crate::cookie::Existing;
use crate::keys::{KeyKind, Passphrase, PrivateKey};
use crate::tls::TlsFiles;

/// The tests' present: 2026-07-25.
pub(crate) const NOW: u64 = 1_785_000_000;
pub(crate) use odeon_core::DAY_S as DAY;

/// Different bytes at each call, the same in each run.
#[derive(Debug, Default)]
pub(crate) struct Seeded(AtomicU64);

impl Rng for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

pub(crate) fn id(text: &str) -> ServerId {
    text.parse().expect("an id")
}

pub(crate) fn capabilities(all: &[&str]) -> Capabilities {
    all.iter().map(|capability| capability.parse().expect("a capability")).collect()
}

pub(crate) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned().into()).expect("a passphrase")
}

/// Puts a file there, with this mode, whatever was there.
#[expect(clippy::disallowed_methods, reason = "a test prepares files, damaged ones among them")]
pub(crate) fn put(path: &Path, bytes: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, bytes).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode set");
}

/// Runs OpenSSL, or says why not.
#[expect(clippy::disallowed_methods, reason = "OpenSSL is the other implementation that tests ask")]
pub(crate) fn openssl(arguments: &[&str]) -> Option<Output> {
    match std::process::Command::new("openssl").args(arguments).output() {
        Ok(output) => Some(output),
        Err(e) => {
            println!("skipped: openssl cannot be run ({e})");
            None
        }
    }
}

/// An authority or a server with everything it has.
pub(crate) struct Entity {
    pub(crate) certificate: Certificate,
    pub(crate) key: PrivateKey,
}

impl Entity {
    fn parent(&self) -> Parent<'_> {
        Parent { name: self.certificate.tbs_certificate().subject(), key: &self.key }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.to_pem(LineEnding::LF).expect("an encoding")
    }
}

/// A root, a subordinate, and a directory for what servers load.
pub(crate) struct Pki {
    pub(crate) root: Entity,
    pub(crate) sub: Entity,
    pub(crate) kind: KeyKind,
    pub(crate) rng: Seeded,
    directory: TempDir,
}

impl Pki {
    pub(crate) fn new(kind: KeyKind) -> Self {
        Self::called(kind, "root", 0)
    }

    /// The same with a root of this name, and keys from another seed.
    pub(crate) fn called(kind: KeyKind, root_name: &str, seed: u64) -> Self {
        let rng = Seeded(AtomicU64::new(seed << 32));
        let make = |holder, name: &str, parent: Option<&Entity>| {
            let order = Order {
                holder,
                subject: Subject::default().name(name).expect("a subject"),
                not_before: NOW - DAY,
                not_after: NOW + 1_000 * DAY,
            };
            let key = PrivateKey::generate(kind, &rng);
            let parent = parent.map(Entity::parent);
            Entity { certificate: certify(order, &key, parent.as_ref(), &rng).expect("made"), key }
        };
        let root = make(Holder::Root, root_name, None);
        let sub = make(Holder::Sub, &format!("below the {root_name}"), Some(&root));
        Self { root, sub, kind, rng, directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A server's certificate from `parent`, bent by `bend`.
    pub(crate) fn bent(&self, server: &str, parent: &Entity, bend: impl FnOnce(&mut Order)) -> Entity {
        let mut order = Order {
            holder: Holder::server(&id(server), &capabilities(&["loader"])),
            subject: Subject::default().name("server").expect("a subject"),
            not_before: NOW - 60,
            not_after: NOW + 90 * DAY,
        };
        bend(&mut order);
        let key = PrivateKey::generate(self.kind, &self.rng);
        Entity { certificate: certify(order, &key, Some(&parent.parent()), &self.rng).expect("made"), key }
    }

    pub(crate) fn server(&self, server: &str) -> Entity {
        self.bent(server, &self.sub, |_| {})
    }

    /// Writes a server's files, below `name`; `above` is what its chain goes on with.
    pub(crate) fn files(&self, name: &str, server: &Entity, above: &[&Entity]) -> TlsFiles {
        let chain: String = std::iter::once(&server).chain(above).map(|entity| entity.pem()).collect();
        let files = TlsFiles {
            chain: self.path(name).join("chain.pem"),
            key: self.path(name).join("server.key"),
            roots: self.path(name).join("root.pem"),
            crl: None,
        };
        put(&files.chain, chain.as_bytes(), 0o644);
        put(&files.roots, self.root.pem().as_bytes(), 0o644);
        server.key.save(&files.key, Existing::Replace, &self.rng).expect("saved");
        files
    }
}
