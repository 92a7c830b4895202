//! What a certificate is good for, and until when: its capabilities, authorities that are revoked above it, and clocks
//! that differ.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use odeon_actor::{AskError, Handle};
use odeon_auth::ca::{
    CaFiles, CaOptions, CertificateAuthority, SKEW_S, ServerFiles, ServerOrder, list_naming,
};
use odeon_auth::keys::PrivateKey;
use odeon_auth::{Cookie, Existing, TlsContext, TlsFiles};
use odeon_core::{ActorId, Capabilities, Reference, RefusalCode};
use odeon_server::{Control, ControlCalls as _, Limits, OsRng, Server, ServerConfig};

use crate::support::{Site, ask, id, unix_now, wait_until, words};

/// A certificate for `server` with these capabilities, from an authority whose clock is `ahead` seconds ahead.
fn issue(site: &Site, server: &str, capabilities: &[&str], ahead: u64, existing: Existing) {
    let capabilities = capabilities.iter().map(|text| text.parse().expect("a capability"));
    let order = ServerOrder::new(id(server), capabilities.collect::<Capabilities>());
    let place = ServerFiles::below(&site.home.server(&id(server)));
    let ca = CertificateAuthority::new(CaFiles::below(site.home.root()), &OsRng, unix_now() + ahead);
    ca.unlock(&words()).expect("unlocked").issue(&order, &place, existing).expect("issued");
}

fn control(client: &Server, peer: &Server) -> Handle<Control> {
    client.actor::<Control>(Reference::new(peer.id().clone(), ActorId::SERVER))
}

#[tokio::test]
async fn what_a_certificate_says_its_server_may_do_and_a_peer_beside_it_may_not() {
    let site = Site::new();
    issue(&site, "operator@/", &["shutdown"], 0, Existing::Keep);
    let b = site.listener("b@/", Limits::default()).await;
    let (operator, a) = (site.client("operator@/", &b).await, site.client("a@/", &b).await);
    assert_eq!((ask(&operator, b.id()).await, ask(&a, b.id()).await), (Ok("hi".into()), Ok("hi".into())));
    let held = |who: &str| {
        let link = b.connections().into_iter().find(|link| link.server == id(who)).expect("linked");
        link.capabilities
    };
    assert_eq!((held("operator@/"), held("a@/")), (vec!["shutdown".to_owned()], Vec::new()));

    // Whoever tries first and may not leaves it standing.
    let echo = || "echo".parse::<ActorId>().expect("a name");
    for (what, tried) in [
        ("an actor", control(&a, &b).stop_actor(echo()).await.map(drop)),
        ("the server", control(&a, &b).shutdown().await.map(drop)),
    ] {
        match tried {
            Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised => {
                assert!(refusal.detail.contains("`shutdown`, which a@/ does not hold"), "{refusal}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));

    // And what it says is all: the right to stop is not the right to connect.
    let elsewhere = control(&operator, &b).connect(id("c@/"), Vec::new()).await;
    assert!(
        matches!(&elsewhere, Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised),
        "{elsewhere:?}"
    );
    assert_eq!(control(&operator, &b).stop_actor(echo()).await, Ok(Ok(())));
    assert!(ask(&a, b.id()).await.expect_err("it has ended").contains("echo"));
}

/// Makes another subordinate below the same root, which issues from now on.
fn replace_the_subordinate(site: &Site) -> PathBuf {
    let files = CaFiles::below(site.home.root());
    let first = site.home.root().join("first-sub");
    std::fs::rename(files.sub(), &first).expect("moved");
    let ca = CertificateAuthority::new(files.clone(), &OsRng, unix_now());
    // Lists go by names, so it has one of its own.
    let named = CaOptions { common_name: Some("second".to_owned()), ..CaOptions::default() };
    ca.generate_sub(&words(), &words(), &named).expect("a subordinate");
    ca.generate_ca_files(Existing::Replace).expect("files");
    let sub_crt = files.sub_crt();
    first.join(sub_crt.file_name().expect("a name"))
}

/// The root revokes the authority that has issued the certificate of one of two peers.
#[tokio::test]
async fn a_link_below_an_authority_that_is_revoked_ends_and_there_is_no_other() {
    let site = Site::new();
    // Loaded while the list is that of its own authority.
    let below_the_first = site.config("a@/");
    let revoked = replace_the_subordinate(&site);
    for server in ["b@/", "c@/"] {
        issue(&site, server, &[], 0, Existing::Replace);
    }
    let b = site.listener("b@/", Limits::default()).await;
    let a =
        Server::start(below_the_first.known(b.id().clone(), b.addresses().to_vec())).await.expect("starts");
    let c = site.client("c@/", &b).await;
    assert_eq!((ask(&a, b.id()).await, ask(&c, b.id()).await), (Ok("hi".into()), Ok("hi".into())));

    let files = CaFiles::below(site.home.root());
    let root_key = PrivateKey::load_protected(&files.root_key(), &words()).expect("unlocked");
    let list = list_naming(&files.root_crt(), &root_key, &revoked, unix_now()).expect("made");
    std::fs::write(files.crl(), list).expect("written");
    assert_eq!(b.reload_tls().expect("reloaded").expect("it has a certificate").closed, 1);
    wait_until("the link is closed", || a.connections().is_empty()).await;
    let refused = ask(&a, b.id()).await.expect_err("refused");
    assert!(refused.contains("does not accept this server's certificate"), "{refused}");
    assert_eq!(ask(&c, b.id()).await, Ok("hi".into()), "who is below another authority stays");
    assert_eq!(b.connections().len(), 1);
    // A list that takes a server's own certificate from it is not loaded.
    let kept = a.reload_tls().expect_err("its own is below the revoked one");
    assert_eq!(kept.code(), "certificate-revoked", "{kept}");
}

/// A server with a certificate of this moment, as its host and the authority know it: `ahead` seconds from now.
async fn from_the_future(site: &Site, server: &str, ahead: u64, peer: &Server) -> Server {
    issue(site, server, &[], ahead, Existing::Keep);
    let files = TlsFiles::of(site.home.root(), &site.home.server(&id(server)));
    let context = TlsContext::load(&files, move || unix_now() + ahead).expect("loaded");
    let cookie = Cookie::from_bytes([9; 32]);
    let config = ServerConfig::new(id(server), cookie, site.world()).tls(context);
    Server::start(config.known(peer.id().clone(), peer.addresses().to_vec())).await.expect("starts")
}

/// Certificates begin early by as much as a clock may be behind that of the authority.
#[tokio::test]
async fn a_clock_behind_that_of_the_authority_is_allowed_for_and_one_further_behind_is_not() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let near = from_the_future(&site, "near@/", SKEW_S, &b).await;
    assert_eq!(ask(&near, b.id()).await, Ok("hi".into()));
    // Beyond what may pass while a test runs.
    let far = from_the_future(&site, "far@/", SKEW_S + 600, &b).await;
    let refused = ask(&far, b.id()).await.expect_err("refused");
    assert!(refused.contains("does not accept this server's certificate"), "{refused}");
    assert_eq!(b.connections().len(), 1);

    // The same certificate is good once the receiver's clock is late enough.
    site.seconds_ahead.store(600, Ordering::Relaxed);
    let again = from_the_future(&site, "again@/", SKEW_S + 600, &b).await;
    assert_eq!(ask(&again, b.id()).await, Ok("hi".into()));
}
