//! Proxies: handles that stand for one thing and deliver to another, an actor that decides what becomes of a message.
//!
//! The proxy gets each message as it was sent, in its envelope and with the reference that the handle stands for. Its
//! mailbox is the only queue: a sender waits for room there, and deadlines hold there.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use odeon_core::seam::Clock;
use odeon_core::{ActorId, Reference};
use odeon_mailbox::{Lost, Ticket};

use crate::actor::Actor;
use crate::call::Request;
use crate::envelope::Envelope;
use crate::error::{AskError, TellError};
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::life::Life;
use crate::reply::Reply;
use crate::supervise::Fall;
use crate::system::System;
use crate::via::{TryRefused, Via};

/// A message for what a proxy stands for, as the proxy gets it: to be passed on, answered, or dropped, which its asker
/// learns at once.
pub struct Proxied<A: Actor> {
    /// What the handle stands for.
    pub reference: Reference,
    /// The message as it was sent: its sender, its deadline, its reply port.
    pub envelope: Envelope<A::Message>,
}

/// The actor is on another server, where messages already made do not go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference} is on another server: a proxy is an actor of this process")]
pub struct NotHere {
    /// The actor.
    pub reference: Reference,
}

impl<A: Actor> Proxied<A> {
    /// The message, without its envelope.
    #[must_use]
    pub fn into_message(self) -> A::Message {
        self.envelope.into_message()
    }
}

impl<A: Actor> Handle<A> {
    /// A handle that stands for `reference`, whose messages `proxy` gets: `wrap` makes one of its requests of each, and
    /// may run under its mailbox's lock, so it only puts things together. The proxy hears nothing of stops and kills,
    /// and pings and monitors of the handle are of the proxy itself.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// # use odeon_core::Reference;
    /// use odeon::{Handle, Proxied, System, actor};
    ///
    /// # #[derive(Default)]
    /// # struct Counter { n: i64 }
    /// # #[actor]
    /// # impl Counter {
    /// #     #[handle]
    /// #     fn add(&mut self, by: i64) -> i64 { self.n += by; self.n }
    /// # }
    /// /// Passes everything on, and counts it.
    /// struct Meter {
    ///     counter: Handle<Counter>,
    ///     passed: u64,
    /// }
    ///
    /// #[actor]
    /// impl Meter {
    ///     #[handle(boxed)]
    ///     async fn pass(&mut self, item: Proxied<Counter>) {
    ///         self.passed += 1;
    ///         // Dead or not, the asker is told.
    ///         let _ = self.counter.forward(item.envelope).await;
    ///     }
    ///
    ///     #[handle]
    ///     fn passed(&self) -> u64 {
    ///         self.passed
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new();
    /// let meter = system.spawn(Meter { counter: system.spawn(Counter::default()), passed: 0 });
    /// let reference: Reference = "web-0@/shop:counter".parse()?;
    /// let counter = Handle::<Counter>::via(&meter, reference.clone(), |item| MeterPass { item })?;
    /// assert_eq!(counter.add(2).await?, 2);
    /// assert_eq!(meter.passed().await?, 1);
    /// assert_eq!(counter.reference(), Some(&reference));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the proxy is on another server.
    pub fn via<X: Actor, Q: Request<X>>(
        proxy: &Handle<X>,
        reference: Reference,
        wrap: impl Fn(Proxied<A>) -> Q + Send + Sync + 'static,
    ) -> Result<Self, NotHere> {
        if let Target::There(there) = &proxy.0 {
            return Err(NotHere { reference: there.reference.clone() });
        }
        let wrap = move |proxied| wrap(proxied).into_message(Reply::nobody());
        let through = Through { proxy: proxy.clone(), reference, wrap: Box::new(wrap) };
        Ok(Self(Target::Via(Arc::new(Box::new(through)))))
    }

    /// What the handle stands for, server included: known of a proxy's handle, and of one to another server.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match &self.0 {
            Target::Here(_) => None,
            Target::There(there) => Some(&there.reference),
            Target::Via(via) => via.reference(),
        }
    }

    /// The proxy that gets the handle's messages, if there is one and it is an `X`.
    #[must_use]
    pub fn proxy<X: Actor>(&self) -> Option<&Handle<X>> {
        match &self.0 {
            Target::Here(_) | Target::There(_) => None,
            Target::Via(via) => via.proxy()?.downcast_ref(),
        }
    }
}

/// The way to a proxy.
struct Through<A: Actor, X: Actor> {
    proxy: Handle<X>,
    reference: Reference,
    wrap: Wrap<A, X>,
}

type Wrap<A, X> = Box<dyn Fn(Proxied<A>) -> <X as Actor>::Message + Send + Sync>;

impl<A: Actor, X: Actor> Through<A, X> {
    /// The message as it waits for the proxy: the same sender and deadline, and no answer of the proxy's own.
    fn wrapped(&self, envelope: Envelope<A::Message>) -> Envelope<X::Message> {
        let meta = envelope.meta.clone().without_reply();
        let message = (self.wrap)(Proxied { reference: self.reference.clone(), envelope });
        Envelope { message, meta }
    }
}

impl<A: Actor, X: Actor> Via<A::Message> for Through<A, X> {
    fn enter(&self, envelope: Envelope<A::Message>, waker: &Waker) -> Result<Option<Ticket>, TellError> {
        self.proxy.0.enter(self.wrapped(envelope), waker)
    }

    fn stand(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<(), TellError>> {
        self.proxy.0.stand(ticket, waker)
    }

    fn leave(&self, ticket: Ticket) {
        self.proxy.0.leave(ticket);
    }

    fn try_enter(&self, make: &mut dyn FnMut() -> Envelope<A::Message>) -> Result<(), TryRefused> {
        self.proxy.0.try_enter(&mut || self.wrapped(make()))
    }

    fn id(&self) -> ActorId {
        self.reference.actor.clone()
    }

    fn life(&self) -> Option<&dyn Inbox> {
        self.proxy.0.life()
    }

    fn asked(&self) -> Option<&Arc<Life>> {
        self.proxy.0.asked()
    }

    fn no_answer(&self, lost: &Lost<Arc<Fall>>) -> AskError {
        self.proxy.0.no_answer(lost)
    }

    fn system(&self) -> Option<&System> {
        self.proxy.0.system()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.proxy.clock()
    }

    fn reference(&self) -> Option<&Reference> {
        Some(&self.reference)
    }

    fn proxy(&self) -> Option<&dyn Any> {
        Some(&self.proxy)
    }
}

impl<A: Actor, X: Actor> fmt::Debug for Through<A, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} via {:?}", self.reference, self.proxy)
    }
}

impl<A: Actor> fmt::Debug for Proxied<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reference, envelope } = self;
        f.debug_struct("Proxied").field("reference", reference).field("envelope", envelope).finish()
    }
}
