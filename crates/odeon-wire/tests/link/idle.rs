//! Closing a link that is of no use any more.

use std::time::Duration;

use odeon_core::{Encoding, ExitReason};
use odeon_wire::{CloseReason, DEAD_AFTER, Frame, IDLE_AFTER, SendError};

use crate::pair::{Pair, parcel};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_link_without_use_is_closed_by_both() {
    let mut pair = Pair::established();
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    let used_at = pair.now;
    pair.pass(SECOND);
    pair.listener.news();
    pair.pass(IDLE_AFTER - (pair.now - used_at) - Duration::from_millis(1));
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
    pair.pass(SECOND);
    assert_eq!(pair.dialler.closed(), Some(&CloseReason::Idle));
    assert_eq!(pair.listener.closed(), Some(&CloseReason::Idle));
    assert_eq!(pair.dialler.events.len(), 1, "nothing was lost: {:?}", pair.dialler.events);
}

#[test]
fn a_link_with_something_open_stays() {
    // A monitor, at either side.
    for is_dialler in [true, false] {
        let mut pair = Pair::established();
        let (end, other) = if is_dialler {
            (&mut pair.dialler, &mut pair.listener)
        } else {
            (&mut pair.listener, &mut pair.dialler)
        };
        let monitor = end.session.monitor("greeter".parse().expect("an actor")).expect("set");
        let _ = other;
        pair.pass(3 * IDLE_AFTER);
        assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
        let other = if is_dialler { &mut pair.listener } else { &mut pair.dialler };
        other.session.down(monitor, ExitReason::Normal, None);
        pair.pass(2 * IDLE_AFTER + SECOND);
        assert_eq!(pair.dialler.closed(), Some(&CloseReason::Idle), "once it is gone");
    }
    // An ask, and then a message that nobody takes.
    let mut pair = Pair::established();
    let ask = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    pair.pass(3 * IDLE_AFTER);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
    pair.listener.session.reply(ask, Encoding::Cbor, b"").expect("sent");
    pair.listener.is_taking = false;
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    pair.pass(3 * IDLE_AFTER);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
    pair.listener.take(1, |_| true);
    pair.pass(2 * IDLE_AFTER + SECOND);
    assert_eq!(pair.listener.closed(), Some(&CloseReason::Idle));
}

#[test]
fn a_message_that_crosses_the_proposal_is_heard_and_the_link_stays() {
    let mut pair = Pair::established();
    pair.now = pair.now + IDLE_AFTER;
    pair.dialler.session.handle_timeout(pair.now);
    assert_eq!(pair.dialler.tell(&parcel("x/1", b""), pair.now), Err(SendError::Waiting));
    // The peer has not heard of it.
    pair.listener.tell(&parcel("x/1", b"crosses"), pair.now).expect("sent");
    pair.drive();
    assert_eq!(pair.dialler.news().len(), 1);
    assert!(pair.dialler.session.take_room(), "who waits may try again");
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    pair.drive();
    assert_eq!(pair.listener.news().len(), 1);
    assert!(pair.dialler.session.is_established() && pair.listener.session.is_established());
}

#[test]
fn both_may_propose_at_once() {
    let mut pair = Pair::established();
    pair.now = pair.now + IDLE_AFTER + SECOND;
    pair.dialler.session.handle_timeout(pair.now);
    pair.listener.session.handle_timeout(pair.now);
    pair.drive();
    assert_eq!(pair.dialler.closed(), Some(&CloseReason::Idle));
    assert_eq!(pair.listener.closed(), Some(&CloseReason::Idle));
}

/// All who want to send wait for the answer, so a peer does not put it off for ever.
#[test]
fn a_peer_that_answers_pings_and_no_proposal_loses_the_link() {
    let mut pair = Pair::established();
    pair.now = pair.now + IDLE_AFTER;
    pair.dialler.session.handle_timeout(pair.now);
    pair.dialler.transmits();
    let rested_at = pair.now;
    let last = rested_at + (DEAD_AFTER - Duration::from_nanos(1));
    while pair.now < last {
        assert_eq!(pair.dialler.tell(&parcel("x/1", b""), pair.now), Err(SendError::Waiting));
        pair.now = (pair.now + SECOND).min(last);
        pair.dialler.put_frame(&Frame::Pong { n: 1 }, pair.now);
        pair.dialler.session.handle_timeout(pair.now);
        assert!(pair.dialler.session.is_established(), "before the time");
    }
    assert_eq!(pair.dialler.session.poll_timeout(), Some(rested_at + DEAD_AFTER));
    pair.now = rested_at + DEAD_AFTER;
    pair.dialler.session.handle_timeout(pair.now);
    assert!(pair.dialler.session.take_room(), "who waits may try again");
    assert_eq!(pair.dialler.tell(&parcel("x/1", b""), pair.now), Err(SendError::Closed));
    pair.dialler.drain();
    let said = pair.dialler.closed().expect("closed").to_string();
    assert!(said.contains("did not answer a Rest for 15s"), "{said}");
}
