//! Whose certificate counts for whom.

use odeon_core::{Domain, Epoch, ServerId};
use odeon_server::{ConnectError, Fault, Limits, OsRng, Server, ServerConfig, StartError};

use crate::support::{Site, ask, id, tls, wait_until};
use odeon_auth::Cookie;

async fn tried(client: &Server, peer: &Server) -> Vec<odeon_server::Tried> {
    match client.connect(peer.id(), peer.addresses()).await {
        Err(ConnectError::AllFailed { tried, .. }) => tried,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_with_the_certificate_of_another_is_refused_by_both_ends() {
    let site = Site::new();
    // It says that it is b, and holds the certificate of c.
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tls(0));
    config.tls = Some(site.context("c@/"));
    let impostor = Server::start(config).await.expect("starts");
    let a = Server::start(site.config("a@/")).await.expect("starts");
    let found = tried(&a, &impostor).await;
    assert_eq!(found[0].fault, Fault::Certificate);
    assert!(found[0].why.contains("the certificate there is c@/'s, not b@/'s"), "{found:?}");

    let b = site.listener("b@/", Limits::default()).await;
    let mut config = site.config("a@/");
    config.tls = Some(site.context("c@/"));
    let impostor = Server::start(config).await.expect("starts");
    let found = tried(&impostor, &b).await;
    assert_eq!(found[0].fault, Fault::Certificate);
    assert!(found[0].why.contains("the certificate is c@/'s, and not a@/'s"), "{found:?}");
    assert!(b.connections().is_empty());
}

#[tokio::test]
async fn strangers_revoked_and_expired_certificates_are_refused_and_the_dialler_learns_why() {
    let site = Site::new();
    let revoked = site.config("c@/");
    site.revoke("c@/");
    let b = site.listener("b@/", Limits::default()).await;
    let revoked = Server::start(revoked).await.expect("starts");
    let found = tried(&revoked, &b).await;
    assert_eq!(found[0].fault, Fault::Certificate, "{found:?}");
    assert!(found[0].why.contains("does not accept this server's certificate"), "{found:?}");

    // One of another ensemble, whose root is another.
    let elsewhere = Site::other();
    let stranger = Server::start(elsewhere.config("a@/")).await.expect("starts");
    let found = tried(&stranger, &b).await;
    assert_eq!(found[0].fault, Fault::Certificate, "{found:?}");
    assert!(found[0].why.contains("refused"), "{found:?}");

    // Everybody's time is over: the clocks are a year ahead.
    let a = Server::start(site.config("a@/")).await.expect("starts");
    site.seconds_ahead.store(366 * 24 * 60 * 60, std::sync::atomic::Ordering::Relaxed);
    let found = tried(&a, &b).await;
    assert_eq!(found[0].fault, Fault::Certificate, "{found:?}");
    assert!(found[0].why.contains("refused"), "{found:?}");
    assert!(b.connections().is_empty());
}

#[tokio::test]
async fn commands_speak_under_the_certificate_of_their_console_side_by_side() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let mut commands = Vec::new();
    for _ in 0..6 {
        let mut config = site.config("console@/").known(b.id().clone(), b.addresses().to_vec());
        config.id = ServerId::transient("console", &Domain::root(), &OsRng).expect("an id");
        let command = Server::start(config).await.expect("starts");
        assert_eq!(ask(&command, b.id()).await, Ok("hi".into()));
        commands.push(command);
    }
    assert_eq!(b.connections().len(), 6, "none has displaced another");
    let mut config = site.config("console@/").known(b.id().clone(), b.addresses().to_vec());
    config.id = id("web-0@/");
    let other = Server::start(config).await.expect("starts");
    assert!(ask(&other, b.id()).await.expect_err("refused").contains("the certificate is console@/'s"));
}

#[tokio::test]
async fn without_a_certificate_no_tls_address_is_of_use() {
    let site = Site::new();
    let without = || ServerConfig::new(id("a@/"), Cookie::from_bytes([7; 32]), site.world());
    let refused = Server::start(without().listen(tls(0))).await.expect_err("refused");
    assert!(matches!(refused, StartError::NoCertificate { .. }), "{refused}");
    let b = site.listener("b@/", Limits::default()).await;
    let a = Server::start(without()).await.expect("starts");
    assert_eq!(tried(&a, &b).await[0].fault, Fault::NoCertificate);
}

#[tokio::test]
async fn whoever_holds_the_cookie_and_no_certificate_is_no_peer_over_tls() {
    let site = Site::new();
    let cookie = || Cookie::from_bytes([7; 32]);
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(tls(0));
    config.cookie = cookie();
    let b = Server::start(config).await.expect("starts");
    // Bare TCP to the same port, with the right cookie.
    let bare = b.addresses()[0].to_string().replace("tls:", "tcp:").parse().expect("an address");
    let a = Server::start(ServerConfig::new(id("a@/"), cookie(), site.world())).await.expect("starts");
    let refused = a.connect(b.id(), &[bare]).await;
    assert!(matches!(refused, Err(ConnectError::AllFailed { .. })), "{refused:?}");
    wait_until("nobody is let in", || b.connections().is_empty()).await;
}
