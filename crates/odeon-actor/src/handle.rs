//! Handles: live ways to send to one actor, wherever it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use odeon_core::limits::REPLY_TIMEOUT_DEFAULT;
use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{ActorId, Encoding, ExitReason, Reference};
use odeon_mailbox::reply_cell;

use crate::actor::Actor;
use crate::awaited::Awaited;
use crate::call::{Call, Request};
use crate::error::{AskError, TellError, Untaken};
use crate::inbox::Inbox;
use crate::life::{Down, MonitorId, TooManyMonitors};
use crate::local::Local;
use crate::outgoing::{Offer, RemoteCall};
use crate::system::System;
use crate::via::Via;

/// A live way to send to one actor. Cheap to clone; it neither keeps the actor alive nor travels between servers.
pub struct Handle<A: Actor>(pub(crate) Target<A>);

pub(crate) enum Target<A: Actor> {
    Here(Arc<Local<A>>),
    There(Arc<There>),
    /// Another way than a mailbox of its own. One word, as the others: every actor's block holds a handle.
    Via(Arc<Box<dyn Via<A::Message>>>),
}

pub(crate) struct There {
    pub(crate) reference: Reference,
    pub(crate) route: Arc<dyn Route>,
}

/// The way to actors of other servers; implemented by whoever knows the network.
pub trait Route: fmt::Debug + Send + Sync + 'static {
    /// The clock by which deadlines are meant.
    fn clock(&self) -> Arc<dyn Clock>;

    /// How long an ask waits when it does not say.
    fn reply_timeout(&self) -> Duration {
        REPLY_TIMEOUT_DEFAULT
    }

    /// Sends without waiting for an answer: ready when the link has taken the message. The route encodes the
    /// arguments, compactly where the receiver has their fingerprint, else as CBOR.
    fn tell(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(), TellError>>;

    /// Sends as [`tell`](Self::tell) does and waits for the answer, until `call.expires_at`. It comes encoded as the
    /// arguments were.
    fn ask(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(Encoding, Vec<u8>), AskError>>;

    /// Sends as [`tell`](Self::tell) does if the message can leave at once; else nothing is sent, and the
    /// caller goes the long way.
    fn tell_now(&self, offer: &Offer<'_>) -> Option<Result<(), TellError>> {
        let _ = offer;
        None
    }

    /// Sends as [`tell`](Self::tell) does if the message can leave at once; else says why not. It waits for nothing and
    /// keeps nothing; where there is no link, it may have one made.
    ///
    /// # Errors
    /// Why nothing was sent.
    fn try_tell(&self, offer: &Offer<'_>) -> Result<(), Untaken> {
        self.tell_now(offer).map_or(Err(Untaken::NoLink), |told| told.map_err(Untaken::Failed))
    }

    /// Sends as [`ask`](Self::ask) does if the message can leave at once; else nothing is sent, and the caller goes the
    /// long way. Its deadline is the caller's affair.
    fn ask_now(&self, offer: &Offer<'_>) -> Option<Result<Awaited, AskError>> {
        let _ = offer;
        None
    }

    /// The system whose timers keep the deadlines of what [`ask_now`](Self::ask_now) sends; a route without one sends
    /// nothing so.
    fn system(&self) -> Option<&System> {
        None
    }

    /// Asks the actor for a sign of life through its control lane.
    fn ping(self: Arc<Self>, to: Reference) -> BoxFuture<'static, Result<(), AskError>>;

    /// Asks the actor to stop, without waiting for it.
    fn stop(&self, to: &Reference);

    /// Calls `notify` once, when the actor has ended or is out of reach.
    fn monitor(&self, to: &Reference, monitor: MonitorId, notify: Box<dyn FnOnce(Down) + Send>);

    /// Forgets a monitor.
    fn demonitor(&self, monitor: MonitorId);

    /// Has the actor's server link the actor to `from`, of this process, and calls `lost` if that cannot be. The side
    /// of `from` is made already. A route that cannot do so leaves a link with one side.
    fn link(&self, to: &Reference, from: &Arc<dyn Inbox>, lost: Box<dyn FnOnce(ExitReason) + Send>) {
        let _ = (to, from, lost);
    }

    /// Has the actor's server take back its side of a link to the actor of this process with that number.
    fn unlink(&self, to: &Reference, from: u64) {
        let _ = (to, from);
    }
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
            Target::Via(via) => via.id(),
        }
    }

    /// Whether the actor is known to have ended. Of an actor on another server nothing is known: `false`.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match &self.0 {
            Target::Here(local) => local.life.is_ending(),
            Target::There(_) => false,
            Target::Via(via) => via.life().is_some_and(|life| life.exit_reason().is_some()),
        }
    }

    /// How many messages wait in the mailbox; of an actor on another server, 0.
    #[must_use]
    pub fn depth(&self) -> usize {
        match &self.0 {
            Target::Here(local) => local.mailbox.len(),
            Target::There(_) => 0,
            Target::Via(via) => via.life().map_or(0, Inbox::depth),
        }
    }

    /// Asks the actor to stop after the message it is handling. What is queued goes to dead letters. Behind a proxy
    /// or a mock nothing happens, here as in [`drain`](Self::drain) and [`kill`](Self::kill): such a handle only sends.
    pub fn stop(&self) {
        match &self.0 {
            Target::Here(local) => local.stop(),
            Target::There(there) => there.route.stop(&there.reference),
            Target::Via(_) => {}
        }
    }

    /// Asks the actor to take nothing more, to handle what is queued, and to end. An actor on another server
    /// is asked to stop instead.
    pub fn drain(&self) {
        match &self.0 {
            Target::Here(local) => local.drain(),
            Target::There(there) => there.route.stop(&there.reference),
            Target::Via(_) => {}
        }
    }

    /// Ends the actor where it stands: a handler that waits is dropped at its await point. A handler that
    /// computes without waiting runs on to its next await. An actor on another server is asked to stop.
    pub fn kill(&self) {
        match &self.0 {
            Target::Here(local) => local.kill(),
            Target::There(there) => there.route.stop(&there.reference),
            Target::Via(_) => {}
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
            Target::Via(via) => match via.life() {
                Some(life) => life.ping().await,
                None => Ok(()),
            },
        }
    }

    /// Waits for the actor's end and says why it came; at once if it has ended. [`ExitReason::LinkLost`] means
    /// that it is not known, since the way to it was lost; [`ExitReason::NotMonitored`] means that it is not known,
    /// since there are too many monitors for one more.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, nothing else.
    pub async fn ended(&self) -> ExitReason {
        if let Target::Via(via) = &self.0
            && via.life().is_none()
        {
            // A mock never ends.
            return std::future::pending().await;
        }
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
            Err(error) => ExitReason::NotMonitored(error.to_string()),
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
            Target::Via(via) => match via.life() {
                Some(life) => life.monitor(notify),
                None => Ok(MonitorId::fresh()),
            },
        }
    }

    /// Forgets a monitor; a notice already given stays given.
    pub fn demonitor(&self, monitor: MonitorId) {
        match &self.0 {
            Target::Here(local) => local.life.demonitor(monitor),
            Target::There(there) => there.route.demonitor(monitor),
            Target::Via(via) => via.life().iter().for_each(|life| life.demonitor(monitor)),
        }
    }

    /// How long an ask waits when it does not say.
    pub(crate) fn reply_timeout(&self) -> Duration {
        match &self.0 {
            Target::Here(local) => local.system.reply_timeout(),
            Target::There(there) => there.route.reply_timeout(),
            Target::Via(via) => via.system().map_or(REPLY_TIMEOUT_DEFAULT, System::reply_timeout),
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.0 {
            Target::Here(local) => Arc::clone(local.system.clock()),
            Target::There(there) => there.route.clock(),
            Target::Via(via) => via.clock(),
        }
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Target::Here(local) => Target::Here(Arc::clone(local)),
            Target::There(there) => Target::There(Arc::clone(there)),
            Target::Via(via) => Target::Via(Arc::clone(via)),
        })
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Here(local) => write!(f, "Handle({} {})", local.life.kind(), local.life.number),
            Target::There(there) => write!(f, "Handle({})", there.reference),
            Target::Via(via) => write!(f, "Handle({via:?})"),
        }
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
