//! The short way to another server: over the link that is there, in the sender's own thread, without a future.
//!
//! A route remembers the link that it used last, and of which type of message the peer has agreed to the fingerprint:
//! neither is taken back while the link lasts. Whatever cannot be sent at once goes the long way (`route`).

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use odeon_actor::{AnswerPort, AskError, Asks, Awaited, Offer, TellError, Untaken};
use odeon_core::{Encoding, Fingerprint, Instant, Refusal, RefusalCode};
use odeon_wire::{Parcel, SendError};

use crate::link::{Link, State};
use crate::server::Server;

/// Bytes of a thread's buffer that are kept for its next message.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Where a thread encodes what it sends. Taken out meanwhile: the code that encodes may send, too.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a route remembers.
#[derive(Debug, Default)]
pub(crate) struct Way(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    link: Weak<Link>,
    /// A type of which the peer has agreed to the fingerprint.
    agreed: Option<&'static str>,
}

impl Way {
    pub(crate) fn tell(&self, server: &Server, offer: &Offer<'_>) -> Option<Result<(), TellError>> {
        let sent = self.send(server, offer, |state, parcel, now| state.tell(parcel, now));
        sent.ok().map(|(_, told)| told)
    }

    pub(crate) fn try_tell(&self, server: &Server, offer: &Offer<'_>) -> Result<(), Untaken> {
        let (_, told) = self.send(server, offer, |state, parcel, now| state.tell(parcel, now))?;
        told.map_err(Untaken::Failed)
    }

    pub(crate) fn ask(&self, server: &Server, offer: &Offer<'_>) -> Option<Result<Awaited, AskError>> {
        let (port, answer) = AnswerPort::new();
        let mut port = Some(port);
        let (link, asked) =
            self.send(server, offer, |state, parcel, now| state.ask(parcel, now, &mut port)).ok()?;
        Some(asked.map(|id| answer.asked(link as Arc<dyn Asks>, id)).map_err(AskError::from))
    }

    /// Sends over the link that is there; nothing, if there is none or it takes nothing now.
    fn send<T>(
        &self,
        server: &Server,
        offer: &Offer<'_>,
        send: impl FnOnce(&mut State, &Parcel<'_>, Instant) -> Result<T, SendError>,
    ) -> Result<(Arc<Link>, Result<T, TellError>), Untaken> {
        let (link, is_agreed) = self.link(server, offer).ok_or(Untaken::NoLink)?;
        let mut payload = SCRATCH.take();
        payload.clear();
        let encoding = if is_agreed { Encoding::Compact } else { Encoding::Cbor };
        if let Err(error) = (offer.encode)(encoding, &mut payload) {
            let refusal = Refusal::new(RefusalCode::BadPayload, error.to_string());
            return Ok((link, Err(refusal.into())));
        }
        let fingerprint = if is_agreed { offer.fingerprint } else { server.fingerprints().get(offer.mark) };
        let parcel = Parcel {
            to: &offer.to.actor,
            from: offer.from,
            mark: offer.mark,
            fingerprint: fingerprint.map(Fingerprint::as_u64),
            encoding,
            expires_at: offer.expires_at,
            nonce: offer.nonce,
            in_reply_to: offer.in_reply_to,
            payload: &payload,
        };
        let now = server.clock().now();
        let mut state = link.state();
        let sent = send(&mut state, &parcel, now);
        if sent.is_ok() {
            link.wake_driver(state);
        } else {
            drop(state);
            // What it did send, the opening of a flow say, must leave.
            link.work.notify_one();
        }
        if payload.capacity() <= SCRATCH_BYTES_MAX {
            SCRATCH.set(payload);
        }
        match sent {
            Err(SendError::Closed) => {
                *self.known() = Known::default();
                Err(Untaken::NoLink)
            }
            Err(error) if error.is_for_now() => Err(Untaken::Full),
            sent => {
                let sent = sent.map_err(|error| link.tell_error(error));
                Ok((link, sent))
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link that is there, and whether the peer has agreed to the type.
    fn link(&self, server: &Server, offer: &Offer<'_>) -> Option<(Arc<Link>, bool)> {
        let mut known = self.known();
        let peer = &offer.to.server;
        let link = known.link.upgrade().filter(|link| link.peer().is_some_and(|known| known.server == *peer));
        let link = match link {
            Some(link) => link,
            None => {
                let link = server.peers().live(peer)?;
                *known = Known { link: Arc::downgrade(&link), agreed: None };
                link
            }
        };
        if known.agreed.is_some_and(|mark| std::ptr::eq(mark, offer.mark)) {
            return Some((link, true));
        }
        drop(known);
        let is_known =
            offer.fingerprint.is_some() && server.fingerprints().get(offer.mark) == offer.fingerprint;
        let is_agreed = is_known && link.state().session.is_agreed(offer.mark);
        if is_agreed {
            let mut known = self.known();
            if std::ptr::eq(known.link.as_ptr(), Arc::as_ptr(&link)) {
                known.agreed = Some(offer.mark);
            }
        }
        Some((link, is_agreed))
    }
}
