//! One link: a session of `odeon-wire` as those who send over it see it.
//!
//! Whoever sends encodes into the session's buffer under the link's lock and wakes the driver (`drive`), which
//! writes all that has gathered at once. The link owns the asks and monitors that crossed it; when it ends, each
//! of them is told. Nothing of others (an actor, a notice, the table of peers) is called with the lock held.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use odeon_actor::{AskError, Inbox, MonitorId, Peer, RemoteCall, ReplySink, TellError};
use odeon_core::seam::{Connection, PeerCredentials};
use odeon_core::{ActorId, Encoding, Epoch, ExitReason, Instant, Mark, Refusal, RefusalCode, ServerId};
use odeon_wire::{AskFailure, CloseReason, Parcel, SendError, Session};
use tokio::sync::{Notify, oneshot};

use crate::control::{ConnectionEntry, Direction};
use crate::drive::Driver;
use crate::secure::Channel;
use crate::server::Server;

/// What the peer answered, or why it did not.
type Answer = Result<(Encoding, Vec<u8>), AskFailure>;

/// A link, as those who send over it see it.
pub(crate) struct Link {
    pub(crate) server: Server,
    pub(crate) direction: Direction,
    pub(crate) remote: String,
    pub(crate) credentials: PeerCredentials,
    pub(crate) channel: Channel,
    /// Set when the link is taken into the table of peers.
    peer: OnceLock<Arc<Peer>>,
    state: Mutex<State>,
    inbound: Mutex<Inbound>,
    /// Held while one message of the peer's is delivered.
    delivering: Mutex<()>,
    /// Something is to be written, or the link is over.
    pub(crate) work: Notify,
    /// There is room for more to be sent, or the link is over.
    pub(crate) room: Notify,
}

/// What the peer sends over a link. It sends over one at a time and never goes back to one that has ended for it,
/// so its first message over another link is also the end of this one, whatever is still on the way here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) asks: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Ours, on the peer's actors.
    pub(crate) watching: BTreeMap<u64, MonitorId>,
    /// The peer's, waiting for our actors.
    pub(crate) answering: BTreeMap<u64, Encoding>,
    /// The peer's, on our actors.
    pub(crate) watched: BTreeMap<u64, (Arc<dyn Inbox>, MonitorId)>,
    /// Whoever dialled and waits for the handshake.
    pub(crate) opened: Option<oneshot::Sender<Result<(), CloseReason>>>,
    /// Who the peer says it is, until that is proven.
    pub(crate) claimed: Option<(ServerId, Epoch)>,
    /// How many of our tells the peer has refused.
    pub(crate) tells_refused: u64,
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
            asks: BTreeMap::new(),
            watching: BTreeMap::new(),
            answering: BTreeMap::new(),
            watched: BTreeMap::new(),
            opened: Some(opened),
            claimed: None,
            tells_refused: 0,
        };
        let link = Arc::new(Self {
            server: server.clone(),
            direction,
            remote: connection.remote,
            credentials: connection.credentials,
            channel,
            peer: OnceLock::new(),
            state: Mutex::new(state),
            inbound: Mutex::new(Inbound::Silent),
            delivering: Mutex::default(),
            work: Notify::new(),
            room: Notify::new(),
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
        let _ = self.peer.set(peer);
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the peer has sent no message over the link so far.
    pub(crate) fn is_silent(&self) -> bool {
        *self.inbound() == Inbound::Silent
    }

    /// The peer sends over this link from now on.
    pub(crate) fn begin_carrying(&self) {
        let mut inbound = self.inbound();
        if *inbound == Inbound::Silent {
            *inbound = Inbound::Carrying;
        }
    }

    /// The peer is another incarnation by now: nothing more of this one is delivered.
    pub(crate) fn supersede(&self) {
        *self.inbound() = Inbound::Superseded;
    }

    /// The peer sends over another link by now. Whether that concerns this one.
    pub(crate) fn supersede_if_carrying(&self) -> bool {
        let mut inbound = self.inbound();
        let is_carrying = *inbound == Inbound::Carrying;
        if is_carrying {
            *inbound = Inbound::Superseded;
        }
        is_carrying
    }

    /// Taken while a message of the peer's is delivered; none, if none may be any more.
    pub(crate) fn delivering(&self) -> Option<MutexGuard<'_, ()>> {
        let delivering = self.delivering.lock().unwrap_or_else(PoisonError::into_inner);
        (*self.inbound() != Inbound::Superseded).then_some(delivering)
    }

    /// Waits for a delivery under way, and ends the link.
    pub(crate) fn close_superseded(&self, why: &str) {
        drop(self.delivering.lock().unwrap_or_else(PoisonError::into_inner));
        self.close(why);
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
            capabilities: peer.capabilities.iter().map(ToString::to_string).collect(),
            open_asks: self.state().asks.len() as u64,
        })
    }

    /// Sends a tell; waits while too much is queued.
    pub(crate) async fn tell(&self, call: RemoteCall) -> Result<(), TellError> {
        let parcel = parcel(call)?;
        self.send(|state, now| state.session.tell(&parcel, now)).await.map_err(|e| self.tell_error(e))
    }

    /// Sends an ask and waits for its answer.
    pub(crate) async fn ask(&self, call: RemoteCall) -> Result<(Encoding, Vec<u8>), AskError> {
        let parcel = parcel(call)?;
        let (port, answer) = oneshot::channel();
        let mut port = Some(port);
        let id = self
            .send(|state, now| {
                let id = state.session.ask(&parcel, now)?;
                if let Some(port) = port.take() {
                    state.asks.insert(id, port);
                }
                Ok(id)
            })
            .await
            .map_err(|e| AskError::from(self.tell_error(e)))?;
        drop(parcel);
        let _waiting = Waiting { link: self, id };
        let outcome =
            answer.await.unwrap_or_else(|_| Err(AskFailure::LinkLost("the server is stopping".to_owned())));
        outcome.map_err(|failure| match failure {
            AskFailure::Refused(refusal) => AskError::Refused(refusal),
            AskFailure::Dead(reason) => AskError::Dead(reason),
            AskFailure::NoReply => AskError::NoReply,
            AskFailure::LinkLost(why) => AskError::Dead(ExitReason::LinkLost(why)),
            other => AskError::Refused(Refusal::new(RefusalCode::Internal, other.to_string())),
        })
    }

    /// Watches an actor of the peer's, if there is room for that now; its end is told to the server as `monitor`.
    pub(crate) fn try_watch(&self, actor: &ActorId, monitor: MonitorId) -> Result<u64, SendError> {
        let watched = self.state().watch(actor, monitor);
        self.work.notify_one();
        watched
    }

    /// Watches an actor of the peer's; waits while too much is queued.
    pub(crate) async fn watch(&self, actor: &ActorId, monitor: MonitorId) -> Result<u64, SendError> {
        self.send(|state, _| state.watch(actor, monitor)).await
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

    /// Does `send` under the lock, again and again while the link is backlogged.
    async fn send<T>(
        &self,
        mut send: impl FnMut(&mut State, Instant) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        loop {
            let room = self.room.notified();
            let mut room = pin!(room);
            // Registered before the look, so that room made in between is not missed.
            room.as_mut().enable();
            let now = self.server.clock().now();
            let sent = send(&mut self.state(), now);
            match sent {
                Err(SendError::Backlogged { .. }) => room.await,
                other => {
                    self.work.notify_one();
                    return other;
                }
            }
        }
    }

    fn tell_error(&self, error: SendError) -> TellError {
        match error {
            SendError::TooLarge { .. } => {
                TellError::Refused(Refusal::new(RefusalCode::BadPayload, error.to_string()))
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
    fn watch(&mut self, actor: &ActorId, monitor: MonitorId) -> Result<u64, SendError> {
        let id = self.session.monitor(actor.clone())?;
        self.watching.insert(id, monitor);
        Ok(id)
    }
}

impl ReplySink for Link {
    fn answer(&self, ask: u64, answer: Result<Vec<u8>, AskError>) {
        let mut state = self.state();
        let Some(encoding) = state.answering.remove(&ask) else {
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
        drop(state);
        self.work.notify_one();
    }

    fn is_wanted(&self, ask: u64) -> bool {
        self.state().answering.contains_key(&ask)
    }
}

/// An ask whose asker waits. Whoever stops waiting before there is an answer tells the peer so.
struct Waiting<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.link.state();
        if state.asks.remove(&self.id).is_some() {
            state.session.cancel(self.id);
            drop(state);
            self.link.work.notify_one();
        }
    }
}

fn parcel(call: RemoteCall) -> Result<Parcel, Refusal> {
    let RemoteCall { to, from, mark, encoding, payload, expires_at } = call;
    let mark: Mark = mark
        .parse()
        .map_err(|e: odeon_core::MarkError| Refusal::new(RefusalCode::UnknownMark, e.to_string()))?;
    Ok(Parcel { to: to.actor, from, mark, encoding, expires_at, payload })
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer())
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
