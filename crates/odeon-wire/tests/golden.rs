//! The bytes of every frame, so that no number changes unnoticed. `docs/protocol/link.md` explains them.

use odeon_core::{ActorId, Encoding, Epoch, ExitReason, PanicReport, Refusal, RefusalCode};
use odeon_wire::{Body, Frame, Hello, RefuseCode, Windows};

fn hello() -> Hello {
    Hello {
        magic: "odeon".into(),
        version_min: 1,
        version_max: 2,
        server: "cli-7@/".parse().expect("an id"),
        epoch: Epoch(3),
        wanted: Some("web-0@/shop".parse().expect("an id")),
        features: vec!["x".into()],
        nonce: [0x11; 32],
        frame_bytes_max: 65_536,
        windows: Some(Windows { link_bytes: 100_000, flow_messages: 1_024, flow_bytes: 65_536 }),
    }
}

fn body() -> Body<'static> {
    Body {
        flow: 3,
        seq: 1_000,
        from: 5,
        type_id: 2,
        encoding: Encoding::Json,
        expires_in_ms: Some(5_000),
        payload: b"{}",
        nonce: None,
        in_reply_to: None,
    }
}

/// Every frame with its bytes.
fn golden() -> Vec<(Frame<'static>, &'static str)> {
    vec![
        (
            Frame::Hello(hello()),
            "82008a656f64656f6e010267636c692d37402f036b7765622d30402f73686f70816178582011111111111111111111111111111111111111111111111111111111111111111a00010000831a000186a01904001a00010000",
        ),
        (
            Frame::Proof { mac: [0x22; 32] },
            "820158202222222222222222222222222222222222222222222222222222222222222222",
        ),
        (Frame::Accept, "8102"),
        (Frame::Refuse { code: RefuseCode::Version, detail: "no".into() }, "830300626e6f"),
        (Frame::Refuse { code: RefuseCode::WrongServer, detail: "no".into() }, "830301626e6f"),
        (Frame::Refuse { code: RefuseCode::Authentication, detail: "no".into() }, "830302626e6f"),
        (Frame::Refuse { code: RefuseCode::StaleEpoch, detail: "no".into() }, "830303626e6f"),
        (Frame::Refuse { code: RefuseCode::SelfConnect, detail: "no".into() }, "830304626e6f"),
        (Frame::Refuse { code: RefuseCode::Busy, detail: "no".into() }, "830305626e6f"),
        (Frame::Refuse { code: RefuseCode::Protocol, detail: "no".into() }, "830306626e6f"),
        (
            Frame::Define { type_id: 2, mark: "greeter/1#greet".parse().expect("a mark"), fingerprint: None },
            "8304026f677265657465722f31236772656574",
        ),
        (
            Frame::Define {
                type_id: 2,
                mark: "greeter/1#greet".parse().expect("a mark"),
                fingerprint: Some(0x1234_5678_9abc_def0),
            },
            "8404026f677265657465722f312367726565741b123456789abcdef0",
        ),
        (Frame::Tell(body()), "820587031903e8050201191388427b7d"),
        (
            Frame::Tell(Body { encoding: Encoding::Cbor, expires_in_ms: None, ..body() }),
            "820587031903e8050200f6427b7d",
        ),
        (Frame::Tell(Body { nonce: Some(700), ..body() }), "820588031903e8050201191388427b7d1902bc"),
        (Frame::Tell(Body { in_reply_to: Some(12), ..body() }), "820589031903e8050201191388427b7df60c"),
        (Frame::Ask { ask_id: 300, body: body() }, "830619012c87031903e8050201191388427b7d"),
        (
            Frame::Ask { ask_id: 300, body: Body { nonce: Some(7), in_reply_to: Some(0), ..body() } },
            "830619012c89031903e8050201191388427b7d0700",
        ),
        (Frame::Reply { ask_id: 300, encoding: Encoding::Cbor, payload: &[0xf6] }, "840719012c0041f6"),
        (
            Frame::Refused { ask_id: Some(300), refusal: Refusal::new(RefusalCode::UnknownActor, "no") },
            "830819012c8200626e6f",
        ),
        (
            Frame::Refused { ask_id: None, refusal: Refusal::new(RefusalCode::LimitReached, "no") },
            "8308f6820a626e6f",
        ),
        (Frame::Dead { ask_id: 1, reason: ExitReason::Normal }, "830901820080"),
        (Frame::Dead { ask_id: 1, reason: ExitReason::Stopped }, "830901820180"),
        (Frame::Dead { ask_id: 1, reason: ExitReason::Drained }, "830901820280"),
        (Frame::Dead { ask_id: 1, reason: ExitReason::Killed }, "830901820380"),
        (Frame::Dead { ask_id: 1, reason: ExitReason::Failed("x".into()) }, "8309018204816178"),
        (
            Frame::Dead {
                ask_id: 1,
                reason: ExitReason::Panicked(PanicReport { message: "m".into(), location: "l".into() }),
            },
            "83090182058182616d616c",
        ),
        (Frame::Dead { ask_id: 1, reason: ExitReason::LinkLost("x".into()) }, "8309018206816178"),
        (Frame::Dead { ask_id: 1, reason: ExitReason::NoActor }, "830901820780"),
        (Frame::Dead { ask_id: 1, reason: ExitReason::NotMonitored("x".into()) }, "8309018209816178"),
        (Frame::NoReply { ask_id: 1 }, "820a01"),
        (Frame::Cancel { ask_id: 1 }, "820b01"),
        (Frame::Monitor { monitor_id: 1, actor: ActorId::Number(17) }, "830c01623137"),
        (Frame::Monitor { monitor_id: 1, actor: ActorId::NumberOf(17, Epoch(3)) }, "830c016431372e33"),
        (Frame::Monitor { monitor_id: 1, actor: "cart".parse().expect("a name") }, "830c016463617274"),
        (Frame::Demonitor { monitor_id: 1 }, "820d01"),
        (Frame::Down { monitor_id: 1, reason: ExitReason::Normal, number: None }, "830e01820080"),
        (Frame::Down { monitor_id: 1, reason: ExitReason::Normal, number: Some(17) }, "840e0182008011"),
        (Frame::Ping { n: 7 }, "820f07"),
        (Frame::Pong { n: 7 }, "821007"),
        (Frame::Bye { reason: "bye".into() }, "821163627965"),
        (Frame::Open { flow: 3, to: "cart".parse().expect("a name") }, "8312036463617274"),
        (Frame::Open { flow: 3, to: ActorId::NumberOf(17, Epoch(3)) }, "8312036431372e33"),
        (Frame::Close { flow: 3 }, "821303"),
        (Frame::Closed { flow: 3 }, "821403"),
        (Frame::Credit { flow: 3, taken: 1, messages: 1_025, bytes: 65_600 }, "851503011904011a00010040"),
        (Frame::LinkCredit { bytes: 65_600 }, "82161a00010040"),
        (Frame::Chunk { left: 300, part: b"abc" }, "831719012c43616263"),
        (Frame::Agree { type_id: 2 }, "82181802"),
        (Frame::Rest, "811819"),
        (Frame::Stay, "81181a"),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_frame_has_its_golden_bytes() {
    for (frame, expected) in golden() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        assert_eq!(hex(&bytes), expected, "{frame:?}");
        assert_eq!(Frame::decode(&bytes), Ok(frame));
    }
}

#[test]
fn every_frame_number_is_covered() {
    // After the array's head: one byte, or `18` and one byte.
    let number = |hex: &str| u8::from_str_radix(if &hex[2..4] == "18" { &hex[4..6] } else { &hex[2..4] }, 16);
    let mut numbers: Vec<u8> = golden().iter().map(|(_, hex)| number(hex).expect("hex")).collect();
    numbers.dedup();
    assert_eq!(numbers, (0..=26).collect::<Vec<_>>());
}

#[test]
fn a_frame_of_a_later_build_with_more_fields_is_understood() {
    // A ping with a second field, a text.
    assert_eq!(Frame::decode(&[0x83, 0x0f, 0x07, 0x61, b'x']), Ok(Frame::Ping { n: 7 }));
}

#[test]
fn a_frame_cut_short_or_followed_by_bytes_is_none() {
    for (frame, _) in golden() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..length]).is_err(), "{frame:?} at {length}");
        }
        bytes.push(0);
        assert!(Frame::decode(&bytes).is_err(), "{frame:?}");
    }
}

#[test]
fn an_unknown_frame_or_a_field_too_few_is_none() {
    for bytes in [
        &[0x81, 0x18, 0x63][..], // number 99
        &[0x81, 0x0f],           // a ping without its field
        &[0x80],                 // no number
        &[0x0f],                 // no array
        &[],
    ] {
        assert!(Frame::decode(bytes).is_err(), "{bytes:02x?}");
    }
}

#[test]
fn the_reason_by_which_both_sides_agree_to_rest_is_frozen() {
    assert_eq!(odeon_wire::BYE_IDLE, "the link was idle");
    assert_eq!(odeon_wire::CloseReason::Idle.to_string(), odeon_wire::BYE_IDLE);
}
