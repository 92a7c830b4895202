//! Making one certificate: what is in it, and the signature.

use std::time::Duration;

use odeon_core::seam::Rng;
use odeon_core::{Capabilities, ServerId};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder as _, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::DateTime;
use x509_cert::der::asn1::Ia5String;
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::{Time, Validity};

use super::CaError;
use crate::certificate::{CAPABILITY_URI, DOMAIN_URI, SERVER_URI};
use crate::keys::{PrivateKey, Secret};

/// Longest validity, in days: a little over ten years.
pub const DAYS_MAX: u32 = 3_660;

/// How much earlier than now a certificate begins, in seconds: clocks of hosts that disagree by less still agree
/// that it is valid.
pub const SKEW_S: u64 = 300;

/// The two purposes that a server's certificate has.
pub(crate) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
pub(crate) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Length of a serial number, in bytes.
const SERIAL_BYTES: usize = 16;

/// What a certificate is for.
#[derive(Debug, Clone)]
pub(crate) enum Holder {
    /// The root authority.
    Root,
    /// The authority below it, which has servers below it and no authorities.
    Sub,
    /// A server, with its URIs and its purposes.
    Server { uris: Vec<String>, purposes: Vec<ObjectIdentifier> },
}

impl Holder {
    /// The server `id`, with these capabilities.
    pub(crate) fn server(id: &ServerId, capabilities: &Capabilities) -> Self {
        let mut uris = vec![format!("{SERVER_URI}{id}"), format!("{DOMAIN_URI}{}", id.domain())];
        uris.extend(capabilities.iter().map(|capability| format!("{CAPABILITY_URI}{capability}")));
        Self::Server { uris, purposes: vec![SERVER_AUTH, CLIENT_AUTH] }
    }
}

/// A certificate to be made.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) holder: Holder,
    pub(crate) subject: Name,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
}

/// Who signs it.
pub(crate) struct Parent<'a> {
    pub(crate) name: &'a Name,
    pub(crate) key: &'a PrivateKey,
}

/// Makes and signs a certificate for the public half of `key`; with its own signature when there is no parent.
pub(crate) fn certify(
    order: Order,
    key: &PrivateKey,
    parent: Option<&Parent<'_>>,
    rng: &dyn Rng,
) -> Result<Certificate, CaError> {
    let validity = Validity::new(time(order.not_before)?, time(order.not_after)?);
    let issuer = parent.map_or_else(|| order.subject.clone(), |parent| parent.name.clone());
    let profile = Profile { holder: order.holder, subject: order.subject, issuer };
    let signer = parent.map_or(key, |parent| parent.key);
    let builder = CertificateBuilder::new(profile, serial(rng)?, validity, key.public());
    let builder = builder.map_err(CaError::encoding)?;
    let made = match signer.secret() {
        Secret::Ed25519(key) => builder.build::<_, ed25519_dalek::Signature>(key),
        Secret::P256(key) => builder.build::<_, p256::ecdsa::DerSignature>(key),
    };
    made.map_err(CaError::encoding)
}

/// A moment as certificates write it.
pub(super) fn time(unix_s: u64) -> Result<Time, CaError> {
    DateTime::from_unix_duration(Duration::from_secs(unix_s)).map(Time::from).map_err(CaError::encoding)
}

/// 128 random bits, but never a number that begins with a zero byte or needs a sign's byte before it: so its text
/// has one length.
fn serial(rng: &dyn Rng) -> Result<SerialNumber, CaError> {
    let mut bytes = [0; SERIAL_BYTES];
    rng.fill(&mut bytes);
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::new(&bytes).map_err(CaError::encoding)
}

/// What the builder asks about a certificate.
struct Profile {
    holder: Holder,
    subject: Name,
    issuer: Name,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let mut extensions = Extensions { subject: &self.subject, all: Vec::new() };
        let authority = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
        let (constraints, usage, purposes, uris): (_, FlagSet<KeyUsages>, &[_], &[_]) = match &self.holder {
            Holder::Root => {
                (BasicConstraints { ca: true, path_len_constraint: Some(1) }, authority, &[], &[])
            }
            Holder::Sub => {
                let constraints = BasicConstraints { ca: true, path_len_constraint: Some(0) };
                (constraints, authority, &[SERVER_AUTH, CLIENT_AUTH], &[])
            }
            Holder::Server { uris, purposes } => {
                let constraints = BasicConstraints { ca: false, path_len_constraint: None };
                (constraints, KeyUsages::DigitalSignature.into(), purposes, uris)
            }
        };
        // Critical are the two that every verifier knows. The URIs are not: what has no use for them may still
        // use the certificate.
        extensions.add((true, &constraints))?;
        extensions.add((true, &KeyUsage(usage)))?;
        if !purposes.is_empty() {
            extensions.add((false, &ExtendedKeyUsage(purposes.to_vec())))?;
        }
        if !uris.is_empty() {
            let uris = uris.iter().map(|uri| Ia5String::new(uri).map(GeneralName::UniformResourceIdentifier));
            extensions.add((false, &SubjectAltName(uris.collect::<Result<_, _>>()?)))?;
        }
        let authority_key = SubjectKeyIdentifier::try_from(issuer_key)?;
        extensions.add((false, &SubjectKeyIdentifier::try_from(key)?))?;
        extensions.add((
            false,
            &AuthorityKeyIdentifier { key_identifier: Some(authority_key.0), ..Default::default() },
        ))?;
        Ok(extensions.all)
    }
}

/// The extensions as they come.
struct Extensions<'a> {
    subject: &'a Name,
    all: Vec<Extension>,
}

impl Extensions<'_> {
    fn add<E: ToExtension<Error = x509_cert::der::Error>>(&mut self, extension: E) -> builder::Result<()> {
        let extension = extension.to_extension(self.subject, &self.all)?;
        self.all.push(extension);
        Ok(())
    }
}
