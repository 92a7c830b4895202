//! The context of a handler: who asks, how long, and what the actor can do about itself.

use std::fmt;
use std::sync::Arc;

use odeon_core::{ActorId, ExitReason, Instant, Reference};
use odeon_mailbox::Batch;

use crate::actor::{Actor, Failure};
use crate::current;
use crate::envelope::{Envelope, Meta};
use crate::handle::{Handle, Target};
use crate::life::{MonitorId, TooManyMonitors, Watching};
use crate::local::{Control, Local};
use crate::pace::Pace;
use crate::receive::Rare;
use crate::sender::Sender;
use crate::system::System;

/// What a handler knows and can do beside its state.
pub struct Cx<A: Actor> {
    me: Handle<A>,
    pub(crate) phase: Phase,
    /// The message being handled.
    pub(crate) meta: Meta,
    /// Taken from the mailbox, not yet handled.
    pub(crate) batch: Batch<Envelope<A::Message>>,
    pub(crate) ending: Option<Box<ExitReason>>,
    /// Messages handled so far.
    pub(crate) handled: u32,
    pub(crate) pace: Pace,
    /// What most actors never need.
    pub(crate) rare: Option<Box<Rare<A::Message>>>,
}

/// How far an actor has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    New,
    /// As `New`, for an actor that is kept by a supervisor.
    Kept,
    Running,
    Stopping,
}

impl<A: Actor> Cx<A> {
    pub(crate) fn new(local: Arc<Local<A>>) -> Self {
        Self {
            me: Handle::here(local),
            phase: if A::HAS_START || A::HAS_RUN { Phase::New } else { Phase::Running },
            meta: Meta::none(),
            batch: Batch::new(),
            ending: None,
            handled: 0,
            pace: Pace::default(),
            rare: None,
        }
    }

    /// A message is to be handled.
    #[inline]
    pub(crate) fn begin(&mut self, meta: Meta) {
        self.meta = meta;
        if let Some(rare) = &mut self.rare {
            rare.own = None;
        }
    }

    /// Of one more incarnation, which goes on with what is left of the batch.
    pub(crate) fn kept(local: Arc<Local<A>>, batch: Batch<Envelope<A::Message>>) -> Self {
        Self { phase: Phase::Kept, batch, ..Self::new(local) }
    }

    /// The message in hand is done with.
    pub(crate) fn settle(&mut self) {
        self.begin(Meta::none());
    }

    /// The end comes after the message in hand; the first reason stays.
    pub(crate) fn end(&mut self, reason: ExitReason) {
        self.ending.get_or_insert_with(|| Box::new(reason));
    }

    /// What waits to be handled, and all the rest.
    pub(crate) fn into_batch(mut self) -> (Batch<Envelope<A::Message>>, Self) {
        (std::mem::take(&mut self.batch), self)
    }

    pub(crate) fn local(&self) -> &Arc<Local<A>> {
        let Target::Here(local) = &self.me.0 else {
            unreachable!("a running actor is local to its system");
        };
        local
    }

    /// What a look through the mailbox needs.
    pub(crate) fn mailbox_and_batch(&mut self) -> (&Arc<Local<A>>, &mut Batch<Envelope<A::Message>>) {
        let Target::Here(local) = &self.me.0 else {
            unreachable!("a running actor is local to its system");
        };
        (local, &mut self.batch)
    }

    /// A handle to this actor.
    #[must_use]
    pub const fn me(&self) -> &Handle<A> {
        &self.me
    }

    /// The system the actor lives in.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.local().system
    }

    /// Who sent the message being handled.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.meta.sender()
    }

    /// A handle to the actor that sent the message being handled, of this process or of another server. None if code
    /// sent it that is no actor, if the sender has ended, if it is not of type `B` as far as that is known here, or if
    /// this system has no way to other servers. Whether an actor of another server understands what it is sent shows
    /// at the first call.
    #[must_use]
    pub fn sender_handle<B: Actor>(&self) -> Option<Handle<B>> {
        match self.sender() {
            Sender::Outside => None,
            Sender::Actor(number) => {
                let inbox = self.system().inbox_by_number(number)?;
                inbox.into_any().downcast::<Local<B>>().ok().map(Handle::here)
            }
            Sender::Remote(remote) if remote.number == 0 => None,
            Sender::Remote(remote) => {
                // A number means its actor in this incarnation of its server alone.
                let actor = ActorId::NumberOf(remote.number, remote.peer.epoch);
                let reference = Reference::new(remote.peer.server.clone(), actor);
                self.system().route().map(|route| Handle::remote(reference, route))
            }
        }
    }

    /// When the message being handled stops being worth anything. Asks made while handling it end by then.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.meta.expires_at().or_else(|| current::unread(&**self.system().clock()))
    }

    /// The sender's number for the message being handled: each sender counts its messages, from 0.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.meta.nonce()
    }

    /// The nonce of the message that the one being handled answers, if its sender said so.
    #[must_use]
    pub fn in_reply_to(&self) -> Option<u64> {
        self.meta.in_reply_to()
    }

    /// Whether the sender of the message being handled wanted an answer when it sent.
    #[must_use]
    pub const fn wants_reply(&self) -> bool {
        self.meta.wants_reply()
    }

    /// Starts another actor in the same system.
    pub fn spawn<B: Actor>(&self, actor: B) -> Handle<B> {
        self.system().spawn(actor)
    }

    /// Has [`Actor::down`] called once when `other` ends; at once if it has. This actor's end lets go of it;
    /// [`Handle::demonitor`] of `other` does so before.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{Cx, Down, Handle, System, actor};
    ///
    /// struct Child;
    /// # #[actor]
    /// # impl Child {
    /// #     #[handle]
    /// #     fn fall(&mut self) { panic!("ouch") }
    /// # }
    /// struct Parent {
    ///     child: Handle<Child>,
    /// }
    ///
    /// #[actor]
    /// impl Parent {
    ///     #[started]
    ///     fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), odeon::TooManyMonitors> {
    ///         cx.monitor(&self.child)?;
    ///         Ok(())
    ///     }
    ///
    ///     #[down]
    ///     fn lost(&mut self, down: Down, cx: &mut Cx<Self>) {
    ///         assert!(down.reason.to_string().ends_with("ouch"));
    ///         cx.stop();
    ///     }
    /// #   #[handle]
    /// #   fn greet(&mut self) {}
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new();
    /// let child = system.spawn(Child);
    /// let parent = system.spawn(Parent { child: child.clone() });
    /// child.fall().tell().await?;
    /// assert_eq!(parent.ended().await, odeon::ExitReason::Normal);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When `other` has too many monitors, or this actor monitors too many others.
    pub fn monitor<B: Actor>(&self, other: &Handle<B>) -> Result<MonitorId, TooManyMonitors> {
        let local = self.local();
        let watching = Watching::begin(&local.life).ok_or(TooManyMonitors)?;
        let (number, watcher) = (watching.number(), Arc::clone(local));
        let monitor = other.monitor(Box::new(move |down| {
            // The watcher may have ended first.
            watcher.control(Control::Down(Box::new((down, watching))));
        }))?;
        let other = other.clone();
        local.life.let_go_by(number, Box::new(move || other.demonitor(monitor)));
        Ok(monitor)
    }

    /// Ends the actor after this handler.
    pub fn stop(&mut self) {
        self.end(ExitReason::Normal);
    }

    /// Ends the actor after this handler, as failed.
    pub fn fail(&mut self, failure: impl Into<Failure>) {
        self.end(ExitReason::Failed(failure.into().message().to_owned()));
    }
}

impl<A: Actor> fmt::Debug for Cx<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("me", &self.me).field("sender", &self.sender()).finish_non_exhaustive()
    }
}
