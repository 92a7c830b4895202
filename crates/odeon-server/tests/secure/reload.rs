//! Certificates that change under running servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use odeon_actor::AskError;
use odeon_auth::ca::{CaFiles, RenewedKey, SERVER_DAYS, ServerFiles};
use odeon_auth::tls::{BROUGHT_LIST_BYTES_MAX, server_name};
use odeon_auth::{Cookie, Side, prove, transcript};
use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{ActorId, Epoch, Instant, Reference, RefusalCode};
use odeon_server::{Control, ControlCalls as _, Limits, ListTaken, Server};
use odeon_wire::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Echo, PATIENCE, Site, ask, hello_of, id, tls, wait_until};

#[tokio::test]
async fn a_renewed_certificate_is_used_by_new_links_without_a_restart() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let before = site.client("a@/", &b).await;
    assert_eq!(ask(&before, b.id()).await, Ok("hi".into()));
    let shown = |client: &Server| client.connections()[0].certificate.clone().expect("a certificate").serial;
    let old = shown(&before);
    let place = ServerFiles::below(&site.home.server(&id("b@/")));
    let renewed = site
        .operator(|issuer| issuer.renew(&id("b@/"), &place, RenewedKey::Same, SERVER_DAYS).expect("renewed"));
    let refreshed = b.reload_tls().expect("reloaded").expect("it has a certificate");
    assert_eq!((refreshed.own.serial.as_str(), refreshed.closed), (renewed.serial.as_str(), 0));
    let after = site.client("c@/", &b).await;
    assert_eq!(ask(&after, b.id()).await, Ok("hi".into()));
    assert_eq!((shown(&after), shown(&before)), (renewed.serial, old), "the old link stands");
    assert_eq!(ask(&before, b.id()).await, Ok("hi".into()));
}

#[tokio::test]
async fn a_revoked_peer_loses_its_link_when_the_list_is_loaded_and_gets_no_other() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let (a, c) = (site.client("a@/", &b).await, site.client("c@/", &b).await);
    assert_eq!((ask(&a, b.id()).await, ask(&c, b.id()).await), (Ok("hi".into()), Ok("hi".into())));
    site.revoke("a@/");
    assert_eq!(b.reload_tls().expect("reloaded").expect("it has a certificate").closed, 1);
    wait_until("the link is closed", || a.connections().is_empty()).await;
    let refused = ask(&a, b.id()).await.expect_err("refused");
    assert!(refused.contains("does not accept this server's certificate"), "{refused}");
    assert_eq!(ask(&c, b.id()).await, Ok("hi".into()), "others stay");
    assert_eq!(b.connections().len(), 1);
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_old_certificate_in_use() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let serial = site.context("b@/").own().serial;
    let chain = ServerFiles::below(&site.home.server(&id("b@/"))).chain();
    std::fs::write(chain, "half a certif").expect("written");
    b.reload_tls().expect_err("it cannot be read");
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    assert_eq!(a.connections()[0].certificate.as_ref().map(|c| &c.serial), Some(&serial));
}

#[tokio::test]
async fn a_newer_list_that_anybody_brings_is_kept_and_ends_links_and_an_older_or_forged_one_is_refused() {
    let (site, operators, strangers) = (Site::new(), Site::new(), Site::other());
    let b = site.listener("b@/", Limits::default()).await;
    let (a, c) = (site.client("a@/", &b).await, site.client("c@/", &b).await);
    assert_eq!((ask(&a, b.id()).await, ask(&c, b.id()).await), (Ok("hi".into()), Ok("hi".into())));
    let list = |site: &Site| std::fs::read_to_string(CaFiles::below(site.home.root()).crl()).expect("a list");
    let old = list(&operators);
    operators.revoke("a@/");
    let refused = async |list: String| match c.bring_list(b.id(), list).await {
        Err(AskError::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    };
    strangers.revoke("a@/");
    assert_eq!(refused(list(&strangers)).await, RefusalCode::NotAuthorised);
    assert_eq!(refused("no list".to_owned()).await, RefusalCode::BadPayload);
    assert_eq!(refused("x".repeat(BROUGHT_LIST_BYTES_MAX + 1)).await, RefusalCode::LimitReached);
    assert_eq!(b.connections().len(), 2, "nothing has changed");

    let taken = c.bring_list(b.id(), list(&operators)).await.expect("taken");
    assert_eq!(taken, ListTaken { is_new: true, closed: 1 });
    wait_until("the link is closed", || a.connections().is_empty()).await;
    assert!(ask(&a, b.id()).await.is_err(), "and there is no other");
    assert_eq!(list(&site), list(&operators), "it is kept");
    let again = c.bring_list(b.id(), list(&operators)).await.expect("known");
    assert_eq!(again, ListTaken { is_new: false, closed: 0 });
    assert_eq!(refused(old).await, RefusalCode::StaleNumber);

    let control = b.actor::<Control>(Reference::new(b.id().clone(), ActorId::SERVER));
    let log = control.audit(256).await.expect("answers");
    let acts = |allowed: &str| {
        let of = |line: &&String| line.contains("take-revocation-list") && line.contains(allowed);
        log.iter().filter(of).count()
    };
    assert_eq!(acts("\"allowed\":true"), 1, "{log:?}");
    assert!(acts("\"allowed\":false") > 0, "{log:?}");
}

/// A clock whose calendar can be set forward.
#[derive(Debug)]
struct Calendar(Arc<dyn Clock>, Arc<AtomicU64>);

impl Clock for Calendar {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms() + 1_000 * self.1.load(Ordering::Relaxed)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at)
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_when_the_certificate_of_its_peer_runs_out() {
    let site = Site::new();
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tls(0));
    config.world.clock = Arc::new(Calendar(Arc::clone(&config.world.clock), Arc::clone(&site.seconds_ahead)));
    let b = Server::start(config).await.expect("starts");
    b.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    let not_after = site.context("a@/").own().not_after;
    let left = not_after - site.context("a@/").own().not_before;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(b.connections().len(), 1, "its time is not over");
    site.seconds_ahead.store(left, Ordering::Relaxed);
    let over = tokio::time::Instant::now();
    wait_minutes("the link is closed", || b.connections().is_empty()).await;
    let took = over.elapsed();
    assert!(took <= Duration::from_secs(11), "the page promises ten seconds, not {took:?}");
    assert!(ask(&a, b.id()).await.is_err(), "and there is no other");
}

/// Waits for a condition while the clock of the runtime, which is paused, moves by itself.
async fn wait_minutes(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(180);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not within minutes: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_list_is_found_without_anybodys_help() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    site.revoke("a@/");
    wait_minutes("the list is found", || b.connections().is_empty()).await;
    assert!(ask(&a, b.id()).await.is_err());
}

/// A peer with the certificate of `a@/` whose handshake of TLS is over, and who has said nothing yet.
struct Silent {
    stream: TlsStream<TcpStream>,
    key: Cookie,
}

impl Silent {
    async fn connect(site: &Site, server: &Server) -> Self {
        let place = server.addresses()[0].to_string();
        let tcp =
            TcpStream::connect(place.strip_prefix("tls:").expect("a tls address")).await.expect("connected");
        let connector = TlsConnector::from(site.context("a@/").client_config());
        let stream = connector.connect(server_name(), tcp).await.expect("secured");
        let session = stream.get_ref().1;
        let key = session.export_keying_material([0; 32], b"EXPORTER-odeon-link", None).expect("a key");
        Self { stream, key: Cookie::from_bytes(key) }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_u32(u32::try_from(bytes.len()).expect("small")).await.expect("sent");
        self.stream.write_all(bytes).await.expect("sent");
        self.stream.flush().await.expect("sent");
    }

    /// The next frame, whose length lies under a mask.
    async fn frame(&mut self, mask: u32) -> Vec<u8> {
        let length = self.stream.read_u32().await.expect("a frame") ^ mask;
        let mut bytes = vec![0; usize::try_from(length).expect("small")];
        self.stream.read_exact(&mut bytes).await.expect("a frame");
        bytes
    }

    /// Says hello and proves it; the sentence by which it is refused, if it is.
    async fn speak(mut self) -> Option<String> {
        let encoded = |frame: &Frame<'_>| {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            bytes
        };
        let ours = encoded(&Frame::Hello(hello_of("a@/")));
        self.send(&ours).await;
        let theirs = self.frame(0).await;
        let proof = prove(&self.key, Side::Dialler, &transcript(&ours, &theirs));
        self.send(&encoded(&Frame::Proof { mac: proof.0 })).await;
        let mut mask = 0;
        loop {
            match Frame::decode(&self.frame(mask).await).expect("a frame") {
                Frame::Proof { mac } => mask = u32::from_be_bytes(*mac.first_chunk().expect("long enough")),
                Frame::Accept => return None,
                Frame::Refuse { code, detail } => return Some(format!("{code}: {detail}")),
                _ => {}
            }
        }
    }
}

/// `b@/` with a calendar that can be set forward, and patience for those who stall.
async fn with_calendar(site: &Site) -> Server {
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tls(0));
    config.limits.handshake_timeout = PATIENCE;
    config.world.clock = Arc::new(Calendar(Arc::clone(&config.world.clock), Arc::clone(&site.seconds_ahead)));
    Server::start(config).await.expect("starts")
}

#[tokio::test]
async fn a_peer_revoked_or_expired_between_its_handshake_and_its_hello_is_not_taken_in() {
    let site = Site::new();
    let b = with_calendar(&site).await;
    let [timely, late, later] = [(); 3].map(|()| Silent::connect(&site, &b));
    let (timely, late, later) = (timely.await, late.await, later.await);
    assert_eq!(timely.speak().await, None);
    let left = site.context("a@/").own().not_after - site.context("a@/").own().not_before;
    site.seconds_ahead.store(left, Ordering::Relaxed);
    let refused = later.speak().await.expect("refused");
    assert!(refused.starts_with("authentication: ") && refused.contains("has run out"), "{refused}");
    site.seconds_ahead.store(0, Ordering::Relaxed);
    site.revoke("a@/");
    b.reload_tls().expect("reloaded");
    let refused = late.speak().await.expect("refused");
    assert!(refused.starts_with("authentication: ") && refused.contains("is revoked"), "{refused}");
    wait_until("nobody is left", || b.connections().is_empty()).await;
}
