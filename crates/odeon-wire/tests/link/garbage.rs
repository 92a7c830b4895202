//! Bytes that no honest peer sends: no panic, no unbounded memory, always an end.

use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;
use odeon_core::{Encoding, ExitReason, Instant};
use odeon_wire::{AskFailure, CloseReason, DEAD_AFTER, Frame, HEARTBEAT, Session};
use proptest::prelude::*;

use crate::pair::{End, Event, Pair, config, parcel};

/// A valid stream of the dialler's, from the first ask on.
fn session_stream() -> Vec<u8> {
    let mut pair = Pair::established();
    let session = &mut pair.dialler.session;
    session.tell(&parcel("x/1", b"one").parcel(), pair.now).expect("sent");
    let ask_id = session.ask(&parcel("y/1", b"two").parcel(), pair.now).expect("sent");
    session.monitor("greeter".parse().expect("an actor")).expect("sent");
    session.cancel(ask_id);
    pair.dialler.transmits()
}

/// Every event but the last is one of an open link, and whatever happened, the books are in order.
fn check_end(end: &mut End) {
    end.drain();
    assert_eq!(end.closed().is_some(), end.session.is_closed());
    if let Some(reason) = end.closed() {
        assert!(!reason.to_string().contains(char::is_control), "{reason}");
    }
    let said = end.transmits();
    assert!(said.len() <= 3 * HANDSHAKE_FRAME_BYTES_MAX, "{} bytes in answer", said.len());
}

proptest! {
    #[test]
    fn a_stranger_may_send_anything(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..20),
        lengths_fit in any::<bool>(),
    ) {
        let mut listener = End::new(Session::listen(config("b@/"), [2; 32], Instant::ZERO), [7; 32]);
        for part in parts {
            if lengths_fit {
                let length = u32::try_from(part.len()).expect("short").to_be_bytes();
                listener.put(&length, Instant::ZERO);
            }
            listener.put(&part, Instant::ZERO);
            listener.drain();
        }
        prop_assert!(!listener.session.is_established());
        check_end(&mut listener);
    }

    #[test]
    fn a_peer_may_send_anything(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..100), 0..20),
        number in 0u8..32,
    ) {
        let mut pair = Pair::established();
        for mut part in parts {
            // Half-way to a frame: an array whose first item is a number that may be known.
            part.splice(0..0, [0x80 | (part[0] % 8), number]);
            pair.listener.put_body(&part, pair.now);
        }
        check_end(&mut pair.listener);
    }

    #[test]
    fn a_flipped_bit_does_no_harm(bit in 0usize..1_000_000) {
        let mut stream = session_stream();
        let bit = bit % (stream.len() * 8);
        stream[bit / 8] ^= 1 << (bit % 8);
        let mut pair = Pair::established();
        pair.listener.put(&stream, pair.now);
        check_end(&mut pair.listener);
    }
}

/// A box that has kept bytes of one connection puts them into a younger one, at the same place of the same talk.
#[test]
fn frames_of_another_connection_are_none_of_this_one() {
    let mut older = Pair::established();
    let session = &mut older.dialler.session;
    session.ask(&parcel("x/1", b"a question").parcel(), older.now).expect("sent");
    session.monitor("greeter".parse().expect("an actor")).expect("sent");
    older.drive();
    older.listener.session.reply(1 << 16, Encoding::Cbor, b"old news").expect("sent");
    older.listener.session.down(1, ExitReason::Normal, None);
    let old = older.listener.transmitted();
    assert_eq!(old.len(), 2, "the reply, and that the actor ended");
    for body in old {
        let bytes = [&older.dialler.prefix(body.len())[..], &body].concat();
        for nonce in 100..150 {
            let mut younger = Pair::younger(nonce);
            let ask = younger.dialler.ask(&parcel("x/1", b"another question"), younger.now).expect("sent");
            younger.dialler.session.monitor("greeter".parse().expect("an actor")).expect("sent");
            younger.drive();
            younger.dialler.put(&bytes, younger.now);
            younger.pass(DEAD_AFTER + HEARTBEAT);
            let news = younger.dialler.news();
            let told = AskFailure::LinkLost(news.last().map(said).expect("the end").into());
            assert_eq!(news.first(), Some(&Event::Reply { ask_id: ask, outcome: Err(told) }), "{news:?}");
            assert!(matches!(&news[1..], [Event::Down { .. }, Event::Closed(_)]), "{news:?}");
        }
    }
}

/// Why the link ended.
fn said(event: &Event) -> String {
    match event {
        Event::Closed(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_cut_at_any_byte_waits_and_then_goes_on() {
    let stream = session_stream();
    let whole = {
        let mut pair = Pair::established();
        pair.listener.put(&stream, pair.now);
        pair.listener.drain();
        pair.listener.news()
    };
    assert_eq!(whole.len(), 4, "{whole:?}");
    for at in 0..=stream.len() {
        let mut pair = Pair::established();
        let (head, tail) = stream.split_at(at);
        pair.listener.put(head, pair.now);
        pair.listener.drain();
        let mut news = pair.listener.news();
        assert_eq!(news, whole[..news.len()]);
        assert!(pair.listener.session.is_established());

        let mut cut = Pair::established();
        cut.listener.put(head, cut.now);
        cut.listener.session.handle_lost("end of stream");
        cut.listener.drain();
        assert_eq!(cut.listener.closed(), Some(&CloseReason::Lost("end of stream".into())));

        pair.listener.put(tail, pair.now);
        pair.listener.drain();
        news.extend(pair.listener.news());
        assert_eq!(news, whole);
    }
}

#[test]
fn a_hello_cut_at_any_byte_waits_and_then_goes_on() {
    let length = Pair::default_ends().dialler.transmits().len();
    for at in 0..=length {
        let mut pair = Pair::default_ends();
        let hello = pair.dialler.transmits();
        for part in [&hello[..at], &hello[at..]] {
            pair.listener.put(part, pair.now);
            pair.listener.drain();
        }
        pair.drive();
        assert!(pair.dialler.session.is_established(), "cut at {at}");
    }
}

#[test]
fn another_protocol_is_told_so() {
    for greeting in
        ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n", "\u{16}\u{3}\u{1}"]
    {
        let mut listener = End::new(Session::listen(config("b@/"), [2; 32], Instant::ZERO), [7; 32]);
        listener.put(greeting.as_bytes(), Instant::ZERO);
        check_end(&mut listener);
    }
}

/// An unknown field is skipped, not followed onto the stack; and past the limit not at all, since skipping has its
/// price.
#[test]
fn deep_nesting_in_an_unknown_field_does_no_harm() {
    for (levels, is_read) in [(100, true), (1_000_000, false)] {
        let mut body = vec![0x83, 0x0f, 0x07];
        body.extend(std::iter::repeat_n(0x81, levels));
        body.push(0x00);
        let mut pair = Pair::established();
        pair.listener.put_body(&body, pair.now);
        assert_eq!(pair.listener.session.is_established(), is_read);
        assert_eq!(pair.listener.transmitted() == [[0x82, 0x10, 0x07]], is_read);
    }
}

/// A frame that claims more than it has is refused without room being made for the claim.
#[test]
fn claimed_lengths_are_not_believed() {
    for body in [
        &[0x82, 0x05, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], // an array
        &[0x82, 0x11, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],     // a text
        &[0x82, 0x11, 0x7f, 0x61, b'x'],                                         // without end
    ] {
        let mut pair = Pair::established();
        pair.listener.put_body(body, pair.now);
        pair.listener.drain();
        let news = pair.listener.news();
        assert!(matches!(&news[..], [Event::Closed(CloseReason::Protocol(_))]), "{news:?}");
    }
}

/// A peer's texts end in logs and on terminals.
#[test]
fn control_characters_of_a_peer_do_not_come_through() {
    let mut bye = Vec::new();
    Frame::Bye { reason: "\u{1b}[2Jgone".into() }.encode(&mut bye);
    // A mark is checked when it is read, and the error quotes it.
    let mut define = vec![0x83, 0x04, 0x00, 0x65];
    define.extend_from_slice(b"\x1b[2J!");
    for (body, kept) in [(bye, "[2Jgone"), (define, "cannot be read")] {
        let mut pair = Pair::established();
        pair.listener.put_body(&body, pair.now);
        pair.listener.drain();
        let reason = pair.listener.closed().expect("closed").to_string();
        assert!(reason.contains(kept), "{reason}");
        assert!(!reason.contains(char::is_control), "{reason}");
    }
}
