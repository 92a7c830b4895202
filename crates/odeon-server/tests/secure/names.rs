//! A name that was proven by a certificate is nobody's by the cookie.

use odeon_auth::Cookie;
use odeon_core::{Address, Epoch};
use odeon_server::{Limits, Server, ServerConfig, Transport};

use crate::support::{Echo, Site, ask, id, tls, wait_until};

fn cookie() -> Cookie {
    Cookie::from_bytes([7; 32])
}

/// `b@/`, which listens over every transport.
async fn listener(site: &Site) -> Server {
    let tcp = "tcp:127.0.0.1:0".parse().expect("an address");
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tls(0)).listen(tcp);
    config = config.listen(site.home.address(&id("b@/")));
    config.cookie = cookie();
    let server = Server::start(config).await.expect("starts");
    server.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    server
}

fn address(server: &Server, transport: Transport) -> Vec<Address> {
    let is_it = |address: &&Address| match address {
        Address::Unix { .. } => transport == Transport::Unix,
        Address::Tls(_) => transport == Transport::Tls,
        Address::Tcp(_) => transport == Transport::Tcp,
    };
    server.addresses().iter().filter(is_it).cloned().collect()
}

/// `a@/`, with its certificate.
async fn certified(site: &Site, peer: &Server, epoch: u64) -> Server {
    let config =
        site.config("a@/").epoch(Epoch(epoch)).known(peer.id().clone(), address(peer, Transport::Tls));
    Server::start(config).await.expect("starts")
}

/// Somebody who says that it is `a@/`, and has the cookie.
async fn claimant(site: &Site, peer: &Server, epoch: u64, transport: Transport) -> Server {
    let config = ServerConfig::new(id("a@/"), cookie(), site.world()).epoch(Epoch(epoch));
    Server::start(config.known(peer.id().clone(), address(peer, transport))).await.expect("starts")
}

#[tokio::test]
async fn a_name_that_was_proven_by_a_certificate_is_refused_to_the_cookie() {
    let site = Site::new();
    let b = listener(&site).await;
    let a = certified(&site, &b, 1).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    for epoch in [0, 1, 2, u64::MAX] {
        let evil = claimant(&site, &b, epoch, Transport::Tcp).await;
        let refused = ask(&evil, b.id()).await.expect_err("refused");
        assert!(refused.contains("has shown a certificate here"), "{refused}");
    }
    assert_eq!(b.connections().len(), 1);
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()), "its link stands");
    a.shutdown(std::time::Duration::ZERO).await;
    wait_until("its link is over", || b.connections().is_empty()).await;
    let evil = claimant(&site, &b, 9, Transport::Tcp).await;
    assert!(ask(&evil, b.id()).await.is_err(), "the name stays its own when it is away");
    let again = certified(&site, &b, 2).await;
    assert_eq!(ask(&again, b.id()).await, Ok("hi".into()), "no epoch of theirs has locked it out");
}

#[tokio::test]
async fn a_certificate_replaces_whoever_had_the_name_by_the_cookie_whatever_its_epoch() {
    let site = Site::new();
    let b = listener(&site).await;
    let evil = claimant(&site, &b, u64::MAX, Transport::Tcp).await;
    assert_eq!(ask(&evil, b.id()).await, Ok("hi".into()), "nobody has proven the name so far");
    let a = certified(&site, &b, 1).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    wait_until("the other link is closed", || b.connections().len() == 1).await;
    assert_eq!(b.connections()[0].transport, Transport::Tls);
    assert!(ask(&evil, b.id()).await.is_err());
    let older = certified(&site, &b, 0).await;
    let stale = ask(&older, b.id()).await.expect_err("stale");
    assert!(stale.contains("is over"), "among certificates the order of epochs holds: {stale}");
}

#[tokio::test]
async fn a_process_of_our_own_user_is_heard_over_its_socket_whatever_it_showed_before() {
    let site = Site::new();
    let b = listener(&site).await;
    let over_tls = certified(&site, &b, 1).await;
    assert_eq!(ask(&over_tls, b.id()).await, Ok("hi".into()));
    // The next incarnation is on this host, then the one after it on another again.
    let over_unix = claimant(&site, &b, 2, Transport::Unix).await;
    assert_eq!(ask(&over_unix, b.id()).await, Ok("hi".into()));
    assert_eq!(b.connections()[0].transport, Transport::Unix);
    let old = certified(&site, &b, 1).await;
    assert!(ask(&old, b.id()).await.expect_err("stale").contains("is over"), "its epoch counts");
    let back = certified(&site, &b, 3).await;
    assert_eq!(ask(&back, b.id()).await, Ok("hi".into()));
}

#[tokio::test]
async fn where_there_is_a_tls_address_bare_tcp_is_not_fallen_back_to() {
    let site = Site::new();
    let b = listener(&site).await;
    let other = site.listener("c@/", Limits::default()).await;
    // Whoever stands between has TLS fail.
    let mut addresses = other.addresses().to_vec();
    addresses.extend(address(&b, Transport::Tcp));
    let mut config = site.config("a@/").known(b.id().clone(), addresses.clone());
    config.cookie = cookie();
    let a = Server::start(config).await.expect("starts");
    let error = ask(&a, b.id()).await.expect_err("not connected");
    assert!(error.contains("not tried, since there is a `tls:` address"), "{error}");
    assert!(b.connections().is_empty());
    // The next of the same kind is tried, and one that speaks no TLS takes what it can.
    a.know(b.id().clone(), [addresses.clone(), address(&b, Transport::Tls)].concat());
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    let without = ServerConfig::new(id("d@/"), cookie(), site.world()).known(b.id().clone(), addresses);
    let without = Server::start(without).await.expect("starts");
    assert_eq!(ask(&without, b.id()).await, Ok("hi".into()));
}
