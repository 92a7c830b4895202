//! The virtual wire: two sessions, their drivers' part of the handshake, and bytes that take time to arrive and
//! come in pieces of any size.

use std::collections::VecDeque;
use std::time::Duration;

use odeon_auth::{Cookie, Proof};
use odeon_core::{ActorId, ExitReason, Mark, Refusal};
use odeon_core::{Encoding, Epoch, Instant, ServerId};
use odeon_wire::{Arrival, AskFailure, CloseReason, Config, Frame, Parcel, SendError, Session, Side};

/// Steps after which a test is stuck rather than slow.
const STEPS_MAX: usize = 1_000_000;

pub(crate) fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

pub(crate) fn config(server: &str) -> Config {
    Config::new(id(server), Epoch(1))
}

pub(crate) fn parcel(mark: &str, payload: &[u8]) -> Letter {
    Letter {
        to: "greeter".parse().expect("an actor id"),
        from: 9,
        mark: mark.parse().expect("a mark"),
        encoding: Encoding::Cbor,
        expires_at: None,
        nonce: 0,
        in_reply_to: None,
        payload: payload.to_vec(),
    }
}

/// A message, as both ends see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) to: ActorId,
    pub(crate) from: u64,
    pub(crate) mark: Mark,
    pub(crate) encoding: Encoding,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) nonce: u64,
    pub(crate) in_reply_to: Option<u64>,
    pub(crate) payload: Vec<u8>,
}

impl Letter {
    /// To another actor.
    pub(crate) fn to(mut self, to: &str) -> Self {
        self.to = to.parse().expect("an actor id");
        self
    }

    pub(crate) fn parcel(&self) -> Parcel<'_> {
        Parcel {
            to: &self.to,
            from: self.from,
            mark: self.mark.as_str(),
            fingerprint: None,
            encoding: self.encoding,
            expires_at: self.expires_at,
            nonce: self.nonce,
            in_reply_to: self.in_reply_to,
            payload: &self.payload,
        }
    }
}

/// What a driver saw, with the tables of flows and types looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    PeerHello { server: ServerId, epoch: Epoch },
    Accepted { peer: ServerId, epoch: Epoch, version: u16, features: Vec<String> },
    Tell(Letter),
    Ask { ask_id: u64, parcel: Letter },
    Reply { ask_id: u64, outcome: Result<(Encoding, Vec<u8>), AskFailure> },
    Cancelled { ask_id: u64 },
    Monitor { monitor_id: u64, actor: ActorId },
    Demonitor { monitor_id: u64 },
    Down { monitor_id: u64, reason: ExitReason },
    MaybeLost { to: ActorId, from: u64, mark: Mark, count: u64 },
    Refused { refusal: Refusal },
    Closed(CloseReason),
}

/// The mask of what comes after a proof.
fn mask(proof: &[u8; 32]) -> u32 {
    u32::from_be_bytes(*proof.first_chunk().expect("more than 4 bytes"))
}

/// A frame of the handshake as it stands on the wire.
pub(crate) fn framed(frame: &Frame<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    frame.encode(&mut body);
    let mut bytes = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
    bytes.extend_from_slice(&body);
    bytes
}

/// One session with its driver.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) session: Session,
    cookie: Cookie,
    /// Bytes on their way here, and when they arrive.
    inbound: VecDeque<(Instant, Vec<u8>)>,
    /// What the driver saw, without its own part of the handshake.
    pub(crate) events: Vec<Event>,
    flows: Vec<ActorId>,
    /// What lies over the lengths of the frames that come, and of those that go: the first bytes of the proofs.
    masks: [u32; 2],
    /// The types that the peer has defined, with their fingerprints.
    pub(crate) types: Vec<(Mark, Option<u64>)>,
    /// Messages that came while nothing was taken, by flow and cost.
    pub(crate) untaken: VecDeque<(u32, u64)>,
    /// Whether a message is taken as soon as it has come.
    pub(crate) is_taking: bool,
    now: Instant,
}

impl End {
    pub(crate) fn new(session: Session, cookie: [u8; 32]) -> Self {
        Self {
            session,
            cookie: Cookie::from_bytes(cookie),
            inbound: VecDeque::new(),
            events: Vec::new(),
            flows: Vec::new(),
            masks: [0; 2],
            types: Vec::new(),
            untaken: VecDeque::new(),
            is_taking: true,
            now: Instant::ZERO,
        }
    }

    pub(crate) fn tell(&mut self, letter: &Letter, now: Instant) -> Result<(), SendError> {
        self.session.tell(&letter.parcel(), now)
    }

    pub(crate) fn ask(&mut self, letter: &Letter, now: Instant) -> Result<u64, SendError> {
        self.session.ask(&letter.parcel(), now)
    }

    /// Takes the oldest messages that wait, `many` at most, of the flows for which `is_wanted`.
    pub(crate) fn take(&mut self, many: usize, is_wanted: impl Fn(u32) -> bool) {
        let (mut taken, now) = (0, self.now);
        let session = &mut self.session;
        self.untaken.retain(|(flow, cost)| {
            let takes = taken < many && is_wanted(*flow);
            if takes {
                taken += 1;
                session.taken(*flow, 1, *cost, now);
            }
            !takes
        });
    }

    /// Gives the session bytes that a test made.
    pub(crate) fn put(&mut self, bytes: &[u8], now: Instant) {
        self.now = now;
        self.session.handle_bytes(bytes, now);
    }

    /// The prefix of a frame of so many bytes that comes to this end.
    pub(crate) fn prefix(&self, length: usize) -> [u8; 4] {
        (u32::try_from(length).expect("short") ^ self.masks[0]).to_be_bytes()
    }

    /// Gives the session a frame that a test made.
    pub(crate) fn put_frame(&mut self, frame: &Frame<'_>, now: Instant) {
        let mut body = Vec::new();
        frame.encode(&mut body);
        self.put_body(&body, now);
    }

    /// The same with a frame that may be none.
    pub(crate) fn put_body(&mut self, body: &[u8], now: Instant) {
        self.put(&self.prefix(body.len()), now);
        self.put(body, now);
    }

    /// All that waits to be sent, frame by frame.
    pub(crate) fn transmitted(&mut self) -> Vec<Vec<u8>> {
        let (bytes, mask) = (self.transmits(), self.masks[1]);
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*prefix) ^ mask).expect("small");
            frames.push(after[..length].to_vec());
            rest = &after[length..];
        }
        frames
    }

    fn arrived(&mut self, arrival: Arrival) -> Event {
        self.untaken.push_back((arrival.flow, arrival.cost()));
        let Arrival {
            flow, ask_id, from, type_id, encoding, expires_at, nonce, in_reply_to, payload, ..
        } = arrival;
        let to = self.flows[usize::try_from(flow).expect("small")].clone();
        let mark = self.types[usize::try_from(type_id).expect("small")].0.clone();
        let parcel = Letter { to, from, mark, encoding, expires_at, nonce, in_reply_to, payload };
        match ask_id {
            Some(ask_id) => Event::Ask { ask_id, parcel },
            None => Event::Tell(parcel),
        }
    }

    /// Polls all events, and does what a driver must about the proofs.
    pub(crate) fn drain(&mut self) {
        while let Some(event) = self.session.poll_event() {
            use odeon_wire::Event as Wire;
            let seen = match event {
                Wire::NeedProof { side, transcript } => {
                    assert_eq!(side, self.session.side());
                    let seen = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
                    let proof = odeon_auth::prove(&self.cookie, auth(side), &seen).0;
                    self.masks[1] = mask(&proof);
                    self.session.provide_proof(proof);
                    continue;
                }
                Wire::Verify { side, transcript, mac } => {
                    assert_eq!(side, self.session.side().peer());
                    let seen = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
                    let right = odeon_auth::verify(&self.cookie, auth(side), &seen, &Proof(mac));
                    self.masks[0] = mask(&mac);
                    self.session.verified(right);
                    continue;
                }
                Wire::Defined { type_id, mark, fingerprint } => {
                    assert_eq!(usize::try_from(type_id), Ok(self.types.len()));
                    self.types.push((mark, fingerprint));
                    continue;
                }
                Wire::Opened { flow, to } => {
                    let flow = usize::try_from(flow).expect("small");
                    self.flows.resize(self.flows.len().max(flow + 1), ActorId::SERVER);
                    self.flows[flow] = to;
                    continue;
                }
                Wire::FlowEnded { .. } => continue,
                Wire::Skipped { flow, cost } => {
                    self.untaken.push_back((flow, cost));
                    continue;
                }
                Wire::Message(arrival) => self.arrived(arrival),
                Wire::PeerHello { server, epoch } => Event::PeerHello { server, epoch },
                Wire::Accepted { peer, epoch, version, features } => {
                    Event::Accepted { peer, epoch, version, features }
                }
                Wire::Reply { ask_id, outcome } => Event::Reply { ask_id, outcome },
                Wire::Cancelled { ask_id } => Event::Cancelled { ask_id },
                Wire::Monitor { monitor_id, actor } => Event::Monitor { monitor_id, actor },
                Wire::Demonitor { monitor_id } => Event::Demonitor { monitor_id },
                Wire::Down { monitor_id, reason, .. } => Event::Down { monitor_id, reason },
                Wire::MonitorLost { monitor_id, why } => {
                    Event::Down { monitor_id, reason: ExitReason::LinkLost(why.to_string()) }
                }
                Wire::MaybeLost { to, from, mark, count } => Event::MaybeLost { to, from, mark, count },
                Wire::Refused { refusal } => Event::Refused { refusal },
                Wire::Closed(reason) => Event::Closed(reason),
                other => panic!("{other:?}"),
            };
            self.events.push(seen);
        }
        if self.is_taking {
            self.take(usize::MAX, |_| true);
        }
    }

    /// The events since the last call.
    pub(crate) fn news(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Why the session is over, if it is; nothing may come after.
    pub(crate) fn closed(&self) -> Option<&CloseReason> {
        let at = self.events.iter().position(|event| matches!(event, Event::Closed(_)))?;
        assert_eq!(at, self.events.len() - 1, "an event after the last");
        match &self.events[at] {
            Event::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// All that waits to be sent, after the events, in pieces of at most `max` bytes.
    fn pieces(&mut self, max: usize) -> Vec<Vec<u8>> {
        self.drain();
        let mut pieces = Vec::new();
        loop {
            let mut piece = Vec::new();
            if !self.session.poll_transmit(&mut piece, max) {
                return pieces;
            }
            assert!(piece.len() <= max);
            pieces.push(piece);
        }
    }

    /// All that waits to be sent.
    pub(crate) fn transmits(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.session.poll_transmit(&mut bytes, usize::MAX) {}
        bytes
    }
}

fn auth(side: Side) -> odeon_auth::Side {
    match side {
        Side::Dialler => odeon_auth::Side::Dialler,
        Side::Listener => odeon_auth::Side::Listener,
    }
}

/// Two ends and the wire between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) dialler: End,
    pub(crate) listener: End,
    pub(crate) now: Instant,
    pub(crate) latency: Duration,
    /// Bytes to a piece.
    pub(crate) piece: usize,
    /// While set, what is sent is lost.
    pub(crate) is_cut: bool,
}

impl Pair {
    pub(crate) fn new(dialler: Config, wanted: &str, listener: Config) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            dialler: End::new(Session::dial(dialler, id(wanted), [1; 32], now), [7; 32]),
            listener: End::new(Session::listen(listener, [2; 32], now), [7; 32]),
            now,
            latency: Duration::from_millis(10),
            piece: 1_024,
            is_cut: false,
        }
    }

    /// The ends of a younger connection, whose nonces are others.
    pub(crate) fn younger(nonce: u8) -> Self {
        let mut pair = Self::default_ends();
        pair.dialler = End::new(Session::dial(config("a@/"), id("b@/"), [nonce; 32], pair.now), [7; 32]);
        pair.establish()
    }

    /// A dialler `a@/` and a listener `b@/` with default settings.
    pub(crate) fn default_ends() -> Self {
        Self::new(config("a@/"), "b@/", config("b@/"))
    }

    /// The same, past the handshake.
    pub(crate) fn established() -> Self {
        Self::default_ends().establish()
    }

    pub(crate) fn establish(mut self) -> Self {
        self.drive();
        assert!(self.dialler.session.is_established() && self.listener.session.is_established());
        self.dialler.news();
        self.listener.news();
        self
    }

    /// Gives the wire what the ends have to say. Returns whether there was anything.
    fn transmit(&mut self) -> bool {
        let at = self.now + self.latency;
        let said = self.dialler.pieces(self.piece);
        let answered = self.listener.pieces(self.piece);
        let any = !(said.is_empty() && answered.is_empty());
        if !self.is_cut {
            self.listener.inbound.extend(said.into_iter().map(|piece| (at, piece)));
            self.dialler.inbound.extend(answered.into_iter().map(|piece| (at, piece)));
        }
        any
    }

    /// Lets time pass until something arrives, and lets it arrive. Returns whether anything did.
    fn deliver(&mut self) -> bool {
        let heads = [&self.dialler, &self.listener].map(|end| end.inbound.front().map(|(at, _)| *at));
        let Some(at) = heads.into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(at);
        for end in [&mut self.dialler, &mut self.listener] {
            while let Some((_, piece)) = end.inbound.pop_front_if(|(at, _)| *at <= self.now) {
                end.put(&piece, self.now);
                end.drain();
            }
        }
        true
    }

    /// Until neither end has anything to say and nothing is on its way. Timeouts do not fire.
    pub(crate) fn drive(&mut self) {
        for _ in 0..STEPS_MAX {
            let sent = self.transmit();
            if !self.deliver() && !sent {
                return;
            }
        }
        panic!("the ends never come to rest");
    }

    /// Lets `duration` pass, with every timeout in it.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..STEPS_MAX {
            self.drive();
            let next = [&self.dialler, &self.listener]
                .into_iter()
                .filter_map(|end| end.session.poll_timeout())
                .min();
            match next {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.dialler.session.handle_timeout(self.now);
                    self.listener.session.handle_timeout(self.now);
                }
                _ => {
                    self.now = self.now.max(end);
                    return;
                }
            }
        }
        panic!("time does not pass");
    }
}
