//! Which certificates are believed: those below our roots, within their time, for their purpose, not revoked, that
//! name one server.

use std::collections::BTreeSet;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use crate::certificate::{CertificateError, CertificateFault, PeerCertificate, Usage};

/// Most certificates that a peer sends beside its own: a root, two authorities below it, and one to spare.
pub const INTERMEDIATES_MAX: usize = 4;

/// What a context trusts.
pub(super) struct Trust {
    pub(super) algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    pub(super) roots: Vec<TrustAnchor<'static>>,
    pub(super) lists: Vec<CertRevocationList<'static>>,
    /// Issuer and serial number of all that the lists revoke.
    pub(super) revoked: BTreeSet<(String, String)>,
}

impl Trust {
    /// Verifies a peer's certificate, with those that came beside it, and reads who the peer is.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<PeerCertificate, CertificateError> {
        if others.len() > INTERMEDIATES_MAX {
            return Err(CertificateFault::ChainTooLong { max: INTERMEDIATES_MAX }.into());
        }
        let named = PeerCertificate::read(leaf);
        let verified = self.verify_path(leaf, others, usage, now);
        // Whoever is not ours is told that and no more about its names.
        match (verified, named) {
            (Ok(()), named) => named,
            (Err(fault), Ok(named)) => Err(CertificateError { server: Some(named.server), fault }),
            (Err(fault), Err(unnamed)) => Err(CertificateError { server: unnamed.server, fault }),
        }
    }

    fn verify_path(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<(), CertificateFault> {
        let purpose = match usage {
            Usage::Dialling => KeyUsage::client_auth(),
            Usage::Listening => KeyUsage::server_auth(),
        };
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                let revocation = revocation(&lists);
                leaf.verify_for_usage(self.algorithms, &self.roots, others, now, purpose, revocation, None)
                    .map(|_| ())
            })
            .map_err(|e| fault(e, usage))?;
        if !has_purposes(leaf) {
            return Err(CertificateFault::WrongUsage { usage });
        }
        Ok(())
    }

    /// Whether a list names the certificate.
    pub(super) fn is_revoked(&self, peer: &PeerCertificate) -> bool {
        self.revoked.contains(&(peer.issuer.clone(), peer.serial.clone()))
    }
}

/// Whether a certificate says at all what it is for. X.509 takes one that does not for one that is good for
/// everything; we do not.
fn has_purposes(leaf: &CertificateDer<'_>) -> bool {
    Certificate::from_der(leaf).is_ok_and(|certificate| {
        let purposes = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>();
        purposes.is_ok_and(|found| found.is_some_and(|(_, purposes)| !purposes.0.is_empty()))
    })
}

/// Every list there is counts for the authority that made it. An authority that made none has revoked nobody, and
/// a list past its next update still says whom it revokes: an operator who is late must not stop the ensemble.
fn revocation<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    Some(
        builder
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Ignore)
            .build(),
    )
}

fn fault(error: webpki::Error, usage: Usage) -> CertificateFault {
    use webpki::Error;
    match error {
        Error::CertExpired { not_after, .. } => CertificateFault::Expired { not_after: not_after.as_secs() },
        Error::CertNotValidYet { not_before, .. } => {
            CertificateFault::NotYetValid { not_before: not_before.as_secs() }
        }
        Error::UnknownIssuer => CertificateFault::UnknownIssuer,
        // The last: another kind of key than the authority's of that name.
        Error::InvalidSignatureForPublicKey
        | Error::SignatureAlgorithmMismatch
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertificateFault::BadSignature,
        Error::CertRevoked => CertificateFault::Revoked,
        Error::CaUsedAsEndEntity => CertificateFault::IsAuthority,
        Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => CertificateFault::IssuerMayNot,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            CertificateFault::WrongUsage { usage }
        }
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => {
            CertificateFault::Malformed { what: error.to_string() }
        }
        Error::InvalidCrlSignatureForPublicKey
        | Error::IssuerNotCrlSigner
        | Error::UnknownRevocationStatus
        | Error::CrlExpired { .. } => CertificateFault::RevocationUnknown { why: error.to_string() },
        other => CertificateFault::Forbidden { rule: other.to_string() },
    }
}
