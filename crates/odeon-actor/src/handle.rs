//! Handles: live ways to send to one actor, wherever it is.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{ActorId, Encoding, ExitReason, Instant, Reference, Refusal, RefusalCode};
use odeon_mailbox::{ReplyFuture, reply_cell};

use crate::actor::Actor;
use crate::call::{Call, Request};
use crate::error::{AskError, TellError};
use crate::inbox::Inbox;
use crate::life::{Down, Life, MonitorId, PINGS_MAX, PingRoom, TooManyMonitors, Watching};
use crate::sender::Sender;
use crate::system::{DeadLetter, System};

/// A live way to send to one actor. Cheap to clone; it neither keeps the actor alive nor travels between servers.
pub struct Handle<A: Actor>(pub(crate) Target<A>);

pub(crate) enum Target<A: Actor> {
    Here(Arc<Local<A>>),
    There(Arc<There>),
}

/// An actor of this process, as its handles see it.
pub(crate) struct Local<A: Actor> {
    pub(crate) mailbox: odeon_mailbox::Sender<Envelope<A::Message>, Control>,
    pub(crate) life: Arc<Life>,
    pub(crate) system: System,
}

pub(crate) struct There {
    pub(crate) reference: Reference,
    pub(crate) route: Arc<dyn Route>,
}

/// A message with what its receiver may ask about it.
pub(crate) struct Envelope<M> {
    pub(crate) message: M,
    pub(crate) sender: Sender,
    pub(crate) expires_at: Option<Instant>,
}

/// What travels in the control lane: never behind data, and never refused for lack of room, because there is one
/// stop at most and the others have taken their room before.
pub(crate) enum Control {
    Stop,
    Ping(odeon_mailbox::ReplyPort<(), ()>, PingRoom),
    Down(Down, Watching),
}

/// The way to actors of other servers; implemented by whoever knows the network.
pub trait Route: fmt::Debug + Send + Sync + 'static {
    /// The clock by which deadlines are meant.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Sends without waiting for an answer: ready when the link has taken the message.
    fn tell(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(), TellError>>;

    /// Sends and waits for the encoded answer, until `call.expires_at`.
    fn ask(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(Encoding, Vec<u8>), AskError>>;

    /// Asks the actor for a sign of life through its control lane.
    fn ping(self: Arc<Self>, to: Reference) -> BoxFuture<'static, Result<(), AskError>>;

    /// Asks the actor to stop, without waiting for it.
    fn stop(&self, to: &Reference);

    /// Calls `notify` once, when the actor has ended or is out of reach.
    fn monitor(&self, to: &Reference, monitor: MonitorId, notify: Box<dyn FnOnce(Down) + Send>);

    /// Forgets a monitor.
    fn demonitor(&self, monitor: MonitorId);
}

/// One message on its way to another server.
#[derive(Debug, Clone)]
pub struct RemoteCall {
    /// The actor.
    pub to: Reference,
    /// The number of the sending actor; 0 for code that is none.
    pub from: u64,
    /// What kind of message.
    pub mark: String,
    /// How `payload` is encoded.
    pub encoding: Encoding,
    /// The arguments.
    pub payload: Vec<u8>,
    /// When the message stops being worth anything.
    pub expires_at: Option<Instant>,
}

impl<A: Actor> Handle<A> {
    /// A handle to an actor of another server. Nothing is sent; whether it exists shows at the first call.
    #[must_use]
    pub fn remote(reference: Reference, route: Arc<dyn Route>) -> Self {
        Self(Target::There(Arc::new(There { reference, route })))
    }

    pub(crate) const fn here(local: Arc<Local<A>>) -> Self {
        Self(Target::Here(local))
    }

    /// Prepares a call with a request value; the methods that `#[actor]` writes end here.
    pub const fn call<Q: Request<A>>(&self, request: Q) -> Call<'_, A, Q> {
        Call::new(self, request)
    }

    /// The actor's id in its server.
    #[must_use]
    pub fn id(&self) -> ActorId {
        match &self.0 {
            Target::Here(local) => ActorId::Number(local.life.number),
            Target::There(there) => there.reference.actor.clone(),
        }
    }

    /// Whether the actor is known to have ended. Of an actor on another server nothing is known: `false`.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match &self.0 {
            Target::Here(local) => local.life.reason().is_some(),
            Target::There(_) => false,
        }
    }

    /// How many messages wait in the mailbox; of an actor on another server, 0.
    #[must_use]
    pub fn depth(&self) -> usize {
        match &self.0 {
            Target::Here(local) => local.mailbox.len(),
            Target::There(_) => 0,
        }
    }

    /// Asks the actor to stop after the message it is handling. What is queued goes to dead letters.
    pub fn stop(&self) {
        match &self.0 {
            Target::Here(local) => local.control_stop(),
            Target::There(there) => there.route.stop(&there.reference),
        }
    }

    /// Asks the actor to take nothing more, to handle what is queued, and to end. An actor on another server
    /// is asked to stop instead.
    pub fn drain(&self) {
        match &self.0 {
            Target::Here(local) => local.mailbox.close_intake(),
            Target::There(there) => there.route.stop(&there.reference),
        }
    }

    /// Ends the actor where it stands: a handler that waits is dropped at its await point. A handler that
    /// computes without waiting runs on to its next await. An actor on another server is asked to stop.
    pub fn kill(&self) {
        match &self.0 {
            Target::Here(local) => local.life.kill(),
            Target::There(there) => there.route.stop(&there.reference),
        }
    }

    /// Waits for a sign of life, answered through the control lane whatever is queued. There is no limit but
    /// the actor's life: a handler that never returns never answers.
    ///
    /// # Errors
    /// [`AskError::Dead`] when the actor has ended or ends meanwhile, [`AskError::Refused`] when 1,024 pings wait
    /// for it already; for another server, as for an ask.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the ping.
    pub async fn ping(&self) -> Result<(), AskError> {
        match &self.0 {
            Target::Here(local) => Inbox::ping(&**local).await,
            Target::There(there) => Arc::clone(&there.route).ping(there.reference.clone()).await,
        }
    }

    /// Waits for the actor's end and says why it came; at once if it has ended. [`ExitReason::LinkLost`] means
    /// that it is not known: the way to it was lost, or it has too many monitors for one more.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, nothing else.
    pub async fn ended(&self) -> ExitReason {
        let (port, future) = reply_cell::<Down, ()>();
        let watched = self.monitor(Box::new(move |down| {
            // Whoever waited may have given up.
            let _ = port.send(down);
        }));
        match watched {
            Ok(monitor) => {
                let mut watch = Watch { handle: self, monitor: Some(monitor) };
                let down = future.await;
                watch.monitor = None;
                down.map_or(ExitReason::Normal, |down| down.reason)
            }
            Err(error) => ExitReason::LinkLost(error.to_string()),
        }
    }

    /// Calls `notify` once, when the actor has ended: at once if it has. It runs where the actor ran and must
    /// not block.
    ///
    /// # Errors
    /// When the actor has too many monitors.
    pub fn monitor(&self, notify: Box<dyn FnOnce(Down) + Send>) -> Result<MonitorId, TooManyMonitors> {
        match &self.0 {
            Target::Here(local) => local.life.monitor(notify),
            Target::There(there) => {
                let monitor = MonitorId::fresh();
                there.route.monitor(&there.reference, monitor, notify);
                Ok(monitor)
            }
        }
    }

    /// Forgets a monitor; a notice already given stays given.
    pub fn demonitor(&self, monitor: MonitorId) {
        match &self.0 {
            Target::Here(local) => local.life.demonitor(monitor),
            Target::There(there) => there.route.demonitor(monitor),
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.0 {
            Target::Here(local) => Arc::clone(local.system.clock()),
            Target::There(there) => there.route.clock(),
        }
    }
}

impl<A: Actor> Local<A> {
    pub(crate) fn control_stop(&self) {
        if self.life.is_first_stop() {
            // A dead actor has stopped already.
            let _ = self.mailbox.control(Control::Stop);
        }
    }

    /// Puts a ping into the control lane. The future fails when the actor ends, or is dead.
    pub(crate) fn control_ping(&self) -> Result<ReplyFuture<(), ()>, Refusal> {
        let room = PingRoom::take(&self.life).ok_or_else(|| {
            let detail = format!("{PINGS_MAX} pings wait for the actor already: it is stuck or busy");
            Refusal::new(RefusalCode::LimitReached, detail)
        })?;
        let (port, future) = reply_cell();
        // Refused by a dead actor, the port falls and says so.
        let _ = self.mailbox.control(Control::Ping(port, room));
        Ok(future)
    }

    /// Counts a message from another server that came too late.
    pub(crate) fn undelivered(&self, sender: Sender) {
        let letter = DeadLetter::new(&self.life, sender, self.death());
        self.system.dead_letter(&letter);
    }

    /// Why the actor takes nothing: it ended, is ending, or drains.
    pub(crate) fn death(&self) -> ExitReason {
        self.life.reason().unwrap_or(ExitReason::Drained)
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Target::Here(local) => Target::Here(Arc::clone(local)),
            Target::There(there) => Target::There(Arc::clone(there)),
        })
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Here(local) => write!(f, "Handle({} {})", local.life.kind, local.life.number),
            Target::There(there) => write!(f, "Handle({})", there.reference),
        }
    }
}

impl<A: Actor> fmt::Debug for Local<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.life.fmt(f)
    }
}

/// Forgets a monitor whose notice nobody waits for any longer.
struct Watch<'a, A: Actor> {
    handle: &'a Handle<A>,
    monitor: Option<MonitorId>,
}

impl<A: Actor> Drop for Watch<'_, A> {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor {
            self.handle.demonitor(monitor);
        }
    }
}

/// Ready when `future` is, or with `None` when `at` has come first.
pub(crate) async fn until<T>(clock: &dyn Clock, at: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut timer = None;
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(value));
        }
        // Most answers come without a timer ever being made.
        timer.get_or_insert_with(|| clock.sleep_until(at)).as_mut().poll(cx).map(|()| None)
    })
    .await
}
