//! How many connections and links a server keeps: at each limit, and one past it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use odeon_actor::Handle;
use odeon_core::{ActorId, Reference};
use odeon_server::{Control, ControlCalls as _, Limits, Server};
use odeon_wire::Frame;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::actors::{Echo, Gate, GateCalls as _};
use crate::raw::{Raw, hello};
use crate::support::{PATIENCE, Site, TRANSPORTS, Transport, cookie, soon, wait_until};

async fn refused(server: &Server, who: &str) -> String {
    let mut raw = Raw::connect(&server.addresses()[0]).await;
    raw.prove(&hello(who), &cookie()).await;
    raw.end().await.last_words()
}

async fn members(server: &Server, who: &[&str]) -> Vec<Raw> {
    let mut members = Vec::new();
    for who in who {
        members.push(Raw::member(&server.addresses()[0], who, &cookie()).await);
    }
    members
}

#[tokio::test]
async fn links_are_taken_up_to_the_limit_and_again_when_one_has_gone() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let limits = Limits { links_max: 3, ..Limits::default() };
        let server = site.listener(transport, limits).await;
        let mut linked = members(&server, &["x@/", "y@/", "z@/"]).await;
        assert_eq!(refused(&server, "w@/").await, "busy: the server has 3 links already");
        for raw in &mut linked {
            raw.assert_open(1).await;
        }
        drop(linked.pop());
        wait_until("one has gone", || server.status().links == 2).await;
        linked.extend(members(&server, &["w@/"]).await);
        assert_eq!(server.connections().len(), 3);
        // Our own wish for a link meets the same limit.
        let other = Server::start(site.config("other@/").listen(site.address("other@/", transport))).await;
        let other = other.expect("starts");
        let error = server.connect(other.id(), other.addresses()).await.expect_err("too many");
        assert!(error.to_string().contains("the server has 3 links already"), "{error}");
    }
}

#[tokio::test]
async fn one_peer_has_as_many_links_as_the_limit_says() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let limits = Limits { links_per_peer_max: 2, ..Limits::default() };
        let server = site.listener(transport, limits).await;
        let mut linked = members(&server, &["x@/", "x@/"]).await;
        assert_eq!(refused(&server, "x@/").await, "busy: x@/ has 2 links here already");
        let _other = members(&server, &["y@/"]).await;
        drop(linked.pop());
        wait_until("one has gone", || server.status().links == 2).await;
        linked.extend(members(&server, &["x@/"]).await);
        for raw in &mut linked {
            raw.assert_open(1).await;
        }
    }
}

#[tokio::test]
async fn a_new_incarnation_is_let_in_where_the_old_one_fills_the_limit() {
    let site = Site::new();
    let limits = Limits { links_max: 1, links_per_peer_max: 1, ..Limits::default() };
    let server = site.listener(Transport::Unix, limits).await;
    let mut first = hello("x@/");
    for epoch in [1, 2] {
        first.epoch = odeon_core::Epoch(epoch);
        let mut raw = Raw::connect(&server.addresses()[0]).await;
        raw.prove(&first, &cookie()).await;
        let proof = raw.frame().await.expect("a proof");
        assert!(matches!(Frame::decode(&proof), Ok(Frame::Proof { .. })), "incarnation {epoch}");
        raw.frame().await.expect("accepted");
        raw.assert_open(1).await;
        assert_eq!(server.connections()[0].epoch, odeon_core::Epoch(epoch));
        // Left open, as by a peer whose host has lost power.
        std::mem::forget(raw);
    }
}

#[tokio::test]
async fn the_oldest_stranger_goes_when_there_is_one_too_many() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let limits = Limits { handshakes_max: 3, ..Limits::default() };
        let server = site.listener(transport, limits).await;
        let mut strangers = Vec::new();
        for _ in 0..3 {
            strangers.push(Raw::connect(&server.addresses()[0]).await);
        }
        // All three are kept: the oldest can still become a member.
        let mut oldest = strangers.remove(0);
        oldest.prove(&hello("x@/"), &cookie()).await;
        oldest.frame().await.expect("a proof");
        oldest.frame().await.expect("accepted");
        for _ in 0..2 {
            strangers.push(Raw::connect(&server.addresses()[0]).await);
        }
        let words = strangers.remove(0).end().await.last_words();
        assert_eq!(words, "bye: too many connections wait for their handshake");
        oldest.assert_open(1).await;
        for mut raw in strangers {
            raw.prove(&hello("y@/"), &cookie()).await;
            let proof = raw.frame().await.expect("a proof");
            assert!(matches!(Frame::decode(&proof), Ok(Frame::Proof { .. })));
        }
    }
}

/// Connects from this address of this host.
async fn connect_from(from: Ipv4Addr, server: &Server) -> TcpStream {
    let odeon_core::Address::Tcp(to) = &server.addresses()[0] else { panic!("tcp") };
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("any of 127/8 is this host's");
    socket.connect(to.parse().expect("an address")).await.expect("connected")
}

#[tokio::test]
async fn an_address_with_one_stranger_too_many_loses_its_own_oldest_and_no_other() {
    let site = Site::new();
    let limits = Limits {
        handshakes_max: 4,
        handshakes_per_source_max: 3,
        handshake_timeout: PATIENCE * 3,
        ..Limits::default()
    };
    let server = site.listener(Transport::Tcp, limits).await;
    let (here, there) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2));
    let dropped = |limit: &str, count: u64| {
        server.metrics().contains(&format!("odeon_strangers_dropped_total{{limit=\"{limit}\"}} {count}"))
    };
    let other = connect_from(there, &server).await;
    let mut many = Vec::new();
    for _ in 0..3 {
        many.push(connect_from(here, &server).await);
    }
    // All four are kept: the limits are reached and not passed.
    many.push(connect_from(here, &server).await);
    wait_until("the limit of the address is passed", || dropped("source", 1)).await;
    let mut rest = Vec::new();
    soon("its oldest goes", many.remove(0).read_to_end(&mut rest)).await.expect("closed");
    // One from a third address: there are too many in all, and the first has most of them.
    let third = connect_from(Ipv4Addr::new(127, 0, 0, 3), &server).await;
    wait_until("the limit of all is passed", || dropped("all", 1)).await;
    soon("the next goes", many.remove(0).read_to_end(&mut rest)).await.expect("closed");
    assert!(dropped("source", 1));
    for stays in [&other, &third, &many[0], &many[1]] {
        let read = stays.try_read(&mut [0; 1]);
        assert!(matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
    }
}

fn control(client: &Server, of: &Server) -> Handle<Control> {
    client.actor(Reference::new(of.id().clone(), ActorId::SERVER))
}

#[tokio::test]
async fn one_peer_waits_for_readiness_within_its_share_and_others_within_theirs() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let (greedy, other) = (site.client("greedy@/", &server).await, site.client("other@/", &server).await);
    let wait = |client: &Server| {
        let control = control(client, &server);
        tokio::spawn(async move { control.wait_ready().await })
    };
    let mut waits: Vec<_> = (0..65).map(|_| wait(&greedy)).collect();
    let over = |waits: &[JoinHandle<_>]| waits.iter().filter(|wait| wait.is_finished()).count();
    wait_until("the one past the share is refused", || over(&waits) == 1).await;
    waits.push(wait(&other));
    // Its own question is behind its wish to wait.
    control(&other, &server).status().await.expect("answered");
    assert_eq!(over(&waits), 1, "others have a share of their own");
    server.set_ready().await;
    let mut outcomes = Vec::new();
    for wait in waits {
        outcomes.push(wait.await.expect("no panic").is_ok());
    }
    assert_eq!(outcomes.iter().filter(|is_ok| **is_ok).count(), 65);
    assert_eq!(outcomes.last(), Some(&true));
}

#[tokio::test]
async fn one_peer_has_as_many_pings_under_way_as_its_share_says() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let (greedy, other) = (site.client("greedy@/", &server).await, site.client("other@/", &server).await);
    let passes = Arc::new(Semaphore::new(0));
    let gate = Gate::new(Arc::clone(&passes));
    let busy = server.spawn_named("gate".parse().expect("a name"), gate).expect("registered");
    busy.hear(1).tell().await.expect("told");
    let ping = |client: &Server| {
        let control = control(client, &server);
        tokio::spawn(
            async move { control.ping_actor("gate".parse().expect("an actor")).await.expect("answered") },
        )
    };
    let mut pings: Vec<_> = (0..257).map(|_| ping(&greedy)).collect();
    let over = |pings: &[JoinHandle<_>]| pings.iter().position(JoinHandle::is_finished);
    wait_until("one is refused", || over(&pings).is_some()).await;
    let refused =
        pings.remove(over(&pings).expect("one")).await.expect("no panic").expect_err("one too many");
    assert!(refused.detail.contains("has 256 pings under way"), "{refused:?}");
    let of_other = ping(&other);
    control(&other, &server).status().await.expect("answered");
    assert_eq!((over(&pings), of_other.is_finished()), (None, false), "they wait for the actor");
    passes.add_permits(1);
    for waits in pings.into_iter().chain([of_other]) {
        assert_eq!(soon("it answers", waits).await.expect("no panic"), Ok(()));
    }
    assert_eq!(ping(&greedy).await.expect("no panic"), Ok(()), "those that are over count no more");
}

#[tokio::test]
async fn an_unknown_name_is_compared_with_256_names_and_not_with_all() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    for number in 0..300 {
        let name = format!("a{number:03}").parse().expect("a name");
        server.spawn_named(name, Echo::default()).expect("registered");
    }
    let told = |name: &str| {
        server.local_inbox(&name.parse().expect("an actor")).map(drop).expect_err("unknown").detail
    };
    assert!(told("a255xx").contains("did you mean `a255`?"));
    assert!(!told("a299xx").contains("did you mean"));
}
