//! Certificates that change under running servers.

use std::time::Duration;

use odeon_auth::ca::{RenewedKey, SERVER_DAYS, ServerFiles};
use odeon_server::Limits;

use crate::support::{Site, ask, id, wait_until};

#[tokio::test]
async fn a_renewed_certificate_is_used_by_new_links_without_a_restart() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let before = site.client("a@/", &b).await;
    assert_eq!(ask(&before, b.id()).await, Ok("hi".into()));
    let shown = |client: &odeon_server::Server| {
        client.connections()[0].certificate.clone().expect("a certificate").serial
    };
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

#[tokio::test(start_paused = true)]
async fn a_changed_list_is_found_without_anybodys_help() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    site.revoke("a@/");
    // The clock of the runtime is paused: it moves by itself when everybody waits.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !b.connections().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the list was not found");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ask(&a, b.id()).await.is_err());
}
