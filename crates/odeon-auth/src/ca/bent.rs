//! Certificates that our authorities never make, for tests of those who must refuse them.

use std::path::Path;

use odeon_core::seam::Rng;
use odeon_core::{Capabilities, ServerId};
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};

use super::certify::{CLIENT_AUTH, SERVER_AUTH};
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
