//! What a server's certificate says, and why one is refused.
//!
//! | SAN URI | how many | says |
//! | --- | --- | --- |
//! | `odeon:server:<id>` | one | which server it is |
//! | `odeon:domain:<domain>` | one | its domain, the same as the id's |
//! | `odeon:cap:<capability>` | up to [`CERTIFICATE_CAPABILITIES_MAX`] | what it may do |
//!
//! Nothing is taken from the subject, from DNS names or from addresses. Other URIs below `odeon:` are refused: a
//! later version may narrow with them what the certificate is good for.

use std::fmt;
use std::str::FromStr;

use odeon_core::{Capabilities, Capability, Domain, ServerId, moment, to_hex};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// Most capabilities of one certificate.
pub const CERTIFICATE_CAPABILITIES_MAX: usize = 64;

/// Longest certificate, in bytes of DER: one with the most capabilities, each of the longest, fits.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Most attributes of an issuer's name: ours have four, and those of others a dozen. Each is looked up in a list of
/// thousands to be written as text, before anybody knows who sent the certificate.
pub const ISSUER_ATTRIBUTES_MAX: usize = 32;

/// Begins each of Odeon's URIs.
const SCHEME: &str = "odeon:";
pub(crate) const SERVER_URI: &str = "odeon:server:";
pub(crate) const DOMAIN_URI: &str = "odeon:domain:";
pub(crate) const CAPABILITY_URI: &str = "odeon:cap:";

/// Longest part of a refused name that is repeated in an error, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// A server's certificate, as far as it says who the server is and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Which server it is.
    pub server: ServerId,
    /// The server's domain.
    pub domain: Domain,
    /// What it may do.
    pub capabilities: Capabilities,
    /// The subject of the authority that issued it, as text.
    pub issuer: String,
    /// The serial number, in lower-case hexadecimal digits.
    pub serial: String,
    /// First second of its validity, since 1970.
    pub not_before: u64,
    /// Last second of its validity, since 1970.
    pub not_after: u64,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
}

impl PeerCertificate {
    /// Reads a certificate in DER. Nobody has verified it then: that is the handshake's affair.
    ///
    /// # Errors
    /// When it is no certificate, or does not name exactly one server and its domain.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateFault::TooLong.into());
        }
        let damaged = |e: x509_cert::der::Error| CertificateError::from(malformed(&e));
        let certificate = Certificate::from_der(der).map_err(damaged)?;
        let tbs = certificate.tbs_certificate();
        let names =
            tbs.get_extension::<SubjectAltName>().map_err(|_| malformed(&"its subject alternative names"))?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        });
        let Named { server, capabilities } = Named::read(uris)?;
        let validity = tbs.validity();
        let (not_before, not_after) = (
            validity.not_before.to_unix_duration().as_secs(),
            validity.not_after.to_unix_duration().as_secs(),
        );
        if not_after < not_before {
            let fault = malformed(&"it ends before it begins");
            return Err(CertificateError { server: Some(server), fault });
        }
        if tbs.issuer().iter().nth(ISSUER_ATTRIBUTES_MAX).is_some() {
            let fault =
                malformed(&format_args!("its issuer has more than {ISSUER_ATTRIBUTES_MAX} attributes"));
            return Err(CertificateError { server: Some(server), fault });
        }
        Ok(Self {
            domain: server.domain().clone(),
            server,
            capabilities,
            issuer: name_text(tbs.issuer()),
            serial: serial_text(tbs.serial_number().as_bytes()),
            not_before,
            not_after,
            fingerprint: Sha256::digest(der).into(),
        })
    }
}

/// What the URIs of a certificate say.
struct Named {
    server: ServerId,
    capabilities: Capabilities,
}

impl Named {
    fn read<'a>(uris: impl Iterator<Item = &'a str>) -> Result<Self, CertificateError> {
        let (mut servers, mut domains, mut capabilities) = (Vec::new(), Vec::new(), Vec::new());
        for uri in uris {
            if let Some(id) = uri.strip_prefix(SERVER_URI) {
                servers.push(parse::<ServerId>(uri, id)?);
            } else if let Some(domain) = uri.strip_prefix(DOMAIN_URI) {
                domains.push(parse::<Domain>(uri, domain)?);
            } else if let Some(capability) = uri.strip_prefix(CAPABILITY_URI) {
                capabilities.push(parse::<Capability>(uri, capability)?);
            } else if uri.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME)) {
                return Err(CertificateFault::UnknownName { uri: shown(uri) }.into());
            }
        }
        let server = match servers.as_slice() {
            [server] => server.clone(),
            [] => return Err(CertificateFault::NoServer.into()),
            _ => return Err(CertificateFault::SeveralServers.into()),
        };
        let of = |fault| CertificateError { server: Some(server.clone()), fault };
        match domains.as_slice() {
            [domain] if domain == server.domain() => {}
            [domain] => return Err(of(CertificateFault::DomainContradicts { domain: domain.clone() })),
            [] => return Err(of(CertificateFault::NoDomain)),
            _ => return Err(of(CertificateFault::SeveralDomains)),
        }
        if capabilities.len() > CERTIFICATE_CAPABILITIES_MAX {
            return Err(of(CertificateFault::TooManyCapabilities));
        }
        Ok(Self { server, capabilities: capabilities.into_iter().collect() })
    }
}

fn parse<T: FromStr>(uri: &str, value: &str) -> Result<T, CertificateError> {
    value.parse().map_err(|_| CertificateFault::BadName { uri: shown(uri) }.into())
}

/// What a stranger has written, fit for an error: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_default).collect()
}

fn malformed(what: &dyn fmt::Display) -> CertificateFault {
    CertificateFault::Malformed { what: what.to_string() }
}

/// A subject or an issuer as text, by which it is also found again: without control characters, those past ASCII
/// included, which the library lets through.
pub(crate) fn name_text(name: &Name) -> String {
    let mut text = String::new();
    for c in name.to_string().chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

/// A serial number as it is written everywhere: hexadecimal, without the sign's leading zero byte.
pub(crate) fn serial_text(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    to_hex(bytes)
}

/// A certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateError {
    /// The server that it names, where it names one. Unproven: the certificate was refused.
    pub server: Option<ServerId>,
    /// Why.
    pub fault: CertificateFault,
}

impl CertificateError {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.fault.code()
    }
}

impl From<CertificateFault> for CertificateError {
    fn from(fault: CertificateFault) -> Self {
        Self { server: None, fault }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "the certificate in the name of {server} {}", self.fault),
            None => write!(f, "the certificate {}", self.fault),
        }
    }
}

impl std::error::Error for CertificateError {}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It cannot be read.
    #[error("is damaged: {what}")]
    Malformed {
        /// Where, as far as known.
        what: String,
    },
    /// It is longer than [`CERTIFICATE_BYTES_MAX`].
    #[error("has more than {CERTIFICATE_BYTES_MAX} bytes")]
    TooLong,
    /// More certificates than any chain of ours has came with it.
    #[error("came with more than {max} others")]
    ChainTooLong {
        /// The limit.
        max: usize,
    },
    /// It, or an authority above it, is past its end.
    #[error("or one above it ended at {}: renew it with `ca renew`", moment(*.not_after))]
    Expired {
        /// Its last second, since 1970.
        not_after: u64,
    },
    /// It, or an authority above it, is not valid yet.
    #[error("or one above it begins only at {}: compare the clocks of both hosts", moment(*.not_before))]
    NotYetValid {
        /// Its first second, since 1970.
        not_before: u64,
    },
    /// No authority of ours stands above it.
    #[error("was not issued by an authority of this ensemble")]
    UnknownIssuer,
    /// Its signature, or one above it, is not the issuer's: it was changed, or comes from an ensemble whose
    /// authorities have the same names.
    #[error("was not signed by the authority of this ensemble that it names")]
    BadSignature,
    /// It, or an authority above it, stands on a revocation list.
    #[error("was revoked")]
    Revoked,
    /// The revocation list cannot be used.
    #[error("cannot be checked for revocation: {why}")]
    RevocationUnknown {
        /// Why not.
        why: String,
    },
    /// It is not meant for this side of a link.
    #[error("is not meant for {usage}: its extended key usage says otherwise")]
    WrongUsage {
        /// What it was used for.
        usage: Usage,
    },
    /// It is an authority's own.
    #[error("is an authority's and not a server's")]
    IsAuthority,
    /// It was issued by a server, which is no authority, or below an authority that may have none below it.
    #[error("was issued by a certificate that may not issue")]
    IssuerMayNot,
    /// It names no server.
    #[error("names no server: there is no `odeon:server:` URI in it")]
    NoServer,
    /// It names more than one.
    #[error("names more than one server")]
    SeveralServers,
    /// It does not name a domain.
    #[error("names no domain: there is no `odeon:domain:` URI in it")]
    NoDomain,
    /// It names more than one.
    #[error("names more than one domain")]
    SeveralDomains,
    /// Its domain is not that of its server.
    #[error("contradicts itself: it names the domain {domain}")]
    DomainContradicts {
        /// The domain that it names apart.
        domain: Domain,
    },
    /// It has more than [`CERTIFICATE_CAPABILITIES_MAX`] capabilities.
    #[error("has more than {CERTIFICATE_CAPABILITIES_MAX} capabilities")]
    TooManyCapabilities,
    /// One of its names is malformed.
    #[error("has a malformed name: `{uri}`")]
    BadName {
        /// The name.
        uri: String,
    },
    /// One of its names is of a kind that this version does not know.
    #[error("has a name of an unknown kind: `{uri}`")]
    UnknownName {
        /// The name.
        uri: String,
    },
    /// Anything else that the rules of X.509 forbid.
    #[error("breaks a rule of X.509: {rule}")]
    Forbidden {
        /// Which.
        rule: String,
    },
}

impl CertificateFault {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "certificate-malformed",
            Self::TooLong => "certificate-too-long",
            Self::ChainTooLong { .. } => "certificate-chain-too-long",
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::UnknownIssuer => "certificate-unknown-issuer",
            Self::BadSignature => "certificate-bad-signature",
            Self::Revoked => "certificate-revoked",
            Self::RevocationUnknown { .. } => "certificate-revocation-unknown",
            Self::WrongUsage { .. } => "certificate-wrong-usage",
            Self::IsAuthority => "certificate-is-authority",
            Self::IssuerMayNot => "certificate-issuer-may-not",
            Self::NoServer => "certificate-no-server",
            Self::SeveralServers => "certificate-several-servers",
            Self::NoDomain => "certificate-no-domain",
            Self::SeveralDomains => "certificate-several-domains",
            Self::DomainContradicts { .. } => "certificate-domain-contradicts",
            Self::TooManyCapabilities => "certificate-too-many-capabilities",
            Self::BadName { .. } => "certificate-bad-name",
            Self::UnknownName { .. } => "certificate-unknown-name",
            Self::Forbidden { .. } => "certificate-forbidden",
        }
    }
}

/// What a certificate is used for in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To connect: the dialler's.
    Dialling,
    /// To be connected to: the listener's.
    Listening,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dialling => "dialling",
            Self::Listening => "listening",
        })
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::der::Encode as _;
    use x509_cert::name::RdnSequence;

    use super::*;
    use crate::ca::{Holder, Order, Parent, Subject, certify};
    use crate::keys::{KeyKind, PrivateKey};
    use crate::testing::{NOW, Pki, Seeded, id};

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_refused_and_says_whose_it_was() {
        let pki = Pki::new(KeyKind::Ed25519);
        let read = |not_after| {
            let made = pki.bent("web-0@/", &pki.sub, |order| {
                (order.not_before, order.not_after) = (NOW, not_after);
            });
            PeerCertificate::read(&made.certificate.to_der().expect("an encoding"))
        };
        assert_eq!(read(NOW).map(|read| (read.not_before, read.not_after)), Ok((NOW, NOW)));
        let error = read(NOW - 1).expect_err("it is valid at no time");
        assert_eq!(error.code(), "certificate-malformed");
        assert_eq!(
            error.to_string(),
            "the certificate in the name of web-0@/ is damaged: it ends before it begins"
        );
    }

    #[test]
    fn an_issuer_has_32_attributes_at_most() {
        let rng = Seeded::default();
        let key = PrivateKey::generate(KeyKind::Ed25519, &rng);
        let read = |attributes: usize| {
            let four = Subject::default().name("root").expect("a subject");
            let mut issuer = RdnSequence::default();
            let parts: Vec<_> = four.iter_rdn().collect();
            parts.iter().cycle().take(attributes).for_each(|part| issuer.push((*part).clone()));
            let issuer = issuer.to_der().and_then(|der| Name::from_der(&der)).expect("a name");
            let order = Order {
                holder: Holder::server(&id("web-0@/"), &Capabilities::none()),
                subject: four,
                not_before: NOW,
                not_after: NOW,
            };
            let made = certify(order, &key, Some(&Parent { name: &issuer, key: &key }), &rng).expect("made");
            PeerCertificate::read(&made.to_der().expect("an encoding"))
        };
        assert!(read(ISSUER_ATTRIBUTES_MAX).is_ok());
        let error = read(ISSUER_ATTRIBUTES_MAX + 1).expect_err("too many");
        assert!(error.to_string().contains("more than 32 attributes"), "{error}");
    }

    #[test]
    fn the_name_of_an_issuer_has_no_control_characters() {
        let pki = Pki::called(KeyKind::Ed25519, "root**", 0);
        let der = pki.server("web-0@/").certificate.to_der().expect("an encoding");
        let of = |bytes: &[u8; 2]| {
            let mut der = der.clone();
            let at = der.windows(2).position(|window| window == b"**").expect("the issuer's name");
            der[at..at + 2].copy_from_slice(bytes);
            PeerCertificate::read(&der).expect("nobody has looked at the signature").issuer
        };
        assert!(of("é".as_bytes().try_into().expect("two bytes")).contains("below the rooté"));
        let issuer = of(&[0xc2, 0x9b]);
        assert!(issuer.contains("below the root\\u{9b}"), "{issuer}");
        assert!(!of(b"\x1b[").contains(char::is_control));
    }
}
