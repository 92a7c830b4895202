//! Certificates that our authorities never make, for tests of those who must refuse them.

use std::path::Path;

use odeon_core::seam::Rng;
use odeon_core::{Capabilities, ServerId};
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};

use super::certify::{CLIENT_AUTH, SERVER_AUTH};
use super::crl::{Listing, revocation_list};
use super::index::Issued;
use super::issuer::leaf;
use super::{CaError, Holder, Order, Parent, Subject, certify};
use crate::files::{self, CERTIFICATES_FILE_BYTES_MAX, Readers};
use crate::keys::PrivateKey;

/// How long it is valid before now and after, in seconds.
const VALID_S: u64 = 24 * 60 * 60;

/// What is bent.
#[derive(Debug, Clone, Copy)]
pub struct Bent<'a> {
    /// Whom it names.
    pub server: &'a ServerId,
    /// Whether it is good for the side that connects; it is good for the other in any case.
    pub dials: bool,
    /// The file of whoever signs it, authority or not.
    pub parent: &'a Path,
    /// The key that it is signed with, whether it is the parent's or not.
    pub parent_key: &'a PrivateKey,
}

/// The list by which an authority revokes the certificate in the file `revoked`, in PEM. Our authorities' own commands
/// make the subordinate's, of servers; this makes the root's, of a subordinate.
///
/// # Errors
/// When one of the files cannot be read.
pub fn list_naming(authority: &Path, key: &PrivateKey, revoked: &Path, now: u64) -> Result<String, CaError> {
    let load = |path: &Path| {
        let pem = files::read(path, "certificate", CERTIFICATES_FILE_BYTES_MAX, Readers::All)?;
        Certificate::from_pem(leaf(&pem)).map_err(CaError::encoding)
    };
    let (authority, revoked) = (load(authority)?, load(revoked)?);
    let serial = revoked.tbs_certificate().serial_number().as_bytes();
    let revoked = Issued {
        serial: odeon_core::to_hex(serial),
        issued: now,
        not_after: now.saturating_add(VALID_S),
        revoked: Some(now),
        server: "sub@/".parse().map_err(CaError::encoding)?,
        capabilities: Capabilities::none(),
    };
    let listing = Listing {
        number: 1,
        this_update: now.saturating_sub(VALID_S),
        next_update: now.saturating_add(VALID_S),
        revoked: vec![&revoked],
    };
    revocation_list(&listing, &authority, key)
}

impl Bent<'_> {
    /// Makes it for `key`, valid for a day around `now`, in seconds since 1970.
    ///
    /// # Errors
    /// When the parent's file cannot be read.
    pub fn make(&self, key: &PrivateKey, now: u64, rng: &dyn Rng) -> Result<Vec<u8>, CaError> {
        let pem = files::read(self.parent, "certificate", CERTIFICATES_FILE_BYTES_MAX, Readers::All)?;
        let parent = Certificate::from_pem(leaf(&pem)).map_err(CaError::encoding)?;
        let mut holder = Holder::server(self.server, &Capabilities::none());
        if let Holder::Server { purposes, .. } = &mut holder {
            *purposes = if self.dials { vec![SERVER_AUTH, CLIENT_AUTH] } else { vec![SERVER_AUTH] };
        }
        let order = Order {
            holder,
            subject: Subject::default().name("bent")?,
            not_before: now.saturating_sub(VALID_S),
            not_after: now.saturating_add(VALID_S),
        };
        let parent = Parent { name: parent.tbs_certificate().subject(), key: self.parent_key };
        certify(order, key, Some(&parent), rng)?.to_der().map_err(CaError::encoding)
    }
}
