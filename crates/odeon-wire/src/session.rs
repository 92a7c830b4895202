//! One side of one link.
//!
//! Owns all state of the link: the handshake, the bytes under way, the flows and their credit, the type tables, the
//! open asks and monitors.
//! Invariants: nothing but handshake frames is looked at before both sides have proven themselves; nothing goes
//! to the peer after the link is closed but what was queued; [`Event::Closed`] is the last event.

use std::collections::VecDeque;
use std::time::Duration;

use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;
use odeon_core::{Instant, ServerId};

use crate::bugs::bug;
use crate::config::Config;
use crate::event::{CloseReason, Event, Side};
use crate::flows_in::FlowsIn;
use crate::flows_out::FlowsOut;
use crate::frame::{Frame, RefuseCode};
use crate::framing::{FrameReader, Mask};
use crate::handshake::{Handshake, Outputs};
use crate::ledger::Ledger;
use crate::limits::{BYE_IDLE, FEATURE_COMPACT, HELD_BYTES_MAX};
use crate::outbox::Outbox;
use crate::quick;
use crate::text::printable;
use crate::types::{TypesIn, TypesOut};

/// Where the link stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The peer is not to be trusted yet.
    Handshake(Box<Handshake>),
    /// Messages flow.
    Established,
    /// It is over.
    Closed,
}

/// One side of a link, as a state machine.
///
/// Put in: [`handle_bytes`](Self::handle_bytes), [`handle_timeout`](Self::handle_timeout),
/// [`handle_lost`](Self::handle_lost), and what this side wants to say. After any of these, take out, in this
/// order:
///
/// 1. [`poll_event`](Self::poll_event) until there is none. [`Event::NeedProof`] and [`Event::Verify`] must be
///    answered before more bytes are put in.
/// 2. [`poll_transmit`](Self::poll_transmit), and write what it gives.
/// 3. [`poll_timeout`](Self::poll_timeout): call `handle_timeout` then, unless something else comes first.
///
/// After [`Event::Closed`], write what `poll_transmit` still gives, if there is time, and drop the session.
///
/// Of every [`Event::Message`], say by [`taken`](Self::taken) when it has been taken: that gives the peer credit.
/// When [`take_room`](Self::take_room) is true, those who were told to try again later may.
///
/// Memory is bounded by [`Config`], by [`TYPES_MAX`](crate::TYPES_MAX), and by the bytes of one `handle_bytes`
/// call, whose events are all queued at once.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Config,
    pub(crate) side: Side,
    pub(crate) phase: Phase,
    pub(crate) reader: FrameReader,
    /// Over the prefixes of what comes, once the peer has proven itself.
    mask_in: Mask,
    /// What came while it was the driver's turn.
    pub(crate) held: Vec<u8>,
    pub(crate) outbox: Outbox,
    pub(crate) events: VecDeque<Event>,
    pub(crate) types_out: TypesOut,
    pub(crate) types_in: TypesIn,
    pub(crate) ledger: Ledger,
    pub(crate) flows_out: FlowsOut,
    pub(crate) flows_in: FlowsIn,
    /// The frame that comes in chunks, as far as it has come, and how long it will be.
    pub(crate) partial: Vec<u8>,
    pub(crate) partial_whole: usize,
    /// Whether those who wait may try again.
    pub(crate) room_made: bool,
    /// When the peer is told what has been taken.
    pub(crate) acknowledge_at: Option<Instant>,
    /// When the link was last of use, as far as it is known; and whether it has been since then.
    pub(crate) used_at: Instant,
    pub(crate) is_touched: bool,
    /// When this side proposed to close the link, if it has.
    pub(crate) resting_since: Option<Instant>,
    pub(crate) has_compact: bool,
    /// Largest frame to send: what both sides allow.
    pub(crate) send_frame_bytes_max: usize,
    pub(crate) begun_at: Instant,
    pub(crate) received_at: Instant,
    /// When the last whole frame came. Bytes that never become one are no sign of life: they may be what follows a
    /// length that was broken on the way.
    heard_at: Instant,
    pub(crate) silence: Silence,
}

/// The pings sent since something was last received.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    first_ping_at: Option<Instant>,
    last_ping_at: Instant,
    pings: u64,
}

impl Session {
    /// The side that connects, and expects to reach `wanted`. `nonce` must be fresh and random.
    #[must_use]
    pub fn dial(config: Config, wanted: ServerId, nonce: [u8; 32], now: Instant) -> Self {
        Self::begin(config, Side::Dialler, Some(wanted), nonce, now)
    }

    /// The side that is connected to. `nonce` must be fresh and random.
    #[must_use]
    pub fn listen(config: Config, nonce: [u8; 32], now: Instant) -> Self {
        Self::begin(config, Side::Listener, None, nonce, now)
    }

    fn begin(config: Config, side: Side, wanted: Option<ServerId>, nonce: [u8; 32], now: Instant) -> Self {
        let config = config.bounded();
        let (mut outbox, mut events) = (Outbox::default(), VecDeque::new());
        let outputs = Outputs { outbox: &mut outbox, events: &mut events };
        let handshake = Handshake::begin(&config, side, wanted, nonce, outputs);
        Self {
            send_frame_bytes_max: HANDSHAKE_FRAME_BYTES_MAX,
            flows_in: FlowsIn::new(config.windows),
            config,
            side,
            phase: Phase::Handshake(Box::new(handshake)),
            reader: FrameReader::default(),
            mask_in: Mask::default(),
            held: Vec::new(),
            outbox,
            events,
            types_out: TypesOut::default(),
            types_in: TypesIn::default(),
            ledger: Ledger::default(),
            flows_out: FlowsOut::default(),
            partial: Vec::new(),
            partial_whole: 0,
            room_made: false,
            acknowledge_at: None,
            used_at: now,
            is_touched: false,
            resting_since: None,
            has_compact: false,
            begun_at: now,
            received_at: now,
            heard_at: now,
            silence: Silence::default(),
        }
    }

    /// Which end of the link this is.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Whether messages can flow.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Whether the link is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Asks of ours for which somebody waits. A link with any is not idle.
    #[must_use]
    pub const fn open_asks(&self) -> usize {
        self.ledger.waiting()
    }

    /// Monitors of ours. A link with any is not idle.
    #[must_use]
    pub fn open_monitors(&self) -> usize {
        self.ledger.monitors()
    }

    /// Answers that came after their asker had given up.
    #[must_use]
    pub const fn late_answers(&self) -> u64 {
        self.ledger.late()
    }

    /// Bytes that wait for [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Takes bytes from the peer, split in any way.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if self.is_closed() || bytes.is_empty() {
            return;
        }
        self.received_at = now;
        if bug("count-bytes-as-life") {
            (self.heard_at, self.silence.first_ping_at) = (now, None);
        }
        self.process(bytes);
    }

    /// Takes note of the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match self.phase {
            Phase::Closed => {}
            Phase::Handshake(_) => {
                let detail = format!("the handshake took longer than {:?}", self.config.handshake_timeout);
                self.send_last(&Frame::Refuse { code: RefuseCode::Protocol, detail });
                self.finish(CloseReason::HandshakeTimeout);
            }
            Phase::Established if self.dead_at().is_some_and(|at| now >= at) => {
                self.outbox.clear();
                self.finish(CloseReason::Dead);
            }
            Phase::Established if self.rested_at().is_some_and(|at| now >= at) => {
                self.break_off(&format!("it did not answer a Rest for {:?}", self.config.dead_after));
            }
            Phase::Established => {
                if self.acknowledge_at.is_some_and(|at| now >= at) {
                    self.acknowledge();
                }
                // Before the ping, which would be something to do.
                if self.idle_at().is_some_and(|at| now >= at) {
                    self.rest(now);
                }
                if now >= self.ping_at() {
                    self.ping(now);
                }
            }
        }
    }

    fn ping(&mut self, now: Instant) {
        self.silence.first_ping_at.get_or_insert(now);
        self.silence.last_ping_at = now;
        self.silence.pings += 1;
        let n = self.silence.pings;
        self.relax();
        self.send_control(&Frame::Ping { n });
    }

    /// Gives back the memory that only a busy link needs.
    fn relax(&mut self) {
        self.outbox.relax();
        self.ledger.relax();
        self.events.shrink_to(0);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do. Changes whenever something is put in.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => None,
            Phase::Handshake(_) => Some(self.begun_at + self.config.handshake_timeout),
            Phase::Established => {
                let others = [self.dead_at(), self.rested_at(), self.acknowledge_at, self.idle_at()];
                Some(others.into_iter().flatten().fold(self.ping_at(), Instant::min))
            }
        }
    }

    fn ping_at(&self) -> Instant {
        self.heard_at.max(self.silence.last_ping_at) + self.config.heartbeat
    }

    /// When the link is given up. Counted from the first unanswered ping, so that a process that slept itself
    /// asks once before it blames the peer.
    fn dead_at(&self) -> Option<Instant> {
        let grace: Duration = self.config.dead_after.saturating_sub(self.config.heartbeat);
        self.silence.first_ping_at.filter(|_| !bug("believe-in-silence")).map(|first| first + grace)
    }

    /// Appends at most `max` bytes for the peer to `out`, and says whether there were any. Many frames go into
    /// one piece, and a frame may be split over two.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>, max: usize) -> bool {
        self.outbox.take(out, max)
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if matches!(event, Some(Event::Reply { .. })) {
            self.ledger.told();
        }
        event
    }

    /// The answer to [`Event::NeedProof`]; does nothing when it is not wanted (any more).
    pub fn provide_proof(&mut self, mac: [u8; 32]) {
        if let Phase::Handshake(handshake) = &mut self.phase {
            let outputs = Outputs { outbox: &mut self.outbox, events: &mut self.events };
            handshake.provide_proof(mac, outputs);
            self.go_on();
        }
    }

    /// The answer to [`Event::Verify`]: whether the peer's proof is right; does nothing when it is not wanted
    /// (any more).
    pub fn verified(&mut self, is_right: bool) {
        if let Phase::Handshake(handshake) = &mut self.phase {
            let outputs = Outputs { outbox: &mut self.outbox, events: &mut self.events };
            match handshake.verified(is_right, outputs) {
                Ok(()) => self.go_on(),
                Err(rejection) => self.reject(rejection),
            }
        }
    }

    /// After the driver's turn: what was held is looked at.
    fn go_on(&mut self) {
        self.accept_if_done();
        let held = std::mem::take(&mut self.held);
        self.process(&held);
    }

    fn process(&mut self, mut input: &[u8]) {
        // Taken out for the loop, so that a frame can stay in it while the session changes.
        let mut reader = std::mem::take(&mut self.reader);
        loop {
            if self.is_drivers_turn() {
                self.hold(input);
                break;
            }
            let max = match self.phase {
                Phase::Closed => break,
                Phase::Handshake(_) => HANDSHAKE_FRAME_BYTES_MAX,
                Phase::Established => self.config.frame_bytes_max,
            };
            match reader.next(&mut input, max, self.mask_in) {
                Ok(None) => break,
                Ok(Some(bytes)) => match quick::decode(bytes).map_or_else(|| self.read(bytes), Ok) {
                    Ok(frame) => {
                        self.heard_at = self.received_at;
                        self.silence.first_ping_at = None;
                        self.handle_frame(frame, bytes);
                    }
                    Err(fault) => self.break_off(&fault),
                },
                Err(oversize) => self.break_off(&format!("it sent {oversize}")),
            }
        }
        if !self.is_closed() {
            self.reader = reader;
        }
    }

    /// Reads any frame; of one that has no place after the handshake, no more than its number.
    fn read<'b>(&self, bytes: &'b [u8]) -> Result<Frame<'b>, String> {
        match Frame::of_handshake(bytes).filter(|_| self.is_established()) {
            Some(name) => Err(format!("it sent a {name} after the handshake")),
            None => Frame::decode(bytes).map_err(|error| error.to_string()),
        }
    }

    fn is_drivers_turn(&self) -> bool {
        matches!(&self.phase, Phase::Handshake(handshake) if handshake.is_drivers_turn())
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.held.len() + bytes.len() > HELD_BYTES_MAX {
            self.break_off("it sent more than a handshake before it was accepted");
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    fn handle_frame(&mut self, frame: Frame<'_>, bytes: &[u8]) {
        match frame {
            Frame::Refuse { code, detail } => {
                self.outbox.clear();
                let detail = printable(&detail);
                self.finish(CloseReason::Refused { code, detail });
            }
            Frame::Bye { reason } => {
                self.outbox.clear();
                let is_agreed = self.resting_since.is_some() && reason == BYE_IDLE;
                self.finish(if is_agreed { CloseReason::Idle } else { CloseReason::Bye(printable(&reason)) });
            }
            frame => match &mut self.phase {
                Phase::Closed => {}
                Phase::Handshake(handshake) => {
                    let outputs = Outputs { outbox: &mut self.outbox, events: &mut self.events };
                    match handshake.handle(frame, bytes, outputs) {
                        Ok(()) => {
                            self.mask_in = handshake.mask_in();
                            self.accept_if_done();
                        }
                        Err(rejection) => self.reject(rejection),
                    }
                }
                Phase::Established => {
                    let outcome = match frame {
                        Frame::Chunk { left, part } => self.take_chunk(left, part),
                        frame => self.handle_session_frame(frame),
                    };
                    if let Err(fault) = outcome {
                        self.break_off(&fault);
                    }
                }
            },
        }
    }

    fn accept_if_done(&mut self) {
        if let Phase::Handshake(handshake) = &mut self.phase
            && let Some(peer) = handshake.accepted()
        {
            self.phase = Phase::Established;
            self.flows_out.begin(peer.windows);
            self.has_compact = peer.features.iter().any(|feature| feature == FEATURE_COMPACT);
            self.used_at = self.received_at;
            self.send_frame_bytes_max = self.config.frame_bytes_max.min(peer.frame_bytes_max);
            self.events.push_back(Event::Accepted {
                peer: peer.server,
                epoch: peer.epoch,
                version: peer.version,
                features: peer.features,
            });
        }
    }
}
