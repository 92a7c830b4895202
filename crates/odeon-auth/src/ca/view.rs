//! A certificate as it is shown to people.

use std::path::Path;

use odeon_core::to_hex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

use super::index::{Index, Issued};
use super::{CaError, CaFiles, FileKind};
use crate::certificate::{CertificateError, PeerCertificate, name_text, serial_text};
use crate::files::{self, CERTIFICATES_FILE_BYTES_MAX, Readers};
use crate::tls::CRL_FILE_BYTES_MAX;

const WHAT: &str = "certificate";
const LIST: &str = "revocation list";

/// A certificate as it is shown to people. Nobody has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// The subject.
    pub subject: String,
    /// The issuer's subject.
    pub issuer: String,
    /// The serial number, in lower-case hexadecimal digits.
    pub serial: String,
    /// First second of its validity, since 1970.
    pub not_before: u64,
    /// Last second of its validity, since 1970.
    pub not_after: u64,
    /// SHA-256 of the whole certificate, in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Whether it is an authority's.
    pub is_authority: bool,
    /// Who it says it is, as a peer would read it.
    pub peer: Result<PeerCertificate, CertificateError>,
}

impl CertificateView {
    /// Reads every certificate of a file in PEM.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate, or a damaged one; [`CaError::Foreign`] says what
    /// else it is.
    pub fn load(path: &Path) -> Result<Vec<Self>, CaError> {
        let pem = files::read(path, WHAT, CERTIFICATES_FILE_BYTES_MAX, Readers::All)?;
        let found = FileKind::of(&pem);
        if found != FileKind::Certificates {
            return Err(CaError::Foreign { path: path.into(), found });
        }
        let views = CertificateDer::pem_slice_iter(&pem)
            .map(|der| der.map_err(|e| e.to_string()).and_then(|der| Self::read(&der)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| CaError::damaged(WHAT, path, why))?;
        if views.is_empty() {
            return Err(CaError::damaged(WHAT, path, "there is none in it"));
        }
        Ok(views)
    }

    fn read(der: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(der).map_err(|e| e.to_string())?;
        let tbs = certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(|e| e.to_string())?;
        Ok(Self {
            subject: name_text(tbs.subject()),
            issuer: name_text(tbs.issuer()),
            serial: serial_text(tbs.serial_number().as_bytes()),
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
            fingerprint: to_hex(&Sha256::digest(der)),
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            peer: PeerCertificate::read(der),
        })
    }
}

/// A revocation list as it is shown to people. Nobody has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationView {
    /// The authority whose it says it is.
    pub issuer: String,
    /// Its number, in lower-case hexadecimal digits; none if it has none.
    pub number: Option<String>,
    /// When it was made, in seconds since 1970.
    pub this_update: u64,
    /// When the next one comes, if it says so.
    pub next_update: Option<u64>,
    /// The serial numbers that it revokes, and since when.
    pub revoked: Vec<(String, u64)>,
}

impl RevocationView {
    /// Reads every revocation list of a file in PEM.
    ///
    /// # Errors
    /// When the file cannot be read or holds no list, or a damaged one.
    pub fn load(path: &Path) -> Result<Vec<Self>, CaError> {
        let pem = files::read(path, LIST, CRL_FILE_BYTES_MAX, Readers::All)?;
        let views = CertificateRevocationListDer::pem_slice_iter(&pem)
            .map(|der| der.map_err(|e| e.to_string()).and_then(|der| Self::read(&der)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| CaError::damaged(LIST, path, why))?;
        if views.is_empty() {
            return Err(CaError::damaged(LIST, path, "there is none in it"));
        }
        Ok(views)
    }

    fn read(der: &[u8]) -> Result<Self, String> {
        let list = CertificateList::from_der(der).map_err(|e| e.to_string())?.tbs_cert_list;
        let number = crate::tls::list_number(&list).map_err(|e| e.to_string())?;
        let revoked = list.revoked_certificates.unwrap_or_default();
        let entry = |entry: RevokedCert| {
            let since = entry.revocation_date.to_unix_duration().as_secs();
            (serial_text(entry.serial_number.as_bytes()), since)
        };
        Ok(Self {
            issuer: name_text(&list.issuer),
            number: number.map(|number| to_hex(number.0.as_bytes())),
            this_update: list.this_update.to_unix_duration().as_secs(),
            next_update: list.next_update.map(|time| time.to_unix_duration().as_secs()),
            revoked: revoked.into_iter().map(entry).collect(),
        })
    }
}

impl CaFiles {
    /// Everything that the subordinate has issued, in order. Its key is not needed for that.
    ///
    /// # Errors
    /// When there are authorities and their book cannot be read.
    pub fn issued(&self) -> Result<Vec<Issued>, CaError> {
        Ok(Index::load(&self.index())?.issued)
    }
}
