//! What a link's session reports, and what the server does about it.
//!
//! Called by the link's driver alone, never with the link's lock held. What belongs to others, such as decoding
//! a message or hearing a notice, runs contained: a panic in it costs nobody the link.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use odeon_actor::{AskError, Delivery, Payload, Peer, ReplySink, Sender};
use odeon_core::{ActorId, Epoch, ExitReason, Refusal, RefusalCode, ServerId};
use odeon_wire::{CloseReason, Event, Parcel, RefuseCode, Side, Transcript};

use crate::link::Link;

impl Link {
    pub(crate) fn next_event(&self) -> Option<Event> {
        self.state().session.poll_event()
    }

    /// Acts on anything but the link's end.
    pub(crate) fn on_event(self: &Arc<Self>, event: Event) {
        match event {
            Event::PeerHello { server, epoch } => self.state().claimed = Some((server, epoch)),
            Event::NeedProof { side, transcript } => {
                if let Some(mac) = self.server.prove(&self.channel, side, &transcript) {
                    self.state().session.provide_proof(mac);
                }
            }
            Event::Verify { side, transcript, mac } => self.verify(side, &transcript, mac),
            Event::Accepted { peer, epoch, .. } => self.accepted(peer, epoch),
            Event::Tell(parcel) => {
                if let Err(refusal) = self.deliver(&parcel, None) {
                    self.state().session.refuse_tell(refusal);
                }
            }
            Event::Ask { ask_id, parcel } => {
                self.state().answering.insert(ask_id, parcel.encoding);
                if let Err(refusal) = self.deliver(&parcel, Some(ask_id)) {
                    self.answer(ask_id, Err(AskError::Refused(refusal)));
                }
            }
            Event::Reply { ask_id, outcome } => {
                let port = self.state().asks.remove(&ask_id);
                if let Some(port) = port {
                    // The asker may have given up this very moment.
                    let _ = port.send(outcome);
                }
            }
            Event::Cancelled { ask_id } => {
                self.state().answering.remove(&ask_id);
            }
            Event::Monitor { monitor_id, actor } => self.watch_for_peer(monitor_id, &actor),
            Event::Demonitor { monitor_id } => {
                let watched = self.state().watched.remove(&monitor_id);
                if let Some((inbox, monitor)) = watched {
                    inbox.demonitor(monitor);
                }
            }
            Event::Down { monitor_id, reason } => {
                let monitor = self.state().watching.remove(&monitor_id);
                if let Some(monitor) = monitor {
                    self.server.monitors().tell(monitor, reason);
                }
            }
            Event::Refused { refusal } => self.tell_was_refused(&refusal),
            _ => {}
        }
    }

    fn verify(&self, side: Side, transcript: &Transcript, mac: [u8; 32]) {
        let is_right = self.server.verify(&self.channel, side, transcript, mac);
        let claimed = self.state().claimed.take();
        let welcome = match claimed {
            // Only now is the claim proven, so that no stranger learns who was here.
            Some((server, epoch)) if is_right => match self.channel.vouches_for(&server, epoch) {
                Ok(()) => self.server.check(&server, epoch),
                Err(detail) => Err((RefuseCode::Authentication, detail)),
            },
            _ => Ok(()),
        };
        let mut state = self.state();
        match welcome {
            Ok(()) => state.session.verified(is_right),
            Err((code, detail)) => state.session.refuse(code, detail),
        }
    }

    fn accepted(self: &Arc<Self>, server: ServerId, epoch: Epoch) {
        let capabilities = self.server.authority().capabilities(&server, self.credentials);
        let peer = Arc::new(Peer { server, epoch, capabilities });
        match self.server.admit(self, &peer) {
            Ok(()) => {
                let opened = self.state().opened.take();
                if let Some(opened) = opened {
                    // Whoever dialled may have given up.
                    let _ = opened.send(Ok(()));
                }
            }
            Err((code, detail)) => self.state().session.refuse(code, detail),
        }
    }

    fn deliver(self: &Arc<Self>, parcel: &Parcel, ask: Option<u64>) -> Result<(), Refusal> {
        let Some(peer) = self.peer() else {
            return Err(Refusal::new(RefusalCode::Internal, "the link was not taken in"));
        };
        if self.is_silent() {
            self.server.carries(self);
        }
        let Some(_delivering) = self.delivering() else {
            let detail = "it came after later messages, which another link carried";
            return Err(Refusal::new(RefusalCode::Expired, detail));
        };
        let inbox = self.server.local_inbox(&parcel.to)?;
        let delivery = Delivery {
            mark: parcel.mark.as_str(),
            payload: Payload { encoding: parcel.encoding, bytes: &parcel.payload },
            sender: Sender::Remote(Arc::clone(peer), parcel.from),
            expires_at: parcel.expires_at,
            reply: ask.map(|ask| (Arc::clone(self) as Arc<dyn ReplySink>, ask)),
        };
        contained("delivering a message", || inbox.deliver(delivery)).unwrap_or_else(|| {
            let detail = format!("{} panicked while it was decoded", parcel.mark);
            Err(Refusal::new(RefusalCode::Internal, detail))
        })
    }

    /// Watches an actor of ours for the peer.
    fn watch_for_peer(self: &Arc<Self>, monitor_id: u64, actor: &ActorId) {
        let link = Arc::downgrade(self);
        let tell = move |reason: ExitReason| {
            if let Some(link) = link.upgrade() {
                link.state().watched.remove(&monitor_id);
                link.with_session(|session| session.down(monitor_id, reason));
            }
        };
        let Ok(inbox) = self.server.local_inbox(actor) else {
            return tell(ExitReason::NoActor);
        };
        let notify = tell.clone();
        match inbox.monitor(Box::new(move |down| notify(down.reason))) {
            Ok(monitor) => {
                self.state().watched.insert(monitor_id, (Arc::clone(&inbox), monitor));
                // If it ended before the line above, its notice found nothing to take out.
                if inbox.exit_reason().is_some() {
                    self.state().watched.remove(&monitor_id);
                }
            }
            Err(error) => tell(ExitReason::LinkLost(error.to_string())),
        }
    }

    /// A peer can refuse as many tells as it likes: the log does not grow with them.
    fn tell_was_refused(&self, refusal: &Refusal) {
        let so_far = {
            let mut state = self.state();
            state.tells_refused += 1;
            state.tells_refused
        };
        if so_far.is_power_of_two() {
            tracing::warn!(remote = %self.remote, code = %refusal.code, so_far, "a tell was refused: {refusal}");
        }
    }

    /// The link is over: the session has told our asks and monitors; the peer's are let go.
    pub(crate) fn over(&self, reason: &CloseReason) {
        tracing::debug!(remote = %self.remote, %reason, "link over");
        let (opened, watched) = {
            let mut state = self.state();
            state.answering.clear();
            (state.opened.take(), std::mem::take(&mut state.watched))
        };
        if let Some(opened) = opened {
            // Whoever dialled may have given up.
            let _ = opened.send(Err(reason.clone()));
        }
        for (_, (inbox, monitor)) in watched {
            inbox.demonitor(monitor);
        }
        self.room.notify_waiters();
    }
}

/// Runs what belongs to others; nothing, if it panics.
pub(crate) fn contained<T>(what: &'static str, act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act))
        .inspect_err(|_| tracing::error!("{what} panicked: the message and the place were printed above"))
        .ok()
}
