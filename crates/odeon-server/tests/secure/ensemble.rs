//! What two servers do for each other over TLS.

use std::sync::Arc;
use std::time::Duration;

use odeon_actor::ExitReason;
use odeon_core::{Address, Epoch, Reference};
use odeon_server::{Control, ControlCalls as _, Direction, Limits, Server, Transport};

use crate::memory_net::MemoryNet;
use crate::support::{Echo, EchoCalls as _, Site, ask, at, id, tls, wait_until};

/// TLS-2: what two servers do over a unix socket they do over TLS, and the cookies, which differ, are not used.
#[tokio::test]
async fn tls_2_two_servers_with_different_cookies_do_everything_over_tls() {
    let site = Site::new();
    let b = site.listener("b@/h2", Limits::default()).await;
    let a = Server::start(site.config("a@/").epoch(Epoch(1)).listen(tls(0))).await.expect("starts");
    a.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");

    // An explicit connect says where it led, and both list the link.
    let to_b = a.connect(b.id(), b.addresses()).await.expect("connected");
    assert_eq!(to_b, b.addresses()[0].to_string());
    wait_until("b has taken the link in", || b.connections().len() == 1).await;
    let (ours, theirs) = (a.connections().remove(0), b.connections().remove(0));
    assert_eq!((ours.transport, theirs.transport), (Transport::Tls, Transport::Tls));
    assert_eq!((ours.direction, theirs.direction), (Direction::Outgoing, Direction::Incoming));
    assert_eq!((&ours.server, &theirs.server), (b.id(), a.id()));
    let shown = theirs.certificate.expect("a certificate");
    assert_eq!(shown.server, id("a@/"));
    assert_eq!(shown.serial, site.context("a@/").own().serial);

    // Lists, pings and requests, both ways over the one link.
    for (from, to) in [(&a, &b), (&b, &a)] {
        let control = from.actor::<Control>(Reference::new(to.id().clone(), odeon_core::ActorId::SERVER));
        assert_eq!(control.ping().await, Ok(()));
        let links = control.list_connections(None, None).await.expect("a list").connections;
        assert_eq!(links[0].server, *from.id());
        let actors = control.list_actors(None, None).await.expect("a list").actors;
        assert_eq!(actors.iter().map(|actor| actor.name.as_str()).collect::<Vec<_>>(), ["echo"]);
        let echo = from.actor::<Echo>(at(to.id(), "echo"));
        assert_eq!(echo.ping().await, Ok(()));
        assert_eq!(echo.say("hello".into()).await.expect("answered"), "hello");
        assert_eq!(echo.whoami().await.expect("answered"), from.id().to_string());
    }
    assert_eq!((a.connections().len(), b.connections().len()), (1, 1), "one link served both");

    // A message of many records arrives whole, both ways.
    let large = "x".repeat(1024 * 1024);
    let echo = a.actor::<Echo>(at(b.id(), "echo"));
    assert_eq!(echo.say(large.clone()).await.expect("answered"), large);

    // The end of one is told to the other.
    let (tell, ended) = tokio::sync::oneshot::channel();
    echo.monitor(Box::new(move |down| drop(tell.send(down)))).expect("watching");
    echo.ping().await.expect("alive");
    b.shutdown(Duration::from_secs(1)).await;
    assert_eq!(ended.await.expect("told").reason, ExitReason::Stopped);
    wait_until("the end of the link is noticed", || a.connections().is_empty()).await;
    a.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_thousand_messages_both_ways_at_once_arrive_in_order() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let a = site.client("a@/", &b).await;
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    let echo = a.actor::<Echo>(at(b.id(), "echo"));
    let asks = (0..1_000).map(|n| {
        let echo = echo.clone();
        // Larger than TLS's own buffers together, so that both sides have to wait for room.
        tokio::spawn(async move { echo.say(format!("{n} {}", "y".repeat(4_000))).await })
    });
    for (n, asked) in asks.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = asked.await.expect("no panic").expect("answered");
        assert!(answer.starts_with(&format!("{n} ")) && answer.len() > 4_000);
    }
}

#[tokio::test]
async fn tls_is_the_same_over_a_network_in_memory() {
    let site = Site::new();
    let net = Arc::new(MemoryNet::default());
    let place: Address = "tls:memory:1".parse().expect("an address");
    let mut config = site.config("b@/").epoch(Epoch(1)).listen(place.clone());
    config.world.net = net.clone();
    let b = Server::start(config).await.expect("starts");
    b.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    let mut config = site.config("a@/").known(id("b@/"), vec![place]);
    config.world.net = net;
    let a = Server::start(config).await.expect("starts");
    assert_eq!(ask(&a, b.id()).await, Ok("hi".into()));
    assert_eq!(a.connections()[0].certificate.as_ref().map(|shown| &shown.server), Some(b.id()));

    // More than the network holds at once: what TLS keeps back leaves without anything being written behind it. A
    // ping, after five seconds of silence, would push it.
    let text = "z".repeat(40_000);
    let echo = a.actor::<Echo>(at(b.id(), "echo"));
    let answer = echo.say(text.clone()).within(Duration::from_secs(4)).await;
    assert_eq!(answer.map(|answer| answer.len()), Ok(text.len()));
}
