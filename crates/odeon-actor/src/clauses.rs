//! Clauses of [`receive!`](crate::receive) that serve any actor.
//!
//! A set of clauses is a module with two functions: `wants`, which chooses by the envelope, and `run`, which has the
//! envelope, the context, and whatever the receive gives it. [`clauses!`](macro@crate::clauses) writes them for
//! an actor of one's own.

use crate::reply::Reply;

/// A protocol with a message that asks for a sign of life, besides the pings that every actor answers by itself.
pub trait HasPing: Sized {
    /// Whether it is that message.
    fn is_ping(&self) -> bool;
    /// Where its answer goes.
    fn into_ping(self) -> Option<Reply<()>>;
}

/// A protocol with a message that asks the actor to end, besides the stop that every actor serves by itself.
pub trait HasShutdown: Sized {
    /// Whether it is that message.
    fn is_shutdown(&self) -> bool;
    /// Where its answer goes.
    fn into_shutdown(self) -> Option<Reply<()>>;
}

/// Answers the protocol's own ping.
pub mod ping {
    use super::HasPing;
    use crate::{Actor, Cx, Envelope};

    /// Whether it is a ping.
    pub fn wants<M: HasPing>(envelope: &Envelope<M>) -> bool {
        envelope.message().is_ping()
    }

    /// Answers it.
    pub async fn run<A: Actor<Message: HasPing>>(envelope: Envelope<A::Message>, cx: &mut Cx<A>) {
        let _ = cx;
        if let Some(reply) = envelope.into_message().into_ping() {
            reply.send(());
        }
    }
}

/// Ends the actor when the protocol's own message says so and its sender may: code of this process may, and so may
/// servers that hold the capability `shutdown`. Others are told by the port that falls, and the log.
pub mod shutdown {
    use super::HasShutdown;
    use crate::{Actor, Cx, Envelope};

    /// Whether it is a shutdown.
    pub fn wants<M: HasShutdown>(envelope: &Envelope<M>) -> bool {
        envelope.message().is_shutdown()
    }

    /// Answers it and has the actor end.
    pub async fn run<A: Actor<Message: HasShutdown>>(envelope: Envelope<A::Message>, cx: &mut Cx<A>) {
        let sender = envelope.sender();
        if !sender.can("shutdown") {
            tracing::warn!(
                actor = cx.me().id().to_string(),
                ?sender,
                "a shutdown without the capability was refused"
            );
            return;
        }
        if let Some(reply) = envelope.into_message().into_shutdown() {
            reply.send(());
        }
        cx.stop();
    }
}

/// Takes whatever is left, logs that it was not expected, and drops it, which tells whoever asked that no answer
/// comes.
pub mod unexpected {
    use crate::{Actor, Cx, Envelope};

    /// Every message.
    pub const fn wants<M>(envelope: &Envelope<M>) -> bool {
        let _ = envelope;
        true
    }

    /// Drops it.
    pub async fn run<A: Actor>(envelope: Envelope<A::Message>, cx: &mut Cx<A>) {
        tracing::warn!(actor = cx.me().id().to_string(), ?envelope, "an unexpected message was dropped");
    }
}

/// Takes whatever is left, and handles it by the actor's handlers: `use clauses::handlers(self)`. It is for an actor's
/// own loop; in a handler it would be a future within itself, which the compiler refuses.
pub mod handlers {
    use crate::{Actor, Cx, Envelope};

    /// Every message.
    pub const fn wants<M>(envelope: &Envelope<M>) -> bool {
        let _ = envelope;
        true
    }

    /// Handles it.
    pub async fn run<A: Actor>(envelope: Envelope<A::Message>, cx: &mut Cx<A>, actor: &mut A) {
        actor.handle(envelope.into_message(), cx).await;
    }
}
