//! How a link ends: refused, closed, broken off, lost.
//!
//! Each way tells the peer, where the peer may still listen, and then closes the books on this side.

use std::sync::Arc;

use odeon_core::limits::HANDSHAKE_FRAME_BYTES_MAX;

use crate::bugs::bug;
use crate::event::{AskFailure, CloseReason, Event};
use crate::flows_in::FlowsIn;
use crate::flows_out::Sent;
use crate::frame::{Frame, RefuseCode};
use crate::framing::FrameReader;
use crate::handshake::Rejection;
use crate::limits::CONTROL_RESERVE_BYTES;
use crate::outbox::{Place, Room};
use crate::session::{Phase, Session};
use crate::text::{printable, shorten};
use crate::types::{TypesIn, TypesOut};

impl Session {
    /// Refuses the link, at any time; the peer is told `code` and `detail`.
    pub fn refuse(&mut self, code: RefuseCode, detail: impl Into<String>) {
        if !self.is_closed() {
            self.reject(Rejection::new(code, detail));
        }
    }

    /// Closes the link. The peer gets what is queued, then `reason`.
    pub fn close(&mut self, reason: impl Into<String>) {
        if !self.is_closed() {
            let reason = reason.into();
            self.send_last(&Frame::Bye { reason: shorten(reason.clone()) });
            self.finish(CloseReason::Local(reason));
        }
    }

    /// Takes note that the transport has failed or come to its end.
    pub fn handle_lost(&mut self, why: impl Into<String>) {
        self.outbox.clear();
        self.finish(CloseReason::Lost(why.into()));
    }

    pub(crate) fn reject(&mut self, rejection: Rejection) {
        let Rejection { code, detail } = rejection;
        self.send_last(&Frame::Refuse { code, detail: shorten(detail.clone()) });
        self.finish(match code {
            RefuseCode::Protocol => CloseReason::Protocol(detail),
            RefuseCode::Authentication => CloseReason::AuthenticationFailed,
            code => CloseReason::Rejected { code, detail },
        });
    }

    /// Ends the link over a fault of the peer's.
    pub(crate) fn break_off(&mut self, fault: &str) {
        // It may quote the peer.
        let fault = printable(fault);
        if self.is_established() {
            self.send_last(&Frame::Bye { reason: shorten(format!("protocol broken: {fault}")) });
            self.finish(CloseReason::Protocol(fault));
        } else {
            self.reject(Rejection::new(RefuseCode::Protocol, fault));
        }
    }

    /// Queues a frame that must not be lost. A peer for whom there is no more room, because it does not read,
    /// loses the link.
    pub(crate) fn send_control(&mut self, frame: &Frame<'_>) {
        let room = self.reserve();
        let outcome = self.outbox.push_control(frame, room);
        self.close_if_unread(outcome.is_ok());
    }

    /// The same for a frame of the data lane, which comes after everything that waits.
    pub(crate) fn send_in_order(&mut self, frame: &Frame<'_>) {
        let room = self.reserve();
        let outcome = self.outbox.push_last(frame, room);
        self.close_if_unread(outcome.is_ok());
    }

    /// The same for a frame that must not overtake what is at `place`.
    pub(crate) fn send_after(&mut self, place: Place, frame: &Frame<'_>) {
        let room = self.reserve();
        let outcome = self.outbox.push_after(place, frame, room);
        self.close_if_unread(outcome.is_ok());
    }

    const fn reserve(&self) -> Room {
        Room {
            frame_bytes_max: self.send_frame_bytes_max,
            bytes_max: self.config.outbound_bytes_max.saturating_add(CONTROL_RESERVE_BYTES),
        }
    }

    fn close_if_unread(&mut self, is_queued: bool) {
        if !is_queued {
            let queued = self.outbox.bytes();
            self.outbox.clear();
            self.finish(CloseReason::Local(format!("the peer does not read: {queued} bytes wait for it")));
        }
    }

    /// Queues the last frame, whatever waits before it: there will be no more.
    pub(crate) fn send_last(&mut self, frame: &Frame<'_>) {
        let room = Room { frame_bytes_max: HANDSHAKE_FRAME_BYTES_MAX, bytes_max: usize::MAX };
        self.outbox.push_last(frame, room).map(drop).expect("its text has been shortened, so it fits");
    }

    /// Closes the books and tells everybody on this side.
    pub(crate) fn finish(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.phase = Phase::Closed;
        self.held = Vec::new();
        self.reader = FrameReader::default();
        self.types_in = TypesIn::default();
        self.partial = Vec::new();
        self.room_made = true;
        let types = std::mem::take(&mut self.types_out);
        self.tell_what_is_lost(&types);
        self.flows_in = FlowsIn::new(self.config.windows);
        let (mut asks, mut monitors) = self.ledger.close();
        if bug("forget-asks-of-lost-link") {
            asks.clear();
        }
        if bug("forget-monitors-of-lost-link") {
            monitors.clear();
        }
        // One text for all: there may be tens of thousands of them.
        let why: Arc<str> = reason.to_string().into();
        self.events.extend(
            asks.into_iter()
                .map(|ask_id| Event::Reply { ask_id, outcome: Err(AskFailure::LinkLost(Arc::clone(&why))) }),
        );
        self.events.extend(
            monitors.into_iter().map(|monitor_id| Event::MonitorLost { monitor_id, why: Arc::clone(&why) }),
        );
        self.events.push_back(Event::Closed(reason));
    }

    /// Tells that are not known to have been taken, in runs of one kind.
    fn tell_what_is_lost(&mut self, types: &TypesOut) {
        for (to, sent) in self.flows_out.close() {
            if bug("forget-what-may-be-lost") {
                continue;
            }
            for run in sent.chunk_by(Sent::eq) {
                let Some(mark) = types.mark(run[0].type_id) else {
                    continue;
                };
                self.events.push_back(Event::MaybeLost {
                    to: to.clone(),
                    from: run[0].from,
                    mark: mark.clone(),
                    count: u64::try_from(run.len()).expect("a length fits"),
                });
            }
        }
    }
}
