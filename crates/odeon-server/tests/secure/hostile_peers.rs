//! Peers that mean harm, with real certificates over real sockets: each is refused, and others are served meanwhile.

use std::time::Duration;

use odeon_auth::ca::{Bent, CaFiles, CertificateAuthority, ServerFiles, ServerOrder};
use odeon_auth::keys::{KeyKind, PrivateKey};
use odeon_auth::{Existing, GrantChain, GrantKey, NewBlock, TlsContext, TlsFiles};
use odeon_core::{ActorId, Capabilities, Caveat, Epoch, Reference};
use odeon_server::{AdminKey, Authority, Control, ControlCalls as _, Limits, OsRng, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::intruder::{Shows, answered, connect, place, served_meanwhile};
use crate::support::{Echo, PATIENCE, Site, id, tls, unix_now, wait_until, words};

const DAY: u64 = 24 * 60 * 60;

/// The certificates of a server, and its key.
fn files_of(site: &Site, server: &str) -> (Vec<Vec<u8>>, PrivateKey) {
    let own = ServerFiles::below(&site.home.server(&id(server)));
    let pem = std::fs::read(own.chain()).expect("read");
    let chain = CertificateDer::pem_slice_iter(&pem).map(|der| der.expect("a certificate").to_vec());
    (chain.collect(), PrivateKey::load(&own.key()).expect("a key"))
}

pub(crate) fn shows(site: &Site, server: &str) -> Shows {
    let (chain, key) = files_of(site, server);
    Shows { chain, key: key.to_pkcs8().to_vec() }
}

/// A certificate for `server`, issued `ahead` seconds from now for so many days.
fn issue(site: &Site, server: &str, ahead: u64, days: u32) {
    let ca = CertificateAuthority::new(CaFiles::below(site.home.root()), &OsRng, unix_now() + ahead);
    let order = ServerOrder { days, ..ServerOrder::new(id(server), Capabilities::none()) };
    let place = ServerFiles::below(&site.home.server(&id(server)));
    ca.unlock(&words()).expect("unlocked").issue(&order, &place, Existing::Keep).expect("issued");
}

/// Somebody shows this, as `claims`: nobody of that name is let in, and the reason is the certificate.
async fn is_refused(row: &str, site: &Site, b: &Server, shown: &Shows, claims: &str) {
    let at = place(b);
    let good = shows(site, "a@/");
    assert_eq!(answered(&at, &good, "a@/").await, Ok(()), "with a good certificate there is an answer");
    let why = served_meanwhile(row, site, b, async {
        let mut why = String::new();
        for _ in 0..10 {
            why = answered(&at, shown, claims).await.expect_err("refused");
        }
        why
    });
    let why = why.await;
    assert!(why.contains("CertificateUnknown"), "{row}: {why}");
    wait_until("it left nothing", || b.connections().iter().all(|link| link.server != id(claims))).await;
}

#[tokio::test]
async fn expired() {
    let site = Site::new();
    issue(&site, "evil@/", 0, 1);
    // Two days later; everybody else's certificate is valid for longer.
    site.seconds_ahead.store(2 * DAY, std::sync::atomic::Ordering::Relaxed);
    let b = site.listener("b@/", Limits::default()).await;
    is_refused("expired", &site, &b, &shows(&site, "evil@/"), "evil@/").await;
}

#[tokio::test]
async fn not_yet_valid() {
    let site = Site::new();
    issue(&site, "evil@/", 10 * DAY, 90);
    let b = site.listener("b@/", Limits::default()).await;
    is_refused("not yet valid", &site, &b, &shows(&site, "evil@/"), "evil@/").await;
}

#[tokio::test]
async fn revoked() {
    let site = Site::new();
    issue(&site, "evil@/", 0, 90);
    site.revoke("evil@/");
    let b = site.listener("b@/", Limits::default()).await;
    is_refused("revoked", &site, &b, &shows(&site, "evil@/"), "evil@/").await;
}

#[tokio::test]
async fn unknown_issuer() {
    let (site, elsewhere) = (Site::new(), Site::other());
    issue(&elsewhere, "evil@/", 0, 90);
    let b = site.listener("b@/", Limits::default()).await;
    is_refused("unknown issuer", &site, &b, &shows(&elsewhere, "evil@/"), "evil@/").await;
}

#[tokio::test]
async fn bad_signature() {
    let site = Site::new();
    issue(&site, "evil@/", 0, 90);
    let mut shown = shows(&site, "evil@/");
    // The signature stands at the end.
    *shown.chain[0].last_mut().expect("bytes") ^= 1;
    let b = site.listener("b@/", Limits::default()).await;
    is_refused("bad signature", &site, &b, &shown, "evil@/").await;
}

#[tokio::test]
async fn issued_by_a_server_certificate() {
    let site = Site::new();
    let own = ServerFiles::below(&site.home.server(&id("a@/")));
    let (above, a_key) = files_of(&site, "a@/");
    let key = PrivateKey::generate(KeyKind::P256, &OsRng);
    let server = id("evil@/");
    let bent = Bent { server: &server, dials: true, parent: &own.chain(), parent_key: &a_key };
    let leaf = bent.make(&key, unix_now(), &OsRng).expect("made");
    let shown = Shows { chain: [vec![leaf], above].concat(), key: key.to_pkcs8().to_vec() };
    let b = site.listener("b@/", Limits::default()).await;
    is_refused("issued by a server certificate", &site, &b, &shown, "evil@/").await;
}

#[tokio::test]
async fn wrong_usage() {
    let site = Site::new();
    let ca = CaFiles::below(site.home.root());
    let sub_key = PrivateKey::load_protected(&ca.sub_key(), &words()).expect("unlocked");
    let key = PrivateKey::generate(KeyKind::P256, &OsRng);
    let (above, _) = files_of(&site, "a@/");
    let server = id("evil@/");
    let make = |dials| {
        let bent = Bent { server: &server, dials, parent: &ca.sub_crt(), parent_key: &sub_key };
        let leaf = bent.make(&key, unix_now(), &OsRng).expect("made");
        Shows { chain: [vec![leaf], above[1..].to_vec()].concat(), key: key.to_pkcs8().to_vec() }
    };
    let b = site.listener("b@/", Limits::default()).await;
    assert_eq!(answered(&place(&b), &make(true), "evil@/").await, Ok(()), "with the usage it is a good one");
    is_refused("wrong usage", &site, &b, &make(false), "evil@/").await;
}

/// A server of the product itself, that says it is `claims` with the certificate of another.
async fn is_no_peer(row: &str, site: &Site, b: &Server, certificate: &str, claims: &str) {
    let mut config = site.config(certificate).known(b.id().clone(), b.addresses().to_vec());
    config.id = id(claims);
    let evil = Server::start(config).await.expect("starts");
    let refused = served_meanwhile(row, site, b, async {
        evil.connect(b.id(), b.addresses()).await.expect_err("refused").to_string()
    });
    let refused = refused.await;
    assert!(
        refused.contains(&format!("the certificate is {certificate}'s, and not {claims}'s")),
        "{refused}"
    );
    assert!(b.connections().iter().all(|link| link.server != id(claims)));
}

#[tokio::test]
async fn wrong_server_id() {
    let site = Site::new();
    issue(&site, "evil@/", 0, 90);
    let b = site.listener("b@/", Limits::default()).await;
    is_no_peer("wrong server id", &site, &b, "evil@/", "web-0@/").await;
}

#[tokio::test]
async fn wrong_domain() {
    let site = Site::new();
    issue(&site, "evil@/h2", 0, 90);
    let b = site.listener("b@/", Limits::default()).await;
    is_no_peer("wrong domain", &site, &b, "evil@/h2", "evil@/").await;
}

/// `b@/` with an admin key.
async fn with_admin(site: &Site, admin: &GrantKey) -> Server {
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tls(0));
    config.authority = Authority { admin: AdminKey::Known(admin.public()), ..Authority::default() };
    let b = Server::start(config).await.expect("starts");
    b.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    b
}

fn token(admin: &GrantKey, holder: &GrantKey, capability: &str, not_after: u64) -> GrantChain {
    let caveats = vec![
        Caveat::Servers([id("b@/")].into()),
        Caveat::Capabilities([capability.parse().expect("a capability")].into_iter().collect()),
        Caveat::NotAfter(not_after),
    ];
    let block = NewBlock {
        now_ms: unix_now() * 1_000,
        grantee: Some(id("evil@/")),
        holder: Some(holder.public()),
        caveats,
    };
    GrantChain::issue(admin, &OsRng, block).expect("issued")
}

/// What `evil@/`, with a certificate of its own, hears when it presents this again and again.
async fn presented(row: &str, text: impl Fn(&GrantKey, &GrantKey) -> String) -> String {
    let (admin, holder) = (GrantKey::generate(&OsRng), GrantKey::generate(&OsRng));
    let site = Site::new();
    issue(&site, "evil@/", 0, 90);
    let b = with_admin(&site, &admin).await;
    let evil = site.client("evil@/", &b).await;
    let control = evil.actor::<Control>(Reference::new(b.id().clone(), ActorId::SERVER));
    let good = token(&admin, &holder, "loader", unix_now() + 60).to_text();
    control.present_grant(good).await.expect("answered").expect("a good one has a challenge");
    let text = text(&admin, &holder);
    served_meanwhile(row, &site, &b, async {
        let mut refusal = String::new();
        for _ in 0..20 {
            refusal =
                control.present_grant(text.clone()).await.expect("answered").expect_err("refused").detail;
        }
        refusal
    })
    .await
}

#[tokio::test]
async fn widened_token() {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let refusal = presented("widened token", |admin, holder| {
        let text = token(admin, holder, "watch", unix_now() + 60).to_text();
        let widened = text.replace(&hex("watch"), &hex("admin"));
        assert_ne!(widened, text);
        widened
    });
    let refusal = refusal.await;
    assert!(refusal.contains("is not signed by the ensemble's admin key"), "{refusal}");
}

#[tokio::test]
async fn expired_token() {
    let refusal =
        presented("expired token", |admin, holder| token(admin, holder, "loader", unix_now() - 1).to_text());
    let refusal = refusal.await;
    assert!(refusal.contains("expired"), "{refusal}");
}

/// The beginning of a TLS handshake, as far as the length of a record with this many bytes.
fn record(bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    vec![0x16, 3, 1, high, low]
}

/// Waits until the server has hung up.
async fn wait_hung_up(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "it is never closed");
}

#[tokio::test]
async fn garbage_before_tls() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let at = place(&b);
    served_meanwhile("garbage before TLS", &site, &b, async {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4_096], &[0; 4_096], b"odeon/2 hello\n"] {
            for _ in 0..10 {
                let mut stream = TcpStream::connect(&at).await.expect("connected");
                stream.write_all(garbage).await.expect("sent");
                wait_hung_up(&mut stream).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn slow_loris_in_tls() {
    let site = Site::new();
    let handshake_timeout = Duration::from_secs(2);
    let b = site.listener("b@/", Limits { handshake_timeout, ..Limits::default() }).await;
    let at = place(&b);
    served_meanwhile("slow-loris in TLS", &site, &b, async {
        let began = tokio::time::Instant::now();
        let mut drips = Vec::new();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(&at).await.expect("connected");
            drips.push(tokio::spawn(async move {
                // A hello of 512 bytes, of which one comes each tenth of a second.
                let mut left = [record(512), vec![1; 512]].concat().into_iter();
                let mut byte = [0];
                loop {
                    if let Some(next) = left.next()
                        && stream.write_all(&[next]).await.is_err()
                    {
                        return;
                    }
                    let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut byte));
                    if let Ok(Ok(0) | Err(_)) = read.await {
                        return;
                    }
                }
            }));
        }
        for drip in drips {
            tokio::time::timeout(PATIENCE, drip).await.expect("it is closed").expect("no panic");
        }
        assert!(began.elapsed() < handshake_timeout * 4, "long after its time: {:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn oversize_record_and_frame() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let at = place(&b);
    let good = shows(&site, "a@/");
    served_meanwhile("oversize record/frame", &site, &b, async {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(&at).await.expect("connected");
            // Longer than TLS allows. What cannot be sent any more need not be.
            let _ = stream.write_all(&[record(u16::MAX), vec![1; usize::from(u16::MAX)]].concat()).await;
            wait_hung_up(&mut stream).await;

            let mut stream = connect(&at, &good, "evil@/").await.expect("connected");
            let _ = stream.write_all(&u32::MAX.to_be_bytes()).await;
            let _ = stream.flush().await;
            let mut rest = Vec::new();
            let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            assert!(end.is_ok(), "it is never closed");
        }
    })
    .await;
    assert!(b.connections().iter().all(|link| link.server != id("evil@/")));
}

#[tokio::test]
async fn replay_of_a_recorded_connection() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    issue(&site, "victim@/", 0, 90);
    // Whoever stands between writes down all that the victim says.
    let between = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = between.local_addr().expect("an address").port();
    let at = place(&b);
    let recording = tokio::spawn({
        let at = at.clone();
        async move {
            let (victim, _) = between.accept().await.expect("accepted");
            let server = TcpStream::connect(&at).await.expect("connected");
            let ((mut from_victim, mut to_victim), (mut from_server, mut to_server)) =
                (victim.into_split(), server.into_split());
            let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_victim).await });
            let (mut recorded, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
            while let Ok(n @ 1..) = from_victim.read(&mut buffer).await {
                recorded.extend_from_slice(&buffer[..n]);
                to_server.write_all(&buffer[..n]).await.expect("sent on");
            }
            drop(to_server);
            let _ = back.await;
            recorded
        }
    });
    let config = site.config("victim@/").known(b.id().clone(), vec![tls(port)]);
    let victim = Server::start(config).await.expect("starts");
    assert_eq!(crate::support::ask(&victim, b.id()).await, Ok("hi".into()));
    victim.shutdown(Duration::from_secs(1)).await;
    let recorded = tokio::time::timeout(PATIENCE, recording).await.expect("it is over").expect("no panic");
    assert!(recorded.len() > 1_000, "a handshake and a message: {} bytes", recorded.len());
    wait_until("the victim is gone", || b.connections().is_empty()).await;
    served_meanwhile("replay of a recorded connection", &site, &b, async {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(&at).await.expect("connected");
            let _ = stream.write_all(&recorded).await;
            wait_hung_up(&mut stream).await;
            assert!(b.connections().iter().all(|link| link.server != id("victim@/")));
        }
    })
    .await;
}

/// Keeps what the table of rows promises: the certificates above are the product's own.
#[tokio::test]
async fn a_good_certificate_is_good_in_this_suite() {
    let site = Site::new();
    issue(&site, "evil@/", 0, 90);
    let files = TlsFiles::of(site.home.root(), &site.home.server(&id("evil@/")));
    TlsContext::load(&files, unix_now).expect("a server could use it");
    let b = site.listener("b@/", Limits::default()).await;
    assert_eq!(answered(&place(&b), &shows(&site, "evil@/"), "evil@/").await, Ok(()));
}
