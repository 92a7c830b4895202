//! The virtual wire: two sessions, their drivers' part of the handshake, and bytes that take time to arrive and
//! come in pieces of any size.

use std::collections::VecDeque;
use std::time::Duration;

use odeon_auth::{Cookie, Proof};
use odeon_core::{Encoding, Epoch, Instant, ServerId};
use odeon_wire::{CloseReason, Config, Event, Frame, Parcel, Session, Side};

/// Steps after which a test is stuck rather than slow.
const STEPS_MAX: usize = 1_000_000;

pub(crate) fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

pub(crate) fn config(server: &str) -> Config {
    Config::new(id(server), Epoch(1))
}

pub(crate) fn parcel(mark: &str, payload: &[u8]) -> Parcel {
    Parcel {
        fingerprint: None,
        to: "greeter".parse().expect("an actor id"),
        from: 9,
        mark: mark.parse().expect("a mark"),
        encoding: Encoding::Cbor,
        expires_at: None,
        payload: payload.to_vec(),
    }
}

/// A frame as it stands on the wire.
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
}

impl End {
    pub(crate) fn new(session: Session, cookie: [u8; 32]) -> Self {
        Self { session, cookie: Cookie::from_bytes(cookie), inbound: VecDeque::new(), events: Vec::new() }
    }

    /// Polls all events, and does what a driver must about the proofs.
    pub(crate) fn drain(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::NeedProof { side, transcript } => {
                    assert_eq!(side, self.session.side());
                    let seen = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
                    self.session.provide_proof(odeon_auth::prove(&self.cookie, auth(side), &seen).0);
                }
                Event::Verify { side, transcript, mac } => {
                    assert_eq!(side, self.session.side().peer());
                    let seen = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
                    let right = odeon_auth::verify(&self.cookie, auth(side), &seen, &Proof(mac));
                    self.session.verified(right);
                }
                event => self.events.push(event),
            }
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
                end.session.handle_bytes(&piece, self.now);
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
