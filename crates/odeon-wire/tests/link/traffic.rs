//! Messages over an established link.

use std::time::Duration;

use odeon_core::{ActorId, Encoding, ExitReason, Refusal, RefusalCode};
use odeon_wire::{AskFailure, CloseReason, Frame, SendError, ask_place};

use crate::pair::{Event, Pair, parcel};

fn greeter() -> ActorId {
    "greeter".parse().expect("an actor id")
}

#[test]
fn tells_arrive_in_order_whatever_the_pieces() {
    for piece in [1, 5, 100, 4_096, 1_000_000] {
        let mut pair = Pair::established();
        pair.piece = piece;
        let sent: Vec<_> =
            (0..200u8).map(|n| parcel(&format!("type-{}/1", n % 7), &vec![n; usize::from(n) * 3])).collect();
        for parcel in &sent {
            pair.dialler.tell(parcel, pair.now).expect("sent");
            pair.listener.tell(parcel, pair.now).expect("sent");
        }
        pair.drive();
        let expected: Vec<_> = sent.into_iter().map(Event::Tell).collect();
        assert_eq!(pair.listener.news(), expected);
        assert_eq!(pair.dialler.news(), expected);
    }
}

#[test]
fn many_frames_leave_in_one_piece() {
    let mut pair = Pair::established();
    for _ in 0..100 {
        pair.dialler.tell(&parcel("x/1", b"hi"), pair.now).expect("sent");
    }
    let mut out = Vec::new();
    assert!(pair.dialler.session.poll_transmit(&mut out, 64 * 1024));
    assert_eq!(pair.dialler.session.queued_bytes(), 0);
    assert!(!pair.dialler.session.poll_transmit(&mut out, 64 * 1024));
    pair.listener.put(&out, pair.now);
    pair.listener.drain();
    assert_eq!(pair.listener.news().len(), 100);
}

#[test]
fn the_time_left_travels() {
    let mut pair = Pair::established();
    let mut message = parcel("x/1", b"");
    message.expires_at = Some(pair.now + Duration::from_micros(2_500));
    pair.dialler.tell(&message, pair.now).expect("sent");
    message.expires_at = Some(pair.now); // no time left, or less
    pair.dialler.tell(&message, pair.now + Duration::from_secs(1)).expect("sent");
    pair.drive();
    let left: Vec<_> = pair
        .listener
        .news()
        .into_iter()
        .map(|event| match event {
            Event::Tell(parcel) => parcel.expires_at.expect("kept") - pair.now,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(left, [Duration::from_millis(3), Duration::ZERO]);
}

/// Asks from the dialler and gives the listener's answer back; what the dialler is told.
fn outcome(answer: impl FnOnce(&mut odeon_wire::Session, u64)) -> Result<(Encoding, Vec<u8>), AskFailure> {
    let mut pair = Pair::established();
    let question = parcel("x/1", b"?");
    let asked = pair.dialler.ask(&question, pair.now).expect("asked");
    assert_eq!(pair.dialler.session.open_asks(), 1);
    pair.drive();
    let news = pair.listener.news();
    let [Event::Ask { ask_id, parcel }] = &news[..] else {
        panic!("{news:?}");
    };
    assert_eq!(*parcel, question);
    answer(&mut pair.listener.session, *ask_id);
    // Whatever comes after the one answer is not sent.
    pair.listener.session.no_reply(*ask_id);
    pair.listener.session.reply(*ask_id, Encoding::Cbor, b"again").expect("ignored");
    pair.drive();
    assert_eq!(pair.dialler.session.open_asks(), 0);
    let mut news = pair.dialler.news();
    assert_eq!(news.len(), 1, "{news:?}");
    match news.remove(0) {
        Event::Reply { ask_id, outcome } if ask_id == asked => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ask_has_one_answer_of_any_kind() {
    assert_eq!(
        outcome(|session, ask_id| session.reply(ask_id, Encoding::Json, b"42").expect("sent")),
        Ok((Encoding::Json, b"42".to_vec()))
    );
    let refusal = Refusal::new(RefusalCode::UnknownActor, "no greeter here");
    assert_eq!(
        outcome(|session, ask_id| session.refuse_ask(ask_id, refusal.clone())),
        Err(AskFailure::Refused(refusal.clone()))
    );
    assert_eq!(
        outcome(|session, ask_id| session.dead(ask_id, ExitReason::Killed)),
        Err(AskFailure::Dead(ExitReason::Killed))
    );
    assert_eq!(outcome(odeon_wire::Session::no_reply), Err(AskFailure::NoReply));
}

#[test]
fn what_the_peer_says_does_not_steer_a_terminal() {
    let (sent, seen) = ("no\u{1b}[2J\nbut", "no\u{fffd}[2J\nbut");
    assert_eq!(
        outcome(|session, ask_id| session.refuse_ask(ask_id, Refusal::new(RefusalCode::Internal, sent))),
        Err(AskFailure::Refused(Refusal::new(RefusalCode::Internal, seen)))
    );
    assert_eq!(
        outcome(|session, ask_id| session.dead(ask_id, ExitReason::Failed(sent.to_owned()))),
        Err(AskFailure::Dead(ExitReason::Failed(seen.to_owned())))
    );
    let mut pair = Pair::established();
    pair.listener.session.refuse_tell(Refusal::new(RefusalCode::Full, sent));
    let monitor_id = pair.dialler.session.monitor(ActorId::Number(7)).expect("set");
    pair.drive();
    pair.listener.session.down(monitor_id, ExitReason::Failed(sent.to_owned()), None);
    pair.drive();
    assert_eq!(
        pair.dialler.news(),
        [
            Event::Refused { refusal: Refusal::new(RefusalCode::Full, seen) },
            Event::Down { monitor_id, reason: ExitReason::Failed(seen.to_owned()) },
        ]
    );
}

#[test]
fn a_cancelled_ask_is_told_and_its_late_answer_dropped() {
    let mut pair = Pair::established();
    let ask_id = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    pair.drive();
    pair.listener.news();
    // The answer and the cancel cross.
    pair.dialler.session.cancel(ask_id);
    pair.listener.session.reply(ask_id, Encoding::Cbor, b"late").expect("sent");
    assert_eq!(pair.dialler.session.open_asks(), 0);
    pair.drive();
    assert_eq!(pair.listener.news(), []);
    assert_eq!(pair.dialler.news(), []);
    assert_eq!(pair.dialler.session.late_answers(), 1);

    // The cancel comes first: nothing is sent back but its acknowledgement.
    let ask_id = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    pair.dialler.session.cancel(ask_id);
    pair.dialler.session.cancel(ask_id);
    pair.drive();
    assert!(matches!(
        pair.listener.news()[..],
        [Event::Ask { ask_id: a, .. }, Event::Cancelled { ask_id: b }] if a == ask_id && b == ask_id
    ));
    pair.listener.session.reply(ask_id, Encoding::Cbor, b"late").expect("ignored");
    pair.drive();
    assert_eq!(pair.dialler.news(), []);
    assert_eq!(pair.dialler.session.late_answers(), 2);
    assert!(pair.dialler.session.is_established());
}

#[test]
fn a_refused_tell_is_a_note() {
    let mut pair = Pair::established();
    let refusal = Refusal::new(RefusalCode::Full, "full");
    pair.listener.session.refuse_tell(refusal.clone());
    pair.drive();
    assert_eq!(pair.dialler.news(), [Event::Refused { refusal }]);
}

#[test]
fn a_monitor_is_told_once() {
    let mut pair = Pair::established();
    let monitor_id = pair.dialler.session.monitor(greeter()).expect("set");
    assert_eq!(pair.dialler.session.open_monitors(), 1);
    pair.drive();
    assert_eq!(pair.listener.news(), [Event::Monitor { monitor_id, actor: greeter() }]);
    for _ in 0..2 {
        pair.listener.session.down(monitor_id, ExitReason::Killed, None);
    }
    pair.drive();
    let reason = ExitReason::Killed;
    assert_eq!(pair.dialler.news(), [Event::Down { monitor_id, reason }]);
    assert_eq!(pair.dialler.session.open_monitors(), 0);
}

#[test]
fn a_monitor_taken_away_is_not_told() {
    let mut pair = Pair::established();
    let monitor_id = pair.dialler.session.monitor(greeter()).expect("set");
    pair.drive();
    pair.listener.news();
    // They cross.
    pair.dialler.session.demonitor(monitor_id);
    pair.listener.session.down(monitor_id, ExitReason::Normal, None);
    pair.drive();
    assert_eq!((pair.dialler.news(), pair.listener.news()), (vec![], vec![]));

    let monitor_id = pair.dialler.session.monitor(greeter()).expect("set");
    pair.dialler.session.demonitor(monitor_id);
    pair.drive();
    assert_eq!(pair.listener.news().last(), Some(&Event::Demonitor { monitor_id }));
    pair.listener.session.down(monitor_id, ExitReason::Normal, None);
    pair.drive();
    assert_eq!(pair.dialler.news(), []);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
}

#[test]
fn the_end_of_the_link_is_told_to_all_who_wait() {
    check_end(|pair| pair.dialler.session.handle_lost("reset"), CloseReason::Lost("reset".into()));
    check_end(|pair| pair.listener.session.close("shutting down"), CloseReason::Bye("shutting down".into()));
}

/// What the dialler is told, with an ask and a monitor open, when the link ends like this.
fn check_end(end: impl FnOnce(&mut Pair), reason: CloseReason) {
    let mut pair = Pair::established();
    let answered = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    let waiting = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    let monitor_id = pair.dialler.session.monitor(greeter()).expect("set");
    pair.drive();
    pair.listener.session.no_reply(answered);
    pair.drive();
    pair.dialler.news();
    end(&mut pair);
    pair.drive();
    let why = reason.to_string();
    assert_eq!(
        pair.dialler.news(),
        [
            Event::Reply { ask_id: waiting, outcome: Err(AskFailure::LinkLost(why.as_str().into())) },
            Event::Down { monitor_id, reason: ExitReason::LinkLost(why) },
            Event::Closed(reason),
        ]
    );
    let session = &mut pair.dialler.session;
    assert_eq!(session.tell(&parcel("x/1", b"").parcel(), pair.now), Err(SendError::Closed));
    pair.dialler.put_frame(&Frame::Ping { n: 1 }, pair.now);
    let session = &mut pair.dialler.session;
    session.handle_lost("again");
    assert_eq!(session.poll_event(), None, "nothing comes after the end");
}

#[test]
fn bye_follows_what_was_queued() {
    let mut pair = Pair::established();
    let last = parcel("x/1", b"last words");
    pair.dialler.tell(&last, pair.now).expect("sent");
    pair.dialler.session.close("done");
    pair.drive();
    assert_eq!(pair.listener.news(), [Event::Tell(last), Event::Closed(CloseReason::Bye("done".into()))]);
    // That they were heard, nobody has said.
    let mark = "x/1".parse().expect("a mark");
    assert_eq!(
        pair.dialler.news(),
        [
            Event::MaybeLost { to: greeter(), from: 9, mark, count: 1 },
            Event::Closed(CloseReason::Local("done".into())),
        ]
    );
}

/// The listener's fault, as it sees it, when the dialler sends these frames.
fn fault(frames: &[Frame<'_>]) -> String {
    let mut pair = Pair::established();
    // One open ask each way, each with id 1.
    for end in [&mut pair.dialler, &mut pair.listener] {
        end.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    }
    pair.drive();
    for frame in frames {
        pair.listener.put_frame(frame, pair.now);
    }
    pair.drive();
    let told = pair.dialler.closed().expect("told").to_string();
    let Some(CloseReason::Protocol(fault)) = pair.listener.closed() else {
        panic!("{:?}", pair.listener.events);
    };
    assert!(told.contains(fault), "{told}");
    fault.clone()
}

#[test]
fn a_broken_protocol_ends_the_link_and_says_how() {
    // The first ask of either side.
    let first = 1 << 16;
    let mark = || "y/1".parse().expect("a mark");
    let body = |type_id| odeon_wire::Body {
        flow: 0,
        seq: 2,
        from: 0,
        type_id,
        encoding: Encoding::Cbor,
        expires_in_ms: None,
        payload: b"",
        nonce: None,
        in_reply_to: None,
    };
    let ask_of = |flow, seq| Frame::Tell(odeon_wire::Body { flow, seq, ..body(0) });
    let open = |flow| Frame::Open { flow, to: greeter() };
    let credit = |flow, taken, messages, bytes| Frame::Credit { flow, taken, messages, bytes };
    let ask = |ask_id| Frame::Ask { ask_id, body: body(0) };
    let define = |type_id| Frame::Define { type_id, mark: mark(), fingerprint: None };
    let no_reply = |ask_id| Frame::NoReply { ask_id };
    let monitor = |monitor_id| Frame::Monitor { monitor_id, actor: greeter() };
    let down = Frame::Down { monitor_id: 1, reason: ExitReason::Normal, number: None };
    for (frames, said) in [
        (vec![no_reply(first), no_reply(first)], "answered ask 65536 twice"),
        (vec![no_reply(2 * first)], "never asked"),
        (vec![ask(first)], "place 0, which is taken"),
        (vec![ask(2 * first)], "place 0, which is taken"),
        (vec![Frame::Cancel { ask_id: first }, ask(first)], "second ask"),
        (vec![Frame::Cancel { ask_id: 9 * first }], "never asked"),
        (vec![define(0)], "defined message type 0 where 1 is the next"),
        (vec![define(2)], "defined message type 2 where 1 is the next"),
        (vec![define(1), define(2)], "type y/1 twice"),
        (vec![Frame::Tell(body(7))], "type 7 before defining it"),
        (vec![monitor(1), monitor(1)], "second monitor"),
        (vec![Frame::Demonitor { monitor_id: 1 }], "never set"),
        (vec![down], "never set"),
        (vec![ask_of(1, 1)], "flow 1, which is not open"),
        (vec![ask_of(0, 1)], "message 1 of flow 0 where 2 is the next"),
        (vec![ask_of(0, 3)], "message 3 of flow 0 where 2 is the next"),
        (vec![ask_of(0, 2), ask_of(0, 2)], "message 2 of flow 0 where 3 is the next"),
        (vec![open(0)], "opened flow 0 twice"),
        (vec![open(2)], "flow 2 where 1 is the next"),
        (vec![open(16_384)], "flow 16384, where 16384 are the limit"),
        (vec![Frame::Close { flow: 1 }], "flow 1, which is not open"),
        (vec![Frame::Closed { flow: 0 }], "flow 0, whose sender did not"),
        (vec![credit(1, 0, 1, 1)], "flow 1, which is not open"),
        (vec![credit(0, 2, 1 << 40, 1 << 40)], "took message 2 of flow 0, where 1 were sent"),
        (vec![credit(0, 0, 1, 1 << 40)], "took back credit of flow 0"),
        (vec![credit(0, 0, 1 << 40, 1)], "took back credit of flow 0"),
        (vec![Frame::LinkCredit { bytes: 1 }], "took back credit of the link"),
        (vec![Frame::Agree { type_id: 1 }], "type 1, which was never defined"),
        (vec![Frame::Stay], "nobody wanted to rest"),
        (vec![Frame::Chunk { left: 16 << 20, part: b"x" }], "16777217 bytes in chunks, where 16777216"),
        (vec![Frame::Chunk { left: 1, part: b"" }], "a chunk of nothing"),
        (
            vec![Frame::Chunk { left: 9, part: b"x" }, Frame::Chunk { left: 9, part: b"x" }],
            "chunks of 10 bytes, and then of 11",
        ),
        (vec![Frame::Chunk { left: 0, part: &[0x82, 15, 7] }], "a Ping in chunks"),
        (vec![Frame::Chunk { left: 0, part: &[0x82, 0, 7] }], "a Hello in chunks"),
        (vec![Frame::Chunk { left: 0, part: b"\xff" }], "cannot be read"),
    ] {
        let fault = fault(&frames);
        assert!(fault.contains(said), "{frames:?}: {fault}");
    }
}

#[test]
fn a_type_is_defined_once_in_each_direction() {
    let mut pair = Pair::established();
    let is_define = |bytes: &Vec<u8>| matches!(Frame::decode(bytes), Ok(Frame::Define { .. }));
    for (mark, expected) in [("x/1", 1), ("x/1", 0), ("x/2", 1), ("x/1", 0)] {
        for end in [&mut pair.dialler, &mut pair.listener] {
            end.tell(&parcel(mark, b""), pair.now).expect("sent");
            end.ask(&parcel(mark, b""), pair.now).expect("sent");
            let defined = end.transmitted().iter().filter(|bytes| is_define(bytes)).count();
            assert_eq!(defined, expected, "{mark}");
        }
    }
}

/// A hello of the largest frame there is would cost far more to read than it is worth.
#[test]
fn a_frame_of_the_handshake_is_refused_by_its_number_once_the_link_carries_messages() {
    for (number, name) in [(0, "Hello"), (1, "Proof"), (2, "Accept")] {
        let mut pair = Pair::established();
        // None of them can be read.
        pair.listener.put_body(&[0x82, number, 0xff], pair.now);
        pair.listener.drain();
        let said = pair.listener.closed().expect("closed").to_string();
        assert!(said.contains(&format!("a {name} after the handshake")), "{said}");
    }
}

/// Drivers keep their askers by place: one that is answered is still there until the answer has been taken out.
#[test]
fn the_place_of_an_answered_ask_is_no_others_until_the_answer_is_taken_out() {
    for takes_all in [false, true] {
        let mut pair = Pair::established();
        let ask = parcel("x/1", b"?");
        let first = pair.dialler.ask(&ask, pair.now).expect("asked");
        pair.drive();
        pair.listener.session.reply(first, Encoding::Cbor, b"!").expect("answered");
        let bytes = pair.listener.transmits();
        pair.dialler.session.handle_bytes(&bytes, pair.now);
        let second = pair.dialler.ask(&ask, pair.now).expect("asked");
        assert_ne!(ask_place(first), ask_place(second));
        let told = if takes_all {
            let mut events = std::collections::VecDeque::new();
            pair.dialler.session.take_events(&mut events);
            events.pop_front()
        } else {
            pair.dialler.session.poll_event()
        };
        assert!(matches!(told, Some(odeon_wire::Event::Reply { ask_id, outcome: Ok(_) }) if ask_id == first));
        let third = pair.dialler.ask(&ask, pair.now).expect("asked");
        assert_eq!(ask_place(first), ask_place(third), "now it is free");
    }
}
