//! The subject of a certificate: words for people. Nothing is decided by it.

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, PrintableStringRef, SetOfVec, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use super::CaError;

/// Longest value in a subject, in characters: X.520 allows no more for most.
pub const SUBJECT_VALUE_CHARS_MAX: usize = 64;

const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const LOCATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.7");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Who stands behind a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Two letters.
    pub country: String,
    /// The organization.
    pub organization: String,
    /// Where that is.
    pub location: String,
}

impl Default for Subject {
    fn default() -> Self {
        Self { country: "UN".to_owned(), organization: "Odeon".to_owned(), location: "Internet".to_owned() }
    }
}

/// A value is not allowed in a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` cannot be the {what} of a certificate: {why}")]
pub struct SubjectError {
    /// Which part of the subject.
    pub what: &'static str,
    /// The value.
    pub value: String,
    /// Why not.
    pub why: &'static str,
}

impl Subject {
    /// The subject with this common name.
    ///
    /// # Errors
    /// When the country has not two letters, or another value is empty, too long or unprintable.
    pub(crate) fn name(&self, common_name: &str) -> Result<Name, CaError> {
        let is_country = self.country.len() == 2 && self.country.bytes().all(|b| b.is_ascii_uppercase());
        if !is_country {
            return Err(refused("country", &self.country, "it is two upper-case letters").into());
        }
        let country = PrintableStringRef::new(&self.country).map_err(CaError::encoding)?;
        let mut parts = vec![part(COUNTRY, Any::encode_from(&country))?];
        for (what, oid, value) in [
            ("organization", ORGANIZATION, self.organization.as_str()),
            ("location", LOCATION, self.location.as_str()),
            ("common name", COMMON_NAME, common_name),
        ] {
            check(what, value)?;
            let text = Utf8StringRef::new(value).map_err(CaError::encoding)?;
            parts.push(part(oid, Any::encode_from(&text))?);
        }
        let mut names = RdnSequence::default();
        parts.into_iter().for_each(|part| names.push(part));
        names.to_der().and_then(|der| Name::from_der(&der)).map_err(CaError::encoding)
    }
}

fn part(
    oid: ObjectIdentifier,
    value: x509_cert::der::Result<Any>,
) -> Result<RelativeDistinguishedName, CaError> {
    let value = value.map_err(CaError::encoding)?;
    let set = SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }]).map_err(CaError::encoding)?;
    Ok(RelativeDistinguishedName::from(set))
}

fn check(what: &'static str, value: &str) -> Result<(), SubjectError> {
    if value.trim().is_empty() {
        return Err(refused(what, value, "it is empty"));
    }
    if value.chars().count() > SUBJECT_VALUE_CHARS_MAX {
        return Err(refused(what, value, "it has more than 64 characters"));
    }
    if value.chars().any(char::is_control) {
        return Err(refused(what, &value.escape_default().to_string(), "it has control characters"));
    }
    Ok(())
}

fn refused(what: &'static str, value: &str, why: &'static str) -> SubjectError {
    SubjectError { what, value: value.to_owned(), why }
}
