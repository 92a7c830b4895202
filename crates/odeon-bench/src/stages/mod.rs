//! The stages: what a library has to be able to do so that the Savina programs run on it.
//!
//! A program is written once, as [`Behaviour`]s that are generic over the [`Stage`]; a stage wraps any behaviour
//! into one actor of its library. A behaviour handles its messages synchronously and nothing it does waits, so every
//! mailbox here is unbounded, Odeon's and kameo's too: the programs send in circles and in bursts of a million, and
//! in circles bounded mailboxes can only refuse or deadlock. A new stage is one file that implements [`Stage`] for
//! the library's peer, and `with_programs` in the peer's row of the registry.

mod actix;
mod kameo;
mod kanal;
mod odeon;
mod ractor;
mod tokio_mpsc;

use crate::peers::Peer;

/// One library on which programs run.
pub(crate) trait Stage: Peer {
    /// The way to an actor with behaviour `B`.
    type Address<B: Behaviour<Self>>: Clone + Send + Sync + 'static;

    /// Spawns an actor from outside of the library's actors; a library with threads of its own uses all of them.
    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B>;

    /// Sends without ever waiting. Messages of one sender arrive in the order they were sent; one to an actor that
    /// has stopped is lost, which no program allows to happen.
    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message);
}

/// What an actor does with its messages, whatever the library.
pub(crate) trait Behaviour<S: Stage>: Sized + Send + 'static {
    /// What it understands.
    type Message: Send + 'static;

    /// Handles one message.
    fn receive(&mut self, message: Self::Message, scene: &mut impl Scene<S, Self>);
}

/// What a behaviour can do while it handles a message, besides sending.
pub(crate) trait Scene<S: Stage, B: Behaviour<S>> {
    /// Its own address.
    fn me(&self) -> S::Address<B>;

    /// Spawns another actor.
    fn spawn<C: Behaviour<S>>(&self, behaviour: C) -> S::Address<C>;

    /// Ends this actor after the message.
    fn stop(&mut self);
}
