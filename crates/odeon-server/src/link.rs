//! One link: a session of `odeon-wire` as those who send over it see it.
//!
//! Whoever sends encodes into the session's buffer under the link's lock and wakes the driver (`drive`), which
//! writes all that has gathered at once. The link owns the asks and monitors that crossed it; when it ends, each
//! of them is told. Nothing of others (an actor, a notice, the table of peers) is called with the lock held.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use odeon_actor::{
    AnswerPort, AskError, Asks, Awaited, Inbox, MonitorId, Peer, RemoteCall, ReplySink, TellError,
};
use odeon_core::seam::{Connection, PeerCredentials};
use odeon_core::{ActorId, Encoding, Epoch, Fingerprint, Instant, Refusal, RefusalCode, ServerId};
use odeon_wire::bugs::bug;
use odeon_wire::{CloseReason, Parcel, SendError, Session, Transcript, ask_place};
use tokio::sync::{Notify, oneshot};
use tracing::Span;

use crate::control::{ConnectionEntry, Direction};
use crate::drive::Driver;
use crate::intake::Moved;
use crate::large::Large;
use crate::metrics::WaitingSender;
use crate::rights::{LinkRights, names};
use crate::route::encoded;
use crate::secure::Channel;
use crate::server::Server;

/// A link, as those who send over it see it.
pub(crate) struct Link {
    pub(crate) server: Server,
    pub(crate) direction: Direction,
    pub(crate) remote: String,
    pub(crate) credentials: PeerCredentials,
    pub(crate) channel: Channel,
    /// Tells it from every other link of this server, before and after.
    pub(crate) number: u64,
    /// Set when the link is taken into the table of peers.
    peer: OnceLock<Arc<Peer>>,
    /// What the peer may do here, once it has proven itself.
    rights: OnceLock<Arc<LinkRights>>,
    /// What both sides have seen of each other.
    transcript: OnceLock<[u8; 32]>,
    state: Mutex<State>,
    /// What the peer sends over it; one of [`Inbound`].
    inbound: AtomicU8,
    /// Held while one message of the peer's is delivered.
    delivering: Mutex<()>,
    /// What waits at the peer's flows and may go on.
    pub(crate) moved: Moved,
    /// Something is to be written, or the link is over.
    pub(crate) work: Notify,
    /// There is room for more to be sent, or the link is over.
    pub(crate) room: Notify,
    /// For whoever traces: as long as the link is driven.
    pub(crate) span: Span,
}

/// What the peer sends over a link. It sends over one at a time and never goes back to one that has ended for it,
/// so its first message over another link is also the end of this one, whatever is still on the way here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Inbound {
    /// No message yet.
    Silent,
    /// Its messages.
    Carrying,
    /// Nothing that may be delivered any more.
    Superseded,
}

pub(crate) struct State {
    pub(crate) session: Session,
    /// Ours, waiting for the peer.
    pub(crate) asks: ByPlace<AnswerPort>,
    /// Ours, on the peer's actors.
    pub(crate) watching: BTreeMap<u64, MonitorId>,
    /// The peer's, waiting for our actors.
    pub(crate) answering: ByPlace<Encoding>,
    /// The peer's, on our actors.
    pub(crate) watched: BTreeMap<u64, (Arc<dyn Inbox>, MonitorId)>,
    /// Whoever dialled and waits for the handshake.
    pub(crate) opened: Option<oneshot::Sender<Result<(), CloseReason>>>,
    /// Who the peer says it is, until that is proven.
    pub(crate) claimed: Option<(ServerId, Epoch)>,
    /// How many of our tells the peer has refused.
    pub(crate) tells_refused: u64,
    /// Asks and tells since the last [`Link::sample`]: the peer's, and ours.
    pub(crate) received: u64,
    sent: u64,
    /// The driver sleeps with nothing to write: whoever sends wakes it.
    pub(crate) is_driver_asleep: bool,
}

/// A table by the id of an ask, whose place is part of it.
#[derive(Debug)]
pub(crate) struct ByPlace<T> {
    places: Vec<Option<(u64, T)>>,
    many: usize,
}

impl<T> Default for ByPlace<T> {
    fn default() -> Self {
        Self { places: Vec::new(), many: 0 }
    }
}

impl<T> ByPlace<T> {
    pub(crate) fn insert(&mut self, ask_id: u64, value: T) {
        let place = ask_place(ask_id);
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        self.many += usize::from(self.places[place].is_none());
        self.places[place] = Some((ask_id, value));
    }

    pub(crate) fn contains(&self, ask_id: u64) -> bool {
        let place = self.places.get(ask_place(ask_id)).and_then(Option::as_ref);
        place.is_some_and(|(id, _)| *id == ask_id)
    }

    pub(crate) fn remove(&mut self, ask_id: u64) -> Option<T> {
        let (_, value) = self.places.get_mut(ask_place(ask_id))?.take_if(|(id, _)| *id == ask_id)?;
        self.many -= 1;
        Some(value)
    }

    pub(crate) const fn len(&self) -> usize {
        self.many
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back the memory of what is gone.
    pub(crate) fn relax(&mut self) {
        if self.many == 0 {
            self.places = Vec::new();
        }
    }
}

/// Why a message did not go over a link.
#[derive(Debug)]
pub(crate) enum Unsent<E> {
    /// The link is over, and nothing was sent: another may do.
    Over,
    /// It is not to be sent.
    Failed(E),
}

impl Link {
    /// Starts driving `session` over `connection`. The receiver hears how the handshake ends.
    pub(crate) fn start(
        server: &Server,
        direction: Direction,
        session: Session,
        connection: Connection,
        channel: Channel,
    ) -> (Arc<Self>, oneshot::Receiver<Result<(), CloseReason>>) {
        let (opened, wait) = oneshot::channel();
        let state = State {
            session,
            asks: ByPlace::default(),
            watching: BTreeMap::new(),
            answering: ByPlace::default(),
            watched: BTreeMap::new(),
            opened: Some(opened),
            claimed: None,
            tells_refused: 0,
            received: 0,
            sent: 0,
            is_driver_asleep: false,
        };
        let span = tracing::info_span!(
            target: "odeon::link",
            "link",
            server = %server.id(),
            remote = %connection.remote,
            direction = direction.as_str(),
            transport = channel.transport().as_str(),
            peer = tracing::field::Empty,
        );
        let link = Arc::new(Self {
            server: server.clone(),
            direction,
            remote: connection.remote,
            credentials: connection.credentials,
            channel,
            number: server.next_link(),
            peer: OnceLock::new(),
            rights: OnceLock::new(),
            transcript: OnceLock::new(),
            state: Mutex::new(state),
            inbound: AtomicU8::new(Inbound::Silent as u8),
            delivering: Mutex::default(),
            moved: Moved::default(),
            work: Notify::new(),
            room: Notify::new(),
            span,
        });
        server.spawn_link(Driver::new(Arc::clone(&link), connection.stream).run());
        (link, wait)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the session and has the driver look at what became of it.
    pub(crate) fn with_session<T>(&self, act: impl FnOnce(&mut Session) -> T) -> T {
        let outcome = act(&mut self.state().session);
        self.work.notify_one();
        outcome
    }

    /// The peer, once it has proven itself and been taken in.
    pub(crate) fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.get()
    }

    /// The peer has proven itself and is taken in. Once.
    pub(crate) fn set_peer(&self, peer: Arc<Peer>) {
        self.span.record("peer", tracing::field::display(&peer.server));
        let _ = self.peer.set(peer);
    }

    /// What the peer may do here. Before it has proven itself there is nothing to ask.
    pub(crate) fn rights(&self) -> Option<&Arc<LinkRights>> {
        self.rights.get()
    }

    /// The peer has proven itself: what it holds from the start is known.
    pub(crate) fn begin_rights(&self, peer: &ServerId) -> Arc<LinkRights> {
        let certificate = self.channel.certificate().map(|certificate| &**certificate);
        let fixed = self.server.authority().rights(peer, self.credentials, certificate);
        let serial = certificate.map(|certificate| certificate.serial.clone());
        let rights =
            LinkRights::new(self.server.clone(), self.number, self.channel.transport(), serial, fixed);
        self.server.grants().open(self.number);
        Arc::clone(self.rights.get_or_init(|| Arc::new(rights)))
    }

    /// The hellos, as both sides have seen them.
    pub(crate) fn seen(&self, transcript: &Transcript) {
        let digest = odeon_auth::transcript(&transcript.dialler_hello, &transcript.listener_hello);
        let _ = self.transcript.set(digest);
    }

    /// What tells this link from every other, for both sides alike.
    pub(crate) fn transcript(&self) -> Option<[u8; 32]> {
        self.transcript.get().copied()
    }

    /// Changes what the peer sends, if it is `from`.
    fn change_inbound(&self, from: Inbound, to: Inbound) -> bool {
        self.inbound.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Whether the peer has sent no message over the link so far.
    pub(crate) fn is_silent(&self) -> bool {
        self.inbound.load(Ordering::SeqCst) == Inbound::Silent as u8
    }

    /// The peer sends over this link from now on.
    pub(crate) fn begin_carrying(&self) {
        self.change_inbound(Inbound::Silent, Inbound::Carrying);
    }

    /// The peer is another incarnation by now: nothing more of this one is delivered.
    pub(crate) fn supersede(&self) {
        self.inbound.store(Inbound::Superseded as u8, Ordering::SeqCst);
    }

    /// The peer sends over another link by now. Whether that concerns this one.
    pub(crate) fn supersede_if_carrying(&self) -> bool {
        self.change_inbound(Inbound::Carrying, Inbound::Superseded)
    }

    /// Taken while a message of the peer's is delivered; none, if none may be any more.
    pub(crate) fn delivering(&self) -> Option<MutexGuard<'_, ()>> {
        let delivering = self.delivering.lock().unwrap_or_else(PoisonError::into_inner);
        let is_superseded = self.inbound.load(Ordering::SeqCst) == Inbound::Superseded as u8;
        (!is_superseded || bug("deliver-over-superseded-link")).then_some(delivering)
    }

    /// Waits for a delivery under way, and ends the link.
    pub(crate) fn close_superseded(&self, why: &str) {
        drop(self.delivering.lock().unwrap_or_else(PoisonError::into_inner));
        // Both or neither: while one of them is there, nothing comes through where one thread runs all links.
        if !bug("deliver-over-superseded-link") {
            self.close(why);
        }
    }

    /// Something has been queued. The driver is woken if it sleeps; else it looks at the queue before it does.
    pub(crate) fn wake_driver(&self, mut state: MutexGuard<'_, State>) {
        let is_asleep = std::mem::take(&mut state.is_driver_asleep);
        drop(state);
        if is_asleep {
            self.work.notify_one();
        }
    }

    /// Adds what has been counted since the last time to the server's counters.
    pub(crate) fn sample(&self) {
        let counted = self.state().counted();
        self.count(counted);
    }

    /// Adds to the server's counters.
    pub(crate) fn count(&self, (received, sent): (u64, u64)) {
        let counters = self.server.counters();
        if received > 0 {
            counters.messages_in.add(received);
        }
        if sent > 0 {
            counters.messages_out.add(sent);
        }
    }

    /// Whether messages can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.peer().is_some() && self.state().session.is_established()
    }

    /// Whether it is over, if only its last bytes are still on their way.
    pub(crate) fn is_over(&self) -> bool {
        self.state().session.is_closed()
    }

    /// Ends the link in an orderly way.
    pub(crate) fn close(&self, why: &str) {
        self.with_session(|session| session.close(why));
    }

    /// The link as a row of a list.
    pub(crate) fn entry(&self) -> Option<ConnectionEntry> {
        let peer = self.peer()?;
        Some(ConnectionEntry {
            server: peer.server.clone(),
            epoch: peer.epoch,
            remote: self.remote.clone(),
            transport: self.channel.transport(),
            certificate: self.channel.certificate().map(|certificate| certificate.as_ref().into()),
            direction: self.direction,
            capabilities: names(&peer.held.rights(peer)),
            open_asks: self.state().asks.len() as u64,
        })
    }

    /// Encodes a call as the peer understands it: without names, once it has agreed to the fingerprint that came with
    /// the type. The link is not locked meanwhile.
    fn seal<'a>(&self, call: &'a RemoteCall) -> Result<Sealed<'a>, Refusal> {
        let fingerprint = self.server.fingerprints().get(&call.mark);
        let is_known = fingerprint.is_some() && call.arguments.fingerprint() == fingerprint;
        let is_agreed = is_known && self.state().session.is_agreed(&call.mark);
        let wanted = if is_agreed { Encoding::Compact } else { Encoding::Cbor };
        let (encoding, payload) = encoded(call, wanted)?;
        Ok(Sealed { call, fingerprint: fingerprint.map(Fingerprint::as_u64), encoding, payload })
    }

    /// Sends a tell; waits while there is no credit for it, or too much is queued.
    pub(crate) async fn tell(&self, call: &RemoteCall) -> Result<(), Unsent<TellError>> {
        let sealed = self.seal(call).map_err(|refusal| Unsent::Failed(refusal.into()))?;
        let parcel = sealed.parcel();
        let sent = self.send(Some(&parcel), |state, now| state.tell(&parcel, now)).await;
        sent.map_err(|error| self.unsent(error))
    }

    /// Sends a tell if there is room for it now.
    pub(crate) fn try_tell(&self, call: &RemoteCall) -> Result<Result<(), SendError>, Refusal> {
        let sealed = self.seal(call)?;
        let now = self.server.clock().now();
        let sent = self.state().tell(&sealed.parcel(), now);
        self.work.notify_one();
        Ok(sent)
    }

    /// Sends an ask, once there is room for it. What is returned is its answer, when there is one.
    pub(crate) async fn ask(self: &Arc<Self>, call: &RemoteCall) -> Result<Awaited, Unsent<AskError>> {
        let sealed = self.seal(call).map_err(|refusal| Unsent::Failed(refusal.into()))?;
        let parcel = sealed.parcel();
        let (port, answer) = AnswerPort::new();
        let mut port = Some(port);
        let sent = self.send(Some(&parcel), |state, now| state.ask(&parcel, now, &mut port)).await;
        let id = sent.map_err(|error| match self.unsent(error) {
            Unsent::Over => Unsent::Over,
            Unsent::Failed(error) => Unsent::Failed(AskError::from(error)),
        })?;
        Ok(answer.asked(Arc::clone(self) as Arc<dyn Asks>, id))
    }

    /// Watches an actor of the peer's, if there is room for that now; its end is told to the server as `monitor`.
    pub(crate) fn try_watch(&self, actor: &ActorId, monitor: MonitorId) -> Result<u64, SendError> {
        let watched = self.state().watch(actor, monitor);
        self.work.notify_one();
        watched
    }

    /// Watches an actor of the peer's; waits while too much is queued.
    pub(crate) async fn watch(&self, actor: &ActorId, monitor: MonitorId) -> Result<u64, SendError> {
        self.send(None, |state, _| state.watch(actor, monitor)).await
    }

    /// Takes back a watch.
    pub(crate) fn unwatch(&self, id: u64) {
        let mut state = self.state();
        if state.watching.remove(&id).is_some() {
            state.session.demonitor(id);
            drop(state);
            self.work.notify_one();
        }
    }

    /// Does `send` under the lock, again and again while there is no room for what it sends. A large message is not
    /// overtaken for ever by others of its flow while it waits.
    async fn send<'a, T>(
        &'a self,
        parcel: Option<&Parcel<'a>>,
        mut send: impl FnMut(&mut State, Instant) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let now = self.server.clock().now();
        let mut sent = send(&mut self.state(), now);
        let mut large = None;
        while sent.as_ref().is_err_and(SendError::is_for_now) {
            // What it did send, the opening of a flow say, must leave for the room to come.
            self.work.notify_one();
            self.await_room_for(parcel, &sent, &mut large);
            let room = self.room.notified();
            let mut room = pin!(room);
            // Registered before the look, so that room made in between is not missed.
            room.as_mut().enable();
            let now = self.server.clock().now();
            sent = send(&mut self.state(), now);
            if sent.as_ref().is_err_and(SendError::is_for_now) {
                self.work.notify_one();
                self.await_room_for(parcel, &sent, &mut large);
                let _waiting = WaitingSender::begin(self.server.counters());
                room.await;
            }
        }
        self.work.notify_one();
        sent
    }

    /// Has others of the flow wait behind a large message as long as it is their flow that has no room for it. Where
    /// it waits for the link, they would do so for nothing.
    fn await_room_for<'a, T>(
        &'a self,
        parcel: Option<&Parcel<'a>>,
        sent: &Result<T, SendError>,
        large: &mut Option<Large<'a>>,
    ) {
        if !matches!(sent, Err(SendError::NoCredit { is_flow: true })) {
            *large = None;
        } else if large.is_none() {
            *large = parcel.and_then(|parcel| Large::begin(self, parcel));
        }
    }

    fn unsent(&self, error: SendError) -> Unsent<TellError> {
        match error {
            SendError::Closed => Unsent::Over,
            error => Unsent::Failed(self.tell_error(error)),
        }
    }

    pub(crate) fn tell_error(&self, error: SendError) -> TellError {
        match error {
            SendError::TooLarge { .. } => {
                TellError::Refused(Refusal::new(RefusalCode::BadPayload, error.to_string()))
            }
            SendError::BadMark => {
                TellError::Refused(Refusal::new(RefusalCode::UnknownMark, error.to_string()))
            }
            SendError::TooManyAsks { .. }
            | SendError::TooManyTypes { .. }
            | SendError::TooManyMonitors { .. } => {
                TellError::Refused(Refusal::new(RefusalCode::LimitReached, error.to_string()))
            }
            _ => {
                let server = self.peer().map_or_else(|| self.remote.clone(), |peer| peer.server.to_string());
                TellError::Unreachable { server, why: error.to_string() }
            }
        }
    }
}

impl State {
    /// The messages since the last time: received, and sent.
    pub(crate) fn counted(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.received), std::mem::take(&mut self.sent))
    }

    pub(crate) fn tell(&mut self, parcel: &Parcel<'_>, now: Instant) -> Result<(), SendError> {
        self.session.tell(parcel, now).inspect(|()| self.sent += 1)
    }

    pub(crate) fn ask(
        &mut self,
        parcel: &Parcel<'_>,
        now: Instant,
        port: &mut Option<AnswerPort>,
    ) -> Result<u64, SendError> {
        let id = self.session.ask(parcel, now)?;
        self.sent += 1;
        if let Some(port) = port.take() {
            self.asks.insert(id, port);
        }
        Ok(id)
    }

    fn watch(&mut self, actor: &ActorId, monitor: MonitorId) -> Result<u64, SendError> {
        let id = self.session.monitor(actor.clone())?;
        self.watching.insert(id, monitor);
        Ok(id)
    }
}

impl ReplySink for Link {
    fn answer(&self, ask: u64, answer: Result<Vec<u8>, AskError>) {
        let mut state = self.state();
        let Some(encoding) = state.answering.remove(ask) else {
            return;
        };
        let session = &mut state.session;
        match answer {
            Ok(payload) => {
                if let Err(error) = session.reply(ask, encoding, &payload) {
                    session.refuse_ask(
                        ask,
                        Refusal::new(RefusalCode::LimitReached, format!("the answer: {error}")),
                    );
                }
            }
            Err(AskError::Dead(reason)) => session.dead(ask, reason),
            Err(AskError::NoReply) => session.no_reply(ask),
            Err(AskError::Refused(refusal)) => session.refuse_ask(ask, refusal),
            Err(other) => session.refuse_ask(ask, Refusal::new(RefusalCode::Internal, other.to_string())),
        }
        self.wake_driver(state);
    }

    fn is_wanted(&self, ask: u64) -> bool {
        self.state().answering.contains(ask)
    }
}

impl Asks for Link {
    fn withdraw(&self, ask: u64) {
        let mut state = self.state();
        let port = state.asks.remove(ask);
        if port.is_some() {
            state.session.cancel(ask);
            drop(state);
            self.work.notify_one();
        }
    }
}

/// A call as the peer of a link understands it.
struct Sealed<'a> {
    call: &'a RemoteCall,
    fingerprint: Option<u64>,
    encoding: Encoding,
    payload: Cow<'a, [u8]>,
}

impl Sealed<'_> {
    fn parcel(&self) -> Parcel<'_> {
        Parcel {
            to: &self.call.to.actor,
            from: self.call.from,
            mark: &self.call.mark,
            fingerprint: self.fingerprint,
            encoding: self.encoding,
            expires_at: self.call.expires_at,
            nonce: self.call.nonce,
            in_reply_to: self.call.in_reply_to,
            payload: &self.payload,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer())
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
