//! Handshakes that fail or stall: others are served meanwhile, and the next address is tried.

use std::time::Duration;

use odeon_core::Epoch;
use odeon_server::{Limits, Server, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::{Echo, PATIENCE, Site, ask, id, tls, wait_until};

#[tokio::test]
async fn after_a_failed_tls_handshake_the_next_address_is_tried() {
    let site = Site::new();
    // At the first address somebody else answers, at the second nobody speaks TLS, at the third it is b.
    let other = site.listener("c@/", Limits::default()).await;
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let at = tls(mute.local_addr().expect("an address").port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = mute.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let b = site.listener("b@/", Limits::default()).await;
    let addresses = [other.addresses()[0].clone(), at, b.addresses()[0].clone()];
    let a = Server::start(site.config("a@/").known(id("b@/"), addresses.to_vec())).await.expect("starts");
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    assert_eq!(a.connections()[0].remote, b.addresses()[0].to_string());
}

#[tokio::test]
async fn tls_is_tried_before_tcp_and_unix_before_both() {
    let site = Site::new();
    let tcp = "tcp:127.0.0.1:0".parse().expect("an address");
    let cookie = || odeon_auth::Cookie::from_bytes([7; 32]);
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tcp).listen(tls(0));
    config = config.listen(site.home.address(&id("b@/")));
    config.cookie = cookie();
    let b = Server::start(config).await.expect("starts");
    b.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    let mut all = b.addresses().to_vec();
    all.sort();
    for expected in [Transport::Unix, Transport::Tls, Transport::Tcp] {
        let mut config = site.config("a@/").known(id("b@/"), all.clone());
        config.cookie = cookie();
        let a = Server::start(config).await.expect("starts");
        assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
        assert_eq!(a.connections()[0].transport, expected);
        a.shutdown(Duration::ZERO).await;
        wait_until("its link is over", || b.connections().is_empty()).await;
        all.remove(0);
    }
}

/// Opens connections that say nothing, half of a TLS hello, or garbage.
async fn stall(server: &Server, count: usize) -> Vec<TcpStream> {
    let place = server.addresses()[0].to_string();
    let place = place.strip_prefix("tls:").expect("a tls address");
    let mut held = Vec::new();
    for n in 0..count {
        let mut stream = TcpStream::connect(place).await.expect("connected");
        let part: &[u8] = match n % 3 {
            0 => b"",
            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            _ => b"\x16\x03\x01",
        };
        stream.write_all(part).await.expect("sent");
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn while_handshakes_stall_others_are_served_and_the_stalled_end_at_their_deadline() {
    let site = Site::new();
    let handshake_timeout = Duration::from_secs(2);
    let limits = Limits { handshake_timeout, ..Limits::default() };
    let b = site.listener("b@/", limits).await;
    let began = Instant::now();
    let held = stall(&b, 100).await;
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    assert!(began.elapsed() < handshake_timeout, "served only after {:?}", began.elapsed());
    for mut stream in held {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "a stalled connection is never closed");
    }
    assert!(began.elapsed() >= handshake_timeout, "not before its time");
    assert!(began.elapsed() < handshake_timeout * 3, "long after its time: {:?}", began.elapsed());
}

#[tokio::test]
async fn past_the_limit_of_strangers_the_oldest_stalled_handshake_goes_at_once() {
    let site = Site::new();
    let limits =
        Limits { handshakes_per_source_max: 4, handshake_timeout: PATIENCE * 3, ..Limits::default() };
    let b = site.listener("b@/", limits).await;
    let mut held = stall(&b, 5).await;
    let mut rest = Vec::new();
    let first = tokio::time::timeout(PATIENCE, held[0].read_to_end(&mut rest)).await;
    assert!(first.is_ok(), "the oldest goes");
    assert!(b.metrics().contains("odeon_strangers_dropped_total{limit=\"source\"} 1"));
    assert!(b.metrics().contains("odeon_strangers_dropped_total{limit=\"all\"} 0"));
    let still = tokio::time::timeout(Duration::from_millis(50), held[4].read(&mut [0; 8])).await;
    assert!(still.is_err(), "the newest stays");
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
}

#[tokio::test]
async fn whoever_hangs_up_in_the_handshake_leaves_nothing() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    drop(stall(&b, 50).await);
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    wait_until("the strangers are gone", || b.status().links == 1).await;
}
