//! From files to what a context uses. Everything is checked here that a peer would find fault with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{CertRevocationList, OwnedCertRevocationList, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::lists::{self, Ages, Checked};
use super::trust::{INTERMEDIATES_MAX, Trust};
use super::{TlsError, TlsFiles};
use crate::certificate::{PeerCertificate, Usage, serial_text};
use crate::files::{self, CERTIFICATES_FILE_BYTES_MAX, Readers};
use crate::keys::PrivateKey;

/// Longest file of revocation lists, in bytes: room for [`REVOKED_MAX`] certificates.
pub const CRL_FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most certificates that the lists of one file revoke.
pub const REVOKED_MAX: usize = 100_000;

const CHAIN: &str = "certificate";
const ROOTS: &str = "certificates of the authorities";
const LISTS: &str = "revocation list";

/// All that the files say.
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) own: PeerCertificate,
    pub(super) trust: Trust,
    /// Who may sign revocation lists.
    pub(super) issuers: Vec<CertificateDer<'static>>,
    /// How new the lists in use are.
    pub(super) ages: Ages,
}

impl Loaded {
    pub(super) fn load(
        files: &TlsFiles,
        provider: &CryptoProvider,
        now_unix_s: u64,
    ) -> Result<Self, TlsError> {
        let chain = certificates(&files.chain, CHAIN)?;
        let authorities = certificates(&files.roots, ROOTS)?;
        let roots = authorities.iter().filter(|der| is_self_signed(der)).collect::<Vec<_>>();
        let roots = roots
            .into_iter()
            .map(|der| anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| unusable(ROOTS, &files.roots, e))?;
        if roots.is_empty() {
            return Err(unusable(ROOTS, &files.roots, "there is no root among them: none has signed itself"));
        }
        let mut trust = Trust {
            algorithms: provider.signature_verification_algorithms.all,
            roots,
            lists: Vec::new(),
            revoked: BTreeSet::new(),
        };
        let issuers: Vec<_> = authorities.iter().chain(chain.iter().skip(1)).cloned().collect();
        let ages = match &files.crl {
            Some(path) => load_lists(path, &issuers, &mut trust)?,
            None => Ages::new(),
        };
        let own = verify_own(files, &chain, &trust, now_unix_s)?;
        // A root is not shown: whoever trusts it has it, and each peer would keep what it was shown.
        let is_root = |at: usize, der: &CertificateDer<'_>| at > 0 && is_self_signed(der);
        let shown = chain.into_iter().enumerate().filter(|(at, der)| !is_root(*at, der));
        let key = certified_key(files, shown.map(|(_, der)| der).collect(), provider)?;
        Ok(Self { key, own, trust, issuers, ages })
    }
}

/// What peers would say of the certificate, in both directions.
fn verify_own(
    files: &TlsFiles,
    chain: &[CertificateDer<'static>],
    trust: &Trust,
    now_unix_s: u64,
) -> Result<PeerCertificate, TlsError> {
    let [leaf, others @ ..] = chain else {
        return Err(unusable(CHAIN, &files.chain, "there is none in it"));
    };
    if others.len() > INTERMEDIATES_MAX {
        return Err(unusable(
            CHAIN,
            &files.chain,
            format!("there are more than {INTERMEDIATES_MAX} beside it"),
        ));
    }
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_unix_s));
    let verify = |usage| {
        trust
            .verify(leaf, others, usage, now)
            .map_err(|source| TlsError::Refused { path: files.chain.clone(), source })
    };
    verify(Usage::Listening)?;
    verify(Usage::Dialling)
}

fn certified_key(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = PrivateKey::load(&files.key).map_err(|e| match e {
        crate::keys::KeyError::File(e) => TlsError::File(e),
        e => unusable("private key", &files.key, e),
    })?;
    let der = PrivateKeyDer::Pkcs8(key.to_pkcs8().to_vec().into());
    let signer = provider.key_provider.load_private_key(der).map_err(TlsError::Library)?;
    let key = CertifiedKey::new(chain, signer);
    match key.keys_match() {
        Ok(()) => Ok(Arc::new(key)),
        Err(_) => Err(TlsError::KeyMismatch { chain: files.chain.clone(), key: files.key.clone() }),
    }
}

/// The certificates of a file in PEM, in their order.
fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = files::read(path, what, CERTIFICATES_FILE_BYTES_MAX, Readers::All)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(what, path, e))?;
    if certificates.is_empty() {
        return Err(unusable(what, path, "there is none in it"));
    }
    Ok(certificates)
}

fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        certificate.tbs_certificate().issuer() == certificate.tbs_certificate().subject()
    })
}

/// Reads the lists, checks that our authorities made them, and notes whom they revoke.
fn load_lists(path: &Path, issuers: &[CertificateDer<'_>], trust: &mut Trust) -> Result<Ages, TlsError> {
    let pem = files::read(path, LISTS, CRL_FILE_BYTES_MAX, Readers::All)?;
    let lists = lists::read(&pem, issuers, trust.algorithms).map_err(|e| unusable(LISTS, path, e))?;
    for Checked { issuer, der, list, .. } in &lists {
        for revoked in list.tbs_cert_list.revoked_certificates.iter().flatten() {
            trust.revoked.insert((issuer.clone(), serial_text(revoked.serial_number.as_bytes())));
            if trust.revoked.len() > REVOKED_MAX {
                return Err(unusable(
                    LISTS,
                    path,
                    format!("it revokes more than {REVOKED_MAX} certificates"),
                ));
            }
        }
        let list = OwnedCertRevocationList::from_der(der).map_err(|e| unusable(LISTS, path, e))?;
        trust.lists.push(CertRevocationList::Owned(list));
    }
    Ok(lists::ages(&lists))
}

fn unusable(what: &'static str, path: &Path, why: impl ToString) -> TlsError {
    TlsError::Unusable { what, path: path.into(), why: why.to_string() }
}
