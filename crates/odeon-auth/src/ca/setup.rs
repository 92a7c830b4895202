//! Making the authorities.

use std::path::Path;

use odeon_core::DAY_S;
use odeon_core::seam::Rng;
use x509_cert::Certificate;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{DecodePem as _, EncodePem as _};

use super::certify::{DAYS_MAX, SKEW_S};
use super::issuer::Issuer;
use super::{CaError, CaFiles, Holder, Order, Parent, Subject, certify};
use crate::cookie::Existing;
use crate::files::{self, CERTIFICATES_FILE_BYTES_MAX, Contents, MODE_PUBLIC, Readers};
use crate::keys::{KeyKind, Passphrase, PrivateKey};

/// How long a root is valid by default, in days.
pub const ROOT_DAYS: u32 = 3_650;

/// How long a subordinate is valid by default, in days.
pub const SUB_DAYS: u32 = 1_826;

const WHAT: &str = "authority's certificate";

/// How a certificate authority is made.
#[derive(Debug, Clone, Default)]
pub struct CaOptions {
    /// Who stands behind it.
    pub subject: Subject,
    /// Its common name; the organization and what it is, if not given.
    pub common_name: Option<String>,
    /// The kind of its key.
    pub kind: KeyKind,
    /// How long it is valid; [`ROOT_DAYS`] or [`SUB_DAYS`], if not given.
    pub days: Option<u32>,
}

/// The place where an ensemble's certificate authorities are made and kept.
#[derive(Debug)]
pub struct CertificateAuthority<'a> {
    pub(super) files: CaFiles,
    pub(super) rng: &'a dyn Rng,
    pub(super) now: u64,
}

impl<'a> CertificateAuthority<'a> {
    /// The authorities of these files. `rng` must be fit for secrets; `now` is in seconds since 1970.
    #[must_use]
    pub const fn new(files: CaFiles, rng: &'a dyn Rng, now: u64) -> Self {
        Self { files, rng, now }
    }

    /// Where everything is.
    #[must_use]
    pub const fn files(&self) -> &CaFiles {
        &self.files
    }

    /// Makes a new root, its key under `passphrase`.
    ///
    /// # Errors
    /// [`CaError::Exists`] when there is one; otherwise when an option is not allowed or a file cannot be written.
    pub fn generate_root(&self, passphrase: &Passphrase, options: &CaOptions) -> Result<(), CaError> {
        let (certificate, key) = (self.files.root_crt(), self.files.root_key());
        none_at([&certificate, &key])?;
        let order = self.order(Holder::Root, options, "Root CA", ROOT_DAYS)?;
        let root_key = PrivateKey::generate(options.kind, self.rng);
        let root = certify(order, &root_key, None, self.rng)?;
        root_key.save_protected(&key, passphrase, Existing::Keep, self.rng)?;
        self.write(&certificate, &pem(&[&root])?, Existing::Keep)
    }

    /// Makes a new subordinate below the root, its key under `sub`; `root` opens the root's.
    ///
    /// # Errors
    /// As [`generate_root`](Self::generate_root), and when the root is missing, over, or under another passphrase.
    pub fn generate_sub(
        &self,
        root: &Passphrase,
        sub: &Passphrase,
        options: &CaOptions,
    ) -> Result<(), CaError> {
        let (certificate, key) = (self.files.sub_crt(), self.files.sub_key());
        none_at([&certificate, &key])?;
        let mut order = self.order(Holder::Sub, options, "Subordinate CA", SUB_DAYS)?;
        let root_certificate = load(&self.files.root_crt())?;
        let end = not_after(&root_certificate);
        if end <= self.now {
            return Err(CaError::Ended { not_after: end });
        }
        order.not_after = order.not_after.min(end);
        let root_key = PrivateKey::load_protected(&self.files.root_key(), root)?;
        belongs(&root_key, &root_certificate, &self.files.root_key())?;
        let sub_key = PrivateKey::generate(options.kind, self.rng);
        let parent = Parent { name: root_certificate.tbs_certificate().subject(), key: &root_key };
        let made = certify(order, &sub_key, Some(&parent), self.rng)?;
        sub_key.save_protected(&key, sub, Existing::Keep, self.rng)?;
        self.write(&certificate, &pem(&[&made])?, Existing::Keep)
    }

    /// Writes the files that others read: both authorities' certificates, and the root's alone.
    ///
    /// # Errors
    /// When an authority is missing, or a file is there and is to be kept.
    pub fn generate_ca_files(&self, existing: Existing) -> Result<(), CaError> {
        let (root, sub) = (load(&self.files.root_crt())?, load(&self.files.sub_crt())?);
        self.write(&self.files.ca_pem(), &pem(&[&sub, &root])?, existing)?;
        self.write(&self.files.root_pem(), &pem(&[&root])?, existing)
    }

    /// Unlocks the subordinate. As long as the issuer lives, nobody else has it.
    ///
    /// # Errors
    /// When the subordinate is missing, over, or under another passphrase, or another command is at work with it.
    pub fn unlock(&self, sub: &Passphrase) -> Result<Issuer<'a>, CaError> {
        Issuer::unlock(self, sub)
    }

    fn order(&self, holder: Holder, options: &CaOptions, what: &str, days: u32) -> Result<Order, CaError> {
        let common_name = match &options.common_name {
            Some(name) => name.clone(),
            None => format!("{} {what}", options.subject.organization),
        };
        Ok(Order {
            holder,
            subject: options.subject.name(&common_name)?,
            not_before: self.now.saturating_sub(SKEW_S),
            not_after: end_after(self.now, options.days.unwrap_or(days))?,
        })
    }

    fn write(&self, path: &Path, pem: &str, existing: Existing) -> Result<(), CaError> {
        let contents = Contents { what: WHAT, path, bytes: pem.as_bytes(), mode: MODE_PUBLIC };
        Ok(files::write(&contents, existing, self.rng)?)
    }
}

/// When something ends that begins now.
pub(super) fn end_after(now: u64, days: u32) -> Result<u64, CaError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(CaError::Days);
    }
    Ok(now.saturating_add(u64::from(days) * DAY_S))
}

fn none_at<const N: usize>(paths: [&Path; N]) -> Result<(), CaError> {
    match paths.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(CaError::Exists { path: path.into() }),
        None => Ok(()),
    }
}

/// Reads an authority's certificate.
pub(super) fn load(path: &Path) -> Result<Certificate, CaError> {
    let bytes = files::read(path, WHAT, CERTIFICATES_FILE_BYTES_MAX, Readers::All)?;
    Certificate::from_pem(bytes.as_slice()).map_err(|e| CaError::damaged(WHAT, path, e))
}

/// Checks that a key is that of the certificate beside it.
pub(super) fn belongs(key: &PrivateKey, certificate: &Certificate, path: &Path) -> Result<(), CaError> {
    if key.public() == *certificate.tbs_certificate().subject_public_key_info() {
        Ok(())
    } else {
        Err(CaError::KeyMismatch { path: path.into() })
    }
}

pub(super) fn not_after(certificate: &Certificate) -> u64 {
    certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs()
}

/// Certificates in PEM, one after the other.
pub(super) fn pem(certificates: &[&Certificate]) -> Result<String, CaError> {
    let each = certificates.iter().map(|certificate| certificate.to_pem(LineEnding::LF));
    each.collect::<Result<String, _>>().map_err(CaError::encoding)
}
