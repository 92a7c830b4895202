//! Handshakes that pretend: replayed, reflected, with the wrong secret, at the wrong server.

use odeon_auth::Cookie;
use odeon_core::Address;
use odeon_server::{ConnectError, Limits, Server};
use odeon_wire::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::actors::{Echo, EchoCalls as _};
use crate::raw::{Raw, encoded, framed, hello, hello_back};
use crate::support::{Site, TRANSPORTS, Transport, at, cookie, id, soon};

/// A port that is ours, and its address.
async fn port() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = Address::Tcp(listener.local_addr().expect("bound").to_string());
    (listener, address)
}

async fn refused(client: &Server, peer: &str) -> String {
    let peer = id(peer);
    let outcome = soon("an outcome", client.connect(&peer, &[])).await;
    assert!(client.connections().is_empty());
    outcome.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_recorded_handshake_cannot_be_replayed() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let Address::Tcp(target) = server.addresses()[0].clone() else { panic!("tcp") };
    let (proxy, proxied) = port().await;
    let recording = tokio::spawn(async move {
        let (mut client, _) = proxy.accept().await.expect("connected");
        let mut upstream = tokio::net::TcpStream::connect(target).await.expect("connected");
        let (mut said, mut from_client, mut from_server) = (Vec::new(), [0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                n = client.read(&mut from_client) => match n.unwrap_or(0) {
                    0 => return said,
                    n => {
                        said.extend_from_slice(&from_client[..n]);
                        upstream.write_all(&from_client[..n]).await.expect("passed on");
                    }
                },
                n = upstream.read(&mut from_server) => match n.unwrap_or(0) {
                    0 => return said,
                    n => client.write_all(&from_server[..n]).await.expect("passed on"),
                },
            }
        }
    });
    let client = site.knowing("a@/", server.id(), &[proxied]).await;
    let echo = client.actor::<Echo>(at(&server, "echo"));
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    client.shutdown(std::time::Duration::ZERO).await;
    let said = soon("the recording", recording).await.expect("recorded");

    let mut raw = Raw::connect(&server.addresses()[0]).await;
    raw.send_bytes(&said).await.expect("sent");
    let end = raw.end().await;
    assert!(end.last_words().starts_with("authentication: "), "{}", end.last_words());
    assert_eq!(end.frames.len(), 2, "a hello and the refusal, and no proof of the server's");
    assert_eq!(server.actor::<Echo>(at(&server, "echo")).said().await, Ok(1));
}

#[tokio::test]
async fn a_reflected_proof_proves_nothing() {
    let site = Site::new();
    let (rogue, address) = port().await;
    let client = site.knowing("a@/", &id("b@/"), &[address]).await;
    let rogue = tokio::spawn(async move {
        let (stream, _) = rogue.accept().await.expect("connected");
        let mut raw = Raw::over(Box::new(stream));
        raw.frame().await.expect("a hello");
        raw.send(&Frame::Hello(hello_back(id("b@/")))).await;
        let proof = raw.frame().await.expect("a proof");
        raw.send_bytes(&framed(&proof)).await.expect("sent");
        raw.send(&Frame::Accept).await;
        raw.end().await.last_words()
    });
    let error = refused(&client, "b@/").await;
    assert!(error.contains("does not hold this ensemble's cookie"), "{error}");
    let words = soon("the rogue is told", rogue).await.expect("no panic");
    assert!(words.starts_with("authentication: "), "{words}");
}

#[tokio::test]
async fn a_reflected_hello_is_seen_through() {
    let site = Site::new();
    let (rogue, address) = port().await;
    let client = site.knowing("a@/", &id("b@/"), &[address]).await;
    let rogue = tokio::spawn(async move {
        let (stream, _) = rogue.accept().await.expect("connected");
        let mut raw = Raw::over(Box::new(stream));
        let hello = raw.frame().await.expect("a hello");
        raw.send_bytes(&framed(&hello)).await.expect("sent");
        raw.end().await.last_words()
    });
    refused(&client, "b@/").await;
    let words = soon("the rogue is told", rogue).await.expect("no panic");
    assert!(words.starts_with("self-connect: "), "{words}");
}

#[tokio::test]
async fn the_wrong_cookie_learns_no_more_than_a_hello() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let mut raw = Raw::connect(&server.addresses()[0]).await;
        raw.prove(&hello("raw@/"), &Cookie::from_bytes([8; 32])).await;
        let end = raw.end().await;
        assert_eq!(end.frames.len(), 1);
        assert!(end.last_words().starts_with("authentication: "), "{}", end.last_words());
        Raw::member(&server.addresses()[0], "raw@/", &cookie()).await.assert_open(1).await;
    }
}

#[tokio::test]
async fn the_wrong_server_and_the_server_itself_are_told_apart() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let client = site.knowing("a@/", &id("c@/"), server.addresses()).await;
        let error = refused(&client, "c@/").await;
        assert!(error.contains("wrong-server") && error.contains("is b@/, and not c@/"), "{error}");

        let itself = server.connect(server.id(), server.addresses()).await;
        assert_eq!(itself, Err(ConnectError::Itself(id("b@/"))));
        server.know(id("d@/"), server.addresses().to_vec());
        let error = refused(&server, "d@/").await;
        assert!(error.contains("self-connect"), "{error}");
        site.assert_serves(&server).await;
    }
}

#[tokio::test]
async fn a_member_that_claims_to_be_another_incarnation_later_shuts_out_the_earlier() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let of_epoch = |epoch| {
        let mut hello = hello("raw@/");
        hello.epoch = odeon_core::Epoch(epoch);
        hello
    };
    let mut second = Raw::connect(&server.addresses()[0]).await;
    second.prove(&of_epoch(2), &cookie()).await;
    let mut third = Raw::connect(&server.addresses()[0]).await;
    third.prove(&of_epoch(3), &cookie()).await;
    third.frame().await.expect("a proof");
    assert_eq!(third.frame().await, Some(encoded(&Frame::Accept)));
    let words = second.end().await.last_words();
    assert_eq!(words, "bye: a newer incarnation has connected");
    let mut again = Raw::connect(&server.addresses()[0]).await;
    again.prove(&of_epoch(2), &cookie()).await;
    let words = again.end().await.last_words();
    assert!(words.starts_with("stale-epoch: "), "{words}");
    third.assert_open(1).await;
}
