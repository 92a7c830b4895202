//! A server steered from another: connecting it to a third, long lists, signs of life, ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use odeon_actor::AskError;
use odeon_core::seam::BoxFuture;
use odeon_core::{Address, ExitReason, RefusalCode, ServerId};
use odeon_server::{ControlCalls as _, Locate, Server, ServerConfig, all_actors, all_connections};

use crate::support::{
    Echo, EchoCalls as _, PATIENCE, Site, at, control, cookie, echo, hello_world, id, serve, soon, start,
    tcp, wait_until,
};

/// Says that every server is at one address, and counts how often it is asked.
#[derive(Debug)]
struct Directory {
    asked: AtomicUsize,
    address: Address,
}

impl Locate for Directory {
    fn locate<'a>(&'a self, _: &'a ServerId) -> BoxFuture<'a, Result<Vec<Address>, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(vec![self.address.clone()]) })
    }
}

/// `b` listens, and a console of our own user speaks to it over unix.
async fn steered(site: &Site) -> (Server, Server) {
    let b = start(site.config("b@/").listen(site.unix("b@/"))).await;
    let console = start(site.config("console@/").known(b.id().clone(), b.addresses().to_vec())).await;
    (console, b)
}

#[tokio::test]
async fn addresses_given_to_connect_do_not_outlive_the_link() {
    let site = Site::new();
    let (console, b) = steered(&site).await;
    let c = start(site.config("c@/").listen(tcp())).await;
    echo(&c);
    let directory = Arc::new(Directory { asked: AtomicUsize::new(0), address: c.addresses()[0].clone() });
    b.set_locator(Arc::<Directory>::clone(&directory));
    let asked = || directory.asked.load(Ordering::Relaxed);

    let linked = control(&console, b.id()).connect(c.id().clone(), c.addresses().to_vec()).await;
    assert_eq!(linked, Ok(Ok(c.addresses()[0].to_string())));
    assert_eq!((asked(), b.connections().len()), (0, 2));
    // A second time there is nothing to do, whatever the addresses.
    let nonsense = vec!["tcp:127.0.0.1:1".parse().expect("an address")];
    let again = control(&console, b.id()).connect(c.id().clone(), nonsense).await;
    assert_eq!(again, Ok(Ok(c.addresses()[0].to_string())));
    assert!(b.known_servers().is_empty(), "nothing was planted");

    c.shutdown(Duration::ZERO).await;
    wait_until("the link is lost", || b.connections().len() == 1).await;
    let moved = start(
        ServerConfig::new(id("c@/"), cookie(7), site.world())
            .epoch(odeon_core::Epoch(2))
            .listen(c.addresses()[0].clone()),
    )
    .await;
    echo(&moved);
    let answer = b.actor::<Echo>(at(c.id(), "echo")).say("hello".into()).await;
    assert_eq!((answer, asked()), (Ok(hello_world()), 1), "it was looked up again");
}

#[tokio::test]
async fn a_wrong_address_given_to_connect_harms_nobody_who_comes_later() {
    let site = Site::new();
    let (console, b) = steered(&site).await;
    let c = start(site.config("c@/").listen(tcp())).await;
    echo(&c);
    b.set_locator(Arc::new(Directory { asked: AtomicUsize::new(0), address: c.addresses()[0].clone() }));
    // It leads to a server, and to another one than was meant.
    let wrong = control(&console, b.id()).connect(c.id().clone(), b.addresses().to_vec()).await;
    let refusal = wrong.expect("answered").expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::Unreachable);
    let answer = b.actor::<Echo>(at(c.id(), "echo")).say("hello".into()).await;
    assert_eq!(answer, Ok(hello_world()));
}

#[tokio::test]
async fn who_may_not_connect_a_server_is_refused_and_who_may_learns_why_it_failed() {
    let site = Site::new();
    let mut config = site.config("b@/").listen(tcp());
    config
        .authority
        .grants
        .insert(id("granted@/"), ["connect".parse().expect("a capability")].into_iter().collect());
    let b = start(config).await;
    let asks = async |name: &str, to: &ServerId| {
        let peer = start(site.config(name).known(b.id().clone(), b.addresses().to_vec())).await;
        control(&peer, b.id()).connect(to.clone(), vec![tcp()]).await
    };
    let refused = asks("stranger@/", &id("c@/")).await;
    assert!(
        matches!(&refused, Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised),
        "{refused:?}"
    );
    let code = |answer: Result<Result<String, odeon_core::Refusal>, AskError>| {
        answer.expect("answered").expect_err("refused").code
    };
    assert_eq!(code(asks("granted@/", &id("c@/")).await), RefusalCode::Unreachable);
    assert_eq!(code(asks("granted@/", b.id()).await), RefusalCode::BadRequest);
}

#[tokio::test]
async fn a_list_of_three_thousand_actors_comes_in_pages() {
    let site = Site::new();
    let (console, b) = steered(&site).await;
    for n in 0..3_000 {
        b.spawn_named(format!("echo-{n:04}").parse().expect("a name"), Echo).expect("the name is free");
    }
    let control = control(&console, b.id());
    let first = control.list_actors(None, None).await.expect("a page");
    assert_eq!(
        (first.actors.len(), first.next.as_ref().map(ToString::to_string)),
        (1_024, Some("echo-1023".into()))
    );
    let most = control.list_actors(None, Some(u32::MAX)).await.expect("a page");
    assert_eq!(most, first, "no page is larger");
    let last =
        control.list_actors(Some("echo-2997".parse().expect("a name")), Some(2)).await.expect("a page");
    assert_eq!((last.actors.len(), last.next), (2, None));
    let two = control.list_actors(Some("echo-2996".parse().expect("a name")), Some(2)).await.expect("a page");
    assert_eq!(two.next.map(|next| next.to_string()), Some("echo-2998".to_owned()));
    let all = all_actors(&control, PATIENCE).await.expect("every page");
    assert_eq!(all.len(), 3_000);
    assert!(all.iter().enumerate().all(|(n, actor)| actor.name == format!("echo-{n:04}")));
}

#[tokio::test]
async fn a_list_of_links_comes_in_pages_and_no_server_is_on_two() {
    let site = Site::new();
    let (console, b) = steered(&site).await;
    let mut peers = Vec::new();
    for n in 0..5 {
        let peer = start(site.config(&format!("a{n}@/"))).await;
        peer.connect(b.id(), b.addresses()).await.expect("connected");
        peers.push(peer);
    }
    let control = control(&console, b.id());
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = control.list_connections(after, Some(2)).await.expect("a page");
        assert!(page.connections.len() <= 2, "{page:?}");
        seen.extend(page.connections.iter().map(|link| link.server.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a0@/", "a1@/", "a2@/", "a3@/", "a4@/", "console@/"]);
    assert_eq!(all_connections(&control, PATIENCE).await.expect("every page").len(), 6);
}

#[tokio::test]
async fn a_busy_actor_of_another_server_is_pinged_and_stopped_and_then_its_server() {
    let site = Site::new();
    let (console, b) = steered(&site).await;
    let ends = serve(&b);
    let there = echo(&b);
    let handle = console.actor::<Echo>(at(b.id(), "echo"));
    assert_eq!(control(&console, b.id()).ping().await, Ok(()));
    assert_eq!(handle.ping().await, Ok(()));
    let nobody = console.actor::<Echo>(at(b.id(), "ecko")).ping().await;
    assert!(matches!(&nobody, Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::UnknownActor));
    handle.stop();
    assert_eq!(soon("the actor ends", there.ended()).await, ExitReason::Stopped);
    assert_eq!(handle.ended().await, ExitReason::NoActor);
    control(&console, b.id()).shutdown().await.expect("the right to");
    soon("the server ends", ends).await.expect("no panic");
}
