//! The way handles take to actors of other servers, and of this one by reference.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use odeon_actor::{
    Actor, Arguments, AskError, Awaited, Delivery, Down, Handle, Inbox, MonitorId, Offer, Payload,
    RemoteCall, ReplySink, Route, Sender, System, TellError, Untaken,
};
use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{ActorId, Encoding, ExitReason, Reference, Refusal, RefusalCode, decode};
use tokio::sync::oneshot;

use crate::connect::ConnectError;
use crate::control::{ControlPingActor, ControlStopActor};
use crate::link::Unsent;
use crate::server::Server;
use crate::way::Way;

/// Links tried for one message: one that is about to be closed for want of use, and two that take its place.
const LINKS_TRIED: usize = 3;

/// Routes calls over the server's links.
#[derive(Debug)]
pub(crate) struct ServerRoute {
    server: Server,
    way: Way,
}

impl ServerRoute {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, way: Way::default() }
    }
}

impl Server {
    /// Sends an encoded message to an actor anywhere, without waiting for an answer.
    ///
    /// # Errors
    /// When the message is refused here, or the server cannot be reached.
    pub async fn tell_encoded(&self, call: RemoteCall) -> Result<(), TellError> {
        if call.to.server == *self.id() {
            return Ok(self.deliver_here(&call, None).map(drop)?);
        }
        for _ in 0..LINKS_TRIED {
            let link = self.link_to(&call.to.server).await.map_err(|error| unreachable(&error))?;
            match link.tell(&call).await {
                Err(Unsent::Over) => {}
                Err(Unsent::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(none_lasted(&call.to))
    }

    /// Sends an encoded message to an actor anywhere and waits for the encoded answer, until `call.expires_at`.
    ///
    /// # Errors
    /// As for any ask.
    ///
    /// # Cancel safety
    /// Dropped, the other server is told that nobody waits; the request may still be run.
    pub async fn ask_encoded(&self, call: RemoteCall) -> Result<(Encoding, Vec<u8>), AskError> {
        let Some(at) = call.expires_at else {
            return self.ask_unbounded(call).await;
        };
        let asked_at = self.clock().now();
        tokio::select! {
            biased;
            outcome = self.ask_unbounded(call) => outcome,
            () = self.clock().sleep_until(at) => Err(AskError::Timeout { after: self.clock().now() - asked_at }),
        }
    }

    async fn ask_unbounded(&self, call: RemoteCall) -> Result<(Encoding, Vec<u8>), AskError> {
        if call.to.server == *self.id() {
            let (port, answer) = oneshot::channel();
            let sink = Arc::new(HereSink(Mutex::new(Some(port))));
            let encoding = self.deliver_here(&call, Some(sink))?;
            return answer.await.unwrap_or(Err(AskError::NoReply)).map(|bytes| (encoding, bytes));
        }
        for _ in 0..LINKS_TRIED {
            let link = self.link_to(&call.to.server).await.map_err(|error| unreachable(&error))?;
            match link.ask(&call).await {
                Err(Unsent::Over) => {}
                Err(Unsent::Failed(error)) => return Err(error),
                Ok(answer) => return answer.await,
            }
        }
        Err(none_lasted(&call.to).into())
    }

    /// Sends to an actor of this server, if its mailbox has room.
    fn try_tell_here(&self, offer: &Offer<'_>) -> Result<(), Untaken> {
        let mut bytes = Vec::new();
        (offer.encode)(Encoding::Cbor, &mut bytes).map_err(|error| Untaken::Failed(error.into()))?;
        let call = RemoteCall {
            to: offer.to.clone(),
            from: offer.from,
            nonce: offer.nonce,
            in_reply_to: offer.in_reply_to,
            mark: Cow::Borrowed(offer.mark),
            arguments: Arguments::Encoded { encoding: Encoding::Cbor, bytes },
            expires_at: offer.expires_at,
        };
        match self.deliver_here(&call, None) {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.code == RefusalCode::Full => Err(Untaken::Full),
            Err(refusal) => Err(Untaken::Failed(refusal.into())),
        }
    }

    /// Delivers to an actor of this server; how the answer will be encoded.
    fn deliver_here(&self, call: &RemoteCall, sink: Option<Arc<HereSink>>) -> Result<Encoding, Refusal> {
        let (encoding, bytes) = encoded(call, Encoding::Cbor)?;
        self.local_inbox(&call.to.actor)?.deliver(Delivery {
            mark: &call.mark,
            method: None,
            payload: Payload { encoding, bytes: &bytes },
            fingerprint: None,
            sender: if call.from == 0 { Sender::Outside } else { Sender::Actor(call.from) },
            expires_at: call.expires_at,
            nonce: call.nonce,
            in_reply_to: call.in_reply_to,
            reply: sink.map(|sink| (sink as Arc<dyn ReplySink>, 0)),
        })?;
        Ok(encoding)
    }
}

/// The arguments of a call as bytes: as wanted, unless they are bytes already.
pub(crate) fn encoded(call: &RemoteCall, wanted: Encoding) -> Result<(Encoding, Cow<'_, [u8]>), Refusal> {
    call.arguments.encoded(wanted).map_err(|e| Refusal::new(RefusalCode::BadPayload, e.to_string()))
}

impl Server {
    /// The actor that `handle` stands for, as other servers may name it: of a number, with the incarnation in which it
    /// is one, so that it never means another actor of a later run.
    #[must_use]
    pub fn reference<A: Actor>(&self, handle: &Handle<A>) -> Reference {
        match (handle.reference(), handle.id()) {
            (Some(reference), _) => reference.clone(),
            (None, ActorId::Number(number)) => {
                Reference::new(self.id().clone(), ActorId::NumberOf(number, self.epoch()))
            }
            (None, id) => Reference::new(self.id().clone(), id),
        }
    }
}

/// That each link ended before it took the message, as senders are told.
fn none_lasted(to: &Reference) -> TellError {
    let why = format!("{LINKS_TRIED} links ended before they took the message");
    TellError::Unreachable { server: to.server.to_string(), why }
}

/// That there is no link, as senders are told.
pub(crate) fn unreachable(error: &ConnectError) -> TellError {
    let server = match error {
        ConnectError::Itself(server)
        | ConnectError::NoAddresses { server, .. }
        | ConnectError::AllFailed { server, .. } => server.to_string(),
        ConnectError::Stopping => "the peer".to_owned(),
    };
    TellError::Unreachable { server, why: error.to_string() }
}

/// Takes the answer to an ask that did not leave the process.
struct HereSink(Mutex<Option<Port>>);

type Port = oneshot::Sender<Result<Vec<u8>, AskError>>;

impl ReplySink for HereSink {
    fn answer(&self, _: u64, answer: Result<Vec<u8>, AskError>) {
        let port = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(port) = port {
            // The asker may have given up.
            let _ = port.send(answer);
        }
    }

    fn is_wanted(&self, _: u64) -> bool {
        let port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        port.as_ref().is_some_and(|port| !port.is_closed())
    }
}

impl Route for ServerRoute {
    fn system(&self) -> Option<&System> {
        Some(self.server.system())
    }

    fn tell_now(&self, offer: &Offer<'_>) -> Option<Result<(), TellError>> {
        self.way.tell(&self.server, offer)
    }

    fn try_tell(&self, offer: &Offer<'_>) -> Result<(), Untaken> {
        let peer = &offer.to.server;
        if *peer == *self.server.id() {
            return self.server.try_tell_here(offer);
        }
        match self.way.try_tell(&self.server, offer) {
            Err(Untaken::NoLink) => match self.server.begin_link(peer).map_err(|e| unreachable(&e)) {
                Ok(true) => self.way.try_tell(&self.server, offer),
                Ok(false) => Err(Untaken::NoLink),
                Err(error) => Err(Untaken::Failed(error)),
            },
            told => told,
        }
    }

    fn ask_now(&self, offer: &Offer<'_>) -> Option<Result<Awaited, AskError>> {
        self.way.ask(&self.server, offer)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.server.clock())
    }

    fn reply_timeout(&self) -> Duration {
        self.server.system().reply_timeout()
    }

    fn tell(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(), TellError>> {
        Box::pin(async move { self.server.tell_encoded(call).await })
    }

    fn ask(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(Encoding, Vec<u8>), AskError>> {
        Box::pin(async move { self.server.ask_unbounded(call).await })
    }

    fn ping(self: Arc<Self>, to: Reference) -> BoxFuture<'static, Result<(), AskError>> {
        Box::pin(async move {
            let call = control_call(&to, "server/1#ping-actor", ControlPingActor { actor: to.actor.clone() });
            let (encoding, bytes) = self.server.ask_unbounded(call).await?;
            decode::<Result<(), Refusal>>(encoding, &bytes)?.map_err(AskError::Refused)
        })
    }

    fn stop(&self, to: &Reference) {
        let call = control_call(to, "server/1#stop-actor", ControlStopActor { actor: to.actor.clone() });
        let server = self.server.clone();
        self.server.spawn_service("stop-actor", async move |_| {
            // Nobody waits; a monitor tells those who want to know.
            if let Err(error) = server.tell_encoded(call).await {
                tracing::warn!(%error, "cannot stop a remote actor");
            }
        });
    }

    fn monitor(&self, to: &Reference, monitor: MonitorId, notify: Box<dyn FnOnce(Down) + Send>) {
        self.server.monitor(to, monitor, notify);
    }

    fn demonitor(&self, monitor: MonitorId) {
        self.server.monitors().take_back(monitor);
    }

    fn link(&self, to: &Reference, from: &Arc<dyn Inbox>, lost: Box<dyn FnOnce(ExitReason) + Send>) {
        self.server.link_there(to, from, lost);
    }

    fn unlink(&self, to: &Reference, from: u64) {
        self.server.unlink_there(to, from);
    }
}

/// A message for actor 0 of the server that `to` is on.
pub(crate) fn control_call<T: serde::Serialize + Send + Sync + 'static>(
    to: &Reference,
    mark: &'static str,
    arguments: T,
) -> RemoteCall {
    let to = Reference::new(to.server.clone(), ActorId::SERVER);
    RemoteCall {
        to,
        from: 0,
        nonce: 0,
        in_reply_to: None,
        mark: mark.into(),
        arguments: Arguments::named(arguments),
        expires_at: None,
    }
}
