//! What members of the ensemble do that they should not: it costs them an answer or their link, and nobody else
//! anything.

use std::time::Duration;

use odeon_actor::{AskError, Overflow, SpawnOptions, TellError};
use odeon_core::{Encoding, ExitReason, Refusal, RefusalCode};
use odeon_server::{Limits, Server};
use odeon_wire::Frame;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::actors::{Bait, Echo, EchoCalls as _};
use crate::raw::{Raw, ask_id, body, define, encoded, open};
use crate::support::{Site, TRANSPORTS, Transport, at, cookie, soon, wait_until};

const FRAME_MAX: usize = 64 * 1024;

fn small_frames() -> Limits {
    Limits { frame_bytes_max: FRAME_MAX, outbound_bytes_max: 1024 * 1024, ..Limits::default() }
}

async fn member(server: &Server) -> Raw {
    Raw::member(&server.addresses()[0], "raw@/", &cookie()).await
}

/// A tell that makes a frame of exactly `bytes`, without its length.
fn tell_of(bytes: usize) -> Vec<u8> {
    let frame = |payload: usize| encoded(&Frame::Tell(body(0, 1, 0, Encoding::Cbor, &vec![0; payload])));
    let near = bytes - 100;
    let frame = frame(bytes - (frame(near).len() - near));
    assert_eq!(frame.len(), bytes);
    frame
}

#[tokio::test]
async fn a_frame_past_the_limit_ends_the_link_and_one_at_the_limit_does_not() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, small_frames()).await;
        let mut raw = member(&server).await;
        define(&mut raw, 0, "echo/1#say").await;
        open(&mut raw, 0, "echo").await;
        raw.send_bytes(&raw.masked(&tell_of(FRAME_MAX))).await.expect("sent");
        // Its payload is nonsense, of which the sender is told.
        let note = raw.frame().await.expect("a note");
        assert!(matches!(Frame::decode(&note), Ok(Frame::Refused { ask_id: None, .. })));
        raw.assert_open(1).await;
        // The rest of the frame is not waited for.
        raw.send_bytes(&raw.prefix(FRAME_MAX + 1)).await.expect("sent");
        let words = raw.end().await.last_words();
        assert!(words.contains("a frame of 65537 bytes, where 65536 are the limit"), "{words}");
        wait_until("the link is gone", || server.status().links == 0).await;
        site.assert_serves(&server).await;
    }
}

/// A flow, a message's number in it, and its type.
type Place = (u32, u64, u32);

#[tokio::test]
async fn what_cannot_be_run_is_refused_by_its_kind_and_the_link_lives() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let mut raw = member(&server).await;
        for (type_id, mark) in (0..).zip(["echo/1#say", "echo/1#sing", "elsewhere/7"]) {
            define(&mut raw, type_id, mark).await;
        }
        for (flow, to) in (0..).zip(["echo", "ecko", "4711", "1.7"]) {
            open(&mut raw, flow, to).await;
        }
        let cases: [(Place, Encoding, &[u8], RefusalCode); 9] = [
            ((0, 1, 0), Encoding::Cbor, b"\xff\xff", RefusalCode::BadPayload),
            ((0, 2, 0), Encoding::Cbor, b"", RefusalCode::BadPayload),
            ((0, 3, 0), Encoding::Json, br#"{"text":"#, RefusalCode::BadPayload),
            ((0, 4, 0), Encoding::Json, br#"{"test":"hi"}"#, RefusalCode::BadPayload),
            ((0, 5, 1), Encoding::Json, b"{}", RefusalCode::UnknownMark),
            ((0, 6, 2), Encoding::Json, b"{}", RefusalCode::UnknownMark),
            ((1, 1, 0), Encoding::Json, b"{}", RefusalCode::UnknownActor),
            ((2, 1, 0), Encoding::Json, b"{}", RefusalCode::UnknownActor),
            ((3, 1, 0), Encoding::Json, b"{}", RefusalCode::StaleNumber),
        ];
        for (n, ((flow, seq, type_id), encoding, payload, expected)) in (1..).zip(cases) {
            let ask_id = ask_id(n);
            raw.send(&Frame::Ask { ask_id, body: body(flow, seq, type_id, encoding, payload) }).await;
            let answer = raw.frame().await.expect("an answer");
            let answer = Frame::decode(&answer).expect("a frame");
            let Frame::Refused { ask_id: Some(answered), refusal } = answer else { panic!("{answer:?}") };
            assert_eq!((answered, refusal.code), (ask_id, expected), "{refusal}");
        }
        let text = br#"{"text":"hi"}"#;
        raw.send(&Frame::Ask { ask_id: ask_id(10), body: body(0, 7, 0, Encoding::Json, text) }).await;
        let answer = raw.frame().await.expect("an answer");
        let expected = Frame::Reply { ask_id: ask_id(10), encoding: Encoding::Json, payload: br#""hi""# };
        assert_eq!(Frame::decode(&answer), Ok(expected));
    }
}

#[tokio::test]
async fn a_broken_protocol_ends_the_link_and_no_other() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let other = site.client("a@/", &server).await;
    let echo = other.actor::<Echo>(at(&server, "echo"));
    echo.ping().await.expect("alive");
    let undefined = Frame::Tell(body(0, 1, 9, Encoding::Json, b"{}"));
    for frame in [undefined, Frame::Accept, Frame::NoReply { ask_id: 1 }, Frame::Cancel { ask_id: 1 }] {
        let mut raw = member(&server).await;
        raw.send(&frame).await;
        let words = raw.end().await.last_words();
        assert!(words.starts_with("bye: protocol broken: "), "{words}");
    }
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    assert_eq!(other.connections().len(), 1);
}

#[tokio::test]
async fn a_reader_that_panics_costs_nobody_the_link() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let client = site.client("a@/", &server).await;
    let echo = client.actor::<Echo>(at(&server, "echo"));
    assert_eq!(echo.swallow(Bait(true)).await, Ok(true));
    let error = soon("an answer", async { echo.swallow(Bait(false)).await }).await.expect_err("a defect");
    assert!(matches!(error, AskError::Refused(_) | AskError::NoReply), "{error:?}");
    assert_eq!(echo.swallow(Bait(true)).await, Ok(true));
    assert_eq!(server.connections().len(), 1, "over the same link");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_and_never_reads_loses_the_link_and_others_are_served() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let limits = Limits { outbound_bytes_max: 256 * 1024, ..Limits::default() };
        let server = site.listener(transport, limits).await;
        let other = site.client("a@/", &server).await;
        let echo = other.actor::<Echo>(at(&server, "echo"));
        echo.ping().await.expect("alive");
        let mut raw = member(&server).await;
        define(&mut raw, 0, "echo/1#blob").await;
        open(&mut raw, 0, "echo").await;
        let flooding = tokio::spawn(async move {
            let mut n = 0;
            loop {
                n += 1;
                let payload = br#"{"bytes":16384}"#;
                let ask = Frame::Ask { ask_id: ask_id(n), body: body(0, n, 0, Encoding::Json, payload) };
                if raw.stream.write_all(&raw.masked(&encoded(&ask))).await.is_err() {
                    return n;
                }
            }
        });
        let mut served = 0;
        while !flooding.is_finished() {
            // The flood shares the actor's mailbox: there may be a wait for room, and nothing else.
            assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
            served += 1;
        }
        let asked = soon("the flood ends", flooding).await.expect("no panic");
        assert!(asked > 16, "it went on until more than the limit waited: {asked} asks");
        assert!(served > 0);
        wait_until("only the flooder is gone", || server.connections().len() == 1).await;
        assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    }
}

#[tokio::test]
async fn a_full_mailbox_that_rejects_is_told_as_such() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let options =
        SpawnOptions::named("narrow".parse().expect("a name")).capacity(2).overflow(Overflow::Reject);
    let narrow = server.system().spawn_with(options, Echo::default()).expect("registered");
    let client = site.client("a@/", &server).await;
    let remote = client.actor::<Echo>(at(&server, "narrow"));
    let dozing = tokio::spawn({
        let remote = remote.clone();
        async move { remote.wait_millis(60_000).within(Duration::from_secs(60)).await }
    });
    wait_until("it dozes", || {
        client.connections().iter().any(|link| link.open_asks == 1) && narrow.depth() == 0
    })
    .await;
    for _ in 0..2 {
        remote.say("waits".into()).tell().await.expect("sent");
    }
    wait_until("the mailbox is full", || narrow.depth() == 2).await;
    let error = remote.say("one too many".into()).await.expect_err("full");
    assert!(matches!(&error, AskError::Refused(refusal) if refusal.code == RefusalCode::Full), "{error:?}");
    assert_eq!(client.connections().len(), 1);
    dozing.abort();
}

#[tokio::test]
async fn a_message_too_large_is_the_senders_error_and_an_answer_too_large_the_askers() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, small_frames()).await;
        let client = site.client("a@/", &server).await;
        let echo = client.actor::<Echo>(at(&server, "echo"));
        // The largest text that passes, to the byte.
        let passes = async |bytes: usize| echo.say("x".repeat(bytes)).tell().await;
        let mut largest = FRAME_MAX - 200;
        while passes(largest + 1).await.is_ok() {
            largest += 1;
        }
        assert!(largest > FRAME_MAX - 100 && largest < FRAME_MAX, "{largest}");
        let error = passes(largest + 1).await.expect_err("too large");
        let TellError::Refused(Refusal { code, detail }) = &error else { panic!("{error:?}") };
        assert_eq!(*code, RefusalCode::BadPayload);
        assert!(detail.contains("takes 65537 bytes, and the link carries at most 65536"), "{detail}");

        let error = echo.blob(65_536).await.expect_err("too large");
        assert!(
            matches!(&error, AskError::Refused(refusal) if refusal.code == RefusalCode::LimitReached),
            "{error:?}"
        );
        assert!(error.to_string().contains("the answer: the message takes"), "{error}");
        assert_eq!(echo.blob(65_000).await.expect("answered").len(), 65_000);
        assert_eq!(client.connections().len(), 1);
    }
}

#[tokio::test]
async fn asks_under_way_hear_of_the_links_loss_at_once() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let odeon_core::Address::Tcp(target) = server.addresses()[0].clone() else { panic!("tcp") };
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let proxied = odeon_core::Address::Tcp(proxy.local_addr().expect("bound").to_string());
    let proxying = tokio::spawn(async move {
        let (mut client, _) = proxy.accept().await.expect("connected");
        let mut upstream = tokio::net::TcpStream::connect(target).await.expect("connected");
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await
    });
    let client = site.knowing("a@/", server.id(), &[proxied]).await;
    let asks: Vec<_> = (0..50)
        .map(|_| {
            let echo = client.actor::<Echo>(at(&server, "echo"));
            tokio::spawn(async move { echo.hold().within(Duration::from_secs(60)).await })
        })
        .collect();
    wait_until("all are under way", || client.connections().iter().any(|link| link.open_asks == 50)).await;
    proxying.abort();
    for ask in asks {
        let answer = soon("an answer", ask).await.expect("no panic");
        assert!(matches!(answer, Err(AskError::Dead(ExitReason::LinkLost(_)))), "{answer:?}");
    }
    wait_until("both sides know", || server.status().links == 0 && client.status().links == 0).await;
}
