//! Revocation lists: read from a file, or from whoever brings one. What counts is which authority has signed it.

use std::collections::BTreeMap;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;
use x509_cert::crl::{CertificateList, TbsCertList};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::pem::{LineEnding, encode_string};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::{Certificate, der};

use crate::certificate::name_text;

/// Longest text of revocation lists that a server takes from a peer, in bytes: some 20 000 revoked certificates. One
/// that is longer is copied by hand.
pub const BROUGHT_LIST_BYTES_MAX: usize = 1024 * 1024;

/// Most lists in one text: each authority of an ensemble has one.
pub const LISTS_MAX: usize = 16;

const LABEL: &str = "X509 CRL";

/// Why lists cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListFault {
    /// Longer than [`BROUGHT_LIST_BYTES_MAX`].
    #[error("it has {bytes} bytes, where {BROUGHT_LIST_BYTES_MAX} are the limit: copy it by hand")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It is no list.
    #[error("{why}")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// Somebody else's, or changed.
    #[error("no authority of this ensemble has signed it as {issuer}")]
    Forged {
        /// Whose it says it is.
        issuer: String,
    },
    /// A newer one is in use.
    #[error("the list of {issuer} that is in use here is newer")]
    Old {
        /// Whose it is.
        issuer: String,
    },
    /// This server looks at no list.
    #[error("this server has no place for revocation lists")]
    NoPlace,
}

/// What became of lists that somebody has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// They are in use already.
    Known,
    /// They are newer; this is the text to put in the file's place, with nothing in it but the lists.
    Newer(String),
}

/// How new a list is: the number that its authority counts up, and when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    number: [u8; NUMBER_BYTES_MAX],
    this_update: u64,
}

/// Longest number of a list, in bytes, as X.509 says.
const NUMBER_BYTES_MAX: usize = 20;

impl Age {
    fn of(list: &CertificateList) -> Result<Self, ListFault> {
        let mut number = [0; NUMBER_BYTES_MAX];
        if let Some(found) = list_number(&list.tbs_cert_list).map_err(malformed)? {
            let bytes = found.0.as_bytes();
            let Some(at) = NUMBER_BYTES_MAX.checked_sub(bytes.len()) else {
                return Err(malformed(format!("its number has more than {NUMBER_BYTES_MAX} bytes")));
            };
            number[at..].copy_from_slice(bytes);
        }
        Ok(Self { number, this_update: list.tbs_cert_list.this_update.to_unix_duration().as_secs() })
    }
}

/// The number of a list, if it has one.
pub(crate) fn list_number(list: &TbsCertList) -> der::Result<Option<CrlNumber>> {
    let found = list.crl_extensions.iter().flatten().find(|extension| extension.extn_id == CrlNumber::OID);
    found.map(|extension| CrlNumber::from_der(extension.extn_value.as_bytes())).transpose()
}

/// One list whose signature was checked.
pub(super) struct Checked {
    pub(super) issuer: String,
    pub(super) age: Age,
    pub(super) der: CertificateRevocationListDer<'static>,
    pub(super) list: CertificateList,
}

/// How new the newest list of each authority is.
pub(super) type Ages = BTreeMap<String, Age>;

/// Every list of a text in PEM, each signed by one of the `issuers`.
pub(super) fn read(
    pem: &[u8],
    issuers: &[CertificateDer<'_>],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<Vec<Checked>, ListFault> {
    let mut all = Vec::new();
    for der in CertificateRevocationListDer::pem_slice_iter(pem) {
        let der = der.map_err(malformed)?;
        let list = CertificateList::from_der(&der).map_err(malformed)?;
        let issuer = name_text(&list.tbs_cert_list.issuer);
        if !issuers.iter().any(|issuer| has_signed(issuer, &list, algorithms)) {
            return Err(ListFault::Forged { issuer });
        }
        if all.len() == LISTS_MAX {
            return Err(malformed(format!("there are more than {LISTS_MAX} in it")));
        }
        all.push(Checked { issuer, age: Age::of(&list)?, der, list });
    }
    if all.is_empty() {
        return Err(malformed("there is none in it"));
    }
    Ok(all)
}

/// How new lists are, by authority.
pub(super) fn ages(lists: &[Checked]) -> Ages {
    let mut ages = Ages::new();
    for Checked { issuer, age, .. } in lists {
        let newest = ages.entry(issuer.clone()).or_insert(*age);
        *newest = (*newest).max(*age);
    }
    ages
}

/// Compares what was brought with what is in use. Lists are newer together: whoever leaves one out, or brings an older
/// one, would have somebody trusted again.
pub(super) fn judge(brought: &[Checked], in_use: &Ages) -> Result<Brought, ListFault> {
    let new = ages(brought);
    for (issuer, age) in in_use {
        if new.get(issuer).is_none_or(|new| new < age) {
            return Err(ListFault::Old { issuer: issuer.clone() });
        }
    }
    if new == *in_use {
        return Ok(Brought::Known);
    }
    let texts = brought.iter().map(|list| encode_string(LABEL, LineEnding::LF, &list.der));
    texts.collect::<Result<String, _>>().map(Brought::Newer).map_err(malformed)
}

fn malformed(why: impl ToString) -> ListFault {
    ListFault::Malformed { why: why.to_string() }
}

fn has_signed(
    issuer: &CertificateDer<'_>,
    list: &CertificateList,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> bool {
    let is_named = Certificate::from_der(issuer)
        .is_ok_and(|certificate| *certificate.tbs_certificate().subject() == list.tbs_cert_list.issuer);
    let (Ok(signed), Ok(algorithm)) = (list.tbs_cert_list.to_der(), list.signature_algorithm.to_der()) else {
        return false;
    };
    let Ok(issuer) = EndEntityCert::try_from(issuer) else { return false };
    is_named
        && algorithms.iter().any(|candidate| {
            // Both are the inside of the same sequence; only ours still has its head.
            algorithm.ends_with(candidate.signature_alg_id().as_ref())
                && issuer.verify_signature(*candidate, &signed, list.signature.raw_bytes()).is_ok()
        })
}
