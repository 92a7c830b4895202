//! From strangers to peers, and every way in which it must not come to that.

use std::time::Duration;

use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;
use odeon_core::{Epoch, Instant};
use odeon_wire::{
    CloseReason, FEATURE_BYTES_MAX, FEATURES_MAX, Frame, HELD_BYTES_MAX, Hello, MAGIC, MESSAGE_COST_BYTES,
    RefuseCode, SendError, Session, Windows,
};

use crate::pair::{End, Event, Pair, config, framed, id, parcel};

#[test]
fn both_sides_accept_whatever_the_pieces() {
    for piece in [1, 2, 3, 7, 64, 100_000] {
        let mut pair = Pair::default_ends();
        pair.piece = piece;
        pair.drive();
        for (end, peer) in [(&mut pair.dialler, "b@/"), (&mut pair.listener, "a@/")] {
            assert_eq!(
                end.news(),
                [
                    Event::PeerHello { server: id(peer), epoch: Epoch(1) },
                    Event::Accepted {
                        peer: id(peer),
                        epoch: Epoch(1),
                        version: 2,
                        features: vec!["compact".to_owned()]
                    },
                ]
            );
        }
    }
}

#[test]
fn the_listener_proves_nothing_first() {
    let mut listener = End::new(Session::listen(config("b@/"), [2; 32], Instant::ZERO), [7; 32]);
    assert!(listener.transmits().is_empty(), "it does not even say who it is");
    let mut dialler = End::new(Session::dial(config("a@/"), id("b@/"), [1; 32], Instant::ZERO), [7; 32]);
    listener.put(&dialler.transmits(), Instant::ZERO);
    listener.drain();
    let said = listener.transmits();
    let hello = Frame::decode(&said[4..]).expect("one whole frame");
    assert!(matches!(hello, Frame::Hello(_)));
}

#[test]
fn a_wrong_cookie_is_found_by_the_listener() {
    let mut pair = Pair::default_ends();
    pair.dialler = End::new(Session::dial(config("a@/"), id("b@/"), [1; 32], pair.now), [8; 32]);
    pair.drive();
    assert_eq!(pair.listener.closed(), Some(&CloseReason::AuthenticationFailed));
    let Some(CloseReason::Refused { code, detail }) = pair.dialler.closed() else {
        panic!("{:?}", pair.dialler.events);
    };
    assert_eq!(*code, RefuseCode::Authentication);
    assert!(detail.contains("different ensemble cookies"), "{detail}");
}

/// A listener that accepts without knowing the cookie is found out by the dialler, who then sends nothing.
#[test]
fn a_wrong_proof_is_found_by_the_dialler() {
    let mut pair = Pair::default_ends();
    pair.listener.put(&pair.dialler.transmits(), pair.now);
    pair.listener.drain();
    pair.dialler.put(&pair.listener.transmits(), pair.now);
    pair.dialler.drain();
    pair.dialler.transmits();
    let mut forged = framed(&Frame::Proof { mac: [0; 32] });
    forged.extend(framed(&Frame::Accept));
    pair.dialler.put(&forged, pair.now);
    pair.dialler.drain();
    assert_eq!(pair.dialler.closed(), Some(&CloseReason::AuthenticationFailed));
    assert!(!pair.dialler.session.is_established());

    // The refusal reaches a listener that has accepted already.
    let mut pair = Pair::established();
    let refuse = Frame::Refuse { code: RefuseCode::Authentication, detail: "no\u{1b}[2J".into() };
    pair.listener.put_frame(&refuse, pair.now);
    pair.listener.drain();
    assert_eq!(
        pair.listener.closed(),
        Some(&CloseReason::Refused { code: RefuseCode::Authentication, detail: "no\u{fffd}[2J".into() })
    );
}

/// What the two ends say when the dialler is `server` and wants `wanted` of the listener `b@/`.
#[track_caller]
fn check_refused(server: &str, wanted: &str, expected: RefuseCode, told: &str) {
    let mut pair = Pair::new(config(server), wanted, config("b@/"));
    pair.drive();
    let Some(CloseReason::Rejected { code, .. }) = pair.listener.closed() else {
        panic!("{:?}", pair.listener.events);
    };
    assert_eq!(*code, expected);
    let Some(CloseReason::Refused { code, detail }) = pair.dialler.closed() else {
        panic!("{:?}", pair.dialler.events);
    };
    assert_eq!(*code, expected);
    assert!(detail.contains(told), "{detail}");
}

#[test]
fn the_wrong_server_says_who_it_is() {
    check_refused("a@/", "c@/", RefuseCode::WrongServer, "this address is b@/, and not c@/");
    check_refused("a@/", "b@/shop", RefuseCode::WrongServer, "not b@/shop");
}

#[test]
fn a_server_does_not_link_to_itself() {
    check_refused("b@/", "b@/", RefuseCode::SelfConnect, "reached itself");
}

fn hello() -> Hello {
    Hello {
        magic: MAGIC.into(),
        version_min: 2,
        version_max: 2,
        server: id("a@/"),
        epoch: Epoch(1),
        wanted: Some(id("b@/")),
        features: Vec::new(),
        nonce: [1; 32],
        frame_bytes_max: 65_536,
        windows: Some(Windows { link_bytes: 65_600, flow_messages: 1, flow_bytes: 0 }),
    }
}

/// How the listener `b@/` takes this hello: `None` when it goes on.
fn answer_to(hello: Hello) -> Option<(RefuseCode, String)> {
    let mut listener = End::new(Session::listen(config("b@/"), [2; 32], Instant::ZERO), [7; 32]);
    listener.put(&framed(&Frame::Hello(hello)), Instant::ZERO);
    listener.drain();
    match Frame::decode(&listener.transmits()[4..]).expect("one whole frame") {
        Frame::Refuse { code, detail } => Some((code, detail)),
        Frame::Hello(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn versions_must_overlap() {
    let versions = |version_min, version_max| answer_to(Hello { version_min, version_max, ..hello() });
    assert_eq!(versions(2, 2), None);
    assert_eq!(versions(0, 9), None);
    for (min, max) in [(3, 4), (0, 1), (3, 2)] {
        let (code, detail) = versions(min, max).expect("refused");
        assert_eq!(code, RefuseCode::Version);
        assert!(detail.contains(&format!("a@/ speaks {min} to {max}")), "{detail}");
    }
}

#[test]
fn a_hello_is_limited() {
    let features =
        |count: usize, bytes: usize| answer_to(Hello { features: vec!["x".repeat(bytes); count], ..hello() });
    assert_eq!(features(FEATURES_MAX, FEATURE_BYTES_MAX), None);
    assert!(features(FEATURES_MAX + 1, 1).is_some());
    assert!(features(1, FEATURE_BYTES_MAX + 1).is_some());

    // Credit without end is no fault: the sender's books have a limit of their own.
    let endless = Windows { link_bytes: u64::MAX, flow_messages: u64::MAX, flow_bytes: u64::MAX };
    assert_eq!(answer_to(Hello { windows: Some(endless), ..hello() }), None);

    // Features are not even read past the limit, whatever the frame claims and the link takes.
    let mut bytes = Vec::new();
    Frame::Hello(hello()).encode(&mut bytes);
    let at = bytes.windows(4).position(|window| window == [0x80, 0x58, 32, 1]).expect("no features, a nonce");
    let error = |bytes: &[u8]| Frame::decode(bytes).expect_err("no hello").to_string();
    let with = |features: usize| {
        let mut bytes = bytes.clone();
        let head = [0x98, u8::try_from(features).expect("few")];
        bytes.splice(at..=at, head.into_iter().chain(vec![0x60; features]));
        bytes
    };
    assert!(Frame::decode(&with(FEATURES_MAX)).is_ok());
    assert!(error(&with(FEATURES_MAX + 1)).contains("at most 32 features"));
    bytes.splice(at..=at, [0x9a, 0, 0xff, 0xff, 0xff]);
    assert!(error(&bytes).contains("ends within a value"), "{}", error(&bytes));

    let frame_limit =
        |bytes: usize| answer_to(Hello { frame_bytes_max: u32::try_from(bytes).expect("small"), ..hello() });
    assert_eq!(frame_limit(HANDSHAKE_FRAME_BYTES_MAX), None);
    assert!(frame_limit(HANDSHAKE_FRAME_BYTES_MAX - 1).is_some());

    let windows = |link_bytes, flow_messages| {
        let windows = Some(Windows { link_bytes, flow_messages, flow_bytes: 0 });
        answer_to(Hello { windows, ..hello() })
    };
    assert_eq!(windows(65_536 + MESSAGE_COST_BYTES, 1), None);
    assert!(
        windows(65_535 + MESSAGE_COST_BYTES, 1).is_some(),
        "too little for one frame of the largest size"
    );
    assert!(windows(1 << 20, 0).is_some(), "no message at all");
    assert!(answer_to(Hello { windows: None, ..hello() }).is_some(), "a hello of version 1 in version 2");

    let (code, _) = answer_to(Hello { magic: "odeum".into(), ..hello() }).expect("refused");
    assert_eq!(code, RefuseCode::Protocol);
    assert_eq!(answer_to(Hello { wanted: None, ..hello() }), None, "a dialler need not know whom it reaches");
}

/// The longest ids and every feature fit in a handshake frame.
#[test]
fn the_longest_hello_fits() {
    let segment = "a".repeat(63);
    let longest = id(&format!("{segment}@/{segment}/{segment}/{segment}/{}", &segment[..62]));
    let listener = id(&format!("b{}@{}", &segment[1..], longest.domain()));
    let mut pair =
        Pair::new(config(&longest.to_string()), &listener.to_string(), config(&listener.to_string()));
    pair.drive();
    assert!(pair.dialler.session.is_established());
    let mut bytes = Vec::new();
    Frame::Hello(Hello {
        server: longest,
        wanted: Some(listener),
        epoch: Epoch(u64::MAX),
        features: vec!["x".repeat(FEATURE_BYTES_MAX); FEATURES_MAX],
        ..hello()
    })
    .encode(&mut bytes);
    assert!(bytes.len() <= HANDSHAKE_FRAME_BYTES_MAX, "{}", bytes.len());
}

#[test]
fn a_stalled_handshake_ends_at_its_deadline() {
    for said in [0, 1, 10, usize::MAX] {
        let mut pair = Pair::default_ends();
        let hello = pair.dialler.transmits();
        let start = pair.now;
        let session = &mut pair.listener.session;
        session.handle_bytes(&hello[..hello.len().min(said)], start);
        let deadline = session.poll_timeout().expect("a deadline");
        assert_eq!(deadline, start + Duration::from_secs(5));
        // Dribbling does not put it off.
        session.handle_bytes(&[], deadline);
        session.handle_timeout(Instant::from_nanos(deadline.as_nanos() - 1));
        assert!(!session.is_closed());
        session.handle_timeout(deadline);
        assert!(session.is_closed());
        assert_eq!(session.poll_timeout(), None);
        pair.listener.drain();
        assert_eq!(pair.listener.closed(), Some(&CloseReason::HandshakeTimeout));
        pair.dialler.put(&pair.listener.transmits(), deadline);
        pair.dialler.drain();
        let told = pair.dialler.closed().expect("told").to_string();
        assert!(told.contains("took longer than 5s"), "{told}");
    }
}

#[test]
fn nothing_but_the_handshake_is_taken_before_acceptance() {
    for early in [
        Frame::Ping { n: 1 },
        Frame::Accept,
        Frame::Proof { mac: [0; 32] },
        Frame::Cancel { ask_id: 1 },
        Frame::Define { type_id: 0, mark: "x/1".parse().expect("a mark"), fingerprint: None },
    ] {
        let mut pair = Pair::default_ends();
        pair.listener.put(&framed(&early), pair.now);
        pair.listener.drain();
        let reason = pair.listener.closed().expect("refused");
        assert!(matches!(reason, CloseReason::Protocol(_)), "{early:?}: {reason}");
        let said = pair.listener.transmits();
        assert!(matches!(Frame::decode(&said[4..]), Ok(Frame::Refuse { code: RefuseCode::Protocol, .. })));
    }
}

/// The bytes on the wire: the lengths of the handshake are bare, those after a proof are xored with its first 4 bytes.
#[test]
fn the_proof_of_a_side_lies_over_the_lengths_of_all_that_it_sends_later() {
    let mut pair = Pair::default_ends();
    pair.listener.put(&pair.dialler.transmits(), pair.now);
    pair.listener.drain();
    pair.dialler.put(&pair.listener.transmits(), pair.now);
    pair.dialler.drain();
    let by_dialler = pair.dialler.transmits();
    pair.listener.put(&by_dialler, pair.now);
    pair.listener.drain();
    let by_listener = pair.listener.transmits();
    // `[1, mac]`: a length, an array's head, the frame's number, the head of 32 bytes.
    let length_of = |proof: &[u8], length: u8| {
        assert_eq!(proof[..8], [0, 0, 0, 36, 0x82, 1, 0x58, 0x20]);
        [proof[8], proof[9], proof[10], proof[11] ^ length]
    };
    assert_eq!(by_listener[40..], [&length_of(&by_listener, 2)[..], &[0x81, 2]].concat(), "Accept");
    pair.dialler.put(&by_listener, pair.now);
    pair.dialler.drain();
    pair.dialler.put_frame(&Frame::Ping { n: 7 }, pair.now);
    let pong = pair.dialler.transmits();
    assert_eq!(pong, [&length_of(&by_dialler, 3)[..], &[0x82, 16, 7]].concat(), "Pong");
}

#[test]
fn nothing_of_the_handshake_is_taken_after_acceptance() {
    for late in [Frame::Hello(hello()), Frame::Accept, Frame::Proof { mac: [0; 32] }] {
        let mut pair = Pair::established();
        pair.listener.put_frame(&late, pair.now);
        pair.drive();
        assert!(matches!(pair.listener.closed(), Some(CloseReason::Protocol(_))));
        let told = pair.dialler.closed().expect("told").to_string();
        assert!(told.contains("after the handshake"), "{told}");
    }
}

#[test]
fn nothing_is_sent_before_acceptance() {
    let mut pair = Pair::default_ends();
    let now = pair.now;
    let session = &mut pair.dialler.session;
    assert_eq!(session.tell(&parcel("x/1", b"").parcel(), now), Err(SendError::NotEstablished));
    assert_eq!(session.ask(&parcel("x/1", b"").parcel(), now), Err(SendError::NotEstablished));
    assert_eq!(session.monitor("greeter".parse().expect("an actor")), Err(SendError::NotEstablished));
}

/// The listener may speak at once after it has accepted, in the very bytes that carry its proof.
#[test]
fn what_follows_the_acceptance_waits_for_the_driver() {
    let mut pair = Pair::default_ends();
    pair.listener.put(&pair.dialler.transmits(), pair.now);
    pair.listener.drain();
    pair.dialler.put(&pair.listener.transmits(), pair.now);
    pair.dialler.drain();
    pair.listener.put(&pair.dialler.transmits(), pair.now);
    pair.listener.drain();
    let hello = parcel("x/1", b"hello");
    pair.listener.tell(&hello, pair.now).expect("sent");
    pair.dialler.news();
    pair.dialler.put(&pair.listener.transmits(), pair.now);
    assert!(!pair.dialler.session.is_established(), "the proof is not checked yet");
    pair.dialler.drain();
    let news = pair.dialler.news();
    assert!(matches!(&news[..], [Event::Accepted { .. }, Event::Tell(parcel)] if *parcel == hello));
}

#[test]
fn what_is_held_for_the_driver_is_limited() {
    for (extra, closes) in [(0, false), (1, true)] {
        let mut pair = Pair::default_ends();
        pair.listener.put(&pair.dialler.transmits(), pair.now);
        pair.listener.drain();
        pair.dialler.put(&pair.listener.transmits(), pair.now);
        // The dialler's driver has not made its proof.
        pair.dialler.put(&vec![0; HELD_BYTES_MAX], pair.now);
        pair.dialler.put(&vec![0; extra], pair.now);
        assert_eq!(pair.dialler.session.is_closed(), closes);
    }
}

#[test]
fn a_driver_refuses_a_proven_peer() {
    let mut pair = Pair::default_ends();
    pair.listener.put(&pair.dialler.transmits(), pair.now);
    pair.listener.drain();
    pair.dialler.put(&pair.listener.transmits(), pair.now);
    pair.dialler.drain();
    pair.listener.put(&pair.dialler.transmits(), pair.now);
    assert!(matches!(pair.listener.session.poll_event(), Some(odeon_wire::Event::Verify { .. })));
    pair.listener.session.refuse(RefuseCode::StaleEpoch, "epoch 4 is known");
    pair.drive();
    assert_eq!(
        pair.dialler.closed(),
        Some(&CloseReason::Refused { code: RefuseCode::StaleEpoch, detail: "epoch 4 is known".into() })
    );
    pair.listener.session.verified(true);
    assert!(pair.listener.session.is_closed(), "a late answer changes nothing");
}
