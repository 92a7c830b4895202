//! Flows, their credit, and what is known of the messages on them.

use odeon_core::{ActorId, Encoding, Epoch, ExitReason};
use odeon_wire::{ACKNOWLEDGE_AFTER, CHUNK_BYTES, Config, Frame, MESSAGE_COST_BYTES, SendError};
use proptest::prelude::*;

use crate::pair::{End, Event, Letter, Pair, config, parcel};

const FLOW_FULL: SendError = SendError::NoCredit { is_flow: true };
const LINK_FULL: SendError = SendError::NoCredit { is_flow: false };

fn pair(change: impl Fn(&mut Config)) -> Pair {
    let (mut a, mut b) = (config("a@/"), config("b@/"));
    change(&mut a);
    change(&mut b);
    let mut pair = Pair::new(a, "b@/", b).establish();
    pair.listener.is_taking = false;
    pair
}

/// Tells until there is an error; how many went, and the error.
fn fill(end: &mut End, letter: &Letter, pair_now: odeon_core::Instant) -> (usize, SendError) {
    for sent in 0..1_000_000 {
        if let Err(error) = end.tell(letter, pair_now) {
            return (sent, error);
        }
    }
    panic!("there is no end to it");
}

#[test]
fn a_flow_carries_its_window_of_messages_and_not_one_more() {
    let mut pair = pair(|config| config.windows.flow_messages = 10);
    let letter = parcel("x/1", b"hi");
    assert_eq!(fill(&mut pair.dialler, &letter, pair.now), (10, FLOW_FULL));
    pair.drive();
    assert_eq!(pair.listener.news().len(), 10, "they have come, and nobody took them");
    assert_eq!(pair.dialler.tell(&letter, pair.now), Err(FLOW_FULL));
    assert_eq!(pair.dialler.ask(&letter, pair.now), Err(FLOW_FULL));
    assert_eq!(pair.listener.session.waiting_messages(), 10);
    // Less than half a window is kept back a little, half is told at once.
    pair.listener.take(4, |_| true);
    pair.drive();
    assert_eq!(pair.dialler.tell(&letter, pair.now), Err(FLOW_FULL));
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    assert!(pair.dialler.session.take_room());
    assert_eq!(fill(&mut pair.dialler, &letter, pair.now), (4, FLOW_FULL));
    pair.listener.take(5, |_| true);
    pair.drive();
    assert_eq!(fill(&mut pair.dialler, &letter, pair.now), (5, FLOW_FULL));
}

#[test]
fn a_flow_carries_its_window_of_bytes_and_one_message_whatever_it_costs() {
    let cost = 100 + MESSAGE_COST_BYTES;
    let mut pair = pair(|config| config.windows.flow_bytes = 5 * cost);
    let letter = parcel("x/1", &[7; 100]);
    assert_eq!(fill(&mut pair.dialler, &letter, pair.now), (5, FLOW_FULL));
    // A byte more than the window allows.
    let large = parcel("x/1", &vec![7; 10_000]).to("other");
    assert_eq!(fill(&mut pair.dialler, &large, pair.now), (1, FLOW_FULL), "alone it may go");
    pair.drive();
    assert_eq!(pair.listener.news().len(), 6);
    assert!(pair.listener.session.is_established(), "the receiver sees it the same way");
    pair.listener.take(6, |_| true);
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    assert_eq!(fill(&mut pair.dialler, &large, pair.now), (1, FLOW_FULL));
}

#[test]
fn the_link_carries_its_window_of_bytes_over_all_flows() {
    let frame = 100_000;
    let mut pair = pair(|config| {
        config.frame_bytes_max = frame;
        config.windows.link_bytes = 0; // raised to one frame
    });
    let window = u64::try_from(frame).expect("small") + MESSAGE_COST_BYTES;
    let cost = 1_000 + MESSAGE_COST_BYTES;
    let fits = usize::try_from(window / cost).expect("small");
    let mut sent = 0;
    while pair.dialler.tell(&parcel("x/1", &[0; 1_000]).to(&format!("a{sent}")), pair.now).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, fits);
    assert_eq!(pair.dialler.tell(&parcel("x/1", &[0; 1_000]), pair.now), Err(LINK_FULL));
    pair.drive();
    pair.listener.take(usize::MAX, |_| true);
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    assert_eq!(fill(&mut pair.dialler, &parcel("x/1", &[0; 1_000]), pair.now), (fits, LINK_FULL));
}

#[test]
fn a_slow_actor_stops_its_flow_and_no_other() {
    let mut pair = pair(|config| config.windows.flow_messages = 4);
    let (slow, quick) = (parcel("x/1", b"").to("slow"), parcel("x/1", b"").to("quick"));
    assert_eq!(fill(&mut pair.dialler, &slow, pair.now), (4, FLOW_FULL));
    for _ in 0..100 {
        pair.dialler.tell(&quick, pair.now).expect("its flow goes on");
        pair.drive();
        pair.listener.take(usize::MAX, |flow| flow == 1);
        pair.pass(2 * ACKNOWLEDGE_AFTER);
    }
    assert_eq!(pair.dialler.tell(&slow, pair.now), Err(FLOW_FULL));
    assert_eq!(pair.listener.session.waiting_messages(), 4);
}

#[test]
fn a_peer_that_sends_past_its_credit_loses_the_link() {
    let body = |seq, payload| {
        let encoding = Encoding::Cbor;
        Frame::Tell(odeon_wire::Body {
            flow: 0,
            seq,
            from: 0,
            type_id: 0,
            encoding,
            expires_in_ms: None,
            payload,
            nonce: None,
            in_reply_to: None,
        })
    };
    let large = vec![0; 1_000];
    for (messages, bytes, said) in [(3, 1 << 20, "without credit"), (100, 2_000, "without credit")] {
        let mut pair = pair(|config| {
            config.windows.flow_messages = messages;
            config.windows.flow_bytes = bytes;
        });
        pair.dialler.tell(&parcel("x/1", &large), pair.now).expect("sent");
        pair.drive();
        let mut seq = 1;
        while !pair.listener.session.is_closed() {
            seq += 1;
            pair.listener.put_frame(&body(seq, &large), pair.now);
            assert!(seq <= 4);
        }
        pair.listener.drain();
        let reason = pair.listener.closed().expect("closed").to_string();
        assert!(reason.contains(said), "{reason}");
    }
}

#[test]
fn flows_are_closed_when_the_table_is_full_and_their_numbers_used_again() {
    let max = 16;
    let mut pair = pair(|config| config.flows_max = max);
    pair.listener.is_taking = true;
    let to = |n: usize| parcel("x/1", b"").to(&format!("a{n}"));
    for n in 0..max {
        pair.dialler.tell(&to(n), pair.now).expect("at the limit");
    }
    assert_eq!(pair.dialler.tell(&to(max), pair.now), Err(SendError::Waiting), "none of them rests");
    assert_eq!(pair.dialler.session.open_flows(), max);
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    assert_eq!(pair.dialler.tell(&to(max), pair.now), Err(SendError::Waiting), "now some are closed");
    assert_eq!(pair.dialler.tell(&to(max), pair.now), Err(SendError::Waiting), "once");
    pair.drive();
    assert!(pair.dialler.session.take_room());
    assert_eq!(pair.dialler.session.open_flows(), max - 2, "an eighth");
    pair.listener.news();
    for n in [max, max + 1, 5, max] {
        pair.dialler.tell(&to(n), pair.now).expect("their numbers are free");
    }
    pair.drive();
    let heard: Vec<_> = pair.listener.news();
    assert_eq!(heard, [max, max + 1, 5, max].map(|n| Event::Tell(to(n))));
    // Those that were used first went first, and come back.
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    assert_eq!(pair.dialler.tell(&to(0), pair.now), Err(SendError::Waiting));
    pair.drive();
    pair.dialler.tell(&to(0), pair.now).expect("open again");
    pair.drive();
    assert_eq!(pair.listener.news(), [Event::Tell(to(0))]);
}

#[test]
fn a_closed_flow_keeps_its_number_until_all_has_been_taken() {
    let mut pair = pair(|config| config.flows_max = 1);
    let (first, second) = (parcel("x/1", b"").to("first"), parcel("x/1", b"").to("second"));
    let ask = pair.dialler.ask(&first, pair.now).expect("asked");
    pair.drive();
    // The answer says that the ask was taken; the receiver's driver has not said so yet.
    pair.listener.session.reply(ask, Encoding::Cbor, b"").expect("sent");
    pair.drive();
    assert_eq!(pair.dialler.tell(&second, pair.now), Err(SendError::Waiting));
    pair.drive();
    assert_eq!(pair.dialler.tell(&second, pair.now), Err(SendError::Waiting));
    pair.listener.take(1, |_| true);
    pair.drive();
    pair.dialler.tell(&second, pair.now).expect("free");
}

#[test]
fn tells_that_nobody_acknowledged_are_told_when_the_link_is_lost() {
    let mut pair = pair(|_| {});
    let mark = |text: &str| text.parse().expect("a mark");
    let ask = pair.dialler.ask(&parcel("ask/1", b"?"), pair.now).expect("asked");
    for n in 0..5u8 {
        pair.dialler.tell(&parcel("x/1", &[n]), pair.now).expect("sent");
    }
    pair.dialler.tell(&parcel("y/1", b""), pair.now).expect("sent");
    pair.dialler.tell(&parcel("x/1", b"").to("17.1"), pair.now).expect("sent");
    pair.drive();
    assert_eq!(pair.dialler.session.unknown_messages(), 8);
    // The ask and two tells are taken, and that is known.
    pair.listener.take(3, |_| true);
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    assert_eq!(pair.dialler.session.unknown_messages(), 5);
    pair.dialler.session.handle_lost("cable");
    pair.dialler.drain();
    let greeter = "greeter".parse::<ActorId>().expect("an actor");
    let news = pair.dialler.news();
    assert_eq!(
        news[..3],
        [
            Event::MaybeLost { to: greeter.clone(), from: 9, mark: mark("x/1"), count: 3 },
            Event::MaybeLost { to: greeter, from: 9, mark: mark("y/1"), count: 1 },
            Event::MaybeLost { to: ActorId::NumberOf(17, Epoch(1)), from: 9, mark: mark("x/1"), count: 1 },
        ]
    );
    assert!(matches!(&news[3..], [Event::Reply { ask_id, .. }, Event::Closed(_)] if *ask_id == ask));
}

#[test]
fn an_answer_says_that_what_was_sent_before_has_been_taken() {
    let mut pair = pair(|_| {});
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    let ask = pair.dialler.ask(&parcel("x/1", b"?"), pair.now).expect("asked");
    pair.dialler.tell(&parcel("x/1", b""), pair.now).expect("sent");
    pair.drive();
    pair.listener.session.reply(ask, Encoding::Cbor, b"").expect("sent");
    pair.drive();
    assert_eq!(pair.dialler.session.unknown_messages(), 1);
}

#[test]
fn a_long_message_lets_others_pass_and_none_of_its_own_flow() {
    let mut pair = pair(|_| {});
    pair.piece = 1_000_000;
    let long = parcel("x/1", &vec![1; 10 * CHUNK_BYTES]);
    let (next, other) = (parcel("x/1", b"next"), parcel("x/1", b"other").to("other"));
    pair.dialler.tell(&long, pair.now).expect("sent");
    pair.dialler.tell(&next, pair.now).expect("sent");
    let monitor = pair.listener.session.monitor(ActorId::Number(5)).expect("set");
    pair.drive();
    pair.listener.news();
    // Again, now that all is set up: the long one, one behind it, one of another flow, and news of a death.
    pair.dialler.tell(&long, pair.now).expect("sent");
    pair.dialler.tell(&next, pair.now).expect("sent");
    pair.dialler.tell(&other, pair.now).expect("sent");
    pair.dialler.session.down(monitor, ExitReason::Normal, Some(5));
    pair.drive();
    assert_eq!(
        pair.listener.news(),
        [
            Event::Tell(other),
            Event::Tell(long),
            Event::Tell(next),
            Event::Down { monitor_id: monitor, reason: ExitReason::Normal },
        ]
    );
}

#[test]
fn a_cancel_does_not_overtake_its_ask() {
    for bytes in [1, 5 * CHUNK_BYTES] {
        let mut pair = pair(|_| {});
        for _ in 0..100 {
            pair.dialler.tell(&parcel("x/1", &[0; 1_000]), pair.now).expect("sent");
        }
        let ask_id = pair.dialler.ask(&parcel("x/1", &vec![0; bytes]), pair.now).expect("asked");
        pair.dialler.session.cancel(ask_id);
        pair.drive();
        let news = pair.listener.news();
        assert!(matches!(
            news[news.len() - 2..],
            [Event::Ask { ask_id: asked, .. }, Event::Cancelled { ask_id: gone }] if asked == ask_id && gone == ask_id
        ));
        assert!(pair.dialler.session.is_established());
    }
}

#[test]
fn a_fingerprint_is_agreed_to_once_both_know_it() {
    let mut pair = Pair::established();
    let letter = parcel("x/1", b"");
    let with = odeon_wire::Parcel { fingerprint: Some(77), ..letter.parcel() };
    assert!(!pair.dialler.session.is_agreed("x/1"));
    pair.dialler.session.tell(&with, pair.now).expect("sent");
    pair.drive();
    assert_eq!(pair.listener.types, [(letter.mark.clone(), Some(77))]);
    assert!(!pair.dialler.session.is_agreed("x/1"), "until the peer has said so");
    pair.listener.session.agree(1);
    pair.drive();
    assert!(!pair.dialler.session.is_agreed("x/1"), "there is no such type");
    pair.listener.session.agree(0);
    pair.drive();
    assert!(pair.dialler.session.is_agreed("x/1"));
    assert!(!pair.listener.session.is_agreed("x/1"), "each direction has its own types");
}

/// What an end may do in a random run.
#[derive(Debug, Clone, Copy)]
enum Act {
    Tell { to: u8, bytes: usize },
    Ask { to: u8, bytes: usize },
    Cancel,
    Answer { bytes: usize },
    Take { many: usize, flow: u32 },
    Pass,
    Deliver,
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = || prop_oneof![4 => 0usize..300, 1 => 60_000usize..70_000, 1 => 0usize..200_000];
    prop_oneof![
        6 => (0u8..6, bytes()).prop_map(|(to, bytes)| Act::Tell { to, bytes }),
        3 => (0u8..6, bytes()).prop_map(|(to, bytes)| Act::Ask { to, bytes }),
        1 => Just(Act::Cancel),
        2 => bytes().prop_map(|bytes| Act::Answer { bytes }),
        3 => (1usize..20, 0u32..4).prop_map(|(many, flow)| Act::Take { many, flow }),
        1 => Just(Act::Pass),
        3 => Just(Act::Deliver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Two sessions under small windows, bytes cut anywhere: neither ever faults the other, each flow is heard in
    /// the order in which it was sent, and in the end everything has been heard and is known to have been taken.
    #[test]
    fn whatever_two_sessions_do_each_flow_stays_in_order(
        acts in proptest::collection::vec((any::<bool>(), act()), 1..120),
        piece in prop_oneof![1usize..50, 1_000usize..100_000],
    ) {
        let mut pair = pair(|config| {
            config.frame_bytes_max = 300_000;
            config.windows.link_bytes = 400_000;
            config.windows.flow_bytes = 80_000;
            config.windows.flow_messages = 12;
            config.flows_max = 4;
        });
        pair.dialler.is_taking = false;
        pair.piece = piece.max(64);
        let mut sent: [Vec<(u8, u64)>; 2] = Default::default();
        let mut heard: [Vec<(u8, u64)>; 2] = Default::default();
        let mut open: [Vec<u64>; 2] = Default::default();
        let mut owed: [Vec<u64>; 2] = Default::default();
        let mut n = 0u64;
        for (is_dialler, act) in acts {
            let me = usize::from(is_dialler);
            let now = pair.now;
            let end = if is_dialler { &mut pair.dialler } else { &mut pair.listener };
            match act {
                Act::Tell { to, bytes } | Act::Ask { to, bytes } => {
                    n += 1;
                    let mut payload = vec![to; bytes.max(8)];
                    payload[..8].copy_from_slice(&n.to_be_bytes());
                    let letter = parcel("x/1", &payload).to(&format!("a{to}"));
                    let outcome = if matches!(act, Act::Ask { .. }) {
                        end.ask(&letter, now).map(|ask_id| open[me].push(ask_id))
                    } else {
                        end.tell(&letter, now)
                    };
                    match outcome {
                        Ok(()) => sent[me].push((to, n)),
                        Err(error) => prop_assert!(error.is_for_now(), "{error}"),
                    }
                }
                Act::Cancel => open[me].pop().into_iter().for_each(|ask_id| end.session.cancel(ask_id)),
                Act::Answer { bytes } => {
                    if let Some(ask_id) = owed[me].pop() {
                        end.session.reply(ask_id, Encoding::Cbor, &vec![1; bytes]).expect("room");
                    }
                }
                Act::Take { many, flow } => end.take(many, |other| other == flow),
                Act::Pass => pair.pass(ACKNOWLEDGE_AFTER),
                Act::Deliver => pair.drive(),
            }
            hear(&mut pair, &mut heard, &mut owed)?;
        }
        for _ in 0..3 {
            pair.drive();
            pair.dialler.take(usize::MAX, |_| true);
            pair.listener.take(usize::MAX, |_| true);
            hear(&mut pair, &mut heard, &mut owed)?;
            pair.pass(2 * ACKNOWLEDGE_AFTER);
        }
        for (sent, heard) in [(&sent[0], &heard[1]), (&sent[1], &heard[0])] {
            for to in 0..6 {
                let of = |all: &[(u8, u64)]| -> Vec<_> {
                    all.iter().filter(|(other, _)| *other == to).map(|(_, n)| *n).collect()
                };
                prop_assert_eq!(of(sent), of(heard), "to a{}", to);
            }
        }
        for end in [&pair.dialler, &pair.listener] {
            prop_assert!(end.session.is_established(), "{:?}", end.closed());
            prop_assert_eq!((end.session.unknown_messages(), end.session.waiting_messages()), (0, 0));
        }
    }
}

fn hear(
    pair: &mut Pair,
    heard: &mut [Vec<(u8, u64)>; 2],
    owed: &mut [Vec<u64>; 2],
) -> Result<(), TestCaseError> {
    for (me, end) in [&mut pair.listener, &mut pair.dialler].into_iter().enumerate() {
        end.drain();
        prop_assert!(!end.session.is_closed(), "{:?}", end.closed());
        for event in end.news() {
            match event {
                Event::Tell(letter) => heard[me].push(number(&letter)),
                Event::Ask { ask_id, parcel } => {
                    owed[me].push(ask_id);
                    heard[me].push(number(&parcel));
                }
                Event::Reply { .. } | Event::Cancelled { .. } => {}
                other => return Err(TestCaseError::fail(format!("{other:?}: {:?}", end.session))),
            }
        }
    }
    Ok(())
}

/// To which actor, and which message it is.
fn number(letter: &Letter) -> (u8, u64) {
    let to = letter.to.to_string()[1..].parse().expect("a digit");
    (to, u64::from_be_bytes(letter.payload[..8].try_into().expect("8 bytes")))
}

/// A message above the window goes only when all before it has been taken. Small ones of others would keep it off for
/// as long as they come; so they wait behind it, and it lets them pass again once it has gone.
#[test]
fn small_messages_wait_behind_a_large_one_and_get_their_turn_after_it() {
    let cost = 100 + MESSAGE_COST_BYTES;
    let mut pair = pair(|config| config.windows.flow_bytes = 8 * cost);
    let (small, large) = (parcel("x/1", &[7; 100]), parcel("x/1", &vec![7; 10_000]));
    let (half, more) = (small.payload.len() * 4 + 3 * 64, small.payload.len() * 4 + 3 * 64 + 1);
    pair.dialler.tell(&small, pair.now).expect("sent");
    assert!(!pair.dialler.session.await_large(&small.to, half), "half the window");
    assert!(pair.dialler.session.await_large(&small.to, more), "more than half");
    pair.dialler.session.large_done(&small.to);
    assert_eq!(pair.dialler.tell(&large, pair.now), Err(FLOW_FULL));
    assert!(pair.dialler.session.await_large(&large.to, large.payload.len()));
    assert_eq!(pair.dialler.tell(&small, pair.now), Err(FLOW_FULL), "it waits behind");
    pair.dialler.tell(&small.clone().to("other"), pair.now).expect("another flow goes on");
    // A second one waits, and the small ones have their turn between the two.
    assert!(pair.dialler.session.await_large(&large.to, large.payload.len()));
    for is_second in [false, true] {
        pair.drive();
        pair.listener.take(usize::MAX, |_| true);
        pair.pass(2 * ACKNOWLEDGE_AFTER);
        if !is_second {
            assert_eq!(pair.dialler.tell(&small, pair.now), Err(FLOW_FULL), "though there is room");
        }
        pair.dialler.tell(&large, pair.now).expect("at last");
        pair.dialler.session.large_done(&large.to);
        assert!(pair.dialler.session.take_room(), "who waits may try again");
        pair.drive();
        pair.listener.take(usize::MAX, |_| true);
        pair.pass(2 * ACKNOWLEDGE_AFTER);
        assert_eq!(fill(&mut pair.dialler, &small, pair.now), (8, FLOW_FULL), "a window's worth");
    }
    // One that is given up holds up nobody.
    pair.listener.take(usize::MAX, |_| true);
    pair.drive();
    pair.listener.take(usize::MAX, |_| true);
    pair.pass(2 * ACKNOWLEDGE_AFTER);
    pair.dialler.tell(&small, pair.now).expect("room");
    assert!(pair.dialler.session.await_large(&large.to, large.payload.len()));
    assert_eq!(pair.dialler.tell(&small, pair.now), Err(FLOW_FULL));
    pair.dialler.session.large_done(&large.to);
    assert_eq!(fill(&mut pair.dialler, &small, pair.now), (7, FLOW_FULL));
}

#[test]
fn a_flow_for_which_a_large_message_waits_is_not_closed() {
    let mut pair = pair(|config| {
        config.flows_max = 1;
        config.windows.flow_bytes = 1_000;
    });
    pair.listener.is_taking = true;
    let (letter, other) = (parcel("x/1", b""), parcel("x/1", b"").to("other"));
    pair.dialler.tell(&letter, pair.now).expect("sent");
    assert!(pair.dialler.session.await_large(&letter.to, 1_000));
    for is_done in [false, true] {
        pair.pass(2 * ACKNOWLEDGE_AFTER);
        assert_eq!(pair.dialler.tell(&other, pair.now), Err(SendError::Waiting));
        pair.drive();
        assert_eq!(pair.dialler.tell(&other, pair.now).is_ok(), is_done);
        pair.dialler.session.large_done(&letter.to);
    }
}
