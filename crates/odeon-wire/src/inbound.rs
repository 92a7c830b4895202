//! What the peer says over an established link.

use std::time::Duration;

use odeon_core::{Encoding, ExitReason, Refusal, RefusalCode};

use crate::event::{Arrival, AskFailure, Event};
use crate::frame::{Body, Frame};
use crate::ledger::{Admission, Answer};
use crate::session::Session;
use crate::text::{printable_reason, printable_refusal};

impl Session {
    /// Takes one frame.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub(crate) fn handle_session_frame(&mut self, frame: Frame<'_>) -> Result<(), String> {
        match frame {
            Frame::Define { type_id, mark, fingerprint } => {
                self.types_in.define(type_id, mark.clone())?;
                self.events.push_back(Event::Defined { type_id, mark, fingerprint });
            }
            Frame::Open { flow, to } => {
                self.flows_in.opened(flow, self.config.flows_max)?;
                self.events.push_back(Event::Opened { flow, to });
            }
            Frame::Close { flow } => {
                self.events.push_back(Event::FlowEnded { flow });
                self.tell_credit(|flows, tell| flows.closing(flow, tell))?;
            }
            Frame::Closed { flow } => {
                self.flows_out.closed(flow)?;
                self.room_made = true;
            }
            Frame::Credit { flow, taken, messages, bytes } => {
                self.flows_out.credit(flow, taken, messages, bytes)?;
                self.room_made = true;
            }
            Frame::LinkCredit { bytes } => {
                self.flows_out.link_credit(bytes)?;
                self.room_made = true;
            }
            Frame::Tell(body) => {
                let arrival = self.arrival(None, &body)?;
                self.events.push_back(Event::Message(arrival));
            }
            Frame::Ask { ask_id, body } => self.take_ask(ask_id, &body)?,
            Frame::Agree { type_id } => self.types_out.agree(type_id)?,
            Frame::Reply { ask_id, encoding, payload } => {
                self.take_answer(ask_id, || Ok((encoding, payload.to_vec())))?
            }
            Frame::Refused { ask_id: Some(ask_id), refusal } => {
                self.take_answer(ask_id, || Err(AskFailure::Refused(printable_refusal(refusal))))?
            }
            Frame::Refused { ask_id: None, refusal } => {
                self.events.push_back(Event::Refused { refusal: printable_refusal(refusal) });
            }
            Frame::Dead { ask_id, reason } => {
                self.take_answer(ask_id, || Err(AskFailure::Dead(printable_reason(reason))))?
            }
            Frame::NoReply { ask_id } => self.take_answer(ask_id, || Err(AskFailure::NoReply))?,
            Frame::Rest => self.take_rest(),
            Frame::Stay => self.take_stay()?,
            Frame::Cancel { ask_id } => {
                if self.ledger.their_cancel(ask_id, self.config.asks_max)? {
                    // The event first: sending can close the link, and nothing comes after that.
                    self.events.push_back(Event::Cancelled { ask_id });
                    self.send_in_order(&Frame::NoReply { ask_id });
                }
            }
            Frame::Monitor { monitor_id, actor } => {
                match self.ledger.their_monitor(monitor_id, self.config.monitors_max)? {
                    Admission::Taken => self.events.push_back(Event::Monitor { monitor_id, actor }),
                    Admission::TooMany => {
                        let reason = ExitReason::NotMonitored(format!(
                            "{} monitors are set over the link already",
                            self.config.monitors_max
                        ));
                        self.send_in_order(&Frame::Down { monitor_id, reason, number: None });
                    }
                }
            }
            Frame::Demonitor { monitor_id } => {
                if self.ledger.their_demonitor(monitor_id)? {
                    self.events.push_back(Event::Demonitor { monitor_id });
                }
            }
            Frame::Down { monitor_id, reason, number } => {
                if self.ledger.down(monitor_id)? {
                    let reason = printable_reason(reason);
                    self.events.push_back(Event::Down { monitor_id, reason, number });
                }
            }
            Frame::Ping { n } => self.send_control(&Frame::Pong { n }),
            // That it arrived is all there is to know.
            Frame::Pong { .. } => {}
            frame @ (Frame::Hello(_)
            | Frame::Proof { .. }
            | Frame::Accept
            | Frame::Chunk { .. }
            | Frame::Refuse { .. }
            | Frame::Bye { .. }) => {
                return Err(format!("it sent a {} after the handshake", frame.name()));
            }
        }
        Ok(())
    }

    fn take_ask(&mut self, ask_id: u64, body: &Body<'_>) -> Result<(), String> {
        let arrival = self.arrival(Some(ask_id), body)?;
        match self.ledger.their_ask(ask_id, self.config.asks_max)? {
            Admission::Taken => self.events.push_back(Event::Message(arrival)),
            Admission::TooMany => {
                let detail = format!(
                    "{} asks are open on the link to {} already",
                    self.config.asks_max, self.config.server
                );
                self.send_in_order(&Frame::Refused {
                    ask_id: Some(ask_id),
                    refusal: Refusal::new(RefusalCode::LimitReached, detail),
                });
                self.events.push_back(Event::Skipped { flow: arrival.flow, cost: arrival.cost() });
            }
        }
        Ok(())
    }

    /// Takes a final answer; the outcome is made only if somebody waits for it.
    fn take_answer(
        &mut self,
        ask_id: u64,
        outcome: impl FnOnce() -> Result<(Encoding, Vec<u8>), AskFailure>,
    ) -> Result<(), String> {
        let (answer, asked) = self.ledger.answered(ask_id)?;
        self.used_at = self.received_at;
        let outcome = match answer {
            Answer::Awaited => outcome(),
            Answer::Late => return Ok(()),
        };
        if outcome.is_ok() {
            // Whoever answered had taken it, and all before it.
            self.flows_out.taken(asked.flow, asked.seq);
        }
        self.events.push_back(Event::Reply { ask_id, outcome });
        Ok(())
    }

    /// Takes one chunk, and the frame of which it is the last.
    pub(crate) fn take_chunk(&mut self, left: u64, part: &[u8]) -> Result<(), String> {
        let max = self.config.frame_bytes_max;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let whole = self.partial.len().saturating_add(part.len()).saturating_add(left);
        if whole > max {
            return Err(format!("it sent a frame of {whole} bytes in chunks, where {max} are the limit"));
        }
        if part.is_empty() {
            return Err("it sent a chunk of nothing".to_owned());
        }
        if !self.partial.is_empty() && whole != self.partial_whole {
            let first = self.partial_whole;
            return Err(format!("it sent a frame in chunks of {first} bytes, and then of {whole}"));
        }
        self.partial_whole = whole;
        // No more than has come, twice at most: what is claimed to be left is not believed.
        self.partial.extend_from_slice(part);
        if left > 0 {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.partial);
        if let Some(name) = Frame::of_handshake(&bytes) {
            return Err(format!("it sent a {name} in chunks"));
        }
        match Frame::decode(&bytes).map_err(|error| error.to_string())? {
            frame @ (Frame::Tell(_) | Frame::Ask { .. } | Frame::Reply { .. }) => {
                self.handle_session_frame(frame)
            }
            frame => Err(format!("it sent a {} in chunks", frame.name())),
        }
    }

    fn arrival(&mut self, ask_id: Option<u64>, body: &Body<'_>) -> Result<Arrival, String> {
        self.types_in.check(body.type_id)?;
        self.flows_in.message(body.flow, body.seq, body.payload.len())?;
        self.used_at = self.received_at;
        Ok(Arrival {
            flow: body.flow,
            seq: body.seq,
            ask_id,
            from: body.from,
            type_id: body.type_id,
            encoding: body.encoding,
            expires_at: body.expires_in_ms.map(|millis| self.received_at + Duration::from_millis(millis)),
            nonce: body.nonce.unwrap_or_default(),
            in_reply_to: body.in_reply_to,
            payload: body.payload.to_vec(),
        })
    }
}
