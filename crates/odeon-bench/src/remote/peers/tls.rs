//! Keys and certificates for one repetition of `raw-tls`: an authority of its own, and one certificate for each
//! side. TLS 1.3, and both sides show theirs.

use std::{fs, io, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};

use crate::{
    error::JobError,
    remote::question::{Task, Transport},
};

/// The name in the certificates.
const NAME: &str = "localhost";

const AUTHORITY: &str = "authority.der";
const CERTIFICATE: &str = "certificate.der";
const KEY: &str = "key.der";

fn library(error: impl std::fmt::Display) -> JobError {
    JobError::Library(error.to_string())
}

/// Makes an authority and a certificate in `directory`, if they are needed.
pub(crate) fn prepare(task: &Task, directory: &Path) -> Result<(), JobError> {
    if task.point.transport != Transport::Tls {
        return Ok(());
    }
    let key = KeyPair::generate().map_err(library)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(library)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).map_err(library)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().map_err(library)?;
    let params = CertificateParams::new(vec![NAME.to_owned()]).map_err(library)?;
    let certificate = params.signed_by(&key, &issuer).map_err(library)?;
    for (file, bytes) in [
        (AUTHORITY, authority.der().as_ref()),
        (CERTIFICATE, certificate.der().as_ref()),
        (KEY, &key.serialize_der()),
    ] {
        fs::write(directory.join(file), bytes).map_err(JobError::Directory)?;
    }
    Ok(())
}

/// What both sides need.
struct Material {
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

fn read(directory: &Path) -> Result<Material, JobError> {
    let file = |name| -> io::Result<Vec<u8>> { fs::read(directory.join(name)) };
    let mut roots = RootCertStore::empty();
    roots.add(file(AUTHORITY).map_err(JobError::Directory)?.into()).map_err(library)?;
    let chain = vec![file(CERTIFICATE).map_err(JobError::Directory)?.into()];
    let key = PrivateKeyDer::try_from(file(KEY).map_err(JobError::Directory)?).map_err(library)?;
    Ok(Material { roots, chain, key, provider: Arc::new(ring::default_provider()) })
}

/// The far side's configuration.
pub(crate) fn server(directory: &Path) -> Result<Arc<ServerConfig>, JobError> {
    let Material { roots, chain, key, provider } = read(directory)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(library)?;
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(library)
}

/// The near side's configuration.
pub(crate) fn client(directory: &Path) -> Result<Arc<ClientConfig>, JobError> {
    let Material { roots, chain, key, provider } = read(directory)?;
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
        .map(|mut config| {
            // Each contact is a first one.
            config.resumption = rustls::client::Resumption::disabled();
            Arc::new(config)
        })
        .map_err(library)
}

/// Whom the near side means to reach.
pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a valid name")
}
