//! TLS between servers: a server's certificate and key, the authorities it trusts, and what both make of a peer.
//!
//! TLS 1.3 only, both sides authenticated, under the protocol name [`ALPN`]. There are no session tickets: a
//! resumed session would skip the peer's certificate, and with it expiry and revocation. Trust is in our own
//! roots alone; the system's are never asked, nor any name of DNS.
//!
//! [`TlsContext`] owns what was loaded. Its two configurations stay the same for ever and look at what is loaded
//! at each handshake, so a listener that holds one goes on with the new certificate after a reload.

mod lists;
mod load;
mod trust;
mod verifier;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, CommonState, ProtocolVersion, ServerConfig, SignatureScheme};
use x509_cert::der::{Decode as _, Encode as _};

use self::load::Loaded;
use self::verifier::Verifier;
use crate::certificate::{CertificateError, CertificateFault, PeerCertificate, Usage};
use crate::files::FileError;

pub(crate) use self::lists::list_number;
pub use self::lists::{BROUGHT_LIST_BYTES_MAX, Brought, LISTS_MAX, ListFault};
pub use self::load::{CRL_FILE_BYTES_MAX, REVOKED_MAX};
pub use self::trust::INTERMEDIATES_MAX;

/// The protocol spoken inside, as both sides name it in the handshake.
pub const ALPN: &[u8] = b"odeon/2";

/// Most lists of authorities of which one copy is kept for all peers that show it: a handful of subordinates, and more
/// cost memory and nothing else.
const ISSUER_LISTS_MAX: usize = 16;

/// Where a server's certificate, its key and what it trusts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and the authorities' between it and the root, in PEM.
    pub chain: PathBuf,
    /// The server's private key, PKCS#8 in PEM, readable by its owner alone.
    pub key: PathBuf,
    /// The authorities to trust, in PEM. Those that signed themselves are the roots.
    pub roots: PathBuf,
    /// Revocation lists in PEM. Where a path is given there must be a file: a list that went missing is no
    /// reason to trust again whom it names.
    pub crl: Option<PathBuf>,
}

impl TlsFiles {
    /// The files of the server whose directory is `server`, in the home `home`. Certificates come with a revocation
    /// list, so there must be one.
    #[must_use]
    pub fn of(home: &Path, server: &Path) -> Self {
        let files = crate::ca::CaFiles::below(home);
        let own = crate::ca::ServerFiles::below(server);
        Self { chain: own.chain(), key: own.key(), roots: files.root_pem(), crl: Some(files.crl()) }
    }

    /// Whether the server has a certificate at all. If not, it speaks no TLS; if so, everything else must be there.
    /// One that cannot be looked at is there: whoever loads it learns why not.
    #[must_use]
    pub fn are_there(&self) -> bool {
        !self.chain.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Why TLS cannot be used, or not with the new files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds something else than it should.
    #[error("the {what} at {} cannot be used: {why}", .path.display())]
    Unusable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The key is another certificate's.
    #[error("the private key at {} does not belong to the certificate at {}: restore it, or issue a new certificate with `ca cert --force`", .key.display(), .chain.display())]
    KeyMismatch {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The server's own certificate would be refused by its peers.
    #[error("the certificate at {} would be refused by every peer", .path.display())]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// What a peer would say.
        #[source]
        source: CertificateError,
    },
    /// The TLS library refuses.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

impl TlsError {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(e) => e.code(),
            Self::Unusable { .. } => "unusable",
            Self::KeyMismatch { .. } => "key-mismatch",
            Self::Refused { source, .. } => source.code(),
            Self::Library(_) => "tls",
        }
    }
}

/// A handshake has ended in something that is no link of Odeon's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Another protocol is spoken inside, or none was named.
    #[error("the peer does not speak `odeon/2` inside of TLS")]
    Protocol,
    /// The peer has shown no certificate.
    #[error("the peer has shown no certificate")]
    NoCertificate,
    /// The peer's certificate names no server.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A server's TLS: cheap to clone, shared between clones, and loaded again without a restart.
#[derive(Clone)]
pub struct TlsContext(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    current: Arc<Current>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    issuers: Issuers,
}

/// What is loaded now, and what time it is.
struct Current {
    loaded: RwLock<Arc<Loaded>>,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Current {
    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs((self.now)()))
    }
}

impl TlsContext {
    /// Loads the files. `now` tells the seconds since 1970, at each handshake.
    ///
    /// # Errors
    /// When a file is missing or unusable, the key is readable by others or another certificate's, or the
    /// server's own certificate would be refused by its peers at this moment.
    pub fn load(files: &TlsFiles, now: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let loaded = Loaded::load(files, &provider, now())?;
        let current = Arc::new(Current { loaded: RwLock::new(Arc::new(loaded)), now: Box::new(now) });
        let client = client_config(&current, &provider).map_err(TlsError::Library)?;
        let server = server_config(&current, &provider).map_err(TlsError::Library)?;
        Ok(Self(Arc::new(Shared {
            files: files.clone(),
            current,
            client: Arc::new(client),
            server: Arc::new(server),
            issuers: Issuers::default(),
        })))
    }

    /// Loads the files again. Handshakes that begin afterwards use the new ones; links that stand go on.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when the certificate now names another server; what was loaded before
    /// stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let provider = self.0.client.crypto_provider();
        let loaded = Loaded::load(&self.0.files, provider, (self.0.current.now)())?;
        let own = self.own();
        if loaded.own.server != own.server {
            return Err(TlsError::Unusable {
                what: "certificate",
                path: self.0.files.chain.clone(),
                why: format!("it names {}, and this is {}", loaded.own.server, own.server),
            });
        }
        *self.0.current.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(())
    }

    /// How to connect. The name to connect under is [`server_name`]; it means nothing.
    #[must_use]
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.0.client.clone()
    }

    /// How to be connected to.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.0.server.clone()
    }

    /// The certificate in use.
    #[must_use]
    pub fn own(&self) -> PeerCertificate {
        self.0.current.loaded().own.clone()
    }

    /// The files that it was loaded from.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.0.files
    }

    /// What the peer of a connection has shown in the handshake. The side that connected is `is_dialler`, and its peer
    /// listens. None if that was nothing.
    #[must_use]
    pub fn shown(&self, connection: &CommonState, is_dialler: bool) -> Option<Shown> {
        let [leaf, others @ ..] = connection.peer_certificates()? else { return None };
        let usage = if is_dialler { Usage::Listening } else { Usage::Dialling };
        Some(Shown { leaf: leaf.clone().into_owned(), others: self.0.issuers.share(others), usage })
    }

    /// Judges revocation lists in PEM that somebody has brought, whoever that is: they must be signed by the ensemble's
    /// authorities and none older than what is in use. The caller puts newer ones in their file's place and
    /// [reloads](Self::reload). `file` is what is in that place at this moment: another server of the host may have
    /// put newer ones there.
    ///
    /// # Errors
    /// When they are too long, none, forged or old, or this server looks at no list.
    pub fn judge_lists(&self, brought: &str, file: Option<&[u8]>) -> Result<Brought, ListFault> {
        if brought.len() > BROUGHT_LIST_BYTES_MAX {
            return Err(ListFault::TooLong { bytes: brought.len() });
        }
        if self.0.files.crl.is_none() {
            return Err(ListFault::NoPlace);
        }
        let Loaded { issuers, ages, trust, .. } = &*self.0.current.loaded();
        let brought = lists::read(brought.as_bytes(), issuers, trust.algorithms)?;
        let of_those_in_use = lists::judge(&brought, ages)?;
        // A file that cannot be used is nothing to compare with: what was loaded of it before is.
        let there = file.and_then(|pem| lists::read(pem, issuers, trust.algorithms).ok());
        let of_those_there = there.map(|there| lists::judge(&brought, &lists::ages(&there))).transpose()?;
        // What is there already may not be in use yet.
        Ok(of_those_there.filter(|judged| *judged != Brought::Known).unwrap_or(of_those_in_use))
    }

    /// Verifies once more what a peer has shown, against what is loaded now: it, or an authority above it, may have
    /// been revoked since.
    ///
    /// # Errors
    /// What would be said of it in a handshake at this moment.
    pub fn verify_again(&self, shown: &Shown) -> Result<(), CertificateError> {
        let Shown { leaf, others, usage } = shown;
        let current = &self.0.current;
        current.loaded().trust.verify(leaf, others, *usage, current.now()).map(|_| ())
    }

    /// Whether the revocation list in use names this certificate. Its link is to be closed then.
    #[must_use]
    pub fn is_revoked(&self, peer: &PeerCertificate) -> bool {
        self.0.current.loaded().trust.is_revoked(peer)
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext").field("own", &self.own()).finish_non_exhaustive()
    }
}

/// What rustls wants to call the peer. It is an address, so it is not sent, and nothing is compared with it.
#[must_use]
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())
}

/// The certificates that a peer has shown, kept to be verified again.
#[derive(Debug, Clone)]
pub struct Shown {
    leaf: CertificateDer<'static>,
    others: Arc<[CertificateDer<'static>]>,
    usage: Usage,
}

/// The certificates of authorities that peers have shown, each list of them kept once: all servers of an ensemble show
/// the same.
#[derive(Default)]
struct Issuers(Mutex<Vec<Weak<[CertificateDer<'static>]>>>);

impl Issuers {
    /// The list that is kept, if there is one of these; else a new one.
    fn share(&self, shown: &[CertificateDer<'_>]) -> Arc<[CertificateDer<'static>]> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = kept.iter().filter_map(Weak::upgrade).find(|list| **list == *shown) {
            return same;
        }
        let new: Arc<[_]> = shown.iter().map(|der| der.clone().into_owned()).collect();
        kept.retain(|list| list.strong_count() > 0);
        if kept.len() < ISSUER_LISTS_MAX {
            kept.push(Arc::downgrade(&new));
        }
        new
    }
}

/// Whether a certificate was signed by this authority, whatever its time and purpose.
pub(crate) fn is_signed_by(der: &[u8], authority: &[u8]) -> bool {
    let Ok(certificate) = x509_cert::Certificate::from_der(der) else { return false };
    let (Ok(signed), Ok(algorithm)) =
        (certificate.tbs_certificate().to_der(), certificate.signature_algorithm().to_der())
    else {
        return false;
    };
    let authority = CertificateDer::from(authority);
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    webpki::EndEntityCert::try_from(&authority).is_ok_and(|authority| {
        algorithms.iter().any(|candidate| {
            // Both are the inside of the same sequence; only ours still has its head.
            algorithm.ends_with(candidate.signature_alg_id().as_ref())
                && authority
                    .verify_signature(*candidate, &signed, certificate.signature().raw_bytes())
                    .is_ok()
        })
    })
}

/// Who is at the other end, once the handshake is complete. The certificate has been verified in it.
///
/// # Errors
/// When the link is not TLS 1.3 with [`ALPN`] inside, or the peer has no server's certificate.
pub fn peer(connection: &CommonState) -> Result<PeerCertificate, HandshakeError> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3)
        || connection.alpn_protocol() != Some(ALPN)
    {
        return Err(HandshakeError::Protocol);
    }
    let shown = connection.peer_certificates().unwrap_or_default();
    let leaf = shown.first().ok_or(HandshakeError::NoCertificate)?;
    Ok(PeerCertificate::read(leaf)?)
}

/// Why a handshake failed, where it was for the peer's certificate.
#[must_use]
pub fn refusal(error: &rustls::Error) -> Option<CertificateError> {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.downcast_ref::<CertificateError>().cloned()
        }
        rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature) => {
            Some(CertificateFault::BadSignature.into())
        }
        _ => None,
    }
}

fn client_config(
    current: &Arc<Current>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(provider.clone(), Arc::new(Time(current.clone())))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(current.clone(), provider)))
        .with_client_cert_resolver(Arc::new(Own(current.clone())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

fn server_config(
    current: &Arc<Current>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_details(provider.clone(), Arc::new(Time(current.clone())))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(Verifier::new(current.clone(), provider)))
        .with_cert_resolver(Arc::new(Own(current.clone())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Shows the certificate that is loaded at the moment of the handshake.
struct Own(Arc<Current>);

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own(..)")
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls lets a dialler pass that names no protocol at all.
        let speaks_ours = hello.alpn().is_some_and(|mut named| named.any(|protocol| protocol == ALPN));
        speaks_ours.then(|| self.0.loaded().key.clone())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.loaded().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The time as the context's owner tells it.
struct Time(Arc<Current>);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time(..)")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0.now())
    }
}
