//! Every limit of a link, at it and one past it.

use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;
use odeon_core::{ActorId, Encoding, ExitReason, PanicReport, Refusal, RefusalCode};
use odeon_wire::{AskFailure, CONTROL_RESERVE_BYTES, CloseReason, Config, Frame, SendError, TEXT_BYTES_MAX};

use crate::pair::{Event, Pair, config, framed, parcel};

const GREETER: ActorId = ActorId::Number(1);

fn pair(change: impl Fn(&mut Config)) -> Pair {
    let (mut a, mut b) = (config("a@/"), config("b@/"));
    change(&mut a);
    change(&mut b);
    Pair::new(a, "b@/", b).establish()
}

/// A tell whose frame has exactly `bytes` bytes, to the actor and with the type that the limit tests use.
fn tell_of(bytes: usize) -> crate::pair::Letter {
    let mut message = parcel("x/1", &vec![7; bytes]);
    let overhead = |message: &crate::pair::Letter| {
        let mut out = Vec::new();
        Frame::Tell(odeon_wire::Body {
            flow: 0,
            seq: 1,
            from: message.from,
            type_id: 0,
            encoding: message.encoding,
            expires_in_ms: None,
            payload: &message.payload,
            nonce: None,
            in_reply_to: None,
        })
        .encode(&mut out);
        out.len() - message.payload.len()
    };
    let overhead = overhead(&message);
    message.payload.truncate(bytes - overhead);
    message
}

#[test]
fn a_message_too_large_is_its_senders_error() {
    let max = 100_000;
    let mut pair = pair(|config| config.frame_bytes_max = max);
    let (fits, not) = (tell_of(max), tell_of(max + 1));
    pair.dialler.tell(&fits, pair.now).expect("at the limit");
    assert_eq!(pair.dialler.tell(&not, pair.now), Err(SendError::TooLarge { bytes: max + 1, max }));
    assert!(matches!(
        pair.dialler.ask(&parcel("x/1", &vec![0; max + 1]), pair.now),
        Err(SendError::TooLarge { .. })
    ));
    pair.drive();
    assert_eq!(pair.listener.news(), [Event::Tell(fits)]);
    assert!(pair.dialler.session.is_established(), "the link lives on");
    assert_eq!(pair.dialler.session.open_asks(), 0);
}

#[test]
fn the_smaller_limit_of_the_two_holds() {
    let (mut a, b) = (config("a@/"), config("b@/"));
    a.frame_bytes_max = 10_000;
    let mut pair = Pair::new(a, "b@/", b).establish();
    for end in [&mut pair.listener, &mut pair.dialler] {
        end.tell(&tell_of(10_000), pair.now).expect("at the limit");
        let error = end.tell(&tell_of(10_001), pair.now).expect_err("past it");
        assert_eq!(error, SendError::TooLarge { bytes: 10_001, max: 10_000 });
    }
    pair.drive();
    assert_eq!(pair.dialler.news().len(), 1);
}

#[test]
fn a_length_past_the_limit_ends_the_link_before_its_bytes_come() {
    let max = 100_000;

    let mut established = pair(|config| config.frame_bytes_max = max);
    let now = established.now;
    established.listener.put(&established.listener.prefix(max), now);
    assert!(established.listener.session.is_established(), "at the limit");
    let mut established = pair(|config| config.frame_bytes_max = max);
    established.listener.put(&established.listener.prefix(max + 1), now);
    established.drive();
    let told = established.dialler.closed().expect("told").to_string();
    assert!(told.contains("a frame of 100001 bytes, where 100000 are the limit"), "{told}");

    // Before acceptance the limit is smaller, whatever the settings say.
    for (bytes, closes) in [(HANDSHAKE_FRAME_BYTES_MAX, false), (HANDSHAKE_FRAME_BYTES_MAX + 1, true)] {
        let mut strangers = Pair::default_ends();
        strangers.listener.put(&strangers.listener.prefix(bytes), now);
        assert_eq!(strangers.listener.session.is_closed(), closes);
    }
}

#[test]
fn what_waits_to_be_sent_is_limited() {
    let max = 50_000;
    let mut pair = pair(|config| config.outbound_bytes_max = max);
    // Without the definition in the queue, all frames are of one size.
    pair.dialler.tell(&tell_of(996), pair.now).expect("sent");
    pair.drive();
    pair.listener.news();
    let mut sent = 0;
    while pair.dialler.tell(&tell_of(996), pair.now).is_ok() {
        sent += 1;
    }
    let queued = pair.dialler.session.queued_bytes();
    assert!((max - 1_001..=max).contains(&queued), "{queued}");
    // A prefix takes four bytes, and the number of a later message one more.
    let left = max - queued;
    pair.dialler.tell(&tell_of(left - 5), pair.now).expect("to the byte");
    assert_eq!(pair.dialler.session.queued_bytes(), max);
    let full = Err(SendError::Backlogged { queued: max });
    assert_eq!(pair.dialler.tell(&tell_of(100), pair.now), full);
    assert!(pair.dialler.ask(&tell_of(100), pair.now).is_err());
    assert!(pair.dialler.session.monitor(GREETER).is_err());
    assert!(pair.dialler.tell(&parcel("new/1", b""), pair.now).is_err());
    assert_eq!(
        (pair.dialler.session.open_asks(), pair.dialler.session.open_monitors()),
        (0, 0),
        "nothing is left of what was not sent"
    );
    pair.drive();
    assert_eq!(pair.listener.news().len(), sent + 1);
    pair.dialler.tell(&parcel("new/1", b""), pair.now).expect("room again");
    pair.drive();
    assert_eq!(pair.listener.news(), [Event::Tell(parcel("new/1", b""))]);
}

#[test]
fn a_reply_without_room_can_be_tried_again() {
    let mut pair = pair(|config| config.outbound_bytes_max = 5_000);
    let ask_id = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    pair.drive();
    pair.listener.tell(&tell_of(4_900), pair.now).expect("room");
    let reply = vec![1; 200];
    let error = pair.listener.session.reply(ask_id, Encoding::Cbor, &reply);
    assert!(matches!(error, Err(SendError::Backlogged { .. })));
    pair.drive();
    pair.dialler.news();
    pair.listener.session.reply(ask_id, Encoding::Cbor, &reply).expect("room again");
    pair.drive();
    assert_eq!(pair.dialler.news(), [Event::Reply { ask_id, outcome: Ok((Encoding::Cbor, reply)) }]);
}

#[test]
fn a_peer_that_does_not_read_loses_the_link() {
    let mut pair = pair(|config| config.outbound_bytes_max = 1_000);
    let ping = Frame::Ping { n: u64::MAX };
    let mut pings = 0;
    while !pair.listener.session.is_closed() {
        pair.listener.put_frame(&ping, pair.now);
        pings += 1;
        assert!(pair.listener.session.queued_bytes() <= 1_000 + CONTROL_RESERVE_BYTES);
    }
    assert_eq!(
        pings,
        (1_000 + CONTROL_RESERVE_BYTES) / framed(&ping).len() + 1,
        "the first that finds no room"
    );
    pair.listener.drain();
    let Some(CloseReason::Local(why)) = pair.listener.closed() else {
        panic!("{:?}", pair.listener.events);
    };
    assert!(why.contains("does not read"), "{why}");
}

#[test]
fn open_asks_are_limited_at_both_ends() {
    let max = 10;
    let mut both = pair(|config| config.asks_max = max);
    let ask = parcel("x/1", b"?");
    let mut first = 0;
    for n in 0..max {
        let ask_id = both.dialler.ask(&ask, both.now).expect("at the limit");
        if n == 0 {
            first = ask_id;
        }
    }
    let full = Err(SendError::TooManyAsks { max });
    assert_eq!(both.dialler.ask(&ask, both.now), full);
    both.drive();
    // A cancelled ask makes room once the peer knows of it.
    both.dialler.session.cancel(first);
    assert_eq!(both.dialler.ask(&ask, both.now), full);
    both.drive();
    both.dialler.ask(&ask, both.now).expect("room again");

    // A peer with a smaller limit refuses that ask alone.
    let (a, mut b) = (config("a@/"), config("b@/"));
    b.asks_max = max;
    let mut pair = Pair::new(a, "b@/", b).establish();
    let asked: Vec<_> = (0..=max).map(|_| pair.dialler.ask(&ask, pair.now).expect("asked")).collect();
    pair.drive();
    assert_eq!(pair.listener.news().len(), max);
    let news = pair.dialler.news();
    let [Event::Reply { ask_id, outcome: Err(AskFailure::Refused(refusal)) }] = &news[..] else {
        panic!("{news:?}");
    };
    assert_eq!(*ask_id, asked[max]);
    assert_eq!(refusal.code, RefusalCode::LimitReached);
    assert!(refusal.detail.contains("10 asks"), "{}", refusal.detail);
}

#[test]
fn monitors_are_limited_at_both_ends() {
    let max = 3;
    let mut both = pair(|config| config.monitors_max = max);
    for _ in 0..max {
        both.dialler.session.monitor(GREETER).expect("at the limit");
    }
    let full = Err(SendError::TooManyMonitors { max });
    assert_eq!(both.dialler.session.monitor(GREETER), full);

    let (a, mut b) = (config("a@/"), config("b@/"));
    b.monitors_max = max;
    let mut pair = Pair::new(a, "b@/", b).establish();
    for _ in 0..=max {
        pair.dialler.session.monitor(GREETER).expect("set");
    }
    pair.drive();
    assert_eq!(pair.listener.news().len(), max);
    let news = pair.dialler.news();
    let [Event::Down { monitor_id: 4, reason: ExitReason::NotMonitored(why) }] = &news[..] else {
        panic!("{news:?}");
    };
    assert!(why.contains("3 monitors"), "{why}");
    assert_eq!(pair.dialler.session.open_monitors(), max);
}

/// Texts from a handler, a panic say, can be of any length; the frames that carry them are not.
#[test]
fn long_texts_are_cut_and_the_link_lives() {
    let mut pair = pair(|config| config.frame_bytes_max = 0); // taken as the least there is
    let long = "é".repeat(1_000_000);
    let ask = parcel("x/1", b"?");
    let asked = [(); 3].map(|()| pair.dialler.ask(&ask, pair.now).expect("asked"));
    pair.drive();
    let session = &mut pair.listener.session;
    session.refuse_ask(asked[0], Refusal::new(RefusalCode::Internal, long.clone()));
    session.dead(asked[1], ExitReason::Failed(long.clone()));
    session
        .dead(asked[2], ExitReason::Panicked(PanicReport { message: long.clone(), location: long.clone() }));
    session.close(long);
    pair.drive();
    let news = pair.dialler.news();
    let cut = "é".repeat(TEXT_BYTES_MAX / 2);
    assert_eq!(news.len(), 4, "{news:?}");
    assert!(matches!(
        &news[0],
        Event::Reply { outcome: Err(AskFailure::Refused(refusal)), .. } if refusal.detail == cut
    ));
    assert!(matches!(
        &news[2],
        Event::Reply { outcome: Err(AskFailure::Dead(ExitReason::Panicked(report))), .. }
            if report.message == cut && report.location == cut
    ));
    assert_eq!(news[3], Event::Closed(CloseReason::Bye(cut)));
}

/// A peer may send texts as long as a frame: what is kept of one is short, and one copy does for all who hear it.
#[test]
fn a_text_of_a_peer_is_cut_and_shared_by_all_who_wait() {
    use odeon_wire::Event as Wire;
    let long = "x".repeat(10_000_000);
    let refusal = || Refusal::new(RefusalCode::Internal, long.clone());
    let reason = || ExitReason::Failed(long.clone());
    let code = odeon_wire::RefuseCode::Busy;
    for last in [Frame::Bye { reason: long.clone() }, Frame::Refuse { code, detail: long.clone() }] {
        let mut pair = pair(|_| {});
        let ask = parcel("x/1", b"?");
        let asks = [(); 4].map(|()| pair.dialler.ask(&ask, pair.now).expect("asked"));
        let monitors = [(); 3].map(|()| pair.dialler.session.monitor(GREETER).expect("set"));
        let frames = [
            Frame::Refused { ask_id: Some(asks[0]), refusal: refusal() },
            Frame::Refused { ask_id: None, refusal: refusal() },
            Frame::Dead { ask_id: asks[1], reason: reason() },
            Frame::Down { monitor_id: monitors[0], reason: reason(), number: None },
            last,
        ];
        for frame in frames {
            pair.dialler.put_frame(&frame, pair.now);
        }
        let (mut said, mut shared) = (Vec::new(), Vec::new());
        while let Some(event) = pair.dialler.session.poll_event() {
            match event {
                Wire::Reply { outcome: Err(AskFailure::LinkLost(why)), .. }
                | Wire::MonitorLost { why, .. } => {
                    shared.push(why);
                }
                Wire::Reply { outcome: Err(failure), .. } => said.push(failure.to_string()),
                Wire::Refused { refusal } => said.push(refusal.to_string()),
                Wire::Down { reason, .. } => said.push(reason.to_string()),
                Wire::Closed(reason) => said.push(reason.to_string()),
                other => panic!("{other:?}"),
            }
        }
        let lengths: Vec<_> = said.iter().map(String::len).collect();
        assert_eq!(lengths.len(), 5);
        assert!(lengths.iter().all(|length| *length < TEXT_BYTES_MAX + 100), "{lengths:?}");
        assert_eq!(shared.len(), 4);
        assert!(shared.iter().all(|why| std::sync::Arc::ptr_eq(why, &shared[0])), "one copy");
    }
}
