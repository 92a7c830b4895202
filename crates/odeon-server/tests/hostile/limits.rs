//! How many connections and links a server keeps: at each limit, and one past it.

use odeon_server::{Limits, Server};
use odeon_wire::Frame;

use crate::raw::{Raw, hello};
use crate::support::{Site, TRANSPORTS, Transport, cookie, wait_until};

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
