//! The end of a server: what is being handled is answered, and nothing new begins.

use std::time::Duration;

use odeon_actor::AskError;
use odeon_core::Encoding;
use odeon_server::{ConnectError, Limits};
use odeon_wire::Frame;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::actors::{Echo, EchoCalls as _};
use crate::raw::{Raw, ask_id, body, define, encoded, open};
use crate::support::{Site, TRANSPORTS, Transport, at, cookie, id, soon, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_handled_is_answered_within_the_grace_and_new_links_are_refused() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let client = site.client("a@/", &server).await;
        let echo = client.actor::<Echo>(at(&server, "echo"));
        let dozing = tokio::spawn({
            let echo = echo.clone();
            async move { echo.wait_millis(300).await }
        });
        let open_asks = |n| client.connections().iter().any(|link| link.open_asks == n);
        wait_until("it is being handled", || open_asks(1)).await;
        let queued = tokio::spawn(async move { echo.say("behind it".into()).await });
        wait_until("another waits", || open_asks(2)).await;
        let stopping = tokio::spawn({
            let server = server.clone();
            async move { server.shutdown(Duration::from_secs(5)).await }
        });
        wait_until("it does not listen", || match &server.addresses()[0] {
            odeon_core::Address::Unix { path, .. } => !std::path::Path::new(path).exists(),
            odeon_core::Address::Tcp(at) => std::net::TcpStream::connect(at).is_err(),
            odeon_core::Address::Tls(_) => false,
        })
        .await;
        let late = site.client("late@/", &server).await;
        let refused = late.connect(server.id(), &[]).await;
        assert!(matches!(refused, Err(ConnectError::AllFailed { .. })), "{refused:?}");
        assert_eq!(soon("an answer", dozing).await.expect("no panic"), Ok(300));
        let queued = soon("an answer", queued).await.expect("no panic");
        assert!(matches!(queued, Err(AskError::Dead(_))), "{queued:?}");
        soon("the end", stopping).await.expect("no panic");
        assert_eq!(server.status().links, 0);
        let outgoing = server.connect(&id("a@/"), client.addresses()).await;
        assert!(outgoing.is_err());
    }
}

#[tokio::test]
async fn strangers_and_half_made_links_do_not_hold_up_the_end() {
    let site = Site::new();
    let limits = Limits { handshake_timeout: Duration::from_secs(60), ..Limits::default() };
    let server = site.listener(Transport::Tcp, limits).await;
    let stranger = Raw::connect(&server.addresses()[0]).await;
    // Somebody who accepts and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = odeon_core::Address::Tcp(silent.local_addr().expect("bound").to_string());
    let dialling = tokio::spawn({
        let server = server.clone();
        async move { server.connect(&id("mute@/"), &[address]).await }
    });
    server.know(
        id("mute-too@/"),
        vec![odeon_core::Address::Tcp(silent.local_addr().expect("bound").to_string())],
    );
    let asking = tokio::spawn({
        let echo = server.actor::<Echo>("mute-too@/:echo".parse().expect("a reference"));
        async move { echo.say("hi".into()).within(Duration::from_secs(60)).await }
    });
    let (first, second) =
        (silent.accept().await.expect("connected"), silent.accept().await.expect("connected"));
    let began = Instant::now();
    soon("the end", server.shutdown(Duration::from_secs(1))).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "took {:?}", began.elapsed());
    assert_eq!(soon("told", dialling).await.expect("no panic"), Err(ConnectError::Stopping));
    let answer = soon("told", asking).await.expect("no panic");
    assert!(matches!(answer, Err(AskError::Unreachable { .. })), "{answer:?}");
    assert_eq!(stranger.end().await.last_words(), "bye: the server is stopping");
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_reach_whoever_is_still_talking() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let mut raw = Raw::member(&server.addresses()[0], "raw@/", &cookie()).await;
        define(&mut raw, 0, "echo/1#blob").await;
        open(&mut raw, 0, "echo").await;
        // Its answer is one frame.
        let many = br#"{"bytes":60000}"#;
        let ask = Frame::Ask { ask_id: ask_id(1), body: body(0, 1, 0, Encoding::Json, many) };
        raw.send(&ask).await;
        define(&mut raw, 1, "echo/1#say").await;
        raw.send(&Frame::Tell(body(0, 2, 1, Encoding::Json, br#"{"text":"hi"}"#))).await;
        let (pongs, masks) = (raw.masked(&encoded(&Frame::Pong { n: 0 })).repeat(1_000), raw.masks);
        let (reading, mut writing) = tokio::io::split(raw.stream);
        let talking = tokio::spawn(async move { while writing.write_all(&pongs).await.is_ok() {} });
        let echo = server.actor::<Echo>(at(&server, "echo"));
        while echo.said().await.expect("answered") == 0 {
            tokio::task::yield_now().await;
        }
        let stopping = tokio::spawn({
            let server = server.clone();
            async move { server.shutdown(Duration::ZERO).await }
        });
        wait_until("the link is closed", || server.connections().is_empty()).await;
        let raw = Raw { stream: Box::new(tokio::io::join(reading, tokio::io::sink())), masks };
        let end = raw.end().await;
        assert_eq!(end.last_words(), "bye: the server is stopping");
        let first = Frame::decode(&end.frames[0]);
        assert!(matches!(first, Ok(Frame::Reply { ask_id: answered, .. }) if answered == ask_id(1)));
        soon("the talk ends", talking).await.expect("no panic");
        soon("the end", stopping).await.expect("no panic");
    }
}

#[tokio::test]
async fn a_server_that_has_stopped_can_be_stopped_again() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    for _ in 0..2 {
        soon("the end", server.shutdown(Duration::from_secs(1))).await;
    }
    site.listener(Transport::Unix, Limits::default()).await;
}
