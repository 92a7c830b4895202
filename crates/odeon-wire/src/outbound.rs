//! What this side says over an established link.

use std::time::Duration;

use odeon_core::{ActorId, Encoding, ExitReason, Instant, Refusal};

use crate::event::{Parcel, SendError};
use crate::frame::{Body, Frame};
use crate::limits::TYPES_MAX;
use crate::outbox::Unqueued;
use crate::session::{Phase, Session};
use crate::text::{shorten_reason, shorten_refusal};
use crate::types::TypeNumber;

impl Session {
    /// Sends a message that nobody waits for. `Ok` means that it is queued.
    ///
    /// # Errors
    /// When it cannot be queued; nothing of it is then sent.
    pub fn tell(&mut self, parcel: &Parcel, now: Instant) -> Result<(), SendError> {
        let type_id = self.defined(parcel)?;
        self.send(&Frame::Tell(body(parcel, type_id, now)))
    }

    /// Sends a message that is to be answered, and gives the id that the answer will carry. There will be
    /// exactly one [`Event::Reply`](crate::Event::Reply) with it, unless it is cancelled.
    ///
    /// # Errors
    /// When it cannot be queued; nothing of it is then sent.
    pub fn ask(&mut self, parcel: &Parcel, now: Instant) -> Result<u64, SendError> {
        let max = self.config.asks_max;
        if self.is_established() && self.ledger.unanswered() >= max {
            return Err(SendError::TooManyAsks { max });
        }
        let type_id = self.defined(parcel)?;
        let ask_id = self.ledger.next_ask();
        let body = body(parcel, type_id, now);
        self.send(&Frame::Ask { ask_id, body })?;
        self.ledger.asked();
        Ok(ask_id)
    }

    /// Gives up an ask: its answer will be dropped. Does nothing when it has been answered.
    pub fn cancel(&mut self, ask_id: u64) {
        if self.ledger.cancel(ask_id) {
            self.send_control(&Frame::Cancel { ask_id });
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
        self.send(&Frame::Reply { ask_id, encoding, payload })?;
        self.ledger.pay(ask_id);
        Ok(())
    }

    /// Answers an ask of the peer's with a refusal. Does nothing when it has been answered or cancelled.
    pub fn refuse_ask(&mut self, ask_id: u64, refusal: Refusal) {
        if self.ledger.pay(ask_id) {
            self.send_control(&Frame::Refused { ask_id: Some(ask_id), refusal: shorten_refusal(refusal) });
        }
    }

    /// Answers an ask of the peer's: the actor is dead. Does nothing when it has been answered or cancelled.
    pub fn dead(&mut self, ask_id: u64, reason: ExitReason) {
        if self.ledger.pay(ask_id) {
            let reason = shorten_reason(reason);
            self.send_control(&Frame::Dead { ask_id, reason });
        }
    }

    /// Answers an ask of the peer's: there will be no reply. Does nothing when it has been answered or
    /// cancelled.
    pub fn no_reply(&mut self, ask_id: u64) {
        if self.ledger.pay(ask_id) {
            self.send_control(&Frame::NoReply { ask_id });
        }
    }

    /// Tells the peer that a message of its was not taken. For tells, which have no id, it is only a note.
    pub fn refuse_tell(&mut self, refusal: Refusal) {
        if self.is_established() {
            self.send_control(&Frame::Refused { ask_id: None, refusal: shorten_refusal(refusal) });
        }
    }

    /// Asks to be told when the peer's `actor` ends, and gives the id that the news will carry. There will be
    /// exactly one [`Event::Down`](crate::Event::Down) with it, unless the monitor is taken away.
    ///
    /// # Errors
    /// When it cannot be queued; no monitor is then set.
    pub fn monitor(&mut self, actor: ActorId) -> Result<u64, SendError> {
        let max = self.config.monitors_max;
        if self.is_established() && self.ledger.monitors() >= max {
            return Err(SendError::TooManyMonitors { max });
        }
        let monitor_id = self.ledger.next_monitor();
        self.send(&Frame::Monitor { monitor_id, actor })?;
        self.ledger.monitored();
        Ok(monitor_id)
    }

    /// Takes a monitor away. Does nothing when it has told already.
    pub fn demonitor(&mut self, monitor_id: u64) {
        if self.ledger.demonitor(monitor_id) {
            self.send_control(&Frame::Demonitor { monitor_id });
        }
    }

    /// Tells a monitor of the peer's that the actor has ended. Does nothing when the monitor is gone.
    pub fn down(&mut self, monitor_id: u64, reason: ExitReason) {
        if self.ledger.tell_down(monitor_id) {
            let reason = shorten_reason(reason);
            self.send_control(&Frame::Down { monitor_id, reason });
        }
    }

    /// Says that a type of the peer's is laid out as ours of the same mark: the peer may use the compact encoding.
    pub fn agree(&mut self, type_id: u32) {
        if self.is_established() && self.types_in.get(type_id).is_ok() {
            self.send_control(&Frame::Agree { type_id });
        }
    }

    /// Whether the peer has agreed to the fingerprint of ours that came with a type: until then messages of it
    /// travel with field names.
    #[must_use]
    pub fn is_agreed(&self, mark: &odeon_core::Mark) -> bool {
        self.types_out.is_agreed(mark)
    }

    /// The number of the parcel's type, which the peer is told first if it does not know it.
    fn defined(&mut self, parcel: &Parcel) -> Result<u32, SendError> {
        let (bytes, max) = (parcel.payload.len(), self.send_frame_bytes_max);
        if self.is_established() && bytes > max {
            return Err(SendError::TooLarge { bytes, max });
        }
        match self.types_out.number(&parcel.mark) {
            TypeNumber::Known(type_id) => Ok(type_id),
            TypeNumber::New(type_id) => {
                let mark = parcel.mark.clone();
                self.send(&Frame::Define { type_id, mark, fingerprint: parcel.fingerprint })?;
                self.types_out.insert(parcel.mark.clone(), type_id);
                Ok(type_id)
            }
            TypeNumber::None => Err(SendError::TooManyTypes { max: TYPES_MAX }),
        }
    }

    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        match self.phase {
            Phase::Closed => return Err(SendError::Closed),
            Phase::Handshake(_) => return Err(SendError::NotEstablished),
            Phase::Established => {}
        }
        let max = self.send_frame_bytes_max;
        self.outbox.push(frame, max, self.config.outbound_bytes_max).map_err(|unqueued| match unqueued {
            Unqueued::TooLarge { bytes } => SendError::TooLarge { bytes, max },
            Unqueued::Full => SendError::Backlogged { queued: self.outbox.bytes() },
        })
    }
}

fn body(parcel: &Parcel, type_id: u32, now: Instant) -> Body<'_> {
    Body {
        to: parcel.to.clone(),
        from: parcel.from,
        type_id,
        encoding: parcel.encoding,
        expires_in_ms: parcel.expires_at.map(|at| millis_up(at - now)),
        payload: &parcel.payload,
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
