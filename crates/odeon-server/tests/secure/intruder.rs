//! Somebody who speaks TLS and shows whatever certificates it likes; and an honest server that is served meanwhile.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use odeon_auth::tls::ALPN;
use odeon_server::Server;
use odeon_wire::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::support::{PATIENCE, Site, ask, hello_of};

/// Believes everybody.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What it shows: certificates in DER, and the key of the first in PKCS#8.
#[derive(Debug, Clone)]
pub(crate) struct Shows {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Vec<u8>,
}

/// Where a server listens, without the kind.
pub(crate) fn place(server: &Server) -> String {
    let place = server.addresses()[0].to_string();
    place.strip_prefix("tls:").expect("a tls address").to_owned()
}

impl Shows {
    /// How it speaks TLS.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::Pkcs8(self.key.clone().into());
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous))
            .with_client_auth_cert(chain, key)
            .map_err(|e| e.to_string())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

/// Shakes hands with `at` and says hello as `claims`, without waiting for the verdict.
pub(crate) async fn connect(at: &str, shows: &Shows, claims: &str) -> Result<TlsStream<TcpStream>, String> {
    let stream = TcpStream::connect(at).await.map_err(|e| e.to_string())?;
    greet(stream, shows.config()?, claims).await
}

/// The same over a connection that there is.
async fn greet(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    claims: &str,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let mut stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| e.to_string())?;
    let mut hello = Vec::new();
    Frame::Hello(hello_of(claims)).encode(&mut hello);
    let length = u32::try_from(hello.len()).expect("small").to_be_bytes();
    let sent = async {
        stream.write_all(&[&length[..], &hello].concat()).await?;
        stream.flush().await
    };
    sent.await.map_err(|e: std::io::Error| e.to_string())?;
    Ok(stream)
}

/// The hello with which the server answers, or why there is none.
pub(crate) async fn answered(at: &str, shows: &Shows, claims: &str) -> Result<(), String> {
    let attempt = async { hello_back(connect(at, shows, claims).await?).await };
    tokio::time::timeout(PATIENCE, attempt).await.expect("an answer or the end")
}

/// The same, from this address of this host.
pub(crate) async fn answered_from(
    from: Ipv4Addr,
    at: &str,
    config: Arc<ClientConfig>,
    claims: &str,
) -> Result<(), String> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("any of 127/8 is this host's");
    let stream = socket.connect(at.parse().expect("an address")).await.map_err(|e| e.to_string())?;
    hello_back(greet(stream, config, claims).await?).await
}

async fn hello_back(mut stream: TlsStream<TcpStream>) -> Result<(), String> {
    let length = stream.read_u32().await.map_err(|e| e.to_string())?;
    let mut bytes = vec![0; usize::try_from(length).expect("small")];
    stream.read_exact(&mut bytes).await.map_err(|e| e.to_string())?;
    match Frame::decode(&bytes) {
        Ok(Frame::Hello(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Slower than this nobody is served: an ask is given up after five seconds.
const SERVED_WITHIN: Duration = Duration::from_secs(4);

/// Runs an attack against `b` while `c@/` asks it all the time over a link, and then once over a new one; prints how
/// long the answers took.
pub(crate) async fn served_meanwhile<T>(
    row: &str,
    site: &Site,
    b: &Server,
    attack: impl Future<Output = T>,
) -> T {
    let honest = site.client("c@/", b).await;
    assert_eq!(ask(&honest, b.id()).await, Ok("hi".into()));
    let over = std::cell::Cell::new(false);
    let asking = async {
        let mut took = Vec::new();
        while !over.get() {
            let asked = Instant::now();
            assert_eq!(ask(&honest, b.id()).await, Ok("hi".into()), "{row}");
            took.push(asked.elapsed());
            tokio::task::yield_now().await;
        }
        took
    };
    let attacking = async {
        let outcome = attack.await;
        over.set(true);
        outcome
    };
    let (mut took, outcome) = tokio::join!(asking, attacking);
    took.sort_unstable();
    let (middle, last) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(last < SERVED_WITHIN, "{row}: an answer took {last:?}");
    let began = Instant::now();
    let newcomer = site.client("a@/", b).await;
    assert_eq!(ask(&newcomer, b.id()).await, Ok("hi".into()), "{row}: whoever comes new is served");
    println!(
        "{row}: {} answers, median {middle:?}, longest {last:?}; a new link {:?}",
        took.len(),
        began.elapsed()
    );
    newcomer.shutdown(Duration::ZERO).await;
    outcome
}
