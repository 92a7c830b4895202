//! Sessions: two of them with what a fuzzer does to the bytes between, and one with a stranger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use odeon_auth::{Cookie, Proof};
use odeon_core::{ActorId, Encoding, Epoch, ExitReason, Instant, Refusal, RefusalCode, ServerId};
use odeon_wire::{Config, Event, Parcel, RefuseCode, Session, Side};

/// Most bytes between the two that are delivered for one step: pings and answers cannot go on for ever.
const ROUNDS_MAX: usize = 64;

/// Bytes that are delivered at once.
const TRANSMIT_BYTES: usize = 16 * 1024;

/// Largest frame: more than goes without being cut in chunks.
const FRAME_BYTES_MAX: usize = 96 * 1024;

/// Bytes that may be queued beside what must not be lost.
const OUTBOUND_BYTES_MAX: usize = 128 * 1024;

/// The memory that queued frames may take: what the configuration allows, and the reserve.
const QUEUED_BYTES_MAX: usize = OUTBOUND_BYTES_MAX + odeon_wire::CONTROL_RESERVE_BYTES + FRAME_BYTES_MAX;

fn id(name: &str) -> ServerId {
    name.parse().expect("a server id")
}

fn config(name: &str) -> Config {
    let mut config = Config::new(id(name), Epoch(1));
    config.frame_bytes_max = FRAME_BYTES_MAX;
    config.outbound_bytes_max = OUTBOUND_BYTES_MAX;
    (config.asks_max, config.monitors_max, config.flows_max) = (8, 8, 2);
    config.windows.flow_messages = 4;
    config
}

/// One side, what it is owed, and what its peer has asked of it.
#[derive(Debug)]
struct End {
    session: Session,
    asks: BTreeSet<u64>,
    monitors: BTreeSet<u64>,
    to_answer: Vec<u64>,
    /// The last message of each flow.
    flows: BTreeMap<u32, u64>,
    to_take: Vec<(u32, u64)>,
    watched: Vec<u64>,
    /// Types that came with a fingerprint.
    to_agree: Vec<u32>,
    /// Actors for which a large message waits for room.
    larges: Vec<ActorId>,
    is_closed: bool,
}

impl End {
    const fn new(session: Session) -> Self {
        Self {
            session,
            asks: BTreeSet::new(),
            monitors: BTreeSet::new(),
            to_answer: Vec::new(),
            flows: BTreeMap::new(),
            to_take: Vec::new(),
            watched: Vec::new(),
            to_agree: Vec::new(),
            larges: Vec::new(),
            is_closed: false,
        }
    }

    /// Takes out what happened, does the driver's part of the handshake, and keeps the books.
    fn drain(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.is_closed, "{event:?} after the last event");
            match event {
                Event::NeedProof { side, transcript } => {
                    let seen = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
                    self.session.provide_proof(odeon_auth::prove(&cookie(), auth(side), &seen).0);
                }
                Event::Verify { side, transcript, mac } => {
                    let seen = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
                    let is_right = odeon_auth::verify(&cookie(), auth(side), &seen, &Proof(mac));
                    self.session.verified(is_right);
                }
                Event::Defined { type_id, fingerprint, .. } => {
                    self.to_agree.extend(fingerprint.map(|_| type_id));
                }
                Event::Opened { flow, .. } => {
                    self.flows.insert(flow, 0);
                }
                Event::Message(arrival) => {
                    self.to_answer.extend(arrival.ask_id);
                    let cost = arrival.cost();
                    let last = self.flows.insert(arrival.flow, arrival.seq);
                    assert_eq!(
                        last.map(|last| last + 1),
                        Some(arrival.seq),
                        "a gap in flow {}",
                        arrival.flow
                    );
                    self.to_take.push((arrival.flow, cost));
                }
                Event::Skipped { flow, cost } => {
                    *self.flows.entry(flow).or_default() += 1;
                    self.to_take.push((flow, cost));
                }
                Event::Reply { ask_id, .. } => {
                    assert!(self.asks.remove(&ask_id), "an answer nobody waits for")
                }
                Event::Monitor { monitor_id, .. } => self.watched.push(monitor_id),
                Event::Down { monitor_id, .. } | Event::MonitorLost { monitor_id, .. } => {
                    assert!(self.monitors.remove(&monitor_id), "a notice nobody waits for");
                }
                Event::Closed(_) => self.is_closed = true,
                _ => {}
            }
        }
        assert!(self.session.queued_bytes() <= QUEUED_BYTES_MAX, "too much is queued");
    }

    fn take(&mut self) -> Vec<u8> {
        self.drain();
        let mut bytes = Vec::new();
        self.session.poll_transmit(&mut bytes, TRANSMIT_BYTES);
        bytes
    }

    fn give(&mut self, bytes: &[u8], now: Instant) {
        self.session.handle_bytes(bytes, now);
        self.drain();
    }

    /// The connection is lost: everybody who waited has been told, once.
    fn end(&mut self) {
        self.session.handle_lost("the end");
        self.drain();
        assert!(self.is_closed, "a lost link is over");
        assert!(self.asks.is_empty(), "asks {:?} were never told", self.asks);
        assert!(self.monitors.is_empty(), "monitors {:?} were never told", self.monitors);
    }
}

fn cookie() -> Cookie {
    Cookie::from_bytes([7; 32])
}

const fn auth(side: Side) -> odeon_auth::Side {
    match side {
        Side::Dialler => odeon_auth::Side::Dialler,
        Side::Listener => odeon_auth::Side::Listener,
    }
}

/// The bytes are what a stranger sends to either side: it is never accepted, whatever it says. They are given as they
/// are, and then as frames, each behind its length in two bytes, after an honest hello or without one.
pub(crate) fn handshake(bytes: &[u8]) {
    let (one, other) = bytes.split_at(bytes.len() / 2);
    stranger(&[one, other]);
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (frame, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        rest = after;
        frames.push(framed(frame));
    }
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    stranger(&frames);
    let mut honest = End::new(Session::dial(config("a@/"), id("b@/"), [3; 32], Instant::ZERO));
    let mut after_hello = vec![honest.take()];
    // The listener's is what an honest dialler hears first.
    let mut listener = End::new(Session::listen(config("b@/"), [4; 32], Instant::ZERO));
    listener.give(&after_hello[0], Instant::ZERO);
    after_hello.push(listener.take());
    for hello in &after_hello {
        stranger(&[&[hello.as_slice()], frames.as_slice()].concat());
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).expect("an input is short").to_be_bytes(), frame].concat()
}

fn stranger(parts: &[&[u8]]) {
    let now = Instant::ZERO;
    let sessions =
        [Session::dial(config("a@/"), id("b@/"), [1; 32], now), Session::listen(config("b@/"), [2; 32], now)];
    for session in sessions {
        let mut end = End::new(session);
        for part in parts {
            end.give(part, now);
            assert!(!end.session.is_established(), "a stranger was let in");
        }
        end.session.handle_timeout(now + Duration::from_secs(60));
        end.drain();
        assert!(end.is_closed, "a handshake does not last for ever");
    }
}

/// What is done with the next bytes that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    None,
    Flip(u8, u8),
    Cut(u8),
    Twice,
    Lose,
}

/// Steps from this one on are frames of nobody; the bytes of one follow.
const FORGED: u8 = 120;

/// Two sides and the steps of a script, of two bytes each.
struct Link {
    ends: [End; 2],
    harms: [Harm; 2],
    now: Instant,
}

/// The bytes are a script: what the two sides say, what happens to it on the way, and frames that a side hears although
/// nobody honest has said them. Whatever that is, everybody who waits for something is told once, and the end is the
/// last that is heard.
pub(crate) fn session(mut script: &[u8]) {
    let now = Instant::ZERO;
    let ends = [
        End::new(Session::dial(config("a@/"), id("b@/"), [1; 32], now)),
        End::new(Session::listen(config("b@/"), [2; 32], now)),
    ];
    let mut link = Link { ends, harms: [Harm::None; 2], now };
    link.exchange();
    while let Some(([what, how], rest)) = script.split_first_chunk::<2>() {
        script = rest;
        if what >> 1 >= FORGED {
            let (frame, rest) = script.split_at(usize::from(*how).min(script.len()));
            script = rest;
            link.ends[usize::from(what & 1)].give(&framed(frame), link.now);
        } else {
            link.step(*what, *how);
        }
        link.exchange();
    }
    for end in &mut link.ends {
        end.end();
    }
}

impl Link {
    fn step(&mut self, what: u8, how: u8) {
        let side = usize::from(what & 1);
        let end = &mut self.ends[side];
        match what >> 1 {
            0..=15 => said(how, self.now, |parcel| _ = end.session.tell(parcel, self.now)),
            16..=31 => said(how, self.now, |parcel| end.asks.extend(end.session.ask(parcel, self.now))),
            32..=47 => {
                if let Some(ask) = end.to_answer.pop() {
                    match how % 4 {
                        0 => end.session.no_reply(ask),
                        1 => end.session.dead(ask, ExitReason::Normal),
                        2 => {
                            end.session
                                .refuse_ask(ask, Refusal::new(RefusalCode::Internal, "as the script says"));
                        }
                        _ => _ = end.session.reply(ask, Encoding::Cbor, &vec![how; usize::from(how)]),
                    }
                }
            }
            48..=55 => {
                let actor = "greeter".parse().expect("an actor id");
                end.monitors.extend(end.session.monitor(actor));
            }
            56..=63 => {
                if let Some(monitor) = end.watched.pop() {
                    end.session.down(monitor, ExitReason::Killed, None);
                }
            }
            64..=71 => {
                if let Some(ask) = end.asks.pop_first() {
                    end.session.cancel(ask);
                }
            }
            72..=79 => {
                if let Some(monitor) = end.monitors.pop_first() {
                    end.session.demonitor(monitor);
                }
            }
            80..=87 => {
                self.now = self.now + Duration::from_millis(u64::from(how) * 40);
                for end in &mut self.ends {
                    end.session.handle_timeout(self.now);
                }
            }
            88..=91 => end.give(&[how], self.now),
            92..=95 => {
                for (flow, cost) in end.to_take.drain(..) {
                    end.session.taken(flow, 1, cost, self.now);
                }
            }
            96..=103 => self.harms[side] = Harm::Cut(how),
            104..=107 => self.harms[side] = Harm::Twice,
            108..=111 => self.harms[side] = Harm::Lose,
            112 => end.session.close("as the script says"),
            113 => end.session.refuse(RefuseCode::Busy, "as the script says"),
            114 => end.to_agree.drain(..).for_each(|type_id| end.session.agree(type_id)),
            115 => end.session.refuse_tell(Refusal::new(RefusalCode::Internal, "as the script says")),
            116 => {
                let actor = ActorId::Number(u64::from(how % 3));
                if end.session.await_large(&actor, FRAME_BYTES_MAX) {
                    end.larges.push(actor);
                }
            }
            117 => {
                if let Some(actor) = end.larges.pop() {
                    end.session.large_done(&actor);
                }
            }
            _ => self.harms[side] = Harm::Flip(what, how),
        }
    }

    /// Until nothing is under way any more, or enough was.
    fn exchange(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_quiet = true;
            for side in [0, 1] {
                let mut bytes = self.ends[side].take();
                if bytes.is_empty() {
                    continue;
                }
                is_quiet = false;
                match std::mem::replace(&mut self.harms[side], Harm::None) {
                    Harm::None => {}
                    Harm::Flip(at, by) => {
                        let at = usize::from(at) * 16 + usize::from(by >> 4);
                        let at = at % bytes.len();
                        bytes[at] ^= by | 1;
                    }
                    Harm::Cut(after) => bytes.truncate(usize::from(after)),
                    Harm::Twice => bytes.extend_from_within(..),
                    Harm::Lose => bytes.clear(),
                }
                self.ends[1 - side].give(&bytes, self.now);
            }
            if is_quiet {
                return;
            }
        }
    }
}

/// Says something that depends on one byte.
fn said(how: u8, now: Instant, say: impl FnOnce(&Parcel<'_>)) {
    let payload = vec![how; usize::from(how) * if how > 250 { 320 } else { 1 }];
    let to = ActorId::Number(u64::from(how % 3));
    let mark = format!("fuzz-{}/1", char::from(b'a' + how % 16));
    say(&Parcel {
        to: &to,
        from: u64::from(how >> 6),
        mark: &mark,
        fingerprint: how.is_multiple_of(5).then_some(u64::from(how)),
        encoding: [Encoding::Cbor, Encoding::Json, Encoding::Compact][usize::from(how % 7 % 3)],
        expires_at: how.is_multiple_of(4).then(|| now + Duration::from_millis(u64::from(how))),
        nonce: u64::from(how),
        in_reply_to: (how > 200).then_some(u64::from(how)),
        payload: &payload,
    });
}
