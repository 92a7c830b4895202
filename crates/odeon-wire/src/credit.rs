//! What the driver says of the messages that came, and what the peer is told of it.

use std::collections::VecDeque;

use odeon_core::Instant;

use crate::event::Event;
use crate::flows_in::FlowsIn;
use crate::frame::Frame;
use crate::limits::ACKNOWLEDGE_AFTER;
use crate::session::Session;

impl Session {
    /// Tells the peer what has been taken.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledge_at = None;
        // Nothing fails: credit is not taken, it is given.
        let _ = self.tell_credit(|flows, tell| {
            flows.tell(tell);
            Ok(())
        });
    }

    /// Does something to the peer's flows, and tells it what it must know of that at once.
    ///
    /// # Errors
    /// Those of `act`.
    pub(crate) fn tell_credit(
        &mut self,
        act: impl FnOnce(&mut FlowsIn, &mut dyn FnMut(Frame<'static>)) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut news = Vec::new();
        let outcome = act(&mut self.flows_in, &mut |frame| news.push(frame));
        for frame in &news {
            self.send_control(frame);
        }
        outcome
    }

    /// Says that so many messages of a flow, the oldest that have come, have been taken (or refused, or dropped on
    /// purpose), and cost so much together: the peer may send more, and knows that they have arrived.
    pub fn taken(&mut self, flow: u32, messages: u64, cost: u64, now: Instant) {
        if self.is_established() {
            // Nothing fails, as above.
            let _ = self.tell_credit(|flows, tell| {
                flows.taken(flow, messages, cost, tell);
                Ok(())
            });
            self.acknowledge_at =
                self.flows_in.is_untold().then(|| self.acknowledge_at.unwrap_or(now + ACKNOWLEDGE_AFTER));
        }
    }

    /// Whether the link is again open to those who were told to [try later](crate::SendError::is_for_now), or
    /// is over: true once for each time.
    pub fn take_room(&mut self) -> bool {
        std::mem::take(&mut self.room_made)
    }

    /// Moves all events there are to the end of `out`, in order.
    pub fn take_events(&mut self, out: &mut VecDeque<Event>) {
        self.ledger.told_all();
        if out.is_empty() {
            std::mem::swap(out, &mut self.events);
        } else {
            out.append(&mut self.events);
        }
    }

    /// How many flows of ours are open.
    #[must_use]
    pub fn open_flows(&self) -> usize {
        self.flows_out.count()
    }

    /// Tells of ours, and asks, that are not known to have been taken.
    #[must_use]
    pub const fn unknown_messages(&self) -> usize {
        self.flows_out.unknown()
    }

    /// Messages of the peer's that have come and have not been [taken](Self::taken).
    #[must_use]
    pub const fn waiting_messages(&self) -> u64 {
        self.flows_in.waiting()
    }

    /// Says that a type of the peer's is laid out as ours of the same mark: the peer may use the compact encoding.
    /// Does nothing when either side has not the feature.
    pub fn agree(&mut self, type_id: u32) {
        if self.is_established() && self.has_compact && self.types_in.check(type_id).is_ok() {
            self.send_control(&Frame::Agree { type_id });
        }
    }

    /// Whether the peer has agreed to the fingerprint of ours that came with a type: until then messages of it
    /// travel with field names.
    #[must_use]
    pub fn is_agreed(&self, mark: &str) -> bool {
        self.types_out.is_agreed(mark)
    }
}
