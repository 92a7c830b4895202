//! What the peer says over an established link.

use std::time::Duration;

use odeon_core::{Encoding, ExitReason, Refusal, RefusalCode};

use crate::event::{AskFailure, Event, Parcel};
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
                self.types_in.define(type_id, mark.clone(), fingerprint)?;
                self.events.push_back(Event::Defined { type_id, mark, fingerprint });
            }
            Frame::Agree { type_id } => self.types_out.agree(type_id)?,
            Frame::Tell(body) => {
                let parcel = self.parcel(body)?;
                self.events.push_back(Event::Tell(parcel));
            }
            Frame::Ask { ask_id, body } => self.take_ask(ask_id, body)?,
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
            Frame::Cancel { ask_id } => {
                if self.ledger.their_cancel(ask_id)? {
                    // The event first: sending can close the link, and nothing comes after that.
                    self.events.push_back(Event::Cancelled { ask_id });
                    self.send_control(&Frame::NoReply { ask_id });
                }
            }
            Frame::Monitor { monitor_id, actor } => {
                match self.ledger.their_monitor(monitor_id, self.config.monitors_max)? {
                    Admission::Taken => self.events.push_back(Event::Monitor { monitor_id, actor }),
                    Admission::TooMany => {
                        let reason = ExitReason::Failed(format!(
                            "not monitored: {} monitors are set over the link already",
                            self.config.monitors_max
                        ));
                        self.send_control(&Frame::Down { monitor_id, reason });
                    }
                }
            }
            Frame::Demonitor { monitor_id } => {
                if self.ledger.their_demonitor(monitor_id)? {
                    self.events.push_back(Event::Demonitor { monitor_id });
                }
            }
            Frame::Down { monitor_id, reason } => {
                if self.ledger.down(monitor_id)? {
                    let reason = printable_reason(reason);
                    self.events.push_back(Event::Down { monitor_id, reason });
                }
            }
            Frame::Ping { n } => self.send_control(&Frame::Pong { n }),
            // That it arrived is all there is to know.
            Frame::Pong { .. } => {}
            frame @ (Frame::Hello(_)
            | Frame::Proof { .. }
            | Frame::Accept
            | Frame::Refuse { .. }
            | Frame::Bye { .. }) => {
                return Err(format!("it sent a {} after the handshake", frame.name()));
            }
        }
        Ok(())
    }

    fn take_ask(&mut self, ask_id: u64, body: Body<'_>) -> Result<(), String> {
        let parcel = self.parcel(body)?;
        match self.ledger.their_ask(ask_id, self.config.asks_max)? {
            Admission::Taken => self.events.push_back(Event::Ask { ask_id, parcel }),
            Admission::TooMany => {
                let detail = format!(
                    "{} asks are open on the link to {} already",
                    self.config.asks_max, self.config.server
                );
                self.send_control(&Frame::Refused {
                    ask_id: Some(ask_id),
                    refusal: Refusal::new(RefusalCode::LimitReached, detail),
                });
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
        match self.ledger.answered(ask_id)? {
            Answer::Awaited => {
                let outcome = outcome();
                self.events.push_back(Event::Reply { ask_id, outcome });
            }
            Answer::Late => {}
        }
        Ok(())
    }

    fn parcel(&self, body: Body<'_>) -> Result<Parcel, String> {
        let (mark, fingerprint) = self.types_in.get(body.type_id)?;
        Ok(Parcel {
            mark,
            fingerprint,
            to: body.to,
            from: body.from,
            encoding: body.encoding,
            expires_at: body.expires_in_ms.map(|millis| self.received_at + Duration::from_millis(millis)),
            payload: body.payload.to_vec(),
        })
    }
}
