//! What happens between our check of a peer and its word that it accepts us.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use odeon_auth::{Cookie, Side, prove, transcript};
use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{Epoch, Instant};
use odeon_server::Server;
use odeon_wire::{Frame, Hello};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Site, copy_all, hello_of, id, wait_until};

/// A clock that counts how often it is asked for the date: once for each certificate that is looked at.
#[derive(Debug)]
struct Asked(Arc<dyn Clock>, Arc<AtomicUsize>);

impl Clock for Asked {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix_ms(&self) -> u64 {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unix_ms()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at)
    }
}

/// The next frame; `mask` is what the peer puts over lengths, which is nothing until it has proven itself.
async fn frame(stream: &mut TlsStream<TcpStream>, mask: u32) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()? ^ mask;
    let mut bytes = vec![0; usize::try_from(length).expect("small")];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn send(stream: &mut TlsStream<TcpStream>, mask: u32, frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    stream.write_u32(u32::try_from(bytes.len()).expect("small") ^ mask).await.expect("sent");
    stream.write_all(&bytes).await.expect("sent");
    stream.flush().await.expect("sent");
    bytes
}

/// What a side puts over the lengths of its frames when it has sent its proof.
fn mask(proof: &[u8; 32]) -> u32 {
    u32::from_be_bytes([proof[0], proof[1], proof[2], proof[3]])
}

#[tokio::test]
async fn a_peer_whose_authority_goes_between_our_check_and_its_accept_is_not_kept() {
    let (site, other) = (Site::new(), Site::other());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = format!("tls:{}", listener.local_addr().expect("bound")).parse().expect("an address");
    let acceptor = TlsAcceptor::from(site.context("b@/").server_config());
    let asked = Arc::<AtomicUsize>::default();
    let mut config = site.config("a@/").epoch(Epoch(1)).known(id("b@/"), vec![address]);
    config.world.clock = Arc::new(Asked(Arc::clone(&config.world.clock), Arc::clone(&asked)));
    let a = Server::start(config).await.expect("starts");
    let connecting = tokio::spawn({
        let a = a.clone();
        async move { a.connect(&id("b@/"), &[]).await }
    });
    let (tcp, _) = listener.accept().await.expect("connected");
    let mut stream = acceptor.accept(tcp).await.expect("secured");
    let key = stream.get_ref().1.export_keying_material([0; 32], b"EXPORTER-odeon-link", None);
    let key = Cookie::from_bytes(key.expect("a key"));
    let theirs = frame(&mut stream, 0).await.expect("a hello");
    let ours =
        send(&mut stream, 0, &Frame::Hello(Hello { epoch: Epoch(1), wanted: None, ..hello_of("b@/") })).await;
    let bytes = frame(&mut stream, 0).await.expect("a proof");
    let Ok(Frame::Proof { mac: their_proof }) = Frame::decode(&bytes) else { panic!("{bytes:?}") };
    let before = asked.load(Ordering::SeqCst);
    let proof = prove(&key, Side::Listener, &transcript(&theirs, &ours));
    send(&mut stream, 0, &Frame::Proof { mac: proof.0 }).await;
    wait_until("our certificate is looked at", || asked.load(Ordering::SeqCst) > before).await;
    // Another authority from now on: whoever stands below the old one is nobody.
    copy_all(other.home.root(), site.home.root());
    assert_eq!(
        a.reload_tls().expect("reloaded").expect("it has a certificate").closed,
        0,
        "not taken in yet"
    );
    send(&mut stream, mask(&proof.0), &Frame::Accept).await;
    let mut last = None;
    while let Some(bytes) = frame(&mut stream, mask(&their_proof)).await {
        last = Some(bytes);
    }
    let last = last.expect("a word of farewell");
    let Ok(Frame::Refuse { code, detail }) = Frame::decode(&last) else {
        panic!("{:?}", Frame::decode(&last))
    };
    assert!(code.to_string() == "authentication" && detail.contains("authority"), "{code}: {detail}");
    assert!(connecting.await.expect("no panic").is_err());
    assert!(a.connections().is_empty());
}
