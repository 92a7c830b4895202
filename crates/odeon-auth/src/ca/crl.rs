//! The list of what the subordinate has revoked, signed by it.

use p256::ecdsa::signature::Signer as _;
use x509_cert::Certificate;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::{BitString, Uint};
use x509_cert::der::pem::LineEnding;
use x509_cert::der::referenced::OwnedToRef as _;
use x509_cert::der::{Encode as _, EncodePem as _};
use x509_cert::ext::ToExtension as _;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, SubjectKeyIdentifier};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier as _};
use x509_cert::{Version, der};

use super::CaError;
use super::certify::time;
use super::index::Issued;
use crate::keys::{PrivateKey, Secret};

/// What goes into a list.
pub(super) struct Listing<'a> {
    /// Counts up with each list of an authority.
    pub(super) number: u64,
    pub(super) this_update: u64,
    pub(super) next_update: u64,
    pub(super) revoked: Vec<&'a Issued>,
}

/// Makes and signs the list, in PEM.
pub(super) fn revocation_list(
    listing: &Listing<'_>,
    authority: &Certificate,
    key: &PrivateKey,
) -> Result<String, CaError> {
    let issuer = authority.tbs_certificate().subject().clone();
    let key_id = SubjectKeyIdentifier::try_from(key.public().owned_to_ref()).map_err(CaError::encoding)?;
    let authority_id = AuthorityKeyIdentifier { key_identifier: Some(key_id.0), ..Default::default() };
    let number = CrlNumber(Uint::new(&listing.number.to_be_bytes()).map_err(CaError::encoding)?);
    let number = (false, &number).to_extension(&issuer, &[]).map_err(CaError::encoding)?;
    let authority_id = (false, &authority_id).to_extension(&issuer, &[]).map_err(CaError::encoding)?;
    let revoked = listing.revoked.iter().map(|issued| entry(issued)).collect::<Result<Vec<_>, _>>()?;
    let list = TbsCertList {
        version: Version::V2,
        signature: algorithm(key)?,
        issuer,
        this_update: time(listing.this_update)?,
        next_update: Some(time(listing.next_update)?),
        // An empty sequence is not allowed.
        revoked_certificates: (!revoked.is_empty()).then_some(revoked),
        crl_extensions: Some(vec![authority_id, number]),
    };
    let signature = sign(key, &list.to_der().map_err(CaError::encoding)?)?;
    let signature_algorithm = list.signature.clone();
    let list: CertificateList = CertificateList { tbs_cert_list: list, signature_algorithm, signature };
    list.to_pem(LineEnding::LF).map_err(CaError::encoding)
}

fn entry(issued: &Issued) -> Result<RevokedCert, CaError> {
    let bytes = issued.serial_bytes().ok_or_else(|| CaError::encoding("a serial number is malformed"))?;
    Ok(RevokedCert {
        serial_number: SerialNumber::new(&bytes).map_err(CaError::encoding)?,
        revocation_date: time(issued.revoked.unwrap_or(issued.issued))?,
        crl_entry_extensions: None,
    })
}

fn algorithm(key: &PrivateKey) -> Result<AlgorithmIdentifierOwned, CaError> {
    match key.secret() {
        Secret::Ed25519(key) => key.signature_algorithm_identifier(),
        Secret::P256(key) => key.signature_algorithm_identifier(),
    }
    .map_err(CaError::encoding)
}

fn sign(key: &PrivateKey, bytes: &[u8]) -> Result<BitString, CaError> {
    let signature = match key.secret() {
        Secret::Ed25519(key) => key.sign(bytes).to_bytes().to_vec(),
        Secret::P256(key) => {
            let signature: p256::ecdsa::DerSignature = key.sign(bytes);
            signature.as_bytes().to_vec()
        }
    };
    let signature: der::Result<BitString> = BitString::from_bytes(&signature);
    signature.map_err(CaError::encoding)
}
