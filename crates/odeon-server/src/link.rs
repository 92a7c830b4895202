//! One link: a session of `odeon-wire`, driven over a connection by one task.
//!
//! Whoever sends encodes into the session's buffer under the link's lock and wakes the driver, which writes all
//! that has gathered at once. What the session reports is acted on outside the lock, since answers come back
//! through it. The link owns the asks and monitors that crossed it; when it ends, each of them is told.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use odeon_actor::{
    AskError, Delivery, Down, Inbox, MonitorId, Payload, Peer, RemoteCall, ReplySink, Sender, TellError,
};
use odeon_core::seam::{Connection, PeerCredentials, Stream};
use odeon_core::{Encoding, Epoch, ExitReason, Mark, Reference, Refusal, RefusalCode, ServerId};
use odeon_wire::{AskFailure, CloseReason, Event, Parcel, SendError, Session, Side};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};

use crate::control::{ConnectionEntry, Direction};
use crate::server::Server;

/// Bytes read at once before the peer is known: a hello fits, and a thousand silent connections cost 4 MiB.
const READ_BYTES_BEFORE: usize = 4 * 1024;

/// Bytes read at once on an established link.
const READ_BYTES: usize = 64 * 1024;

/// Bytes gathered for one write; larger frames go in one piece all the same.
const WRITE_BYTES: usize = 256 * 1024;

/// How long the last frames may take to leave once a link is over.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

type NotifyDown = Box<dyn FnOnce(Down) + Send>;
/// What the peer answered, or why it did not.
type Answer = Result<(Encoding, Vec<u8>), AskFailure>;

/// A link, as those who send over it see it.
pub(crate) struct Link {
    server: Server,
    pub(crate) direction: Direction,
    pub(crate) remote: String,
    credentials: PeerCredentials,
    peer: OnceLock<Arc<Peer>>,
    state: Mutex<State>,
    /// Something is to be written, or the link is over.
    work: Notify,
    /// Something has been written.
    room: Notify,
}

struct State {
    session: Session,
    /// Ours, waiting for the peer.
    asks: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Ours, on the peer's actors.
    watching: BTreeMap<u64, (MonitorId, Reference, NotifyDown)>,
    /// The peer's, waiting for our actors.
    answering: BTreeMap<u64, Encoding>,
    /// The peer's, on our actors.
    watched: BTreeMap<u64, (Arc<dyn Inbox>, MonitorId)>,
    /// Whoever dialled and waits for the handshake.
    opened: Option<oneshot::Sender<Result<(), CloseReason>>>,
    /// Who the peer says it is, until that is proven.
    claimed: Option<(ServerId, Epoch)>,
    over: bool,
}

impl Link {
    /// Starts driving `session` over `connection`. The receiver hears how the handshake ends.
    pub(crate) fn start(
        server: &Server,
        direction: Direction,
        session: Session,
        connection: Connection,
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
            over: false,
        };
        let link = Arc::new(Self {
            server: server.clone(),
            direction,
            remote: connection.remote,
            credentials: connection.credentials,
            peer: OnceLock::new(),
            state: Mutex::new(state),
            work: Notify::new(),
            room: Notify::new(),
        });
        server.spawn_link(Arc::clone(&link).drive(connection.stream));
        (link, wait)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer, once it has proven itself.
    pub(crate) fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.get()
    }

    /// Whether messages can be sent.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state();
        !state.over && state.session.is_established()
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
    pub(crate) async fn ask(self: Arc<Self>, call: RemoteCall) -> Result<(Encoding, Vec<u8>), AskError> {
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
        // Whoever stops waiting tells the peer so.
        let waiting = Waiting { link: &self, id };
        let outcome =
            answer.await.unwrap_or_else(|_| Err(AskFailure::LinkLost("the server is stopping".to_owned())));
        std::mem::forget(waiting);
        outcome.map_err(|failure| match failure {
            AskFailure::Refused(refusal) => AskError::Refused(refusal),
            AskFailure::Dead(reason) => AskError::Dead(reason),
            AskFailure::NoReply => AskError::NoReply,
            AskFailure::LinkLost(why) => AskError::Dead(ExitReason::LinkLost(why)),
            other => AskError::Refused(Refusal::new(RefusalCode::Internal, other.to_string())),
        })
    }

    /// Has `notify` called once, when the peer's actor ends or the link does.
    pub(crate) fn monitor(&self, to: &Reference, monitor: MonitorId, notify: NotifyDown) {
        let mut state = self.state();
        match state.session.monitor(to.actor.clone()) {
            Ok(id) => {
                state.watching.insert(id, (monitor, to.clone(), notify));
                drop(state);
                self.work.notify_one();
            }
            Err(error) => {
                drop(state);
                notify(down(monitor, to, ExitReason::LinkLost(error.to_string())));
            }
        }
    }

    /// Forgets a monitor, if it crossed this link.
    pub(crate) fn demonitor(&self, monitor: MonitorId) -> bool {
        let mut state = self.state();
        let Some(id) = state.watching.iter().find(|(_, (known, ..))| *known == monitor).map(|(id, _)| *id)
        else {
            return false;
        };
        let forgotten = state.watching.remove(&id);
        state.session.demonitor(id);
        drop(state);
        drop(forgotten);
        self.work.notify_one();
        true
    }

    /// Does `send` under the lock, again and again while the link is backlogged.
    async fn send<T>(
        &self,
        mut send: impl FnMut(&mut State, odeon_core::Instant) -> Result<T, SendError>,
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

    /// Feeds the session and writes what it makes, until one of the two sides ends it.
    async fn drive(self: Arc<Self>, mut stream: Box<dyn Stream>) {
        let mut input = vec![0; READ_BYTES_BEFORE];
        let mut output = Output::default();
        let clock = Arc::clone(self.server.clock());
        let mut timer = None;
        let mut ending = None;
        loop {
            while let Some(event) = self.next_event() {
                match event {
                    Event::Closed(reason) => {
                        timer = None;
                        ending.get_or_insert_with(|| clock.now() + FLUSH_TIMEOUT);
                        self.over(&reason);
                    }
                    Event::Accepted { .. } => input.resize(READ_BYTES, 0),
                    event => self.on_event(event),
                }
            }
            output.refill(|bytes| self.state().session.poll_transmit(bytes, WRITE_BYTES));
            if ending.is_some() && output.is_empty() {
                break;
            }
            let at = ending.or_else(|| self.state().session.poll_timeout());
            match &timer {
                Some((set, _)) if Some(*set) == at => {}
                _ => timer = at.map(|at| (at, clock.sleep_until(at))),
            }
            let work = pin!(self.work.notified());
            let timeout = timer.as_mut().map(|(_, sleep)| sleep.as_mut());
            match step(&mut stream, &mut input, &output, work, timeout, ending.is_some()).await {
                Step::Work => {}
                Step::Timeout if ending.is_some() => break,
                Step::Timeout => self.state().session.handle_timeout(clock.now()),
                Step::Read(0) => self.lost("the peer closed the connection"),
                Step::Read(n) => self.state().session.handle_bytes(&input[..n], clock.now()),
                Step::Wrote(n) => {
                    output.advance(n);
                    self.room.notify_waiters();
                }
                Step::Failed(_) if ending.is_some() => break,
                Step::Failed(error) => self.lost(&error.to_string()),
            }
        }
        self.server.link_over(&self);
    }

    fn next_event(self: &Arc<Self>) -> Option<Event> {
        let event = self.state().session.poll_event()?;
        match event {
            Event::PeerHello { server, epoch } => {
                self.state().claimed = Some((server, epoch));
                self.next_event()
            }
            Event::NeedProof { side, transcript } => {
                let mac = self.server.prove(side, &transcript);
                self.state().session.provide_proof(mac);
                self.next_event()
            }
            Event::Verify { side, transcript, mac } => {
                self.verify(side, &transcript, mac);
                self.next_event()
            }
            Event::Accepted { ref peer, epoch, .. } => {
                let capabilities = self.server.authority().capabilities(peer, self.credentials);
                let peer = Arc::new(Peer { server: peer.clone(), epoch, capabilities });
                let _ = self.peer.set(Arc::clone(&peer));
                let admitted = self.server.admit(self);
                let opened = self.state().opened.take();
                if let Err(why) = admitted {
                    self.close(&why);
                } else if let Some(opened) = opened {
                    // Whoever dialled may have given up.
                    let _ = opened.send(Ok(()));
                }
                Some(event)
            }
            event => Some(event),
        }
    }

    fn verify(&self, side: Side, transcript: &odeon_wire::Transcript, mac: [u8; 32]) {
        let right = self.server.verify(side, transcript, mac);
        let mut state = self.state();
        let claimed = state.claimed.take();
        let stale = claimed.and_then(|(server, epoch)| self.server.check_epoch(&server, epoch).err());
        match stale {
            // Only now is the claim proven, so that no stranger learns which incarnations were here.
            Some(detail) if right => state.session.refuse(odeon_wire::RefuseCode::StaleEpoch, detail),
            _ => state.session.verified(right),
        }
    }

    fn lost(&self, why: &str) {
        self.state().session.handle_lost(why);
    }

    /// Acts on what the session reports. Never called with the lock held.
    fn on_event(self: &Arc<Self>, event: Event) {
        match event {
            Event::Tell(parcel) => {
                if let Err(refusal) = self.deliver(parcel, None) {
                    self.with_session(|session| session.refuse_tell(refusal));
                }
            }
            Event::Ask { ask_id, parcel } => {
                self.state().answering.insert(ask_id, parcel.encoding);
                if let Err(refusal) = self.deliver(parcel, Some(ask_id)) {
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
            Event::Monitor { monitor_id, actor } => self.watch(monitor_id, &actor),
            Event::Demonitor { monitor_id } => {
                let watched = self.state().watched.remove(&monitor_id);
                if let Some((inbox, monitor)) = watched {
                    inbox.demonitor(monitor);
                }
            }
            Event::Down { monitor_id, reason } => {
                let watching = self.state().watching.remove(&monitor_id);
                if let Some((monitor, reference, notify)) = watching {
                    notify(down(monitor, &reference, reason));
                }
            }
            Event::Refused { refusal } => {
                tracing::warn!(remote = %self.remote, code = %refusal.code, "a tell was refused: {refusal}");
            }
            _ => {}
        }
    }

    fn deliver(self: &Arc<Self>, parcel: Parcel, ask: Option<u64>) -> Result<(), Refusal> {
        let Some(peer) = self.peer() else {
            return Err(Refusal::new(RefusalCode::Internal, "the link has no peer yet"));
        };
        let inbox = self.server.local_inbox(&parcel.to)?;
        inbox.deliver(Delivery {
            mark: parcel.mark.as_str(),
            payload: Payload { encoding: parcel.encoding, bytes: &parcel.payload },
            sender: Sender::Remote(Arc::clone(peer), parcel.from),
            expires_at: parcel.expires_at,
            reply: ask.map(|ask| (Arc::clone(self) as Arc<dyn ReplySink>, ask)),
        })
    }

    /// Watches an actor of ours for the peer.
    fn watch(self: &Arc<Self>, monitor_id: u64, actor: &odeon_core::ActorId) {
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
            Ok(monitor) if inbox.exit_reason().is_none() => {
                self.state().watched.insert(monitor_id, (inbox, monitor));
            }
            Ok(_) => {}
            Err(error) => tell(ExitReason::LinkLost(error.to_string())),
        }
    }

    fn with_session(&self, act: impl FnOnce(&mut Session)) {
        act(&mut self.state().session);
        self.work.notify_one();
    }

    /// The link is over: the session has told our asks and monitors; the peer's are let go.
    fn over(&self, reason: &CloseReason) {
        tracing::debug!(remote = %self.remote, %reason, "link over");
        let (opened, watched) = {
            let mut state = self.state();
            state.over = true;
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

/// An ask whose asker still waits.
struct Waiting<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let id = self.id;
        let known = self.link.state().asks.remove(&id).is_some();
        if known {
            self.link.with_session(|session| session.cancel(id));
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

pub(crate) fn down(monitor: MonitorId, to: &Reference, reason: ExitReason) -> Down {
    Down { monitor, server: Some(to.server.clone()), actor: to.actor.clone(), reason }
}

/// Bytes on their way out.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    fn refill(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> bool) {
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
            fill(&mut self.bytes);
        }
    }

    const fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.is_empty() {
            // One large message must not keep its memory for the life of the link.
            self.bytes.clear();
            self.bytes.shrink_to(WRITE_BYTES);
            self.sent = 0;
        }
    }
}

enum Step {
    Work,
    Timeout,
    Read(usize),
    Wrote(usize),
    Failed(std::io::Error),
}

/// Waits for the next thing to do on the connection.
async fn step(
    stream: &mut Box<dyn Stream>,
    input: &mut [u8],
    output: &Output,
    mut work: Pin<&mut impl Future<Output = ()>>,
    mut timeout: Option<Pin<&mut (dyn Future<Output = ()> + Send + 'static)>>,
    ending: bool,
) -> Step {
    std::future::poll_fn(|cx| {
        if !output.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, output.rest()) {
                Poll::Ready(Ok(n)) => return Poll::Ready(Step::Wrote(n)),
                Poll::Ready(Err(error)) => return Poll::Ready(Step::Failed(error)),
                Poll::Pending => {}
            }
        } else if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Work);
        }
        if !ending {
            let mut buffer = ReadBuf::new(&mut *input);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => return Poll::Ready(Step::Read(buffer.filled().len())),
                Poll::Ready(Err(error)) => return Poll::Ready(Step::Failed(error)),
                Poll::Pending => {}
            }
        }
        match &mut timeout {
            Some(timeout) => timeout.as_mut().poll(cx).map(|()| Step::Timeout),
            None => Poll::Pending,
        }
    })
    .await
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer())
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
