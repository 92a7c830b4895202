//! What strangers do: none of it reaches an actor, holds anything for long, or keeps others waiting.

use std::time::Duration;

use odeon_core::Encoding;
use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;
use odeon_server::{Limits, Server};
use odeon_wire::{Frame, VERSION_MAX};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::actors::{Echo, EchoCalls as _};
use crate::raw::{Raw, body, encoded, framed, hello};
use crate::support::{Site, TRANSPORTS, at, cookie, id, wait_until};

const SHORT: Duration = Duration::from_millis(200);

/// Long enough that a test which waits for it fails.
const LONG: Duration = Duration::from_secs(60);

fn with_timeout(handshake_timeout: Duration) -> Limits {
    Limits { handshake_timeout, ..Limits::default() }
}

async fn assert_nothing_was_said(server: &Server) {
    let echo = server.actor::<Echo>(at(server, "echo"));
    assert_eq!(echo.said().await.expect("answered"), 0);
    assert!(server.connections().is_empty());
}

#[tokio::test]
async fn garbage_is_refused_and_others_are_served() {
    let hello_garbage = framed(&[0xff; 100]);
    let all_zero = [0; 64];
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, with_timeout(LONG)).await;
        for garbage in
            [&b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"[..], &hello_garbage, &all_zero, b"\x00\x00\x00\x01"]
        {
            let mut raw = Raw::connect(&server.addresses()[0]).await;
            raw.send_bytes(garbage).await.expect("sent");
            if garbage.len() > 5 {
                let words = raw.end().await.last_words();
                assert!(words.starts_with("protocol: "), "{words}");
            }
        }
        assert_nothing_was_said(&server).await;
        site.assert_serves(&server).await;
    }
}

#[tokio::test]
async fn a_length_past_the_limit_is_refused_before_the_frame_has_come() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, with_timeout(LONG)).await;
        let refused = async |frame: &[u8]| {
            let mut raw = Raw::connect(&server.addresses()[0]).await;
            raw.send_bytes(frame).await.expect("sent");
            raw.end().await.last_words()
        };
        let at_the_limit = refused(&framed(&[0xff; HANDSHAKE_FRAME_BYTES_MAX])).await;
        assert!(at_the_limit.contains("cannot be read"), "it was read: {at_the_limit}");
        let past = u32::try_from(HANDSHAKE_FRAME_BYTES_MAX + 1).expect("small");
        let words = refused(&past.to_be_bytes()).await;
        assert!(words.contains("a frame of 4097 bytes, where 4096 are the limit"), "{words}");
        let words = refused(&u32::MAX.to_be_bytes()).await;
        assert!(words.contains("4294967295 bytes"), "{words}");
        site.assert_serves(&server).await;
    }
}

#[tokio::test]
async fn a_hello_that_breaks_off_leaves_nothing() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, with_timeout(LONG)).await;
        let whole = framed(&encoded(&Frame::Hello(hello("raw@/"))));
        for cut in [0, 3, 4, whole.len() / 2, whole.len() - 1] {
            let mut raw = Raw::connect(&server.addresses()[0]).await;
            raw.send_bytes(&whole[..cut]).await.expect("sent");
            raw.stream.shutdown().await.expect("half closed");
            assert!(raw.end().await.frames.is_empty(), "closed without a word");
        }
        assert_nothing_was_said(&server).await;
    }
}

#[tokio::test]
async fn a_stalled_handshake_ends_at_its_deadline_wherever_it_stalls() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, with_timeout(SHORT)).await;
        let began = Instant::now();
        let silent = Raw::connect(&server.addresses()[0]).await;
        let mut half = Raw::connect(&server.addresses()[0]).await;
        half.send_bytes(&framed(&encoded(&Frame::Hello(hello("raw@/"))))).await.expect("sent");
        half.frame().await.expect("a hello");
        for raw in [silent, half] {
            let words = raw.end().await.last_words();
            assert_eq!(words, "protocol: the handshake took longer than 200ms");
        }
        assert!(began.elapsed() >= SHORT, "not before its time");
        assert_nothing_was_said(&server).await;
    }
}

async fn wait_as_a_slow_peer_would() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn one_byte_at_a_time_wins_no_time() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, with_timeout(SHORT)).await;
        let mut raw = Raw::connect(&server.addresses()[0]).await;
        let began = Instant::now();
        // The announced frame would take 40 s.
        let mut sent = 0;
        for byte in framed(&[b'x'; HANDSHAKE_FRAME_BYTES_MAX]) {
            if raw.send_bytes(&[byte]).await.is_err() {
                break;
            }
            sent += 1;
            wait_as_a_slow_peer_would().await;
        }
        assert!(sent < HANDSHAKE_FRAME_BYTES_MAX / 4, "closed after {sent} bytes");
        assert!(began.elapsed() >= SHORT);
        site.assert_serves(&server).await;
    }
}

#[tokio::test]
async fn whoever_speaks_another_version_is_told_so() {
    let site = Site::new();
    let server = site.listener(TRANSPORTS[0], with_timeout(LONG)).await;
    let mut newer = hello("raw@/");
    (newer.version_min, newer.version_max) = (VERSION_MAX + 1, VERSION_MAX + 3);
    let mut other = hello("raw@/");
    other.magic = "gerbil".into();
    for (hello, expected) in [(newer, "version: "), (other, "protocol: ")] {
        let mut raw = Raw::connect(&server.addresses()[0]).await;
        raw.send(&Frame::Hello(hello)).await;
        let words = raw.end().await.last_words();
        assert!(words.starts_with(expected), "{words}");
    }
    // One that speaks ours too is welcome.
    let mut both = hello("raw@/");
    both.version_max = u16::MAX;
    let mut raw = Raw::connect(&server.addresses()[0]).await;
    raw.prove(&both, &cookie()).await;
    raw.frame().await.expect("a proof");
    assert_eq!(Frame::decode(&raw.frame().await.expect("a frame")), Ok(Frame::Accept));
}

#[tokio::test]
async fn messages_before_the_proof_reach_nobody() {
    let tell = Frame::Tell(body(0, 1, 0, Encoding::Json, br#"{"text":"in"}"#));
    let define = Frame::Define { type_id: 0, mark: "echo/1#say".parse().expect("a mark"), fingerprint: None };
    let early: Vec<u8> = [&define, &tell].iter().flat_map(|frame| framed(&encoded(frame))).collect();
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, with_timeout(LONG)).await;
        // Before the hello, after it, and behind a proof that is wrong.
        let hello = framed(&encoded(&Frame::Hello(hello("raw@/"))));
        let proof = framed(&encoded(&Frame::Proof { mac: [0; 32] }));
        for (before, expected) in [
            (vec![], "protocol: a Define came out of turn"),
            (hello.clone(), "protocol: a Define came out of turn"),
            ([hello, proof].concat(), "authentication: "),
        ] {
            let mut raw = Raw::connect(&server.addresses()[0]).await;
            raw.send_bytes(&[before, early.clone()].concat()).await.expect("sent");
            let words = raw.end().await.last_words();
            assert!(words.starts_with(expected), "{words}");
        }
        assert_nothing_was_said(&server).await;
    }
}

#[tokio::test]
async fn whoever_hangs_up_at_once_does_not_slow_the_listener() {
    let site = Site::new();
    let server = site.listener(TRANSPORTS[1], with_timeout(LONG)).await;
    let odeon_core::Address::Tcp(address) = &server.addresses()[0] else { panic!("tcp") };
    let began = Instant::now();
    for _ in 0..200 {
        let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        // Closing then resets the connection, often before it is accepted.
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&stream, linger).expect("set");
    }
    site.assert_serves(&server).await;
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    wait_until("all are gone", || server.connections().is_empty()).await;
    assert_eq!(server.id(), &id("b@/"));
}
