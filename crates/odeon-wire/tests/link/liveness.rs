//! Silence, heartbeats and dead peers, in virtual time.

use std::time::Duration;

use odeon_core::Instant;
use odeon_wire::{ACKNOWLEDGE_AFTER, AskFailure, CloseReason, Frame};

use crate::pair::{Event, Pair, parcel};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_idle_link_lives_on_pings() {
    let mut pair = Pair::established();
    // Watched, so that it is of use.
    pair.dialler.session.monitor("greeter".parse().expect("an actor")).expect("set");
    pair.pass(SECOND);
    pair.listener.news();
    pair.pass(3_600 * SECOND);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
    assert_eq!((pair.dialler.news(), pair.listener.news()), (vec![], vec![]));
}

#[test]
fn a_busy_link_sends_no_pings() {
    let mut pair = Pair::established();
    let ping_at = |pair: &Pair| pair.listener.session.poll_timeout().expect("a heartbeat");
    let before = ping_at(&pair);
    pair.now = pair.now + 4 * SECOND;
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    pair.drive();
    // What was taken is acknowledged first.
    let heard_at = pair.now;
    pair.pass(ACKNOWLEDGE_AFTER);
    assert_eq!(ping_at(&pair), heard_at + 5 * SECOND);
    assert!(ping_at(&pair) > before);
}

#[test]
fn a_ping_has_a_pong() {
    let mut pair = Pair::established();
    pair.listener.put_frame(&Frame::Ping { n: 77 }, pair.now);
    assert_eq!(pair.listener.transmitted(), [[0x82, 0x10, 0x18, 77]]);
}

#[test]
fn a_silent_peer_is_dead_after_15_seconds() {
    let mut pair = Pair::established();
    let ask_id = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    pair.drive();
    pair.listener.news();
    pair.is_cut = true;
    // What the dialler last heard came with the handshake.
    let heard = {
        let ping_at = pair.dialler.session.poll_timeout().expect("a heartbeat");
        Instant::from_nanos(ping_at.as_nanos()) - Instant::from_nanos(5_000_000_000)
    };
    let dead_at = Instant::ZERO + heard + 15 * SECOND;
    let millisecond = Duration::from_millis(1);
    pair.pass(dead_at - pair.now - millisecond);
    assert!(pair.dialler.session.is_established());
    pair.pass(millisecond);
    assert_eq!(
        pair.dialler.news(),
        [
            Event::Reply { ask_id, outcome: Err(AskFailure::LinkLost("the peer is silent".into())) },
            Event::Closed(CloseReason::Dead),
        ]
    );
    pair.pass(SECOND);
    assert_eq!(pair.listener.closed(), Some(&CloseReason::Dead), "it is cut both ways");
}

#[test]
fn a_short_silence_is_forgiven() {
    let mut pair = Pair::established();
    pair.is_cut = true;
    pair.pass(14 * SECOND);
    pair.is_cut = false;
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    pair.listener.tell(&parcel("x/1", b""), pair.now).expect("sent");
    pair.pass(60 * SECOND);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
}

/// A process that was stopped for an hour finds its own silence first; it asks before it gives up.
#[test]
fn a_leap_of_the_clock_is_not_the_peers_death() {
    let mut pair = Pair::established();
    pair.dialler.session.monitor("greeter".parse().expect("an actor")).expect("set");
    pair.drive();
    pair.now = pair.now + 3_600 * SECOND;
    pair.pass(60 * SECOND);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
}

#[test]
fn bytes_that_never_become_a_frame_are_no_sign_of_life() {
    let mut pair = Pair::established();
    pair.is_cut = true;
    // The length of a frame that takes for ever.
    pair.listener.put(&pair.listener.prefix(1_000_000), pair.now);
    for _ in 0..20 {
        pair.pass(SECOND);
        pair.listener.put(b"more of it", pair.now);
    }
    assert!(pair.listener.news().contains(&Event::Closed(CloseReason::Dead)));
}
