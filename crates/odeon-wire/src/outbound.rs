//! What this side says over an established link.

use std::time::Duration;

use odeon_core::{ActorId, Encoding, ExitReason, Instant, Mark, Refusal};

use crate::event::{Parcel, SendError};
use crate::flows_out::{Sent, Stop, Way};
use crate::frame::{Body, Frame};
use crate::limits::TYPES_MAX;
use crate::outbox::{Place, Room, Unqueued};
use crate::quick::{self, HEAD_BYTES_MAX};
use crate::session::{Phase, Session};
use crate::text::{shorten_reason, shorten_refusal};
use crate::types::TypeNumber;

impl Session {
    /// Sends a message that nobody waits for. `Ok` means that it is queued, within the credit of its flow and of the
    /// link.
    ///
    /// # Errors
    /// When it cannot be queued; nothing of it is then sent.
    pub fn tell(&mut self, parcel: &Parcel<'_>, now: Instant) -> Result<(), SendError> {
        self.send_message(parcel, None, now).map(drop)
    }

    /// Sends a message that is to be answered, and gives the id that the answer will carry. There will be
    /// exactly one [`Event::Reply`](crate::Event::Reply) with it, unless it is cancelled.
    ///
    /// # Errors
    /// When it cannot be queued; nothing of it is then sent.
    pub fn ask(&mut self, parcel: &Parcel<'_>, now: Instant) -> Result<u64, SendError> {
        let max = self.config.asks_max;
        if self.is_established() && self.ledger.places() >= max {
            return Err(SendError::TooManyAsks { max });
        }
        let ask_id = self.ledger.next_ask();
        let (flow, seq, place) = self.send_message(parcel, Some(ask_id), now)?;
        self.ledger.asked(flow, seq, place);
        Ok(ask_id)
    }

    fn send_message(
        &mut self,
        parcel: &Parcel<'_>,
        ask_id: Option<u64>,
        now: Instant,
    ) -> Result<(u32, u64, Place), SendError> {
        self.check_open()?;
        let (payload_bytes, max) = (parcel.payload.len(), self.send_frame_bytes_max);
        if payload_bytes > max {
            return Err(SendError::TooLarge { bytes: payload_bytes, max });
        }
        let type_id = self.defined(parcel)?;
        let flow = self.opened(parcel.to)?;
        self.flows_out
            .check(flow, payload_bytes)
            .map_err(|stop| SendError::NoCredit { is_flow: stop == Stop::Flow })?;
        let Some(open) = self.flows_out.get_mut(flow) else {
            return Err(SendError::Waiting);
        };
        let (seq, behind) = (open.sent + 1, open.behind);
        let body = Body {
            flow,
            seq,
            from: parcel.from,
            type_id,
            encoding: parcel.encoding,
            expires_in_ms: parcel.expires_at.map(|at| millis_up(at - now)),
            payload: parcel.payload,
            nonce: (parcel.nonce != 0).then_some(parcel.nonce),
            in_reply_to: parcel.in_reply_to,
        };
        let room = self.room();
        let queued = self.outbox.push(behind, payload_bytes + HEAD_BYTES_MAX, room, |out| match ask_id {
            Some(ask_id) => quick::ask(ask_id, &body, out),
            None => quick::tell(&body, out),
        });
        let place = queued.map_err(|unqueued| self.unsent(unqueued))?;
        let behind = match place {
            Place::Large(number) => Some(number),
            Place::Among(_) => None,
        };
        let message = Sent { from: parcel.from, type_id, is_ask: ask_id.is_some() };
        self.flows_out.sent(flow, payload_bytes, message, behind);
        self.used_at = now;
        Ok((flow, seq, place))
    }

    /// Notes that a sender waits until there is credit for a message with a payload of so many bytes, and says whether
    /// that makes a difference: one that takes more than half of a flow's window is not overtaken for ever by
    /// smaller ones of other senders, which from now on wait behind it. If so, [`large_done`](Self::large_done)
    /// must follow, once.
    pub fn await_large(&mut self, to: &ActorId, payload_bytes: usize) -> bool {
        self.is_established() && self.flows_out.await_large(to, payload_bytes)
    }

    /// Notes that the message has gone, or that its sender has given up.
    pub fn large_done(&mut self, to: &ActorId) {
        self.flows_out.large_done(to);
        self.room_made = true;
    }

    /// Gives up an ask: its answer will be dropped. Does nothing when it has been answered.
    pub fn cancel(&mut self, ask_id: u64) {
        if let Some(place) = self.ledger.cancel(ask_id) {
            self.send_after(place, &Frame::Cancel { ask_id });
        }
    }

    /// Answers an ask of the peer's. Does nothing when it has been answered or cancelled.
    ///
    /// # Errors
    /// When the reply cannot be queued. The ask is still open: try again, or answer with
    /// [`refuse_ask`](Self::refuse_ask), which always has room.
    pub fn reply(&mut self, ask_id: u64, encoding: Encoding, payload: &[u8]) -> Result<(), SendError> {
        if self.is_established() && !self.ledger.is_owed(ask_id) {
            return Ok(());
        }
        match self.phase {
            Phase::Closed => return Err(SendError::Closed),
            Phase::Handshake(_) => return Err(SendError::NotEstablished),
            Phase::Established => {}
        }
        let (room, hint) = (self.room(), payload.len() + HEAD_BYTES_MAX);
        let queued = self.outbox.push(None, hint, room, |out| quick::reply(ask_id, encoding, payload, out));
        queued.map_err(|unqueued| self.unsent(unqueued))?;
        self.is_touched = true;
        self.ledger.pay(ask_id);
        Ok(())
    }

    /// Answers an ask of the peer's with a refusal. Does nothing when it has been answered or cancelled.
    pub fn refuse_ask(&mut self, ask_id: u64, refusal: Refusal) {
        if self.ledger.pay(ask_id) {
            self.send_in_order(&Frame::Refused { ask_id: Some(ask_id), refusal: shorten_refusal(refusal) });
        }
    }

    /// Answers an ask of the peer's: the actor is dead. Does nothing when it has been answered or cancelled.
    pub fn dead(&mut self, ask_id: u64, reason: ExitReason) {
        if self.ledger.pay(ask_id) {
            let reason = shorten_reason(reason);
            self.send_in_order(&Frame::Dead { ask_id, reason });
        }
    }

    /// Answers an ask of the peer's: there will be no reply. Does nothing when it has been answered or
    /// cancelled.
    pub fn no_reply(&mut self, ask_id: u64) {
        if self.ledger.pay(ask_id) {
            self.send_in_order(&Frame::NoReply { ask_id });
        }
    }

    /// Tells the peer that a message of its was not taken. For tells, which have no id, it is only a note.
    pub fn refuse_tell(&mut self, refusal: Refusal) {
        if self.is_established() {
            self.send_in_order(&Frame::Refused { ask_id: None, refusal: shorten_refusal(refusal) });
        }
    }

    /// Asks to be told when the peer's `actor` ends, and gives the id that the news will carry. There will be
    /// exactly one [`Event::Down`](crate::Event::Down) or
    /// [`Event::MonitorLost`](crate::Event::MonitorLost) with it, unless the monitor is taken away.
    ///
    /// # Errors
    /// When it cannot be queued; no monitor is then set.
    pub fn monitor(&mut self, actor: ActorId) -> Result<u64, SendError> {
        let max = self.config.monitors_max;
        if self.is_established() && self.ledger.monitors() >= max {
            return Err(SendError::TooManyMonitors { max });
        }
        self.check_open()?;
        let monitor_id = self.ledger.next_monitor();
        let room = self.room();
        let queued = self.outbox.push_control(&Frame::Monitor { monitor_id, actor }, room);
        queued.map_err(|unqueued| self.unsent(unqueued))?;
        self.ledger.monitored();
        Ok(monitor_id)
    }

    /// Takes a monitor away. Does nothing when it has told already.
    pub fn demonitor(&mut self, monitor_id: u64) {
        if self.ledger.demonitor(monitor_id) {
            self.send_control(&Frame::Demonitor { monitor_id });
        }
    }

    /// Tells a monitor of the peer's that the actor, of this number if it is known, has ended. Does nothing when the
    /// monitor is gone. Comes after everything that was sent before.
    pub fn down(&mut self, monitor_id: u64, reason: ExitReason, number: Option<u64>) {
        if self.ledger.tell_down(monitor_id) {
            let reason = shorten_reason(reason);
            self.is_touched = true;
            self.send_in_order(&Frame::Down { monitor_id, reason, number });
        }
    }

    /// The number of the parcel's type, which the peer is told first if it does not know it.
    fn defined(&mut self, parcel: &Parcel<'_>) -> Result<u32, SendError> {
        match self.types_out.number(parcel.mark) {
            TypeNumber::Known(type_id) => Ok(type_id),
            TypeNumber::New(type_id) => {
                let mark: Mark = parcel.mark.parse().map_err(|_| SendError::BadMark)?;
                let fingerprint = parcel.fingerprint;
                self.send(&Frame::Define { type_id, mark: mark.clone(), fingerprint })?;
                self.types_out.insert(mark, type_id);
                Ok(type_id)
            }
            TypeNumber::None => Err(SendError::TooManyTypes { max: TYPES_MAX }),
        }
    }

    /// The flow to an actor, which the peer is told of first if there is none.
    fn opened(&mut self, to: &ActorId) -> Result<u32, SendError> {
        match self.flows_out.way(to, self.config.flows_max) {
            Way::Open(flow) => Ok(flow),
            Way::New(flow) => {
                self.send(&Frame::Open { flow, to: to.clone() })?;
                self.flows_out.open(flow, to.clone());
                Ok(flow)
            }
            Way::Full(closed) => {
                for flow in closed {
                    self.send_in_order(&Frame::Close { flow });
                }
                Err(SendError::Waiting)
            }
        }
    }

    /// Whether something may be sent that the peer does not wait for.
    const fn check_open(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Closed => Err(SendError::Closed),
            Phase::Handshake(_) => Err(SendError::NotEstablished),
            Phase::Established if self.resting_since.is_some() => Err(SendError::Waiting),
            Phase::Established => Ok(()),
        }
    }

    const fn room(&self) -> Room {
        Room { frame_bytes_max: self.send_frame_bytes_max, bytes_max: self.config.outbound_bytes_max }
    }

    const fn unsent(&self, unqueued: Unqueued) -> SendError {
        match unqueued {
            Unqueued::TooLarge { bytes } => SendError::TooLarge { bytes, max: self.send_frame_bytes_max },
            Unqueued::Full => SendError::Backlogged { queued: self.outbox.bytes() },
        }
    }

    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        let room = self.room();
        let queued = self.outbox.push(None, HEAD_BYTES_MAX, room, |out| frame.encode(out));
        queued.map(drop).map_err(|unqueued| self.unsent(unqueued))
    }
}

/// Rounded up: half a millisecond left is not none.
fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_rounded_up() {
        for (nanos, millis) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(millis_up(Duration::from_nanos(nanos)), millis);
        }
        assert_eq!(millis_up(Duration::MAX), u64::MAX);
    }
}
