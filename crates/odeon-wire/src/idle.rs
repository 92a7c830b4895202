//! Closing a link that is of no use any more.
//!
//! A side at which nothing has been open for a while says `Rest`, and sends nothing more of its own until it hears:
//! `Bye`, from a peer at which nothing is open either, or `Stay`. A peer that says neither, pings or no, loses the
//! link. So no message is on its way when the link is
//! closed, and the next one finds a new link.

use odeon_core::Instant;

use crate::event::CloseReason;
use crate::frame::Frame;
use crate::limits::BYE_IDLE;
use crate::session::Session;

impl Session {
    /// When the link is proposed to be closed.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        (self.resting_since.is_none() && self.is_quiet()).then(|| self.used_at + self.config.idle_after)
    }

    /// When the peer must have answered the proposal: all who want to send wait for that.
    pub(crate) fn rested_at(&self) -> Option<Instant> {
        self.resting_since.map(|since| since + self.config.dead_after)
    }

    /// Whether nothing is open at this side: nothing waits to be sent, taken or answered, and nobody is watched.
    fn is_quiet(&self) -> bool {
        let ledger = &self.ledger;
        self.outbox.bytes() == 0
            && self.flows_out.unknown() == 0
            && self.flows_in.waiting() == 0
            && ledger.unanswered() + ledger.owed() + ledger.monitors() + ledger.their_monitors() == 0
    }

    /// Proposes to close a link that is of no use, unless it was a moment ago.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.used_at = now;
        if !std::mem::take(&mut self.is_touched) {
            self.resting_since = Some(now);
            self.send_control(&Frame::Rest);
        }
    }

    /// The peer has nothing more to do.
    pub(crate) fn take_rest(&mut self) {
        if self.is_quiet() {
            self.send_last(&Frame::Bye { reason: BYE_IDLE.to_owned() });
            self.finish(CloseReason::Idle);
        } else {
            self.send_control(&Frame::Stay);
        }
    }

    /// The peer has something more to do.
    ///
    /// # Errors
    /// When nobody asked.
    pub(crate) fn take_stay(&mut self) -> Result<(), String> {
        if self.resting_since.take().is_none() {
            return Err("it wants to stay, and nobody wanted to rest".to_owned());
        }
        self.used_at = self.received_at;
        self.room_made = true;
        Ok(())
    }
}
