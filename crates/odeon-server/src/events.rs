//! What a link's session reports, and what the server does about it.
//!
//! What concerns messages to our actors is in `intake`. Called by the link's driver alone, never with the
//! link's lock held. What belongs to others, such as decoding a message or hearing a notice, runs contained: a
//! panic in it costs nobody the link.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use odeon_actor::{AnswerPort, AskError, FarAnswer, Peer};
use odeon_core::{ActorId, Encoding, Epoch, ExitReason, Mark, Reference, Refusal, RefusalCode, ServerId};
use odeon_wire::bugs::bug;
use odeon_wire::{AskFailure, CloseReason, Event, RefuseCode, Side, Transcript};

use crate::link::Link;
use crate::monitors::not_monitored;

impl Link {
    /// All events there are. The asks among them are taken down, and the ports of the answers taken out, under the
    /// same lock.
    pub(crate) fn next_events(&self, events: &mut VecDeque<Event>, ports: &mut VecDeque<Option<AnswerPort>>) {
        let mut state = self.state();
        // The driver is awake, and looks at what is to be written before it sleeps.
        state.is_driver_asleep = false;
        state.session.take_events(events);
        for event in events.iter() {
            match event {
                Event::Message(arrival) => {
                    state.received += 1;
                    if let Some(ask) = arrival.ask_id {
                        state.answering.insert(ask, arrival.encoding);
                    }
                }
                Event::Reply { ask_id, .. } => ports.push_back(state.asks.remove(*ask_id)),
                _ => {}
            }
        }
        let has_room = state.session.take_room();
        let counted = state.counted();
        drop(state);
        self.count(counted);
        if has_room {
            self.room.notify_waiters();
        }
    }

    /// Acts on anything but the link's end.
    pub(crate) fn on_event(self: &Arc<Self>, event: Event) {
        match event {
            Event::PeerHello { server, epoch } => self.state().claimed = Some((server, epoch)),
            Event::NeedProof { side, transcript } => {
                self.seen(&transcript);
                if let Some(mac) = self.server.prove(&self.channel, side, &transcript) {
                    self.state().session.provide_proof(mac);
                }
            }
            Event::Verify { side, transcript, mac } => self.verify(side, &transcript, mac),
            Event::Accepted { peer, epoch, .. } => self.accepted(peer, epoch),
            Event::Cancelled { ask_id } => {
                self.state().answering.remove(ask_id);
            }
            Event::Monitor { monitor_id, actor } => self.watch_for_peer(monitor_id, &actor),
            Event::Demonitor { monitor_id } => {
                let watched = self.state().watched.remove(&monitor_id);
                if let Some((inbox, monitor)) = watched {
                    inbox.demonitor(monitor);
                }
            }
            Event::Down { monitor_id, reason, .. } => self.told_down(monitor_id, reason),
            Event::MonitorLost { monitor_id, why } => {
                self.told_down(monitor_id, ExitReason::LinkLost(why.to_string()));
            }
            Event::MaybeLost { to, from, mark, count } => self.maybe_lost(&to, from, &mark, count),
            Event::Refused { refusal } => self.tell_was_refused(&refusal),
            _ => {}
        }
    }

    fn verify(&self, side: Side, transcript: &Transcript, mac: [u8; 32]) {
        let is_right = self.server.verify(&self.channel, side, transcript, mac) || bug("accept-any-proof");
        let claimed = self.state().claimed.take();
        let welcome = match claimed {
            // Only now is the claim proven, so that no stranger learns who was here.
            Some((server, epoch)) if is_right => match self.channel.vouches_for(&server, epoch) {
                Ok(()) => self.server.check(self, &server, epoch),
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
        let held = self.begin_rights(&server);
        let peer = Arc::new(Peer { server, epoch, held });
        match self.server.admit(self, &peer) {
            Ok(()) => {
                self.server.counters().handshake_succeeded();
                self.span.in_scope(|| tracing::debug!(target: "odeon::link", "opened"));
                let opened = self.state().opened.take();
                if let Some(opened) = opened {
                    // Whoever dialled may have given up.
                    let _ = opened.send(Ok(()));
                }
            }
            Err((code, detail)) => self.state().session.refuse(code, detail),
        }
    }

    /// An actor that we watch has ended.
    pub(crate) fn told_down(&self, monitor_id: u64, reason: ExitReason) {
        let monitor = self.state().watching.remove(&monitor_id);
        if let Some(monitor) = monitor.filter(|_| !bug("forget-down")) {
            self.server.monitors().tell(monitor, reason);
        }
    }

    /// Tells of ours that nobody knows to have arrived become dead letters, each.
    fn maybe_lost(&self, to: &ActorId, from: u64, mark: &Mark, count: u64) {
        let Some(peer) = self.peer() else {
            return;
        };
        for _ in 0..count {
            let to = Reference::new(peer.server.clone(), to.clone());
            self.server.system().maybe_lost(to, mark.clone(), from);
        }
    }

    pub(crate) fn count_refusal(&self, refusal: &Refusal) {
        if refusal.code == RefusalCode::NotAuthorised {
            self.server.counters().not_authorised.add(1);
        }
    }

    /// Watches an actor of ours for the peer.
    fn watch_for_peer(self: &Arc<Self>, monitor_id: u64, actor: &ActorId) {
        let link = Arc::downgrade(self);
        let tell = move |reason: ExitReason, number: Option<u64>| {
            if let Some(link) = link.upgrade() {
                link.state().watched.remove(&monitor_id);
                link.with_session(|session| session.down(monitor_id, reason, number));
            }
        };
        let (server, epoch) = (&self.server, self.server.epoch());
        let found = server.find_inbox(actor).or_else(|| server.linking().actor(actor, epoch));
        let Some(inbox) = found else {
            return tell(ExitReason::NoActor, None);
        };
        let (notify, number) = (tell.clone(), inbox.number());
        match inbox.monitor(Box::new(move |down| notify(down.reason, Some(number)))) {
            Ok(monitor) => {
                self.state().watched.insert(monitor_id, (Arc::clone(&inbox), monitor));
                // If it ended before the line above, its notice found nothing to take out.
                if inbox.exit_reason().is_some() {
                    self.state().watched.remove(&monitor_id);
                }
            }
            Err(error) => tell(not_monitored(&error), None),
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
        if self.peer().is_none() {
            self.server.counters().handshake_failed(reason);
        }
        self.span.in_scope(|| tracing::debug!(target: "odeon::link", %reason, "closed"));
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

/// What the peer answered, as the asker is told.
pub(crate) fn answered(outcome: Result<(Encoding, Vec<u8>), AskFailure>) -> FarAnswer {
    outcome.map_err(|failure| match failure {
        AskFailure::Refused(refusal) => AskError::Refused(refusal),
        AskFailure::Dead(reason) => AskError::Dead(reason),
        AskFailure::NoReply => AskError::NoReply,
        AskFailure::LinkLost(why) => AskError::Dead(ExitReason::LinkLost(why.to_string())),
        other => AskError::Refused(Refusal::new(RefusalCode::Internal, other.to_string())),
    })
}

/// Runs what belongs to others; nothing, if it panics.
pub(crate) fn contained<T>(what: &'static str, act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act))
        .inspect_err(|_| tracing::error!("{what} panicked: the message and the place were printed above"))
        .ok()
}
